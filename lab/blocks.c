// SPDX-License-Identifier: GPL-2.0
#include "blocks.h"

#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <math.h>
#include <stdlib.h>

#include "util.h"

#define RESAMPLES 4000

void blocks_order(const struct blocks *b, size_t block, enum blocks_variant order[BLOCKS_VARIANTS])
{
	gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);

	/* of its own for each block, so that a run that was interrupted goes on with the same */
	gsl_rng_set(rng, b->seed * 1000003 + block + 1);
	for (int i = 0; i < BLOCKS_VARIANTS; i++)
		order[i] = i;
	gsl_ran_shuffle(rng, order, BLOCKS_VARIANTS, sizeof(*order));
	gsl_rng_free(rng);
}

void blocks_add(struct blocks *b, const double v[BLOCKS_VARIANTS])
{
	b->v = xrealloc(b->v, b->n + 1, sizeof(*b->v));
	for (int i = 0; i < BLOCKS_VARIANTS; i++)
		b->v[b->n][i] = v[i];
	b->n++;
}

void blocks_free(struct blocks *b)
{
	free(b->v);
	b->v = NULL;
	b->n = 0;
}

const char *blocks_verdict_name(enum blocks_verdict v)
{
	static const char *const names[] = { "not resolved", "no difference", "less", "more" };

	return names[v];
}

static double *ratios(const struct blocks *b, enum blocks_variant of)
{
	double *r = xcalloc(b->n + 1, sizeof(*r));

	for (size_t i = 0; i < b->n; i++)
		r[i] = b->v[i][of] / b->v[i][BLOCKS_A];
	return r;
}

static enum blocks_verdict judge(const struct stats_interval *i, double margin)
{
	if (i->low > 1)
		return BLOCKS_MORE;
	if (i->high < 1)
		return BLOCKS_LESS;
	return i->low >= 1 - margin && i->high <= 1 + margin ? BLOCKS_SAME : BLOCKS_UNRESOLVED;
}

void blocks_ratio(const struct blocks *b, enum blocks_variant of, struct blocks_ratio *r)
{
	double *x = ratios(b, of);

	*r = (struct blocks_ratio){ .n = b->n, .verdict = BLOCKS_UNRESOLVED };
	r->median = stats_median(x, b->n);
	r->known = stats_median_interval(x, b->n, b->confidence, &r->interval);
	if (r->known) {
		r->verdict = judge(&r->interval, b->margin);
		if (!stats_bootstrap(x, b->n, stats_median, STATS_BCA, b->confidence, RESAMPLES,
				     b->seed, &r->bootstrap))
			stats_bootstrap(x, b->n, stats_median, STATS_PERCENTILE, b->confidence,
					RESAMPLES, b->seed, &r->bootstrap);
	}
	stats_outliers(x, b->n, &r->outliers);
	r->drifts = stats_drift(x, b->n, &r->drift) && r->drift.p < 1 - b->confidence;
	free(x);
}

/* Of B's ratio over the first blocks; infinite where nothing is known. */
static double half_width(const struct blocks *b, size_t n)
{
	struct stats_interval i;
	double *x = ratios(b, BLOCKS_B);
	bool known = stats_median_interval(x, n, b->confidence, &i);

	free(x);
	return known ? (i.high - i.low) / 2 : INFINITY;
}

bool blocks_done(const struct blocks *b)
{
	size_t look = b->least, before = 0;

	if (b->n >= b->most)
		return true;
	for (; look < b->n; look += (look + 3) / 4)
		before = look;
	return look == b->n && half_width(b, look) <= b->margin &&
	       (!before || half_width(b, before) <= b->margin);
}

size_t blocks_estimate(const struct blocks *b)
{
	double half = half_width(b, b->n), needed = b->n * pow(half / b->margin, 2);

	if (!isfinite(half))
		return 0;
	return needed > b->most ? b->most : needed < b->least ? b->least : ceil(needed);
}
