/* SPDX-License-Identifier: GPL-2.0 */
/* What the files fuzz*.c share inside the guest. */
#ifndef CDEVLAB_FUZZ_GUEST_H
#define CDEVLAB_FUZZ_GUEST_H

#include <sys/types.h>

#include "conf.h"
#include "fuzz.h"

#define CORPUS_MOST 1024
#define EDGES	    (1U << 16)
#define RESULTS	    (1U << 13)
#define PCS	    (1U << 15)
#define LEARNED	    64
#define HINTS	    512

/* struct fuzz_hint - two values that the module has compared; the first is one of ours, perhaps */
struct fuzz_hint {
	atomic_ullong ours, theirs;
};

/* struct fuzz_state - what the supervisor and its workers have in common */
struct fuzz_state {
	atomic_bool stop;
	struct {
		atomic_int pid, tid[FUZZ_THREADS];
		atomic_ulong calls, ok, programs;
		atomic_int doing; /* enum fuzz_kind */
	} worker[FUZZ_WORKERS];
	atomic_uint n_corpus, n_edges, n_pcs, n_learned, n_hints;
	struct {
		atomic_bool ready;
		struct fuzz_prog prog;
	} corpus[CORPUS_MOST];
	atomic_uchar edges[EDGES];
	atomic_uchar
		results[RESULTS]; /* where there is no coverage: kinds of calls with their errors */
	atomic_ullong pcs[PCS];
	atomic_ullong learned[LEARNED]; /* what calls have returned */
	struct fuzz_hint hints[HINTS];
};

/* struct fuzz - a run */
struct fuzz {
	uint64_t seed;
	unsigned int seconds, repeat;
	bool guided, unguided; /* KCOV is there; and is not wanted */
	bool together;	       /* both workers run the programs of a replay */
	struct fuzz_prog *replay;
	unsigned int n_replay;
	struct fuzz_shared *shared;
	struct fuzz_state *state;
};
extern struct fuzz fuzz;

/* fuzz_draw.c */
void fuzz_draw(uint64_t *r, struct fuzz_prog *p);
void fuzz_change(uint64_t *r, struct fuzz_prog *p);

/* fuzz_run.c */
/* The module's code, and whether KCOV is there; NULL, or why it is not. */
const char *fuzz_coverage_open(const char *module);
/* The life of a worker. Never returns. */
void fuzz_worker(unsigned int index) __attribute__((noreturn));

#endif
