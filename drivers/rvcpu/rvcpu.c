// SPDX-License-Identifier: GPL-2.0
/*
 * Snapshots of a CPU's counters: time, cycle and instret.
 *
 * Time is a register of the CPU. Cycles and instructions are counted by its PMU, of which each CPU
 * has two counters taken through perf as long as the module is loaded, so that a snapshot only has
 * to read them. Without a PMU, RISC-V has CSRs for them, which may stand still; other machines have
 * nothing.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitmap.h>
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/version.h>

#include "rvcpu.h"

#ifndef CONFIG_64BIT
#error "64-bit machines only: a counter is read at once"
#endif

/* No holes, on any architecture; numbers and sizes that programs were compiled with. */
static_assert(sizeof(struct rvcpu_counters) == 24);
static_assert(sizeof(struct rvcpu_record) == RVCPU_RECORD_SIZE_VER0);
static_assert(sizeof(struct rvcpu_snapshot) == RVCPU_SNAPSHOT_SIZE_VER0);
static_assert(RVCPU_READ == 0x80187C80);
static_assert(_IOC_SIZE(RVCPU_SNAPSHOT) == RVCPU_SNAPSHOT_SIZE_VER0);

#define RVCPU_FIELDS (RVCPU_TIME | RVCPU_CYCLE | RVCPU_INSTRET | RVCPU_KTIME)

/* How often a PMU that others have taken is asked for again, per CPU. */
#define RVCPU_RETRY (HZ / 10)

enum rvcpu_kind {
	RVCPU_KIND_CYCLE,
	RVCPU_KIND_INSTRET,
	RVCPU_KINDS
};

#define RVCPU_KIND_FIELD(kind) ((kind) == RVCPU_KIND_CYCLE ? RVCPU_CYCLE : RVCPU_INSTRET)

/**
 * struct rvcpu_field - a field of a record
 * @value:	what was read, or RVCPU_ABSENT
 * @state:	sixteen bits each for time, cycle and instret: the source in the lower eight, why it
 *		is missing in the upper; above these its bit of rvcpu_record.live, or
 *		RVCPU_STATE_TAKEN. The states of all fields are or-ed to those of a record
 */
struct rvcpu_field {
	u64 value;
	u64 state;
};

#define RVCPU_STATE_LIVE_SHIFT 48
#define RVCPU_STATE_TAKEN      BIT_ULL(63) /* asking the PMU again might help */

#define RVCPU_STATE(field, source, missing)                        \
	((u64)((source) | (missing) << 8) << 16 * ((field) >> 1) | \
	 ((source) ? (u64)(field) << RVCPU_STATE_LIVE_SHIFT : 0) | \
	 ((missing) == RVCPU_MISSING_TAKEN ? RVCPU_STATE_TAKEN : 0))
/* A field's bit, halved, is its place in the state. */
static_assert(RVCPU_TIME >> 1 == 0 && RVCPU_CYCLE >> 1 == 1 && RVCPU_INSTRET >> 1 == 2);

/**
 * struct rvcpu_counter - what counts cycles or instructions on a CPU
 * @event:	pinned: it is on the PMU, or in an error state because others are. NULL: there is none,
 *		or it is being enabled again
 * @base:	what its predecessors, before the CPU was offline, had counted
 * @mask:	the bits that the register has
 * @idx:	perf's number of the counter whose register is @reg, or RVCPU_IDX_*
 * @reg:	the register that counts, see rvcpu_register_read()
 * @missing:	the state of a field without @event, see struct rvcpu_field
 */
struct rvcpu_counter {
	struct perf_event *event;
	u64 base;
	u64 mask;
	u64 missing;
	int idx;
	u8 reg;
};

#define RVCPU_IDX_UNKNOWN -2 /* look which register it is */
#define RVCPU_IDX_NONE	  -3 /* only the PMU's driver can read it */

/**
 * struct rvcpu_cpu - what there is on a CPU
 * @counters:	read on that CPU with interrupts off. Taken away on that CPU too, by hotplug; an
 *		event may be added from another one
 * @epoch:	how often counting began
 * @next_try:	jiffies at which to ask for a taken PMU again; under rvcpu_retry_lock
 */
struct rvcpu_cpu {
	struct rvcpu_counter counters[RVCPU_KINDS];
	u32 epoch;
	unsigned long next_try;
};

/**
 * struct rvcpu_open - one open file
 * @first:	the snapshot taken at open, what read returns
 * @error:	-EOPNOTSUPP when there was nothing but the time
 */
struct rvcpu_open {
	struct rvcpu_counters first;
	int error;
};

static unsigned int mode = RVCPU_MODE_DEFAULT;
module_param(mode, uint, 0444);
MODULE_PARM_DESC(mode, "Permissions of the node, octal with a leading 0 (default 0440)");

static unsigned int pmu = RVCPU_PMU_DEFAULT;
module_param(pmu, uint, 0444);
MODULE_PARM_DESC(pmu, "1: take two counters of each CPU's PMU, 0: leave it alone (default 1)");

static DEFINE_PER_CPU(struct rvcpu_cpu, rvcpu_cpus);
/* Lets one task at a time ask for a PMU again. Inside cpus_read_lock(). */
static DEFINE_MUTEX(rvcpu_retry_lock);
static enum cpuhp_state rvcpu_hotplug;

/* The registers */

#if defined(CONFIG_X86_64)

#include <asm/msr.h>
#include <asm/tsc.h>

#define RVCPU_TIME_SOURCE RVCPU_SOURCE_TSC
#define RVCPU_TIME_NAME	  "TSC"

static __always_inline u64 rvcpu_time(void)
{
	return rdtsc_ordered();
}

#elif defined(CONFIG_ARM64)

#include <asm/arch_timer.h>

#define RVCPU_TIME_SOURCE RVCPU_SOURCE_CNTVCT
#define RVCPU_TIME_NAME	  "CNTVCT"

static __always_inline u64 rvcpu_time(void)
{
	return __arch_counter_get_cntvct();
}

#if defined(CONFIG_PERF_EVENTS) && defined(CONFIG_ARM_PMU)

#include <linux/perf/arm_pmu.h>

#define RVCPU_REGISTERS	   1
#define RVCPU_REG_PMCCNTR  31
#define RVCPU_REG_PMEVCNTR 8 /* the first so many; who has more uses the others seldom */

/* Counter 31 or an event counter. */
static __always_inline u64 rvcpu_register_read(enum rvcpu_kind kind, u8 reg)
{
	if (reg == RVCPU_REG_PMCCNTR)
		return read_sysreg(pmccntr_el0);
	switch (reg) {
	case 0:
		return read_sysreg(pmevcntr0_el0);
	case 1:
		return read_sysreg(pmevcntr1_el0);
	case 2:
		return read_sysreg(pmevcntr2_el0);
	case 3:
		return read_sysreg(pmevcntr3_el0);
	case 4:
		return read_sysreg(pmevcntr4_el0);
	case 5:
		return read_sysreg(pmevcntr5_el0);
	case 6:
		return read_sysreg(pmevcntr6_el0);
	default:
		return read_sysreg(pmevcntr7_el0);
	}
}

static bool rvcpu_register_find(struct perf_event *event, u8 *reg, u64 *mask)
{
	int idx = event->hw.idx;

	/* Another kind of PMU, Apple's for example. */
	if (!to_arm_pmu(event->pmu)->pmuver)
		return false;
	/* perf's numbers are the hardware's since 6.12; before, the cycle counter was the first. */
	if (LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0))
		idx = idx ? idx - 1 : RVCPU_REG_PMCCNTR;
	if (idx != RVCPU_REG_PMCCNTR && (idx < 0 || idx >= RVCPU_REG_PMEVCNTR))
		return false;
	*reg = idx;
	*mask = event->hw.flags & ARMPMU_EVT_64BIT ? U64_MAX : U32_MAX;
	return true;
}

#endif

#elif defined(CONFIG_RISCV)

#include <asm/asm-extable.h>
#include <asm/csr.h>
#include <asm/timex.h>

#define RVCPU_TIME_SOURCE RVCPU_SOURCE_CSR
#define RVCPU_TIME_NAME	  "CSR"

static __always_inline u64 rvcpu_time(void)
{
	return get_cycles64();
}

/* The PMU's driver tells the CSR since 6.6. */
#if defined(CONFIG_PERF_EVENTS) && defined(CONFIG_RISCV_PMU) && \
	LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)

#include <linux/perf/riscv_pmu.h>

#define RVCPU_REGISTERS	      1
#define RVCPU_REG_CYCLE	      0
#define RVCPU_REG_INSTRET     (CSR_INSTRET - CSR_CYCLE)
#define RVCPU_REG_HPMCOUNTER3 (CSR_HPMCOUNTER3 - CSR_CYCLE)
#define RVCPU_REG_END	      (CSR_HPMCOUNTER8 - CSR_CYCLE)

/* The CSR's number above that of cycle. */
static __always_inline u64 rvcpu_register_read(enum rvcpu_kind kind, u8 reg)
{
	if (kind == RVCPU_KIND_CYCLE && likely(reg == RVCPU_REG_CYCLE))
		return csr_read(CSR_CYCLE);
	if (kind == RVCPU_KIND_INSTRET && likely(reg == RVCPU_REG_INSTRET))
		return csr_read(CSR_INSTRET);
	switch (reg) {
	case RVCPU_REG_CYCLE:
		return csr_read(CSR_CYCLE);
	case RVCPU_REG_INSTRET:
		return csr_read(CSR_INSTRET);
	case RVCPU_REG_HPMCOUNTER3:
		return csr_read(CSR_HPMCOUNTER3);
	case RVCPU_REG_HPMCOUNTER3 + 1:
		return csr_read(CSR_HPMCOUNTER4);
	case RVCPU_REG_HPMCOUNTER3 + 2:
		return csr_read(CSR_HPMCOUNTER5);
	case RVCPU_REG_HPMCOUNTER3 + 3:
		return csr_read(CSR_HPMCOUNTER6);
	default:
		return csr_read(CSR_HPMCOUNTER7);
	}
}

static bool rvcpu_register_find(struct perf_event *event, u8 *reg, u64 *mask)
{
	const struct riscv_pmu *rvpmu = to_riscv_pmu(event->pmu);
	unsigned int width;

	if (event->hw.idx < 0 || !rvpmu->csr_index || !rvpmu->ctr_get_width)
		return false;
	*reg = rvpmu->csr_index(event);
	width = rvpmu->ctr_get_width(event->hw.idx);
	if (*reg >= RVCPU_REG_END || *reg == CSR_TIME - CSR_CYCLE || width > 63)
		return false;
	*mask = GENMASK_ULL(width, 0);
	return true;
}

#endif

/* False: it is an illegal instruction here, because mcounteren says so. */
#define rvcpu_csr_read(csr, value)                                   \
	({                                                           \
		unsigned long read_ = 0;                             \
		asm volatile("1:	csrr %0, " csr "\n"          \
			     "	li %1, 1\n"                           \
			     "2:\n" _ASM_EXTABLE(1b, 2b)             \
			     : "=&r"(value), "+r"(read_)::"memory"); \
		read_;                                               \
	})

#else
#error "x86-64, arm64 or riscv64: what tells the time elsewhere is not known here"
#endif

static struct rvcpu_field rvcpu_missing_field(u64 state)
{
	return (struct rvcpu_field){ .value = RVCPU_ABSENT, .state = state };
}

#ifdef CONFIG_RISCV

/* Looks that a CSR gets to move between: one would do, but for a CPU that retires many at once. */
#define RVCPU_CSR_LOOKS 8

/*
 * The CSR instead of the PMU. The SBI's PMU extension stops it while perf does not count, at any time: so
 * look each time whether it moves. Called with interrupts off.
 */
static noinline struct rvcpu_field rvcpu_without_pmu(const struct rvcpu_counter *counter,
						     enum rvcpu_kind kind)
{
	const u32 field = RVCPU_KIND_FIELD(kind);
	u64 missing = READ_ONCE(counter->missing);
	unsigned long now, then = 0;
	unsigned int look;
	bool readable;

	if (missing != RVCPU_STATE(field, 0, RVCPU_MISSING_NO_PMU) &&
	    missing != RVCPU_STATE(field, 0, RVCPU_MISSING_NO_EVENT) &&
	    missing != RVCPU_STATE(field, 0, RVCPU_MISSING_UNUSED))
		return rvcpu_missing_field(missing);
	for (look = 0; look < RVCPU_CSR_LOOKS; look++) {
		if (kind == RVCPU_KIND_CYCLE)
			readable = rvcpu_csr_read("cycle", now);
		else
			readable = rvcpu_csr_read("instret", now);
		if (!readable)
			return rvcpu_missing_field(RVCPU_STATE(field, 0, RVCPU_MISSING_REFUSED));
		if (look && now != then)
			return (struct rvcpu_field){
				.value = now,
				.state = RVCPU_STATE(field, RVCPU_SOURCE_CSR, 0),
			};
		then = now;
	}
	return rvcpu_missing_field(RVCPU_STATE(field, 0, RVCPU_MISSING_STOPPED));
}

#else

static __always_inline struct rvcpu_field rvcpu_without_pmu(const struct rvcpu_counter *counter,
							    enum rvcpu_kind kind)
{
	return rvcpu_missing_field(READ_ONCE(counter->missing));
}

#endif

/* The PMU */

#ifdef CONFIG_PERF_EVENTS

#ifdef RVCPU_REGISTERS

/* No more is counted between two readings of a counter. */
#define RVCPU_NEAR BIT_ULL(24)

/*
 * Finds the register that holds an event's counter. Its driver may think otherwise of it one day: its
 * own reading has to be between two of ours.
 */
static void rvcpu_register_learn(struct rvcpu_counter *counter, struct perf_event *event,
				 enum rvcpu_kind kind)
{
	u64 before, its, after, mask;
	u8 reg;

	counter->idx = RVCPU_IDX_NONE;
	if (!rvcpu_register_find(event, &reg, &mask))
		return;
	before = rvcpu_register_read(kind, reg);
	event->pmu->read(event);
	its = local64_read(&event->hw.prev_count);
	after = rvcpu_register_read(kind, reg);
	if (((after - before) & mask) >= RVCPU_NEAR ||
	    ((its - before) & mask) > ((after - before) & mask))
		return;
	counter->mask = mask;
	counter->reg = reg;
	counter->idx = event->hw.idx;
}

#endif

static noinline u64 rvcpu_event_count(struct rvcpu_counter *counter, struct perf_event *event,
				      enum rvcpu_kind kind)
{
#ifdef RVCPU_REGISTERS
	if (counter->idx != RVCPU_IDX_NONE)
		rvcpu_register_learn(counter, event, kind);
#endif
	event->pmu->read(event);
	return local64_read(&event->count);
}

/*
 * Called with interrupts off. What perf_event_read_local() does, which modules are not given: while
 * the event is on this CPU's PMU nothing but an interrupt can take it off. Where the register is known,
 * its driver is not asked; it keeps what the register was when it last looked at it.
 */
static __always_inline bool rvcpu_event_read(struct rvcpu_counter *counter,
					     struct perf_event *event, enum rvcpu_kind kind,
					     int cpu, u64 *value)
{
	if (unlikely(READ_ONCE(event->oncpu) != cpu))
		return false;
#ifdef RVCPU_REGISTERS
	if (likely(event->hw.idx == counter->idx)) {
		u64 then, now, count;

		/* Arm can make the PMU's interrupt one that is not masked: it moves both. */
		do {
			then = local64_read(&event->hw.prev_count);
			now = rvcpu_register_read(kind, counter->reg);
			count = local64_read(&event->count);
		} while (unlikely(local64_read(&event->hw.prev_count) != then));
		*value = counter->base + count + ((now - then) & counter->mask);
		return true;
	}
#endif
	*value = counter->base + rvcpu_event_count(counter, event, kind);
	return true;
}

static u64 rvcpu_event_last(struct perf_event *event)
{
	return local64_read(&event->count);
}

static bool rvcpu_event_on(struct perf_event *event, int cpu)
{
	return READ_ONCE(event->oncpu) == cpu;
}

/* Not for a moment, while perf puts others beside it: it stays without a counter until it is enabled again. */
static bool rvcpu_event_is_off(struct perf_event *event)
{
	return READ_ONCE(event->state) == PERF_EVENT_STATE_ERROR;
}

static u8 rvcpu_missing(long error)
{
	switch (error) {
	case -EBUSY:
	case -EAGAIN:
	case -ENOSPC:
	/* KVM has lent it to a guest: nothing of ours asks for what a PMU might not support. */
	case -EOPNOTSUPP:
		return RVCPU_MISSING_TAKEN;
	case -EINVAL:
		return RVCPU_MISSING_NO_EVENT;
	/* Nobody says that the event is his own. */
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return RVCPU_MISSING_NO_PMU;
	default:
		return RVCPU_MISSING_ERROR;
	}
}

/* An event that counts, or NULL with the reason in @counter->missing. */
static struct perf_event *rvcpu_event_new(struct rvcpu_counter *counter, enum rvcpu_kind kind,
					  int cpu)
{
	static const u64 configs[RVCPU_KINDS] = {
		[RVCPU_KIND_CYCLE] = PERF_COUNT_HW_CPU_CYCLES,
		[RVCPU_KIND_INSTRET] = PERF_COUNT_HW_INSTRUCTIONS,
	};
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.config = configs[kind],
		.size = sizeof(attr),
		/* All the time or not at all: a count with gaps is no counter. */
		.pinned = 1,
	};
	const u32 field = RVCPU_KIND_FIELD(kind);
	struct perf_event *event;

	if (!pmu) {
		counter->missing = RVCPU_STATE(field, 0, RVCPU_MISSING_UNUSED);
		return NULL;
	}
	event = perf_event_create_kernel_counter(&attr, cpu, NULL, NULL, NULL);
	if (IS_ERR(event)) {
		counter->missing = RVCPU_STATE(field, 0, rvcpu_missing(PTR_ERR(event)));
		return NULL;
	}
	counter->missing = RVCPU_STATE(field, 0, RVCPU_MISSING_TAKEN);
	counter->idx = RVCPU_IDX_UNKNOWN;
	return event;
}

static void rvcpu_event_enable(struct perf_event *event)
{
	perf_event_enable(event);
}

static void rvcpu_event_release(struct perf_event *event)
{
	perf_event_release_kernel(event);
}

#else /* !CONFIG_PERF_EVENTS */

static bool rvcpu_event_read(struct rvcpu_counter *counter, struct perf_event *event,
			     enum rvcpu_kind kind, int cpu, u64 *value)
{
	return false;
}

static u64 rvcpu_event_last(struct perf_event *event)
{
	return 0;
}

static bool rvcpu_event_on(struct perf_event *event, int cpu)
{
	return false;
}

static bool rvcpu_event_is_off(struct perf_event *event)
{
	return false;
}

static struct perf_event *rvcpu_event_new(struct rvcpu_counter *counter, enum rvcpu_kind kind,
					  int cpu)
{
	counter->missing = RVCPU_STATE(RVCPU_KIND_FIELD(kind), 0,
				       pmu ? RVCPU_MISSING_NO_PMU : RVCPU_MISSING_UNUSED);
	return NULL;
}

static void rvcpu_event_enable(struct perf_event *event)
{
}

static void rvcpu_event_release(struct perf_event *event)
{
}

#endif /* CONFIG_PERF_EVENTS */

/* perf says the same of a PMU that is not there and of one without the event. The other event tells. */
static void rvcpu_counter_compare(struct rvcpu_counter *counter, const struct rvcpu_counter *other,
				  enum rvcpu_kind kind)
{
	const u32 field = RVCPU_KIND_FIELD(kind);

	if (counter->missing == RVCPU_STATE(field, 0, RVCPU_MISSING_NO_PMU) &&
	    (other->event || other->missing & RVCPU_STATE_TAKEN))
		counter->missing = RVCPU_STATE(field, 0, RVCPU_MISSING_NO_EVENT);
}

/* Runs on the CPU that comes, before tasks do. */
static int rvcpu_online(unsigned int cpu)
{
	struct rvcpu_cpu *rc = per_cpu_ptr(&rvcpu_cpus, cpu);
	int kind;

	for (kind = 0; kind < RVCPU_KINDS; kind++)
		rc->counters[kind].event = rvcpu_event_new(&rc->counters[kind], kind, cpu);
	for (kind = 0; kind < RVCPU_KINDS; kind++)
		rvcpu_counter_compare(&rc->counters[kind], &rc->counters[!kind], kind);
	WRITE_ONCE(rc->epoch, rc->epoch + 1);
	return 0;
}

/* Runs on the CPU that goes, after the tasks. perf would leave a dead event behind. */
static int rvcpu_offline(unsigned int cpu)
{
	struct rvcpu_cpu *rc = per_cpu_ptr(&rvcpu_cpus, cpu);
	int kind;

	for (kind = 0; kind < RVCPU_KINDS; kind++) {
		struct rvcpu_counter *counter = &rc->counters[kind];
		struct perf_event *event = counter->event;
		unsigned long flags;
		u64 last;

		if (!event)
			continue;
		/* Snapshots for other CPUs' callers are interrupts of this one. */
		local_irq_save(flags);
		if (!rvcpu_event_read(counter, event, kind, cpu, &last))
			last = counter->base + rvcpu_event_last(event);
		counter->base = last;
		counter->event = NULL;
		counter->missing = RVCPU_STATE(RVCPU_KIND_FIELD(kind), 0, RVCPU_MISSING_OFFLINE);
		local_irq_restore(flags);
		rvcpu_event_release(event);
	}
	return 0;
}

static bool rvcpu_counter_on(const struct rvcpu_counter *counter, unsigned int cpu)
{
	return counter->event && rvcpu_event_on(counter->event, cpu);
}

/*
 * Asks for the counters of a PMU that others had taken. A pinned event that once did not get one stays
 * without until it is enabled again. Returns whether one was got, or whoever asked just before has got
 * one of those @fields. Called under cpus_read_lock().
 */
static bool rvcpu_retry(unsigned int cpu, u32 fields)
{
	struct rvcpu_cpu *rc = per_cpu_ptr(&rvcpu_cpus, cpu);
	struct perf_event *events[RVCPU_KINDS] = {};
	bool got = false;
	int kind;

	mutex_lock(&rvcpu_retry_lock);
	if (rc->next_try && time_before(jiffies, rc->next_try)) {
		for (kind = 0; kind < RVCPU_KINDS; kind++)
			got |= fields & RVCPU_KIND_FIELD(kind) &&
			       rvcpu_counter_on(&rc->counters[kind], cpu);
		goto out;
	}
	rc->next_try = (jiffies + RVCPU_RETRY) ?: 1;

	for (kind = 0; kind < RVCPU_KINDS; kind++) {
		struct rvcpu_counter *counter = &rc->counters[kind];
		struct perf_event *event = counter->event;

		if (!(counter->missing & RVCPU_STATE_TAKEN) ||
		    (event && !rvcpu_event_is_off(event)))
			continue;
		/* It counts before the epoch can tell: until then nobody reads it. */
		WRITE_ONCE(counter->event, NULL);
		if (event)
			rvcpu_event_enable(event);
		else
			event = rvcpu_event_new(counter, kind, cpu);
		events[kind] = event;
		got |= event && rvcpu_event_on(event, cpu);
	}
	if (got)
		WRITE_ONCE(rc->epoch, rc->epoch + 1);
	/* Who sees the event sees the epoch, and what is in it. What @idx and @mask say still holds. */
	for (kind = 0; kind < RVCPU_KINDS; kind++) {
		if (events[kind])
			smp_store_release(&rc->counters[kind].event, events[kind]);
	}
out:
	mutex_unlock(&rvcpu_retry_lock);
	return got;
}

/* Snapshots */

/* A snapshot as it is in registers: a record, with the states of all fields in one word. */
struct rvcpu_taking {
	u64 before, time, cycle, instret, after;
	u64 state;
	u32 cpu, epoch;
};

/* Called with interrupts off. */
static __always_inline struct rvcpu_field rvcpu_counter_read(struct rvcpu_cpu *rc,
							     enum rvcpu_kind kind, int cpu)
{
	const u32 field = RVCPU_KIND_FIELD(kind);
	struct rvcpu_counter *counter = &rc->counters[kind];
	struct rvcpu_field f = { .state = RVCPU_STATE(field, RVCPU_SOURCE_PERF, 0) };

	/* Before the epoch is read. */
	struct perf_event *event = smp_load_acquire(&counter->event);

	if (!event)
		return rvcpu_without_pmu(counter, kind);
	if (unlikely(!rvcpu_event_read(counter, event, kind, cpu, &f.value)))
		return rvcpu_missing_field(RVCPU_STATE(field, 0, RVCPU_MISSING_TAKEN));
	return f;
}

static __always_inline struct rvcpu_field rvcpu_skipped(u32 field)
{
	return rvcpu_missing_field(RVCPU_STATE(field, 0, RVCPU_MISSING_SKIPPED));
}

/* Called with interrupts off. */
static __always_inline struct rvcpu_taking rvcpu_take(u32 skip)
{
	struct rvcpu_cpu *rc = this_cpu_ptr(&rvcpu_cpus);
	struct rvcpu_field time, cycle, instret;
	struct rvcpu_taking t = {
		.before = RVCPU_ABSENT,
		.after = RVCPU_ABSENT,
		.cpu = smp_processor_id(),
	};

	if (!(skip & RVCPU_KTIME)) {
		t.before = ktime_get_ns();
		t.state = (u64)RVCPU_KTIME << RVCPU_STATE_LIVE_SHIFT;
	}
	if (unlikely(skip & RVCPU_TIME))
		time = rvcpu_skipped(RVCPU_TIME);
	else
		time = (struct rvcpu_field){
			.value = rvcpu_time(),
			.state = RVCPU_STATE(RVCPU_TIME, RVCPU_TIME_SOURCE, 0),
		};
	if (unlikely(skip & RVCPU_CYCLE))
		cycle = rvcpu_skipped(RVCPU_CYCLE);
	else
		cycle = rvcpu_counter_read(rc, RVCPU_KIND_CYCLE, t.cpu);
	if (unlikely(skip & RVCPU_INSTRET))
		instret = rvcpu_skipped(RVCPU_INSTRET);
	else
		instret = rvcpu_counter_read(rc, RVCPU_KIND_INSTRET, t.cpu);
	if (!(skip & RVCPU_KTIME))
		t.after = ktime_get_ns();

	t.epoch = READ_ONCE(rc->epoch);
	t.time = time.value;
	t.cycle = cycle.value;
	t.instret = instret.value;
	t.state |= time.state | cycle.state | instret.state;
	return t;
}

static __always_inline struct rvcpu_taking rvcpu_take_here(u32 skip)
{
	unsigned long flags;

	local_irq_save(flags);
	{
		/* Not declared above: a compiler told to clear variables would. */
		struct rvcpu_taking t = rvcpu_take(skip);

		local_irq_restore(flags);
		return t;
	}
}

static __always_inline u32 rvcpu_live(u64 state)
{
	return (state & ~RVCPU_STATE_TAKEN) >> RVCPU_STATE_LIVE_SHIFT;
}

/* The eight bytes of a record from time_source on. */
static __always_inline u64 rvcpu_states(u64 state)
{
	return (__force u64)cpu_to_le64(state & GENMASK_ULL(RVCPU_STATE_LIVE_SHIFT - 1, 0));
}

static void rvcpu_record_fill(struct rvcpu_record *r, const struct rvcpu_taking *t)
{
	const u64 states = rvcpu_states(t->state);

	r->cpu = t->cpu;
	r->live = rvcpu_live(t->state);
	memcpy((u8 *)r + offsetof(struct rvcpu_record, time_source), &states, sizeof(states));
	r->epoch = t->epoch;
	r->reserved = 0;
	r->before_ns = t->before;
	r->time = t->time;
	r->cycle = t->cycle;
	r->instret = t->instret;
	r->after_ns = t->after;
}

static void rvcpu_take_offline(struct rvcpu_record *r, unsigned int cpu)
{
	*r = (struct rvcpu_record){
		.cpu = cpu,
		.time_missing = RVCPU_MISSING_OFFLINE,
		.cycle_missing = RVCPU_MISSING_OFFLINE,
		.instret_missing = RVCPU_MISSING_OFFLINE,
		.epoch = READ_ONCE(per_cpu(rvcpu_cpus, cpu).epoch),
		.before_ns = RVCPU_ABSENT,
		.time = RVCPU_ABSENT,
		.cycle = RVCPU_ABSENT,
		.instret = RVCPU_ABSENT,
		.after_ns = RVCPU_ABSENT,
	};
}

/* The fields whose counters others have. */
static u32 rvcpu_taken(const struct rvcpu_record *r)
{
	return (r->cycle_missing == RVCPU_MISSING_TAKEN ? RVCPU_CYCLE : 0) |
	       (r->instret_missing == RVCPU_MISSING_TAKEN ? RVCPU_INSTRET : 0);
}

/* The first ABI. Returns the states of the fields. */
static __always_inline u64 rvcpu_read_here(struct rvcpu_counters *c)
{
	const struct rvcpu_taking t = rvcpu_take_here(RVCPU_KTIME);

	c->time = t.time;
	c->cycle = t.cycle;
	c->instret = t.instret;
	return t.state;
}

/* Whether there is more than the time. */
static __always_inline bool rvcpu_worth_it(u64 state)
{
	return rvcpu_live(state) & (RVCPU_CYCLE | RVCPU_INSTRET);
}

/* Others had taken the PMU of this CPU, or of another one that we ran on just now. */
static noinline int rvcpu_read_again(struct rvcpu_counters *c)
{
	cpus_read_lock();
	rvcpu_retry(raw_smp_processor_id(), 0);
	cpus_read_unlock();
	return rvcpu_worth_it(rvcpu_read_here(c)) ? 0 : -EOPNOTSUPP;
}

static int rvcpu_read_counters(struct rvcpu_counters *c)
{
	u64 state = rvcpu_read_here(c);

	if (unlikely(state & RVCPU_STATE_TAKEN))
		return rvcpu_read_again(c);
	return rvcpu_worth_it(state) ? 0 : -EOPNOTSUPP;
}

/* The second ABI */

/**
 * struct rvcpu_request - what an RVCPU_SNAPSHOT asks for
 * @s:		its argument
 * @cpus:	those it asks for; not used with RVCPU_THIS_CPU
 * @online:	those of them that are online
 * @per_round:	records of each round
 */
struct rvcpu_request {
	struct rvcpu_snapshot s;
	cpumask_var_t cpus, online;
	unsigned int per_round;
};

struct rvcpu_round {
	const struct cpumask *cpus;
	struct rvcpu_record *records;
	u32 skip;
};

/* Runs on each CPU asked for, with interrupts off. */
static void rvcpu_take_one(void *info)
{
	const struct rvcpu_round *round = info;
	struct rvcpu_taking t = rvcpu_take(round->skip);

	rvcpu_record_fill(&round->records[bitmap_weight(cpumask_bits(round->cpus), t.cpu)], &t);
}

/* Called under cpus_read_lock(). */
static void rvcpu_take_round(const struct rvcpu_request *req, struct rvcpu_record *records)
{
	struct rvcpu_round round = {
		.cpus = req->cpus,
		.records = records,
		.skip = req->s.skip,
	};
	unsigned int cpu, i = 0;

	for_each_cpu(cpu, req->cpus)
	{
		if (!cpumask_test_cpu(cpu, req->online))
			rvcpu_take_offline(&records[i], cpu);
		i++;
	}
	on_each_cpu_mask(req->online, rvcpu_take_one, &round, true);
}

/* Called under cpus_read_lock(). */
static void rvcpu_take_rounds(const struct rvcpu_request *req, struct rvcpu_record *records)
{
	unsigned int round, i;
	bool again;

	for (round = 0; round < req->s.rounds; round++, records += req->per_round) {
		bool tried = false;

		do {
			if (req->s.cpu == RVCPU_THIS_CPU) {
				const struct rvcpu_taking t = rvcpu_take_here(req->s.skip);

				rvcpu_record_fill(records, &t);
			} else {
				rvcpu_take_round(req, records);
			}
			again = false;
			for (i = 0; i < req->per_round && !tried; i++) {
				u32 taken = rvcpu_taken(&records[i]);

				if (taken)
					again |= rvcpu_retry(records[i].cpu, taken);
			}
			tried = true;
		} while (again);
		cond_resched();
	}
}

static int rvcpu_choose_set(struct rvcpu_request *req)
{
	u64 words[RVCPU_SET_SIZE_MAX / sizeof(u64)];
	unsigned int n = req->s.set_size / sizeof(u64), i;

	if (!n || req->s.set_size % sizeof(u64) || req->s.set_size > RVCPU_SET_SIZE_MAX)
		return -EINVAL;
	if (copy_from_user(words, u64_to_user_ptr(req->s.set), req->s.set_size))
		return -EFAULT;
	cpumask_clear(req->cpus);
	for (i = 0; i < n * 64; i++) {
		if (!(words[i / 64] >> i % 64 & 1))
			continue;
		if (i >= nr_cpu_ids || !cpu_possible(i))
			return -ENXIO;
		cpumask_set_cpu(i, req->cpus);
	}
	return cpumask_empty(req->cpus) ? -EINVAL : 0;
}

/* Fills in which CPUs. Called under cpus_read_lock(). */
static int rvcpu_choose(struct rvcpu_request *req)
{
	const struct rvcpu_snapshot *s = &req->s;
	int ret;

	if (s->which != RVCPU_ONE && s->cpu)
		return -EINVAL;
	if (s->which != RVCPU_SET && (s->set || s->set_size))
		return -EINVAL;

	switch (s->which) {
	case RVCPU_ONE:
		if (s->cpu == RVCPU_THIS_CPU) {
			req->per_round = 1;
			return 0;
		}
		if (s->cpu >= nr_cpu_ids || !cpu_possible(s->cpu))
			return -ENXIO;
		cpumask_copy(req->cpus, cpumask_of(s->cpu));
		break;
	case RVCPU_SET:
		ret = rvcpu_choose_set(req);
		if (ret)
			return ret;
		break;
	case RVCPU_ALL:
		cpumask_copy(req->cpus, cpu_online_mask);
		break;
	default:
		return -EINVAL;
	}
	cpumask_and(req->online, req->cpus, cpu_online_mask);
	req->per_round = cpumask_weight(req->cpus);
	return 0;
}

static int rvcpu_copy_records(const struct rvcpu_snapshot *s, const struct rvcpu_record *records,
			      unsigned int n)
{
	u8 __user *to = u64_to_user_ptr(s->records);
	unsigned int i;

	if (s->record_size == sizeof(*records))
		return copy_to_user(to, records, n * sizeof(*records)) ? -EFAULT : 0;
	for (i = 0; i < n; i++, to += s->record_size) {
		if (copy_to_user(to, &records[i], sizeof(*records)) ||
		    clear_user(to + sizeof(*records), s->record_size - sizeof(*records)))
			return -EFAULT;
	}
	return 0;
}

/* Called under cpus_read_lock(), after the argument was read and with room for CPU masks. */
static int rvcpu_snapshot_locked(struct rvcpu_request *req, struct rvcpu_record **records,
				 unsigned int *n)
{
	const struct rvcpu_snapshot *s = &req->s;
	unsigned int i;
	int ret;

	if (!s->rounds || s->rounds > RVCPU_RECORDS_MAX || (s->need | s->skip) & ~RVCPU_FIELDS ||
	    s->need & s->skip || s->record_size < RVCPU_RECORD_SIZE_VER0 ||
	    s->record_size % sizeof(u64))
		return -EINVAL;
	if (s->record_size > RVCPU_SIZE_MAX)
		return -E2BIG;
	ret = rvcpu_choose(req);
	if (ret)
		return ret;
	*n = req->per_round * s->rounds;
	if (!s->count)
		return 0;
	if (*n > RVCPU_RECORDS_MAX)
		return -EMSGSIZE;
	if (*n > s->count)
		return -ENOSPC;

	*records = kvcalloc(*n, sizeof(**records), GFP_KERNEL_ACCOUNT);
	if (!*records)
		return -ENOMEM;
	rvcpu_take_rounds(req, *records);
	for (i = 0; i < *n; i++) {
		if (s->need & ~(*records)[i].live)
			return -EOPNOTSUPP;
	}
	return 0;
}

/* Any RVCPU_SNAPSHOT. */
static noinline int rvcpu_snapshot(struct rvcpu_snapshot __user *arg)
{
	struct rvcpu_record *records = NULL;
	struct rvcpu_request *req;
	unsigned int n;
	u32 size;
	int ret;

	if (get_user(size, &arg->size))
		return -EFAULT;
	if (size < RVCPU_SNAPSHOT_SIZE_VER0)
		return -EINVAL;
	if (size > RVCPU_SIZE_MAX)
		return -E2BIG;
	req = kzalloc(sizeof(*req), GFP_KERNEL_ACCOUNT);
	if (!req)
		return -ENOMEM;
	ret = copy_struct_from_user(&req->s, sizeof(req->s), arg, size);
	if (ret)
		goto out_free;
	ret = -ENOMEM;
	if (!zalloc_cpumask_var(&req->cpus, GFP_KERNEL_ACCOUNT))
		goto out_free;
	if (!zalloc_cpumask_var(&req->online, GFP_KERNEL_ACCOUNT))
		goto out_cpus;

	cpus_read_lock();
	ret = rvcpu_snapshot_locked(req, &records, &n);
	cpus_read_unlock();

	if (!ret && records)
		ret = rvcpu_copy_records(&req->s, records, n);
	if (!ret && n != req->s.count && put_user(n, &arg->count))
		ret = -EFAULT;
	kvfree(records);
	free_cpumask_var(req->online);
out_cpus:
	free_cpumask_var(req->cpus);
out_free:
	kfree(req);
	return ret;
}

/* Two fields of four bytes, as they lie in a word. */
static __always_inline u64 rvcpu_pair(u32 first, u32 second)
{
#ifdef __LITTLE_ENDIAN
	return (u64)second << 32 | first;
#else
	return (u64)first << 32 | second;
#endif
}

static __always_inline u32 rvcpu_first(u64 pair)
{
#ifdef __LITTLE_ENDIAN
	return pair;
#else
	return pair >> 32;
#endif
}

static __always_inline u32 rvcpu_second(u64 pair)
{
#ifdef __LITTLE_ENDIAN
	return pair >> 32;
#else
	return pair;
#endif
}

/* record_size and set_size */
static __always_inline u32 rvcpu_sizes(u16 first, u16 second)
{
#ifdef __LITTLE_ENDIAN
	return (u32)second << 16 | first;
#else
	return (u32)first << 16 | second;
#endif
}

static __always_inline int rvcpu_put_record(u64 __user *to, const struct rvcpu_taking *t)
{
	if (!user_write_access_begin(to, sizeof(struct rvcpu_record)))
		return -EFAULT;
	unsafe_put_user(rvcpu_pair(t->cpu, rvcpu_live(t->state)), &to[0], fault);
	unsafe_put_user(rvcpu_states(t->state), &to[1], fault);
	unsafe_put_user(rvcpu_pair(t->epoch, 0), &to[2], fault);
	unsafe_put_user(t->before, &to[3], fault);
	unsafe_put_user(t->time, &to[4], fault);
	unsafe_put_user(t->cycle, &to[5], fault);
	unsafe_put_user(t->instret, &to[6], fault);
	unsafe_put_user(t->after, &to[7], fault);
	user_write_access_end();
	return 0;

fault:
	user_write_access_end();
	return -EFAULT;
}

/*
 * The RVCPU_SNAPSHOT that is made by the million: one record of the CPU that the caller runs on. Such a
 * call needs neither an interrupt to another CPU nor the lock against hotplug. Whatever else it is,
 * mistakes included, the other function looks at.
 */
static noinline long rvcpu_ioctl_snapshot(struct rvcpu_snapshot __user *arg)
{
	u64 w[RVCPU_SNAPSHOT_SIZE_VER0 / sizeof(u64)];
	u64 __user *from = (u64 __user *)arg;
	unsigned long flags;
	u32 cpu, need, skip;

	/* Word by word, which is much cheaper than a copy that could be of any length. */
	if (!user_read_access_begin(from, sizeof(w)))
		return -EFAULT;
	unsafe_get_user(w[0], &from[0], fault_read);
	unsafe_get_user(w[1], &from[1], fault_read);
	unsafe_get_user(w[2], &from[2], fault_read);
	unsafe_get_user(w[3], &from[3], fault_read);
	unsafe_get_user(w[4], &from[4], fault_read);
	unsafe_get_user(w[5], &from[5], fault_read);
	user_read_access_end();

	/* size, which; rounds, count; record_size, set_size; set */
	if (w[0] != rvcpu_pair(sizeof(*arg), RVCPU_ONE) || w[2] != rvcpu_pair(1, 1) ||
	    rvcpu_second(w[3]) != rvcpu_sizes(sizeof(struct rvcpu_record), 0) || w[4])
		return rvcpu_snapshot(arg);
	cpu = rvcpu_first(w[1]);
	need = rvcpu_second(w[1]);
	skip = rvcpu_first(w[3]);
	if ((need | skip) & ~RVCPU_FIELDS || need & skip)
		return rvcpu_snapshot(arg);

	local_irq_save(flags);
	if (cpu != RVCPU_THIS_CPU && cpu != smp_processor_id()) {
		local_irq_restore(flags);
		return rvcpu_snapshot(arg);
	}
	{
		const struct rvcpu_taking t = rvcpu_take(skip);

		local_irq_restore(flags);
		if (unlikely(need & ~rvcpu_live(t.state) || t.state & RVCPU_STATE_TAKEN))
			return rvcpu_snapshot(arg);
		return rvcpu_put_record(u64_to_user_ptr(w[5]), &t);
	}

fault_read:
	user_read_access_end();
	return -EFAULT;
}

static __always_inline int rvcpu_put_counters(struct rvcpu_counters __user *to, u64 time, u64 cycle,
					      u64 instret)
{
	if (!user_write_access_begin(to, sizeof(*to)))
		return -EFAULT;
	unsafe_put_user(time, &to->time, fault);
	unsafe_put_user(cycle, &to->cycle, fault);
	unsafe_put_user(instret, &to->instret, fault);
	user_write_access_end();
	return 0;

fault:
	user_write_access_end();
	return -EFAULT;
}

static noinline int rvcpu_ioctl_read_again(struct rvcpu_counters __user *arg)
{
	struct rvcpu_counters c;
	int ret = rvcpu_read_again(&c);

	return ret ?: rvcpu_put_counters(arg, c.time, c.cycle, c.instret);
}

static noinline long rvcpu_ioctl_read(struct rvcpu_counters __user *arg)
{
	const struct rvcpu_taking t = rvcpu_take_here(RVCPU_KTIME);

	if (unlikely(t.state & RVCPU_STATE_TAKEN))
		return rvcpu_ioctl_read_again(arg);
	if (!rvcpu_worth_it(t.state))
		return -EOPNOTSUPP;
	return rvcpu_put_counters(arg, t.time, t.cycle, t.instret);
}

static long rvcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *argp = (void __user *)arg;

	switch (cmd) {
	case RVCPU_READ:
		return rvcpu_ioctl_read(argp);
	case RVCPU_SNAPSHOT:
		return rvcpu_ioctl_snapshot(argp);
	default:
		return -ENOTTY;
	}
}

/* The file */

static ssize_t rvcpu_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct rvcpu_open *open = iocb->ki_filp->private_data;
	size_t left, done;

	if (!iov_iter_count(to) || iocb->ki_pos >= sizeof(open->first))
		return 0;
	if (open->error)
		return open->error;
	left = sizeof(open->first) - iocb->ki_pos;
	done = copy_to_iter((u8 *)&open->first + iocb->ki_pos, min(left, iov_iter_count(to)), to);
	if (!done)
		return -EFAULT;
	iocb->ki_pos += done;
	return done;
}

static loff_t rvcpu_llseek(struct file *file, loff_t offset, int whence)
{
	/* A position past the end is one, as in a file: there is nothing to read there. */
	return generic_file_llseek_size(file, offset, whence, OFFSET_MAX,
					sizeof(struct rvcpu_counters));
}

static int rvcpu_open(struct inode *inode, struct file *file)
{
	struct rvcpu_open *open;

	open = kzalloc(sizeof(*open), GFP_KERNEL_ACCOUNT);
	if (!open)
		return -ENOMEM;
	/* Not a failure of open: the second ABI works without counters. */
	open->error = rvcpu_read_counters(&open->first);
	file->private_data = open;
	/* Nothing here waits. */
	file->f_mode |= FMODE_NOWAIT;
	return 0;
}

static int rvcpu_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

/* copy_splice_read() took the place of the generic one in 6.5. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#define rvcpu_splice_read copy_splice_read
#else
#define rvcpu_splice_read generic_file_splice_read
#endif

static const struct file_operations rvcpu_fops = {
	.owner = THIS_MODULE,
	.open = rvcpu_open,
	.release = rvcpu_release,
	.read_iter = rvcpu_read_iter,
	.splice_read = rvcpu_splice_read,
	.llseek = rvcpu_llseek,
	.unlocked_ioctl = rvcpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice rvcpu_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &rvcpu_fops,
};

/* For the log: how a counter is read on the CPU that loads the module. */
static const char *rvcpu_describe(u8 missing, u8 source)
{
	static const char *const names[] = {
		[RVCPU_MISSING_NO_PMU] = "no PMU",
		[RVCPU_MISSING_NO_EVENT] = "not counted by the PMU",
		[RVCPU_MISSING_TAKEN] = "taken by others",
		[RVCPU_MISSING_STOPPED] = "stopped by the firmware",
		[RVCPU_MISSING_REFUSED] = "refused by the firmware",
		[RVCPU_MISSING_UNUSED] = "not asked for",
		[RVCPU_MISSING_OFFLINE] = "offline",
		[RVCPU_MISSING_ERROR] = "failed",
	};

	if (missing)
		return names[missing];
	return source == RVCPU_SOURCE_PERF ? "perf" : "CSR";
}

static int __init rvcpu_init(void)
{
	struct rvcpu_taking t;
	struct rvcpu_record r;
	int ret;

	/* A misc device takes mode 0 for "not given". */
	if (!mode || mode & ~0666) {
		pr_err("mode %#o: expected read and write permissions, 02 to 0666\n", mode);
		return -EINVAL;
	}
	if (pmu > 1) {
		pr_err("pmu %u: expected 0 or 1\n", pmu);
		return -EINVAL;
	}

	ret = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "misc/rvcpu:online", rvcpu_online,
				rvcpu_offline);
	if (ret < 0) {
		pr_err("cannot follow CPUs that come and go: %d\n", ret);
		return ret;
	}
	rvcpu_hotplug = ret;

	rvcpu_misc.mode = mode;
	ret = misc_register(&rvcpu_misc);
	if (ret) {
		pr_err("cannot register the device: %d\n", ret);
		goto err_hotplug;
	}
	t = rvcpu_take_here(RVCPU_KTIME);
	rvcpu_record_fill(&r, &t);
	pr_info("time: " RVCPU_TIME_NAME ", cycle: %s, instret: %s, at /dev/%s\n",
		rvcpu_describe(r.cycle_missing, r.cycle_source),
		rvcpu_describe(r.instret_missing, r.instret_source), rvcpu_misc.name);
	return 0;

err_hotplug:
	cpuhp_remove_state(rvcpu_hotplug);
	return ret;
}

static void __exit rvcpu_exit(void)
{
	misc_deregister(&rvcpu_misc);
	cpuhp_remove_state(rvcpu_hotplug);
	pr_info("removed\n");
}

module_init(rvcpu_init);
module_exit(rvcpu_exit);

MODULE_DESCRIPTION("Snapshots of a CPU's time, cycle and instruction counters");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
