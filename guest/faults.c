// SPDX-License-Identifier: GPL-2.0
/*
 * The sweep, and what must hold after each fault: an error that a lack of memory or a bad copy explains, or the same
 * result as without the fault; a device that is as it was before a call that failed, or as it should be after one
 * that did not; the same call works afterwards; nothing leaks. What the kernel log says of it the host judges.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults.h"
#include "guest.h"
#include "protocol.h"

#define POINTS_MAX   3000 /* more faults on the way of one call are not met */
#define CALL_TIMEOUT 900
#define FAILURES_MAX 8 /* of one call: the others will be of the same kind */
#define EINTR_MAX    5
#define AGE_MS	     5500 /* kmemleak looks at what is older than 5 s */
#define LEAKS_SHOWN  5
#define KMEMLEAK     "/sys/kernel/debug/kmemleak"

struct faults_shared *shared;
/* Only the calls that reach most; of a load, only the faults of the module's own function. */
static bool quick;

/* ---- A sweep ---- */

struct sweep {
	const struct call *call;
	unsigned int number;  /* of the call, for tags */
	struct item base;     /* without faults */
	struct varies varies; /* what of it is another one each time */
	struct print made;    /* its descriptor */
	struct varies made_varies[ITEMS_MAX];
	struct print after; /* the device after it */
	struct varies after_varies[ITEMS_MAX];
	bool restless; /* it leaves something behind that only it shows: each try begins with a load */
	int users;
	bool over; /* what comes after this would say nothing */
	unsigned int points, survived, failures;
};

static void kmsg_say(const char *text)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	write_all(fd, text, strlen(text));
	close(fd);
}

static const char *fault_name(int fault)
{
	static char text[40];

	if (fault == FAULT_ALL)
		return "all allocations failing";
	if (fault > FAULT_PAGES)
		snprintf(text, sizeof(text), "page %d", fault - FAULT_PAGES);
	else
		snprintf(text, sizeof(text), "fault %d", fault);
	return text;
}

static const struct outcome *sweep_try(struct sweep *s, int fault)
{
	const struct outcome *o;
	char tag[16], line[160];
	int i;

	snprintf(tag, sizeof(tag), "f%u.%d", s->number, fault);
	snprintf(line, sizeof(line), "<6>cdevlab: %s, %s\n", s->call->name, fault_name(fault));
	if (fault)
		kmsg_say(line);
	/* On a slow host the tick may end a call that does not wait. */
	for (i = 0; i < EINTR_MAX; i++) {
		o = try_call(s->call, fault, tag);
		if (o->result.ret != -EINTR || s->base.ret == -EINTR)
			break;
	}
	return o;
}

static void __attribute__((format(printf, 3, 4)))
complain(struct sweep *s, int fault, const char *fmt, ...)
{
	char text[600], where[200] = "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (s->failures++ >= FAILURES_MAX)
		return;
	if (fault > 0 && !(s->call->flags & CALL_MODULE))
		fault_where(s->call, fault, where);
	test_fail(__FILE__, __LINE__, "%s, %s%s%s: %s", s->call->name, fault_name(fault),
		  *where ? ", " : "", where, text);
}

/* An errno that a lack of memory or a failed copy explains, or that the call gives anyhow. */
static bool errno_may_be(const struct sweep *s, long ret)
{
	if (s->call->flags & CALL_LOOSE && (ret == -EAGAIN || ret == -EINVAL))
		return true;
	return ret == -ENOMEM || ret == -EFAULT || ret == s->base.ret;
}

static void sweep_ready(const struct sweep *s)
{
	if (s->restless)
		state_reload();
	else
		state_restore();
}

/* Without a fault, twice: what the call does, and what of that varies. Returns whether its own answer does. */
static bool sweep_twice(struct sweep *s)
{
	const struct outcome *o;
	static struct print after;
	bool differs = false;
	unsigned int i;

	shared->waits = false;
	for (i = 0; i < 2; i++) {
		sweep_ready(s);
		o = sweep_try(s, FAULT_NONE);
		if (o->end == TRY_UNPREPARED)
			SKIP("%s: %s", o->what, errno_name(-o->result.ret));
		if (o->end == TRY_KILLED && o->signal == SIGBUS)
			SKIP("there is nothing in its mapping");
		if (o->end != TRY_DONE) {
			test_fail(__FILE__, __LINE__, "%s without a fault: %s", s->call->name,
				  o->end == TRY_HUNG ? "does not end" : strsignal(o->signal));
			test_end();
		}
		state_take(&after);
		if (!i) {
			s->base = o->result;
			s->made = o->made;
			s->after = after;
			memcpy(s->after_varies, shared->varies, sizeof(s->after_varies));
			shared->waits = s->base.ret == -EINTR;
			continue;
		}
		differs = !item_same(&s->base, &o->result, &s->varies);
		item_vary(&s->varies, &s->base, &o->result);
		print_vary(s->made_varies, &s->made, &o->made);
		print_vary(s->after_varies, &s->after, &after);
	}
	return differs;
}

/* A device whose second answer is another one may count, or tell the time. Only what it has counted a load undoes. */
static void sweep_learn(struct sweep *s)
{
	if (sweep_twice(s)) {
		memset(&s->varies, 0, sizeof(s->varies));
		memset(s->made_varies, 0, sizeof(s->made_varies));
		s->restless = true;
		s->restless = !sweep_twice(s);
	}
	sweep_ready(s);
	s->users = module_users(test_module());
}

/* What a call that did not fail came to, compared with what it comes to without the fault. */
static bool judge_success(struct sweep *s, int fault, const struct outcome *o)
{
	bool part =
		s->call->flags & CALL_PARTIAL && o->result.ret > 0 && o->result.ret < s->base.ret;
	struct item result = o->result;
	struct print made = o->made, after;
	char why[200];

	if (part)
		return true;
	if (!item_same(&s->base, &result, &s->varies)) {
		complain(s, fault, "it gives %s, and without the fault %s", item_text(&result),
			 item_text(&s->base));
		return false;
	}
	if (s->call->flags & CALL_FD && !print_same(&s->made, &made, s->made_varies, why)) {
		complain(s, fault, "it gives a descriptor that is not as it should be: %s", why);
		return false;
	}
	/* What came after the fault was done without it, or not. */
	if (s->call->flags & CALL_LOOSE)
		return true;
	state_take(&after);
	if (!print_same(&s->after, &after, s->after_varies, why)) {
		complain(s, fault, "it gives %s, as without the fault, and yet: %s",
			 item_text(&result), why);
		return false;
	}
	state_is(&after, why);
	return true;
}

static bool judge_error(struct sweep *s, int fault, const struct outcome *o)
{
	const struct item result = o->result, again = o->again;
	const bool was_again = o->again_made;
	static struct print now;
	char why[200];

	if (!errno_may_be(s, result.ret)) {
		complain(
			s, fault,
			"it gives %s: neither ENOMEM nor EFAULT, nor what it gives without the fault, %s",
			item_text(&result), item_text(&s->base));
		return false;
	}
	if (was_again && !item_same(&s->base, &again, &s->varies)) {
		complain(s, fault,
			 "it gives %s, and made once more %s: without the fault it gives %s",
			 item_text(&result), item_text(&again), item_text(&s->base));
		return false;
	}
	/* Then the device is as after a call that worked: it was made again. */
	if (s->call->flags & CALL_LOOSE)
		return true;
	state_take(&now);
	if (!print_same(was_again ? &s->after : &shared->fresh, &now,
			was_again ? s->after_varies : shared->varies, why)) {
		complain(s, fault, "it gives %s, and then the device is not as %s: %s",
			 item_text(&result),
			 was_again ? "after the same call without the fault" : "before", why);
		return false;
	}
	state_is(&now, why);
	return true;
}

static bool judge(struct sweep *s, int fault, const struct outcome *o)
{
	int users;

	if (o->end == TRY_HUNG) {
		complain(s, fault, "it does not end");
		return false;
	}
	if (o->end == TRY_KILLED) {
		complain(s, fault, "its process is killed: %s", strsignal(o->signal));
		return false;
	}
	if (o->end == TRY_UNPREPARED) {
		complain(s, fault, "%s before it: %s", o->what, errno_name(-o->result.ret));
		return false;
	}
	users = module_users(test_module());
	if (users != s->users) {
		complain(s, fault, "it gives %s, and leaves the module with %d users instead of %d",
			 item_text(&o->result), users, s->users);
		s->users = users;
		return false;
	}
	return o->result.ret < 0 && s->base.ret != o->result.ret ? judge_error(s, fault, o) :
								   judge_success(s, fault, o);
}

static void sweep_all_fail(struct sweep *s)
{
	const struct outcome *o;

	if (s->call->flags & (CALL_RETRIES | CALL_EXITS | CALL_LOOSE))
		return;
	faults_choose(FAULT_ALL);
	sweep_ready(s);
	o = sweep_try(s, FAULT_ALL);
	s->points++;
	s->survived += judge(s, FAULT_ALL, o);
}

static void sweep_end(struct sweep *s)
{
	shared->calls++;
	shared->points += s->points;
	shared->survived += s->survived;
	shared->waits = false;
	test_note("%u points, %u survived", s->points, s->survived);
	if (s->failures > FAILURES_MAX)
		test_note("and %u more", s->failures - FAILURES_MAX);
}

/* struct way - how a kind of call is swept */
struct way {
	/* Before a try; NULL: the device is as loaded. */
	bool (*ready)(struct sweep *s, int fault);
	bool (*judge)(struct sweep *s, int fault, const struct outcome *o);
	/* The first fault that matters; NULL: the first. */
	int (*first)(struct sweep *s, int kind);
};

/* Whether the fault happened; of one too many the try is judged as well. */
static bool try_fault(struct sweep *s, const struct way *way, int fault)
{
	const struct outcome *o;
	bool happened, survived;

	if (!way->ready)
		sweep_ready(s);
	else if (!way->ready(s, fault))
		return false;
	o = sweep_try(s, fault);
	happened = o->end != TRY_DONE || o->fault;
	survived = way->judge(s, fault, o);
	s->points += happened;
	s->survived += happened && survived;
	return happened;
}

/* Each in turn until none is left: of slabs and copies, then of pages. */
static void sweep_all(struct sweep *s, const struct way *way)
{
	static const int kinds[] = { FAULT_NONE, FAULT_PAGES };
	int fault, last;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		faults_choose(kinds[i]);
		fault = kinds[i] + (way->first ? way->first(s, kinds[i]) : 1);
		last = kinds[i] + POINTS_MAX;
		while (fault <= last && !s->over && s->failures <= FAILURES_MAX &&
		       try_fault(s, way, fault))
			fault++;
		if (fault > last)
			test_note("only the first %d faults were met", POINTS_MAX);
	}
}

static void sweep_call(struct sweep *s)
{
	static const struct way way = { .judge = judge };

	sweep_learn(s);
	sweep_all(s, &way);
	if (s->points)
		sweep_all_fail(s);
	state_restore();
	sweep_end(s);
}

/* ---- Loading and unloading ---- */

static bool module_present(void)
{
	char path[256];

	snprintf(path, sizeof(path), "/sys/module/%s", test_module());
	return !access(path, F_OK);
}

/* Loaded, by the try or after it, it must be what it always is. */
static bool loaded_is_right(struct sweep *s, int fault, const char *how)
{
	static struct print now;
	char why[200];

	state_take(&now);
	if (print_same(&s->after, &now, s->after_varies, why))
		return true;
	complain(s, fault, "%s, and yet: %s", how, why);
	return false;
}

static bool load_works(struct sweep *s, int fault)
{
	long ret = s->call->run(s->call);

	if (!ret)
		return loaded_is_right(s, fault, "after it, it loads");
	complain(s, fault, "after it, it cannot be loaded: %s", errno_name(-ret));
	return false;
}

static bool judge_load(struct sweep *s, int fault, const struct outcome *o)
{
	long ret = o->result.ret;

	if (o->end != TRY_DONE) {
		complain(s, fault,
			 o->end == TRY_HUNG ? "it does not end" : "its process is killed");
		return false;
	}
	if (ret == -ENOMEM || ret == -EFAULT || (ret && ret == s->base.ret)) {
		if (!module_present())
			return s->base.ret || load_works(s, fault);
		complain(s, fault, "it gives -%s, and the module is there", errno_name(-ret));
		return false;
	}
	if (ret) {
		complain(s, fault, "it gives -%s: neither ENOMEM nor EFAULT", errno_name(-ret));
		return false;
	}
	return loaded_is_right(s, fault, "it loads");
}

static void load_learn(struct sweep *s)
{
	static struct print now;
	const struct outcome *o;
	unsigned int i;
	int ret;

	memcpy(s->after_varies, shared->varies, sizeof(s->after_varies));
	for (i = 0; i < 2; i++) {
		ret = module_loaded(test_module()) ? module_unload(test_module()) : 0;
		if (ret)
			SKIP("%s cannot be unloaded: %s", test_module(), errno_name(-ret));
		o = sweep_try(s, FAULT_NONE);
		s->base = o->result;
		state_take(i ? &now : &s->after);
	}
	print_vary(s->after_varies, &s->after, &now);
}

static bool fault_in_init(struct sweep *s, int fault)
{
	int under;

	/* Every second is kmemleak's own, of which nothing is said: it is where the next one is. */
	do {
		if (module_present())
			module_unload(test_module());
		under = fault_is_under(s->call, fault++, "do_init_module");
	} while (under < 0);
	return under;
}

/* The loader comes first, and most faults are its own. */
static int first_of_init(struct sweep *s, int kind)
{
	int low = 0, high = 1, middle;

	while (high < POINTS_MAX && !fault_in_init(s, kind + high))
		high *= 2;
	for (low = high / 2; low + 1 < high;) {
		middle = (low + high) / 2;
		if (fault_in_init(s, kind + middle))
			high = middle;
		else
			low = middle;
	}
	return high;
}

static bool ready_to_load(struct sweep *s, int fault)
{
	int ret = module_present() ? module_unload(test_module()) : 0;

	if (ret)
		complain(s, fault, "unloading before it: %s", errno_name(-ret));
	return !ret;
}

static void sweep_load(struct sweep *s)
{
	const struct way way = { .ready = ready_to_load,
				 .judge = judge_load,
				 .first = quick ? first_of_init : NULL };

	load_learn(s);
	sweep_all(s, &way);
	state_restore();
	sweep_end(s);
}

static bool ready_to_be_opened(struct sweep *s, int fault)
{
	opener_end();
	if (!ready_to_load(s, fault))
		return false;
	if (!opener_start())
		SKIP("nobody can be started who opens it");
	return true;
}

/*
 * Nobody waits for those who have a module open when its load fails: it is freed, and what they have open with it.
 * So what can fail comes before the device can be opened.
 */
static bool judge_opened(struct sweep *s, int fault, const struct outcome *o)
{
	long ret = o->end == TRY_DONE ? o->result.ret : 0;
	const char *node = opener_has();

	if (!ret || !node) {
		opener_end();
		return true;
	}
	complain(s, fault, "it gives -%s, and %s was opened before: its operations are gone",
		 errno_name(-ret), node);
	s->over = true;
	return false;
}

static void sweep_opened(struct sweep *s)
{
	const struct way way = { .ready = ready_to_be_opened,
				 .judge = judge_opened,
				 .first = quick ? first_of_init : NULL };

	sweep_all(s, &way);
	/* what he has open is closed with him, and if that ends the guest, its log tells */
	opener_end();
	state_restore();
	sweep_end(s);
}

static bool judge_unload(struct sweep *s, int fault, const struct outcome *o)
{
	long ret = o->result.ret;
	char why[200];

	if (o->end != TRY_DONE) {
		complain(s, fault,
			 o->end == TRY_HUNG ? "it does not end" : "its process is killed");
		return false;
	}
	if (!ret && module_present()) {
		complain(s, fault, "it succeeds, and the module is there");
		return false;
	}
	if (ret && ret != -ENOMEM && ret != -EFAULT) {
		complain(s, fault, "it gives -%s", errno_name(-ret));
		return false;
	}
	if (ret && !state_is_fresh(why)) {
		complain(s, fault, "it gives -%s, and then: %s", errno_name(-ret), why);
		return false;
	}
	return true;
}

static void sweep_unload(struct sweep *s)
{
	static const struct way way = { .judge = judge_unload };
	int ret = module_unload(test_module());

	if (ret)
		SKIP("%s cannot be unloaded: %s", test_module(), errno_name(-ret));
	sweep_all(s, &way);
	state_restore();
	sweep_end(s);
}

/* ---- Cases ---- */

static struct sweep sweep;

static void test_call(void)
{
	const struct call *c = test_data();
	static const struct call *first;

	calls_make(&first);
	sweep = (struct sweep){ .call = c, .number = c - first };
	state_learn();
	if (!(c->flags & CALL_MODULE))
		sweep_call(&sweep);
	else if (c->flags & CALL_OPENED)
		sweep_opened(&sweep);
	else if (c->text)
		sweep_load(&sweep);
	else
		sweep_unload(&sweep);
}

/* ---- Leaks ---- */

static bool kmemleak_say(const char *text)
{
	int fd = open(KMEMLEAK, O_WRONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return false;
	ret = write_all(fd, text, strlen(text));
	close(fd);
	return !ret;
}

static void sleep_ms(long ms)
{
	long long until = now_ms() + ms;

	while (now_ms() < until)
		usleep(100000);
}

/* "f12.3" of a process' name: call number 12, fault 3. */
static bool tag_read(const char *line, unsigned int *number, int *fault)
{
	const char *at = strstr(line, "comm \"f");

	return at && sscanf(at, "comm \"f%u.%d\"", number, fault) == 2;
}

/*
 * One object that nothing points to, with the lines that tell how it came to be. It is ours when a try made it, or
 * a module: what else the kernel has lost, it lost without the driver.
 */
static bool leak_show(char *const *lines, unsigned int n, unsigned int shown)
{
	const struct call *calls;
	size_t n_calls = calls_make(&calls);
	bool ours = false, trace = false;
	unsigned int number = 0, i;
	int fault = 0;

	for (i = 0; i < n; i++)
		ours |= tag_read(lines[i], &number, &fault) ||
			strchr(lines[i], ']') > lines[i] + 30;
	if (!ours || shown >= LEAKS_SHOWN)
		return ours;
	if (number < n_calls && fault)
		test_fail(__FILE__, __LINE__, "%s, %s, leaks: %s", calls[number].name,
			  fault_name(fault), lines[0]);
	else
		test_fail(__FILE__, __LINE__, "%s", lines[0]);
	for (i = 1; i < n; i++) {
		trace |= strstr(lines[i], "backtrace") != NULL;
		if (trace)
			test_note("%s", lines[i]);
	}
	return true;
}

static unsigned int leaks_show(FILE *f)
{
	char text[40][160], *lines[40], line[256];
	unsigned int n = 0, leaks = 0;
	bool more;

	for (;;) {
		more = fgets(line, sizeof(line), f);
		if (n && (!more || !strncmp(line, "unreferenced", 12))) {
			leaks += leak_show(lines, n, leaks);
			n = 0;
		}
		if (!more)
			return leaks;
		line[strcspn(line, "\n")] = '\0';
		if (n < 40) {
			snprintf(text[n], sizeof(text[n]), "%.159s", line);
			lines[n] = text[n];
			n++;
		}
	}
}

static void test_leaks(void)
{
	unsigned int leaks;
	FILE *f;

	if (!shared->calls)
		SKIP("no call was swept");
	test_note("swept: %u points in %u calls, %u survived", shared->points, shared->calls,
		  shared->survived);
	if (!shared->points)
		SKIP("there were no faults to inject");
	if (!kmemleak_say("scan=off"))
		SKIP("%s: %s (CONFIG_DEBUG_KMEMLEAK, kmemleak=on)", KMEMLEAK, errno_name(errno));
	sleep_ms(AGE_MS);
	if (!kmemleak_say("scan") || !kmemleak_say("scan")) {
		test_fail(__FILE__, __LINE__, "kmemleak does not scan: %s", errno_name(errno));
		return;
	}
	f = fopen(KMEMLEAK, "re");
	if (!f) {
		test_fail(__FILE__, __LINE__, "%s: %s", KMEMLEAK, errno_name(errno));
		return;
	}
	leaks = leaks_show(f);
	fclose(f);
	if (leaks > LEAKS_SHOWN)
		test_note("and %u more", leaks - LEAKS_SHOWN);
}

static struct test_case leaks_case = { .name = "leaks: all memory is given back",
				       .run = test_leaks,
				       .timeout_s = 120 };

static void test_none(void)
{
	SKIP("%s", (const char *)test_data());
}

static struct test_case none_case = { .name = "faults", .run = test_none };

/* Takes the options that only this program has; the rest is the harness'. */
static int own_options(int argc, char **argv)
{
	int i, n = 1;

	for (i = 1; i < argc; i++) {
		if (i + 1 < argc && !strcmp(argv[i], "--params"))
			snprintf(conf.params, sizeof(conf.params), "%s", argv[++i]);
		else if (!strcmp(argv[i], "--quick"))
			quick = true;
		else
			argv[n++] = argv[i];
	}
	argv[n] = NULL;
	return n;
}

/* With one call alone, its leaks are asked for, too; those of all are of all. */
static void filter_leaks(int argc, char **argv)
{
	static char name[256];
	int i;

	for (i = 1; i + 1 < argc; i++) {
		if (strcmp(argv[i], "--filter"))
			continue;
		if (!strncmp(argv[i + 1], "leaks", 5))
			argv[i + 1] = "";
		snprintf(name, sizeof(name), "leaks: all memory is given back%s%.180s",
			 *argv[i + 1] ? " after " : "", argv[i + 1]);
		leaks_case.name = name;
	}
}

/* --filter names what is wanted. */
static bool filtered(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--filter"))
			return true;
	return false;
}

static void cases_make(bool all)
{
	const struct call *calls;
	struct test_case *cases;
	size_t n = calls_make(&calls), i;

	cases = calloc(n, sizeof(*cases));
	for (i = 0; cases && i < n; i++) {
		if (!all && !(calls[i].flags & CALL_QUICK))
			continue;
		cases[i] = (struct test_case){ .name = calls[i].name,
					       .run = test_call,
					       .timeout_s = CALL_TIMEOUT,
					       .data = &calls[i] };
		test_register(&cases[i]);
	}
	test_register(&leaks_case);
}

int main(int argc, char **argv)
{
	static char why[160];

	shared = shared_memory(sizeof(*shared));
	conf_find(NULL);
	argc = own_options(argc, argv);
	if (!faults_open(why)) {
		none_case.data = why;
		test_register(&none_case);
		return harness_main(argc, argv);
	}
	kmemleak_say("scan=off");
	kmemleak_say("clear");
	cases_make(!quick || filtered(argc, argv));
	filter_leaks(argc, argv);
	return harness_main(argc, argv);
}
