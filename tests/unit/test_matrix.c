// SPDX-License-Identifier: GPL-2.0
/* The table of modules by kernels, and what -k all stands for: made of data only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../lab/kernel_internal.h"
#include "../../lab/matrix.h"

/* A result at "KERNEL RELEASE|driver|module|job|case"; releases and names may hold slashes. */
static void add(struct ktap *root, const char *path, enum ktap_result r, const char *reason)
{
	struct strv words = {};
	struct ktap *t = root;

	strv_split(&words, path, "|");
	for (size_t i = 0; i < words.n; i++)
		t = ktap_child(t, words.v[i]) ?: ktap_new(t, words.v[i]);
	ktap_set(t, r, reason ? "%s" : NULL, reason);
	strv_free(&words);
}

#define A "debian:bookworm/amd64 6.1.0-56-amd64"
#define B "debian:trixie/arm64 6.12.117+deb13-arm64"
#define C "debian:sid/riscv64"
#define D "dir:/usr/src/linux 7.2.0"

static struct ktap *mixed(void)
{
	struct ktap *root = ktap_new(NULL, "cdevlab");

	add(root, A "|hello|hello|load", KTAP_PASS, NULL);
	add(root, A "|hello|hello|conform|open", KTAP_PASS, NULL);
	add(root, A "|vgpio|vgpio_basic|load", KTAP_PASS, NULL);
	add(root, A "|vgpio|vgpio_basic|test_vgpio|sets a line", KTAP_FAIL, "is 0");
	add(root, A "|vgpio|vgpio_basic|test_vgpio|gets a line", KTAP_FAIL, "is 1");
	add(root, A "|vgpio|vgpio_wq|load", KTAP_PASS, NULL);
	add(root, A "|rvcpu|rvcpu|load", KTAP_SKIP, "no such counter");
	add(root, A "|mymem|mymem|load", KTAP_TIMEOUT, "after 120 s");
	add(root, B "|hello|hello|load", KTAP_CRASHED, "Oops");
	add(root, B "|hello|hello|conform|open", KTAP_FAIL, "EIO");
	add(root, B "|vgpio|build", KTAP_FAIL, "it does not compile");
	add(root, B "|rvcpu|rvcpu|load", KTAP_SKIP, "no such counter");
	add(root, B "|mymem|mymem|load", KTAP_PASS, NULL);
	add(root, C, KTAP_SKIP, "the archive is out of step");
	add(root, D "|hello|hello|load", KTAP_PASS, NULL);
	add(root, D "|vgpio|vgpio_basic|test_vgpio|sets a line", KTAP_FAIL, "is 0");
	add(root, D "|vgpio|vgpio_wq|load", KTAP_PASS, NULL);
	add(root, D "|rvcpu|rvcpu|load", KTAP_PASS, NULL);
	add(root, D "|mymem|mymem|load", KTAP_PASS, NULL);
	add(root, D "|kernel log", KTAP_FAIL, "WARNING");
	add(root, A "|foxes", KTAP_PASS, NULL); /* --only left none of its modules */
	ktap_settle(root);
	return root;
}

static char *print_table(const struct ktap *root, const char *prefix)
{
	struct matrix *m = matrix_new(root);
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	matrix_print(f, m, prefix);
	fclose(f);
	matrix_free(m);
	return text;
}

static char *print_failures(const struct ktap *root, bool notes, size_t most)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	matrix_print_failures(f, root, "# ", notes, most);
	fclose(f);
	return text;
}

static void every_cell_says_how_the_module_fared_on_the_kernel(void **state)
{
	struct ktap *root = mixed();
	_cleanup_free_ char *text = print_table(root, "# ");

	(void)state;
	assert_string_equal(text,
			    "# kernel       1       2         3        4\n"
			    "#              6.1     6.12      -        7.2\n"
			    "# module       amd64   arm64     riscv64\n"
			    "# hello        PASS    CRASH     skip     PASS\n"
			    "# vgpio_basic  FAIL 2  no build  skip     FAIL 1\n"
			    "# vgpio_wq     PASS    no build  skip     PASS\n"
			    "# rvcpu        skip    skip      skip     PASS\n"
			    "# mymem        HANG    PASS      skip     PASS\n"
			    "# kernel log   -       -         skip     FAIL 1\n"
			    "#\n"
			    "#  1 debian:bookworm/amd64  6.1.0-56-amd64\n"
			    "#  2 debian:trixie/arm64    6.12.117+deb13-arm64\n"
			    "#  3 debian:sid/riscv64     skipped: the archive is out of step\n"
			    "#  4 dir:/usr/src/linux     7.2.0\n"
			    "# rvcpu is skipped on 1, 2: no such counter\n");
	ktap_free(root);
}

/* What "./cdevlab test" prints must stay what a reader of KTAP reads. */
static void the_table_behind_the_results_is_ktap(void **state)
{
	struct ktap *root = mixed(), *again = ktap_new(NULL, "again");
	_cleanup_free_ char *table = print_table(root, "# "), *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	ktap_print(f, root);
	fputs(table, f);
	fclose(f);
	assert_true(ktap_parse(again, text));
	assert_int_equal(again->n, root->n);
	assert_int_equal(again->result, root->result);
	assert_int_equal(ktap_count(again).failed, ktap_count(root).failed);
	ktap_free(again);
	ktap_free(root);
}

static void eleven_kernels_fit_into_120_columns(void **state)
{
	static const char *const suites[] = { "bookworm", "bookworm-backports", "trixie", "sid" };
	static const char *const archs[] = { "amd64", "arm64", "riscv64" };
	struct ktap *root = ktap_new(NULL, "cdevlab");
	_cleanup_free_ char *text = NULL;
	struct strv lines = {};

	(void)state;
	for (size_t i = 0; i < 11; i++) {
		_cleanup_free_ char *kernel =
			xasprintf("debian:%s/%s 6.12.107+deb13-arm64", suites[i / 3], archs[i % 3]);
		_cleanup_free_ char *path = xasprintf("%s|vgpio|vgpio_wq_sl|load", kernel);
		_cleanup_free_ char *bad = xasprintf("%s|vgpio|vgpio_basic|load", kernel);

		add(root, path, KTAP_PASS, NULL);
		add(root, bad, KTAP_FAIL, NULL);
	}
	ktap_settle(root);
	text = print_table(root, "# ");
	strv_split(&lines, text, "\n");
	assert_int_equal(lines.n, 3 + 2 + 1 + 11);
	for (size_t i = 0; i < lines.n; i++)
		assert_true(strlen(lines.v[i]) <= 120);
	strv_free(&lines);
	ktap_free(root);
}

static void a_failure_is_told_once_with_its_kernels_and_its_command(void **state)
{
	struct ktap *root = mixed(), *t;
	_cleanup_free_ char *text = NULL, *two = NULL;

	(void)state;
	t = ktap_child(ktap_child(ktap_child(root->children[0], "vgpio"), "vgpio_basic"),
		       "test_vgpio");
	ktap_note(t->children[0], "line 12");
	ktap_note(t->children[0], "reproduce: ./cdevlab test vgpio");
	text = print_failures(root, false, 20);
	assert_non_null(strstr(text,
			       "#   fail: vgpio/vgpio_basic/test_vgpio/sets a line on 1, 4: is 0\n"
			       "#       reproduce: ./cdevlab test vgpio\n"
			       "#   fail: vgpio/vgpio_basic/test_vgpio/gets a line on 1: is 1\n"));
	assert_non_null(strstr(text, "#   crashed: hello/hello/load on 2: Oops\n"));
	assert_non_null(strstr(text, "#   fail: kernel log on 4: WARNING\n"));
	assert_null(strstr(text, "line 12"));
	two = print_failures(root, true, 2);
	assert_non_null(strstr(two, "#       line 12\n"));
	assert_non_null(strstr(two, "#   and 5 more, in the results\n"));
	ktap_free(root);
}

/* A finding about the figures of all kernels is no kernel. */
static void what_is_no_kernel_is_no_column(void **state)
{
	struct ktap *root = mixed();
	_cleanup_free_ char *before = print_table(root, ""), *after = NULL, *text = NULL;

	(void)state;
	add(root, "split", KTAP_FAIL, "two counts");
	add(root, "budget", KTAP_SKIP, "no addresses");
	add(root, "wall clock|wallctl times", KTAP_PASS, NULL);
	after = print_table(root, "");
	text = print_failures(root, false, 20);
	assert_string_equal(before, after);
	assert_non_null(strstr(text, "#   fail: split: two counts\n"));
	ktap_free(root);
}

static void the_table_is_json_as_well(void **state)
{
	struct ktap *root = mixed();
	struct matrix *m = matrix_new(root);
	json_t *j = matrix_json(m), *rows = json_object_get(j, "rows"), *cell;

	(void)state;
	assert_int_equal(json_array_size(json_object_get(j, "kernels")), 4);
	assert_int_equal(json_array_size(rows), 6);
	cell = json_array_get(json_object_get(json_array_get(rows, 1), "cells"), 0);
	assert_string_equal(json_string_value(json_object_get(cell, "result")), "fail");
	assert_int_equal(json_integer_value(json_object_get(cell, "failed")), 2);
	json_decref(j);
	matrix_free(m);
	ktap_free(root);
}

static void all_is_everything_once_and_what_is_named_must_be_there(void **state)
{
	struct strv specs = {}, all = {}, names = {};
	bool *any = NULL;

	(void)state;
	strv_split(&all, "debian:trixie/amd64 debian:trixie/arm64 debian:sid/arm64", " ");
	strv_split(&specs, "host debian:trixie/arm64 all debian:sid/arm64 all host", " ");
	kernel_expand(&specs, &all, &names, &any);
	assert_int_equal(names.n, 4);
	assert_string_equal(names.v[0], "host");
	assert_string_equal(names.v[1], "debian:trixie/arm64");
	assert_string_equal(names.v[2], "debian:trixie/amd64");
	assert_string_equal(names.v[3], "debian:sid/arm64");
	assert_false(any[0]);
	assert_false(any[1]);
	assert_true(any[2]);
	assert_false(any[3]);
	free(any);
	strv_free(&specs);
	strv_free(&all);
	strv_free(&names);
}

static void one_kernel_written_in_two_ways_is_one(void **state)
{
	struct strv specs = {}, all = {}, names = {};
	_cleanup_free_ char *full = NULL;
	bool *any = NULL;

	(void)state;
	if (!arch_host())
		skip();
	full = xasprintf("debian:trixie/%s", arch_host()->name);
	strv_add(&all, full);
	strv_split(&specs, "debian:trixie all", " ");
	kernel_expand(&specs, &all, &names, &any);
	assert_int_equal(names.n, 1);
	assert_string_equal(names.v[0], full);
	assert_false(any[0]);
	free(any);
	strv_free(&specs);
	strv_free(&all);
	strv_free(&names);
}

/* bookworm has no riscv64, and yet it is asked: the archive knows, not we. Testing's come last. */
static void all_names_every_suite_with_every_architecture(void **state)
{
	struct strv names = {};
	size_t suites = 0, archs = 0;

	(void)state;
	while (suite_at(suites))
		suites++;
	while (arch_at(archs))
		archs++;
	kernel_all(&names);
	assert_int_equal(names.n, suites * archs);
	assert_true(strv_has(&names, "debian:bookworm/amd64"));
	assert_true(str_starts(names.v[names.n - 1], "debian:forky/"));
	strv_free(&names);
}

static void testing_is_of_interest_when_its_series_is_new(void **state)
{
	struct kernel have[] = {
		{ .name = (char *)"debian:sid/amd64", .release = (char *)"7.2.13+deb14-amd64" },
		{ .name = (char *)"debian:trixie/arm64", .release = (char *)"6.12.1-arm64" },
	};
	_cleanup_free_ char *a = kernel_series("6.12.117+deb13-amd64"),
			    *b = kernel_series("7.2-rc1");

	(void)state;
	assert_string_equal(a, "6.12");
	assert_string_equal(b, "7.2");
	assert_true(kernel_has_series(have, 2, "debian:forky/amd64", "7.2.12+deb14-amd64"));
	assert_false(kernel_has_series(have, 2, "debian:forky/amd64", "7.3.1+deb14-amd64"));
	assert_false(kernel_has_series(have, 2, "debian:forky/arm64", "7.2.12+deb14-arm64"));
	assert_false(kernel_has_series(have, 0, "debian:forky/arm64", "7.2.12+deb14-arm64"));
}

/* Run from the checkout, as all of them. */
static int group_setup(void **state)
{
	(void)state;
	return arch_load("arch") ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell_says_how_the_module_fared_on_the_kernel),
		cmocka_unit_test(the_table_behind_the_results_is_ktap),
		cmocka_unit_test(eleven_kernels_fit_into_120_columns),
		cmocka_unit_test(a_failure_is_told_once_with_its_kernels_and_its_command),
		cmocka_unit_test(what_is_no_kernel_is_no_column),
		cmocka_unit_test(the_table_is_json_as_well),
		cmocka_unit_test(all_is_everything_once_and_what_is_named_must_be_there),
		cmocka_unit_test(one_kernel_written_in_two_ways_is_one),
		cmocka_unit_test(all_names_every_suite_with_every_architecture),
		cmocka_unit_test(testing_is_of_interest_when_its_series_is_new),
	};

	return cmocka_run_group_tests_name("matrix", tests, group_setup, NULL);
}
