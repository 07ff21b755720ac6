// SPDX-License-Identifier: GPL-2.0
/*
 * Doing a step. The descriptors and mappings belong to the process, so that its threads get into each other's
 * way: one closes what another reads.
 *
 * Low descriptor numbers are the device's alone. A thread may use one that another has just closed; all that it
 * can then meet is the device again, or nothing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "draw.h"
#include "harness.h"
#include "stress.h"

#define ARENA	   (64UL << 10) /* a worker's memory; a hole follows */
#define RDONLY	   (16UL << 10)
#define FRESH	   (4UL << 20) /* pages that were never touched, one after the other */
#define MAP_ROOM   (1UL << 20) /* of each mapping of the device */
#define HIGH_FD	   128	       /* from here on: our own */
#define CHILD_MS   40	       /* a forked child ends after that */
#define PROGRAM_MS 800	       /* and a program */
#define STACK_SIZE (64 << 10)

/* No call was made. */
#define NOTHING LONG_MIN

struct me {
	unsigned int index;
	struct worker *worker;
	char *arena, *hole, *rdonly, *fresh;
	size_t fresh_at;
	int pipe[2], epoll;
	pid_t child;
	volatile bool touching;
	sigjmp_buf out;
};

static atomic_int fds[STRESS_FDS];
static char *maps;
static struct me team[STRESS_THREADS];
static __thread struct me *me;

#define CALL(call)                                \
	({                                        \
		long ret_ = (call);               \
		ret_ == -1 ? -(long)errno : ret_; \
	})

/* ---- Descriptors ---- */

/* The one of that place, or the next that is open. */
static int fd_of(unsigned int at)
{
	unsigned int i;
	int fd;

	for (i = 0; i < STRESS_FDS; i++) {
		fd = atomic_load_explicit(&fds[(at + i) % STRESS_FDS], memory_order_relaxed);
		if (fd >= 0)
			return fd;
	}
	return -1;
}

static void fd_put(unsigned int at, int fd)
{
	fd = atomic_exchange(&fds[at], fd);
	if (fd >= 0)
		close(fd);
}

static long fd_keep(unsigned int at, int fd)
{
	if (fd < 0)
		return -errno;
	/* Others may have run away with all low numbers: it is not to land among our own. */
	if (fd >= HIGH_FD) {
		close(fd);
		return -EMFILE;
	}
	fd_put(at, fd);
	return fd;
}

static long do_open(const struct step *s, int fd)
{
	long ret = fd_keep(s->fd, open(conf.nodes[s->node], s->flags));

	(void)fd;
	if (ret < 0 && ret != -EINTR)
		atomic_store(&stress.shared->open_err, -ret);
	return ret;
}

static long do_close(const struct step *s, int fd)
{
	fd = atomic_exchange(&fds[s->fd], -1);
	return fd < 0 ? NOTHING : CALL(close(fd));
}

static long do_dup(const struct step *s, int fd)
{
	return fd_keep(s->other, s->flags & 1 ? dup(fd) : fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

/* ---- Memory ---- */

static char *map_at(unsigned int map)
{
	return maps + map * MAP_ROOM;
}

/* Giving pages back interrupts the other processors, so that is done for many at once. */
static char *fresh_place(size_t size)
{
	char *at;

	if (me->fresh_at + size > FRESH) {
		madvise(me->fresh, FRESH, MADV_DONTNEED);
		me->fresh_at = 0;
	}
	at = me->fresh + me->fresh_at;
	me->fresh_at += (size + 4095) & ~4095UL;
	return at;
}

static char *place_of(const struct step *s, size_t *size, size_t most)
{
	size_t in = *size < most ? *size : most, off = s->bits >> 40;

	switch (s->place) {
	case AT_FRESH:
		return fresh_place(in);
	case AT_GOOD:
		/* A huge size stays: nothing is written behind the arena. */
		return me->arena + (*size <= most ? off % (ARENA - in + 1) : 0);
	case AT_HALF:
		return me->hole - in / 2;
	case AT_RDONLY:
		return me->rdonly;
	case AT_DEVICE:
		return map_at(s->map);
	case AT_NULL:
		return NULL;
	case AT_KERNEL:
		return (char *)(s->bits & 1 ? -4096UL : 1UL << 63 | s->bits >> 8);
	default:
		return me->hole;
	}
}

static void fill(char *to, size_t size, uint64_t seed)
{
	uint64_t v;

	for (; size >= sizeof(v); size -= sizeof(v), to += sizeof(v)) {
		v = draw_random(&seed);
		memcpy(to, &v, sizeof(v));
	}
	v = draw_random(&seed);
	memcpy(to, &v, size);
}

static long do_read(const struct step *s, int fd)
{
	size_t size = s->size;
	char *at = place_of(s, &size, ARENA);

	return CALL(read(fd, at, size));
}

static long do_write(const struct step *s, int fd)
{
	size_t size = s->size;
	char *at = place_of(s, &size, ARENA);

	/* Else what is there, of earlier reads for example. */
	if (s->place == AT_GOOD && s->flags & 1)
		fill(at, size < 64 ? size : 64, s->bits);
	return CALL(write(fd, at, size));
}

static long do_pread(const struct step *s, int fd)
{
	size_t size = s->size;
	char *at = place_of(s, &size, ARENA);

	return CALL(pread(fd, at, size, s->pos));
}

static long do_pwrite(const struct step *s, int fd)
{
	size_t size = s->size;
	char *at = place_of(s, &size, ARENA);

	return CALL(pwrite(fd, at, size, s->pos));
}

/* Up to four pieces: one as drawn, the others short and good. */
static int vector_of(const struct step *s, struct iovec iov[4])
{
	int n = 1 + (s->flags >> 4 & 3), i;
	size_t size = s->size;

	for (i = 0; i < n; i++) {
		iov[i].iov_base = me->arena + i * 4096;
		iov[i].iov_len = s->bits >> (8 * i) & 0xff;
	}
	iov[s->flags % n].iov_base = place_of(s, &size, ARENA);
	iov[s->flags % n].iov_len = size;
	return n;
}

static int rwf_of(const struct step *s)
{
	static const int flags[16] = { [12] = RWF_NOWAIT, RWF_HIPRI, RWF_DSYNC, 0x8000 };

	return flags[s->flags >> 8 & 15];
}

static long do_readv(const struct step *s, int fd)
{
	struct iovec iov[4];
	int n = vector_of(s, iov);

	return CALL(preadv2(fd, iov, n, s->flags & 1 ? -1 : s->pos, rwf_of(s)));
}

static long do_writev(const struct step *s, int fd)
{
	struct iovec iov[4];
	int n = vector_of(s, iov);

	return CALL(pwritev2(fd, iov, n, s->flags & 1 ? -1 : s->pos, rwf_of(s)));
}

static long do_seek(const struct step *s, int fd)
{
	off_t ret = lseek(fd, s->pos, s->whence);

	return ret == -1 ? -errno : 0;
}

/* ---- Waiting ---- */

static long do_poll(const struct step *s, int fd)
{
	struct pollfd pfds[3];
	int n = 1 + s->flags % 3, i;

	for (i = 0; i < n; i++) {
		pfds[i].fd = i ? fd_of(s->other + i) : fd;
		pfds[i].events = s->bits >> (16 * i);
	}
	return CALL(poll(pfds, n, s->wait_ms));
}

static long do_select(const struct step *s, int fd)
{
	struct timeval tv = { .tv_usec = s->wait_ms * 1000 };
	int other = fd_of(s->other);
	fd_set sets[3];
	int i;

	for (i = 0; i < 3; i++) {
		FD_ZERO(&sets[i]);
		if (s->flags & 1 << i)
			FD_SET(fd, &sets[i]);
		if (s->flags & 8 << i && other >= 0)
			FD_SET(other, &sets[i]);
	}
	return CALL(select(HIGH_FD, &sets[0], &sets[1], &sets[2], s->wait_ms < 0 ? NULL : &tv));
}

static long do_epoll(const struct step *s, int fd)
{
	static const int ops[4] = { EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_ADD, EPOLL_CTL_DEL };
	struct epoll_event ev[4] = { { .events = s->bits & 0xffff } };

	/* Another thread's as well: who waits there is woken by what this one adds. */
	struct me *whose = s->flags & 4 ? &team[s->other % stress.threads] : me;

	if (s->flags & 1)
		return CALL(epoll_wait(whose->epoll, ev, 4, s->wait_ms));
	if (s->flags & 2)
		ev[0].events |= EPOLLET;
	if (s->flags & 8)
		ev[0].events |= EPOLLONESHOT;
	return CALL(epoll_ctl(whose->epoll, ops[s->flags >> 4 & 3], fd, &ev[0]));
}

/* ---- ioctl ---- */

static void arg_make(const struct step *s, unsigned char *to, size_t size)
{
	const struct conf_arg *arg = s->kind == DO_IOCTL ? conf_arg_of(s->call) : NULL;
	uint64_t r = s->bits, v;
	uint32_t word;
	size_t i;

	memset(to, 0, size);
	if (s->arg == ARG_RANDOM)
		fill((char *)to, size, r);
	if (s->arg == ARG_SMALL)
		for (i = 0; i + sizeof(word) <= size; i += sizeof(word)) {
			v = draw_random(&r);
			word = v % (v & 1ULL << 40 ? 4 : 100);
			memcpy(to + i, &word, sizeof(word));
		}
	if (s->arg != ARG_DECLARED && s->arg != ARG_MUTATED)
		return;
	if (arg)
		memcpy(to, arg->bytes, arg->len < size ? arg->len : size);
	for (i = 0; s->arg == ARG_MUTATED && size && i <= (s->bits & 3); i++) {
		v = draw_random(&r);
		to[v % size] = v & 1ULL << 50 ? v >> 32 & 7 : v >> 32;
	}
}

static long do_ioctl(const struct step *s, int fd)
{
	unsigned char bytes[16384];
	size_t size = _IOC_SIZE(s->cmd), mapped = size;
	char *at;

	if (!size || _IOC_DIR(s->cmd) == _IOC_NONE)
		return CALL(ioctl(fd, s->cmd, s->arg == ARG_RANDOM ? s->bits : s->bits & 0xff));
	at = place_of(s, &size, ARENA);
	if (s->place == AT_HALF)
		mapped = size / 2;
	if (s->place == AT_GOOD || s->place == AT_FRESH || s->place == AT_HALF) {
		arg_make(s, bytes, size);
		memcpy(at, bytes, mapped);
	}
	return CALL(ioctl(fd, s->cmd, at));
}

/* ---- Mappings ---- */

/* The place stays taken, so that no other mapping gets there. */
static void map_empty(char *at, size_t size)
{
	mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
}

static size_t map_size(const struct step *s)
{
	static const unsigned char pages[8] = { 1, 1, 1, 2, 3, 4, 16, 64 };
	size_t size = pages[s->flags & 7] * (size_t)sysconf(_SC_PAGESIZE);

	if (s->flags & 8)
		size -= s->size % size;
	return size < MAP_ROOM ? size : MAP_ROOM;
}

static long do_mmap(const struct step *s, int fd)
{
	static const int prots[8] = { PROT_READ | PROT_WRITE,
				      PROT_READ | PROT_WRITE,
				      PROT_READ | PROT_WRITE,
				      PROT_READ,
				      PROT_READ,
				      PROT_WRITE,
				      PROT_NONE,
				      PROT_READ | PROT_EXEC };
	static const int kinds[4] = { MAP_SHARED, MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE };
	long page = sysconf(_SC_PAGESIZE);
	size_t size = map_size(s);
	char *at = map_at(s->map);
	off_t pos = s->pos;
	void *map;
	int err;

	/* Half of them from the start; an odd offset never works, so only a few are. */
	if (s->flags & 0x100)
		pos = 0;
	else if (s->flags & 0xe00)
		pos &= -page;
	map = mmap(at, size, prots[s->flags >> 12 & 7],
		   kinds[s->bits >> 32 & 3] | MAP_FIXED | (s->bits >> 36 & 7 ? 0 : MAP_POPULATE),
		   fd, pos);
	if (map != MAP_FAILED)
		return 0;
	err = errno;
	map_empty(at, MAP_ROOM);
	return -err;
}

static long do_munmap(const struct step *s, int fd)
{
	long page = sysconf(_SC_PAGESIZE);
	char *at = map_at(s->map);

	(void)fd;
	switch (s->flags & 7) {
	case 0: /* a part: the mapping is split */
		map_empty(at + page * (s->flags >> 4 & 3), page);
		return 0;
	case 1:
		return CALL(mprotect(at, page, PROT_READ));
	case 2:
		return CALL(madvise(at, MAP_ROOM, MADV_DONTNEED));
	case 3:
		return CALL(msync(at, page, s->flags & 8 ? MS_SYNC : MS_ASYNC));
	default:
		map_empty(at, MAP_ROOM);
		return 0;
	}
}

static void on_fault(int sig)
{
	if (me && me->touching)
		siglongjmp(me->out, sig);
	signal(sig, SIG_DFL);
	raise(sig);
}

static long do_touch(const struct step *s, int fd)
{
	volatile char *at = map_at(s->map) + s->bits % (s->flags & 1 ? 4096 : 65536);
	int sig;

	(void)fd;
	sig = sigsetjmp(me->out, 0);
	if (!sig) {
		me->touching = true;
		if (s->flags & 2)
			*at = s->flags;
		else
			(void)*at;
	}
	me->touching = false;
	return sig ? -EFAULT : 0;
}

static long do_splice(const struct step *s, int fd)
{
	size_t size = s->size & 0xffff;
	loff_t pos = s->pos;
	loff_t *where = s->flags & 4 ? &pos : NULL;
	long ret;

	switch (s->flags & 3) {
	case 0:
		return CALL(sendfile(me->pipe[1], fd, where, size));
	case 1:
		if (write(me->pipe[1], me->arena, size) < 0 && errno != EAGAIN)
			return -errno;
		return CALL(splice(me->pipe[0], NULL, fd, where, size, SPLICE_F_NONBLOCK));
	default:
		ret = CALL(splice(fd, where, me->pipe[1], NULL, size, SPLICE_F_NONBLOCK));
		if (ret == -EAGAIN || s->flags & 8)
			while (read(me->pipe[0], me->arena, ARENA) > 0)
				;
		return ret;
	}
}

/* ---- The rest ---- */

static long do_fcntl(const struct step *s, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	switch (s->flags & 7) {
	case 0:
		return CALL(fcntl(fd, F_SETFL, flags ^ O_APPEND));
	case 1:
		return CALL(fcntl(fd, F_SETFL, flags ^ O_ASYNC));
	case 2:
		return CALL(fcntl(fd, F_SETOWN, getpid()));
	case 3:
		return CALL(fcntl(fd, F_SETFD, s->flags >> 4 & 1));
	case 4:
		return CALL(fcntl(fd, F_SETFL, flags ^ O_DIRECT));
	default:
		/* Waiting calls wait for the supervisor: they are to be the fewer. */
		return CALL(fcntl(fd, F_SETFL,
				  s->flags >> 4 & 7 ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
	}
}

static long do_other(const struct step *s, int fd)
{
	struct stat st;
	int n = s->flags >> 4 & 1;

	switch (s->flags & 15) {
	case 0:
		return CALL(fsync(fd));
	case 1:
		return CALL(fdatasync(fd));
	case 2:
		return CALL(ftruncate(fd, s->pos));
	case 3:
		return CALL(fallocate(fd, 0, s->pos, s->size));
	case 4:
		return -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	case 5:
		return CALL(ioctl(fd, FIONREAD, &n));
	case 6:
		return CALL(ioctl(fd, FIOASYNC, &n));
	case 7:
		return CALL(ioctl(fd, FIONBIO, &n));
	case 8:
		return CALL(readahead(fd, 0, 4096));
	case 9:
		return CALL(sched_yield());
	default:
		return CALL(fstat(fd, &st));
	}
}

union control {
	char room[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static long do_pass(const struct step *s, int fd)
{
	union control control = { 0 };
	char byte = s->flags;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.room,
			      .msg_controllen = sizeof(control.room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return CALL(sendmsg(stress.pass[1], &msg, MSG_DONTWAIT));
}

static long do_receive(const struct step *s, int fd)
{
	union control control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.room,
			      .msg_controllen = sizeof(control.room) };
	struct cmsghdr *c;

	if (recvmsg(stress.pass[0], &msg, MSG_DONTWAIT) < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -EBADF;
	memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd_keep(s->fd, fd);
}

static void on_signal(int sig)
{
	(void)sig;
}

static long do_signal(const struct step *s, int fd)
{
	static const int signals[4] = { SIGUSR1, SIGUSR2, SIGALRM, SIGIO };
	int tid = atomic_load(&team[s->other % stress.threads].worker->tid);
	int sig = signals[s->flags & 3];

	(void)fd;
	if (s->flags & 4)
		return CALL(kill(getpid(), sig));
	return tid > 0 ? CALL(syscall(SYS_tgkill, getpid(), tid, sig)) : NOTHING;
}

static long do_affinity(const struct step *s, int fd)
{
	cpu_set_t set;

	(void)fd;
	CPU_ZERO(&set);
	if (s->flags & 3)
		CPU_SET(s->flags & 1, &set);
	else
		memset(&set, 0xff, sizeof(set));
	return CALL(sched_setaffinity(0, sizeof(set), &set));
}

/* ---- Children ---- */

static long take_step(const struct step *s);

/* A child of a process of threads is alone, with all descriptors and mappings. */
static void child_life(const struct step *s)
{
	static const enum stress_kind kinds[] = { DO_READ,  DO_WRITE, DO_IOCTL, DO_POLL,
						  DO_CLOSE, DO_TOUCH, DO_SEEK,	DO_MUNMAP };
	struct step next;
	unsigned int i;

	for (i = 0; i < (s->bits & 7); i++) {
		stress_draw(s->bits, me->index, 0, i, &next);
		next.kind = kinds[s->bits >> (8 + 3 * i) & 7];
		if (next.kind == DO_IOCTL) {
			if (!conf.n_ioctls)
				continue;
			next.cmd = next.call->cmd;
		}
		take_step(&next);
	}
}

/* What was started may wait in the driver, too. Without an end it is killed, or left for a later look. */
static long child_wait(int ms)
{
	long long end = now_ms() + ms;
	bool killed = false;

	while (waitpid(me->child, NULL, 0) < 0 && errno == EINTR) {
		if (now_ms() < end)
			continue;
		if (killed)
			return -EINTR;
		kill(me->child, SIGKILL);
		killed = true;
		end += CHILD_MS * 4;
	}
	me->child = 0;
	return killed ? -EINTR : 0;
}

static long child_start(const struct step *s, char *const *argv)
{
	int ms = argv ? PROGRAM_MS : CHILD_MS;
	struct itimerval end = { .it_value.tv_usec = ms * 1000 };
	pid_t pid;

	if (me->child && waitpid(me->child, NULL, WNOHANG) == 0)
		return NOTHING;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGALRM, SIG_DFL);
		setitimer(ITIMER_REAL, &end, NULL);
		if (argv)
			execvp(argv[0], argv);
		else
			child_life(s);
		_exit(0);
	}
	if (pid < 0)
		return -errno;
	me->child = pid;
	return child_wait(ms);
}

static long do_fork(const struct step *s, int fd)
{
	(void)fd;
	return child_start(s, NULL);
}

static long do_exec(const struct step *s, int fd)
{
	static char self[] = "/proc/self/exe", helper[] = "--helper";
	char *argv[] = { self, helper, NULL };

	(void)fd;
	return child_start(s, argv);
}

static long do_event(const struct step *s, int fd)
{
	char text[CONF_EVENT_TEXT], *argv[CONF_EVENT_WORDS];

	(void)fd;
	conf_event(conf.nodes[s->node], text, argv);
	return child_start(s, argv);
}

int stress_helper(void)
{
	char buf[256];
	int fd;

	for (fd = 3; fd < HIGH_FD; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		fcntl(fd, F_SETFL, O_NONBLOCK);
		if (read(fd, buf, sizeof(buf)) < 0)
			continue;
	}
	return 0;
}

/* ---- Life ---- */

static const struct {
	long (*call)(const struct step *s, int fd);
	bool needs_fd;
} calls[DO_KINDS] = {
	[DO_OPEN] = { do_open, false },
	[DO_CLOSE] = { do_close, false },
	[DO_READ] = { do_read, true },
	[DO_WRITE] = { do_write, true },
	[DO_PREAD] = { do_pread, true },
	[DO_PWRITE] = { do_pwrite, true },
	[DO_READV] = { do_readv, true },
	[DO_WRITEV] = { do_writev, true },
	[DO_SEEK] = { do_seek, true },
	[DO_POLL] = { do_poll, true },
	[DO_SELECT] = { do_select, true },
	[DO_EPOLL] = { do_epoll, true },
	[DO_IOCTL] = { do_ioctl, true },
	[DO_IOCTL_UNKNOWN] = { do_ioctl, true },
	[DO_MMAP] = { do_mmap, true },
	[DO_MUNMAP] = { do_munmap, false },
	[DO_TOUCH] = { do_touch, false },
	[DO_SPLICE] = { do_splice, true },
	[DO_DUP] = { do_dup, true },
	[DO_FCNTL] = { do_fcntl, true },
	[DO_OTHER] = { do_other, true },
	[DO_PASS] = { do_pass, true },
	[DO_RECEIVE] = { do_receive, false },
	[DO_SIGNAL] = { do_signal, false },
	[DO_AFFINITY] = { do_affinity, false },
	[DO_FORK] = { do_fork, true },
	[DO_EXEC] = { do_exec, true },
	[DO_EVENT] = { do_event, false },
};

/* Without a descriptor the step becomes the open of one. */
static long take_step(const struct step *s)
{
	enum stress_kind kind = s->kind;
	struct tally *tally;
	int fd = -1;
	long ret;

	if (calls[kind].needs_fd) {
		fd = fd_of(s->fd);
		if (fd < 0)
			kind = DO_OPEN;
	}
	atomic_store_explicit(&me->worker->doing, kind, memory_order_relaxed);
	if (kind != s->kind) {
		struct step opening = *s;

		opening.flags = O_NOCTTY | (s->bits & 1 ? O_RDWR : O_RDONLY) |
				(s->bits & 6 ? O_NONBLOCK : 0);
		ret = do_open(&opening, -1);
	} else {
		ret = calls[kind].call(s, fd);
	}
	if (ret == NOTHING)
		return ret;
	tally = &me->worker->tally[kind];
	atomic_fetch_add_explicit(&tally->calls, 1, memory_order_relaxed);
	if (ret >= 0)
		atomic_fetch_add_explicit(&tally->ok, 1, memory_order_relaxed);
	return ret;
}

static void *live(void *arg)
{
	unsigned int life;
	unsigned long nr;
	struct step s;

	me = arg;
	life = atomic_load(&me->worker->life);
	atomic_store(&me->worker->tid, (int)syscall(SYS_gettid));
	for (nr = 0; !atomic_load_explicit(&stress.shared->stop, memory_order_relaxed); nr++) {
		stress_draw(stress.seed, me->index, life, nr, &s);
		take_step(&s);
		atomic_fetch_add_explicit(&me->worker->steps, 1, memory_order_relaxed);
	}
	return NULL;
}

static int high(int fd)
{
	int ret = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);

	close(fd);
	return ret;
}

static void handlers(void)
{
	/* No SA_RESTART: they are to interrupt; but one of them is not. */
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGIO, &sa, NULL);
	sigaction(SIGPIPE, &sa, NULL);
	sa.sa_flags = SA_RESTART;
	sigaction(SIGUSR2, &sa, NULL);
	sa.sa_handler = on_fault;
	sa.sa_flags = SA_NODEFER;
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}

static void me_prepare(struct me *m, unsigned int index)
{
	char *map;

	m->index = index;
	m->worker = &stress.shared->worker[index];
	/* arena, hole, what can only be read, hole, fresh pages, hole */
	map = mmap(NULL, ARENA + MAP_ROOM + RDONLY + MAP_ROOM + FRESH + MAP_ROOM, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED || mprotect(map, ARENA, PROT_READ | PROT_WRITE) ||
	    mprotect(map + ARENA + MAP_ROOM, RDONLY, PROT_READ) ||
	    mprotect(map + ARENA + MAP_ROOM + RDONLY + MAP_ROOM, FRESH, PROT_READ | PROT_WRITE))
		_exit(126);
	m->arena = map;
	m->fresh = map + ARENA + MAP_ROOM + RDONLY + MAP_ROOM;
	m->fresh_at = 0;
	m->hole = map + ARENA;
	m->rdonly = map + ARENA + MAP_ROOM;
	if (pipe2(m->pipe, O_NONBLOCK | O_CLOEXEC))
		_exit(126);
	m->pipe[0] = high(m->pipe[0]);
	m->pipe[1] = high(m->pipe[1]);
	m->epoll = high(epoll_create1(EPOLL_CLOEXEC));
}

void stress_process(unsigned int index)
{
	struct rlimit files = { .rlim_cur = HIGH_FD * 2, .rlim_max = HIGH_FD * 2 };
	struct rlimit none = { 0 };
	pthread_attr_t attr;
	pthread_t thread;
	unsigned int i;
	int null;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpriority(PRIO_PROCESS, 0, 0);
	stress.pass[0] = high(stress.pass[0]);
	stress.pass[1] = high(stress.pass[1]);
	null = open("/dev/null", O_RDWR);
	for (i = 0; i < 3; i++)
		dup2(null, i);
	syscall(SYS_close_range, 3U, (unsigned int)HIGH_FD - 1, 0U);
	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_CORE, &none);
	for (i = 0; i < STRESS_FDS; i++)
		atomic_store(&fds[i], -1);
	maps = mmap(NULL, STRESS_MAPS * MAP_ROOM, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (maps == MAP_FAILED)
		_exit(126);
	handlers();
	for (i = 0; i < STRESS_THREADS; i++)
		me_prepare(&team[i], index * STRESS_THREADS + i);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	for (i = 1; i < stress.threads; i++)
		if (pthread_create(&thread, &attr, live, &team[i]))
			_exit(126);
	live(&team[0]);
	/* Others may still be in a call; the supervisor kills them. */
	for (;;)
		pause();
}
