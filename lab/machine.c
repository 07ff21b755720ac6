// SPDX-License-Identifier: GPL-2.0
/* What moved on the machine while something was measured. */
#include "../guest/machine.c"

#include "machine.h"
#include "util.h"

#define MOVED_PART 0.05 /* of the frequency */
#define MOVED_MC   10000
#define STEAL_PART 0.01

static void widen(struct machine_range *r, long v)
{
	if (v < 0)
		return;
	if (!r->known || v < r->least)
		r->least = v;
	if (!r->known || v > r->most)
		r->most = v;
	r->known = true;
}

void machine_note(struct machine_moves *all, const struct machine *m)
{
	if (!all->n++)
		all->first = *m;
	all->last = *m;
	widen(&all->khz, m->khz);
	widen(&all->millicelsius, m->millicelsius);
	all->governors |= strcmp(m->governor, all->first.governor) != 0;
}

double machine_steal(const struct machine_moves *all)
{
	double total = all->last.total - all->first.total;

	return all->first.steal >= 0 && total > 0 ? (all->last.steal - all->first.steal) / total :
						    -1;
}

char *machine_text(const struct machine_moves *all)
{
	double steal = machine_steal(all);
	struct buf b = {};

	buf_puts(&b, "");
	if (*all->first.governor)
		buf_printf(&b, ", governor %s", all->first.governor);
	if (all->khz.known)
		buf_printf(&b, ", %.0f to %.0f MHz", all->khz.least / 1e3, all->khz.most / 1e3);
	if (all->millicelsius.known)
		buf_printf(&b, ", %.0f to %.0f C", all->millicelsius.least / 1e3,
			   all->millicelsius.most / 1e3);
	if (steal >= 0)
		buf_printf(&b, ", %.1f %% stolen", 100 * steal);
	if (!b.n)
		buf_puts(&b, ", it tells nothing of frequency, heat and who else runs on it");
	memmove(b.s, b.s + 2, b.n - 1);
	return b.s;
}

char *machine_warning(const struct machine_moves *all)
{
	struct buf b = {};

	if (all->governors)
		buf_printf(&b, "; the governor was changed meanwhile");
	else if (*all->first.governor && strcmp(all->first.governor, "performance"))
		buf_printf(&b, "; the governor is %s, and not performance", all->first.governor);
	if (all->khz.known && all->khz.most - all->khz.least > MOVED_PART * all->khz.most)
		buf_printf(&b, "; the frequency moved");
	if (all->millicelsius.known && all->millicelsius.most - all->millicelsius.least > MOVED_MC)
		buf_printf(&b, "; it became hotter or colder");
	if (all->last.throttled > 0 && all->last.throttled != all->first.throttled)
		buf_printf(&b, "; it was throttled");
	if (machine_steal(all) > STEAL_PART)
		buf_printf(&b, "; others had a part of its processors");
	if (!b.n)
		return NULL;
	memmove(b.s, b.s + 2, b.n - 1);
	return b.s;
}
