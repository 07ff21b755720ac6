// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to be told apart by a minor: open and close, and the line, beside /dev/null, which
 * the kernel also tells from its neighbours by the minor.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exact.h"
#include "minors.h"

static const char *path;
static int fd = -1;
static unsigned long long opens; /* by run_open() */
static unsigned long long first; /* the count before them */
static char line[MINORS_LINE_MAX + 1];
static ssize_t length;

/* How often the device at @path was opened, this time included; 0 when it does not say. */
static unsigned long long opened(void)
{
	unsigned long long n = 0;
	unsigned int number;
	ssize_t len = -1;
	int f = open(path, O_RDONLY | O_CLOEXEC);

	if (f >= 0) {
		len = pread(f, line, MINORS_LINE_MAX, 0);
		close(f);
	}
	line[len > 0 ? len : 0] = '\0';
	return sscanf(line, MINORS_LINE, &number, &n) == 2 ? n : 0;
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

static int open_line(const char *node)
{
	path = node;
	fd = open(node, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : 0;
}

static void run_line(void)
{
	length = pread(fd, line, MINORS_LINE_MAX, 0);
}

static void run_end(void)
{
	length = pread(fd, line, MINORS_LINE_MAX, MINORS_LINE_MAX);
}

static int check_line(void)
{
	unsigned long long n;
	unsigned int number;

	line[length > 0 ? length : 0] = '\0';
	return sscanf(line, MINORS_LINE, &number, &n) == 2 ? 0 : -EIO;
}

static int check_end(void)
{
	return length ? -EIO : 0;
}

static void close_line(void)
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
	{ .name = "read at the end",
	  .floor = "syscall",
	  .open = open_line,
	  .run = run_end,
	  .check = check_end,
	  .close = close_line },
	{ .name = "read",
	  .floor = "read at the end",
	  .open = open_line,
	  .run = run_line,
	  .check = check_line,
	  .close = close_line },
};

int main(int argc, char **argv)
{
	return exact_main(argc, argv, ops, sizeof(ops) / sizeof(ops[0]));
}
