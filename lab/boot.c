// SPDX-License-Identifier: GPL-2.0
#include "boot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../guest/protocol.h"
#include "elf.h"
#include "initramfs.h"
#include "klog.h"
#include "target.h"

#define LOAD_TIMEOUT_S 30
#define BEAT_S	       5
#define OUTPUT_MAX     (8 << 20) /* of one job; a kernel's symbols are 4 MB */

/* --- modules of the stock kernel that the guest needs before it can talk --- */

static enum lab_exit add_stock(struct boot *b, const char *name, int depth)
{
	_cleanup_free_ char *path = kernel_stock_module(b->vm.kernel, name);
	_cleanup_free_ char *to = xasprintf("/lab/stock/%s.ko", name);
	struct strv names = {};
	enum lab_exit ret = LAB_OK;

	if (strv_has(&b->modules, to))
		return LAB_OK;
	if (!path)
		return lab_fail(LAB_CANNOT, "fetch it again: cdevlab kernel fetch --update",
				"the kernel %s has no module %s", b->vm.kernel->name, name);
	elf_depends(path, &names);
	for (size_t i = 0; i < names.n && !ret && depth < 16; i++)
		ret = add_stock(b, names.v[i], depth + 1);
	if (!ret) {
		initramfs_file(b->fs, to, 0644, path);
		strv_add(&b->modules, to);
		buf_printf(&b->plan, "module %s\n", to);
	}
	strv_free(&names);
	return ret;
}

/* --- what the guest answers --- */

/* What a program says is its verdict, some lines; one that cannot stop must not take our memory. */
static void keep_output(struct buf *to, const char *line)
{
	if (to->n > OUTPUT_MAX)
		return;
	buf_puts(to, line);
	buf_puts(to, "\n");
	if (to->n > OUTPUT_MAX)
		buf_puts(to, "# too much: the rest of its output was not kept\n");
}

static struct job *next_job(const struct boot *b, const char *name)
{
	for (size_t i = 0; i < b->n; i++)
		if (!b->jobs[i].begun && !strcmp(b->jobs[i].name, name))
			return &b->jobs[i];
	return NULL;
}

static void on_line(struct vm *vm, const char *line)
{
	struct boot *b = vm->ctx;
	struct strv words = {};

	if (!*line && b->on_beat)
		b->on_beat(b);
	if (str_starts(line, "| ") || str_starts(line, "! ")) {
		if (b->running)
			keep_output(line[0] == '|' ? &b->running->out : &b->running->err, line + 2);
		if (b->running && line[0] == '|' && b->on_output)
			b->on_output(b, vm, b->running, line + 2);
		return;
	}
	strv_split(&words, line, " ");
	if (words.n >= 2 && !strcmp(words.v[0], "JOB")) {
		b->running = next_job(b, words.v[1]);
		if (b->running) {
			b->running->begun = true;
			if (!b->on_job)
				lab_stage("test", "%s: %s", vm->label, words.v[1]);
		}
	} else if (words.n >= 4 && !strcmp(words.v[0], "EXIT") && b->running) {
		const char *why = strstr(line, words.v[3]) + strlen(words.v[3]);
		struct job *j = b->running;

		j->ended = true;
		j->status = xstrdup(words.v[2]);
		j->ms = atof(words.v[3]);
		if (*why)
			j->why = xstrdup(why + 1);
		b->running = NULL;
		if (b->on_job)
			b->on_job(b, vm, j);
	} else if (words.n && !strcmp(words.v[0], "END")) {
		b->end_seen = true;
	}
	strv_free(&words);
}

static void on_log(struct vm *vm, const char *line)
{
	if (lab_options.verbose > 1)
		lab_verbose("%s | %s", vm->label, line);
}

enum lab_exit boot_init(struct boot *b, const struct kernel *k)
{
	enum lab_exit ret;

	*b = (struct boot){ .vm = { .kernel = k, .initrd_fd = -1 } };
	b->vm.timeout_s = lab_options.timeout_s;
	b->vm.on_line = on_line;
	b->vm.on_log = on_log;
	ret = build_guest_tools(k->arch, &b->tools);
	if (ret)
		return ret;
	b->fs = initramfs_new();
	initramfs_file(b->fs, "/init", 0755, b->tools.agent);
	initramfs_node(b->fs, "/dev/console", 0600, 5, 1);
	initramfs_symlink(b->fs, BIN_DIR "/insmod", "/init");
	initramfs_symlink(b->fs, BIN_DIR "/rmmod", "/init");
	initramfs_symlink(b->fs, BIN_DIR "/sections", "/init");
	initramfs_symlink(b->fs, BIN_DIR "/symbols", "/init");
	initramfs_symlink(b->fs, BIN_DIR "/leaks", "/init");
	if (target_current())
		return LAB_OK;
	if (kernel_config(k, "VIRTIO_PCI") == 'm')
		ret = add_stock(b, "virtio_pci", 0);
	if (!ret && kernel_config(k, "VIRTIO_CONSOLE") == 'm')
		ret = add_stock(b, "virtio_console", 0);
	return ret;
}

enum lab_exit boot_add_stock(struct boot *b, const char *name)
{
	return add_stock(b, name, 0);
}

bool boot_has_module(const struct boot *b, const char *name)
{
	return strv_has(&b->modules, name);
}

void boot_add_file(struct boot *b, const char *guest_path, const char *host_path)
{
	initramfs_file(b->fs, guest_path, 0755, host_path);
}

void boot_add_data(struct boot *b, const char *guest_path, const void *data, size_t n)
{
	initramfs_data(b->fs, guest_path, 0644, data, n);
}

static const struct module *module_of(const struct built *built, const char *name)
{
	for (size_t i = 0; i < built->n; i++)
		if (!strcmp(built->modules[i].name, name))
			return &built->modules[i];
	return NULL;
}

/* What driver.ini says of a module, for the conformance suite. */
static void add_conf(struct boot *b, const struct driver *d, const struct module *m)
{
	_cleanup_free_ char *path = xasprintf(CONFORM_DIR "/%s.conf", m->name);
	struct buf conf = {};

	buf_puts(&conf, "");
	if (d->node) {
		_cleanup_free_ char *node = str_replace(d->node, "%m", m->name);

		buf_printf(&conf, "node=%s\n", node);
	}
	if (d->mode)
		buf_printf(&conf, "mode=%s\n", d->mode);
	if (d->event)
		buf_printf(&conf, "event=%s\n", d->event);
	if (d->events)
		buf_printf(&conf, "events=%s\n", d->events);
	if (d->merge)
		buf_printf(&conf, "merge=%s\n", d->merge);
	if (d->params)
		buf_printf(&conf, "param=%s\n", d->params);
	for (size_t i = 0; i < d->args.n; i++)
		buf_printf(&conf, "arg.%s\n", d->args.v[i]);
	for (size_t i = 0; i < d->absents.n; i++) {
		const size_t n = strlen(m->name);

		if (str_starts(d->absents.v[i], m->name) && d->absents.v[i][n] == '=')
			buf_printf(&conf, "absent%s\n", d->absents.v[i] + n);
	}
	if (conf.n)
		initramfs_data(b->fs, path, 0644, conf.s, conf.n);
	buf_free(&conf);
}

static void add_programs(struct boot *b, const struct built *built)
{
	const struct strv *const lists[] = { &built->tests, &built->benches, &built->clients };

	if (strv_has(&b->built, built->dir))
		return;
	strv_add(&b->built, built->dir);
	boot_add_suite(b, built, "conform");
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
		for (size_t i = 0; i < lists[l]->n; i++) {
			_cleanup_free_ char *to = xasprintf(BIN_DIR "/%s", lists[l]->v[i]);
			_cleanup_free_ char *from =
				xasprintf("%s/bin/%s", built->dir, lists[l]->v[i]);

			initramfs_file(b->fs, to, 0755, from);
		}
	}
}

/* What it depends on beside the room. What the kernel does not have, loading will miss, and say so. */
static void add_stock_needs(struct boot *b, const struct module *m)
{
	struct strv names = {};

	elf_depends(m->ko, &names);
	for (size_t i = 0; i < names.n; i++) {
		_cleanup_free_ char *path = kernel_stock_module(b->vm.kernel, names.v[i]);

		if (path && !strv_has(&m->needs, names.v[i]))
			add_stock(b, names.v[i], 0);
	}
	strv_free(&names);
}

void boot_add_module(struct boot *b, const struct built *built, const struct module *m)
{
	_cleanup_free_ char *to = xasprintf(MODULES_DIR "/%s.ko", m->name);

	if (strv_has(&b->modules, m->name))
		return;
	strv_add(&b->modules, m->name);
	for (size_t i = 0; i < m->needs.n; i++) {
		const struct module *need = module_of(built, m->needs.v[i]);

		if (need)
			boot_add_module(b, built, need);
	}
	add_stock_needs(b, m);
	initramfs_file(b->fs, to, 0644, m->ko);
	add_conf(b, built->driver, m);
	add_programs(b, built);
}

void boot_add_suite(struct boot *b, const struct built *built, const char *name)
{
	_cleanup_free_ char *to = xasprintf(BIN_DIR "/%s-%s", name, built->driver->name);
	_cleanup_free_ char *from = xasprintf("%s/bin/%s", built->dir, name);

	if (strv_has(&b->built, to))
		return;
	strv_add(&b->built, to);
	initramfs_file(b->fs, to, 0755, from);
}

struct job *boot_add_job(struct boot *b, const char *module, const char *name, int timeout_s)
{
	struct job *j;

	b->jobs = xrealloc(b->jobs, b->n + 1, sizeof(*b->jobs));
	j = &b->jobs[b->n++];
	*j = (struct job){ .timeout_s = timeout_s };
	j->name = xasprintf("%s/%s", module, name);
	j->module = xstrdup(module);
	strv_addf(&j->env, ENV_MODULE "=%s", module);
	strv_addf(&j->env, ENV_TEST "=%s", j->name);
	return j;
}

void boot_load_early(struct boot *b, const struct module *m)
{
	for (size_t i = 0; i < m->needs.n; i++)
		buf_printf(&b->plan, "module " MODULES_DIR "/%s.ko\n", m->needs.v[i]);
	buf_printf(&b->plan, "module " MODULES_DIR "/%s.ko\n", m->name);
}

void boot_add_load(struct boot *b, const struct built *built, const struct module *m)
{
	struct job *j;

	for (size_t i = 0; i < m->needs.n; i++) {
		_cleanup_free_ char *name = xasprintf("load %s", m->needs.v[i]);

		for (char *c = name; *c; c++)
			*c = *c == ' ' ? '-' : *c;
		j = boot_add_job(b, m->name, name, LOAD_TIMEOUT_S);
		strv_add(&j->argv, "insmod");
		strv_addf(&j->argv, MODULES_DIR "/%s.ko", m->needs.v[i]);
	}
	j = boot_add_job(b, m->name, "load", LOAD_TIMEOUT_S);
	strv_add(&j->argv, "insmod");
	strv_addf(&j->argv, MODULES_DIR "/%s.ko", m->name);
	if (built->driver->params)
		strv_split(&j->argv, built->driver->params, " ");
}

void boot_add_unload(struct boot *b, const struct module *m)
{
	struct job *j = boot_add_job(b, m->name, "unload", LOAD_TIMEOUT_S);

	strv_add(&j->argv, "rmmod");
	strv_add(&j->argv, m->name);
	for (size_t i = m->needs.n; i-- > 0;)
		strv_add(&j->argv, m->needs.v[i]);
}

struct job *boot_find_job(const struct boot *b, const char *module, const char *name)
{
	_cleanup_free_ char *full = xasprintf("%s/%s", module, name);

	for (size_t i = 0; i < b->n; i++)
		if (!strcmp(b->jobs[i].name, full))
			return &b->jobs[i];
	return NULL;
}

char *job_last_words(const struct job *j)
{
	char *last = str_last_line(j->err.s && *j->err.s ? j->err.s : j->out.s ?: "");

	if (*last)
		return last;
	free(last);
	return xstrdup("it said nothing");
}

static void put_word(struct buf *b, const char *s)
{
	buf_puts(b, " ");
	for (; *s; s++) {
		if ((unsigned char)*s <= 0x20 || (unsigned char)*s > 0x7e || *s == '%')
			buf_printf(b, "%%%02X", (unsigned char)*s);
		else
			buf_add(b, s, 1);
	}
}

static enum lab_exit write_initramfs(struct boot *b)
{
	size_t size;

	if (b->vm.silence_s)
		buf_printf(&b->plan, "beat %d\n", b->beat_s ?: BEAT_S);
	for (size_t i = 0; i < b->n; i++) {
		const struct job *j = &b->jobs[i];

		buf_puts(&b->plan, "job");
		put_word(&b->plan, j->name);
		buf_printf(&b->plan, " %d", j->timeout_s);
		for (size_t k = 0; k < j->env.n; k++)
			put_word(&b->plan, j->env.v[k]);
		buf_puts(&b->plan, " --");
		for (size_t k = 0; k < j->argv.n; k++)
			put_word(&b->plan, j->argv.v[k]);
		buf_puts(&b->plan, "\n");
	}
	if (b->vm.shell)
		buf_puts(&b->plan, "shell\n");
	buf_puts(&b->plan, "");
	initramfs_data(b->fs, PLAN_PATH, 0644, b->plan.s, b->plan.n);
	return initramfs_finish(b->fs, &b->vm.initrd_fd, &size);
}

/* What happens after READY is the driver's doing. */
static void note_boot(const struct vm *vm)
{
	_cleanup_free_ char *qemu = NULL;

	if (vm->end != VM_CLEAN && (vm->ready_s || vm->end == VM_STOPPED))
		return;
	qemu = vm_qemu_version(vm->kernel->arch);
	kernel_note_boot(vm->kernel, vm_end_name(vm->end), vm->accel, qemu);
}

/* It is memory, some megabytes of it; descriptor 0 is that of one that was never begun. */
static void initrd_close(struct vm *vm)
{
	if (vm->initrd_fd > 0)
		close(vm->initrd_fd);
	vm->initrd_fd = -1;
}

/* Of many guests, somebody wants to know how far it is. */
static size_t n_ended, n_all;

static void on_end(struct vm *vm)
{
	struct boot *b = vm->ctx;

	initrd_close(vm);
	b->vm = *vm;
	if (b->on_end)
		b->on_end(b);
	n_ended++;
	if (n_all > 1 && vm->end != VM_STOPPED)
		lab_progress("test", "%zu of %zu: %s  %s%.0f s", n_ended, n_all, vm->label,
			     vm->end == VM_HANG	 ? "hung, " :
			     vm->end == VM_CLEAN ? "" :
						   "crashed, ",
			     vm->seconds);
}

static enum lab_exit run_guests(struct boot **boots, size_t n, size_t at_once)
{
	struct vm *vms = xcalloc(n, sizeof(*vms));
	enum lab_exit ret;

	for (size_t i = 0; i < n; i++)
		vms[i] = boots[i]->vm;
	ret = vm_run(vms, n, at_once);
	for (size_t i = 0; i < n; i++)
		boots[i]->vm = vms[i];
	for (size_t i = 0; i < n && !lab_options.dry_run; i++)
		note_boot(&vms[i]);
	free(vms);
	return ret;
}

enum lab_exit boot_run(struct boot **boots, size_t n, size_t at_once)
{
	const struct target *target = target_current();
	enum lab_exit ret = LAB_OK;

	for (size_t i = 0; i < n && !ret; i++) {
		ret = write_initramfs(boots[i]);
		boots[i]->fs = NULL;
		boots[i]->vm.ctx = boots[i];
		boots[i]->vm.on_end = on_end;
	}
	n_ended = 0;
	n_all = n;
	if (!ret)
		ret = target ? target_run(target, boots, n) : run_guests(boots, n, at_once);
	return ret;
}

char *boot_why_again(const struct boot *b)
{
	const struct vm *vm = &b->vm;
	char *why = NULL;
	struct klog log;

	if ((vm->end == VM_HANG || vm->end == VM_PANIC) && !vm->ready_s)
		return xasprintf("did not come up (%s)", vm->why ?: "no reason known");
	/* what a machine's own kernel says of it is a finding, and so is that of one whose time is its instructions */
	if (target_current() || vm->exact)
		return NULL;
	if (vm->cpus_up && vm->cpus_up < vm_cpus(vm))
		return xasprintf("came up with %d of %d processors", vm->cpus_up, vm_cpus(vm));
	klog_scan(vm->log.s ?: "", KLOG_TAINT_MODULE, &log);
	for (size_t i = 0; i < log.n && !why; i++)
		if (klog_is_slowness(&log.findings[i]))
			why = xasprintf("was not let run by this machine (%s)",
					log.findings[i].headline);
	klog_free(&log);
	return why;
}

void boot_free(struct boot *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct job *j = &b->jobs[i];

		free(j->name);
		free(j->module);
		free(j->status);
		free(j->why);
		strv_free(&j->env);
		strv_free(&j->argv);
		buf_free(&j->out);
		buf_free(&j->err);
	}
	free(b->jobs);
	strv_free(&b->modules);
	strv_free(&b->built);
	buf_free(&b->plan);
	guest_tools_free(&b->tools);
	initrd_close(&b->vm);
	vm_free(&b->vm);
	*b = (struct boot){};
}
