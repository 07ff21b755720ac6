// SPDX-License-Identifier: GPL-2.0
/*
 * What the lab itself costs: printed, asserted by nobody, since a shared machine's seconds are no result. Rounds are
 * interleaved and medians shown, so that the ratios mean something.
 *
 *	make bench-lab && build/bench-lab [ROUNDS]
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boot.h"
#include "initramfs.h"
#include "proc.h"
#include "report.h"

#define ROUNDS_DEFAULT 3
#define ROUNDS_MAX     99

static const char bare_init[] =
	"#include <fcntl.h>\n#include <sys/reboot.h>\n#include <unistd.h>\n"
	"int main(void)\n{\n\tint fd = open(\"/dev/console\", O_WRONLY);\n"
	"\tif (write(fd, \"INIT\\n\", 5) == 5)\n\t\treboot(RB_POWER_OFF);\n\treturn 0;\n}\n";

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static double bare_start, bare_init_s;

static void bare_line(void *ctx, const char *line, bool is_err)
{
	(void)ctx;
	(void)is_err;
	if (strstr(line, "INIT"))
		bare_init_s = now_s() - bare_start;
}

/* The shortest line that boots this kernel, typed by hand: time until its init writes. */
static double bare_boot(const struct kernel *k, const char *init)
{
	_cleanup_free_ char *append = NULL, *initrd = NULL;
	struct initramfs *fs = initramfs_new();
	size_t size;
	int fd;

	initramfs_file(fs, "/init", 0755, init);
	initramfs_node(fs, "/dev/console", 0600, 5, 1);
	if (initramfs_finish(fs, &fd, &size))
		return 0;
	append = xasprintf(
		"console=%s quiet panic=-1 cryptomgr.notests initcall_blacklist=jent_mod_init %s",
		k->arch->console, k->arch->append);
	initrd = xasprintf("/dev/fd/%d", fd);
	{
		char *argv[] = { k->arch->qemu, "-M",	       k->arch->qemu_machine,
				 "-cpu",	k->arch->cpu,  "-accel",
				 "tcg",		"-nodefaults", "-no-user-config",
				 "-display",	"none",	       "-no-reboot",
				 "-m",		"256",	       "-smp",
				 "2",		"-kernel",     k->image,
				 "-initrd",	initrd,	       "-append",
				 append,	"-serial",     "stdio",
				 NULL };
		struct proc p = { .argv = argv,
				  .timeout_s = 60,
				  .keep_fds = &fd,
				  .n_keep = 1,
				  .on_line = bare_line };

		bare_start = now_s();
		bare_init_s = 0;
		proc_run(&p);
		proc_free(&p);
	}
	close(fd);
	return bare_init_s;
}

/* The lab's own guest with nothing to do: time until its agent answers. */
static double lab_boot(const struct kernel *k)
{
	struct boot b = {}, *list[] = { &b };
	double ready = 0;

	if (!boot_init(&b, k)) {
		b.vm.label = "nothing";
		if (!boot_run(list, 1, 1))
			ready = b.vm.ready_s;
	}
	boot_free(&b);
	return ready;
}

static double self_run(char *const *argv, long *max_kib)
{
	struct rusage before, after;
	struct proc p = { .argv = argv, .timeout_s = 600 };
	double start = now_s();

	getrusage(RUSAGE_CHILDREN, &before);
	proc_run(&p);
	getrusage(RUSAGE_CHILDREN, &after);
	*max_kib = after.ru_maxrss;
	if (p.status)
		printf("  (exit status %d: %s)\n", p.status, p.err.s ?: "");
	proc_free(&p);
	return now_s() - start;
}

#define RECORDS 1000

/* A report of so many records as a long time of use leaves: ten drivers, each with its own figures. */
static void time_report(const char *tmp)
{
	_cleanup_free_ char *dir = xasprintf("%s/records", tmp);
	struct strv names = {};
	struct store s = {};
	double start;

	for (int i = 0; i < RECORDS; i++) {
		_cleanup_free_ char *run = xasprintf("%s/%d", dir, i), *file = NULL, *ended = NULL;
		json_t *ops = json_array(), *o;

		file = xasprintf("%s/record.json", run);
		ended = xasprintf("2026-%02d-%02dT00:00:00Z", 1 + i / 84, 1 + i / 3 % 28);
		make_dirs(run, 0755);
		for (int k = 0; k < 500; k++) {
			_cleanup_free_ char *name = xasprintf("op %d", k);
			_cleanup_free_ char *module = xasprintf("driver%d", i % 10);

			json_array_append_new(ops, json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}",
							     "kernel", "debian:trixie/amd64",
							     "release", "6.12", "compiler", "gcc",
							     "module", module, "operation", name,
							     "instructions", 500 + k));
		}
		o = json_pack("{s:s, s:[], s:{}, s:{s:o}}", "ended", ended, "inputs", "tests",
			      "bench", "operations", ops);
		if (store_write(file, o, report_covers(o)))
			return;
	}
	strv_add(&names, dir);
	start = now_s();
	if (!store_open(&s, &names) && !report_write(&s, tmp))
		printf("  a report of %d records                %6.2f s\n", RECORDS,
		       now_s() - start);
	store_free(&s);
	strv_free(&names);
}

int main(int argc, char **argv)
{
	size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS_DEFAULT;
	double bare[ROUNDS_MAX], lab[ROUNDS_MAX], test[ROUNDS_MAX], whole[ROUNDS_MAX];
	_cleanup_free_ char *src = NULL, *bin = NULL;
	char *const self[] = { "build/cdevlab", "test", "vgpio", NULL };
	struct kernel k = {};
	char *tmp;
	long kib;

	if (!rounds || rounds > ROUNDS_MAX || proc_init() || kernel_get(NULL, false, &k))
		return LAB_CANNOT;
	tmp = temp_dir(NULL);
	src = xasprintf("%s/init.c", tmp);
	bin = xasprintf("%s/init", tmp);
	file_write(src, bare_init, strlen(bare_init));
	free(proc_output((char *[]){ "gcc", "-O2", "-static", "-s", "-o", bin, src, NULL }));
	self_run(self, &kib); /* warms the caches */
	for (size_t i = 0; i < rounds; i++) {
		double start = now_s();

		bare[i] = bare_boot(&k, bin);
		start = now_s();
		lab[i] = lab_boot(&k);
		whole[i] = now_s() - start;
		test[i] = self_run(self, &kib);
	}
	printf("medians of %zu interleaved rounds, %s\n", rounds, k.release);
	printf("  bare QEMU line, start to init          %6.2f s\n", median(bare, rounds));
	printf("  the lab's guest, start to READY        %6.2f s   ratio %.2f\n",
	       median(lab, rounds), median(lab, rounds) / median(bare, rounds));
	printf("  the lab's guest, start to end          %6.2f s\n", median(whole, rounds));
	printf("  cdevlab test vgpio, warm               %6.2f s   %.2f s above the boot\n",
	       median(test, rounds), median(test, rounds) - median(whole, rounds));
	/* the largest of our children is a QEMU or a compiler; the program itself is measured apart */
	{
		_cleanup_free_ char *peak = NULL;
		char *sh[] = {
			"sh", "-c",
			"build/cdevlab test vgpio >/dev/null 2>&1 & p=$!; m=0; "
			"while r=$(awk '/VmHWM/{print $2}' /proc/$p/status 2>/dev/null) && [ -n \"$r\" ]; "
			"do m=$r; sleep 0.2; done; echo $m",
			NULL
		};

		peak = proc_output(sh);
		printf("  host program, peak resident            %6.1f MiB\n",
		       atof(peak ?: "0") / 1024);
	}
	time_report(tmp);
	temp_dir_done(tmp);
	kernel_free(&k);
	return 0;
}
