// SPDX-License-Identifier: GPL-2.0
/* The wall clock: commands of a room, run in an ordinary guest with all its modules loaded. */
#include <stdlib.h>
#include <string.h>

#include "../guest/protocol.h"
#include "bench.h"

#define LOAD_TIMEOUT_S 30
#define WALL_TIMEOUT_S 600 /* of a command: it measures time, under emulation too */

/* struct wall_guest - a boot of one room on one kernel; its commands are walls[first ..] of the bench */
struct wall_guest {
	struct boot boot; /* first: vm.ctx is the boot */
	const struct kernel *kernel;
	const struct built *built;
	size_t first, n;
	const char *home; /* the module that the commands run for */
};

/* --- what a command says --- */

static char *parse_line(struct bench_wall *w, const char *line)
{
	json_error_t error;
	json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, &error);
	struct record r;
	char *problem = o ? record_read(o, &r) : xstrdup("it is no JSON");

	json_decref(o);
	for (size_t i = 0; i < w->n && !problem; i++)
		if (record_same_place(&w->records[i], &r)) {
			record_free(&r);
			problem = xstrdup(RECORD_TWICE);
		}
	if (problem)
		return problem;
	w->records = xrealloc(w->records, w->n + 1, sizeof(*w->records));
	w->records[w->n++] = r;
	return NULL;
}

static void drop_records(struct bench_wall *w)
{
	for (size_t i = 0; i < w->n; i++)
		record_free(&w->records[i]);
	w->n = 0;
}

void bench_wall_parse(struct bench_wall *w, const char *out)
{
	struct strv lines = {};

	strv_split(&lines, out, "\n");
	for (size_t i = 0; i < lines.n && !w->failure; i++) {
		const char *line = lines.v[i] + strspn(lines.v[i], " \t\r");
		_cleanup_free_ char *problem = NULL;

		if (!*line || *line == '#')
			continue;
		problem = parse_line(w, line);
		if (problem)
			w->failure =
				xasprintf("a line that is no record, %s: %.80s", problem, line);
	}
	if (!w->failure && !w->n)
		w->failure = xstrdup("it printed no record");
	if (w->failure)
		drop_records(w);
	strv_free(&lines);
}

static const char *guest_end(const struct vm *vm)
{
	return vm->why ?: vm_end_name(vm->end);
}

/* Why nothing that ran after loading the modules counts, or NULL. */
static char *load_failure(const struct wall_guest *g)
{
	for (size_t i = 0; i < g->boot.n; i++) {
		const struct job *j = &g->boot.jobs[i];
		_cleanup_free_ char *words = NULL;

		if (strcmp(strchr(j->name, '/') + 1, "load") ||
		    (j->ended && !strcmp(j->status, "0")))
			continue;
		if (!j->ended)
			return xasprintf("the guest ended before %s was loaded: %s", j->module,
					 guest_end(&g->boot.vm));
		words = job_last_words(j);
		return xasprintf("%s cannot be loaded: %s", j->module, words);
	}
	return NULL;
}

static char *command_failure(const struct wall_guest *g, const struct job *j)
{
	_cleanup_free_ char *words = NULL;

	if (!j->ended)
		return xasprintf("the guest ended%s: %s", j->begun ? " while it ran" : "",
				 guest_end(&g->boot.vm));
	if (!strcmp(j->status, "timeout"))
		return xasprintf("no end after %d s", j->timeout_s);
	if (!strcmp(j->status, "0"))
		return NULL;
	words = job_last_words(j);
	if (j->status[0] == '-')
		return xasprintf("killed by signal %s: %s", j->status + 1, words);
	return xasprintf("exit status %s: %s", j->status, words);
}

/* --- guests --- */

static struct ktap *child(struct ktap *t, const char *name)
{
	return ktap_child(t, name) ?: ktap_new(t, name);
}

static void read_command(struct bench *b, const struct wall_guest *g, size_t i)
{
	_cleanup_free_ char *job = xasprintf("wall-%zu", i + 1);
	_cleanup_free_ char *title = NULL;
	struct bench_wall *w = &b->walls[g->first + i];
	struct job *j = boot_find_job(&g->boot, g->home, job);
	struct ktap *t;

	title = xasprintf("%s on %s", w->command, g->kernel->name);
	t = ktap_new(child(b->run->root, "wall clock"), title);
	t->ms = j->ms;
	w->accel = g->boot.vm.accel ? xstrdup(g->boot.vm.accel) : NULL;
	w->failure = load_failure(g) ?: command_failure(g, j);
	if (!w->failure)
		bench_wall_parse(w, j->out.s ?: "");
	if (!w->failure)
		ktap_set(t, KTAP_PASS, NULL);
	else if (j->ended)
		ktap_set(t, strcmp(j->status, "timeout") ? KTAP_FAIL : KTAP_TIMEOUT, "%s",
			 w->failure);
	else
		ktap_set(t, g->boot.vm.end == VM_HANG ? KTAP_TIMEOUT : KTAP_CRASHED, "%s",
			 w->failure);
}

static enum lab_exit read_guest(struct bench *b, const struct wall_guest *g)
{
	if (g->boot.vm.end == VM_QEMU_FAILED)
		return lab_fail(LAB_CANNOT, "run it again; -v shows its command line",
				"QEMU ended on its own (%s): %s", g->boot.vm.label,
				g->boot.vm.why ?: "no message");
	for (size_t i = 0; i < g->n; i++)
		read_command(b, g, i);
	b->run->crashed |= g->boot.vm.end == VM_PANIC || g->boot.vm.end == VM_LOST;
	b->run->timed_out |= g->boot.vm.end == VM_HANG;
	return LAB_OK;
}

/* What a module needs stands before it, each once. */
static void load_order(const struct built *built, struct strv *order)
{
	for (size_t m = 0; m < built->n; m++) {
		const struct module *mod = &built->modules[m];

		for (size_t i = 0; i <= mod->needs.n; i++) {
			const char *name = i < mod->needs.n ? mod->needs.v[i] : mod->name;

			if (!strv_has(order, name))
				strv_add(order, name);
		}
	}
}

static enum lab_exit fill_guest(struct bench *b, const struct kernel *k, const struct built *built,
				struct wall_guest *g)
{
	const struct driver *d = built->driver;
	enum lab_exit ret = boot_init(&g->boot, k);
	struct strv order = {};
	struct job *j;

	g->kernel = k;
	g->built = built;
	g->first = b->n_walls;
	g->n = d->walls.n;
	g->boot.vm.label = xasprintf("%s on %s (wall clock)", d->name, k->name);
	if (!g->boot.vm.timeout_s)
		g->boot.vm.timeout_s = 120 + WALL_TIMEOUT_S * d->walls.n;
	b->walls = xrealloc(b->walls, b->n_walls + g->n, sizeof(*b->walls));
	for (size_t i = 0; i < g->n; i++)
		b->walls[b->n_walls++] = (struct bench_wall){
			.kernel = k,
			.built = built,
			.command = d->walls.v[i],
		};
	if (ret)
		return ret;
	load_order(built, &order);
	for (size_t m = 0; m < built->n; m++) {
		boot_add_module(&g->boot, built, &built->modules[m]);
		if (order.n && !strcmp(built->modules[m].name, order.v[0]))
			g->home = built->modules[m].name;
	}
	for (size_t i = 0; i < order.n; i++) {
		j = boot_add_job(&g->boot, order.v[i], "load", LOAD_TIMEOUT_S);
		strv_add(&j->argv, "insmod");
		strv_addf(&j->argv, MODULES_DIR "/%s.ko", order.v[i]);
		if (d->params)
			strv_split(&j->argv, d->params, " ");
	}
	for (size_t i = 0; i < g->n; i++) {
		_cleanup_free_ char *name = xasprintf("wall-%zu", i + 1);

		j = boot_add_job(&g->boot, g->home, name, WALL_TIMEOUT_S);
		strv_split(&j->argv, d->walls.v[i], " \t");
	}
	strv_free(&order);
	return LAB_OK;
}

enum lab_exit bench_wall_boot(struct bench *b)
{
	struct test_run *t = b->run;
	struct wall_guest *guests = xcalloc(t->n_kernels * t->n_drivers, sizeof(*guests));
	struct boot **boots = xcalloc(t->n_kernels * t->n_drivers, sizeof(*boots));
	enum lab_exit ret = LAB_OK;
	size_t n = 0;

	for (size_t k = 0; k < t->n_kernels && !ret; k++) {
		for (size_t i = 0; i < t->n_drivers && !ret; i++) {
			const struct built *built = &t->built[k * t->n_drivers + i];

			if (!built->n || !built->driver->walls.n)
				continue;
			ret = fill_guest(b, &t->k[k], built, &guests[n]);
			boots[n] = &guests[n].boot;
			n++;
		}
	}
	b->wall_ran = n;
	if (!ret && n) {
		lab_stage("bench", "%zu guest%s by the wall clock", n, n == 1 ? "" : "s");
		/* one after another: beside each other they would measure each other */
		ret = boot_run(boots, n, 1);
		lab_stage_done(NULL);
	}
	for (size_t i = 0; i < n; i++) {
		if (!ret && !lab_options.dry_run)
			ret = read_guest(b, &guests[i]);
		free((char *)guests[i].boot.vm.label);
		boot_free(&guests[i].boot);
	}
	free(guests);
	free(boots);
	ktap_settle(t->root);
	return ret ? ret : n ? LAB_OK : LAB_SKIPPED;
}
