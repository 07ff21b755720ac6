// SPDX-License-Identifier: GPL-2.0
/* cdevlab run: the main job. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "cmd.h"
#include "matrix.h"
#include "results.h"

#define FAILURES_MOST 5

static const char help[] =
	"usage: cdevlab run [OPTION]... [DRIVER|DIR]...\n"
	"The main job: builds drivers (default: all there are), boots them, checks and measures them, and keeps a\n"
	"record of everything that went in and came out.\n";

/* "61 ok, 14 skipped", "2 FAILED of 63" */
static void count_text(char *to, size_t n, const struct ktap *t)
{
	struct ktap_counts c;
	size_t bad;

	if (!t) {
		snprintf(to, n, "-");
		return;
	}
	c = ktap_count(t);
	bad = c.failed + c.timeout + c.crashed;
	if (bad && !t->n)
		snprintf(to, n, "%s", c.crashed ? "CRASHED" : c.timeout ? "TIMEOUT" : "FAILED");
	else if (bad)
		snprintf(to, n, "%zu FAILED of %zu", bad, bad + c.passed);
	else if (!t->n)
		snprintf(to, n, "%s", c.passed ? "ok" : "skipped");
	else if (c.skipped)
		snprintf(to, n, "%zu ok, %zu skipped", c.passed, c.skipped);
	else
		snprintf(to, n, "%zu ok", c.passed);
}

/* A module's own tests are all its jobs but these. */
static bool is_common_job(const char *name)
{
	return str_starts(name, "load") || str_starts(name, "unload") || !strcmp(name, "conform") ||
	       str_starts(name, "bench_");
}

static void print_module(FILE *out, const struct ktap *m, size_t width)
{
	struct ktap_counts all = ktap_count(m), own = {};
	char conform[64], tests[64] = "-";
	bool bad = all.failed || all.timeout || all.crashed;

	for (size_t i = 0; i < m->n; i++) {
		struct ktap_counts c;

		if (is_common_job(m->children[i]->name))
			continue;
		c = ktap_count(m->children[i]);
		own.passed += c.passed;
		own.skipped += c.skipped;
		own.failed += c.failed + c.timeout + c.crashed;
	}
	if (own.failed)
		snprintf(tests, sizeof(tests), "%zu FAILED of %zu", own.failed,
			 own.failed + own.passed);
	else if (own.passed + own.skipped)
		snprintf(tests, sizeof(tests), own.skipped ? "%zu ok, %zu skipped" : "%zu ok",
			 own.passed, own.skipped);
	count_text(conform, sizeof(conform), ktap_child(m, "conform"));
	fprintf(out, "  %-*s  %-20s %-20s %s\n", (int)width, m->name, conform, tests,
		bad	   ? "FAIL" :
		all.passed ? "PASS" :
			     "SKIP");
}

static void print_kernel(FILE *out, const struct ktap *kernel, const char *accel)
{
	const char *blank = strchr(kernel->name, ' ');
	size_t width = 12;

	for (size_t d = 0; d < kernel->n; d++)
		for (size_t m = 0; m < kernel->children[d]->n; m++) {
			size_t n = strlen(kernel->children[d]->children[m]->name);

			width = n > width ? n : width;
		}
	fprintf(out, "Linux %s, %s\n", blank ? blank + 1 : kernel->name,
		accel && !strcmp(accel, "kvm") ? "KVM" : "emulated");
	fprintf(out, "  %-*s  %-20s %-20s %s\n", (int)width, "module", "conformance", "own tests",
		"verdict");
	for (size_t d = 0; d < kernel->n; d++)
		for (size_t m = 0; m < kernel->children[d]->n; m++)
			print_module(out, kernel->children[d]->children[m], width);
}

static void print_summary(FILE *out, const struct test_run *t, const struct bench *b)
{
	struct ktap_counts c = ktap_count(t->root);
	struct matrix *m = matrix_new(t->root);

	if (m->n == 1)
		print_kernel(out, t->root->children[0], t->accel);
	else
		matrix_print(out, m, "");
	matrix_free(m);
	if (b->exact_ran || b->wall_ran) {
		if (b->n)
			fputc('\n', out);
		bench_print(out, b);
	}
	if (c.failed + c.timeout + c.crashed) {
		fputc('\n', out);
		matrix_print_failures(out, t->root, "", true, FAILURES_MOST);
	}
	fprintf(out, "\n%zu passed, %zu failed, %zu skipped", c.passed,
		c.failed + c.timeout + c.crashed, c.skipped);
	if (c.timeout)
		fprintf(out, ", of the failed %zu timed out", c.timeout);
	if (c.crashed)
		fprintf(out, ", %zu crashed the guest", c.crashed);
	fputc('\n', out);
}

static json_t *record(const struct test_run *t, const struct bench *b, char **argv, double seconds)
{
	_cleanup_free_ char *command = shell_join(argv), *now = utc_now();
	struct matrix *m = matrix_new(t->root);
	json_t *inputs = json_array(), *j;

	for (size_t i = 0; i < t->n_kernels * t->n_drivers; i++)
		if (t->built[i].n)
			json_array_append_new(inputs, results_inputs(&t->k[i / t->n_drivers],
								     &t->built[i]));
	j = json_pack("{s:s, s:s, s:f, s:i, s:s?, s:o, s:o, s:o, s:o, s:o}", "command", command,
		      "ended", now, "seconds", seconds, "exit", (int)test_exit(t), "accel",
		      t->accel, "tree", results_tree(), "inputs", inputs, "tests",
		      ktap_json(t->root), "matrix", matrix_json(m), "bench", bench_json(b));
	matrix_free(m);
	return j;
}

static enum lab_exit write_results(struct results *r, const struct test_run *t,
				   const struct bench *b, char **argv, double seconds)
{
	_cleanup_free_ char *junit = xasprintf("%s/junit.xml", r->tmp);
	enum lab_exit ret = results_write_junit(junit, t->root);
	json_t *o;
	FILE *f;

	if (!ret) {
		f = results_open(r, "tests.ktap");
		if (f)
			ktap_print(f, t->root);
		ret = results_close(r, "tests.ktap", f);
	}
	if (!ret) {
		f = results_open(r, "summary.txt");
		if (f)
			print_summary(f, t, b);
		ret = results_close(r, "summary.txt", f);
	}
	if (ret)
		return ret;
	o = record(t, b, argv, seconds);
	ret = results_commit(r, "record.json", o);
	json_decref(o);
	return ret;
}

int cmd_run(int argc, char **argv)
{
	struct test_run t = {};
	struct bench b = { .run = &t, .trace = true };
	double start = now_s();
	struct results r = {};
	enum lab_exit ret;
	struct args a;
	int parsed = args_parse(argc, argv, ARG_OUTPUT | ARG_RUST | ARG_DUMP, help, &a);

	if (parsed)
		return parsed < 0 ? LAB_OK : parsed;
	t.drivers = a.rest;
	t.kernels = a.kernels;
	a.rest = a.kernels = (struct strv){};
	ret = test_prepare(&t);
	if (!ret && !lab_options.dry_run) {
		ret = results_begin(&r, a.out_dir);
		t.log_dir = r.logs;
		t.log_shown = r.logs_shown;
	}
	if (!ret)
		ret = test_boot(&t);
	if (!ret) {
		ret = bench_boot(&b);
		if (!ret || ret == LAB_SKIPPED) /* skipped: none of them has a benchmark */
			ret = bench_wall_boot(&b);
		if (ret == LAB_SKIPPED)
			ret = LAB_OK;
	}
	if (!ret && !lab_options.dry_run) {
		ret = write_results(&r, &t, &b, argv, now_s() - start);
		print_summary(stdout, &t, &b);
		if (!ret) {
			results_tell(stdout, &r, now_s() - start);
			ret = test_exit(&t);
		}
	}
	results_abandon(&r);
	bench_free(&b);
	test_run_free(&t);
	args_free(&a);
	return ret;
}
