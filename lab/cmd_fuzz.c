// SPDX-License-Identifier: GPL-2.0
/* cdevlab fuzz: calls that are made up, guided by what they reach. */
#include <time.h>

#include "cmd.h"
#include "fuzz.h"
#include "results.h"

#define FOR_DEFAULT_S 60

static const char help[] =
	"usage: cdevlab fuzz [OPTION]... [DRIVER|DIR]...\n"
	"Makes up programs of up to 16 calls from the UAPI header and driver.ini, runs them, changes those that reach\n"
	"new code of the module (KCOV; where the kernel has none, those that end in a new way), and makes each crash\n"
	"into a small C program. KTAP on standard output. What was learned is kept in the cache, or with -o in DIR,\n"
	"for the next run.\n\n"
	"      --for TIME     60s, 10m: how long each module is fuzzed (default 60s)\n"
	"      --seed N       what the first programs are drawn from\n"
	"      --only MODULE  one module\n"
	"      --junit FILE   the results as JUnit XML as well\n"
	"      --json FILE    the results as JSON as well\n";

/* What was fuzzed until Ctrl-C, or until there was no going on, is told too. */
static enum lab_exit fuzz_and_tell(struct fuzz_run *f, const struct args *a)
{
	enum lab_exit ret = fuzz_run(f), written;

	if (ret == LAB_USAGE || lab_options.dry_run)
		return ret;
	ktap_print(stdout, f->test->root);
	written = results_write_asked(a->junit, a->json, f->test->root);
	return ret ?: written ?: test_exit(f->test);
}

int cmd_fuzz(int argc, char **argv)
{
	struct test_run t = {};
	struct fuzz_run f = { .test = &t };
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
	f.seconds = a.stress_s ?: FOR_DEFAULT_S;
	f.seed = a.has_seed ? a.seed : (unsigned long long)time(NULL);
	f.out_dir = f.corpus_dir = a.out_dir;
	if (f.seconds < FUZZ_LEAST_S)
		ret = lab_fail(LAB_USAGE, "give it --for 60s",
			       "--for %ds: no guest is booted for less than %d s", f.seconds,
			       FUZZ_LEAST_S);
	else
		ret = test_prepare(&t);
	if (!ret)
		ret = fuzz_and_tell(&f, &a);
	fuzz_run_free(&f);
	test_run_free(&t);
	args_free(&a);
	return ret;
}
