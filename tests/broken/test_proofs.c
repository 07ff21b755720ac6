// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that each claim of the conformance suite can fail: for each row of expect.txt, loads the
 * broken driver with its fault, runs the suite on it, and compares the claims that failed with
 * those that must.
 *
 *   test_proofs TABLE [--only DRIVER:BUG | --part I/N] [--share N]
 *
 * It runs in the guest, from BIN_DIR, where conform is, too. Rows marked "crash" run only when
 * asked for. With --share, a row with a fault is tried with its own claims and one in N of the
 * others, which differ from row to row: rows times claims grows faster than anybody's patience.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broken_calls.h"
#include "broken_event.h"
#include "broken_mem.h"
#include "broken_published.h"
#include "broken_who.h"
#include "harness.h"
#include "protocol.h"

#define ROWS_MAX     300
#define CLAIMS_MAX   200
#define UNLOAD_TRIES 800
#define CONF_PATH    "/run/prove.conf"

struct row {
	char driver[32];
	char bug[32];
	char claims[512]; /* separated by commas */
	bool crash;
};

static struct row rows[ROWS_MAX];
static unsigned int n_rows;
static char claims[CLAIMS_MAX][64]; /* all that the suite has */
static unsigned int n_claims;
static unsigned int nr, failed, share = 1;
static char conform[] = "conform";

static void report(bool ok, const char *name, const char *why)
{
	failed += !ok;
	printf("%s %u - %s%s%s\n", ok ? "ok" : "not ok", ++nr, name, *why ? " # SKIP " : "", why);
}

static int table_read(const char *path)
{
	char line[1024], crash[16];
	struct row *row;
	FILE *f = fopen(path, "re");
	int n;

	if (!f) {
		perror(path);
		return -1;
	}
	while (n_rows < ROWS_MAX && fgets(line, sizeof(line), f)) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		row = &rows[n_rows];
		n = sscanf(line, "%31s %31s %511s %15s", row->driver, row->bug, row->claims, crash);
		if (n < 3) {
			fprintf(stderr, "%s: not a row: %s", path, line);
			fclose(f);
			return -1;
		}
		row->crash = n == 4 && !strcmp(crash, "crash");
		n_rows++;
	}
	fclose(f);
	return 0;
}

/* Whether the list, separated by commas, has the name. */
static bool list_has(const char *list, const char *name)
{
	size_t len = strlen(name);
	const char *at;

	for (at = list; (at = strstr(at, name)); at += len)
		if ((at == list || at[-1] == ',') && (!at[len] || at[len] == ','))
			return true;
	return false;
}

/* Runs the suite; a copy of it whose output is read here. */
static FILE *conform_start(char *const args[], const char *test, pid_t *pid)
{
	int out[2];

	if (pipe2(out, O_CLOEXEC))
		return NULL;
	fflush(stdout);
	*pid = fork();
	if (!*pid) {
		dup2(out[1], STDOUT_FILENO);
		if (test)
			setenv(ENV_TEST, test, 1);
		execvp(args[0], args);
		perror(args[0]);
		_exit(127);
	}
	close(out[1]);
	return fdopen(out[0], "r");
}

static int conform_list(void)
{
	char *const args[] = { conform, (char[]){ "--list" }, NULL };
	char line[1024];
	int status;
	pid_t pid;
	FILE *f;

	f = conform_start(args, NULL, &pid);
	while (f && fgets(line, sizeof(line), f) && n_claims < CLAIMS_MAX)
		if (sscanf(line, "%63[^:]:", claims[n_claims]) == 1)
			n_claims++;
	if (f)
		fclose(f);
	waitpid(pid, &status, 0);
	return status || !n_claims ? -1 : 0;
}

static int row_load(const struct row *row)
{
	char name[64], param[64] = "";

	snprintf(name, sizeof(name), "broken_%s", row->driver);
	if (strcmp(row->driver, "published"))
		snprintf(param, sizeof(param), "bug=%s", row->bug);
	return module_load(name, param);
}

static void row_unload(const struct row *row)
{
	char name[64];
	int fd, i;

	snprintf(name, sizeof(name), "broken_%s", row->driver);
	if (!strcmp(row->bug, "refcount")) {
		fd = open("/sys/module/broken_mem/parameters/drop_refs", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "1", 1) != 1)
			printf("# the references stay: %s\n", strerror(errno));
		close(fd);
	}
	/* bug=sigkill has a process linger, and with it the module. */
	for (i = 0; i < UNLOAD_TRIES; i++) {
		if (!syscall(SYS_delete_module, name, O_NONBLOCK) || errno == ENOENT)
			return;
		usleep(10 * 1000);
	}
	printf("# %s cannot be unloaded: %s\n", name, strerror(errno));
}

static void conf_who(FILE *f)
{
	fprintf(f, "ioctl.WAIT=0x%lx\nioctl.RAISE=0x%lx\nioctl.OWNER=0x%lx\n",
		(unsigned long)BROKEN_WHO_WAIT, (unsigned long)BROKEN_WHO_RAISE,
		(unsigned long)BROKEN_WHO_OWNER);
	fprintf(f, "ioctl.RESET=0x%lx\nioctl.EXPORT=0x%lx\n", (unsigned long)BROKEN_WHO_RESET,
		(unsigned long)BROKEN_WHO_EXPORT);
}

/* What the host would write from driver.ini and the header. */
static int conf_write(const struct row *row)
{
	FILE *f = fopen(CONF_PATH, "we");

	if (!f)
		return -1;
	fprintf(f, "node=/dev/broken_%s\nmode=0600\n", row->driver);
	if (!strcmp(row->driver, "who")) {
		conf_who(f);
	} else if (!strcmp(row->driver, "mem")) {
		fprintf(f, "ioctl.GET_SIZE=0x%lx\nioctl.CLEAR=0x%lx\n",
			(unsigned long)BROKEN_MEM_GET_SIZE, (unsigned long)BROKEN_MEM_CLEAR);
		fprintf(f, "ioctl.POKE=0x%lx\nioctl.PEEK=0x%lx\n", (unsigned long)BROKEN_MEM_POKE,
			(unsigned long)BROKEN_MEM_PEEK);
		fprintf(f, "arg.POKE=0000000001000000\narg.PEEK=0000000000000000\n");
	} else if (!strcmp(row->driver, "calls")) {
		fprintf(f, "ioctl.GET_SIZE=0x%lx\nioctl.PEEK=0x%lx\nioctl.INFO=0x%lx\n",
			(unsigned long)BROKEN_CALLS_GET_SIZE, (unsigned long)BROKEN_CALLS_PEEK,
			(unsigned long)BROKEN_CALLS_INFO);
		fprintf(f, "arg.PEEK=0000000000000000\narg.INFO=0800000000000000\n");
	} else if (!strcmp(row->driver, "event") || !strcmp(row->driver, "async")) {
		fprintf(f, "ioctl.RAISE=0x%lx\n", (unsigned long)BROKEN_EVENT_RAISE);
	} else {
		fprintf(f, "ioctl.SET=0x%lx\nioctl.GET=0x%lx\n",
			(unsigned long)BROKEN_PUBLISHED_SET, (unsigned long)BROKEN_PUBLISHED_GET);
	}
	if (strcmp(row->driver, "mem") && strcmp(row->driver, "calls"))
		fprintf(f, "event=test_proofs --event %%n\n");
	if (strcmp(row->driver, "published"))
		fprintf(f, "param=bug=%s\n", row->bug);
	return fclose(f);
}

/* The event command of the two devices that have events. */
static int raise_event(const char *node)
{
	struct broken_published_pin pin = { .pin = 1, .value = 1 };
	int fd = open(node, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 1;
	if (!ioctl(fd, BROKEN_EVENT_RAISE) || !ioctl(fd, BROKEN_WHO_RAISE))
		return 0;
	return ioctl(fd, BROKEN_PUBLISHED_SET, &pin) ? 1 : 0;
}

/* "not ok 3 - read.zero: ..." gives read.zero. */
static bool failed_claim(const char *line, char *id, size_t size)
{
	const char *at;

	if (strncmp(line, "not ok ", 7))
		return false;
	at = strstr(line, " - ");
	if (!at)
		return false;
	snprintf(id, size, "%.*s", (int)strcspn(at + 3, ":\n"), at + 3);
	return true;
}

/* The claims that a row is tried with; how many. */
static unsigned int row_claims(const struct row *row, char *list, size_t size)
{
	unsigned int i, n = 0;
	size_t len = 0;

	for (i = 0; i < n_claims; i++) {
		if (strcmp(row->bug, "none") && !list_has(row->claims, claims[i]) &&
		    (i + (row - rows)) % share)
			continue;
		len += snprintf(list + len, size - len, "%s%s", n++ ? "," : "", claims[i]);
	}
	return n;
}

static bool row_run(const struct row *row, char *cycles)
{
	static char list[CLAIMS_MAX * 64];
	char *const args[] = { conform,
			       (char[]){ "--conf" },
			       (char[]){ CONF_PATH },
			       (char[]){ "--cycles" },
			       cycles,
			       (char[]){ "--cases" },
			       list,
			       NULL };
	unsigned int wanted = row_claims(row, list, sizeof(list));
	char line[2048], id[64], found[1024] = "", *save, *one, expected[512], name[80], test[256];
	const char *job = getenv(ENV_TEST);
	bool ok = true, plan = false;
	unsigned int seen = 0;
	size_t len = 0;
	int status = -1;
	pid_t pid;
	FILE *f;

	snprintf(name, sizeof(name), "broken_%s", row->driver);
	setenv(ENV_MODULE, name, 1);
	snprintf(test, sizeof(test), "%s/%s:%s", job ? job : "proofs", row->driver, row->bug);
	f = conform_start(args, job ? test : NULL, &pid);
	while (f && fgets(line, sizeof(line), f)) {
		plan |= !strncmp(line, "1..", 3);
		seen += !strncmp(line, "ok ", 3) || !strncmp(line, "not ok ", 7);
		if (failed_claim(line, id, sizeof(id))) {
			len += snprintf(found + len, sizeof(found) - len, "%s%s", len ? "," : "",
					id);
			if (!list_has(row->claims, id)) {
				printf("# not expected to fail: %s", line);
				ok = false;
			}
		}
		if (line[0] == '#' || getenv("PROVE_VERBOSE"))
			printf("#   %s", line);
	}
	if (f)
		fclose(f);
	waitpid(pid, &status, 0);
	if (!plan || seen != wanted) {
		printf("# the suite ran %u of %u claims, status 0x%x\n", seen, wanted, status);
		ok = false;
	}
	snprintf(expected, sizeof(expected), "%s", row->claims);
	for (one = strtok_r(expected, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		if (strcmp(one, "-") && !list_has(found, one)) {
			printf("# expected to fail, and did not: %s\n", one);
			ok = false;
		}
	}
	return ok;
}

static void row_prove(const struct row *row)
{
	/* Only the rows about leaks need many loads; a sound driver must bear them, too. */
	bool many = strstr(row->claims, "leak") || !strcmp(row->bug, "none");
	char name[700];
	bool ok = false;
	int ret;

	snprintf(name, sizeof(name), "%s:%s fails %s", row->driver, row->bug,
		 strcmp(row->claims, "-") ? row->claims : "no claim");
	ret = row_load(row);
	if (ret) {
		printf("# broken_%s cannot be loaded: %s\n", row->driver, strerror(-ret));
	} else if (conf_write(row)) {
		perror(CONF_PATH);
	} else {
		ok = row_run(row, many ? (char[]){ "60" } : (char[]){ "4" });
		row_unload(row);
	}
	report(ok, name, "");
}

static bool claim_has_row(const char *id)
{
	unsigned int i;

	for (i = 0; i < n_rows; i++)
		if (list_has(rows[i].claims, id))
			return true;
	return false;
}

static void prove_complete(void)
{
	bool ok = true;
	unsigned int i;

	for (i = 0; i < n_claims; i++) {
		if (claim_has_row(claims[i]))
			continue;
		printf("# no broken driver fails %s\n", claims[i]);
		ok = false;
	}
	report(ok, "every claim has a driver that fails it", "");
}

/* The row asked for, or those of one part: every N-th, so that parts take the same time. */
static bool row_wanted(unsigned int i, const char *name, const char *only, unsigned int part,
		       unsigned int parts)
{
	return only ? !strcmp(only, name) : i % parts == part - 1;
}

int main(int argc, char **argv)
{
	const char *only = NULL;
	unsigned int i, plan = 1, part = 1, parts = 1;
	char name[80];
	int a;

	if (argc == 3 && !strcmp(argv[1], "--event"))
		return raise_event(argv[2]);
	for (a = 2; a < argc; a += 2) {
		const char *value = a + 1 < argc ? argv[a + 1] : "";

		if (!strcmp(argv[a], "--only") && *value)
			only = value;
		else if (strcmp(argv[a], "--part") ?
				 strcmp(argv[a], "--share") || sscanf(value, "%u", &share) != 1 :
				 sscanf(value, "%u/%u", &part, &parts) != 2)
			argc = 0;
	}
	if (argc < 2 || !share || !part || part > parts) {
		fprintf(stderr,
			"usage: test_proofs TABLE [--only DRIVER:BUG | --part I/N] [--share N]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	mkdir("/run", 0755);
	if (table_read(argv[1]))
		return TEST_FAIL;
	if (conform_list()) {
		fprintf(stderr, "conform --list does not work\n");
		return TEST_FAIL;
	}
	for (i = 0; i < n_rows; i++) {
		snprintf(name, sizeof(name), "%.31s:%.31s", rows[i].driver, rows[i].bug);
		plan += row_wanted(i, name, only, part, parts);
	}
	printf("KTAP version 1\n1..%u\n", plan);
	prove_complete();
	for (i = 0; i < n_rows; i++) {
		snprintf(name, sizeof(name), "%.31s:%.31s", rows[i].driver, rows[i].bug);
		if (!row_wanted(i, name, only, part, parts))
			continue;
		if (rows[i].crash && !only)
			report(true, name, "crashes the kernel: it has a boot of its own");
		else
			row_prove(&rows[i]);
	}
	return failed ? TEST_FAIL : TEST_PASS;
}
