// SPDX-License-Identifier: GPL-2.0
/* The virtual GPIO, with the wait queue and no lock. */
#define VGPIO_LOCK  0
#define VGPIO_QUEUE 1
#include "vgpio.c"
