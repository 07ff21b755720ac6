// SPDX-License-Identifier: GPL-2.0
/* QEMU's command line. */
#include <string.h>

#include "../guest/protocol.h"
#include "vm_private.h"

/**
 * vm_qemu_version() - what an architecture's QEMU says of itself
 * @arch:	whose
 * Return: the first line of --version, a new string; NULL when it is not installed or does not run.
 */
char *vm_qemu_version(const struct arch *arch)
{
	char *argv[] = { arch->qemu, "--version", NULL };
	char *out = proc_have(arch->qemu) ? proc_output(argv) : NULL;

	if (out)
		out[strcspn(out, "\n")] = '\0';
	return out;
}

void vm_machine_args(struct strv *argv, const struct arch *arch, const char *accel, bool exact,
		     int cpus, int memory_mb)
{
	strv_add(argv, arch->qemu);
	strv_add(argv, "-M");
	strv_add(argv, arch->qemu_machine);
	strv_add(argv, "-cpu");
	if (!strcmp(accel, "kvm"))
		strv_add(argv, "host");
	else
		strv_add(argv, exact && arch->cpu_exact && *arch->cpu_exact ? arch->cpu_exact :
									      arch->cpu);
	strv_add(argv, "-accel");
	strv_add(argv, accel);
	if (exact) {
		/* one tick for each instruction, and idle time passes at once */
		strv_add(argv, "-icount");
		strv_add(argv, "shift=0,sleep=off");
		strv_add(argv, "-rtc");
		strv_add(argv, "base=2026-01-01T00:00:00,clock=vm");
	}
	strv_add(argv, "-smp");
	/* The table that a PC without ACPI has names one processor of each socket. */
	strv_addf(argv, "%d,sockets=%d", cpus, cpus);
	strv_add(argv, "-m");
	strv_addf(argv, "%d", memory_mb);
	strv_split(argv, "-nodefaults -no-user-config -display none -no-reboot", " ");
}

int vm_memory_mb(const struct vm *vm)
{
	return vm->memory_mb ?: vm->kernel->memory_mb ?: 256;
}

int vm_cpus(const struct vm *vm)
{
	return vm->exact ? 1 : vm->cpus ?: 2;
}

static void add_words(struct buf *b, const char *words)
{
	if (!words || !*words)
		return;
	if (b->n)
		buf_puts(b, " ");
	buf_puts(b, words);
}

static char *kernel_command_line(const struct vm *vm)
{
	const struct arch *arch = vm->kernel->arch;
	struct buf b = {};

	buf_printf(&b, "console=%s", arch->console);
	/*
	 * panic=-1 resets at once, and -no-reboot makes that QEMU's exit. The self-tests and the
	 * jitter entropy source cost seconds under emulation; expedited grace periods make
	 * unloading fast.
	 */
	add_words(&b,
		  "quiet panic=-1 oops=panic cryptomgr.notests initcall_blacklist=jent_mod_init");
	add_words(&b, "printk.devkmsg=on rcupdate.rcu_expedited=1 init_on_alloc=0");
	add_words(&b, arch->append);
	/* where addresses of one boot are to hold for another, or for a list of names */
	if (vm->exact || vm->fixed || vm->code_log || vm->dump || vm->gdb_fd)
		add_words(&b, "nokaslr");
	if (vm->exact) {
		add_words(&b, "randomize_kstack_offset=off");
		add_words(&b, arch->append_exact);
	}
	/* two of its seconds are two billion instructions on any machine: what lets nobody else run for so long is stuck */
	if (vm->repeatable)
		add_words(&b, "preempt=full softlockup_panic=1 watchdog_thresh=1");
	add_words(&b, vm->append);
	return b.s;
}

static void add_port(struct strv *argv, const char *id, const char *name, const char *chardev)
{
	strv_add(argv, "-chardev");
	strv_add(argv, chardev);
	strv_add(argv, "-device");
	strv_addf(argv, "virtserialport,chardev=%s,name=%s", id, name);
}

/*
 * QEMU's arguments. Without ends, as a person would type them: INITRD stands for the archive, which
 * is only in memory; the kernel log appears on the terminal, results are written to the file
 * RESULTS, and the exact clock's control port is a socket of the name CONTROL. Our own monitor is
 * left out.
 */
void vm_args(struct strv *argv, const struct vm *vm, const struct ends *ends)
{
	_cleanup_free_ char *append = kernel_command_line(vm), *chardev = NULL, *control = NULL;
	_cleanup_free_ char *shared = NULL;

	vm_machine_args(argv, vm->kernel->arch, vm->accel, vm->exact, vm_cpus(vm),
			vm_memory_mb(vm));
	strv_add(argv, "-kernel");
	strv_add(argv, vm->kernel->image);
	if (vm->repeatable) {
		strv_add(argv, "-seed");
		strv_add(argv, "1");
	}
	if (vm->initrd_fd >= 0) {
		strv_add(argv, "-initrd");
		if (ends)
			strv_addf(argv, "/dev/fd/%d", ends->initrd);
		else
			strv_add(argv, "INITRD");
	}
	strv_add(argv, "-append");
	strv_add(argv, append);
	strv_add(argv, "-chardev");
	if (!ends)
		strv_addf(argv, "stdio,id=log%s", vm->shell ? ",signal=off" : "");
	else if (vm->shell)
		strv_addf(argv, "socket,id=log,fd=%d", ends->log);
	else
		strv_addf(argv, "file,id=log,path=/dev/fd/%d", ends->log);
	strv_add(argv, "-serial");
	strv_add(argv, "chardev:log");
	if (!vm->shell) {
		strv_add(argv, "-device");
		/* each of the 31 ports it would have costs the guest two queues */
		/* without ioeventfd the port is written to within the guest's instruction, not some time after */
		strv_addf(argv, "virtio-serial-pci,max_ports=%d%s", vm->trace ? 3 : 2,
			  vm->repeatable ? ",ioeventfd=off" : "");
		chardev = ends ? xasprintf("file,id=results,path=/dev/fd/%d", ends->results) :
				 xstrdup("file,id=results,path=RESULTS");
		add_port(argv, "results", RESULTS_PORT, chardev);
	}
	if (!vm->shell && vm->trace) {
		control = ends ? xasprintf("socket,id=control,fd=%d", ends->control) :
				 xstrdup("socket,id=control,path=CONTROL,server=on,wait=off");
		add_port(argv, "control", CONTROL_PORT, control);
	}
	if (vm->share_fd) {
		strv_add(argv, "-object");
		shared = ends ? xasprintf("/dev/fd/%d", vm->share_fd) : xstrdup("SHARED");
		strv_addf(argv, "memory-backend-file,id=shared,share=on,size=%dM,mem-path=%s",
			  vm->share_mb, shared);
		strv_add(argv, "-device");
		strv_add(argv, "ivshmem-plain,memdev=shared");
	}
	if (vm->ssh_port) {
		strv_add(argv, "-netdev");
		strv_addf(argv, "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:%d-:22",
			  vm->ssh_port);
		/* its code for booting is a package of its own, and nobody boots from it */
		strv_add(argv, "-device");
		strv_add(argv, "virtio-net-pci,netdev=net,romfile=");
	}
	/* it stays when it has reset or powered off, until its memory is read and we end it */
	if (vm->dump && ends)
		strv_add(argv, "-no-shutdown");
	if (vm->gdb_fd) {
		strv_add(argv, "-S");
		strv_add(argv, "-chardev");
		if (ends)
			strv_addf(argv, "socket,id=gdb,fd=%d,server=on,wait=off", vm->gdb_fd);
		else
			strv_add(argv, "socket,id=gdb,path=GDB,server=on,wait=off");
		strv_add(argv, "-gdb");
		strv_add(argv, "chardev:gdb");
	}
	if (vm->code_log) {
		strv_add(argv, "-D");
		strv_add(argv, vm->code_log);
		strv_split(argv, "-d in_asm -dfilter", " ");
		strv_add(argv, vm->kernel->arch->modules);
	}
	if (ends) {
		strv_add(argv, "-chardev");
		strv_addf(argv, "socket,id=qmp,fd=%d", ends->qmp);
		strv_add(argv, "-mon");
		strv_add(argv, "chardev=qmp,mode=control");
	}
}
