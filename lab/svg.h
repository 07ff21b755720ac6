/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bars, and curves over time, as SVG in a page. Positions are per cent of the width and sizes of text are not, so that a plot is as readable
 * on a telephone as on a desk. What a bar says stands beside it as text; colour only repeats it.
 */
#ifndef CDEVLAB_SVG_H
#define CDEVLAB_SVG_H

#include "util.h"

#define SVG_PARTS_MOST 3

/* struct svg_bar - a bar of one or more parts, from zero */
struct svg_bar {
	const char *name; /* "C": before the text */
	const char *text; /* what it says, beside it */
	const char *kind; /* of its looks: "c", "rust", "other" */
	double parts[SVG_PARTS_MOST];
	size_t n_parts;
	double low, high;
	bool interval;
};

/* struct svg_group - bars below one label */
struct svg_group {
	const char *label;
	struct svg_bar *bars;
	size_t n;
};

struct svg_chart {
	const char *title; /* for those who do not see it, as the description is */
	const char *description;
	const char *unit;
	struct svg_group *groups;
	size_t n;
	double line; /* a vertical line at that value; 0: none */
	const char *line_text;
};

/* svg_axis() - the round end of an axis for values up to @most, and its step: 1, 2 or 5 times a power of ten */
double svg_axis(double most, double *step);
/* The longest that a bar of the chart or its interval reaches. */
double svg_most(const struct svg_chart *c);
/* Where a value lies, in per cent of the width. */
double svg_x(double value, double axis);
/* A number as a person reads it: 1234.5 as "1235", 0.8121 as "0.812". */
void svg_number(char *to, size_t size, double v);
/* @id: unique in the page, letters and digits */
void svg_bars(struct buf *b, const struct svg_chart *c, const char *id);
/* struct svg_span - a part of a plot's width, in its x */
struct svg_span {
	double from, to;
	const char *kind; /* of its looks: "run", "idle" */
};

/* struct svg_curve - a quantity over time */
struct svg_curve {
	const char *title; /* above it, with the unit */
	const char *description;
	const double *x, *y; /* x rises; a y that is no number is a hole */
	size_t n;
	const struct svg_span *spans;
	size_t n_spans;
};
/* svg_curve() - draws it, from its lowest to its highest value; @id as above */
void svg_curve(struct buf *b, const struct svg_curve *c, const char *id);
/* The patterns that bars refer to, once in a page. */
void svg_patterns(struct buf *b);

#endif
