// SPDX-License-Identifier: GPL-2.0
/* The report's tests: modules by kernels, what failed, what is skipped and why. */
#include <stdlib.h>
#include <string.h>

#include "html.h"
#include "report.h"

#define NOTES_MOST    12
#define FAILURES_MOST 200

static const char *const marks[] = {
	[REPORT_PASS] = "\xe2\x9c\x93 ", /* check mark */
	[REPORT_SKIP] = "",
	[REPORT_FAIL] = "\xe2\x9c\x97 ", /* ballot x */
	[REPORT_BUILD] = "\xe2\x9c\x97 ",
	[REPORT_HANG] = "\xe2\x9c\x97 ",
	[REPORT_CRASH] = "\xe2\x9c\x97 ",
};

static void html_cell(struct buf *b, const struct report_cell *c)
{
	if (!c) {
		buf_puts(b, "<td class=\"dim\">-</td>");
		return;
	}
	buf_printf(b, "<td class=\"now\"><span class=\"%s\">",
		   c->result == REPORT_PASS ? "good" :
		   c->result == REPORT_SKIP ? "dim" :
					      "bad");
	report_link(b, c->run, "%s%s", marks[c->result], report_result_name(c->result));
	buf_puts(b, "</span>");
	if (c->failed)
		buf_printf(b, "<br/><span class=\"small\">%zu failed</span>", c->failed);
	if (c->passed || c->skipped)
		buf_puts(b, "<br/><span class=\"small dim\">");
	if (c->passed)
		buf_printf(b, "%zu ok", c->passed);
	if (c->skipped)
		buf_printf(b, "%s%zu skipped", c->passed ? ", " : "", c->skipped);
	if (c->passed || c->skipped)
		buf_puts(b, "</span>");
	buf_puts(b, "</td>");
}

static const struct report_cell *first_of_row(const struct report *r, size_t row)
{
	for (size_t k = 0; k < r->n_kernels; k++)
		if (r->grid[row * r->n_kernels + k])
			return r->grid[row * r->n_kernels + k];
	return NULL;
}

static void html_matrix(const struct report *r, struct buf *b)
{
	buf_puts(b, "<div class=\"wide\"><table><thead><tr><th>module</th>");
	for (size_t k = 0; k < r->n_kernels; k++) {
		buf_puts(b, "<th>");
		html_text(b, r->kernels[k].name);
		buf_puts(b, "<br/><span class=\"small dim\">");
		html_text(b, r->kernels[k].release ?: "skipped");
		buf_puts(b, "</span></th>");
	}
	buf_puts(b, "</tr></thead><tbody>\n");
	for (size_t row = 0; row < r->n_rows; row++) {
		const struct report_cell *first = first_of_row(r, row);

		if (!first)
			continue;
		buf_puts(b, "<tr>");
		html_el(b, "th", NULL, first->module ?: first->driver);
		for (size_t k = 0; k < r->n_kernels; k++)
			html_cell(b, r->grid[row * r->n_kernels + k]);
		buf_puts(b, "</tr>\n");
	}
	buf_puts(b, "</tbody></table></div>\n");
	for (size_t k = 0; k < r->n_kernels; k++)
		if (r->kernels[k].why)
			html_elf(b, "p", "small", "%s was skipped: %s", r->kernels[k].name,
				 r->kernels[k].why);
}

static bool is_bad(const json_t *t)
{
	const char *result = store_text(t, "result") ?: "";

	return *result && strcmp(result, "pass") && strcmp(result, "skip");
}

static void html_failure(struct buf *b, struct store_run *run, const char *kernel, const char *path,
			 const json_t *t)
{
	const json_t *notes = json_object_get(t, "notes");
	struct buf text = {};
	json_t *note;
	size_t i, n = 0;

	buf_puts(b, "<li><strong class=\"bad\">");
	report_link(b, run, "%s", store_text(t, "result") ?: "fail");
	buf_puts(b, "</strong> ");
	html_text(b, path);
	if (kernel) {
		buf_puts(b, " <span class=\"dim\">on ");
		html_text(b, kernel);
		buf_puts(b, "</span>");
	}
	if (store_text(t, "reason")) {
		buf_puts(b, "<br/>");
		html_text(b, store_text(t, "reason"));
	}
	json_array_foreach(notes, i, note) {
		const char *s = json_string_value(note);

		if (s && (str_starts(s, "reproduce: ") || n++ < NOTES_MOST))
			buf_printf(&text, "%s\n", s);
	}
	if (text.n)
		html_el(b, "pre", NULL, text.s);
	buf_free(&text);
	buf_puts(b, "</li>\n");
}

/* Those of a tree that failed by themselves, not by what is below them. */
static void html_failures_of(struct buf *b, struct store_run *run, const char *kernel,
			     const char *path, const json_t *t, size_t *n)
{
	bool explained = false;
	json_t *child;
	size_t i;

	json_array_foreach(json_object_get(t, "children"), i, child) {
		_cleanup_free_ char *here =
			xasprintf("%s/%s", path, store_text(child, "name") ?: "?");

		explained |= is_bad(child);
		html_failures_of(b, run, kernel, here, child, n);
	}
	if (is_bad(t) && !explained && (*n)++ < FAILURES_MOST)
		html_failure(b, run, kernel, path, t);
}

static void html_failures(const struct report *r, struct buf *b)
{
	struct buf list = {};
	size_t n = 0;

	for (size_t i = 0; i < r->n_cells; i++) {
		const struct report_cell *c = &r->cells[i];

		if (c->tree && c->result > REPORT_SKIP)
			html_failures_of(&list, c->run, r->kernels[c->kernel].name,
					 c->module ?: c->driver, c->tree, &n);
	}
	for (size_t i = r->store->n; i--;) {
		struct store_run *run = &r->store->runs[i];
		const json_t *all =
			json_object_get(json_object_get(run->json, "tests"), "children");
		size_t k = json_array_size(
			json_object_get(json_object_get(run->json, "matrix"), "kernels"));

		/* what is of no kernel: budgets, goals; old ones need not be true any more */
		for (; run->used && run->kind == STORE_RUN && k < json_array_size(all); k++)
			html_failures_of(&list, run, NULL,
					 store_text(json_array_get(all, k), "name") ?: "?",
					 json_array_get(all, k), &n);
	}
	if (n) {
		buf_puts(b, "<h3>What failed</h3>\n<ul>\n");
		buf_add(b, list.s, list.n);
		buf_puts(b, "</ul>\n");
	}
	if (n > FAILURES_MOST)
		buf_printf(b, "<p>And %zu more, in the records.</p>\n", n - FAILURES_MOST);
	buf_free(&list);
}

/* --- skips: each reason once --- */

struct skip {
	const char *reason;
	size_t cases;
	struct strv modules;
};

struct skips {
	struct skip *v;
	size_t n;
};

static void add_skip(struct skips *s, const char *reason, const char *module)
{
	size_t i;

	for (i = 0; i < s->n && strcmp(s->v[i].reason, reason); i++)
		;
	if (i == s->n) {
		s->v = xrealloc(s->v, s->n + 1, sizeof(*s->v));
		s->v[s->n++] = (struct skip){ .reason = reason };
	}
	s->v[i].cases++;
	if (!strv_has(&s->v[i].modules, module))
		strv_add(&s->v[i].modules, module);
}

static void collect_skips(struct skips *s, const json_t *t, const char *module)
{
	const json_t *children = json_object_get(t, "children");
	const char *result = store_text(t, "result");
	json_t *child;
	size_t i;

	json_array_foreach(children, i, child) {
		collect_skips(s, child, module);
	}
	if (!json_array_size(children) && result && !strcmp(result, "skip"))
		add_skip(s, store_text(t, "reason") ?: "no reason given", module);
}

static int by_cases(const void *a, const void *b)
{
	const struct skip *x = a, *y = b;

	return x->cases == y->cases ? strcmp(x->reason, y->reason) :
				      (x->cases < y->cases) - (x->cases > y->cases);
}

static void html_skips(const struct report *r, struct buf *b)
{
	struct skips s = {};
	size_t cases = 0;

	for (size_t i = 0; i < r->n_cells; i++)
		collect_skips(&s, r->cells[i].tree, r->cells[i].module ?: r->cells[i].driver);
	if (s.n)
		qsort(s.v, s.n, sizeof(*s.v), by_cases);
	for (size_t i = 0; i < s.n; i++)
		cases += s.v[i].cases;
	if (s.n)
		buf_printf(
			b,
			"<details><summary>Why %zu cases are skipped: %zu reason%s</summary>"
			"<div class=\"wide\"><table><thead><tr><th class=\"r\">cases</th><th>reason</th>"
			"<th>modules</th></tr></thead><tbody>\n",
			cases, s.n, s.n == 1 ? "" : "s");
	for (size_t i = 0; i < s.n; i++) {
		buf_printf(b, "<tr><td class=\"r\">%zu</td>", s.v[i].cases);
		html_el(b, "td", "p", s.v[i].reason);
		buf_puts(b, "<td>");
		for (size_t k = 0; k < s.v[i].modules.n; k++) {
			buf_puts(b, k ? ", " : "");
			html_text(b, s.v[i].modules.v[k]);
		}
		buf_puts(b, "</td></tr>\n");
		strv_free(&s.v[i].modules);
	}
	if (s.n)
		buf_puts(b, "</tbody></table></div></details>\n");
	free(s.v);
}

void report_html_tests(const struct report *r, struct buf *b)
{
	if (!r->n_rows)
		return;
	buf_puts(
		b,
		"<p>PASS: nothing failed, neither in the conformance suite, nor in the driver's own "
		"tests, nor in the kernel log. What a device does not offer is skipped.</p>\n");
	html_matrix(r, b);
	html_failures(r, b);
	html_skips(r, b);
}
