// SPDX-License-Identifier: GPL-2.0
/*
 * mymem's in-kernel interface, through the module that uses it: what it needs to be loaded, what
 * its calls do, and the tables of its two experiments.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "mymem.h"
#include "mymem_test.h"

#define API	"mymem"
#define MODULE	"mymem_test"
#define NODE	"/dev/mymem"
#define DEBUGFS "/sys/kernel/debug/" MYMEM_TEST_DIR "/"
#define NOBODY	65534
#define SLOW_MS 20000 /* nothing that is asked to end takes that long */

/* Loading and threads take long on an emulated machine with others beside it. */
#define TEST_LONG(id) TEST_WITH_TIMEOUT(id, 60)

/* Both modules, with these parameters; "", "" is how they were found. */
static void reload(const char *api, const char *params)
{
	if (module_loaded(MODULE))
		ASSERT_EQ(module_unload(MODULE), 0);
	if (module_loaded(API))
		ASSERT_EQ(module_unload(API), 0);
	ASSERT_EQ(module_load(API, api), 0);
	ASSERT_EQ(module_load(MODULE, params), 0);
}

static bool parameter_is(const char *module, const char *name, const char *value)
{
	char path[128], text[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", module, name);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	text[strcspn(text, "\n")] = '\0';
	return !strcmp(text, value);
}

/* A test that failed half-way may have left it otherwise. */
static void fresh(void)
{
	if (!*test_module())
		SKIP("no module is given");
	if (!module_loaded(MODULE) || !parameter_is(API, "size", "524288") ||
	    !parameter_is(API, "strict", "N") || !parameter_is(MODULE, "w", "50") ||
	    !parameter_is(MODULE, "calls", "1000") ||
	    !parameter_is(MODULE, "sizes", "1,64,1024,65536,524288"))
		reload("", "");
}

static int try_run(const char *line)
{
	int fd = SAFE(open(DEBUGFS MYMEM_TEST_RUN, O_WRONLY | O_CLOEXEC));
	ssize_t n = write(fd, line, strlen(line));
	int err = errno;

	close(fd);
	if (n >= 0)
		EXPECT_EQ(n, strlen(line));
	return n < 0 ? -err : 0;
}

struct time_row {
	unsigned int size, calls;
	double read_ns, write_ns;
};

struct race_row {
	char kind[16];
	unsigned int w, n, trial;
	unsigned long long expected, counted;
	double percent, ns;
};

static unsigned int read_times(struct time_row *rows, unsigned int max)
{
	FILE *f = fopen(DEBUGFS MYMEM_TEST_TIME, "re");
	unsigned int n = 0;
	char line[256];

	ASSERT_TRUE(f);
	while (n < max && fgets(line, sizeof(line), f)) {
		struct time_row *row = &rows[n];

		if (*line == '#')
			continue;
		memset(row, 0, sizeof(*row));
		ASSERT_GE(sscanf(line, "%u %u %lf %lf", &row->size, &row->calls, &row->read_ns,
				 &row->write_ns),
			  2);
		n++;
	}
	fclose(f);
	return n;
}

static unsigned int read_races(struct race_row *rows, unsigned int max)
{
	FILE *f = fopen(DEBUGFS MYMEM_TEST_RACE, "re");
	unsigned int n = 0;
	char line[256];

	ASSERT_TRUE(f);
	while (n < max && fgets(line, sizeof(line), f)) {
		struct race_row *row = &rows[n];

		if (*line == '#')
			continue;
		ASSERT_EQ(sscanf(line, "%15s %u %u %u %llx %llx %lf %lf", row->kind, &row->w,
				 &row->n, &row->trial, &row->expected, &row->counted, &row->percent,
				 &row->ns),
			  8);
		n++;
	}
	fclose(f);
	return n;
}

/* Loading */

TEST_LONG(without_mymem_it_does_not_load_for_an_unknown_symbol)
{
	static const char message[] = "mymem_test: Unknown symbol mymem_read";
	unsigned int before;

	fresh();
	ASSERT_EQ(module_unload(MODULE), 0);
	ASSERT_EQ(module_unload(API), 0);
	before = log_count(message);
	EXPECT_EQ(module_load(MODULE, ""), -ENOENT);
	EXPECT_EQ(log_count(message), before + 1);
	EXPECT_TRUE(!module_loaded(MODULE));
	ASSERT_EQ(module_load(API, ""), 0);
	EXPECT_EQ(module_load(MODULE, ""), 0);
}

TEST_LONG(mymem_is_in_use_while_it_is_loaded)
{
	fresh();
	EXPECT_GE(module_users(API), 1);
	EXPECT_EQ(module_unload(API), -EWOULDBLOCK);
	EXPECT_TRUE(module_loaded(API));
	EXPECT_EQ(access(NODE, F_OK), 0);
	EXPECT_EQ(try_run("time 1"), 0);
}

TEST_LONG(a_parameter_out_of_range_is_refused_with_a_message)
{
	static const struct {
		const char *params, *message;
	} wrong[] = {
		{ "w=0", "mymem_test: w 0: expected 1 to 1000" },
		{ "w=1001", "mymem_test: w 1001: expected" },
		{ "n=0", "mymem_test: n 0: expected 1 to 1000000000" },
		{ "n=1000000001", "mymem_test: n 1000000001: expected" },
		{ "trials=0", "mymem_test: trials 0: expected 1 to 100" },
		{ "trials=101", "mymem_test: trials 101: expected" },
		{ "calls=0", "mymem_test: calls 0: expected 1 to 1000000" },
		{ "calls=1000001", "mymem_test: calls 1000001: expected" },
		{ "sizes=0", "mymem_test: sizes 0: expected 1 to 1073741824" },
		{ "sizes=1,1073741825", "mymem_test: sizes 1073741825: expected" },
		{ "w=-1", "`-1' invalid for parameter `w'" },
		{ "sizes=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
		  "sizes: can only take 16 arguments" },
	};
	unsigned int before;
	size_t i;

	fresh();
	ASSERT_EQ(module_unload(MODULE), 0);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		before = log_count(wrong[i].message);
		EXPECT_EQ(module_load(MODULE, wrong[i].params), -EINVAL);
		if (log_count(wrong[i].message) != before + 1)
			test_fail(__FILE__, __LINE__, "%s: the log does not have one \"%s\" more",
				  wrong[i].params, wrong[i].message);
	}
	EXPECT_EQ(module_load(MODULE, ""), 0);
}

/* The calls */

static int call_open(void)
{
	return SAFE(open(DEBUGFS MYMEM_TEST_CALL, O_RDWR | O_CLOEXEC));
}

static int call(int fd, unsigned int operation, unsigned int length, unsigned int repeat)
{
	struct mymem_test_repeat arg = { operation, length, repeat, 0 };

	return ioctl(fd, MYMEM_TEST_REPEAT, &arg);
}

TEST_LONG(mymem_read_and_mymem_write_move_what_the_node_shows)
{
	unsigned char out[1000], in[1000];
	int node, fd;

	fresh();
	node = SAFE(open(NODE, O_RDWR | O_CLOEXEC));
	fd = call_open();
	memset(out, 0x5b, sizeof(out));
	ASSERT_EQ(pwrite(node, out, sizeof(out), 0), sizeof(out));
	EXPECT_EQ(call(fd, MYMEM_TEST_OP_READ, 700, 1), 700);
	SAFE(ioctl(node, MYMEM_CLEAR));
	EXPECT_EQ(call(fd, MYMEM_TEST_OP_WRITE, 800, 1), 800);
	ASSERT_EQ(pread(node, in, sizeof(in), 0), sizeof(in));
	memset(out + 700, 0, 300);
	EXPECT_EQ(memcmp(in, out, sizeof(in)), 0);
}

TEST_LONG(mymem_fetch_add_adds_once_for_each_call)
{
	uint64_t value = 40;
	int node, fd;

	fresh();
	node = SAFE(open(NODE, O_RDWR | O_CLOEXEC));
	fd = call_open();
	ASSERT_EQ(pwrite(node, &value, 8, 0), 8);
	EXPECT_EQ(call(fd, MYMEM_TEST_OP_ADD, 0, 1), 0);
	EXPECT_EQ(call(fd, MYMEM_TEST_OP_ADD, 0, 0), 0);
	EXPECT_EQ(call(fd, MYMEM_TEST_OP_ADD, 0, 100), 0);
	ASSERT_EQ(pread(node, &value, 8, 0), 8);
	EXPECT_EQ(value, 141);
}

TEST_LONG(the_calls_know_the_end_of_the_memory)
{
	int fd;

	fresh();
	reload("size=4", "");
	fd = call_open();
	EXPECT_EQ(call(fd, MYMEM_TEST_OP_READ, 5, 1), 4);
	EXPECT_EQ(call(fd, MYMEM_TEST_OP_WRITE, 500, 1), 4);
	EXPECT_EQ(call(fd, MYMEM_TEST_OP_READ, 0, 1), 0);
	EXPECT_EQ(call(fd, MYMEM_TEST_OP_WRITE, 0, 1), 0);
	EXPECT_ERR(call(fd, MYMEM_TEST_OP_ADD, 0, 1), EINVAL);
	close(fd);
	EXPECT_EQ(try_run("race 1 1 1"), -ENOSPC);
	reload("size=4 strict=1", "");
	fd = call_open();
	EXPECT_EQ(call(fd, MYMEM_TEST_OP_READ, 4, 1), 4);
	EXPECT_ERR(call(fd, MYMEM_TEST_OP_READ, 5, 1), EINVAL);
	EXPECT_ERR(call(fd, MYMEM_TEST_OP_WRITE, 5, 1), EINVAL);
	close(fd);
	reload("", "");
}

TEST_LONG(wrong_calls_are_refused)
{
	struct mymem_test_repeat arg = { .reserved = 1 };
	int fd;

	fresh();
	fd = call_open();
	EXPECT_EQ(call(fd, MYMEM_TEST_OP_NONE, 0, 1), 0);
	EXPECT_ERR(call(fd, MYMEM_TEST_OP_NONE + 1, 0, 0), EINVAL);
	EXPECT_ERR(call(fd, MYMEM_TEST_OP_NONE, 1, 0), EINVAL);
	EXPECT_ERR(call(fd, MYMEM_TEST_OP_ADD, 1, 0), EINVAL);
	EXPECT_ERR(call(fd, MYMEM_TEST_OP_READ, MYMEM_TEST_LENGTH_MAX + 1, 0), EINVAL);
	EXPECT_ERR(call(fd, MYMEM_TEST_OP_READ, 1, MYMEM_TEST_REPEAT_MAX + 1), EINVAL);
	EXPECT_ERR(ioctl(fd, MYMEM_TEST_REPEAT, &arg), EINVAL);
	EXPECT_ERR(ioctl(fd, MYMEM_TEST_REPEAT, NULL), EFAULT);
	EXPECT_ERR(ioctl(fd, _IO(MYMEM_TEST_IOC_MAGIC, 1), NULL), ENOTTY);
}

/* The experiments */

TEST_LONG(time_has_a_row_for_each_size_and_two_figures_in_each)
{
	static const unsigned int sizes[] = { 1, 64, 1024, 65536, 524288 };
	struct time_row rows[20];
	unsigned int i;

	fresh();
	reload("", "");
	EXPECT_EQ(read_times(rows, 20), 0);
	ASSERT_EQ(try_run("time 5\n"), 0);
	ASSERT_EQ(read_times(rows, 20), 5);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(rows[i].size, sizes[i]);
		EXPECT_EQ(rows[i].calls, 5);
		EXPECT_TRUE(rows[i].read_ns > 0);
		EXPECT_TRUE(rows[i].write_ns > 0);
	}
}

TEST_LONG(the_parameters_are_what_a_line_without_numbers_runs)
{
	struct time_row times[20];
	struct race_row races[20];

	fresh();
	reload("size=4096", "sizes=4096,3,4097 calls=7 w=3 n=11 trials=2");
	ASSERT_EQ(try_run("time"), 0);
	ASSERT_EQ(read_times(times, 20), 3);
	EXPECT_EQ(times[0].size, 4096);
	EXPECT_EQ(times[0].calls, 7);
	EXPECT_EQ(times[1].size, 3);
	/* Larger than the memory: there, without figures. */
	EXPECT_EQ(times[2].size, 4097);
	EXPECT_EQ(times[2].calls, 0);
	EXPECT_TRUE(times[2].read_ns == 0);
	ASSERT_EQ(try_run("race\n"), 0);
	ASSERT_EQ(read_races(races, 20), 6);
	EXPECT_EQ(races[0].w, 3);
	EXPECT_EQ(races[0].n, 11);
	EXPECT_EQ(races[5].trial, 2);
	reload("", "");
}

TEST_LONG(with_exclusion_no_addition_is_lost_and_one_thread_loses_none_without)
{
	static const unsigned int workers[] = { 1, 2, 5 };
	struct race_row rows[20];
	unsigned int i, k;
	char line[64];

	fresh();
	for (i = 0; i < 3; i++) {
		snprintf(line, sizeof(line), "race %u 5000 2", workers[i]);
		ASSERT_EQ(try_run(line), 0);
		ASSERT_EQ(read_races(rows, 20), 6);
		for (k = 0; k < 6; k++) {
			EXPECT_EQ(rows[k].w, workers[i]);
			EXPECT_EQ(rows[k].n, 5000);
			EXPECT_EQ(rows[k].trial, k % 2 + 1);
			EXPECT_EQ(rows[k].expected, MYMEM_TEST_START + workers[i] * 5000);
			EXPECT_EQ(strcmp(rows[k].kind, k < 2 ? "none" :
						       k < 4 ? "mutex" :
							       "fetch_add"),
				  0);
			EXPECT_LE(rows[k].counted, rows[k].expected);
			EXPECT_TRUE(rows[k].ns > 0);
			if (k < 2 && workers[i] > 1)
				continue;
			EXPECT_EQ(rows[k].counted, rows[k].expected);
			EXPECT_TRUE(rows[k].percent == 0);
		}
	}
}

TEST_LONG(the_counter_of_the_race_is_the_number_at_the_start_of_the_memory)
{
	uint64_t value = 0;
	int node;

	fresh();
	ASSERT_EQ(try_run("race 2 100 1"), 0);
	node = SAFE(open(NODE, O_RDONLY | O_CLOEXEC));
	/* The last one to run was fetch_add, which loses nothing. */
	ASSERT_EQ(pread(node, &value, 8, 0), 8);
	EXPECT_EQ(value, MYMEM_TEST_START + 200);
}

TEST_LONG(without_exclusion_additions_are_lost)
{
	struct race_row rows[20];
	unsigned int tries;

	fresh();
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP("one processor");
	for (tries = 0; tries < 10; tries++) {
		ASSERT_EQ(try_run("race 4 20000 1"), 0);
		ASSERT_EQ(read_races(rows, 20), 3);
		if (rows[0].counted == rows[0].expected)
			continue;
		EXPECT_TRUE(rows[0].percent > 0 && rows[0].percent < 100);
		return;
	}
	SKIP("it did not happen in %u races of four threads", tries);
}

TEST_LONG(a_line_that_is_not_understood_is_EINVAL_and_the_tables_stay)
{
	static const char *const wrong[] = {
		"x",	  "times",     "time 0",   "time x",	   "time 1000001", "time 1 2",
		"race 0", "race 1001", "race 1 0", "race 1 1 101", "race 1 1 1 1", "race -1",
		"\n",	  " "
	};
	struct time_row rows[20];
	char longer[100];
	unsigned int i;
	int fd;

	fresh();
	ASSERT_EQ(try_run("  time   3  \n"), 0);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		EXPECT_EQ(try_run(wrong[i]), -EINVAL);
	memset(longer, ' ', sizeof(longer));
	memcpy(longer, "time", 4);
	longer[99] = '\0';
	EXPECT_EQ(try_run(longer), -EINVAL);
	fd = SAFE(open(DEBUGFS MYMEM_TEST_RUN, O_WRONLY | O_CLOEXEC));
	EXPECT_ERR(write(fd, (void *)-4096L, 4), EFAULT);
	EXPECT_EQ(write(fd, "", 0), 0);
	ASSERT_EQ(read_times(rows, 20), 5);
	EXPECT_EQ(rows[0].calls, 3);
}

/* An experiment that would take for ever, in a child, under way. */
static pid_t start_long(const char *line)
{
	long long end = now_ms() + SLOW_MS;
	pid_t pid = SAFE(fork());
	int ret;

	if (!pid) {
		/* Our own look at whether it runs may be what keeps it from it. */
		do
			ret = try_run(line);
		while (ret == -EBUSY);
		_exit(ret == -EINTR ? 42 : 1);
	}
	while (try_run("time 1") != -EBUSY) {
		if (now_ms() > end) {
			test_fail(__FILE__, __LINE__, "\"%s\" does not start", line);
			kill(pid, SIGKILL);
			test_end();
		}
	}
	return pid;
}

static unsigned int count_threads(void)
{
	DIR *proc = opendir("/proc");
	unsigned int n = 0;
	struct dirent *e;
	char path[300], name[32];
	FILE *f;

	while ((e = readdir(proc))) {
		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(name, sizeof(name), f))
			n += !strncmp(name, "mymem_test/", 11);
		fclose(f);
	}
	closedir(proc);
	return n;
}

/* The kernel waits until a thread's function has returned; the rest of its end, and /proc, come later. */
static bool threads_end(void)
{
	long long end = now_ms() + SLOW_MS;

	while (count_threads() && now_ms() < end)
		nanosleep(&(struct timespec){ .tv_nsec = 1000 * 1000 }, NULL);
	return !count_threads();
}

static void on_signal(int sig)
{
	(void)sig;
}

TEST_LONG(a_signal_ends_an_experiment_and_no_thread_stays)
{
	static const char *const lines[] = { "race 20 1000000000 1", "time 1000000" };
	struct sigaction sa = { .sa_handler = on_signal };
	long long since;
	unsigned int i;
	int status;
	pid_t pid;

	fresh();
	reload("", "sizes=524288");
	sigaction(SIGUSR1, &sa, NULL);
	for (i = 0; i < 4; i++) {
		pid = start_long(lines[i % 2]);
		since = now_ms();
		SAFE(kill(pid, i < 2 ? SIGUSR1 : SIGKILL));
		SAFE(waitpid(pid, &status, 0));
		EXPECT_LE(now_ms() - since, SLOW_MS);
		if (i < 2)
			EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 42);
		else
			EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		EXPECT_TRUE(threads_end());
	}
	EXPECT_EQ(try_run("race 2 10 1"), 0);
	reload("", "");
}

TEST_LONG(while_one_experiment_runs_another_is_EBUSY_and_unloading_is_refused)
{
	struct program_output o;
	pid_t pid;

	fresh();
	pid = start_long("race 3 1000000000 1");
	EXPECT_EQ(try_run("race 1 1 1"), -EBUSY);
	EXPECT_EQ(module_unload(MODULE), -EWOULDBLOCK);
	EXPECT_EQ(module_unload(API), -EWOULDBLOCK);
	o = program_run("mymemctl kernel");
	EXPECT_EQ(o.status, 1);
	EXPECT_TRUE(strstr(o.err, "Device or resource busy (an experiment is running)"));
	SAFE(kill(pid, SIGKILL));
	SAFE(waitpid(pid, NULL, 0));
	reload("", "");
}

/* The client */

static void find(const char *text, const char *what)
{
	if (!strstr(text, what))
		test_fail(__FILE__, __LINE__, "\"%s\" is not in: %s", what, text);
}

TEST_LONG(mymemctl_kernel_prints_the_tables)
{
	struct program_output o;

	fresh();
	reload("", "calls=3 w=2 n=20 trials=1");
	o = program_run("mymemctl kernel");
	EXPECT_EQ(o.status, 0);
	find(o.out, "\n524288 3 ");
	find(o.out, "\nmutex 2 20 1 0xdeadbf17 0xdeadbf17 0.000 ");
	o = program_run("mymemctl kernel --records -c 2 -w 1,2 -n 10 -t 2");
	EXPECT_EQ(o.status, 0);
	find(o.out,
	     "{\"table\":\"Mean time of a call\",\"row\":\"read, 1 byte\",\"column\":\"in kernel\",\"value\":");
	find(o.out, "\"row\":\"write, 524288 bytes\",\"column\":\"in kernel\"");
	find(o.out,
	     "\"row\":\"W=1\",\"column\":\"kernel threads, no exclusion\",\"value\":0,\"unit\":\"%\"");
	find(o.out,
	     "\"row\":\"W=2\",\"column\":\"kernel threads, exclusion\",\"value\":0,\"unit\":\"%\"");
	find(o.out, "\"row\":\"W=2\",\"column\":\"kernel threads, mymem_fetch_add\",\"value\":0,");
	reload("", "");
}

TEST_LONG(mymemctl_kernel_takes_what_is_not_given_from_the_parameters)
{
	struct program_output o;

	fresh();
	reload("", "calls=3 w=2 n=20 trials=1");
	o = program_run("mymemctl kernel -n 30");
	EXPECT_EQ(o.status, 0);
	find(o.out, "\nnone 2 30 1 ");
	find(o.out, "\nmutex 2 30 1 0xdeadbf2b 0xdeadbf2b 0.000 ");
	EXPECT_TRUE(!strstr(o.out, "\nmutex 2 30 2 "));
	o = program_run("mymemctl kernel -t 2");
	EXPECT_EQ(o.status, 0);
	find(o.out, "\nmutex 2 20 2 0xdeadbf17 0xdeadbf17 0.000 ");
	o = program_run("mymemctl kernel -w 1,3");
	EXPECT_EQ(o.status, 0);
	find(o.out, "\nmutex 1 20 1 0xdeadbf03 0xdeadbf03 0.000 ");
	find(o.out, "\nmutex 3 20 1 0xdeadbf2b 0xdeadbf2b 0.000 ");
	reload("", "");
}

TEST_LONG(mymemctl_kernel_says_what_is_missing)
{
	struct program_output o;

	fresh();
	o = program_run("mymemctl --debugfs /sys/kernel/debug/nothing kernel");
	EXPECT_EQ(o.status, 1);
	find(o.err, "No such file or directory (is mymem_test loaded, and debugfs mounted?)");
	o = program_run_as(NOBODY, "mymemctl kernel");
	EXPECT_EQ(o.status, 1);
	find(o.err, "Permission denied (debugfs is root's)");
	o = program_run("mymemctl -n 5000000000 kernel");
	EXPECT_EQ(o.status, 2);
}
