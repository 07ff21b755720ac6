// SPDX-License-Identifier: GPL-2.0
/*
 * What a region of devices promises: as many nodes as were asked for, each with a count of its own,
 * and nothing of it left after the module.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "harness.h"
#include "minors.h"

#define MODULE "minors"

static const char *node(unsigned int nr)
{
	/* of each thread: racers open at once */
	static __thread char path[4][64];
	static __thread unsigned int turn;
	char *at = path[turn++ % 4];

	snprintf(at, sizeof(path[0]), "/dev/" MINORS_NAME "%u", nr);
	return at;
}

static bool node_there(unsigned int nr)
{
	return !access(node(nr), F_OK);
}

static int open_path(const char *path)
{
	return SAFE(open(path, O_RDONLY | O_CLOEXEC));
}

static int open_node(unsigned int nr)
{
	return open_path(node(nr));
}

/* Reads the line from its beginning. Returns how often the device was opened. */
static unsigned long long opened(int fd, unsigned int nr)
{
	char line[MINORS_LINE_MAX + 1], expected[MINORS_LINE_MAX + 1];
	unsigned long long n = 0;
	unsigned int number = ~0U;
	ssize_t len = SAFE(pread(fd, line, MINORS_LINE_MAX, 0));

	line[len] = '\0';
	ASSERT_EQ(sscanf(line, MINORS_LINE, &number, &n), 2);
	EXPECT_EQ(number, nr);
	/* To the last byte. */
	snprintf(expected, sizeof(expected), MINORS_LINE, nr, n);
	if (strcmp(line, expected))
		test_fail(__FILE__, __LINE__, "the line is \"%s\"", line);
	return n;
}

/* Opens once more to see. */
static unsigned long long open_and_count(unsigned int nr)
{
	int fd = open_node(nr);
	unsigned long long n = opened(fd, nr);

	close(fd);
	return n;
}

static unsigned int major_of_node(void)
{
	struct stat st;

	SAFE(stat(node(0), &st));
	return major(st.st_rdev);
}

/* The major under which /proc/devices lists the driver, 0 when it does not; -1: more than once. */
static int listed_major(void)
{
	char line[200], name[100];
	int nr, found = 0;
	FILE *f = fopen("/proc/devices", "re");

	ASSERT_TRUE(f != NULL);
	while (fgets(line, sizeof(line), f) && !strstr(line, "Block"))
		if (sscanf(line, "%d %99s", &nr, name) == 2 && !strcmp(name, MINORS_NAME))
			found = found ? -1 : nr;
	fclose(f);
	return found;
}

static void reload(const char *params)
{
	ASSERT_EQ(module_unload(MODULE), 0);
	ASSERT_EQ(module_load(MODULE, params), 0);
}

/* Opens a device number that no node of the driver's has. Returns 0 or the errno. */
static int open_number(const char *dir, unsigned int major_nr, unsigned int minor_nr)
{
	char path[100];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/cdevlab-minors-test", dir);
	unlink(path);
	SAFE(mknod(path, S_IFCHR | 0600, makedev(major_nr, minor_nr)));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err = errno;
	else
		close(fd);
	unlink(path);
	return err;
}

/* Devices */

TEST(there_are_two_devices_unless_the_parameter_says_otherwise)
{
	reload("");
	EXPECT_TRUE(node_there(0));
	EXPECT_TRUE(node_there(1));
	EXPECT_TRUE(!node_there(2));
}

TEST(proc_devices_lists_the_region_once_under_the_major_of_the_nodes)
{
	EXPECT_EQ(listed_major(), major_of_node());
}

TEST(the_nodes_are_numbered_from_0_under_one_major)
{
	unsigned int major_nr = major_of_node(), nr;
	struct stat st;

	for (nr = 0; nr < MINORS_COUNT_DEFAULT; nr++) {
		SAFE(stat(node(nr), &st));
		EXPECT_TRUE(S_ISCHR(st.st_mode));
		EXPECT_EQ(major(st.st_rdev), major_nr);
		EXPECT_EQ(minor(st.st_rdev), nr);
		EXPECT_EQ(st.st_mode & 07777, MINORS_MODE_DEFAULT);
	}
}

TEST(a_minor_beyond_the_region_is_ENXIO)
{
	static const unsigned int beyond[] = { MINORS_COUNT_DEFAULT, 3, 255, 256, 0xfffff };
	unsigned int major_nr = major_of_node();
	size_t i;

	EXPECT_EQ(open_number("/dev", major_nr, MINORS_COUNT_DEFAULT - 1), 0);
	for (i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++)
		EXPECT_EQ(open_number("/dev", major_nr, beyond[i]), ENXIO);
	EXPECT_EQ(open_number("/tmp", major_nr, MINORS_COUNT_DEFAULT), ENXIO);
}

TEST(a_device_is_told_by_its_number_not_by_the_name_of_a_node)
{
	unsigned long long before = open_and_count(1);

	EXPECT_EQ(open_number("/dev", major_of_node(), 1), 0);
	EXPECT_EQ(open_and_count(1), before + 2);
}

/* Lines */

TEST(a_read_gives_the_minor_and_how_often_the_device_was_opened)
{
	unsigned int nr, i;

	reload("");
	for (nr = 0; nr < MINORS_COUNT_DEFAULT; nr++)
		for (i = 1; i <= 3; i++)
			EXPECT_EQ(open_and_count(nr), i);
}

/* That there is no page cache to go round the kernel finds out after the driver's open. */
TEST(an_open_with_O_DIRECT_is_EINVAL_and_not_counted)
{
	unsigned long long n = open_and_count(0);

	EXPECT_EQ(open(node(0), O_RDONLY | O_DIRECT | O_CLOEXEC), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(open_and_count(0), n + 1);
}

TEST(each_device_counts_its_own_opens_only)
{
	unsigned long long first = open_and_count(0), second = open_and_count(1);
	int i;

	for (i = 0; i < 5; i++)
		close(open_node(1));
	EXPECT_EQ(open_and_count(0), first + 1);
	EXPECT_EQ(open_and_count(1), second + 6);
}

TEST(a_line_does_not_change_while_others_open_the_device)
{
	int early = open_node(0), late;
	unsigned long long n = opened(early, 0);
	char rest[MINORS_LINE_MAX], line[MINORS_LINE_MAX + 1];
	ssize_t len;

	/* Nine more: with a line that changed, another length would show. */
	SAFE(read(early, line, 7));
	for (len = 0; len < 9; len++)
		close(open_node(0));
	late = open_node(0);
	EXPECT_EQ(opened(late, 0), n + 10);
	EXPECT_EQ(opened(early, 0), n);
	len = SAFE(read(early, rest, sizeof(rest)));
	snprintf(line, sizeof(line), MINORS_LINE, 0, n);
	EXPECT_EQ(len, strlen(line) - 7);
	EXPECT_EQ(memcmp(rest, line + 7, len), 0);
}

TEST(duplicates_and_reads_are_no_opens)
{
	int fd = open_node(0), copy = SAFE(dup(fd));
	unsigned long long n = opened(fd, 0);

	EXPECT_EQ(opened(copy, 0), n);
	close(copy);
	EXPECT_EQ(open_and_count(0), n + 1);
}

/* How long the race goes on; a window of a few instructions needs many tries to be hit. */
#define RACE_MS 400
/* Passes of an empty loop by which the racers start apart, to and fro. */
#define RACE_SKEW 64
/* Opens of each in a round: where they do not run at once, rounds are few. */
#define RACE_OPENS 20

/* Two threads that open at the same moment, round after round. */
struct race {
	long long end;
	atomic_uint threads; /* numbers the racers */
	atomic_uint arrived; /* at the start of a round, in all */
	atomic_uint last;    /* round, once it is known */
};

/* Spins, as both have a CPU of their own; where the host has fewer, yielding lets the other run. */
static void meet(struct race *r)
{
	unsigned int both = (atomic_fetch_add(&r->arrived, 1) / 2 + 1) * 2, tries = 0;

	while (atomic_load(&r->arrived) < both)
		if (++tries % 1024 == 0)
			sched_yield();
}

static void *open_each_round(void *arg)
{
	struct race *r = arg;
	unsigned int me = atomic_fetch_add(&r->threads, 1), round;
	volatile unsigned int skew;
	unsigned int i;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(me % sysconf(_SC_NPROCESSORS_ONLN), &set);
	sched_setaffinity(0, sizeof(set), &set);
	for (round = 1; atomic_load(&r->last) != round - 1 || round == 1; round++) {
		if (!me && now_ms() > r->end)
			atomic_store(&r->last, round);
		meet(r);
		for (skew = me ? RACE_SKEW / 2 : round % RACE_SKEW; skew; skew--)
			;
		for (i = 0; i < RACE_OPENS; i++)
			close(open_node(0));
	}
	return NULL;
}

TEST(racing_opens_are_counted_each_once)
{
	struct race r = { .end = now_ms() + RACE_MS };
	unsigned long long before = open_and_count(0);
	pthread_t threads[2];
	int i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(pthread_create(&threads[i], NULL, open_each_round, &r), 0);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(open_and_count(0), before + 1 + 2 * RACE_OPENS * atomic_load(&r.last));
	test_note("%u rounds", atomic_load(&r.last));
}

/* Reading */

TEST(a_short_buffer_gets_a_part_and_the_next_read_the_rest)
{
	char whole[MINORS_LINE_MAX], parts[MINORS_LINE_MAX];
	int fd = open_node(1);
	ssize_t len = SAFE(pread(fd, whole, sizeof(whole), 0)), at;

	for (at = 0; at < len; at++)
		ASSERT_EQ(read(fd, parts + at, 1), 1);
	EXPECT_EQ(memcmp(whole, parts, len), 0);
	EXPECT_EQ(read(fd, parts, 1), 0);
	EXPECT_EQ(read(fd, parts, sizeof(parts)), 0);
}

TEST(a_read_at_a_position_gives_the_line_from_there_and_0_past_its_end)
{
	char whole[MINORS_LINE_MAX], part[MINORS_LINE_MAX];
	int fd = open_node(1);
	ssize_t len = SAFE(pread(fd, whole, sizeof(whole), 0));

	EXPECT_EQ(pread(fd, part, sizeof(part), 6), len - 6);
	EXPECT_EQ(memcmp(part, whole + 6, len - 6), 0);
	EXPECT_EQ(pread(fd, part, sizeof(part), len), 0);
	EXPECT_EQ(pread(fd, part, sizeof(part), len + 1), 0);
	EXPECT_EQ(pread(fd, part, sizeof(part), 1LL << 32), 0);
	EXPECT_EQ(pread(fd, part, sizeof(part), INT64_MAX - 4096), 0);
	/* The descriptor's own position is still 0. */
	EXPECT_EQ(read(fd, part, sizeof(part)), len);
	EXPECT_EQ(lseek(fd, 0, SEEK_END), len);
	EXPECT_EQ(lseek(fd, 1, SEEK_SET), 1);
	EXPECT_EQ(read(fd, part, sizeof(part)), len - 1);
}

TEST(a_buffer_that_ends_in_unmapped_memory_gets_a_part_or_EFAULT_and_loses_nothing)
{
	size_t page = sysconf(_SC_PAGESIZE);
	char *map = SAFE(
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	char whole[MINORS_LINE_MAX], rest[MINORS_LINE_MAX];
	int fd = open_node(0);
	ssize_t len = SAFE(pread(fd, whole, sizeof(whole), 0)), n;

	SAFE(mprotect(map + page, page, PROT_NONE));
	EXPECT_ERR(read(fd, map + page, 8), EFAULT);
	EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
	n = SAFE(read(fd, map + page - 8, 16));
	ASSERT_TRUE(n > 0 && n <= 8);
	EXPECT_EQ(memcmp(map + page - 8, whole, n), 0);
	EXPECT_EQ(read(fd, rest, sizeof(rest)), len - n);
	EXPECT_EQ(memcmp(rest, whole + n, len - n), 0);
}

TEST(splice_and_RWF_NOWAIT_read_the_line_too)
{
	char line[MINORS_LINE_MAX], other[MINORS_LINE_MAX];
	struct iovec iov = { .iov_base = other, .iov_len = sizeof(other) };
	int fd = open_node(0), ends[2];
	ssize_t len = SAFE(pread(fd, line, sizeof(line), 0));

	EXPECT_EQ(preadv2(fd, &iov, 1, 0, RWF_NOWAIT), len);
	EXPECT_EQ(memcmp(line, other, len), 0);
	SAFE(pipe2(ends, O_CLOEXEC));
	EXPECT_EQ(splice(fd, NULL, ends[1], NULL, 4096, 0), len);
	EXPECT_EQ(splice(fd, NULL, ends[1], NULL, 4096, 0), 0);
	memset(other, 0, sizeof(other));
	EXPECT_EQ(read(ends[0], other, sizeof(other)), len);
	EXPECT_EQ(memcmp(line, other, len), 0);
}

TEST(there_is_no_write)
{
	int fd = SAFE(open(node(0), O_RDWR | O_CLOEXEC));

	EXPECT_ERR(write(fd, "x", 1), EINVAL);
	EXPECT_ERR(write(fd, "", 0), EINVAL);
	EXPECT_ERR(pwrite(fd, "x", 1, 3), EINVAL);
}

/* Loading */

#define COUNT_REFUSED MODULE ": count "
#define MODE_REFUSED  MODULE ": mode "

static void expect_refused(const char *param, const char *message)
{
	unsigned int before = log_count(message);
	int ret = module_load(MODULE, param);

	if (ret != -EINVAL) {
		test_fail(__FILE__, __LINE__, "%s: %d", param, ret);
		if (!ret)
			module_unload(MODULE);
	}
	EXPECT_EQ(log_count(message), before + 1);
	EXPECT_TRUE(!node_there(0));
	EXPECT_EQ(listed_major(), 0);
}

TEST(a_count_of_none_or_of_more_than_256_is_refused_with_a_message)
{
	ASSERT_EQ(module_unload(MODULE), 0);
	expect_refused("count=0", COUNT_REFUSED "0: expected 1 to 256\n");
	expect_refused("count=257", COUNT_REFUSED "257: expected 1 to 256\n");
	expect_refused("count=4294967295", COUNT_REFUSED "4294967295: expected 1 to 256\n");
	/* No numbers at all are the kernel's to refuse. */
	EXPECT_EQ(module_load(MODULE, "count=-1"), -EINVAL);
	EXPECT_EQ(module_load(MODULE, "count=two"), -EINVAL);
	ASSERT_EQ(module_load(MODULE, ""), 0);
}

TEST(a_mode_that_is_no_permission_is_refused_with_a_message)
{
	ASSERT_EQ(module_unload(MODULE), 0);
	expect_refused("mode=0", MODE_REFUSED "0: ");
	expect_refused("mode=0777", MODE_REFUSED "0777: ");
	expect_refused("mode=01444", MODE_REFUSED "01444: ");
	ASSERT_EQ(module_load(MODULE, ""), 0);
}

TEST(the_mode_is_that_of_every_node)
{
	struct stat st;
	unsigned int nr;

	reload("mode=0640 count=3");
	for (nr = 0; nr < 3; nr++) {
		SAFE(stat(node(nr), &st));
		EXPECT_EQ(st.st_mode & 07777, 0640);
	}
	reload("");
}

TEST(a_count_of_1_makes_one_device)
{
	reload("count=1");
	EXPECT_TRUE(node_there(0));
	EXPECT_TRUE(!node_there(1));
	EXPECT_EQ(open_and_count(0), 1);
	EXPECT_EQ(open_number("/dev", major_of_node(), 1), ENXIO);
	reload("");
}

TEST(a_count_of_256_makes_256_devices_each_with_its_own_line)
{
	unsigned int nr;

	reload("count=256");
	/* As often as the number says, so that no two that could be mixed up say the same. */
	for (nr = 0; nr < 256; nr += 51)
		EXPECT_EQ(open_and_count(nr), 1);
	for (nr = 0; nr < 256; nr++)
		EXPECT_EQ(open_and_count(nr), nr % 51 ? 1 : 2);
	EXPECT_TRUE(!node_there(256));
	EXPECT_EQ(open_number("/dev", major_of_node(), 256), ENXIO);
	ASSERT_EQ(module_unload(MODULE), 0);
	for (nr = 0; nr < 256; nr++)
		ASSERT_TRUE(!node_there(nr));
	ASSERT_EQ(module_load(MODULE, ""), 0);
}

TEST(unloading_leaves_no_node_no_number_and_no_class)
{
	unsigned int major_nr = major_of_node();

	ASSERT_EQ(module_unload(MODULE), 0);
	EXPECT_TRUE(!node_there(0));
	EXPECT_TRUE(!node_there(1));
	EXPECT_EQ(listed_major(), 0);
	EXPECT_TRUE(access("/sys/class/" MINORS_NAME, F_OK));
	EXPECT_EQ(open_number("/dev", major_nr, 0), ENXIO);
	ASSERT_EQ(module_load(MODULE, ""), 0);
	EXPECT_EQ(open_and_count(0), 1);
}

TEST(an_open_device_keeps_the_module_and_goes_on_working)
{
	int fd = open_node(1);
	unsigned long long n = opened(fd, 1);

	/* What rmmod prints as busy. */
	EXPECT_EQ(module_unload(MODULE), -EAGAIN);
	EXPECT_EQ(opened(fd, 1), n);
	EXPECT_EQ(open_and_count(1), n + 1);
	close(fd);
	reload("");
}

TEST(one_line_is_logged_at_load_and_one_at_unload)
{
	unsigned int all = log_count(MODULE ": "), loads = log_count(MODULE ": 2 devices from ");
	unsigned int removed = log_count(MODULE ": removed\n");

	ASSERT_EQ(module_unload(MODULE), 0);
	EXPECT_EQ(log_count(MODULE ": removed\n"), removed + 1);
	EXPECT_EQ(log_count(MODULE ": "), all + 1);
	ASSERT_EQ(module_load(MODULE, ""), 0);
	EXPECT_EQ(log_count(MODULE ": 2 devices from "), loads + 1);
	EXPECT_EQ(log_count(MODULE ": "), all + 2);
}

/* The client */

static bool one_line(const char *text)
{
	const char *end = strchr(text, '\n');

	return end && !end[1];
}

static void expect_failure(const struct program_output *o, int status, const char *err)
{
	if (o->status != status || o->out[0] || !one_line(o->err) || !strstr(o->err, err))
		test_fail(__FILE__, __LINE__, "status %d, output \"%s\", errors \"%s\"", o->status,
			  o->out, o->err);
}

static void expect_client(const char *words, int status, const char *err)
{
	struct program_output o = program_run("minorsctl %s", words);

	expect_failure(&o, status, err);
}

TEST(minorsctl_reads_a_device)
{
	struct program_output o;
	char expected[300];

	reload("");
	o = program_run("minorsctl read -n 2");
	EXPECT_EQ(o.status, 0);
	snprintf(expected, sizeof(expected), MINORS_LINE MINORS_LINE, 0, 1ULL, 0, 2ULL);
	EXPECT_EQ(strcmp(o.out, expected), 0);
	o = program_run("minorsctl --device /dev/minors1 --json read");
	EXPECT_EQ(o.status, 0);
	EXPECT_EQ(strcmp(o.out, "{\"device\":\"/dev/minors1\",\"minor\":1,\"opened\":1}\n"), 0);
}

TEST(minorsctl_lists_the_devices_and_opens_none)
{
	struct program_output o;
	char expected[300];
	unsigned int major_nr;

	reload("");
	major_nr = major_of_node();
	o = program_run("minorsctl list");
	EXPECT_EQ(o.status, 0);
	snprintf(expected, sizeof(expected), "/dev/minors0 %u:0\n/dev/minors1 %u:1\n", major_nr,
		 major_nr);
	EXPECT_EQ(strcmp(o.out, expected), 0);
	o = program_run("minorsctl --json list");
	snprintf(expected, sizeof(expected),
		 "{\"device\":\"/dev/minors0\",\"major\":%u,\"minor\":0}\n", major_nr);
	EXPECT_EQ(strncmp(o.out, expected, strlen(expected)), 0);
	EXPECT_EQ(open_and_count(0), 1);
}

TEST(minorsctl_says_what_is_wrong_with_the_command_line)
{
	struct program_output o;

	expect_client("frobnicate", 2, "no command \"frobnicate\"");
	expect_client("--frobnicate read", 2, "unrecognized option");
	expect_client("read --device", 2, "requires an argument");
	expect_client("read 3", 2, "what is \"3\"?");
	expect_client("read -n 0", 2, "not a number above 0");
	expect_client("list -n 2", 2, "belongs to read");
	expect_client("--device /dev/minors0 list", 2, "belongs to read");
	o = program_run("minorsctl");
	EXPECT_EQ(o.status, 2);
	EXPECT_TRUE(strstr(o.err, "usage:") == o.err);
	o = program_run("minorsctl --help");
	EXPECT_EQ(o.status, 0);
	EXPECT_TRUE(strstr(o.out, "usage:") == o.out);
}

TEST(minorsctl_says_which_device_failed_and_why)
{
	struct program_output o;

	expect_client(
		"--device /dev/minors2 read", 1,
		"/dev/minors2: cannot open: No such file or directory (is the module loaded?)");
	expect_client("--device /dev/null read", 1, "/dev/null: not a device of the minors driver");

	unlink("/dev/minors-test");
	SAFE(mknod("/dev/minors-test", S_IFCHR | 0600,
		   makedev(major_of_node(), MINORS_COUNT_DEFAULT)));
	o = program_run("minorsctl --device /dev/minors-test read");
	unlink("/dev/minors-test");
	expect_failure(&o, 1, "/dev/minors-test: cannot open: No such device or address (");

	SAFE(chmod(node(0), 0600));
	o = program_run_as(65534, "minorsctl read");
	SAFE(chmod(node(0), MINORS_MODE_DEFAULT));
	expect_failure(&o, 1, "/dev/minors0: cannot open: Permission denied (");

	ASSERT_EQ(module_unload(MODULE), 0);
	o = program_run("minorsctl list");
	ASSERT_EQ(module_load(MODULE, ""), 0);
	expect_failure(&o, 1, "is the module loaded?");
}
