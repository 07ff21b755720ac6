// SPDX-License-Identifier: GPL-2.0
#include "stress.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

#define SECONDS_LEAST 2
#define SLOW	      60 /* seconds of a busy host for one of a guest that is repeatable */

static const char *const names[STRESS_KINDS] = {
#define STRESS_KIND(kind, name) name,
#include "../guest/stress_kinds.h"
#undef STRESS_KIND
};

#define ALL_CALLS ((1ULL << STRESS_KINDS) - 1)

enum lab_exit stress_read_calls(const char *text, struct stress_plan *plan)
{
	enum lab_exit ret = LAB_OK;
	struct strv words = {};

	plan->calls = 0;
	strv_split(&words, text, ",");
	for (size_t i = 0; i < words.n && !ret; i++) {
		size_t k = 0;

		while (k < STRESS_KINDS && strcmp(words.v[i], names[k]))
			k++;
		if (k == STRESS_KINDS)
			ret = lab_fail(LAB_USAGE, "they are listed in cdevlab(1)",
				       "there is no kind of call \"%s\"", words.v[i]);
		else
			plan->calls |= 1ULL << k;
	}
	if (!ret && !plan->calls)
		ret = lab_fail(LAB_USAGE, "for instance open,read", "--calls names none");
	strv_free(&words);
	return ret;
}

static void put_calls(struct buf *b, unsigned long long calls)
{
	const char *comma = "";

	for (size_t k = 0; k < STRESS_KINDS; k++) {
		if (!(calls & 1ULL << k))
			continue;
		buf_printf(b, "%s%s", comma, names[k]);
		comma = ",";
	}
}

/* The same words for the program and for the subcommand, but for --for and --seed. */
static void put_limits(struct strv *to, const struct stress_plan *plan)
{
	if (plan->calls) {
		struct buf b = {};

		buf_puts(&b, "--calls=");
		put_calls(&b, plan->calls);
		strv_take(to, b.s);
	}
	if (plan->processes)
		strv_addf(to, "--processes=%d", plan->processes);
	if (plan->threads)
		strv_addf(to, "--threads=%d", plan->threads);
	if (plan->no_kill)
		strv_add(to, "--no-kill");
	if (plan->no_reload)
		strv_add(to, "--no-reload");
	if (plan->no_hotplug)
		strv_add(to, "--no-hotplug");
}

void stress_instead(const struct stress_plan *plan, struct test_instead *p)
{
	struct strv limits = {};
	struct buf options = {};

	test_instead_stress(p, plan->seconds, plan->seed);
	put_limits(&limits, plan);
	buf_puts(&options, p->options);
	for (size_t i = 0; i < limits.n; i++) {
		strv_add(&p->argv, limits.v[i]);
		buf_printf(&options, " %s", limits.v[i]);
	}
	if (plan->repeatable) {
		strv_add(&p->argv, "--no-hotplug");
		buf_puts(&options, " --repeatable");
		p->exact = p->repeatable = true;
		p->seconds += plan->seconds * SLOW;
	}
	free(p->options);
	p->options = options.s;
	strv_free(&limits);
}

/* struct hunt - a minimisation under way */
struct hunt {
	struct stress_plan *best;
	bool (*fails)(void *ctx, const struct stress_plan *plan);
	bool (*more)(void *ctx);
	void *ctx;
};

static bool accept(struct hunt *h, const struct stress_plan *candidate)
{
	if (!h->more(h->ctx) || !h->fails(h->ctx, candidate))
		return false;
	*h->best = *candidate;
	return true;
}

static void less_time(struct hunt *h)
{
	bool less = true;

	while (less && h->best->seconds > SECONDS_LEAST) {
		struct stress_plan p = *h->best;

		p.seconds = p.seconds / 2 < SECONDS_LEAST ? SECONDS_LEAST : p.seconds / 2;
		less = accept(h, &p);
	}
}

static void leave_out(struct hunt *h)
{
	struct stress_plan all = *h->best, p;

	all.no_kill = all.no_reload = all.no_hotplug = true;
	if (accept(h, &all))
		return;
	p = *h->best;
	p.no_hotplug = true;
	if (!h->best->no_hotplug && !h->best->repeatable)
		accept(h, &p);
	p = *h->best;
	p.no_reload = true;
	if (!h->best->no_reload)
		accept(h, &p);
	p = *h->best;
	p.no_kill = true;
	if (!h->best->no_kill)
		accept(h, &p);
}

static int count(unsigned long long calls)
{
	return __builtin_popcountll(calls);
}

/* The nth of @parts parts of a set */
static unsigned long long part(unsigned long long calls, int nth, int parts)
{
	int all = count(calls), from = all * nth / parts, to = all * (nth + 1) / parts, at = 0;
	unsigned long long found = 0;

	for (size_t k = 0; k < STRESS_KINDS; k++) {
		if (!(calls & 1ULL << k))
			continue;
		if (at >= from && at < to)
			found |= 1ULL << k;
		at++;
	}
	return found;
}

static bool try_calls(struct hunt *h, unsigned long long calls)
{
	struct stress_plan p = *h->best;

	p.calls = calls;
	return calls && accept(h, &p);
}

/* Zeller's ddmin: parts, then what is left without each of them, then smaller parts */
static void fewer_calls(struct hunt *h)
{
	int parts = 2;

	for (;;) {
		unsigned long long calls = h->best->calls ?: ALL_CALLS;
		bool less = false, rest = false;

		if (parts > count(calls) || count(calls) < 2 || !h->more(h->ctx))
			return;
		for (int i = 0; i < parts && !less; i++)
			less = try_calls(h, part(calls, i, parts));
		for (int i = 0; i < parts && !less && !rest && parts > 2; i++)
			rest = try_calls(h, calls & ~part(calls, i, parts));
		if (less)
			parts = 2;
		else if (rest)
			parts--;
		else if (parts == count(calls))
			return;
		else
			parts = parts * 2 < count(calls) ? parts * 2 : count(calls);
	}
}

static void fewer_workers(struct hunt *h)
{
	bool less = true;

	while (less && (h->best->processes ?: STRESS_PROCESSES) > 1) {
		struct stress_plan p = *h->best;

		p.processes = (p.processes ?: STRESS_PROCESSES) / 2;
		less = accept(h, &p);
	}
	less = true;
	while (less && (h->best->threads ?: STRESS_THREADS) > 1) {
		struct stress_plan p = *h->best;

		p.threads = (p.threads ?: STRESS_THREADS) / 2;
		less = accept(h, &p);
	}
}

void stress_minimise(struct stress_plan *plan,
		     bool (*fails)(void *ctx, const struct stress_plan *plan),
		     bool (*more)(void *ctx), void *ctx)
{
	struct hunt h = { .best = plan, .fails = fails, .more = more, .ctx = ctx };

	less_time(&h);
	leave_out(&h);
	fewer_calls(&h);
	fewer_workers(&h);
	less_time(&h);
}
