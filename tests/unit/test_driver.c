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

#include "driver.h"

static char *room;

static void put(const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", room, name);

	assert_int_equal(file_write(path, text, strlen(text)), 0);
}

static int make_room(void **state)
{
	(void)state;
	room = xstrdup("/tmp/cdevlab-test-XXXXXX");
	return mkdtemp(room) ? 0 : -1;
}

static int remove_room(void **state)
{
	(void)state;
	remove_tree(room);
	free(room);
	return 0;
}

static void a_directory_with_a_kbuild_is_a_driver(void **state)
{
	struct driver d;

	(void)state;
	put("Kbuild", "obj-m := x.o\n");
	put("x.h",
	    "#define X_IOC_MAGIC 'x'\n# define  X_SET _IOW('x', 1, int)\n"
	    "#define X_GET\t_IOWR('x', 2, int)\n#define X_ALIAS (_IO('x', 3))\n#define X_F(a) _IO('x', a)\n");
	assert_int_equal(driver_open(room, &d), LAB_OK);
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
			  "event = poke %n\n[uapi]\nheader = u.h\narg.U_NOP = 01 02ff\n");
	assert_int_equal(driver_open(room, &d), LAB_OK);
	assert_string_equal(d.node, "/dev/%m");
	assert_string_equal(d.event, "poke %n");
	assert_string_equal(d.args.v[0], "U_NOP=0102ff");
	assert_int_equal(d.ioctls.n, 1);
	driver_free(&d);
}

static void a_mistake_in_driver_ini_is_a_usage_error(void **state)
{
	static const char *const wrong[] = { "[driver]\nsumary = x\n", "[node\n",
					     "[uapi]\narg.X = zz\n", "[uapi]\nheader = absent.h\n",
					     "just words\n" };
	struct driver d;

	(void)state;
	put("Kbuild", "obj-m := x.o\n");
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		put("driver.ini", wrong[i]);
		assert_int_equal(driver_open(room, &d), LAB_USAGE);
		driver_free(&d);
	}
}

static void no_kbuild_no_directory_no_such_driver_are_usage_errors(void **state)
{
	struct driver d;

	(void)state;
	assert_int_equal(driver_open(room, &d), LAB_USAGE);
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
	strv_free(&m);
}

static void objects_and_hidden_files_are_no_sources(void **state)
{
	(void)state;
	assert_true(driver_skip_name(".git"));
	assert_true(driver_skip_name("x.ko"));
	assert_true(driver_skip_name("x.mod.c"));
	assert_true(driver_skip_name("Module.symvers"));
	assert_false(driver_skip_name("x.c"));
	assert_false(driver_skip_name("Kbuild"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_directory_with_a_kbuild_is_a_driver, make_room,
						remove_room),
		cmocka_unit_test_setup_teardown(driver_ini_is_read, make_room, remove_room),
		cmocka_unit_test_setup_teardown(a_mistake_in_driver_ini_is_a_usage_error, make_room,
						remove_room),
		cmocka_unit_test_setup_teardown(
			no_kbuild_no_directory_no_such_driver_are_usage_errors, make_room,
			remove_room),
		cmocka_unit_test(a_program_goes_with_its_module_or_family_or_with_all),
		cmocka_unit_test(objects_and_hidden_files_are_no_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
