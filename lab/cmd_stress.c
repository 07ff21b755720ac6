// SPDX-License-Identifier: GPL-2.0
/* cdevlab stress: everything at once, with kills. */
#include <string.h>
#include <time.h>

#include "cmd.h"
#include "results.h"
#include "test.h"

#define FOR_DEFAULT_S 60
#define FIGURES	      "hammered: " /* the line of guest/stress.c */

static const char help[] =
	"usage: cdevlab stress [OPTION]... [DRIVER|DIR]...\n"
	"In a guest with two processors, 32 workers in 8 processes make random calls on the driver's nodes, while\n"
	"processes are killed, the module is unloaded and loaded, and a processor goes and comes back. Then nobody\n"
	"may be left, the module must go, and the kernel log must hold nothing. KTAP on standard output.\n\n"
	"      --for TIME     60s, 10m: how long each module is hammered (default 60s)\n"
	"      --seed N       the same seed gives each worker the same sequence of calls\n"
	"      --only MODULE  one module\n"
	"      --junit FILE   the results as JUnit XML as well\n"
	"      --json FILE    the results as JSON as well\n";

static const char *figures_of(const struct ktap *t)
{
	const char *found = NULL;

	for (size_t i = 0; i < t->notes.n && !found; i++)
		if (str_starts(t->notes.v[i], FIGURES))
			found = t->notes.v[i] + strlen(FIGURES);
	for (size_t i = 0; i < t->n && !found; i++)
		found = figures_of(t->children[i]);
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
static void print_lines(const struct ktap *root)
{
	for (size_t k = 0; k < root->n; k++) {
		const struct ktap *kernel = root->children[k];

		for (size_t d = 0; d < kernel->n; d++) {
			for (size_t m = 0; m < kernel->children[d]->n; m++) {
				const struct ktap *module = kernel->children[d]->children[m];
				const struct ktap *job = ktap_child(module, "stress");
				/* load and unload pass where there is nothing to hammer */
				bool skipped = module->result == KTAP_PASS && job &&
					       job->result == KTAP_SKIP;
				enum ktap_result r = skipped ? KTAP_SKIP : module->result;
				const char *figures = figures_of(module);
				const char *reason = r == KTAP_PASS ? NULL : reason_of(module, r);

				printf("# %s: %s on %s%s%s%s%s\n", ktap_result_name(r),
				       module->name, kernel->name, figures ? ", " : "",
				       figures ?: "", reason ? ": " : "", reason ?: "");
			}
		}
	}
}

int cmd_stress(int argc, char **argv)
{
	struct test_run t = {};
	enum lab_exit ret;
	struct args a;
	int r = args_parse(argc, argv,
			   ARG_OUTPUT | ARG_JUNIT | ARG_JSON | ARG_ONLY | ARG_STRESS | ARG_RUST,
			   help, &a);

	if (r)
		return r < 0 ? LAB_OK : r;
	t.drivers = a.rest;
	t.kernels = a.kernels;
	a.rest = a.kernels = (struct strv){};
	t.only = a.only;
	t.log_dir = a.out_dir;
	t.stress_s = a.stress_s ?: FOR_DEFAULT_S;
	t.seed = a.has_seed ? a.seed : (unsigned long long)time(NULL);
	ret = test_prepare(&t);
	if (!ret)
		ret = test_boot(&t);
	if (!ret && !lab_options.dry_run) {
		ktap_print(stdout, t.root);
		print_lines(t.root);
		if (a.junit)
			ret = results_write_junit(a.junit, t.root);
		if (!ret && a.json)
			ret = results_write_json(a.json, ktap_json(t.root));
		if (!ret)
			ret = test_exit(&t);
	}
	test_run_free(&t);
	args_free(&a);
	return ret;
}
