// SPDX-License-Identifier: GPL-2.0
/*
 * Meters that the kernel shows as files: powercap, the processor's own counters of energy (RAPL), and hwmon, sensors of
 * power and energy on a board.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meter.h"
#include "proc.h"

#define PERIOD 0.1 /* s; a counter wraps after minutes, a sensor is renewed every few ms */
#define ZONES  16

/* --- files --- */

/* A number in a file. Return: 0 or -errno. */
static int read_number(const char *path, double *v)
{
	struct buf b = {};
	int err = file_read(path, &b);
	char *end;

	if (!err) {
		*v = strtod(b.s ?: "", &end);
		if (!b.s || end == b.s)
			err = -EINVAL;
	}
	buf_free(&b);
	return err;
}

static char *read_word(const char *dir, const char *file)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, file);
	struct buf b = {};
	char *word = file_read(path, &b) ? NULL : xstrdup(str_trim(b.s ?: ""));

	buf_free(&b);
	return word;
}

static char *why_not(const char *path, int err)
{
	if (err == -EACCES)
		return xasprintf("%s is only root's; as root: chmod a+r %s, or run this as root",
				 path, path);
	return xasprintf("%s cannot be read: %s", path, strerror(-err));
}

static int by_name(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

/* The entries of a directory, in order. */
static void entries(const char *path, struct strv *names)
{
	struct dirent *e;
	DIR *d = opendir(path);

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			strv_add(names, e->d_name);
	if (d)
		closedir(d);
	if (names->n)
		qsort(names->v, names->n, sizeof(*names->v), by_name);
}

/* --- powercap --- */

/* struct rapl - its zones */
struct rapl {
	size_t n;
	double last[ZONES], range[ZONES]; /* uJ */
	double sum;			  /* uJ since it was opened */
	double read;			  /* now_s() */
};

/*
 * Zones at the top hold those below them, "intel-rapl:0" holds "intel-rapl:0:0". One called psys is the whole platform,
 * the others' among it; and the same counters may be there a second time, by another interface ("intel-rapl-mmio").
 */
static bool is_top(const char *zone, const char *dir)
{
	_cleanup_free_ char *name = read_word(dir, "name");
	const char *colon = strchr(zone, ':');

	return colon && !strchr(colon + 1, ':') && !strstr(zone, "-mmio") && name &&
	       !str_starts(name, "psys");
}

static void rapl_list(const char *root, struct meter **meters, size_t *n)
{
	_cleanup_free_ char *base = xasprintf("%s/sys/class/powercap", root);
	struct strv names = {}, zones = {};
	struct meter *m = NULL;
	struct buf what = {};

	entries(base, &names);
	for (size_t i = 0; i < names.n; i++) {
		_cleanup_free_ char *dir = xasprintf("%s/%s", base, names.v[i]);
		_cleanup_free_ char *file = xasprintf("%s/energy_uj", dir);
		_cleanup_free_ char *name = read_word(dir, "name");
		double v;
		int err;

		if (!is_top(names.v[i], dir) || zones.n == ZONES)
			continue;
		strv_add(&zones, dir);
		buf_printf(&what, "%s%s", zones.n > 1 ? " + " : "", name);
		m = m ?: meter_add(meters, n, &meter_rapl);
		err = read_number(file, &v);
		if (err && !m->why_not)
			m->why_not = why_not(file, err);
	}
	if (m) {
		m->name = xstrdup("rapl");
		m->what = xasprintf("the processor's own counters: %s", what.s);
		m->paths = zones;
		zones = (struct strv){};
	}
	strv_free(&zones);
	strv_free(&names);
	buf_free(&what);
}

static int rapl_value(const struct meter *m, size_t zone, const char *file, double *v)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", m->paths.v[zone], file);

	return read_number(path, v);
}

static enum lab_exit rapl_open(struct meter_session *s)
{
	struct rapl *r = xcalloc(1, sizeof(*r));

	r->n = s->meter->paths.n;
	for (size_t i = 0; i < r->n; i++) {
		int err = rapl_value(s->meter, i, "energy_uj", &r->last[i]);

		if (!err)
			err = rapl_value(s->meter, i, "max_energy_range_uj", &r->range[i]);
		if (err) {
			free(r);
			return lab_fail(LAB_CANNOT, s->meter->why_not,
					"%s: its energy cannot be read: %s", s->meter->paths.v[i],
					strerror(-err));
		}
	}
	s->handle = r;
	return LAB_OK;
}

static void pause_until(double t)
{
	double left = t - now_s();

	if (left > 0)
		usleep(left * 1e6);
}

static int rapl_read(struct meter_session *s, double wait, struct meter_reading *out, size_t most)
{
	struct rapl *r = s->handle;

	(void)wait;
	if (!most)
		return 0;
	pause_until(r->read + PERIOD);
	r->read = now_s();
	for (size_t i = 0; i < r->n; i++) {
		double v;
		int err = rapl_value(s->meter, i, "energy_uj", &v);

		if (err) {
			s->why = why_not(s->meter->paths.v[i], err);
			return -1;
		}
		/* it begins again at 0 */
		r->sum += v - r->last[i] + (v < r->last[i] ? r->range[i] : 0);
		r->last[i] = v;
	}
	*out = (struct meter_reading){ r->read, NAN, NAN, NAN, r->sum * 1e-6 };
	meter_note(s, out, PERIOD);
	return 1;
}

static void sysfs_close(struct meter_session *s)
{
	free(s->handle);
	s->handle = NULL;
}

const struct meter_kind meter_rapl = { "rapl", rapl_list, rapl_open, rapl_read, sysfs_close };

/* --- hwmon --- */

/* struct hwmon - a sensor */
struct hwmon {
	bool energy; /* a counter, and no power */
	double first, read;
};

/* "power1_input" of "power1_input"; energy likewise. */
static bool is_sensor(const char *file)
{
	return str_ends(file, "_input") &&
	       (str_starts(file, "power") || str_starts(file, "energy"));
}

static void add_sensor(const char *dir, const char *chip, const char *file, struct meter **meters,
		       size_t *n)
{
	_cleanup_free_ char *sensor = xstrndup(file, strlen(file) - strlen("_input"));
	_cleanup_free_ char *label_file = xasprintf("%s_label", sensor);
	_cleanup_free_ char *label = read_word(dir, label_file);
	struct meter *m = meter_add(meters, n, &meter_hwmon);
	double v;
	int err;

	strv_addf(&m->paths, "%s/%s", dir, file);
	m->name = xasprintf("hwmon:%s/%s", chip, sensor);
	m->what = xasprintf("sensor %s of %s%s%s", sensor, chip, label ? ", " : "", label ?: "");
	err = read_number(m->paths.v[0], &v);
	if (err)
		m->why_not = why_not(m->paths.v[0], err);
}

static void hwmon_list(const char *root, struct meter **meters, size_t *n)
{
	_cleanup_free_ char *base = xasprintf("%s/sys/class/hwmon", root);
	struct strv chips = {};

	entries(base, &chips);
	for (size_t i = 0; i < chips.n; i++) {
		_cleanup_free_ char *dir = xasprintf("%s/%s", base, chips.v[i]);
		_cleanup_free_ char *name = read_word(dir, "name");
		struct strv files = {};

		entries(dir, &files);
		for (size_t f = 0; f < files.n; f++)
			if (is_sensor(files.v[f]))
				add_sensor(dir, name ?: chips.v[i], files.v[f], meters, n);
		strv_free(&files);
	}
	strv_free(&chips);
}

static enum lab_exit hwmon_open(struct meter_session *s)
{
	struct hwmon *h = xcalloc(1, sizeof(*h));
	const char *path = s->meter->paths.v[0];
	int err = read_number(path, &h->first);

	if (err) {
		free(h);
		return lab_fail(LAB_CANNOT, s->meter->why_not, "%s cannot be read: %s", path,
				strerror(-err));
	}
	h->energy = str_starts(path_base(path), "energy");
	s->handle = h;
	return LAB_OK;
}

static int hwmon_read(struct meter_session *s, double wait, struct meter_reading *out, size_t most)
{
	struct hwmon *h = s->handle;
	double v;
	int err;

	(void)wait;
	if (!most)
		return 0;
	pause_until(h->read + PERIOD);
	h->read = now_s();
	err = read_number(s->meter->paths.v[0], &v);
	if (err) {
		s->why = why_not(s->meter->paths.v[0], err);
		return -1;
	}
	*out = (struct meter_reading){ h->read, NAN, NAN, h->energy ? NAN : v * 1e-6,
				       h->energy ? (v - h->first) * 1e-6 : NAN };
	meter_note(s, out, PERIOD);
	return 1;
}

const struct meter_kind meter_hwmon = { "hwmon", hwmon_list, hwmon_open, hwmon_read, sysfs_close };
