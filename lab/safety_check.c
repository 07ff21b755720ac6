// SPDX-License-Identifier: GPL-2.0
/* What check asks of the safety experiment: that its patches still apply, and a short matrix that is known. */
#include "safety_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proc.h"
#include "safety.h"
#include "store.h"

#define MAKE_TIMEOUT_S 300
#define STRESS_S       2

/* Only the modules: the programs are those of the room, and no bug's. */
static enum lab_exit make_modules(const struct kernel *k, const char *dir, struct ktap *t)
{
	struct strv argv = {};
	struct proc p = { .dir = dir, .timeout_s = MAKE_TIMEOUT_S };
	enum lab_exit ret;

	strv_split(&argv, "make -s", " ");
	strv_addf(&argv, "-j%ld", sysconf(_SC_NPROCESSORS_ONLN));
	strv_add(&argv, "-C");
	strv_add(&argv, k->kdir);
	strv_addf(&argv, "M=%s", dir);
	strv_addf(&argv, "CC=%s", k->cc);
	for (size_t i = 0; i < k->make_args.n; i++)
		strv_add(&argv, k->make_args.v[i]);
	strv_add(&argv, "modules");
	p.argv = argv.v;
	ret = proc_run(&p);
	if (ret == LAB_TIMEOUT) {
		ktap_set(t, KTAP_TIMEOUT, "after %d s", MAKE_TIMEOUT_S);
		ret = LAB_OK;
	} else if (!ret && p.status) {
		ktap_set(t, KTAP_FAIL, "it applies, and does not compile");
		ktap_note(t, "%s", p.err.s ?: "");
	}
	proc_free(&p);
	strv_free(&argv);
	return ret;
}

/* Those in Rust only apply here: safety itself compiles them, and fails where one is not as its patch says. */
static enum lab_exit check_patch(const struct safety_bug *b, const struct safety_bugs *bugs,
				 const struct kernel *k, struct ktap *suite)
{
	_cleanup_free_ char *name =
		xasprintf("%s %s-%s in %s", b->number, b->slug, safety_language_name(b->language),
			  path_base(b->room));
	struct ktap *t = ktap_new(suite, name);
	char *tmp = temp_dir(NULL);
	_cleanup_free_ char *dir = tmp ? xasprintf("%s/%s", tmp, path_base(b->room)) : NULL;
	enum lab_exit ret = tmp ? safety_room(b, b->room, bugs, dir) : LAB_CANNOT;

	lab_stage(suite->name, "%s", name);
	if (ret == LAB_FAILED) {
		ktap_set(t, KTAP_FAIL, "it does not apply any more");
		ret = LAB_OK;
	} else if (!ret && b->language == SAFETY_C && !b->error) {
		ret = make_modules(k, dir, t);
	}
	if (tmp)
		temp_dir_done(tmp);
	return ret;
}

static enum lab_exit check_patches(struct ktap *suite)
{
	struct safety_bugs bugs = {};
	struct kernel k = {};
	struct strv rooms = {};
	enum lab_exit ret = kernel_get(NULL, false, &k);

	if (!ret)
		ret = safety_bugs_read(&rooms, &bugs);
	for (size_t i = 0; i < bugs.n && !ret; i++)
		ret = check_patch(&bugs.v[i], &bugs, &k, suite);
	safety_bugs_free(&bugs);
	kernel_free(&k);
	return ret;
}

static const json_t *find_cell(const json_t *matrix, const char *number, const char *column)
{
	json_t *row, *c;
	size_t r, i;

	json_array_foreach(json_object_get(matrix, "rows"), r, row) {
		if (strcmp(store_text(row, "number") ?: "", number))
			continue;
		json_array_foreach(json_object_get(matrix, "columns"), i, c) {
			if (!strcmp(store_text(c, "name") ?: "", column))
				return json_array_get(json_object_get(row, "cells"), i);
		}
	}
	return NULL;
}

/* A line "02	conformance	caught". */
static void judge_line(struct ktap *suite, const json_t *matrix, const char *line)
{
	_cleanup_free_ char *name = str_replace(line, "\t", " ");
	struct ktap *t = ktap_new(suite, name);
	struct strv words = {};
	const json_t *cell = NULL;

	strv_split(&words, line, "\t");
	if (words.n == 3)
		cell = find_cell(matrix, words.v[0], words.v[1]);
	if (!cell)
		ktap_set(t, KTAP_FAIL, "there is no such cell");
	else if (strcmp(store_text(cell, "state") ?: "", words.v[2]))
		ktap_set(t, KTAP_FAIL, "%s: %s", store_text(cell, "state"),
			 store_text(cell, "evidence"));
	strv_free(&words);
}

/* Measured now, whatever the cache has. */
static enum lab_exit check_matrix(struct ktap *suite)
{
	_cleanup_free_ char *dir = xasprintf("%s/tests/seeded", lab_data_dir());
	_cleanup_free_ char *table = xasprintf("%s/expect.txt", dir);
	struct safety s = { .stress_s = STRESS_S, .seed = 1, .since = time(NULL) };
	struct strv rooms = {}, rows = {};
	enum lab_exit ret;

	strv_add(&rooms, dir);
	strv_add(&s.columns, "coccinelle");
	strv_add(&s.columns, "analyzer");
	strv_add(&s.columns, "clang");
	strv_add(&s.columns, "conformance");
	ret = safety_bugs_read(&rooms, &s.bugs);
	if (!ret && table_read(table, &rows))
		ret = lab_fail(LAB_CANNOT, NULL, "cannot read %s", table);
	if (!ret)
		ret = safety_prepare(&s);
	if (!ret)
		ret = safety_run(&s);
	if (!ret) {
		json_t *matrix = safety_json(&s);

		for (size_t i = 0; i < rows.n; i++)
			judge_line(suite, matrix, rows.v[i]);
		json_decref(matrix);
	}
	strv_free(&rooms);
	strv_free(&rows);
	safety_free(&s);
	return ret;
}

enum lab_exit safety_check(struct ktap *suite)
{
	enum lab_exit ret = check_patches(ktap_new(suite, "patches"));

	return ret ? ret : check_matrix(ktap_new(suite, "matrix"));
}
