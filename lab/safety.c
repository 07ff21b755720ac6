// SPDX-License-Identifier: GPL-2.0
/* Controls and variants, and the probes that they are put through. */
#include "safety.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "elf.h"
#include "proc.h"
#include "source.h"

#define RECIPE "2" /* raised when what a probe does changes */
#define C_ONLY (1u << SAFETY_C)
#define BOTH   (1u << SAFETY_C | 1u << SAFETY_RUST)
#define C_TEXT "it reads C"

const struct safety_probe safety_probes[PROBES] = {
	[PROBE_BUILD] = { "build", BOTH, false, NULL, probe_build_version, probe_build },
	[PROBE_CHECKERS] = { "check", C_ONLY, false, C_TEXT, probe_checkers_version,
			     probe_checkers },
	[PROBE_CPPCHECK] = { "cppcheck", C_ONLY, false, C_TEXT, probe_cppcheck_version,
			     probe_cppcheck },
	[PROBE_COCCINELLE] = { "cocci", C_ONLY, false, C_TEXT, probe_coccinelle_version,
			       probe_coccinelle },
	[PROBE_STOCK] = { "stock", BOTH, true, NULL, probe_stock_version, NULL, probe_guests },
	[PROBE_KASAN] = { "kasan", BOTH, true, NULL, probe_kasan_version, NULL, probe_guests },
	[PROBE_KCSAN] = { "kcsan", BOTH, true, NULL, probe_kcsan_version, NULL, probe_guests },
	[PROBE_FAULTS] = { "faults", BOTH, true, NULL, probe_faults_version, NULL, probe_run },
	[PROBE_FUZZ] = { "fuzz", BOTH, true, NULL, probe_fuzz_version, NULL, probe_run },
};

/* --- what was measured before --- */

static struct safety_version ask_version(const struct safety *s, size_t probe)
{
	struct hash *h = hash_new();
	struct safety_version v = {};

	hash_puts(h, RECIPE);
	hash_puts(h, safety_probes[probe].name);
	v.why = safety_probes[probe].version(s, h);
	hash_end(h, v.hex);
	return v;
}

/* Asked once; safety_keep() looks whether it still holds. */
static const struct safety_version *version_of(struct safety *s, size_t probe)
{
	struct safety_version *v = &s->versions[probe];

	if (!*v->hex)
		*v = ask_version(s, probe);
	return v;
}

/* Somebody may have changed a tool meanwhile, or the guest's programs. */
static bool is_version_still(struct safety *s, size_t probe)
{
	struct safety_version now = ask_version(s, probe);
	bool same = !now.why && !strcmp(now.hex, version_of(s, probe)->hex);

	free(now.why);
	return same;
}

/*
 * Where a result lies: of a subject, a probe and all that its tools are. NULL where the probe cannot be used here, or
 * nothing can be kept.
 */
static char *result_path(struct safety *s, const struct subject *x, size_t probe)
{
	const struct safety_version *v = version_of(s, probe);
	struct hash *h;
	char hex[HASH_HEX];

	if (v->why || !lab_cache_dir())
		return NULL;
	h = hash_new();
	hash_puts(h, v->hex);
	hash_puts(h, x->hash);
	hash_puts(h, path_base(x->room));
	/* all that a control differs in from another of the room */
	hash_puts(h, safety_probes[probe].module && x->module ? x->module : "");
	hash_end(h, hex);
	return xasprintf("%s/safety/%.32s.json", lab_cache_dir(), hex);
}

void safety_keep(struct safety *s, const struct subject *x, size_t probe)
{
	_cleanup_free_ char *path = result_path(s, x, probe), *text = NULL;
	_cleanup_free_ char *dir = lab_cache_dir() ? xasprintf("%s/safety", lab_cache_dir()) : NULL;
	json_t *o;

	if (!path || !x->said[probe].known || !is_version_still(s, probe))
		return;
	o = said_json(&x->said[probe]);
	text = json_dumps(o, JSON_INDENT(1));
	json_decref(o);
	/* without it the same is measured again, and nothing worse happens */
	if (text && !make_dirs(dir, 0755))
		file_write(path, text, strlen(text));
}

static bool is_new(const struct safety *s, const char *path)
{
	struct stat st;

	return !s->since || (!stat(path, &st) && st.st_mtime >= s->since);
}

static void recall(struct safety *s, struct subject *x, size_t probe)
{
	_cleanup_free_ char *path = result_path(s, x, probe);
	const char *why = version_of(s, probe)->why;
	struct said *out = &x->said[probe];
	json_t *o;

	if (out->known)
		return;
	if (why && !out->unmeasured)
		out->unmeasured = xstrdup(why);
	o = path && is_new(s, path) ? json_load_file(path, 0, NULL) : NULL;
	if (o)
		said_read(o, out);
	json_decref(o);
}

/* --- kernels --- */

static enum lab_exit get_kernel(const char *spec, bool rust, struct kernel *k, char **why)
{
	bool before = lab_options.rust;
	enum lab_exit ret;

	lab_options.rust = rust;
	lab_keep_failure(why);
	ret = kernel_get(spec, false, k);
	lab_keep_failure(NULL);
	lab_options.rust = before;
	if (ret) {
		if (!*why)
			*why = xasprintf("there is no kernel %s here", spec ?: "");
		kernel_free(k);
		*k = (struct kernel){};
	}
	return ret == LAB_INTERRUPTED || ret == LAB_USAGE ? ret : LAB_OK;
}

static bool wants_rust(const struct safety *s)
{
	for (size_t i = 0; i < s->bugs.n; i++)
		if (s->bugs.v[i].language == SAFETY_RUST)
			return true;
	return false;
}

static bool wants_probe(const struct safety *s, size_t probe)
{
	for (size_t i = 0; i < safety_n_columns; i++)
		if (safety_columns[i].probes & (1u << probe) && safety_wants(s, &safety_columns[i]))
			return true;
	return false;
}

static enum lab_exit get_kernels(struct safety *s)
{
	bool kasan = wants_probe(s, PROBE_KASAN) || wants_probe(s, PROBE_FAULTS) ||
		     wants_probe(s, PROBE_FUZZ);
	bool rust = wants_rust(s);
	enum lab_exit ret;

	/* the checkers of this machine read what its default kernel was made of */
	ret = kernel_get(NULL, false, &s->host);
	if (!ret && rust)
		ret = get_kernel(s->stock_spec, true, &s->stock, &s->no_rust);
	if (!ret && !s->stock.name)
		ret = kernel_get(s->stock_spec, false, &s->stock);
	if (!ret && kasan)
		ret = get_kernel(s->kasan_spec ?: "debug:kasan", rust, &s->kasan, &s->no_kasan);
	if (!ret && wants_probe(s, PROBE_KCSAN))
		ret = get_kernel(s->kcsan_spec ?: "debug:kcsan", rust, &s->kcsan, &s->no_kcsan);
	return ret;
}

/* --- subjects --- */

static enum lab_exit open_subject(struct safety *s, struct subject *x, const char *name)
{
	struct hash *h;
	enum lab_exit ret;
	int err;

	x->dir = xasprintf("%s/%s/%s", s->tmp, name, path_base(x->room));
	x->said = xcalloc(PROBES, sizeof(*x->said));
	ret = safety_room(x->bug, x->room, &s->bugs, x->dir);
	if (!ret)
		ret = driver_open(x->dir, &x->d);
	if (ret)
		return ret;
	h = hash_new();
	err = hash_add_tree(h, x->dir, driver_skip_name);
	hash_end(h, x->hash);
	return err ? lab_fail(LAB_CANNOT, NULL, "cannot read %s: %s", x->dir, strerror(-err)) :
		     LAB_OK;
}

static void subject_free(struct subject *x)
{
	for (size_t p = 0; x->said && p < PROBES; p++)
		said_free(&x->said[p]);
	free(x->said);
	free(x->dir);
	free(x->module);
	driver_free(&x->d);
}

static struct subject *add_subject(struct safety *s)
{
	return &s->v[s->n++];
}

static bool is_rust_module(const struct subject *x, const char *name)
{
	struct source src;
	bool rust = source_read(&x->d, name, &src) && src.rust;

	source_free(&src);
	return rust;
}

static const struct module *module_named(const struct built *b, const char *name)
{
	for (size_t i = 0; i < b->n; i++)
		if (!strcmp(b->modules[i].name, name))
			return &b->modules[i];
	return NULL;
}

/* How early the patch names it: 0 is the first; all the same where it names none, more where it names others. */
static size_t rank_of(const struct safety_bug *b, const char *name)
{
	struct strv names = {};
	size_t rank = 0;

	if (b->module)
		strv_split(&names, b->module, " ,");
	while (rank < names.n && strcmp(names.v[rank], name))
		rank++;
	if (names.n && rank == names.n)
		rank = SIZE_MAX;
	strv_free(&names);
	return rank;
}

/*
 * Of the modules that the patch has changed, the first that it names; where it names none, the one with the most
 * code: that has the most of the room in it.
 */
static char *module_of(const struct subject *x, const struct built *with,
		       const struct built *without)
{
	const struct module *best = NULL;
	size_t most = 0, first = SIZE_MAX;

	for (size_t i = 0; i < with->n; i++) {
		const struct module *m = &with->modules[i];
		const struct module *old = module_named(without, m->name);
		size_t rank = rank_of(x->bug, m->name);
		struct elf_sizes size = {};

		if ((old && !strcmp(old->sha256, m->sha256)) || rank == SIZE_MAX ||
		    is_rust_module(x, m->name) != (x->bug->language == SAFETY_RUST))
			continue;
		elf_module_sizes(m->ko, &size);
		if (best && (rank > first || (rank == first && size.text <= most)))
			continue;
		best = m;
		most = size.text;
		first = rank;
	}
	return best ? xstrdup(best->name) : NULL;
}

enum lab_exit safety_build(const struct subject *x, const struct kernel *k, struct buf *said,
			   struct built *b)
{
	bool before = lab_options.rust;
	enum lab_exit ret;

	lab_options.rust = k->rust;
	build_keep_messages(said);
	ret = build_driver(&x->d, k, b);
	build_keep_messages(NULL);
	lab_options.rust = before;
	return ret;
}

/* The room without a bug: what it becomes is what a bug changes. One that does not build is no control. */
static enum lab_exit open_room(struct safety *s, struct subject *x, struct built *b)
{
	_cleanup_free_ char *name = xasprintf("without-%zu", s->n);
	struct buf said = {};
	enum lab_exit ret = open_subject(s, x, name);

	if (!ret)
		ret = safety_build(x, &s->stock, &said, b);
	if (ret == LAB_FAILED)
		lab_fail(ret, NULL, "%s does not compile without any bug in it:\n%s", x->room,
			 said.s ?: "");
	buf_free(&said);
	return ret;
}

/* The build is a probe, and tells the module. */
static enum lab_exit find_module(struct safety *s, struct subject *x, const struct built *without)
{
	struct built b = {};
	struct buf said = {};
	enum lab_exit ret;

	if (x->said[PROBE_BUILD].no_build || (x->bug->language == SAFETY_RUST && !s->stock.rust))
		return LAB_OK;
	ret = safety_build(x, &s->stock, &said, &b);
	if (!x->said[PROBE_BUILD].known && (!ret || ret == LAB_FAILED)) {
		safety_read_build(x, said.s ?: "", ret, &x->said[PROBE_BUILD]);
		safety_keep(s, x, PROBE_BUILD);
	}
	if (!ret) {
		x->module = module_of(x, &b, without);
		if (!x->module)
			ret = lab_fail(LAB_FAILED, "make its patch change the code",
				       "%s changes no module in %s", x->bug->path,
				       safety_language_name(x->bug->language));
	} else if (ret == LAB_FAILED) {
		ret = LAB_OK;
	}
	built_free(&b);
	buf_free(&said);
	return ret;
}

static const struct subject *find_control(const struct safety *s, const struct subject *x)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct subject *c = &s->v[i];

		if (!c->bug && !strcmp(c->room, x->room) && c->language == x->language &&
		    !strcmp(c->module ?: "", x->module ?: ""))
			return c;
	}
	return NULL;
}

/* A control for each module that a bug of the room shows in. */
static enum lab_exit add_control(struct safety *s, struct subject *x)
{
	_cleanup_free_ char *name = xasprintf("control-%zu", s->n);
	struct subject *c;

	x->control = find_control(s, x);
	if (x->control)
		return LAB_OK;
	c = add_subject(s);
	*c = (struct subject){ .room = x->room, .language = x->language };
	c->module = x->module ? xstrdup(x->module) : NULL;
	x->control = c;
	return open_subject(s, c, name);
}

static enum lab_exit add_room(struct safety *s, const char *room)
{
	struct subject **list = xcalloc(s->bugs.n, sizeof(*list));
	struct subject without = { .room = room };
	struct built b = {};
	enum lab_exit ret = open_room(s, &without, &b);
	size_t n = 0;

	for (size_t i = 0; i < s->bugs.n && !ret; i++) {
		const struct safety_bug *bug = &s->bugs.v[i];
		_cleanup_free_ char *name = xasprintf("%s-%s.%s", bug->number, bug->slug,
						      bug->language == SAFETY_C ? "c" : "rs");
		struct subject *x;

		if (strcmp(bug->room, room) || lab_interrupted())
			continue;
		x = add_subject(s);
		*x = (struct subject){ .bug = bug, .room = room, .language = bug->language };
		ret = open_subject(s, x, name);
		if (!ret)
			recall(s, x, PROBE_BUILD);
		list[n++] = x;
	}
	if (!ret)
		ret = safety_build_ahead(&s->stock, list, n);
	for (size_t i = 0; i < n && !ret; i++) {
		ret = find_module(s, list[i], &b);
		if (!ret)
			ret = add_control(s, list[i]);
		if (lab_interrupted())
			ret = LAB_INTERRUPTED;
	}
	free(list);
	built_free(&b);
	subject_free(&without);
	return lab_interrupted() ? LAB_INTERRUPTED : ret;
}

/* By number and language again, after the rooms' order. */
static void sort_subjects(struct safety *s)
{
	struct subject **controls = xcalloc(s->n, sizeof(*controls));
	struct subject *v = xcalloc(s->n, sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i].bug)
			continue;
		v[n] = s->v[i];
		controls[i] = &v[n++];
	}
	for (size_t b = 0; b < s->bugs.n; b++) {
		for (size_t i = 0; i < s->n; i++) {
			if (s->v[i].bug != &s->bugs.v[b])
				continue;
			v[n] = s->v[i];
			if (v[n].control)
				v[n].control = controls[v[n].control - s->v];
			n++;
		}
	}
	free(controls);
	free(s->v);
	s->v = v;
	s->n = n;
}

static bool is_first_of_room(const struct safety *s, size_t bug)
{
	for (size_t i = 0; i < bug; i++)
		if (!strcmp(s->bugs.v[i].room, s->bugs.v[bug].room))
			return false;
	return true;
}

enum lab_exit safety_prepare(struct safety *s)
{
	enum lab_exit ret;

	s->tmp = temp_dir(NULL);
	if (!s->tmp)
		return LAB_CANNOT;
	ret = get_kernels(s);
	s->v = xcalloc(2 * s->bugs.n, sizeof(*s->v));
	for (size_t i = 0; i < s->bugs.n && !ret; i++)
		if (is_first_of_room(s, i))
			ret = add_room(s, s->bugs.v[i].room);
	lab_stage_done(NULL);
	sort_subjects(s);
	return ret;
}

/* --- running --- */

/* Whether it is to be run; where it cannot be, the reason is set. */
static bool needs(const struct safety *s, struct subject *x, size_t probe)
{
	const struct safety_probe *p = &safety_probes[probe];
	struct said *said = &x->said[probe];

	if (!(p->languages & (1u << x->language)) || said->known)
		return false;
	if (x->language == SAFETY_RUST && !s->stock.rust && !said->unmeasured)
		said->unmeasured = xstrdup(s->no_rust ?: "there is no toolchain for Rust here");
	return !said->unmeasured && (x->module || !p->module);
}

static enum lab_exit run_probe(struct safety *s, size_t probe)
{
	const struct safety_probe *p = &safety_probes[probe];
	struct subject **list = xcalloc(s->n + 1, sizeof(*list));
	enum lab_exit ret = LAB_OK;
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct subject *x = &s->v[i];

		recall(s, x, probe);
		if (needs(s, x, probe))
			list[n++] = x;
	}
	if (n)
		lab_progress(p->name, "%zu of %zu to do", n, s->n);
	if (n && p->run_all)
		ret = p->run_all(s, probe, list, n);
	for (size_t i = 0; i < n && !p->run_all && !ret; i++) {
		struct said *out = &list[i]->said[probe];

		/* another of the room without a bug may have brought it */
		recall(s, list[i], probe);
		if (out->known)
			continue;
		lab_stage(p->name, "%zu of %zu: %s %s", i + 1, n, path_base(list[i]->room),
			  list[i]->bug ? list[i]->bug->slug : "without a bug");
		ret = p->run(s, list[i], out);
		if (!ret && out->known)
			safety_keep(s, list[i], probe);
		if (lab_interrupted())
			ret = LAB_INTERRUPTED;
	}
	lab_stage_done(NULL);
	free(list);
	return ret;
}

enum lab_exit safety_run(struct safety *s)
{
	enum lab_exit ret = LAB_OK;

	for (size_t p = 0; p < PROBES && !ret; p++)
		if (p == PROBE_BUILD || wants_probe(s, p))
			ret = run_probe(s, p);
	return ret;
}

void safety_free(struct safety *s)
{
	for (size_t i = 0; i < s->n; i++)
		subject_free(&s->v[i]);
	free(s->v);
	kernel_free(&s->stock);
	kernel_free(&s->host);
	kernel_free(&s->kasan);
	kernel_free(&s->kcsan);
	free(s->no_rust);
	free(s->no_kasan);
	free(s->no_kcsan);
	for (size_t p = 0; p < PROBES; p++)
		free(s->versions[p].why);
	strv_free(&s->columns);
	if (s->tmp)
		temp_dir_done(s->tmp);
	safety_bugs_free(&s->bugs);
	*s = (struct safety){};
}
