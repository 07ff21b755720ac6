/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * A memory to read, write, map and splice with faults to order: the ioctls.
 */
#ifndef BROKEN_CALLS_H
#define BROKEN_CALLS_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Three times what a pipe holds. */
#define BROKEN_CALLS_SIZE (192 * 1024)

struct broken_calls_word {
	__u32 offset;
	__u32 value;
};

/* Its end is where the caller says: a later version may have more. */
struct broken_calls_info {
	__u32 size; /* of the caller's; what is more than ours becomes 0 */
	__u32 bytes;
};

#define BROKEN_CALLS_INFO_MAX 4096
#define BROKEN_CALLS_GET_SIZE _IOR(0xb7, 1, __u64)
#define BROKEN_CALLS_PEEK     _IOWR(0xb7, 2, struct broken_calls_word)
#define BROKEN_CALLS_INFO     _IOWR(0xb7, 3, struct broken_calls_info)

#endif
