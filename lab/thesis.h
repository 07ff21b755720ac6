/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The published comparison of virtual GPIO drivers in C and Rust: what it prints (docs/thesis.json), and each of its
 * figures computed anew from its own data. docs/thesis.md explains what comes out.
 *
 * Printed figures are strings in the file, as they are printed: their digits say how far they were rounded, and so
 * how far a figure that is computed from them can be off.
 */
#ifndef CDEVLAB_THESIS_H
#define CDEVLAB_THESIS_H

#include <jansson.h>
#include <stdio.h>

#include "lab.h"
#include "util.h"

enum thesis_language {
	THESIS_C,
	THESIS_RUST,
	THESIS_LANGUAGES,
};

/* struct thesis_build - one of the drivers that were compared; differences are of Rust against C, in per cent */
struct thesis_build {
	char *name;
	char *module[THESIS_LANGUAGES]; /* ours that stand beside it */
	/* printed */
	double seconds[THESIS_LANGUAGES], percent;
	double wh[THESIS_LANGUAGES], energy_percent;
	double runs[THESIS_LANGUAGES], margin_s[THESIS_LANGUAGES]; /* that were planned */
	/* computed from these */
	double ns_per_op[THESIS_LANGUAGES], uj_per_op[THESIS_LANGUAGES];
	double watts[THESIS_LANGUAGES], watts_percent;
	double net_wh[THESIS_LANGUAGES], net_percent; /* the idle power's energy taken off */
};

/* struct thesis_hello - init of the smallest module, from its disassembly */
struct thesis_hello {
	char *arch;
	char *module[THESIS_LANGUAGES]; /* ours */
	long instructions[THESIS_LANGUAGES], stack_bytes[THESIS_LANGUAGES];
};

enum thesis_verdict {
	THESIS_NOT_PRINTED,
	THESIS_AS_PRINTED,
	THESIS_WITHIN_ROUNDING, /* another last digit, which the rounding of the printed data explains */
	THESIS_DIFFERS,
};
const char *thesis_verdict_name(enum thesis_verdict v); /* "as printed", ... */

/* struct thesis_figure - a figure and its recomputation */
struct thesis_figure {
	const char *section;
	char *what, *unit;
	char *how;	    /* the computation, or NULL */
	char *printed_text; /* as printed, or NULL */
	double printed;
	bool has_printed;
	double ours;
	int decimals;	  /* that ours is shown with */
	double low, high; /* what the rounding of the printed data leaves open */
	bool interval;
	enum thesis_verdict verdict;
};

struct thesis {
	char *source, *note;
	char *op; /* of our benchmarks: what theirs did @operations times */
	double operations, idle_w;
	struct thesis_build *builds;
	size_t n_builds;
	struct thesis_hello hello;
	struct thesis_figure *figures;
	size_t n_figures;
	struct strv may, may_not; /* sentences: what may be compared with ours, and what may not */
};

/**
 * thesis_read() - reads the data and computes
 * @path:	of the data, or NULL: docs/thesis.json of this cdevlab
 * Return: LAB_OK; LAB_CANNOT when it cannot be read; LAB_USAGE for a mistake in it (the message says where). After
 * either of these @t is empty.
 */
enum lab_exit thesis_read(const char *path, struct thesis *t);
void thesis_free(struct thesis *t);

void thesis_print(FILE *out, const struct thesis *t);
json_t *thesis_json(const struct thesis *t);

#endif
