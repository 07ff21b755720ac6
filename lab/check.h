/* SPDX-License-Identifier: GPL-2.0 */
/* Groups of `cdevlab check` that are files of their own. */
#ifndef CDEVLAB_CHECK_H
#define CDEVLAB_CHECK_H

#include "boot.h"
#include "ktap.h"
#include "lab.h"

/* What cdevlab new makes rooms from; it is one. */
#define CHECK_NEW_ROOM "templates/misc"

/* Sources: their layout, what checkers say of them, and whether each room is complete. */
enum lab_exit check_static(struct ktap *suite);
/* Every driver on the default kernel and on one of each architecture, with budgets and goals. */
enum lab_exit check_drivers(struct ktap *suite);
/* Twins and the modules in C beside them; where the toolchain cannot be had, skipped unless --rust demands it. */
enum lab_exit check_rust(struct ktap *suite);
/* Each claim of the conformance suite fails on a driver with just that bug; or a share of them, unless @in_full. */
enum lab_exit check_proofs(struct ktap *suite, bool in_full);
/* Each driver is hammered for a moment, and the races of tests/racy are found. */
enum lab_exit check_stress(struct ktap *suite);
/* A short sweep over faults of our modules, and the wrong error paths of tests/failing, on a debug kernel that is here. */
enum lab_exit check_faults(struct ktap *suite, const char *kernel);
/* What made-up calls must find in tests/fuzzed, on the default kernel. */
enum lab_exit check_fuzz(struct ktap *suite);
/* Meters that are played in a guest: the energy, and all that can go wrong. */
enum lab_exit check_meter(struct ktap *suite);
/* A machine that ssh reaches: a guest. Tests and times there, what cannot be, and what is left when the line is cut. */
enum lab_exit check_target(struct ktap *suite);
/* check_meter.c: compiles what plays a meter (tests/meter/fnb58.c), @path in a temporary directory @dir. */
enum lab_exit check_compile_player(char **path, char **dir);
/* check_guest.c: a program of this machine and all that it is linked with, in a guest. */
void check_add_program(struct boot *b, const char *guest_path, const char *path);
/* Some of our modules for a moment, on a debug kernel that is here. */
enum lab_exit check_fuzz_debug(struct ktap *suite, const char *kernel);

#endif
