// SPDX-License-Identifier: GPL-2.0
/* The probes that are subcommands of their own: run on a copy of the room, and their KTAP is read. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ktap.h"
#include "proc.h"
#include "safety.h"
#include "vm.h"

#define MARGIN_S 1200

char *probe_faults_version(const struct safety *s, struct hash *h)
{
	return safety_kernel_version(&s->kasan, s->no_kasan, h);
}

char *probe_fuzz_version(const struct safety *s, struct hash *h)
{
	char number[64];

	snprintf(number, sizeof(number), "%d s, seed %llu", s->fuzz_s, s->seed);
	hash_puts(h, number);
	return safety_kernel_version(&s->kasan, s->no_kasan, h);
}

/* A failure with its reason; what is below it explains it better. */
static void read_failures(const char *by, const struct ktap *t, const char *path, struct said *out)
{
	bool explained = false;

	for (size_t i = 0; i < t->n; i++) {
		_cleanup_free_ char *inner =
			*path ? xasprintf("%s/%s", path, t->children[i]->name) :
				xstrdup(t->children[i]->name);

		explained |= t->children[i]->result >= KTAP_FAIL;
		read_failures(by, t->children[i], inner, out);
	}
	if (t->result >= KTAP_FAIL && !explained && *path) {
		const char *why = t->reason	     ?:
					  t->notes.n ? t->notes.v[0] :
						       ktap_result_name(t->result);
		_cleanup_free_ char *text = xasprintf("%s: %s", t->name, why);
		_cleanup_free_ char *plain = safety_plain(why), *what = NULL;

		/* "write 64" is another call than "write 1"; crashes are numbered as they come */
		what = strcmp(by, "fuzz") ? xasprintf("%s: %s", path, plain) : xstrdup(plain);
		said_add(out, by, what, text, path);
	}
}

static void read_run(const char *by, const struct proc *p, struct said *out)
{
	if (p->timed_out) {
		out->unmeasured = xasprintf("it was not done after %d s", p->timeout_s);
		return;
	}
	if (p->status == LAB_OK || p->status == LAB_FAILED || p->status == LAB_TIMEOUT ||
	    p->status == LAB_CRASHED) {
		struct ktap *t = ktap_new(NULL, "");

		out->known = ktap_parse(t, p->out.s ?: "");
		ktap_settle(t);
		read_failures(by, t, "", out);
		ktap_free(t);
	}
	if (!out->known) {
		_cleanup_free_ char *why = str_last_line(p->err.s ?: "");

		out->unmeasured = xasprintf("exit status %d: %s", p->status, why);
	}
}

/* struct runs - a subcommand on each subject */
struct runs {
	struct safety *s;
	size_t probe, n, ended;
	struct subject **x;
	struct strv *argv; /* of each */
	struct proc *p;
};

static void runs_init(struct runs *r, size_t n)
{
	r->argv = xcalloc(n, sizeof(*r->argv));
	r->p = xcalloc(n, sizeof(*r->p));
}

static void runs_free(struct runs *r)
{
	for (size_t i = 0; i < r->n; i++) {
		proc_free(&r->p[i]);
		strv_free(&r->argv[i]);
	}
	free(r->argv);
	free(r->p);
}

/* One more: that subcommand on the subject's room, and on a kernel with its modules in Rust or without. */
static struct strv *runs_add(struct runs *r, const char *subcommand, const struct subject *x,
			     const struct kernel *k, bool rust)
{
	struct strv *argv = &r->argv[r->n++];

	strv_take(argv, proc_self() ?: xstrdup("cdevlab"));
	strv_add(argv, subcommand);
	strv_add(argv, x->dir);
	strv_add(argv, "-k");
	strv_add(argv, k->name);
	if (rust)
		strv_add(argv, "--rust");
	return argv;
}

static enum lab_exit runs_start(struct runs *r, size_t at_once, proc_done_fn *done)
{
	for (size_t i = 0; i < r->n; i++)
		r->p[i].argv = r->argv[i].v;
	return proc_run_all(r->p, r->n, at_once, done, r);
}

static enum lab_exit one_built(struct proc *p, void *ctx)
{
	struct runs *r = ctx;

	(void)p;
	lab_stage("build", "%zu of %zu rooms", ++r->ended, r->n);
	return LAB_OK;
}

/* What went wrong the build that counts will tell. */
enum lab_exit safety_build_ahead(const struct kernel *k, struct subject **x, size_t n)
{
	struct runs r = {};
	enum lab_exit ret;

	runs_init(&r, n);
	for (size_t i = 0; i < n; i++)
		if (!x[i]->said[PROBE_BUILD].no_build)
			strv_add(runs_add(&r, "test", x[i], k, k->rust), "--dry-run");
	lab_stage("build", "%zu rooms for %s", r.n, k->name);
	ret = runs_start(&r, sysconf(_SC_NPROCESSORS_ONLN), one_built);
	lab_stage_done(NULL);
	runs_free(&r);
	return ret == LAB_CANNOT ? LAB_OK : ret;
}

static enum lab_exit one_ended(struct proc *p, void *ctx)
{
	struct runs *r = ctx;
	struct subject *x = r->x[p - r->p];

	read_run(safety_probes[r->probe].name, p, &x->said[r->probe]);
	safety_keep(r->s, x, r->probe);
	lab_stage(safety_probes[r->probe].name, "%zu of %zu: %s %s", ++r->ended, r->n,
		  path_base(x->room), x->bug ? x->bug->slug : "without a bug");
	return LAB_OK;
}

static void add_words(const struct safety *s, size_t probe, const struct subject *x,
		      struct strv *argv)
{
	strv_add(argv, "--only");
	strv_add(argv, x->module);
	if (lab_options.timeout_s)
		strv_addf(argv, "--timeout=%d", lab_options.timeout_s);
	if (probe == PROBE_FAULTS) {
		strv_add(argv, "--quick");
		return;
	}
	strv_addf(argv, "--for=%d", s->fuzz_s);
	strv_addf(argv, "--seed=%llu", s->seed);
	/* What was learned of another variant would be known of this one from the start. */
	strv_addf(argv, "-o%s-fuzz", x->dir);
}

enum lab_exit probe_run(struct safety *s, size_t probe, struct subject **x, size_t n)
{
	struct runs r = { .s = s, .probe = probe, .x = x };
	enum lab_exit ret = LAB_OK;

	runs_init(&r, n);
	for (size_t i = 0; i < n; i++) {
		struct strv *argv = runs_add(&r, safety_probes[probe].name, x[i], &s->kasan,
					     x[i]->language == SAFETY_RUST);

		add_words(s, probe, x[i], argv);
		r.p[i].timeout_s = s->fuzz_s + MARGIN_S;
		if (lab_options.dry_run) {
			_cleanup_free_ char *line = shell_join(argv->v);

			puts(line);
		}
	}
	if (!lab_options.dry_run)
		ret = runs_start(&r, vm_at_once(), one_ended);
	runs_free(&r);
	return ret;
}
