// SPDX-License-Identifier: GPL-2.0
/*
 * Claims about waiting: non-blocking reads, poll, signals, events.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CLAIM_ORDER 204

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform.h"
#include "guest.h"

/* A waiting call is left alone for so long before it counts as waiting. */
#define SETTLE_MS   40
#define PATIENCE_MS 2000

/* read(2), EAGAIN: "marked nonblocking, and the read would block". Defect 17. */
CLAIM(read_nonblock, "read.nonblock", NEED_WAIT,
      "a non-blocking read with nothing there fails with EAGAIN at once")
{
	int fd = dev_open(MODE_READ);
	char buf[4096];
	long ret;

	drain(fd);
	ret = dev_read(fd, buf, sizeof(buf));
	if (ret == -EINTR)
		test_fail(__FILE__, __LINE__, "the read waits");
	else if (ret != -EAGAIN)
		test_fail(__FILE__, __LINE__, "the read: %s", result(ret));
}

/*
 * poll(2): without a poll operation the kernel answers "always ready" (and epoll_ctl EPERM). That
 * is true of memory, and a lie where a read has to wait. Defect 17.
 */
CLAIM(poll_offered, "poll.offered", NEED_WAIT, "a device whose reads wait offers poll")
{
	if (!facts->has_poll)
		test_fail(__FILE__, __LINE__, "reads wait, and poll always says ready");
}

static bool selected(int fd)
{
	struct timeval none = { 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, &none) > 0;
}

static bool polled(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) > 0 && pfd.revents & POLLIN;
}

/* Asked anew by EPOLL_CTL_MOD: whether a wake-up came is poll.wakes's question. */
static bool epolled(int ep, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };

	epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev);
	return epoll_wait(ep, &ev, 1, 0) > 0 && ev.events & EPOLLIN;
}

static void expect_same(int ep, int fd, const char *when)
{
	bool p = polled(fd), s = selected(fd), e = epolled(ep, fd);

	if (p != s || p != e)
		test_fail(__FILE__, __LINE__, "%s poll says %s, select %s, epoll %s", when,
			  p ? "ready" : "not ready", s ? "ready" : "not ready",
			  e ? "ready" : "not ready");
}

/*
 * select(2) reads POLLRDNORM, poll and epoll what they were asked for: a driver must give both
 * bits.
 */
CLAIM(poll_same, "poll.same", NEED_POLL | NEED_READ, "poll, select and epoll say the same")
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = SAFE(epoll_create1(EPOLL_CLOEXEC));
	int fd = dev_open(MODE_READ);

	drain(fd);
	SAFE(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	expect_same(ep, fd, "with nothing read yet");
	if (conf.event) {
		raise_event();
		await_data(fd);
		expect_same(ep, fd, "after an event");
	}
}

/* poll(2), POLLIN: "there is data to read". */
CLAIM(poll_read, "poll.read", NEED_POLL | NEED_READ,
      "poll tells the truth: ready, and a non-blocking read does not say EAGAIN; not ready, and it does")
{
	int fd = dev_open(MODE_READ);
	char buf[4096];
	int i, ready;
	long ret;

	drain(fd);
	for (i = 0; i < 2; i++) {
		ready = ready_now(fd);
		ret = dev_read(fd, buf, facts->positioned ? 16 : sizeof(buf));
		if (ready && (ret == -EAGAIN || ret == -EINTR))
			test_fail(__FILE__, __LINE__, "ready, and a read: %s", result(ret));
		/* EINTR: it waited, which is read.nonblock's finding. */
		if (!ready && ret != -EAGAIN && ret != -EINTR)
			test_fail(__FILE__, __LINE__, "not ready, and a read: %s", result(ret));
		if (i || !conf.event)
			break;
		raise_event();
		if (!await_data(fd)) {
			test_fail(__FILE__, __LINE__, "not ready after an event");
			break;
		}
	}
}

/* poll(2) is a question. The published poll variant cleared the event that it told of. */
CLAIM(poll_keeps, "poll.keeps", NEED_POLL | NEED_READ,
      "poll consumes nothing, however often it is asked")
{
	int fd = dev_open(MODE_READ);
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLRDNORM };
	char buf[4096];
	long ret;
	int i;

	drain(fd);
	if (conf.event && (facts->read == READ_WAITS || facts->read == READ_BLOCKS)) {
		raise_event();
		await_data(fd);
	}
	if (!ready_now(fd))
		SKIP("never ready%s", conf.event ? "" : ", and no event is declared");
	for (i = 0; i < 8; i++) {
		if (poll(&pfd, 1, 20) <= 0) {
			test_fail(__FILE__, __LINE__, "no longer ready when asked for the %d. time",
				  i + 1);
			break;
		}
	}
	ret = dev_read(fd, buf, facts->positioned ? 16 : sizeof(buf));
	if (ret == -EAGAIN || ret == -EINTR)
		test_fail(__FILE__, __LINE__, "ready %d times, then a read: %s", i, result(ret));
}

/* poll(2) with a timeout: the driver's poll has to register its wait queue by poll_wait(). */
CLAIM(poll_wakes, "poll.wakes", NEED_POLL | NEED_WAIT | NEED_EVENT,
      "an event ends a poll that waits")
{
	int fd = dev_open(MODE_READ);
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLRDNORM };
	long long since;
	pid_t pid;
	int ret;

	drain(fd);
	if (ready_now(fd))
		SKIP("ready with nothing to read");
	tick(false);
	pid = fork();
	if (!pid) {
		usleep(SETTLE_MS * 1000);
		raise_event();
		_exit(0);
	}
	since = now_ms();
	ret = poll(&pfd, 1, PATIENCE_MS);
	if (ret <= 0 || now_ms() - since >= PATIENCE_MS)
		test_fail(__FILE__, __LINE__, "poll returned %d after %lld ms", ret,
			  now_ms() - since);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void on_usr1(int sig)
{
	(void)sig;
}

/* What the child that waits in a read tells. */
struct waiter {
	atomic_int began;
	atomic_int done;
	long ret;
};

/* A child waits in a blocking read, with the given flags for its signal. */
static pid_t wait_in_read(struct waiter **shared, int sa_flags)
{
	struct sigaction sa = { .sa_handler = on_usr1, .sa_flags = sa_flags };
	struct waiter *w;
	static char buf[4096];
	int fd;
	pid_t pid;

	tick(false);
	w = shared_memory(sizeof(*w));
	*shared = w;
	fd = dev_open(MODE_READ);
	tick(true);
	drain(fd);
	tick(false);
	fcntl(fd, F_SETFL, 0);
	sigaction(SIGUSR1, &sa, NULL);
	pid = fork();
	if (!pid) {
		atomic_store(&w->began, 1);
		w->ret = read(fd, buf, sizeof(buf));
		if (w->ret < 0)
			w->ret = -errno;
		atomic_store(&w->done, 1);
		_exit(0);
	}
	close(fd);
	while (!atomic_load(&w->began))
		usleep(1000);
	usleep(SETTLE_MS * 1000);
	if (atomic_load(&w->done)) {
		waitpid(pid, NULL, 0);
		SKIP("the blocking read did not wait: %s", result(w->ret));
	}
	return pid;
}

static bool ends_within(pid_t pid, int ms)
{
	long long until = now_ms() + ms;

	while (now_ms() < until) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return true;
		usleep(1000);
	}
	return false;
}

/*
 * signal(7): "interrupted by a signal handler ... fails with the error EINTR" without SA_RESTART.
 */
CLAIM(signal_eintr, "signal.eintr", NEED_WAIT,
      "a signal ends a read that waits with EINTR when its handler has no SA RESTART")
{
	struct waiter *w;
	pid_t pid = wait_in_read(&w, 0);

	kill(pid, SIGUSR1);
	if (!ends_within(pid, PATIENCE_MS)) {
		test_fail(__FILE__, __LINE__, "the read goes on waiting");
		kill(pid, SIGKILL);
		ends_within(pid, PATIENCE_MS);
		return;
	}
	if (w->ret != -EINTR)
		test_fail(__FILE__, __LINE__, "the read: %s", result(w->ret));
}

/*
 * signal(7): restarted with SA_RESTART, so the driver returns ERESTARTSYS. Defect 33: it returned
 * EINTR.
 */
CLAIM(signal_restart, "signal.restart", NEED_WAIT,
      "a read that waits goes on after a signal whose handler has SA RESTART")
{
	struct waiter *w;
	pid_t pid = wait_in_read(&w, SA_RESTART);

	kill(pid, SIGUSR1);
	usleep(SETTLE_MS * 1000);
	if (atomic_load(&w->done)) {
		test_fail(__FILE__, __LINE__, "the read: %s", result(w->ret));
		return;
	}
	if (!conf.event) {
		kill(pid, SIGKILL);
		return;
	}
	raise_event();
	if (!ends_within(pid, PATIENCE_MS)) {
		test_fail(__FILE__, __LINE__, "after the signal an event no longer ends the read");
		kill(pid, SIGKILL);
	} else if (w->ret <= 0) {
		test_fail(__FILE__, __LINE__, "after an event the read: %s", result(w->ret));
	}
}

/* signal(7): SIGKILL cannot be caught. A process in an uninterruptible wait stays for ever. */
CLAIM(signal_kill, "signal.kill", NEED_WAIT, "SIGKILL ends a process that waits in read")
{
	struct waiter *w;
	pid_t pid = wait_in_read(&w, 0);

	kill(pid, SIGKILL);
	if (!ends_within(pid, PATIENCE_MS))
		test_fail(__FILE__, __LINE__, "the process lives on after SIGKILL");
}

/* Bytes that a non-blocking read gives, 0 when it would wait. */
static long read_record(int fd)
{
	char buf[4096];
	long ret = dev_read(fd, buf, sizeof(buf));

	return ret > 0 ? ret : 0;
}

static int open_drained(void)
{
	int fd = dev_open(MODE_READ);

	drain(fd);
	return fd;
}

/*
 * Defects 13 and 14: one flag for all openers; the first reader steals the event from the others.
 */
CLAIM(event_each, "event.each", NEED_EVENT | NEED_TWO | NEED_WAIT,
      "an event reaches every open, or exactly one where the opens are declared to share")
{
	int a = open_drained(), b = open_drained();
	long n, m;

	raise_event();
	await_data(a);
	n = read_record(a);
	m = read_record(b);
	if (conf.shared_events ? !n == !m : !n || !m)
		test_fail(__FILE__, __LINE__,
			  "one event: the first open reads %ld bytes, the second %ld", n, m);
}

/* Defect 10: a flag tested and cleared apart is consumed twice. */
CLAIM(event_once, "event.once", NEED_EVENT | NEED_WAIT, "an event reaches an open only once")
{
	int fd = open_drained();

	raise_event();
	await_data(fd);
	if (!read_record(fd))
		SKIP("no event came");
	if (read_record(fd))
		test_fail(__FILE__, __LINE__, "a second read gives the event again");
}

/* Defect 14: "a set before open is delivered later". */
CLAIM(event_old, "event.old", NEED_EVENT | NEED_WAIT,
      "an event from before the open does not reach it")
{
	int fd;

	if (conf.shared_events)
		SKIP("the opens share their events");
	fd = open_drained();
	close(fd);
	raise_event();
	usleep(2000);
	fd = dev_open(MODE_READ);
	if (read_record(fd))
		test_fail(__FILE__, __LINE__, "the new open reads it");
}

/* Defect 16: the event was consumed before copy_to_user(). */
CLAIM(event_fault, "event.fault", NEED_EVENT | NEED_WAIT,
      "a read that fails with EFAULT leaves the event to the next read")
{
	void *bad[2] = { unmapped_page(), (char *)unmapped_page() - 4 };
	int fd = open_drained(), i;
	long ret;

	for (i = 0; i < 2; i++) {
		raise_event();
		await_data(fd);
		ret = dev_read(fd, bad[i], 4096);
		if (ret > 0 && i)
			continue; /* a short read is one, too */
		if (ret != -EFAULT)
			test_fail(__FILE__, __LINE__, "read to %p: %s", bad[i], result(ret));
		if (!read_record(fd))
			test_fail(__FILE__, __LINE__, "the event is lost");
		drain(fd);
	}
}

/* Defects 11 and 12: N sets were not N reads. */
CLAIM(event_count, "event.count", NEED_EVENT | NEED_WAIT,
      "three events before the first read are three records")
{
	int fd = open_drained(), i;
	long one, all = 0, n = 1;

	if (conf.merges_events)
		SKIP("several events are declared to be one record");
	raise_event();
	await_data(fd);
	one = read_record(fd);
	drain(fd);
	if (!one)
		SKIP("no event came");
	for (i = 0; i < 3; i++)
		raise_event();
	await_data(fd);
	for (i = 0; i < 16 && n; i++)
		all += n = read_record(fd);
	if (all < 3 * one)
		test_fail(__FILE__, __LINE__, "one event is %ld bytes, three are %ld", one, all);
}
