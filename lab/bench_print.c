// SPDX-License-Identifier: GPL-2.0
/* The figures as text and as JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static void print_op(FILE *out, const struct bench_op *op, size_t width)
{
	char own[64];

	if (op->floor && strcmp(op->floor, FLOOR_EMPTY))
		snprintf(own, sizeof(own), "%+ld above %s", op->own, op->floor);
	else
		snprintf(own, sizeof(own), "-");
	fprintf(out, "  %-*s ", (int)width, op->name);
	if (op->spread)
		fprintf(out, "%7s  %-22s", "spread", "");
	else
		fprintf(out, "%7ld  %-22s", op->instructions, own);
	fprintf(out, " %6.2f %% %9.1f", op->at_mode * 100, op->mean);
	if (op->split)
		fprintf(out, " %6.0f %6.0f %6.0f", op->user, op->in_module, op->kernel_rest);
	fputc('\n', out);
}

static void print_ops(FILE *out, const struct bench *b)
{
	const struct kernel *k = NULL;
	const char *module = "";
	size_t width = 10;

	for (size_t i = 0; i < b->n; i++)
		width = strlen(b->ops[i].name) > width ? strlen(b->ops[i].name) : width;
	for (size_t i = 0; i < b->n; i++) {
		const struct bench_op *op = &b->ops[i];

		if (op->kernel != k) {
			fprintf(out, "%sExact clock: instructions per call, Linux %s, %s\n",
				k ? "\n" : "", op->kernel->release, op->built->compiler);
			fprintf(out, "  %-*s %7s  %-22s %8s %9s %6s %6s %6s\n", (int)width,
				"operation", "mode", "own", "at mode", "mean", "user", "module",
				"kernel");
			k = op->kernel;
			module = "";
		}
		if (!strcmp(op->name, FLOOR_EMPTY))
			continue; /* already taken off */
		if (strcmp(module, op->module ?: ""))
			fprintf(out, "%s\n", op->module);
		module = op->module ?: "";
		print_op(out, op, width);
	}
}

void bench_print(FILE *out, const struct bench *b)
{
	print_ops(out, b);
	bench_tables_print(out, b);
	bench_goals_print(out, b);
}

static json_t *counts_json(const struct bench_function *v, size_t n)
{
	json_t *o = json_object();

	for (size_t i = 0; i < n; i++)
		json_object_set_new(o, v[i].name, json_integer(lround(v[i].count)));
	return o;
}

json_t *bench_functions_json(const struct bench_op *op)
{
	return counts_json(op->functions, op->n_functions);
}

void bench_split_json(const struct bench_op *op, json_t *o)
{
	if (!op->split)
		return;
	json_object_set_new(o, "split",
			    json_pack("{s:I, s:I, s:I}", "user", (json_int_t)lround(op->user),
				      "module", (json_int_t)lround(op->in_module), "kernel",
				      (json_int_t)lround(op->kernel_rest)));
	json_object_set_new(o, "functions", bench_functions_json(op));
	if (op->n_kernel_functions)
		json_object_set_new(o, "kernel_functions",
				    counts_json(op->kernel_functions, op->n_kernel_functions));
}

json_t *bench_json(const struct bench *b)
{
	json_t *list = json_array();

	for (size_t i = 0; i < b->n; i++) {
		const struct bench_op *op = &b->ops[i];
		json_t *o =
			json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s, s:s?, s:b, s:I, s:I, s:f, s:f}",
				  "kernel", op->kernel->name, "release", op->kernel->release,
				  "arch", op->kernel->arch->name, "compiler", op->built->compiler,
				  "module", op->module, "operation", op->name, "floor", op->floor,
				  "spread", op->spread, "instructions",
				  (json_int_t)op->instructions, "above_floor", (json_int_t)op->own,
				  "share_at_mode", op->at_mode, "mean", op->mean);

		bench_split_json(op, o);
		json_object_set(o, "samples", op->raw);
		json_array_append_new(list, o);
	}
	list = json_pack("{s:s, s:o, s:o}", "clock", "exact", "operations", list, "goals",
			 bench_goals_json(b));
	bench_tables_json(b, list);
	return list;
}
