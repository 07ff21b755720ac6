/* SPDX-License-Identifier: GPL-2.0 */
/* The most frequent of counted values. */
#ifndef CDEVLAB_MODE_H
#define CDEVLAB_MODE_H

#include <stddef.h>
#include <stdint.h>

/* Of values whose numbers differ by no more than one in so many, none is more frequent. */
#define MODE_ALIKE 8

/* mode_next() - how often the value at @from is there, in values in rising order */
static inline size_t mode_next(const uint64_t *in_order, size_t n, size_t from)
{
	size_t to = from;

	while (to < n && in_order[to] == in_order[from])
		to++;
	return to - from;
}

/**
 * mode_of() - the value that is there most often
 * A call that takes two ways in turn has two such values, and chance makes one a little more frequent: of those that are
 * alike it is the smallest, in each run.
 * @n:	one at least
 * @at:	how often it is there
 */
static inline uint64_t mode_of(const uint64_t *in_order, size_t n, uint64_t *at)
{
	size_t most = 0, from, count;

	for (from = 0; from < n; from += count) {
		count = mode_next(in_order, n, from);
		most = count > most ? count : most;
	}
	for (from = 0;; from += count) {
		count = mode_next(in_order, n, from);
		if (count >= most - most / MODE_ALIKE)
			break;
	}
	*at = count;
	return in_order[from];
}

#endif
