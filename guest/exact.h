/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The exact clock, inside the guest. Under QEMU's icount the guest's counter advances by one for each
 * instruction executed, so the difference of two readings is a number of instructions, the same on
 * every machine. On other clocks the same program gives ticks of that clock.
 *
 * A benchmark is a table of operations; main() of a bench_*.c returns exact_main(argc, argv, ops, n).
 * For each operation: open(), EXACT_WARMUP calls of run(), EXACT_SAMPLES timed calls, close(). One JSON
 * object per operation goes to standard output, a line each, after one that describes the clock:
 *
 *   {"clock":"tsc","icount":true,"insns_per_tick":1}
 *   {"op":"SET","floor":"NOP","samples":4000,"mode":653,"at_mode":3998,"mean":653.02,
 *    "min":653,"p50":653,"p99":653,"max":1211,"histogram":[[653,3998],[1211,2]]}
 *
 * or {"op":"SET","skipped":"open: EOPNOTSUPP"} or {"op":"SET","error":"check: EPROTO"}; "floor" is null for
 * "empty", and "spread":true is there when the operation says so. "mean" is that of a loop with no reading
 * inside: it goes with the mean of "empty", the others with the mode of "empty". All are ticks of the counter:
 * where one is more than one instruction, the host multiplies, and says that figures are rounded.
 *
 * The three floors (empty loop, getppid, ENOTTY on /dev/null) are measured by exact_main() itself and come first,
 * named "empty", "syscall", "enotty". Figures are raw: the host subtracts.
 *
 * With --trace, each operation is run EXACT_TRACED times between calls of exact_mark() while the host records
 * every executed address; the control port carries, line by line, "trace NAME" / "ok" before and "done" / "ok" after.
 * "mark ADDRESS" is said once first, and not answered. The instructions from one mark to the next, less those
 * of "empty", are exactly the mode less the mode of "empty".
 */
#ifndef CDEVLAB_EXACT_H
#define CDEVLAB_EXACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXACT_WARMUP  200
#define EXACT_SAMPLES 4000
#define EXACT_TRACED  16

/**
 * struct exact_op - one operation to measure
 * @name:	what a person reads, e.g. "SET"; unique in the table
 * @floor:	name of the operation or built-in floor to subtract, NULL: "enotty"
 * @open:	prepares (descriptors, reader thread); returns 0 or -errno, -EOPNOTSUPP: not offered, skipped;
 *		@node is "" where the module has none, and -ENOENT then skips the operation as well
 * @run:	does the operation once; must not allocate, print or fault
 * @check:	after the samples: 0 if the operations had their effect, else -errno; may be NULL
 * @close:	undoes @open; may be NULL
 * @spread:	true when the distribution, not the mode, is the result (a wake-up of another task)
 * @untraced:	true when its addresses are not recorded: so many that it would take minutes (each step of a long copy
 *		is a line), or of a module that @open loads again, which then is not where the host looks for it
 */
struct exact_op {
	const char *name;
	const char *floor;
	int (*open)(const char *node);
	void (*run)(void);
	int (*check)(void);
	void (*close)(void);
	bool spread, untraced;
};

/* How often run() was called since open(), by either clock: what @check holds the effects against. */
extern uint64_t exact_calls;

/* exact_main - measures all operations on $CDEVLAB_NODE or --node PATH; returns an exit status. */
int exact_main(int argc, char **argv, const struct exact_op *ops, size_t n_ops);

/* Whether the table has all these operations; one that it has not is said on standard error. */
bool exact_ops_known(const char *const *names, size_t n, const struct exact_op *ops, size_t n_ops);
/* Whether it is one of these; of none, each is. */
bool exact_op_wanted(const struct exact_op *op, const char *const *names, size_t n);

#endif
