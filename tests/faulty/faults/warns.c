// SPDX-License-Identifier: GPL-2.0
/* The ioctl warns. */
#define FAULT WARNS
#include "faults.c"
