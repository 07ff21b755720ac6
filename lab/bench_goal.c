// SPDX-License-Identifier: GPL-2.0
/* Goals: what a room wants its figures by the exact clock to be. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* struct outcome - a goal, on one kernel and for one module */
struct outcome {
	const struct kernel *kernel;
	const struct driver *driver;
	const struct goal *goal;
	const char *module;
	bool measured, met;
	double figure;
	char *text; /* the figures, or why there are none */
	bool skipped;
};

static void judge(const struct bench *b, const struct bench_op *op, struct outcome *o)
{
	const struct goal *g = o->goal;
	const char *above = g->above && !strcmp(g->above, "floor") ? op->floor : g->above;
	double whole;

	if (op->spread) {
		o->text = xstrdup("its figure is a distribution");
		return;
	}
	bench_op_above(b, op, NULL, &whole);
	if (g->of) {
		const struct bench_op *of = bench_find_op(b, op->kernel, op->module, g->of);

		if (!of || of->instructions <= 0) {
			o->text = xasprintf("%s was not measured", g->of);
			return;
		}
		o->figure = whole / of->instructions;
		o->text = xasprintf("%.0f instructions, %.2f of %s (%ld); at most %.4g", whole,
				    o->figure, g->of, of->instructions, g->at_most);
	} else if (!bench_op_above(b, op, g->above, &o->figure)) {
		o->text = xasprintf("%s was not measured", above);
		return;
	} else if (g->above) {
		o->text = xasprintf("%.0f instructions, %.0f above %s; at most %.4g", whole,
				    o->figure, above ?: FLOOR_EMPTY, g->at_most);
	} else {
		o->text = xasprintf("%.0f instructions; at most %.4g", whole, g->at_most);
	}
	o->measured = true;
	o->met = o->figure <= g->at_most;
}

static struct outcome *add(struct outcome **list, size_t *n, const struct outcome *o)
{
	*list = xrealloc(*list, *n + 1, sizeof(**list));
	(*list)[*n] = *o;
	return &(*list)[(*n)++];
}

/* Why no module of the room offers the operation; NULL: not because it was skipped. */
static char *skip_reason(const struct bench *b, const struct outcome *o)
{
	for (size_t i = 0; i < b->run->n_kernels * b->run->n_drivers; i++) {
		const struct built *built = &b->run->built[i];

		if (&b->run->k[i / b->run->n_drivers] != o->kernel || built->driver != o->driver)
			continue;
		for (size_t m = 0; m < built->n; m++) {
			const char *module = built->modules[m].name;
			const struct ktap *t =
				o->goal->module && strcmp(o->goal->module, module) ?
					NULL :
					bench_op_node(b, o->kernel, o->driver, module, o->goal->op);

			if (t && t->result == KTAP_SKIP)
				return xstrdup(t->reason ?: "skipped");
		}
	}
	return NULL;
}

/* Every module of the room that has the operation; where none has, one outcome that says so. */
static void judge_goal(const struct bench *b, const struct outcome *base, struct outcome **list,
		       size_t *n)
{
	const struct goal *g = base->goal;
	size_t had = *n;

	for (size_t i = 0; i < b->n; i++) {
		const struct bench_op *op = &b->ops[i];
		struct outcome *o;

		if (op->kernel != base->kernel || !op->module ||
		    op->built->driver != base->driver || strcmp(op->name, g->op) ||
		    (g->module && strcmp(op->module, g->module)))
			continue;
		o = add(list, n, base);
		o->module = op->module;
		judge(b, op, o);
	}
	if (*n == had) {
		struct outcome *o = add(list, n, base);

		o->module = g->module;
		o->text = skip_reason(b, base);
		o->skipped = o->text;
		o->text = o->text ?: xstrdup("there is no such figure");
	}
}

static struct outcome *outcomes(const struct bench *b, size_t *n)
{
	const struct test_run *t = b->run;
	struct outcome *list = NULL;

	*n = 0;
	for (size_t i = 0; b->exact_ran && i < t->n_kernels * t->n_drivers; i++) {
		const struct kernel *k = &t->k[i / t->n_drivers];
		const struct driver *d = &t->d[i % t->n_drivers];

		for (size_t g = 0; g < d->n_goals; g++) {
			const struct goal *goal = &d->goals[g];
			struct outcome base = { .kernel = k, .driver = d, .goal = goal };

			if (!goal->arch || !strcmp(goal->arch, k->arch->name))
				judge_goal(b, &base, &list, n);
		}
	}
	return list;
}

static void outcomes_free(struct outcome *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i].text);
	free(list);
}

static const char *verdict(const struct outcome *o)
{
	return !o->measured ? "unmeasured" : o->met ? "met" : "missed";
}

void bench_goals_print(FILE *out, const struct bench *b)
{
	const struct kernel *k = NULL;
	struct outcome *list;
	size_t n;

	list = outcomes(b, &n);
	for (size_t i = 0; i < n; i++) {
		const struct outcome *o = &list[i];

		if (o->kernel != k)
			fprintf(out, "\nGoals, exact clock, Linux %s\n", o->kernel->release);
		k = o->kernel;
		fprintf(out, "  %-10s  %s: %s: %s\n", verdict(o), o->module ?: o->driver->name,
			o->goal->op, o->text);
	}
	outcomes_free(list, n);
}

json_t *bench_goals_json(const struct bench *b)
{
	json_t *all = json_array();
	struct outcome *list;
	size_t n;

	list = outcomes(b, &n);
	for (size_t i = 0; i < n; i++) {
		const struct outcome *o = &list[i];
		json_t *j = json_pack("{s:s, s:s, s:s?, s:s, s:s, s:s?, s:s?, s:f, s:s}", "driver",
				      o->driver->name, "kernel", o->kernel->name, "module",
				      o->module, "operation", o->goal->op, "result", verdict(o),
				      "of", o->goal->of, "above", o->goal->above, "at_most",
				      o->goal->at_most, "text", o->text);

		if (o->measured)
			json_object_set_new(j, "figure", json_real(o->figure));
		json_array_append_new(all, j);
	}
	outcomes_free(list, n);
	return all;
}

void bench_goals_check(struct bench *b)
{
	struct outcome *list;
	struct ktap *suite;
	size_t n;

	list = outcomes(b, &n);
	suite = n ? ktap_new(b->run->root, "goals") : NULL;
	for (size_t i = 0; i < n; i++) {
		const struct outcome *o = &list[i];
		_cleanup_free_ char *name =
			xasprintf("%s: %s", o->module ?: o->driver->name, o->goal->op);
		struct ktap *t = ktap_new(suite, name);

		if (o->met)
			ktap_set(t, KTAP_PASS, NULL);
		else
			ktap_set(t, o->skipped ? KTAP_SKIP : KTAP_FAIL, "%s, %s", verdict(o),
				 o->text);
	}
	outcomes_free(list, n);
	ktap_settle(b->run->root);
}
