// SPDX-License-Identifier: GPL-2.0
/*
 * Reports in a kernel log, each one finding, tied to the test that was running.
 *
 * A message counts only from its start (after time stamp and caller id): a driver that says
 * "vgpio: WARNING threshold" reports nothing. A report has one headline; the lines that follow from
 * it (the "Oops:" after the "BUG:", the panic after the oops) are part of it.
 */
#include "klog.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "../guest/protocol.h"

#define TAINT_BIT(n)	  (1UL << (n))
#define TAINT_OUT_OF_TREE TAINT_BIT(12)
#define TAINT_UNSIGNED	  TAINT_BIT(13)
/* Bits that a report sets: bad page, died, warned, soft lockup. */
#define TAINT_OF_REPORTS (TAINT_BIT(5) | TAINT_BIT(7) | TAINT_BIT(9) | TAINT_BIT(14))

static const char *const kind_names[] = {
	[KLOG_PANIC] = "panic",
	[KLOG_OOPS] = "oops",
	[KLOG_BUG] = "bug",
	[KLOG_WARNING] = "warning",
	[KLOG_KASAN] = "kasan",
	[KLOG_UBSAN] = "ubsan",
	[KLOG_KCSAN] = "kcsan",
	[KLOG_KFENCE] = "kfence",
	[KLOG_LEAK] = "leak",
	[KLOG_LOCKDEP] = "lockdep",
	[KLOG_ATOMIC_SLEEP] = "atomic-sleep",
	[KLOG_RCU] = "rcu",
	[KLOG_HUNG_TASK] = "hung-task",
	[KLOG_LOCKUP] = "lockup",
	[KLOG_OOM] = "oom",
	[KLOG_TAINT] = "taint",
	[KLOG_USERCOPY] = "usercopy",
	[KLOG_LIST] = "list",
	[KLOG_OBJECTS] = "objects",
	[KLOG_REFCOUNT] = "refcount",
};

/**
 * klog_kind_name() - the name of a kind for people and records
 * @k:	a kind
 * Return: a word, "oops".
 */
const char *klog_kind_name(enum klog_kind k)
{
	return kind_names[k];
}

/*
 * Headlines. A message matches when it starts with @start (NULL: anything) and has @has somewhere
 * behind it (NULL: anything). The first match counts, so the particular comes before the general.
 */
static const struct headline {
	const char *start, *has;
	enum klog_kind kind;
} headlines[] = {
	{ "BUG: KASAN: ", NULL, KLOG_KASAN },
	/* what lies behind a fault of an address that it has computed */
	{ "KASAN: ", " in range [", KLOG_KASAN },
	/* the uninitialised-memory checker: to its reader the same kind of report */
	{ "BUG: KMSAN: ", NULL, KLOG_KASAN },
	{ "BUG: KCSAN: ", NULL, KLOG_KCSAN },
	{ "BUG: KFENCE: ", NULL, KLOG_KFENCE },
	{ "UBSAN: ", " in ", KLOG_UBSAN },
	{ "kmemleak: ", "new suspected memory leak", KLOG_LEAK },
	{ "kmemleak: unreferenced object ", NULL, KLOG_LEAK },

	{ "BUG: sleeping function called from invalid context", NULL, KLOG_ATOMIC_SLEEP },
	{ "BUG: scheduling while atomic", NULL, KLOG_ATOMIC_SLEEP },
	{ "BUG: workqueue lockup", NULL, KLOG_LOCKUP },
	{ "watchdog: BUG: soft lockup", NULL, KLOG_LOCKUP },
	{ "BUG: soft lockup", NULL, KLOG_LOCKUP },
	{ "watchdog: ", "detected hard LOCKUP", KLOG_LOCKUP },
	{ "NMI watchdog: ", "detected hard LOCKUP", KLOG_LOCKUP },
	{ "Watchdog ", "detected hard LOCKUP", KLOG_LOCKUP },
	{ "INFO: task ", " blocked ", KLOG_HUNG_TASK },
	{ "rcu: INFO: ", "stall", KLOG_RCU },
	{ "INFO: rcu_", "stall", KLOG_RCU },
	{ "WARNING: suspicious RCU usage", NULL, KLOG_RCU },
	{ "[ INFO: suspicious RCU usage", NULL, KLOG_RCU },

	{ "WARNING: possible circular locking dependency", NULL, KLOG_LOCKDEP },
	{ "WARNING: possible recursive locking", NULL, KLOG_LOCKDEP },
	{ "WARNING: possible irq lock inversion", NULL, KLOG_LOCKDEP },
	{ "WARNING: inconsistent lock state", NULL, KLOG_LOCKDEP },
	{ "WARNING: bad unlock balance", NULL, KLOG_LOCKDEP },
	{ "WARNING: bad contention", NULL, KLOG_LOCKDEP },
	{ "WARNING: held lock freed", NULL, KLOG_LOCKDEP },
	{ "WARNING: lock held when returning to user space", NULL, KLOG_LOCKDEP },
	{ "WARNING: Nested lock was not taken", NULL, KLOG_LOCKDEP },
	{ "WARNING: ", "still has locks held", KLOG_LOCKDEP },
	{ "WARNING: ", "lock order detected", KLOG_LOCKDEP },
	{ "[ BUG: ", NULL, KLOG_LOCKDEP },
	{ "[ INFO: possible ", NULL, KLOG_LOCKDEP },
	{ "INFO: trying to register non-static key", NULL, KLOG_LOCKDEP },
	{ "BUG: MAX_LOCK", NULL, KLOG_LOCKDEP },

	{ "usercopy: Kernel memory ", " attempt detected ", KLOG_USERCOPY },
	{ "Bad or missing usercopy whitelist? ", NULL, KLOG_USERCOPY },
	{ "list_add corruption", NULL, KLOG_LIST },
	{ "list_del corruption", NULL, KLOG_LIST },
	{ "list_add double add", NULL, KLOG_LIST },
	{ "ODEBUG: ", NULL, KLOG_OBJECTS },
	{ "BUG: Objects remaining", NULL, KLOG_OBJECTS },
	/* SLUB: "BUG kmalloc-64 (Tainted: G OE): Poison overwritten" */
	{ "BUG ", "): ", KLOG_OBJECTS },
	{ "BUG ", ": Objects remaining", KLOG_OBJECTS },
	{ "refcount_t: ", NULL, KLOG_REFCOUNT },

	{ "kernel BUG at ", NULL, KLOG_BUG },
	{ "Kernel BUG at ", NULL, KLOG_BUG },
	{ "detected buffer overflow in ", NULL, KLOG_BUG },
	{ "CFI failure at ", NULL, KLOG_BUG },
	{ "BUG: kernel NULL pointer dereference", NULL, KLOG_OOPS },
	{ "BUG: unable to handle ", NULL, KLOG_OOPS },
	{ "BUG: ", "stack guard page was hit", KLOG_OOPS },
	{ "BUG: ", NULL, KLOG_BUG },
	{ "Unable to handle kernel ", NULL, KLOG_OOPS },
	{ "kernel tried to execute ", NULL, KLOG_OOPS },
	{ "Insufficient stack space to handle exception", NULL, KLOG_OOPS },
	{ "Internal error: ", " [#", KLOG_OOPS },
	{ "Kernel BUG [#", NULL, KLOG_BUG },
	{ "Oops - ", " [#", KLOG_OOPS },
	{ "Oops [#", NULL, KLOG_OOPS },
	{ "Oops: ", " [#", KLOG_OOPS },
	{ "traps: PANIC: double fault", NULL, KLOG_OOPS },
	{ "PANIC: double fault", NULL, KLOG_OOPS },
	{ "Kernel panic - not syncing", NULL, KLOG_PANIC },

	/* the allocator's complaints name the task first */
	{ NULL, " invoked oom-killer: gfp_mask=", KLOG_OOM },
	{ NULL, ": page allocation failure: order:", KLOG_OOM },
	{ "Out of memory: ", NULL, KLOG_OOM },
	{ "Memory cgroup out of memory: ", NULL, KLOG_OOM },

	{ "sysfs: cannot create duplicate filename", NULL, KLOG_WARNING },
	{ "kobject: kobject_add_internal failed for ", NULL, KLOG_WARNING },
	{ "kobject_add_internal failed for ", NULL, KLOG_WARNING },
	{ "kobject: ", "tried to init an initialized object", KLOG_WARNING },
	{ "unchecked MSR access error", NULL, KLOG_WARNING },
	{ NULL, "->init suspiciously returned ", KLOG_WARNING },
};

/* Lines that say that the module loader tainted the kernel, and with which bit. */
static const struct {
	const char *has;
	unsigned int bit;
} taint_lines[] = {
	{ ": loading out-of-tree module taints kernel", 12 },
	{ ": module verification failed: ", 13 },
	{ ": module license '", 0 },
	{ ": module license taints kernel", 0 },
	{ ": loading test module taints kernel", 18 },
	{ ": module is from the staging directory, the quality is unknown", 10 },
	{ "tainting kernel with TAINT_LIVEPATCH", 15 },
	/* "Setting dangerous option x - tainting kernel" */
	{ "Setting dangerous option ", 6 },
};

static const struct {
	char letter;
	const char *text;
} taint_names[] = {
	{ 'P', "proprietary module" },
	{ 'F', "module force loaded" },
	{ 'S', "system out of specification" },
	{ 'R', "module force unloaded" },
	{ 'M', "machine check" },
	{ 'B', "bad page or object" },
	{ 'U', "user request" },
	{ 'D', "kernel died" },
	{ 'A', "ACPI table overridden" },
	{ 'W', "kernel warning" },
	{ 'C', "staging driver" },
	{ 'I', "firmware workaround" },
	{ 'O', "out-of-tree module" },
	{ 'E', "unsigned module" },
	{ 'L', "soft lockup" },
	{ 'K', "live patch" },
	{ 'X', "distribution's own" },
	{ 'T', "randomised structures" },
	{ 'N', "test" },
	{ 'J', "fwctl changed the device" },
};

/**
 * klog_taint_text() - taint bits in words
 * @mask: bits of /proc/sys/kernel/tainted
 * Return: a new string, "proprietary module, kernel warning (P, W)"; "none" for 0.
 */
char *klog_taint_text(unsigned long mask)
{
	struct buf words = {}, letters = {};

	for (unsigned int bit = 0; bit < 8 * sizeof(mask); bit++) {
		const char *comma = words.n ? ", " : "";

		if (!(mask & TAINT_BIT(bit)))
			continue;
		if (bit < sizeof(taint_names) / sizeof(taint_names[0])) {
			buf_printf(&words, "%s%s", comma, taint_names[bit].text);
			buf_printf(&letters, "%s%c", comma, taint_names[bit].letter);
		} else {
			buf_printf(&words, "%sbit %u", comma, bit);
			buf_printf(&letters, "%s%u", comma, bit);
		}
	}
	if (!words.n)
		buf_puts(&words, "none");
	else
		buf_printf(&words, " (%s)", letters.s);
	buf_free(&letters);
	return words.s;
}

/* struct scan - the state between two lines */
struct scan {
	struct klog *out;
	unsigned long expected, taint; /* taint: bits that are accounted for */
	struct strv tests;	       /* the marks that are open, innermost last */
	size_t line;
	double now;	    /* by its time stamp */
	bool stamped;	    /* the log has time stamps */
	bool open;	    /* the last finding still takes lines */
	bool traced;	    /* ... and its registers or stack trace have begun: its head is over */
	bool frames_wanted; /* the trace that follows is that of the report's own task */
};

static struct klog_finding *last_finding(const struct scan *s)
{
	return s->out->n ? &s->out->findings[s->out->n - 1] : NULL;
}

static const char *current_test(const struct scan *s)
{
	return s->tests.n ? s->tests.v[s->tests.n - 1] : NULL;
}

static bool same_test(const struct scan *s, const struct klog_finding *f)
{
	const char *t = current_test(s);

	return t && f->test ? !strcmp(t, f->test) : t == f->test;
}

/* "[    2.306848]", or with a caller "[    2.306848][   T80]"; returns what follows, or NULL. In seconds. */
static const char *after_stamp(const char *s, double *seconds)
{
	const char *p = s;
	size_t digits;

	if (*p == '<' && isdigit((unsigned char)p[1])) {
		p += 1 + strspn(p + 1, "0123456789");
		if (*p++ != '>')
			return NULL;
	}
	if (*p++ != '[')
		return NULL;
	*seconds = strtod(p, NULL);
	p += strspn(p, " ");
	digits = strspn(p, "0123456789");
	if (!digits || p[digits] != '.')
		return NULL;
	p += digits + 1;
	digits = strspn(p, "0123456789");
	if (!digits || p[digits] != ']')
		return NULL;
	p += digits + 1;
	if (*p == '[') {
		const char *q = p + 1 + strspn(p + 1, " ");

		if ((*q == 'T' || *q == 'C') && isdigit((unsigned char)q[1])) {
			q += 1 + strspn(q + 1, "0123456789");
			if (*q == ']')
				p = q + 1;
		}
	}
	return *p == ' ' ? p + 1 : *p ? NULL : p;
}

/*
 * The message of a line, or NULL when it is not the kernel's: with time stamps in the log, a line
 * without one was written to the console by a program. One in the middle follows a program's
 * unfinished line.
 */
static const char *message_of(struct scan *s, const char *line)
{
	const char *msg = after_stamp(line, &s->now);

	if (msg || !s->stamped) {
		size_t level = 0;

		if (!msg && line[0] == '<' && isdigit((unsigned char)line[1]))
			level = strspn(line + 1, "0123456789") + 1;
		return msg ? msg : level && line[level] == '>' ? line + level + 1 : line;
	}
	for (const char *p = strchr(line, '['); p && !msg; p = strchr(p + 1, '['))
		msg = after_stamp(p, &s->now);
	return msg;
}

static bool is_word(int c)
{
	return isalnum(c) || c == '_' || c == '.' || c == '$';
}

/*
 * "func+0x1c/0x40", "func+0x1c/0x40 [mod]", "[mod 1234abcd]", "[mod(OE)]": returns the end, or NULL
 * when it is something else. f is filled only then.
 */
static const char *parse_frame(const char *s, struct klog_frame *f)
{
	const char *p = s, *name_end;
	unsigned long offset;
	char *end;

	if (isdigit((unsigned char)*p))
		return NULL;
	while (is_word((unsigned char)*p))
		p++;
	name_end = p;
	if (p == s || strncmp(p, "+0x", 3))
		return NULL;
	offset = strtoul(p + 1, &end, 16);
	p = end;
	if (strncmp(p, "/0x", 3))
		return NULL;
	p += 3 + strspn(p + 3, "0123456789abcdef");
	*f = (struct klog_frame){ .function = xstrndup(s, name_end - s), .offset = offset };
	if (p[0] == ' ' && p[1] == '[') {
		size_t n = strcspn(p + 2, " (]");

		if (n && p[2 + n])
			f->module = xstrndup(p + 2, n);
	}
	return p;
}

static void free_frame(struct klog_frame *f)
{
	free(f->function);
	free(f->module);
}

/*
 * Takes over f. The frame of the headline is often the first of the trace as well: it is kept
 * once.
 */
static void add_frame(struct klog_finding *f, struct klog_frame *frame)
{
	for (size_t i = 0; i < f->n_frames && i < 2; i++) {
		if (f->n_frames <= 2 && !strcmp(f->frames[i].function, frame->function) &&
		    f->frames[i].offset == frame->offset) {
			/* what the link register only suggested, the trace confirms */
			f->frames[i].guessed = f->frames[i].guessed && frame->guessed;
			free_frame(frame);
			return;
		}
	}
	f->frames = xrealloc(f->frames, f->n_frames + 1, sizeof(*f->frames));
	f->frames[f->n_frames++] = *frame;
}

/* The frame named in a line of text: after " in " (KASAN), " at " (WARNING), "at: " (lockdep). */
static void frame_in_text(struct klog_finding *f, const char *text)
{
	struct klog_frame frame;

	for (const char *p = strchr(text, '+'); p; p = strchr(p + 1, '+')) {
		const char *start = p;

		while (start > text && is_word((unsigned char)start[-1]))
			start--;
		if (parse_frame(start, &frame)) {
			add_frame(f, &frame);
			return;
		}
	}
}

/* A line of a stack trace, or of the registers before it. */
static void trace_line(struct scan *s, const char *msg)
{
	static const struct {
		const char *start;
		bool guessed;
	} registers[] = {
		{ "RIP: 0010:", false },
		{ "RIP: e030:", false }, /* under Xen */
		{ "pc : ", false },
		{ "epc : ", false },
		/* the caller, unless the function has called something since */
		{ "lr : ", true },
		{ " ra : ", true },
	};
	struct klog_finding *f = last_finding(s);
	struct klog_frame frame;
	const char *p = msg;
	bool guessed = false;

	for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
		if (!str_starts(msg, registers[i].start))
			continue;
		if (parse_frame(msg + strlen(registers[i].start), &frame)) {
			frame.guessed = registers[i].guessed;
			add_frame(f, &frame);
			s->traced = true;
		}
		return;
	}
	if (*p != ' ' && *p != '\t' && strncmp(p, "[<", 2))
		return;
	p += strspn(p, " \t");
	if (!strncmp(p, "[<", 2)) { /* riscv: [<ffffffff80003d2a>] func+0x2a/0x3c */
		p = strchr(p, ']');
		if (!p)
			return;
		p += 1 + strspn(p + 1, " ");
	}
	if (!strncmp(p, "? ", 2)) {
		guessed = true;
		p += 2;
	}
	if (parse_frame(p, &frame)) {
		frame.guessed = guessed;
		add_frame(f, &frame);
		s->traced = true;
	}
}

static struct klog_finding *add_finding(struct scan *s, enum klog_kind kind, const char *headline)
{
	struct klog *out = s->out;
	struct klog_finding *f;
	const char *test = current_test(s);

	out->findings = xrealloc(out->findings, out->n + 1, sizeof(*out->findings));
	f = &out->findings[out->n++];
	*f = (struct klog_finding){
		.kind = kind,
		.headline = xstrdup(headline),
		.test = test ? xstrdup(test) : NULL,
		.line = s->line,
	};
	s->open = true;
	s->traced = false;
	/*
	 * lockdep prints the history of its locks first: only the trace at the end is this task's
	 */
	s->frames_wanted = kind != KLOG_LOCKDEP;
	return f;
}

/*
 * "WARNING: CPU: 0 PID: 80 at file:12 f+0x1/0x2", since 6.19 "WARNING: [cond] file:12 at
 * f+0x1/0x2, CPU#0: ..."
 */
static bool is_warning(const char *msg)
{
	const char *at;

	if (!str_starts(msg, "WARNING: "))
		return false;
	if (str_starts(msg, "WARNING: CPU: ") || str_starts(msg, "WARNING: at "))
		return true;
	at = strstr(msg + strlen("WARNING: "), " at ");
	return at && isdigit((unsigned char)msg[at - msg - 1]) && strstr(at, ", CPU#");
}

/* x86 names the trap: "divide error: 0000 [#1] PREEMPT SMP" */
static bool is_trap(const char *msg)
{
	const char *p = strstr(msg, " [#");

	if (!p || !isdigit((unsigned char)p[3]) || p - msg < 6)
		return false;
	for (int i = 1; i <= 4; i++)
		if (!isxdigit((unsigned char)p[-i]))
			return false;
	return p[-5] == ' ' && p[-6] == ':';
}

/* What the kernel says when it lacks memory, as it must under fault injection: no defect of anybody's. */
static bool is_lack_of_memory(const char *msg)
{
	return strstr(msg, "kobject_add_internal failed for ") && strstr(msg, " (error: -12 ");
}

static bool find_kind(const char *msg, enum klog_kind *kind)
{
	if (is_lack_of_memory(msg))
		return false;
	if (is_warning(msg)) {
		*kind = KLOG_WARNING;
		return true;
	}
	for (size_t i = 0; i < sizeof(headlines) / sizeof(headlines[0]); i++) {
		const struct headline *h = &headlines[i];

		if (h->start && !str_starts(msg, h->start))
			continue;
		if (h->has && !strstr(msg + (h->start ? strlen(h->start) : 0), h->has))
			continue;
		*kind = h->kind;
		return true;
	}
	if (is_trap(msg)) {
		*kind = KLOG_OOPS;
		return true;
	}
	return false;
}

/* Kinds that are carried by a BUG() or a WARN(): the cause is printed, then what carries it. */
static bool is_carried(enum klog_kind kind)
{
	return kind == KLOG_LIST || kind == KLOG_USERCOPY || kind == KLOG_REFCOUNT ||
	       kind == KLOG_OBJECTS;
}

/* Lines that the kernel prints on its way down; after a headline they are the same report. */
static bool is_die_line(const char *msg)
{
	return str_starts(msg, "kernel BUG at ") || str_starts(msg, "Kernel BUG ") ||
	       str_starts(msg, "Internal error: ") || str_starts(msg, "Oops") || is_trap(msg);
}

/* A panic that another report brought about says so. */
static bool panic_follows(const struct scan *s, const char *msg)
{
	static const char *const texts[] = {
		": Fatal exception",
		": Oops",
		": softlockup",
		": hung_task",
		": panic_on_warn",
		"system warned too often",
		": RCU Stall",
		": Hard LOCKUP",
		": hard lockup",
		": stack overflow",
		": kernel stack overflow",
		": Machine halted",
		": system is deadlocked",
		": Out of memory",
		": out of memory",
		": Attempted to kill init",
		": Attempted to kill the idle task",
		": Aiee, killing interrupt handler",
	};
	const struct klog_finding *f = last_finding(s);

	if (!f || f->kind == KLOG_TAINT || !same_test(s, f))
		return false;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strstr(msg, texts[i]))
			return true;
	return false;
}

/* The kernel nags: a task that still hangs, a processor that is still stuck is the same report. */
static bool repeats(const struct scan *s, enum klog_kind kind, const char *msg)
{
	static const char *const tails[] = { " blocked ", " stuck for " };

	if (kind != KLOG_HUNG_TASK && kind != KLOG_LOCKUP && kind != KLOG_RCU)
		return false;
	for (size_t i = s->out->n; i-- > 0;) {
		const struct klog_finding *f = &s->out->findings[i];

		if (f->kind != kind || !same_test(s, f))
			continue;
		if (kind == KLOG_RCU && strstr(f->headline, "stall") && strstr(msg, "stall"))
			return true;
		for (size_t t = 0; t < sizeof(tails) / sizeof(tails[0]); t++) {
			const char *tail = strstr(msg, tails[t]);

			if (tail && !strncmp(f->headline, msg, tail - msg))
				return true;
		}
	}
	return false;
}

/* True when the line with headline @kind belongs to the open report. */
static bool absorbed(struct scan *s, enum klog_kind kind, const char *msg)
{
	struct klog_finding *f = last_finding(s);

	if (!s->open)
		return false;
	/* the end of an OOM report names the victim; a name that exists fails once more */
	if (kind == KLOG_OOM && f->kind == KLOG_OOM)
		return strstr(msg, "ut of memory: ");
	if (kind == KLOG_WARNING && str_starts(f->headline, "sysfs: cannot create duplicate"))
		return strstr(msg, "kobject_add_internal failed");
	if (s->traced)
		return false;
	if (is_die_line(msg))
		return f->kind == KLOG_OOPS || f->kind == KLOG_BUG || f->kind == KLOG_KASAN ||
		       is_carried(f->kind);
	if (kind == KLOG_WARNING)
		return is_carried(f->kind);
	if (kind == KLOG_OOPS)
		return str_starts(f->headline, "kernel tried to execute ");
	/*
	 * KASAN explains the fault that was just said; since 6.19 the message of a WARN() comes after its first line:
	 * it says what it is about
	 */
	if ((kind == KLOG_KASAN && f->kind == KLOG_OOPS && str_starts(msg, "KASAN: ")) ||
	    (is_carried(kind) && f->kind == KLOG_WARNING && is_warning(f->headline))) {
		f->kind = kind;
		free(f->headline);
		f->headline = xstrdup(msg);
		return true;
	}
	return false;
}

static void close_report(struct scan *s)
{
	s->open = false;
}

/*
 * The module loader's lines. The two that every module of the lab causes are expected; any other
 * one is a finding of its own, and its bit needs no second one at the end mark.
 */
static bool taint_line(struct scan *s, const char *msg)
{
	unsigned long bit = 0;

	if (!strstr(msg, "taint") && !strstr(msg, "staging directory"))
		return false;
	for (size_t i = 0; i < sizeof(taint_lines) / sizeof(taint_lines[0]) && !bit; i++)
		if (strstr(msg, taint_lines[i].has))
			bit = TAINT_BIT(taint_lines[i].bit);
	if (!bit)
		return false;
	if (!(s->expected & bit) && !(s->taint & bit)) {
		add_finding(s, KLOG_TAINT, msg);
		close_report(s);
	}
	s->taint |= bit;
	return true;
}

static void begin_span(struct scan *s, const char *test)
{
	struct klog *out = s->out;

	if (!s->stamped)
		return;
	out->spans = xrealloc(out->spans, out->n_spans + 1, sizeof(*out->spans));
	out->spans[out->n_spans++] = (struct klog_span){ xstrdup(test), s->now, -1 };
}

/* A test may run twice in a log: it ends the last that began. */
static void end_span(struct scan *s, const char *test)
{
	for (size_t i = s->out->n_spans; i--;) {
		struct klog_span *span = &s->out->spans[i];

		if (strcmp(span->test, test))
			continue;
		if (span->end < 0)
			span->end = s->now;
		return;
	}
}

static bool mark_line(struct scan *s, const char *msg)
{
	const char *taint;
	unsigned long mask, fresh;
	char *name;

	if (str_starts(msg, MARK_BEGIN)) {
		close_report(s);
		strv_add(&s->tests, msg + strlen(MARK_BEGIN));
		begin_span(s, msg + strlen(MARK_BEGIN));
		return true;
	}
	if (!str_starts(msg, MARK_END))
		return false;
	close_report(s);
	msg += strlen(MARK_END);
	taint = strstr(msg, " taint=");
	name = xstrndup(msg, taint ? (size_t)(taint - msg) : strlen(msg));
	end_span(s, name);
	mask = taint ? strtoul(taint + strlen(" taint="), NULL, 0) : 0;
	fresh = mask & ~s->expected & ~s->taint;
	/* a report that was found has explained its bits */
	if (s->out->n)
		fresh &= ~TAINT_OF_REPORTS;
	if (fresh) {
		_cleanup_free_ char *text = klog_taint_text(fresh);
		_cleanup_free_ char *headline = xasprintf("the kernel became tainted: %s", text);

		add_finding(s, KLOG_TAINT, headline);
		close_report(s);
	}
	s->taint |= mask;
	/*
	 * an end without its begin (lost lines) closes nothing; an outer one closes what it holds
	 */
	if (strv_has(&s->tests, name)) {
		bool found = false;

		while (!found) {
			found = !strcmp(current_test(s) ?: "", name);
			free(s->tests.v[--s->tests.n]);
			s->tests.v[s->tests.n] = NULL;
		}
	}
	free(name);
	return true;
}

static void scan_message(struct scan *s, const char *msg)
{
	struct klog_finding *f = last_finding(s);
	enum klog_kind kind;

	if (mark_line(s, msg) || taint_line(s, msg))
		return;
	if (str_starts(msg, "------------[ cut here ]")) {
		/* list_add corruption, usercopy: their BUG() comes behind their message */
		if (s->open && (s->traced || !(is_carried(f->kind) || f->kind == KLOG_BUG)))
			close_report(s);
		return;
	}
	if (str_starts(msg, "---[ end ")) {
		close_report(s);
		return;
	}
	if (find_kind(msg, &kind)) {
		if (kind == KLOG_PANIC) {
			if (panic_follows(s, msg)) {
				close_report(s);
			} else {
				f = add_finding(s, kind, msg);
				frame_in_text(f, msg); /* "stack-protector: ... in: f+0x1/0x2" */
			}
			f->fatal = true;
			return;
		}
		if (absorbed(s, kind, msg)) {
			if (kind == KLOG_WARNING)
				frame_in_text(f, msg);
			return;
		}
		if (repeats(s, kind, msg)) {
			close_report(s);
			return;
		}
		f = add_finding(s, kind, msg);
		if (str_starts(msg, "traps: PANIC") || str_starts(msg, "PANIC:"))
			f->fatal = true;
		if (kind == KLOG_WARNING || kind == KLOG_KASAN || kind == KLOG_KFENCE ||
		    kind == KLOG_BUG)
			frame_in_text(f, msg);
		return;
	}
	if (str_starts(msg, "Fixing recursive fault") && f)
		f->fatal = true;
	if (!s->open)
		return;
	if (f->kind == KLOG_LOCKDEP && !s->frames_wanted) {
		const char *at = strstr(msg, " at: ");

		if (str_starts(msg, "stack backtrace:"))
			s->frames_wanted = true;
		else if (!f->n_frames && (at || str_starts(msg, "[<")))
			frame_in_text(f, at ? at : msg);
		return;
	}
	if (str_starts(msg, "=====") && (s->traced || f->kind == KLOG_KASAN)) {
		close_report(s);
		return;
	}
	/* KASAN, KFENCE: the traces that follow tell of earlier times */
	if ((f->kind == KLOG_KASAN || f->kind == KLOG_KFENCE) &&
	    (strcasestr(msg, "allocated by ") || strcasestr(msg, "freed by ")))
		s->frames_wanted = false;
	if (f->kind == KLOG_BUG && str_starts(msg, "caller is "))
		frame_in_text(f, msg);
	if (s->frames_wanted)
		trace_line(s, msg);
}

static void free_finding(struct klog_finding *f)
{
	for (size_t i = 0; i < f->n_frames; i++)
		free_frame(&f->frames[i]);
	free(f->frames);
	free(f->headline);
	free(f->test);
}

static bool has_module(const struct klog_finding *f)
{
	for (size_t i = 0; i < f->n_frames; i++)
		if (f->frames[i].module)
			return true;
	return strchr(f->headline, '[') != NULL;
}

/* KCSAN finds races in the kernel's own code, of its ticks for one; no driver has a part in them. */
static void drop_kernels_own(struct klog *k)
{
	size_t n = 0;

	for (size_t i = 0; i < k->n; i++) {
		if (k->findings[i].kind == KLOG_KCSAN && !has_module(&k->findings[i])) {
			k->own_end |= k->findings[i].fatal;
			free_finding(&k->findings[i]);
		} else {
			k->findings[n++] = k->findings[i];
		}
	}
	k->n = n;
}

/**
 * klog_scan() - finds the reports in a log
 * @log:	the whole text, with or without time stamps, levels and caller ids
 * @expected_taint: taint bits that are no finding
 * @out:	is filled; klog_free() it
 */
void klog_scan(const char *log, unsigned long expected_taint, struct klog *out)
{
	struct scan s = { .out = out, .expected = expected_taint };
	struct strv lines = {};

	*out = (struct klog){};
	for (const char *p = log; *p;) {
		size_t n = strcspn(p, "\n"), keep = n;

		while (keep && p[keep - 1] == '\r')
			keep--;
		strv_take(&lines, xstrndup(p, keep));
		s.stamped = s.stamped || after_stamp(lines.v[lines.n - 1], &s.now);
		p += n + (p[n] == '\n');
	}
	for (size_t i = 0; i < lines.n; i++) {
		const char *msg = message_of(&s, lines.v[i]);

		s.line = i + 1;
		if (msg)
			scan_message(&s, msg);
	}
	drop_kernels_own(out);
	if (s.tests.n)
		out->last_test = xstrdup(current_test(&s));
	strv_free(&s.tests);
	strv_free(&lines);
}

const char *klog_module_function(const struct klog_finding *f)
{
	for (size_t i = 0; i < f->n_frames; i++)
		if (f->frames[i].module && !f->frames[i].guessed)
			return f->frames[i].function;
	return NULL;
}

bool klog_is_slowness(const struct klog_finding *f)
{
	return (f->kind == KLOG_LOCKUP || f->kind == KLOG_RCU) && !klog_module_function(f);
}

/**
 * klog_free() - frees what klog_scan() filled
 * @k:	a scanned log; empty afterwards
 */
void klog_free(struct klog *k)
{
	for (size_t i = 0; i < k->n; i++)
		free_finding(&k->findings[i]);
	for (size_t i = 0; i < k->n_spans; i++)
		free(k->spans[i].test);
	free(k->findings);
	free(k->spans);
	free(k->last_test);
	*k = (struct klog){};
}
