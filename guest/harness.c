// SPDX-License-Identifier: GPL-2.0
/*
 * The test harness: runs each registered case in a child of its own and prints KTAP.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "harness.h"
#include "protocol.h"

/* A diagnostic line is one write, so that those of several processes do not mix. */
#define LINE_MAX_LEN 2048
/* A full pipe is read in fewer pieces than this. */
#define PIPE_READS 32
#define REAP_US	   200

/* What a case's processes and threads tell the harness. */
struct verdict {
	atomic_int failures;
	atomic_int skipped;
	atomic_int ended; /* the case's own process came to a proper end */
	pid_t pid;
	char reason[256];
};

/* Copies what a case prints, line by line. */
struct relay {
	int fd;
	size_t len;
	char line[LINE_MAX_LEN];
};

enum outcome {
	PASSED,
	FAILED,
	SKIPPED
};

static struct test_case *cases;
static struct test_case **cases_end = &cases;
static struct verdict *verdict;
static const char *node;
static const struct test_case *running;

/**
 * test_register() - adds a case; the macros of harness.h call it before main()
 * @tc: the case, which stays the caller's
 */
void test_register(struct test_case *tc)
{
	tc->next = NULL;
	*cases_end = tc;
	cases_end = &tc->next;
}

/**
 * test_node() - the node under test
 *
 * Return: a path, or "" when none was given.
 */
const char *test_node(void)
{
	return node ? node : "";
}

/**
 * test_module() - the module under test
 *
 * Return: its name, or "" when run by hand.
 */
const char *test_module(void)
{
	const char *name = getenv(ENV_MODULE);

	return name ? name : "";
}

/**
 * test_data() - what the running test's case was registered with
 *
 * Return: its data, or NULL.
 */
const void *test_data(void)
{
	return running ? running->data : NULL;
}

/* Every line of the text gets its "# "; stdio is not used, a test may have killed a thread inside it. */
static void diag(const char *prefix, const char *fmt, va_list ap)
{
	char text[LINE_MAX_LEN / 2], out[LINE_MAX_LEN];
	size_t len = 0;
	char *at, *next;
	int n;

	vsnprintf(text, sizeof(text), fmt, ap);
	for (at = text; at; at = next) {
		next = strchr(at, '\n');
		if (next)
			*next++ = '\0';
		if (next && !*next)
			next = NULL;
		n = snprintf(out + len, sizeof(out) - len, "# %s%s\n", at == text ? prefix : "  ",
			     at);
		if (n < 0 || (size_t)n >= sizeof(out) - len) {
			len = sizeof(out);
			out[len - 1] = '\n';
			break;
		}
		len += n;
	}
	write_all(STDOUT_FILENO, out, len);
}

static void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag("", fmt, ap);
	va_end(ap);
}

/**
 * test_fail() - notes a failure of the running test
 * @file: where in the source
 * @line: and where in it
 * @fmt:  what is wrong
 */
void test_fail(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	int saved = errno;
	char prefix[160];
	va_list ap;

	if (verdict)
		atomic_fetch_add(&verdict->failures, 1);
	snprintf(prefix, sizeof(prefix), "%s:%d: ", base ? base + 1 : file, line);
	va_start(ap, fmt);
	diag(prefix, fmt, ap);
	va_end(ap);
	errno = saved;
}

/**
 * test_note() - prints a diagnostic line that belongs to the running test
 * @fmt: the text
 */
void test_note(const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, fmt);
	diag("", fmt, ap);
	va_end(ap);
	errno = saved;
}

/**
 * test_end() - ends the calling process with what was noted so far
 *
 * In the case's own process this is the end of the case; in one that the case forked, of that one.
 */
void test_end(void)
{
	fflush(stdout);
	if (verdict && getpid() == verdict->pid)
		atomic_store(&verdict->ended, 1);
	_exit(verdict && atomic_load(&verdict->failures) ? TEST_FAIL : TEST_PASS);
}

/**
 * test_skip() - ends the running test as skipped
 * @fmt: why it cannot run here
 */
void test_skip(const char *fmt, ...)
{
	va_list ap;

	if (verdict && !atomic_exchange(&verdict->skipped, 1)) {
		va_start(ap, fmt);
		vsnprintf(verdict->reason, sizeof(verdict->reason), fmt, ap);
		va_end(ap);
	}
	test_end();
}

static void relay_line(struct relay *r)
{
	char out[LINE_MAX_LEN + 4];
	int n;

	r->line[r->len] = '\0';
	n = snprintf(out, sizeof(out), "%s%s\n", r->line[0] == '#' ? "" : "# ", r->line);
	write_all(STDOUT_FILENO, out, n);
	r->len = 0;
}

/* What a test prints becomes diagnostics: it must not be taken for a result, nor join one. */
static ssize_t relay_read(struct relay *r)
{
	char buf[4096];
	ssize_t n, i;

	n = read(r->fd, buf, sizeof(buf));
	if (n < 0)
		return -errno;
	for (i = 0; i < n; i++) {
		if (buf[i] == '\n') {
			relay_line(r);
			continue;
		}
		if (r->len == sizeof(r->line) - 1)
			relay_line(r);
		r->line[r->len++] = buf[i] ? buf[i] : '?';
	}
	return n;
}

/* Waits for the child's end while copying what it prints. Returns false at the deadline. */
static bool relay_until_exit(struct relay *r, int pidfd, long long deadline)
{
	struct pollfd fds[2] = {
		{ .fd = pidfd, .events = POLLIN },
		{ .fd = r->fd, .events = POLLIN },
	};
	long long left;

	for (;;) {
		left = deadline - now_ms();
		if (left < 0)
			left = 0;
		if (poll(fds, 2, left) < 0 && errno != EINTR)
			return false;
		if (fds[1].revents && !relay_read(r))
			fds[1].fd = -1;
		if (fds[0].revents)
			return true;
		if (!left)
			return false;
	}
}

static void report_line(void *arg, const char *text)
{
	(void)arg;
	say("%s", text);
}

static void case_child(const struct test_case *tc, int out)
{
	int null;

	setpgid(0, 0);
	/* Run by hand, a ^C reaches only the harness's group; the case must not outlive it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	null = open("/dev/null", O_RDONLY);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		if (null != STDIN_FILENO)
			close(null);
	}
	dup2(out, STDOUT_FILENO);
	verdict->pid = getpid();
	cpus_all();
	running = tc;
	tc->run();
	test_end();
}

/* "text" becomes the case's description or reason: no '#' may look like a directive. */
static void print_escaped(const char *text, bool blanks)
{
	for (; *text; text++) {
		if (*text == '#')
			fputs("\\#", stdout);
		else if (*text == '\n' || (blanks && *text == '_'))
			putchar(' ');
		else
			putchar(*text);
	}
}

static void print_result(unsigned int nr, const struct test_case *tc, bool ok)
{
	printf("%s %u - ", ok ? "ok" : "not ok", nr);
	print_escaped(tc->name, true);
}

static void case_mark(void (*mark)(const char *test), const struct test_case *tc)
{
	const char *job = getenv(ENV_TEST);
	char path[256], *at;

	if (!job || !*job)
		return;
	snprintf(path, sizeof(path), "%s/%s", job, tc->name);
	for (at = path; *at; at++)
		if (*at == ' ')
			*at = '_';
	mark(path);
}

/* Waits for what the case had forked: killed, it may hold the device for a while yet. */
static void group_reap(pid_t group)
{
	long long deadline = now_ms() + STUCK_AFTER_MS;
	pid_t pid;

	while ((pid = waitpid(-group, NULL, WNOHANG)) >= 0 && now_ms() < deadline) {
		if (!pid)
			usleep(REAP_US);
	}
}

static enum outcome case_run(unsigned int nr, const struct test_case *tc)
{
	unsigned int timeout = tc->timeout_s ? tc->timeout_s : TEST_TIMEOUT_DEFAULT;
	struct relay relay = { 0 };
	bool died, in_time, ok;
	int out[2], pidfd, i, status = 0;
	pid_t pid;

	memset(verdict, 0, sizeof(*verdict));
	fflush(stdout);
	if (pipe2(out, O_CLOEXEC) < 0) {
		say("cannot make a pipe: %s", errno_name(errno));
		goto fail;
	}
	case_mark(mark_begin, tc);
	pid = fork();
	if (!pid)
		case_child(tc, out[1]);
	close(out[1]);
	if (pid < 0) {
		say("cannot fork: %s", errno_name(errno));
		close(out[0]);
		case_mark(mark_end, tc);
		goto fail;
	}
	setpgid(pid, pid);
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	relay.fd = out[0];
	fcntl(relay.fd, F_SETFL, O_NONBLOCK);

	in_time = relay_until_exit(&relay, pidfd, now_ms() + timeout * 1000LL);
	kill(-pid, SIGKILL);
	died = in_time || relay_until_exit(&relay, pidfd, now_ms() + STUCK_AFTER_MS);
	if (died) {
		waitpid(pid, &status, 0);
		group_reap(pid);
	}
	/* The rest of the pipe. A process that left the group may fill it for ever: no more than it holds. */
	for (i = 0; i < PIPE_READS && relay_read(&relay) > 0; i++)
		;
	if (relay.len)
		relay_line(&relay);
	close(relay.fd);
	close(pidfd);
	if (!died) {
		say("does not die: stuck in the kernel");
		process_report(pid, report_line, NULL);
	}
	case_mark(mark_end, tc);

	if (!in_time) {
		print_result(nr, tc, false);
		printf(" # TIMEOUT after %u s\n", timeout);
		return FAILED;
	}
	ok = !atomic_load(&verdict->failures);
	if (WIFSIGNALED(status)) {
		say("killed by SIG%s", sigabbrev_np(WTERMSIG(status)) ?: "?");
		ok = false;
	} else if (!atomic_load(&verdict->ended)) {
		say("exited with status %d before the end of the test", WEXITSTATUS(status));
		ok = false;
	}
	print_result(nr, tc, ok);
	if (ok && atomic_load(&verdict->skipped)) {
		fputs(" # SKIP ", stdout);
		print_escaped(verdict->reason, false);
		putchar('\n');
		return SKIPPED;
	}
	putchar('\n');
	return ok ? PASSED : FAILED;

fail:
	print_result(nr, tc, false);
	putchar('\n');
	return FAILED;
}

static void blanks(char text[256], const char *from)
{
	char *at;

	snprintf(text, 256, "%s", from);
	for (at = text; *at; at++)
		if (*at == '_')
			*at = ' ';
}

/* The filter may be typed as the name is printed, with blanks, or with none, as a command has it. */
static bool case_matches(const struct test_case *tc, const char *filter)
{
	char name[256], part[256];

	if (!filter)
		return true;
	blanks(name, tc->name);
	blanks(part, filter);
	return strstr(name, part) != NULL;
}

/* Whether the list, separated by commas, has what stands before the name's colon. */
static bool case_listed(const struct test_case *tc, const char *list)
{
	size_t len = strcspn(tc->name, ":");
	const char *at;

	for (at = list; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, tc->name, len) && (!at[len] || at[len] == ','))
			return true;
	}
	return !list;
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: %s [--node PATH] [--filter TEXT] [--cases LIST] [--list]\n"
		"  --node PATH    the node under test (default: $" ENV_NODE ")\n"
		"  --filter TEXT  run only the cases whose name contains TEXT\n"
		"  --cases LIST   run only these, by what stands before the colon of their names\n"
		"  --list         print the names of the cases and run none\n",
		program_invocation_short_name);
}

/**
 * harness_main() - main() of a test program, for one that has something to do first
 * @argc:  of main()
 * @argv:  of main()
 *
 * Return: an exit status: 0, 1 when a case failed, 2 for wrong usage, 77 when all were skipped.
 */
int harness_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "node", required_argument, NULL, 'n' },
		{ "filter", required_argument, NULL, 'f' },
		{ "cases", required_argument, NULL, 'c' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	unsigned int total = 0, nr = 0, count[3] = { 0 };
	const char *filter = NULL, *listed = NULL;
	const struct test_case *tc;
	bool list = false;
	int opt;

	node = getenv(ENV_NODE);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'n':
			node = optarg;
			break;
		case 'f':
			filter = optarg;
			break;
		case 'c':
			listed = optarg;
			break;
		case 'l':
			list = true;
			break;
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

	/* Lines leave at once: a guest that crashes must not take results with it. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (tc = cases; tc; tc = tc->next) {
		if (!case_matches(tc, filter) || !case_listed(tc, listed))
			continue;
		total++;
		if (list)
			puts(tc->name);
	}
	if (list)
		return 0;

	verdict = shared_memory(sizeof(*verdict));
	/* What a case forks and leaves is this process's child then: see group_reap(). */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	cpus_one();
	printf("KTAP version 1\n");
	if (!total) {
		printf("1..0 # SKIP no case%s%s\n", filter ? " matches " : "",
		       filter ? filter : "");
		return TEST_SKIP;
	}
	printf("1..%u\n", total);
	for (tc = cases; tc; tc = tc->next)
		if (case_matches(tc, filter) && case_listed(tc, listed))
			count[case_run(++nr, tc)]++;
	if (count[FAILED])
		return TEST_FAIL;
	return count[PASSED] ? TEST_PASS : TEST_SKIP;
}

/* Weak: a program may have its own, and call harness_main(). */
int __attribute__((weak)) main(int argc, char **argv)
{
	return harness_main(argc, argv);
}
