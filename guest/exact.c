// SPDX-License-Identifier: GPL-2.0
/*
 * The exact clock: what one operation costs in the counter's ticks, which under icount are instructions.
 *
 * A figure is worth something only if it repeats, so everything that could differ between two runs
 * is taken out: pages are present and locked, addresses are not random, one processor, the boot's
 * leftovers have run, each operation starts at the same place in the timer tick, all operations go
 * through the same code, and nothing is printed until all is measured.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "exact.h"
#include "guest.h"
#include "harness.h"
#include "mode.h"
#include "protocol.h"
#include "wall.h"

#define HISTOGRAM_MAX	 32
#define OPS_MAX		 128
#define OUTPUT_MAX	 (256 * 1024)
#define SETTLE_S	 5 /* of guest time, under icount; idle guest time costs nothing there */
#define PORT_TIMEOUT_MS	 5000
#define CALIBRATE_LOOPS	 20000
#define CALIBRATE_ROUNDS 8
#define CALIBRATE_TRIES	 3
#define LOOP_INSNS	 2 /* of a pass of SPIN(), without the nops */
#define LOOP_NOPS	 8

#define SPIN_ASM_TEXT(text) #text
#define SPIN_NOPS(n)	    "	.rept " SPIN_ASM_TEXT(n) "\n	nop\n	.endr\n"

/* _IO('~', 254): no driver of the kernel has it, /dev/null has no ioctl at all. */
#define UNKNOWN_IOCTL 0x7efe

struct figures {
	uint64_t mode, at_mode, min, max, p50, p99;
	double mean;
	unsigned int n_histogram;
	struct {
		uint64_t value, count;
	} histogram[HISTOGRAM_MAX];
};

uint64_t exact_calls;
static uint64_t samples[EXACT_SAMPLES];
static uint64_t sorted[EXACT_SAMPLES];
static char output[OUTPUT_MAX];
static size_t output_len;
static int null_fd = -1;

/* ---- The counter ---- */

#if defined(__x86_64__) || defined(__i386__)

static inline __attribute__((always_inline)) uint64_t counter(void)
{
	uint32_t lo, hi;

	/* Outside emulation, the fences keep the operation from leaking out of the interval. */
	asm volatile("lfence\n\trdtsc\n\tlfence" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

/* A loop of @passes passes, of two instructions and @nops each. */
#define SPIN(passes, nops) \
	asm volatile("1:\n" SPIN_NOPS(nops) "	dec %0\n	jnz 1b" : "+r"(passes) : : "cc")

static const char *clock_choose(void)
{
	return "tsc";
}

#elif defined(__aarch64__)

static inline __attribute__((always_inline)) uint64_t counter(void)
{
	uint64_t now;

	asm volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(now) : : "memory");
	return now;
}

#define SPIN(passes, nops)                                               \
	asm volatile("1:\n" SPIN_NOPS(nops) "	subs %0, %0, #1\n	b.ne 1b" \
		     : "+r"(passes)                                      \
		     :                                                   \
		     : "cc")

static const char *clock_choose(void)
{
	return "cntvct";
}

#elif defined(__riscv)

static bool has_cycle;
static sigjmp_buf no_cycle;

static inline __attribute__((always_inline)) uint64_t counter(void)
{
	uint64_t now;

	if (has_cycle)
		asm volatile("fence\n\trdcycle %0" : "=r"(now) : : "memory");
	else
		asm volatile("fence\n\trdtime %0" : "=r"(now) : : "memory");
	return now;
}

#define SPIN(passes, nops) \
	asm volatile("1:\n" SPIN_NOPS(nops) "	addi %0, %0, -1\n	bnez %0, 1b" : "+r"(passes))

static void on_sigill(int sig)
{
	(void)sig;
	siglongjmp(no_cycle, 1);
}

/* Whether rdcycle may be executed here, and counts: firmware with a PMU lets the kernel stop it. */
static bool cycle_runs(void)
{
	struct sigaction act = { .sa_handler = on_sigill }, old;
	bool runs = false;
	uint64_t t[3];

	sigaction(SIGILL, &act, &old);
	has_cycle = true;
	if (!sigsetjmp(no_cycle, 1)) {
		t[0] = counter();
		t[1] = counter();
		t[2] = counter();
		runs = t[0] < t[1] && t[1] < t[2];
	}
	sigaction(SIGILL, &old, NULL);
	return runs;
}

/* rdcycle counts single instructions, rdtime only every hundredth; but since 6.6 a program must ask. */
static const char *clock_choose(void)
{
	int fd = open("/proc/sys/kernel/perf_user_access", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (write(fd, "2\n", 2) < 0)
			fprintf(stderr, "perf_user_access: %s\n", errno_name(errno));
		close(fd);
	}
	has_cycle = cycle_runs();
	return has_cycle ? "cycle" : "time";
}

#else
#error "no counter is known for this architecture"
#endif

static __attribute__((noinline)) uint64_t spin_short(unsigned long passes)
{
	uint64_t start = counter();

	SPIN(passes, 0);
	return counter() - start;
}

static __attribute__((noinline)) uint64_t spin_long(unsigned long passes)
{
	uint64_t start = counter();

	SPIN(passes, LOOP_NOPS);
	return counter() - start;
}

/* How many instructions make a tick in that loop, or 0 when that is not a repeating whole number. */
static unsigned int calibrate(uint64_t (*ticks_of)(unsigned long passes),
			      unsigned int insns_per_pass)
{
	uint64_t insns = (uint64_t)CALIBRATE_LOOPS * insns_per_pass;
	uint64_t ticks, most = 0, least = UINT64_MAX;
	unsigned int per_tick;
	int i, same = 0;

	ticks_of(1000);
	for (i = 0; i < CALIBRATE_ROUNDS; i++) {
		ticks = ticks_of(CALIBRATE_LOOPS + 1000) - ticks_of(1000);
		/* A timer interrupt may fall into one of them. */
		if (same && ticks > least + least / 100)
			continue;
		most = ticks > most ? ticks : most;
		least = ticks < least ? ticks : least;
		same++;
	}
	if (same < CALIBRATE_ROUNDS / 2 || !least || most - least > 2)
		return 0;
	per_tick = (insns + least / 2) / least;
	/* A coarse counter is off by one at either end; one that counts instructions, never. */
	if (per_tick == 1)
		return least == insns && most == insns;
	return per_tick && insns / per_tick + 2 >= least && insns / per_tick <= most + 2 ?
		       per_tick :
		       0;
}

/*
 * Under icount a tick is a fixed number of instructions, whichever they are. A quiet processor also
 * takes the same time for the same loop again and again, but not one in proportion for another loop.
 */
static unsigned int insns_per_tick(void)
{
	unsigned int per_tick = calibrate(spin_short, LOOP_INSNS);

	return per_tick && per_tick == calibrate(spin_long, LOOP_INSNS + LOOP_NOPS) ? per_tick : 0;
}

/* ---- The built-in floors ---- */

static void run_empty(void)
{
	asm volatile("" : : : "memory");
}

static void run_syscall(void)
{
	syscall(SYS_getppid);
}

static int open_null(const char *node)
{
	(void)node;
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return null_fd < 0 ? -errno : 0;
}

static void run_enotty(void)
{
	ioctl(null_fd, UNKNOWN_IOCTL, 0);
}

static int check_enotty(void)
{
	return ioctl(null_fd, UNKNOWN_IOCTL, 0) == -1 && errno == ENOTTY ? 0 : -EPROTO;
}

static void close_null(void)
{
	close(null_fd);
	null_fd = -1;
}

static const struct exact_op floors[] = {
	{ .name = "empty", .run = run_empty },
	{ .name = "syscall", .floor = "empty", .run = run_syscall },
	{
		.name = "enotty",
		.floor = "empty",
		.open = open_null,
		.run = run_enotty,
		.check = check_enotty,
		.close = close_null,
	},
};

#define N_FLOORS (sizeof(floors) / sizeof(floors[0]))

/* ---- Measuring ---- */

/* The one way to an operation. The compiler must not see which one, or each would get its own code. */
static __attribute__((noinline, noclone)) void measure_samples(void (*run)(void), uint64_t *to,
							       size_t n)
{
	uint64_t start;
	size_t i;

	exact_calls += n;
	asm volatile("" : "+r"(run));
	for (i = 0; i < n; i++) {
		start = counter();
		run();
		to[i] = counter() - start;
	}
}

static __attribute__((noinline, noclone)) uint64_t measure_loop(void (*run)(void), size_t n)
{
	uint64_t start;
	size_t i;

	exact_calls += n;
	asm volatile("" : "+r"(run));
	start = counter();
	for (i = 0; i < n; i++)
		run();
	return counter() - start;
}

/**
 * exact_mark() - where one traced operation ends and the next begins
 *
 * The host finds its address in the trace of executed instructions.
 */
void exact_mark(void);
__attribute__((noinline, noclone, externally_visible, used)) void exact_mark(void)
{
	asm volatile("nop" : : : "memory");
}

static __attribute__((noinline, noclone)) void trace_loop(void (*run)(void), size_t n)
{
	size_t i;

	exact_calls += n;
	asm volatile("" : "+r"(run));
	for (i = 0; i < n; i++) {
		exact_mark();
		run();
	}
	exact_mark();
	/* No tail call: the last pass must end with the same instructions as the others. */
	asm volatile("" : : : "memory");
}

static int by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Keeps the most frequent values; of equally frequent ones, the smaller. */
static void histogram_add(struct figures *f, uint64_t value, uint64_t count)
{
	unsigned int i, least = 0;

	if (f->n_histogram == HISTOGRAM_MAX) {
		for (i = 1; i < HISTOGRAM_MAX; i++)
			if (f->histogram[i].count <= f->histogram[least].count)
				least = i;
		if (count <= f->histogram[least].count)
			return;
		/* Values come in rising order: closing the gap keeps it. */
		memmove(&f->histogram[least], &f->histogram[least + 1],
			(HISTOGRAM_MAX - 1 - least) * sizeof(f->histogram[0]));
		f->n_histogram--;
	}
	f->histogram[f->n_histogram].value = value;
	f->histogram[f->n_histogram++].count = count;
}

/* Nearest rank. */
static uint64_t percentile(const uint64_t *in_order, size_t n, unsigned int percent)
{
	return in_order[(n * percent + 99) / 100 - 1];
}

static void figures_compute(struct figures *f)
{
	size_t from, count;

	memcpy(sorted, samples, sizeof(sorted));
	qsort(sorted, EXACT_SAMPLES, sizeof(sorted[0]), by_value);
	f->n_histogram = 0;
	f->mode = mode_of(sorted, EXACT_SAMPLES, &f->at_mode);
	f->min = sorted[0];
	f->max = sorted[EXACT_SAMPLES - 1];
	f->p50 = percentile(sorted, EXACT_SAMPLES, 50);
	f->p99 = percentile(sorted, EXACT_SAMPLES, 99);
	for (from = 0; from < EXACT_SAMPLES; from += count) {
		count = mode_next(sorted, EXACT_SAMPLES, from);
		histogram_add(f, sorted[from], count);
	}
}

/* ---- Output ---- */

static void __attribute__((format(printf, 1, 2))) put(const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(output + output_len, sizeof(output) - output_len, fmt, ap);
	va_end(ap);
	if (n > 0 && output_len + n < sizeof(output))
		output_len += n;
}

static void put_string(const char *text)
{
	put("\"");
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			put("\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			put("\\u%04x", (unsigned char)*text);
		else
			put("%c", *text);
	}
	put("\"");
}

static void put_op(const struct exact_op *op)
{
	put("{\"op\":");
	put_string(op->name);
}

static void put_problem(const struct exact_op *op, const char *what, const char *stage, int err)
{
	put_op(op);
	put(",\"%s\":\"%s: %s\"}\n", what, stage, errno_name(err));
}

static const char *op_floor(const struct exact_op *op)
{
	if (op->floor)
		return op->floor;
	return op == &floors[0] ? NULL : "enotty";
}

static void put_figures(const struct exact_op *op, const struct figures *f, unsigned int per_tick)
{
	unsigned int i;

	put_op(op);
	put(",\"floor\":");
	if (op_floor(op))
		put_string(op_floor(op));
	else
		put("null");
	put(",\"samples\":%d,\"mode\":%" PRIu64 ",\"at_mode\":%" PRIu64 ",\"mean\":%.*f",
	    EXACT_SAMPLES, f->mode, f->at_mode, per_tick > 1 ? 4 : 2, f->mean);
	put(",\"min\":%" PRIu64 ",\"p50\":%" PRIu64 ",\"p99\":%" PRIu64 ",\"max\":%" PRIu64, f->min,
	    f->p50, f->p99, f->max);
	if (op->spread)
		put(",\"spread\":true");
	if (op->untraced)
		put(",\"untraced\":true");
	put(",\"histogram\":[");
	for (i = 0; i < f->n_histogram; i++)
		put("%s[%" PRIu64 ",%" PRIu64 "]", i ? "," : "", f->histogram[i].value,
		    f->histogram[i].count);
	put("]}\n");
}

/* ---- One operation ---- */

/* Waits for the next full second of the guest's clock: the timer tick then falls at the same sample. */
static void align(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += 1 + (ts.tv_nsec > 900 * 1000 * 1000);
	ts.tv_nsec = 0;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static bool port_say(int port, const char *fmt, const char *name)
{
	char line[256];
	struct pollfd fd = { .fd = port, .events = POLLIN };
	size_t len = 0;
	ssize_t n;

	snprintf(line, sizeof(line), fmt, name);
	if (write_all(port, line, strlen(line)))
		return false;
	for (len = 0; len < sizeof(line) - 1 && (!len || line[len - 1] != '\n'); len += n) {
		/* No deadline of our own: guest time runs ahead of a host that is busy. */
		poll(&fd, 1, -1);
		n = read(port, line + len, sizeof(line) - 1 - len);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			return false;
	}
	line[len] = '\0';
	return !strcmp(line, "ok\n");
}

/* Returns 0, -EOPNOTSUPP when the node does not offer it, or another -errno, which is printed. */
static int op_run(const struct exact_op *op, const char *node, unsigned int per_tick, int port)
{
	static struct figures figures;
	const char *stage = "open";
	int ret = 0;

	exact_calls = 0;
	if (op->open)
		ret = op->open(node ?: "");
	if (ret == -ENOENT && !node)
		ret = -EOPNOTSUPP; /* a module may have none, and operations that need none */
	if (ret) {
		put_problem(op, ret == -EOPNOTSUPP ? "skipped" : "error", stage, -ret);
		return ret;
	}
	measure_samples(op->run, samples, EXACT_WARMUP);
	if (port >= 0) {
		stage = "control port";
		if (!port_say(port, "trace %s\n", op->name)) {
			ret = -EPIPE;
		} else {
			trace_loop(op->run, EXACT_TRACED);
			if (!port_say(port, "done\n%s", ""))
				ret = -EPIPE;
		}
	} else {
		if (per_tick)
			align();
		/* The sleep has cooled what the warm-up had warmed. */
		measure_samples(op->run, samples, EXACT_WARMUP);
		measure_samples(op->run, samples, EXACT_SAMPLES);
		if (per_tick)
			align();
		measure_loop(op->run, EXACT_WARMUP);
		figures.mean = (double)measure_loop(op->run, EXACT_SAMPLES) / EXACT_SAMPLES;
	}
	if (!ret && op->check) {
		stage = "check";
		ret = op->check();
	}
	if (op->close)
		op->close();
	if (ret == -EOPNOTSUPP)
		ret = -EPROTO; /* too late to be skipped */
	if (ret) {
		put_problem(op, "error", stage, -ret);
	} else if (port < 0) {
		figures_compute(&figures);
		put_figures(op, &figures, per_tick);
	} else {
		put_op(op);
		put(",\"traced\":%d}\n", EXACT_TRACED);
	}
	return ret;
}

/* ---- The program ---- */

struct options {
	const char *node;
	const char *only[OPS_MAX];
	unsigned int n_only;
	bool list, trace;
};

bool exact_op_wanted(const struct exact_op *op, const char *const *names, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!strcmp(op->name, names[i]))
			return true;
	return !n;
}

/* Those asked for and the floors they stand on: without its floor a figure says nothing. */
static void ops_choose(const struct options *opt, const struct exact_op *ops, size_t n_ops,
		       bool *chosen)
{
	bool more = true;
	size_t i, j;

	for (i = 0; i < n_ops; i++)
		chosen[i] = exact_op_wanted(&ops[i], opt->only, opt->n_only);
	while (more) {
		more = false;
		for (i = 0; i < n_ops; i++) {
			for (j = 0; chosen[i] && ops[i].floor && j < n_ops; j++) {
				if (chosen[j] || strcmp(ops[j].name, ops[i].floor))
					continue;
				chosen[j] = true;
				more = true;
			}
		}
	}
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: %s [--node PATH] [--op NAME]... [--trace] [--list]\n"
		"  --node PATH  the node to measure (default: $" ENV_NODE ")\n"
		"  --op NAME    only this operation and its floors; may be repeated\n"
		"  --trace      run each operation %d times for a host that records addresses\n"
		"  --list       print the names of the operations and measure none\n"
		"or --wall, for the wall clock: see wall.h\n",
		program_invocation_short_name, EXACT_TRACED);
}

/* Returns -1 to go on, else the exit status. */
static int options_parse(struct options *opt, int argc, char **argv)
{
	static const struct option options[] = {
		{ "node", required_argument, NULL, 'n' }, { "op", required_argument, NULL, 'o' },
		{ "trace", no_argument, NULL, 't' },	  { "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },	  { 0 },
	};
	int c;

	opt->node = getenv(ENV_NODE);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			opt->node = optarg;
			break;
		case 'o':
			if (opt->n_only == OPS_MAX) {
				fprintf(stderr, "more than %d times --op\n", OPS_MAX);
				return 2;
			}
			opt->only[opt->n_only++] = optarg;
			break;
		case 't':
			opt->trace = true;
			break;
		case 'l':
			opt->list = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return 2;
	}
	return -1;
}

bool exact_ops_known(const char *const *names, size_t n, const struct exact_op *ops, size_t n_ops)
{
	size_t i, j;

	for (i = 0; i < n; i++) {
		for (j = 0; j < n_ops && strcmp(ops[j].name, names[i]); j++)
			;
		if (j == n_ops) {
			fprintf(stderr, "no operation '%s'; --list prints them\n", names[i]);
			return false;
		}
	}
	return true;
}

/* Where the stack lies decides how a copy from it is aligned, and that is part of the figure. */
static void addresses_fix(char **argv)
{
	int now = personality(0xffffffff);

	if (now == -1 || now & ADDR_NO_RANDOMIZE || personality(now | ADDR_NO_RANDOMIZE) == -1)
		return;
	execv("/proc/self/exe", argv);
}

static void settle(bool icount)
{
	const struct timespec wait = { .tv_sec = icount ? SETTLE_S : 0,
				       .tv_nsec = 200 * 1000 * 1000 };
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		fprintf(stderr, "mlockall: %s\n", errno_name(errno));
	memset(samples, 0, sizeof(samples));
	memset(sorted, 0, sizeof(sorted));
	memset(output, 0, sizeof(output));
	nanosleep(&wait, NULL);
}

/**
 * exact_main() - measures all operations
 * @argc:  of main()
 * @argv:  of main()
 * @ops:   the table
 * @n_ops: its length
 *
 * Return: an exit status: 0, 1 when an operation failed, 2 for wrong usage, 77 when the node offers
 * none of the operations.
 */
int exact_main(int argc, char **argv, const struct exact_op *ops, size_t n_ops)
{
	static bool chosen[OPS_MAX];
	struct options opt = { 0 };
	unsigned int per_tick, ran = 0, failed = 0;
	const char *clock;
	int ret, port = -1;
	char line[64];
	size_t i;

	if (argc > 1 && !strcmp(argv[1], "--wall"))
		return wall_main(argc, argv, ops, n_ops);
	ret = options_parse(&opt, argc, argv);
	if (ret >= 0)
		return ret;
	if (n_ops > OPS_MAX) {
		fprintf(stderr, "more than %d operations\n", OPS_MAX);
		return 2;
	}
	if (!exact_ops_known(opt.only, opt.n_only, ops, n_ops))
		return 2;
	ops_choose(&opt, ops, n_ops, chosen);
	if (opt.list) {
		for (i = 0; i < n_ops; i++)
			puts(ops[i].name);
		return 0;
	}
	if (!opt.node && n_ops && !getenv(ENV_MODULE)) {
		fprintf(stderr, "no node: give --node PATH or $" ENV_NODE "\n");
		return 2;
	}
	addresses_fix(argv);
	clock = clock_choose();
	per_tick = insns_per_tick();
	/* What the boot left behind may still be running; it must not pass for a counter of another kind. */
	for (i = 0; i < CALIBRATE_TRIES && !per_tick; i++) {
		nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
		per_tick = insns_per_tick();
	}
	settle(per_tick);
	if (opt.trace) {
		port = port_open(CONTROL_PORT, PORT_TIMEOUT_MS);
		if (port < 0) {
			fprintf(stderr, "no control port: %s\n", errno_name(-port));
			return 1;
		}
		snprintf(line, sizeof(line), "mark 0x%lx\n", (unsigned long)exact_mark);
		if (write_all(port, line, strlen(line)))
			return 1;
	} else if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0) {
		/* Instead of the port: how long an open looks for a free descriptor depends on which one it is. */
		fprintf(stderr, "/dev/null: %s\n", errno_name(errno));
		return 1;
	}
	put("{\"clock\":\"%s\",\"icount\":%s,\"insns_per_tick\":%u}\n", clock,
	    per_tick ? "true" : "false", per_tick);

	for (i = 0; i < N_FLOORS; i++)
		failed += op_run(&floors[i], opt.node, per_tick, port) != 0;
	for (i = 0; i < n_ops; i++) {
		if (!chosen[i] || (opt.trace && ops[i].untraced))
			continue;
		ret = op_run(&ops[i], opt.node, per_tick, port);
		ran += !ret;
		failed += ret && ret != -EOPNOTSUPP;
	}
	write_all(STDOUT_FILENO, output, output_len);
	if (failed)
		return 1;
	return ran || !n_ops ? 0 : TEST_SKIP;
}
