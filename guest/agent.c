// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's first process, and the small programs it needs: one static binary, called by name.
 *
 *	init				runs the plan, see protocol.h
 *	insmod PATH [PARAM=VALUE...]	loads a module and notes the nodes that appear
 *	rmmod NAME...			unloads them, in that order
 *	sections NAME			where its code lies: a section and an address a line
 *	symbols				the kernel's own functions: an address and a name a line, then "."
 *	agent hosted BYTES		the same on a machine that is no guest, see hosted.h
 *
 * The agent trusts nothing it starts: a job may hang, flood, fork away or get stuck in the driver
 * under test, and the next one must still run and be told apart.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "harness.h"
#include "hosted.h"
#include "protocol.h"

#define PORT_WAIT_MS 5000
#define PORT_QUEUE   128 /* QEMU's virtio-serial queue */
#define SWEEP_MS     20	 /* between two looks at processes that are dying */
#define MAX_STUCK    64

#define KLOG_CONSOLE_LEVEL 8 /* SYSLOG_ACTION_CONSOLE_LEVEL */
#define KLOG_EVERYTHING	   8
#define PF_KTHREAD	   0x00200000

/* One instruction of the plan. */
struct instruction {
	char **word;
	int n;
};

/* One stream of a job, cut into lines for the port. */
struct stream {
	int fd;
	size_t len;
	char line[PROTOCOL_LINE]; /* with its prefix; the last byte is kept for the newline */
};

struct job {
	const char *name;
	pid_t pid;
	bool ended;
	int status;
	struct stream out, err;
};

/* What waits to be written: the port takes a transfer for each write, so lines are gathered. */
static struct {
	int fd;
	size_t len;
	char buf[32 * 1024];
} port = { .fd = -1 };

static struct instruction *plan;
static int plan_len;
static int child_fd = -1; /* signalfd for SIGCHLD */

/* Given up: they sit in the kernel and no later job is to be blamed for them. */
static pid_t stuck[MAX_STUCK];
static int n_stuck;

/* ---- The end ---- */

/*
 * A write to the port returns when it is queued, and a power-off drops what the host has not taken yet.
 * The queue has no other sign of being empty: once as many empty lines went in as it has places, all
 * that was said before is out. There is no deadline: under icount an idle guest's clock runs far ahead
 * of the host, which has a deadline of its own.
 */
static void port_drain(void)
{
	int i;

	for (i = 0; i < PORT_QUEUE; i++)
		if (write_all(port.fd, "\n", 1))
			return;
}

static bool hosted; /* on a machine that goes on without us */

static void __attribute__((noreturn)) power_off(void)
{
	if (hosted)
		_exit(0);
	if (port.fd >= 0 && !isatty(port.fd))
		port_drain();
	sync();
	/* QEMU has -no-reboot; without ACPI a PC can be reset and not switched off. */
	reboot(RB_AUTOBOOT);
	/* PID 1 must not return whatever happens: that would be a panic with a wrong reason. */
	for (;;)
		pause();
}

static void kmsg(const char *text)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		write_all(fd, text, strlen(text));
		close(fd);
	}
}

/* The agent itself cannot go on: says why wherever it can be read, and ends without END. */
static void __attribute__((noreturn, format(printf, 1, 2))) fatal(const char *fmt, ...)
{
	char text[900], line[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(line, sizeof(line), "<3>cdevlab: agent: %s\n", text);
	kmsg(line);
	snprintf(line, sizeof(line), "cdevlab: agent: %s\n", text);
	if (port.fd < 0)
		port.fd = port_open(RESULTS_PORT, 0);
	if (port.fd >= 0) {
		write_all(port.fd, port.buf, port.len);
		write_all(port.fd, line, strlen(line));
	}
	power_off();
}

/* ---- The results port ---- */

static void port_flush(void)
{
	size_t len = port.len;
	int ret;

	port.len = 0;
	ret = write_all(port.fd, port.buf, len);
	if (ret)
		fatal("results port: %s", errno_name(-ret));
}

static void port_put(const char *text, size_t len)
{
	if (len > sizeof(port.buf) - port.len)
		port_flush();
	memcpy(port.buf + port.len, text, len);
	port.len += len;
}

static void __attribute__((format(printf, 1, 2))) port_say(const char *fmt, ...)
{
	char line[PROTOCOL_LINE + 1];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (n > PROTOCOL_LINE - 1)
		n = PROTOCOL_LINE - 1;
	line[n++] = '\n';
	port_put(line, n);
	port_flush();
}

/* ---- The plan ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes %XX in place. */
static bool word_decode(char *word)
{
	char *to = word;
	int hi, lo;

	for (; *word; word++) {
		if (*word != '%') {
			*to++ = *word;
			continue;
		}
		hi = hex_digit(word[1]);
		lo = hi < 0 ? -1 : hex_digit(word[2]);
		if (lo < 0 || !(hi << 4 | lo))
			return false;
		*to++ = hi << 4 | lo;
		word += 2;
	}
	*to = '\0';
	return true;
}

static void *must(void *memory)
{
	if (!memory)
		fatal("out of memory");
	return memory;
}

static void instruction_parse(char *line, int nr)
{
	struct instruction *in;
	char *word;

	plan = must(reallocarray(plan, plan_len + 1, sizeof(*plan)));
	in = &plan[plan_len++];
	*in = (struct instruction){ 0 };
	/* strsep, not strtok: two blanks hold an empty word, and an empty argument is a word. */
	while ((word = strsep(&line, " "))) {
		if (!word_decode(word))
			fatal("%s:%d: bad %%XX", PLAN_PATH, nr);
		in->word = must(reallocarray(in->word, in->n + 2, sizeof(*in->word)));
		in->word[in->n++] = word;
		in->word[in->n] = NULL;
	}
}

static bool instruction_is(const struct instruction *in, const char *what)
{
	return !strcmp(in->word[0], what);
}

static void instruction_check(const struct instruction *in, int nr)
{
	int i;

	if (instruction_is(in, "module") && in->n >= 2)
		return;
	if (instruction_is(in, "beat") && in->n == 2 && atoi(in->word[1]) > 0)
		return;
	if (instruction_is(in, "shell") && in->n == 1)
		return;
	if (instruction_is(in, "job") && in->n >= 4) {
		for (i = 3; i < in->n && strcmp(in->word[i], "--"); i++)
			;
		if (i < in->n - 1)
			return;
	}
	fatal("%s:%d: cannot understand '%s'", PLAN_PATH, nr, in->word[0]);
}

static void plan_read(void)
{
	char *text = NULL, *line;
	size_t size = 0;
	ssize_t len;
	FILE *file;
	int nr = 0;

	file = fopen(PLAN_PATH, "re");
	if (!file)
		fatal("%s: %s", PLAN_PATH, errno_name(errno));
	while ((len = getline(&text, &size, file)) > 0) {
		nr++;
		if (text[len - 1] == '\n')
			text[--len] = '\0';
		if (!len)
			continue;
		line = must(strdup(text));
		instruction_parse(line, nr);
		instruction_check(&plan[plan_len - 1], nr);
	}
	free(text);
	fclose(file);
}

static bool plan_has(const char *what)
{
	int i;

	for (i = 0; i < plan_len; i++)
		if (instruction_is(&plan[i], what))
			return true;
	return false;
}

/* ---- Modules and nodes ---- */

/* "path/to/my-driver.ko" and "my-driver" are the module "my_driver". */
static void module_name(const char *path, char *name, size_t size)
{
	const char *base = strrchr(path, '/');
	char *at;

	snprintf(name, size, "%s", base ? base + 1 : path);
	at = strstr(name, ".ko");
	if (at)
		*at = '\0';
	for (at = name; *at; at++)
		if (*at == '-')
			*at = '_';
}

/* One string as the kernel splits it: a value with blanks is quoted. */
static void module_params(char **param, char *text, size_t size)
{
	size_t len = 0;
	const char *eq;
	int n;

	text[0] = '\0';
	for (; *param; param++) {
		eq = strchr(*param, '=');
		if (eq && strchr(eq, ' '))
			n = snprintf(text + len, size - len, "%s%.*s\"%s\"", len ? " " : "",
				     (int)(eq + 1 - *param), *param, eq + 1);
		else
			n = snprintf(text + len, size - len, "%s%s", len ? " " : "", *param);
		if (n < 0 || (size_t)n >= size - len)
			return;
		len += n;
	}
}

/* Loads a module. Returns 0 or -errno; *stage says what failed. */
static int load_file(const char *path, char **param, const char **stage)
{
	static char params[4096];
	int fd, ret = 0;

	*stage = "open";
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	module_params(param, params, sizeof(params));
	*stage = "load";
	if (syscall(SYS_finit_module, fd, params, 0) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* What the error means for a module; the generic text misleads. */
static const char *module_error(int err, const char *stage)
{
	if (!strcmp(stage, "open"))
		return strerror(err);
	switch (err) {
	case ENOENT:
		return "Unknown symbol in module";
	case ENOEXEC:
		return "Invalid module format (built for another kernel?)";
	case EEXIST:
		return "Module already loaded";
	case ESRCH:
		return "Module has wrong symbol version";
	case EINVAL:
		return "Invalid parameters, or refused by the module";
	case EKEYREJECTED:
		return "Module's signature refused";
	default:
		return strerror(err);
	}
}

struct node {
	char *path;
	dev_t rdev;
};

static struct node_list {
	struct node *node;
	size_t n;
} * walking;

static int node_visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	struct node_list *list = walking;
	struct node *bigger;

	(void)type;
	(void)ftw;
	if (!S_ISCHR(st->st_mode))
		return 0;
	bigger = reallocarray(list->node, list->n + 1, sizeof(*bigger));
	if (!bigger)
		return -1;
	list->node = bigger;
	bigger[list->n].rdev = st->st_rdev;
	bigger[list->n].path = strdup(path);
	return bigger[list->n++].path ? 0 : -1;
}

static int node_order(const void *a, const void *b)
{
	return strverscmp(((const struct node *)a)->path, ((const struct node *)b)->path);
}

/* All character devices below /dev, in the order of their names: hello2 before hello10. */
static void nodes_list(struct node_list *list)
{
	*list = (struct node_list){ 0 };
	walking = list;
	nftw("/dev", node_visit, 16, FTW_PHYS | FTW_MOUNT);
	if (list->n)
		qsort(list->node, list->n, sizeof(*list->node), node_order);
}

static bool nodes_hold(const struct node_list *list, const struct node *node)
{
	const struct node *found;

	if (!list->n)
		return false;
	found = bsearch(node, list->node, list->n, sizeof(*node), node_order);
	return found && found->rdev == node->rdev;
}

static int nodes_note(const char *module, const struct node_list *before)
{
	char path[PATH_MAX];
	struct node_list after;
	FILE *file;
	size_t i;

	nodes_list(&after);
	mkdir(NODES_DIR, 0755);
	snprintf(path, sizeof(path), NODES_DIR "/%s", module);
	file = fopen(path, "we");
	if (!file)
		return -errno;
	for (i = 0; i < after.n; i++)
		if (!nodes_hold(before, &after.node[i]))
			fprintf(file, "%s\n", after.node[i].path);
	return fclose(file) ? -errno : 0;
}

static int insmod_main(int argc, char **argv)
{
	struct node_list before;
	const char *stage;
	char name[128];
	int ret;

	if (argc < 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: insmod PATH [PARAM=VALUE...]\n");
		return 2;
	}
	nodes_list(&before);
	ret = load_file(argv[1], argv + 2, &stage);
	if (ret) {
		fprintf(stderr, "insmod: %s: %s (%s)%s\n", argv[1], module_error(-ret, stage),
			errno_name(-ret), strcmp(stage, "load") ? "" : ", see the kernel log");
		return 1;
	}
	module_name(argv[1], name, sizeof(name));
	ret = nodes_note(name, &before);
	if (ret) {
		fprintf(stderr, "insmod: %s: cannot note its nodes: %s\n", name, errno_name(-ret));
		return 1;
	}
	return 0;
}

static int unload_one(const char *arg)
{
	char name[128], path[PATH_MAX];
	const char *why;

	module_name(arg, name, sizeof(name));
	if (syscall(SYS_delete_module, name, O_NONBLOCK) < 0) {
		switch (errno) {
		case EWOULDBLOCK:
			why = "Module is in use";
			break;
		case ENOENT:
			why = "Module is not loaded";
			break;
		case EBUSY:
			why = "Module is being loaded or unloaded, or has no exit function";
			break;
		default:
			why = strerror(errno);
		}
		fprintf(stderr, "rmmod: %s: %s (%s)\n", name, why, errno_name(errno));
		return 1;
	}
	/* Its nodes are gone; a later job must not be sent to them. */
	snprintf(path, sizeof(path), NODES_DIR "/%s", name);
	unlink(path);
	return 0;
}

static int rmmod_main(int argc, char **argv)
{
	int i, ret = 0;

	if (argc < 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: rmmod NAME...\n");
		return 2;
	}
	for (i = 1; i < argc && !ret; i++)
		ret = unload_one(argv[i]);
	return ret;
}

/* The exact clock's host side maps executed addresses to functions by these. */
static int sections_main(int argc, char **argv)
{
	char dir[PATH_MAX], path[PATH_MAX], address[32];
	struct dirent *e;
	DIR *d;

	if (argc != 2) {
		fprintf(stderr, "usage: sections NAME\n");
		return 2;
	}
	snprintf(dir, sizeof(dir), "/sys/module/%s/sections", argv[1]);
	d = opendir(dir);
	if (!d) {
		fprintf(stderr, "sections: %s: %s\n", dir, errno_name(errno));
		return 1;
	}
	while ((e = readdir(d))) {
		/* ".": the directory itself; ".text": a section */
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >= (int)sizeof(path))
			continue;
		if (file_read(path, address, sizeof(address)) > 0)
			printf("%s %s", e->d_name, address);
	}
	closedir(d);
	return 0;
}

static int symbols_main(void)
{
	char line[512], type, name[256];
	unsigned long address;
	FILE *f = fopen("/proc/kallsyms", "re");

	if (!f) {
		fprintf(stderr, "symbols: /proc/kallsyms: %s\n", errno_name(errno));
		return 1;
	}
	/* "ffffffff81000000 T _stext"; a module's has "[NAME]" after it; __pfx_ is padding */
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx %c %255s", &address, &type, name) == 3 && address &&
		    strchr("tTwW", type) && !strchr(line, '[') && strncmp(name, "__pfx_", 6))
			printf("%lx %s\n", address, name);
	puts(".");
	fclose(f);
	return 0;
}

#define KMEMLEAK     "/sys/kernel/debug/kmemleak"
#define KMEMLEAK_AGE 6 /* younger objects are not reported */

static int kmemleak_say(const char *word)
{
	int fd = open(KMEMLEAK, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0 || write(fd, word, strlen(word)) < 0)
		ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

/* What nothing points to any more: begins at "leaks clear", reported by "leaks". */
static int leaks_main(int argc, char **argv)
{
	bool clear = argc == 2 && !strcmp(argv[1], "clear"), any = false;
	char line[512];
	FILE *f;
	int ret;

	if (!clear)
		sleep(KMEMLEAK_AGE);
	/* an object is reported when two scans have found it the same */
	ret = kmemleak_say("scan");
	if (!ret)
		ret = kmemleak_say(clear ? "clear" : "scan");
	if (ret) {
		printf("%s: %s; the kernel needs kmemleak=on\n", KMEMLEAK, errno_name(-ret));
		return TEST_SKIP;
	}
	f = clear ? NULL : fopen(KMEMLEAK, "re");
	while (f && fgets(line, sizeof(line), f)) {
		fputs(line, stdout);
		any = true;
	}
	if (f)
		fclose(f);
	return any ? TEST_FAIL : TEST_PASS;
}

/* ---- Processes ---- */

static bool is_stuck(pid_t pid)
{
	int i;

	for (i = 0; i < n_stuck; i++)
		if (stuck[i] == pid)
			return true;
	return false;
}

/*
 * kill(-1) would be shorter, but it also reaches kernel threads that asked for signals, and the
 * driver under test may own one.
 */
static bool is_kernel_thread(pid_t pid)
{
	char path[64], stat[512], *end;
	unsigned int flags;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read(path, stat, sizeof(stat)) <= 0)
		return true;
	end = strrchr(stat, ')');
	if (!end || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
		return true;
	return flags & PF_KTHREAD;
}

/* Calls what() for each process that lives, is not this one and was not given up; returns their number. */
static int processes_each(void (*what)(pid_t pid, void *arg), void *arg)
{
	struct dirent *de;
	int n = 0;
	pid_t pid;
	DIR *dir;

	dir = opendir("/proc");
	if (!dir)
		fatal("/proc: %s", errno_name(errno));
	while ((de = readdir(dir))) {
		pid = atoi(de->d_name);
		if (pid <= 1 || is_stuck(pid) || is_kernel_thread(pid) || !process_state(pid))
			continue;
		n++;
		what(pid, arg);
	}
	closedir(dir);
	return n;
}

static void process_kill(pid_t pid, void *arg)
{
	(void)arg;
	kill(pid, SIGKILL);
}

static void say_error(void *arg, const char *text)
{
	(void)arg;
	port_say("! %s", text);
}

/* Arg is the state letter of the first one. */
static void process_give_up(pid_t pid, void *arg)
{
	char state = process_state(pid), *first = arg;

	if (!state)
		return;
	if (!*first)
		*first = state;
	if (n_stuck < MAX_STUCK)
		stuck[n_stuck++] = pid;
	process_report(pid, say_error, NULL);
}

/* Takes every dead child, the job's own and orphans. */
static void reap(struct job *job)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(child_fd, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == job->pid) {
			job->ended = true;
			job->status = status;
		}
	}
}

/* ---- Jobs ---- */

static void stream_emit(struct stream *s)
{
	s->line[s->len++] = '\n';
	port_put(s->line, s->len);
	s->len = 2;
}

static void stream_open(struct stream *s, char prefix, int fd)
{
	s->fd = fd;
	s->line[0] = prefix;
	s->line[1] = ' ';
	s->len = 2;
	fcntl(fd, F_SETFL, O_NONBLOCK);
}

/* A NUL would end the line early for a reader in C: it becomes '?'. Returns false when nothing came. */
static bool stream_read(struct stream *s)
{
	static char buf[32 * 1024];
	ssize_t n, i;

	if (s->fd < 0)
		return false;
	n = read(s->fd, buf, sizeof(buf));
	if (n < 0)
		return errno == EINTR;
	if (!n) {
		close(s->fd);
		s->fd = -1;
		return false;
	}
	for (i = 0; i < n; i++) {
		if (buf[i] == '\n') {
			stream_emit(s);
			continue;
		}
		if (s->len == sizeof(s->line) - 1)
			stream_emit(s);
		s->line[s->len++] = buf[i] ? buf[i] : '?';
	}
	return true;
}

static void stream_close(struct stream *s)
{
	while (stream_read(s))
		;
	if (s->len > 2)
		stream_emit(s);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static int beat_ms; /* 0: none, for guests whose instructions are counted */

static void job_poll(struct job *job, long long timeout_ms)
{
	struct pollfd fds[] = {
		{ .fd = job->out.fd, .events = POLLIN },
		{ .fd = job->err.fd, .events = POLLIN },
		{ .fd = child_fd, .events = POLLIN },
	};
	int n;

	if (timeout_ms < 0)
		timeout_ms = 0;
	if (timeout_ms > INT_MAX)
		timeout_ms = INT_MAX;
	if (beat_ms && timeout_ms > beat_ms)
		timeout_ms = beat_ms;
	n = poll(fds, 3, timeout_ms);
	if (n < 0 && errno != EINTR)
		fatal("poll: %s", errno_name(errno));
	if (!n && beat_ms)
		port_put("\n", 1);
	if (fds[0].revents)
		stream_read(&job->out);
	if (fds[1].revents)
		stream_read(&job->err);
	if (port.len)
		port_flush();
	if (fds[2].revents)
		reap(job);
}

static void signals_default(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
}

/* The job's module has a node since some earlier job loaded it: say which. */
static void env_set_node(void)
{
	const char *module = getenv(ENV_MODULE);
	char name[128], path[PATH_MAX], node[PATH_MAX];

	if (!module || getenv(ENV_NODE))
		return;
	module_name(module, name, sizeof(name));
	snprintf(path, sizeof(path), NODES_DIR "/%s", name);
	if (file_read(path, node, sizeof(node)) <= 0)
		return;
	node[strcspn(node, "\n")] = '\0';
	if (node[0])
		setenv(ENV_NODE, node, 1);
}

static void __attribute__((noreturn)) job_child(const struct instruction *in, int out, int err)
{
	int i, null;

	setsid();
	signals_default();
	cpus_all();
	null = open("/dev/null", O_RDONLY);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(127);
	if (null > 2)
		close(null);
	setenv(ENV_TEST, in->word[1], 1);
	for (i = 3; strcmp(in->word[i], "--"); i++)
		putenv(in->word[i]);
	env_set_node();
	execvp(in->word[i + 1], in->word + i + 1);
	dprintf(2, "cdevlab: agent: cannot run %s: %s\n", in->word[i + 1], errno_name(errno));
	_exit(127);
}

static void job_start(struct job *job, const struct instruction *in)
{
	int out[2], err[2];

	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		fatal("pipe: %s", errno_name(errno));
	job->pid = fork();
	if (job->pid < 0)
		fatal("fork: %s", errno_name(errno));
	if (!job->pid)
		job_child(in, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	stream_open(&job->out, '|', out[0]);
	stream_open(&job->err, '!', err[0]);
}

/* Kills whatever runs, the job and what it left behind, until all of it is gone or clearly never will be. */
static bool job_sweep(struct job *job)
{
	long long deadline = now_ms() + STUCK_AFTER_MS;

	if (!job->ended)
		kill(-job->pid, SIGKILL);
	for (;;) {
		reap(job);
		if (!processes_each(process_kill, NULL))
			break;
		if (now_ms() >= deadline)
			return false;
		job_poll(job, SWEEP_MS);
	}
	reap(job);
	return true;
}

static void job_run(const struct instruction *in)
{
	static struct job job;
	long long start, end, deadline;
	bool timed_out, stuck_now;
	char why[64] = "", state = '\0';
	int seconds;

	job = (struct job){ .name = in->word[1], .pid = -1 };
	seconds = atoi(in->word[2]);
	mark_begin(job.name);
	port_say("JOB %s", job.name);
	start = now_ms();
	deadline = seconds > 0 ? start + seconds * 1000LL : LLONG_MAX;
	job_start(&job, in);
	while (!job.ended && (end = now_ms()) < deadline)
		job_poll(&job, deadline - end);
	end = now_ms();
	timed_out = !job.ended;

	stuck_now = !job_sweep(&job);
	stream_close(&job.out);
	stream_close(&job.err);
	if (stuck_now) {
		processes_each(process_give_up, &state);
		if (state)
			snprintf(why, sizeof(why), " stuck in the kernel (state %c)", state);
	}
	mark_end(job.name);
	if (timed_out || state)
		port_say("EXIT %s timeout %lld%s", job.name, end - start, why);
	else
		port_say("EXIT %s %d %lld", job.name,
			 WIFSIGNALED(job.status) ? -WTERMSIG(job.status) : WEXITSTATUS(job.status),
			 end - start);
}

/* ---- The shell ---- */

static void shell_run(void)
{
	static const char *const busybox[] = { "sh", "-i", NULL };
	pid_t pid, dead;
	int fd;

	pid = fork();
	if (pid < 0)
		fatal("fork: %s", errno_name(errno));
	if (!pid) {
		cpus_all();
		signals_default();
		/* Job control and ^C need a controlling terminal, which /dev/console gives only when asked. */
		setsid();
		fd = open("/dev/console", O_RDWR | O_NOCTTY);
		if (fd >= 0) {
			ioctl(fd, TIOCSCTTY, 1);
			dup2(fd, 0);
			dup2(fd, 1);
			dup2(fd, 2);
			if (fd > 2)
				close(fd);
		}
		setenv("PS1", "guest# ", 1);
		setenv("TERM", "linux", 0);
		execv("/bin/busybox", (char **)busybox);
		execv("/bin/sh", (char **)busybox);
		dprintf(2, "cdevlab: agent: no shell in this guest: %s\n", errno_name(errno));
		_exit(127);
	}
	do {
		dead = waitpid(-1, NULL, 0);
	} while (dead != pid && (dead > 0 || errno == EINTR));
}

/* ---- The first process ---- */

static void mount_one(const char *type, const char *at, const char *options)
{
	mkdir(at, 0755);
	/* Some are mounted already, some are not in every kernel; what is missed is noticed where it is used. */
	mount(type, at, type, 0, options);
}

static void console_open(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);

	if (fd < 0)
		fd = open("/dev/null", O_RDWR);
	if (fd < 0)
		return;
	dup2(fd, 0);
	dup2(fd, 1);
	dup2(fd, 2);
	if (fd > 2)
		close(fd);
}

/* What a machine has that was booted by somebody else. */
static void system_boot(void)
{
	mount_one("devtmpfs", "/dev", "mode=0755");
	console_open();
	mount_one("sysfs", "/sys", NULL);
	mount_one("debugfs", "/sys/kernel/debug", NULL);
	mount_one("tmpfs", "/dev/shm", "mode=1777");
	mount_one("devpts", "/dev/pts", "ptmxmode=0666");
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
	klogctl(KLOG_CONSOLE_LEVEL, NULL, KLOG_EVERYTHING);
}

static void system_setup(void)
{
	sigset_t child;

	umask(022);
	if (!hosted)
		system_boot();
	mount_one("proc", "/proc", NULL);
	mount_one("tmpfs", "/run", "mode=0755");
	mount_one("tmpfs", "/tmp", "mode=1777");
	mkdir(NODES_DIR, 0755);
	clearenv();
	setenv("PATH", BIN_DIR ":/bin", 1);
	setenv("HOME", "/", 1);
	chdir("/");

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	child_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (child_fd < 0)
		fatal("signalfd: %s", errno_name(errno));
}

static void modules_load(void)
{
	const char *stage;
	int i, ret;

	for (i = 0; i < plan_len; i++) {
		if (!instruction_is(&plan[i], "module"))
			continue;
		ret = load_file(plan[i].word[1], plan[i].word + 2, &stage);
		if (ret && ret != -EEXIST)
			fatal("%s: %s (%s)", plan[i].word[1], module_error(-ret, stage),
			      errno_name(-ret));
	}
}

static void __attribute__((noreturn)) init_main(void)
{
	bool shell;
	int i, jobs = 0;

	system_setup();
	plan_read();
	modules_load();
	shell = plan_has("shell");
	if (!hosted)
		port.fd = port_open(RESULTS_PORT, shell ? PORT_WAIT_MS / 5 : PORT_WAIT_MS);
	/* A guest that is only a prompt needs no port. */
	if (port.fd < 0 && shell)
		port.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (port.fd < 0)
		fatal("no results port: %s", errno_name(-port.fd));
	for (i = 0; i < plan_len; i++)
		if (instruction_is(&plan[i], "beat"))
			beat_ms = atoi(plan[i].word[1]) * 1000;
	cpus_one();
	port_say("READY %lld %ld", now_ms(), sysconf(_SC_NPROCESSORS_ONLN));
	for (i = 0; i < plan_len; i++) {
		if (!instruction_is(&plan[i], "job"))
			continue;
		job_run(&plan[i]);
		jobs++;
	}
	/* Before the shell, which may power off by itself. */
	port_say("END %d", jobs);
	if (shell)
		shell_run();
	power_off();
}

static void init_hosted(int fd)
{
	hosted = true;
	port.fd = fd;
	init_main();
}

int main(int argc, char **argv)
{
	const char *name = argc ? strrchr(argv[0], '/') : NULL;

	name = name ? name + 1 : argc ? argv[0] : "init";
	if (!strcmp(name, "insmod"))
		return insmod_main(argc, argv);
	if (!strcmp(name, "rmmod"))
		return rmmod_main(argc, argv);
	if (!strcmp(name, "sections"))
		return sections_main(argc, argv);
	if (!strcmp(name, "symbols"))
		return symbols_main();
	if (!strcmp(name, "leaks"))
		return leaks_main(argc, argv);
	if (argc > 1 && !strcmp(argv[1], "hosted"))
		return hosted_main(argc, argv, init_hosted);
	if (getpid() == 1)
		init_main();
	fprintf(stderr,
		"%s: to be called as insmod, rmmod, sections, symbols or leaks, or as the first process\n",
		name);
	return 2;
}
