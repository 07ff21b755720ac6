/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From rooms and kernels to a verdict: builds, boots, and puts what the guests answered, what their kernel logs hold
 * and how they ended into one tree:  kernel / driver / module / job / case.
 */
#ifndef CDEVLAB_TEST_H
#define CDEVLAB_TEST_H

#include "boot.h"
#include "coverage.h"
#include "klog.h"
#include "ktap.h"

/* struct test_run - what to test, and the outcome */
struct test_run {
	struct strv drivers;	    /* as on the command line; empty: all of ours */
	struct strv kernels;	    /* -k; empty: the default */
	const char *only;	    /* MODULE[/JOB[/CASE]], or NULL */
	const struct strv *modules; /* only these, or NULL */
	int stress_s;		 /* hammer each module for so long instead of testing it; 0: test */
	unsigned long long seed; /* of the hammering */
	const char *
		log_dir; /* where kernel logs go; NULL: only those of failed guests, to the cache */
	const char *log_shown; /* what log_dir will be called when all is done; NULL: the same */
	bool coverage;	       /* find out which lines are reached; each module gets a guest of its own */

	/* results */
	struct ktap *root;
	bool crashed, timed_out;
	struct kernel *k;
	size_t n_kernels;
	struct driver *d;
	size_t n_drivers;
	struct built
		*built; /* [kernel * n_drivers + driver]; modules NULL where it did not build */
	struct coverage *covered; /* with @coverage: [kernel * n_drivers + driver] */
	char *code_dir; /* while guests run: where QEMU logs their code */
	size_t boots;
	double boot_s; /* the longest time from start to READY */
	char *accel;
};

/**
 * test_prepare() - opens the rooms, gets the kernels, builds
 * A room that does not compile is a failed test in the tree, not an error.
 */
enum lab_exit test_prepare(struct test_run *t);
/* Boots and judges. Return: LAB_OK however the tests went, or LAB_CANNOT, LAB_INTERRUPTED. */
enum lab_exit test_boot(struct test_run *t);
/* The exit code that the tree deserves. */
enum lab_exit test_exit(const struct test_run *t);
void test_run_free(struct test_run *t);

#endif
