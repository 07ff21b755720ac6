// SPDX-License-Identifier: GPL-2.0
/* Both clocks' host side: the exec log of QEMU, budgets, goals, and what wall commands say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../guest/exact.h"
#include "../../guest/mode.h"
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

static void passes(struct buf *b, size_t n)
{
	while (n--)
		pass(b, 0);
}

static int parse_wanted(const char *text, size_t want, struct trace_split *out)
{
	char *path = write_log(text);
	int ret = bench_trace_parse(path, MARK, 0x8000000000000000UL, ranges, ARRAY_SIZE(ranges),
				    want, out);

	unlink(path);
	free(path);
	return ret;
}

static int parse(const char *text, struct trace_split *out)
{
	return parse_wanted(text, 0, out);
}

static void a_kernel_address_has_the_name_of_the_place_before_it(void **state)
{
	static const char text[] = "ffffffff82000010 later\n"
				   "ffffffff82000000 first\n"
				   "ffffffff82000000 alias\n"
				   "ffffffff82000020 end\n"
				   ".\n";
	static const unsigned long pcs[] = { 0xffffffff8200000f, 0xffffffff82000010,
					     0xffffffff8200001f, 0xffffffff81ffffff };
	struct bench_function *found;
	struct trace_range *v;
	size_t n = bench_symbols_parse(text, &v);

	(void)state;
	assert_int_equal(n, 3);
	assert_string_equal(v[1].function, "later");
	assert_int_equal(v[1].size, 16);
	assert_int_equal(bench_trace_count(pcs, ARRAY_SIZE(pcs), v, n, &found), 2);
	assert_string_equal(found[0].name, "later");
	assert_int_equal((int)found[0].count, 2);
	assert_int_equal((int)found[1].count, 1);
	for (size_t i = 0; i < 2; i++)
		free(found[i].name);
	for (size_t i = 0; i < n; i++)
		free((char *)v[i].function);
	free(found);
	free(v);
	/* a line that was cut off is none */
	assert_int_equal(bench_symbols_parse("ffffffff82000000 firs", &v), 0);
}

static void an_address_is_attributed_to_user_module_or_kernel(void **state)
{
	struct trace_split s;
	struct buf b = {};

	(void)state;
	passes(&b, EXACT_TRACED + 1);
	assert_int_equal(parse(b.s, &s), 0);
	assert_int_equal(s.passes, EXACT_TRACED);
	assert_int_equal((int)s.user, 2); /* the mark itself, and one */
	assert_int_equal((int)s.in_module, 3);
	assert_int_equal((int)s.rest, 1);
	assert_int_equal(s.n_kernel_pcs, 1);
	assert_true(s.kernel_pcs[0] == 0xffffffff81000000UL);
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
	passes(&b, EXACT_TRACED);
	assert_int_equal(parse(b.s, &s), 0);
	assert_int_equal((int)s.rest, 1);
	trace_split_free(&s);
	buf_free(&b);
}

static void of_two_lengths_that_alternate_the_counters_one_is_taken(void **state)
{
	struct trace_split s;
	struct buf b = {};

	(void)state;
	for (int i = 0; i < EXACT_TRACED / 2; i++) {
		pass(&b, 0);
		pass(&b, 4);
	}
	pass(&b, 0);
	assert_int_equal(parse_wanted(b.s, 10, &s), 0);
	assert_int_equal((int)s.rest, 5);
	trace_split_free(&s);
	/* no pass has that length: the most common one, as if nothing were known */
	assert_int_equal(parse_wanted(b.s, 11, &s), 0);
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
	passes(&b, EXACT_TRACED);
	assert_int_equal(parse(b.s, &s), 0);
	assert_int_equal((int)s.rest, 1);
	trace_split_free(&s);
	buf_free(&b);
}

static void a_log_without_all_its_marks_is_no_split(void **state)
{
	struct trace_split s;
	struct buf b = {};

	(void)state;
	assert_int_not_equal(parse("", &s), 0);
	passes(&b, EXACT_TRACED);
	assert_int_not_equal(parse(b.s, &s), 0);
	buf_free(&b);
}

/* --- budgets --- */

struct fixture {
	struct arch arch;
	struct kernel kernel;
	struct driver driver;
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
		.kernel = { .name = "debian:bookworm/amd64",
			    .release = "6.1.0-1-amd64",
			    .arch = &f->arch },
		.driver = { .name = "room", .dir = "/tmp/my room" },
		.built = { .driver = &f->driver, .compiler = "gcc 12" },
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

	assert_int_equal(bench_budget_check(&f->bench, NULL, f->path), LAB_OK);
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
	struct ktap *t;

	(void)state;
	fixture_init(&f, 66);
	unlink(f.path);
	assert_int_equal(bench_budget_save(&f.bench, f.path), LAB_OK);
	f.built.compiler = "gcc 14";
	t = checked(&f);
	assert_int_equal(t->result, KTAP_SKIP);
	assert_string_equal(
		t->reason,
		"no budget for 6.1.0-1-amd64 and gcc 14; ./cdevlab bench -k debian:bookworm/amd64 "
		"--save-budget /tmp/cdevlab-test-budget.json '/tmp/my room'");
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

/* --- wall commands --- */

#define PLACE(row) "{\"table\":\"T\",\"row\":\"" row "\",\"column\":\"c\""

static void said(struct bench_wall *w, const char *out)
{
	*w = (struct bench_wall){};
	bench_wall_parse(w, out);
}

static void forget(struct bench_wall *w)
{
	for (size_t i = 0; i < w->n; i++)
		record_free(&w->records[i]);
	free(w->records);
	free(w->failure);
}

static void a_record_a_line_is_read(void **state)
{
	struct bench_wall w;

	(void)state;
	said(&w,
	     "# a remark\n\n" PLACE("a") ",\"value\":0.5,\"unit\":\"us\"}\n" PLACE(
		     "b") ",\"value\":3,\"unit\":\"%\",\"low\":2,\"high\":4}\n" PLACE("c") ","
											   "\"unmeasured\":\"no meter\"}\n");
	assert_null(w.failure);
	assert_int_equal(w.n, 3);
	assert_true(w.records[0].value == 0.5 && !w.records[0].interval);
	assert_true(w.records[1].interval && w.records[1].high == 4);
	assert_string_equal(w.records[2].unmeasured, "no meter");
	forget(&w);
}

static void what_is_no_record_makes_the_command_a_failure(void **state)
{
	static const char *const wrong[][2] = {
		{ "", "no record" },
		{ "# only a remark\n", "no record" },
		{ "0.7 us\n", "0.7 us" },
		{ "[]\n", "no record" },
		{ "{}\n", "table" },
		{ PLACE("a") "}\n", "no value" },
		{ PLACE("a") ",\"value\":1}\n", "no unit" },
		{ PLACE("a") ",\"value\":null,\"unit\":\"us\"}\n", "no number" },
		{ PLACE("a") ",\"value\":\"1\",\"unit\":\"us\"}\n", "no number" },
		{ PLACE("a") ",\"value\":1e999,\"unit\":\"us\"}\n", "no JSON" },
		{ PLACE("a") ",\"value\":1,\"unit\":\"us\",\"low\":1}\n", "low and high" },
		{ PLACE("a") ",\"value\":1,\"unit\":\"us\",\"low\":2,\"high\":1}\n",
		  "no interval" },
		{ PLACE("a") ",\"value\":1,\"unit\":\"us\",\"valeu\":1}\n", "valeu" },
		{ PLACE("a") ",\"value\":1,\"unit\":\"us\",\"unmeasured\":\"x\"}\n", "unmeasured" },
		/* the first one is right, but a program that goes wrong is not believed at all */
		{ PLACE("a") ",\"value\":1,\"unit\":\"us\"}\nSegmentation fault\n",
		  "Segmentation" },
		{ PLACE("a") ",\"value\":1,\"unit\":\"us\"}\n" PLACE(
			  "a") ",\"value\":2,\"unit\":\"us\"}\n",
		  "second time" },
	};
	struct bench_wall w;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		said(&w, wrong[i][0]);
		assert_int_equal(w.n, 0);
		assert_non_null(w.failure);
		if (!strstr(w.failure, wrong[i][1]))
			fail_msg("\"%s\" is not in \"%s\"", wrong[i][1], w.failure);
		forget(&w);
	}
}

/* --- tables and goals --- */

/* struct room - a room with two operations, a wall command and goals, on one kernel */
struct room {
	struct fixture f;
	struct module module;
	struct bench_op ops[2];
	struct bench_wall wall;
	struct placed placed;
	struct goal goal;
};

static void room_init(struct room *r)
{
	struct ktap *t;

	*r = (struct room){};
	fixture_init(&r->f, 150);
	r->module = (struct module){ .name = "drv" };
	r->f.built.modules = &r->module;
	r->f.built.n = 1;
	r->ops[0] = r->ops[1] = r->f.op;
	r->ops[0].name = "read";
	r->ops[0].instructions = 700;
	r->ops[0].own = 150;
	r->ops[0].floor = "other";
	r->ops[1].name = "other";
	r->ops[1].instructions = 550;
	r->ops[1].own = 0;
	r->f.run.k = &r->f.kernel;
	r->f.run.n_kernels = 1;
	r->f.run.d = &r->f.driver;
	r->f.run.n_drivers = 1;
	r->f.run.built = &r->f.built;
	t = ktap_new(ktap_new(r->f.run.root, "debian:bookworm/amd64 6.1.0-1-amd64"), "room");
	t = ktap_new(ktap_new(t, "drv"), "bench_drv");
	ktap_new(t, "empty");
	ktap_new(t, "read");
	ktap_new(t, "other");
	ktap_set(ktap_new(t, "left out"), KTAP_SKIP, "open: EOPNOTSUPP");
	r->f.bench.ops = r->ops;
	r->f.bench.n = 2;
	r->f.bench.exact_ran = true;
	r->f.driver.goals = &r->goal;
	r->f.driver.n_goals = 1;
}

static void room_free(struct room *r)
{
	ktap_free(r->f.run.root);
	for (size_t i = 0; i < r->f.driver.published.n; i++)
		record_free(&r->f.driver.published.records[i]);
	free(r->f.driver.published.records);
	if (r->f.bench.n_walls)
		forget(&r->wall);
}

static char *printed(void (*print)(FILE *out, const struct bench *b), const struct bench *b)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	print(out, b);
	fclose(out);
	return text;
}

static void publish(struct room *r, const char *json)
{
	_cleanup_free_ char *problem = NULL;
	struct published *p = &r->f.driver.published;
	json_t *o = json_loads(json, 0, NULL);

	p->records = xrealloc(p->records, p->n + 1, sizeof(*p->records));
	problem = record_read(o, &p->records[p->n++]);
	assert_null(problem);
	json_decref(o);
}

static void the_clocks_and_the_published_figures_stand_in_one_table(void **state)
{
	struct bench_table *tables;
	struct room r;
	char *text;
	size_t n;

	(void)state;
	room_init(&r);
	strv_add(&r.f.driver.walls, "measure");
	said(&r.wall, PLACE("a") ",\"value\":0.5,\"unit\":\"us\"}\n" PLACE(
			      "b") ",\"unmeasured\":\"no meter\"}\n");
	r.wall.kernel = &r.f.kernel;
	r.wall.built = &r.f.built;
	r.wall.command = "measure";
	r.wall.accel = "tcg";
	r.f.bench.walls = &r.wall;
	r.f.bench.n_walls = 1;
	r.f.bench.wall_ran = true;
	r.placed = (struct placed){ "T", "a", "c", "drv", "read", "floor" };
	r.f.driver.published.exact = &r.placed;
	r.f.driver.published.n_exact = 1;
	r.f.driver.published.source = "A paper";
	publish(&r, PLACE("a") ",\"value\":2,\"unit\":\"us\"}");
	publish(&r, PLACE("d") ",\"value\":7.25,\"unit\":\"us\"}");

	tables = bench_tables(&r.f.bench, &r.f.kernel, &r.f.driver, &n);
	assert_int_equal(n, 1);
	assert_int_equal(tables[0].n_rows, 3);
	assert_int_equal(tables[0].n_columns, 1);
	assert_true(tables[0].cells[0].wall->value == 0.5);
	assert_true(tables[0].cells[0].instructions == 150);
	assert_true(tables[0].cells[0].published->value == 2);
	assert_null(tables[0].cells[1].exact);
	bench_tables_free(tables, n);

	text = printed(bench_tables_print, &r.f.bench);
	assert_non_null(strstr(text, "emulated: order and large effects only"));
	assert_non_null(strstr(text, "wall, us  exact, instr.  published, us"));
	assert_non_null(strstr(text, "  a          0.5            150              2\n"));
	assert_non_null(strstr(text, "  b   unmeasured              -              -\n"));
	assert_non_null(strstr(text, "  d            -              -           7.25\n"));
	assert_non_null(strstr(text, "unmeasured: T, b, c: no meter"));
	assert_non_null(strstr(text, "published: A paper"));
	free(text);
	bench_tables_check(&r.f.bench);
	assert_int_equal(ktap_count(r.f.run.root).failed, 0);
	strv_free(&r.f.driver.walls);
	room_free(&r);
}

static void a_table_that_is_too_wide_goes_on_below(void **state)
{
	static const char *const names[] = { "one", "two", "three", "four", "five", "six" };
	struct strv lines = {};
	struct room r;
	char *text;

	(void)state;
	room_init(&r);
	r.f.bench.wall_ran = true;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *json = xasprintf(
			"{\"table\":\"T\",\"row\":\"row\",\"column\":\"%s, which is a long name\",\"value\":%zu,"
			"\"unit\":\"us\"}",
			names[i], i + 1);

		publish(&r, json);
	}
	text = printed(bench_tables_print, &r.f.bench);
	strv_split(&lines, text, "\n");
	assert_int_equal(lines.n, 1 + 2 * 3);
	for (size_t i = 0; i < lines.n; i++)
		assert_true(strlen(lines.v[i]) <= 110);
	assert_non_null(strstr(lines.v[3], "1"));
	assert_non_null(strstr(lines.v[6], "6"));
	assert_non_null(strstr(lines.v[4], "six, which is a long name"));
	strv_free(&lines);
	free(text);
	room_free(&r);
}

static void a_command_that_failed_is_told_and_its_cells_are_empty(void **state)
{
	struct room r;
	char *text;

	(void)state;
	room_init(&r);
	strv_add(&r.f.driver.walls, "measure");
	said(&r.wall, "");
	r.wall.kernel = &r.f.kernel;
	r.wall.built = &r.f.built;
	r.wall.command = "measure";
	r.f.bench.walls = &r.wall;
	r.f.bench.n_walls = 1;
	r.f.bench.wall_ran = true;
	publish(&r, PLACE("a") ",\"value\":2,\"unit\":\"us\"}");
	text = printed(bench_tables_print, &r.f.bench);
	assert_non_null(strstr(text, "unmeasured: measure: it printed no record"));
	assert_non_null(strstr(text, "  a      -              2\n"));
	free(text);
	strv_free(&r.f.driver.walls);
	room_free(&r);
}

static void an_operation_that_published_json_misspells_is_a_failure(void **state)
{
	struct room r;

	(void)state;
	room_init(&r);
	r.placed = (struct placed){ "T", "a", "c", "drv", "left out", NULL };
	r.f.driver.published.exact = &r.placed;
	r.f.driver.published.n_exact = 1;
	bench_tables_check(&r.f.bench);
	assert_int_equal(ktap_count(r.f.run.root).failed, 0);
	r.placed.op = "raed";
	bench_tables_check(&r.f.bench);
	assert_int_equal(ktap_count(r.f.run.root).failed, 1);
	room_free(&r);
}

static void a_goal_is_met_or_missed_by_one_instruction(void **state)
{
	static const struct {
		struct goal goal;
		const char *verdict;
	} rows[] = {
		{ { .op = "read", .at_most = 700 }, "met" },
		{ { .op = "read", .at_most = 699 }, "missed" },
		{ { .op = "read", .at_most = 150, .above = "floor" }, "met" },
		{ { .op = "read", .at_most = 149, .above = "floor" }, "missed" },
		{ { .op = "read", .at_most = 150, .above = "other", .module = "drv" }, "met" },
		{ { .op = "read", .at_most = 1.28, .of = "other" }, "met" },
		{ { .op = "read", .at_most = 1.27, .of = "other" }, "missed" },
		{ { .op = "read", .at_most = 1.27, .of = "nothing" }, "unmeasured" },
		{ { .op = "read", .at_most = 1, .above = "nothing" }, "unmeasured" },
		{ { .op = "raed", .at_most = 700 }, "unmeasured" },
		{ { .op = "read", .at_most = 700, .module = "drw" }, "unmeasured" },
		{ { .op = "left out", .at_most = 700 }, "unmeasured" },
		{ { .op = "read", .at_most = 700, .arch = "amd64" }, "met" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *begin = xasprintf("  %-10s  ", rows[i].verdict), *text = NULL;
		struct ktap_counts c;
		struct room r;

		room_init(&r);
		r.goal = rows[i].goal;
		text = printed(bench_goals_print, &r.f.bench);
		if (!strstr(text, begin))
			fail_msg("goal %zu is not %s:%s", i, rows[i].verdict, text);
		bench_goals_check(&r.f.bench);
		c = ktap_count(ktap_child(r.f.run.root, "goals"));
		assert_int_equal(c.passed, !strcmp(rows[i].verdict, "met"));
		/* an operation that the device does not offer is no failure, one that nobody knows is */
		assert_int_equal(c.skipped, !strcmp(rows[i].goal.op, "left out"));
		room_free(&r);
	}
}

static void a_goal_of_another_architecture_is_not_judged(void **state)
{
	struct room r;
	char *text;

	(void)state;
	room_init(&r);
	r.goal = (struct goal){ .op = "read", .at_most = 1, .arch = "arm64" };
	text = printed(bench_goals_print, &r.f.bench);
	assert_string_equal(text, "");
	free(text);
	bench_goals_check(&r.f.bench);
	assert_null(ktap_child(r.f.run.root, "goals"));
	room_free(&r);
}

/* gpio-sim's SET is an instruction shorter for a line that goes down: half of the calls. */
static void a_call_with_two_ways_in_turn_has_one_mode(void **state)
{
	uint64_t v[4000], at;

	(void)state;
	for (int more = -90; more <= 90; more += 180) {
		for (int i = 0; i < 4000; i++)
			v[i] = i < 10 ? 900 : i < 2000 + more ? 1097 : i < 3990 ? 1098 : 2500;
		assert_int_equal(mode_of(v, 4000, &at), 1097);
		assert_int_equal(at, 1990 + more);
	}
	/* a rare one is none, however small */
	for (int i = 0; i < 4000; i++)
		v[i] = i < 1000 ? 1097 : 1098;
	assert_int_equal(mode_of(v, 4000, &at), 1098);
	assert_int_equal(at, 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kernel_address_has_the_name_of_the_place_before_it),
		cmocka_unit_test(an_address_is_attributed_to_user_module_or_kernel),
		cmocka_unit_test(a_pass_with_a_timer_tick_does_not_count),
		cmocka_unit_test(of_two_lengths_that_alternate_the_counters_one_is_taken),
		cmocka_unit_test(an_instruction_that_was_logged_but_not_run_is_taken_back),
		cmocka_unit_test(a_log_without_all_its_marks_is_no_split),
		cmocka_unit_test(a_rise_of_one_instruction_fails_and_names_the_function),
		cmocka_unit_test(another_compiler_has_no_budget_and_keeps_the_first_ones),
		cmocka_unit_test(a_record_a_line_is_read),
		cmocka_unit_test(what_is_no_record_makes_the_command_a_failure),
		cmocka_unit_test(the_clocks_and_the_published_figures_stand_in_one_table),
		cmocka_unit_test(a_table_that_is_too_wide_goes_on_below),
		cmocka_unit_test(a_command_that_failed_is_told_and_its_cells_are_empty),
		cmocka_unit_test(a_call_with_two_ways_in_turn_has_one_mode),
		cmocka_unit_test(an_operation_that_published_json_misspells_is_a_failure),
		cmocka_unit_test(a_goal_is_met_or_missed_by_one_instruction),
		cmocka_unit_test(a_goal_of_another_architecture_is_not_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
