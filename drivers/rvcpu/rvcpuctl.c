// SPDX-License-Identifier: GPL-2.0
/*
 * rvcpuctl - prints snapshots of the CPUs' time, cycle and instruction counters
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "rvcpu.h"

#define VERSION	      "1.0"
#define NODE	      "/dev/rvcpu"
#define FRESH_DEFAULT 5

enum {
	EXIT_USAGE = 2
};

struct options {
	const char *device;
	bool json, all, watch, first_abi;
	bool has_cpu;
	__u32 cpu;
	unsigned long long count; /* fresh snapshots after the first; watch: 0 for no end */
	bool has_count;
	double interval;
};

static volatile sig_atomic_t interrupted;

static void usage(FILE *to)
{
	fprintf(to,
		"usage: rvcpuctl [OPTION]...\n"
		"\n"
		"Prints a snapshot of a CPU's counters, then %d fresh ones.\n"
		"\n"
		"  -c, --cpu N        of CPU N, not of the one that this runs on\n"
		"  -a, --all          of all CPUs\n"
		"  -w, --watch        on and on, until ^C\n"
		"  -n, --count N      so many fresh ones\n"
		"  -i, --interval S   seconds between them (default: with --watch 1, else 0)\n"
		"      --first        by the first ABI: read(2), then RVCPU_READ\n"
		"  -d, --device NODE  the device (default: " NODE ")\n"
		"      --json         print JSON, one object a line\n"
		"  -h, --help         print this\n"
		"      --version      print the version\n"
		"\n"
		"Ends with 0, 1 after a failure, 2 after a wrong command line.\n",
		FRESH_DEFAULT);
}

static int __attribute__((format(printf, 1, 2))) bad_usage(const char *fmt, ...)
{
	va_list ap;

	fputs("rvcpuctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs(" (--help says more)\n", stderr);
	return EXIT_USAGE;
}

/* Says what is wrong with a call on the device, and what to do about it where that is known. */
static int device_error(const struct options *opt, const char *what)
{
	int err = errno;

	fprintf(stderr, "rvcpuctl: %s: %s: %s", opt->device, what, strerror(err));
	switch (err) {
	case ENOENT:
	case ENODEV:
		fputs(" (is the module loaded?)", stderr);
		break;
	case ENXIO:
		if (opt->has_cpu)
			fprintf(stderr, " (this machine has no CPU %u)", opt->cpu);
		else
			fputs(" (is the module loaded?)", stderr);
		break;
	case EACCES:
	case EPERM:
		fputs(" (see the module's parameter \"mode\", or make a udev rule)", stderr);
		break;
	case ENOTTY:
		fputs(" (not an rvcpu device)", stderr);
		break;
	case EOPNOTSUPP:
		fputs(" (nothing but the time is there; without --first, the reason is shown)",
		      stderr);
		break;
	}
	fputc('\n', stderr);
	return EXIT_FAILURE;
}

/* Standard output may be a full disk or a closed pipe. */
static int finish(int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	fprintf(stderr, "rvcpuctl: cannot write the output: %s\n", strerror(errno));
	return EXIT_FAILURE;
}

static const char *source_name(unsigned int source)
{
	static const char *const names[] = {
		[RVCPU_SOURCE_NONE] = "none",	  [RVCPU_SOURCE_CSR] = "CSR",
		[RVCPU_SOURCE_PERF] = "perf",	  [RVCPU_SOURCE_TSC] = "TSC",
		[RVCPU_SOURCE_CNTVCT] = "CNTVCT",
	};

	return source < sizeof(names) / sizeof(names[0]) ? names[source] : "unknown";
}

static const char *missing_name(unsigned int missing)
{
	static const char *const names[] = {
		[RVCPU_MISSING_NOT] = "live",
		[RVCPU_MISSING_NO_PMU] = "no PMU",
		[RVCPU_MISSING_TAKEN] = "PMU taken",
		[RVCPU_MISSING_STOPPED] = "stopped",
		[RVCPU_MISSING_REFUSED] = "refused",
		[RVCPU_MISSING_UNUSED] = "PMU unused",
		[RVCPU_MISSING_OFFLINE] = "offline",
		[RVCPU_MISSING_ERROR] = "perf failed",
		[RVCPU_MISSING_SKIPPED] = "skipped",
		[RVCPU_MISSING_NO_EVENT] = "not counted by the PMU",
	};

	return missing < sizeof(names) / sizeof(names[0]) ? names[missing] : "unknown";
}

static void print_value(const struct options *opt, const char *name, bool live, __u64 value,
			unsigned int source, unsigned int missing)
{
	if (opt->json && live)
		printf(",\"%s\":%" PRIu64 ",\"%s_source\":\"%s\"", name, (uint64_t)value, name,
		       source_name(source));
	else if (opt->json)
		printf(",\"%s\":null,\"%s_missing\":\"%s\"", name, name, missing_name(missing));
	else if (live)
		printf("  %s %" PRIu64 " (%s)", name, (uint64_t)value, source_name(source));
	else
		printf("  %s - (%s)", name, missing_name(missing));
}

static void print_record(const struct options *opt, const struct rvcpu_record *r)
{
	bool ktime = r->live & RVCPU_KTIME;

	printf(opt->json ? "{\"cpu\":%u" : "cpu %u", r->cpu);
	print_value(opt, "time", r->live & RVCPU_TIME, r->time, r->time_source, r->time_missing);
	print_value(opt, "cycle", r->live & RVCPU_CYCLE, r->cycle, r->cycle_source,
		    r->cycle_missing);
	print_value(opt, "instret", r->live & RVCPU_INSTRET, r->instret, r->instret_source,
		    r->instret_missing);
	if (opt->json && ktime)
		printf(",\"before_ns\":%" PRIu64 ",\"after_ns\":%" PRIu64, (uint64_t)r->before_ns,
		       (uint64_t)r->after_ns);
	if (opt->json)
		printf(",\"epoch\":%u}\n", r->epoch);
	else if (ktime)
		printf("  at %" PRIu64 ".%09" PRIu64 " +%" PRIu64 " ns\n",
		       (uint64_t)r->before_ns / 1000000000, (uint64_t)r->before_ns % 1000000000,
		       (uint64_t)(r->after_ns - r->before_ns));
	else
		putchar('\n');
}

static void print_first(const struct options *opt, const struct rvcpu_counters *c)
{
	const __u64 values[] = { c->time, c->cycle, c->instret };
	static const char *const names[] = { "time", "cycle", "instret" };
	int i;

	if (opt->json)
		putchar('{');
	for (i = 0; i < 3; i++) {
		if (opt->json)
			printf("%s\"%s\":", i ? "," : "", names[i]);
		else
			printf("%s%s ", i ? "  " : "", names[i]);
		if (values[i] != RVCPU_ABSENT)
			printf("%" PRIu64, (uint64_t)values[i]);
		else
			fputs(opt->json ? "null" : "-", stdout);
	}
	puts(opt->json ? "}" : "");
}

/* The first ABI: @nr 0 is what read(2) returns. */
static int snapshot_first(const struct options *opt, int fd, unsigned long long nr)
{
	struct rvcpu_counters c;

	if (nr) {
		if (ioctl(fd, RVCPU_READ, &c))
			return device_error(opt, "cannot take a snapshot");
	} else {
		ssize_t n = read(fd, &c, sizeof(c));

		if (n < 0)
			return device_error(opt, "cannot read");
		if (n != sizeof(c)) {
			fprintf(stderr, "rvcpuctl: %s: got %zd bytes of %zu\n", opt->device, n,
				sizeof(c));
			return EXIT_FAILURE;
		}
	}
	print_first(opt, &c);
	return finish(EXIT_SUCCESS);
}

static int snapshot(const struct options *opt, int fd)
{
	static struct rvcpu_record records[RVCPU_RECORDS_MAX];
	struct rvcpu_snapshot s = {
		.size = sizeof(s),
		.which = opt->all ? RVCPU_ALL : RVCPU_ONE,
		.cpu = opt->all	    ? 0 :
		       opt->has_cpu ? opt->cpu :
				      RVCPU_THIS_CPU,
		.rounds = 1,
		.count = opt->all ? RVCPU_RECORDS_MAX : 1,
		.record_size = sizeof(records[0]),
		.records = (unsigned long)records,
	};
	__u32 i;

	if (ioctl(fd, RVCPU_SNAPSHOT, &s))
		return device_error(opt, "cannot take a snapshot");
	for (i = 0; i < s.count; i++)
		print_record(opt, &records[i]);
	return finish(EXIT_SUCCESS);
}

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

static void pause_for(double seconds)
{
	struct timespec ts = { .tv_sec = seconds };

	ts.tv_nsec = (seconds - ts.tv_sec) * 1e9;
	nanosleep(&ts, NULL); /* shorter when interrupted */
}

static int run(const struct options *opt)
{
	const struct sigaction action = { .sa_handler = on_signal };
	unsigned long long nr;
	int fd, status = EXIT_SUCCESS;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	fd = open(opt->device, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return device_error(opt, "cannot open");
	for (nr = 0; !status && !interrupted; nr++) {
		status = opt->first_abi ? snapshot_first(opt, fd, nr) : snapshot(opt, fd);
		if (nr == opt->count && !(opt->watch && !opt->has_count))
			break;
		if (!status && opt->interval > 0 && !interrupted)
			pause_for(opt->interval);
	}
	close(fd);
	return status;
}

/* A decimal number and nothing else. */
static bool parse_number(const char *text, unsigned long long *value)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &stop, 10);
	return !errno && !*stop;
}

int main(int argc, char **argv)
{
	enum {
		OPT_JSON = 256,
		OPT_FIRST,
		OPT_VERSION
	};
	static const struct option longs[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "all", no_argument, NULL, 'a' },
		{ "watch", no_argument, NULL, 'w' },
		{ "count", required_argument, NULL, 'n' },
		{ "interval", required_argument, NULL, 'i' },
		{ "first", no_argument, NULL, OPT_FIRST },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ 0 },
	};
	struct options opt = { .device = NODE, .count = FRESH_DEFAULT, .interval = -1 };
	unsigned long long value;
	char *stop;
	int c;

	while ((c = getopt_long(argc, argv, "d:c:awn:i:h", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			opt.device = optarg;
			break;
		case 'c':
			/* The highest number means something else to the device. */
			if (!parse_number(optarg, &value) || value >= RVCPU_THIS_CPU)
				return bad_usage("--cpu: \"%s\" is no CPU", optarg);
			opt.cpu = value;
			opt.has_cpu = true;
			break;
		case 'a':
			opt.all = true;
			break;
		case 'w':
			opt.watch = true;
			break;
		case 'n':
			if (!parse_number(optarg, &opt.count))
				return bad_usage("--count: \"%s\" is no number", optarg);
			opt.has_count = true;
			break;
		case 'i':
			opt.interval = strtod(optarg, &stop);
			if (*optarg < '0' || *optarg > '9' || *stop || opt.interval > 1e9)
				return bad_usage("--interval: \"%s\" are no seconds", optarg);
			break;
		case OPT_FIRST:
			opt.first_abi = true;
			break;
		case OPT_JSON:
			opt.json = true;
			break;
		case 'h':
			usage(stdout);
			return finish(EXIT_SUCCESS);
		case OPT_VERSION:
			puts("rvcpuctl " VERSION);
			return finish(EXIT_SUCCESS);
		default:
			return EXIT_USAGE;
		}
	}
	if (optind < argc)
		return bad_usage("what is \"%s\"?", argv[optind]);
	if (opt.all + opt.has_cpu + opt.first_abi > 1)
		return bad_usage("--all, --cpu and --first exclude each other");
	if (opt.interval < 0)
		opt.interval = opt.watch;
	return run(&opt);
}
