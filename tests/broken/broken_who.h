/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * A source of events that looks at who calls, with faults to order: the record and the ioctls.
 */
#ifndef BROKEN_WHO_H
#define BROKEN_WHO_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* What a read gives, one for each event since the open. */
struct broken_who_record {
	__u64 sequence;
};

#define BROKEN_WHO_RAISE _IO(0xb8, 1)
/* Waits for the next event, and leaves it to the next read. */
#define BROKEN_WHO_WAIT _IO(0xb8, 2)
/* The process that opened it, by its number for the caller. */
#define BROKEN_WHO_OWNER _IOR(0xb8, 3, __u32)
/* For the machine's administrator. */
#define BROKEN_WHO_RESET _IO(0xb8, 4)
/* A new descriptor; the argument: 0 or O_CLOEXEC. */
#define BROKEN_WHO_EXPORT _IO(0xb8, 5)

#endif
