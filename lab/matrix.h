/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Results of many kernels at a glance: modules by kernels, made of the tree that test.c builds
 * (kernel / driver / module / job / case), and of nothing else.
 */
#ifndef CDEVLAB_MATRIX_H
#define CDEVLAB_MATRIX_H

#include "ktap.h"

enum cell {
	CELL_NONE, /* the module is not there on that kernel */
	CELL_PASS,
	CELL_SKIP,
	CELL_FAIL,
	CELL_BUILD, /* its room does not compile */
	CELL_HANG,  /* something did not end in its time */
	CELL_CRASH,
};

struct matrix_cell {
	enum cell is;
	size_t failed;	    /* of CELL_FAIL: how many */
	const char *reason; /* of CELL_SKIP, or NULL; the tree's */
};

/* struct matrix - what the table shows; names are its own */
struct matrix {
	struct matrix_kernel {
		char *name;	 /* debian:trixie/arm64 */
		char *release;	 /* or NULL */
		char *series;	 /* 6.12, or "-" */
		char *arch;	 /* arm64, or "" */
		const char *why; /* it could not be had, or not be built for: the reason */
	} * kernels;
	size_t n;
	struct matrix_row {
		char *driver;
		char *module; /* NULL: of the driver as a whole; where it never compiled */
	} * rows;
	size_t n_rows;
	struct matrix_cell *cells; /* [row * n + kernel] */
};

struct matrix *matrix_new(const struct ktap *root);
void matrix_free(struct matrix *m);
/* The table, which kernel is which, what is skipped and why; each line begins with @prefix. */
void matrix_print(FILE *out, const struct matrix *m, const char *prefix);
/**
 * matrix_print_failures() - each failure once, with the kernels it was seen on and how to reproduce it
 * @notes:	with what was said about it
 * @most:	so many; of others only the number
 */
void matrix_print_failures(FILE *out, const struct ktap *root, const char *prefix, bool notes,
			   size_t most);
json_t *matrix_json(const struct matrix *m);

#endif
