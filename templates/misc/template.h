/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * A record of a few bytes, kept by the kernel: what programs and the driver agree on. The calls
 * and their errors are described in README.md; every figure of the contract stands here, once.
 */
#ifndef _UAPI_TEMPLATE_H
#define _UAPI_TEMPLATE_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Bytes of the record: the module parameter "size", from 1 to this. */
#define TEMPLATE_SIZE_LIMIT 65536

#define TEMPLATE_SIZE_DEFAULT 4096

/* Permissions of the node: the module parameter "mode". */
#define TEMPLATE_MODE_DEFAULT 0600

/**
 * struct template_info - what the device is, the argument of TEMPLATE_INFO
 * @size:	before: bytes the caller has room for, at least TEMPLATE_INFO_SIZE_VER0; after: bytes
 *		that this kernel knows. Bytes beyond that are zeroed, fields beyond the caller's
 *		room are not written.
 * @bytes:	how long the record is
 * @changes:	how often it has been written or cleared since the module was loaded
 *
 * New fields go to the end. The number of TEMPLATE_INFO keeps the size of this first version.
 */
struct template_info {
	__u32 size;
	__u32 bytes;
	__u64 changes;
};

#define TEMPLATE_INFO_SIZE_VER0 16

/* More room than this is taken for a mistake: -E2BIG. */
#define TEMPLATE_INFO_SIZE_LIMIT 4096

/*
 * Choose a magic that no other driver uses: Documentation/userspace-api/ioctl/ioctl-number.rst. It
 * has nothing to do with any major number.
 */
#define TEMPLATE_IOC_MAGIC 0xE6

/* Makes the record all zeros. */
#define TEMPLATE_CLEAR _IO(TEMPLATE_IOC_MAGIC, 0x00)

#define TEMPLATE_INFO _IOWR(TEMPLATE_IOC_MAGIC, 0x01, struct template_info)

#endif /* _UAPI_TEMPLATE_H */
