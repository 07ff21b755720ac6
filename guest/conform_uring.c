// SPDX-License-Identifier: GPL-2.0
/*
 * Claims about io_uring: the same read and write operations of the driver, called from where they may not wait
 * (IOCB_NOWAIT), called again after a wake-up of its poll, called by a worker thread, and cancelled
 * (Documentation of io_uring_enter(2)).
 *
 * By system calls, without liburing, which is there for one architecture only when a guest is cross-built.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CLAIM_ORDER 212

#include <fcntl.h>
#include <limits.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "conform.h"

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup    425
#define SYS_io_uring_enter    426
#define SYS_io_uring_register 427
#endif

#define ENTRIES	    8
#define PATIENCE_MS 10000
/* Something that should not come has had the time to. */
#define SETTLE_MS 40
#define NOT_YET	  LONG_MIN

struct ring {
	int fd;
	unsigned int *sq_tail, *sq_array, sq_mask;
	unsigned int *cq_head, *cq_tail, cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

static void *ring_map(int fd, size_t size, off_t what)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);

	if (map == MAP_FAILED)
		SKIP("the rings cannot be mapped: %s", errno_name(errno));
	return map;
}

static void ring_open(struct ring *r)
{
	struct io_uring_params p = { 0 };
	unsigned char *sq, *cq;

	r->fd = syscall(SYS_io_uring_setup, ENTRIES, &p);
	if (r->fd < 0)
		SKIP("the kernel offers no io_uring: %s", errno_name(errno));
	sq = ring_map(r->fd, p.sq_off.array + p.sq_entries * sizeof(unsigned int),
		      IORING_OFF_SQ_RING);
	cq = ring_map(r->fd, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
		      IORING_OFF_CQ_RING);
	r->sqes = ring_map(r->fd, p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	r->sq_tail = (unsigned int *)(sq + p.sq_off.tail);
	r->sq_array = (unsigned int *)(sq + p.sq_off.array);
	r->sq_mask = *(unsigned int *)(sq + p.sq_off.ring_mask);
	r->cq_head = (unsigned int *)(cq + p.cq_off.head);
	r->cq_tail = (unsigned int *)(cq + p.cq_off.tail);
	r->cq_mask = *(unsigned int *)(cq + p.cq_off.ring_mask);
	r->cqes = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
}

/* Submits one operation; its number is what ring_wait() asks for. */
static void ring_submit(struct ring *r, const struct io_uring_sqe *sqe)
{
	unsigned int tail = *r->sq_tail;
	long ret;

	r->sqes[tail & r->sq_mask] = *sqe;
	r->sq_array[tail & r->sq_mask] = tail & r->sq_mask;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
	ret = TICKED(syscall(SYS_io_uring_enter, r->fd, 1, 0, 0, NULL, 0));
	if (ret != 1)
		SKIP("io_uring does not take the operation: %s", result(ret));
}

/* Its result, or NOT_YET. The kernel finishes what has been woken up when the process calls it. */
static long ring_wait(struct ring *r, uint64_t number, int ms)
{
	long long until = now_ms() + ms;
	const struct io_uring_cqe *cqe;
	unsigned int head;
	long ret;

	do {
		head = *r->cq_head;
		if (head != __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE)) {
			cqe = &r->cqes[head & r->cq_mask];
			ret = cqe->user_data == number ? cqe->res : NOT_YET;
			__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
			if (ret != NOT_YET)
				return ret;
			continue;
		}
		usleep(1000);
	} while (now_ms() < until);
	return NOT_YET;
}

static const char *outcome(long ret)
{
	return ret == NOT_YET ? "no result" : result(ret);
}

/* A read or write at a position, or (-1) at the descriptor's own. */
static struct io_uring_sqe transfer(int op, int fd, const void *buf, size_t len, off_t pos)
{
	return (struct io_uring_sqe){
		.opcode = op,
		.fd = fd,
		.addr = (uintptr_t)buf,
		.len = len,
		.off = pos,
		.user_data = 1,
	};
}

static long ring_do(struct ring *r, struct io_uring_sqe sqe)
{
	ring_submit(r, &sqe);
	return ring_wait(r, sqe.user_data, PATIENCE_MS);
}

/* io_uring waits itself where the descriptor lets it; with O_NONBLOCK it would not. */
static void blocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

/* IORING_OP_READ: "issue the equivalent of a pread(2)", of a read(2) where there is no position. */
CLAIM(uring_read, "uring.read", NEED_DATA, "io_uring reads the bytes that read gives")
{
	unsigned char ref[256], got[256] = { 0 };
	int fd = dev_open(MODE_READ);
	struct ring r;
	size_t len;
	long ret;

	ring_open(&r);
	len = reference(&fd, ref, sizeof(ref));
	blocking(fd);
	ret = ring_do(&r, transfer(IORING_OP_READ, fd, got, len, facts->positioned ? 0 : -1));
	if (ret <= 0 || ret > (long)len)
		test_fail(__FILE__, __LINE__, "a read of %zu bytes: %s", len, outcome(ret));
	else if (memcmp(got, ref, ret))
		test_fail(__FILE__, __LINE__, "the bytes differ");
}

CLAIM(uring_write, "uring.write", NEED_WRITE | NEED_POS, "what io_uring writes is what is stored")
{
	unsigned char ref[256], got[256];
	int fd = dev_open(MODE_ANY);
	struct ring r;
	long ret;

	ring_open(&r);
	stored(fd, ref, sizeof(ref));
	blocking(fd);
	pattern_fill(ref, sizeof(ref), 0x74);
	ret = ring_do(&r, transfer(IORING_OP_WRITE, fd, ref, sizeof(ref), 0));
	if (ret <= 0 || ret > (long)sizeof(ref)) {
		test_fail(__FILE__, __LINE__, "a write of %zu bytes: %s", sizeof(ref),
			  outcome(ret));
		return;
	}
	EXPECT_EQ(dev_pread(fd, got, ret, 0), ret);
	if (memcmp(got, ref, ret))
		test_fail(__FILE__, __LINE__, "other bytes are stored");
}

/*
 * io_uring_register(2): the buffer's pages are known beforehand, and the driver's iterator is one of pages. Who takes
 * it for one of addresses is found here. A driver without read_iter cannot offer it.
 */
CLAIM(uring_fixed, "uring.fixed", NEED_DATA,
      "io_uring reads the same bytes into a registered buffer, wherever in it they are to go")
{
	unsigned char ref[256], *page = page_filled(0);
	struct iovec buffer = { .iov_base = page, .iov_len = page_size() };
	int fd = dev_open(MODE_READ);
	struct ring r;
	size_t len;
	long ret;

	ring_open(&r);
	if (syscall(SYS_io_uring_register, r.fd, IORING_REGISTER_BUFFERS, &buffer, 1))
		SKIP("no buffer can be registered: %s", errno_name(errno));
	len = reference(&fd, ref, sizeof(ref));
	blocking(fd);
	ret = ring_do(&r, transfer(IORING_OP_READ_FIXED, fd, page + 123, len,
				   facts->positioned ? 0 : -1));
	if (ret == -EINVAL || ret == -EOPNOTSUPP)
		SKIP("registered buffers are not offered: %s", outcome(ret));
	if (ret <= 0 || ret > (long)len)
		test_fail(__FILE__, __LINE__, "a read of %zu bytes: %s", len, outcome(ret));
	else if (memcmp(page + 123, ref, ret))
		test_fail(__FILE__, __LINE__, "the bytes differ");
}

/*
 * A read that nothing is there for, submitted on a descriptor that may wait; and no tick afterwards. The first result,
 * if one comes at once.
 */
static long submit_waiting(struct ring *r, int fd, void *buf, size_t len)
{
	struct io_uring_sqe sqe = transfer(IORING_OP_READ, fd, buf, len, -1);

	drain(fd);
	blocking(fd);
	ring_submit(r, &sqe);
	tick(false);
	return ring_wait(r, 1, SETTLE_MS);
}

/*
 * FMODE_NOWAIT is a promise to heed IOCB_NOWAIT. Without it io_uring asks poll first, or gives the read to a worker;
 * in no case does the program wait in io_uring_enter(2). One that does is woken up by the tick, and the read ends.
 */
CLAIM(uring_submit, "uring.submit", NEED_WAIT,
      "submitting a read that has to wait does not wait, and leaves it pending")
{
	int fd = dev_open(MODE_READ);
	static char buf[4096];
	struct ring r;
	long ret;

	ring_open(&r);
	ret = submit_waiting(&r, fd, buf, sizeof(buf));
	if (ret != NOT_YET)
		test_fail(__FILE__, __LINE__, "the read of nothing has ended: %s", outcome(ret));
}

/* What read(2) says of one event. */
static long record_length(int fd)
{
	static char buf[4096];
	long ret;

	drain(fd);
	raise_event();
	await_data(fd);
	ret = dev_read(fd, buf, sizeof(buf));
	if (ret <= 0)
		SKIP("no event came");
	return ret;
}

/* The wake-up is the poll's, and the read is made again, not by the process that submitted it. */
CLAIM(uring_event, "uring.event", NEED_WAIT | NEED_EVENT,
      "an event completes a pending read with what read gives for it")
{
	int fd = dev_open(MODE_READ);
	static char buf[4096];
	struct ring r;
	long len, ret;

	ring_open(&r);
	len = record_length(fd);
	if (submit_waiting(&r, fd, buf, sizeof(buf)) != NOT_YET)
		SKIP("the read does not wait");
	raise_event();
	ret = ring_wait(&r, 1, PATIENCE_MS);
	if (ret != len)
		test_fail(__FILE__, __LINE__, "the read: %s, of one event read gives %ld",
			  outcome(ret), len);
}

/*
 * IORING_OP_POLL_ADD: "the poll is registered once". Its wait queue entries are two: a driver whose poll waits in more
 * queues is refused.
 */
CLAIM(uring_poll, "uring.poll", NEED_POLL | NEED_WAIT | NEED_EVENT,
      "a poll by io_uring is pending without an event and completes with one")
{
	int fd = dev_open(MODE_READ);
	struct io_uring_sqe sqe = { .opcode = IORING_OP_POLL_ADD, .fd = fd, .user_data = 1 };
	struct ring r;
	long ret;

	ring_open(&r);
	drain(fd);
	if (ready_now(fd))
		SKIP("ready with nothing to read");
	tick(false);
	/* Two halves of 16 bits, the lower first. */
	sqe.poll32_events = POLLIN;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	sqe.poll32_events <<= 16;
#endif
	ring_submit(&r, &sqe);
	ret = ring_wait(&r, 1, SETTLE_MS);
	if (ret != NOT_YET) {
		test_fail(__FILE__, __LINE__, "with no event the poll has ended: %s", outcome(ret));
		return;
	}
	raise_event();
	ret = ring_wait(&r, 1, PATIENCE_MS);
	if (ret == NOT_YET || ret < 0 || !(ret & POLLIN))
		test_fail(__FILE__, __LINE__, "after an event: %s", outcome(ret));
}

/*
 * io_uring_prep_cancel(3): the read ends, with ECANCELED where io_uring waited for it, with EINTR where a worker did
 * in the driver. The worker is woken up by a notification, which signal_pending() tells of; a driver that looks for
 * signals itself does not notice.
 */
CLAIM(uring_cancel, "uring.cancel", NEED_WAIT,
      "a pending read can be cancelled, and an event after that is the next read's")
{
	struct io_uring_sqe cancel = {
		.opcode = IORING_OP_ASYNC_CANCEL, .fd = -1, .addr = 1, .user_data = 2
	};
	int fd = dev_open(MODE_READ);
	static char buf[4096];
	struct ring r;
	long ret;

	ring_open(&r);
	if (submit_waiting(&r, fd, buf, sizeof(buf)) != NOT_YET)
		SKIP("the read does not wait");
	ring_submit(&r, &cancel);
	ret = ring_wait(&r, 1, PATIENCE_MS);
	if (ret != -ECANCELED && ret != -EINTR)
		test_fail(__FILE__, __LINE__, "the cancelled read: %s", outcome(ret));
	if (ret == NOT_YET || !conf.event)
		return;
	raise_event();
	await_data(fd);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	ret = dev_read(fd, buf, sizeof(buf));
	if (ret <= 0)
		test_fail(__FILE__, __LINE__, "after an event the next read: %s", result(ret));
}
