// SPDX-License-Identifier: GPL-2.0
/*
 * What the claims about callers and lifetime share: processes that wait in a call, calls made by somebody else,
 * and a node of one's own.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "conform_wait.h"

#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define OWN_DIR "/dev/.cdevlab"
#define LOOK_US 500

/* --- calls that wait --- */

const struct uapi_ioctl *waiter_ioctl;

long call_read(struct waiter *w)
{
	static char buf[4096];
	long ret = read(w->fd, buf, sizeof(buf));

	return ret < 0 ? -errno : ret;
}

long call_poll(struct waiter *w)
{
	struct pollfd pfd = { .fd = w->fd, .events = POLLIN | POLLRDNORM };

	return poll(&pfd, 1, -1) < 0 ? -errno : pfd.revents;
}

/* In a page, as zeros where nothing is declared. */
static void *ioctl_argument(const struct uapi_ioctl *call)
{
	static unsigned char buf[1 << _IOC_SIZEBITS];
	const struct conf_arg *arg = conf_arg_of(call);

	memset(buf, 0, _IOC_SIZE(call->cmd));
	if (arg)
		memcpy(buf, arg->bytes, arg->len);
	return _IOC_DIR(call->cmd) == _IOC_NONE ? NULL : buf;
}

long call_ioctl(struct waiter *w)
{
	long ret = ioctl(w->fd, waiter_ioctl->cmd, ioctl_argument(waiter_ioctl));

	return ret < 0 ? -errno : ret;
}

int waiting_open(void)
{
	int fd = dev_open(MODE_READ);

	drain(fd);
	tick(false);
	fcntl(fd, F_SETFL, 0);
	return fd;
}

static char task_state(pid_t tid)
{
	char path[64], text[512], *end;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)tid);
	if (file_read(path, text, sizeof(text)) <= 0)
		return '\0';
	end = strrchr(text, ')');
	return end && end[1] == ' ' ? end[2] : '\0';
}

bool waiter_waits(struct waiter *w)
{
	long long until = now_ms() + PATIENCE_MS;
	int asleep = 0;
	char state;

	/* Twice: it may only be on its way into the call, or out of it. */
	while (asleep < 2 && now_ms() < until) {
		if (atomic_load(&w->done))
			return false;
		state = atomic_load(&w->began) ? task_state(w->tid) : 'R';
		if (!state || state == 'Z' || state == 'X')
			return false;
		w->state = state;
		asleep = state == 'S' || state == 'D' ? asleep + 1 : 0;
		usleep(LOOK_US);
	}
	return !atomic_load(&w->done);
}

bool waiter_ends(struct waiter *w)
{
	long long until = now_ms() + PATIENCE_MS;
	char state;

	while (now_ms() < until) {
		state = task_state(w->tid);
		if (atomic_load(&w->done) || !state || state == 'Z' || state == 'X')
			return true;
		usleep(LOOK_US);
	}
	return false;
}

bool waiter_start(struct waiter **new, long (*call)(struct waiter *w), int fd, void (*before)(void))
{
	struct waiter *w = shared_memory(sizeof(*w));
	pid_t pid;

	*new = w;
	w->call = call;
	w->fd = fd;
	pid = fork();
	if (!pid) {
		if (before)
			before();
		atomic_store(&w->began, 1);
		w->ret = call(w);
		atomic_store(&w->done, 1);
		/* Not _exit(): strict seccomp allows no exit_group. */
		syscall(SYS_exit, 0);
	}
	w->pid = w->tid = pid;
	if (waiter_waits(w))
		return true;
	/* its descriptor is gone with it: a second open may be refused */
	waiter_kill(w);
	return false;
}

static void *waiter_run(void *arg)
{
	struct waiter *w = arg;

	w->tid = syscall(SYS_gettid);
	atomic_store(&w->began, 1);
	w->ret = w->call(w);
	atomic_store(&w->done, 1);
	return NULL;
}

bool waiter_thread(struct waiter **new, long (*call)(struct waiter *w), int fd)
{
	struct waiter *w = shared_memory(sizeof(*w));
	pthread_t thread;

	*new = w;
	w->call = call;
	w->fd = fd;
	w->pid = getpid();
	if (pthread_create(&thread, NULL, waiter_run, w))
		SKIP("no thread can be made");
	return waiter_waits(w);
}

void waiter_stop(struct waiter *w)
{
	long long until = now_ms() + PATIENCE_MS;

	kill(w->pid, SIGSTOP);
	while (task_state(w->tid) != 'T' && !atomic_load(&w->done) && now_ms() < until)
		usleep(LOOK_US);
}

void waiter_continue(struct waiter *w)
{
	kill(w->pid, SIGCONT);
}

void waiter_kill(struct waiter *w)
{
	kill(w->pid, SIGKILL);
	waitpid(w->pid, NULL, 0);
}

void waiter_expect_event(struct waiter *w, const char *when)
{
	if (!conf.event) {
		waiter_kill(w);
		return;
	}
	raise_event();
	if (!waiter_ends(w))
		test_fail(__FILE__, __LINE__, "%s an event no longer ends the read", when);
	else if (!atomic_load(&w->done))
		test_fail(__FILE__, __LINE__, "%s the process was killed", when);
	else if (w->ret <= 0)
		test_fail(__FILE__, __LINE__, "%s, after an event, the read: %s", when,
			  result(w->ret));
}

int child_end(pid_t pid)
{
	long long until = now_ms() + PATIENCE_MS;
	int status;
	pid_t ret;

	while ((ret = waitpid(pid, &status, WNOHANG)) != pid) {
		if (now_ms() > until) {
			kill(pid, SIGKILL);
			return -1;
		}
		usleep(LOOK_US);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* --- calls of somebody else --- */

static long no_error(long ret)
{
	return ret >= 0 || ret == -EAGAIN || ret == -EINTR ? 0 : ret;
}

int name_open(const char *path, int flags)
{
	int fd = TICKED(open(path, flags | O_NONBLOCK | O_CLOEXEC, 0600));

	if (fd != -EINVAL)
		return fd;
	fd = TICKED(open(path, flags | O_CLOEXEC, 0600));
	if (fd >= 0)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

void probe_calls(struct probe *p, int fd, const char *node)
{
	char buf[4096] = { 0 };
	unsigned int i;
	int other;

	tick(true);
	if (facts->mode != O_WRONLY && facts->read != READ_NOT_OFFERED)
		p->read = no_error(facts->positioned ? dev_pread(fd, buf, 16, 0) :
						       dev_read(fd, buf, sizeof(buf)));
	if (facts->mode != O_RDONLY && facts->writes)
		p->write = no_error(facts->positioned ? dev_pwrite(fd, buf, 16, 0) :
							dev_write(fd, buf, 16));
	p->poll = poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0) < 0 ? -errno : 0;
	for (i = 0; i < conf.n_ioctls; i++)
		p->ioctls[i] = no_error(
			dev_ioctl(fd, conf.ioctls[i].cmd, ioctl_argument(&conf.ioctls[i])));
	if (node) {
		other = name_open(node, facts->mode);
		p->open = no_error(other);
		if (other >= 0)
			close(other);
	}
	p->ran = true;
}

int probe_child(struct probe *p, int fd, const char *node, int (*before)(void))
{
	int cannot;
	pid_t pid;

	memset(p, 0, sizeof(*p));
	pid = fork();
	if (!pid) {
		cannot = before ? before() : 0;
		if (!cannot)
			probe_calls(p, fd, node);
		_exit(cannot);
	}
	cannot = child_end(pid);
	/* Killed: that is for probe_compare() to tell. */
	return cannot < 0 ? 0 : cannot;
}

struct probe *probe_new(void)
{
	return shared_memory(sizeof(struct probe));
}

bool is_refusal(long ret)
{
	return ret == -EPERM || ret == -EACCES;
}

static void compare(const char *what, long was, long is, const char *who)
{
	if (was != is)
		test_fail(__FILE__, __LINE__, "%s %s: %s, before: %s", who, what,
			  is ? result(is) : "works", was ? result(was) : "works");
}

void probe_compare(const struct probe *was, const struct probe *is, const char *who,
		   bool may_refuse)
{
	unsigned int i;

	if (!is->ran) {
		test_fail(__FILE__, __LINE__, "%s the process that makes the calls dies", who);
		return;
	}
	compare("read", was->read, is->read, who);
	compare("write", was->write, is->write, who);
	compare("poll", was->poll, is->poll, who);
	if (!may_refuse || !is_refusal(is->open))
		compare("open", was->open, is->open, who);
	for (i = 0; i < conf.n_ioctls; i++)
		if (!may_refuse || !is_refusal(is->ioctls[i]))
			compare(conf.ioctls[i].name, was->ioctls[i], is->ioctls[i], who);
}

int become_nobody(void)
{
	if (setgroups(0, NULL) || setresgid(UID_NOBODY, UID_NOBODY, UID_NOBODY) ||
	    setresuid(UID_NOBODY, UID_NOBODY, UID_NOBODY))
		return errno;
	return 0;
}

static char own_path[512];

void own_node_remove(void)
{
	if (own_path[0])
		unlink(own_path);
	rmdir(OWN_DIR);
}

const char *own_node(mode_t mode)
{
	char name[256];
	struct stat st;

	snprintf(name, sizeof(name), "%s", test_node());
	snprintf(own_path, sizeof(own_path), OWN_DIR "/%s", basename(name));
	own_node_remove();
	SAFE(stat(test_node(), &st));
	if (mkdir(OWN_DIR, 0755) || mknod(own_path, S_IFCHR | mode, st.st_rdev) ||
	    chmod(own_path, mode))
		SKIP("%s: %s", own_path, errno_name(errno));
	return own_path;
}

/* --- what must be as before --- */

void expect_opens(const char *when)
{
	long long until = now_ms() + PATIENCE_MS;
	int fd;

	/* The last close of another process may be under way. */
	do {
		fd = name_open(test_node(), facts->mode);
		if (fd < 0 && facts->exclusive)
			usleep(LOOK_US);
	} while (fd < 0 && facts->exclusive && now_ms() < until);
	if (fd < 0)
		test_fail(__FILE__, __LINE__, "%s the device no longer opens: %s", when,
			  result(fd));
	else
		close(fd);
}

int users_now(void)
{
	int users = *test_module() ? module_users(test_module()) : 0;

	return users < 0 ? 0 : users;
}

void expect_users(int users, const char *when)
{
	long long until = now_ms() + PATIENCE_MS;
	int n;

	/* Fewer: a process of the claim before was still on its way out. */
	while ((n = users_now()) > users && now_ms() < until)
		usleep(LOOK_US);
	if (n <= users)
		return;
	close(dev_open_quietly(facts->mode));
	/* Each open leaves one: that is module.refcount's finding. */
	if (users_now() == n)
		test_fail(__FILE__, __LINE__, "%s the module has %d users, not %d", when, n, users);
}

void *map_page(int fd)
{
	void *map;

	if (facts->mode == O_WRONLY)
		return NULL;
	map = mmap(NULL, page_size(), PROT_READ, MAP_SHARED, fd, 0);
	return map == MAP_FAILED ? NULL : map;
}
