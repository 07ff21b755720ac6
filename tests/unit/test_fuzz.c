// SPDX-License-Identifier: GPL-2.0
/* Programs of calls: as text, made smaller, named by their crash, and as C that compiles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../lab/fuzz.h"

static struct fuzz_prog program(uint32_t n)
{
	struct fuzz_prog p = { .n = n };

	for (uint32_t i = 0; i < n; i++) {
		struct fuzz_call *c = &p.calls[i];

		c->kind = i % FUZZ_KINDS;
		c->fd = i % FUZZ_FDS;
		c->other = i % FUZZ_NODES;
		c->flags = 0x80000001u + i;
		c->cmd = 0xc014e703;
		c->addr = FUZZ_ARENA + 0x100 * i;
		c->size = i ? SIZE_MAX - i : 0;
		c->pos = INT64_MIN + i;
		c->n_data = i * 3;
		memset(c->data, 0, sizeof(c->data));
		if (i)
			c->data[i] = 0xa0 + i;
	}
	return p;
}

static void a_program_survives_being_text(void **state)
{
	static char text[FUZZ_CALLS * FUZZ_LINE + 2];
	struct fuzz_prog p = program(FUZZ_CALLS), q;
	const char *rest;

	(void)state;
	assert_true(fuzz_prog_print(&p, text, sizeof(text)) > 0);
	rest = fuzz_prog_parse(text, &q);
	assert_non_null(rest);
	assert_int_equal(q.n, p.n);
	for (uint32_t i = 0; i < p.n; i++)
		assert_memory_equal(&p.calls[i], &q.calls[i],
				    offsetof(struct fuzz_call, data) + FUZZ_DATA);
	assert_null(fuzz_prog_parse(rest, &q));
	assert_int_equal(fuzz_prog_print(&p, text, 100), 0);
}

static void what_is_no_call_is_passed_over(void **state)
{
	struct fuzz_prog p;

	(void)state;
	assert_non_null(fuzz_prog_parse("nonsense\n"
					"fly 0 0 0 0x0 0x0 0x0 0x0 0 0 -\n"
					"read 0 0 0 0x0 0x0 0x0 0x0 0 9999 -\n"
					"read 0 0 0 0x0 0x0 0x0 0x0 0 1 zz\n"
					"read 0 0 0 0x0 0x0 0x0 0x0 0 1 aabbcc\n"
					"read 7 9 200 0x0 0x0 0x0 0x0 0 0 -",
					&p));
	assert_int_equal(p.n, 1);
	assert_true(p.calls[0].thread < FUZZ_THREADS && p.calls[0].fd < FUZZ_FDS &&
		    p.calls[0].other < FUZZ_NODES);
	assert_null(fuzz_prog_parse("", &p));
	assert_null(fuzz_prog_parse("\n\nnothing\n\n", &p));
}

static void the_smallest_parts_come_first(void **state)
{
	struct fuzz_prog p = program(5);
	struct fuzz_list list = {};

	(void)state;
	fuzz_parts(&p, &list);
	assert_int_equal(list.n, 31); /* all parts of five */
	for (size_t i = 1; i < list.n; i++)
		assert_true(list.p[i].n >= list.p[i - 1].n);
	assert_int_equal(list.p[0].n, 1);
	assert_int_equal(list.p[list.n - 1].n, 5);
	fuzz_list_free(&list);

	p = program(FUZZ_CALLS);
	fuzz_parts(&p, &list);
	assert_true(list.n < 4000);
	assert_int_equal(list.p[list.n - 1].n, FUZZ_CALLS);
	assert_int_equal(list.p[list.n - 2].n, FUZZ_CALLS - 1);
	fuzz_list_free(&list);

	p = program(1);
	fuzz_parts(&p, &list);
	assert_int_equal(list.n, 1);
	fuzz_list_free(&list);
}

static void arguments_become_plain_but_for_a_few(void **state)
{
	struct fuzz_prog p = program(3);
	struct fuzz_list list = {};

	(void)state;
	fuzz_plain(&p, &list);
	assert_true(list.n > 3);
	for (uint32_t i = 0; i < p.n; i++) {
		assert_int_equal(list.p[0].calls[i].pos, 0);
		assert_int_equal(list.p[0].calls[i].addr, FUZZ_ARENA);
		assert_int_equal(list.p[0].calls[i].kind, p.calls[i].kind);
	}
	/* one of them stays, then */
	assert_memory_not_equal(&list.p[1], &list.p[0], sizeof(p));
	assert_memory_equal(&list.p[list.n - 1], &p, sizeof(p));
	fuzz_list_free(&list);
}

static char *signature_of(const char *log)
{
	struct klog k = {};
	char *s;

	klog_scan(log, KLOG_TAINT_MODULE, &k);
	s = fuzz_signature(&k, NULL);
	klog_free(&k);
	return s;
}

#define OOPS(address, pid)                                                                      \
	"[    4.1] BUG: unable to handle page fault for address: " address "\n"                 \
	"[    4.1] #PF: supervisor read access in kernel mode\n"                                \
	"[    4.1] Oops: 0000 [#1] PREEMPT SMP PTI\n"                                           \
	"[    4.1] CPU: 0 PID: " pid " Comm: fuzz Tainted: G           OE      6.1.0-1-amd64\n" \
	"[    4.1] RIP: 0010:demo_read+0x1c/0x40 [demo]\n"                                      \
	"[    4.1] Call Trace:\n"                                                               \
	"[    4.1]  <TASK>\n"                                                                   \
	"[    4.1]  vfs_read+0x9f/0x2d0\n"                                                      \
	"[    4.1]  </TASK>\n"                                                                  \
	"[    4.1] Kernel panic - not syncing: Fatal exception\n"

static void one_crash_has_one_signature(void **state)
{
	_cleanup_free_ char *a = signature_of(OOPS("ffffc90000401000", "171"));
	_cleanup_free_ char *b = signature_of(OOPS("ffffc9001234f008", "9"));
	struct klog none = {};
	_cleanup_free_ char *hang = fuzz_signature(&none, "stuck in the kernel: worker 1, in read");
	_cleanup_free_ char *hang0 =
		fuzz_signature(&none, "stuck in the kernel: worker 0, in read");

	(void)state;
	assert_non_null(a);
	assert_string_equal(a, b);
	assert_non_null(strstr(a, "demo_read"));
	assert_non_null(strstr(a, "page fault"));
	assert_null(strstr(a, "ffffc9"));
	assert_string_equal(hang, hang0);
	assert_null(fuzz_signature(&none, NULL));
}

#define LOCKUP(frame)                                                                 \
	"[   40.1] watchdog: BUG: soft lockup - CPU#1 stuck for 25s! [swapper/1:0]\n" \
	"[   40.1] CPU: 1 PID: 0 Comm: swapper/1 Not tainted 6.1.0-1-amd64 #1\n"      \
	"[   40.1] RIP: 0010:" frame "\n"                                             \
	"[   40.1] Call Trace:\n"                                                     \
	"[   40.1]  <TASK>\n"                                                         \
	"[   40.1]  do_idle+0x9f/0x2d0\n"                                             \
	"[   40.1]  </TASK>\n"

static void a_busy_host_is_no_crash(void **state)
{
	_cleanup_free_ char *idle = signature_of(LOCKUP("default_idle+0xf/0x20"));
	_cleanup_free_ char *loop = signature_of(LOCKUP("demo_loop+0xf/0x20 [demo]"));
	_cleanup_free_ char *both =
		signature_of(LOCKUP("default_idle+0xf/0x20") OOPS("ffffc90000401000", "171"));

	(void)state;
	assert_null(idle);
	assert_non_null(loop);
	assert_non_null(strstr(loop, "demo_loop"));
	assert_non_null(both);
	assert_non_null(strstr(both, "demo_read"));
}

/* All kinds of calls, with and without threads and a second program. */
static void the_c_compiles_by_itself(void **state)
{
	char nodes[1][FUZZ_PATH] = { "/dev/demo" };
	char *dir = temp_dir(NULL);
	_cleanup_free_ char *file = xasprintf("%s/crash.c", dir);
	char *argv[] = { "cc",		"-fsyntax-only", "-Wall", "-Werror",
			 "-Wno-unused", "-Wno-nonnull",	 file,	  NULL };

	(void)state;
	for (int turn = 0; turn < 8; turn++) {
		struct fuzz_prog p = program(FUZZ_CALLS), q = program(FUZZ_CALLS);
		struct proc run = { .argv = argv };
		struct buf c = {};

		for (uint32_t i = 0; i < FUZZ_CALLS; i++) {
			p.calls[i].kind = (i + turn * 5) % FUZZ_KINDS;
			q.calls[i].kind = (i + turn * 7) % FUZZ_KINDS;
			p.calls[i].thread = turn & 1 ? i & 1 : 0;
		}
		fuzz_c(&c, "a crash */ in a test", &p, turn & 2 ? &q : NULL, nodes, 1);
		assert_int_equal(file_write(file, c.s, c.n), 0);
		assert_int_equal(proc_run(&run), LAB_OK);
		if (run.status)
			fail_msg("%s", run.err.s);
		buf_free(&c);
		proc_free(&run);
	}
	temp_dir_done(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_survives_being_text),
		cmocka_unit_test(what_is_no_call_is_passed_over),
		cmocka_unit_test(the_smallest_parts_come_first),
		cmocka_unit_test(arguments_become_plain_but_for_a_few),
		cmocka_unit_test(one_crash_has_one_signature),
		cmocka_unit_test(a_busy_host_is_no_crash),
		cmocka_unit_test(the_c_compiles_by_itself),
	};

	if (proc_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
