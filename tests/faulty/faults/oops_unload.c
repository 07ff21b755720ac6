// SPDX-License-Identifier: GPL-2.0
/* exit writes to a bad address. */
#define FAULT OOPS_UNLOAD
#include "faults.c"
