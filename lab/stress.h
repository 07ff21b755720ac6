/* SPDX-License-Identifier: GPL-2.0 */
/* What the stress program is told to do, and how little of it still makes a driver fail. */
#ifndef CDEVLAB_LAB_STRESS_H
#define CDEVLAB_LAB_STRESS_H

#include "lab.h"
#include "util.h"

#define STRESS_PROCESSES 8 /* as in guest/stress.h */
#define STRESS_THREADS	 4

enum stress_kind {
#define STRESS_KIND(kind, name) STRESS_##kind,
#include "../guest/stress_kinds.h"
#undef STRESS_KIND
	STRESS_KINDS,
};

/* struct stress_plan - a run of the stress program; zeros are its defaults */
struct stress_plan {
	int seconds;
	unsigned long long seed;
	unsigned long long calls; /* a bit for each kind of call; 0: all */
	int processes, threads;	  /* 0: all */
	bool no_kill, no_reload, no_hotplug;
	bool as_it_is;	 /* --no-minimise */
	bool repeatable; /* one processor, and each run as the one before; seconds are the guest's */
};

struct test_instead;

/* Reads "open,read"; LAB_USAGE with a message for a kind that there is not. */
enum lab_exit stress_read_calls(const char *names, struct stress_plan *plan);
/* The program with its arguments, and the options that say the same. */
void stress_instead(const struct stress_plan *plan, struct test_instead *p);
/**
 * stress_minimise() - finds the least of a plan that fails
 * @plan:	fails; becomes what was found
 * @fails:	runs a plan, and tells whether it failed
 * @more:	whether there is time for another run
 *
 * Leaves out, in this order: time, kills and the like, kinds of calls (delta debugging), processes, threads, time.
 */
void stress_minimise(struct stress_plan *plan,
		     bool (*fails)(void *ctx, const struct stress_plan *plan),
		     bool (*more)(void *ctx), void *ctx);

#endif
