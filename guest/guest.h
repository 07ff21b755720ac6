/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the agent, the test harness and the exact clock share inside the guest. Tests and benchmarks
 * include harness.h or exact.h instead.
 */
#ifndef CDEVLAB_GUEST_H
#define CDEVLAB_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* How long a killed process may take to die before it counts as stuck in the kernel. */
#define STUCK_AFTER_MS 5000

ssize_t file_read(const char *path, char *buf, size_t size);
int write_all(int fd, const void *buf, size_t len);
int port_open(const char *name, int timeout_ms);
/*
 * Agent, harness and test case wait for each other all the time, and an emulated processor that sleeps is
 * slow to wake: the first two stay on one. A program under test gets all of them back, and so do its
 * threads and children.
 */
void cpus_one(void);
void cpus_all(void);
char process_state(pid_t pid);
void process_report(pid_t pid, void (*line)(void *arg, const char *text), void *arg);

#endif
