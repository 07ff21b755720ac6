// SPDX-License-Identifier: GPL-2.0
/* Arguments drawn at random, of a kind that finds mistakes: what hammering and fuzzing have in common. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>

#include "conf.h"
#include "draw.h"

/* splitmix64 */
uint64_t draw_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

unsigned int draw_below(uint64_t *r, unsigned int n)
{
	return (draw_random(r) >> 32) % n;
}

size_t draw_size(uint64_t *r)
{
	static const size_t huge[] = { INT_MAX,		(size_t)INT_MAX + 1, UINT_MAX,
				       (size_t)1 << 32, SSIZE_MAX,	     SIZE_MAX };
	unsigned int what = draw_below(r, 64);
	uint64_t v = draw_random(r);

	if (what < 4)
		return 0;
	if (what < 40)
		return 1 + v % 16;
	if (what < 48)
		return ((size_t)1 << v % 13) + (v >> 32) % 3 - 1;
	if (what < 60)
		return v % 1025;
	if (what < 62)
		return v % 8193;
	if (what < 63)
		return v % 65537;
	return huge[v % 6];
}

off_t draw_pos(uint64_t *r)
{
	static const off_t far[] = { INT_MAX,	(off_t)INT_MAX + 1, (off_t)1 << 32,
				     LLONG_MAX, LLONG_MAX - 7,	    LLONG_MIN };
	unsigned int what = draw_below(r, 32);
	uint64_t v = draw_random(r);

	if (what < 8)
		return 0;
	if (what < 20)
		return v % 64;
	if (what < 26)
		return v % 65537;
	if (what < 28)
		return v % (1 << 24);
	if (what < 30)
		return -(off_t)(v % 5000);
	return far[v % 6];
}

/* No O_CREAT: while the module is away, a file would take the node's place. */
int draw_open_flags(uint64_t v)
{
	static const int modes[8] = { O_RDWR,	O_RDWR,	  O_RDWR,   O_RDWR,
				      O_RDONLY, O_RDONLY, O_WRONLY, O_ACCMODE };
	static const int rare[16] = { O_APPEND, O_SYNC,	   O_DSYNC, O_TRUNC, O_DIRECT,
				      O_ASYNC,	O_NOATIME, O_PATH,  O_EXCL };
	int flags = modes[v & 7] | O_NOCTTY;

	/* Seven of eight: a call that waits does nothing, and waits for the supervisor. */
	if (v >> 3 & 7)
		flags |= O_NONBLOCK;
	if (v >> 60 & 1)
		flags |= O_CLOEXEC;
	if ((v >> 32 & 7) == 0)
		flags |= rare[v >> 35 & 15];
	return flags;
}

unsigned long draw_unknown_ioctl(uint64_t v)
{
	static const unsigned int sizes[] = { 0, 1, 4, 8, 16, 64, 4096, 16383 };
	unsigned int type = v >> 8 & 0xff, nr = v & 0xff, dir = v >> 16 & 3;
	unsigned long known = conf.n_ioctls ? conf.ioctls[(v >> 20) % conf.n_ioctls].cmd : 0;

	/* Half of them only nearly known: an ABI that grows knows one call in several sizes. */
	if (known && v >> 63) {
		type = _IOC_TYPE(known);
		if (v >> 62 & 1)
			nr = _IOC_NR(known);
		else
			nr &= 0x1f;
	}
	if (conf_vfs_ioctl(type, nr))
		return 0xfefefefe;
	return _IOC(dir, type, nr, sizes[v >> 40 & 7]);
}
