// SPDX-License-Identifier: GPL-2.0
/* The probes that boot: what tests say in a guest, and what its kernel does. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "boot.h"
#include "klog.h"
#include "ktap.h"
#include "safety.h"

#define CONFORM_S 300
#define TEST_S	  300
#define STRESS_S  120 /* beside its own time */
#define FASTER \
	4 /* a second of a guest that is repeatable has as many calls as so many of another */
#define LEAKS_S	   120
#define GUEST_S	   900
#define HOST_S	   60 /* of a second of a guest that is repeatable, on a busy host */
#define SILENCE_S  120
#define FEW_CYCLES "60" /* of loads: as few as tell a leak */

/*
 * Poisons what is freed and what is allocated, and tells who writes where nothing is. Each sample changes code, which
 * emulation pays for with a new translation: one each millisecond is more than it can do.
 */
#define STOCK_APPEND "slub_debug=FZPU kfence.sample_interval=20"
#define KASAN_APPEND "kmemleak=on"
#define DEBUG_MB     1024

#define GUEST_RECIPE "3" /* changed when what runs in these guests changes */

/*
 * What runs, in this order; where it takes the guest with it, the next guest begins with what comes after it. The stress
 * has a stock guest of its own that is repeatable: what it meets in the kernel is no matter of chance. But KCSAN wants
 * processors that run at the same time.
 */
enum stage {
	STAGE_CONFORM,
	STAGE_TESTS,
	STAGE_STRESS,
	STAGES,
};

/* struct guest - a subject that is booted, again where it took a guest with it */
struct guest {
	struct safety *s;
	struct subject *x;
	struct built built;
	const struct module *m;
	struct boot boot;
	size_t probe;
	enum stage stage; /* the first that is still to be run; STAGES: none */
	size_t tries;	  /* that did not come up, one after the other */
	bool again;	  /* a guest of this stage was worth nothing */
	bool asked;	  /* for what was lost */
};

/* --- which kernel, and how it is booted --- */

static const struct kernel *kernel_of(const struct safety *s, size_t probe)
{
	return probe == PROBE_KASAN ? &s->kasan : probe == PROBE_KCSAN ? &s->kcsan : &s->stock;
}

static const char *append_of(size_t probe)
{
	return probe == PROBE_STOCK ? STOCK_APPEND : probe == PROBE_KASAN ? KASAN_APPEND : NULL;
}

char *safety_kernel_version(const struct kernel *k, const char *why, struct hash *h)
{
	_cleanup_free_ char *qemu = NULL;
	struct guest_tools tools = {};
	char timeout[16];

	if (!k->name)
		return xstrdup(why ?: "there is no such kernel here");
	if (build_guest_tools(k->arch, &tools))
		return xstrdup("the guest's programs cannot be built");
	qemu = vm_qemu_version(k->arch);
	/* what is cut short says less */
	snprintf(timeout, sizeof(timeout), "%d", lab_options.timeout_s);
	hash_puts(h, timeout);
	hash_puts(h, qemu ?: "");
	hash_puts(h, k->id);
	hash_puts(h, k->rust_id);
	hash_puts(h, tools.id);
	guest_tools_free(&tools);
	return NULL;
}

static char *guest_version(const struct safety *s, size_t probe, const char *why, struct hash *h)
{
	char number[64];

	snprintf(number, sizeof(number), "%d s, seed %llu", s->stress_s, s->seed);
	hash_puts(h, append_of(probe) ?: "");
	hash_puts(h, GUEST_RECIPE);
	hash_puts(h, number);
	return safety_kernel_version(kernel_of(s, probe), why, h);
}

char *probe_stock_version(const struct safety *s, struct hash *h)
{
	return guest_version(s, PROBE_STOCK, NULL, h);
}

char *probe_kasan_version(const struct safety *s, struct hash *h)
{
	return guest_version(s, PROBE_KASAN, s->no_kasan, h);
}

char *probe_kcsan_version(const struct safety *s, struct hash *h)
{
	return guest_version(s, PROBE_KCSAN, s->no_kcsan, h);
}

/* --- what runs --- */

static void add_leaks(struct guest *g, const char *word)
{
	struct job *j = boot_add_job(&g->boot, g->m->name, word ? "leaks-clear" : "leaks", LEAKS_S);

	strv_add(&j->argv, "leaks");
	if (word)
		strv_add(&j->argv, word);
}

static void add_tests(struct guest *g)
{
	struct boot *b = &g->boot;
	struct strv modules = {};
	struct job *j;

	for (size_t i = 0; i < g->built.n; i++)
		strv_add(&modules, g->built.modules[i].name);
	boot_add_load(b, &g->built, g->m);
	if (g->stage == STAGE_CONFORM) {
		j = boot_add_job(b, g->m->name, "conform", CONFORM_S);
		strv_addf(&j->argv, "conform-%s", g->built.driver->name);
		strv_add(&j->argv, "--cycles");
		strv_add(&j->argv, FEW_CYCLES);
	}
	for (size_t i = 0; i < g->built.tests.n; i++) {
		const char *test = g->built.tests.v[i];

		if (!driver_program_fits(test + strlen("test_"), g->m->name, &modules))
			continue;
		j = boot_add_job(b, g->m->name, test, TEST_S);
		strv_add(&j->argv, test);
	}
	/* while it is loaded: the functions of a module that is gone have no names */
	if (g->probe == PROBE_KASAN)
		add_leaks(g, NULL);
	boot_add_unload(b, g->m);
	strv_free(&modules);
}

static bool is_repeatable(const struct guest *g)
{
	return g->stage == STAGE_STRESS && g->probe == PROBE_STOCK;
}

/* Of the guest. */
static int stress_seconds(const struct guest *g)
{
	return is_repeatable(g) ? g->s->stress_s / FASTER ?: 1 : g->s->stress_s;
}

static void add_stress(struct guest *g)
{
	const struct safety *s = g->s;
	int seconds = stress_seconds(g);
	struct boot *b = &g->boot;
	struct job *j;

	boot_add_load(b, &g->built, g->m);
	boot_add_suite(b, &g->built, "stress");
	j = boot_add_job(b, g->m->name, "stress", seconds + STRESS_S);
	strv_addf(&j->argv, "stress-%s", g->built.driver->name);
	strv_addf(&j->argv, "--for=%d", seconds);
	strv_addf(&j->argv, "--seed=%llu", s->seed);
	if (is_repeatable(g))
		strv_add(&j->argv, "--no-hotplug");
	boot_add_unload(b, g->m);
}

/* --- what was said --- */

/* "log/KASAN": each tool has a word, the others share one. */
static const char *word_of(enum klog_kind k)
{
	switch (k) {
	case KLOG_KASAN:
		return "log/KASAN";
	case KLOG_UBSAN:
		return "log/UBSAN";
	case KLOG_KCSAN:
		return "log/KCSAN";
	case KLOG_LOCKDEP:
		return "log/lockdep";
	case KLOG_ATOMIC_SLEEP:
		return "log/atomic";
	case KLOG_LEAK:
		return "log/leak";
	default:
		return "log/other";
	}
}

/* With the first function of a module that is not in the headline, for it tells more than an address. */
static void read_finding(const struct klog_finding *f, struct said *out)
{
	_cleanup_free_ char *plain = safety_plain(f->headline), *what = NULL, *text = NULL;
	const char *function = NULL, *module = NULL;

	for (size_t i = 0; i < f->n_frames && !function; i++) {
		if (!f->frames[i].module || f->frames[i].guessed)
			continue;
		function = f->frames[i].function;
		module = f->frames[i].module;
	}
	if (function && !strstr(f->headline, function))
		text = xasprintf("%s, by %s [%s]", f->headline, function, module);
	what = xasprintf("%s %s", plain, function ?: "");
	said_add(out, word_of(f->kind), what, text ?: f->headline, f->test);
}

static void read_log(const struct guest *g, struct said *out)
{
	struct klog log = {};

	klog_scan(g->boot.vm.log.s ?: "", KLOG_TAINT_MODULE, &log);
	for (size_t i = 0; i < log.n; i++) {
		/* what kmemleak has found, the program of that name tells */
		if (log.findings[i].kind != KLOG_LEAK && log.findings[i].kind != KLOG_TAINT &&
		    safety_is_drivers(&log.findings[i], g->m->name))
			read_finding(&log.findings[i], out);
	}
	klog_free(&log);
}

/* Whether the kernel's log has that very text: then it is the log's word, put into the test's place. */
static void read_cases(const char *by, const char *path, const struct ktap *t, struct said *out)
{
	_cleanup_free_ char *text = NULL;
	bool explained = false;

	for (size_t i = 0; i < t->n; i++) {
		_cleanup_free_ char *inner = xasprintf("%s/%s", path, t->children[i]->name);

		explained |= t->children[i]->result >= KTAP_FAIL;
		read_cases(by, inner, t->children[i], out);
	}
	if (t->result < KTAP_FAIL || explained)
		return;
	text = xasprintf("%s: %s", t->name,
			 t->reason	    ?:
				 t->notes.n ? t->notes.v[0] :
					      ktap_result_name(t->result));
	said_add(out, by, path, text, path);
}

static const char *job_word(const char *name)
{
	const char *job = strchr(name, '/') + 1;

	return str_starts(job, "test_")				    ? "tests" :
	       str_starts(job, "leaks")				    ? "log/leak" :
	       str_starts(job, "load") || str_starts(job, "unload") ? "conform" :
								      job;
}

/* "[<00000000a1b2c3d4>] foxes_open+0x1a/0x80 [foxes]": the function; a new string. */
static char *function_of(const char *frame)
{
	const char *end = strchr(frame, '+'), *start = end;

	while (start && start > frame && start[-1] != ' ')
		start--;
	return end ? xstrndup(start, end - start) : xstrdup(frame);
}

/* "unreferenced object 0xffff... (size 64):", and the first function of a module in the trace below. */
static void read_leaks(const struct job *j, const char *module, struct said *out)
{
	_cleanup_free_ char *tag = xasprintf("[%s]", module);
	struct strv lines = {};
	const char *object = NULL;

	strv_split(&lines, j->out.s ?: "", "\n");
	for (size_t i = 0; i < lines.n; i++) {
		_cleanup_free_ char *text = NULL, *what = NULL;

		if (str_starts(lines.v[i], "unreferenced object"))
			object = lines.v[i];
		else if (object && strstr(lines.v[i], tag)) {
			text = xasprintf("%s %s", object, str_trim(lines.v[i]));
			what = function_of(lines.v[i]);
			said_add(out, "log/leak", what, text, j->name);
			object = NULL;
		}
	}
	strv_free(&lines);
}

static void read_job(struct guest *g, const struct job *j, struct said *out)
{
	const char *by = job_word(j->name);
	struct ktap *t = ktap_new(NULL, j->name);
	bool is_ktap;

	if (str_starts(by, "log/leak")) {
		if (j->ended)
			read_leaks(j, g->m->name, out);
		/* 0: nothing, 1: something */
		g->asked |= j->ended && str_ends(j->name, "/leaks") &&
			    strcmp(j->status, "timeout") && atoi(j->status) <= 1;
		ktap_free(t);
		return;
	}
	is_ktap = ktap_parse(t, j->out.s ?: "");
	/* of one that did not end, what it had said counts, and not that the rest is missing */
	if (j->ended || (is_ktap && t->n)) {
		ktap_settle(t);
		for (size_t i = 0; i < t->n; i++) {
			_cleanup_free_ char *path =
				xasprintf("%s/%s", j->name, t->children[i]->name);

			if (j->ended || t->children[i]->result == KTAP_FAIL)
				read_cases(by, path, t->children[i], out);
		}
	}
	if (j->ended && !strcmp(j->status, "timeout")) {
		_cleanup_free_ char *text = xasprintf("it does not end within %d s", j->timeout_s);
		_cleanup_free_ char *timeout = xasprintf("%s: timeout", j->name);

		said_add(out, by, timeout, text, j->name);
	} else if (j->ended && atoi(j->status) && atoi(j->status) != 77 && !ktap_count(t).failed) {
		_cleanup_free_ char *text =
			xasprintf("exit status %s%s%s", j->status, j->err.n ? ": " : "",
				  j->err.n ? j->err.s : "");
		_cleanup_free_ char *status = xasprintf("%s: exit status", j->name);

		said_add(out, by, status, str_trim(text), j->name);
	}
	ktap_free(t);
}

/* The guest is gone, or says nothing any more. */
static void read_end(const struct guest *g, struct said *out)
{
	const struct vm *vm = &g->boot.vm;
	_cleanup_free_ char *text = NULL;
	const struct job *j = g->boot.running;

	if (vm->end != VM_HANG && vm->end != VM_LOST)
		return;
	text = xasprintf("the guest %s: %s", vm->end == VM_HANG ? "hangs" : "is gone",
			 vm->why ?: "no reason known");
	said_add(out, j ? job_word(j->name) : "log/other", "guest", text, j ? j->name : NULL);
}

/* STAGES: it is of none. */
static enum stage stage_of(const struct job *j)
{
	const char *name = strchr(j->name, '/') + 1;

	return !strcmp(name, "conform")	 ? STAGE_CONFORM :
	       str_starts(name, "test_") ? STAGE_TESTS :
	       !strcmp(name, "stress")	 ? STAGE_STRESS :
					   STAGES;
}

/* The module took the guest with it when it was loaded: nobody has looked at it. */
static void read_missing(const struct guest *g, struct said *out)
{
	static const char *const words[STAGES] = { "conform", "tests", "stress" };

	if (g->boot.vm.end == VM_CLEAN)
		return;
	for (size_t i = 0; i < g->boot.n; i++)
		if (g->boot.jobs[i].begun && stage_of(&g->boot.jobs[i]) == g->stage)
			return;
	said_blind(out, words[g->stage], "the guest was gone before it was begun");
}

/* What is to be run next: after the last stage that was begun, and after one at least. */
static enum stage next_stage(const struct guest *g)
{
	enum stage last = g->stage;

	if (g->boot.vm.end == VM_CLEAN)
		return g->stage < STAGE_STRESS && g->probe == PROBE_STOCK ? STAGE_STRESS : STAGES;
	for (size_t i = 0; i < g->boot.n; i++) {
		enum stage stage = stage_of(&g->boot.jobs[i]);

		if (g->boot.jobs[i].begun && stage < STAGES && stage > last)
			last = stage;
	}
	last++;
	return last == STAGE_STRESS && g->probe == PROBE_KASAN ? STAGES : last;
}

/* A guest that ended itself has said something; one that never came up has not. */
static void judge(struct boot *b)
{
	struct guest *g = b->ctx;
	struct said *out = &g->x->said[g->probe];
	const struct vm *vm = &g->boot.vm;
	_cleanup_free_ char *why = NULL;

	if (vm->end == VM_STOPPED)
		return;
	if (!vm->ready_s || vm->end == VM_QEMU_FAILED) {
		if (++g->tries > 1) {
			free(out->unmeasured);
			out->unmeasured = xasprintf("its guest does not come up: %s",
						    vm->why ?: vm_end_name(vm->end));
			g->stage = STAGES;
		}
		return;
	}
	g->tries = 0;
	/* twice is no accident */
	why = g->again ? NULL : boot_why_again(&g->boot);
	if (why) {
		lab_warn("%s %s: booting it once more", vm->label, why);
		g->again = true;
		return;
	}
	g->again = false;
	for (size_t i = 0; i < g->boot.n; i++)
		if (g->boot.jobs[i].begun)
			read_job(g, &g->boot.jobs[i], out);
	read_log(g, out);
	read_end(g, out);
	read_missing(g, out);
	g->stage = next_stage(g);
	out->known = g->stage == STAGES;
	if (out->known && g->probe == PROBE_KASAN && !g->asked)
		said_blind(out, "log/leak", "its guest did not live to be asked for what was lost");
	if (out->known)
		safety_keep(g->s, g->x, g->probe);
}

static enum lab_exit add_jobs(struct guest *g)
{
	struct safety *s = g->s;
	const struct kernel *k = kernel_of(s, g->probe);
	struct boot *b = &g->boot;
	enum lab_exit ret = boot_init(b, k);

	if (ret)
		return ret;
	b->vm.label = xasprintf("%s%s%s on %s", g->x->bug ? g->x->bug->slug : "no bug",
				g->x->bug ? " in " : ", ", g->m->name, k->name);
	b->on_end = judge;
	b->ctx = g;
	b->vm.append = append_of(g->probe);
	b->vm.timeout_s = lab_options.timeout_s ?:
				  GUEST_S + stress_seconds(g) * (is_repeatable(g) ? HOST_S : 1);
	b->vm.exact = b->vm.repeatable = is_repeatable(g);
	/* on the exact clock seconds are as long as they take */
	b->vm.silence_s = b->vm.exact ? 0 : SILENCE_S;
	if (g->probe != PROBE_STOCK)
		b->vm.memory_mb = DEBUG_MB;
	boot_add_module(b, &g->built, g->m);
	if (g->probe == PROBE_KASAN)
		add_leaks(g, "clear");
	if (g->stage < STAGE_STRESS)
		add_tests(g);
	if (g->stage == STAGE_STRESS || g->probe == PROBE_KCSAN)
		add_stress(g);
	return LAB_OK;
}

/* --- all of them --- */

static enum lab_exit open_guest(struct safety *s, struct guest *g)
{
	struct buf said = {};
	enum lab_exit ret = safety_build(g->x, kernel_of(s, g->probe), &said, &g->built);
	struct said *out = &g->x->said[g->probe];

	for (size_t i = 0; i < g->built.n && !ret; i++)
		if (!strcmp(g->built.modules[i].name, g->x->module))
			g->m = &g->built.modules[i];
	if (ret == LAB_FAILED || (!ret && !g->m)) {
		out->unmeasured = xasprintf("it does not compile for %s: %s",
					    kernel_of(s, g->probe)->name, said.s ?: "");
		ret = LAB_OK;
	}
	buf_free(&said);
	return ret;
}

static enum lab_exit boot_unfinished(struct guest *guests, size_t n)
{
	struct boot **boots = xcalloc(n, sizeof(*boots));
	enum lab_exit ret = LAB_OK;
	size_t open = 0;

	for (size_t i = 0; i < n && !ret; i++) {
		if (!guests[i].m || guests[i].stage == STAGES)
			continue;
		ret = add_jobs(&guests[i]);
		boots[open++] = &guests[i].boot;
	}
	if (!ret && open)
		ret = boot_run(boots, open, 0);
	for (size_t i = 0; i < n; i++) {
		free((char *)guests[i].boot.vm.label);
		boot_free(&guests[i].boot);
	}
	free(boots);
	return ret;
}

static size_t count_unfinished(const struct guest *guests, size_t n)
{
	size_t open = 0;

	for (size_t i = 0; i < n; i++)
		open += guests[i].m && guests[i].stage < STAGES;
	return open;
}

enum lab_exit probe_guests(struct safety *s, size_t probe, struct subject **x, size_t n)
{
	struct guest *guests = xcalloc(n, sizeof(*guests));
	enum lab_exit ret = safety_build_ahead(kernel_of(s, probe), x, n);

	for (size_t i = 0; i < n && !ret; i++) {
		guests[i].s = s;
		guests[i].x = x[i];
		guests[i].probe = probe;
		/* races are the own tests' and the stress's; a claim makes its call a few times */
		if (probe == PROBE_KCSAN)
			guests[i].stage = STAGE_TESTS;
		lab_stage(safety_probes[probe].name, "building %zu of %zu", i + 1, n);
		ret = open_guest(s, &guests[i]);
		if (lab_interrupted())
			ret = LAB_INTERRUPTED;
	}
	/* more than there are: a guest that does not come up is tried again, and so is one that is worth nothing */
	for (int round = 0; round < 3 * STAGES && !ret && count_unfinished(guests, n); round++) {
		ret = boot_unfinished(guests, n);
		if (lab_options.dry_run)
			break;
	}
	for (size_t i = 0; i < n; i++)
		built_free(&guests[i].built);
	free(guests);
	return lab_interrupted() ? LAB_INTERRUPTED : ret;
}
