// SPDX-License-Identifier: GPL-2.0
/*
 * The calls that are tried. Each has its process to itself: what it opens and maps is in these variables, and goes
 * with it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "guest.h"

#define CALLS_MAX 512
#define SMALL	  64
#define LARGE	  (64UL << 10)
#define EVENT_MS  10000
#define SEQUENCE  32

static int fd = -1, epoll = -1, pipes[2];
static unsigned char buf[LARGE];
static char *map, *elsewhere;
static int revents;
static sigjmp_buf out;

static struct call calls[CALLS_MAX];
static size_t n_calls;

#define CALL(call)                                \
	({                                        \
		long ret_ = (call);               \
		ret_ == -1 ? -(long)errno : ret_; \
	})

int call_fd(void)
{
	return fd;
}

/* ---- What a call needs ---- */

static long prepare_open(const struct call *c, const char **what)
{
	const int flags = O_NONBLOCK | O_CLOEXEC | O_NOCTTY;

	*what = "opening it";
	fd = open(c->node, O_RDWR | flags);
	/* Not where that met the fault. */
	if (fd < 0 && errno != ENOMEM && errno != EFAULT)
		fd = open(c->node, c->mode | flags);
	return fd < 0 ? -errno : 0;
}

/* Tells one place from another. */
static long prepare_write(const struct call *c, const char **what)
{
	size_t i;

	for (i = 0; i < sizeof(buf); i++)
		buf[i] = c->number ? i * 7 + 1 : 0;
	return prepare_open(c, what);
}

static size_t page(void)
{
	return sysconf(_SC_PAGESIZE);
}

static long map_it(const struct call *c)
{
	int prot = c->mode == O_RDONLY ? PROT_READ : PROT_READ | PROT_WRITE;
	void *at = mmap(NULL, c->size * page(), prot, c->number, fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	map = at;
	return 0;
}

static long prepare_map(const struct call *c, const char **what)
{
	long ret = prepare_open(c, what);

	*what = ret ? *what : "mapping it";
	return ret ? ret : map_it(c);
}

static long prepare_touched(const struct call *c, const char **what)
{
	long ret = prepare_map(c, what);
	size_t i;

	for (i = 0; !ret && i < c->size; i++)
		(void)*(volatile char *)(map + i * page());
	elsewhere = mmap(NULL, c->size * page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return ret;
}

/* Nothing to map is no reason not to let go. */
static long prepare_all(const struct call *c, const char **what)
{
	long ret = prepare_open(c, what);

	if (!ret && !map_it(c))
		(void)*(volatile char *)map;
	return ret;
}

static long prepare_epoll(const struct call *c, const char **what)
{
	epoll = epoll_create1(EPOLL_CLOEXEC);
	return prepare_open(c, what);
}

static long prepare_pipe(const struct call *c, const char **what)
{
	if (pipe2(pipes, O_NONBLOCK | O_CLOEXEC))
		return -errno;
	return prepare_open(c, what);
}

static long prepare_full_pipe(const struct call *c, const char **what)
{
	long ret = prepare_write(c, what);

	if (ret)
		return ret;
	if (pipe2(pipes, O_NONBLOCK | O_CLOEXEC) || write(pipes[1], buf, c->size) < 0)
		return -errno;
	return 0;
}

/* Runs the command of driver.ini that makes a node readable. */
static long event_raise(const char *node)
{
	char text[CONF_EVENT_TEXT], *args[CONF_EVENT_WORDS];
	int status, null;
	pid_t pid;

	if (!conf_event(node, text, args))
		return -EINVAL;
	pid = fork();
	if (!pid) {
		null = open("/dev/null", O_RDWR);
		dup2(null, 1);
		dup2(null, 2);
		execvp(args[0], args);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return status ? -EIO : 0;
}

static long prepare_event(const struct call *c, const char **what)
{
	struct pollfd pfd = { .events = POLLIN };
	long ret = prepare_open(c, what);

	if (ret)
		return ret;
	*what = "raising an event";
	ret = event_raise(c->node);
	if (ret)
		return ret;
	pfd.fd = fd;
	return poll(&pfd, 1, EVENT_MS) == 1 ? 0 : -ETIME;
}

/* ---- Calls ---- */

static long run_open(const struct call *c)
{
	fd = open(c->node, c->mode | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : 0;
}

static long run_close(const struct call *c)
{
	(void)c;
	return CALL(close(fd));
}

static long run_read(const struct call *c)
{
	return CALL(read(fd, buf, c->size));
}

static long run_pread(const struct call *c)
{
	return CALL(pread(fd, buf, c->size, 1));
}

static long run_readv(const struct call *c)
{
	struct iovec iov[10];
	size_t i;

	/* More than fit on the kernel's stack. */
	for (i = 0; i < 10; i++)
		iov[i] = (struct iovec){ buf + i * c->size, c->size };
	return CALL(readv(fd, iov, 10));
}

static void bytes_read(const struct call *c, struct item *it)
{
	item_set(it, c->name, it->ret, buf, it->ret);
}

static long run_write(const struct call *c)
{
	return CALL(write(fd, buf, c->size));
}

static long run_pwrite(const struct call *c)
{
	return CALL(pwrite(fd, buf, c->size, 2));
}

static long run_writev(const struct call *c)
{
	struct iovec iov[10];
	size_t i;

	for (i = 0; i < 10; i++)
		iov[i] = (struct iovec){ buf + i * c->size, c->size };
	return CALL(writev(fd, iov, 10));
}

static long run_seek(const struct call *c)
{
	off_t at = lseek(fd, 1, c->number);

	return at == -1 ? -errno : (long)at;
}

static long run_ioctl(const struct call *c)
{
	size_t size = ioctl_argument(c->ioctl, buf, sizeof(buf));

	return CALL(ioctl(fd, c->ioctl->cmd, size ? buf : NULL));
}

static void bytes_ioctl(const struct call *c, struct item *it)
{
	item_set(it, c->name, it->ret, buf, _IOC_SIZE(c->ioctl->cmd));
}

static long run_ioctl_unknown(const struct call *c)
{
	(void)c;
	return CALL(ioctl(fd, _IOWR(0xfe, 0xfe, char[SMALL]), buf));
}

static long run_poll(const struct call *c)
{
	struct pollfd pfds[16];
	long ret;
	int i;

	/* More than one block of its table. */
	for (i = 0; i < 16; i++)
		pfds[i] = (struct pollfd){ .fd = fd, .events = POLLIN | POLLPRI };
	ret = CALL(poll(pfds, 16, c->number));
	revents = pfds[15].revents;
	return ret;
}

static void bytes_poll(const struct call *c, struct item *it)
{
	item_set(it, c->name, it->ret, &revents, sizeof(revents));
}

static long run_select(const struct call *c)
{
	struct timeval tv = { 0 };
	fd_set in, pri;

	(void)c;
	FD_ZERO(&in);
	FD_SET(fd, &in);
	pri = in;
	return CALL(select(fd + 1, &in, NULL, &pri, &tv));
}

static long run_epoll(const struct call *c)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT };

	(void)c;
	return CALL(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev));
}

static long run_mmap(const struct call *c)
{
	return map_it(c);
}

static void bytes_mmap(const struct call *c, struct item *it)
{
	item_set(it, c->name, it->ret, map, c->mode == O_WRONLY ? 0 : SMALL);
}

static void on_fault(int sig)
{
	siglongjmp(out, sig);
}

static long run_touch(const struct call *c)
{
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	volatile char *at = map + (c->size - 1) * page();
	int sig;

	sigaction(SIGBUS, &sa, NULL);
	/* Any fault of memory is a SIGBUS: the address is right. */
	sig = sigsetjmp(out, 0);
	if (sig)
		return -EFAULT;
	if (c->flags & CALL_PARTIAL)
		*at = 1;
	else
		(void)*at;
	return 0;
}

static long run_munmap(const struct call *c)
{
	(void)c;
	return CALL(munmap(map + page(), page()));
}

static long run_mprotect(const struct call *c)
{
	(void)c;
	return CALL(mprotect(map + page(), page(), PROT_NONE));
}

static long run_mremap(const struct call *c)
{
	void *at = mremap(map, c->size * page(), c->size * page(), MREMAP_MAYMOVE | MREMAP_FIXED,
			  elsewhere);

	return at == MAP_FAILED ? -errno : 0;
}

/* Of a descriptor alone the driver is not told: with a mapping only. */
static long run_fork(const struct call *c)
{
	pid_t pid = fork();

	(void)c;
	if (!pid)
		_exit(0);
	if (pid < 0)
		return -errno;
	waitpid(pid, NULL, 0);
	return 0;
}

static long run_splice_from(const struct call *c)
{
	return CALL(splice(fd, NULL, pipes[1], NULL, c->size, SPLICE_F_NONBLOCK));
}

static long run_sendfile(const struct call *c)
{
	return CALL(sendfile(pipes[1], fd, NULL, c->size));
}

static void bytes_pipe(const struct call *c, struct item *it)
{
	if (it->ret > 0 && read(pipes[0], buf, sizeof(buf)) != it->ret)
		it->ret = -EIO;
	item_set(it, c->name, it->ret, buf, it->ret);
}

static long run_splice_to(const struct call *c)
{
	return CALL(splice(pipes[0], NULL, fd, NULL, c->size, SPLICE_F_NONBLOCK));
}

static long run_async(const struct call *c)
{
	(void)c;
	return CALL(fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC));
}

static long run_fsync(const struct call *c)
{
	(void)c;
	return CALL(fsync(fd));
}

static long run_parameter(const struct call *c)
{
	long ret;
	int file;

	file = open(c->text, c->number | O_CLOEXEC);
	if (file < 0)
		return -errno;
	if (c->number == O_RDONLY)
		ret = CALL(read(file, buf, SMALL));
	else
		ret = CALL(write(file, buf, c->size));
	close(file);
	return ret;
}

/* Its own value. */
static long prepare_parameter(const struct call *c, const char **what)
{
	ssize_t n = file_read(c->text, (char *)buf, sizeof(buf));

	*what = "reading it";
	((struct call *)c)->size = n > 0 ? n : 0;
	return n < 0 ? n : 0;
}

/* ---- Several calls, one after the other, with one fault among them ---- */

static int values[SEQUENCE];
static int n_values;
static long failed;

static void step(long ret)
{
	if (ret < 0 && (!failed || failed == -EAGAIN))
		failed = ret;
	if (n_values < SEQUENCE)
		values[n_values++] = ret;
}

static long run_sequence(const struct call *c)
{
	struct call one = *c;
	unsigned int i;

	n_values = 0;
	failed = 0;
	step(prepare_open(c, &one.text));
	if (fd < 0)
		return failed;
	step(run_read(&one));
	step(run_write(&one));
	step(run_poll(&one));
	for (i = 0; i < conf.n_ioctls; i++) {
		one.ioctl = &conf.ioctls[i];
		step(conf_absent(one.ioctl) ? 0 : run_ioctl(&one));
	}
	one.size = 1;
	one.number = MAP_SHARED;
	step(map_it(&one));
	step(close(fd));
	if (map)
		munmap(map, page());
	map = NULL;
	return failed;
}

static void bytes_sequence(const struct call *c, struct item *it)
{
	item_set(it, c->name, it->ret, values, n_values * sizeof(values[0]));
}

/* ---- The module ---- */

static long run_load(const struct call *c)
{
	return module_load(test_module(), c->text);
}

static long run_unload(const struct call *c)
{
	(void)c;
	return module_unload(test_module());
}

/* ---- All of them ---- */

static struct call *add(const char *name, long (*prepare)(const struct call *, const char **),
			long (*run)(const struct call *),
			void (*result)(const struct call *, struct item *))
{
	static struct call rest;
	struct call *c = n_calls < CALLS_MAX ? &calls[n_calls++] : &rest;

	*c = (struct call){ .prepare = prepare, .run = run, .result = result, .mode = O_RDONLY };
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->node = conf.n_nodes ? conf.nodes[0] : NULL;
	return c;
}

static void add_opens(unsigned int node)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
	static const char *const names[] = { "O_RDONLY", "O_WRONLY", "O_RDWR" };
	char name[64];
	struct call *c;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), node ? "open %s of node %u" : "open %s", names[i],
			 node + 1);
		c = add(name, NULL, run_open, NULL);
		c->node = conf.nodes[node];
		c->mode = modes[i];
		c->flags = CALL_FD | CALL_QUICK;
	}
}

static void add_reads(void)
{
	static const size_t sizes[] = { SMALL, LARGE };
	char name[64];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "read %zu", sizes[i]);
		add(name, prepare_open, run_read, bytes_read)->size = sizes[i];
	}
	add("pread", prepare_open, run_pread, bytes_read)->size = SMALL;
	add("readv", prepare_open, run_readv, bytes_read)->size = SMALL;
	add("splice from it", prepare_pipe, run_splice_from, bytes_pipe)->size = SMALL;
	add("sendfile from it", prepare_pipe, run_sendfile, bytes_pipe)->size = SMALL;
	if (conf.event)
		add("read an event", prepare_event, run_read, bytes_read)->size = SMALL;
	for (i = 0; i < n_calls; i++)
		if (calls[i].size)
			calls[i].flags |= CALL_PARTIAL;
}

static void add_write(const char *name, long (*prepare)(const struct call *, const char **),
		      long (*run)(const struct call *), size_t size, int number)
{
	struct call *c = add(name, prepare, run, NULL);

	c->mode = O_WRONLY;
	c->size = size;
	c->number = number;
	c->flags = CALL_PARTIAL;
}

static void add_writes(void)
{
	add_write("write 64", prepare_write, run_write, SMALL, 1);
	add_write("write 64 zeros", prepare_write, run_write, SMALL, 0);
	add_write("write 65536", prepare_write, run_write, LARGE, 1);
	add_write("pwrite", prepare_write, run_pwrite, SMALL, 1);
	add_write("writev", prepare_write, run_writev, SMALL, 1);
	add_write("splice to it", prepare_full_pipe, run_splice_to, SMALL, 1);
}

static void add_ioctls(void)
{
	struct call *c;
	char name[64];
	unsigned int i;

	for (i = 0; i < conf.n_ioctls; i++) {
		if (conf_absent(&conf.ioctls[i]))
			continue;
		snprintf(name, sizeof(name), "ioctl %.50s", conf.ioctls[i].name);
		c = add(name, prepare_open, run_ioctl, bytes_ioctl);
		c->ioctl = &conf.ioctls[i];
	}
	add("ioctl unknown", prepare_open, run_ioctl_unknown, NULL);
}

static struct call *add_map(const char *name, long (*prepare)(const struct call *, const char **),
			    long (*run)(const struct call *), size_t pages, int mode)
{
	struct call *c = add(name, prepare, run, NULL);

	c->size = pages;
	c->mode = mode;
	c->number = MAP_SHARED;
	return c;
}

static void add_maps(void)
{
	add_map("mmap to read", prepare_open, run_mmap, 1, O_RDONLY)->result = bytes_mmap;
	add_map("mmap to write", prepare_open, run_mmap, 1, O_RDWR)->result = bytes_mmap;
	add_map("mmap private", prepare_open, run_mmap, 1, O_RDWR)->number = MAP_PRIVATE;
	add_map("mmap three pages", prepare_open, run_mmap, 3, O_RDONLY);
	add_map("touch to read", prepare_map, run_touch, 1, O_RDONLY)->flags = CALL_RETRIES;
	add_map("touch to write", prepare_map, run_touch, 1, O_RDWR)->flags =
		CALL_RETRIES | CALL_PARTIAL;
	add_map("munmap in the middle", prepare_touched, run_munmap, 3, O_RDONLY);
	add_map("mprotect in the middle", prepare_touched, run_mprotect, 3, O_RDONLY);
	add_map("mremap", prepare_touched, run_mremap, 1, O_RDONLY);
	add_map("fork with a mapping", prepare_touched, run_fork, 1, O_RDONLY);
}

static void add_others(void)
{
	struct call *c;

	add("lseek SEEK_SET", prepare_open, run_seek, NULL)->number = SEEK_SET;
	add("lseek SEEK_END", prepare_open, run_seek, NULL)->number = SEEK_END;
	add("poll", prepare_open, run_poll, bytes_poll);
	add("poll for a moment", prepare_open, run_poll, bytes_poll)->number = 20;
	add("select", prepare_open, run_select, NULL);
	add("epoll ctl", prepare_epoll, run_epoll, NULL);
	add("fcntl O_ASYNC", prepare_open, run_async, NULL);
	add("fsync", prepare_open, run_fsync, NULL);
	add_map("close", prepare_all, run_close, 1, O_RDONLY)->flags = CALL_ONCE;
	add_map("exit with it open and mapped", prepare_all, NULL, 1, O_RDONLY)->flags = CALL_EXITS;
	if (conf.event)
		add("close with an event waiting", prepare_event, run_close, NULL)->flags =
			CALL_ONCE;
	c = add("open, read, write, poll, ioctls, mmap, close", NULL, run_sequence, bytes_sequence);
	c->flags = CALL_LOOSE | CALL_ONCE | CALL_QUICK;
	c->size = SMALL;
}

static void add_parameter(const char *dir, const char *file)
{
	char path[600], name[96];
	struct call *c;
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	if (stat(path, &st))
		return;
	snprintf(name, sizeof(name), "parameter %.32s: read", file);
	if (st.st_mode & 0400) {
		c = add(name, NULL, run_parameter, bytes_read);
		c->text = strdup(path);
		c->number = O_RDONLY;
	}
	snprintf(name, sizeof(name), "parameter %.32s: write", file);
	if (st.st_mode & 0200 && st.st_mode & 0400) {
		c = add(name, prepare_parameter, run_parameter, NULL);
		c->text = strdup(path);
		c->number = O_WRONLY;
	}
}

static void add_parameters(void)
{
	struct dirent *de;
	char dir[256];
	DIR *d;

	snprintf(dir, sizeof(dir), "/sys/module/%s/parameters", test_module());
	d = opendir(dir);
	while (d && (de = readdir(d)))
		if (de->d_name[0] != '.')
			add_parameter(dir, de->d_name);
	if (d)
		closedir(d);
}

#define CALL_OF_MODULE (CALL_MODULE | CALL_ONCE | CALL_QUICK)

static struct call *add_load(const char *name, const char *params)
{
	struct call *c = add(name, NULL, run_load, NULL);

	c->text = params;
	c->flags = CALL_OF_MODULE;
	return c;
}

static void add_module(void)
{
	if (*conf.params)
		add_load("load without parameters", "");
	add_load("load", conf.params);
	add("unload", NULL, run_unload, NULL)->flags = CALL_OF_MODULE;
	/* last: a guest does not survive what it finds */
	if (conf.n_nodes)
		add_load("insmod, and an open on its way", conf.params)->flags |= CALL_OPENED;
}

size_t calls_make(const struct call **made)
{
	unsigned int node;

	*made = calls;
	if (n_calls)
		return n_calls;
	for (node = 0; node < conf.n_nodes && node < NODES_SWEPT; node++)
		add_opens(node);
	if (conf.n_nodes) {
		add_reads();
		add_writes();
		add_ioctls();
		add_maps();
		add_others();
	}
	add_parameters();
	add_module();
	return n_calls;
}
