// SPDX-License-Identifier: GPL-2.0
/*
 * Conformance suite for any character device: options, configuration, what the claims share.
 *
 * The harness runs the claims (fork, time limit, marks in the kernel log, KTAP); this file has the
 * main() that tells it which.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform.h"
#include "conform_wait.h"
#include "guest.h"
#include "protocol.h"

/* A waiting call is ended after this time. */
#define TICK_MS 60

#define CYCLES_DEFAULT 100

struct facts *facts;
unsigned int cycles = CYCLES_DEFAULT;

static const int access_modes[3] = { O_RDONLY, O_WRONLY, O_RDWR };

size_t page_size(void)
{
	static size_t size;

	if (!size)
		size = sysconf(_SC_PAGESIZE);
	return size;
}

/* Two pages, the second of which is gone. */
static unsigned char *page_before_hole(void)
{
	size_t page = page_size();
	unsigned char *map;

	map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED) {
		test_fail(__FILE__, __LINE__, "mmap: %s", errno_name(errno));
		test_end();
	}
	/* Not unmapped: another mapping could take the place. */
	mprotect(map + page, page, PROT_NONE);
	return map;
}

void *unmapped_page(void)
{
	static unsigned char *map;

	if (!map)
		map = page_before_hole();
	return map + page_size();
}

unsigned char *page_filled(int fill)
{
	unsigned char *map = page_before_hole();

	memset(map, fill, page_size());
	return map;
}

void *readonly_page(const void *content, size_t len)
{
	unsigned char *map = page_before_hole();

	memcpy(map, content, len);
	mprotect(map, page_size(), PROT_READ);
	return map;
}

/* The banner: public, constant, and there in every kernel. But the list of symbols is long. */
static unsigned long long banner_address(void)
{
	unsigned long long addr = 0;
	char line[256], *at;
	FILE *f;

	f = fopen("/proc/kallsyms", "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		at = strstr(line, " linux_banner\n");
		if (!at)
			continue;
		addr = strtoull(line, NULL, 16);
		break;
	}
	fclose(f);
	return addr;
}

void *kernel_address(void)
{
	char path[256], text[64];

	if (*test_module()) {
		snprintf(path, sizeof(path), "/sys/module/%s/sections/.rodata", test_module());
		if (file_read(path, text, sizeof(text)) > 0)
			return (void *)(uintptr_t)strtoull(text, NULL, 16);
	}
	return (void *)(uintptr_t)banner_address();
}

void pattern_fill(unsigned char *buf, size_t len, unsigned int seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = (i * 7 + (i >> 8) * 31 + seed) | 1;
}

const char *result(long ret)
{
	static __thread char text[4][40];
	static __thread unsigned int turn;
	char *at = text[turn++ % 4];

	if (ret < 0)
		snprintf(at, sizeof(text[0]), "-%s", errno_name(-ret));
	else
		snprintf(at, sizeof(text[0]), "%ld", ret);
	return at;
}

static void on_tick(int sig)
{
	(void)sig;
}

void tick(bool on)
{
	struct itimerval timer = { 0 };
	/* No SA_RESTART: it is to interrupt. */
	struct sigaction sa = { .sa_handler = on_tick };

	if (on) {
		sigaction(SIGALRM, &sa, NULL);
		timer.it_value.tv_usec = TICK_MS * 1000;
		timer.it_interval = timer.it_value;
	}
	setitimer(ITIMER_REAL, &timer, NULL);
}

long dev_read(int fd, void *buf, size_t len)
{
	return TICKED(read(fd, buf, len));
}

long dev_write(int fd, const void *buf, size_t len)
{
	return TICKED(write(fd, buf, len));
}

long dev_pread(int fd, void *buf, size_t len, off_t pos)
{
	return TICKED(pread(fd, buf, len, pos));
}

long dev_pwrite(int fd, const void *buf, size_t len, off_t pos)
{
	return TICKED(pwrite(fd, buf, len, pos));
}

long dev_seek(int fd, off_t off, int whence)
{
	off_t ret = lseek(fd, off, whence);

	return ret == -1 ? -errno : ret;
}

long dev_ioctl(int fd, unsigned long cmd, void *arg)
{
	return TICKED(ioctl(fd, cmd, arg));
}

int dev_try_open(int flags)
{
	return TICKED(open(test_node(), flags | O_CLOEXEC | O_NOCTTY));
}

int dev_mode(int mode)
{
	switch (mode) {
	case MODE_READ:
		return facts->open_err[O_RDWR] ? O_RDONLY : O_RDWR;
	case MODE_WRITE:
		return facts->open_err[O_RDWR] ? O_WRONLY : O_RDWR;
	case MODE_ANY:
		return facts->mode;
	default:
		return mode;
	}
}

/*
 * Non-blocking even when the driver refuses the flag in open(), which is open.nonblock's finding.
 */
int dev_open_quietly(int mode)
{
	int fd = dev_try_open(mode | O_NONBLOCK);

	if (fd >= 0)
		return fd;
	fd = dev_try_open(mode);
	if (fd >= 0)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

int dev_open(int mode)
{
	int fd = dev_open_quietly(dev_mode(mode));

	if (fd < 0) {
		test_fail(__FILE__, __LINE__, "open of %s: %s", test_node(), result(fd));
		test_end();
	}
	return fd;
}

int ready_now(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLRDNORM };

	return poll(&pfd, 1, 0) > 0 && (pfd.revents & (POLLIN | POLLRDNORM));
}

/* How much the claims ask for: where positions count, little; else enough for any record. */
static size_t usual_length(void)
{
	return facts->positioned ? 16 : 4096;
}

bool still_works(int fd)
{
	char buf[4096];
	long ret;

	if (facts->mode == O_WRONLY || facts->read == READ_NOT_OFFERED) {
		ret = dev_ioctl(fd, _IO(0xfe, 0xfe), NULL);
		return ret != -EIO && ret != -EBADF && ret != -ENODEV && ret != -ENXIO;
	}
	ret = dev_read(fd, buf, usual_length());
	return ret >= 0 || ret == -EAGAIN || ret == -EINTR ||
	       (facts->read == READ_FAILS && -ret == facts->read_err);
}

void expect_working(int fd, const char *when)
{
	if (!still_works(fd))
		test_fail(__FILE__, __LINE__, "%s the descriptor no longer works: %s", when,
			  errno_name(errno));
}

void drain(int fd)
{
	char buf[4096];
	int i;

	if (facts->read != READ_WAITS && facts->read != READ_BLOCKS)
		return;
	for (i = 0; i < 64 && dev_read(fd, buf, sizeof(buf)) > 0; i++)
		;
}

void raise_event(void)
{
	char text[CONF_EVENT_TEXT], *args[CONF_EVENT_WORDS];
	int status;
	pid_t pid;

	conf_event(test_node(), text, args);
	pid = fork();
	if (!pid) {
		execvp(args[0], args);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status) {
		test_fail(__FILE__, __LINE__, "the event command \"%s\" failed: status 0x%x",
			  conf.event, status);
		test_end();
	}
}

bool await_data(int fd)
{
	long long until = now_ms() + 2000;

	if (!facts->has_poll)
		return true; /* nothing to ask; the event is there when its command has ended */
	do {
		if (ready_now(fd))
			return true;
		usleep(1000);
	} while (now_ms() < until);
	return false;
}

bool pattern_store(int fd, unsigned char *buf, size_t len)
{
	unsigned char back[1024];

	pattern_fill(buf, len, 0x35);
	if (len > sizeof(back) || !facts->positioned || !facts->writes)
		return false;
	return dev_pwrite(fd, buf, len, 0) == (long)len &&
	       dev_pread(fd, back, len, 0) == (long)len && !memcmp(buf, back, len);
}

int rewound(int fd)
{
	if (facts->positioned && !dev_seek(fd, 0, SEEK_SET))
		return fd;
	close(fd);
	return dev_open(MODE_READ);
}

size_t read_stream(int fd, unsigned char *buf, size_t max)
{
	size_t len = 0;
	long ret;

	while (len < max) {
		ret = dev_read(fd, buf + len, max - len);
		if (ret <= 0)
			break;
		len += ret;
	}
	return len;
}

size_t reference(int *fd, unsigned char *ref, size_t max)
{
	unsigned char *again = malloc(max);
	size_t len;

	if (facts->mode == O_RDWR)
		pattern_store(*fd, ref, max);
	*fd = rewound(*fd);
	len = read_stream(*fd, ref, max);
	*fd = rewound(*fd);
	if (!again || !len || read_stream(*fd, again, max) != len || memcmp(ref, again, len))
		SKIP("%s",
		     len ? "the content differs from one reading to the next" : "nothing to read");
	free(again);
	*fd = rewound(*fd);
	return len;
}

void stored(int fd, unsigned char *buf, size_t len)
{
	if (facts->mode != O_RDWR || !pattern_store(fd, buf, len))
		SKIP("the device does not keep what is written");
}

/* Offered or not is decided before the driver is called; an unmapped buffer keeps it harmless. */
static bool offers_write(void)
{
	int mode = dev_mode(MODE_WRITE), fd;
	long ret;

	if (facts->open_err[mode])
		return false;
	fd = dev_open_quietly(mode);
	if (fd < 0)
		return false;
	ret = dev_write(fd, unmapped_page(), 1);
	close(fd);
	return ret != -EINVAL && ret != -EBADF;
}

static void find_read_kind(int fd)
{
	static char buf[4096];
	long ret;

	ret = dev_read(fd, unmapped_page(), 1);
	facts->read = READ_NOT_OFFERED;
	if (ret == -EINVAL)
		ret = dev_read(fd, buf, sizeof(buf));
	close(fd);
	if (ret == -EINVAL)
		return;
	fd = dev_open_quietly(dev_mode(MODE_READ));
	ret = dev_read(fd, buf, sizeof(buf));
	if (ret > 0)
		facts->read = READ_DATA;
	else if (!ret)
		facts->read = READ_EOF;
	else if (ret == -EAGAIN)
		facts->read = READ_WAITS;
	else if (ret == -EINTR)
		facts->read = READ_BLOCKS;
	else
		facts->read = READ_FAILS;
	facts->read_err = ret < 0 ? -ret : 0;
	close(fd);
}

static void find_facts(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct stat st;
	unsigned int i;
	int fd, ep;

	facts->mode = -1;
	for (i = 0; i < 3; i++) {
		fd = dev_open_quietly(access_modes[i]);
		facts->open_err[access_modes[i]] = fd < 0 ? -fd : 0;
		if (fd < 0)
			continue;
		close(fd);
		facts->mode = access_modes[i];
	}
	if (facts->mode < 0)
		goto out;
	/* O_RDWR was tried last and won, O_WRONLY did only when nothing can be read. */
	if (facts->mode == O_WRONLY && !facts->open_err[O_RDONLY])
		facts->mode = O_RDONLY;

	fd = dev_open_quietly(facts->mode);
	if (fd < 0)
		goto out;
	i = dev_open_quietly(facts->mode);
	facts->exclusive = (int)i < 0;
	if ((int)i >= 0)
		close(i);
	facts->positioned = lseek(fd, 16, SEEK_SET) == 16 && lseek(fd, 0, SEEK_CUR) == 16;
	if (facts->positioned)
		facts->size = lseek(fd, 0, SEEK_END);
	if (facts->size < 0)
		facts->size = 0;
	ep = epoll_create1(EPOLL_CLOEXEC);
	facts->has_poll = !epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
	close(ep);
	close(fd);
	/* The probes below must not find the position that these have left. */
	if (!facts->open_err[dev_mode(MODE_READ)]) {
		fd = dev_open_quietly(dev_mode(MODE_READ));
		if (fd >= 0)
			find_read_kind(fd);
	}
	facts->writes = offers_write();
	/*
	 * /dev/null, zero, full: write_null() counts and returns, by design (drivers/char/mem.c).
	 */
	facts->discards =
		!stat(test_node(), &st) && major(st.st_rdev) == 1 &&
		(minor(st.st_rdev) == 3 || minor(st.st_rdev) == 5 || minor(st.st_rdev) == 7);
out:
	facts->known = true;
}

static void need_data(void)
{
	switch (facts->read) {
	case READ_DATA:
		return;
	case READ_EOF:
		SKIP("a read finds the end at once");
	case READ_FAILS:
		SKIP("a read fails with %s", errno_name(facts->read_err));
	default:
		SKIP("a read waits for data%s", conf.event ? "" : ", and no event is declared");
	}
}

void claim_begin(unsigned int needs)
{
	/* A claim that unloads may have been killed half way. */
	if (needs & NEED_MODULE) {
		if (!*test_module())
			SKIP("no module is given");
	}
	if (*test_module())
		module_ensure();
	if (needs & ~NEED_MODULE && !*test_node())
		SKIP("no device node");
	tick(true);
	if (*test_node() && !facts->known)
		find_facts();
	if (!(needs & ~NEED_MODULE))
		return;
	if (facts->mode < 0)
		SKIP("%s cannot be opened: %s", test_node(), errno_name(facts->open_err[O_RDONLY]));
	if (needs & NEED_TWO && facts->exclusive)
		SKIP("one open at a time");
	if (needs & (NEED_READ | NEED_DATA | NEED_WAIT) && facts->read == READ_NOT_OFFERED)
		SKIP("read is not offered");
	if (needs & NEED_WRITE && !facts->writes)
		SKIP("write is not offered");
	if (needs & NEED_POS && !facts->positioned)
		SKIP("lseek keeps no position");
	if (needs & NEED_SIZE && facts->size <= 0)
		SKIP("SEEK_END gives no size");
	if (needs & NEED_IOCTL && !conf.n_ioctls)
		SKIP("no ioctl is known");
	if (needs & NEED_POLL && !facts->has_poll)
		SKIP("poll is not offered");
	if (needs & NEED_WAIT && facts->read != READ_WAITS && facts->read != READ_BLOCKS)
		SKIP("a read never waits");
	if (needs & NEED_EVENT && !conf.event)
		SKIP("no event is declared");
	if (needs & NEED_DATA)
		need_data();
}

static int run(const char *node, char **args, int n)
{
	if (node)
		setenv(ENV_NODE, node, 1);
	else
		unsetenv(ENV_NODE);
	memset(facts, 0, sizeof(*facts));
	optind = 0;
	return harness_main(n, args);
}

/* One node's results, indented, between the lines of the outer plan. */
static int run_nested(const char *node, char **args, int n)
{
	char job[512], line[4096];
	const char *test = getenv(ENV_TEST);
	int out[2], status;
	pid_t pid;
	FILE *f;

	fflush(stdout);
	if (pipe2(out, O_CLOEXEC))
		return TEST_FAIL;
	pid = fork();
	if (!pid) {
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		if (test) {
			snprintf(job, sizeof(job), "%s%s", test, node);
			setenv(ENV_TEST, job, 1);
		}
		status = run(node, args, n);
		fflush(stdout);
		_exit(status);
	}
	close(out[1]);
	f = fdopen(out[0], "r");
	while (f && fgets(line, sizeof(line), f))
		printf("  %s", line);
	if (f)
		fclose(f);
	if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return TEST_FAIL;
	return WEXITSTATUS(status);
}

static int run_all(char **args, int n)
{
	bool failed = false, passed = false;
	unsigned int i;
	int status;

	printf("KTAP version 1\n1..%u\n", conf.n_nodes);
	for (i = 0; i < conf.n_nodes; i++) {
		status = run_nested(conf.nodes[i], args, n);
		failed |= status != TEST_PASS && status != TEST_SKIP;
		passed |= status == TEST_PASS;
		printf("%s %u - %s%s\n",
		       status == TEST_PASS || status == TEST_SKIP ? "ok" : "not ok", i + 1,
		       conf.nodes[i], status == TEST_SKIP ? " # SKIP nothing applies" : "");
	}
	if (failed)
		return TEST_FAIL;
	return passed ? TEST_PASS : TEST_SKIP;
}

/* The other side of open.exec: a new program with the old one's descriptor. */
static int after_exec(const char *what)
{
	int fd, kind, positioned;

	if (sscanf(what, "%d,%d,%d,%d,%d", &fd, &facts->mode, &kind, &facts->read_err,
		   &positioned) != 5)
		return 2;
	facts->read = kind;
	facts->positioned = positioned;
	tick(true);
	return still_works(fd) ? 0 : 1;
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: %s [--node PATH] [--filter TEXT] [--cases LIST] [--list] [--cycles N] [--conf FILE]\n"
		"  --node PATH    the node under test, instead of the module's nodes\n"
		"  --filter TEXT  only the claims whose id or sentence contains TEXT\n"
		"  --cases LIST   only the claims with these ids, separated by commas\n"
		"  --list         print every claim's id and sentence, run none\n"
		"  --cycles N     load and unload N times (default %d)\n"
		"  --conf FILE    what is known of the module, instead of " CONFORM_DIR
		"/$" ENV_MODULE ".conf\n",
		program_invocation_short_name, CYCLES_DEFAULT);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "node", required_argument, NULL, 'n' },
		{ "filter", required_argument, NULL, 'f' },
		{ "cases", required_argument, NULL, 'i' },
		{ "list", no_argument, NULL, 'l' },
		{ "cycles", required_argument, NULL, 'c' },
		{ "conf", required_argument, NULL, 'o' },
		{ "works", required_argument, NULL, 'w' }, /* for open.exec alone */
		{ "gone", required_argument, NULL, 'g' },  /* for the other claims about exec */
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	static char filter_option[] = "--filter", list_option[] = "--list";
	static char cases_option[] = "--cases";
	const char *node = NULL, *path = NULL, *works = NULL;
	char *args[8], *filter = NULL, *cases = NULL;
	bool list = false;
	int opt, n = 0;

	args[n++] = argv[0];
	facts = shared_memory(sizeof(*facts));
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'n':
			node = optarg;
			break;
		case 'f':
			filter = optarg;
			break;
		case 'i':
			cases = optarg;
			break;
		case 'l':
			list = true;
			break;
		case 'c':
			cycles = strtoul(optarg, NULL, 0);
			break;
		case 'o':
			path = optarg;
			break;
		case 'w':
			works = optarg;
			break;
		case 'g':
			return conform_after_exec(optarg);
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return 2;
	}
	if (works)
		return after_exec(works);
	if (filter) {
		args[n++] = filter_option;
		args[n++] = filter;
	}
	if (cases) {
		args[n++] = cases_option;
		args[n++] = cases;
	}
	if (list)
		args[n++] = list_option;
	args[n] = NULL;
	setvbuf(stdout, NULL, _IOLBF, 0);
	conf_find(path);
	if (node) {
		conf.n_nodes = 1;
		conf.nodes[0] = node;
	}
	/* As in a list, the claims are the same for every node. */
	if (conf.n_nodes < 2 || list)
		return run(conf.n_nodes ? conf.nodes[0] : NULL, args, n);
	return run_all(args, n);
}
