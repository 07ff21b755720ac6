// SPDX-License-Identifier: GPL-2.0
/* The report's figures: the exact clock's operations, and the tables of rooms. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"
#include "report.h"
#include "svg.h"

static bool same_place(const struct report_op *a, const struct report_op *b)
{
	return !strcmp(a->at.kernel, b->at.kernel) &&
	       !strcmp(a->at.release ?: "", b->at.release ?: "") &&
	       !strcmp(a->at.compiler ?: "", b->at.compiler ?: "");
}

static void html_op(struct buf *b, const struct report_op *op)
{
	buf_puts(b, "<tr>");
	html_el(b, "td", NULL, op->name);
	buf_puts(b, "<td class=\"r\">");
	if (op->spread)
		report_link(b, op->run, "spread");
	else
		report_link(b, op->run, "%ld", op->instructions);
	buf_puts(b, "</td>");
	if (op->floor && strcmp(op->floor, "empty") && !op->spread) {
		html_elf(b, "td", "r", "%+ld", op->own);
		html_el(b, "td", NULL, op->floor);
	} else {
		buf_puts(b, "<td></td><td></td>");
	}
	if (op->split)
		buf_printf(
			b,
			"<td class=\"r\">%ld</td><td class=\"r\">%ld</td><td class=\"r\">%ld</td>",
			op->user, op->in_module, op->rest);
	else
		buf_puts(b, "<td></td><td></td><td></td>");
	buf_printf(b, "<td class=\"r\">%.2f&#160;%%</td><td class=\"r\">%.1f</td></tr>\n",
		   op->share * 100, op->mean);
}

static void html_place(const struct report *r, struct buf *b, size_t from, size_t to, bool open)
{
	const struct report_op *first = &r->ops[from];
	const char *module = NULL;

	buf_printf(b, "<details%s><summary>", open ? " open=\"open\"" : "");
	html_el(b, "strong", NULL, first->at.kernel);
	buf_puts(b, " ");
	html_text(b, first->at.release);
	buf_puts(b, ", <span class=\"dim\">");
	html_text(b, first->at.compiler);
	buf_puts(b,
		 "</span></summary>\n<div class=\"wide\"><table><thead><tr><th>operation</th>"
		 "<th class=\"r\">instructions</th><th class=\"r\">own</th><th>above its floor</th>"
		 "<th class=\"r\">user</th><th class=\"r\">module</th><th class=\"r\">kernel</th>"
		 "<th class=\"r\">at mode</th><th class=\"r\">mean</th></tr></thead><tbody>\n");
	for (size_t i = from; i < to; i++) {
		const struct report_op *op = &r->ops[i];

		if (i == from || strcmp(module ?: "", op->module ?: "")) {
			buf_puts(b, "<tr class=\"head\"><th colspan=\"9\">");
			html_text(b, op->module ?: "Floors");
			buf_puts(b, "</th></tr>\n");
		}
		module = op->module;
		html_op(b, op);
	}
	buf_puts(b, "</tbody></table></div></details>\n");
}

void report_html_figures(const struct report *r, struct buf *b)
{
	size_t to;

	if (!r->n_ops)
		return;
	buf_puts(
		b,
		"<p>The exact clock counts instructions. Its figure is an integer that repeats on "
		"every boot and every machine, so that it has no interval; the share of samples at it "
		"stands beside it. <em>Own</em> is what is above the floor. A row marked "
		"<em>spread</em> holds a wake-up and does not repeat exactly: only its mean is shown. "
		"Instructions are neither nanoseconds nor energy.</p>\n");
	for (size_t from = 0; from < r->n_ops; from = to) {
		for (to = from + 1; to < r->n_ops && same_place(&r->ops[from], &r->ops[to]); to++)
			;
		html_place(r, b, from, to, !from);
	}
}

/* --- tables of rooms --- */

static void html_value(struct buf *b, const json_t *v, struct store_run *run)
{
	char value[32], low[32], high[32];

	if (!json_is_object(v)) {
		buf_puts(b, "<td class=\"r dim\">-</td>");
		return;
	}
	if (store_text(v, "unmeasured")) {
		buf_puts(b, "<td class=\"r dim\">unmeasured</td>");
		return;
	}
	svg_number(value, sizeof(value), store_number(v, "value"));
	buf_puts(b, "<td class=\"r\">");
	if (run)
		report_link(b, run, "%s", value);
	else
		html_text(b, value);
	if (json_is_number(json_object_get(v, "low"))) {
		svg_number(low, sizeof(low), store_number(v, "low"));
		svg_number(high, sizeof(high), store_number(v, "high"));
		html_elf(b, "span", "small dim", " [%s..%s]", low, high);
	}
	buf_puts(b, " ");
	html_text(b, store_text(v, "unit"));
	buf_puts(b, "</td>");
}

static const char *const clocks[] = { "wall", "exact", "published" };

static bool has_clock(const struct report_table *t, const char *clock)
{
	json_t *cell;
	size_t i;

	json_array_foreach(json_object_get(t->json, "cells"), i, cell) {
		if (json_is_object(json_object_get(cell, clock)))
			return true;
	}
	return false;
}

static void html_cells(const struct report_table *t, struct buf *b)
{
	bool has[ARRAY_SIZE(clocks)];
	json_t *cell;
	size_t i;

	buf_puts(b, "<div class=\"wide\"><table><thead><tr><th>row</th><th>column</th>");
	for (size_t c = 0; c < ARRAY_SIZE(clocks); c++) {
		has[c] = has_clock(t, clocks[c]);
		if (has[c])
			html_el(b, "th", "r",
				c == 0 ? "wall clock" :
				c == 1 ? "exact clock" :
					 "published");
	}
	buf_puts(b, "</tr></thead><tbody>\n");
	json_array_foreach(json_object_get(t->json, "cells"), i, cell) {
		bool any = false;

		for (size_t c = 0; c < ARRAY_SIZE(clocks); c++)
			any |= json_is_object(json_object_get(cell, clocks[c]));
		if (!any)
			continue;
		buf_puts(b, "<tr>");
		html_el(b, "td", NULL, store_text(cell, "row"));
		html_el(b, "td", NULL, store_text(cell, "column"));
		for (size_t c = 0; c < ARRAY_SIZE(clocks); c++)
			if (has[c])
				html_value(b, json_object_get(cell, clocks[c]),
					   c < 2 ? t->run : NULL);
		buf_puts(b, "</tr>\n");
	}
	buf_puts(b, "</tbody></table></div>\n");
}

/* Bars of what has an interval: only figures of one unit can stand on one axis. */
static void html_intervals(const struct report_table *t, struct buf *b, size_t id)
{
	const json_t *cells = json_object_get(t->json, "cells");
	size_t most = json_array_size(cells), n = 0, i;
	struct svg_group *groups = xcalloc(most, sizeof(*groups));
	struct svg_bar *bars = xcalloc(most, sizeof(*bars));
	struct strv texts = {};
	const char *unit = NULL;
	json_t *cell;

	json_array_foreach(cells, i, cell) {
		const json_t *v = json_object_get(cell, "wall");
		char value[32], low[32], high[32];

		if (!json_is_number(json_object_get(v, "low")) ||
		    (unit && strcmp(unit, store_text(v, "unit") ?: "")))
			continue;
		unit = store_text(v, "unit") ?: "";
		svg_number(value, sizeof(value), store_number(v, "value"));
		svg_number(low, sizeof(low), store_number(v, "low"));
		svg_number(high, sizeof(high), store_number(v, "high"));
		strv_addf(&texts, "%s [%s..%s]", value, low, high);
		strv_addf(&texts, "%s, %s", store_text(cell, "row") ?: "",
			  store_text(cell, "column") ?: "");
		bars[n] = (struct svg_bar){ .kind = "other",
					    .parts = { store_number(v, "value") },
					    .n_parts = 1,
					    .low = store_number(v, "low"),
					    .high = store_number(v, "high"),
					    .interval = true };
		groups[n] = (struct svg_group){ .bars = &bars[n], .n = 1 };
		n++;
	}
	for (i = 0; i < n; i++) {
		bars[i].text = texts.v[2 * i];
		groups[i].label = texts.v[2 * i + 1];
	}
	if (n > 1) {
		const struct svg_chart c = {
			.title = t->title,
			.description =
				"Bars with their intervals; the same figures are in the table.",
			.unit = unit,
			.groups = groups,
			.n = n,
		};
		_cleanup_free_ char *name = xasprintf("table%zu", id);

		buf_puts(b, "<figure><figcaption>Wall clock, with intervals</figcaption>\n");
		svg_bars(b, &c, name);
		buf_puts(b, "</figure>\n");
	}
	free(groups);
	free(bars);
	strv_free(&texts);
}

static void html_remarks(const struct report_table *t, struct buf *b)
{
	json_t *cell;
	size_t i;

	json_array_foreach(json_object_get(t->json, "cells"), i, cell) {
		const char *why = store_text(json_object_get(cell, "wall"), "unmeasured");

		if (why)
			html_elf(b, "p", "small", "Unmeasured: %s, %s: %s",
				 store_text(cell, "row") ?: "", store_text(cell, "column") ?: "",
				 why);
	}
}

void report_html_tables(const struct report *r, struct buf *b)
{
	for (size_t i = 0; i < r->n_tables; i++) {
		const struct report_table *t = &r->tables[i];
		const struct report_table *next = i + 1 < r->n_tables ? t + 1 : NULL;

		html_elf(b, "h3", NULL, "%s: %s", t->driver, t->title);
		html_elf(
			b, "p", "small dim", "%s %s%s", t->kernel ?: "", t->release ?: "",
			store_true(t->json, "emulated") ?
				"; the wall clock's guest was emulated: order and large effects only" :
				"");
		html_cells(t, b);
		html_intervals(t, b, i);
		html_remarks(t, b);
		/* once below the last of a driver's tables */
		if (!t->published || (next && next->published == t->published))
			continue;
		if (store_text(t->published, "source"))
			html_elf(b, "p", "small", "Published: %s",
				 store_text(t->published, "source"));
		if (store_text(t->published, "note"))
			html_el(b, "p", "small", store_text(t->published, "note"));
	}
}
