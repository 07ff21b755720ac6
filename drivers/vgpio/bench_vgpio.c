// SPDX-License-Identifier: GPL-2.0
/*
 * What the calls of the virtual GPIO cost. The figure of a build is its difference to NOP, the
 * driver's own call that does nothing; the figure of a feature is the difference of two builds.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "exact.h"
#include "vgpio.h"

/*
 * The arguments of all calls, made before the measurement and linked to a ring, so that the timed
 * part is the same few instructions for every call, NOP included. As SETs, each of them changes
 * its line: all lines go up in a mixed order, then down. Each is aligned alike: on arm64 the way
 * that a copy takes depends on it.
 */
#define TABLE_SIZE (2 * VGPIO_LINES)

struct entry {
	struct vgpio_line line;
	struct entry *next;
} __attribute__((aligned(32)));

static struct entry table[TABLE_SIZE];
static struct entry *cursor;

static int fd = -1; /* the calls': opened for writing only, so it listens to nothing */
static int reader_fd = -1;

static pthread_t reader;
static atomic_ullong seen; /* records and missed changes that the reader counted */
static atomic_int reader_error;
static atomic_bool reader_stop;

static int drive(unsigned int pin, unsigned int value)
{
	struct vgpio_line l = { .pin = pin, .value = value };

	return ioctl(fd, VGPIO_SET, &l) ? -errno : 0;
}

static int open_lines(const char *node)
{
	unsigned int i;
	int ret;

	for (i = 0; i < TABLE_SIZE; i++) {
		memset(&table[i].line, 0, sizeof(table[i].line));
		table[i].line.pin = i * 5 % VGPIO_LINES;
		table[i].line.value = i < VGPIO_LINES;
		table[i].next = &table[(i + 1) % TABLE_SIZE];
	}
	cursor = table;

	fd = open(node, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (i = 0; i < VGPIO_LINES; i++) {
		ret = drive(i, 0);
		if (ret)
			return ret;
	}
	return 0;
}

static void close_lines(void)
{
	if (reader_fd >= 0)
		close(reader_fd);
	if (fd >= 0)
		close(fd);
	reader_fd = -1;
	fd = -1;
}

static int open_reader(const char *node)
{
	struct vgpio_info info = { .size = sizeof(info) };
	int ret = open_lines(node);

	if (ret)
		return ret;
	if (ioctl(fd, VGPIO_INFO, &info))
		return -errno;
	if (!(info.features & VGPIO_FEATURE_QUEUE))
		return -EOPNOTSUPP;
	reader_fd = open(node, O_RDONLY | O_CLOEXEC);
	return reader_fd < 0 ? -errno : 0;
}

static void run_nop(void)
{
	ioctl(fd, VGPIO_NOP, &cursor->line);
	cursor = cursor->next;
}

static void run_get(void)
{
	ioctl(fd, VGPIO_GET, &cursor->line);
	cursor = cursor->next;
}

static void run_set(void)
{
	ioctl(fd, VGPIO_SET, &cursor->line);
	cursor = cursor->next;
}

/* GET must write what the lines are: the even ones up, the table says nothing true of them. */
static int open_get(const char *node)
{
	unsigned int i;
	int ret = open_lines(node);

	for (i = 0; !ret && i < VGPIO_LINES; i++)
		ret = drive(i, i % 2 == 0);
	for (i = 0; i < TABLE_SIZE; i++)
		table[i].line.value = 7;
	return ret;
}

static int check_get(void)
{
	unsigned int i;

	for (i = 0; i < TABLE_SIZE; i++) {
		if (table[i].line.value != (table[i].line.pin % 2 == 0))
			return -EIO;
	}
	return 0;
}

/* All lines are down already. */
static int open_same(const char *node)
{
	unsigned int i;
	int ret = open_lines(node);

	for (i = 0; i < TABLE_SIZE; i++)
		table[i].line.value = 0;
	return ret;
}

/* The lines are what a whole round of sets, the last one before the cursor, made them. */
static int check_set(void)
{
	unsigned int expected[VGPIO_LINES];
	const struct entry *e = cursor;
	unsigned int pin;

	do {
		expected[e->line.pin] = e->line.value;
		e = e->next;
	} while (e != cursor);
	for (pin = 0; pin < VGPIO_LINES; pin++) {
		struct vgpio_line l = { .pin = pin };

		if (ioctl(fd, VGPIO_GET, &l))
			return -errno;
		if (l.value != expected[pin])
			return -EIO;
	}
	return 0;
}

/* As many changes were counted as calls were made. */
static int check_count(unsigned long long count)
{
	if (count != exact_calls)
		return -EIO;
	return check_set();
}

/* Reads once. Every change is in a record or counted as missed. */
static int count_events(unsigned long long *count)
{
	struct vgpio_event events[64];
	ssize_t n = read(reader_fd, events, sizeof(events));
	size_t i;

	if (n < 0)
		return -errno;
	for (i = 0; i < n / sizeof(events[0]); i++)
		*count += 1ULL + events[i].missed;
	return 0;
}

static int check_reader(void)
{
	unsigned long long count = 0;
	int ret;

	if (fcntl(reader_fd, F_SETFL, O_NONBLOCK))
		return -errno;
	do {
		ret = count_events(&count);
	} while (!ret);
	if (ret != -EAGAIN)
		return ret;
	return check_count(count);
}

static void *read_events(void *unused)
{
	const struct sched_param above = { .sched_priority = 1 };
	unsigned long long count = 0;

	(void)unused;
	/*
	 * Above the writer: on one CPU each SET wakes the reader up, which reads and blocks again
	 * before SET returns. Else the writer would go on for a whole time slice, and all of its
	 * SETs but the first one would find a reader that is awake already. Without the right to
	 * it that is measured.
	 */
	pthread_setschedparam(pthread_self(), SCHED_FIFO, &above);
	while (!atomic_load(&reader_stop)) {
		int ret = count_events(&count);

		if (ret) {
			atomic_store(&reader_error, -ret);
			break;
		}
		atomic_store(&seen, count);
	}
	return NULL;
}

static int open_blocked(const char *node)
{
	int ret = open_reader(node);

	if (ret)
		return ret;
	atomic_store(&seen, 0);
	atomic_store(&reader_error, 0);
	atomic_store(&reader_stop, false);
	return -pthread_create(&reader, NULL, read_events, NULL);
}

static int check_blocked(void)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	unsigned long long before;
	int tries;

	/* Until the reader has caught up, that is blocks again. */
	for (tries = 0; tries < 100; tries++) {
		before = atomic_load(&seen);
		nanosleep(&pause, NULL);
		if (atomic_load(&reader_error))
			return -atomic_load(&reader_error);
		if (before && atomic_load(&seen) == before)
			return check_count(before);
	}
	return -ETIMEDOUT;
}

static void close_blocked(void)
{
	struct vgpio_line l = { .pin = 0 };

	/* One more change gets the reader out of its call. */
	atomic_store(&reader_stop, true);
	if (!ioctl(fd, VGPIO_GET, &l) && !drive(0, !l.value))
		pthread_join(reader, NULL);
	close_lines();
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
	{ .name = "SET, open reader",
	  .floor = "NOP",
	  .open = open_reader,
	  .run = run_set,
	  .check = check_reader,
	  .close = close_lines },
	{ .name = "SET, blocked reader",
	  .floor = "NOP",
	  .open = open_blocked,
	  .run = run_set,
	  .check = check_blocked,
	  .close = close_blocked,
	  .spread = true },
};

int main(int argc, char **argv)
{
	return exact_main(argc, argv, ops, sizeof(ops) / sizeof(ops[0]));
}
