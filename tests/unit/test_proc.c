// SPDX-License-Identifier: GPL-2.0
/* Child processes and temporary directories: nothing outlives its owner. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../lab/proc.h"

static char *sh(struct proc *p, char *argv[4], char *script)
{
	argv[0] = "sh";
	argv[1] = "-c";
	argv[2] = script;
	argv[3] = NULL;
	p->argv = argv;
	return script;
}

/* A process that is gone, or that nobody has waited for yet, does nothing any more. */
static bool is_alive(pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/stat", pid);
	struct buf b = {};
	bool alive = !file_read(path, &b) && strrchr(b.s, ')') && strrchr(b.s, ')')[2] != 'Z';

	buf_free(&b);
	return alive;
}

static bool dies_soon(pid_t pid)
{
	for (int i = 0; i < 100 && is_alive(pid); i++)
		usleep(50000);
	return !is_alive(pid);
}

static bool goes_soon(const char *path)
{
	for (int i = 0; i < 100 && file_exists(path); i++)
		usleep(50000);
	return !file_exists(path);
}

static void output_and_status_are_collected(void **state)
{
	char *argv[4];
	struct proc p = {};

	(void)state;
	sh(&p, argv, "echo out; echo err >&2; cat; exit 7");
	assert_int_equal(proc_run(&p), LAB_OK);
	assert_int_equal(p.status, 7);
	assert_string_equal(p.out.s, "out\n");
	assert_string_equal(p.err.s, "err\n");
	proc_free(&p);
}

static void a_signal_is_a_negative_status(void **state)
{
	char *argv[4];
	struct proc p = {};

	(void)state;
	sh(&p, argv, "kill -TERM $$");
	assert_int_equal(proc_run(&p), LAB_OK);
	assert_int_equal(p.status, -SIGTERM);
	proc_free(&p);
}

struct seen {
	struct strv out, err;
};

static void on_line(void *ctx, const char *line, bool is_err)
{
	struct seen *s = ctx;

	strv_add(is_err ? &s->err : &s->out, line);
}

static void lines_come_one_by_one_whatever_the_pieces(void **state)
{
	struct seen seen = {};
	char *argv[4];
	struct proc p = { .on_line = on_line, .ctx = &seen };

	(void)state;
	sh(&p, argv, "printf 'one\\ntw'; sleep 0.2; printf 'o\\n\\nlast'; echo e >&2");
	assert_int_equal(proc_run(&p), LAB_OK);
	assert_int_equal(seen.out.n, 4);
	assert_string_equal(seen.out.v[0], "one");
	assert_string_equal(seen.out.v[1], "two");
	assert_string_equal(seen.out.v[2], "");
	assert_string_equal(seen.out.v[3], "last");
	assert_int_equal(seen.err.n, 1);
	strv_free(&seen.out);
	strv_free(&seen.err);
	proc_free(&p);
}

static void much_output_is_not_lost(void **state)
{
	char *argv[4];
	struct proc p = {};

	(void)state;
	sh(&p, argv, "head -c 3000000 /dev/zero; head -c 500000 /dev/zero >&2");
	assert_int_equal(proc_run(&p), LAB_OK);
	assert_int_equal(p.out.n, 3000000);
	assert_int_equal(p.err.n, 500000);
	proc_free(&p);
}

struct together {
	size_t ended;
	int order[3];
	struct proc *v;
};

static enum lab_exit on_end(struct proc *p, void *ctx)
{
	struct together *t = ctx;

	t->order[t->ended++] = p - t->v;
	return LAB_OK;
}

/* The second waits for what the first makes; the third is begun when one of them has ended. */
static void several_run_side_by_side(void **state)
{
	char *dir = temp_dir(NULL), *argv[3][4];
	_cleanup_free_ char *make = xasprintf("sleep 0.2; mkdir %s/one; sleep 300", dir);
	_cleanup_free_ char *wait = xasprintf("until rmdir %s/one; do sleep 0.1; done 2>&-", dir);
	struct proc v[3] = { { .timeout_s = 2 } };
	struct together t = { .v = v };

	(void)state;
	sh(&v[0], argv[0], make);
	sh(&v[1], argv[1], wait);
	sh(&v[2], argv[2], "echo third");
	assert_int_equal(proc_run_all(v, 3, 2, on_end, &t), LAB_OK);
	assert_int_equal(t.ended, 3);
	assert_int_equal(t.order[0], 1);
	assert_int_equal(t.order[1], 2);
	assert_int_equal(t.order[2], 0);
	assert_true(v[0].timed_out);
	assert_false(v[1].timed_out);
	assert_string_equal(v[2].out.s, "third\n");
	for (int i = 0; i < 3; i++)
		proc_free(&v[i]);
	temp_dir_done(dir);
}

static enum lab_exit on_end_fail(struct proc *p, void *ctx)
{
	(void)p;
	(void)ctx;
	return LAB_FAILED;
}

static void one_that_ends_all_kills_the_others(void **state)
{
	char *argv[2][4];
	struct proc v[2] = {};

	(void)state;
	sh(&v[0], argv[0], "sleep 300");
	sh(&v[1], argv[1], ":");
	assert_int_equal(proc_run_all(v, 2, 2, on_end_fail, NULL), LAB_FAILED);
	assert_int_equal(v[0].status, -SIGKILL);
	for (int i = 0; i < 2; i++)
		proc_free(&v[i]);
}

static void a_time_out_kills_the_grandchildren_too(void **state)
{
	char *argv[4];
	struct proc p = { .timeout_s = 1 };
	double start = now_s();
	pid_t grandchild;

	(void)state;
	sh(&p, argv, "trap '' TERM; sleep 300 & echo $!; wait");
	assert_int_equal(proc_run(&p), LAB_TIMEOUT);
	assert_true(p.timed_out);
	assert_true(now_s() - start < 10);
	assert_int_equal(p.status, -SIGKILL);
	grandchild = atoi(p.out.s);
	assert_true(grandchild > 1);
	assert_true(dies_soon(grandchild));
	proc_free(&p);
}

/* What holds the pipe open after the child's end does not hold up the caller, nor stay. */
static void what_a_child_leaves_behind_ends_with_it(void **state)
{
	char *argv[4];
	struct proc p = {};
	double start = now_s();

	(void)state;
	sh(&p, argv, "sleep 300 & echo $!");
	assert_int_equal(proc_run(&p), LAB_OK);
	assert_int_equal(p.status, 0);
	assert_true(now_s() - start < 10);
	assert_true(dies_soon(atoi(p.out.s)));
	proc_free(&p);
}

static void directory_and_environment_are_the_childs(void **state)
{
	char *argv[4], *env[] = { "CDEVLAB_TRIAL=yes", NULL };
	struct proc p = { .dir = "/", .env = env };

	(void)state;
	sh(&p, argv, "echo $PWD $CDEVLAB_TRIAL");
	assert_int_equal(proc_run(&p), LAB_OK);
	assert_string_equal(p.out.s, "/ yes\n");
	assert_null(getenv("CDEVLAB_TRIAL"));
	proc_free(&p);
}

static void only_kept_descriptors_are_inherited(void **state)
{
	int a = open("/dev/null", O_RDONLY | O_CLOEXEC),
	    b = open("/dev/null", O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *script =
		xasprintf("test -e /proc/self/fd/%d && ! test -e /proc/self/fd/%d", a, b);
	char *argv[4];
	struct proc p = { .keep_fds = &a, .n_keep = 1 };

	(void)state;
	sh(&p, argv, script);
	assert_int_equal(proc_run(&p), LAB_OK);
	assert_int_equal(p.status, 0);
	proc_free(&p);
	close(a);
	close(b);
}

/* The message goes to standard error, once; here it is only in the way. */
static int quiet(void)
{
	int saved = dup(2), null = open("/dev/null", O_WRONLY);

	dup2(null, 2);
	close(null);
	return saved;
}

static void loud(int saved)
{
	dup2(saved, 2);
	close(saved);
}

static void a_program_that_is_missing_is_said(void **state)
{
	char *argv[] = { "no-such-program", NULL }, *false_argv[] = { "false", NULL };
	struct proc p = { .argv = argv }, q = { .argv = false_argv, .dir = "/nonexistent" };
	int saved = quiet(), ret = proc_run(&p), bad_dir = proc_run(&q);

	(void)state;
	loud(saved);
	assert_int_equal(ret, LAB_CANNOT);
	assert_int_equal(bad_dir, LAB_CANNOT);
	assert_null(proc_output(false_argv));
	assert_false(proc_have("no-such-program"));
	assert_true(proc_have("sh"));
	proc_free(&p);
	proc_free(&q);
}

static void output_loses_its_last_newline(void **state)
{
	char *argv[] = { "printf", "a\\nb\\n\\n", NULL };
	_cleanup_free_ char *out = proc_output(argv);

	(void)state;
	assert_string_equal(out, "a\nb");
}

static void a_started_child_can_be_asked_and_ended(void **state)
{
	char *argv[] = { "sleep", "300", NULL };
	struct proc p = { .argv = argv };
	pid_t pid;

	(void)state;
	assert_int_equal(proc_start(&p), LAB_OK);
	pid = p.pid;
	assert_false(proc_ended(&p));
	proc_end(&p);
	assert_true(proc_ended(&p));
	assert_int_equal(p.status, -SIGKILL);
	assert_false(is_alive(pid));
	proc_free(&p);
}

static void a_temporary_directory_goes_when_it_is_done(void **state)
{
	char *d = temp_dir(NULL);
	_cleanup_free_ char *path = xstrdup(d), *f = xasprintf("%s/f", d);

	(void)state;
	assert_int_equal(file_write(f, "x", 1), 0);
	temp_dir_done(d);
	assert_false(file_exists(path));
	temp_dir_done(NULL);
}

static void a_directory_that_was_renamed_stays(void **state)
{
	char *d = temp_dir(NULL);
	_cleanup_free_ char *kept = xasprintf("%s-kept", d);

	(void)state;
	assert_int_equal(rename(d, kept), 0);
	temp_dir_done(d);
	assert_true(file_exists(kept));
	remove_tree(kept);
}

/*
 * A program of its own that starts a child with a child and makes a directory; it tells us about
 * them and is then ended by @sig at a moment it cannot know.
 */
static void nothing_is_left_after(int sig)
{
	char line[4096 + 64], path[4096];
	int fds[2], child, grandchild, status;
	FILE *in;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		char *argv[4], *d, *f;
		struct proc p = {};
		char said[32] = "";

		close(fds[0]);
		alarm(60);
		if (proc_init())
			_exit(1);
		signal(SIGTERM, SIG_DFL);
		d = temp_dir(NULL);
		f = xasprintf("%s/sub", d);
		make_dirs(f, 0755);
		sh(&p, argv, "sleep 300 & echo $!; wait");
		if (proc_start(&p) || read(p.out_fd, said, sizeof(said) - 1) <= 0)
			_exit(1);
		dprintf(fds[1], "%d %d %s\n", p.pid, atoi(said), d);
		for (;;)
			pause();
	}
	close(fds[1]);
	in = fdopen(fds[0], "r");
	assert_non_null(fgets(line, sizeof(line), in));
	assert_int_equal(sscanf(line, "%d %d %4095s", &child, &grandchild, path), 3);
	assert_true(is_alive(child) && is_alive(grandchild) && file_exists(path));
	kill(pid, sig);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	fclose(in);
	assert_true(dies_soon(child));
	assert_true(dies_soon(grandchild));
	assert_true(goes_soon(path));
}

static void nothing_is_left_after_a_kill(void **state)
{
	(void)state;
	nothing_is_left_after(SIGKILL);
}

static void nothing_is_left_after_a_crash(void **state)
{
	(void)state;
	nothing_is_left_after(SIGTERM);
}

static void an_interrupt_ends_the_child_and_is_said(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		char *argv[] = { "sleep", "300", NULL };
		struct proc p = { .argv = argv };
		enum lab_exit ret;

		if (proc_init())
			_exit(1);
		if (!fork()) {
			usleep(300000);
			kill(getppid(), SIGINT);
			_exit(0);
		}
		alarm(30);
		ret = proc_run(&p);
		_exit(ret == LAB_INTERRUPTED && p.status == -SIGKILL ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_and_status_are_collected),
		cmocka_unit_test(a_signal_is_a_negative_status),
		cmocka_unit_test(lines_come_one_by_one_whatever_the_pieces),
		cmocka_unit_test(much_output_is_not_lost),
		cmocka_unit_test(several_run_side_by_side),
		cmocka_unit_test(one_that_ends_all_kills_the_others),
		cmocka_unit_test(a_time_out_kills_the_grandchildren_too),
		cmocka_unit_test(what_a_child_leaves_behind_ends_with_it),
		cmocka_unit_test(directory_and_environment_are_the_childs),
		cmocka_unit_test(only_kept_descriptors_are_inherited),
		cmocka_unit_test(a_program_that_is_missing_is_said),
		cmocka_unit_test(output_loses_its_last_newline),
		cmocka_unit_test(a_started_child_can_be_asked_and_ended),
		cmocka_unit_test(a_temporary_directory_goes_when_it_is_done),
		cmocka_unit_test(a_directory_that_was_renamed_stays),
		cmocka_unit_test(nothing_is_left_after_a_kill),
		cmocka_unit_test(nothing_is_left_after_a_crash),
		cmocka_unit_test(an_interrupt_ends_the_child_and_is_said),
	};

	if (proc_init())
		return 1;
	return cmocka_run_group_tests_name("proc", tests, NULL, NULL);
}
