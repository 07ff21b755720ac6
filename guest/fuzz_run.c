// SPDX-License-Identifier: GPL-2.0
/*
 * Doing a program, and what it has reached. KCOV tells each thread the places of the kernel that it came by; those
 * of the module count.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcov.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "draw.h"
#include "fuzz_guest.h"
#include "guest.h"
#include "harness.h"

#define KCOV_PATH  "/sys/kernel/debug/kcov"
#define KCOV_WORDS (256UL << 10) /* 2 MiB of each thread */
#define CMP_WORDS  4		 /* of one comparison: kind, both operands, place */
#define CMPS_MOST  4096
#define TRIES_MOST 64 /* of a place in the table of PCs */
#define LEARN_FROM 17 /* smaller numbers are drawn anyway */
#define NEW_OF	   8  /* one program of so many is made, not changed */

struct me {
	unsigned int thread;
	int kcov;
	uint64_t *trace;
	volatile bool touching;
	sigjmp_buf out;
	bool comparing; /* it is not places that KCOV tells now */
	bool news;
	int last_news; /* number of the call that brought it */
};

static unsigned int worker;
static struct me team[FUZZ_THREADS];
static __thread struct me *me;
static struct fuzz_prog *now;
static sem_t go, done;
static atomic_int fds[FUZZ_FDS];
static int pipe_fds[2];
static bool mapped[FUZZ_MAP_PLACES];
static uint64_t code, code_size;

#define CALL(call)                                \
	({                                        \
		long ret_ = (call);               \
		ret_ == -1 ? -(long)errno : ret_; \
	})

/* ---- Coverage ---- */

/* "vgpio 16384 0 - Live 0xffffffffc0000000 (O)" */
static bool find_code(const char *module)
{
	char line[512], name[128];
	FILE *f = fopen("/proc/modules", "re");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%127s %" SCNu64 " %*s %*s %*s 0x%" SCNx64, name, &code_size,
			       &code) == 3 &&
			!strcmp(name, module);
	if (f)
		fclose(f);
	return found && code;
}

static const char *kcov_open(struct me *m)
{
	m->kcov = open(KCOV_PATH, O_RDWR | O_CLOEXEC);
	if (m->kcov < 0)
		return errno == ENOENT ? "the kernel has no KCOV" : "KCOV cannot be opened";
	if (ioctl(m->kcov, KCOV_INIT_TRACE, KCOV_WORDS))
		return "KCOV cannot be prepared";
	m->trace = mmap(NULL, KCOV_WORDS * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED,
			m->kcov, 0);
	return m->trace == MAP_FAILED ? "KCOV's memory cannot be mapped" : NULL;
}

const char *fuzz_coverage_open(const char *module)
{
	struct me probe;
	const char *why = kcov_open(&probe);

	if (probe.kcov >= 0)
		close(probe.kcov);
	if (why)
		return why;
	munmap(probe.trace, KCOV_WORDS * sizeof(uint64_t));
	return find_code(module) ? NULL : "/proc/modules does not say where the module's code is";
}

/* Comparisons are an option of the kernel's; places are not. */
static bool kcov_start(unsigned long mode)
{
	if (!fuzz.guided)
		return true;
	if (ioctl(me->kcov, KCOV_ENABLE, mode)) {
		if (mode == KCOV_TRACE_PC)
			_exit(126);
		return false;
	}
	__atomic_store_n(&me->trace[0], 0, __ATOMIC_RELAXED);
	return true;
}

static void kcov_stop(void)
{
	if (fuzz.guided)
		ioctl(me->kcov, KCOV_DISABLE, 0);
}

static void count_pc(uint64_t pc)
{
	uint32_t at = (pc - code) * 0x9e3779b1U, i;

	for (i = 0; i < TRIES_MOST; i++) {
		atomic_ullong *place = &fuzz.state->pcs[(at + i) % PCS];
		unsigned long long there = atomic_load_explicit(place, memory_order_relaxed);

		if (there == pc)
			return;
		if (!there && atomic_compare_exchange_strong(place, &there, pc)) {
			atomic_fetch_add(&fuzz.state->n_pcs, 1);
			return;
		}
		if (there == pc)
			return;
	}
}

/* From one place to the next: a loop and a branch back differ from a straight line. */
static bool see_edges(void)
{
	uint64_t n = __atomic_load_n(&me->trace[0], __ATOMIC_RELAXED), i, before = 0, pc;
	bool news = false;
	uint32_t edge;

	if (me->comparing)
		return false;
	for (i = 1; i <= n && i < KCOV_WORDS; i++) {
		pc = me->trace[i];
		if (pc - code >= code_size)
			continue;
		edge = ((pc - code) * 0x9e3779b1U ^ before * 31) % EDGES;
		before = pc - code;
		if (atomic_load_explicit(&fuzz.state->edges[edge], memory_order_relaxed))
			continue;
		if (!atomic_exchange(&fuzz.state->edges[edge], 1)) {
			atomic_fetch_add(&fuzz.state->n_edges, 1);
			count_pc(pc);
			news = true;
		}
	}
	__atomic_store_n(&me->trace[0], 0, __ATOMIC_RELAXED);
	return news;
}

/* Without coverage: a call that ends as none of its kind has. */
static bool see_result(const struct fuzz_call *c, long ret)
{
	unsigned int size = ret > 0 ? 1 + (63 - __builtin_clzl(ret)) : 0;
	uint32_t hash = (c->kind * 0x9e3779b1U ^ (uint32_t)c->cmd) * 0x85ebca6bU;

	hash = (hash ^ (ret < 0 ? (uint32_t)-ret : size << 12)) * 0xc2b2ae35U;
	hash = (hash ^ hash >> 15) % RESULTS;
	if (atomic_load_explicit(&fuzz.state->results[hash], memory_order_relaxed))
		return false;
	return !atomic_exchange(&fuzz.state->results[hash], 1);
}

static void learn(uint64_t value)
{
	unsigned int n;

	if (value < LEARN_FROM || -value < LEARN_FROM)
		return;
	n = atomic_load_explicit(&fuzz.state->n_learned, memory_order_relaxed);
	for (unsigned int i = 0; i < n && i < LEARNED; i++)
		if (fuzz.state->learned[i] == value)
			return;
	n = atomic_fetch_add(&fuzz.state->n_learned, 1);
	fuzz.state->learned[n % LEARNED] = value;
}

/* What the device tells of itself: where it ends, and the numbers that an ioctl gives. */
static void learn_from(const struct fuzz_call *c, long ret)
{
	uint64_t v;
	uint32_t i;

	if (c->kind == FUZZ_SEEK && c->flags == SEEK_END && ret > 0)
		learn(ret - c->pos);
	if (c->kind != FUZZ_IOCTL || ret < 0 || !(_IOC_DIR(c->cmd) & _IOC_READ) ||
	    c->addr < FUZZ_ARENA || c->addr + c->n_data > FUZZ_ARENA + FUZZ_ARENA_SIZE)
		return;
	for (i = 0; i + sizeof(v) <= c->n_data && i < 64; i += sizeof(v)) {
		memcpy(&v, (void *)(uintptr_t)(c->addr + i), sizeof(v));
		if (v < 1ULL << 40)
			learn(v);
	}
}

/* ---- Calls ---- */

static void fd_put(unsigned int at, int fd)
{
	fd = atomic_exchange(&fds[at], fd);
	if (fd >= 0)
		close(fd);
}

static void *at(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

static void data_put(const struct fuzz_call *c)
{
	uint64_t room = FUZZ_ARENA + FUZZ_ARENA_SIZE - c->addr;

	if (c->addr >= FUZZ_ARENA && c->addr < FUZZ_ARENA + FUZZ_ARENA_SIZE)
		memcpy(at(c->addr), c->data, c->n_data < room ? c->n_data : room);
}

static void vector_of(const struct fuzz_call *c, struct iovec iov[2])
{
	iov[0] = (struct iovec){ at(c->addr), c->size / 2 };
	iov[1] = (struct iovec){ at(c->addr + c->size / 2), c->size - c->size / 2 };
}

static uint64_t map_at(const struct fuzz_call *c)
{
	return FUZZ_MAPS + c->other % FUZZ_MAP_PLACES * FUZZ_MAP_SIZE;
}

static void map_empty(uint64_t place)
{
	mmap(at(place), FUZZ_MAP_SIZE, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
}

/* One that does not fit into its place is made anywhere and goes at once. */
static long do_mmap(const struct fuzz_call *c, int fd)
{
	bool fits = c->size && c->size <= FUZZ_MAP_SIZE;
	int prot = c->flags & 7, kind = c->flags >> 8 & 3;
	void *map = mmap(fits ? at(map_at(c)) : NULL, c->size, prot, kind | (fits ? MAP_FIXED : 0),
			 fd, c->pos);

	if (map == MAP_FAILED)
		return -errno;
	mapped[c->other % FUZZ_MAP_PLACES] = true;
	if (!fits)
		munmap(map, c->size);
	return 0;
}

static void on_fault(int sig)
{
	if (me && me->touching)
		siglongjmp(me->out, sig);
	signal(sig, SIG_DFL);
	raise(sig);
}

static long do_touch(const struct fuzz_call *c)
{
	volatile char *place = at(map_at(c) + (uint64_t)c->pos % FUZZ_MAP_SIZE);
	int sig = sigsetjmp(me->out, 0);

	if (!sig) {
		me->touching = true;
		if (c->flags & 1)
			*place = c->flags;
		else
			(void)*place;
	}
	me->touching = false;
	return sig ? -EFAULT : 0;
}

static long do_splice(const struct fuzz_call *c, int fd)
{
	loff_t pos = c->pos, *where = c->flags & 1 ? &pos : NULL;
	size_t size = c->size & 0xffff;
	char sink[4096];
	long ret;

	if (c->kind == FUZZ_SPLICE_OUT) {
		if (write(pipe_fds[1], at(c->addr), size) < 0 && errno != EAGAIN)
			return -errno;
		ret = CALL(splice(pipe_fds[0], NULL, fd, where, size, SPLICE_F_NONBLOCK));
	} else {
		ret = CALL(splice(fd, where, pipe_fds[1], NULL, size, SPLICE_F_NONBLOCK));
	}
	while (read(pipe_fds[0], sink, sizeof(sink)) > 0)
		;
	return ret;
}

/* lab/fuzz_c.c writes the same down as C. */
static long do_call(const struct fuzz_call *c)
{
	int fd = atomic_load_explicit(&fds[c->fd], memory_order_relaxed);
	struct pollfd pfd = { .fd = fd, .events = c->flags };
	struct iovec iov[2];
	struct stat st;
	long ret;

	if (c->n_data)
		data_put(c);
	vector_of(c, iov);
	switch (c->kind) {
	case FUZZ_OPEN:
		ret = CALL(open(conf.nodes[c->other % conf.n_nodes], (int)c->flags));
		if (ret >= 0)
			fd_put(c->fd, ret);
		return ret;
	case FUZZ_CLOSE:
		fd = atomic_exchange(&fds[c->fd], -1);
		return CALL(close(fd));
	case FUZZ_READ:
		return CALL(read(fd, at(c->addr), c->size));
	case FUZZ_WRITE:
		return CALL(write(fd, at(c->addr), c->size));
	case FUZZ_PREAD:
		return CALL(pread(fd, at(c->addr), c->size, c->pos));
	case FUZZ_PWRITE:
		return CALL(pwrite(fd, at(c->addr), c->size, c->pos));
	case FUZZ_READV:
		return CALL(preadv(fd, iov, 2, c->pos));
	case FUZZ_WRITEV:
		return CALL(pwritev(fd, iov, 2, c->pos));
	case FUZZ_SEEK:
		return CALL(lseek(fd, c->pos, c->flags));
	case FUZZ_POLL:
		return CALL(poll(&pfd, 1, 0));
	case FUZZ_IOCTL:
		return CALL(ioctl(fd, c->cmd, at(c->addr)));
	case FUZZ_MMAP:
		return do_mmap(c, fd);
	case FUZZ_MUNMAP:
		map_empty(map_at(c));
		return 0;
	case FUZZ_TOUCH:
		return do_touch(c);
	case FUZZ_SPLICE_IN:
	case FUZZ_SPLICE_OUT:
		return do_splice(c, fd);
	case FUZZ_DUP:
		ret = CALL(dup(fd));
		if (ret >= 0)
			fd_put(c->other % FUZZ_FDS, ret);
		return ret;
	case FUZZ_FCNTL:
		return CALL(fcntl(fd, F_SETFL, (int)c->flags));
	case FUZZ_FSYNC:
		return CALL(fsync(fd));
	case FUZZ_TRUNCATE:
		return CALL(ftruncate(fd, c->pos));
	default:
		return CALL(fstat(fd, &st));
	}
}

/* ---- Programs ---- */

static void run_calls(void)
{
	const struct fuzz_prog *p = now;
	uint32_t i;
	long ret;

	me->news = false;
	me->last_news = 0;
	for (i = 0; i < p->n; i++) {
		const struct fuzz_call *c = &p->calls[i];

		if (c->thread != me->thread)
			continue;
		atomic_store_explicit(&fuzz.state->worker[worker].doing, c->kind,
				      memory_order_relaxed);
		ret = do_call(c);
		atomic_fetch_add_explicit(&fuzz.state->worker[worker].calls, 1,
					  memory_order_relaxed);
		if (ret >= 0)
			atomic_fetch_add_explicit(&fuzz.state->worker[worker].ok, 1,
						  memory_order_relaxed);
		if (fuzz.guided ? see_edges() : see_result(c, ret)) {
			me->news = true;
			me->last_news = i;
		}
		learn_from(c, ret);
	}
}

static void *help(void *arg)
{
	me = arg;
	atomic_store(&fuzz.state->worker[worker].tid[me->thread], (int)syscall(SYS_gettid));
	kcov_start(KCOV_TRACE_PC);
	for (;;) {
		while (sem_wait(&go))
			;
		run_calls();
		sem_post(&done);
	}
	return NULL;
}

/* Everything as it was, so that the next program means the same wherever it runs. */
static void clean_up(const struct fuzz_prog *p)
{
	uint64_t used = 0;
	uint32_t i;

	for (i = 0; i < FUZZ_FDS; i++)
		if (fds[i] >= 0)
			fd_put(i, -1);
	for (i = 0; i < FUZZ_MAP_PLACES; i++) {
		if (mapped[i])
			map_empty(FUZZ_MAPS + i * FUZZ_MAP_SIZE);
		mapped[i] = false;
	}
	for (i = 0; i < p->n; i++) {
		uint64_t from = p->calls[i].addr - FUZZ_ARENA, len = p->calls[i].size;

		len = len > p->calls[i].n_data ? len : p->calls[i].n_data;
		if (_IOC_SIZE(p->calls[i].cmd) > len)
			len = 4096;
		if (from < FUZZ_ARENA_SIZE && from + len > used)
			used = len < FUZZ_ARENA_SIZE - from ? from + len : FUZZ_ARENA_SIZE;
	}
	memset(at(FUZZ_ARENA), 0, used);
}

static void run(struct fuzz_prog *p)
{
	bool threads = false;
	uint32_t i;

	for (i = 0; i < p->n; i++)
		threads |= p->calls[i].thread;
	now = p;
	if (threads)
		sem_post(&go);
	run_calls();
	while (threads && sem_wait(&done))
		;
	clean_up(p);
	if (fuzz.guided) /* the releases count, too; for the last call */
		me->news |= see_edges();
	if (threads)
		me->news |= team[1].news;
	else if (me->last_news + 1U < p->n && me->news)
		p->n = me->last_news + 1;
	atomic_fetch_add_explicit(&fuzz.state->worker[worker].programs, 1, memory_order_relaxed);
}

static void keep(const struct fuzz_prog *p)
{
	unsigned int n = atomic_fetch_add(&fuzz.state->n_corpus, 1);

	if (n >= CORPUS_MOST) {
		atomic_fetch_sub(&fuzz.state->n_corpus, 1);
		return;
	}
	fuzz.state->corpus[n].prog = *p;
	atomic_store(&fuzz.state->corpus[n].ready, true);
}

static void hint(uint64_t ours, uint64_t theirs)
{
	unsigned int n;

	if (ours == theirs || ours < LEARN_FROM)
		return;
	n = atomic_fetch_add(&fuzz.state->n_hints, 1) % HINTS;
	fuzz.state->hints[n].ours = ours;
	fuzz.state->hints[n].theirs = theirs;
}

/* Once more, for what the module compares. */
static void see_comparisons(struct fuzz_prog *p)
{
	uint64_t n, i;

	kcov_stop();
	if (!kcov_start(KCOV_TRACE_CMP)) {
		kcov_start(KCOV_TRACE_PC);
		return;
	}
	me->comparing = true;
	run(p);
	me->comparing = false;
	kcov_stop();
	n = __atomic_load_n(&me->trace[0], __ATOMIC_RELAXED);
	for (i = 0; i < n && i < CMPS_MOST && (i + 1) * CMP_WORDS < KCOV_WORDS; i++) {
		const uint64_t *cmp = &me->trace[1 + i * CMP_WORDS];

		if (cmp[3] - code >= code_size)
			continue;
		hint(cmp[1], cmp[2]);
		hint(cmp[2], cmp[1]);
	}
	kcov_start(KCOV_TRACE_PC);
}

static void choose(uint64_t *r, struct fuzz_prog *p)
{
	unsigned int n = atomic_load_explicit(&fuzz.state->n_corpus, memory_order_relaxed), pick;

	n = n < CORPUS_MOST ? n : CORPUS_MOST;
	if (n && draw_below(r, NEW_OF)) {
		/* half of them among the latest */
		pick = draw_below(r, n);
		if (draw_below(r, 2) && n > 16)
			pick = n - 1 - draw_below(r, 16);
		if (atomic_load(&fuzz.state->corpus[pick].ready)) {
			*p = fuzz.state->corpus[pick].prog;
			fuzz_change(r, p);
			return;
		}
	}
	fuzz_draw(r, p);
}

static void show(const struct fuzz_prog *p)
{
	uint32_t begun = fuzz.shared->worker[worker].begun;

	memcpy(&fuzz.shared->worker[worker].history[begun % FUZZ_HISTORY], p,
	       offsetof(struct fuzz_prog, calls) + p->n * sizeof(p->calls[0]));
	__atomic_store_n(&fuzz.shared->worker[worker].begun, begun + 1, __ATOMIC_RELEASE);
}

/* Changed without end. What earlier runs have kept comes first. */
static void search(void)
{
	static struct fuzz_prog p;
	uint64_t r = fuzz.seed + worker;
	unsigned int i = worker;

	draw_random(&r);
	for (; !atomic_load_explicit(&fuzz.state->stop, memory_order_relaxed); i += FUZZ_WORKERS) {
		if (i < fuzz.n_replay)
			p = fuzz.replay[i];
		else
			choose(&r, &p);
		show(&p);
		run(&p);
		if (me->news) {
			keep(&p);
			if (fuzz.guided)
				see_comparisons(&p);
		}
		fuzz.shared->worker[worker].ended++;
	}
}

static void replay(void)
{
	unsigned int i, k, step = fuzz.together ? FUZZ_WORKERS : 1;

	do {
		for (i = fuzz.together ? worker : 0; i < fuzz.n_replay; i += step) {
			show(&fuzz.replay[i]);
			for (k = 0; k < fuzz.repeat; k++) {
				struct fuzz_prog p = fuzz.replay[i];

				if (atomic_load_explicit(&fuzz.state->stop, memory_order_relaxed))
					return;
				run(&p);
			}
			fuzz.shared->worker[worker].ended++;
		}
	} while (fuzz.together);
}

/* ---- Life ---- */

static void on_alarm(int sig)
{
	(void)sig;
}

static void memory(void)
{
	static const struct {
		uint64_t at, size;
		int prot;
	} parts[] = {
		{ FUZZ_ARENA, FUZZ_RDONLY - FUZZ_ARENA, PROT_NONE },
		{ FUZZ_ARENA, FUZZ_ARENA_SIZE, PROT_READ | PROT_WRITE },
		{ FUZZ_RDONLY, FUZZ_RDONLY_SIZE, PROT_READ },
		{ FUZZ_MAPS, FUZZ_MAP_PLACES * FUZZ_MAP_SIZE, PROT_NONE },
	};
	unsigned int i;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (mmap(at(parts[i].at), parts[i].size, parts[i].prot,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
			 0) == MAP_FAILED)
			_exit(126);
}

static void handlers(void)
{
	struct sigaction sa = { .sa_handler = on_alarm }; /* no SA_RESTART: it is to interrupt */

	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGIO, &sa, NULL);
	sigaction(SIGPIPE, &sa, NULL);
	sa.sa_handler = on_fault;
	sa.sa_flags = SA_NODEFER;
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}

void fuzz_worker(unsigned int index)
{
	struct rlimit none = { 0 };
	pthread_t thread;
	unsigned int i;

	worker = index;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &none);
	memory();
	handlers();
	if (pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC) || sem_init(&go, 0, 0) || sem_init(&done, 0, 0))
		_exit(126);
	for (i = 0; i < FUZZ_FDS; i++)
		atomic_store(&fds[i], -1);
	for (i = 0; i < FUZZ_THREADS; i++) {
		team[i].thread = i;
		if (fuzz.guided && kcov_open(&team[i]))
			_exit(126);
	}
	me = &team[0];
	if (pthread_create(&thread, NULL, help, &team[1]))
		_exit(126);
	atomic_store(&fuzz.state->worker[worker].tid[0], (int)syscall(SYS_gettid));
	kcov_start(KCOV_TRACE_PC);
	if (fuzz.repeat)
		replay();
	else
		search();
	_exit(0);
}
