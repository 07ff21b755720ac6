/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Machines that are no guests of ours, with --on: this one ("local"), or one that ssh reaches ("ssh:USER@HOST"). What a
 * guest would get as its root goes there as an archive; the agent unpacks it in memory, runs the same jobs, and sends the
 * same lines (guest/hosted.h). When it ends, or we do, or the connection does, everything there is undone.
 */
#ifndef CDEVLAB_TARGET_H
#define CDEVLAB_TARGET_H

#include "boot.h"
#include "ssh.h"

/* struct target - a machine */
struct target {
	bool local;
	struct ssh_host host;
	char *release; /* uname -r */
	const struct arch *arch;
};

/**
 * target_use() - from now on boots run on that machine
 * @spec:	of --on: qemu, local, ssh:[USER@]HOST[:PORT]
 * @kernels:	-k; where there is none, the kernel of its release is added
 * Return: LAB_OK; LAB_USAGE for what is no target; LAB_CANNOT after a message: it cannot be reached, there are no root
 * rights, its architecture is unknown, no kernel here is of its release; for this machine, the person did not agree.
 */
enum lab_exit target_use(const char *spec, struct strv *kernels);
/* The machine in use, or NULL: guests. */
const struct target *target_current(void);
/* The machine in use, for people. */
const char *target_shown(void);
/* What boot_run() does for guests; one after the other. */
enum lab_exit target_run(const struct target *t, struct boot **boots, size_t n);

#endif
