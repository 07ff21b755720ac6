// SPDX-License-Identifier: GPL-2.0
/*
 * What the greeter promises: that one at a time has it open, whatever becomes of the descriptor;
 * what the others meet under each policy; and a line that counts the opens.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "greeter.h"
#include "harness.h"

/* The greeter or its twin; run by hand, the first. */
#define DEFAULT_NODE "/dev/" GREETER_NAME
#define MODULE	     (*test_module() ? test_module() : GREETER_NAME)
#define NODE	     (*test_node() ? test_node() : DEFAULT_NODE)

/* No wake-up takes that long, whatever the machine is busy with: it is lost. */
#define LOST_AFTER_MS 5000
/* Users who are not root, and nobody else in the guest. */
#define ALICE 1001
#define BOB   1002

static char self[256]; /* this program's file */

/* Texts with the names in them; each is there until the fourth one after it. */
static const char *text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static const char *text(const char *fmt, ...)
{
	static char room[4][256];
	static unsigned int turn;
	char *to = room[turn++ % 4];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(to, sizeof(room[0]), fmt, ap);
	va_end(ap);
	return to;
}

/* A line of the log as the module writes it. */
static const char *logged(const char *line)
{
	return text("%s: %s", MODULE, line);
}

/* The client's command line for the node under test. */
static const char *client(const char *words)
{
	if (!strcmp(NODE, DEFAULT_NODE))
		return text("greeterctl %s", words);
	return text("greeterctl --device %s %s", NODE, words);
}

/* Opens it, or returns -errno. */
static int try_open(int flags)
{
	int fd = open(NODE, flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int open_node(void)
{
	return SAFE(open(NODE, O_RDONLY | O_CLOEXEC));
}

/* The line's number, and that the line is right to its last byte. */
static unsigned long long times(int fd)
{
	char line[GREETER_LINE_MAX + 1], expected[GREETER_LINE_MAX + 1];
	ssize_t len = SAFE(pread(fd, line, GREETER_LINE_MAX, 0));
	unsigned long long n = 0;

	line[len] = '\0';
	sscanf(line, GREETER_LINE_BEGIN "%llu", &n);
	snprintf(expected, sizeof(expected), GREETER_LINE_BEGIN "%llu" GREETER_LINE_END, n);
	if (strcmp(line, expected))
		test_fail(__FILE__, __LINE__, "the line is \"%s\"", line);
	return n;
}

/* Nobody has it: it can be opened, under every policy at once. */
static void expect_free(const char *when)
{
	int fd = try_open(O_RDONLY | O_NONBLOCK);

	if (fd < 0)
		test_fail(__FILE__, __LINE__, "%s: open: %s", when, errno_name(-fd));
	else
		close(fd);
}

/* Somebody has it, and this is what another meets. */
static void expect_refused(const char *when, int err)
{
	int fd = try_open(O_RDONLY | O_NONBLOCK);

	if (fd == -err)
		return;
	test_fail(__FILE__, __LINE__, "%s: open: %s, expected %s", when,
		  fd < 0 ? errno_name(-fd) : "success", errno_name(err));
	if (fd >= 0)
		close(fd);
}

static void reload(const char *params)
{
	if (module_loaded(MODULE))
		ASSERT_EQ(module_unload(MODULE), 0);
	ASSERT_EQ(module_load(MODULE, params), 0);
}

/* The policy that it has; false when it has no such parameter, and so the default one alone. */
static bool policy_now(char now[64])
{
	FILE *f;

	snprintf(now, 64, "%s", GREETER_POLICY_DEFAULT);
	if (!module_loaded(MODULE))
		ASSERT_EQ(module_load(MODULE, ""), 0);
	f = fopen(text("/sys/module/%s/parameters/policy", MODULE), "re");
	if (!f)
		return false;
	if (fscanf(f, "%63s", now) != 1)
		now[0] = '\0';
	fclose(f);
	return true;
}

/* Loads it with that policy, unless it has it; a test that ended early may have left another. */
static void use_policy(const char *policy)
{
	char params[64], now[64];
	bool offered = policy_now(now);

	if (!strcmp(now, policy))
		return;
	if (!offered)
		SKIP("no parameter policy");
	snprintf(params, sizeof(params), "policy=%s", policy);
	reload(params);
}

/* As it was found. */
static void leave(void)
{
	reload("");
}

/* A pipe's other side goes on with one byte. */
static void say(int fd)
{
	SAFE(write(fd, "x", 1));
}

static void await(int fd)
{
	char byte;

	ASSERT_EQ(read(fd, &byte, 1), 1);
}

static int exit_status(pid_t pid)
{
	int status;

	SAFE(waitpid(pid, &status, 0));
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static bool true_before(long long end, bool (*condition)(const void *), const void *arg)
{
	const struct timespec pause = { .tv_nsec = 200000 };

	while (!condition(arg)) {
		if (now_ms() > end)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* The call that the task sleeps in, as the kernel says, or -1. */
static int sleeps_in(pid_t tid)
{
	char path[64], text[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	f = fopen(path, "re");
	if (f) {
		if (!fgets(text, sizeof(text), f))
			text[0] = '\0';
		fclose(f);
	}
	return text[0] >= '0' && text[0] <= '9' ? atoi(text) : -1;
}

static bool sleeps_in_open(const void *arg)
{
	return sleeps_in(*(const pid_t *)arg) == SYS_openat;
}

static void await_sleep(pid_t tid)
{
	ASSERT_TRUE(true_before(now_ms() + LOST_AFTER_MS, sleeps_in_open, &tid));
}

/* Lines */

TEST(the_nth_open_reads_n)
{
	int fd, i;

	reload("");
	for (i = 1; i <= 12; i++) {
		fd = open_node();
		EXPECT_EQ(times(fd), i);
		EXPECT_EQ(times(fd), i);
		close(fd);
	}
}

TEST(the_line_is_the_published_one)
{
	static const char line[] = "This is my 1 times saying Hello World!\n";
	char got[100];
	int fd;

	reload("");
	fd = open_node();
	EXPECT_EQ(read(fd, got, sizeof(got)), sizeof(line) - 1);
	EXPECT_EQ(memcmp(got, line, sizeof(line) - 1), 0);
}

TEST(an_open_that_is_refused_is_not_counted)
{
	unsigned long long n;
	int fd, i;

	use_policy("busy");
	fd = open_node();
	n = times(fd);
	for (i = 0; i < 5; i++)
		expect_refused("while open", EBUSY);
	close(fd);
	fd = open_node();
	EXPECT_EQ(times(fd), n + 1);
}

/* That there is no page cache to go round the kernel finds out after the driver's open. */
TEST(an_open_with_O_DIRECT_is_EINVAL_and_not_counted)
{
	unsigned long long n;
	int fd;

	use_policy("busy");
	fd = open_node();
	n = times(fd);
	close(fd);
	EXPECT_EQ(try_open(O_RDONLY | O_DIRECT), -EINVAL);
	fd = open_node();
	EXPECT_EQ(times(fd), n + 1);
	EXPECT_EQ(try_open(O_RDONLY | O_DIRECT), -EINVAL);
	expect_refused("while open", EBUSY);
}

TEST(a_short_buffer_gets_a_part_and_the_next_read_the_rest)
{
	char whole[GREETER_LINE_MAX], parts[GREETER_LINE_MAX];
	int fd = open_node();
	ssize_t len = SAFE(pread(fd, whole, sizeof(whole), 0)), at, n;

	for (at = 0; at < len; at++)
		ASSERT_EQ(read(fd, parts + at, 1), 1);
	EXPECT_EQ(memcmp(whole, parts, len), 0);
	EXPECT_EQ(read(fd, parts, 1), 0);
	EXPECT_EQ(read(fd, parts, sizeof(parts)), 0);

	/* And in pieces that do not come out even. */
	EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
	memset(parts, 0, sizeof(parts));
	for (at = 0; at < len; at += n)
		ASSERT_GE(n = read(fd, parts + at, 17), 1);
	EXPECT_EQ(memcmp(whole, parts, len), 0);
}

TEST(a_read_at_a_position_gives_the_line_from_there_and_0_past_its_end)
{
	char whole[GREETER_LINE_MAX], part[GREETER_LINE_MAX];
	int fd = open_node();
	ssize_t len = SAFE(pread(fd, whole, sizeof(whole), 0)), at;

	for (at = 0; at < len; at++) {
		ASSERT_EQ(pread(fd, part, sizeof(part), at), len - at);
		ASSERT_EQ(memcmp(part, whole + at, len - at), 0);
	}
	EXPECT_EQ(pread(fd, part, sizeof(part), len), 0);
	EXPECT_EQ(pread(fd, part, sizeof(part), len + 1), 0);
	EXPECT_EQ(pread(fd, part, sizeof(part), GREETER_LINE_MAX), 0);
	EXPECT_EQ(pread(fd, part, sizeof(part), 1LL << 32), 0);
	EXPECT_EQ(pread(fd, part, sizeof(part), INT64_MAX - 4096), 0);
	/* The descriptor's own position is still 0. */
	EXPECT_EQ(read(fd, part, sizeof(part)), len);
	EXPECT_EQ(lseek(fd, 0, SEEK_END), len);
	EXPECT_EQ(lseek(fd, 3, SEEK_SET), 3);
	EXPECT_EQ(read(fd, part, sizeof(part)), len - 3);
}

TEST(a_buffer_that_ends_in_unmapped_memory_gets_a_part_or_EFAULT_and_loses_nothing)
{
	size_t page = sysconf(_SC_PAGESIZE);
	char *map = SAFE(
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	char whole[GREETER_LINE_MAX], rest[GREETER_LINE_MAX];
	int fd = open_node();
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

TEST(a_read_with_RWF_NOWAIT_gives_the_line_too)
{
	char line[GREETER_LINE_MAX], other[GREETER_LINE_MAX];
	struct iovec iov = { .iov_base = other, .iov_len = sizeof(other) };
	int fd = open_node();
	ssize_t len = SAFE(pread(fd, line, sizeof(line), 0)), n;

	n = preadv2(fd, &iov, 1, 0, RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP)
		SKIP("RWF_NOWAIT is not offered");
	EXPECT_EQ(n, len);
	EXPECT_EQ(memcmp(line, other, len), 0);
}

TEST(splice_gives_the_line_too)
{
	char line[GREETER_LINE_MAX], other[GREETER_LINE_MAX];
	int fd = open_node(), ends[2];
	ssize_t len = SAFE(pread(fd, line, sizeof(line), 0));

	SAFE(pipe2(ends, O_CLOEXEC));
	EXPECT_EQ(splice(fd, NULL, ends[1], NULL, 4096, 0), len);
	EXPECT_EQ(splice(fd, NULL, ends[1], NULL, 4096, 0), 0);
	memset(other, 0, sizeof(other));
	EXPECT_EQ(read(ends[0], other, sizeof(other)), len);
	EXPECT_EQ(memcmp(line, other, len), 0);
}

TEST(a_write_is_EINVAL)
{
	int fd = SAFE(open(NODE, O_RDWR | O_CLOEXEC));

	EXPECT_ERR(write(fd, "x", 1), EINVAL);
	EXPECT_ERR(write(fd, "", 0), EINVAL);
	EXPECT_ERR(pwrite(fd, "x", 1, 3), EINVAL);
	close(fd);
	fd = SAFE(open(NODE, O_WRONLY | O_CLOEXEC));
	EXPECT_ERR(write(fd, "x", 1), EINVAL);
}

/* Who has it */

TEST(a_second_open_is_EBUSY_in_every_mode_and_close_frees_it)
{
	static const int flags[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_NONBLOCK,
				     O_RDWR | O_NONBLOCK };
	size_t i, k;
	int fd;

	use_policy("busy");
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		fd = try_open(flags[i]);
		ASSERT_GE(fd, 0);
		for (k = 0; k < sizeof(flags) / sizeof(flags[0]); k++)
			EXPECT_EQ(try_open(flags[k]), -EBUSY);
		close(fd);
		expect_free("after close");
	}
}

TEST(a_node_of_another_name_is_the_same_device)
{
	struct stat st;
	int fd;

	use_policy("busy");
	SAFE(stat(NODE, &st));
	unlink("/dev/greeter-test");
	SAFE(mknod("/dev/greeter-test", S_IFCHR | 0600, st.st_rdev));
	fd = open("/dev/greeter-test", O_RDONLY);
	unlink("/dev/greeter-test");
	ASSERT_GE(fd, 0);
	expect_refused("while open by another name", EBUSY);
	close(fd);
}

TEST(looking_at_the_node_does_not_take_it)
{
	struct stat st;
	int path;

	use_policy("busy");
	path = SAFE(open(NODE, O_PATH | O_CLOEXEC));
	SAFE(stat(NODE, &st));
	expect_free("with an O_PATH descriptor");
	close(path);
}

TEST(a_duplicate_keeps_it_until_the_last_one_is_closed)
{
	int fd, copy, third;

	use_policy("busy");
	fd = open_node();
	copy = SAFE(dup(fd));
	third = SAFE(fcntl(fd, F_DUPFD_CLOEXEC, 100));
	close(fd);
	expect_refused("with two duplicates left", EBUSY);
	close(third);
	expect_refused("with one duplicate left", EBUSY);
	EXPECT_GE(times(copy), 1);
	close(copy);
	expect_free("after the last close");
}

TEST(a_mapping_of_nothing_and_a_failed_call_do_not_free_it)
{
	int fd;

	use_policy("busy");
	fd = open_node();
	EXPECT_ERR(write(fd, "x", 1), EBADF);
	EXPECT_TRUE(mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	expect_refused("after calls that failed", EBUSY);
	close(fd);
}

TEST(a_forked_child_keeps_it_after_the_parent_closed_it)
{
	int go[2], fd, status;
	pid_t pid;

	use_policy("busy");
	SAFE(pipe2(go, O_CLOEXEC));
	fd = open_node();
	pid = SAFE(fork());
	if (!pid) {
		await(go[0]);
		EXPECT_GE(times(fd), 1);
		test_end();
	}
	close(fd);
	expect_refused("while the child has it", EBUSY);
	say(go[1]);
	status = exit_status(pid);
	EXPECT_EQ(status, 0);
	expect_free("after the child's end");
}

TEST(a_parent_keeps_it_after_the_child_that_opened_nothing_ended)
{
	int fd;
	pid_t pid;

	use_policy("busy");
	fd = open_node();
	pid = SAFE(fork());
	if (!pid) {
		close(fd);
		_exit(0);
	}
	EXPECT_EQ(exit_status(pid), 0);
	expect_refused("after the child's close and end", EBUSY);
	EXPECT_GE(times(fd), 1);
	close(fd);
	expect_free("after the parent's close");
}

TEST(a_process_that_is_killed_frees_it)
{
	int ready[2], i;
	pid_t pid;

	use_policy("busy");
	SAFE(pipe2(ready, O_CLOEXEC));
	for (i = 0; i < 3; i++) {
		pid = SAFE(fork());
		if (!pid) {
			open_node();
			say(ready[1]);
			pause();
		}
		await(ready[0]);
		expect_refused("while the child has it", EBUSY);
		SAFE(kill(pid, SIGKILL));
		EXPECT_EQ(exit_status(pid), -SIGKILL);
		expect_free("after the child was killed");
	}
}

TEST(exec_keeps_it_unless_the_descriptor_is_closed_by_it)
{
	int go[2], ready[2], fd, keep;
	char arg[64];
	pid_t pid;

	use_policy("busy");
	for (keep = 0; keep < 2; keep++) {
		SAFE(pipe(go));
		SAFE(pipe(ready));
		fd = SAFE(open(NODE, O_RDONLY | (keep ? 0 : O_CLOEXEC)));
		pid = SAFE(fork());
		if (!pid) {
			close(go[1]);
			snprintf(arg, sizeof(arg), "%d,%d,%d", go[0], ready[1], keep ? fd : -1);
			execl(self, self, "--after-exec", arg, NULL);
			_exit(127);
		}
		close(fd);
		close(go[0]);
		close(ready[1]);
		await(ready[0]);
		if (keep)
			expect_refused("while the new program has it", EBUSY);
		else
			expect_free("after exec closed it");
		close(go[1]);
		EXPECT_EQ(exit_status(pid), 0);
		expect_free("after the new program's end");
		close(ready[0]);
	}
}

/* The other side of the exec. */
static int after_exec(const char *arg)
{
	char line[GREETER_LINE_MAX];
	int go, ready, fd;

	if (sscanf(arg, "%d,%d,%d", &go, &ready, &fd) != 3)
		return 2;
	if (write(ready, "x", 1) != 1)
		return 3;
	/* Until the other side is closed. */
	if (read(go, line, 1))
		return 4;
	return fd >= 0 && pread(fd, line, sizeof(line), 0) <= 0;
}

/* Room for one descriptor's control message, aligned as it has to be. */
union descriptor_message {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

static void send_descriptor(int sock, int fd)
{
	union descriptor_message control = { 0 };
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	SAFE(sendmsg(sock, &msg, 0));
}

static int receive_descriptor(int sock)
{
	union descriptor_message control = { 0 };
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	int fd = -1;

	SAFE(recvmsg(sock, &msg, MSG_CMSG_CLOEXEC));
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	ASSERT_GE(fd, 0);
	return fd;
}

TEST(a_descriptor_passed_over_a_socket_keeps_it_on_the_way_and_at_the_other_end)
{
	int pair[2], go[2], ready[2], fd;
	pid_t pid;

	use_policy("busy");
	SAFE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	SAFE(pipe2(go, O_CLOEXEC));
	SAFE(pipe2(ready, O_CLOEXEC));
	pid = SAFE(fork());
	if (!pid) {
		close(pair[0]);
		await(go[0]);
		fd = receive_descriptor(pair[1]);
		say(ready[1]);
		await(go[0]);
		EXPECT_GE(times(fd), 1);
		test_end();
	}
	close(pair[1]);
	fd = open_node();
	send_descriptor(pair[0], fd);
	close(fd);
	expect_refused("on its way, in nobody's table", EBUSY);
	say(go[1]);
	await(ready[0]);
	expect_refused("at the other end", EBUSY);
	say(go[1]);
	EXPECT_EQ(exit_status(pid), 0);
	expect_free("after the receiver's end");
}

TEST(a_descriptor_that_is_lost_on_its_way_over_a_socket_frees_it)
{
	int pair[2], fd;

	use_policy("busy");
	SAFE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	fd = open_node();
	send_descriptor(pair[0], fd);
	close(fd);
	expect_refused("on its way", EBUSY);
	close(pair[0]);
	close(pair[1]);
	expect_free("after the socket's end");
}

/* How long a race goes on; a window of a few instructions needs many tries to be hit. */
#define RACE_MS 400
#define RACERS	2

/* What the racers share. */
struct race {
	int flags;
	long long end;
	atomic_int inside;	    /* who has it open */
	atomic_uint opens, refused; /* in all */
	atomic_uint threads;	    /* numbers the racers */
};

/* Puts the calling thread on a CPU of its own, as far as there are. */
static void use_cpu(unsigned int nr)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(nr % sysconf(_SC_NPROCESSORS_ONLN), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *race_open(void *arg)
{
	struct race *r = arg;
	unsigned int tries;

	use_cpu(atomic_fetch_add(&r->threads, 1));
	for (tries = 0; tries % 64 || now_ms() < r->end; tries++) {
		int fd = try_open(r->flags);

		if (fd == -EBUSY || fd == -EAGAIN) {
			atomic_fetch_add(&r->refused, 1);
			continue;
		}
		if (fd < 0)
			test_fail(__FILE__, __LINE__, "open: %s", errno_name(-fd));
		ASSERT_GE(fd, 0);
		/* Before the close: the next one comes in during that. */
		ASSERT_EQ(atomic_fetch_add(&r->inside, 1), 0);
		/* Some time to be seen in. */
		ASSERT_GE(times(fd), 1);
		atomic_fetch_add(&r->opens, 1);
		atomic_fetch_sub(&r->inside, 1);
		close(fd);
	}
	return NULL;
}

/* Threads that open and close: no two have it at once, and as many are counted as succeeded. */
static void race(int flags)
{
	struct race r = { .flags = flags, .end = now_ms() + RACE_MS };
	pthread_t threads[RACERS];
	unsigned long long from;
	int fd, i;

	fd = open_node();
	from = times(fd);
	close(fd);
	for (i = 0; i < RACERS; i++)
		ASSERT_EQ(pthread_create(&threads[i], NULL, race_open, &r), 0);
	for (i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	fd = open_node();
	EXPECT_EQ(times(fd), from + 1 + atomic_load(&r.opens));
	close(fd);
	test_note("%u opens, %u were refused", atomic_load(&r.opens), atomic_load(&r.refused));
}

/* Passes of an empty loop by which the two start apart, to and fro. */
#define RACE_SKEW 64

/* Two threads that open at the same moment, round after round. */
struct rounds {
	long long end;
	atomic_uint threads; /* numbers the racers */
	atomic_uint arrived; /* at a meeting point, in all */
	atomic_uint last;    /* round, once it is known */
	atomic_uint opens;   /* that succeeded */
};

/* Spins, as both have a CPU of their own; where the host has fewer, yielding lets the other run. */
static void meet(struct rounds *r)
{
	unsigned int both = (atomic_fetch_add(&r->arrived, 1) / 2 + 1) * 2, tries = 0;

	while (atomic_load(&r->arrived) < both)
		if (++tries % 1024 == 0)
			sched_yield();
}

static void *open_each_round(void *arg)
{
	struct rounds *r = arg;
	unsigned int me = atomic_fetch_add(&r->threads, 1), round;
	volatile unsigned int skew;
	int fd;

	use_cpu(me);
	for (round = 1; atomic_load(&r->last) != round - 1 || round == 1; round++) {
		if (!me && now_ms() > r->end)
			atomic_store(&r->last, round);
		meet(r);
		for (skew = me ? RACE_SKEW / 2 : round % RACE_SKEW; skew; skew--)
			;
		fd = try_open(O_RDONLY);
		if (fd >= 0)
			atomic_fetch_add(&r->opens, 1);
		else if (fd != -EBUSY)
			test_fail(__FILE__, __LINE__, "open: %s", errno_name(-fd));
		/* It is held until the other one has tried, too. */
		meet(r);
		if (!me)
			ASSERT_EQ(atomic_load(&r->opens), round);
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

TEST(of_two_opens_at_the_same_moment_one_succeeds)
{
	struct rounds r = { .end = now_ms() + RACE_MS };
	pthread_t threads[2];
	int i;

	use_policy("busy");
	for (i = 0; i < 2; i++)
		ASSERT_EQ(pthread_create(&threads[i], NULL, open_each_round, &r), 0);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	test_note("%u rounds", atomic_load(&r.last));
}

TEST(of_racing_opens_one_at_a_time_succeeds_and_is_counted)
{
	use_policy("busy");
	race(O_RDONLY);
}

/* Policy wait */

/* A child that opens, waiting if need be; with what it got it ends when told to. */
struct waiter {
	pid_t pid;
	int opened[2]; /* a byte: 0, or the errno of open */
	int go[2];
};

static void on_signal(int sig)
{
	(void)sig;
}

/* In a forked child: gives up what it inherited. */
static void let_go(void)
{
	struct stat device, st;
	int fd;

	SAFE(stat(NODE, &device));
	for (fd = STDERR_FILENO + 1; fd < 64; fd++)
		if (!fstat(fd, &st) && S_ISCHR(st.st_mode) && st.st_rdev == device.st_rdev)
			close(fd);
}

static struct waiter start_waiter(int sa_flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = sa_flags };
	struct waiter w;

	SAFE(pipe2(w.opened, O_CLOEXEC));
	SAFE(pipe2(w.go, O_CLOEXEC));
	w.pid = SAFE(fork());
	if (!w.pid) {
		unsigned char err;
		int fd;

		let_go();
		sigaction(SIGUSR1, &sa, NULL);
		fd = try_open(O_RDONLY);
		err = fd < 0 ? -fd : 0;
		if (write(w.opened[1], &err, 1) == 1 && read(w.go[0], &err, 1) == 1)
			_exit(0);
		_exit(1);
	}
	return w;
}

/* The result of its open. */
static int waiter_opened(const struct waiter *w)
{
	unsigned char err;

	ASSERT_EQ(read(w->opened[0], &err, 1), 1);
	return err;
}

static void end_waiter(const struct waiter *w)
{
	say(w->go[1]);
	EXPECT_EQ(exit_status(w->pid), 0);
}

/* How many of the waiters sleep in open. */
static int asleep(const struct waiter *w, int n)
{
	int i, count = 0;

	for (i = 0; i < n; i++)
		count += sleeps_in_open(&w[i].pid);
	return count;
}

TEST(with_policy_wait_a_second_open_that_must_not_block_is_EAGAIN)
{
	int fd;

	use_policy("wait");
	fd = open_node();
	EXPECT_EQ(try_open(O_RDONLY | O_NONBLOCK), -EAGAIN);
	EXPECT_EQ(try_open(O_RDWR | O_NONBLOCK), -EAGAIN);
	close(fd);
	fd = try_open(O_RDONLY | O_NONBLOCK);
	EXPECT_GE(fd, 0);
	close(fd);
	leave();
}

TEST(with_policy_wait_a_second_open_waits_until_the_last_close)
{
	struct waiter w;
	unsigned long long n;
	int fd, copy;

	use_policy("wait");
	fd = open_node();
	n = times(fd);
	copy = SAFE(dup(fd));
	w = start_waiter(0);
	await_sleep(w.pid);
	close(fd);
	expect_refused("with a duplicate left", EAGAIN);
	EXPECT_TRUE(sleeps_in_open(&w.pid));
	close(copy);
	EXPECT_EQ(waiter_opened(&w), 0);
	expect_refused("while the one who waited has it", EAGAIN);
	end_waiter(&w);
	fd = open_node();
	EXPECT_EQ(times(fd), n + 2);
	close(fd);
	leave();
}

TEST(with_policy_wait_a_release_lets_in_exactly_one)
{
	struct waiter w[3];
	int fd, i, k, in;

	use_policy("wait");
	fd = open_node();
	for (i = 0; i < 3; i++) {
		w[i] = start_waiter(0);
		await_sleep(w[i].pid);
	}
	close(fd);
	/* They queue up: who came first is let in first, when nobody comes from aside. */
	for (in = 0; in < 3; in++) {
		EXPECT_EQ(waiter_opened(&w[in]), 0);
		expect_refused("while one has it", EAGAIN);
		for (k = in + 1; k < 3; k++)
			await_sleep(w[k].pid);
		EXPECT_EQ(asleep(w + in + 1, 2 - in), 2 - in);
		end_waiter(&w[in]);
	}
	expect_free("after all");
	leave();
}

TEST(with_policy_wait_a_signal_ends_the_waiting_with_EINTR)
{
	struct waiter w;
	int fd;

	use_policy("wait");
	fd = open_node();
	w = start_waiter(0);
	await_sleep(w.pid);
	SAFE(kill(w.pid, SIGUSR1));
	EXPECT_EQ(waiter_opened(&w), EINTR);
	expect_refused("after the signal", EAGAIN);
	end_waiter(&w);
	close(fd);
	expect_free("after close");
	leave();
}

TEST(with_policy_wait_the_waiting_goes_on_after_a_handler_with_SA_RESTART)
{
	struct waiter w;
	int fd;

	use_policy("wait");
	fd = open_node();
	w = start_waiter(SA_RESTART);
	await_sleep(w.pid);
	SAFE(kill(w.pid, SIGUSR1));
	await_sleep(w.pid);
	close(fd);
	EXPECT_EQ(waiter_opened(&w), 0);
	end_waiter(&w);
	leave();
}

TEST(with_policy_wait_SIGKILL_ends_one_who_waits_and_the_next_is_let_in)
{
	struct waiter w[2];
	int fd, i;

	use_policy("wait");
	fd = open_node();
	for (i = 0; i < 2; i++) {
		w[i] = start_waiter(0);
		await_sleep(w[i].pid);
	}
	SAFE(kill(w[0].pid, SIGKILL));
	EXPECT_EQ(exit_status(w[0].pid), -SIGKILL);
	close(fd);
	EXPECT_EQ(waiter_opened(&w[1]), 0);
	end_waiter(&w[1]);
	leave();
}

/* The number of a misc device: theirs is the lock that a waiting open would hold. */
static unsigned int any_misc_minor(void)
{
	unsigned int nr = 0, found = 0;
	char name[100];
	FILE *f = fopen("/proc/misc", "re");

	ASSERT_TRUE(f != NULL);
	/* One that any number of processes can have open, and that does nothing at open. */
	while (fscanf(f, "%u %99s", &nr, name) == 2)
		if (!strcmp(name, "cpu_dma_latency") || !strcmp(name, "rfkill") ||
		    !strcmp(name, "vga_arbiter") || !strcmp(name, "udmabuf"))
			found = nr;
	fclose(f);
	return found;
}

TEST(with_policy_wait_the_opens_of_other_devices_do_not_wait_too)
{
	unsigned int minor_nr = any_misc_minor();
	struct waiter w;
	int fd, other;

	if (!minor_nr)
		SKIP("no misc device that can be opened");
	use_policy("wait");
	fd = open_node();
	w = start_waiter(0);
	await_sleep(w.pid);
	unlink("/dev/greeter-misc");
	SAFE(mknod("/dev/greeter-misc", S_IFCHR | 0600, makedev(10, minor_nr)));
	/* The harness's time limit ends it if it hangs. */
	other = open("/dev/greeter-misc", O_RDONLY | O_CLOEXEC);
	unlink("/dev/greeter-misc");
	EXPECT_GE(other, 0);
	EXPECT_TRUE(sleeps_in_open(&w.pid));
	close(other);
	close(fd);
	EXPECT_EQ(waiter_opened(&w), 0);
	end_waiter(&w);
	leave();
}

TEST(with_policy_wait_the_module_stays_while_one_waits)
{
	struct waiter w;
	int fd;

	use_policy("wait");
	fd = open_node();
	w = start_waiter(0);
	await_sleep(w.pid);
	EXPECT_EQ(module_unload(MODULE), -EAGAIN);
	close(fd);
	EXPECT_EQ(waiter_opened(&w), 0);
	EXPECT_EQ(module_unload(MODULE), -EAGAIN);
	end_waiter(&w);
	leave();
}

TEST_WITH_TIMEOUT(with_policy_wait_racing_opens_have_it_one_at_a_time, 20)
{
	use_policy("wait");
	race(O_RDONLY);
	leave();
}

/* The passes of an empty loop that take longer than an open, here. */
#define DELAY_MAX 4000

/* Who opens while the other one closes. Rounds are numbered from 1. */
struct pair {
	atomic_uint begun, done;
	atomic_bool over;
};

/* Spins, as both have a CPU of their own; where the host has fewer, yielding lets the other run. */
static void await_count(atomic_uint *count, unsigned int n)
{
	unsigned int tries = 0;

	while (atomic_load(count) < n)
		if (++tries % 1024 == 0)
			sched_yield();
}

static void *open_each_release(void *arg)
{
	struct pair *p = arg;
	unsigned int round;

	use_cpu(1);
	for (round = 1;; round++) {
		int fd;

		await_count(&p->begun, round);
		if (atomic_load(&p->over))
			return NULL;
		fd = try_open(O_RDONLY);
		ASSERT_GE(fd, 0);
		close(fd);
		atomic_store(&p->done, round);
	}
}

/*
 * Nobody else comes who would be let in later and wake up the one who was forgotten: that one
 * hangs, and the test with it.
 */
TEST_WITH_TIMEOUT(with_policy_wait_a_release_at_any_moment_of_an_open_wakes_it_up, 20)
{
	volatile unsigned int delay;
	struct pair p = { 0 };
	unsigned int round;
	pthread_t thread;
	long long end;
	int fd;

	use_policy("wait");
	ASSERT_EQ(pthread_create(&thread, NULL, open_each_release, &p), 0);
	use_cpu(0);
	end = now_ms() + RACE_MS;
	for (round = 1; now_ms() < end; round++) {
		fd = open_node();
		atomic_store(&p.begun, round);
		for (delay = round * 37 % DELAY_MAX; delay; delay--)
			;
		close(fd);
		await_count(&p.done, round);
	}
	atomic_store(&p.over, true);
	atomic_store(&p.begun, round);
	pthread_join(thread, NULL);
	test_note("%u rounds", round - 1);
	leave();
}

/* One of two who wait. */
struct interrupted {
	atomic_int tid; /* once it runs */
	int result;	/* of open */
};

static void *open_once(void *arg)
{
	struct interrupted *who = arg;

	atomic_store(&who->tid, gettid());
	who->result = try_open(O_RDONLY);
	if (who->result >= 0)
		close(who->result);
	return NULL;
}

#define INTERRUPT_ROUNDS 150

TEST_WITH_TIMEOUT(with_policy_wait_a_wake_up_is_not_lost_with_one_who_is_interrupted, 20)
{
	struct sigaction sa = { .sa_handler = on_signal };
	unsigned int round, interrupted = 0, opened = 0;
	int i, fd;

	use_policy("wait");
	sigaction(SIGUSR1, &sa, NULL);
	for (round = 0; round < INTERRUPT_ROUNDS; round++) {
		struct interrupted who[2] = { 0 };
		pthread_t threads[2];

		fd = open_node();
		for (i = 0; i < 2; i++) {
			ASSERT_EQ(pthread_create(&threads[i], NULL, open_once, &who[i]), 0);
			while (!atomic_load(&who[i].tid))
				sched_yield();
			await_sleep(atomic_load(&who[i].tid));
		}
		/* The first is to be woken up by the release, and interrupted, in either order. */
		if (round % 2) {
			pthread_kill(threads[0], SIGUSR1);
			close(fd);
		} else {
			close(fd);
			pthread_kill(threads[0], SIGUSR1);
		}
		for (i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
		if (who[0].result == -EINTR)
			interrupted++;
		else if (who[0].result >= 0)
			opened++;
		else
			test_fail(__FILE__, __LINE__, "open: %s", errno_name(-who[0].result));
		ASSERT_GE(who[1].result, 0);
	}
	test_note("of %u, %u were interrupted, %u got it", round, interrupted, opened);
	leave();
}

/* Policy uid */

static void set_capability(int cap, bool on)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	SAFE(syscall(SYS_capget, &header, data));
	if (on)
		data[0].effective |= 1U << cap;
	else
		data[0].effective &= ~(1U << cap);
	SAFE(syscall(SYS_capset, &header, data));
}

/* Who a child is. */
struct who {
	uid_t real, effective, saved;
	bool override;	  /* has CAP_DAC_OVERRIDE though not root */
	bool no_override; /* has it not though root */
};

static void become(const struct who *who)
{
	if (who->override)
		SAFE(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	SAFE(setresuid(who->real, who->effective, who->saved));
	if (who->override)
		set_capability(CAP_DAC_OVERRIDE, true);
	if (who->no_override)
		set_capability(CAP_DAC_OVERRIDE, false);
}

static struct who user(uid_t uid)
{
	return (struct who){ .real = uid, .effective = uid, .saved = uid };
}

/* What an open by a child that is @who gives: 0 or the errno. It is closed again. */
static int open_as_who(struct who who)
{
	pid_t pid = SAFE(fork());

	if (!pid) {
		int fd;

		become(&who);
		fd = try_open(O_RDONLY);
		_exit(fd < 0 ? -fd : 0);
	}
	return exit_status(pid);
}

static int open_as(uid_t uid)
{
	return open_as_who(user(uid));
}

/* A child that is @who and has it open until it is let go. */
static struct waiter hold_as_who(struct who who)
{
	struct waiter w;

	SAFE(pipe2(w.opened, O_CLOEXEC));
	SAFE(pipe2(w.go, O_CLOEXEC));
	w.pid = SAFE(fork());
	if (!w.pid) {
		unsigned char err;
		int fd;

		become(&who);
		fd = try_open(O_RDONLY);
		err = fd < 0 ? -fd : 0;
		if (write(w.opened[1], &err, 1) == 1 && read(w.go[0], &err, 1) == 1)
			_exit(0);
		_exit(1);
	}
	ASSERT_EQ(waiter_opened(&w), 0);
	return w;
}

static struct waiter hold_as(uid_t uid)
{
	return hold_as_who(user(uid));
}

TEST(with_policy_uid_the_same_user_may_open_it_again_and_another_is_EBUSY)
{
	struct waiter w;

	use_policy("uid");
	w = hold_as(ALICE);
	EXPECT_EQ(open_as(ALICE), 0);
	EXPECT_EQ(open_as(BOB), EBUSY);
	EXPECT_EQ(open_as(ALICE), 0);
	end_waiter(&w);
	/* And with the users exchanged. */
	w = hold_as(BOB);
	EXPECT_EQ(open_as(BOB), 0);
	EXPECT_EQ(open_as(ALICE), EBUSY);
	end_waiter(&w);
	leave();
}

TEST(with_policy_uid_a_refusal_is_EBUSY_also_where_the_open_must_not_block)
{
	struct waiter w;
	pid_t pid;

	use_policy("uid");
	w = hold_as(ALICE);
	pid = SAFE(fork());
	if (!pid) {
		struct who bob = user(BOB);

		become(&bob);
		_exit(try_open(O_RDONLY | O_NONBLOCK) == -EBUSY ? 0 : 1);
	}
	EXPECT_EQ(exit_status(pid), 0);
	end_waiter(&w);
	leave();
}

TEST(with_policy_uid_it_is_free_for_others_after_the_users_last_close)
{
	struct waiter first, second;

	use_policy("uid");
	first = hold_as(ALICE);
	second = hold_as(ALICE);
	EXPECT_EQ(open_as(BOB), EBUSY);
	end_waiter(&first);
	EXPECT_EQ(open_as(BOB), EBUSY);
	EXPECT_EQ(open_as(ALICE), 0);
	end_waiter(&second);
	EXPECT_EQ(open_as(BOB), 0);
	EXPECT_EQ(open_as(ALICE), 0);
	leave();
}

TEST(with_policy_uid_it_belongs_to_the_real_user_of_the_first_open)
{
	struct waiter w;

	use_policy("uid");
	w = hold_as_who((struct who){ .real = ALICE, .effective = BOB, .saved = BOB });
	EXPECT_EQ(open_as(ALICE), 0);
	EXPECT_EQ(open_as(BOB), EBUSY);
	end_waiter(&w);
	leave();
}

TEST(with_policy_uid_who_acts_as_the_user_may_open_it)
{
	struct waiter w;

	use_policy("uid");
	w = hold_as(ALICE);
	/* By the effective user: what su and set-user-ID programs change. */
	EXPECT_EQ(open_as_who((struct who){ .real = BOB, .effective = ALICE, .saved = BOB }), 0);
	/* By the real one. */
	EXPECT_EQ(open_as_who((struct who){ .real = ALICE, .effective = BOB, .saved = BOB }), 0);
	/* That it could change back is not enough. */
	EXPECT_EQ(open_as_who((struct who){ .real = BOB, .effective = BOB, .saved = ALICE }),
		  EBUSY);
	end_waiter(&w);
	leave();
}

TEST(with_policy_uid_CAP_DAC_OVERRIDE_may_open_it_and_root_without_it_may_not)
{
	struct who root = { 0 }, weak_root = { .no_override = true }, strong_bob = user(BOB);
	struct waiter w;

	use_policy("uid");
	strong_bob.override = true;
	w = hold_as(ALICE);
	EXPECT_EQ(open_as_who(root), 0);
	EXPECT_EQ(open_as_who(weak_root), EBUSY);
	EXPECT_EQ(open_as_who(strong_bob), 0);
	EXPECT_EQ(open_as(BOB), EBUSY);
	end_waiter(&w);
	leave();
}

TEST(with_policy_uid_who_was_let_in_does_not_become_the_owner)
{
	struct who root = { 0 };
	struct waiter alice, guest;

	use_policy("uid");
	alice = hold_as(ALICE);
	guest = hold_as_who(root);
	end_waiter(&alice);
	/* Root's open is left, under Alice's name. */
	EXPECT_EQ(open_as(ALICE), 0);
	EXPECT_EQ(open_as(BOB), EBUSY);
	end_waiter(&guest);
	EXPECT_EQ(open_as(BOB), 0);
	leave();
}

TEST(with_policy_uid_root_has_it_to_itself_like_any_user)
{
	struct who root = { 0 };
	struct waiter w;

	use_policy("uid");
	w = hold_as_who(root);
	EXPECT_EQ(open_as(ALICE), EBUSY);
	EXPECT_EQ(open_as_who(root), 0);
	end_waiter(&w);
	EXPECT_EQ(open_as(ALICE), 0);
	leave();
}

TEST(with_policy_uid_users_are_told_apart_by_all_bits_of_their_number)
{
	struct waiter w;

	use_policy("uid");
	w = hold_as(0xfffffffe);
	EXPECT_EQ(open_as(0xfffffffe), 0);
	EXPECT_EQ(open_as(0x7ffffffe), EBUSY);
	EXPECT_EQ(open_as(0xfffe), EBUSY);
	end_waiter(&w);
	w = hold_as(0x10000 + ALICE);
	EXPECT_EQ(open_as(ALICE), EBUSY);
	end_waiter(&w);
	leave();
}

TEST(with_policy_uid_opens_at_once_have_their_own_lines_and_positions)
{
	unsigned long long n;
	char byte;
	int a, b;

	use_policy("uid");
	a = open_node();
	b = open_node();
	n = times(a);
	EXPECT_EQ(times(b), n + 1);
	EXPECT_EQ(times(a), n);
	EXPECT_EQ(lseek(a, 5, SEEK_SET), 5);
	EXPECT_EQ(read(b, &byte, 1), 1);
	EXPECT_EQ(byte, 'T');
	EXPECT_EQ(lseek(a, 0, SEEK_CUR), 5);
	close(a);
	close(b);
	leave();
}

TEST(with_policy_uid_duplicates_and_children_count_as_one_open)
{
	struct who alice = user(ALICE);
	int ready[2], go[2];
	pid_t pid;

	use_policy("uid");
	SAFE(pipe2(ready, O_CLOEXEC));
	SAFE(pipe2(go, O_CLOEXEC));
	pid = SAFE(fork());
	if (!pid) {
		int fd, copy;

		become(&alice);
		fd = open_node();
		copy = SAFE(dup(fd));
		close(fd);
		say(ready[1]);
		await(go[0]);
		close(copy);
		say(ready[1]);
		await(go[0]);
		test_end();
	}
	await(ready[0]);
	EXPECT_EQ(open_as(BOB), EBUSY);
	say(go[1]);
	await(ready[0]);
	EXPECT_EQ(open_as(BOB), 0);
	say(go[1]);
	EXPECT_EQ(exit_status(pid), 0);
	leave();
}

struct user_race {
	atomic_int inside[2]; /* opens of each user */
	atomic_uint opens[2];
	atomic_int failures;
	atomic_bool over;
};

static void race_as(struct user_race *r, int side, unsigned int nr)
{
	struct who me = user(side ? BOB : ALICE);
	int fd;

	become(&me);
	use_cpu(nr);
	while (!atomic_load(&r->over)) {
		fd = try_open(O_RDONLY);
		if (fd == -EBUSY)
			continue;
		if (fd < 0) {
			atomic_fetch_add(&r->failures, 1);
			break;
		}
		atomic_fetch_add(&r->inside[side], 1);
		if (atomic_load(&r->inside[!side]))
			atomic_fetch_add(&r->failures, 1);
		atomic_fetch_add(&r->opens[side], 1);
		atomic_fetch_sub(&r->inside[side], 1);
		close(fd);
	}
	_exit(0);
}

#define USER_RACE_OPENS 300

static bool user_race_done(const void *arg)
{
	const struct user_race *r = arg;

	return atomic_load(&r->opens[0]) >= USER_RACE_OPENS &&
	       atomic_load(&r->opens[1]) >= USER_RACE_OPENS;
}

TEST_WITH_TIMEOUT(with_policy_uid_racing_users_never_have_it_at_the_same_time, 20)
{
	struct user_race *r = SAFE(
		mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	pid_t pids[4];
	int i;

	use_policy("uid");
	for (i = 0; i < 4; i++) {
		pids[i] = SAFE(fork());
		if (!pids[i])
			race_as(r, i % 2, i / 2);
	}
	/* One side may have it for long: two processes overlap. */
	true_before(now_ms() + 1500, user_race_done, r);
	atomic_store(&r->over, true);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(exit_status(pids[i]), 0);
	EXPECT_EQ(atomic_load(&r->failures), 0);
	EXPECT_GE(atomic_load(&r->opens[0]) + atomic_load(&r->opens[1]), 1);
	test_note("%u and %u opens", atomic_load(&r->opens[0]), atomic_load(&r->opens[1]));
	/* What was taken was given back. */
	EXPECT_EQ(open_as(ALICE), 0);
	EXPECT_EQ(open_as(BOB), 0);
	leave();
}

/* Loading */

static void expect_load_refused(const char *param, const char *message)
{
	unsigned int before = log_count(message);
	int ret = module_load(MODULE, param);

	if (ret != -EINVAL) {
		test_fail(__FILE__, __LINE__, "%s: %d", param, ret);
		if (!ret)
			module_unload(MODULE);
	}
	EXPECT_EQ(log_count(message), before + 1);
	EXPECT_TRUE(access(NODE, F_OK));
}

TEST(a_policy_that_is_none_of_the_three_is_refused_with_a_message)
{
	static const char *const policies[] = { "", "b", "BUSY", "busy2", "wait,uid", "0", "none" };
	char param[100], message[100], now[64];
	size_t i;

	if (!policy_now(now))
		SKIP("no parameter policy");
	ASSERT_EQ(module_unload(MODULE), 0);
	for (i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		snprintf(param, sizeof(param), "policy=%s", policies[i]);
		snprintf(message, sizeof(message),
			 "%s: policy \"%s\": expected busy, wait or uid\n", MODULE, policies[i]);
		expect_load_refused(param, message);
	}
	ASSERT_EQ(module_load(MODULE, ""), 0);
}

TEST(a_mode_that_is_no_permission_is_refused_with_a_message)
{
	ASSERT_EQ(module_unload(MODULE), 0);
	expect_load_refused("mode=0", logged("mode 0: "));
	expect_load_refused("mode=0777", logged("mode 0777: "));
	expect_load_refused("mode=01444", logged("mode 01444: "));
	ASSERT_EQ(module_load(MODULE, ""), 0);
}

TEST(the_mode_is_that_of_the_node)
{
	struct stat st;

	SAFE(stat(NODE, &st));
	EXPECT_EQ(st.st_mode & 07777, GREETER_MODE_DEFAULT);
	reload("mode=0640");
	SAFE(stat(NODE, &st));
	EXPECT_EQ(st.st_mode & 07777, 0640);
	leave();
}

/* Whether a driver of that name has a number, a major one or that of a misc device. */
static bool has_number(void)
{
	static const char *const lists[] = { "/proc/devices", "/proc/misc" };
	char line[200], name[100];
	bool found = false;
	size_t i;
	int nr;
	FILE *f;

	for (i = 0; i < 2; i++) {
		f = fopen(lists[i], "re");
		ASSERT_TRUE(f != NULL);
		while (fgets(line, sizeof(line), f))
			found |= sscanf(line, "%d %99s", &nr, name) == 2 && !strcmp(name, MODULE);
		fclose(f);
	}
	return found;
}

TEST(unloading_leaves_nothing_and_loading_counts_from_1)
{
	const char *number;
	struct stat st;
	int fd;

	SAFE(stat(NODE, &st));
	number = text("/sys/dev/char/%u:%u", major(st.st_rdev), minor(st.st_rdev));
	EXPECT_TRUE(has_number());
	EXPECT_TRUE(!access(number, F_OK));
	ASSERT_EQ(module_unload(MODULE), 0);
	EXPECT_TRUE(!has_number());
	EXPECT_TRUE(access(number, F_OK));
	EXPECT_TRUE(access(NODE, F_OK));
	EXPECT_TRUE(access("/sys/class/" GREETER_NAME, F_OK));
	ASSERT_EQ(module_load(MODULE, ""), 0);
	fd = open_node();
	EXPECT_EQ(times(fd), 1);
}

TEST(one_line_is_logged_at_load_and_one_at_unload)
{
	char now[64], loaded[100];
	const char *policy = policy_now(now) ? "uid" : now;
	unsigned int all = log_count(logged("")), removed = log_count(logged("removed\n")), loads;

	snprintf(loaded, sizeof(loaded), "%s: %s, policy %s\n", MODULE, NODE, policy);
	loads = log_count(loaded);
	ASSERT_EQ(module_unload(MODULE), 0);
	EXPECT_EQ(log_count(logged("removed\n")), removed + 1);
	EXPECT_EQ(log_count(logged("")), all + 1);
	ASSERT_EQ(module_load(MODULE, policy == now ? "" : "policy=uid"), 0);
	EXPECT_EQ(log_count(loaded), loads + 1);
	EXPECT_EQ(log_count(logged("")), all + 2);
	leave();
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
	struct program_output o = program_run("%s", client(words));

	expect_failure(&o, status, err);
}

TEST(greeterctl_reads_the_line)
{
	struct program_output o;

	reload("");
	o = program_run("%s", client("read"));
	EXPECT_EQ(o.status, 0);
	EXPECT_EQ(strcmp(o.out, GREETER_LINE_BEGIN "1" GREETER_LINE_END), 0);
	o = program_run("greeterctl --json --device %s read", NODE);
	EXPECT_EQ(o.status, 0);
	EXPECT_EQ(strcmp(o.out, text("{\"device\":\"%s\",\"times\":2}\n", NODE)), 0);
	o = program_run("%s", client("hold --timeout 0.01"));
	EXPECT_EQ(o.status, 0);
	EXPECT_EQ(strcmp(o.out, GREETER_LINE_BEGIN "3" GREETER_LINE_END), 0);
}

/* Whatever a client waits with that has printed its line. */
static bool sleeps_after_its_line(const void *arg)
{
	int call = sleeps_in(*(const pid_t *)arg);

	return call >= 0 && call != SYS_write;
}

TEST(greeterctl_hold_keeps_it_until_an_interrupt_and_ends_with_0)
{
	static const int signals[] = { SIGINT, SIGTERM };
	char line[GREETER_LINE_MAX];
	int out[2];
	size_t i;
	pid_t pid;

	use_policy("busy");
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		SAFE(pipe2(out, O_CLOEXEC));
		pid = program_start(out[1], STDERR_FILENO, "%s", client("hold"));
		close(out[1]);
		ASSERT_GE(read(out[0], line, sizeof(line)), 1);
		expect_refused("while the client holds it", EBUSY);
		expect_client("read", 1,
			      text("%s: cannot open: Device or resource busy (another process",
				   NODE));
		/* Before it waits for one, a signal ends it as any program. */
		ASSERT_TRUE(true_before(now_ms() + LOST_AFTER_MS, sleeps_after_its_line, &pid));
		SAFE(kill(pid, signals[i]));
		EXPECT_EQ(exit_status(pid), 0);
		expect_free("after the client's end");
		close(out[0]);
	}
}

TEST(greeterctl_waits_or_says_that_it_would_have_to)
{
	struct program_output o;
	char line[GREETER_LINE_MAX];
	int fd, out[2];
	pid_t pid;

	use_policy("wait");
	fd = open_node();
	o = program_run("%s", client("--nonblock read"));
	expect_failure(&o, 1,
		       text("%s: cannot open: Resource temporarily unavailable (another", NODE));
	SAFE(pipe2(out, O_CLOEXEC));
	pid = program_start(out[1], STDERR_FILENO, "%s", client("read"));
	close(out[1]);
	await_sleep(pid);
	close(fd);
	EXPECT_GE(read(out[0], line, sizeof(line)), 1);
	EXPECT_EQ(exit_status(pid), 0);
	leave();
}

TEST(greeterctl_says_what_is_wrong_with_the_command_line)
{
	struct program_output o;

	expect_client("frobnicate", 2, "no command \"frobnicate\"");
	expect_client("--frobnicate read", 2, "unrecognized option");
	expect_client("read --device", 2, "requires an argument");
	expect_client("read twice", 2, "what is \"twice\"?");
	expect_client("hold --timeout soon", 2, "are no seconds");
	expect_client("read --timeout 1", 2, "belongs to hold");
	o = program_run("greeterctl");
	EXPECT_EQ(o.status, 2);
	EXPECT_TRUE(strstr(o.err, "usage:") == o.err);
	o = program_run("greeterctl --help");
	EXPECT_EQ(o.status, 0);
	EXPECT_TRUE(strstr(o.out, "usage:") == o.out);
}

TEST(greeterctl_says_what_is_wrong_with_the_device)
{
	struct program_output o;

	expect_client("--device /dev/greeter-none read", 1,
		      "/dev/greeter-none: cannot open: No such file or directory (is the module");
	expect_client("--device /dev/null read", 1, "/dev/null: not a greeter");
	SAFE(chmod(NODE, 0600));
	o = program_run_as(65534, "%s", client("read"));
	SAFE(chmod(NODE, GREETER_MODE_DEFAULT));
	expect_failure(&o, 1, text("%s: cannot open: Permission denied (", NODE));
}

int main(int argc, char **argv)
{
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[len > 0 ? len : 0] = '\0';
	if (argc == 3 && !strcmp(argv[1], "--after-exec"))
		return after_exec(argv[2]);
	return harness_main(argc, argv);
}
