// SPDX-License-Identifier: GPL-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "hosted.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "harness.h"
#include "protocol.h"

#define UNLOAD_MS   5000 /* for a module whose users are still closing */
#define NEWC_HEADER 110
#define MODULES_MAX 64

/* The modules of the plan, by name, as they are unloaded: the last first. */
static char modules[MODULES_MAX][56]; /* MODULE_NAME_LEN */
static int n_modules;

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "cdevlab: agent: %s\n", text);
	exit(1);
}

/* ---- The root ---- */

static void read_all(void *to, size_t n)
{
	char *at = to;

	while (n) {
		ssize_t got = read(STDIN_FILENO, at, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			fail("the root ended early");
		at += got;
		n -= got;
	}
}

static unsigned int field(const char *header, int i)
{
	char text[9];

	memcpy(text, header + 6 + 8 * i, 8);
	text[8] = '\0';
	return strtoul(text, NULL, 16);
}

static void unpack_one(const char *root, const char *name, unsigned int mode, unsigned int rdev[2],
		       const char *data, size_t size)
{
	char path[2 * PATH_MAX];
	int fd, err = 0;

	if (strstr(name, ".."))
		fail("%s: no path for a root", name);
	snprintf(path, sizeof(path), "%s/%s", root, name);
	if (S_ISDIR(mode)) {
		err = mkdir(path, mode & 07777) && errno != EEXIST;
	} else if (S_ISLNK(mode)) {
		err = symlink(data, path);
	} else if (S_ISCHR(mode)) {
		err = mknod(path, mode, makedev(rdev[0], rdev[1]));
	} else {
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & 07777);
		err = fd < 0 || write_all(fd, data, size);
		if (fd >= 0)
			close(fd);
	}
	if (err)
		fail("%s: %s", path, errno_name(errno));
}

static void note_module(const char *name)
{
	const char *base = strrchr(name, '/'), *end = strstr(name, ".ko");

	if (strncmp(name, MODULES_DIR + 1, strlen(MODULES_DIR) - 1) || !base || !end ||
	    n_modules == MODULES_MAX)
		return;
	snprintf(modules[n_modules++], sizeof(modules[0]), "%.*s", (int)(end - base - 1), base + 1);
}

/* cpio's newc: a header of hexadecimal fields, the name, the bytes; each ends at a multiple of four. */
static void unpack(const char *root, size_t bytes)
{
	char header[NEWC_HEADER], name[PATH_MAX];
	size_t done = 0;

	for (;;) {
		unsigned int size, length, rdev[2];
		char *data;

		read_all(header, sizeof(header));
		if (memcmp(header, "070701", 6))
			fail("the root is no newc archive");
		size = field(header, 6);
		length = field(header, 11);
		rdev[0] = field(header, 9);
		rdev[1] = field(header, 10);
		if (!length || length >= sizeof(name))
			fail("the root has a name of %u bytes", length);
		done += sizeof(header);
		read_all(name, (length + done + 3) / 4 * 4 - done);
		done = (length + done + 3) / 4 * 4;
		name[length - 1] = '\0';
		data = calloc(1, size + 8);
		if (!data)
			fail("out of memory");
		read_all(data, (size + 3) / 4 * 4);
		done += (size + 3) / 4 * 4;
		data[size] = '\0';
		if (!strcmp(name, "TRAILER!!!")) {
			free(data);
			break;
		}
		unpack_one(root, name, field(header, 1), rdev, data, size);
		note_module(name);
		free(data);
	}
	while (done++ < bytes)
		read_all(header, 1);
}

static void bind(const char *what, const char *root)
{
	char at[PATH_MAX + 8];

	snprintf(at, sizeof(at), "%s%s", root, what);
	mkdir(at, 0755);
	if (mount(what, at, NULL, MS_BIND | MS_REC, NULL))
		fail("%s: %s", at, errno_name(errno));
}

/* A root in memory, seen by nobody else: when we are gone, so is it. */
static void root_make(const char *root, size_t bytes)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		fail("it needs root rights: unshare: %s", errno_name(errno));
	if (mount("cdevlab", root, "tmpfs", 0, "mode=0755"))
		fail("%s: %s", root, errno_name(errno));
	unpack(root, bytes);
	bind("/dev", root);
	bind("/sys", root);
}

/* ---- The first process of the root ---- */

static void __attribute__((noreturn)) first(const char *root, int port, void (*init)(int port))
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, 0);
	dup2(null, 1);
	/* killed with it, should somebody kill it */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (chroot(root) || chdir("/"))
		_exit(126);
	init(port);
	_exit(0);
}

static pid_t first_start(const char *root, int *port, void (*init)(int port))
{
	int pipes[2];
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) || unshare(CLONE_NEWPID))
		fail("a process namespace: %s", errno_name(errno));
	pid = fork();
	if (pid < 0)
		fail("fork: %s", errno_name(errno));
	if (!pid)
		first(root, pipes[1], init);
	close(pipes[1]);
	*port = pipes[0];
	return pid;
}

/* ---- Until the end ---- */

/* What comes of the kernel log: "6,1234,5678901,-;text", and lines below it that begin with a blank. */
static void log_forward(int kmsg)
{
	char record[8192], *text, *end;
	unsigned long long us;
	ssize_t n;

	while ((n = read(kmsg, record, sizeof(record) - 1)) > 0 || (n < 0 && errno == EPIPE)) {
		if (n < 0)
			continue;
		record[n] = '\0';
		text = strchr(record, ';');
		if (!text || sscanf(record, "%*u,%*u,%llu", &us) != 1)
			continue;
		end = strchr(++text, '\n');
		if (end)
			*end = '\0';
		dprintf(STDOUT_FILENO, "K [%5llu.%06llu] %s\n", us / 1000000, us % 1000000, text);
	}
}

/* Passes on what the first process says, whole lines. False: it has ended. */
static bool port_forward(int port)
{
	static char buf[64 * 1024];
	static size_t len;
	ssize_t n = read(port, buf + len, sizeof(buf) - len);
	char *nl;

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0)
		return false;
	len += n;
	nl = memrchr(buf, '\n', len);
	if (nl || len == sizeof(buf)) {
		n = nl ? nl + 1 - buf : (ssize_t)len;
		write_all(STDOUT_FILENO, buf, n);
		memmove(buf, buf + n, len - n);
		len -= n;
	}
	return true;
}

/* Until the first process ends or the host does. */
static void serve(int port)
{
	int kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	long long heard = now_ms();
	char beat[256];
	bool more = true;

	lseek(kmsg, 0, SEEK_END);
	while (more && now_ms() - heard < HOSTED_SILENCE_S * 1000) {
		struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
					{ .fd = port, .events = POLLIN },
					{ .fd = kmsg, .events = POLLIN } };

		poll(fds, 3, 1000);
		if (fds[2].revents)
			log_forward(kmsg);
		if (fds[1].revents)
			more = port_forward(port);
		if (fds[0].revents) {
			if (read(STDIN_FILENO, beat, sizeof(beat)) <= 0)
				break;
			heard = now_ms();
		}
	}
	if (kmsg >= 0)
		log_forward(kmsg);
}

static bool is_loaded(const char *module)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/%.55s/initstate", module);
	return !access(path, F_OK);
}

/* What the jobs left loaded, in whatever order it goes. Returns the first that does not, or NULL. */
static const char *unload(void)
{
	long long deadline = now_ms() + UNLOAD_MS;
	const char *left;

	do {
		left = NULL;
		for (int i = n_modules - 1; i >= 0; i--)
			if (is_loaded(modules[i]) &&
			    syscall(SYS_delete_module, modules[i], O_NONBLOCK))
				left = modules[i];
		if (left)
			usleep(100000);
	} while (left && now_ms() < deadline);
	return left;
}

/* What is loaded already is somebody's, and not ours to unload. */
static void modules_refuse_loaded(void)
{
	for (int i = 0; i < n_modules; i++)
		if (is_loaded(modules[i]))
			fail("the module %s is loaded on this machine already; unload it first: rmmod %s",
			     modules[i], modules[i]);
}

int hosted_main(int argc, char **argv, void (*init)(int port))
{
	char root[PATH_MAX];
	const char *left;
	int port;
	pid_t pid;

	if (argc != 3 || !getcwd(root, sizeof(root) - 8)) {
		fprintf(stderr, "usage: agent hosted BYTES\n");
		return 2;
	}
	/* Whoever has started us may go at any time. */
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	strcat(root, "/root");
	mkdir(root, 0700);
	root_make(root, strtoul(argv[2], NULL, 10));
	modules_refuse_loaded();
	pid = first_start(root, &port, init);
	serve(port);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	left = unload();
	umount2(root, MNT_DETACH);
	rmdir(root);
	if (left)
		dprintf(STDOUT_FILENO, "GONE the module %s is in use, and stays loaded\n", left);
	else
		dprintf(STDOUT_FILENO, "GONE\n");
	return left ? 1 : 0;
}
