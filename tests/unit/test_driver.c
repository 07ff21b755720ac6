// SPDX-License-Identifier: GPL-2.0
/* Rooms: driver.ini, UAPI headers, which program is for which module. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../lab/driver.h"
#include "dir.h"

static void a_directory_with_a_kbuild_is_a_driver(void **state)
{
	struct driver d;

	(void)state;
	put("Kbuild", "obj-m := x.o\n");
	put("x.h",
	    "#define X_IOC_MAGIC 'x'\n# define  X_SET _IOW('x', 1, int)\n"
	    "#define X_GET\t_IOWR('x', 2, int)\n#define X_ALIAS (_IO('x', 3))\n#define X_F(a) _IO('x', a)\n");
	assert_int_equal(driver_open(dir, &d), LAB_OK);
	assert_false(d.has_ini);
	assert_int_equal(d.headers.n, 1);
	assert_int_equal(d.ioctls.n, 3);
	assert_true(strv_has(&d.ioctls, "X_SET") && strv_has(&d.ioctls, "X_GET"));
	driver_free(&d);
}

static void driver_ini_is_read(void **state)
{
	struct driver d;

	(void)state;
	put("Makefile", "obj-m := x.o\n");
	put("u.h", "#define U_NOP _IO('u', 0)\n");
	put("driver.ini", "[driver]\nsummary = Nothing\n[node]\npath = /dev/%m\nmode = 0600\n"
			  "event = poke %n\n[uapi]\nheader = u.h\narg.U_NOP = 01 02ff\n"
			  "absent.x_rust = U_NOP\n");
	assert_int_equal(driver_open(dir, &d), LAB_OK);
	assert_string_equal(d.node, "/dev/%m");
	assert_string_equal(d.event, "poke %n");
	assert_string_equal(d.args.v[0], "U_NOP=0102ff");
	assert_string_equal(d.absents.v[0], "x_rust=U_NOP");
	assert_int_equal(d.ioctls.n, 1);
	driver_free(&d);
}

static void wall_commands_published_figures_and_goals_are_read(void **state)
{
	struct driver d;

	(void)state;
	put("Kbuild", "obj-m := x.o\n");
	put("driver.ini", "[bench]\nwall = xctl bench --records\nwall = xctl race\n");
	put("published.json",
	    "{\"source\":\"s\",\"records\":[{\"table\":\"t\",\"row\":\"r\",\"column\":\"c\","
	    "\"value\":2,\"unit\":\"us\"}],\"exact\":[{\"table\":\"t\",\"row\":\"r\",\"column\":\"c\","
	    "\"module\":\"x\",\"op\":\"read\"}]}");
	put("goals.json", "[{\"op\":\"read\",\"at_most\":2,\"of\":\"null\"}]");
	assert_int_equal(driver_open(dir, &d), LAB_OK);
	assert_int_equal(d.walls.n, 2);
	assert_string_equal(d.walls.v[1], "xctl race");
	assert_string_equal(d.published.source, "s");
	assert_null(d.published.note);
	assert_int_equal(d.published.n, 1);
	assert_int_equal(d.published.n_exact, 1);
	assert_int_equal(d.n_goals, 1);
	assert_true(d.goals[0].at_most == 2);
	driver_free(&d);
}

static void a_mistake_in_published_json_or_goals_json_is_a_usage_error(void **state)
{
#define AT "{\"table\":\"t\",\"row\":\"r\",\"column\":\"c\""
	static const char *const wrong[][2] = {
		{ "published.json", "{" },
		{ "published.json", "[]" },
		{ "published.json", "{\"records\":{}}" },
		{ "published.json", "{\"recodrs\":[]}" },
		{ "published.json", "{\"records\":[" AT "}]}" },
		{ "published.json", "{\"records\":[" AT ",\"value\":1,\"unit\":\"s\"}," AT
				    ",\"value\":1,\"unit\":\"s\"}]}" },
		{ "published.json", "{\"exact\":[" AT ",\"op\":\"read\"}]}" },
		{ "goals.json", "{}" },
		{ "goals.json", "[{\"op\":\"read\"}]" },
		{ "goals.json", "[{\"op\":\"read\",\"at_most\":\"1\"}]" },
		{ "goals.json", "[{\"op\":\"read\",\"at_msot\":1}]" },
		{ "goals.json", "[{\"op\":\"a\",\"at_most\":1,\"of\":\"b\",\"above\":\"c\"}]" },
	};
	struct driver d;

	(void)state;
	put("Kbuild", "obj-m := x.o\n");
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		put("published.json", "{}");
		put("goals.json", "[]");
		assert_int_equal(driver_open(dir, &d), LAB_OK);
		driver_free(&d);
		put(wrong[i][0], wrong[i][1]);
		assert_int_equal(driver_open(dir, &d), LAB_USAGE);
		driver_free(&d);
	}
}

static void a_mistake_in_driver_ini_is_a_usage_error(void **state)
{
	static const char *const wrong[] = { "[driver]\nsumary = x\n",
					     "[node\n",
					     "[uapi]\narg.X = zz\n",
					     "[bench]\nwall =\n",
					     "[uapi]\nheader = absent.h\n",
					     "[uapi]\nabsent.x = X_NOP\n",
					     "just words\n" };
	struct driver d;

	(void)state;
	put("Kbuild", "obj-m := x.o\n");
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		put("driver.ini", wrong[i]);
		assert_int_equal(driver_open(dir, &d), LAB_USAGE);
		driver_free(&d);
	}
}

static void no_kbuild_no_directory_no_such_driver_are_usage_errors(void **state)
{
	struct driver d;

	(void)state;
	assert_int_equal(driver_open(dir, &d), LAB_USAGE);
	driver_free(&d);
	assert_int_equal(driver_open("/nonexistent/dir", &d), LAB_USAGE);
	driver_free(&d);
	assert_int_equal(driver_open("no_such_driver", &d), LAB_USAGE);
	driver_free(&d);
	assert_int_equal(driver_open("", &d), LAB_USAGE);
	driver_free(&d);
}

static void a_program_goes_with_its_module_or_family_or_with_all(void **state)
{
	struct strv m = {};

	(void)state;
	strv_split(&m, "gpio_a gpio_b other", " ");
	assert_true(driver_program_fits("gpio", "gpio_a", &m));
	assert_true(driver_program_fits("gpio", "gpio_b", &m));
	assert_false(driver_program_fits("gpio", "other", &m));
	assert_true(driver_program_fits("gpio_a", "gpio_a", &m));
	assert_false(driver_program_fits("gpio_a", "gpio_b", &m));
	assert_true(driver_program_fits("anything", "other", &m));
	strv_add(&m, "gpio");
	assert_true(driver_program_fits("gpio", "gpio", &m));
	assert_false(driver_program_fits("gpio", "gpio_a", &m));
	/* and with its twins */
	assert_true(driver_program_fits("gpio", "gpio_rust", &m));
	assert_true(driver_program_fits("gpio", "gpio_rust_a", &m));
	assert_false(driver_program_fits("gpio", "gpio_rusty", &m));
	assert_false(driver_program_fits("gpio", "other_rust", &m));
	strv_add(&m, "gpio_rust");
	assert_false(driver_program_fits("gpio_rust", "gpio", &m));
	strv_free(&m);
}

static void objects_and_hidden_files_are_no_sources(void **state)
{
	(void)state;
	assert_true(driver_skip_name(".git"));
	assert_true(driver_skip_name("x.ko"));
	assert_true(driver_skip_name("x.mod.c"));
	assert_true(driver_skip_name("Module.symvers"));
	assert_true(driver_skip_name("x_uapi.rs"));
	assert_false(driver_skip_name("x_rust.rs"));
	assert_false(driver_skip_name("x.c"));
	assert_false(driver_skip_name("Kbuild"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_directory_with_a_kbuild_is_a_driver, dir_setup,
						dir_teardown),
		cmocka_unit_test_setup_teardown(driver_ini_is_read, dir_setup, dir_teardown),
		cmocka_unit_test_setup_teardown(wall_commands_published_figures_and_goals_are_read,
						dir_setup, dir_teardown),
		cmocka_unit_test_setup_teardown(
			a_mistake_in_published_json_or_goals_json_is_a_usage_error, dir_setup,
			dir_teardown),
		cmocka_unit_test_setup_teardown(a_mistake_in_driver_ini_is_a_usage_error, dir_setup,
						dir_teardown),
		cmocka_unit_test_setup_teardown(
			no_kbuild_no_directory_no_such_driver_are_usage_errors, dir_setup,
			dir_teardown),
		cmocka_unit_test(a_program_goes_with_its_module_or_family_or_with_all),
		cmocka_unit_test(objects_and_hidden_files_are_no_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
