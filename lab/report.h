/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The report: one HTML file that needs nothing else, and CSV beside it, both made of stored records only. Where several
 * records know the same thing, the newest one's word counts, and each figure leads to the record that it is from.
 */
#ifndef CDEVLAB_REPORT_H
#define CDEVLAB_REPORT_H

#include "store.h"

/* struct report_where - what a figure belongs to; all its strings are the records' */
struct report_where {
	const char *kernel, *release, *compiler;
};

/* struct report_op - an operation of the exact clock */
struct report_op {
	struct report_where at;
	const char *arch, *driver;
	const char *module; /* NULL: a floor of the kernel */
	const char *name, *floor;
	long instructions, own;
	bool spread;
	double mean, share;
	bool split;
	long user, in_module, rest;
	const json_t *functions;	/* of the module, with their instructions; or NULL */
	const json_t *kernel_functions; /* likewise */
	struct store_run *run;
	size_t group, nth; /* where it stands */
};

/* struct report_object - a module as a file */
struct report_object {
	struct report_where at;
	const char *driver, *name, *language;
	const json_t *json; /* compare's object, or what the inputs say of it */
	bool full;	    /* the former */
	struct store_run *run;
};

enum report_result {
	REPORT_PASS,
	REPORT_SKIP,
	REPORT_FAIL,
	REPORT_BUILD,
	REPORT_HANG,
	REPORT_CRASH,
};
const char *report_result_name(enum report_result r); /* "PASS", "no build" */

struct report_kernel {
	const char *name, *release, *why;
	struct store_run *run;
};

/* struct report_cell - a module on a kernel */
struct report_cell {
	const char *driver, *module; /* module NULL: the driver as a whole */
	size_t row, kernel;
	enum report_result result;
	size_t passed, failed, skipped;
	const char *reason;
	const json_t *tree; /* of its tests, or NULL */
	struct store_run *run;
};

/* struct report_table - a table of a room, by all clocks */
struct report_table {
	const char *driver, *kernel, *release, *title;
	const json_t *json, *published; /* published: source and note, or NULL */
	struct store_run *run;
};

/* struct report_pair - a driver in C and in Rust, built for one kernel by one toolchain */
struct report_pair {
	const struct report_object *c, *rust;
	const json_t *code; /* matching functions, or NULL */
	struct store_run *code_run;
};

/* struct report_time - two modules by the wall clock */
struct report_time {
	struct report_where at;
	const char *build; /* of the published experiment, or NULL */
	const char *a, *b;
	const json_t *wall, *samples; /* as compare writes it; or NULL */
	struct store_run *run;
};

struct report {
	struct store *store;
	struct report_op *ops;
	size_t n_ops;
	struct report_object *objects;
	size_t n_objects;
	struct report_kernel *kernels;
	size_t n_kernels;
	struct report_cell *cells, **grid; /* grid: [row * n_kernels + kernel], or NULL */
	size_t n_cells, n_rows;
	struct report_table *tables;
	size_t n_tables;
	struct report_pair *pairs;
	size_t n_pairs;
	struct report_time *times;
	size_t n_times;
	json_t *bugs; /* seeded ones: of each the newest cells; or NULL */
	json_t *seen; /* keys */
};

/* A hash of all that a record knows something about: what store_write() wants; a new string. */
char *report_covers(json_t *record);

void report_init(struct report *r, struct store *s);
void report_free(struct report *r);
const struct report_op *report_find_op(const struct report *r, const struct report_object *o,
				       const char *name);
/* A name that another one is with one word more: hello of hello_rust, vgpio_wq of vgpio_rust_wq. */
bool report_is_twin(const char *module, const char *twin);

void report_html(struct report *r, struct buf *out);
enum report_csv {
	REPORT_CSV_TESTS,
	REPORT_CSV_FIGURES,
	REPORT_CSV_TABLES,
	REPORT_CSV_OBJECTS,
	REPORT_CSVS,
};
const char *report_csv_name(enum report_csv which); /* "report-tests.csv" */
void report_csv(const struct report *r, enum report_csv which, struct buf *out);
/**
 * report_write() - DIR/report.html and the CSV files
 * Each appears whole or not at all. Return: LAB_OK, or LAB_CANNOT after a message.
 */
enum lab_exit report_write(struct store *s, const char *dir);

/* Takes the cells of a record about seeded bugs that no newer one had; whether there was one. */
bool report_read_safety(struct report *r, size_t run);

struct svg_bar;
/* A side's median and interval in the comparison of @a and @b: ns, or microjoules, per call. False: unmeasured. */
bool report_time_bar(const struct report *r, const char *a, const char *b, const char *name,
		     int side, bool energy, struct svg_bar *bar);

/* Sections of the page (report_*.c). */
void report_link(struct buf *b, struct store_run *run, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void report_html_tests(const struct report *r, struct buf *b);
void report_html_time(const struct report *r, struct buf *b);
void report_html_figures(const struct report *r, struct buf *b);
void report_html_tables(const struct report *r, struct buf *b);
void report_html_pairs(const struct report *r, struct buf *b);
void report_html_objects(const struct report *r, struct buf *b);
void report_html_code(const struct report *r, struct buf *b);
void report_html_thesis(const struct report *r, struct buf *b);
void report_html_safety(const struct report *r, struct buf *b);
void report_html_records(const struct report *r, struct buf *b);

#endif
