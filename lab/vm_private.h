/* SPDX-License-Identifier: GPL-2.0 */
/* What the files vm*.c share and nobody else sees. */
#ifndef CDEVLAB_VM_PRIVATE_H
#define CDEVLAB_VM_PRIVATE_H

#include <termios.h>

#include "vm.h"

#define LINE_MAX_BYTES (16 << 20) /* more without a newline is no line but a fault */

/* struct lines - cuts a stream of bytes into lines */
struct lines {
	struct buf b;
	size_t scanned; /* no newline before that */
};
/* Adds bytes and hands each whole line, without its newline, to fn. False: an endless line. */
bool lines_add(struct lines *l, const char *p, size_t n, void (*fn)(void *ctx, char *line),
	       void *ctx);
/* The last line, which had no newline. */
void lines_end(struct lines *l, void (*fn)(void *ctx, char *line), void *ctx);

/* Writes what is in b to the non-blocking fd; false when the other side is gone. */
bool flush_buf(int fd, struct buf *b);

/* Reads what there is; closes at the end of the stream. 0: nothing there. */
ssize_t read_some(int *fd, char *chunk, size_t size);
/* A connected pair of sockets; the first, ours, does not block. */
bool make_pair(int pair[2]);

/*
 * struct tap - a channel QEMU writes and we read: a file in memory
 *
 * Not a pipe: when we are slow (the person's pager is full) a pipe fills up, and then the serial
 * port drops characters, and the virtio port's driver, which takes writes before they are through,
 * loses what is under way when the guest powers off. A file takes everything at once.
 */
struct tap {
	int fd;
	off_t at, freed;
};
bool make_tap(struct tap *tap, const char *name);
off_t tap_size(const struct tap *tap);
/* Reads on, not beyond until. 0: nothing there. */
ssize_t tap_read(struct tap *tap, off_t until, char *chunk, size_t size);

/**
 * struct qmp - a conversation with QEMU's monitor that never blocks
 * @fd:			ours, non-blocking; -1 when QEMU is gone
 * @major, @minor:	of the QEMU that greeted, 0 before
 * @reason:		of the first SHUTDOWN event, or NULL
 * @waiting:		who waits for the answers, in the order of the commands (QEMU keeps it)
 */
struct qmp {
	int fd;
	int major, minor;
	char *reason;
	struct lines in;
	struct buf out;
	void (**waiting)(void *ctx, const char *text);
	size_t n_waiting;
	void *ctx;
};
void qmp_start(struct qmp *q, int fd, void *ctx);
/* After poll(): reads events and answers, writes what waits. */
void qmp_service(struct qmp *q, short revents);
/* Sends a command of the human monitor; done() gets what it printed ("" mostly). */
void qmp_hmp(struct qmp *q, void (*done)(void *ctx, const char *text), const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Stops the guest and writes its memory as ELF; done() gets "", or what went wrong. @paging: by its own addresses. */
void qmp_dump(struct qmp *q, const char *path, bool paging,
	      void (*done)(void *ctx, const char *text));
void qmp_quit(struct qmp *q);
void qmp_close(struct qmp *q);

/**
 * struct console - our terminal, or a script on standard input, as the guest's console
 * @fd:		to the guest's serial port, non-blocking; -1 when it is gone
 * @leave:	the person asked to leave
 */
struct console {
	int fd;
	bool leave;
	bool tty, in_open, prefix, plain, prompt, started;
	int escape; /* 1: after ESC, 2: after ESC [ */
	struct termios saved, raw;
	pid_t guard;
	int guard_fd;
	double heard, sent;
	struct buf script, out;
};
void console_start(struct console *c, int fd);
/* Before poll(): the events wanted of standard input, and of the guest. */
short console_in_events(const struct console *c);
short console_out_events(const struct console *c);
/* Standard input can be read; it may also be time for the script's next line. */
void console_service(struct console *c, bool readable);
void console_show(struct console *c, const char *p, size_t n);
void console_end(struct console *c);

/* The part of QEMU's command line that says what is emulated, for a probe and for a guest. */
void vm_machine_args(struct strv *argv, const struct arch *arch, const char *accel, bool exact,
		     int cpus, int memory_mb);
/* struct ends - what QEMU gets: descriptors it inherits. -1: the port is not there */
struct ends {
	int initrd, log, results, control, qmp;
};
int vm_memory_mb(const struct vm *vm);
/* QEMU's whole command line; without ends, the one to show. */
void vm_args(struct strv *argv, const struct vm *vm, const struct ends *ends);
/* What the KVM probe found earlier: 1 works, 0 does not, -1 not probed yet. */
int vm_kvm_remembered(const struct kernel *k);

#endif
