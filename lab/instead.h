/* SPDX-License-Identifier: GPL-2.0 */
/* The subcommands that run one program on each module: stress and its like. */
#ifndef CDEVLAB_INSTEAD_H
#define CDEVLAB_INSTEAD_H

#include "cmd.h"
#include "test.h"

/**
 * instead_run() - builds, boots, and prints KTAP and a line a module
 * @p:	the program
 * @a:	the command line; its drivers and kernels are taken out
 * Return: what the subcommand ends with.
 */
enum lab_exit instead_run(const struct test_instead *p, struct args *a);

#endif
