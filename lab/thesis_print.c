// SPDX-License-Identifier: GPL-2.0
/* The recomputation for people, and as JSON. */
#include <stdlib.h>
#include <string.h>

#include "thesis.h"

#define LINE 100 /* columns of a sentence */

static void print_printed(FILE *out, const struct thesis *t)
{
	fprintf(out, "What it prints, for %.0f operations\n", t->operations);
	fprintf(out, "  %-22s %6s %6s %8s   %6s %6s %8s   %5s %5s\n", "", "C s", "Rust s", "diff",
		"C Wh", "Rust Wh", "diff", "C n", "Rust n");
	for (size_t i = 0; i < t->n_builds; i++) {
		const struct thesis_build *b = &t->builds[i];

		fprintf(out, "  %-22s %6.0f %6.0f %+7.2f%%   %6.2f %7.2f %+7.2f%%   %5.0f %6.0f\n",
			b->name, b->seconds[THESIS_C], b->seconds[THESIS_RUST], b->percent,
			b->wh[THESIS_C], b->wh[THESIS_RUST], b->energy_percent, b->runs[THESIS_C],
			b->runs[THESIS_RUST]);
	}
	fprintf(out,
		"  n: runs that were planned. Init of hello, %s: %ld and %ld instructions, %ld and %ld bytes of stack.\n",
		t->hello.arch, t->hello.instructions[THESIS_C], t->hello.instructions[THESIS_RUST],
		t->hello.stack_bytes[THESIS_C], t->hello.stack_bytes[THESIS_RUST]);
}

static void print_computed(FILE *out, const struct thesis *t)
{
	fputs("\nWhat follows from that\n", out);
	fprintf(out, "  %-22s %13s   %13s   %21s   %21s\n", "", "ns/operation", "uJ/operation",
		"mean W", "Wh net of idle");
	fprintf(out, "  %-22s %6s %6s   %6s %6s   %6s %6s %7s   %6s %6s %7s\n", "", "C", "Rust",
		"C", "Rust", "C", "Rust", "diff", "C", "Rust", "diff");
	for (size_t i = 0; i < t->n_builds; i++) {
		const struct thesis_build *b = &t->builds[i];

		fprintf(out,
			"  %-22s %6.0f %6.0f   %6.3f %6.3f   %6.3f %6.3f %+6.1f%%   %6.3f %6.3f %+6.1f%%\n",
			b->name, b->ns_per_op[THESIS_C], b->ns_per_op[THESIS_RUST],
			b->uj_per_op[THESIS_C], b->uj_per_op[THESIS_RUST], b->watts[THESIS_C],
			b->watts[THESIS_RUST], b->watts_percent, b->net_wh[THESIS_C],
			b->net_wh[THESIS_RUST], b->net_percent);
	}
	fprintf(out, "  idle: %g W\n", t->idle_w);
}

/* Without blanks at its end. */
static void put_line(FILE *out, char *line)
{
	size_t n = strlen(line);

	while (n && line[n - 1] == ' ')
		n--;
	fprintf(out, "%.*s\n", (int)n, line);
}

static void print_figure(FILE *out, const struct thesis_figure *f)
{
	_cleanup_free_ char *ours = xasprintf("%.*f", f->decimals, f->ours);
	_cleanup_free_ char *range =
		f->interval ? xasprintf("%.*f..%.*f", f->decimals, f->low, f->decimals, f->high) :
			      xstrdup("");
	_cleanup_free_ char *line =
		xasprintf("  %-56s %8s %8s %-4s %-14s %s", f->what, f->printed_text ?: "-", ours,
			  f->unit, range, f->has_printed ? thesis_verdict_name(f->verdict) : "");

	put_line(out, line);
	if (f->how)
		fprintf(out, "      %s\n", f->how);
}

/* Wrapped at blanks. */
static void print_sentence(FILE *out, const char *text)
{
	size_t column = 0;
	struct strv words = {};

	fputs("  -", out);
	strv_split(&words, text, " ");
	for (size_t i = 0; i < words.n; i++) {
		size_t n = strlen(words.v[i]) + 1;

		if (column + n > LINE) {
			fputs("\n   ", out);
			column = 0;
		}
		fprintf(out, " %s", words.v[i]);
		column += n;
	}
	fputs("\n", out);
	strv_free(&words);
}

static void print_sentences(FILE *out, const char *head, const struct strv *sentences)
{
	fprintf(out, "\n%s\n", head);
	for (size_t i = 0; i < sentences->n; i++)
		print_sentence(out, sentences->v[i]);
}

void thesis_print(FILE *out, const struct thesis *t)
{
	const char *section = "";

	print_printed(out, t);
	print_computed(out, t);
	for (size_t i = 0; i < t->n_figures; i++) {
		const struct thesis_figure *f = &t->figures[i];

		if (strcmp(section, f->section))
			fprintf(out, "\n%-58s %8s %8s      %-14s verdict\n", f->section, "printed",
				"ours", "by rounding");
		section = f->section;
		print_figure(out, f);
	}
	print_sentences(out, "May be compared with ours", &t->may);
	print_sentences(out, "May not", &t->may_not);
}

/* --- JSON --- */

static json_t *pair(const double v[THESIS_LANGUAGES])
{
	return json_pack("{s:f, s:f}", "c", v[THESIS_C], "rust", v[THESIS_RUST]);
}

/* Of Rust against C as well. */
static json_t *pair_percent(const double v[THESIS_LANGUAGES], double percent)
{
	json_t *o = pair(v);

	json_object_set_new(o, "percent", json_real(percent));
	return o;
}

static json_t *modules_json(char *const module[THESIS_LANGUAGES])
{
	return json_pack("{s:s, s:s}", "c", module[THESIS_C], "rust", module[THESIS_RUST]);
}

static json_t *build_json(const struct thesis_build *b)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", b->name,
			 "modules", modules_json(b->module), "seconds",
			 pair_percent(b->seconds, b->percent), "wh",
			 pair_percent(b->wh, b->energy_percent), "planned_runs", pair(b->runs),
			 "planned_margin_s", pair(b->margin_s), "ns_per_op", pair(b->ns_per_op),
			 "uj_per_op", pair(b->uj_per_op), "watts",
			 pair_percent(b->watts, b->watts_percent), "net_wh",
			 pair_percent(b->net_wh, b->net_percent));
}

static json_t *figure_json(const struct thesis_figure *f)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:f, s:s}", "section", f->section, "what", f->what,
			      "unit", f->unit, "ours", f->ours, "verdict",
			      thesis_verdict_name(f->verdict));

	if (f->has_printed)
		json_object_set_new(o, "printed", json_string(f->printed_text));
	if (f->interval) {
		json_object_set_new(o, "low", json_real(f->low));
		json_object_set_new(o, "high", json_real(f->high));
	}
	if (f->how)
		json_object_set_new(o, "how", json_string(f->how));
	return o;
}

static json_t *sentences_json(const struct strv *sentences)
{
	json_t *list = json_array();

	for (size_t i = 0; i < sentences->n; i++)
		json_array_append_new(list, json_string(sentences->v[i]));
	return list;
}

json_t *thesis_json(const struct thesis *t)
{
	const struct thesis_hello *h = &t->hello;
	json_t *builds = json_array(), *figures = json_array(), *hello;

	for (size_t i = 0; i < t->n_builds; i++)
		json_array_append_new(builds, build_json(&t->builds[i]));
	for (size_t i = 0; i < t->n_figures; i++)
		json_array_append_new(figures, figure_json(&t->figures[i]));
	hello = json_pack("{s:s, s:o, s:{s:i, s:i}, s:{s:i, s:i}}", "arch", h->arch, "modules",
			  modules_json(h->module), "instructions", "c",
			  (int)h->instructions[THESIS_C], "rust", (int)h->instructions[THESIS_RUST],
			  "stack_bytes", "c", (int)h->stack_bytes[THESIS_C], "rust",
			  (int)h->stack_bytes[THESIS_RUST]);
	return json_pack("{s:s, s:s, s:s, s:f, s:f, s:o, s:o, s:o, s:o, s:o}", "source", t->source,
			 "note", t->note, "operation", t->op, "operations", t->operations, "idle_w",
			 t->idle_w, "builds", builds, "machine_code", hello, "figures", figures,
			 "may", sentences_json(&t->may), "may_not", sentences_json(&t->may_not));
}
