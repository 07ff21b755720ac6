// SPDX-License-Identifier: GPL-2.0
/*
 * The scanner of kernel logs, on the logs of tests/logs: NAME.log beside NAME.expect.
 *
 * A log starts with one '#' line that says where it comes from. An expectation has a line for each
 * finding, in order, and one for the test that was running at the end:
 *
 *   KIND TEST fatal|survived [?]FUNCTION+0xOFFSET[MODULE]
 *   ended of its own	(over a report that is no finding)
 *   last TEST
 *
 * with "-" for none. CDEVLAB_LOGS names the directory; the default is found from the top of the
 * tree.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../lab/klog.h"

static const char *logs_dir(void)
{
	const char *dir = getenv("CDEVLAB_LOGS");

	return dir ? dir : "tests/logs";
}

/* The findings in the form of an .expect file. */
static char *describe(const struct klog *k)
{
	struct buf b = {};

	for (size_t i = 0; i < k->n; i++) {
		const struct klog_finding *f = &k->findings[i];

		buf_printf(&b, "%s %s %s ", klog_kind_name(f->kind), f->test ? f->test : "-",
			   f->fatal ? "fatal" : "survived");
		if (f->n_frames) {
			const struct klog_frame *top = &f->frames[0];

			buf_printf(&b, "%s%s+0x%lx", top->guessed ? "?" : "", top->function,
				   top->offset);
			if (top->module)
				buf_printf(&b, "[%s]", top->module);
			buf_puts(&b, "\n");
		} else {
			buf_puts(&b, "-\n");
		}
	}
	if (k->own_end)
		buf_puts(&b, "ended of its own\n");
	buf_printf(&b, "last %s\n", k->last_test ? k->last_test : "-");
	return b.s;
}

static void every_log_gives_the_findings_that_are_expected(void **state)
{
	DIR *d = opendir(logs_dir());
	struct dirent *e;
	struct strv names = {};
	size_t wrong = 0;

	(void)state;
	assert_non_null(d);
	while ((e = readdir(d)))
		if (str_ends(e->d_name, ".log"))
			strv_take(&names, xstrndup(e->d_name, strlen(e->d_name) - strlen(".log")));
	closedir(d);
	strv_sort(&names);
	assert_true(names.n > 0);
	for (size_t i = 0; i < names.n; i++) {
		_cleanup_free_ char *log_path = xasprintf("%s/%s.log", logs_dir(), names.v[i]);
		_cleanup_free_ char *want_path = xasprintf("%s/%s.expect", logs_dir(), names.v[i]);
		_cleanup_free_ char *got = NULL;
		struct buf log = {}, want = {};
		struct klog k;
		char *text;

		assert_int_equal(file_read(log_path, &log), 0);
		assert_true(log.s[0] == '#');
		text = strchr(log.s, '\n');
		assert_non_null(text);
		klog_scan(text + 1, KLOG_TAINT_MODULE, &k);
		got = describe(&k);
		if (file_read(want_path, &want) || strcmp(got, want.s)) {
			print_error("%s: expected\n%sfound\n%s", names.v[i],
				    want.s ? want.s : "(no file)\n", got);
			wrong++;
		}
		klog_free(&k);
		buf_free(&log);
		buf_free(&want);
	}
	strv_free(&names);
	assert_int_equal(wrong, 0);
}

/* A log may end anywhere: no prefix of any log may upset the scanner. */
static void a_log_may_end_anywhere(void **state)
{
	static const char *const names[] = { "null.log", "arm64.log", "riscv64.log", "lockdep.log",
					     "warning-7.log" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", logs_dir(), names[i]);
		struct buf log = {};

		assert_int_equal(file_read(path, &log), 0);
		for (size_t n = log.n; n > 0; n -= n > 7 ? 7 : n) {
			_cleanup_free_ char *part = xstrndup(log.s, n);
			struct klog k;

			klog_scan(part, KLOG_TAINT_MODULE, &k);
			klog_free(&k);
		}
		buf_free(&log);
	}
}

static void an_empty_log_has_no_findings(void **state)
{
	struct klog k;

	(void)state;
	klog_scan("", 0, &k);
	assert_int_equal(k.n, 0);
	assert_null(k.last_test);
	klog_free(&k);
}

static void carriage_returns_and_levels_are_no_part_of_a_message(void **state)
{
	struct klog k;

	(void)state;
	klog_scan("<4>[    1.000000] WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2 [m]\r\n"
		  "<6>[    1.000001] cdevlab: begin a/b\r\n",
		  0, &k);
	assert_int_equal(k.n, 1);
	assert_string_equal(k.findings[0].headline,
			    "WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2 [m]");
	assert_string_equal(k.last_test, "a/b");
	klog_free(&k);
}

static void a_test_lasts_from_mark_to_mark(void **state)
{
	struct klog k;

	(void)state;
	klog_scan("[    1.500000] cdevlab: begin m/a\n"
		  "<6>[    1.750000][   T80] cdevlab: begin m/a/x[1]\n"
		  "[    2.000000][   T80] cdevlab: end m/a/x[1] taint=0\n"
		  "half a line of a program[    3.000000] cdevlab: end m/a taint=0\n"
		  "[    4.000000] cdevlab: begin m/a\n",
		  0, &k);
	assert_int_equal(k.n_spans, 3);
	assert_string_equal(k.spans[0].test, "m/a");
	assert_float_equal(k.spans[0].begin, 1.5, 1e-9);
	assert_float_equal(k.spans[0].end, 3, 1e-9);
	assert_float_equal(k.spans[1].end - k.spans[1].begin, 0.25, 1e-9);
	assert_float_equal(k.spans[2].begin, 4, 1e-9);
	assert_true(k.spans[2].end < 0);
	klog_free(&k);
	klog_scan("cdevlab: begin a\ncdevlab: end a taint=0\n", 0, &k);
	assert_int_equal(k.n_spans, 0);
	klog_free(&k);
}

static void modules_taint_is_a_finding_when_it_is_not_expected(void **state)
{
	static const char log[] = "x: loading out-of-tree module taints kernel.\n"
				  "cdevlab: begin x\ncdevlab: end x taint=4096\n";
	struct klog k;

	(void)state;
	klog_scan(log, 0, &k);
	assert_int_equal(k.n, 1);
	assert_int_equal(k.findings[0].kind, KLOG_TAINT);
	klog_free(&k);
	klog_scan(log, KLOG_TAINT_MODULE, &k);
	assert_int_equal(k.n, 0);
	klog_free(&k);
}

static void a_taint_without_a_report_is_a_finding(void **state)
{
	struct klog k;

	(void)state;
	klog_scan("cdevlab: begin x\ncdevlab: begin x/y\n"
		  "cdevlab: end x/y taint=512\ncdevlab: end x taint=512\n",
		  0, &k);
	assert_int_equal(k.n, 1);
	assert_string_equal(k.findings[0].test, "x/y");
	assert_string_equal(k.findings[0].headline,
			    "the kernel became tainted: kernel warning (W)");
	klog_free(&k);
}

static void taint_bits_have_names(void **state)
{
	_cleanup_free_ char *two = klog_taint_text(1 | 512);
	_cleanup_free_ char *none = klog_taint_text(0);
	_cleanup_free_ char *high = klog_taint_text(1UL << 40);

	(void)state;
	assert_string_equal(two, "proprietary module, kernel warning (P, W)");
	assert_string_equal(none, "none");
	assert_string_equal(high, "bit 40 (40)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_log_gives_the_findings_that_are_expected),
		cmocka_unit_test(a_log_may_end_anywhere),
		cmocka_unit_test(an_empty_log_has_no_findings),
		cmocka_unit_test(carriage_returns_and_levels_are_no_part_of_a_message),
		cmocka_unit_test(a_test_lasts_from_mark_to_mark),
		cmocka_unit_test(modules_taint_is_a_finding_when_it_is_not_expected),
		cmocka_unit_test(a_taint_without_a_report_is_a_finding),
		cmocka_unit_test(taint_bits_have_names),
	};

	return cmocka_run_group_tests_name("klog", tests, NULL, NULL);
}
