/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What gdb needs to know of a guest: the kernel's names, and where a module's code and data are.
 *
 * Stock kernels come without a vmlinux. Their names come from /proc/kallsyms of a guest, once; guests that are looked
 * at by gdb are not randomised, so that they hold for each boot.
 */
#ifndef CDEVLAB_DEBUG_H
#define CDEVLAB_DEBUG_H

#include "build.h"

bool debug_symbols_known(const struct kernel *k);
/* Keeps what the agent's `symbols` printed. */
void debug_symbols_keep(const struct kernel *k, const char *text, size_t n);
/**
 * debug_symbols_file() - an ELF file with the kernel's names: its vmlinux, or one made of what is kept
 * @address:	of a function of that name, or 0: not known; @function may be NULL
 * Return: a new string, or NULL.
 */
char *debug_symbols_file(const struct kernel *k, const char *function, unsigned long *address);

/* gdb's commands to look at a file of a guest's memory; and to know a module in it, by what `sections` printed. */
void debug_script_core(struct buf *to, const struct kernel *k, const char *core);
void debug_script_module(struct buf *to, const struct driver *d, const struct module *m,
			 const char *sections);
/**
 * debug_script_load() - gdb's commands to stop where a module was loaded and its init function not called yet,
 * and to know it
 * @do_init_module: the address of that function of the kernel, whose argument is the module
 * Return: 0, -ENOENT when the module has no debug information, -EINVAL.
 */
int debug_script_load(struct buf *to, const struct driver *d, const struct module *m,
		      const struct arch *arch, unsigned long do_init_module);

#endif
