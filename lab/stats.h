/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a few measurements say about all of them: means, quantiles, intervals, numbers of runs. GSL behind it.
 *
 * A confidence is two-sided, 0.99 for 99 %. An argument that makes no sense gives NAN.
 */
#ifndef CDEVLAB_STATS_H
#define CDEVLAB_STATS_H

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

#endif
