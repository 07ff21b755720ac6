// SPDX-License-Identifier: GPL-2.0
/* cdevlab safety: which mistakes are caught, and by what. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd.h"
#include "results.h"
#include "safety.h"

#define STRESS_DEFAULT_S 8
#define FUZZ_S		 20

static const char help[] =
	"usage: cdevlab safety [OPTION]... [DRIVER|DIR]...\n"
	"Seeds the same mistakes into drivers in C and into their twins in Rust (drivers/*/bugs), and puts each through\n"
	"compilers, checkers, tests, stress, debug kernels, the fault sweep and the fuzzer: a matrix of what catches what,\n"
	"with the tool's own line. What is complained about without the bug as well does not count.\n\n"
	"      --only NUMBER     one bug: 02; may be repeated\n"
	"      --column NAME     one column: sparse; may be repeated\n"
	"      --language L      c or rust\n"
	"      --for TIME        how long each is hammered; on the stock kernel a quarter of it (default 8s)\n"
	"      --seed N          of the hammering and the fuzzer (default 1)\n"
	"      --fresh           measure all again, also what is in the cache\n"
	"      --json            the matrix as JSON on standard output\n";

static enum lab_exit check_columns(const struct strv *names)
{
	for (size_t i = 0; i < names->n; i++) {
		bool found = false;
		struct buf all = {};

		for (size_t c = 0; c < safety_n_columns; c++) {
			found |= !strcmp(names->v[i], safety_columns[c].name);
			buf_printf(&all, "%s%s", c ? ", " : "", safety_columns[c].name);
		}
		if (!found) {
			enum lab_exit ret = lab_fail(LAB_USAGE, all.s, "--column cannot be \"%s\"",
						     names->v[i]);

			buf_free(&all);
			return ret;
		}
		buf_free(&all);
	}
	return LAB_OK;
}

/* Leaves the bugs that were asked for. */
static enum lab_exit choose(struct safety_bugs *bugs, const struct strv *numbers,
			    const char *language)
{
	size_t n = 0;

	for (size_t i = 0; i < bugs->n; i++) {
		struct safety_bug *b = &bugs->v[i];
		bool wanted = !numbers->n || strv_has(numbers, b->number);

		if (language && strcmp(language, b->language == SAFETY_C ? "c" : "rust"))
			wanted = false;
		if (wanted)
			bugs->v[n++] = *b;
		else
			safety_bug_free(b);
	}
	bugs->n = n;
	return n ? LAB_OK :
		   lab_fail(LAB_USAGE, "without --only and --language all there are are taken",
			    "there is no such seeded bug");
}

static void read_kernels(const struct strv *kernels, struct safety *s)
{
	for (size_t i = 0; i < kernels->n; i++) {
		if (strstr(kernels->v[i], "kcsan"))
			s->kcsan_spec = kernels->v[i];
		else if (str_starts(kernels->v[i], "debug:"))
			s->kasan_spec = kernels->v[i];
		else
			s->stock_spec = kernels->v[i];
	}
}

static json_t *inputs(const struct safety *s)
{
	const struct kernel *const kernels[] = { &s->host, &s->stock, &s->kasan, &s->kcsan };
	static const char *const roles[] = { "checkers", "stock", "kasan", "kcsan" };
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(kernels); i++) {
		const struct kernel *k = kernels[i];

		if (k->name)
			json_array_append_new(
				list,
				json_pack("{s:s, s:s, s:s, s:s, s:s?}", "role", roles[i], "kernel",
					  k->name, "release", k->release, "config_sha256",
					  k->config_sha256, "compiler", k->rust_version ?: k->cc));
	}
	return list;
}

static json_t *record(const struct safety *s, json_t *matrix, char **argv, double seconds)
{
	_cleanup_free_ char *command = shell_join(argv), *now = utc_now();

	return json_pack("{s:s, s:s, s:s, s:f, s:s, s:i, s:i, s:I, s:o, s:o, s:O}", "kind",
			 "safety", "command", command, "ended", now, "seconds", seconds, "cdevlab",
			 CDEVLAB_VERSION, "stress_s", s->stress_s, "fuzz_s", s->fuzz_s, "seed",
			 (json_int_t)s->seed, "tree", results_tree(), "kernels", inputs(s),
			 "safety", matrix);
}

static enum lab_exit write_results(struct results *r, json_t *o, const json_t *matrix)
{
	FILE *f = results_open(r, "matrix.txt");
	enum lab_exit ret;

	if (f)
		safety_print(f, matrix);
	ret = results_close(r, "matrix.txt", f);
	return ret ? ret : results_commit(r, "safety.json", o);
}

/* What took hours is shown, even where it cannot be kept. */
static enum lab_exit show(const struct safety *s, struct results *r, const struct args *a,
			  char **argv, double start)
{
	json_t *matrix = safety_json(s), *o = record(s, matrix, argv, now_s() - start);
	enum lab_exit ret = write_results(r, o, matrix), shown = LAB_OK;

	if (a->json) {
		shown = results_write_json("-", json_incref(o));
	} else {
		safety_print(stdout, matrix);
		putchar('\n');
	}
	if (!ret)
		results_tell(a->json ? stderr : stdout, r, now_s() - start);
	/* a patch that does not do what it says is a mistake in the experiment */
	if (safety_surprises(a->json ? stderr : stdout, matrix) && !ret)
		ret = LAB_FAILED;
	json_decref(o);
	json_decref(matrix);
	return ret ?: shown;
}

int cmd_safety(int argc, char **argv)
{
	struct safety s = {};
	struct results r = {};
	double start = now_s();
	enum lab_exit ret;
	struct args a;
	int parsed = args_parse(argc, argv, ARG_OUTPUT | ARG_JSON_FLAG | ARG_STRESS | ARG_SAFETY,
				help, &a);

	if (parsed)
		return parsed < 0 ? LAB_OK : parsed;
	s.columns = a.columns;
	a.columns = (struct strv){};
	s.stress_s = a.stress_s ?: STRESS_DEFAULT_S;
	s.fuzz_s = FUZZ_S;
	s.seed = a.has_seed ? a.seed : 1;
	if (a.fresh)
		s.since = time(NULL);
	read_kernels(&a.kernels, &s);
	ret = check_columns(&s.columns);
	if (!ret)
		ret = safety_bugs_read(&a.rest, &s.bugs);
	if (!ret)
		ret = choose(&s.bugs, &a.numbers, a.language);
	/* now: that they cannot be written is not to be learned after hours */
	if (!ret && !lab_options.dry_run)
		ret = results_begin(&r, a.out_dir);
	if (!ret)
		ret = safety_prepare(&s);
	if (!ret) {
		enum lab_exit run = safety_run(&s);

		/* what was measured until then */
		if ((!run || run == LAB_CANNOT) && !lab_options.dry_run)
			ret = show(&s, &r, &a, argv, start);
		if (run)
			ret = run;
	}
	results_abandon(&r);
	safety_free(&s);
	args_free(&a);
	return ret;
}
