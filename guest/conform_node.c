// SPDX-License-Identifier: GPL-2.0
/*
 * Claims about what all files have: other names, modes, flags, locks, notifications, signals of readiness.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CLAIM_ORDER 224

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conform_wait.h"
#include "guest.h"

#define ALIAS "/dev/.cdevlab-alias"

/* --- the node --- */

/* Opens another name of the device; what was written or raised by its own name is found there. */
static void try_alias(int fd, const char *path, const char *what)
{
	static unsigned char buf[64], back[64];
	bool keeps = facts->mode == O_RDWR && pattern_store(fd, buf, sizeof(buf));
	int other = name_open(path, facts->mode);

	if (other < 0) {
		if (!facts->exclusive)
			test_fail(__FILE__, __LINE__, "%s: open: %s", what, result(other));
		return;
	}
	if (facts->exclusive)
		test_fail(__FILE__, __LINE__, "%s opens, and the node itself is busy", what);
	if (keeps && (dev_pread(other, back, sizeof(back), 0) != sizeof(back) ||
		      memcmp(buf, back, sizeof(back))))
		test_fail(__FILE__, __LINE__, "%s gives another content", what);
	if (!still_works(other))
		test_fail(__FILE__, __LINE__, "%s does not work", what);
	close(other);
}

/* mknod(2): a device is its number. The driver has no business with the name. */
CLAIM(node_alias, "node.alias", NEED_NODE,
      "another node, a hard link, a symbolic link and /proc/self/fd lead to the same device")
{
	int fd = dev_open(MODE_ANY);
	char path[64];
	struct stat st;

	SAFE(fstat(fd, &st));
	unlink(ALIAS);
	if (mknod(ALIAS, S_IFCHR | 0600, st.st_rdev))
		SKIP("mknod: %s", errno_name(errno));
	try_alias(fd, ALIAS, "another node");
	unlink(ALIAS);
	if (!link(test_node(), ALIAS))
		try_alias(fd, ALIAS, "a hard link");
	unlink(ALIAS);
	if (!symlink(test_node(), ALIAS))
		try_alias(fd, ALIAS, "a symbolic link");
	unlink(ALIAS);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	try_alias(fd, path, path);
}

/* Opens a node of one's own, and says what its calls give. */
static int own_open(const char *path, struct probe *was)
{
	int fd = name_open(path, facts->mode);

	if (fd < 0) {
		own_node_remove();
		SKIP("open of a node of our own: %s", result(fd));
	}
	probe_calls(was, fd, NULL);
	return fd;
}

/* open(2): permissions are checked when a file is opened. */
CLAIM(node_chmod, "node.chmod", NEED_NODE,
      "chmod and chown of the node take nothing from whoever has it open")
{
	struct probe *was = probe_new(), *is = probe_new();
	const char *path = own_node(0600);
	int fd = own_open(path, was);

	SAFE(chmod(path, 0));
	SAFE(chown(path, UID_NOBODY, UID_NOBODY));
	probe_calls(is, fd, NULL);
	own_node_remove();
	probe_compare(was, is, "after chmod", false);
}

/* unlink(2): "the file will remain in existence until the last file descriptor referring to it is closed". */
CLAIM(node_unlink, "node.unlink", NEED_NODE,
      "the device stays open when its node is renamed and removed")
{
	struct probe *was = probe_new(), *is = probe_new();
	const char *path = own_node(0600);
	int fd = own_open(path, was);

	unlink(ALIAS);
	SAFE(rename(path, ALIAS));
	unlink(ALIAS);
	own_node_remove();
	probe_calls(is, fd, NULL);
	probe_compare(was, is, "after unlink", false);
}

/* open(2): flags that mean something for regular files only are no error for a device. */
CLAIM(open_flags, "open.flags", NEED_NODE,
      "flags of open that do not concern a device open it as without them; O DIRECTORY, O EXCL and O TMPFILE do not")
{
	static const struct {
		const char *name;
		int flag, err;
	} flags[] = {
		{ "O_APPEND", O_APPEND, 0 },
		{ "O_NOATIME", O_NOATIME, 0 },
		{ "O_SYNC", O_SYNC, 0 },
		{ "O_DSYNC", O_DSYNC, 0 },
		{ "O_NOFOLLOW", O_NOFOLLOW, 0 },
		{ "O_CREAT", O_CREAT, 0 },
		{ "O_LARGEFILE", O_LARGEFILE, 0 },
		{ "O_DIRECTORY", O_DIRECTORY, ENOTDIR },
		{ "O_CREAT | O_EXCL", O_CREAT | O_EXCL, EEXIST },
		{ "O_TMPFILE", O_TMPFILE | O_RDWR, ENOTDIR },
	};
	unsigned int i;
	int fd, ret;

	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		ret = name_open(test_node(), facts->mode | flags[i].flag);
		if ((ret < 0 ? -ret : 0) != flags[i].err)
			test_fail(__FILE__, __LINE__, "%s: %s", flags[i].name, result(ret));
		if (ret >= 0)
			close(ret);
	}
	/* O_PATH does not call the driver, so that it may be open by someone else, too. */
	fd = dev_open(MODE_ANY);
	ret = open(test_node(), O_PATH | O_CLOEXEC);
	if (ret < 0)
		test_fail(__FILE__, __LINE__, "O_PATH: %s", errno_name(errno));
	else
		close(ret);
	expect_working(fd, "after O_PATH");
}

static unsigned int noticed(int in)
{
	char buf[4096] __attribute__((aligned(8)));
	const struct inotify_event *e;
	unsigned int mask = 0;
	ssize_t n, at;

	while ((n = read(in, buf, sizeof(buf))) > 0) {
		for (at = 0; at < n; at += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)(buf + at);
			mask |= e->mask;
		}
	}
	return mask;
}

/* inotify(7). */
CLAIM(notify_inotify, "notify.inotify", NEED_NODE,
      "inotify tells of the open, of a read and a write that moved something, and of the close")
{
	int in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), fd;
	unsigned int mask, expected = IN_OPEN;
	char buf[4096] = { 0 };

	if (in < 0)
		SKIP("inotify: %s", errno_name(errno));
	SAFE(inotify_add_watch(in, test_node(), IN_OPEN | IN_ACCESS | IN_MODIFY | IN_CLOSE));
	fd = dev_open(MODE_ANY);
	if (facts->mode != O_WRONLY && facts->read == READ_DATA &&
	    dev_read(fd, buf, facts->positioned ? 16 : sizeof(buf)) > 0)
		expected |= IN_ACCESS;
	if (facts->mode != O_RDONLY && facts->writes && dev_write(fd, buf, 16) > 0)
		expected |= IN_MODIFY;
	close(fd);
	expected |= facts->mode == O_RDONLY ? IN_CLOSE_NOWRITE : IN_CLOSE_WRITE;
	mask = noticed(in);
	if ((mask & expected) != expected)
		test_fail(__FILE__, __LINE__, "noticed 0x%x, expected 0x%x", mask, expected);
}

/* --- locks --- */

/* flock(2), EWOULDBLOCK: the kernel does it, unless the driver has a lock of its own. */
CLAIM(lock_flock, "lock.flock", NEED_TWO,
      "flock by one open keeps the others out until it is closed")
{
	int a = dev_open(MODE_ANY), b = dev_open(MODE_ANY);

	if (flock(a, LOCK_EX | LOCK_NB)) {
		if (errno != ENOLCK && errno != EOPNOTSUPP && errno != ENOSYS)
			test_fail(__FILE__, __LINE__, "flock: %s", errno_name(errno));
		SKIP("flock is not offered");
	}
	EXPECT_ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	EXPECT_ERR(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	close(a);
	EXPECT_EQ(flock(b, LOCK_EX | LOCK_NB), 0);
}

/* fcntl(2), F_SETLK, EACCES or EAGAIN. */
CLAIM(lock_fcntl, "lock.fcntl", NEED_NODE,
      "a record lock of one process keeps another out until the process closes any descriptor of the device")
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 16 };
	int fd = dev_open(MODE_ANY), i;
	bool got;
	pid_t pid;

	if (facts->mode == O_RDONLY)
		SKIP("a write lock needs a descriptor that may write");
	if (fcntl(fd, F_SETLK, &lock)) {
		if (errno != ENOLCK && errno != EINVAL && errno != EOPNOTSUPP)
			test_fail(__FILE__, __LINE__, "F_SETLK: %s", errno_name(errno));
		SKIP("record locks are not offered");
	}
	for (i = 0; i < 2; i++) {
		if (i)
			close(dup(fd));
		pid = fork();
		if (!pid)
			_exit(fcntl(fd, F_SETLK, &lock) ? 1 : 0);
		got = !child_end(pid);
		if (got != (i == 1))
			test_fail(__FILE__, __LINE__, "another process %s the lock %s the close",
				  got ? "gets" : "does not get", i ? "after" : "before");
	}
}

/* --- signals of readiness --- */

/* Turns O_ASYNC on, with a signal that tells the descriptor; skipped when the driver has no fasync. */
static int async_open(sigset_t *set)
{
	int fd = dev_open(MODE_READ);

	drain(fd);
	tick(false);
	sigemptyset(set);
	sigaddset(set, SIGRTMIN);
	sigaddset(set, SIGIO);
	sigprocmask(SIG_BLOCK, set, NULL);
	SAFE(fcntl(fd, F_SETOWN, getpid()));
	SAFE(fcntl(fd, F_SETSIG, SIGRTMIN));
	fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC);
	if (!(fcntl(fd, F_GETFL) & O_ASYNC))
		SKIP("O_ASYNC is not offered");
	return fd;
}

/* The signal of an event, or 0 after so many milliseconds. */
static int signal_of_event(int fd, const sigset_t *set, siginfo_t *si, int ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000L };
	int sig;

	raise_event();
	await_data(fd);
	while ((sig = sigtimedwait(set, si, &t)) < 0 && errno == EINTR)
		;
	return sig < 0 ? 0 : sig;
}

/* fcntl(2), F_SETOWN and F_SETSIG. kill_fasync() where the readers are woken. */
CLAIM(async_signal, "async.signal", NEED_WAIT | NEED_EVENT,
      "with O ASYNC an event sends the owner the chosen signal with the descriptor in it")
{
	siginfo_t si = { 0 };
	sigset_t set;
	int fd = async_open(&set), sig;

	sig = signal_of_event(fd, &set, &si, PATIENCE_MS);
	if (sig != SIGRTMIN)
		test_fail(__FILE__, __LINE__, "signal %d came, not %d", sig, SIGRTMIN);
	else if (si.si_fd != fd)
		test_fail(__FILE__, __LINE__, "si_fd is %d, not %d", si.si_fd, fd);
}

/* The driver's fasync is called with 0 then, and by the kernel itself before release. */
CLAIM(async_off, "async.off", NEED_WAIT | NEED_EVENT | NEED_TWO,
      "after O ASYNC is taken away, or the descriptor closed, no event sends a signal")
{
	siginfo_t si = { 0 };
	sigset_t set;
	int fd = async_open(&set), other = dev_open(MODE_READ);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (signal_of_event(fd, &set, &si, 5))
		test_fail(__FILE__, __LINE__, "a signal comes after O_ASYNC is off");
	drain(fd);
	drain(other);
	fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC);
	close(fd);
	if (signal_of_event(other, &set, &si, 5))
		test_fail(__FILE__, __LINE__, "a signal comes after close");
}
