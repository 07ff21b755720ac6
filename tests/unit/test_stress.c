// SPDX-License-Identifier: GPL-2.0
/* What of a stress run can be left out: against a driver that fails by a rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../lab/stress.h"
#include "../../lab/test.h"

#define READ  (1ULL << STRESS_READ)
#define IOCTL (1ULL << STRESS_IOCTL)
#define EVENT (1ULL << STRESS_EVENT)

/* struct rule - what the driver needs in order to fail */
struct rule {
	unsigned long long calls;
	int workers, processes, seconds;
	bool reload;
	int runs, most;
};

static bool fails(void *ctx, const struct stress_plan *p)
{
	int processes = p->processes ?: STRESS_PROCESSES, threads = p->threads ?: STRESS_THREADS;
	unsigned long long calls = p->calls ?: ~0ULL;
	struct rule *r = ctx;

	r->runs++;
	return (calls & r->calls) == r->calls && processes * threads >= r->workers &&
	       processes >= r->processes && p->seconds >= r->seconds &&
	       !(r->reload && p->no_reload);
}

static bool more(void *ctx)
{
	const struct rule *r = ctx;

	return !r->most || r->runs < r->most;
}

static void what_it_needs_is_left(void **state)
{
	struct rule r = { .calls = READ | IOCTL, .workers = 2, .processes = 2, .seconds = 5 };
	struct stress_plan p = { .seconds = 60, .seed = 7 };

	(void)state;
	stress_minimise(&p, fails, more, &r);
	assert_true(p.calls == (READ | IOCTL));
	assert_int_equal(p.processes, 2);
	assert_int_equal(p.threads, 1);
	assert_int_equal(p.seconds, 7);
	assert_true(p.no_kill && p.no_reload && p.no_hotplug);
	assert_int_equal(p.seed, 7);
	assert_true(r.runs < 60);
}

static void a_reload_that_is_needed_stays(void **state)
{
	struct rule r = {
		.calls = EVENT, .workers = 1, .processes = 1, .seconds = 1, .reload = true
	};
	struct stress_plan p = { .seconds = 10 };

	(void)state;
	stress_minimise(&p, fails, more, &r);
	assert_true(p.calls == EVENT);
	assert_true(p.no_kill && !p.no_reload && p.no_hotplug);
	assert_int_equal(p.processes * p.threads, 1);
	assert_int_equal(p.seconds, 2);
}

static void what_fails_only_as_a_whole_stays_as_it_is(void **state)
{
	struct rule r = { .calls = (1ULL << STRESS_KINDS) - 1,
			  .workers = STRESS_PROCESSES * STRESS_THREADS,
			  .processes = STRESS_PROCESSES,
			  .seconds = 60,
			  .reload = true };
	struct stress_plan p = { .seconds = 60 };

	(void)state;
	stress_minimise(&p, fails, more, &r);
	assert_int_equal(p.calls, 0);
	assert_int_equal(p.processes, 0);
	assert_int_equal(p.threads, 0);
	assert_int_equal(p.seconds, 60);
}

static void when_time_is_up_it_ends(void **state)
{
	struct rule r = { .calls = READ | IOCTL, .seconds = 1, .most = 6 };
	struct stress_plan p = { .seconds = 60 };

	(void)state;
	stress_minimise(&p, fails, more, &r);
	assert_int_equal(r.runs, 6);
	assert_true(fails(&r, &p));
}

static void a_plan_is_said_in_options(void **state)
{
	struct stress_plan p = { .seconds = 9, .seed = 3, .threads = 2, .no_kill = true };
	struct test_instead t;

	(void)state;
	assert_int_equal(stress_read_calls("ioctl,read", &p), LAB_OK);
	assert_true(p.calls == (READ | IOCTL));
	stress_instead(&p, &t);
	assert_string_equal(t.options,
			    " --for 9 --seed 3 --calls=read,ioctl --threads=2 --no-kill");
	assert_true(strv_has(&t.argv, "--calls=read,ioctl"));
	assert_true(strv_has(&t.argv, "--for=9"));
	test_instead_free(&t);
	assert_int_equal(stress_read_calls("read,nothing", &p), LAB_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_needs_is_left),
		cmocka_unit_test(a_reload_that_is_needed_stays),
		cmocka_unit_test(what_fails_only_as_a_whole_stays_as_it_is),
		cmocka_unit_test(when_time_is_up_it_ends),
		cmocka_unit_test(a_plan_is_said_in_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
