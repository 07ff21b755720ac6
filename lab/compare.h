/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two modules beside each other: what each object is (sizes, stack, hardening, sources), which of its functions match,
 * and how many instructions each operation takes.
 */
#ifndef CDEVLAB_COMPARE_H
#define CDEVLAB_COMPARE_H

#include "bench.h"
#include "blocks.h"
#include "disasm.h"
#include "machine.h"
#include "meter.h"
#include "source.h"

/* struct hardening - a protection, and how many functions of an object have it */
struct hardening {
	const char *name;
	const char *config; /* of those that switch it on, the one that is set, else the first */
	char set;	    /* 'y', 'm', 'n' */
	size_t functions;
};

/* struct object_facts - what a module's file tells without being run */
struct object_facts {
	const struct kernel *kernel;
	const struct built *built;
	const struct module *module;
	struct elf_sizes sizes;
	unsigned long file; /* bytes of the module file, without debug information */
	struct disasm code;
	int code_error;	  /* -ENOTSUP: no disassembler for that machine */
	size_t functions; /* parts that were moved away belong to theirs */
	struct hardening *hardening;
	size_t n_hardening;
	struct source source;
};
void object_facts_read(const struct kernel *k, const struct built *b, const struct module *m,
		       struct object_facts *o);
void object_facts_free(struct object_facts *o);
const char *object_language(const struct object_facts *o);

/* struct object_stack - the deepest function of an object, and the deepest chain of its calls */
struct object_stack {
	const struct disasm_function *deepest; /* or NULL */
	struct strv chain;
	long bytes;	/* of the chain; -1: not known of any */
	size_t unknown; /* functions of which nothing is known */
};
void object_stack(const struct disasm *d, struct object_stack *s);
/* hardening_find() - what protects the functions of an object on a kernel; an array to be freed */
struct hardening *hardening_find(const struct disasm *d, const struct kernel *k, size_t *n);

/* struct function_pair - two functions that do the same in two modules; one of them may be missing */
struct function_pair {
	const char *role; /* "init", "ioctl" */
	const struct disasm_function *a, *b;
	/* what the kernel calls where that is only a way into the function, else the function itself */
	const struct disasm_function *a_entry, *b_entry;
};
/* Of a name as people write it: the role that it ends with ("ioctl" of vgpio_ioctl), or NULL. */
const char *function_role(const char *shown);
/**
 * match_functions() - pairs the functions of two objects by role
 * @b:	or NULL: all of @a's
 * Return: an array to be freed.
 */
struct function_pair *match_functions(const struct disasm *a, const struct disasm *b, size_t *n);

bool is_paired(const struct function_pair *pairs, size_t n, const struct disasm_function *f);
/* Whether @function, a role or a name, asks for it; NULL asks for all. */
bool pair_is_meant(const struct function_pair *p, const char *function);
/* "mov rax, rdi"; a new string. */
char *insn_text(const struct disasm_insn *in);
/* Its source line, or NULL; a new string. */
char *insn_source(const struct module *m, const struct disasm_function *f,
		  const struct disasm_insn *in);

/* struct asm_row - two instructions side by side; an index, or -1 */
struct asm_row {
	long a, b;
};
/* align_code() - lays two functions side by side so that as many instructions as possible meet; to be freed */
struct asm_row *align_code(const struct disasm_function *a, const struct disasm_function *b,
			   size_t *n);

/* struct compare - two modules, and what was found out about them */
struct compare {
	struct object_facts o[2];
	const struct ktap *tests[2]; /* of each module, or NULL */
	struct bench *benches;	     /* one a guest */
	size_t n_benches;
	bool same_guest;
	bool exact; /* something was measured */
	/* benches of an order and a side: bench[order][side] is one of those above */
	const struct bench *bench[2][2];
	bool agree;	   /* both orders gave the same integers */
	struct wall *wall; /* or NULL: not asked for */
};

/* struct compare_op - an operation of both modules, or of one */
struct compare_op {
	const struct bench_op *of[2][2]; /* [order][side]; NULL: not measured */
	bool module;			 /* no built-in floor */
	bool agree;
};
struct compare_op *compare_ops(const struct compare *c, size_t *n);
/* B - A; false: one of them is missing */
bool compare_op_difference(const struct compare_op *op, double *difference, double *percent);

/* struct test_counts - how a module did */
struct test_counts {
	struct ktap_counts conform, own, all;
};
struct test_counts test_counts(const struct ktap *module);
const char *test_verdict(const struct test_counts *t); /* "PASS", "FAIL", "SKIP" */

/* struct wall_time - a measurement, by this machine's clock */
struct wall_time {
	double end, seconds, calls;
};

struct late_bucket {
	double ns, count;
};

/* struct wall_late - how long after they were due the calls of a variant were done, over all blocks */
struct wall_late {
	struct late_bucket *v; /* in rising order */
	size_t n;
	double count, max;
};
/* The time that @share of the calls were done in: 0.99. Not a number: of so few none is beyond it. */
double wall_late_quantile(const struct wall_late *l, double share);

/* struct wall_op - an operation of both modules */
struct wall_op {
	char *name;
	struct wall_late late[BLOCKS_VARIANTS];
	/* of the block that is being measured: ns per call, 0: not yet; and when */
	double now[BLOCKS_VARIANTS];
	struct wall_time at[BLOCKS_VARIANTS];
	double calls[BLOCKS_VARIANTS]; /* of all blocks */
	struct blocks blocks;
	/* of each of these blocks: when, and which idle time goes with it */
	struct wall_time (*times)[BLOCKS_VARIANTS];
	size_t *idle;
	struct blocks gross,
		net;  /* joules per call; net of what the machine takes when it does nothing */
	char *no_net; /* why it is not known, or NULL */
};

/* struct wall - a comparison by the wall clock */
struct wall {
	double confidence, margin; /* 0.99, 0.01 */
	double budget_s;
	int ms;	      /* a measurement, about */
	int tasks;    /* so many at once, measured as well; 0: one alone */
	int rate;     /* calls a second, whose lateness is measured as well; 0: none */
	double count; /* so many calls of each, and not until the margin is met; 0: until then */
	bool resume;  /* goes on with one of count that was interrupted */
	struct strv only; /* operations; empty: all */
	unsigned long long seed;
	const char *meter; /* --meter, or NULL: energy is not measured */
	/* results */
	char *failure; /* why there are none, or NULL */
	char *accel;
	struct wall_op *ops;
	size_t n, blocks;
	struct wall_time *idle, idle_now; /* one a block */
	double *idle_watts;		  /* one a block */
	struct meter_trace trace;	  /* what the meter said */
	struct machine_moves moves;
	char *no_energy; /* why it is unmeasured; NULL: it is there */
	double began, seconds;
	size_t boots;	 /* of guests; of another machine 0 */
	size_t in_guest; /* blocks that this guest has had */
	int in_block;	 /* measurements of the block that is being measured */
	bool done;	 /* no more blocks are needed, or can be paid */
	FILE *save;	 /* of count: the blocks as they come; or NULL */
	char *save_path;
};

/* compare_wall.c */

extern const char *const wall_variants[BLOCKS_VARIANTS]; /* "A", "B", "A-again" */
struct args;
/* What was asked for. */
void wall_init(struct wall *w, const struct args *a);

/**
 * wall_boot() - measures, until all intervals are as narrow as the margin, or the budget is spent
 * Return: LAB_OK also where a benchmark failed or its guest: w->failure says why, and so does a failure in @t's tree;
 * LAB_SKIPPED without a benchmark, LAB_USAGE for two kernels.
 */
enum lab_exit wall_boot(struct wall *w, const struct object_facts o[2], struct test_run *t);
/**
 * wall_parse() - a line that a benchmark printed of a variant (guest/wall.h)
 * @end:	when it came, as now_s()
 * Return: what is wrong with it, a new string, or NULL.
 */
char *wall_parse(struct wall *w, enum blocks_variant v, const char *line, double end);
/* All variants were measured: the values become a block of each operation that has them all. */
void wall_block_end(struct wall *w);
void wall_free(struct wall *w);

/* compare_save.c: a run of --count */

/**
 * wall_save_begin() - from now on what is measured is kept; with w->resume what was kept is measured already
 * What is kept stays when all is done: of the pairs of an experiment some are done when it is interrupted.
 * Return: LAB_CANNOT after a message where it cannot be written.
 */
enum lab_exit wall_save_begin(struct wall *w, const struct object_facts o[2]);
void wall_save_line(struct wall *w, enum blocks_variant v, const char *line);
/* The lines until here are a block. Return: LAB_CANNOT after a message when they could not be written. */
enum lab_exit wall_save_block(struct wall *w);
/* Unless @whole, a remark says how to go on. */
void wall_save_end(struct wall *w, bool whole);

/* compare_wall_print.c */
void wall_print(FILE *out, const struct wall *w);
json_t *wall_json(const struct wall *w);
void wall_print_ratio(FILE *out, const struct blocks_ratio *r);
void wall_print_verdict(FILE *out, const struct blocks_ratio *b,
			const struct blocks_ratio *control);
double wall_median(const struct blocks *b, enum blocks_variant v);
json_t *wall_blocks_json(const struct blocks *b);

/* compare_energy.c */

/* struct recorder - this program once more, that writes what a meter says to a file */
struct recorder;
/**
 * energy_begin() - starts to record, or will read a file
 * @meter:	of --meter: a name, "auto", or file:PATH[,SECONDS]: the recording's t = 0 is at that now_s()
 * Return: LAB_CANNOT after a message when it cannot be read; *r is NULL for a file.
 */
enum lab_exit energy_begin(const char *meter, struct recorder **r);
/* Ends it and reads what there is. Return: why there is none, a new string, or NULL. */
char *energy_end(struct recorder *r, const char *meter, struct meter_trace *trace);
/* From w->trace: joules per call of each block that it covers. Where it covers none, w->no_energy says so. */
void energy_blocks(struct wall *w);
void energy_print(FILE *out, const struct wall *w);
json_t *energy_json(const struct wall *w);

/* compare_print.c */
void compare_print(FILE *out, const struct compare *c);
/* @function: only those of that role or name, or NULL. Return: how many pairs. */
size_t compare_print_asm(FILE *out, const struct object_facts *a, const struct object_facts *b,
			 const char *function);

/* compare_json.c */
json_t *compare_json(const struct compare *c);
json_t *compare_facts_json(const struct object_facts *o);
json_t *compare_pairs_json(const struct object_facts *a, const struct object_facts *b,
			   const char *function, bool lines);
json_t *compare_unmatched_json(const struct object_facts *a, const struct object_facts *b);
/* For those who have no struct compare: the facts of a module; matching functions with their code, @b may be NULL. */
json_t *compare_object_json(const struct kernel *k, const struct built *b, const struct module *m);
json_t *compare_asm_json(const struct module *a, const struct module *b, const char *function);

#endif
