// SPDX-License-Identifier: GPL-2.0
/* cdevlab compare: two modules beside each other. */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "compare.h"
#include "results.h"
#include "vm.h"

static const char help[] =
	"usage: cdevlab compare [OPTION]... A B\n"
	"       cdevlab compare [OPTION]... A -k KERNEL -k KERNEL\n"
	"       cdevlab compare --asm [--function F] A [B]\n"
	"Two modules beside each other, built by one toolchain for one kernel; or one module on two kernels.\n"
	"Each operation's instructions by the exact clock, measured in both orders; sizes, stack, hardening,\n"
	"sources and tests. A and B are modules (vgpio_wq), ROOM/MODULE, DIR/MODULE, or a DIR of one module.\n"
	"A module in Rust implies --rust.\n\n"
	"      --asm                the code of matching functions side by side; boots nothing\n"
	"      --function F         only that function: init, exit, ioctl, read, ..., or its name\n"
	"      --no-test            do not run the tests\n"
	"      --clock wall         time and not instructions: A, B and A again in turn, in blocks, until the interval\n"
	"                           of the ratio is narrow enough\n"
	"      --margin M           so narrow: half its width, per cent (default 1)\n"
	"      --confidence C       per cent (default 99)\n"
	"      --budget TIME        and no longer than that (default 60s)\n"
	"      --op NAME            only that operation; may be repeated\n"
	"      --tasks N            with so many processes at once as well: each with its own open, and all on one\n"
	"      --rate R             so many calls a second as well, and how late each was: p50, p99, p99.9, the latest\n"
	"      --count N            until each was called so often, 1e9 say; what is measured is kept as it comes\n"
	"      --resume             goes on where a run of --count was interrupted\n"
	"      --seed N             of the order (default: another one each time)\n"
	"      --meter METER        energy as well: auto, a meter of cdevlab meter list, or file:RECORDING\n"
	"      --no-split           do not find out how user space, module and kernel share the instructions\n"
	"      --json               everything as JSON on standard output\n";

/* struct side - A or B, as it was asked for */
struct side {
	const char *spec;
	struct driver driver;
	char *module; /* or NULL: the only one of its room */
	bool rust;
	size_t room, kernel; /* indexes of the run */
};

static bool room_has(const struct driver *d, const char *module, struct side *s)
{
	struct source source;
	bool has = source_read(d, module, &source);

	if (has && s)
		s->rust = source.rust;
	source_free(&source);
	return has;
}

/* A name without a slash: a module of one of our rooms. The room of its own name comes first. */
static enum lab_exit find_module(struct side *s)
{
	struct strv rooms = {};
	bool found = false;
	enum lab_exit ret = driver_names(&rooms);

	for (size_t pass = 0; pass < 2 && !ret && !found; pass++)
		for (size_t i = 0; i < rooms.n && !ret && !found; i++) {
			if ((pass == 0) != !strcmp(rooms.v[i], s->spec))
				continue;
			ret = driver_open(rooms.v[i], &s->driver);
			found = !ret && room_has(&s->driver, s->spec, s);
			if (!found)
				driver_free(&s->driver);
		}
	if (!ret && found)
		s->module = xstrdup(s->spec);
	/* a room, or a directory; of several modules, the build will tell */
	else if (!ret)
		ret = driver_open(s->spec, &s->driver);
	strv_free(&rooms);
	return ret;
}

static enum lab_exit find_side(struct side *s)
{
	const char *slash = strrchr(s->spec, '/');
	_cleanup_free_ char *kbuild = xasprintf("%s/Kbuild", s->spec);
	_cleanup_free_ char *makefile = xasprintf("%s/Makefile", s->spec);
	_cleanup_free_ char *room = NULL;
	enum lab_exit ret;

	if (!slash)
		return find_module(s);
	if (file_exists(kbuild) || file_exists(makefile))
		return driver_open(s->spec, &s->driver);
	room = xstrndup(s->spec, slash - s->spec);
	ret = driver_open(*room ? room : "/", &s->driver);
	if (!ret) {
		s->module = xstrdup(slash + 1);
		room_has(&s->driver, s->module, s);
	}
	return ret;
}

/* --- what is compared --- */

/* struct comparison - a run of the command */
struct comparison {
	struct side sides[2];
	size_t n_sides; /* as named */
	struct test_run t;
	struct strv modules;
	struct compare c;
	struct test_run *runs; /* one a bench: its tree */
	struct wall wall;
};

static enum lab_exit read_sides(struct comparison *x, const struct args *a)
{
	enum lab_exit ret = LAB_OK;

	if (!a->rest.n || a->rest.n > 2)
		return lab_fail(LAB_USAGE, "see --help", "compare takes two modules, not %zu",
				a->rest.n);
	if (a->rest.n + a->kernels.n > 3 || (a->rest.n == 1 && a->kernels.n != 2 && !a->assembly))
		return lab_fail(LAB_USAGE, "name two modules and at most one -k, or one and two -k",
				"two modules are compared on one kernel, or one on two");
	x->n_sides = a->rest.n;
	for (size_t i = 0; i < 2 && !ret; i++) {
		x->sides[i].spec = a->rest.v[i < a->rest.n ? i : 0];
		ret = find_side(&x->sides[i]);
		lab_options.rust |= x->sides[i].rust;
	}
	return ret;
}

/* The rooms, each once, and the kernels. */
static void plan(struct comparison *x, struct args *a)
{
	for (size_t i = 0; i < 2; i++) {
		struct side *s = &x->sides[i];

		if (!strv_has(&x->t.drivers, s->driver.dir))
			strv_add(&x->t.drivers, s->driver.dir);
		while (strcmp(x->t.drivers.v[s->room], s->driver.dir))
			s->room++;
	}
	x->t.kernels = a->kernels;
	a->kernels = (struct strv){};
}

static const struct built *built_of(const struct comparison *x, const struct side *s)
{
	return &x->t.built[s->kernel * x->t.n_drivers + s->room];
}

/* The module that was meant, now that it is known what the room has. */
static enum lab_exit pick_module(struct comparison *x, struct side *s, const struct module **m)
{
	const struct built *b = built_of(x, s);
	struct buf names = {};

	*m = NULL;
	for (size_t i = 0; i < b->n; i++) {
		if (s->module ? !strcmp(b->modules[i].name, s->module) : b->n == 1)
			*m = &b->modules[i];
		buf_printf(&names, "%s%s", i ? ", " : "it has ", b->modules[i].name);
	}
	if (!*m && !s->module)
		lab_fail(LAB_USAGE, names.s ?: "", "%s has several modules: name one", s->spec);
	else if (!*m)
		lab_fail(LAB_USAGE, names.s ?: "", "%s has no module %s on %s", s->driver.name,
			 s->module, x->t.k[s->kernel].name);
	buf_free(&names);
	return *m ? LAB_OK : LAB_USAGE;
}

static enum lab_exit prepare(struct comparison *x)
{
	enum lab_exit ret = test_prepare(&x->t);

	for (size_t i = 0; i < x->t.n_kernels * x->t.n_drivers && !ret; i++)
		if (!x->t.built[i].n) {
			ktap_settle(x->t.root);
			ktap_print(stderr, x->t.root);
			return LAB_FAILED;
		}
	if (!ret && x->n_sides == 1 && x->t.n_kernels > 1)
		x->sides[1].kernel = 1;
	for (size_t i = 0; i < 2 && !ret; i++) {
		struct side *s = &x->sides[i];
		const struct module *m;

		ret = pick_module(x, s, &m);
		if (ret)
			break;
		if (!strv_has(&x->modules, m->name))
			strv_add(&x->modules, m->name);
		object_facts_read(&x->t.k[s->kernel], built_of(x, s), m, &x->c.o[i]);
	}
	return ret;
}

/* --- measuring --- */

static void set_member(const struct comparison *x, int side, struct bench_set *set)
{
	const struct object_facts *o = &x->c.o[side];

	set->kernel = o->kernel;
	set->members[set->n++] = (struct bench_member){ o->built, o->module };
}

/*
 * In one guest where they can be in one, A before B and then, in a second boot, B before A. Else each of them in a
 * guest of its own, twice.
 */
static enum lab_exit measure(struct comparison *x, bool trace)
{
	static const char *const labels[] = { "A before B", "B before A" };
	struct compare *c = &x->c;
	struct bench_set sets[4] = {};
	enum lab_exit ret;
	size_t n = 0;

	c->same_guest = c->o[0].kernel == c->o[1].kernel &&
			strcmp(c->o[0].module->name, c->o[1].module->name);
	c->benches = xcalloc(4, sizeof(*c->benches));
	x->runs = xcalloc(4, sizeof(*x->runs));
	for (int order = 0; order < 2; order++)
		for (int at = 0; at < 2; at++) {
			int side = order ? !at : at;

			if (at == 0 || !c->same_guest)
				sets[n++].label = labels[order];
			set_member(x, side, &sets[n - 1]);
			c->bench[order][side] = &c->benches[n - 1];
		}
	c->n_benches = n;
	for (size_t i = 0; i < n; i++) {
		x->runs[i].root = ktap_new(NULL, sets[i].label);
		c->benches[i] = (struct bench){ .run = &x->runs[i], .trace = trace };
	}
	ret = bench_boot_sets(c->benches, sets, n);
	c->exact = !ret;
	return ret == LAB_SKIPPED ? LAB_OK : ret;
}

static enum lab_exit measure_time(struct comparison *x, const struct args *a)
{
	wall_init(&x->wall, a);
	x->c.wall = &x->wall;
	return wall_boot(&x->wall, x->c.o, &x->t);
}

/* What went wrong in the guests of the exact clock, and integers that are not the same in both orders. */
static void judge(struct comparison *x)
{
	struct compare *c = &x->c;
	struct ktap *node;
	size_t n;
	struct compare_op *ops = compare_ops(c, &n);

	c->agree = true;
	for (size_t i = 0; i < c->n_benches; i++) {
		struct test_run *r = &x->runs[i];

		x->t.crashed |= r->crashed;
		x->t.timed_out |= r->timed_out;
		if (!r->root->n)
			continue;
		node = ktap_new(x->t.root, r->root->name);
		ktap_move(node, r->root);
	}
	node = n ? ktap_new(x->t.root, "both orders") : NULL;
	for (size_t i = 0; i < n; i++) {
		const struct compare_op *op = &ops[i];

		for (int side = 0; side < 2; side++) {
			const struct bench_op *p = op->of[0][side], *q = op->of[1][side];
			struct ktap *t;

			if (op->agree || !p || !q)
				continue;
			t = ktap_new(node, p->name);
			ktap_set(t, KTAP_FAIL,
				 "%s: %ld instructions (module %.0f) first, %ld (%.0f) then",
				 c->o[side].module->name, p->instructions, p->in_module,
				 q->instructions, q->in_module);
		}
		if (op->agree)
			ktap_set(ktap_new(node, (op->of[0][0] ?: op->of[0][1])->name), KTAP_PASS,
				 NULL);
		else if (!op->of[0][0] != !op->of[1][0] || !op->of[0][1] != !op->of[1][1])
			ktap_set(ktap_new(node, "an operation"), KTAP_FAIL,
				 "it was measured in one order only");
		c->agree &= op->agree;
	}
	free(ops);
	ktap_settle(x->t.root);
}

static const struct ktap *tests_of(const struct comparison *x, int side)
{
	const struct object_facts *o = &x->c.o[side];
	_cleanup_free_ char *kernel = xasprintf("%s %s", o->kernel->name, o->kernel->release);
	const struct ktap *t = ktap_child(x->t.root, kernel);

	t = t ? ktap_child(t, o->built->driver->name) : NULL;
	t = t ? ktap_child(t, o->module->name) : NULL;
	return t && t->n ? t : NULL;
}

/* --- results --- */

static json_t *record(const struct comparison *x, char **argv, double seconds)
{
	_cleanup_free_ char *command = shell_join(argv), *now = utc_now();
	_cleanup_free_ char *qemu = vm_qemu_version(x->c.o[0].kernel->arch);
	json_t *j = compare_json(&x->c);

	json_object_update(j, json_pack("{s:s, s:i, s:s, s:s, s:s, s:f, s:i, s:s?}", "kind",
					"compare", "version", 1, "cdevlab", CDEVLAB_VERSION,
					"command", command, "ended", now, "seconds", seconds,
					"exit", (int)test_exit(&x->t), "qemu", qemu));
	json_object_set_new(j, "tests", ktap_json(x->t.root));
	return j;
}

static enum lab_exit write_results(struct results *r, const struct comparison *x, json_t *j)
{
	FILE *f = results_open(r, "compare.txt");
	enum lab_exit ret;

	if (f)
		compare_print(f, &x->c);
	ret = results_close(r, "compare.txt", f);
	return ret ? ret : results_commit(r, "compare.json", j);
}

static enum lab_exit run_all(struct comparison *x, struct args *a, char **argv)
{
	double start = now_s();
	struct results r = {};
	enum lab_exit ret = LAB_OK, shown = LAB_OK;
	json_t *j = NULL;

	if (!lab_options.dry_run) {
		ret = results_begin(&r, a->out_dir);
		x->t.log_dir = r.logs;
		x->t.log_shown = r.logs_shown;
	}
	x->t.modules = &x->modules;
	if (!ret && !a->no_test)
		ret = test_boot(&x->t);
	if (!ret)
		ret = a->clock && !strcmp(a->clock, "wall") ? measure_time(x, a) :
							      measure(x, a->trace);
	if (!ret && !lab_options.dry_run) {
		judge(x);
		for (int side = 0; side < 2; side++)
			x->c.tests[side] = a->no_test ? NULL : tests_of(x, side);
		j = record(x, argv, now_s() - start);
		ret = write_results(&r, x, j);
		if (a->json)
			shown = results_write_json("-", json_incref(j));
		else
			compare_print(stdout, &x->c);
		if (!ret)
			results_tell(a->json ? stderr : stdout, &r, now_s() - start);
		if (test_exit(&x->t))
			ktap_print(stderr, x->t.root);
		ret = ret ?: shown ?: test_exit(&x->t);
		/* objects were compared even where nothing could be measured */
		if (ret == LAB_SKIPPED)
			ret = LAB_OK;
	}
	json_decref(j);
	results_abandon(&r);
	return ret;
}

/* --- machine code --- */

static enum lab_exit show_code(struct comparison *x, const struct args *a)
{
	const struct object_facts *o = x->c.o;
	bool two = x->n_sides == 2 || x->t.n_kernels == 2;
	json_t *pairs;

	for (int side = 0; side < 2; side++)
		if (o[side].code_error)
			return lab_fail(LAB_CANNOT, "amd64 and arm64 can be disassembled",
					"the machine code of %s cannot be read: %s",
					o[side].module->ko, strerror(-o[side].code_error));
	if (a->json) {
		pairs = compare_pairs_json(&o[0], two ? &o[1] : NULL, a->function, true);
		return results_write_json(
			"-", json_pack("{s:s, s:i, s:o, s:o, s:o, s:o}", "kind", "asm", "version",
				       1, "a", compare_facts_json(&o[0]), "b",
				       two ? compare_facts_json(&o[1]) : json_null(), "asm", pairs,
				       "unmatched",
				       two ? compare_unmatched_json(&o[0], &o[1]) : json_null()));
	}
	for (int side = 0; side < 1 + two; side++)
		printf("%c  %s, %s, on %s\n   %s\n", 'A' + side, o[side].module->name,
		       object_language(&o[side]), o[side].kernel->name, o[side].built->compiler);
	if (!compare_print_asm(stdout, &o[0], two ? &o[1] : NULL, a->function))
		return lab_fail(LAB_USAGE, "without --function all functions are shown",
				"there is no function \"%s\"", a->function ?: "");
	return LAB_OK;
}

static void free_comparison(struct comparison *x)
{
	for (int i = 0; i < 2; i++) {
		object_facts_free(&x->c.o[i]);
		driver_free(&x->sides[i].driver);
		free(x->sides[i].module);
	}
	for (size_t i = 0; i < x->c.n_benches; i++) {
		bench_free(&x->c.benches[i]);
		ktap_free(x->runs[i].root);
	}
	free(x->c.benches);
	free(x->runs);
	wall_free(&x->wall);
	strv_free(&x->modules);
	test_run_free(&x->t);
}

int cmd_compare(int argc, char **argv)
{
	struct comparison x = {};
	enum lab_exit ret;
	struct args a;
	int parsed =
		args_parse(argc, argv,
			   ARG_JSON_FLAG | ARG_OUTPUT | ARG_RUST | ARG_COMPARE | ARG_WALL | ARG_ON,
			   help, &a);

	if (parsed)
		return parsed < 0 ? LAB_OK : parsed;
	ret = read_sides(&x, &a);
	if (!ret) {
		plan(&x, &a);
		ret = prepare(&x);
	}
	if (!ret)
		ret = a.assembly ? show_code(&x, &a) : run_all(&x, &a, argv);
	free_comparison(&x);
	args_free(&a);
	return ret;
}
