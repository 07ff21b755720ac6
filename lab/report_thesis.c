// SPDX-License-Identifier: GPL-2.0
/* The report's published comparison: its tables beside ours, never on one axis. */
#include <string.h>

#include "html.h"
#include "report.h"
#include "svg.h"
#include "thesis.h"

static const char *const languages[] = { "C", "Rust" };
static const char *const kinds[] = { "c", "rust" };

/* Of the operation that stands beside theirs; the newest of all kernels. */
static const struct report_op *our_op(const struct report *r, const char *module, const char *name)
{
	const struct report_op *best = NULL;

	for (size_t i = 0; i < r->n_ops; i++) {
		const struct report_op *op = &r->ops[i];

		if (op->module && !strcmp(op->module, module) && !strcmp(op->name, name) &&
		    (!best || op->run->id > best->run->id))
			best = op;
	}
	return best;
}

static void html_printed(const struct thesis *t, struct buf *b)
{
	buf_puts(
		b,
		"<div class=\"wide\"><table><thead><tr><th>build</th><th class=\"r\">C, s</th>"
		"<th class=\"r\">Rust, s</th><th class=\"r\">difference</th><th class=\"r\">C, Wh</th>"
		"<th class=\"r\">Rust, Wh</th><th class=\"r\">difference</th>"
		"<th class=\"r\">the same, idle taken off</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < t->n_builds; i++) {
		const struct thesis_build *p = &t->builds[i];

		buf_puts(b, "<tr>");
		html_el(b, "th", NULL, p->name);
		html_elf(b, "td", "r", "%.0f", p->seconds[THESIS_C]);
		html_elf(b, "td", "r", "%.0f", p->seconds[THESIS_RUST]);
		html_elf(b, "td", "r", "%+.2f %%", p->percent);
		html_elf(b, "td", "r", "%.2f", p->wh[THESIS_C]);
		html_elf(b, "td", "r", "%.2f", p->wh[THESIS_RUST]);
		html_elf(b, "td", "r", "%+.2f %%", p->energy_percent);
		html_elf(b, "td", "r", "%+.1f %%", p->net_percent);
		buf_puts(b, "</tr>\n");
	}
	buf_puts(b, "</tbody></table></div>\n");
}

/* What bars show: of theirs, and of ours. */
enum shown {
	SECONDS,
	WATTS,
	INSTRUCTIONS,
	NANOSECONDS,
	MICROJOULES,
};

/* False: it is not known. */
static bool fill_bar(const struct report *r, const struct thesis *t, const struct thesis_build *p,
		     int l, enum shown what, struct svg_bar *bar)
{
	const struct report_op *op = NULL;

	*bar = (struct svg_bar){ .name = languages[l], .kind = kinds[l], .n_parts = 1 };
	switch (what) {
	case SECONDS:
		bar->parts[0] = p->seconds[l];
		return true;
	case WATTS:
		bar->parts[0] = p->watts[l];
		return true;
	case INSTRUCTIONS:
		op = our_op(r, p->module[l], t->op);
		bar->parts[0] = op ? op->instructions : 0;
		return op;
	case NANOSECONDS:
	case MICROJOULES:
		return report_time_bar(r, p->module[THESIS_C], p->module[THESIS_RUST], t->op, l,
				       what == MICROJOULES, bar);
	}
	return false;
}

/* Two bars a build. */
static bool html_bars(const struct report *r, const struct thesis *t, struct buf *b,
		      enum shown value, const char *caption, const char *unit)
{
	static const char *const ids[] = { "seconds", "watts", "ours", "time", "energy" };
	struct svg_group *groups = xcalloc(t->n_builds, sizeof(*groups));
	struct svg_bar *bars = xcalloc(t->n_builds * THESIS_LANGUAGES, sizeof(*bars));
	struct svg_chart c = {
		.title = caption,
		.description = "Two bars a build, C and Rust, from zero.",
		.unit = unit,
		.groups = groups,
		.n = t->n_builds,
		.line = value == WATTS ? t->idle_w : 0,
		.line_text = value == WATTS ? "idle" : NULL,
	};
	struct strv texts = {};
	size_t n = 0;

	for (size_t i = 0; i < t->n_builds; i++) {
		const struct thesis_build *p = &t->builds[i];

		groups[i] = (struct svg_group){ .label = p->name, .bars = &bars[n] };
		for (int l = 0; l < THESIS_LANGUAGES; l++) {
			struct svg_bar *bar = &bars[n];

			if (!fill_bar(r, t, p, l, value, bar))
				continue;
			if (bar->interval)
				strv_addf(&texts, "%.4g [%.4g, %.4g]", bar->parts[0], bar->low,
					  bar->high);
			else
				strv_addf(&texts, value == WATTS ? "%.3f" : "%.0f", bar->parts[0]);
			n++;
			groups[i].n++;
		}
	}
	for (size_t i = 0; i < n; i++)
		bars[i].text = texts.v[i];
	if (n) {
		buf_puts(b, "<figure><figcaption>");
		html_text(b, caption);
		buf_puts(b, "</figcaption>");
		svg_bars(b, &c, ids[value]);
		buf_puts(b, "</figure>\n");
	}
	free(groups);
	free(bars);
	strv_free(&texts);
	return n;
}

static void html_ours(const struct report *r, const struct thesis *t, struct buf *b)
{
	_cleanup_free_ char *caption =
		xasprintf("Ours: instructions of %s, exact clock (integers, no interval)", t->op);

	if (!html_bars(r, t, b, INSTRUCTIONS, caption, "instructions per call")) {
		buf_puts(
			b,
			"<p>Ours: unmeasured; <code>./cdevlab run --rust vgpio</code> measures it.</p>\n");
		return;
	}
	buf_puts(b, "<p class=\"small\">");
	for (size_t i = 0; i < t->n_builds; i++) {
		const struct report_op *c = our_op(r, t->builds[i].module[THESIS_C], t->op);
		const struct report_op *rust = our_op(r, t->builds[i].module[THESIS_RUST], t->op);

		html_text(b, t->builds[i].name);
		buf_puts(b, ": ");
		if (c)
			report_link(b, c->run, "%s on %s %ld", c->module, c->at.kernel,
				    c->instructions);
		else
			buf_puts(b, "C unmeasured");
		buf_puts(b, ", ");
		if (rust)
			report_link(b, rust->run, "%s on %s %ld", rust->module, rust->at.kernel,
				    rust->instructions);
		else
			buf_puts(b, "Rust unmeasured");
		buf_puts(b, i + 1 < t->n_builds ? "; " : ".</p>\n");
	}
}

/* By the wall clock, or a meter. */
static void html_measured(const struct report *r, const struct thesis *t, struct buf *b,
			  enum shown value, const char *quantity, const char *unit,
			  const char *unmeasured)
{
	_cleanup_free_ char *caption = xasprintf(
		"Ours: %s of %s, medians of blocks with their intervals", quantity, t->op);

	if (!html_bars(r, t, b, value, caption, unit))
		buf_puts(b, unmeasured);
}

static const json_t *our_init(const struct report *r, const struct thesis_hello *h,
			      const struct report_pair **pair)
{
	json_t *f;
	size_t k;

	for (size_t i = 0; i < r->n_pairs; i++) {
		if (strcmp(r->pairs[i].c->name, h->module[THESIS_C]) ||
		    strcmp(r->pairs[i].rust->name, h->module[THESIS_RUST]))
			continue;
		json_array_foreach(r->pairs[i].code, k, f) {
			if (strcmp(store_text(f, "role") ?: "", "init"))
				continue;
			*pair = &r->pairs[i];
			return f;
		}
	}
	return NULL;
}

static void html_hello(const struct report *r, const struct thesis *t, struct buf *b)
{
	const struct report_pair *pair = NULL;
	const json_t *f = our_init(r, &t->hello, &pair);
	static const char *const sides[] = { "a", "b" };

	buf_puts(
		b,
		"<h3>init of the smallest module</h3><div class=\"wide\"><table><thead><tr><th></th>"
		"<th class=\"r\">C: instructions</th><th class=\"r\">stack, bytes</th>"
		"<th class=\"r\">Rust: instructions</th><th class=\"r\">stack, bytes</th></tr></thead>"
		"<tbody><tr>");
	html_elf(b, "th", NULL, "published, %s", t->hello.arch);
	for (int l = 0; l < THESIS_LANGUAGES; l++) {
		html_elf(b, "td", "r", "%ld", t->hello.instructions[l]);
		html_elf(b, "td", "r", "%ld", t->hello.stack_bytes[l]);
	}
	buf_puts(b, "</tr><tr>");
	if (f)
		html_elf(b, "th", NULL, "ours, %s", pair->c->at.kernel);
	else
		html_el(b, "th", NULL, "ours");
	for (int l = 0; l < THESIS_LANGUAGES; l++) {
		static const char *const keys[] = { "instructions", "stack" };
		const json_t *side = json_object_get(f, sides[l]);

		for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
			buf_puts(b, "<td class=\"r\">");
			if (pair && json_is_number(json_object_get(side, keys[k])))
				report_link(b, pair->code_run, "%.0f", store_number(side, keys[k]));
			else
				buf_puts(b, "unmeasured");
			buf_puts(b, "</td>");
		}
	}
	buf_puts(b, "</tr></tbody></table></div>\n");
}

static void html_figures(const struct thesis *t, struct buf *b)
{
	const char *section = "";

	buf_puts(
		b,
		"<details><summary>Its figures, computed anew</summary><div class=\"wide\"><table><thead>"
		"<tr><th>figure</th><th class=\"r\">printed</th><th class=\"r\">computed</th>"
		"<th>verdict</th><th>how</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < t->n_figures; i++) {
		const struct thesis_figure *f = &t->figures[i];

		if (strcmp(section, f->section)) {
			buf_puts(b, "<tr class=\"head\"><th colspan=\"5\">");
			html_text(b, f->section);
			buf_puts(b, "</th></tr>\n");
		}
		section = f->section;
		buf_puts(b, "<tr>");
		html_el(b, "td", NULL, f->what);
		html_el(b, "td", "r", f->printed_text ?: "-");
		html_elf(b, "td", "r", "%.*f %s", f->decimals, f->ours, f->unit ?: "");
		html_el(b, "td", f->verdict == THESIS_DIFFERS ? "bad" : "now",
			thesis_verdict_name(f->verdict));
		html_el(b, "td", "p dim", f->how);
		buf_puts(b, "</tr>\n");
	}
	buf_puts(b, "</tbody></table></div></details>\n");
}

static void html_sentences(struct buf *b, const char *head, const struct strv *sentences)
{
	html_el(b, "h3", NULL, head);
	buf_puts(b, "<ul>");
	for (size_t i = 0; i < sentences->n; i++)
		html_el(b, "li", NULL, sentences->v[i]);
	buf_puts(b, "</ul>\n");
}

/* Only where there is something of ours to stand beside it. */
static bool is_ours(const struct report *r, const struct thesis *t)
{
	for (size_t i = 0; i < t->n_builds; i++)
		for (int l = 0; l < THESIS_LANGUAGES; l++) {
			struct svg_bar bar;

			if (fill_bar(r, t, &t->builds[i], l, INSTRUCTIONS, &bar) ||
			    fill_bar(r, t, &t->builds[i], l, NANOSECONDS, &bar))
				return true;
		}
	return false;
}

void report_html_thesis(const struct report *r, struct buf *b)
{
	_cleanup_free_ char *path = xasprintf("%s/docs/thesis.json", lab_data_dir());
	struct thesis t;

	if (!file_exists(path) || thesis_read(path, &t))
		return;
	if (is_ours(r, &t)) {
		buf_puts(b, "<p>Published: ");
		html_text(b, t.source);
		buf_puts(b, ". ");
		html_text(b, t.note);
		buf_puts(b, "</p>\n");
		html_printed(&t, b);
		html_bars(r, &t, b, SECONDS,
			  "Theirs: run time of 1e9 operations (no interval was published)", "s");
		html_ours(r, &t, b);
		html_measured(
			r, &t, b, NANOSECONDS, "time by the wall clock", "ns per call",
			"<p>Ours by the wall clock: unmeasured; <code>./cdevlab thesis --on TARGET</code> measures it.</p>\n");
		html_bars(r, &t, b, WATTS, "Theirs: mean power, from their energy and time", "W");
		html_measured(
			r, &t, b, MICROJOULES, "energy, gross,", "microjoules per call",
			"<p>Ours: power and energy are unmeasured; <code>--meter</code> measures them.</p>\n");
		html_hello(r, &t, b);
		html_sentences(b, "What may be compared", &t.may);
		html_sentences(b, "What may not", &t.may_not);
		html_figures(&t, b);
	}
	thesis_free(&t);
}
