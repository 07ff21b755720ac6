// SPDX-License-Identifier: GPL-2.0
/* The channels between a guest, its QEMU and us. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm_private.h"

bool lines_add(struct lines *l, const char *p, size_t n, void (*fn)(void *ctx, char *line),
	       void *ctx)
{
	char *start, *nl;

	buf_add(&l->b, p, n);
	start = l->b.s;
	while ((nl = memchr(l->b.s + l->scanned, '\n', l->b.n - l->scanned))) {
		*nl = '\0';
		fn(ctx, start);
		start = nl + 1;
		l->scanned = start - l->b.s;
	}
	l->b.n -= start - l->b.s;
	memmove(l->b.s, start, l->b.n + 1);
	l->scanned = l->b.n;
	return l->b.n <= LINE_MAX_BYTES;
}

void lines_end(struct lines *l, void (*fn)(void *ctx, char *line), void *ctx)
{
	if (l->b.n)
		fn(ctx, l->b.s);
	buf_free(&l->b);
	l->scanned = 0;
}

bool flush_buf(int fd, struct buf *b)
{
	while (b->n) {
		ssize_t n = write(fd, b->s, b->n);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		b->n -= n;
		memmove(b->s, b->s + n, b->n + 1);
	}
	return true;
}

ssize_t read_some(int *fd, char *chunk, size_t size)
{
	ssize_t n = read(*fd, chunk, size);

	if (n > 0)
		return n;
	if (!n || (errno != EAGAIN && errno != EINTR)) {
		close(*fd);
		*fd = -1;
	}
	return 0;
}

bool make_pair(int pair[2])
{
	return !socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) &&
	       !fcntl(pair[0], F_SETFL, O_NONBLOCK);
}

bool make_tap(struct tap *tap, const char *name)
{
	tap->fd = memfd_create(name, MFD_CLOEXEC);
	return tap->fd >= 0;
}

off_t tap_size(const struct tap *tap)
{
	struct stat st;

	return tap->fd >= 0 && !fstat(tap->fd, &st) ? st.st_size : 0;
}

ssize_t tap_read(struct tap *tap, off_t until, char *chunk, size_t size)
{
	off_t left = until - tap->at;
	ssize_t n;

	if (left <= 0)
		return 0;
	n = pread(tap->fd, chunk, left < (off_t)size ? (size_t)left : size, tap->at);
	if (n <= 0)
		return 0;
	tap->at += n;
	/* what was read need not stay in memory */
	if (tap->at - tap->freed >= 1 << 20) {
		fallocate(tap->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, tap->freed,
			  tap->at - tap->freed);
		tap->freed = tap->at & ~(off_t)0xffff;
	}
	return n;
}
