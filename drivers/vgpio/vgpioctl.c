// SPDX-License-Identifier: GPL-2.0
/*
 * vgpioctl - sets, reads and watches the lines of a virtual GPIO device
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "vgpio.h"

#define VERSION "1.0"
#define NODES	"/dev/vgpio_*"

enum {
	EXIT_USAGE = 2
};

struct options {
	const char *device;
	bool json;
	unsigned long long count; /* watch: events to print, 0: no limit */
	long long timeout_ms;	  /* watch: how long, -1: for ever */
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: vgpioctl [-d|--device NODE] [--json] COMMAND\n"
		"\n"
		"  get [PIN...]       print the lines, all of them by default, as PIN=VALUE\n"
		"  set PIN=VALUE...   set lines to 0 or 1, in that order\n"
		"  toggle PIN         set a line to what it is not\n"
		"  watch [-n COUNT] [--timeout S]\n"
		"                     print each change of a line, until COUNT or S seconds or ^C\n"
		"  info               print what the device is\n"
		"\n"
		"  -d, --device NODE  the device (default: the first of " NODES ")\n"
		"      --json         print JSON, one object a line\n"
		"  -h, --help         print this\n"
		"      --version      print the version\n"
		"\n"
		"Ends with 0, 1 after a failure, 2 after a wrong command line.\n");
}

static int __attribute__((format(printf, 1, 2))) bad_usage(const char *fmt, ...)
{
	va_list ap;

	fputs("vgpioctl: ", stderr);
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

	fprintf(stderr, "vgpioctl: %s: %s: %s", opt->device, what, strerror(err));
	switch (err) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		fputs(" (is the module loaded?)", stderr);
		break;
	case EACCES:
	case EPERM:
		fputs(" (see the module's parameter \"mode\", or make a udev rule)", stderr);
		break;
	case ENOTTY:
		fputs(" (not a virtual GPIO device)", stderr);
		break;
	}
	fputc('\n', stderr);
	return EXIT_FAILURE;
}

/* A decimal number and nothing else. */
static bool parse_number(const char *text, const char *end, unsigned long long *value)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &stop, 10);
	return !errno && stop == end;
}

static bool parse_pin(const char *text, const char *end, __u32 *pin)
{
	unsigned long long value;

	if (!parse_number(text, end, &value) || value > UINT32_MAX)
		return false;
	*pin = value;
	return true;
}

/* PIN=VALUE; the device has the last word on which pins there are. */
static bool parse_assignment(const char *text, struct vgpio_line *line)
{
	const char *equals = strchr(text, '=');

	if (!equals || !parse_pin(text, equals, &line->pin))
		return false;
	if (strcmp(equals, "=0") && strcmp(equals, "=1"))
		return false;
	line->value = equals[1] - '0';
	return true;
}

static int open_device(const struct options *opt, int flags)
{
	int fd = open(opt->device, flags | O_CLOEXEC);

	if (fd < 0)
		device_error(opt, "cannot open");
	return fd;
}

static int line_call(const struct options *opt, int fd, unsigned long cmd, struct vgpio_line *line)
{
	if (!ioctl(fd, cmd, line))
		return EXIT_SUCCESS;
	if (errno == EINVAL) {
		fprintf(stderr, "vgpioctl: %s: no pin %u, there are 0 to %d\n", opt->device,
			line->pin, VGPIO_LINES - 1);
		return EXIT_FAILURE;
	}
	return device_error(opt, cmd == VGPIO_GET ? "cannot get a line" : "cannot set a line");
}

/* Standard output may be a full disk or a closed pipe. */
static int finish(int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	fprintf(stderr, "vgpioctl: cannot write the output: %s\n", strerror(errno));
	return EXIT_FAILURE;
}

/* A name of a file is any bytes: those that JSON knows no sign for are escaped. */
static void print_json_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			printf("\\u%04x", *text);
		else
			putchar(*text);
	}
	putchar('"');
}

static int command_get(const struct options *opt, int argc, char **argv)
{
	struct vgpio_line lines[VGPIO_LINES] = { 0 };
	int fd, i, n = argc ? argc : VGPIO_LINES, status = EXIT_SUCCESS;

	if (argc > VGPIO_LINES)
		return bad_usage("get: more pins than the %d there are", VGPIO_LINES);
	for (i = 0; i < n; i++) {
		if (!argc)
			lines[i].pin = i;
		else if (!parse_pin(argv[i], argv[i] + strlen(argv[i]), &lines[i].pin))
			return bad_usage("get: \"%s\" is no pin", argv[i]);
	}
	fd = open_device(opt, O_RDONLY);
	if (fd < 0)
		return EXIT_FAILURE;
	for (i = 0; !status && i < n; i++)
		status = line_call(opt, fd, VGPIO_GET, &lines[i]);
	close(fd);
	if (status)
		return status;

	if (opt->json) {
		fputs("{\"device\":", stdout);
		print_json_string(opt->device);
		fputs(",\"lines\":[", stdout);
		for (i = 0; i < n; i++)
			printf("%s{\"pin\":%u,\"value\":%u}", i ? "," : "", lines[i].pin,
			       lines[i].value);
		puts("]}");
	} else {
		for (i = 0; i < n; i++)
			printf("%u=%u\n", lines[i].pin, lines[i].value);
	}
	return finish(status);
}

static int command_set(const struct options *opt, int argc, char **argv)
{
	struct vgpio_line line;
	int fd, i, status = EXIT_SUCCESS;

	if (!argc)
		return bad_usage("set: PIN=VALUE is missing");
	/* All are looked at before the first is set. */
	for (i = 0; i < argc; i++) {
		if (!parse_assignment(argv[i], &line))
			return bad_usage("set: \"%s\" is not PIN=0 or PIN=1", argv[i]);
	}
	fd = open_device(opt, O_WRONLY);
	if (fd < 0)
		return EXIT_FAILURE;
	for (i = 0; !status && i < argc; i++) {
		memset(&line, 0, sizeof(line));
		parse_assignment(argv[i], &line);
		status = line_call(opt, fd, VGPIO_SET, &line);
	}
	close(fd);
	return status;
}

static int command_toggle(const struct options *opt, int argc, char **argv)
{
	struct vgpio_line line = { 0 };
	int fd, status;

	if (argc != 1)
		return bad_usage("toggle: one PIN is expected");
	if (!parse_pin(argv[0], argv[0] + strlen(argv[0]), &line.pin))
		return bad_usage("toggle: \"%s\" is no pin", argv[0]);
	fd = open_device(opt, O_WRONLY);
	if (fd < 0)
		return EXIT_FAILURE;
	status = line_call(opt, fd, VGPIO_GET, &line);
	if (!status) {
		line.value = !line.value;
		status = line_call(opt, fd, VGPIO_SET, &line);
	}
	close(fd);
	return status;
}

static bool get_info(const struct options *opt, int fd, struct vgpio_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	if (!ioctl(fd, VGPIO_INFO, info))
		return true;
	device_error(opt, "cannot get information");
	return false;
}

static int command_info(const struct options *opt, int argc, char **argv)
{
	struct vgpio_info info;
	bool ok;
	int fd;

	if (argc)
		return bad_usage("info: what is \"%s\"?", argv[0]);
	fd = open_device(opt, O_RDONLY);
	if (fd < 0)
		return EXIT_FAILURE;
	ok = get_info(opt, fd, &info);
	close(fd);
	if (!ok)
		return EXIT_FAILURE;

	if (opt->json) {
		fputs("{\"device\":", stdout);
		print_json_string(opt->device);
		printf(",\"lines\":%u,\"lock\":%s,\"queue\":%s,\"ring\":%u,\"event_size\":%u}\n",
		       info.lines, info.features & VGPIO_FEATURE_LOCK ? "true" : "false",
		       info.features & VGPIO_FEATURE_QUEUE ? "true" : "false", info.ring,
		       info.event_size);
	} else {
		printf("device  %s\nlines   %u\nlock    %s\n", opt->device, info.lines,
		       info.features & VGPIO_FEATURE_LOCK ? "spinlock" : "none");
		if (info.features & VGPIO_FEATURE_QUEUE)
			printf("events  read and poll, %u kept\n", info.ring);
		else
			puts("events  none");
	}
	return finish(EXIT_SUCCESS);
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void print_event(const struct options *opt, const struct vgpio_event *event)
{
	uint64_t seconds = event->time_ns / 1000000000, rest = event->time_ns % 1000000000;

	if (opt->json) {
		printf("{\"sequence\":%" PRIu64 ",\"time_ns\":%" PRIu64
		       ",\"pin\":%u,\"value\":%u,\"missed\":%u}\n",
		       (uint64_t)event->sequence, (uint64_t)event->time_ns, event->pin,
		       event->value, event->missed);
		return;
	}
	printf("%" PRIu64 ".%09" PRIu64 " #%" PRIu64 " %u=%u", seconds, rest,
	       (uint64_t)event->sequence, event->pin, event->value);
	if (event->missed)
		printf(" (%u missed before)", event->missed);
	putchar('\n');
}

static int time_is_over(const struct options *opt, unsigned long long printed)
{
	if (!opt->count)
		return EXIT_SUCCESS;
	fprintf(stderr, "vgpioctl: %s: the time is over, %llu of %llu changes came\n", opt->device,
		printed, opt->count);
	return EXIT_FAILURE;
}

/* Prints events of @fd until there were enough, or the time is over, or @signals has one. */
static int watch_events(const struct options *opt, int fd, int signals)
{
	const long long end = opt->timeout_ms < 0 ? -1 : now_ms() + opt->timeout_ms;
	unsigned long long printed = 0;
	struct vgpio_event event;
	struct pollfd pfds[] = { { .fd = fd, .events = POLLIN },
				 { .fd = signals, .events = POLLIN } };

	while (!opt->count || printed < opt->count) {
		struct timespec left = { 0 };
		ssize_t n;

		if (end >= 0) {
			long long ms = end - now_ms();

			/* Changes may come without end. */
			if (ms <= 0 && printed)
				return time_is_over(opt, printed);
			if (ms < 0)
				ms = 0;
			left.tv_sec = ms / 1000;
			left.tv_nsec = ms % 1000 * 1000000;
		}
		switch (ppoll(pfds, 2, end < 0 ? NULL : &left, NULL)) {
		case -1:
			if (errno != EINTR)
				return device_error(opt, "cannot wait");
			continue;
		case 0:
			return time_is_over(opt, printed);
		}
		if (pfds[1].revents)
			return EXIT_SUCCESS;
		n = read(fd, &event, sizeof(event));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return device_error(opt, "cannot read");
		if (n != sizeof(event)) {
			fprintf(stderr, "vgpioctl: %s: got %zd bytes of a record of %zu\n",
				opt->device, n, sizeof(event));
			return EXIT_FAILURE;
		}
		print_event(opt, &event);
		if (finish(EXIT_SUCCESS))
			return EXIT_FAILURE;
		printed++;
	}
	return EXIT_SUCCESS;
}

static int command_watch(const struct options *opt, int argc, char **argv)
{
	struct vgpio_info info;
	int fd, signals, status = EXIT_FAILURE;
	sigset_t ends;

	if (argc)
		return bad_usage("watch: what is \"%s\"?", argv[0]);

	/* Beside the events: who is never done with these would not see a signal that ends a wait. */
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	signals = signalfd(-1, &ends, SFD_CLOEXEC);
	if (signals < 0)
		return device_error(opt, "cannot wait for signals");

	fd = open_device(opt, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		goto out_signals;
	if (!get_info(opt, fd, &info))
		goto out;
	if (!(info.features & VGPIO_FEATURE_QUEUE)) {
		fprintf(stderr, "vgpioctl: %s: this build of the driver has no events to watch\n",
			opt->device);
		goto out;
	}
	status = watch_events(opt, fd, signals);
out:
	close(fd);
out_signals:
	close(signals);
	return status;
}

static const struct {
	const char *name;
	int (*run)(const struct options *opt, int argc, char **argv);
} commands[] = {
	{ "get", command_get },	    { "set", command_set },   { "toggle", command_toggle },
	{ "watch", command_watch }, { "info", command_info },
};

/* Seconds, with a fraction if need be. */
static bool parse_timeout(const char *text, long long *ms)
{
	char *stop;
	double seconds;

	if (*text < '0' || *text > '9')
		return false;
	seconds = strtod(text, &stop);
	if (*stop || seconds > 1e9)
		return false;
	*ms = seconds * 1000;
	return true;
}

static int run_command(const struct options *opt, int argc, char **argv)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(argv[0], commands[i].name))
			return commands[i].run(opt, argc - 1, argv + 1);
	}
	return bad_usage("no command \"%s\"", argv[0]);
}

int main(int argc, char **argv)
{
	enum {
		OPT_JSON = 256,
		OPT_TIMEOUT,
		OPT_VERSION
	};
	static const struct option longs[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "count", required_argument, NULL, 'n' },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ 0 },
	};
	struct options opt = { .timeout_ms = -1 };
	bool watch_only = false;
	glob_t nodes;
	int c, status;

	while ((c = getopt_long(argc, argv, "d:n:h", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			opt.device = optarg;
			break;
		case 'n':
			if (!parse_number(optarg, optarg + strlen(optarg), &opt.count) ||
			    !opt.count)
				return bad_usage("-n: \"%s\" is not a number above 0", optarg);
			watch_only = true;
			break;
		case OPT_JSON:
			opt.json = true;
			break;
		case OPT_TIMEOUT:
			if (!parse_timeout(optarg, &opt.timeout_ms))
				return bad_usage("--timeout: \"%s\" are no seconds", optarg);
			watch_only = true;
			break;
		case 'h':
			usage(stdout);
			return finish(EXIT_SUCCESS);
		case OPT_VERSION:
			puts("vgpioctl " VERSION);
			return finish(EXIT_SUCCESS);
		default:
			return EXIT_USAGE;
		}
	}
	if (optind == argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (watch_only && strcmp(argv[optind], "watch"))
		return bad_usage("-n and --timeout belong to watch");
	if (opt.device)
		return run_command(&opt, argc - optind, argv + optind);

	/* Sorted: the first is the same one each time. */
	if (glob(NODES, 0, NULL, &nodes)) {
		/* A wrong command line is wrong without a device, too; then the node is. */
		opt.device = "/dev/vgpio_basic";
		return run_command(&opt, argc - optind, argv + optind);
	}
	opt.device = nodes.gl_pathv[0];
	status = run_command(&opt, argc - optind, argv + optind);
	globfree(&nodes);
	return status;
}
