// SPDX-License-Identifier: GPL-2.0
/*
 * Claims about the forms of read and write that a driver sees as one: vectors, flags of preadv2 and pwritev2, lengths
 * of gigabytes, positions near 2^63.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CLAIM_ORDER 213

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "conform.h"

/* Linux's limits of one call: MAX_RW_COUNT on pages of 4 KiB or more, and the segments of a vector. */
#define TRANSFER_MAX 0x7ffff000L
#define SEGMENTS_MAX 1024

#ifndef RWF_HIPRI
#define RWF_HIPRI 1
#endif
#ifndef RWF_DSYNC
#define RWF_DSYNC 2
#endif
#ifndef RWF_SYNC
#define RWF_SYNC 4
#endif
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

/* Cuts a buffer into segments of those lengths; a last one takes what is left. */
static int cut(struct iovec *v, unsigned char *buf, size_t len, const size_t *lengths, int n)
{
	size_t take;
	int i;

	for (i = 0; i <= n && (len || i < n); i++) {
		take = i < n && lengths[i] < len ? lengths[i] : len;
		v[i] = (struct iovec){ .iov_base = buf, .iov_len = take };
		buf += take;
		len -= take;
	}
	return i;
}

/* A vector must give a piece of what one buffer gives; less is allowed, as in any read. */
static void expect_piece(const char *what, long ret, const unsigned char *got,
			 const unsigned char *ref, size_t len)
{
	if (ret == -EINVAL && !facts->positioned)
		SKIP("a read takes whole records");
	if (ret <= 0 || ret > (long)len)
		test_fail(__FILE__, __LINE__, "%s of %zu bytes: %s", what, len, result(ret));
	else if (memcmp(got, ref, ret))
		test_fail(__FILE__, __LINE__, "%s: the bytes differ", what);
}

/* readv(2): "buffers are processed in array order", as one. */
CLAIM(vec_read, "vec.read", NEED_DATA, "a read into several buffers gives what one large one gets")
{
	static const size_t lengths[] = { 5, 16, 1 };
	unsigned char ref[48], got[48] = { 0 };
	int fd = dev_open(MODE_READ), n;
	struct iovec v[8];
	size_t len;

	len = reference(&fd, ref, sizeof(ref));
	n = cut(v, got, len, lengths, 3);
	expect_piece("readv", TICKED(readv(fd, v, n)), got, ref, len);
}

CLAIM(vec_write, "vec.write", NEED_WRITE | NEED_POS,
      "a write from several buffers stores them one behind the other")
{
	static const size_t lengths[] = { 5, 16, 1 };
	unsigned char ref[48], got[48];
	int fd = dev_open(MODE_ANY), n;
	struct iovec v[8];
	long ret;

	stored(fd, ref, sizeof(ref));
	dev_seek(fd, 0, SEEK_SET);
	pattern_fill(ref, sizeof(ref), 0x52);
	n = cut(v, ref, sizeof(ref), lengths, 3);
	ret = TICKED(writev(fd, v, n));
	if (ret <= 0 || ret > (long)sizeof(ref)) {
		test_fail(__FILE__, __LINE__, "writev of %zu bytes: %s", sizeof(ref), result(ret));
		return;
	}
	EXPECT_EQ(dev_pread(fd, got, ret, 0), ret);
	if (memcmp(got, ref, ret))
		test_fail(__FILE__, __LINE__, "other bytes are stored");
}

/* A driver that goes from segment to segment must not take an empty one for the end. */
CLAIM(vec_empty, "vec.empty", NEED_DATA,
      "empty segments of a vector change nothing; one of nothing else reads 0 bytes")
{
	static const size_t lengths[] = { 0, 16, 0, 0 };
	unsigned char ref[48], got[48] = { 0 };
	int fd = dev_open(MODE_READ), n;
	struct iovec v[8];
	size_t len;

	len = reference(&fd, ref, sizeof(ref));
	n = cut(v, got, 0, lengths, 4);
	EXPECT_EQ(TICKED(readv(fd, v, n)), 0);
	n = cut(v, got, len, lengths, 4);
	expect_piece("readv", TICKED(readv(fd, v, n)), got, ref, len);
}

/* limits.h, IOV_MAX: so many are allowed, and 1025 the kernel refuses by itself. */
CLAIM(vec_many, "vec.many", NEED_DATA,
      "a read into 1024 buffers of one byte each is like any other")
{
	static unsigned char ref[SEGMENTS_MAX], got[SEGMENTS_MAX];
	static struct iovec v[SEGMENTS_MAX];
	int fd = dev_open(MODE_READ), i;
	size_t len;
	long ret;

	len = reference(&fd, ref, sizeof(ref));
	for (i = 0; i < SEGMENTS_MAX; i++)
		v[i] = (struct iovec){ .iov_base = got + i, .iov_len = 1 };
	ret = TICKED(readv(fd, v, SEGMENTS_MAX));
	/* Of an endless device, reads of this length may give less. */
	expect_piece("readv", ret, got, ref, len);
}

static long read_flagged(int fd, void *buf, size_t len, int flags)
{
	struct iovec v = { .iov_base = buf, .iov_len = len };

	return TICKED(preadv2(fd, &v, 1, facts->positioned ? 0 : -1, flags));
}

/*
 * preadv2(2), RWF_NOWAIT: "do not wait for data which is not immediately available", and EOPNOTSUPP where that is not
 * offered (no FMODE_NOWAIT). Who waits is interrupted by the tick.
 */
CLAIM(rwf_nowait, "rwf.nowait", NEED_READ,
      "preadv2 with RWF NOWAIT does not wait: data, EAGAIN, or EOPNOTSUPP where it is not offered")
{
	int fd = dev_open(MODE_READ);
	char buf[4096];
	long ret;

	drain(fd);
	fcntl(fd, F_SETFL, 0);
	ret = read_flagged(fd, buf, facts->positioned ? 16 : sizeof(buf), RWF_NOWAIT);
	if (ret == -EOPNOTSUPP)
		SKIP("RWF_NOWAIT is not offered");
	if (facts->read == READ_FAILS && ret == -facts->read_err)
		return;
	if (ret < 0 && ret != -EAGAIN)
		test_fail(__FILE__, __LINE__, "the read %s", ret == -EINTR ? "waits" : result(ret));
	if (!conf.event || facts->read != READ_WAITS)
		return;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	raise_event();
	await_data(fd);
	fcntl(fd, F_SETFL, 0);
	ret = read_flagged(fd, buf, sizeof(buf), RWF_NOWAIT);
	if (ret <= 0)
		test_fail(__FILE__, __LINE__, "after an event: %s", result(ret));
}

/*
 * preadv2(2): "high priority" is a wish, and DSYNC and SYNC are about what a crash leaves. No reason to refuse what is
 * done without them.
 */
CLAIM(rwf_hints, "rwf.hints", NEED_DATA,
      "RWF HIPRI, DSYNC and SYNC change nothing in what is read and written")
{
	static const int flags[] = { RWF_HIPRI, RWF_DSYNC, RWF_SYNC };
	unsigned char ref[64], got[64] = { 0 };
	int fd = dev_open(MODE_READ), i;
	struct iovec v = { .iov_base = ref };
	long plain, ret;
	size_t len;

	len = reference(&fd, ref, sizeof(ref));
	ret = read_flagged(fd, got, len, RWF_HIPRI);
	if (ret != -EOPNOTSUPP)
		expect_piece("a read with RWF_HIPRI", ret, got, ref, len);
	if (facts->mode != O_RDWR || !facts->writes || !facts->positioned)
		return;
	v.iov_len = len;
	plain = TICKED(pwritev2(fd, &v, 1, 0, 0));
	for (i = 0; i < 3; i++) {
		ret = TICKED(pwritev2(fd, &v, 1, 0, flags[i]));
		if (ret != plain && ret != -EOPNOTSUPP)
			test_fail(__FILE__, __LINE__, "a write with flag %d: %s, without %s",
				  flags[i], result(ret), result(plain));
	}
}

/* 2 GiB of addresses. What is there is more than a device of a usual size gives or takes, and no more than a guest has. */
static unsigned char *wide_buffer(void)
{
	const size_t all = (size_t)1 << 31, there = 32 << 20;
	unsigned char *map;

	if (sizeof(size_t) < 8)
		SKIP("lengths above 2 GiB need 64 bits");
	map = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED || mprotect(map, there, PROT_READ | PROT_WRITE))
		SKIP("no room for a wide buffer: %s", errno_name(errno));
	return map;
}

/* Lengths whose lower 16 or 32 bits are 0. The kernel makes 0x7ffff000 of the last. */
static const size_t wide_lengths[] = { 1 << 16, 1 << 24, 0x7fff0000, (size_t)UINT32_MAX + 1 };
#define N_WIDE (sizeof(wide_lengths) / sizeof(wide_lengths[0]))

/*
 * Errors are read.huge's finding: this claim is about lengths that are cut to another type on their way, and become 0.
 */
CLAIM(huge_read, "huge.read", NEED_DATA,
      "a read of 64 KiB, 2 GiB or 4 GiB is not taken for one of 0 bytes, and gives the same bytes")
{
	unsigned char ref[256], *buf = wide_buffer();
	int fd = dev_open(MODE_READ);
	unsigned int i;
	size_t len;
	long ret;

	len = reference(&fd, ref, sizeof(ref));
	for (i = 0; i < N_WIDE; i++) {
		memset(buf, 0, len);
		ret = dev_read(fd, buf, wide_lengths[i]);
		if (!ret || ret > TRANSFER_MAX)
			test_fail(__FILE__, __LINE__, "a read of %zu bytes: %ld", wide_lengths[i],
				  ret);
		else if (ret > 0 && memcmp(buf, ref, ret < (long)len ? ret : (long)len))
			test_fail(__FILE__, __LINE__, "a read of %zu bytes: the bytes differ",
				  wide_lengths[i]);
		fd = rewound(fd);
	}
}

CLAIM(huge_write, "huge.write", NEED_WRITE | NEED_SIZE,
      "a write of 64 KiB, 2 GiB or 4 GiB is not taken for one of 0 bytes, and no more is taken than there is room for")
{
	unsigned char *buf = wide_buffer();
	int fd = dev_open(MODE_WRITE);
	unsigned int i;
	long ret;

	if (facts->discards)
		SKIP("the device never looks at what is written");
	for (i = 0; i < N_WIDE; i++) {
		ret = dev_pwrite(fd, buf, wide_lengths[i], 0);
		if (dev_seek(fd, 0, SEEK_END) != facts->size)
			SKIP("the device grows");
		if (!ret || ret > facts->size)
			test_fail(__FILE__, __LINE__, "a write of %zu bytes: %ld, to %lld",
				  wide_lengths[i], ret, (long long)facts->size);
	}
}

/*
 * The kernel refuses what passes 2^63 itself; up to there a driver is asked. One that rounds up, or adds a length,
 * comes out at a negative number.
 */
static const off_t top_positions[] = { INT64_MAX - 8, INT64_MAX - 4096, INT64_MAX - 65535 };
#define N_TOP (sizeof(top_positions) / sizeof(top_positions[0]))

CLAIM(pos_read, "pos.read", NEED_SIZE | NEED_READ,
      "a read just below position 2^63 gives 0 bytes, or fails with EINVAL, EOVERFLOW, EFBIG or ENXIO")
{
	int fd = dev_open(MODE_READ);
	unsigned int i;
	char buf[8];
	long ret;

	for (i = 0; i < N_TOP; i++) {
		ret = dev_pread(fd, buf, sizeof(buf), top_positions[i]);
		if (ret && ret != -EINVAL && ret != -EOVERFLOW && ret != -EFBIG && ret != -ENXIO &&
		    !(facts->read == READ_FAILS && ret == -facts->read_err))
			test_fail(__FILE__, __LINE__, "pread at 2^63 - %lld: %s",
				  (long long)(INT64_MAX - top_positions[i]) + 1, result(ret));
	}
}

CLAIM(pos_write, "pos.write", NEED_SIZE | NEED_WRITE,
      "a write just below position 2^63 fails with EFBIG, ENOSPC, EINVAL, EOVERFLOW or ENXIO, and stores nothing")
{
	unsigned char ref[64], got[64],
		junk[8] = { 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee };
	int fd = dev_open(MODE_WRITE);
	bool kept = facts->mode == O_RDWR && pattern_store(fd, ref, sizeof(ref));
	unsigned int i;
	long ret;

	if (facts->discards)
		SKIP("the device never looks at what is written");
	for (i = 0; i < N_TOP; i++) {
		ret = dev_pwrite(fd, junk, sizeof(junk), top_positions[i]);
		if (ret != -EFBIG && ret != -ENOSPC && ret != -EINVAL && ret != -EOVERFLOW &&
		    ret != -ENXIO)
			test_fail(__FILE__, __LINE__, "pwrite at 2^63 - %lld: %s",
				  (long long)(INT64_MAX - top_positions[i]) + 1, result(ret));
	}
	if (kept &&
	    (dev_pread(fd, got, sizeof(got), 0) != sizeof(got) || memcmp(got, ref, sizeof(ref))))
		test_fail(__FILE__, __LINE__, "the bytes at the start have changed");
}

/* lseek(2), EINVAL and EOVERFLOW: the size is added, and the sum has to fit. */
CLAIM(pos_end, "pos.end", NEED_SIZE,
      "SEEK END by the largest offset fails with EINVAL or EOVERFLOW, and the position stays")
{
	int fd = dev_open(MODE_ANY);
	long ret;

	EXPECT_EQ(dev_seek(fd, 8, SEEK_SET), 8);
	ret = dev_seek(fd, INT64_MAX, SEEK_END);
	if (ret != -EINVAL && ret != -EOVERFLOW)
		test_fail(__FILE__, __LINE__, "SEEK_END by 2^63 - 1: %s", result(ret));
	EXPECT_EQ(dev_seek(fd, 0, SEEK_CUR), 8);
}
