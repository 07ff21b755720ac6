/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * A memory as a device: bytes that are read, written, sought in and mapped, and three calls of its
 * own. What they do, and their errors, is described in README.md.
 */
#ifndef _MYMEM_H
#define _MYMEM_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Bytes of the memory: the module parameter "size". */
#define MYMEM_SIZE_MIN	   1
#define MYMEM_SIZE_MAX	   (1UL << 30)
#define MYMEM_SIZE_DEFAULT 524288

/* Permissions of the node: the module parameter "mode". */
#define MYMEM_MODE_DEFAULT 0600

/* The offset of MYMEM_ADD is a multiple of this, and so many bytes are added to. */
#define MYMEM_ADD_ALIGN 8

/* mymem_info.flags */
#define MYMEM_FLAG_STRICT     (1U << 0) /* strict=1: no short transfers */
#define MYMEM_FLAG_LOCK_MUTEX (1U << 1) /* one call at a time */
#define MYMEM_FLAG_LOCK_RWSEM (1U << 2) /* one call that writes, or any number that read */
/* Neither of the two: lock=none, reads and writes may meet half-way. */

/**
 * struct mymem_info - what the device is, the argument of MYMEM_INFO
 * @size:	before: bytes the caller has room for, at least MYMEM_INFO_SIZE_VER0; after: bytes
 *		that this kernel knows. Bytes beyond that are zeroed, fields beyond the caller's
 *		room are not written.
 * @flags:	MYMEM_FLAG_*
 * @bytes:	how large the memory is
 *
 * New fields go to the end. The number of MYMEM_INFO keeps the size of this first version.
 */
struct mymem_info {
	__u32 size;
	__u32 flags;
	__u64 bytes;
};

#define MYMEM_INFO_SIZE_VER0 16
/* More room than this is taken for a mistake: -E2BIG. */
#define MYMEM_INFO_SIZE_MAX 4096

/**
 * struct mymem_add - an addition that nothing comes between, the argument of MYMEM_ADD
 * @offset:	of a 64-bit number in the memory, native endian; a multiple of MYMEM_ADD_ALIGN
 * @value:	what to add, modulo 2^64
 * @old:	after: what the number was before
 * @reserved:	must be zero
 */
struct mymem_add {
	__u64 offset;
	__u64 value;
	__u64 old;
	__u64 reserved;
};

#define MYMEM_IOC_MAGIC 0xE9

#define MYMEM_INFO _IOWR(MYMEM_IOC_MAGIC, 0x00, struct mymem_info)
/* All bytes become zero. */
#define MYMEM_CLEAR _IO(MYMEM_IOC_MAGIC, 0x01)
#define MYMEM_ADD   _IOWR(MYMEM_IOC_MAGIC, 0x02, struct mymem_add)

#endif /* _MYMEM_H */
