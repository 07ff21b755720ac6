// SPDX-License-Identifier: GPL-2.0
/* cdevlab check: the project's own tests, all of them. */
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "check.h"
#include "cmd.h"
#include "proc.h"
#include "results.h"
#include "safety_check.h"
#include "test.h"

static const char help[] =
	"usage: cdevlab check [OPTION]...\n"
	"The project's own tests: host unit tests (plain and with sanitizers), static checks, every driver on the\n"
	"default kernel and on Debian 12's and 13's, the proofs that each claim of the conformance suite can fail,\n"
	"the Rust twins on a kernel of theirs, and the lab's defences.\n\n"
	"      --only GROUP   unit, asan, static, drivers, rust, proofs, stress, fuzz, debug, safety, meter, target or\n"
	"                     defences;\n"
	"                     the proofs then in full: every claim on every broken driver\n"
	"      --rust         the group rust alone, which then fails where its toolchain cannot be had\n";

/* What cdevlab new makes rooms from; it is one. */
#define NEW_ROOM "templates/misc"

/* One group asked for is run in full. */
static bool in_full;

/* Programs that print TAP; cmocka does when asked. */
static void run_program(struct ktap *suite, const char *path, int timeout_s)
{
	struct ktap *t = ktap_new(suite, path_base(path));
	char *argv[] = { (char *)path, NULL };
	_cleanup_free_ char *self = xasprintf("CDEVLAB_SELF=%s/build/cdevlab", lab_data_dir());
	char *env[] = { "CMOCKA_MESSAGE_OUTPUT=TAP", self, NULL };
	struct proc p = { .argv = argv, .env = env, .timeout_s = timeout_s, .dir = lab_data_dir() };
	enum lab_exit ret = proc_run(&p);
	struct strv lines = {};

	if (!ktap_parse(t, p.out.s ?: "") || (p.status && !ktap_count(t).failed))
		ktap_set(ktap_new(t, "exit"), ret == LAB_TIMEOUT ? KTAP_TIMEOUT : KTAP_FAIL,
			 "%s %d", ret == LAB_TIMEOUT ? "no end in time; status" : "status",
			 p.status);
	/* cmocka's skips have the test's name where a reason belongs; the reason is what the test printed */
	for (size_t i = 0; i < t->n; i++) {
		struct ktap *c = t->children[i];

		if (c->result != KTAP_SKIP || !c->reason)
			continue;
		free(c->name);
		c->name = xstrdup(c->reason);
		ktap_set(c, KTAP_SKIP, "%s",
			 c->notes.n ? c->notes.v[c->notes.n - 1] : "no reason given");
	}
	if (p.status && p.err.s)
		strv_split(&lines, p.err.s, "\n");
	for (size_t i = 0; i < lines.n && t->n; i++)
		ktap_note(t->children[t->n - 1], "%s", lines.v[i]);
	strv_free(&lines);
	proc_free(&p);
}

/* make TARGET, then all programs of a pattern. */
static enum lab_exit run_programs(struct ktap *suite, const char *target, const char *pattern,
				  int timeout_s)
{
	_cleanup_free_ char *full = xasprintf("%s/%s", lab_data_dir(), pattern);
	_cleanup_free_ char *jobs = xasprintf("-j%ld", sysconf(_SC_NPROCESSORS_ONLN));
	char *argv[] = { "make", "-s", jobs, (char *)target, NULL };
	struct proc p = { .argv = argv, .pass = true, .dir = lab_data_dir() };
	enum lab_exit ret = proc_run(&p);
	glob_t g = {};

	if (!ret && p.status)
		ktap_set(ktap_new(suite, "build"), KTAP_FAIL, "make %s fails", target);
	if (!ret && !p.status && !glob(full, 0, NULL, &g)) {
		for (size_t i = 0; i < g.gl_pathc && !lab_interrupted(); i++) {
			if (str_ends(g.gl_pathv[i], ".d"))
				continue;
			lab_stage(suite->name, "%s", path_base(g.gl_pathv[i]));
			run_program(suite, g.gl_pathv[i], timeout_s);
		}
		globfree(&g);
	}
	return lab_interrupted() ? LAB_INTERRUPTED : ret;
}

static enum lab_exit check_unit(struct ktap *suite)
{
	return run_programs(suite, "unit", "build/unit/test_*", 120);
}

static enum lab_exit check_asan(struct ktap *suite)
{
	return run_programs(suite, "asan", "build/asan/unit/test_*", 240);
}

static enum lab_exit check_defences(struct ktap *suite)
{
	return run_programs(suite, "defences", "build/defences", 1800);
}

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
	strv_add(rooms, NEW_ROOM);
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

static enum lab_exit check_static(struct ktap *suite)
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

/* Rooms that have a budget or goals, and of the kernels the first of each architecture. */
static void choose_measured(struct test_run *m, const struct test_run *t)
{
	for (size_t i = 0; i < t->n_drivers; i++) {
		_cleanup_free_ char *budget = xasprintf("%s/budget.json", t->d[i].dir);
		_cleanup_free_ char *goals = xasprintf("%s/goals.json", t->d[i].dir);

		if (file_exists(budget) || file_exists(goals))
			strv_add(&m->drivers, t->d[i].dir);
	}
	for (size_t k = 0; k < t->n_kernels; k++) {
		bool first = true;

		for (size_t i = 0; i < k; i++)
			first &= t->k[i].arch != t->k[k].arch;
		if (first)
			strv_add(&m->kernels, t->k[k].name);
	}
}

/* Their budgets and goals, a test of each operation. */
static enum lab_exit check_budgets(struct ktap *suite, const struct test_run *t)
{
	struct test_run m = {};
	struct bench b = { .run = &m, .trace = true };
	enum lab_exit ret;

	choose_measured(&m, t);
	ret = test_prepare(&m);
	/* what does not build was told before */
	if (m.root)
		ktap_free(m.root);
	m.root = ktap_new(NULL, "measured");
	if (!ret)
		ret = bench_boot(&b);
	for (size_t i = 0; i < m.n_drivers && !ret; i++) {
		_cleanup_free_ char *budget = xasprintf("%s/budget.json", m.d[i].dir);

		if (file_exists(budget))
			ret = bench_budget_check(&b, &m.d[i], budget);
	}
	if (!ret)
		bench_goals_check(&b);
	ktap_move(suite, m.root);
	bench_free(&b);
	test_run_free(&m);
	return ret == LAB_SKIPPED ? LAB_OK : ret;
}

/*
 * The default kernel; beside it the oldest and the newest stable one, and one of each architecture. What cannot
 * be had here is skipped.
 */
static void check_kernels(struct strv *kernels, struct ktap *suite)
{
	static const char *const more[] = { "debian:bookworm", "debian:trixie",
					    "debian:trixie/amd64", "debian:trixie/arm64",
					    "debian:trixie/riscv64" };
	char *name = kernel_default_name();

	if (!name)
		return; /* the stage after us says why */
	strv_take(kernels, name);
	for (size_t i = 0; i < ARRAY_SIZE(more) && !lab_interrupted(); i++) {
		struct kernel k = {};
		enum lab_exit ret = kernel_get(more[i], false, &k);

		if (ret)
			ktap_set(ktap_new(suite, more[i]), KTAP_SKIP, "%s cannot be had here",
				 more[i]);
		else if (!strv_has(kernels, k.name))
			strv_add(kernels, k.name);
		kernel_free(&k);
	}
}

static enum lab_exit check_drivers(struct ktap *suite)
{
	_cleanup_free_ char *new_room = xasprintf("%s/" NEW_ROOM, lab_data_dir());
	struct test_run t = {};
	enum lab_exit ret = driver_names(&t.drivers);

	if (ret)
		return ret;
	strv_add(&t.drivers, new_room);
	check_kernels(&t.kernels, suite);
	ret = test_prepare(&t);
	if (!ret)
		ret = test_boot(&t);
	if (!ret)
		ret = check_budgets(suite, &t);
	if (t.root)
		ktap_move(suite, t.root);
	test_run_free(&t);
	return ret;
}

/* Rooms of ours that have a twin. */
static enum lab_exit twin_rooms(struct strv *rooms)
{
	struct strv names = {};
	enum lab_exit ret = driver_names(&names);

	for (size_t i = 0; i < names.n; i++) {
		_cleanup_free_ char *pattern =
			xasprintf("%s/drivers/%s/*.rs", lab_data_dir(), names.v[i]);
		glob_t g = {};

		if (!glob(pattern, 0, NULL, &g))
			strv_add(rooms, names.v[i]);
		globfree(&g);
	}
	strv_free(&names);
	return ret;
}

/* A warning in a twin is a failure, as it is in the kernel's own Rust. */
static void judge_messages(struct ktap *suite, const struct test_run *t)
{
	struct ktap *quiet = ktap_new(suite, "the compilers have nothing to say");

	for (size_t i = 0; i < t->n_kernels * t->n_drivers; i++) {
		_cleanup_free_ char *path =
			xasprintf("%s/messages.txt", t->built[i].dir ?: "/nonexistent");
		struct buf b = {};

		if (t->built[i].n && !file_read(path, &b) && b.n) {
			ktap_set(quiet, KTAP_FAIL, "of %s", t->built[i].driver->name);
			ktap_note(quiet, "%s", b.s);
		}
		buf_free(&b);
	}
}

/* C and Rust beside each other, by the kernel's own toolchain. */
static enum lab_exit test_twins(struct ktap *suite)
{
	struct test_run t = {};
	enum lab_exit ret = twin_rooms(&t.drivers);

	if (!ret && t.drivers.n)
		ret = test_prepare(&t);
	if (!ret && t.drivers.n)
		judge_messages(suite, &t);
	if (!ret && t.drivers.n)
		ret = test_boot(&t);
	if (t.root)
		ktap_move(suite, t.root);
	test_run_free(&t);
	return ret;
}

/* Where it was not asked for by name, a machine that cannot make the toolchain skips it. */
static enum lab_exit check_rust(struct ktap *suite)
{
	_cleanup_free_ char *why = NULL;
	bool demanded = lab_options.rust;
	struct kernel k = {};
	enum lab_exit ret;

	lab_options.rust = true;
	if (!demanded)
		lab_keep_failure(&why);
	ret = kernel_get(NULL, false, &k);
	lab_keep_failure(NULL);
	kernel_free(&k);
	if (!ret)
		ret = test_twins(suite);
	else if (!demanded && ret == LAB_CANNOT)
		ktap_set(ktap_new(suite, "toolchain"), KTAP_SKIP, "%s",
			 why ?: "the kernel's toolchain cannot be had");
	lab_options.rust = demanded;
	return why && ret == LAB_CANNOT ? LAB_OK : ret;
}

#define PROVE_TIMEOUT_S 1800
#define PROOF_SHARE	"4" /* of the claims, on a driver that they need not fail on */

/* Rows of the table that take the kernel with them: "DRIVER:BUG", each needs a boot of its own. */
static void crash_rows(const char *table, struct strv *rows)
{
	struct buf text = {};
	struct strv lines = {};

	if (!file_read(table, &text))
		strv_split(&lines, text.s, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		struct strv words = {};

		strv_split(&words, lines.v[i], " \t");
		if (words.n > 3 && words.v[0][0] != '#' && !strcmp(words.v[3], "crash"))
			strv_addf(rows, "%s:%s", words.v[0], words.v[1]);
		strv_free(&words);
	}
	strv_free(&lines);
	buf_free(&text);
}

static enum lab_exit proof_boot(struct boot *b, const struct kernel *k, const struct built *built,
				const char *table, const char *only, const char *part)
{
	_cleanup_free_ char *conform = xasprintf("%s/bin/conform", built->dir);
	enum lab_exit ret = boot_init(b, k);
	struct job *j;

	if (ret)
		return ret;
	b->vm.label = only ?: part;
	b->vm.timeout_s = PROVE_TIMEOUT_S;
	for (size_t m = 0; m < built->n; m++)
		boot_add_module(b, built, &built->modules[m]);
	boot_add_file(b, "/lab/bin/conform", conform);
	boot_add_file(b, "/lab/expect.txt", table);
	j = boot_add_job(b, "broken", "proofs", PROVE_TIMEOUT_S);
	strv_add(&j->argv, "test_proofs");
	strv_add(&j->argv, "/lab/expect.txt");
	strv_add(&j->argv, only ? "--only" : "--part");
	strv_add(&j->argv, only ?: part);
	if (!in_full) {
		strv_add(&j->argv, "--share");
		strv_add(&j->argv, PROOF_SHARE);
	}
	return LAB_OK;
}

/* What such a guest must show: its rows, or, for a row that crashes, the crash in the claim that names it. */
static void judge_proofs(struct ktap *suite, struct boot *b, bool crash)
{
	struct ktap *t = ktap_new(suite, b->vm.label);
	struct klog log = {};

	klog_scan(b->vm.log.s ?: "", KLOG_TAINT_MODULE, &log);
	if (crash) {
		bool died = b->vm.end == VM_PANIC && log.n;

		ktap_set(t, died ? KTAP_PASS : KTAP_FAIL,
			 died ? "%s" : "the guest survived it (%s)",
			 died ? log.findings[0].headline : vm_end_name(b->vm.end));
	} else if (b->vm.end != VM_CLEAN || !ktap_parse(t, b->jobs[0].out.s ?: "")) {
		ktap_set(t, KTAP_FAIL, "%s%s%s", vm_end_name(b->vm.end), b->vm.why ? ": " : "",
			 b->vm.why		  ?:
				 b->jobs[0].err.s ?:
						    "");
	}
	klog_free(&log);
}

/* Each claim of the conformance suite fails on a driver with just that bug. */
static enum lab_exit check_proofs(struct ktap *suite)
{
	_cleanup_free_ char *dir = xasprintf("%s/tests/broken", lab_data_dir());
	_cleanup_free_ char *table = xasprintf("%s/expect.txt", dir);
	static const char *const parts[] = { "1/2", "2/2" };
	struct test_run t = {};
	struct strv rows = {};
	struct boot *boots, **list;
	enum lab_exit ret;
	size_t n;

	strv_add(&t.drivers, dir);
	ret = test_prepare_one(&t);
	crash_rows(table, &rows);
	n = rows.n + ARRAY_SIZE(parts);
	boots = xcalloc(n, sizeof(*boots));
	list = xcalloc(n, sizeof(*list));
	for (size_t i = 0; i < n && !ret; i++) {
		list[i] = &boots[i];
		ret = proof_boot(&boots[i], &t.k[0], &t.built[0], table,
				 i < ARRAY_SIZE(parts) ? NULL : rows.v[i - ARRAY_SIZE(parts)],
				 i < ARRAY_SIZE(parts) ? parts[i] : NULL);
	}
	if (!ret)
		ret = boot_run(list, n, 0);
	for (size_t i = 0; i < n; i++) {
		if (!ret)
			judge_proofs(suite, &boots[i], i >= ARRAY_SIZE(parts));
		boot_free(&boots[i]);
	}
	free(boots);
	free(list);
	strv_free(&rows);
	test_run_free(&t);
	return ret;
}

#define DEBUG_KERNEL	 "debug:kasan"
#define STRESS_S	 4 /* of each module, and of each race */
#define STRESS_TIMEOUT_S 180
#define SEQUENCES	 "their sequences are number "

/* Each room of ours is hammered for a moment; a longer time is for cdevlab stress. */
static enum lab_exit stress_rooms(struct ktap *suite)
{
	struct test_instead p;
	struct test_run t = { .instead = &p };
	enum lab_exit ret;

	test_instead_stress(&p, STRESS_S, time(NULL));
	ret = test_into(&t, suite);
	test_instead_free(&p);
	return ret;
}

static enum lab_exit race_boot(struct boot *b, struct test_run *t, const char *bug)
{
	const struct built *built = &t->built[0];
	enum lab_exit ret = boot_init(b, &t->k[0]);
	struct job *j;

	if (ret)
		return ret;
	/* given at load, and again when the module is loaded again */
	free(t->d[0].params);
	t->d[0].params = xasprintf("bug=%s", bug);
	b->vm.label = bug;
	b->vm.timeout_s = STRESS_TIMEOUT_S;
	boot_add_module(b, built, &built->modules[0]);
	boot_add_load(b, built, &built->modules[0]);
	boot_add_suite(b, built, "stress");
	j = boot_add_job(b, built->modules[0].name, "stress", STRESS_TIMEOUT_S / 2);
	strv_addf(&j->argv, "stress-%s", built->driver->name);
	strv_addf(&j->argv, "--for=%d", STRESS_S);
	strv_add(&j->argv, "--seed=1");
	return LAB_OK;
}

/* The expected text is in a finding of the kernel log or in what the program said; with "-" nothing may be. */
static void judge_race(struct ktap *suite, const struct boot *b, const char *expect)
{
	struct ktap *t = ktap_new(suite, b->vm.label);
	const struct job *j = &b->jobs[1];
	bool found = j->out.s && strstr(j->out.s, expect);
	const char *first = NULL;
	struct klog log = {};

	klog_scan(b->vm.log.s ?: "", KLOG_TAINT_MODULE, &log);
	for (size_t i = 0; i < log.n; i++) {
		_cleanup_free_ char *line = xasprintf(
			"%s: %s", klog_kind_name(log.findings[i].kind), log.findings[i].headline);

		found |= str_starts(line, expect);
		first = first ?: log.findings[i].headline;
	}
	if (strcmp(expect, "-"))
		ktap_set(t, found ? KTAP_PASS : KTAP_FAIL, "not found: %s%s%s", expect,
			 first ? "; but: " : "", first ?: "");
	else if (first || b->vm.end != VM_CLEAN || !j->ended || strcmp(j->status, "0"))
		ktap_set(t, KTAP_FAIL, "%s", first ?: j->status ?: vm_end_name(b->vm.end));
	if (t->result != KTAP_PASS && j->out.s)
		ktap_note(t, "%s", j->out.s);
	klog_free(&log);
}

/* All of one driver and one seed: the program gives its sequences' number. */
static void judge_sequences(struct ktap *suite, const struct boot *boots, size_t n)
{
	struct ktap *t = ktap_new(suite, "the same seed gives the same sequences");
	_cleanup_free_ char *first = NULL;

	for (size_t i = 0; i < n; i++) {
		const char *out = boots[i].jobs[1].out.s;
		const char *at = out ? strstr(out, SEQUENCES) : NULL;
		_cleanup_free_ char *number = NULL;

		if (!at) {
			ktap_set(t, KTAP_FAIL, "%s does not tell", boots[i].vm.label);
			return;
		}
		at += strlen(SEQUENCES);
		number = xstrndup(at, strcspn(at, "\n"));
		if (first && strcmp(first, number))
			ktap_set(t, KTAP_FAIL, "%s and %s", first, number);
		if (!first)
			first = xstrdup(number);
	}
}

/* What hammering must find, with each race in a guest of its own. */
static enum lab_exit stress_races(struct ktap *suite)
{
	_cleanup_free_ char *dir = xasprintf("%s/tests/racy", lab_data_dir());
	_cleanup_free_ char *table = xasprintf("%s/expect.txt", dir);
	struct strv lines = {}, bugs = {}, expect = {};
	struct boot *boots, **list;
	struct test_run t = {};
	struct buf text = {};
	enum lab_exit ret;

	strv_add(&t.drivers, dir);
	ret = test_prepare_one(&t);
	if (!ret && file_read(table, &text))
		ret = lab_fail(LAB_CANNOT, NULL, "cannot read %s", table);
	if (!ret)
		strv_split(&lines, text.s, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		size_t n = strcspn(lines.v[i], "\t");

		if (lines.v[i][0] == '#' || !lines.v[i][n])
			continue;
		strv_take(&bugs, xstrndup(lines.v[i], n));
		strv_add(&expect, lines.v[i] + n + 1);
	}
	boots = xcalloc(bugs.n, sizeof(*boots));
	list = xcalloc(bugs.n, sizeof(*list));
	for (size_t i = 0; i < bugs.n && !ret; i++) {
		list[i] = &boots[i];
		ret = race_boot(&boots[i], &t, bugs.v[i]);
	}
	if (!ret)
		ret = boot_run(list, bugs.n, 0);
	for (size_t i = 0; i < bugs.n && !ret; i++)
		judge_race(suite, &boots[i], expect.v[i]);
	if (!ret)
		judge_sequences(suite, boots, bugs.n);
	for (size_t i = 0; i < bugs.n; i++)
		boot_free(&boots[i]);
	free(boots);
	free(list);
	strv_free(&lines);
	strv_free(&bugs);
	strv_free(&expect);
	buf_free(&text);
	test_run_free(&t);
	return ret;
}

static enum lab_exit check_stress(struct ktap *suite)
{
	enum lab_exit ret = stress_rooms(suite);

	return ret ? ret : stress_races(ktap_new(suite, "races"));
}

/* The debug kernel that is here; where none is, a skip tells why and *k stays empty. */
static enum lab_exit debug_kernel(struct ktap *suite, struct kernel *k)
{
	_cleanup_free_ char *why = NULL;
	enum lab_exit ret;

	lab_keep_failure(&why);
	ret = kernel_get(DEBUG_KERNEL, false, k);
	lab_keep_failure(NULL);
	if (ret != LAB_CANNOT)
		return ret;
	ktap_set(ktap_new(suite, DEBUG_KERNEL), KTAP_SKIP, "%s", why ?: "it cannot be had");
	kernel_free(k);
	*k = (struct kernel){};
	return LAB_OK;
}

/* What only a debug kernel shows; building one is for cdevlab kernel build. */
static enum lab_exit check_debug(struct ktap *suite)
{
	struct kernel k = {};
	enum lab_exit ret = debug_kernel(suite, &k);
	bool here = k.name;

	kernel_free(&k);
	if (!ret && here)
		ret = check_faults(suite, DEBUG_KERNEL);
	if (!ret && here)
		ret = check_fuzz_debug(ktap_new(suite, "fuzz"), DEBUG_KERNEL);
	return ret;
}

static const struct group {
	const char *name;
	enum lab_exit (*run)(struct ktap *suite);
} groups[] = {
	{ "unit", check_unit },		{ "asan", check_asan },	  { "static", check_static },
	{ "drivers", check_drivers },	{ "rust", check_rust },	  { "proofs", check_proofs },
	{ "stress", check_stress },	{ "fuzz", check_fuzz },	  { "debug", check_debug },
	{ "safety", safety_check },	{ "meter", check_meter }, { "target", check_target },
	{ "defences", check_defences },
};

/* Suites with their counts, failures with all they said. */
static void print_tree(const struct ktap *t, int depth)
{
	struct ktap_counts c = ktap_count(t);
	size_t bad = c.failed + c.timeout + c.crashed;

	if (t->n && depth < 4) {
		printf("%*s%-*s %4zu passed", depth * 2, "", 44 - depth * 2, t->name, c.passed);
		if (bad)
			printf(", %zu FAILED", bad);
		if (c.skipped)
			printf(", %zu skipped", c.skipped);
		putchar('\n');
	}
	if (!t->n && t->result != KTAP_PASS && (t->result != KTAP_SKIP || depth < 4)) {
		printf("%*s%s: %s%s%s\n", depth * 2, "", ktap_result_name(t->result), t->name,
		       t->reason ? ": " : "", t->reason ?: "");
		for (size_t i = 0; t->result != KTAP_SKIP && i < t->notes.n; i++)
			printf("%*s%s\n", depth * 2 + 4, "", t->notes.v[i]);
	}
	for (size_t i = 0; i < t->n; i++)
		print_tree(t->children[i], depth + 1);
}

/* Skips by reason: hundreds of claims say the same thing. */
static void print_skips(const struct ktap *t, struct strv *reasons, size_t **counts)
{
	const char *reason = t->reason ?: "no reason given";
	size_t i;

	for (size_t k = 0; k < t->n; k++)
		print_skips(t->children[k], reasons, counts);
	if (t->n || t->result != KTAP_SKIP)
		return;
	for (i = 0; i < reasons->n && strcmp(reasons->v[i], reason); i++)
		;
	if (i == reasons->n) {
		strv_add(reasons, reason);
		*counts = xrealloc(*counts, reasons->n, sizeof(**counts));
		(*counts)[i] = 0;
	}
	(*counts)[i]++;
}

/*
 * Failures again, by their whole names: of an hour's output the last screen is
 * what is read, and a log that is cut loses its middle.
 */
static void print_failures(const struct ktap *t, const char *path)
{
	_cleanup_free_ char *name = *path ? xasprintf("%s/%s", path, t->name) : xstrdup(t->name);

	for (size_t i = 0; i < t->n; i++)
		print_failures(t->children[i], name);
	if (t->n || t->result == KTAP_PASS || t->result == KTAP_SKIP)
		return;
	printf("  %s  %s%s%s\n", ktap_result_name(t->result), name, t->reason ? ": " : "",
	       t->reason ?: "");
	for (size_t i = 0; i < t->notes.n; i++)
		printf("      %s\n", t->notes.v[i]);
}

int cmd_check(int argc, char **argv)
{
	struct ktap *root = ktap_new(NULL, "check");
	enum lab_exit ret = LAB_OK;
	struct strv reasons = {};
	size_t *counts = NULL;
	struct ktap_counts c;
	bool found = false;
	struct args a;
	int r = args_parse(argc, argv, ARG_GROUP | ARG_RUST, help, &a);

	if (r)
		return r < 0 ? LAB_OK : r;
	if (lab_options.rust && a.group && strcmp(a.group, "rust"))
		return lab_fail(LAB_USAGE, "see --help", "--rust is the group rust, not %s",
				a.group);
	if (lab_options.rust)
		a.group = "rust";
	in_full = a.group;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		found |= a.group && !strcmp(a.group, groups[i].name);
	if (a.kernels.n)
		return lab_fail(LAB_USAGE, "cdevlab test takes -k",
				"check chooses its kernels itself");
	if (a.rest.n || (a.group && !found))
		return lab_fail(LAB_USAGE, "see --help", "check has no group \"%s\"",
				a.rest.n ? a.rest.v[0] : a.group);
	{
		_cleanup_free_ char *unit = xasprintf("%s/tests/unit", lab_data_dir());

		if (!file_exists(unit))
			return lab_fail(LAB_CANNOT, "run it from a checkout",
					"the project's tests are not installed");
	}
	for (size_t i = 0; i < ARRAY_SIZE(groups) && !ret; i++) {
		struct ktap *suite;
		double start = now_s();

		if (a.group && strcmp(a.group, groups[i].name))
			continue;
		suite = ktap_new(root, groups[i].name);
		lab_stage(groups[i].name, "...");
		ret = groups[i].run(suite);
		lab_stage_done(NULL);
		ktap_settle(suite);
		print_tree(suite, 0);
		printf("%s took %.0f s\n\n", groups[i].name, now_s() - start);
		fflush(stdout);
		if (ret && ret != LAB_INTERRUPTED) {
			/* a group that could not be run is a failure, and the others still are worth knowing */
			ktap_set(ktap_new(suite, "group"), KTAP_FAIL, "could not be run");
			ret = LAB_OK;
		}
	}
	ktap_settle(root);
	print_skips(root, &reasons, &counts);
	if (reasons.n)
		puts("Skipped, by reason:");
	for (size_t i = 0; i < reasons.n; i++)
		printf("  %4zu  %s\n", counts[i], reasons.v[i]);
	c = ktap_count(root);
	if (c.failed + c.timeout + c.crashed) {
		puts("Failed:");
		for (size_t i = 0; i < root->n; i++)
			print_failures(root->children[i], "");
	}
	printf("%zu passed, %zu failed, %zu skipped\n", c.passed, c.failed + c.timeout + c.crashed,
	       c.skipped);
	if (!ret && c.failed + c.timeout + c.crashed)
		ret = LAB_FAILED;
	free(counts);
	strv_free(&reasons);
	ktap_free(root);
	args_free(&a);
	return ret;
}
