// SPDX-License-Identifier: GPL-2.0
/*
 * Claims about read, write and the file position.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CLAIM_ORDER 202

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform.h"

/* How much of a stream is looked at: an endless device must not keep the suite. */
#define STREAM_MAX (64 * 1024)
#define END_MAX	   (4 * 1024 * 1024)

/*
 * POSIX read(): "if nbyte is zero ... shall return zero and have no other results". Defect 15: it
 * returned 1.
 */
CLAIM(read_zero, "read.zero", NEED_READ, "a read of length 0 returns 0 and consumes nothing")
{
	int fd = dev_open(MODE_READ);
	char buf[4096];
	long ret;

	if (facts->read == READ_FAILS)
		SKIP("a read fails with %s", errno_name(facts->read_err));
	drain(fd);
	if (facts->read == READ_WAITS || facts->read == READ_BLOCKS) {
		if (conf.event) {
			raise_event();
			await_data(fd);
		}
	}
	memset(buf, 0x5a, 8);
	ret = dev_read(fd, buf, 0);
	/* POSIX lets it detect errors first, and "no data" is one. With an event there is none. */
	if (ret && !(ret == -EAGAIN && !conf.event))
		test_fail(__FILE__, __LINE__, "read of length 0: %s", result(ret));
	EXPECT_EQ(buf[0], 0x5a);
	if (facts->positioned)
		EXPECT_EQ(dev_seek(fd, 0, SEEK_CUR), 0);
	if (!ret && conf.event && (facts->read == READ_WAITS || facts->read == READ_BLOCKS) &&
	    dev_read(fd, buf, sizeof(buf)) <= 0)
		test_fail(__FILE__, __LINE__, "the event is gone after a read of length 0");
}

/* The same of write(); ENOSPC is /dev/full's answer to any length. */
CLAIM(write_zero, "write.zero", NEED_WRITE, "a write of length 0 returns 0 and moves nothing")
{
	int fd = dev_open(MODE_WRITE);
	long ret = dev_write(fd, "", 0);

	if (ret && ret != -ENOSPC)
		test_fail(__FILE__, __LINE__, "write of length 0: %s", result(ret));
	if (facts->positioned)
		EXPECT_EQ(dev_seek(fd, 0, SEEK_CUR), 0);
}

/* 64 KiB that are there, and 3 GiB behind them that are not. */
static unsigned char *huge_buffer(void)
{
	size_t size = (size_t)3 << 30;
	unsigned char *map;

	if (sizeof(size_t) < 8)
		SKIP("lengths above 2 GiB need 64 bits");
	map = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		SKIP("no room for a huge buffer");
	mprotect(map, STREAM_MAX, PROT_READ | PROT_WRITE);
	return map;
}

/*
 * read(2): lengths above 0x7ffff000 are cut to that by the kernel, and SSIZE_MAX is a legal length.
 * A driver that adds them up in an int, or allocates a bounce buffer of that size, is found here.
 */
CLAIM(read_huge, "read.huge", NEED_DATA,
      "a read of a huge length returns what a large one does, or fails with EFAULT")
{
	static const size_t lengths[] = { (size_t)INT_MAX + 1, SSIZE_MAX };
	unsigned char *buf = huge_buffer();
	long plain, ret;
	unsigned int i;
	int fd;

	fd = dev_open(MODE_READ);
	plain = dev_read(fd, buf, STREAM_MAX);
	close(fd);
	if (plain < 0)
		SKIP("a read of %d bytes fails: %s", STREAM_MAX, result(plain));
	for (i = 0; i < 2; i++) {
		fd = dev_open(MODE_READ);
		ret = dev_read(fd, buf, lengths[i]);
		if (ret != -EFAULT && (ret < 0 || ret > STREAM_MAX))
			test_fail(__FILE__, __LINE__, "read of %zu bytes: %s, of %d bytes: %ld",
				  lengths[i], result(ret), STREAM_MAX, plain);
		close(fd);
	}
}

/* The same of write(). A device may refuse what it has no room for. */
CLAIM(write_huge, "write.huge", NEED_WRITE,
      "a write of a huge length is short or fails with EFAULT, EINVAL, EFBIG, ENOSPC, EMSGSIZE or EAGAIN")
{
	unsigned char *buf = huge_buffer();
	int fd = dev_open(MODE_WRITE);
	long ret;

	if (facts->discards)
		SKIP("the device never looks at what is written");
	ret = dev_write(fd, buf, (size_t)INT_MAX + 1);
	if (ret > STREAM_MAX || (ret < 0 && ret != -EFAULT && ret != -EINVAL && ret != -EFBIG &&
				 ret != -ENOSPC && ret != -EMSGSIZE && ret != -EAGAIN))
		test_fail(__FILE__, __LINE__, "write of %zu bytes: %s", (size_t)INT_MAX + 1,
			  result(ret));
}

/*
 * POSIX read(): a short buffer takes a part, the next read goes on behind it. The greeter failed
 * it.
 */
CLAIM(read_parts, "read.parts", NEED_DATA,
      "reads of 1, 3, 7 and 13 bytes in turn give the same stream as large ones")
{
	static const size_t steps[] = { 1, 3, 7, 13 };
	unsigned char whole[512], again[512], parts[512] = { 0 };
	int fd = dev_open(MODE_ANY);
	size_t len, at = 0;
	unsigned int i;
	long ret;

	if (facts->mode == O_WRONLY)
		SKIP("opens only for writing");
	pattern_store(fd, whole, sizeof(whole));
	len = read_stream(fd, whole, sizeof(whole));
	if (!facts->positioned || dev_seek(fd, 0, SEEK_SET)) {
		close(fd);
		fd = dev_open(MODE_READ);
	}
	if (read_stream(fd, again, sizeof(again)) != len || memcmp(whole, again, len))
		SKIP("the content differs from one reading to the next");
	if (!facts->positioned || dev_seek(fd, 0, SEEK_SET)) {
		close(fd);
		fd = dev_open(MODE_READ);
	}
	for (i = 0; at < len; i++) {
		ret = steps[i % 4] < len - at ? steps[i % 4] : len - at;
		ret = dev_read(fd, parts + at, ret);
		if (ret == -EINVAL && !at)
			SKIP("a read takes whole records");
		if (ret <= 0) {
			test_fail(__FILE__, __LINE__, "after %zu of %zu bytes: %s", at, len,
				  result(ret));
			return;
		}
		at += ret;
	}
	if (memcmp(whole, parts, len))
		test_fail(__FILE__, __LINE__, "the bytes differ");
}

/* POSIX read(): 0 at the end of the file. The originals of mymem said EINVAL. */
CLAIM(read_eof, "read.eof", NEED_READ, "at the end read returns 0, again and again")
{
	static char buf[STREAM_MAX];
	long long until = now_ms() + 1000;
	int fd = dev_open(MODE_READ);
	size_t len = 0;
	long ret = 1;
	int i;

	if (facts->read == READ_WAITS || facts->read == READ_BLOCKS)
		SKIP("a read waits for data: there is no end");
	if (facts->read == READ_FAILS)
		SKIP("a read fails with %s", errno_name(facts->read_err));
	if (facts->size > 0)
		dev_seek(fd, 0, SEEK_END);
	while (ret > 0) {
		if (len > END_MAX || now_ms() > until)
			SKIP("no end within %zu bytes", len);
		ret = dev_read(fd, buf, sizeof(buf));
		if (ret > 0)
			len += ret;
	}
	for (i = 0; i < 3; i++) {
		if (ret == -EAGAIN)
			SKIP("more may come: a read waits after %zu bytes", len);
		if (ret)
			test_fail(__FILE__, __LINE__, "read %d at the end: %s", i + 1, result(ret));
		ret = dev_read(fd, buf, 16);
	}
}

/* Pointers that no buffer can be at. */
static unsigned int bad_pointers(void **bad)
{
	unsigned int n = 0;

	bad[n++] = unmapped_page();
	bad[n++] = NULL;
	bad[n++] = (void *)(uintptr_t)-4096;
	bad[n] = kernel_address();
	if (bad[n])
		n++;
	return n;
}

/* read(2), EFAULT. Defect 16: what a failed copy had consumed was lost. */
CLAIM(read_fault, "read.fault", NEED_DATA,
      "a read into unmapped, read-only or kernel memory fails with EFAULT and moves nothing")
{
	int fd = dev_open(MODE_READ);
	void *bad[8];
	unsigned int i, n;
	long ret;

	n = bad_pointers(bad);
	bad[n++] = readonly_page("", 1);
	for (i = 0; i < n; i++) {
		/* A device of records wants room for one. */
		ret = dev_read(fd, bad[i], facts->positioned ? 16 : 4096);
		if (ret != -EFAULT)
			test_fail(__FILE__, __LINE__, "read to %p: %s", bad[i], result(ret));
		if (facts->positioned)
			EXPECT_EQ(dev_seek(fd, 0, SEEK_CUR), 0);
	}
}

/*
 * A copy to user memory may fault and sleep. Under a spinlock, or with page faults off, it is cut short
 * where the page is not there yet.
 */
CLAIM(read_fresh, "read.fresh", NEED_READ,
      "a read into memory that was never touched returns what it returns to other memory")
{
	int fd = dev_open(MODE_READ);
	size_t len = page_size();
	char *fresh, *touched;
	long expected, ret;

	if (facts->read != READ_DATA && (facts->read != READ_FAILS || facts->read_err != EFAULT))
		SKIP("a read returns no data");
	fresh = mmap(NULL, 2 * len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(fresh != MAP_FAILED);
	touched = fresh + len;
	madvise(fresh, 2 * len, MADV_NOHUGEPAGE);
	memset(touched, 0, len);
	ret = dev_read(fd, fresh, len);
	if (facts->positioned)
		dev_seek(fd, 0, SEEK_SET);
	expected = dev_read(fd, touched, len);
	/* Of a stream, the second read returns other data, and may find its end. */
	if (facts->positioned ? ret != expected : ret == -EFAULT && expected != -EFAULT)
		test_fail(__FILE__, __LINE__, "read of %zu: %s, to memory in use %s", len,
			  result(ret), result(expected));
	munmap(fresh, 2 * len);
}

/* write(2), EFAULT. */
CLAIM(write_fault, "write.fault", NEED_WRITE,
      "a write from unmapped or kernel memory fails with EFAULT and moves nothing")
{
	int fd = dev_open(MODE_WRITE);
	void *bad[8];
	unsigned int i, n;
	long ret;

	if (facts->discards)
		SKIP("the device never looks at what is written");
	n = bad_pointers(bad);
	for (i = 0; i < n; i++) {
		ret = dev_write(fd, bad[i], 16);
		if (ret != -EFAULT)
			test_fail(__FILE__, __LINE__, "write from %p: %s", bad[i], result(ret));
		if (facts->positioned)
			EXPECT_EQ(dev_seek(fd, 0, SEEK_CUR), 0);
	}
}

/*
 * copy_to_user() says how much it could not copy; the position moves by what it did. The student's
 * mymem moved by the whole length.
 */
CLAIM(read_tail, "read.tail", NEED_DATA,
      "a read into a buffer whose second half is unmapped is short or fails with EFAULT, and nothing of the stream is lost")
{
	unsigned char ref[512], got[64], *half = (unsigned char *)unmapped_page() - 8;
	int fd = dev_open(MODE_ANY);
	size_t len, want;
	long ret;

	if (facts->mode == O_WRONLY)
		SKIP("opens only for writing");
	pattern_store(fd, ref, sizeof(ref));
	len = read_stream(fd, ref, 64);
	if (!facts->positioned || dev_seek(fd, 0, SEEK_SET)) {
		close(fd);
		fd = dev_open(MODE_READ);
	}
	ret = dev_read(fd, half, 16);
	if (len < 16 && ret == (long)len)
		SKIP("the stream has only %zu bytes", len);
	if (ret == -EINVAL && !facts->positioned)
		SKIP("a read takes whole records");
	if (ret != -EFAULT && (ret <= 0 || ret > 8)) {
		test_fail(__FILE__, __LINE__, "read of 16 bytes, 8 of them mapped: %s",
			  result(ret));
		return;
	}
	if (ret < 0)
		ret = 0;
	if (facts->positioned)
		EXPECT_EQ(dev_seek(fd, 0, SEEK_CUR), ret);
	if (memcmp(half, ref, ret))
		SKIP("the content differs from one reading to the next");
	/* a stream shorter than that goes on to its end */
	want = len - ret < 16 ? len - ret : 16;
	len = read_stream(fd, got, 16);
	if (len < want || memcmp(got, ref + ret, want)) {
		if (facts->positioned)
			test_fail(__FILE__, __LINE__, "the next read does not go on at byte %ld",
				  ret);
		else if (ret)
			test_fail(__FILE__, __LINE__, "the bytes after the first %ld are lost",
				  ret);
		else
			SKIP("the content differs from one reading to the next");
	}
}

/* The same of write(). */
CLAIM(write_tail, "write.tail", NEED_WRITE | NEED_POS,
      "a write from a buffer whose second half is unmapped is short or fails with EFAULT, and moves by what it took")
{
	unsigned char *half = (unsigned char *)unmapped_page() - 8;
	int fd = dev_open(MODE_WRITE);
	long ret;

	if (facts->discards)
		SKIP("the device never looks at what is written");
	memset(half, 0x21, 8);
	ret = dev_write(fd, half, 16);
	if (ret != -EFAULT && (ret <= 0 || ret > 8)) {
		if (ret == -EINVAL)
			SKIP("a write of 16 bytes is refused");
		test_fail(__FILE__, __LINE__, "write of 16 bytes, 8 of them mapped: %s",
			  result(ret));
	}
	EXPECT_EQ(dev_seek(fd, 0, SEEK_CUR), ret < 0 ? 0 : ret);
}

/*
 * lseek(2), pread(2): ESPIPE on what cannot seek. A driver without llseek has to say stream_open()
 * or nonseekable_open(), or pread is let through (defect 20).
 */
CLAIM(seek_espipe, "seek.espipe", NEED_NODE,
      "lseek, pread and pwrite fail with ESPIPE together or not at all")
{
	int fd = dev_open(MODE_ANY);
	bool seek = dev_seek(fd, 0, SEEK_CUR) != -ESPIPE;

	/* The VFS decides before the driver is called, so length 0 tells. */
	if (facts->mode != O_WRONLY && seek != (dev_pread(fd, NULL, 0, 0) != -ESPIPE))
		test_fail(__FILE__, __LINE__, "lseek %s, pread %s", seek ? "works" : "ESPIPE",
			  seek ? "ESPIPE" : "works");
	if (facts->mode != O_RDONLY && seek != (dev_pwrite(fd, NULL, 0, 0) != -ESPIPE))
		test_fail(__FILE__, __LINE__, "lseek %s, pwrite %s", seek ? "works" : "ESPIPE",
			  seek ? "ESPIPE" : "works");
}

/*
 * lseek(2): "the offset is set to", "its current location plus", "the size of the file plus offset
 * bytes".
 */
CLAIM(seek_moves, "seek.moves", NEED_POS,
      "SEEK SET sets the position, SEEK CUR adds to it, SEEK END adds to the size")
{
	int fd = dev_open(MODE_ANY);
	long size;

	EXPECT_EQ(dev_seek(fd, 32, SEEK_SET), 32);
	EXPECT_EQ(dev_seek(fd, 8, SEEK_CUR), 40);
	EXPECT_EQ(dev_seek(fd, -16, SEEK_CUR), 24);
	EXPECT_EQ(dev_seek(fd, 0, SEEK_CUR), 24);
	if (facts->size > 8) {
		/* Each open may have content of its own, and so a size. */
		size = dev_seek(fd, 0, SEEK_END);
		EXPECT_EQ(dev_seek(fd, -8, SEEK_END), size - 8);
		EXPECT_EQ(dev_seek(fd, 8, SEEK_CUR), size);
		EXPECT_EQ(dev_seek(fd, 0, SEEK_END), size);
	}
}

/* lseek(2), EINVAL: "whence is not valid" or "the resulting file offset would be negative". */
CLAIM(seek_invalid, "seek.invalid", NEED_POS,
      "a negative position or an unknown whence fails with EINVAL, a sum past 64 bits with EINVAL or EOVERFLOW, and the position stays")
{
	int fd = dev_open(MODE_ANY);
	long ret;

	EXPECT_EQ(dev_seek(fd, 16, SEEK_SET), 16);
	EXPECT_EQ(dev_seek(fd, -1, SEEK_SET), -EINVAL);
	EXPECT_EQ(dev_seek(fd, -17, SEEK_CUR), -EINVAL);
	EXPECT_EQ(dev_seek(fd, 0, 77), -EINVAL);
	ret = dev_seek(fd, INT64_MAX, SEEK_CUR);
	if (ret != -EINVAL && ret != -EOVERFLOW)
		test_fail(__FILE__, __LINE__, "SEEK_CUR by the largest offset: %s", result(ret));
	EXPECT_EQ(dev_seek(fd, 0, SEEK_CUR), 16);
}

/* Positions have 64 bits. The course's mymem went through an int. */
CLAIM(seek_large, "seek.large", NEED_POS,
      "a position above 4 GiB is reached in full or refused, not cut to 32 bits")
{
	off_t large = ((off_t)1 << 32) + 16;
	int fd = dev_open(MODE_ANY);
	long ret = dev_seek(fd, large, SEEK_SET);

	if (ret != large && ret != -EINVAL && ret != -EOVERFLOW)
		test_fail(__FILE__, __LINE__, "lseek to %lld: %s", (long long)large, result(ret));
	ret = dev_seek(fd, 0, SEEK_CUR);
	if (ret != large && ret)
		test_fail(__FILE__, __LINE__, "then the position is %s", result(ret));
}

/* pread(2): "The file offset is not changed." */
CLAIM(seek_pread, "seek.pread", NEED_POS,
      "pread and pwrite use their own position and leave the descriptor's where it is")
{
	unsigned char ref[128], got[16];
	int fd = dev_open(MODE_ANY);
	bool stored = pattern_store(fd, ref, sizeof(ref));

	EXPECT_EQ(dev_seek(fd, 32, SEEK_SET), 32);
	if (facts->mode != O_WRONLY && dev_pread(fd, got, 16, 64) == 16) {
		EXPECT_EQ(dev_seek(fd, 0, SEEK_CUR), 32);
		if (stored && memcmp(got, ref + 64, 16))
			test_fail(__FILE__, __LINE__, "pread at 64 reads something else");
	}
	EXPECT_EQ(dev_seek(fd, 32, SEEK_SET), 32);
	if (stored) {
		EXPECT_EQ(dev_pwrite(fd, ref, 16, 96), 16);
		EXPECT_EQ(dev_seek(fd, 0, SEEK_CUR), 32);
		EXPECT_EQ(dev_read(fd, got, 16), 16);
		if (memcmp(got, ref + 32, 16))
			test_fail(__FILE__, __LINE__, "read at 32 reads something else");
	}
}

/* Offsets are 64 bits in read and write, too; sums of position and length must not wrap. */
CLAIM(seek_far, "seek.far", NEED_SIZE,
      "pread and pwrite far past the end give 0 or an errno, not the start again")
{
	off_t far[] = { ((off_t)1 << 31) + 16, ((off_t)1 << 32) + 16, INT64_MAX - 8 };
	unsigned char buf[16] = { 0 };
	int fd = dev_open(MODE_ANY);
	unsigned int i;
	long ret;

	for (i = 0; i < 3; i++) {
		if (far[i] < facts->size)
			continue;
		if (facts->mode != O_WRONLY && facts->read != READ_NOT_OFFERED) {
			ret = dev_pread(fd, buf, 16, far[i]);
			if (ret > 0)
				test_fail(__FILE__, __LINE__, "pread at %lld: %ld",
					  (long long)far[i], ret);
		}
		if (facts->writes && facts->mode != O_RDONLY) {
			ret = dev_pwrite(fd, buf, 16, far[i]);
			if (ret > 0 && dev_seek(fd, 0, SEEK_END) == facts->size)
				test_fail(__FILE__, __LINE__, "pwrite at %lld: %ld",
					  (long long)far[i], ret);
		}
	}
}

/* open(2): each open has its own file offset. The student's mymem had one for all. */
CLAIM(seek_own, "seek.own", NEED_POS | NEED_TWO, "each open has a position of its own")
{
	int a = dev_open(MODE_ANY), b = dev_open(MODE_ANY);
	char buf[16];

	EXPECT_EQ(dev_seek(b, 16, SEEK_SET), 16);
	EXPECT_EQ(dev_seek(a, 32, SEEK_SET), 32);
	EXPECT_EQ(dev_seek(b, 0, SEEK_CUR), 16);
	if (facts->mode != O_WRONLY)
		dev_read(b, buf, 16);
	EXPECT_EQ(dev_seek(a, 0, SEEK_CUR), 32);
}

/* dup(2), fork(2): duplicates share the open file description and so the offset. */
CLAIM(seek_dup, "seek.dup", NEED_POS | NEED_DATA,
      "duplicates and forked children share the position")
{
	int fd = dev_open(MODE_READ), copy = SAFE(dup(fd)), out[2];
	long ret = 0;
	char buf[16];
	pid_t pid;

	EXPECT_EQ(dev_seek(copy, 16, SEEK_SET), 16);
	EXPECT_EQ(dev_seek(fd, 0, SEEK_CUR), 16);
	SAFE(pipe2(out, O_CLOEXEC));
	pid = fork();
	if (!pid) {
		tick(true);
		ret = dev_read(fd, buf, sizeof(buf));
		_exit(write(out[1], &ret, sizeof(ret)) != sizeof(ret));
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (read(out[0], &ret, sizeof(ret)) != sizeof(ret) || ret <= 0)
		SKIP("the child could not read");
	EXPECT_EQ(dev_seek(fd, 0, SEEK_CUR), 16 + ret);
}

/* POSIX read(): "up to the end of the file", not nothing at all. */
CLAIM(read_end, "read.end", NEED_SIZE | NEED_DATA, "a read across the end returns what is left")
{
	int fd = dev_open(MODE_READ);
	char buf[16];
	long ret;

	if (facts->size < 8)
		SKIP("the device is smaller than 8 bytes");
	/* This open's size: another one's content may be longer. */
	ret = dev_pread(fd, buf, 16, dev_seek(fd, 0, SEEK_END) - 8);
	if (ret != 8)
		test_fail(__FILE__, __LINE__, "8 bytes before the end, a read of 16: %s",
			  result(ret));
}

/*
 * POSIX write(): "as many bytes as there is room for". 0 for a length above 0 makes programs that
 * write until all is written turn for ever.
 */
CLAIM(write_end, "write.end", NEED_SIZE | NEED_WRITE,
      "a write across the end stores what there is room for or fails; at the end it fails with ENOSPC, EFBIG or EINVAL")
{
	int fd = dev_open(MODE_WRITE);
	char buf[16] = "across the end.";
	long ret;

	if (facts->size < 8)
		SKIP("the device is smaller than 8 bytes");
	ret = dev_pwrite(fd, buf, 16, facts->size - 8);
	if (dev_seek(fd, 0, SEEK_END) != facts->size)
		SKIP("the device grows");
	if (ret > 8 || !ret)
		test_fail(__FILE__, __LINE__, "8 bytes before the end, a write of 16: %ld", ret);
	ret = dev_pwrite(fd, buf, 16, facts->size);
	if (ret != -ENOSPC && ret != -EFBIG && ret != -EINVAL)
		test_fail(__FILE__, __LINE__, "a write at the end: %s", result(ret));
}
