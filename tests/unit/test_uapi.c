// SPDX-License-Identifier: GPL-2.0
/* What a UAPI header says of arguments, by way of the compiler. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../lab/proc.h"
#include "../../lab/uapi.h"

static const char header[] = "#include <linux/ioctl.h>\n"
			     "#include <linux/types.h>\n"
			     "struct demo_point { __u16 x, y; };\n"
			     "struct demo_area { __u32 size; struct demo_point corner[2];\n"
			     "	union { __u64 set; __u8 byte; }; char name[100]; };\n"
			     "#define DEMO_NOP _IO(0xb7, 0)\n"
			     "#define DEMO_AREA _IOWR(0xb7, 1, struct demo_area)\n"
			     "#define DEMO_COUNT _IOR(0xb7, 2, __u64)\n"
			     "#define DEMO_NAME _IOW(0xb7, 3, char[3])\n";

static void fields_are_where_the_compiler_puts_them(void **state)
{
	char *dir = temp_dir(NULL);
	_cleanup_free_ char *h = xasprintf("%s/demo.h", dir), *c = xasprintf("%s/types.c", dir);
	_cleanup_free_ char *o = xasprintf("%s/types.o", dir);
	char *argv[] = { "cc", "-g", "-c", "-o", o, c, NULL };
	struct proc p = { .argv = argv, .dir = dir };
	struct buf text = {}, rows = {};
	struct driver d = {};

	(void)state;
	strv_add(&d.headers, "demo.h");
	strv_split(&d.ioctls, "DEMO_NOP DEMO_AREA DEMO_COUNT DEMO_NAME", " ");
	uapi_types(&d, &text);
	assert_int_equal(file_write(h, header, strlen(header)), 0);
	assert_int_equal(file_write(c, text.s, text.n), 0);
	assert_int_equal(proc_run(&p), LAB_OK);
	assert_int_equal(p.status, 0);
	assert_int_equal(uapi_fields(o, &d, &rows), 0);
	assert_string_equal(rows.s, "\t{ DEMO_AREA, 0, 4 },\n"
				    "\t{ DEMO_AREA, 4, 2 },\n\t{ DEMO_AREA, 6, 2 },\n"
				    "\t{ DEMO_AREA, 8, 2 },\n\t{ DEMO_AREA, 10, 2 },\n"
				    "\t{ DEMO_AREA, 16, 8 },\n\t{ DEMO_AREA, 16, 1 },\n"
				    "\t{ DEMO_AREA, 24, 1 },\n\t{ DEMO_AREA, 25, 1 },\n"
				    "\t{ DEMO_AREA, 26, 1 },\n\t{ DEMO_AREA, 27, 1 },\n"
				    "\t{ DEMO_COUNT, 0, 8 },\n"
				    "\t{ DEMO_NAME, 0, 1 },\n\t{ DEMO_NAME, 1, 1 },\n"
				    "\t{ DEMO_NAME, 2, 1 },\n");
	assert_int_not_equal(uapi_fields(c, &d, &rows), 0);
	proc_free(&p);
	buf_free(&text);
	buf_free(&rows);
	driver_free(&d);
	temp_dir_done(dir);
}

static void numbers_are_those_without_names(void **state)
{
	struct strv n = {};

	(void)state;
	uapi_numbers("#define A 12\n"
		     "#define B (1U << 3) /* a bit */\n"
		     "#define C \"12\"\n"
		     "#define D A\n"
		     "#define E(x) 13\n"
		     "#define F _IO(1, 2)\n"
		     "# define G 0xFFFFUL /* the\n"
		     " * end */\n"
		     "#define H\n"
		     "#define I 12\n"
		     "#define J __attribute__((aligned(8)))\n"
		     "int x = 5;\n"
		     "#define K (~0ULL)\n",
		     &n);
	assert_int_equal(n.n, 4);
	assert_string_equal(n.v[0], "12");
	assert_string_equal(n.v[1], "(1U << 3)");
	assert_string_equal(n.v[2], "0xFFFFUL");
	assert_string_equal(n.v[3], "(~0ULL)");
	strv_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_where_the_compiler_puts_them),
		cmocka_unit_test(numbers_are_those_without_names),
	};

	if (proc_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
