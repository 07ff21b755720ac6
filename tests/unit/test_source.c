// SPDX-License-Identifier: GPL-2.0
/* Sources: lines of code, unsafe ones, and what a Kbuild names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../lab/source.h"
#include "dir.h"

static void lines_without_code_do_not_count(void **state)
{
	struct source_lines l;

	(void)state;
	source_count("// one\n\n/* two\n * three\n */\nint a; /* four */\n\t \n/* */ int b;\n",
		     false, &l);
	assert_int_equal(l.code, 2);
	source_count("", false, &l);
	assert_int_equal(l.code, 0);
	source_count("int a;", false, &l);
	assert_int_equal(l.code, 1);
}

static void what_looks_like_a_comment_in_a_string_is_none(void **state)
{
	struct source_lines l;

	(void)state;
	source_count("char *s = \"/*\";\nint a;\nchar c = '\"';\nchar d = '\\'';\nint b; // */\n",
		     false, &l);
	assert_int_equal(l.code, 5);
	source_count(
		"let s = r#\"/* \" //\"#;\nlet a = 1;\nfn f<'a>(x: &'a str) {}\nlet c = '\"';\n"
		"let d = '\\'';\nlet e = '\u00e4';\n",
		true, &l);
	assert_int_equal(l.code, 6);
}

static void comments_nest_in_rust_only(void **state)
{
	static const char text[] = "/* a /* b */ c();\n*/\nd();\n";
	struct source_lines l;

	(void)state;
	source_count(text, true, &l);
	assert_int_equal(l.code, 1);
	source_count(text, false, &l);
	assert_int_equal(l.code, 3);
}

static void unsafe_lines_are_those_in_its_braces(void **state)
{
	struct source_lines l;

	(void)state;
	source_count("fn a() {\n"
		     "    // SAFETY: it is.\n"
		     "    let x = unsafe { f() };\n" /* 1 */
		     "    let y = 1;\n"
		     "    unsafe {\n" /* 2 */
		     "        g();\n" /* 3 */
		     "        // not counted\n"
		     "        if h() { i() }\n" /* 4 */
		     "    }\n"			/* 5 */
		     "}\n"
		     "// SAFETY: no data.\n"
		     "unsafe impl Sync for A {}\n"    /* 6 */
		     "unsafe extern \"C\" fn poll(\n" /* 7 */
		     "    f: *mut File,\n"	      /* 8 */
		     ") -> u32 {\n"		      /* 9 */
		     "    0\n"			      /* 10 */
		     "}\n",			      /* 11 */
		     true, &l);
	assert_int_equal(l.unsafe, 11);
	assert_int_equal(l.unsafe_blocks, 4);
	assert_int_equal(l.safety, 2);
	assert_int_equal(l.code, 14);
}

static void unsafe_types_words_and_texts_open_nothing(void **state)
{
	struct source_lines l;

	(void)state;
	source_count("let f: Option<unsafe extern \"C\" fn(i32) -> i32> = None;\n" /* 1 */
		     "fn a() {\n"
		     "    b();\n"
		     "}\n"
		     "let unsafe_one = \"unsafe { }\";\n"
		     "#[unsafe(no_mangle)]\n"
		     "fn c() {}\n",
		     true, &l);
	assert_int_equal(l.unsafe, 1);
	assert_int_equal(l.unsafe_blocks, 1);
}

static void a_kbuild_names_its_modules(void **state)
{
	struct strv m = {};

	(void)state;
	source_modules(
		"# obj-m := no.o\nobj-m := a.o b-c.o \\\n\td.o # e.o\nobj-$(RUST) += a_rust.o\n"
		"a-objs := f.o\nccflags-y := -g\n",
		&m);
	assert_int_equal(m.n, 4);
	assert_string_equal(m.v[0], "a");
	assert_string_equal(m.v[1], "b_c");
	assert_string_equal(m.v[2], "d");
	assert_string_equal(m.v[3], "a_rust");
	strv_free(&m);
}

static int setup(void **state)
{
	if (dir_setup(state))
		return -1;
	put("Kbuild", "obj-m := one.o two-part.o\ntwo-part-y := core.o stub.o\n"
		      "obj-$(RUST) += $(addsuffix .o,$(twins))\n");
	put("one.c", "#include \"one.h\"\n#include \"common.c\"\n#include \"uapi.h\"\nint a;\n");
	put("one.h", "int b;\n");
	put("common.c", "int c;\nint d;\n");
	put("uapi.h", "int e;\n");
	put("core.rs", "mod parts;\nmod generated;\nfn a() {}\n");
	put("parts.rs", "fn b() { unsafe { c() } }\n");
	put("stub.c", "int f;\nint g;\n");
	put("twin.rs", "fn a() {}\n");
	return 0;
}

static struct driver room(void)
{
	struct driver d = { .dir = dir, .name = "room" };

	strv_add(&d.headers, "uapi.h");
	return d;
}

static void a_source_is_read_with_what_it_takes_in(void **state)
{
	struct driver d = room();
	struct source s;

	(void)state;
	assert_true(source_read(&d, "one", &s));
	assert_int_equal(s.files.n, 3); /* not the UAPI header, which a twin shares */
	assert_int_equal(s.lines.code, 4 + 1 + 2);
	assert_false(s.rust);
	assert_int_equal(s.stub, 0);
	source_free(&s);
	strv_free(&d.headers);
}

static void c_in_a_rust_module_is_a_stub(void **state)
{
	struct driver d = room();
	struct source s;

	(void)state;
	assert_true(source_read(&d, "two_part", &s));
	assert_true(s.rust);
	assert_int_equal(s.stub, 2);
	assert_int_equal(s.lines.code, 3 + 1 + 2);
	assert_int_equal(s.lines.unsafe, 1);
	source_free(&s);
	strv_free(&d.headers);
}

static void a_module_that_only_make_knows_is_found_by_its_source(void **state)
{
	struct driver d = room();
	struct source s;

	(void)state;
	assert_true(source_read(&d, "twin", &s));
	assert_true(s.rust);
	source_free(&s);
	assert_false(source_read(&d, "nothing", &s));
	source_free(&s);
	strv_free(&d.headers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_without_code_do_not_count),
		cmocka_unit_test(what_looks_like_a_comment_in_a_string_is_none),
		cmocka_unit_test(comments_nest_in_rust_only),
		cmocka_unit_test(unsafe_lines_are_those_in_its_braces),
		cmocka_unit_test(unsafe_types_words_and_texts_open_nothing),
		cmocka_unit_test(a_kbuild_names_its_modules),
		cmocka_unit_test(a_source_is_read_with_what_it_takes_in),
		cmocka_unit_test(c_in_a_rust_module_is_a_stub),
		cmocka_unit_test(a_module_that_only_make_knows_is_found_by_its_source),
	};

	return cmocka_run_group_tests_name("source", tests, setup, dir_teardown);
}
