// SPDX-License-Identifier: GPL-2.0
/*
 * What reading foxes costs, beside reading as many bytes from /dev/zero. Figures are those of the
 * whole call, from user space and back, so that one can be divided by another; the three lengths
 * tell what a call costs from what a byte does.
 *
 * The stream must not end while it is measured: the module is loaded again with the longest one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exact.h"
#include "foxes.h"
#include "harness.h"

#define MODULE	   (*test_module() ? test_module() : "foxes")
#define BUFFER_MAX 4096

/* One page, whole and at its beginning: the same for both devices. */
static unsigned char buffer[BUFFER_MAX] __attribute__((aligned(4096)));
static size_t length;
static int fd = -1;
static const char *device;
/* Bits in which the result of some read differed from the length. */
static ssize_t wrong;

/* -EEXIST: it is loaded, and could be loaded again. */
static int reload(const char *params)
{
	int ret = module_load(MODULE, params);

	if (ret != -EEXIST)
		return ret == -ENOENT ? -EOPNOTSUPP : ret;
	ret = module_unload(MODULE);
	return ret ? ret : module_load(MODULE, params);
}

static int open_foxes(const char *node, const char *scope)
{
	char params[64];
	int ret;

	snprintf(params, sizeof(params), "foxes=%d scope=%s", FOXES_MAX, scope);
	ret = reload(params);
	if (ret)
		return ret;
	device = node;
	fd = open(node, O_RDONLY | O_CLOEXEC);
	wrong = 0;
	memset(buffer, 0x5a, sizeof(buffer));
	return fd < 0 ? -errno : 0;
}

static int open_own(const char *node)
{
	return open_foxes(node, FOXES_SCOPE_OPEN);
}

static int open_shared(const char *node)
{
	return open_foxes(node, FOXES_SCOPE_DEVICE);
}

static int open_zero(const char *node)
{
	(void)node;
	fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	wrong = 0;
	memset(buffer, 0x5a, sizeof(buffer));
	return fd < 0 ? -errno : 0;
}

/* The stream has 800 bytes as it is loaded by default, and this one's are read. */
static int open_ended(const char *node)
{
	char rest[BUFFER_MAX];
	int ret = open_own(node);

	if (ret)
		return ret;
	close(fd);
	ret = reload("");
	if (ret)
		return ret;
	fd = open(node, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return read(fd, rest, sizeof(rest)) == FOXES_DEFAULT * FOXES_FOX_SIZE ? 0 : -EIO;
}

static void close_zero(void)
{
	close(fd);
	fd = -1;
}

static void close_foxes(void)
{
	close_zero();
	reload("");
}

/* A length that the compiler knows would be a call of another kind for each. */
static inline __attribute__((always_inline)) void read_once(size_t len)
{
	wrong |= read(fd, buffer, len) ^ (ssize_t)len;
}

static void run_4(void)
{
	length = 4;
	read_once(4);
}

static void run_800(void)
{
	length = 800;
	read_once(800);
}

static void run_4096(void)
{
	length = 4096;
	read_once(4096);
}

static void run_end(void)
{
	wrong |= read(fd, buffer, 800);
}

static void run_open_close(void)
{
	close(open(device, O_RDONLY | O_CLOEXEC));
}

static int check_buffer(const unsigned char *pattern)
{
	size_t i;

	for (i = 0; i < length; i++) {
		if (buffer[i] != pattern[i % FOXES_FOX_SIZE])
			return -EIO;
	}
	for (; i < sizeof(buffer); i++) {
		if (buffer[i] != 0x5a)
			return -EIO;
	}
	return wrong ? -EIO : 0;
}

static int check_foxes(void)
{
	return check_buffer((const unsigned char *)FOXES_FOX);
}

static int check_zero(void)
{
	return check_buffer((const unsigned char *)"\0\0\0");
}

static int check_end(void)
{
	length = 0;
	return check_foxes();
}

/* As many descriptors are open as before, and another one works. */
static int check_open_close(void)
{
	int other = open(device, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (other != fd + 1)
		return -EMFILE;
	n = read(other, buffer, 4);
	close(other);
	length = 4;
	return n == 4 ? check_foxes() : -EIO;
}

#define ROW(text, o, r, c, done)                                                               \
	{                                                                                      \
		.name = text, .floor = "empty", .open = o, .run = r, .check = c, .close = done \
	}

static const struct exact_op ops[] = {
	ROW("/dev/zero 4", open_zero, run_4, check_zero, close_zero),
	ROW("/dev/zero 800", open_zero, run_800, check_zero, close_zero),
	ROW("/dev/zero 4096", open_zero, run_4096, check_zero, close_zero),
	ROW("read 4", open_own, run_4, check_foxes, close_foxes),
	ROW("read 800", open_own, run_800, check_foxes, close_foxes),
	ROW("read 4096", open_own, run_4096, check_foxes, close_foxes),
	ROW("read 4, scope=device", open_shared, run_4, check_foxes, close_foxes),
	ROW("read 800, scope=device", open_shared, run_800, check_foxes, close_foxes),
	ROW("read 4096, scope=device", open_shared, run_4096, check_foxes, close_foxes),
	ROW("read at the end", open_ended, run_end, check_end, close_foxes),
	ROW("open and close", open_own, run_open_close, check_open_close, close_foxes),
};

int main(int argc, char **argv)
{
	return exact_main(argc, argv, ops, sizeof(ops) / sizeof(ops[0]));
}
