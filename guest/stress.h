/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Hammering a character device: many workers call everything at once and are killed at random.
 *
 * What a worker does comes from the seed alone. Its step number n in its life l (a killed worker begins a new
 * life) is drawn from (seed, worker, l, n) and from nothing else: not from what earlier calls returned, and not
 * from the time. So the same seed gives the same sequences, and a step is the same when those before it are
 * left out. How the workers meet is up to the kernel.
 *
 *	stress.c	the supervisor: starts, kills, interrupts, reloads, counts, judges
 *	stress_draw.c	what a step is
 *	stress_call.c	doing it
 */
#ifndef CDEVLAB_STRESS_H
#define CDEVLAB_STRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "conf.h"

#define STRESS_PROCESSES 8
#define STRESS_THREADS	 4
#define STRESS_WORKERS	 (STRESS_PROCESSES * STRESS_THREADS)
#define STRESS_FDS	 12 /* places for descriptors, of each process */
#define STRESS_MAPS	 4  /* and for mappings */

enum stress_kind {
#define STRESS_KIND(kind, name) DO_##kind,
#include "stress_kinds.h"
#undef STRESS_KIND
	DO_KINDS,
};

/* Where a buffer lies. */
enum stress_place {
	AT_GOOD,
	AT_FRESH,  /* good, and not yet in memory: the copy faults */
	AT_HALF,   /* its second half is not mapped */
	AT_HOLE,   /* nothing is mapped there */
	AT_RDONLY, /* can only be read */
	AT_DEVICE, /* in a mapping of the device, if there is one */
	AT_NULL,
	AT_KERNEL,
	AT_PLACES,
};

/* How the argument of an ioctl is made. */
enum stress_arg {
	ARG_DECLARED, /* as driver.ini declares it, else zeros */
	ARG_MUTATED,  /* that, with some bytes changed */
	ARG_SMALL,    /* small numbers */
	ARG_RANDOM,
	ARG_KINDS,
};

/* struct step - one call with all its arguments; a kind uses those that it needs */
struct step {
	enum stress_kind kind;
	unsigned int node, fd, other, map; /* which of them */
	int flags;
	enum stress_place place;
	size_t size;
	off_t pos;
	int whence, wait_ms;
	enum stress_arg arg;
	const struct uapi_ioctl *call; /* of DO_IOCTL */
	unsigned long cmd;
	uint64_t bits; /* for the rest, and to fill buffers */
};

/* struct tally - how often, and how often it went well */
struct tally {
	atomic_ulong calls, ok;
};

/* struct worker - what the supervisor and a worker know of each other */
struct worker {
	atomic_int tid; /* 0: not started */
	atomic_uint life;
	atomic_ulong steps; /* of all lives: it stands still in a call that waits */
	atomic_int doing;   /* enum stress_kind */
	struct tally tally[DO_KINDS];
};

struct stress_shared {
	atomic_bool stop;
	atomic_bool lull;    /* nobody has the device open for a moment: the module may go */
	atomic_int open_err; /* of the last open that failed, 0: none yet */
	atomic_ulong died;   /* of a signal that was not the supervisor's */
	atomic_ulong tries, unloads, reloads, hotplugs;
	atomic_int load_err;	      /* of a load that failed */
	atomic_bool stuck;	      /* somebody does not die */
	int open_before[CONF_MAX][2]; /* errors of each node, read and read-write */
	struct worker worker[STRESS_WORKERS];
};

/* struct stress - a run */
struct stress {
	uint64_t seed;
	unsigned int seconds;
	unsigned int threads; /* of each process */
	int pass[2];	      /* a socket pair on which descriptors are passed */
	struct stress_shared *shared;
};
extern struct stress stress;

/* stress_draw.c */
extern const char *const stress_kind_names[DO_KINDS];
/* Leaves out the kinds that this driver has nothing for; or takes only those named, "open,read". */
bool stress_choose(const char *names);
void stress_draw(uint64_t seed, unsigned int worker, unsigned int life, unsigned long nr,
		 struct step *s);
void stress_print(FILE *out, const struct step *s);
/* One number for the sequences of all workers. */
uint64_t stress_digest(uint64_t seed);

/* stress_call.c: the life of a process of workers. Never returns. */
void stress_process(unsigned int index) __attribute__((noreturn));
/* The other side of DO_EXEC. */
int stress_helper(void);

#endif
