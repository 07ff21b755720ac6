/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * A source of events with faults to order: the record and the ioctls.
 */
#ifndef BROKEN_EVENT_H
#define BROKEN_EVENT_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* What a read gives, one for each event since the open. */
struct broken_event_record {
	__u64 sequence;
};

#define BROKEN_EVENT_RAISE _IO(0xb6, 1)

#endif
