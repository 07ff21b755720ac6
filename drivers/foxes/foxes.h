/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * A stream of foxes, read from /dev/foxes. How it ends, and what the calls return, is described in
 * README.md. There are no ioctls.
 */
#ifndef _FOXES_H
#define _FOXES_H

#include <linux/types.h>

/* One fox: U+1F98A in UTF-8, and its bytes. */
#define FOXES_FOX      "\xF0\x9F\xA6\x8A"
#define FOXES_FOX_SIZE 4

/* Foxes until the end: the module parameter "foxes". The longest stream has 4 GiB. */
#define FOXES_MIN     1
#define FOXES_MAX     (1 << 30)
#define FOXES_DEFAULT 200

/* Whose they are, each open's or those of all of them together: the module parameter "scope". */
#define FOXES_SCOPE_OPEN    "open"
#define FOXES_SCOPE_DEVICE  "device"
#define FOXES_SCOPE_DEFAULT FOXES_SCOPE_OPEN

/* Permissions of the node: the module parameter "mode". Nothing can be written. */
#define FOXES_MODE_ALLOWED 0444
#define FOXES_MODE_DEFAULT 0444

#endif /* _FOXES_H */
