/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The published experiment, done: the four builds of its driver in C and in Rust by the wall clock, and with a meter their
 * energy. The same test program for all, one workload under each name:
 *
 *	W1	SET: one thread, changing lines from a table, nobody reads
 *	W2	SET, blocked reader: the same with a thread that waits and drains; the writer's calls are counted
 *	W3	GET
 *	W4	W1 and W3 by several processes at once, each with its own open, and all on one
 */
#ifndef CDEVLAB_THESIS_TIME_H
#define CDEVLAB_THESIS_TIME_H

#include "compare.h"
#include "thesis.h"

/* struct thesis_pair - two builds, one after the other in blocks */
struct thesis_pair {
	const char *build; /* "wait queue" */
	const char *a, *b; /* modules */
	bool rust;	   /* one of them is in Rust */
	struct wall wall;
	char *unmeasured; /* the reason, or NULL */
};

/* struct thesis_time - a run */
struct thesis_time {
	json_t *plan; /* docs/experiment.json: driver, pairs, operations */
	/* Rust against C for each build, then C with more against C with less */
	struct thesis_pair *pairs;
	size_t n;
	struct test_run t;
	char *no_rust; /* why the twins are not measured, or NULL */
};

struct args;
/**
 * thesis_measure() - builds the driver, and measures pair after pair
 * @a:	--budget is that of one pair
 * Return: LAB_OK; what a pair could not be measured for is with it, and a failure in x->t.root.
 */
enum lab_exit thesis_measure(struct thesis_time *x, const struct args *a);
void thesis_time_print(FILE *out, const struct thesis_time *x, const struct thesis *published);
json_t *thesis_time_json(const struct thesis_time *x);
void thesis_time_free(struct thesis_time *x);

#endif
