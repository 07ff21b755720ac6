// SPDX-License-Identifier: GPL-2.0
/*
 * Claims about how long an open file and its mapping live: closed while in use, passed on, over exec and exit.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CLAIM_ORDER 223

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform_wait.h"
#include "guest.h"
#include "protocol.h"

static void on_usr2(int sig)
{
	(void)sig;
}

/* Ends the thread's call by an event, or else by a signal. */
static void end_call(struct waiter *w, bool by_event, const char *when)
{
	struct sigaction sa = { .sa_handler = on_usr2 };

	if (!atomic_load(&w->done) && by_event) {
		raise_event();
	} else if (!atomic_load(&w->done)) {
		sigaction(SIGUSR2, &sa, NULL);
		syscall(SYS_tgkill, w->pid, w->tid, SIGUSR2);
	}
	if (!waiter_ends(w))
		test_fail(__FILE__, __LINE__, "%s the call never ends", when);
}

/* close(2): a call under way keeps the open file. Its release comes when that call has ended, and once. */
CLAIM(close_reader, "close.reader", NEED_WAIT,
      "a descriptor closed, or replaced by dup2, under a thread that reads leaves the read and the device whole")
{
	static const char *const when[2] = { "after close", "after dup2" };
	int users = users_now(), fd, null, i;
	struct waiter *w;

	null = SAFE(open("/dev/null", O_RDONLY | O_CLOEXEC));
	for (i = 0; i < 2; i++) {
		tick(true);
		fd = waiting_open();
		if (!waiter_thread(&w, call_read, fd))
			SKIP("the blocking read does not wait: %s", result(w->ret));
		if (i)
			SAFE(dup2(null, fd));
		else
			close(fd);
		waiter_waits(w);
		end_call(w, conf.event, when[i]);
		expect_users(users, when[i]);
		expect_opens(when[i]);
	}
}

/* select(2), NOTES: "on Linux, closing the file descriptor in another thread has no effect". */
CLAIM(close_poll, "close.poll", NEED_WAIT | NEED_POLL,
      "a descriptor closed under a thread that polls leaves the poll waiting")
{
	int users = users_now(), fd = waiting_open();
	struct waiter *w;

	if (ready_now(fd))
		SKIP("ready with nothing to read");
	if (!waiter_thread(&w, call_poll, fd))
		SKIP("poll does not wait: %s", result(w->ret));
	close(fd);
	if (!waiter_waits(w)) {
		test_fail(__FILE__, __LINE__, "poll returns 0x%lx", w->ret);
		return;
	}
	end_call(w, false, "after close");
	expect_users(users, "after poll");
	expect_opens("after poll");
}

/* Documentation/filesystems/vfs.rst: flush and release are about one open file, whoever has others. */
CLAIM(close_other, "close.other", NEED_TWO,
      "closing one open of the device, also by dup2, leaves the other opens of its process alone")
{
	int a = dev_open(MODE_ANY), b = dev_open(MODE_ANY), c;

	close(dev_open(MODE_ANY));
	expect_working(a, "after the close of another open");
	SAFE(dup2(b, a));
	expect_working(a, "after dup2");
	expect_working(b, "after dup2");
	c = dev_open(MODE_ANY);
	close(a);
	expect_working(b, "after the close of its duplicate");
	close(b);
	expect_working(c, "after the close of the others");
}

static void send_fd(int sock, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	SAFE(sendmsg(sock, &msg, 0));
}

static int receive_fd(int sock)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	int fd = -1;

	SAFE(recvmsg(sock, &msg, MSG_CMSG_CLOEXEC));
	if (CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void sockets(int pair[2])
{
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair))
		SKIP("unix sockets: %s", errno_name(errno));
}

/* unix(7), SCM_RIGHTS: what is in flight is open, though no process has a descriptor of it. */
CLAIM(pass_flight, "pass.flight", NEED_NODE,
      "a descriptor that was closed while in flight through a socket works when it is received")
{
	int fd = dev_open(MODE_ANY), sock[2], copy;
	bool waits = facts->mode != O_WRONLY &&
		     (facts->read == READ_WAITS || facts->read == READ_BLOCKS);
	char buf[4096];

	copy = SAFE(dup(fd));
	close(copy);
	if (!still_works(fd))
		SKIP("the close of a duplicate ends it: see open.dup");
	if (facts->positioned)
		dev_seek(fd, 5, SEEK_SET);
	drain(fd);
	sockets(sock);
	send_fd(sock[0], fd);
	close(fd);
	if (waits && conf.event)
		raise_event();
	fd = receive_fd(sock[1]);
	if (fd < 0) {
		test_fail(__FILE__, __LINE__, "none was received");
		return;
	}
	if (facts->positioned && dev_seek(fd, 0, SEEK_CUR) != 5)
		test_fail(__FILE__, __LINE__, "its position is %s, not 5",
			  result(dev_seek(fd, 0, SEEK_CUR)));
	if (waits && conf.event && !conf.shared_events) {
		await_data(fd);
		if (dev_read(fd, buf, sizeof(buf)) <= 0)
			test_fail(__FILE__, __LINE__, "an event from its flight is lost");
	}
	expect_working(fd, "after its flight");
}

/* Release comes from whoever closes last: here a process that never had the device open. */
CLAIM(pass_dropped, "pass.dropped", NEED_NODE,
      "a descriptor that is in flight when its socket is closed is released, by whomever")
{
	int users = users_now(), sock[2], fd;
	pid_t pid;

	sockets(sock);
	pid = fork();
	if (!pid) {
		tick(true);
		fd = dev_open_quietly(facts->mode);
		if (fd >= 0)
			send_fd(sock[0], fd);
		_exit(fd < 0);
	}
	if (child_end(pid))
		SKIP("a child cannot open it");
	close(sock[0]);
	close(sock[1]);
	expect_users(users, "after the socket's close");
	expect_opens("after the socket's close");
}

/* What a new program finds: 0, 1 when it cannot open the device, 2 when the descriptor is there. */
int conform_after_exec(const char *what)
{
	const char *node = getenv(ENV_NODE);
	int fd, mode, ret;

	if (!node || sscanf(what, "%d,%d", &fd, &mode) != 2)
		return 3;
	if (fcntl(fd, F_GETFD) >= 0)
		return 2;
	ret = name_open(node, mode);
	if (ret < 0)
		fprintf(stderr, "open: %s\n", result(ret));
	return ret < 0;
}

static void exec_and_look(int fd)
{
	char what[32];

	snprintf(what, sizeof(what), "%d,%d", fd, facts->mode);
	execl("/proc/self/exe", program_invocation_name, "--gone", what, NULL);
	_exit(127);
}

static void expect_exec(pid_t pid, int users)
{
	int status = child_end(pid);

	if (status == 1)
		test_fail(__FILE__, __LINE__, "the new program cannot open the device");
	else if (status == 2)
		test_fail(__FILE__, __LINE__, "the new program has the descriptor");
	else if (status)
		test_fail(__FILE__, __LINE__, "exec does not come to its end: %d", status);
	expect_users(users, "after exec and exit");
	expect_opens("after exec and exit");
}

/* execve(2), open(2): O_CLOEXEC. The release runs in the new program's memory. */
CLAIM(exec_cloexec, "exec.cloexec", NEED_NODE,
      "exec closes a descriptor with O CLOEXEC, and the new program can open the device")
{
	int users = users_now(), fd;
	pid_t pid = fork();

	if (!pid) {
		tick(true);
		fd = dev_open_quietly(facts->mode);
		tick(false);
		exec_and_look(fd);
	}
	expect_exec(pid, users);
}

/* execve(2): "all threads other than the calling thread are destroyed", also those that wait in the device. */
CLAIM(exec_threads, "exec.threads", NEED_WAIT,
      "exec ends the waiting read of another thread, and the new program can open the device")
{
	int users = users_now(), fd;
	struct waiter *w;
	pid_t pid = fork();

	if (!pid) {
		tick(true);
		fd = waiting_open();
		if (!waiter_thread(&w, call_read, fd))
			SKIP("the blocking read does not wait: %s", result(w->ret));
		exec_and_look(fd);
	}
	expect_exec(pid, users);
}

/* _exit(2): threads, descriptors and mappings end in any order. */
CLAIM(exit_threads, "exit.threads", NEED_WAIT,
      "a process exits while its threads wait in read and poll, and the device can be opened again")
{
	int users = users_now(), fd;
	struct waiter *w;
	pid_t pid = fork();

	if (!pid) {
		tick(true);
		fd = waiting_open();
		if (!waiter_thread(&w, call_read, fd))
			SKIP("the blocking read does not wait: %s", result(w->ret));
		if (facts->has_poll)
			waiter_thread(&w, call_poll, fd);
		_exit(0);
	}
	if (child_end(pid))
		test_fail(__FILE__, __LINE__, "it does not come to its end");
	expect_users(users, "after exit");
	expect_opens("after exit");
}

/* The mapping goes when the process has no memory any more. */
CLAIM(exit_mapped, "exit.mapped", NEED_NODE,
      "a process exits, or is killed, with the device mapped, and another can map it")
{
	int users = users_now(), fd, i;
	void *map;
	pid_t pid;

	fd = dev_open(MODE_ANY);
	map = map_page(fd);
	if (!map)
		SKIP("mmap is not offered");
	munmap(map, page_size());
	close(fd);
	for (i = 0; i < 2; i++) {
		pid = fork();
		if (!pid) {
			tick(true);
			fd = dev_open_quietly(facts->mode);
			map = map_page(fd);
			close(fd);
			if (map && i)
				kill(getpid(), SIGKILL);
			_exit(map ? 0 : 1);
		}
		if (child_end(pid) == 1)
			test_fail(__FILE__, __LINE__, "the child cannot map it");
	}
	expect_users(users, "after exit");
	fd = dev_open(MODE_ANY);
	if (!map_page(fd))
		test_fail(__FILE__, __LINE__, "after exit mmap: %s", errno_name(errno));
}

static int borrowed_fd;

static int borrow(void *arg)
{
	static char buf[16];

	(void)arg;
	if (facts->mode != O_WRONLY && facts->read == READ_DATA && facts->positioned &&
	    pread(borrowed_fd, buf, 1, 0) < 0)
		buf[0] = 0;
	close(borrowed_fd);
	_exit(0);
}

/* vfork(2), and posix_spawn(3): the child has our memory, and descriptors of its own. */
CLAIM(exec_vfork, "exec.vfork", NEED_NODE,
      "a vforked child closes its copy of a descriptor, and the parent's works on")
{
	size_t size = 65536;
	char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	ASSERT_TRUE(stack != MAP_FAILED);
	borrowed_fd = dev_open(MODE_ANY);
	tick(false);
	pid = SAFE(clone(borrow, stack + size, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
	child_end(pid);
	tick(true);
	expect_working(borrowed_fd, "after a vforked child's close");
}
