// SPDX-License-Identifier: GPL-2.0
/* Whether what is reported is so: thousands of comparisons of things whose true ratio is known. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>

#include "../../lab/blocks.h"
#include "../../lab/lab.h"

#define EXPERIMENTS 2000
#define CONFIDENCE  0.99
#define BY_CHANCE   34 /* of 2000, where 20 are expected, more than this many in one of 800 */

/* What a machine does to a value: @i is the block's number. */
static double normal(gsl_rng *rng, size_t i)
{
	(void)i;
	return 1 + gsl_ran_gaussian(rng, 0.02);
}

static double skewed(gsl_rng *rng, size_t i)
{
	(void)i;
	return 1 + gsl_ran_exponential(rng, 0.05);
}

static double bimodal(gsl_rng *rng, size_t i)
{
	(void)i;
	return (gsl_rng_uniform(rng) < 0.3 ? 1.3 : 1) + gsl_ran_gaussian(rng, 0.01);
}

static double drifting(gsl_rng *rng, size_t i)
{
	return (1 + 0.01 * i) * normal(rng, i);
}

static const struct machine {
	const char *name;
	double (*noise)(gsl_rng *rng, size_t i);
} machines[] = {
	{ "normal", normal }, { "skewed", skewed }, { "bimodal", bimodal }, { "drifting", drifting }
};

/* A comparison as it is made: blocks until it is done. */
static void compare(const struct machine *m, gsl_rng *rng, double truth, double margin,
		    struct blocks *b)
{
	*b = (struct blocks){
		.confidence = CONFIDENCE, .margin = margin, .least = 12, .most = 200, .seed = 1
	};
	while (!blocks_done(b)) {
		double v[BLOCKS_VARIANTS] = { m->noise(rng, b->n), truth * m->noise(rng, b->n),
					      m->noise(rng, b->n) };

		blocks_add(b, v);
	}
}

/* How many intervals miss the truth, and how many verdicts call a difference; both by its sides. */
static void count(const struct machine *m, double truth, double margin, size_t *missed,
		  size_t *called, double *blocks)
{
	gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);

	*missed = *called = 0;
	*blocks = 0;
	gsl_rng_set(rng, 20250301);
	for (int e = 0; e < EXPERIMENTS; e++) {
		struct stats_interval iv;
		struct blocks b;
		double x[200];

		compare(m, rng, truth, margin, &b);
		for (size_t i = 0; i < b.n; i++)
			x[i] = b.v[i][BLOCKS_B] / b.v[i][BLOCKS_A];
		assert_true(stats_median_interval(x, b.n, b.confidence, &iv));
		*missed += truth < iv.low || truth > iv.high;
		*called += iv.low > 1 || iv.high < 1;
		*blocks += (double)b.n / EXPERIMENTS;
		blocks_free(&b);
	}
	gsl_rng_free(rng);
}

static void intervals_cover_the_truth_as_often_as_they_say(void **state)
{
	static const double margins[] = { 0.05, 0.02, 0.01 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(margins); j++) {
			size_t missed, called;
			double blocks;

			count(&machines[i], 1.1, margins[j], &missed, &called, &blocks);
			print_message("%s, margin %g: %zu of %d missed, %.0f blocks\n",
				      machines[i].name, margins[j], missed, EXPERIMENTS, blocks);
			assert_in_range(missed, 0, BY_CHANCE);
		}
	}
}

static void a_thing_is_seldom_different_from_itself(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
		size_t missed, called;
		double blocks;

		count(&machines[i], 1, 0.02, &missed, &called, &blocks);
		assert_int_equal(missed, called);
		assert_in_range(called, 0, BY_CHANCE);
	}
}

static void add(struct blocks *b, double a, double other, double control)
{
	const double v[BLOCKS_VARIANTS] = { a, other, control };

	blocks_add(b, v);
}

static void verdicts(void **state)
{
	static const struct {
		double ratio, spread;
		enum blocks_verdict verdict;
	} t[] = {
		{ 1, 0.004, BLOCKS_SAME },     { 1, 0.1, BLOCKS_UNRESOLVED },
		{ 1.2, 0.01, BLOCKS_MORE },    { 0.8, 0.01, BLOCKS_LESS },
		{ 1.006, 0.001, BLOCKS_MORE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct blocks b = { .confidence = 0.99, .margin = 0.01, .least = 8, .most = 99 };
		struct blocks_ratio r;

		for (int k = -10; k <= 10; k++)
			add(&b, 50, 50 * (t[i].ratio + t[i].spread * k / 10), 50);
		blocks_ratio(&b, BLOCKS_B, &r);
		assert_true(r.known);
		assert_int_equal(r.n, 21);
		assert_float_equal(r.median, t[i].ratio, 1e-9);
		assert_int_equal(r.verdict, t[i].verdict);
		assert_true(r.bootstrap.low <= r.median && r.median <= r.bootstrap.high);
		/* the values rose from block to block */
		assert_true(r.drifts);
		blocks_ratio(&b, BLOCKS_CONTROL, &r);
		assert_int_equal(r.verdict, BLOCKS_SAME);
		assert_false(r.drifts);
		blocks_free(&b);
	}
}

static void too_few_blocks_resolve_nothing(void **state)
{
	struct blocks b = { .confidence = 0.99, .margin = 0.01, .least = 4, .most = 7 };
	struct blocks_ratio r;

	(void)state;
	for (int i = 0; i < 7; i++) {
		assert_false(blocks_done(&b));
		add(&b, 1, 3, 1);
	}
	assert_true(blocks_done(&b));
	blocks_ratio(&b, BLOCKS_B, &r);
	assert_false(r.known);
	assert_int_equal(r.verdict, BLOCKS_UNRESOLVED);
	assert_float_equal(r.median, 3, 0);
	assert_int_equal(blocks_estimate(&b), 0);
	blocks_free(&b);
}

static void each_order_comes_and_comes_again(void **state)
{
	struct blocks b = { .seed = 7 };
	size_t seen[BLOCKS_VARIANTS][BLOCKS_VARIANTS] = {};

	(void)state;
	for (size_t i = 0; i < 600; i++) {
		enum blocks_variant order[BLOCKS_VARIANTS], again[BLOCKS_VARIANTS];

		blocks_order(&b, i, order);
		blocks_order(&b, i, again);
		assert_memory_equal(order, again, sizeof(order));
		for (int k = 0; k < BLOCKS_VARIANTS; k++)
			seen[k][order[k]]++;
	}
	for (int k = 0; k < BLOCKS_VARIANTS; k++)
		for (int v = 0; v < BLOCKS_VARIANTS; v++)
			assert_in_range(seen[k][v], 150, 250);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(intervals_cover_the_truth_as_often_as_they_say),
		cmocka_unit_test(a_thing_is_seldom_different_from_itself),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(too_few_blocks_resolve_nothing),
		cmocka_unit_test(each_order_comes_and_comes_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
