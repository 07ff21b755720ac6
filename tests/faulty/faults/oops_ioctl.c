// SPDX-License-Identifier: GPL-2.0
/* The ioctl writes to a bad address. */
#define FAULT OOPS_IOCTL
#include "faults.c"
