// SPDX-License-Identifier: GPL-2.0
/*
 * minorsctl - lists the devices of the minors driver and reads them
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "minors.h"

#define VERSION "1.0"
#define NODE	"/dev/" MINORS_NAME "%u"
#define SYSFS	"/sys/class/" MINORS_NAME "/" MINORS_NAME "%u/dev"

enum {
	EXIT_USAGE = 2
};

struct options {
	const char *device;
	bool json;
	unsigned long long count; /* read: opens */
};

static void usage(FILE *to)
{
	fprintf(to, "usage: minorsctl [-d|--device NODE] [--json] COMMAND\n"
		    "\n"
		    "  read [-n COUNT]    open the device, print its line, close it; COUNT times\n"
		    "  list               print each device with its numbers; opens none\n"
		    "\n"
		    "  -d, --device NODE  the device to read (default: /dev/" MINORS_NAME "0)\n"
		    "      --json         print JSON, one object a line\n"
		    "  -h, --help         print this\n"
		    "      --version      print the version\n"
		    "\n"
		    "Ends with 0, 1 after a failure, 2 after a wrong command line.\n");
}

static int __attribute__((format(printf, 1, 2))) bad_usage(const char *fmt, ...)
{
	va_list ap;

	fputs("minorsctl: ", stderr);
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

	fprintf(stderr, "minorsctl: %s: %s: %s", opt->device, what, strerror(err));
	switch (err) {
	case ENOENT:
	case ENODEV:
		fputs(" (is the module loaded?)", stderr);
		break;
	case ENXIO:
		fputs(" (is the module loaded, and its parameter \"count\" large enough?)", stderr);
		break;
	case EACCES:
	case EPERM:
		fputs(" (see the module's parameter \"mode\", or make a udev rule)", stderr);
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
	fprintf(stderr, "minorsctl: cannot write the output: %s\n", strerror(errno));
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

static int read_once(const struct options *opt)
{
	char line[MINORS_LINE_MAX + 1];
	unsigned long long opened;
	unsigned int number;
	ssize_t len;
	int fd;

	fd = open(opt->device, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return device_error(opt, "cannot open");
	len = read_line(fd, line, MINORS_LINE_MAX);
	if (len < 0)
		device_error(opt, "cannot read");
	close(fd);
	if (len < 0)
		return EXIT_FAILURE;
	line[len] = '\0';
	if (sscanf(line, MINORS_LINE, &number, &opened) != 2) {
		fprintf(stderr, "minorsctl: %s: not a device of the minors driver\n", opt->device);
		return EXIT_FAILURE;
	}
	if (opt->json) {
		fputs("{\"device\":", stdout);
		print_json_string(opt->device);
		printf(",\"minor\":%u,\"opened\":%llu}\n", number, opened);
	} else {
		fputs(line, stdout);
	}
	return EXIT_SUCCESS;
}

static int command_read(const struct options *opt, int argc, char **argv)
{
	unsigned long long i;
	int status = EXIT_SUCCESS;

	if (argc)
		return bad_usage("read: what is \"%s\"?", argv[0]);
	for (i = 0; !status && i < opt->count; i++)
		status = finish(read_once(opt));
	return status;
}

/* What sysfs says of a device: "MAJOR:MINOR". */
static bool device_numbers(unsigned int nr, unsigned int *major_nr, unsigned int *minor_nr)
{
	char path[100];
	bool ok;
	FILE *f;

	snprintf(path, sizeof(path), SYSFS, nr);
	f = fopen(path, "re");
	if (!f)
		return false;
	ok = fscanf(f, "%u:%u", major_nr, minor_nr) == 2;
	fclose(f);
	return ok;
}

static int command_list(const struct options *opt, int argc, char **argv)
{
	unsigned int nr, major_nr, minor_nr;

	if (argc)
		return bad_usage("list: what is \"%s\"?", argv[0]);
	if (opt->device)
		return bad_usage("list: --device belongs to read");
	for (nr = 0; nr < MINORS_COUNT_MAX; nr++) {
		if (!device_numbers(nr, &major_nr, &minor_nr))
			break;
		printf(opt->json ? "{\"device\":\"" NODE "\",\"major\":%u,\"minor\":%u}\n" :
				   NODE " %u:%u\n",
		       nr, major_nr, minor_nr);
	}
	if (!nr) {
		fputs("minorsctl: there is no device (is the module loaded?)\n", stderr);
		return EXIT_FAILURE;
	}
	return finish(EXIT_SUCCESS);
}

/* A decimal number above 0 and nothing else. */
static bool parse_count(const char *text, unsigned long long *value)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &stop, 10);
	return !errno && !*stop && *value;
}

static const struct {
	const char *name;
	int (*run)(const struct options *opt, int argc, char **argv);
} commands[] = {
	{ "read", command_read },
	{ "list", command_list },
};

int main(int argc, char **argv)
{
	enum {
		OPT_JSON = 256,
		OPT_VERSION
	};
	static const struct option longs[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "count", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ 0 },
	};
	struct options opt = { .count = 0 };
	const char *command;
	size_t i;
	int c;

	while ((c = getopt_long(argc, argv, "d:n:h", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			opt.device = optarg;
			break;
		case 'n':
			if (!parse_count(optarg, &opt.count))
				return bad_usage("-n: \"%s\" is not a number above 0", optarg);
			break;
		case OPT_JSON:
			opt.json = true;
			break;
		case 'h':
			usage(stdout);
			return finish(EXIT_SUCCESS);
		case OPT_VERSION:
			puts("minorsctl " VERSION);
			return finish(EXIT_SUCCESS);
		default:
			return EXIT_USAGE;
		}
	}
	if (optind == argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	command = argv[optind];
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(command, commands[i].name))
			continue;
		if (commands[i].run != command_read) {
			if (opt.count)
				return bad_usage("-n belongs to read");
		} else {
			if (!opt.device)
				opt.device = "/dev/" MINORS_NAME "0";
			if (!opt.count)
				opt.count = 1;
		}
		return commands[i].run(&opt, argc - optind - 1, argv + optind + 1);
	}
	return bad_usage("no command \"%s\"", command);
}
