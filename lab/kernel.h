/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Kernels: where they come from, and what building for them and booting them needs.
 *
 * A source is one row of a table: debian:SUITE[/ARCH], dir:PATH, host.
 */
#ifndef CDEVLAB_KERNEL_H
#define CDEVLAB_KERNEL_H

#include <jansson.h>

#include "arch.h"
#include "lab.h"
#include "util.h"

/* struct kernel - a kernel that is here: everything is a local file */
struct kernel {
	char *name;    /* canonical: debian:bookworm/amd64 */
	char *release; /* 6.1.0-56-amd64 */
	char *version; /* the package's version, or "" */
	const struct arch *arch;
	char *image;	       /* what QEMU's -kernel gets */
	char *kdir;	       /* for make -C */
	char *config;	       /* its .config */
	char *stock_modules;   /* .../lib/modules/RELEASE of the image, or NULL */
	char *cc;	       /* compiler for its modules: gcc-12 */
	char *system_map;      /* or NULL */
	struct strv make_args; /* further arguments of make: ARCH=, CROSS_COMPILE= */
	char id[HASH_HEX]; /* of all that determines a build for it: package hashes, or the tree's files */
	char config_sha256[HASH_HEX];
};

/**
 * kernel_get() - finds a kernel, fetching what is missing
 * @spec:	as on the command line; NULL: the default, debian:HOST-SUITE/HOST-ARCH
 * @update:	resolve the newest version again even if one is here
 * Return: LAB_OK and *k, LAB_USAGE for an unknown source or suite, LAB_CANNOT otherwise (no network,
 * no space, not readable), LAB_INTERRUPTED.
 */
enum lab_exit kernel_get(const char *spec, bool update, struct kernel *k);
void kernel_free(struct kernel *k);
/* The canonical name of the default kernel, or NULL. */
char *kernel_default_name(void);
/* Prints what is known, what is fetched, and where; for `cdevlab kernel list`. */
enum lab_exit kernel_list(bool json);
/* CONFIG_x of the kernel's configuration: 'y', 'm', or 'n'. */
char kernel_config(const struct kernel *k, const char *option);

/* For the tables of sources (kernel_debian.c, kernel_dir.c). */
struct kernel_source {
	const char *prefix; /* "debian:" */
	const char *help;   /* debian:SUITE[/ARCH] */
	enum lab_exit (*get)(const char *rest, bool update, struct kernel *k);
	enum lab_exit (*list)(
		json_t *rows); /* appends objects {name, release, version, state, path}; may be NULL */
};
extern const struct kernel_source kernel_source_debian, kernel_source_dir, kernel_source_host;

/* image.c: makes the file QEMU boots: the ELF inside a bzImage (PVH), or a copy. @to is written atomically. */
enum lab_exit image_make_bootable(const struct arch *arch, const char *vmlinuz, const char *to);

#endif
