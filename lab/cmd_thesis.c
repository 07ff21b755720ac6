// SPDX-License-Identifier: GPL-2.0
/* cdevlab thesis: the published comparison of drivers in C and Rust, recomputed; or done again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "results.h"
#include "thesis.h"
#include "thesis_time.h"

static const char help[] =
	"usage: cdevlab thesis [--json]\n"
	"       cdevlab thesis --on TARGET [OPTION]...\n"
	"Prints the figures of the published comparison of virtual GPIO drivers in C and Rust, and beside them what\n"
	"its own data give: means, numbers of runs, powers and energies net of idle; docs/thesis.md explains them.\n"
	"\n"
	"  ours         recomputed\n"
	"  by rounding  what the digits of the printed data leave open\n"
	"  verdict      of the printed figure: as printed; within rounding (another last digit, which the rounding of\n"
	"               the data explains); differs\n"
	"\n"
	"With --on the experiment is done: each build in C and in Rust, and in C with and without a feature, in turn, in\n"
	"blocks; writing, writing with a reader that waits, reading, and several processes at once. --on qemu is the short\n"
	"form in a guest. Results: thesis.json, thesis.txt and report.html.\n"
	"\n"
	"      --budget TIME        of each of the seven pairs (default 20s)\n"
	"      --margin M           half the width of a ratio's interval that is narrow enough, per cent (default 1)\n"
	"      --confidence C       per cent (default 99)\n"
	"      --tasks N            so many processes at once (default 2)\n"
	"      --count N            of each pair, until each workload was called so often; kept as it comes\n"
	"      --resume             goes on where a run of --count was interrupted\n"
	"      --seed N             of the order (default: another one each time)\n"
	"      --meter METER        energy as well: auto, a meter of cdevlab meter list, or file:RECORDING\n"
	"      --json               the same as JSON\n";

static int recompute(const struct args *a, const struct thesis *t)
{
	if (a->json)
		return results_write_json("-", thesis_json(t));
	printf("%s.\n%s\n\n", t->source, t->note);
	thesis_print(stdout, t);
	return LAB_OK;
}

static json_t *record(const struct thesis_time *x, char **argv, double seconds)
{
	_cleanup_free_ char *command = shell_join(argv), *now = utc_now();
	const struct kernel *k = &x->t.k[0];

	return json_pack("{s:s, s:i, s:s, s:s, s:s, s:f, s:i, s:s, s:s, s:s?, s:o, s:[o], s:o}",
			 "kind", "thesis", "version", 1, "cdevlab", CDEVLAB_VERSION, "command",
			 command, "ended", now, "seconds", seconds, "exit", (int)test_exit(&x->t),
			 "kernel", k->name, "release", k->release, "compiler",
			 x->t.built[0].compiler, "tree", results_tree(), "inputs",
			 results_inputs(k, &x->t.built[0]), "pairs", thesis_time_json(x));
}

static enum lab_exit write_results(struct results *r, const struct thesis_time *x,
				   const struct thesis *published, json_t *o)
{
	FILE *f = results_open(r, "thesis.txt");
	enum lab_exit ret;

	if (f)
		thesis_time_print(f, x, published);
	ret = results_close(r, "thesis.txt", f);
	return ret ? ret : results_commit(r, "thesis.json", o);
}

static int measure(const struct args *a, const struct thesis *published, char **argv)
{
	struct thesis_time x = {};
	struct results r = {};
	double start = now_s();
	enum lab_exit ret = lab_options.dry_run ? LAB_OK : results_begin(&r, a->out_dir);
	enum lab_exit shown = LAB_OK;
	json_t *o = NULL;

	if (!ret)
		ret = thesis_measure(&x, a);
	if (!ret && !lab_options.dry_run) {
		o = record(&x, argv, now_s() - start);
		ret = write_results(&r, &x, published, o);
		if (a->json) {
			shown = results_write_json("-", json_incref(o));
		} else {
			thesis_time_print(stdout, &x, published);
			putchar('\n');
		}
		if (!ret)
			results_tell(a->json ? stderr : stdout, &r, now_s() - start);
		if (test_exit(&x.t))
			ktap_print(stderr, x.t.root);
		ret = ret ?: shown ?: test_exit(&x.t);
	}
	json_decref(o);
	results_abandon(&r);
	thesis_time_free(&x);
	return ret;
}

int cmd_thesis(int argc, char **argv)
{
	struct thesis t;
	struct args a;
	int ret = args_parse(argc, argv, ARG_JSON_FLAG | ARG_OUTPUT | ARG_WALL | ARG_ON, help, &a);

	if (ret)
		return ret < 0 ? LAB_OK : ret;
	if (a.rest.n)
		ret = lab_fail(LAB_USAGE, "see --help", "thesis takes no %s", a.rest.v[0]);
	else if (a.ops.n)
		ret = lab_fail(LAB_USAGE, "leave --op out", "its workloads are what was published");
	else if (a.clock && strcmp(a.clock, "wall"))
		ret = lab_fail(LAB_USAGE, "cdevlab run --rust vgpio measures by that",
			       "what was published are times, not instructions");
	else if (!a.on && (a.kernels.n || args_has_wall(&a) || a.clock || a.out_dir))
		ret = lab_fail(LAB_USAGE, "add --on qemu, or another target",
			       "without --on nothing is measured");
	else
		ret = thesis_read(NULL, &t);
	if (!ret) {
		ret = a.on ? measure(&a, &t, argv) : recompute(&a, &t);
		thesis_free(&t);
	}
	args_free(&a);
	return ret;
}
