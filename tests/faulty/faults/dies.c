// SPDX-License-Identifier: GPL-2.0
/* init stops all processors, one by one: nobody is left to say so. */
#define FAULT DIES
#include "faults.c"
