// SPDX-License-Identifier: GPL-2.0
/*
 * The comparison by the wall clock: block after block, each with A, B and A again in a drawn order, each freshly loaded.
 * A guest has some of them in its plan, and is stopped when they are enough; when they are not, another is booted.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../guest/protocol.h"
#include "cmd.h"
#include "compare.h"
#include "target.h"

#define WALL_IDLE "idle"
#define TIMEOUT_S 600 /* of one measurement, on a very busy host */
#define GUEST_S	  120 /* beside the budget */
#define LEAST	  12  /* blocks: the first number with something to say at 99 % is 8 */
#define MOST	  400
#define A_BOOT	  25 /* blocks; then a new guest, for where code and data lie is drawn at each boot */
#define LONG_S	  604800 /* a guest of --count, which has no budget */

#define WALL_MS	      20
#define METER_MS      1000 /* a meter has a reading each 10 ms or more */
#define COUNT_MS      1000
#define WALL_BUDGET_S 60

const char *const wall_variants[BLOCKS_VARIANTS] = { "A", "B", "A-again" };

static int side_of(enum blocks_variant v)
{
	return v == BLOCKS_B;
}

void wall_init(struct wall *w, const struct args *a)
{
	*w = (struct wall){ .confidence = a->confidence ?: 0.99,
			    .margin = a->margin ?: 0.01,
			    .budget_s = a->budget_s	 ?:
						a->count ? LONG_S :
							   WALL_BUDGET_S,
			    .ms = a->meter ? METER_MS :
				  a->count ? COUNT_MS :
					     WALL_MS,
			    .count = a->count,
			    .resume = a->resume,
			    .tasks = a->tasks,
			    .rate = a->rate,
			    .meter = a->meter,
			    .seed = a->has_seed ? a->seed : (unsigned long long)time(NULL) };
	for (size_t i = 0; i < a->ops.n; i++)
		strv_add(&w->only, a->ops.v[i]);
}

/* --- what a measurement says --- */

static struct wall_op *find_op(struct wall *w, const char *name)
{
	for (size_t i = 0; i < w->n; i++)
		if (!strcmp(w->ops[i].name, name))
			return &w->ops[i];
	w->ops = xrealloc(w->ops, w->n + 1, sizeof(*w->ops));
	w->ops[w->n] = (struct wall_op){ .name = xstrdup(name),
					 .blocks = { .confidence = w->confidence,
						     .margin = w->margin,
						     .least = LEAST,
						     .most = MOST,
						     .seed = w->seed } };
	return &w->ops[w->n++];
}

static void read_machine(struct wall *w, json_t *o)
{
	struct machine m = { .khz = -1, .millicelsius = -1, .throttled = -1 };
	json_int_t khz = -1, heat = -1, throttled = -1;
	const char *governor = "";

	json_unpack(o, "{s?s, s?I, s?I, s?I, s?F, s?F}", "governor", &governor, "khz", &khz,
		    "millicelsius", &heat, "throttled", &throttled, "steal", &m.steal, "total",
		    &m.total);
	snprintf(m.governor, sizeof(m.governor), "%s", governor);
	m.khz = khz;
	m.millicelsius = heat;
	m.throttled = throttled;
	machine_note(&w->moves, &m);
}

static void keep_time(struct wall *w, enum blocks_variant v, const char *name,
		      const struct wall_time *t)
{
	struct wall_op *op;

	if (!strcmp(name, WALL_IDLE)) {
		w->idle_now = *t;
		return;
	}
	op = find_op(w, name);
	op->now[v] = t->seconds * 1e9 / t->calls;
	op->at[v] = *t;
}

static void add_late(struct wall_late *l, double ns, double count)
{
	size_t i = l->n;

	while (i && l->v[i - 1].ns > ns)
		i--;
	l->count += count;
	if (i && l->v[i - 1].ns == ns) {
		l->v[i - 1].count += count;
		return;
	}
	l->v = xrealloc(l->v, l->n + 1, sizeof(*l->v));
	memmove(&l->v[i + 1], &l->v[i], (l->n++ - i) * sizeof(*l->v));
	l->v[i] = (struct late_bucket){ ns, count };
}

double wall_late_quantile(const struct wall_late *l, double share)
{
	double below = 0;

	/* of a hundred calls none tells what one in a thousand is */
	if (!((1 - share) * l->count >= 1))
		return NAN;
	for (size_t i = 0; i < l->n; i++) {
		below += l->v[i].count;
		/* a bucket's middle may lie beyond the latest in it */
		if (below >= share * l->count)
			return l->v[i].ns < l->max ? l->v[i].ns : l->max;
	}
	return l->max;
}

/* [[ns, calls], ...] */
static void keep_late(struct wall *w, enum blocks_variant v, const char *op, const json_t *late,
		      double max)
{
	struct wall_late *l = &find_op(w, op)->late[v];
	json_t *bucket;
	size_t i;

	json_array_foreach(late, i, bucket) {
		add_late(l, json_number_value(json_array_get(bucket, 0)),
			 json_number_value(json_array_get(bucket, 1)));
	}
	l->max = max > l->max ? max : l->max;
}

/* "SET", "SET, 4 at once", "SET, 4 at once on one open" */
static char *shown_name(const char *op, int tasks, bool shared)
{
	return tasks ? xasprintf("%s, %d at once%s", op, tasks, shared ? " on one open" : "") :
		       xstrdup(op);
}

char *wall_parse(struct wall *w, enum blocks_variant v, const char *line, double end)
{
	const char *op = NULL, *error = NULL, *skipped = NULL;
	json_int_t count = 0, ns = 0;
	json_t *o = json_loads(line, 0, NULL), *late = NULL;
	int tasks = 0, shared = 0;
	char *problem = NULL;
	double max = 0;

	json_unpack(o, "{s:s, s?s, s?s, s?I, s?I, s?i, s?b, s?o, s?F}", "op", &op, "error", &error,
		    "skipped", &skipped, "count", &count, "ns", &ns, "tasks", &tasks, "shared",
		    &shared, "late", &late, "max", &max);
	if (op && !strcmp(op, "machine"))
		read_machine(w, o);
	else if (!op || (!error && !skipped && (count < 1 || ns < 1)))
		problem = xasprintf("a line that is none: %.80s", line);
	else if (error)
		problem = xasprintf("%s: %s", op, error);
	else if (late)
		keep_late(w, v, op, late, max);
	else if (!skipped) {
		_cleanup_free_ char *name = shown_name(op, tasks, shared);

		keep_time(w, v, name, &(struct wall_time){ end, ns * 1e-9, count });
	}
	json_decref(o);
	return problem;
}

static void keep_times(struct wall_op *op, size_t idle)
{
	size_t n = op->blocks.n;

	op->times = xrealloc(op->times, n, sizeof(*op->times));
	op->idle = xrealloc(op->idle, n, sizeof(*op->idle));
	memcpy(op->times[n - 1], op->at, sizeof(op->at));
	op->idle[n - 1] = idle;
}

/* What A or B does not have cannot be compared. */
void wall_block_end(struct wall *w)
{
	for (size_t i = 0; i < w->n; i++) {
		struct wall_op *op = &w->ops[i];
		bool whole = true;

		for (int v = 0; v < BLOCKS_VARIANTS; v++)
			whole &= op->now[v] > 0;
		if (whole) {
			blocks_add(&op->blocks, op->now);
			keep_times(op, w->blocks);
			for (int v = 0; v < BLOCKS_VARIANTS; v++)
				op->calls[v] += op->at[v].calls;
		}
		memset(op->now, 0, sizeof(op->now));
	}
	w->idle = xrealloc(w->idle, w->blocks + 1, sizeof(*w->idle));
	w->idle[w->blocks++] = w->idle_now;
	w->idle_now = (struct wall_time){};
}

/* Calls of what was called least. */
static double least_calls(const struct wall *w)
{
	double least = INFINITY;

	for (size_t i = 0; i < w->n; i++)
		for (int v = 0; v < BLOCKS_VARIANTS && w->ops[i].blocks.n; v++)
			least = fmin(least, w->ops[i].calls[v]);
	return least;
}

static bool all_done(const struct wall *w)
{
	bool done = true, any = false;

	for (size_t i = 0; i < w->n; i++) {
		any |= w->ops[i].blocks.n;
		done &= !w->ops[i].blocks.n || blocks_done(&w->ops[i].blocks);
	}
	/* nothing in common: more blocks do not change it */
	if (!any)
		return w->blocks >= 1;
	return w->count ? least_calls(w) >= w->count : done;
}

static size_t estimate(const struct wall *w)
{
	size_t most = 0;

	for (size_t i = 0; i < w->n; i++) {
		size_t n = blocks_estimate(&w->ops[i].blocks);

		most = n > most ? n : most;
	}
	return most;
}

static void show_progress(const struct wall *w)
{
	double calls = least_calls(w);
	size_t needed = estimate(w);

	if (w->count && isfinite(calls))
		lab_stage("wall", "%.3g of %g calls, %zu blocks, about %.0f min left", calls,
			  w->count, w->blocks,
			  ceil(fmax(w->count - calls, 0) / calls * w->seconds / 60));
	else if (needed)
		lab_stage("wall", "%zu of about %zu blocks", w->blocks, needed);
	else
		lab_stage("wall", "%zu blocks, nothing known yet", w->blocks);
}

/* --- the guest --- */

/* Read as they come: when a measurement has ended is when it says so. */
static void on_output(struct boot *b, struct vm *vm, struct job *j, const char *line)
{
	struct wall *w = b->ctx;
	const char *name = strchr(j->name, '/') + 1;

	for (int v = 0; v < BLOCKS_VARIANTS && !w->failure; v++) {
		if (strcmp(name, wall_variants[v]) && (v || strcmp(name, WALL_IDLE)))
			continue;
		w->failure = wall_parse(w, v, line, now_s());
		if (!w->failure)
			wall_save_line(w, v, line);
	}
	if (w->failure)
		vm->end = VM_STOPPED;
}

/* What the benchmark is run for, of each variant in a block. */
enum run {
	RUN_ALONE,
	RUN_TASKS,
	RUN_SHARED,
	RUN_RATE,
	RUNS,
};

static bool wants_run(const struct wall *w, enum run run)
{
	return run == RUN_ALONE || (run == RUN_RATE ? w->rate : w->tasks);
}

static int runs_of(const struct wall *w)
{
	int n = 0;

	for (int run = 0; run < RUNS; run++)
		n += wants_run(w, run);
	return n;
}

static void end_block(struct wall *w)
{
	w->in_block = 0;
	w->in_guest++;
	wall_block_end(w);
	w->seconds = now_s() - w->began;
	show_progress(w);
	if (wall_save_block(w))
		w->failure = xasprintf("%s cannot be written", w->save_path);
	w->done = all_done(w) || w->seconds > w->budget_s;
}

static void on_job(struct boot *b, struct vm *vm, struct job *j)
{
	struct wall *w = b->ctx;
	const char *name = strchr(j->name, '/') + 1;
	char *problem = NULL;

	if (!strcmp(j->status, "timeout")) {
		problem = xasprintf("%s does not end within %d s", j->name, j->timeout_s);
	} else if (strcmp(j->status, "0") && strcmp(j->status, "77")) {
		/* 77: nothing to measure, which the first block tells as well */
		_cleanup_free_ char *words = job_last_words(j);

		problem = xasprintf("%s ends with exit status %s: %s", j->name, j->status, words);
	}
	for (int v = 0; v < BLOCKS_VARIANTS; v++)
		w->in_block += !strcmp(name, wall_variants[v]);
	/* of what comes by the thousand nothing is kept but the figures */
	buf_free(&j->out);
	buf_free(&j->err);
	if (problem && !w->failure)
		w->failure = problem;
	else
		free(problem);
	if (w->failure) {
		vm->end = VM_STOPPED;
		return;
	}
	if (w->in_block < BLOCKS_VARIANTS * runs_of(w))
		return;
	end_block(w);
	if (w->done || w->failure)
		vm->end = VM_STOPPED;
}

static void add_run(struct boot *b, const struct wall *w, const struct object_facts *of,
		    const char *name, enum run run)
{
	struct job *j = boot_add_job(b, of->module->name, name, TIMEOUT_S);

	strv_add(&j->argv, of->built->benches.v[0]);
	strv_add(&j->argv, "--wall");
	strv_addf(&j->argv, "--ms=%d", w->ms);
	if (run == RUN_TASKS || run == RUN_SHARED)
		strv_addf(&j->argv, "--tasks=%d", w->tasks);
	if (run == RUN_SHARED)
		strv_add(&j->argv, "--shared");
	if (run == RUN_RATE)
		strv_addf(&j->argv, "--rate=%d", w->rate);
	for (size_t n = 0; n < w->only.n; n++)
		strv_addf(&j->argv, "--op=%s", w->only.v[n]);
}

static void add_block(struct boot *b, const struct wall *w, const struct object_facts *o,
		      size_t block)
{
	const struct blocks order_of = { .seed = w->seed };
	enum blocks_variant order[BLOCKS_VARIANTS];

	if (w->meter) {
		struct job *j = boot_add_job(b, o[0].module->name, WALL_IDLE, TIMEOUT_S);

		strv_add(&j->argv, o[0].built->benches.v[0]);
		strv_add(&j->argv, "--wall");
		strv_addf(&j->argv, "--idle=%d", w->ms);
	}
	blocks_order(&order_of, block, order);
	for (int i = 0; i < BLOCKS_VARIANTS; i++) {
		const struct object_facts *of = &o[side_of(order[i])];

		boot_add_load(b, of->built, of->module);
		for (int run = 0; run < RUNS; run++)
			if (wants_run(w, run))
				add_run(b, w, of, wall_variants[order[i]], run);
		boot_add_unload(b, of->module);
	}
}

/* How the guest ended that should have gone on: what its kernel said first, or what was seen of it from here. */
static char *end_of(const struct vm *vm)
{
	struct klog log = {};
	char *text;

	klog_scan(vm->log.s ?: "", KLOG_TAINT_MODULE, &log);
	text = xasprintf("the guest ended (%s): %s", vm_end_name(vm->end),
			 log.n ? log.findings[0].headline : (vm->why ?: "no reason known"));
	klog_free(&log);
	return text;
}

static enum lab_exit judge_guest(struct wall *w, const struct boot *b, struct test_run *t)
{
	const struct vm *vm = &b->vm;
	bool ended = vm->end != VM_STOPPED && vm->end != VM_CLEAN;

	t->crashed |= vm->end == VM_PANIC || vm->end == VM_LOST;
	t->timed_out |= vm->end == VM_HANG;
	if (ended && !w->failure)
		w->failure = end_of(vm);
	/* a plan that was done without a block would be done for ever */
	if (vm->end == VM_CLEAN && !w->in_guest && !w->failure)
		w->failure = xstrdup("the guest ended without having measured anything");
	if (!w->accel && vm->accel)
		w->accel = xstrdup(vm->accel);
	return ended ? test_keep_log(t, b, t->root) : LAB_OK;
}

/* A guest, or the whole run on another machine, which is not ours to boot. */
static enum lab_exit run_guest(struct wall *w, const struct object_facts o[2], struct test_run *t,
			       const char *label)
{
	size_t most = target_current() ? MOST : A_BOOT;
	struct boot b = {}, *list = &b;
	enum lab_exit ret = boot_init(&b, o[0].kernel);

	b.vm.label = label;
	/* of a run that goes on, the budget may be spent: it gets a block */
	b.vm.timeout_s = GUEST_S + fmax(w->budget_s - w->seconds, 0);
	b.on_job = on_job;
	b.on_output = on_output;
	b.ctx = w;
	w->in_guest = 0;
	w->boots += !target_current();
	for (int side = 0; side < 2 && !ret; side++)
		boot_add_module(&b, o[side].built, o[side].module);
	for (size_t i = 0; i < most && !ret; i++)
		add_block(&b, w, o, w->blocks + i);
	if (!ret)
		ret = boot_run(&list, 1, 1);
	lab_stage_done(NULL);
	if (!ret && !lab_options.dry_run)
		ret = judge_guest(w, &b, t);
	boot_free(&b);
	return ret;
}

/* Guest after guest, until that is enough. */
static enum lab_exit run_guests(struct wall *w, const struct object_facts o[2], struct test_run *t)
{
	_cleanup_free_ char *label = xasprintf("%s and %s on %s (wall clock)", o[0].module->name,
					       o[1].module->name, o[0].kernel->name);
	struct recorder *recorder = NULL;
	enum lab_exit ret = LAB_OK;

	if (w->meter && !lab_options.dry_run)
		ret = energy_begin(w->meter, &recorder);
	w->began = now_s() - w->seconds;
	while (!ret && !w->done && !w->failure) {
		ret = run_guest(w, o, t, label);
		w->done |= lab_options.dry_run;
	}
	if (w->meter && !lab_options.dry_run && (recorder || !ret))
		w->no_energy = energy_end(recorder, w->meter, &w->trace);
	if (!ret && !lab_options.dry_run && w->meter && !w->no_energy)
		energy_blocks(w);
	return ret;
}

enum lab_exit wall_boot(struct wall *w, const struct object_facts o[2], struct test_run *t)
{
	enum lab_exit ret = LAB_OK;
	struct ktap *node;

	if (o[0].kernel != o[1].kernel)
		return lab_fail(LAB_USAGE, "name two modules, or leave --clock out",
				"two kernels cannot be measured in turn in one guest");
	for (int side = 0; side < 2; side++)
		if (o[side].built->benches.n != 1)
			return lab_fail(LAB_SKIPPED, "a benchmark is a bench_*.c in its directory",
					"%s has %s benchmark", o[side].built->driver->name,
					o[side].built->benches.n ? "more than one" : "no");
	if (w->count && !lab_options.dry_run)
		ret = wall_save_begin(w, o);
	w->done = w->blocks && all_done(w);
	if (!ret)
		ret = run_guests(w, o, t);
	wall_save_end(w, all_done(w));
	if (ret || lab_options.dry_run)
		return ret;
	node = ktap_new(t->root, "wall clock");
	if (w->failure)
		ktap_set(node, KTAP_FAIL, "%s", w->failure);
	else
		ktap_set(node, KTAP_PASS, NULL);
	return LAB_OK;
}

void wall_free(struct wall *w)
{
	for (size_t i = 0; i < w->n; i++) {
		struct wall_op *op = &w->ops[i];

		free(op->name);
		free(op->times);
		free(op->idle);
		free(op->no_net);
		for (int v = 0; v < BLOCKS_VARIANTS; v++)
			free(op->late[v].v);
		blocks_free(&op->blocks);
		blocks_free(&op->gross);
		blocks_free(&op->net);
	}
	free(w->ops);
	free(w->failure);
	free(w->accel);
	free(w->idle);
	free(w->idle_watts);
	free(w->no_energy);
	free(w->save_path);
	meter_trace_free(&w->trace);
	strv_free(&w->only);
	*w = (struct wall){};
}
