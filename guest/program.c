// SPDX-License-Identifier: GPL-2.0
/* Running another program of the guest from a test: a driver's client. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define WORDS_MAX 30

static void need_program(const char *program)
{
	const char *path = getenv("PATH");
	char dirs[1024], file[1200], *dir, *rest;

	snprintf(dirs, sizeof(dirs), "%s", path ? path : "");
	for (rest = dirs; (dir = strsep(&rest, ":"));) {
		snprintf(file, sizeof(file), "%s/%s", dir, program);
		if (!access(file, X_OK))
			return;
	}
	SKIP("%s is not in PATH", program);
}

static pid_t vspawn(uid_t uid, int out, int err, const char *fmt, va_list ap)
{
	char text[1024], *argv[WORDS_MAX + 1], *rest = text;
	int n = 0, nothing;
	pid_t pid;

	vsnprintf(text, sizeof(text), fmt, ap);
	while (n < WORDS_MAX && (argv[n] = strsep(&rest, " ")))
		n++;
	argv[n] = NULL;
	need_program(argv[0]);
	pid = SAFE(fork());
	if (!pid) {
		nothing = open("/dev/null", O_RDONLY);
		dup2(nothing, STDIN_FILENO);
		dup2(out, STDOUT_FILENO);
		dup2(err, STDERR_FILENO);
		if (uid &&
		    (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid)))
			_exit(126);
		execvp(argv[0], argv);
		_exit(127);
	}
	return pid;
}

pid_t program_start(int out, int err, const char *fmt, ...)
{
	va_list ap;
	pid_t pid;

	va_start(ap, fmt);
	pid = vspawn(0, out, err, fmt, ap);
	va_end(ap);
	return pid;
}

static void read_file(FILE *file, char *text, size_t size)
{
	size_t n;

	rewind(file);
	n = fread(text, 1, size - 1, file);
	text[n] = '\0';
	fclose(file);
}

static struct program_output vrun(uid_t uid, const char *fmt, va_list ap)
{
	FILE *out = tmpfile(), *err = tmpfile();
	struct program_output o;
	int status;
	pid_t pid;

	ASSERT_TRUE(out && err);
	pid = vspawn(uid, fileno(out), fileno(err), fmt, ap);
	SAFE(waitpid(pid, &status, 0));
	o.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	read_file(out, o.out, sizeof(o.out));
	read_file(err, o.err, sizeof(o.err));
	return o;
}

struct program_output program_run(const char *fmt, ...)
{
	struct program_output o;
	va_list ap;

	va_start(ap, fmt);
	o = vrun(0, fmt, ap);
	va_end(ap);
	return o;
}

struct program_output program_run_as(uid_t uid, const char *fmt, ...)
{
	struct program_output o;
	va_list ap;

	va_start(ap, fmt);
	o = vrun(uid, fmt, ap);
	va_end(ap);
	return o;
}
