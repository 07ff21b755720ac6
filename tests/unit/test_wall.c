// SPDX-License-Identifier: GPL-2.0
/* What benchmarks say of time becomes blocks, and these a table. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../lab/compare.h"

#define LINE(op, count, ns) "{\"op\":\"" op "\",\"count\":" #count ",\"ns\":" #ns "}\n"

static struct wall wall_new(void)
{
	return (struct wall){ .confidence = 0.99, .margin = 0.01, .ms = 20, .seed = 3 };
}

static double clock_s; /* when the next line comes */

/* Line by line, until one is wrong. */
static char *parse(struct wall *w, enum blocks_variant v, const char *out)
{
	struct strv lines = {};
	char *problem = NULL;

	strv_split(&lines, out, "\n");
	for (size_t i = 0; i < lines.n && !problem; i++)
		problem = wall_parse(w, v, lines.v[i], clock_s);
	strv_free(&lines);
	return problem;
}

/* A block in which all variants say that. */
static void block(struct wall *w, const char *a, const char *b, const char *control)
{
	const char *const said[BLOCKS_VARIANTS] = { a, b, control };

	for (int v = 0; v < BLOCKS_VARIANTS; v++)
		assert_null(parse(w, v, said[v]));
	wall_block_end(w);
}

static char *printed(const struct wall *w)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	wall_print(f, w);
	fclose(f);
	return text;
}

static void a_block_has_what_all_of_them_have(void **state)
{
	struct wall w = wall_new();

	(void)state;
	block(&w, LINE("SET", 1000, 50000) LINE("GET", 10, 1000), LINE("SET", 100, 6000),
	      LINE("SET", 10, 510) LINE("GET", 10, 900));
	assert_int_equal(w.blocks, 1);
	assert_int_equal(w.n, 2);
	assert_string_equal(w.ops[0].name, "SET");
	assert_int_equal(w.ops[0].blocks.n, 1);
	assert_float_equal(w.ops[0].blocks.v[0][BLOCKS_A], 50, 0);
	assert_float_equal(w.ops[0].blocks.v[0][BLOCKS_B], 60, 0);
	assert_float_equal(w.ops[0].blocks.v[0][BLOCKS_CONTROL], 51, 0);
	/* B has no GET, and what a block left over is not the next one's */
	assert_int_equal(w.ops[1].blocks.n, 0);
	block(&w, LINE("SET", 1, 1), LINE("SET", 1, 1) LINE("GET", 1, 1), LINE("SET", 1, 1));
	assert_int_equal(w.ops[0].blocks.n, 2);
	assert_int_equal(w.ops[1].blocks.n, 0);
	wall_free(&w);
}

static void several_at_once_are_operations_of_their_own(void **state)
{
	static const char said[] =
		LINE("SET", 1,
		     50) "{\"op\":\"SET\",\"tasks\":4,\"shared\":false,\"count\":4,\"ns\":80}\n"
			 "{\"op\":\"SET\",\"tasks\":4,\"shared\":true,\"count\":4,\"ns\":200}\n";
	struct wall w = wall_new();

	(void)state;
	block(&w, said, said, said);
	assert_int_equal(w.n, 3);
	assert_string_equal(w.ops[1].name, "SET, 4 at once");
	assert_float_equal(w.ops[1].blocks.v[0][BLOCKS_A], 20, 0);
	assert_string_equal(w.ops[2].name, "SET, 4 at once on one open");
	assert_float_equal(w.ops[2].blocks.v[0][BLOCKS_A], 50, 0);
	wall_free(&w);
}

static void lateness_is_that_of_all_blocks(void **state)
{
	static const char one[] = "{\"op\":\"SET\",\"rate\":100,\"count\":90,\"ns\":1,"
				  "\"late\":[[10,60],[30,30]],\"max\":31}";
	static const char other[] = "{\"op\":\"SET\",\"rate\":100,\"count\":110,\"ns\":1,"
				    "\"late\":[[10,60],[20,47],[96,3]],\"max\":95}";
	struct wall w = wall_new();
	struct wall_late *l;

	(void)state;
	assert_null(wall_parse(&w, BLOCKS_A, one, 0));
	assert_null(wall_parse(&w, BLOCKS_A, other, 0));
	l = &w.ops[0].late[BLOCKS_A];
	assert_int_equal(l->n, 4);
	assert_float_equal(l->count, 200, 0);
	assert_float_equal(wall_late_quantile(l, 0.5), 10, 0);
	assert_float_equal(wall_late_quantile(l, 0.75), 20, 0);
	/* no later than the latest, which its bucket's middle may be */
	assert_float_equal(wall_late_quantile(l, 0.99), 95, 0);
	/* of two hundred none is one in a thousand */
	assert_false(isfinite(wall_late_quantile(l, 0.999)));
	/* it is no time of a call */
	assert_float_equal(w.ops[0].now[BLOCKS_A], 0, 0);
	wall_free(&w);
}

static void what_is_skipped_is_not_there(void **state)
{
	struct wall w = wall_new();

	(void)state;
	assert_null(parse(&w, BLOCKS_A, "{\"op\":\"GET\",\"skipped\":\"open: EOPNOTSUPP\"}"));
	assert_null(parse(&w, BLOCKS_A, ""));
	assert_int_equal(w.n, 0);
	wall_free(&w);
}

static void what_is_no_figure_is_said(void **state)
{
	static const struct {
		const char *out, *problem;
	} t[] = {
		{ "{\"op\":\"SET\",\"error\":\"check: EPROTO\"}", "SET: check: EPROTO" },
		{ "Segmentation fault", "a line that is none: Segmentation fault" },
		{ LINE("SET", 0, 5), "a line that is none: {\"op\":\"SET\",\"count\":0,\"ns\":5}" },
		{ "{\"count\":1,\"ns\":1}", "a line that is none: {\"count\":1,\"ns\":1}" },
		{ LINE("SET", 5, 5) "{\"op\":\"GE", "a line that is none: {\"op\":\"GE" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct wall w = wall_new();
		char *problem = parse(&w, BLOCKS_A, t[i].out);

		assert_non_null(problem);
		assert_string_equal(problem, t[i].problem);
		free(problem);
		wall_free(&w);
	}
}

static void a_table_says_what_is_known(void **state)
{
	struct wall w = wall_new();
	char *text;

	(void)state;
	for (int i = 0; i < 12; i++)
		block(&w, LINE("SET", 1, 100), LINE("SET", 1, 150), LINE("SET", 1, 100));
	w.accel = xstrdup("tcg");
	text = printed(&w);
	assert_non_null(strstr(text, "12 blocks"));
	assert_non_null(strstr(text, "1.5000 [1.5000, 1.5000]"));
	assert_non_null(strstr(text, "more, +50.0 %"));
	assert_non_null(strstr(text, "Emulated"));
	assert_null(strstr(text, "BUT A"));
	free(text);
	wall_free(&w);
}

/* The control is off: nothing of the row is to be believed, and the row says so. */
static void a_control_that_is_off_is_loud(void **state)
{
	struct wall w = wall_new();
	char *text;

	(void)state;
	for (int i = 0; i < 12; i++)
		block(&w, LINE("SET", 1, 100), LINE("SET", 1, 100), LINE("SET", 1, 110));
	text = printed(&w);
	assert_non_null(strstr(text, "no difference; BUT A IS NOT THE SAME AS A"));
	free(text);
	wall_free(&w);
}

static void no_figure_has_its_reason(void **state)
{
	struct wall w = wall_new();
	char *text;
	json_t *o;

	(void)state;
	block(&w, LINE("SET", 1, 1), LINE("GET", 1, 1), LINE("SET", 1, 1));
	text = printed(&w);
	assert_non_null(strstr(text, "unmeasured: they have no operation in common"));
	free(text);
	w.failure = xstrdup("the guest hung");
	text = printed(&w);
	assert_non_null(strstr(text, "unmeasured: the guest hung"));
	free(text);
	o = wall_json(&w);
	assert_string_equal(json_string_value(json_object_get(o, "unmeasured")), "the guest hung");
	json_decref(o);
	wall_free(&w);
}

/* --- energy --- */

/* Blocks of four seconds: idle at 2 W, A at 3 W, B at 4 W, A again; 100 calls each. A reading each 10 ms. */
static double watts_at(double t)
{
	static const double watts[] = { 2, 3, 4, 3 };

	return watts[(int)t % 4];
}

static struct wall wall_metered(size_t blocks, double (*watts)(double t))
{
	struct wall w = wall_new();
	const double began = 5000; /* of this machine's clock, when the recording began */

	w.meter = "auto";
	for (size_t i = 0; i < blocks; i++) {
		clock_s = began + 4 * i + 1;
		assert_null(parse(&w, BLOCKS_A, LINE("idle", 1, 1000000000)));
		for (int v = 0; v < BLOCKS_VARIANTS; v++) {
			clock_s++;
			assert_null(parse(&w, v, LINE("SET", 100, 1000000000)));
		}
		wall_block_end(&w);
	}
	w.trace = (struct meter_trace){ .meter = xstrdup("test"), .start = began };
	w.trace.n = 400 * blocks + 1;
	w.trace.v = xcalloc(w.trace.n, sizeof(*w.trace.v));
	for (size_t i = 0; i < w.trace.n; i++)
		w.trace.v[i] =
			(struct meter_reading){ i / 100.0, NAN, NAN, watts((i + 0.5) / 100), NAN };
	energy_blocks(&w);
	return w;
}

static double last_of(const json_t *list)
{
	return json_number_value(json_array_get(list, json_array_size(list) - 1));
}

/* What is drawn: fewer points, the same time, the same joules, and each block with its idle time. */
static void trace_is_thinned_and_whole(const json_t *o, const struct meter_trace *t)
{
	const json_t *runs = json_object_get(o, "runs"), *idle = json_object_get(o, "idle");
	size_t n = json_array_size(json_object_get(o, "t"));
	struct meter_energy e;

	assert_in_range(n, 100, 601);
	assert_int_equal(json_array_size(json_object_get(o, "watts")), n);
	assert_null(json_object_get(o, "volts"));
	assert_true(meter_energy(t, t->v[0].t, t->v[t->n - 1].t, &e));
	assert_float_equal(last_of(json_object_get(o, "joules")), e.joules, e.joules * 1e-3);
	assert_int_equal(json_array_size(runs), 12);
	assert_int_equal(json_array_size(idle), 12);
	/* the second block: idle from 4 to 5 s, measured from there to 8 s */
	assert_float_equal(json_number_value(json_array_get(json_array_get(idle, 1), 0)), 4, 1e-6);
	assert_float_equal(json_number_value(json_array_get(json_array_get(runs, 1), 0)), 5, 1e-6);
	assert_float_equal(last_of(json_array_get(runs, 1)), 8, 1e-6);
}

static void energy_is_gross_and_net_of_idle(void **state)
{
	struct wall w = wall_metered(12, watts_at);
	const struct wall_op *op = &w.ops[0];
	struct blocks_ratio r;
	char *text;
	json_t *o;

	(void)state;
	assert_int_equal(w.n, 1);
	/* the recording ends with the last measurement */
	assert_int_equal(op->gross.n, 12);
	assert_int_equal(op->net.n, 12);
	assert_float_equal(op->gross.v[3][BLOCKS_A], 0.03, 0.0002);
	assert_float_equal(op->gross.v[3][BLOCKS_B], 0.04, 0.0002);
	assert_float_equal(op->net.v[3][BLOCKS_A], 0.01, 0.0002);
	assert_float_equal(op->net.v[3][BLOCKS_B], 0.02, 0.0002);
	blocks_ratio(&op->net, BLOCKS_B, &r);
	assert_float_equal(r.median, 2, 0.05);
	assert_int_equal(r.verdict, BLOCKS_MORE);
	text = printed(&w);
	assert_non_null(strstr(text, "Microjoules per call, test"));
	assert_non_null(strstr(text, "net "));
	free(text);
	o = wall_json(&w);
	assert_float_equal(
		json_real_value(json_object_get(json_object_get(o, "energy"), "idle_watts")), 2,
		0.01);
	trace_is_thinned_and_whole(json_object_get(json_object_get(o, "energy"), "trace"),
				   &w.trace);
	json_decref(o);
	wall_free(&w);
}

static double flat(double t)
{
	(void)t;
	return 2;
}

/* A loop that takes no more than nothing: there is nothing to compare. */
static void no_more_than_idle_has_no_net(void **state)
{
	struct wall w = wall_metered(12, flat);
	char *text;

	(void)state;
	assert_int_equal(w.ops[0].gross.n, 12);
	assert_int_equal(w.ops[0].net.n, 0);
	text = printed(&w);
	assert_non_null(strstr(text, "net   unmeasured: in some block it takes no more than idle"));
	free(text);
	wall_free(&w);
}

/* Never 0 joules. */
static void a_meter_that_was_not_there_has_measured_nothing(void **state)
{
	struct wall w = wall_metered(12, flat);
	char *text;
	json_t *o;

	(void)state;
	blocks_free(&w.ops[0].gross);
	free(w.idle_watts);
	w.trace.start += 1000;
	energy_blocks(&w);
	text = printed(&w);
	assert_non_null(strstr(text, "Energy: unmeasured: the readings of test cover no block"));
	free(text);
	o = wall_json(&w);
	assert_non_null(json_object_get(json_object_get(o, "energy"), "unmeasured"));
	json_decref(o);
	wall_free(&w);
}

/* --- a long run, kept --- */

/* Two modules, as far as it is asked. */
static void begin(struct wall *w, bool resume, const char *dir)
{
	static struct kernel kernel;
	static struct module module = { .name = "foo" };
	static struct built built;
	const struct object_facts one = { .kernel = &kernel, .built = &built, .module = &module };
	const struct object_facts o[2] = { one, one };

	snprintf(kernel.id, sizeof(kernel.id), "kernel");
	built.dir = (char *)dir;
	*w = wall_new();
	w->count = 1e6;
	w->resume = resume;
	assert_int_equal(wall_save_begin(w, o), 0);
}

static void keep(struct wall *w, enum blocks_variant v, const char *line)
{
	assert_null(parse(w, v, line));
	wall_save_line(w, v, line);
}

static void a_run_goes_on_after_its_last_whole_block(void **state)
{
	char *cache = temp_dir(NULL);
	struct wall w;

	(void)state;
	setenv("CDEVLAB_CACHE", cache, 1);
	begin(&w, false, "of one");
	w.seed = 3;
	for (int v = 0; v < BLOCKS_VARIANTS; v++)
		keep(&w, v, LINE("SET", 1000, 50000));
	wall_block_end(&w);
	w.seconds = 7;
	w.boots = 2;
	assert_int_equal(wall_save_block(&w), 0);
	/* interrupted in the middle of a block, and of a line */
	keep(&w, BLOCKS_B, LINE("SET", 1000, 90000));
	fputs("A {\"op\":\"SE", w.save);
	wall_save_end(&w, false);
	wall_free(&w);

	begin(&w, true, "of one");
	assert_int_equal(w.blocks, 1);
	assert_int_equal(w.boots, 2);
	assert_float_equal(w.seconds, 7, 0);
	assert_int_equal(w.ops[0].blocks.n, 1);
	assert_float_equal(w.ops[0].blocks.v[0][BLOCKS_B], 50, 0);
	assert_float_equal(w.ops[0].calls[BLOCKS_A], 1000, 0);
	assert_float_equal(w.ops[0].now[BLOCKS_B], 0, 0);
	/* and what comes now is its second block */
	for (int v = 0; v < BLOCKS_VARIANTS; v++)
		keep(&w, v, LINE("SET", 1000, 60000));
	wall_block_end(&w);
	assert_int_equal(wall_save_block(&w), 0);
	wall_save_end(&w, false);
	wall_free(&w);
	begin(&w, true, "of one");
	assert_int_equal(w.blocks, 2);
	assert_float_equal(w.ops[0].blocks.v[1][BLOCKS_B], 60, 0);
	wall_save_end(&w, false);
	wall_free(&w);

	/* another module's blocks are not taken, nor these by a run that begins */
	begin(&w, true, "of another");
	assert_int_equal(w.blocks, 0);
	wall_save_end(&w, false);
	wall_free(&w);
	begin(&w, false, "of one");
	wall_save_end(&w, false);
	wall_free(&w);
	begin(&w, true, "of one");
	assert_int_equal(w.blocks, 0);
	wall_save_end(&w, false);
	wall_free(&w);
	temp_dir_done(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_has_what_all_of_them_have),
		cmocka_unit_test(several_at_once_are_operations_of_their_own),
		cmocka_unit_test(lateness_is_that_of_all_blocks),
		cmocka_unit_test(what_is_skipped_is_not_there),
		cmocka_unit_test(what_is_no_figure_is_said),
		cmocka_unit_test(a_table_says_what_is_known),
		cmocka_unit_test(a_control_that_is_off_is_loud),
		cmocka_unit_test(no_figure_has_its_reason),
		cmocka_unit_test(energy_is_gross_and_net_of_idle),
		cmocka_unit_test(no_more_than_idle_has_no_net),
		cmocka_unit_test(a_meter_that_was_not_there_has_measured_nothing),
		cmocka_unit_test(a_run_goes_on_after_its_last_whole_block),
	};

	return cmocka_run_group_tests_name("wall", tests, NULL, NULL);
}
