// SPDX-License-Identifier: GPL-2.0
/* From complaints to the matrix: what is a column, what counts as caught, how it is shown. Runs nothing. */
#include "safety.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "klog.h"
#include "store.h"

#define P(x)   (1u << PROBE_##x)
#define GUESTS (P(STOCK) | P(KASAN) | P(KCSAN))
#define DEBUG  (P(KASAN) | P(KCSAN))

const struct safety_column safety_columns[] = {
	{ "compiler", "the compiler, gcc W=1 or rustc", P(BUILD), "compiler" },
	{ "sparse", "sparse", P(CHECKERS), "sparse" },
	{ "coccinelle", "coccinelle", P(COCCINELLE), "coccinelle" },
	{ "analyzer", "gcc -fanalyzer", P(CHECKERS), "analyzer" },
	{ "clang", "clang's analyzer", P(CHECKERS), "clang" },
	{ "cppcheck", "cppcheck", P(CPPCHECK), "cppcheck" },
	{ "conformance", "conformance suite", P(STOCK), "conform" },
	{ "tests", "the driver's own tests", P(STOCK), "tests" },
	{ "stress", "stress", P(STOCK), "stress" },
	{ "stock", "the stock kernel's log", P(STOCK), "log/" },
	{ "kasan", "KASAN", P(KASAN), "log/KASAN" },
	{ "ubsan", "UBSAN", DEBUG, "log/UBSAN" },
	{ "kcsan", "KCSAN", P(KCSAN), "log/KCSAN" },
	{ "lockdep", "lockdep", DEBUG, "log/lockdep" },
	{ "atomic", "DEBUG_ATOMIC_SLEEP", DEBUG, "log/atomic" },
	{ "kmemleak", "kmemleak", P(KASAN), "log/leak" },
	{ "debug", "the debug kernels' other checks", DEBUG, "log/other" },
	{ "faults", "fault sweep", P(FAULTS), "faults" },
	{ "fuzz", "fuzz", P(FUZZ), "fuzz" },
};
const size_t safety_n_columns = ARRAY_SIZE(safety_columns);

const char *safety_state_name(enum safety_state s)
{
	static const char *const names[] = {
		[SAFETY_CAUGHT] = "caught",
		[SAFETY_NOT_CAUGHT] = "not caught",
		[SAFETY_NO_BUILD] = "does not compile",
		[SAFETY_NOT_APPLICABLE] = "not applicable",
		[SAFETY_UNMEASURED] = "unmeasured",
	};

	return names[s];
}

bool safety_wants(const struct safety *s, const struct safety_column *c)
{
	return !s->columns.n || strv_has(&s->columns, c->name);
}

bool safety_is_drivers(const struct klog_finding *f, const char *module)
{
	_cleanup_free_ char *tag = xasprintf("[%s]", module);

	if (f->kind == KLOG_KCSAN)
		return strstr(f->headline, tag);
	if (klog_is_slowness(f))
		return false;
	if (f->kind != KLOG_WARNING)
		return true;
	for (size_t i = 0; i < f->n_frames; i++)
		if (f->frames[i].module && !f->frames[i].guessed &&
		    !strcmp(f->frames[i].module, module))
			return true;
	return false;
}

/* --- what was said --- */

char *safety_plain(const char *text)
{
	static const char hex[] = "0123456789abcdefABCDEF";
	struct buf b = {};
	size_t word = 0;

	buf_puts(&b, "");
	for (; *text; text++) {
		bool inside = b.n && isalnum((unsigned char)b.s[b.n - 1]);
		size_t n = strspn(text, hex);

		if (*text == '/') { /* of a path, the last component */
			b.n = word;
		} else if (!inside && n >= 8 && !isalnum((unsigned char)text[n]) &&
			   text[n] != '_') {
			text += n - 1; /* an address */
			buf_puts(&b, "#");
		} else if (text[0] == '0' && text[1] == 'x' && isxdigit((unsigned char)text[2])) {
			text += 1 + strspn(text + 2, hex);
			buf_puts(&b, "#");
		} else if (isdigit((unsigned char)*text)) {
			text += strspn(text, "0123456789") - 1;
			buf_puts(&b, "#");
		} else {
			buf_add(&b, text, 1);
			if (strchr(" \t'\"`(<[", *text))
				word = b.n;
		}
	}
	b.s[b.n] = '\0';
	return b.s;
}

/* Of a path "module/job/case", whether two have the same job; none is one as well. */
static bool same_job(const char *a, const char *b)
{
	const char *in_a = a ? strchr(a, '/') : NULL, *in_b = b ? strchr(b, '/') : NULL;
	size_t n = in_a ? 1 + strcspn(in_a + 1, "/") : 0;

	if (!in_a || !in_b)
		return in_a == in_b;
	return n == 1 + strcspn(in_b + 1, "/") && !strncmp(in_a, in_b, n);
}

void said_blind(struct said *s, const char *by, const char *why)
{
	for (size_t i = 0; i < s->n_blind; i++)
		if (!strcmp(s->blind[i].by, by))
			return;
	s->blind = xrealloc(s->blind, s->n_blind + 1, sizeof(*s->blind));
	s->blind[s->n_blind++] = (struct blind){ xstrdup(by), str_clean(why) };
}

void said_add(struct said *s, const char *by, const char *what, const char *text, const char *at)
{
	_cleanup_free_ char *plain = what ? xstrdup(what) : safety_plain(text);
	_cleanup_free_ char *clean = str_clean(plain);

	what = clean;
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->v[i].by, by) && !strcmp(s->v[i].what, what) &&
		    (!str_starts(by, "log/") || same_job(s->v[i].at, at)))
			return;
	s->v = xrealloc(s->v, s->n + 1, sizeof(*s->v));
	s->v[s->n++] = (struct complaint){ xstrdup(by), xstrdup(what), str_clean(text),
					   at ? str_clean(at) : NULL };
}

void said_free(struct said *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].by);
		free(s->v[i].what);
		free(s->v[i].text);
		free(s->v[i].at);
	}
	for (size_t i = 0; i < s->n_blind; i++) {
		free(s->blind[i].by);
		free(s->blind[i].why);
	}
	free(s->v);
	free(s->blind);
	free(s->unmeasured);
	free(s->no_build);
	*s = (struct said){};
}

json_t *said_json(const struct said *s)
{
	json_t *list = json_array(), *blind = json_object();

	for (size_t i = 0; i < s->n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s*}", "by", s->v[i].by,
						      "what", s->v[i].what, "text", s->v[i].text,
						      "at", s->v[i].at));
	for (size_t i = 0; i < s->n_blind; i++)
		json_object_set_new(blind, s->blind[i].by, json_string(s->blind[i].why));
	return json_pack("{s:s*, s:o, s:o}", "no_build", s->no_build, "said", list, "blind", blind);
}

bool said_read(const json_t *o, struct said *s)
{
	const json_t *list = json_object_get(o, "said");
	const char *word;
	json_t *c;
	size_t i;

	*s = (struct said){ .known = json_is_array(list) };
	if (store_text(o, "no_build"))
		s->no_build = xstrdup(store_text(o, "no_build"));
	json_array_foreach(list, i, c) {
		const char *by = store_text(c, "by"), *what = store_text(c, "what");

		if (by && what)
			said_add(s, by, what, store_text(c, "text") ?: what, store_text(c, "at"));
	}
	json_object_foreach(json_object_get(o, "blind"), word, c) {
		said_blind(s, word, json_string_value(c) ?: "");
	}
	return s->known;
}

/* --- a cell --- */

static void cell_set(struct safety_cell *cell, enum safety_state is, const char *evidence)
{
	if (cell->evidence && is == SAFETY_CAUGHT && cell->is == is) {
		cell->more++;
		return;
	}
	free(cell->evidence);
	cell->is = is;
	cell->evidence = xstrdup(evidence);
}

/* "log/" is the word for all of the log. */
static bool said_by(const struct safety_column *c, const struct complaint *by)
{
	return str_ends(c->by, "/") ? str_starts(by->by, c->by) : !strcmp(by->by, c->by);
}

/* Why a probe could not have said anything in this column, or NULL. */
static const char *blind_in(const struct safety_column *c, const struct said *s)
{
	for (size_t i = 0; i < s->n_blind; i++)
		if (!strcmp(s->blind[i].by, c->by))
			return s->blind[i].why;
	return NULL;
}

static bool has(const struct said *s, const struct complaint *c)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->v[i].by, c->by) && !strcmp(s->v[i].what, c->what))
			return true;
	return false;
}

/* What the room complains about without the bug, too, does not count. */
static void judge_probe(const struct safety_column *c, const struct said *bug,
			const struct said *control, struct safety_cell *cell, size_t *common)
{
	for (size_t i = 0; i < bug->n; i++) {
		const struct complaint *it = &bug->v[i];

		if (!said_by(c, it))
			continue;
		if (has(control, it)) {
			(*common)++;
			continue;
		}
		cell_set(cell, SAFETY_CAUGHT, it->text);
		if (!cell->more) {
			free(cell->at);
			cell->at = it->at ? xstrdup(it->at) : NULL;
		}
	}
}

/* The word in the name of its job: "/conform", "/test_". */
static char *job_of(const struct safety_column *c)
{
	if (!(c->probes & GUESTS) || str_starts(c->by, "log/"))
		return NULL;
	return xasprintf("/%s", !strcmp(c->by, "tests") ? "test_" : c->by);
}

/* As in each test here: what the kernel's log says while it runs is a failure of it. */
static void judge_log(const struct safety_column *c, const struct said *bug,
		      const struct said *control, struct safety_cell *cell)
{
	_cleanup_free_ char *job = job_of(c);

	for (size_t i = 0; job && i < bug->n && !cell->evidence; i++) {
		const struct complaint *it = &bug->v[i];
		_cleanup_free_ char *text = NULL;

		if (!str_starts(it->by, "log/") || !it->at || !strstr(it->at, job) ||
		    has(control, it))
			continue;
		text = xasprintf("the kernel, while it runs: %s", it->text);
		cell_set(cell, SAFETY_CAUGHT, text);
		cell->at = xstrdup(it->at);
	}
}

void safety_judge(const struct safety_column *c, enum safety_language language,
		  const struct said *bug, const struct said *control, struct safety_cell *cell)
{
	const struct said *build = &bug[PROBE_BUILD];
	const char *why = NULL, *reads = NULL, *blind;
	size_t measured = 0, common = 0, can = 0;

	*cell = (struct safety_cell){};
	for (size_t p = 0; p < PROBES; p++) {
		if (!(c->probes & (1u << p)))
			continue;
		if (!(safety_probes[p].languages & (1u << language))) {
			reads = safety_probes[p].reads;
			continue;
		}
		can++;
		if (p == PROBE_BUILD && build->no_build) {
			cell_set(cell, SAFETY_NO_BUILD, build->no_build);
			return;
		}
		if (!bug[p].known || !control[p].known) {
			why = why ?: bug[p].unmeasured ?: control[p].unmeasured;
			continue;
		}
		blind = blind_in(c, &bug[p]) ?: blind_in(c, &control[p]);
		why = why ?: blind;
		measured += !blind;
		judge_probe(c, &bug[p], &control[p], cell, &common);
		judge_log(c, &bug[p], &control[p], cell);
	}
	if (cell->evidence)
		return;
	if (!can) {
		cell_set(cell, SAFETY_NOT_APPLICABLE, reads ?: "it does not know this language");
	} else if (build->no_build) {
		cell_set(cell, SAFETY_NOT_APPLICABLE, "there is no module: it does not compile");
	} else if (measured < can) {
		cell_set(cell, SAFETY_UNMEASURED,
			 why			   ?:
				 build->unmeasured ?:
						     "it was not asked for");
	} else {
		_cleanup_free_ char *text =
			common ? xasprintf("only what it says without the bug as well (%zu)",
					   common) :
				 xstrdup("it says nothing");

		cell_set(cell, SAFETY_NOT_CAUGHT, text);
	}
}

void safety_cell_free(struct safety_cell *cell)
{
	free(cell->evidence);
	free(cell->at);
	*cell = (struct safety_cell){};
}

/* --- as data --- */

static json_t *cells_json(const struct safety *s, const struct subject *x)
{
	struct said nothing[PROBES] = {};
	json_t *cells = json_array();

	for (size_t i = 0; i < safety_n_columns; i++) {
		struct safety_cell cell;

		if (!safety_wants(s, &safety_columns[i]))
			continue;
		safety_judge(&safety_columns[i], x->bug->language, x->said,
			     x->control ? x->control->said : nothing, &cell);
		json_array_append_new(cells, json_pack("{s:s, s:s, s:s*, s:i}", "state",
						       safety_state_name(cell.is), "evidence",
						       cell.evidence, "at", cell.at, "more",
						       (int)cell.more));
		safety_cell_free(&cell);
	}
	return cells;
}

json_t *safety_json(const struct safety *s)
{
	json_t *columns = json_array(), *rows = json_array();

	for (size_t i = 0; i < safety_n_columns; i++)
		if (safety_wants(s, &safety_columns[i]))
			json_array_append_new(columns, json_pack("{s:s, s:s}", "name",
								 safety_columns[i].name, "title",
								 safety_columns[i].title));
	for (size_t i = 0; i < s->n; i++) {
		const struct subject *x = &s->v[i];
		const struct safety_bug *b = x->bug;

		if (!b)
			continue;
		json_array_append_new(
			rows,
			json_pack(
				"{s:s, s:s, s:s, s:s, s:s?, s:s, s:s, s:s, s:s, s:s?, s:s?, s:s, s:o}",
				"number", b->number, "slug", b->slug, "language",
				safety_language_name(b->language), "room", path_base(b->room),
				"module", x->module, "bug", b->bug, "class", b->class, "trigger",
				b->trigger, "expect", b->expect, "compile", b->compile, "error",
				b->error, "diff", b->diff.s, "cells", cells_json(s, x)));
	}
	return json_pack("{s:o, s:o}", "columns", columns, "rows", rows);
}

/* --- for people --- */

static const char *mark_of(const json_t *cell)
{
	static const struct {
		enum safety_state is;
		const char *mark;
	} marks[] = {
		{ SAFETY_CAUGHT, "X" },	    { SAFETY_NOT_CAUGHT, "." },
		{ SAFETY_NO_BUILD, "E" },   { SAFETY_NOT_APPLICABLE, "-" },
		{ SAFETY_UNMEASURED, "?" },
	};
	const char *state = store_text(cell, "state") ?: "";

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (!strcmp(state, safety_state_name(marks[i].is)))
			return marks[i].mark;
	return "";
}

static bool is_state(const json_t *cell, enum safety_state s)
{
	return !strcmp(store_text(cell, "state") ?: "", safety_state_name(s));
}

static void print_row(FILE *out, const json_t *row)
{
	json_t *cell;
	size_t i;

	fprintf(out, "%-3s %-4s %-8s", store_text(row, "number"), store_text(row, "language"),
		store_text(row, "room"));
	json_array_foreach(json_object_get(row, "cells"), i, cell) {
		fprintf(out, "%3s", mark_of(cell));
	}
	fprintf(out, "  %s\n", store_text(row, "slug"));
}

/* The lines behind the marks. */
static void print_evidence(FILE *out, const json_t *row, const json_t *columns)
{
	json_t *cell;
	size_t i, caught = 0;

	fprintf(out, "\n%s %s in %s: %s\n", store_text(row, "number"), store_text(row, "language"),
		store_text(row, "room"), store_text(row, "bug"));
	json_array_foreach(json_object_get(row, "cells"), i, cell) {
		const char *at = store_text(cell, "at");

		if (!is_state(cell, SAFETY_CAUGHT) && !is_state(cell, SAFETY_NO_BUILD))
			continue;
		caught++;
		fprintf(out, "  %s: %s%s%s%s\n", store_text(json_array_get(columns, i), "name"),
			store_text(cell, "evidence"), at ? " (in " : "", at ?: "", at ? ")" : "");
	}
	if (!caught)
		fputs("  nothing complained\n", out);
}

static void print_reasons(FILE *out, const json_t *matrix, enum safety_state s)
{
	struct strv seen = {};
	json_t *row, *cell;
	size_t r, i;

	json_array_foreach(json_object_get(matrix, "rows"), r, row) {
		json_array_foreach(json_object_get(row, "cells"), i, cell) {
			const json_t *column =
				json_array_get(json_object_get(matrix, "columns"), i);
			_cleanup_free_ char *line = xasprintf("%s: %s", store_text(column, "name"),
							      store_text(cell, "evidence"));

			if (!is_state(cell, s) || strv_has(&seen, line))
				continue;
			if (!seen.n)
				fprintf(out, "\n%c%s:\n", toupper(*safety_state_name(s)),
					safety_state_name(s) + 1);
			strv_add(&seen, line);
			fprintf(out, "  %s\n", line);
		}
	}
	strv_free(&seen);
}

void safety_print(FILE *out, const json_t *matrix)
{
	const json_t *columns = json_object_get(matrix, "columns");
	json_t *o;
	size_t i;

	fprintf(out, "%-17s", "bug");
	json_array_foreach(columns, i, o) {
		fprintf(out, "%3zu", i + 1);
	}
	fputc('\n', out);
	json_array_foreach(json_object_get(matrix, "rows"), i, o) {
		print_row(out, o);
	}
	fputs("\nX caught   . not caught   E does not compile   - not applicable   ? unmeasured\n\n",
	      out);
	json_array_foreach(columns, i, o) {
		fprintf(out, "%2zu %-12s %s\n", i + 1, store_text(o, "name"),
			store_text(o, "title"));
	}
	json_array_foreach(json_object_get(matrix, "rows"), i, o) {
		print_evidence(out, o, columns);
	}
	print_reasons(out, matrix, SAFETY_NOT_APPLICABLE);
	print_reasons(out, matrix, SAFETY_UNMEASURED);
}

size_t safety_surprises(FILE *out, const json_t *matrix)
{
	size_t n = 0, r, i;
	json_t *row, *cell;

	json_array_foreach(json_object_get(matrix, "rows"), r, row) {
		const char *error = store_text(row, "error"), *problem = NULL;
		const char *refused = NULL;
		bool asked = false;

		json_array_foreach(json_object_get(row, "cells"), i, cell) {
			const json_t *column =
				json_array_get(json_object_get(matrix, "columns"), i);

			if (strcmp(store_text(column, "name") ?: "", "compiler") ||
			    is_state(cell, SAFETY_UNMEASURED))
				continue;
			asked = true;
			if (is_state(cell, SAFETY_NO_BUILD))
				refused = store_text(cell, "evidence");
		}
		if (asked && error && !refused)
			problem = "it compiles, and its patch says that it must not";
		else if (asked && error && !strstr(refused, error))
			problem = "it does not compile, but for another reason than its patch says";
		else if (refused && !error)
			problem = "it does not compile, and its patch does not say so";
		if (!problem)
			continue;
		n++;
		fprintf(out, "%s %s in %s: %s%s%s\n", store_text(row, "number"),
			store_text(row, "language"), store_text(row, "room"), problem,
			refused ? ": " : "", refused ?: "");
	}
	return n;
}
