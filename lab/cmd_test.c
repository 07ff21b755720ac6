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
	"      --coverage                  tell which lines of the drivers were reached, and which were not; with -o\n"
	"                                  their sources with marks, and what genhtml(1) reads\n"
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

/* A driver and kernel after the other; with -o their sources as well. */
static enum lab_exit print_coverage(const struct test_run *t)
{
	_cleanup_free_ char *dir = t->log_dir ? xasprintf("%s/coverage", t->log_dir) : NULL;
	enum lab_exit ret = LAB_OK;

	puts("#");
	for (size_t i = 0; i < t->n_kernels * t->n_drivers && !ret; i++) {
		if (!t->covered[i].n)
			continue;
		coverage_print(stdout, &t->covered[i], "# ");
		if (dir)
			ret = coverage_write(&t->covered[i], dir);
	}
	return ret;
}

int cmd_test(int argc, char **argv)
{
	struct test_run t = {};
	enum lab_exit ret;
	struct args a;
	int r = args_parse(argc, argv,
			   ARG_OUTPUT | ARG_JUNIT | ARG_JSON | ARG_ONLY | ARG_RUST | ARG_COVERAGE |
				   ARG_DUMP | ARG_ON,
			   help, &a);

	if (r)
		return r < 0 ? LAB_OK : r;
	t.drivers = a.rest;
	t.kernels = a.kernels;
	a.rest = a.kernels = (struct strv){};
	t.only = a.only;
	t.log_dir = a.out_dir;
	t.coverage = a.coverage;
	ret = test_prepare(&t);
	if (!ret)
		ret = test_boot(&t);
	if (!ret && !lab_options.dry_run) {
		ktap_print(stdout, t.root);
		if (t.root->n > 1)
			print_matrix(t.root);
		if (t.coverage)
			ret = print_coverage(&t);
		if (!ret)
			ret = results_write_asked(a.junit, a.json, t.root);
		if (!ret)
			ret = test_exit(&t);
	}
	test_run_free(&t);
	args_free(&a);
	return ret;
}
