/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The conformance suite for any character device. One claim is one test of the harness:
 *
 *	// Above each: the rule, and where it comes from.
 *	CLAIM(read_zero, "read.zero", NEED_READ,
 *	      "a read of length 0 returns 0 and consumes nothing")
 *	{
 *		EXPECT_EQ(dev_read(fd, buf, 0), 0);
 *	}
 *
 * The needs are checked before the claim's function runs; what the device does not offer is a skip
 * with its reason. Functions named dev_* return the call's value or -errno, and never wait for
 * longer than a tick: a call that waits comes back with -EINTR.
 */
#ifndef CDEVLAB_CONFORM_H
#define CDEVLAB_CONFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "conf.h"
#include "harness.h"

#define NEED_NODE   0x001 /* a node that can be opened */
#define NEED_READ   0x002 /* read is offered, in a mode that opens */
#define NEED_WRITE  0x004 /* write is offered */
#define NEED_DATA   0x008 /* a read returns data now, without an event */
#define NEED_POS    0x010 /* lseek moves the position */
#define NEED_SIZE   0x020 /* SEEK_END gives a size above 0 */
#define NEED_TWO    0x040 /* two opens at once */
#define NEED_IOCTL  0x080 /* known ioctls */
#define NEED_POLL   0x100 /* a poll operation of its own */
#define NEED_WAIT   0x200 /* reads wait for data */
#define NEED_EVENT  0x400 /* a command that makes the node readable */
#define NEED_MODULE 0x800 /* the module can be unloaded and loaded */

/* Generous: it is for calls that hang, and a host may be busy. */
#define CLAIM_TIMEOUT 20

/*
 * Each file of claims says CLAIM_ORDER, 201 and up, so that the order does not depend on the
 * linker's.
 */

#define CLAIM_WITH_TIMEOUT(func, id, needs, seconds, sentence)                 \
	static void func(void);                                                \
	static void func##_claim(void)                                         \
	{                                                                      \
		claim_begin(needs);                                            \
		func();                                                        \
	}                                                                      \
	static struct test_case func##_case = { .name = id ": " sentence,      \
						.run = func##_claim,           \
						.timeout_s = (seconds) };      \
	static void __attribute__((constructor(CLAIM_ORDER))) func##_reg(void) \
	{                                                                      \
		test_register(&func##_case);                                   \
	}                                                                      \
	static void func(void)
#define CLAIM(func, id, needs, sentence) \
	CLAIM_WITH_TIMEOUT(func, id, needs, CLAIM_TIMEOUT, sentence)

/* What a read of the freshly opened device does. */
enum read_kind {
	READ_NOT_OFFERED,
	READ_DATA,
	READ_EOF,
	READ_WAITS,  /* -EAGAIN when non-blocking */
	READ_BLOCKS, /* waits although O_NONBLOCK is set */
	READ_FAILS,
};

/* What the first claim of a run found out about the device; the others decide their needs by it. */
struct facts {
	bool known;
	int open_err[3]; /* by access mode: 0 or errno */
	int mode;	 /* the best of them, or -1 */
	bool exclusive;	 /* a second open is refused */
	enum read_kind read;
	int read_err;  /* of READ_FAILS */
	bool writes;   /* write is offered */
	bool discards; /* the kernel's own sinks, which never look at what is written */
	bool positioned;
	off_t size; /* from SEEK_END; 0: none */
	bool has_poll;
	bool unclean; /* module.clean failed: module.leak would only repeat it */
	unsigned int unload_errno;
};
extern struct facts *facts;

extern unsigned int cycles;

void claim_begin(unsigned int needs);
/* Turns the tick that ends waiting calls on and off; off in the claims about signals. */
void tick(bool on);

/* A call that was interrupted sooner is made again: the tick was due by chance. */
#define TICK_CHANCE_MS 30
/* The value of a call that waits no longer than a tick, or -errno. */
#define TICKED(call)                                                            \
	({                                                                      \
		long long since_ = now_ms();                                    \
		long ret_;                                                      \
		do {                                                            \
			ret_ = (call);                                          \
			if (ret_ == -1)                                         \
				ret_ = -errno;                                  \
		} while (ret_ == -EINTR && now_ms() - since_ < TICK_CHANCE_MS); \
		ret_;                                                           \
	})

/* mode O_RDONLY, O_WRONLY, O_RDWR, or one of these: */
#define MODE_ANY   -1
#define MODE_READ  -2
#define MODE_WRITE -3
int dev_mode(int mode);
/* Opens non-blocking; the claim ends when that fails. */
int dev_open(int mode);
/* The same, but returns -errno. */
int dev_open_quietly(int mode);
/* With these very flags. */
int dev_try_open(int flags);
long dev_read(int fd, void *buf, size_t len);
long dev_write(int fd, const void *buf, size_t len);
long dev_pread(int fd, void *buf, size_t len, off_t pos);
long dev_pwrite(int fd, const void *buf, size_t len, off_t pos);
long dev_seek(int fd, off_t off, int whence);
long dev_ioctl(int fd, unsigned long cmd, void *arg);
/* The name of a result: "16" or "-EFAULT". */
const char *result(long ret);
/* Fails the claim unless the descriptor still reads and polls as a fresh one does. */
void expect_working(int fd, const char *when);
bool still_works(int fd);
/* Reads until nothing is there. */
void drain(int fd);
/* Runs the event command; the claim ends when that fails. */
void raise_event(void);
/* Waits, without blocking in the device, until a read would return data. */
bool await_data(int fd);
int ready_now(int fd);
/* A record of bytes that is easy to tell: pattern[i] differs in neighbouring places. */
void pattern_fill(unsigned char *buf, size_t len, unsigned int seed);
/* Writes a pattern to the start of a device that keeps what is written. False if it does not. */
bool pattern_store(int fd, unsigned char *buf, size_t len);
/* The descriptor at the start again: the same one where positions count, else that of a new open. */
int rewound(int fd);
/* Reads until the buffer is full, or the end, or nothing more is there. */
size_t read_stream(int fd, unsigned char *buf, size_t max);
/*
 * The first bytes as read(2) gives them, and *fd at the start again. The claim ends as skipped when they change by
 * themselves or there are none.
 */
size_t reference(int *fd, unsigned char *ref, size_t max);
/* The same for a claim about writing: skipped unless the device keeps what is written, at most 1024 bytes. */
void stored(int fd, unsigned char *buf, size_t len);

size_t page_size(void);
/* An address at which nothing is mapped; the page before may be. */
void *unmapped_page(void);
/* A mapped page of that content, followed by an unmapped one. */
unsigned char *page_filled(int fill);
/* A page that can be read only, with that content. */
void *readonly_page(const void *content, size_t len);
/* An address inside the kernel that is mapped and holds nothing secret, or NULL. */
void *kernel_address(void);

/* conform_module.c */
void module_ensure(void);

#endif
