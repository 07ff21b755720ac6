// SPDX-License-Identifier: GPL-2.0
/* What a machine tells of itself, from directories that play /sys and /proc, and what of it is worth a warning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../lab/lab.h"
#include "../../lab/machine.h"
#include "dir.h"

static int setup(void **state)
{
	return proc_init() ? -1 : dir_setup(state);
}

static void a_machine_is_read_from_its_files(void **state)
{
	struct machine m;

	(void)state;
	put("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "ondemand\n");
	put("sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq", "1500000\n");
	put("sys/class/thermal/thermal_zone0/temp", "41000\n");
	put("sys/class/thermal/thermal_zone1/temp", "52000\n");
	put("sys/devices/platform/soc/soc:firmware/get_throttled", "50000\n");
	put("proc/stat", "cpu  100 0 50 800 10 5 5 30 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n");
	machine_read(dir, 3, &m);
	assert_string_equal(m.governor, "ondemand");
	assert_int_equal(m.khz, 1500000);
	assert_int_equal(m.millicelsius, 52000);
	assert_int_equal(m.throttled, 0x50000);
	assert_float_equal(m.steal, 30, 0);
	assert_float_equal(m.total, 1000, 0);
}

static void what_it_does_not_tell_is_not_made_up(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct machine_moves all = {};
	struct machine m;

	(void)state;
	machine_read("/nonexistent", 0, &m);
	assert_string_equal(m.governor, "");
	assert_int_equal(m.khz, -1);
	assert_int_equal(m.millicelsius, -1);
	assert_int_equal(m.throttled, -1);
	assert_float_equal(m.steal, -1, 0);
	machine_note(&all, &m);
	machine_note(&all, &m);
	assert_float_equal(machine_steal(&all), -1, 0);
	assert_null(machine_warning(&all));
	text = machine_text(&all);
	assert_string_equal(text, "it tells nothing of frequency, heat and who else runs on it");
}

static void what_moved_is_warned_of(void **state)
{
	static const struct machine calm = { "performance", 1800000, 45000, 0, 100, 100000 };
	static const struct {
		struct machine then;
		const char *warning;
	} t[] = {
		{ { "performance", 1800000, 48000, 0, 100, 110000 }, NULL },
		{ { "powersave", 1800000, 45000, 0, 100, 110000 },
		  "the governor was changed meanwhile" },
		{ { "performance", 600000, 45000, 0, 100, 110000 }, "the frequency moved" },
		{ { "performance", 1800000, 60000, 0, 100, 110000 }, "it became hotter or colder" },
		{ { "performance", 1800000, 45000, 4, 100, 110000 }, "it was throttled" },
		{ { "performance", 1800000, 45000, 0, 300, 110000 },
		  "others had a part of its processors" },
		{ { "performance", 600000, 60000, 0, 100, 110000 },
		  "the frequency moved; it became hotter or colder" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct machine_moves all = {};
		char *warning;

		machine_note(&all, &calm);
		machine_note(&all, &t[i].then);
		warning = machine_warning(&all);
		if (t[i].warning)
			assert_string_equal(warning, t[i].warning);
		else
			assert_null(warning);
		free(warning);
	}
}

static void the_text_has_what_is_known(void **state)
{
	static const struct machine a = { "schedutil", 1500000, 44000, 0, 0, 1000 };
	static const struct machine b = { "schedutil", 1800000, 47000, 0, 20, 2000 };
	_cleanup_free_ char *text = NULL, *warning = NULL;
	struct machine_moves all = {};

	(void)state;
	machine_note(&all, &a);
	machine_note(&all, &b);
	text = machine_text(&all);
	assert_string_equal(text, "governor schedutil, 1500 to 1800 MHz, 44 to 47 C, 2.0 % stolen");
	warning = machine_warning(&all);
	assert_non_null(strstr(warning, "the governor is schedutil, and not performance"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_is_read_from_its_files),
		cmocka_unit_test(what_it_does_not_tell_is_not_made_up),
		cmocka_unit_test(what_moved_is_warned_of),
		cmocka_unit_test(the_text_has_what_is_known),
	};

	return cmocka_run_group_tests_name("machine", tests, setup, dir_teardown);
}
