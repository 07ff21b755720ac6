/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A room's figures as data.
 *
 * A record is a figure of a table, one JSON object; a wall command (driver.ini, [bench]) prints one a line:
 *
 *	{"table":"Mean time of a call","row":"read, 1 byte","column":"user space","value":0.812,"unit":"us"}
 *
 * with "low" and "high" where there is an interval, or "unmeasured":"the reason" in place of value and unit.
 *
 * published.json has others' figures for the same tables, and says which operations of the exact clock belong there:
 *
 *	{"source":"..","note":"..","records":[..],
 *	 "exact":[{"table":"..","row":"..","column":"..","module":"foo","op":"read 1","above":"floor"}]}
 *
 * goals.json is an array of what a room wants to reach, figures of the exact clock:
 *
 *	[{"op":"read 1","at_most":70},			instructions
 *	 {"op":"GET","at_most":150,"above":"floor"},	above the operation's own floor, or above an operation
 *	 {"op":"read 1","at_most":0.6,"of":"tmpfs 1"},	times another operation
 *	 {"op":"read 1","at_most":80,"module":"foo","arch":"arm64"}]
 */
#ifndef CDEVLAB_RECORD_H
#define CDEVLAB_RECORD_H

#include <jansson.h>

#include "lab.h"
#include "util.h"

/* struct record - see above; strings of its own */
struct record {
	char *table, *row, *column;
	char *unit;	  /* or NULL: unmeasured */
	char *unmeasured; /* the reason, or NULL */
	double value, low, high;
	bool interval; /* low and high are known */
};

/* struct placed - an operation of the exact clock that has a place in a table */
struct placed {
	char *table, *row, *column;
	char *module, *op;
	char *above; /* "floor", an operation, or NULL: above the empty call */
};

/* struct published - published.json; zeros where a room has none */
struct published {
	char *source, *note; /* or NULL */
	struct record *records;
	size_t n;
	struct placed *exact;
	size_t n_exact;
};

/* struct goal - a goal of goals.json; exactly one of @of and @above, or neither */
struct goal {
	char *op;
	char *module, *arch; /* or NULL: any */
	char *of, *above;
	double at_most;
};

/* record_read() - reads a JSON object; NULL, or what is wrong with it (a new string) and *r is zeros */
char *record_read(json_t *o, struct record *r);
/* Two figures for one place are a mistake. */
bool record_same_place(const struct record *a, const struct record *b);
#define RECORD_TWICE "the same table, row and column a second time"
void record_free(struct record *r);
/* "0.812 us", "49.5 %", "unmeasured": for people; without its unit where that stands elsewhere; a new string */
char *record_text(const struct record *r, bool unit);

/**
 * published_read(), goals_read() - read the file, if there is one
 * Return: LAB_OK, also when there is none; LAB_USAGE for a mistake in it (the message says where).
 */
enum lab_exit published_read(const char *path, struct published *p);
void published_free(struct published *p);
enum lab_exit goals_read(const char *path, struct goal **goals, size_t *n);
void goals_free(struct goal *goals, size_t n);

#endif
