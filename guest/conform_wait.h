/* SPDX-License-Identifier: GPL-2.0 */
/* For claims about calls that wait, and about who makes them: other processes, threads and users. */
#ifndef CDEVLAB_CONFORM_WAIT_H
#define CDEVLAB_CONFORM_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "conform.h"

#define PATIENCE_MS 10000
#define UID_NOBODY  65534

/*
 * struct waiter - a process or thread of its own in one call
 * @call:  the call: its value or -errno
 * @fd:    its descriptor, which blocks
 * @began: just before the call
 * @ret:   of the call, once @done is set
 * @state: how it waits, by waiter_waits(): 'S', or 'D' where no signal reaches it
 */
struct waiter {
	long (*call)(struct waiter *w);
	int fd;
	atomic_int began, done;
	long ret;
	pid_t pid, tid;
	char state;
};

long call_read(struct waiter *w);
/* revents, or 0 */
long call_poll(struct waiter *w);
/* waiter_ioctl with its declared argument, or zeros */
long call_ioctl(struct waiter *w);
extern const struct uapi_ioctl *waiter_ioctl;

/* A descriptor that blocks, with nothing to read; from here on no tick ends a call. */
int waiting_open(void);
/* Starts a process that makes the call, after @before; true when it waits, false when it has returned and is gone. */
bool waiter_start(struct waiter **w, long (*call)(struct waiter *w), int fd, void (*before)(void));
/* The same with a thread of this process. */
bool waiter_thread(struct waiter **w, long (*call)(struct waiter *w), int fd);
/* Looks until it waits, or has returned. */
bool waiter_waits(struct waiter *w);
/* Until the call has returned, or the process is gone. False: it waits for ever. */
bool waiter_ends(struct waiter *w);
/* Stops the process and lets it go on. */
void waiter_stop(struct waiter *w);
void waiter_continue(struct waiter *w);
void waiter_kill(struct waiter *w);
/* Fails the claim unless an event now ends the read; without a declared event it is killed. */
void waiter_expect_event(struct waiter *w, const char *when);

/* Exit status of a child, or -1 when a signal or our patience has ended it. */
int child_end(pid_t pid);

/*
 * struct probe - what each call gives: 0 or -errno. To wait, or to have nothing, is no error.
 * @open:   of the node, in the mode of the descriptor
 * @ran:    the other members are there
 */
struct probe {
	long read, write, poll, open, ioctls[256];
	bool ran;
};

/* The calls of a descriptor; and an open of @node, unless NULL. */
void probe_calls(struct probe *p, int fd, const char *node);
/* The same in a child after @before, whose value is 0 or the errno with which it cannot; that is returned. */
int probe_child(struct probe *p, int fd, const char *node, int (*before)(void));
/* Memory that children share. */
struct probe *probe_new(void);
/*
 * Fails the claim where the calls gave something else than twice before; EPERM and EACCES are no difference in
 * an open or an ioctl when @may_refuse.
 */
void probe_compare(const struct probe *was, const struct probe *is, const char *who,
		   bool may_refuse);
bool is_refusal(long ret);

/* Opens a name of the device: non-blocking, or, where that is refused, made so. A descriptor or -errno. */
int name_open(const char *path, int flags);
/* Becomes an ordinary user without capabilities. */
int become_nobody(void);
/* A node for the same device, of the same name, in a directory of its own. The claim is skipped if that is not allowed. */
const char *own_node(mode_t mode);
void own_node_remove(void);

/* Fails the claim unless the device opens as it did. */
void expect_opens(const char *when);
/* Users of the module, or 0. */
int users_now(void);
/* Fails the claim unless the module has no more users than that again. */
void expect_users(int users, const char *when);

/* conform_life.c: main() of a new program that looks for what exec has left it. */
int conform_after_exec(const char *what);

/* A page of the device, or NULL when it cannot be mapped. */
void *map_page(int fd);

#endif
