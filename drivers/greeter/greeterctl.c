// SPDX-License-Identifier: GPL-2.0
/*
 * greeterctl - opens the greeter, prints its line, and keeps it from others for a while
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "greeter.h"

#define VERSION "1.0"

enum {
	EXIT_USAGE = 2
};

struct options {
	const char *device;
	bool json, nonblock;
	long long timeout_ms; /* hold: how long, -1: for ever */
};

static void usage(FILE *to)
{
	fprintf(to, "usage: greeterctl [-d|--device NODE] [--json] [--nonblock] COMMAND\n"
		    "\n"
		    "  read                 open the device and print its line\n"
		    "  hold [--timeout S]   the same, then keep it open until S seconds or ^C\n"
		    "\n"
		    "  -d, --device NODE    the device (default: /dev/" GREETER_NAME ")\n"
		    "      --json           print JSON, one object a line\n"
		    "      --nonblock       with policy wait: fail when another has it open\n"
		    "  -h, --help           print this\n"
		    "      --version        print the version\n"
		    "\n"
		    "Ends with 0, 1 after a failure, 2 after a wrong command line.\n");
}

static int __attribute__((format(printf, 1, 2))) bad_usage(const char *fmt, ...)
{
	va_list ap;

	fputs("greeterctl: ", stderr);
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

	fprintf(stderr, "greeterctl: %s: %s: %s", opt->device, what, strerror(err));
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
	case EBUSY:
	case EAGAIN:
		fputs(" (another process has it open; fuser says which)", stderr);
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
	fprintf(stderr, "greeterctl: cannot write the output: %s\n", strerror(errno));
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

/* The whole line, whatever pieces it comes in. Returns its length, or -1. */
static ssize_t read_line(int fd, char *line, size_t room)
{
	size_t len = 0;
	ssize_t n;

	while (len < room) {
		n = read(fd, line + len, room - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n)
			break;
		len += n;
	}
	return len;
}

/* Opens and prints. Returns the descriptor or -1. */
static int greet(const struct options *opt)
{
	char line[GREETER_LINE_MAX + 1];
	unsigned long long n;
	ssize_t len;
	int fd, end = 0;

	fd = open(opt->device, O_RDONLY | O_CLOEXEC | (opt->nonblock ? O_NONBLOCK : 0));
	if (fd < 0) {
		device_error(opt, "cannot open");
		return -1;
	}
	len = read_line(fd, line, GREETER_LINE_MAX);
	if (len < 0) {
		device_error(opt, "cannot read");
		goto fail;
	}
	line[len] = '\0';
	sscanf(line, GREETER_LINE_BEGIN "%llu%n", &n, &end);
	if (!end || strcmp(line + end, GREETER_LINE_END)) {
		fprintf(stderr, "greeterctl: %s: not a greeter\n", opt->device);
		goto fail;
	}
	if (opt->json) {
		fputs("{\"device\":", stdout);
		print_json_string(opt->device);
		printf(",\"times\":%llu}\n", n);
	} else {
		fputs(line, stdout);
	}
	if (!finish(EXIT_SUCCESS))
		return fd;
fail:
	close(fd);
	return -1;
}

static int command_read(const struct options *opt)
{
	int fd = greet(opt);

	if (fd < 0)
		return EXIT_FAILURE;
	close(fd);
	return EXIT_SUCCESS;
}

static int command_hold(const struct options *opt)
{
	struct timespec left = { .tv_sec = opt->timeout_ms / 1000,
				 .tv_nsec = opt->timeout_ms % 1000 * 1000000 };
	sigset_t ends;
	int fd;

	fd = greet(opt);
	if (fd < 0)
		return EXIT_FAILURE;
	/* Not before: while the open waits, they end the program as they always do. */
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	while (sigtimedwait(&ends, NULL, opt->timeout_ms < 0 ? NULL : &left) < 0 && errno == EINTR)
		;
	close(fd);
	return EXIT_SUCCESS;
}

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

static const struct {
	const char *name;
	int (*run)(const struct options *opt);
} commands[] = {
	{ "read", command_read },
	{ "hold", command_hold },
};

int main(int argc, char **argv)
{
	enum {
		OPT_JSON = 256,
		OPT_NONBLOCK,
		OPT_TIMEOUT,
		OPT_VERSION
	};
	static const struct option longs[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "nonblock", no_argument, NULL, OPT_NONBLOCK },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ 0 },
	};
	struct options opt = { .device = "/dev/" GREETER_NAME, .timeout_ms = -1 };
	const char *command;
	size_t i;
	int c;

	while ((c = getopt_long(argc, argv, "d:h", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			opt.device = optarg;
			break;
		case OPT_JSON:
			opt.json = true;
			break;
		case OPT_NONBLOCK:
			opt.nonblock = true;
			break;
		case OPT_TIMEOUT:
			if (!parse_timeout(optarg, &opt.timeout_ms))
				return bad_usage("--timeout: \"%s\" are no seconds", optarg);
			break;
		case 'h':
			usage(stdout);
			return finish(EXIT_SUCCESS);
		case OPT_VERSION:
			puts("greeterctl " VERSION);
			return finish(EXIT_SUCCESS);
		default:
			return EXIT_USAGE;
		}
	}
	if (optind == argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	command = argv[optind++];
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(command, commands[i].name))
			continue;
		if (optind < argc)
			return bad_usage("%s: what is \"%s\"?", command, argv[optind]);
		if (opt.timeout_ms >= 0 && commands[i].run != command_hold)
			return bad_usage("--timeout belongs to hold");
		return commands[i].run(&opt);
	}
	return bad_usage("no command \"%s\"", command);
}
