// SPDX-License-Identifier: GPL-2.0
/* cdevlab bench: exact instructions per operation, and the time of what a room measures by the wall clock. */
#include <string.h>

#include "bench.h"
#include "bench_time.h"
#include "cmd.h"
#include "results.h"

static const char help[] =
	"usage: cdevlab bench [OPTION]... [DRIVER|DIR]...\n"
	"Measures each operation of a driver's bench_*.c under the exact clock: an integer that repeats on every\n"
	"boot and every machine, but for rows marked spread. The wall commands of its driver.ini are run as well;\n"
	"the figures of both clocks stand beside those of its published.json, and its goals are judged.\n\n"
	"      --clock CLOCK        exact or wall; without it the exact clock and the wall commands\n"
	"                           wall: each module's operations as well, in blocks, the module against itself\n"
	"      --margin, --confidence, --op, --tasks, --rate, --count, --resume, --seed, --meter\n"
	"                           with --clock wall, as of compare; --budget TIME is that of a module (default 30s)\n"
	"      --json               figures as JSON on standard output\n"
	"      --no-split           do not find out how user space, module and kernel share them\n"
	"      --save-budget FILE   keep each operation's own instructions\n"
	"      --check-budget FILE  fail when one has risen, by one instruction, or a goal is missed\n";

static enum lab_exit measure(struct bench *b, struct bench_times *times, const struct args *a)
{
	enum lab_exit exact = LAB_SKIPPED, wall = LAB_SKIPPED, time = LAB_SKIPPED;
	const char *clock = a->clock;

	if (!clock || !strcmp(clock, "exact"))
		exact = bench_boot(b);
	if (exact && exact != LAB_SKIPPED)
		return exact;
	if (!clock || !strcmp(clock, "wall"))
		wall = bench_wall_boot(b);
	if (wall && wall != LAB_SKIPPED)
		return wall;
	if (clock && !strcmp(clock, "wall"))
		time = bench_time(times, b->run, a);
	if (time != LAB_SKIPPED)
		return time;
	if (wall == LAB_SKIPPED && exact == LAB_SKIPPED)
		return lab_fail(
			LAB_SKIPPED,
			clock && !strcmp(clock, "wall") ?
				"it is a bench_*.c in its directory, or a wall = COMMAND in driver.ini" :
				"a benchmark is a bench_*.c in the driver's directory",
			"none of these drivers has %s",
			clock && !strcmp(clock, "wall") ? "a benchmark or a wall command" :
							  "a benchmark");
	return wall == LAB_SKIPPED ? exact : wall;
}

int cmd_bench(int argc, char **argv)
{
	struct test_run t = {};
	struct bench b = { .run = &t };
	struct bench_times times = {};
	enum lab_exit ret;
	struct args a;
	int r = args_parse(argc, argv, ARG_JSON_FLAG | ARG_BUDGET | ARG_RUST | ARG_ON | ARG_WALL,
			   help, &a);

	if (r)
		return r < 0 ? LAB_OK : r;
	t.drivers = a.rest;
	t.kernels = a.kernels;
	a.rest = a.kernels = (struct strv){};
	b.trace = a.trace;
	if (a.clock && !strcmp(a.clock, "wall") && (a.save_budget || a.check_budget))
		ret = lab_fail(LAB_USAGE, "leave --clock out", "a budget needs the exact clock");
	else
		ret = test_prepare(&t);
	if (!ret)
		ret = measure(&b, &times, &a);
	if (!ret && !lab_options.dry_run) {
		if (a.save_budget)
			ret = bench_budget_save(&b, a.save_budget);
		if (!ret && a.check_budget)
			ret = bench_budget_check(&b, NULL, a.check_budget);
		if (!ret && a.check_budget)
			bench_goals_check(&b);
		if (!ret && a.json) {
			json_t *o = bench_json(&b);

			if (times.n)
				json_object_set_new(o, "times", bench_time_json(&times));
			ret = results_write_json("-", o);
		} else if (!ret) {
			bench_print(stdout, &b);
			bench_time_print(stdout, &times);
		}
		/* figures are for people or programs; what went wrong goes where messages go */
		if (!ret && test_exit(&t) != LAB_OK)
			ktap_print(stderr, t.root);
		if (!ret)
			ret = test_exit(&t);
	}
	bench_time_free(&times);
	bench_free(&b);
	test_run_free(&t);
	args_free(&a);
	return ret;
}
