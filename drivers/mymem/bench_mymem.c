// SPDX-License-Identifier: GPL-2.0
/*
 * What reads and writes of the memory cost, beside those of a file on tmpfs.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "exact.h"
#include "harness.h"
#include "mymem.h"

/* The lengths of the published measurements. A longer call is the same one and more to copy. */
#define SHORT_LENGTHS(X) X(1) X(64) X(1024)
#define LONG_LENGTHS(X)	 X(65536) X(524288)
#define LENGTH_MAX	 524288

#define TMPFS_DIR  "/tmp/bench_mymem"
#define TMPFS_FILE TMPFS_DIR "/file"

static unsigned char buffer[LENGTH_MAX], expected[LENGTH_MAX];
static int fd = -1;
static bool mounted;

static void fill(unsigned char *to, unsigned int seed)
{
	size_t i;

	for (i = 0; i < LENGTH_MAX; i++)
		to[i] = (i * 7 + (i >> 8) * 31 + seed) | 1;
}

/* The file or device is full of one pattern, the buffer of another one. */
static int prepare(void)
{
	ssize_t n;

	if (fd < 0)
		return -errno;
	fill(buffer, 1);
	n = pwrite(fd, buffer, LENGTH_MAX, 0);
	if (n < 0)
		return -errno;
	if (n < LENGTH_MAX)
		return -EOPNOTSUPP;
	fill(expected, 1);
	fill(buffer, 100);
	return 0;
}

static int open_device(const char *node)
{
	fd = open(node, O_RDWR | O_CLOEXEC);
	return prepare();
}

/*
 * A read looks whether the time of the last access is before that of the last change: seconds first, then, if they
 * are the same, nanoseconds. How many instructions that is must not depend on when the file was written.
 */
static int set_times(void)
{
	struct timespec times[2] = { [1] = { .tv_nsec = UTIME_NOW } };

	times[0].tv_sec = time(NULL) + 60;
	return futimens(fd, times) ? -errno : 0;
}

static int open_tmpfs(const char *node)
{
	int ret;

	(void)node;
	if (mkdir(TMPFS_DIR, 0700) && errno != EEXIST)
		return -errno;
	if (mount("tmpfs", TMPFS_DIR, "tmpfs", 0, NULL))
		return -errno;
	mounted = true;
	fd = open(TMPFS_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ret = prepare();
	return ret ? ret : set_times();
}

static void close_all(void)
{
	if (fd >= 0)
		close(fd);
	fd = -1;
	if (mounted) {
		umount(TMPFS_DIR);
		rmdir(TMPFS_DIR);
	}
	mounted = false;
}

/* The same calls with another lock. The next open has the usual one again. */
static int reload(const char *params)
{
	int ret = module_unload(test_module());

	return ret ? ret : module_load(test_module(), params);
}

/* A module without that parameter takes no notice of it, and has the mutex. */
static int open_lock(const char *node, const char *params, unsigned int flags)
{
	struct mymem_info info = { .size = sizeof(info) };
	int ret = reload(params);

	ret = ret ? -EOPNOTSUPP : open_device(node);
	if (!ret && (ioctl(fd, MYMEM_INFO, &info) || info.flags != flags))
		ret = -EOPNOTSUPP;
	return ret;
}

static int open_rwsem(const char *node)
{
	return open_lock(node, "lock=rwsem", MYMEM_FLAG_LOCK_RWSEM);
}

static int open_none(const char *node)
{
	return open_lock(node, "lock=none", 0);
}

static void close_lock(void)
{
	close_all();
	reload("");
}

/* After reads the buffer begins with what was in the file; after writes the file with the buffer. */
static int check_read(size_t len)
{
	if (memcmp(buffer, expected, len) || (len < LENGTH_MAX && buffer[len] == expected[len]))
		return -EIO;
	return 0;
}

static int check_write(size_t len)
{
	if (pread(fd, expected, LENGTH_MAX, 0) != LENGTH_MAX)
		return -EIO;
	return check_read(len);
}

#define RUN(len)                                   \
	static void run_pread_##len(void)          \
	{                                          \
		(void)!pread(fd, buffer, len, 0);  \
	}                                          \
	static void run_pwrite_##len(void)         \
	{                                          \
		(void)!pwrite(fd, buffer, len, 0); \
	}                                          \
	static int check_pread_##len(void)         \
	{                                          \
		return check_read(len);            \
	}                                          \
	static int check_pwrite_##len(void)        \
	{                                          \
		return check_write(len);           \
	}
SHORT_LENGTHS(RUN)
LONG_LENGTHS(RUN)

#define OP(text, len, how, opener)      \
	{ .name = text,                 \
	  .open = opener,               \
	  .run = run_##how##_##len,     \
	  .check = check_##how##_##len, \
	  .close = close_all,           \
	  .untraced = len > 1024 },
#define DEVICE_READ(len)  OP("pread " #len, len, pread, open_device)
#define DEVICE_WRITE(len) OP("pwrite " #len, len, pwrite, open_device)
#define TMPFS_READ(len)	  OP("tmpfs pread " #len, len, pread, open_tmpfs)
#define TMPFS_WRITE(len)  OP("tmpfs pwrite " #len, len, pwrite, open_tmpfs)

#define OTHER_LOCK(call, lock)             \
	{ .name = #call " 1, lock=" #lock, \
	  .floor = #call " 1",             \
	  .open = open_##lock,             \
	  .run = run_##call##_1,           \
	  .check = check_##call##_1,       \
	  .close = close_lock,             \
	  .untraced = true },

/* clang-format off */
static const struct exact_op ops[] = {
	SHORT_LENGTHS(DEVICE_READ)
	SHORT_LENGTHS(DEVICE_WRITE)
	SHORT_LENGTHS(TMPFS_READ)
	SHORT_LENGTHS(TMPFS_WRITE)
	LONG_LENGTHS(DEVICE_READ)
	LONG_LENGTHS(DEVICE_WRITE)
	OTHER_LOCK(pread, rwsem)
	OTHER_LOCK(pwrite, rwsem)
	OTHER_LOCK(pread, none)
	OTHER_LOCK(pwrite, none)
};
/* clang-format on */

int main(int argc, char **argv)
{
	return exact_main(argc, argv, ops, sizeof(ops) / sizeof(ops[0]));
}
