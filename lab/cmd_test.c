// SPDX-License-Identifier: GPL-2.0
/* cdevlab test: the verdict as KTAP. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "matrix.h"
#include "results.h"
#include "test.h"

#define FAILURES_MOST 20

static const char help[] =
	"usage: cdevlab test [OPTION]... [DRIVER|DIR]...\n"
	"Builds drivers, boots them, runs the conformance suite and their own tests; KTAP on standard output.\n\n"
	"      --only MODULE[/JOB[/CASE]]  one module, one of its programs, one case\n"
	"      --junit FILE                the results as JUnit XML as well\n"
	"      --json FILE                 the results as JSON as well\n";

/* At the end, where a person looks; as diagnostic lines, so that it is KTAP still. */
static void print_matrix(const struct ktap *root)
{
	struct matrix *m = matrix_new(root);

	puts("#");
	matrix_print(stdout, m, "# ");
	matrix_print_failures(stdout, root, "# ", false, FAILURES_MOST);
	matrix_free(m);
}

int cmd_test(int argc, char **argv)
{
	struct test_run t = {};
	enum lab_exit ret;
	struct args a;
	int r = args_parse(argc, argv, ARG_OUTPUT | ARG_JUNIT | ARG_JSON | ARG_ONLY | ARG_RUST,
			   help, &a);

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
		if (t.root->n > 1)
			print_matrix(t.root);
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
