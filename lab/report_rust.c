// SPDX-License-Identifier: GPL-2.0
/* The report's pairs: a driver in C beside its twins in Rust; modules as files; matching functions. */
#include <stdlib.h>
#include <string.h>

#include "demangle.h"
#include "html.h"
#include "report.h"
#include "svg.h"

#define TWINS_MOST 4

static double percent(long from, long to)
{
	return from ? 100.0 * (to - from) / from : 0;
}

static double figure_of(const struct report_op *op)
{
	return op->spread ? op->mean : op->instructions;
}

/* --- a build and its twins --- */

struct build {
	const struct report_object *o[1 + TWINS_MOST]; /* C, then its twins */
	size_t n;
};

static size_t next_build(const struct report *r, size_t from, struct build *build)
{
	size_t i = from;

	*build = (struct build){ .o = { r->pairs[from].c }, .n = 1 };
	for (; i < r->n_pairs && r->pairs[i].c == r->pairs[from].c; i++)
		if (build->n < ARRAY_SIZE(build->o))
			build->o[build->n++] = r->pairs[i].rust;
	return i;
}

/* struct row - an operation of a build: by each of its modules, or NULL */
struct row {
	const struct report_op *op[1 + TWINS_MOST];
};

static struct row *rows_of(const struct report *r, const struct build *build, size_t *n)
{
	struct row *rows = NULL;

	*n = 0;
	for (size_t i = 0; i < r->n_ops; i++) {
		const struct report_op *op = &r->ops[i];
		struct row row = { .op = { op } };
		bool both = false;

		if (report_find_op(r, build->o[0], op->name) != op)
			continue;
		for (size_t k = 1; k < build->n; k++) {
			row.op[k] = report_find_op(r, build->o[k], op->name);
			both |= row.op[k] != NULL;
		}
		if (!both)
			continue;
		rows = xrealloc(rows, *n + 1, sizeof(*rows));
		rows[(*n)++] = row;
	}
	return rows;
}

/* Short, since it stands beside a bar: two twins are told apart by the word that is theirs. */
static const char *series_name(const struct build *build, size_t k)
{
	static char names[1 + TWINS_MOST][32];
	struct strv words = {}, common = {};

	if (!k || build->n == 2)
		return k ? "Rust" : "C";
	strv_split(&words, build->o[k]->name, "_");
	strv_split(&common, build->o[0]->name, "_");
	snprintf(names[k], sizeof(names[k]), "Rust");
	for (size_t i = 0; i < words.n; i++)
		if (!strv_has(&common, words.v[i]) && strcmp(words.v[i], "rust"))
			snprintf(names[k], sizeof(names[k]), "Rust, %s", words.v[i]);
	strv_free(&words);
	strv_free(&common);
	return names[k];
}

static void html_chart(struct buf *b, const struct build *build, const struct row *rows, size_t n,
		       size_t id)
{
	struct svg_group *groups = xcalloc(n, sizeof(*groups));
	struct svg_bar *bars = xcalloc(n * build->n, sizeof(*bars));
	_cleanup_free_ char *title =
		xasprintf("Instructions per call of %s in C and in Rust", build->o[0]->name);
	_cleanup_free_ char *name = xasprintf("pair%zu", id);
	struct svg_chart c = {
		.title = title,
		.description =
			"Bars from zero: first the module's part, then the kernel's, then user "
			"space's. The same figures are in the table below.",
		.unit = "instructions per call",
		.groups = groups,
	};
	struct strv texts = {};
	size_t n_bars = 0;

	for (size_t i = 0; i < n; i++) {
		struct svg_group *g = &groups[c.n];

		if (rows[i].op[0]->spread)
			continue;
		*g = (struct svg_group){ .label = rows[i].op[0]->name, .bars = &bars[n_bars] };
		for (size_t k = 0; k < build->n; k++) {
			const struct report_op *op = rows[i].op[k];
			struct svg_bar *bar = &bars[n_bars];

			if (!op)
				continue;
			bar->name = series_name(build, k);
			bar->kind = k ? "rust" : "c";
			bar->n_parts = op->split ? 3 : 1;
			bar->parts[0] = op->split ? op->in_module : op->instructions;
			bar->parts[1] = op->rest;
			bar->parts[2] = op->user;
			n_bars++;
			g->n++;
			if (op->split)
				strv_addf(&texts, "%ld, module %ld", op->instructions,
					  op->in_module);
			else
				strv_addf(&texts, "%ld", op->instructions);
		}
		c.n++;
	}
	for (size_t i = 0; i < n_bars; i++)
		bars[i].text = texts.v[i];
	if (c.n) {
		buf_puts(b, "<figure>");
		svg_bars(b, &c, name);
		buf_puts(b, "</figure>\n");
	}
	free(groups);
	free(bars);
	strv_free(&texts);
}

static void html_difference(struct buf *b, const struct report_op *c, const struct report_op *rust)
{
	if (!rust) {
		buf_puts(b, "<td class=\"r dim\">-</td><td class=\"r\"></td><td class=\"r\"></td>");
		return;
	}
	buf_puts(b, "<td class=\"r\">");
	report_link(b, rust->run, c->spread ? "mean %.1f" : "%.0f", figure_of(rust));
	buf_puts(b, "</td>");
	if (c->spread)
		html_elf(b, "td", "r", "%+.1f", figure_of(rust) - figure_of(c));
	else
		html_elf(b, "td", "r", "%+ld", rust->instructions - c->instructions);
	html_elf(b, "td", "r", "%+.2f %%", percent(figure_of(c), figure_of(rust)));
}

static void html_split(struct buf *b, const struct report_op *op)
{
	if (op && op->split)
		html_elf(b, "td", "r", "%ld / %ld / %ld", op->in_module, op->rest, op->user);
	else
		buf_puts(b, "<td></td>");
}

static void html_rows(struct buf *b, const struct build *build, const struct row *rows, size_t n)
{
	buf_puts(b, "<div class=\"wide\"><table><thead><tr><th>operation</th><th>floor</th>"
		    "<th class=\"r\">C</th>");
	for (size_t k = 1; k < build->n; k++) {
		html_el(b, "th", "r", series_name(build, k));
		buf_puts(b, "<th class=\"r\" colspan=\"2\">difference</th>");
	}
	for (size_t k = 0; k < build->n; k++)
		html_elf(b, "th", "r", "%s: module / kernel / user", series_name(build, k));
	buf_puts(b, "</tr></thead><tbody>\n");
	for (size_t i = 0; i < n; i++) {
		const struct report_op *c = rows[i].op[0];

		buf_puts(b, "<tr>");
		html_el(b, "th", NULL, c->name);
		html_el(b, "td", "dim", c->floor);
		buf_puts(b, "<td class=\"r\">");
		report_link(b, c->run, c->spread ? "mean %.1f" : "%.0f", figure_of(c));
		buf_puts(b, "</td>");
		for (size_t k = 1; k < build->n; k++)
			html_difference(b, c, rows[i].op[k]);
		for (size_t k = 0; k < build->n; k++)
			html_split(b, rows[i].op[k]);
		buf_puts(b, "</tr>\n");
	}
	buf_puts(b, "</tbody></table></div>\n");
}

/* As people write it: what the disassembly knows of a name. */
static const char *shown_name(const struct report_object *o, const char *name)
{
	json_t *f;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(o->json, "stack"), "functions"), i, f) {
		if (store_text(f, "name") && !strcmp(store_text(f, "name"), name))
			return store_text(f, "shown") ?: name;
	}
	return name;
}

static void html_executed(struct buf *b, const struct report_object *o, const struct report_op *op)
{
	const char *name;
	json_t *n;
	bool any = false;

	buf_puts(b, "<td>");
	json_object_foreach((json_t *)op->functions, name, n) {
		if (json_number_value(n) < 1)
			continue;
		buf_puts(b, any ? "<br/>" : "");
		html_elf(b, "code", NULL, "%.0f %s", json_number_value(n), shown_name(o, name));
		any = true;
	}
	buf_puts(b, "</td>");
}

/* The kernel's own functions of which one side executes more: "C → Rust name". */
static void html_kernel(struct buf *b, const struct report_op *c, const struct report_op *rust)
{
	const json_t *sides[] = { c->kernel_functions, rust->kernel_functions };
	bool any = false;

	buf_puts(b, "<td>");
	for (int side = 0; side < 2; side++) {
		const char *name;
		json_t *n;

		json_object_foreach((json_t *)sides[side], name, n) {
			const json_t *other = json_object_get(sides[!side], name);
			_cleanup_free_ char *shown = demangle(name);

			/* those that are in both are C's to show */
			if ((side && other) || json_number_value(n) == json_number_value(other))
				continue;
			buf_puts(b, any ? "<br/>" : "");
			html_elf(b, "code", NULL, "%.0f → %.0f %s",
				 json_number_value(side ? other : n),
				 json_number_value(side ? n : other), shown);
			any = true;
		}
	}
	if (!sides[0] || !sides[1])
		html_el(b, "span", "dim", "not recorded");
	buf_puts(b, "</td>");
}

#define EXPLAINED_FROM 10

/* Where a difference lies: which part, and which functions of each module took how many instructions. */
static void html_explanations(struct buf *b, const struct build *build, const struct row *rows,
			      size_t n)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		const struct report_op *c = rows[i].op[0];

		for (size_t k = 1; k < build->n; k++) {
			const struct report_op *rust = rows[i].op[k];

			if (!rust || !c->split || !rust->split || c->spread ||
			    labs(rust->instructions - c->instructions) <= EXPLAINED_FROM)
				continue;
			if (!any)
				buf_puts(
					b,
					"<details><summary>Where differences of more than 10 "
					"instructions lie</summary><div class=\"wide\"><table><thead>"
					"<tr><th>operation</th><th class=\"r\">difference</th>"
					"<th class=\"r\">module</th><th class=\"r\">kernel</th>"
					"<th class=\"r\">user</th><th>executed in C</th>"
					"<th>executed in Rust</th><th>the kernel's functions, C → Rust, "
					"where they differ</th></tr></thead><tbody>\n");
			any = true;
			buf_puts(b, "<tr>");
			html_elf(b, "th", NULL, "%s%s%s", c->name, build->n > 2 ? ", " : "",
				 build->n > 2 ? series_name(build, k) : "");
			html_elf(b, "td", "r", "%+ld", rust->instructions - c->instructions);
			html_elf(b, "td", "r", "%+ld", rust->in_module - c->in_module);
			html_elf(b, "td", "r", "%+ld", rust->rest - c->rest);
			html_elf(b, "td", "r", "%+ld", rust->user - c->user);
			html_executed(b, build->o[0], c);
			html_executed(b, build->o[k], rust);
			html_kernel(b, c, rust);
			buf_puts(b, "</tr>\n");
		}
	}
	if (any)
		buf_puts(b, "</tbody></table></div></details>\n");
}

/* --- all pairs at a glance --- */

static const char *verdict_of(const struct report *r, const struct report_object *o)
{
	for (size_t i = 0; i < r->n_cells; i++) {
		const struct report_cell *c = &r->cells[i];

		if (c->module && !strcmp(c->module, o->name) &&
		    !strcmp(r->kernels[c->kernel].name, o->at.kernel))
			return report_result_name(c->result);
	}
	return "-";
}

static void html_size(struct buf *b, const struct report_object *o)
{
	const json_t *sizes = o->full ? json_object_get(o->json, "sizes") : o->json;

	buf_puts(b, "<td class=\"r\">");
	report_link(b, o->run, "%.0f", store_number(sizes, "text"));
	buf_puts(b, "</td>");
}

static void html_source(struct buf *b, const struct report_object *o, const char *key)
{
	const json_t *v = json_object_get(json_object_get(o->json, "source"), key);

	if (json_is_number(v))
		html_elf(b, "td", "r", "%.0f", json_number_value(v));
	else
		buf_puts(b, "<td class=\"r dim\">-</td>");
}

static void html_overview_row(const struct report *r, struct buf *b, const struct report_pair *p)
{
	struct build build = { .o = { p->c, p->rust }, .n = 2 };
	size_t n, below = 0, same = 0, above = 0, most = 0;
	struct row *rows = rows_of(r, &build, &n);

	for (size_t i = 0; i < n; i++) {
		long d = rows[i].op[1]->instructions - rows[i].op[0]->instructions;

		if (rows[i].op[0]->spread)
			continue;
		above += d > 0;
		below += d < 0;
		same += !d;
		if (labs(d) >
			    labs(rows[most].op[1]->instructions - rows[most].op[0]->instructions) ||
		    rows[most].op[0]->spread)
			most = i;
	}
	buf_puts(b, "<tr>");
	html_el(b, "th", NULL, p->c->name);
	html_el(b, "td", NULL, p->rust->name);
	html_elf(b, "td", NULL, "%s / %s", verdict_of(r, p->c), verdict_of(r, p->rust));
	html_elf(b, "td", "r", "%zu / %zu / %zu", above, same, below);
	if (above + same + below)
		html_elf(b, "td", NULL, "%s %+ld", rows[most].op[0]->name,
			 rows[most].op[1]->instructions - rows[most].op[0]->instructions);
	else
		html_el(b, "td", "dim", "unmeasured");
	html_size(b, p->c);
	html_size(b, p->rust);
	html_source(b, p->c, "lines");
	html_source(b, p->rust, "lines");
	html_source(b, p->rust, "unsafe_lines");
	html_source(b, p->rust, "c_stub_lines");
	buf_puts(b, "</tr>\n");
	free(rows);
}

static void html_overview(const struct report *r, struct buf *b)
{
	const struct report_object *at = NULL;

	for (size_t i = 0; i < r->n_pairs; i++) {
		const struct report_object *c = r->pairs[i].c;

		if (!at || strcmp(at->at.kernel, c->at.kernel) ||
		    strcmp(at->at.compiler ?: "", c->at.compiler ?: "")) {
			if (at)
				buf_puts(b, "</tbody></table></div>\n");
			html_elf(b, "p", "dim small", "%s %s, %s", c->at.kernel,
				 c->at.release ?: "", c->at.compiler ?: "");
			buf_puts(
				b,
				"<div class=\"wide\"><table><thead><tr><th>C</th><th>Rust</th>"
				"<th>tests, C / Rust</th>"
				"<th class=\"r\">operations: Rust more / same / less</th>"
				"<th>largest difference</th><th class=\"r\">text, C</th>"
				"<th class=\"r\">text, Rust</th><th class=\"r\">lines, C</th>"
				"<th class=\"r\">lines, Rust</th><th class=\"r\">of them unsafe</th>"
				"<th class=\"r\">of stubs in C</th></tr></thead><tbody>\n");
		}
		at = c;
		html_overview_row(r, b, &r->pairs[i]);
	}
	if (at)
		buf_puts(b, "</tbody></table></div>\n");
}

static void html_legend(struct buf *b)
{
	buf_puts(
		b,
		"<p class=\"small dim\">"
		"<svg class=\"key\" aria-hidden=\"true\"><rect class=\"bar c part0\" width=\"100%\" "
		"height=\"100%\"/></svg>C, in the module "
		"<svg class=\"key\" aria-hidden=\"true\"><rect class=\"bar rust part0\" width=\"100%\" "
		"height=\"100%\"/></svg>Rust, in the module; to the right of it, lighter, the rest of the "
		"kernel, then user space.</p>\n");
}

void report_html_pairs(const struct report *r, struct buf *b)
{
	struct build build;
	size_t next;

	if (!r->n_pairs)
		return;
	buf_puts(
		b,
		"<p>Both are built for one kernel by its own toolchain, have one interface, and are "
		"measured by the same program. The figures are those of the exact clock: integers that "
		"repeat, without an interval.</p>\n");
	html_overview(r, b);
	html_legend(b);
	for (size_t i = 0; i < r->n_pairs; i = next) {
		struct row *rows;
		size_t n;

		next = next_build(r, i, &build);
		rows = rows_of(r, &build, &n);
		if (n) {
			html_elf(b, "h3", NULL, "%s", build.o[0]->name);
			html_elf(b, "p", "small dim", "%s %s", build.o[0]->at.kernel,
				 build.o[0]->at.release ?: "");
			html_chart(b, &build, rows, n, i);
			html_rows(b, &build, rows, n);
			html_explanations(b, &build, rows, n);
		}
		free(rows);
	}
}

/* --- modules as files --- */

static void html_count(struct buf *b, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	if (json_is_number(v))
		html_elf(b, "td", "r", "%.0f", json_number_value(v));
	else
		buf_puts(b, "<td class=\"r dim\">-</td>");
}

static bool same_place(const struct report_object *a, const struct report_object *b)
{
	return !strcmp(a->at.kernel, b->at.kernel) &&
	       !strcmp(a->at.release ?: "", b->at.release ?: "") &&
	       !strcmp(a->at.compiler ?: "", b->at.compiler ?: "");
}

static void html_sizes(const struct report *r, struct buf *b, size_t from)
{
	buf_puts(b,
		 "<div class=\"wide\"><table><thead><tr><th>module</th><th>language</th>"
		 "<th class=\"r\">text</th><th class=\"r\">rodata</th><th class=\"r\">data</th>"
		 "<th class=\"r\">bss</th><th class=\"r\">file</th><th class=\"r\">functions</th>"
		 "<th class=\"r\">deepest stack of a function</th><th class=\"r\">source lines</th>"
		 "<th class=\"r\">unsafe</th></tr></thead><tbody>\n");
	for (size_t i = from; i < r->n_objects; i++) {
		const struct report_object *o = &r->objects[i];
		const json_t *sizes = o->full ? json_object_get(o->json, "sizes") : o->json;

		if (!same_place(o, &r->objects[from]))
			continue;
		buf_puts(b, "<tr><th>");
		report_link(b, o->run, "%s", o->name);
		buf_puts(b, "</th>");
		html_el(b, "td", NULL, o->language);
		html_count(b, sizes, "text");
		html_count(b, sizes, "rodata");
		html_count(b, sizes, "data");
		html_count(b, sizes, "bss");
		html_count(b, sizes, "file");
		html_count(b, o->json, "functions");
		html_count(b, json_object_get(json_object_get(o->json, "stack"), "deepest"),
			   "bytes");
		html_source(b, o, "lines");
		html_source(b, o, "unsafe_lines");
		buf_puts(b, "</tr>\n");
	}
	buf_puts(b, "</tbody></table></div>\n");
}

/* A narrow heading; everybody knows the rest. */
static const char *option_name(const char *config)
{
	return config && str_starts(config, "CONFIG_") ? config + strlen("CONFIG_") : config;
}

static void html_hardening(const struct report *r, struct buf *b, size_t from)
{
	const json_t *names = NULL;
	json_t *h;
	size_t k;

	for (size_t i = from; i < r->n_objects; i++) {
		const struct report_object *o = &r->objects[i];

		if (!json_array_size(json_object_get(o->json, "hardening")) ||
		    !same_place(o, &r->objects[from]))
			continue;
		if (!names) {
			names = json_object_get(o->json, "hardening");
			buf_puts(
				b,
				"<p class=\"small\">Functions that have a protection, of all; it is "
				"switched on by the kernel's configuration, and differs with the "
				"language's compiler.</p><div class=\"wide\"><table><thead><tr>"
				"<th>module</th>");
			json_array_foreach(names, k, h) {
				buf_puts(b, "<th class=\"r\">");
				html_text(b, store_text(h, "name"));
				buf_puts(b, "<br/><span class=\"small\">");
				html_text(b, option_name(store_text(h, "config")));
				buf_puts(b, "=");
				html_text(b, store_text(h, "set"));
				buf_puts(b, "</span></th>");
			}
			buf_puts(b, "</tr></thead><tbody>\n");
		}
		buf_puts(b, "<tr>");
		html_el(b, "th", NULL, o->name);
		json_array_foreach(json_object_get(o->json, "hardening"), k, h) {
			html_elf(b, "td", "r", "%.0f of %.0f", store_number(h, "functions"),
				 store_number(h, "of"));
		}
		buf_puts(b, "</tr>\n");
	}
	if (names)
		buf_puts(b, "</tbody></table></div>\n");
}

void report_html_objects(const struct report *r, struct buf *b)
{
	for (size_t i = 0; i < r->n_objects; i++) {
		const struct report_object *o = &r->objects[i];
		bool told = false;

		for (size_t k = 0; k < i && !told; k++)
			told = same_place(&r->objects[k], o);
		if (told)
			continue;
		buf_printf(b, "<details%s><summary>", i ? "" : " open=\"open\"");
		html_el(b, "strong", NULL, o->at.kernel);
		html_elf(b, "span", "dim", " %s, %s; bytes", o->at.release ?: "",
			 o->at.compiler ?: "");
		buf_puts(b, "</summary>\n");
		html_sizes(r, b, i);
		html_hardening(r, b, i);
		buf_puts(b, "</details>\n");
	}
}

/* --- matching functions --- */

static void html_function(struct buf *b, const json_t *f, const json_t *reached)
{
	static const char *const keys[] = { "instructions", "branches", "calls", "stack",
					    "registers" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		html_count(b, f, keys[i]);
	html_count(b, reached, "functions");
	html_count(b, reached, "instructions");
}

static void html_line(struct buf *b, const json_t *line)
{
	buf_puts(b, "<td><code>");
	html_text(b, store_text(line, "text"));
	if (store_text(line, "target")) {
		buf_puts(b, " <span class=\"dim\">");
		html_text(b, store_text(line, "target"));
		buf_puts(b, "</span>");
	}
	buf_puts(b, "</code></td>");
}

static void html_lines(struct buf *b, const json_t *function)
{
	const json_t *lines = json_object_get(function, "lines");
	json_t *line;
	size_t i;

	if (!json_array_size(lines))
		return;
	buf_puts(b, "<details><summary>");
	html_text(b, store_text(function, "role"));
	buf_puts(
		b,
		", side by side</summary><div class=\"wide\"><table><thead><tr><th>C</th><th>Rust</th>"
		"</tr></thead><tbody>\n");
	json_array_foreach(lines, i, line) {
		buf_puts(b, "<tr>");
		html_line(b, json_object_get(line, "a"));
		html_line(b, json_object_get(line, "b"));
		buf_puts(b, "</tr>\n");
	}
	buf_puts(b, "</tbody></table></div></details>\n");
}

static void html_code(struct buf *b, const struct report_pair *p)
{
	json_t *f;
	size_t i;

	buf_puts(b, "<h3>");
	report_link(b, p->code_run, "%s and %s", p->c->name, p->rust->name);
	buf_puts(b, "</h3>\n");
	html_elf(b, "p", "small dim", "%s %s", p->c->at.kernel, p->c->at.release ?: "");
	buf_puts(
		b,
		"<div class=\"wide\"><table><thead><tr><th>function</th><th></th>"
		"<th class=\"r\">instructions</th><th class=\"r\">branches</th><th class=\"r\">calls</th>"
		"<th class=\"r\">stack, bytes</th><th class=\"r\">registers</th>"
		"<th class=\"r\">functions with those it reaches</th>"
		"<th class=\"r\">their instructions</th></tr></thead><tbody>\n");
	json_array_foreach(p->code, i, f) {
		const json_t *c = json_object_get(f, "a"), *rust = json_object_get(f, "b");

		buf_puts(b, "<tr>");
		html_el(b, "th", NULL, store_text(f, "role"));
		html_el(b, "td", NULL, "C");
		html_function(b, c, json_object_get(f, "a_reached"));
		buf_puts(b, "</tr><tr><th></th>");
		html_el(b, "td", NULL, "Rust");
		html_function(b, rust, json_object_get(f, "b_reached"));
		buf_puts(b, "</tr>\n");
	}
	buf_puts(b, "</tbody></table></div>\n");
	json_array_foreach(p->code, i, f) {
		html_lines(b, f);
	}
}

void report_html_code(const struct report *r, struct buf *b)
{
	for (size_t i = 0; i < r->n_pairs; i++) {
		if (!json_array_size(r->pairs[i].code))
			continue;
		if (!b->n)
			buf_puts(
				b,
				"<p>Functions of both that have the same task: what the compilers made "
				"of them, not how much of it is executed. Rust often enters through a "
				"small function that calls the one with the work, so the last two "
				"columns add what each reaches in its own module.</p>\n");
		html_code(b, &r->pairs[i]);
	}
}
