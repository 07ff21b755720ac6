// SPDX-License-Identifier: GPL-2.0
/* The virtual GPIO, no lock and no wait queue. */
#define VGPIO_LOCK  0
#define VGPIO_QUEUE 0
#include "vgpio.c"
