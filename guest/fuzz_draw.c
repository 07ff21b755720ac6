// SPDX-License-Identifier: GPL-2.0
/* Making programs, and changing them. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "draw.h"
#include "fuzz_guest.h"

/* Of those that a program is made of; the ioctls count only where there are any. */
static const unsigned char weights[FUZZ_KINDS] = {
	[FUZZ_OPEN] = 6,   [FUZZ_CLOSE] = 4,   [FUZZ_READ] = 14,     [FUZZ_WRITE] = 12,
	[FUZZ_PREAD] = 10, [FUZZ_PWRITE] = 10, [FUZZ_READV] = 4,     [FUZZ_WRITEV] = 4,
	[FUZZ_SEEK] = 8,   [FUZZ_POLL] = 4,    [FUZZ_IOCTL] = 40,    [FUZZ_MMAP] = 6,
	[FUZZ_MUNMAP] = 2, [FUZZ_TOUCH] = 4,   [FUZZ_SPLICE_IN] = 2, [FUZZ_SPLICE_OUT] = 2,
	[FUZZ_DUP] = 2,	   [FUZZ_FCNTL] = 2,   [FUZZ_FSYNC] = 1,     [FUZZ_TRUNCATE] = 1,
	[FUZZ_STAT] = 1,
};

static bool one_in(uint64_t *r, unsigned int n)
{
	return !draw_below(r, n);
}

static enum fuzz_kind draw_kind(uint64_t *r)
{
	unsigned int total = 0, at, i;

	for (i = 0; i < FUZZ_KINDS; i++)
		total += i == FUZZ_IOCTL && !conf.n_ioctls ? 4 : weights[i];
	at = draw_below(r, total);
	for (i = 0; i < FUZZ_KINDS; i++) {
		unsigned int w = i == FUZZ_IOCTL && !conf.n_ioctls ? 4 : weights[i];

		if (at < w)
			break;
		at -= w;
	}
	return i;
}

/* Where limits are: powers of two, what the header defines, what calls have returned; and next to them. */
static uint64_t draw_limit(uint64_t *r)
{
	unsigned int n = atomic_load_explicit(&fuzz.state->n_learned, memory_order_relaxed);
	uint64_t near = (uint64_t)draw_below(r, 5) - 2;

	switch (draw_below(r, 4)) {
	case 0:
		if (uapi_n_numbers)
			return uapi_numbers[draw_below(r, uapi_n_numbers)] + near;
		break;
	case 1:
		if (n)
			return fuzz.state->learned[draw_below(r, n < LEARNED ? n : LEARNED)] + near;
		break;
	case 2: /* the ends of the types matter most */
		return ((uint64_t)1 << (8 << draw_below(r, 4)) % 64) - one_in(r, 2) + near;
	}
	return ((uint64_t)1 << draw_below(r, 64)) + near;
}

static uint64_t draw_addr(uint64_t *r)
{
	static const unsigned short places[] = { 0, 0x100, 0x400, 0x1000, 0x1100, 0x2000 };
	unsigned int what = draw_below(r, 64);

	if (what < 44)
		return FUZZ_ARENA + places[draw_below(r, sizeof(places) / sizeof(places[0]))];
	if (what < 50) /* the rest of it is not there */
		return FUZZ_ARENA + FUZZ_ARENA_SIZE - draw_below(r, 64);
	if (what < 53)
		return FUZZ_ARENA + draw_below(r, 8192);
	if (what < 55)
		return FUZZ_ARENA + FUZZ_ARENA_SIZE;
	if (what < 57)
		return FUZZ_RDONLY;
	if (what < 60)
		return FUZZ_MAPS + draw_below(r, FUZZ_MAP_PLACES) * FUZZ_MAP_SIZE;
	if (what < 62)
		return 0;
	return one_in(r, 2) ? -4096ULL : 0xffff888000000000ULL + draw_below(r, 1 << 20);
}

static uint64_t draw_value(uint64_t *r)
{
	unsigned int what = draw_below(r, 16);

	if (what < 3)
		return 0;
	if (what < 7)
		return draw_below(r, 17);
	if (what < 12)
		return draw_limit(r);
	if (what < 13)
		return -(uint64_t)draw_below(r, 17);
	if (what < 14)
		return draw_addr(r);
	return draw_random(r) >> draw_below(r, 64);
}

static uint64_t draw_length(uint64_t *r)
{
	switch (draw_below(r, 8)) {
	case 0:
		return draw_limit(r);
	case 1:
		return draw_below(r, FUZZ_ARENA_SIZE);
	default:
		return draw_size(r);
	}
}

static int64_t draw_place(uint64_t *r)
{
	return one_in(r, 2) ? draw_pos(r) : (int64_t)(draw_limit(r) - draw_below(r, 17));
}

static void put(struct fuzz_call *c, size_t offset, size_t size, uint64_t value)
{
	if (offset + size > FUZZ_DATA || size > sizeof(value))
		return;
	memcpy(c->data + offset, &value, size);
	if (c->n_data < offset + size)
		c->n_data = offset + size;
}

/* One field as the header lays it out; where that is not known, a word. */
static void draw_field(uint64_t *r, struct fuzz_call *c)
{
	unsigned int n = 0, i, pick;

	for (i = 0; i < uapi_n_fields; i++)
		n += uapi_fields[i].cmd == c->cmd;
	if (!n) {
		static const unsigned char sizes[] = { 1, 2, 4, 4, 8, 8 };
		size_t size = sizes[draw_below(r, sizeof(sizes))];

		if (c->n_data >= size)
			put(c, draw_below(r, c->n_data / size) * size, size, draw_value(r));
		return;
	}
	pick = draw_below(r, n);
	for (i = 0; i < uapi_n_fields; i++)
		if (uapi_fields[i].cmd == c->cmd && !pick--)
			put(c, uapi_fields[i].offset, uapi_fields[i].size, draw_value(r));
}

/* Two fields whose sum wraps, or comes near a limit: where something begins, and how much of it. */
static void draw_pair(uint64_t *r, struct fuzz_call *c)
{
	const struct uapi_field *fields[16];
	uint64_t limit = one_in(r, 2) ? 0 : draw_limit(r), size;
	unsigned int n = 0, i, a, b;

	for (i = 0; i < uapi_n_fields && n < 16; i++)
		if (uapi_fields[i].cmd == c->cmd && uapi_fields[i].size >= 2)
			fields[n++] = &uapi_fields[i];
	if (n < 2)
		return;
	a = draw_below(r, n);
	b = draw_below(r, n);
	size = draw_length(r);
	put(c, fields[a]->offset, fields[a]->size, limit - size + draw_below(r, 17));
	put(c, fields[b]->offset, fields[b]->size, size);
}

static void draw_ioctl(uint64_t *r, struct fuzz_call *c)
{
	const struct uapi_ioctl *call;
	const struct conf_arg *arg;
	unsigned int i;

	if (!conf.n_ioctls || one_in(r, 12)) {
		c->cmd = draw_unknown_ioctl(draw_random(r));
		c->n_data = one_in(r, 2) ? 16 : 0;
		return;
	}
	call = &conf.ioctls[draw_below(r, conf.n_ioctls)];
	c->cmd = call->cmd;
	if (_IOC_DIR(c->cmd) == _IOC_NONE || !_IOC_SIZE(c->cmd)) {
		c->addr = draw_value(r);
		return;
	}
	c->n_data = _IOC_SIZE(c->cmd) < FUZZ_DATA ? _IOC_SIZE(c->cmd) : FUZZ_DATA;
	arg = conf_arg_of(call);
	if (arg)
		memcpy(c->data, arg->bytes, arg->len < c->n_data ? arg->len : c->n_data);
	if (one_in(r, 4)) {
		draw_pair(r, c);
		return;
	}
	for (i = draw_below(r, 4); i; i--)
		draw_field(r, c);
}

static void draw_data(uint64_t *r, struct fuzz_call *c)
{
	uint32_t i;

	if (one_in(r, 4))
		return;
	c->n_data = c->size < 64 ? c->size : 8 + draw_below(r, 57);
	for (i = 0; i + 8 <= c->n_data; i += 8)
		put(c, i, 8, draw_value(r));
}

static void draw_flags(uint64_t *r, struct fuzz_call *c)
{
	static const unsigned char prots[8] = {
		PROT_READ | PROT_WRITE,
		PROT_READ | PROT_WRITE,
		PROT_READ | PROT_WRITE,
		PROT_READ,
		PROT_READ,
		PROT_WRITE,
		PROT_READ | PROT_EXEC,
		PROT_NONE,
	};

	switch (c->kind) {
	case FUZZ_OPEN:
		c->flags = draw_open_flags(draw_random(r));
		break;
	case FUZZ_POLL:
		c->flags = one_in(r, 2) ? POLLIN | POLLOUT : draw_random(r) & 0xffff;
		break;
	case FUZZ_SEEK:
		c->flags = draw_below(r, 6); /* one more than there are */
		break;
	case FUZZ_MMAP:
		c->flags = prots[draw_below(r, 8)] | (one_in(r, 3) ? MAP_PRIVATE : MAP_SHARED) << 8;
		break;
	case FUZZ_FCNTL:
		c->flags = one_in(r, 2) ? O_NONBLOCK :
					  draw_random(r) & (O_APPEND | O_NONBLOCK | O_ASYNC);
		break;
	default:
		c->flags = draw_random(r) & 0xff;
	}
}

static void draw_call(uint64_t *r, struct fuzz_call *c, enum fuzz_kind kind)
{
	memset(c, 0, sizeof(*c));
	c->kind = kind;
	c->fd = one_in(r, 3) ? draw_below(r, FUZZ_FDS) : 0;
	c->other = kind == FUZZ_OPEN ?
			   draw_below(r, conf.n_nodes < FUZZ_NODES ? conf.n_nodes : FUZZ_NODES) :
			   draw_below(r, FUZZ_FDS);
	c->addr = draw_addr(r);
	c->size = draw_length(r);
	c->pos = draw_place(r);
	if (one_in(r, 4)) /* its end is at a limit */
		c->pos = draw_limit(r) - c->size + draw_below(r, 17);
	draw_flags(r, c);
	if (kind == FUZZ_IOCTL)
		draw_ioctl(r, c);
	if (kind == FUZZ_WRITE || kind == FUZZ_PWRITE || kind == FUZZ_WRITEV ||
	    kind == FUZZ_SPLICE_OUT)
		draw_data(r, c);
	if (kind == FUZZ_MMAP) {
		c->size = one_in(r, 4) ? draw_limit(r) : 4096ULL << draw_below(r, 6);
		if (!one_in(r, 8))
			c->pos &= -4096LL;
		if (one_in(r, 2))
			c->pos = 0;
	}
}

void fuzz_draw(uint64_t *r, struct fuzz_prog *p)
{
	unsigned int i;

	p->n = 2 + draw_below(r, FUZZ_CALLS / 2);
	p->reserved = 0;
	/* Without a descriptor nothing comes of the rest. */
	draw_call(r, &p->calls[0], FUZZ_OPEN);
	p->calls[0].fd = 0;
	if (!one_in(r, 4))
		p->calls[0].flags = (p->calls[0].flags & ~O_ACCMODE) | O_RDWR;
	for (i = 1; i < p->n; i++)
		draw_call(r, &p->calls[i], draw_kind(r));
	if (one_in(r, 8))
		for (i = 1; i < p->n; i++)
			p->calls[i].thread = draw_below(r, FUZZ_THREADS);
}

/* ---- Changes ---- */

static void insert(uint64_t *r, struct fuzz_prog *p)
{
	unsigned int at = draw_below(r, p->n + 1);

	if (p->n == FUZZ_CALLS)
		return;
	memmove(&p->calls[at + 1], &p->calls[at], (p->n - at) * sizeof(p->calls[0]));
	p->n++;
	if (at + 1 < p->n && one_in(r, 3)) /* a second time */
		p->calls[at] = p->calls[at + 1];
	else
		draw_call(r, &p->calls[at], draw_kind(r));
}

static void take_out(uint64_t *r, struct fuzz_prog *p)
{
	unsigned int at = draw_below(r, p->n);

	if (p->n < 3)
		return;
	p->n--;
	memmove(&p->calls[at], &p->calls[at + 1], (p->n - at) * sizeof(p->calls[0]));
}

/* The end of another program behind the beginning of this one. */
static void cross(uint64_t *r, struct fuzz_prog *p)
{
	unsigned int n = atomic_load(&fuzz.state->n_corpus), from;
	const struct fuzz_prog *other;

	if (!n)
		return;
	n = draw_below(r, n < CORPUS_MOST ? n : CORPUS_MOST);
	if (!atomic_load(&fuzz.state->corpus[n].ready))
		return;
	other = &fuzz.state->corpus[n].prog;
	from = draw_below(r, other->n);
	p->n = 1 + draw_below(r, p->n);
	for (; from < other->n && p->n < FUZZ_CALLS; from++)
		p->calls[p->n++] = other->calls[from];
}

static void change_argument(uint64_t *r, struct fuzz_call *c)
{
	struct fuzz_call other;

	draw_call(r, &other, c->kind);
	switch (draw_below(r, 8)) {
	case 0:
		c->flags = other.flags;
		break;
	case 1:
		c->addr = other.addr;
		break;
	case 2:
		c->size = one_in(r, 2) ? c->size + draw_below(r, 9) - 4 : other.size;
		break;
	case 3:
		c->pos = one_in(r, 2) ? c->pos + draw_below(r, 9) - 4 : other.pos;
		break;
	case 4:
		c->fd = other.fd;
		break;
	case 5:
		if (c->kind == FUZZ_IOCTL && one_in(r, 4))
			c->cmd = other.cmd;
		c->other = other.other;
		break;
	default:
		if (c->kind == FUZZ_IOCTL)
			draw_field(r, c);
		else
			c->pos = other.pos;
	}
}

/* A value of ours that the module has compared with another becomes the other, or is next to it. */
static void follow_hint(uint64_t *r, struct fuzz_prog *p)
{
	unsigned int n = atomic_load_explicit(&fuzz.state->n_hints, memory_order_relaxed), i, tries;

	for (tries = 0; n && tries < 8; tries++) {
		const struct fuzz_hint *h =
			&fuzz.state->hints[draw_below(r, n < HINTS ? n : HINTS)];
		struct fuzz_call *c = &p->calls[draw_below(r, p->n)];
		uint64_t ours = h->ours, theirs = h->theirs + draw_below(r, 3) - 1, v;

		if (c->size == ours)
			c->size = theirs;
		else if ((uint64_t)c->pos == ours)
			c->pos = theirs;
		else
			for (i = 0; i + 4 <= c->n_data; i += 4) {
				v = 0;
				memcpy(&v, c->data + i, 4);
				if (v == ours)
					put(c, i, 4, theirs);
			}
	}
}

void fuzz_change(uint64_t *r, struct fuzz_prog *p)
{
	unsigned int changes = 1 + draw_below(r, 4), i;

	while (changes--) {
		switch (draw_below(r, 16)) {
		case 0:
		case 1:
		case 2:
			insert(r, p);
			break;
		case 3:
			take_out(r, p);
			break;
		case 4:
			cross(r, p);
			break;
		case 5:
			for (i = 1; i < p->n; i++)
				p->calls[i].thread = draw_below(r, FUZZ_THREADS);
			break;
		case 6:
			for (i = 0; i < p->n; i++)
				p->calls[i].thread = 0;
			break;
		case 7:
			follow_hint(r, p);
			break;
		default:
			change_argument(r, &p->calls[draw_below(r, p->n)]);
		}
	}
}
