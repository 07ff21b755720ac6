// SPDX-License-Identifier: GPL-2.0
/* cdevlab stress: everything at once, with kills. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cmd.h"
#include "instead.h"

#define FOR_DEFAULT_S	 60
#define FOR_REPEATABLE_S 3   /* of the guest, 10^9 instructions each */
#define MINIMISE_S	 600 /* at most, for all that failed; a run that was begun ends */

static const char help[] =
	"usage: cdevlab stress [OPTION]... [DRIVER|DIR]...\n"
	"In a guest with two processors, 32 workers in 8 processes make random calls on the driver's nodes, while\n"
	"processes are killed, the module is unloaded and loaded, and a processor goes and comes back. Then nobody\n"
	"may be left, the module must go, and the kernel log must hold nothing. KTAP on standard output. What fails is\n"
	"run again with less, for ten minutes at most, and the shortest command that still fails is shown.\n\n"
	"      --for TIME     60s, 10m: how long each module is hammered (default 60s)\n"
	"      --seed N       the same seed gives each worker the same sequence of calls\n"
	"      --only MODULE  one module\n"
	"      --calls LIST   only these kinds of calls: open,read\n"
	"      --processes N, --threads N      fewer than 8 and 4\n"
	"      --no-kill, --no-reload, --no-hotplug\n"
	"      --repeatable   one processor and the exact clock: each run with a seed is as the one before, to the\n"
	"                     instruction; --for is the guest's time, of which a second takes ten or more (default 3s)\n"
	"      --no-minimise  a failure is not run again\n"
	"      --junit FILE   the results as JUnit XML as well\n"
	"      --json FILE    the results as JSON as well\n";

/* struct again - one module that failed, run again */
struct again {
	const struct driver *d;
	const struct kernel *k;
	const char *module;
	double until;
	int runs;
};

static bool has_time(void *ctx)
{
	const struct again *g = ctx;

	return now_s() < g->until && !lab_interrupted();
}

/* What the program says of its own arguments is no failure of the driver. */
static bool is_real(const struct ktap *t)
{
	bool real = t->result >= KTAP_FAIL && !t->n && !str_starts(t->reason ?: "", "exit status");

	for (size_t i = 0; i < t->n && !real; i++)
		real = is_real(t->children[i]);
	return real;
}

static bool fails(void *ctx, const struct stress_plan *plan)
{
	struct test_instead p;
	struct test_run t = { .instead = &p };
	struct again *g = ctx;
	bool failed;

	stress_instead(plan, &p);
	strv_add(&t.drivers, g->d->dir);
	strv_add(&t.kernels, g->k->name);
	t.only = g->module;
	t.log_dir = temp_dir(NULL);
	failed = t.log_dir && !test_prepare(&t) && !test_boot(&t) && is_real(t.root);
	lab_progress("less", "%s:%s: %s", g->module, p.options, failed ? "fails, too" : "passes");
	g->runs++;
	temp_dir_done((char *)t.log_dir);
	test_run_free(&t);
	test_instead_free(&p);
	return failed;
}

static void minimise(struct again *g, const struct stress_plan *first)
{
	_cleanup_free_ char *ours = xasprintf("%s/drivers/%s", lab_data_dir(), g->d->name);
	_cleanup_free_ char *dir = shell_quote(strcmp(ours, g->d->dir) ? g->d->dir : g->d->name);
	struct stress_plan plan = *first;
	struct test_instead p;
	double start = now_s();

	stress_minimise(&plan, fails, has_time, g);
	stress_instead(&plan, &p);
	printf("# minimised: %s in %d runs, %.0f s%s\n"
	       "#   ./cdevlab stress %s%s -k %s --only %s%s --no-minimise\n",
	       g->module, g->runs, now_s() - start, has_time(g) ? "" : ", when time was up", dir,
	       lab_options.rust ? " --rust" : "", g->k->name, g->module, p.options);
	test_instead_free(&p);
}

/* Everything that failed, one after the other. */
static void minimise_all(const struct test_instead *p, const struct test_run *t)
{
	double until = now_s() + MINIMISE_S;

	for (size_t i = 0; i < t->n_kernels * t->n_drivers; i++) {
		const struct kernel *k = &t->k[i / t->n_drivers];
		const struct driver *d = &t->d[i % t->n_drivers];
		_cleanup_free_ char *name = xasprintf("%s %s", k->name, k->release);
		const struct ktap *node = ktap_child(t->root, name);

		node = node ? ktap_child(node, d->name) : NULL;
		for (size_t m = 0; node && m < t->built[i].n && !lab_interrupted(); m++) {
			const char *module = t->built[i].modules[m].name;
			const struct ktap *tested = ktap_child(node, module);
			struct again g = { .d = d, .k = k, .module = module, .until = until };

			if (tested && is_real(tested) && has_time(&g))
				minimise(&g, p->ctx);
		}
	}
}

int cmd_stress(int argc, char **argv)
{
	struct test_instead p;
	enum lab_exit ret;
	struct args a;
	int r = args_parse(argc, argv,
			   ARG_OUTPUT | ARG_JUNIT | ARG_JSON | ARG_ONLY | ARG_STRESS | ARG_RUST |
				   ARG_DUMP | ARG_PLAN,
			   help, &a);

	if (r)
		return r < 0 ? LAB_OK : r;
	a.plan.seconds = a.stress_s ?: a.plan.repeatable ? FOR_REPEATABLE_S : FOR_DEFAULT_S;
	a.plan.seed = a.has_seed ? a.seed : (unsigned long long)time(NULL);
	stress_instead(&a.plan, &p);
	if (!a.plan.as_it_is)
		p.failed = minimise_all;
	p.ctx = &a.plan;
	ret = instead_run(&p, &a);
	test_instead_free(&p);
	args_free(&a);
	return ret;
}
