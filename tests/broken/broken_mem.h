/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * A memory with faults to order: the ioctls.
 */
#ifndef BROKEN_MEM_H
#define BROKEN_MEM_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define BROKEN_MEM_SIZE 4096

struct broken_mem_word {
	__u32 offset;
	__u32 value;
};

#define BROKEN_MEM_GET_SIZE _IOR(0xb5, 1, __u64)
#define BROKEN_MEM_CLEAR    _IO(0xb5, 2)
#define BROKEN_MEM_POKE	    _IOW(0xb5, 3, struct broken_mem_word)
#define BROKEN_MEM_PEEK	    _IOWR(0xb5, 4, struct broken_mem_word)

#endif
