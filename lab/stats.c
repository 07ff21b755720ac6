// SPDX-License-Identifier: GPL-2.0
#include "stats.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_rng.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

double stats_mean(const double *x, size_t n)
{
	return n ? gsl_stats_mean(x, 1, n) : NAN;
}

double stats_sd(const double *x, size_t n)
{
	return n > 1 ? gsl_stats_sd(x, 1, n) : NAN;
}

double stats_z(double confidence)
{
	return confidence > 0 && confidence < 1 ? gsl_cdf_ugaussian_Pinv(0.5 + confidence / 2) :
						  NAN;
}

double stats_t(double confidence, double df)
{
	return confidence > 0 && confidence < 1 && df > 0 ?
		       gsl_cdf_tdist_Pinv(0.5 + confidence / 2, df) :
		       NAN;
}

double stats_half_width(double sd, size_t n, double confidence)
{
	return n > 1 ? stats_t(confidence, n - 1) * sd / sqrt(n) : NAN;
}

double stats_needed(double sd, double margin, double quantile)
{
	return margin > 0 && sd >= 0 ? pow(quantile * sd / margin, 2) : NAN;
}

static size_t whole(double needed, size_t least)
{
	/* also false for NAN */
	if (!(needed <= STATS_MAX_SAMPLES))
		return 0;
	return needed > least ? ceil(needed) : least;
}

size_t stats_samples_z(double sd, double margin, double confidence)
{
	return whole(stats_needed(sd, margin, stats_z(confidence)), 1);
}

/* t is above z and falls as n grows, so the answer is at or above that by z, and the first that fits is it. */
size_t stats_samples_t(double sd, double margin, double confidence)
{
	size_t n = stats_samples_z(sd, margin, confidence);

	if (!n)
		return 0;
	if (n < 2)
		n = 2;
	while (stats_needed(sd, margin, stats_t(confidence, n - 1)) > n)
		n++;
	return n;
}

size_t stats_samples_stein(double sd, size_t n0, double margin, double confidence)
{
	return n0 > 1 ? whole(stats_needed(sd, margin, stats_t(confidence, n0 - 1)), n0) : 0;
}

double stats_percent(double from, double to)
{
	return from ? (to / from - 1) * 100 : NAN;
}

static double *sorted(const double *x, size_t n)
{
	double *copy = xcalloc(n + 1, sizeof(*copy));

	memcpy(copy, x, n * sizeof(*copy));
	gsl_sort(copy, 1, n);
	return copy;
}

double stats_quantile(const double *x, size_t n, double p)
{
	double *s, q;

	if (!n || !(p >= 0 && p <= 1))
		return NAN;
	s = sorted(x, n);
	q = gsl_stats_quantile_from_sorted_data(s, 1, n, p);
	free(s);
	return q;
}

double stats_median(const double *x, size_t n)
{
	return stats_quantile(x, n, 0.5);
}

double stats_mad(const double *x, size_t n)
{
	double *work, mad;

	if (!n)
		return NAN;
	work = xcalloc(n, sizeof(*work));
	mad = gsl_stats_mad(x, 1, n, work);
	free(work);
	return mad;
}

bool stats_median_interval(const double *x, size_t n, double confidence, struct stats_interval *out)
{
	double tail = (1 - confidence) / 2, *s;
	size_t below = 0;

	if (!(confidence > 0 && confidence < 1) || !(gsl_cdf_binomial_P(0, 0.5, n) <= tail))
		return false;
	while (gsl_cdf_binomial_P(below + 1, 0.5, n) <= tail)
		below++;
	s = sorted(x, n);
	*out = (struct stats_interval){ s[below], s[n - 1 - below] };
	free(s);
	return true;
}

/* --- the bootstrap --- */

/* Figures of samples drawn with replacement, sorted. */
static double *resample(const double *x, size_t n, stats_figure_fn *figure, size_t resamples,
			unsigned long long seed)
{
	double *figures = xcalloc(resamples, sizeof(*figures)), *drawn = xcalloc(n, sizeof(*drawn));
	gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);

	gsl_rng_set(rng, seed);
	for (size_t r = 0; r < resamples; r++) {
		for (size_t i = 0; i < n; i++)
			drawn[i] = x[gsl_rng_uniform_int(rng, n)];
		figures[r] = figure(drawn, n);
	}
	gsl_rng_free(rng);
	free(drawn);
	gsl_sort(figures, 1, resamples);
	return figures;
}

/* How skewed the figure is: of the samples that lack one value each. NAN when none of them makes a difference. */
static double acceleration(const double *x, size_t n, stats_figure_fn *figure)
{
	double *without = xcalloc(n, sizeof(*without)), *figures = xcalloc(n, sizeof(*figures));
	double mean, squares = 0, cubes = 0;

	for (size_t i = 0; i < n; i++) {
		memcpy(without, x, i * sizeof(*x));
		memcpy(without + i, x + i + 1, (n - 1 - i) * sizeof(*x));
		figures[i] = figure(without, n - 1);
	}
	mean = stats_mean(figures, n);
	for (size_t i = 0; i < n; i++) {
		squares += pow(mean - figures[i], 2);
		cubes += pow(mean - figures[i], 3);
	}
	free(without);
	free(figures);
	return squares ? cubes / (6 * pow(squares, 1.5)) : NAN;
}

/* Of the resamples' figures, how far the sample's own is from their middle, in standard deviations. */
static double bias(const double *figures, size_t n, double figure)
{
	double below = 0;

	for (size_t i = 0; i < n; i++)
		below += figures[i] < figure ? 1 : figures[i] == figure ? 0.5 : 0;
	return gsl_cdf_ugaussian_Pinv(below / n);
}

bool stats_bootstrap(const double *x, size_t n, stats_figure_fn *figure, enum stats_bootstrap kind,
		     double confidence, size_t resamples, unsigned long long seed,
		     struct stats_interval *out)
{
	double z = stats_z(confidence), low = (1 - confidence) / 2, high = (1 + confidence) / 2;
	double *figures;

	if (n < 2 || !resamples || isnan(z))
		return false;
	figures = resample(x, n, figure, resamples, seed);
	if (kind == STATS_BCA) {
		double z0 = bias(figures, resamples, figure(x, n)), a = acceleration(x, n, figure);

		low = gsl_cdf_ugaussian_P(z0 + (z0 - z) / (1 - a * (z0 - z)));
		high = gsl_cdf_ugaussian_P(z0 + (z0 + z) / (1 - a * (z0 + z)));
	}
	/* NAN, where that has no answer */
	if (low >= 0 && high <= 1)
		*out = (struct stats_interval){
			gsl_stats_quantile_from_sorted_data(figures, 1, resamples, low),
			gsl_stats_quantile_from_sorted_data(figures, 1, resamples, high),
		};
	free(figures);
	return low >= 0 && high <= 1;
}

/* --- order --- */

static double median_slope(const double *x, size_t n)
{
	double *slopes = xcalloc(n * (n - 1) / 2, sizeof(*slopes)), median;
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			slopes[k++] = (x[j] - x[i]) / (j - i);
	median = stats_median(slopes, k);
	free(slopes);
	return median;
}

bool stats_drift(const double *x, size_t n, struct stats_drift *out)
{
	double *order, *work, t;

	if (n < 4 || gsl_stats_max(x, 1, n) == gsl_stats_min(x, 1, n))
		return false;
	order = xcalloc(n, sizeof(*order));
	work = xcalloc(2 * n, sizeof(*work));
	for (size_t i = 0; i < n; i++)
		order[i] = i;
	out->rho = gsl_stats_spearman(order, 1, x, 1, n, work);
	t = fabs(out->rho) * sqrt((n - 2) / (1 - out->rho * out->rho));
	out->p = isfinite(t) ? 2 * gsl_cdf_tdist_Q(t, n - 2) : 0;
	out->slope = median_slope(x, n);
	free(order);
	free(work);
	return true;
}

void stats_outliers(const double *x, size_t n, struct stats_outliers *out)
{
	double q1 = stats_quantile(x, n, 0.25), q3 = stats_quantile(x, n, 0.75), d = q3 - q1;

	*out = (struct stats_outliers){};
	for (size_t i = 0; i < n; i++) {
		if (x[i] < q1 - 3 * d)
			out->low_severe++;
		else if (x[i] < q1 - 1.5 * d)
			out->low_mild++;
		else if (x[i] > q3 + 3 * d)
			out->high_severe++;
		else if (x[i] > q3 + 1.5 * d)
			out->high_mild++;
	}
}
