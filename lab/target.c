// SPDX-License-Identifier: GPL-2.0
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../guest/hosted.h"
#include "proc.h"

#define FACTS_S	   30
#define AGENT	   "cdevlab: agent: " /* before its words */
#define TIDY_S	   20		      /* for the other side, after it has heard that it is over */
#define BLOCK	   4096
#define BLOCK_TEXT "4096"

/* --- commands there --- */

static void add_script(const struct target *t, const char *script, struct strv *argv)
{
	if (t->local) {
		strv_add(argv, "sh");
		strv_add(argv, "-c");
	} else {
		ssh_words(&t->host, argv);
	}
	strv_add(argv, script);
}

static const char *shown(const struct target *t)
{
	return t->local ? "this machine" : t->host.name;
}

/* --- finding it --- */

static enum lab_exit parse(const char *spec, struct target *t)
{
	if (!strcmp(spec, "local"))
		t->local = true;
	else if (!ssh_parse(spec, strlen(spec), &t->host))
		return lab_fail(LAB_USAGE, "it is qemu, local, or ssh:[USER@]HOST[:PORT]",
				"--on cannot be \"%s\"", spec);
	return LAB_OK;
}

/* "6.1.0-56-amd64 x86_64 root" or "... sudo", "... none": how root rights are had there */
static enum lab_exit ask(const struct target *t, char **answer)
{
	static const char script[] =
		"echo $(uname -r) $(uname -m) $(if [ $(id -u) = 0 ]; then echo root; "
		"elif sudo -n true 2>/dev/null; then echo sudo; else echo none; fi)";
	struct strv argv = {};
	struct proc p = { .timeout_s = FACTS_S };
	enum lab_exit ret;

	add_script(t, script, &argv);
	p.argv = argv.v;
	ret = proc_run(&p);
	if (ret == LAB_TIMEOUT || (!ret && p.status)) {
		_cleanup_free_ char *why = str_last_line(p.err.s ?: "");

		ret = lab_fail(
			LAB_CANNOT,
			"does `ssh` reach it without asking for anything? a key in the agent, the host known",
			"%s cannot be reached: %s", shown(t), *why ? why : "it does not answer");
	} else if (!ret) {
		*answer = xstrdup(str_trim(p.out.s ?: ""));
	}
	proc_free(&p);
	strv_free(&argv);
	return ret;
}

static enum lab_exit read_facts(struct target *t, const char *answer)
{
	char release[128], machine[64], rights[16];

	if (sscanf(answer, "%127s %63s %15s", release, machine, rights) != 3)
		return lab_fail(LAB_CANNOT, "is there a Linux with sh, uname and id?",
				"%s does not say what it is: %.80s", shown(t), answer);
	t->release = xstrdup(release);
	t->arch = arch_of_machine(machine);
	if (!t->arch)
		return lab_fail(LAB_CANNOT, "x86_64, aarch64 and riscv64 are known",
				"%s is a %s, and nothing can be built for that", shown(t), machine);
	if (strcmp(rights, "none"))
		return LAB_OK;
	return lab_fail(LAB_CANNOT,
			t->local ? "run it as root, or let sudo work without a password" :
				   "log in as root, or let sudo work there without a password",
			"loading modules on %s needs root rights", shown(t));
}

/* A wrong module can take the machine down: nobody is to find out by a typing error. */
static enum lab_exit confirm(const struct target *t)
{
	char answer[16] = "";

	if (!t->local || lab_options.yes || lab_options.dry_run)
		return LAB_OK;
	if (!isatty(STDIN_FILENO))
		return lab_fail(LAB_CANNOT, "--yes says that it is meant",
				"--on local loads modules into the kernel of this machine");
	fprintf(stderr,
		"cdevlab: modules under test will be loaded into the running kernel of this machine (%s).\n"
		"One with a bug may crash it. Type yes to go on: ",
		t->release);
	if (fgets(answer, sizeof(answer), stdin) && !strcmp(answer, "yes\n"))
		return LAB_OK;
	return lab_fail(LAB_CANNOT, "without --on they run in a guest", "nothing was loaded");
}

static enum lab_exit open_target(const char *spec, struct target *t)
{
	_cleanup_free_ char *answer = NULL;
	enum lab_exit ret = parse(spec, t);

	if (!ret)
		ret = ask(t, &answer);
	if (!ret)
		ret = read_facts(t, answer);
	return ret ? ret : confirm(t);
}

static enum lab_exit find_kernel(const struct target *t, struct strv *kernels)
{
	_cleanup_free_ char *name = kernel_of_release(t->release, t->arch->name);

	if (!name && t->local)
		name = xstrdup("host");
	if (!name)
		return lab_fail(
			LAB_CANNOT,
			"-k names it: a tree that it was built from, dir:PATH, or a kernel of Debian's that it runs",
			"%s runs Linux %s, and none of the kernels here is that one", shown(t),
			t->release);
	strv_add(kernels, name);
	return LAB_OK;
}

static struct target current;
static bool in_use;

enum lab_exit target_use(const char *spec, struct strv *kernels)
{
	enum lab_exit ret;

	if (!strcmp(spec, "qemu"))
		return LAB_OK;
	ret = open_target(spec, &current);
	if (!ret && !kernels->n)
		ret = find_kernel(&current, kernels);
	in_use = !ret;
	return ret;
}

const struct target *target_current(void)
{
	return in_use ? &current : NULL;
}

const char *target_shown(void)
{
	return shown(&current);
}

/* --- running --- */

/* struct session - jobs that run there */
struct session {
	struct proc p;
	int in;		 /* to its standard input */
	struct buf send; /* what is on its way there */
	size_t sent;
	struct buf rest; /* of what came, without a newline yet */
	struct boot *b;
	struct vm *vm;
	bool gone; /* it has said that all is undone */
	char *left;
};

static void take_line(struct session *s, const char *line)
{
	struct vm *vm = s->vm;

	if (str_starts(line, "K ")) {
		buf_printf(&vm->log, "%s\n", line + 2);
		if (vm->on_log)
			vm->on_log(vm, line + 2);
	} else if (str_starts(line, "GONE")) {
		s->gone = true;
		s->left = line[4] ? xstrdup(line + 5) : NULL;
	} else if (str_starts(line, "READY")) {
		vm->ready_s = now_s() - vm->seconds;
	} else {
		vm->on_line(vm, line);
	}
}

static void take(struct session *s, const char *p, size_t n)
{
	char *start, *nl;

	buf_add(&s->rest, p, n);
	for (start = s->rest.s; (nl = strchr(start, '\n')); start = nl + 1) {
		*nl = '\0';
		take_line(s, start);
	}
	s->rest.n -= start - s->rest.s;
	memmove(s->rest.s, start, s->rest.n + 1);
}

/* The agent's blocks come first, then the root, which it reads itself. head(1) may read more than it passes on. */
static char *script_of(off_t blocks, off_t root)
{
	return xasprintf("d=$(mktemp -d \"${TMPDIR:-/tmp}/cdevlab-XXXXXX\") || exit 1\n"
			 "trap 'rm -rf \"$d\"' EXIT\n"
			 "trap 'exit 1' HUP INT TERM PIPE\n"
			 "cd \"$d\" || exit 1\n"
			 "dd of=agent bs=" BLOCK_TEXT
			 " count=%lld iflag=fullblock 2>/dev/null && chmod 700 agent || exit 1\n"
			 "[ $(id -u) = 0 ] || s='sudo -n'\n"
			 "$s ./agent hosted %lld\n",
			 (long long)blocks, (long long)root);
}

static enum lab_exit load(struct buf *to, const char *what, int fd)
{
	char chunk[65536];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		buf_add(to, chunk, n);
	return n ? lab_fail(LAB_CANNOT, NULL, "cannot read %s: %s", what, strerror(errno)) : LAB_OK;
}

static enum lab_exit begin(const struct target *t, struct session *s, int root_fd)
{
	_cleanup_close_ int agent = open(s->b->tools.agent, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *script = NULL;
	struct strv argv = {};
	int pipes[2] = { -1, -1 };
	struct stat st;
	off_t size;
	enum lab_exit ret;

	if (agent < 0 || fstat(agent, &st) || (size = lseek(root_fd, 0, SEEK_END)) < 0 ||
	    lseek(root_fd, 0, SEEK_SET) || pipe2(pipes, O_CLOEXEC))
		return lab_fail(LAB_CANNOT, NULL, "%s: %s", s->b->tools.agent, strerror(errno));
	script = script_of((st.st_size + BLOCK - 1) / BLOCK, size);
	add_script(t, script, &argv);
	s->p.argv = argv.v;
	s->p.in_fd = pipes[0];
	ret = load(&s->send, s->b->tools.agent, agent);
	while (!ret && s->send.n % BLOCK)
		buf_add(&s->send, "", 1);
	if (!ret)
		ret = load(&s->send, "the root", root_fd);
	if (!ret && lab_options.dry_run) {
		_cleanup_free_ char *line = shell_join(argv.v);

		puts(line);
	} else if (!ret) {
		ret = proc_start(&s->p);
	}
	close(pipes[0]);
	s->in = pipes[1];
	fcntl(s->in, F_SETFL, O_NONBLOCK);
	strv_free(&argv);
	return ret;
}

static void send_some(struct session *s)
{
	ssize_t n = write(s->in, s->send.s + s->sent, s->send.n - s->sent);

	if (n > 0)
		s->sent += n;
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		close_fd(&s->in);
}

/* Standard output and error of the other side. False: both are at their end. */
static bool receive(struct session *s, int wait_ms)
{
	struct pollfd fds[] = {
		{ .fd = s->p.out_fd, .events = POLLIN },
		{ .fd = s->p.err_fd, .events = POLLIN },
		{ .fd = s->sent < s->send.n ? s->in : -1, .events = POLLOUT },
		{ .fd = proc_signal_fd(), .events = POLLIN },
	};
	char chunk[65536];
	ssize_t n;

	poll(fds, ARRAY_SIZE(fds), wait_ms);
	if (fds[2].revents)
		send_some(s);
	for (int i = 0; i < 2; i++) {
		int *fd = i ? &s->p.err_fd : &s->p.out_fd;

		if (!fds[i].revents)
			continue;
		n = read(*fd, chunk, sizeof(chunk));
		if (n > 0 && !i)
			take(s, chunk, n);
		else if (n > 0)
			buf_add(&s->p.err, chunk, n);
		else if (!n || (errno != EINTR && errno != EAGAIN))
			close_fd(fd);
	}
	return s->p.out_fd >= 0 || s->p.err_fd >= 0;
}

/* It hears that it is over, and has a moment to undo what it did. */
static void finish(struct session *s)
{
	double end = now_s() + TIDY_S;

	close_fd(&s->in);
	while (now_s() < end && receive(s, 200))
		;
	proc_end(&s->p);
}

static enum vm_end end_of(struct session *s, bool hung)
{
	_cleanup_free_ char *words = str_last_line(s->p.err.s ?: "");
	const char *said;

	if (hung)
		return VM_HANG;
	if (s->b->end_seen && s->gone)
		return VM_CLEAN;
	said = str_starts(words, AGENT) ? words + strlen(AGENT) : words;
	s->vm->why = xstrdup(*said ? said : "the connection ended");
	/* one that never came up has no test to blame */
	return s->vm->ready_s ? VM_LOST : VM_QEMU_FAILED;
}

static enum lab_exit run_one(const struct target *t, struct boot *b)
{
	struct session s = { .b = b, .vm = &b->vm, .in = -1 };
	struct vm *vm = &b->vm;
	double beat = 0, start = now_s();
	bool hung = false, more = true;
	enum lab_exit ret = begin(t, &s, b->vm.initrd_fd);

	if (lab_options.dry_run) {
		close_fd(&s.in);
		buf_free(&s.send);
		return ret;
	}
	vm->seconds = start;
	vm->end = VM_CLEAN;
	while (!ret && more && !hung && !s.gone && vm->end != VM_STOPPED && !lab_interrupted()) {
		more = receive(&s, 200);
		if (s.in >= 0 && s.sent == s.send.n && now_s() - beat > HOSTED_BEAT_S) {
			beat = now_s();
			if (write(s.in, "\n", 1) < 0)
				more = false;
		}
		hung = vm->timeout_s && now_s() - start > vm->timeout_s;
	}
	if (!ret)
		finish(&s);
	if (lab_interrupted() || vm->end == VM_STOPPED)
		vm->end = VM_STOPPED;
	else if (!ret)
		vm->end = end_of(&s, hung);
	vm->seconds = now_s() - start;
	vm->accel = xstrdup(t->local ? "local" : "ssh");
	if (s.left)
		lab_warn("%s: %s", shown(t), s.left);
	else if (!ret && vm->ready_s && !s.gone)
		lab_warn("%s did not say that all was undone; it does that by itself after %d s",
			 shown(t), HOSTED_SILENCE_S);
	buf_free(&s.send);
	buf_free(&s.rest);
	free(s.left);
	proc_free(&s.p);
	return lab_interrupted() ? LAB_INTERRUPTED : ret;
}

/* Modules of another kernel are refused there, with a word that does not say why. */
static enum lab_exit check_kernel(const struct target *t, const struct kernel *k)
{
	if (k->arch == t->arch && !strcmp(k->release, t->release))
		return LAB_OK;
	return lab_fail(LAB_CANNOT, "leave -k out, or name the kernel that it runs",
			"%s runs Linux %s (%s), and %s is %s (%s)", shown(t), t->release,
			t->arch->name, k->name, k->release, k->arch->name);
}

enum lab_exit target_run(const struct target *t, struct boot **boots, size_t n)
{
	enum lab_exit ret = LAB_OK;

	for (size_t i = 0; i < n; i++)
		boots[i]->vm.end = VM_STOPPED;
	for (size_t i = 0; i < n && !ret; i++) {
		const struct vm *vm = &boots[i]->vm;

		ret = check_kernel(t, vm->kernel);
		if (!ret && (vm->exact || vm->code_log))
			ret = lab_fail(LAB_USAGE,
				       vm->exact ? "--clock wall, or leave --on out" :
						   "leave --on out",
				       "%s needs QEMU", vm->exact ? "the exact clock" : "coverage");
		if (!ret)
			ret = run_one(t, boots[i]);
		if (!ret && boots[i]->vm.on_end)
			boots[i]->vm.on_end(&boots[i]->vm);
	}
	return ret;
}
