// SPDX-License-Identifier: GPL-2.0
/* cdevlab check: the project's own tests, all of them. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "cmd.h"
#include "kernel.h"
#include "proc.h"
#include "safety_check.h"

static const char help[] =
	"usage: cdevlab check [OPTION]...\n"
	"The project's own tests: host unit tests (plain and with sanitizers), static checks, every driver on the\n"
	"default kernel and on Debian 12's and 13's, the proofs that each claim of the conformance suite can fail,\n"
	"the Rust twins on a kernel of theirs, and the lab's defences.\n\n"
	"      --only GROUP   unit, asan, static, drivers, rust, proofs, stress, fuzz, debug, safety, meter, target or\n"
	"                     defences;\n"
	"                     the proofs then in full: every claim on every broken driver\n"
	"      --rust         the group rust alone, which then fails where its toolchain cannot be had\n";

/* One group asked for is run in full. */
static bool in_full;

/* Programs that print TAP; cmocka does when asked. */
static void run_program(struct ktap *suite, const char *path, int timeout_s)
{
	struct ktap *t = ktap_new(suite, path_base(path));
	char *argv[] = { (char *)path, NULL };
	_cleanup_free_ char *self = xasprintf("CDEVLAB_SELF=%s/build/cdevlab", lab_data_dir());
	char *env[] = { "CMOCKA_MESSAGE_OUTPUT=TAP", self, NULL };
	struct proc p = { .argv = argv, .env = env, .timeout_s = timeout_s, .dir = lab_data_dir() };
	enum lab_exit ret = proc_run(&p);
	struct strv lines = {};

	if (!ktap_parse(t, p.out.s ?: "") || (p.status && !ktap_count(t).failed))
		ktap_set(ktap_new(t, "exit"), ret == LAB_TIMEOUT ? KTAP_TIMEOUT : KTAP_FAIL,
			 "%s %d", ret == LAB_TIMEOUT ? "no end in time; status" : "status",
			 p.status);
	/* cmocka's skips have the test's name where a reason belongs; the reason is what the test printed */
	for (size_t i = 0; i < t->n; i++) {
		struct ktap *c = t->children[i];

		if (c->result != KTAP_SKIP || !c->reason)
			continue;
		free(c->name);
		c->name = xstrdup(c->reason);
		ktap_set(c, KTAP_SKIP, "%s",
			 c->notes.n ? c->notes.v[c->notes.n - 1] : "no reason given");
	}
	if (p.status && p.err.s)
		strv_split(&lines, p.err.s, "\n");
	for (size_t i = 0; i < lines.n && t->n; i++)
		ktap_note(t->children[t->n - 1], "%s", lines.v[i]);
	strv_free(&lines);
	proc_free(&p);
}

/* make TARGET, then all programs of a pattern. */
static enum lab_exit run_programs(struct ktap *suite, const char *target, const char *pattern,
				  int timeout_s)
{
	_cleanup_free_ char *full = xasprintf("%s/%s", lab_data_dir(), pattern);
	_cleanup_free_ char *jobs = xasprintf("-j%ld", sysconf(_SC_NPROCESSORS_ONLN));
	char *argv[] = { "make", "-s", jobs, (char *)target, NULL };
	struct proc p = { .argv = argv, .pass = true, .dir = lab_data_dir() };
	enum lab_exit ret = proc_run(&p);
	glob_t g = {};

	if (!ret && p.status)
		ktap_set(ktap_new(suite, "build"), KTAP_FAIL, "make %s fails", target);
	if (!ret && !p.status && !glob(full, 0, NULL, &g)) {
		for (size_t i = 0; i < g.gl_pathc && !lab_interrupted(); i++) {
			if (str_ends(g.gl_pathv[i], ".d"))
				continue;
			lab_stage(suite->name, "%s", path_base(g.gl_pathv[i]));
			run_program(suite, g.gl_pathv[i], timeout_s);
		}
		globfree(&g);
	}
	return lab_interrupted() ? LAB_INTERRUPTED : ret;
}

static enum lab_exit check_unit(struct ktap *suite)
{
	return run_programs(suite, "unit", "build/unit/test_*", 120);
}

static enum lab_exit check_asan(struct ktap *suite)
{
	return run_programs(suite, "asan", "build/asan/unit/test_*", 240);
}

static enum lab_exit check_defences(struct ktap *suite)
{
	return run_programs(suite, "defences", "build/defences", 1800);
}

#define DEBUG_KERNEL "debug:kasan"

/* The debug kernel that is here; where none is, a skip tells why and *k stays empty. */
static enum lab_exit debug_kernel(struct ktap *suite, struct kernel *k)
{
	_cleanup_free_ char *why = NULL;
	enum lab_exit ret;

	lab_keep_failure(&why);
	ret = kernel_get(DEBUG_KERNEL, false, k);
	lab_keep_failure(NULL);
	if (ret != LAB_CANNOT)
		return ret;
	ktap_set(ktap_new(suite, DEBUG_KERNEL), KTAP_SKIP, "%s", why ?: "it cannot be had");
	kernel_free(k);
	*k = (struct kernel){};
	return LAB_OK;
}

/* What only a debug kernel shows; building one is for cdevlab kernel build. */
static enum lab_exit check_debug(struct ktap *suite)
{
	struct kernel k = {};
	enum lab_exit ret = debug_kernel(suite, &k);
	bool here = k.name;

	kernel_free(&k);
	if (!ret && here)
		ret = check_faults(suite, DEBUG_KERNEL);
	if (!ret && here)
		ret = check_fuzz_debug(ktap_new(suite, "fuzz"), DEBUG_KERNEL);
	return ret;
}

static enum lab_exit run_proofs(struct ktap *suite)
{
	return check_proofs(suite, in_full);
}

static const struct group {
	const char *name;
	enum lab_exit (*run)(struct ktap *suite);
} groups[] = {
	{ "unit", check_unit },		{ "asan", check_asan },	  { "static", check_static },
	{ "drivers", check_drivers },	{ "rust", check_rust },	  { "proofs", run_proofs },
	{ "stress", check_stress },	{ "fuzz", check_fuzz },	  { "debug", check_debug },
	{ "safety", safety_check },	{ "meter", check_meter }, { "target", check_target },
	{ "defences", check_defences },
};

/* Suites with their counts, failures with all they said. */
static void print_tree(const struct ktap *t, int depth)
{
	struct ktap_counts c = ktap_count(t);
	size_t bad = c.failed + c.timeout + c.crashed;

	if (t->n && depth < 4) {
		printf("%*s%-*s %4zu passed", depth * 2, "", 44 - depth * 2, t->name, c.passed);
		if (bad)
			printf(", %zu FAILED", bad);
		if (c.skipped)
			printf(", %zu skipped", c.skipped);
		putchar('\n');
	}
	if (!t->n && t->result != KTAP_PASS && (t->result != KTAP_SKIP || depth < 4)) {
		printf("%*s%s: %s%s%s\n", depth * 2, "", ktap_result_name(t->result), t->name,
		       t->reason ? ": " : "", t->reason ?: "");
		for (size_t i = 0; t->result != KTAP_SKIP && i < t->notes.n; i++)
			printf("%*s%s\n", depth * 2 + 4, "", t->notes.v[i]);
	}
	for (size_t i = 0; i < t->n; i++)
		print_tree(t->children[i], depth + 1);
}

/* Skips by reason: hundreds of claims say the same thing. */
static void print_skips(const struct ktap *t, struct strv *reasons, size_t **counts)
{
	const char *reason = t->reason ?: "no reason given";
	size_t i;

	for (size_t k = 0; k < t->n; k++)
		print_skips(t->children[k], reasons, counts);
	if (t->n || t->result != KTAP_SKIP)
		return;
	for (i = 0; i < reasons->n && strcmp(reasons->v[i], reason); i++)
		;
	if (i == reasons->n) {
		strv_add(reasons, reason);
		*counts = xrealloc(*counts, reasons->n, sizeof(**counts));
		(*counts)[i] = 0;
	}
	(*counts)[i]++;
}

/*
 * Failures again, by their whole names: of an hour's output the last screen is
 * what is read, and a log that is cut loses its middle.
 */
static void print_failures(const struct ktap *t, const char *path)
{
	_cleanup_free_ char *name = *path ? xasprintf("%s/%s", path, t->name) : xstrdup(t->name);

	for (size_t i = 0; i < t->n; i++)
		print_failures(t->children[i], name);
	if (t->n || t->result == KTAP_PASS || t->result == KTAP_SKIP)
		return;
	printf("  %s  %s%s%s\n", ktap_result_name(t->result), name, t->reason ? ": " : "",
	       t->reason ?: "");
	for (size_t i = 0; i < t->notes.n; i++)
		printf("      %s\n", t->notes.v[i]);
}

int cmd_check(int argc, char **argv)
{
	struct ktap *root = ktap_new(NULL, "check");
	enum lab_exit ret = LAB_OK;
	struct strv reasons = {};
	size_t *counts = NULL;
	struct ktap_counts c;
	bool found = false;
	struct args a;
	int r = args_parse(argc, argv, ARG_GROUP | ARG_RUST, help, &a);

	if (r)
		return r < 0 ? LAB_OK : r;
	if (lab_options.rust && a.group && strcmp(a.group, "rust"))
		return lab_fail(LAB_USAGE, "see --help", "--rust is the group rust, not %s",
				a.group);
	if (lab_options.rust)
		a.group = "rust";
	in_full = a.group;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		found |= a.group && !strcmp(a.group, groups[i].name);
	if (a.kernels.n)
		return lab_fail(LAB_USAGE, "cdevlab test takes -k",
				"check chooses its kernels itself");
	if (a.rest.n || (a.group && !found))
		return lab_fail(LAB_USAGE, "see --help", "check has no group \"%s\"",
				a.rest.n ? a.rest.v[0] : a.group);
	{
		_cleanup_free_ char *unit = xasprintf("%s/tests/unit", lab_data_dir());

		if (!file_exists(unit))
			return lab_fail(LAB_CANNOT, "run it from a checkout",
					"the project's tests are not installed");
	}
	for (size_t i = 0; i < ARRAY_SIZE(groups) && !ret; i++) {
		struct ktap *suite;
		double start = now_s();

		if (a.group && strcmp(a.group, groups[i].name))
			continue;
		suite = ktap_new(root, groups[i].name);
		lab_stage(groups[i].name, "...");
		ret = groups[i].run(suite);
		lab_stage_done(NULL);
		ktap_settle(suite);
		print_tree(suite, 0);
		printf("%s took %.0f s\n\n", groups[i].name, now_s() - start);
		fflush(stdout);
		if (ret && ret != LAB_INTERRUPTED) {
			/* a group that could not be run is a failure, and the others still are worth knowing */
			ktap_set(ktap_new(suite, "group"), KTAP_FAIL, "could not be run");
			ret = LAB_OK;
		}
	}
	ktap_settle(root);
	print_skips(root, &reasons, &counts);
	if (reasons.n)
		puts("Skipped, by reason:");
	for (size_t i = 0; i < reasons.n; i++)
		printf("  %4zu  %s\n", counts[i], reasons.v[i]);
	c = ktap_count(root);
	if (c.failed + c.timeout + c.crashed) {
		puts("Failed:");
		for (size_t i = 0; i < root->n; i++)
			print_failures(root->children[i], "");
	}
	printf("%zu passed, %zu failed, %zu skipped\n", c.passed, c.failed + c.timeout + c.crashed,
	       c.skipped);
	if (!ret && c.failed + c.timeout + c.crashed)
		ret = LAB_FAILED;
	free(counts);
	strv_free(&reasons);
	ktap_free(root);
	args_free(&a);
	return ret;
}
