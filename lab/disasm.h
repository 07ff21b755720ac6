/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The machine code of a module (capstone): its functions as instructions with the names of what they call and use,
 * and what can be counted in them. amd64 and arm64.
 */
#ifndef CDEVLAB_DISASM_H
#define CDEVLAB_DISASM_H

#include "elf.h"

enum disasm_kind {
	DISASM_OTHER,
	DISASM_BRANCH, /* within the function, and to the part of it that lies elsewhere */
	DISASM_CALL,   /* also a jump to another function; not that of the tracer's hook */
	DISASM_RETURN,
};

/* struct disasm_insn - an instruction */
struct disasm_insn {
	unsigned long offset; /* from the function's start */
	unsigned int size;
	char *mnemonic, *operands;
	char *target; /* what a relocation or a jump names, "\"text\"" of a string; or NULL */
	enum disasm_kind kind;
	bool jump;  /* control does not go on behind it */
	long depth; /* of the stack before it; -1: no way to it is known */
	long to;    /* of a jump within the object: offset in @to_section; -1 */
	const char *to_section;
};

/* struct disasm_function - a function and its counts */
struct disasm_function {
	char *name, *shown; /* shown: demangled, the same where it is C */
	char *section;
	unsigned long start, size;
	struct disasm_insn *insns;
	size_t n; /* without the filler behind its end */
	unsigned int branches, calls, returns;
	unsigned int registers; /* general-purpose registers that it names, the stack pointer too */
	long stack; /* most bytes that it takes, without the return address that amd64's call pushes; -1 */
	char *stack_why; /* why that is not known, or NULL */
	struct disasm_callee {
		size_t function; /* of the same object: its index */
		long depth; /* of the stack behind the call, with the return address that it pushes */
	} * callees;
	size_t n_callees;
	bool cold; /* NAME.cold, a part of NAME: its stack is in NAME's */
};

struct disasm {
	struct elf_image image;
	struct disasm_function *functions; /* sorted by section and offset */
	size_t n;
};

/**
 * disasm_open() - reads all functions of an object file
 * @ko:	the file, compressed or not
 * @d:	to be freed with disasm_free(), also after a failure
 * Return: 0, -ENOENT, -EINVAL (no ELF file), -ENOTSUP (not that machine).
 */
int disasm_open(const char *ko, struct disasm *d);
void disasm_free(struct disasm *d);

/* Functions, without the parts of them that the compiler has moved away. */
size_t disasm_count(const struct disasm *d);
const struct disasm_function *disasm_find(const struct disasm *d, const char *name);
/* The one that is at this offset of a section, or NULL. */
const struct disasm_function *disasm_at(const struct disasm *d, const char *section,
					unsigned long offset);

/* struct disasm_reach - a function with all functions of its object that it calls, directly or further down */
struct disasm_reach {
	size_t functions, instructions;
	long stack; /* of the deepest chain of calls, return addresses between them included; -1: unknown */
	struct strv chain; /* the functions of that chain */
};
void disasm_reach(const struct disasm *d, const struct disasm_function *f, struct disasm_reach *r);

#endif
