/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fuzzing a character device: short programs of calls, drawn from the UAPI header and driver.ini, changed, and kept
 * when they reach code of the module that no other has reached.
 *
 * A program is self-contained and its addresses are fixed, so that it can be written down as C and run elsewhere.
 * Workers write each program into memory that the host sees before they run it: a crash of the guest loses nothing.
 *
 *	fuzz.c		the supervisor: starts workers, interrupts, counts, judges
 *	fuzz_draw.c	making and changing programs
 *	fuzz_run.c	doing one, and what it has reached (KCOV)
 *	fuzz_prog.c	programs as text; the host has this one, too
 */
#ifndef CDEVLAB_FUZZ_PROGRAMS_H
#define CDEVLAB_FUZZ_PROGRAMS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define FUZZ_WORKERS 2
#define FUZZ_THREADS 2 /* of each worker */
#define FUZZ_CALLS   16
#define FUZZ_DATA    256
#define FUZZ_FDS     4 /* places for descriptors */
#define FUZZ_NODES   8
#define FUZZ_PATH    64

/* Where memory lies, on all architectures: the arena, then nothing; what can only be read; the device's mappings. */
#define FUZZ_ARENA	 0x1000000000UL
#define FUZZ_ARENA_SIZE	 0x10000UL
#define FUZZ_RDONLY	 0x1000100000UL
#define FUZZ_RDONLY_SIZE 0x4000UL
#define FUZZ_MAPS	 0x1000200000UL
#define FUZZ_MAP_SIZE	 0x100000UL
#define FUZZ_MAP_PLACES	 2

enum fuzz_kind {
	FUZZ_OPEN,
	FUZZ_CLOSE,
	FUZZ_READ,
	FUZZ_WRITE,
	FUZZ_PREAD,
	FUZZ_PWRITE,
	FUZZ_READV,
	FUZZ_WRITEV,
	FUZZ_SEEK,
	FUZZ_POLL,
	FUZZ_IOCTL,
	FUZZ_MMAP,
	FUZZ_MUNMAP,
	FUZZ_TOUCH,
	FUZZ_SPLICE_IN,
	FUZZ_SPLICE_OUT,
	FUZZ_DUP,
	FUZZ_FCNTL,
	FUZZ_FSYNC,
	FUZZ_TRUNCATE,
	FUZZ_STAT,
	FUZZ_KINDS,
};
extern const char *const fuzz_kind_names[FUZZ_KINDS];

/**
 * struct fuzz_call - one call; a kind uses what it needs
 * @thread:	which of the worker's threads makes it
 * @fd, @other:	places of descriptors; of an open, @other is the node, of a mapping its place
 * @flags:	of open, poll's events, lseek's whence, mmap's protection and kind, fcntl's flags
 * @cmd:	of an ioctl
 * @addr, @size, @pos: as they are given to the call
 * @data:	copied to @addr before, as far as that can be written
 */
struct fuzz_call {
	uint8_t kind, thread, fd, other;
	uint32_t flags;
	uint64_t cmd, addr, size;
	int64_t pos;
	uint32_t n_data;
	uint8_t data[FUZZ_DATA];
};

struct fuzz_prog {
	uint32_t n;
	uint32_t reserved;
	struct fuzz_call calls[FUZZ_CALLS];
};

/* What the host sees: a region of a PCI device. Each place has one writer, and numbers are of one word. */
#define FUZZ_SHARED_MB	4
#define FUZZ_HISTORY	32
#define FUZZ_TEXT	(2U << 20)
#define FUZZ_PCI_VENDOR "0x1af4" /* ivshmem */
#define FUZZ_PCI_DEVICE "0x1110"
#define FUZZ_CORPUS	"/lab/fuzz.corpus"

struct fuzz_shared {
	uint32_t kcov; /* 1: guided by coverage */
	uint32_t n_nodes;
	char nodes[FUZZ_NODES][FUZZ_PATH];
	uint64_t ms, calls, programs, pcs, edges, corpus;
	struct {
		uint32_t begun; /* programs; the last one is history[(begun - 1) % FUZZ_HISTORY] */
		uint32_t ended;
		struct fuzz_prog history[FUZZ_HISTORY];
	} worker[FUZZ_WORKERS];
	uint32_t n_text;
	char text[FUZZ_TEXT]; /* programs that reached something new, as text */
};
_Static_assert(sizeof(struct fuzz_shared) <= FUZZ_SHARED_MB << 20, "the region is too small");

/* fuzz_prog.c: a call a line, and an empty line behind the last. */
#define FUZZ_LINE (FUZZ_DATA * 2 + 160)
/* Returns bytes written, 0 when there is no room for all of it. */
size_t fuzz_prog_print(const struct fuzz_prog *p, char *to, size_t room);
/* Reads the next one; returns where the one after it begins, NULL at the end. Lines that are none are passed over. */
const char *fuzz_prog_parse(const char *text, struct fuzz_prog *p);

#endif
