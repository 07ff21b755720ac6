/* SPDX-License-Identifier: GPL-2.0 */
/* The guest's root: a newc archive made by libarchive, in memory (no file outlives us). */
#ifndef CDEVLAB_INITRAMFS_H
#define CDEVLAB_INITRAMFS_H

#include <sys/types.h>

#include "lab.h"

struct initramfs;

struct initramfs *initramfs_new(void);
/* Parents are added by themselves. Errors are kept and reported by initramfs_finish(). */
void initramfs_data(struct initramfs *fs, const char *path, mode_t mode, const void *data,
		    size_t n);
void initramfs_file(struct initramfs *fs, const char *path, mode_t mode, const char *host_path);
void initramfs_symlink(struct initramfs *fs, const char *path, const char *target);
/* A character device node: /dev/console must be there before devtmpfs is. */
void initramfs_node(struct initramfs *fs, const char *path, mode_t mode, unsigned int major,
		    unsigned int minor);
/* Returns LAB_OK, the sealed memory file in *fd and its size; frees fs. The same content gives the same bytes. */
enum lab_exit initramfs_finish(struct initramfs *fs, int *fd, size_t *size);

#endif
