// SPDX-License-Identifier: GPL-2.0
/* The probes that are subcommands of their own: run on a copy of the room, and their KTAP is read. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ktap.h"
#include "proc.h"
#include "safety.h"

#define MARGIN_S 1200

static char *run_version(const struct safety *s, struct hash *h)
{
	struct guest_tools tools = {};

	if (!s->kasan.name)
		return xstrdup(s->no_kasan ?: "there is no such kernel here");
	if (build_guest_tools(s->kasan.arch, &tools))
		return xstrdup("the guest's programs cannot be built");
	hash_puts(h, s->kasan.id);
	hash_puts(h, s->kasan.rust_id);
	hash_puts(h, tools.id);
	guest_tools_free(&tools);
	return NULL;
}

char *probe_faults_version(const struct safety *s, struct hash *h)
{
	return run_version(s, h);
}

char *probe_fuzz_version(const struct safety *s, struct hash *h)
{
	char number[64];

	snprintf(number, sizeof(number), "%d s, seed %llu", s->fuzz_s, s->seed);
	hash_puts(h, number);
	return run_version(s, h);
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
		_cleanup_free_ char *text =
			xasprintf("%s: %s", t->name, t->reason ?: ktap_result_name(t->result));
		_cleanup_free_ char *plain = safety_plain(text);

		said_add(out, by, plain, text, path);
	}
}

static char *last_line(const char *text)
{
	_cleanup_free_ char *copy = xstrdup(text ?: "");
	char *line = str_trim(copy), *nl;

	while ((nl = strrchr(line, '\n')))
		line = nl + 1;
	return xstrdup(line);
}

/* What we are, with other words. */
static char *self(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	return xstrndup(n > 0 ? path : "cdevlab", n > 0 ? (size_t)n : strlen("cdevlab"));
}

static enum lab_exit run_words(const char *by, struct strv *argv, int timeout_s, struct said *out)
{
	struct proc p = { .argv = argv->v, .timeout_s = timeout_s };
	enum lab_exit ret = proc_run(&p);

	if (ret == LAB_TIMEOUT) {
		out->unmeasured = xasprintf("it was not done after %d s", timeout_s);
		ret = LAB_OK;
	} else if (!ret && (p.status == LAB_OK || p.status == LAB_FAILED ||
			    p.status == LAB_TIMEOUT || p.status == LAB_CRASHED)) {
		struct ktap *t = ktap_new(NULL, "");

		out->known = ktap_parse(t, p.out.s ?: "");
		ktap_settle(t);
		read_failures(by, t, "", out);
		ktap_free(t);
	}
	if (!ret && !out->known && !out->unmeasured) {
		_cleanup_free_ char *why = last_line(p.err.s);

		out->unmeasured = xasprintf("exit status %d: %s", p.status, why);
	}
	proc_free(&p);
	return ret;
}

static void add_words(const struct safety *s, const struct subject *x, const char *name,
		      struct strv *argv)
{
	strv_take(argv, self());
	strv_add(argv, name);
	strv_add(argv, x->dir);
	strv_add(argv, "-k");
	strv_add(argv, s->kasan.name);
	strv_add(argv, "--only");
	strv_add(argv, x->module);
	if (x->language == SAFETY_RUST)
		strv_add(argv, "--rust");
}

enum lab_exit probe_faults(struct safety *s, struct subject *x, struct said *out)
{
	struct strv argv = {};
	enum lab_exit ret;

	add_words(s, x, "faults", &argv);
	ret = run_words("faults", &argv, 2 * MARGIN_S, out);
	strv_free(&argv);
	return ret;
}

enum lab_exit probe_fuzz(struct safety *s, struct subject *x, struct said *out)
{
	struct strv argv = {};
	enum lab_exit ret;

	add_words(s, x, "fuzz", &argv);
	strv_addf(&argv, "--for=%d", s->fuzz_s);
	strv_addf(&argv, "--seed=%llu", s->seed);
	/* What was learned of another variant would be known of this one from the start. */
	strv_addf(&argv, "-o%s-fuzz", x->dir);
	ret = run_words("fuzz", &argv, s->fuzz_s + MARGIN_S, out);
	strv_free(&argv);
	return ret;
}
