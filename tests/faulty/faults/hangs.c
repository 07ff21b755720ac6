// SPDX-License-Identifier: GPL-2.0
/* init loops for ever with interrupts off. */
#define FAULT HANGS
#include "faults.c"
