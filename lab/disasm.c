// SPDX-License-Identifier: GPL-2.0
/*
 * What is counted is read from the text that capstone makes of an instruction, not from its details: the text is
 * the same in versions 4 and 5, the structures are not.
 */
#include "disasm.h"

#include <capstone/capstone.h>
#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "demangle.h"
#include "lab.h"

#define NOT_SEEN    -1
#define STRING_MOST 40 /* characters of a string that are shown */

const struct disasm_function *disasm_find(const struct disasm *d, const char *name)
{
	for (size_t i = 0; i < d->n; i++)
		if (!strcmp(d->functions[i].name, name))
			return &d->functions[i];
	return NULL;
}

const struct disasm_function *disasm_at(const struct disasm *d, const char *section,
					unsigned long offset)
{
	for (size_t i = 0; section && i < d->n; i++) {
		const struct disasm_function *f = &d->functions[i];

		if (!strcmp(f->section, section) && offset >= f->start &&
		    (offset - f->start < f->size || offset == f->start))
			return f;
	}
	return NULL;
}

size_t disasm_count(const struct disasm *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n; i++)
		n += !d->functions[i].cold;
	return n;
}

/* --- names of what an instruction refers to --- */

/* From a reference's place to the end of its instruction: that is where amd64 counts from. */
static bool is_relative(unsigned int machine, unsigned int type)
{
	if (machine != EM_X86_64)
		return false;
	return type == R_X86_64_PC32 || type == R_X86_64_PLT32 || type == R_X86_64_GOTPCREL ||
	       type == R_X86_64_GOTPCRELX || type == R_X86_64_REX_GOTPCRELX;
}

static char *string_at(const struct elf_section *s, unsigned long offset)
{
	struct buf b = {};
	size_t n = 0;

	if (!s || !s->strings || offset >= s->n)
		return NULL;
	buf_puts(&b, "\"");
	for (; offset < s->n && s->bytes[offset] && n < STRING_MOST; offset++, n++) {
		unsigned char c = s->bytes[offset];

		if (c == '\n')
			buf_puts(&b, "\\n");
		else if (isprint(c))
			buf_add(&b, &s->bytes[offset], 1);
		else /* the level before a message of printk() */
			buf_printf(&b, "\\%o", c);
	}
	buf_puts(&b, n == STRING_MOST ? "...\"" : "\"");
	return b.s;
}

static char *place_name(const struct disasm *d, const char *section, unsigned long offset)
{
	const struct disasm_function *f = disasm_at(d, section, offset);
	char *s;

	if (f && offset == f->start)
		return xstrdup(f->shown);
	if (f)
		return xasprintf("%s+0x%lx", f->shown, offset - f->start);
	s = string_at(elf_image_section(&d->image, section), offset);
	if (s)
		return s;
	return offset ? xasprintf("%s+0x%lx", section, offset) : xstrdup(section);
}

static char *reloc_name(const struct disasm *d, const struct elf_reloc *r, long addend)
{
	_cleanup_free_ char *shown = NULL;

	if (!*r->symbol)
		return r->section ? place_name(d, r->section, r->value + addend) : NULL;
	shown = demangle(r->symbol);
	return addend ? xasprintf("%s%+ld", shown, addend) : xstrdup(shown);
}

static const struct elf_reloc *reloc_in(const struct elf_section *s, unsigned long offset,
					unsigned long size)
{
	for (size_t i = 0; i < s->n_relocs; i++)
		if (s->relocs[i].offset >= offset && s->relocs[i].offset < offset + size &&
		    s->relocs[i].type) /* objtool makes relocations void: type 0 */
			return &s->relocs[i];
	return NULL;
}

/* --- kinds of instructions --- */

static bool is_one_of(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(s, *list))
			return true;
	return false;
}

static bool is_filler(const char *mnemonic)
{
	static const char *const fillers[] = { "nop", "int3", "udf", NULL };

	return is_one_of(mnemonic, fillers);
}

/* Whether it is a jump that may or may not be taken. */
static bool is_conditional(const struct disasm_insn *in)
{
	static const char *const arm[] = { "cbz", "cbnz", "tbz", "tbnz", NULL };
	const char *m = in->mnemonic;

	return (*m == 'j' && strcmp(m, "jmp")) || str_starts(m, "loop") || str_starts(m, "b.") ||
	       is_one_of(m, arm);
}

static bool is_plain_jump(const char *m)
{
	static const char *const jumps[] = { "jmp", "b", "br", "braa", "brab", NULL };

	return is_one_of(m, jumps);
}

static bool is_call(const char *m)
{
	static const char *const calls[] = { "call", "bl", "blr", "blraa", "blrab", NULL };

	return is_one_of(m, calls);
}

static bool is_return(const char *m)
{
	static const char *const returns[] = { "ret", "retq", "retaa", "retab", "iretq", NULL };

	return is_one_of(m, returns);
}

/* Functions that never return: behind their call other code begins. */
static bool never_returns(const char *target)
{
	static const char *const names[] = { "__stack_chk_fail",
					     "panic",
					     "__fortify_panic",
					     "rust_begin_unwind",
					     "__ubsan_handle_builtin_unreachable",
					     "rust_helper_BUG",
					     NULL };

	return target && (is_one_of(target, names) || str_starts(target, "core::panicking::") ||
			  str_starts(target, "core::option::unwrap_failed") ||
			  str_starts(target, "core::option::expect_failed") ||
			  str_starts(target, "core::result::unwrap_failed") ||
			  str_starts(target, "core::slice::index::"));
}

static bool ends_flow(const char *m)
{
	static const char *const ends[] = { "ud2", "ud1", "hlt", "udf", "int3", NULL };

	return is_one_of(m, ends);
}

/* The last number of an operand text: where a direct jump goes. */
static bool direct_target(const char *operands, unsigned long *to)
{
	const char *last = strrchr(operands, ' ');
	char *end;

	last = last ? last + 1 : operands;
	if (*last == '#')
		last++;
	if (!isdigit((unsigned char)*last))
		return false;
	*to = strtoul(last, &end, 0);
	return !*end;
}

static void classify(const struct disasm *d, const struct disasm_function *f,
		     struct disasm_insn *in)
{
	const struct disasm_function *to = disasm_at(d, in->to_section, in->to);
	bool inside = in->to >= 0 && !strcmp(in->to_section, f->section) &&
		      (unsigned long)in->to - f->start < f->size &&
		      (unsigned long)in->to >= f->start;
	bool cold_part = to && (to->cold || f->cold);

	in->jump =
		is_plain_jump(in->mnemonic) || is_return(in->mnemonic) || ends_flow(in->mnemonic);
	if (is_call(in->mnemonic)) {
		in->kind = in->target && !strcmp(in->target, "__fentry__") ? DISASM_OTHER :
									     DISASM_CALL;
		in->jump = never_returns(in->target);
	} else if (is_return(in->mnemonic) ||
		   (in->target && !strcmp(in->target, "__x86_return_thunk"))) {
		in->kind = DISASM_RETURN;
	} else if (is_conditional(in)) {
		in->kind = DISASM_BRANCH;
	} else if (is_plain_jump(in->mnemonic)) {
		/* also through a register: the kernel builds without tables of jumps */
		in->kind = inside || cold_part ? DISASM_BRANCH : DISASM_CALL;
	}
}

/* --- decoding --- */

/* What version 4 shows as numbers. */
static const char *hint_name(const char *operands)
{
	static const struct {
		const char *number, *name;
	} hints[] = { { "#0x19", "paciasp" }, { "#0x1d", "autiasp" }, { "#0x22", "bti c" },
		      { "#0x24", "bti j" },   { "#0x26", "bti jc" },  { "#0x14", "csdb" } };

	for (size_t i = 0; i < ARRAY_SIZE(hints); i++)
		if (!strcmp(hints[i].number, operands))
			return hints[i].name;
	return NULL;
}

static void set_target(struct disasm *d, struct disasm_function *f, const struct elf_section *s,
		       struct disasm_insn *in)
{
	unsigned long at = f->start + in->offset, to;
	const struct elf_reloc *r = reloc_in(s, at, in->size);
	bool transfer = is_plain_jump(in->mnemonic) || is_call(in->mnemonic) || is_conditional(in);

	in->to = -1;
	if (r) {
		long addend = r->addend;

		if (is_relative(d->image.machine, r->type))
			addend += at + in->size - r->offset;
		in->target = reloc_name(d, r, addend);
		if (transfer && r->section) {
			in->to_section = r->section;
			in->to = r->value + addend;
		}
	} else if (transfer && direct_target(in->operands, &to)) {
		in->to_section = s->name;
		in->to = to;
		if (to >= f->start && to - f->start < f->size) {
			/* the last operand alone is the place */
			char *last = strrchr(in->operands, ' ');
			_cleanup_free_ char *before = xstrndup(
				in->operands, last ? (size_t)(last + 1 - in->operands) : 0);

			free(in->operands);
			in->operands = xasprintf("%s+0x%lx", before, to - f->start);
			return;
		}
		in->target = place_name(d, s->name, to);
	}
	/* the number that stands for what a relocation will name says nothing */
	if (in->target && transfer && direct_target(in->operands, &to)) {
		char *last = strrchr(in->operands, ' ');

		*(last ? last + 1 : in->operands) = '\0';
	}
}

static struct disasm_insn *add_insn(struct disasm_function *f, unsigned long offset,
				    unsigned int size)
{
	f->insns = xrealloc(f->insns, f->n + 1, sizeof(*f->insns));
	f->insns[f->n] =
		(struct disasm_insn){ .offset = offset, .size = size, .depth = NOT_SEEN, .to = -1 };
	return &f->insns[f->n++];
}

static void free_insn(struct disasm_insn *in)
{
	free(in->mnemonic);
	free(in->operands);
	free(in->target);
}

static void decode(struct disasm *d, csh handle, cs_insn *buffer, struct disasm_function *f)
{
	const struct elf_section *s = elf_image_section(&d->image, f->section);
	const uint8_t *code;
	uint64_t address = f->start;
	size_t left;

	if (!s || !s->bytes || f->start >= s->n)
		return;
	left = s->n - f->start < f->size ? s->n - f->start : f->size;
	code = s->bytes + f->start;
	while (left) {
		unsigned long offset = address - f->start;
		struct disasm_insn *in;
		const char *hint;

		if (!cs_disasm_iter(handle, &code, &left, &address, buffer)) {
			size_t step = d->image.machine == EM_X86_64 ? 1 : 4;

			step = step > left ? left : step;
			in = add_insn(f, offset, step);
			in->mnemonic = xstrdup("(unknown)");
			in->operands = step == 4 ? xasprintf("0x%02x%02x%02x%02x", code[3], code[2],
							     code[1], code[0]) :
						   xasprintf("0x%02x", *code);
			code += step;
			address += step;
			left -= step;
			continue;
		}
		in = add_insn(f, offset, buffer->size);
		hint = strcmp(buffer->mnemonic, "hint") ? NULL : hint_name(buffer->op_str);
		in->mnemonic = xstrdup(hint ? hint : buffer->mnemonic);
		in->operands = xstrdup(hint ? "" : buffer->op_str);
	}
	while (f->n && is_filler(f->insns[f->n - 1].mnemonic))
		free_insn(&f->insns[--f->n]);
}

/* --- registers --- */

/* The number of a general-purpose register by any of its names, or -1. */
static int amd64_register(const char *s, size_t n)
{
	static const char *const names[] = { "ax", "bx", "cx", "dx", "si", "di", "bp", "sp" };
	static const char *const low[] = { "al", "bl", "cl", "dl", "sil", "dil", "bpl", "spl" };
	static const char *const high[] = { "ah", "bh", "ch", "dh" };
	size_t wide = n == 3 && (*s == 'r' || *s == 'e') ? 1 : 0;

	for (int i = 0; i < 8; i++) {
		if (n == 2 + wide && !strncmp(s + wide, names[i], 2))
			return i;
		if (n == strlen(low[i]) && !strncmp(s, low[i], n))
			return i;
		if (i < 4 && n == 2 && !strncmp(s, high[i], 2))
			return i;
	}
	if (n >= 2 && *s == 'r' && isdigit((unsigned char)s[1])) {
		int number = atoi(s + 1);

		return number >= 8 && number <= 15 ? number : -1;
	}
	return -1;
}

static int arm64_register(const char *s, size_t n)
{
	if ((n == 2 && !strncmp(s, "sp", 2)) || (n == 3 && !strncmp(s, "wsp", 3)))
		return 31;
	if (n == 2 && !strncmp(s, "fp", 2))
		return 29;
	if (n == 2 && !strncmp(s, "lr", 2))
		return 30;
	if ((*s == 'x' || *s == 'w') && (n == 2 || n == 3) && isdigit((unsigned char)s[1]) &&
	    (n == 2 || isdigit((unsigned char)s[2])))
		return atoi(s + 1);
	return -1;
}

static unsigned int count_registers(const struct disasm *d, const struct disasm_function *f)
{
	unsigned long long seen = 0;

	for (size_t i = 0; i < f->n; i++) {
		const char *s = f->insns[i].operands;

		while (*s) {
			size_t n = 0;
			int r;

			while (isalnum((unsigned char)s[n]) || s[n] == '_')
				n++;
			if (n) {
				r = d->image.machine == EM_X86_64 ? amd64_register(s, n) :
								    arm64_register(s, n);
				if (r >= 0)
					seen |= 1ULL << r;
			}
			s += n ? n : 1;
		}
	}
	return __builtin_popcountll(seen);
}

/* --- stack --- */

/* struct effect - what an instruction does to the stack pointer */
struct effect {
	enum {
		STACK_SAME,
		STACK_MORE,	  /* by @n bytes, which may be negative */
		STACK_SAVE,	  /* the frame pointer is @n above the stack pointer */
		STACK_FROM_FRAME, /* the stack pointer is set @n below the frame pointer */
		STACK_UNKNOWN,
	} is;
	long n;
	const char *why;
};

#define WHY_DYNAMIC   "it takes a size that is known only when it runs"
#define WHY_ALIGN     "it aligns its stack"
#define WHY_LOOP      "it takes more in a loop"
#define WHY_UNREACHED "code that was not followed moves the stack pointer"
#define WHY_UNKNOWN   "it has instructions that the disassembler does not know"

/* What follows first, as a number: "0x18", "#-0x10", "8"; false: it is none. */
static bool read_number(const char *s, long *n)
{
	char *end;

	s += strspn(s, " #");
	if (!isdigit((unsigned char)*s) && *s != '-')
		return false;
	*n = strtol(s, &end, 0);
	return end > s;
}

/* "rsp, [rbp - 0x10]": its base register and distance; false: it is more than that */
static bool read_address(const char *s, const char *base, long *n)
{
	const char *at = strchr(s, '[');
	size_t len = strlen(base);
	long sign;

	*n = 0;
	if (!at || strncmp(at + 1, base, len))
		return false;
	at += 1 + len;
	if (*at == ']')
		return true;
	sign = strstr(at, "- ") == at + 1 ? -1 : 1;
	if (strncmp(at, " + ", 3) && strncmp(at, " - ", 3))
		return false;
	if (!read_number(at + 3, n))
		return false;
	*n *= sign;
	return strchr(at, '*') == NULL;
}

static struct effect amd64_effect(const struct disasm_insn *in)
{
	const char *m = in->mnemonic, *o = in->operands;
	long n;

	if (str_starts(m, "push"))
		return (struct effect){ STACK_MORE, 8, NULL };
	if (str_starts(m, "pop") && strcmp(m, "popcnt"))
		return strcmp(o, "rsp") ? (struct effect){ STACK_MORE, -8, NULL } :
					  (struct effect){ STACK_UNKNOWN, 0, WHY_DYNAMIC };
	if (!strcmp(m, "leave"))
		return (struct effect){ STACK_FROM_FRAME, -8, NULL };
	if (!strcmp(m, "mov") && !strcmp(o, "rbp, rsp"))
		return (struct effect){ STACK_SAVE, 0, NULL };
	if (!str_starts(o, "rsp,") || !strcmp(m, "cmp") || !strcmp(m, "test"))
		return (struct effect){};
	o += 4;
	if (!strcmp(m, "sub") && read_number(o, &n))
		return (struct effect){ STACK_MORE, n, NULL };
	if (!strcmp(m, "add") && read_number(o, &n))
		return (struct effect){ STACK_MORE, -n, NULL };
	if (!strcmp(m, "and"))
		return (struct effect){ STACK_UNKNOWN, 0, WHY_ALIGN };
	if (!strcmp(m, "mov") && !strcmp(o, " rbp"))
		return (struct effect){ STACK_FROM_FRAME, 0, NULL };
	if (!strcmp(m, "lea") && read_address(o, "rsp", &n))
		return (struct effect){ STACK_MORE, -n, NULL };
	if (!strcmp(m, "lea") && read_address(o, "rbp", &n))
		return (struct effect){ STACK_FROM_FRAME, -n, NULL };
	return (struct effect){ STACK_UNKNOWN, 0, WHY_DYNAMIC };
}

/* "sp, #0x10" and "sp, #1, lsl #12" */
static bool arm64_immediate(const char *o, long *n)
{
	const char *shift = strstr(o, "lsl #");

	if (!read_number(o, n))
		return false;
	if (shift)
		*n <<= atoi(shift + strlen("lsl #"));
	return true;
}

/*
 * A frame that is too large for an instruction's number: "mov x12, #0x2350", perhaps "movk x12, #1, lsl #16", and
 * then "sub sp, sp, x12". @in is the last of them.
 */
static bool arm64_register_value(const struct disasm_insn *first, const struct disasm_insn *in,
				 long *value)
{
	const char *name = in->operands + strlen("sp, sp, ");
	size_t n = strlen(name);
	long high = 0, part;

	while (in-- > first) {
		if (strncmp(in->operands, name, n) || in->operands[n] != ',')
			continue;
		if (!arm64_immediate(in->operands + n + 1, &part))
			return false;
		if (!strcmp(in->mnemonic, "mov") || !strcmp(in->mnemonic, "movz")) {
			*value = part + high;
			return true;
		}
		if (strcmp(in->mnemonic, "movk"))
			return false;
		high += part;
	}
	return false;
}

static struct effect arm64_effect(const struct disasm_insn *first, const struct disasm_insn *in)
{
	const char *m = in->mnemonic, *o = in->operands, *at = strstr(o, "[sp");
	bool load = str_starts(m, "ld"), store = str_starts(m, "st");
	long n;

	if ((load || store) && at) {
		const char *close = strchr(at, ']');

		if (close && close[1] == '!' && read_number(at + strlen("[sp,"), &n))
			return (struct effect){ STACK_MORE, -n, NULL };
		if (close && close[1] == ',' && read_number(close + 2, &n))
			return (struct effect){ STACK_MORE, -n, NULL };
		return close && close[1] ? (struct effect){ STACK_UNKNOWN, 0, WHY_DYNAMIC } :
					   (struct effect){};
	}
	if (!strcmp(m, "mov") && !strcmp(o, "x29, sp"))
		return (struct effect){ STACK_SAVE, 0, NULL };
	if (!strcmp(m, "add") && str_starts(o, "x29, sp, ") &&
	    arm64_immediate(o + strlen("x29, sp, "), &n))
		return (struct effect){ STACK_SAVE, n, NULL };
	if (!str_starts(o, "sp, ") || !strcmp(m, "cmp") || !strcmp(m, "tst"))
		return (struct effect){};
	if (!strcmp(m, "sub") && str_starts(o, "sp, sp, ") && arm64_immediate(o + 8, &n))
		return (struct effect){ STACK_MORE, n, NULL };
	if (!strcmp(m, "add") && str_starts(o, "sp, sp, ") && arm64_immediate(o + 8, &n))
		return (struct effect){ STACK_MORE, -n, NULL };
	if (!strcmp(m, "sub") && str_starts(o, "sp, sp, x") && arm64_register_value(first, in, &n))
		return (struct effect){ STACK_MORE, n, NULL };
	if (!strcmp(m, "add") && str_starts(o, "sp, sp, x") && arm64_register_value(first, in, &n))
		return (struct effect){ STACK_MORE, -n, NULL };
	if (!strcmp(m, "sub") && str_starts(o, "sp, x29, ") && arm64_immediate(o + 9, &n))
		return (struct effect){ STACK_FROM_FRAME, n, NULL };
	if (!strcmp(m, "mov") && !strcmp(o, "sp, x29"))
		return (struct effect){ STACK_FROM_FRAME, 0, NULL };
	if (!strcmp(m, "and"))
		return (struct effect){ STACK_UNKNOWN, 0, WHY_ALIGN };
	return (struct effect){ STACK_UNKNOWN, 0, WHY_DYNAMIC };
}

/* struct walk - all ways through a function and its cold part */
struct walk {
	const struct disasm *d;
	const struct disasm_function *parts[2]; /* the function; its cold part or NULL */
	long *depth[2];				/* before each instruction */
	long *frame[2];				/* where the frame pointer was set */
	bool *by_call[2];			/* reached behind a call, which may not return */
	struct work {
		int part;
		size_t index;
	} * work;
	size_t n;
	long most;
	const char *why;
};

static void visit(struct walk *w, int part, size_t i, long depth, long frame, bool by_call)
{
	long *at;

	if (i >= w->parts[part]->n)
		return;
	at = &w->depth[part][i];
	if (*at != NOT_SEEN) {
		/* code of its own may begin behind a call that does not return: that way is no way */
		if (*at != depth && !by_call && !w->by_call[part][i] && !w->why)
			w->why = WHY_LOOP;
		return;
	}
	*at = depth;
	w->frame[part][i] = frame;
	w->by_call[part][i] = by_call;
	w->work = xrealloc(w->work, w->n + 1, sizeof(*w->work));
	w->work[w->n++] = (struct work){ part, i };
}

static void visit_place(struct walk *w, const struct disasm_insn *in, long depth, long frame)
{
	for (int p = 0; p < 2; p++) {
		const struct disasm_function *f = w->parts[p];

		if (!f || in->to < 0 || strcmp(f->section, in->to_section) ||
		    (unsigned long)in->to < f->start || (unsigned long)in->to - f->start >= f->size)
			continue;
		for (size_t i = 0; i < f->n; i++)
			if (f->start + f->insns[i].offset == (unsigned long)in->to)
				visit(w, p, i, depth, frame, false);
		return;
	}
}

static struct effect effect_of(const struct disasm *d, const struct disasm_function *f, size_t i)
{
	return d->image.machine == EM_X86_64 ? amd64_effect(&f->insns[i]) :
					       arm64_effect(f->insns, &f->insns[i]);
}

static void step(struct walk *w, int part, size_t i)
{
	const struct disasm_insn *in = &w->parts[part]->insns[i];
	long depth = w->depth[part][i], frame = w->frame[part][i];
	struct effect e = effect_of(w->d, w->parts[part], i);

	/* of arm64 an old capstone does not know atomics and the like, which leave the stack pointer alone */
	if (!strcmp(in->mnemonic, "(unknown)") && w->d->image.machine == EM_X86_64)
		e = (struct effect){ STACK_UNKNOWN, 0, WHY_UNKNOWN };
	switch (e.is) {
	case STACK_SAME:
		break;
	case STACK_MORE:
		depth += e.n;
		break;
	case STACK_SAVE:
		frame = depth - e.n;
		break;
	case STACK_FROM_FRAME:
		if (frame == NOT_SEEN && !w->why)
			w->why = WHY_DYNAMIC;
		depth = frame + e.n;
		break;
	case STACK_UNKNOWN:
		if (!w->why)
			w->why = e.why;
		break;
	}
	if (depth > w->most)
		w->most = depth;
	/* below zero it is no longer understood; -1 must stay what it means */
	if (depth < 0) {
		if (!w->why)
			w->why = WHY_DYNAMIC;
		depth = 0;
	}
	if (in->kind == DISASM_BRANCH)
		visit_place(w, in, depth, frame);
	if (!in->jump)
		visit(w, part, i + 1, depth, frame, in->kind == DISASM_CALL);
}

/* What no way was found to must not matter. */
static void check_unreached(struct walk *w, int part)
{
	const struct disasm_function *f = w->parts[part];

	for (size_t i = 0; i < f->n && !w->why; i++) {
		struct effect e = effect_of(w->d, f, i);

		if (w->depth[part][i] == NOT_SEEN &&
		    ((e.is == STACK_MORE && e.n > 0) || e.is == STACK_UNKNOWN))
			w->why = WHY_UNREACHED;
	}
}

static void find_stack(const struct disasm *d, struct disasm_function *f,
		       struct disasm_function *cold)
{
	struct disasm_function *parts[2] = { f, cold };
	struct walk w = { .d = d, .parts = { f, cold } };

	for (int p = 0; p < 2 && w.parts[p]; p++) {
		size_t n = w.parts[p]->n;

		w.depth[p] = xcalloc(n + 1, sizeof(long));
		w.frame[p] = xcalloc(n + 1, sizeof(long));
		w.by_call[p] = xcalloc(n + 1, sizeof(bool));
		for (size_t i = 0; i < n; i++)
			w.depth[p][i] = NOT_SEEN;
	}
	visit(&w, 0, 0, 0, NOT_SEEN, false);
	while (w.n) {
		struct work at = w.work[--w.n];

		step(&w, at.part, at.index);
	}
	for (int p = 0; p < 2 && w.parts[p]; p++) {
		check_unreached(&w, p);
		for (size_t i = 0; i < parts[p]->n; i++)
			parts[p]->insns[i].depth = w.depth[p][i];
		free(w.depth[p]);
		free(w.frame[p]);
		free(w.by_call[p]);
	}
	free(w.work);
	f->stack = w.why ? -1 : w.most;
	f->stack_why = w.why ? xstrdup(w.why) : NULL;
}

/* --- the whole object --- */

static void add_callee(struct disasm_function *f, size_t callee, long depth)
{
	for (size_t i = 0; i < f->n_callees; i++)
		if (f->callees[i].function == callee) {
			if (depth > f->callees[i].depth)
				f->callees[i].depth = depth;
			return;
		}
	f->callees = xrealloc(f->callees, f->n_callees + 1, sizeof(*f->callees));
	f->callees[f->n_callees++] = (struct disasm_callee){ callee, depth };
}

/* What a function, or the part of it that lies elsewhere, calls. A jump to another function leaves nothing behind. */
static void add_callees(struct disasm *d, struct disasm_function *f,
			const struct disasm_function *part)
{
	for (size_t i = 0; part && i < part->n; i++) {
		const struct disasm_insn *in = &part->insns[i];
		const struct disasm_function *to =
			in->kind == DISASM_CALL ? disasm_at(d, in->to_section, in->to) : NULL;
		bool pushes = is_call(in->mnemonic) && d->image.machine == EM_X86_64;

		if (to && to != f && to != part)
			add_callee(f, to - d->functions, in->depth + (pushes ? 8 : 0));
	}
}

static void count(struct disasm *d, struct disasm_function *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct disasm_insn *in = &f->insns[i];

		classify(d, f, in);
		f->branches += in->kind == DISASM_BRANCH;
		f->calls += in->kind == DISASM_CALL;
		f->returns += in->kind == DISASM_RETURN;
	}
	f->registers = count_registers(d, f);
}

static struct disasm_function *cold_part(const struct disasm *d, const struct disasm_function *f)
{
	_cleanup_free_ char *name = xasprintf("%s.cold", f->name);
	const struct disasm_function *cold = disasm_find(d, name);

	return cold ? &d->functions[cold - d->functions] : NULL;
}

static int open_capstone(unsigned int machine, csh *handle)
{
	cs_err err = CS_ERR_ARCH;

	if (machine == EM_X86_64)
		err = cs_open(CS_ARCH_X86, CS_MODE_64, handle);
	else if (machine == EM_AARCH64)
		err = cs_open(CS_ARCH_ARM64, CS_MODE_LITTLE_ENDIAN, handle);
	return err == CS_ERR_OK ? 0 : -ENOTSUP;
}

static void take_symbols(struct disasm *d, struct elf_symbol *symbols, size_t n)
{
	d->functions = xcalloc(n, sizeof(*d->functions));
	d->n = n;
	for (size_t i = 0; i < n; i++) {
		struct disasm_function *f = &d->functions[i];

		f->name = xstrdup(symbols[i].name);
		f->shown = demangle(f->name);
		f->section = xstrdup(symbols[i].section);
		f->start = symbols[i].section_offset;
		f->size = symbols[i].size;
		f->cold = str_ends(f->name, ".cold");
		f->stack = -1;
	}
}

int disasm_open(const char *ko, struct disasm *d)
{
	struct elf_symbol *symbols = NULL;
	cs_insn *buffer;
	size_t n = 0;
	csh handle;
	int ret;

	*d = (struct disasm){};
	ret = elf_image_open(ko, &d->image);
	if (!ret)
		ret = elf_functions(ko, &symbols, &n);
	if (!ret)
		ret = open_capstone(d->image.machine, &handle);
	if (ret) {
		elf_functions_free(symbols, n);
		return ret;
	}
	take_symbols(d, symbols, n);
	elf_functions_free(symbols, n);
	buffer = cs_malloc(handle);
	for (size_t i = 0; i < d->n; i++)
		decode(d, handle, buffer, &d->functions[i]);
	for (size_t i = 0; i < d->n; i++) {
		struct disasm_function *f = &d->functions[i];
		const struct elf_section *s = elf_image_section(&d->image, f->section);

		for (size_t k = 0; k < f->n; k++)
			set_target(d, f, s, &f->insns[k]);
	}
	for (size_t i = 0; i < d->n; i++)
		count(d, &d->functions[i]);
	for (size_t i = 0; i < d->n; i++) {
		struct disasm_function *f = &d->functions[i], *cold = cold_part(d, f);

		if (f->cold)
			continue;
		find_stack(d, f, cold);
		add_callees(d, f, f);
		add_callees(d, f, cold);
	}
	cs_free(buffer, 1);
	cs_close(&handle);
	return 0;
}

void disasm_free(struct disasm *d)
{
	for (size_t i = 0; i < d->n; i++) {
		struct disasm_function *f = &d->functions[i];

		for (size_t k = 0; k < f->n; k++)
			free_insn(&f->insns[k]);
		free(f->insns);
		free(f->name);
		free(f->shown);
		free(f->section);
		free(f->stack_why);
		free(f->callees);
	}
	free(d->functions);
	elf_image_free(&d->image);
	*d = (struct disasm){};
}

/* The deepest way down from a function; @on_way: those above it. */
static long deepest(const struct disasm *d, size_t i, bool *on_way, struct strv *chain)
{
	const struct disasm_function *f = &d->functions[i];
	long most = f->stack;
	struct strv best = {};

	if (f->stack < 0 || on_way[i]) /* a recursion has no depth */
		return -1;
	on_way[i] = true;
	for (size_t k = 0; k < f->n_callees && most >= 0; k++) {
		const struct disasm_callee *c = &f->callees[k];
		struct strv way = {};
		long n = deepest(d, c->function, on_way, &way);

		if (n < 0) {
			most = -1;
		} else if (c->depth + n > most) {
			most = c->depth + n;
			strv_free(&best);
			best = way;
			way = (struct strv){};
		}
		strv_free(&way);
	}
	on_way[i] = false;
	strv_add(chain, f->shown);
	for (size_t k = 0; k < best.n; k++)
		strv_add(chain, best.v[k]);
	strv_free(&best);
	return most;
}

static void reach(const struct disasm *d, size_t i, bool *seen, struct disasm_reach *r)
{
	const struct disasm_function *f = &d->functions[i], *cold = cold_part(d, f);

	if (seen[i])
		return;
	seen[i] = true;
	r->functions += !f->cold;
	r->instructions += f->n;
	if (cold)
		reach(d, cold - d->functions, seen, r);
	for (size_t k = 0; k < f->n_callees; k++)
		reach(d, f->callees[k].function, seen, r);
}

void disasm_reach(const struct disasm *d, const struct disasm_function *f, struct disasm_reach *r)
{
	bool *marks = xcalloc(d->n, sizeof(*marks));

	*r = (struct disasm_reach){};
	reach(d, f - d->functions, marks, r);
	memset(marks, 0, d->n * sizeof(*marks));
	r->stack = deepest(d, f - d->functions, marks, &r->chain);
	free(marks);
}
