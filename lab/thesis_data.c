// SPDX-License-Identifier: GPL-2.0
/* docs/thesis.json, read strictly: every key is known, and every figure is one. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "thesis_private.h"

#define HINT "take the file of a whole checkout, or install cdevlab again"

/* struct field - a key of an object, and where its value goes */
struct field {
	const char *key;
	enum {
		TEXT,	 /* char *[n] */
		NUMBER,	 /* struct printed[n] */
		OPTIONAL /* the same, may be missing */
	} type;
	size_t offset, n; /* of one: a value; of more: an array of as many */
};
#define FIELD(type, structure, key, n) #key, type, offsetof(struct structure, key), n

static const struct field root_fields[] = {
	{ FIELD(TEXT, thesis_data, source, 1) },
	{ FIELD(TEXT, thesis_data, note, 1) },
	{ FIELD(TEXT, thesis_data, operation, 1) },
	{ FIELD(NUMBER, thesis_data, operations, 1) },
	{ FIELD(NUMBER, thesis_data, idle_w, 1) },
	{ FIELD(NUMBER, thesis_data, planned_confidence, 1) },
	{ FIELD(NUMBER, thesis_data, meter_permille, 2) },
};

static const struct field build_fields[] = {
	{ FIELD(TEXT, thesis_data_build, name, 1) },
	{ "modules", TEXT, offsetof(struct thesis_data_build, module), THESIS_LANGUAGES },
	{ FIELD(NUMBER, thesis_data_build, seconds, THESIS_LANGUAGES) },
	{ FIELD(NUMBER, thesis_data_build, percent, 1) },
	{ FIELD(NUMBER, thesis_data_build, wh, THESIS_LANGUAGES) },
	{ FIELD(NUMBER, thesis_data_build, energy_percent, 1) },
	{ FIELD(NUMBER, thesis_data_build, runs, THESIS_LANGUAGES) },
	{ FIELD(NUMBER, thesis_data_build, margin_s, THESIS_LANGUAGES) },
	{ FIELD(OPTIONAL, thesis_data_build, text_percent, 1) },
	{ FIELD(OPTIONAL, thesis_data_build, text_wh, 1) },
};

static const struct field pilot_fields[] = {
	{ FIELD(TEXT, thesis_data_pilot, build, 1) },
	{ FIELD(NUMBER, thesis_data_pilot, mean_s, 1) },
	{ FIELD(NUMBER, thesis_data_pilot, sd_s, 1) },
	{ FIELD(NUMBER, thesis_data_pilot, z, 1) },
	{ FIELD(NUMBER, thesis_data_pilot, margin_s, 1) },
	{ FIELD(NUMBER, thesis_data_pilot, needed, 1) },
	{ FIELD(NUMBER, thesis_data_pilot, concluded_confidence, 1) },
};

static const struct field hello_fields[] = {
	{ "arch", TEXT, offsetof(struct thesis_data, hello_arch), 1 },
	{ "modules", TEXT, offsetof(struct thesis_data, hello_module), THESIS_LANGUAGES },
	{ FIELD(NUMBER, thesis_data, instructions, THESIS_LANGUAGES) },
	{ FIELD(NUMBER, thesis_data, stack_bytes, THESIS_LANGUAGES) },
};

/* struct object - what is being read, and how to name it to people */
struct object {
	json_t *json;
	const char *path, *where; /* of the file; in it, "" or "build 2: " */
};

static enum lab_exit wrong(const struct object *o, const char *key, const char *why)
{
	return lab_fail(LAB_USAGE, HINT, "%s: %s%s %s", o->path, o->where, key, why);
}

static bool read_number(const json_t *v, struct printed *p)
{
	const char *text = json_string_value(v);
	size_t whole, decimals = 0;

	if (!text)
		return false;
	whole = strspn(text, "0123456789");
	if (!whole || whole > 15)
		return false;
	if (text[whole] == '.') {
		decimals = strspn(text + whole + 1, "0123456789");
		if (!decimals || decimals > 9)
			return false;
	}
	if (text[whole + (decimals ? decimals + 1 : 0)] || !(strtod(text, NULL) > 0))
		return false;
	*p = (struct printed){ xstrdup(text), strtod(text, NULL), decimals };
	return true;
}

static bool read_text(const json_t *v, char **to)
{
	const char *text = json_string_value(v);

	if (text && *text)
		*to = xstrdup(text);
	return text && *text;
}

static enum lab_exit read_field(const struct object *o, const struct field *f, void *to)
{
	json_t *v = json_object_get(o->json, f->key);
	bool good = f->n == 1 || (json_is_array(v) && json_array_size(v) == f->n);

	if (!v)
		return f->type == OPTIONAL ? LAB_OK : wrong(o, f->key, "is missing");
	for (size_t i = 0; i < f->n && good; i++) {
		const json_t *item = f->n == 1 ? v : json_array_get(v, i);
		char *place = (char *)to + f->offset;

		good = f->type == TEXT ? read_text(item, (char **)place + i) :
					 read_number(item, (struct printed *)place + i);
	}
	if (good)
		return LAB_OK;
	if (f->type == TEXT)
		return wrong(o, f->key, f->n == 1 ? "is no text" : "is no pair of texts");
	return wrong(o, f->key,
		     f->n == 1 ? "is no number above 0 as it is printed, in quotes" :
				 "is no pair of numbers above 0 as they are printed, in quotes");
}

/* @others: keys that are read elsewhere, with a blank on each side */
static enum lab_exit read_fields(const struct object *o, const struct field *fields, size_t n,
				 const char *others, void *to)
{
	enum lab_exit ret = LAB_OK;
	const char *key;
	json_t *v;

	if (!json_is_object(o->json))
		return wrong(o, "it", "is no object");
	json_object_foreach(o->json, key, v) {
		_cleanup_free_ char *spaced = xasprintf(" %s ", key);
		bool known = strstr(others, spaced);

		for (size_t i = 0; i < n; i++)
			known |= !strcmp(fields[i].key, key);
		if (!known)
			return wrong(o, key, "is no key that is known here");
	}
	for (size_t i = 0; i < n && !ret; i++)
		ret = read_field(o, &fields[i], to);
	return ret;
}

static void free_fields(const struct field *fields, size_t n, void *from)
{
	for (size_t i = 0; i < n; i++) {
		char *place = (char *)from + fields[i].offset;

		for (size_t k = 0; k < fields[i].n; k++)
			free(fields[i].type == TEXT ? ((char **)place)[k] :
						      ((struct printed *)place)[k].text);
	}
}

static enum lab_exit read_list(const struct object *o, const char *key, struct strv *to)
{
	json_t *list = json_object_get(o->json, key), *v;
	size_t i;

	if (!json_is_array(list))
		return wrong(o, key, "is no list");
	json_array_foreach(list, i, v) {
		if (!json_is_string(v))
			return wrong(o, key, "is no list of sentences");
		strv_add(to, json_string_value(v));
	}
	return LAB_OK;
}

static enum lab_exit read_builds(const struct object *o, struct thesis_data *d)
{
	json_t *list = json_object_get(o->json, "builds"), *v;
	enum lab_exit ret = LAB_OK;
	size_t i;

	if (!json_array_size(list))
		return wrong(o, "builds", "is no list of builds");
	d->builds = xcalloc(json_array_size(list), sizeof(*d->builds));
	json_array_foreach(list, i, v) {
		_cleanup_free_ char *where = xasprintf("build %zu: ", i + 1);
		struct object build = { v, o->path, where };
		struct thesis_data_build *b = &d->builds[i];

		d->n++;
		ret = read_fields(&build, build_fields, ARRAY_SIZE(build_fields), "", b);
		for (size_t l = 0; l < THESIS_LANGUAGES && !ret; l++)
			if (b->wh[l].value * 3600 <= d->idle_w.value * b->seconds[l].value)
				ret = wrong(&build, "wh",
					    "is less than the idle power alone takes");
		for (size_t k = 0; k < i && !ret; k++)
			if (!strcmp(d->builds[k].name, b->name))
				ret = wrong(&build, "name", "is that of another build");
		if (ret)
			break;
	}
	return ret;
}

static enum lab_exit read_pilot(const struct object *o, struct thesis_data *d)
{
	struct object pilot = { json_object_get(o->json, "pilot"), o->path, "pilot: " };
	json_t *list = json_object_get(pilot.json, "runs_s"), *v;
	struct thesis_data_pilot *p = &d->pilot;
	enum lab_exit ret;
	size_t i;

	ret = read_fields(&pilot, pilot_fields, ARRAY_SIZE(pilot_fields), " runs_s ", p);
	if (ret)
		return ret;
	while (p->of < d->n && strcmp(d->builds[p->of].name, p->build))
		p->of++;
	if (p->of == d->n)
		return wrong(&pilot, "build", "is none of the builds");
	if (json_array_size(list) < 2)
		return wrong(&pilot, "runs_s", "is no list of two runs or more");
	p->runs_s = xcalloc(json_array_size(list), sizeof(*p->runs_s));
	json_array_foreach(list, i, v) {
		if (!read_number(v, &p->runs_s[i]))
			return wrong(&pilot, "runs_s",
				     "has one that is no number as it is printed, in quotes");
		p->n++;
	}
	return LAB_OK;
}

static enum lab_exit read_root(const struct object *o, struct thesis_data *d)
{
	struct object hello = { json_object_get(o->json, "machine_code"), o->path,
				"machine_code: " };
	enum lab_exit ret;

	ret = read_fields(o, root_fields, ARRAY_SIZE(root_fields),
			  " builds pilot machine_code may may_not ", d);
	if (!ret)
		ret = read_builds(o, d);
	if (!ret)
		ret = read_pilot(o, d);
	if (!ret)
		ret = read_fields(&hello, hello_fields, ARRAY_SIZE(hello_fields), "", d);
	if (!ret)
		ret = read_list(o, "may", &d->may);
	if (!ret)
		ret = read_list(o, "may_not", &d->may_not);
	if (!ret && d->planned_confidence.value >= 100)
		ret = wrong(o, "planned_confidence", "is not below 100 per cent");
	if (!ret && d->pilot.concluded_confidence.value >= 100)
		ret = wrong(o, "pilot: concluded_confidence", "is not below 100 per cent");
	return ret;
}

enum lab_exit thesis_data_read(const char *path, struct thesis_data *d)
{
	struct object o = { .path = path, .where = "" };
	struct buf text = {};
	json_error_t error;
	enum lab_exit ret;
	int err;

	*d = (struct thesis_data){};
	err = file_read(path, &text);
	if (!err)
		o.json = json_loadb(text.s, text.n, JSON_REJECT_DUPLICATES, &error);
	buf_free(&text);
	if (err)
		return lab_fail(LAB_CANNOT, HINT, "cannot read %s: %s", path, strerror(-err));
	if (!o.json)
		return lab_fail(LAB_USAGE, HINT, "%s:%d: %s", path, error.line, error.text);
	ret = read_root(&o, d);
	json_decref(o.json);
	if (ret)
		thesis_data_free(d);
	return ret;
}

void thesis_data_free(struct thesis_data *d)
{
	free_fields(root_fields, ARRAY_SIZE(root_fields), d);
	free_fields(hello_fields, ARRAY_SIZE(hello_fields), d);
	free_fields(pilot_fields, ARRAY_SIZE(pilot_fields), &d->pilot);
	for (size_t i = 0; i < d->n; i++)
		free_fields(build_fields, ARRAY_SIZE(build_fields), &d->builds[i]);
	for (size_t i = 0; i < d->pilot.n; i++)
		free(d->pilot.runs_s[i].text);
	free(d->pilot.runs_s);
	free(d->builds);
	strv_free(&d->may);
	strv_free(&d->may_not);
	*d = (struct thesis_data){};
}
