// SPDX-License-Identifier: GPL-2.0
/*
 * What a line costs behind gpiolib: the same operations, under the same names, as those of vgpio. One simulated chip
 * with as many lines, all in one request, so that a call names its line by a mask as vgpio's names it by a number.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exact.h"
#include "guest.h"

#define CONFIGFS   "/sys/kernel/config"
#define CHIP	   CONFIGFS "/gpio-sim/cdevlab-bench"
#define BANK	   CHIP "/bank"
#define LINES	   8
#define TABLE_SIZE (2 * LINES)

/* Linked to a ring, so that the timed part is the same few instructions for every call, as vgpio's is. */
struct entry {
	struct gpio_v2_line_values values;
	struct entry *next;
} __attribute__((aligned(32)));

static struct entry table[TABLE_SIZE];
static struct entry *cursor;

static int chip = -1, lines = -1;

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static void remove_chip(void)
{
	write_text(CHIP "/live", "0");
	rmdir(BANK);
	rmdir(CHIP);
}

static int make_chip(void)
{
	int ret;

	if (mkdir(CONFIGFS "/gpio-sim", 0755) && errno != EEXIST &&
	    mount("none", CONFIGFS, "configfs", 0, NULL) && errno != EBUSY)
		return -errno;
	remove_chip(); /* of one that was killed */
	if (mkdir(CHIP, 0755) || mkdir(BANK, 0755))
		return -errno;
	ret = write_text(BANK "/num_lines", "8");
	return ret ? ret : write_text(CHIP "/live", "1");
}

static int request_lines(void)
{
	struct gpio_v2_line_request request = { .num_lines = LINES, .consumer = "cdevlab" };
	char name[64], path[sizeof("/dev/") + sizeof(name)];
	unsigned int i;
	ssize_t n = file_read(BANK "/chip_name", name, sizeof(name));

	if (n < 0)
		return n;
	name[strcspn(name, "\n")] = '\0';
	snprintf(path, sizeof(path), "/dev/%s", name);
	chip = open(path, O_RDWR | O_CLOEXEC);
	if (chip < 0)
		return -errno;
	for (i = 0; i < LINES; i++)
		request.offsets[i] = i;
	request.config.flags = GPIO_V2_LINE_FLAG_OUTPUT;
	if (ioctl(chip, GPIO_V2_GET_LINE_IOCTL, &request))
		return -errno;
	lines = request.fd;
	return 0;
}

static void close_lines(void)
{
	if (lines >= 0)
		close(lines);
	if (chip >= 0)
		close(chip);
	lines = chip = -1;
	remove_chip();
}

/* As SETs, each changes its line: all go up in a mixed order, then down. They are down at the start. */
static int open_lines(const char *node)
{
	unsigned int i;
	int ret;

	(void)node; /* the chip has one when it is live */
	for (i = 0; i < TABLE_SIZE; i++) {
		table[i].values.mask = 1U << i * 5 % LINES;
		table[i].values.bits = i < LINES ? table[i].values.mask : 0;
		table[i].next = &table[(i + 1) % TABLE_SIZE];
	}
	cursor = table;
	ret = make_chip();
	if (!ret)
		ret = request_lines();
	if (ret)
		close_lines();
	return ret;
}

static int set_bits(unsigned long long bits)
{
	struct gpio_v2_line_values all = { .mask = (1U << LINES) - 1, .bits = bits };

	return ioctl(lines, GPIO_V2_LINE_SET_VALUES_IOCTL, &all) ? -errno : 0;
}

static int get_bits(unsigned long long *bits)
{
	struct gpio_v2_line_values all = { .mask = (1U << LINES) - 1 };

	if (ioctl(lines, GPIO_V2_LINE_GET_VALUES_IOCTL, &all))
		return -errno;
	*bits = all.bits;
	return 0;
}

/* GET must write what the lines are: the even ones up, the table says nothing true of them. */
static int open_get(const char *node)
{
	unsigned int i;
	int ret = open_lines(node);

	if (ret)
		return ret;
	for (i = 0; i < TABLE_SIZE; i++)
		table[i].values.bits = ~0ULL;
	ret = set_bits(0x55);
	if (ret)
		close_lines();
	return ret;
}

static int check_get(void)
{
	unsigned int i;

	for (i = 0; i < TABLE_SIZE; i++)
		if (table[i].values.bits != (table[i].values.mask & 0x55))
			return -EIO;
	return 0;
}

static int open_same(const char *node)
{
	unsigned int i;
	int ret = open_lines(node);

	for (i = 0; i < TABLE_SIZE; i++)
		table[i].values.bits = 0;
	return ret;
}

/* The lines are what a whole round of sets, the last one before the cursor, made them. */
static int check_set(void)
{
	unsigned long long expected = 0, bits = 0;
	const struct entry *e = cursor;
	int ret;

	do {
		expected = (expected & ~e->values.mask) | e->values.bits;
		e = e->next;
	} while (e != cursor);
	ret = get_bits(&bits);
	if (!ret && bits != expected)
		ret = -EIO;
	return ret;
}

/* The request has no call that does nothing: a number that it does not know is turned down as soon. */
static void run_nop(void)
{
	ioctl(lines, _IO(0xB4, 0x7f), &cursor->values);
	cursor = cursor->next;
}

static void run_get(void)
{
	ioctl(lines, GPIO_V2_LINE_GET_VALUES_IOCTL, &cursor->values);
	cursor = cursor->next;
}

static void run_set(void)
{
	ioctl(lines, GPIO_V2_LINE_SET_VALUES_IOCTL, &cursor->values);
	cursor = cursor->next;
}

static const struct exact_op ops[] = {
	{ .name = "NOP", .open = open_lines, .run = run_nop, .close = close_lines },
	{ .name = "GET",
	  .floor = "NOP",
	  .open = open_get,
	  .run = run_get,
	  .check = check_get,
	  .close = close_lines },
	{ .name = "SET",
	  .floor = "NOP",
	  .open = open_lines,
	  .run = run_set,
	  .check = check_set,
	  .close = close_lines },
	{ .name = "SET unchanged",
	  .floor = "NOP",
	  .open = open_same,
	  .run = run_set,
	  .check = check_set,
	  .close = close_lines },
};

int main(int argc, char **argv)
{
	return exact_main(argc, argv, ops, sizeof(ops) / sizeof(ops[0]));
}
