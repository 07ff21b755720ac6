/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Test results: a tree, parsed from KTAP, printed as KTAP, JUnit or JSON.
 */
#ifndef CDEVLAB_KTAP_H
#define CDEVLAB_KTAP_H

#include <jansson.h>
#include <stdio.h>

#include "util.h"

enum ktap_result {
	KTAP_PASS,
	KTAP_SKIP,
	KTAP_FAIL,
	KTAP_TIMEOUT,
	KTAP_CRASHED,
};
const char *ktap_result_name(enum ktap_result r); /* "pass", "skip", ... */

/* struct ktap - a test, or a suite when it has children */
struct ktap {
	char *name;
	enum ktap_result result; /* of a suite: by ktap_settle() */
	char *reason;		 /* of a skip, a failure; or NULL */
	struct strv notes;	 /* diagnostic lines without "# " */
	double ms;		 /* 0: not known */
	struct ktap **children;
	size_t n;
	struct ktap *parent;
};

struct ktap *ktap_new(struct ktap *parent, const char *name);
void ktap_free(struct ktap *t);
/* Gives all children of @from to @to. */
void ktap_move(struct ktap *to, struct ktap *from);
void ktap_set(struct ktap *t, enum ktap_result r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void ktap_note(struct ktap *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The child of that name; blanks and underscores are the same. NULL if none. */
struct ktap *ktap_child(const struct ktap *t, const char *name);
/* By a mark's path below t: "job/case". */
struct ktap *ktap_find(struct ktap *t, const char *path);

/**
 * ktap_parse() - reads a program's standard output into suite @t
 * Tolerates what real programs print: unknown lines become notes of the next result, nested tests by
 * indentation, "# SKIP", "# TODO", "# TIMEOUT", a missing or wrong plan (a failure of @t that says so), a cut-off end.
 * Return: false if @text holds no KTAP at all (then @t is unchanged).
 */
bool ktap_parse(struct ktap *t, const char *text);
/* Results of suites from their children: the worst; all skipped: skip. */
void ktap_settle(struct ktap *t);

struct ktap_counts {
	size_t passed, failed, skipped, timeout, crashed;
};
/* Leaves below (and including) t. */
struct ktap_counts ktap_count(const struct ktap *t);

/* The version line, then the children of root, nested two blanks a level. */
void ktap_print(FILE *out, const struct ktap *root);
void ktap_junit(FILE *out, const struct ktap *root);
json_t *ktap_json(const struct ktap *root);

#endif
