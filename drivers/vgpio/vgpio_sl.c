// SPDX-License-Identifier: GPL-2.0
/* The virtual GPIO, with the spinlock and no wait queue. */
#define VGPIO_LOCK  1
#define VGPIO_QUEUE 0
#include "vgpio.c"
