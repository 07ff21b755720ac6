/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The Rust toolchain of a stock kernel: a private Debian root with the compilers that the kernel was built by,
 * and the kernel's headers with what one `make prepare` adds to them for Rust modules.
 *
 * Nothing is installed on this machine, and no maintainer script is run: packages are resolved and checked by
 * apt, and unpacked. Commands run in the root with mounts that only they see, in a user namespace where we are
 * not root.
 */
#ifndef CDEVLAB_RUST_H
#define CDEVLAB_RUST_H

#include "kernel.h"

/* Where a build is seen in the root. */
#define RUST_BUILD_DIR	"/build"
#define RUST_KERNEL_DIR "/kernel"

/**
 * rust_get() - provides the Rust toolchain of a kernel, making it the first time: sets k->rust and what goes with it
 * Return: LAB_OK; LAB_CANNOT when the kernel has no Rust, its toolchain cannot be had, or commands cannot
 * be run in a root of their own here; LAB_INTERRUPTED.
 */
enum lab_exit rust_get(struct kernel *k);
/*
 * "yes": the toolchain of that kernel is here; "can": it can be made; "no": the kernel has no Rust, or is for
 * another architecture than this machine.
 */
const char *rust_state(const char *name, const char *release, const char *id, const char *config);
/**
 * rust_command() - adds the words that run a command in a root
 * @dir:	what is RUST_BUILD_DIR there, or NULL; the command's words are added after these
 */
void rust_command(const char *root, const char *dir, struct strv *argv);
/* Whether all that a build needs is still there. Says what is not. */
bool rust_is_whole(const char *root);
/**
 * rust_shown() - a line of a compiler in the root for the person: with the names of their own files
 * @dir:	the directory that was RUST_BUILD_DIR, as the person knows it
 * Return: a new string.
 */
char *rust_shown(const char *line, const char *dir);

/* Of rust.c, for its unit test */

/* "1.85.1" of "rustc 1.85.1 (4eb161250 2025-03-15)"; a new string, "" where there is none. */
char *rust_version_of(const char *text);
/* Whether a Debian package of that version is that compiler: 1.85.1+dfsg1-1 is 1.85.1. */
bool rust_package_fits(const char *package_version, const char *version);
/*
 * Options that are not the same in two configurations, as "-CONFIG_X=y" of the kernel's and "+CONFIG_X=m" of the
 * prepared one's; those that only tell which programs a machine has are left out.
 */
void rust_config_diff(const char *kernel, const char *prepared, struct strv *diff);
/* Paths of packages that nobody reads in a root. */
bool rust_drops(const char *path);
/* Symbols that the prepared library exports by its exports_*_generated.h (text), and Module.symvers has not. */
size_t rust_missing_symbols(const char *exports, const char *symvers, struct strv *missing);

#endif
