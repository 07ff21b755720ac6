// SPDX-License-Identifier: GPL-2.0
/* Programs as text. The host program is built with this file as well. */
#include <inttypes.h>
#include <string.h>

#include "fuzz.h"

const char *const fuzz_kind_names[FUZZ_KINDS] = {
	[FUZZ_OPEN] = "open",	     [FUZZ_CLOSE] = "close",
	[FUZZ_READ] = "read",	     [FUZZ_WRITE] = "write",
	[FUZZ_PREAD] = "pread",	     [FUZZ_PWRITE] = "pwrite",
	[FUZZ_READV] = "readv",	     [FUZZ_WRITEV] = "writev",
	[FUZZ_SEEK] = "lseek",	     [FUZZ_POLL] = "poll",
	[FUZZ_IOCTL] = "ioctl",	     [FUZZ_MMAP] = "mmap",
	[FUZZ_MUNMAP] = "munmap",    [FUZZ_TOUCH] = "touch",
	[FUZZ_SPLICE_IN] = "splice", [FUZZ_SPLICE_OUT] = "unsplice",
	[FUZZ_DUP] = "dup",	     [FUZZ_FCNTL] = "fcntl",
	[FUZZ_FSYNC] = "fsync",	     [FUZZ_TRUNCATE] = "ftruncate",
	[FUZZ_STAT] = "fstat",
};

/* In hexadecimal, without the zeros at its end. */
static void print_data(const struct fuzz_call *c, char hex[2 * FUZZ_DATA + 1])
{
	static const char digits[] = "0123456789abcdef";
	size_t n = c->n_data < FUZZ_DATA ? c->n_data : FUZZ_DATA, i;

	while (n && !c->data[n - 1])
		n--;
	for (i = 0; i < n; i++) {
		hex[2 * i] = digits[c->data[i] >> 4];
		hex[2 * i + 1] = digits[c->data[i] & 15];
	}
	hex[2 * n] = '\0';
}

size_t fuzz_prog_print(const struct fuzz_prog *p, char *to, size_t room)
{
	char hex[2 * FUZZ_DATA + 1];
	size_t at = 0;
	uint32_t i;
	int n;

	for (i = 0; i < p->n; i++) {
		const struct fuzz_call *c = &p->calls[i];

		if (room - at < FUZZ_LINE + 1)
			return 0;
		print_data(c, hex);
		n = snprintf(to + at, room - at,
			     "%s %u %u %u 0x%" PRIx32 " 0x%" PRIx64 " 0x%" PRIx64 " 0x%" PRIx64
			     " %" PRId64 " %" PRIu32 " %s\n",
			     fuzz_kind_names[c->kind], c->thread, c->fd, c->other, c->flags, c->cmd,
			     c->addr, c->size, c->pos, c->n_data, *hex ? hex : "-");
		at += n;
	}
	if (room - at < 2)
		return 0;
	to[at++] = '\n';
	to[at] = '\0';
	return at;
}

static int hex_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What it gets from a file need not be what was written there. */
static bool parse_call(const char *line, struct fuzz_call *c)
{
	char kind[16], hex[2 * FUZZ_DATA + 1];
	unsigned int thread, fd, other;
	size_t i;

	memset(c, 0, sizeof(*c));
	if (sscanf(line,
		   "%15s %u %u %u %" SCNx32 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNd64
		   " %" SCNu32 " %512s",
		   kind, &thread, &fd, &other, &c->flags, &c->cmd, &c->addr, &c->size, &c->pos,
		   &c->n_data, hex) != 11)
		return false;
	for (c->kind = 0; c->kind < FUZZ_KINDS; c->kind++)
		if (!strcmp(kind, fuzz_kind_names[c->kind]))
			break;
	if (c->kind == FUZZ_KINDS || c->n_data > FUZZ_DATA)
		return false;
	c->thread = thread % FUZZ_THREADS;
	c->fd = fd % FUZZ_FDS;
	c->other = other % FUZZ_NODES;
	for (i = 0; hex[2 * i] && hex[0] != '-'; i++) {
		if (i >= c->n_data || hex_of(hex[2 * i]) < 0 || hex_of(hex[2 * i + 1]) < 0)
			return false;
		c->data[i] = hex_of(hex[2 * i]) << 4 | hex_of(hex[2 * i + 1]);
	}
	return true;
}

const char *fuzz_prog_parse(const char *text, struct fuzz_prog *p)
{
	char line[FUZZ_LINE];
	size_t n;

	p->n = p->reserved = 0;
	while (*text) {
		n = strcspn(text, "\n");
		if (!n && p->n)
			return text;
		if (n && n < sizeof(line) && p->n < FUZZ_CALLS) {
			memcpy(line, text, n);
			line[n] = '\0';
			p->n += parse_call(line, &p->calls[p->n]);
		}
		text += n + !!text[n];
	}
	return p->n ? text : NULL;
}
