// SPDX-License-Identifier: GPL-2.0
/* Every driver and every twin, on the kernels of check. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "check.h"
#include "test.h"

/* Rooms that have a budget or goals, and of the kernels the first of each architecture. */
static void choose_measured(struct test_run *m, const struct test_run *t)
{
	for (size_t i = 0; i < t->n_drivers; i++) {
		_cleanup_free_ char *budget = xasprintf("%s/budget.json", t->d[i].dir);
		_cleanup_free_ char *goals = xasprintf("%s/goals.json", t->d[i].dir);

		if (file_exists(budget) || file_exists(goals))
			strv_add(&m->drivers, t->d[i].dir);
	}
	for (size_t k = 0; k < t->n_kernels; k++) {
		bool first = true;

		for (size_t i = 0; i < k; i++)
			first &= t->k[i].arch != t->k[k].arch;
		if (first)
			strv_add(&m->kernels, t->k[k].name);
	}
}

/* Their budgets and goals, a test of each operation. */
static enum lab_exit check_budgets(struct ktap *suite, const struct test_run *t)
{
	struct test_run m = {};
	struct bench b = { .run = &m, .trace = true };
	enum lab_exit ret;

	choose_measured(&m, t);
	ret = test_prepare(&m);
	/* what does not build was told before */
	if (m.root)
		ktap_free(m.root);
	m.root = ktap_new(NULL, "measured");
	if (!ret)
		ret = bench_boot(&b);
	for (size_t i = 0; i < m.n_drivers && !ret; i++) {
		_cleanup_free_ char *budget = xasprintf("%s/budget.json", m.d[i].dir);

		if (file_exists(budget))
			ret = bench_budget_check(&b, &m.d[i], budget);
	}
	if (!ret)
		bench_goals_check(&b);
	ktap_move(suite, m.root);
	bench_free(&b);
	test_run_free(&m);
	return ret == LAB_SKIPPED ? LAB_OK : ret;
}

/*
 * The default kernel; beside it the oldest and the newest stable one, and one of each architecture. What cannot
 * be had here is skipped.
 */
static void check_kernels(struct strv *kernels, struct ktap *suite)
{
	static const char *const more[] = { "debian:bookworm", "debian:trixie",
					    "debian:trixie/amd64", "debian:trixie/arm64",
					    "debian:trixie/riscv64" };
	char *name = kernel_default_name();

	if (!name)
		return; /* the stage after us says why */
	strv_take(kernels, name);
	for (size_t i = 0; i < ARRAY_SIZE(more) && !lab_interrupted(); i++) {
		struct kernel k = {};
		enum lab_exit ret = kernel_get(more[i], false, &k);

		if (ret)
			ktap_set(ktap_new(suite, more[i]), KTAP_SKIP, "%s cannot be had here",
				 more[i]);
		else if (!strv_has(kernels, k.name))
			strv_add(kernels, k.name);
		kernel_free(&k);
	}
}

enum lab_exit check_drivers(struct ktap *suite)
{
	_cleanup_free_ char *new_room = xasprintf("%s/" CHECK_NEW_ROOM, lab_data_dir());
	struct test_run t = {};
	enum lab_exit ret = driver_names(&t.drivers);

	if (ret)
		return ret;
	strv_add(&t.drivers, new_room);
	check_kernels(&t.kernels, suite);
	ret = test_prepare(&t);
	if (!ret)
		ret = test_boot(&t);
	if (!ret)
		ret = check_budgets(suite, &t);
	if (t.root)
		ktap_move(suite, t.root);
	test_run_free(&t);
	return ret;
}

/* Rooms of ours that have a twin. */
static enum lab_exit twin_rooms(struct strv *rooms)
{
	struct strv names = {};
	enum lab_exit ret = driver_names(&names);

	for (size_t i = 0; i < names.n; i++) {
		_cleanup_free_ char *pattern =
			xasprintf("%s/drivers/%s/*.rs", lab_data_dir(), names.v[i]);
		glob_t g = {};

		if (!glob(pattern, 0, NULL, &g))
			strv_add(rooms, names.v[i]);
		globfree(&g);
	}
	strv_free(&names);
	return ret;
}

/* A warning in a twin is a failure, as it is in the kernel's own Rust. */
static void judge_messages(struct ktap *suite, const struct test_run *t)
{
	struct ktap *quiet = ktap_new(suite, "the compilers have nothing to say");

	for (size_t i = 0; i < t->n_kernels * t->n_drivers; i++) {
		_cleanup_free_ char *path =
			xasprintf("%s/messages.txt", t->built[i].dir ?: "/nonexistent");
		struct buf b = {};

		if (t->built[i].n && !file_read(path, &b) && b.n) {
			ktap_set(quiet, KTAP_FAIL, "of %s", t->built[i].driver->name);
			ktap_note(quiet, "%s", b.s);
		}
		buf_free(&b);
	}
}

/* C and Rust beside each other, by the kernel's own toolchain. */
static enum lab_exit test_twins(struct ktap *suite)
{
	struct test_run t = {};
	enum lab_exit ret = twin_rooms(&t.drivers);

	if (!ret && t.drivers.n)
		ret = test_prepare(&t);
	if (!ret && t.drivers.n)
		judge_messages(suite, &t);
	if (!ret && t.drivers.n)
		ret = test_boot(&t);
	if (t.root)
		ktap_move(suite, t.root);
	test_run_free(&t);
	return ret;
}

/* Where it was not asked for by name, a machine that cannot make the toolchain skips it. */
enum lab_exit check_rust(struct ktap *suite)
{
	_cleanup_free_ char *why = NULL;
	bool demanded = lab_options.rust;
	struct kernel k = {};
	enum lab_exit ret;

	lab_options.rust = true;
	if (!demanded)
		lab_keep_failure(&why);
	ret = kernel_get(NULL, false, &k);
	lab_keep_failure(NULL);
	kernel_free(&k);
	if (!ret)
		ret = test_twins(suite);
	else if (!demanded && ret == LAB_CANNOT)
		ktap_set(ktap_new(suite, "toolchain"), KTAP_SKIP, "%s",
			 why ?: "the kernel's toolchain cannot be had");
	lab_options.rust = demanded;
	return why && ret == LAB_CANNOT ? LAB_OK : ret;
}
