// SPDX-License-Identifier: GPL-2.0
/* The tests of cdevlab fuzz. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "fuzz.h"
#include "proc.h"

#define ROOM	"tests/fuzzed"
#define FIND_S	60 /* it takes one or two; a busy host takes longer */
#define CLEAN_S 3
#define EACH_S	3 /* of each module on a debug kernel */
#define EARLIER "of an earlier run\n"

/* Fuzzes that room with a bug, or "none"; what it tells goes below a node of that name. */
static enum lab_exit fuzz_bug(struct ktap *suite, const char *bug, int seconds, const char *dir,
			      struct ktap **module)
{
	struct test_run t = {};
	struct fuzz_run f = { .test = &t,
			      .seconds = seconds,
			      .seed = 1,
			      .out_dir = dir,
			      .corpus_dir = dir,
			      .crashes_most = 1 };
	struct ktap *node = ktap_new(suite, bug);
	enum lab_exit ret;

	strv_addf(&t.drivers, "%s/" ROOM, lab_data_dir());
	ret = test_prepare_one(&t);
	if (!ret) {
		t.d[0].params = xasprintf("bug=%s", bug);
		ret = fuzz_run(&f);
	}
	if (t.root)
		ktap_move(node, t.root);
	/* kernel, driver, module */
	for (int i = 0; i < 3 && node && node->n; i++)
		node = node->children[0];
	*module = node;
	fuzz_run_free(&f);
	test_run_free(&t);
	return ret;
}

static bool says(const struct ktap *t, const char *text)
{
	for (size_t i = 0; t && i < t->notes.n; i++)
		if (strstr(t->notes.v[i], text))
			return true;
	return false;
}

/* The whole way: found, of three calls, and a C program does it again. */
static void judge_find(struct ktap *suite, const struct ktap *module)
{
	static const struct {
		const char *name, *text;
	} parts[] = {
		{ "the crash is made small", "the smallest program, calls 3:" },
		{ "the C program crashes in the same way", "which crashes in the same way" },
	};
	const struct ktap *crash = module ? ktap_child(module, "crash-2") : NULL;
	struct ktap *t = ktap_new(suite, "a sum that wraps is found");
	bool found = crash && crash->reason && strstr(crash->reason, "NULL pointer dereference");

	ktap_set(t, found ? KTAP_PASS : KTAP_FAIL, "%s",
		 crash && crash->reason ? crash->reason : "it found nothing");
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		t = ktap_new(suite, parts[i].name);
		ktap_set(t, says(crash, parts[i].text) ? KTAP_PASS : KTAP_FAIL, "%s",
			 crash ? "its notes do not say so" : "there is none");
		for (size_t n = 0; t->result == KTAP_FAIL && crash && n < crash->notes.n; n++)
			ktap_note(t, "%s", crash->notes.v[n]);
	}
}

/* A directory that is used again has crashes in it. */
static void judge_earlier(struct ktap *suite, const char *earlier)
{
	struct ktap *t = ktap_new(suite, "the crash of an earlier run is not written over");
	struct buf text = {};

	if (file_read(earlier, &text) || strcmp(text.s, EARLIER))
		ktap_set(t, KTAP_FAIL, "%s is another one now", path_base(earlier));
	buf_free(&text);
}

enum lab_exit check_fuzz(struct ktap *suite)
{
	struct ktap *found = ktap_new(NULL, "found"), *module;
	char *dir = temp_dir(NULL);
	_cleanup_free_ char *earlier = dir ? xasprintf("%s/crash-1.log", dir) : NULL;
	enum lab_exit ret;

	if (!dir || file_write(earlier, EARLIER, strlen(EARLIER))) {
		ktap_free(found);
		return LAB_CANNOT;
	}
	/* a crash is what is wanted here: its tree is not a part of the verdict */
	ret = fuzz_bug(found, "wrap", FIND_S, dir, &module);
	if (!ret)
		judge_find(suite, module);
	if (!ret)
		judge_earlier(suite, earlier);
	if (!ret)
		ret = fuzz_bug(suite, "none", CLEAN_S, dir, &module);
	ktap_free(found);
	temp_dir_done(dir);
	return ret;
}

/* Of each room with ioctls one module: the one of its name, else the last. */
static void choose_modules(const struct test_run *t, struct strv *modules)
{
	for (size_t i = 0; i < t->n_drivers; i++) {
		const struct built *b = &t->built[i];
		size_t pick = b->n - 1;

		if (!b->n || !t->d[i].ioctls.n)
			continue;
		for (size_t m = 0; m < b->n; m++)
			if (!strcmp(b->modules[m].name, t->d[i].name))
				pick = m;
		strv_add(modules, b->modules[pick].name);
	}
}

enum lab_exit check_fuzz_debug(struct ktap *suite, const char *kernel)
{
	char *dir = temp_dir(NULL);
	struct test_run t = {};
	struct fuzz_run f = { .test = &t,
			      .seconds = EACH_S,
			      .seed = time(NULL),
			      .out_dir = dir,
			      .corpus_dir = dir,
			      .crashes_most = 1 };
	enum lab_exit ret = dir ? LAB_OK : LAB_CANNOT;
	struct strv modules = {};

	strv_add(&t.kernels, kernel);
	if (!ret)
		ret = test_prepare(&t);
	if (!ret) {
		choose_modules(&t, &modules);
		t.modules = &modules;
		ret = fuzz_run(&f);
	}
	if (t.root)
		ktap_move(suite, t.root);
	fuzz_run_free(&f);
	test_run_free(&t);
	strv_free(&modules);
	if (dir)
		temp_dir_done(dir);
	return ret;
}
