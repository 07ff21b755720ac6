/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The Rust toolchain of a stock kernel: a private Debian root with the compilers that the kernel was built by,
 * and the kernel's headers with what one `make prepare` adds to them for Rust modules.
 */
#ifndef CDEVLAB_RUST_H
#define CDEVLAB_RUST_H

#include "kernel.h"

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
/* Symbols that the prepared library exports by its exports_*_generated.h (text), and Module.symvers has not. */
size_t rust_missing_symbols(const char *exports, const char *symvers, struct strv *missing);

#endif
