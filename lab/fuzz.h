/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fuzzing a module: guests that search, what they reached, and crashes made small.
 *
 * A crash ends its guest. The programs that ran are in memory that the guest shared with us; fresh guests run parts
 * of them, the smallest first, until one crashes in the same way. What is left is written down as C.
 */
#ifndef CDEVLAB_FUZZ_H
#define CDEVLAB_FUZZ_H

#include "../guest/fuzz.h"
#include "test.h"

#define FUZZ_LEAST_S 3 /* with less time left no guest is booted */

/* struct fuzz_crash - one kind of crash */
struct fuzz_crash {
	char *signature;
	size_t times;
	struct fuzz_crash *next;
};

/* struct fuzz_run - what to fuzz, and what was found */
struct fuzz_run {
	struct test_run *test; /* prepared; its tree gets the results */
	int seconds;	       /* of each module */
	unsigned long long seed;
	const char *
		out_dir; /* where C programs and logs go; NULL: cdevlab-results/fuzz-TIME, if there are any */
	const char *corpus_dir; /* NULL: the cache */
	size_t crashes_most;	/* of a module, then it is enough; 0: all that the time allows */
	/* results */
	char *dir; /* where they went, or NULL */
	size_t crashes;
};
/* All modules of the run. Return: LAB_OK whatever was found; LAB_CANNOT, LAB_INTERRUPTED. */
enum lab_exit fuzz_run(struct fuzz_run *f);
void fuzz_run_free(struct fuzz_run *f);

/* struct fuzz_list - programs */
struct fuzz_list {
	struct fuzz_prog *p;
	size_t n;
};
void fuzz_list_add(struct fuzz_list *l, const struct fuzz_prog *p);
void fuzz_list_free(struct fuzz_list *l);
/* Their text, for a guest. */
void fuzz_list_text(const struct fuzz_list *l, struct buf *text);

/* fuzz_small.c: what to try instead of a program, the smallest first. */
/* Parts of its calls, in their order. */
void fuzz_parts(const struct fuzz_prog *p, struct fuzz_list *out);
/* The same calls with plain arguments, but for a few. */
void fuzz_plain(const struct fuzz_prog *p, struct fuzz_list *out);
/**
 * fuzz_signature() - a line that is the same for the same crash
 * @log:	the kernel log's findings
 * @otherwise:	how the guest ended, where the log tells nothing; or NULL
 * Return: a new string without addresses and numbers of processes; NULL when there is nothing.
 */
char *fuzz_signature(const struct klog *log, const char *otherwise);

/**
 * fuzz_c() - a program as C that compiles by itself
 * @what:	the crash, for the comment at its head
 * @node:	the path of each node; as many as @n_nodes
 * @together:	NULL, or a second program that another process runs at the same time
 */
void fuzz_c(struct buf *c, const char *what, const struct fuzz_prog *p,
	    const struct fuzz_prog *together, char (*nodes)[FUZZ_PATH], size_t n_nodes);

#endif
