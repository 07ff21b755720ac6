// SPDX-License-Identifier: GPL-2.0
#include "lab.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

struct lab_options lab_options;

static struct {
	char name[16];
	char *text;
	double start;
	bool open; /* a terminal line without its newline */
} stage;

static bool on_terminal(void)
{
	static int tty = -1;

	if (tty < 0)
		tty = isatty(STDERR_FILENO);
	return tty;
}

/* A message must not be glued to a half-written stage line. */
static void close_stage_line(void)
{
	if (stage.open)
		fputs("\r\033[K", stderr);
	stage.open = false;
}

static void print_message(const char *prefix, const char *fmt, va_list ap)
{
	close_stage_line();
	fputs(prefix, stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

static char **kept;

void lab_keep_failure(char **message)
{
	kept = message;
}

enum lab_exit lab_fail(enum lab_exit code, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (kept && code == LAB_CANNOT) {
		free(*kept);
		*kept = xvasprintf(fmt, ap);
		hint = NULL;
	} else {
		print_message("cdevlab: ", fmt, ap);
	}
	va_end(ap);
	if (hint)
		fprintf(stderr, "  %s\n", hint);
	return code;
}

void lab_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_message("cdevlab: note: ", fmt, ap);
	va_end(ap);
}

void lab_verbose(const char *fmt, ...)
{
	va_list ap;

	if (!lab_options.verbose)
		return;
	va_start(ap, fmt);
	print_message("", fmt, ap);
	va_end(ap);
}

void lab_stage(const char *name, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	bool same;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	same = !strcmp(stage.name, name);
	snprintf(stage.name, sizeof(stage.name), "%s", name);
	if (!same || !stage.start)
		stage.start = now_s();
	free(stage.text);
	stage.text = xstrdup(text);
	if (on_terminal()) {
		fprintf(stderr, "\r\033[K%-6s %s  %.0f s", name, text, now_s() - stage.start);
		stage.open = true;
	} else if (!same) {
		fprintf(stderr, "%-6s %s\n", name, text);
	}
	fflush(stderr);
}

void lab_progress(const char *name, const char *fmt, ...)
{
	va_list ap;

	close_stage_line();
	if (strcmp(stage.name, name))
		stage.start = now_s();
	snprintf(stage.name, sizeof(stage.name), "%s", name);
	fprintf(stderr, "%-6s ", name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	fflush(stderr);
}

void lab_stage_done(const char *fmt, ...)
{
	va_list ap;

	close_stage_line();
	if (fmt && stage.name[0]) {
		fprintf(stderr, "%-6s ", stage.name);
		va_start(ap, fmt);
		vfprintf(stderr, fmt, ap);
		va_end(ap);
		fprintf(stderr, "  %.1f s\n", now_s() - stage.start);
	}
	/* one that was only erased need not be announced again in a pipe */
	if (fmt)
		stage.name[0] = '\0';
	stage.start = 0;
	fflush(stderr);
}

const char *lab_cache_dir(void)
{
	static char *dir;
	const char *s;
	int ret;

	if (dir)
		return dir;
	if ((s = getenv("CDEVLAB_CACHE")) && *s)
		dir = xstrdup(s);
	else if ((s = getenv("XDG_CACHE_HOME")) && *s)
		dir = xasprintf("%s/cdevlab", s);
	else if ((s = getenv("HOME")) && *s)
		dir = xasprintf("%s/.cache/cdevlab", s);
	else
		dir = xasprintf("/tmp/cdevlab-%d", (int)getuid());
	ret = make_dirs(dir, 0755);
	if (!ret && access(dir, W_OK))
		ret = -errno;
	if (ret) {
		lab_fail(LAB_CANNOT, "set CDEVLAB_CACHE to a directory that can be written to",
			 "cannot use the cache directory %s: %s", dir, strerror(-ret));
		free(dir);
		dir = NULL;
	}
	return dir;
}

const char *lab_data_dir(void)
{
	static char *dir;
	char exe[PATH_MAX];
	ssize_t n;
	char *slash;

	if (dir)
		return dir;
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	/* CHECKOUT/build/cdevlab */
	for (int up = 0; up < 2; up++)
		if ((slash = strrchr(exe, '/')))
			*slash = '\0';
	dir = xasprintf("%s/guest", exe);
	if (file_exists(dir))
		dir[strlen(dir) - strlen("/guest")] = '\0';
	else
		dir = (free(dir), xstrdup(CDEVLAB_DATADIR));
	return dir;
}
