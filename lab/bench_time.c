// SPDX-License-Identifier: GPL-2.0
#include "bench_time.h"

#include <stdlib.h>
#include <string.h>

#include "cmd.h"

#define BUDGET_S 30 /* of a module */

/* --- measuring --- */

static enum lab_exit measure(struct bench_times *b, struct test_run *t, const struct args *given,
			     const struct object_facts *o)
{
	struct bench_time *m;
	struct args a = *given;

	b->v = xrealloc(b->v, b->n + 1, sizeof(*b->v));
	m = &b->v[b->n++];
	*m = (struct bench_time){ .o = { *o, *o } };
	a.budget_s = given->budget_s ?: BUDGET_S;
	wall_init(&m->wall, &a);
	return wall_boot(&m->wall, m->o, t);
}

/* A bench_foo.c is for all modules of the room, unless its name says which. */
static bool has_benchmark(const struct built *b, const struct module *m)
{
	struct strv modules = {};
	bool has;

	for (size_t i = 0; i < b->n; i++)
		strv_add(&modules, b->modules[i].name);
	has = b->benches.n == 1 &&
	      driver_program_fits(b->benches.v[0] + strlen("bench_"), m->name, &modules);
	strv_free(&modules);
	return has;
}

enum lab_exit bench_time(struct bench_times *b, struct test_run *t, const struct args *a)
{
	enum lab_exit ret = LAB_OK;

	for (size_t i = 0; i < t->n_kernels * t->n_drivers && !ret; i++) {
		const struct built *built = &t->built[i];

		for (size_t m = 0; m < built->n && !ret; m++) {
			struct object_facts o = { .kernel = &t->k[i / t->n_drivers],
						  .built = built,
						  .module = &built->modules[m] };

			if (has_benchmark(built, o.module))
				ret = measure(b, t, a, &o);
		}
	}
	return ret ? ret : b->n ? LAB_OK : LAB_SKIPPED;
}

void bench_time_free(struct bench_times *b)
{
	for (size_t i = 0; i < b->n; i++)
		wall_free(&b->v[i].wall);
	free(b->v);
	*b = (struct bench_times){};
}

/* --- for people, and as data --- */

void bench_time_print(FILE *out, const struct bench_times *b)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct bench_time *m = &b->v[i];

		fprintf(out, "%s%s on %s %s, against itself: A and B are the same module\n",
			i ? "\n" : "", m->o[0].module->name, m->o[0].kernel->name,
			m->o[0].kernel->release);
		wall_print(out, &m->wall);
	}
}

json_t *bench_time_json(const struct bench_times *b)
{
	json_t *list = json_array();

	for (size_t i = 0; i < b->n; i++) {
		const struct bench_time *m = &b->v[i];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:s, s:o}", "module", m->o[0].module->name,
					"kernel", m->o[0].kernel->name, "release",
					m->o[0].kernel->release, "compiler",
					m->o[0].built->compiler, "wall", wall_json(&m->wall)));
	}
	return list;
}
