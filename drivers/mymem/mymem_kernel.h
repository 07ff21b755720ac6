/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The memory of /dev/mymem for other modules. All of these may sleep. They are described where they
 * are, in mymem.c.
 */
#ifndef _MYMEM_KERNEL_H
#define _MYMEM_KERNEL_H

#include <linux/types.h>

size_t mymem_size(void);
ssize_t mymem_read(u64 pos, void *to, size_t len);
ssize_t mymem_write(u64 pos, const void *from, size_t len);
int mymem_fetch_add(u64 pos, u64 value, u64 *old);

#endif /* _MYMEM_KERNEL_H */
