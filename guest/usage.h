/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Kernel memory in use: what an operation leaves behind, when it is done often enough.
 *
 *	usage_open();
 *	for (part = 0; part <= USAGE_PARTS; part++) {
 *		... so many rounds ...
 *		usage_take(&u[part]);
 *	}
 *	usage_compare(u, rounds, "opens");
 */
#ifndef CDEVLAB_USAGE_H
#define CDEVLAB_USAGE_H

#include <stdbool.h>

#define USAGE_CACHES 160
#define USAGE_PARTS  3

/* struct usage - kernel memory that no user is expected to have changed */
struct usage {
	struct usage_cache {
		char name[40];
		long objects;
		long size;
	} caches[USAGE_CACHES];
	unsigned int n;
	long pages;
	long vmalloc_kb;
};

/* Once, before the first usage_take(). False, and errno, where the kernel does not tell. */
bool usage_open(void);
void usage_take(struct usage *u);
/*
 * Fails the running test for what grew in each part by nearly as much as there were rounds in it.
 * u[0] was taken after a first part, which finds what is made once.
 */
void usage_compare(const struct usage *u, long rounds, const char *what);

#endif
