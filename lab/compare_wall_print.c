// SPDX-License-Identifier: GPL-2.0
/* A comparison by the wall clock, for people and as data. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"

void wall_print_ratio(FILE *out, const struct blocks_ratio *r)
{
	if (r->known)
		fprintf(out, "  %.4f [%.4f, %.4f]", r->median, r->interval.low, r->interval.high);
	else
		fprintf(out, "  %.4f %-16s", r->median, "(too few)");
}

double wall_median(const struct blocks *b, enum blocks_variant v)
{
	double *x = xcalloc(b->n + 1, sizeof(*x)), m;

	for (size_t i = 0; i < b->n; i++)
		x[i] = b->v[i][v];
	m = stats_median(x, b->n);
	free(x);
	return m;
}

void wall_print_verdict(FILE *out, const struct blocks_ratio *b, const struct blocks_ratio *control)
{
	size_t far = b->outliers.low_severe + b->outliers.high_severe;

	fprintf(out, "  %s", blocks_verdict_name(b->verdict));
	if (b->verdict == BLOCKS_LESS || b->verdict == BLOCKS_MORE)
		fprintf(out, ", %+.1f %%", 100 * (b->median - 1));
	if (control->verdict == BLOCKS_LESS || control->verdict == BLOCKS_MORE)
		fputs("; BUT A IS NOT THE SAME AS A", out);
	if (b->drifts)
		fputs("; the ratio drifts", out);
	if (far)
		fprintf(out, "; %zu far off, counted", far);
	fputc('\n', out);
}

static void print_op(FILE *out, const struct wall_op *op, size_t width)
{
	struct blocks_ratio b, c;

	blocks_ratio(&op->blocks, BLOCKS_B, &b);
	blocks_ratio(&op->blocks, BLOCKS_CONTROL, &c);
	fprintf(out, "  %-*s %5zu %9.1f %9.1f", (int)width, op->name, op->blocks.n,
		wall_median(&op->blocks, BLOCKS_A), wall_median(&op->blocks, BLOCKS_B));
	wall_print_ratio(out, &b);
	wall_print_ratio(out, &c);
	wall_print_verdict(out, &b, &c);
}

static const double late_shares[] = { 0.5, 0.99, 0.999 };

/* Of A and B; of the control there is nothing to see that the times do not show. */
static void print_late(FILE *out, const struct wall *w, size_t width)
{
	if (!w->rate)
		return;
	fprintf(out,
		"\nMicroseconds from when a call was due to its end, %d a second, whether or not the one before had ended\n"
		"  %-*s     calls       p50       p99     p99.9       max\n",
		w->rate, (int)width, "operation");
	for (size_t i = 0; i < w->n; i++) {
		for (int v = 0; v <= BLOCKS_B; v++) {
			const struct wall_late *l = &w->ops[i].late[v];

			if (!l->count)
				continue;
			fprintf(out, "  %-*s %s %7.0f", (int)width, v ? "" : w->ops[i].name,
				wall_variants[v], l->count);
			for (size_t s = 0; s < ARRAY_SIZE(late_shares); s++) {
				double ns = wall_late_quantile(l, late_shares[s]);

				if (isfinite(ns))
					fprintf(out, " %9.2f", ns / 1e3);
				else
					fprintf(out, " %9s", "too few");
			}
			fprintf(out, " %9.2f\n", l->max / 1e3);
		}
	}
}

static json_t *late_json(const struct wall_late *l)
{
	static const char *const keys[] = { "p50_ns", "p99_ns", "p999_ns" };
	json_t *o = json_pack("{s:f, s:f}", "calls", l->count, "max_ns", l->max);

	for (size_t s = 0; s < ARRAY_SIZE(keys); s++) {
		double ns = wall_late_quantile(l, late_shares[s]);

		json_object_set_new(o, keys[s], isfinite(ns) ? json_real(ns) : json_null());
	}
	return o;
}

static void print_machine(FILE *out, const struct wall *w)
{
	_cleanup_free_ char *text = machine_text(&w->moves), *warning = machine_warning(&w->moves);

	if (w->moves.n)
		fprintf(out, "The machine: %s\n", text);
	if (warning)
		fprintf(out, "WARNING: %s\n", warning);
}

void wall_print(FILE *out, const struct wall *w)
{
	_cleanup_free_ char *boots = w->boots > 1 ? xasprintf(" and %zu boots", w->boots) : NULL;
	size_t width = 10, n = 0;

	if (w->failure) {
		fprintf(out, "\nWall clock: unmeasured: %s\n", w->failure);
		return;
	}
	for (size_t i = 0; i < w->n; i++) {
		n += w->ops[i].blocks.n > 0;
		width = strlen(w->ops[i].name) > width ? strlen(w->ops[i].name) : width;
	}
	if (!n) {
		fputs("\nWall clock: unmeasured: they have no operation in common\n", out);
		return;
	}
	fprintf(out,
		"\nNanoseconds per call, wall clock (%s): %zu blocks in %.0f s%s, each with A, B and A again, freshly\n"
		"loaded, in a drawn order (seed %llu), about %d ms each; medians, and intervals of %g %%\n",
		w->accel ?: "", w->blocks, w->seconds, boots ?: "", w->seed, w->ms,
		100 * w->confidence);
	if (w->accel && !strcmp(w->accel, "tcg"))
		fputs("Emulated: this tells which is slower, and large differences; it does not tell by how much on a machine.\n",
		      out);
	if (w->accel && !strcmp(w->accel, "tcg") && w->tasks)
		fputs("Of several at once it tells nothing: emulated processors do not share caches and locks as real ones do.\n",
		      out);
	print_machine(out, w);
	fprintf(out, "  %-*s %5s %9s %9s  %-23s  %-23s  %s\n", (int)width, "operation", "n", "A",
		"B", "B/A", "A/A", "B takes");
	for (size_t i = 0; i < w->n; i++)
		if (w->ops[i].blocks.n)
			print_op(out, &w->ops[i], width);
	print_late(out, w, width);
	energy_print(out, w);
}

static json_t *interval_json(const struct stats_interval *i)
{
	return json_pack("[f, f]", i->low, i->high);
}

static json_t *ratio_json(const struct blocks_ratio *r)
{
	json_t *o =
		json_pack("{s:i, s:f, s:s, s:b, s:{s:i, s:i, s:i, s:i}}", "n", (int)r->n, "median",
			  r->median, "verdict", blocks_verdict_name(r->verdict), "drifts",
			  r->drifts, "outliers", "low_severe", (int)r->outliers.low_severe,
			  "low_mild", (int)r->outliers.low_mild, "high_mild",
			  (int)r->outliers.high_mild, "high_severe", (int)r->outliers.high_severe);

	if (r->known) {
		json_object_set_new(o, "interval", interval_json(&r->interval));
		json_object_set_new(o, "bootstrap", interval_json(&r->bootstrap));
	}
	return o;
}

json_t *wall_blocks_json(const struct blocks *blocks)
{
	struct blocks_ratio b, c;
	json_t *rows = json_array();

	blocks_ratio(blocks, BLOCKS_B, &b);
	blocks_ratio(blocks, BLOCKS_CONTROL, &c);
	for (size_t i = 0; i < blocks->n; i++)
		json_array_append_new(rows, json_pack("[f, f, f]", blocks->v[i][0], blocks->v[i][1],
						      blocks->v[i][2]));
	return json_pack("{s:o, s:o, s:o}", "ratio", ratio_json(&b), "control", ratio_json(&c),
			 "blocks", rows);
}

static json_t *op_json(const struct wall_op *op)
{
	json_t *o = wall_blocks_json(&op->blocks);

	json_object_update_new(o, json_pack("{s:s, s:s}", "name", op->name, "unit", "ns"));
	if (op->late[BLOCKS_A].count && op->late[BLOCKS_B].count)
		json_object_set_new(o, "late",
				    json_pack("[o, o]", late_json(&op->late[BLOCKS_A]),
					      late_json(&op->late[BLOCKS_B])));
	return o;
}

json_t *wall_json(const struct wall *w)
{
	_cleanup_free_ char *text = NULL, *warning = NULL;
	json_t *ops = json_array();

	if (w->failure) {
		json_decref(ops);
		return json_pack("{s:s}", "unmeasured", w->failure);
	}
	for (size_t i = 0; i < w->n; i++)
		if (w->ops[i].blocks.n)
			json_array_append_new(ops, op_json(&w->ops[i]));
	text = machine_text(&w->moves);
	warning = machine_warning(&w->moves);
	return json_pack("{s:s?, s:i, s:f, s:f, s:I, s:i, s:f, s:i, s:i, s:o, s:o, s:s, s:s*}",
			 "accel", w->accel, "rate", w->rate, "confidence", w->confidence, "margin",
			 w->margin, "seed", (json_int_t)w->seed, "ms", w->ms, "seconds", w->seconds,
			 "blocks", (int)w->blocks, "boots", (int)w->boots, "operations", ops,
			 "energy", energy_json(w), "machine", text, "warning", warning);
}
