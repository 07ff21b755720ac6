/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel log: which lines are a verdict, and which test caused them (by the marks of guest/protocol.h).
 * Pure: text in, findings out. Tested on recorded logs.
 */
#ifndef CDEVLAB_KLOG_H
#define CDEVLAB_KLOG_H

#include "util.h"

enum klog_kind {
	KLOG_PANIC,
	KLOG_OOPS,
	KLOG_BUG,
	KLOG_WARNING,
	KLOG_KASAN,
	KLOG_UBSAN,
	KLOG_KCSAN,
	KLOG_KFENCE,
	KLOG_LEAK,
	KLOG_LOCKDEP,
	KLOG_ATOMIC_SLEEP,
	KLOG_RCU,
	KLOG_HUNG_TASK,
	KLOG_LOCKUP,
	KLOG_OOM,
	KLOG_TAINT,
	KLOG_USERCOPY,
	KLOG_LIST,
	KLOG_OBJECTS,
	KLOG_REFCOUNT,
};
const char *klog_kind_name(enum klog_kind k);

/* struct klog_frame - one line of a stack trace: function+offset/size [module] */
struct klog_frame {
	char *function;
	unsigned long offset;
	char *module; /* NULL: the kernel's own */
	bool guessed; /* "? " before it */
};

/* struct klog_finding - one report in the log */
struct klog_finding {
	enum klog_kind kind;
	char *headline;		   /* the line without its time stamp */
	char *test;		   /* innermost test it fell into, or NULL */
	bool fatal;		   /* the kernel did not go on */
	size_t line;		   /* number of the headline, from 1 */
	struct klog_frame *frames; /* RIP/pc first when it is known */
	size_t n_frames;
};

/* struct klog_span - from a test's begin mark to its end mark, by the log's time stamps; in seconds */
struct klog_span {
	char *test;
	double begin, end; /* end < 0: no such mark */
};

/* struct klog - a scanned log */
struct klog {
	struct klog_finding *findings;
	size_t n;
	struct klog_span *spans; /* as they began; none where the log has no time stamps */
	size_t n_spans;
	char *last_test; /* the test that was running when the log ends, or NULL */
	bool own_end;	 /* the kernel ended over a race of its own, which is no finding */
};

/**
 * klog_scan() - finds the reports in a log
 * @log:	the whole text; time stamps and a printk caller id are optional
 * @expected_taint: bits (of /proc/sys/kernel/tainted) that may appear: out-of-tree and unsigned modules
 */
void klog_scan(const char *log, unsigned long expected_taint, struct klog *out);
void klog_free(struct klog *k);
/* The first function on the stack that is a module's, or NULL. */
const char *klog_module_function(const struct klog_finding *f);
/*
 * A processor that stood still with no module on its stack: a busy host did not let it run. One that is held up by a
 * module is none of that.
 */
bool klog_is_slowness(const struct klog_finding *f);
/* Taint letters for people: "proprietary module, kernel warning (P, W)". A new string. */
char *klog_taint_text(unsigned long mask);
#define KLOG_TAINT_MODULE ((1UL << 12) | (1UL << 13)) /* out of tree, unsigned */

#endif
