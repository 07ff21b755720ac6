/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * A device that one at a time can have open, and that counts who had it. The calls, their errors
 * and the policies are described in README.md.
 */
#ifndef _GREETER_H
#define _GREETER_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The node in /dev, its class, and the region in /proc/devices. */
#define GREETER_NAME "greeter"

/* What a second open meets: the module parameter "policy". */
#define GREETER_POLICY_BUSY    "busy" /* -EBUSY */
#define GREETER_POLICY_WAIT    "wait" /* waits; O_NONBLOCK: -EAGAIN */
#define GREETER_POLICY_UID     "uid"  /* the same user's are let in; others: -EBUSY */
#define GREETER_POLICY_DEFAULT GREETER_POLICY_BUSY

/* Permissions of the node: the module parameter "mode". */
#define GREETER_MODE_DEFAULT 0444

/*
 * What the n-th successful open since the load of the module reads; between the two halves n
 * (__u64), decimal.
 */
#define GREETER_LINE_BEGIN "This is my "
#define GREETER_LINE_END   " times saying Hello World!\n"
/* No line is longer. */
#define GREETER_LINE_MAX (sizeof(GREETER_LINE_BEGIN) - 1 + 20 + sizeof(GREETER_LINE_END) - 1)

#endif /* _GREETER_H */
