// SPDX-License-Identifier: GPL-2.0
/* init switches the machine off. */
#define FAULT POWERS_OFF
#include "faults.c"
