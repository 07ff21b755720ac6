/* SPDX-License-Identifier: GPL-2.0 */
/* The subcommands, and how their command lines are read. */
#ifndef CDEVLAB_CMD_H
#define CDEVLAB_CMD_H

#include "lab.h"
#include "stress.h"
#include "util.h"

int cmd_run(int argc, char **argv);
int cmd_test(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_stress(int argc, char **argv);
int cmd_faults(int argc, char **argv);
int cmd_fuzz(int argc, char **argv);
int cmd_shell(int argc, char **argv);
int cmd_gdb(int argc, char **argv);
int cmd_kernel(int argc, char **argv);
int cmd_meter(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_new(int argc, char **argv);
int cmd_safety(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_thesis(int argc, char **argv);

/* struct args - a command line, read */
struct args {
	struct strv rest;	  /* drivers and directories */
	struct strv kernels;	  /* -k */
	const char *out_dir;	  /* -o */
	const char *junit, *json; /* files; json "-" for standard output */
	const char *only;
	const char *save_budget, *check_budget;
	const char *group;	   /* check: one group of tests */
	bool trace;		   /* bench: the split */
	const char *clock;	   /* bench: "exact" or "wall"; NULL: both */
	double confidence, margin; /* of the wall clock: 0.99, 0.01; 0: not given */
	int budget_s;
	int tasks, rate; /* 0: not given */
	double count;	 /* likewise */
	bool resume;
	const char *on; /* or NULL: not given */
	const char *meter;
	struct strv ops;
	int stress_s; /* stress: how long */
	unsigned long long seed;
	bool has_seed;
	struct stress_plan plan; /* stress */
	struct strv scripts;	 /* gdb */
	bool batch;
	bool assembly, no_test;	      /* compare */
	bool coverage;		      /* test */
	struct strv numbers, columns; /* safety */
	const char *language;
	bool fresh;
	bool quick;	      /* faults */
	const char *function; /* compare --asm: only that one */
};

#define WALL_TASKS_MOST 64 /* guest/wall.c has room for so many */

/* Options beside the common ones (-h -v -k --dry-run --timeout --yes). */
enum args_option {
	ARG_JUNIT = 1,
	ARG_JSON = 2,	   /* --json FILE */
	ARG_JSON_FLAG = 4, /* --json: standard output is JSON */
	ARG_ONLY = 8,
	ARG_BUDGET = 16,
	ARG_GROUP = 32,
	ARG_OUTPUT = 64,   /* -o */
	ARG_STRESS = 128,  /* --for, --seed */
	ARG_RUST = 256,	   /* --rust */
	ARG_COMPARE = 512, /* --asm, --function, --no-test */
	ARG_COVERAGE = 1024,
	ARG_DUMP = 65536,  /* --dump */
	ARG_GDB = 131072,  /* -x, --batch */
	ARG_PLAN = 262144, /* what of stress can be left out */
	ARG_SAFETY = 2048, /* --only (repeated), --column, --language, --fresh */
	ARG_FAULTS = 4096, /* --quick */
	ARG_ON = 16384,	   /* --on */
	ARG_WALL =
		8192, /* --clock, --confidence, --margin, --budget, --seed, --op, --tasks, --rate, --count, --resume, --meter */
};

/**
 * args_parse() - reads a subcommand's command line
 * @options:	which of enum args_option it has
 * @help:	what --help prints
 * Return: LAB_OK; LAB_USAGE after a message; -1 when --help was printed (exit 0).
 */
int args_parse(int argc, char **argv, unsigned int options, const char *help, struct args *a);
void args_free(struct args *a);
/* Whether something was asked for that only the wall clock has. */
bool args_has_wall(const struct args *a);
/* "90", "90s" or "2m", at most a day. Return: LAB_OK; LAB_USAGE after a message that names the option. */
int args_duration(const char *option, const char *s, int *seconds);

#endif
