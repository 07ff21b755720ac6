/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Results are data first: a directory with one record of all inputs and outcomes, written whole or not at all.
 */
#ifndef CDEVLAB_RESULTS_H
#define CDEVLAB_RESULTS_H

#include <jansson.h>
#include <stdio.h>

#include "build.h"
#include "ktap.h"

/* Writes (and frees) a JSON value, or the tree as JUnit: atomically; "-": standard output. */
enum lab_exit results_write_json(const char *path, json_t *value);
enum lab_exit results_write_junit(const char *path, const struct ktap *root);
/* The tree in the files of --junit and --json; NULL: not asked for. */
enum lab_exit results_write_asked(const char *junit, const char *json, const struct ktap *root);

/* struct results - a results directory in the making: @tmp becomes @dir by results_commit() */
struct results {
	char *dir; /* OUT/2026-11-21T03-30-00Z or as given */
	char *tmp;
	char *logs, *logs_shown; /* where kernel logs go, and what that will be called */
};

/* @out: -o, or NULL for ./cdevlab-results/TIME. */
enum lab_exit results_begin(struct results *r, const char *out);
/* A text in the directory: the caller writes it; what could not be written is said at its end. NULL is closed as well. */
FILE *results_open(const struct results *r, const char *name);
enum lab_exit results_close(const struct results *r, const char *name, FILE *f);
/* The record as file @name, with the report made of it; then the directory gets its own name. */
enum lab_exit results_commit(struct results *r, const char *name, json_t *record);
/* Where they are, and after how long. */
void results_tell(FILE *f, const struct results *r, double seconds);
void results_abandon(struct results *r);

/* The commit of the checkout that this is, and whether something was changed since; null where it is none. */
json_t *results_tree(void);
/* The record's description of what went in: kernel, driver, modules with hashes and facts, compiler, QEMU. */
json_t *results_inputs(const struct kernel *k, const struct built *b);

#endif
