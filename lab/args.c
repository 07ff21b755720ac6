// SPDX-License-Identifier: GPL-2.0
/* The options of all subcommands, in one table. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "target.h"

enum {
	OPT_DRY_RUN = 256,
	OPT_TIMEOUT,
	OPT_YES,
	OPT_JUNIT,
	OPT_JSON,
	OPT_ONLY,
	OPT_SAVE_BUDGET,
	OPT_CHECK_BUDGET,
	OPT_GROUP,
	OPT_NO_SPLIT,
	OPT_CLOCK,
	OPT_FOR,
	OPT_SEED,
	OPT_RUST,
	OPT_ASM,
	OPT_FUNCTION,
	OPT_NO_TEST,
	OPT_NUMBER,
	OPT_COLUMN,
	OPT_LANGUAGE,
	OPT_FRESH,
	OPT_COVERAGE,
	OPT_DUMP,
	OPT_BATCH,
	OPT_CALLS,
	OPT_PROCESSES,
	OPT_THREADS,
	OPT_NO_KILL,
	OPT_NO_RELOAD,
	OPT_NO_HOTPLUG,
	OPT_REPEATABLE,
	OPT_NO_MINIMISE,
	OPT_QUICK,
	OPT_CONFIDENCE,
	OPT_MARGIN,
	OPT_BUDGET,
	OPT_OP,
	OPT_ON,
	OPT_METER,
	OPT_TASKS,
	OPT_RATE,
	OPT_COUNT,
	OPT_RESUME,
};

static const struct {
	struct option opt;
	unsigned int needs; /* of enum args_option; 0: every subcommand has it */
} all_options[] = {
	{ { "help", no_argument, NULL, 'h' }, 0 },
	{ { "verbose", no_argument, NULL, 'v' }, 0 },
	{ { "kernel", required_argument, NULL, 'k' }, 0 },
	{ { "output", required_argument, NULL, 'o' }, ARG_OUTPUT },
	{ { "dry-run", no_argument, NULL, OPT_DRY_RUN }, 0 },
	{ { "timeout", required_argument, NULL, OPT_TIMEOUT }, 0 },
	{ { "yes", no_argument, NULL, OPT_YES }, 0 },
	{ { "junit", required_argument, NULL, OPT_JUNIT }, ARG_JUNIT },
	{ { "json", required_argument, NULL, OPT_JSON }, ARG_JSON },
	{ { "json", no_argument, NULL, OPT_JSON }, ARG_JSON_FLAG },
	{ { "only", required_argument, NULL, OPT_ONLY }, ARG_ONLY },
	{ { "save-budget", required_argument, NULL, OPT_SAVE_BUDGET }, ARG_BUDGET },
	{ { "check-budget", required_argument, NULL, OPT_CHECK_BUDGET }, ARG_BUDGET },
	{ { "no-split", no_argument, NULL, OPT_NO_SPLIT }, ARG_BUDGET | ARG_COMPARE },
	{ { "clock", required_argument, NULL, OPT_CLOCK }, ARG_BUDGET | ARG_WALL },
	{ { "on", required_argument, NULL, OPT_ON }, ARG_ON },
	{ { "confidence", required_argument, NULL, OPT_CONFIDENCE }, ARG_WALL },
	{ { "margin", required_argument, NULL, OPT_MARGIN }, ARG_WALL },
	{ { "budget", required_argument, NULL, OPT_BUDGET }, ARG_WALL },
	{ { "op", required_argument, NULL, OPT_OP }, ARG_WALL },
	{ { "meter", required_argument, NULL, OPT_METER }, ARG_WALL },
	{ { "tasks", required_argument, NULL, OPT_TASKS }, ARG_WALL },
	{ { "rate", required_argument, NULL, OPT_RATE }, ARG_WALL },
	{ { "count", required_argument, NULL, OPT_COUNT }, ARG_WALL },
	{ { "resume", no_argument, NULL, OPT_RESUME }, ARG_WALL },
	{ { "only", required_argument, NULL, OPT_GROUP }, ARG_GROUP },
	{ { "for", required_argument, NULL, OPT_FOR }, ARG_STRESS },
	{ { "seed", required_argument, NULL, OPT_SEED }, ARG_STRESS | ARG_WALL },
	{ { "rust", no_argument, NULL, OPT_RUST }, ARG_RUST },
	{ { "asm", no_argument, NULL, OPT_ASM }, ARG_COMPARE },
	{ { "function", required_argument, NULL, OPT_FUNCTION }, ARG_COMPARE },
	{ { "no-test", no_argument, NULL, OPT_NO_TEST }, ARG_COMPARE },
	{ { "only", required_argument, NULL, OPT_NUMBER }, ARG_SAFETY },
	{ { "column", required_argument, NULL, OPT_COLUMN }, ARG_SAFETY },
	{ { "language", required_argument, NULL, OPT_LANGUAGE }, ARG_SAFETY },
	{ { "fresh", no_argument, NULL, OPT_FRESH }, ARG_SAFETY },
	{ { "coverage", no_argument, NULL, OPT_COVERAGE }, ARG_COVERAGE },
	{ { "dump", no_argument, NULL, OPT_DUMP }, ARG_DUMP },
	{ { "command", required_argument, NULL, 'x' }, ARG_GDB },
	{ { "batch", no_argument, NULL, OPT_BATCH }, ARG_GDB },
	{ { "calls", required_argument, NULL, OPT_CALLS }, ARG_PLAN },
	{ { "processes", required_argument, NULL, OPT_PROCESSES }, ARG_PLAN },
	{ { "threads", required_argument, NULL, OPT_THREADS }, ARG_PLAN },
	{ { "no-kill", no_argument, NULL, OPT_NO_KILL }, ARG_PLAN },
	{ { "no-reload", no_argument, NULL, OPT_NO_RELOAD }, ARG_PLAN },
	{ { "no-hotplug", no_argument, NULL, OPT_NO_HOTPLUG }, ARG_PLAN },
	{ { "repeatable", no_argument, NULL, OPT_REPEATABLE }, ARG_PLAN },
	{ { "no-minimise", no_argument, NULL, OPT_NO_MINIMISE }, ARG_PLAN },
	{ { "quick", no_argument, NULL, OPT_QUICK }, ARG_FAULTS },
};

static int read_timeout(const char *s)
{
	char *end;
	long n = strtol(s, &end, 10);

	if (*end || n < 1 || n > 86400)
		return lab_fail(LAB_USAGE, "it takes seconds, from 1 to 86400",
				"--timeout cannot be \"%s\"", s);
	lab_options.timeout_s = n;
	return LAB_OK;
}

/* "90", "90s" or "2m" */
int args_duration(const char *option, const char *s, int *seconds)
{
	char *end;
	long n = strtol(s, &end, 10), unit = 1;

	if (end > s && *end && !end[1]) {
		unit = *end == 'm' ? 60 : *end == 's' ? 1 : 0;
		end++;
	}
	if (end == s || *end || !unit || n < 1 || n > 86400 / unit)
		return lab_fail(LAB_USAGE, "it takes seconds or minutes: 60s, 10m",
				"%s cannot be \"%s\"", option, s);
	*seconds = n * unit;
	return LAB_OK;
}

/* "99", "99%" or "0.5%": of a hundred */
static int read_percent(const char *option, const char *s, double least, double most, double *part)
{
	char *end;
	double v = strtod(s, &end);

	if (end > s && *end == '%')
		end++;
	if (end == s || *end || !(v >= least && v <= most))
		return lab_fail(LAB_USAGE, "see --help", "%s takes per cent, from %g to %g", option,
				least, most);
	*part = v / 100;
	return LAB_OK;
}

static int read_count(const char *option, const char *s, int most, int *n)
{
	char *end;
	long v = strtol(s, &end, 10);

	if (end == s || *end || v < 1 || v > most)
		return lab_fail(LAB_USAGE, "see --help", "%s takes a number from 1 to %d", option,
				most);
	*n = v;
	return LAB_OK;
}

/* "1e9" */
static int read_calls(const char *s, double *n)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s || *end || !(v >= 1 && v <= 1e15))
		return lab_fail(LAB_USAGE, "it takes a number of calls: 1e9",
				"--count cannot be \"%s\"", s);
	*n = v;
	return LAB_OK;
}

static int read_seed(const char *s, unsigned long long *seed)
{
	char *end;

	errno = 0;
	*seed = strtoull(s, &end, 0);
	if (end == s || *end || errno || *s == '-')
		return lab_fail(LAB_USAGE, "it takes a number, as an earlier run has printed it",
				"--seed cannot be \"%s\"", s);
	return LAB_OK;
}

bool args_has_wall(const struct args *a)
{
	return a->margin || a->confidence || a->budget_s || a->tasks || a->rate || a->meter ||
	       a->count || a->resume || a->ops.n || a->has_seed;
}

int args_parse(int argc, char **argv, unsigned int options, const char *help, struct args *a)
{
	struct option opts[ARRAY_SIZE(all_options) + 1] = {};
	const char *on = "qemu";
	size_t n = 0;
	int c, ret = LAB_OK;

	*a = (struct args){ .trace = true };
	for (size_t i = 0; i < ARRAY_SIZE(all_options); i++)
		if (!all_options[i].needs || (all_options[i].needs & options))
			opts[n++] = all_options[i].opt;
	opterr = 0;
	optind = 0;
	while (!ret && (c = getopt_long(argc, argv,
					options & ARG_GDB    ? ":hvk:x:" :
					options & ARG_OUTPUT ? ":hvk:o:" :
							       ":hvk:",
					opts, NULL)) != -1) {
		switch (c) {
		case 'h':
			fputs(help, stdout);
			fputs("\ncommon options:\n"
			      "  -k, --kernel KERNEL  debian:SUITE[/ARCH], debug:KIND[/ARCH], dir:PATH, host or all;\n"
			      "                       may be repeated\n",
			      stdout);
			/* where it is no group of tests */
			if ((options & (ARG_RUST | ARG_GROUP)) == ARG_RUST)
				puts("      --rust           with the twins in Rust; modules are built by the kernel's own\n"
				     "                       toolchain. Its default: debian:trixie-backports");
			if (options & ARG_DUMP)
				puts("      --dump           a guest that crashes or hangs leaves its memory in a file for gdb");
			if (options & ARG_ON)
				puts("      --on TARGET      where modules are loaded: qemu (the default), local (this machine, asked for),\n"
				     "                       or ssh:[USER@]HOST[:PORT]; root rights there without a password");
			if (options & ARG_OUTPUT)
				puts("  -o, --output DIR     where results and kernel logs go");
			fputs("      --dry-run        print the commands that would boot the guests, boot none\n"
			      "      --timeout S      deadline of one guest\n"
			      "      --yes            ask nothing before installing packages\n"
			      "  -v, --verbose        commands as they run; twice: kernel logs as they come\n"
			      "  -h, --help\n"
			      "exit status: 0 pass, 1 failed, 2 usage, 3 cannot, 4 all skipped, 124 guest timed out,\n"
			      "125 guest crashed\n",
			      stdout);
			return -1;
		case 'v':
			lab_options.verbose++;
			break;
		case 'k':
			strv_add(&a->kernels, optarg);
			break;
		case 'o':
			a->out_dir = optarg;
			break;
		case OPT_DRY_RUN:
			lab_options.dry_run = true;
			break;
		case OPT_TIMEOUT:
			ret = read_timeout(optarg);
			break;
		case OPT_YES:
			lab_options.yes = true;
			break;
		case OPT_JUNIT:
			a->junit = optarg;
			break;
		case OPT_JSON:
			a->json = optarg ?: "-";
			break;
		case OPT_ONLY:
			a->only = optarg;
			break;
		case OPT_SAVE_BUDGET:
			a->save_budget = optarg;
			break;
		case OPT_CHECK_BUDGET:
			a->check_budget = optarg;
			break;
		case OPT_NO_SPLIT:
			a->trace = false;
			break;
		case OPT_CLOCK:
			if (strcmp(optarg, "exact") && strcmp(optarg, "wall"))
				ret = lab_fail(LAB_USAGE, "it is exact or wall",
					       "--clock cannot be \"%s\"", optarg);
			a->clock = optarg;
			break;
		case OPT_ON:
			on = a->on = optarg;
			break;
		case OPT_CONFIDENCE:
			ret = read_percent("--confidence", optarg, 50, 99.99, &a->confidence);
			break;
		case OPT_MARGIN:
			ret = read_percent("--margin", optarg, 0.01, 50, &a->margin);
			break;
		case OPT_BUDGET:
			ret = args_duration("--budget", optarg, &a->budget_s);
			break;
		case OPT_METER:
			a->meter = strcmp(optarg, "none") ? optarg : NULL;
			break;
		case OPT_TASKS:
			ret = read_count("--tasks", optarg, WALL_TASKS_MOST, &a->tasks);
			break;
		case OPT_RATE:
			ret = read_count("--rate", optarg, 100000000, &a->rate);
			break;
		case OPT_COUNT:
			ret = read_calls(optarg, &a->count);
			break;
		case OPT_RESUME:
			a->resume = true;
			break;
		case OPT_OP:
			strv_add(&a->ops, optarg);
			break;
		case OPT_FOR:
			ret = args_duration("--for", optarg, &a->stress_s);
			break;
		case OPT_SEED:
			ret = read_seed(optarg, &a->seed);
			a->has_seed = true;
			break;
		case OPT_RUST:
			lab_options.rust = true;
			break;
		case OPT_ASM:
			a->assembly = true;
			break;
		case OPT_FUNCTION:
			a->function = optarg;
			break;
		case OPT_NO_TEST:
			a->no_test = true;
			break;
		case OPT_DUMP:
			lab_options.dump = true;
			break;
		case 'x':
			strv_add(&a->scripts, optarg);
			break;
		case OPT_CALLS:
			ret = stress_read_calls(optarg, &a->plan);
			break;
		case OPT_PROCESSES:
			ret = read_count("--processes", optarg, STRESS_PROCESSES,
					 &a->plan.processes);
			break;
		case OPT_THREADS:
			ret = read_count("--threads", optarg, STRESS_THREADS, &a->plan.threads);
			break;
		case OPT_NO_KILL:
			a->plan.no_kill = true;
			break;
		case OPT_NO_RELOAD:
			a->plan.no_reload = true;
			break;
		case OPT_NO_HOTPLUG:
			a->plan.no_hotplug = true;
			break;
		case OPT_REPEATABLE:
			a->plan.repeatable = true;
			break;
		case OPT_NO_MINIMISE:
			a->plan.as_it_is = true;
			break;
		case OPT_QUICK:
			a->quick = true;
			break;
		case OPT_BATCH:
			a->batch = true;
			break;
		case OPT_COVERAGE:
			a->coverage = true;
			break;
		case OPT_NUMBER:
			strv_add(&a->numbers, optarg);
			break;
		case OPT_COLUMN:
			strv_add(&a->columns, optarg);
			break;
		case OPT_LANGUAGE:
			if (strcmp(optarg, "c") && strcmp(optarg, "rust"))
				ret = lab_fail(LAB_USAGE, "it is c or rust; without it, both",
					       "--language cannot be \"%s\"", optarg);
			a->language = optarg;
			break;
		case OPT_FRESH:
			a->fresh = true;
			break;
		case OPT_GROUP:
			a->group = optarg;
			break;
		case ':':
			ret = lab_fail(LAB_USAGE, "see --help", "%s needs a value",
				       argv[optind - 1]);
			break;
		default:
			ret = lab_fail(LAB_USAGE, "see --help", "%s has no option %s", argv[0],
				       argv[optind - 1]);
		}
	}
	for (; !ret && optind < argc; optind++)
		strv_add(&a->rest, argv[optind]);
	/* thesis has no other clock */
	if (!ret && (options & (ARG_COMPARE | ARG_BUDGET)) &&
	    (!a->clock || strcmp(a->clock, "wall")) && options & ARG_WALL && args_has_wall(a))
		ret = lab_fail(
			LAB_USAGE, "add --clock wall",
			"--margin, --confidence, --budget, --op, --seed, --tasks, --rate, --count, --resume and --meter are the wall clock's");
	if (!ret && a->resume && !a->count)
		ret = lab_fail(LAB_USAGE, "name the --count that it had",
			       "a run of --count is kept as it goes, no other");
	if (!ret)
		ret = target_use(on, &a->kernels);
	return ret;
}

void args_free(struct args *a)
{
	strv_free(&a->rest);
	strv_free(&a->kernels);
	strv_free(&a->scripts);
	strv_free(&a->numbers);
	strv_free(&a->columns);
	strv_free(&a->ops);
}
