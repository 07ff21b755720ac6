// SPDX-License-Identifier: GPL-2.0
/*
 * Names of the kernel's own functions. Stock kernels come without a System.map, so a guest says them once; with
 * address randomisation off, as in all guests here, they hold for every boot of that kernel.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* struct bench_symbols - of one kernel */
struct bench_symbols {
	const struct kernel *kernel;
	struct trace_range *ranges;
	size_t n;
};

/* NULL for a kernel of which nothing is kept. */
static char *symbols_path(const struct kernel *k)
{
	_cleanup_free_ char *dir = kernel_cache_dir(k);

	return dir ? xasprintf("%s/functions", dir) : NULL;
}

bool bench_symbols_known(const struct kernel *k)
{
	_cleanup_free_ char *path = symbols_path(k);

	return path && file_exists(path);
}

size_t bench_symbols_parse(const char *text, struct trace_range **out)
{
	struct trace_range *v = NULL;
	size_t n = 0, room = 0, kept = 0;

	for (const char *line = text, *end; *line; line = *end ? end + 1 : end) {
		char *name;
		unsigned long start = strtoul(line, &name, 16);

		end = strchrnul(line, '\n');
		/* the last line of a text that was cut off has no end */
		if (name == line || *name != ' ' || name + 1 >= end || !*end)
			continue;
		if (n == room) {
			room = room ? room * 2 : 65536;
			v = xrealloc(v, room, sizeof(*v));
		}
		name++;
		v[n++] = (struct trace_range){ xstrndup(name, end - name), start, 0 };
	}
	bench_trace_sort(v, n);
	/* the first of several names of one place; each reaches to the next place */
	for (size_t i = 0; i < n; i++) {
		if (kept && v[kept - 1].start == v[i].start) {
			free((char *)v[i].function);
			continue;
		}
		if (kept)
			v[kept - 1].size = v[i].start - v[kept - 1].start;
		v[kept++] = v[i];
	}
	*out = v;
	return kept;
}

static void add(struct bench *b, const struct kernel *k, const char *text)
{
	struct bench_symbols s = { .kernel = k };

	s.n = bench_symbols_parse(text, &s.ranges);
	b->symbols = xrealloc(b->symbols, b->n_symbols + 1, sizeof(*b->symbols));
	b->symbols[b->n_symbols++] = s;
}

bool bench_symbols_keep(const struct kernel *k, const char *text, size_t n)
{
	_cleanup_free_ char *path = symbols_path(k);

	/* it did not come to its end */
	if (n < 3 || strcmp(text + n - 3, "\n.\n") != 0)
		return false;
	/* a cache that cannot be written to only asks again */
	if (path)
		file_write(path, text, n);
	return true;
}

void bench_symbols_take(struct bench *b, const struct kernel *k, const char *text, size_t n)
{
	if (bench_symbols_keep(k, text, n))
		add(b, k, text);
}

size_t bench_symbols_read(const struct kernel *k, struct trace_range **out)
{
	_cleanup_free_ char *path = symbols_path(k);
	struct buf text = {};
	size_t n;

	if (path)
		file_read(path, &text);
	n = bench_symbols_parse(text.s ?: "", out);
	buf_free(&text);
	return n;
}

static const struct bench_symbols *symbols_of(struct bench *b, const struct kernel *k)
{
	_cleanup_free_ char *path = NULL;
	struct buf text = {};

	for (size_t i = 0; i < b->n_symbols; i++)
		if (b->symbols[i].kernel == k)
			return &b->symbols[i];
	path = symbols_path(k);
	if (path)
		file_read(path, &text);
	add(b, k, text.s ?: "");
	buf_free(&text);
	return &b->symbols[b->n_symbols - 1];
}

void bench_symbols_name(struct bench *b, struct bench_op *op, const struct trace_split *split)
{
	const struct bench_symbols *s = symbols_of(b, op->kernel);
	double unnamed = split->n_kernel_pcs;
	size_t n;

	if (!s->n)
		return;
	n = bench_trace_count(split->kernel_pcs, split->n_kernel_pcs, s->ranges, s->n,
			      &op->kernel_functions);
	for (size_t i = 0; i < n; i++)
		unnamed -= op->kernel_functions[i].count;
	if (unnamed) {
		op->kernel_functions =
			xrealloc(op->kernel_functions, n + 1, sizeof(*op->kernel_functions));
		op->kernel_functions[n++] =
			(struct bench_function){ xstrdup("(no name)"), unnamed };
	}
	op->n_kernel_functions = n;
}

void bench_symbols_free(struct bench *b)
{
	for (size_t i = 0; i < b->n_symbols; i++) {
		for (size_t r = 0; r < b->symbols[i].n; r++)
			free((char *)b->symbols[i].ranges[r].function);
		free(b->symbols[i].ranges);
	}
	free(b->symbols);
}
