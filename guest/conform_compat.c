// SPDX-License-Identifier: GPL-2.0
/*
 * Claims about 32-bit programs on a 64-bit kernel. A driver can tell them apart (compat_ioctl,
 * in_compat_syscall()), and what it then does otherwise must not be noticed: the same call has the
 * same outcome (Documentation/driver-api/ioctl.rst, "32-bit compat mode").
 *
 * The gate of 32-bit x86 programs, int 0x80, is open to 64-bit ones as well. The kernel takes such
 * a call for one of a 32-bit program, and of each register it sees the lower half: paths and
 * buffers have to lie below 4 GiB.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CLAIM_ORDER 211

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conform.h"

/* Numbers of the 32-bit calls. */
#define NR32_READ   3
#define NR32_WRITE  4
#define NR32_OPEN   5
#define NR32_GETPID 20
#define NR32_IOCTL  54
#define NR32_POLL   168

/* In the upper half of what 32 bits can address: negative to who takes it for an int. */
#define HIGH_ADDRESS 0xe0000000UL
#define ARG_MAX_SIZE 2048

#ifdef __x86_64__

static sigjmp_buf no_gate;

static void on_segv(int sig)
{
	(void)sig;
	siglongjmp(no_gate, 1);
}

static long gate(long nr, uintptr_t a, uintptr_t b, uintptr_t c)
{
	long ret;

	asm volatile("int $0x80"
		     : "=a"(ret)
		     : "0"(nr), "b"(a), "c"(b), "d"(c)
		     : "memory", "cc", "r8", "r9", "r10", "r11");
	ret = (int)ret;
	if (ret < 0 && ret >= -4095) {
		errno = -ret;
		return -1;
	}
	return ret;
}

/* Without the gate, the instruction is a fault. */
static bool gate_is_open(void)
{
	struct sigaction sa = { .sa_handler = on_segv }, old;
	bool open = false;

	sigaction(SIGSEGV, &sa, &old);
	if (!sigsetjmp(no_gate, 1))
		open = gate(NR32_GETPID, 0, 0, 0) == getpid();
	sigaction(SIGSEGV, &old, NULL);
	return open;
}

#else

#define MAP_32BIT 0

static long gate(long nr, uintptr_t a, uintptr_t b, uintptr_t c)
{
	(void)nr;
	(void)a;
	(void)b;
	(void)c;
	errno = ENOSYS;
	return -1;
}

static bool gate_is_open(void)
{
	return false;
}

#endif

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static void need_gate(void)
{
#ifndef __x86_64__
	SKIP("32-bit programs are tried on amd64 only");
#endif
	if (!gate_is_open())
		SKIP("the kernel runs no 32-bit programs");
}

/* A page at that address, or where 31 bits reach, and nothing behind it. */
static unsigned char *page32(uintptr_t at)
{
	size_t page = page_size();
	unsigned char *map =
		mmap((void *)at, 2 * page, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED_NOREPLACE : MAP_32BIT), -1, 0);

	if (map == MAP_FAILED || (uintptr_t)map > UINT32_MAX - 2 * page)
		SKIP("no page below 4 GiB is free");
	mprotect(map + page, page, PROT_NONE);
	return map;
}

static long ioctl32(int fd, unsigned long cmd, void *arg)
{
	return TICKED(gate(NR32_IOCTL, fd, cmd, (uintptr_t)arg));
}

static void arg_put(const struct uapi_ioctl *call, unsigned char *page)
{
	const struct conf_arg *arg = conf_arg_of(call);

	memset(page, 0, ARG_MAX_SIZE);
	if (arg)
		memcpy(page, arg->bytes, arg->len);
}

/* Calls with an argument that fits; those that the module is without say ENOTTY either way. */
static bool has_argument(const struct uapi_ioctl *call)
{
	size_t size = _IOC_SIZE(call->cmd);

	return _IOC_DIR(call->cmd) != _IOC_NONE && size && size <= ARG_MAX_SIZE;
}

/* Both succeed, or both fail with the same errno: what a success returns may count something. */
static bool alike(long a, long b)
{
	return a == b || (a >= 0 && b >= 0);
}

/*
 * open(2), O_LARGEFILE: 64-bit programs have it set for them, 32-bit ones say it or not. It is about
 * sizes of regular files.
 */
CLAIM(compat_open, "compat.open", NEED_NODE,
      "a 32-bit program can open the node in each mode in which a 64-bit one can")
{
	static const char *const names[3] = { "read-only", "write-only", "read-write" };
	char *path;
	int mode;
	long fd;

	need_gate();
	path = (char *)page32(0);
	snprintf(path, page_size(), "%s", test_node());
	for (mode = 0; mode < 3; mode++) {
		fd = TICKED(gate(NR32_OPEN, (uintptr_t)path,
				 mode | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0));
		if (fd < 0) /* open.nonblock tells when it is the flag that is refused */
			fd = TICKED(
				gate(NR32_OPEN, (uintptr_t)path, mode | O_CLOEXEC | O_NOCTTY, 0));
		if (!facts->open_err[mode] != (fd >= 0))
			test_fail(__FILE__, __LINE__, "%s: %s, in 64 bits %s", names[mode],
				  result(fd < 0 ? fd : 0), result(-facts->open_err[mode]));
		if (fd >= 0)
			close(fd);
	}
}

/*
 * ioctl.rst: "each subsystem or driver that implements an ioctl callback handler must also implement
 * the corresponding compat_ioctl handler". Without one every call is ENOTTY.
 */
CLAIM(compat_ioctl, "compat.ioctl", NEED_IOCTL,
      "each ioctl of the header gives a 32-bit program what it gives a 64-bit one")
{
	const struct uapi_ioctl *call;
	unsigned char *page;
	int fd = dev_open(MODE_ANY);
	long wide, narrow;

	need_gate();
	page = page32(0);
	for (call = conf.ioctls; call < conf.ioctls + conf.n_ioctls; call++) {
		if (_IOC_SIZE(call->cmd) > ARG_MAX_SIZE)
			continue;
		arg_put(call, page);
		wide = dev_ioctl(fd, call->cmd, page);
		arg_put(call, page);
		narrow = ioctl32(fd, call->cmd, page);
		if (!alike(wide, narrow))
			test_fail(__FILE__, __LINE__, "%s: %s, in 64 bits %s", call->name,
				  result(narrow), result(wide));
	}
}

/* ioctl.rst: no long, no pointer, and the alignment of u64 is 4 there: one layout for both. */
CLAIM(compat_bytes, "compat.bytes", NEED_IOCTL,
      "an ioctl writes the same bytes for a 32-bit program as for a 64-bit one")
{
	static unsigned char out[3][ARG_MAX_SIZE];
	int fd = dev_open(MODE_ANY), i, n = 0;
	const struct uapi_ioctl *call;
	unsigned char *page;
	long ret[3];
	size_t size;

	need_gate();
	page = page32(0);
	for (call = conf.ioctls; call < conf.ioctls + conf.n_ioctls; call++) {
		size = _IOC_SIZE(call->cmd);
		if (!(_IOC_DIR(call->cmd) & _IOC_READ) || !has_argument(call))
			continue;
		for (i = 0; i < 3; i++) {
			arg_put(call, page);
			ret[i] = i == 1 ? ioctl32(fd, call->cmd, page) :
					  dev_ioctl(fd, call->cmd, page);
			memcpy(out[i], page, size);
		}
		n += ret[0] >= 0;
		/* What changes by itself, a time for example, says nothing. */
		if (ret[0] < 0 || ret[1] < 0 || ret[2] < 0 || memcmp(out[0], out[2], size))
			continue;
		for (i = 0; out[0][i] == out[1][i] && (size_t)i < size; i++)
			;
		if ((size_t)i < size)
			test_fail(__FILE__, __LINE__, "%s: byte %d is 0x%02x, in 64 bits 0x%02x",
				  call->name, i, out[1][i], out[0][i]);
	}
	if (!n)
		SKIP("no known ioctl returns bytes");
}

/* A pointer of 32 bits is an unsigned number: who extends its sign is lost at 2 GiB. */
CLAIM(compat_high, "compat.high", NEED_IOCTL,
      "a 32-bit program's argument is found between 2 and 4 GiB, too")
{
	int fd = dev_open(MODE_ANY), n = 0;
	const struct uapi_ioctl *call;
	unsigned char *low, *high;
	long at_low, at_high;

	need_gate();
	low = page32(0);
	high = page32(HIGH_ADDRESS);
	for (call = conf.ioctls; call < conf.ioctls + conf.n_ioctls; call++) {
		if (!has_argument(call))
			continue;
		n++;
		arg_put(call, low);
		arg_put(call, high);
		at_low = ioctl32(fd, call->cmd, low);
		at_high = ioctl32(fd, call->cmd, high);
		if (!alike(at_low, at_high))
			test_fail(__FILE__, __LINE__, "%s: %s at %p, %s at %p", call->name,
				  result(at_high), (void *)high, result(at_low), (void *)low);
	}
	if (!n)
		SKIP("no known ioctl has an argument");
}

/* A handler of its own may forget what the other one checks. */
CLAIM(compat_fault, "compat.fault", NEED_IOCTL,
      "an argument in unmapped memory fails for a 32-bit program as it does for a 64-bit one")
{
	int fd = dev_open(MODE_ANY), n = 0;
	const struct uapi_ioctl *call;
	unsigned char *hole;
	long wide, narrow;

	need_gate();
	hole = page32(0) + page_size();
	for (call = conf.ioctls; call < conf.ioctls + conf.n_ioctls; call++) {
		if (!has_argument(call))
			continue;
		n++;
		wide = dev_ioctl(fd, call->cmd, hole);
		narrow = ioctl32(fd, call->cmd, hole);
		/* ENOTTY is compat.ioctl's finding. */
		if (!alike(wide, narrow) && narrow != -ENOTTY)
			test_fail(__FILE__, __LINE__, "%s: %s, in 64 bits %s", call->name,
				  result(narrow), result(wide));
	}
	if (!n)
		SKIP("no known ioctl has an argument");
}

static bool is_known(unsigned long cmd)
{
	unsigned int i;

	for (i = 0; i < conf.n_ioctls; i++)
		if (_IOC_TYPE(conf.ioctls[i].cmd) == _IOC_TYPE(cmd) &&
		    _IOC_NR(conf.ioctls[i].cmd) == _IOC_NR(cmd))
			return true;
	return false;
}

/* ENOTTY there as well; ENOIOCTLCMD is made ENOTTY by the kernel, other numbers are not. */
CLAIM(compat_unknown, "compat.unknown", NEED_NODE,
      "an ioctl that the driver does not know fails for a 32-bit program as it does for a 64-bit one")
{
	static const unsigned int nrs[] = { 0, 1, 2, 0x40 };
	int fd = dev_open(MODE_ANY), shown = 0;
	unsigned int type, n;
	unsigned long cmd;
	unsigned char *hole;
	long wide, narrow;

	need_gate();
	hole = page32(0) + page_size();
	for (type = 0; type < 256; type++) {
		n = nrs[type % 4];
		cmd = _IOC((type / 4) % 4, type, n, 8);
		/* Some of these the kernel answers itself, and not alike. */
		if (conf_vfs_ioctl(type, n) || is_known(cmd))
			continue;
		wide = dev_ioctl(fd, cmd, hole);
		narrow = ioctl32(fd, cmd, hole);
		if (wide == -ENOTTY && narrow != wide && shown++ < 4)
			test_fail(__FILE__, __LINE__, "0x%08lx: %s, in 64 bits %s", cmd,
				  result(narrow), result(wide));
	}
}

/* What a device delivers has no long and no pointer in it either. */
CLAIM(compat_read, "compat.read", NEED_DATA,
      "a read of a 32-bit program gives the bytes that a 64-bit one reads")
{
	unsigned char ref[256], *page;
	int fd = dev_open(MODE_READ);
	size_t len;
	long ret;

	need_gate();
	page = page32(0);
	len = reference(&fd, ref, sizeof(ref));
	ret = TICKED(gate(NR32_READ, fd, (uintptr_t)page, len));
	if (ret <= 0 || ret > (long)len)
		test_fail(__FILE__, __LINE__, "a read of %zu bytes: %s", len, result(ret));
	else if (memcmp(page, ref, ret))
		test_fail(__FILE__, __LINE__, "the bytes differ");
}

CLAIM(compat_write, "compat.write", NEED_WRITE | NEED_POS,
      "what a 32-bit program writes is what is stored")
{
	unsigned char ref[256], got[256], *page;
	int fd = dev_open(MODE_ANY);
	long ret;

	need_gate();
	page = page32(0);
	stored(fd, ref, sizeof(ref));
	pattern_fill(ref, sizeof(ref), 0x68);
	memcpy(page, ref, sizeof(ref));
	dev_seek(fd, 0, SEEK_SET);
	ret = TICKED(gate(NR32_WRITE, fd, (uintptr_t)page, sizeof(ref)));
	if (ret <= 0 || ret > (long)sizeof(ref)) {
		test_fail(__FILE__, __LINE__, "a write of %zu bytes: %s", sizeof(ref), result(ret));
		return;
	}
	EXPECT_EQ(dev_pread(fd, got, ret, 0), ret);
	if (memcmp(got, ref, ret))
		test_fail(__FILE__, __LINE__, "other bytes are stored");
}

/* Both events and no event must be told; a driver's poll has no reason to look at who asks. */
CLAIM(compat_poll, "compat.poll", NEED_POLL,
      "poll tells a 32-bit program what it tells a 64-bit one")
{
	struct pollfd *pfd, wide = { .events = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM };
	int fd = dev_open(MODE_ANY), i;

	need_gate();
	pfd = (struct pollfd *)page32(0);
	drain(fd);
	for (i = 0; i < 2; i++) {
		wide.fd = fd;
		poll(&wide, 1, 0);
		*pfd = wide;
		pfd->revents = 0;
		gate(NR32_POLL, (uintptr_t)pfd, 1, 0);
		if (pfd->revents != wide.revents)
			test_fail(__FILE__, __LINE__, "%s: 0x%x, in 64 bits 0x%x",
				  i ? "after an event" : "at first", pfd->revents, wide.revents);
		if (!conf.event || i)
			break;
		raise_event();
		await_data(fd);
	}
}
