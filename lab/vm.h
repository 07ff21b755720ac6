/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guests under QEMU: started, watched, ended. One poll loop serves all that run at once.
 */
#ifndef CDEVLAB_VM_H
#define CDEVLAB_VM_H

#include "kernel.h"
#include "proc.h"

/* How a guest ended. */
enum vm_end {
	VM_CLEAN,	/* END record, power off */
	VM_PANIC,	/* the kernel log has a panic (oops=panic is set) */
	VM_HANG,	/* the deadline passed */
	VM_LOST,	/* powered off or reset without END and without a panic */
	VM_QEMU_FAILED, /* QEMU could not start, or was killed by somebody else */
	VM_STOPPED,	/* by us: interrupt, or on_line asked for it */
};
const char *vm_end_name(enum vm_end end);

struct vm;

/**
 * struct vm - one guest
 * @kernel, @initrd_fd: what to boot
 * @label:	for messages: "vgpio on debian:bookworm/amd64"
 * @exact:	the exact clock (icount, one CPU, no KVM)
 * @repeatable:	with @exact: all that happens happens again, at the same instruction. No device answers by this machine's
 *		time, random numbers are drawn from one seed, and the kernel is preempted, so that races are met on one CPU
 * @trace:	with @exact: a control port whose "trace NAME" lines switch recording of executed addresses on
 * @shell:	the console is ours, no results port
 * @cpus, @memory_mb: 0: 2 CPUs (1 if @exact), what the kernel needs
 * @timeout_s:	deadline from the start; 0: 120
 * @silence_s:	after READY, a guest that says nothing for so long hangs; 0: it may
 * @append:	more for the kernel command line, or NULL
 * @code_log:	a file, or NULL: QEMU writes there each piece of a module's code before it runs for the first time
 * @share_fd, @share_mb: memory that the guest finds as the second region of a PCI device and we see as it writes
 *		it, also when it has died since: a file in memory, its size a power of two; 0: none
 * @fixed:	the kernel lies where it always does
 * @gdb_fd:	a socket that listens, or 0: the guest waits there for gdb before its first instruction, and has all the
 *		time there is unless @timeout_s is set
 * @beside:	a program that was started and uses the guest: when it ends, the guest is stopped; or NULL
 * @ssh_port:	a port of this machine's loopback, or 0: it leads to port 22 of the guest, whose address is 10.0.2.15; the
 *		guest reaches nobody by itself
 * @dump:	a file, or NULL: gets the guest's memory when it crashes or hangs, whole or not at all
 * @on_end:	it has ended, and the results are there; may be NULL
 * @on_line:	a line of the results port
 * @on_log:	a line of the kernel log (it is collected in @log as well)
 * @on_trace:	a recorded piece ended: the file holds QEMU's exec log of operation @name, run between visits of
 *		@trace_mark
 */
struct vm {
	const struct kernel *kernel;
	int initrd_fd;
	const char *label;
	bool exact, repeatable, trace, shell;
	int cpus, memory_mb, timeout_s, silence_s;
	const char *append, *code_log, *dump;
	int share_fd, share_mb;
	bool fixed;
	int gdb_fd, ssh_port;
	struct proc *beside;
	void (*on_end)(struct vm *vm);
	void (*on_line)(struct vm *vm, const char *line);
	void (*on_log)(struct vm *vm, const char *line);
	void (*on_trace)(struct vm *vm, const char *name, const char *exec_log_path);
	void *ctx;

	/* results */
	unsigned long trace_mark; /* exact_mark() of the program that was traced last, as it said */
	enum vm_end end;
	bool dumped;		/* @dump is there */
	struct buf log;		/* the kernel log, whole, CRs removed */
	char *why;		/* QEMU's message or reason, or NULL */
	char *accel;		/* "kvm" or "tcg" */
	char *command;		/* the line that boots it, to show (initrd and ports by name) */
	double ready_s;		/* from start to READY; 0: never */
	int cpus_up;		/* processors that the guest has; 0: it did not say */
	double seconds;		/* from start to end */
	struct vm_state *state; /* of the running guest; private */
};
/* Processors that it is given. */
int vm_cpus(const struct vm *vm);

/**
 * vm_run() - runs guests, @at_once of them side by side (0: vm_at_once())
 * Each vm's end says how it went; the return value is only about us: LAB_OK, LAB_INTERRUPTED, LAB_CANNOT
 * (no QEMU). With lab_options.dry_run the commands are printed and nothing runs.
 */
enum lab_exit vm_run(struct vm *vms, size_t n, size_t at_once);
/* As many guests as there are processors, and no more than fit into memory. */
size_t vm_at_once(void);
void vm_free(struct vm *vm);
/* "QEMU emulator version 7.2.22 (Debian ...)" of that architecture's QEMU; a new string, or NULL. */
char *vm_qemu_version(const struct arch *arch);
/* True when KVM was probed (once, remembered in the cache) and boots @k; says so with -v. */
bool vm_kvm_works(const struct kernel *k);

#endif
