// SPDX-License-Identifier: GPL-2.0
/* init fails with ENODEV. */
#define FAULT FAILS_LOAD
#include "faults.c"
