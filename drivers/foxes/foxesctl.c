// SPDX-License-Identifier: GPL-2.0
/*
 * foxesctl - reads foxes, and counts them
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

#include "foxes.h"

#define VERSION "1.0"
#define NODE	"/dev/foxes"

enum {
	EXIT_USAGE = 2
};

struct options {
	const char *device;
	bool json;
	unsigned long long count; /* read: so many foxes, 0: to the end */
};

static void usage(FILE *to)
{
	fprintf(to, "usage: foxesctl [-d|--device NODE] [--json] COMMAND\n"
		    "\n"
		    "  read [-n COUNT]    copy foxes to standard output, COUNT or all there are\n"
		    "  count              read to the end and print how many foxes there were\n"
		    "\n"
		    "  -d, --device NODE  the device (default: " NODE ")\n"
		    "      --json         count: print a JSON object\n"
		    "  -h, --help         print this\n"
		    "      --version      print the version\n"
		    "\n"
		    "Ends with 0, 1 after a failure, 2 after a wrong command line.\n");
}

static int __attribute__((format(printf, 1, 2))) bad_usage(const char *fmt, ...)
{
	va_list ap;

	fputs("foxesctl: ", stderr);
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

	fprintf(stderr, "foxesctl: %s: %s: %s", opt->device, what, strerror(err));
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
	case EISDIR:
	case EINVAL:
		fputs(" (not a device of foxes)", stderr);
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
	fprintf(stderr, "foxesctl: cannot write the output: %s\n", strerror(errno));
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

/*
 * Reads until @max bytes were there, 0: to the end, looks at each of them and copies them if @copy
 * says so. @total gets their number.
 */
static int read_foxes(const struct options *opt, unsigned long long max, bool copy,
		      unsigned long long *total)
{
	static unsigned char buf[64 * 1024];
	int fd, status = EXIT_SUCCESS;

	*total = 0;
	fd = open(opt->device, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return device_error(opt, "cannot open");
	while (!max || *total < max) {
		size_t len = max && max - *total < sizeof(buf) ? max - *total : sizeof(buf);
		ssize_t n = read(fd, buf, len), i;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			status = device_error(opt, "cannot read");
		if (n <= 0)
			break;
		for (i = 0; i < n; i++, ++*total) {
			if (buf[i] == (unsigned char)FOXES_FOX[*total % FOXES_FOX_SIZE])
				continue;
			fprintf(stderr,
				"foxesctl: %s: byte %llu is 0x%02x, no fox's (not a device of foxes)\n",
				opt->device, *total, buf[i]);
			status = EXIT_FAILURE;
			goto out;
		}
		if (copy && fwrite(buf, 1, n, stdout) != (size_t)n) {
			status = finish(EXIT_FAILURE);
			goto out;
		}
	}
	if (!status && *total % FOXES_FOX_SIZE) {
		fprintf(stderr, "foxesctl: %s: the end came inside a fox, after %llu bytes\n",
			opt->device, *total);
		status = EXIT_FAILURE;
	}
out:
	close(fd);
	return status;
}

static int command_read(const struct options *opt)
{
	unsigned long long total;
	int status = read_foxes(opt, opt->count * FOXES_FOX_SIZE, true, &total);

	if (status)
		return status;
	status = finish(EXIT_SUCCESS);
	if (!status && total < opt->count * FOXES_FOX_SIZE) {
		fprintf(stderr,
			"foxesctl: %s: the end came after %llu of %llu foxes (see the module's parameter \"foxes\")\n",
			opt->device, total / FOXES_FOX_SIZE, opt->count);
		status = EXIT_FAILURE;
	}
	return status;
}

static int command_count(const struct options *opt)
{
	unsigned long long total;
	int status = read_foxes(opt, 0, false, &total);

	if (status)
		return status;
	if (opt->json) {
		fputs("{\"device\":", stdout);
		print_json_string(opt->device);
		printf(",\"foxes\":%llu,\"bytes\":%llu}\n", total / FOXES_FOX_SIZE, total);
	} else {
		printf("%llu\n", total / FOXES_FOX_SIZE);
	}
	return finish(EXIT_SUCCESS);
}

/* A decimal number of foxes. */
static bool parse_count(const char *text, unsigned long long *value)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &stop, 10);
	return !errno && !*stop && *value && *value <= FOXES_MAX;
}

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
	struct options opt = { .device = NODE };
	const char *command;
	bool counts;
	int c;

	while ((c = getopt_long(argc, argv, "d:n:h", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			opt.device = optarg;
			break;
		case 'n':
			if (!parse_count(optarg, &opt.count))
				return bad_usage("-n: \"%s\" is not a number from 1 to %d", optarg,
						 FOXES_MAX);
			break;
		case OPT_JSON:
			opt.json = true;
			break;
		case 'h':
			usage(stdout);
			return finish(EXIT_SUCCESS);
		case OPT_VERSION:
			puts("foxesctl " VERSION);
			return finish(EXIT_SUCCESS);
		default:
			return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return bad_usage("a command is missing");
	command = argv[optind++];
	counts = !strcmp(command, "count");
	if (!counts && strcmp(command, "read"))
		return bad_usage("no command \"%s\"", command);
	if (optind < argc)
		return bad_usage("%s: what is \"%s\"?", command, argv[optind]);
	if (opt.count && counts)
		return bad_usage("-n belongs to read");
	if (opt.json && !counts)
		return bad_usage("--json belongs to count");
	return counts ? command_count(&opt) : command_read(&opt);
}
