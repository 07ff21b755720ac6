// SPDX-License-Identifier: GPL-2.0
/* The exact clock: guests, and what their counters say. */
#include "bench.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../guest/protocol.h"
#include "elf.h"

#define BENCH_TIMEOUT_S 300
/* None: while it waits for a busy host the guest is idle, and an idle guest's clock runs ahead by minutes. */
#define SPLIT_TIMEOUT_S 0
/* of the host: recording each instruction is slow, and the host may be busy */
#define GUEST_S	 240
#define MODULE_S 120
/* The lowest address of the upper half on the architectures there are. */
#define KERNEL_START 0x8000000000000000UL

/* --- guests --- */

/* struct bench_guest - a boot and what belongs to it */
struct bench_guest {
	struct boot boot; /* first: vm.ctx is the boot */
	struct bench *bench;
	struct item {
		const struct built *built;
		const struct module *module;
		char *program;
	} * items;
	size_t n;
	struct split_record {
		char *module, *op;
		struct trace_split split;
	} * splits;
	size_t n_splits;
	bool asks_symbols; /* of its kernel, which are not known yet */
	/* of the module that is being traced */
	struct trace_range *ranges;
	size_t n_ranges;
	char *ranges_of;
};

/* "NAME ADDRESS" lines of the sections job, and the functions of the .ko: absolute ranges. */
static void load_ranges(struct bench_guest *g, const char *module)
{
	struct job *j = boot_find_job(&g->boot, module, "sections");
	struct elf_symbol *symbols = NULL;
	struct strv lines = {};
	size_t n = 0;

	if (g->ranges_of && !strcmp(g->ranges_of, module))
		return;
	free(g->ranges_of);
	g->ranges_of = xstrdup(module);
	for (size_t i = 0; i < g->n_ranges; i++)
		free((char *)g->ranges[i].function);
	free(g->ranges);
	g->ranges = NULL;
	g->n_ranges = 0;
	if (j && j->out.s)
		strv_split(&lines, j->out.s, "\n");
	for (size_t i = 0; i < g->n; i++)
		if (!strcmp(g->items[i].module->name, module))
			elf_functions(g->items[i].module->ko, &symbols, &n);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < lines.n; k++) {
			size_t len = strlen(symbols[i].section);

			if (strncmp(lines.v[k], symbols[i].section, len) || lines.v[k][len] != ' ')
				continue;
			g->ranges = xrealloc(g->ranges, g->n_ranges + 1, sizeof(*g->ranges));
			g->ranges[g->n_ranges++] = (struct trace_range){
				.function = xstrdup(symbols[i].name),
				.start = strtoul(lines.v[k] + len + 1, NULL, 16) +
					 symbols[i].section_offset,
				.size = symbols[i].size,
			};
		}
	}
	bench_trace_sort(g->ranges, g->n_ranges);
	elf_functions_free(symbols, n);
	strv_free(&lines);
}

/* The mode of an operation of the module that is being traced; its program was run without --trace before. */
static bool raw_mode(const struct bench_guest *g, const char *op, json_int_t *mode)
{
	const char *module = g->boot.running->module;
	bool found = false;

	for (size_t i = 0; i < g->boot.n && !found; i++) {
		const struct job *j = &g->boot.jobs[i];
		struct strv lines = {};

		if (strcmp(j->module, module) || !str_starts(strchr(j->name, '/') + 1, "bench_") ||
		    !j->out.s)
			continue;
		strv_split(&lines, j->out.s, "\n");
		for (size_t k = 0; k < lines.n && !found; k++) {
			json_t *line = json_loads(lines.v[k], 0, NULL);
			const char *name = json_string_value(json_object_get(line, "op"));
			json_t *value = json_object_get(line, "mode");

			found = name && value && !strcmp(name, op);
			*mode = json_integer_value(value);
			json_decref(line);
		}
		strv_free(&lines);
	}
	return found;
}

/* How long a pass must be if it is one of those that the counter found most often; 0: not known. */
static size_t wanted_total(const struct bench_guest *g, const char *op)
{
	json_int_t mode, empty;

	for (size_t i = 0; i < g->n_splits; i++) {
		const struct split_record *r = &g->splits[i];

		if (strcmp(r->op, FLOOR_EMPTY) || strcmp(r->module, g->boot.running->module))
			continue;
		if (raw_mode(g, op, &mode) && raw_mode(g, FLOOR_EMPTY, &empty) && mode >= empty)
			return lround(r->split.user + r->split.rest) + mode - empty;
	}
	return 0;
}

static void on_trace(struct vm *vm, const char *name, const char *exec_log)
{
	struct bench_guest *g = vm->ctx;
	struct trace_split split;

	if (!g->boot.running)
		return;
	load_ranges(g, g->boot.running->module);
	if (bench_trace_parse(exec_log, vm->trace_mark, KERNEL_START, g->ranges, g->n_ranges,
			      wanted_total(g, name), &split))
		return;
	g->splits = xrealloc(g->splits, g->n_splits + 1, sizeof(*g->splits));
	g->splits[g->n_splits++] =
		(struct split_record){ xstrdup(g->boot.running->module), xstrdup(name), split };
}

static void add_item(struct bench_guest *g, const struct built *built, const struct module *m,
		     const char *program)
{
	struct boot *b = &g->boot;
	struct job *j;

	if (g->asks_symbols && !g->n) {
		j = boot_add_job(b, m->name, "symbols", SPLIT_TIMEOUT_S);
		strv_add(&j->argv, "symbols");
	}
	boot_add_module(b, built, m);
	boot_add_load(b, built, m);
	j = boot_add_job(b, m->name, program, BENCH_TIMEOUT_S);
	strv_add(&j->argv, program);
	if (g->bench->trace) {
		_cleanup_free_ char *name = xasprintf("%s-split", program);

		j = boot_add_job(b, m->name, "sections", 10);
		strv_add(&j->argv, "sections");
		strv_add(&j->argv, m->name);
		j = boot_add_job(b, m->name, name, SPLIT_TIMEOUT_S);
		strv_add(&j->argv, program);
		strv_add(&j->argv, "--trace");
	}
	boot_add_unload(b, m);
	g->items = xrealloc(g->items, g->n + 1, sizeof(*g->items));
	g->items[g->n++] = (struct item){ built, m, xstrdup(program) };
}

/* --- figures --- */

const struct bench_op *bench_find_op(const struct bench *b, const struct kernel *k,
				     const char *module, const char *name)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct bench_op *op = &b->ops[i];

		if (op->kernel == k && !strcmp(op->name, name) &&
		    (!op->module || (module && !strcmp(op->module, module))))
			return op;
	}
	return NULL;
}

static void read_op(struct bench *b, struct bench_guest *g, const struct item *it, json_t *line,
		    long per_tick, const json_t *empty)
{
	const char *name = json_string_value(json_object_get(line, "op"));
	const char *floor = json_string_value(json_object_get(line, "floor"));
	bool builtin = name && (!strcmp(name, FLOOR_EMPTY) || !strcmp(name, "syscall") ||
				!strcmp(name, "enotty"));
	double samples = json_integer_value(json_object_get(line, "samples"));

	if (!name || !samples)
		return;
	/* every program measures the floors; in one guest they are the same, so they are listed once */
	if (builtin && bench_find_op(b, g->boot.vm.kernel, NULL, name))
		return;
	b->ops = xrealloc(b->ops, b->n + 1, sizeof(*b->ops));
	b->ops[b->n++] = (struct bench_op){
		.kernel = g->boot.vm.kernel,
		.built = it->built,
		.module = builtin ? NULL : it->module->name,
		.name = xstrdup(name),
		.floor = floor ? xstrdup(floor) : NULL,
		.spread = json_is_true(json_object_get(line, "spread")),
		.raw = json_incref(line),
		.instructions = per_tick * json_integer_value(json_object_get(line, "mode")),
		.at_mode = json_integer_value(json_object_get(line, "at_mode")) / samples,
		.mean = per_tick * json_number_value(json_object_get(line, "mean")),
		.empty = per_tick * json_integer_value(json_object_get(empty, "mode")),
		.empty_mean = per_tick * json_number_value(json_object_get(empty, "mean")),
		.per_tick = per_tick,
	};
}

static void read_splits(struct bench *b, struct bench_guest *g)
{
	struct trace_split empty = {};

	for (size_t s = 0; s < g->n_splits; s++) {
		struct split_record *r = &g->splits[s];

		/* each program's own, which comes first; what it owns may be an operation's by now */
		if (!strcmp(r->op, FLOOR_EMPTY))
			empty = r->split;
		if (!empty.passes)
			continue;

		for (size_t i = 0; i < b->n; i++) {
			struct bench_op *op = &b->ops[i];

			if (op->kernel != g->boot.vm.kernel || op->split || op->spread ||
			    strcmp(op->name, r->op) ||
			    (op->module && strcmp(op->module, r->module)))
				continue;
			op->split = true;
			op->user = r->split.user - empty.user;
			op->in_module = r->split.in_module;
			op->kernel_rest = r->split.rest - empty.rest;
			op->functions = r->split.functions;
			op->n_functions = r->split.n_functions;
			bench_symbols_name(b, op, &r->split);
			r->split.functions = NULL;
			r->split.n_functions = 0;
		}
	}
}

static void take_symbols(struct bench *b, struct bench_guest *g)
{
	struct job *j = g->asks_symbols && g->n ?
				boot_find_job(&g->boot, g->items[0].module->name, "symbols") :
				NULL;

	if (j && j->out.n)
		bench_symbols_take(b, g->boot.vm.kernel, j->out.s, j->out.n);
}

static void subtract(struct bench *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct bench_op *op = &b->ops[i];

		if (!strcmp(op->name, FLOOR_EMPTY))
			continue;
		op->instructions -= op->empty;
		op->mean -= op->empty_mean;
	}
	for (size_t i = 0; i < b->n; i++) {
		struct bench_op *op = &b->ops[i];
		const struct bench_op *floor =
			op->floor && strcmp(op->floor, FLOOR_EMPTY) ?
				bench_find_op(b, op->kernel, op->module, op->floor) :
				NULL;

		op->own = op->instructions - (floor ? floor->instructions : 0);
	}
}

bool bench_op_above(const struct bench *b, const struct bench_op *op, const char *above,
		    double *instructions)
{
	const struct bench_op *from;

	*instructions = op->spread ? op->mean : op->instructions;
	if (!above)
		return true;
	if (!strcmp(above, "floor"))
		above = op->floor ?: FLOOR_EMPTY;
	if (!strcmp(above, FLOOR_EMPTY))
		return true;
	from = bench_find_op(b, op->kernel, op->module, above);
	if (!from)
		return false;
	*instructions -= op->spread ? from->mean : from->instructions;
	return true;
}

static bool is_of_guest(const struct bench_op *op, const struct bench_guest *g)
{
	for (size_t i = 0; i < g->n; i++)
		if (op->kernel == g->boot.vm.kernel && op->built == g->items[i].built)
			return true;
	return false;
}

/*
 * Columns that are missing are told of: nobody is to think that there was nothing to find. A QEMU that records nothing
 * at all has said so.
 */
static void check_missing_splits(struct bench *b, struct bench_guest *g)
{
	for (size_t i = 0; b->trace && i < b->n; i++) {
		const struct bench_op *op = &b->ops[i];

		if (!is_of_guest(op, g) || op->split || op->spread ||
		    json_is_true(json_object_get(op->raw, "untraced")))
			continue;
		ktap_set(ktap_new(b->run->root, "split"), g->n_splits ? KTAP_FAIL : KTAP_SKIP,
			 "%s%s%s: its addresses were not recorded whole", op->module ?: "",
			 op->module ? " " : "", op->name);
	}
}

/* Two independent ways to one number: the counter's difference, and the addresses that were executed. */
static void check_splits(struct bench *b, struct bench_guest *g)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct bench_op *op = &b->ops[i];
		double sum = op->user + op->in_module + op->kernel_rest;
		struct ktap *t;

		if (!is_of_guest(op, g) || !op->split || op->per_tick > 1 ||
		    !strcmp(op->name, FLOOR_EMPTY) || lround(sum) == op->instructions)
			continue;
		t = ktap_new(b->run->root, "split");
		ktap_set(t, KTAP_FAIL, "%s%s%s: %ld instructions by the counter, %.0f by the trace",
			 op->module ?: "", op->module ? " " : "", op->name, op->instructions, sum);
	}
}

static struct ktap *bench_node(struct bench *b, const struct kernel *k, const struct item *it)
{
	_cleanup_free_ char *kernel = xasprintf("%s %s", k->name, k->release);
	struct ktap *root = b->run->root;
	struct ktap *t = ktap_child(root, kernel) ?: ktap_new(root, kernel);

	t = ktap_child(t, it->built->driver->name) ?: ktap_new(t, it->built->driver->name);
	t = ktap_child(t, it->module->name) ?: ktap_new(t, it->module->name);
	return ktap_child(t, it->program) ?: ktap_new(t, it->program);
}

static void read_item(struct bench *b, struct bench_guest *g, const struct item *it)
{
	struct ktap *t = bench_node(b, g->boot.vm.kernel, it);
	struct job *j = boot_find_job(&g->boot, it->module->name, it->program);
	struct strv lines = {};
	size_t had = b->n;
	long per_tick = 1;
	json_t *empty = NULL; /* it comes first */

	if (j->out.s)
		strv_split(&lines, j->out.s, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		json_t *line = json_loads(lines.v[i], 0, NULL);
		const char *name = json_string_value(json_object_get(line, "op"));
		const char *error = json_string_value(json_object_get(line, "error"));
		const char *skipped = json_string_value(json_object_get(line, "skipped"));

		if (json_is_false(json_object_get(line, "icount")))
			ktap_set(ktap_new(t, "clock"), KTAP_FAIL,
				 "the guest's counter does not count instructions");
		if (json_integer_value(json_object_get(line, "insns_per_tick")) > 1) {
			per_tick = json_integer_value(json_object_get(line, "insns_per_tick"));
			ktap_set(
				ktap_new(t, "clock"), KTAP_FAIL,
				"a tick of the guest's counter is %ld instructions: all figures are rounded",
				per_tick);
		}
		if (error)
			ktap_set(ktap_new(t, name), KTAP_FAIL, "%s", error);
		else if (skipped)
			ktap_set(ktap_new(t, name), KTAP_SKIP, "%s", skipped);
		else if (name) {
			if (!strcmp(name, FLOOR_EMPTY) && !empty)
				empty = json_incref(line);
			read_op(b, g, it, line, per_tick, empty);
			ktap_set(ktap_new(t, name), KTAP_PASS, NULL);
		}
		json_decref(line);
	}
	if (!j->ended)
		ktap_set(ktap_new(t, "guest"),
			 g->boot.vm.end == VM_HANG ? KTAP_TIMEOUT : KTAP_CRASHED, "%s%s%s",
			 vm_end_name(g->boot.vm.end), g->boot.vm.why ? ": " : "",
			 g->boot.vm.why ?: "");
	else if (strcmp(j->status, "0") && strcmp(j->status, "77") && b->n == had)
		ktap_set(ktap_new(t, "program"), KTAP_FAIL, "%s: %s", j->status,
			 j->err.s ?: "no message");
	json_decref(empty);
	strv_free(&lines);
}

static enum lab_exit read_guest(struct bench *b, struct bench_guest *g)
{
	if (g->boot.vm.end == VM_QEMU_FAILED)
		return lab_fail(LAB_CANNOT, "run it again; -v shows its command line",
				"QEMU ended on its own (%s): %s", g->boot.vm.label,
				g->boot.vm.why ?: "no message");
	for (size_t i = 0; i < g->n; i++)
		read_item(b, g, &g->items[i]);
	take_symbols(b, g);
	read_splits(b, g);
	b->run->crashed |= g->boot.vm.end == VM_PANIC || g->boot.vm.end == VM_LOST;
	b->run->timed_out |= g->boot.vm.end == VM_HANG;
	return LAB_OK;
}

static void free_guest(struct bench_guest *g)
{
	for (size_t i = 0; i < g->n; i++)
		free(g->items[i].program);
	for (size_t i = 0; i < g->n_splits; i++) {
		free(g->splits[i].module);
		free(g->splits[i].op);
		trace_split_free(&g->splits[i].split);
	}
	for (size_t i = 0; i < g->n_ranges; i++)
		free((char *)g->ranges[i].function);
	free(g->ranges);
	free(g->ranges_of);
	free(g->items);
	free(g->splits);
	free((char *)g->boot.vm.label);
	boot_free(&g->boot);
}

/* What becomes a guest of @n modules; it takes over the label. */
static enum lab_exit init_guest(struct bench *b, const struct kernel *k, size_t n, char *label,
				struct bench_guest *g)
{
	enum lab_exit ret = boot_init(&g->boot, k);

	g->bench = b;
	g->boot.vm.exact = true;
	g->boot.vm.trace = b->trace;
	g->boot.vm.on_trace = on_trace;
	g->boot.vm.label = label;
	if (!g->boot.vm.timeout_s)
		g->boot.vm.timeout_s = GUEST_S + MODULE_S * n;
	return ret;
}

static void add_module(struct bench_guest *g, const struct built *built, const struct module *m)
{
	struct strv modules = {};

	for (size_t i = 0; i < built->n; i++)
		strv_add(&modules, built->modules[i].name);
	for (size_t p = 0; p < built->benches.n; p++)
		if (driver_program_fits(built->benches.v[p] + strlen("bench_"), m->name, &modules))
			add_item(g, built, m, built->benches.v[p]);
	strv_free(&modules);
}

/* One guest a room and kernel: its builds are compared with each other, so they share a boot. */
static enum lab_exit fill_guest(struct bench *b, const struct kernel *k, const struct built *built,
				struct bench_guest *g)
{
	char *label = xasprintf("%s on %s (exact clock)", built->driver->name, k->name);
	enum lab_exit ret = init_guest(b, k, built->n, label, g);

	for (size_t m = 0; m < built->n && !ret; m++)
		add_module(g, built, &built->modules[m]);
	return ret;
}

enum lab_exit bench_boot(struct bench *b)
{
	struct test_run *t = b->run;
	struct bench_guest *guests = xcalloc(t->n_kernels * t->n_drivers, sizeof(*guests));
	struct boot **boots = xcalloc(t->n_kernels * t->n_drivers, sizeof(*boots));
	enum lab_exit ret = LAB_OK;
	size_t n = 0;

	for (size_t k = 0; k < t->n_kernels && !ret; k++) {
		for (size_t i = 0; i < t->n_drivers && !ret; i++) {
			const struct built *built = &t->built[k * t->n_drivers + i];

			if (!built->benches.n)
				continue;
			/* once a kernel */
			guests[n].asks_symbols = b->trace && !bench_symbols_known(&t->k[k]) &&
						 (!n || guests[n - 1].boot.vm.kernel != &t->k[k]);
			ret = fill_guest(b, &t->k[k], built, &guests[n]);
			boots[n] = &guests[n].boot;
			n++;
		}
	}
	b->exact_ran = n;
	if (!ret && n) {
		lab_stage("bench", "%zu guest%s under the exact clock", n, n == 1 ? "" : "s");
		ret = boot_run(boots, n, 0);
		lab_stage_done(NULL);
	}
	for (size_t i = 0; i < n && !ret && !lab_options.dry_run; i++)
		ret = read_guest(b, &guests[i]);
	subtract(b);
	for (size_t i = 0; i < n; i++) {
		check_splits(b, &guests[i]);
		if (!ret && !lab_options.dry_run && guests[i].n)
			check_missing_splits(b, &guests[i]);
		free_guest(&guests[i]);
	}
	free(guests);
	free(boots);
	if (!ret && n && !lab_options.dry_run)
		bench_tables_check(b);
	ktap_settle(t->root);
	return ret ? ret : n ? LAB_OK : LAB_SKIPPED;
}

/* What a guest has said, as figures; @ret: how running it went. */
static enum lab_exit finish_guest(struct bench *b, struct bench_guest *g, enum lab_exit ret)
{
	if (!ret && !lab_options.dry_run)
		ret = read_guest(b, g);
	subtract(b);
	check_splits(b, g);
	if (!ret && !lab_options.dry_run && g->n)
		check_missing_splits(b, g);
	ktap_settle(b->run->root);
	return ret;
}

enum lab_exit bench_boot_sets(struct bench *b, const struct bench_set *sets, size_t n)
{
	struct bench_guest *guests = xcalloc(n, sizeof(*guests));
	struct boot **boots = xcalloc(n, sizeof(*boots));
	enum lab_exit ret = LAB_OK;
	bool any = false;

	for (size_t i = 0; i < n && !ret; i++) {
		guests[i].asks_symbols = b[i].trace && !bench_symbols_known(sets[i].kernel);
		ret = init_guest(&b[i], sets[i].kernel, sets[i].n, xstrdup(sets[i].label),
				 &guests[i]);
		for (size_t m = 0; m < sets[i].n && !ret; m++)
			add_module(&guests[i], sets[i].members[m].built, sets[i].members[m].module);
		any |= guests[i].n;
		b[i].exact_ran = guests[i].n;
		boots[i] = &guests[i].boot;
	}
	if (!ret && any) {
		lab_stage("bench", "%zu guest%s under the exact clock", n, n == 1 ? "" : "s");
		ret = boot_run(boots, n, 0);
		lab_stage_done(NULL);
	}
	for (size_t i = 0; i < n; i++) {
		if (any && boots[i])
			ret = finish_guest(&b[i], &guests[i], ret);
		free_guest(&guests[i]);
	}
	free(guests);
	free(boots);
	return ret ? ret : any ? LAB_OK : LAB_SKIPPED;
}

void bench_free(struct bench *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct bench_op *op = &b->ops[i];

		free(op->name);
		free(op->floor);
		json_decref(op->raw);
		for (size_t f = 0; f < op->n_functions; f++)
			free(op->functions[f].name);
		free(op->functions);
		for (size_t f = 0; f < op->n_kernel_functions; f++)
			free(op->kernel_functions[f].name);
		free(op->kernel_functions);
	}
	free(b->ops);
	bench_symbols_free(b);
	for (size_t i = 0; i < b->n_walls; i++) {
		struct bench_wall *w = &b->walls[i];

		for (size_t r = 0; r < w->n; r++)
			record_free(&w->records[r]);
		free(w->records);
		free(w->accel);
		free(w->failure);
	}
	free(b->walls);
	*b = (struct bench){};
}
