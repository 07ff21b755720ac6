// SPDX-License-Identifier: GPL-2.0
/* The safety experiment without its tools: patches that are read and applied, complaints that become cells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../lab/klog.h"
#include "../../lab/proc.h"
#include "../../lab/report.h"
#include "../../lab/safety.h"

#define HEAD "Bug: it forgets to look\nClass: missing check\nTrigger: open\nExpect: KASAN\n"
#define DIFF "--- a/x.c\n+++ b/x.c\n@@ -1,3 +1,2 @@\n one\n-two\n three\n"

static void patch_names_are_read(void **state)
{
	static const struct {
		const char *name, *number, *slug; /* number NULL: it is none */
		enum safety_language language;
	} names[] = {
		{ "02-end-bound.c.patch", "02", "end-bound", SAFETY_C },
		{ "c1-inverted.rs.patch", "c1", "inverted", SAFETY_RUST },
		{ "02.c.patch", NULL, NULL, 0 },
		{ "02-.c.patch", NULL, NULL, 0 },
		{ "-x.c.patch", NULL, NULL, 0 },
		{ "02-x.patch", NULL, NULL, 0 },
		{ "0_2-x.c.patch", NULL, NULL, 0 },
		{ ".c.patch", NULL, NULL, 0 },
		{ "", NULL, NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct safety_bug b = {};

		assert_int_equal(safety_name_read(names[i].name, &b), names[i].number != NULL);
		if (names[i].number) {
			assert_string_equal(b.number, names[i].number);
			assert_string_equal(b.slug, names[i].slug);
			assert_int_equal(b.language, names[i].language);
		}
		safety_bug_free(&b);
	}
}

static void a_head_is_read(void **state)
{
	struct safety_bug b = {};

	(void)state;
	assert_null(
		safety_text_read(HEAD "  or a page fault\nCompile: E0382 (moved)\n\n" DIFF, &b));
	assert_string_equal(b.bug, "it forgets to look");
	assert_string_equal(b.expect, "KASAN or a page fault");
	assert_string_equal(b.error, "E0382");
	assert_string_equal(b.diff.s, DIFF);
	safety_bug_free(&b);
	assert_null(safety_text_read(HEAD "Compile: unsafe\n\n" DIFF, &b));
	assert_string_equal(b.compile, "unsafe");
	assert_null(b.error);
	safety_bug_free(&b);
}

static void a_wrong_head_is_refused(void **state)
{
	static const struct {
		const char *text, *problem;
	} wrong[] = {
		{ "", "no line Bug:" },
		{ DIFF, "no line Bug:" },
		{ HEAD, "no diff" },
		{ HEAD "Bug: another\n" DIFF, "two lines Bug:" },
		{ "What: x\n" HEAD DIFF, "no line that is known" },
		{ "Bug: x\nClass: y\nTrigger: z\n" DIFF, "no line Expect:" },
		{ "Bug:  \nClass: y\nTrigger: z\nExpect: e\n" DIFF, "no line Bug:" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct safety_bug b = {};
		char *problem = safety_text_read(wrong[i].text, &b);

		assert_non_null(problem);
		assert_non_null(strstr(problem, wrong[i].problem));
		free(problem);
		safety_bug_free(&b);
	}
}

static void write_file(const char *dir, const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", dir, name);

	assert_int_equal(file_write(path, text, strlen(text)), 0);
	free(path);
}

/* A room, two patches that apply one each, and one that does not any more. */
static void patches_are_applied_to_copies(void **state)
{
	char *tmp = temp_dir(NULL), *room = xasprintf("%s/room", tmp);
	char *bugs_dir = xasprintf("%s/bugs", room), *to = xasprintf("%s/copy/room", tmp);
	char *again = xasprintf("%s/again/room", tmp), *old = xasprintf("%s/old/room", tmp);
	struct safety_bugs bugs = {};
	struct strv rooms = {};
	struct buf text = {};
	char *message = NULL, *path;

	(void)state;
	assert_int_equal(make_dirs(bugs_dir, 0755), 0);
	write_file(room, "Kbuild", "obj-m := x.o\n");
	write_file(room, "x.c", "one\ntwo\nthree\n");
	write_file(bugs_dir, "10-late.c.patch", HEAD DIFF);
	write_file(bugs_dir, "02-early.c.patch", HEAD DIFF);
	write_file(bugs_dir, "02-early.trigger.c", "int main(void) { return 0; }\n");
	write_file(bugs_dir, "c1-gone.c.patch",
		   HEAD "--- a/x.c\n+++ b/x.c\n@@ -1,3 +1,2 @@\n one\n-four\n three\n");
	strv_add(&rooms, room);
	assert_int_equal(safety_bugs_read(&rooms, &bugs), LAB_OK);
	assert_int_equal(bugs.n, 3);
	assert_string_equal(bugs.v[0].slug, "early");
	assert_string_equal(bugs.v[1].slug, "late");
	assert_int_equal(safety_room(&bugs.v[0], bugs.v[0].room, &bugs, to), LAB_OK);
	path = xasprintf("%s/x.c", to);
	assert_int_equal(file_read(path, &text), 0);
	assert_string_equal(text.s, "one\nthree\n");
	free(path);
	path = xasprintf("%s/test_trigger_02.c", to);
	assert_true(file_exists(path));
	free(path);
	path = xasprintf("%s/bugs", to);
	assert_false(file_exists(path));
	free(path);
	/* without a bug: as it is, with the triggers of all */
	assert_int_equal(safety_room(NULL, bugs.v[0].room, &bugs, again), LAB_OK);
	path = xasprintf("%s/test_trigger_02.c", again);
	assert_true(file_exists(path));
	free(path);
	lab_keep_failure(&message);
	assert_int_equal(safety_room(&bugs.v[2], bugs.v[2].room, &bugs, old), LAB_FAILED);
	lab_keep_failure(NULL);
	free(message);
	buf_free(&text);
	strv_free(&rooms);
	safety_bugs_free(&bugs);
	free(room);
	free(bugs_dir);
	free(to);
	free(again);
	free(old);
	temp_dir_done(tmp);
}

static void numbers_and_places_do_not_tell_complaints_apart(void **state)
{
	static const char *const pairs[][3] = {
		{ "/tmp/a1/room/x.c:12:3: warning: unused 'y'",
		  "/var/b/room/x.c:99:14: warning: unused 'y'", "x.c:#:#: warning: unused 'y'" },
		{ "BUG: KASAN: out-of-bounds in f+0x12/0x34 [m]",
		  "BUG: KASAN: out-of-bounds in f+0xab/0x34 [m]",
		  "BUG: KASAN: out-of-bounds in #" },
		{ "use after free of 0xffff888012", "use after free of 0x1",
		  "use after free of #" },
		{ "page fault for address: ffffc90a00ea1000",
		  "page fault for address: ffffffffc0a12000", "page fault for address: #" },
		{ "", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		char *a = safety_plain(pairs[i][0]), *b = safety_plain(pairs[i][1]);

		assert_string_equal(a, b);
		if (i != 1)
			assert_string_equal(a, pairs[i][2]);
		free(a);
		free(b);
	}
}

static const struct safety_column *column(const char *name)
{
	for (size_t i = 0; i < safety_n_columns; i++)
		if (!strcmp(safety_columns[i].name, name))
			return &safety_columns[i];
	fail_msg("no column %s", name);
	return NULL;
}

static void expect(const char *name, enum safety_language l, const struct said *bug,
		   const struct said *control, enum safety_state is, const char *evidence)
{
	struct safety_cell cell;

	safety_judge(column(name), l, bug, control, &cell);
	assert_int_equal(cell.is, is);
	assert_non_null(strstr(cell.evidence, evidence));
	safety_cell_free(&cell);
}

static void free_all(struct said *s)
{
	for (size_t p = 0; p < PROBES; p++)
		said_free(&s[p]);
}

static void only_what_is_new_counts(void **state)
{
	struct said bug[PROBES] = {}, control[PROBES] = {};
	struct safety_cell cell;

	(void)state;
	for (size_t p = 0; p < PROBES; p++)
		bug[p].known = control[p].known = true;
	said_add(&control[PROBE_CHECKERS], "sparse", NULL, "x.c:1: warning: old", NULL);
	said_add(&bug[PROBE_CHECKERS], "sparse", NULL, "x.c:7: warning: old", NULL);
	expect("sparse", SAFETY_C, bug, control, SAFETY_NOT_CAUGHT, "without the bug as well (1)");
	said_add(&bug[PROBE_CHECKERS], "sparse", NULL, "x.c:8: warning: new", NULL);
	said_add(&bug[PROBE_CHECKERS], "sparse", NULL, "x.c:9: warning: other", NULL);
	safety_judge(column("sparse"), SAFETY_C, bug, control, &cell);
	assert_int_equal(cell.is, SAFETY_CAUGHT);
	assert_string_equal(cell.evidence, "x.c:8: warning: new");
	assert_int_equal(cell.more, 1);
	safety_cell_free(&cell);
	/* another tool's word is another column's */
	expect("analyzer", SAFETY_C, bug, control, SAFETY_NOT_CAUGHT, "it says nothing");
	expect("sparse", SAFETY_RUST, bug, control, SAFETY_NOT_APPLICABLE, "it reads C");
	free_all(bug);
	free_all(control);
}

static void the_kernels_word_counts_for_the_test_that_ran(void **state)
{
	struct said bug[PROBES] = {}, control[PROBES] = {};

	(void)state;
	for (size_t p = 0; p < PROBES; p++)
		bug[p].known = control[p].known = true;
	said_add(&bug[PROBE_STOCK], "log/other", NULL, "BUG: unable to handle page fault",
		 "m/conform/read.end");
	expect("stock", SAFETY_C, bug, control, SAFETY_CAUGHT, "page fault");
	expect("conformance", SAFETY_C, bug, control, SAFETY_CAUGHT,
	       "the kernel, while it runs: BUG");
	expect("tests", SAFETY_C, bug, control, SAFETY_NOT_CAUGHT, "it says nothing");
	/* the next job dies of the same in its own guest, and its next test is no other job */
	said_add(&bug[PROBE_STOCK], "log/other", NULL, "BUG: unable to handle page fault",
		 "m/test_m/x");
	said_add(&bug[PROBE_STOCK], "log/other", NULL, "BUG: unable to handle page fault",
		 "m/test_m/y");
	assert_int_equal(bug[PROBE_STOCK].n, 2);
	expect("tests", SAFETY_C, bug, control, SAFETY_CAUGHT, "the kernel, while it runs: BUG");
	/* a debug kernel's tool is not the stock kernel's log */
	said_add(&bug[PROBE_KASAN], "log/KASAN", NULL, "BUG: KASAN: out-of-bounds", "m/test_m/x");
	expect("kasan", SAFETY_C, bug, control, SAFETY_CAUGHT, "KASAN");
	expect("kcsan", SAFETY_C, bug, control, SAFETY_NOT_CAUGHT, "nothing");
	free_all(bug);
	free_all(control);
}

static void a_tool_that_could_not_look_has_not_missed_anything(void **state)
{
	struct said bug[PROBES] = {}, control[PROBES] = {}, *checkers = &bug[PROBE_CHECKERS];
	json_t *kept;

	(void)state;
	for (size_t p = 0; p < PROBES; p++)
		bug[p].known = control[p].known = true;
	said_blind(checkers, "analyzer", "gcc: unrecognized option");
	said_blind(checkers, "analyzer", "twice");
	kept = said_json(checkers);
	said_free(checkers);
	assert_true(said_read(kept, checkers));
	json_decref(kept);
	assert_int_equal(checkers->n_blind, 1);
	expect("analyzer", SAFETY_C, bug, control, SAFETY_UNMEASURED, "unrecognized option");
	expect("sparse", SAFETY_C, bug, control, SAFETY_NOT_CAUGHT, "it says nothing");
	/* neither has one that was not asked without the bug */
	said_blind(&control[PROBE_KASAN], "log/leak", "its guest did not live");
	expect("kmemleak", SAFETY_C, bug, control, SAFETY_UNMEASURED, "did not live");
	expect("kasan", SAFETY_C, bug, control, SAFETY_NOT_CAUGHT, "it says nothing");
	said_add(&bug[PROBE_KASAN], "log/leak", "m_open", "unreferenced object", NULL);
	expect("kmemleak", SAFETY_C, bug, control, SAFETY_CAUGHT, "unreferenced object");
	free_all(bug);
	free_all(control);
}

static void a_compiler_that_gives_no_reason_has_not_judged(void **state)
{
	struct subject x = { .dir = "/tmp/room" };
	struct said s = {};

	(void)state;
	safety_read_build(&x, "gcc: fatal: Killed signal terminated program cc1\n", true, &s);
	assert_false(s.known);
	assert_null(s.no_build);
	assert_non_null(s.unmeasured);
	said_free(&s);
	safety_read_build(&x, "/tmp/room/x.c:1:2: error: no\n", true, &s);
	assert_true(s.known);
	assert_string_equal(s.no_build, "x.c:1:2: error: no");
	said_free(&s);
}

static void no_cell_is_without_a_reason(void **state)
{
	struct said bug[PROBES] = {}, control[PROBES] = {};

	(void)state;
	for (size_t i = 0; i < safety_n_columns; i++)
		for (int l = 0; l < SAFETY_LANGUAGES; l++)
			expect(safety_columns[i].name, l, bug, control,
			       l == SAFETY_RUST &&
					       safety_columns[i].probes & (1u << PROBE_CHECKERS |
									   1u << PROBE_CPPCHECK |
									   1u << PROBE_COCCINELLE) ?
				       SAFETY_NOT_APPLICABLE :
				       SAFETY_UNMEASURED,
			       "");
	bug[PROBE_BUILD].unmeasured = xstrdup("the build gives no reason");
	expect("stress", SAFETY_C, bug, control, SAFETY_UNMEASURED, "gives no reason");
	bug[PROBE_KASAN].unmeasured = xstrdup("no debug kernel");
	expect("kasan", SAFETY_C, bug, control, SAFETY_UNMEASURED, "no debug kernel");
	/* one of two kernels is not enough to say that nothing was found */
	bug[PROBE_KCSAN].known = control[PROBE_KCSAN].known = true;
	expect("lockdep", SAFETY_C, bug, control, SAFETY_UNMEASURED, "no debug kernel");
	said_add(&bug[PROBE_KCSAN], "log/lockdep", NULL, "possible deadlock", NULL);
	expect("lockdep", SAFETY_C, bug, control, SAFETY_CAUGHT, "deadlock");
	bug[PROBE_BUILD].known = control[PROBE_BUILD].known = true;
	bug[PROBE_BUILD].no_build = xstrdup("error[E0382]: use of moved value");
	expect("compiler", SAFETY_RUST, bug, control, SAFETY_NO_BUILD, "E0382");
	expect("stress", SAFETY_RUST, bug, control, SAFETY_NOT_APPLICABLE, "does not compile");
	free_all(bug);
	free_all(control);
}

static void what_a_probe_said_is_kept_whole(void **state)
{
	struct said s = { .known = true }, t;
	json_t *o;

	(void)state;
	said_add(&s, "conform", "m/conform/x", "x: \"EIO\"", "m/conform/x");
	said_add(&s, "conform", "m/conform/x", "twice", NULL);
	said_add(&s, "sparse", NULL, "x.c:1: warning: w", NULL);
	/* bytes of a log that are no text */
	said_add(&s, "log/other", "\xff", "a\xffz", NULL);
	said_add(&s, "log/other", "\xff", "again", NULL);
	said_blind(&s, "tests", "\xc3");
	s.no_build = xstrdup("error");
	o = said_json(&s);
	assert_true(said_read(o, &t));
	assert_int_equal(t.n, 3);
	assert_string_equal(t.v[0].text, "x: \"EIO\"");
	assert_string_equal(t.v[0].at, "m/conform/x");
	assert_string_equal(t.v[1].what, "x.c:#: warning: w");
	assert_string_equal(t.v[2].text, "a\xef\xbf\xbdz");
	assert_int_equal(t.n_blind, 1);
	assert_string_equal(t.no_build, "error");
	json_decref(o);
	said_free(&t);
	o = json_pack("{s:s}", "said", "nonsense");
	assert_false(said_read(o, &t));
	json_decref(o);
	said_free(&s);
}

static struct safety one_bug(struct said *bug, struct said *control, struct safety_bug *b,
			     struct subject v[2])
{
	*b = (struct safety_bug){ .number = "06",
				  .slug = "moved",
				  .language = SAFETY_RUST,
				  .room = "/x/room",
				  .bug = "<it> frees",
				  .class = "use after free",
				  .trigger = "close",
				  .expect = "refused",
				  .compile = "E0382",
				  .error = "E0382",
				  .diff = { .s = "--- a/x\n" } };
	v[0] = (struct subject){ .room = "/x/room", .said = control };
	v[1] = (struct subject){ .bug = b, .room = "/x/room", .said = bug, .control = &v[0] };
	return (struct safety){ .v = v, .n = 2 };
}

static void a_patch_that_does_not_do_what_it_says_is_told(void **state)
{
	struct said bug[PROBES] = {}, control[PROBES] = {};
	static const struct {
		const char *error;
		size_t surprises;
	} cases[] = { { "error[E0382]: moved", 0 },
		      { "error[E0425]: no such name", 1 },
		      { NULL, 1 } };
	FILE *null = fopen("/dev/null", "w");
	struct safety_bug b;
	struct subject v[2];
	struct safety s = one_bug(bug, control, &b, v);

	(void)state;
	bug[PROBE_BUILD].known = control[PROBE_BUILD].known = true;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *matrix;

		bug[PROBE_BUILD].no_build = (char *)cases[i].error;
		matrix = safety_json(&s);
		assert_int_equal(safety_surprises(null, matrix), cases[i].surprises);
		json_decref(matrix);
	}
	fclose(null);
}

/* Text and page have the evidence; an older record fills what the newer did not measure. */
static void the_matrix_is_shown(void **state)
{
	struct said bug[PROBES] = {}, control[PROBES] = {};
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	struct safety_bug b;
	struct subject v[2];
	struct safety s = one_bug(bug, control, &b, v);
	struct store st = {};
	struct report r;
	struct buf page = {};
	json_t *matrix;

	(void)state;
	bug[PROBE_BUILD].known = control[PROBE_BUILD].known = true;
	bug[PROBE_BUILD].no_build = "error[E0382]: use of <moved> value";
	matrix = safety_json(&s);
	safety_print(f, matrix);
	fclose(f);
	assert_non_null(strstr(text, "06  Rust room"));
	assert_non_null(strstr(text, "compiler: error[E0382]: use of <moved> value"));
	free(text);
	store_add(&st, "old",
		  json_pack("{s:s, s:s, s:o}", "kind", "safety", "ended", "2026-01-01", "safety",
			    matrix));
	bug[PROBE_BUILD].known = false;
	bug[PROBE_BUILD].no_build = NULL;
	store_add(&st, "new",
		  json_pack("{s:s, s:s, s:o}", "kind", "safety", "ended", "2026-01-02", "safety",
			    safety_json(&s)));
	report_init(&r, &st);
	report_html_safety(&r, &page);
	assert_non_null(
		strstr(page.s, "refused</summary><code>error[E0382]: use of &lt;moved&gt;"));
	assert_non_null(strstr(page.s, "&lt;it&gt; frees"));
	assert_non_null(strstr(page.s, "1 of 1"));
	report_free(&r);
	buf_free(&page);
	/* what was measured of another mistake is not this one's */
	b.diff.s = "--- a/y\n";
	store_add(&st, "newest",
		  json_pack("{s:s, s:s, s:o}", "kind", "safety", "ended", "2026-01-03", "safety",
			    safety_json(&s)));
	report_init(&r, &st);
	report_html_safety(&r, &page);
	assert_null(strstr(page.s, "E0382"));
	report_free(&r);
	buf_free(&page);
	store_free(&st);
}

static void what_the_kernel_says_of_itself_is_not_the_drivers(void **state)
{
	struct klog_frame own = { .function = "foo_read", .module = "foo" };
	struct klog_frame other = { .function = "build_sched_domains" };
	struct klog_finding f = { .kind = KLOG_KCSAN, .frames = &own, .n_frames = 1 };

	(void)state;
	/* whoever read the clock meanwhile is on the stack, and races with nobody */
	f.headline = "BUG: KCSAN: data-race in ktime_get / timekeeping_update_from_shadow";
	assert_false(safety_is_drivers(&f, "foo"));
	f.headline = "BUG: KCSAN: data-race in foo_ioctl [foo] / foo_read [foo]";
	assert_true(safety_is_drivers(&f, "foo"));
	assert_false(safety_is_drivers(&f, "bar"));
	f = (struct klog_finding){
		.kind = KLOG_WARNING, .headline = "WARNING", .frames = &other, .n_frames = 1
	};
	assert_false(safety_is_drivers(&f, "foo"));
	f.frames = &own;
	assert_true(safety_is_drivers(&f, "foo"));
	own.guessed = true;
	assert_false(safety_is_drivers(&f, "foo"));
	/* a list that a driver has spoiled is found by the next who walks it */
	f.kind = KLOG_LIST;
	f.frames = &other;
	assert_true(safety_is_drivers(&f, "foo"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patch_names_are_read),
		cmocka_unit_test(a_head_is_read),
		cmocka_unit_test(a_wrong_head_is_refused),
		cmocka_unit_test(patches_are_applied_to_copies),
		cmocka_unit_test(numbers_and_places_do_not_tell_complaints_apart),
		cmocka_unit_test(only_what_is_new_counts),
		cmocka_unit_test(the_kernels_word_counts_for_the_test_that_ran),
		cmocka_unit_test(a_tool_that_could_not_look_has_not_missed_anything),
		cmocka_unit_test(a_compiler_that_gives_no_reason_has_not_judged),
		cmocka_unit_test(no_cell_is_without_a_reason),
		cmocka_unit_test(what_a_probe_said_is_kept_whole),
		cmocka_unit_test(a_patch_that_does_not_do_what_it_says_is_told),
		cmocka_unit_test(what_the_kernel_says_of_itself_is_not_the_drivers),
		cmocka_unit_test(the_matrix_is_shown),
	};

	if (proc_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
