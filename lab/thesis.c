// SPDX-License-Identifier: GPL-2.0
/* The recomputation. Where printed figures go in, what their rounding leaves open is carried along. */
#include "thesis.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "stats.h"
#include "thesis_private.h"

#define S_PER_HOUR 3600

static const char *const language[] = { [THESIS_C] = "C", [THESIS_RUST] = "Rust" };

const char *thesis_verdict_name(enum thesis_verdict v)
{
	static const char *const names[] = {
		[THESIS_NOT_PRINTED] = "not printed",
		[THESIS_AS_PRINTED] = "as printed",
		[THESIS_WITHIN_ROUNDING] = "within rounding",
		[THESIS_DIFFERS] = "differs",
	};

	return names[v];
}

/* --- ranges --- */

/* struct range - a value, and between what it must lie; of positive quantities */
struct range {
	double value, low, high;
};

/* Half a unit of the last printed digit. */
static double half_unit(const struct printed *p)
{
	return 0.5 * pow(10, -p->decimals);
}

/* All that would be printed so. */
static struct range rounded(const struct printed *p)
{
	return (struct range){ p->value, p->value - half_unit(p), p->value + half_unit(p) };
}

static struct range exactly(double v)
{
	return (struct range){ v, v, v };
}

static struct range times(struct range a, struct range b)
{
	return (struct range){ a.value * b.value, a.low * b.low, a.high * b.high };
}

static struct range over(struct range a, struct range b)
{
	return (struct range){ a.value / b.value, a.low / b.high, a.high / b.low };
}

static struct range minus(struct range a, struct range b)
{
	return (struct range){ a.value - b.value, a.low - b.high, a.high - b.low };
}

static struct range percent(struct range from, struct range to)
{
	return (struct range){ stats_percent(from.value, to.value),
			       stats_percent(from.high, to.low), stats_percent(from.low, to.high) };
}

static struct range watts(const struct printed *wh, const struct printed *seconds)
{
	return over(times(rounded(wh), exactly(S_PER_HOUR)), rounded(seconds));
}

/* Watt hours above what the idle machine takes in that time. */
static struct range net_wh(const struct printed *wh, const struct printed *seconds,
			   const struct printed *idle_w)
{
	return minus(rounded(wh),
		     over(times(rounded(idle_w), rounded(seconds)), exactly(S_PER_HOUR)));
}

/* --- figures --- */

static struct thesis_figure *add(struct thesis *t, const char *section, struct range r,
				 int decimals, const char *unit, const char *what, ...)
	__attribute__((format(printf, 6, 7)));

/* Valid until the next one. */
static struct thesis_figure *add(struct thesis *t, const char *section, struct range r,
				 int decimals, const char *unit, const char *what, ...)
{
	struct thesis_figure *f;
	char *text;
	va_list args;

	va_start(args, what);
	text = xvasprintf(what, args);
	va_end(args);
	t->figures = xrealloc(t->figures, t->n_figures + 1, sizeof(*t->figures));
	f = &t->figures[t->n_figures++];
	*f = (struct thesis_figure){
		.section = section,
		.what = text,
		.unit = xstrdup(unit),
		.ours = r.value,
		.decimals = decimals,
		.low = r.low,
		.high = r.high,
		.interval = r.low < r.high,
	};
	return f;
}

/* Whether a value is printed as @p when it is rounded to as many digits. */
static bool prints_as(double v, const struct printed *p)
{
	double unit = pow(10, p->decimals);

	return fabs(round(v * unit) - p->value * unit) < 0.5;
}

static void compare(struct thesis_figure *f, const struct printed *p)
{
	struct range r = rounded(p);

	f->printed = p->value;
	f->has_printed = true;
	f->printed_text = xstrdup(p->text);
	if (prints_as(f->ours, p))
		f->verdict = THESIS_AS_PRINTED;
	else if (f->interval && r.high >= f->low && r.low <= f->high)
		f->verdict = THESIS_WITHIN_ROUNDING;
	else
		f->verdict = THESIS_DIFFERS;
}

/* --- the tables --- */

static struct range time_percent(const struct thesis_data_build *b)
{
	return percent(rounded(&b->seconds[THESIS_C]), rounded(&b->seconds[THESIS_RUST]));
}

static struct thesis_build build(const struct thesis_data *d, struct thesis_data_build *from)
{
	struct thesis_build b = {
		.name = from->name,
		.percent = from->percent.value,
		.energy_percent = from->energy_percent.value,
	};

	from->name = NULL;
	for (size_t l = 0; l < THESIS_LANGUAGES; l++) {
		const struct printed *s = &from->seconds[l], *wh = &from->wh[l];

		b.module[l] = from->module[l];
		from->module[l] = NULL;
		b.seconds[l] = s->value;
		b.wh[l] = wh->value;
		b.runs[l] = from->runs[l].value;
		b.margin_s[l] = from->margin_s[l].value;
		b.ns_per_op[l] = s->value * 1e9 / d->operations.value;
		b.uj_per_op[l] = wh->value * S_PER_HOUR * 1e6 / d->operations.value;
		b.watts[l] = watts(wh, s).value;
		b.net_wh[l] = net_wh(wh, s, &d->idle_w).value;
	}
	b.watts_percent = stats_percent(b.watts[THESIS_C], b.watts[THESIS_RUST]);
	b.net_percent = stats_percent(b.net_wh[THESIS_C], b.net_wh[THESIS_RUST]);
	return b;
}

/* A difference that the text gives and the table does not; it may be that of another row. */
static void add_text_percent(struct thesis *t, const struct thesis_data *d, size_t i)
{
	const struct printed *p = &d->builds[i].text_percent;
	struct thesis_figure *f;

	f = add(t, "Run time", time_percent(&d->builds[i]), 2, "%",
		"%s: Rust against C, in the text", t->builds[i].name);
	compare(f, p);
	for (size_t k = 0; k < d->n && f->verdict == THESIS_DIFFERS && !f->how; k++)
		if (prints_as(time_percent(&d->builds[k]).value, p))
			f->how = xasprintf("it is the figure of: %s", t->builds[k].name);
}

static void add_run_times(struct thesis *t, const struct thesis_data *d)
{
	for (size_t i = 0; i < d->n; i++)
		compare(add(t, "Run time", time_percent(&d->builds[i]), 2, "%",
			    "%s: Rust against C", t->builds[i].name),
			&d->builds[i].percent);
	for (size_t i = 0; i < d->n; i++)
		if (d->builds[i].text_percent.text)
			add_text_percent(t, d, i);
	for (size_t i = 1; i < d->n; i++) {
		for (size_t l = 0; l < THESIS_LANGUAGES; l++) {
			struct range more = minus(rounded(&d->builds[i].seconds[l]),
						  rounded(&d->builds[i - 1].seconds[l]));

			add(t, "Run time", times(more, exactly(1e9 / d->operations.value)), 0, "ns",
			    "%s, %s: a write, above %s", t->builds[i].name, language[l],
			    t->builds[i - 1].name);
		}
	}
}

/* The same build with the energy that the text gives for it in C. */
static void add_text_energy(struct thesis *t, const struct thesis_data *d, size_t i)
{
	const struct thesis_data_build *b = &d->builds[i];
	const struct printed *s = b->seconds, *wh = b->wh, *text = &b->text_wh;
	struct thesis_figure *f;

	f = add(t, "Energy", exactly(wh[THESIS_C].value), 2, "Wh", "%s, C: in the text",
		t->builds[i].name);
	compare(f, text);
	f->how = xstrdup("the table has another figure than the text; one of them is wrong");
	add(t, "Energy", watts(text, &s[THESIS_C]), 3, "W", "%s, C: mean power, by the text",
	    t->builds[i].name);
	add(t, "Energy", percent(rounded(text), rounded(&wh[THESIS_RUST])), 1, "%",
	    "%s: Rust against C, by the text", t->builds[i].name);
	add(t, "Energy",
	    percent(net_wh(text, &s[THESIS_C], &d->idle_w),
		    net_wh(&wh[THESIS_RUST], &s[THESIS_RUST], &d->idle_w)),
	    1, "%", "%s: Rust against C, net of idle, by the text", t->builds[i].name);
}

static void add_energies(struct thesis *t, const struct thesis_data *d)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct printed *wh = d->builds[i].wh;

		compare(add(t, "Energy", percent(rounded(&wh[THESIS_C]), rounded(&wh[THESIS_RUST])),
			    2, "%", "%s: Rust against C", t->builds[i].name),
			&d->builds[i].energy_percent);
	}
	for (size_t i = 0; i < d->n; i++) {
		const struct printed *s = d->builds[i].seconds, *wh = d->builds[i].wh;

		add(t, "Energy",
		    percent(watts(&wh[THESIS_C], &s[THESIS_C]),
			    watts(&wh[THESIS_RUST], &s[THESIS_RUST])),
		    1, "%", "%s: Rust against C, mean power", t->builds[i].name);
	}
	for (size_t i = 0; i < d->n; i++) {
		const struct printed *s = d->builds[i].seconds, *wh = d->builds[i].wh;

		add(t, "Energy",
		    percent(net_wh(&wh[THESIS_C], &s[THESIS_C], &d->idle_w),
			    net_wh(&wh[THESIS_RUST], &s[THESIS_RUST], &d->idle_w)),
		    1, "%", "%s: Rust against C, net of idle", t->builds[i].name);
	}
	for (size_t i = 0; i < d->n; i++)
		if (d->builds[i].text_wh.text)
			add_text_energy(t, d, i);
	add(t, "Energy", exactly((d->meter_permille[0].value + d->meter_permille[1].value) / 10), 2,
	    "%", "the meter: a power's error that grows with it")
		->how = xasprintf("%s + %s per mille, of voltage and of current; not per cent",
				  d->meter_permille[0].text, d->meter_permille[1].text);
}

/* --- numbers of runs --- */

/* struct pilot - what there is to plan with */
struct pilot {
	const struct thesis_data_pilot *data;
	double mean, sd;
	double margin, confidence; /* that the plan has */
	const char *build;
};

static struct pilot pilot_of(const struct thesis *t, const struct thesis_data *d)
{
	const struct thesis_data_pilot *from = &d->pilot;
	double *runs = xcalloc(from->n, sizeof(*runs));
	struct pilot p;

	for (size_t i = 0; i < from->n; i++)
		runs[i] = from->runs_s[i].value;
	p = (struct pilot){
		.data = from,
		.mean = stats_mean(runs, from->n),
		.sd = stats_sd(runs, from->n),
		.margin = d->builds[from->of].margin_s[THESIS_C].value,
		.confidence = d->planned_confidence.value / 100,
		.build = t->builds[from->of].name,
	};
	free(runs);
	return p;
}

/* Runs by z for a confidence and a margin. */
static struct thesis_figure *add_by_z(struct thesis *t, const struct pilot *p, double confidence,
				      double margin)
{
	double z = stats_z(confidence);
	struct thesis_figure *f;

	f = add(t, "Pilot runs", exactly(stats_samples_z(p->sd, margin, confidence)), 0, "runs",
		"for %g %% and +-%g s, by z", confidence * 100, margin);
	f->how = xasprintf("(%.4f * %.2f / %g)^2 = %.2f", z, p->sd, margin,
			   stats_needed(p->sd, margin, z));
	return f;
}

static void add_by_t(struct thesis *t, const struct pilot *p, double confidence, double margin)
{
	double quantile = stats_t(confidence, p->data->n - 1);
	size_t n = stats_samples_t(p->sd, margin, confidence);
	struct thesis_figure *f;

	f = add(t, "Pilot runs", exactly(n), 0, "runs", "for %g %% and +-%g s, by t",
		confidence * 100, margin);
	f->how = xasprintf("t with its own %zu degrees of freedom is %.4f", n - 1,
			   stats_t(confidence, n - 1));
	f = add(t, "Pilot runs",
		exactly(stats_samples_stein(p->sd, p->data->n, margin, confidence)), 0, "runs",
		"for %g %% and +-%g s, by Stein's two stages", confidence * 100, margin);
	f->how = xasprintf("(%.4f * %.2f / %g)^2 = %.2f", quantile, p->sd, margin,
			   stats_needed(p->sd, margin, quantile));
}

static void add_pilot(struct thesis *t, const struct thesis_data *d, const struct pilot *p)
{
	const struct thesis_data_pilot *from = p->data;
	const struct thesis_data_build *b = &d->builds[from->of];
	struct range root =
		over(times(rounded(&from->z), rounded(&from->sd_s)), exactly(from->margin_s.value));
	double half = half_unit(&from->runs_s[0]);
	double concluded = from->concluded_confidence.value / 100;
	struct thesis_figure *f;

	f = add(t, "Pilot runs", (struct range){ p->mean, p->mean - half, p->mean + half }, 1, "s",
		"mean of the %zu runs", from->n);
	compare(f, &from->mean_s);
	compare(add(t, "Pilot runs", exactly(p->sd), 2, "s", "their standard deviation s"),
		&from->sd_s);
	f = add(t, "Pilot runs", times(root, root), 2, "runs", "as the text computes them");
	compare(f, &from->needed);
	f->how = xasprintf("(%s * %s / %s)^2", from->z.text, from->sd_s.text, from->margin_s.text);
	compare(add_by_z(t, p, p->confidence, p->margin), &b->runs[THESIS_C]);
	add_by_t(t, p, p->confidence, p->margin);
	add_by_z(t, p, concluded, from->margin_s.value);
	add_by_t(t, p, concluded, from->margin_s.value);
}

/* What the pilot runs alone can say of the mean. */
static void add_pilot_interval(struct thesis *t, const struct thesis_data *d, const struct pilot *p)
{
	const struct printed *s = d->builds[p->data->of].seconds;
	double half = stats_half_width(p->sd, p->data->n, p->confidence);
	struct thesis_figure *f;

	add(t, "Pilot runs", exactly(stats_t(p->confidence, p->data->n - 1)), 3, "",
	    "t for %g %%, %zu degrees of freedom", p->confidence * 100, p->data->n - 1)
		->how = xasprintf("z is %.3f", stats_z(p->confidence));
	f = add(t, "Pilot runs", exactly(half), 0, "s", "half the interval of their mean, %g %%",
		p->confidence * 100);
	f->how = xasprintf("%.3f * %.2f / sqrt(%zu), %.1f %% of the mean",
			   stats_t(p->confidence, p->data->n - 1), p->sd, p->data->n,
			   100 * half / p->mean);
	add(t, "Pilot runs", minus(rounded(&s[THESIS_RUST]), rounded(&s[THESIS_C])), 0, "s",
	    "%s: Rust above C", p->build);
	add(t, "Pilot runs", minus(rounded(&s[THESIS_C]), exactly(p->mean)), 1, "s",
	    "%s, C: table above pilot", p->build);
}

static void add_planned(struct thesis *t, const struct thesis_data *d, const struct pilot *p)
{
	double z = stats_z(p->confidence), q = stats_t(p->confidence, p->data->n - 1);
	struct range hours = {};
	double stein = 0;

	for (size_t i = 0; i < d->n; i++) {
		for (size_t l = 0; l < THESIS_LANGUAGES; l++) {
			double n = d->builds[i].runs[l].value;
			double margin = d->builds[i].margin_s[l].value;
			struct range each =
				times(rounded(&d->builds[i].seconds[l]), exactly(n / S_PER_HOUR));
			/* rounded up to n, it was above n - 1 */
			struct range sd = { margin * sqrt(n - 0.5) / z, margin * sqrt(n - 1) / z,
					    margin * sqrt(n) / z };

			add(t, "Planned runs", sd, 2, "s", "%s, %s: s behind %g runs for +-%g s",
			    t->builds[i].name, language[l], n, margin);
			hours.value += each.value;
			hours.low += each.low;
			hours.high += each.high;
			stein += ceil(n * q * q / (z * z)) * d->builds[i].seconds[l].value;
		}
	}
	add(t, "Planned runs", hours, 1, "h", "all of them together");
	add(t, "Planned runs", exactly(stein / S_PER_HOUR), 0, "h",
	    "the same by Stein, were each s that of %zu runs", p->data->n);
}

/* --- all of it --- */

static void take_data(struct thesis *t, struct thesis_data *d)
{
	t->builds = xcalloc(d->n, sizeof(*t->builds));
	for (size_t i = 0; i < d->n; i++)
		t->builds[t->n_builds++] = build(d, &d->builds[i]);
	t->operations = d->operations.value;
	t->idle_w = d->idle_w.value;
	t->source = d->source;
	t->note = d->note;
	t->op = d->operation;
	t->hello.arch = d->hello_arch;
	d->source = d->note = d->operation = d->hello_arch = NULL;
	for (size_t l = 0; l < THESIS_LANGUAGES; l++) {
		t->hello.module[l] = d->hello_module[l];
		d->hello_module[l] = NULL;
		t->hello.instructions[l] = lround(d->instructions[l].value);
		t->hello.stack_bytes[l] = lround(d->stack_bytes[l].value);
	}
	t->may = d->may;
	t->may_not = d->may_not;
	d->may = d->may_not = (struct strv){};
}

enum lab_exit thesis_read(const char *path, struct thesis *t)
{
	_cleanup_free_ char *ours = xasprintf("%s/docs/thesis.json", lab_data_dir());
	struct thesis_data d;
	struct pilot pilot;
	enum lab_exit ret;

	*t = (struct thesis){};
	ret = thesis_data_read(path ?: ours, &d);
	if (ret)
		return ret;
	take_data(t, &d);
	pilot = pilot_of(t, &d);
	add_run_times(t, &d);
	add_energies(t, &d);
	add_pilot(t, &d, &pilot);
	add_pilot_interval(t, &d, &pilot);
	add_planned(t, &d, &pilot);
	thesis_data_free(&d);
	return LAB_OK;
}

void thesis_free(struct thesis *t)
{
	for (size_t i = 0; i < t->n_builds; i++) {
		free(t->builds[i].name);
		for (size_t l = 0; l < THESIS_LANGUAGES; l++)
			free(t->builds[i].module[l]);
	}
	for (size_t i = 0; i < t->n_figures; i++) {
		free(t->figures[i].what);
		free(t->figures[i].unit);
		free(t->figures[i].how);
		free(t->figures[i].printed_text);
	}
	for (size_t l = 0; l < THESIS_LANGUAGES; l++)
		free(t->hello.module[l]);
	free(t->hello.arch);
	free(t->builds);
	free(t->figures);
	free(t->source);
	free(t->note);
	free(t->op);
	strv_free(&t->may);
	strv_free(&t->may_not);
	*t = (struct thesis){};
}
