// SPDX-License-Identifier: GPL-2.0
/* A program as C, call for call what guest/fuzz_run.c does. */
#include <inttypes.h>
#include <string.h>

#include "fuzz.h"

#define ROUNDS	      20
#define ROUNDS_RACING 2000

static bool has(const struct fuzz_prog *p, enum fuzz_kind kind)
{
	for (uint32_t i = 0; p && i < p->n; i++)
		if (p->calls[i].kind == kind)
			return true;
	return false;
}

static bool has_threads(const struct fuzz_prog *p)
{
	for (uint32_t i = 0; p && i < p->n; i++)
		if (p->calls[i].thread)
			return true;
	return false;
}

static void add_data(struct buf *c, const struct fuzz_call *call)
{
	uint64_t room = FUZZ_ARENA + FUZZ_ARENA_SIZE - call->addr;
	uint32_t n = call->n_data;

	if (call->addr < FUZZ_ARENA || call->addr >= FUZZ_ARENA + FUZZ_ARENA_SIZE)
		return;
	n = n < room ? n : room;
	if (!n)
		return;
	buf_printf(c, "\tmemcpy((void *)0x%" PRIx64 ", \"", call->addr);
	for (uint32_t i = 0; i < n; i++)
		buf_printf(c, "%s\\x%02x", i && i % 16 == 0 ? "\"\n\t       \"" : "",
			   call->data[i]);
	buf_printf(c, "\", %" PRIu32 ");\n", n);
}

static void add_map(struct buf *c, const struct fuzz_call *call)
{
	unsigned int place = call->other % FUZZ_MAP_PLACES;
	bool fits = call->size && call->size <= FUZZ_MAP_SIZE;
	uint32_t prot = call->flags & 7, kind = call->flags >> 8 & 3;

	if (fits)
		buf_printf(c,
			   "\tmmap((void *)0x%" PRIx64 ", 0x%" PRIx64 ", 0x%x, 0x%x | MAP_FIXED, "
			   "fd[%u], 0x%" PRIx64 ");\n",
			   FUZZ_MAPS + place * FUZZ_MAP_SIZE, call->size, prot, kind, call->fd,
			   (uint64_t)call->pos);
	else
		buf_printf(c,
			   "\tmunmap(mmap(NULL, 0x%" PRIx64 ", 0x%x, 0x%x, fd[%u], 0x%" PRIx64
			   "), 0x%" PRIx64 ");\n",
			   call->size, prot, kind, call->fd, (uint64_t)call->pos, call->size);
}

static void add_splice(struct buf *c, const struct fuzz_call *call)
{
	const char *where = call->flags & 1 ? "&pos" : "NULL";
	uint64_t size = call->size & 0xffff;

	buf_printf(c, "\tpos = 0x%" PRIx64 ";\n", (uint64_t)call->pos);
	if (call->kind == FUZZ_SPLICE_OUT)
		buf_printf(c,
			   "\twrite(ends[1], (void *)0x%" PRIx64 ", 0x%" PRIx64 ");\n"
			   "\tsplice(ends[0], NULL, fd[%u], %s, 0x%" PRIx64
			   ", SPLICE_F_NONBLOCK);\n",
			   call->addr, size, call->fd, where, size);
	else
		buf_printf(c,
			   "\tsplice(fd[%u], %s, ends[1], NULL, 0x%" PRIx64
			   ", SPLICE_F_NONBLOCK);\n",
			   call->fd, where, size);
	buf_puts(c, "\twhile (read(ends[0], sink, sizeof(sink)) > 0)\n\t\t;\n");
}

static void add_vector(struct buf *c, const struct fuzz_call *call, const char *name)
{
	uint64_t half = call->size / 2;

	buf_printf(c,
		   "\tiov[0] = (struct iovec){ (void *)0x%" PRIx64 ", 0x%" PRIx64 " };\n"
		   "\tiov[1] = (struct iovec){ (void *)0x%" PRIx64 ", 0x%" PRIx64 " };\n"
		   "\t%s(fd[%u], iov, 2, 0x%" PRIx64 ");\n",
		   call->addr, half, call->addr + half, call->size - half, name, call->fd,
		   (uint64_t)call->pos);
}

static void add_call(struct buf *c, const struct fuzz_call *call, char (*nodes)[FUZZ_PATH],
		     size_t n_nodes)
{
	uint64_t pos = call->pos;

	if (call->n_data)
		add_data(c, call);
	switch (call->kind) {
	case FUZZ_OPEN:
		buf_printf(c, "\tput(%u, open(\"%.*s\", 0x%x));\n", call->fd, FUZZ_PATH,
			   n_nodes ? nodes[call->other % n_nodes] : "/dev/null", call->flags);
		break;
	case FUZZ_CLOSE:
		buf_printf(c, "\tput(%u, -1);\n", call->fd);
		break;
	case FUZZ_READ:
	case FUZZ_WRITE:
		buf_printf(c, "\t%s(fd[%u], (void *)0x%" PRIx64 ", 0x%" PRIx64 ");\n",
			   fuzz_kind_names[call->kind], call->fd, call->addr, call->size);
		break;
	case FUZZ_PREAD:
	case FUZZ_PWRITE:
		buf_printf(c,
			   "\t%s(fd[%u], (void *)0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ");\n",
			   fuzz_kind_names[call->kind], call->fd, call->addr, call->size, pos);
		break;
	case FUZZ_READV:
		add_vector(c, call, "preadv");
		break;
	case FUZZ_WRITEV:
		add_vector(c, call, "pwritev");
		break;
	case FUZZ_SEEK:
		buf_printf(c, "\tlseek(fd[%u], 0x%" PRIx64 ", %u);\n", call->fd, pos, call->flags);
		break;
	case FUZZ_POLL:
		buf_printf(
			c,
			"\tpoll(&(struct pollfd){ .fd = fd[%u], .events = (short)0x%x }, 1, 0);\n",
			call->fd, call->flags & 0xffff);
		break;
	case FUZZ_IOCTL:
		buf_printf(c, "\tioctl(fd[%u], 0x%" PRIx64 ", (void *)0x%" PRIx64 ");\n", call->fd,
			   call->cmd, call->addr);
		break;
	case FUZZ_MMAP:
		add_map(c, call);
		break;
	case FUZZ_MUNMAP:
		buf_printf(c, "\tmap_empty(0x%" PRIx64 ");\n",
			   FUZZ_MAPS + call->other % FUZZ_MAP_PLACES * FUZZ_MAP_SIZE);
		break;
	case FUZZ_TOUCH:
		buf_printf(c, "\ttouch((char *)0x%" PRIx64 ", %u);\n",
			   FUZZ_MAPS + call->other % FUZZ_MAP_PLACES * FUZZ_MAP_SIZE +
				   pos % FUZZ_MAP_SIZE,
			   call->flags & 1);
		break;
	case FUZZ_SPLICE_IN:
	case FUZZ_SPLICE_OUT:
		add_splice(c, call);
		break;
	case FUZZ_DUP:
		buf_printf(c, "\tput(%u, dup(fd[%u]));\n", call->other % FUZZ_FDS, call->fd);
		break;
	case FUZZ_FCNTL:
		buf_printf(c, "\tfcntl(fd[%u], F_SETFL, 0x%x);\n", call->fd, call->flags);
		break;
	case FUZZ_FSYNC:
		buf_printf(c, "\tfsync(fd[%u]);\n", call->fd);
		break;
	case FUZZ_TRUNCATE:
		buf_printf(c, "\tftruncate(fd[%u], 0x%" PRIx64 ");\n", call->fd, pos);
		break;
	default:
		buf_printf(c, "\tfstat(fd[%u], &st);\n", call->fd);
	}
}

/* The locals that these calls need. */
static void add_locals(struct buf *c, const struct fuzz_prog *p)
{
	size_t before = c->n;

	if (has(p, FUZZ_READV) || has(p, FUZZ_WRITEV))
		buf_puts(c, "\tstruct iovec iov[2];\n");
	if (has(p, FUZZ_SPLICE_IN) || has(p, FUZZ_SPLICE_OUT))
		buf_puts(c, "\tchar sink[4096];\n\tloff_t pos;\n");
	if (has(p, FUZZ_STAT))
		buf_puts(c, "\tstruct stat st;\n");
	if (c->n > before)
		buf_puts(c, "\n");
}

static void add_function(struct buf *c, const struct fuzz_prog *p, const char *name,
			 unsigned int thread, char (*nodes)[FUZZ_PATH], size_t n_nodes)
{
	struct fuzz_prog mine = {};

	for (uint32_t i = 0; i < p->n; i++)
		if (p->calls[i].thread == thread)
			mine.calls[mine.n++] = p->calls[i];
	buf_printf(c, "static void %s(void)\n{\n", name);
	add_locals(c, &mine);
	for (uint32_t i = 0; i < mine.n; i++)
		add_call(c, &mine.calls[i], nodes, n_nodes);
	buf_puts(c, "}\n\n");
}

/* Threads meet at the beginning of each round. */
static void add_round(struct buf *c, const struct fuzz_prog *p, const char *name,
		      char (*nodes)[FUZZ_PATH], size_t n_nodes)
{
	_cleanup_free_ char *first = xasprintf("%s_first", name);
	_cleanup_free_ char *second = xasprintf("%s_second", name);

	if (!has_threads(p)) {
		add_function(c, p, name, 0, nodes, n_nodes);
		return;
	}
	add_function(c, p, first, 0, nodes, n_nodes);
	add_function(c, p, second, 1, nodes, n_nodes);
	buf_printf(c,
		   "static void *%s_thread(void *arg)\n{\n\t%s();\n\treturn arg;\n}\n\n"
		   "static void %s(void)\n{\n\tpthread_t thread;\n\n"
		   "\tpthread_create(&thread, NULL, %s_thread, NULL);\n\t%s();\n"
		   "\tpthread_kill(thread, SIGALRM);\n\tpthread_join(thread, NULL);\n}\n\n",
		   name, second, name, name, first);
}

static void add_support(struct buf *c, const struct fuzz_prog *p, const struct fuzz_prog *other)
{
	buf_printf(c,
		   "static int fd[%d] = { -1, -1, -1, -1 };\n"
		   "static int ends[2];\n\n"
		   "static void put(int at, int file)\n{\n\tif (fd[at] >= 0)\n\t\tclose(fd[at]);\n"
		   "\tfd[at] = file;\n}\n\n"
		   "static void map_empty(unsigned long at)\n{\n"
		   "\tmmap((void *)at, 0x%lx, PROT_NONE,\n"
		   "\t     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);\n}\n\n",
		   FUZZ_FDS, FUZZ_MAP_SIZE);
	if (has(p, FUZZ_TOUCH) || has(other, FUZZ_TOUCH))
		buf_puts(c, "static __thread sigjmp_buf out;\n\n"
			    "static void on_fault(int sig)\n{\n\tsiglongjmp(out, sig);\n}\n\n"
			    "static void touch(volatile char *at, int store)\n{\n"
			    "\tif (sigsetjmp(out, 1))\n\t\treturn;\n"
			    "\tif (store)\n\t\t*at = 1;\n\telse\n\t\t(void)*at;\n}\n\n");
}

static void add_main(struct buf *c, const struct fuzz_prog *p, const struct fuzz_prog *together)
{
	int rounds = together || has_threads(p) ? ROUNDS_RACING : ROUNDS;

	buf_puts(c, "static void on_alarm(int sig)\n{\n\t(void)sig;\n}\n\n"
		    "int main(void)\n{\n"
		    "\tstruct sigaction sa = { .sa_handler = on_alarm };\n"
		    "\tstruct itimerval tick = { { 0, 20000 }, { 0, 20000 } };\n"
		    "\tint i, k;\n\n");
	buf_printf(c,
		   "\tmmap((void *)0x%lx, 0x%lx, PROT_READ | PROT_WRITE,\n"
		   "\t     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);\n"
		   "\tmmap((void *)0x%lx, 0x%lx, PROT_READ,\n"
		   "\t     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);\n",
		   FUZZ_ARENA, FUZZ_ARENA_SIZE, FUZZ_RDONLY, FUZZ_RDONLY_SIZE);
	for (int i = 0; i < FUZZ_MAP_PLACES; i++)
		buf_printf(c, "\tmap_empty(0x%lx);\n", FUZZ_MAPS + i * FUZZ_MAP_SIZE);
	buf_puts(c, "\tpipe2(ends, O_NONBLOCK);\n");
	if (has(p, FUZZ_TOUCH) || has(together, FUZZ_TOUCH))
		buf_puts(c, "\tsignal(SIGSEGV, on_fault);\n\tsignal(SIGBUS, on_fault);\n");
	buf_puts(c, "\tsigaction(SIGALRM, &sa, NULL); /* calls that wait are interrupted */\n");
	if (together)
		buf_puts(c, "\tk = fork();\n");
	else
		buf_puts(c, "\tk = 1;\n");
	buf_printf(c,
		   "\tsetitimer(ITIMER_REAL, &tick, NULL);\n"
		   "\tfor (i = 0; i < %d; i++) {\n",
		   rounds);
	if (together)
		buf_puts(c, "\t\tif (k)\n\t\t\tprogram();\n\t\telse\n\t\t\tother();\n");
	else
		buf_puts(c, "\t\tprogram();\n");
	buf_printf(c, "\t\tfor (int at = 0; at < %d; at++)\n\t\t\tput(at, -1);\n", FUZZ_FDS);
	for (int i = 0; i < FUZZ_MAP_PLACES; i++)
		if (has(p, FUZZ_MMAP) || has(together, FUZZ_MMAP))
			buf_printf(c, "\t\tmap_empty(0x%lx);\n", FUZZ_MAPS + i * FUZZ_MAP_SIZE);
	buf_printf(c, "\t\tmemset((void *)0x%lx, 0, 0x%lx);\n\t}\n\treturn !k;\n}\n", FUZZ_ARENA,
		   FUZZ_ARENA_SIZE);
}

void fuzz_c(struct buf *c, const char *what, const struct fuzz_prog *p,
	    const struct fuzz_prog *together, char (*nodes)[FUZZ_PATH], size_t n_nodes)
{
	_cleanup_free_ char *text = str_replace(what, "*/", "* /");
	static const char *const headers[] = {
		"fcntl.h",    "poll.h",	   "pthread.h",	  "setjmp.h",	"signal.h",
		"stdlib.h",   "string.h",  "sys/ioctl.h", "sys/mman.h", "sys/stat.h",
		"sys/time.h", "sys/uio.h", "unistd.h",
	};

	buf_printf(
		c,
		"/*\n * %s\n *\n * cc -pthread -o crash THIS.c; run it with the module loaded, where the "
		"kernel may crash.\n * Addresses are fixed, so that it does the same everywhere.\n */\n"
		"#define _GNU_SOURCE\n",
		text);
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
		buf_printf(c, "#include <%s>\n", headers[i]);
	buf_puts(c, "\n");
	add_support(c, p, together);
	add_round(c, p, "program", nodes, n_nodes);
	if (together)
		add_round(c, together, "other", nodes, n_nodes);
	add_main(c, p, together);
}
