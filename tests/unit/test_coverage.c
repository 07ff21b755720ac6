// SPDX-License-Identifier: GPL-2.0
/* Coverage: a relocatable object compiled here, and logs as QEMU writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../lab/coverage.h"
#include "../../lab/elf.h"
#include "dir.h"

static const char header[] =
	"static inline __attribute__((always_inline)) int outside(volatile int *p)\n"
	"{\n"
	"	return *p * 3;\n"
	"}\n";
/* The numbers of these lines are what the tests ask for. */
static const char source[] =
	"#include \"../foreign.h\"\n"
	"static inline __attribute__((always_inline)) int inside(volatile int *p)\n" /* 2 */
	"{\n"
	"	return *p * 2;\n" /* 4 */
	"}\n"
	"__attribute__((noinline)) int reached(volatile int *p)\n" /* 6 */
	"{\n"
	"	*p = 1;\n"			  /* 8 */
	"	return inside(p) + outside(p);\n" /* 9 */
	"}\n"
	"\n"
	"__attribute__((noinline, section(\".init.text\"))) int other(volatile int *p)\n" /* 12 */
	"{\n"
	"	*p = 2;\n"   /* 14 */
	"	return 5;\n" /* 15 */
	"}\n"
	"struct module { long state; char name[56]; void *kallsyms; } this_module;\n";

static char *room, *ko;
static struct driver driver;

static int setup(void **state)
{
	_cleanup_free_ char *command = NULL;

	if (dir_setup(state))
		return -1;
	room = at("room");
	ko = xasprintf("%s/sample.ko", room);
	put("foreign.h", header);
	put("room/sample.c", source);
	driver = (struct driver){ .name = (char *)"room", .dir = room };
	command = xasprintf("cd %s && %s -g -O1 -c sample.c -o sample.ko", room,
			    getenv("CC") ? getenv("CC") : "gcc");
	return system(command);
}

static int teardown(void **state)
{
	free(room);
	free(ko);
	return dir_teardown(state);
}

static void write_log(const char *text, struct code_log *log)
{
	_cleanup_free_ char *path = at("log");

	put("log", text);
	assert_int_equal(code_log_read(path, log), 0);
}

static void a_log_is_read_whatever_the_architecture(void **state)
{
	static const unsigned long pcs[] = { 0xffff800000c8a000, 0xffffffff01a50042,
					     0xffffffffc0219470, 0xffffffffc0219475 };
	struct code_log log;

	(void)state;
	write_log("----------------\nIN: \n"
		  "0xffffffffc0219470:  0f 1f 44 00 00           nopl     (%rax, %rax)\n"
		  "0xffffffffc0219475:  e8 9f fb 4d c1           callq    0xffffffff816f9020\n\n"
		  "----------------\nIN: reached\n"
		  "0xffffffffc0219470:  0f 1f 44 00 00           nopl     (%rax, %rax)\n"
		  "0xffff800000c8a000:  d503201f          nop      \n"
		  "0xffffffff01a50042:  1141                    addi    sp,sp,-16\n",
		  &log);
	assert_int_equal(log.n, 4);
	assert_memory_equal(log.pcs, pcs, sizeof(pcs));
	code_log_free(&log);
}

static bool any_file(void *ctx, const char *file)
{
	(void)ctx;
	return !strcmp(file, "sample.c");
}

/* A log of every instruction's address in .text, if there is one. */
static char *log_of_section(const char *section, unsigned long base)
{
	struct elf_line *lines;
	struct buf b = {};
	size_t n;

	assert_int_equal(elf_lines(ko, any_file, NULL, &lines, &n), 0);
	buf_puts(&b, "");
	for (size_t i = 0; i < n; i++)
		if (!strcmp(lines[i].section, section))
			buf_printf(&b, "0x%lx:  90  nop\n", base + lines[i].offset);
	elf_lines_free(lines, n);
	return b.s;
}

static void lines_are_reached_where_their_code_was_loaded(void **state)
{
	_cleanup_free_ char *text = log_of_section(".text", 0xc0001000);
	struct coverage c = { .driver = &driver, .kernel = "k" };
	_cleanup_free_ char *missed = NULL;
	size_t reached, all;
	struct code_log log;

	(void)state;
	write_log(text, &log);
	assert_int_equal(coverage_add(&c, ko,
				      ".init.text 0x00000000c0005000\n.text 0x00000000c0001000\n",
				      &log),
			 0);
	/* only what lies in the room */
	assert_int_equal(c.n, 1);
	assert_string_equal(c.files[0].name, "sample.c");
	assert_int_equal(c.files[0].line[8 - 1], COVERAGE_REACHED);
	assert_int_equal(c.files[0].line[9 - 1], COVERAGE_REACHED);
	assert_int_equal(c.files[0].line[4 - 1], COVERAGE_REACHED);
	assert_int_equal(c.files[0].line[11 - 1], COVERAGE_NO_CODE);
	assert_int_equal(c.files[0].line[14 - 1], COVERAGE_CODE);
	coverage_count(&c.files[0], &reached, &all);
	assert_true(reached < all);
	missed = coverage_missed(&c.files[0]);
	assert_non_null(strstr(missed, "-16"));
	code_log_free(&log);
	coverage_free(&c);
}

/* The same addresses, and another module was there. */
static void code_that_was_loaded_elsewhere_is_not_reached(void **state)
{
	_cleanup_free_ char *text = log_of_section(".text", 0xc0001000);
	struct coverage c = { .driver = &driver, .kernel = "k" };
	size_t reached, all;
	struct code_log log;

	(void)state;
	write_log(text, &log);
	assert_int_equal(coverage_add(&c, ko, ".text 0x00000000c0101000\n", &log), 0);
	coverage_count(&c.files[0], &reached, &all);
	assert_int_equal(reached, 0);
	assert_true(all > 5);
	/* a second guest adds to it */
	assert_int_equal(coverage_add(&c, ko, ".text 0x00000000c0001000\n", &log), 0);
	coverage_count(&c.files[0], &reached, &all);
	assert_true(reached > 0);
	assert_int_equal(coverage_add(&c, ko, NULL, &log), 0);
	code_log_free(&log);
	coverage_free(&c);
}

static void files_are_written_for_people_and_for_lcov(void **state)
{
	_cleanup_free_ char *text = log_of_section(".text", 0xc0001000);
	_cleanup_free_ char *out = xasprintf("%s/out", dir);
	_cleanup_free_ char *shown = xasprintf("%s/room-k-1/sample.c.txt", out);
	_cleanup_free_ char *info = xasprintf("%s/room-k-1.info", out);
	struct coverage c = { .driver = &driver, .kernel = "k:1" };
	struct buf a = {}, b = {};
	struct code_log log;

	(void)state;
	write_log(text, &log);
	assert_int_equal(coverage_add(&c, ko, ".text 0xc0001000\n", &log), 0);
	assert_int_equal(coverage_write(&c, out), LAB_OK);
	assert_int_equal(file_read(shown, &a), 0);
	assert_int_equal(file_read(info, &b), 0);
	assert_non_null(strstr(a.s, " +     8  \t*p = 1;\n"));
	assert_non_null(strstr(a.s, "##    14  \t*p = 2;\n"));
	assert_non_null(strstr(a.s, "      11  \n"));
	assert_non_null(strstr(b.s, "DA:8,1\n"));
	assert_non_null(strstr(b.s, "DA:14,0\n"));
	assert_non_null(strstr(b.s, "end_of_record\n"));
	buf_free(&a);
	buf_free(&b);
	code_log_free(&log);
	coverage_free(&c);
}

static void a_module_tells_where_things_are(void **state)
{
	struct elf_place *places;
	unsigned long offset;
	bool text = false;
	size_t n;

	(void)state;
	assert_int_equal(elf_member(ko, "module", "kallsyms", &offset), 0);
	assert_int_equal(offset, 64);
	assert_int_equal(elf_member(ko, "module", "name", &offset), 0);
	assert_int_equal(offset, 8);
	assert_int_not_equal(elf_member(ko, "module", "nothing", &offset), 0);
	assert_int_not_equal(elf_member(ko, "nothing", "name", &offset), 0);
	assert_int_equal(elf_places(ko, &places, &n), 0);
	for (size_t i = 0; i < n; i++) {
		assert_true(places[i].symbol > 0);
		text |= !strcmp(places[i].section, ".text");
	}
	assert_true(text);
	elf_places_free(places, n);
	assert_true(elf_has_section(ko, ".init.text"));
	assert_false(elf_has_section(ko, ".nothing"));
	assert_int_equal(elf_address(ko, "other", &offset), 0);
	assert_int_not_equal(elf_address(ko, "nothing", &offset), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_log_is_read_whatever_the_architecture),
		cmocka_unit_test(lines_are_reached_where_their_code_was_loaded),
		cmocka_unit_test(code_that_was_loaded_elsewhere_is_not_reached),
		cmocka_unit_test(files_are_written_for_people_and_for_lcov),
		cmocka_unit_test(a_module_tells_where_things_are),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
