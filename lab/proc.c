// SPDX-License-Identifier: GPL-2.0
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECES 16 /* read of one child before the next has its turn */

static volatile sig_atomic_t interrupted;
static int signal_pipe[2] = { -1, -1 };
static int reaper_fd = -1;
static pid_t reaper_owner; /* a forked child must not speak for us */

bool lab_interrupted(void)
{
	return interrupted;
}

int proc_signal_fd(void)
{
	return signal_pipe[0];
}

static void on_signal(int sig)
{
	int saved = errno;

	interrupted = sig;
	/* a full pipe already says what there is to say */
	if (write(signal_pipe[1], "", 1) < 0)
		errno = saved;
	errno = saved;
}

/*
 * The reaper: reads "+P pgid", "-P pgid", "+D dir", "-D dir", one a line. The pipe's end is our end,
 * whatever brought it about; what is still on the list then is killed and removed.
 */
static void reaper_main(int fd)
{
	struct strv list = {};
	_cleanup_file_ FILE *in = fdopen(fd, "r");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	while (in && (n = getline(&line, &room, in)) > 0) {
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		if (line[0] == '+') {
			strv_add(&list, line + 1);
			continue;
		}
		for (size_t i = list.n; i-- > 0;) {
			if (!strcmp(list.v[i], line + 1)) {
				list.v[i][0] = '\0';
				break;
			}
		}
	}
	for (size_t i = 0; i < list.n; i++)
		if (list.v[i][0] == 'P')
			kill(-atoi(list.v[i] + 2), SIGKILL);
	for (size_t i = 0; i < list.n; i++) {
		if (list.v[i][0] != 'D')
			continue;
		/* a process that was just killed may still be closing its files */
		for (int tries = 0; tries < 20 && remove_tree(list.v[i] + 2); tries++)
			usleep(50000);
	}
	_exit(0);
}

static void tell_reaper(const char *fmt, const char *what)
{
	char line[PATH_MAX + 8];
	int n = snprintf(line, sizeof(line), fmt, what);

	if (reaper_fd < 0 || getpid() != reaper_owner)
		return;
	/* lines stay below PIPE_BUF, so they are written whole */
	if (write(reaper_fd, line, n) != n)
		lab_warn("the reaper is gone: a kill of this program may leave %s behind", what);
}

static void tell_reaper_group(char sign, pid_t pgid)
{
	char what[32];

	snprintf(what, sizeof(what), "%cP %d\n", sign, pgid);
	tell_reaper("%s", what);
}

enum lab_exit proc_init(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	int fds[2];
	pid_t pid;

	if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) || pipe2(fds, O_CLOEXEC))
		return lab_fail(LAB_CANNOT, NULL, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		return lab_fail(LAB_CANNOT, NULL, "fork: %s", strerror(errno));
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		setsid(); /* Ctrl-C at the terminal is not for the reaper */
		signal(SIGPIPE, SIG_IGN);
		prctl(PR_SET_NAME, "cdevlab-reaper");
		/* whoever waits for our output to end must not wait for the reaper */
		for (int i = 0; i < 3; i++)
			dup2(null, i);
		close(fds[1]);
		if (fork())
			_exit(0); /* adopted by init, so that nobody has to wait for it */
		reaper_main(fds[0]);
	}
	waitpid(pid, NULL, 0);
	close(fds[0]);
	reaper_fd = fds[1];
	reaper_owner = getpid();
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	return LAB_OK;
}

static void child_exec(const struct proc *p, int in, int out, int err, int ready)
{
	int e;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != reaper_owner)
		_exit(127); /* killed before it could be told of us */
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		goto fail;
	for (int i = 0; i < p->n_keep; i++)
		fcntl(p->keep_fds[i], F_SETFD, 0);
	if (p->dir && chdir(p->dir))
		goto fail;
	for (char *const *kv = p->env; kv && *kv; kv++)
		putenv(*kv);
	execvp(p->argv[0], p->argv);
fail:
	e = errno;
	if (write(ready, &e, sizeof(e)) < 0)
		_exit(126);
	_exit(127);
}

static void close_pipe(int fds[2])
{
	close_fd(&fds[0]);
	close_fd(&fds[1]);
}

enum lab_exit proc_start(struct proc *p)
{
	int out[2] = { -1, -1 }, err[2] = { -1, -1 }, ready[2] = { -1, -1 }, in = p->in_fd, e = 0;
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	p->out_fd = p->err_fd = -1;
	if (in == 0)
		in = null;
	else if (in < 0)
		in = 0;
	if (null < 0 || pipe2(ready, O_CLOEXEC) ||
	    (!p->pass && (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)))) {
		e = errno;
		close_pipe(ready);
		close_pipe(out);
		close_pipe(err);
		return lab_fail(LAB_CANNOT, NULL, "cannot start %s: %s", p->argv[0], strerror(e));
	}
	if (lab_options.verbose) {
		_cleanup_free_ char *line = shell_join(p->argv);

		lab_verbose("+ %s", line);
	}
	p->pid = fork();
	if (!p->pid)
		child_exec(p, in, p->pass ? 1 : out[1], p->pass ? 2 : err[1], ready[1]);
	close(ready[1]);
	if (!p->pass) {
		close(out[1]);
		close(err[1]);
		p->out_fd = out[0];
		p->err_fd = err[0];
	}
	if (p->pid < 0) {
		e = errno;
	} else {
		setpgid(p->pid, p->pid);
		tell_reaper_group('+', p->pid);
		if (read(ready[0], &e, sizeof(e)) != sizeof(e))
			e = 0;
	}
	close(ready[0]);
	if (e) {
		if (p->pid > 0)
			proc_end(p);
		if (p->quiet)
			return LAB_CANNOT;
		return lab_fail(
			LAB_CANNOT,
			e == ENOENT ?
				"install it, or run ./cdevlab, which installs what is missing" :
				NULL,
			"cannot run %s: %s", p->argv[0], strerror(e));
	}
	return LAB_OK;
}

/* Reaps a child that has ended. Its group goes first: once reaped, the number may be somebody else's. */
static void reap(struct proc *p)
{
	int wstatus = 0;

	kill(-p->pid, SIGKILL);
	while (waitpid(p->pid, &wstatus, 0) < 0 && errno == EINTR)
		;
	p->status = WIFSIGNALED(wstatus) ? -WTERMSIG(wstatus) : WEXITSTATUS(wstatus);
	tell_reaper_group('-', p->pid);
	p->pid = 0;
}

bool proc_ended(struct proc *p)
{
	siginfo_t si = {};

	if (p->pid <= 0)
		return true;
	if (waitid(P_PID, p->pid, &si, WEXITED | WNOHANG | WNOWAIT) || si.si_pid != p->pid)
		return false;
	reap(p);
	return true;
}

void proc_end(struct proc *p)
{
	if (p->pid > 0) {
		kill(p->pid, SIGKILL); /* should it not lead its group yet */
		reap(p);
	}
	close_fd(&p->out_fd);
	close_fd(&p->err_fd);
	p->out_fd = p->err_fd = -1;
}

void proc_free(struct proc *p)
{
	buf_free(&p->out);
	buf_free(&p->err);
}

/* Hands whole lines to on_line; keeps the rest in b. */
static void split_lines(struct proc *p, struct buf *b, bool is_err, bool last)
{
	char *start = b->s, *nl;

	while (start && (nl = memchr(start, '\n', b->s + b->n - start))) {
		*nl = '\0';
		p->on_line(p->ctx, start, is_err);
		start = nl + 1;
	}
	if (!start)
		return;
	b->n -= start - b->s;
	memmove(b->s, start, b->n + 1);
	if (last && b->n) {
		p->on_line(p->ctx, b->s, is_err);
		b->n = 0;
	}
}

static bool drain(struct proc *p, int *fd, struct buf *b, bool is_err)
{
	char chunk[16384];
	ssize_t n = read(*fd, chunk, sizeof(chunk));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n > 0)
		buf_add(b, chunk, n);
	if (p->on_line)
		split_lines(p, b, is_err, n <= 0);
	if (n > 0)
		return true;
	close(*fd);
	*fd = -1;
	return false;
}

/* Reads what has come, some of it. Whether it has ended, and all that it said was read. */
static bool turn(struct proc *p)
{
	for (int i = 0; i < PIECES; i++) {
		/* the pipes' end can come late (a grandchild holds them) or early: look at the pid too */
		bool ended = proc_ended(p);
		struct pollfd fds[2] = {
			{ .fd = p->out_fd, .events = POLLIN },
			{ .fd = p->err_fd, .events = POLLIN },
		};

		if (!poll(fds, 2, 0))
			return ended;
		if (fds[0].revents)
			drain(p, &p->out_fd, &p->out, false);
		if (fds[1].revents)
			drain(p, &p->err_fd, &p->err, true);
	}
	return false;
}

static void finish(struct proc *p)
{
	if (p->on_line) {
		split_lines(p, &p->out, false, true);
		split_lines(p, &p->err, true, true);
	}
	proc_end(p);
}

/* Until one of them has something to say, a signal comes, or a moment is over. */
static void wait_for(struct proc *const *running, size_t n)
{
	struct pollfd *fds = xcalloc(2 * n + 1, sizeof(*fds));
	bool blind = false;

	fds[0] = (struct pollfd){ .fd = signal_pipe[0], .events = POLLIN };
	for (size_t i = 0; i < n; i++) {
		fds[2 * i + 1] = (struct pollfd){ .fd = running[i]->out_fd, .events = POLLIN };
		fds[2 * i + 2] = (struct pollfd){ .fd = running[i]->err_fd, .events = POLLIN };
		blind |= running[i]->out_fd < 0 && running[i]->err_fd < 0;
	}
	poll(fds, 2 * n + 1, blind ? 20 : 100);
	free(fds);
}

static enum lab_exit start(struct proc *p)
{
	p->deadline = p->timeout_s ? now_s() + p->timeout_s : 0;
	p->timed_out = false;
	return proc_start(p);
}

enum lab_exit proc_run_all(struct proc *v, size_t n, size_t at_once, proc_done_fn *done, void *ctx)
{
	struct proc **running = xcalloc(at_once, sizeof(*running));
	enum lab_exit ret = LAB_OK;
	size_t next = 0, r = 0;

	while (!ret && (r || next < n)) {
		while (!ret && r < at_once && next < n) {
			ret = start(&v[next]);
			if (!ret)
				running[r++] = &v[next++];
		}
		wait_for(running, r);
		if (lab_interrupted())
			ret = LAB_INTERRUPTED;
		for (size_t i = 0; i < r && !ret;) {
			struct proc *p = running[i];

			p->timed_out = p->deadline && now_s() > p->deadline;
			if (!turn(p) && !p->timed_out) {
				i++;
				continue;
			}
			finish(p);
			running[i] = running[--r];
			if (done)
				ret = done(p, ctx);
		}
	}
	for (size_t i = 0; i < r; i++)
		finish(running[i]);
	free(running);
	return ret;
}

enum lab_exit proc_run(struct proc *p)
{
	enum lab_exit ret = proc_run_all(p, 1, 1, NULL, NULL);

	return !ret && p->timed_out ? LAB_TIMEOUT : ret;
}

char *proc_output(char *const *argv)
{
	struct proc p = { .argv = argv, .quiet = true };
	char *out = NULL;

	if (!proc_run(&p) && !p.status && p.out.s) {
		while (p.out.n && p.out.s[p.out.n - 1] == '\n')
			p.out.s[--p.out.n] = '\0';
		out = xstrdup(p.out.s);
	}
	proc_free(&p);
	return out;
}

char *proc_self(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path));
	char *self = n > 0 && n < (ssize_t)sizeof(path) ? xstrndup(path, n) : NULL;

	/* it was built again meanwhile: the new one is where it was */
	if (self && str_ends(self, " (deleted)"))
		self[n - strlen(" (deleted)")] = '\0';
	return self;
}

bool proc_have(const char *program)
{
	struct strv dirs = {};
	bool found = false;

	strv_split(&dirs, getenv("PATH") ?: "/usr/bin:/bin", ":");
	for (size_t i = 0; i < dirs.n && !found; i++) {
		_cleanup_free_ char *p = xasprintf("%s/%s", dirs.v[i], program);

		found = !access(p, X_OK);
	}
	strv_free(&dirs);
	return found;
}

char *temp_dir(const char *base)
{
	char *path = xasprintf("%s/cdevlab-XXXXXX", base ?: getenv("TMPDIR") ?: "/tmp");
	char line[PATH_MAX + 8];

	if (!mkdtemp(path)) {
		lab_fail(LAB_CANNOT,
			 base ? "make room there, or name another place" :
				"set TMPDIR to a directory that can be written to",
			 "cannot make a directory in %s: %s",
			 base			  ?:
				 getenv("TMPDIR") ?:
						    "/tmp",
			 strerror(errno));
		free(path);
		return NULL;
	}
	snprintf(line, sizeof(line), "+D %s\n", path);
	tell_reaper("%s", line);
	return path;
}

void temp_dir_done(char *path)
{
	char line[PATH_MAX + 8];

	if (!path)
		return;
	remove_tree(path);
	snprintf(line, sizeof(line), "-D %s\n", path);
	tell_reaper("%s", line);
	free(path);
}
