/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The sweep over faults: every call is made again and again, and each time another one of the allocations and
 * copies on its way fails, first the first, then the second, until none is left to fail. Linux counts them for one
 * task: /proc/self/fail-nth (Documentation/fault-injection).
 *
 *	faults.c	the sweep, and what must hold after each fault
 *	faults_call.c	the calls
 *	faults_try.c	one try of a call in a process of its own, with or without a fault
 *	faults_state.c	what can be seen of a device, so that two states of it can be compared
 */
#ifndef CDEVLAB_FAULTS_H
#define CDEVLAB_FAULTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "conf.h"
#include "harness.h"

#define ITEM_BYTES  512
#define ITEMS_MAX   64
#define NODES_SWEPT 4 /* of a driver with many they are all the same */

/* struct item - the answer to one question: a call's value or -errno, and the bytes that came with it */
struct item {
	char what[40];
	long ret;
	unsigned int len;
	unsigned char bytes[ITEM_BYTES];
};

/* struct print - what can be seen of a device, or of one descriptor */
struct print {
	unsigned int n;
	struct item item[ITEMS_MAX];
};

/* struct varies - what is another one each time, a clock or a counter, and is not compared */
struct varies {
	bool ret;
	unsigned char bytes[ITEM_BYTES];
};

/* faults_state.c */

/*
 * Learns what the device looks like as it was loaded, which of it varies, and which ioctls only look. Once for all
 * cases; a case that needs it and cannot have it is skipped.
 */
void state_learn(void);
/* What there is to see now. Never waits. */
void state_take(struct print *p);
/* The same of one descriptor. */
void state_take_fd(struct print *p, int fd);
/* Whether two are the same but for what varies; if not, *why says what the second has. */
bool print_same(const struct print *a, const struct print *b, const struct varies *v,
		char why[200]);
void print_vary(struct varies *v, const struct print *a, const struct print *b);
bool state_is_fresh(char why[200]);
/* The same of what was taken just now. */
bool state_is(const struct print *now, char why[200]);
/* Something was done with the device. */
void state_touched(void);
/* As loaded: loads the module again if it is not. A case that cannot have it ends. */
void state_restore(void);
/* Loads it again in any case, for what cannot be seen. */
void state_reload(void);
/* Whether two answers to the same question agree but for what varies. */
bool item_same(const struct item *a, const struct item *b, const struct varies *v);
void item_vary(struct varies *v, const struct item *a, const struct item *b);
/* For people: "-ENOMEM", "16 (61 62 63 ...)". */
const char *item_text(const struct item *it);
/* The argument of an ioctl as driver.ini declares it, else zeros. Returns its size. */
size_t ioctl_argument(const struct uapi_ioctl *call, unsigned char *to, size_t room);
/* A question: its value or -errno becomes the answer, with that many of the bytes. */
void item_set(struct item *it, const char *what, long ret, const void *bytes, size_t len);

/* faults_call.c */

#define CALL_PARTIAL 0x01  /* less than was asked for is an answer as well */
#define CALL_LOOSE   0x02  /* several calls: some may have done their work when one fails */
#define CALL_ONCE    0x04  /* is not made again after it failed */
#define CALL_FD	     0x08  /* makes a descriptor: the one it made must work */
#define CALL_RETRIES 0x10  /* the kernel tries again for ever when all fails */
#define CALL_EXITS   0x20  /* is the end of its process */
#define CALL_MODULE  0x40  /* loads or unloads */
#define CALL_QUICK   0x80  /* of the few that reach most */
#define CALL_OPENED  0x100 /* while others open what is loaded */

/* struct call - something that is tried with faults */
struct call {
	char name[64];
	unsigned int flags;
	/* Without faults, what it needs; 0 or -errno, then *what says of what. */
	long (*prepare)(const struct call *c, const char **what);
	/* The call: its value or -errno. */
	long (*run)(const struct call *c);
	/* After it, without faults: the bytes that came back. NULL: none. */
	void (*result)(const struct call *c, struct item *it);
	const char *node;
	int mode; /* of opening */
	size_t size;
	int number;
	const struct uapi_ioctl *ioctl;
	const char *text;
};

/* All that this module offers; the array is static. */
size_t calls_make(const struct call **calls);
/* The descriptor that a CALL_FD made, in the process of the try. */
int call_fd(void);

/* faults_open.c */

/* A process that opens each node as soon as it is made; false where there can be none. */
bool opener_start(void);
/* The node that it has open, or NULL. */
const char *opener_has(void);
/* It is killed, and waited for. */
void opener_end(void);

/* faults_try.c */

#define FAULT_NONE 0
#define FAULT_ALL  -1 /* no allocation succeeds */
#define FAULT_PAGES \
	10000 /* and more: of the pages, the first, the second; below: of slabs and copies */

enum try_end {
	TRY_DONE,
	TRY_UNPREPARED, /* it never came to the call */
	TRY_HUNG,
	TRY_KILLED,
};

/* struct outcome - what a try came to */
struct outcome {
	enum try_end end;
	int signal;
	atomic_int stage;
	const char *what; /* of TRY_UNPREPARED, with its errno in result.ret */
	bool fault;	  /* it happened */
	struct item result;
	bool again_made;
	struct item again; /* of the same call once more, on the same descriptor */
	struct print made; /* of a CALL_FD's descriptor */
};

/* Whether this kernel injects faults; if not, why. Sets it up. */
bool faults_open(char why[160]);
/*
 * Which faults count: FAULT_NONE: of slabs and copies, FAULT_PAGES: of pages and copies, FAULT_ALL. Counted together
 * the numbers would not hold from one try to the next, as slabs take a page now and then.
 */
void faults_choose(int which);
/*
 * Makes the call in a process of its own with its @fault'th fault, FAULT_NONE or FAULT_ALL. @tag: the process'
 * name, by which a leak is known. The outcome is valid until the next try.
 */
const struct outcome *try_call(const struct call *c, int fault, const char *tag);
/* Waiting calls are ended after a moment from now on. */
void try_tick(bool on);
/* Makes the call again with that fault, and says where it happened: "kmalloc in foo_open+0x20/0x100 [foo]". */
void fault_where(const struct call *c, int fault, char where[200]);

/*
 * The same, only whether it happened in that function or below it; 1 as well where there is none to happen. -1: the
 * kernel does not say of allocations that are allowed to fail.
 */
int fault_is_under(const struct call *c, int fault, const char *function);

/* struct faults_shared - what all cases know together */
struct faults_shared {
	bool end_varies; /* a text with a number in it; one that cannot be read has its end, too */
	bool learned;
	struct print fresh;
	struct varies varies[ITEMS_MAX];
	bool looks[256]; /* of each known ioctl: it only looks */
	bool waits;	 /* something waits although it should not: ticks */
	unsigned int calls, points, survived;
};
extern struct faults_shared *shared;

#endif
