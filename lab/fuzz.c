// SPDX-License-Identifier: GPL-2.0
#include "fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../guest/protocol.h"
#include "elf.h"

#define MARGIN_S     90 /* of a job over its time, of a guest over its jobs */
#define SILENCE_S    90
#define BEAT_S	     1
#define SHOW_S	     15 /* where it is no terminal */
#define SAME_MOST    3	/* the same crash so often: it would only come again */
#define REPLAY_S     60
#define TOGETHER_S   10
#define REPEAT	     20 /* of each program that is tried */
#define REPEAT_PARTS 4
#define RACING	     20 /* times more where threads have to meet */
#define CORPUS_MOST  (8 << 20)
#define APPEND	     "panic_on_warn=1 nokaslr"

/* struct target - a module on a kernel */
struct target {
	struct fuzz_run *run;
	const struct kernel *kernel;
	const struct built *built;
	const struct module *module;
	struct ktap *node;
	struct fuzz_crash *crashes;
	struct fuzz_list corpus;
	char *corpus_path;
	size_t places; /* of the module's code that KCOV can tell; 0: none */
	double left_s;
	size_t guests, n_crashes, absent;
};

/* struct guest - one boot of a target, and what it has left */
struct guest {
	struct boot boot;
	struct fuzz_shared *shared;
	const struct target *target;
	double shown;
	char *signature; /* of its crash, or NULL */
	struct klog log;
	bool searching;
	bool absent; /* it did not come up */
};

/* ---- One guest ---- */

static void show(struct guest *g)
{
	const struct fuzz_shared *sh = g->shared;
	const struct target *t = g->target;
	_cleanup_free_ char *reached = NULL;
	double s = sh->ms / 1000.0;

	if (!g->searching || !sh->ms)
		return;
	reached = sh->kcov ?
			  xasprintf("%llu of %zu places", (unsigned long long)sh->pcs, t->places) :
			  xstrdup("no coverage");
	if (isatty(STDERR_FILENO)) {
		lab_stage("fuzz", "%s: %llu calls, %.0f a second, %s, corpus %llu, %zu crashes",
			  g->boot.vm.label, (unsigned long long)sh->calls, sh->calls / s, reached,
			  (unsigned long long)sh->corpus, t->run->crashes);
	} else if (now_s() > g->shown + SHOW_S) {
		g->shown = now_s();
		lab_progress("fuzz", "%s: %llu calls, %.0f a second, %s, corpus %llu, %zu crashes",
			     g->boot.vm.label, (unsigned long long)sh->calls, sh->calls / s,
			     reached, (unsigned long long)sh->corpus, t->run->crashes);
	}
}

static void on_beat(struct boot *b)
{
	show(b->ctx);
}

static enum lab_exit guest_init(struct guest *g, const struct target *t, const char *label)
{
	int fd;
	enum lab_exit ret = boot_init(&g->boot, t->kernel);

	g->target = t;
	g->shown = now_s();
	if (ret)
		return ret;
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd >= 0)
		g->boot.vm.share_fd = fd;
	if (fd < 0 || ftruncate(fd, FUZZ_SHARED_MB << 20))
		return lab_fail(LAB_CANNOT, NULL, "cannot make memory to share: %s",
				strerror(errno));
	g->boot.vm.share_mb = FUZZ_SHARED_MB;
	g->shared = mmap(NULL, sizeof(*g->shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (g->shared == MAP_FAILED) {
		g->shared = NULL;
		return lab_fail(LAB_CANNOT, NULL, "cannot map shared memory: %s", strerror(errno));
	}
	g->boot.vm.label = xasprintf("%s %s on %s", t->module->name, label, t->kernel->name);
	g->boot.vm.append = APPEND;
	g->boot.vm.silence_s = SILENCE_S;
	g->boot.beat_s = BEAT_S;
	g->boot.on_beat = on_beat;
	g->boot.ctx = g;
	boot_add_module(&g->boot, t->built, t->module);
	boot_add_load(&g->boot, t->built, t->module);
	return LAB_OK;
}

static void guest_free(struct guest *g)
{
	if (g->shared)
		munmap(g->shared, sizeof(*g->shared));
	/* 0: there never was any */
	if (g->boot.vm.share_fd > 0)
		close(g->boot.vm.share_fd);
	free((char *)g->boot.vm.label);
	klog_free(&g->log);
	free(g->signature);
	boot_free(&g->boot);
}

/* What its program says that the log does not: "fuzz.c:12: stuck in the kernel: ..." */
static char *stuck_line(const struct job *j)
{
	const char *at = j->out.s ? strstr(j->out.s, "stuck in the kernel") : NULL;

	return at ? xstrndup(at, strcspn(at, "\n")) : NULL;
}

/* Over a race of its own, and nothing else was found. */
static bool is_ended_by_kernel(const struct guest *g)
{
	return g->log.own_end && !g->log.n;
}

static enum lab_exit guest_run(struct guest *g, struct job *j, int seconds)
{
	struct boot *boots[] = { &g->boot };
	_cleanup_free_ char *otherwise = NULL;
	const char *name = j->name;
	enum lab_exit ret;

	if (!g->boot.vm.timeout_s)
		g->boot.vm.timeout_s = seconds + 3 * MARGIN_S;
	ret = boot_run(boots, 1, 1);
	if (ret || lab_options.dry_run)
		return ret;
	if (g->boot.vm.end == VM_QEMU_FAILED)
		return lab_fail(LAB_CANNOT, "run it again; -v shows its command line",
				"QEMU ended on its own (%s): %s", g->boot.vm.label,
				g->boot.vm.why ?: "no message");
	/* emulated processors now and then lose each other while the kernel starts them: no crash of the driver's */
	g->absent = !g->boot.vm.ready_s;
	if (g->absent)
		lab_warn("%s did not come up: %s", g->boot.vm.label,
			 g->boot.vm.why ?: "no reason known");
	if (g->absent)
		return LAB_OK;
	klog_scan(g->boot.vm.log.s ?: "", KLOG_TAINT_MODULE, &g->log);
	for (size_t i = 0; i < g->boot.n; i++)
		if (!strcmp(g->boot.jobs[i].name, name))
			otherwise = stuck_line(&g->boot.jobs[i]);
	if (!otherwise && !is_ended_by_kernel(g) && g->boot.vm.end != VM_CLEAN)
		otherwise = xasprintf("%s: %s", vm_end_name(g->boot.vm.end),
				      g->boot.vm.why ?: "no reason known");
	g->signature = fuzz_signature(&g->log, otherwise);
	return LAB_OK;
}

static struct job *guest_job(struct guest *g, int seconds)
{
	const struct target *t = g->target;
	struct job *j = boot_add_job(&g->boot, t->module->name, "fuzz", seconds + MARGIN_S);

	boot_add_suite(&g->boot, t->built, "fuzz");
	strv_addf(&j->argv, "fuzz-%s", t->built->driver->name);
	strv_addf(&j->argv, "--for=%d", seconds);
	return j;
}

/* ---- Making it small ---- */

/* The programs that a worker ran, the latest first. */
static void history_of(const struct fuzz_shared *sh, size_t worker, struct fuzz_list *out)
{
	uint32_t begun = sh->worker[worker].begun;

	for (uint32_t i = 0; i < begun && i < FUZZ_HISTORY; i++) {
		const struct fuzz_prog *p =
			&sh->worker[worker].history[(begun - 1 - i) % FUZZ_HISTORY];

		if (p->n && p->n <= FUZZ_CALLS)
			fuzz_list_add(out, p);
	}
}

static bool has_threads(const struct fuzz_prog *p)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (p->calls[i].thread)
			return true;
	return false;
}

/* In one thread, where that does it as well, it does it every time. */
static void add_in_one_thread(const struct fuzz_list *from, struct fuzz_list *out)
{
	struct fuzz_prog p;

	if (!from->n || !has_threads(&from->p[0]))
		return;
	p = from->p[0];
	for (uint32_t i = 0; i < p.n; i++)
		p.calls[i].thread = 0;
	fuzz_list_add(out, &p);
}

/* The last programs of both workers, then those before them. */
static void suspects(const struct fuzz_shared *sh, struct fuzz_list *out, struct fuzz_list *last)
{
	struct fuzz_list of[FUZZ_WORKERS] = {};

	for (size_t w = 0; w < FUZZ_WORKERS; w++) {
		history_of(sh, w, &of[w]);
		add_in_one_thread(&of[w], out);
	}
	for (size_t w = 0; w < FUZZ_WORKERS; w++)
		if (of[w].n)
			fuzz_list_add(last, &of[w].p[0]);
	for (size_t i = 0; i < FUZZ_HISTORY; i++)
		for (size_t w = 0; w < FUZZ_WORKERS; w++)
			if (i < of[w].n)
				fuzz_list_add(out, &of[w].p[i]);
	for (size_t w = 0; w < FUZZ_WORKERS; w++)
		fuzz_list_free(&of[w]);
}

static enum lab_exit try_once(struct target *t, const struct fuzz_list *list, const char *signature,
			      int repeat, bool together, long *found, bool *absent)
{
	struct guest g = { .searching = false };
	struct buf text = {};
	int seconds = together ? TOGETHER_S : REPLAY_S;
	enum lab_exit ret = guest_init(&g, t, "again");
	struct job *j;

	*found = -1;
	t->guests++;
	fuzz_list_text(list, &text);
	if (!ret) {
		boot_add_data(&g.boot, FUZZ_CORPUS, text.s, text.n);
		j = guest_job(&g, seconds);
		strv_add(&j->argv, "--replay=" FUZZ_CORPUS);
		strv_addf(&j->argv, "--repeat=%d", repeat);
		if (together)
			strv_add(&j->argv, "--together");
		ret = guest_run(&g, j, seconds);
	}
	if (!ret && g.signature && g.shared->worker[0].begun) {
		lab_verbose("%s: %s", g.boot.vm.label, g.signature);
		if (!strcmp(g.signature, signature))
			*found = (g.shared->worker[0].begun - 1) % list->n;
	}
	*absent = g.absent;
	buf_free(&text);
	guest_free(&g);
	return ret;
}

/**
 * try_list() - runs programs in a fresh guest until one crashes
 * @together:	two workers at once, for some time, not one after the other
 * @found:	the one that did, an index; -1: none
 */
static enum lab_exit try_list(struct target *t, const struct fuzz_list *list, const char *signature,
			      int repeat, bool together, long *found)
{
	bool absent = false;
	enum lab_exit ret = try_once(t, list, signature, repeat, together, found, &absent);

	if (!ret && absent)
		ret = try_once(t, list, signature, repeat, together, found, &absent);
	return ret;
}

/* Replaces *p by the first of what @make proposes that crashes. */
static enum lab_exit smaller(struct target *t, struct fuzz_prog *p, const char *signature,
			     void (*make)(const struct fuzz_prog *p, struct fuzz_list *out))
{
	int repeat = REPEAT_PARTS * (has_threads(p) ? RACING : 1);
	struct fuzz_list list = {};
	enum lab_exit ret;
	long found;

	make(p, &list);
	ret = try_list(t, &list, signature, repeat, false, &found);
	if (!ret && found >= 0)
		*p = list.p[found];
	fuzz_list_free(&list);
	return ret;
}

/* struct small - a crash, made small */
struct small {
	struct fuzz_prog p, other;
	bool alone; /* p does it; else both at the same time, or, with nothing, nobody knows */
	bool both;
};

static enum lab_exit make_small(struct target *t, const struct guest *g, struct small *s)
{
	struct fuzz_list list = {}, last = {};
	enum lab_exit ret = LAB_OK;
	long found;

	suspects(g->shared, &list, &last);
	if (!list.n)
		return LAB_OK;
	lab_stage("fuzz", "%s: making a crash small", t->module->name);
	ret = try_list(t, &list, g->signature, REPEAT, false, &found);
	if (!ret && found >= 0) {
		s->alone = true;
		s->p = list.p[found];
		ret = smaller(t, &s->p, g->signature, fuzz_parts);
		if (!ret)
			ret = smaller(t, &s->p, g->signature, fuzz_plain);
	} else if (!ret && last.n > 1) {
		s->p = last.p[0];
		s->other = last.p[1];
		ret = try_list(t, &last, g->signature, 1, true, &found);
		s->both = !ret && found >= 0;
	}
	fuzz_list_free(&list);
	fuzz_list_free(&last);
	return ret;
}

/* ---- What is kept ---- */

static enum lab_exit cannot_write(const char *path, int err)
{
	return lab_fail(LAB_CANNOT, "make room, or name another directory with -o",
			"cannot write %s: %s", path, strerror(-err));
}

static enum lab_exit results_dir(struct fuzz_run *f)
{
	int err;

	if (!f->dir && f->out_dir) {
		f->dir = xstrdup(f->out_dir);
	} else if (!f->dir) {
		_cleanup_free_ char *stamp = utc_now(), *plain = str_replace(stamp, ":", "-");

		f->dir = xasprintf("cdevlab-results/fuzz-%s", plain);
	}
	err = make_dirs(f->dir, 0755);
	return err ? cannot_write(f->dir, err) : LAB_OK;
}

static enum lab_exit write_file(struct fuzz_run *f, const char *name, const char *end,
				const struct buf *text, char **path)
{
	_cleanup_free_ char *to = xasprintf("%s/%s%s", f->dir, name, end);
	int err = file_write(to, text->s ?: "", text->n);

	if (path)
		*path = xstrdup(to);
	return err ? cannot_write(to, err) : LAB_OK;
}

/* The C program must do it as well, in a guest that knows nothing of fuzzing. */
static enum lab_exit prove(struct target *t, const char *c_path, const char *signature,
			   struct ktap *node)
{
	_cleanup_free_ char *cc = arch_is_host(t->kernel->arch) ?
					  xstrdup("gcc") :
					  xasprintf("%s-gcc", t->kernel->arch->triplet);
	char *tmp = temp_dir(NULL);
	_cleanup_free_ char *program = xasprintf("%s/crash", tmp ?: "");
	char *argv[] = {
		cc, "-O1", "-w", "-static", "-pthread", "-o", program, (char *)c_path, NULL
	};
	struct proc p = { .argv = argv };
	struct guest g = { .searching = false };
	enum lab_exit ret = tmp ? proc_run(&p) : LAB_CANNOT;
	struct job *j;

	if (!ret && p.status) {
		ktap_note(node, "%s does not compile: %s", c_path, p.err.s ?: "");
		goto out;
	}
	if (!ret)
		ret = guest_init(&g, t, "proof");
	t->guests++;
	if (!ret) {
		boot_add_file(&g.boot, BIN_DIR "/crash", program);
		j = boot_add_job(&g.boot, t->module->name, "fuzz", MARGIN_S);
		strv_add(&j->argv, "crash");
		ret = guest_run(&g, j, MARGIN_S);
	}
	if (!ret && g.absent)
		ktap_note(node, "C program: %s; the guest to prove it did not come up", c_path);
	else if (!ret)
		ktap_note(node, "C program: %s, which %s in a fresh guest", c_path,
			  g.signature && !strcmp(g.signature, signature) ?
				  "crashes in the same way" :
				  "did not do it again");
out:
	guest_free(&g);
	proc_free(&p);
	if (tmp)
		temp_dir_done(tmp);
	return ret;
}

static void note_frames(struct ktap *node, const struct target *t, const struct klog *log)
{
	const struct klog_finding *f = log->n ? &log->findings[0] : NULL;

	for (size_t i = 0; f && i < f->n_frames && i < 12; i++) {
		const struct klog_frame *fr = &f->frames[i];
		_cleanup_free_ char *where = NULL;

		if (fr->guessed)
			continue;
		for (size_t m = 0; fr->module && m < t->built->n; m++)
			if (!strcmp(t->built->modules[m].name, fr->module))
				elf_source_line(t->built->modules[m].debug_ko, fr->function,
						fr->offset - (i && fr->offset ? 1 : 0), &where);
		ktap_note(node, "    %s+0x%lx%s%s%s%s%s%s", fr->function, fr->offset,
			  fr->module ? " [" : "", fr->module ?: "", fr->module ? "]" : "",
			  where ? " (" : "", where ?: "", where ? ")" : "");
	}
}

static void note_program(struct ktap *node, const struct fuzz_prog *p)
{
	struct fuzz_list one = { (struct fuzz_prog *)p, 1 };
	struct strv lines = {};
	struct buf text = {};

	fuzz_list_text(&one, &text);
	strv_split(&lines, text.s, "\n");
	for (size_t i = 0; i < lines.n; i++)
		ktap_note(node, "    %s", lines.v[i]);
	strv_free(&lines);
	buf_free(&text);
}

/* "crash-1", or the first that is not there of an earlier run. */
static char *unused_name(const struct fuzz_run *f)
{
	for (size_t n = f->crashes;; n++) {
		_cleanup_free_ char *log = f->dir ? xasprintf("%s/crash-%zu.log", f->dir, n) : NULL;

		if (!log || !file_exists(log))
			return xasprintf("crash-%zu", n);
	}
}

static enum lab_exit report_crash(struct target *t, const struct guest *g, const struct small *s)
{
	struct fuzz_run *f = t->run;
	_cleanup_free_ char *name = NULL, *path = NULL;
	struct fuzz_shared *sh = g->shared;
	enum lab_exit ret = results_dir(f);
	struct buf c = {};
	struct ktap *node;

	f->crashes++;
	name = unused_name(f);
	node = ktap_new(t->node, name);

	ktap_set(node, g->boot.vm.end == VM_CLEAN ? KTAP_FAIL : KTAP_CRASHED, "%s", g->signature);
	f->test->crashed |= g->boot.vm.end != VM_CLEAN;
	note_frames(node, t, &g->log);
	ktap_note(node, "after %.1f s of fuzzing", sh->ms / 1000.0);
	if (!ret)
		ret = write_file(f, name, ".log", &g->boot.vm.log, NULL);
	if (!ret && (s->alone || s->both)) {
		fuzz_c(&c, g->signature, &s->p, s->both ? &s->other : NULL, sh->nodes,
		       sh->n_nodes < FUZZ_NODES ? sh->n_nodes : FUZZ_NODES);
		ktap_note(node,
			  s->both ? "two programs at the same time:" :
				    "the smallest program, calls %u:",
			  s->p.n);
		note_program(node, &s->p);
		if (s->both)
			note_program(node, &s->other);
		ret = write_file(f, name, ".c", &c, &path);
		if (!ret)
			ret = prove(t, path, g->signature, node);
	} else if (!ret) {
		struct fuzz_list list = {};

		history_of(sh, 0, &list);
		history_of(sh, 1, &list);
		fuzz_list_text(&list, &c);
		ret = write_file(f, name, ".programs", &c, &path);
		ktap_note(node, "it did not come again; what ran before it: %s", path);
		fuzz_list_free(&list);
	}
	lab_progress("fuzz", "%s: %s: %s", t->module->name, name, g->signature);
	buf_free(&c);
	return ret;
}

static bool known(struct target *t, const char *signature, bool *enough)
{
	struct fuzz_crash *c = t->crashes;

	while (c && strcmp(c->signature, signature))
		c = c->next;
	if (c) {
		*enough = ++c->times >= SAME_MOST;
		return true;
	}
	c = xcalloc(1, sizeof(*c));
	*c = (struct fuzz_crash){ .signature = xstrdup(signature), .times = 1, .next = t->crashes };
	t->crashes = c;
	return false;
}

/* ---- The corpus ---- */

static void corpus_read(struct target *t)
{
	_cleanup_free_ char *dir = t->run->corpus_dir ? xstrdup(t->run->corpus_dir) :
							xasprintf("%s/fuzz", lab_cache_dir());
	struct fuzz_prog p;
	struct buf text = {};
	const char *at;

	t->corpus_path = xasprintf("%s/%s-%s.corpus", dir, t->built->driver->name, t->module->name);
	if (!file_read(t->corpus_path, &text) && text.n < CORPUS_MOST)
		for (at = text.s; (at = fuzz_prog_parse(at, &p));)
			fuzz_list_add(&t->corpus, &p);
	buf_free(&text);
}

static enum lab_exit corpus_write(struct target *t)
{
	_cleanup_free_ char *dir =
		xstrndup(t->corpus_path, path_base(t->corpus_path) - t->corpus_path);
	struct buf text = {};
	int err = make_dirs(dir, 0755);

	fuzz_list_text(&t->corpus, &text);
	if (!err)
		err = file_write(t->corpus_path, text.s, text.n);
	buf_free(&text);
	return err ? cannot_write(t->corpus_path, err) : LAB_OK;
}

/*
 * What this guest has kept, the old ones that still reach something among it, becomes the corpus; but without KCOV fewer
 * are kept, and a guest without a node keeps none.
 */
static void corpus_take(struct target *t, struct fuzz_shared *sh, bool whole)
{
	struct fuzz_prog p;
	const char *at;

	if (!sh->n_text || (!sh->kcov && t->corpus.n))
		return;
	sh->text[sh->n_text < sizeof(sh->text) ? sh->n_text : sizeof(sh->text) - 1] = '\0';
	if (whole)
		fuzz_list_free(&t->corpus);
	for (at = sh->text; (at = fuzz_prog_parse(at, &p));)
		fuzz_list_add(&t->corpus, &p);
}

/* ---- A module ---- */

/* Every basic block of an instrumented module calls it; what runs only at load and unload does not count. */
static size_t count_places(const char *ko)
{
	struct elf_image image = {};
	size_t n = 0;

	if (elf_image_open(ko, &image))
		return 0;
	for (size_t i = 0; i < image.n; i++) {
		const struct elf_section *s = &image.sections[i];

		if (!s->code || str_starts(s->name, ".init") || str_starts(s->name, ".exit"))
			continue;
		for (size_t k = 0; k < s->n_relocs; k++)
			n += s->relocs[k].symbol &&
			     !strcmp(s->relocs[k].symbol, "__sanitizer_cov_trace_pc");
	}
	elf_image_free(&image);
	return n;
}

static void take_jobs(struct target *t, const struct guest *g)
{
	for (size_t i = 0; i < g->boot.n; i++) {
		const struct job *j = &g->boot.jobs[i];
		const char *name = strchr(j->name, '/') + 1;
		struct ktap *node = ktap_child(t->node, name) ?: ktap_new(t->node, name);
		int status = j->ended ? atoi(j->status) : 0;

		node->ms = j->ms;
		if (j->out.n && ktap_parse(node, j->out.s))
			continue;
		if (!j->ended)
			ktap_set(node, KTAP_SKIP, "the guest did not live to end it");
		else if (!strcmp(j->status, "timeout"))
			ktap_set(node, KTAP_TIMEOUT, "after %d s", j->timeout_s);
		else if (status)
			ktap_set(node, KTAP_FAIL, "%s", j->err.n ? j->err.s : "it fails");
	}
	if (g->shared->kcov && t->places)
		ktap_note(t->node, "coverage: %llu of %zu places of the module's code (%.0f %%)",
			  (unsigned long long)g->shared->pcs, t->places,
			  100.0 * g->shared->pcs / t->places);
}

static void note_search(struct target *t, const struct guest *g, const char *guest)
{
	const struct fuzz_shared *sh = g->shared;
	_cleanup_free_ char *reached =
		sh->kcov ?
			xasprintf("; %llu of %zu places", (unsigned long long)sh->pcs, t->places) :
			xstrdup("");

	ktap_note(t->node, "%s: %llu calls in %.1f s, %.0f a second; corpus %llu%s", guest,
		  (unsigned long long)sh->calls, sh->ms / 1000.0,
		  sh->ms ? sh->calls * 1000.0 / sh->ms : 0.0, (unsigned long long)sh->corpus,
		  reached);
}

/* Searches in one guest; *over when there is nothing left to do. */
static enum lab_exit search(struct target *t, bool *over)
{
	struct guest g = { .searching = true };
	struct small small = {};
	int seconds = t->left_s;
	struct buf text = {};
	enum lab_exit ret = guest_init(&g, t, "fuzzed");
	struct job *j;

	if (!ret) {
		fuzz_list_text(&t->corpus, &text);
		boot_add_data(&g.boot, FUZZ_CORPUS, text.s, text.n);
		j = guest_job(&g, seconds);
		strv_add(&j->argv, "--corpus=" FUZZ_CORPUS);
		strv_addf(&j->argv, "--seed=%llu", t->run->seed + t->guests++);
		boot_add_unload(&g.boot, t->module);
		ret = guest_run(&g, &g.boot.jobs[g.boot.n - 2], seconds);
	}
	buf_free(&text);
	if (ret || lab_options.dry_run) {
		/* what was learned until then is kept */
		if (ret == LAB_INTERRUPTED && g.shared) {
			corpus_take(t, g.shared, false);
			corpus_write(t);
			note_search(t, &g, "interrupted");
		}
		*over = true;
		guest_free(&g);
		return ret;
	}
	if (g.absent) {
		if (++t->absent > 1)
			ret = lab_fail(LAB_CANNOT, "run it again when the machine has less to do",
				       "no guest of %s comes up", t->kernel->name);
		guest_free(&g);
		return ret;
	}
	t->absent = 0;
	/* the whole time for one that never came so far */
	t->left_s -= g.shared->ms ? g.shared->ms / 1000.0 : seconds;
	corpus_take(t, g.shared, g.boot.vm.end == VM_CLEAN);
	if (is_ended_by_kernel(&g)) {
		lab_progress("fuzz", "%s: a race of the kernel's own ended its guest: the next one",
			     t->module->name);
		note_search(t, &g, "a guest that the kernel ended over a race of its own");
	} else if (!g.signature) {
		take_jobs(t, &g);
		*over = true;
	} else if (known(t, g.signature, over)) {
		lab_progress("fuzz", "%s: the same crash again", t->module->name);
	} else {
		note_search(t, &g, "a guest that crashed");
		ret = make_small(t, &g, &small);
		if (!ret)
			ret = report_crash(t, &g, &small);
		*over = t->run->crashes_most && ++t->n_crashes >= t->run->crashes_most;
	}
	guest_free(&g);
	return ret ? ret : corpus_write(t);
}

static enum lab_exit fuzz_module(struct target *t)
{
	enum lab_exit ret = LAB_OK;
	bool over = false;

	t->left_s = t->run->seconds;
	t->places = count_places(t->module->ko);
	corpus_read(t);
	while (!ret && !over && t->left_s >= FUZZ_LEAST_S && !lab_interrupted())
		ret = search(t, &over);
	for (struct fuzz_crash *c = t->crashes, *next; c; c = next) {
		next = c->next;
		if (c->times > 1)
			ktap_note(t->node, "%zu times: %s", c->times, c->signature);
		free(c->signature);
		free(c);
	}
	if (ret && !t->node->n)
		ktap_set(t->node, KTAP_SKIP,
			 ret == LAB_INTERRUPTED ? "interrupted" : "it could not be fuzzed");
	fuzz_list_free(&t->corpus);
	free(t->corpus_path);
	return ret;
}

enum lab_exit fuzz_run(struct fuzz_run *f)
{
	struct test_run *run = f->test;
	enum lab_exit ret = LAB_OK;
	bool any = false;

	for (size_t k = 0; k < run->n_kernels; k++) {
		_cleanup_free_ char *name = xasprintf("%s %s", run->k[k].name, run->k[k].release);
		struct ktap *kernel = ktap_child(run->root, name);

		for (size_t i = 0; i < run->n_drivers; i++) {
			struct built *b = &run->built[k * run->n_drivers + i];
			struct ktap *driver = ktap_child(kernel, run->d[i].name);

			for (size_t m = 0; m < b->n && !ret; m++) {
				struct target t = { .run = f,
						    .kernel = &run->k[k],
						    .built = b,
						    .module = &b->modules[m] };

				if ((run->only && strcmp(run->only, b->modules[m].name)) ||
				    (run->modules && !strv_has(run->modules, b->modules[m].name)))
					continue;
				any = true;
				t.node = ktap_new(driver, b->modules[m].name);
				ret = fuzz_module(&t);
			}
		}
	}
	if (!ret && !any && run->only)
		ret = test_only_fits_none(run, "it is the name of a module");
	ktap_settle(run->root);
	return ret;
}

void fuzz_run_free(struct fuzz_run *f)
{
	free(f->dir);
	f->dir = NULL;
}
