// SPDX-License-Identifier: GPL-2.0
/*
 * Claims about open, close, duplicates, the node itself, and calls that few drivers think of.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CLAIM_ORDER 201

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform.h"
#include "guest.h"

#define HAMMER_MS      60
#define HAMMER_THREADS 4
#define LATE_MS	       3000

static int child_status(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/*
 * open(2), close(2): what was closed can be opened again; close reports nothing that is not an
 * error.
 */
CLAIM(open_close, "open.close", NEED_NODE, "open works and close returns 0, again and again")
{
	int i, fd;

	for (i = 0; i < 3; i++) {
		fd = dev_open(MODE_ANY);
		EXPECT_EQ(close(fd), 0);
	}
}

/* open(2): a mode that the device does not have is refused with an errno that says so. */
CLAIM(open_modes, "open.modes", NEED_NODE,
      "each access mode opens or is refused with EACCES, EPERM, EBUSY, EINVAL, ENODEV, ENXIO, EOPNOTSUPP or EROFS")
{
	static const char *const names[3] = { "read-only", "write-only", "read-write" };
	int mode;

	for (mode = 0; mode < 3; mode++) {
		switch (facts->open_err[mode]) {
		case 0:
		case EACCES:
		case EPERM:
		case EBUSY:
		case EINVAL:
		case ENODEV:
		case ENXIO:
		case EOPNOTSUPP:
		case EROFS:
			break;
		default:
			test_fail(__FILE__, __LINE__, "%s: %s", names[mode],
				  errno_name(facts->open_err[mode]));
		}
	}
}

/* open(2), O_NONBLOCK: it may only keep the open from waiting. */
CLAIM(open_nonblock, "open.nonblock", NEED_NODE,
      "a non-blocking open does what a blocking one does")
{
	int mode, plain, fd;

	for (mode = 0; mode < 3; mode++) {
		plain = dev_try_open(mode);
		if (plain >= 0)
			close(plain);
		fd = dev_try_open(mode | O_NONBLOCK);
		if (fd >= 0)
			close(fd);
		if (plain == -EINTR)
			continue; /* it waits: the other one must not, and did not */
		if ((plain < 0 ? plain : 0) != (fd < 0 ? fd : 0))
			test_fail(__FILE__, __LINE__, "mode %d: %s blocking, %s non-blocking", mode,
				  result(plain < 0 ? plain : 0), result(fd < 0 ? fd : 0));
	}
}

/*
 * Linux Device Drivers 3, chapter 6: an exclusive device says EBUSY, or EAGAIN where open could
 * wait.
 */
CLAIM(open_second, "open.second", NEED_NODE,
      "a second open at the same time works or is refused with EBUSY or EAGAIN")
{
	int fd = dev_open(MODE_ANY);
	int second = dev_try_open(facts->mode | O_NONBLOCK);

	if (second < 0 && second != -EBUSY && second != -EAGAIN)
		/* open.nonblock tells when it is the flag that is refused */
		second = dev_try_open(facts->mode);
	if (second < 0 && second != -EBUSY && second != -EAGAIN && second != -EINTR)
		test_fail(__FILE__, __LINE__, "second open: %s", result(second));
	close(fd);
}

/* open(2), EBADF. A driver can break it by changing f_mode in its open. */
CLAIM(open_direction, "open.direction", NEED_NODE,
      "write on a read-only descriptor and read on a write-only one fail with EBADF")
{
	bool tried = false;
	char byte = 0;
	int fd;

	if (!facts->open_err[O_RDONLY]) {
		fd = dev_open(O_RDONLY);
		EXPECT_EQ(dev_write(fd, &byte, 1), -EBADF);
		close(fd);
		tried = true;
	}
	if (!facts->open_err[O_WRONLY]) {
		fd = dev_open(O_WRONLY);
		EXPECT_EQ(dev_read(fd, &byte, 1), -EBADF);
		close(fd);
		tried = true;
	}
	if (!tried)
		SKIP("opens only for both");
}

/*
 * dup(2), Documentation/filesystems/vfs.rst: flush is called at each close of a descriptor, release
 * only at the last. State that goes away in flush, or is counted there, breaks the copies.
 */
CLAIM(open_dup, "open.dup", NEED_NODE,
      "a descriptor works on after its duplicate is closed and after a forked child's exit")
{
	int fd = dev_open(MODE_ANY), copy;
	pid_t pid;

	copy = SAFE(dup(fd));
	close(copy);
	expect_working(fd, "after close of a duplicate");
	copy = SAFE(dup(fd));
	close(fd);
	expect_working(copy, "after close of the original");
	pid = fork();
	if (!pid)
		_exit(0);
	child_status(pid);
	expect_working(copy, "after a child's exit");
}

/* fork(2): the child's descriptors refer to the same open file description. */
CLAIM(open_fork, "open.fork", NEED_NODE, "a forked child can use the descriptor it inherits")
{
	int fd = dev_open(MODE_ANY);
	pid_t pid;

	pid = fork();
	if (!pid) {
		tick(true); /* timers are not inherited */
		_exit(still_works(fd) ? 0 : 1);
	}
	if (child_status(pid))
		test_fail(__FILE__, __LINE__, "the inherited descriptor does not work");
}

/* execve(2): descriptors stay open over it. */
CLAIM(open_exec, "open.exec", NEED_NODE, "a descriptor kept over exec works in the new program")
{
	int fd = dev_open(MODE_ANY);
	char what[64];
	pid_t pid;

	snprintf(what, sizeof(what), "%d,%d,%d,%d,%d", fd, facts->mode, facts->read,
		 facts->read_err, facts->positioned);
	pid = fork();
	if (!pid) {
		fcntl(fd, F_SETFD, 0);
		execl("/proc/self/exe", program_invocation_name, "--works", what, NULL);
		_exit(127);
	}
	if (child_status(pid))
		test_fail(__FILE__, __LINE__, "the descriptor does not work after exec");
}

/* fsync(2): EINVAL and EROFS are for files that do not support it. */
CLAIM(call_fsync, "call.fsync", NEED_NODE, "fsync and fdatasync work or fail with EINVAL or EROFS")
{
	int fd = dev_open(MODE_ANY);
	int ret;

	ret = fsync(fd);
	if (ret && !(ret == -1 && (errno == EINVAL || errno == EROFS)))
		test_fail(__FILE__, __LINE__, "fsync: %d, %s", ret, errno_name(errno));
	ret = fdatasync(fd);
	if (ret && !(ret == -1 && (errno == EINVAL || errno == EROFS)))
		test_fail(__FILE__, __LINE__, "fdatasync: %d, %s", ret, errno_name(errno));
}

static sigjmp_buf bus;

static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(bus, 1);
}

/* Reads a byte of a mapping; false when that raises a signal. */
static bool touch(const volatile unsigned char *at)
{
	struct sigaction sa = { .sa_handler = on_bus };

	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	if (sigsetjmp(bus, 1))
		return false;
	(void)*at;
	return true;
}

static unsigned char *dev_map(int fd, size_t len, off_t off)
{
	return mmap(NULL, len, PROT_READ, MAP_SHARED, fd, off);
}

/* mmap(2): ENODEV when the file does not support it. The other errnos are those of its ERRORS. */
CLAIM(call_mmap, "call.mmap", NEED_NODE,
      "mmap fails with ENODEV when it is not offered; what it maps can be touched")
{
	int fd = dev_open(MODE_ANY);
	unsigned char *map;

	if (facts->mode == O_WRONLY)
		SKIP("opens only for writing");
	map = dev_map(fd, page_size(), 0);
	if (map == MAP_FAILED) {
		if (errno != ENODEV && errno != EACCES && errno != EPERM && errno != EINVAL &&
		    errno != ENXIO && errno != EAGAIN && errno != ENOMEM)
			test_fail(__FILE__, __LINE__, "mmap: %s", errno_name(errno));
		return;
	}
	if (!touch(map))
		test_fail(__FILE__, __LINE__, "mmap worked and its first page is not there");
}

/*
 * mmap(2), ENXIO/SIGBUS: addresses past the device's end are not the device's. Heap would be
 * disclosed.
 */
CLAIM(call_mmap_end, "call.mmap-end", NEED_SIZE,
      "a mapping that goes past the end of the device is refused or faults there")
{
	int fd = dev_open(MODE_ANY);
	size_t page = page_size(), size;
	unsigned char *map;

	if (facts->mode == O_WRONLY || facts->size > 1 << 30)
		SKIP("opens only for writing, or too large to map");
	map = dev_map(fd, page, 0);
	if (map == MAP_FAILED)
		SKIP("mmap is not offered");
	munmap(map, page);
	size = (facts->size + page - 1) & ~(page - 1);
	map = dev_map(fd, size + page, 0);
	if (map != MAP_FAILED && touch(map + size))
		test_fail(__FILE__, __LINE__, "the page past the %lld bytes can be read",
			  (long long)facts->size);
	map = dev_map(fd, page, size);
	if (map != MAP_FAILED && touch(map))
		test_fail(__FILE__, __LINE__, "a page mapped at offset %zu can be read", size);
}

/*
 * Documentation/admin-guide/devices.txt: what may be given out at run time, and the ranges for
 * local use.
 */
static bool major_is_dynamic(unsigned int nr)
{
	return nr == 10 || (nr >= 234 && nr <= 254) || (nr >= 384 && nr <= 511) ||
	       (nr >= 60 && nr <= 63) || (nr >= 120 && nr <= 127);
}

/* Defect 5 of the published drivers: major 158 belongs to another device. */
CLAIM(node_major, "node.major", NEED_NODE,
      "the major number is dynamic or that of the misc devices, not another driver's")
{
	struct stat st;

	if (!*test_module())
		SKIP("not a module's node");
	SAFE(stat(test_node(), &st));
	if (!major_is_dynamic(major(st.st_rdev)))
		test_fail(__FILE__, __LINE__, "major %u is assigned in devices.txt",
			  major(st.st_rdev));
}

/* open(2), ENXIO and ENODEV. Defect 5: 256 minors taken where one device is there. */
CLAIM(node_minor, "node.minor", NEED_NODE,
      "a minor number without a device cannot be opened: ENXIO or ENODEV")
{
	const char *other = "/dev/cdevlab-minor";
	unsigned int nr;
	char path[64];
	struct stat st;
	int fd;

	SAFE(stat(test_node(), &st));
	for (nr = 255; nr; nr--) {
		snprintf(path, sizeof(path), "/sys/dev/char/%u:%u", major(st.st_rdev), nr);
		if (access(path, F_OK))
			break;
	}
	if (!nr)
		SKIP("every minor has its device");
	unlink(other);
	SAFE(mknod(other, S_IFCHR | 0600, makedev(major(st.st_rdev), nr)));
	fd = TEMP_FAILURE_RETRY(open(other, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
	unlink(other);
	if (fd >= 0)
		test_fail(__FILE__, __LINE__, "minor %u has no device and can be opened", nr);
	else if (errno != ENXIO && errno != ENODEV)
		test_fail(__FILE__, __LINE__, "minor %u: %s", nr, errno_name(errno));
}

/* The contract of the node: driver.ini says its mode; without one, nobody but root may write. */
CLAIM(node_mode, "node.mode", NEED_NODE,
      "the node is a character device of root with the declared mode")
{
	struct stat st;

	SAFE(stat(test_node(), &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(st.st_uid, 0);
	EXPECT_EQ(st.st_gid, 0);
	if (conf.mode >= 0) {
		if ((int)(st.st_mode & 07777) != conf.mode)
			test_fail(__FILE__, __LINE__, "mode is %04o, declared is %04o",
				  st.st_mode & 07777, conf.mode);
	} else if (*test_module() && st.st_mode & 07133) {
		test_fail(__FILE__, __LINE__, "mode is %04o, and nothing declares it",
			  st.st_mode & 07777);
	}
}

/* Documentation/driver-api/driver-model: udev names the node by uevent's DEVNAME. */
CLAIM(node_sysfs, "node.sysfs", NEED_NODE,
      "sysfs has the device under its number and names the node")
{
	char path[64], text[1024], *line, *save;
	bool named = false;
	struct stat st;

	SAFE(stat(test_node(), &st));
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/uevent", major(st.st_rdev),
		 minor(st.st_rdev));
	if (file_read(path, text, sizeof(text)) < 0) {
		test_fail(__FILE__, __LINE__, "%s cannot be read", path);
		return;
	}
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "DEVNAME=", 8))
			continue;
		named = true;
		if (strncmp(test_node(), "/dev/", 5) || strcmp(test_node() + 5, line + 8))
			test_fail(__FILE__, __LINE__, "the node is %s, sysfs says %s", test_node(),
				  line);
	}
	if (!named)
		test_fail(__FILE__, __LINE__, "%s has no DEVNAME", path);
}

static atomic_bool hammer_stop;
static atomic_ulong hammer_calls;

static bool hammer_plausible(long ret, size_t len)
{
	if (ret >= 0)
		return ret <= (long)len;
	/* Numbers from 512 on are the kernel's own. */
	return ret > -512 && ret != -EIO && ret != -EBADF && ret != -EDEADLK && ret != -ENOLCK;
}

static void hammer_check(const char *what, long ret, size_t len)
{
	/* One is enough. */
	if (!hammer_plausible(ret, len) && !atomic_exchange(&hammer_stop, true))
		test_fail(__FILE__, __LINE__, "%s of %zu bytes: %s", what, len, result(ret));
}

/* One round of mixed calls. */
static void hammer_round(int fd, unsigned int round)
{
	unsigned char buf[256] = { 0 };
	const struct uapi_ioctl *call;
	long ret;

	if (facts->read != READ_NOT_OFFERED && facts->read != READ_BLOCKS &&
	    facts->mode != O_WRONLY) {
		ret = dev_read(fd, buf, 64);
		hammer_check("read", ret == -facts->read_err ? 0 : ret, 64);
	}
	if (facts->writes && facts->mode != O_RDONLY)
		hammer_check("write", dev_write(fd, buf, 64), 64);
	ready_now(fd);
	if (round % 3 == 0)
		lseek(fd, 0, SEEK_SET);
	if (conf.n_ioctls) {
		call = &conf.ioctls[round % conf.n_ioctls];
		/* zeros: what was read may be the length of an argument that is longer than this */
		memset(buf, 0, sizeof(buf));
		if (_IOC_DIR(call->cmd) != _IOC_NONE && _IOC_SIZE(call->cmd) <= sizeof(buf))
			dev_ioctl(fd, call->cmd, buf);
	}
	dev_ioctl(fd, _IO(0xfe, 0xfe), NULL);
	atomic_fetch_add(&hammer_calls, 1);
}

static void *hammer(void *arg)
{
	int shared = *(int *)arg, fd = shared;
	unsigned int round = 0;

	while (!atomic_load(&hammer_stop)) {
		if (shared < 0 && !(round % 16)) {
			if (fd >= 0)
				close(fd);
			fd = dev_open_quietly(facts->mode);
			if (fd < 0)
				break;
		}
		hammer_round(fd, round++);
	}
	if (shared < 0 && fd >= 0)
		close(fd);
	return NULL;
}

static void hammer_all(int fd)
{
	long long until = now_ms() + HAMMER_MS;
	pthread_t threads[HAMMER_THREADS];
	int i, n;

	for (n = 0; n < HAMMER_THREADS; n++)
		if (pthread_create(&threads[n], NULL, hammer, &fd))
			break;
	/* On a busy host the threads may start late. */
	while ((now_ms() < until || (!atomic_load(&hammer_calls) && now_ms() < until + LATE_MS)) &&
	       !atomic_load(&hammer_stop))
		usleep(5000);
	atomic_store(&hammer_stop, true);
	for (i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	if (!atomic_load(&hammer_calls))
		test_fail(__FILE__, __LINE__, "no thread came round once");
}

/*
 * Every call may be made from any CPU at any time: no lock of the VFS covers read, write and ioctl.
 */
CLAIM(hammer_one, "hammer.one", NEED_NODE,
      "threads on one descriptor get only results that one thread could get, and it works afterwards")
{
	int fd = dev_open(MODE_ANY);

	hammer_all(fd);
	expect_working(fd, "after the threads");
}

/* Likewise between opens. */
CLAIM(hammer_many, "hammer.many", NEED_TWO,
      "threads on descriptors of their own get only results that one thread could get")
{
	int fd;

	hammer_all(-1);
	fd = dev_open(MODE_ANY);
	expect_working(fd, "after the threads");
}
