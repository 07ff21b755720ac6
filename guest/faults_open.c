// SPDX-License-Identifier: GPL-2.0
/*
 * Somebody who opens a node the moment that it is there, and before the load goes on: the maker of nodes is a thread of
 * the kernel that the load waits for, and a process of this priority runs before both.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "guest.h"
#include "harness.h"

#define PRIORITY 50
#define READY_MS 5000

static struct {
	atomic_bool watches;
	atomic_int opened; /* nodes, counted from 1 */
} * seen;
static pid_t opener;

static void open_made(const char *name)
{
	unsigned int i;

	for (i = 0; i < conf.n_nodes; i++) {
		const char *base = strrchr(conf.nodes[i], '/');

		if (!base || strcmp(base + 1, name))
			continue;
		if (open(conf.nodes[i], O_RDONLY | O_NONBLOCK | O_NOCTTY) >= 0 ||
		    open(conf.nodes[i], O_WRONLY | O_NONBLOCK | O_NOCTTY) >= 0)
			atomic_store(&seen->opened, (int)i + 1);
	}
}

static void watch(void)
{
	struct sched_param param = { .sched_priority = PRIORITY };
	char room[4096] __attribute__((aligned(__alignof__(struct inotify_event)))), dir[256];
	int fd = inotify_init1(IN_CLOEXEC);
	const struct inotify_event *e;
	ssize_t n, at;
	unsigned int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (i = 0; i < conf.n_nodes; i++) {
		snprintf(dir, sizeof(dir), "%s", conf.nodes[i]);
		if (strrchr(dir, '/'))
			*strrchr(dir, '/') = '\0';
		inotify_add_watch(fd, dir, IN_CREATE);
	}
	sched_setscheduler(0, SCHED_FIFO, &param);
	atomic_store(&seen->watches, true);
	while ((n = read(fd, room, sizeof(room))) > 0) {
		for (at = 0; at < n; at += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)(room + at);
			if (e->len)
				open_made(e->name);
		}
	}
	_exit(1);
}

bool opener_start(void)
{
	long long until = now_ms() + READY_MS;

	if (!seen)
		seen = shared_memory(sizeof(*seen));
	atomic_store(&seen->watches, false);
	atomic_store(&seen->opened, 0);
	opener = fork();
	if (!opener)
		watch();
	while (opener > 0 && !atomic_load(&seen->watches) && now_ms() < until)
		usleep(1000);
	return opener > 0 && atomic_load(&seen->watches);
}

const char *opener_has(void)
{
	int node = atomic_load(&seen->opened);

	return node ? conf.nodes[node - 1] : NULL;
}

void opener_end(void)
{
	if (opener <= 0)
		return;
	kill(opener, SIGKILL);
	waitpid(opener, NULL, 0);
	opener = 0;
}
