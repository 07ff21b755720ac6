// SPDX-License-Identifier: GPL-2.0
/* The sweep over faults: a short one of our rooms, and the proof that it finds what it is for. */
#include <stdlib.h>
#include <string.h>

#include "../guest/protocol.h"
#include "check.h"
#include "test.h"

#define LIMIT_S 600 /* of a sweep, on a busy host */

/* The quick one of each room. */
static enum lab_exit sweep_rooms(struct ktap *suite, const char *kernel)
{
	struct test_run t = {};
	struct test_instead p;
	enum lab_exit ret;

	test_instead_faults(&p, true);
	t.instead = &p;
	strv_add(&t.kernels, kernel);
	ret = test_into(&t, suite);
	test_instead_free(&p);
	return ret;
}

/* struct wrong - a row of tests/failing/expect.txt */
struct wrong {
	char *bug, *call, *text;
	size_t guest;
};

static size_t read_wrongs(const char *table, struct wrong **wrongs, size_t *guests)
{
	char *at, *line, *rest;
	struct buf text = {};
	bool gap = false;
	size_t n = 0;

	*wrongs = NULL;
	*guests = 0;
	if (file_read(table, &text))
		return 0;
	for (rest = text.s; (line = strsep(&rest, "\n"));) {
		struct wrong w = {};

		gap |= !*line;
		at = line;
		w.bug = strsep(&at, "\t");
		w.call = strsep(&at, "\t");
		w.text = at;
		if (*line == '#' || !w.text)
			continue;
		*guests += gap || !n;
		gap = false;
		w = (struct wrong){ xstrdup(w.bug), xstrdup(w.call), xstrdup(w.text), *guests - 1 };
		*wrongs = xrealloc(*wrongs, n + 1, sizeof(**wrongs));
		(*wrongs)[n++] = w;
	}
	buf_free(&text);
	return n;
}

/* Loads the driver with that error path, sweeps the call, and unloads it. */
static void add_wrong(struct boot *b, const struct built *built, const struct wrong *w)
{
	const char *m = built->modules[0].name;
	_cleanup_free_ char *load = xasprintf("load-%s", w->bug),
			    *job = xasprintf("faults-%s", w->bug);
	_cleanup_free_ char *unload = xasprintf("unload-%s", w->bug);
	struct job *j = boot_add_job(b, m, load, LIMIT_S);

	strv_add(&j->argv, "insmod");
	strv_addf(&j->argv, MODULES_DIR "/%s.ko", m);
	strv_addf(&j->argv, "bug=%s", w->bug);
	j = boot_add_job(b, m, job, LIMIT_S);
	strv_addf(&j->argv, "faults-%s", built->driver->name);
	strv_add(&j->argv, "--quick");
	strv_add(&j->argv, "--params");
	strv_addf(&j->argv, "bug=%s", w->bug);
	strv_add(&j->argv, "--filter");
	strv_add(&j->argv, w->call);
	j = boot_add_job(b, m, unload, LIMIT_S);
	strv_add(&j->argv, "rmmod");
	strv_add(&j->argv, m);
}

static void judge_wrong(struct ktap *suite, const struct boot *b, const char *module,
			const struct wrong *w, const struct klog *log)
{
	_cleanup_free_ char *name = xasprintf("faults-%s", w->bug);
	const struct job *j = boot_find_job(b, module, name);
	struct ktap *t = ktap_new(suite, w->bug);
	const char *first = NULL;
	bool found = j->out.s && strstr(j->out.s, w->text);

	for (size_t i = 0; i < log->n; i++) {
		const struct klog_finding *f = &log->findings[i];
		_cleanup_free_ char *line =
			xasprintf("%s: %s", klog_kind_name(f->kind), f->headline);

		if (!f->test || !str_starts(f->test, j->name))
			continue;
		found |= str_starts(line, w->text);
		first = first ?: f->headline;
	}
	if (strcmp(w->text, "-"))
		ktap_set(t, found ? KTAP_PASS : KTAP_FAIL, "not found: %s%s%s", w->text,
			 first ? "; but: " : "", first ?: "");
	else if (first || !j->ended || strcmp(j->status, "0"))
		ktap_set(t, KTAP_FAIL, "%s", first ?: j->status ?: vm_end_name(b->vm.end));
	if (t->result != KTAP_PASS && j->out.s)
		ktap_note(t, "%s", j->out.s);
}

static enum lab_exit wrong_boot(struct boot *b, const struct test_run *t)
{
	const struct built *built = &t->built[0];
	enum lab_exit ret = boot_init(b, &t->k[0]);

	if (ret)
		return ret;
	b->vm.label = "wrong error paths";
	b->vm.timeout_s = 3 * LIMIT_S;
	b->vm.exact = t->instead->exact;
	b->vm.append = t->instead->append;
	boot_add_module(b, built, &built->modules[0]);
	boot_add_suite(b, built, t->instead->name);
	return LAB_OK;
}

/* All rows of a guest. */
static void judge_guest(struct ktap *suite, const struct boot *b, const char *module,
			const struct wrong *wrongs, size_t n, size_t guest)
{
	struct klog log = {};

	klog_scan(b->vm.log.s ?: "", KLOG_TAINT_MODULE, &log);
	for (size_t i = 0; i < n; i++)
		if (wrongs[i].guest == guest)
			judge_wrong(suite, b, module, &wrongs[i], &log);
	klog_free(&log);
}

static enum lab_exit boot_wrongs(struct ktap *suite, const struct test_run *t,
				 const struct wrong *wrongs, size_t n, size_t guests)
{
	struct boot *boots = xcalloc(guests, sizeof(*boots)), **list;
	const struct built *built = &t->built[0];
	enum lab_exit ret = LAB_OK;

	list = xcalloc(guests, sizeof(*list));
	for (size_t i = 0; i < guests && !ret; i++) {
		list[i] = &boots[i];
		ret = wrong_boot(&boots[i], t);
	}
	for (size_t i = 0; i < n && !ret; i++)
		add_wrong(&boots[wrongs[i].guest], built, &wrongs[i]);
	if (!ret)
		ret = boot_run(list, guests, 0);
	for (size_t i = 0; i < guests && !ret; i++)
		judge_guest(suite, &boots[i], built->modules[0].name, wrongs, n, i);
	for (size_t i = 0; i < guests; i++)
		boot_free(&boots[i]);
	free(boots);
	free(list);
	return ret;
}

/* Each wrong error path is found by the sweep. */
static enum lab_exit prove(struct ktap *suite, const char *kernel)
{
	_cleanup_free_ char *dir = xasprintf("%s/tests/failing", lab_data_dir());
	_cleanup_free_ char *table = xasprintf("%s/expect.txt", dir);
	struct test_instead p;
	struct test_run t = { .instead = &p };
	struct wrong *wrongs;
	enum lab_exit ret;
	size_t guests, n = read_wrongs(table, &wrongs, &guests);

	test_instead_faults(&p, false);
	strv_add(&t.drivers, dir);
	strv_add(&t.kernels, kernel);
	ret = n ? test_prepare_one(&t) : lab_fail(LAB_CANNOT, NULL, "cannot read %s", table);
	if (!ret)
		ret = boot_wrongs(suite, &t, wrongs, n, guests);
	for (size_t i = 0; i < n; i++) {
		free(wrongs[i].bug);
		free(wrongs[i].call);
		free(wrongs[i].text);
	}
	free(wrongs);
	test_run_free(&t);
	test_instead_free(&p);
	return ret;
}

enum lab_exit check_faults(struct ktap *suite, const char *kernel)
{
	enum lab_exit ret = sweep_rooms(ktap_new(suite, "faults"), kernel);

	return ret ? ret : prove(ktap_new(suite, "wrong error paths"), kernel);
}
