/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two things compared by the wall clock: measured in turn, in blocks, in an order that is drawn for each block, until
 * the interval of their ratio is as narrow as was asked for. Whatever else the machine does meanwhile meets both; what
 * of it meets one alone is in the interval. A third, the first once more, is measured as well: what the comparison says
 * of a thing and itself is what it is worth.
 *
 * Nothing here takes time or waits: what a block measured is handed in.
 */
#ifndef CDEVLAB_BLOCKS_H
#define CDEVLAB_BLOCKS_H

#include "stats.h"

enum blocks_variant {
	BLOCKS_A,
	BLOCKS_B,
	BLOCKS_CONTROL, /* A again */
	BLOCKS_VARIANTS,
};

/* struct blocks - the plan, and what was measured */
struct blocks {
	double confidence; /* 0.99 */
	double margin;	   /* half the width of the ratio's interval that is narrow enough: 0.01 */
	size_t least;	   /* blocks, before anything is judged */
	size_t most;
	unsigned long long seed;
	/* results */
	size_t n;
	double (*v)[BLOCKS_VARIANTS]; /* of each block; any unit */
};

/* The order in which block number @block measures its variants; the same seed, the same order. */
void blocks_order(const struct blocks *b, size_t block, enum blocks_variant order[BLOCKS_VARIANTS]);
/* Adds a block's values, all above zero. */
void blocks_add(struct blocks *b, const double v[BLOCKS_VARIANTS]);
void blocks_free(struct blocks *b);

enum blocks_verdict {
	BLOCKS_UNRESOLVED, /* the interval holds 1, and more than the margin on a side of it */
	BLOCKS_SAME,	   /* it lies within the margin about 1, and holds it */
	BLOCKS_LESS,	   /* it lies below 1 */
	BLOCKS_MORE,	   /* it lies above 1 */
};
const char *
blocks_verdict_name(enum blocks_verdict v); /* "not resolved", "no difference", "less", "more" */

/* struct blocks_ratio - of a variant to A */
struct blocks_ratio {
	size_t n;
	double median;
	struct stats_interval interval;	 /* stats_median_interval() */
	bool known;			 /* there is one */
	struct stats_interval bootstrap; /* of the median, BCa or else percentile; beside it */
	struct stats_outliers outliers;	 /* counted, and kept */
	struct stats_drift drift;
	bool drifts; /* p below 1 - confidence */
	enum blocks_verdict verdict;
};
/* Of B or of the control to A, block by block. */
void blocks_ratio(const struct blocks *b, enum blocks_variant of, struct blocks_ratio *r);

/**
 * blocks_done() - whether the interval of B's ratio is narrow enough, or there are as many blocks as there may be
 * Looked at after ever longer pauses, a quarter more blocks each time, and narrow enough is what was so twice: each
 * look is a chance to stop at an interval that is too narrow. With one look 12 in a thousand intervals of 99 % miss.
 */
bool blocks_done(const struct blocks *b);
/* Blocks until it is as narrow, by the square of what it is now; 0 where nothing is known yet. */
size_t blocks_estimate(const struct blocks *b);

#endif
