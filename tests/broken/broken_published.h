/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The interface of the published virtual GPIO driver, with its mistakes: the major number is the
 * ioctls' type, GET is an _IOR though it reads the pin, the fields are of type int.
 */
#ifndef BROKEN_PUBLISHED_H
#define BROKEN_PUBLISHED_H

#include <linux/ioctl.h>

#define BROKEN_PUBLISHED_MAJOR 158

struct broken_published_pin {
	int pin;
	int value;
};

#define BROKEN_PUBLISHED_SET _IOW(BROKEN_PUBLISHED_MAJOR, 1, struct broken_published_pin)
#define BROKEN_PUBLISHED_GET _IOR(BROKEN_PUBLISHED_MAJOR, 2, struct broken_published_pin)

#endif
