/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* A memory that is read through a window. */
#ifndef FUZZED_H
#define FUZZED_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define FUZZED_SIZE 16384 /* bytes of the memory */

/* Where the next reads come from; at + count is no more than FUZZED_SIZE. */
struct fuzzed_window {
	__u32 at;
	__u32 count;
	__u64 reserved; /* must be zero */
};

#define FUZZED_WINDOW _IOW(0xb8, 1, struct fuzzed_window)

#endif
