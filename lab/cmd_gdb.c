// SPDX-License-Identifier: GPL-2.0
/* cdevlab gdb: a guest under gdb. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "boot.h"
#include "cmd.h"
#include "debug.h"
#include "test.h"

static const char help[] =
	"usage: cdevlab gdb [OPTION]... DRIVER|DIR\n"
	"Boots a guest under gdb and stops where the driver's module was loaded and its init function not called yet.\n"
	"Its functions and source lines are known, and the kernel's functions. `continue` lets the guest go on: it runs\n"
	"the driver's own tests, or the conformance suite where there are none, unloads the module and powers off.\n\n"
	"      --only MODULE[/JOB[/CASE]]  another module than the first, one of its programs, one case\n"
	"  -x, --command FILE              gdb executes it then; may be repeated\n"
	"      --batch                     ends after that, and needs no terminal\n";

#define DO_INIT_MODULE "do_init_module"

/* struct session - what a session consists of */
struct session {
	struct boot boot;
	struct proc gdb;
	const char *program;
	char *dir;    /* temporary */
	char *script; /* our part of gdb's commands */
	char *socket; /* where QEMU waits for gdb */
	struct strv argv;
};

static enum lab_exit find_gdb(const struct arch *arch, const char **program)
{
	static const char multi[] = "gdb-multiarch";
	bool own = arch_is_host(arch);

	*program = own && proc_have("gdb") ? "gdb" : multi;
	if (proc_have(*program))
		return LAB_OK;
	return lab_fail(LAB_CANNOT, own ? "apt install gdb" : "apt install gdb-multiarch",
			"there is no gdb for %s guests", arch->name);
}

/* The module that --only names, else that of the room's name, else the first. */
static const struct module *choose_module(const struct built *b, const char *only)
{
	_cleanup_free_ char *name =
		only ? xstrndup(only, strcspn(only, "/")) : xstrdup(b->driver->name);

	for (size_t i = 0; i < b->n; i++)
		if (!strcmp(b->modules[i].name, name))
			return &b->modules[i];
	return only ? NULL : b->modules;
}

/* A guest that only says its kernel's names; once a kernel. */
static enum lab_exit ask_symbols(const struct kernel *k)
{
	struct boot b = {}, *boots[] = { &b };
	enum lab_exit ret;
	struct job *j;

	if (debug_symbols_known(k))
		return LAB_OK;
	ret = boot_init(&b, k);
	if (!ret) {
		b.vm.label = k->name;
		b.vm.fixed = true;
		j = boot_add_job(&b, "kernel", "symbols", 60);
		strv_add(&j->argv, "symbols");
		lab_stage("boot", "%s, for the names of its functions", k->name);
		ret = boot_run(boots, 1, 1);
		lab_stage_done(NULL);
		if (!ret && b.jobs[0].ended)
			debug_symbols_keep(k, b.jobs[0].out.s, b.jobs[0].out.n);
	}
	boot_free(&b);
	return ret;
}

static enum lab_exit listen_at(struct session *s)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd;

	s->socket = xasprintf("%s/gdb", s->dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strncpy(at.sun_path, s->socket, sizeof(at.sun_path) - 1);
	if (fd < 0 || strlen(s->socket) >= sizeof(at.sun_path) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 1))
		return lab_fail(LAB_CANNOT, "set TMPDIR to another directory",
				"cannot listen on %s: %s", s->socket, strerror(errno));
	s->boot.vm.gdb_fd = fd;
	return LAB_OK;
}

static const struct module *module_named(const struct built *b, const char *name)
{
	for (size_t i = 0; i < b->n; i++)
		if (!strcmp(b->modules[i].name, name))
			return &b->modules[i];
	return NULL;
}

/* gdb's commands up to the prompt. */
static enum lab_exit write_script(struct session *s, const struct kernel *k,
				  const struct built *built, const struct module *m)
{
	unsigned long address = 0;
	_cleanup_free_ char *symbols = debug_symbols_file(k, DO_INIT_MODULE, &address);
	struct buf text = {};
	int err = 0;

	if (!symbols || !address)
		return lab_fail(LAB_CANNOT, "fetch it again: cdevlab kernel fetch --update",
				"the kernel %s does not say where its functions are", k->name);
	s->script = xasprintf("%s/start.gdb", s->dir);
	buf_printf(
		&text,
		"set pagination off\nset confirm off\nset filename-display basename\nset breakpoint pending on\nfile %s\n"
		"target remote %s\n",
		symbols, s->socket);
	for (size_t i = 0; i < m->needs.n && !err; i++) {
		const struct module *need = module_named(built, m->needs.v[i]);

		if (need)
			err = debug_script_load(&text, built->driver, need, k->arch, address);
	}
	if (!err)
		err = debug_script_load(&text, built->driver, m, k->arch, address);
	if (err)
		lab_fail(LAB_CANNOT, NULL,
			 "%s has no debug information that tells where it will lie: %s",
			 m->debug_ko, strerror(-err));
	if (!err && (err = file_write(s->script, text.s, text.n)))
		lab_fail(LAB_CANNOT, NULL, "cannot write %s: %s", s->script, strerror(-err));
	buf_free(&text);
	return err ? LAB_CANNOT : LAB_OK;
}

static void add_jobs(struct boot *b, const struct built *built, const struct module *m,
		     const char *only)
{
	const char *job = only ? strchr(only, '/') : NULL;
	const char *filter = job ? strchr(job + 1, '/') : NULL;
	struct strv modules = {}, programs = {};
	_cleanup_free_ char *conform = xasprintf("conform-%s", built->driver->name);
	_cleanup_free_ char *want = job ? xstrndup(job + 1, strcspn(job + 1, "/")) : NULL;

	for (size_t i = 0; i < built->n; i++)
		strv_add(&modules, built->modules[i].name);
	for (size_t i = 0; i < built->tests.n; i++)
		if (driver_program_fits(built->tests.v[i] + strlen("test_"), m->name, &modules) &&
		    (!want || !strcmp(want, built->tests.v[i])))
			strv_add(&programs, built->tests.v[i]);
	if (!programs.n)
		strv_add(&programs, conform);
	boot_add_module(b, built, m);
	boot_add_load(b, built, m);
	for (size_t i = 0; i < programs.n; i++) {
		struct job *j = boot_add_job(b, m->name, programs.v[i], 0);

		strv_add(&j->argv, programs.v[i]);
		if (filter) {
			strv_add(&j->argv, "--filter");
			strv_add(&j->argv, filter + 1);
		}
	}
	boot_add_unload(b, m);
	strv_free(&modules);
	strv_free(&programs);
}

static void gdb_arguments(struct session *s, const struct args *a)
{
	strv_add(&s->argv, s->program);
	strv_add(&s->argv, "-q");
	if (a->batch) {
		strv_add(&s->argv, "-nx");
		strv_add(&s->argv, "--batch");
	}
	strv_add(&s->argv, "-x");
	strv_add(&s->argv, s->script);
	for (size_t i = 0; i < a->scripts.n; i++) {
		strv_add(&s->argv, "-x");
		strv_add(&s->argv, a->scripts.v[i]);
	}
}

/* Ctrl-C and what is typed are for gdb. */
static void give_terminal(pid_t group)
{
	sigset_t out, old;

	if (!isatty(STDIN_FILENO))
		return;
	sigemptyset(&out);
	sigaddset(&out, SIGTTOU);
	sigprocmask(SIG_BLOCK, &out, &old);
	tcsetpgrp(STDIN_FILENO, group);
	sigprocmask(SIG_SETMASK, &old, NULL);
	/* it may have wanted to read before */
	if (group != getpgrp())
		kill(-group, SIGCONT);
}

static enum lab_exit run_session(struct session *s, bool batch)
{
	struct boot *boots[] = { &s->boot };
	enum lab_exit ret;

	s->gdb = (struct proc){ .argv = s->argv.v, .pass = true, .in_fd = batch ? 0 : -1 };
	ret = proc_start(&s->gdb);
	if (ret)
		return ret;
	if (!batch)
		give_terminal(s->gdb.pid);
	s->boot.vm.beside = &s->gdb;
	ret = boot_run(boots, 1, 1);
	/* the guest has ended first: gdb says so, and the person looks at what there is still */
	while (!lab_interrupted() && s->gdb.pid > 0 && !proc_ended(&s->gdb))
		usleep(20000);
	if (!batch)
		give_terminal(getpgrp());
	if (s->gdb.pid > 0)
		proc_end(&s->gdb);
	if (!ret && s->boot.vm.end == VM_QEMU_FAILED && s->boot.vm.seconds < 2)
		ret = lab_fail(LAB_CANNOT, NULL, "QEMU ended on its own: %s",
			       s->boot.vm.why ?: "no message");
	if (!ret && s->gdb.status)
		ret = batch ? LAB_FAILED : LAB_OK;
	proc_free(&s->gdb);
	return ret;
}

static enum lab_exit prepare(struct session *s, const struct test_run *t, const struct args *a)
{
	const struct built *built = &t->built[0];
	const struct module *m = choose_module(built, a->only);
	enum lab_exit ret;

	if (!m)
		return lab_fail(LAB_USAGE, "it is MODULE, MODULE/JOB or MODULE/JOB/CASE",
				"--only %s fits no module", a->only);
	ret = find_gdb(t->k[0].arch, &s->program);
	if (!ret)
		ret = ask_symbols(&t->k[0]);
	if (!ret)
		ret = boot_init(&s->boot, &t->k[0]);
	if (ret)
		return ret;
	s->dir = temp_dir(NULL);
	if (!s->dir)
		return LAB_CANNOT;
	s->boot.vm.label = t->d[0].name;
	add_jobs(&s->boot, built, m, a->only);
	ret = listen_at(s);
	if (!ret)
		ret = write_script(s, &t->k[0], built, m);
	if (!ret)
		gdb_arguments(s, a);
	return ret;
}

int cmd_gdb(int argc, char **argv)
{
	struct test_run t = {};
	struct session s = {};
	enum lab_exit ret;
	struct args a;
	int r = args_parse(argc, argv, ARG_RUST | ARG_ONLY | ARG_GDB, help, &a);

	if (r)
		return r < 0 ? LAB_OK : r;
	if (a.rest.n != 1 || a.kernels.n > 1) {
		args_free(&a);
		return lab_fail(LAB_USAGE, "see --help",
				"gdb takes one driver or directory, and one kernel");
	}
	if (!a.batch && !isatty(STDIN_FILENO) && !lab_options.dry_run) {
		args_free(&a);
		return lab_fail(LAB_USAGE, "without one: --batch -x FILE",
				"gdb needs a terminal, and standard input is none");
	}
	t.drivers = a.rest;
	t.kernels = a.kernels;
	a.rest = a.kernels = (struct strv){};
	ret = test_prepare_one(&t);
	if (!ret)
		ret = prepare(&s, &t, &a);
	if (!ret)
		ret = run_session(&s, a.batch);
	if (s.boot.vm.gdb_fd)
		close(s.boot.vm.gdb_fd);
	boot_free(&s.boot);
	temp_dir_done(s.dir);
	strv_free(&s.argv);
	free(s.script);
	free(s.socket);
	test_run_free(&t);
	args_free(&a);
	return ret;
}
