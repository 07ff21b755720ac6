/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Kernels: where they come from, and what building for them and booting them needs.
 *
 * A source is one row of a table: debian:SUITE[/ARCH], debug:KIND[/ARCH], dir:PATH, host.
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
	char *image;	     /* what QEMU's -kernel gets */
	char *kdir;	     /* for make -C */
	char *config;	     /* its .config */
	char *stock_modules; /* .../lib/modules/RELEASE of the image, or NULL */
	char *cc;	     /* compiler for its modules: gcc-12 */
	char *system_map;    /* or NULL */
	char *busybox; /* for a shell in its guests, or NULL: this machine's, if it runs there */
	int memory_mb; /* what its guests need; 0: 256 */
	bool slow;     /* it checks itself, and a load takes ten times as long as elsewhere */
	struct strv make_args; /* further arguments of make: ARCH=, CROSS_COMPILE= */
	char id[HASH_HEX]; /* of all that determines a build for it: package hashes, or the tree's files */
	char config_sha256[HASH_HEX];
	/*
	 * With lab_options.rust, and for a debug kernel always, else NULL: the root with the toolchain that the
	 * kernel was built by (root.h).
	 */
	char *rust;	    /* its root directory, with the prepared headers in kernel/ */
	char *rust_cc;	    /* its C compiler, as it is named there */
	char *rust_version; /* what its compilers say they are */
	char rust_id[HASH_HEX];
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
/* Names of all kernels that "all" stands for: what the sources know, not what they have today. */
void kernel_all(struct strv *names);
/**
 * kernel_expand() - what was asked for, as names, each once
 * @specs:	as on the command line; "all" among them stands for @all
 * @any:	set to an array as long as names: those that were not named themselves, which need not be there
 */
void kernel_expand(const struct strv *specs, const struct strv *all, struct strv *names,
		   bool **any);
/**
 * kernel_get_any() - gets one of "all", which need not be there
 * @update:	ask the archive again, also for what it did not have the last time
 * @have:	those that were got before
 * @why:	without it: the reason, a new string; NULL where there is nothing to tell, since the suite never
 *		had that architecture, or is testing and has nothing that @have does not
 * Return: LAB_OK and *k; LAB_SKIPPED and *why; LAB_INTERRUPTED.
 */
enum lab_exit kernel_get_any(const char *name, bool update, const struct kernel *have, size_t n,
			     struct kernel *k, char **why);
/* The kernel's series, "6.12" of 6.12.117+deb13-amd64; a new string. */
char *kernel_series(const char *release);
/* The canonical name of the default kernel, or NULL. */
char *kernel_default_name(void);
/* The canonical name of a kernel that is here and has that release; a new string, or NULL. */
char *kernel_of_release(const char *release, const char *arch);
/* Its directory in the cache, a new string; NULL for one from elsewhere, of which nothing is remembered. */
char *kernel_cache_dir(const struct kernel *k);
/**
 * kernel_note_boot() - remembers beside a kernel of the cache how its last boot here went
 * @end:	"clean", or how it failed before it was ready: "hang"
 * @qemu:	its version, or NULL
 */
void kernel_note_boot(const struct kernel *k, const char *end, const char *accel, const char *qemu);
/**
 * kernel_build() - builds a debug kernel, if it is not there
 * @name:	as with -k: debug:kasan
 * @update:	from the newest source, even if one is there
 */
enum lab_exit kernel_build(const char *name, bool update);
/* Prints what is known, what is fetched, and where; for `cdevlab kernel list`. */
enum lab_exit kernel_list(bool json);
/* CONFIG_x of the kernel's configuration: 'y', 'm', or 'n'. */
char kernel_config(const struct kernel *k, const char *option);
/* The text of CONFIG_x; a new string, or NULL. */
char *kernel_text(const struct kernel *k, const char *option);
/* The file of a module that came with the kernel, "-" and "_" being the same; a new string, or NULL. */
char *kernel_stock_module(const struct kernel *k, const char *name);

/* For the tables of sources (kernel_debian.c, kernel_dir.c). */
struct kernel_source {
	const char *prefix; /* "debian:" */
	const char *help;   /* debian:SUITE[/ARCH] */
	enum lab_exit (*get)(const char *rest, bool update, struct kernel *k);
	enum lab_exit (*list)(
		json_t *rows); /* appends objects {name, release, version, state, path, ...}; may be NULL */
	void (*all)(struct strv *names); /* may be NULL, and so the next two */
	/* Whether it is remembered that there is no such kernel. */
	bool (*absent)(const char *rest, char **why, bool *no_arch);
	/* The release that there is, where it may be none of interest; else NULL. */
	enum lab_exit (*offer)(const char *rest, char **release);
};
extern const struct kernel_source kernel_source_debian, kernel_source_debug, kernel_source_dir,
	kernel_source_host;

/* image.c: makes the file QEMU boots: the ELF inside a bzImage (PVH), or a copy. @to is written atomically. */
enum lab_exit image_make_bootable(const struct arch *arch, const char *vmlinuz, const char *to);

#endif
