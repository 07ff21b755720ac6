// SPDX-License-Identifier: GPL-2.0
/*
 * The supervisor of a fuzzing run: starts the workers, interrupts calls that wait, counts, hands new programs to the
 * host, and says when somebody never comes back from a call.
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
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz_guest.h"
#include "guest.h"
#include "harness.h"
#include "protocol.h"

#define SECONDS_DEFAULT 10
#define ROUND_MS	10    /* a call that lasts longer than one round is interrupted */
#define STUCK_MS	15000 /* who is in one call for so long never comes back, ... */
#define STUCK_RUN_MS \
	40000 /* ... and who runs all the time may only be short of a processor until then */
#define END_MS	    10000
#define DEATHS_MOST 100 /* of workers, by signals: the driver breaks its callers */
#define PCI	    "/sys/bus/pci/devices"

struct fuzz fuzz;

static struct {
	pid_t pid;
	unsigned long seen; /* its calls at the last look */
	long long since;
} workers[FUZZ_WORKERS];
static unsigned int deaths, exported;
static bool stuck, reported;
static int log_fd = -1;

static void sleep_ms(unsigned int ms)
{
	struct timespec ts = { .tv_nsec = ms * 1000000L };

	nanosleep(&ts, NULL);
}

/* ---- What the host sees ---- */

static bool is_text(const char *device, const char *file, const char *text)
{
	char path[512], found[64];

	snprintf(path, sizeof(path), PCI "/%s/%s", device, file);
	if (file_read(path, found, sizeof(found)) <= 0)
		return false;
	found[strcspn(found, "\n")] = '\0';
	return !strcmp(found, text);
}

static void *map_region(const char *device)
{
	static const char *const files[] = { "resource2_wc", "resource2" };
	char path[512];
	void *map = MAP_FAILED;
	unsigned int i;
	int fd;

	snprintf(path, sizeof(path), PCI "/%s/enable", device);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		write_all(fd, "1", 1);
		close(fd);
	}
	for (i = 0; i < 2 && map == MAP_FAILED; i++) {
		snprintf(path, sizeof(path), PCI "/%s/%s", device, files[i]);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		map = mmap(NULL, sizeof(struct fuzz_shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   0);
		close(fd);
	}
	return map;
}

/* Run by hand there is no host: then nobody looks. */
static void shared_open(void)
{
	void *map = MAP_FAILED;
	struct dirent *de;
	DIR *dir = opendir(PCI);

	while (dir && map == MAP_FAILED && (de = readdir(dir)))
		if (is_text(de->d_name, "vendor", FUZZ_PCI_VENDOR) &&
		    is_text(de->d_name, "device", FUZZ_PCI_DEVICE))
			map = map_region(de->d_name);
	if (dir)
		closedir(dir);
	if (map == MAP_FAILED) {
		test_note("the host does not see the programs: no shared memory");
		map = shared_memory(sizeof(struct fuzz_shared));
	}
	fuzz.shared = map;
}

static void sum(unsigned long *calls, unsigned long *ok, unsigned long *programs)
{
	unsigned int i;

	*calls = *ok = *programs = 0;
	for (i = 0; i < FUZZ_WORKERS; i++) {
		*calls += atomic_load(&fuzz.state->worker[i].calls);
		*ok += atomic_load(&fuzz.state->worker[i].ok);
		*programs += atomic_load(&fuzz.state->worker[i].programs);
	}
}

static unsigned int corpus_size(void)
{
	unsigned int n = atomic_load(&fuzz.state->n_corpus);

	return n < CORPUS_MOST ? n : CORPUS_MOST;
}

static void tell(long long ms)
{
	struct fuzz_shared *sh = fuzz.shared;
	unsigned long calls, ok, programs;
	size_t n;

	for (; exported < corpus_size() && atomic_load(&fuzz.state->corpus[exported].ready);
	     exported++) {
		n = fuzz_prog_print(&fuzz.state->corpus[exported].prog, sh->text + sh->n_text,
				    sizeof(sh->text) - sh->n_text);
		__atomic_store_n(&sh->n_text, sh->n_text + n, __ATOMIC_RELEASE);
	}
	sum(&calls, &ok, &programs);
	sh->ms = ms;
	sh->calls = calls;
	sh->programs = programs;
	sh->pcs = atomic_load(&fuzz.state->n_pcs);
	sh->edges = atomic_load(&fuzz.state->n_edges);
	sh->corpus = corpus_size();
}

/* ---- The kernel log ---- */

/*
 * Most reports end the guest (panic_on_warn), but not those of lockdep and of sleeping in atomic context: then the
 * search ends here, while the host still sees the programs that did it.
 */
static void log_open(void)
{
	log_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (log_fd >= 0)
		lseek(log_fd, 0, SEEK_END);
}

static void log_look(void)
{
	static const char *const reports[] = { "BUG: ", "WARNING: ", "INFO: possible ",
					       "UBSAN: ", "ODEBUG: " };
	char record[2048], *text;
	unsigned int i;
	ssize_t n;

	while (log_fd >= 0 && ((n = read(log_fd, record, sizeof(record) - 1)) > 0 ||
			       (n < 0 && (errno == EPIPE || errno == EINVAL)))) {
		if (n < 0)
			continue; /* overrun, or too long for us: neither is one of them */
		record[n] = '\0';
		text = strchr(record, ';');
		for (i = 0; text && !reported && i < sizeof(reports) / sizeof(reports[0]); i++) {
			reported = !strncmp(text + 1, reports[i], strlen(reports[i]));
			if (reported)
				test_fail(__FILE__, __LINE__, "the kernel log: %.*s",
					  (int)strcspn(text + 1, "\n"), text + 1);
		}
	}
}

/* ---- Workers ---- */

static void worker_start(unsigned int i)
{
	unsigned int k;

	for (k = 0; k < FUZZ_THREADS; k++)
		atomic_store(&fuzz.state->worker[i].tid[k], 0);
	workers[i].since = now_ms();
	workers[i].pid = fork();
	if (!workers[i].pid)
		fuzz_worker(i);
}

/* One that a signal has killed is followed by another. */
static void reap(void)
{
	unsigned int i;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (i = 0; i < FUZZ_WORKERS; i++) {
			if (workers[i].pid != pid)
				continue;
			workers[i].pid = 0;
			if (WIFEXITED(status) && WEXITSTATUS(status))
				test_fail(__FILE__, __LINE__, "worker %u could not be prepared", i);
			else if (WIFSIGNALED(status) && ++deaths < DEATHS_MOST)
				worker_start(i);
		}
	}
}

static void tick(unsigned int i, long long now)
{
	unsigned long calls = atomic_load(&fuzz.state->worker[i].calls);
	unsigned int k;
	long long late;

	if (!workers[i].pid)
		return;
	if (calls != workers[i].seen) {
		workers[i].seen = calls;
		workers[i].since = now;
		return;
	}
	for (k = 0; k < FUZZ_THREADS; k++) {
		int tid = atomic_load(&fuzz.state->worker[i].tid[k]);

		if (tid)
			syscall(SYS_tgkill, workers[i].pid, tid, SIGALRM);
	}
	late = now - workers[i].since;
	if (late > STUCK_RUN_MS || (late > STUCK_MS && process_state(workers[i].pid) != 'R'))
		stuck = true;
}

static bool somebody_works(void)
{
	unsigned int i;

	for (i = 0; i < FUZZ_WORKERS; i++)
		if (workers[i].pid)
			return true;
	return false;
}

static void report_line(void *arg, const char *text)
{
	(void)arg;
	test_note("%s", text);
}

static void report_stuck(long long now)
{
	unsigned int i;

	for (i = 0; i < FUZZ_WORKERS; i++) {
		if (!workers[i].pid || now - workers[i].since < STUCK_MS)
			continue;
		test_fail(__FILE__, __LINE__, "stuck in the kernel: worker %u, in %s", i,
			  fuzz_kind_names[atomic_load(&fuzz.state->worker[i].doing)]);
		process_report(workers[i].pid, report_line, NULL);
	}
}

static void stop_all(void)
{
	long long end = now_ms() + END_MS;
	unsigned int i;

	atomic_store(&fuzz.state->stop, true);
	while (!stuck && !reported && somebody_works() && now_ms() < end) {
		sleep_ms(ROUND_MS);
		for (i = 0; i < FUZZ_WORKERS; i++)
			tick(i, now_ms());
		reap();
	}
	for (i = 0; i < FUZZ_WORKERS; i++)
		if (workers[i].pid)
			kill(workers[i].pid, SIGKILL);
	end = now_ms() + END_MS;
	while (!stuck && somebody_works() && now_ms() < end) {
		sleep_ms(ROUND_MS);
		reap();
	}
	if (!stuck && somebody_works()) {
		test_fail(__FILE__, __LINE__, "a worker that was killed does not die");
		stuck = true;
	}
}

static void figures(long long ms)
{
	unsigned long calls, ok, programs;

	sum(&calls, &ok, &programs);
	test_note("fuzzed: %lu calls (%lu went well) of %lu programs in %.1f s, %.0f a second; "
		  "corpus %u; %u places and %u edges of the module",
		  calls, ok, programs, ms / 1000.0, ms ? calls * 1000.0 / ms : 0.0, corpus_size(),
		  atomic_load(&fuzz.state->n_pcs), atomic_load(&fuzz.state->n_edges));
}

static void test_search(void)
{
	long long start = now_ms(), now = start, end = start + fuzz.seconds * 1000LL;
	bool once = fuzz.repeat && !fuzz.together;
	const char *why;
	unsigned int i;

	if (!conf.n_nodes)
		SKIP("the module has no node");
	shared_open();
	why = fuzz.unguided ? "not wanted" : fuzz_coverage_open(test_module());
	fuzz.guided = !why;
	if (why && !fuzz.repeat)
		test_note("not guided by coverage: %s", why);
	fuzz.shared->kcov = fuzz.guided;
	for (i = 0; i < conf.n_nodes && i < FUZZ_NODES; i++)
		snprintf(fuzz.shared->nodes[i], FUZZ_PATH, "%s", conf.nodes[i]);
	fuzz.shared->n_nodes = i;
	log_open();
	for (i = 0; i < (once ? 1 : FUZZ_WORKERS); i++)
		worker_start(i);
	while (now < end && !stuck && !reported && somebody_works()) {
		sleep_ms(ROUND_MS);
		now = now_ms();
		log_look();
		reap();
		for (i = 0; i < FUZZ_WORKERS; i++)
			tick(i, now);
		tell(now - start);
	}
	if (stuck)
		report_stuck(now);
	stop_all();
	tell(now - start);
	if (deaths >= DEATHS_MOST)
		test_fail(__FILE__, __LINE__, "%u workers died of signals", deaths);
	figures(now - start);
}

static struct test_case search_case = { .name = "no call crashes or stays", .run = test_search };

/* All programs of a file. */
static bool read_programs(const char *path)
{
	FILE *f = fopen(path, "re");
	const char *at;
	char *text;
	long size;

	if (!f)
		return false;
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	text = size >= 0 ? calloc(1, size + 1) : NULL;
	if (!text || fread(text, 1, size, f) != (size_t)size) {
		fclose(f);
		free(text);
		return false;
	}
	fclose(f);
	fuzz.replay = NULL;
	for (at = text;;) {
		struct fuzz_prog *more =
			reallocarray(fuzz.replay, fuzz.n_replay + 1, sizeof(*more));

		if (!more)
			break;
		fuzz.replay = more;
		at = fuzz_prog_parse(at, &more[fuzz.n_replay]);
		if (!at)
			break;
		fuzz.n_replay++;
	}
	free(text);
	return true;
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: %s [--for SECONDS] [--seed N] [--corpus FILE] [--unguided] [--conf FILE]\n"
		"           [--replay FILE [--repeat N] [--together]]\n"
		"  --for SECONDS  how long (default %d)\n"
		"  --seed N       what the workers draw from\n"
		"  --corpus FILE  programs to begin with\n"
		"  --unguided     also with KCOV\n"
		"  --conf FILE    what is known of the module\n"
		"  --replay FILE  run these programs, and no others, one after the other\n"
		"  --repeat N     each so often (default 1)\n"
		"  --together     by both workers at once, until the time is up\n",
		program_invocation_short_name, SECONDS_DEFAULT);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "for", required_argument, NULL, 'f' },
		{ "seed", required_argument, NULL, 's' },
		{ "corpus", required_argument, NULL, 'c' },
		{ "unguided", no_argument, NULL, 'u' },
		{ "conf", required_argument, NULL, 'o' },
		{ "replay", required_argument, NULL, 'r' },
		{ "repeat", required_argument, NULL, 'n' },
		{ "together", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *path = NULL, *programs = NULL;
	char *none[] = { argv[0], NULL };
	unsigned int repeat = 1;
	bool replay = false;
	int opt;

	fuzz.seconds = SECONDS_DEFAULT;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'f':
			fuzz.seconds = strtoul(optarg, NULL, 10);
			break;
		case 's':
			fuzz.seed = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			replay = true;
			programs = optarg;
			break;
		case 'c':
			programs = optarg;
			break;
		case 'u':
			fuzz.unguided = true;
			break;
		case 'o':
			path = optarg;
			break;
		case 'n':
			repeat = strtoul(optarg, NULL, 10);
			break;
		case 't':
			fuzz.together = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc || !fuzz.seconds || !repeat) {
		usage(stderr);
		return 2;
	}
	if (programs && !read_programs(programs)) {
		fprintf(stderr, "%s cannot be read\n", programs);
		return TEST_FAIL;
	}
	fuzz.repeat = replay ? repeat : 0;
	conf_find(path);
	fuzz.state = shared_memory(sizeof(*fuzz.state));
	search_case.timeout_s = fuzz.seconds + (STUCK_RUN_MS + 3 * END_MS) / 1000;
	test_register(&search_case);
	optind = 0;
	return harness_main(1, none);
}
