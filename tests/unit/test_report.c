// SPDX-License-Identifier: GPL-2.0
/* The report: escaping, plots, records that are damaged, and what a page is made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../lab/html.h"
#include "../../lab/report.h"
#include "../../lab/svg.h"

/* --- escaping --- */

static void expect_text(const char *in, const char *out)
{
	struct buf b = {};

	buf_puts(&b, "");
	html_text(&b, in);
	assert_string_equal(b.s, out);
	buf_free(&b);
}

static void text_cannot_become_markup(void **state)
{
	(void)state;
	expect_text("<script>alert(\"1\")</script>",
		    "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;");
	expect_text("' onclick='x' & \"y\"", "&#39; onclick=&#39;x&#39; &amp; &#34;y&#34;");
	expect_text("&lt;", "&amp;lt;");
	expect_text("]]></style><!--", "]]&gt;&lt;/style&gt;&lt;!--");
	expect_text(NULL, "");
}

static void what_is_no_character_is_replaced(void **state)
{
	(void)state;
	expect_text("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7",
		    "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7");
	expect_text("a\tb\nc", "a\tb\nc");
	expect_text("\x1b[31m", "\xef\xbf\xbd[31m");
	expect_text("\x7f", "\xef\xbf\xbd");
	expect_text("\xff<", "\xef\xbf\xbd&lt;"); /* no UTF-8 at all */
	expect_text("\xc3<", "\xef\xbf\xbd&lt;"); /* cut off: the next one must be seen */
	expect_text("\xc0\xbc", "\xef\xbf\xbd\xef\xbf\xbd");		     /* '<' in two bytes */
	expect_text("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* half a pair */
	expect_text("\xef\xbf\xbf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* U+FFFF */
	expect_text("\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	expect_text("\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"); /* the text ends within it */
}

static void csv_fields_are_quoted_where_they_must_be(void **state)
{
	struct buf b = {};

	(void)state;
	csv_field(&b, "plain");
	csv_field(&b, "a,b");
	csv_field(&b, "say \"no\"");
	csv_field(&b, "two\nlines");
	csv_field(&b, NULL);
	csv_field(&b, " blank");
	csv_number(&b, 650);
	csv_number(&b, 0.9998);
	csv_number(&b, -29);
	csv_end(&b);
	csv_field(&b, NULL);
	csv_field(&b, "second");
	csv_end(&b);
	assert_string_equal(b.s,
			    "plain,\"a,b\",\"say \"\"no\"\"\",\"two\nlines\",\"\",\" blank\",650,"
			    "0.9998,-29\r\n\"\",second\r\n");
	buf_free(&b);
}

/* --- plots --- */

static void an_axis_ends_round_and_above_the_longest_bar(void **state)
{
	static const struct {
		double most, axis, step;
	} cases[] = {
		{ 650, 800, 200 },	 { 1000, 1000, 500 },	  { 671, 800, 200 },
		{ 3.427, 4, 1 },	 { 0.0081, 0.01, 0.005 }, { 0, 1, 0.5 },
		{ 66407, 80000, 20000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double step, axis = svg_axis(cases[i].most, &step);

		assert_true(axis >= cases[i].most);
		assert_float_equal(axis / step, (int)(axis / step + 0.5), 1e-6);
		assert_true(axis <= 2.01 * cases[i].most || !cases[i].most);
		assert_true(axis / step <= 5.01);
		if (cases[i].most == 650) {
			assert_float_equal(axis, cases[i].axis, 1e-9);
			assert_float_equal(step, cases[i].step, 1e-9);
		}
	}
}

static void positions_are_proportional_and_stay_inside(void **state)
{
	(void)state;
	assert_float_equal(svg_x(0, 800), 0, 1e-9);
	assert_float_equal(svg_x(400, 800) * 2, svg_x(800, 800), 1e-9);
	assert_true(svg_x(800, 800) < 70); /* the rest is for the text */
	assert_float_equal(svg_x(9999, 800), svg_x(800, 800), 1e-9);
	assert_float_equal(svg_x(-5, 800), 0, 1e-9);
	assert_float_equal(svg_x(1.0 / 0.0, 800), 0, 1e-9);
	assert_float_equal(svg_x(5, 0), 0, 1e-9);
}

/* The attribute of the nth rect. */
static double rect(const char *svg, size_t nth, const char *attribute)
{
	for (const char *s = svg; (s = strstr(s, "<rect ")); s++)
		if (!nth--)
			return atof(strstr(s, attribute) + strlen(attribute) + 2);
	fail_msg("there is no such rect");
	return 0;
}

static void parts_follow_each_other_and_intervals_are_drawn(void **state)
{
	struct svg_bar bars[] = {
		{ .name = "C", .kind = "c", .text = "650", .parts = { 50, 569, 31 }, .n_parts = 3 },
		{ .name = "R",
		  .kind = "rust",
		  .text = "1300 [1200..1400]",
		  .parts = { 1300 },
		  .n_parts = 1,
		  .low = 1200,
		  .high = 1400,
		  .interval = true },
	};
	struct svg_group group = { .label = "SET <1>", .bars = bars, .n = 2 };
	struct svg_chart c = {
		.title = "T", .description = "D", .unit = "u", .groups = &group, .n = 1
	};
	struct buf b = {};
	double axis, step;

	(void)state;
	assert_float_equal(svg_most(&c), 1400, 1e-9);
	axis = svg_axis(1400, &step);
	svg_bars(&b, &c, "x");
	assert_float_equal(rect(b.s, 0, " x"), 0, 1e-9);
	assert_float_equal(rect(b.s, 0, " width"), svg_x(50, axis), 0.01);
	assert_float_equal(rect(b.s, 1, " x"), svg_x(50, axis), 0.01);
	assert_float_equal(rect(b.s, 2, " x"), svg_x(619, axis), 0.01);
	assert_float_equal(rect(b.s, 2, " x") + rect(b.s, 2, " width"), svg_x(650, axis), 0.02);
	assert_float_equal(rect(b.s, 3, " width"), svg_x(1300, axis), 0.01);
	assert_true(rect(b.s, 3, " y") > rect(b.s, 0, " y"));
	assert_non_null(strstr(b.s, "class=\"whisker\""));
	assert_non_null(strstr(b.s, "SET &lt;1&gt;"));
	assert_non_null(strstr(b.s, "<title id=\"x-t\">T</title><desc id=\"x-d\">D</desc>"));
	assert_non_null(strstr(b.s, "aria-labelledby=\"x-t x-d\""));
	buf_free(&b);
}

/* --- records --- */

#define AT "\"kernel\":\"debian:trixie/amd64\",\"release\":\"7.3\",\"compiler\":\"gcc-14\""
#define OP(module, n, own)                                                                       \
	"{" AT ",\"arch\":\"amd64\",\"module\":" module                                          \
	",\"operation\":\"SET\",\"floor\":\"NOP\","                                              \
	"\"spread\":false,\"instructions\":" n ",\"above_floor\":" own ",\"share_at_mode\":1.0," \
	"\"mean\":650.0,\"split\":{\"user\":31,\"module\":50,\"kernel\":569},"                   \
	"\"kernel_functions\":{\"alike\":7,\"f<n>\":" n "}}"
#define MODULE(name, language)                                                       \
	"{\"name\":\"" name "\",\"sha256\":\"00\",\"text\":1,\"data\":1,\"bss\":0,"  \
	"\"functions\":2,\"object\":{\"name\":\"" name "\",\"language\":\"" language \
	"\",\"sizes\":{\"text\":729},\"functions\":2}}"
#define RECORD(ended, set)                                                                                                                  \
	"{\"command\":\"run vgpio\",\"ended\":\"" ended "\",\"seconds\":1.5,\"exit\":1,"                                                    \
	"\"accel\":\"tcg\",\"inputs\":[{\"driver\":\"vg<pio\"," AT                                                                          \
	",\"modules\":[" MODULE("vgpio_wq", "C") "," MODULE(                                                                                \
		"vgpio_rust_wq",                                                                                                            \
		"Rust") "],\"twins\":[{\"a\":"                                                                                              \
			"\"vgpio_wq\",\"b\":\"vgpio_rust_wq\",\"asm\":[{\"role\":\"init\",\"a\":{\"instructions\":10},"                     \
			"\"b\":{\"instructions\":43}}]}]}],"                                                                                \
			"\"tests\":{\"name\":\"cdevlab\",\"result\":\"fail\",\"children\":[{\"name\":"                                      \
			"\"debian:trixie/amd64 7.3\",\"result\":\"fail\",\"children\":[{\"name\":\"vg<pio\","                               \
			"\"result\":\"fail\",\"children\":[{\"name\":\"vgpio_wq\",\"result\":\"fail\",\"children\":["                       \
			"{\"name\":\"a & b\",\"result\":\"fail\",\"reason\":\"<b>bad</b>\",\"notes\":["                                     \
			"\"reproduce: ./cdevlab test\"]},{\"name\":\"c\",\"result\":\"skip\",\"reason\":\"none\"}]}]"                       \
			"}]}]},\"matrix\":{\"kernels\":[{\"name\":\"debian:trixie/amd64\",\"release\":\"7.3\"}],"                           \
			"\"rows\":[{\"driver\":\"vg<pio\",\"module\":\"vgpio_wq\",\"cells\":[{\"result\":\"fail\","                         \
			"\"failed\":1}]}]},\"bench\":{\"clock\":\"exact\",\"operations\":[" OP(                                             \
				"\"vgpio_wq\"", set,                                                                                        \
				"66") "," OP("\"vgpio_rust_wq\"", "671",                                                                    \
					     "80") "],\"tables\":["                                                                         \
						   "{" AT                                                                                   \
						   ",\"driver\":\"vg<pio\",\"table\":\"T\",\"emulated\":true,\"cells\":["                   \
						   "{\"row\":\"r\",\"column\":\"c\",\"wall\":{\"value\":1.5,\"unit\":\"us\",\"low\":1.4,"   \
						   "\"high\":1.7},\"exact\":null,\"published\":null},"                                      \
						   "{\"row\":\"s\",\"column\":\"c\",\"wall\":{\"value\":2.5,\"unit\":\"us\",\"low\":2.4,"   \
						   "\"high\":2.7},\"exact\":null,\"published\":{\"value\":3,\"unit\":\"us\"}},"             \
						   "{\"row\":\"t\",\"column\":\"c\",\"wall\":{\"unmeasured\":\"no clock\"},\"exact\":null," \
						   "\"published\":null}]}],\"published\":[]}}"

static void check_structure(const char *page);

static void add_record(struct store *s, const char *path, const char *text)
{
	struct store_run run;
	char *problem = store_read_text(text, strlen(text), &run);

	assert_null(problem);
	store_add(s, path, run.json);
}

static void what_is_no_record_is_told_why(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "it is empty" },
		{ " \n", "it is empty" },
		{ "{\"command\":\"run\",\"inp", "line 1: " },
		{ "\0\0\0", "it is empty" },
		{ "[]", "it is no record of cdevlab" },
		{ "{}", "it is no record of cdevlab" },
		{ "{\"inputs\":7,\"tests\":{}}", "it is no record of cdevlab" },
		{ "\"compare\"", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct store_run run;
		char *why = store_read_text(cases[i].text, strlen(cases[i].text), &run);

		assert_non_null(why);
		assert_int_equal(strncmp(why, cases[i].why, strlen(cases[i].why)), 0);
		free(why);
	}
}

static void a_damaged_record_does_not_take_the_others_with_it(void **state)
{
	char dir[] = "/tmp/cdevlab-test-XXXXXX";
	_cleanup_free_ char *good = NULL, *bad = NULL, *part = NULL, *odd = NULL;
	struct strv names = {};
	struct store s;

	(void)state;
	assert_non_null(mkdtemp(dir));
	good = xasprintf("%s/good", dir);
	bad = xasprintf("%s/bad", dir);
	part = xasprintf("%s/.half", dir);
	odd = xasprintf("%s/no results", dir);
	mkdir(good, 0755);
	mkdir(bad, 0755);
	mkdir(part, 0755);
	mkdir(odd, 0755);
	for (int i = 0; i < 3; i++) {
		_cleanup_free_ char *path = xasprintf("%s/record.json", !i     ? good :
									i == 1 ? bad :
										 part);
		const char *text = RECORD("2026-11-21T10:00:00Z", "650");

		assert_int_equal(file_write(path, text, i == 1 ? 100 : strlen(text)), 0);
	}
	strv_add(&names, dir);
	assert_int_equal(store_open(&s, &names), LAB_OK);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.damaged, 1);
	assert_non_null(strstr(s.runs[0].path, "/good/record.json"));
	store_free(&s);
	/* named twice, it is one */
	strv_add(&names, good);
	assert_int_equal(store_open(&s, &names), LAB_OK);
	assert_int_equal(s.n, 1);
	store_free(&s);
	strv_free(&names);
	strv_add(&names, bad);
	assert_int_equal(store_open(&s, &names), LAB_CANNOT);
	store_free(&s);
	strv_free(&names);
	strv_add(&names, "/tmp/cdevlab-not-there");
	assert_int_equal(store_open(&s, &names), LAB_USAGE);
	store_free(&s);
	strv_free(&names);
	remove_tree(dir);
}

static void write_record(const char *dir, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name), *file = NULL;
	struct store_run run;

	file = xasprintf("%s/record.json", path);
	assert_int_equal(make_dirs(path, 0755), 0);
	assert_null(store_read_text(text, strlen(text), &run));
	assert_int_equal(store_write(file, run.json, report_covers(run.json)), LAB_OK);
}

static void of_records_that_know_the_same_only_the_newest_is_read(void **state)
{
	char dir[] = "/tmp/cdevlab-test-XXXXXX";
	_cleanup_free_ char *cut = NULL;
	struct strv names = {};
	struct buf page = {};
	struct report r;
	struct store s;

	(void)state;
	assert_non_null(mkdtemp(dir));
	write_record(dir, "z-old", RECORD("2026-11-21T10:00:00Z", "640"));
	write_record(dir, "a-new", RECORD("2026-11-21T11:00:00Z", "650"));
	/* the oldest, but the only one that knows another module */
	write_record(dir, "other",
		     "{\"ended\":\"2026-11-01T10:00:00Z\",\"inputs\":[],\"tests\":{},\"bench\":{"
		     "\"operations\":[" OP("\"tick\"", "77", "7") "]}}");
	strv_add(&names, dir);
	assert_int_equal(store_open(&s, &names), LAB_OK);
	assert_int_equal(s.n, 3);
	assert_non_null(s.runs[0].json);
	assert_null(s.runs[1].json);
	assert_string_equal(s.runs[1].ended, "2026-11-21T10:00:00Z");
	assert_non_null(s.runs[2].json);
	report_init(&r, &s);
	assert_int_equal(r.n_ops, 3);
	report_html(&r, &page);
	assert_non_null(strstr(page.s, "href=\"#record-3\">650<"));
	assert_non_null(strstr(page.s, "href=\"#record-1\">77<"));
	check_structure(page.s);
	report_free(&r);
	buf_free(&page);
	store_free(&s);
	/* cut off, it has its head and is damaged all the same; the older one counts again */
	cut = xasprintf("%s/a-new/record.json", dir);
	assert_int_equal(truncate(cut, 1000), 0);
	assert_int_equal(store_open(&s, &names), LAB_OK);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.damaged, 1);
	assert_non_null(s.runs[1].json);
	store_free(&s);
	strv_free(&names);
	remove_tree(dir);
}

/* A record of the right kind with anything in it: nothing may be believed of it. */
static void a_record_of_wrong_types_is_no_crash(void **state)
{
	static const char *const texts[] = {
		"{\"inputs\":[7,{\"kernel\":1,\"modules\":[3,{\"name\":[]}]}],\"tests\":{},"
		"\"matrix\":{\"kernels\":[1,{\"name\":\"k\"}],\"rows\":[2,{\"driver\":\"d\",\"cells\":7}]},"
		"\"bench\":{\"operations\":[1,{\"operation\":5}],\"tables\":[{\"cells\":3}]}}",
		"{\"inputs\":[],\"tests\":{\"children\":[{\"result\":7}]},\"matrix\":7,\"bench\":[]}",
		"{\"kind\":\"compare\",\"a\":7,\"b\":{\"name\":\"x\",\"kernel\":\"k\",\"tests\":{"
		"\"verdict\":\"PASS\",\"all\":3},\"hardening\":{}},\"operations\":[{\"name\":\"SET\",\"b\":{}}]}",
		"{\"clock\":\"exact\",\"operations\":[{\"kernel\":\"k\",\"operation\":\"SET\"}]}",
		"{\"inputs\":[],\"tests\":{\"children\":[{\"name\":\"k\"}]},\"matrix\":{\"kernels\":["
		"{\"name\":\"k\"}],\"rows\":[{\"driver\":\"d\",\"module\":\"m\",\"cells\":["
		"{\"result\":\"fail\"}]}]}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct store s = {};
		struct buf page = {};
		struct report r;

		add_record(&s, "x", texts[i]);
		report_init(&r, &s);
		report_html(&r, &page);
		for (int k = 0; k < REPORT_CSVS; k++)
			report_csv(&r, k, &page);
		report_free(&r);
		buf_free(&page);
		store_free(&s);
	}
}

/* --- the page --- */

/* Every tag is closed in its order; ids are there once; links lead to them. */
static void check_structure(const char *page)
{
	struct strv open = {}, ids = {};

	for (const char *s = strchr(page, '>') + 1; (s = strchr(s, '<')); s++) {
		const char *end = strchr(s, '>'), *id = strstr(s, " id=\"");
		size_t n = strcspn(s + 1, " />\n");

		assert_non_null(end);
		if (id && id < end) {
			char *name = xstrndup(id + 5, strcspn(id + 5, "\""));

			assert_false(strv_has(&ids, name));
			strv_take(&ids, name);
		}
		if (s[1] == '/') {
			assert_true(open.n > 0);
			assert_int_equal(strlen(open.v[open.n - 1]), end - s - 2);
			assert_memory_equal(open.v[open.n - 1], s + 2, end - s - 2);
			free(open.v[--open.n]);
			open.v[open.n] = NULL;
		} else if (end[-1] != '/') {
			strv_take(&open, xstrndup(s + 1, n));
		}
	}
	assert_int_equal(open.n, 0);
	for (const char *s = page; (s = strstr(s, "href=\"#")); s++) {
		_cleanup_free_ char *name = xstrndup(s + 7, strcspn(s + 7, "\""));

		assert_true(strv_has(&ids, name));
	}
	strv_free(&open);
	strv_free(&ids);
}

static void fill(struct store *s)
{
	*s = (struct store){};
	add_record(s, "old/record.json", RECORD("2026-11-21T10:00:00Z", "640"));
	add_record(s, "new\"<i>/record.json", RECORD("2026-11-21T11:00:00Z", "650"));
}

static void a_page_is_whole_and_needs_nothing_else(void **state)
{
	struct buf page = {};
	struct store s;
	struct report r;

	(void)state;
	fill(&s);
	report_init(&r, &s);
	report_html(&r, &page);
	check_structure(page.s);
	assert_null(strstr(page.s, "<b>"));
	assert_null(strstr(page.s, "<i>"));
	assert_null(strstr(page.s, "vg<pio"));
	assert_non_null(strstr(page.s, "vg&lt;pio"));
	assert_non_null(strstr(page.s, "&lt;b&gt;bad&lt;/b&gt;"));
	/* no network, no script */
	assert_null(strstr(page.s, "http"));
	assert_null(strstr(page.s, "src="));
	assert_null(strstr(page.s, "@import"));
	assert_null(strstr(page.s, "<script"));
	/* what failed, and how to see it again */
	assert_non_null(strstr(page.s, "a &amp; b"));
	assert_non_null(strstr(page.s, "reproduce: ./cdevlab test"));
	assert_non_null(strstr(page.s, "prefers-color-scheme:dark"));
	assert_non_null(strstr(page.s, "emulated: order and large effects only"));
	assert_non_null(strstr(page.s, "Unmeasured: t, c: no clock"));
	assert_non_null(strstr(page.s, "1.5 [1.4..1.7]"));
	/* where the pair's difference lies */
	assert_non_null(strstr(page.s, "650 → 671 f&lt;n&gt;"));
	assert_null(strstr(page.s, "alike"));
	assert_non_null(strstr(page.s, "id=\"table0-t\""));
	report_free(&r);
	buf_free(&page);
	store_free(&s);
}

static void the_newest_record_counts_and_is_linked(void **state)
{
	struct buf page = {};
	struct store s;
	struct report r;

	(void)state;
	fill(&s);
	report_init(&r, &s);
	assert_int_equal(r.n_ops, 2);
	assert_int_equal(r.n_cells, 1);
	assert_int_equal(r.cells[0].failed, 1);
	assert_int_equal(r.cells[0].skipped, 1);
	report_html(&r, &page);
	assert_non_null(strstr(page.s, "href=\"#record-2\">650<"));
	assert_null(strstr(page.s, ">640<"));
	assert_non_null(strstr(page.s, "1 older record, of which"));
	report_free(&r);
	buf_free(&page);
	store_free(&s);
}

static void a_twin_stands_beside_its_driver(void **state)
{
	struct buf page = {};
	struct store s;
	struct report r;

	(void)state;
	assert_true(report_is_twin("hello", "hello_rust"));
	assert_true(report_is_twin("vgpio_wq_sl", "vgpio_rust_wq_sl"));
	assert_true(report_is_twin("vgpio_basic", "vgpio_raw_basic"));
	assert_false(report_is_twin("vgpio_wq", "vgpio_rust_wq_sl"));
	assert_false(report_is_twin("hello", "hello"));
	assert_false(report_is_twin("hello_rust", "hello"));
	assert_false(report_is_twin("vgpio_sl", "vgpio_wq_slow"));
	fill(&s);
	report_init(&r, &s);
	assert_int_equal(r.n_pairs, 1);
	assert_string_equal(r.pairs[0].c->name, "vgpio_wq");
	assert_string_equal(r.pairs[0].rust->name, "vgpio_rust_wq");
	assert_non_null(r.pairs[0].code);
	report_html(&r, &page);
	assert_non_null(strstr(page.s, "<td class=\"r\">+21</td>")); /* 671 - 650 */
	assert_non_null(strstr(page.s, "<td class=\"r\">+3.23 %</td>"));
	assert_non_null(strstr(page.s, "id=\"code\""));
	report_free(&r);
	buf_free(&page);
	store_free(&s);
}

static void csv_has_a_line_for_each_figure(void **state)
{
	struct buf csv = {};
	struct store s;
	struct report r;

	(void)state;
	fill(&s);
	report_init(&r, &s);
	report_csv(&r, REPORT_CSV_FIGURES, &csv);
	assert_non_null(strstr(csv.s, "vg<pio,vgpio_wq,SET,NOP,no,650,66,1,650,31,50,569,"
				      "2026-11-21T11:00:00Z,\"new\"\"<i>/record.json\"\r\n"));
	csv.n = 0;
	report_csv(&r, REPORT_CSV_TABLES, &csv);
	assert_non_null(strstr(csv.s, ",r,c,wall,1.5,1.4,1.7,us,\"\","));
	assert_non_null(strstr(csv.s, ",t,c,wall,\"\",\"\",\"\",\"\",no clock,"));
	buf_free(&csv);
	report_free(&r);
	store_free(&s);
}

static void what_cannot_be_written_leaves_nothing(void **state)
{
	struct store s;

	(void)state;
	fill(&s);
	assert_int_equal(report_write(&s, "/tmp/cdevlab-not-there"), LAB_CANNOT);
	store_free(&s);
}

/* Of nine blocks, A from 101 to 109 ns; the ratio and the control as compare wrote them. */
static json_t *timed(const char *ended, const char *verdict)
{
	json_t *blocks = json_array(), *op, *pair;

	for (int i = 1; i <= 9; i++)
		json_array_append_new(blocks, json_pack("[f, f, f]", 100.0 + i, 200.0 + i, 100.0));
	op = json_pack("{s:s, s:{s:i, s:f, s:[f, f], s:s}, s:{s:i, s:f, s:s}, s:o}", "name", "SET",
		       "ratio", "n", 9, "median", 1.95, "interval", 1.9, 2.0, "verdict", verdict,
		       "control", "n", 9, "median", 0.5, "verdict", "less", "blocks", blocks);
	pair = json_pack(
		"{s:s, s:s, s:s, s:{s:s, s:f, s:i, s:f, s:o, s:s, s:{s:s}}, s:[{s:s, s:i, s:f, s:i, s:i, s:i}]}",
		"build", "basic", "a", "vgpio_basic", "b", "vgpio_rust_basic", "wall", "accel",
		"tcg", "confidence", 0.99, "blocks", 9, "seconds", 5.0, "operations",
		json_pack("[o]", op), "machine", "quiet & cool", "energy", "unmeasured",
		"no --meter", "samples", "operation", "SET", "n", 9, "sd", 0.1, "z", 664, "t", 667,
		"stein", 1126);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:[o]}", "kind", "thesis", "command",
			 "thesis --on qemu", "ended", ended, "kernel", "debian:trixie/amd64",
			 "release", "7.3", "compiler", "gcc-14", "pairs", pair);
}

/* Four quantities, of which the meter told one all the time and one with a hole. */
static void a_meter_is_drawn_with_the_run_marked(void **state)
{
	struct store s = {};
	struct report r;
	struct buf page = {};
	json_t *o = timed("2026-11-21T10:00:00Z", "more");
	json_t *wall = json_object_get(json_array_get(json_object_get(o, "pairs"), 0), "wall");

	(void)state;
	json_object_set_new(
		wall, "energy",
		json_pack(
			"{s:i, s:i, s:[], s:{s:[i, i, i, i], s:[f, f, n, f], s:[f, f, f, f], s:[[f, f]], s:[[f, f]]}}",
			"received", 4000, "expected", 4004, "operations", "trace", "t", 0, 1, 2, 4,
			"volts", 5.0, 5.1, 5.2, "watts", 2.0, 4.0, 4.0, 2.0, "runs", 1.0, 3.0,
			"idle", 0.0, 1.0));
	store_add(&s, "one/thesis.json", o);
	report_init(&r, &s);
	report_html_time(&r, &page);
	assert_non_null(strstr(page.s, "4000 readings of 4004"));
	assert_non_null(strstr(page.s, "power, W"));
	assert_null(strstr(page.s, "current, A"));
	/* from 2 to 4 W over 4 s; the block is the middle half of the width */
	assert_non_null(strstr(page.s, "points=\"0.0,110.0 250.0,0.0 500.0,0.0 1000.0,110.0\""));
	assert_non_null(strstr(page.s, "class=\"span run\" x=\"250.0\" width=\"500.0\""));
	assert_non_null(strstr(page.s, "class=\"span idle\" x=\"0.0\" width=\"250.0\""));
	/* the hole of the volts is none of a line */
	assert_non_null(strstr(page.s, "points=\"0.0,110.0 250.0,55.0\"/><polyline"));
	buf_free(&page);
	report_free(&r);
	store_free(&s);
}

static void times_have_their_n_and_their_interval(void **state)
{
	struct store s = {};
	struct report r;
	struct buf page = {};

	(void)state;
	store_add(&s, "old/thesis.json", timed("2026-11-21T10:00:00Z", "not resolved"));
	store_add(&s, "new/thesis.json", timed("2026-11-21T11:00:00Z", "more"));
	report_init(&r, &s);
	assert_int_equal(r.n_times, 1);
	report_html_time(&r, &page);
	/* by the binomial distribution nine values' median lies between the first and the last */
	assert_non_null(strstr(page.s, ">105 [101, 109]<"));
	assert_non_null(strstr(page.s, ">1.9500 [1.9000, 2.0000]<"));
	assert_non_null(strstr(page.s, "0.5000 (too few)"));
	assert_non_null(strstr(page.s, "more; but A is not the same as A"));
	assert_null(strstr(page.s, "not resolved</td>"));
	assert_non_null(strstr(page.s, "quiet &amp; cool"));
	assert_non_null(strstr(page.s, "order and large effects only"));
	/* no paragraph stands among rows */
	assert_non_null(strstr(
		page.s, "</table></div>\n<p class=\"small\">Energy: unmeasured: no --meter"));
	assert_non_null(strstr(page.s, ">1126<"));
	buf_free(&page);
	report_html(&r, &page);
	check_structure(page.s);
	buf_free(&page);
	report_free(&r);
	store_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_cannot_become_markup),
		cmocka_unit_test(what_is_no_character_is_replaced),
		cmocka_unit_test(csv_fields_are_quoted_where_they_must_be),
		cmocka_unit_test(an_axis_ends_round_and_above_the_longest_bar),
		cmocka_unit_test(positions_are_proportional_and_stay_inside),
		cmocka_unit_test(parts_follow_each_other_and_intervals_are_drawn),
		cmocka_unit_test(what_is_no_record_is_told_why),
		cmocka_unit_test(a_damaged_record_does_not_take_the_others_with_it),
		cmocka_unit_test(of_records_that_know_the_same_only_the_newest_is_read),
		cmocka_unit_test(a_record_of_wrong_types_is_no_crash),
		cmocka_unit_test(a_page_is_whole_and_needs_nothing_else),
		cmocka_unit_test(the_newest_record_counts_and_is_linked),
		cmocka_unit_test(a_twin_stands_beside_its_driver),
		cmocka_unit_test(times_have_their_n_and_their_interval),
		cmocka_unit_test(a_meter_is_drawn_with_the_run_marked),
		cmocka_unit_test(csv_has_a_line_for_each_figure),
		cmocka_unit_test(what_cannot_be_written_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
