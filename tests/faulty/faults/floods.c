// SPDX-License-Identifier: GPL-2.0
/* No fault: its test program talks too much. */
#define FAULT NONE
#include "faults.c"
