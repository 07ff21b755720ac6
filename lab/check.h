/* SPDX-License-Identifier: GPL-2.0 */
/* Groups of `cdevlab check` that are files of their own. */
#ifndef CDEVLAB_CHECK_H
#define CDEVLAB_CHECK_H

#include "ktap.h"
#include "lab.h"

/* A short sweep over faults of our modules, and the wrong error paths of tests/failing, on a debug kernel that is here. */
enum lab_exit check_faults(struct ktap *suite, const char *kernel);
/* What made-up calls must find in tests/fuzzed, on the default kernel. */
enum lab_exit check_fuzz(struct ktap *suite);
/* Some of our modules for a moment, on a debug kernel that is here. */
enum lab_exit check_fuzz_debug(struct ktap *suite, const char *kernel);

#endif
