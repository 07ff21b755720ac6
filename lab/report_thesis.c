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

/* Two bars a build; @value: 0 for seconds, 1 for watts, 2 for our instructions. */
static bool html_bars(const struct report *r, const struct thesis *t, struct buf *b, int value,
		      const char *caption, const char *unit)
{
	static const char *const ids[] = { "seconds", "watts", "ours" };
	struct svg_group *groups = xcalloc(t->n_builds, sizeof(*groups));
	struct svg_bar *bars = xcalloc(t->n_builds * THESIS_LANGUAGES, sizeof(*bars));
	struct svg_chart c = {
		.title = caption,
		.description = "Two bars a build, C and Rust, from zero.",
		.unit = unit,
		.groups = groups,
		.n = t->n_builds,
		.line = value == 1 ? t->idle_w : 0,
		.line_text = value == 1 ? "idle" : NULL,
	};
	struct strv texts = {};
	size_t n = 0;

	for (size_t i = 0; i < t->n_builds; i++) {
		const struct thesis_build *p = &t->builds[i];

		groups[i] = (struct svg_group){ .label = p->name, .bars = &bars[n] };
		for (int l = 0; l < THESIS_LANGUAGES; l++) {
			const struct report_op *op =
				value == 2 ? our_op(r, p->module[l], t->op) : NULL;
			double v = value == 0 ? p->seconds[l] :
				   value == 1 ? p->watts[l] :
				   op	      ? op->instructions :
						0;

			if (value == 2 && !op)
				continue;
			strv_addf(&texts, value == 1 ? "%.3f" : "%.0f", v);
			bars[n++] = (struct svg_bar){
				.name = languages[l], .kind = kinds[l], .parts = { v }, .n_parts = 1
			};
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

	if (!html_bars(r, t, b, 2, caption, "instructions per call")) {
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
		for (int l = 0; l < THESIS_LANGUAGES; l++)
			if (our_op(r, t->builds[i].module[l], t->op))
				return true;
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
		html_bars(r, &t, b, 0,
			  "Theirs: run time of 1e9 operations (no interval was published)", "s");
		html_ours(r, &t, b);
		html_bars(r, &t, b, 1, "Theirs: mean power, from their energy and time", "W");
		buf_puts(b, "<p>Ours: power and energy are unmeasured; there is no meter.</p>\n");
		html_hello(r, &t, b);
		html_sentences(b, "What may be compared", &t.may);
		html_sentences(b, "What may not", &t.may_not);
		html_figures(&t, b);
	}
	thesis_free(&t);
}
