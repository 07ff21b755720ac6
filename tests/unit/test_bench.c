// SPDX-License-Identifier: GPL-2.0
/* The exact clock's host side: the exec log of QEMU, and budgets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench.h"

#define MARK 0x401000UL

static const struct trace_range ranges[] = {
	{ "drv_ioctl", 0xffffffffc0001000UL, 0x40 },
	{ "drv_set", 0xffffffffc0001040UL, 0x20 },
};

static char *write_log(const char *text)
{
	char *path = xstrdup("/tmp/cdevlab-test-XXXXXX");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

static void pass(struct buf *b, unsigned long extra)
{
	/* as QEMU 7.2 writes it, then as 10.0 does */
	buf_printf(b, "Trace 0: 0x7f01 [0000000000000000/%016lx/0040c2b0/ff020201] \n", MARK);
	buf_printf(b, "Trace 0: 0x7f02 [00000000/%016lx/0040c2b0/ff020201] \n", 0x402000UL);
	buf_printf(b, "Trace 0: 0x7f03 [00000000/%016lx/0040c2b0/ff020201] entry\n",
		   0xffffffff81000000UL);
	buf_printf(b, "Trace 0: 0x7f04 [00000000/%016lx/0040c2b0/ff020201] \n",
		   0xffffffffc0001000UL);
	buf_printf(b, "Trace 0: 0x7f04 [00000000/%016lx/0040c2b0/ff020201] \n",
		   0xffffffffc0001008UL);
	buf_printf(b, "Trace 0: 0x7f05 [00000000/%016lx/0040c2b0/ff020201] \n",
		   0xffffffffc0001044UL);
	for (unsigned long i = 0; i < extra; i++)
		buf_printf(b, "Trace 0: 0x7f06 [00000000/%016lx/0040c2b0/ff020201] \n",
			   0xffffffff82000000UL + i);
}

static int parse(const char *text, struct trace_split *out)
{
	char *path = write_log(text);
	int ret = bench_trace_parse(path, MARK, 0x8000000000000000UL, ranges, ARRAY_SIZE(ranges),
				    out);

	unlink(path);
	free(path);
	return ret;
}

static void an_address_is_attributed_to_user_module_or_kernel(void **state)
{
	struct trace_split s;
	struct buf b = {};

	(void)state;
	for (int i = 0; i < 3; i++)
		pass(&b, 0);
	assert_int_equal(parse(b.s, &s), 0);
	assert_int_equal(s.passes, 2);
	assert_int_equal((int)s.user, 2); /* the mark itself, and one */
	assert_int_equal((int)s.in_module, 3);
	assert_int_equal((int)s.rest, 1);
	assert_int_equal(s.n_functions, 2);
	assert_string_equal(s.functions[0].name, "drv_ioctl");
	assert_int_equal((int)s.functions[0].count, 2);
	trace_split_free(&s);
	buf_free(&b);
}

static void a_pass_with_a_timer_tick_does_not_count(void **state)
{
	struct trace_split s;
	struct buf b = {};

	(void)state;
	pass(&b, 500);
	pass(&b, 0);
	pass(&b, 0);
	pass(&b, 0);
	assert_int_equal(parse(b.s, &s), 0);
	assert_int_equal((int)s.rest, 1);
	trace_split_free(&s);
	buf_free(&b);
}

static void an_instruction_that_was_logged_but_not_run_is_taken_back(void **state)
{
	struct trace_split s;
	struct buf b = {};

	(void)state;
	pass(&b, 0);
	buf_puts(&b, "Trace 0: 0x7f07 [0000000000000000/ffffffff81000040/0040c2b0/ff020201] \n"
		     "Stopped execution of TB chain before 0x7f07 [ffffffff81000040] \n");
	buf_puts(&b, "Trace 0: 0x7f08 [0000000000000000/ffffffff81000050/0040c2b0/ff020201] \n"
		     "cpu_io_recompile: rewound execution of TB to ffffffff81000050\n");
	/* one that never was in the log takes nothing back */
	buf_puts(&b, "Stopped execution of TB chain before 0x7f09 [ffffffff81000060] \n");
	pass(&b, 0);
	assert_int_equal(parse(b.s, &s), 0);
	assert_int_equal((int)s.rest, 1);
	trace_split_free(&s);
	buf_free(&b);
}

static void a_log_without_two_marks_is_no_split(void **state)
{
	struct trace_split s;
	struct buf b = {};

	(void)state;
	assert_int_not_equal(parse("", &s), 0);
	pass(&b, 0);
	assert_int_not_equal(parse(b.s, &s), 0);
	buf_free(&b);
}

/* --- budgets --- */

struct fixture {
	struct arch arch;
	struct kernel kernel;
	struct built built;
	struct test_run run;
	struct bench_function function;
	struct bench_op op;
	struct bench bench;
	char *path;
};

static void fixture_init(struct fixture *f, long own)
{
	*f = (struct fixture){
		.arch = { .name = "amd64" },
		.kernel = { .release = "6.1.0-1-amd64", .arch = &f->arch },
		.built = { .compiler = "gcc 12" },
		.function = { .name = "drv_set", .count = own },
		.path = "/tmp/cdevlab-test-budget.json",
	};
	f->op = (struct bench_op){
		.kernel = &f->kernel,
		.built = &f->built,
		.module = "drv",
		.name = "SET",
		.floor = "NOP",
		.own = own,
		.split = true,
		.functions = &f->function,
		.n_functions = 1,
	};
	f->run.root = ktap_new(NULL, "root");
	f->bench = (struct bench){ .run = &f->run, .ops = &f->op, .n = 1 };
}

static struct ktap *checked(struct fixture *f)
{
	struct ktap *suite;

	assert_int_equal(bench_budget_check(&f->bench, f->path), LAB_OK);
	suite = ktap_child(f->run.root, "budget");
	assert_int_equal(suite->n, 1);
	return suite->children[0];
}

static void a_rise_of_one_instruction_fails_and_names_the_function(void **state)
{
	struct fixture f;
	struct ktap *t;

	(void)state;
	fixture_init(&f, 66);
	unlink(f.path);
	assert_int_equal(bench_budget_save(&f.bench, f.path), LAB_OK);
	t = checked(&f);
	assert_int_equal(t->result, KTAP_PASS);
	ktap_free(f.run.root);

	fixture_init(&f, 67);
	t = checked(&f);
	assert_int_equal(t->result, KTAP_FAIL);
	assert_non_null(strstr(t->name, "SET"));
	assert_int_equal(t->notes.n, 1);
	assert_non_null(strstr(t->notes.v[0], "drv_set"));
	ktap_free(f.run.root);
	unlink(f.path);
}

static void another_compiler_has_no_budget_and_keeps_the_first_ones(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 66);
	unlink(f.path);
	assert_int_equal(bench_budget_save(&f.bench, f.path), LAB_OK);
	f.built.compiler = "gcc 14";
	assert_int_equal(checked(&f)->result, KTAP_SKIP);
	ktap_free(f.run.root);

	fixture_init(&f, 70);
	f.built.compiler = "gcc 14";
	assert_int_equal(bench_budget_save(&f.bench, f.path), LAB_OK);
	ktap_free(f.run.root);
	fixture_init(&f, 66);
	assert_int_equal(checked(&f)->result, KTAP_PASS);
	ktap_free(f.run.root);
	unlink(f.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_attributed_to_user_module_or_kernel),
		cmocka_unit_test(a_pass_with_a_timer_tick_does_not_count),
		cmocka_unit_test(an_instruction_that_was_logged_but_not_run_is_taken_back),
		cmocka_unit_test(a_log_without_two_marks_is_no_split),
		cmocka_unit_test(a_rise_of_one_instruction_fails_and_names_the_function),
		cmocka_unit_test(another_compiler_has_no_budget_and_keeps_the_first_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
