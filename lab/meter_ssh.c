// SPDX-License-Identifier: GPL-2.0
/*
 * The meter of another machine, "ssh:[USER@]HOST[:PORT]/METER": cdevlab records there and its lines come here as they are
 * read. Both machines have clocks of their own. How far they are apart is what the quickest of the last lines took: a
 * line is never early.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meter.h"
#include "proc.h"
#include "ssh.h"

#define SETTLE_S 1  /* lines, before the first is handed on */
#define WINDOW_S 30 /* clocks drift: after so long an older line tells nothing any more */
#define PERIOD	 0.2
#define END_S	 5

/* struct remote - see the head */
struct remote {
	struct proc p;
	struct strv argv;
	int in; /* its standard input: it ends when that does */
	struct buf rest;
	double opened, window; /* now_s() of the first line, and when the current window began */
	double offset
		[2]; /* this clock minus that one, at most: of this window and the one before */
	struct meter_reading *v;
	size_t n;
};

static double offset_of(const struct remote *r)
{
	return fmin(r->offset[0], r->offset[1]);
}

static void note_offset(struct remote *r, double there)
{
	double now = now_s();

	if (now - r->window > WINDOW_S) {
		r->offset[1] = r->offset[0];
		r->offset[0] = INFINITY;
		r->window = now;
	}
	r->offset[0] = fmin(r->offset[0], now - there);
}

/* It ends when we do, when the connection does, or when it cannot go on; then it says how many readings it had. */
static char *script_of(const char *meter)
{
	_cleanup_free_ char *quoted = shell_quote(meter);

	return xasprintf("exec 3<&0; cdevlab meter record --meter %s -o - & p=$!; "
			 "{ cat <&3; kill $p; } >/dev/null 2>&1 & wait $p; s=$?; kill $!; exit $s",
			 quoted);
}

static enum lab_exit ssh_open(struct meter_session *s)
{
	const char *slash = strchr(s->meter->name, '/');
	_cleanup_free_ char *script = script_of(slash + 1);
	struct remote *r = xcalloc(1, sizeof(*r));
	struct ssh_host host;
	int in[2];

	s->handle = r;
	r->in = -1;
	r->offset[0] = r->offset[1] = INFINITY;
	if (!ssh_parse(s->meter->name, slash - s->meter->name, &host) || pipe2(in, O_CLOEXEC))
		return lab_fail(LAB_CANNOT, NULL, "cannot start ssh: %s", strerror(errno));
	ssh_words(&host, &r->argv);
	ssh_free(&host);
	strv_add(&r->argv, script);
	r->in = in[1];
	r->p = (struct proc){ .argv = r->argv.v, .in_fd = in[0] };
	if (proc_start(&r->p))
		r->p.argv = NULL;
	close(in[0]);
	return r->p.argv ? LAB_OK : LAB_CANNOT;
}

/* "# received N expected N gaps N bad N": it knows what of its meter's readings was lost before they came here. */
static void take_line(struct meter_session *s, char *line)
{
	struct remote *r = s->handle;
	struct meter_reading reading;

	if (sscanf(line, "# received %*u expected %zu gaps %zu bad %zu", &s->expected, &s->gaps,
		   &s->bad) == 3 ||
	    *line == '#' || !meter_reading_parse(line, &reading))
		return;
	note_offset(r, reading.t);
	r->opened = r->opened ?: now_s();
	r->v = xrealloc(r->v, r->n + 1, sizeof(*r->v));
	r->v[r->n++] = reading;
}

/* Return: false at its end. */
static bool take(struct meter_session *s, double wait)
{
	struct remote *r = s->handle;
	struct pollfd fd = { .fd = r->p.out_fd, .events = POLLIN };
	char text[4096], *nl;
	size_t from = 0;
	ssize_t n;

	if (poll(&fd, 1, wait * 1000) <= 0)
		return true;
	n = read(r->p.out_fd, text, sizeof(text));
	if (n <= 0)
		return n < 0 && errno == EINTR;
	buf_add(&r->rest, text, n);
	while ((nl = strchr(r->rest.s + from, '\n'))) {
		*nl = '\0';
		take_line(s, r->rest.s + from);
		from = nl + 1 - r->rest.s;
	}
	memmove(r->rest.s, r->rest.s + from, r->rest.n + 1 - from);
	r->rest.n -= from;
	return true;
}

/* What it said there is the reason, or ssh's. */
static char *end_of(struct remote *r)
{
	char text[4096] = "";
	ssize_t n = read(r->p.err_fd, text, sizeof(text) - 1);
	_cleanup_free_ char *line = NULL;

	text[n > 0 ? n : 0] = '\0';
	line = xstrdup(text);
	line[strcspn(line, "\n")] = '\0';
	if (strstr(text, "cdevlab: ") && strstr(text, "not found"))
		return xstrdup("cdevlab is not in the PATH there: make install");
	return xstrdup(*line ? line : "the connection has ended");
}

static int ssh_read(struct meter_session *s, double wait, struct meter_reading *out, size_t most)
{
	struct remote *r = s->handle;
	bool more = take(s, wait);
	size_t n = 0;

	if (!more && !r->n) {
		s->why = end_of(r);
		return -1;
	}
	if (more && (!r->n || now_s() - r->opened < SETTLE_S))
		return 0;
	for (; n < r->n && n < most; n++) {
		out[n] = r->v[n];
		/* a line that was quicker than all before is no step back in time */
		out[n].t = fmax(out[n].t + offset_of(r), s->received ? s->last : 0);
		meter_note(s, &out[n], PERIOD);
	}
	r->n -= n;
	memmove(r->v, r->v + n, r->n * sizeof(*r->v));
	return n;
}

static void ssh_close(struct meter_session *s)
{
	struct remote *r = s->handle;
	double end = now_s() + END_S;

	if (!r)
		return;
	if (r->in >= 0)
		close(r->in);
	if (r->p.argv) {
		while (!s->why && now_s() < end && take(s, PERIOD))
			;
		proc_end(&r->p);
	}
	proc_free(&r->p);
	strv_free(&r->argv);
	buf_free(&r->rest);
	free(r->v);
	free(r);
}

const struct meter_kind meter_ssh = { "ssh", NULL, ssh_open, ssh_read, ssh_close };

enum lab_exit meter_ssh_add(const char *spec, struct meter **meters, size_t *n)
{
	const char *slash = strchr(spec, '/');
	struct ssh_host host;
	struct meter *m;

	if (!slash || !slash[1] || !ssh_parse(spec, slash - spec, &host))
		return lab_fail(LAB_USAGE, "ssh:pi@board/hwmon, say; /auto is the first there",
				"--meter cannot be \"%s\"", spec);
	m = meter_add(meters, n, &meter_ssh);
	m->name = xstrdup(spec);
	m->what = xasprintf("%s of %s", slash + 1, host.name);
	ssh_free(&host);
	return LAB_OK;
}
