// SPDX-License-Identifier: GPL-2.0
/* Object files: a relocatable object compiled here, and this program itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../lab/elf.h"
#include "dir.h"

/* The numbers of these lines are what the tests ask for. */
static const char header[] =
	"static inline __attribute__((always_inline)) int twice(volatile int *p)\n" /* 1 */
	"{\n"
	"	return *p * 2;\n" /* 3 */
	"}\n";
static const char source[] =
	"#include \"sample.h\"\n" /* 1 */
	"static const char info[] __attribute__((section(\".modinfo\"), used)) =\n"
	"	\"license=GPL\\0depends=a,b\\0parm=one:first\\0parm=two:second\\0x=\";\n"
	"int counter[4];\n" /* 4 */
	"int first = 1;\n"
	"__attribute__((noinline)) int plain(int a)\n" /* 6 */
	"{\n"
	"	return a + 1;\n" /* 8 */
	"}\n"
	"__attribute__((noinline)) int calls(volatile int *p)\n" /* 10 */
	"{\n"
	"	counter[0] = plain(*p);\n"	 /* 12 */
	"	return twice(p) + counter[1];\n" /* 13 */
	"}\n"
	"__attribute__((section(\".init.text\"))) int sample_init(void)\n" /* 15 */
	"{\n"
	"	return calls(counter) + first;\n" /* 17 */
	"}\n"
	"int init_module(void) __attribute__((alias(\"sample_init\")));\n";

static int setup(void **state)
{
	_cleanup_free_ char *command = NULL;

	if (dir_setup(state))
		return -1;
	put("sample.h", header);
	put("sample.c", source);
	/* sections of their own: a line is right only when the debug sections are relocated */
	command = xasprintf("cd %s && %s -g -O2 -ffunction-sections -c sample.c -o sample.ko && "
			    "xz -k sample.ko",
			    dir, getenv("CC") ? getenv("CC") : "gcc");
	return system(command);
}

static void modinfo_is_read_in_file_order(void **state)
{
	static const char *const names[] = { "sample.ko", "sample.ko.xz" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		_cleanup_free_ char *ko = at(names[i]);
		struct strv v = {};

		assert_int_equal(elf_modinfo(ko, "parm", &v), 0);
		assert_int_equal(v.n, 2);
		assert_string_equal(v.v[0], "one:first");
		assert_string_equal(v.v[1], "two:second");
		strv_free(&v);
		assert_int_equal(elf_modinfo(ko, "depends", &v), 0);
		assert_string_equal(v.v[0], "a,b");
		strv_free(&v);
		assert_int_equal(elf_modinfo(ko, "vermagic", &v), -ENOENT);
		assert_int_equal(elf_modinfo(ko, "par", &v), -ENOENT);
	}
}

static void functions_are_sorted_and_have_one_name_each(void **state)
{
	_cleanup_free_ char *ko = at("sample.ko");
	struct elf_symbol *f;
	size_t n;

	(void)state;
	assert_int_equal(elf_functions(ko, &f, &n), 0);
	assert_int_equal(n, 3);
	assert_string_equal(f[0].name, "sample_init");
	assert_string_equal(f[0].section, ".init.text");
	assert_string_equal(f[1].name, "calls");
	assert_string_equal(f[2].name, "plain");
	assert_true(f[2].size > 0);
	elf_functions_free(f, n);
}

static void sizes_are_those_of_allocated_sections(void **state)
{
	_cleanup_free_ char *ko = at("sample.ko");
	struct elf_sizes s;

	(void)state;
	assert_int_equal(elf_module_sizes(ko, &s), 0);
	assert_int_equal(s.functions, 3);
	assert_int_equal(s.bss, sizeof(int[4]));
	assert_int_equal(s.data, sizeof(int));
	assert_true(s.text > 0);
	assert_true(s.rodata >= 60); /* .modinfo */
}

/* The first instruction may already count to the first statement. */
static void assert_line(const char *where, int first, int last)
{
	assert_true(str_starts(where, "sample.c:"));
	assert_in_range(atoi(where + strlen("sample.c:")), first, last);
}

static void an_address_in_a_relocatable_object_has_its_line(void **state)
{
	_cleanup_free_ char *ko = at("sample.ko");
	_cleanup_free_ char *a = NULL, *b = NULL, *c = NULL;

	(void)state;
	assert_int_equal(elf_source_line(ko, "plain", 0, &a), 0);
	assert_line(a, 7, 8);
	assert_int_equal(elf_source_line(ko, "calls", 0, &b), 0);
	assert_line(b, 11, 12);
	assert_int_equal(elf_source_line(ko, "sample_init", 0, &c), 0);
	assert_line(c, 16, 17);
}

static void every_line_is_the_one_that_binutils_names(void **state)
{
	_cleanup_free_ char *ko = at("sample.ko");
	struct elf_symbol *f;
	size_t n;

	(void)state;
	if (system("command -v addr2line >/dev/null"))
		skip();
	assert_int_equal(elf_functions(ko, &f, &n), 0);
	for (size_t i = 0; i < n; i++) {
		for (unsigned long at = 0; at < f[i].size; at++) {
			_cleanup_free_ char *where = NULL;
			_cleanup_free_ char *command =
				xasprintf("addr2line -e %s -j %s %#lx", ko, f[i].section,
					  f[i].section_offset + at);
			char want[4096] = "";
			FILE *p = popen(command, "r");

			assert_non_null(fgets(want, sizeof(want), p));
			pclose(p);
			want[strcspn(want, " \n")] = '\0';
			assert_int_equal(elf_source_line(ko, f[i].name, at, &where), 0);
			where[strcspn(where, " ")] = '\0';
			assert_string_equal(where, path_base(want));
		}
	}
	elf_functions_free(f, n);
}

static void inlined_code_names_both_places(void **state)
{
	_cleanup_free_ char *ko = at("sample.ko");
	struct elf_symbol *f;
	bool found = false;
	size_t n;

	(void)state;
	assert_int_equal(elf_functions(ko, &f, &n), 0);
	for (unsigned long at = 0; at < f[1].size; at++) {
		_cleanup_free_ char *where = NULL;

		assert_int_equal(elf_source_line(ko, "calls", at, &where), 0);
		found = found || !strcmp(where, "sample.h:3 (inlined into sample.c:13)");
	}
	elf_functions_free(f, n);
	assert_true(found);
}

static void a_compressed_module_has_lines_too(void **state)
{
	_cleanup_free_ char *ko = at("sample.ko.xz"), *where = NULL;

	(void)state;
	assert_int_equal(elf_source_line(ko, "plain", 0, &where), 0);
	assert_line(where, 7, 8);
}

static void what_is_not_there_is_said(void **state)
{
	_cleanup_free_ char *ko = at("sample.ko"), *text = at("sample.c");
	_cleanup_free_ char *empty = at("empty"), *none = at("none");
	struct elf_symbol *f;
	struct elf_sizes sizes;
	struct strv v = {};
	char *where;
	size_t n;

	(void)state;
	assert_int_equal(file_write(empty, "", 0), 0);
	assert_int_equal(elf_source_line(ko, "nothing", 0, &where), -ENOENT);
	assert_int_equal(elf_source_line(ko, "plain", 4096, &where), -ENOENT);
	assert_int_equal(elf_source_line(none, "plain", 0, &where), -ENOENT);
	assert_int_equal(elf_source_line(text, "plain", 0, &where), -EINVAL);
	assert_int_equal(elf_modinfo(none, "parm", &v), -ENOENT);
	assert_int_equal(elf_modinfo(text, "parm", &v), -EINVAL);
	assert_int_equal(elf_modinfo(empty, "parm", &v), -EINVAL);
	assert_int_equal(elf_functions(text, &f, &n), -EINVAL);
	assert_int_equal(elf_module_sizes(empty, &sizes), -EINVAL);
}

/* A file that was cut off or damaged is refused or read, never followed out of its bounds. */
static void damaged_files_do_no_harm(void **state)
{
	_cleanup_free_ char *ko = at("sample.ko"), *bad = at("bad.ko");
	struct buf whole = {};

	(void)state;
	assert_int_equal(file_read(ko, &whole), 0);
	for (size_t n = 0; n < whole.n; n += whole.n / 60 + 1) {
		struct elf_symbol *f;
		struct elf_sizes sizes;
		struct strv v = {};
		char *where;
		size_t count;

		assert_int_equal(file_write(bad, whole.s, n), 0);
		elf_modinfo(bad, "parm", &v);
		strv_free(&v);
		elf_module_sizes(bad, &sizes);
		elf_functions(bad, &f, &count);
		elf_functions_free(f, count);
		elf_source_line(bad, "plain", 0, &where);
		free(where);
	}
	buf_free(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(modinfo_is_read_in_file_order),
		cmocka_unit_test(functions_are_sorted_and_have_one_name_each),
		cmocka_unit_test(sizes_are_those_of_allocated_sections),
		cmocka_unit_test(an_address_in_a_relocatable_object_has_its_line),
		cmocka_unit_test(every_line_is_the_one_that_binutils_names),
		cmocka_unit_test(inlined_code_names_both_places),
		cmocka_unit_test(a_compressed_module_has_lines_too),
		cmocka_unit_test(what_is_not_there_is_said),
		cmocka_unit_test(damaged_files_do_no_harm),
	};

	return cmocka_run_group_tests_name("elf", tests, setup, dir_teardown);
}
