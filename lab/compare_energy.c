// SPDX-License-Identifier: GPL-2.0
/* Joules per call, of a comparison by the wall clock beside which a meter was read. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare.h"
#include "proc.h"

#define FILE_PREFIX "file:"
#define FIRST_S	    15	 /* for the first reading */
#define END_S	    5	 /* for a recorder that was told to end */
#define COVERED	    0.98 /* of a measurement's time, by readings: less, and it does not count */
#define MICRO	    1e6
#define POINTS_MOST 600 /* of a plot */

/* struct recorder - see compare.h */
struct recorder {
	struct proc p;
	struct strv argv;
	char *dir, *path;
	bool started;
};

/* --- the recording --- */

static bool has_reading(const char *path)
{
	struct buf b = {};
	bool has = false;

	if (!file_read(path, &b) && b.s) {
		const char *heading = strstr(b.s, "\nt_s,");

		has = heading && strchr(heading + 1, '\n') && strchr(heading + 1, '\n')[1];
	}
	buf_free(&b);
	return has;
}

static void recorder_free(struct recorder *r)
{
	if (r->started)
		proc_end(&r->p);
	proc_free(&r->p);
	strv_free(&r->argv);
	free(r->path);
	temp_dir_done(r->dir);
	free(r);
}

/* What it has said, which is our message as well. */
static enum lab_exit recorder_failed(struct recorder *r)
{
	char text[4096] = "";
	ssize_t n = read(r->p.err_fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	recorder_free(r);
	fputs(text, stderr);
	return *text ? LAB_CANNOT :
		       lab_fail(LAB_CANNOT, "cdevlab meter record tells more",
				"the meter says nothing");
}

/* The path in "PATH,SECONDS", and the now_s() at which it began; not a number: not told, one of ours says that itself. */
static char *file_of(const char *spec, double *start)
{
	const char *comma = strrchr(spec, ',');
	char *end = NULL;

	*start = comma ? strtod(comma + 1, &end) : NAN;
	if (comma && end > comma + 1 && !*end)
		return xstrndup(spec, comma - spec);
	*start = NAN;
	return xstrdup(spec);
}

enum lab_exit energy_begin(const char *meter, struct recorder **to)
{
	double end = now_s() + FIRST_S, start;
	struct recorder *r;
	char *self;

	*to = NULL;
	if (str_starts(meter, FILE_PREFIX)) {
		_cleanup_free_ char *path = file_of(meter + strlen(FILE_PREFIX), &start);

		return file_exists(path) ?
			       LAB_OK :
			       lab_fail(
				       LAB_USAGE,
				       "cdevlab meter record -o FILE makes one, and may go on meanwhile",
				       "there is no recording %s", path);
	}
	self = proc_self();
	if (!self)
		return lab_fail(LAB_CANNOT, "mount /proc", "cannot find this program");
	r = xcalloc(1, sizeof(*r));
	strv_take(&r->argv, self);
	r->dir = temp_dir(NULL);
	if (!r->dir) {
		recorder_free(r);
		return LAB_CANNOT;
	}
	r->path = xasprintf("%s/meter.csv", r->dir);
	strv_add(&r->argv, "meter");
	strv_add(&r->argv, "record");
	strv_addf(&r->argv, "--meter=%s", meter);
	strv_addf(&r->argv, "-o%s", r->path);
	r->p.argv = r->argv.v;
	if (proc_start(&r->p)) {
		recorder_free(r);
		return LAB_CANNOT;
	}
	r->started = true;
	while (!has_reading(r->path)) {
		if (proc_ended(&r->p) || now_s() > end || lab_interrupted())
			return recorder_failed(r);
		usleep(20000);
	}
	*to = r;
	return LAB_OK;
}

static char *read_file(const char *spec, struct meter_trace *trace)
{
	double start;
	_cleanup_free_ char *path = file_of(spec, &start);

	if (meter_trace_read(path, trace))
		return xasprintf("%s is no recording", path);
	if (isfinite(start))
		trace->start = start;
	return isfinite(trace->start) ?
		       NULL :
		       xasprintf("%s does not tell when it began: file:%s,SECONDS does, by this "
				 "machine's CLOCK_MONOTONIC",
				 path, path);
}

char *energy_end(struct recorder *r, const char *meter, struct meter_trace *trace)
{
	double end = now_s() + END_S;
	char *why = NULL;

	if (!r)
		return read_file(meter + strlen(FILE_PREFIX), trace);
	if (!proc_ended(&r->p))
		kill(r->p.pid, SIGTERM);
	while (!proc_ended(&r->p) && now_s() < end)
		usleep(20000);
	/* one that failed in the middle has a beginning */
	if (meter_trace_read(r->path, trace))
		why = xstrdup("the meter's recording cannot be read");
	recorder_free(r);
	return why;
}

/* --- energy of blocks --- */

/* Joules of a measurement; not a number: the meter was silent, or had ended. */
static double joules_of(const struct wall *w, const struct wall_time *t)
{
	double to = t->end - w->trace.start;
	struct meter_energy e;

	/* not a number: measured by a run before, beside a meter that was read by it */
	if (!t->calls || !isfinite(to) || !meter_energy(&w->trace, to - t->seconds, to, &e) ||
	    e.share < COVERED)
		return NAN;
	return e.joules;
}

static void read_idle(struct wall *w)
{
	w->idle_watts = xcalloc(w->blocks + 1, sizeof(*w->idle_watts));
	for (size_t i = 0; i < w->blocks; i++)
		w->idle_watts[i] = joules_of(w, &w->idle[i]) / w->idle[i].seconds;
}

static void read_op(struct wall *w, struct wall_op *op)
{
	const struct blocks like = { .confidence = w->confidence,
				     .margin = w->margin,
				     .least = op->blocks.least,
				     .most = op->blocks.most,
				     .seed = w->seed };

	op->gross = op->net = like;
	for (size_t i = 0; i < op->blocks.n; i++) {
		double gross[BLOCKS_VARIANTS], net[BLOCKS_VARIANTS];
		double idle = w->idle_watts[op->idle[i]];
		bool has = true, above = isfinite(idle);

		for (int v = 0; v < BLOCKS_VARIANTS; v++) {
			const struct wall_time *t = &op->times[i][v];
			double joules = joules_of(w, t);

			gross[v] = joules / t->calls;
			net[v] = (joules - idle * t->seconds) / t->calls;
			has &= isfinite(joules);
			above &= net[v] > 0;
		}
		if (has)
			blocks_add(&op->gross, gross);
		if (has && above)
			blocks_add(&op->net, net);
		else if (has && !op->no_net)
			op->no_net = xstrdup(isfinite(idle) ?
						     "in some block it takes no more than idle" :
						     "idle is not covered");
	}
	/* blocks that were left out because of what came out would be a choice */
	if (op->no_net)
		blocks_free(&op->net);
}

void energy_blocks(struct wall *w)
{
	size_t n = 0;

	read_idle(w);
	for (size_t i = 0; i < w->n; i++) {
		read_op(w, &w->ops[i]);
		n += w->ops[i].gross.n;
	}
	if (!n)
		w->no_energy = xasprintf("the readings of %s cover no block", w->trace.meter);
}

/* --- over time --- */

enum quantity {
	TIME,
	VOLTS,
	AMPS,
	WATTS,
	JOULES
};
static const char *const quantity_keys[] = { "t", "volts", "amps", "watts", "joules" };

static double quantity(const struct meter_reading *r, enum quantity which)
{
	switch (which) {
	case TIME:
		return r->t;
	case VOLTS:
		return r->volts;
	case AMPS:
		return r->amps;
	case WATTS:
		return r->watts;
	default:
		return r->joules;
	}
}

static double mean_of(const struct meter_reading *v, size_t n, enum quantity which)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += quantity(&v[i], which);
	return sum / n;
}

/* Joules from one reading to the next. */
static double joules_between(const struct meter_reading *v)
{
	return isfinite(v[1].joules) ? v[1].joules - v[0].joules :
				       (v[0].watts + v[1].watts) / 2 * (v[1].t - v[0].t);
}

/*
 * As many readings as a plot can show, each the mean of some that follow each other, its joules those from the first of
 * all to the last of these. Return: an array to be freed.
 */
static struct meter_reading *thin(const struct meter_trace *t, size_t *n)
{
	size_t each = t->n / POINTS_MOST + 1;
	struct meter_reading *p = xcalloc(t->n / each + 1, sizeof(*p));
	double joules = 0;

	*n = 0;
	for (size_t from = 0; from < t->n; from += each) {
		const struct meter_reading *v = &t->v[from];
		size_t k = t->n - from < each ? t->n - from : each;
		double before = joules, began = from ? v[-1].t : v[0].t;
		struct meter_reading *to = &p[(*n)++];

		for (size_t i = 0; i < k; i++)
			if (from + i)
				joules += joules_between(&t->v[from + i - 1]);
		*to = (struct meter_reading){
			.t = mean_of(v, k, TIME),
			.volts = mean_of(v, k, VOLTS),
			.amps = mean_of(v, k, AMPS),
			.watts = mean_of(v, k, WATTS),
			.joules = joules,
		};
		/* of a counter */
		if (!isfinite(to->watts) && v[k - 1].t > began)
			to->watts = (joules - before) / (v[k - 1].t - began);
	}
	return p;
}

static json_t *series_json(const struct meter_reading *p, size_t n, enum quantity which)
{
	json_t *list = json_array();
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		double y = quantity(&p[i], which);

		any |= isfinite(y);
		json_array_append_new(list, isfinite(y) ? json_real(y) : json_null());
	}
	if (any)
		return list;
	json_decref(list);
	return NULL;
}

static json_t *span_json(const struct wall *w, double from, double to)
{
	return isfinite(to) ? json_pack("[f, f]", from - w->trace.start, to - w->trace.start) :
			      NULL;
}

/* From when to when each block was measured, and its idle time. */
static void spans_json(const struct wall *w, json_t *runs, json_t *idle)
{
	/* 0: at no time that is known */
	double *from = xcalloc(w->blocks + 1, sizeof(*from));
	double *to = xcalloc(w->blocks + 1, sizeof(*to));

	for (size_t i = 0; i < w->n; i++)
		for (size_t k = 0; k < w->ops[i].blocks.n; k++)
			for (int v = 0; v < BLOCKS_VARIANTS; v++) {
				const struct wall_time *t = &w->ops[i].times[k][v];
				size_t b = w->ops[i].idle[k];

				from[b] = fmin(to[b] ? from[b] : INFINITY, t->end - t->seconds);
				to[b] = fmax(to[b], t->end);
			}
	for (size_t b = 0; b < w->blocks; b++) {
		json_array_append_new(runs, span_json(w, from[b], to[b] ?: NAN));
		json_array_append_new(idle, span_json(w, w->idle[b].end - w->idle[b].seconds,
						      w->idle[b].seconds ? w->idle[b].end : NAN));
	}
	free(from);
	free(to);
}

static json_t *trace_json(const struct wall *w)
{
	json_t *runs = json_array(), *idle = json_array();
	size_t n;
	struct meter_reading *p = thin(&w->trace, &n);
	json_t *o = json_pack("{s:o, s:o}", "runs", runs, "idle", idle);

	for (size_t i = 0; i < ARRAY_SIZE(quantity_keys); i++) {
		json_t *series = series_json(p, n, i);

		if (series)
			json_object_set_new(o, quantity_keys[i], series);
	}
	spans_json(w, runs, idle);
	free(p);
	return o;
}

/* --- for people, and as data --- */

static double idle_median(const struct wall *w)
{
	double *x = xcalloc(w->blocks + 1, sizeof(*x)), m;
	size_t n = 0;

	for (size_t i = 0; i < w->blocks; i++)
		if (isfinite(w->idle_watts[i]))
			x[n++] = w->idle_watts[i];
	m = stats_median(x, n);
	free(x);
	return m;
}

static void print_blocks(FILE *out, const char *name, const char *what, const struct blocks *b,
			 size_t width)
{
	struct blocks_ratio r, c;

	blocks_ratio(b, BLOCKS_B, &r);
	blocks_ratio(b, BLOCKS_CONTROL, &c);
	fprintf(out, "  %-*s %-5s %5zu %9.4f %9.4f", (int)width, name, what, b->n,
		MICRO * wall_median(b, BLOCKS_A), MICRO * wall_median(b, BLOCKS_B));
	wall_print_ratio(out, &r);
	wall_print_ratio(out, &c);
	wall_print_verdict(out, &r, &c);
}

void energy_print(FILE *out, const struct wall *w)
{
	const struct meter_trace *t = &w->trace;
	size_t width = 10;

	if (!w->meter || w->no_energy) {
		fprintf(out, "\nEnergy: unmeasured%s%s\n",
			w->meter ? ": " : "; --meter measures it", w->no_energy ?: "");
		return;
	}
	for (size_t i = 0; i < w->n; i++)
		width = strlen(w->ops[i].name) > width ? strlen(w->ops[i].name) : width;
	fprintf(out,
		"\nMicrojoules per call, %s: all that the machine took, and net of what it takes idle, %.3f W;\n"
		"%zu readings, %zu expected, %zu gaps, %zu damaged\n",
		t->meter, idle_median(w), t->received, t->expected, t->gaps, t->bad);
	fprintf(out, "  %-*s %5s %5s %9s %9s  %-23s  %-23s  %s\n", (int)width, "operation", "", "n",
		"A", "B", "B/A", "A/A", "B takes");
	for (size_t i = 0; i < w->n; i++) {
		const struct wall_op *op = &w->ops[i];

		if (!op->gross.n)
			continue;
		print_blocks(out, op->name, "gross", &op->gross, width);
		if (op->net.n)
			print_blocks(out, "", "net", &op->net, width);
		else
			fprintf(out, "  %-*s net   unmeasured: %s\n", (int)width, "",
				op->no_net ?: "");
	}
}

json_t *energy_json(const struct wall *w)
{
	const struct meter_trace *t = &w->trace;
	json_t *ops, *all;

	if (!w->meter || w->no_energy)
		return json_pack("{s:s}", "unmeasured", w->no_energy ?: "no --meter");
	ops = json_array();
	for (size_t i = 0; i < w->n; i++) {
		const struct wall_op *op = &w->ops[i];
		json_t *o;

		if (!op->gross.n)
			continue;
		o = json_pack("{s:s, s:s, s:o}", "name", op->name, "unit", "J", "gross",
			      wall_blocks_json(&op->gross));
		json_object_set_new(o, "net",
				    op->net.n ? wall_blocks_json(&op->net) :
						json_pack("{s:s?}", "unmeasured", op->no_net));
		json_array_append_new(ops, o);
	}
	all = json_pack("{s:s, s:i, s:i, s:i, s:i, s:o}", "meter", t->meter, "received",
			(int)t->received, "expected", (int)t->expected, "gaps", (int)t->gaps,
			"damaged", (int)t->bad, "operations", ops);
	json_object_set_new(all, "trace", trace_json(w));
	if (isfinite(idle_median(w)))
		json_object_set_new(all, "idle_watts", json_real(idle_median(w)));
	return all;
}
