// SPDX-License-Identifier: GPL-2.0
/*
 * What /dev/template promises beyond what every character device does. A test is one sentence of
 * README.md, and would fail if the driver did not keep to it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#include "template.h"

#define MODULE "template"
#define NOBODY 65534

/* No wake-up takes that long, whatever the machine is busy with: it is lost. */
#define LOST_AFTER_MS 3000

static int open_node(int flags)
{
	return SAFE(open(test_node(), flags | O_CLOEXEC));
}

static struct template_info get_info(void)
{
	struct template_info info = { .size = sizeof(info) };
	int fd = open_node(O_RDONLY);

	SAFE(ioctl(fd, TEMPLATE_INFO, &info));
	close(fd);
	return info;
}

/* An address that only the driver finds out to be none: the kernel's own are refused before. */
static char *nowhere(void)
{
	char *map = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_TRUE(map != MAP_FAILED);
	return map;
}

/* The record */

TEST(a_fresh_record_is_4096_zeros)
{
	static char record[TEMPLATE_SIZE_DEFAULT + 1], zeros[TEMPLATE_SIZE_DEFAULT];
	int fd;

	ASSERT_EQ(module_unload(MODULE), 0);
	ASSERT_EQ(module_load(MODULE, ""), 0);
	fd = open_node(O_RDONLY);
	memset(record, 1, sizeof(record));
	EXPECT_EQ(read(fd, record, sizeof(record)), TEMPLATE_SIZE_DEFAULT);
	EXPECT_EQ(memcmp(record, zeros, sizeof(zeros)), 0);
}

TEST(what_is_written_is_read_at_its_position_by_every_open)
{
	int a = open_node(O_RDWR), b = open_node(O_RDONLY);
	char text[7] = "";

	EXPECT_EQ(pwrite(a, "sailor", 6, 100), 6);
	EXPECT_EQ(pwrite(a, "t", 1, 100), 1);
	EXPECT_EQ(pread(b, text, 6, 100), 6);
	EXPECT_EQ(strcmp(text, "tailor"), 0);
}

TEST(a_write_is_short_at_the_end_and_ENOSPC_behind_it)
{
	unsigned int bytes = get_info().bytes;
	int fd = open_node(O_RDWR);
	char text[3] = "";

	EXPECT_EQ(pwrite(fd, "abcd", 4, bytes - 2), 2);
	EXPECT_EQ(pread(fd, text, 2, bytes - 2), 2);
	EXPECT_EQ(strcmp(text, "ab"), 0);
	EXPECT_ERR(pwrite(fd, "abcd", 4, bytes), ENOSPC);
	EXPECT_EQ(pread(fd, text, 2, bytes), 0);
}

TEST(a_write_that_faults_half_way_counts_what_arrived)
{
	long page = sysconf(_SC_PAGESIZE);
	int fd = open_node(O_RDWR), i, n;
	char *end, text[8];

	end = SAFE(
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	end += page;
	SAFE(mprotect(end, page, PROT_NONE));
	memset(end - 4, 'n', 4);
	EXPECT_EQ(pwrite(fd, "oooooooo", 8, 0), 8);
	n = pwrite(fd, end - 4, 8, 0);
	/* arm64 copies words and gives up at the one that faults, but never without a byte */
	EXPECT_GE(n, 1);
	EXPECT_LE(n, 4);
	EXPECT_EQ(pread(fd, text, 8, 0), 8);
	for (i = 0; i < 8; i++)
		EXPECT_EQ(text[i], i < n ? 'n' : 'o');
	EXPECT_ERR(pwrite(fd, end, 8, 0), EFAULT);
	EXPECT_EQ(pread(fd, text, 1, 0), 1);
	EXPECT_EQ(text[0], 'n');
}

TEST(CLEAR_makes_zeros_and_needs_a_descriptor_open_for_writing)
{
	int reader = open_node(O_RDONLY), writer = open_node(O_WRONLY);
	char text[4];

	EXPECT_EQ(write(writer, "full", 4), 4);
	EXPECT_ERR(ioctl(reader, TEMPLATE_CLEAR), EBADF);
	EXPECT_EQ(pread(reader, text, 4, 0), 4);
	EXPECT_EQ(memcmp(text, "full", 4), 0);
	EXPECT_EQ(ioctl(writer, TEMPLATE_CLEAR), 0);
	EXPECT_EQ(pread(reader, text, 4, 0), 4);
	EXPECT_EQ(memcmp(text, "\0\0\0\0", 4), 0);
}

TEST(splice_moves_the_record)
{
	int fd = open_node(O_RDWR), ends[2];
	char text[6] = "";
	loff_t at = 10;

	SAFE(pipe2(ends, O_CLOEXEC));
	EXPECT_EQ(pwrite(fd, "flown", 5, 10), 5);
	EXPECT_EQ(splice(fd, &at, ends[1], NULL, 5, 0), 5);
	at = 20;
	EXPECT_EQ(splice(ends[0], NULL, fd, &at, 5, 0), 5);
	EXPECT_EQ(pread(fd, text, 5, 20), 5);
	EXPECT_EQ(strcmp(text, "flown"), 0);
}

static atomic_bool stop;

static void *write_in_turn(void *arg)
{
	static char record[TEMPLATE_SIZE_LIMIT];
	unsigned int bytes = get_info().bytes, i;
	int fd = *(int *)arg;

	for (i = 0; !atomic_load(&stop); i++) {
		memset(record, 'a' + i % 26, bytes);
		if (pwrite(fd, record, bytes, 0) != bytes)
			test_fail(__FILE__, __LINE__, "a write is short");
	}
	return NULL;
}

TEST(a_read_never_sees_a_half_of_a_write)
{
	static char record[TEMPLATE_SIZE_LIMIT];
	unsigned int bytes = get_info().bytes, mixed = 0, seen = 0;
	int fd = open_node(O_RDWR);
	long long until;
	pthread_t writer;
	char last = 0;

	ASSERT_EQ(pwrite(fd, record, bytes, 0), bytes);
	ASSERT_EQ(pthread_create(&writer, NULL, write_in_turn, &fd), 0);
	until = now_ms() + LOST_AFTER_MS;
	while (seen < 300 && now_ms() < until) {
		ASSERT_EQ(pread(fd, record, bytes, 0), bytes);
		mixed += memcmp(record, record + 1, bytes - 1) != 0;
		seen += record[0] != last;
		last = record[0];
	}
	atomic_store(&stop, true);
	pthread_join(writer, NULL);
	EXPECT_GE(seen, 2);
	EXPECT_EQ(mixed, 0);
}

/* INFO */

TEST(INFO_counts_the_changes_and_nothing_else)
{
	unsigned long long before = get_info().changes;
	int fd = open_node(O_RDWR);
	char c;

	EXPECT_EQ(pread(fd, &c, 1, 0), 1);
	EXPECT_EQ(pwrite(fd, "", 0, 0), 0);
	EXPECT_ERR(pwrite(fd, "x", 1, get_info().bytes), ENOSPC);
	EXPECT_ERR(pwrite(fd, nowhere(), 1, 0), EFAULT);
	EXPECT_EQ(get_info().changes, before);
	EXPECT_EQ(pwrite(fd, "x", 1, 0), 1);
	EXPECT_EQ(get_info().changes, before + 1);
	EXPECT_EQ(ioctl(fd, TEMPLATE_CLEAR), 0);
	EXPECT_EQ(get_info().changes, before + 2);
}

TEST(INFO_serves_callers_older_and_newer_than_the_kernel)
{
	struct {
		struct template_info info;
		unsigned char later[16], beyond;
	} arg;
	int fd = open_node(O_RDONLY);
	unsigned int i;

	memset(&arg, 0xff, sizeof(arg));
	arg.info.size = sizeof(arg.info) + sizeof(arg.later);
	EXPECT_EQ(ioctl(fd, TEMPLATE_INFO, &arg), 0);
	EXPECT_EQ(arg.info.size, sizeof(arg.info));
	EXPECT_EQ(arg.info.bytes, get_info().bytes);
	for (i = 0; i < sizeof(arg.later); i++)
		EXPECT_EQ(arg.later[i], 0);
	EXPECT_EQ(arg.beyond, 0xff);

	arg.info.size = TEMPLATE_INFO_SIZE_VER0 - 1;
	EXPECT_ERR(ioctl(fd, TEMPLATE_INFO, &arg), EINVAL);
	arg.info.size = TEMPLATE_INFO_SIZE_LIMIT + 1;
	EXPECT_ERR(ioctl(fd, TEMPLATE_INFO, &arg), E2BIG);
}

/* poll */

static int events_of(int fd, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT | POLLPRI };

	/* Always readable: only a change is worth waiting for. */
	if (timeout_ms)
		pfd.events = POLLPRI;
	SAFE(poll(&pfd, 1, timeout_ms));
	return pfd.revents;
}

TEST(poll_tells_of_a_change_until_the_descriptor_has_read)
{
	int a = open_node(O_RDWR), b = open_node(O_RDONLY), late;
	char c;

	EXPECT_EQ(events_of(b, 0), POLLIN | POLLOUT);
	EXPECT_EQ(pwrite(a, "x", 1, 0), 1);
	EXPECT_EQ(events_of(b, 0), POLLIN | POLLOUT | POLLPRI);
	/* a read that fails has seen nothing */
	EXPECT_ERR(pread(b, nowhere(), 1, 0), EFAULT);
	EXPECT_EQ(events_of(b, 0), POLLIN | POLLOUT | POLLPRI);
	EXPECT_EQ(pread(b, &c, 1, 0), 1);
	EXPECT_EQ(events_of(b, 0), POLLIN | POLLOUT);
	/* each descriptor for itself */
	EXPECT_EQ(events_of(a, 0), POLLIN | POLLOUT | POLLPRI);
	late = open_node(O_RDONLY);
	EXPECT_EQ(events_of(late, 0), POLLIN | POLLOUT);
	EXPECT_EQ(ioctl(a, TEMPLATE_CLEAR), 0);
	EXPECT_EQ(events_of(b, 0), POLLIN | POLLOUT | POLLPRI);
}

static void *wait_for_change(void *arg)
{
	return (void *)(long)events_of(*(int *)arg, LOST_AFTER_MS);
}

TEST(a_change_ends_a_poll_that_waits)
{
	int fd = open_node(O_RDONLY), writer = open_node(O_WRONLY), i;
	pthread_t waiter;
	void *events;
	char c;

	/* Some of these changes come before the wait and some after its begin: none may be lost. */
	for (i = 0; i < 20; i++) {
		SAFE(pread(fd, &c, 1, 0));
		ASSERT_EQ(pthread_create(&waiter, NULL, wait_for_change, &fd), 0);
		usleep(i % 2 * 3000);
		EXPECT_EQ(pwrite(writer, "x", 1, 0), 1);
		pthread_join(waiter, &events);
		ASSERT_EQ((long)events, POLLPRI);
	}
}

/* The module */

static void expect_refused(const char *params, const char *message)
{
	unsigned int before = log_count(message);
	int ret = module_load(MODULE, params);

	if (ret != -EINVAL || log_count(message) != before + 1)
		test_fail(__FILE__, __LINE__, "%s: %s, \"%s\" logged %u times", params,
			  ret ? errno_name(-ret) : "loaded", message, log_count(message) - before);
	if (!ret)
		module_unload(MODULE);
}

TEST(parameters_out_of_range_are_refused_with_one_message)
{
	ASSERT_EQ(module_unload(MODULE), 0);
	expect_refused("size=0", MODULE ": size 0: expected 1 to 65536 bytes");
	expect_refused("size=65537", MODULE ": size 65537: expected 1 to 65536 bytes");
	expect_refused("size=4294967295", MODULE ": size 4294967295: expected");
	expect_refused("mode=0", MODULE ": mode 0: expected");
	expect_refused("mode=01", MODULE ": mode 01: expected");
	expect_refused("mode=0777", MODULE ": mode 0777: expected");
	expect_refused("mode=01000", MODULE ": mode 01000: expected");
	EXPECT_EQ(module_load(MODULE, "size=-1"), -EINVAL);
	EXPECT_EQ(module_load(MODULE, "size=4096x"), -EINVAL);
	ASSERT_EQ(module_load(MODULE, ""), 0);
}

TEST(parameters_in_range_are_what_the_device_has)
{
	static const unsigned int sizes[] = { 1, 4095, TEMPLATE_SIZE_LIMIT };
	static const unsigned int modes[] = { 02, 0644, 0666 };
	char params[64], c;
	struct stat st;
	unsigned int i;
	int fd;

	ASSERT_EQ(module_unload(MODULE), 0);
	for (i = 0; i < 3; i++) {
		snprintf(params, sizeof(params), "size=%u mode=%#o", sizes[i], modes[i]);
		ASSERT_EQ(module_load(MODULE, params), 0);
		EXPECT_EQ(get_info().bytes, sizes[i]);
		fd = open_node(O_RDONLY);
		EXPECT_EQ(pread(fd, &c, 1, sizes[i] - 1), 1);
		close(fd);
		SAFE(stat(test_node(), &st));
		EXPECT_EQ(st.st_mode & 07777, modes[i]);
		ASSERT_EQ(module_unload(MODULE), 0);
	}
	ASSERT_EQ(module_load(MODULE, ""), 0);
}

TEST(one_line_is_logged_at_load_and_one_at_unload)
{
	unsigned int all = log_count(MODULE ": ");

	ASSERT_EQ(module_unload(MODULE), 0);
	EXPECT_EQ(log_count(MODULE ": "), all + 1);
	ASSERT_EQ(module_load(MODULE, ""), 0);
	EXPECT_EQ(log_count(MODULE ": "), all + 2);
}

/* The client */

static void expect_one_line(const struct program_output *o, int status, const char *says)
{
	const char *end = strchr(o->err, '\n');

	if (o->status != status || !end || end[1] || *o->out || !strstr(o->err, says))
		test_fail(__FILE__, __LINE__,
			  "status %d, output \"%s\", errors \"%s\", expected status %d and \"%s\"",
			  o->status, o->out, o->err, status, says);
}

TEST(the_client_sets_gets_clears_and_tells)
{
	struct program_output o;
	char expected[64];

	EXPECT_EQ(program_run("templatectl set twelve-bytes").status, 0);
	EXPECT_EQ(program_run("templatectl set seven").status, 0);
	o = program_run("templatectl --device %s get", test_node());
	EXPECT_EQ(o.status, 0);
	EXPECT_EQ(strcmp(o.out, "seven\n"), 0);
	EXPECT_EQ(program_run("templatectl clear").status, 0);
	o = program_run("templatectl get");
	EXPECT_EQ(strcmp(o.out, "\n"), 0);
	o = program_run("templatectl --json info");
	snprintf(expected, sizeof(expected), "{\"bytes\":%u,\"changes\":%llu}\n", get_info().bytes,
		 (unsigned long long)get_info().changes);
	EXPECT_EQ(strcmp(o.out, expected), 0);
	EXPECT_EQ(program_run("templatectl --help").status, 0);
}

TEST(the_client_waits_for_a_change)
{
	int fd = open_node(O_WRONLY), out[2], status, tries = 0;
	struct pollfd pfd;
	char text[64] = "";
	pid_t pid;

	SAFE(pipe2(out, O_CLOEXEC));
	pid = program_start(out[1], STDERR_FILENO, "templatectl wait --timeout 8");
	close(out[1]);
	pfd.fd = out[0];
	pfd.events = POLLIN;
	/* It may not have opened the device yet. */
	do
		EXPECT_EQ(pwrite(fd, "new", 4, 0), 4);
	while (!poll(&pfd, 1, 2) && ++tries < 4000);
	EXPECT_EQ(read(out[0], text, sizeof(text) - 1), 4);
	EXPECT_EQ(strcmp(text, "new\n"), 0);
	SAFE(waitpid(pid, &status, 0));
	EXPECT_EQ(status, 0);

	struct program_output o = program_run("templatectl wait --timeout 0");

	expect_one_line(&o, 1, "no change in 0 s");
}

TEST(the_client_ends_with_2_and_one_line_when_used_wrongly)
{
	static const struct {
		const char *words, *says;
	} cases[] = {
		{ "", "a command is missing" },
		{ " frobnicate", "there is no command \"frobnicate\"" },
		{ " --frobnicate", "there is no option --frobnicate" },
		{ " --device", "--device needs a value" },
		{ " set", "set takes one TEXT" },
		{ " set two words", "set takes one TEXT" },
		{ " get all", "what is \"all\"?" },
		{ " wait --timeout soon", "--timeout takes seconds" },
	};
	struct program_output o;
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		o = program_run("templatectl%s", cases[i].words);
		expect_one_line(&o, 2, cases[i].says);
	}
}

TEST(the_client_ends_with_1_and_one_line_when_the_device_fails)
{
	struct program_output o;
	char big[600];

	o = program_run("templatectl --device /dev/no-such-node get");
	expect_one_line(&o, 1, "is the module loaded?");
	o = program_run("templatectl --device /dev/null get");
	expect_one_line(&o, 1, "it is another device");
	o = program_run_as(NOBODY, "templatectl get");
	expect_one_line(&o, 1, "Permission denied");

	ASSERT_EQ(module_unload(MODULE), 0);
	o = program_run("templatectl get");
	expect_one_line(&o, 1, "is the module loaded?");
	ASSERT_EQ(module_load(MODULE, "size=512"), 0);
	memset(big, 'x', 513);
	big[513] = '\0';
	o = program_run("templatectl set %s", big);
	expect_one_line(&o, 1, "513 bytes of text, and the record has 512");
	ASSERT_EQ(module_unload(MODULE), 0);
	ASSERT_EQ(module_load(MODULE, ""), 0);
}
