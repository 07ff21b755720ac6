// SPDX-License-Identifier: GPL-2.0
/* cdevlab bench: exact instructions per operation. */
#include "bench.h"
#include "cmd.h"
#include "results.h"

static const char help[] =
	"usage: cdevlab bench [OPTION]... [DRIVER|DIR]...\n"
	"Measures each operation of a driver's bench_*.c under the exact clock: an integer that repeats on every\n"
	"boot and every machine, but for rows marked spread.\n\n"
	"      --json               figures as JSON on standard output\n"
	"      --no-split           do not find out how user space, module and kernel share them\n"
	"      --save-budget FILE   keep each operation's own instructions\n"
	"      --check-budget FILE  fail when one has risen, by one instruction\n";

int cmd_bench(int argc, char **argv)
{
	struct test_run t = {};
	struct bench b = { .run = &t };
	enum lab_exit ret;
	struct args a;
	int r = args_parse(argc, argv, ARG_JSON_FLAG | ARG_BUDGET, help, &a);

	if (r)
		return r < 0 ? LAB_OK : r;
	t.drivers = a.rest;
	t.kernels = a.kernels;
	a.rest = a.kernels = (struct strv){};
	b.trace = a.trace;
	ret = test_prepare(&t);
	if (!ret) {
		ret = bench_boot(&b);
		if (ret == LAB_SKIPPED)
			lab_fail(ret, "a benchmark is a bench_*.c in the driver's directory",
				 "none of these drivers has a benchmark");
	}
	if (!ret && !lab_options.dry_run) {
		if (a.save_budget)
			ret = bench_budget_save(&b, a.save_budget);
		if (!ret && a.check_budget)
			ret = bench_budget_check(&b, a.check_budget);
		if (!ret && a.json)
			ret = results_write_json("-", bench_json(&b));
		else if (!ret)
			bench_print(stdout, &b);
		/* figures are for people or programs; what went wrong goes where messages go */
		if (!ret && test_exit(&t) != LAB_OK)
			ktap_print(stderr, t.root);
		if (!ret)
			ret = test_exit(&t);
	}
	bench_free(&b);
	test_run_free(&t);
	args_free(&a);
	return ret;
}
