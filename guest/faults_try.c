// SPDX-License-Identifier: GPL-2.0
/*
 * One try of a call in a process of its own. What the process comes to is written where the sweep sees it, stage
 * by stage, so that it is known also when the process dies of it.
 *
 * The counter of faults counts what the kernel does for this task between two writes to its file, and the
 * file's own reads and writes copy, too: a read that fails has met the last one, and then none is left.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "guest.h"

#define DEBUGFS	    "/sys/kernel/debug/"
#define TRY_MS	    30000 /* for calls that hang: a host may be busy */
#define TICK_MS	    2000  /* a call that waits is interrupted after that */
#define TICKS_MS    100	  /* and where one is known to wait */
#define FRAMES_NEAR 4

/* Stages of a try. */
enum {
	PREPARING,
	CALLING,
	CALLED,
	MADE_AGAIN,
	FINISHED,
};

static struct outcome *outcome; /* shared with the process that tries */

static bool knob_set(const char *dir, const char *name, const char *value)
{
	char path[128];
	bool done;
	int fd;

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	done = !write_all(fd, value, strlen(value));
	close(fd);
	return done;
}

static const char *const injectors[] = { "failslab", "fail_page_alloc", "fail_usercopy" };

static void injectors_set(const char *name, const char *value)
{
	unsigned int i;

	for (i = 0; i < sizeof(injectors) / sizeof(injectors[0]); i++)
		knob_set(injectors[i], name, value);
}

bool faults_open(char why[160])
{
	if (access("/proc/self/fail-nth", W_OK)) {
		snprintf(why, 160, "this kernel injects no faults (CONFIG_FAULT_INJECTION)");
		return false;
	}
	/* Most allocations may wait for memory, and those are meant. */
	if (!knob_set("failslab", "ignore-gfp-wait", "N")) {
		snprintf(why, 160, DEBUGFS "failslab: %s (CONFIG_FAILSLAB)", errno_name(errno));
		return false;
	}
	knob_set("fail_page_alloc", "ignore-gfp-wait", "N");
	knob_set("fail_page_alloc", "ignore-gfp-highmem", "N");
	injectors_set("verbose", "0");
	injectors_set("verbose_ratelimit_interval_ms", "0");
	/* For FAULT_ALL: only of tasks that say so, and not the copies, without which no task could say it again. */
	injectors_set("task-filter", "Y");
	injectors_set("times", "-1");
	knob_set("failslab", "probability", "100");
	knob_set("fail_page_alloc", "probability", "100");
	outcome = shared_memory(sizeof(*outcome));
	return true;
}

void faults_choose(int which)
{
	knob_set("fail_page_alloc", "min-order", which == FAULT_NONE ? "100" : "0");
	/* no cache has the mark that it would need then */
	knob_set("failslab", "cache-filter", which == FAULT_PAGES ? "Y" : "N");
}

static void on_tick(int sig)
{
	(void)sig;
}

void try_tick(bool on)
{
	long ms = shared->waits ? TICKS_MS : TICK_MS;
	struct itimerval it = { 0 };
	struct sigaction sa = { .sa_handler = on_tick };

	if (on) {
		it.it_value.tv_sec = it.it_interval.tv_sec = ms / 1000;
		it.it_value.tv_usec = it.it_interval.tv_usec = ms % 1000 * 1000;
	}
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
}

/* ---- In the process that tries ---- */

static int nth_fd, all_fd;

static void fault_arm(int fault)
{
	char text[16];
	int n;

	if (fault == FAULT_ALL) {
		pwrite(all_fd, "1", 1, 0);
	} else if (fault != FAULT_NONE) {
		n = snprintf(text, sizeof(text), "%d", fault % FAULT_PAGES);
		pwrite(nth_fd, text, n, 0);
	}
}

/* Whether the fault happened. */
static bool fault_disarm(int fault)
{
	char left[16] = "";
	ssize_t n;

	if (fault == FAULT_ALL) {
		pwrite(all_fd, "0", 1, 0);
		return true;
	}
	if (fault == FAULT_NONE)
		return false;
	n = pread(nth_fd, left, sizeof(left) - 1, 0);
	if (n <= 0)
		return false;
	if (!atoi(left))
		return true;
	/* When it is this copy's turn to fail, none is left either. */
	if (pwrite(nth_fd, "0", 1, 0) < 0)
		pwrite(nth_fd, "0", 1, 0);
	return false;
}

static void __attribute__((noreturn)) try_process(const struct call *c, int fault, const char *tag)
{
	const char *what = "";
	long ret;

	prctl(PR_SET_NAME, tag);
	nth_fd = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	all_fd = open("/proc/self/make-it-fail", O_RDWR | O_CLOEXEC);
	ret = c->prepare ? c->prepare(c, &what) : 0;
	if (ret < 0) {
		outcome->what = what;
		outcome->result.ret = ret;
		_exit(0);
	}
	/* Faults are to meet the call, not this process's own pages. */
	mlockall(MCL_CURRENT);
	try_tick(true);
	atomic_store(&outcome->stage, CALLING);
	if (c->flags & CALL_EXITS) {
		fault_arm(fault);
		_exit(0);
	}
	fault_arm(fault);
	ret = c->run(c);
	outcome->fault = fault_disarm(fault);
	item_set(&outcome->result, c->name, ret, NULL, 0);
	if (c->result && ret >= 0)
		c->result(c, &outcome->result);
	atomic_store(&outcome->stage, CALLED);
	if (c->flags & CALL_FD && ret >= 0)
		state_take_fd(&outcome->made, call_fd());
	if (outcome->fault && fault != FAULT_ALL && ret < 0 && !(c->flags & CALL_ONCE)) {
		ret = c->run(c);
		item_set(&outcome->again, c->name, ret, NULL, 0);
		if (c->result && ret >= 0)
			c->result(c, &outcome->again);
		outcome->again_made = true;
	}
	atomic_store(&outcome->stage, FINISHED);
	_exit(0);
}

/* ---- In the sweep ---- */

/* Of a process that has ended and was not waited for: its counter is still there. */
static bool fault_of_dead(pid_t pid)
{
	char path[64], left[16];

	snprintf(path, sizeof(path), "/proc/%d/fail-nth", (int)pid);
	return file_read(path, left, sizeof(left)) > 0 && !atoi(left);
}

/* Whether it ends in time; its descriptors and mappings are gone then. */
static bool ends(pid_t pid, int ms)
{
	int fd = syscall(SYS_pidfd_open, pid, 0);
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int n;

	do
		n = poll(&pfd, 1, ms);
	while (n < 0 && errno == EINTR);
	close(fd);
	return n > 0;
}

static void report_line(void *arg, const char *text)
{
	(void)arg;
	test_note("%s", text);
}

const struct outcome *try_call(const struct call *c, int fault, const char *tag)
{
	siginfo_t info = { 0 };
	pid_t pid;

	memset(outcome, 0, sizeof(*outcome));
	state_touched();
	pid = SAFE(fork());
	if (!pid)
		try_process(c, fault, tag);
	if (!ends(pid, TRY_MS)) {
		outcome->end = TRY_HUNG;
		process_report(pid, report_line, NULL);
		kill(pid, SIGKILL);
		if (!ends(pid, STUCK_AFTER_MS)) {
			test_fail(__FILE__, __LINE__, "killed, and does not die");
			test_end();
		}
	}
	waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
	if (c->flags & CALL_EXITS && fault > 0)
		outcome->fault = fault_of_dead(pid);
	waitpid(pid, NULL, 0);
	if (outcome->end == TRY_HUNG)
		return outcome;
	if (info.si_code != CLD_EXITED) {
		outcome->end = TRY_KILLED;
		outcome->signal = info.si_status;
	} else if (outcome->stage == PREPARING) {
		outcome->end = TRY_UNPREPARED;
	}
	return outcome;
}

/* ---- Where a fault happened ---- */

/* Frames of the injection itself, and of every allocation. */
static bool frame_tells(const char *frame)
{
	static const char *const dull[] = { "dump_stack",    "should_fail", "fail_dump",
					    "__should_fail", "show_stack",  "__dump_stack" };
	unsigned int i;

	for (i = 0; i < sizeof(dull) / sizeof(dull[0]); i++)
		if (!strncmp(frame, dull[i], strlen(dull[i])))
			return false;
	return strstr(frame, "+0x") && frame[0] != '?';
}

/* "foo_open+0x20/0x100 [foo]" of a line of the trace; NULL if it is none. */
static char *frame_of(char *record)
{
	char *text = strchr(record, ';');

	if (!text)
		return NULL;
	text++;
	text[strcspn(text, "\n")] = '\0';
	while (*text == ' ')
		text++;
	return frame_tells(text) ? text : NULL;
}

/* Makes the call with that fault, and leaves what the kernel says of it to be read. -1: it cannot be. */
static int fault_traced(const struct call *c, int fault)
{
	int kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (kmsg < 0)
		return -1;
	lseek(kmsg, 0, SEEK_END);
	injectors_set("verbose", "2");
	try_call(c, fault, "where");
	injectors_set("verbose", "0");
	return kmsg;
}

/* The next frame, in @record; NULL at the end. */
static char *frame_next(int kmsg, char record[2048])
{
	char *frame = NULL;
	ssize_t n;

	while (!frame) {
		n = read(kmsg, record, 2047);
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			return NULL;
		record[n] = '\0';
		frame = frame_of(record);
	}
	return frame;
}

/* The allocation, and the first function of a module above it, or else some function near. */
void fault_where(const struct call *c, int fault, char where[200])
{
	char record[2048], first[100] = "", last[100] = "", *frame;
	int kmsg = fault_traced(c, fault);
	unsigned int frames = 0;
	bool in_module = false;

	where[0] = '\0';
	while (kmsg >= 0 && !in_module && (frame = frame_next(kmsg, record))) {
		if (!frames++)
			snprintf(first, sizeof(first), "%.99s", frame);
		in_module = strchr(frame, '[') != NULL;
		if (in_module || frames <= FRAMES_NEAR)
			snprintf(last, sizeof(last), "%.99s", frame);
	}
	close(kmsg);
	if (frames)
		snprintf(where, 200, "%.*s in %.99s", (int)strcspn(first, "+"), first, last);
}

int fault_is_under(const struct call *c, int fault, const char *function)
{
	int kmsg = fault_traced(c, fault);
	int under = outcome->fault ? -1 : 1;
	char record[2048], *frame;

	while (kmsg >= 0 && under < 1 && (frame = frame_next(kmsg, record)))
		under = !strncmp(frame, function, strlen(function));
	close(kmsg);
	return under;
}
