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

struct test_run;

/* struct test_instead - one program that a subcommand runs on each module in place of the tests */
struct test_instead {
	const char *name;    /* "stress": the subcommand, the room's program (build.c), the job */
	const char *figures; /* what the note with its figures begins with: "hammered: " */
	struct strv argv;    /* the program's arguments */
	char *options;	     /* of the subcommand, to show a failure again: " --for 4 --seed 1" */
	int seconds;	     /* that the program takes at most */
	bool cases;	     /* that it has, --only can name */
	bool exact;	     /* its guests run on the exact clock */
	bool repeatable;     /* and each run is as the one before */
	const char *append;  /* to their kernels' command line, or NULL */
	/* with the results printed, and there was a failure; may be NULL */
	void (*failed)(const struct test_instead *p, const struct test_run *t);
	const void *ctx; /* for that */
};
/* The stress program. */
void test_instead_stress(struct test_instead *p, int seconds, unsigned long long seed);
/* The sweep over faults; @quick: of loading, opening, and one sequence of all calls. */
void test_instead_faults(struct test_instead *p, bool quick);
void test_instead_free(struct test_instead *p);

/* struct test_run - what to test, and the outcome */
struct test_run {
	struct strv drivers;		    /* as on the command line; empty: all of ours */
	struct strv kernels;		    /* -k; empty: the default */
	const char *only;		    /* MODULE[/JOB[/CASE]], or NULL */
	const struct strv *modules;	    /* only these, or NULL */
	const struct test_instead *instead; /* of the tests, or NULL */
	const char *
		log_dir; /* where kernel logs go; NULL: only those of failed guests, to the cache */
	const char *log_shown; /* what log_dir will be called when all is done; NULL: the same */
	bool coverage; /* find out which lines are reached; each module gets a guest of its own */

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
	char *code_dir;		  /* while guests run: where QEMU logs their code */
	size_t boots;
	double boot_s; /* the longest time from start to READY */
	char *accel;
};

/**
 * test_prepare() - opens the rooms, gets the kernels, builds
 * A room that does not compile is a failed test in the tree, not an error.
 */
enum lab_exit test_prepare(struct test_run *t);
/* The same of one room, which must compile. Return: LAB_FAILED if not; the compiler has said why. */
enum lab_exit test_prepare_one(struct test_run *t);
/* Boots and judges. Return: LAB_OK however the tests went, or LAB_CANNOT, LAB_INTERRUPTED. */
enum lab_exit test_boot(struct test_run *t);
/* Prepares, boots, moves the tree to @suite and frees @t. */
enum lab_exit test_into(struct test_run *t, struct ktap *suite);
/* Writes the kernel's log of a guest to where logs go, and a note of that to @t, which may be NULL. */
enum lab_exit test_keep_log(struct test_run *run, const struct boot *b, struct ktap *t);
/* --only fits no module: LAB_USAGE, or LAB_OK where a room did not compile, whose modules nobody knows. */
enum lab_exit test_only_fits_none(const struct test_run *t, const char *what_it_is);
/* The exit code that the tree deserves. Where one program runs in place of the tests, loading is no test. */
enum lab_exit test_exit(const struct test_run *t);
void test_run_free(struct test_run *t);

#endif
