// SPDX-License-Identifier: GPL-2.0
/* The chapter on seeded bugs: of each bug in each column the newest record's cell. */
#include <stdlib.h>
#include <string.h>

#include "html.h"
#include "report.h"
#include "safety.h"

static bool is_state(const json_t *cell, enum safety_state s)
{
	const char *state = store_text(cell, "state");

	return state && !strcmp(state, safety_state_name(s));
}

static json_t *row_for(json_t *rows, const json_t *row, size_t run)
{
	_cleanup_free_ char *key =
		xasprintf("%s\x1f%s\x1f%s\x1f%s", store_text(row, "number") ?: "",
			  store_text(row, "room") ?: "", store_text(row, "slug") ?: "",
			  store_text(row, "language") ?: "");
	json_t *found = json_object_get(rows, key);

	if (found)
		return found;
	found = json_copy((json_t *)row);
	json_object_set_new(found, "cells", json_object());
	json_object_set_new(found, "run", json_integer(run));
	json_object_set_new(rows, key, found);
	return found;
}

/* jansson takes two that are not there for different ones. */
static bool is_equal(const json_t *a, const json_t *b)
{
	return a == b || json_equal(a, b);
}

static bool is_same(const json_t *to, const json_t *row, const struct store *store, size_t run)
{
	size_t newest = json_integer_value(json_object_get(to, "run"));

	return is_equal(json_object_get(to, "diff"), json_object_get(row, "diff")) &&
	       is_equal(json_object_get(to, "module"), json_object_get(row, "module")) &&
	       is_equal(json_object_get(store->runs[newest].json, "kernels"),
			json_object_get(store->runs[run].json, "kernels"));
}

bool report_read_safety(struct report *r, size_t run)
{
	const json_t *matrix = json_object_get(r->store->runs[run].json, "safety");
	const json_t *columns = json_object_get(matrix, "columns");
	json_t *row, *cell;
	bool used = false;
	size_t i, c;

	if (!r->bugs)
		r->bugs = json_object();
	json_array_foreach(json_object_get(matrix, "rows"), i, row) {
		json_t *to = row_for(r->bugs, row, run);

		/* cells of another mistake, or of another kernel, are none of this row */
		if (!is_same(to, row, r->store, run))
			continue;
		json_array_foreach(json_object_get(row, "cells"), c, cell) {
			const char *name = store_text(json_array_get(columns, c), "name");
			json_t *cells = json_object_get(to, "cells");

			if (!name || json_object_get(cells, name) ||
			    /* what was not measured this time may have been before */
			    is_state(cell, SAFETY_UNMEASURED))
				continue;
			json_object_set(cells, name, cell);
			used = true;
		}
	}
	return used;
}

/* Of all rows in a language: how many are caught. */
static size_t caught(const struct report *r, const char *column, const char *language, size_t *of)
{
	const char *key;
	size_t n = 0;
	json_t *row;

	*of = 0;
	json_object_foreach(r->bugs, key, row) {
		const json_t *cell = json_object_get(json_object_get(row, "cells"), column);

		if (!cell || is_state(cell, SAFETY_NOT_APPLICABLE) ||
		    strcmp(store_text(row, "language") ?: "", language))
			continue;
		(*of)++;
		n += is_state(cell, SAFETY_CAUGHT) || is_state(cell, SAFETY_NO_BUILD);
	}
	return n;
}

static void html_cell(struct buf *b, const json_t *cell)
{
	const char *at = store_text(cell, "at");
	double more = store_number(cell, "more");

	if (is_state(cell, SAFETY_CAUGHT) || is_state(cell, SAFETY_NO_BUILD)) {
		buf_printf(b, "<td><details><summary class=\"good\">%s</summary><code>",
			   is_state(cell, SAFETY_CAUGHT) ? "caught" : "refused");
		html_text(b, store_text(cell, "evidence"));
		buf_puts(b, "</code>");
		if (at) {
			buf_puts(b, "<br/><span class=\"dim\">in ");
			html_text(b, at);
			buf_puts(b, "</span>");
		}
		if (more > 0)
			buf_printf(b, "<br/><span class=\"dim\">and %.0f more</span>", more);
		buf_puts(b, "</details></td>");
		return;
	}
	buf_puts(b, "<td><details><summary class=\"dim\">");
	buf_puts(b, !cell				  ? "?" :
		    is_state(cell, SAFETY_NOT_CAUGHT)	  ? "no" :
		    is_state(cell, SAFETY_NOT_APPLICABLE) ? "&#8211;" :
							    "?");
	buf_puts(b, "</summary><span class=\"small\">");
	html_text(b, cell ? store_text(cell, "evidence") : "unmeasured");
	buf_puts(b, "</span></details></td>");
}

static void html_row(const struct report *r, struct buf *b, const json_t *row)
{
	struct store_run *run = &r->store->runs[(size_t)store_number(row, "run")];
	bool rust = !strcmp(store_text(row, "language") ?: "", "Rust");

	buf_puts(b, "<tr><th class=\"now\">");
	report_link(b, run, "%s", store_text(row, "number"));
	buf_puts(b, "</th><td>");
	html_text(b, store_text(row, "language"));
	buf_puts(b, "</td><td class=\"p\"><details><summary>");
	html_text(b, rust ? store_text(row, "slug") : store_text(row, "bug"));
	buf_puts(b, "</summary>");
	html_el(b, "p", "small", store_text(row, "bug"));
	html_elf(b, "p", "small", "%s; in %s. Expected: %s", store_text(row, "class") ?: "",
		 store_text(row, "module")	 ?:
			 store_text(row, "room") ?:
						   "",
		 store_text(row, "expect") ?: "");
	html_el(b, "pre", NULL, store_text(row, "diff"));
	buf_puts(b, "</details></td>");
	for (size_t i = 0; i < safety_n_columns; i++)
		html_cell(b,
			  json_object_get(json_object_get(row, "cells"), safety_columns[i].name));
	buf_puts(b, "</tr>\n");
}

static void html_sum(const struct report *r, struct buf *b, const char *language)
{
	buf_printf(
		b,
		"<tr class=\"head\"><th></th><td>%s</td><td>caught or refused, of those it applies to</td>",
		language);
	for (size_t i = 0; i < safety_n_columns; i++) {
		size_t of, n = caught(r, safety_columns[i].name, language, &of);

		if (of)
			buf_printf(b, "<td class=\"now\">%zu of %zu</td>", n, of);
		else
			buf_puts(b, "<td class=\"dim\">&#8211;</td>");
	}
	buf_puts(b, "</tr>\n");
}

/* 2 before 10, then what has a letter; C before Rust. */
static int by_number(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	const char *p = store_text(x, "number") ?: "", *q = store_text(y, "number") ?: "";
	int r = (atoi(p) ?: 1000) - (atoi(q) ?: 1000);

	r = r ? r : strcmp(p, q);
	r = r ? r : strcmp(store_text(x, "slug") ?: "", store_text(y, "slug") ?: "");
	return r ? r : strcmp(store_text(x, "language") ?: "", store_text(y, "language") ?: "");
}

void report_html_safety(const struct report *r, struct buf *b)
{
	json_t **rows, *row;
	const char *key;
	size_t n = 0;

	if (!r->bugs || !json_object_size(r->bugs))
		return;
	rows = xcalloc(json_object_size(r->bugs), sizeof(*rows));
	json_object_foreach(r->bugs, key, row) {
		rows[n++] = row;
	}
	qsort(rows, n, sizeof(*rows), by_number);
	buf_puts(
		b,
		"<p>The same mistakes in a driver and in its twin, one at a time, and what complains. What is "
		"said of the driver without the mistake as well does not count. Each cell opens to the tool's own "
		"line, or to the reason why there is none.</p>\n"
		"<div class=\"wide\"><table><thead><tr><th>bug</th><th></th><th></th>");
	for (size_t i = 0; i < safety_n_columns; i++)
		html_el(b, "th", NULL, safety_columns[i].title);
	buf_puts(b, "</tr></thead><tbody>\n");
	for (size_t i = 0; i < n; i++)
		html_row(r, b, rows[i]);
	html_sum(r, b, "C");
	html_sum(r, b, "Rust");
	buf_puts(b, "</tbody></table></div>\n");
	free(rows);
}
