// SPDX-License-Identifier: GPL-2.0
/* open never returns, and lets nobody else run on its processor. */
#define FAULT SPINS
#include "faults.c"
