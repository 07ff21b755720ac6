// SPDX-License-Identifier: GPL-2.0
/* Results: read from what real programs print, written as KTAP, JUnit and JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../lab/ktap.h"

static struct ktap *parse(const char *text)
{
	struct ktap *t = ktap_new(NULL, "root");

	assert_true(ktap_parse(t, text));
	return t;
}

static char *print(const struct ktap *t, void (*how)(FILE *out, const struct ktap *root))
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	how(f, t);
	fclose(f);
	return text;
}

static void plain_results_are_read(void **state)
{
	struct ktap *t =
		parse("TAP version 13\n1..5\nok 1 - one\nnot ok 2 two\nok 3 three # SKIP no node\n"
		      "not ok 4 four # TIMEOUT after 5 s\nnot ok 5 five # CRASHED in f+0x1\n");
	struct ktap_counts c = ktap_count(t);

	(void)state;
	assert_int_equal(t->n, 5);
	assert_string_equal(t->children[0]->name, "one");
	assert_int_equal(t->children[1]->result, KTAP_FAIL);
	assert_int_equal(t->children[2]->result, KTAP_SKIP);
	assert_string_equal(t->children[2]->reason, "no node");
	assert_int_equal(t->children[3]->result, KTAP_TIMEOUT);
	assert_string_equal(t->children[3]->reason, "after 5 s");
	assert_int_equal(t->children[4]->result, KTAP_CRASHED);
	assert_int_equal(t->result, KTAP_CRASHED);
	assert_null(t->reason);
	assert_true(c.passed == 1 && c.failed == 1 && c.skipped == 1 && c.timeout == 1 &&
		    c.crashed == 1);
	ktap_free(t);
}

static void nested_suites_are_read(void **state)
{
	struct ktap *t = parse("KTAP version 1\n1..2\n"
			       "  KTAP version 1\n  # Subtest: vgpio\n  1..2\n"
			       "    KTAP version 1\n    1..1\n    # deep note\n    ok 1 deep case\n"
			       "  ok 1 inner\n  # why\n  not ok 2 flat\n"
			       "not ok 1 vgpio\nok 2 last\n");
	struct ktap *v = ktap_child(t, "vgpio");

	(void)state;
	assert_int_equal(t->n, 2);
	assert_non_null(v);
	assert_int_equal(v->n, 2);
	assert_int_equal(v->result, KTAP_FAIL);
	assert_string_equal(v->children[1]->notes.v[0], "why");
	assert_string_equal(v->children[0]->name, "inner");
	assert_ptr_equal(ktap_find(t, "vgpio/inner/deep_case"), v->children[0]->children[0]);
	assert_string_equal(ktap_find(t, "vgpio/inner/deep_case")->notes.v[0], "deep note");
	assert_null(ktap_find(t, "vgpio/nothing"));
	assert_null(ktap_find(t, "vgpi"));
	assert_int_equal(ktap_count(t).passed, 2);
	assert_int_equal(ktap_count(t).failed, 1);
	ktap_free(t);
}

static void a_nested_suite_may_have_any_indentation_and_no_header(void **state)
{
	struct ktap *t = parse("1..1\n    ok 1 a\n    ok 2 b\n    1..2\nok 1 outer\n");

	(void)state;
	assert_int_equal(t->n, 1);
	assert_string_equal(t->children[0]->name, "outer");
	assert_int_equal(t->children[0]->n, 2);
	assert_int_equal(t->result, KTAP_PASS);
	ktap_free(t);
}

static void a_missing_plan_is_a_failure_that_says_so(void **state)
{
	struct ktap *t = parse("KTAP version 1\nok 1 one\n");

	(void)state;
	assert_int_equal(t->result, KTAP_FAIL);
	assert_non_null(strstr(t->reason, "no plan"));
	assert_int_equal(t->children[0]->result, KTAP_PASS);
	assert_int_equal(ktap_count(t).failed, 1);
	ktap_free(t);
}

static void a_wrong_plan_is_a_failure_that_says_so(void **state)
{
	struct ktap *t = parse("1..1\nok 1 one\nok 2 two\n");

	(void)state;
	assert_int_equal(t->result, KTAP_FAIL);
	assert_string_equal(t->reason, "wrong plan: 1 tests planned, 2 results");
	ktap_free(t);
}

static void a_cut_off_run_is_a_failure_that_says_where(void **state)
{
	struct ktap *t =
		parse("KTAP version 1\n1..3\nok 1 one\n  KTAP version 1\n  # Subtest: sub\n  1..4\n"
		      "  ok 1 a\n  # half a li");

	(void)state;
	assert_int_equal(t->result, KTAP_FAIL);
	assert_string_equal(t->reason, "ended early: 3 tests planned, 2 results");
	assert_string_equal(t->children[1]->name, "sub");
	assert_int_equal(t->children[1]->result, KTAP_FAIL);
	assert_string_equal(t->children[1]->reason, "ended early: 4 tests planned, 1 results");
	assert_string_equal(t->children[1]->notes.v[0], "half a li");
	ktap_free(t);
}

static void a_crash_in_the_middle_keeps_its_words(void **state)
{
	struct ktap *t = parse("1..2\nok 1 one\nSegmentation fault\n# signal 11\n");

	(void)state;
	assert_string_equal(t->reason, "ended early: 2 tests planned, 1 results");
	assert_string_equal(t->notes.v[0], "Segmentation fault");
	assert_string_equal(t->notes.v[1], "signal 11");
	ktap_free(t);
}

static void garbage_becomes_notes_of_the_next_result(void **state)
{
	struct ktap *t =
		parse("loading...\nKTAP version 1\nok then\n1..2\n  indented text\nok 1 one\n"
		      "okay\nnot okay\n1..x\nok 2 two\r\n");

	(void)state;
	assert_int_equal(t->n, 2);
	assert_int_equal(t->result, KTAP_PASS);
	assert_string_equal(t->children[0]->notes.v[2], "  indented text");
	assert_int_equal(t->children[1]->notes.n, 3);
	assert_string_equal(t->children[1]->name, "two");
	ktap_free(t);
}

static void results_in_a_kernel_log_lose_their_stamps(void **state)
{
	struct ktap *t = parse(
		"[    1.000000] KTAP version 1\n[    1.000001] 1..1\n"
		"[    1.000002]     KTAP version 1\n[    1.000002]     # Subtest: s\n"
		"[    1.000003]     1..1\n[    1.000004]     ok 1 a\n[    1.000005] ok 1 s\n");

	(void)state;
	assert_int_equal(t->result, KTAP_PASS);
	assert_non_null(ktap_find(t, "s/a"));
	ktap_free(t);
}

static void directives_have_their_meaning(void **state)
{
	struct ktap *t =
		parse("1..8\nnot ok 1 a # TODO later\nok 2 b # todo\nok 3 c # XFAIL known\n"
		      "not ok 4 d # ERROR no memory\nok 5 e\\#5 # skip\nok 6 f#6\n"
		      "not ok 7 g # expected 1, got 2\nok 8 # SKIP\n");
	static const enum ktap_result want[] = { KTAP_SKIP, KTAP_PASS, KTAP_PASS, KTAP_FAIL,
						 KTAP_SKIP, KTAP_PASS, KTAP_FAIL, KTAP_SKIP };

	(void)state;
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(t->children[i]->result, want[i]);
	assert_string_equal(t->children[0]->reason, "expected to fail: later");
	assert_string_equal(t->children[4]->name, "e#5");
	assert_string_equal(t->children[5]->name, "f#6");
	assert_string_equal(t->children[6]->reason, "expected 1, got 2");
	assert_string_equal(t->children[7]->name, "8");
	ktap_free(t);
}

static void a_skipped_plan_skips_the_suite(void **state)
{
	struct ktap *t = parse("KTAP version 1\n1..0 # SKIP no device\n");

	(void)state;
	assert_int_equal(t->result, KTAP_SKIP);
	assert_string_equal(t->reason, "no device");
	ktap_free(t);
}

static void bailing_out_is_a_failure(void **state)
{
	struct ktap *t = parse("1..3\nok 1 a\nBail out! no memory\nok 2 b\n");

	(void)state;
	assert_int_equal(t->n, 1);
	assert_string_equal(t->reason, "bailed out: no memory");
	ktap_free(t);
}

static void a_suite_of_skipped_tests_is_skipped(void **state)
{
	struct ktap *t = parse("1..2\nok 1 a # SKIP x\nok 2 b # SKIP y\n");

	(void)state;
	assert_int_equal(t->result, KTAP_SKIP);
	ktap_free(t);
}

static void a_suite_that_says_not_ok_fails_without_a_failed_test(void **state)
{
	struct ktap *t =
		parse("1..1\n  1..1\n  ok 1 a\nnot ok 1 s # a warning in the kernel log\n");

	(void)state;
	assert_int_equal(t->result, KTAP_FAIL);
	assert_int_equal(t->children[0]->result, KTAP_FAIL);
	assert_int_equal(ktap_count(t).failed, 1);
	assert_int_equal(ktap_count(t).passed, 1);
	ktap_free(t);
}

static void text_without_ktap_leaves_the_suite_alone(void **state)
{
	struct ktap *t = ktap_new(NULL, "x");

	(void)state;
	assert_false(ktap_parse(t, ""));
	assert_false(ktap_parse(t, "ok then\nnot ok at all\n# comment\nhello\n"));
	assert_int_equal(t->n, 0);
	assert_int_equal(t->notes.n, 0);
	assert_int_equal(t->result, KTAP_PASS);
	ktap_free(t);
}

static struct ktap *sample(void)
{
	struct ktap *root = ktap_new(NULL, "cdevlab"), *s = ktap_new(root, "vgpio <&\"> \x01"), *t;

	t = ktap_new(s, "open: #2 \\ returns \xff");
	t->ms = 12.5;
	t = ktap_new(s, "read");
	ktap_set(t, KTAP_FAIL, "expected %d", 3);
	ktap_note(t, "line <one>\nline two");
	ktap_set(ktap_new(s, "poll"), KTAP_SKIP, "no poll");
	ktap_set(ktap_new(s, "write"), KTAP_TIMEOUT, "after 5 s");
	ktap_set(ktap_new(root, "ioctl"), KTAP_CRASHED, "oops in f+0x1/0x2");
	ktap_settle(root);
	return root;
}

static void ktap_is_printed_exactly(void **state)
{
	struct ktap *root = sample();
	_cleanup_free_ char *text = print(root, ktap_print);

	(void)state;
	assert_string_equal(text, "KTAP version 1\n"
				  "1..2\n"
				  "  KTAP version 1\n"
				  "  # Subtest: vgpio <&\">  \n"
				  "  1..4\n"
				  "  ok 1 open: \\#2 \\\\ returns \xff\n"
				  "  # line <one>\n"
				  "  # line two\n"
				  "  not ok 2 read # expected 3\n"
				  "  ok 3 poll # SKIP no poll\n"
				  "  not ok 4 write # TIMEOUT after 5 s\n"
				  "not ok 1 vgpio <&\">  \n"
				  "not ok 2 ioctl # CRASHED oops in f+0x1/0x2\n");
	ktap_free(root);
}

static void what_is_printed_is_read_again(void **state)
{
	static const char text[] = "KTAP version 1\n"
				   "1..3\n"
				   "  KTAP version 1\n"
				   "  # Subtest: a b\n"
				   "  1..2\n"
				   "    KTAP version 1\n"
				   "    # Subtest: deep\n"
				   "    1..1\n"
				   "    # note\n"
				   "    not ok 1 leaf # TIMEOUT 3 s\n"
				   "  not ok 1 deep\n"
				   "  ok 2 name \\# with # SKIP reason # two\n"
				   "# of the suite\n"
				   "not ok 1 a b\n"
				   "not ok 2 crash # CRASHED\n"
				   "not ok 3 why # this is why\n";
	struct ktap *t = parse(text);
	_cleanup_free_ char *again = print(t, ktap_print);

	(void)state;
	assert_string_equal(again, text);
	ktap_free(t);
}

static void junit_is_valid_xml(void **state)
{
	struct ktap *root = sample();
	_cleanup_free_ char *text = print(root, ktap_junit);

	(void)state;
	assert_non_null(
		strstr(text, "<testsuites name=\"cdevlab\" tests=\"5\" failures=\"1\" errors=\"2\" "
			     "skipped=\"1\" time=\"0.013\">"));
	assert_non_null(strstr(text, "name=\"vgpio &lt;&amp;&quot;&gt; \xef\xbf\xbd\""));
	assert_non_null(strstr(text, "name=\"open: #2 \\ returns \xef\xbf\xbd\" time=\"0.013\"/>"));
	assert_non_null(
		strstr(text, "<failure type=\"fail\" message=\"expected 3\">line &lt;one&gt;\n"));
	assert_non_null(strstr(text, "<skipped message=\"no poll\"/>"));
	assert_non_null(strstr(text, "<error type=\"timeout\" message=\"after 5 s\">"));
	/* how long nobody knows */
	assert_non_null(strstr(text, "<testcase classname=\"cdevlab\" name=\"ioctl\">"));
	/* a judge of its own, where there is one */
	if (!system("command -v xmllint >/dev/null")) {
		FILE *f = popen("xmllint --noout -", "w");

		fputs(text, f);
		assert_int_equal(pclose(f), 0);
	}
	ktap_free(root);
}

static void json_holds_the_tree(void **state)
{
	struct ktap *root = sample();
	json_t *o = ktap_json(root), *s, *t;
	_cleanup_free_ char *text = json_dumps(o, 0);

	(void)state;
	assert_non_null(text);
	assert_string_equal(json_string_value(json_object_get(o, "result")), "crashed");
	s = json_array_get(json_object_get(o, "children"), 0);
	assert_int_equal(json_array_size(json_object_get(s, "children")), 4);
	t = json_array_get(json_object_get(s, "children"), 0);
	assert_true(json_real_value(json_object_get(t, "ms")) == 12.5);
	t = json_array_get(json_object_get(s, "children"), 1);
	assert_string_equal(json_string_value(json_object_get(t, "reason")), "expected 3");
	assert_int_equal(json_array_size(json_object_get(t, "notes")), 2);
	json_decref(o);
	ktap_free(root);
}

static void any_piece_of_a_stream_can_be_read(void **state)
{
	struct ktap *root = sample();
	_cleanup_free_ char *text = print(root, ktap_print);
	size_t all = strlen(text);

	(void)state;
	for (size_t from = 0; from < all; from += 3) {
		for (size_t to = from; to <= all; to += 5) {
			_cleanup_free_ char *part = xstrndup(text + from, to - from);
			struct ktap *t = ktap_new(NULL, "part");

			ktap_parse(t, part);
			ktap_free(t);
		}
	}
	ktap_free(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_results_are_read),
		cmocka_unit_test(nested_suites_are_read),
		cmocka_unit_test(a_nested_suite_may_have_any_indentation_and_no_header),
		cmocka_unit_test(a_missing_plan_is_a_failure_that_says_so),
		cmocka_unit_test(a_wrong_plan_is_a_failure_that_says_so),
		cmocka_unit_test(a_cut_off_run_is_a_failure_that_says_where),
		cmocka_unit_test(a_crash_in_the_middle_keeps_its_words),
		cmocka_unit_test(garbage_becomes_notes_of_the_next_result),
		cmocka_unit_test(results_in_a_kernel_log_lose_their_stamps),
		cmocka_unit_test(directives_have_their_meaning),
		cmocka_unit_test(a_skipped_plan_skips_the_suite),
		cmocka_unit_test(bailing_out_is_a_failure),
		cmocka_unit_test(a_suite_of_skipped_tests_is_skipped),
		cmocka_unit_test(a_suite_that_says_not_ok_fails_without_a_failed_test),
		cmocka_unit_test(text_without_ktap_leaves_the_suite_alone),
		cmocka_unit_test(ktap_is_printed_exactly),
		cmocka_unit_test(what_is_printed_is_read_again),
		cmocka_unit_test(junit_is_valid_xml),
		cmocka_unit_test(json_holds_the_tree),
		cmocka_unit_test(any_piece_of_a_stream_can_be_read),
	};

	return cmocka_run_group_tests_name("ktap", tests, NULL, NULL);
}
