// SPDX-License-Identifier: GPL-2.0
/* What is said of the sources, and of the rooms as they are without the lab. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "driver.h"
#include "kernel.h"
#include "proc.h"

/* A command that says nothing and ends with 0, or is a failure with what it said. */
static enum lab_exit check_command(struct ktap *suite, const char *name, const char *shell_line)
{
	struct ktap *t = ktap_new(suite, name);
	char *argv[] = { "sh", "-c", (char *)shell_line, NULL };
	struct proc p = { .argv = argv, .timeout_s = 600, .dir = lab_data_dir() };
	enum lab_exit ret;
	struct strv lines = {};

	lab_stage(suite->name, "%s", name);
	ret = proc_run(&p);
	if (ret == LAB_TIMEOUT)
		ktap_set(t, KTAP_TIMEOUT, "after %d s", p.timeout_s);
	else if (p.status == 127)
		ktap_set(t, KTAP_SKIP, "%s is not installed", name);
	else if (p.status == 126)
		ktap_set(t, KTAP_SKIP,
			 "the files are laid out by clang-format 14, and this is another");
	else
		ktap_set(t, p.status ? KTAP_FAIL : KTAP_PASS, "status %d", p.status);
	if (p.out.s)
		strv_split(&lines, p.out.s, "\n");
	if (p.err.s)
		strv_split(&lines, p.err.s, "\n");
	for (size_t i = 0; t->result == KTAP_FAIL && i < lines.n && i < 40; i++)
		ktap_note(t, "%s", lines.v[i]);
	strv_free(&lines);
	proc_free(&p);
	return ret == LAB_INTERRUPTED ? ret : LAB_OK;
}

/* All rooms, the one that new ones are made from with them: directories below ours. */
static enum lab_exit find_rooms(struct strv *rooms)
{
	struct strv names = {};
	enum lab_exit ret = driver_names(&names);

	for (size_t i = 0; i < names.n; i++)
		strv_addf(rooms, "drivers/%s", names.v[i]);
	strv_free(&names);
	strv_add(rooms, CHECK_NEW_ROOM);
	return ret;
}

/* What a copy of a room is put through: a shell's line, with $kdir and make for the default kernel. */
struct room_check {
	const char *title;
	const char *line;
};

static const struct room_check room_checks[] = {
	/* through Kbuild's own C=2, which does not fail on what sparse says: saying anything is the failure */
	{ "sparse", "command -v sparse >/dev/null || exit 127; "
		    "make -s -C $kdir M=$PWD W=1 C=2 modules >../log 2>&1; "
		    "grep -v 'Skipping BTF' ../log; ! grep -qE 'warning|error' ../log" },
	/* its own Makefile makes module and client, and cleans up after them */
	{ "make",
	  "own() { make -s KDIR=$kdir $* >../log 2>&1 || { cat ../log; exit 1; }; }; "
	  "export CFLAGS='-O2 -Wall -Werror'; own clean; ls -A >../before; own; "
	  "for m in $(sed -n 's/^obj-m *[:+]*= *//p' Kbuild); do ls ${m%.o}.ko || exit 1; done; "
	  "for c in *ctl.c; do test ! -f $c || ls ${c%.c} || exit 1; done; "
	  "own clean; ls -A | diff ../before -" },
};

static enum lab_exit check_room(struct ktap *suite, const char *room, const struct kernel *k,
				const struct room_check *check)
{
	_cleanup_free_ char *title = xasprintf("%s %s", check->title, path_base(room));
	_cleanup_free_ char *kdir = shell_quote(k->kdir), *line = NULL;
	char *tmp = temp_dir(NULL);
	struct buf args = {};
	enum lab_exit ret;

	if (!tmp)
		return LAB_CANNOT;
	buf_printf(&args, "CC=%s", k->cc);
	for (size_t i = 0; i < k->make_args.n; i++)
		buf_printf(&args, " %s", k->make_args.v[i]);
	line = xasprintf("cp -r %s %s/room && cd %s/room || exit 1; kdir=%s; "
			 "make() { command make \"$@\" %s; }; %s",
			 room, tmp, tmp, kdir, args.s, check->line);
	ret = check_command(suite, title, line);
	buf_free(&args);
	temp_dir_done(tmp);
	return ret;
}

static enum lab_exit check_rooms(struct ktap *suite)
{
	struct strv rooms = {};
	struct kernel k = {};
	enum lab_exit ret = find_rooms(&rooms);

	if (!ret)
		ret = kernel_get(NULL, false, &k);
	for (size_t c = 0; c < ARRAY_SIZE(room_checks); c++)
		for (size_t i = 0; i < rooms.n && !ret; i++)
			ret = check_room(suite, rooms.v[i], &k, &room_checks[c]);
	kernel_free(&k);
	strv_free(&rooms);
	return ret;
}

enum lab_exit check_static(struct ktap *suite)
{
	static const char *const commands[][2] = {
		/* other versions lay out a few lines in other ways */
		{ "clang-format",
		  "command -v clang-format >/dev/null || exit 127; "
		  "clang-format --version | grep -q 'version 14' || exit 126; "
		  "clang-format --dry-run -Werror $(find lab guest drivers templates tests -name '*.[ch]')" },
		{ "cppcheck",
		  "command -v cppcheck >/dev/null || exit 127; "
		  "cppcheck --quiet --error-exitcode=1 --inline-suppr --suppress=normalCheckLevelMaxBranches --enable=warning,portability "
		  "--std=c11 -Iguest -D_GNU_SOURCE -D__x86_64__ "
		  "-DCDEVLAB_DATADIR='\"/\"' lab guest drivers/*/*ctl.c templates/*/*ctl.c" },
		/* leaks are the address sanitizer's: the analyzer follows neither lists that own their strings
		 * nor what dup2() leaves to exec */
		{ "gcc -fanalyzer",
		  "for f in lab/*.c; do gcc -std=gnu11 -O1 -D_GNU_SOURCE -DCDEVLAB_DATADIR='\"/\"' -fanalyzer "
		  "-Wno-analyzer-malloc-leak -Wno-analyzer-fd-leak -Werror -c -o /dev/null $f || exit 1; done" },
		{ "shell syntax", "sh -n cdevlab && sh -n .ci/run" },
		{ "man page",
		  "command -v man >/dev/null || exit 127; "
		  "out=$(LC_ALL=C.UTF-8 MANROFFSEQ= man --warnings -E UTF-8 -l -Tutf8 -Z docs/cdevlab.1 2>&1 "
		  ">/dev/null); echo \"$out\"; test -z \"$out\"" },
		{ "the manual has each option",
		  "for c in $(build/cdevlab --help | sed -n 's/^  \\([a-z]*\\) .*/\\1/p'); do "
		  "for o in $(build/cdevlab $c --help | grep -oE -- '--[a-z][a-z-]+' | sort -u); do "
		  "tr -d '\\\\' <docs/cdevlab.1 | grep -qE \"(Fl|,) -${o#--}( |$)\" || echo $c $o; "
		  "done; done | { ! grep .; }" },
		{ "no room includes another's files",
		  "! grep -nE '#include \"\\.\\./' drivers/*/*.[ch] templates/*/*.[ch]" },
		{ "every room is complete",
		  "for k in drivers/*/Kbuild templates/*/Kbuild; do d=${k%/*}; "
		  "has() { ls $* >/dev/null 2>&1 || echo \"$d has no ${1##*/}\"; }; "
		  "has $d/README.md; has $d/Makefile; has $d/driver.ini; has $d/test_*.c; "
		  "grep -qs '^summary = .' $d/driver.ini || echo \"$d/driver.ini has no summary\"; "
		  "grep -qs '^## Without the lab' $d/README.md || echo \"$d/README.md: nothing on 'Without the lab'\"; "
		  "grep -qs '^.node.$' $d/driver.ini || continue; "
		  "has $d/*ctl.c; has $d/*.h; has $d/bench_*.c; done | { ! grep .; }" },
		/* the layout of what is made, too, though the lines have other lengths */
		{ "a new room",
		  "command -v clang-format >/dev/null || exit 127; "
		  "clang-format --version | grep -q 'version 14' || exit 126; "
		  "t=$(mktemp -d) && trap 'rm -r $t' EXIT && cp .clang-format $t && "
		  "for n in ab demo sixteen_letters_; do build/cdevlab new $n --outside $t >/dev/null && "
		  "! grep -rniE template $t/$n && clang-format --dry-run -Werror $t/$n/*.[ch] || exit 1; done" },
		/* a driver is known by its driver.ini; prose may give one as an example */
		{ "the lab names no driver",
		  "for d in drivers/*/; do d=${d%/}; ! grep -nE \"\\\"/?${d##*/}[\\\"/_]\" lab/*.c || exit 1; done" },
	};
	enum lab_exit ret = LAB_OK;

	for (size_t i = 0; i < ARRAY_SIZE(commands) && !ret; i++)
		ret = check_command(suite, commands[i][0], commands[i][1]);
	return ret ? ret : check_rooms(suite);
}
