// SPDX-License-Identifier: GPL-2.0
/* What a step is: a function of seed, worker, life and number. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "draw.h"
#include "stress.h"

#define DIGEST_STEPS 1000

const char *const stress_kind_names[DO_KINDS] = {
#define STRESS_KIND(kind, name) name,
#include "stress_kinds.h"
#undef STRESS_KIND
};

/* Of 10000, about. A fork costs as much as a hundred calls. */
static unsigned int weights[DO_KINDS] = {
	[DO_OPEN] = 700,   [DO_CLOSE] = 500,   [DO_READ] = 1200,
	[DO_WRITE] = 1000, [DO_PREAD] = 500,   [DO_PWRITE] = 500,
	[DO_READV] = 300,  [DO_WRITEV] = 300,  [DO_SEEK] = 400,
	[DO_POLL] = 500,   [DO_SELECT] = 150,  [DO_EPOLL] = 350,
	[DO_IOCTL] = 1800, [DO_TOUCH] = 100,   [DO_IOCTL_UNKNOWN] = 200,
	[DO_MMAP] = 150,   [DO_MUNMAP] = 120,  [DO_SPLICE] = 150,
	[DO_DUP] = 250,	   [DO_FCNTL] = 300,   [DO_OTHER] = 200,
	[DO_PASS] = 120,   [DO_RECEIVE] = 150, [DO_SIGNAL] = 120,
	[DO_AFFINITY] = 5, [DO_FORK] = 8,      [DO_EXEC] = 1,
	[DO_EVENT] = 2,
};
static unsigned int total;

static bool named(const char *names, const char *name)
{
	size_t n = strlen(name);
	const char *at;

	for (at = names; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (!strncmp(at, name, n) && (!at[n] || at[n] == ','))
			return true;
	return false;
}

bool stress_choose(const char *names)
{
	unsigned int i;

	if (!conf.n_ioctls)
		weights[DO_IOCTL] = 0;
	if (!conf.event)
		weights[DO_EVENT] = 0;
	total = 0;
	for (i = 0; i < DO_KINDS; i++) {
		if (names && !named(names, stress_kind_names[i]))
			weights[i] = 0;
		total += weights[i];
	}
	return total;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t state = a ^ (b * 0xd1342543de82ef95 + 1);

	return draw_random(&state);
}

static enum stress_kind draw_kind(uint64_t *r)
{
	unsigned int at = draw_below(r, total), i;

	for (i = 0; at >= weights[i]; i++)
		at -= weights[i];
	return i;
}

static enum stress_place draw_place(uint64_t *r)
{
	static const unsigned char places[32] = {
		[20] = AT_FRESH, AT_FRESH,  AT_HALF,   AT_HALF, AT_HALF,   AT_HOLE,
		AT_HOLE,	 AT_RDONLY, AT_RDONLY, AT_NULL, AT_KERNEL, AT_DEVICE,
	};

	return places[draw_below(r, 32)];
}

void stress_draw(uint64_t seed, unsigned int worker, unsigned int life, unsigned long nr,
		 struct step *s)
{
	static const int waits[32] = { [28] = 1, 1, 5, -1 };
	static const unsigned char args[16] = {
		[6] = ARG_MUTATED, ARG_MUTATED, ARG_MUTATED, ARG_MUTATED, ARG_SMALL,
		ARG_SMALL,	   ARG_SMALL,	ARG_SMALL,   ARG_RANDOM,  ARG_RANDOM,
	};
	uint64_t r = mix(mix(seed, worker), (uint64_t)life << 40 ^ nr), v;

	s->kind = draw_kind(&r);
	v = draw_random(&r);
	s->node = conf.n_nodes ? (v & 0xff) % conf.n_nodes : 0;
	s->fd = (v >> 8 & 0xff) % STRESS_FDS;
	s->other = (v >> 16 & 0xff) % STRESS_FDS;
	s->map = (v >> 24 & 0xff) % STRESS_MAPS;
	s->wait_ms = waits[v >> 32 & 31];
	s->whence = v >> 37 & 7;
	s->arg = args[v >> 40 & 15];
	s->place = draw_place(&r);
	s->size = draw_size(&r);
	s->pos = draw_pos(&r);
	s->bits = draw_random(&r);
	s->flags = s->kind == DO_OPEN ? draw_open_flags(s->bits) : (int)(s->bits & 0xffff);
	s->call = conf.n_ioctls ? &conf.ioctls[(v >> 44) % conf.n_ioctls] : NULL;
	s->cmd = s->kind == DO_IOCTL && s->call ? s->call->cmd : draw_unknown_ioctl(s->bits);
}

void stress_print(FILE *out, const struct step *s)
{
	static const char *const places[AT_PLACES] = { "good",	 "fresh",  "half", "hole",
						       "rdonly", "device", "null", "kernel" };
	static const char *const args[ARG_KINDS] = { "declared", "mutated", "small", "random" };

	fprintf(out, "%s node %u fd %u,%u map %u flags 0x%x %s+0x%zx pos %lld",
		stress_kind_names[s->kind], s->node, s->fd, s->other, s->map, s->flags,
		places[s->place], s->size, (long long)s->pos);
	if (s->kind == DO_IOCTL || s->kind == DO_IOCTL_UNKNOWN)
		fprintf(out, " %s 0x%lx %s", s->kind == DO_IOCTL ? s->call->name : "-", s->cmd,
			args[s->arg]);
	fprintf(out, " wait %d bits 0x%llx\n", s->wait_ms, (unsigned long long)s->bits);
}

uint64_t stress_digest(uint64_t seed)
{
	unsigned int worker, nr;
	uint64_t digest = 0;
	struct step s;

	for (worker = 0; worker < STRESS_WORKERS; worker++) {
		for (nr = 0; nr < DIGEST_STEPS; nr++) {
			stress_draw(seed, worker, 0, nr, &s);
			digest = mix(digest, s.kind);
			digest = mix(digest, s.bits ^ s.size ^ (uint64_t)s.pos << 7 ^ s.cmd);
		}
	}
	return digest;
}
