// SPDX-License-Identifier: GPL-2.0
/* Two objects assembled here: what protects them, which functions match, how their code is laid side by side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../lab/compare.h"
#include "dir.h"

static struct arch amd64 = { .name = "amd64" };
static struct kernel kernel = { .arch = &amd64 };
static struct disasm a, b;

static const char a_source[] = ".text\n"
			       ".type __pfx_foo_ioctl, @function\n"
			       "__pfx_foo_ioctl: .skip 16, 0x90\n"
			       ".size __pfx_foo_ioctl, .-__pfx_foo_ioctl\n"
			       ".type foo_ioctl, @function\n"
			       "foo_ioctl: endbr64\n"
			       "1:	nopl 0(%rax,%rax,1)\n"
			       "	mov %rdi, %rax\n"
			       "	jmp foo_ioctl.cold\n"
			       ".size foo_ioctl, .-foo_ioctl\n"
			       ".type foo_helper, @function\n"
			       "foo_helper: call __ubsan_handle_out_of_bounds\n"
			       "	ret\n"
			       ".size foo_helper, .-foo_helper\n"
			       ".type foo_ioctl_info, @function\n"
			       "foo_ioctl_info: ret\n"
			       ".size foo_ioctl_info, .-foo_ioctl_info\n"
			       ".section .text.unlikely,\"ax\",@progbits\n"
			       ".type foo_ioctl.cold, @function\n"
			       "foo_ioctl.cold: call __stack_chk_fail\n"
			       ".size foo_ioctl.cold, .-foo_ioctl.cold\n"
			       ".section __mcount_loc,\"a\",@progbits\n"
			       ".quad 1b\n"
			       ".section .init.text,\"ax\",@progbits\n"
			       ".globl init_module\n"
			       ".type init_module, @function\n"
			       ".type foo_init, @function\n"
			       "foo_init:\n"
			       "init_module: call __x86_indirect_thunk_rax\n"
			       "	ret\n"
			       ".size init_module, .-init_module\n"
			       ".size foo_init, .-foo_init\n";

#define VTABLE "_RNvMs2_NtCs1_6kernel10miscdeviceINtB5_16MiscdeviceVTableNtCs1_3foo3FooE5ioctl"
#define OWN    "_RNvXCs1_3fooNtB2_3FooNtNtCs1_6kernel10miscdevice10MiscDevice5ioctl"

static const char b_source[] = ".text\n"
			       ".type " OWN ", @function\n" OWN ": mov %rdi, %rax\n"
			       "	inc %rax\n"
			       "	inc %rax\n"
			       "	ret\n"
			       ".size " OWN ", .-" OWN "\n"
			       ".type " VTABLE ", @function\n" VTABLE ": endbr64\n"
			       "	call " OWN "\n"
			       "	ret\n"
			       ".size " VTABLE ", .-" VTABLE "\n"
			       ".globl init_module\n"
			       ".type init_module, @function\n"
			       "init_module: ret\n"
			       ".size init_module, .-init_module\n"
			       ".section __patchable_function_entries,\"a\",@progbits\n"
			       ".quad init_module\n"
			       ".section .rodata,\"a\",@progbits\n"
			       ".quad " VTABLE "\n";

static int setup(void **state)
{
	static const char config[] = "CONFIG_STACKPROTECTOR_STRONG=y\nCONFIG_RETPOLINE=y\n";

	if (dir_setup(state))
		return -1;
	for (int i = 0; i < 2; i++) {
		const char *source = i ? b_source : a_source;
		_cleanup_free_ char *s = xasprintf("%s/%c.s", dir, 'a' + i);
		_cleanup_free_ char *o = xasprintf("%s/%c.ko", dir, 'a' + i);
		_cleanup_free_ char *run = xasprintf("x86_64-linux-gnu-as -o %s %s", o, s);

		assert_int_equal(file_write(s, source, strlen(source)), 0);
		assert_int_equal(system(run), 0);
		assert_int_equal(disasm_open(o, i ? &b : &a), 0);
	}
	kernel.config = xasprintf("%s/config", dir);
	return file_write(kernel.config, config, strlen(config));
}

static int teardown(void **state)
{
	disasm_free(&a);
	disasm_free(&b);
	free(kernel.config);
	return dir_teardown(state);
}

static void hardening_is_told_by_functions_that_have_it(void **state)
{
	static const struct {
		const char *name;
		size_t a, b;
		char set;
	} want[] = {
		{ "stack protector", 1, 0, 'y' }, /* in the part that was moved away */
		{ "function tracing", 1, 0, 'n' },
		{ "undefined behaviour (UBSAN)", 1, 0, 'n' },
		{ "indirect branch tracking", 1, 1, 'n' },
		{ "retpolines", 1, 0, 'y' }, /* by its name of older kernels */
		{ "return thunks", 0, 0, 'n' },
		{ "call depth padding", 1, 0, 'n' },
	};
	size_t na, nb;
	struct hardening *ha = hardening_find(&a, &kernel, &na);
	struct hardening *hb = hardening_find(&b, &kernel, &nb);

	(void)state;
	assert_int_equal(na, nb);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		bool found = false;

		for (size_t k = 0; k < na; k++) {
			if (strcmp(ha[k].name, want[i].name))
				continue;
			assert_int_equal(ha[k].functions, want[i].a);
			assert_int_equal(hb[k].functions, want[i].b);
			assert_int_equal(ha[k].set, want[i].set);
			found = true;
		}
		assert_true(found);
	}
	for (size_t k = 0; k < na; k++)
		assert_null(strstr(ha[k].name, "BTI")); /* another architecture's */
	free(ha);
	free(hb);
}

static void a_role_is_what_a_name_ends_with(void **state)
{
	static const struct {
		const char *shown, *role;
	} names[] = {
		{ "vgpio_ioctl", "ioctl" },
		{ "ioctl", "ioctl" },
		{ "foo_compat_ioctl", "compat_ioctl" },
		{ "mymem_read_iter", "read" },
		{ "<kernel::miscdevice::MiscdeviceVTable<vgpio::Open>>::read_iter", "read" },
		{ "<foo::Foo as kernel::InPlaceModule>::init", "init" },
		{ "foo::poll", "poll" },
		{ "foo::open::<foo::Bar>", "open" },
		{ "init_module", "init" },
		{ "cleanup_module", "exit" },
		{ "vgpio_ioctl_info", NULL },
		{ "reopen", NULL },
		{ "foo::open::inner", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *role = function_role(names[i].shown);

		if (names[i].role) {
			assert_non_null(role);
			assert_string_equal(role, names[i].role);
		} else {
			assert_null(role);
		}
	}
}

static void functions_match_by_role_and_the_entry_is_told_apart(void **state)
{
	size_t n;
	struct function_pair *p = match_functions(&a, &b, &n);

	(void)state;
	assert_int_equal(n, 2);
	assert_string_equal(p[0].role, "init");
	assert_string_equal(p[0].a->name, "foo_init");
	assert_string_equal(p[0].b->name, "init_module");
	assert_string_equal(p[1].role, "ioctl");
	assert_string_equal(p[1].a->name, "foo_ioctl");
	assert_ptr_equal(p[1].a_entry, p[1].a);
	assert_string_equal(p[1].b->name, OWN);
	assert_string_equal(p[1].b_entry->name, VTABLE);
	assert_true(pair_is_meant(&p[1], NULL));
	assert_true(pair_is_meant(&p[1], "ioctl"));
	assert_true(pair_is_meant(&p[1], "foo_ioctl"));
	assert_true(pair_is_meant(&p[1], "<foo::Foo as kernel::miscdevice::MiscDevice>::ioctl"));
	assert_false(pair_is_meant(&p[1], "init"));
	free(p);
	/* of one object: all there are, each once */
	p = match_functions(&a, NULL, &n);
	assert_int_equal(n, 4);
	free(p);
}

static void alike_instructions_stand_side_by_side(void **state)
{
	const struct disasm_function *x = disasm_find(&a, "foo_ioctl"), *y = disasm_find(&b, OWN);
	size_t n, same = 0;
	long last[2] = { -1, -1 };
	struct asm_row *rows = align_code(x, y, &n);

	(void)state;
	assert_int_equal(n, x->n + y->n - 1); /* the mov is in both */
	for (size_t i = 0; i < n; i++) {
		same += rows[i].a >= 0 && rows[i].b >= 0;
		if (rows[i].a >= 0)
			assert_int_equal(rows[i].a, ++last[0]);
		if (rows[i].b >= 0)
			assert_int_equal(rows[i].b, ++last[1]);
	}
	assert_int_equal(same, 1);
	assert_int_equal(last[0] + 1, x->n);
	assert_int_equal(last[1] + 1, y->n);
	free(rows);
	rows = align_code(x, NULL, &n);
	assert_int_equal(n, x->n);
	free(rows);
}

/* --- operations --- */

static struct bench_op op_of(const struct module *m, const char *name, long instructions)
{
	return (struct bench_op){ .kernel = &kernel,
				  .module = m->name,
				  .name = (char *)name,
				  .instructions = instructions,
				  .own = instructions - 100 };
}

static void both_orders_must_have_the_same_integers(void **state)
{
	struct module ma = { .name = "foo" }, mb = { .name = "foo_rust" };
	struct bench_op first[] = { op_of(&ma, "SET", 600), op_of(&mb, "SET", 627),
				    op_of(&mb, "GET", 500) };
	struct bench_op second[] = { op_of(&mb, "SET", 627), op_of(&mb, "GET", 501),
				     op_of(&ma, "SET", 600) };
	struct bench one = { .ops = first, .n = 3 }, two = { .ops = second, .n = 3 };
	struct compare c = { .o = { { .kernel = &kernel, .module = &ma },
				    { .kernel = &kernel, .module = &mb } },
			     .bench = { { &one, &one }, { &two, &two } } };
	double difference, percent;
	struct compare_op *ops;
	size_t n;

	(void)state;
	ops = compare_ops(&c, &n);
	assert_int_equal(n, 2);
	assert_true(ops[0].agree);
	assert_true(compare_op_difference(&ops[0], &difference, &percent));
	assert_true(difference == 27 && percent == 4.5);
	assert_false(ops[1].agree);
	assert_false(compare_op_difference(&ops[1], &difference, &percent)); /* foo has no GET */
	free(ops);
	/* a split of one boot only says nothing; two that are not the same do */
	first[0].split = true;
	first[0].in_module = 40;
	ops = compare_ops(&c, &n);
	assert_true(ops[0].agree);
	free(ops);
	second[2].split = true;
	second[2].in_module = 41;
	ops = compare_ops(&c, &n);
	assert_false(ops[0].agree);
	free(ops);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hardening_is_told_by_functions_that_have_it),
		cmocka_unit_test(a_role_is_what_a_name_ends_with),
		cmocka_unit_test(functions_match_by_role_and_the_entry_is_told_apart),
		cmocka_unit_test(alike_instructions_stand_side_by_side),
		cmocka_unit_test(both_orders_must_have_the_same_integers),
	};

	if (system("command -v x86_64-linux-gnu-as >/dev/null")) {
		puts("compare: skipped: there is no assembler for amd64");
		return 0;
	}
	return cmocka_run_group_tests_name("compare", tests, setup, teardown);
}
