/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * mymem_test: what the in-kernel interface of mymem costs, and what it needs against races. Its
 * files in debugfs are described in README.md.
 */
#ifndef _MYMEM_TEST_H
#define _MYMEM_TEST_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The directory in debugfs, and what is in it. */
#define MYMEM_TEST_DIR	"mymem_test"
#define MYMEM_TEST_RUN	"run"  /* write: "time [CALLS]" or "race [W [N [TRIALS]]]" */
#define MYMEM_TEST_TIME "time" /* read: the table of the last "time" */
#define MYMEM_TEST_RACE "race" /* read: the table of the last "race" */
#define MYMEM_TEST_CALL "call" /* ioctl: MYMEM_TEST_REPEAT */

/* Module parameters w, n, trials, calls and sizes, and the words of "run". */
#define MYMEM_TEST_W_DEFAULT	  50
#define MYMEM_TEST_W_MAX	  1000
#define MYMEM_TEST_N_DEFAULT	  150000
#define MYMEM_TEST_N_MAX	  1000000000
#define MYMEM_TEST_TRIALS_DEFAULT 3
#define MYMEM_TEST_TRIALS_MAX	  100
#define MYMEM_TEST_CALLS_DEFAULT  1000
#define MYMEM_TEST_CALLS_MAX	  1000000
#define MYMEM_TEST_SIZES_MAX	  16

/* What the counter of the race starts at; it is the number at offset 0 of the memory. */
#define MYMEM_TEST_START 0xDEADBEEFULL

/* mymem_test_repeat.operation */
#define MYMEM_TEST_OP_READ  0 /* mymem_read(0, buffer, length) */
#define MYMEM_TEST_OP_WRITE 1 /* mymem_write(0, buffer, length) */
#define MYMEM_TEST_OP_ADD   2 /* mymem_fetch_add(0, 1, NULL) */
#define MYMEM_TEST_OP_NONE  3 /* nothing: a pass of the loop */

#define MYMEM_TEST_LENGTH_MAX 524288
#define MYMEM_TEST_REPEAT_MAX 1000000

/**
 * struct mymem_test_repeat - calls from inside the kernel, the argument of MYMEM_TEST_REPEAT
 * @operation:	MYMEM_TEST_OP_*
 * @length:	bytes of a read or write, up to MYMEM_TEST_LENGTH_MAX; 0 for the others
 * @repeat:	how often, up to MYMEM_TEST_REPEAT_MAX
 * @reserved:	must be zero
 *
 * The buffer is the descriptor's own. The result is that of the last call, 0 if there was none.
 */
struct mymem_test_repeat {
	__u32 operation;
	__u32 length;
	__u32 repeat;
	__u32 reserved;
};

#define MYMEM_TEST_IOC_MAGIC 0xEA

#define MYMEM_TEST_REPEAT _IOW(MYMEM_TEST_IOC_MAGIC, 0x00, struct mymem_test_repeat)

#endif /* _MYMEM_TEST_H */
