// SPDX-License-Identifier: GPL-2.0
/*
 * What a call of mymem's in-kernel interface costs: one call from inside an ioctl of mymem_test,
 * above the same ioctl with no call in its loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "exact.h"
#include "mymem_test.h"

#define CALL_NODE "/sys/kernel/debug/" MYMEM_TEST_DIR "/" MYMEM_TEST_CALL

/* The lengths of the published measurements. A longer call is the same one and more to copy. */
#define SHORT_LENGTHS(X) X(1) X(64) X(1024)
#define LONG_LENGTHS(X)	 X(65536) X(524288)

static struct mymem_test_repeat call;
static int fd = -1;
static long result;

static int open_call(const char *node, unsigned int operation, unsigned int length)
{
	call = (struct mymem_test_repeat){ operation, length, 1, 0 };
	result = -1;
	fd = open(node, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* The memory is smaller than that. */
	if (ioctl(fd, MYMEM_TEST_REPEAT, &call) < (int)length)
		return -EOPNOTSUPP;
	return 0;
}

static void run_call(void)
{
	result = ioctl(fd, MYMEM_TEST_REPEAT, &call);
}

static int check_call(void)
{
	return result == (long)call.length ? 0 : -EIO;
}

static void close_call(void)
{
	if (fd >= 0)
		close(fd);
	fd = -1;
}

#define OPENER(name, operation, length)                    \
	static int open_##name(const char *node)           \
	{                                                  \
		return open_call(node, operation, length); \
	}
#define OPENERS(len)                                \
	OPENER(read_##len, MYMEM_TEST_OP_READ, len) \
	OPENER(write_##len, MYMEM_TEST_OP_WRITE, len)
SHORT_LENGTHS(OPENERS)
LONG_LENGTHS(OPENERS)
OPENER(nothing, MYMEM_TEST_OP_NONE, 0)
OPENER(add, MYMEM_TEST_OP_ADD, 0)

/* The floor is the ioctl and its loop without a call in it. */
#define OP(text, len, opener, under) \
	{ .name = text,              \
	  .floor = under,            \
	  .open = open_##opener,     \
	  .run = run_call,           \
	  .check = check_call,       \
	  .close = close_call,       \
	  .untraced = (len) > 1024 },
#define READ_OP(len)  OP("in-kernel read " #len, len, read_##len, "no call")
#define WRITE_OP(len) OP("in-kernel write " #len, len, write_##len, "no call")

/* clang-format off */
static const struct exact_op ops[] = {
	OP("no call", 0, nothing, "enotty")
	SHORT_LENGTHS(READ_OP)
	SHORT_LENGTHS(WRITE_OP)
	OP("in-kernel fetch_add", 8, add, "no call")
	LONG_LENGTHS(READ_OP)
	LONG_LENGTHS(WRITE_OP)
};
/* clang-format on */

int main(int argc, char **argv)
{
	/* The module has no node in /dev. */
	setenv("CDEVLAB_NODE", CALL_NODE, 0);
	return exact_main(argc, argv, ops, sizeof(ops) / sizeof(ops[0]));
}
