// SPDX-License-Identifier: GPL-2.0
/* The recomputation of the published experiment: its figures, the file it is read from, and the text about it. */
#include <ctype.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../lab/thesis.h"
#include "dir.h"

#define DATA  "docs/thesis.json"
#define TEXT  "docs/thesis.md"
#define BEGIN "<!-- cdevlab thesis: -->\n```\n"
#define END   "```\n"

static struct thesis thesis;

static const struct thesis_figure *find(const char *section, const char *what)
{
	for (size_t i = 0; i < thesis.n_figures; i++)
		if (!strcmp(thesis.figures[i].section, section) &&
		    !strcmp(thesis.figures[i].what, what))
			return &thesis.figures[i];
	fail_msg("there is no figure \"%s\"", what);
	return NULL;
}

/* All of them with the digits that they are shown with. Worked out apart from the program. */
static void figures(void **state)
{
	static const struct {
		const char *section, *what, *printed, *ours;
		enum thesis_verdict verdict;
	} t[] = {
		{ "Run time", "basic: Rust against C", "8.43", "8.43", THESIS_AS_PRINTED },
		{ "Run time", "wait queue: Rust against C", "14.25", "14.25", THESIS_AS_PRINTED },
		{ "Run time", "wait queue + spinlock: Rust against C", "10.89", "10.90",
		  THESIS_WITHIN_ROUNDING },
		{ "Run time", "wait queue: Rust against C, in the text", "11", "14.25",
		  THESIS_DIFFERS },
		{ "Run time", "wait queue + spinlock: Rust against C, in the text", "14.3", "10.90",
		  THESIS_DIFFERS },
		{ "Run time", "wait queue, C: a write, above basic", NULL, "766", 0 },
		{ "Run time", "wait queue + spinlock, C: a write, above wait queue", NULL, "1874",
		  0 },
		{ "Energy", "basic: Rust against C", "46.15", "46.15", THESIS_AS_PRINTED },
		{ "Energy", "wait queue: Rust against C", "27.68", "27.68", THESIS_AS_PRINTED },
		{ "Energy", "wait queue + spinlock: Rust against C", "33.86", "33.86",
		  THESIS_AS_PRINTED },
		{ "Energy", "basic: Rust against C, mean power", NULL, "34.8", 0 },
		{ "Energy", "wait queue: Rust against C, mean power", NULL, "11.7", 0 },
		{ "Energy", "wait queue + spinlock: Rust against C, mean power", NULL, "20.7", 0 },
		{ "Energy", "basic: Rust against C, net of idle", NULL, "96.9", 0 },
		{ "Energy", "wait queue: Rust against C, net of idle", NULL, "39.3", 0 },
		{ "Energy", "wait queue + spinlock: Rust against C, net of idle", NULL, "55.8", 0 },
		{ "Energy", "wait queue, C: in the text", "0.99", "1.12", THESIS_DIFFERS },
		{ "Energy", "wait queue, C: mean power, by the text", NULL, "2.646", 0 },
		{ "Energy", "wait queue: Rust against C, by the text", NULL, "44.4", 0 },
		{ "Pilot runs", "mean of the 5 runs", "3333.2", "3331.2", THESIS_DIFFERS },
		{ "Pilot runs", "their standard deviation s", "228.05", "228.05",
		  THESIS_AS_PRINTED },
		{ "Pilot runs", "as the text computes them", "56.12", "56.29", THESIS_DIFFERS },
		{ "Pilot runs", "for 99 % and +-60 s, by z", "96", "96", THESIS_AS_PRINTED },
		{ "Pilot runs", "for 99 % and +-60 s, by t", NULL, "100", 0 },
		{ "Pilot runs", "for 99 % and +-60 s, by Stein's two stages", NULL, "307", 0 },
		{ "Pilot runs", "for 90 % and +-50 s, by z", NULL, "57", 0 },
		{ "Pilot runs", "t for 99 %, 4 degrees of freedom", NULL, "4.604", 0 },
		{ "Pilot runs", "half the interval of their mean, 99 %", NULL, "470", 0 },
		{ "Pilot runs", "wait queue + spinlock: Rust above C", NULL, "351", 0 },
		{ "Planned runs", "all of them together", NULL, "208.9", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		const struct thesis_figure *f = find(t[i].section, t[i].what);
		_cleanup_free_ char *ours = xasprintf("%.*f", f->decimals, f->ours);

		assert_string_equal(ours, t[i].ours);
		assert_string_equal(f->printed_text ?: "", t[i].printed ?: "");
		assert_string_equal(thesis_verdict_name(f->verdict),
				    thesis_verdict_name(t[i].verdict));
		if (f->interval)
			assert_true(f->low <= f->ours && f->ours <= f->high);
	}
	assert_string_equal(find("Pilot runs", "for 99 % and +-60 s, by z")->how,
			    "(2.5758 * 228.05 / 60)^2 = 95.85");
	assert_string_equal(find("Run time", "wait queue: Rust against C, in the text")->how,
			    "it is the figure of: wait queue + spinlock");
}

static void powers_and_energies_of_the_builds(void **state)
{
	static const double watts[][2] = { { 2.417, 3.257 }, { 2.993, 3.345 }, { 2.839, 3.427 } };
	static const double net[] = { 96.9, 39.3, 55.8 };
	static const double ns[][2] = { { 581, 630 }, { 1347, 1539 }, { 3221, 3572 } };

	(void)state;
	assert_int_equal(thesis.n_builds, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct thesis_build *b = &thesis.builds[i];

		for (size_t l = 0; l < THESIS_LANGUAGES; l++) {
			assert_float_equal(b->watts[l], watts[i][l], 0.0005);
			assert_float_equal(b->ns_per_op[l], ns[i][l], 0);
			/* uWh and uJ: the same energy, per operation and in all */
			assert_float_equal(b->uj_per_op[l] / 3.6, b->wh[l], 1e-9);
			assert_float_equal(b->net_wh[l] * 3600,
					   b->wh[l] * 3600 - 1.386 * b->seconds[l], 1e-6);
		}
		assert_float_equal(b->net_percent, net[i], 0.05);
	}
	assert_int_equal(thesis.hello.instructions[THESIS_C], 10);
	assert_int_equal(thesis.hello.instructions[THESIS_RUST], 43);
	assert_int_equal(thesis.hello.stack_bytes[THESIS_C], 16);
	assert_int_equal(thesis.hello.stack_bytes[THESIS_RUST], 80);
}

/* The rounding of run times to seconds explains 10.89; that of 0.99 Wh does not explain 1.12. */
static void rounding_explains_a_last_digit_only(void **state)
{
	const struct thesis_figure *f;

	(void)state;
	f = find("Run time", "wait queue + spinlock: Rust against C");
	assert_float_equal(f->low, (3571.5 / 3221.5 - 1) * 100, 1e-9);
	assert_float_equal(f->high, (3572.5 / 3220.5 - 1) * 100, 1e-9);
	f = find("Energy", "basic: Rust against C");
	assert_float_equal(f->low, (0.565 / 0.395 - 1) * 100, 1e-9);
	assert_float_equal(f->high, (0.575 / 0.385 - 1) * 100, 1e-9);
	f = find("Energy", "basic: Rust against C, net of idle");
	assert_true(f->low > 87.7 && f->low < 87.9 && f->high > 106.5 && f->high < 106.7);
}

/* --- damaged data --- */

/* What thesis_read() says to a file of that content. */
static char *refusal(const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/data.json", dir);
	_cleanup_free_ char *messages = xasprintf("%s/stderr", dir);
	int saved = dup(2), out = open(messages, O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct buf b = {};
	enum lab_exit ret;
	struct thesis t;

	assert_int_equal(file_write(path, text, strlen(text)), 0);
	dup2(out, 2);
	ret = thesis_read(path, &t);
	fflush(stderr);
	dup2(saved, 2);
	close(saved);
	close(out);
	if (ret != LAB_USAGE)
		fail_msg("%d for %s", ret, text);
	assert_int_equal(t.n_builds, 0);
	assert_null(t.figures);
	file_read(messages, &b);
	assert_non_null(strstr(b.s, "data.json"));
	return b.s;
}

static void refused(json_t *root, const char *says)
{
	_cleanup_free_ char *text = json_dumps(root, 0);
	_cleanup_free_ char *message = refusal(text);

	if (!strstr(message, says))
		fail_msg("no \"%s\" in: %s", says, message);
}

static json_t *data(void)
{
	json_t *root = json_load_file(DATA, 0, NULL);

	assert_non_null(root);
	return root;
}

/* Every value in turn becomes one that nothing takes, and every key gets lost. */
static void spoil(json_t *root, json_t *object)
{
	struct strv keys = {};
	const char *key;
	json_t *v;

	json_object_foreach(object, key, v)
		strv_add(&keys, key);
	for (size_t i = 0; i < keys.n; i++) {
		v = json_incref(json_object_get(object, keys.v[i]));
		json_object_set_new(object, keys.v[i], json_integer(5));
		refused(root, keys.v[i]);
		json_object_del(object, keys.v[i]);
		if (!str_starts(keys.v[i], "text_"))
			refused(root, keys.v[i]);
		json_object_set_new(object, keys.v[i], v);
	}
	strv_free(&keys);
	json_object_set_new(object, "runz", json_string("5"));
	refused(root, "runz is no key that is known here");
	json_object_del(object, "runz");
}

static void damage_of_any_value_is_refused_by_its_name(void **state)
{
	json_t *root = data();

	(void)state;
	spoil(root, root);
	spoil(root, json_array_get(json_object_get(root, "builds"), 1));
	spoil(root, json_object_get(root, "pilot"));
	spoil(root, json_object_get(root, "machine_code"));
	json_decref(root);
}

static void numbers_are_as_printed(void **state)
{
	static const char *const bad[] = { "",	 "-1",	"0",   "0.00", "1e3", "1.",
					   ".5", "1,5", "0x5", " 5",   "5 s", "12345678901234567" };
	json_t *root = data(), *build = json_array_get(json_object_get(root, "builds"), 1);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json_object_set_new(build, "percent", json_string(bad[i]));
		refused(root, "build 2: percent is no number above 0 as it is printed, in quotes");
	}
	json_decref(root);
}

static void what_cannot_be_is_refused(void **state)
{
	json_t *root = data(), *builds = json_object_get(root, "builds"), *v;

	(void)state;
	v = json_object_get(json_array_get(builds, 0), "wh");
	json_array_set_new(v, 1, json_string("0.24"));
	refused(root, "build 1: wh is less than the idle power alone takes");
	json_array_set_new(v, 1, json_string("0.57"));
	json_object_set_new(json_array_get(builds, 2), "name", json_string("basic"));
	refused(root, "build 3: name is that of another build");
	json_object_set_new(json_array_get(builds, 2), "name", json_string("third"));
	refused(root, "pilot: build is none of the builds");
	json_decref(root);

	root = data();
	json_object_set_new(root, "planned_confidence", json_string("100"));
	refused(root, "planned_confidence is not below 100 per cent");
	json_decref(root);

	root = data();
	v = json_object_get(json_object_get(root, "pilot"), "runs_s");
	json_array_set_new(v, 2, json_integer(3348));
	refused(root, "pilot: runs_s has one that is no number");
	while (json_array_size(v) > 1)
		json_array_remove(v, 1);
	refused(root, "pilot: runs_s is no list of two runs or more");
	json_decref(root);
}

static void a_syntax_error_is_refused_with_its_line(void **state)
{
	struct buf text = {};
	char *message, *at;

	(void)state;
	assert_int_equal(file_read(DATA, &text), 0);
	/* the comma at the end of line 3 */
	at = strchr(strchr(strchr(text.s, '\n') + 1, '\n') + 1, '\n') - 1;
	assert_int_equal(*at, ',');
	*at = ' ';
	message = refusal(text.s);
	assert_non_null(strstr(message, "data.json:4: "));
	free(message);
	/* cut off at the end, and empty */
	text.s[text.n / 2] = '\0';
	free(refusal(text.s));
	free(refusal(""));
	free(refusal("[]"));
	message = refusal("{\"note\": \"a\",\n\"note\": \"b\"}");
	assert_non_null(strstr(message, "data.json:2: "));
	free(message);
	buf_free(&text);
}

static void no_file_is_no_data(void **state)
{
	_cleanup_free_ char *path = xasprintf("%s/none.json", dir);
	char *message = NULL;
	struct thesis t;

	(void)state;
	lab_keep_failure(&message);
	assert_int_equal(thesis_read(path, &t), LAB_CANNOT);
	lab_keep_failure(NULL);
	assert_non_null(strstr(message, "none.json: No such file"));
	free(message);
}

/* --- what is printed, and the text --- */

static char *printed(void)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	thesis_print(out, &thesis);
	fclose(out);
	return text;
}

static void json_holds_all_figures(void **state)
{
	json_t *o = thesis_json(&thesis), *f = json_object_get(o, "figures");

	(void)state;
	assert_non_null(o);
	assert_int_equal(json_array_size(f), thesis.n_figures);
	assert_int_equal(json_array_size(json_object_get(o, "builds")), 3);
	assert_string_equal(json_string_value(json_object_get(json_array_get(f, 2), "verdict")),
			    "within rounding");
	assert_string_equal(json_string_value(json_object_get(json_array_get(f, 2), "printed")),
			    "10.89");
	json_decref(o);
}

static void the_text_quotes_what_the_program_prints(void **state)
{
	_cleanup_free_ char *ours = printed();
	struct buf b = {};
	char *quoted, *end;

	(void)state;
	assert_int_equal(file_read(TEXT, &b), 0);
	quoted = strstr(b.s, BEGIN);
	assert_non_null(quoted);
	quoted += strlen(BEGIN);
	end = strstr(quoted, END);
	assert_non_null(end);
	*end = '\0';
	if (strcmp(quoted, ours))
		fail_msg("%s quotes another output of `cdevlab thesis`; it prints now:\n%s", TEXT,
			 ours);
	buf_free(&b);
}

/* Whether a text has that number, and not as a part of a longer one; the dots of 1..2 are of neither. */
static bool has_number(const char *text, const char *number)
{
	size_t n = strlen(number);

	for (const char *at = text; (at = strstr(at, number)); at++) {
		bool before = at > text && (isdigit(at[-1]) ||
					    (at - 1 > text && at[-1] == '.' && isdigit(at[-2])));
		bool after = isdigit(at[n]) || (at[n] == '.' && isdigit(at[n + 1]));

		if (!before && !after)
			return true;
	}
	return false;
}

/* In the chapter of corrections every number of two digits or more is one of the program or of the data. */
static void the_corrections_have_no_other_numbers(void **state)
{
	_cleanup_free_ char *ours = printed();
	struct buf b = {}, json = {};
	char *at, *end;
	size_t checked = 0;

	(void)state;
	assert_int_equal(file_read(TEXT, &b), 0);
	assert_int_equal(file_read(DATA, &json), 0);
	at = strstr(b.s, "\n## Corrections\n");
	assert_non_null(at);
	end = strstr(at + 2, "\n## ");
	assert_non_null(end);
	*end = '\0';
	while (*(at += strcspn(at, "0123456789"))) {
		size_t n = strspn(at, "0123456789.");
		char *number;

		while (at[n - 1] == '.')
			n--;
		number = xstrndup(at, n);
		if (n > 1 && !has_number(ours, number) && !has_number(json.s, number))
			fail_msg("%s: neither the program nor the data have the number %s", TEXT,
				 number);
		checked += n > 1;
		free(number);
		at += n;
	}
	assert_true(checked > 20);
	buf_free(&b);
	buf_free(&json);
}

static int setup(void **state)
{
	if (dir_setup(state))
		return -1;
	return thesis_read(DATA, &thesis);
}

static int teardown(void **state)
{
	thesis_free(&thesis);
	return dir_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures),
		cmocka_unit_test(powers_and_energies_of_the_builds),
		cmocka_unit_test(rounding_explains_a_last_digit_only),
		cmocka_unit_test(damage_of_any_value_is_refused_by_its_name),
		cmocka_unit_test(numbers_are_as_printed),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(a_syntax_error_is_refused_with_its_line),
		cmocka_unit_test(no_file_is_no_data),
		cmocka_unit_test(json_holds_all_figures),
		cmocka_unit_test(the_text_quotes_what_the_program_prints),
		cmocka_unit_test(the_corrections_have_no_other_numbers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
