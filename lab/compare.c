// SPDX-License-Identifier: GPL-2.0
#include "compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- hardening --- */

/* struct protection - how code shows that it is protected */
struct protection {
	const char *name;
	const char *arch;	     /* or NULL: any */
	const char *configs[4];	     /* the first is its name where none is set */
	const char *symbol;	     /* a reference to what begins so, or NULL */
	const char *sections[2];     /* or a list of places in the code */
	const char *beside;	     /* or a symbol of that prefix and the function's name */
	const char *instructions[3]; /* or one of these in it, "mnemonic operands" */
};

static const struct protection protections[] = {
	{ .name = "stack protector",
	  .configs = { "CONFIG_STACKPROTECTOR_STRONG", "CONFIG_STACKPROTECTOR" },
	  .symbol = "__stack_chk_fail" },
	/* on amd64 the patchable entries are the padding before functions, and no hooks */
	{ .name = "function tracing",
	  .arch = "amd64",
	  .configs = { "CONFIG_FUNCTION_TRACER" },
	  .symbol = "__fentry__",
	  .sections = { "__mcount_loc" } },
	{ .name = "function tracing",
	  .arch = "arm64",
	  .configs = { "CONFIG_FUNCTION_TRACER" },
	  .sections = { "__patchable_function_entries" } },
	{ .name = "undefined behaviour (UBSAN)",
	  .configs = { "CONFIG_UBSAN" },
	  .symbol = "__ubsan_handle_" },
	{ .name = "fortified copies",
	  .configs = { "CONFIG_FORTIFY_SOURCE" },
	  .symbol = "__fortify_panic" },
	{ .name = "user copies checked",
	  .configs = { "CONFIG_HARDENED_USERCOPY" },
	  .symbol = "__check_object_size" },
	{ .name = "Rust checks that panic",
	  .configs = { "CONFIG_RUST_OVERFLOW_CHECKS" },
	  .symbol = "core::panicking::" },
	{ .name = "control flow (CFI)",
	  .configs = { "CONFIG_CFI", "CONFIG_CFI_CLANG" },
	  .beside = "__cfi_" },
	{ .name = "indirect branch tracking",
	  .arch = "amd64",
	  .configs = { "CONFIG_X86_KERNEL_IBT" },
	  .instructions = { "endbr64" } },
	{ .name = "retpolines",
	  .arch = "amd64",
	  .configs = { "CONFIG_MITIGATION_RETPOLINE", "CONFIG_RETPOLINE" },
	  .symbol = "__x86_indirect_thunk_",
	  .sections = { ".retpoline_sites" } },
	{ .name = "return thunks",
	  .arch = "amd64",
	  .configs = { "CONFIG_MITIGATION_RETHUNK", "CONFIG_RETHUNK" },
	  .symbol = "__x86_return_thunk",
	  .sections = { ".return_sites" } },
	{ .name = "call depth padding",
	  .arch = "amd64",
	  .configs = { "CONFIG_CALL_PADDING" },
	  .beside = "__pfx_" },
	{ .name = "pointer authentication",
	  .arch = "arm64",
	  .configs = { "CONFIG_ARM64_PTR_AUTH_KERNEL" },
	  .instructions = { "paciasp" } },
	{ .name = "branch targets (BTI)",
	  .arch = "arm64",
	  .configs = { "CONFIG_ARM64_BTI_KERNEL" },
	  .instructions = { "bti c", "bti j", "bti jc" } },
	{ .name = "shadow call stack",
	  .arch = "arm64",
	  .configs = { "CONFIG_SHADOW_CALL_STACK" },
	  .instructions = { "str x30, [x18], #8" } },
};

static bool calls_what_begins(const struct disasm_function *f, const char *symbol)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->insns[i].target && str_starts(f->insns[i].target, symbol))
			return true;
	return false;
}

#define BEFORE 16 /* bytes of filler before a function that may be a place of its, as on arm64 */

/* Whether a table of places has one in the function, or right before it: its relocations say which. */
static bool is_listed(const struct disasm *d, const struct disasm_function *f, const char *table)
{
	for (size_t k = 0; k < d->image.n; k++) {
		const struct elf_section *s = &d->image.sections[k];

		for (size_t i = 0; !strcmp(s->name, table) && i < s->n_relocs; i++) {
			const struct elf_reloc *r = &s->relocs[i];
			unsigned long at = r->value + r->addend;

			if (disasm_at(d, r->section, at) == f)
				return true;
			if (r->section && !strcmp(r->section, f->section) && at < f->start &&
			    f->start - at <= BEFORE && !disasm_at(d, r->section, at))
				return true;
		}
	}
	return false;
}

static bool has_beside(const struct disasm *d, const struct disasm_function *f, const char *prefix)
{
	_cleanup_free_ char *name = xasprintf("%s%s", prefix, f->name);

	return strv_has(&d->image.names, name);
}

static bool has_instruction(const struct disasm_function *f, const char *const *list)
{
	for (size_t i = 0; i < f->n; i++) {
		_cleanup_free_ char *text =
			xasprintf("%s%s%s", f->insns[i].mnemonic, *f->insns[i].operands ? " " : "",
				  f->insns[i].operands);

		for (size_t k = 0; k < 3 && list[k]; k++)
			if (!strcmp(text, list[k]))
				return true;
	}
	return false;
}

static bool is_protected(const struct disasm *d, const struct disasm_function *f,
			 const struct protection *p)
{
	return (p->symbol && calls_what_begins(f, p->symbol)) ||
	       (p->sections[0] && is_listed(d, f, p->sections[0])) ||
	       (p->sections[1] && is_listed(d, f, p->sections[1])) ||
	       (p->beside && has_beside(d, f, p->beside)) ||
	       (p->instructions[0] && has_instruction(f, p->instructions));
}

/* A part that was moved away speaks for the function that it is of. */
static bool is_protected_whole(const struct disasm *d, const struct disasm_function *f,
			       const struct protection *p)
{
	_cleanup_free_ char *name = xasprintf("%s.cold", f->name);
	const struct disasm_function *cold = disasm_find(d, name);

	return is_protected(d, f, p) || (cold && is_protected(d, cold, p));
}

struct hardening *hardening_find(const struct disasm *d, const struct kernel *k, size_t *n)
{
	struct hardening *list = xcalloc(ARRAY_SIZE(protections), sizeof(*list));

	*n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(protections); i++) {
		const struct protection *p = &protections[i];
		struct hardening h = { .name = p->name, .config = p->configs[0], .set = 'n' };

		if (p->arch && strcmp(p->arch, k->arch->name))
			continue;
		for (size_t c = 0; p->configs[c] && h.set == 'n'; c++) {
			h.set = kernel_config(k, p->configs[c]);
			if (h.set != 'n')
				h.config = p->configs[c];
		}
		for (size_t f = 0; f < d->n; f++)
			h.functions +=
				!d->functions[f].cold && is_protected_whole(d, &d->functions[f], p);
		list[(*n)++] = h;
	}
	return list;
}

/* --- an object --- */

void object_facts_read(const struct kernel *k, const struct built *b, const struct module *m,
		       struct object_facts *o)
{
	struct stat st;

	*o = (struct object_facts){ .kernel = k, .built = b, .module = m };
	elf_module_sizes(m->ko, &o->sizes);
	o->file = stat(m->ko, &st) ? 0 : st.st_size;
	o->code_error = disasm_open(m->ko, &o->code);
	o->functions = o->code_error ? o->sizes.functions : disasm_count(&o->code);
	if (!o->code_error)
		o->hardening = hardening_find(&o->code, k, &o->n_hardening);
	source_read(b->driver, m->name, &o->source);
}

void object_facts_free(struct object_facts *o)
{
	disasm_free(&o->code);
	free(o->hardening);
	source_free(&o->source);
	*o = (struct object_facts){};
}

const char *object_language(const struct object_facts *o)
{
	return o->source.rust ? "Rust" : "C";
}

void object_stack(const struct disasm *d, struct object_stack *s)
{
	*s = (struct object_stack){ .bytes = -1 };
	for (size_t i = 0; i < d->n; i++) {
		const struct disasm_function *f = &d->functions[i];
		struct disasm_reach r;

		if (f->cold)
			continue;
		s->unknown += f->stack < 0;
		if (f->stack >= 0 && (!s->deepest || f->stack > s->deepest->stack))
			s->deepest = f;
		disasm_reach(d, f, &r);
		if (r.stack > s->bytes) {
			strv_free(&s->chain);
			s->chain = r.chain;
			s->bytes = r.stack;
		} else {
			strv_free(&r.chain);
		}
	}
}

/* --- matching functions --- */

/* What a module's functions are for: those that the kernel calls. */
static const struct {
	const char *role, *names[4];
} roles[] = {
	{ "init", { "init", "init_module" } },
	{ "exit", { "exit", "cleanup_module" } },
	{ "open", { "open" } },
	{ "release", { "release" } },
	{ "read", { "read", "read_iter" } },
	{ "write", { "write", "write_iter" } },
	{ "ioctl", { "ioctl", "unlocked_ioctl" } },
	{ "compat_ioctl", { "compat_ioctl" } },
	{ "poll", { "poll" } },
	{ "llseek", { "llseek" } },
	{ "mmap", { "mmap" } },
	{ "splice_read", { "splice_read" } },
	{ "fasync", { "fasync" } },
	{ "show_fdinfo", { "show_fdinfo" } },
};

/* The last part of a path of Rust, before its generic arguments: ioctl of <A<B>>::ioctl::<C>. */
static char *last_part(const char *shown)
{
	const char *start = shown, *end = NULL;
	int depth = 0;

	for (const char *s = shown; *s; s++) {
		if (*s == '<') {
			if (!depth && s >= start + 2 && s[-1] == ':')
				end = s - 2;
			depth++;
		} else if (*s == '>' && s > shown && s[-1] != '-') {
			depth--;
		} else if (!depth && s[0] == ':' && s[1] == ':' && s[2] != '<') {
			start = s + 2;
			end = NULL;
			s++;
		}
	}
	return end && end > start ? xstrndup(start, end - start) : xstrdup(start);
}

const char *function_role(const char *shown)
{
	_cleanup_free_ char *name = last_part(shown);
	size_t best = 0;
	const char *role = NULL;

	/* the longest name that fits: compat_ioctl before ioctl */
	for (size_t r = 0; r < ARRAY_SIZE(roles); r++)
		for (size_t i = 0; i < 4 && roles[r].names[i]; i++) {
			const char *want = roles[r].names[i];
			size_t n = strlen(want), len = strlen(name);

			if (n > best && len >= n && !strcmp(name + len - n, want) &&
			    (len == n || name[len - n - 1] == '_')) {
				best = n;
				role = roles[r].role;
			}
		}
	return role;
}

/* Which one of several with a role the kernel calls: an entry of a table of operations, else the first. */
static int rank(const struct disasm_function *f)
{
	if (strstr(f->shown, "MiscdeviceVTable"))
		return 0;
	if (!strcmp(f->name, "init_module") || !strcmp(f->name, "cleanup_module"))
		return 0;
	return str_starts(f->section, ".init") || str_starts(f->section, ".exit") ? 1 : 2;
}

static bool is_in_data(const struct disasm *d, const struct disasm_function *f)
{
	for (size_t s = 0; s < d->image.n; s++) {
		const struct elf_section *sec = &d->image.sections[s];

		if (!str_starts(sec->name, ".data") && !str_starts(sec->name, ".rodata"))
			continue;
		for (size_t i = 0; i < sec->n_relocs; i++) {
			const struct elf_reloc *r = &sec->relocs[i];

			if (disasm_at(d, r->section, r->value + r->addend) == f &&
			    r->value + r->addend == f->start)
				return true;
		}
	}
	return false;
}

static const struct disasm_function *with_role(const struct disasm *d, const char *role)
{
	const struct disasm_function *best = NULL;
	int best_rank = 0;

	for (size_t i = 0; i < d->n; i++) {
		const struct disasm_function *f = &d->functions[i];
		const char *is = f->cold ? NULL : function_role(f->shown);
		int r;

		if (!is || strcmp(is, role))
			continue;
		/* a table of operations is what the kernel calls through */
		r = 2 * rank(f) - (is_in_data(d, f) ? 3 : 0);
		if (!best || r < best_rank) {
			best = f;
			best_rank = r;
		}
	}
	return best;
}

bool is_paired(const struct function_pair *pairs, size_t n, const struct disasm_function *f)
{
	for (size_t i = 0; i < n; i++)
		if (pairs[i].a == f || pairs[i].b == f || pairs[i].a_entry == f ||
		    pairs[i].b_entry == f)
			return true;
	return false;
}

/* The kernel's table of operations may have a function that only calls the one that the person wrote. */
static const struct disasm_function *
behind_entry(const struct disasm *d, const struct disasm_function *entry, const char *role)
{
	for (size_t i = 0; entry && i < entry->n_callees; i++) {
		const struct disasm_function *f = &d->functions[entry->callees[i].function];
		const char *is = function_role(f->shown);

		if (is && !strcmp(is, role) && f->n > entry->n)
			return f;
	}
	return entry;
}

struct function_pair *match_functions(const struct disasm *a, const struct disasm *b, size_t *n)
{
	struct function_pair *pairs = xcalloc(ARRAY_SIZE(roles) + a->n, sizeof(*pairs));

	*n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		struct function_pair p = { .role = roles[i].role,
					   .a_entry = with_role(a, roles[i].role),
					   .b_entry = b ? with_role(b, roles[i].role) : NULL };

		p.a = behind_entry(a, p.a_entry, p.role);
		p.b = b ? behind_entry(b, p.b_entry, p.role) : NULL;
		if (p.a || p.b)
			pairs[(*n)++] = p;
	}
	/* others have their names alone: those of the same name in both, or all of them where there is one object */
	for (size_t i = 0; i < a->n; i++) {
		const struct disasm_function *f = &a->functions[i];
		const struct disasm_function *g = b ? disasm_find(b, f->name) : NULL;
		bool had = false;

		for (size_t k = 0; k < *n; k++)
			had |= is_paired(&pairs[k], 1, f) || (g && is_paired(&pairs[k], 1, g));
		if (!had && !f->cold && (g || !b))
			pairs[(*n)++] = (struct function_pair){ f->shown, f, g, f, g };
	}
	return pairs;
}

bool pair_is_meant(const struct function_pair *p, const char *function)
{
	const struct disasm_function *all[] = { p->a, p->b, p->a_entry, p->b_entry };

	if (!function || !strcmp(p->role, function))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i] && (!strcmp(all[i]->name, function) || !strcmp(all[i]->shown, function)))
			return true;
	return false;
}

/* --- side by side --- */

char *insn_text(const struct disasm_insn *in)
{
	_cleanup_free_ char *text = xasprintf("%s %s", in->mnemonic, in->operands);

	return xstrdup(str_trim(text));
}

char *insn_source(const struct module *m, const struct disasm_function *f,
		  const struct disasm_insn *in)
{
	char *where = NULL, *colon;

	elf_source_line(m->debug_ko, f->name, in->offset, &where);
	colon = where ? strchr(where, ':') : NULL;
	/* line 0: the compiler says of no line that it is this instruction's */
	if (colon && atoi(colon + 1) == 0) {
		free(where);
		where = NULL;
	}
	return where;
}

static bool same_instruction(const struct disasm_insn *a, const struct disasm_insn *b)
{
	return !strcmp(a->mnemonic, b->mnemonic) && a->kind == b->kind;
}

struct asm_row *align_code(const struct disasm_function *a, const struct disasm_function *b,
			   size_t *n)
{
	size_t na = a ? a->n : 0, nb = b ? b->n : 0, i = 0, k = 0;
	struct asm_row *rows = xcalloc(na + nb + 1, sizeof(*rows));
	/* longest common subsequence of what is left from i and k on */
	unsigned int *best = xcalloc((na + 1) * (nb + 1), sizeof(*best));

	for (size_t x = na; x-- > 0;)
		for (size_t y = nb; y-- > 0;) {
			unsigned int down = best[(x + 1) * (nb + 1) + y];
			unsigned int right = best[x * (nb + 1) + y + 1];

			best[x * (nb + 1) + y] = same_instruction(&a->insns[x], &b->insns[y]) ?
							 best[(x + 1) * (nb + 1) + y + 1] + 1 :
						 down > right ? down :
								right;
		}
	*n = 0;
	while (i < na || k < nb) {
		bool same = i < na && k < nb && same_instruction(&a->insns[i], &b->insns[k]);
		bool left = i < na &&
			    (k >= nb || best[(i + 1) * (nb + 1) + k] >= best[i * (nb + 1) + k + 1]);
		struct asm_row r = { -1, -1 };

		if (same || left)
			r.a = i++;
		if (same || !left)
			r.b = k++;
		rows[(*n)++] = r;
	}
	free(best);
	return rows;
}

/* --- operations --- */

static const struct bench_op *op_of(const struct compare *c, int order, int side, const char *name)
{
	const struct bench *b = c->bench[order][side];

	return b ? bench_find_op(b, c->o[side].kernel, c->o[side].module->name, name) : NULL;
}

static bool same_figures(const struct bench_op *x, const struct bench_op *y)
{
	if (!x || !y)
		return x == y;
	/* of an operation that has no mode, its mean is all there is, and that is no integer */
	if (x->spread)
		return y->spread;
	if (x->instructions != y->instructions || x->own != y->own)
		return false;
	/* a split that is missing is a failure of its own, and says nothing about the figures */
	return !x->split || !y->split ||
	       (lround(x->in_module) == lround(y->in_module) &&
		lround(x->user) == lround(y->user) &&
		lround(x->kernel_rest) == lround(y->kernel_rest));
}

static void add_op(const struct compare *c, const char *name, struct compare_op **ops, size_t *n)
{
	struct compare_op op = { .agree = true };
	const struct bench_op *any = NULL;

	if (!strcmp(name, FLOOR_EMPTY))
		return;
	for (size_t i = 0; i < *n; i++)
		for (int side = 0; side < 2; side++)
			if ((*ops)[i].of[0][side] && !strcmp((*ops)[i].of[0][side]->name, name))
				return;
	for (int order = 0; order < 2; order++)
		for (int side = 0; side < 2; side++) {
			op.of[order][side] = op_of(c, order, side, name);
			any = any ?: op.of[order][side];
		}
	if (!any)
		return;
	op.module = any->module;
	for (int side = 0; side < 2; side++)
		op.agree &= same_figures(op.of[0][side], op.of[1][side]);
	*ops = xrealloc(*ops, *n + 1, sizeof(**ops));
	(*ops)[(*n)++] = op;
}

struct compare_op *compare_ops(const struct compare *c, size_t *n)
{
	struct compare_op *ops = NULL;

	*n = 0;
	for (int order = 0; order < 2; order++)
		for (int side = 0; side < 2; side++) {
			const struct bench *b = c->bench[order][side];

			for (size_t i = 0; b && i < b->n; i++)
				add_op(c, b->ops[i].name, &ops, n);
		}
	return ops;
}

bool compare_op_difference(const struct compare_op *op, double *difference, double *percent)
{
	const struct bench_op *a = op->of[0][0], *b = op->of[0][1];
	double x, y;

	if (!a || !b || a->spread != b->spread)
		return false;
	x = a->spread ? a->mean : a->instructions;
	y = b->spread ? b->mean : b->instructions;
	*difference = y - x;
	*percent = x != 0 ? 100 * (y - x) / x : 0;
	return true;
}

/* --- tests --- */

/* A module's own tests are all its jobs but these. */
static bool is_common_job(const char *name)
{
	return str_starts(name, "load") || str_starts(name, "unload") || !strcmp(name, "conform") ||
	       str_starts(name, "bench_");
}

static void add_counts(struct ktap_counts *to, struct ktap_counts c)
{
	to->passed += c.passed;
	to->failed += c.failed;
	to->skipped += c.skipped;
	to->timeout += c.timeout;
	to->crashed += c.crashed;
}

struct test_counts test_counts(const struct ktap *module)
{
	struct test_counts t = { .all = ktap_count(module) };

	for (size_t i = 0; i < module->n; i++) {
		struct ktap_counts c = ktap_count(module->children[i]);

		if (!strcmp(module->children[i]->name, "conform"))
			add_counts(&t.conform, c);
		else if (!is_common_job(module->children[i]->name))
			add_counts(&t.own, c);
	}
	return t;
}

const char *test_verdict(const struct test_counts *t)
{
	if (t->all.failed || t->all.timeout || t->all.crashed)
		return "FAIL";
	return t->all.passed ? "PASS" : "SKIP";
}
