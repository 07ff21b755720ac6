// SPDX-License-Identifier: GPL-2.0
/*
 * Plays an FNB58 with a known waveform while a command runs:
 *
 *	fnb58 uhid|gadget [lose N] [damage N] [stall AT SECONDS] [unplug AT] -- COMMAND...
 *
 * uhid: /dev/uhid. gadget: a HID function of a USB device on dummy_hcd, so that the USB stack and usbhid are real as well.
 * As the meter does, it says nothing before it was told to start, and nothing more when nobody has kept it awake for two
 * seconds. It draws 5.1 V and 0.5 + 0.3 sin(2 pi 0.25 t) A, t by CLOCK_MONOTONIC from the time that it prints:
 *
 *	played from 12.345678, 125 reports, 12 lost, 0 damaged, 3 commands
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <linux/uhid.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REPORT	 64
#define PERIOD	 0.04 /* of reports, s */
#define AWAKE_S	 2
#define GADGET	 "/sys/kernel/config/usb_gadget/g"
#define FUNCTION GADGET "/functions/hid.usb0"

/* Vendor's own, 64 bytes in and 64 out, no report numbers. */
static const uint8_t descriptor[] = { 0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01, 0x15, 0x00,
				      0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x40, 0x09, 0x01,
				      0x81, 0x02, 0x95, 0x40, 0x09, 0x01, 0x91, 0x02, 0xc0 };

static struct {
	bool gadget;
	int lose, damage;
	double stall_at, stall_s, unplug_at;
} how;

static int dev = -1;
static int started; /* how many of the three commands came */
static double awake, origin;
static int sent, lost, damaged, commands;

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(3);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static uint8_t crc(const uint8_t *p)
{
	uint8_t c = 0x42;

	for (int i = 1; i < REPORT - 1; i++) {
		c ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			c = c & 0x80 ? c << 1 ^ 0x39 : c << 1;
	}
	return c;
}

/* --- the device --- */

static void put(const char *path, const void *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, n) != (ssize_t)n)
		die("%s", path);
	close(fd);
}

static void put_text(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

static void make(const char *path)
{
	if (mkdir(path, 0755))
		die("%s", path);
}

static void gadget_make(void)
{
	make(GADGET);
	put_text(GADGET "/idVendor", "0x2e3c");
	put_text(GADGET "/idProduct", "0x5558");
	make(FUNCTION);
	put_text(FUNCTION "/protocol", "0");
	put_text(FUNCTION "/subclass", "0");
	put_text(FUNCTION "/report_length", "64");
	put(FUNCTION "/report_desc", descriptor, sizeof(descriptor));
	make(GADGET "/configs/c.1");
	if (symlink(FUNCTION, GADGET "/configs/c.1/hid.usb0"))
		die("symlink");
}

static void gadget_open(void)
{
	mount("configfs", "/sys/kernel/config", "configfs", 0, NULL);
	/* one that is there was only pulled out */
	if (access(GADGET, F_OK))
		gadget_make();
	put_text(GADGET "/UDC", "dummy_udc.0");
	for (int i = 0; i < 100 && dev < 0; i++) {
		dev = open("/dev/hidg0", O_RDWR | O_NONBLOCK | O_CLOEXEC);
		usleep(50000);
	}
	if (dev < 0)
		die("/dev/hidg0");
}

static void uhid_say(struct uhid_event *e)
{
	if (write(dev, e, sizeof(*e)) < 0)
		die("/dev/uhid");
}

static void uhid_open(void)
{
	struct uhid_event e = { .type = UHID_CREATE2 };

	dev = open("/dev/uhid", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (dev < 0)
		die("/dev/uhid");
	strcpy((char *)e.u.create2.name, "FNB-58");
	e.u.create2.bus = 3; /* BUS_USB */
	e.u.create2.vendor = 0x2e3c;
	e.u.create2.product = 0x5558;
	e.u.create2.rd_size = sizeof(descriptor);
	memcpy(e.u.create2.rd_data, descriptor, sizeof(descriptor));
	uhid_say(&e);
}

static void unplug(void)
{
	if (dev < 0)
		return;
	if (how.gadget) {
		put_text(GADGET "/UDC", "\n");
	} else {
		struct uhid_event e = { .type = UHID_DESTROY };

		uhid_say(&e);
	}
	close(dev);
	dev = -1;
}

/* --- what it is told, and says --- */

/* A command that is not whole is none. */
static void take(const uint8_t *p, size_t n)
{
	if (n != REPORT || p[0] != 0xaa || p[REPORT - 1] != crc(p))
		return;
	if (p[1] < 0x81 || p[1] > 0x83)
		return;
	commands++;
	started += started < 3;
	awake = now();
}

static void receive(void)
{
	struct pollfd pfd = { .fd = dev, .events = POLLIN };

	while (poll(&pfd, 1, 0) > 0 && pfd.revents & POLLIN) {
		uint8_t report[REPORT];
		struct uhid_event e;

		if (how.gadget) {
			if (read(dev, report, sizeof(report)) != sizeof(report))
				return;
			take(report, sizeof(report));
		} else {
			if (read(dev, &e, sizeof(e)) <= 0)
				return;
			/* before the 64 bytes stands the number that the reports do not have */
			if (e.type == UHID_OUTPUT)
				take(e.u.output.data + 1, e.u.output.size - 1);
		}
	}
}

static void put_le32(uint8_t *p, double v)
{
	uint32_t n = lround(v * 1e5);

	for (int i = 0; i < 4; i++)
		p[i] = n >> 8 * i;
}

static void send_report(double t)
{
	uint8_t report[REPORT] = { 0xaa, 0x04 };

	for (int i = 0; i < 4; i++) {
		double at = t - 0.01 * (3 - i) - origin;

		put_le32(report + 2 + 15 * i, 5.1);
		put_le32(report + 6 + 15 * i, 0.5 + 0.3 * sin(2 * M_PI * 0.25 * at));
	}
	report[REPORT - 1] = crc(report);
	sent++;
	if (how.damage && sent % how.damage == 0) {
		report[20] ^= 0x55;
		damaged++;
	}
	if (how.lose && sent % how.lose == 0) {
		lost++;
		return;
	}
	if (how.gadget) {
		/* full until the host has read the last one: then this one is lost, too */
		if (write(dev, report, sizeof(report)) != sizeof(report))
			lost++;
	} else {
		struct uhid_event e = { .type = UHID_INPUT2 };

		e.u.input2.size = REPORT;
		memcpy(e.u.input2.data, report, REPORT);
		uhid_say(&e);
	}
}

static bool is_silent(double t)
{
	double at = t - origin;

	return started < 3 || t - awake > AWAKE_S ||
	       (how.stall_s && at >= how.stall_at && at < how.stall_at + how.stall_s);
}

/* --- the program --- */

static void options(int argc, char **argv, int *at)
{
	int i = 2;

	how.gadget = argc > 1 && !strcmp(argv[1], "gadget");
	for (; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "lose") && i + 1 < argc)
			how.lose = atoi(argv[++i]);
		else if (!strcmp(argv[i], "damage") && i + 1 < argc)
			how.damage = atoi(argv[++i]);
		else if (!strcmp(argv[i], "unplug") && i + 1 < argc)
			how.unplug_at = atof(argv[++i]);
		else if (!strcmp(argv[i], "stall") && i + 2 < argc) {
			how.stall_at = atof(argv[++i]);
			how.stall_s = atof(argv[++i]);
		}
	}
	*at = i + 1;
	if (i + 1 >= argc) {
		fprintf(stderr, "usage: see the source\n");
		exit(2);
	}
}

/* Until hidraw shows it: the command looks only once. */
static void wait_for_node(void)
{
	for (int i = 0; i < 200; i++) {
		receive();
		if (!access("/dev/hidraw0", F_OK))
			return;
		usleep(50000);
	}
	errno = ETIMEDOUT;
	die("/dev/hidraw0");
}

int main(int argc, char **argv)
{
	int at, status = 0;
	double due;
	pid_t pid;

	options(argc, argv, &at);
	if (how.gadget)
		gadget_open();
	else
		uhid_open();
	wait_for_node();
	pid = fork();
	if (!pid) {
		execv(argv[at], argv + at);
		_exit(127);
	}
	while (dev >= 0 && started < 3 && !waitpid(pid, &status, WNOHANG)) {
		receive();
		usleep(2000);
	}
	origin = due = now();
	while (!waitpid(pid, &status, WNOHANG)) {
		double t = now();

		if (dev < 0) {
			usleep(10000);
			continue;
		}
		receive();
		if (how.unplug_at && t - origin > how.unplug_at) {
			unplug();
			continue;
		}
		if (t < due) {
			usleep(1000);
			continue;
		}
		/* what this host was too slow for is not made up for in a burst */
		while (due <= t)
			due += PERIOD;
		if (!is_silent(t))
			send_report(t);
	}
	unplug();
	printf("played from %.6f, %d reports, %d lost, %d damaged, %d commands\n", origin, sent,
	       lost, damaged, commands);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
