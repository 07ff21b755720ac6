// SPDX-License-Identifier: GPL-2.0
/* Against printed tables of quantiles, and against sums that were done by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <gsl/gsl_statistics_double.h>

#include "../../lab/lab.h"
#include "../../lab/stats.h"

#define near(a, b, by) assert_float_equal(a, b, by)

static void mean_and_deviation(void **state)
{
	const double x[] = { 2, 4, 4, 4, 5, 5, 7, 9 }; /* squares of the distances: 32 */

	(void)state;
	near(stats_mean(x, 8), 5, 1e-12);
	near(stats_sd(x, 8), sqrt(32.0 / 7), 1e-12);
	near(stats_mean(x, 1), 2, 0);
	assert_true(isnan(stats_mean(x, 0)));
	assert_true(isnan(stats_sd(x, 1)));
}

static void quantiles_are_those_of_the_tables(void **state)
{
	static const struct {
		double confidence, df, t;
	} t[] = {
		{ 0.95, 1, 12.706 },   { 0.99, 1, 63.657 },  { 0.90, 4, 2.132 },
		{ 0.95, 4, 2.776 },    { 0.99, 4, 4.604 },   { 0.95, 10, 2.228 },
		{ 0.99, 30, 2.750 },   { 0.999, 5, 6.869 },  { 0.99, 100, 2.626 },
		{ 0.95, 1000, 1.962 }, { 0.99, 1e8, 2.576 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		near(stats_t(t[i].confidence, t[i].df), t[i].t, 0.00051);
	near(stats_z(0.90), 1.644854, 1e-6);
	near(stats_z(0.95), 1.959964, 1e-6);
	near(stats_z(0.99), 2.575829, 1e-6);
}

static void nonsense_is_no_number(void **state)
{
	const double bad[] = { 0, 1, 99, -0.5, NAN };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_true(isnan(stats_z(bad[i])));
		assert_true(isnan(stats_t(bad[i], 4)));
		assert_int_equal(stats_samples_z(1, 1, bad[i]), 0);
		assert_int_equal(stats_samples_t(1, 1, bad[i]), 0);
		assert_int_equal(stats_samples_stein(1, 5, 1, bad[i]), 0);
	}
	assert_true(isnan(stats_t(0.99, 0)));
	assert_true(isnan(stats_half_width(1, 1, 0.99)));
	assert_true(isnan(stats_percent(0, 1)));
	assert_int_equal(stats_samples_z(1, 0, 0.99), 0);
	assert_int_equal(stats_samples_t(1, -1, 0.99), 0);
	assert_int_equal(stats_samples_t(NAN, 1, 0.99), 0);
	assert_int_equal(stats_samples_stein(1, 1, 1, 0.99), 0);
	/* nobody waits for these runs, and nobody is to wait for the sum */
	assert_int_equal(stats_samples_t(1e9, 1e-3, 0.99), 0);
}

static void numbers_of_runs(void **state)
{
	(void)state;
	near(stats_needed(228.05, 50, 1.645), 56.2927, 1e-4);
	assert_int_equal(stats_samples_z(228.05, 60, 0.99), 96);
	assert_int_equal(stats_samples_t(228.05, 60, 0.99), 100);
	assert_int_equal(stats_samples_stein(228.05, 5, 60, 0.99), 307);
	/* more pilot runs make the second stage shorter, and end at z */
	assert_int_equal(stats_samples_stein(228.05, 30, 60, 0.99), 110);
	/* an interval that is narrow enough already needs no more than there are */
	assert_int_equal(stats_samples_stein(1, 5, 60, 0.99), 5);
	/* two are the fewest that have a deviation */
	assert_int_equal(stats_samples_t(0, 60, 0.99), 2);
	assert_int_equal(stats_samples_z(0, 60, 0.99), 1);
}

/* What the iteration promises: the number is enough, and one fewer is not. */
static void the_iteration_finds_the_smallest(void **state)
{
	(void)state;
	for (double sd = 1; sd < 400; sd *= 1.37) {
		size_t n = stats_samples_t(sd, 20, 0.99);

		assert_true(stats_half_width(sd, n, 0.99) <= 20);
		if (n > 2)
			assert_true(stats_half_width(sd, n - 1, 0.99) > 20);
	}
}

static void half_widths_and_differences(void **state)
{
	(void)state;
	near(stats_half_width(228.05, 5, 0.99), 4.6041 * 228.05 / sqrt(5), 0.01);
	near(stats_percent(581, 630), 8.4337, 1e-4);
	near(stats_percent(630, 581), -7.7778, 1e-4);
	near(stats_percent(4, 4), 0, 0);
}

static void order_figures(void **state)
{
	const double x[] = { 10, 3, 1, 4, 2 }, y[] = { 1, 1, 2, 2, 4, 6, 9 };

	(void)state;
	/* R: quantile(x, c(0.25, 0.9)), mad(y) */
	near(stats_quantile(x, 5, 0.25), 2, 1e-12);
	near(stats_quantile(x, 5, 0.9), 7.6, 1e-12);
	near(stats_quantile(x, 5, 0), 1, 0);
	near(stats_quantile(x, 5, 1), 10, 0);
	near(stats_median(x, 5), 3, 0);
	near(stats_median(y, 6), 2, 0);
	near(stats_mad(y, 7), 1.4826, 1e-4);
	near(x[0], 10, 0); /* they are left as they are */
	assert_true(isnan(stats_median(x, 0)));
	assert_true(isnan(stats_quantile(x, 5, 1.1)));
	assert_true(isnan(stats_mad(x, 0)));
}

/* Conover's table A3 of the binomial distribution gives the ranks. */
static void intervals_for_a_median(void **state)
{
	static const struct {
		size_t n;
		double confidence, low;
	} t[] = { { 10, 0.95, 2 },  { 20, 0.95, 6 },   { 20, 0.99, 4 }, { 8, 0.99, 1 },
		  { 50, 0.95, 18 }, { 100, 0.95, 40 }, { 15, 0.99, 3 } };
	struct stats_interval iv;
	double x[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		for (size_t k = 0; k < t[i].n; k++)
			x[k] = t[i].n - k;
		assert_true(stats_median_interval(x, t[i].n, t[i].confidence, &iv));
		near(iv.low, t[i].low, 0);
		near(iv.high, t[i].n + 1 - t[i].low, 0);
	}
	assert_false(stats_median_interval(x, 7, 0.99, &iv));
	assert_false(stats_median_interval(x, 0, 0.99, &iv));
	assert_false(stats_median_interval(x, 50, 1, &iv));
}

static double variance(const double *x, size_t n)
{
	return gsl_stats_variance(x, 1, n) * (n - 1) / n;
}

/* Efron and Tibshirani, An Introduction to the Bootstrap, 1993: tables 14.1 (the spatial test, A) and 14.2. */
static void the_bootstrap_gives_what_is_printed(void **state)
{
	const double a[] = { 48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6,
			     0,	 33, 28, 34, 4,	 32, 24, 47, 41, 24, 26, 30, 41 };
	struct stats_interval iv, again;

	(void)state;
	near(variance(a, 26), 171.5, 0.05);
	assert_true(stats_bootstrap(a, 26, variance, STATS_PERCENTILE, 0.9, 20000, 1, &iv));
	near(iv.low, 100.8, 3);
	near(iv.high, 233.9, 3);
	assert_true(stats_bootstrap(a, 26, variance, STATS_BCA, 0.9, 20000, 1, &iv));
	near(iv.low, 115.8, 3);
	near(iv.high, 259.6, 4);
	assert_true(stats_bootstrap(a, 26, variance, STATS_BCA, 0.9, 20000, 1, &again));
	near(again.low, iv.low, 0);
	near(again.high, iv.high, 0);
}

static void no_bootstrap_of_too_little(void **state)
{
	const double x[] = { 5, 5, 5, 5 };
	struct stats_interval iv;

	(void)state;
	assert_false(stats_bootstrap(x, 1, stats_mean, STATS_PERCENTILE, 0.9, 100, 1, &iv));
	assert_false(stats_bootstrap(x, 4, stats_mean, STATS_BCA, 0.9, 100, 1, &iv));
	assert_false(stats_bootstrap(x, 4, stats_mean, STATS_PERCENTILE, 0.9, 0, 1, &iv));
	assert_false(stats_bootstrap(x, 4, stats_mean, STATS_PERCENTILE, 1, 100, 1, &iv));
	assert_true(stats_bootstrap(x, 4, stats_mean, STATS_PERCENTILE, 0.9, 100, 1, &iv));
	near(iv.low, 5, 0);
	near(iv.high, 5, 0);
}

static void drift_is_seen(void **state)
{
	/* hours before the television in the order of IQ, of the usual example: rho -29/165, p 0.627188 */
	const double tv[] = { 2, 20, 28, 27, 50, 29, 7, 17, 6, 12 };
	const double up[] = { 1, 3, 2, 5, 4, 7, 8, 9 }, same[] = { 1, 1, 1, 1 };
	struct stats_drift d;

	(void)state;
	assert_true(stats_drift(tv, 10, &d));
	near(d.rho, -29.0 / 165, 1e-9);
	near(d.p, 0.627188, 1e-5);
	assert_true(stats_drift(up, 8, &d));
	assert_true(d.p < 0.01);
	near(d.slope, 1, 1e-12);
	assert_false(stats_drift(same, 4, &d));
	assert_false(stats_drift(tv, 3, &d));
}

static void outliers_are_counted_by_their_fences(void **state)
{
	/* quartiles 4 and 6 */
	const double x[] = { -3, 0.5, 4, 4, 4, 5, 5, 5, 6, 6, 6, 9.5, 13 };
	struct stats_outliers o;

	(void)state;
	stats_outliers(x, ARRAY_SIZE(x), &o);
	assert_int_equal(o.low_severe, 1);
	assert_int_equal(o.low_mild, 1);
	assert_int_equal(o.high_mild, 1);
	assert_int_equal(o.high_severe, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mean_and_deviation),
		cmocka_unit_test(quantiles_are_those_of_the_tables),
		cmocka_unit_test(nonsense_is_no_number),
		cmocka_unit_test(numbers_of_runs),
		cmocka_unit_test(the_iteration_finds_the_smallest),
		cmocka_unit_test(half_widths_and_differences),
		cmocka_unit_test(order_figures),
		cmocka_unit_test(intervals_for_a_median),
		cmocka_unit_test(the_bootstrap_gives_what_is_printed),
		cmocka_unit_test(no_bootstrap_of_too_little),
		cmocka_unit_test(drift_is_seen),
		cmocka_unit_test(outliers_are_counted_by_their_fences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
