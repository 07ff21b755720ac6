/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Snapshots of a CPU's counters: time, cycle and instret, as RISC-V calls them. The calls, their errors
 * and what stands behind each field on which machine are described in README.md.
 */
#ifndef _RVCPU_H
#define _RVCPU_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Permissions of the node: the module parameter "mode". Exact counters tell what others do. */
#define RVCPU_MODE_DEFAULT 0440

/* Whether counters of the PMU are taken through perf: the module parameter "pmu", 0 or 1. */
#define RVCPU_PMU_DEFAULT 1

/* The value of a field that is not live. No counter gets there. */
#define RVCPU_ABSENT (~0ULL)

/* The first ABI */

/**
 * struct rvcpu_counters - what read(2) and RVCPU_READ return, in the byte order of the machine
 * @time:	the clock that runs at a constant rate
 * @cycle:	cycles of the CPU, or RVCPU_ABSENT
 * @instret:	instructions retired, or RVCPU_ABSENT
 *
 * Not both of @cycle and @instret are absent: the call fails with EOPNOTSUPP then.
 */
struct rvcpu_counters {
	__u64 time;
	__u64 cycle;
	__u64 instret;
};

/* The second ABI */

/* Fields of a record: rvcpu_record.live, rvcpu_snapshot.need, rvcpu_snapshot.skip */
#define RVCPU_TIME    (1U << 0)
#define RVCPU_CYCLE   (1U << 1)
#define RVCPU_INSTRET (1U << 2)
#define RVCPU_KTIME   (1U << 3) /* before_ns and after_ns */

/* Where a live field is from: rvcpu_record.*_source */
#define RVCPU_SOURCE_NONE   0 /* it is not live */
#define RVCPU_SOURCE_CSR    1 /* RISC-V: the CSR of that name */
#define RVCPU_SOURCE_PERF   2 /* a counter of the PMU, through perf; counts from the module's load */
#define RVCPU_SOURCE_TSC    3 /* x86-64: the time stamp counter */
#define RVCPU_SOURCE_CNTVCT 4 /* arm64: the virtual counter of the generic timer */

/* Why a field is not live: rvcpu_record.*_missing */
#define RVCPU_MISSING_NOT      0 /* it is live */
#define RVCPU_MISSING_NO_PMU   1 /* the CPU has no PMU that the kernel knows */
#define RVCPU_MISSING_TAKEN    2 /* the counters of the PMU are in use by others */
#define RVCPU_MISSING_STOPPED  3 /* the CSR is there and stands still: the SBI stopped it */
#define RVCPU_MISSING_REFUSED  4 /* firmware does not let the kernel read the CSR */
#define RVCPU_MISSING_UNUSED   5 /* only the PMU could tell, and the module was loaded with pmu=0 */
#define RVCPU_MISSING_OFFLINE  6 /* the CPU is offline */
#define RVCPU_MISSING_ERROR    7 /* perf failed, for lack of memory for example */
#define RVCPU_MISSING_SKIPPED  8 /* the caller did not want it */
#define RVCPU_MISSING_NO_EVENT 9 /* the CPU has a PMU that does not count it */

/**
 * struct rvcpu_record - the counters of one CPU, all read on it with interrupts off
 * @cpu:		which CPU
 * @live:		RVCPU_TIME | ...: the fields that hold a counter's value
 * @time_source:	RVCPU_SOURCE_*
 * @time_missing:	RVCPU_MISSING_*
 * @cycle_source:	RVCPU_SOURCE_*
 * @cycle_missing:	RVCPU_MISSING_*
 * @instret_source:	RVCPU_SOURCE_*
 * @instret_missing:	RVCPU_MISSING_*
 * @state_reserved:	zero
 * @epoch:		goes up when counting on this CPU began anew, because it was offline or its
 *			PMU was taken; what happened meanwhile is not in the values, which go on
 *			from where they were
 * @reserved:		zero
 * @before_ns:		CLOCK_MONOTONIC before the first field was read, on that CPU; RVCPU_ABSENT when
 *			not live, as the next four
 * @time:		the clock that runs at a constant rate
 * @cycle:		cycles of the CPU
 * @instret:		instructions retired
 * @after_ns:		CLOCK_MONOTONIC after the last one
 */
struct rvcpu_record {
	__u32 cpu;
	__u32 live;
	__u8 time_source;
	__u8 time_missing;
	__u8 cycle_source;
	__u8 cycle_missing;
	__u8 instret_source;
	__u8 instret_missing;
	__u16 state_reserved;
	__u32 epoch;
	__u32 reserved;
	__u64 before_ns;
	__u64 time;
	__u64 cycle;
	__u64 instret;
	__u64 after_ns;
};

#define RVCPU_RECORD_SIZE_VER0 64

/* rvcpu_snapshot.which */
#define RVCPU_ONE 0 /* the CPU in @cpu */
#define RVCPU_SET 1 /* those in @set, offline ones too */
#define RVCPU_ALL 2 /* all that are online */

/* rvcpu_snapshot.cpu: the one that the caller runs on. */
#define RVCPU_THIS_CPU (~0U)

/* Most records of one call. */
#define RVCPU_RECORDS_MAX 1024

/**
 * struct rvcpu_snapshot - the argument of RVCPU_SNAPSHOT
 * @size:		bytes of this structure as the caller knows it, at least
 *			RVCPU_SNAPSHOT_SIZE_VER0; bytes that this kernel does not know must be zero
 * @which:		RVCPU_ONE, RVCPU_SET or RVCPU_ALL
 * @cpu:		RVCPU_ONE: the CPU or RVCPU_THIS_CPU; else zero
 * @need:		fields without which the records are of no use: EOPNOTSUPP unless they are
 *			live in all of them
 * @rounds:		how often to take each CPU's snapshot, 1 .. RVCPU_RECORDS_MAX
 * @count:		before: records there is room for, 0 to ask how many there would be; after:
 *			records written, or how many there would be
 * @skip:		fields that are not wanted, which makes the call cheaper
 * @record_size:	bytes of a record as the caller knows it, a multiple of 8 from
 *			RVCPU_RECORD_SIZE_VER0; a longer one is filled up with zeros
 * @set_size:		RVCPU_SET: bytes at @set, a multiple of 8 up to RVCPU_SET_SIZE_MAX; else zero
 * @set:		RVCPU_SET: pointer to __u64 words, CPU n is bit n % 64 of word n / 64
 * @records:		pointer to the room for records: a round after the other, in each the CPUs by
 *			number
 *
 * New fields go to the end. The number of RVCPU_SNAPSHOT keeps the size of this first version.
 */
struct rvcpu_snapshot {
	__u32 size;
	__u32 which;
	__u32 cpu;
	__u32 need;
	__u32 rounds;
	__u32 count;
	__u32 skip;
	__u16 record_size;
	__u16 set_size;
	__aligned_u64 set;
	__aligned_u64 records;
};

#define RVCPU_SNAPSHOT_SIZE_VER0 48
/* A larger structure or record is taken for a mistake: -E2BIG. */
#define RVCPU_SIZE_MAX	   4096
#define RVCPU_SET_SIZE_MAX 1024

#define RVCPU_IOC_MAGIC '|'

/* A fresh snapshot of the CPU that the caller runs on. */
#define RVCPU_READ     _IOR(RVCPU_IOC_MAGIC, 0x80, struct rvcpu_counters)
#define RVCPU_SNAPSHOT _IOWR(RVCPU_IOC_MAGIC, 0x81, struct rvcpu_snapshot)

#endif /* _RVCPU_H */
