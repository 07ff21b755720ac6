// SPDX-License-Identifier: GPL-2.0
/* How long an operation takes by CLOCK_MONOTONIC_RAW, which nobody adjusts. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"
#include "harness.h"
#include "machine.h"
#include "protocol.h"
#include "wall.h"

#define MS_DEFAULT  50
#define COUNT_FIRST 16
#define COUNT_MOST  2000000000
#define TASKS_MOST  64
#define ONLY_MOST   64
#define NS	    1000000000ULL

/* A value is kept with so many bits, below 1 % of it: 2^BITS buckets for each power of two. */
#define BITS	7
#define BUCKETS ((64 - BITS + 1) << BITS)

struct options {
	const char *node, *only[ONLY_MOST];
	unsigned int n_only;
	uint64_t count, ms, rate, idle;
	int tasks;
	bool shared;
};

/* struct race - what tasks that run at once share */
struct race {
	atomic_int ready, go;
	struct {
		uint64_t from, to;
		int ret;
	} task[TASKS_MOST];
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * NS + ts.tv_nsec;
}

/* The one way to an operation, for all alike. */
static __attribute__((noinline, noclone)) uint64_t timed(void (*run)(void), uint64_t n)
{
	uint64_t start, i;

	exact_calls += n;
	asm volatile("" : "+r"(run));
	start = now_ns();
	for (i = 0; i < n; i++)
		run();
	return now_ns() - start;
}

/* How often it goes into that time; the trying warms up. */
static uint64_t count_for(void (*run)(void), uint64_t ms)
{
	uint64_t n = COUNT_FIRST, ns, want = ms * 1000000;

	for (;;) {
		ns = timed(run, n) + 1;
		if (ns > want / 8 || n >= COUNT_MOST / 2)
			break;
		n *= 2;
	}
	n = (double)n * want / ns;
	return n < 1 ? 1 : n > COUNT_MOST ? COUNT_MOST : n;
}

static void problem(const struct exact_op *op, const char *what, const char *stage, int err)
{
	printf("{\"op\":\"%s\",\"%s\":\"%s: %s\"}\n", op->name, what, stage, errno_name(err));
}

static cpu_set_t may; /* the processors of the program as it was started */

/* On one processor, the last: the first one has the most other work. */
static void pin(int task)
{
	int cpu, n = 0, want;
	cpu_set_t one;

	if (!CPU_COUNT(&may))
		return;
	want = CPU_COUNT(&may) - 1 - task % CPU_COUNT(&may);
	CPU_ZERO(&one);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &may) && n++ == want)
			CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

/* ---- One task ---- */

static void run_one(const struct exact_op *op, const struct options *opt)
{
	uint64_t n = opt->count;

	if (n)
		timed(op->run, n / 16 + 1);
	else
		n = count_for(op->run, opt->ms);
	printf("{\"op\":\"%s\",\"count\":%" PRIu64 ",\"ns\":%" PRIu64 "}\n", op->name, n,
	       timed(op->run, n));
}

/* ---- At a rate ---- */

static unsigned int bucket(uint64_t v)
{
	int shift = v >> (BITS + 1) ? 63 - __builtin_clzll(v) - BITS : 0;

	return (shift << BITS) + (v >> shift);
}

/* The middle of a bucket: of the small ones, the value itself. */
static uint64_t bucket_value(unsigned int b)
{
	int shift = b >> (BITS + 1) ? (b >> BITS) - 1 : 0;

	return ((uint64_t)(b - (shift << BITS)) << shift) + ((1ULL << shift) >> 1);
}

static void run_at_rate(const struct exact_op *op, const struct options *opt)
{
	static uint64_t late[BUCKETS];
	uint64_t n = opt->count ?: (opt->rate * opt->ms + 999) / 1000, i, start, due, end, max = 0;
	const char *comma = "";

	memset(late, 0, sizeof(late));
	timed(op->run, COUNT_FIRST);
	exact_calls += n;
	start = now_ns();
	for (i = 0; i < n; i++) {
		due = start + (uint64_t)((double)i * NS / opt->rate);
		while (now_ns() < due)
			;
		op->run();
		end = now_ns();
		late[bucket(end - due)]++;
		max = end - due > max ? end - due : max;
	}
	printf("{\"op\":\"%s\",\"rate\":%" PRIu64 ",\"count\":%" PRIu64 ",\"ns\":%" PRIu64
	       ",\"late\":[",
	       op->name, opt->rate, n, now_ns() - start);
	for (i = 0; i < BUCKETS; i++) {
		if (!late[i])
			continue;
		printf("%s[%" PRIu64 ",%" PRIu64 "]", comma, bucket_value(i), late[i]);
		comma = ",";
	}
	printf("],\"max\":%" PRIu64 "}\n", max);
}

/* ---- Several tasks ---- */

/* A thread that an operation has started is not there in a child. */
static bool has_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n > 1;
}

static void __attribute__((noreturn))
task(const struct exact_op *op, const struct options *opt, struct race *race, int i, uint64_t n)
{
	pin(i);
	if (!opt->shared && op->open)
		race->task[i].ret = op->open(opt->node ?: "");
	if (!race->task[i].ret)
		timed(op->run, n / 16 + 1);
	atomic_fetch_add(&race->ready, 1);
	while (!atomic_load(&race->go))
		sched_yield();
	race->task[i].from = now_ns();
	if (!race->task[i].ret)
		timed(op->run, n);
	race->task[i].to = now_ns();
	_exit(0);
}

static int run_race(const struct exact_op *op, const struct options *opt, uint64_t n)
{
	struct race *race = shared_memory(sizeof(*race));
	uint64_t from = UINT64_MAX, to = 0;
	int i, ret = 0, running = 0;

	for (i = 0; i < opt->tasks && !ret; i++) {
		pid_t pid = fork();

		if (!pid)
			task(op, opt, race, i, n);
		if (pid < 0)
			ret = -errno;
		else
			running++;
	}
	while (atomic_load(&race->ready) < running)
		usleep(1000);
	atomic_store(&race->go, 1);
	while (wait(NULL) > 0)
		;
	for (i = 0; i < running; i++) {
		ret = ret ?: race->task[i].ret;
		from = race->task[i].from < from ? race->task[i].from : from;
		to = race->task[i].to > to ? race->task[i].to : to;
	}
	if (!ret)
		printf("{\"op\":\"%s\",\"tasks\":%d,\"shared\":%s,\"count\":%" PRIu64
		       ",\"ns\":%" PRIu64 "}\n",
		       op->name, opt->tasks, opt->shared ? "true" : "false", n * opt->tasks,
		       to - from);
	munmap(race, sizeof(*race));
	return ret;
}

/* ---- One operation ---- */

/* Returns 0, -EOPNOTSUPP when the node does not offer it, or another -errno, which is printed. */
static int op_run(const struct exact_op *op, const struct options *opt)
{
	const char *stage = "open";
	uint64_t n;
	int ret;

	exact_calls = 0;
	ret = op->open ? op->open(opt->node ?: "") : 0;
	if (ret == -ENOENT && !opt->node)
		ret = -EOPNOTSUPP;
	if (!ret && opt->tasks && has_threads())
		ret = -EOPNOTSUPP;
	if (ret) {
		problem(op, ret == -EOPNOTSUPP ? "skipped" : "error", stage, -ret);
		return ret;
	}
	if (opt->rate) {
		run_at_rate(op, opt);
	} else if (!opt->tasks) {
		run_one(op, opt);
	} else {
		n = opt->count ?: count_for(op->run, opt->ms);
		/* an exclusive device is closed before the tasks open it */
		if (!opt->shared && op->close)
			op->close();
		stage = "tasks";
		ret = run_race(op, opt, n);
	}
	if (!ret && op->check && !opt->tasks) {
		stage = "check";
		ret = op->check();
	}
	if (op->close && (!opt->tasks || opt->shared))
		op->close();
	if (ret)
		problem(op, "error", stage, -ret);
	return ret == -EOPNOTSUPP ? -EPROTO : ret;
}

/* ---- The machine ---- */

static void say_machine(void)
{
	struct machine m;

	machine_read("", sched_getcpu(), &m);
	printf("{\"op\":\"machine\",\"governor\":\"%s\",\"khz\":%ld,\"millicelsius\":%ld,"
	       "\"throttled\":%ld,\"steal\":%.0f,\"total\":%.0f}\n",
	       m.governor, m.khz, m.millicelsius, m.throttled, m.steal, m.total);
}

/* ---- None ---- */

static int run_idle(uint64_t ms)
{
	const struct timespec wait = { ms / 1000, ms % 1000 * 1000000 };
	uint64_t start = now_ns();

	nanosleep(&wait, NULL);
	printf("{\"op\":\"idle\",\"count\":1,\"ns\":%" PRIu64 "}\n", now_ns() - start);
	return 0;
}

/* ---- The program ---- */

static int usage(void)
{
	fprintf(stderr,
		"usage: %s --wall [--node PATH] [--op NAME]... [--count N] [--ms MS] [--tasks T [--shared]] [--rate R] [--idle MS]\n",
		program_invocation_short_name);
	return 2;
}

static bool read_number(const char *text, uint64_t most, uint64_t *to)
{
	char *end;

	*to = strtoull(text, &end, 10);
	return end > text && !*end && *text != '-' && *to && *to <= most;
}

static bool options_parse(struct options *opt, int argc, char **argv)
{
	static const struct option options[] = {
		{ "wall", no_argument, NULL, 'w' },	  { "node", required_argument, NULL, 'n' },
		{ "op", required_argument, NULL, 'o' },	  { "count", required_argument, NULL, 'c' },
		{ "ms", required_argument, NULL, 'm' },	  { "tasks", required_argument, NULL, 't' },
		{ "shared", no_argument, NULL, 's' },	  { "rate", required_argument, NULL, 'r' },
		{ "idle", required_argument, NULL, 'i' }, { 0 },
	};
	uint64_t tasks;
	bool good = true;
	int c;

	while (good && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'w':
			break;
		case 'n':
			opt->node = optarg;
			break;
		case 'o':
			good = opt->n_only < ONLY_MOST;
			if (good)
				opt->only[opt->n_only++] = optarg;
			break;
		case 'c':
			good = read_number(optarg, COUNT_MOST, &opt->count);
			break;
		case 'm':
			good = read_number(optarg, 3600000, &opt->ms);
			break;
		case 't':
			good = read_number(optarg, TASKS_MOST, &tasks);
			opt->tasks = tasks;
			break;
		case 's':
			opt->shared = true;
			break;
		case 'i':
			good = read_number(optarg, 3600000, &opt->idle);
			break;
		case 'r':
			good = read_number(optarg, NS, &opt->rate);
			break;
		default:
			good = false;
		}
	}
	return good && optind == argc && !(opt->rate && opt->tasks);
}

int wall_main(int argc, char **argv, const struct exact_op *ops, size_t n_ops)
{
	struct options opt = { .node = getenv(ENV_NODE), .ms = MS_DEFAULT };
	unsigned int ran = 0, failed = 0;
	size_t i;
	int ret;

	if (!options_parse(&opt, argc, argv))
		return usage();
	if (!exact_ops_known(opt.only, opt.n_only, ops, n_ops))
		return 2;
	if (sched_getaffinity(0, sizeof(may), &may))
		CPU_ZERO(&may);
	if (opt.idle)
		return run_idle(opt.idle);
	pin(0);
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		fprintf(stderr, "mlockall: %s\n", errno_name(errno));
	for (i = 0; i < n_ops; i++) {
		if (!exact_op_wanted(&ops[i], opt.only, opt.n_only))
			continue;
		ret = op_run(&ops[i], &opt);
		/* a task must not print again what is waiting to be printed */
		fflush(stdout);
		ran += !ret;
		failed += ret && ret != -EOPNOTSUPP;
	}
	say_machine();
	if (failed)
		return 1;
	return ran ? 0 : TEST_SKIP;
}
