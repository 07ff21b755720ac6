/* SPDX-License-Identifier: GPL-2.0 */
/* Benchmarks by the wall clock: each module's operations, the module being measured against itself. */
#ifndef CDEVLAB_BENCH_TIME_H
#define CDEVLAB_BENCH_TIME_H

#include "compare.h"

/* struct bench_time - a module on a kernel */
struct bench_time {
	struct object_facts o[2]; /* the same, twice */
	struct wall wall;
};

struct bench_times {
	struct bench_time *v;
	size_t n;
};

struct args;
/**
 * bench_time() - measures every module of @t that has a benchmark, one after another
 * In blocks as a comparison, which here is one of a module with itself: what that says is what its figures are worth.
 * @a:	--budget is that of a module
 * Return: LAB_OK; LAB_SKIPPED when none has a benchmark.
 */
enum lab_exit bench_time(struct bench_times *b, struct test_run *t, const struct args *a);
void bench_time_print(FILE *out, const struct bench_times *b);
json_t *bench_time_json(const struct bench_times *b);
void bench_time_free(struct bench_times *b);

#endif
