/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every file of the host program shares: exit codes, messages for people, options.
 *
 * A function that can fail returns 0 or an enum lab_exit, and has told the person why
 * through lab_fail() exactly once; its callers only pass the code on.
 */
#ifndef CDEVLAB_LAB_H
#define CDEVLAB_LAB_H

#include <stdbool.h>
#include <stddef.h>

#define CDEVLAB_VERSION "0.1"
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

enum lab_exit {
	LAB_OK = 0,
	LAB_FAILED = 1,	       /* a test failed */
	LAB_USAGE = 2,	       /* bad command line */
	LAB_CANNOT = 3,	       /* missing tool, kernel, space, network */
	LAB_SKIPPED = 4,       /* everything was skipped */
	LAB_TIMEOUT = 124,     /* a guest ran out of time */
	LAB_CRASHED = 125,     /* a guest's kernel crashed */
	LAB_INTERRUPTED = 130, /* SIGINT or SIGTERM */
};

/* struct lab_options - what all subcommands understand */
struct lab_options {
	bool yes;     /* --yes, or CI is set: ask nothing */
	bool dry_run; /* --dry-run: print the commands that would boot guests, boot none */
	int verbose;  /* -v: commands and the kernel log as they come */
	bool dump;    /* --dump: a guest that crashes leaves its memory in a file */
	bool rust; /* --rust: modules are built by the kernel's own toolchain, with the twins in Rust */
	int timeout_s; /* --timeout: deadline of one guest; 0: the default */
};
extern struct lab_options lab_options;

/**
 * lab_fail() - says what happened and what to do next, on standard error
 * @code:	what to return
 * @hint:	the next step for the person, or NULL
 * @fmt:	what happened, to which file or node; no final period or newline
 * Return: @code.
 */
enum lab_exit lab_fail(enum lab_exit code, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * From now on lab_fail() leaves the message of a LAB_CANNOT, a new string, in *message and does not print
 * it: for what may be missing without harm. NULL: prints again.
 */
void lab_keep_failure(char **message);
/* A remark on standard error that does not end anything. */
void lab_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* With -v only: detail on standard error. */
void lab_verbose(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * lab_stage() - shows what is going on: "fetch  debian:bookworm/amd64  linux-image ... 12 s"
 * On a terminal the line is overwritten by the next one; in a pipe each is a line of its own.
 * @stage:	one word: fetch, build, boot, test, bench
 */
void lab_stage(const char *stage, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line of that stage that stays, on a terminal and in a pipe. */
void lab_progress(const char *stage, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Ends the running stage line with its result and duration; fmt NULL: just erases it. */
void lab_stage_done(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Directory of the cache, made if missing: $CDEVLAB_CACHE, else $XDG_CACHE_HOME/cdevlab, else
 * ~/.cache/cdevlab. NULL (and a message) when it cannot be made. */
const char *lab_cache_dir(void);
/* Where drivers/, guest/ and arch/ are: the checkout, or the installed data directory. */
const char *lab_data_dir(void);
/* True after SIGINT or SIGTERM: finish, clean up, return LAB_INTERRUPTED. */
bool lab_interrupted(void);

#endif
