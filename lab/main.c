// SPDX-License-Identifier: GPL-2.0
/* The command line: cdevlab SUBCOMMAND. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "proc.h"

static const struct command {
	const char *name, *args, *help;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "run", "[DRIVER|DIR]...", "the main job: build, boot, check, measure, report", cmd_run },
	{ "test", "[DRIVER|DIR]...", "the verdict: KTAP on standard output", cmd_test },
	{ "bench", "[DRIVER|DIR]...", "exact instructions per driver operation", cmd_bench },
	{ "compare", "A B", "two modules, or one on two kernels, beside each other", cmd_compare },
	{ "stress", "[DRIVER|DIR]...", "32 workers call everything at once, and are killed",
	  cmd_stress },
	{ "faults", "[DRIVER|DIR]...", "every call with each of its allocations failing in turn",
	  cmd_faults },
	{ "fuzz", "[DRIVER|DIR]...", "made-up calls, guided by the code that they reach",
	  cmd_fuzz },
	{ "safety", "[DRIVER|DIR]...", "the same mistakes in C and in Rust: what catches them",
	  cmd_safety },
	{ "shell", "DRIVER|DIR", "a guest with the driver loaded, and a prompt", cmd_shell },
	{ "gdb", "DRIVER|DIR", "a guest under gdb, stopped before the driver's init", cmd_gdb },
	{ "kernel", "list|fetch|build", "kernels to build for and to boot", cmd_kernel },
	{ "meter", "list|record|energy", "what measures energy here", cmd_meter },
	{ "new", "NAME", "a room for a driver of your own, to begin with", cmd_new },
	{ "report", "[RUN]...", "one HTML file and CSV of what is stored; runs nothing",
	  cmd_report },
	{ "thesis", "", "the published comparison of C and Rust, recomputed", cmd_thesis },
	{ "check", "", "the project's own tests, all of them", cmd_check },
};

static void usage(FILE *out)
{
	fputs("usage: cdevlab SUBCOMMAND [OPTION]... [DRIVER|DIR]...\n"
	      "Builds Linux character-device drivers for stock kernels, boots them in QEMU, checks and measures them.\n\n",
	      out);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-7s %-18s %s\n", commands[i].name, commands[i].args,
			commands[i].help);
	fputs("\n`cdevlab SUBCOMMAND --help` tells its options; the manual is cdevlab(1).\n", out);
}

/* A closed one of the three would be taken by a file of ours, and our messages would go there. */
static void fill_standard_files(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			_exit(LAB_CANNOT);
}

int main(int argc, char **argv)
{
	const char *ci = getenv("CI");
	enum lab_exit ret;

	fill_standard_files();
	lab_options.yes = ci && !strcmp(ci, "true");
	if (argc < 2) {
		usage(stderr);
		return LAB_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return LAB_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("cdevlab " CDEVLAB_VERSION);
		return LAB_OK;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		ret = proc_init();
		if (ret)
			return ret;
		ret = commands[i].run(argc - 1, argv + 1);
		lab_stage_done(NULL);
		if (lab_interrupted()) {
			fputs("cdevlab: interrupted; nothing was left running\n", stderr);
			return LAB_INTERRUPTED;
		}
		/* a verdict that could not be written was not given */
		if (fflush(stdout) || ferror(stdout))
			return lab_fail(LAB_CANNOT, "make room, or send it elsewhere",
					"cannot write to standard output: %s", strerror(errno));
		return ret;
	}
	lab_fail(LAB_USAGE, "it is one of those below", "there is no subcommand \"%s\"", argv[1]);
	usage(stderr);
	return LAB_USAGE;
}
