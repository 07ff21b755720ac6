/* SPDX-License-Identifier: GPL-2.0 */
/* What moved on a machine while something was measured there. */
#ifndef CDEVLAB_LAB_MACHINE_H
#define CDEVLAB_LAB_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

#include "../guest/machine.h"

struct machine_range {
	bool known;
	long least, most;
};

/* struct machine_moves - of all moments that were noted */
struct machine_moves {
	size_t n;
	struct machine first, last;
	struct machine_range khz, millicelsius;
	bool governors; /* it was not always the same */
};
void machine_note(struct machine_moves *all, const struct machine *m);
/* The part of the time that others had, from the first moment to the last; -1: unknown. */
double machine_steal(const struct machine_moves *all);
/* "governor performance, 1800 to 1800 MHz, 44 to 47 C, 0.0 % stolen"; a new string. */
char *machine_text(const struct machine_moves *all);
/* What of it puts the times in doubt, a new string; NULL: nothing that is known. */
char *machine_warning(const struct machine_moves *all);

#endif
