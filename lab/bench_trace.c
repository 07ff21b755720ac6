// SPDX-License-Identifier: GPL-2.0
/* QEMU's exec log: which address was executed, and whose it is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../guest/exact.h"
#include "bench.h"

/* "Trace 0: 0x7f.. [cs_base/PC/flags/cflags] symbol": the second field of the bracket. */
static bool trace_address(const char *line, unsigned long *pc)
{
	const char *bracket, *slash;

	if (!str_starts(line, "Trace "))
		return false;
	bracket = strchr(line, '[');
	slash = bracket ? strchr(bracket, '/') : NULL;
	if (!slash)
		return false;
	*pc = strtoul(slash + 1, NULL, 16);
	return true;
}

/* "Stopped execution of TB chain before 0x.. [PC] ..", "cpu_io_recompile: rewound execution of TB to PC" */
static bool stopped_address(const char *line, unsigned long *pc)
{
	static const char rewound[] = "cpu_io_recompile: rewound execution of TB to ";
	const char *bracket = strchr(line, '[');

	if (str_starts(line, rewound))
		*pc = strtoul(line + strlen(rewound), NULL, 16);
	else if (str_starts(line, "Stopped execution of TB chain") && bracket)
		*pc = strtoul(bracket + 1, NULL, 16);
	else
		return false;
	return true;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* struct pass - what lies between two marks */
struct pass {
	size_t from, to;
	double total;
};

static size_t find_range(const struct trace_range *r, size_t n, unsigned long pc)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (pc < r[mid].start)
			hi = mid;
		else if (pc >= r[mid].start + r[mid].size)
			lo = mid + 1;
		else
			return mid;
	}
	return SIZE_MAX;
}

static int by_count(const void *a, const void *b)
{
	const struct bench_function *x = a, *y = b;

	return (x->count < y->count) - (x->count > y->count);
}

static int by_start(const void *a, const void *b)
{
	const struct trace_range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

void bench_trace_sort(struct trace_range *ranges, size_t n)
{
	if (n)
		qsort(ranges, n, sizeof(*ranges), by_start);
}

size_t bench_trace_count(const unsigned long *pcs, size_t n, const struct trace_range *ranges,
			 size_t n_ranges, struct bench_function **out)
{
	double *counts = xcalloc(n_ranges, sizeof(*counts));
	struct bench_function *functions = NULL;
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		size_t r = find_range(ranges, n_ranges, pcs[i]);

		if (r != SIZE_MAX)
			counts[r]++;
	}
	for (size_t r = 0; r < n_ranges; r++) {
		if (!counts[r])
			continue;
		functions = xrealloc(functions, used + 1, sizeof(*functions));
		functions[used++] =
			(struct bench_function){ xstrdup(ranges[r].function), counts[r] };
	}
	if (used)
		qsort(functions, used, sizeof(*functions), by_count);
	free(counts);
	*out = functions;
	return used;
}

static void attribute(const unsigned long *pcs, const struct pass *p, unsigned long kernel_start,
		      const struct trace_range *ranges, size_t n_ranges, struct trace_split *out)
{
	size_t n = p->to - p->from;

	out->kernel_pcs = xcalloc(n, sizeof(*out->kernel_pcs));
	for (size_t i = p->from; i < p->to; i++) {
		if (find_range(ranges, n_ranges, pcs[i]) != SIZE_MAX)
			out->in_module++;
		else if (pcs[i] >= kernel_start)
			out->kernel_pcs[out->n_kernel_pcs++] = pcs[i];
		else
			out->user++;
	}
	out->rest = out->n_kernel_pcs;
	out->n_functions = bench_trace_count(pcs + p->from, n, ranges, n_ranges, &out->functions);
}

int bench_trace_parse(const char *path, unsigned long mark, unsigned long kernel_start,
		      const struct trace_range *ranges, size_t n_ranges, size_t want,
		      struct trace_split *out)
{
	_cleanup_file_ FILE *f = fopen(path, "re");
	unsigned long *pcs = NULL, pc;
	struct pass *passes = NULL;
	size_t n = 0, room = 0, n_passes = 0, best = 0, line_room = 0;
	_cleanup_free_ char *line = NULL;
	double *totals, mode = 0;
	bool open = false;

	*out = (struct trace_split){};
	if (!f)
		return -errno;
	while (getline(&line, &line_room, f) > 0) {
		/* logged, but not run: an interrupt came first, or it runs again after a device access */
		if (stopped_address(line, &pc)) {
			if (n && pcs[n - 1] == pc)
				n--;
			continue;
		}
		if (!trace_address(line, &pc))
			continue;
		if (n == room) {
			room = room ? room * 2 : 4096;
			pcs = xrealloc(pcs, room, sizeof(*pcs));
		}
		pcs[n++] = pc;
	}
	for (size_t i = 0; i < n; i++) {
		if (pcs[i] != mark)
			continue;
		if (open) {
			passes[n_passes - 1].to = i;
			passes[n_passes - 1].total = i - passes[n_passes - 1].from;
		}
		passes = xrealloc(passes, n_passes + 1, sizeof(*passes));
		passes[n_passes++] = (struct pass){ .from = i };
		open = true;
	}
	if (n_passes)
		n_passes--; /* what follows the last mark is no pass */
	totals = xcalloc(n_passes, sizeof(*totals));
	for (size_t i = 0; i < n_passes; i++)
		totals[i] = passes[i].total;
	if (n_passes)
		qsort(totals, n_passes, sizeof(*totals), compare_doubles);
	for (size_t i = 0, from = 0; i < n_passes; i++) {
		if (i + 1 < n_passes && totals[i + 1] == totals[i])
			continue;
		if (i + 1 - from > best) {
			best = i + 1 - from;
			mode = totals[i];
		}
		from = i + 1;
	}
	for (size_t i = 0; i < n_passes; i++)
		if (totals[i] == want)
			mode = want;
	/* fewer: part of the record is missing, and what there is may be another program's at that address */
	for (size_t i = 0; i < n_passes && n_passes >= EXACT_TRACED && !out->passes; i++) {
		if (passes[i].total != mode)
			continue;
		attribute(pcs, &passes[i], kernel_start, ranges, n_ranges, out);
		out->passes = n_passes;
	}
	free(pcs);
	free(passes);
	free(totals);
	return out->passes ? 0 : -ENOENT;
}

void trace_split_free(struct trace_split *s)
{
	for (size_t i = 0; i < s->n_functions; i++)
		free(s->functions[i].name);
	free(s->functions);
	free(s->kernel_pcs);
	*s = (struct trace_split){};
}
