/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The stored results: what run leaves (record.json), what compare leaves (compare.json), what
 * safety leaves (safety.json), what thesis --on leaves (thesis.json), what bench --json printed.
 * A file that cannot be used is named and left out; the others count.
 */
#ifndef CDEVLAB_STORE_H
#define CDEVLAB_STORE_H

#include <jansson.h>

#include "lab.h"
#include "util.h"

#define STORE_DEFAULT "cdevlab-results"

enum store_kind {
	STORE_RUN,
	STORE_COMPARE,
	STORE_SAFETY,
	STORE_THESIS,
	STORE_BENCH, /* what bench --json printed: no inputs, no time */
};

/* struct store_run - a record that was read */
struct store_run {
	char *path;
	size_t id; /* from 1, oldest first */
	enum store_kind kind;
	json_t *json;	     /* NULL: newer ones tell all that it knows, and it was not read */
	const char *command; /* of json, or NULL */
	const char *ended;   /* likewise, or of @head */
	char *head, *covers; /* what its first lines say, or NULL */
	bool used;	     /* something that is shown comes from it */
};

struct store {
	struct store_run *runs; /* oldest first */
	size_t n;
	size_t damaged;
};

/**
 * store_read_text() - takes a text for a record
 * Return: NULL and *run (path is the caller's), or what is wrong with it, a new string.
 */
char *store_read_text(const char *text, size_t n, struct store_run *run);
/**
 * store_write() - writes a record so that it need not be read again when newer ones tell all that it knows
 * @json:	is freed
 * @covers:	which things it knows, a hash; a new string that is freed
 * The file begins with the two. Return: LAB_OK, or LAB_CANNOT after a message.
 */
enum lab_exit store_write(const char *path, json_t *json, char *covers);
/**
 * store_open() - reads records
 * @names:	files, results directories, or directories of those; none: ./cdevlab-results
 * Return: LAB_OK; LAB_USAGE for a name that is not there; LAB_CANNOT when there is no record that can be used.
 */
enum lab_exit store_open(struct store *s, const struct strv *names);
/* Takes over @json as the only record, or one more. */
void store_add(struct store *s, const char *path, json_t *json);
void store_free(struct store *s);

/* Parts of a record, whatever it is: NULL, 0 or false where there is no such thing. */
const char *store_text(const json_t *o, const char *key);
double store_number(const json_t *o, const char *key);
bool store_true(const json_t *o, const char *key);

#endif
