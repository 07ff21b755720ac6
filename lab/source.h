/* SPDX-License-Identifier: GPL-2.0 */
/* What a module is made of: the sources that its Kbuild names, and the lines of code in them. */
#ifndef CDEVLAB_SOURCE_H
#define CDEVLAB_SOURCE_H

#include "driver.h"

/* struct source_lines - of one text; blank lines and comments are none */
struct source_lines {
	size_t code;
	size_t unsafe;	      /* lines of code in unsafe blocks, functions and impls of Rust */
	size_t unsafe_blocks; /* times that the word stands there */
	size_t safety;	      /* comments that say SAFETY: */
};
void source_count(const char *text, bool rust, struct source_lines *lines);

/* struct source - the files of one module */
struct source {
	struct strv files; /* relative to the room; headers of the room's UAPI are not among them */
	bool rust;	   /* some of it is */
	struct source_lines lines;
	size_t stub; /* lines of C in a Rust module */
};

/* source_modules() - adds the modules that a Kbuild (or Makefile) text names, as /proc/modules will */
void source_modules(const char *kbuild, struct strv *modules);
/**
 * source_read() - finds the sources of a module of a room, and counts
 * @module:	as in /proc/modules
 * Return: whether the room's Kbuild names it, or it has a source of that name.
 */
bool source_read(const struct driver *d, const char *module, struct source *s);
void source_free(struct source *s);

#endif
