// SPDX-License-Identifier: GPL-2.0
/*
 * What the virtual GPIO promises beyond what every character device does: lines that keep what
 * they were set to, and a stream of changes in which nothing is lost silently, merged, stolen or
 * doubled.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "vgpio.h"

/* No wake-up takes that long, whatever the machine is busy with: it is lost. */
#define LOST_AFTER_MS 3000
#define NEVER_MS      30000
/* Looks at what another thread does before sleeping between them: several times what it takes. */
#define WAIT_SPINS 10000
/* How long a stress goes on. */
#define STRESS_MS 150

#define EVENT_SIZE sizeof(struct vgpio_event)

static int open_node(int flags)
{
	return SAFE(open(test_node(), flags | O_CLOEXEC));
}

static struct vgpio_info get_info(void)
{
	struct vgpio_info info = { .size = sizeof(info) };
	int fd = open_node(O_WRONLY);

	SAFE(ioctl(fd, VGPIO_INFO, &info));
	close(fd);
	return info;
}

static struct vgpio_info need_queue(void)
{
	struct vgpio_info info = get_info();

	if (!(info.features & VGPIO_FEATURE_QUEUE))
		SKIP("this build has no event queue");
	return info;
}

static void set(int fd, unsigned int pin, unsigned int value)
{
	struct vgpio_line line = { .pin = pin, .value = value };

	SAFE(ioctl(fd, VGPIO_SET, &line));
}

static unsigned int get(int fd, unsigned int pin)
{
	struct vgpio_line line = { .pin = pin, .value = 7 };

	SAFE(ioctl(fd, VGPIO_GET, &line));
	return line.value;
}

/* Changes a line @n times. For one thread at a time. */
static void toggle(int fd, unsigned int pin, unsigned int n)
{
	unsigned int value = get(fd, pin);

	while (n--) {
		value = !value;
		set(fd, pin, value);
	}
}

/* Reads at most @max events of a descriptor that does not block. Returns how many there were. */
static size_t read_events(int fd, struct vgpio_event *events, size_t max)
{
	ssize_t n = read(fd, events, max * EVENT_SIZE);

	if (n < 0 && errno == EAGAIN)
		return 0;
	SAFE(n);
	if (n % EVENT_SIZE)
		test_fail(__FILE__, __LINE__, "read returned %zd bytes, no whole records", n);
	return n / EVENT_SIZE;
}

/* Reads until there is nothing more. Returns records and missed events; @last gets the last one. */
static unsigned long long drain(int fd, struct vgpio_event *last)
{
	struct vgpio_event events[64];
	unsigned long long count = 0;
	size_t n, i;

	while ((n = read_events(fd, events, 64)) > 0) {
		for (i = 0; i < n; i++)
			count += 1ULL + events[i].missed;
		*last = events[n - 1];
	}
	return count;
}

/*
 * Between two looks at what another thread does: quick as long as it runs on another CPU; on a
 * machine with fewer free CPUs than the guest has, sleeping is what lets it run.
 */
static void wait_for_others(unsigned int *tries)
{
	const struct timespec pause = { .tv_nsec = 20000 };

	if (++*tries > WAIT_SPINS)
		nanosleep(&pause, NULL);
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

/* Lines */

TEST(GET_returns_what_SET_stored_for_every_pattern_of_the_lines)
{
	int fd = open_node(O_RDWR);
	unsigned int pattern, pin, read_back;

	for (pattern = 0; pattern < 1U << VGPIO_LINES; pattern += 3) {
		for (pin = 0; pin < VGPIO_LINES; pin++)
			set(fd, pin, (pattern >> pin) & 1);
		for (pin = 0, read_back = 0; pin < VGPIO_LINES; pin++)
			read_back |= get(fd, pin) << pin;
		ASSERT_EQ(read_back, pattern);
	}
}

TEST(a_line_keeps_its_value_when_everything_is_closed)
{
	int fd = open_node(O_WRONLY);

	set(fd, 2, 1);
	set(fd, 3, 0);
	close(fd);
	fd = open_node(O_RDONLY);
	EXPECT_EQ(get(fd, 2), 1);
	EXPECT_EQ(get(fd, 3), 0);
}

TEST(a_pin_that_is_not_there_is_EINVAL)
{
	static const unsigned int pins[] = { VGPIO_LINES, VGPIO_LINES + 1, 32,	      64,
					     256,	  INT32_MAX,	   UINT32_MAX };
	int fd = open_node(O_RDWR);
	size_t i;

	for (i = 0; i < sizeof(pins) / sizeof(pins[0]); i++) {
		struct vgpio_line line = { .pin = pins[i], .value = 1 };

		EXPECT_ERR(ioctl(fd, VGPIO_SET, &line), EINVAL);
		EXPECT_ERR(ioctl(fd, VGPIO_GET, &line), EINVAL);
	}
}

TEST(a_value_that_is_not_0_or_1_is_EINVAL_and_leaves_the_line_alone)
{
	static const unsigned int values[] = { 2, 3, 256, INT32_MAX, UINT32_MAX };
	int fd = open_node(O_RDWR);
	size_t i;

	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct vgpio_line line = { .pin = 1, .value = values[i] };

		set(fd, 1, i % 2);
		EXPECT_ERR(ioctl(fd, VGPIO_SET, &line), EINVAL);
		EXPECT_EQ(get(fd, 1), i % 2);
	}
}

TEST(reserved_fields_that_are_not_zero_are_EINVAL)
{
	int fd = open_node(O_RDWR);
	unsigned int bit;

	set(fd, 0, 0);
	for (bit = 0; bit < 64; bit += 21) {
		struct vgpio_line line = { .pin = 0, .value = 1, .reserved = 1ULL << bit };

		EXPECT_ERR(ioctl(fd, VGPIO_SET, &line), EINVAL);
		EXPECT_ERR(ioctl(fd, VGPIO_GET, &line), EINVAL);
	}
	EXPECT_EQ(get(fd, 0), 0);
}

TEST(SET_on_a_descriptor_not_opened_for_writing_is_EBADF_and_GET_works_on_all)
{
	struct vgpio_line line = { .pin = 0, .value = 1 };
	int reader = open_node(O_RDONLY), writer = open_node(O_WRONLY), both = open_node(O_RDWR);

	set(writer, 0, 0);
	EXPECT_ERR(ioctl(reader, VGPIO_SET, &line), EBADF);
	EXPECT_EQ(get(reader, 0), 0);
	set(both, 0, 1);
	EXPECT_EQ(get(reader, 0), 1);
	EXPECT_EQ(get(writer, 0), 1);
	EXPECT_EQ(get(both, 0), 1);
}

TEST(NOP_does_nothing_and_looks_at_no_argument)
{
	int fd = open_node(O_RDONLY);

	EXPECT_EQ(ioctl(fd, VGPIO_NOP, 0), 0);
	EXPECT_EQ(ioctl(fd, VGPIO_NOP, -1L), 0);
}

TEST(INFO_describes_the_build)
{
	struct vgpio_info info = get_info();
	const char *module = test_module();
	bool lock = info.features & VGPIO_FEATURE_LOCK;
	bool queue = info.features & VGPIO_FEATURE_QUEUE;

	EXPECT_EQ(info.size, sizeof(info));
	EXPECT_EQ(info.lines, VGPIO_LINES);
	EXPECT_EQ(info.features & ~(VGPIO_FEATURE_LOCK | VGPIO_FEATURE_QUEUE), 0);
	EXPECT_EQ(info.event_size, queue ? EVENT_SIZE : 0);
	if (queue) {
		EXPECT_GE(info.ring, VGPIO_RING_MIN);
		EXPECT_LE(info.ring, VGPIO_RING_MAX);
		EXPECT_EQ(info.ring & (info.ring - 1), 0);
	} else {
		EXPECT_EQ(info.ring, 0);
	}
	if (*module) {
		EXPECT_EQ(lock, strstr(module, "_sl") != NULL);
		EXPECT_EQ(queue, strstr(module, "_wq") != NULL);
	}
}

TEST(INFO_serves_callers_older_and_newer_than_the_kernel)
{
	struct {
		struct vgpio_info info;
		unsigned char rest[44];
	} arg;
	int fd = open_node(O_RDONLY);
	size_t i;

	for (i = 0; i < VGPIO_INFO_SIZE_VER0; i += 19) {
		arg.info.size = i;
		EXPECT_ERR(ioctl(fd, VGPIO_INFO, &arg), EINVAL);
	}
	arg.info.size = VGPIO_INFO_SIZE_MAX + 1;
	EXPECT_ERR(ioctl(fd, VGPIO_INFO, &arg), E2BIG);

	/* Older: nothing beyond its room is written. */
	memset(&arg, 0x5a, sizeof(arg));
	arg.info.size = VGPIO_INFO_SIZE_VER0;
	SAFE(ioctl(fd, VGPIO_INFO, &arg));
	EXPECT_EQ(((unsigned char *)&arg)[VGPIO_INFO_SIZE_VER0], 0x5a);

	/* Newer: what this kernel does not know is zero. */
	memset(&arg, 0x5a, sizeof(arg));
	arg.info.size = sizeof(arg);
	SAFE(ioctl(fd, VGPIO_INFO, &arg));
	EXPECT_EQ(arg.info.size, sizeof(arg.info));
	for (i = 0; i < sizeof(arg.rest); i++)
		ASSERT_EQ(arg.rest[i], 0);
}

TEST(a_build_without_a_queue_offers_neither_read_nor_poll)
{
	struct vgpio_event event;
	struct epoll_event ev = { .events = EPOLLIN };
	int fd, ep;

	if (get_info().features & VGPIO_FEATURE_QUEUE)
		SKIP("this build has an event queue");
	fd = open_node(O_RDWR);
	EXPECT_ERR(read(fd, &event, sizeof(event)), EINVAL);
	ep = SAFE(epoll_create1(EPOLL_CLOEXEC));
	EXPECT_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), EPERM);
}

/* Events */

TEST(an_event_tells_line_value_time_and_a_sequence_without_gaps)
{
	struct vgpio_event events[3];
	struct timespec before, after;
	unsigned long long from, to;
	int fd, i;

	need_queue();
	fd = open_node(O_RDWR | O_NONBLOCK);
	toggle(fd, 5, get(fd, 5));
	toggle(fd, 6, !get(fd, 6));
	drain(fd, &events[0]);

	clock_gettime(CLOCK_MONOTONIC, &before);
	set(fd, 5, 1);
	set(fd, 6, 0);
	set(fd, 5, 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	from = before.tv_sec * 1000000000ULL + before.tv_nsec;
	to = after.tv_sec * 1000000000ULL + after.tv_nsec;

	ASSERT_EQ(read_events(fd, events, 3), 3);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(events[i].pin, i == 1 ? 6 : 5);
		EXPECT_EQ(events[i].value, i == 0);
		EXPECT_EQ(events[i].missed, 0);
		EXPECT_EQ(events[i].sequence, events[0].sequence + i);
		EXPECT_GE(events[i].time_ns, from);
		EXPECT_LE(events[i].time_ns, to);
		from = events[i].time_ns;
	}
}

/*
 * Leaves a pattern in free memory of the kernel, where the next open files may come to lie: with messages,
 * which are kept with a head of 48 bytes and are not wiped when they go.
 */
static void poison_heap(void)
{
	static const size_t sizes[] = { 64, 96, 128, 192, 256, 512 };
	struct {
		long type;
		unsigned char text[512];
	} message = { .type = 1 };
	size_t i, n;

	memset(message.text, 0x5a, sizeof(message.text));
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int queue = msgget(IPC_PRIVATE, 0600);

		if (queue < 0)
			return;
		for (n = 0; n < 128 && !msgsnd(queue, &message, sizes[i] - 48, IPC_NOWAIT); n++)
			;
		msgctl(queue, IPC_RMID, NULL);
	}
}

/* By its bytes: what is reserved, and whatever hole the compiler makes, is zero. */
TEST(a_record_holds_nothing_but_its_fields)
{
	struct vgpio_event event, bare;
	int fds[32];
	size_t i;

	need_queue();
	use_cpu(0);
	poison_heap();
	for (i = 0; i < 32; i++)
		fds[i] = open_node(O_RDWR | O_NONBLOCK);
	toggle(fds[0], 0, 1);
	for (i = 0; i < 32; i++) {
		ASSERT_EQ(read_events(fds[i], &event, 1), 1);
		memset(&bare, 0, sizeof(bare));
		bare.sequence = event.sequence;
		bare.time_ns = event.time_ns;
		bare.pin = event.pin;
		bare.value = event.value;
		ASSERT_EQ(memcmp(&event, &bare, EVENT_SIZE), 0);
	}
}

TEST(SET_of_an_unchanged_value_raises_no_event)
{
	struct vgpio_event event;
	int fd;

	need_queue();
	fd = open_node(O_RDWR | O_NONBLOCK);
	set(fd, 4, get(fd, 4));
	EXPECT_ERR(read(fd, &event, sizeof(event)), EAGAIN);
	toggle(fd, 4, 1);
	set(fd, 4, get(fd, 4));
	EXPECT_EQ(drain(fd, &event), 1);
}

TEST(GET_and_calls_that_fail_raise_no_event)
{
	struct vgpio_line bad = { .pin = VGPIO_LINES };
	struct vgpio_event event;
	int fd;

	need_queue();
	fd = open_node(O_RDWR | O_NONBLOCK);
	get(fd, 0);
	EXPECT_ERR(ioctl(fd, VGPIO_SET, &bad), EINVAL);
	EXPECT_ERR(ioctl(fd, VGPIO_SET, NULL), EFAULT);
	EXPECT_ERR(read(fd, &event, sizeof(event)), EAGAIN);
}

TEST(each_of_two_readers_gets_every_event_in_order)
{
	struct vgpio_event a[VGPIO_RING_MIN], b[VGPIO_RING_MIN];
	int reader, other, writer;
	unsigned int i;

	need_queue();
	reader = open_node(O_RDONLY | O_NONBLOCK);
	other = open_node(O_RDONLY | O_NONBLOCK);
	writer = open_node(O_WRONLY);
	for (i = 0; i < VGPIO_RING_MIN; i++)
		toggle(writer, i % VGPIO_LINES, 1);
	ASSERT_EQ(read_events(reader, a, VGPIO_RING_MIN), VGPIO_RING_MIN);
	ASSERT_EQ(read_events(other, b, VGPIO_RING_MIN), VGPIO_RING_MIN);
	for (i = 0; i < VGPIO_RING_MIN; i++) {
		EXPECT_EQ(a[i].pin, i % VGPIO_LINES);
		EXPECT_EQ(a[i].sequence, a[0].sequence + i);
		EXPECT_EQ(memcmp(&a[i], &b[i], EVENT_SIZE), 0);
	}
}

TEST(a_reader_sees_only_what_happens_after_its_open)
{
	struct vgpio_event event;
	int early, late, writer;

	need_queue();
	writer = open_node(O_WRONLY);
	toggle(writer, 0, 3);
	early = open_node(O_RDONLY | O_NONBLOCK);
	EXPECT_ERR(read(early, &event, sizeof(event)), EAGAIN);
	toggle(writer, 0, 3);
	late = open_node(O_RDONLY | O_NONBLOCK);
	toggle(writer, 1, 1);
	EXPECT_EQ(drain(early, &event), 4);
	EXPECT_EQ(drain(late, &event), 1);
	EXPECT_EQ(event.pin, 1);
	EXPECT_EQ(event.missed, 0);
}

TEST(changes_that_nobody_recorded_do_not_disturb_the_next_reader)
{
	struct vgpio_info info = need_queue();
	struct vgpio_event event;
	int reader, writer = open_node(O_WRONLY);

	toggle(writer, 0, info.ring / 2);
	reader = open_node(O_RDONLY | O_NONBLOCK);
	toggle(writer, 1, 5);
	EXPECT_EQ(drain(reader, &event), 5);
	close(reader);
	toggle(writer, 0, info.ring * 3 + 7);
	reader = open_node(O_RDONLY | O_NONBLOCK);
	EXPECT_ERR(read(reader, &event, sizeof(event)), EAGAIN);
	toggle(writer, 1, 5);
	ASSERT_EQ(read_events(reader, &event, 1), 1);
	EXPECT_EQ(event.pin, 1);
	EXPECT_EQ(event.missed, 0);
}

TEST(what_is_overrun_is_counted_exactly)
{
	struct vgpio_info info = need_queue();
	const unsigned int overruns[] = { 0, 1, 37, info.ring - 1, info.ring, 2 * info.ring + 1 };
	static struct vgpio_event events[VGPIO_RING_MAX];
	int fd = open_node(O_RDWR | O_NONBLOCK);
	size_t i, n, k;

	for (i = 0; i < sizeof(overruns) / sizeof(overruns[0]); i++) {
		/* The values alternate, the last one is 0: a record of another round would show. */
		set(fd, 0, (info.ring + overruns[i]) % 2);
		drain(fd, &events[0]);
		toggle(fd, 0, info.ring + overruns[i]);
		n = read_events(fd, events, VGPIO_RING_MAX);
		ASSERT_EQ(n, info.ring);
		EXPECT_EQ(events[0].missed, overruns[i]);
		for (k = 1; k < n; k++) {
			ASSERT_EQ(events[k].missed, 0);
			ASSERT_EQ(events[k].sequence, events[0].sequence + k);
			ASSERT_GE(events[k].time_ns, events[k - 1].time_ns);
			ASSERT_EQ(events[k].value, (n - 1 - k) % 2);
		}
	}
}

TEST(a_dup_shares_the_place_in_the_stream)
{
	struct vgpio_event event;
	int fd, copy;

	need_queue();
	fd = open_node(O_RDWR | O_NONBLOCK);
	copy = SAFE(dup(fd));
	toggle(fd, 0, 2);
	EXPECT_EQ(read_events(fd, &event, 1), 1);
	EXPECT_EQ(read_events(copy, &event, 1), 1);
	EXPECT_EQ(read_events(fd, &event, 1), 0);
}

TEST(read_returns_whole_records_only)
{
	struct vgpio_event events[4];
	int fd;

	need_queue();
	fd = open_node(O_RDWR | O_NONBLOCK);
	toggle(fd, 0, 3);
	EXPECT_EQ(read(fd, events, 0), 0);
	EXPECT_ERR(read(fd, events, 1), EINVAL);
	EXPECT_ERR(read(fd, events, EVENT_SIZE - 1), EINVAL);
	EXPECT_EQ(read(fd, events, 2 * EVENT_SIZE - 1), EVENT_SIZE);
	EXPECT_EQ(read(fd, events, sizeof(events)), 2 * EVENT_SIZE);
}

TEST(a_read_that_may_not_block_is_EAGAIN_without_an_event)
{
	struct vgpio_event event;
	int fd;

	need_queue();
	fd = open_node(O_RDWR | O_NONBLOCK);
	EXPECT_ERR(read(fd, &event, sizeof(event)), EAGAIN);
	/* The file's flags as they are now, not as they were at open. */
	fd = open_node(O_RDWR);
	SAFE(fcntl(fd, F_SETFL, O_NONBLOCK));
	EXPECT_ERR(read(fd, &event, sizeof(event)), EAGAIN);
	toggle(fd, 0, 1);
	EXPECT_EQ(read(fd, &event, sizeof(event)), EVENT_SIZE);
}

TEST(a_call_with_RWF_NOWAIT_is_EAGAIN_without_an_event)
{
	struct vgpio_event event;
	struct iovec iov = { .iov_base = &event, .iov_len = sizeof(event) };
	int fd;

	need_queue();
	fd = open_node(O_RDWR);
	/* vgpio_rust_*, vgpio_raw_*: there it must be refused, so that nobody waits unawares. */
	if (strstr(test_module(), "_rust_") || strstr(test_module(), "_raw_")) {
		EXPECT_ERR(preadv2(fd, &iov, 1, -1, RWF_NOWAIT), EOPNOTSUPP);
		SKIP("FMODE_NOWAIT has no binding in Rust");
	}
	EXPECT_ERR(preadv2(fd, &iov, 1, -1, RWF_NOWAIT), EAGAIN);
	toggle(fd, 0, 1);
	EXPECT_EQ(preadv2(fd, &iov, 1, -1, RWF_NOWAIT), EVENT_SIZE);
}

TEST(the_stream_has_no_positions)
{
	struct vgpio_event event;
	int fd;

	need_queue();
	fd = open_node(O_RDWR | O_NONBLOCK);
	toggle(fd, 0, 1);
	EXPECT_ERR(pread(fd, &event, sizeof(event), 0), ESPIPE);
	EXPECT_ERR(lseek(fd, 0, SEEK_SET), ESPIPE);
	EXPECT_EQ(read_events(fd, &event, 1), 1);
}

TEST(poll_tells_of_events_and_consumes_none)
{
	struct vgpio_event event;
	struct pollfd pfd = { .events = POLLIN | POLLRDNORM };
	int i;

	need_queue();
	pfd.fd = open_node(O_RDWR | O_NONBLOCK);
	EXPECT_EQ(poll(&pfd, 1, 0), 0);
	toggle(pfd.fd, 0, 2);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(poll(&pfd, 1, 0), 1);
		EXPECT_EQ(pfd.revents, POLLIN | POLLRDNORM);
	}
	EXPECT_EQ(read_events(pfd.fd, &event, 1), 1);
	EXPECT_EQ(poll(&pfd, 1, 0), 1);
	EXPECT_EQ(read_events(pfd.fd, &event, 1), 1);
	EXPECT_EQ(poll(&pfd, 1, 0), 0);
}

TEST(edge_triggered_epoll_reports_every_burst)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	struct vgpio_event event;
	int fd, ep, i;

	need_queue();
	fd = open_node(O_RDWR | O_NONBLOCK);
	ep = SAFE(epoll_create1(EPOLL_CLOEXEC));
	SAFE(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(epoll_wait(ep, &ev, 1, 0), 0);
		toggle(fd, 0, 2);
		EXPECT_EQ(epoll_wait(ep, &ev, 1, 0), 1);
		EXPECT_EQ(drain(fd, &event), 2);
	}
}

struct exclusive {
	int fd;
	atomic_bool waits;
	bool woken;
};

static void *wait_exclusively(void *arg)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLEXCLUSIVE };
	struct exclusive *e = arg;
	int ep = SAFE(epoll_create1(EPOLL_CLOEXEC));

	SAFE(epoll_ctl(ep, EPOLL_CTL_ADD, e->fd, &ev));
	atomic_store(&e->waits, true);
	e->woken = epoll_wait(ep, &ev, 1, LOST_AFTER_MS) == 1;
	close(ep);
	return NULL;
}

/* Of several who wait for one thing only one is to be woken up. Each open's stream is its own thing. */
TEST(exclusive_epolls_on_opens_of_their_own_are_all_woken_up)
{
	const struct timespec pause = { .tv_nsec = 50000000 };
	struct exclusive e[2] = { 0 };
	pthread_t threads[2];
	unsigned int i, tries = 0;
	int writer;

	need_queue();
	writer = open_node(O_WRONLY);
	for (i = 0; i < 2; i++) {
		e[i].fd = open_node(O_RDONLY | O_NONBLOCK);
		threads[i] = start(wait_exclusively, &e[i]);
	}
	for (i = 0; i < 2; i++)
		while (!atomic_load(&e[i].waits))
			wait_for_others(&tries);
	/* Until both are asleep; one that is not sees the event when it looks. */
	nanosleep(&pause, NULL);
	toggle(writer, 0, 1);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	EXPECT_TRUE(e[0].woken);
	EXPECT_TRUE(e[1].woken);
}

TEST(a_fault_consumes_nothing)
{
	long page = sysconf(_SC_PAGESIZE);
	struct vgpio_event event;
	unsigned long long first;
	char *map;
	int fd;

	need_queue();
	fd = open_node(O_RDWR | O_NONBLOCK);
	map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(map != MAP_FAILED);
	SAFE(munmap(map + page, page));
	toggle(fd, 0, 4);

	EXPECT_ERR(read(fd, map + page, EVENT_SIZE), EFAULT);
	EXPECT_ERR(read(fd, map + page - EVENT_SIZE / 2, EVENT_SIZE), EFAULT);
	/* One record and a half fit before the hole. */
	ASSERT_EQ(read(fd, map + page - EVENT_SIZE * 3 / 2, 3 * EVENT_SIZE), EVENT_SIZE);
	memcpy(&event, map + page - EVENT_SIZE * 3 / 2, EVENT_SIZE);
	first = event.sequence;
	EXPECT_EQ(event.missed, 0);

	ASSERT_EQ(read_events(fd, &event, 1), 1);
	EXPECT_EQ(event.sequence, first + 1);
	EXPECT_EQ(event.missed, 0);
	EXPECT_EQ(drain(fd, &event), 2);
}

TEST(splice_moves_the_same_records)
{
	struct vgpio_event events[3];
	int fd, pipes[2];

	need_queue();
	fd = open_node(O_RDWR | O_NONBLOCK);
	SAFE(pipe(pipes));
	toggle(fd, 7, 3);
	ASSERT_EQ(splice(fd, NULL, pipes[1], NULL, sizeof(events), 0), sizeof(events));
	ASSERT_EQ(read(pipes[0], events, sizeof(events)), sizeof(events));
	EXPECT_EQ(events[0].pin, 7);
	EXPECT_EQ(events[2].sequence, events[0].sequence + 2);
	EXPECT_EQ(read_events(fd, events, 1), 0);
}

static void on_signal(int sig)
{
	(void)sig;
}

/* A process that ends with 0 when a signal ends its read. */
static pid_t read_until_signal(int fd)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct vgpio_event event;
	pid_t pid = SAFE(fork());

	if (pid)
		return pid;
	sigaction(SIGALRM, &action, NULL);
	ualarm(20000, 20000);
	_exit(read(fd, &event, sizeof(event)) == -1 && errno == EINTR ? 0 : 1);
}

TEST(a_signal_ends_a_blocked_read_and_takes_no_event)
{
	struct vgpio_event event;
	int fd, writer, status;
	pid_t pid;

	need_queue();
	fd = open_node(O_RDONLY);
	writer = open_node(O_WRONLY);
	pid = read_until_signal(fd);
	SAFE(waitpid(pid, &status, 0));
	EXPECT_EQ(status, 0);
	toggle(writer, 0, 1);
	EXPECT_EQ(read(fd, &event, sizeof(event)), EVENT_SIZE);
}

static void await_sleep(pid_t pid)
{
	char path[32], state;
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	do {
		usleep(1000);
		stat = fopen(path, "re");
		ASSERT_TRUE(stat);
		ASSERT_EQ(fscanf(stat, "%*d %*s %c", &state), 1);
		fclose(stat);
	} while (state != 'S');
}

/* A reader that waits has no lock that another one needs. */
TEST_WITH_TIMEOUT(a_signal_ends_a_read_that_waits_behind_another, 30)
{
	int fd, writer, status = 0;
	struct vgpio_event event;
	pid_t first, second, gone;
	long long end;

	need_queue();
	fd = open_node(O_RDONLY);
	writer = open_node(O_WRONLY);
	first = SAFE(fork());
	if (!first)
		_exit(read(fd, &event, sizeof(event)) == EVENT_SIZE ? 0 : 1);
	await_sleep(first);
	second = read_until_signal(fd);
	end = now_ms() + 10000;
	do {
		usleep(10000);
		gone = waitpid(second, &status, WNOHANG);
	} while (!gone && now_ms() < end);
	EXPECT_EQ(gone, second);
	EXPECT_EQ(status, 0);
	/* One for each: even if it cannot be killed, it does not stay. */
	toggle(writer, 0, 2);
	SAFE(waitpid(first, &status, 0));
	EXPECT_EQ(status, 0);
	if (!gone)
		waitpid(second, NULL, 0);
}

/* Threads and CPUs */

struct sharing {
	int fd;
	unsigned long long first; /* its bit is 0 */
	unsigned int total;
	atomic_uint taken;
	atomic_uchar *seen;
};

static void *read_shared(void *arg)
{
	struct sharing *s = arg;
	struct vgpio_event events[3];
	size_t n, i;

	while (atomic_load(&s->taken) < s->total) {
		struct pollfd pfd = { .fd = s->fd, .events = POLLIN };

		poll(&pfd, 1, 1);
		n = read_events(s->fd, events, 3);
		for (i = 0; i < n; i++) {
			unsigned long long index = events[i].sequence - s->first;

			EXPECT_EQ(events[i].missed, 0);
			ASSERT_TRUE(index < s->total);
			EXPECT_EQ(atomic_fetch_add(&s->seen[index], 1), 0);
			atomic_fetch_add(&s->taken, 1);
		}
	}
	return NULL;
}

TEST(threads_that_share_a_descriptor_get_each_event_once)
{
	struct vgpio_info info = need_queue();
	struct sharing s = { .total = 2000 };
	struct vgpio_event event;
	pthread_t threads[3];
	unsigned int i, pause_at, tries;
	int writer = open_node(O_WRONLY);

	s.fd = open_node(O_RDONLY | O_NONBLOCK);
	s.seen = calloc(s.total, sizeof(*s.seen));
	ASSERT_TRUE(s.seen != NULL);
	toggle(writer, 0, 1);
	ASSERT_EQ(read_events(s.fd, &event, 1), 1);
	s.first = event.sequence + 1;

	for (i = 0; i < 3; i++)
		threads[i] = start(read_shared, &s);
	pause_at = info.ring / 2;
	for (i = 0; i < s.total; i++) {
		/* Never so far ahead that the ring is overrun: this is not about missed events. */
		for (tries = 0; i - atomic_load(&s.taken) >= pause_at;)
			wait_for_others(&tries);
		toggle(writer, i % VGPIO_LINES, 1);
	}
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(atomic_load(&s.taken), s.total);
	for (i = 0; i < s.total; i++)
		ASSERT_EQ(atomic_load(&s.seen[i]), 1);
}

struct ping {
	int fd;
	bool use_poll;
	atomic_bool stop;
	atomic_uint acknowledged;
};

static void *read_and_acknowledge(void *arg)
{
	struct ping *p = arg;
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
	struct vgpio_event event;

	use_cpu(0);
	while (!atomic_load(&p->stop)) {
		if (p->use_poll)
			ASSERT_EQ(poll(&pfd, 1, -1), 1);
		ASSERT_EQ(read(p->fd, &event, sizeof(event)), EVENT_SIZE);
		EXPECT_EQ(event.missed, 0);
		atomic_fetch_add(&p->acknowledged, 1);
	}
	return NULL;
}

/*
 * One change at a time, the next one only after the reader has acknowledged it: a wake-up that is
 * lost once stays lost. The pause before each change varies, so that changes hit the reader at
 * every point on its way to sleep.
 */
static void stress_wakeups(bool use_poll)
{
	struct ping p = { .use_poll = use_poll };
	unsigned int round, value, spin;
	int writer = open_node(O_WRONLY);
	long long end, lost_at = 0;
	pthread_t reader;

	p.fd = open_node(O_RDONLY);
	value = get(writer, 0);
	reader = start(read_and_acknowledge, &p);
	use_cpu(1);
	end = now_ms() + STRESS_MS;

	for (round = 1;; round++) {
		bool last = round % 16 == 0 && now_ms() >= end;
		unsigned int tries = 0;

		for (spin = round * 7 % 509; spin; spin--)
			atomic_signal_fence(memory_order_seq_cst);
		atomic_store(&p.stop, last);
		value = !value;
		set(writer, 0, value);
		while (atomic_load(&p.acknowledged) != round) {
			wait_for_others(&tries);
			if (tries == WAIT_SPINS)
				lost_at = now_ms() + LOST_AFTER_MS;
			if (tries > WAIT_SPINS && now_ms() > lost_at) {
				test_fail(__FILE__, __LINE__,
					  "change %u did not wake the reader up", round);
				test_end();
			}
		}
		if (last)
			break;
	}
	pthread_join(reader, NULL);
	test_note("%u changes, each one woke the reader up", round);
}

TEST(no_wakeup_of_a_blocked_read_is_lost)
{
	need_queue();
	stress_wakeups(false);
}

TEST(no_wakeup_of_a_blocked_poll_is_lost)
{
	need_queue();
	stress_wakeups(true);
}

#define WRITERS 3
#define READERS 2
#define WRITES	16 /* between two looks at the clock */

struct crowd {
	atomic_bool done;
	atomic_uint pins;
	atomic_uint changes;
	long long end; /* of the writing; no number of sets: a host may hold up who has the lock */
};

struct crowd_reader {
	struct crowd *crowd;
	int fd;
	unsigned long long records, missed;
};

static void *write_crowd(void *arg)
{
	struct crowd *c = arg;
	/* A line of its own, so that each of its sets is a change. */
	unsigned int pin = atomic_fetch_add(&c->pins, 1);
	int fd = open_node(O_WRONLY);

	use_cpu(pin);
	do {
		toggle(fd, pin, WRITES);
		atomic_fetch_add(&c->changes, WRITES);
	} while (now_ms() < c->end);
	close(fd);
	return NULL;
}

static void *read_crowd(void *arg)
{
	struct crowd_reader *r = arg;
	unsigned char values[VGPIO_LINES];
	struct vgpio_event events[16];
	unsigned long long last = 0;
	bool over = false;
	size_t n, i;

	memset(values, 7, sizeof(values));
	do {
		struct pollfd pfd = { .fd = r->fd, .events = POLLIN };

		/* Looked at before the read: the last reads return what was set till then. */
		over = atomic_load(&r->crowd->done);
		poll(&pfd, 1, over ? 0 : 2);
		while ((n = read_events(r->fd, events, 16)) > 0) {
			for (i = 0; i < n; i++) {
				const struct vgpio_event *e = &events[i];

				if (last)
					ASSERT_EQ(e->sequence, last + 1 + e->missed);
				ASSERT_TRUE(e->pin < WRITERS && e->value <= 1);
				/* A line cannot become what it is, unless a change was missed. */
				if (e->missed)
					memset(values, 7, sizeof(values));
				ASSERT_TRUE(values[e->pin] != e->value);
				values[e->pin] = e->value;
				last = e->sequence;
				r->records++;
				r->missed += e->missed;
			}
		}
	} while (!over);
	return NULL;
}

TEST(with_many_writers_and_readers_every_change_is_read_or_counted_once)
{
	struct crowd c = { .end = now_ms() + STRESS_MS };
	struct crowd_reader r[READERS] = { 0 };
	pthread_t writers[WRITERS], readers[READERS];
	int i;

	need_queue();
	for (i = 0; i < READERS; i++) {
		r[i].crowd = &c;
		r[i].fd = open_node(O_RDONLY | O_NONBLOCK);
		readers[i] = start(read_crowd, &r[i]);
	}
	for (i = 0; i < WRITERS; i++)
		writers[i] = start(write_crowd, &c);
	for (i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	atomic_store(&c.done, true);
	for (i = 0; i < READERS; i++) {
		pthread_join(readers[i], NULL);
		EXPECT_EQ(r[i].records + r[i].missed, atomic_load(&c.changes));
		test_note("reader %d: %llu records, %llu missed", i, r[i].records, r[i].missed);
	}
}

struct held_read {
	int fd;
	void *to;
	ssize_t n;
};

static void *read_held(void *arg)
{
	struct held_read *h = arg;

	h->n = read(h->fd, h->to, 16 * EVENT_SIZE);
	return NULL;
}

/* A page whose fault waits for us holds up a reader that has looked for events and copies one. */
TEST_WITH_TIMEOUT(a_change_that_comes_while_another_is_read_is_not_lost, 30)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_zeropage zero = { .mode = 0 };
	struct held_read h = { .n = -1 };
	struct vgpio_event *first, second;
	size_t page = sysconf(_SC_PAGESIZE);
	struct pollfd pfd = { .events = POLLIN };
	pthread_t reader;

	need_queue();
	h.fd = open_node(O_RDWR | O_NONBLOCK);
	h.to = SAFE(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	pfd.fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (pfd.fd < 0)
		SKIP("userfaultfd: %s", errno_name(errno));
	SAFE(ioctl(pfd.fd, UFFDIO_API, &api));
	reg.range.start = (uintptr_t)h.to;
	reg.range.len = page;
	SAFE(ioctl(pfd.fd, UFFDIO_REGISTER, &reg));
	toggle(h.fd, 0, 1);
	reader = start(read_held, &h);
	ASSERT_EQ(poll(&pfd, 1, 10000), 1);
	toggle(h.fd, 0, 1);
	zero.range = reg.range;
	SAFE(ioctl(pfd.fd, UFFDIO_ZEROPAGE, &zero));
	pthread_join(reader, NULL);
	ASSERT_EQ(h.n, EVENT_SIZE);
	first = h.to;
	ASSERT_EQ(read_events(h.fd, &second, 1), 1);
	EXPECT_EQ(second.sequence, first->sequence + 1);
	EXPECT_EQ(second.missed, 0);
}

struct racer {
	atomic_uint *ready;
	unsigned int pin;
};

static void *write_against_another(void *arg)
{
	struct racer *r = arg;
	long long end = now_ms() + STRESS_MS;
	int fd = open_node(O_WRONLY);
	unsigned int round, tries = 0;

	use_cpu(r->pin);
	atomic_fetch_add(r->ready, 1);
	while (atomic_load(r->ready) < 2)
		wait_for_others(&tries);
	for (round = 0; round % 64 || now_ms() < end; round++) {
		set(fd, r->pin, round % 2);
		ASSERT_EQ(get(fd, r->pin), round % 2);
	}
	close(fd);
	return NULL;
}

TEST(racing_SETs_of_different_lines_do_not_undo_each_other)
{
	atomic_uint ready = 0;
	struct racer racers[2];
	pthread_t writers[2];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		racers[i] = (struct racer){ .ready = &ready, .pin = i };
		writers[i] = start(write_against_another, &racers[i]);
	}
	for (i = 0; i < 2; i++)
		pthread_join(writers[i], NULL);
}

struct race {
	atomic_uint phase;	 /* odd: SETs go on, even: they rest; 0: over */
	atomic_uint reached;	 /* the phase that the writer is in */
	atomic_uint begun, done; /* SETs */
};

static void *write_race(void *arg)
{
	struct race *r = arg;
	int fd = open_node(O_WRONLY);
	unsigned int value = get(fd, 0), tries = 0, phase;

	use_cpu(1);
	while ((phase = atomic_load(&r->phase))) {
		atomic_store(&r->reached, phase);
		if (phase % 2 == 0) {
			wait_for_others(&tries);
			continue;
		}
		tries = 0;
		value = !value;
		atomic_fetch_add(&r->begun, 1);
		set(fd, 0, value);
		atomic_fetch_add(&r->done, 1);
	}
	close(fd);
	return NULL;
}

static void enter_phase(struct race *r, unsigned int phase)
{
	unsigned int tries = 0;

	atomic_store(&r->phase, phase);
	while (atomic_load(&r->reached) != phase)
		wait_for_others(&tries);
}

TEST(an_open_that_races_with_SETs_misses_none_that_begins_after_it)
{
	unsigned int phase = 2, done_before, begun_after, done, tries;
	struct race r = { .phase = phase };
	unsigned long long count;
	struct vgpio_event event;
	pthread_t writer;
	long long end;
	int fd;

	need_queue();
	writer = start(write_race, &r);
	use_cpu(0);
	end = now_ms() + STRESS_MS;
	do {
		tries = 0;
		enter_phase(&r, ++phase);
		done_before = atomic_load(&r.done);
		fd = open_node(O_RDONLY | O_NONBLOCK);
		begun_after = atomic_load(&r.begun);
		/* Some that it must see, not so many that the ring is overrun. */
		while (atomic_load(&r.done) < begun_after + 3)
			wait_for_others(&tries);
		enter_phase(&r, ++phase);
		done = atomic_load(&r.done);
		count = drain(fd, &event);
		/* Those under way during the open may be in or out. */
		EXPECT_GE(count, done - begun_after);
		EXPECT_LE(count, done - done_before);
		close(fd);
	} while (now_ms() < end);
	atomic_store(&r.phase, 0);
	pthread_join(writer, NULL);
	test_note("%u opens", phase / 2 - 1);
}

/* The client */

static void expect_client(const char *words, int status, const char *out)
{
	struct program_output o = program_run("vgpioctl --device %s %s", test_node(), words);

	if (o.status != status || (out && strcmp(o.out, out)))
		test_fail(__FILE__, __LINE__,
			  "vgpioctl %s: status %d, output \"%s\", errors \"%s\"", words, o.status,
			  o.out, o.err);
	/* A failure is one line. */
	if (status == 1 && (!strchr(o.err, '\n') || strchr(o.err, '\n')[1]))
		test_fail(__FILE__, __LINE__, "vgpioctl %s: errors \"%s\"", words, o.err);
}

TEST(vgpioctl_sets_gets_and_toggles)
{
	int fd = open_node(O_RDONLY);
	char json[300];

	expect_client("set 0=1 1=0 7=1", 0, "");
	EXPECT_EQ(get(fd, 0), 1);
	EXPECT_EQ(get(fd, 1), 0);
	EXPECT_EQ(get(fd, 7), 1);
	expect_client("get 7 1", 0, "7=1\n1=0\n");
	expect_client("toggle 1", 0, "");
	EXPECT_EQ(get(fd, 1), 1);
	snprintf(json, sizeof(json), "{\"device\":\"%s\",\"lines\":[{\"pin\":1,\"value\":1}]}\n",
		 test_node());
	expect_client("--json get 1", 0, json);
}

TEST(vgpioctl_tells_wrong_usage_from_failure)
{
	struct program_output o;

	expect_client("set 1=2", 2, "");
	expect_client("frobnicate", 2, "");
	expect_client("get 8", 1, "");
	expect_client("set 99=1", 1, "");
	o = program_run("vgpioctl --device /dev/vgpio_that_is_not_there get");
	EXPECT_EQ(o.status, 1);
	EXPECT_TRUE(strstr(o.err, "is the module loaded?") != NULL);
}

TEST(vgpioctl_says_whom_the_node_is_closed_to)
{
	struct program_output o;

	SAFE(chmod(test_node(), 0600));
	o = program_run_as(65534, "vgpioctl --device %s get", test_node());
	EXPECT_EQ(o.status, 1);
	if (!strstr(o.err, "Permission denied") || strchr(o.err, '\n')[1])
		test_fail(__FILE__, __LINE__, "errors \"%s\"", o.err);
	SAFE(chmod(test_node(), 0666));
}

TEST(vgpioctl_watch_prints_events_until_the_count_or_an_interrupt)
{
	int fd, out[2], status, count;
	struct pollfd pfd;
	char text[512];
	pid_t pid;

	need_queue();
	fd = open_node(O_WRONLY);
	for (count = 0; count < 2; count++) {
		SAFE(pipe2(out, O_CLOEXEC));
		pid = program_start(out[1], STDERR_FILENO, "vgpioctl --device %s watch%s",
				    test_node(), count ? " -n 1 --timeout 5" : "");
		close(out[1]);
		pfd.fd = out[0];
		pfd.events = POLLIN;
		/* It may not have opened the device yet. */
		do
			toggle(fd, 3, 1);
		while (!poll(&pfd, 1, 2));
		EXPECT_GE(read(out[0], text, sizeof(text) - 1), 1);
		if (!count)
			SAFE(kill(pid, SIGINT));
		SAFE(waitpid(pid, &status, 0));
		EXPECT_EQ(status, 0);
		close(out[0]);
	}
}

struct togglers {
	atomic_bool stop;
	atomic_uint pins;
};

static void *toggle_always(void *arg)
{
	struct togglers *t = arg;
	unsigned int pin = atomic_fetch_add(&t->pins, 1);
	int fd = open_node(O_WRONLY);

	while (!atomic_load(&t->stop))
		toggle(fd, pin, 1000);
	close(fd);
	return NULL;
}

/* What it prints is read so slowly that there is always one more change. */
TEST_WITH_TIMEOUT(vgpioctl_watch_ends_in_time_and_by_a_signal_while_changes_keep_coming, 90)
{
	static const char *const how[] = { " --timeout 0.2", "" };
	const struct timespec begun = { .tv_nsec = 300000000 }, pause = { .tv_nsec = 20000000 };
	struct togglers t = { 0 };
	pthread_t others[2];
	int out[2], status;
	char text[4096];
	unsigned int i;
	long long end;
	ssize_t n;
	pid_t pid;

	need_queue();
	for (i = 0; i < 2; i++)
		others[i] = start(toggle_always, &t);
	for (i = 0; i < 2; i++) {
		SAFE(pipe2(out, O_CLOEXEC));
		pid = program_start(out[1], STDERR_FILENO, "vgpioctl --device %s watch%s",
				    test_node(), how[i]);
		close(out[1]);
		/* Before its first line it does not know the signal. */
		if (!*how[i])
			EXPECT_GE(read(out[0], text, sizeof(text)), 1);
		nanosleep(&begun, NULL);
		if (!*how[i])
			SAFE(kill(pid, SIGINT));
		end = now_ms() + NEVER_MS;
		while ((n = read(out[0], text, sizeof(text))) > 0 && now_ms() < end)
			nanosleep(&pause, NULL);
		EXPECT_EQ(n, 0);
		if (n)
			SAFE(kill(pid, SIGKILL));
		SAFE(waitpid(pid, &status, 0));
		EXPECT_EQ(status, 0);
		close(out[0]);
	}
	atomic_store(&t.stop, true);
	for (i = 0; i < 2; i++)
		pthread_join(others[i], NULL);
}

TEST(vgpioctl_watch_says_that_a_build_has_no_events)
{
	if (get_info().features & VGPIO_FEATURE_QUEUE)
		SKIP("this build has an event queue");
	expect_client("watch -n 1", 1, "");
}

/* The module */

/* It says what is wrong in one line, which names the parameter and its value. */
static void expect_refused(const char *params, const char *says)
{
	char message[200];
	unsigned int before;
	int ret;

	snprintf(message, sizeof(message), "%s: %s", test_module(), says);
	before = log_count(message);
	ret = module_load(test_module(), params);
	if (ret != -EINVAL || log_count(message) != before + 1)
		test_fail(__FILE__, __LINE__, "%s: %s, and \"%s\" logged %u times", params,
			  ret ? errno_name(-ret) : "loaded", message, log_count(message) - before);
	if (!ret)
		module_unload(test_module());
}

/* Loaded, with the parameters of driver.ini: there are none. */
static void leave_as_found(void)
{
	ASSERT_EQ(module_load(test_module(), ""), 0);
}

TEST(a_mode_that_is_not_read_and_write_permissions_is_refused_with_one_message)
{
	ASSERT_EQ(module_unload(test_module()), 0);
	expect_refused("mode=0", "mode 0: expected read and write permissions, 02 to 0666");
	expect_refused("mode=01", "mode 01: expected");
	expect_refused("mode=0777", "mode 0777: expected");
	expect_refused("mode=01666", "mode 01666: expected");
	expect_refused("mode=4294967295", "mode 037777777777: expected");
	EXPECT_EQ(module_load(test_module(), "mode=-1"), -EINVAL);
	EXPECT_EQ(module_load(test_module(), "mode=rw"), -EINVAL);
	leave_as_found();
}

TEST(a_mode_in_range_is_the_nodes)
{
	static const unsigned int modes[] = { 02, 0640, VGPIO_MODE_DEFAULT };
	struct stat st;
	char params[32];
	unsigned int i;

	ASSERT_EQ(module_unload(test_module()), 0);
	for (i = 0; i < 3; i++) {
		snprintf(params, sizeof(params), "mode=%#o", modes[i]);
		ASSERT_EQ(module_load(test_module(), params), 0);
		SAFE(stat(test_node(), &st));
		EXPECT_EQ(st.st_mode & 07777, modes[i]);
		ASSERT_EQ(module_unload(test_module()), 0);
	}
	leave_as_found();
	SAFE(stat(test_node(), &st));
	EXPECT_EQ(st.st_mode & 07777, VGPIO_MODE_DEFAULT);
}

TEST(a_ring_that_is_no_power_of_two_from_16_to_4096_is_refused_with_one_message)
{
	need_queue();
	ASSERT_EQ(module_unload(test_module()), 0);
	expect_refused("ring=0", "ring 0: expected a power of two from 16 to 4096");
	expect_refused("ring=8", "ring 8: expected");
	expect_refused("ring=17", "ring 17: expected");
	expect_refused("ring=8192", "ring 8192: expected");
	expect_refused("ring=2147483648", "ring 2147483648: expected");
	EXPECT_EQ(module_load(test_module(), "ring=-16"), -EINVAL);
	EXPECT_EQ(module_load(test_module(), "ring=16k"), -EINVAL);
	leave_as_found();
}

struct late {
	atomic_uint round, done; /* 0: no more */
	int fd;
};

static void *set_once_a_round(void *arg)
{
	unsigned int value = 0, seen = 0, round;
	struct late *l = arg;

	use_cpu(0);
	for (;;) {
		unsigned int tries = 0;

		while ((round = atomic_load(&l->round)) == seen)
			wait_for_others(&tries);
		if (!round)
			return NULL;
		value = !value;
		set(l->fd, 0, value);
		seen = round;
		atomic_store(&l->done, round);
	}
}

/* It was held up between its change and its record: another's 16th change after it has its place. */
TEST(a_setter_that_is_late_by_a_round_of_the_ring_leaves_the_newest_change_alone)
{
	struct late l = { 0 };
	struct vgpio_event last;
	unsigned int round;
	pthread_t other;
	long long end;
	int fd;

	need_queue();
	ASSERT_EQ(module_unload(test_module()), 0);
	ASSERT_EQ(module_load(test_module(), "ring=16"), 0);
	fd = open_node(O_RDWR | O_NONBLOCK);
	l.fd = fd;
	set(fd, 0, 0);
	drain(fd, &last);
	other = start(set_once_a_round, &l);
	use_cpu(1);
	end = now_ms() + STRESS_MS;
	for (round = 1; now_ms() < end; round++) {
		unsigned int tries = 0;

		atomic_store(&l.round, round);
		toggle(fd, 1, 16);
		while (atomic_load(&l.done) != round)
			wait_for_others(&tries);
		ASSERT_EQ(drain(fd, &last), 17);
	}
	atomic_store(&l.round, 0);
	pthread_join(other, NULL);
	test_note("%u rounds", round - 1);
	close(fd);
	ASSERT_EQ(module_unload(test_module()), 0);
	leave_as_found();
}

TEST(a_ring_in_range_is_what_is_kept_for_readers)
{
	static const unsigned int rings[] = { VGPIO_RING_MIN, VGPIO_RING_MAX, VGPIO_RING_DEFAULT };
	struct vgpio_event event;
	char params[32];
	unsigned int i;
	int reader, fd;

	need_queue();
	ASSERT_EQ(module_unload(test_module()), 0);
	for (i = 0; i < 3; i++) {
		snprintf(params, sizeof(params), "ring=%u", rings[i]);
		ASSERT_EQ(module_load(test_module(), params), 0);
		EXPECT_EQ(get_info().ring, rings[i]);
		reader = open_node(O_RDONLY | O_NONBLOCK);
		fd = open_node(O_WRONLY);
		toggle(fd, 0, rings[i] + 3);
		EXPECT_EQ(read_events(reader, &event, 1), 1);
		EXPECT_EQ(event.missed, 3);
		close(reader);
		close(fd);
		ASSERT_EQ(module_unload(test_module()), 0);
	}
	leave_as_found();
}
