/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The safety experiment: the same mistake seeded into a driver in C and into its twin in Rust, and which compiler,
 * checker or test complains.
 *
 * A seeded bug is a patch, drivers/ROOM/bugs/NN-slug.c.patch or NN-slug.rs.patch, relative to the room. Before the
 * diff it has lines of its own:
 *
 *	Bug: one sentence
 *	Class: what kind of mistake
 *	Trigger: what must be done to show it
 *	Expect: what ought to complain
 *	Module: foo foo_queue	; where it shows; left out: in all that the patch changes
 *	Compile: E0382		; it must not compile, with that error; or a remark, "unsafe"
 *
 * NN-slug.trigger.c beside it is a test program that only this bug needs.
 *
 * A probe puts a subject, which is a room with or without a bug, through one tool or one guest, and keeps what was
 * complained about. A column of the matrix is a part of a probe's complaints: a bug is caught where there is one that
 * the room without it does not get. What probes said is kept in the cache, by all that went in.
 */
#ifndef CDEVLAB_SAFETY_H
#define CDEVLAB_SAFETY_H

#include <jansson.h>
#include <time.h>

#include "build.h"

enum safety_language {
	SAFETY_C,
	SAFETY_RUST,
	SAFETY_LANGUAGES,
};
const char *safety_language_name(enum safety_language l); /* "C", "Rust" */

/* struct safety_bug - a patch, read */
struct safety_bug {
	char *number, *slug; /* "02", "write-bound" */
	enum safety_language language;
	char *room, *path; /* the room's directory; the patch */
	char *bug, *class, *trigger, *expect;
	char *compile;	 /* or NULL */
	char *error;	 /* of a "Compile: E0382" */
	char *module;	 /* where it shows: names, or NULL: in all that it changes */
	char *program;	 /* NN-slug.trigger.c, or NULL */
	struct buf diff; /* from its first "--- " on */
};

/**
 * safety_name_read() - reads a patch's file name: NN-slug.c.patch, NN-slug.rs.patch
 * Return: whether it is one.
 */
bool safety_name_read(const char *name, struct safety_bug *b);
/* Reads a patch's text: NULL, or what is wrong with it, a new string. */
char *safety_text_read(const char *text, struct safety_bug *b);
void safety_bug_free(struct safety_bug *b);

struct safety_bugs {
	struct safety_bug *v;
	size_t n;
};
/**
 * safety_bugs_read() - all patches of rooms, by number and language
 * @rooms:	as on the command line; empty: all of ours
 * Return: LAB_OK; LAB_USAGE for a mistake in one, or when there is none.
 */
enum lab_exit safety_bugs_read(const struct strv *rooms, struct safety_bugs *bugs);
void safety_bugs_free(struct safety_bugs *bugs);
/**
 * safety_room() - a copy of a room
 * @bug:	to put into it, with its own trigger; NULL: none, with the triggers of all @bugs of that room
 * @to:		where; its last component is the room's
 * Return: LAB_OK; LAB_FAILED when the patch does not apply; LAB_CANNOT.
 */
enum lab_exit safety_room(const struct safety_bug *bug, const char *room,
			  const struct safety_bugs *bugs, const char *to);

/* struct complaint - something that a tool, a test or a kernel said */
struct complaint {
	char *by; /* "sparse", "conform", "log/KASAN" */
	char *what; /* the same for the same complaint in another build: no line numbers, no addresses */
	char *text; /* the line itself */
	char *at;   /* the test it came in, or NULL */
};

/* struct said - all that a probe brought */
struct said {
	struct complaint *v;
	size_t n;
	char *unmeasured; /* the reason, or NULL */
	struct blind {
		char *by, *why;
	} * blind; /* words of which it could not have said anything */
	size_t n_blind;
	char *no_build; /* it does not compile: the error, or NULL */
	bool known;	/* it was measured, here or in the cache */
};
/* It could not say anything of that word; once a word. */
void said_blind(struct said *s, const char *by, const char *why);
/*
 * Adds one, unless the same was said already; @what NULL: made of @text. What the log said in one job is another thing in
 * the next.
 */
void said_add(struct said *s, const char *by, const char *what, const char *text, const char *at);
void said_free(struct said *s);
json_t *said_json(const struct said *s);
bool said_read(const json_t *o, struct said *s);
struct klog_finding;
/**
 * safety_is_drivers() - whether what the kernel said is of the driver
 * A data race is where one of its two sides lies in @module, and a warning where @module is on its stack: kernels have
 * some of their own, which come by chance. A processor that a busy host did not let run is nobody's. Anything else counts wherever it lies: memory that a driver has spoiled is
 * noticed by others.
 */
bool safety_is_drivers(const struct klog_finding *f, const char *module);
/* A complaint without what differs from build to build: numbers, addresses, the directory; a new string. */
char *safety_plain(const char *text);

/* struct subject - a room, with a bug or without, and the module that shows it */
struct subject {
	const struct safety_bug *bug; /* NULL: the control */
	const char *room;
	char *dir; /* the copy */
	struct driver d;
	char *module;		       /* or NULL: not known, or it did not compile */
	char hash[HASH_HEX];	       /* of the copy */
	enum safety_language language; /* of the control: that of @module */
	const struct subject *control; /* or NULL */
	struct said *said;	       /* one a probe */
};

enum {
	PROBE_BUILD, /* first: the others need its module */
	PROBE_CHECKERS,
	PROBE_CPPCHECK,
	PROBE_COCCINELLE,
	PROBE_STOCK,
	PROBE_KASAN,
	PROBE_KCSAN,
	PROBE_FAULTS,
	PROBE_FUZZ,
	PROBES,
};

/* struct safety_version - of a probe's tools */
struct safety_version {
	char hex[HASH_HEX]; /* "": not asked yet */
	char *why;	    /* it cannot be used here */
};

/* struct safety - the experiment */
struct safety {
	struct safety_bugs bugs;
	struct strv columns;				  /* --column; empty: all */
	const char *stock_spec, *kasan_spec, *kcsan_spec; /* -k, or NULL */
	int stress_s, fuzz_s;
	unsigned long long seed;
	time_t since; /* what is kept of before does not count */
	char *tmp;
	struct kernel stock, host, kasan, kcsan; /* name NULL: there is none, for the reason */
	char *no_rust, *no_kasan, *no_kcsan;
	struct safety_version versions[PROBES];
	struct subject *v; /* controls first */
	size_t n;
};

/* struct safety_probe - one way to make a driver complain */
struct safety_probe {
	const char *name;
	unsigned int languages; /* 1 << SAFETY_C */
	bool module;		/* it loads one */
	const char *reads;	/* of those that only know C: "it reads C" */
	/* Adds what its result depends on beside the room. Why it cannot be used here, a new string, or NULL. */
	char *(*version)(const struct safety *s, struct hash *h);
	/* One subject. */
	enum lab_exit (*run)(struct safety *s, struct subject *x, struct said *out);
	/* Or many of them, side by side; each is stored as soon as it is there. */
	enum lab_exit (*run_all)(struct safety *s, size_t probe, struct subject **x, size_t n);
};
extern const struct safety_probe safety_probes[PROBES];
/* All that a guest of that kernel is; NULL, or why there is none, @why where that is known: a new string. */
char *safety_kernel_version(const struct kernel *k, const char *why, struct hash *h);

/*
 * Builds several rooms side by side, by processes of their own, so that safety_build() finds them: one build leaves
 * half of two processors idle.
 */
enum lab_exit safety_build_ahead(const struct kernel *k, struct subject **x, size_t n);
/* Of safety_static.c, safety_guest.c, safety_run.c. */
char *probe_build_version(const struct safety *s, struct hash *h);
enum lab_exit probe_build(struct safety *s, struct subject *x, struct said *out);
char *probe_checkers_version(const struct safety *s, struct hash *h);
enum lab_exit probe_checkers(struct safety *s, struct subject *x, struct said *out);
char *probe_cppcheck_version(const struct safety *s, struct hash *h);
enum lab_exit probe_cppcheck(struct safety *s, struct subject *x, struct said *out);
char *probe_coccinelle_version(const struct safety *s, struct hash *h);
enum lab_exit probe_coccinelle(struct safety *s, struct subject *x, struct said *out);
char *probe_stock_version(const struct safety *s, struct hash *h);
char *probe_kasan_version(const struct safety *s, struct hash *h);
char *probe_kcsan_version(const struct safety *s, struct hash *h);
enum lab_exit probe_guests(struct safety *s, size_t probe, struct subject **x, size_t n);
char *probe_faults_version(const struct safety *s, struct hash *h);
char *probe_fuzz_version(const struct safety *s, struct hash *h);
enum lab_exit probe_run(struct safety *s, size_t probe, struct subject **x, size_t n);
/* Builds a subject; *said gets what the compilers say. */
enum lab_exit safety_build(const struct subject *x, const struct kernel *k, struct buf *said,
			   struct built *b);
/* What compilers said, as complaints; @failed: it does not compile. */
void safety_read_build(const struct subject *x, const char *text, bool failed, struct said *out);
/* Keeps what a probe brought, for the next time. */
void safety_keep(struct safety *s, const struct subject *x, size_t probe);

/* struct safety_column - what is a column of the matrix: a row of the table in safety_matrix.c */
struct safety_column {
	const char *name, *title;
	unsigned int probes; /* 1 << PROBE_x: each adds to it */
	const char *by;	     /* words of complaint.by; "log/" stands for all of the log's */
};
extern const struct safety_column safety_columns[];
extern const size_t safety_n_columns;
bool safety_wants(const struct safety *s, const struct safety_column *c);

enum safety_state {
	SAFETY_CAUGHT,
	SAFETY_NOT_CAUGHT,
	SAFETY_NO_BUILD,
	SAFETY_NOT_APPLICABLE,
	SAFETY_UNMEASURED,
};
const char *safety_state_name(enum safety_state s); /* "caught", "does not compile" */

/* struct safety_cell - a bug in a column; strings are its own */
struct safety_cell {
	enum safety_state is;
	char *evidence; /* the line, or the reason; never NULL */
	char *at;	/* where it came, or NULL */
	size_t more;	/* so many other complaints */
};

/**
 * safety_judge() - a cell, of what the probes brought
 * @bug, @control: what was said with and without the bug, one of each probe
 */
void safety_judge(const struct safety_column *c, enum safety_language language,
		  const struct said *bug, const struct said *control, struct safety_cell *cell);
void safety_cell_free(struct safety_cell *cell);

/* The matrix as data: what is stored, printed and drawn. */
json_t *safety_json(const struct safety *s);
void safety_print(FILE *out, const json_t *matrix);
/* A bug that is to be refused by the compiler, and is not, and the like: how many, with a line each. */
size_t safety_surprises(FILE *out, const json_t *matrix);

/* safety.c: kernels, controls and variants, probes; then everything is in s->v. */
enum lab_exit safety_prepare(struct safety *s);
enum lab_exit safety_run(struct safety *s);
void safety_free(struct safety *s);
#endif
