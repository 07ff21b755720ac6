// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ttydefaults.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm_private.h"

#define PROMPT_QUIET_S 0.05 /* a line without its end, and then silence: a prompt */
#define NO_PROMPT_S    0.5  /* the command reads its own input: it gets the next line */
#define NO_START_S     20   /* a shell that never prompts */

/*
 * QEMU leads a process group of its own and cannot read our terminal; we pass bytes on. A guard,
 * which survives us, gives the terminal its mode back if we are killed.
 */
static void start_guard(struct console *c)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return;
	c->guard = fork();
	if (!c->guard) {
		struct termios now;
		char byte;

		setsid(); /* not of the terminal's foreground group, so never stopped by it */
		signal(SIGPIPE, SIG_IGN);
		prctl(PR_SET_NAME, "cdevlab-tty");
		dup2(fds[0], 3);
		close_range(4, ~0U, 0);
		/* whoever waits for our output to end must not wait for the guard */
		close(STDOUT_FILENO);
		close(STDERR_FILENO);
		while (read(3, &byte, 1) < 0 && errno == EINTR)
			;
		/* the person's shell may have been faster */
		if (!tcgetattr(0, &now) && now.c_lflag == c->raw.c_lflag)
			tcsetattr(0, TCSANOW, &c->saved);
		_exit(0);
	}
	close(fds[0]);
	c->guard_fd = fds[1];
}

/**
 * console_start() - takes over standard input and output
 * @c:	all zero
 * @fd:	the guest's console
 */
void console_start(struct console *c, int fd)
{
	*c = (struct console){ .fd = fd, .guard_fd = -1, .in_open = true, .sent = now_s() };
	c->plain = !isatty(STDOUT_FILENO);
	c->tty = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &c->saved);
	if (!c->tty)
		return;
	fputs("The guest's console. Leave with exit or Ctrl-A x; Ctrl-A twice sends one.\n",
	      stderr);
	c->raw = c->saved;
	cfmakeraw(&c->raw);
	start_guard(c);
	tcsetattr(STDIN_FILENO, TCSANOW, &c->raw);
}

void console_end(struct console *c)
{
	if (c->tty) {
		tcsetattr(STDIN_FILENO, TCSADRAIN, &c->saved);
		if (c->prompt)
			fputs("\n", stderr);
		close_fd(&c->guard_fd);
		if (c->guard > 0)
			while (waitpid(c->guard, NULL, 0) < 0 && errno == EINTR)
				;
	}
	close_fd(&c->fd);
	buf_free(&c->script);
	buf_free(&c->out);
	*c = (struct console){ .fd = -1, .guard_fd = -1 };
}

short console_in_events(const struct console *c)
{
	/* a script is read as the guest takes it */
	return c->fd >= 0 && c->in_open && c->out.n < 4096 && c->script.n < 4096 ? POLLIN : 0;
}

short console_out_events(const struct console *c)
{
	return POLLIN | (c->out.n ? POLLOUT : 0);
}

static void type_keys(struct console *c, const char *p, size_t n)
{
	for (; n; p++, n--) {
		if (!c->prefix && *p == CTRL('a')) {
			c->prefix = true;
			continue;
		}
		if (c->prefix && *p == 'x')
			c->leave = true;
		else
			buf_add(&c->out, p, 1);
		c->prefix = false;
	}
}

/*
 * A serial port has no flow control and loses what comes before it is open: a script is typed line
 * by line, each when the guest has prompted, as a person would.
 */
static void type_script(struct console *c)
{
	double now = now_s(), quiet = now - (c->heard > c->sent ? c->heard : c->sent);
	const char *nl;
	size_t n;

	if (c->out.n || !c->script.n)
		return;
	if (!c->started) {
		if (!(c->prompt && quiet > PROMPT_QUIET_S) && quiet < NO_START_S)
			return;
		c->started = true;
	} else if (!(c->prompt && c->heard > c->sent && quiet > PROMPT_QUIET_S) &&
		   quiet < NO_PROMPT_S) {
		return;
	}
	nl = memchr(c->script.s, '\n', c->script.n);
	if (!nl)
		return;
	n = nl + 1 - c->script.s;
	buf_add(&c->out, c->script.s, n);
	c->script.n -= n;
	memmove(c->script.s, c->script.s + n, c->script.n + 1);
	c->sent = now;
	c->prompt = false;
}

void console_service(struct console *c, bool readable)
{
	char chunk[4096];
	ssize_t n;

	if (c->fd < 0)
		return;
	if (readable) {
		n = read(STDIN_FILENO, chunk, sizeof(chunk));
		if (n > 0 && c->tty)
			type_keys(c, chunk, n);
		else if (n > 0)
			buf_add(&c->script, chunk, n);
		if (!n || (n < 0 && errno != EINTR && errno != EAGAIN)) {
			static const char eof[] = { CTRL('d'), '\n' };

			c->in_open = false;
			if (c->script.n && c->script.s[c->script.n - 1] != '\n')
				buf_puts(&c->script, "\n");
			/* the end of the script is the end of the shell */
			buf_add(&c->script, eof, sizeof(eof));
		}
	}
	if (!c->tty)
		type_script(c);
	if (!flush_buf(c->fd, &c->out))
		c->out.n = 0;
}

/*
 * For a file or a pipe: without carriage returns and without what a line editor says to a terminal
 * (ESC [ ... letter), which may come in pieces.
 */
static size_t plain_text(struct console *c, const char *p, size_t n, char *to)
{
	size_t m = 0;

	for (size_t i = 0; i < n; i++) {
		if (c->escape == 2 && p[i] >= '@' && p[i] <= '~')
			c->escape = 0;
		else if (c->escape == 1)
			c->escape = p[i] == '[' ? 2 : 0;
		else if (!c->escape && p[i] == '\033')
			c->escape = 1;
		else if (!c->escape && p[i] != '\r')
			to[m++] = p[i];
	}
	return m;
}

void console_show(struct console *c, const char *p, size_t n)
{
	_cleanup_free_ char *plain = NULL;

	if (!n)
		return;
	c->heard = now_s();
	c->prompt = p[n - 1] != '\n';
	if (c->plain) {
		plain = xcalloc(n, 1);
		n = plain_text(c, p, n, plain);
		p = plain;
	}
	while (n) {
		ssize_t done = write(STDOUT_FILENO, p, n);

		if (done < 0 && errno == EINTR && !lab_interrupted())
			continue;
		if (done < 0) {
			c->leave = true; /* nobody listens any more */
			return;
		}
		p += done;
		n -= done;
	}
}
