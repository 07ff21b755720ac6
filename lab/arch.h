/* SPDX-License-Identifier: GPL-2.0 */
/* An architecture is data: arch/NAME.ini, read here. */
#ifndef CDEVLAB_ARCH_H
#define CDEVLAB_ARCH_H

#include "lab.h"

/* struct arch - one file of arch/, see the comments there */
struct arch {
	char *name;	      /* Debian's: amd64 */
	char *machine;	      /* uname -m: x86_64 */
	char *kbuild;	      /* ARCH=: x86 */
	char *triplet;	      /* x86_64-linux-gnu */
	char *cross_packages; /* gcc-aarch64-linux-gnu ...: Debian's, where the machine is another */
	char *rust_packages; /* what its Rust toolchains need beside gcc, also where it is the host's */
	char *rust_make;     /* and their make variables */
	char *image;	     /* how the kernel image is made bootable: pvh-elf, raw */
	char *built_image; /* where a built tree has it: arch/x86/boot/bzImage */
	char *qemu;	   /* qemu-system-x86_64 */
	char *qemu_package;
	char *qemu_machine; /* -M */
	char *cpu;	    /* -cpu under emulation */
	char *cpu_exact;    /* -cpu of the exact clock */
	char *console;	    /* ttyS0 */
	char *append;	    /* kernel command line, always */
	char *append_exact; /* and with the exact clock */
	char *gdb_argument; /* the register of a function's first argument, as gdb calls it: $rdi */
	char *modules;	    /* FIRST..LAST: addresses where modules may lie */
};

/* arch_find() - the architecture of that Debian name, or NULL and a message that names those there are */
const struct arch *arch_find(const char *name);
/* That of a machine as uname -m names it, or NULL. */
const struct arch *arch_of_machine(const char *machine);
/* The host's own; NULL and a message where it is none of ours. */
const struct arch *arch_host(void);
/* The same question without a message. */
bool arch_is_host(const struct arch *a);

#endif
