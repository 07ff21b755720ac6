/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* A text that is read and replaced, with races to order: the ioctl. */
#ifndef RACY_H
#define RACY_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define RACY_ROOM 1024 /* bytes of the text */

/* How often the text was replaced. */
#define RACY_CHANGES _IOR(0xb7, 1, __u64)

#endif
