/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Several devices of one driver, told apart by their minor number. The calls and their errors are
 * described in README.md.
 */
#ifndef _MINORS_H
#define _MINORS_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The region in /proc/devices, the class, and the beginning of the nodes' names: /dev/minors0 ... */
#define MINORS_NAME "minors"

/* Devices: minor 0 .. count - 1, the module parameter "count". */
#define MINORS_COUNT_MIN     1
#define MINORS_COUNT_MAX     256
#define MINORS_COUNT_DEFAULT 2

/* Permissions of the nodes: the module parameter "mode". */
#define MINORS_MODE_DEFAULT 0444

/*
 * What a read gives: the device's minor (__u32), and how often that device has been opened since
 * the module was loaded, this open included (__u64). It stays the same for the life of the
 * descriptor.
 */
#define MINORS_LINE "minor %u opened %llu times\n"
/* No line is longer, with the 0 behind it. */
#define MINORS_LINE_MAX 64

#endif /* _MINORS_H */
