// SPDX-License-Identifier: GPL-2.0
/*
 * What exclusion costs: open and close beside those of /dev/null, an open that is refused, and the
 * line.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exact.h"
#include "greeter.h"

static const char *path;
static int fd = -1;
static int refused; /* errno of the last open */
static unsigned long long opens, first;
static char line[GREETER_LINE_MAX + 1];
static ssize_t length;

/* The number in the line; 0 when there is none. */
static unsigned long long times(void)
{
	unsigned long long n = 0;

	line[length > 0 ? length : 0] = '\0';
	return sscanf(line, GREETER_LINE_BEGIN "%llu", &n) == 1 ? n : 0;
}

/* How often the device was opened, this time included. */
static unsigned long long opened(void)
{
	int f = open(path, O_RDONLY | O_CLOEXEC);

	if (f < 0)
		return 0;
	length = pread(f, line, GREETER_LINE_MAX, 0);
	close(f);
	return times();
}

static int open_counting(const char *node)
{
	path = node;
	opens = 0;
	first = opened();
	return first ? 0 : -EPROTO;
}

static void run_open(void)
{
	close(open(path, O_RDONLY));
	opens++;
}

static int check_counting(void)
{
	return opened() == first + opens + 1 ? 0 : -EIO;
}

static int open_null(const char *node)
{
	(void)node;
	path = "/dev/null";
	return 0;
}

/* The descriptor that the next open gets is free: each one was closed. */
static int check_null(void)
{
	int a = open(path, O_RDONLY), b;

	close(a);
	b = open(path, O_RDONLY);
	close(b);
	return a >= 0 && a == b ? 0 : -EIO;
}

static int open_held(const char *node)
{
	path = node;
	fd = open(node, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : 0;
}

static void run_refused(void)
{
	refused = open(path, O_RDONLY) < 0 ? errno : 0;
}

static int check_refused(void)
{
	return refused == EBUSY ? 0 : -EIO;
}

static void run_line(void)
{
	length = pread(fd, line, GREETER_LINE_MAX, 0);
}

static void run_end(void)
{
	length = pread(fd, line, GREETER_LINE_MAX, GREETER_LINE_MAX);
}

static int check_line(void)
{
	return times() ? 0 : -EIO;
}

static int check_end(void)
{
	return length ? -EIO : 0;
}

static void close_held(void)
{
	close(fd);
	fd = -1;
}

static const struct exact_op ops[] = {
	{ .name = "open+close /dev/null",
	  .floor = "empty",
	  .open = open_null,
	  .run = run_open,
	  .check = check_null },
	{ .name = "open+close",
	  .floor = "empty",
	  .open = open_counting,
	  .run = run_open,
	  .check = check_counting },
	{ .name = "open, refused",
	  .floor = "empty",
	  .open = open_held,
	  .run = run_refused,
	  .check = check_refused,
	  .close = close_held },
	{ .name = "read at the end",
	  .floor = "syscall",
	  .open = open_held,
	  .run = run_end,
	  .check = check_end,
	  .close = close_held },
	{ .name = "read",
	  .floor = "read at the end",
	  .open = open_held,
	  .run = run_line,
	  .check = check_line,
	  .close = close_held },
};

int main(int argc, char **argv)
{
	return exact_main(argc, argv, ops, sizeof(ops) / sizeof(ops[0]));
}
