// SPDX-License-Identifier: GPL-2.0
/* A comparison as data. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"

static json_t *function_json(const struct disasm_function *f)
{
	json_t *o;

	if (!f)
		return json_null();
	o = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "name", f->name,
		      "shown", f->shown, "section", f->section, "bytes", (json_int_t)f->size,
		      "instructions", (json_int_t)f->n, "branches", (json_int_t)f->branches,
		      "calls", (json_int_t)f->calls, "returns", (json_int_t)f->returns, "registers",
		      (json_int_t)f->registers, "stack",
		      f->stack < 0 ? json_null() : json_integer(f->stack));
	if (f->stack_why)
		json_object_set_new(o, "stack_why", json_string(f->stack_why));
	return o;
}

static json_t *strings_json(const struct strv *sv)
{
	json_t *list = json_array();

	for (size_t i = 0; i < sv->n; i++)
		json_array_append_new(list, json_string(sv->v[i]));
	return list;
}

static json_t *stack_json(const struct disasm *d)
{
	json_t *functions = json_array(), *unknown = json_array();
	struct object_stack s;
	json_t *o;

	object_stack(d, &s);
	for (size_t i = 0; i < d->n; i++) {
		const struct disasm_function *f = &d->functions[i];

		if (f->cold)
			continue;
		json_array_append_new(functions, function_json(f));
		if (f->stack < 0)
			json_array_append_new(unknown, json_pack("{s:s, s:s}", "function", f->shown,
								 "why", f->stack_why));
	}
	o = json_pack("{s:o, s:o, s:o}", "functions", functions, "unknown", unknown, "deepest",
		      s.deepest ? json_pack("{s:s, s:I}", "function", s.deepest->shown, "bytes",
					    (json_int_t)s.deepest->stack) :
				  json_null());
	json_object_set_new(o, "chain",
			    s.bytes < 0 ?
				    json_null() :
				    json_pack("{s:o, s:I}", "functions", strings_json(&s.chain),
					      "bytes", (json_int_t)s.bytes));
	strv_free(&s.chain);
	return o;
}

static json_t *hardening_json(const struct object_facts *o)
{
	json_t *list = json_array();

	for (size_t i = 0; i < o->n_hardening; i++) {
		const struct hardening *h = &o->hardening[i];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s%, s:I, s:I}", "name", h->name, "config",
					h->config, "set", &h->set, (size_t)1, "functions",
					(json_int_t)h->functions, "of", (json_int_t)o->functions));
	}
	return list;
}

json_t *compare_facts_json(const struct object_facts *o)
{
	const struct source_lines *l = &o->source.lines;
	json_t *j =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s?, s:s}", "name", o->module->name,
			  "room", o->built->driver->name, "directory", o->built->driver->dir,
			  "language", object_language(o), "kernel", o->kernel->name, "release",
			  o->kernel->release, "arch", o->kernel->arch->name, "compiler",
			  o->built->compiler, "sha256", o->module->sha256);

	json_object_set_new(
		j, "sizes",
		json_pack("{s:I, s:I, s:I, s:I, s:I}", "text", (json_int_t)o->sizes.text, "rodata",
			  (json_int_t)o->sizes.rodata, "data", (json_int_t)o->sizes.data, "bss",
			  (json_int_t)o->sizes.bss, "file", (json_int_t)o->file));
	json_object_set_new(j, "functions", json_integer(o->functions));
	json_object_set_new(j, "stack", o->code_error ? json_null() : stack_json(&o->code));
	json_object_set_new(j, "hardening", hardening_json(o));
	json_object_set_new(
		j, "source",
		json_pack("{s:o, s:I, s:I, s:I, s:I, s:I}", "files", strings_json(&o->source.files),
			  "lines", (json_int_t)l->code, "unsafe_lines", (json_int_t)l->unsafe,
			  "unsafe_blocks", (json_int_t)l->unsafe_blocks, "safety_comments",
			  (json_int_t)l->safety, "c_stub_lines", (json_int_t)o->source.stub));
	return j;
}

/* --- machine code --- */

static json_t *line_json(const struct object_facts *o, const struct disasm_function *f, long i)
{
	static const char *const kinds[] = { NULL, "branch", "call", "return" };
	_cleanup_free_ char *text = NULL, *source = NULL;
	const struct disasm_insn *in;
	json_t *j;

	if (i < 0 || !o)
		return json_null();
	in = &f->insns[i];
	text = insn_text(in);
	source = insn_source(o->module, f, in);
	j = json_pack("{s:I, s:s}", "offset", (json_int_t)in->offset, "text", text);
	if (in->target)
		json_object_set_new(j, "target", json_string(in->target));
	if (kinds[in->kind])
		json_object_set_new(j, "kind", json_string(kinds[in->kind]));
	if (source)
		json_object_set_new(j, "source", json_string(source));
	return j;
}

static json_t *lines_json(const struct object_facts *a, const struct object_facts *b,
			  const struct function_pair *p)
{
	json_t *list = json_array();
	size_t n;
	struct asm_row *rows = align_code(p->a, p->b, &n);

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
				      json_pack("{s:o, s:o}", "a", line_json(a, p->a, rows[i].a),
						"b", line_json(b, p->b, rows[i].b)));
	free(rows);
	return list;
}

static json_t *reached_json(const struct object_facts *o, const struct disasm_function *f)
{
	struct disasm_reach r;
	json_t *j;

	if (!f)
		return json_null();
	disasm_reach(&o->code, f, &r);
	j = json_pack("{s:I, s:I, s:o}", "functions", (json_int_t)r.functions, "instructions",
		      (json_int_t)r.instructions, "stack",
		      r.stack < 0 ? json_null() : json_integer(r.stack));
	strv_free(&r.chain);
	return j;
}

json_t *compare_pairs_json(const struct object_facts *a, const struct object_facts *b,
			   const char *function, bool lines)
{
	json_t *list = json_array();
	struct function_pair *pairs;
	size_t n;

	if (a->code_error || (b && b->code_error))
		return list;
	pairs = match_functions(&a->code, b ? &b->code : NULL, &n);
	for (size_t i = 0; i < n; i++) {
		const struct function_pair *p = &pairs[i];
		json_t *o;

		if (!pair_is_meant(p, function))
			continue;
		o = json_pack("{s:s, s:o, s:o, s:o, s:o}", "role", p->role, "a",
			      function_json(p->a), "b", function_json(p->b), "a_reached",
			      reached_json(a, p->a_entry), "b_reached",
			      b ? reached_json(b, p->b_entry) : json_null());
		if (p->a_entry != p->a)
			json_object_set_new(o, "a_entry", function_json(p->a_entry));
		if (p->b_entry != p->b)
			json_object_set_new(o, "b_entry", function_json(p->b_entry));
		if (lines)
			json_object_set_new(o, "lines", lines_json(a, b, p));
		json_array_append_new(list, o);
	}
	free(pairs);
	return list;
}

json_t *compare_unmatched_json(const struct object_facts *a, const struct object_facts *b)
{
	const struct object_facts *o[2] = { a, b };
	json_t *sides[2] = { json_array(), json_array() };
	struct function_pair *pairs;
	size_t n;

	if (!a->code_error && !b->code_error) {
		pairs = match_functions(&a->code, &b->code, &n);
		for (int side = 0; side < 2; side++)
			for (size_t i = 0; i < o[side]->code.n; i++) {
				const struct disasm_function *f = &o[side]->code.functions[i];

				if (!f->cold && !is_paired(pairs, n, f))
					json_array_append_new(sides[side], function_json(f));
			}
		free(pairs);
	}
	return json_pack("{s:o, s:o}", "a", sides[0], "b", sides[1]);
}

/* --- operations --- */

static json_t *figure_json(const struct bench_op *op)
{
	json_t *o;

	if (!op)
		return json_null();
	o = json_pack("{s:I, s:I, s:f, s:f}", "instructions", (json_int_t)op->instructions, "own",
		      (json_int_t)op->own, "mean", op->mean, "share_at_mode", op->at_mode);
	bench_split_json(op, o);
	return o;
}

static json_t *order_json(const struct compare_op *op, int order)
{
	json_t *list = json_array();

	for (int side = 0; side < 2; side++) {
		const struct bench_op *x = op->of[order][side];

		json_array_append_new(list, !x	      ? json_null() :
					    x->spread ? json_real(x->mean) :
							json_integer(x->instructions));
	}
	return list;
}

static json_t *ops_json(const struct compare *c)
{
	json_t *list = json_array();
	size_t n;
	struct compare_op *ops = compare_ops(c, &n);

	for (size_t i = 0; i < n; i++) {
		const struct compare_op *op = &ops[i];
		const struct bench_op *any = NULL;
		double difference, percent;
		json_t *o;

		for (int k = 0; k < 4 && !any; k++)
			any = op->of[k / 2][k % 2];
		o = json_pack("{s:s, s:b, s:s?, s:b, s:o, s:o, s:o, s:b}", "name", any->name,
			      "module", op->module, "floor", any->floor, "spread", any->spread, "a",
			      figure_json(op->of[0][0]), "b", figure_json(op->of[0][1]), "orders",
			      json_pack("[o, o]", order_json(op, 0), order_json(op, 1)), "agree",
			      op->agree);
		if (compare_op_difference(op, &difference, &percent)) {
			json_object_set_new(o, "difference",
					    any->spread ? json_real(difference) :
							  json_integer(lround(difference)));
			json_object_set_new(o, "percent", json_real(percent));
		} else {
			json_object_set_new(o, "difference", json_null());
			json_object_set_new(o, "percent", json_null());
		}
		json_array_append_new(list, o);
	}
	free(ops);
	return list;
}

/* --- tests --- */

static json_t *counts_json(struct ktap_counts c)
{
	return json_pack("{s:I, s:I, s:I}", "passed", (json_int_t)c.passed, "failed",
			 (json_int_t)(c.failed + c.timeout + c.crashed), "skipped",
			 (json_int_t)c.skipped);
}

static json_t *verdict_json(const struct ktap *module)
{
	struct test_counts t;

	if (!module)
		return json_null();
	t = test_counts(module);
	return json_pack("{s:o, s:o, s:o, s:s}", "conformance", counts_json(t.conform), "own",
			 counts_json(t.own), "all", counts_json(t.all), "verdict",
			 test_verdict(&t));
}

json_t *compare_json(const struct compare *c)
{
	static const char *const sides[] = { "a", "b" };
	json_t *j = json_object();

	for (int side = 0; side < 2; side++) {
		json_t *o = compare_facts_json(&c->o[side]);

		json_object_set_new(o, "tests", verdict_json(c->tests[side]));
		json_object_set_new(j, sides[side], o);
	}
	json_object_set_new(j, "exact", json_boolean(c->exact));
	json_object_set_new(j, "orders",
			    json_pack("[[s, s], [s, s]]", c->o[0].module->name,
				      c->o[1].module->name, c->o[1].module->name,
				      c->o[0].module->name));
	json_object_set_new(j, "orders_agree", json_boolean(c->agree));
	json_object_set_new(j, "same_guest", json_boolean(c->same_guest));
	json_object_set_new(j, "wall", c->wall ? wall_json(c->wall) : json_string("unmeasured"));
	json_object_set_new(j, "operations", ops_json(c));
	json_object_set_new(j, "asm", compare_pairs_json(&c->o[0], &c->o[1], NULL, false));
	json_object_set_new(j, "unmatched", compare_unmatched_json(&c->o[0], &c->o[1]));
	return j;
}

json_t *compare_object_json(const struct kernel *k, const struct built *b, const struct module *m)
{
	struct object_facts o;
	json_t *j;

	object_facts_read(k, b, m, &o);
	j = compare_facts_json(&o);
	object_facts_free(&o);
	return j;
}

/* Only what the code needs. */
static void read_code(const struct module *m, struct object_facts *o)
{
	*o = (struct object_facts){ .module = m };
	o->code_error = m ? disasm_open(m->ko, &o->code) : 0;
}

json_t *compare_asm_json(const struct module *a, const struct module *b, const char *function)
{
	struct object_facts x, y;
	json_t *j;

	read_code(a, &x);
	read_code(b, &y);
	j = compare_pairs_json(&x, b ? &y : NULL, function, true);
	object_facts_free(&x);
	object_facts_free(&y);
	return j;
}
