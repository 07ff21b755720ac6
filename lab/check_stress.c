// SPDX-License-Identifier: GPL-2.0
/* Stress of our rooms for a moment, and of tests/racy, whose races it must find. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "klog.h"
#include "test.h"

#define STRESS_S	 4 /* of each module, and of each race */
#define STRESS_TIMEOUT_S 180
#define SEQUENCES	 "their sequences are number "

/* Each room of ours is hammered for a moment; a longer time is for cdevlab stress. */
static enum lab_exit stress_rooms(struct ktap *suite)
{
	struct test_instead p;
	struct test_run t = { .instead = &p };
	enum lab_exit ret;

	test_instead_stress(&p, STRESS_S, time(NULL));
	ret = test_into(&t, suite);
	test_instead_free(&p);
	return ret;
}

static enum lab_exit race_boot(struct boot *b, struct test_run *t, const char *bug)
{
	const struct built *built = &t->built[0];
	enum lab_exit ret = boot_init(b, &t->k[0]);
	struct job *j;

	if (ret)
		return ret;
	/* given at load, and again when the module is loaded again */
	free(t->d[0].params);
	t->d[0].params = xasprintf("bug=%s", bug);
	b->vm.label = bug;
	b->vm.timeout_s = STRESS_TIMEOUT_S;
	boot_add_module(b, built, &built->modules[0]);
	boot_add_load(b, built, &built->modules[0]);
	boot_add_suite(b, built, "stress");
	j = boot_add_job(b, built->modules[0].name, "stress", STRESS_TIMEOUT_S / 2);
	strv_addf(&j->argv, "stress-%s", built->driver->name);
	strv_addf(&j->argv, "--for=%d", STRESS_S);
	strv_add(&j->argv, "--seed=1");
	return LAB_OK;
}

/* The expected text is in a finding of the kernel log or in what the program said; with "-" nothing may be. */
static void judge_race(struct ktap *suite, const struct boot *b, const char *expect)
{
	struct ktap *t = ktap_new(suite, b->vm.label);
	const struct job *j = &b->jobs[1];
	bool found = j->out.s && strstr(j->out.s, expect);
	const char *first = NULL;
	struct klog log = {};

	klog_scan(b->vm.log.s ?: "", KLOG_TAINT_MODULE, &log);
	for (size_t i = 0; i < log.n; i++) {
		_cleanup_free_ char *line = xasprintf(
			"%s: %s", klog_kind_name(log.findings[i].kind), log.findings[i].headline);

		found |= str_starts(line, expect);
		first = first ?: log.findings[i].headline;
	}
	if (strcmp(expect, "-"))
		ktap_set(t, found ? KTAP_PASS : KTAP_FAIL, "not found: %s%s%s", expect,
			 first ? "; but: " : "", first ?: "");
	else if (first || b->vm.end != VM_CLEAN || !j->ended || strcmp(j->status, "0"))
		ktap_set(t, KTAP_FAIL, "%s", first ?: j->status ?: vm_end_name(b->vm.end));
	if (t->result != KTAP_PASS && j->out.s)
		ktap_note(t, "%s", j->out.s);
	klog_free(&log);
}

/* All of one driver and one seed: the program gives its sequences' number. */
static void judge_sequences(struct ktap *suite, const struct boot *boots, size_t n)
{
	struct ktap *t = ktap_new(suite, "the same seed gives the same sequences");
	_cleanup_free_ char *first = NULL;

	for (size_t i = 0; i < n; i++) {
		const char *out = boots[i].jobs[1].out.s;
		const char *at = out ? strstr(out, SEQUENCES) : NULL;
		_cleanup_free_ char *number = NULL;

		if (!at) {
			ktap_set(t, KTAP_FAIL, "%s does not tell", boots[i].vm.label);
			return;
		}
		at += strlen(SEQUENCES);
		number = xstrndup(at, strcspn(at, "\n"));
		if (first && strcmp(first, number))
			ktap_set(t, KTAP_FAIL, "%s and %s", first, number);
		if (!first)
			first = xstrdup(number);
	}
}

/* What hammering must find, with each race in a guest of its own. */
static enum lab_exit stress_races(struct ktap *suite)
{
	_cleanup_free_ char *dir = xasprintf("%s/tests/racy", lab_data_dir());
	_cleanup_free_ char *table = xasprintf("%s/expect.txt", dir);
	struct strv rows = {}, bugs = {}, expect = {};
	struct boot *boots, **list;
	struct test_run t = {};
	enum lab_exit ret;

	strv_add(&t.drivers, dir);
	ret = test_prepare_one(&t);
	if (!ret && table_read(table, &rows))
		ret = lab_fail(LAB_CANNOT, NULL, "cannot read %s", table);
	for (size_t i = 0; i < rows.n; i++) {
		size_t n = strcspn(rows.v[i], "\t");

		if (!rows.v[i][n])
			continue;
		strv_take(&bugs, xstrndup(rows.v[i], n));
		strv_add(&expect, rows.v[i] + n + 1);
	}
	boots = xcalloc(bugs.n, sizeof(*boots));
	list = xcalloc(bugs.n, sizeof(*list));
	for (size_t i = 0; i < bugs.n && !ret; i++) {
		list[i] = &boots[i];
		ret = race_boot(&boots[i], &t, bugs.v[i]);
	}
	if (!ret)
		ret = boot_run(list, bugs.n, 0);
	for (size_t i = 0; i < bugs.n && !ret; i++)
		judge_race(suite, &boots[i], expect.v[i]);
	if (!ret)
		judge_sequences(suite, boots, bugs.n);
	for (size_t i = 0; i < bugs.n; i++)
		boot_free(&boots[i]);
	free(boots);
	free(list);
	strv_free(&rows);
	strv_free(&bugs);
	strv_free(&expect);
	test_run_free(&t);
	return ret;
}

enum lab_exit check_stress(struct ktap *suite)
{
	enum lab_exit ret = stress_rooms(suite);

	return ret ? ret : stress_races(ktap_new(suite, "races"));
}
