// SPDX-License-Identifier: GPL-2.0
/* No fault: its test program never ends. */
#define FAULT NONE
#include "faults.c"
