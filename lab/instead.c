// SPDX-License-Identifier: GPL-2.0
#include "instead.h"

#include <stdio.h>
#include <string.h>

#include "results.h"

static const char *figures_of(const struct ktap *t, const char *start)
{
	const char *found = NULL;

	for (size_t i = 0; i < t->notes.n && !found; i++)
		if (str_starts(t->notes.v[i], start))
			found = t->notes.v[i] + strlen(start);
	for (size_t i = 0; i < t->n && !found; i++)
		found = figures_of(t->children[i], start);
	return found;
}

/* The first reason, the innermost: why all of it was skipped, or what went wrong. */
static const char *reason_of(const struct ktap *t, enum ktap_result r)
{
	const char *found = NULL;

	for (size_t i = 0; i < t->n && !found; i++)
		if (t->children[i]->result == r)
			found = reason_of(t->children[i], r);
	return found ?: t->result == r ? t->reason : NULL;
}

/* A line a module, as comments of the KTAP. */
static void print_lines(const struct test_instead *p, const struct ktap *root)
{
	for (size_t k = 0; k < root->n; k++) {
		const struct ktap *kernel = root->children[k];

		for (size_t d = 0; d < kernel->n; d++) {
			for (size_t m = 0; m < kernel->children[d]->n; m++) {
				const struct ktap *module = kernel->children[d]->children[m];
				const struct ktap *job = ktap_child(module, p->name);
				/* load and unload pass where there is nothing for the program */
				bool skipped = module->result == KTAP_PASS && job &&
					       job->result == KTAP_SKIP;
				enum ktap_result r = skipped ? KTAP_SKIP : module->result;
				const char *figures = figures_of(module, p->figures);
				const char *reason = r == KTAP_PASS ? NULL : reason_of(module, r);

				printf("# %s: %s on %s%s%s%s%s\n", ktap_result_name(r),
				       module->name, kernel->name, figures ? ", " : "",
				       figures ?: "", reason ? ": " : "", reason ?: "");
			}
		}
	}
}

enum lab_exit instead_run(const struct test_instead *p, struct args *a)
{
	struct test_run t = { .instead = p,
			      .drivers = a->rest,
			      .kernels = a->kernels,
			      .only = a->only,
			      .log_dir = a->out_dir };
	enum lab_exit ret;

	a->rest = a->kernels = (struct strv){};
	ret = test_prepare(&t);
	if (!ret)
		ret = test_boot(&t);
	if (!ret && !lab_options.dry_run) {
		ktap_print(stdout, t.root);
		print_lines(p, t.root);
		ret = results_write_asked(a->junit, a->json, t.root);
		if (!ret)
			ret = test_exit(&t);
		if (p->failed && (ret == LAB_FAILED || ret == LAB_CRASHED || ret == LAB_TIMEOUT))
			p->failed(p, &t);
	}
	test_run_free(&t);
	return ret;
}
