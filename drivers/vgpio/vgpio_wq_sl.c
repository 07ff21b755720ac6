// SPDX-License-Identifier: GPL-2.0
/* The virtual GPIO, with the spinlock and the wait queue. */
#define VGPIO_LOCK  1
#define VGPIO_QUEUE 1
#include "vgpio.c"
