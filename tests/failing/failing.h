/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* A text that is kept, with wrong error paths to order: the ioctls. */
#ifndef FAILING_H
#define FAILING_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define FAILING_ROOM 64 /* bytes of the text, all of them always there */

/* The text, turned around. */
#define FAILING_TURNED _IOR(0xb8, 1, char[FAILING_ROOM])
/* The number of the next ticket, which then is taken. */
#define FAILING_TICKET _IOR(0xb8, 2, __u64)

#endif
