// SPDX-License-Identifier: GPL-2.0
/*
 * What the memory promises beyond what every character device does: bytes that stay, ends that are
 * told, transfers that nothing comes between, additions that are not lost, and mappings.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "mymem.h"

#define SIZE	   MYMEM_SIZE_DEFAULT
#define PAGE	   ((size_t)sysconf(_SC_PAGESIZE))
#define STRESS_MS  150
#define LOST_AFTER 3000 /* ms: no wake-up takes that long */
#define NOBODY	   65534

/*
 * Limits of 60 s: loading, threads and processes take long on an emulated machine with others
 * beside it.
 */

/* What the driver takes over its stack, and what it copies at once: both sides of each are tried. */
#define SMALL 64
#define CHUNK (1 << 20)

/* As driver.ini has it: no parameters. */
static void reload(const char *params)
{
	if (module_loaded(test_module()))
		ASSERT_EQ(module_unload(test_module()), 0);
	ASSERT_EQ(module_load(test_module(), params), 0);
}

static bool is_as_declared(void)
{
	struct mymem_info info = { .size = sizeof(info) };
	int fd = open(test_node(), O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool same;

	if (fd < 0)
		return false;
	same = !fstat(fd, &st) && (st.st_mode & 07777) == MYMEM_MODE_DEFAULT &&
	       !ioctl(fd, MYMEM_INFO, &info) && info.bytes == SIZE &&
	       info.flags == MYMEM_FLAG_LOCK_MUTEX;
	close(fd);
	return same;
}

/* A test that failed half-way may have left it otherwise. */
static void as_declared(void)
{
	static bool known;

	if (!known && *test_module() && !is_as_declared())
		reload("");
	known = true;
}

static int open_again(int flags)
{
	return SAFE(open(test_node(), flags | O_CLOEXEC));
}

static int open_node(int flags)
{
	as_declared();
	return open_again(flags);
}

static void need_module(void)
{
	if (!*test_module())
		SKIP("no module is given");
}

/* Whether the module can be told which lock. Others have the mutex. */
static bool has_locks(void)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/lock", test_module());
	return !access(path, F_OK);
}

static void need_locks(void)
{
	need_module();
	if (!has_locks())
		SKIP("the module has no parameter lock");
}

static void *map(int fd, size_t len, int prot, int flags, off_t off)
{
	void *at = mmap(NULL, len, prot, flags, fd, off);

	if (at == MAP_FAILED && errno == ENODEV)
		SKIP("the device cannot be mapped");
	if (at == MAP_FAILED) {
		test_fail(__FILE__, __LINE__, "mmap: %s", errno_name(errno));
		test_end();
	}
	return at;
}

static void *anonymous(size_t len)
{
	return map(-1, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
}

/* A page, and after it one that cannot be touched. Returns the end of the first. */
static unsigned char *edge(void)
{
	unsigned char *at = anonymous(2 * PAGE);

	SAFE(mprotect(at + PAGE, PAGE, PROT_NONE));
	return at + PAGE;
}

static void fill(unsigned char *to, size_t len, unsigned int seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		to[i] = (i * 7 + (i >> 8) * 31 + seed) | 1;
}

static bool all(const unsigned char *at, size_t len, unsigned char value)
{
	return !len || (*at == value && !memcmp(at, at + 1, len - 1));
}

static pthread_t start(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, run, arg);

	if (err) {
		test_fail(__FILE__, __LINE__, "pthread_create: %s", errno_name(err));
		test_end();
	}
	return thread;
}

static uint64_t number_at(int fd, off_t offset)
{
	uint64_t value = 0;

	ASSERT_EQ(pread(fd, &value, sizeof(value), offset), sizeof(value));
	return value;
}

/* Reading and writing */

TEST(what_was_written_is_read_from_every_place_and_in_every_length)
{
	static const size_t lengths[] = { 1, 7, SMALL - 1, SMALL, SMALL + 1, 4096, 65537, SIZE };
	static unsigned char out[SIZE], in[SIZE], whole[SIZE];
	int fd = open_node(O_RDWR);
	size_t i, offset, len;

	fill(whole, SIZE, 5);
	ASSERT_EQ(pwrite(fd, whole, SIZE, 0), SIZE);
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		len = lengths[i];
		for (offset = 0; offset <= SIZE - len; offset += SIZE / 3 + 1) {
			fill(out, len, i + offset);
			memcpy(whole + offset, out, len);
			ASSERT_EQ(pwrite(fd, out, len, offset), len);
			memset(in, 0, len);
			ASSERT_EQ(pread(fd, in, len, offset), len);
			EXPECT_EQ(memcmp(in, out, len), 0);
		}
	}
	/* Nothing else has changed. */
	ASSERT_EQ(pread(fd, in, SIZE, 0), SIZE);
	EXPECT_EQ(memcmp(in, whole, SIZE), 0);
}

TEST(the_memory_is_zero_when_the_module_was_loaded)
{
	static unsigned char buf[SIZE];
	int fd;

	need_module();
	fd = open_node(O_RDWR);
	memset(buf, 0xa5, SIZE);
	ASSERT_EQ(pwrite(fd, buf, SIZE, 0), SIZE);
	close(fd);
	reload("");
	fd = open_node(O_RDONLY);
	ASSERT_EQ(pread(fd, buf, SIZE, 0), SIZE);
	EXPECT_TRUE(all(buf, SIZE, 0));
}

TEST(the_memory_stays_when_everything_is_closed)
{
	int fd = open_node(O_WRONLY);
	char buf[5];

	ASSERT_EQ(pwrite(fd, "stays", 5, 77), 5);
	close(fd);
	fd = open_node(O_RDONLY);
	ASSERT_EQ(pread(fd, buf, 5, 77), 5);
	EXPECT_EQ(memcmp(buf, "stays", 5), 0);
}

TEST(a_read_is_short_at_the_end_and_0_after_it)
{
	char buf[200];
	int fd = open_node(O_RDONLY);

	EXPECT_EQ(pread(fd, buf, 10, SIZE - 4), 4);
	EXPECT_EQ(pread(fd, buf, 200, SIZE - 150), 150);
	EXPECT_EQ(pread(fd, buf, 10, SIZE), 0);
	EXPECT_EQ(pread(fd, buf, 200, SIZE), 0);
	EXPECT_EQ(pread(fd, buf, 10, SIZE + 1), 0);
	EXPECT_EQ(pread(fd, buf, 0, SIZE), 0);
	EXPECT_EQ(pread(fd, buf, 0, SIZE + 1), 0);
}

TEST(a_write_is_short_at_the_end_and_ENOSPC_after_it)
{
	char buf[200] = "at the end";
	int fd = open_node(O_RDWR);

	EXPECT_EQ(pwrite(fd, buf, 10, SIZE - 4), 4);
	EXPECT_EQ(pwrite(fd, buf, 200, SIZE - 150), 150);
	EXPECT_ERR(pwrite(fd, buf, 10, SIZE), ENOSPC);
	EXPECT_ERR(pwrite(fd, buf, 200, SIZE), ENOSPC);
	EXPECT_ERR(pwrite(fd, buf, 10, SIZE + 1), ENOSPC);
	EXPECT_EQ(pwrite(fd, buf, 0, SIZE), 0);
	EXPECT_EQ(pwrite(fd, buf, 0, SIZE + 1), 0);
}

TEST_WITH_TIMEOUT(with_strict_a_transfer_past_the_end_is_EINVAL_and_moves_nothing, 60)
{
	char buf[200] = "strict";
	struct iovec iov = { .iov_base = buf, .iov_len = 10 };
	int fd;

	need_module();
	reload("strict=1 size=4096");
	fd = open_again(O_RDWR);
	EXPECT_EQ(pread(fd, buf, 10, 4086), 10);
	EXPECT_EQ(pwrite(fd, buf, 200, 4096 - 200), 200);
	EXPECT_ERR(pread(fd, buf, 10, 4087), EINVAL);
	EXPECT_ERR(pread(fd, buf, 200, 4000), EINVAL);
	EXPECT_ERR(preadv(fd, &iov, 1, 4087), EINVAL);
	memset(buf, 0x77, sizeof(buf));
	EXPECT_ERR(pwrite(fd, buf, 10, 4087), EINVAL);
	EXPECT_ERR(pwrite(fd, buf, 200, 4000), EINVAL);
	EXPECT_ERR(pread(fd, buf, 1, 4096), EINVAL);
	EXPECT_ERR(pwrite(fd, buf, 1, 4096), EINVAL);
	EXPECT_ERR(pread(fd, buf, 1, INT64_MAX - 1), EINVAL);
	EXPECT_EQ(pread(fd, buf, 0, 4096), 0);
	EXPECT_EQ(pwrite(fd, buf, 0, 4096), 0);
	EXPECT_EQ(pread(fd, buf, 9, 4087), 9);
	EXPECT_NE(buf[0], 0x77);
	close(fd);
	reload("");
}

TEST(positions_have_64_bits_and_sums_do_not_wrap)
{
	static const off_t far[] = { 1LL << 31, (1LL << 32) - 50, 1LL << 32, (1LL << 32) + 16,
				     INT64_MAX - 100 };
	unsigned char buf[100], zeros[100] = { 0 };
	int fd = open_node(O_RDWR);
	size_t i;

	ASSERT_EQ(pwrite(fd, zeros, 100, 0), 100);
	memset(buf, 0xee, 100);
	for (i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		EXPECT_EQ(pread(fd, buf, 8, far[i]), 0);
		EXPECT_EQ(pread(fd, buf, 100, far[i]), 0);
		EXPECT_ERR(pwrite(fd, buf, 8, far[i]), ENOSPC);
		EXPECT_ERR(pwrite(fd, buf, 100, far[i]), ENOSPC);
	}
	ASSERT_EQ(pread(fd, buf, 100, 0), 100);
	EXPECT_EQ(memcmp(buf, zeros, 100), 0);
}

TEST(lseek_knows_the_end_and_takes_all_for_data)
{
	int fd = open_node(O_RDONLY);

	EXPECT_EQ(lseek(fd, 0, SEEK_END), SIZE);
	EXPECT_EQ(lseek(fd, -SIZE, SEEK_END), 0);
	EXPECT_EQ(lseek(fd, SIZE, SEEK_SET), SIZE);
	EXPECT_EQ(lseek(fd, -1, SEEK_CUR), SIZE - 1);
	EXPECT_EQ(lseek(fd, 5, SEEK_DATA), 5);
	EXPECT_EQ(lseek(fd, 5, SEEK_HOLE), SIZE);
	EXPECT_ERR(lseek(fd, SIZE, SEEK_DATA), ENXIO);
	EXPECT_ERR(lseek(fd, SIZE, SEEK_HOLE), ENXIO);
	EXPECT_EQ(lseek(fd, 9, SEEK_SET), 9);
	EXPECT_ERR(lseek(fd, SIZE + 1, SEEK_SET), EINVAL);
	EXPECT_ERR(lseek(fd, 1, SEEK_END), EINVAL);
	EXPECT_ERR(lseek(fd, (1LL << 32) + 3, SEEK_SET), EINVAL);
	EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 9);
}

TEST(readv_and_writev_go_through_all_their_pieces)
{
	unsigned char out[300], in[300];
	struct iovec from[] = { { out, 1 }, { out + 1, 99 }, { out + 100, 0 }, { out + 100, 200 } };
	struct iovec to[] = { { in, 150 }, { in + 150, 149 }, { in + 299, 1 } };
	int fd = open_node(O_RDWR);

	fill(out, 300, 9);
	EXPECT_EQ(pwritev(fd, from, 4, 1000), 300);
	EXPECT_EQ(preadv(fd, to, 3, 1000), 300);
	EXPECT_EQ(memcmp(in, out, 300), 0);
}

TEST(a_write_that_faults_leaves_the_bytes_that_it_did_not_bring)
{
	static const size_t halves[] = { 8, 32, 1000 };
	unsigned char before[2000], after[2000], *end = edge();
	int fd = open_node(O_RDWR);
	size_t i, half;
	ssize_t n;

	for (i = 0; i < 3; i++) {
		half = halves[i];
		fill(before, sizeof(before), i);
		ASSERT_EQ(pwrite(fd, before, sizeof(before), 0), sizeof(before));
		memset(end - half, 0xc2, half);
		ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
		n = write(fd, end - half, 2 * half);
		ASSERT_GE(n, 1);
		EXPECT_LE(n, half);
		EXPECT_EQ(lseek(fd, 0, SEEK_CUR), n);
		memset(before, 0xc2, n);
		ASSERT_EQ(pread(fd, after, sizeof(after), 0), sizeof(after));
		EXPECT_EQ(memcmp(before, after, sizeof(after)), 0);

		/* Nothing to be had at all. */
		EXPECT_ERR(write(fd, end, half), EFAULT);
		EXPECT_EQ(lseek(fd, 0, SEEK_CUR), n);
		ASSERT_EQ(pread(fd, after, sizeof(after), 0), sizeof(after));
		EXPECT_EQ(memcmp(before, after, sizeof(after)), 0);
	}
}

TEST(a_read_that_faults_is_short_or_EFAULT_and_the_position_tells_which)
{
	static const size_t halves[] = { 8, 32, 1000 };
	unsigned char expected[1000], *end = edge();
	int fd = open_node(O_RDWR);
	size_t i, half;
	ssize_t n;

	fill(expected, sizeof(expected), 3);
	ASSERT_EQ(pwrite(fd, expected, sizeof(expected), 0), sizeof(expected));
	for (i = 0; i < 3; i++) {
		half = halves[i];
		ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
		n = read(fd, end - half, 2 * half);
		ASSERT_GE(n, 1);
		EXPECT_LE(n, half);
		EXPECT_EQ(memcmp(end - half, expected, n), 0);
		EXPECT_EQ(lseek(fd, 0, SEEK_CUR), n);
		EXPECT_ERR(read(fd, end, half), EFAULT);
		EXPECT_EQ(lseek(fd, 0, SEEK_CUR), n);
	}
}

#define RECORDS (SIZE / 4)

struct sharer {
	int fd;
	unsigned char *seen;
	unsigned int bad;
};

static void *share_reads(void *arg)
{
	struct sharer *s = arg;
	uint32_t nr;
	ssize_t n;

	while ((n = read(s->fd, &nr, sizeof(nr))) > 0) {
		if (n != sizeof(nr) || nr >= RECORDS || s->seen[nr])
			s->bad++;
		else
			s->seen[nr] = 1;
	}
	s->bad += n < 0;
	return NULL;
}

TEST_WITH_TIMEOUT(threads_that_share_a_descriptor_get_each_piece_once, 60)
{
	static unsigned char seen[2][RECORDS];
	static uint32_t numbers[RECORDS];
	struct sharer sharers[2] = { { .seen = seen[0] }, { .seen = seen[1] } };
	pthread_t threads[2];
	int fd = open_node(O_RDWR);
	unsigned int i, once = 0;

	for (i = 0; i < RECORDS; i++)
		numbers[i] = i;
	ASSERT_EQ(pwrite(fd, numbers, SIZE, 0), SIZE);
	/* A quarter is enough. */
	ASSERT_EQ(lseek(fd, SIZE / 4 * 3, SEEK_SET), SIZE / 4 * 3);
	for (i = 0; i < 2; i++) {
		sharers[i].fd = fd;
		threads[i] = start(share_reads, &sharers[i]);
	}
	for (i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(sharers[i].bad, 0);
	}
	for (i = RECORDS / 4 * 3; i < RECORDS; i++)
		once += seen[0][i] + seen[1][i] == 1;
	EXPECT_EQ(once, RECORDS / 4);
}

/* Atomic */

#define RECORD 4096

/* Records of one repeated byte each: a torn one has two. */
struct tearing {
	int fd;
	size_t len;
	atomic_bool stop;
	atomic_uint torn, reads, failed;
};

static void *tear_write(void *arg)
{
	struct tearing *t = arg;
	unsigned char record[RECORD];
	unsigned int value = 0;

	while (!atomic_load(&t->stop)) {
		memset(record, ++value, t->len);
		if (pwrite(t->fd, record, t->len, 100) != (ssize_t)t->len)
			atomic_fetch_add(&t->failed, 1);
	}
	return NULL;
}

static void *tear_read(void *arg)
{
	struct tearing *t = arg;
	unsigned char record[RECORD];
	struct iovec iov[2] = { { record, t->len / 2 }, { record + t->len / 2, t->len / 2 } };
	unsigned int i;
	ssize_t n;

	for (i = 0; !atomic_load(&t->stop); i++) {
		n = i % 2 ? preadv(t->fd, iov, 2, 100) : pread(t->fd, record, t->len, 100);
		if (n != (ssize_t)t->len)
			atomic_fetch_add(&t->failed, 1);
		else if (!all(record, t->len, record[0]))
			atomic_fetch_add(&t->torn, 1);
		atomic_fetch_add(&t->reads, 1);
	}
	return NULL;
}

static void expect_no_torn_read(size_t len)
{
	struct tearing t = { .fd = open_again(O_RDWR), .len = len };
	unsigned char record[RECORD] = { 0 };
	const struct timespec pause = { .tv_nsec = STRESS_MS * 1000000 };
	pthread_t threads[4];
	unsigned int i;

	ASSERT_EQ(pwrite(t.fd, record, len, 100), len);
	for (i = 0; i < 4; i++)
		threads[i] = start(i % 2 ? tear_read : tear_write, &t);
	nanosleep(&pause, NULL);
	atomic_store(&t.stop, true);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(atomic_load(&t.torn), 0);
	EXPECT_EQ(atomic_load(&t.failed), 0);
	EXPECT_GE(atomic_load(&t.reads), 2);
	close(t.fd);
}

TEST_WITH_TIMEOUT(with_the_mutex_no_read_sees_half_a_write, 60)
{
	as_declared();
	expect_no_torn_read(SMALL);
	expect_no_torn_read(RECORD);
}

TEST_WITH_TIMEOUT(with_the_rwsem_no_read_sees_half_a_write, 60)
{
	need_locks();
	reload("lock=rwsem");
	expect_no_torn_read(SMALL);
	expect_no_torn_read(RECORD);
	reload("");
}

static void *tear_clear(void *arg)
{
	struct tearing *t = arg;

	while (!atomic_load(&t->stop)) {
		if (ioctl(t->fd, MYMEM_CLEAR))
			atomic_fetch_add(&t->failed, 1);
	}
	return NULL;
}

TEST_WITH_TIMEOUT(CLEAR_leaves_nothing_and_no_read_sees_half_of_it, 60)
{
	static unsigned char buf[SIZE];
	struct tearing t = { .fd = open_node(O_RDWR) };
	long long end = now_ms() + STRESS_MS;
	pthread_t thread = start(tear_clear, &t);
	unsigned int mixed = 0;

	while (now_ms() < end) {
		memset(buf, 0x99, RECORD * 16);
		SAFE(pwrite(t.fd, buf, RECORD * 16, 0));
		SAFE(pread(t.fd, buf, RECORD * 16, 0));
		mixed += !all(buf, RECORD * 16, buf[0]);
	}
	atomic_store(&t.stop, true);
	pthread_join(thread, NULL);
	EXPECT_EQ(mixed, 0);
	EXPECT_EQ(atomic_load(&t.failed), 0);

	memset(buf, 0x99, SIZE);
	ASSERT_EQ(pwrite(t.fd, buf, SIZE, 0), SIZE);
	SAFE(ioctl(t.fd, MYMEM_CLEAR));
	ASSERT_EQ(pread(t.fd, buf, SIZE, 0), SIZE);
	EXPECT_TRUE(all(buf, SIZE, 0));
}

TEST(CLEAR_on_a_descriptor_not_opened_for_writing_is_EBADF)
{
	int reader = open_node(O_RDONLY), writer = open_node(O_RDWR);
	char buf[1];

	ASSERT_EQ(pwrite(writer, "x", 1, 0), 1);
	EXPECT_ERR(ioctl(reader, MYMEM_CLEAR), EBADF);
	ASSERT_EQ(pread(writer, buf, 1, 0), 1);
	EXPECT_EQ(buf[0], 'x');
}

/*
 * A page whose fault waits for us: a transfer to or from it stops on its way, with its lock. Before
 * it is one that is there, and the transfer may begin in that one.
 */
struct held {
	int fd, uffd;
	unsigned char *page, *buffer;
	size_t len;
	off_t at;
	bool write, vector;
	pthread_t thread;
	ssize_t result;
};

static void *hold_run(void *arg)
{
	struct held *h = arg;
	struct iovec iov = { h->buffer, h->len };

	if (h->vector)
		h->result = preadv(h->fd, &iov, 1, h->at);
	else if (h->write)
		h->result = pwrite(h->fd, h->buffer, h->len, h->at);
	else
		h->result = pread(h->fd, h->buffer, h->len, h->at);
	return NULL;
}

static void hold_begin_at(struct held *h, size_t lead, size_t len, bool write)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct pollfd pfd = { .events = POLLIN };

	h->len = len;
	h->write = write;
	h->fd = open_again(O_RDWR);
	h->page = (unsigned char *)anonymous(2 * PAGE) + PAGE;
	h->buffer = h->page - lead;
	memset(h->page - PAGE, 0x11, PAGE);
	h->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (h->uffd < 0)
		SKIP("userfaultfd: %s", errno_name(errno));
	SAFE(ioctl(h->uffd, UFFDIO_API, &api));
	reg.range.start = (uintptr_t)h->page;
	reg.range.len = PAGE;
	SAFE(ioctl(h->uffd, UFFDIO_REGISTER, &reg));
	h->thread = start(hold_run, h);
	pfd.fd = h->uffd;
	if (poll(&pfd, 1, LOST_AFTER) != 1) {
		test_fail(__FILE__, __LINE__, "the transfer does not reach its buffer");
		test_end();
	}
}

static void hold_begin(struct held *h, size_t len, bool write)
{
	hold_begin_at(h, 0, len, write);
}

static void hold_end(struct held *h)
{
	struct uffdio_zeropage zero = { .range = { (uintptr_t)h->page, PAGE } };

	SAFE(ioctl(h->uffd, UFFDIO_ZEROPAGE, &zero));
	pthread_join(h->thread, NULL);
	EXPECT_EQ(h->result, h->len);
	munmap(h->page - PAGE, 2 * PAGE);
	close(h->uffd);
	close(h->fd);
}

struct reading {
	int fd;
	unsigned char got[SMALL];
	ssize_t n;
	atomic_int tid;
	atomic_bool done;
};

static void *read_middle(void *arg)
{
	struct reading *r = arg;

	atomic_store(&r->tid, gettid());
	r->n = pread(r->fd, r->got, SMALL, 1000 - SMALL / 2);
	atomic_store(&r->done, true);
	return NULL;
}

/* State of a process or thread as ps(1) has it; '?': not known. D: it waits for the lock. */
static char task_state(int tid)
{
	char path[64], state = '?';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%*d %*s %c", &state) != 1)
		state = '?';
	if (f)
		fclose(f);
	return state;
}

TEST(a_short_read_waits_for_a_write_that_is_half_done)
{
	unsigned char old[2000];
	struct reading r = { .fd = open_node(O_RDWR) };
	long long end;
	pthread_t thread;
	struct held h = { 0 };

	memset(old, 0x77, sizeof(old));
	ASSERT_EQ(pwrite(r.fd, old, sizeof(old), 0), sizeof(old));
	/* The first 1000 bytes are 0x11 by now, the others will be 0. */
	hold_begin_at(&h, 1000, 2000, true);
	thread = start(read_middle, &r);
	end = now_ms() + LOST_AFTER;
	while (!atomic_load(&r.done) && task_state(atomic_load(&r.tid)) != 'D' && now_ms() < end)
		sched_yield();
	EXPECT_TRUE(!atomic_load(&r.done));
	hold_end(&h);
	pthread_join(thread, NULL);
	EXPECT_EQ(r.n, SMALL);
	EXPECT_TRUE(all(r.got, SMALL / 2, 0x11));
	EXPECT_TRUE(all(r.got + SMALL / 2, SMALL / 2, 0));
	ASSERT_EQ(pread(r.fd, old, 1000, 0), 1000);
	EXPECT_TRUE(all(old, 1000, 0x11));
}

static ssize_t try_read(int fd)
{
	char buf[100];
	struct iovec iov = { buf, sizeof(buf) };

	return preadv2(fd, &iov, 1, 0, RWF_NOWAIT);
}

static ssize_t try_write(int fd, size_t len)
{
	char buf[100] = "";
	struct iovec iov = { buf, len };

	return pwritev2(fd, &iov, 1, 0, RWF_NOWAIT);
}

/* A device without RWF_NOWAIT says that any of its calls may wait for another one. */
static void need_nowait(int fd)
{
	if (try_read(fd) < 0 && errno == EOPNOTSUPP)
		SKIP("every call may wait: RWF_NOWAIT is not supported");
}

TEST(a_short_read_does_not_wait_for_a_read)
{
	int fd = open_node(O_RDWR);
	unsigned char buf[SMALL];
	struct held h = { 0 };

	need_nowait(fd);
	hold_begin(&h, 1000, false);
	EXPECT_EQ(pread(fd, buf, SMALL, 0), SMALL);
	hold_end(&h);
}

TEST(a_transfer_that_may_not_wait_is_EAGAIN_while_another_has_the_lock)
{
	int fd = open_node(O_RDWR);
	struct held h = { 0 };

	need_nowait(fd);
	EXPECT_EQ(try_read(fd), 100);
	EXPECT_EQ(try_write(fd, 100), 100);
	hold_begin(&h, 1000, false);
	EXPECT_ERR(try_read(fd), EAGAIN);
	EXPECT_ERR(try_write(fd, 100), EAGAIN);
	EXPECT_ERR(try_write(fd, 1), EAGAIN);
	hold_end(&h);
	EXPECT_EQ(try_read(fd), 100);
}

TEST(with_the_rwsem_readers_do_not_wait_for_each_other)
{
	struct held h = { 0 };
	int fd;

	need_locks();
	reload("lock=rwsem");
	fd = open_again(O_RDWR);
	hold_begin(&h, 1000, false);
	EXPECT_EQ(try_read(fd), 100);
	EXPECT_ERR(try_write(fd, 100), EAGAIN);
	hold_end(&h);
	hold_begin(&h, 1000, true);
	EXPECT_ERR(try_read(fd), EAGAIN);
	hold_end(&h);
	close(fd);
	reload("");
}

TEST(without_a_lock_nobody_waits)
{
	struct held h = { 0 };
	int fd;

	need_locks();
	reload("lock=none");
	fd = open_again(O_RDWR);
	hold_begin(&h, 1000, true);
	EXPECT_EQ(try_read(fd), 100);
	EXPECT_EQ(try_write(fd, 100), 100);
	hold_end(&h);
	close(fd);
	reload("");
}

/* Where it cannot be told not to wait, a wait is the end of the test by its time limit. */
static ssize_t write_at_once(int fd)
{
	ssize_t n = try_write(fd, 100);
	char buf[100] = "";

	return n < 0 && errno == EOPNOTSUPP ? pwrite(fd, buf, sizeof(buf), 0) : n;
}

TEST(a_small_transfer_that_faults_does_not_have_the_lock)
{
	struct held kinds[] = { { 0 }, { .write = true }, { .vector = true }, { .at = SIZE - 8 } };
	int fd = open_node(O_RDWR);
	unsigned int i;
	char buf[100];

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		hold_begin(&kinds[i], SMALL, kinds[i].write);
		EXPECT_EQ(write_at_once(fd), 100);
		EXPECT_EQ(pread(fd, buf, sizeof(buf), 0), sizeof(buf));
		/* of the last one only what lies inside */
		if (kinds[i].at)
			kinds[i].len = 8;
		hold_end(&kinds[i]);
	}
}

TEST(who_waits_for_the_lock_can_be_killed)
{
	int fd = open_node(O_RDWR), status = 0, i;
	long long end;
	struct held h = { 0 };
	char buf[1];
	pid_t pid;

	hold_begin(&h, 1000, true);
	for (i = 0; i < 2; i++) {
		pid = SAFE(fork());
		if (!pid) {
			if (i)
				pwrite(fd, "x", 1, 0);
			else
				pread(fd, buf, 1, 0);
			_exit(0);
		}
		end = now_ms() + LOST_AFTER;
		while (task_state(pid) != 'D' && now_ms() < end)
			sched_yield();
		EXPECT_EQ(task_state(pid), 'D');
		SAFE(kill(pid, SIGKILL));
		SAFE(waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
	}
	hold_end(&h);
}

/* Additions */

static int add(int fd, uint64_t offset, uint64_t value, uint64_t *old)
{
	struct mymem_add arg = { .offset = offset, .value = value };
	int ret = ioctl(fd, MYMEM_ADD, &arg);

	if (!ret && old)
		*old = arg.old;
	return ret;
}

TEST(ADD_tells_what_was_there_and_adds_modulo_2_to_the_64)
{
	uint64_t value = UINT64_MAX - 1, old = 7;
	int fd = open_node(O_RDWR);

	ASSERT_EQ(pwrite(fd, &value, 8, 16), 8);
	EXPECT_EQ(add(fd, 16, 5, &old), 0);
	EXPECT_EQ(old, UINT64_MAX - 1);
	EXPECT_EQ(number_at(fd, 16), 3);
	EXPECT_EQ(add(fd, 16, -4ULL, &old), 0);
	EXPECT_EQ(old, 3);
	EXPECT_EQ(number_at(fd, 16), UINT64_MAX);
	/* Its neighbours are its neighbours'. */
	value = 0;
	ASSERT_EQ(pwrite(fd, &value, 8, 24), 8);
	EXPECT_EQ(add(fd, 16, 1, NULL), 0);
	EXPECT_EQ(number_at(fd, 24), 0);
	EXPECT_EQ(add(fd, SIZE - 8, 1, NULL), 0);
}

TEST(ADD_where_there_is_no_number_is_EINVAL)
{
	static const uint64_t offsets[] = { 1,	      4,	  7,	     SIZE - 7,	    SIZE,
					    SIZE + 8, 1ULL << 32, INT64_MAX, UINT64_MAX - 7 };
	struct mymem_add arg = { .reserved = 1 };
	int fd = open_node(O_RDWR);
	size_t i;

	for (i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		EXPECT_ERR(add(fd, offsets[i], 1, NULL), EINVAL);
	EXPECT_ERR(ioctl(fd, MYMEM_ADD, &arg), EINVAL);
	arg.reserved = 1ULL << 63;
	EXPECT_ERR(ioctl(fd, MYMEM_ADD, &arg), EINVAL);
}

TEST(ADD_needs_a_descriptor_to_read_and_write)
{
	int reader = open_node(O_RDONLY), writer = open_node(O_WRONLY);
	uint64_t before = number_at(reader, 0);

	EXPECT_ERR(add(reader, 0, 1, NULL), EBADF);
	EXPECT_ERR(add(writer, 0, 1, NULL), EBADF);
	EXPECT_EQ(number_at(reader, 0), before);
}

TEST(an_ADD_that_cannot_answer_has_not_added)
{
	struct mymem_add *arg = anonymous(PAGE);
	int fd = open_node(O_RDWR);
	uint64_t before = number_at(fd, 0);

	arg->value = 1;
	SAFE(mprotect(arg, PAGE, PROT_READ));
	EXPECT_ERR(ioctl(fd, MYMEM_ADD, arg), EFAULT);
	EXPECT_EQ(number_at(fd, 0), before);
}

#define ADDERS 2
/* How long they add against each other. By number, one could be done before the other begins. */
#define ADD_MS	 400
#define ADDS_MAX (1 << 17)

struct adder {
	int fd;
	uint64_t *olds;
	unsigned int done, failed;
	atomic_uint *ready;
};

static void *add_many(void *arg)
{
	struct adder *a = arg;
	unsigned int i;
	long long end;

	atomic_fetch_add(a->ready, 1);
	while (atomic_load(a->ready) < ADDERS)
		sched_yield();
	end = now_ms() + ADD_MS;
	for (i = 0; i < ADDS_MAX && (i % 16 || now_ms() < end); i++)
		a->failed += add(a->fd, 8, 1, &a->olds[i]) != 0;
	a->done = i;
	return NULL;
}

/* Each value must have been somebody's, once. */
static void expect_no_lost_addition(void)
{
	static uint64_t olds[ADDERS][ADDS_MAX];
	static unsigned char seen[ADDERS * ADDS_MAX];
	struct adder adders[ADDERS];
	pthread_t threads[ADDERS];
	int fd = open_again(O_RDWR);
	unsigned int i, k, wrong = 0, total = 0;
	atomic_uint ready = 0;
	uint64_t zero = 0;

	ASSERT_EQ(pwrite(fd, &zero, 8, 8), 8);
	for (i = 0; i < ADDERS; i++) {
		adders[i] = (struct adder){ .fd = fd, .olds = olds[i], .ready = &ready };
		threads[i] = start(add_many, &adders[i]);
	}
	memset(seen, 0, sizeof(seen));
	for (i = 0; i < ADDERS; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(adders[i].failed, 0);
		total += adders[i].done;
		for (k = 0; k < adders[i].done; k++)
			wrong += olds[i][k] >= ADDERS * ADDS_MAX || seen[olds[i][k]]++;
	}
	EXPECT_EQ(wrong, 0);
	EXPECT_EQ(number_at(fd, 8), total);
	test_note("%u and %u additions", adders[0].done, adders[1].done);
	close(fd);
}

struct one_adder {
	int fd;
	struct mymem_add *add;
	atomic_int tid;
	atomic_bool done;
	int result;
};

static void *add_once(void *arg)
{
	struct one_adder *a = arg;

	atomic_store(&a->tid, gettid());
	a->result = ioctl(a->fd, MYMEM_ADD, a->add);
	atomic_store(&a->done, true);
	return NULL;
}

/* A page that can be read, and whose first write waits for us. */
static int guard_writes(void *page, struct uffdio_writeprotect *guard)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_WP };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (uffd < 0)
		SKIP("userfaultfd: %s", errno_name(errno));
	reg.range.start = (uintptr_t)page;
	reg.range.len = PAGE;
	if (ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg))
		SKIP("userfaultfd cannot guard against writes: %s", errno_name(errno));
	guard->range = reg.range;
	guard->mode = UFFDIO_WRITEPROTECT_MODE_WP;
	SAFE(ioctl(uffd, UFFDIO_WRITEPROTECT, guard));
	return uffd;
}

/* One that answers, and has not added yet, meets another one. */
TEST_WITH_TIMEOUT(an_ADD_that_comes_while_another_one_answers_is_not_lost, 60)
{
	struct mymem_add adds[2] = { { .offset = 8, .value = 1 }, { .offset = 8, .value = 1 } };
	struct uffdio_writeprotect guard = { .mode = 0 };
	struct mymem_add *held = anonymous(PAGE);
	struct one_adder first = { .add = held }, second = { .add = &adds[1] };
	struct pollfd pfd = { .events = POLLIN };
	pthread_t threads[2];
	uint64_t zero = 0;

	as_declared();
	first.fd = second.fd = open_again(O_RDWR);
	ASSERT_EQ(pwrite(first.fd, &zero, 8, 8), 8);
	*held = adds[0];
	pfd.fd = guard_writes(held, &guard);
	threads[0] = start(add_once, &first);
	ASSERT_EQ(poll(&pfd, 1, 20000), 1);
	threads[1] = start(add_once, &second);
	while (!atomic_load(&second.done) && task_state(atomic_load(&second.tid)) != 'D')
		usleep(1000);
	guard.mode = 0;
	SAFE(ioctl(pfd.fd, UFFDIO_WRITEPROTECT, &guard));
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	EXPECT_EQ(first.result, 0);
	EXPECT_EQ(second.result, 0);
	EXPECT_NE(held->old, adds[1].old);
	EXPECT_EQ(number_at(first.fd, 8), 2);
}

struct mapped_adder {
	_Atomic uint64_t *number;
	uint64_t added;
	atomic_bool begun, stop;
};

static void *add_mapped(void *arg)
{
	struct mapped_adder *m = arg;

	while (!atomic_load(&m->stop)) {
		atomic_fetch_add(m->number, 1);
		m->added++;
		atomic_store(&m->begun, true);
	}
	return NULL;
}

/* One thread adds in a mapping all the time, and this one by the call. */
static void expect_no_addition_undone(void)
{
	struct mapped_adder m = { .stop = false };
	int fd = open_again(O_RDWR);
	uint64_t zero = 0, old, last = 0;
	unsigned int i, back = 0;
	pthread_t thread;
	long long end;
	void *at;

	ASSERT_EQ(pwrite(fd, &zero, 8, 8), 8);
	at = map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	m.number = (_Atomic uint64_t *)at + 1;
	thread = start(add_mapped, &m);
	while (!atomic_load(&m.begun))
		sched_yield();
	end = now_ms() + ADD_MS;
	for (i = 0; i % 16 || now_ms() < end; i++) {
		ASSERT_EQ(add(fd, 8, 1, &old), 0);
		back += i && old <= last;
		last = old;
	}
	atomic_store(&m.stop, true);
	pthread_join(thread, NULL);
	EXPECT_EQ(back, 0);
	EXPECT_EQ(number_at(fd, 8), i + m.added);
	munmap(at, PAGE);
	close(fd);
}

TEST_WITH_TIMEOUT(no_ADD_is_lost_and_none_answers_what_another_did, 60)
{
	as_declared();
	expect_no_lost_addition();
}

TEST_WITH_TIMEOUT(ADD_and_atomic_operations_on_a_mapping_do_not_undo_each_other, 60)
{
	as_declared();
	expect_no_addition_undone();
}

TEST_WITH_TIMEOUT(no_ADD_is_lost_with_the_rwsem_or_without_a_lock, 60)
{
	need_locks();
	reload("lock=rwsem");
	expect_no_lost_addition();
	reload("lock=none");
	expect_no_lost_addition();
	expect_no_addition_undone();
	reload("");
}

/* What it is */

static struct mymem_info get_info(void)
{
	struct mymem_info info = { .size = sizeof(info) };
	int fd = open_again(O_RDONLY);

	SAFE(ioctl(fd, MYMEM_INFO, &info));
	close(fd);
	return info;
}

TEST_WITH_TIMEOUT(INFO_tells_size_lock_and_dialect, 30)
{
	static const struct {
		const char *params;
		uint64_t bytes;
		unsigned int flags;
	} kinds[] = {
		{ "size=1", 1, MYMEM_FLAG_LOCK_MUTEX },
		{ "strict=1 size=99", 99, MYMEM_FLAG_LOCK_MUTEX | MYMEM_FLAG_STRICT },
		{ "lock=rwsem strict=1 size=12345", 12345,
		  MYMEM_FLAG_LOCK_RWSEM | MYMEM_FLAG_STRICT },
		{ "lock=none", SIZE, 0 },
		{ "", SIZE, MYMEM_FLAG_LOCK_MUTEX },
	};
	struct mymem_info info;
	size_t i;

	need_module();
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strstr(kinds[i].params, "lock") && !has_locks())
			continue;
		reload(kinds[i].params);
		info = get_info();
		EXPECT_EQ(info.size, sizeof(info));
		EXPECT_EQ(info.bytes, kinds[i].bytes);
		EXPECT_EQ(info.flags, kinds[i].flags);
	}
}

TEST(INFO_serves_callers_older_and_newer_than_the_kernel)
{
	struct {
		struct mymem_info info;
		unsigned char rest[48];
	} arg;
	int fd = open_node(O_WRONLY);
	size_t i;

	for (i = 0; i < MYMEM_INFO_SIZE_VER0; i += 15) {
		arg.info.size = i;
		EXPECT_ERR(ioctl(fd, MYMEM_INFO, &arg), EINVAL);
	}
	arg.info.size = MYMEM_INFO_SIZE_MAX + 1;
	EXPECT_ERR(ioctl(fd, MYMEM_INFO, &arg), E2BIG);

	/* Older: nothing beyond its room is written. */
	memset(&arg, 0x5a, sizeof(arg));
	arg.info.size = MYMEM_INFO_SIZE_VER0;
	SAFE(ioctl(fd, MYMEM_INFO, &arg));
	EXPECT_EQ(((unsigned char *)&arg)[MYMEM_INFO_SIZE_VER0], 0x5a);

	/* Newer: what this kernel does not know is zero. */
	memset(&arg, 0x5a, sizeof(arg));
	arg.info.size = sizeof(arg);
	SAFE(ioctl(fd, MYMEM_INFO, &arg));
	EXPECT_EQ(arg.info.size, sizeof(arg.info));
	EXPECT_TRUE(all(arg.rest, sizeof(arg.rest), 0));
}

TEST(a_memory_of_one_byte_is_one)
{
	uint64_t old;
	char c = 0;
	int fd;

	need_module();
	reload("size=1");
	fd = open_again(O_RDWR);
	EXPECT_EQ(write(fd, "ab", 2), 1);
	EXPECT_ERR(write(fd, "b", 1), ENOSPC);
	EXPECT_EQ(pread(fd, &c, 1, 0), 1);
	EXPECT_EQ(c, 'a');
	EXPECT_EQ(read(fd, &c, 1), 0);
	EXPECT_ERR(add(fd, 0, 1, &old), EINVAL);
	close(fd);
	reload("");
}

TEST(transfers_longer_than_a_megabyte_are_whole)
{
	const size_t len = 2 * CHUNK + 4097;
	unsigned char *out = anonymous(len), *in = anonymous(len);
	struct iovec iov[2] = { { in, CHUNK + 5 }, { in + CHUNK + 5, len - CHUNK - 5 } };
	int fd;

	need_module();
	reload("size=3000000");
	fd = open_again(O_RDWR);
	fill(out, len, 1);
	EXPECT_EQ(pwrite(fd, out, len, 3), len);
	EXPECT_EQ(pread(fd, in, len, 3), len);
	EXPECT_EQ(memcmp(in, out, len), 0);
	memset(in, 0, len);
	EXPECT_EQ(preadv(fd, iov, 2, 3), len);
	EXPECT_EQ(memcmp(in, out, len), 0);
	SAFE(ioctl(fd, MYMEM_CLEAR));
	EXPECT_EQ(pread(fd, in, len, 0), len);
	EXPECT_TRUE(all(in, len, 0));
	close(fd);
	reload("");
}

/* Mappings */

TEST(a_shared_mapping_is_the_memory)
{
	int fd = open_node(O_RDWR);
	unsigned char *at = map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	unsigned char *later = map(fd, PAGE, PROT_READ, MAP_SHARED, SIZE - PAGE);
	char buf[4];

	ASSERT_EQ(pwrite(fd, "abcd", 4, SIZE - 4), 4);
	EXPECT_EQ(memcmp(at + SIZE - 4, "abcd", 4), 0);
	EXPECT_EQ(memcmp(later + PAGE - 4, "abcd", 4), 0);
	memcpy(at + 5000, "wxyz", 4);
	ASSERT_EQ(pread(fd, buf, 4, 5000), 4);
	EXPECT_EQ(memcmp(buf, "wxyz", 4), 0);
	SAFE(ioctl(fd, MYMEM_CLEAR));
	EXPECT_EQ(at[5000], 0);
}

TEST(a_private_mapping_keeps_its_changes_to_itself)
{
	int fd = open_node(O_RDWR);
	unsigned char *at = map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	char c = 0;

	ASSERT_EQ(pwrite(fd, "m", 1, 0), 1);
	EXPECT_EQ(at[0], 'm');
	at[0] = 'p';
	ASSERT_EQ(pread(fd, &c, 1, 0), 1);
	EXPECT_EQ(c, 'm');
}

TEST(a_writable_mapping_needs_a_descriptor_to_read_and_write)
{
	int fd = open_node(O_RDONLY);

	EXPECT_ERR((long)mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
	map(fd, PAGE, PROT_READ, MAP_SHARED, 0);
}

static sigjmp_buf bus;

static void on_bus(int sig)
{
	siglongjmp(bus, sig);
}

/* The signal that reading there raises, or 0. */
static int touch(const volatile unsigned char *at)
{
	struct sigaction sa = { .sa_handler = on_bus };
	int sig;

	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sig = sigsetjmp(bus, 1);
	if (!sig)
		(void)*at;
	return sig;
}

TEST(a_mapping_ends_where_the_memory_does)
{
	int fd = open_node(O_RDWR);
	unsigned char *at = map(fd, PAGE, PROT_READ, MAP_SHARED, SIZE - PAGE);

	EXPECT_ERR((long)mmap(NULL, SIZE + PAGE, PROT_READ, MAP_SHARED, fd, 0), EINVAL);
	EXPECT_ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, SIZE), EINVAL);
	EXPECT_ERR((long)mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, SIZE - PAGE), EINVAL);
	EXPECT_ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 1LL << 40), EINVAL);

	/* Made longer afterwards, it is there only in part. */
	at = mremap(at, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
	if (at == MAP_FAILED)
		return;
	EXPECT_EQ(touch(at), 0);
	EXPECT_EQ(touch(at + PAGE), SIGBUS);
}

TEST(the_rest_of_the_last_page_is_zero_and_nobody_elses)
{
	unsigned char *at;
	char buf[8];
	int fd;

	need_module();
	reload("size=100");
	fd = open_again(O_RDWR);
	at = map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	EXPECT_TRUE(all(at, PAGE, 0));
	at[100] = 1;
	EXPECT_EQ(pread(fd, buf, 8, 98), 2);
	EXPECT_EQ(pread(fd, buf, 8, 100), 0);
	munmap(at, PAGE);
	close(fd);
	reload("");
}

TEST(a_mapping_keeps_the_module_after_its_descriptor_is_closed)
{
	unsigned char *at;
	int fd;

	need_module();
	fd = open_node(O_RDWR);
	at = map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	close(fd);
	EXPECT_EQ(module_unload(test_module()), -EWOULDBLOCK);
	at[17] = 3;
	EXPECT_EQ(at[17], 3);
	munmap(at, PAGE);
	reload("");
}

TEST(a_transfer_to_and_from_a_mapping_of_the_device_itself_works)
{
	static unsigned char expected[8192];
	int fd = open_node(O_RDWR);
	unsigned char *at;

	fill(expected, sizeof(expected), 8);
	ASSERT_EQ(pwrite(fd, expected, sizeof(expected), 0), sizeof(expected));
	/* Not touched so far: the pages are mapped while the transfer has the lock. */
	at = map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	EXPECT_EQ(pread(fd, at + 65536, 8192, 0), 8192);
	EXPECT_EQ(memcmp(at + 65536, expected, 8192), 0);
	at = map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	EXPECT_EQ(pwrite(fd, at + 65536, 8192, 131072), 8192);
	EXPECT_EQ(memcmp(at + 131072, expected, 8192), 0);
}

struct mapper {
	int fd;
	atomic_bool stop;
};

static void *map_many(void *arg)
{
	struct mapper *m = arg;
	volatile unsigned char *at;

	while (!atomic_load(&m->stop)) {
		at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
		if (at == MAP_FAILED)
			break;
		at[SIZE / 2]++;
		munmap((void *)at, SIZE);
	}
	return NULL;
}

TEST_WITH_TIMEOUT(transfers_to_own_mappings_and_mmap_do_not_wait_for_each_other_for_ever, 60)
{
	struct mapper m = { .fd = open_node(O_RDWR) };
	long long end = now_ms() + STRESS_MS;
	pthread_t threads[2] = { start(map_many, &m), start(map_many, &m) };
	unsigned char *at;

	while (now_ms() < end) {
		at = map(m.fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
		EXPECT_EQ(pread(m.fd, at + SIZE / 4, 5000, 0), 5000);
		EXPECT_EQ(pwrite(m.fd, at + SIZE / 8, 5000, 0), 5000);
		munmap(at, SIZE);
	}
	atomic_store(&m.stop, true);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

/* Splice */

TEST(splice_moves_the_memory_both_ways)
{
	static unsigned char out[20000], in[20000];
	loff_t from = 1000, to = 100000;
	int fd = open_node(O_RDWR), pipes[2];
	ssize_t n, done = 0;

	SAFE(pipe2(pipes, O_CLOEXEC));
	fill(out, sizeof(out), 21);
	ASSERT_EQ(pwrite(fd, out, sizeof(out), from), sizeof(out));
	while (done < (ssize_t)sizeof(out)) {
		n = SAFE(splice(fd, &from, pipes[1], NULL, sizeof(out) - done, 0));
		ASSERT_GE(n, 1);
		ASSERT_EQ(splice(pipes[0], NULL, fd, &to, n, 0), n);
		done += n;
	}
	EXPECT_EQ(from, 1000 + sizeof(out));
	EXPECT_EQ(to, 100000 + sizeof(out));
	ASSERT_EQ(pread(fd, in, sizeof(in), 100000), sizeof(in));
	EXPECT_EQ(memcmp(in, out, sizeof(in)), 0);
}

TEST(splice_at_the_end_is_short_then_0_or_ENOSPC)
{
	loff_t at = SIZE - 10;
	int fd = open_node(O_RDWR), pipes[2];

	SAFE(pipe2(pipes, O_CLOEXEC | O_NONBLOCK));
	EXPECT_EQ(splice(fd, &at, pipes[1], NULL, 100, 0), 10);
	EXPECT_EQ(splice(fd, &at, pipes[1], NULL, 100, 0), 0);
	at = SIZE - 6;
	EXPECT_EQ(splice(pipes[0], NULL, fd, &at, 10, 0), 6);
	EXPECT_ERR(splice(pipes[0], NULL, fd, &at, 4, 0), ENOSPC);
}

TEST(sendfile_copies_the_memory_to_a_file)
{
	static unsigned char out[70000], in[70000];
	FILE *file = tmpfile();
	int fd = open_node(O_RDWR);
	off_t from = 4;
	ssize_t n, done = 0;

	ASSERT_TRUE(file);
	fill(out, sizeof(out), 2);
	ASSERT_EQ(pwrite(fd, out, sizeof(out), 4), sizeof(out));
	while (done < (ssize_t)sizeof(out)) {
		n = SAFE(sendfile(fileno(file), fd, &from, sizeof(out) - done));
		ASSERT_GE(n, 1);
		done += n;
	}
	ASSERT_EQ(pread(fileno(file), in, sizeof(in), 0), sizeof(in));
	EXPECT_EQ(memcmp(in, out, sizeof(in)), 0);
}

/* Loading */

static void expect_refused(const char *params, int err, const char *text)
{
	unsigned int before;
	char message[256];

	snprintf(message, sizeof(message), "%s: %s", test_module(), text);
	before = log_count(message);
	EXPECT_EQ(module_load(test_module(), params), err);
	if (log_count(message) != before + 1)
		test_fail(__FILE__, __LINE__, "%s: the log does not have one \"%s\" more", params,
			  message);
}

TEST_WITH_TIMEOUT(a_parameter_out_of_range_is_refused_with_a_message, 60)
{
	bool locks;

	need_module();
	as_declared();
	locks = has_locks();
	ASSERT_EQ(module_unload(test_module()), 0);
	expect_refused("size=0", -EINVAL, "size 0: expected 1 to 1073741824");
	expect_refused("size=1073741825", -EINVAL, "size 1073741825: expected");
	expect_refused("size=18446744073709551615", -EINVAL, "size 18446744073709551615: expected");
	expect_refused("size=-1", -EINVAL, "`-1' invalid for parameter `size'");
	expect_refused("mode=0", -EINVAL, "mode 0: expected");
	expect_refused("mode=0777", -EINVAL, "mode 0777: expected");
	if (locks) {
		expect_refused("lock=spinlock", -EINVAL,
			       "lock \"spinlock\": expected mutex, rwsem");
		expect_refused("lock=", -EINVAL, "lock \"\": expected");
	}
	expect_refused("strict=2", -EINVAL, "`2' invalid for parameter `strict'");
	EXPECT_TRUE(!module_loaded(test_module()));
	EXPECT_EQ(access(test_node(), F_OK), -1);
	reload("");
}

TEST(more_than_the_machine_has_is_ENOMEM_and_costs_nobody_else_anything)
{
	struct sysinfo si;

	need_module();
	as_declared();
	SAFE(sysinfo(&si));
	if ((uint64_t)si.totalram * si.mem_unit >= MYMEM_SIZE_MAX)
		SKIP("this machine has a gigabyte");
	ASSERT_EQ(module_unload(test_module()), 0);
	expect_refused("size=1073741824", -ENOMEM, "no memory for 1073741824 bytes");
	reload("");
}

TEST(loading_and_unloading_say_one_line_each)
{
	char loaded[256], removed[128];
	unsigned int loads, removals;
	const char *lock;

	need_module();
	as_declared();
	lock = has_locks() ? "rwsem" : "mutex";
	snprintf(loaded, sizeof(loaded), "%s: 4096 bytes at %s, lock %s, strict", test_module(),
		 test_node(), lock);
	snprintf(removed, sizeof(removed), "%s: removed", test_module());
	loads = log_count(loaded);
	removals = log_count(removed);
	reload(has_locks() ? "size=4096 strict=1 lock=rwsem" : "size=4096 strict=1");
	EXPECT_EQ(log_count(loaded), loads + 1);
	EXPECT_EQ(log_count(removed), removals + 1);
	reload("");
}

TEST(the_node_has_the_mode_of_the_parameter)
{
	struct stat st;

	need_module();
	reload("mode=0640");
	SAFE(stat(test_node(), &st));
	EXPECT_EQ(st.st_mode & 07777, 0640);
	reload("");
	SAFE(stat(test_node(), &st));
	EXPECT_EQ(st.st_mode & 07777, MYMEM_MODE_DEFAULT);
}

/* The client */

static void expect_line(const struct program_output *o, int status, const char *text)
{
	const char *end = strchr(o->err, '\n');

	EXPECT_EQ(o->status, status);
	if (!strstr(o->err, text))
		test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", o->err, text);
	if (!end || end[1])
		test_fail(__FILE__, __LINE__, "\"%s\" is not one line", o->err);
}

static struct program_output client(const char *words)
{
	return program_run("mymemctl -d %s %s", test_node(), words);
}

TEST_WITH_TIMEOUT(mymemctl_reads_writes_fills_clears_and_adds, 60)
{
	struct program_output o;

	as_declared();
	EXPECT_EQ(client("clear").status, 0);
	EXPECT_EQ(client("write 3 abc").status, 0);
	EXPECT_EQ(client("fill 0x7a 6 2").status, 0);
	o = client("read 3 5");
	EXPECT_EQ(o.status, 0);
	EXPECT_EQ(strcmp(o.out, "abczz"), 0);
	EXPECT_EQ(client("fill 65 524284").status, 0);
	o = client("read 0x7fffc");
	EXPECT_EQ(strcmp(o.out, "AAAA"), 0);
	EXPECT_EQ(client("clear").status, 0);
	EXPECT_EQ(strcmp(client("add 8 0xDEADBEEF").out, "0\n"), 0);
	EXPECT_EQ(strcmp(client("--json add 8 1").out, "{\"old\":3735928559}\n"), 0);
	EXPECT_EQ(strcmp(client("size").out, "524288\n"), 0);
	EXPECT_EQ(strcmp(client("--json info").out,
			 "{\"bytes\":524288,\"lock\":\"mutex\",\"strict\":false}\n"),
		  0);
}

TEST_WITH_TIMEOUT(mymemctl_read_ends_where_a_strict_memory_does, 60)
{
	struct program_output o;

	need_module();
	reload("strict=1 size=1000");
	EXPECT_EQ(client("fill 65").status, 0);
	o = client("read");
	EXPECT_EQ(o.status, 0);
	EXPECT_EQ(strlen(o.out), 1000);
	o = client("read 990");
	EXPECT_EQ(o.status, 0);
	EXPECT_EQ(strcmp(o.out, "AAAAAAAAAA"), 0);
	o = client("read 1000");
	EXPECT_EQ(o.status, 0);
	EXPECT_EQ(strlen(o.out), 0);
	/* Asked for by the caller, it is refused as the device does. */
	o = client("read 990 11");
	expect_line(&o, 1, "cannot read: Invalid argument");
	reload("");
}

TEST_WITH_TIMEOUT(mymemctl_tells_wrong_usage_from_failure, 60)
{
	static const char *const wrong[] = {
		"add 8",	  "add 8 x",	 "write",	    "write x y",  "write 1 2 3",
		"fill",		  "fill 256",	 "read x",	    "read 1 2 3", "size 1",
		"clear 1",	  "nonsense",	 "-w 0 race",	    "-w 1, race", "-w 1001 race",
		"-n 0 race",	  "-t 101 race", "-c 0 bench",	    "-c 5 race",  "-n 5 bench",
		"--records size", "--json race", "--debugfs / add", "-w 2 size"
	};
	struct program_output o;
	size_t i;

	as_declared();
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		o = program_run("mymemctl %s", wrong[i]);
		expect_line(&o, 2, "mymemctl: ");
	}
	o = program_run("mymemctl --nonsense size");
	expect_line(&o, 2, "nonsense");
	EXPECT_EQ(program_run("mymemctl").status, 2);
	EXPECT_EQ(program_run("mymemctl --help").status, 0);

	o = program_run("mymemctl --device /dev/nothing size");
	expect_line(&o, 1, "/dev/nothing: cannot open: No such file or directory (is the module");
	o = program_run("mymemctl --device /dev/null size");
	expect_line(&o, 1, "(not a mymem device)");
	o = client("write 524288 x");
	expect_line(&o, 1, "cannot write: No space left on device (that is past its end)");
	o = client("add 4 1");
	expect_line(&o, 1, "no number at offset 4");
	o = client("add 524288 1");
	expect_line(&o, 1, "no number at offset 524288");
}

TEST(mymemctl_says_whom_the_node_is_closed_to)
{
	struct program_output o;

	as_declared();
	o = program_run_as(NOBODY, "mymemctl --device %s size", test_node());
	expect_line(&o, 1, "cannot open: Permission denied (see the module's parameter");
}

static void find(const char *text, const char *what)
{
	if (!strstr(text, what))
		test_fail(__FILE__, __LINE__, "\"%s\" is not in: %s", what, text);
}

TEST_WITH_TIMEOUT(mymemctl_bench_has_a_figure_for_each_length_and_leaves_the_memory_alone, 60)
{
	static unsigned char before[SIZE], after[SIZE];
	int fd = open_node(O_RDWR);
	struct program_output o;

	fill(before, SIZE, 77);
	ASSERT_EQ(pwrite(fd, before, SIZE, 0), SIZE);
	o = client("bench -c 3 --records");
	EXPECT_EQ(o.status, 0);
	find(o.out,
	     "{\"table\":\"Mean time of a call\",\"row\":\"read, 1 byte\",\"column\":\"user space\",\"value\":");
	find(o.out, "\"row\":\"write, 1 byte\"");
	find(o.out, "\"row\":\"read, 64 bytes\"");
	find(o.out, "\"row\":\"read, 1024 bytes\"");
	find(o.out, "\"row\":\"read, 65536 bytes\"");
	find(o.out, "\"row\":\"write, 524288 bytes\"");
	ASSERT_EQ(pread(fd, after, SIZE, 0), SIZE);
	EXPECT_EQ(memcmp(before, after, SIZE), 0);
}

TEST_WITH_TIMEOUT(mymemctl_race_loses_nothing_with_either_cure_and_leaves_the_memory_alone, 60)
{
	int fd = open_node(O_RDWR);
	struct program_output o;

	ASSERT_EQ(pwrite(fd, "untouched", 9, 0), 9);
	o = client("race --records -w 1,3 -n 300 -t 2");
	EXPECT_EQ(o.status, 0);
	find(o.out, "\"row\":\"W=1\",\"column\":\"no exclusion\",\"value\":0,\"unit\":\"%\"");
	find(o.out, "\"row\":\"W=3\",\"column\":\"no exclusion\",\"value\":");
	find(o.out, "\"row\":\"W=3\",\"column\":\"lock in user space\",\"value\":0,\"unit\":\"%\"");
	find(o.out, "\"row\":\"W=3\",\"column\":\"atomic ioctl\",\"value\":0,\"unit\":\"%\"");
	EXPECT_EQ(number_at(fd, 0), *(const uint64_t *)"untouche");
}

/* A race that would take for ever, under way. */
static pid_t start_race(int fd, uint64_t before)
{
	int out = SAFE(open("/dev/null", O_WRONLY | O_CLOEXEC));
	pid_t pid = program_start(out, STDERR_FILENO, "mymemctl -d %s race -w 3 -n 1000000000",
				  test_node());
	long long end = now_ms() + 5 * LOST_AFTER; /* a program has to start first */

	close(out);
	while (number_at(fd, 0) == before && now_ms() < end)
		sched_yield();
	return pid;
}

TEST_WITH_TIMEOUT(mymemctl_race_leaves_the_memory_alone_also_when_a_signal_ends_it, 60)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	const uint64_t before = *(const uint64_t *)"untouche";
	int fd = open_node(O_RDWR), out[2], status;
	size_t i;
	pid_t pid;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		ASSERT_EQ(pwrite(fd, &before, sizeof(before), 0), sizeof(before));
		/* The lab's agent may have it ignored. */
		signal(signals[i], SIG_DFL);
		pid = start_race(fd, before);
		EXPECT_NE(number_at(fd, 0), before);
		SAFE(kill(pid, signals[i]));
		SAFE(waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
		EXPECT_EQ(number_at(fd, 0), before);
	}

	/* Nobody reads what it prints, as with head(1). */
	ASSERT_EQ(pwrite(fd, &before, sizeof(before), 0), sizeof(before));
	SAFE(pipe2(out, O_CLOEXEC));
	close(out[0]);
	signal(SIGPIPE, SIG_DFL);
	pid = program_start(out[1], STDERR_FILENO, "mymemctl -d %s race -w 1 -n 10", test_node());
	close(out[1]);
	SAFE(waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
	EXPECT_EQ(number_at(fd, 0), before);
}
