/* SPDX-License-Identifier: GPL-2.0 */
/* Arguments drawn at random, of a kind that finds mistakes: what hammering and fuzzing have in common. */
#ifndef CDEVLAB_DRAW_H
#define CDEVLAB_DRAW_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Everything follows from the state, which begins as a seed. */
uint64_t draw_random(uint64_t *state);
unsigned int draw_below(uint64_t *state, unsigned int n);
/* Of a transfer, and where in the file: most are small, some near the ends of their types. */
size_t draw_size(uint64_t *state);
off_t draw_pos(uint64_t *state);
/* Of open(), and the number of an ioctl that is none or nearly one of the known, from random bits. */
int draw_open_flags(uint64_t bits);
unsigned long draw_unknown_ioctl(uint64_t bits);

#endif
