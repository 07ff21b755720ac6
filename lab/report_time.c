// SPDX-License-Identifier: GPL-2.0
/* The report's time and energy: of each two modules the newest comparison, each figure with its n and interval. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"
#include "report.h"
#include "stats.h"
#include "svg.h"

/* --- what a record has --- */

/* One side's values of all blocks; to be freed. */
static double *values_of(const json_t *op, size_t side, size_t *n)
{
	const json_t *blocks = json_object_get(op, "blocks");
	double *v = xcalloc(json_array_size(blocks) + 1, sizeof(*v));
	json_t *block;
	size_t i;

	*n = 0;
	json_array_foreach(blocks, i, block) {
		v[(*n)++] = json_number_value(json_array_get(block, side));
	}
	return v;
}

static double median_of(const json_t *op, size_t side, double confidence,
			struct stats_interval *interval, bool *known)
{
	size_t n;
	double *v = values_of(op, side, &n), m = stats_median(v, n);

	*known = stats_median_interval(v, n, confidence, interval);
	free(v);
	return m;
}

static double confidence_of(const json_t *wall)
{
	double c = store_number(wall, "confidence");

	return c > 0 && c < 1 ? c : 0.99;
}

/* --- the table --- */

static void html_side(struct buf *b, const json_t *op, size_t side, double confidence, double unit)
{
	struct stats_interval i;
	bool known;
	double m = median_of(op, side, confidence, &i, &known);

	if (known)
		html_elf(b, "td", "r", "%.4g [%.4g, %.4g]", m * unit, i.low * unit, i.high * unit);
	else
		html_elf(b, "td", "r", "%.4g (too few)", m * unit);
}

static void html_ratio(struct buf *b, const json_t *ratio)
{
	const json_t *interval = json_object_get(ratio, "interval");

	if (json_array_size(interval) == 2)
		html_elf(b, "td", "r", "%.4f [%.4f, %.4f]", store_number(ratio, "median"),
			 json_number_value(json_array_get(interval, 0)),
			 json_number_value(json_array_get(interval, 1)));
	else
		html_elf(b, "td", "r", "%.4f (too few)", store_number(ratio, "median"));
}

static void html_row(struct buf *b, const char *name, const json_t *op, double confidence,
		     double unit)
{
	const json_t *ratio = json_object_get(op, "ratio");
	const char *control = store_text(json_object_get(op, "control"), "verdict") ?: "";
	bool off = !strcmp(control, "less") || !strcmp(control, "more");

	buf_puts(b, "<tr>");
	html_el(b, "th", NULL, name);
	html_elf(b, "td", "r", "%.0f", store_number(ratio, "n"));
	html_side(b, op, 0, confidence, unit);
	html_side(b, op, 1, confidence, unit);
	html_ratio(b, ratio);
	html_ratio(b, json_object_get(op, "control"));
	html_elf(b, "td", off ? "bad" : NULL, "%s%s%s", store_text(ratio, "verdict") ?: "",
		 store_true(ratio, "drifts") ? "; it drifts" : "",
		 off ? "; but A is not the same as A" : "");
	buf_puts(b, "</tr>\n");
}

static void html_energy(struct buf *b, const json_t *wall)
{
	static const char *const kinds[] = { "gross", "net" };
	const json_t *energy = json_object_get(wall, "energy");
	json_t *op;
	size_t i;

	json_array_foreach(json_object_get(energy, "operations"), i, op) {
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			_cleanup_free_ char *shown = xasprintf(
				"%s, microjoules %s", store_text(op, "name") ?: "", kinds[k]);
			const json_t *of = json_object_get(op, kinds[k]);

			if (json_object_get(of, "ratio"))
				html_row(b, shown, of, confidence_of(wall), 1e6);
		}
	}
}

/* --- what the meter said, over time --- */

static double *numbers(const json_t *list, size_t *n)
{
	double *v = xcalloc(json_array_size(list) + 1, sizeof(*v));
	json_t *x;
	size_t i;

	json_array_foreach(list, i, x) {
		v[i] = json_is_number(x) ? json_number_value(x) : NAN;
	}
	*n = json_array_size(list);
	return v;
}

static struct svg_span *spans_of(const json_t *trace, size_t *n)
{
	static const char *const kinds[] = { "runs", "idle" };
	struct svg_span *v = NULL;
	json_t *span;
	size_t i;

	*n = 0;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		json_array_foreach(json_object_get(trace, kinds[k]), i, span) {
			v = xrealloc(v, *n + 1, sizeof(*v));
			v[(*n)++] = (struct svg_span){
				json_number_value(json_array_get(span, 0)),
				json_number_value(json_array_get(span, 1)),
				k ? "idle" : "run",
			};
		}
	}
	return v;
}

static void html_trace(struct buf *b, const json_t *energy, size_t nth)
{
	static const struct {
		const char *key, *title;
	} kinds[] = {
		{ "amps", "current, A" },
		{ "volts", "voltage, V" },
		{ "watts", "power, W" },
		{ "joules", "energy since the first reading, J" },
	};
	const json_t *trace = json_object_get(energy, "trace");
	struct svg_curve c = {};
	size_t n_x, n_y;
	double *x = numbers(json_object_get(trace, "t"), &n_x);
	struct svg_span *spans = spans_of(trace, &c.n_spans);

	c.x = x;
	c.n = n_x;
	c.spans = spans;
	if (n_x > 1) {
		buf_printf(b, "<p class=\"small\">What the meter said: %.0f readings",
			   store_number(energy, "received"));
		/* of one that is asked none are expected */
		if (store_number(energy, "expected") > 0)
			buf_printf(b, " of %.0f", store_number(energy, "expected"));
		buf_printf(b, ", drawn as %zu means; grey: blocks, darker: their idle times.</p>\n",
			   n_x);
	}
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		_cleanup_free_ char *id = xasprintf("trace%zu%s", nth, kinds[k].key);
		double *y = numbers(json_object_get(trace, kinds[k].key), &n_y);

		c.title = kinds[k].title;
		c.description = "over the time of the run, with its blocks and idle times marked";
		c.y = y;
		if (n_y == n_x)
			svg_curve(b, &c, id);
		free(y);
	}
	free(spans);
	free(x);
}

static void html_machine(struct buf *b, const struct report_time *t)
{
	const char *accel = store_text(t->wall, "accel"), *warning = store_text(t->wall, "warning");

	buf_puts(b, "<p class=\"small\">");
	html_text(b, t->at.kernel);
	buf_puts(b, " ");
	html_text(b, t->at.release);
	buf_puts(b, ": ");
	report_link(b, t->run, "%.0f blocks in %.0f s, intervals of %g %%",
		    store_number(t->wall, "blocks"), store_number(t->wall, "seconds"),
		    100 * confidence_of(t->wall));
	buf_puts(b, "; the machine: ");
	html_text(b, store_text(t->wall, "machine") ?: "nothing known");
	if (accel && !strcmp(accel, "tcg"))
		buf_puts(
			b,
			"; <strong>emulated: order and large effects only</strong>, nothing of scaling");
	if (warning) {
		buf_puts(b, "; <strong class=\"bad\">");
		html_text(b, warning);
		buf_puts(b, "</strong>");
	}
	buf_puts(b, "</p>\n");
}

static void html_one(struct buf *b, const struct report_time *t, size_t nth)
{
	const json_t *ops = json_object_get(t->wall, "operations");
	const char *no_energy = store_text(json_object_get(t->wall, "energy"), "unmeasured");
	json_t *op;
	size_t i;

	buf_puts(b, "<h3>");
	if (t->build) {
		html_text(b, t->build);
		buf_puts(b, ": ");
	}
	html_text(b, t->a);
	buf_puts(b, " (A) and ");
	html_text(b, t->b);
	buf_puts(b, " (B)</h3>\n");
	if (!json_array_size(ops)) {
		buf_puts(b, "<p>Unmeasured: ");
		html_text(b, store_text(t->wall, "unmeasured") ?: "no operation in common");
		buf_puts(b, "</p>\n");
		return;
	}
	html_machine(b, t);
	buf_puts(
		b,
		"<div class=\"wide\"><table><thead><tr><th>operation, ns per call</th><th class=\"r\">n</th>"
		"<th class=\"r\">A, median</th><th class=\"r\">B, median</th><th class=\"r\">B/A</th>"
		"<th class=\"r\">A/A</th><th>B takes</th></tr></thead><tbody>\n");
	json_array_foreach(ops, i, op) {
		html_row(b, store_text(op, "name"), op, confidence_of(t->wall), 1);
	}
	html_energy(b, t->wall);
	buf_puts(b, "</tbody></table></div>\n");
	if (!no_energy) {
		html_trace(b, json_object_get(t->wall, "energy"), nth);
		return;
	}
	buf_puts(b, "<p class=\"small\">Energy: unmeasured: ");
	html_text(b, no_energy);
	buf_puts(b, "</p>\n");
}

/* --- numbers of blocks --- */

static void html_samples(const struct report *r, struct buf *b)
{
	bool any = false;
	json_t *row;
	size_t k;

	for (size_t i = 0; i < r->n_times; i++)
		any |= json_array_size(r->times[i].samples);
	if (!any)
		return;
	buf_puts(
		b,
		"<h3>Blocks that the margin would take</h3><p class=\"small\">Of a mean of the ratios, from their standard "
		"deviation s in n blocks: by z as if s were known, by t with its own degrees of freedom, and by Stein's two "
		"stages, which alone keeps its promise whatever the true deviation is.</p>"
		"<div class=\"wide\"><table><thead><tr><th>build</th><th>operation</th><th class=\"r\">n</th>"
		"<th class=\"r\">s</th><th class=\"r\">z</th><th class=\"r\">t</th><th class=\"r\">Stein</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < r->n_times; i++) {
		json_array_foreach(r->times[i].samples, k, row) {
			buf_puts(b, "<tr>");
			html_el(b, "th", NULL, r->times[i].build);
			html_el(b, "td", NULL, store_text(row, "operation"));
			html_elf(b, "td", "r", "%.0f", store_number(row, "n"));
			html_elf(b, "td", "r", "%.4f", store_number(row, "sd"));
			html_elf(b, "td", "r", "%.0f", store_number(row, "z"));
			html_elf(b, "td", "r", "%.0f", store_number(row, "t"));
			html_elf(b, "td", "r", "%.0f", store_number(row, "stein"));
			buf_puts(b, "</tr>\n");
		}
	}
	buf_puts(b, "</tbody></table></div>\n");
}

void report_html_time(const struct report *r, struct buf *b)
{
	if (!r->n_times)
		return;
	buf_puts(
		b,
		"<p>By the wall clock: A, B and A again in turn, in blocks in a drawn order, each freshly loaded. A figure is the "
		"median of its blocks with its interval; B/A and A/A are medians of the blocks' own ratios. \"Not resolved\" is a "
		"result: the interval holds 1 and is wider than the margin.</p>\n");
	for (size_t i = 0; i < r->n_times; i++)
		html_one(b, &r->times[i], i);
	html_samples(r, b);
}

/* --- beside the published figures --- */

static const struct report_time *time_of(const struct report *r, const char *a, const char *b)
{
	for (size_t i = 0; i < r->n_times; i++)
		if (!strcmp(r->times[i].a, a) && !strcmp(r->times[i].b, b) &&
		    json_array_size(json_object_get(r->times[i].wall, "operations")))
			return &r->times[i];
	return NULL;
}

static const json_t *op_named(const json_t *ops, const char *name)
{
	json_t *op;
	size_t i;

	json_array_foreach(ops, i, op) {
		if (!strcmp(store_text(op, "name") ?: "", name))
			return op;
	}
	return NULL;
}

bool report_time_bar(const struct report *r, const char *a, const char *b, const char *name,
		     int side, bool energy, struct svg_bar *bar)
{
	const struct report_time *t = time_of(r, a, b);
	struct stats_interval i = {};
	const json_t *from, *op;

	if (!t)
		return false;
	from = energy ? json_object_get(t->wall, "energy") : t->wall;
	op = op_named(json_object_get(from, "operations"), name);
	if (op && energy)
		op = json_object_get(op, "gross");
	if (!json_array_size(json_object_get(op, "blocks")))
		return false;
	bar->parts[0] = median_of(op, side, confidence_of(t->wall), &i, &bar->interval) *
			(energy ? 1e6 : 1);
	bar->n_parts = 1;
	bar->low = i.low * (energy ? 1e6 : 1);
	bar->high = i.high * (energy ? 1e6 : 1);
	return true;
}
