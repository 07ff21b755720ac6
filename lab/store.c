// SPDX-License-Identifier: GPL-2.0
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const file_names[] = { "record.json", "compare.json" };

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

static void read_file(struct store *s, const char *path)
{
	struct store_run *run = new_run(s, path);
	_cleanup_free_ char *problem = NULL;
	struct buf b = {};
	int err = file_read(path, &b);

	problem = err ? xstrdup(strerror(-err)) : store_read_text(b.s, b.n, run);
	buf_free(&b);
	if (problem) {
		lab_warn("%s is left out: %s", path, problem);
		free(run->path);
		s->damaged++;
	} else {
		s->n++;
	}
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

static bool is_dir(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
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

/* The same file under two names would be two runs. */
static void remove_twice(struct store *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (n && !strcmp(s->runs[n - 1].path, s->runs[i].path)) {
			json_decref(s->runs[i].json);
			free(s->runs[i].path);
			continue;
		}
		s->runs[n++] = s->runs[i];
	}
	s->n = n;
	for (size_t i = 0; i < n; i++)
		s->runs[i].id = i + 1;
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
	if (!ret && !s->n)
		ret = lab_fail(LAB_CANNOT, "./cdevlab run makes one",
			       s->damaged ? "there is no record in %s that can be read" :
					    "there are no records yet in %s",
			       names->n ? names->v[0] : STORE_DEFAULT);
	if (s->n)
		qsort(s->runs, s->n, sizeof(*s->runs), by_age);
	remove_twice(s);
	return ret;
}

void store_free(struct store *s)
{
	for (size_t i = 0; i < s->n; i++) {
		json_decref(s->runs[i].json);
		free(s->runs[i].path);
	}
	free(s->runs);
	*s = (struct store){};
}
