/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Virtual GPIO: eight lines that are set and read by ioctl, and a stream of their changes.
 * The calls, their errors and the four builds are described in README.md.
 */
#ifndef _VGPIO_H
#define _VGPIO_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Lines of the device: pin 0 .. VGPIO_LINES - 1. */
#define VGPIO_LINES 8

/* Events that the kernel keeps for readers: the module parameter "ring", a power of two. */
#define VGPIO_RING_MIN	   16
#define VGPIO_RING_MAX	   4096
#define VGPIO_RING_DEFAULT 256

/* Permissions of the node: the module parameter "mode". */
#define VGPIO_MODE_DEFAULT 0666

/**
 * struct vgpio_line - one line, the argument of VGPIO_SET and VGPIO_GET
 * @pin:	which line, 0 .. VGPIO_LINES - 1
 * @value:	0 or 1; VGPIO_GET ignores what it held and writes it
 * @reserved:	must be zero
 */
struct vgpio_line {
	__u32 pin;
	__u32 value;
	__u64 reserved;
};

/**
 * struct vgpio_event - one change of a line, as read(2) returns it
 * @sequence:	number of the change, counted from the load of the module, without gaps
 * @time_ns:	when it happened, CLOCK_MONOTONIC
 * @pin:	which line
 * @value:	what it became, 0 or 1
 * @missed:	changes since this descriptor's last record, or since its open, that were overrun
 *		before they were read; stays at its maximum when there were more, @sequence tells
 *		how many
 * @reserved:	zero
 */
struct vgpio_event {
	__u64 sequence;
	__u64 time_ns;
	__u32 pin;
	__u32 value;
	__u32 missed;
	__u32 reserved;
};

/* vgpio_info.features */
#define VGPIO_FEATURE_LOCK  (1U << 0) /* calls exclude each other by a spinlock */
#define VGPIO_FEATURE_QUEUE (1U << 1) /* read and poll are there */

/**
 * struct vgpio_info - what the device is, the argument of VGPIO_INFO
 * @size:	before: bytes the caller has room for, at least VGPIO_INFO_SIZE_VER0; after: bytes
 *		that this kernel knows. Bytes beyond that are zeroed, fields beyond the caller's
 *		room are not written.
 * @lines:	number of lines
 * @features:	VGPIO_FEATURE_* of this build
 * @ring:	events kept for readers; 0 without VGPIO_FEATURE_QUEUE
 * @event_size:	bytes of one record of read(2); 0 without VGPIO_FEATURE_QUEUE
 *
 * New fields go to the end. The number of VGPIO_INFO keeps the size of this first version.
 */
struct vgpio_info {
	__u32 size;
	__u32 lines;
	__u32 features;
	__u32 ring;
	__u32 event_size;
};

#define VGPIO_INFO_SIZE_VER0 20
/* More room than this is taken for a mistake: -E2BIG. */
#define VGPIO_INFO_SIZE_MAX 4096

/* Has nothing to do with any major number. */
#define VGPIO_IOC_MAGIC 0xE7

/* Does nothing: what a call costs before the driver has done any work. */
#define VGPIO_NOP  _IO(VGPIO_IOC_MAGIC, 0x00)
#define VGPIO_SET  _IOW(VGPIO_IOC_MAGIC, 0x01, struct vgpio_line)
#define VGPIO_GET  _IOWR(VGPIO_IOC_MAGIC, 0x02, struct vgpio_line)
#define VGPIO_INFO _IOWR(VGPIO_IOC_MAGIC, 0x03, struct vgpio_info)

#endif /* _VGPIO_H */
