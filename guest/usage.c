// SPDX-License-Identifier: GPL-2.0
/* Kernel memory in use. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness.h"
#include "usage.h"

#define USAGE_SETTLE_MS 20

/* The general caches, where a driver's allocations come from, and sysfs's nodes. */
static bool cache_counts(const char *name)
{
	if (!strncmp(name, "kmalloc-", 8))
		return strncmp(name, "kmalloc-rcl", 11) != 0;
	return !strcmp(name, "kernfs_node_cache");
}

/* Opened once: opening takes memory from the caches that are to be counted. */
static int shrink_fds[USAGE_CACHES];
static unsigned int n_shrink;
static FILE *slabinfo;

bool usage_open(void)
{
	struct dirent *de;
	char path[320];
	DIR *dir;

	slabinfo = fopen("/proc/slabinfo", "re");
	if (!slabinfo)
		return false;
	dir = opendir("/sys/kernel/slab");
	while (dir && (de = readdir(dir)) && n_shrink < USAGE_CACHES) {
		if (!cache_counts(de->d_name))
			continue;
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", de->d_name);
		shrink_fds[n_shrink] = open(path, O_WRONLY | O_CLOEXEC);
		if (shrink_fds[n_shrink] >= 0)
			n_shrink++;
	}
	if (dir)
		closedir(dir);
	return true;
}

/*
 * The objects of a slab that a CPU holds count as used, all of them, until the cache is shrunk.
 * sysfs copies what is written into a buffer of its size: a long text keeps that in a cache with
 * few objects to a slab.
 */
static void shrink_caches(void)
{
	static char text[4095];
	unsigned int i;

	memset(text, '\n', sizeof(text));
	text[0] = '1';
	for (i = 0; i < n_shrink; i++)
		if (pwrite(shrink_fds[i], text, sizeof(text), 0) < 0)
			test_note("shrink: %s", errno_name(errno));
}

/* Pages that are neither free, nor in any of the uses that have a counter. */
static long pages_unaccounted(void)
{
	static const char *const uses[] = {
		"nr_free_pages ", "nr_slab_reclaimable ", "nr_slab_unreclaimable ",
		"nr_anon_pages ", "nr_file_pages ",	  "nr_page_table_pages ",
		"nr_zspages ",
	};
	char line[256];
	long sum = 0, value;
	unsigned int i;
	FILE *f;

	f = fopen("/proc/vmstat", "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		for (i = 0; i < sizeof(uses) / sizeof(uses[0]); i++)
			if (!strncmp(line, uses[i], strlen(uses[i])))
				sum -= atol(line + strlen(uses[i]));
		if (!strncmp(line, "nr_kernel_stack ", 16))
			sum -= atol(line + 16) * 1024 / sysconf(_SC_PAGESIZE);
	}
	fclose(f);
	/* Each CPU keeps some pages at hand. */
	f = fopen("/proc/zoneinfo", "re");
	if (!f)
		return sum;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " count: %ld", &value) == 1)
			sum -= value;
	fclose(f);
	return sum;
}

void usage_take(struct usage *u)
{
	char line[512], name[40];
	long objects, total, size;
	FILE *f;
	int fd;

	memset(u, 0, sizeof(*u));
	/* kfree_rcu() gathers for seconds, unless memory is wanted back. */
	fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (write(fd, "2", 1) != 1)
			test_note("drop_caches: %s", errno_name(errno));
		close(fd);
	}
	usleep(USAGE_SETTLE_MS * 1000);
	shrink_caches();
	rewind(slabinfo);
	while (fgets(line, sizeof(line), slabinfo)) {
		if (sscanf(line, "%39s %ld %ld %ld", name, &objects, &total, &size) != 4 ||
		    !cache_counts(name) || u->n == USAGE_CACHES)
			continue;
		snprintf(u->caches[u->n].name, sizeof(name), "%s", name);
		u->caches[u->n].size = size;
		u->caches[u->n++].objects = objects;
	}
	f = fopen("/proc/meminfo", "re");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "VmallocUsed: %ld", &u->vmalloc_kb);
	if (f)
		fclose(f);
	u->pages = pages_unaccounted();
}

static long cache_objects(const struct usage *u, const char *name)
{
	unsigned int i;

	for (i = 0; i < u->n; i++)
		if (!strcmp(u->caches[i].name, name))
			return u->caches[i].objects;
	return 0;
}

/* Smallest growth in one part: a leak is there in each, what comes and goes is not. */
static long least_growth(const long *at)
{
	long least = LONG_MAX;
	int i;

	for (i = 0; i < USAGE_PARTS; i++)
		if (at[i + 1] - at[i] < least)
			least = at[i + 1] - at[i];
	return least;
}

void usage_compare(const struct usage *u, long rounds, const char *what)
{
	long limit = rounds * 8 / 10, objects[USAGE_PARTS + 1], pages[USAGE_PARTS + 1],
	     vmalloc[USAGE_PARTS + 1];
	unsigned int i, k;

	for (i = 0; i < u[0].n; i++) {
		for (k = 0; k <= USAGE_PARTS; k++)
			objects[k] = cache_objects(&u[k], u[0].caches[i].name);
		if (least_growth(objects) >= limit)
			test_fail(__FILE__, __LINE__, "%ld %s: %ld more objects in %s",
				  USAGE_PARTS * rounds, what, objects[USAGE_PARTS] - objects[0],
				  u[0].caches[i].name);
	}
	for (k = 0; k <= USAGE_PARTS; k++) {
		pages[k] = u[k].pages;
		vmalloc[k] = u[k].vmalloc_kb * 1024 / sysconf(_SC_PAGESIZE);
	}
	if (least_growth(pages) >= limit)
		test_fail(__FILE__, __LINE__, "%ld %s: %ld pages are gone", USAGE_PARTS * rounds,
			  what, pages[USAGE_PARTS] - pages[0]);
	if (least_growth(vmalloc) >= limit)
		test_fail(__FILE__, __LINE__, "%ld %s: %ld more pages of vmalloc",
			  USAGE_PARTS * rounds, what, vmalloc[USAGE_PARTS] - vmalloc[0]);
}
