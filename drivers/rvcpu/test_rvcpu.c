// SPDX-License-Identifier: GPL-2.0
/*
 * What the counters' device promises beyond what every character device does: values that are a counter's
 * or said not to be, by both ABIs, on CPUs that come and go and with a PMU that others want too.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "rvcpu.h"

/* How long a stress goes on. */
#define STRESS_MS 300
/* A PMU that others gave back is asked for again within a tenth of a second. */
#define BACK_AFTER_MS 5000
/* Of two CPUs that are asked at the same time each is the first now and then, and much earlier. */
#define TURN_MS 10000

#define COUNTERS (RVCPU_CYCLE | RVCPU_INSTRET)

static struct rvcpu_record records[RVCPU_RECORDS_MAX];

static int open_node(void)
{
	return SAFE(open(test_node(), O_RDONLY | O_CLOEXEC));
}

static struct rvcpu_snapshot one(__u32 cpu)
{
	return (struct rvcpu_snapshot){
		.size = sizeof(struct rvcpu_snapshot),
		.which = RVCPU_ONE,
		.cpu = cpu,
		.rounds = 1,
		.count = 1,
		.record_size = sizeof(records[0]),
		.records = (uintptr_t)records,
	};
}

static struct rvcpu_snapshot all(void)
{
	struct rvcpu_snapshot s = one(0);

	s.which = RVCPU_ALL;
	s.count = RVCPU_RECORDS_MAX;
	return s;
}

static struct rvcpu_snapshot set(__u64 *words, size_t n)
{
	struct rvcpu_snapshot s = one(0);

	s.which = RVCPU_SET;
	s.set = (uintptr_t)words;
	s.set_size = n * sizeof(*words);
	s.count = RVCPU_RECORDS_MAX;
	return s;
}

/* A device of the first ABI only does not know the call of the second. */
static int open_second(void)
{
	struct rvcpu_snapshot s = one(RVCPU_THIS_CPU);
	int fd = open_node();

	if (ioctl(fd, RVCPU_SNAPSHOT, &s) && errno == ENOTTY)
		SKIP("the device has the first ABI only");
	return fd;
}

static void reload(const char *params)
{
	if (module_loaded(test_module()))
		ASSERT_EQ(module_unload(test_module()), 0);
	ASSERT_EQ(module_load(test_module(), params), 0);
}

static bool has_parameter(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", test_module(), name);
	return !access(path, F_OK);
}

static struct rvcpu_record take(int fd, __u32 cpu)
{
	struct rvcpu_record r;
	struct rvcpu_snapshot s = one(cpu);

	s.records = (uintptr_t)&r;
	SAFE(ioctl(fd, RVCPU_SNAPSHOT, &s));
	return r;
}

/* Whether the first ABI has something to give here. */
static bool have_counters(int fd)
{
	struct rvcpu_counters c;

	if (!ioctl(fd, RVCPU_READ, &c))
		return true;
	EXPECT_EQ(errno, EOPNOTSUPP);
	return false;
}

static void need_cpus(unsigned int n)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < (long)n)
		SKIP("%u CPUs are not there", n);
}

static void use_cpu(unsigned int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	SAFE(sched_setaffinity(0, sizeof(cpus), &cpus));
}

static pthread_t start(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, run, arg);

	if (err) {
		test_fail(__FILE__, __LINE__, "pthread_create: %s", errno_name(err));
		test_end();
	}
	return thread;
}

static unsigned long long monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* A field is live, with a source and a value, or missing, with a reason and none. Never both. */
static void expect_field(const char *name, bool live, __u64 value, unsigned int source,
			 unsigned int missing)
{
	bool truthful = live ? source != RVCPU_SOURCE_NONE && source <= RVCPU_SOURCE_CNTVCT &&
					missing == RVCPU_MISSING_NOT && value &&
					value != RVCPU_ABSENT :
			       source == RVCPU_SOURCE_NONE && missing != RVCPU_MISSING_NOT &&
					missing <= RVCPU_MISSING_NO_EVENT && value == RVCPU_ABSENT;

	if (!truthful)
		test_fail(__FILE__, __LINE__, "%s: live %d, value %#llx, source %u, missing %u",
			  name, live, (unsigned long long)value, source, missing);
}

static void expect_truthful(const struct rvcpu_record *r)
{
	expect_field("time", r->live & RVCPU_TIME, r->time, r->time_source, r->time_missing);
	expect_field("cycle", r->live & RVCPU_CYCLE, r->cycle, r->cycle_source, r->cycle_missing);
	expect_field("instret", r->live & RVCPU_INSTRET, r->instret, r->instret_source,
		     r->instret_missing);
	if (r->live & RVCPU_KTIME)
		EXPECT_TRUE(r->before_ns && r->before_ns <= r->after_ns);
	else
		EXPECT_TRUE(r->before_ns == RVCPU_ABSENT && r->after_ns == RVCPU_ABSENT);
	EXPECT_EQ(r->live & ~(RVCPU_TIME | COUNTERS | RVCPU_KTIME), 0);
	EXPECT_EQ(r->state_reserved, 0);
	EXPECT_EQ(r->reserved, 0);
	EXPECT_GE(r->epoch, 1);
}

/* The later record of the same CPU. */
static void expect_advance(const struct rvcpu_record *a, const struct rvcpu_record *b)
{
	EXPECT_EQ(a->cpu, b->cpu);
	if (a->live & b->live & RVCPU_KTIME)
		EXPECT_GE(b->before_ns, a->after_ns);
	if (a->live & b->live & RVCPU_TIME)
		EXPECT_TRUE(b->time >= a->time);
	if (a->live & b->live & RVCPU_CYCLE && b->cycle <= a->cycle)
		test_fail(__FILE__, __LINE__, "cycle stands still: %llu, %llu",
			  (unsigned long long)a->cycle, (unsigned long long)b->cycle);
	if (a->live & b->live & RVCPU_INSTRET && b->instret <= a->instret)
		test_fail(__FILE__, __LINE__, "instret stands still: %llu, %llu",
			  (unsigned long long)a->instret, (unsigned long long)b->instret);
}

/* The first ABI */

TEST(the_first_ABI_has_its_number_and_its_size)
{
	EXPECT_EQ(RVCPU_READ, 0x80187C80);
	EXPECT_EQ(sizeof(struct rvcpu_counters), 24);
}

TEST(read_returns_24_bytes_then_0)
{
	struct rvcpu_counters c[2];
	int fd = open_node();

	if (!have_counters(fd))
		SKIP("nothing but the time is there");
	EXPECT_EQ(read(fd, c, sizeof(c)), 24);
	EXPECT_EQ(read(fd, c, sizeof(c)), 0);
	EXPECT_EQ(read(fd, c, sizeof(c)), 0);
	EXPECT_EQ(pread(fd, c, 8, 20), 4);
	EXPECT_EQ(pread(fd, c, 8, 24), 0);
}

TEST(read_gives_each_byte_by_its_position)
{
	unsigned char whole[24], part;
	int fd = open_node(), i;

	if (!have_counters(fd))
		SKIP("nothing but the time is there");
	ASSERT_EQ(pread(fd, whole, sizeof(whole), 0), 24);
	for (i = 0; i < 24; i++) {
		ASSERT_EQ(read(fd, &part, 1), 1);
		EXPECT_EQ(part, whole[i]);
	}
	EXPECT_EQ(read(fd, &part, 1), 0);
}

TEST(the_ioctl_takes_a_fresh_snapshot_and_leaves_what_read_returns_alone)
{
	struct rvcpu_counters opened, fresh, again;
	int fd;

	use_cpu(0);
	fd = open_node();
	if (!have_counters(fd))
		SKIP("nothing but the time is there");
	ASSERT_EQ(pread(fd, &opened, sizeof(opened), 0), 24);
	SAFE(ioctl(fd, RVCPU_READ, &fresh));
	ASSERT_EQ(read(fd, &again, sizeof(again)), 24);
	EXPECT_EQ(memcmp(&opened, &again, sizeof(opened)), 0);
	EXPECT_TRUE(fresh.time > opened.time);
	if (opened.cycle != RVCPU_ABSENT)
		EXPECT_TRUE(fresh.cycle > opened.cycle);
	if (opened.instret != RVCPU_ABSENT)
		EXPECT_TRUE(fresh.instret > opened.instret);
}

TEST(both_ABIs_show_the_same_counters)
{
	struct rvcpu_record before, after;
	struct rvcpu_counters c;
	int fd = open_second();

	use_cpu(0);
	before = take(fd, 0);
	if (!(before.live & COUNTERS))
		SKIP("nothing but the time is there");
	SAFE(ioctl(fd, RVCPU_READ, &c));
	after = take(fd, 0);
	EXPECT_TRUE(before.time <= c.time && c.time <= after.time);
	if (before.live & RVCPU_CYCLE)
		EXPECT_TRUE(before.cycle < c.cycle && c.cycle < after.cycle);
	else
		EXPECT_TRUE(c.cycle == RVCPU_ABSENT);
	if (before.live & RVCPU_INSTRET)
		EXPECT_TRUE(before.instret < c.instret && c.instret < after.instret);
	else
		EXPECT_TRUE(c.instret == RVCPU_ABSENT);
}

/* Where nothing but the time is there, by nature or because the module leaves the PMU alone. */
static void expect_nothing(int fd)
{
	struct rvcpu_counters c;

	memset(&c, 0x5a, sizeof(c));
	EXPECT_ERR(ioctl(fd, RVCPU_READ, &c), EOPNOTSUPP);
	EXPECT_EQ(c.cycle, 0x5a5a5a5a5a5a5a5a);
	EXPECT_ERR(read(fd, &c, sizeof(c)), EOPNOTSUPP);
	EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
	EXPECT_EQ(read(fd, &c, 0), 0);
	EXPECT_EQ(pread(fd, &c, sizeof(c), 24), 0);
	EXPECT_EQ(c.cycle, 0x5a5a5a5a5a5a5a5a);
}

static void expect_time_only(int fd)
{
	struct rvcpu_snapshot s = one(RVCPU_THIS_CPU);

	expect_nothing(fd);
	s.need = RVCPU_CYCLE;
	EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &s), EOPNOTSUPP);
	s.need = RVCPU_INSTRET;
	EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &s), EOPNOTSUPP);
	s.need = RVCPU_TIME | RVCPU_KTIME;
	SAFE(ioctl(fd, RVCPU_SNAPSHOT, &s));
	expect_truthful(&records[0]);
	EXPECT_EQ(records[0].live, RVCPU_TIME | RVCPU_KTIME);
}

TEST(without_counters_the_first_ABI_says_EOPNOTSUPP_and_writes_nothing)
{
	int fd = open_node();

	if (have_counters(fd))
		SKIP("there are counters");
	expect_nothing(fd);
}

TEST(without_counters_the_second_ABI_has_the_time_and_says_why)
{
	struct rvcpu_record r;
	int fd = open_second();

	r = take(fd, RVCPU_THIS_CPU);
	if (r.live & COUNTERS)
		SKIP("there are counters");
	expect_time_only(fd);
	EXPECT_EQ(r.cycle_missing, RVCPU_MISSING_NO_PMU);
	EXPECT_EQ(r.instret_missing, RVCPU_MISSING_NO_PMU);
}

TEST(lseek_is_that_of_a_file_of_24_bytes)
{
	int fd = open_node();

	EXPECT_EQ(lseek(fd, 0, SEEK_END), 24);
	EXPECT_EQ(lseek(fd, -4, SEEK_CUR), 20);
	EXPECT_EQ(lseek(fd, 100, SEEK_SET), 100);
	EXPECT_ERR(lseek(fd, -1, SEEK_SET), EINVAL);
	EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 100);
	EXPECT_EQ(read(fd, (char[1]){ 0 }, 1), 0);
}

TEST(a_PMU_that_counts_one_of_them_only_is_not_said_to_be_missing)
{
	struct rvcpu_record r;

	r = take(open_second(), RVCPU_THIS_CPU);
	if (!(r.live & COUNTERS) || (r.live & COUNTERS) == COUNTERS)
		SKIP("both are there, or none");
	EXPECT_EQ(r.live & RVCPU_CYCLE ? r.instret_missing : r.cycle_missing,
		  RVCPU_MISSING_NO_EVENT);
}

/* The second ABI */

TEST(a_record_says_of_each_field_where_it_is_from_or_why_it_is_missing)
{
	struct rvcpu_record r;
	int fd = open_second();

	r = take(fd, RVCPU_THIS_CPU);
	expect_truthful(&r);
	EXPECT_EQ(r.live & (RVCPU_TIME | RVCPU_KTIME), RVCPU_TIME | RVCPU_KTIME);
#if defined(__x86_64__)
	EXPECT_EQ(r.time_source, RVCPU_SOURCE_TSC);
#elif defined(__aarch64__)
	EXPECT_EQ(r.time_source, RVCPU_SOURCE_CNTVCT);
#elif defined(__riscv)
	EXPECT_EQ(r.time_source, RVCPU_SOURCE_CSR);
#endif
	test_note("cycle: source %u missing %u, instret: source %u missing %u", r.cycle_source,
		  r.cycle_missing, r.instret_source, r.instret_missing);
}

/* What user space can read itself. */
static bool read_time(__u64 *value)
{
#if defined(__x86_64__)
	*value = __builtin_ia32_rdtsc();
	return true;
#elif defined(__aarch64__)
	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(*value));
	return true;
#elif defined(__riscv)
	__asm__ volatile("rdtime %0" : "=r"(*value));
	return true;
#else
	return false;
#endif
}

TEST(time_is_the_register_that_user_space_reads)
{
	struct rvcpu_record r;
	__u64 before, after;
	int fd = open_second();

	use_cpu(0);
	if (!read_time(&before))
		SKIP("not known here");
	r = take(fd, 0);
	read_time(&after);
	EXPECT_TRUE(before <= r.time && r.time <= after);
}

TEST(ktime_is_CLOCK_MONOTONIC)
{
	unsigned long long before, after;
	struct rvcpu_record r;
	int fd = open_second();

	before = monotonic_ns();
	r = take(fd, RVCPU_THIS_CPU);
	after = monotonic_ns();
	EXPECT_TRUE(before <= r.before_ns && r.before_ns <= r.after_ns && r.after_ns <= after);
}

TEST(every_live_field_advances_from_one_snapshot_to_the_next)
{
	struct rvcpu_record a, b;
	int fd = open_second(), i;
	unsigned int cpu, n = sysconf(_SC_NPROCESSORS_ONLN);

	use_cpu(0);
	for (cpu = 0; cpu < n; cpu++) {
		a = take(fd, cpu);
		for (i = 0; i < 200; i++) {
			b = take(fd, cpu);
			expect_truthful(&b);
			expect_advance(&a, &b);
			a = b;
		}
	}
}

/* Instructions between two snapshots, less what the way between them takes. */
TEST(instret_counts_what_a_loop_executes)
{
	struct rvcpu_record a, b, c;
	unsigned int i, fd = open_second();

	use_cpu(0);
	a = take(fd, 0);
	b = take(fd, 0);
	for (i = 0; i < 10000000; i++)
		__asm__ volatile("");
	c = take(fd, 0);
	if (!(a.live & RVCPU_INSTRET))
		SKIP("instret is not there");
	/* Two or more instructions each. An emulator may count something else, but not less. */
	EXPECT_GE(c.instret - b.instret, 10000000);
	EXPECT_GE(c.instret - b.instret, 20 * (b.instret - a.instret) / 10);
}

TEST(one_CPU_is_the_one_asked_for)
{
	unsigned int cpu, n = sysconf(_SC_NPROCESSORS_ONLN);
	int fd = open_second();

	for (cpu = 0; cpu < n; cpu++) {
		EXPECT_EQ(take(fd, cpu).cpu, cpu);
		use_cpu(cpu);
		EXPECT_EQ(take(fd, RVCPU_THIS_CPU).cpu, cpu);
		EXPECT_EQ(take(fd, cpu).cpu, cpu);
	}
}

TEST(all_CPUs_come_in_order_and_from_within_the_call)
{
	struct rvcpu_snapshot s = all();
	unsigned long long before, after;
	int fd = open_second();
	unsigned int i;

	before = monotonic_ns();
	SAFE(ioctl(fd, RVCPU_SNAPSHOT, &s));
	after = monotonic_ns();
	ASSERT_EQ(s.count, sysconf(_SC_NPROCESSORS_ONLN));
	for (i = 0; i < s.count; i++) {
		EXPECT_EQ(records[i].cpu, i);
		expect_truthful(&records[i]);
		EXPECT_EQ(records[i].live & RVCPU_TIME, RVCPU_TIME);
		EXPECT_TRUE(before <= records[i].before_ns && records[i].after_ns <= after);
	}
}

/*
 * Whoever visits one CPU after another does so in the same order each time. Where all are asked at the
 * same time, either may be held up and the other one be the first.
 */
TEST(CPUs_of_a_round_are_not_read_one_after_another)
{
	unsigned int rounds = 0, first[2] = { 0 };
	struct rvcpu_snapshot s = all();
	int fd = open_second();
	long long until = now_ms() + TURN_MS;

	need_cpus(2);
	use_cpu(0);
	while ((!first[0] || !first[1]) && now_ms() < until) {
		SAFE(ioctl(fd, RVCPU_SNAPSHOT, &s));
		first[0] += records[0].before_ns < records[1].before_ns;
		first[1] += records[1].before_ns < records[0].before_ns;
		rounds++;
	}
	test_note("of %u rounds CPU 0 was the first in %u, CPU 1 in %u", rounds, first[0],
		  first[1]);
	EXPECT_TRUE(first[0] && first[1]);
}

TEST(a_set_gives_its_CPUs_and_no_others)
{
	__u64 words[2] = { 0 };
	struct rvcpu_snapshot s = set(words, 2);
	int fd = open_second();

	need_cpus(2);
	words[0] = 2;
	SAFE(ioctl(fd, RVCPU_SNAPSHOT, &s));
	ASSERT_EQ(s.count, 1);
	EXPECT_EQ(records[0].cpu, 1);
	words[0] = 3;
	s.count = 2;
	SAFE(ioctl(fd, RVCPU_SNAPSHOT, &s));
	ASSERT_EQ(s.count, 2);
	EXPECT_EQ(records[0].cpu, 0);
	EXPECT_EQ(records[1].cpu, 1);
}

TEST(a_batch_of_1024_is_taken_in_one_call_and_one_of_more_refused)
{
	struct rvcpu_snapshot s = one(RVCPU_THIS_CPU);
	unsigned int i, n = sysconf(_SC_NPROCESSORS_ONLN);
	int fd = open_second();

	use_cpu(0);
	s.rounds = RVCPU_RECORDS_MAX;
	s.count = RVCPU_RECORDS_MAX;
	SAFE(ioctl(fd, RVCPU_SNAPSHOT, &s));
	ASSERT_EQ(s.count, RVCPU_RECORDS_MAX);
	for (i = 1; i < RVCPU_RECORDS_MAX; i++)
		expect_advance(&records[i - 1], &records[i]);

	s = all();
	s.rounds = RVCPU_RECORDS_MAX / n;
	SAFE(ioctl(fd, RVCPU_SNAPSHOT, &s));
	ASSERT_EQ(s.count, s.rounds * n);
	for (i = 0; i < s.count; i++)
		ASSERT_EQ(records[i].cpu, i % n);
	for (i = n; i < s.count; i++)
		expect_advance(&records[i - n], &records[i]);

	s = all();
	s.rounds = RVCPU_RECORDS_MAX / n + 1;
	s.count = UINT32_MAX;
	EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &s), EMSGSIZE);
	s = one(0);
	s.rounds = RVCPU_RECORDS_MAX + 1;
	EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &s), EINVAL);
}

TEST(count_0_asks_how_many_records_there_would_be)
{
	struct rvcpu_snapshot s = all();
	int fd = open_second();

	s.rounds = 3;
	s.count = 0;
	s.records = 0;
	SAFE(ioctl(fd, RVCPU_SNAPSHOT, &s));
	EXPECT_EQ(s.count, 3 * sysconf(_SC_NPROCESSORS_ONLN));
}

TEST(too_little_room_is_ENOSPC_and_nothing_is_written)
{
	struct rvcpu_snapshot s = one(RVCPU_THIS_CPU);
	int fd = open_second();

	memset(records, 0x5a, sizeof(records));
	s.rounds = 8;
	s.count = 7;
	EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &s), ENOSPC);
	EXPECT_EQ(records[0].cpu, 0x5a5a5a5a);
	EXPECT_EQ(s.count, 7);
}

TEST(what_is_skipped_is_not_live_and_says_so)
{
	static const __u32 fields[] = { RVCPU_TIME, RVCPU_CYCLE, RVCPU_INSTRET, RVCPU_KTIME };
	int fd = open_second();
	struct rvcpu_record r;
	unsigned int i, way;

	for (i = 0; i < 8; i++) {
		/* By the short way and by the long one. */
		for (way = 0; way < 2; way++) {
			struct rvcpu_snapshot s = one(RVCPU_THIS_CPU);

			s.skip = fields[i % 4] | (i < 4 ? 0 : RVCPU_KTIME);
			s.count = 1 + way;
			SAFE(ioctl(fd, RVCPU_SNAPSHOT, &s));
			r = records[0];
			expect_truthful(&r);
			EXPECT_EQ(r.live & s.skip, 0);
			EXPECT_EQ(r.time_missing == RVCPU_MISSING_SKIPPED, !!(s.skip & RVCPU_TIME));
			EXPECT_EQ(r.cycle_missing == RVCPU_MISSING_SKIPPED,
				  !!(s.skip & RVCPU_CYCLE));
			EXPECT_EQ(r.instret_missing == RVCPU_MISSING_SKIPPED,
				  !!(s.skip & RVCPU_INSTRET));
		}
	}
}

TEST(a_caller_older_or_newer_than_the_kernel_is_served_or_refused_by_what_it_asks)
{
	struct {
		struct rvcpu_snapshot s;
		__u64 rest[3];
	} arg = { .s = one(RVCPU_THIS_CPU) };
	int fd = open_second();
	unsigned int i;

	for (i = 0; i < RVCPU_SNAPSHOT_SIZE_VER0; i++) {
		arg.s.size = i;
		EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &arg), EINVAL);
	}
	arg.s.size = sizeof(arg);
	SAFE(ioctl(fd, RVCPU_SNAPSHOT, &arg));
	expect_truthful(&records[0]);
	arg.rest[2] = 1ULL << 63;
	EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &arg), E2BIG);
	arg.rest[2] = 0;
	arg.s.size = RVCPU_SIZE_MAX + 1;
	EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &arg), E2BIG);
	arg.s.size = UINT32_MAX;
	EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &arg), E2BIG);
}

TEST(a_longer_record_is_filled_up_with_zeros)
{
	struct longer {
		struct rvcpu_record r;
		__u64 rest[2];
	} longer[3];
	struct rvcpu_snapshot s = one(RVCPU_THIS_CPU);
	int fd = open_second(), i;

	memset(longer, 0x5a, sizeof(longer));
	s.rounds = 2;
	s.count = 2;
	s.record_size = sizeof(longer[0]);
	s.records = (uintptr_t)longer;
	SAFE(ioctl(fd, RVCPU_SNAPSHOT, &s));
	for (i = 0; i < 2; i++) {
		expect_truthful(&longer[i].r);
		EXPECT_EQ(longer[i].rest[0], 0);
		EXPECT_EQ(longer[i].rest[1], 0);
	}
	EXPECT_EQ(longer[2].r.cpu, 0x5a5a5a5a);
	s.record_size = RVCPU_RECORD_SIZE_VER0 - 8;
	EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &s), EINVAL);
	s.record_size = RVCPU_RECORD_SIZE_VER0 + 4;
	EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &s), EINVAL);
	s.record_size = RVCPU_SIZE_MAX + 8;
	EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &s), E2BIG);
}

TEST(fields_that_are_unknown_or_do_not_belong_are_EINVAL)
{
	__u64 word = 1;
	int fd = open_second();
	unsigned int bit;
	struct rvcpu_snapshot s;

#define REFUSED(change)                                            \
	do {                                                       \
		change;                                            \
		EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &s), EINVAL); \
	} while (0)
	for (bit = 4; bit < 32; bit++) {
		REFUSED(s = one(RVCPU_THIS_CPU); s.need = 1U << bit);
		REFUSED(s = one(RVCPU_THIS_CPU); s.skip = 1U << bit);
	}
	REFUSED(s = one(RVCPU_THIS_CPU); s.need = s.skip = RVCPU_TIME);
	REFUSED(s = one(RVCPU_THIS_CPU); s.which = RVCPU_ALL + 1);
	REFUSED(s = one(RVCPU_THIS_CPU); s.rounds = 0);
	REFUSED(s = one(RVCPU_THIS_CPU); s.set = (uintptr_t)&word);
	REFUSED(s = one(RVCPU_THIS_CPU); s.set_size = 8);
	REFUSED(s = all(); s.cpu = 1);
	REFUSED(s = all(); s.set_size = 8);
	REFUSED(s = set(&word, 1); s.cpu = 1);
	REFUSED(s = set(&word, 1); s.set_size = 0);
	REFUSED(s = set(&word, 1); s.set_size = 7);
	REFUSED(s = set(&word, 1); s.set_size = RVCPU_SET_SIZE_MAX + 8);
	REFUSED(s = set(&word, 1); word = 0);
#undef REFUSED
}

TEST(a_CPU_that_the_machine_cannot_have_is_ENXIO)
{
	static __u64 words[RVCPU_SET_SIZE_MAX / 8];
	static const __u32 cpus[] = { 8191, 8192, 65536, INT32_MAX, UINT32_MAX - 1 };
	struct rvcpu_snapshot s;
	int fd = open_second();
	unsigned int i;

	for (i = 0; i < sizeof(cpus) / sizeof(cpus[0]); i++) {
		s = one(cpus[i]);
		EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &s), ENXIO);
	}
	for (i = 0; i < 2; i++) {
		memset(words, 0, sizeof(words));
		words[0] = 1;
		words[i ? RVCPU_SET_SIZE_MAX / 8 - 1 : 0] |= 1ULL << 63;
		s = set(words, RVCPU_SET_SIZE_MAX / 8);
		EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &s), ENXIO);
	}
}

TEST(bad_pointers_are_EFAULT)
{
	long page = sysconf(_SC_PAGESIZE);
	struct rvcpu_snapshot s;
	char *map, *bad[3];
	int fd = open_second();
	unsigned int i;

	map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(map != MAP_FAILED);
	SAFE(munmap(map + page, page));
	bad[0] = map + page;
	bad[1] = map + page - 8;
	bad[2] = (char *)-4096L;
	for (i = 0; i < 3; i++) {
		EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, bad[i]), EFAULT);
		s = one(RVCPU_THIS_CPU);
		s.records = (uintptr_t)bad[i];
		EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &s), EFAULT);
		s.rounds = s.count = 2;
		EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &s), EFAULT);
		s = set((__u64 *)bad[i], 2);
		EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &s), EFAULT);
		if (have_counters(fd))
			EXPECT_ERR(ioctl(fd, RVCPU_READ, bad[i]), EFAULT);
	}
}

/* CPUs that come and go */

#define ONLINE "/sys/devices/system/cpu/cpu1/online"

static bool cpu1_online(bool online)
{
	int fd = open(ONLINE, O_WRONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return false;
	ret = write(fd, online ? "1" : "0", 1);
	close(fd);
	return ret == 1;
}

static void need_hotplug(void)
{
	need_cpus(2);
	if (access(ONLINE, W_OK))
		SKIP("CPU 1 cannot go offline");
}

TEST(an_offline_CPU_is_said_to_be_offline_and_counts_on_when_it_is_back)
{
	__u64 words[1] = { 3 };
	struct rvcpu_record before, offline, after;
	struct rvcpu_snapshot s = set(words, 1);
	unsigned int n = sysconf(_SC_NPROCESSORS_ONLN);
	int fd = open_second();

	need_hotplug();
	before = take(fd, 1);
	if (!cpu1_online(false))
		SKIP("CPU 1 cannot go offline: %s", errno_name(errno));
	offline = take(fd, 1);
	SAFE(ioctl(fd, RVCPU_SNAPSHOT, &s));
	EXPECT_EQ(s.count, 2);
	EXPECT_EQ(records[0].live & RVCPU_TIME, RVCPU_TIME);
	expect_truthful(&records[1]);
	EXPECT_EQ(records[1].live, 0);
	s = all();
	SAFE(ioctl(fd, RVCPU_SNAPSHOT, &s));
	EXPECT_EQ(s.count, n - 1);
	s = one(1);
	s.need = RVCPU_TIME;
	EXPECT_ERR(ioctl(fd, RVCPU_SNAPSHOT, &s), EOPNOTSUPP);
	ASSERT_TRUE(cpu1_online(true));

	EXPECT_EQ(offline.cpu, 1);
	EXPECT_EQ(offline.live, 0);
	EXPECT_EQ(offline.time_missing, RVCPU_MISSING_OFFLINE);
	EXPECT_EQ(offline.cycle_missing, RVCPU_MISSING_OFFLINE);
	EXPECT_EQ(offline.instret_missing, RVCPU_MISSING_OFFLINE);
	expect_truthful(&offline);

	after = take(fd, 1);
	expect_truthful(&after);
	EXPECT_EQ(after.live, before.live);
	EXPECT_EQ(after.epoch, before.epoch + 1);
	if (before.cycle_source == RVCPU_SOURCE_PERF)
		EXPECT_TRUE(after.cycle > before.cycle);
	if (before.instret_source == RVCPU_SOURCE_PERF)
		EXPECT_TRUE(after.instret > before.instret);
}

struct hotplug {
	atomic_bool stop;
	atomic_uint taken, offline;
};

static void *take_always(void *arg)
{
	static const __u32 cpus[] = { 1, RVCPU_THIS_CPU, 0 };
	struct hotplug *h = arg;
	struct rvcpu_record mine[16], last[2] = { 0 };
	unsigned int i, k;
	int fd = open_second();

	for (i = 0; !atomic_load(&h->stop); i++) {
		struct rvcpu_snapshot s = i % 4 == 3 ? all() : one(cpus[i % 4]);

		s.records = (uintptr_t)mine;
		if (i % 4 == 3)
			s.count = 16;
		SAFE(ioctl(fd, RVCPU_SNAPSHOT, &s));
		for (k = 0; k < s.count; k++) {
			expect_truthful(&mine[k]);
			atomic_fetch_add(&h->taken, 1);
			if (!mine[k].live) {
				atomic_fetch_add(&h->offline, 1);
				continue;
			}
			if (mine[k].cpu > 1)
				continue;
			/* Through all its absences. */
			if (last[mine[k].cpu].live)
				expect_advance(&last[mine[k].cpu], &mine[k]);
			last[mine[k].cpu] = mine[k];
		}
	}
	close(fd);
	return NULL;
}

TEST_WITH_TIMEOUT(snapshots_go_on_while_a_CPU_comes_and_goes, 60)
{
	struct hotplug h = { 0 };
	pthread_t threads[3];
	unsigned int i, times = 0;
	bool able = true;
	long long end;

	need_hotplug();
	for (i = 0; i < 3; i++)
		threads[i] = start(take_always, &h);
	end = now_ms() + 2 * STRESS_MS;
	do {
		able = cpu1_online(false);
		if (able)
			ASSERT_TRUE(cpu1_online(true));
		times += able;
	} while (able && (times < 3 || now_ms() < end));
	atomic_store(&h.stop, true);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	if (!able)
		SKIP("CPU 1 cannot go offline");
	EXPECT_GE(h.taken, 1);
	test_note("CPU 1 went %u times, %u snapshots, %u of it offline", times, h.taken, h.offline);
}

TEST(threads_that_take_all_CPUs_at_once_get_whole_records)
{
	struct hotplug h = { 0 };
	pthread_t threads[4];
	unsigned int i;
	long long end = now_ms() + STRESS_MS;
	struct timespec pause = { .tv_nsec = 1000000 };

	for (i = 0; i < 4; i++)
		threads[i] = start(take_always, &h);
	while (now_ms() < end || !atomic_load(&h.taken))
		nanosleep(&pause, NULL);
	atomic_store(&h.stop, true);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(h.offline, 0);
}

/* The PMU */

/* Takes as many counters of CPU 0's PMU as there are, for both kinds of event. */
static unsigned int take_pmu(int *fds, unsigned int max)
{
	unsigned int n = 0, refused = 0;

	while (n < max && refused < 2) {
		struct perf_event_attr attr = {
			.type = PERF_TYPE_HARDWARE,
			.size = sizeof(attr),
			.config = refused ? PERF_COUNT_HW_INSTRUCTIONS : PERF_COUNT_HW_CPU_CYCLES,
			.pinned = 1,
		};
		__u64 value;
		int fd = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);

		if (fd < 0) {
			refused++;
			continue;
		}
		/* A pinned event that is not on the PMU reads as the end of the file. */
		if (read(fd, &value, sizeof(value)) == sizeof(value)) {
			fds[n++] = fd;
			continue;
		}
		close(fd);
		refused++;
	}
	return n;
}

/* The first record of CPU 0 with a counter, or the last one without; seldom, so that others ask for the PMU. */
static void *take_first(void *arg)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	struct rvcpu_record *first = arg;
	long long end = now_ms() + BACK_AFTER_MS;
	int fd = open_second();

	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		use_cpu(1);
	do {
		nanosleep(&pause, NULL);
		*first = take(fd, 0);
	} while (!(first->live & COUNTERS) && now_ms() < end);
	close(fd);
	return NULL;
}

TEST_WITH_TIMEOUT(a_PMU_that_others_have_taken_is_said_to_be_taken_and_used_when_it_is_back, 40)
{
	int fds[64], fd = open_second();
	struct rvcpu_record r, again, first;
	struct rvcpu_counters c;
	unsigned int n, i, had;
	pthread_t other;
	long long end;

	use_cpu(0);
	r = take(fd, 0);
	if (r.cycle_source != RVCPU_SOURCE_PERF && r.instret_source != RVCPU_SOURCE_PERF)
		SKIP("no PMU counts here");
	had = r.live & COUNTERS;
	close(fd);
	ASSERT_EQ(module_unload(test_module()), 0);
	n = take_pmu(fds, 64);
	reload("");
	test_note("%u counters taken", n);

	fd = open_second();
	r = take(fd, 0);
	expect_truthful(&r);
	if (had & RVCPU_CYCLE)
		EXPECT_EQ(r.cycle_missing, RVCPU_MISSING_TAKEN);
	if (had & RVCPU_INSTRET)
		EXPECT_EQ(r.instret_missing, RVCPU_MISSING_TAKEN);
	EXPECT_ERR(ioctl(fd, RVCPU_READ, &c), EOPNOTSUPP);
	EXPECT_ERR(read(fd, &c, sizeof(c)), EOPNOTSUPP);
	other = start(take_first, &first);
	for (i = 0; i < n; i++)
		close(fds[i]);

	end = now_ms() + BACK_AFTER_MS;
	do {
		again = take(fd, 0);
		expect_truthful(&again);
	} while ((again.live & COUNTERS) != had && now_ms() < end);
	EXPECT_EQ(again.live & COUNTERS, had);
	EXPECT_TRUE(again.epoch > r.epoch);
	pthread_join(other, NULL);
	expect_truthful(&first);
	EXPECT_TRUE(first.live & COUNTERS);
	EXPECT_TRUE(first.epoch > r.epoch);
	r = take(fd, 0);
	expect_advance(&again, &r);
	EXPECT_EQ(ioctl(fd, RVCPU_READ, &c), 0);
}

TEST(others_that_count_do_not_disturb_what_is_counted_here)
{
	int fds[64], fd = open_second();
	struct rvcpu_record a, b;
	unsigned int n, i;

	use_cpu(0);
	a = take(fd, 0);
	if (a.cycle_source != RVCPU_SOURCE_PERF)
		SKIP("no PMU counts here");
	n = take_pmu(fds, 64);
	b = take(fd, 0);
	expect_advance(&a, &b);
	EXPECT_EQ(b.live, a.live);
	EXPECT_EQ(b.epoch, a.epoch);
	for (i = 0; i < n; i++)
		close(fds[i]);
	a = take(fd, 0);
	expect_advance(&b, &a);
	EXPECT_EQ(b.live, a.live);
	/* Its counters may have moved meanwhile. */
	if (a.live & RVCPU_CYCLE)
		EXPECT_TRUE(a.cycle - b.cycle < 1ULL << 40);
	if (a.live & RVCPU_INSTRET)
		EXPECT_TRUE(a.instret - b.instret < 1ULL << 40);
}

TEST(pmu_0_leaves_the_PMU_alone_and_says_what_that_costs)
{
	struct rvcpu_record r, again;
	int fd;

	if (!has_parameter("pmu"))
		SKIP("the module has no parameter pmu");
	reload("pmu=0");
	fd = open_second();
	r = take(fd, RVCPU_THIS_CPU);
	expect_truthful(&r);
	EXPECT_NE(r.cycle_source, RVCPU_SOURCE_PERF);
	EXPECT_NE(r.instret_source, RVCPU_SOURCE_PERF);
#ifdef __riscv
	/* The CSRs: they count, or the SBI stopped them. */
	if (!(r.live & RVCPU_CYCLE))
		EXPECT_EQ(r.cycle_missing, RVCPU_MISSING_STOPPED);
	if (!(r.live & RVCPU_INSTRET))
		EXPECT_EQ(r.instret_missing, RVCPU_MISSING_STOPPED);
	test_note("cycle: source %u missing %u, instret: source %u missing %u", r.cycle_source,
		  r.cycle_missing, r.instret_source, r.instret_missing);
#else
	EXPECT_EQ(r.cycle_missing, RVCPU_MISSING_UNUSED);
	EXPECT_EQ(r.instret_missing, RVCPU_MISSING_UNUSED);
#endif
	if (r.live & COUNTERS) {
		use_cpu(r.cpu);
		r = take(fd, r.cpu);
		again = take(fd, r.cpu);
		expect_advance(&r, &again);
	} else {
		expect_time_only(fd);
	}
	close(fd);
	reload("");
}

/* Parameters */

static void expect_refused(const char *params, const char *text)
{
	unsigned int before;
	char message[256];

	snprintf(message, sizeof(message), "%s: %s", test_module(), text);
	before = log_count(message);
	EXPECT_EQ(module_load(test_module(), params), -EINVAL);
	EXPECT_EQ(log_count(message), before + 1);
}

TEST(a_parameter_out_of_range_is_refused_with_a_message_that_tells_the_range)
{
	bool pmu = has_parameter("pmu");

	ASSERT_EQ(module_unload(test_module()), 0);
	expect_refused("mode=0", "mode 0: expected read and write permissions, 02 to 0666");
	expect_refused("mode=0777", "mode 0777: expected");
	expect_refused("mode=01000", "mode 01000: expected");
	if (pmu) {
		expect_refused("pmu=2", "pmu 2: expected 0 or 1");
		expect_refused("pmu=4294967295", "pmu 4294967295: expected 0 or 1");
		EXPECT_EQ(module_load(test_module(), "pmu=yes"), -EINVAL);
	}
	EXPECT_EQ(module_load(test_module(), "mode=yes"), -EINVAL);
	reload("");
}

TEST(the_node_has_the_mode_that_the_parameter_tells)
{
	struct stat st;

	SAFE(stat(test_node(), &st));
	EXPECT_EQ(st.st_mode & 07777, RVCPU_MODE_DEFAULT);
	reload("mode=0404");
	SAFE(stat(test_node(), &st));
	EXPECT_EQ(st.st_mode & 07777, 0404);
	reload("");
}

/* The client */

static unsigned int lines_of(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static struct program_output client(const char *words, int status)
{
	struct program_output o =
		program_run("rvcpuctl --device %s%s%s", test_node(), *words ? " " : "", words);

	if (o.status != status)
		test_fail(__FILE__, __LINE__,
			  "rvcpuctl %s: status %d, output \"%s\", errors \"%s\"", words, o.status,
			  o.out, o.err);
	/* A failure is one line. */
	if (lines_of(o.err) != !!status)
		test_fail(__FILE__, __LINE__, "rvcpuctl %s: errors \"%s\"", words, o.err);
	return o;
}

TEST(rvcpuctl_prints_a_snapshot_and_five_fresh_ones)
{
	struct program_output o;

	open_second();
	o = client("", 0);
	EXPECT_EQ(lines_of(o.out), 6);
	EXPECT_EQ(strncmp(o.out, "cpu ", 4), 0);
	EXPECT_TRUE(strstr(o.out, "  time ") && strstr(o.out, "  cycle ") &&
		    strstr(o.out, "  instret "));
}

TEST(rvcpuctl_prints_all_CPUs_one_CPU_and_JSON)
{
	bool counters = have_counters(open_second());
	struct program_output o = client("--all -n 0", 0);

	EXPECT_EQ(lines_of(o.out), sysconf(_SC_NPROCESSORS_ONLN));
	o = client("--cpu 0 --json -n 1", 0);
	EXPECT_EQ(lines_of(o.out), 2);
	EXPECT_EQ(strncmp(o.out, "{\"cpu\":0,\"time\":", 15), 0);
	EXPECT_TRUE(strstr(o.out, counters ? "\"cycle_source\":\"" : "\"cycle\":null,") != NULL);
	EXPECT_TRUE(strstr(o.out, "\"before_ns\":") != NULL);
}

TEST(rvcpuctl_reads_the_first_ABI_or_says_that_there_is_nothing_but_the_time)
{
	struct program_output o;

	if (have_counters(open_node())) {
		o = client("--first", 0);
		EXPECT_EQ(lines_of(o.out), 6);
		EXPECT_EQ(strncmp(o.out, "time ", 5), 0);
	} else {
		o = client("--first", 1);
		EXPECT_TRUE(strstr(o.err, "nothing but the time") != NULL);
	}
}

TEST(rvcpuctl_tells_wrong_usage_from_failure)
{
	struct program_output o;

	client("--frobnicate", 2);
	client("--cpu", 2);
	client("--cpu x", 2);
	client("--cpu 4294967295", 2);
	client("--count -1", 2);
	client("--interval soon", 2);
	client("--all --cpu 0", 2);
	client("0", 2);
	o = program_run("rvcpuctl --device /dev/rvcpu_that_is_not_there");
	EXPECT_EQ(o.status, 1);
	EXPECT_TRUE(strstr(o.err, "is the module loaded?") != NULL);
	o = program_run("rvcpuctl --device /dev/null");
	EXPECT_EQ(o.status, 1);
	EXPECT_TRUE(strstr(o.err, "not an rvcpu device") != NULL);
	EXPECT_EQ(lines_of(o.err), 1);
}

TEST(rvcpuctl_says_which_CPU_is_not_there)
{
	struct program_output o;

	open_second();
	o = client("--cpu 8191", 1);
	EXPECT_TRUE(strstr(o.err, "has no CPU 8191") != NULL);
}

TEST(rvcpuctl_says_whom_the_node_is_closed_to)
{
	struct program_output o = program_run_as(65534, "rvcpuctl --device %s", test_node());

	EXPECT_EQ(o.status, 1);
	EXPECT_EQ(lines_of(o.err), 1);
	EXPECT_TRUE(strstr(o.err, "Permission denied") != NULL);
}

TEST(rvcpuctl_watches_until_it_is_interrupted)
{
	int out[2], status;
	char text[512];
	pid_t pid;

	open_second();
	SAFE(pipe2(out, O_CLOEXEC));
	pid = program_start(out[1], STDERR_FILENO, "rvcpuctl --device %s --watch --interval 0.01",
			    test_node());
	close(out[1]);
	EXPECT_GE(read(out[0], text, sizeof(text)), 1);
	EXPECT_GE(read(out[0], text, sizeof(text)), 1);
	SAFE(kill(pid, SIGINT));
	SAFE(waitpid(pid, &status, 0));
	EXPECT_EQ(status, 0);
}
