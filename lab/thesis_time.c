// SPDX-License-Identifier: GPL-2.0
/* The published experiment's builds, measured in pairs. */
#include "thesis_time.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "target.h"

#define BUDGET_S 20 /* of a pair: the short form */
#define TASKS	 2
#define PLAN_MIN 5 /* blocks: fewer know nothing of a deviation */

/* --- the plan --- */

static bool read_pair(const json_t *o, struct thesis_pair *p)
{
	const json_t *modules = json_object_get(o, "modules");

	*p = (struct thesis_pair){
		.build = json_string_value(json_object_get(o, "build")),
		.a = json_string_value(json_array_get(modules, 0)),
		.b = json_string_value(json_array_get(modules, 1)),
		.rust = json_is_true(json_object_get(o, "rust")),
	};
	return p->build && p->a && p->b;
}

static enum lab_exit read_plan(struct thesis_time *x)
{
	_cleanup_free_ char *path = xasprintf("%s/docs/experiment.json", lab_data_dir());
	json_t *pairs, *pair;
	size_t i;

	x->plan = json_load_file(path, 0, NULL);
	pairs = json_object_get(x->plan, "pairs");
	x->pairs = xcalloc(json_array_size(pairs) + 1, sizeof(*x->pairs));
	json_array_foreach(pairs, i, pair) {
		if (!read_pair(pair, &x->pairs[x->n++]))
			return lab_fail(LAB_USAGE, "git checkout restores it",
					"%s: a pair has a build and two modules", path);
	}
	return x->n ? LAB_OK :
		      lab_fail(LAB_CANNOT, "git checkout restores it", "%s has no experiment",
			       path);
}

/* --- measuring --- */

/* With the twins where the kernel has Rust, else the C builds alone. */
static enum lab_exit prepare(struct thesis_time *x, const struct args *a)
{
	enum lab_exit ret = LAB_OK;

	for (int rust = 1; rust >= 0; rust--) {
		x->t = (struct test_run){};
		strv_add(&x->t.drivers,
			 json_string_value(json_object_get(x->plan, "driver")) ?: "");
		for (size_t i = 0; i < a->kernels.n; i++)
			strv_add(&x->t.kernels, a->kernels.v[i]);
		lab_options.rust = rust;
		if (rust)
			lab_keep_failure(&x->no_rust);
		ret = test_prepare_one(&x->t);
		lab_keep_failure(NULL);
		if (!rust || ret != LAB_CANNOT)
			break;
		if (!x->no_rust)
			x->no_rust = xstrdup("there is no kernel with Rust here");
		test_run_free(&x->t);
	}
	return ret;
}

static bool find(const struct test_run *t, const char *name, struct object_facts *o)
{
	for (size_t i = 0; i < t->built[0].n; i++) {
		if (strcmp(t->built[0].modules[i].name, name))
			continue;
		*o = (struct object_facts){ .kernel = &t->k[0],
					    .built = &t->built[0],
					    .module = &t->built[0].modules[i] };
		return true;
	}
	return false;
}

static enum lab_exit measure(struct thesis_time *x, struct thesis_pair *p, const struct args *given)
{
	struct object_facts o[2] = {};
	struct args a = *given;
	json_t *op;
	size_t i;

	if (p->rust && x->no_rust) {
		p->unmeasured = xstrdup(x->no_rust);
		return LAB_OK;
	}
	/* a guest is made anew, a machine that went away is not */
	if (target_current() && (x->t.crashed || x->t.timed_out)) {
		p->unmeasured = xstrdup("the machine was lost before");
		return LAB_OK;
	}
	if (!find(&x->t, p->a, &o[0]) || !find(&x->t, p->b, &o[1])) {
		p->unmeasured = xasprintf("%s or %s was not built", p->a, p->b);
		return LAB_OK;
	}
	a.ops = (struct strv){};
	json_array_foreach(json_object_get(x->plan, "workloads"), i, op) {
		strv_add(&a.ops, json_string_value(op) ?: "");
	}
	a.budget_s = given->budget_s ?: BUDGET_S;
	a.tasks = given->tasks ?: TASKS;
	wall_init(&p->wall, &a);
	strv_free(&a.ops);
	return wall_boot(&p->wall, o, &x->t);
}

enum lab_exit thesis_measure(struct thesis_time *x, const struct args *a)
{
	enum lab_exit ret = read_plan(x);

	if (!ret)
		ret = prepare(x, a);
	if (!ret && x->t.n_kernels != 1)
		ret = lab_fail(LAB_USAGE, "name one", "it is done on one kernel, not %zu",
			       x->t.n_kernels);
	for (size_t i = 0; i < x->n && !ret; i++) {
		struct thesis_pair *p = &x->pairs[i];

		lab_progress("thesis", "%zu of %zu: %s and %s", i + 1, x->n, p->a, p->b);
		ret = measure(x, p, a);
	}
	return ret;
}

void thesis_time_free(struct thesis_time *x)
{
	for (size_t i = 0; i < x->n; i++) {
		wall_free(&x->pairs[i].wall);
		free(x->pairs[i].unmeasured);
	}
	free(x->pairs);
	free(x->no_rust);
	json_decref(x->plan);
	test_run_free(&x->t);
}

/* --- how many blocks it would take --- */

/* struct plan - blocks for a margin, from the deviation of the ratios that there are */
struct plan {
	double sd;
	size_t n, z, t, stein;
};

static bool plan_of(const struct blocks *b, struct plan *p)
{
	double *ratio = xcalloc(b->n + 1, sizeof(*ratio));

	for (size_t i = 0; i < b->n; i++)
		ratio[i] = b->v[i][BLOCKS_B] / b->v[i][BLOCKS_A];
	*p = (struct plan){ .sd = stats_sd(ratio, b->n), .n = b->n };
	free(ratio);
	if (b->n < PLAN_MIN || !(p->sd > 0))
		return false;
	p->z = stats_samples_z(p->sd, b->margin, b->confidence);
	p->t = stats_samples_t(p->sd, b->margin, b->confidence);
	p->stein = stats_samples_stein(p->sd, b->n, b->margin, b->confidence);
	return true;
}

/* --- for people, and as data --- */

static const struct thesis_build *published_of(const struct thesis *t, const struct thesis_pair *p)
{
	for (size_t i = 0; i < t->n_builds; i++)
		if (!strcmp(t->builds[i].module[THESIS_C], p->a) &&
		    !strcmp(t->builds[i].module[THESIS_RUST], p->b))
			return &t->builds[i];
	return NULL;
}

static void print_plans(FILE *out, const struct thesis_time *x)
{
	fputs("\nBlocks that a mean of the ratios would take, by its deviation so far\n"
	      "  build                                    workload                        n       s  margin     by z     by t    Stein\n",
	      out);
	for (size_t i = 0; i < x->n; i++) {
		const struct wall *w = &x->pairs[i].wall;

		for (size_t k = 0; k < w->n; k++) {
			struct plan p;

			if (plan_of(&w->ops[k].blocks, &p))
				fprintf(out, "  %-40s %-28s %4zu %7.4f  %4.1f %% %8zu %8zu %8zu\n",
					x->pairs[i].build, w->ops[k].name, p.n, p.sd,
					100 * w->margin, p.z, p.t, p.stein);
		}
	}
}

void thesis_time_print(FILE *out, const struct thesis_time *x, const struct thesis *published)
{
	const char *accel = NULL;

	for (size_t i = 0; i < x->n; i++) {
		const struct thesis_pair *p = &x->pairs[i];
		const struct thesis_build *theirs = published_of(published, p);

		fprintf(out, "\n%s: A is %s, B is %s\n", p->build, p->a, p->b);
		if (theirs)
			fprintf(out,
				"published: %+.2f %% time, %+.2f %% energy; without n or interval\n",
				theirs->percent, theirs->energy_percent);
		if (p->unmeasured)
			fprintf(out, "unmeasured: %s\n", p->unmeasured);
		else
			wall_print(out, &p->wall);
		accel = accel ?: p->wall.accel;
	}
	print_plans(out, x);
	if (accel && !strcmp(accel, "tcg"))
		fputs("\nDone in an emulator, in the short form. It may say which build is slower where the interval is clear of 1.\n"
		      "It may not say: nanoseconds or joules of a machine, how builds scale, what contention costs.\n",
		      out);
}

static json_t *plans_json(const struct wall *w)
{
	json_t *list = json_array();

	for (size_t k = 0; k < w->n; k++) {
		struct plan p;

		if (plan_of(&w->ops[k].blocks, &p))
			json_array_append_new(list, json_pack("{s:s, s:i, s:f, s:I, s:I, s:I}",
							      "operation", w->ops[k].name, "n",
							      (int)p.n, "sd", p.sd, "z",
							      (json_int_t)p.z, "t", (json_int_t)p.t,
							      "stein", (json_int_t)p.stein));
	}
	return list;
}

json_t *thesis_time_json(const struct thesis_time *x)
{
	json_t *list = json_array();

	for (size_t i = 0; i < x->n; i++) {
		const struct thesis_pair *p = &x->pairs[i];

		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:s, s:o, s:o}", "build", p->build, "a", p->a, "b",
				  p->b, "wall",
				  p->unmeasured ? json_pack("{s:s}", "unmeasured", p->unmeasured) :
						  wall_json(&p->wall),
				  "samples", plans_json(&p->wall)));
	}
	return list;
}
