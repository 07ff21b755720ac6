/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Builds a room for a kernel: its modules, and static programs for the guest. Out of the source tree, cached
 * by the hash of everything that goes in.
 */
#ifndef CDEVLAB_BUILD_H
#define CDEVLAB_BUILD_H

#include "driver.h"
#include "kernel.h"

/* struct module - one .ko of a room: the unit that is loaded, tested and measured */
struct module {
	char *name;	       /* as in /proc/modules: vgpio_wq */
	char *ko;	       /* stripped, for the guest */
	char *debug_ko;	       /* with debug information, for source lines */
	char sha256[HASH_HEX]; /* of ko */
	struct strv needs;     /* modules of the same room, in the order to load them first */
};

/* struct built - what a room became */
struct built {
	const struct driver *driver;
	char *dir; /* in the cache */
	struct module *modules;
	size_t n;
	struct strv tests, benches, clients; /* names of programs: test_vgpio, ... in dir/bin */
	char *compiler;			     /* first line of --version of the modules' compiler */
	bool cached;			     /* nothing had to be built */
};

/* struct guest_tools - what every guest has, built once per architecture and compiler */
struct guest_tools {
	char *dir;
	char *agent;
	char *archive; /* libguest.a: harness, exact clock */
	char id[HASH_HEX];
};

/**
 * build_driver() - builds a room
 * Return: LAB_OK; LAB_FAILED when it does not compile: the compiler's messages were shown, with the names of the
 * person's own files; LAB_CANNOT, LAB_INTERRUPTED.
 */
enum lab_exit build_driver(const struct driver *d, const struct kernel *k, struct built *b);
void built_free(struct built *b);
/* From now on what compilers say is added to *messages and not shown. NULL: is shown again. */
void build_keep_messages(struct buf *messages);

enum lab_exit build_guest_tools(const struct arch *arch, struct guest_tools *t);
void guest_tools_free(struct guest_tools *t);

#endif
