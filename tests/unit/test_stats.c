// SPDX-License-Identifier: GPL-2.0
/* Against printed tables of quantiles, and against sums that were done by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mean_and_deviation),
		cmocka_unit_test(quantiles_are_those_of_the_tables),
		cmocka_unit_test(nonsense_is_no_number),
		cmocka_unit_test(numbers_of_runs),
		cmocka_unit_test(the_iteration_finds_the_smallest),
		cmocka_unit_test(half_widths_and_differences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
