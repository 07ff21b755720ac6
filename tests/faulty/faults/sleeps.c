// SPDX-License-Identifier: GPL-2.0
/* No fault: a case of its test sleeps for ever. */
#define FAULT NONE
#include "faults.c"
