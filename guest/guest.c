// SPDX-License-Identifier: GPL-2.0
/*
 * Small things that the agent, the test harness and the exact clock have in common.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"
#include "harness.h"
#include "protocol.h"

/* Room for /proc/PID/task/TID/NAME and for the names under /sys/class/virtio-ports. */
#define PATH_ROOM 320

/**
 * errno_name() - the name of an error number
 * @err: a positive errno
 *
 * The kernel's internal numbers, which must never reach user space, have names too: a driver that
 * lets one out is a frequent bug, and "512" would not tell.
 *
 * Return: a string that stays valid until the thread's next call.
 */
const char *errno_name(int err)
{
	static __thread char unknown[24];
	const char *name;

	switch (err) {
	case 0:
		return "success";
	case 512:
		return "ERESTARTSYS";
	case 513:
		return "ERESTARTNOINTR";
	case 514:
		return "ERESTARTNOHAND";
	case 515:
		return "ENOIOCTLCMD";
	case 516:
		return "ERESTART_RESTARTBLOCK";
	case 517:
		return "EPROBE_DEFER";
	case 524:
		return "ENOTSUPP";
	}
	name = strerrorname_np(err);
	if (name)
		return name;
	snprintf(unknown, sizeof(unknown), "errno %d", err);
	return unknown;
}

/**
 * now_ms() - monotonic milliseconds; in the guest, since the kernel's start
 *
 * Return: the time.
 */
long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/**
 * shared_memory() - memory that processes which are forked from here on share
 * @size: bytes, zero at first
 *
 * Return: it; without it nothing can be tested, and the program ends with a message.
 */
void *shared_memory(size_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED) {
		perror("mmap");
		exit(TEST_FAIL);
	}
	return map;
}

/**
 * file_read() - reads a small file as a string
 * @path: the file
 * @buf:  where to
 * @size: of @buf; what does not fit is left out
 *
 * Return: bytes read, without the terminating NUL, or -errno; @buf is a string in any case.
 */
ssize_t file_read(const char *path, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;
	int fd, err = 0;

	buf[0] = '\0';
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (len < size - 1) {
		n = read(fd, buf + len, size - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = errno;
		if (n <= 0)
			break;
		len += n;
	}
	close(fd);
	buf[len] = '\0';
	return err && !len ? -err : (ssize_t)len;
}

/**
 * write_all() - writes everything, in as many calls as it takes
 * @fd:  where to; must block
 * @buf: what
 * @len: how much
 *
 * Return: 0 or -errno.
 */
int write_all(int fd, const void *buf, size_t len)
{
	const char *at = buf;
	ssize_t n;

	while (len) {
		n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= n;
	}
	return 0;
}

static int port_find(const char *name, char *path, size_t size)
{
	char file[PATH_ROOM], found[128];
	struct dirent *de;
	int ret = -ENODEV;
	DIR *dir;

	dir = opendir("/sys/class/virtio-ports");
	if (!dir)
		return -errno;
	while (ret && (de = readdir(dir))) {
		if (de->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "/sys/class/virtio-ports/%s/name", de->d_name);
		if (file_read(file, found, sizeof(found)) < 0)
			continue;
		found[strcspn(found, "\n")] = '\0';
		if (!strcmp(found, name)) {
			snprintf(path, size, "/dev/%s", de->d_name);
			ret = 0;
		}
	}
	closedir(dir);
	return ret;
}

/**
 * port_open() - opens a virtio-serial port by the name that QEMU gave it
 * @name:       the port's name
 * @timeout_ms: how long to wait for it; its driver may still be probing
 *
 * Return: a descriptor or -errno.
 */
int port_open(const char *name, int timeout_ms)
{
	const struct timespec tick = { .tv_nsec = 2 * 1000 * 1000 };
	long long deadline = now_ms() + timeout_ms;
	char path[PATH_ROOM];
	int fd, ret;

	for (;;) {
		ret = port_find(name, path, sizeof(path));
		if (!ret) {
			fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
			if (fd >= 0)
				return fd;
			ret = -errno;
		}
		if (now_ms() >= deadline)
			return ret;
		nanosleep(&tick, NULL);
	}
}

/* The letter after "(comm)"; comm itself may hold blanks and parentheses. */
static char stat_state(const char *path)
{
	char stat[512];
	char *end;

	if (file_read(path, stat, sizeof(stat)) <= 0)
		return '\0';
	end = strrchr(stat, ')');
	return end && end[1] == ' ' ? end[2] : '\0';
}

/* The first thread of a process that is not dead, and its state. */
static char live_thread(pid_t pid, pid_t *tid)
{
	char path[PATH_ROOM], state = '\0';
	struct dirent *de;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return '\0';
	while ((de = readdir(dir))) {
		if (de->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", (int)pid, de->d_name);
		state = stat_state(path);
		*tid = atoi(de->d_name);
		if (state && state != 'Z' && state != 'X')
			break;
		state = '\0';
	}
	closedir(dir);
	return state;
}

/**
 * process_state() - whether a process still runs anything
 * @pid: the process
 *
 * A process whose first thread is a zombie lives as long as another one is stuck.
 *
 * Return: the state letter of its first living thread, or 0 when it is gone or a zombie.
 */
char process_state(pid_t pid)
{
	pid_t tid;

	return live_thread(pid, &tid);
}

/**
 * process_report() - says where in the kernel a process is stuck
 * @pid:  the process
 * @line: takes one line of text, without newline
 * @arg:  passed to @line
 */
void process_report(pid_t pid, void (*line)(void *arg, const char *text), void *arg)
{
	char path[PATH_ROOM], comm[32], buf[4096], text[4096 + 16];
	char *at, *next, state;
	pid_t tid = pid;

	state = live_thread(pid, &tid);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", (int)pid, (int)tid);
	file_read(path, comm, sizeof(comm));
	comm[strcspn(comm, "\n")] = '\0';
	snprintf(text, sizeof(text), "process %d (%s), thread %d: state %c", (int)pid, comm,
		 (int)tid, state ? state : '?');
	line(arg, text);

	snprintf(path, sizeof(path), "/proc/%d/task/%d/wchan", (int)pid, (int)tid);
	if (file_read(path, buf, sizeof(buf)) > 0 && strcmp(buf, "0")) {
		snprintf(text, sizeof(text), "waits in %s", buf);
		line(arg, text);
	}

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stack", (int)pid, (int)tid);
	if (file_read(path, buf, sizeof(buf)) <= 0)
		return;
	for (at = buf; *at; at = next) {
		next = at + strcspn(at, "\n");
		if (*next)
			*next++ = '\0';
		snprintf(text, sizeof(text), "  %s", at);
		line(arg, text);
	}
}

/* One write is one record of the kernel log; without the right to it there are no marks. */
static void kmsg_write(const char *text, size_t len)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	write_all(fd, text, len);
	close(fd);
}

/**
 * mark_begin() - marks in the kernel log that a test begins
 * @test: its path, job/case
 */
void mark_begin(const char *test)
{
	char text[512];

	snprintf(text, sizeof(text), "<6>" MARK_BEGIN "%s\n", test);
	kmsg_write(text, strlen(text));
}

/**
 * mark_end() - marks in the kernel log that a test has ended, with the kernel's taint so far
 * @test: its path, job/case
 */
void mark_end(const char *test)
{
	char text[512], taint[32];

	if (file_read("/proc/sys/kernel/tainted", taint, sizeof(taint)) < 0)
		taint[0] = '\0';
	taint[strcspn(taint, "\n")] = '\0';
	snprintf(text, sizeof(text), "<6>" MARK_END "%s taint=%s\n", test, taint[0] ? taint : "0");
	kmsg_write(text, strlen(text));
}

void cpus_one(void)
{
	int cpu = sched_getcpu();
	cpu_set_t here;

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return;
	CPU_ZERO(&here);
	CPU_SET(cpu, &here);
	sched_setaffinity(0, sizeof(here), &here);
}

void cpus_all(void)
{
	cpu_set_t all;

	/* the kernel takes those of them that there are */
	memset(&all, 0xff, sizeof(all));
	sched_setaffinity(0, sizeof(all), &all);
}
