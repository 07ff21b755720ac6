// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vm_private.h"

static void qmp_command(struct qmp *q, json_t *command, void (*done)(void *ctx, const char *text))
{
	_cleanup_free_ char *line = json_dumps(command, JSON_COMPACT);

	json_decref(command);
	if (q->fd < 0 || !line)
		return;
	buf_puts(&q->out, line);
	buf_puts(&q->out, "\n");
	q->waiting = xrealloc(q->waiting, q->n_waiting + 1, sizeof(*q->waiting));
	q->waiting[q->n_waiting++] = done;
	flush_buf(q->fd, &q->out);
}

/**
 * qmp_start() - begins the conversation
 * @q:		all zero
 * @fd:		our end of the socket
 * @ctx:	for the done() of each command
 */
void qmp_start(struct qmp *q, int fd, void *ctx)
{
	q->fd = fd;
	q->ctx = ctx;
	/* QEMU reads it after its greeting, so there is no need to wait for that */
	qmp_command(q, json_pack("{s:s}", "execute", "qmp_capabilities"), NULL);
}

void qmp_hmp(struct qmp *q, void (*done)(void *ctx, const char *text), const char *fmt, ...)
{
	_cleanup_free_ char *line = NULL;
	va_list ap;

	va_start(ap, fmt);
	line = xvasprintf(fmt, ap);
	va_end(ap);
	qmp_command(q,
		    json_pack("{s:s,s:{s:s}}", "execute", "human-monitor-command", "arguments",
			      "command-line", line),
		    done);
}

void qmp_dump(struct qmp *q, const char *path, bool paging,
	      void (*done)(void *ctx, const char *text))
{
	_cleanup_free_ char *protocol = xasprintf("file:%s", path);

	qmp_command(q, json_pack("{s:s}", "execute", "stop"), NULL);
	qmp_command(q,
		    json_pack("{s:s,s:{s:b,s:s}}", "execute", "dump-guest-memory", "arguments",
			      "paging", (int)paging, "protocol", protocol),
		    done);
}

void qmp_quit(struct qmp *q)
{
	qmp_command(q, json_pack("{s:s}", "execute", "quit"), NULL);
}

static void qmp_answer(struct qmp *q, const char *text)
{
	void (*done)(void *ctx, const char *text);

	if (!q->n_waiting)
		return;
	done = q->waiting[0];
	memmove(q->waiting, q->waiting + 1, --q->n_waiting * sizeof(*q->waiting));
	if (done)
		done(q->ctx, text);
}

static void qmp_line(void *ctx, char *line)
{
	json_t *msg = json_loads(line, 0, NULL), *version, *ret, *error;
	struct qmp *q = ctx;
	const char *event = NULL, *reason = NULL, *text = NULL;

	version = json_object_get(json_object_get(json_object_get(msg, "QMP"), "version"), "qemu");
	if (version) {
		q->major = json_integer_value(json_object_get(version, "major"));
		q->minor = json_integer_value(json_object_get(version, "minor"));
	}
	event = json_string_value(json_object_get(msg, "event"));
	/* the second one, where there is one, is of our own quit */
	if (event && !strcmp(event, "SHUTDOWN") && !q->reason) {
		reason = json_string_value(json_object_get(json_object_get(msg, "data"), "reason"));
		q->reason = xstrdup(reason ?: "unknown");
	}
	ret = json_object_get(msg, "return");
	error = json_object_get(msg, "error");
	if (error)
		text = json_string_value(json_object_get(error, "desc")) ?: "error";
	else if (ret)
		text = json_string_value(ret) ?: "";
	if (text)
		qmp_answer(q, text);
	json_decref(msg);
}

void qmp_service(struct qmp *q, short revents)
{
	char chunk[16384];
	ssize_t n;

	if (q->fd < 0)
		return;
	if (q->out.n && !flush_buf(q->fd, &q->out))
		q->out.n = 0;
	if (!revents)
		return;
	while ((n = read(q->fd, chunk, sizeof(chunk))) > 0)
		lines_add(&q->in, chunk, n, qmp_line, q);
	if (!n || (errno != EAGAIN && errno != EINTR)) {
		close(q->fd);
		q->fd = -1;
	}
}

void qmp_close(struct qmp *q)
{
	close_fd(&q->fd);
	q->fd = -1;
	free(q->reason);
	free(q->waiting);
	buf_free(&q->in.b);
	buf_free(&q->out);
	*q = (struct qmp){ .fd = -1 };
}
