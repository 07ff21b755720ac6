// SPDX-License-Identifier: GPL-2.0
/*
 * What the calls of /dev/template cost. The floor of read and write is the same call on /dev/zero,
 * which has no lock and no record; that of INFO is an unknown ioctl.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "exact.h"

#include "template.h"

#define LENGTH 64

static int fd = -1;
static char buf[LENGTH];
static struct template_info info;

static int open_path(const char *path)
{
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : 0;
}

static int open_zero(const char *node)
{
	(void)node;
	return open_path("/dev/zero");
}

static int open_record(const char *node)
{
	int ret = open_path(node);

	if (!ret && ioctl(fd, TEMPLATE_CLEAR))
		ret = -errno;
	memset(buf, 'r', sizeof(buf));
	return ret;
}

static void close_it(void)
{
	if (fd >= 0)
		close(fd);
	fd = -1;
}

static void run_read(void)
{
	(void)!pread(fd, buf, sizeof(buf), 0);
}

static int check_read(void)
{
	char zeros[LENGTH] = { 0 };

	return memcmp(buf, zeros, sizeof(buf)) ? -EIO : 0;
}

static void run_write(void)
{
	(void)!pwrite(fd, buf, sizeof(buf), 0);
}

static int check_write(void)
{
	char back[LENGTH];

	if (pread(fd, back, sizeof(back), 0) != sizeof(back))
		return -EIO;
	return memcmp(buf, back, sizeof(buf)) ? -EIO : 0;
}

static void run_info(void)
{
	info.size = sizeof(info);
	ioctl(fd, TEMPLATE_INFO, &info);
}

static int check_info(void)
{
	return info.bytes ? 0 : -EIO;
}

static void run_clear(void)
{
	ioctl(fd, TEMPLATE_CLEAR);
}

/* It was called so often, and each call counted. */
static int check_clear(void)
{
	run_info();
	return info.changes >= EXACT_SAMPLES ? 0 : -EIO;
}

static void run_poll(void)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	poll(&pfd, 1, 0);
}

static const struct exact_op ops[] = {
	{ .name = "zero read 64", .open = open_zero, .run = run_read, .close = close_it },
	{ .name = "zero write 64", .open = open_zero, .run = run_write, .close = close_it },
	{ .name = "zero poll", .open = open_zero, .run = run_poll, .close = close_it },
	{ .name = "read 64",
	  .floor = "zero read 64",
	  .open = open_record,
	  .run = run_read,
	  .check = check_read,
	  .close = close_it },
	{ .name = "write 64",
	  .floor = "zero write 64",
	  .open = open_record,
	  .run = run_write,
	  .check = check_write,
	  .close = close_it },
	{ .name = "poll",
	  .floor = "zero poll",
	  .open = open_record,
	  .run = run_poll,
	  .close = close_it },
	{ .name = "INFO",
	  .open = open_record,
	  .run = run_info,
	  .check = check_info,
	  .close = close_it },
	{ .name = "CLEAR",
	  .open = open_record,
	  .run = run_clear,
	  .check = check_clear,
	  .close = close_it },
};

int main(int argc, char **argv)
{
	return exact_main(argc, argv, ops, sizeof(ops) / sizeof(ops[0]));
}
