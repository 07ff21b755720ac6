// SPDX-License-Identifier: GPL-2.0
/* The table of tests/broken: each claim of the conformance suite fails on a driver with just that bug. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "klog.h"
#include "test.h"

#define PROVE_TIMEOUT_S 1800
#define PROOF_SHARE	"4" /* of the claims, on a driver that they need not fail on */

/* Rows of the table that take the kernel with them: "DRIVER:BUG", each needs a boot of its own. */
static enum lab_exit crash_rows(const char *table, struct strv *rows)
{
	struct strv lines = {};
	int err = table_read(table, &lines);

	for (size_t i = 0; i < lines.n; i++) {
		struct strv words = {};

		strv_split(&words, lines.v[i], " \t");
		if (words.n > 3 && !strcmp(words.v[3], "crash"))
			strv_addf(rows, "%s:%s", words.v[0], words.v[1]);
		strv_free(&words);
	}
	strv_free(&lines);
	return err ? lab_fail(LAB_CANNOT, NULL, "cannot read %s: %s", table, strerror(-err)) :
		     LAB_OK;
}

static enum lab_exit proof_boot(struct boot *b, const struct kernel *k, const struct built *built,
				const char *table, const char *only, const char *part, bool in_full)
{
	_cleanup_free_ char *conform = xasprintf("%s/bin/conform", built->dir);
	enum lab_exit ret = boot_init(b, k);
	struct job *j;

	if (ret)
		return ret;
	b->vm.label = only ?: part;
	b->vm.timeout_s = PROVE_TIMEOUT_S;
	for (size_t m = 0; m < built->n; m++)
		boot_add_module(b, built, &built->modules[m]);
	boot_add_file(b, "/lab/bin/conform", conform);
	boot_add_file(b, "/lab/expect.txt", table);
	j = boot_add_job(b, "broken", "proofs", PROVE_TIMEOUT_S);
	strv_add(&j->argv, "test_proofs");
	strv_add(&j->argv, "/lab/expect.txt");
	strv_add(&j->argv, only ? "--only" : "--part");
	strv_add(&j->argv, only ?: part);
	if (!in_full) {
		strv_add(&j->argv, "--share");
		strv_add(&j->argv, PROOF_SHARE);
	}
	return LAB_OK;
}

/* What such a guest must show: its rows, or, for a row that crashes, the crash in the claim that names it. */
static void judge_proofs(struct ktap *suite, struct boot *b, bool crash)
{
	struct ktap *t = ktap_new(suite, b->vm.label);
	struct klog log = {};

	klog_scan(b->vm.log.s ?: "", KLOG_TAINT_MODULE, &log);
	if (crash) {
		bool died = b->vm.end == VM_PANIC && log.n;

		ktap_set(t, died ? KTAP_PASS : KTAP_FAIL,
			 died ? "%s" : "the guest survived it (%s)",
			 died ? log.findings[0].headline : vm_end_name(b->vm.end));
	} else if (b->vm.end != VM_CLEAN || !ktap_parse(t, b->jobs[0].out.s ?: "")) {
		ktap_set(t, KTAP_FAIL, "%s%s%s", vm_end_name(b->vm.end), b->vm.why ? ": " : "",
			 b->vm.why		  ?:
				 b->jobs[0].err.s ?:
						    "");
	}
	klog_free(&log);
}

/* Each claim of the conformance suite fails on a driver with just that bug. */
enum lab_exit check_proofs(struct ktap *suite, bool in_full)
{
	_cleanup_free_ char *dir = xasprintf("%s/tests/broken", lab_data_dir());
	_cleanup_free_ char *table = xasprintf("%s/expect.txt", dir);
	static const char *const parts[] = { "1/2", "2/2" };
	struct test_run t = {};
	struct strv rows = {};
	struct boot *boots, **list;
	enum lab_exit ret;
	size_t n;

	strv_add(&t.drivers, dir);
	ret = test_prepare_one(&t);
	if (!ret)
		ret = crash_rows(table, &rows);
	n = rows.n + ARRAY_SIZE(parts);
	boots = xcalloc(n, sizeof(*boots));
	list = xcalloc(n, sizeof(*list));
	for (size_t i = 0; i < n && !ret; i++) {
		list[i] = &boots[i];
		ret = proof_boot(&boots[i], &t.k[0], &t.built[0], table,
				 i < ARRAY_SIZE(parts) ? NULL : rows.v[i - ARRAY_SIZE(parts)],
				 i < ARRAY_SIZE(parts) ? parts[i] : NULL, in_full);
	}
	if (!ret)
		ret = boot_run(list, n, 0);
	for (size_t i = 0; i < n; i++) {
		if (!ret)
			judge_proofs(suite, &boots[i], i >= ARRAY_SIZE(parts));
		boot_free(&boots[i]);
	}
	free(boots);
	free(list);
	strv_free(&rows);
	test_run_free(&t);
	return ret;
}
