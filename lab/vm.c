// SPDX-License-Identifier: GPL-2.0
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "vm_private.h"

#define GUESTS_MOST   4	  /* of half a GiB each */
#define DEADLINE_S    120 /* when neither the guest nor the person says otherwise */
#define READY_S	      90  /* from the start to READY, on a very busy host */
#define READY_DEBUG_S 600 /* of a kernel that watches itself */
#define PANIC_RESET_S 3	  /* from the panic line to the reset that panic=-1 asks for */
#define POWER_OFF_S   5	  /* from END to QEMU's exit */
#define REGISTERS_S   2	  /* for QEMU to say where a hung guest is */
#define LOG_MAX	      (16 << 20)
#define LOG_HEAD      (4 << 20)
#define STDERR_MAX    65536
#define TURN_MS	      10 /* how often the channels are looked at */
#define CHANNEL_MAX   (1LL << 30)
#define DUMP_S	      120 /* for QEMU to write the memory */
#define DUMP_SPARE \
	(64LL << 20) /* what else goes into that file, and what is to be left of the disk */
#define PANIC_LINE "Kernel panic - not syncing"
/* What a shell's poweroff comes to without ACPI. */
#define HALTED_LINE "reboot: System halted"

/* What we ended a guest for; NOTHING: it ends by itself. */
enum kill_reason {
	NOTHING,
	KILL_STOPPED,
	KILL_HANG,
	KILL_PANIC,
	KILL_CLEAN,
	KILL_FLOOD
};

enum {
	FD_LOG,
	FD_CONTROL,
	FD_QMP,
	FD_OUT,
	FD_ERR,
	FD_STDIN,
	N_FDS
};

struct vm_state {
	struct vm *vm;
	struct proc proc;
	struct qmp qmp;
	struct console console;
	struct tap log_tap, results_tap;
	int log_fd, control_fd; /* log_fd: the shell's socket */
	struct lines log, results, control;
	struct buf err, to_control;
	double start, deadline, heard;
	int pinned; /* the processor of this machine that it has to itself among our guests, or -1 */
	double end_at, panic_at, registers_until;
	enum kill_reason kill;
	bool registers_known;
	/* what @dump is waiting for */
	enum {
		DUMP_NOT,
		DUMP_ASKED,
		DUMP_DONE
	} dump;
	double dump_until;
	char *dump_part; /* written to, and renamed when it is whole */
	bool dump_plain, quit;
	char *panic, *where, *failure;
	/* the exact clock's recording */
	char *trace_dir, *trace_name, *trace_path;
	int n_traces;
	bool trace_failed;
};

const char *vm_end_name(enum vm_end end)
{
	static const char *const names[] = {
		[VM_CLEAN] = "clean",
		[VM_PANIC] = "panic",
		[VM_HANG] = "hang",
		[VM_LOST] = "lost",
		[VM_QEMU_FAILED] = "qemu-failed",
		[VM_STOPPED] = "stopped",
	};

	return end < ARRAY_SIZE(names) ? names[end] : "unknown";
}

static const char *choose_accel(const struct vm *vm)
{
	const char *wish = getenv("CDEVLAB_ACCEL");

	/* counting instructions, and telling them, is something only the emulator does */
	if (vm->exact || vm->code_log)
		return "tcg";
	if (wish && (!strcmp(wish, "tcg") || !strcmp(wish, "kvm")))
		return wish;
	if (lab_options.dry_run)
		return vm_kvm_remembered(vm->kernel) > 0 ? "kvm" : "tcg";
	return vm_kvm_works(vm->kernel) ? "kvm" : "tcg";
}

/*
 * Recording what is executed: a conversation of the guest's exact clock (control port) with QEMU
 * (QMP).
 */

static void control_say(struct vm_state *st, const char *text)
{
	buf_puts(&st->to_control, text);
	if (st->control_fd >= 0 && !flush_buf(st->control_fd, &st->to_control))
		st->to_control.n = 0;
}

static void trace_switched(void *ctx, const char *text)
{
	struct vm_state *st = ctx;

	/* these commands print only when they fail */
	if (!text[strspn(text, " \r\n")] || st->trace_failed)
		return;
	st->trace_failed = true;
	lab_warn("QEMU cannot record what is executed: %.*s", (int)strcspn(text, "\r\n"), text);
}

static void trace_on_done(void *ctx, const char *text)
{
	trace_switched(ctx, text);
	control_say(ctx, "ok\n");
}

static void trace_off_done(void *ctx, const char *text)
{
	struct vm_state *st = ctx;

	trace_switched(ctx, text);
	if (!st->trace_failed && st->vm->on_trace)
		st->vm->on_trace(st->vm, st->trace_name, st->trace_path);
	unlink(st->trace_path);
	free(st->trace_path);
	free(st->trace_name);
	st->trace_path = st->trace_name = NULL;
	control_say(st, "ok\n");
}

/* Every instruction a block of its own, so that the log has each of them. */
static const char *single_step_command(const struct qmp *q)
{
	return q->major > 8 || (q->major == 8 && q->minor >= 1) ? "one-insn-per-tb" : "singlestep";
}

static void control_line(void *ctx, char *line)
{
	struct vm_state *st = ctx;

	if (str_starts(line, "mark ")) {
		st->vm->trace_mark = strtoul(line + strlen("mark "), NULL, 16);
	} else if (str_starts(line, "trace ") && !st->trace_path) {
		st->trace_name = xstrdup(line + strlen("trace "));
		/* a name of its own each time: QEMU appends to a log it has written before */
		st->trace_path = xasprintf("%s/%d", st->trace_dir, ++st->n_traces);
		qmp_hmp(&st->qmp, trace_switched, "logfile \"%s\"", st->trace_path);
		qmp_hmp(&st->qmp, trace_switched, "%s on", single_step_command(&st->qmp));
		qmp_hmp(&st->qmp, trace_on_done, "log exec,nochain");
	} else if (!strcmp(line, "done") && st->trace_path) {
		qmp_hmp(&st->qmp, trace_switched, "log none");
		qmp_hmp(&st->qmp, trace_off_done, "%s off", single_step_command(&st->qmp));
	}
}

/*
 * What the guest says.
 */

static void keep_log(struct vm_state *st, const char *p, size_t n)
{
	static const char cut[] = "\n[... the log is too long: this part was not kept ...]\n";
	struct buf *log = &st->vm->log;
	size_t m = 0;

	buf_add(log, p, n);
	for (size_t i = log->n - n; i < log->n; i++)
		if (log->s[i] != '\r')
			log->s[log->n - n + m++] = log->s[i];
	log->n -= n - m;
	log->s[log->n] = '\0';
	if (log->n > LOG_MAX) {
		/* how it began and how it ended is what matters */
		size_t head = LOG_HEAD + strlen(cut);

		memcpy(log->s + LOG_HEAD, cut, strlen(cut));
		memmove(log->s + head, log->s + log->n - LOG_HEAD, LOG_HEAD + 1);
		log->n = head + LOG_HEAD;
	}
}

static void log_line(void *ctx, char *line)
{
	struct vm_state *st = ctx;
	struct vm *vm = st->vm;
	const char *panic;
	char *to = line;

	for (const char *from = line; *from; from++)
		if (*from != '\r')
			*to++ = *from;
	*to = '\0';
	panic = strstr(line, PANIC_LINE);
	if (panic && !st->panic) {
		st->panic = xstrdup(panic);
		st->panic_at = now_s();
	}
	if (vm->shell && strstr(line, HALTED_LINE))
		st->console.leave = true;
	if (vm->on_log)
		vm->on_log(vm, line);
	else if (!vm->shell)
		lab_verbose("%s", line);
}

static void results_line(void *ctx, char *line)
{
	struct vm_state *st = ctx;
	struct vm *vm = st->vm;

	if (str_starts(line, "READY") && !vm->ready_s) {
		vm->ready_s = now_s() - st->start;
		sscanf(line, "READY %*d %d", &vm->cpus_up);
	}
	if ((!strcmp(line, "END") || str_starts(line, "END ")) && !st->end_at)
		st->end_at = now_s();
	if (vm->on_line)
		vm->on_line(vm, line);
}

/* Where the guest's CPUs are, out of "info registers -a". */
static void registers_known(void *ctx, const char *text)
{
	static const char *const counters[] = { "RIP=", "EIP=", " PC=", "\npc ", " pc " };
	struct vm_state *st = ctx;
	struct buf b = {};
	const char *cpu = text;

	st->registers_known = true;
	while ((cpu = strstr(cpu, "CPU#"))) {
		const char *next = strstr(cpu + 4, "CPU#"), *pc = NULL;

		for (size_t i = 0; i < ARRAY_SIZE(counters) && !pc; i++) {
			pc = strstr(cpu, counters[i]);
			if (pc && next && pc > next)
				pc = NULL;
			if (pc)
				pc += strlen(counters[i]);
		}
		if (pc) {
			pc += strspn(pc, " ");
			buf_printf(&b, "%sCPU%d at %.*s", b.n ? ", " : "", atoi(cpu + 4),
				   (int)strspn(pc, "0123456789abcdefABCDEFx"), pc);
		}
		if (!next)
			break;
		cpu = next;
	}
	free(st->where);
	st->where = b.s;
}

/*
 * One guest's life.
 */

static enum lab_exit launch(struct vm_state *st, struct ends *ends)
{
	int verbose = lab_options.verbose, keep[7], n = 0;
	struct vm *vm = st->vm;
	struct strv argv = {};
	enum lab_exit ret;

	keep[n++] = ends->log;
	keep[n++] = ends->qmp;
	if (vm->initrd_fd >= 0)
		keep[n++] = ends->initrd;
	if (ends->results >= 0)
		keep[n++] = ends->results;
	if (ends->control >= 0)
		keep[n++] = ends->control;
	if (vm->share_fd)
		keep[n++] = vm->share_fd;
	if (vm->gdb_fd)
		keep[n++] = vm->gdb_fd;
	vm_args(&argv, vm, ends);
	st->proc = (struct proc){ .argv = argv.v, .keep_fds = keep, .n_keep = n };
	/* shown is the line a person can use, not the one with our descriptors */
	lab_verbose("+ %s", vm->command);
	lab_options.verbose = 0;
	ret = proc_start(&st->proc);
	lab_options.verbose = verbose;
	st->proc.argv = NULL;
	st->proc.keep_fds = NULL;
	strv_free(&argv);
	return ret;
}

static bool make_channels(struct vm_state *st, int console[2], int control[2], int qmp[2])
{
	const struct vm *vm = st->vm;

	if (!make_pair(qmp))
		return false;
	if (vm->shell)
		return make_pair(console);
	return make_tap(&st->log_tap, "kernel-log") && make_tap(&st->results_tap, "results") &&
	       (!vm->trace || make_pair(control));
}

static long long dump_bytes(const struct vm *vm)
{
	return ((long long)vm_memory_mb(vm) << 20) + DUMP_SPARE;
}

static enum lab_exit vm_start(struct vm *vm)
{
	int console[2] = { -1, -1 }, control[2] = { -1, -1 }, qmp[2] = { -1, -1 };
	int limit = vm->timeout_s ?: lab_options.timeout_s ?: DEADLINE_S;
	struct rlimit most = { CHANNEL_MAX, CHANNEL_MAX };
	struct vm_state *st = xcalloc(1, sizeof(*st));
	enum lab_exit ret = LAB_OK;
	struct ends ends;

	vm->state = st;
	vm->end = VM_LOST; /* until more is known: a callback may only say VM_STOPPED */
	st->vm = vm;
	st->pinned = -1;
	st->log_tap.fd = st->results_tap.fd = st->console.fd = -1;
	st->proc.out_fd = st->proc.err_fd = -1;
	if (!make_channels(st, console, control, qmp))
		ret = lab_fail(LAB_CANNOT, NULL, "cannot make a channel to the guest: %s",
			       strerror(errno));
	st->log_fd = console[0];
	st->control_fd = control[0];
	st->qmp.fd = qmp[0];
	if (!ret && vm->trace && !(st->trace_dir = temp_dir(NULL)))
		ret = LAB_CANNOT;
	st->start = now_s();
	/* a person at the prompt has all the time there is */
	if (!((vm->shell || vm->gdb_fd) && !vm->timeout_s && !lab_options.timeout_s &&
	      isatty(STDIN_FILENO)))
		st->deadline = st->start + limit;
	ends = (struct ends){ vm->initrd_fd, vm->shell ? console[1] : st->log_tap.fd,
			      st->results_tap.fd, control[1], qmp[1] };
	if (!ret)
		ret = launch(st, &ends);
	close_fd(&console[1]);
	close_fd(&control[1]);
	close_fd(&qmp[1]);
	if (ret)
		return ret;
	if (vm->dump && dump_bytes(vm) > CHANNEL_MAX)
		most = (struct rlimit){ dump_bytes(vm), dump_bytes(vm) };
	/* while we do not read, a guest that never stops talking must not eat the host's memory */
	prlimit(st->proc.pid, RLIMIT_FSIZE, &most, NULL);
	qmp_start(&st->qmp, qmp[0], st);
	if (vm->shell)
		console_start(&st->console, fcntl(console[0], F_DUPFD_CLOEXEC, 3));
	fcntl(st->proc.out_fd, F_SETFL, O_NONBLOCK);
	fcntl(st->proc.err_fd, F_SETFL, O_NONBLOCK);
	return LAB_OK;
}

static void end_it(struct vm_state *st, enum kill_reason why)
{
	if (st->kill == NOTHING)
		st->kill = why;
}

static void log_bytes(struct vm_state *st, const char *p, size_t n)
{
	keep_log(st, p, n);
	if (!lines_add(&st->log, p, n, log_line, st))
		lines_end(&st->log, log_line, st);
}

static void read_log(struct vm_state *st)
{
	off_t until = tap_size(&st->log_tap);
	char chunk[65536];
	ssize_t n;

	while ((n = tap_read(&st->log_tap, until, chunk, sizeof(chunk))) > 0)
		log_bytes(st, chunk, n);
	while (st->log_fd >= 0 && (n = read_some(&st->log_fd, chunk, sizeof(chunk))) > 0) {
		console_show(&st->console, chunk, n);
		log_bytes(st, chunk, n);
	}
}

static void read_results(struct vm_state *st, off_t until)
{
	char chunk[65536];
	ssize_t n;

	while ((n = tap_read(&st->results_tap, until, chunk, sizeof(chunk))) > 0) {
		st->heard = now_s();
		if (!lines_add(&st->results, chunk, n, results_line, st)) {
			end_it(st, KILL_FLOOD);
			buf_free(&st->results.b);
			st->results.scanned = 0;
			return;
		}
	}
}

static void read_control(struct vm_state *st)
{
	char chunk[4096];
	ssize_t n;

	while (st->control_fd >= 0 && (n = read_some(&st->control_fd, chunk, sizeof(chunk))) > 0) {
		if (!lines_add(&st->control, chunk, n, control_line, st))
			return;
	}
	if (st->control_fd >= 0 && st->to_control.n)
		flush_buf(st->control_fd, &st->to_control);
}

static void read_stderr(struct vm_state *st, int *fd)
{
	char chunk[4096];
	ssize_t n;

	while (*fd >= 0 && (n = read_some(fd, chunk, sizeof(chunk))) > 0)
		if (st->err.n + n <= STDERR_MAX)
			buf_add(&st->err, chunk, n);
}

static void want(struct pollfd *p, int fd, short events)
{
	/* poll() passes negative descriptors over */
	*p = (struct pollfd){ .fd = events ? fd : -1, .events = events };
}

static void vm_poll_fds(struct vm_state *st, struct pollfd *p)
{
	want(&p[FD_LOG], st->log_fd, st->vm->shell ? console_out_events(&st->console) : POLLIN);
	want(&p[FD_CONTROL], st->control_fd, POLLIN | (st->to_control.n ? POLLOUT : 0));
	want(&p[FD_QMP], st->qmp.fd, POLLIN | (st->qmp.out.n ? POLLOUT : 0));
	want(&p[FD_OUT], st->proc.out_fd, POLLIN);
	want(&p[FD_ERR], st->proc.err_fd, POLLIN);
	want(&p[FD_STDIN], STDIN_FILENO, st->vm->shell ? console_in_events(&st->console) : 0);
}

/* p: what poll() found; NULL: look at everything */
static void vm_read_all(struct vm_state *st, const struct pollfd *p)
{
	off_t results = tap_size(&st->results_tap);

	if (!p || p[FD_QMP].revents)
		qmp_service(&st->qmp, POLLIN);
	/* the kernel log is handed on first, up to (at least) where it was when a result was
	 * written */
	if (!p || !st->vm->shell || p[FD_LOG].revents)
		read_log(st);
	read_results(st, results);
	if (!p || p[FD_CONTROL].revents)
		read_control(st);
	if (!p || p[FD_OUT].revents)
		read_stderr(st, &st->proc.out_fd);
	if (!p || p[FD_ERR].revents)
		read_stderr(st, &st->proc.err_fd);
	if (st->vm->shell && p)
		console_service(&st->console, p[FD_STDIN].revents);
}

/* Boots take seconds; the whole deadline is for the jobs. */
static bool never_ready(const struct vm_state *st, double now)
{
	int limit = st->vm->kernel->memory_mb ? READY_DEBUG_S : READY_S;

	return !st->vm->shell && !st->vm->gdb_fd && !st->vm->ready_s && now > st->start + limit;
}

/* Nothing on the port, though the agent would say that it lives. A log that goes on is no life. */
static bool silent(const struct vm_state *st, double now)
{
	return st->vm->silence_s && st->vm->ready_s && now > st->heard + st->vm->silence_s;
}

/*
 * The memory of a guest that crashed.
 */

static bool dump_fits(const struct vm *vm)
{
	_cleanup_free_ char *dir = xstrndup(vm->dump, path_base(vm->dump) - vm->dump);
	int err = make_dirs(*dir ? dir : ".", 0755);
	struct statvfs fs;

	if (!err && statvfs(*dir ? dir : ".", &fs))
		err = -errno;
	if (err)
		lab_warn("the memory of %s cannot be saved: %s: %s", vm->label, dir,
			 strerror(-err));
	else if ((long long)fs.f_bavail * (long long)fs.f_frsize < dump_bytes(vm))
		lab_warn("the memory of %s is not saved: it takes %lld MiB, and in %s is less",
			 vm->label, dump_bytes(vm) >> 20, *dir ? dir : ".");
	else
		return true;
	return false;
}

static void dump_done(void *ctx, const char *text)
{
	struct vm_state *st = ctx;
	struct vm *vm = st->vm;

	/* not every architecture can tell where its pages are */
	if (*text && !st->dump_plain) {
		st->dump_plain = true;
		qmp_dump(&st->qmp, st->dump_part, false, dump_done);
		return;
	}
	st->dump = DUMP_DONE;
	if (!*text && !rename(st->dump_part, vm->dump))
		vm->dumped = true;
	else
		lab_warn("the memory of %s could not be saved: %s", vm->label,
			 *text ? text : strerror(errno));
}

/* True while a guest that has crashed must not be ended yet. */
static bool dump_runs(struct vm_state *st, double now)
{
	if (!st->vm->dump || st->dump == DUMP_DONE || st->qmp.fd < 0)
		return false;
	if (st->dump == DUMP_NOT) {
		st->dump = DUMP_DONE;
		if (!dump_fits(st->vm))
			return false;
		lab_stage("dump", "%s", st->vm->label);
		st->dump = DUMP_ASKED;
		st->dump_until = now + DUMP_S;
		st->dump_part = xasprintf("%s.part", st->vm->dump);
		qmp_dump(&st->qmp, st->dump_part, true, dump_done);
	}
	return st->dump == DUMP_ASKED && now < st->dump_until;
}

/* With -no-shutdown QEMU leaves its end to us. True while there is something to wait for. */
static bool dump_end(struct vm_state *st, double now)
{
	bool reset = st->panic && now > st->panic_at + PANIC_RESET_S;

	if (!st->vm->dump || st->kill != NOTHING || st->quit || (!st->qmp.reason && !reset))
		return false;
	if ((st->panic || !st->end_at) && dump_runs(st, now))
		return true;
	if (st->qmp.reason) {
		st->quit = true;
		qmp_quit(&st->qmp);
	}
	return false;
}

/* Ends it where its time is up or somebody wants it ended. True when it is time to kill. */
static bool vm_overdue(struct vm_state *st)
{
	double now = now_s();
	struct vm *vm = st->vm;

	if (vm->end == VM_STOPPED || st->console.leave ||
	    (vm->beside && (vm->beside->pid <= 0 || proc_ended(vm->beside))))
		end_it(st, KILL_STOPPED);
	if (dump_end(st, now))
		return false;
	if (st->panic_at && now > st->panic_at + PANIC_RESET_S)
		end_it(st, KILL_PANIC);
	if (st->end_at && now > st->end_at + POWER_OFF_S)
		end_it(st, KILL_CLEAN);
	if (st->kill != NOTHING && st->kill != KILL_HANG)
		return true;
	if (st->kill == NOTHING && !st->end_at && !st->panic_at &&
	    ((st->deadline && now > st->deadline) || never_ready(st, now) || silent(st, now))) {
		end_it(st, KILL_HANG);
		st->failure = silent(st, now) ? xasprintf("not a word for %d s", vm->silence_s) :
						xasprintf("no end after %.0f s", now - st->start);
		st->registers_until = now + REGISTERS_S;
		qmp_hmp(&st->qmp, registers_known, "info registers -a");
	}
	return st->kill == KILL_HANG &&
	       (st->registers_known || st->qmp.fd < 0 || now > st->registers_until) &&
	       !dump_runs(st, now);
}

static char *qemu_message(const struct vm_state *st)
{
	struct buf b = {};

	if (st->proc.status < 0)
		buf_printf(&b, "QEMU was killed by signal %d (%s)", -st->proc.status,
			   strsignal(-st->proc.status));
	else if (st->proc.status)
		buf_printf(&b, "QEMU ended with status %d", st->proc.status);
	else
		buf_puts(&b, "QEMU was ended from outside");
	if (st->err.n) {
		_cleanup_free_ char *text = xstrdup(st->err.s);

		buf_printf(&b, ": %s", str_trim(text));
	}
	return b.s;
}

static void classify(struct vm_state *st)
{
	const char *reason = st->qmp.reason ?: "no reason given";
	struct vm *vm = st->vm;

	if (st->kill == KILL_STOPPED) {
		vm->end = VM_STOPPED;
	} else if (st->panic) {
		vm->end = VM_PANIC;
		vm->why = xstrdup(st->panic);
	} else if (st->kill == KILL_HANG) {
		vm->end = VM_HANG;
		vm->why = xasprintf("%s; %s", st->failure, st->where ?: "QEMU does not say where");
	} else if (st->kill == KILL_CLEAN) {
		vm->end = VM_CLEAN;
		vm->why = xasprintf("it did not power off within %d s of its end", POWER_OFF_S);
	} else if (st->kill == KILL_FLOOD) {
		vm->end = VM_LOST;
		vm->why = xasprintf("a line of more than %d MiB on the results port",
				    LINE_MAX_BYTES >> 20);
	} else if (st->proc.status || str_starts(reason, "host-signal")) {
		vm->end = VM_QEMU_FAILED;
		vm->why = qemu_message(st);
	} else if (st->end_at || (vm->shell && !strcmp(reason, "guest-shutdown"))) {
		vm->end = VM_CLEAN;
	} else {
		vm->end = VM_LOST;
		vm->why =
			xasprintf("the guest %s before its END record (%s)",
				  !strcmp(reason, "guest-reset") ? "reset" : "powered off", reason);
	}
}

static void vm_state_free(struct vm_state *st)
{
	st->vm->state = NULL;
	console_end(&st->console);
	close_fd(&st->log_fd);
	close_fd(&st->log_tap.fd);
	close_fd(&st->results_tap.fd);
	close_fd(&st->control_fd);
	qmp_close(&st->qmp);
	proc_free(&st->proc);
	temp_dir_done(st->trace_dir);
	buf_free(&st->log.b);
	buf_free(&st->results.b);
	buf_free(&st->control.b);
	buf_free(&st->err);
	buf_free(&st->to_control);
	if (st->dump_part && !st->vm->dumped)
		unlink(st->dump_part);
	free(st->dump_part);
	free(st->panic);
	free(st->where);
	free(st->failure);
	free(st->trace_name);
	free(st->trace_path);
	free(st);
}

/* QEMU has ended, or is ended now: reads what it left in the channels, and says how it went. */
static void vm_finish(struct vm_state *st)
{
	struct vm *vm = st->vm;
	bool by_itself = st->kill == NOTHING;

	if (st->proc.pid > 0) {
		int out = st->proc.out_fd, err = st->proc.err_fd;

		/* proc_end() would close them unread */
		st->proc.out_fd = st->proc.err_fd = -1;
		proc_end(&st->proc);
		st->proc.out_fd = out;
		st->proc.err_fd = err;
	}
	vm_read_all(st, NULL);
	lines_end(&st->log, log_line, st);
	lines_end(&st->results, results_line, st);
	/* on_line() may want the end just when it came by itself */
	if (vm->end == VM_STOPPED && by_itself && !st->panic)
		st->kill = KILL_STOPPED;
	close_fd(&st->proc.out_fd);
	close_fd(&st->proc.err_fd);
	vm->seconds = now_s() - st->start;
	classify(st);
	if (st->err.n && vm->end != VM_QEMU_FAILED)
		lab_verbose("QEMU: %s", str_trim(st->err.s));
	vm_state_free(st);
}

/*
 * All guests.
 */

static enum lab_exit prepare(struct vm *vm)
{
	const struct arch *arch = vm->kernel->arch;
	struct strv argv = {};

	if (!proc_have(arch->qemu) && !lab_options.dry_run) {
		_cleanup_free_ char *hint = xasprintf("apt install %s", arch->qemu_package);

		return lab_fail(LAB_CANNOT, hint, "%s is not installed", arch->qemu);
	}
	vm->accel = xstrdup(choose_accel(vm));
	vm_args(&argv, vm, NULL);
	vm->command = shell_join(argv.v);
	strv_free(&argv);
	return lab_interrupted() ? LAB_INTERRUPTED : LAB_OK;
}

/* Serves the running guests once. */
static void serve(struct vm **running, size_t n)
{
	struct pollfd *fds = xcalloc(n * N_FDS + 1, sizeof(*fds));
	int wait_ms = TURN_MS;

	for (size_t i = 0; i < n; i++) {
		vm_poll_fds(running[i]->state, &fds[i * N_FDS]);
		/* its monitor is closed: QEMU is about to exit */
		if (running[i]->state->qmp.fd < 0)
			wait_ms = 2;
	}
	want(&fds[n * N_FDS], proc_signal_fd(), POLLIN);
	poll(fds, n * N_FDS + 1, wait_ms);
	for (size_t i = 0; i < n; i++)
		vm_read_all(running[i]->state, &fds[i * N_FDS]);
	free(fds);
}

size_t vm_at_once(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < 1 ? 1 : cpus > GUESTS_MOST ? GUESTS_MOST : cpus;
}

/*
 * QEMU's main loop sees a processor halted that has not told yet how many instructions it ran before it halted, and then
 * moves the clock by as many too far (icount_start_warp_timer() beside helper_hlt()). On one processor the two threads
 * do not run at the same time, and what is left of that is a switch between just these two lines.
 */
static void pin(struct vm *vm, struct vm *const *others, size_t n)
{
	int here = sched_getcpu();
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	for (size_t i = 0; i < n; i++)
		if (others[i]->state->pinned >= 0)
			CPU_CLR(others[i]->state->pinned, &set);
	for (int i = 0; i < CPU_SETSIZE; i++) {
		int cpu = (here + i) % CPU_SETSIZE;
		cpu_set_t one;

		if (here < 0 || !CPU_ISSET(cpu, &set))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (!sched_setaffinity(vm->state->proc.pid, sizeof(one), &one))
			vm->state->pinned = cpu;
		return;
	}
}

/**
 * vm_run() - runs guests to their ends
 * @vms:	the guests; their results are valid whatever is returned
 * @n:		how many
 * @at_once:	so many of them side by side; 0: vm_at_once()
 *
 * A callback ends its guest by setting vm->end to VM_STOPPED. A person who leaves a shell with
 * Ctrl-A x has stopped that guest too; both are LAB_OK.
 *
 * Return: LAB_OK, LAB_INTERRUPTED, or LAB_CANNOT with a message.
 */
enum lab_exit vm_run(struct vm *vms, size_t n, size_t at_once)
{
	struct vm **running = xcalloc(n, sizeof(*running));
	size_t n_running = 0, next = 0;
	enum lab_exit ret = LAB_OK;

	if (!at_once)
		at_once = vm_at_once();
	for (size_t i = 0; i < n; i++)
		vms[i].end = VM_STOPPED;
	for (size_t i = 0; i < n && !ret; i++) {
		ret = prepare(&vms[i]);
		if (!ret && lab_options.dry_run)
			puts(vms[i].command);
	}
	if (lab_options.dry_run)
		next = n;
	while (!ret && (next < n || n_running)) {
		while (!ret && next < n && n_running < at_once) {
			ret = vm_start(&vms[next]);
			if (!ret && vms[next].repeatable)
				pin(&vms[next], running, n_running);
			running[n_running++] = &vms[next++];
		}
		if (!ret)
			serve(running, n_running);
		if (lab_interrupted())
			ret = LAB_INTERRUPTED;
		for (size_t i = 0; i < n_running && !ret;) {
			struct vm_state *st = running[i]->state;

			/* in this order: what was said before the exit is read by vm_finish() */
			if (!proc_ended(&st->proc) && !vm_overdue(st)) {
				i++;
				continue;
			}
			vm_finish(st);
			if (running[i]->on_end)
				running[i]->on_end(running[i]);
			running[i] = running[--n_running];
		}
	}
	for (size_t i = 0; i < n_running; i++) {
		end_it(running[i]->state, KILL_STOPPED);
		vm_finish(running[i]->state);
	}
	for (; next < n; next++)
		vms[next].end = VM_STOPPED;
	free(running);
	return ret;
}

/**
 * vm_free() - frees what vm_run() put into a guest
 * @vm:	it can be run again then
 */
void vm_free(struct vm *vm)
{
	buf_free(&vm->log);
	free(vm->why);
	free(vm->accel);
	free(vm->command);
	vm->why = vm->accel = vm->command = NULL;
	vm->dumped = false;
	vm->ready_s = vm->seconds = 0;
	vm->cpus_up = 0;
}
