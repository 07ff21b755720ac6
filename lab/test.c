// SPDX-License-Identifier: GPL-2.0
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../guest/protocol.h"
#include "debug.h"
#include "elf.h"
#include "target.h"

#define JOB_TIMEOUT_S	  120
#define CONFORM_TIMEOUT_S 600
#define STRESS_MARGIN_S	  90
/* Of one module, on a slow host: each call has a limit of its own. */
#define FAULTS_S 3600
/* What it takes to report leaks; and each bad access, not only the first. */
/* Checked slabs have no stocks of their own, which allocate, too, and now and then. */
#define FAULTS_APPEND "kmemleak=on kasan_multi_shot slub_debug=F"
#define SILENCE_S     90   /* the agent says every few seconds that it lives */
#define FEW_CYCLES    "60" /* of loads: as few as tests/broken proves to tell a leak */

/* struct item - one module on one kernel: the unit that is given to a boot */
struct item {
	struct test_run *run;
	const struct kernel *kernel;
	const struct driver *driver;
	const struct built *built;
	const struct module *module;
	struct ktap *node;
	struct coverage *covered; /* or NULL */
	bool done;
	bool again; /* its guest did not come up, or not to run, and it got another */
};

/* --- preparation --- */

static struct ktap *kernel_node(struct test_run *t, const struct kernel *k)
{
	_cleanup_free_ char *name = xasprintf("%s %s", k->name, k->release);

	return ktap_child(t->root, name) ?: ktap_new(t->root, name);
}

/* The command that shows it again; @only: MODULE[/JOB[/CASE]], or NULL. */
static void note_command(const struct test_run *run, struct ktap *t, const struct driver *d,
			 const struct kernel *k, const char *only)
{
	const struct test_instead *instead = run->instead;
	_cleanup_free_ char *ours = xasprintf("%s/drivers/%s", lab_data_dir(), d->name);
	_cleanup_free_ char *dir = shell_quote(strcmp(ours, d->dir) ? d->dir : d->name);
	_cleanup_free_ char *kernel = shell_quote(k->name);
	_cleanup_free_ char *word = only ? shell_quote(only) : NULL;

	ktap_note(t, "reproduce: ./cdevlab %s %s%s -k %s%s%s%s", instead ? instead->name : "test",
		  dir, lab_options.rust ? " --rust" : "", kernel, word ? " --only " : "",
		  word ?: "", instead && instead->options ? instead->options : "");
}

/* A kernel of "all" that cannot be had is a column without results. */
static void skip_kernel(struct test_run *t, const char *name, const char *why)
{
	ktap_set(ktap_child(t->root, name) ?: ktap_new(t->root, name), KTAP_SKIP, "%s", why);
}

/* @any: of each kernel that is got, whether it may turn out not to be usable */
static enum lab_exit get_kernels(struct test_run *t, bool **got_any)
{
	struct strv all = {}, names = {};
	_cleanup_free_ char *first = NULL;
	enum lab_exit ret = LAB_OK;
	bool *optional = NULL, *any;

	if (!t->kernels.n)
		strv_take(&t->kernels, kernel_default_name() ?: xstrdup(""));
	if (strv_has(&t->kernels, "all"))
		kernel_all(&all);
	kernel_expand(&t->kernels, &all, &names, &optional);
	t->k = xcalloc(names.n, sizeof(*t->k));
	any = *got_any = xcalloc(names.n, sizeof(*any));
	for (size_t i = 0; i < names.n && !ret; i++) {
		struct kernel *k = &t->k[t->n_kernels];
		_cleanup_free_ char *why = NULL;

		if (!optional[i]) {
			ret = kernel_get(*names.v[i] ? names.v[i] : NULL, false, k);
		} else {
			ret = kernel_get_any(names.v[i], false, t->k, t->n_kernels, k, &why);
			if (!ret && !proc_have(k->arch->qemu)) {
				why = xasprintf("%s is not installed (apt install %s)",
						k->arch->qemu, k->arch->qemu_package);
				kernel_free(k);
				ret = LAB_SKIPPED;
			}
			if (ret == LAB_SKIPPED) {
				ret = LAB_OK;
				if (!why)
					continue;
				skip_kernel(t, names.v[i], why);
				if (!first)
					first = xasprintf("%s: %s", names.v[i], why);
				continue;
			}
		}
		if (!ret) {
			kernel_node(t, k);
			any[t->n_kernels++] = optional[i];
		}
	}
	if (!ret && !t->n_kernels)
		ret = lab_fail(LAB_CANNOT, "`cdevlab kernel list` shows what is here",
			       "none of all kernels can be had; %s", first ?: "none is known");
	free(optional);
	strv_free(&names);
	strv_free(&all);
	return ret;
}

/* Builds all rooms for a kernel; a room that does not compile has no modules then. */
static enum lab_exit build_for(struct test_run *t, size_t k)
{
	struct built *built = &t->built[k * t->n_drivers];
	enum lab_exit ret = LAB_OK;

	for (size_t i = 0; i < t->n_drivers && !ret; i++) {
		ret = build_driver(&t->d[i], &t->k[k], &built[i]);
		if (ret == LAB_FAILED) {
			built_free(&built[i]);
			ret = LAB_OK;
		}
	}
	return ret;
}

static void note_no_build(struct test_run *t, size_t k, size_t i, struct ktap *node)
{
	ktap_set(node, KTAP_FAIL, "%s does not compile for %s", t->d[i].dir, t->k[k].name);
	note_command(t, node, &t->d[i], &t->k[k], NULL);
}

static void drop_kernel(struct test_run *t, size_t k, bool *any)
{
	struct built *built = &t->built[k * t->n_drivers];
	size_t after = t->n_kernels - k - 1;

	for (size_t i = 0; i < t->n_drivers; i++)
		built_free(&built[i]);
	kernel_free(&t->k[k]);
	memmove(&t->k[k], &t->k[k + 1], after * sizeof(*t->k));
	memmove(&any[k], &any[k + 1], after * sizeof(*any));
	memset(&t->k[--t->n_kernels], 0, sizeof(*t->k));
}

enum lab_exit test_prepare(struct test_run *t)
{
	enum lab_exit ret = LAB_OK;
	bool *any = NULL;

	t->root = ktap_new(NULL, "cdevlab");
	if (!t->drivers.n)
		ret = driver_names(&t->drivers);
	t->d = xcalloc(t->drivers.n, sizeof(*t->d));
	/* the command line's mistakes first, before anything is downloaded */
	for (size_t i = 0; i < t->drivers.n && !ret; i++, t->n_drivers++)
		ret = driver_open(t->drivers.v[i], &t->d[i]);
	if (!ret)
		ret = get_kernels(t, &any);
	t->built = xcalloc(t->n_drivers * t->n_kernels + 1, sizeof(*t->built));
	for (size_t k = 0; k < t->n_kernels && !ret;) {
		_cleanup_free_ char *why = NULL;

		lab_keep_failure(any[k] ? &why : NULL);
		ret = build_for(t, k);
		lab_keep_failure(NULL);
		if (ret == LAB_CANNOT && any[k]) {
			struct ktap *node = kernel_node(t, &t->k[k]);

			ktap_set(node, KTAP_SKIP, "%s", why ?: "nothing can be built for it");
			drop_kernel(t, k, any);
			ret = LAB_OK;
			continue;
		}
		for (size_t i = 0; i < t->n_drivers && !ret; i++) {
			struct ktap *node = ktap_new(kernel_node(t, &t->k[k]), t->d[i].name);

			if (!t->built[k * t->n_drivers + i].n)
				note_no_build(t, k, i, ktap_new(node, "build"));
		}
		k++;
	}
	free(any);
	return ret;
}

enum lab_exit test_prepare_one(struct test_run *t)
{
	enum lab_exit ret = test_prepare(t);

	return ret ? ret : t->built[0].n ? LAB_OK : LAB_FAILED;
}

/* --- what runs in the guest --- */

/* --only MODULE[/JOB[/CASE]]: whether a job is wanted; load and unload always are. */
static bool only_module(const char *only, const char *module)
{
	size_t n = only ? strcspn(only, "/") : 0;

	return !only || (strlen(module) == n && !strncmp(only, module, n));
}

static bool only_job(const char *only, const char *job)
{
	const char *want = only ? strchr(only, '/') : NULL;
	size_t n;

	if (!want)
		return true;
	want++;
	n = strcspn(want, "/");
	return strlen(job) == n && !strncmp(want, job, n);
}

static void add_filter(struct job *j, const char *only)
{
	const char *s = only ? strchr(only, '/') : NULL;

	s = s ? strchr(s + 1, '/') : NULL;
	if (s) {
		strv_add(&j->argv, "--filter");
		strv_add(&j->argv, s + 1);
	}
}

/* Where the code of a module and of what it needs lies: no test of anybody's, so it is not judged. */
#define SECTIONS "sections-"
#define SYMBOLS	 "symbols"

static void add_sections_job(struct boot *b, const char *module, const char *of)
{
	_cleanup_free_ char *name = xasprintf(SECTIONS "%s", of);
	struct job *j = boot_add_job(b, module, name, 10);

	strv_add(&j->argv, "sections");
	strv_add(&j->argv, of);
}

static bool is_judged(const struct job *j)
{
	const char *name = strchr(j->name, '/') + 1;

	return !str_starts(name, SECTIONS) && strcmp(name, SYMBOLS) != 0;
}

/* What a file of the guest's memory is read with. */
static void add_symbols_job(struct boot *b, const char *module)
{
	struct job *j;

	if (debug_symbols_known(b->vm.kernel))
		return;
	j = boot_add_job(b, module, SYMBOLS, 60);
	strv_add(&j->argv, "symbols");
}

static void add_instead(struct boot *b, const struct item *it)
{
	const struct test_instead *p = it->run->instead;
	struct job *j;

	boot_add_suite(b, it->built, p->name);
	j = boot_add_job(b, it->module->name, p->name, p->seconds);
	strv_addf(&j->argv, "%s-%s", p->name, it->driver->name);
	for (size_t i = 0; i < p->argv.n; i++)
		strv_add(&j->argv, p->argv.v[i]);
	if (p->cases)
		add_filter(j, it->run->only);
}

static void add_jobs(struct boot *b, const struct item *it)
{
	const char *only = it->run->only, *m = it->module->name;
	struct strv modules = {};
	struct job *j;

	for (size_t i = 0; i < it->built->n; i++)
		strv_add(&modules, it->built->modules[i].name);
	boot_add_module(b, it->built, it->module);
	boot_add_load(b, it->built, it->module);
	for (size_t i = 0; (it->covered || lab_options.dump) && i < it->module->needs.n; i++)
		add_sections_job(b, m, it->module->needs.v[i]);
	if (it->covered || lab_options.dump)
		add_sections_job(b, m, m);
	if (lab_options.dump)
		add_symbols_job(b, m);
	if (it->run->instead) {
		add_instead(b, it);
	} else if (only_job(only, "conform")) {
		j = boot_add_job(b, m, "conform", CONFORM_TIMEOUT_S);
		strv_addf(&j->argv, "conform-%s", it->driver->name);
		/* loads are what costs most, and what leaks, leaks on the first kernel as well */
		if (it->kernel != &it->run->k[0] || it->kernel->slow) {
			strv_add(&j->argv, "--cycles");
			strv_add(&j->argv, FEW_CYCLES);
		}
		add_filter(j, only);
	}
	for (size_t i = 0; i < it->built->tests.n && !it->run->instead; i++) {
		const char *test = it->built->tests.v[i];

		if (!driver_program_fits(test + strlen("test_"), m, &modules) ||
		    !only_job(only, test))
			continue;
		j = boot_add_job(b, m, test, JOB_TIMEOUT_S);
		strv_add(&j->argv, test);
		add_filter(j, only);
	}
	boot_add_unload(b, it->module);
	strv_free(&modules);
}

/* --- the verdict --- */

static struct ktap *job_node(struct item *it, const struct job *j)
{
	const char *name = strchr(j->name, '/') + 1;

	return ktap_child(it->node, name) ?: ktap_new(it->node, name);
}

static void add_lines(struct ktap *t, const char *text)
{
	struct strv lines = {};

	if (text)
		strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.n; i++)
		ktap_note(t, "%s", lines.v[i]);
	strv_free(&lines);
}

static void judge_exit(struct ktap *t, const struct job *j, bool is_ktap)
{
	int status = atoi(j->status);

	if (!strcmp(j->status, "timeout"))
		ktap_set(t, KTAP_TIMEOUT, "after %d s%s%s", j->timeout_s, j->why ? ": " : "",
			 j->why ?: "");
	else if (status < 0)
		ktap_set(t, KTAP_FAIL, "killed by signal %d (%s)", -status, strsignal(-status));
	else if (status == TEST_SKIP && !is_ktap)
		ktap_set(t, KTAP_SKIP, "%s", j->out.n ? j->out.s : "the program says so");
	else if (status != TEST_PASS && status != TEST_SKIP && !is_ktap)
		ktap_set(t, KTAP_FAIL, "exit status %d", status);
	else if (status == TEST_PASS && !is_ktap)
		ktap_set(t, KTAP_PASS, NULL);
}

static void judge_job(struct item *it, const struct job *j)
{
	struct ktap *t = job_node(it, j);
	bool is_ktap = ktap_parse(t, j->out.s ?: "");

	t->ms = j->ms;
	judge_exit(t, j, is_ktap);
	/* all cases pass, and yet the program says it failed: believe the program */
	if (is_ktap && atoi(j->status) > 0 && atoi(j->status) != TEST_SKIP) {
		struct ktap_counts c = ktap_count(t);

		if (!c.failed && !c.timeout && !c.crashed)
			ktap_set(ktap_new(t, "exit status"), KTAP_FAIL, "exit status %d",
				 atoi(j->status));
	}
	if (!is_ktap && t->result != KTAP_PASS)
		add_lines(t, j->out.s);
	add_lines(t, j->err.s);
}

/* function+0x12/0x34 [module] (file.c:56) */
static void note_frames(struct ktap *t, const struct item *it, const struct klog_finding *f)
{
	size_t shown = 0;

	for (size_t i = 0; i < f->n_frames && shown < 12; i++) {
		const struct klog_frame *fr = &f->frames[i];
		_cleanup_free_ char *where = NULL;

		if (fr->guessed)
			continue;
		shown++;
		/* below the top, the address is the one to return to: the call is before it */
		for (size_t m = 0; fr->module && it && m < it->built->n; m++)
			if (!strcmp(it->built->modules[m].name, fr->module))
				elf_source_line(it->built->modules[m].debug_ko, fr->function,
						fr->offset - (i && fr->offset ? 1 : 0), &where);
		ktap_note(t, "    %s+0x%lx%s%s%s%s%s%s", fr->function, fr->offset,
			  fr->module ? " [" : "", fr->module ?: "", fr->module ? "]" : "",
			  where ? " (" : "", where ?: "", where ? ")" : "");
	}
}

static struct item *item_of(struct item **items, size_t n, const char *path)
{
	for (size_t i = 0; path && i < n; i++)
		if (only_module(path, items[i]->module->name))
			return items[i];
	return NULL;
}

static void note_reproduce(struct ktap *t, const struct item *it, const char *path)
{
	const char *slash = path ? strchr(path, '/') : NULL;
	/* load and unload are part of every run; only a job or case narrows it */
	const struct test_instead *instead = it->run->instead;
	bool whole = (instead && !instead->cases) || !slash || str_starts(slash, "/load") ||
		     str_starts(slash, "/unload");
	_cleanup_free_ char *only = path ? str_replace(path, " ", "_") : xstrdup(it->module->name);

	if (whole)
		only[strcspn(only, "/")] = '\0';
	else
		only[strcspn(only, ":")] = '\0'; /* a claim's id is enough */
	note_command(it->run, t, it->driver, it->kernel, only);
}

static bool has_command(const struct ktap *t)
{
	for (size_t i = 0; i < t->notes.n; i++)
		if (str_starts(t->notes.v[i], "reproduce: "))
			return true;
	return false;
}

/* Those that only a program reported have none yet. */
static void note_reproduces(const struct item *it, struct ktap *t, const char *path, int depth)
{
	static const char *const no_cases[] = { "exit status", "kernel log", "guest", "boot" };
	bool explained = false;

	for (size_t i = 0; i < t->n; i++) {
		struct ktap *child = t->children[i];
		_cleanup_free_ char *inner = xasprintf("%s/%s", path, child->name);
		bool is_case = depth < 2;

		for (size_t n = 0; n < ARRAY_SIZE(no_cases); n++)
			is_case &= strcmp(child->name, no_cases[n]) != 0;
		explained |= child->result >= KTAP_FAIL;
		note_reproduces(it, child, is_case ? inner : path, depth + 1);
	}
	if (t->result >= KTAP_FAIL && !explained && !has_command(t))
		note_reproduce(t, it, path);
}

/* The test node of a mark's path; where the case never reported, one is made. */
static struct ktap *node_of_path(struct item *it, const char *path)
{
	const char *job = path ? strchr(path, '/') : NULL, *test;
	_cleanup_free_ char *job_name = NULL, *shown = NULL;
	struct ktap *t;

	if (!job)
		return it->node;
	job++;
	test = strchr(job, '/');
	job_name = test ? xstrndup(job, test - job) : xstrdup(job);
	t = ktap_child(it->node, job_name) ?: ktap_new(it->node, job_name);
	if (!test)
		return t;
	if (ktap_find(t, test + 1))
		return ktap_find(t, test + 1);
	/* marks are one word; reported cases have blanks there */
	shown = str_replace(test + 1, "_", " ");
	return ktap_new(t, shown);
}

static void judge_log(struct test_run *run, struct boot *b, struct item **items, size_t n,
		      struct klog *log)
{
	klog_scan(b->vm.log.s ?: "", KLOG_TAINT_MODULE, log);
	for (size_t i = 0; i < log->n; i++) {
		const struct klog_finding *f = &log->findings[i];
		struct item *it = item_of(items, n, f->test);
		struct ktap *t = it ? node_of_path(it, f->test) : items[0]->node->parent->parent;
		bool fatal = f->fatal && b->vm.end != VM_CLEAN;

		if (!it ||
		    t->n) /* a suite: its result is its children's, so the finding becomes one */
			t = ktap_new(t, "kernel log");
		ktap_set(t, fatal ? KTAP_CRASHED : KTAP_FAIL, "%s", f->headline);
		note_frames(t, it, f);
		if (it)
			note_reproduce(t, it, f->test);
		run->crashed |= fatal;
	}
}

/* Of the cases, by the guest's clock; of the jobs the agent has told. */
static void note_times(struct item **items, size_t n, const struct klog *log)
{
	for (size_t i = 0; i < log->n_spans; i++) {
		const struct klog_span *s = &log->spans[i];
		const struct item *it = item_of(items, n, s->test);
		const char *path = strchr(s->test, '/');
		struct ktap *t = it && path ? ktap_find(it->node, path + 1) : NULL;

		if (t && !t->ms && s->end >= s->begin)
			t->ms = (s->end - s->begin) * 1000;
	}
}

static char *log_dir(const struct test_run *run)
{
	return run->log_dir ? xstrdup(run->log_dir) : xasprintf("%s/logs", lab_cache_dir());
}

/* What belongs to a boot: "TIME-LABEL-NUMBER". */
static char *boot_name(const struct boot *b, size_t nr)
{
	_cleanup_free_ char *name = str_replace(b->vm.label, "/", "-"), *stamp = utc_now();
	_cleanup_free_ char *flat = str_replace(name, " ", "_");
	_cleanup_free_ char *colon = str_replace(flat, ":", "-");

	return xasprintf("%s-%s-%zu", stamp, colon, nr);
}

enum lab_exit test_keep_log(struct test_run *run, const struct boot *b, struct ktap *t)
{
	_cleanup_free_ char *dir = log_dir(run), *name = boot_name(b, run->boots);
	_cleanup_free_ char *path = xasprintf("%s/%s.log", dir, name);
	int err = make_dirs(dir, 0755);

	if (!err)
		err = file_write(path, b->vm.log.s ?: "", b->vm.log.n);
	if (err)
		return lab_fail(LAB_CANNOT, "name another directory with -o", "cannot write %s: %s",
				path, strerror(-err));
	if (t)
		ktap_note(t, "kernel log: %s/%s", run->log_shown ?: dir, path_base(path));
	return LAB_OK;
}

/* So that gdb finds names and lines in the guest's memory: `gdb -x FILE.gdb`. */
static void write_dump_script(struct boot *b, struct item **items, size_t n)
{
	_cleanup_free_ char *path = xasprintf("%s.gdb", b->vm.dump);
	struct buf script = {};

	for (size_t i = 0; i < n; i++) {
		const struct job *symbols = boot_find_job(b, items[i]->module->name, SYMBOLS);

		if (symbols && symbols->ended)
			debug_symbols_keep(b->vm.kernel, symbols->out.s, symbols->out.n);
	}
	debug_script_core(&script, b->vm.kernel, b->vm.dump);
	for (size_t i = 0; i < n; i++) {
		const struct built *built = items[i]->built;

		for (size_t m = 0; m < built->n; m++) {
			_cleanup_free_ char *name =
				xasprintf(SECTIONS "%s", built->modules[m].name);
			const struct job *j = boot_find_job(b, items[i]->module->name, name);

			/* of those that were unloaded since there is nothing to see */
			if (j && j->out.s && j->ended && !items[i]->done)
				debug_script_module(&script, built->driver, &built->modules[m],
						    j->out.s);
		}
	}
	if (file_write(path, script.s, script.n))
		lab_warn("cannot write %s", path);
	buf_free(&script);
}

static void note_dump(const struct test_run *run, const struct boot *b, struct ktap *t)
{
	_cleanup_free_ char *dir = log_dir(run);

	if (b->vm.dumped)
		ktap_note(t, "memory: %s/%s; look at it: gdb -x %s/%s.gdb", run->log_shown ?: dir,
			  path_base(b->vm.dump), run->log_shown ?: dir, path_base(b->vm.dump));
}

/* A guest that did not end well: the job it was in carries the reason; items it never reached come again. */
static enum lab_exit judge_end(struct test_run *run, struct boot *b, struct item **items, size_t n,
			       const struct klog *log)
{
	const char *path = log->last_test ?: b->running ? b->running->name : NULL;
	struct item *it = item_of(items, n, path);
	enum lab_exit ret = LAB_OK;
	struct ktap *t;
	bool told;

	if (b->vm.dumped)
		write_dump_script(b, items, n);
	if (!it) { /* it never got to a job */
		for (size_t i = 0; i < n; i++) {
			t = ktap_new(items[i]->node, "boot");
			ktap_set(t, b->vm.end == VM_HANG ? KTAP_TIMEOUT : KTAP_CRASHED, "%s%s%s",
				 vm_end_name(b->vm.end), b->vm.why ? ": " : "", b->vm.why ?: "");
			items[i]->done = true;
			note_dump(run, b, t);
			ret = ret ?: test_keep_log(run, b, t);
		}
		run->timed_out |= b->vm.end == VM_HANG;
		run->crashed |= b->vm.end != VM_HANG;
		return ret;
	}
	t = node_of_path(it, path);
	if (t->n)
		t = ktap_new(t, "guest");
	told = t->result == KTAP_CRASHED;
	if (b->vm.end == VM_HANG) {
		ktap_set(t, KTAP_TIMEOUT, "the guest hung: %s", b->vm.why ?: "it did not end");
		run->timed_out = true;
	} else {
		if (t->result != KTAP_CRASHED)
			ktap_set(t, KTAP_CRASHED, "%s%s%s", vm_end_name(b->vm.end),
				 b->vm.why ? ": " : "", b->vm.why ?: "");
		run->crashed = true;
	}
	if (!told) /* what the kernel log said has brought it already */
		note_reproduce(t, it, path);
	note_dump(run, b, t);
	ret = test_keep_log(run, b, t);
	it->done =
		true; /* what it had left is skipped, so that the same crash does not come twice */
	return ret;
}

static enum lab_exit judge_boot(struct test_run *run, struct boot *b, struct item **items, size_t n)
{
	_cleanup_free_ char *why = NULL;
	struct klog log = {};
	enum lab_exit ret = LAB_OK;
	size_t judged = 0;

	if (b->vm.end == VM_QEMU_FAILED && target_current())
		return lab_fail(LAB_CANNOT, NULL, "%s: %s", target_shown(), b->vm.why);
	if (b->vm.end == VM_QEMU_FAILED)
		return lab_fail(LAB_CANNOT, "run it again; -v shows its command line",
				"QEMU ended on its own (%s): %s", b->vm.label,
				b->vm.why ?: "no message");
	/* twice is no accident */
	why = items[0]->again ? NULL : boot_why_again(b);
	if (why) {
		lab_warn("%s %s: booting it once more", b->vm.label, why);
		for (size_t i = 0; i < n; i++)
			items[i]->again = true;
		return test_keep_log(run, b, NULL);
	}
	if (b->vm.ready_s > run->boot_s)
		run->boot_s = b->vm.ready_s;
	if (!run->accel && b->vm.accel)
		run->accel = xstrdup(b->vm.accel);
	for (size_t i = 0; i < b->n; i++) {
		struct item *it = item_of(items, n, b->jobs[i].name);

		if (!is_judged(&b->jobs[i]))
			continue;
		if (b->jobs[i].ended && ++judged)
			judge_job(it, &b->jobs[i]);
		else if (b->jobs[i].begun && b->jobs[i].out.n)
			ktap_parse(job_node(it, &b->jobs[i]), b->jobs[i].out.s);
	}
	judge_log(run, b, items, n, &log);
	note_times(items, n, &log);
	if (b->vm.end != VM_CLEAN)
		ret = judge_end(run, b, items, n, &log);
	else if (run->log_dir)
		ret = test_keep_log(run, b, NULL);
	for (size_t i = 0; i < n; i++) {
		bool whole = true;

		for (size_t k = 0; k < b->n; k++)
			if (!strcmp(b->jobs[k].module, items[i]->module->name) &&
			    is_judged(&b->jobs[k])) {
				whole &= b->jobs[k].ended;
				if (items[i]->done && !b->jobs[k].begun)
					ktap_set(job_node(items[i], &b->jobs[k]), KTAP_SKIP,
						 "the guest did not live to run it");
			}
		items[i]->done |= whole;
	}
	klog_free(&log);
	return ret;
}

/* --- coverage --- */

static void cover_module(const struct item *it, struct boot *b, const struct module *m,
			 const struct code_log *log)
{
	_cleanup_free_ char *name = xasprintf(SECTIONS "%s", m->name);
	const struct job *j = boot_find_job(b, it->module->name, name);

	if (coverage_add(it->covered, m->debug_ko, j ? j->out.s : NULL, log))
		lab_warn(
			"%s has no debug information: which of its lines were reached is not known",
			m->debug_ko);
}

/* What a guest has reached, of its only module and of what that needs. */
static enum lab_exit cover_boot(const struct item *it, struct boot *b)
{
	struct code_log log;
	int err = code_log_read(b->vm.code_log, &log);

	unlink(b->vm.code_log);
	/* nothing of a module ran */
	if (err && err != -ENOENT)
		return lab_fail(LAB_CANNOT, NULL, "cannot read what QEMU has logged: %s",
				strerror(-err));
	for (size_t i = 0; i < it->built->n; i++) {
		const struct module *m = &it->built->modules[i];

		if (m == it->module || strv_has(&it->module->needs, m->name))
			cover_module(it, b, m, &log);
	}
	code_log_free(&log);
	return LAB_OK;
}

/* --- boots --- */

static size_t count_kernels(const struct item *items, size_t n)
{
	const struct kernel *last = NULL;
	size_t kernels = 0;

	for (size_t i = 0; i < n; i++) {
		if (items[i].done)
			continue;
		kernels += items[i].kernel != last;
		last = items[i].kernel;
	}
	return kernels;
}

/*
 * A boot costs seconds, so that a kernel gets one guest; but the last ones get more, lest at the end all
 * processors but one have nothing to do.
 */
static size_t guests_of(size_t kernel, size_t n_kernels, size_t at_once)
{
	return kernel + n_kernels % at_once + 1 < n_kernels ? 1 : at_once;
}

/* Gives the open items of a kernel to boots, none with the same module twice. */
static size_t fill_boots(struct item *items, size_t n, struct boot **boots, struct item ***members,
			 size_t *counts, size_t at_once, enum lab_exit *ret)
{
	size_t n_boots = 0, n_kernels = count_kernels(items, n), nth = 0;
	const struct kernel *last = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t first = 0, best = SIZE_MAX, same_kernel = 0;

		if (items[i].done)
			continue;
		nth += items[i].kernel != last;
		last = items[i].kernel;
		for (size_t k = first; k < n_boots; k++) {
			if (boots[k]->vm.kernel != items[i].kernel)
				continue;
			same_kernel++;
			if (!boot_has_module(boots[k], items[i].module->name) &&
			    (best == SIZE_MAX || counts[k] < counts[best]))
				best = k;
		}
		/* modules that come one after the other may lie at the same addresses */
		if (best == SIZE_MAX || items[i].covered ||
		    same_kernel < guests_of(nth - 1, n_kernels, at_once)) {
			best = n_boots++;
			boots[best] = xcalloc(1, sizeof(struct boot));
			*ret = boot_init(boots[best], items[i].kernel);
			members[best] = xcalloc(n, sizeof(struct item *));
			counts[best] = 0;
			if (*ret)
				return n_boots;
		}
		add_jobs(boots[best], &items[i]);
		members[best][counts[best]++] = &items[i];
	}
	return n_boots;
}

static void label_boot(struct boot *b, struct item **items, size_t n)
{
	struct buf label = {};

	for (size_t i = 0; i < n && i < 4; i++)
		buf_printf(&label, "%s%s", i ? "," : "", items[i]->module->name);
	buf_printf(&label, "%s on %s", n > 4 ? ",..." : "", b->vm.kernel->name);
	b->vm.label = label.s;
}

static enum lab_exit boot_round(struct test_run *t, struct item *items, size_t n, size_t at_once)
{
	struct boot **boots = xcalloc(n, sizeof(*boots));
	struct item ***members = xcalloc(n, sizeof(*members));
	size_t *counts = xcalloc(n, sizeof(*counts));
	enum lab_exit ret = LAB_OK;
	size_t n_boots = fill_boots(items, n, boots, members, counts, at_once, &ret);

	for (size_t i = 0; i < n_boots; i++) {
		label_boot(boots[i], members[i], counts[i]);
		/* a guest of many modules needs its time; a hung one is found by its silence */
		boots[i]->vm.exact = t->instead && t->instead->exact;
		boots[i]->vm.repeatable = t->instead && t->instead->repeatable;
		/* on the exact clock seconds are as long as they take */
		boots[i]->vm.silence_s = boots[i]->vm.exact ? 0 : SILENCE_S;
		boots[i]->vm.append = t->instead ? t->instead->append : NULL;
		if (!boots[i]->vm.timeout_s)
			boots[i]->vm.timeout_s =
				120 + (120 + (t->instead ? t->instead->seconds : 0)) * counts[i];
		if (t->code_dir)
			boots[i]->vm.code_log = xasprintf("%s/%zu", t->code_dir, i);
		if (lab_options.dump) {
			_cleanup_free_ char *dir = log_dir(t);
			_cleanup_free_ char *name = boot_name(boots[i], t->boots + i);

			boots[i]->vm.dump = xasprintf("%s/%s.elf", dir, name);
		}
	}
	if (!ret) {
		lab_stage("boot", "%zu guest%s", n_boots, n_boots == 1 ? "" : "s");
		ret = boot_run(boots, n_boots, at_once);
		lab_stage_done(NULL);
	}
	for (size_t i = 0; i < n_boots; i++, t->boots++) {
		if (!ret && !lab_options.dry_run)
			ret = judge_boot(t, boots[i], members[i], counts[i]);
		if (!ret && !lab_options.dry_run && t->code_dir)
			ret = cover_boot(members[i][0], boots[i]);
	}
	for (size_t i = 0; i < n_boots; i++) {
		free((char *)boots[i]->vm.code_log);
		free((char *)boots[i]->vm.dump);
		free((char *)boots[i]->vm.label);
		boot_free(boots[i]);
		free(boots[i]);
		free(members[i]);
	}
	free(boots);
	free(members);
	free(counts);
	return ret;
}

enum lab_exit test_only_fits_none(const struct test_run *t, const char *what_it_is)
{
	for (size_t i = 0; i < t->n_kernels * t->n_drivers; i++)
		if (!t->built[i].n)
			return LAB_OK;
	return lab_fail(LAB_USAGE, what_it_is, "--only %s fits no module", t->only);
}

enum lab_exit test_boot(struct test_run *t)
{
	size_t n = 0, open = 0, at_once = vm_at_once();
	struct item *items = NULL;
	enum lab_exit ret = LAB_OK;

	if (t->coverage && !lab_options.dry_run) {
		t->code_dir = temp_dir(NULL);
		if (!t->code_dir)
			return LAB_CANNOT;
	}
	if (t->coverage)
		t->covered = xcalloc(t->n_kernels * t->n_drivers + 1, sizeof(*t->covered));
	for (size_t k = 0; k < t->n_kernels; k++) {
		for (size_t i = 0; i < t->n_drivers; i++) {
			struct built *b = &t->built[k * t->n_drivers + i];
			struct coverage *covered =
				t->covered ? &t->covered[k * t->n_drivers + i] : NULL;
			struct ktap *node = ktap_child(kernel_node(t, &t->k[k]), t->d[i].name);

			if (covered)
				*covered = (struct coverage){ .driver = &t->d[i],
							      .kernel = t->k[k].name };
			for (size_t m = 0; m < b->n; m++) {
				const char *name = b->modules[m].name;

				if (!only_module(t->only, name) ||
				    (t->modules && !strv_has(t->modules, name)))
					continue;
				items = xrealloc(items, n + 1, sizeof(*items));
				items[n++] = (struct item){
					.run = t,
					.kernel = &t->k[k],
					.driver = &t->d[i],
					.built = b,
					.module = &b->modules[m],
					.covered = covered,
					.node = ktap_new(node, b->modules[m].name),
				};
			}
		}
	}
	if (!n && t->only)
		ret = test_only_fits_none(t, "it is MODULE, MODULE/JOB or MODULE/JOB/CASE");
	do {
		open = 0;
		for (size_t i = 0; i < n; i++)
			open += !items[i].done;
		if (open && !ret)
			ret = boot_round(t, items, n, at_once);
	} while (open && !ret && !lab_options.dry_run);
	ktap_settle(t->root);
	for (size_t i = 0; i < n && !ret; i++)
		note_reproduces(&items[i], items[i].node, items[i].module->name, 0);
	free(items);
	temp_dir_done(t->code_dir);
	t->code_dir = NULL;
	return ret;
}

enum lab_exit test_into(struct test_run *t, struct ktap *suite)
{
	enum lab_exit ret = test_prepare(t);

	if (!ret)
		ret = test_boot(t);
	if (t->root)
		ktap_move(suite, t->root);
	test_run_free(t);
	return ret;
}

void test_instead_stress(struct test_instead *p, int seconds, unsigned long long seed)
{
	*p = (struct test_instead){ .name = "stress",
				    .figures = "hammered: ",
				    .options = xasprintf(" --for %d --seed %llu", seconds, seed),
				    .seconds = seconds + STRESS_MARGIN_S };
	strv_addf(&p->argv, "--for=%d", seconds);
	strv_addf(&p->argv, "--seed=%llu", seed);
}

void test_instead_faults(struct test_instead *p, bool quick)
{
	/* What is counted is one task's. Nothing else happens meanwhile, however busy the host is. */
	*p = (struct test_instead){ .name = "faults",
				    .figures = "swept: ",
				    .seconds = FAULTS_S,
				    .cases = true,
				    .exact = true,
				    .append = FAULTS_APPEND };
	if (!quick)
		return;
	strv_add(&p->argv, "--quick");
	p->options = xstrdup(" --quick");
}

void test_instead_free(struct test_instead *p)
{
	strv_free(&p->argv);
	free(p->options);
	*p = (struct test_instead){};
}

/* A job of that name, so many levels below, has something to say. */
static bool was_run(const struct ktap *t, const char *job, int levels)
{
	if (!levels)
		return !strcmp(t->name, job) && t->result != KTAP_SKIP;
	for (size_t i = 0; i < t->n; i++)
		if (was_run(t->children[i], job, levels - 1))
			return true;
	return false;
}

enum lab_exit test_exit(const struct test_run *t)
{
	struct ktap_counts c = ktap_count(t->root);
	bool any = t->instead ? was_run(t->root, t->instead->name, 4) : c.passed;

	if (t->crashed)
		return LAB_CRASHED;
	if (t->timed_out)
		return LAB_TIMEOUT;
	if (c.failed || c.timeout || c.crashed)
		return LAB_FAILED;
	return any || lab_options.dry_run ? LAB_OK : LAB_SKIPPED;
}

void test_run_free(struct test_run *t)
{
	for (size_t i = 0; t->covered && i < t->n_drivers * t->n_kernels; i++)
		coverage_free(&t->covered[i]);
	free(t->covered);
	for (size_t i = 0; t->built && i < t->n_drivers * t->n_kernels; i++)
		built_free(&t->built[i]);
	for (size_t i = 0; i < t->n_drivers; i++)
		driver_free(&t->d[i]);
	for (size_t i = 0; i < t->n_kernels; i++)
		kernel_free(&t->k[i]);
	free(t->built);
	free(t->d);
	free(t->k);
	free(t->accel);
	if (t->root)
		ktap_free(t->root);
	strv_free(&t->drivers);
	strv_free(&t->kernels);
}
