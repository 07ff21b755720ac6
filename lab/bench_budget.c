// SPDX-License-Identifier: GPL-2.0
/* Budgets: each operation's instructions, kept in a file and compared with it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* Only what repeats to the instruction can have a budget. */
static bool has_budget(const struct bench_op *op)
{
	return op->module && !op->spread && op->floor;
}

/* The object at arch/release/compiler/module, made if @make. */
static json_t *budget_of(json_t *root, const struct bench_op *op, bool make)
{
	const char *const path[] = { op->kernel->arch->name, op->kernel->release,
				     op->built->compiler, op->module };
	json_t *o = root;

	for (size_t i = 0; i < ARRAY_SIZE(path) && o; i++) {
		json_t *next = json_object_get(o, path[i]);

		if (!next && make) {
			next = json_object();
			json_object_set_new(o, path[i], next);
		}
		o = next;
	}
	return o;
}

enum lab_exit bench_budget_save(const struct bench *b, const char *path)
{
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);

	if (!root && file_exists(path))
		return lab_fail(LAB_CANNOT, "mend it, or name another file", "%s:%d: %s", path,
				error.line, error.text);
	if (!root)
		root = json_object();
	for (size_t i = 0; i < b->n; i++) {
		const struct bench_op *op = &b->ops[i];
		json_t *entry;

		if (!has_budget(op))
			continue;
		entry = json_pack("{s:I}", "own", (json_int_t)op->own);
		if (op->split)
			json_object_set_new(entry, "functions", bench_functions_json(op));
		json_object_set_new(budget_of(root, op, true), op->name, entry);
	}
	{
		_cleanup_free_ char *text = json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS);
		struct buf out = {};
		int err;

		json_decref(root);
		buf_puts(&out, text);
		buf_puts(&out, "\n");
		err = file_write(path, out.s, out.n);
		buf_free(&out);
		if (err)
			return lab_fail(LAB_CANNOT, NULL, "cannot write %s: %s", path,
					strerror(-err));
	}
	return LAB_OK;
}

static void check_op(struct ktap *t, const struct bench_op *op, json_t *entry)
{
	json_int_t budget = json_integer_value(json_object_get(entry, "own"));
	json_t *functions = json_object_get(entry, "functions");

	if (op->own <= budget) {
		ktap_set(t, KTAP_PASS, NULL);
		if (op->own < budget)
			ktap_note(
				t,
				"%ld instructions, %lld less than its budget: --save-budget keeps that",
				op->own, (long long)(budget - op->own));
		return;
	}
	ktap_set(t, KTAP_FAIL, "%ld instructions above %s, %lld more than its budget of %lld",
		 op->own, op->floor, (long long)(op->own - budget), (long long)budget);
	for (size_t i = 0; i < op->n_functions; i++) {
		json_t *was = json_object_get(functions, op->functions[i].name);
		long now = lround(op->functions[i].count);

		if (now > json_integer_value(was))
			ktap_note(t, "in %s: %ld instructions, budget %lld", op->functions[i].name,
				  now, (long long)json_integer_value(was));
	}
}

/* A new release of a kernel has new figures: the command that keeps them. */
static void skip_op(struct ktap *t, const struct bench_op *op, const char *path)
{
	const struct driver *d = op->built->driver;
	_cleanup_free_ char *ours = xasprintf("%s/drivers/%s", lab_data_dir(), d->name);
	_cleanup_free_ char *file = shell_quote(path);
	_cleanup_free_ char *room = shell_quote(strcmp(ours, d->dir) ? d->dir : d->name);

	ktap_set(t, KTAP_SKIP, "no budget for %s and %s; ./cdevlab bench -k %s --save-budget %s %s",
		 op->kernel->release, op->built->compiler, op->kernel->name, file, room);
}

enum lab_exit bench_budget_check(struct bench *b, const struct driver *only, const char *path)
{
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);
	struct ktap *suite = ktap_new(b->run->root, "budget");

	if (!root)
		return lab_fail(LAB_CANNOT, "write one with --save-budget", "%s:%d: %s", path,
				error.line, error.text);
	for (size_t i = 0; i < b->n; i++) {
		const struct bench_op *op = &b->ops[i];
		_cleanup_free_ char *name = NULL;
		json_t *entry;
		struct ktap *t;

		if (!has_budget(op) || (only && op->built->driver != only))
			continue;
		name = xasprintf("%s: %s", op->module, op->name);
		t = ktap_new(suite, name);
		entry = json_object_get(budget_of(root, op, false), op->name);
		if (entry)
			check_op(t, op, entry);
		else
			skip_op(t, op, path);
	}
	json_decref(root);
	ktap_settle(b->run->root);
	return LAB_OK;
}
