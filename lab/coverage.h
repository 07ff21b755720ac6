/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which source lines of a driver were reached. QEMU logs each piece of the modules' code before it runs it for the
 * first time; the module's debug information says to which lines that code belongs. Nothing in the guest is changed.
 */
#ifndef CDEVLAB_COVERAGE_H
#define CDEVLAB_COVERAGE_H

#include <stdio.h>

#include "driver.h"

/* What is known of a line. */
enum coverage_line {
	COVERAGE_NO_CODE,
	COVERAGE_CODE, /* it has code, which did not run */
	COVERAGE_REACHED,
};

/* struct coverage_file - a source file of a room */
struct coverage_file {
	char *name;	     /* relative to the room */
	unsigned char *line; /* enum coverage_line, [0] is line 1 */
	size_t n;
};

/* struct coverage - of a room on a kernel; zero it */
struct coverage {
	const struct driver *driver;
	const char *kernel;
	struct coverage_file *files; /* sorted by name */
	size_t n;
};

/* struct code_log - the addresses that were executed, sorted, each once */
struct code_log {
	unsigned long *pcs;
	size_t n;
};
/* Reads QEMU's log of "-d in_asm"; 0 or -errno. */
int code_log_read(const char *path, struct code_log *log);
void code_log_free(struct code_log *log);

/**
 * coverage_add() - adds what a boot reached of a module
 * @debug_ko:	the module with debug information
 * @sections:	what the agent's `sections` printed: where its code was, "NAME 0xADDRESS" a line; NULL or "": it was not loaded
 * Return: 0, -ENOENT when no code of the room's own sources is in it, or -errno.
 */
int coverage_add(struct coverage *c, const char *debug_ko, const char *sections,
		 const struct code_log *log);
void coverage_count(const struct coverage_file *f, size_t *reached, size_t *all);
/* "vgpio.c:12-15 18": the lines with code that was not reached; "" when all were; a new string. */
char *coverage_missed(const struct coverage_file *f);
/* A line a file, and one of the lines that were not reached. */
void coverage_print(FILE *out, const struct coverage *c, const char *prefix);
/* Writes DIR/ROOM/FILE.txt, the source with a mark at each line, and DIR/ROOM.info, as lcov and genhtml read it. */
enum lab_exit coverage_write(const struct coverage *c, const char *dir);
void coverage_free(struct coverage *c);

#endif
