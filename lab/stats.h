/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a few measurements say about all of them: means, quantiles, intervals, numbers of runs. GSL behind it.
 *
 * A confidence is two-sided, 0.99 for 99 %. An argument that makes no sense gives NAN.
 */
#ifndef CDEVLAB_STATS_H
#define CDEVLAB_STATS_H

#include <stdbool.h>
#include <stddef.h>

double stats_mean(const double *x, size_t n);
/* Of a sample: divided by n - 1. */
double stats_sd(const double *x, size_t n);

/* Quantiles: of the normal distribution, and of Student's t with @df degrees of freedom. */
double stats_z(double confidence);
double stats_t(double confidence, double df);

/* Half the width of the interval for the mean of @n measurements with standard deviation @sd, by t. */
double stats_half_width(double sd, size_t n, double confidence);

/* Runs until the interval is not wider than +-@margin, by that quantile; not rounded up. */
double stats_needed(double sd, double margin, double quantile);

/**
 * stats_samples_z(), stats_samples_t(), stats_samples_stein() - the same in whole runs
 * By z: as if @sd were known and not estimated. By t: the smallest number that is enough by t with its own degrees of
 * freedom, as if @sd would stay as it is. Stein's two-stage procedure: by t with the degrees of freedom of the @n0
 * runs that @sd was estimated from, and never less than these; only this one keeps its promise whatever the true
 * deviation is.
 * Return: runs, 0 for arguments that make no sense, and for more than STATS_MAX_SAMPLES.
 */
size_t stats_samples_z(double sd, double margin, double confidence);
size_t stats_samples_t(double sd, double margin, double confidence);
size_t stats_samples_stein(double sd, size_t n0, double margin, double confidence);
#define STATS_MAX_SAMPLES 1000000000

/* How much more @to is than @from, in per cent. */
double stats_percent(double from, double to);

/* Of values in any order; by linear interpolation between the two next to it, R's type 7. */
double stats_quantile(const double *x, size_t n, double p);
double stats_median(const double *x, size_t n);
/* The median distance from the median, times 1.4826: of normal values as large as their standard deviation. */
double stats_mad(const double *x, size_t n);

/* struct stats_interval - both ends belong to it */
struct stats_interval {
	double low, high;
};

/**
 * stats_median_interval() - for the median of what @n values were drawn from, whatever its distribution
 * From one value to another of the sorted ones, by the binomial distribution of how many lie below the median (Conover,
 * Practical Nonparametric Statistics, 3.2). It covers the median at least as often as @confidence says.
 * Return: false when there are too few values for that; for 99 %, fewer than 8.
 */
bool stats_median_interval(const double *x, size_t n, double confidence,
			   struct stats_interval *out);

enum stats_bootstrap {
	STATS_PERCENTILE,
	STATS_BCA, /* corrected for bias and acceleration (Efron and Tibshirani, 1993, 14.3) */
};
/* A figure of a sample: stats_median(). */
typedef double stats_figure_fn(const double *x, size_t n);
/**
 * stats_bootstrap() - an interval for a figure, from samples drawn of the sample
 * @resamples:	how many; a thousand and more for 95 %, more for more
 * @seed:	the same gives the same
 * Return: false where there is none: fewer than two values, or BCa of values that are all the same.
 */
bool stats_bootstrap(const double *x, size_t n, stats_figure_fn *figure, enum stats_bootstrap kind,
		     double confidence, size_t resamples, unsigned long long seed,
		     struct stats_interval *out);

/* struct stats_drift - whether values rise or fall in the order they came in */
struct stats_drift {
	double rho;   /* Spearman's rank correlation with the order */
	double p;     /* of one as large or larger by chance, either way; by Student's t */
	double slope; /* per value: the median of the slopes between all pairs (Theil and Sen) */
};
/* Return: false for fewer than four values, and where they are all the same. */
bool stats_drift(const double *x, size_t n, struct stats_drift *out);

/* struct stats_outliers - beyond one and a half, and beyond three, of the quartiles' distance (Tukey's fences) */
struct stats_outliers {
	size_t low_severe, low_mild, high_mild, high_severe;
};
void stats_outliers(const double *x, size_t n, struct stats_outliers *out);

#endif
