// SPDX-License-Identifier: GPL-2.0
/* Meters: the FNB58's reports as bytes, directories that play sysfs, recordings with all that goes wrong in them. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../lab/meter.h"
#include "dir.h"

#define near(a, b, by) assert_float_equal(a, b, by)

static int setup(void **state)
{
	if (proc_init() || dir_setup(state))
		return -1;
	/* for one test that looks at it as nobody */
	return chmod(dir, 0755);
}

static void put_all(const char *const (*files)[2])
{
	for (; (*files)[0]; files++)
		put((*files)[0], (*files)[1]);
}

/* --- the FNB58 --- */

static void the_check_is_that_of_the_protocol(void **state)
{
	uint8_t report[FNB58_REPORT];

	(void)state;
	assert_int_equal(fnb58_crc((const uint8_t *)"123456789", 9), 0x4b);
	/* as captures of the maker's own program have them */
	fnb58_command(0x81, report);
	assert_int_equal(report[0], 0xaa);
	assert_int_equal(report[1], 0x81);
	assert_int_equal(report[63], 0x8e);
	fnb58_command(0x82, report);
	assert_int_equal(report[63], 0x96);
	fnb58_command(0x83, report);
	assert_int_equal(report[63], 0x9e);
	for (int i = 2; i < 63; i++)
		assert_int_equal(report[i], 0);
}

static void put_le32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = v >> 8 * i;
}

static void data_report(uint8_t report[FNB58_REPORT])
{
	memset(report, 0, FNB58_REPORT);
	report[0] = 0xaa;
	report[1] = 0x04;
	for (int i = 0; i < 4; i++) {
		put_le32(report + 2 + 15 * i, 512345 + i);
		put_le32(report + 6 + 15 * i, 100000 * (i + 1));
	}
	report[63] = fnb58_crc(report + 1, 62);
}

static void a_report_is_four_readings(void **state)
{
	struct meter_reading r[4];
	uint8_t report[FNB58_REPORT];

	(void)state;
	data_report(report);
	assert_int_equal(fnb58_parse(report, r), 4);
	near(r[0].volts, 5.12345, 1e-9);
	near(r[3].volts, 5.12348, 1e-9);
	near(r[2].amps, 3, 1e-9);
	near(r[2].watts, 3 * 5.12347, 1e-9);
	assert_true(isnan(r[0].joules));
}

static void a_damaged_report_is_none(void **state)
{
	struct meter_reading r[4];
	uint8_t report[FNB58_REPORT];

	(void)state;
	for (int i = 1; i < FNB58_REPORT; i++) {
		data_report(report);
		report[i] ^= 0x10;
		assert_int_equal(fnb58_parse(report, r), -1);
	}
	fnb58_command(0x83, report);
	assert_int_equal(fnb58_parse(report, r), 0);
	report[0] = 0xab;
	assert_int_equal(fnb58_parse(report, r), -1);
}

/* --- powercap --- */

static const char *const zones[][2] = {
	{ "rapl/sys/class/powercap/intel-rapl/enabled", "1\n" },
	{ "rapl/sys/class/powercap/intel-rapl:0/name", "package-0\n" },
	{ "rapl/sys/class/powercap/intel-rapl:0/energy_uj", "1000000\n" },
	{ "rapl/sys/class/powercap/intel-rapl:0/max_energy_range_uj", "262143328850\n" },
	{ "rapl/sys/class/powercap/intel-rapl:0:0/name", "core\n" },
	{ "rapl/sys/class/powercap/intel-rapl:0:0/energy_uj", "900000\n" },
	{ "rapl/sys/class/powercap/intel-rapl:1/name", "package-1\n" },
	{ "rapl/sys/class/powercap/intel-rapl:1/energy_uj", "262143000000\n" },
	{ "rapl/sys/class/powercap/intel-rapl:1/max_energy_range_uj", "262143328850\n" },
	{ "rapl/sys/class/powercap/intel-rapl:2/name", "psys\n" },
	{ "rapl/sys/class/powercap/intel-rapl:2/energy_uj", "5\n" },
	{ "rapl/sys/class/powercap/intel-rapl-mmio:0/name", "package-0\n" },
	{ "rapl/sys/class/powercap/intel-rapl-mmio:0/energy_uj", "5\n" },
	{}
};

static void counters_are_added_and_go_round(void **state)
{
	_cleanup_free_ char *root = xasprintf("%s/rapl", dir);
	struct meter_reading r;
	struct meter_session s;
	struct meter *m;
	size_t n;

	(void)state;
	put_all(zones);
	meter_list(root, &m, &n);
	assert_int_equal(n, 1);
	assert_string_equal(m->name, "rapl");
	assert_non_null(strstr(m->what, "package-0 + package-1"));
	assert_null(m->why_not);
	s = (struct meter_session){ .meter = m };
	assert_int_equal(m->kind->open(&s), LAB_OK);
	assert_int_equal(m->kind->read(&s, 1, &r, 1), 1);
	near(r.joules, 0, 0);
	put("rapl/sys/class/powercap/intel-rapl:0/energy_uj", "3000000\n");
	put("rapl/sys/class/powercap/intel-rapl:1/energy_uj", "671150\n");
	assert_int_equal(m->kind->read(&s, 1, &r, 1), 1);
	/* 2 J, and 1 J on the way round: 0.32885 to the end, 0.67115 from the beginning */
	near(r.joules, 3, 1e-9);
	assert_true(isnan(r.watts));
	put("rapl/sys/class/powercap/intel-rapl:1/energy_uj", "nonsense\n");
	assert_int_equal(m->kind->read(&s, 1, &r, 1), -1);
	assert_non_null(strstr(s.why, "intel-rapl:1"));
	m->kind->close(&s);
	free(s.why);
	meters_free(m, n);
}

/* Since 5.10 only root may read them. */
static void a_counter_that_is_roots_says_what_to_do(void **state)
{
	_cleanup_free_ char *root = xasprintf("%s/rapl", dir);
	_cleanup_free_ char *path = NULL;
	int status;
	pid_t pid;

	(void)state;
	put_all(zones);
	path = xasprintf("%s/sys/class/powercap/intel-rapl:0/energy_uj", root);
	assert_int_equal(chmod(path, 0400), 0);
	pid = fork();
	if (!pid) {
		const struct meter *found;
		struct meter *m;
		size_t n;

		if (!geteuid() && setuid(65534))
			_exit(1);
		meter_list(root, &m, &n);
		_exit(n == 1 && m->why_not && strstr(m->why_not, "chmod a+r") &&
				      strstr(m->why_not, path) &&
				      meter_find("auto", m, n, &found) == LAB_CANNOT ?
			      0 :
			      2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- hwmon --- */

static void sensors_are_named_by_their_chip(void **state)
{
	static const char *const files[][2] = {
		{ "hwmon/sys/class/hwmon/hwmon0/name", "ina226\n" },
		{ "hwmon/sys/class/hwmon/hwmon0/power1_input", "2500000\n" },
		{ "hwmon/sys/class/hwmon/hwmon0/power1_label", "vdd\n" },
		{ "hwmon/sys/class/hwmon/hwmon0/temp1_input", "41000\n" },
		{ "hwmon/sys/class/hwmon/hwmon1/name", "amd_energy\n" },
		{ "hwmon/sys/class/hwmon/hwmon1/energy10_input", "7000000\n" },
		{}
	};
	_cleanup_free_ char *root = xasprintf("%s/hwmon", dir);
	const struct meter *found;
	struct meter_session s;
	struct meter_reading r;
	struct meter *m;
	size_t n;

	(void)state;
	put_all(files);
	meter_list(root, &m, &n);
	assert_int_equal(n, 2);
	assert_string_equal(m[0].name, "hwmon:ina226/power1");
	assert_non_null(strstr(m[0].what, "vdd"));
	assert_int_equal(meter_find("hwmon:amd_energy/energy10", m, n, &found), LAB_OK);
	assert_ptr_equal(found, &m[1]);
	assert_int_equal(meter_find("auto", m, n, &found), LAB_OK);
	assert_ptr_equal(found, &m[0]);
	assert_int_equal(meter_find("fnb58", m, n, &found), LAB_CANNOT);

	s = (struct meter_session){ .meter = &m[0] };
	assert_int_equal(m[0].kind->open(&s), LAB_OK);
	assert_int_equal(m[0].kind->read(&s, 1, &r, 1), 1);
	near(r.watts, 2.5, 1e-12);
	m[0].kind->close(&s);
	s = (struct meter_session){ .meter = &m[1] };
	assert_int_equal(m[1].kind->open(&s), LAB_OK);
	put("hwmon/sys/class/hwmon/hwmon1/energy10_input", "7250000\n");
	assert_int_equal(m[1].kind->read(&s, 1, &r, 1), 1);
	near(r.joules, 0.25, 1e-12);
	m[1].kind->close(&s);
	meters_free(m, n);
}

static void no_meter_is_none(void **state)
{
	const struct meter *found;
	struct meter *m;
	size_t n;

	(void)state;
	meter_list("/nonexistent", &m, &n);
	assert_int_equal(n, 0);
	assert_int_equal(meter_find("auto", m, n, &found), LAB_CANNOT);
	meters_free(m, n);
}

/* --- recording --- */

static int played; /* readings so far */
static double play_start;

static enum lab_exit play_open(struct meter_session *s)
{
	(void)s;
	played = 0;
	play_start = now_s();
	return LAB_OK;
}

/* 50 readings, then it is pulled out. */
static int play_read(struct meter_session *s, double wait, struct meter_reading *out, size_t most)
{
	(void)wait;
	(void)most;
	if (played == 50) {
		s->why = xstrdup("it was unplugged");
		return -1;
	}
	*out = (struct meter_reading){ play_start + 0.01 * played, 5, 0.4, 2, NAN };
	played++;
	meter_note(s, out, 0.01);
	return 1;
}

static void play_close(struct meter_session *s)
{
	(void)s;
}

static const struct meter_kind play = { "play", NULL, play_open, play_read, play_close };

static void what_came_before_a_failure_is_in_the_file(void **state)
{
	_cleanup_free_ char *path = xasprintf("%s/played.csv", dir);
	const struct meter m = { .kind = &play, .name = "play:1" };
	struct meter_trace t;

	(void)state;
	assert_int_equal(meter_record(&m, path, 0, false), LAB_CANNOT);
	assert_int_equal(meter_trace_read(path, &t), LAB_OK);
	assert_int_equal(t.n, 50);
	assert_int_equal(t.received, 50);
	assert_true(t.whole);
	assert_true(isfinite(t.start));
	assert_string_equal(t.meter, "play:1");
	near(t.v[49].t - t.v[0].t, 0.49, 1e-6);
	near(t.v[7].watts, 2, 0);
	meter_trace_free(&t);
	/* and one that cannot be written to is said */
	assert_int_equal(meter_record(&m, "/nonexistent/x.csv", 0, false), LAB_CANNOT);
}

static enum lab_exit read_text(const char *text, struct meter_trace *t)
{
	_cleanup_free_ char *path = at("given.csv");

	put("given.csv", text);
	return meter_trace_read(path, t);
}

static void other_programs_files_are_read(void **state)
{
	struct meter_trace t;

	(void)state;
	assert_int_equal(read_text("timestamp sample_in_packet voltage_V current_A temp_C_ema\n"
				   "1700000000.00 0 5.1 0.50 30.1\n1700000000.01 1 5.1 0.52 30.1\n",
				   &t),
			 LAB_OK);
	assert_int_equal(t.n, 2);
	near(t.v[1].watts, 5.1 * 0.52, 1e-12);
	assert_true(isnan(t.start));
	meter_trace_free(&t);
	assert_int_equal(read_text("time;power\n0;1.5\n1;2.5\n", &t), LAB_OK);
	near(t.v[1].watts, 2.5, 0);
	meter_trace_free(&t);
	/* cut off in its last line */
	assert_int_equal(read_text("t_s,watts\n0,1\n1,1\n2,1\n3,0.", &t), LAB_OK);
	assert_int_equal(t.n, 4);
	assert_false(t.whole);
	meter_trace_free(&t);
	assert_int_equal(read_text("t_s,watts\n0,1\n1,1\n2,1\n3,", &t), LAB_OK);
	assert_int_equal(t.n, 3);
	meter_trace_free(&t);
}

static void what_is_no_recording_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"t_s,watts\n",
		"t_s,watts\n1,2\n",
		"a,b\n1,2\n2,3\n",
		"t_s,volts\n1,2\n2,3\n",
		"t_s,watts\n1,2\n0,3\n2,3\n",
		"t_s,watts\n1,2\nx,3\n2,3\n",
		"t_s,watts\n1,inf\n2,1\n3,1\n",
	};
	struct meter_trace t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(read_text(bad[i], &t), LAB_USAGE);
		meter_trace_free(&t);
	}
	assert_int_equal(meter_trace_read("/nonexistent.csv", &t), LAB_USAGE);
	meter_trace_free(&t);
}

/* --- energy --- */

/* A recording of that power, 100 readings a second, as a counter or as watts. */
static void trace_of(double (*watts)(double t), double seconds, bool counter, struct meter_trace *t)
{
	double joules = 0;

	*t = (struct meter_trace){};
	t->n = seconds * 100 + 1;
	t->v = xcalloc(t->n, sizeof(*t->v));
	for (size_t i = 0; i < t->n; i++) {
		double at = i / 100.0;

		joules += i ? (watts(at) + watts(at - 0.01)) / 2 * 0.01 : 0;
		t->v[i] = (struct meter_reading){ at, NAN, NAN, counter ? NAN : watts(at),
						  counter ? joules : NAN };
	}
}

static double constant(double t)
{
	(void)t;
	return 2.5;
}

static double ramp(double t)
{
	return 1 + t;
}

static double wave(double t)
{
	return 3 + sin(2 * M_PI * t);
}

/* 1.4 W, and 4 W in every other half second. */
static double square(double t)
{
	return fmod(t, 1) < 0.5 ? 1.4 : 4;
}

static void energy_is_the_integral(void **state)
{
	static const struct {
		double (*watts)(double t);
		double from, to, joules, part; /* within a part of it */
	} t[] = {
		{ constant, 0, 10, 25, 1e-9 }, { constant, 1.234, 7.777, 2.5 * 6.543, 1e-9 },
		{ ramp, 0, 10, 60, 1e-9 },     { ramp, 2.005, 4.015, 4.010 * 2.01, 1e-9 },
		{ wave, 0, 10, 30, 1e-5 },     { wave, 0, 0.5, 1.5 + 1 / M_PI, 1e-3 },
		{ square, 0, 10, 27, 1e-3 },
	};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(t); i++) {
		struct meter_energy e;
		struct meter_trace trace;
		size_t k = i / 2;

		trace_of(t[k].watts, 10, i % 2, &trace);
		assert_true(meter_energy(&trace, t[k].from, t[k].to, &e));
		near(e.joules / t[k].joules, 1, t[k].part);
		near(e.watts * (t[k].to - t[k].from), e.joules, 1e-9);
		near(e.share, 1, 1e-12);
		near(e.silence, 0.01, 1e-9);
		meter_trace_free(&trace);
	}
}

static void a_time_that_is_not_covered_has_no_energy(void **state)
{
	struct meter_energy e;
	struct meter_trace t;

	(void)state;
	trace_of(constant, 10, false, &t);
	assert_false(meter_energy(&t, -0.001, 5, &e));
	assert_false(meter_energy(&t, 5, 10.001, &e));
	assert_false(meter_energy(&t, 5, 5, &e));
	assert_false(meter_energy(&t, NAN, 5, &e));
	meter_trace_free(&t);
}

static void silence_is_told(void **state)
{
	struct meter_energy e;
	struct meter_trace t;

	(void)state;
	trace_of(constant, 10, false, &t);
	/* a second is lost */
	memmove(&t.v[301], &t.v[400], (t.n - 400) * sizeof(*t.v));
	t.n -= 99;
	assert_true(meter_energy(&t, 0, 10, &e));
	near(e.joules, 25, 1e-9);
	near(e.silence, 1, 1e-9);
	near(e.share, 0.9, 1e-9);
	assert_true(meter_energy(&t, 5, 10, &e));
	near(e.share, 1, 1e-12);
	meter_trace_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_check_is_that_of_the_protocol),
		cmocka_unit_test(a_report_is_four_readings),
		cmocka_unit_test(a_damaged_report_is_none),
		cmocka_unit_test(counters_are_added_and_go_round),
		cmocka_unit_test(a_counter_that_is_roots_says_what_to_do),
		cmocka_unit_test(sensors_are_named_by_their_chip),
		cmocka_unit_test(no_meter_is_none),
		cmocka_unit_test(what_came_before_a_failure_is_in_the_file),
		cmocka_unit_test(other_programs_files_are_read),
		cmocka_unit_test(what_is_no_recording_is_refused),
		cmocka_unit_test(energy_is_the_integral),
		cmocka_unit_test(a_time_that_is_not_covered_has_no_energy),
		cmocka_unit_test(silence_is_told),
	};

	return cmocka_run_group_tests_name("meter", tests, setup, dir_teardown);
}
