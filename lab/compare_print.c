// SPDX-License-Identifier: GPL-2.0
/* A comparison for people. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"

#define COLUMN 48 /* characters of a side of code */

static void print_sides(FILE *out, const struct compare *c)
{
	for (int side = 0; side < 2; side++) {
		const struct object_facts *o = &c->o[side];

		fprintf(out, "%c  %s, %s, of %s; Linux %s (%s)\n   %s\n", 'A' + side,
			o->module->name, object_language(o), o->built->driver->name,
			o->kernel->release, o->kernel->name, o->built->compiler);
	}
}

/* --- operations --- */

static void print_split(FILE *out, const struct bench_op *op)
{
	if (op && op->split)
		fprintf(out, "  %6.0f %6.0f %6.0f", op->user, op->in_module, op->kernel_rest);
	else
		fprintf(out, "  %6s %6s %6s", "-", "-", "-");
}

static void print_figure(FILE *out, const struct bench_op *op)
{
	if (!op)
		fprintf(out, " %8s", "-");
	else if (op->spread)
		fprintf(out, " %8.1f", op->mean);
	else
		fprintf(out, " %8ld", op->instructions);
}

static void print_op(FILE *out, const struct compare_op *op, const char *name, size_t width)
{
	const struct bench_op *a = op->of[0][0], *b = op->of[0][1];
	double difference, percent;

	fprintf(out, "  %-*s", (int)width, name);
	print_figure(out, a);
	print_figure(out, b);
	if (compare_op_difference(op, &difference, &percent))
		fprintf(out, a->spread ? " %+7.1f %+6.1f %%" : " %+7.0f %+6.1f %%", difference,
			percent);
	else
		fprintf(out, " %7s %8s", "-", "-");
	print_split(out, a);
	print_split(out, b);
	fprintf(out, "%s%s\n", (a ?: b)->spread ? "  spread: means" : "",
		op->agree ? "" : "  THE OTHER ORDER DIFFERS");
}

static const char *op_name(const struct compare_op *op)
{
	for (int k = 0; k < 4; k++)
		if (op->of[k / 2][k % 2])
			return op->of[k / 2][k % 2]->name;
	return "";
}

static void print_ops(FILE *out, const struct compare *c)
{
	size_t n, width = 10;
	struct compare_op *ops = compare_ops(c, &n);

	if (c->wall) {
		free(ops);
		wall_print(out, c->wall);
		return;
	}
	if (!c->exact || !n) {
		fputs("\nInstructions per call: none of them has a benchmark\n", out);
		free(ops);
		return;
	}
	for (size_t i = 0; i < n; i++)
		width = strlen(op_name(&ops[i])) > width ? strlen(op_name(&ops[i])) : width;
	fprintf(out,
		"\nInstructions per call, exact clock; %s, and in a second boot the other way round: %s\n",
		c->same_guest ? "both in one guest, A first" : "each in a guest of its own",
		c->agree ? "the same integers" : "NOT THE SAME");
	fprintf(out, "  %-*s %8s %8s %7s %8s  A: %3s %6s %6s  B: %3s %6s %6s\n", (int)width,
		"operation", "A", "B", "B-A", "", "user", "module", "kernel", "user", "module",
		"kernel");
	for (size_t i = 0; i < n; i++)
		print_op(out, &ops[i], op_name(&ops[i]), width);
	free(ops);
	fputs("wall clock: unmeasured; --clock wall measures it\n", out);
}

/* --- objects --- */

static void print_number(FILE *out, const char *name, long a, long b)
{
	fprintf(out, "  %-26s %8ld %8ld %+8ld", name, a, b, b - a);
	if (a)
		fprintf(out, " %+7.1f %%", 100.0 * (b - a) / a);
	fputc('\n', out);
}

static void print_sizes(FILE *out, const struct object_facts *a, const struct object_facts *b)
{
	fprintf(out, "\nObject, bytes                     A        B      B-A\n");
	print_number(out, "text", a->sizes.text, b->sizes.text);
	print_number(out, "rodata", a->sizes.rodata, b->sizes.rodata);
	print_number(out, "data", a->sizes.data, b->sizes.data);
	print_number(out, "bss", a->sizes.bss, b->sizes.bss);
	print_number(out, "module file", a->file, b->file);
	print_number(out, "functions (number)", a->functions, b->functions);
}

static void print_stack_of(FILE *out, char side, const struct object_facts *o)
{
	struct object_stack s;

	if (o->code_error) {
		fprintf(out, "  %c: unknown: there is no disassembler for %s\n", side,
			o->kernel->arch->name);
		return;
	}
	object_stack(&o->code, &s);
	if (s.deepest)
		fprintf(out, "  %c: deepest function %ld: %s\n", side, s.deepest->stack,
			s.deepest->shown);
	if (s.chain.n > 1) {
		fprintf(out, "     deepest chain of calls within the module %ld: ", s.bytes);
		for (size_t i = 0; i < s.chain.n; i++)
			fprintf(out, "%s%s", i ? " > " : "", s.chain.v[i]);
		fputc('\n', out);
	}
	for (size_t i = 0; i < o->code.n; i++)
		if (!o->code.functions[i].cold && o->code.functions[i].stack < 0)
			fprintf(out, "     unknown of %s: %s\n", o->code.functions[i].shown,
				o->code.functions[i].stack_why);
	strv_free(&s.chain);
}

static void print_stack(FILE *out, const struct object_facts *o)
{
	fputs("\nStack, bytes that a function takes (without return addresses of calls into it)\n",
	      out);
	print_stack_of(out, 'A', &o[0]);
	print_stack_of(out, 'B', &o[1]);
}

static void print_of(FILE *out, const struct object_facts *o, size_t i)
{
	char text[32] = "-";

	if (i < o->n_hardening)
		snprintf(text, sizeof(text), "%zu of %zu", o->hardening[i].functions, o->functions);
	fprintf(out, " %10s", text);
}

/* On two architectures the lists are not the same: what is there is told of each. */
static size_t same_protection(const struct object_facts *o, const char *name)
{
	size_t i = 0;

	while (i < o->n_hardening && strcmp(o->hardening[i].name, name))
		i++;
	return i;
}

/* A protection by its places in both lists; one of them may be behind the end. */
static void print_protection(FILE *out, const struct object_facts *a, size_t i,
			     const struct object_facts *b, size_t k)
{
	const struct hardening *x = i < a->n_hardening ? &a->hardening[i] : NULL;
	const struct hardening *y = k < b->n_hardening ? &b->hardening[k] : NULL;
	const struct hardening *any = x ?: y;
	bool in_a = x && x->functions, in_b = y && y->functions;

	if (!in_a && !in_b && (!x || x->set == 'n') && (!y || y->set == 'n'))
		return;
	fprintf(out, "  %-28s", any->name);
	print_of(out, a, i);
	print_of(out, b, k);
	fprintf(out, "  %s=%c", any->config, any->set);
	if (x && y && (strcmp(x->config, y->config) || x->set != y->set))
		fprintf(out, ", %s=%c", y->config, y->set);
	fputs(in_a != in_b ? "  (they differ)\n" : "\n", out);
}

static void print_hardening(FILE *out, const struct object_facts *a, const struct object_facts *b)
{
	fprintf(out, "\nHardening, functions that have it    A          B  kernel configuration\n");
	for (size_t i = 0; i < a->n_hardening; i++)
		print_protection(out, a, i, b, same_protection(b, a->hardening[i].name));
	for (size_t k = 0; k < b->n_hardening; k++)
		if (same_protection(a, b->hardening[k].name) == a->n_hardening)
			print_protection(out, a, a->n_hardening, b, k);
}

static void print_source(FILE *out, const struct object_facts *o)
{
	fputs("\nSource\n", out);
	for (int side = 0; side < 2; side++) {
		const struct source *s = &o[side].source;

		if (o[side].built->driver->stock) {
			fprintf(out, "  %c: not here: the module comes with the kernel\n",
				'A' + side);
			continue;
		}
		fprintf(out, "  %c: %zu lines of code", 'A' + side, s->lines.code);
		if (s->rust)
			fprintf(out,
				", %zu of them unsafe (in %zu places, %zu SAFETY comments), %zu of a C stub",
				s->lines.unsafe, s->lines.unsafe_blocks, s->lines.safety, s->stub);
		for (size_t i = 0; i < s->files.n; i++)
			fprintf(out, "%s%s", i ? " + " : ": ", s->files.v[i]);
		fputc('\n', out);
	}
}

static void print_counts(FILE *out, struct ktap_counts c)
{
	char text[64];
	size_t bad = c.failed + c.timeout + c.crashed;

	if (bad)
		snprintf(text, sizeof(text), "%zu FAILED of %zu", bad, bad + c.passed);
	else
		snprintf(text, sizeof(text), "%zu ok, %zu skipped", c.passed, c.skipped);
	fprintf(out, " %-22s", text);
}

static void print_tests(FILE *out, const struct compare *c)
{
	if (!c->tests[0] && !c->tests[1]) {
		fputs("\nTests: not run\n", out);
		return;
	}
	fprintf(out, "\nTests  %-22s %-22s verdict\n", "conformance", "own");
	for (int side = 0; side < 2; side++) {
		struct test_counts t;

		fprintf(out, "  %c:  ", 'A' + side);
		if (!c->tests[side]) {
			fputs("not run\n", out);
			continue;
		}
		t = test_counts(c->tests[side]);
		print_counts(out, t.conform);
		print_counts(out, t.own);
		fprintf(out, " %s\n", test_verdict(&t));
	}
}

/* --- machine code --- */

static void print_count(FILE *out, const char *name, const struct disasm_function *a,
			const struct disasm_function *b, long x, long y)
{
	fprintf(out, "  %-14s", name);
	if (!a || x < 0)
		fprintf(out, " %6s", a ? "?" : "-");
	else
		fprintf(out, " %6ld", x);
	if (!b || y < 0)
		fprintf(out, " %6s", b ? "?" : "-");
	else
		fprintf(out, " %6ld", y);
	if (a && b && x >= 0 && y >= 0)
		fprintf(out, " %+6ld", y - x);
	fputc('\n', out);
}

static void print_pair_counts(FILE *out, const struct function_pair *p)
{
	const struct disasm_function none = {}, *a = p->a ?: &none, *b = p->b ?: &none;

	fprintf(out, "  %-14s %6s %6s %6s\n", "", "A", "B", "B-A");
	print_count(out, "instructions", p->a, p->b, a->n, b->n);
	print_count(out, "branches", p->a, p->b, a->branches, b->branches);
	print_count(out, "calls", p->a, p->b, a->calls, b->calls);
	print_count(out, "stack bytes", p->a, p->b, a->stack, b->stack);
	print_count(out, "registers", p->a, p->b, a->registers, b->registers);
	print_count(out, "code bytes", p->a, p->b, a->size, b->size);
	if (a->stack_why)
		fprintf(out, "  stack of A: %s\n", a->stack_why);
	if (b->stack_why)
		fprintf(out, "  stack of B: %s\n", b->stack_why);
}

static size_t reached(const struct object_facts *o, const struct disasm_function *entry,
		      size_t *instructions)
{
	struct disasm_reach r;

	disasm_reach(&o->code, entry, &r);
	strv_free(&r.chain);
	*instructions = r.instructions;
	return r.functions;
}

static void print_reached(FILE *out, char side, const struct object_facts *o,
			  const struct disasm_function *f, const struct disasm_function *entry)
{
	size_t functions, instructions;

	if (!f)
		return;
	functions = reached(o, entry, &instructions);
	if (entry != f)
		fprintf(out, "  %c is entered through %s, %zu instructions\n", side, entry->shown,
			entry->n);
	if (functions > 1)
		fprintf(out,
			"  %c with all of the module that it calls: %zu functions, %zu instructions\n",
			side, functions, instructions);
}

static void print_column(FILE *out, const char *text, bool last)
{
	if (last)
		fprintf(out, "%s\n", text);
	else if (strlen(text) < COLUMN)
		fprintf(out, "%-*s", COLUMN, text);
	else
		fprintf(out, "%.*s~ ", COLUMN - 2, text);
}

/* "  1c > call vgpio_set" */
static char *insn_line(const struct disasm_insn *in)
{
	_cleanup_free_ char *text = insn_text(in);

	return xasprintf("%4lx %c %s%s%s", in->offset, " ^>="[in->kind], text,
			 !in->target   ? "" :
			 *in->operands ? "  ; " :
					 " ",
			 in->target ?: "");
}

/* struct column - a side of the code as it is printed */
struct column {
	const struct module *module;
	const struct disasm_function *f;
	char *where; /* the last source line */
};

/* "-- hello.c:12", where it is not that of the instruction before; a new string */
static char *next_source(struct column *c, long i)
{
	char *where = c->f && i >= 0 ? insn_source(c->module, c->f, &c->f->insns[i]) : NULL;
	char *text;

	if (!where || (c->where && !strcmp(where, c->where))) {
		free(where);
		return xstrdup("");
	}
	text = xasprintf("-- %s", where);
	free(c->where);
	c->where = where;
	return text;
}

static void print_row(FILE *out, struct column *columns, const struct asm_row *row)
{
	const long at[2] = { row->a, row->b };
	char *source[2];
	bool any;

	for (int i = 0; i < 2; i++)
		source[i] = next_source(&columns[i], at[i]);
	any = *source[0] || *source[1];
	for (int line = !any; line < 2; line++) {
		fputs("  ", out);
		for (int i = 0; i < 2; i++) {
			bool last = i == 1 || !columns[1].f;
			char *text = !columns[i].f || !line || at[i] < 0 ?
					     NULL :
					     insn_line(&columns[i].f->insns[at[i]]);

			if (columns[i].f)
				print_column(out, line ? text ?: "" : source[i], last);
			free(text);
		}
	}
	free(source[0]);
	free(source[1]);
}

static void print_code(FILE *out, const struct object_facts *a, const struct object_facts *b,
		       const struct function_pair *p)
{
	struct column columns[2] = { { a->module, p->a, NULL },
				     { b ? b->module : NULL, p->b, NULL } };
	size_t n;
	struct asm_row *rows = align_code(p->a, p->b, &n);

	for (size_t i = 0; i < n; i++)
		print_row(out, columns, &rows[i]);
	free(columns[0].where);
	free(columns[1].where);
	free(rows);
}

static void print_pair(FILE *out, const struct object_facts *a, const struct object_facts *b,
		       const struct function_pair *p)
{
	fprintf(out, "\n%s\n", p->role);
	if (p->a)
		fprintf(out, "  A  %s\n", p->a->shown);
	if (p->b)
		fprintf(out, "  B  %s\n", p->b->shown);
	print_pair_counts(out, p);
	print_reached(out, 'A', a, p->a, p->a_entry);
	if (b)
		print_reached(out, 'B', b, p->b, p->b_entry);
	print_code(out, a, b, p);
}

static void print_unmatched(FILE *out, char side, const struct object_facts *o,
			    const struct function_pair *pairs, size_t n)
{
	for (size_t i = 0; i < o->code.n; i++) {
		const struct disasm_function *f = &o->code.functions[i];

		if (!f->cold && !is_paired(pairs, n, f))
			fprintf(out, "  %c %6zu %8u %6u  %s\n", side, f->n, f->branches, f->calls,
				f->shown);
	}
}

static bool has_unmatched(const struct object_facts *o, const struct function_pair *pairs, size_t n)
{
	for (size_t i = 0; i < o->code.n; i++)
		if (!o->code.functions[i].cold && !is_paired(pairs, n, &o->code.functions[i]))
			return true;
	return false;
}

size_t compare_print_asm(FILE *out, const struct object_facts *a, const struct object_facts *b,
			 const char *function)
{
	size_t n, shown = 0;
	struct function_pair *pairs = match_functions(&a->code, b ? &b->code : NULL, &n);

	for (size_t i = 0; i < n; i++) {
		if (!pair_is_meant(&pairs[i], function))
			continue;
		print_pair(out, a, b, &pairs[i]);
		shown++;
	}
	if (b && !function && (has_unmatched(a, pairs, n) || has_unmatched(b, pairs, n))) {
		fputs("\nFunctions without a match\n     insns branches  calls\n", out);
		print_unmatched(out, 'A', a, pairs, n);
		print_unmatched(out, 'B', b, pairs, n);
	}
	free(pairs);
	if (shown)
		fputs("\n^ branch, > call, = return; ~ cut off. Instructions stand side by side where they are alike.\n",
		      out);
	return shown;
}

static void print_stack_bytes(FILE *out, const struct disasm_function *f)
{
	if (f->stack < 0)
		fprintf(out, " %6s", "?");
	else
		fprintf(out, " %6ld", f->stack);
}

/* The counts alone; `compare --asm` has the code. */
static void print_matches(FILE *out, const struct object_facts *a, const struct object_facts *b)
{
	struct function_pair *pairs;
	size_t n;

	if (a->code_error || b->code_error)
		return;
	pairs = match_functions(&a->code, &b->code, &n);
	fputs("\nMatching functions   instructions   and of callees  branches         calls         stack\n"
	      "                         A      B      A      B      A      B      A      B      A      B\n",
	      out);
	for (size_t i = 0; i < n; i++) {
		const struct disasm_function *x = pairs[i].a, *y = pairs[i].b;
		size_t all_x, all_y;

		if (!x || !y) {
			fprintf(out, "  %-16.16s only %c has one: %s\n", pairs[i].role,
				x ? 'A' : 'B', (x ?: y)->shown);
			continue;
		}
		reached(a, pairs[i].a_entry, &all_x);
		reached(b, pairs[i].b_entry, &all_y);
		fprintf(out, "  %-16.16s %6zu %6zu %6zu %6zu %6u %6u %6u %6u", pairs[i].role, x->n,
			y->n, all_x, all_y, x->branches, y->branches, x->calls, y->calls);
		print_stack_bytes(out, x);
		print_stack_bytes(out, y);
		fputc('\n', out);
	}
	free(pairs);
}

void compare_print(FILE *out, const struct compare *c)
{
	print_sides(out, c);
	print_ops(out, c);
	print_sizes(out, &c->o[0], &c->o[1]);
	print_matches(out, &c->o[0], &c->o[1]);
	print_stack(out, c->o);
	print_hardening(out, &c->o[0], &c->o[1]);
	print_source(out, c->o);
	print_tests(out, c);
}
