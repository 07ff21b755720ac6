/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CDEVLAB_SAFETY_CHECK_H
#define CDEVLAB_SAFETY_CHECK_H

#include "ktap.h"
#include "lab.h"

/**
 * safety_check() - the short form of the safety experiment
 * All patches apply, and those in C compile; and of tests/seeded the matrix is as tests/seeded/expect.txt says.
 */
enum lab_exit safety_check(struct ktap *suite);

#endif
