// SPDX-License-Identifier: GPL-2.0
/* The page: its looks, what was run on what, the records; and how all is written. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"
#include "report.h"
#include "svg.h"

static const char style[] =
	":root{color-scheme:light dark;--bg:#fff;--fg:#1b1d20;--dim:#5b6066;--line:#d9dce0;--soft:#f4f5f7;"
	"--link:#0b57a4;--c:#2f6ea8;--rust:#b4481a;--good:#176b32;--bad:#b3161b}\n"
	"@media (prefers-color-scheme:dark){:root{--bg:#15171a;--fg:#e8e9eb;--dim:#a3a8af;--line:#363a40;"
	"--soft:#1e2125;--link:#8ab8ec;--c:#6fa9e0;--rust:#f0895a;--good:#6fcf8b;--bad:#ff8a85}}\n"
	"*{box-sizing:border-box}\n"
	"html{-webkit-text-size-adjust:100%}\n"
	"body{margin:0 auto;max-width:66rem;padding:1.5rem 1.25rem 4rem;background:var(--bg);color:var(--fg);"
	"font:16px/1.5 system-ui,\"Segoe UI\",Roboto,\"Noto Sans\",\"DejaVu Sans\",sans-serif;"
	"overflow-wrap:break-word}\n"
	"h1{font-size:1.75rem;line-height:1.2;margin:0 0 .25rem}\n"
	"h2{font-size:1.3rem;line-height:1.25;margin:2.75rem 0 .5rem;padding-top:.75rem;"
	"border-top:1px solid var(--line)}\n"
	"h3{font-size:1.05rem;margin:1.75rem 0 .25rem}\n"
	"p,ul,dl{margin:.5rem 0;max-width:46rem}\n"
	"ul{padding-left:1.25rem}\n"
	"a{color:var(--link)}\n"
	"a.n{color:inherit;text-decoration:none;border-bottom:1px dotted var(--dim)}\n"
	"a.n:hover,a.n:focus{border-bottom:1px solid}\n"
	".dim{color:var(--dim)}.small{font-size:.875rem}\n"
	"nav{font-size:.9375rem;margin:.75rem 0 0;color:var(--dim)}\n"
	"nav a{display:inline-block;padding:.125rem 0;margin-right:1rem}\n"
	".wide{overflow-x:auto;margin:.75rem 0;max-width:100%}\n"
	"table{border-collapse:collapse;font-size:.875rem;line-height:1.35;font-variant-numeric:tabular-nums}\n"
	"th,td{padding:.25rem .75rem .25rem 0;text-align:left;vertical-align:top;"
	"border-bottom:1px solid var(--line)}\n"
	"thead th{color:var(--dim);font-weight:600;vertical-align:bottom}\n"
	"tbody th{font-weight:400}\n"
	"th.r,td.r{text-align:right}td.r{white-space:nowrap}\n"
	"tr.head th{font-weight:600;padding-top:.75rem}\n"
	"td.p{min-width:16rem}\n"
	".now{white-space:nowrap}\n"
	".good{color:var(--good)}.bad{color:var(--bad);font-weight:700}\n"
	"code,pre{font:.8125rem/1.45 ui-monospace,SFMono-Regular,\"DejaVu Sans Mono\",Consolas,monospace}\n"
	"code{overflow-wrap:anywhere}\n"
	"pre{overflow-x:auto;background:var(--soft);padding:.75rem;margin:.5rem 0}\n"
	"details{margin:.5rem 0}\n"
	"summary{cursor:pointer;padding:.25rem 0}\n"
	"article:target{background:var(--soft);outline:.5rem solid var(--soft)}\n"
	"dl{display:grid;grid-template-columns:max-content 1fr;gap:.125rem 1rem;font-size:.875rem;max-width:none}\n"
	"dt{color:var(--dim)}dd{margin:0;min-width:0;overflow-wrap:anywhere}\n"
	"figure{margin:.75rem 0 1.5rem;max-width:46rem}\n"
	"figcaption{font-size:.875rem;color:var(--dim);margin-bottom:.5rem}\n"
	".key{display:inline-block;width:1.5rem;height:.75rem;vertical-align:-1px;margin:0 .25rem 0 0}\n"
	"svg{display:block;overflow:visible;font:12px system-ui,\"Noto Sans\",\"DejaVu Sans\",sans-serif}\n"
	"svg.defs{position:absolute}\nsvg.key{display:inline-block;overflow:hidden}\n"
	"svg text{fill:var(--fg)}svg .tick{fill:var(--dim);font-size:11px}svg .name,svg .label{font-weight:600}\n"
	".grid{stroke:var(--line)}.mark{stroke:var(--fg);stroke-dasharray:4 3}\n"
	".curve{fill:none;stroke:var(--c);stroke-width:1.5;vector-effect:non-scaling-stroke}\n"
	".span{fill:var(--fg);fill-opacity:.09}.span.idle{fill-opacity:.2}\n"
	".whisker{stroke:var(--fg);stroke-width:1.5}.halo{stroke:var(--bg);stroke-width:4}\n"
	".bar{stroke:var(--c);stroke-width:1}\n"
	".c.part0{fill:var(--c)}.c.part1{fill:var(--c);fill-opacity:.3}"
	".c.part2{fill:var(--c);fill-opacity:.08}\n"
	".rust{stroke:var(--rust)}.rust.part0{fill:url(#hatch)}.rust.part1{fill:url(#hatch-light)}"
	".rust.part2{fill:none}\n"
	".hatch-ground{fill:var(--rust);fill-opacity:.35}.hatch-line{fill:var(--rust)}\n"
	".other{stroke:var(--dim);fill:var(--dim);fill-opacity:.5}\n"
	"@media (max-width:36rem){body{padding:1rem .875rem 3rem;font-size:15px}h1{font-size:1.5rem}"
	"th,td{padding-right:.625rem}.wide th:first-child,.wide td:first-child{position:sticky;left:0;"
	"background:var(--bg);box-shadow:0 1px var(--line)}dl{grid-template-columns:1fr;gap:0}dt{margin-top:.375rem}}\n"
	"@media print{:root{color-scheme:light;--bg:#fff;--fg:#000;--dim:#444;--line:#bbb;--soft:#f4f4f4;"
	"--link:#000;--c:#2f6ea8;--rust:#b4481a;--good:#000;--bad:#000}\n"
	"body{max-width:none;padding:0;font-size:10pt}nav{display:none}h2,h3{break-after:avoid}"
	"figure,tr,article{break-inside:avoid}table{font-size:8pt}.wide{overflow:visible}"
	"th,td{padding-right:.4rem}a{text-decoration:none}thead{display:table-header-group}"
	"details::details-content{content-visibility:visible;height:auto}"
	"*{-webkit-print-color-adjust:exact;print-color-adjust:exact}@page{margin:15mm}}\n";

void report_link(struct buf *b, struct store_run *run, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	run->used = true;
	buf_printf(b, "<a class=\"n\" href=\"#record-%zu\">", run->id);
	html_text(b, text);
	buf_puts(b, "</a>");
}

/* --- what was run on what --- */

static bool in_list(struct strv *seen, const char *a, const char *b)
{
	_cleanup_free_ char *key = xasprintf("%s\x1f%s", a ?: "", b ?: "");

	if (strv_has(seen, key))
		return true;
	strv_add(seen, key);
	return false;
}

/* Drivers that were built for a kernel by a compiler. */
static void list_drivers(const struct report *r, const struct report_where *at, struct buf *b)
{
	struct strv seen = {};

	for (size_t i = 0; i < r->n_objects; i++) {
		const struct report_object *o = &r->objects[i];

		if (strcmp(o->at.kernel, at->kernel) ||
		    strcmp(o->at.release ?: "", at->release ?: "") ||
		    strcmp(o->at.compiler ?: "", at->compiler ?: "") || !o->driver ||
		    in_list(&seen, o->driver, ""))
			continue;
		buf_puts(b, seen.n > 1 ? ", " : "");
		html_text(b, o->driver);
	}
	strv_free(&seen);
}

/* What the newest record with that kernel says of it. */
static const json_t *input_of(const struct store_run *run, const char *kernel)
{
	json_t *in;
	size_t i;

	json_array_foreach(json_object_get(run->json, "inputs"), i, in) {
		if (store_text(in, "kernel") && !strcmp(store_text(in, "kernel"), kernel))
			return in;
	}
	return run->json;
}

static void html_setups(const struct report *r, struct buf *b)
{
	struct strv seen = {};

	buf_puts(
		b,
		"<div class=\"wide\"><table><thead><tr><th>kernel</th><th>release</th><th>drivers</th>"
		"<th>compiler of the modules</th><th>guest</th><th>newest record</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < r->n_objects; i++) {
		const struct report_object *o = &r->objects[i];
		_cleanup_free_ char *place = xasprintf("%s %s", o->at.kernel, o->at.release ?: "");
		const json_t *in = input_of(o->run, o->at.kernel);
		const char *accel = store_text(o->run->json, "accel");

		if (in_list(&seen, place, o->at.compiler))
			continue;
		buf_puts(b, "<tr>");
		html_el(b, "th", "now", o->at.kernel);
		html_el(b, "td", "now", o->at.release);
		buf_puts(b, "<td>");
		list_drivers(r, &o->at, b);
		buf_puts(b, "</td><td>");
		html_text(b, o->at.compiler);
		buf_puts(b, "</td><td>");
		html_text(b, store_text(in, "qemu"));
		if (accel)
			buf_puts(b, strcmp(accel, "kvm") ? ", emulated" : ", KVM");
		buf_puts(b, "</td><td class=\"now\">");
		report_link(b, o->run, "%s", o->run->ended ?: "record");
		buf_puts(b, "</td></tr>\n");
	}
	buf_puts(b, "</tbody></table></div>\n");
	strv_free(&seen);
}

static void html_summary(const struct report *r, struct buf *b)
{
	size_t cells[REPORT_CRASH + 1] = {}, measured = 0, bad;
	struct store *s = r->store;

	for (size_t i = 0; i < r->n_cells; i++)
		cells[r->cells[i].result]++;
	for (size_t i = 0; i < r->n_ops; i++)
		measured += r->ops[i].module != NULL;
	bad = r->n_cells - cells[REPORT_PASS] - cells[REPORT_SKIP];
	buf_puts(b, "<h1>cdevlab report</h1>\n");
	buf_printf(b, "<p class=\"dim\">%zu record%s", s->n, s->n == 1 ? "" : "s");
	if (s->n && s->runs[s->n - 1].ended) {
		buf_puts(b, ", the newest of ");
		html_text(b, s->runs[s->n - 1].ended);
	}
	if (s->damaged)
		buf_printf(b, "; %zu could not be read and %s left out", s->damaged,
			   s->damaged == 1 ? "is" : "are");
	buf_puts(b, "</p>\n<p>");
	if (r->n_cells && bad)
		buf_printf(b, "<strong class=\"bad\">%zu of %zu modules failed</strong>", bad,
			   r->n_cells);
	else if (r->n_cells)
		buf_printf(b, "<strong class=\"good\">%zu module%s passed</strong>",
			   cells[REPORT_PASS], cells[REPORT_PASS] == 1 ? "" : "s");
	else
		buf_puts(b, "Nothing was tested");
	if (cells[REPORT_SKIP])
		buf_printf(b, ", %zu skipped", cells[REPORT_SKIP]);
	buf_printf(
		b,
		" (each on each kernel counts once); %zu operations measured; %zu pairs of C and Rust.</p>\n",
		measured, r->n_pairs);
	buf_puts(b,
		 "<p class=\"small dim\">Each figure leads to the record that it is from.</p>\n");
}

/* --- the records --- */

static void html_term(struct buf *b, const char *term, const char *text)
{
	if (!text || !*text)
		return;
	html_el(b, "dt", NULL, term);
	html_el(b, "dd", NULL, text);
}

static void html_input(struct buf *b, const json_t *in)
{
	json_t *m;
	size_t i;

	buf_puts(b, "<dt>");
	html_text(b, store_text(in, "driver"));
	buf_puts(b, "</dt><dd>");
	html_text(b, store_text(in, "kernel"));
	buf_puts(b, " ");
	html_text(b, store_text(in, "release"));
	buf_puts(b, ", package ");
	html_text(b, store_text(in, "kernel_version"));
	buf_puts(b, ", ");
	html_text(b, store_text(in, "compiler"));
	buf_puts(b, "<br/><span class=\"dim\">configuration ");
	html_text(b, store_text(in, "config_sha256"));
	json_array_foreach(json_object_get(in, "modules"), i, m) {
		buf_puts(b, "<br/>");
		html_text(b, store_text(m, "name"));
		buf_puts(b, " ");
		html_text(b, store_text(m, "sha256"));
	}
	buf_puts(b, "</span></dd>");
}

static const char *first_input(const json_t *record, const char *key)
{
	return store_text(json_array_get(json_object_get(record, "inputs"), 0), key) ?:
		       store_text(record, key);
}

static void html_tree(struct buf *b, const json_t *tree)
{
	const char *commit = store_text(tree, "commit");

	if (!commit)
		return;
	buf_puts(b, "<dt>tree</dt><dd>commit ");
	html_text(b, commit);
	buf_puts(b, store_true(tree, "changed") ? ", with changes that were not committed</dd>" :
						  "</dd>");
}

static void html_record(struct buf *b, const struct store_run *run)
{
	const json_t *o = run->json;
	json_t *in;
	size_t i;

	buf_printf(b, "<article id=\"record-%zu\"><h3>%zu. ", run->id, run->id);
	html_text(b, run->ended ?: "no time known");
	buf_puts(b, "</h3><dl>");
	html_term(b, "file", run->path);
	if (run->command) {
		buf_puts(b, "<dt>command</dt><dd><code>cdevlab ");
		html_text(b, run->command);
		buf_puts(b, "</code></dd>");
	}
	if (json_is_number(json_object_get(o, "exit")))
		buf_printf(b, "<dt>outcome</dt><dd>exit status %.0f after %.0f s</dd>",
			   store_number(o, "exit"), store_number(o, "seconds"));
	html_tree(b, json_object_get(o, "tree"));
	html_term(b, "cdevlab", first_input(o, "cdevlab"));
	html_term(b, "host", first_input(o, "host"));
	html_term(b, "QEMU", first_input(o, "qemu"));
	json_array_foreach(json_object_get(o, "inputs"), i, in) {
		html_input(b, in);
	}
	for (const char *side = "a"; side; side = *side == 'a' ? "b" : NULL) {
		const json_t *s = json_object_get(o, side);

		if (!s || run->kind != STORE_COMPARE)
			continue;
		buf_puts(b, "<dt>");
		html_text(b, store_text(s, "name"));
		buf_puts(b, "</dt><dd>");
		html_text(b, store_text(s, "kernel"));
		buf_puts(b, " ");
		html_text(b, store_text(s, "release"));
		buf_puts(b, ", ");
		html_text(b, store_text(s, "compiler"));
		buf_puts(b, "<br/><span class=\"dim\">");
		html_text(b, store_text(s, "sha256"));
		buf_puts(b, "</span></dd>");
	}
	buf_puts(b, "</dl></article>\n");
}

void report_html_records(const struct report *r, struct buf *b)
{
	size_t others = 0;

	buf_puts(b, "<h2 id=\"records\">Records</h2>\n");
	for (size_t i = r->store->n; i--;) {
		if (r->store->runs[i].used)
			html_record(b, &r->store->runs[i]);
		else
			others++;
	}
	if (!others)
		return;
	buf_printf(
		b,
		"<details><summary>%zu older record%s, of which newer ones tell the same</summary>"
		"<ul class=\"small\">\n",
		others, others == 1 ? "" : "s");
	for (size_t i = r->store->n; i--;)
		if (!r->store->runs[i].used)
			html_el(b, "li", NULL, r->store->runs[i].path);
	buf_puts(b, "</ul></details>\n");
}

/* --- all of it --- */

void report_html(struct report *r, struct buf *out)
{
	static const struct {
		const char *id, *title;
		void (*write)(const struct report *r, struct buf *b);
	} sections[] = {
		{ "tests", "Conformance and tests", report_html_tests },
		{ "rust", "C and Rust", report_html_pairs },
		{ "safety", "Which mistakes are caught", report_html_safety },
		{ "time", "Time and energy", report_html_time },
		{ "figures", "Instructions per operation", report_html_figures },
		{ "tables", "Tables of the drivers", report_html_tables },
		{ "modules", "Size and hardening", report_html_objects },
		{ "code", "Machine code", report_html_code },
		{ "published", "The published comparison", report_html_thesis },
	};
	struct buf parts[ARRAY_SIZE(sections)] = {};

	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		sections[i].write(r, &parts[i]);
	buf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
		      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>"
		      "<meta name=\"generator\" content=\"cdevlab " CDEVLAB_VERSION "\"/>"
		      "<title>cdevlab report</title><style>\n");
	buf_puts(out, style);
	buf_puts(out, "</style></head><body>\n");
	svg_patterns(out);
	html_summary(r, out);
	buf_puts(out, "<nav>");
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		if (parts[i].n)
			buf_printf(out, "<a href=\"#%s\">%s</a>", sections[i].id,
				   sections[i].title);
	buf_puts(out, "<a href=\"#records\">Records</a></nav>\n<main>\n");
	if (r->n_objects) {
		buf_puts(out, "<h2 id=\"setups\">What was run on what</h2>\n");
		html_setups(r, out);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		if (parts[i].n) {
			buf_printf(out, "<h2 id=\"%s\">%s</h2>\n", sections[i].id,
				   sections[i].title);
			buf_add(out, parts[i].s, parts[i].n);
		}
		buf_free(&parts[i]);
	}
	report_html_records(r, out);
	buf_puts(out, "</main></body></html>\n");
}

static enum lab_exit write_file(const char *dir, const char *name, const struct buf *b)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	int err = file_write(path, b->s ?: "", b->n);

	if (err)
		return lab_fail(LAB_CANNOT, "name a directory that can be written to with -o",
				"cannot write %s: %s", path, strerror(-err));
	return LAB_OK;
}

enum lab_exit report_write(struct store *s, const char *dir)
{
	struct buf page = {};
	struct report r;
	enum lab_exit ret = LAB_OK;

	report_init(&r, s);
	report_html(&r, &page);
	for (int i = 0; i < REPORT_CSVS && !ret; i++) {
		struct buf csv = {};

		report_csv(&r, i, &csv);
		ret = write_file(dir, report_csv_name(i), &csv);
		buf_free(&csv);
	}
	if (!ret)
		ret = write_file(dir, "report.html", &page);
	buf_free(&page);
	report_free(&r);
	return ret;
}
