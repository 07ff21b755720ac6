// SPDX-License-Identifier: GPL-2.0
/*
 * Claims about who calls: users without privilege, namespaces, resource limits.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CLAIM_ORDER 222

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform_wait.h"
#include "guest.h"

#define CONTENT_MAX 4096
#define WORKERS	    3

/* Calls of an open descriptor as they are, twice: what changes by itself shows nothing. */
static const struct probe *as_before(int fd, const char *node)
{
	struct probe *p[2] = { probe_new(), probe_new() };
	unsigned int i;

	for (i = 0; i < 2; i++)
		if (probe_child(p[i], fd, node, NULL) || !p[i]->ran)
			SKIP("a child's calls fail: see open.fork");
	if (memcmp(p[0], p[1], sizeof(*p[0])))
		SKIP("the calls give other errors each time");
	return p[0];
}

/* --- users --- */

/* Documentation/security/credentials.rst: open has decided, by the credentials that the file keeps. */
CLAIM(caller_dropped, "caller.dropped", NEED_NODE,
      "read, write and poll of an open descriptor work on when its process drops all privileges")
{
	int fd = dev_open(MODE_ANY), err;
	const struct probe *was = as_before(fd, NULL);
	struct probe *is = probe_new();

	err = probe_child(is, fd, NULL, become_nobody);
	if (err == EPERM)
		SKIP("users cannot be changed");
	probe_compare(was, is, "as nobody", true);
}

/* Opens the node as nobody in each access mode: 0 or -errno. */
static void open_as_nobody(const char *path, long ret[3])
{
	pid_t pid = fork();
	int flags, fd, status;
	struct stat st;

	if (!pid) {
		if (become_nobody())
			_exit(1);
		if (stat(path, &st))
			_exit(2);
		tick(true);
		for (flags = O_RDONLY; flags <= O_RDWR; flags++) {
			fd = name_open(path, flags);
			ret[flags] = fd < 0 ? fd : 0;
			if (fd >= 0)
				close(fd);
		}
		_exit(0);
	}
	status = child_end(pid);
	if (status)
		SKIP("%s", status == 2 ? "nobody does not get as far as the node" :
					 "users cannot be changed");
}

/* open(2), EACCES; capabilities(7): a driver that wants more than the node's mode says EPERM. */
CLAIM(caller_nobody, "caller.nobody", NEED_NODE,
      "nobody opens what the mode of the node allows or is told EPERM or EACCES; what it forbids fails with EACCES")
{
	static const mode_t modes[] = { 0666, 0444, 0222, 0600 };
	long *ret = shared_memory(3 * sizeof(*ret));
	unsigned int i;
	int flags;
	bool may;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		open_as_nobody(own_node(modes[i]), ret);
		for (flags = O_RDONLY; flags <= O_RDWR; flags++) {
			may = (flags == O_WRONLY || modes[i] & 0004) &&
			      (flags == O_RDONLY || modes[i] & 0002);
			if (may ? ret[flags] == -facts->open_err[flags] || is_refusal(ret[flags]) :
				  ret[flags] == -EACCES)
				continue;
			/* a wait, or what one open at a time says of two */
			if (may && (ret[flags] == -EINTR || facts->open_err[flags] == EINTR))
				continue;
			test_fail(__FILE__, __LINE__, "mode %04o, flags %d: %s", (int)modes[i],
				  flags, result(ret[flags]));
		}
	}
	own_node_remove();
}

static long content_read(int fd, unsigned char *buf)
{
	return dev_pread(fd, buf, CONTENT_MAX, 0);
}

/* ioctl(2) has no direction check of its own: what write may not do, the driver must not do for an ioctl. */
CLAIM(caller_readonly, "caller.readonly", NEED_POS | NEED_WRITE | NEED_IOCTL,
      "an ordinary user's ioctls on a read-only descriptor do not change what a write would change")
{
	static unsigned char buf[CONTENT_MAX], was[CONTENT_MAX], is[CONTENT_MAX];
	struct probe *p = probe_new();
	int fd, err;
	long len;

	fd = dev_open(O_RDWR);
	if (!pattern_store(fd, buf, 64))
		SKIP("the device does not keep what is written");
	close(fd);
	fd = dev_open(O_RDONLY);
	len = content_read(fd, was);
	/* Another's write, or the device's own doing, would be seen here. */
	if (len <= 0 || content_read(fd, is) != len || memcmp(was, is, len))
		SKIP("the content changes by itself");
	err = probe_child(p, fd, NULL, become_nobody);
	if (err == EPERM)
		SKIP("users cannot be changed");
	close(fd);
	fd = dev_open(O_RDONLY);
	if (content_read(fd, is) != len || memcmp(was, is, len))
		test_fail(__FILE__, __LINE__, "the content is another one");
}

static bool text_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done;

	if (fd < 0)
		return false;
	done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return done;
}

/* user_namespaces(7): the first user of a namespace has all capabilities in it, and none outside. */
static int become_root_of_nobody(void)
{
	char map[64];

	if (become_nobody())
		return errno;
	/* Its maps belong to root as long as the process cannot be dumped. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (unshare(CLONE_NEWUSER))
		return errno;
	snprintf(map, sizeof(map), "0 %d 1", UID_NOBODY);
	text_write("/proc/self/setgroups", "deny");
	text_write("/proc/self/uid_map", map);
	text_write("/proc/self/gid_map", map);
	return 0;
}

/* Documentation/security/credentials.rst; capable(), not ns_capable(), where the device is the machine's. */
CLAIM(caller_ns_root, "caller.ns-root", NEED_NODE,
      "what is refused to nobody is refused to the root of nobody's user namespace")
{
	const char *path = own_node(0666);
	struct probe *p[2] = { probe_new(), probe_new() };
	unsigned int i, n = 0;
	int fd, err;

	fd = dev_open(MODE_ANY);
	if (facts->exclusive)
		path = NULL; /* busy */
	err = probe_child(p[0], fd, path, become_nobody);
	if (!err)
		err = probe_child(p[1], fd, path, become_root_of_nobody);
	own_node_remove();
	if (err)
		SKIP("user namespaces: %s", errno_name(err));
	if (is_refusal(p[0]->open) && ++n && !is_refusal(p[1]->open))
		test_fail(__FILE__, __LINE__, "open: %s for nobody, %s for that root",
			  result(p[0]->open), result(p[1]->open));
	for (i = 0; i < conf.n_ioctls; i++)
		if (is_refusal(p[0]->ioctls[i]) && ++n && !is_refusal(p[1]->ioctls[i]))
			test_fail(__FILE__, __LINE__, "%s: %s for nobody, %s for that root",
				  conf.ioctls[i].name, result(p[0]->ioctls[i]),
				  result(p[1]->ioctls[i]));
	if (!n)
		SKIP("nothing is refused to nobody");
}

/* --- namespaces --- */

static int spaces_fd;
static struct probe *spaces_probe;
static const char *spaces_node;

/* The calls come from the first process of the new namespaces. */
static int enter_spaces(void)
{
	pid_t pid;

	if (unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS))
		return errno;
	pid = fork();
	if (!pid) {
		probe_calls(spaces_probe, spaces_fd, spaces_node);
		_exit(0);
	}
	child_end(pid);
	_exit(0);
}

/* namespaces(7): a process sees its own instance of the resource; a character device is none of these. */
CLAIM(ns_same, "ns.same", NEED_NODE,
      "a descriptor does the same in user, pid, mount, ipc and uts namespaces of their own")
{
	const struct probe *was;
	struct probe *none = probe_new();
	int err;

	spaces_fd = dev_open(MODE_ANY);
	spaces_node = facts->exclusive ? NULL : test_node();
	was = as_before(spaces_fd, spaces_node);
	spaces_probe = probe_new();
	err = probe_child(none, spaces_fd, spaces_node, enter_spaces);
	if (err)
		SKIP("namespaces: %s", errno_name(err));
	probe_compare(was, spaces_probe, "in namespaces", true);
}

/* What a process was told by the device: its number outside, and where that was found. */
struct told {
	pid_t outside;
	unsigned int n;
	struct {
		const char *what;
		unsigned int offset;
	} at[64];
};

static void look_for_number(struct told *t, const char *what, const unsigned char *buf, size_t len)
{
	uint32_t value;
	unsigned int i;

	for (i = 0; i + 4 <= len && t->n < 64; i += 4) {
		memcpy(&value, buf + i, 4);
		if (value != (uint32_t)t->outside)
			continue;
		t->at[t->n].what = what;
		t->at[t->n++].offset = i;
	}
}

static void ask_device(struct told *t)
{
	static unsigned char buf[16384];
	char link[32] = "";
	unsigned int i;
	long ret;
	int fd;

	/* That /proc was mounted outside. */
	if (readlink("/proc/self", link, sizeof(link) - 1) <= 0)
		_exit(1);
	t->outside = atoi(link);
	tick(true);
	fd = dev_open_quietly(facts->mode);
	if (fd < 0)
		_exit(1);
	for (i = 0; i < conf.n_ioctls; i++) {
		const struct conf_arg *arg = conf_arg_of(&conf.ioctls[i]);

		if (!(_IOC_DIR(conf.ioctls[i].cmd) & _IOC_READ))
			continue;
		memset(buf, 0, sizeof(buf));
		if (arg)
			memcpy(buf, arg->bytes, arg->len);
		if (dev_ioctl(fd, conf.ioctls[i].cmd, buf) >= 0)
			look_for_number(t, conf.ioctls[i].name, buf, _IOC_SIZE(conf.ioctls[i].cmd));
	}
	ret = facts->read == READ_DATA ? dev_read(fd, buf, 4096) : 0;
	if (ret > 0)
		look_for_number(t, "read", buf, ret);
	_exit(0);
}

static bool told_too(const struct told *t, const char *what, unsigned int offset)
{
	unsigned int i;

	for (i = 0; i < t->n; i++)
		if (t->at[i].offset == offset && !strcmp(t->at[i].what, what))
			return true;
	return false;
}

/* pid_namespaces(7): a number means something in its namespace only. pid_vnr() and its like translate. */
CLAIM(ns_pid, "ns.pid", NEED_NODE, "a process in a pid namespace is not told its number outside")
{
	struct told *t = shared_memory(WORKERS * sizeof(*t));
	unsigned int i, k;
	pid_t pid, first;
	int status;

	if (unshare(CLONE_NEWPID))
		SKIP("pid namespaces: %s", errno_name(errno));
	/* The namespace ends with its first process: that one only waits. */
	first = fork();
	if (!first) {
		for (;;)
			pause();
	}
	for (i = 0; i < WORKERS; i++) {
		pid = fork();
		if (!pid)
			ask_device(&t[i]);
		status = child_end(pid);
		if (status)
			SKIP("the device cannot be asked");
	}
	kill(first, SIGKILL);
	for (i = 0; i < t[0].n; i++) {
		for (k = 1; k < WORKERS; k++)
			if (!told_too(&t[k], t[0].at[i].what, t[0].at[i].offset))
				break;
		if (k == WORKERS)
			test_fail(__FILE__, __LINE__, "%s tells it at byte %u", t[0].at[i].what,
				  t[0].at[i].offset);
	}
}

/* --- limits --- */

static unsigned int descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

/* fd_install() cannot be undone: what can fail comes before. CVE-2022-22942 was this. */
CLAIM(limit_left, "limit.left", NEED_IOCTL, "an ioctl that fails leaves no descriptor behind")
{
	unsigned char *readonly = readonly_page("", 1);
	int fd = dev_open(MODE_ANY);
	void *bad[] = { unmapped_page(), readonly, NULL, (void *)(intptr_t)-1 };
	unsigned int i, k, before;
	long ret;

	for (i = 0; i < conf.n_ioctls; i++) {
		for (k = 0; k < 4; k++) {
			before = descriptors();
			ret = dev_ioctl(fd, conf.ioctls[i].cmd, bad[k]);
			if (ret >= 0 || descriptors() <= before)
				continue;
			test_fail(__FILE__, __LINE__, "%s with argument %p: %s, and a new one",
				  conf.ioctls[i].name, bad[k], result(ret));
			break;
		}
	}
}

/* getrlimit(2), RLIMIT_NOFILE: of calls that make a descriptor. */
static int no_descriptors(void)
{
	struct rlimit none = { 0, 0 };

	/* More than one entry of poll would be too many; it takes as many as the limit says. */
	none.rlim_cur = none.rlim_max = 1;
	return setrlimit(RLIMIT_NOFILE, &none) ? errno : 0;
}

CLAIM(limit_nofile, "limit.nofile", NEED_NODE,
      "read, write and poll need no descriptor that the caller does not have; open fails with EMFILE")
{
	int fd = dev_open(MODE_ANY);
	const struct probe *was = as_before(fd, NULL);
	struct probe *is = probe_new();
	unsigned int i;

	if (probe_child(is, fd, facts->exclusive ? NULL : test_node(), no_descriptors))
		SKIP("RLIMIT_NOFILE cannot be set");
	if (is->ran && !facts->exclusive && is->open != -EMFILE)
		test_fail(__FILE__, __LINE__, "open: %s", result(is->open));
	is->open = was->open;
	for (i = 0; i < conf.n_ioctls; i++)
		if (is->ioctls[i] == -EMFILE)
			is->ioctls[i] = was->ioctls[i];
	probe_compare(was, is, "with RLIMIT_NOFILE 1", false);
}

static int no_file_size(void)
{
	struct rlimit none = { 0, 0 };

	return setrlimit(RLIMIT_FSIZE, &none) ? errno : 0;
}

/* getrlimit(2), RLIMIT_FSIZE: of files that grow. write(2), EFBIG. A device has no size to grow. */
CLAIM(limit_fsize, "limit.fsize", NEED_WRITE,
      "write is not bound by RLIMIT FSIZE: no SIGXFSZ and no EFBIG")
{
	int fd = dev_open(MODE_WRITE);
	const struct probe *was = as_before(fd, NULL);
	struct probe *is = probe_new();

	if (probe_child(is, fd, NULL, no_file_size))
		SKIP("RLIMIT_FSIZE cannot be set");
	probe_compare(was, is, "with RLIMIT_FSIZE 0", false);
}

/* mlockall(2), as any program with deadlines does; mmap(2), EAGAIN, is about pages that are memory. */
CLAIM(limit_mlockall, "limit.mlockall", NEED_NODE,
      "a process that has locked its memory to come maps the device as others do")
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	int fd = dev_open(MODE_ANY);
	void *map = map_page(fd);

	if (!map)
		SKIP("mmap is not offered");
	munmap(map, page_size());
	setrlimit(RLIMIT_MEMLOCK, &all);
	if (mlockall(MCL_FUTURE))
		SKIP("mlockall: %s", errno_name(errno));
	map = map_page(fd);
	if (!map)
		test_fail(__FILE__, __LINE__, "mmap: %s", errno_name(errno));
	else if (munmap(map, page_size()))
		test_fail(__FILE__, __LINE__, "munmap: %s", errno_name(errno));
}
