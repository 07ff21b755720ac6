// SPDX-License-Identifier: GPL-2.0
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const file_names[] = { "record.json", "compare.json", "safety.json",
					  "thesis.json" };

const char *store_text(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

double store_number(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

bool store_true(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static bool read_kind(const json_t *o, enum store_kind *kind)
{
	const char *is = store_text(o, "kind");

	if (is && !strcmp(is, "compare"))
		*kind = STORE_COMPARE;
	else if (is && !strcmp(is, "safety"))
		*kind = STORE_SAFETY;
	else if (is && !strcmp(is, "thesis") && json_is_array(json_object_get(o, "pairs")))
		*kind = STORE_THESIS;
	else if (json_is_array(json_object_get(o, "inputs")) &&
		 json_is_object(json_object_get(o, "tests")))
		*kind = STORE_RUN;
	else if (store_text(o, "clock") && json_is_array(json_object_get(o, "operations")))
		*kind = STORE_BENCH;
	else
		return false;
	return true;
}

char *store_read_text(const char *text, size_t n, struct store_run *run)
{
	json_error_t error;
	json_t *o = json_loadb(text, n, 0, &error);
	enum store_kind kind;

	if (!o && !text[strspn(text, " \t\r\n")])
		return xstrdup("it is empty");
	if (!o)
		return xasprintf("line %d: %s", error.line, error.text);
	if (!read_kind(o, &kind)) {
		json_decref(o);
		return xstrdup("it is no record of cdevlab");
	}
	run->kind = kind;
	run->json = o;
	run->command = store_text(o, "command");
	run->ended = store_text(o, "ended");
	return NULL;
}

static struct store_run *new_run(struct store *s, const char *path)
{
	/* grown by halves, since there may be thousands */
	if (!(s->n & (s->n - 1)))
		s->runs = xrealloc(s->runs, s->n ? s->n * 2 : 1, sizeof(*s->runs));
	s->runs[s->n] = (struct store_run){ .path = xstrdup(path) };
	return &s->runs[s->n];
}

/* Reads it whole; false: it is damaged, and that was said. */
static bool read_whole(struct store *s, struct store_run *run)
{
	_cleanup_free_ char *problem = NULL;
	struct buf b = {};
	int err = file_read(run->path, &b);

	problem = err ? xstrdup(strerror(-err)) : store_read_text(b.s, b.n, run);
	buf_free(&b);
	if (!problem)
		return true;
	lab_warn("%s is left out: %s", run->path, problem);
	s->damaged++;
	return false;
}

#define HEAD "{ \"covers\" : \"%64[0-9a-f]\" , \"ended\" : \"%31[^\"]\""

static bool parse_head(FILE *f, char covers[65], char ended[32])
{
	char end[2];

	return fscanf(f, HEAD, covers, ended) == 2 && strlen(covers) == 64 &&
	       !fseek(f, -2, SEEK_END) && fread(end, 1, 2, f) == 2 && !memcmp(end, "}\n", 2);
}

/* What store_write() puts at the beginning, of a file that has its end as well. */
static bool read_head(struct store_run *run)
{
	FILE *f = fopen(run->path, "re");
	char covers[65], ended[32];
	bool whole = f && parse_head(f, covers, ended);

	if (f)
		fclose(f);
	if (!whole)
		return false;
	run->covers = xstrdup(covers);
	run->head = xstrdup(ended);
	run->ended = run->head;
	return true;
}

static void read_file(struct store *s, const char *path)
{
	struct store_run *run = new_run(s, path);

	if (read_head(run) || read_whole(s, run))
		s->n++;
	else
		free(run->path);
}

enum lab_exit store_write(const char *path, json_t *json, char *covers)
{
	json_t *o = json_object();
	const char *ended = store_text(json, "ended");
	_cleanup_free_ char *text = NULL;
	struct buf b = {};
	int err;

	json_object_set_new(o, "covers", json_string(covers));
	json_object_set_new(o, "ended", json_string(ended ?: ""));
	json_object_update(o, json);
	text = json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(10));
	buf_printf(&b, "%s\n", text ?: "null");
	err = file_write(path, b.s, b.n);
	buf_free(&b);
	json_decref(o);
	json_decref(json);
	free(covers);
	if (err)
		return lab_fail(LAB_CANNOT, "make room, or name another directory with -o",
				"cannot write %s: %s", path, strerror(-err));
	return LAB_OK;
}

void store_add(struct store *s, const char *path, json_t *json)
{
	struct store_run *run = new_run(s, path);
	enum store_kind kind = STORE_RUN;

	read_kind(json, &kind);
	run->kind = kind;
	run->json = json;
	run->command = store_text(json, "command");
	run->ended = store_text(json, "ended");
	run->id = ++s->n;
}

/* The records that lie in a results directory. */
static bool read_results(struct store *s, const char *dir)
{
	bool any = false;

	for (size_t i = 0; i < ARRAY_SIZE(file_names); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, file_names[i]);

		if (!file_exists(path))
			continue;
		any = true;
		read_file(s, path);
	}
	return any;
}

static enum lab_exit read_dir(struct store *s, const char *dir)
{
	struct dirent *e;
	DIR *d;

	if (read_results(s, dir))
		return LAB_OK;
	d = opendir(dir);
	if (!d)
		return lab_fail(LAB_CANNOT, NULL, "cannot read %s: %s", dir, strerror(errno));
	while ((e = readdir(d))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, e->d_name);

		/* a name with a dot is of one that is not complete yet */
		if (e->d_name[0] != '.' && is_dir(path))
			read_results(s, path);
	}
	closedir(d);
	return LAB_OK;
}

static int by_age(const void *a, const void *b)
{
	const struct store_run *x = a, *y = b;
	int r = strcmp(x->ended ?: "", y->ended ?: "");

	return r ? r : strcmp(x->path, y->path);
}

static void free_run(struct store_run *run)
{
	json_decref(run->json);
	free(run->path);
	free(run->head);
	free(run->covers);
}

/* The same file under two names would be two runs. */
static void remove_twice(struct store *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (n && !strcmp(s->runs[n - 1].path, s->runs[i].path))
			free_run(&s->runs[i]);
		else
			s->runs[n++] = s->runs[i];
	}
	s->n = n;
}

/* Newest first: of those that know the same things only the newest is read. */
static void read_what_counts(struct store *s)
{
	json_t *seen = json_object();
	size_t n = 0;

	for (size_t i = s->n; i--;) {
		struct store_run *run = &s->runs[i];

		if (run->json || json_object_get(seen, run->covers))
			continue;
		if (read_whole(s, run))
			json_object_set_new(seen, run->covers, json_true());
		else
			run->id = SIZE_MAX;
	}
	json_decref(seen);
	for (size_t i = 0; i < s->n; i++) {
		if (s->runs[i].id == SIZE_MAX) {
			free_run(&s->runs[i]);
			continue;
		}
		s->runs[n] = s->runs[i];
		s->runs[n].id = n + 1;
		n++;
	}
	s->n = n;
}

static enum lab_exit read_name(struct store *s, const char *given)
{
	_cleanup_free_ char *name = xstrdup(given);

	while (strlen(name) > 1 && str_ends(name, "/"))
		name[strlen(name) - 1] = '\0';
	if (!file_exists(name))
		return lab_fail(LAB_USAGE,
				"name a record, a results directory, or a directory of those",
				"there is no %s", name);
	if (is_dir(name))
		return read_dir(s, name);
	read_file(s, name);
	return LAB_OK;
}

enum lab_exit store_open(struct store *s, const struct strv *names)
{
	enum lab_exit ret = LAB_OK;

	*s = (struct store){};
	for (size_t i = 0; i < names->n && !ret; i++)
		ret = read_name(s, names->v[i]);
	if (!names->n && file_exists(STORE_DEFAULT))
		ret = read_dir(s, STORE_DEFAULT);
	if (s->n)
		qsort(s->runs, s->n, sizeof(*s->runs), by_age);
	remove_twice(s);
	read_what_counts(s);
	if (!ret && !s->n)
		ret = lab_fail(LAB_CANNOT, "./cdevlab run makes one",
			       s->damaged ? "there is no record in %s that can be read" :
					    "there are no records yet in %s",
			       names->n ? names->v[0] : STORE_DEFAULT);
	return ret;
}

void store_free(struct store *s)
{
	for (size_t i = 0; i < s->n; i++)
		free_run(&s->runs[i]);
	free(s->runs);
	*s = (struct store){};
}
