// SPDX-License-Identifier: GPL-2.0
/*
 * Claims about processes that are stopped, traced, confined or signalled while they wait in the device.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CLAIM_ORDER 221

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform_wait.h"
#include "guest.h"

#define WAITERS 3

/* Starts one that waits; the claim is skipped when the call does not. */
static struct waiter *waits_in(long (*call)(struct waiter *w), int fd, void (*before)(void))
{
	struct waiter *w;

	if (!waiter_start(&w, call, fd, before))
		SKIP("the blocking call does not wait: %s",
		     atomic_load(&w->done) ? result(w->ret) : "the process is gone");
	if (w->state == 'D')
		SKIP("it waits where no signal reaches it: see signal.eintr");
	return w;
}

/* What it must do when something else than an event has woken it. */
static bool expect_waiting(struct waiter *w, const char *when)
{
	if (waiter_waits(w))
		return true;
	test_fail(__FILE__, __LINE__, "%s the call no longer waits: %s", when,
		  atomic_load(&w->done) ? result(w->ret) : "the process was killed");
	return false;
}

/* signal(7): stop signals and SIGCONT end none but a few calls, and read is not one of these. */
CLAIM(suspend_read, "suspend.read", NEED_WAIT,
      "a read that waits goes on after SIGSTOP and SIGCONT")
{
	struct waiter *w = waits_in(call_read, waiting_open(), NULL);

	waiter_stop(w);
	waiter_continue(w);
	if (expect_waiting(w, "after SIGCONT"))
		waiter_expect_event(w, "after SIGCONT");
}

static void raise_three(void)
{
	int i;

	for (i = 0; i < 3; i++)
		raise_event();
}

/* The bytes that are there without a wait. */
static long read_rest(int fd)
{
	char buf[4096];
	long n, all = 0;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	tick(true);
	while ((n = dev_read(fd, buf, sizeof(buf))) > 0)
		all += n;
	tick(false);
	fcntl(fd, F_SETFL, 0);
	return all;
}

/* The device goes on while its reader is stopped. */
CLAIM(suspend_event, "suspend.event", NEED_WAIT | NEED_EVENT,
      "events that come while a waiting reader is stopped reach it")
{
	int fd = waiting_open();
	long running, stopped;
	struct waiter *w;

	raise_three();
	if (!await_data(fd))
		SKIP("no event came");
	running = read_rest(fd);
	w = waits_in(call_read, fd, NULL);
	waiter_stop(w);
	raise_three();
	waiter_continue(w);
	if (!waiter_ends(w) || w->ret <= 0) {
		test_fail(__FILE__, __LINE__, "the read: %s",
			  atomic_load(&w->done) ? result(w->ret) : "waits on");
		return;
	}
	stopped = w->ret + read_rest(fd);
	if (stopped < running && !conf.merges_events)
		test_fail(__FILE__, __LINE__, "three events are %ld bytes, or %ld when stopped",
			  running, stopped);
}

/* poll(2) is restarted by the kernel: the driver's poll is called again, and must say the same. */
CLAIM(suspend_poll, "suspend.poll", NEED_POLL | NEED_WAIT,
      "a poll that waits goes on after SIGSTOP and SIGCONT")
{
	int fd = waiting_open();
	struct waiter *w;

	if (ready_now(fd))
		SKIP("ready with nothing to read");
	w = waits_in(call_poll, fd, NULL);
	waiter_stop(w);
	waiter_continue(w);
	expect_waiting(w, "after SIGCONT");
}

/* signal(7): an ioctl that waits is restarted, too, when no handler runs. */
CLAIM(suspend_ioctl, "suspend.ioctl", NEED_IOCTL,
      "an ioctl that waits goes on after SIGSTOP and SIGCONT")
{
	int fd = dev_open(MODE_ANY), waited = 0;
	struct waiter *w;

	for (waiter_ioctl = conf.ioctls; waiter_ioctl < conf.ioctls + conf.n_ioctls;
	     waiter_ioctl++) {
		/* The one before may have raised an event. */
		fcntl(fd, F_SETFL, O_NONBLOCK);
		tick(true);
		drain(fd);
		tick(false);
		fcntl(fd, F_SETFL, 0);
		if (!waiter_start(&w, call_ioctl, fd, NULL))
			continue;
		waited++;
		waiter_stop(w);
		waiter_continue(w);
		expect_waiting(w, waiter_ioctl->name);
		waiter_kill(w);
	}
	if (!waited)
		SKIP("no known ioctl waits");
}

/* Waits until the tracee has stopped, then lets it go. */
static void detach(struct waiter *w)
{
	if (waitpid(w->pid, NULL, __WALL) == w->pid)
		ptrace(PTRACE_DETACH, w->pid, NULL, NULL);
}

/* ptrace(2): a debugger is not to change what its tracee does, whichever way it attaches. */
CLAIM(ptrace_attach, "ptrace.attach", NEED_WAIT,
      "a read that waits goes on after a debugger has attached and detached")
{
	struct waiter *w = waits_in(call_read, waiting_open(), NULL);

	if (ptrace(PTRACE_ATTACH, w->pid, NULL, NULL))
		SKIP("ptrace: %s", errno_name(errno));
	detach(w);
	if (!expect_waiting(w, "after PTRACE_ATTACH"))
		return;
	if (!ptrace(PTRACE_SEIZE, w->pid, NULL, NULL) &&
	    !ptrace(PTRACE_INTERRUPT, w->pid, NULL, NULL))
		detach(w);
	if (expect_waiting(w, "after PTRACE_INTERRUPT"))
		waiter_expect_event(w, "after PTRACE_DETACH");
}

static void signals_away(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGUSR2, SIG_IGN);
}

/* signal(7): a signal that is blocked stays pending and disturbs nobody. */
CLAIM(signal_blocked, "signal.blocked", NEED_WAIT,
      "a read that waits takes no notice of blocked and ignored signals")
{
	struct waiter *w = waits_in(call_read, waiting_open(), signals_away);

	kill(w->pid, SIGUSR1);
	kill(w->pid, SIGUSR2);
	if (expect_waiting(w, "after a blocked signal"))
		waiter_expect_event(w, "with a blocked signal");
}

/* A wait queue wakes all that wait, unless they wait exclusively: then all but one sleep on. */
CLAIM(event_all, "event.all", NEED_WAIT | NEED_EVENT | NEED_TWO,
      "an event ends the waiting reads of all opens, or of one where the opens are declared to share")
{
	int i, ended, needed = conf.shared_events ? 1 : WAITERS;
	struct waiter *w[WAITERS];
	long long until;

	for (i = 0; i < WAITERS; i++)
		w[i] = waits_in(call_read, waiting_open(), NULL);
	raise_event();
	until = now_ms() + PATIENCE_MS;
	do {
		usleep(1000);
		for (i = 0, ended = 0; i < WAITERS; i++)
			ended += atomic_load(&w[i]->done);
	} while (ended < needed && now_ms() < until);
	if (ended < needed)
		test_fail(__FILE__, __LINE__, "of %d readers %d wait on", WAITERS, WAITERS - ended);
}

/* fcntl(2), F_SETFL: the flag belongs to the open file and may change; ioctl_tty(2)'s FIONBIO is the same. */
CLAIM(fcntl_nonblock, "fcntl.nonblock", NEED_WAIT,
      "O NONBLOCK counts from when fcntl or FIONBIO sets it, not from the open")
{
	int fd, off = 0, on = 1;
	char buf[4096];
	long ret;

	fd = dev_try_open(dev_mode(MODE_READ));
	if (fd < 0)
		SKIP("a blocking open: %s", result(fd));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	ret = dev_read(fd, buf, sizeof(buf));
	if (ret == -EINTR && facts->read == READ_WAITS)
		test_fail(__FILE__, __LINE__, "after F_SETFL the read waits");
	ioctl(fd, FIONBIO, &off);
	ioctl(fd, FIONBIO, &on);
	ret = dev_read(fd, buf, sizeof(buf));
	if (ret == -EINTR && facts->read == READ_WAITS)
		test_fail(__FILE__, __LINE__, "after FIONBIO the read waits");
}

/* Stopped and continued the call may end, which is for others to judge, but not its process. */
static void expect_survival(struct waiter *w, const char *call)
{
	if (w->state == 'D')
		return; /* no signal reaches it: see signal.eintr */
	waiter_stop(w);
	waiter_continue(w);
	if (!waiter_waits(w) && !atomic_load(&w->done))
		test_fail(__FILE__, __LINE__, "%s: after SIGCONT the process was killed", call);
	waiter_kill(w);
}

static void strict(void)
{
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0))
		syscall(SYS_exit, 0);
}

/* What the confined child does, and that it came to its end. */
struct confined {
	long read, write;
	atomic_int done;
};

static int confined(struct confined *c, void (*before)(void))
{
	static char buf[4096];
	int fd = dev_open(MODE_ANY);
	pid_t pid;
	int ret;

	tick(false);

	atomic_store(&c->done, 0);
	pid = fork();
	if (!pid) {
		before();
		if (facts->mode != O_WRONLY && facts->read != READ_BLOCKS)
			c->read = read(fd, buf, facts->positioned ? 16 : sizeof(buf)) < 0;
		if (facts->mode != O_RDONLY && facts->writes)
			c->write = write(fd, buf, 16) < 0;
		atomic_store(&c->done, 1);
		syscall(SYS_exit, 0);
	}
	tick(true);
	ret = child_end(pid);
	/* not before: each close is a flush */
	close(fd);
	return ret;
}

static void nothing(void)
{
}

/* seccomp(2): read, write, _exit and sigreturn are all there is. A wait that is restarted by restart_syscall is not. */
CLAIM(seccomp_strict, "seccomp.strict", NEED_NODE,
      "strict seccomp leaves read and write of an open descriptor as they are, also when stopped in them")
{
	struct confined *c = shared_memory(2 * sizeof(*c));
	struct waiter *w;

	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0)
		SKIP("this kernel has no seccomp");
	confined(&c[0], nothing);
	confined(&c[1], strict);
	if (!atomic_load(&c[1].done))
		test_fail(__FILE__, __LINE__, "the confined process was killed");
	else if (c[0].read != c[1].read || c[0].write != c[1].write)
		test_fail(__FILE__, __LINE__, "%s fails, and without seccomp it does not",
			  c[0].read != c[1].read ? "read" : "write");
	if (facts->mode == O_WRONLY || (facts->read != READ_WAITS && facts->read != READ_BLOCKS))
		return;
	if (!waiter_start(&w, call_read, waiting_open(), strict))
		return;
	expect_survival(w, "read");
}

/* The one call that the filter lets through, besides exit. */
static unsigned int allowed_call;

static void filtered(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed_call, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0))
		syscall(SYS_exit, 0);
}

static bool has_filters(void)
{
	/* EFAULT: there are, and NULL is none. */
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0) < 0 && errno == EFAULT;
}

/* Documentation/userspace-api/seccomp_filter.rst: a call is one entry into the kernel, however long it takes. */
CLAIM(seccomp_filter, "seccomp.filter", NEED_NODE,
      "read and ioctl, each the only call that a seccomp filter allows, need no other, also when stopped in them")
{
	int fd = dev_open(MODE_ANY);
	struct waiter *w;

	if (!has_filters())
		SKIP("this kernel has no seccomp filters");
	allowed_call = SYS_ioctl;
	for (waiter_ioctl = conf.ioctls; waiter_ioctl < conf.ioctls + conf.n_ioctls;
	     waiter_ioctl++) {
		if (waiter_start(&w, call_ioctl, fd, filtered)) {
			expect_survival(w, waiter_ioctl->name);
		} else if (!atomic_load(&w->done)) {
			test_fail(__FILE__, __LINE__, "%s: the process was killed",
				  waiter_ioctl->name);
		}
	}
	allowed_call = SYS_read;
	if (facts->mode == O_WRONLY || facts->read == READ_NOT_OFFERED)
		return;
	close(fd);
	/* It waits, or it has returned. */
	if (!waiter_start(&w, call_read, waiting_open(), filtered)) {
		if (!atomic_load(&w->done))
			test_fail(__FILE__, __LINE__, "the process that reads was killed");
		return;
	}
	expect_survival(w, "read");
}
