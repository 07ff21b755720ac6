// SPDX-License-Identifier: GPL-2.0
#include "stats.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>

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
