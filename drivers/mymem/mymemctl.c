// SPDX-License-Identifier: GPL-2.0
/*
 * mymemctl - reads, writes and measures a mymem device
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "mymem.h"
#include "mymem_test.h"

#define VERSION "1.0"
#define NODE	"/dev/mymem"
#define DEBUGFS "/sys/kernel/debug/" MYMEM_TEST_DIR
#define PARAMS	"/sys/module/mymem_test/parameters"

#define PIECE	  65536 /* of a long read, write or fill */
#define STACK	  65536 /* of a worker */
#define LIST_MAX  32	/* numbers of -w */
#define WORKERS	  MYMEM_TEST_W_MAX
#define N_DEFAULT MYMEM_TEST_N_DEFAULT
#define TRIALS	  MYMEM_TEST_TRIALS_DEFAULT
#define CALLS	  MYMEM_TEST_CALLS_DEFAULT

/* The tables that the records of bench, race and kernel are for. */
#define TABLE_TIME "Mean time of a call"
#define TABLE_RACE "Additions lost in the race"
#define TABLE_ADD  "Mean time of an addition in the race"

enum {
	EXIT_USAGE = 2
};

/* The lengths of the published measurements. */
static const unsigned int lengths[] = { 1, 64, 1024, 65536, 524288 };
/* And the numbers of workers. */
static const unsigned int workers_usual[] = { 1, 2, 5, 10, 20, 50, 100 };

#define N_LENGTHS (sizeof(lengths) / sizeof(lengths[0]))
#define N_USUAL	  (sizeof(workers_usual) / sizeof(workers_usual[0]))

struct options {
	const char *device, *debugfs;
	bool json, records;
	unsigned int workers[LIST_MAX];
	unsigned int n_workers;			/* 0: not given */
	unsigned long long adds, trials, calls; /* 0: not given */
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: mymemctl [OPTION]... COMMAND\n"
		"\n"
		"  info                          print what the device is\n"
		"  size                          print how many bytes it has\n"
		"  read [OFFSET [LENGTH]]        print bytes as they are, all by default\n"
		"  write OFFSET [TEXT]           store TEXT, or else what comes from standard input\n"
		"  fill BYTE [OFFSET [LENGTH]]   store BYTE again and again, up to the end by default\n"
		"  clear                         make all bytes 0\n"
		"  add OFFSET VALUE              add to a 64-bit number, print what it was\n"
		"  bench [-c CALLS]              mean time of reads and writes of five lengths\n"
		"  race [-w W,...] [-n N] [-t TRIALS]\n"
		"                                W threads add 1 N times each to one number: how\n"
		"                                many additions are lost, and two cures\n"
		"  kernel [-w W,...] [-n N] [-t TRIALS] [-c CALLS]\n"
		"                                the same two inside the kernel, by mymem_test; what is not\n"
		"                                given is that module's parameter\n"
		"\n"
		"  -d, --device NODE     the device (default " NODE ")\n"
		"  -w, --workers W,...   threads (race: default 1,2,5,10,20,50,100)\n"
		"  -n, --adds N          additions of each (race: default 150000)\n"
		"  -t, --trials TRIALS   races of each kind (race: default 3)\n"
		"  -c, --calls CALLS     calls of each length (bench: default 1000)\n"
		"      --debugfs DIR     of mymem_test (default " DEBUGFS ")\n"
		"      --json            info, size, add: print JSON\n"
		"      --records         bench, race, kernel: print a JSON object for each figure\n"
		"  -h, --help            print this\n"
		"      --version         print the version\n"
		"\n"
		"Numbers may be written as 0x1F. bench and race leave the memory as it was, kernel does\n"
		"not. Ends with 0, 1 after a failure, 2 after a wrong command line.\n");
}

static int __attribute__((format(printf, 1, 2))) bad_usage(const char *fmt, ...)
{
	va_list ap;

	fputs("mymemctl: ", stderr);
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

	fprintf(stderr, "mymemctl: %s: %s: %s", opt->device, what, strerror(err));
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
		fputs(" (not a mymem device)", stderr);
		break;
	case ENOSPC:
		fputs(" (that is past its end)", stderr);
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
	fprintf(stderr, "mymemctl: cannot write the output: %s\n", strerror(errno));
	return EXIT_FAILURE;
}

/* A number, decimal or hexadecimal, and nothing else. */
static bool parse_number(const char *text, const char *end, unsigned long long *value)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &stop, !strncmp(text, "0x", 2) ? 16 : 10);
	return !errno && stop == end;
}

static bool parse_whole(const char *text, unsigned long long *value)
{
	return parse_number(text, text + strlen(text), value);
}

/* The optional operands OFFSET and LENGTH, as far as the memory goes. */
static int parse_range(const char *command, int argc, char **argv, unsigned long long *offset,
		       unsigned long long *length)
{
	if (argc > 2)
		return bad_usage("%s: what is \"%s\"?", command, argv[2]);
	*offset = 0;
	*length = UINT64_MAX;
	if (argc > 0 && (!parse_whole(argv[0], offset) || *offset > INT64_MAX))
		return bad_usage("%s: \"%s\" is no offset", command, argv[0]);
	if (argc > 1 && !parse_whole(argv[1], length))
		return bad_usage("%s: \"%s\" is no length", command, argv[1]);
	return EXIT_SUCCESS;
}

static int open_device(const struct options *opt, int flags)
{
	int fd = open(opt->device, flags | O_CLOEXEC);

	if (fd < 0)
		device_error(opt, "cannot open");
	return fd;
}

static bool get_info(const struct options *opt, int fd, struct mymem_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	if (!ioctl(fd, MYMEM_INFO, info))
		return true;
	device_error(opt, "cannot get information");
	return false;
}

/* The memory */

static int command_info(const struct options *opt, int argc, char **argv)
{
	struct mymem_info info;
	const char *lock;
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
	lock = info.flags & MYMEM_FLAG_LOCK_MUTEX ? "mutex" :
	       info.flags & MYMEM_FLAG_LOCK_RWSEM ? "rwsem" :
						    "none";
	if (opt->json)
		printf("{\"bytes\":%" PRIu64 ",\"lock\":\"%s\",\"strict\":%s}\n",
		       (uint64_t)info.bytes, lock,
		       info.flags & MYMEM_FLAG_STRICT ? "true" : "false");
	else
		printf("device  %s\nbytes   %" PRIu64 "\nlock    %s\nstrict  %s\n", opt->device,
		       (uint64_t)info.bytes, lock, info.flags & MYMEM_FLAG_STRICT ? "yes" : "no");
	return finish(EXIT_SUCCESS);
}

static int command_size(const struct options *opt, int argc, char **argv)
{
	struct mymem_info info;
	bool ok;
	int fd;

	if (argc)
		return bad_usage("size: what is \"%s\"?", argv[0]);
	fd = open_device(opt, O_RDONLY);
	if (fd < 0)
		return EXIT_FAILURE;
	ok = get_info(opt, fd, &info);
	close(fd);
	if (!ok)
		return EXIT_FAILURE;
	printf(opt->json ? "{\"bytes\":%" PRIu64 "}\n" : "%" PRIu64 "\n", (uint64_t)info.bytes);
	return finish(EXIT_SUCCESS);
}

static int command_read(const struct options *opt, int argc, char **argv)
{
	unsigned long long offset, length, want;
	static char piece[PIECE];
	struct mymem_info info;
	int fd, status;
	ssize_t n;

	status = parse_range("read", argc, argv, &offset, &length);
	if (status)
		return status;
	fd = open_device(opt, O_RDONLY);
	if (fd < 0)
		return EXIT_FAILURE;
	/* A strict device has no short read at its end, only EINVAL. */
	if (argc < 2) {
		status = get_info(opt, fd, &info) ? EXIT_SUCCESS : EXIT_FAILURE;
		length = offset < info.bytes ? info.bytes - offset : 0;
	}
	while (!status && length) {
		want = length < PIECE ? length : PIECE;
		n = pread(fd, piece, want, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			status = device_error(opt, "cannot read");
			break;
		}
		if (!n || fwrite(piece, 1, n, stdout) != (size_t)n)
			break;
		offset += n;
		length -= n;
	}
	close(fd);
	return finish(status);
}

/* Stores all of it, or says why not. */
static int store(const struct options *opt, int fd, const char *from, size_t length,
		 unsigned long long *offset)
{
	ssize_t n;

	while (length) {
		n = pwrite(fd, from, length, *offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return device_error(opt, "cannot write");
		from += n;
		length -= n;
		*offset += n;
	}
	return EXIT_SUCCESS;
}

static int command_write(const struct options *opt, int argc, char **argv)
{
	static char piece[PIECE];
	unsigned long long offset;
	int fd, status = EXIT_SUCCESS;
	ssize_t n;

	if (!argc)
		return bad_usage("write: OFFSET is missing");
	if (argc > 2)
		return bad_usage("write: what is \"%s\"?", argv[2]);
	if (!parse_whole(argv[0], &offset) || offset > INT64_MAX)
		return bad_usage("write: \"%s\" is no offset", argv[0]);
	fd = open_device(opt, O_WRONLY);
	if (fd < 0)
		return EXIT_FAILURE;
	if (argc == 2) {
		status = store(opt, fd, argv[1], strlen(argv[1]), &offset);
	} else {
		while (!status && (n = read(STDIN_FILENO, piece, sizeof(piece)))) {
			if (n > 0) {
				status = store(opt, fd, piece, n, &offset);
			} else if (errno != EINTR) {
				fprintf(stderr, "mymemctl: cannot read standard input: %s\n",
					strerror(errno));
				status = EXIT_FAILURE;
			}
		}
	}
	close(fd);
	return status;
}

static int command_fill(const struct options *opt, int argc, char **argv)
{
	unsigned long long byte, offset, length, n;
	static char piece[PIECE];
	struct mymem_info info;
	int fd, status;

	if (!argc)
		return bad_usage("fill: BYTE is missing");
	if (!parse_whole(argv[0], &byte) || byte > 255)
		return bad_usage("fill: \"%s\" is not 0 to 255", argv[0]);
	status = parse_range("fill", argc - 1, argv + 1, &offset, &length);
	if (status)
		return status;
	fd = open_device(opt, O_WRONLY);
	if (fd < 0)
		return EXIT_FAILURE;
	memset(piece, (int)byte, sizeof(piece));
	if (argc < 3) {
		status = get_info(opt, fd, &info) ? EXIT_SUCCESS : EXIT_FAILURE;
		length = offset < info.bytes ? info.bytes - offset : 0;
	}
	while (!status && length) {
		n = length < PIECE ? length : PIECE;
		status = store(opt, fd, piece, n, &offset);
		length -= n;
	}
	close(fd);
	return status;
}

static int command_clear(const struct options *opt, int argc, char **argv)
{
	int fd, status = EXIT_SUCCESS;

	if (argc)
		return bad_usage("clear: what is \"%s\"?", argv[0]);
	fd = open_device(opt, O_WRONLY);
	if (fd < 0)
		return EXIT_FAILURE;
	if (ioctl(fd, MYMEM_CLEAR))
		status = device_error(opt, "cannot clear");
	close(fd);
	return status;
}

static int command_add(const struct options *opt, int argc, char **argv)
{
	unsigned long long offset, value;
	struct mymem_add add = { 0 };
	int fd, status;

	if (argc != 2)
		return bad_usage("add: OFFSET and VALUE are expected");
	if (!parse_whole(argv[0], &offset))
		return bad_usage("add: \"%s\" is no offset", argv[0]);
	if (!parse_whole(argv[1], &value))
		return bad_usage("add: \"%s\" is no number", argv[1]);
	add.offset = offset;
	add.value = value;
	fd = open_device(opt, O_RDWR);
	if (fd < 0)
		return EXIT_FAILURE;
	status = ioctl(fd, MYMEM_ADD, &add);
	if (status && errno == EINVAL) {
		fprintf(stderr,
			"mymemctl: %s: no number at offset %llu: multiples of %d inside the memory are expected\n",
			opt->device, offset, MYMEM_ADD_ALIGN);
		close(fd);
		return EXIT_FAILURE;
	}
	if (status)
		status = device_error(opt, "cannot add");
	close(fd);
	if (status)
		return status;
	printf(opt->json ? "{\"old\":%" PRIu64 "}\n" : "%" PRIu64 "\n", (uint64_t)add.old);
	return finish(EXIT_SUCCESS);
}

/* Figures */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void record(const char *table, const char *row, const char *column, double value,
		   const char *unit)
{
	printf("{\"table\":\"%s\",\"row\":\"%s\",\"column\":\"%s\",\"value\":%.6g,\"unit\":\"%s\"}\n",
	       table, row, column, value, unit);
}

/* A figure of the table of times, in microseconds. */
static void time_record(bool write, unsigned int length, const char *column, double us)
{
	char row[64];

	snprintf(row, sizeof(row), "%s, %u byte%s", write ? "write" : "read", length,
		 length == 1 ? "" : "s");
	record(TABLE_TIME, row, column, us, "us");
}

/* The mean time in microseconds, below 0: it failed. */
static double time_calls(const struct options *opt, int fd, char *buffer, unsigned int length,
			 bool write)
{
	unsigned long long calls = opt->calls ? opt->calls : CALLS, i;
	uint64_t start = 0;
	ssize_t n;

	/* The first one is not timed: it finds caches cold. */
	for (i = 0; i <= calls; i++) {
		if (i == 1)
			start = now_ns();
		n = write ? pwrite(fd, buffer, length, 0) : pread(fd, buffer, length, 0);
		if (n < 0) {
			device_error(opt, write ? "cannot write" : "cannot read");
			return -1;
		}
		if (n != (ssize_t)length) {
			fprintf(stderr, "mymemctl: %s: %zd bytes %s, expected %u\n", opt->device, n,
				write ? "written" : "read", length);
			return -1;
		}
	}
	return (now_ns() - start) / 1e3 / calls;
}

static int command_bench(const struct options *opt, int argc, char **argv)
{
	/* The pages are there before the clock runs; what is written is what was read. */
	static char buffer[524288] = { 1 };
	struct mymem_info info;
	double read_us, write_us;
	int fd, status = EXIT_SUCCESS;
	size_t i;

	if (argc)
		return bad_usage("bench: what is \"%s\"?", argv[0]);
	fd = open_device(opt, O_RDWR);
	if (fd < 0)
		return EXIT_FAILURE;
	if (!get_info(opt, fd, &info)) {
		close(fd);
		return EXIT_FAILURE;
	}
	memset(buffer, 1, sizeof(buffer));
	if (!opt->records)
		printf("Mean time of a call from user space, in microseconds, of %llu calls each\n"
		       "%8s %12s %12s\n",
		       opt->calls ? opt->calls : (unsigned long long)CALLS, "bytes", "read",
		       "write");
	for (i = 0; i < N_LENGTHS && !status; i++) {
		if (lengths[i] > info.bytes) {
			if (!opt->records)
				printf("%8u  the memory is smaller\n", lengths[i]);
			continue;
		}
		read_us = time_calls(opt, fd, buffer, lengths[i], false);
		write_us = read_us < 0 ? -1 : time_calls(opt, fd, buffer, lengths[i], true);
		if (write_us < 0) {
			status = EXIT_FAILURE;
		} else if (opt->records) {
			time_record(false, lengths[i], "user space", read_us);
			time_record(true, lengths[i], "user space", write_us);
		} else {
			printf("%8u %12.3f %12.3f\n", lengths[i], read_us, write_us);
		}
		if (fflush(stdout))
			break;
	}
	close(fd);
	return finish(status);
}

enum cure {
	CURE_NONE,
	CURE_LOCK,
	CURE_IOCTL,
	N_CURES
};

static const char *const cure_names[N_CURES] = {
	[CURE_NONE] = "no exclusion",
	[CURE_LOCK] = "lock in user space",
	[CURE_IOCTL] = "atomic ioctl",
};

/* struct race - one trial: what its threads share */
struct race {
	int fd;
	enum cure cure;
	unsigned long long adds;
	pthread_mutex_t lock; /* the cure */
	pthread_mutex_t gate; /* held until all threads are there */
	atomic_bool stop;
	atomic_int error; /* errno of a call that failed, EIO: it was short */
};

/* The signal that ends the race, 0: none came. */
static atomic_int ended_by;

static void on_signal(int sig)
{
	atomic_store(&ended_by, sig);
}

/* They end the race from here on, and the program only when the memory is as it was. */
static void catch_signals(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGPIPE, SIGTERM };
	const struct sigaction action = { .sa_handler = on_signal };
	struct sigaction before;
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		/* nohup(1), for one, has some ignored. */
		if (!sigaction(signals[i], NULL, &before) && before.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
}

static int add_one(int fd)
{
	uint64_t value;
	ssize_t n;

	n = pread(fd, &value, sizeof(value), 0);
	if (n != sizeof(value))
		return n < 0 ? errno : EIO;
	value++;
	n = pwrite(fd, &value, sizeof(value), 0);
	if (n != sizeof(value))
		return n < 0 ? errno : EIO;
	return 0;
}

static void *race_worker(void *arg)
{
	struct race *race = arg;
	unsigned long long i;
	int err = 0;

	pthread_mutex_lock(&race->gate);
	pthread_mutex_unlock(&race->gate);
	for (i = 0; i < race->adds && !err && !atomic_load(&race->stop) && !atomic_load(&ended_by);
	     i++) {
		struct mymem_add add = { .offset = 0, .value = 1 };

		switch (race->cure) {
		case CURE_LOCK:
			pthread_mutex_lock(&race->lock);
			err = add_one(race->fd);
			pthread_mutex_unlock(&race->lock);
			break;
		case CURE_IOCTL:
			err = ioctl(race->fd, MYMEM_ADD, &add) ? errno : 0;
			break;
		default:
			err = add_one(race->fd);
			break;
		}
	}
	if (err) {
		atomic_store(&race->error, err);
		atomic_store(&race->stop, true);
	}
	return NULL;
}

/* One trial. Adds the lost additions and the time to the sums. */
static int race_trial(const struct options *opt, struct race *race, unsigned int workers,
		      unsigned long long *lost, uint64_t *ns)
{
	static pthread_t threads[WORKERS];
	uint64_t value = MYMEM_TEST_START, start;
	unsigned long long all = workers * race->adds;
	pthread_attr_t attr;
	unsigned int i;
	int err = 0;

	if (pwrite(race->fd, &value, sizeof(value), 0) != sizeof(value))
		return device_error(opt, "cannot write the counter");
	atomic_store(&race->stop, false);
	atomic_store(&race->error, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_mutex_lock(&race->gate);
	for (i = 0; i < workers && !err; i++)
		err = pthread_create(&threads[i], &attr, race_worker, race);
	if (err) {
		fprintf(stderr, "mymemctl: cannot make thread %u: %s\n", i, strerror(err));
		atomic_store(&race->stop, true);
		i--;
	}
	start = now_ns();
	pthread_mutex_unlock(&race->gate);
	while (i)
		pthread_join(threads[--i], NULL);
	*ns += now_ns() - start;
	pthread_attr_destroy(&attr);
	if (err || atomic_load(&ended_by))
		return EXIT_FAILURE;
	if (atomic_load(&race->error)) {
		errno = atomic_load(&race->error);
		return device_error(opt, "a worker's call failed");
	}
	if (pread(race->fd, &value, sizeof(value), 0) != sizeof(value))
		return device_error(opt, "cannot read the counter");
	value -= MYMEM_TEST_START;
	*lost += value < all ? all - value : 0;
	return EXIT_SUCCESS;
}

/* All trials of all cures, with one number of workers. */
static int race_row(const struct options *opt, struct race *race, unsigned int workers)
{
	unsigned long long trials = opt->trials ? opt->trials : TRIALS, i;
	double all = (double)workers * race->adds * trials, percent[N_CURES], us[N_CURES];
	char row[32];

	for (race->cure = 0; race->cure < N_CURES; race->cure++) {
		unsigned long long lost = 0;
		uint64_t ns = 0;

		for (i = 0; i < trials; i++) {
			int status = race_trial(opt, race, workers, &lost, &ns);

			if (status)
				return status;
		}
		percent[race->cure] = 100 * lost / all;
		us[race->cure] = ns / 1e3 / all;
	}
	snprintf(row, sizeof(row), "W=%u", workers);
	for (i = 0; opt->records && i < N_CURES; i++)
		record(TABLE_RACE, row, cure_names[i], percent[i], "%");
	for (i = 0; opt->records && i < N_CURES; i++)
		record(TABLE_ADD, row, cure_names[i], us[i], "us");
	if (!opt->records)
		printf("%4u %8.2f %% %9.3f us %9.2f %% %9.3f us %9.2f %% %9.3f us\n", workers,
		       percent[0], us[0], percent[1], us[1], percent[2], us[2]);
	return EXIT_SUCCESS;
}

static int command_race(const struct options *opt, int argc, char **argv)
{
	const unsigned int *workers = opt->n_workers ? opt->workers : workers_usual;
	unsigned int n_workers = opt->n_workers ? opt->n_workers : N_USUAL, i;
	struct race race = { .adds = opt->adds ? opt->adds : N_DEFAULT };
	int sig, status = EXIT_SUCCESS;
	uint64_t before;

	if (argc)
		return bad_usage("race: what is \"%s\"?", argv[0]);
	race.fd = open_device(opt, O_RDWR);
	if (race.fd < 0)
		return EXIT_FAILURE;
	if (pread(race.fd, &before, sizeof(before), 0) != sizeof(before)) {
		fprintf(stderr, "mymemctl: %s: no room for a counter of 64 bits\n", opt->device);
		close(race.fd);
		return EXIT_FAILURE;
	}
	catch_signals();
	pthread_mutex_init(&race.lock, NULL);
	pthread_mutex_init(&race.gate, NULL);
	if (!opt->records)
		printf("Additions lost, and the mean time of one: W threads add 1 %llu times each\n"
		       "%4s %23s %24s %24s\n",
		       race.adds, "W", cure_names[0], cure_names[1], cure_names[2]);
	for (i = 0; i < n_workers && !status; i++) {
		status = race_row(opt, &race, workers[i]);
		if (fflush(stdout))
			break;
	}
	if (pwrite(race.fd, &before, sizeof(before), 0) != sizeof(before))
		status = device_error(opt, "cannot put back what was there");
	pthread_mutex_destroy(&race.gate);
	pthread_mutex_destroy(&race.lock);
	close(race.fd);
	/* Whoever waits for the program is to see what ended it. */
	sig = atomic_load(&ended_by);
	if (sig) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
	return finish(status);
}

/* Inside the kernel: mymem_test */

static int debugfs_error(const char *path, const char *what)
{
	int err = errno;

	fprintf(stderr, "mymemctl: %s: %s: %s", path, what, strerror(err));
	if (err == ENOENT)
		fputs(" (is mymem_test loaded, and debugfs mounted?)", stderr);
	else if (err == EACCES || err == EPERM)
		fputs(" (debugfs is root's)", stderr);
	else if (err == EBUSY)
		fputs(" (an experiment is running)", stderr);
	fputc('\n', stderr);
	return EXIT_FAILURE;
}

/* Starts an experiment and waits for its end. */
static int __attribute__((format(printf, 2, 3)))
kernel_run(const struct options *opt, const char *fmt, ...)
{
	char path[4096], line[64];
	int fd, status = EXIT_SUCCESS;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "%s/%s", opt->debugfs, MYMEM_TEST_RUN);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return debugfs_error(path, "cannot open");
	if (write(fd, line, strlen(line)) < 0)
		status = debugfs_error(path, line);
	close(fd);
	return status;
}

/* A line of the table of times: "64 1000 65.120 66.003" */
static bool time_line(const char *line)
{
	unsigned int length, calls;
	double read_ns, write_ns;

	if (sscanf(line, "%u %u", &length, &calls) != 2)
		return false;
	/* The memory is smaller. */
	if (!calls)
		return true;
	if (sscanf(line, "%u %u %lf %lf", &length, &calls, &read_ns, &write_ns) != 4)
		return false;
	time_record(false, length, "in kernel", read_ns / 1000);
	time_record(true, length, "in kernel", write_ns / 1000);
	return true;
}

/* Sums over the trials of one kind; a record when all are there. */
static bool race_line(const char *line, unsigned long long trials)
{
	static const struct {
		const char *name, *column;
	} kinds[] = {
		{ "none", "kernel threads, no exclusion" },
		{ "mutex", "kernel threads, exclusion" },
		{ "fetch_add", "kernel threads, mymem_fetch_add" },
	};
	static double lost, ns;
	char name[32], row[32];
	unsigned int workers, adds, trial;
	double percent, each;
	size_t i;

	if (sscanf(line, "%31s %u %u %u %*s %*s %lf %lf", name, &workers, &adds, &trial, &percent,
		   &each) != 6)
		return false;
	if (trial == 1)
		lost = ns = 0;
	lost += percent;
	ns += each;
	if (trial < trials)
		return true;
	snprintf(row, sizeof(row), "W=%u", workers);
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(name, kinds[i].name))
			continue;
		record(TABLE_RACE, row, kinds[i].column, lost / trial, "%");
		record(TABLE_ADD, row, kinds[i].column, ns / trial / 1000, "us");
	}
	return true;
}

/* How many trials the table holds: the highest number there is. */
static unsigned long long count_trials(FILE *f)
{
	unsigned int trial, most = 0;
	char line[256];

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %*u %*u %u", &trial) == 1 && trial > most)
			most = trial;
	}
	rewind(f);
	return most;
}

static int kernel_print(const struct options *opt, const char *table, bool race)
{
	char path[4096], line[256];
	unsigned long long trials = 0;
	int status = EXIT_SUCCESS;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", opt->debugfs, table);
	f = fopen(path, "re");
	if (!f)
		return debugfs_error(path, "cannot open");
	if (race && opt->records)
		trials = count_trials(f);
	while (!status && fgets(line, sizeof(line), f)) {
		if (!opt->records) {
			fputs(line, stdout);
		} else if (*line != '#' && !(race ? race_line(line, trials) : time_line(line))) {
			fprintf(stderr, "mymemctl: %s: what is this? %s", path, line);
			status = EXIT_FAILURE;
		}
	}
	if (ferror(f))
		status = debugfs_error(path, "cannot read");
	fclose(f);
	return status;
}

static int kernel_race(const struct options *opt, const char *numbers)
{
	int status = kernel_run(opt, "race%s", numbers);

	return status ? status : kernel_print(opt, MYMEM_TEST_RACE, true);
}

/* What was not given is a parameter of the module. */
static int kernel_parameter(const char *name, unsigned long long *value)
{
	char path[128];
	FILE *f;
	int n;

	if (*value)
		return EXIT_SUCCESS;
	snprintf(path, sizeof(path), "%s/%s", PARAMS, name);
	f = fopen(path, "re");
	if (!f)
		return debugfs_error(path, "cannot open");
	n = fscanf(f, "%llu", value);
	fclose(f);
	if (n == 1)
		return EXIT_SUCCESS;
	fprintf(stderr, "mymemctl: %s: not a number\n", path);
	return EXIT_FAILURE;
}

static int command_kernel(const struct options *opt, int argc, char **argv)
{
	unsigned long long w = opt->workers[0], adds = opt->adds, trials = opt->trials;
	char numbers[64] = "";
	unsigned int i;
	int status;

	if (argc)
		return bad_usage("kernel: what is \"%s\"?", argv[0]);
	if (opt->calls)
		snprintf(numbers, sizeof(numbers), " %llu", opt->calls);
	status = kernel_run(opt, "time%s", numbers);
	if (!status)
		status = kernel_print(opt, MYMEM_TEST_TIME, false);
	if (finish(status))
		return EXIT_FAILURE;
	/* The module takes its parameters for numbers left out, but only for the last ones. */
	if (!opt->n_workers && !opt->adds && !opt->trials)
		return finish(kernel_race(opt, ""));
	if (kernel_parameter("w", &w) || kernel_parameter("n", &adds) ||
	    kernel_parameter("trials", &trials))
		return EXIT_FAILURE;
	for (i = 0; i < opt->n_workers || (!i && !opt->n_workers); i++) {
		snprintf(numbers, sizeof(numbers), " %llu %llu %llu", i ? opt->workers[i] : w, adds,
			 trials);
		status = kernel_race(opt, numbers);
		if (finish(status))
			return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

/* The command line */

#define BENCH  0x1 /* -c, --records */
#define RACE   0x2 /* -w, -n, -t, --records */
#define KERNEL 0x4 /* --debugfs */
#define JSON   0x8

static const struct command {
	const char *name;
	int (*run)(const struct options *opt, int argc, char **argv);
	unsigned int takes;
} commands[] = {
	{ "info", command_info, JSON }, { "size", command_size, JSON },
	{ "read", command_read, 0 },	{ "write", command_write, 0 },
	{ "fill", command_fill, 0 },	{ "clear", command_clear, 0 },
	{ "add", command_add, JSON },	{ "bench", command_bench, BENCH },
	{ "race", command_race, RACE }, { "kernel", command_kernel, BENCH | RACE | KERNEL },
};

/* W[,W]... */
static bool parse_workers(const char *text, struct options *opt)
{
	unsigned long long value;
	const char *end;

	for (opt->n_workers = 0; opt->n_workers < LIST_MAX; text = end + 1) {
		end = text + strcspn(text, ",");
		if (!parse_number(text, end, &value) || !value || value > WORKERS)
			return false;
		opt->workers[opt->n_workers++] = value;
		if (!*end)
			return true;
	}
	return false;
}

static int run_command(const struct options *opt, unsigned int given, int argc, char **argv)
{
	const struct command *c;
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		c = &commands[i];
		if (strcmp(argv[0], c->name))
			continue;
		if (given & ~c->takes || (opt->records && !(c->takes & (BENCH | RACE))))
			return bad_usage("%s: an option that belongs to another command", c->name);
		return c->run(opt, argc - 1, argv + 1);
	}
	return bad_usage("no command \"%s\"", argv[0]);
}

int main(int argc, char **argv)
{
	enum {
		OPT_JSON = 256,
		OPT_RECORDS,
		OPT_DEBUGFS,
		OPT_VERSION
	};
	static const struct option longs[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "workers", required_argument, NULL, 'w' },
		{ "adds", required_argument, NULL, 'n' },
		{ "trials", required_argument, NULL, 't' },
		{ "calls", required_argument, NULL, 'c' },
		{ "debugfs", required_argument, NULL, OPT_DEBUGFS },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "records", no_argument, NULL, OPT_RECORDS },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ 0 },
	};
	struct options opt = { .device = NODE, .debugfs = DEBUGFS };
	unsigned int given = 0;
	int c;

	while ((c = getopt_long(argc, argv, "d:w:n:t:c:h", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			opt.device = optarg;
			break;
		case 'w':
			if (!parse_workers(optarg, &opt))
				return bad_usage("-w: \"%s\" are not numbers from 1 to %d", optarg,
						 WORKERS);
			given |= RACE;
			break;
		case 'n':
			if (!parse_whole(optarg, &opt.adds) || !opt.adds ||
			    opt.adds > MYMEM_TEST_N_MAX)
				return bad_usage("-n: \"%s\" is not a number from 1 to %d", optarg,
						 MYMEM_TEST_N_MAX);
			given |= RACE;
			break;
		case 't':
			if (!parse_whole(optarg, &opt.trials) || !opt.trials ||
			    opt.trials > MYMEM_TEST_TRIALS_MAX)
				return bad_usage("-t: \"%s\" is not a number from 1 to %d", optarg,
						 MYMEM_TEST_TRIALS_MAX);
			given |= RACE;
			break;
		case 'c':
			if (!parse_whole(optarg, &opt.calls) || !opt.calls ||
			    opt.calls > MYMEM_TEST_CALLS_MAX)
				return bad_usage("-c: \"%s\" is not a number from 1 to %d", optarg,
						 MYMEM_TEST_CALLS_MAX);
			given |= BENCH;
			break;
		case OPT_DEBUGFS:
			opt.debugfs = optarg;
			given |= KERNEL;
			break;
		case OPT_JSON:
			opt.json = true;
			given |= JSON;
			break;
		case OPT_RECORDS:
			opt.records = true;
			break;
		case 'h':
			usage(stdout);
			return finish(EXIT_SUCCESS);
		case OPT_VERSION:
			puts("mymemctl " VERSION);
			return finish(EXIT_SUCCESS);
		default:
			return EXIT_USAGE;
		}
	}
	if (optind == argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	return run_command(&opt, given, argc - optind, argv + optind);
}
