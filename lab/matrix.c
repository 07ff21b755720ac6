// SPDX-License-Identifier: GPL-2.0
#include "matrix.h"

#include <stdlib.h>
#include <string.h>

#include "kernel.h"

#define NOTES_MOST 12
#define LINE_WIDTH 110

/* --- out of the tree --- */

/*
 * After them stands what is not of one kernel: a finding about all of them, what the benchmarks have to say.
 * Their names are "debian:...", "dir:..." or "host RELEASE".
 */
static bool is_kernel(const struct ktap *t)
{
	return (t->n || t->result == KTAP_SKIP) &&
	       (strchr(t->name, ':') || str_starts(t->name, "host"));
}

/* "debian:trixie/arm64 6.12.117+deb13-arm64" */
static void read_kernel(struct matrix_kernel *k, const struct ktap *t)
{
	const char *blank = strchr(t->name, ' '), *slash;

	*k = (struct matrix_kernel){};
	k->name = blank ? xstrndup(t->name, blank - t->name) : xstrdup(t->name);
	k->release = blank ? xstrdup(blank + 1) : NULL;
	k->series = blank ? kernel_series(blank + 1) : xstrdup("-");
	slash = str_starts(k->name, "debian:") ? strchr(k->name, '/') : NULL;
	k->arch = xstrdup(slash ? slash + 1 : "");
	k->why = t->n ? NULL : t->reason;
}

static void add_row(struct matrix *m, const char *driver, const char *module)
{
	for (size_t i = 0; i < m->n_rows; i++)
		if (!strcmp(m->rows[i].driver, driver) &&
		    !strcmp(m->rows[i].module ?: "", module ?: ""))
			return;
	m->rows = xrealloc(m->rows, m->n_rows + 1, sizeof(*m->rows));
	m->rows[m->n_rows++] = (struct matrix_row){ .driver = xstrdup(driver),
						    .module = module ? xstrdup(module) : NULL };
}

/* The only leaf among a driver's children: that it does not compile. */
static const struct ktap *broken_build(const struct ktap *driver)
{
	const struct ktap *t = ktap_child(driver, "build");

	return t && !t->n && t->result != KTAP_PASS ? t : NULL;
}

static bool has_rows_of(const struct matrix *m, const char *driver)
{
	for (size_t i = 0; i < m->n_rows; i++)
		if (!strcmp(m->rows[i].driver, driver))
			return true;
	return false;
}

static void add_rows_of(struct matrix *m, const struct ktap *root, const char *driver)
{
	bool told = false; /* something about the driver as a whole */

	for (size_t k = 0; k < root->n; k++) {
		const struct ktap *t = ktap_child(root->children[k], driver);

		told |= t && (t->n || t->result != KTAP_PASS);
		for (size_t i = 0; t && i < t->n; i++)
			if (t->children[i] != broken_build(t))
				add_row(m, driver, t->children[i]->name);
	}
	if (told && !has_rows_of(m, driver))
		add_row(m, driver, NULL);
}

static const char *skip_reason(const struct ktap *t)
{
	const char *reason = t->reason;

	for (size_t i = 0; i < t->n && !reason; i++)
		reason = skip_reason(t->children[i]);
	return reason;
}

static struct matrix_cell cell_of(const struct ktap *t)
{
	struct ktap_counts c = ktap_count(t);
	struct matrix_cell cell = { .is = CELL_PASS };

	if (c.crashed)
		cell.is = CELL_CRASH;
	else if (c.timeout)
		cell.is = CELL_HANG;
	else if (c.failed)
		cell = (struct matrix_cell){ .is = CELL_FAIL, .failed = c.failed };
	else if (!c.passed)
		cell = (struct matrix_cell){ .is = CELL_SKIP, .reason = skip_reason(t) };
	return cell;
}

static struct matrix_cell read_cell(const struct ktap *kernel, const struct matrix_row *row)
{
	const struct ktap *driver = ktap_child(kernel, row->driver), *t;

	if (!kernel->n && kernel->result == KTAP_SKIP)
		return (struct matrix_cell){ .is = CELL_SKIP };
	if (!driver)
		return (struct matrix_cell){};
	t = row->module ? ktap_child(driver, row->module) : driver;
	if (t == driver && !t->n && t->result == KTAP_PASS)
		return (struct matrix_cell){};
	if (t && t != broken_build(driver) && (row->module || !broken_build(driver)))
		return cell_of(t);
	if (broken_build(driver))
		return (struct matrix_cell){ .is = CELL_BUILD };
	return (struct matrix_cell){};
}

/**
 * matrix_new() - the table
 * @root:	the tree, settled; the table refers to its texts
 * Return: to be freed by matrix_free().
 */
struct matrix *matrix_new(const struct ktap *root)
{
	struct matrix *m = xcalloc(1, sizeof(*m));

	while (m->n < root->n && is_kernel(root->children[m->n]))
		m->n++;
	m->kernels = xcalloc(m->n, sizeof(*m->kernels));
	for (size_t k = 0; k < m->n; k++) {
		const struct ktap *kernel = root->children[k];

		read_kernel(&m->kernels[k], kernel);
		for (size_t i = 0; i < kernel->n; i++)
			add_rows_of(m, root, kernel->children[i]->name);
	}
	m->cells = xcalloc(m->n * m->n_rows, sizeof(*m->cells));
	for (size_t r = 0; r < m->n_rows; r++)
		for (size_t k = 0; k < m->n; k++)
			m->cells[r * m->n + k] = read_cell(root->children[k], &m->rows[r]);
	return m;
}

void matrix_free(struct matrix *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->kernels[i].name);
		free(m->kernels[i].release);
		free(m->kernels[i].series);
		free(m->kernels[i].arch);
	}
	for (size_t i = 0; i < m->n_rows; i++) {
		free(m->rows[i].driver);
		free(m->rows[i].module);
	}
	free(m->kernels);
	free(m->rows);
	free(m->cells);
	free(m);
}

/* --- as text --- */

static const char *row_name(const struct matrix_row *r)
{
	return r->module ?: r->driver;
}

static const char *cell_text(const struct matrix_cell *c, char *to, size_t size)
{
	static const char *const names[] = {
		[CELL_NONE] = "-",	   [CELL_PASS] = "PASS", [CELL_SKIP] = "skip",
		[CELL_BUILD] = "no build", [CELL_HANG] = "HANG", [CELL_CRASH] = "CRASH",
	};

	if (c->is != CELL_FAIL)
		return names[c->is];
	snprintf(to, size, "FAIL %zu", c->failed);
	return to;
}

static size_t wider(size_t width, const char *s)
{
	return strlen(s) > width ? strlen(s) : width;
}

static size_t column_width(const struct matrix *m, size_t k)
{
	const struct matrix_kernel *kernel = &m->kernels[k];
	size_t width = wider(wider(2, kernel->series), kernel->arch);
	char text[32];

	for (size_t r = 0; r < m->n_rows; r++)
		width = wider(width, cell_text(&m->cells[r * m->n + k], text, sizeof(text)));
	return width;
}

static void end_line(FILE *out, struct buf *line)
{
	while (line->n && line->s[line->n - 1] == ' ')
		line->s[--line->n] = '\0';
	fprintf(out, "%s\n", line->s);
	line->n = 0;
}

/* "1, 2, 3 and 5" would be longer */
static void number_list(struct buf *b, const bool *in, size_t n)
{
	bool first = true;

	for (size_t i = 0; i < n; i++) {
		size_t last = i;

		if (!in[i])
			continue;
		while (last + 1 < n && in[last + 1])
			last++;
		buf_printf(b, "%s%zu", first ? "" : ", ", i + 1);
		if (last > i)
			buf_printf(b, "%s%zu", last == i + 1 ? ", " : "-", last + 1);
		i = last;
		first = false;
	}
}

/* Each reason once for a module, with the kernels. */
static void print_skips(FILE *out, const struct matrix *m, const struct matrix_row *row,
			const struct matrix_cell *cells, const char *prefix)
{
	bool *told = xcalloc(m->n, sizeof(*told)), *in = xcalloc(m->n, sizeof(*in));

	for (size_t k = 0; k < m->n; k++) {
		struct buf where = {};

		if (cells[k].is != CELL_SKIP || !cells[k].reason || told[k])
			continue;
		for (size_t i = 0; i < m->n; i++) {
			in[i] = cells[i].is == CELL_SKIP && cells[i].reason &&
				!strcmp(cells[i].reason, cells[k].reason);
			told[i] |= in[i];
		}
		number_list(&where, in, m->n);
		fprintf(out, "%s%s is skipped on %s: %s\n", prefix, row_name(row), where.s,
			cells[k].reason);
		buf_free(&where);
	}
	free(told);
	free(in);
}

void matrix_print(FILE *out, const struct matrix *m, const char *prefix)
{
	size_t *width = xcalloc(m->n, sizeof(*width)), name = strlen("module"), kernel = 0, all;
	struct buf line = {};
	char text[32];
	int gap;

	for (size_t k = 0; k < m->n; k++) {
		width[k] = column_width(m, k);
		kernel = wider(kernel, m->kernels[k].name);
	}
	for (size_t r = 0; r < m->n_rows; r++)
		name = wider(name, row_name(&m->rows[r]));
	all = strlen(prefix) + name;
	for (size_t k = 0; k < m->n; k++)
		all += width[k] + 2;
	gap = all > LINE_WIDTH ? 1 : 2;
	buf_printf(&line, "%s%-*s", prefix, (int)name, "kernel");
	for (size_t k = 0; k < m->n; k++)
		buf_printf(&line, "%*s%-*zu", gap, "", (int)width[k], k + 1);
	end_line(out, &line);
	buf_printf(&line, "%s%-*s", prefix, (int)name, "");
	for (size_t k = 0; k < m->n; k++)
		buf_printf(&line, "%*s%-*s", gap, "", (int)width[k], m->kernels[k].series);
	end_line(out, &line);
	buf_printf(&line, "%s%-*s", prefix, (int)name, "module");
	for (size_t k = 0; k < m->n; k++)
		buf_printf(&line, "%*s%-*s", gap, "", (int)width[k], m->kernels[k].arch);
	end_line(out, &line);
	for (size_t r = 0; r < m->n_rows; r++) {
		const struct matrix_cell *cells = &m->cells[r * m->n];

		buf_printf(&line, "%s%-*s", prefix, (int)name, row_name(&m->rows[r]));
		for (size_t k = 0; k < m->n; k++)
			buf_printf(&line, "%*s%-*s", gap, "", (int)width[k],
				   cell_text(&cells[k], text, sizeof(text)));
		end_line(out, &line);
	}
	buf_puts(&line, prefix);
	end_line(out, &line);
	for (size_t k = 0; k < m->n; k++) {
		const struct matrix_kernel *it = &m->kernels[k];

		fprintf(out, "%s%2zu %-*s  %s%s%s%s\n", prefix, k + 1, (int)kernel, it->name,
			it->release ?: "", it->release && it->why ? ", " : "",
			it->why ? "skipped: " : "", it->why ?: "");
	}
	for (size_t r = 0; r < m->n_rows; r++)
		print_skips(out, m, &m->rows[r], &m->cells[r * m->n], prefix);
	buf_free(&line);
	free(width);
}

/* --- what failed --- */

/* struct failure - a test that failed, on one kernel or on several */
struct failure {
	char *path; /* below the kernel */
	const struct ktap *first;
	bool *on;
};

struct failures {
	struct failure *v;
	size_t n, kernel, n_kernels;
};

static void collect(struct failures *f, const struct ktap *t, const char *path)
{
	_cleanup_free_ char *here = *path ? xasprintf("%s/%s", path, t->name) : xstrdup(t->name);
	bool explained = false;
	size_t i;

	for (i = 0; i < t->n; i++) {
		explained |= t->children[i]->result >= KTAP_FAIL;
		collect(f, t->children[i], here);
	}
	/* a suite that failed by itself is a failure as well */
	if (t->result < KTAP_FAIL || explained)
		return;
	for (i = 0; i < f->n && strcmp(f->v[i].path, here); i++)
		;
	if (i == f->n) {
		f->v = xrealloc(f->v, f->n + 1, sizeof(*f->v));
		f->v[f->n++] = (struct failure){
			.path = xstrdup(here),
			.first = t,
			.on = xcalloc(f->n_kernels, sizeof(bool)),
		};
	}
	f->v[i].on[f->kernel] = true;
}

static void print_failure(FILE *out, const struct ktap *root, const struct failure *f,
			  const char *prefix, bool notes)
{
	const struct ktap *t = f->first;
	struct buf where = {};

	if (root->n > 1 && t->parent != root) {
		buf_puts(&where, " on ");
		number_list(&where, f->on, root->n);
	}
	fprintf(out, "%s  %s: %s%s%s%s\n", prefix, ktap_result_name(t->result), f->path,
		where.n ? where.s : "", t->reason ? ": " : "", t->reason ?: "");
	for (size_t i = 0, said = 0; i < t->notes.n; i++)
		if (str_starts(t->notes.v[i], "reproduce: ") || (notes && said++ < NOTES_MOST))
			fprintf(out, "%s      %s\n", prefix, t->notes.v[i]);
	buf_free(&where);
}

void matrix_print_failures(FILE *out, const struct ktap *root, const char *prefix, bool notes,
			   size_t most)
{
	struct failures f = { .n_kernels = root->n };

	for (; f.kernel < root->n; f.kernel++) {
		const struct ktap *kernel = root->children[f.kernel];

		if (!kernel->n)
			collect(&f, kernel, "");
		for (size_t i = 0; i < kernel->n; i++)
			collect(&f, kernel->children[i], "");
	}
	if (f.n)
		fprintf(out, "%sWhat failed:\n", prefix);
	for (size_t i = 0; i < f.n; i++) {
		if (i < most)
			print_failure(out, root, &f.v[i], prefix, notes);
		free(f.v[i].path);
		free(f.v[i].on);
	}
	if (f.n > most)
		fprintf(out, "%s  and %zu more, in the results\n", prefix, f.n - most);
	free(f.v);
}

/* --- as JSON --- */

json_t *matrix_json(const struct matrix *m)
{
	static const char *const names[] = {
		[CELL_NONE] = "none",	  [CELL_PASS] = "pass",	  [CELL_SKIP] = "skip",
		[CELL_FAIL] = "fail",	  [CELL_BUILD] = "build", [CELL_HANG] = "timeout",
		[CELL_CRASH] = "crashed",
	};
	json_t *kernels = json_array(), *rows = json_array();

	for (size_t k = 0; k < m->n; k++)
		json_array_append_new(kernels,
				      json_pack("{s:s, s:s?, s:s*}", "name", m->kernels[k].name,
						"release", m->kernels[k].release, "skipped",
						m->kernels[k].why));
	for (size_t r = 0; r < m->n_rows; r++) {
		json_t *cells = json_array();

		for (size_t k = 0; k < m->n; k++) {
			const struct matrix_cell *c = &m->cells[r * m->n + k];
			json_t *cell = json_pack("{s:s, s:s*}", "result", names[c->is], "reason",
						 c->reason);

			if (c->failed)
				json_object_set_new(cell, "failed", json_integer(c->failed));
			json_array_append_new(cells, cell);
		}
		json_array_append_new(rows,
				      json_pack("{s:s, s:s?, s:o}", "driver", m->rows[r].driver,
						"module", m->rows[r].module, "cells", cells));
	}
	return json_pack("{s:o, s:o}", "kernels", kernels, "rows", rows);
}
