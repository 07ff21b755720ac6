// SPDX-License-Identifier: GPL-2.0
/*
 * The supervisor of a stress run: starts the processes of workers, kills, stops and interrupts them, lets the
 * module be unloaded and loaded and a processor be taken away in between, and at the end wants everything back:
 * no process left, nobody using the module, and a device that opens as it did before.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "draw.h"
#include "guest.h"
#include "harness.h"
#include "protocol.h"
#include "stress.h"

/*
 * A call that lasts longer is interrupted. Not much less: one of 16 on a processor that only waits for its turn looks
 * the same, and interrupting them took as much time as their calls.
 */
#define TICK_MS 50

#define SECONDS_DEFAULT 10
#define KILL_MS		20 /* at most, between two kills; ... */
#define KILL_CALLS	400 /* ... but so many calls are made in between: a new life costs as much ... */
#define KILL_LATE_MS	100   /* ... unless they all wait */
#define KILL_AGE_MS	1000  /* who has not done anything yet is left alone for so long, ... */
#define KILL_YOUNG_MS	10000 /* ... and who has not even begun for so long: a busy host */
#define OPENS_LEAST	20    /* with fewer nothing can be said of the device */
#define CALLS_LEAST	2000  /* with less the time is extended, ... */
#define EXTENSION_MS	30000 /* ... by no more than this */
#define LULL_EVERY_MS	1500  /* everybody is killed, and the module may go ... */
#define LULL_MS		200   /* ... within that time; ... */
#define LULL_CALLS	500   /* ... but so many calls are made in between, ... */
#define LULL_LATE_MS	10000 /* ... unless they all wait */
#define CPU_EVERY_MS	2000
#define CPU_OFF_MS	60
#define NOTE_EVERY_MS	15000
#define END_MS		10000 /* who was killed and lives for so long never dies */
#define REPORTS_MAX	4
#define CPU1		"/sys/devices/system/cpu/cpu1/online"

struct stress stress;

struct process {
	pid_t pid; /* 0: none */
	long long started, killed, stopped;
	unsigned long steps; /* of its workers, then */
};

struct helper {
	const char *what;
	void (*run)(void);
	pid_t pid;
};

static struct process processes[STRESS_PROCESSES];
static struct tally total[DO_KINDS];
static unsigned int n_processes = STRESS_PROCESSES;
static bool all_calls;
static bool with_module = true, with_cpu = true, with_kills = true;
static unsigned long kills, stops;
static uint64_t dice;

static unsigned int roll(unsigned int n)
{
	return (draw_random(&dice) >> 32) % n;
}

static void sleep_us(long us)
{
	struct timespec ts = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

	nanosleep(&ts, NULL);
}

/* ---- Helpers: processes of their own, because what they do may wait ---- */

static void juggle_module(void)
{
	struct stress_shared *sh = stress.shared;
	const char *module = test_module();
	int ret;

	while (!atomic_load(&sh->stop)) {
		/* Now and then when it cannot work: that has to be refused. */
		if (!atomic_load(&sh->lull) && roll(100)) {
			sleep_us(1000);
			continue;
		}
		ret = module_unload(module);
		atomic_fetch_add(&sh->tries, 1);
		if (ret) {
			sleep_us(500);
			continue;
		}
		atomic_fetch_add(&sh->unloads, 1);
		sleep_us(roll(4) * 1000);
		ret = module_load(module, conf.params);
		if (ret) {
			atomic_store(&sh->load_err, -ret);
			return;
		}
		atomic_fetch_add(&sh->reloads, 1);
		while (atomic_load(&sh->lull) && !atomic_load(&sh->stop))
			sleep_us(1000);
	}
}

static bool cpu_set(const char *value)
{
	int fd = open(CPU1, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, value, 1) == 1;

	if (fd >= 0)
		close(fd);
	return ok;
}

static void plug_cpu(void)
{
	long long next = now_ms() + CPU_EVERY_MS / 2;
	int i;

	while (!atomic_load(&stress.shared->stop)) {
		sleep_us(5000);
		if (now_ms() < next)
			continue;
		next = now_ms() + CPU_EVERY_MS;
		if (!cpu_set("0"))
			continue;
		sleep_us(roll(CPU_OFF_MS) * 1000);
		for (i = 0; i < 20 && !cpu_set("1"); i++)
			sleep_us(50000);
		atomic_fetch_add(&stress.shared->hotplugs, i < 20);
	}
}

static struct helper helpers[] = {
	{ "the one that unloads and loads the module", juggle_module, 0 },
	{ "the one that takes a processor away", plug_cpu, 0 },
};

#define for_each_helper(h) \
	for ((h) = helpers; (h) < helpers + sizeof(helpers) / sizeof(helpers[0]); (h)++)

static void helpers_start(void)
{
	struct helper *h;

	for_each_helper(h)
	{
		if (h->run == juggle_module ? !with_module || !*test_module() :
					      !with_cpu || access(CPU1, W_OK))
			continue;
		h->pid = fork();
		if (!h->pid) {
			dice ^= h - helpers + 1;
			h->run();
			_exit(0);
		}
	}
}

/* ---- Workers ---- */

static unsigned long process_steps(unsigned int i)
{
	unsigned long n = 0;
	unsigned int k;

	for (k = 0; k < STRESS_THREADS; k++)
		n += atomic_load_explicit(&stress.shared->worker[i * STRESS_THREADS + k].steps,
					  memory_order_relaxed);
	return n;
}

static void process_start(unsigned int i)
{
	unsigned int k;

	for (k = 0; k < STRESS_THREADS; k++) {
		struct worker *w = &stress.shared->worker[i * STRESS_THREADS + k];

		atomic_store(&w->tid, 0);
		atomic_fetch_add(&w->life, 1);
	}
	processes[i] = (struct process){ .started = now_ms(), .steps = process_steps(i) };
	processes[i].pid = fork();
	if (!processes[i].pid)
		stress_process(i);
	if (processes[i].pid < 0) /* again at the next round */
		processes[i].pid = 0;
}

static void process_kill(struct process *p)
{
	if (!p->pid || p->killed)
		return;
	kill(p->pid, SIGKILL);
	p->killed = now_ms();
	kills++;
}

/* Takes the dead, also those that they have left to us. Returns false when there is no child any more. */
static bool reap(void)
{
	struct helper *h;
	unsigned int i;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (i = 0; i < STRESS_PROCESSES; i++) {
			if (processes[i].pid != pid)
				continue;
			if (!processes[i].killed)
				atomic_fetch_add(&stress.shared->died, 1);
			processes[i].pid = 0;
		}
		for_each_helper(h) if (h->pid == pid) h->pid = 0;
	}
	return pid == 0 || errno != ECHILD;
}

/* Whoever has been in one call since the last look is interrupted. */
static void tick(void)
{
	static unsigned long seen[STRESS_WORKERS];
	unsigned int i;

	for (i = 0; i < STRESS_WORKERS; i++) {
		struct worker *w = &stress.shared->worker[i];
		const struct process *p = &processes[i / STRESS_THREADS];
		unsigned long now = atomic_load_explicit(&w->steps, memory_order_relaxed);
		int tid = atomic_load(&w->tid);

		if (now == seen[i] && p->pid && !p->killed && tid)
			syscall(SYS_tgkill, p->pid, tid, SIGALRM);
		seen[i] = now;
	}
}

/* One that runs may only be short of a processor. */
static bool someone_is_stuck(long long now)
{
	unsigned int i;

	for (i = 0; i < STRESS_PROCESSES; i++) {
		const struct process *p = &processes[i];

		if (p->pid && p->killed && now - p->killed > END_MS &&
		    (process_state(p->pid) != 'R' || now - p->killed > 3 * END_MS))
			return true;
	}
	return false;
}

static unsigned long steps(void)
{
	unsigned long n = 0;
	unsigned int i;

	for (i = 0; i < STRESS_PROCESSES; i++)
		n += process_steps(i);
	return n;
}

/* A new process whose workers have not come to a call yet is of no use dead. */
static bool has_lived(unsigned int i, long long now)
{
	long long age = now - processes[i].started;
	bool begun = false;
	unsigned int k;

	for (k = 0; k < STRESS_THREADS; k++)
		begun |= atomic_load(&stress.shared->worker[i * STRESS_THREADS + k].tid) != 0;
	return process_steps(i) - processes[i].steps >= stress.threads ||
	       age > (begun ? KILL_AGE_MS : KILL_YOUNG_MS);
}

static unsigned long sum(void)
{
	unsigned long calls = 0;
	unsigned int i, k;

	memset(total, 0, sizeof(total));
	for (i = 0; i < STRESS_WORKERS; i++) {
		for (k = 0; k < DO_KINDS; k++) {
			total[k].calls += stress.shared->worker[i].tally[k].calls;
			total[k].ok += stress.shared->worker[i].tally[k].ok;
		}
	}
	for (k = 0; k < DO_KINDS; k++)
		calls += total[k].calls;
	return calls;
}

static void stop_or_go_on(struct process *p, long long now)
{
	if (p->stopped && now >= p->stopped) {
		kill(p->pid, SIGCONT);
		p->stopped = 0;
	}
}

/* Descriptors that are on their way hold the device open. */
static void receive_all(void)
{
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(__alignof__(struct cmsghdr))));
	struct msghdr msg = { .msg_control = room };
	struct cmsghdr *c;
	int fd;

	for (;;) {
		msg.msg_controllen = sizeof(room);
		if (recvmsg(stress.pass[0], &msg, MSG_DONTWAIT) < 0)
			return;
		c = CMSG_FIRSTHDR(&msg);
		if (!c || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		close(fd);
	}
}

/* It ends early when a killed process does not die. */
static void hammer(long long start)
{
	long long end = start + stress.seconds * 1000LL, now, next_kill = start + KILL_MS,
		  next_tick = start, next_lull = start + LULL_EVERY_MS / 2, lull_end = 0,
		  next_note = start + NOTE_EVERY_MS;
	unsigned long steps_then = 0, unloads_then = 0, steps_lull = 0;
	struct process *p;
	unsigned int i;

	while ((now = now_ms()) < end || (now < end + EXTENSION_MS && steps() < CALLS_LEAST)) {
		reap();
		if (lull_end && now >= lull_end) {
			atomic_store(&stress.shared->lull, false);
			lull_end = 0;
		}
		/* It goes: the next to come meet it on its way back. */
		if (lull_end && atomic_load(&stress.shared->unloads) != unloads_then)
			lull_end = now;
		if (lull_end)
			receive_all();
		for (i = 0; i < n_processes; i++) {
			if (!processes[i].pid && !lull_end)
				process_start(i);
			else if (processes[i].pid)
				stop_or_go_on(&processes[i], now);
		}
		if (with_kills && now >= next_kill &&
		    (steps() - steps_then >= KILL_CALLS || now >= next_kill + KILL_LATE_MS)) {
			steps_then = steps();
			i = roll(n_processes);
			p = &processes[i];
			if (!has_lived(i, now)) {
				;
			} else if (roll(8)) {
				process_kill(p);
			} else if (p->pid && !p->killed) {
				kill(p->pid, SIGSTOP);
				p->stopped = now + 1 + roll(20);
				stops++;
			}
			next_kill = now + 1 + roll(KILL_MS);
		}
		if (now >= next_tick) {
			tick();
			next_tick = now + TICK_MS;
		}
		if (helpers[0].pid && now >= next_lull &&
		    (steps() - steps_lull >= LULL_CALLS || now >= next_lull + LULL_LATE_MS)) {
			steps_lull = steps();
			for (i = 0; i < STRESS_PROCESSES; i++)
				process_kill(&processes[i]);
			lull_end = now + LULL_MS;
			next_lull = now + LULL_EVERY_MS;
			unloads_then = atomic_load(&stress.shared->unloads);
			atomic_store(&stress.shared->lull, true);
		}
		if (now >= next_note) {
			test_note("%lld s: %lu calls, %lu kills", (now - start) / 1000, sum(),
				  kills);
			next_note = now + NOTE_EVERY_MS;
		}
		if (someone_is_stuck(now)) {
			atomic_store(&stress.shared->stuck, true);
			return;
		}
		sleep_us(1000);
	}
}

/* ---- The end ---- */

static void report_line(void *arg, const char *text)
{
	(void)arg;
	test_note("%s", text);
}

/* What is left of ours: the session is the job's. */
static void report_survivors(void)
{
	const struct dirent *de;
	unsigned int n = 0;
	DIR *dir = opendir("/proc");
	pid_t pid;

	while (dir && (de = readdir(dir))) {
		pid = atoi(de->d_name);
		if (pid <= 1 || pid == getpid() || pid == getppid() || getsid(pid) != getsid(0) ||
		    !process_state(pid))
			continue;
		if (n++ < REPORTS_MAX)
			process_report(pid, report_line, NULL);
	}
	if (dir)
		closedir(dir);
	if (n > REPORTS_MAX)
		test_note("and %u more", n - REPORTS_MAX);
}

/* Everything is killed and taken; the helpers end by themselves first, for they leave things as they were. */
static bool end_all(void)
{
	long long until = now_ms() + END_MS;
	const struct helper *h;
	unsigned int i;
	bool busy;

	atomic_store(&stress.shared->lull, false);
	atomic_store(&stress.shared->stop, true);
	/* who is stuck was waited for already */
	if (atomic_load(&stress.shared->stuck))
		until -= END_MS * 3 / 4;
	for (i = 0; i < STRESS_PROCESSES; i++)
		process_kill(&processes[i]);
	while (reap()) {
		if (now_ms() >= until)
			break;
		busy = false;
		for_each_helper(h) busy |= h->pid > 0;
		for (i = 0; i < STRESS_PROCESSES; i++)
			busy |= processes[i].pid > 0;
		/* only what they have forked is left: it was to be killed with them */
		if (!busy && until > now_ms() + END_MS / 2)
			until = now_ms() + END_MS / 2;
		sleep_us(2000);
	}
	/* Descriptors on the way from one to the other. */
	close(stress.pass[0]);
	close(stress.pass[1]);
	for_each_helper(h) if (h->pid) test_fail(__FILE__, __LINE__, "%s does not end", h->what);
	if (!reap())
		return true;
	test_fail(__FILE__, __LINE__, "killed, and after %d s not dead: stuck in the kernel",
		  END_MS / 1000);
	report_survivors();
	return false;
}

static void print_tallies(void)
{
	char line[200] = "";
	unsigned int k;
	size_t len = 0;

	for (k = 0; k < DO_KINDS; k++) {
		if (!total[k].calls)
			continue;
		len += snprintf(line + len, sizeof(line) - len, "%s%s %lu/%lu", len ? ", " : "",
				stress_kind_names[k], total[k].ok, total[k].calls);
		if (len < 80)
			continue;
		test_note("  %s", line);
		len = 0;
	}
	if (len)
		test_note("  %s", line);
}

static void print_figures(double seconds)
{
	const struct stress_shared *sh = stress.shared;
	unsigned long calls = sum();

	/* The host shows this line. */
	test_note("hammered: %lu calls, %.0f/s, %lu kills, %lu reloads", calls, calls / seconds,
		  kills, sh->reloads);
	test_note(
		"%lu refusals to unload, %lu stops, processor 1 taken away %lu times, %lu processes died by themselves",
		sh->tries - sh->reloads, stops, sh->hotplugs, sh->died);
	test_note("calls that went well, of all:");
	print_tallies();
}

/* ---- The cases ---- */

static int try_open(const char *node, int mode)
{
	int fd = open(node, mode | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static void try_opens(int result[CONF_MAX][2])
{
	unsigned int i;

	for (i = 0; i < conf.n_nodes; i++) {
		result[i][0] = try_open(conf.nodes[i], O_RDONLY);
		result[i][1] = try_open(conf.nodes[i], O_RDWR);
	}
}

static void test_hammer(void)
{
	struct stress_shared *sh = stress.shared;
	long long start;

	if (!conf.n_nodes)
		SKIP("%s has no device node", *test_module() ? test_module() : "it");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setpriority(PRIO_PROCESS, 0, -20);
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, stress.pass)) {
		test_fail(__FILE__, __LINE__, "socketpair: %s", errno_name(errno));
		return;
	}
	dice = stress.seed;
	test_note("seed %llu, %u workers in %u processes, %u s; their sequences are number %016llx",
		  (unsigned long long)stress.seed, n_processes * stress.threads, n_processes,
		  stress.seconds, (unsigned long long)stress_digest(stress.seed));
	try_opens(sh->open_before);
	helpers_start();
	start = now_ms();
	hammer(start);
	print_figures((now_ms() - start) / 1000.0);
	if (!end_all()) {
		atomic_store(&sh->stuck, true);
		return;
	}
	if (!total[DO_OPEN].ok && total[DO_OPEN].calls && total[DO_OPEN].calls < OPENS_LEAST)
		SKIP("the host is too busy: %lu opens in all, and the module was away",
		     atomic_load(&total[DO_OPEN].calls));
	/* Also when there was only one place, and all others found it taken. */
	if (!total[DO_OPEN].ok && (all_calls || total[DO_OPEN].calls))
		test_fail(__FILE__, __LINE__,
			  "nothing was tried: no open of %s succeeded, the last failed with %s",
			  conf.nodes[0], errno_name(sh->open_err));
	if (sh->load_err)
		test_fail(__FILE__, __LINE__, "loading %s again: %s", test_module(),
			  errno_name(sh->load_err));
}

/* The last reference goes with the last process, or a moment later. */
static void test_after(void)
{
	const char *module = test_module();
	int after[CONF_MAX][2], ret;
	unsigned int i, k;

	if (!conf.n_nodes)
		SKIP("%s has no device node", *module ? module : "it");
	if (atomic_load(&stress.shared->stuck))
		SKIP("processes are stuck in it");
	if (*module && module_loaded(module)) {
		for (i = 0; i < 200 && module_users(module) > 0; i++)
			sleep_us(10000);
		EXPECT_EQ(module_users(module), 0);
		ret = module_unload(module);
		/* a module without an exit function stays: EBUSY */
		if (ret && ret != -EBUSY)
			test_fail(__FILE__, __LINE__, "unloading %s: %s", module, errno_name(-ret));
		ret = ret ? 0 : module_load(module, conf.params);
		if (ret)
			test_fail(__FILE__, __LINE__, "loading %s again: %s", module,
				  errno_name(-ret));
	} else if (*module) {
		test_fail(__FILE__, __LINE__, "%s is not loaded", module);
	}
	try_opens(after);
	for (i = 0; i < conf.n_nodes; i++)
		for (k = 0; k < 2; k++)
			if (after[i][k] != stress.shared->open_before[i][k])
				test_fail(__FILE__, __LINE__,
					  "open of %s %s: %s, and before it was %s", conf.nodes[i],
					  k ? "O_RDWR" : "O_RDONLY", errno_name(after[i][k]),
					  errno_name(stress.shared->open_before[i][k]));
}

static struct test_case hammer_case = { .name = "hammer: everything at once, with kills at random",
					.run = test_hammer };
static struct test_case after_case = {
	.name = "after: nobody is left, and the module goes and comes again",
	.run = test_after,
	.timeout_s = 30
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: %s [--for SECONDS] [--seed N] [--calls KIND,...] [--node PATH] [--conf FILE]\n"
		"           [--params TEXT] [--no-kill] [--no-reload] [--no-hotplug] [--list N]\n"
		"  --for SECONDS  how long (default %d)\n"
		"  --seed N       the same seed gives the same sequences of calls\n"
		"  --calls LIST   only these kinds of calls, e.g. open,close,read\n"
		"  --node PATH    only this node\n"
		"  --conf FILE    what is known of the module, instead of " CONFORM_DIR
		"/$" ENV_MODULE ".conf\n"
		"  --params TEXT  the module's parameters when it is loaded again\n"
		"  --processes N  with so many of the %d processes\n"
		"  --threads N    and so many of the %d threads of each\n"
		"  --no-kill      processes live to the end\n"
		"  --no-reload    the module stays\n"
		"  --no-hotplug   all processors stay\n"
		"  --list N       print the first N steps of each worker and do nothing\n",
		program_invocation_short_name, SECONDS_DEFAULT, STRESS_PROCESSES, STRESS_THREADS);
}

static void list(unsigned long n)
{
	unsigned int worker;
	unsigned long nr;
	struct step s;

	for (worker = 0; worker < STRESS_WORKERS; worker++) {
		for (nr = 0; nr < n; nr++) {
			stress_draw(stress.seed, worker, 1, nr, &s);
			printf("%u.%lu ", worker, nr);
			stress_print(stdout, &s);
		}
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "for", required_argument, NULL, 'f' },
		{ "seed", required_argument, NULL, 's' },
		{ "calls", required_argument, NULL, 'c' },
		{ "node", required_argument, NULL, 'n' },
		{ "conf", required_argument, NULL, 'o' },
		{ "params", required_argument, NULL, 'p' },
		{ "processes", required_argument, NULL, 'P' },
		{ "threads", required_argument, NULL, 'T' },
		{ "no-kill", no_argument, NULL, 'k' },
		{ "no-reload", no_argument, NULL, 'r' },
		{ "no-hotplug", no_argument, NULL, 'u' },
		{ "list", required_argument, NULL, 'l' },
		{ "helper", no_argument, NULL, 'H' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *calls = NULL, *node = NULL, *path = NULL, *params = NULL;
	char *none[] = { argv[0], NULL };
	unsigned long n_list = 0;
	int opt;

	stress.seconds = SECONDS_DEFAULT;
	stress.threads = STRESS_THREADS;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'f':
			stress.seconds = strtoul(optarg, NULL, 10);
			break;
		case 's':
			stress.seed = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			calls = optarg;
			break;
		case 'n':
			node = optarg;
			break;
		case 'o':
			path = optarg;
			break;
		case 'p':
			params = optarg;
			break;
		case 'P':
			n_processes = strtoul(optarg, NULL, 10);
			break;
		case 'T':
			stress.threads = strtoul(optarg, NULL, 10);
			break;
		case 'r':
			with_module = false;
			break;
		case 'k':
			with_kills = false;
			break;
		case 'u':
			with_cpu = false;
			break;
		case 'l':
			n_list = strtoul(optarg, NULL, 10);
			break;
		case 'H':
			return stress_helper();
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	conf_find(path);
	if (node) {
		conf.n_nodes = 1;
		conf.nodes[0] = node;
	}
	if (params)
		snprintf(conf.params, sizeof(conf.params), "%s", params);
	if (optind < argc || !stress.seconds || !n_processes || n_processes > STRESS_PROCESSES ||
	    !stress.threads || stress.threads > STRESS_THREADS) {
		usage(stderr);
		return 2;
	}
	all_calls = !calls;
	if (!stress_choose(calls)) {
		printf("this driver has none of the calls %s\n", calls);
		return TEST_SKIP;
	}
	if (n_list) {
		list(n_list);
		return 0;
	}
	stress.shared = shared_memory(sizeof(*stress.shared));
	hammer_case.timeout_s = stress.seconds + (EXTENSION_MS + 3 * END_MS) / 1000;
	test_register(&hammer_case);
	test_register(&after_case);
	optind = 0;
	return harness_main(1, none);
}
