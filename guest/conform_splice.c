// SPDX-License-Identifier: GPL-2.0
/*
 * Claims about splice and what is made of it, sendfile and vmsplice: the same read and write operations of the driver,
 * with pages of a pipe in place of a user's buffer. A device that does not offer it says EINVAL.
 *
 * copy_file_range() has no claim: the kernel keeps it to regular files. Nor has tee(), which no driver sees.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CLAIM_ORDER 214

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "conform.h"

/* So much of a device is sent, several times what a pipe holds. */
#define SEND_MAX (256 * 1024)
#define END_MAX	 (4 * 1024 * 1024)

struct pipe {
	int out, in;
};

static struct pipe pipe_open(void)
{
	int fd[2];

	SAFE(pipe2(fd, O_CLOEXEC | O_NONBLOCK));
	return (struct pipe){ .out = fd[0], .in = fd[1] };
}

/* From the device into the pipe. */
static long splice_out(int fd, loff_t *pos, struct pipe p, size_t len)
{
	long ret = TICKED(splice(fd, pos, p.in, NULL, len, 0));

	if (ret == -EINVAL)
		SKIP("splice from the device is not offered");
	return ret;
}

/* splice(2): the bytes that read would give. */
CLAIM(splice_read, "splice.read", NEED_DATA, "splice moves the bytes that read gives into a pipe")
{
	unsigned char ref[512], got[512];
	int fd = dev_open(MODE_READ);
	struct pipe p = pipe_open();
	size_t len;
	long ret;

	len = reference(&fd, ref, sizeof(ref));
	ret = splice_out(fd, NULL, p, len);
	if (ret <= 0 || ret > (long)len) {
		test_fail(__FILE__, __LINE__, "splice of %zu bytes: %s", len, result(ret));
		return;
	}
	EXPECT_EQ(read(p.out, got, sizeof(got)), ret);
	if (memcmp(got, ref, ret))
		test_fail(__FILE__, __LINE__, "the bytes differ");
}

/* splice(2): with an offset given, "the file offset ... is not changed". */
CLAIM(splice_position, "splice.position", NEED_DATA | NEED_POS,
      "splice goes on from the descriptor's position and moves it, or uses a given one and moves that")
{
	int fd = dev_open(MODE_READ);
	struct pipe p = pipe_open();
	unsigned char ref[64];
	loff_t pos = 4;
	size_t len;
	long ret;

	len = reference(&fd, ref, sizeof(ref));
	if (len < 8)
		SKIP("the device has less than 8 bytes");
	len -= 4;
	ret = splice_out(fd, &pos, p, len);
	if (ret <= 0) {
		test_fail(__FILE__, __LINE__, "splice at 4: %s", result(ret));
		return;
	}
	EXPECT_EQ(pos, 4 + ret);
	EXPECT_EQ(dev_seek(fd, 0, SEEK_CUR), 0);
	ret = splice_out(fd, NULL, p, 4);
	EXPECT_EQ(dev_seek(fd, 0, SEEK_CUR), ret);
}

/* splice(2): "0 means end of input". sendfile and cat end by it. */
CLAIM(splice_end, "splice.end", NEED_DATA, "at the end splice returns 0, as read does")
{
	static char buf[64 * 1024];
	long long until = now_ms() + 1000;
	int fd = dev_open(MODE_READ), i;
	struct pipe p = pipe_open();
	size_t len = 0;
	long ret = 1;

	splice_out(fd, NULL, p, 1);
	if (facts->size > 0)
		dev_seek(fd, 0, SEEK_END);
	while (ret > 0) {
		if (len > END_MAX || now_ms() > until)
			SKIP("no end within %zu bytes", len);
		ret = dev_read(fd, buf, sizeof(buf));
		len += ret > 0 ? ret : 0;
	}
	if (ret)
		SKIP("there is no end: a read fails with %s", result(ret));
	for (i = 0; i < 2; i++) {
		ret = TICKED(splice(fd, NULL, p.in, NULL, 4096, 0));
		if (ret)
			test_fail(__FILE__, __LINE__, "splice %d at the end: %s", i + 1,
				  result(ret));
	}
}

/* O_NONBLOCK is the descriptor's, whatever the call. Who waits is interrupted by the tick. */
CLAIM(splice_wait, "splice.wait", NEED_WAIT,
      "splice from a non-blocking descriptor fails with EAGAIN with nothing there, and moves a whole event")
{
	int fd = dev_open(MODE_READ);
	struct pipe p = pipe_open();
	static char buf[4096];
	long ret, one;

	drain(fd);
	ret = splice_out(fd, NULL, p, sizeof(buf));
	/* read.nonblock tells of one that waits whoever asks. */
	if (ret == -EINTR && facts->read != READ_BLOCKS)
		test_fail(__FILE__, __LINE__, "splice waits");
	else if (ret != -EAGAIN && ret != -EINTR)
		test_fail(__FILE__, __LINE__, "splice with nothing there: %s", result(ret));
	if (!conf.event)
		return;
	raise_event();
	await_data(fd);
	one = dev_read(fd, buf, sizeof(buf));
	drain(fd);
	raise_event();
	await_data(fd);
	ret = splice_out(fd, NULL, p, sizeof(buf));
	if (ret != one)
		test_fail(__FILE__, __LINE__, "an event is %ld bytes to read, to splice %s", one,
			  result(ret));
}

/*
 * From the pipe into the device. Without the tick: splice() itself looks for signals at each of the pipe's pages, and on
 * a busy host one is always there.
 */
static long splice_in(struct pipe p, int fd, size_t len)
{
	loff_t pos = 0;

	tick(false);
	return TICKED(splice(p.out, NULL, fd, &pos, len, 0));
}

static void expect_stored(int fd, long ret, const unsigned char *want, size_t len)
{
	unsigned char got[512];

	if (ret == -EINVAL)
		SKIP("splice to the device is not offered");
	if (ret <= 0 || ret > (long)len) {
		test_fail(__FILE__, __LINE__, "splice of %zu bytes: %s", len, result(ret));
		return;
	}
	EXPECT_EQ(dev_pread(fd, got, ret, 0), ret);
	if (memcmp(got, want, ret))
		test_fail(__FILE__, __LINE__, "other bytes are stored");
}

CLAIM(splice_write, "splice.write", NEED_WRITE | NEED_POS,
      "splice from a pipe stores what a write would store")
{
	int fd = dev_open(MODE_ANY);
	struct pipe p = pipe_open();
	unsigned char ref[512];

	stored(fd, ref, sizeof(ref));
	pattern_fill(ref, sizeof(ref), 0x19);
	EXPECT_EQ(write(p.in, ref, sizeof(ref)), sizeof(ref));
	expect_stored(fd, splice_in(p, fd, sizeof(ref)), ref, sizeof(ref));
}

/* vmsplice(2): a pipe of the user's own pages, and the bytes need not begin where a page does. */
CLAIM(splice_pages, "splice.pages", NEED_WRITE | NEED_POS,
      "a user's pages that are spliced into the device arrive whole, wherever in them the bytes begin")
{
	unsigned char ref[512], *page = page_filled(0xaa);
	struct iovec v = { .iov_base = page + 77, .iov_len = sizeof(ref) };
	int fd = dev_open(MODE_ANY);
	struct pipe p = pipe_open();

	stored(fd, ref, sizeof(ref));
	pattern_fill(page + 77, sizeof(ref), 0x2a);
	if (vmsplice(p.in, &v, 1, 0) != sizeof(ref))
		SKIP("vmsplice: %s", errno_name(errno));
	expect_stored(fd, splice_in(p, fd, sizeof(ref)), page + 77, sizeof(ref));
}

/* Words that are all different, where the device keeps them. */
static void number_words(int fd)
{
	static uint32_t words[4096 / sizeof(uint32_t)];
	uint32_t n = 1;
	unsigned int i;
	off_t at;

	if (facts->mode != O_RDWR || !facts->writes || facts->size <= 0)
		return;
	for (at = 0; at < SEND_MAX && at < facts->size; at += sizeof(words)) {
		for (i = 0; i < 4096 / sizeof(uint32_t); i++)
			words[i] = n++;
		if (dev_pwrite(fd, words, sizeof(words), at) <= 0)
			break;
	}
}

/*
 * sendfile(2) to a file that is no pipe goes in rounds of a pipe's size: what the second one begins with shows whether
 * the first moved the position.
 */
CLAIM(splice_sendfile, "splice.sendfile", NEED_DATA | NEED_POS,
      "sendfile sends what read gives, also when that is more than a pipe holds")
{
	static unsigned char ref[SEND_MAX], got[SEND_MAX];
	int fd = dev_open(MODE_READ), to;
	off_t pos = 0;
	size_t len;
	long ret;

	to = memfd_create("sent", MFD_CLOEXEC);
	if (to < 0)
		SKIP("memfd_create: %s", errno_name(errno));
	number_words(fd);
	len = reference(&fd, ref, sizeof(ref));
	tick(false); /* as in splice_in() */
	ret = TICKED(sendfile(to, fd, &pos, len));
	if (ret == -EINVAL)
		SKIP("sendfile from the device is not offered");
	if (ret <= 0 || ret > (long)len) {
		test_fail(__FILE__, __LINE__, "sendfile of %zu bytes: %s", len, result(ret));
		return;
	}
	EXPECT_EQ(pos, ret);
	EXPECT_EQ(pread(to, got, sizeof(got), 0), ret);
	if (memcmp(got, ref, ret))
		test_fail(__FILE__, __LINE__, "the bytes differ");
}
