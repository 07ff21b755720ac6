/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The exact clock's host side: boots guests under icount, collects what guest/exact.c measured, subtracts the floors,
 * attributes traced addresses to user space, module and kernel, keeps budgets and compares with goals. And the wall
 * clock's: the commands that a room names, run in an ordinary guest; the tables that both clocks' figures make with
 * those that others published.
 */
#ifndef CDEVLAB_BENCH_H
#define CDEVLAB_BENCH_H

#include "test.h"

struct bench_function {
	char *name;
	double count; /* instructions per call */
};

/* struct bench_op - one operation of one module on one kernel */
struct bench_op {
	const struct kernel *kernel;
	const struct built *built;
	const char *module; /* NULL: a built-in floor */
	char *name, *floor;
	bool spread;	   /* the distribution is the result, not the mode */
	json_t *raw;	   /* the guest's line */
	long instructions; /* mode, the empty call's taken off */
	long own;	   /* above its floor */
	long empty;	   /* the empty call's mode in the same program: where code lies matters */
	double empty_mean;
	double at_mode; /* share of samples at the mode, 0..1 */
	double mean;	/* of the loop, the empty call's taken off */
	long per_tick;	/* instructions; 1, or all the figures are rounded */
	bool split;	/* the following are known */
	double user, in_module, kernel_rest;
	struct bench_function *functions; /* of the module, most expensive first */
	size_t n_functions;
	struct bench_function
		*kernel_functions; /* likewise; of kernel_rest, where the names are known */
	size_t n_kernel_functions;
};

/* struct bench_wall - a wall command of a room, run on one kernel */
struct bench_wall {
	const struct kernel *kernel;
	const struct built *built;
	const char *command;
	char *accel;   /* of its guest: kvm, tcg; or NULL */
	char *failure; /* why nothing of what it said counts, or NULL */
	struct record *records;
	size_t n;
};

struct bench {
	struct test_run *run; /* rooms, kernels, builds; bench adds failures to run->root */
	bool trace;
	bool exact_ran, wall_ran;
	struct bench_op *ops;
	size_t n;
	struct bench_wall *walls;
	size_t n_walls;
	struct bench_symbols *symbols;
	size_t n_symbols;
};

#define FLOOR_EMPTY "empty" /* taken off all figures, and never shown */

/* Boots and measures everything of @run that has a benchmark. LAB_SKIPPED when nothing has one. */
enum lab_exit bench_boot(struct bench *b);

/* struct bench_set - modules that share a guest, loaded and measured in that order */
struct bench_set {
	const struct kernel *kernel;
	const char *label;
	struct bench_member {
		const struct built *built;
		const struct module *module;
	} members[2];
	size_t n;
};
/**
 * bench_boot_sets() - boots and measures a guest for each set, side by side
 * @b:	one for each set; of b->run only the tree is used, and how its guest ended is written there
 * Return: LAB_SKIPPED when no module of a set has a benchmark.
 */
enum lab_exit bench_boot_sets(struct bench *b, const struct bench_set *sets, size_t n);
/* Runs the wall commands of all rooms that have some. LAB_SKIPPED when none has. */
enum lab_exit bench_wall_boot(struct bench *b);
/* All there is: the exact clock's table, the rooms' tables, the goals. */
void bench_print(FILE *out, const struct bench *b);
json_t *bench_json(const struct bench *b);
json_t *bench_functions_json(const struct bench_op *op);
/* Adds "split", "functions" and "kernel_functions" to @o, for an operation that has them. */
void bench_split_json(const struct bench_op *op, json_t *o);
/* An operation by name: of @module, or a built-in floor. NULL if it was not measured. */
const struct bench_op *bench_find_op(const struct bench *b, const struct kernel *k,
				     const char *module, const char *name);
/* Instructions of @op above @above: NULL: the empty call, "floor": its own floor, or an operation. False: unknown. */
bool bench_op_above(const struct bench *b, const struct bench_op *op, const char *above,
		    double *instructions);

/**
 * bench_wall_parse() - reads what a wall command printed
 * Empty lines and those that begin with # are skipped; any other one is a record. One line that is none, or the same
 * place twice, or no record at all, and nothing of it counts: w->failure says why.
 */
void bench_wall_parse(struct bench_wall *w, const char *out);

/* struct bench_cell - a place in a table; each part may be missing */
struct bench_cell {
	const struct record *wall, *published;
	const struct bench_op *exact;
	double instructions; /* of @exact */
};

/* struct bench_table - a table of a room on one kernel */
struct bench_table {
	const struct kernel *kernel;
	const struct driver *driver;
	const char *title;
	bool wall, exact, published; /* some cell has it */
	const char **rows, **columns;
	size_t n_rows, n_columns;
	struct bench_cell *cells; /* [row * n_columns + column] */
};

/* The tables of a room on a kernel, in the order of their first record; rows and columns too. */
struct bench_table *bench_tables(const struct bench *b, const struct kernel *k,
				 const struct driver *d, size_t *n);
void bench_tables_free(struct bench_table *tables, size_t n);
void bench_tables_print(FILE *out, const struct bench *b);
/* Arrays of the record: "tables", "published", "unmeasured". */
void bench_tables_json(const struct bench *b, json_t *to);
/* The result of an operation below kernel / driver / module / bench_*; NULL: no benchmark told of it. */
const struct ktap *bench_op_node(const struct bench *b, const struct kernel *k,
				 const struct driver *d, const char *module, const char *op);
/* A failure for each operation of published.json that its module's benchmark does not have. */
void bench_tables_check(struct bench *b);

void bench_goals_print(FILE *out, const struct bench *b);
json_t *bench_goals_json(const struct bench *b);
/* Adds a suite "goals" to run->root: a goal that was missed is a failure. */
void bench_goals_check(struct bench *b);

/**
 * bench_budget_save(), bench_budget_check() - the budget kept in a file
 * A budget is { arch: { release: { compiler: { module: { operation: { own, functions } } } } } }. Saving replaces the
 * entries of what was measured and keeps the others. Checking adds a suite "budget" to run->root: a rise is a
 * failure that names the operation and the functions that rose; no entry for this kernel and compiler is a skip.
 * @only: the operations of that room, or NULL.
 */
enum lab_exit bench_budget_save(const struct bench *b, const char *path);
enum lab_exit bench_budget_check(struct bench *b, const struct driver *only, const char *path);
void bench_free(struct bench *b);

/* struct trace_split - what QEMU's exec log says of one operation */
struct trace_split {
	double user, in_module, rest; /* instructions per pass between two marks */
	struct bench_function *functions;
	size_t n_functions;
	unsigned long *kernel_pcs; /* what rest counts */
	size_t n_kernel_pcs;
	size_t passes;
};
struct trace_range {
	const char *function;
	unsigned long start, size;
};
/**
 * bench_trace_parse() - attributes the addresses of an exec log
 * @mark:	address of exact_mark(): passes are what lies between two visits
 * @ranges:	functions of the module, absolute, sorted by start
 * @kernel_start: addresses from here on are the kernel's
 * @want:	a pass of that total is taken, if there is one: an operation may have two lengths in turn
 * Else it is the most common total, so that a pass with a timer tick in it does not count. A record of fewer than
 * EXACT_TRACED passes is not whole: -ENOENT. Return: 0 or -errno.
 */
int bench_trace_parse(const char *path, unsigned long mark, unsigned long kernel_start,
		      const struct trace_range *ranges, size_t n_ranges, size_t want,
		      struct trace_split *out);
void trace_split_free(struct trace_split *s);
void bench_trace_sort(struct trace_range *ranges, size_t n); /* by start */
/* Addresses by function, the most frequent first. Return: how many of @ranges occur; *out is the caller's. */
size_t bench_trace_count(const unsigned long *pcs, size_t n, const struct trace_range *ranges,
			 size_t n_ranges, struct bench_function **out);

/* bench_symbols.c: names of the kernel's own functions */
bool bench_symbols_known(const struct kernel *k);
/* "ADDRESS NAME" lines. Return: how many places; *out, sorted, and the names in it are the caller's. */
size_t bench_symbols_parse(const char *text, struct trace_range **out);
/* What the guest's program "symbols" said, if it said all; it is kept for later runs. */
bool bench_symbols_keep(const struct kernel *k, const char *text, size_t n);
/* Those that are kept; the names are to be freed. */
size_t bench_symbols_read(const struct kernel *k, struct trace_range **out);
void bench_symbols_take(struct bench *b, const struct kernel *k, const char *text, size_t n);
/* Fills in op->kernel_functions. */
void bench_symbols_name(struct bench *b, struct bench_op *op, const struct trace_split *split);
void bench_symbols_free(struct bench *b);

#endif
