// SPDX-License-Identifier: GPL-2.0
/* What the records say, newest first: each thing once. */
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GROW(array, n)                                                                  \
	do {                                                                            \
		if (!((n) & ((n)-1)))                                                   \
			(array) = xrealloc((array), (n) ? (n)*2 : 1, sizeof(*(array))); \
		(array)[n] = (typeof(*(array))){};                                      \
	} while (0)

const char *report_result_name(enum report_result r)
{
	static const char *const names[] = {
		[REPORT_PASS] = "PASS",	     [REPORT_SKIP] = "skip", [REPORT_FAIL] = "FAIL",
		[REPORT_BUILD] = "no build", [REPORT_HANG] = "HANG", [REPORT_CRASH] = "CRASH",
	};

	return names[r];
}

/* Whether it is new; parts are told apart by a byte that no text has. */
static bool first_of(struct report *r, const char *what, const struct report_where *at,
		     const char *module, const char *name)
{
	_cleanup_free_ char *key =
		xasprintf("%s\x1f%s\x1f%s\x1f%s\x1f%s\x1f%s", what, at->kernel ?: "",
			  at->release ?: "", at->compiler ?: "", module ?: "", name ?: "");

	if (json_object_get(r->seen, key))
		return false;
	json_object_set_new(r->seen, key, json_true());
	return true;
}

static struct report_where where_of(const json_t *o)
{
	return (struct report_where){ store_text(o, "kernel"), store_text(o, "release"),
				      store_text(o, "compiler") };
}

/* --- operations --- */

static void read_split(struct report_op *op, const json_t *split)
{
	op->split = json_is_object(split);
	op->user = lround(store_number(split, "user"));
	op->in_module = lround(store_number(split, "module"));
	op->rest = lround(store_number(split, "kernel"));
}

static const char *driver_of(const json_t *inputs, const char *module)
{
	size_t i, k;
	json_t *in, *m;

	json_array_foreach(inputs, i, in) {
		json_array_foreach(json_object_get(in, "modules"), k, m) {
			if (module && store_text(m, "name") &&
			    !strcmp(store_text(m, "name"), module))
				return store_text(in, "driver");
		}
	}
	return NULL;
}

static struct report_op *add_op(struct report *r, struct store_run *run,
				const struct report_where *at, const char *module, const char *name)
{
	if (!name || !at->kernel || !first_of(r, "op", at, module, name))
		return NULL;
	GROW(r->ops, r->n_ops);
	run->used = true;
	r->ops[r->n_ops] = (struct report_op){
		.at = *at, .module = module, .name = name, .run = run, .nth = r->n_ops
	};
	return &r->ops[r->n_ops++];
}

static void read_bench(struct report *r, struct store_run *run, const json_t *bench)
{
	size_t i;
	json_t *o;

	json_array_foreach(json_object_get(bench, "operations"), i, o) {
		struct report_where at = where_of(o);
		const char *module = store_text(o, "module"), *name = store_text(o, "operation");
		struct report_op *op;

		if (name && !strcmp(name, "empty"))
			continue; /* taken off all the others already */
		op = add_op(r, run, &at, module, name);
		if (!op)
			continue;
		op->arch = store_text(o, "arch");
		op->driver = driver_of(json_object_get(run->json, "inputs"), module);
		op->floor = store_text(o, "floor");
		op->spread = store_true(o, "spread");
		op->instructions = lround(store_number(o, "instructions"));
		op->own = lround(store_number(o, "above_floor"));
		op->share = store_number(o, "share_at_mode");
		op->mean = store_number(o, "mean");
		read_split(op, json_object_get(o, "split"));
		op->functions = json_object_get(o, "functions");
		op->kernel_functions = json_object_get(o, "kernel_functions");
	}
}

static void read_compared_op(struct report *r, struct store_run *run, const json_t *side,
			     const json_t *o, const json_t *figures)
{
	struct report_where at = where_of(side);
	bool in_module = store_true(o, "module");
	struct report_op *op;

	if (!json_is_object(figures) ||
	    (store_text(o, "name") && !strcmp(store_text(o, "name"), "empty")))
		return;
	op = add_op(r, run, &at, in_module ? store_text(side, "name") : NULL,
		    store_text(o, "name"));
	if (!op)
		return;
	op->arch = store_text(side, "arch");
	op->driver = in_module ? store_text(side, "room") : NULL;
	op->floor = store_text(o, "floor");
	op->spread = store_true(o, "spread");
	op->instructions = lround(store_number(figures, "instructions"));
	op->own = lround(store_number(figures, "own"));
	op->share = store_number(figures, "share_at_mode");
	op->mean = store_number(figures, "mean");
	read_split(op, json_object_get(figures, "split"));
}

/* --- modules as files --- */

static void add_object(struct report *r, struct store_run *run, const struct report_where *at,
		       const char *driver, const json_t *json, bool full)
{
	const char *name = store_text(json, "name");

	if (!name || !at->kernel || !first_of(r, full ? "object" : "module", at, driver, name))
		return;
	GROW(r->objects, r->n_objects);
	run->used = true;
	r->objects[r->n_objects++] = (struct report_object){
		.at = *at,
		.driver = driver,
		.name = name,
		.language = store_text(json, "language") ?: "C",
		.json = json,
		.full = full,
		.run = run,
	};
}

static void read_inputs(struct report *r, struct store_run *run)
{
	size_t i, k;
	json_t *in, *m;

	json_array_foreach(json_object_get(run->json, "inputs"), i, in) {
		struct report_where at = where_of(in);

		json_array_foreach(json_object_get(in, "modules"), k, m) {
			const json_t *full = json_object_get(m, "object");

			add_object(r, run, &at, store_text(in, "driver"), full ?: m, full);
		}
	}
}

/* Of a module that some record knows well, what others say less of it is not shown. */
static void drop_poor_objects(struct report *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_objects; i++) {
		const struct report_object *o = &r->objects[i];

		if (o->full || first_of(r, "object", &o->at, o->driver, o->name))
			r->objects[n++] = *o;
	}
	r->n_objects = n;
}

/* --- tests --- */

static const json_t *child_named(const json_t *t, const char *name)
{
	size_t i;
	json_t *o;

	json_array_foreach(json_object_get(t, "children"), i, o) {
		if (name && store_text(o, "name") && !strcmp(store_text(o, "name"), name))
			return o;
	}
	return NULL;
}

static void count(const json_t *t, struct report_cell *c)
{
	const json_t *children = json_object_get(t, "children");
	const char *result = store_text(t, "result") ?: "";
	json_t *o;
	size_t i;

	json_array_foreach(children, i, o) {
		count(o, c);
	}
	if (json_array_size(children))
		return;
	c->passed += !strcmp(result, "pass");
	c->skipped += !strcmp(result, "skip");
	c->failed += strcmp(result, "pass") && strcmp(result, "skip");
}

static size_t kernel_index(struct report *r, struct store_run *run, const char *name,
			   const char *release, const char *why)
{
	size_t i;

	for (i = 0; i < r->n_kernels; i++)
		if (!strcmp(r->kernels[i].name, name) &&
		    (!release || !r->kernels[i].release || !strcmp(r->kernels[i].release, release)))
			break;
	if (i == r->n_kernels) {
		GROW(r->kernels, r->n_kernels);
		r->kernels[r->n_kernels++] =
			(struct report_kernel){ .name = name, .why = why, .run = run };
		run->used = true;
	}
	if (release && !r->kernels[i].release) {
		/* a newer record could not have it; an older one did */
		r->kernels[i].release = release;
		r->kernels[i].why = why;
	}
	return i;
}

static struct report_cell *add_cell(struct report *r, struct store_run *run, const char *driver,
				    const char *module, size_t kernel)
{
	const struct report_where at = { r->kernels[kernel].name, r->kernels[kernel].release, "" };

	if (!driver || !first_of(r, "cell", &at, module, driver))
		return NULL;
	GROW(r->cells, r->n_cells);
	run->used = true;
	r->cells[r->n_cells] = (struct report_cell){
		.driver = driver, .module = module, .kernel = kernel, .run = run
	};
	return &r->cells[r->n_cells++];
}

static bool read_result(const char *name, enum report_result *result)
{
	static const struct {
		const char *name;
		enum report_result result;
	} results[] = {
		{ "pass", REPORT_PASS },   { "PASS", REPORT_PASS },    { "skip", REPORT_SKIP },
		{ "SKIP", REPORT_SKIP },   { "fail", REPORT_FAIL },    { "FAIL", REPORT_FAIL },
		{ "build", REPORT_BUILD }, { "timeout", REPORT_HANG }, { "crashed", REPORT_CRASH },
	};

	for (size_t i = 0; name && i < ARRAY_SIZE(results); i++) {
		if (strcmp(results[i].name, name))
			continue;
		*result = results[i].result;
		return true;
	}
	return false;
}

static void read_row(struct report *r, struct store_run *run, const json_t *row, size_t k,
		     size_t kernel)
{
	const json_t *cell = json_array_get(json_object_get(row, "cells"), k), *tree;
	const char *driver = store_text(row, "driver"), *module = store_text(row, "module");
	enum report_result result;
	struct report_cell *c;

	if (!read_result(store_text(cell, "result"), &result))
		return; /* the module is not there on that kernel */
	c = add_cell(r, run, driver, module, kernel);
	if (!c)
		return;
	c->result = result;
	c->reason = store_text(cell, "reason");
	tree = json_array_get(json_object_get(json_object_get(run->json, "tests"), "children"), k);
	c->tree = child_named(tree, driver);
	if (module)
		c->tree = child_named(c->tree, module);
	if (c->tree)
		count(c->tree, c);
}

static void read_matrix(struct report *r, struct store_run *run)
{
	const json_t *matrix = json_object_get(run->json, "matrix");
	size_t k, i;
	json_t *o, *row;

	json_array_foreach(json_object_get(matrix, "kernels"), k, o) {
		const char *name = store_text(o, "name");
		size_t kernel;

		if (!name)
			continue;
		kernel = kernel_index(r, run, name, store_text(o, "release"),
				      store_text(o, "skipped"));
		json_array_foreach(json_object_get(matrix, "rows"), i, row) {
			read_row(r, run, row, k, kernel);
		}
	}
}

static void read_side_tests(struct report *r, struct store_run *run, const json_t *side)
{
	const json_t *tests = json_object_get(side, "tests"), *all = json_object_get(tests, "all");
	const char *kernel = store_text(side, "kernel");
	enum report_result result;
	struct report_cell *c;

	if (!kernel || !read_result(store_text(tests, "verdict"), &result))
		return;
	c = add_cell(r, run, store_text(side, "room"), store_text(side, "name"),
		     kernel_index(r, run, kernel, store_text(side, "release"), NULL));
	if (!c)
		return;
	c->result = result;
	c->passed = store_number(all, "passed");
	c->failed = store_number(all, "failed");
	c->skipped = store_number(all, "skipped");
}

static int by_driver(const void *a, const void *b)
{
	const struct report_cell *x = a, *y = b;
	int d = strcmp(x->driver, y->driver);

	return d ? d : strcmp(x->module ?: "", y->module ?: "");
}

/* A row for each module, those of a driver together. */
static void make_grid(struct report *r)
{
	if (r->n_cells)
		qsort(r->cells, r->n_cells, sizeof(*r->cells), by_driver);
	for (size_t i = 0; i < r->n_cells; i++) {
		r->n_rows += !i || by_driver(&r->cells[i - 1], &r->cells[i]);
		r->cells[i].row = r->n_rows - 1;
	}
	r->grid = xcalloc(r->n_rows * r->n_kernels, sizeof(*r->grid));
	for (size_t i = 0; i < r->n_cells; i++)
		r->grid[r->cells[i].row * r->n_kernels + r->cells[i].kernel] = &r->cells[i];
}

/* --- tables of rooms --- */

static void read_tables(struct report *r, struct store_run *run, const json_t *bench)
{
	size_t i, k;
	json_t *o, *p;

	json_array_foreach(json_object_get(bench, "tables"), i, o) {
		struct report_where at = where_of(o);
		const char *driver = store_text(o, "driver"), *title = store_text(o, "table");

		if (!driver || !title || !first_of(r, "table", &at, driver, title))
			continue;
		GROW(r->tables, r->n_tables);
		run->used = true;
		r->tables[r->n_tables] = (struct report_table){ driver, at.kernel, at.release,
								title,	.json = o, .run = run };
		json_array_foreach(json_object_get(bench, "published"), k, p) {
			if (store_text(p, "driver") && !strcmp(store_text(p, "driver"), driver))
				r->tables[r->n_tables].published = p;
		}
		r->n_tables++;
	}
}

/* --- C and Rust --- */

bool report_is_twin(const char *module, const char *twin)
{
	struct strv words = {};
	bool is = false;

	if (strlen(twin) <= strlen(module))
		return false;
	strv_split(&words, twin, "_");
	for (size_t leave = 0; leave < words.n && !is; leave++) {
		struct buf b = {};

		buf_puts(&b, "");
		for (size_t i = 0; i < words.n; i++)
			if (i != leave)
				buf_printf(&b, "%s%s", b.n ? "_" : "", words.v[i]);
		is = !strcmp(b.s, module);
		buf_free(&b);
	}
	strv_free(&words);
	return is;
}

static bool same_text(const char *a, const char *b)
{
	return !strcmp(a ?: "", b ?: "");
}

static bool same_place(const struct report_where *a, const struct report_where *b)
{
	return same_text(a->kernel, b->kernel) && same_text(a->release, b->release) &&
	       same_text(a->compiler, b->compiler);
}

static bool is_side(const json_t *side, const struct report_object *o)
{
	struct report_where at = where_of(side);

	return same_place(&at, &o->at) && same_text(store_text(side, "name"), o->name);
}

static const json_t *code_of_run(const json_t *record, const struct report_pair *p)
{
	json_t *in, *twin;
	size_t i, k;

	json_array_foreach(json_object_get(record, "inputs"), i, in) {
		struct report_where at = where_of(in);

		if (!same_place(&at, &p->c->at))
			continue;
		json_array_foreach(json_object_get(in, "twins"), k, twin) {
			if (same_text(store_text(twin, "a"), p->c->name) &&
			    same_text(store_text(twin, "b"), p->rust->name))
				return json_object_get(twin, "asm");
		}
	}
	return NULL;
}

/* The functions of both, by a compare of the two or by a run that had both. */
static void find_code(struct report *r, struct report_pair *p)
{
	for (size_t i = r->store->n; i-- && !p->code;) {
		struct store_run *run = &r->store->runs[i];
		const json_t *o = run->json;

		if (run->kind == STORE_RUN)
			p->code = code_of_run(o, p);
		else if (run->kind == STORE_COMPARE && is_side(json_object_get(o, "a"), p->c) &&
			 is_side(json_object_get(o, "b"), p->rust))
			p->code = json_object_get(o, "asm");
		p->code_run = run;
	}
	if (p->code)
		p->code_run->used = true;
}

static int by_name(const void *a, const void *b)
{
	const struct report_pair *x = a, *y = b;
	int d = strcmp(x->c->at.kernel, y->c->at.kernel);

	d = d ? d : strcmp(x->c->driver ?: "", y->c->driver ?: "");
	d = d ? d : strcmp(x->c->name, y->c->name);
	/* the twin in the kernel's own way first, the one in C's way last */
	d = d ? d : -strcmp(x->rust->name, y->rust->name);
	return d ? d : strcmp(x->c->at.compiler ?: "", y->c->at.compiler ?: "");
}

static void make_pairs(struct report *r)
{
	for (size_t i = 0; i < r->n_objects; i++) {
		const struct report_object *rust = &r->objects[i];

		for (size_t k = 0; k < r->n_objects && !strcmp(rust->language, "Rust"); k++) {
			const struct report_object *c = &r->objects[k];

			if (strcmp(c->language, "C") || !same_place(&c->at, &rust->at) ||
			    !same_text(c->driver, rust->driver) ||
			    !report_is_twin(c->name, rust->name))
				continue;
			GROW(r->pairs, r->n_pairs);
			r->pairs[r->n_pairs] = (struct report_pair){ .c = c, .rust = rust };
			find_code(r, &r->pairs[r->n_pairs++]);
		}
	}
	if (r->n_pairs)
		qsort(r->pairs, r->n_pairs, sizeof(*r->pairs), by_name);
}

const struct report_op *report_find_op(const struct report *r, const struct report_object *o,
				       const char *name)
{
	for (size_t i = 0; i < r->n_ops; i++) {
		const struct report_op *op = &r->ops[i];

		if (op->module && !strcmp(op->module, o->name) && !strcmp(op->name, name) &&
		    same_place(&op->at, &o->at))
			return op;
	}
	return NULL;
}

/* --- all of it --- */

static int by_place(const void *a, const void *b)
{
	const struct report_op *x = a, *y = b;
	int d = strcmp(x->at.kernel, y->at.kernel);

	d = d ? d : strcmp(x->at.release ?: "", y->at.release ?: "");
	d = d ? d : strcmp(x->at.compiler ?: "", y->at.compiler ?: "");
	d = d ? d : strcmp(x->driver ?: "", y->driver ?: "");
	d = d ? d : strcmp(x->module ?: "", y->module ?: "");
	return d ? d : (x->nth > y->nth) - (x->nth < y->nth);
}

static void add_time(struct report *r, struct store_run *run, const struct report_where *at,
		     const json_t *pair, const char *a, const char *b)
{
	const json_t *wall = json_object_get(pair, "wall");

	/* what was not asked for is only said to be unmeasured */
	if (!json_is_object(wall) || !a || !b || !first_of(r, "time", at, a, b))
		return;
	GROW(r->times, r->n_times);
	run->used = true;
	r->times[r->n_times++] = (struct report_time){
		.at = *at,
		.build = store_text(pair, "build"),
		.a = a,
		.b = b,
		.wall = wall,
		.samples = json_object_get(pair, "samples"),
		.run = run,
	};
}

/* The pairs of the published experiment. */
static void read_thesis(struct report *r, struct store_run *run)
{
	struct report_where at = where_of(run->json);
	json_t *pair;
	size_t i;

	json_array_foreach(json_object_get(run->json, "pairs"), i, pair) {
		add_time(r, run, &at, pair, store_text(pair, "a"), store_text(pair, "b"));
	}
}

static void read_compare(struct report *r, struct store_run *run)
{
	static const char *const sides[] = { "a", "b" };
	struct report_where at_a;
	size_t i;
	json_t *o;

	at_a = where_of(json_object_get(run->json, "a"));
	add_time(r, run, &at_a, run->json, store_text(json_object_get(run->json, "a"), "name"),
		 store_text(json_object_get(run->json, "b"), "name"));
	for (size_t s = 0; s < ARRAY_SIZE(sides); s++) {
		const json_t *side = json_object_get(run->json, sides[s]);
		struct report_where at = where_of(side);

		add_object(r, run, &at, store_text(side, "room"), side, true);
		read_side_tests(r, run, side);
		json_array_foreach(json_object_get(run->json, "operations"), i, o) {
			read_compared_op(r, run, side, o, json_object_get(o, sides[s]));
		}
	}
}

/* Each cell is a thing that it knows. */
static void read_safety(struct report *r, size_t run)
{
	const json_t *matrix = json_object_get(r->store->runs[run].json, "safety");
	size_t i, c;
	json_t *row, *cell;

	if (report_read_safety(r, run))
		r->store->runs[run].used = true;
	json_array_foreach(json_object_get(matrix, "rows"), i, row) {
		_cleanup_free_ char *bug =
			xasprintf("%s %s %s %s", store_text(row, "room") ?: "",
				  store_text(row, "number") ?: "", store_text(row, "slug") ?: "",
				  store_text(row, "language") ?: "");

		json_array_foreach(json_object_get(row, "cells"), c, cell) {
			const json_t *column =
				json_array_get(json_object_get(matrix, "columns"), c);
			const struct report_where at = {};

			first_of(r, store_text(cell, "state") ?: "", &at, bug,
				 store_text(column, "name"));
		}
	}
}

void report_init(struct report *r, struct store *s)
{
	*r = (struct report){ .store = s, .seen = json_object() };
	for (size_t i = s->n; i--;) {
		struct store_run *run = &s->runs[i];
		const json_t *bench =
			run->kind == STORE_BENCH ? run->json : json_object_get(run->json, "bench");

		if (!run->json)
			continue;
		if (run->kind == STORE_COMPARE) {
			read_compare(r, run);
			continue;
		}
		if (run->kind == STORE_THESIS) {
			read_thesis(r, run);
			continue;
		}
		if (run->kind == STORE_SAFETY) {
			read_safety(r, i);
			continue;
		}
		read_inputs(r, run);
		read_matrix(r, run);
		read_bench(r, run, bench);
		read_tables(r, run, bench);
	}
	drop_poor_objects(r);
	make_grid(r);
	if (r->n_ops)
		qsort(r->ops, r->n_ops, sizeof(*r->ops), by_place);
	make_pairs(r);
}

void report_free(struct report *r)
{
	free(r->ops);
	free(r->objects);
	free(r->kernels);
	free(r->cells);
	free(r->grid);
	free(r->tables);
	free(r->pairs);
	free(r->times);
	json_decref(r->seen);
	json_decref(r->bugs);
	*r = (struct report){};
}

char *report_covers(json_t *record)
{
	struct hash *h = hash_new();
	struct strv keys = {};
	struct store s = {};
	struct report r;
	char hex[HASH_HEX];
	const char *key;
	json_t *v;

	store_add(&s, "", json_incref(record));
	report_init(&r, &s);
	json_object_foreach(r.seen, key, v) {
		strv_add(&keys, key);
	}
	strv_sort(&keys);
	hash_puts(h, s.runs[0].kind == STORE_COMPARE ? "compare" :
		     s.runs[0].kind == STORE_SAFETY  ? "safety" :
		     s.runs[0].kind == STORE_THESIS  ? "thesis" :
						       "run");
	for (size_t i = 0; i < keys.n; i++)
		hash_puts(h, keys.v[i]);
	hash_end(h, hex);
	strv_free(&keys);
	report_free(&r);
	store_free(&s);
	return xstrdup(hex);
}
