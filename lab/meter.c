// SPDX-License-Identifier: GPL-2.0
#include "meter.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"
#include "stats.h"

#define FIRST	"# cdevlab meter 1"
#define SILENCE 3   /* periods */
#define WAIT_S	0.2 /* for a reading, before a signal is looked for */
#define AT_ONCE 64  /* readings */
#define COLUMNS 5
#define FIELDS	64

static const struct meter_kind *const kinds[] = { &meter_fnb58, &meter_rapl, &meter_hwmon };

/* --- which there are --- */

void meter_list(const char *root, struct meter **meters, size_t *n)
{
	*meters = NULL;
	*n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		kinds[i]->list(root, meters, n);
}

struct meter *meter_add(struct meter **meters, size_t *n, const struct meter_kind *kind)
{
	*meters = xrealloc(*meters, *n + 1, sizeof(**meters));
	(*meters)[*n] = (struct meter){ .kind = kind };
	return &(*meters)[(*n)++];
}

void meters_free(struct meter *meters, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(meters[i].name);
		free(meters[i].what);
		free(meters[i].why_not);
		strv_free(&meters[i].paths);
	}
	free(meters);
}

static bool is_called(const struct meter *m, const char *name)
{
	return !strcmp(name, "auto") || !strcmp(name, m->kind->name) || !strcmp(name, m->name);
}

enum lab_exit meter_find(const char *name, const struct meter *meters, size_t n,
			 const struct meter **found)
{
	const struct meter *first = NULL;

	*found = NULL;
	for (size_t i = 0; i < n && !*found; i++) {
		if (!is_called(&meters[i], name))
			continue;
		first = first ?: &meters[i];
		if (!meters[i].why_not)
			*found = &meters[i];
	}
	if (*found)
		return LAB_OK;
	if (first)
		return lab_fail(LAB_CANNOT, first->why_not, "the meter %s cannot be read",
				first->name);
	return lab_fail(LAB_CANNOT, "cdevlab meter list shows those that there are",
			strcmp(name, "auto") ? "there is no meter %s here" :
					       "there is no meter here",
			name);
}

/* --- recording --- */

void meter_note(struct meter_session *s, const struct meter_reading *r, double period)
{
	if (!s->received++)
		s->began = r->t;
	else if (r->t - s->last > SILENCE * period)
		s->gaps++;
	s->last = r->t;
}

static void put_number(FILE *f, double v, const char *end)
{
	if (isfinite(v))
		fprintf(f, "%.6f", v);
	fputs(end, f);
}

static void put_reading(FILE *f, const struct meter_reading *r, double start)
{
	put_number(f, r->t - start, ",");
	put_number(f, r->volts, ",");
	put_number(f, r->amps, ",");
	put_number(f, r->watts, ",");
	put_number(f, r->joules, "\n");
}

static void put_end(FILE *f, const struct meter_session *s)
{
	fprintf(f, "# received %zu expected %zu gaps %zu bad %zu%s%s\n", s->received, s->expected,
		s->gaps, s->bad, s->why ? ", then " : "", s->why ?: "");
}

static void show(const struct meter_session *s, const struct meter_reading *r)
{
	struct buf line = {};

	if (isfinite(r->volts))
		buf_printf(&line, "  %.4f V  %.5f A", r->volts, r->amps);
	if (isfinite(r->watts))
		buf_printf(&line, "  %.4f W", r->watts);
	if (isfinite(r->joules))
		buf_printf(&line, "  %.3f J", r->joules);
	lab_stage("meter", "%.0f s%s", r->t - s->began, line.s ?: "");
	buf_free(&line);
}

enum lab_exit meter_record(const struct meter *m, const char *path, double seconds, bool shown)
{
	_cleanup_free_ char *now = utc_now();
	struct meter_reading r[AT_ONCE];
	struct meter_session s = { .meter = m };
	double start = now_s(), told = 0;
	enum lab_exit ret = m->kind->open(&s);
	FILE *f = ret		    ? NULL :
		  strcmp(path, "-") ? fopen(path, "we") :
				      fdopen(dup(STDOUT_FILENO), "w");
	int n = 0;

	if (!f) {
		m->kind->close(&s);
		return ret   ?:
			       lab_fail(LAB_CANNOT, "name another file with -o",
					"cannot write %s: %s", path, strerror(errno));
	}
	fprintf(f, FIRST "\n# meter %s\n# started %s, clock %.6f\nt_s,volts,amps,watts,joules\n",
		m->name, now, start);
	while (!lab_interrupted() && n >= 0 && (!seconds || now_s() - start < seconds)) {
		n = m->kind->read(&s, WAIT_S, r, AT_ONCE);
		for (int i = 0; i < n; i++)
			put_reading(f, &r[i], start);
		/* whatever becomes of us, what was read is there */
		if (n > 0 && fflush(f))
			break;
		if (shown && n > 0 && r[n - 1].t - told >= 1) {
			told = r[n - 1].t;
			show(&s, &r[n - 1]);
		}
	}
	lab_stage_done(NULL);
	/* one that is elsewhere has its last words then */
	m->kind->close(&s);
	put_end(f, &s);
	/* a write that failed earlier fails in the end as well */
	if (fflush(f) || ferror(f))
		ret = lab_fail(LAB_CANNOT, "make room, or name another file with -o",
			       "cannot write %s: %s", path, strerror(errno));
	else if (s.why)
		ret = lab_fail(LAB_CANNOT, "what came until then is in the file",
			       "the meter %s failed after %.1f s (%s): %s", m->name,
			       s.received ? s.last - s.began : 0, path, s.why);
	fclose(f);
	free(s.why);
	return ret;
}

/* --- reading a recording --- */

static const struct {
	size_t column; /* in struct meter_reading */
	const char *names[5];
} columns[COLUMNS] = {
	{ offsetof(struct meter_reading, t), { "t_s", "timestamp", "time", "time_s", "t" } },
	{ offsetof(struct meter_reading, volts), { "volts", "voltage_v", "voltage", "v", "u_v" } },
	{ offsetof(struct meter_reading, amps), { "amps", "current_a", "current", "a", "i_a" } },
	{ offsetof(struct meter_reading, watts), { "watts", "power_w", "power", "w", "p_w" } },
	{ offsetof(struct meter_reading, joules),
	  { "joules", "energy_j", "j", "energy_ws", "ws" } },
};

static double *field_of(struct meter_reading *r, size_t column)
{
	void *at = (char *)r + columns[column].column;

	return at;
}

static size_t split(char *line, char *fields[FIELDS])
{
	const char *by = strchr(line, ',') ? "," : strchr(line, ';') ? ";" : " \t";
	size_t n = 0;
	char *word;

	while (n < FIELDS && (word = strsep(&line, by)))
		if (*by != ' ' || *word)
			fields[n++] = str_trim(word);
	return n;
}

/* Which of our columns each of the file's is; -1: none. */
static bool read_heading(char *line, int map[FIELDS])
{
	char *fields[FIELDS];
	size_t n = split(line, fields);
	bool has[COLUMNS] = {};

	for (size_t i = 0; i < FIELDS; i++)
		map[i] = -1;
	for (size_t i = 0; i < n; i++)
		for (size_t c = 0; c < COLUMNS; c++)
			for (size_t k = 0; k < ARRAY_SIZE(columns[c].names); k++)
				if (!has[c] && !strcasecmp(fields[i], columns[c].names[k])) {
					map[i] = c;
					has[c] = true;
				}
	return has[0] && (has[3] || has[4] || (has[1] && has[2]));
}

static bool read_line(char *line, const int map[FIELDS], struct meter_reading *r)
{
	char *fields[FIELDS], *end;
	size_t n = split(line, fields);

	*r = (struct meter_reading){ NAN, NAN, NAN, NAN, NAN };
	for (size_t i = 0; i < n; i++) {
		double v;

		if (map[i] < 0 || !*fields[i])
			continue;
		v = strtod(fields[i], &end);
		if (*end || !isfinite(v))
			return false;
		*field_of(r, map[i]) = v;
	}
	if (isnan(r->watts))
		r->watts = r->volts * r->amps;
	return isfinite(r->t) && (isfinite(r->watts) || isfinite(r->joules));
}

bool meter_reading_parse(char *line, struct meter_reading *r)
{
	int map[FIELDS];

	for (int i = 0; i < FIELDS; i++)
		map[i] = i < COLUMNS ? i : -1;
	return read_line(line, map, r);
}

static void read_remark(const char *line, struct meter_trace *t)
{
	char name[128], started[64];
	double start;

	if (sscanf(line, "# meter %127s", name) == 1) {
		free(t->meter);
		t->meter = xstrdup(name);
	} else if (sscanf(line, "# started %63[^,], clock %lf", started, &start) == 2) {
		t->started = xstrdup(started);
		t->start = start;
	} else if (sscanf(line, "# received %zu expected %zu gaps %zu bad %zu", &t->received,
			  &t->expected, &t->gaps, &t->bad) == 4) {
		t->whole = true;
	}
}

static enum lab_exit is_none(const char *path, size_t line, const char *what)
{
	return lab_fail(
		LAB_USAGE,
		"it needs columns t_s and watts, or volts and amps, or joules; see cdevlab(1)",
		"%s:%zu: %s", path, line, what);
}

static enum lab_exit read_lines(const char *path, char *text, struct meter_trace *t)
{
	int map[FIELDS];
	bool heading = false;
	size_t number = 0;
	char *line;

	while ((line = strsep(&text, "\n"))) {
		struct meter_reading r;
		bool last = !text;

		number++;
		if (*line == '#') {
			read_remark(line, t);
			continue;
		}
		if (!*str_trim(line))
			continue;
		if (!heading) {
			heading = read_heading(line, map);
			if (!heading)
				return is_none(path, number, "this is no heading of a recording");
			continue;
		}
		/* what was being written when the power went away */
		if (!read_line(line, map, &r)) {
			if (last)
				break;
			return is_none(path, number, "this is no reading");
		}
		if (t->n && r.t < t->v[t->n - 1].t)
			return is_none(path, number, "it is earlier than the line before");
		if (!(t->n & (t->n - 1)))
			t->v = xrealloc(t->v, t->n ? 2 * t->n : 1, sizeof(*t->v));
		t->v[t->n++] = r;
	}
	return t->n > 1 ? LAB_OK : is_none(path, number, "it has fewer than two readings");
}

enum lab_exit meter_trace_read(const char *path, struct meter_trace *t)
{
	struct buf b = {};
	int err = file_read(path, &b);
	enum lab_exit ret;

	*t = (struct meter_trace){ .start = NAN, .meter = xstrdup(path_base(path)) };
	if (err)
		ret = lab_fail(LAB_USAGE, NULL, "cannot read %s: %s", path, strerror(-err));
	else
		ret = read_lines(path, b.s ?: (char[]){ "" }, t);
	if (!t->whole)
		t->received = t->n;
	buf_free(&b);
	return ret;
}

void meter_trace_free(struct meter_trace *t)
{
	free(t->meter);
	free(t->started);
	free(t->v);
	*t = (struct meter_trace){};
}

/* --- energy --- */

/* Between two readings, at a time. */
static double between(double t0, double v0, double t1, double v1, double t)
{
	return t1 > t0 ? v0 + (v1 - v0) * (t - t0) / (t1 - t0) : v1;
}

/* Of the readings' own distances, the middle one. */
static double period_of(const struct meter_trace *t)
{
	double *d = xcalloc(t->n, sizeof(*d)), period;
	size_t n = 0;

	for (size_t i = 1; i < t->n; i++)
		d[n++] = t->v[i].t - t->v[i - 1].t;
	period = stats_median(d, n);
	free(d);
	return period;
}

bool meter_energy(const struct meter_trace *t, double from, double to, struct meter_energy *out)
{
	bool counter = isfinite(t->v[0].joules);
	double period, missing = 0;

	*out = (struct meter_energy){};
	if (!(from < to) || from < t->v[0].t || to > t->v[t->n - 1].t)
		return false;
	period = period_of(t);
	for (size_t i = 1; i < t->n; i++) {
		const struct meter_reading *a = &t->v[i - 1], *b = &t->v[i];
		double begin = a->t < from ? from : a->t, end = b->t > to ? to : b->t;

		if (end <= begin)
			continue;
		if (counter)
			out->joules += between(a->t, a->joules, b->t, b->joules, end) -
				       between(a->t, a->joules, b->t, b->joules, begin);
		else
			out->joules += (between(a->t, a->watts, b->t, b->watts, begin) +
					between(a->t, a->watts, b->t, b->watts, end)) /
				       2 * (end - begin);
		out->silence = end - begin > out->silence ? end - begin : out->silence;
		if (end - begin > SILENCE * period)
			missing += end - begin;
	}
	out->watts = out->joules / (to - from);
	out->share = 1 - missing / (to - from);
	return true;
}
