/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The exact clock's host side: boots guests under icount, collects what guest/exact.c measured, subtracts the floors,
 * attributes traced addresses to user space, module and kernel, and keeps budgets.
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
	double at_mode;	   /* share of samples at the mode, 0..1 */
	double mean;	   /* of the loop, the empty call's taken off */
	bool split;	   /* the following are known */
	double user, in_module, kernel_rest;
	struct bench_function *functions; /* of the module, most expensive first */
	size_t n_functions;
};

struct bench {
	struct test_run *run; /* rooms, kernels, builds; bench adds failures to run->root */
	bool trace;
	struct bench_op *ops;
	size_t n;
};

/* Boots and measures everything of @run that has a benchmark. LAB_SKIPPED when nothing has one. */
enum lab_exit bench_boot(struct bench *b);
void bench_print(FILE *out, const struct bench *b);
json_t *bench_json(const struct bench *b);
/**
 * bench_budget_save(), bench_budget_check() - the budget kept in a file
 * A budget is { arch: { release: { compiler: { module: { operation: { own, functions } } } } } }. Saving replaces the
 * entries of what was measured and keeps the others. Checking adds a suite "budget" to run->root: a rise is a
 * failure that names the operation and the functions that rose; no entry for this kernel and compiler is a skip.
 */
enum lab_exit bench_budget_save(const struct bench *b, const char *path);
enum lab_exit bench_budget_check(struct bench *b, const char *path);
void bench_free(struct bench *b);

/* struct trace_split - what QEMU's exec log says of one operation */
struct trace_split {
	double user, in_module, rest; /* instructions per pass between two marks */
	struct bench_function *functions;
	size_t n_functions;
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
 * The most common total is taken, so that a pass with a timer tick in it does not count. Return: 0 or -errno.
 */
int bench_trace_parse(const char *path, unsigned long mark, unsigned long kernel_start,
		      const struct trace_range *ranges, size_t n_ranges, struct trace_split *out);
void trace_split_free(struct trace_split *s);

#endif
