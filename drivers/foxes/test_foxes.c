// SPDX-License-Identifier: GPL-2.0
/*
 * What the foxes promise beyond what every character device does: that there are exactly so many,
 * whole ones, whoever reads them, how, and whatever goes wrong meanwhile.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <limits.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "foxes.h"
#include "harness.h"

/* The foxes or their twin; run by hand, the first. */
#define DEFAULT_MODULE "foxes"
#define MODULE	       (*test_module() ? test_module() : DEFAULT_MODULE)
/* Bytes of a stream as the module is loaded by default. */
#define STREAM (FOXES_DEFAULT * FOXES_FOX_SIZE)
/* Nothing that a test waits for takes so long, whatever the machine is busy with. */
#define LATE_MS 5000

/* Lengths that end in every place of a fox. */
static const size_t odd_lengths[] = { 1, 2, 3, 5, 7 };

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

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

static int open_node(int flags)
{
	return SAFE(open(test_node(), flags | O_CLOEXEC));
}

/* Loads the module again with these parameters. */
static void use(const char *params)
{
	if (module_loaded(MODULE))
		ASSERT_EQ(module_unload(MODULE), 0);
	ASSERT_EQ(module_load(MODULE, params), 0);
}

static bool parameter_is(const char *name, const char *value)
{
	char now[32] = "";
	int fd;

	fd = open(text("/sys/module/%s/parameters/%s", MODULE, name), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, now, sizeof(now) - 1) < 0)
		now[0] = '\0';
	close(fd);
	now[strcspn(now, "\n")] = '\0';
	return !strcmp(now, value);
}

/* As driver.ini has it; a test that failed half way may have left it otherwise. */
static void use_default(void)
{
	if (!parameter_is("foxes", text("%d", FOXES_DEFAULT)) ||
	    !parameter_is("scope", FOXES_SCOPE_DEFAULT))
		use("");
}

/* Whether these are the bytes of a stream from byte @from on. */
static bool is_foxes(const void *bytes, size_t len, unsigned long long from)
{
	const unsigned char *at = bytes;
	size_t i;

	for (i = 0; i < len; i++) {
		if (at[i] != (unsigned char)FOXES_FOX[(from + i) % FOXES_FOX_SIZE])
			return false;
	}
	return true;
}

#define EXPECT_FOXES(bytes, len, from) EXPECT_TRUE(is_foxes(bytes, len, from))

/* Reads @len bytes of a stream whose byte @from is next; fails the test when it gets others. */
static void expect_read(int fd, size_t len, unsigned long long from)
{
	char buf[4096];

	memset(buf, 0x5a, sizeof(buf));
	EXPECT_EQ(read(fd, buf, len), len);
	EXPECT_FOXES(buf, len, from);
	EXPECT_EQ(buf[len], 0x5a);
}

static void expect_end(int fd)
{
	char buf[16];

	EXPECT_EQ(read(fd, buf, sizeof(buf)), 0);
	EXPECT_EQ(read(fd, buf, 1), 0);
}

/* Two pages, of which the second is gone. Returns its address. */
static char *hole(void)
{
	long page = sysconf(_SC_PAGESIZE);
	char *map =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_TRUE(map != MAP_FAILED);
	/* Not unmapped: another thread's mapping could take the place. */
	SAFE(mprotect(map + page, page, PROT_NONE));
	return map + page;
}

static pthread_t start(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, run, arg);

	if (err) {
		test_fail(__FILE__, __LINE__, "pthread_create: %s", errno_name(err));
		test_end();
	}
	return thread;
}

/* Puts the calling thread on a CPU of its own, as far as there are. */
static void use_cpu(unsigned int nr)
{
	cpu_set_t all, one;
	unsigned int cpu, n;

	CPU_ZERO(&all);
	SAFE(sched_getaffinity(0, sizeof(all), &all));
	nr %= CPU_COUNT(&all);
	for (cpu = 0, n = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all) || n++ != nr)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		SAFE(sched_setaffinity(0, sizeof(one), &one));
		return;
	}
}

static void on_signal(int sig)
{
	(void)sig;
}

static void handle_signals(int flags)
{
	const struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

	SAFE(sigaction(SIGUSR1, &action, NULL));
	SAFE(sigaction(SIGALRM, &action, NULL));
}

/* The stream */

TEST(an_open_delivers_200_foxes_and_then_the_end)
{
	char buf[2 * STREAM];
	int fd, i;

	use_default();
	fd = open_node(O_RDONLY);
	/* More than there is: the last read is short. */
	ASSERT_EQ(read(fd, buf, sizeof(buf)), 800);
	for (i = 0; i < 800; i += 4)
		ASSERT_TRUE(!memcmp(buf + i, "\xF0\x9F\xA6\x8A", 4));
	expect_end(fd);
	expect_end(fd);
}

TEST(each_open_has_foxes_of_its_own)
{
	int a, b;

	use_default();
	a = open_node(O_RDONLY);
	b = open_node(O_RDONLY);
	expect_read(a, 3, 0);
	expect_read(b, STREAM, 0);
	expect_end(b);
	expect_read(a, STREAM - 3, 3);
	expect_end(a);
	close(b);
	b = open_node(O_RDONLY);
	expect_read(b, STREAM, 0);
}

TEST(a_duplicate_and_a_forked_child_go_on_where_the_others_were)
{
	int fd, copy, status;
	pid_t pid;

	use_default();
	fd = open_node(O_RDONLY);
	copy = SAFE(dup(fd));
	expect_read(fd, 5, 0);
	expect_read(copy, 5, 5);
	pid = SAFE(fork());
	if (!pid) {
		expect_read(fd, 5, 10);
		test_end();
	}
	SAFE(waitpid(pid, &status, 0));
	close(fd);
	expect_read(copy, STREAM - 15, 15);
	expect_end(copy);
}

TEST(reads_of_1_2_3_5_and_7_bytes_give_the_same_stream)
{
	size_t i, at, len;
	int fd;

	use_default();
	for (i = 0; i < ARRAY_SIZE(odd_lengths); i++) {
		fd = open_node(O_RDONLY);
		for (at = 0; at < STREAM; at += len) {
			len = odd_lengths[i] < STREAM - at ? odd_lengths[i] : STREAM - at;
			expect_read(fd, len, at);
		}
		expect_end(fd);
		close(fd);
	}
}

TEST(a_read_across_the_end_returns_what_is_left)
{
	size_t left;
	char buf[16];
	int fd;

	use_default();
	for (left = 1; left < 10; left++) {
		fd = open_node(O_RDONLY);
		expect_read(fd, STREAM - left, 0);
		EXPECT_EQ(read(fd, buf, sizeof(buf)), left);
		EXPECT_FOXES(buf, left, STREAM - left);
		expect_end(fd);
		close(fd);
	}
}

TEST(segments_of_readv_may_split_foxes)
{
	char parts[6][8];
	struct iovec iov[6];
	size_t i, at = 0;
	int fd;

	use_default();
	fd = open_node(O_RDONLY);
	expect_read(fd, 2, 0);
	for (i = 0; i < ARRAY_SIZE(iov); i++) {
		iov[i].iov_base = parts[i];
		/* One of them has no room at all. */
		iov[i].iov_len = i == 3 ? 0 : odd_lengths[i < 3 ? i : i - 1];
		at += iov[i].iov_len;
	}
	EXPECT_EQ(readv(fd, iov, ARRAY_SIZE(iov)), at);
	for (i = 0, at = 2; i < ARRAY_SIZE(iov); at += iov[i++].iov_len)
		EXPECT_FOXES(parts[i], iov[i].iov_len, at);
	expect_read(fd, 9, at);
}

TEST(a_read_of_length_0_returns_0_and_begins_no_fox)
{
	struct iovec none[2] = { 0 };
	int fd, other;

	use("foxes=1 scope=device");
	fd = open_node(O_RDONLY);
	EXPECT_EQ(read(fd, NULL, 0), 0);
	EXPECT_EQ(readv(fd, none, 2), 0);
	/* Another one may still have the only fox. */
	other = open_node(O_RDONLY);
	expect_read(other, 4, 0);
	EXPECT_EQ(read(fd, NULL, 0), 0);
	close(other);
	close(fd);
	use("");
}

/* The published driver: its count, unsigned, went below 0 here, and the stream began anew. */
TEST(pread_at_3_after_the_end_is_ESPIPE_and_the_end_stays)
{
	struct iovec iov;
	char buf[16];
	off_t at;
	int fd;

	use_default();
	fd = open_node(O_RDONLY);
	EXPECT_ERR(pread(fd, buf, sizeof(buf), 3), ESPIPE);
	expect_read(fd, STREAM, 0);
	iov = (struct iovec){ .iov_base = buf, .iov_len = sizeof(buf) };
	for (at = 0; at <= 5; at++) {
		EXPECT_ERR(pread(fd, buf, sizeof(buf), at), ESPIPE);
		EXPECT_ERR(pread(fd, buf, 1, STREAM + at), ESPIPE);
		EXPECT_ERR(preadv(fd, &iov, 1, at), ESPIPE);
		EXPECT_ERR(lseek(fd, at, SEEK_SET), ESPIPE);
		expect_end(fd);
	}
}

TEST(opening_for_writing_is_EACCES_for_root_too)
{
	static const int flags[] = { O_WRONLY, O_RDWR, O_WRONLY | O_NONBLOCK, O_RDWR | O_TRUNC };
	int status;
	size_t i;
	pid_t pid;

	use_default();
	for (i = 0; i < ARRAY_SIZE(flags); i++)
		EXPECT_ERR(open(test_node(), flags[i]), EACCES);
	EXPECT_EQ(module_users(MODULE), 0);
	/* An ordinary user is told the same, and may read. */
	pid = SAFE(fork());
	if (!pid) {
		SAFE(setresuid(65534, 65534, 65534));
		for (i = 0; i < ARRAY_SIZE(flags); i++)
			EXPECT_ERR(open(test_node(), flags[i]), EACCES);
		expect_read(open_node(O_RDONLY), STREAM, 0);
		test_end();
	}
	SAFE(waitpid(pid, &status, 0));
	EXPECT_EQ(status, 0);
}

TEST(a_read_that_must_not_wait_delivers_what_another_one_does)
{
	int fd;

	use_default();
	fd = open_node(O_RDONLY | O_NONBLOCK);
	expect_read(fd, 5, 0);
	expect_read(fd, STREAM - 5, 5);
	expect_end(fd);
}

TEST(a_read_with_RWF_NOWAIT_delivers_what_another_one_does)
{
	char buf[STREAM];
	struct iovec iov = { .iov_base = buf, .iov_len = 6 };
	ssize_t n;
	int fd;

	use_default();
	fd = open_node(O_RDONLY);
	expect_read(fd, 5, 0);
	n = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP)
		SKIP("RWF_NOWAIT is not offered");
	EXPECT_EQ(n, 6);
	EXPECT_FOXES(buf, 6, 5);
	iov.iov_len = STREAM;
	EXPECT_EQ(preadv2(fd, &iov, 1, -1, RWF_NOWAIT), STREAM - 11);
	EXPECT_FOXES(buf, STREAM - 11, 11);
	EXPECT_EQ(preadv2(fd, &iov, 1, -1, RWF_NOWAIT), 0);
	expect_end(fd);
}

TEST(poll_finds_a_stream_always_ready_and_epoll_refuses_it)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct pollfd pfd = { .events = POLLIN };

	use_default();
	pfd.fd = open_node(O_RDONLY);
	EXPECT_EQ(poll(&pfd, 1, 0), 1);
	EXPECT_TRUE(pfd.revents & POLLIN);
	EXPECT_ERR(epoll_ctl(SAFE(epoll_create1(EPOLL_CLOEXEC)), EPOLL_CTL_ADD, pfd.fd, &ev),
		   EPERM);
	expect_read(pfd.fd, STREAM, 0);
	EXPECT_EQ(poll(&pfd, 1, 0), 1);
}

TEST(splice_moves_the_same_stream)
{
	char buf[STREAM + 1];
	int fd, pipes[2];

	use_default();
	fd = open_node(O_RDONLY);
	SAFE(pipe(pipes));
	expect_read(fd, 3, 0);
	ASSERT_EQ(splice(fd, NULL, pipes[1], NULL, 6, 0), 6);
	ASSERT_EQ(read(pipes[0], buf, sizeof(buf)), 6);
	EXPECT_FOXES(buf, 6, 3);
	expect_read(fd, 2, 9);
	ASSERT_EQ(splice(fd, NULL, pipes[1], NULL, 2 * STREAM, 0), STREAM - 11);
	ASSERT_EQ(read(pipes[0], buf, sizeof(buf)), STREAM - 11);
	EXPECT_FOXES(buf, STREAM - 11, 11);
	EXPECT_EQ(splice(fd, NULL, pipes[1], NULL, STREAM, 0), 0);
	expect_end(fd);
}

TEST(splice_of_more_than_a_pipe_holds_loses_nothing)
{
	const size_t total = 300000 * FOXES_FOX_SIZE;
	static char buf[1 << 20];
	size_t at = 0;
	ssize_t n, got;
	int fd, pipes[2];

	use("foxes=300000 scope=device");
	fd = open_node(O_RDONLY);
	SAFE(pipe2(pipes, O_NONBLOCK));
	expect_read(fd, 1, 0);
	at = 1;
	while ((n = splice(fd, NULL, pipes[1], NULL, sizeof(buf), 0)) > 0) {
		while (n > 0) {
			got = SAFE(read(pipes[0], buf, sizeof(buf)));
			ASSERT_TRUE(is_foxes(buf, got, at));
			at += got;
			n -= got;
		}
		ASSERT_EQ(n, 0);
	}
	EXPECT_EQ(n, 0);
	EXPECT_EQ(at, total);
	close(fd);
	use("");
}

/* Faults */

/* No copy gives up further from a fault than this: a pass of the longest unrolled loop (riscv64). */
#define COPY_PASS 128

/*
 * Reads what fits before the hole, each time asking for more. Where a copy is made of words, one may
 * stop some bytes short of it; it says so, and the next one begins there, with what is left only when
 * that is less than the copy can tell.
 */
static void fill_up_to(char *hole_at, size_t fit, int fd, unsigned long long from)
{
	size_t got;
	ssize_t n;

	for (got = 0; got < fit; got += n) {
		n = read(fd, hole_at - fit + got, fit + 101);
		if (n < 0 && errno == EFAULT && fit - got < COPY_PASS)
			n = read(fd, hole_at - fit + got, fit - got);
		SAFE(n);
		ASSERT_GE(n, 1);
		ASSERT_TRUE(got + n <= fit);
	}
	EXPECT_FOXES(hole_at - fit, fit, from);
}

static void fault_everywhere(const char *params)
{
	const size_t room = 2 * FOXES_FOX_SIZE + 1;
	char *end = hole();
	size_t before, fit, at;
	struct iovec iov[2];
	int fd;

	/* Begun anywhere in a fox, and broken off anywhere in one. */
	for (before = 0; before <= FOXES_FOX_SIZE; before++) {
		use(params);
		fd = open_node(O_RDONLY);
		if (before)
			expect_read(fd, before, 0);
		at = before;
		for (fit = 0; fit <= room; fit++) {
			if (!fit) {
				EXPECT_ERR(read(fd, end, room), EFAULT);
				continue;
			}
			fill_up_to(end, fit, fd, at);
			at += fit;
			iov[0] = (struct iovec){ .iov_base = end - room, .iov_len = fit };
			iov[1] = (struct iovec){ .iov_base = end, .iov_len = 2 };
			ASSERT_EQ(readv(fd, iov, 2), fit);
			EXPECT_FOXES(end - room, fit, at);
			at += fit;
		}
		/* The hole after more than a page. */
		expect_read(fd, STREAM - at - 1, at);
		EXPECT_ERR(read(fd, end, 1), EFAULT);
		expect_read(fd, 1, STREAM - 1);
		expect_end(fd);
		EXPECT_EQ(read(fd, end, 1), 0);
		close(fd);
	}
}

TEST(a_fault_consumes_nothing_beyond_what_was_copied)
{
	fault_everywhere("");
}

TEST(with_scope_device_a_fault_anywhere_in_a_fox_loses_nothing)
{
	fault_everywhere("foxes=200 scope=device");
	use("");
}

TEST(a_fault_far_behind_the_start_of_a_read_consumes_what_was_copied)
{
	char *map;
	int fd;

	use("foxes=1000000");
	map = SAFE(
		mmap(NULL, 4 * 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	SAFE(mprotect(map + 3 * 65536, 65536, PROT_NONE));
	fd = open_node(O_RDONLY);
	expect_read(fd, 1, 0);
	fill_up_to(map + 3 * 65536, 65542, fd, 1);
	expect_read(fd, 7, 65543);
	fill_up_to(map + 3 * 65536, 3 * 65536, fd, 65550);
	expect_read(fd, 7, 65550 + 3 * 65536);
	close(fd);
	use("");
}

/* One supply for the device */

TEST(with_scope_device_all_opens_together_get_the_foxes)
{
	int a, b;

	use("foxes=10 scope=device");
	a = open_node(O_RDONLY);
	b = open_node(O_RDONLY);
	expect_read(a, 12, 0);
	expect_read(b, 16, 0);
	expect_read(a, 12, 0);
	expect_end(a);
	expect_end(b);
	close(a);
	close(b);
	a = open_node(O_RDONLY);
	expect_end(a);
	close(a);
	use("");
}

TEST(with_scope_device_a_fox_that_was_begun_goes_on_in_the_same_open)
{
	char buf[16];
	int a, b;

	use("foxes=3 scope=device");
	a = open_node(O_RDONLY);
	b = open_node(O_RDONLY);
	expect_read(a, 1, 0);
	expect_read(b, 6, 0);
	/* All three are somebody's now. */
	EXPECT_EQ(read(a, buf, sizeof(buf)), 3);
	EXPECT_FOXES(buf, 3, 1);
	expect_end(a);
	expect_read(b, 1, 6);
	expect_read(b, 1, 7);
	expect_end(b);
	close(a);
	close(b);
	use("");
}

TEST(with_scope_device_the_fox_of_a_reader_that_closes_inside_it_goes_back)
{
	size_t begun;
	int a, b;

	for (begun = 1; begun < FOXES_FOX_SIZE; begun++) {
		use("foxes=2 scope=device");
		a = open_node(O_RDONLY);
		b = open_node(O_RDONLY);
		expect_read(a, begun, 0);
		expect_read(b, 4, 0);
		expect_end(b);
		close(a);
		/* One fox, and a whole one: what A got was none. */
		expect_read(b, 4, 4);
		expect_end(b);
		close(b);
	}
	use("");
}

TEST(with_scope_device_a_close_between_two_foxes_gives_nothing_back)
{
	int a, b;

	use("foxes=2 scope=device");
	b = open_node(O_RDONLY);
	a = open_node(O_RDONLY);
	expect_read(a, 4, 0);
	close(a);
	close(open_node(O_RDONLY));
	expect_read(b, 4, 0);
	expect_end(b);
	close(b);
	use("");
}

TEST(with_scope_device_a_fault_consumes_nothing_beyond_what_was_copied)
{
	char *end = hole(), buf[64];
	int a, b;

	use("foxes=10 scope=device");
	a = open_node(O_RDONLY);
	b = open_node(O_RDONLY);
	EXPECT_ERR(read(a, end, 100), EFAULT);
	fill_up_to(end, 6, a, 0);
	EXPECT_ERR(read(a, end, 100), EFAULT);
	/* A has the second one. */
	EXPECT_EQ(read(b, buf, sizeof(buf)), 32);
	EXPECT_FOXES(buf, 32, 0);
	expect_end(b);
	EXPECT_EQ(read(a, end - 1, 2), 1);
	EXPECT_ERR(read(a, end, 100), EFAULT);
	EXPECT_EQ(read(a, buf, sizeof(buf)), 1);
	EXPECT_FOXES(buf, 1, 7);
	expect_end(a);
	close(a);
	close(b);
	use("");
}

/* A copy that stands still: a page that is not there until the test says so */

struct trap {
	int fd;
	char *page;
	size_t size;
};

static struct trap set_trap(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct trap t = { .size = sysconf(_SC_PAGESIZE) };

	t.fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (t.fd < 0)
		SKIP("userfaultfd: %s", errno_name(errno));
	SAFE(ioctl(t.fd, UFFDIO_API, &api));
	t.page = SAFE(
		mmap(NULL, t.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	reg.range.start = (unsigned long)t.page;
	reg.range.len = t.size;
	SAFE(ioctl(t.fd, UFFDIO_REGISTER, &reg));
	return t;
}

/* Returns when somebody stands still in it. */
static void await_trapped(const struct trap *t)
{
	struct pollfd pfd = { .fd = t->fd, .events = POLLIN };
	struct uffd_msg msg;

	ASSERT_EQ(poll(&pfd, 1, LATE_MS), 1);
	ASSERT_EQ(read(t->fd, &msg, sizeof(msg)), sizeof(msg));
	ASSERT_EQ(msg.event, UFFD_EVENT_PAGEFAULT);
}

/* The copy goes on, or fails. */
static void open_trap(const struct trap *t, bool fail)
{
	struct uffdio_range range = { .start = (unsigned long)t->page, .len = t->size };
	struct uffdio_zeropage zero = { .range = range };

	if (fail) {
		SAFE(mprotect(t->page, t->size, PROT_NONE));
		SAFE(ioctl(t->fd, UFFDIO_WAKE, &range));
	} else {
		SAFE(ioctl(t->fd, UFFDIO_ZEROPAGE, &zero));
	}
}

struct reading {
	int fd;
	char *to;
	size_t len;
	atomic_int tid;
	pthread_t thread;
	ssize_t ret;
	int err;
};

static void *read_in_thread(void *arg)
{
	struct reading *r = arg;

	atomic_store(&r->tid, syscall(SYS_gettid));
	r->ret = read(r->fd, r->to, r->len);
	r->err = errno;
	return NULL;
}

static void start_reading(struct reading *r)
{
	atomic_store(&r->tid, 0);
	r->thread = start(read_in_thread, r);
}

static void expect_reading(struct reading *r, ssize_t ret, int err)
{
	pthread_join(r->thread, NULL);
	EXPECT_EQ(r->ret, ret);
	if (ret < 0 && r->err != err)
		test_fail(__FILE__, __LINE__, "the read: %s, expected %s", errno_name(r->err),
			  errno_name(err));
}

/* The state of a thread is the word after its name in parentheses. */
static bool is_asleep(int tid)
{
	char path[64], line[256] = "", *at;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = SAFE(open(path, O_RDONLY | O_CLOEXEC));
	SAFE(read(fd, line, sizeof(line) - 1));
	close(fd);
	at = strrchr(line, ')');
	return at && at[1] == ' ' && at[2] == 'S';
}

/* Returns when the thread waits in its read; before that it does not sleep. */
static void await_waiting(struct reading *r)
{
	long long until = now_ms() + LATE_MS;

	while (!atomic_load(&r->tid) || !is_asleep(atomic_load(&r->tid))) {
		ASSERT_TRUE(now_ms() < until);
		sched_yield();
	}
}

TEST(a_read_while_another_one_of_the_same_open_copies_waits_or_is_EAGAIN)
{
	struct trap t;
	char buf[16];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct reading a = { .len = 6 }, b = { .len = 7 };
	int fd;

	use_default();
	t = set_trap();
	handle_signals(0);
	fd = open_node(O_RDONLY);
	a.fd = fd;
	b.fd = fd;
	a.to = t.page;
	b.to = buf;
	start_reading(&a);
	await_trapped(&t);

	if (preadv2(fd, &iov, 1, -1, RWF_NOWAIT) != -1 || (errno != EAGAIN && errno != EOPNOTSUPP))
		test_fail(__FILE__, __LINE__, "RWF_NOWAIT does not fail with EAGAIN");
	SAFE(fcntl(fd, F_SETFL, O_NONBLOCK));
	EXPECT_ERR(read(fd, buf, sizeof(buf)), EAGAIN);
	SAFE(fcntl(fd, F_SETFL, 0));

	start_reading(&b);
	await_waiting(&b);
	pthread_kill(b.thread, SIGUSR1);
	expect_reading(&b, -1, EINTR);

	start_reading(&b);
	await_waiting(&b);
	open_trap(&t, false);
	expect_reading(&a, 6, 0);
	EXPECT_FOXES(t.page, 6, 0);
	expect_reading(&b, 7, 0);
	EXPECT_FOXES(buf, 7, 6);
	expect_read(fd, STREAM - 13, 13);
	expect_end(fd);
}

/* A copy has all foxes and stands still; another open's read must not take that for the end. */
static void read_behind_a_copy(bool fail)
{
	struct trap t = set_trap();
	struct reading a = { .len = 100 }, b = { .len = 100 };
	char buf[100];
	int fd;

	use("foxes=4 scope=device");
	handle_signals(0);
	a.fd = open_node(O_RDONLY);
	a.to = t.page;
	b.fd = open_node(O_RDONLY);
	b.to = buf;
	start_reading(&a);
	await_trapped(&t);

	fd = open_node(O_RDONLY | O_NONBLOCK);
	EXPECT_ERR(read(fd, buf, sizeof(buf)), EAGAIN);
	EXPECT_EQ(read(fd, buf, 0), 0);
	start_reading(&b);
	await_waiting(&b);
	pthread_kill(b.thread, SIGUSR1);
	expect_reading(&b, -1, EINTR);

	start_reading(&b);
	await_waiting(&b);
	open_trap(&t, fail);
	expect_reading(&a, fail ? -1 : 16, EFAULT);
	expect_reading(&b, fail ? 16 : 0, 0);
	if (fail)
		EXPECT_FOXES(buf, 16, 0);
	expect_end(fd);
	close(fd);
	close(a.fd);
	close(b.fd);
	use("");
}

TEST(with_scope_device_the_end_is_not_told_while_a_copy_may_still_fail)
{
	read_behind_a_copy(true);
}

TEST(with_scope_device_a_read_that_waited_for_a_copy_finds_the_end)
{
	read_behind_a_copy(false);
}

TEST(with_scope_device_a_half_fox_that_goes_back_wakes_a_waiting_read)
{
	struct trap t = set_trap();
	struct reading a = { .len = 4 }, b = { .len = 4 };
	char buf[4];
	int half;

	use("foxes=2 scope=device");
	half = open_node(O_RDONLY);
	expect_read(half, 3, 0);
	a.fd = open_node(O_RDONLY);
	a.to = t.page;
	b.fd = open_node(O_RDONLY);
	b.to = buf;
	start_reading(&a);
	await_trapped(&t);
	start_reading(&b);
	await_waiting(&b);
	close(half);
	expect_reading(&b, 4, 0);
	EXPECT_FOXES(buf, 4, 0);
	open_trap(&t, false);
	expect_reading(&a, 4, 0);
	close(a.fd);
	close(b.fd);
	use("");
}

TEST(with_scope_device_a_read_that_has_something_does_not_wait_for_more)
{
	struct trap t = set_trap();
	struct reading a = { .len = 8 };
	char buf[100];
	int fd;

	use("foxes=5 scope=device");
	a.fd = open_node(O_RDONLY);
	a.to = t.page;
	fd = open_node(O_RDONLY);
	expect_read(fd, 1, 0);
	start_reading(&a);
	await_trapped(&t);
	EXPECT_EQ(read(fd, buf, sizeof(buf)), 11);
	EXPECT_FOXES(buf, 11, 1);
	open_trap(&t, true);
	expect_reading(&a, -1, EFAULT);
	EXPECT_EQ(read(fd, buf, sizeof(buf)), 8);
	expect_end(fd);
	close(fd);
	close(a.fd);
	use("");
}

/* Races */

struct racer {
	int fd;
	unsigned int cpu;
	size_t len;
	bool faults; /* every other read goes to a bad address, in part */
	bool own;    /* nobody else reads from its descriptor */
	pthread_barrier_t *start;
	pthread_t thread;
	unsigned long long got;
	unsigned int bytes[FOXES_FOX_SIZE];
};

/* Reads to the end. */
static void *race(void *arg)
{
	struct racer *r = arg;
	char *end = r->faults ? hole() : NULL;
	unsigned int turn = 0;
	char plain[4096];
	ssize_t n, i;
	int place;

	use_cpu(r->cpu);
	pthread_barrier_wait(r->start);
	for (;;) {
		/* None of it fits, or all but one byte. */
		bool fault = r->faults && turn++ % 2;
		size_t fit = !fault ? r->len : turn % 4 ? 0 : r->len - 1;
		char *to = r->faults ? end - fit : plain;

		n = read(r->fd, to, r->len);
		if (!n)
			return NULL;
		if (n < 0 && (errno == EAGAIN || (errno == EFAULT && fault))) {
			sched_yield();
			continue;
		}
		SAFE(n);
		if (r->own)
			ASSERT_TRUE(is_foxes(to, n, r->got));
		for (i = 0; i < n; i++) {
			for (place = 0; place < FOXES_FOX_SIZE; place++)
				r->bytes[place] += to[i] == FOXES_FOX[place];
		}
		r->got += n;
	}
}

#define RACERS_MAX 8

/* Lets them read what there is, @foxes of them. */
static void run_race(struct racer *racers, unsigned int n, unsigned int foxes)
{
	unsigned int i, place, bytes[FOXES_FOX_SIZE] = { 0 };
	unsigned long long got = 0;
	pthread_barrier_t start_line;

	pthread_barrier_init(&start_line, NULL, n);
	for (i = 0; i < n; i++) {
		racers[i].start = &start_line;
		racers[i].thread = start(race, &racers[i]);
	}
	for (i = 0; i < n; i++) {
		pthread_join(racers[i].thread, NULL);
		got += racers[i].got;
		for (place = 0; place < FOXES_FOX_SIZE; place++)
			bytes[place] += racers[i].bytes[place];
		if (racers[i].own)
			EXPECT_EQ(racers[i].got % FOXES_FOX_SIZE, 0);
	}
	ASSERT_EQ(got, (unsigned long long)foxes * FOXES_FOX_SIZE);
	for (place = 0; place < FOXES_FOX_SIZE; place++)
		ASSERT_EQ(bytes[place], foxes);
}

/* The published driver: both found one fox left, both took it, and the kernel panicked. */
static void race_on_one_open(unsigned int n, unsigned int rounds, unsigned int foxes)
{
	struct racer racers[RACERS_MAX];
	unsigned int round, i;
	char params[32];
	int fd;

	snprintf(params, sizeof(params), "foxes=%u", foxes);
	use(params);
	for (round = 0; round < rounds; round++) {
		memset(racers, 0, sizeof(racers));
		fd = open_node(round % 4 == 3 ? O_RDONLY | O_NONBLOCK : O_RDONLY);
		for (i = 0; i < n; i++) {
			racers[i].fd = fd;
			racers[i].cpu = i;
			racers[i].len = odd_lengths[(round + i) % ARRAY_SIZE(odd_lengths)];
		}
		run_race(racers, n, foxes);
		expect_end(fd);
		close(fd);
	}
	use("");
}

TEST(two_racing_readers_of_one_open_get_its_foxes_between_them)
{
	race_on_one_open(2, 30, FOXES_DEFAULT);
	race_on_one_open(2, 5, 3000);
}

TEST(eight_racing_readers_of_one_open_get_its_foxes_between_them)
{
	race_on_one_open(8, 4, 1000);
}

static void race_on_the_device(unsigned int rounds, unsigned int foxes, bool faults)
{
	static const size_t lengths[RACERS_MAX] = { 1, 2, 3, 5, 7, 13, 64, 4093 };
	struct racer racers[RACERS_MAX];
	unsigned int round, i;
	char params[64];
	int fd;

	snprintf(params, sizeof(params), "foxes=%u scope=device", foxes);
	for (round = 0; round < rounds; round++) {
		use(params);
		memset(racers, 0, sizeof(racers));
		for (i = 0; i < RACERS_MAX; i++) {
			racers[i].fd = open_node(i % 4 == 3 ? O_RDONLY | O_NONBLOCK : O_RDONLY);
			racers[i].cpu = i / 2;
			racers[i].len = lengths[i];
			racers[i].own = true;
			racers[i].faults = faults && i % 2;
		}
		run_race(racers, RACERS_MAX, foxes);
		fd = open_node(O_RDONLY);
		expect_end(fd);
		close(fd);
		for (i = 0; i < RACERS_MAX; i++) {
			expect_end(racers[i].fd);
			close(racers[i].fd);
		}
	}
	use("");
}

TEST(with_scope_device_eight_readers_get_exactly_the_foxes_there_are)
{
	race_on_the_device(12, 2001, false);
}

TEST(with_scope_device_eight_readers_with_faults_get_exactly_the_foxes_there_are)
{
	race_on_the_device(8, 2001, true);
}

/* How long a stress goes on. */
#define STRESS_MS 200

struct storm {
	unsigned int cpu;
	pthread_barrier_t *start;
	pthread_t thread;
	unsigned int reads;
};

static void *read_to_nowhere(void *arg)
{
	int fd = open_node(O_RDONLY);
	struct storm *s = arg;
	long long until;
	char *end = hole();

	use_cpu(s->cpu);
	pthread_barrier_wait(s->start);
	until = now_ms() + STRESS_MS;
	while (s->reads++ % 16 || now_ms() < until)
		EXPECT_ERR(read(fd, end, 2 * FOXES_FOX_SIZE), EFAULT);
	close(fd);
	return NULL;
}

/* All take the same few foxes out and put them back; now and then there is none, and they wait. */
TEST(with_scope_device_a_storm_of_faults_leaves_all_foxes_there)
{
	pthread_barrier_t start_line;
	struct storm storms[3];
	unsigned int i, reads = 0;
	char buf[64];
	int fd;

	use("foxes=3 scope=device");
	pthread_barrier_init(&start_line, NULL, 3);
	for (i = 0; i < 3; i++) {
		storms[i] = (struct storm){ .cpu = i, .start = &start_line };
		storms[i].thread = start(read_to_nowhere, &storms[i]);
	}
	for (i = 0; i < 3; i++) {
		pthread_join(storms[i].thread, NULL);
		reads += storms[i].reads;
	}
	test_note("%u reads", reads);
	fd = open_node(O_RDONLY);
	EXPECT_EQ(read(fd, buf, sizeof(buf)), 12);
	EXPECT_FOXES(buf, 12, 0);
	expect_end(fd);
	close(fd);
	use("");
}

struct quitter {
	pthread_barrier_t *start;
	pthread_t thread;
	unsigned int whole; /* foxes */
};

/* Opens, reads a little more than a fox, and leaves, until there is nothing. */
static void *read_and_quit(void *arg)
{
	struct quitter *q = arg;
	unsigned int round = 0;
	char buf[FOXES_FOX_SIZE * 2];
	ssize_t n;
	int fd;

	pthread_barrier_wait(q->start);
	do {
		fd = open_node(O_RDONLY);
		n = SAFE(read(fd, buf, 1 + round++ % sizeof(buf)));
		ASSERT_TRUE(is_foxes(buf, n, 0));
		close(fd);
		q->whole += n / FOXES_FOX_SIZE;
	} while (n);
	return NULL;
}

TEST(with_scope_device_readers_that_quit_inside_foxes_leave_the_number_of_whole_ones_exact)
{
	struct quitter quitters[4];
	pthread_barrier_t start_line;
	unsigned int whole = 0, i;
	ssize_t n;
	char buf[64];
	int fd;

	use("foxes=1000 scope=device");
	pthread_barrier_init(&start_line, NULL, 4);
	for (i = 0; i < 4; i++) {
		quitters[i] = (struct quitter){ .start = &start_line };
		quitters[i].thread = start(read_and_quit, &quitters[i]);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(quitters[i].thread, NULL);
		whole += quitters[i].whole;
	}
	/* One may have found the end only because another had begun the last fox. */
	fd = open_node(O_RDONLY);
	while ((n = SAFE(read(fd, buf, sizeof(buf)))))
		whole += n / FOXES_FOX_SIZE;
	close(fd);
	EXPECT_EQ(whole, 1000);
	use("");
}

/* Big reads */

#define BIG_SEGMENT (1 << 20)
#define BIG	    ((ssize_t)IOV_MAX * BIG_SEGMENT)

/* A buffer of 1 GiB, all of it in the same place. */
static ssize_t read_big_into(int fd, char *segment)
{
	static struct iovec iov[IOV_MAX];
	unsigned int i;

	for (i = 0; i < IOV_MAX; i++)
		iov[i] = (struct iovec){ .iov_base = segment, .iov_len = BIG_SEGMENT };
	return readv(fd, iov, IOV_MAX);
}

static ssize_t read_big(int fd)
{
	static char segment[BIG_SEGMENT];

	return read_big_into(fd, segment);
}

static void use_big(char *scope)
{
	char params[64];

	snprintf(params, sizeof(params), "foxes=%d scope=%s", FOXES_MAX, scope);
	use(params);
}

TEST(a_stream_read_in_big_pieces_has_the_foxes_to_the_byte)
{
	static char segment[BIG_SEGMENT];
	unsigned long long at = 0;
	ssize_t n;
	int fd;

	use("foxes=5000001");
	fd = open_node(O_RDONLY);
	while ((n = SAFE(read(fd, segment, sizeof(segment) - 1)))) {
		EXPECT_FOXES(segment, 8, at);
		EXPECT_FOXES(segment + n - 5, 5, at + n - 5);
		at += n;
	}
	EXPECT_EQ(at, 5000001ULL * FOXES_FOX_SIZE);
	close(fd);
	use("");
}

static void interrupt_big_read(char *scope, int flags)
{
	const struct itimerval timer = { .it_value.tv_usec = 20000, .it_interval.tv_usec = 20000 };
	const struct itimerval off = { 0 };
	ssize_t n;
	int fd;

	use_big(scope);
	handle_signals(flags);
	fd = open_node(O_RDONLY);
	expect_read(fd, 3, 0);
	SAFE(setitimer(ITIMER_REAL, &timer, NULL));
	n = SAFE(read_big(fd));
	SAFE(setitimer(ITIMER_REAL, &off, NULL));
	EXPECT_GE(n, 1);
	EXPECT_LE(n, BIG - 1);
	expect_read(fd, 9, 3 + n);
	close(fd);
	use("");
}

TEST(a_signal_ends_a_big_read_with_a_short_count_and_the_stream_goes_on)
{
	interrupt_big_read(FOXES_SCOPE_OPEN, 0);
}

TEST(with_scope_device_a_signal_ends_a_big_read_with_a_short_count_whatever_SA_RESTART_says)
{
	interrupt_big_read(FOXES_SCOPE_DEVICE, SA_RESTART);
}

struct neighbour {
	pthread_t reader;
	atomic_bool stop;
};

static void *interrupt_from_same_cpu(void *arg)
{
	const struct sched_param above = { .sched_priority = 1 };
	const struct timespec pause = { .tv_nsec = 10000000 };
	struct neighbour *nb = arg;

	pthread_setschedparam(pthread_self(), SCHED_FIFO, &above);
	while (!atomic_load(&nb->stop)) {
		nanosleep(&pause, NULL);
		pthread_kill(nb->reader, SIGUSR1);
	}
	return NULL;
}

TEST(a_big_read_lets_others_have_the_CPU)
{
	struct neighbour nb = { .reader = pthread_self() };
	pthread_t thread;
	ssize_t n;
	int fd;

	use_big(FOXES_SCOPE_OPEN);
	handle_signals(0);
	use_cpu(0);
	fd = open_node(O_RDONLY);
	thread = start(interrupt_from_same_cpu, &nb);
	n = SAFE(read_big(fd));
	atomic_store(&nb.stop, true);
	EXPECT_GE(n, 1);
	/* It sends the signal only when it runs. */
	EXPECT_LE(n, BIG - 1);
	test_note("after %zd of %zd KiB", n >> 10, BIG >> 10);
	pthread_join(thread, NULL);
	close(fd);
	use("");
}

/* Kills the reader of all that the device has. Returns what the next one reads. */
static ssize_t read_after_kill(char *segment)
{
	const atomic_char *last = (atomic_char *)&segment[BIG_SEGMENT - 1];
	long long until;
	int fd, status;
	char buf[4];
	ssize_t n;
	pid_t pid;

	use(text("foxes=%zd scope=%s", BIG / FOXES_FOX_SIZE, FOXES_SCOPE_DEVICE));
	memset(segment, 0, BIG_SEGMENT);
	pid = SAFE(fork());
	if (!pid) {
		read_big_into(open_node(O_RDONLY), segment);
		/* Too late: there is nothing left. */
		for (;;)
			pause();
	}
	until = now_ms() + LATE_MS;
	/* Not before it is under way, and has no page fault to come, which would end at a kill too. */
	while (!atomic_load(last)) {
		ASSERT_TRUE(now_ms() < until);
		sched_yield();
	}
	SAFE(kill(pid, SIGKILL));
	SAFE(waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	fd = open_node(O_RDONLY);
	n = SAFE(read(fd, buf, sizeof(buf)));
	EXPECT_FOXES(buf, n, 0);
	close(fd);
	return n;
}

TEST(SIGKILL_ends_a_big_read)
{
	char *segment = shared_memory(BIG_SEGMENT);
	unsigned int tries = 0;
	ssize_t n;

	/* Where this process had to wait for a CPU, all was read before the kill: once more. */
	do {
		n = read_after_kill(segment);
	} while (!n && ++tries < 3);
	EXPECT_EQ(n, 4);
	use("");
}

/* Parameters */

struct refusal {
	const char *params;
	const char *message;
};

TEST(a_parameter_out_of_range_is_refused_with_EINVAL_and_one_line)
{
	static const struct refusal refusals[] = {
		{ "foxes=0", "foxes 0: expected 1 to 1073741824" },
		{ "foxes=-1", "foxes -1: expected 1 to 1073741824" },
		{ "foxes=1073741825", "foxes 1073741825: expected 1 to 1073741824" },
		/* Cut to 32 bits these were 0 and 200. */
		{ "foxes=4294967296", "foxes 4294967296: expected 1 to 1073741824" },
		{ "foxes=4294967496", "foxes 4294967496: expected 1 to 1073741824" },
		{ "scope=", "scope \"\": expected open or device" },
		{ "scope=Device", "scope \"Device\": expected open or device" },
		{ "scope=opened", "scope \"opened\": expected open or device" },
		{ "scope=dev", "scope \"dev\": expected open or device" },
		{ "mode=0", "mode 0: expected read permissions, 04 to 0444" },
		{ "mode=0666", "mode 0666: expected read permissions, 04 to 0444" },
		{ "mode=0644", "mode 0644: expected read permissions, 04 to 0444" },
		{ "mode=0555", "mode 0555: expected read permissions, 04 to 0444" },
		{ "mode=01444", "mode 01444: expected read permissions, 04 to 0444" },
		{ "mode=4294967295", "mode 037777777777: expected read permissions" },
		/* These are the kernel's to refuse. */
		{ "foxes=many", "`many' invalid for parameter `foxes'" },
		{ "foxes=", "`' invalid for parameter `foxes'" },
		{ "mode=-1", "`-1' invalid for parameter `mode'" },
		{ "mode=r", "`r' invalid for parameter `mode'" },
	};
	unsigned int before;
	char line[200];
	size_t i;

	if (module_loaded(MODULE))
		ASSERT_EQ(module_unload(MODULE), 0);
	for (i = 0; i < ARRAY_SIZE(refusals); i++) {
		snprintf(line, sizeof(line), "%s: %s", MODULE, refusals[i].message);
		before = log_count(line);
		if (module_load(MODULE, refusals[i].params) != -EINVAL)
			test_fail(__FILE__, __LINE__, "%s is not refused", refusals[i].params);
		if (log_count(line) != before + 1)
			test_fail(__FILE__, __LINE__, "%s: no line \"%s\"", refusals[i].params,
				  line);
		if (module_loaded(MODULE))
			module_unload(MODULE);
	}
	EXPECT_ERR(access(test_node(), F_OK), ENOENT);
	use("");
}

TEST(the_ends_of_the_range_of_foxes_are_accepted)
{
	static char *const scopes[] = { FOXES_SCOPE_OPEN, FOXES_SCOPE_DEVICE };
	char params[64];
	size_t i;
	int fd;

	for (i = 0; i < 2; i++) {
		snprintf(params, sizeof(params), "foxes=%d scope=%s", FOXES_MIN, scopes[i]);
		use(params);
		fd = open_node(O_RDONLY);
		expect_read(fd, 4, 0);
		expect_end(fd);
		close(fd);
		use_big(scopes[i]);
		fd = open_node(O_RDONLY);
		expect_read(fd, 4095, 0);
		close(fd);
	}
	use("");
}

TEST(the_node_has_the_mode_of_the_parameter)
{
	static const unsigned int modes[] = { 0400, 0440, 04 };
	char params[32];
	struct stat st;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		snprintf(params, sizeof(params), "mode=0%o", modes[i]);
		use(params);
		SAFE(stat(test_node(), &st));
		EXPECT_EQ(st.st_mode, S_IFCHR | modes[i]);
	}
	use("");
	SAFE(stat(test_node(), &st));
	EXPECT_EQ(st.st_mode, S_IFCHR | FOXES_MODE_DEFAULT);
}

TEST(one_line_is_logged_at_load_and_one_at_unload)
{
	char each[128], all[128];
	unsigned int n_each, n_all, lines, removed;

	snprintf(each, sizeof(each), "%s: 200 foxes for each open at %s\n", MODULE, test_node());
	snprintf(all, sizeof(all), "%s: 7 foxes for all opens at %s\n", MODULE, test_node());
	n_each = log_count(each);
	n_all = log_count(all);
	use("");
	EXPECT_EQ(log_count(each), n_each + 1);
	lines = log_count(logged(""));
	removed = log_count(logged("removed\n"));
	ASSERT_EQ(module_unload(MODULE), 0);
	EXPECT_EQ(log_count(logged("removed\n")), removed + 1);
	ASSERT_EQ(module_load(MODULE, "foxes=7 scope=device"), 0);
	EXPECT_EQ(log_count(all), n_all + 1);
	EXPECT_EQ(log_count(logged("")), lines + 2);
	use("");
}

/* The client */

/* Its command line for the node under test, unless it names one. */
static const char *client(const char *words)
{
	if (strstr(words, "--device") || !strcmp(test_node(), "/dev/" DEFAULT_MODULE))
		return text("foxesctl %s", words);
	return text("foxesctl --device %s %s", test_node(), words);
}

static void expect_line(const char *words, const struct program_output *o, const char *error)
{
	if (!strstr(o->err, error) || !strchr(o->err, '\n') || strchr(o->err, '\n')[1])
		test_fail(__FILE__, __LINE__,
			  "foxesctl %s: errors \"%s\", not one line with \"%s\"", words, o->err,
			  error);
}

static void expect_output(const char *words, const struct program_output *o, int status,
			  const char *out)
{
	if (o->status != status || strcmp(o->out, out))
		test_fail(__FILE__, __LINE__,
			  "foxesctl %s: status %d, output \"%s\", errors \"%s\"", words, o->status,
			  o->out, o->err);
}

/* @error: what its one line of errors holds; NULL: there is none. */
static void expect_client(const char *words, int status, const char *out, const char *error)
{
	struct program_output o = program_run("%s", client(words));

	expect_output(words, &o, status, out);
	if (error)
		expect_line(words, &o, error);
	else
		EXPECT_EQ(o.err[0], '\0');
}

/* It does not come to look at a node. */
static void expect_usage(const char *words, const char *error)
{
	struct program_output o = program_run("foxesctl %s", words);

	expect_output(words, &o, 2, "");
	expect_line(words, &o, error);
}

TEST(foxesctl_reads_and_counts_foxes)
{
	struct program_output o;

	use_default();
	expect_client("read -n 3", 0, FOXES_FOX FOXES_FOX FOXES_FOX, NULL);
	expect_client("count", 0, "200\n", NULL);
	expect_client(text("--device %s --json count", test_node()), 0,
		      text("{\"device\":\"%s\",\"foxes\":200,\"bytes\":800}\n", test_node()), NULL);
	o = program_run("%s", client("read"));
	EXPECT_EQ(o.status, 0);
	EXPECT_EQ(strlen(o.out), STREAM);
	EXPECT_FOXES(o.out, STREAM, 0);
	o = program_run("foxesctl --help");
	EXPECT_EQ(o.status, 0);
	EXPECT_TRUE(strstr(o.out, "usage: foxesctl") == o.out);
}

TEST(foxesctl_tells_wrong_usage_with_status_2_and_one_line)
{
	expect_usage("", "no command");
	expect_usage("--device /dev/foxes", "a command is missing");
	expect_usage("frobnicate", "no command \"frobnicate\"");
	expect_usage("--frobnicate", "frobnicate");
	expect_usage("read -n", "requires an argument");
	expect_usage("read -n 0", "not a number from 1 to 1073741824");
	expect_usage("read -n -5", "not a number");
	expect_usage("read -n 1073741825", "not a number");
	expect_usage("read -n 3x", "not a number");
	expect_usage("read this", "what is \"this\"?");
	expect_usage("count -n 3", "-n belongs to read");
	expect_usage("--json read", "--json belongs to count");
}

TEST(foxesctl_tells_failures_with_status_1_and_one_line)
{
	char all[STREAM + 1] = "";
	int i;

	use_default();
	expect_client("--device /dev/foxes_not_there count", 1, "", "is the module loaded?");
	expect_client("--device /dev/zero count", 1, "", "byte 0 is 0x00");
	expect_client("--device / count", 1, "", "/: cannot read: Is a directory");
	for (i = 0; i < FOXES_DEFAULT; i++)
		memcpy(all + 4 * i, FOXES_FOX, 5);
	expect_client("read -n 201", 1, all, "the end came after 200 of 201 foxes");
}

TEST(foxesctl_says_whom_the_node_is_closed_to)
{
	struct program_output o;

	use("mode=0400");
	o = program_run_as(65534, "%s", client("count"));
	EXPECT_EQ(o.status, 1);
	expect_line("count", &o, text("%s: cannot open: Permission denied (see", test_node()));
	use("");
	o = program_run_as(65534, "%s", client("count"));
	EXPECT_EQ(o.status, 0);
}

TEST(foxesctl_says_that_its_output_cannot_be_written)
{
	char said[512] = "";
	int full = SAFE(open("/dev/full", O_WRONLY | O_CLOEXEC)), err[2], status;
	pid_t pid;

	use_default();
	SAFE(pipe2(err, O_CLOEXEC));
	pid = program_start(full, err[1], "%s", client("read"));
	close(err[1]);
	SAFE(waitpid(pid, &status, 0));
	EXPECT_EQ(status, 1 << 8);
	SAFE(read(err[0], said, sizeof(said) - 1));
	EXPECT_TRUE(!strcmp(said, "foxesctl: cannot write the output: No space left on device\n"));
}
