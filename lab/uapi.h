/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a driver's UAPI headers say beyond the names of its ioctls: how the arguments are laid out, read from the
 * debug information of a file that declares one of each, and which numbers they define.
 */
#ifndef CDEVLAB_UAPI_H
#define CDEVLAB_UAPI_H

#include "driver.h"

/* C with a pointer to the argument of each ioctl, to be compiled with -g. */
void uapi_types(const struct driver *d, struct buf *c);
/* Adds a row "{ NAME, offset, size }," for each field of each argument; of arrays only the first elements. */
int uapi_fields(const char *object, const struct driver *d, struct buf *rows);
/* Adds the numbers that a header's text defines, as they are written there. */
void uapi_numbers(const char *text, struct strv *numbers);

#endif
