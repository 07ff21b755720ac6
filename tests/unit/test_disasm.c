// SPDX-License-Identifier: GPL-2.0
/* Machine code: objects assembled and compiled here, their counts known beforehand. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../lab/demangle.h"
#include "../../lab/disasm.h"
#include "dir.h"

/* Each line that is counted stands alone; the numbers are in the tests. */
static const char amd64[] = ".text\n"
			    ".type f, @function\n"
			    "f:	push %rbp\n"
			    "	mov %rsp, %rbp\n"
			    "	push %rbx\n"
			    "	sub $0x18, %rsp\n"
			    "	test %edi, %edi\n"
			    "	je 1f\n"
			    "	mov $text, %rdi\n"
			    "	call extern_function\n"
			    "	call g\n"
			    "1:	lea -8(%rbp), %rsp\n"
			    "	pop %rbx\n"
			    "	pop %rbp\n"
			    "	jmp __x86_return_thunk\n"
			    "	int3\n"
			    ".size f, .-f\n"
			    ".type g, @function\n"
			    "g:	sub $0x28, %rsp\n"
			    "	jne g_cold\n"
			    "2:	add $0x28, %rsp\n"
			    "	jmp extern_function\n"
			    ".size g, .-g\n"
			    ".type dynamic, @function\n"
			    "dynamic: sub %rax, %rsp\n"
			    "	ret\n"
			    ".size dynamic, .-dynamic\n"
			    ".type loop, @function\n"
			    "loop:	push %r8\n"
			    "	dec %ecx\n"
			    "	jne loop\n"
			    "	ret\n"
			    ".size loop, .-loop\n"
			    ".type noreturn, @function\n"
			    "noreturn: push %rax\n"
			    "	je 3f\n"
			    "	pop %rax\n"
			    "	ret\n"
			    "3:	call __stack_chk_fail\n"
			    "	push %rax\n"
			    "	push %rax\n"
			    "	push %rax\n"
			    ".size noreturn, .-noreturn\n"
			    ".type itself, @function\n"
			    "itself: push %rax\n"
			    "	call other\n"
			    "	ret\n"
			    ".size itself, .-itself\n"
			    ".type other, @function\n"
			    "other:	call itself\n"
			    "	ret\n"
			    ".size other, .-other\n"
			    ".section .text.unlikely,\"ax\",@progbits\n"
			    ".type g_cold, @function\n"
			    ".set g.cold, g_cold\n"
			    ".type g.cold, @function\n"
			    "g_cold: push %rax\n"
			    "	pop %rax\n"
			    "	jmp 2b\n"
			    ".size g.cold, .-g_cold\n"
			    ".section .rodata.str1.1,\"aMS\",@progbits,1\n"
			    ".string \"other\"\n"
			    "text:	.string \"\\0013hello\\n\"\n";

static const char arm64[] = ".text\n"
			    ".type f, %function\n"
			    "f:	paciasp\n"
			    "	stp x29, x30, [sp, #-32]!\n"
			    "	mov x29, sp\n"
			    "	sub sp, sp, #1, lsl #12\n"
			    "	str w19, [x29, #16]\n"
			    "	cbz w0, 1f\n"
			    "	adrp x0, text\n"
			    "	add x0, x0, :lo12:text\n"
			    "	bl extern_function\n"
			    "1:	mov sp, x29\n"
			    "	ldp x29, x30, [sp], #32\n"
			    "	autiasp\n"
			    "	ret\n"
			    ".size f, .-f\n"
			    ".type dynamic, %function\n"
			    "dynamic: sub sp, sp, x0\n"
			    "	ret\n"
			    ".size dynamic, .-dynamic\n"
			    ".section .rodata.str1.1,\"aMS\",%progbits,1\n"
			    "text:	.string \"hello\"\n";

static const char c[] =
	"void use(void *p, int n);\n"
	"int leaf(int a) { return a + 1; }\n"
	"int array(int a) { char s[100]; use(s, a); return s[a]; }\n"
	"int saved(int a, int b, int c)\n"
	"{ use(&a, 1); use(&b, c); use(&c, b); return a * b + c; }\n"
	"int big(int a) { char s[9000]; use(s, a); if (s[1]) use(s, 2); return s[a]; }\n"
	"int vla(int a) { char s[a]; use(s, a); return s[1]; }\n"
	"int early(int a) { if (!a) return 3; char s[64]; use(s, a); return s[a]; }\n";

static int have(const char *program)
{
	_cleanup_free_ char *command = xasprintf("command -v %s >/dev/null", program);

	return !system(command);
}

static int setup(void **state)
{
	_cleanup_free_ char *command = NULL;

	if (dir_setup(state))
		return -1;
	put("amd64.s", amd64);
	put("arm64.s", arm64);
	put("c.c", c);
	command = xasprintf(
		"cd %s && if command -v x86_64-linux-gnu-as >/dev/null; then\n"
		"x86_64-linux-gnu-as -o amd64.ko amd64.s || exit 1; fi\n"
		"if command -v aarch64-linux-gnu-as >/dev/null; then\n"
		"aarch64-linux-gnu-as -march=armv8.3-a -o arm64.ko arm64.s || exit 1; fi\n",
		dir);
	return system(command);
}

static struct disasm open_or_skip(const char *name)
{
	_cleanup_free_ char *ko = at(name);
	struct disasm d;

	if (!file_exists(ko))
		skip();
	assert_int_equal(disasm_open(ko, &d), 0);
	return d;
}

static const struct disasm_function *function(const struct disasm *d, const char *name)
{
	const struct disasm_function *f = disasm_find(d, name);

	assert_non_null(f);
	return f;
}

/* rustc 1.85 made these names for modules of the kernel. */
static void names_of_rust_are_as_in_the_source(void **state)
{
	static const struct {
		const char *mangled, *shown;
	} names[] = {
		{ "_RNvCsbDqzXfLQacH_5hello4main", "hello::main" },
		{ "_RNvXCs2DUpOzw_10hello_rustNtB2_5HelloNtCs1_6kernel6Module4init",
		  "<hello_rust::Hello as kernel::Module>::init" },
		{ "_RNvMs2_NtCsbDqzXfLQacH_6kernel10miscdeviceINtB5_16MiscdeviceVTableNtCs1_5vgpio5VgpioE5ioctl",
		  "<kernel::miscdevice::MiscdeviceVTable<vgpio::Vgpio>>::ioctl" },
		{ "_ZN4core9panicking5panic17h0123456789abcdefE", "core::panicking::panic" },
		{ "vgpio_ioctl", "vgpio_ioctl" },
		{ "_Rubbish", "_Rubbish" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		_cleanup_free_ char *shown = demangle(names[i].mangled);

		assert_string_equal(shown, names[i].shown);
	}
}

static void amd64_is_counted(void **state)
{
	struct disasm d = open_or_skip("amd64.ko");
	const struct disasm_function *f = function(&d, "f");

	(void)state;
	assert_int_equal(f->n, 13); /* the filler behind its end is none */
	assert_int_equal(f->branches, 1);
	assert_int_equal(f->calls, 2);
	assert_int_equal(f->returns, 1);
	assert_int_equal(f->registers, 4); /* rbp rsp rbx rdi */
	assert_int_equal(f->stack, 8 + 8 + 0x18);
	f = function(&d, "g");
	assert_int_equal(f->n, 4);
	assert_int_equal(f->branches, 1);
	assert_int_equal(f->calls, 1); /* the jump to another function */
	assert_int_equal(f->returns, 0);
	disasm_free(&d);
}

static void what_code_refers_to_has_its_name(void **state)
{
	struct disasm d = open_or_skip("amd64.ko");
	const struct disasm_function *f = function(&d, "f");

	(void)state;
	assert_string_equal(f->insns[5].operands, "+0x1e");
	assert_null(f->insns[5].target);
	assert_string_equal(f->insns[6].target, "\"\\13hello\\n\"");
	assert_string_equal(f->insns[7].target, "extern_function");
	assert_string_equal(f->insns[7].operands, "");
	assert_string_equal(f->insns[8].target, "g");
	assert_string_equal(function(&d, "g")->insns[3].target, "extern_function");
	disasm_free(&d);
}

static void a_cold_part_belongs_to_its_function(void **state)
{
	struct disasm d = open_or_skip("amd64.ko");
	const struct disasm_function *g = function(&d, "g");

	(void)state;
	assert_true(function(&d, "g.cold")->cold);
	assert_int_equal(g->stack, 0x28 + 8);
	assert_int_equal(disasm_count(&d), d.n - 1);
	disasm_free(&d);
}

static void a_stack_that_is_not_known_is_said_so(void **state)
{
	struct disasm d = open_or_skip("amd64.ko");

	(void)state;
	assert_int_equal(function(&d, "dynamic")->stack, -1);
	assert_non_null(strstr(function(&d, "dynamic")->stack_why, "when it runs"));
	assert_int_equal(function(&d, "loop")->stack, -1);
	assert_non_null(strstr(function(&d, "loop")->stack_why, "loop"));
	disasm_free(&d);
}

/* But code that cannot be reached is looked at: it may be that it only seems so. */
static void behind_a_call_that_never_returns_is_no_code_of_it(void **state)
{
	struct disasm d = open_or_skip("amd64.ko");

	(void)state;
	assert_int_equal(function(&d, "noreturn")->stack, -1);
	assert_non_null(strstr(function(&d, "noreturn")->stack_why, "not followed"));
	disasm_free(&d);
}

static void the_deepest_chain_of_calls_is_found(void **state)
{
	struct disasm d = open_or_skip("amd64.ko");
	struct disasm_reach r;

	(void)state;
	disasm_reach(&d, function(&d, "f"), &r);
	assert_int_equal(r.functions, 2);
	assert_int_equal(r.instructions, 13 + 4 + 3);
	assert_int_equal(r.stack, 40 + 8 + 48);
	assert_int_equal(r.chain.n, 2);
	assert_string_equal(r.chain.v[0], "f");
	assert_string_equal(r.chain.v[1], "g");
	strv_free(&r.chain);
	disasm_reach(&d, function(&d, "itself"), &r);
	assert_int_equal(r.stack, -1);
	strv_free(&r.chain);
	disasm_free(&d);
}

static void arm64_is_counted(void **state)
{
	struct disasm d = open_or_skip("arm64.ko");
	const struct disasm_function *f = function(&d, "f");

	(void)state;
	assert_int_equal(f->n, 13);
	assert_string_equal(f->insns[0].mnemonic, "paciasp");
	assert_int_equal(f->branches, 1);
	assert_int_equal(f->calls, 1);
	assert_int_equal(f->returns, 1);
	assert_int_equal(f->registers, 5); /* x0 x19 x29 x30 sp */
	assert_int_equal(f->stack, 32 + 4096);
	assert_string_equal(f->insns[8].target, "extern_function");
	assert_string_equal(f->insns[7].target, "\"hello\"");
	assert_int_equal(function(&d, "dynamic")->stack, -1);
	disasm_free(&d);
}

/* gcc says of each function how much stack it takes: -fstack-usage, on amd64 with the return address. */
static void compare_with_stack_usage(const char *cc, const char *options, long less)
{
	_cleanup_free_ char *command =
		xasprintf("cd %s && %s %s -ffunction-sections -fstack-usage -c c.c -o c.ko", dir,
			  cc, options);
	_cleanup_free_ char *su = at("c.su"), *ko = at("c.ko");
	struct buf text = {};
	struct strv lines = {};
	struct disasm d;

	assert_int_equal(system(command), 0);
	assert_int_equal(disasm_open(ko, &d), 0);
	assert_int_equal(file_read(su, &text), 0);
	strv_split(&lines, text.s, "\n");
	assert_int_equal(lines.n, 6);
	for (size_t i = 0; i < lines.n; i++) {
		struct strv fields = {};
		const struct disasm_function *f;

		strv_split(&fields, lines.v[i], "\t");
		assert_int_equal(fields.n, 3);
		f = function(&d, strrchr(fields.v[0], ':') + 1);
		if (!strcmp(fields.v[2], "static"))
			assert_int_equal(f->stack, atol(fields.v[1]) - less);
		else
			assert_int_equal(f->stack, -1);
		strv_free(&fields);
	}
	strv_free(&lines);
	buf_free(&text);
	disasm_free(&d);
}

static void the_stack_is_what_the_compiler_says(void **state)
{
	(void)state;
	if (!have("x86_64-linux-gnu-gcc"))
		skip();
	compare_with_stack_usage("x86_64-linux-gnu-gcc", "-O2 -fcf-protection=none", 8);
	compare_with_stack_usage("x86_64-linux-gnu-gcc", "-O2 -fno-omit-frame-pointer", 8);
	compare_with_stack_usage("x86_64-linux-gnu-gcc", "-Os -fstack-protector-all -mno-red-zone",
				 8);
	compare_with_stack_usage("x86_64-linux-gnu-gcc", "-O0 -mno-red-zone", 8);
}

static void so_on_arm64(void **state)
{
	(void)state;
	if (!have("aarch64-linux-gnu-gcc"))
		skip();
	compare_with_stack_usage("aarch64-linux-gnu-gcc", "-O2", 0);
	compare_with_stack_usage("aarch64-linux-gnu-gcc",
				 "-Os -fstack-protector-all -mbranch-protection=pac-ret", 0);
	compare_with_stack_usage("aarch64-linux-gnu-gcc", "-O0", 0);
}

static void what_cannot_be_read_is_refused(void **state)
{
	_cleanup_free_ char *text = at("c.c"), *none = at("none"), *bad = at("bad.ko");
	_cleanup_free_ char *ko = at("amd64.ko");
	struct buf whole = {};
	struct disasm d;

	(void)state;
	assert_int_equal(disasm_open(none, &d), -ENOENT);
	disasm_free(&d);
	assert_int_equal(disasm_open(text, &d), -EINVAL);
	disasm_free(&d);
	if (file_read(ko, &whole))
		skip();
	((Elf64_Ehdr *)whole.s)->e_machine = EM_S390;
	assert_int_equal(file_write(bad, whole.s, whole.n), 0);
	assert_int_equal(disasm_open(bad, &d), -ENOTSUP);
	disasm_free(&d);
	buf_free(&whole);
}

/* A file that was cut off or damaged is refused or read, never followed out of its bounds. */
static void damaged_files_do_no_harm(void **state)
{
	_cleanup_free_ char *ko = at("amd64.ko"), *bad = at("bad.ko");
	struct buf whole = {};
	struct disasm d;

	(void)state;
	if (file_read(ko, &whole))
		skip();
	for (size_t n = 0; n < whole.n; n += whole.n / 40 + 1) {
		assert_int_equal(file_write(bad, whole.s, n), 0);
		disasm_open(bad, &d);
		disasm_free(&d);
	}
	for (size_t n = 0; n < whole.n; n += 3) {
		char was = whole.s[n];

		whole.s[n] = (char)0xff;
		assert_int_equal(file_write(bad, whole.s, whole.n), 0);
		whole.s[n] = was;
		disasm_open(bad, &d);
		disasm_free(&d);
	}
	buf_free(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_rust_are_as_in_the_source),
		cmocka_unit_test(amd64_is_counted),
		cmocka_unit_test(what_code_refers_to_has_its_name),
		cmocka_unit_test(a_cold_part_belongs_to_its_function),
		cmocka_unit_test(a_stack_that_is_not_known_is_said_so),
		cmocka_unit_test(behind_a_call_that_never_returns_is_no_code_of_it),
		cmocka_unit_test(the_deepest_chain_of_calls_is_found),
		cmocka_unit_test(arm64_is_counted),
		cmocka_unit_test(the_stack_is_what_the_compiler_says),
		cmocka_unit_test(so_on_arm64),
		cmocka_unit_test(what_cannot_be_read_is_refused),
		cmocka_unit_test(damaged_files_do_no_harm),
	};

	return cmocka_run_group_tests_name("disasm", tests, setup, dir_teardown);
}
