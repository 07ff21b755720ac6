// SPDX-License-Identifier: GPL-2.0
/* cdevlab test: the verdict as KTAP. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "results.h"
#include "test.h"

static const char help[] =
	"usage: cdevlab test [OPTION]... [DRIVER|DIR]...\n"
	"Builds drivers, boots them, runs the conformance suite and their own tests; KTAP on standard output.\n\n"
	"      --only MODULE[/JOB[/CASE]]  one module, one of its programs, one case\n"
	"      --junit FILE                the results as JUnit XML as well\n"
	"      --json FILE                 the results as JSON as well\n";

int cmd_test(int argc, char **argv)
{
	struct test_run t = {};
	enum lab_exit ret;
	struct args a;
	int r = args_parse(argc, argv, ARG_OUTPUT | ARG_JUNIT | ARG_JSON | ARG_ONLY, help, &a);

	if (r)
		return r < 0 ? LAB_OK : r;
	t.drivers = a.rest;
	t.kernels = a.kernels;
	a.rest = a.kernels = (struct strv){};
	t.only = a.only;
	t.log_dir = a.out_dir;
	ret = test_prepare(&t);
	if (!ret)
		ret = test_boot(&t);
	if (!ret && !lab_options.dry_run) {
		ktap_print(stdout, t.root);
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
