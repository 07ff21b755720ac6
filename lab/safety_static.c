// SPDX-License-Identifier: GPL-2.0
/* The probes that read: compilers and checkers. */
#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc.h"
#include "safety.h"
#include "source.h"

#define TOOL_TIMEOUT_S 900

static char *not_done(void)
{
	return xasprintf("it was not done after %d s", TOOL_TIMEOUT_S);
}

static char *tool_version(const char *tool, struct hash *h)
{
	char *argv[] = { (char *)tool, "--version", NULL };
	_cleanup_free_ char *said = proc_have(tool) ? proc_output(argv) : NULL;

	if (!said)
		return xasprintf("%s is not installed", tool);
	hash_puts(h, said);
	return NULL;
}

static void kernel_version(const struct kernel *k, struct hash *h)
{
	hash_puts(h, k->id);
	hash_puts(h, k->rust_id);
}

/* Without the directory of the copy, which is another one each time. */
static char *shown(const char *line, const struct subject *x)
{
	_cleanup_free_ char *dir = xasprintf("%s/", x->dir);
	char *text = str_replace(line, dir, "");

	return text;
}

/* --- compilers --- */

char *probe_build_version(const struct safety *s, struct hash *h)
{
	kernel_version(&s->stock, h);
	return s->stock.rust_id[0] ? NULL : tool_version(s->stock.cc, h);
}

/* What a compiler says beside its verdict on a line of the source. */
static bool is_summary(const char *line)
{
	static const char *const summaries[] = { "error: aborting due to", "could not compile",
						 "warnings emitted", "warning emitted", "make[" };

	for (size_t i = 0; i < ARRAY_SIZE(summaries); i++)
		if (strstr(line, summaries[i]))
			return true;
	return false;
}

/* rustc gives the place in the next line: "  --> mymem_rust.rs:12:34". */
static char *with_place(const char *line, const char *next)
{
	const char *arrow = next ? strstr(next, "--> ") : NULL;

	return arrow && next + strspn(next, " ") == arrow ?
		       xasprintf("%s: %s", arrow + strlen("--> "), line) :
		       xstrdup(line);
}

static void read_compiler(const char *text, const struct subject *x, struct said *out, char **error)
{
	_cleanup_free_ char *plain = shown(text, x);
	struct strv lines = {};

	strv_split(&lines, plain, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		const char *line = lines.v[i];
		bool rustc = str_starts(line, "error") || str_starts(line, "warning");
		bool bad = strstr(line, ": error: ") || strstr(line, "ERROR: ") ||
			   str_starts(line, "error");
		bool warned = strstr(line, ": warning: ") || strstr(line, "WARNING: ") ||
			      str_starts(line, "warning");
		_cleanup_free_ char *full = NULL;

		if ((!bad && !warned) || is_summary(line))
			continue;
		full = rustc ? with_place(line, lines.v[i + 1]) : xstrdup(line);
		said_add(out, "compiler", NULL, full, NULL);
		if (bad && !*error)
			*error = xstrdup(full);
	}
	strv_free(&lines);
}

void safety_read_build(const struct subject *x, const char *text, bool failed, struct said *out)
{
	_cleanup_free_ char *error = NULL;

	read_compiler(text, x, out, &error);
	/* a compiler that was killed has not judged */
	if (failed && !error)
		out->unmeasured = xstrdup("the build fails and gives no reason");
	else if (failed)
		out->no_build = xstrdup(error);
	out->known = !out->unmeasured;
}

enum lab_exit probe_build(struct safety *s, struct subject *x, struct said *out)
{
	struct built b = {};
	struct buf said = {};
	enum lab_exit ret = safety_build(x, &s->stock, &said, &b);

	if (!ret || ret == LAB_FAILED)
		safety_read_build(x, said.s ?: "", ret, out);
	built_free(&b);
	buf_free(&said);
	return ret == LAB_FAILED ? LAB_OK : ret;
}

/* --- checkers that Kbuild calls with the compiler's own arguments --- */

/*
 * Kbuild calls one checker; this one calls three, each with what it understands of the arguments: sparse with all,
 * the others without sparse's own, and clang without what only gcc has. What gcc takes for constant, the number of an
 * ioctl for example, clang 14 does not: static assertions are the compiler's concern.
 */
static const char checker[] =
	"#!/bin/sh\n"
	"out=${0%/*}\n"
	/* Kbuild calls it for several files at once: what it says of one is added whole */
	"look() { by=$1; shift; \"$@\" >$out/$by.$$ 2>&1 || echo $? >>$out/$by.failed\n"
	"cat $out/$by.$$ >>$out/$by; }\n"
	"look sparse sparse \"$@\"\n"
	"for a; do shift; case $a in\n"
	"  --arch=*|-Wbitwise|-Wno-return-void|-Wno-unknown-attribute|-Wp,-MM*|-m*-endian) ;;\n"
	"  *) set -- \"$@\" \"$a\" ;; esac; done\n"
	"look analyzer $SAFETY_CC \"$@\" -fanalyzer -c -o $out/object.$$.o\n"
	"for a; do shift; case $a in\n"
	"  -mindirect-branch*|-mpreferred-stack*|-fno-allow-store*|-fconserve-stack|-mrecord-mcount|-mskip-rax*|\\\n"
	"  -fplugin*|-fmin-function-alignment*|-falign-*|-mfunction-return*|-fno-var-tracking*|-ftrivial-auto*|\\\n"
	"  -fcf-protection*|-mharden-sls*|-fstack-clash*|-fzero-call*|-Wno-*|-Wimplicit-fallthrough=*|-flive-patching*|\\\n"
	"  -fpatchable-function*|-mabi=lp64|-mstack-protector*|-fno-stack-clash*|-fsanitize=*|-fno-ipa*|\\\n"
	"  -femit-struct*|-mno-fdpic|-fno-code-hoisting|-fcallgraph*|-fdiagnostics*) ;;\n"
	"  *) set -- \"$@\" \"$a\" ;; esac; done\n"
	"look clang clang \"$@\" '-D_Static_assert(...)=' --analyze --analyzer-output text -Qunused-arguments "
	"-o /dev/null\n"
	"exit 0\n";

static const char *const checkers[] = { "sparse", "analyzer", "clang" };

char *probe_checkers_version(const struct safety *s, struct hash *h)
{
	char *why = tool_version("sparse", h) ?: tool_version("clang", h);

	kernel_version(&s->host, h);
	hash_puts(h, s->host.cc);
	hash_puts(h, checker);
	return why ?: tool_version(s->host.cc, h);
}

/* What a checker found; a compiler's own errors in it mean that it did not get to look. */
static void read_checker(const char *by, const char *text, const struct subject *x,
			 struct said *out)
{
	_cleanup_free_ char *plain = shown(text, x);
	struct strv lines = {};

	strv_split(&lines, plain, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		const char *line = lines.v[i], *warning = strstr(line, ": warning: ");

		/* only what is in the room's own files, which have no directory */
		if (!(warning ?: strstr(line, ": error: ")) || *line == '/' || *line == '.')
			continue;
		/* the other two compile as well, and warn of other things */
		if (!strcmp(by, "analyzer") && !strstr(line, "[-Wanalyzer"))
			continue;
		if (!strcmp(by, "clang") && (!str_ends(line, "]") || strstr(line, "[-W")))
			continue;
		said_add(out, by, NULL, line, NULL);
	}
	strv_free(&lines);
}

/* Its first error, for the last line is only their number; else that line. A new string. */
static char *first_error(const char *text)
{
	struct strv lines = {};
	char *found = NULL;

	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.n && !found; i++)
		if (strstr(lines.v[i], "error: "))
			found = xstrdup(lines.v[i]);
	strv_free(&lines);
	return found ?: str_last_line(text);
}

/* One that ended with an error, and said nothing that counts, has not looked. */
static void read_status(const char *by, const char *path, const char *text, struct said *out)
{
	_cleanup_free_ char *failed = xasprintf("%s.failed", path), *error = NULL, *why = NULL;

	if (!file_exists(failed))
		return;
	for (size_t i = 0; i < out->n; i++)
		if (!strcmp(out->v[i].by, by))
			return;
	error = first_error(text);
	why = xasprintf("%s fails: %.200s", by, *error ? error : "it says nothing");
	said_blind(out, by, why);
}

static enum lab_exit run_checkers(const struct safety *s, const struct subject *x, const char *room,
				  const char *program, struct said *out)
{
	const struct kernel *k = &s->host;
	_cleanup_free_ char *cc = xasprintf("SAFETY_CC=%s", k->cc);
	char *const env[] = { "LC_ALL=C", "MAKEFLAGS=", cc, NULL };
	struct strv argv = {};
	struct proc p = { .dir = room, .env = env, .timeout_s = TOOL_TIMEOUT_S };
	enum lab_exit ret;

	strv_split(&argv, "make -s -k W=1 C=2", " ");
	strv_addf(&argv, "-j%ld", sysconf(_SC_NPROCESSORS_ONLN));
	strv_add(&argv, "-C");
	strv_add(&argv, k->kdir);
	strv_addf(&argv, "M=%s", room);
	strv_addf(&argv, "CC=%s", k->cc);
	strv_addf(&argv, "CHECK=%s", program);
	for (size_t i = 0; i < k->make_args.n; i++)
		strv_add(&argv, k->make_args.v[i]);
	strv_addf(&argv, "KCFLAGS=-ffile-prefix-map=%s/=", room);
	strv_add(&argv, "modules");
	p.argv = argv.v;
	ret = proc_run(&p);
	if (!ret && p.status)
		lab_verbose("%s: make ends with %d\n%s", x->dir, p.status, p.err.s ?: "");
	if (ret == LAB_TIMEOUT) {
		out->unmeasured = not_done();
		ret = LAB_OK;
	}
	proc_free(&p);
	strv_free(&argv);
	return ret;
}

enum lab_exit probe_checkers(struct safety *s, struct subject *x, struct said *out)
{
	char *tmp = temp_dir(NULL);
	_cleanup_free_ char *room = NULL, *program = NULL;
	enum lab_exit ret;
	int err;

	if (!tmp)
		return LAB_CANNOT;
	room = xasprintf("%s/%s", tmp, path_base(x->room));
	program = xasprintf("%s/check", tmp);
	err = copy_tree(x->dir, room, driver_skip_name);
	if (!err)
		err = file_write(program, checker, strlen(checker));
	if (!err && chmod(program, 0755))
		err = -errno;
	ret = err ? lab_fail(LAB_CANNOT, NULL, "cannot copy %s: %s", x->dir, strerror(-err)) :
		    run_checkers(s, x, room, program, out);
	for (size_t i = 0; i < ARRAY_SIZE(checkers) && !ret && !out->unmeasured; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", tmp, checkers[i]);
		_cleanup_free_ char *from = xasprintf("%s/", room), *text = NULL;
		struct buf b = {};

		if (file_read(path, &b))
			continue;
		text = str_replace(b.s ?: "", from, "");
		read_checker(checkers[i], text, x, out);
		read_status(checkers[i], path, text, out);
		out->known = true;
		buf_free(&b);
	}
	if (!ret && !out->known && !out->unmeasured)
		out->unmeasured = xstrdup("Kbuild did not call the checkers");
	temp_dir_done(tmp);
	return ret;
}

/* --- checkers that read files --- */

/* The sources in C of all modules; of those that others include, cppcheck knows by itself. */
static void find_sources(const struct subject *x, bool included, struct strv *files)
{
	_cleanup_free_ char *kbuild = xasprintf("%s/Kbuild", x->dir);
	struct strv modules = {};
	struct buf text = {};

	if (!file_read(kbuild, &text) && text.s)
		source_modules(text.s, &modules);
	for (size_t i = 0; i < modules.n; i++) {
		struct source src;

		source_read(&x->d, modules.v[i], &src);
		for (size_t f = 0; f < src.files.n && (included || !f); f++)
			if (str_ends(src.files.v[f], ".c") && !src.rust &&
			    !strv_has(files, src.files.v[f]))
				strv_add(files, src.files.v[f]);
		source_free(&src);
	}
	strv_free(&modules);
	buf_free(&text);
}

/* Runs it in the room; each line of its output that is one of theirs is a complaint. */
static enum lab_exit read_tool(const char *by, const struct strv *argv, const struct subject *x,
			       bool (*is_one)(const char *line), struct said *out)
{
	struct proc p = { .argv = argv->v, .dir = x->dir, .timeout_s = TOOL_TIMEOUT_S };
	enum lab_exit ret = proc_run(&p);
	struct strv lines = {};

	if (p.out.s)
		strv_split(&lines, p.out.s, "\n");
	if (p.err.s)
		strv_split(&lines, p.err.s, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		_cleanup_free_ char *line = shown(lines.v[i], x);

		if (is_one(line))
			said_add(out, by, NULL, line, NULL);
	}
	if (ret == LAB_TIMEOUT) {
		out->unmeasured = out->unmeasured ?: not_done();
		ret = LAB_OK;
	}
	/* a tool that does not work has not looked */
	if (!ret && p.status && !out->n && !out->unmeasured)
		out->unmeasured = xasprintf("%s ends with status %d: %.200s", by, p.status,
					    lines.n ? lines.v[lines.n - 1] : "it says nothing");
	out->known = !ret && !out->unmeasured;
	strv_free(&lines);
	proc_free(&p);
	return ret;
}

char *probe_cppcheck_version(const struct safety *s, struct hash *h)
{
	(void)s;
	return tool_version("cppcheck", h);
}

/* file:line: severity: text [id] */
static bool is_cppcheck(const char *line)
{
	size_t end = strcspn(line, ":");

	return isdigit((unsigned char)line[end + (line[end] == ':')]) && str_ends(line, "]") &&
	       !strstr(line, ": information: ");
}

enum lab_exit probe_cppcheck(struct safety *s, struct subject *x, struct said *out)
{
	struct strv argv = {};
	enum lab_exit ret;

	(void)s;
	strv_split(&argv,
		   "cppcheck --quiet --inline-suppr --enable=warning,style,performance,portability "
		   "--std=c11 -D__KERNEL__ -DMODULE --suppress=missingInclude",
		   " ");
	strv_add(&argv, "--template={file}:{line}: {severity}: {message} [{id}]");
	find_sources(x, false, &argv);
	ret = read_tool("cppcheck", &argv, x, is_cppcheck, out);
	strv_free(&argv);
	return ret;
}

static void find_rules(struct strv *rules)
{
	_cleanup_free_ char *pattern = xasprintf("%s/checks/*.cocci", lab_data_dir());
	glob_t g = {};

	if (!glob(pattern, 0, NULL, &g))
		for (size_t i = 0; i < g.gl_pathc; i++)
			strv_add(rules, g.gl_pathv[i]);
	globfree(&g);
}

char *probe_coccinelle_version(const struct safety *s, struct hash *h)
{
	struct strv rules = {};
	char *why;

	(void)s;
	find_rules(&rules);
	for (size_t i = 0; i < rules.n; i++)
		hash_add_file(h, rules.v[i]);
	why = proc_have("spatch") ? tool_version("spatch", h) :
				    xstrdup("coccinelle is not installed");
	if (!why && !rules.n)
		why = xstrdup("there are no rules in checks/");
	strv_free(&rules);
	return why;
}

/* file:line:column-column: text */
static bool is_coccinelle(const char *line)
{
	size_t end = strcspn(line, ":");

	return line[end] && isdigit((unsigned char)line[end + 1]) && strstr(line + end, ": ");
}

enum lab_exit probe_coccinelle(struct safety *s, struct subject *x, struct said *out)
{
	struct strv rules = {}, files = {};
	enum lab_exit ret = LAB_OK;

	(void)s;
	find_rules(&rules);
	find_sources(x, true, &files);
	for (size_t i = 0; i < rules.n && !ret; i++) {
		struct strv argv = {};

		strv_split(&argv,
			   "spatch -D report --no-show-diff --very-quiet --no-includes "
			   "--include-headers --cocci-file",
			   " ");
		strv_add(&argv, rules.v[i]);
		for (size_t f = 0; f < files.n; f++)
			strv_add(&argv, files.v[f]);
		ret = read_tool("coccinelle", &argv, x, is_coccinelle, out);
		strv_free(&argv);
	}
	strv_free(&rules);
	strv_free(&files);
	return ret;
}
