// SPDX-License-Identifier: GPL-2.0
/*
 * Making a crash small. A guest runs hundreds of programs a second and booting one takes seconds: so all parts of up
 * to a few calls are tried in one guest, in the order of their size, and the first that crashes is the smallest.
 */
#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fuzz.h"

#define TRIES_MOST 3000
#define KEPT_MOST  3 /* arguments that stay as they were; else it is all of them */
#define ARGS_MOST  20

void fuzz_list_add(struct fuzz_list *l, const struct fuzz_prog *p)
{
	l->p = xrealloc(l->p, l->n + 1, sizeof(*l->p));
	l->p[l->n++] = *p;
}

void fuzz_list_free(struct fuzz_list *l)
{
	free(l->p);
	*l = (struct fuzz_list){};
}

void fuzz_list_text(const struct fuzz_list *l, struct buf *text)
{
	static char one[FUZZ_CALLS * FUZZ_LINE + 2];

	for (size_t i = 0; i < l->n; i++)
		buf_add(text, one, fuzz_prog_print(&l->p[i], one, sizeof(one)));
	buf_puts(text, "");
}

/* ---- Parts ---- */

static void add_part(const struct fuzz_prog *p, unsigned int mask, struct fuzz_list *out)
{
	struct fuzz_prog part = {};

	for (uint32_t i = 0; i < p->n; i++)
		if (mask & 1U << i)
			part.calls[part.n++] = p->calls[i];
	if (part.n)
		fuzz_list_add(out, &part);
}

/* Sets of that many bits out of n, in order. */
static void each_set(size_t n, size_t bits, unsigned int mask, size_t from,
		     void (*fn)(void *ctx, unsigned int mask), void *ctx)
{
	if (!bits) {
		fn(ctx, mask);
		return;
	}
	for (size_t i = from; i + bits <= n; i++)
		each_set(n, bits - 1, mask | 1U << i, i + 1, fn, ctx);
}

static size_t count_sets(size_t n, size_t bits)
{
	size_t sets = 1;

	for (size_t i = 0; i < bits; i++)
		sets = sets * (n - i) / (i + 1);
	return sets;
}

struct parts {
	const struct fuzz_prog *p;
	struct fuzz_list *out;
};

static void on_part(void *ctx, unsigned int mask)
{
	struct parts *parts = ctx;

	add_part(parts->p, mask, parts->out);
}

void fuzz_parts(const struct fuzz_prog *p, struct fuzz_list *out)
{
	struct parts parts = { p, out };
	size_t bits = 1;

	for (; bits < p->n && out->n + count_sets(p->n, bits) <= TRIES_MOST; bits++)
		each_set(p->n, bits, 0, 0, on_part, &parts);
	/* those that are nearly all of it */
	for (bits = bits > p->n - 1 ? p->n : p->n - 1; bits <= p->n; bits++)
		each_set(p->n, bits, 0, 0, on_part, &parts);
}

/* ---- Arguments ---- */

/* One that could be plainer: which, of which call. */
enum argument {
	THE_THREAD,
	THE_OTHER,
	THE_FLAGS,
	THE_ADDR,
	THE_SIZE,
	THE_POS,
	THE_WORD, /* and the next ones: words of the data */
};

static void make_plain(struct fuzz_call *c, unsigned int which)
{
	static const uint32_t flags[FUZZ_KINDS] = {
		[FUZZ_OPEN] = O_RDWR | O_NONBLOCK,
		[FUZZ_POLL] = POLLIN,
		[FUZZ_MMAP] = PROT_READ | PROT_WRITE | MAP_SHARED << 8,
	};

	switch (which) {
	case THE_THREAD:
		c->thread = 0;
		break;
	case THE_OTHER:
		c->other = 0;
		break;
	case THE_FLAGS:
		c->flags = flags[c->kind];
		break;
	case THE_ADDR:
		c->addr = FUZZ_ARENA;
		break;
	case THE_SIZE:
		c->size = c->kind == FUZZ_MMAP ? 4096 : 8;
		break;
	case THE_POS:
		c->pos = 0;
		break;
	default:
		memset(c->data + 4 * (which - THE_WORD), 0, 4);
	}
}

struct plain {
	const struct fuzz_prog *p;
	struct fuzz_list *out;
	struct {
		unsigned int call, which;
	} args[ARGS_MOST];
	size_t n;
};

/* Those of the mask stay. */
static void on_plain(void *ctx, unsigned int mask)
{
	struct plain *plain = ctx;
	struct fuzz_prog p = *plain->p;

	for (size_t i = 0; i < plain->n; i++)
		if (!(mask & 1U << i))
			make_plain(&p.calls[plain->args[i].call], plain->args[i].which);
	fuzz_list_add(plain->out, &p);
}

void fuzz_plain(const struct fuzz_prog *p, struct fuzz_list *out)
{
	struct plain plain = { .p = p, .out = out };

	for (uint32_t i = 0; i < p->n; i++) {
		for (unsigned int w = 0; w < THE_WORD + FUZZ_DATA / 4; w++) {
			struct fuzz_call c = p->calls[i];

			make_plain(&c, w);
			if (plain.n < ARGS_MOST && memcmp(&c, &p->calls[i], sizeof(c))) {
				plain.args[plain.n].call = i;
				plain.args[plain.n++].which = w;
			}
		}
	}
	for (size_t kept = 0; kept <= KEPT_MOST && kept < plain.n; kept++)
		each_set(plain.n, kept, 0, 0, on_plain, &plain);
	fuzz_list_add(out, p);
}

/* ---- Signatures ---- */

/* Numbers, but not those in names: function+0x1c, CPU#0, address 0000000000000010, task/123. */
static char *without_numbers(const char *s)
{
	struct buf b = {};

	buf_puts(&b, "");
	for (; *s; s++) {
		size_t n = strspn(s, "0123456789abcdefABCDEF");
		bool inside = b.n && (isalnum((unsigned char)b.s[b.n - 1]) || b.s[b.n - 1] == '_');

		if (!strncmp(s, "0x", 2) && !inside) {
			n = 2 + strspn(s + 2, "0123456789abcdefABCDEF");
		} else if (inside || !isdigit((unsigned char)*s) || isalnum((unsigned char)s[n]) ||
			   s[n] == '_') {
			/* a word of letters and digits, or a long address */
			if (inside || n < 8 || isalnum((unsigned char)s[n]) || s[n] == '_') {
				buf_add(&b, s, 1);
				continue;
			}
		}
		buf_puts(&b, "N");
		s += n - 1;
	}
	return b.s;
}

static const struct klog_finding *first_cause(const struct klog *log)
{
	const struct klog_finding *end = NULL;

	for (size_t i = 0; i < log->n; i++) {
		const struct klog_finding *f = &log->findings[i];

		if (klog_is_slowness(f))
			continue;
		if (f->kind != KLOG_PANIC && f->kind != KLOG_TAINT)
			return f;
		end = end ?: f;
	}
	return end;
}

char *fuzz_signature(const struct klog *log, const char *otherwise)
{
	const struct klog_finding *f = first_cause(log);
	_cleanup_free_ char *text = NULL;
	const char *where;

	if (!f)
		return otherwise ? without_numbers(otherwise) : NULL;
	text = without_numbers(f->headline);
	where = klog_module_function(f);
	return where ? xasprintf("%s: %s in %s", klog_kind_name(f->kind), text, where) :
		       xasprintf("%s: %s", klog_kind_name(f->kind), text);
}
