/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two modules beside each other: what each object is (sizes, stack, hardening, sources), which of its functions match,
 * and how many instructions each operation takes.
 */
#ifndef CDEVLAB_COMPARE_H
#define CDEVLAB_COMPARE_H

#include "bench.h"
#include "disasm.h"
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
	bool agree; /* both orders gave the same integers */
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
