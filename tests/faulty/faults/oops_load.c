// SPDX-License-Identifier: GPL-2.0
/* init writes to a bad address. */
#define FAULT OOPS_LOAD
#include "faults.c"
