// SPDX-License-Identifier: GPL-2.0
/*
 * templatectl - reads, writes and watches the record of /dev/template
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "template.h"

#define NODE "/dev/template"

enum {
	EXIT_USAGE = 2
};

static const char *node = NODE;
static bool json;

static void usage(FILE *to)
{
	fputs("usage: templatectl [-d|--device NODE] [--json] COMMAND\n"
	      "\n"
	      "  get                print the record, up to its first zero\n"
	      "  set TEXT           make it that text, and zeros after it\n"
	      "  clear              make it all zeros\n"
	      "  info               print what the device is\n"
	      "  wait [--timeout S] wait until it changes, then print it\n"
	      "\n"
	      "  -d, --device NODE  the device (default: " NODE ")\n"
	      "      --json         info: print JSON\n"
	      "  -h, --help         print this\n"
	      "\n"
	      "Ends with 0, 1 after a failure, 2 after a wrong command line.\n",
	      to);
}

static int __attribute__((format(printf, 1, 2))) bad_usage(const char *fmt, ...)
{
	va_list ap;

	fputs("templatectl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs(" (--help says more)\n", stderr);
	return EXIT_USAGE;
}

static int __attribute__((format(printf, 1, 2))) failure(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "templatectl: %s: ", node);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_FAILURE;
}

/* One line: what was wrong with a call, and what to do where that is known. */
static int device_error(const char *what)
{
	const char *advice = "";
	int err = errno;

	switch (err) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		advice = " (is the module loaded?)";
		break;
	case EACCES:
	case EPERM:
		advice = " (see the module's parameter \"mode\", or make a udev rule)";
		break;
	case ENOTTY:
		advice = " (it is another device)";
		break;
	}
	return failure("%s: %s%s", what, strerror(err), advice);
}

/* Standard output may be a full disk or a closed pipe. */
static int finish(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return EXIT_SUCCESS;
	fprintf(stderr, "templatectl: cannot write the output: %s\n", strerror(errno));
	return EXIT_FAILURE;
}

/* Opens the node and makes sure that it is ours. Returns a descriptor, or -1 after a message. */
static int open_device(int flags, struct template_info *info)
{
	int fd = open(node, flags | O_CLOEXEC);

	if (fd < 0) {
		device_error("cannot open");
		return -1;
	}
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	if (ioctl(fd, TEMPLATE_INFO, info)) {
		device_error("cannot get information");
		close(fd);
		return -1;
	}
	return fd;
}

static int print_record(int fd, size_t bytes)
{
	char *text = calloc(1, bytes + 1);
	ssize_t n = text ? pread(fd, text, bytes, 0) : -1;
	int status = EXIT_FAILURE;

	if (n < 0) {
		device_error("cannot read");
	} else {
		puts(text);
		status = finish();
	}
	free(text);
	return status;
}

static int command_get(void)
{
	struct template_info info;
	int fd = open_device(O_RDONLY, &info), status;

	if (fd < 0)
		return EXIT_FAILURE;
	status = print_record(fd, info.bytes);
	close(fd);
	return status;
}

/* In one call, so that nobody reads a half of it. */
static int command_set(const char *text)
{
	int fd, status = EXIT_FAILURE;
	struct template_info info;
	char *record;
	ssize_t n;

	fd = open_device(O_WRONLY, &info);
	if (fd < 0)
		return EXIT_FAILURE;
	record = calloc(1, info.bytes);
	if (strlen(text) > info.bytes) {
		failure("%zu bytes of text, and the record has %u", strlen(text), info.bytes);
	} else if (record) {
		memcpy(record, text, strlen(text));
		n = pwrite(fd, record, info.bytes, 0);
		if (n < 0)
			device_error("cannot write");
		else if (n < info.bytes)
			failure("took only %zd bytes", n);
		else
			status = EXIT_SUCCESS;
	} else {
		device_error("cannot write");
	}
	free(record);
	close(fd);
	return status;
}

static int command_clear(void)
{
	struct template_info info;
	int fd = open_device(O_WRONLY, &info), status = EXIT_SUCCESS;

	if (fd < 0)
		return EXIT_FAILURE;
	if (ioctl(fd, TEMPLATE_CLEAR))
		status = device_error("cannot clear");
	close(fd);
	return status;
}

static int command_info(void)
{
	struct template_info info;
	int fd = open_device(O_RDONLY, &info);

	if (fd < 0)
		return EXIT_FAILURE;
	close(fd);
	printf(json ? "{\"bytes\":%u,\"changes\":%llu}\n" : "bytes    %u\nchanges  %llu\n",
	       info.bytes, (unsigned long long)info.changes);
	return finish();
}

static int command_wait(int timeout_ms)
{
	struct pollfd pfd = { .events = POLLPRI };
	struct template_info info;
	int ret, status = EXIT_FAILURE;

	pfd.fd = open_device(O_RDONLY, &info);
	if (pfd.fd < 0)
		return EXIT_FAILURE;
	ret = poll(&pfd, 1, timeout_ms);
	if (ret < 0)
		device_error("cannot wait");
	else if (!ret)
		failure("no change in %d s", timeout_ms / 1000);
	else
		status = print_record(pfd.fd, info.bytes);
	close(pfd.fd);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ "timeout", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int opt, operands, timeout_ms = -1;
	const char *command;
	char *end;
	long s;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":d:h", options, NULL)) != -1) {
		switch (opt) {
		case 'd':
			node = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 't':
			s = strtol(optarg, &end, 10);
			if (end == optarg || *end || s < 0 || s > 1000000)
				return bad_usage("--timeout takes seconds, not \"%s\"", optarg);
			timeout_ms = s * 1000;
			break;
		case 'h':
			usage(stdout);
			return finish();
		case ':':
			return bad_usage("%s needs a value", argv[optind - 1]);
		default:
			return bad_usage("there is no option %s", argv[optind - 1]);
		}
	}

	command = optind < argc ? argv[optind++] : "";
	operands = argc - optind;
	if (!*command)
		return bad_usage("a command is missing");
	if (!strcmp(command, "set"))
		return operands == 1 ? command_set(argv[optind]) : bad_usage("set takes one TEXT");
	if (operands)
		return bad_usage("%s: what is \"%s\"?", command, argv[optind]);
	if (!strcmp(command, "get"))
		return command_get();
	if (!strcmp(command, "clear"))
		return command_clear();
	if (!strcmp(command, "info"))
		return command_info();
	if (!strcmp(command, "wait"))
		return command_wait(timeout_ms);
	return bad_usage("there is no command \"%s\"", command);
}
