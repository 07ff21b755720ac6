// SPDX-License-Identifier: GPL-2.0
/*
 * Claims about mappings: what they show, who may write, and what becomes of them when they are cut, moved, inherited,
 * and when the descriptor is closed. call.mmap and call.mmap-end say what may be mapped at all.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CLAIM_ORDER 215

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform.h"

static sigjmp_buf fault;

static void on_fault(int sig)
{
	(void)sig;
	siglongjmp(fault, 1);
}

static void catch_faults(void)
{
	struct sigaction sa = { .sa_handler = on_fault };

	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
}

/* Copies out of a mapping; false when that raises a signal. */
static bool look(unsigned char *to, const volatile unsigned char *from, size_t len)
{
	size_t i;

	catch_faults();
	if (sigsetjmp(fault, 1))
		return false;
	for (i = 0; i < len; i++)
		to[i] = from[i];
	return true;
}

/* Stores a byte; false when that raises a signal. */
static bool store(volatile unsigned char *to, unsigned char byte)
{
	catch_faults();
	if (sigsetjmp(fault, 1))
		return false;
	*to = byte;
	return true;
}

static bool can_look(const unsigned char *at)
{
	unsigned char byte;

	return look(&byte, at, 1);
}

/* A mapping of so many pages; what is not offered, or not there, is call.mmap's finding. */
static unsigned char *map_pages(int fd, size_t pages, int prot, int flags, off_t first)
{
	const size_t page = page_size();
	unsigned char *map;

	map = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		SKIP("mmap is not offered: %s", errno_name(errno));
	if (!can_look(map))
		SKIP("what mmap maps is not there");
	munmap(map, page);
	map = mmap(NULL, pages * page, prot, flags, fd, first * page);
	if (map == MAP_FAILED)
		SKIP("no such mapping is offered: %s", errno_name(errno));
	return map;
}

static void need_pages(size_t pages)
{
	if (facts->size < (off_t)(pages * page_size()))
		SKIP("the device has less than %zu pages", pages);
}

/* A mapping is only compared where what is read can be told apart. */
static int open_kept(unsigned char *ref, size_t len)
{
	int fd = dev_open(MODE_ANY);

	if (facts->mode == O_WRONLY)
		SKIP("opens only for writing");
	stored(fd, ref, len);
	return fd;
}

static void expect_bytes(const unsigned char *map, const unsigned char *ref, size_t len,
			 const char *what)
{
	unsigned char got[512];

	if (!look(got, map, len))
		test_fail(__FILE__, __LINE__, "%s: a signal", what);
	else if (memcmp(got, ref, len))
		test_fail(__FILE__, __LINE__, "%s: other bytes than read gives", what);
}

/* mmap(2), MAP_SHARED: the device itself, not another memory. */
CLAIM(mmap_same, "mmap.same", NEED_POS | NEED_DATA,
      "a mapping shows the bytes that read gives, and those that are written later")
{
	unsigned char ref[256];
	int fd = open_kept(ref, sizeof(ref));
	unsigned char *map = map_pages(fd, 1, PROT_READ, MAP_SHARED, 0);

	expect_bytes(map, ref, sizeof(ref), "the mapping");
	pattern_fill(ref, sizeof(ref), 0x47);
	EXPECT_EQ(dev_pwrite(fd, ref, sizeof(ref), 0), sizeof(ref));
	expect_bytes(map, ref, sizeof(ref), "after a write");
}

/* mmap(2): "starting at offset". vm_pgoff is easily forgotten. */
CLAIM(mmap_offset, "mmap.offset", NEED_SIZE | NEED_DATA,
      "a mapping at an offset shows what lies there, and so does a second page of one from the start")
{
	unsigned char ref[256], there[256], *map;
	const size_t page = page_size();
	int fd;

	need_pages(2);
	fd = open_kept(ref, sizeof(ref));
	pattern_fill(there, sizeof(there), 0x90);
	EXPECT_EQ(dev_pwrite(fd, there, sizeof(there), page), sizeof(there));
	map = map_pages(fd, 1, PROT_READ, MAP_SHARED, 1);
	expect_bytes(map, there, sizeof(there), "at an offset of a page");
	map = map_pages(fd, 2, PROT_READ, MAP_SHARED, 0);
	expect_bytes(map + page, there, sizeof(there), "in the second page");
	expect_bytes(map, ref, sizeof(ref), "in the first page");
}

/* mmap(2), MAP_SHARED: "updates to the mapping are ... carried through". */
CLAIM(mmap_write, "mmap.write", NEED_POS | NEED_DATA,
      "what is stored in a shared mapping is what read gives")
{
	unsigned char ref[256], got[256];
	int fd = open_kept(ref, sizeof(ref));
	unsigned char *map = map_pages(fd, 1, PROT_READ | PROT_WRITE, MAP_SHARED, 0);

	if (!store(map + 17, 0xf6)) {
		test_fail(__FILE__, __LINE__, "a store raises a signal");
		return;
	}
	ref[17] = 0xf6;
	EXPECT_EQ(dev_pread(fd, got, sizeof(got), 0), sizeof(got));
	if (memcmp(got, ref, sizeof(ref)))
		test_fail(__FILE__, __LINE__, "read gives other bytes");
}

/*
 * mmap(2), mprotect(2), EACCES. The kernel takes VM_MAYWRITE from a mapping of such a descriptor; a driver that sets
 * flags of its own may give it back.
 */
CLAIM(mmap_readonly, "mmap.readonly", NEED_NODE,
      "a descriptor that is open for reading gives no mapping to write to: EACCES, from mprotect as well")
{
	unsigned char *map;
	int fd;

	if (facts->open_err[O_RDONLY])
		SKIP("does not open for reading only");
	fd = dev_open(O_RDONLY);
	map = map_pages(fd, 1, PROT_READ, MAP_SHARED, 0);
	EXPECT_ERR(mprotect(map, page_size(), PROT_READ | PROT_WRITE), EACCES);
	map = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map != MAP_FAILED || errno != EACCES)
		test_fail(__FILE__, __LINE__, "mmap for writing: %s",
			  map == MAP_FAILED ? errno_name(errno) : "it works");
}

/* mmap(2), MAP_PRIVATE: "updates ... are not carried through to the underlying file". */
CLAIM(mmap_private, "mmap.private", NEED_POS | NEED_DATA,
      "what is stored in a private mapping stays there, and the device keeps its own")
{
	unsigned char ref[256], got[256];
	int fd = open_kept(ref, sizeof(ref));
	unsigned char *map = map_pages(fd, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);

	expect_bytes(map, ref, sizeof(ref), "the mapping");
	if (!store(map + 9, ref[9] ^ 0xff) || map[9] != (ref[9] ^ 0xff)) {
		test_fail(__FILE__, __LINE__, "it cannot be stored to");
		return;
	}
	EXPECT_EQ(dev_pread(fd, got, sizeof(got), 0), sizeof(got));
	if (memcmp(got, ref, sizeof(ref)))
		test_fail(__FILE__, __LINE__, "the device has changed");
}

/*
 * munmap(2) in the middle makes two mappings of one: the driver's open and close are called for each. What close takes
 * away must not be what the others still use.
 */
CLAIM(mmap_unmap, "mmap.unmap", NEED_SIZE,
      "after munmap in the middle of a mapping the pages on both sides are there, and those between are not")
{
	const size_t page = page_size();
	unsigned char *map;
	int fd;

	need_pages(4);
	fd = dev_open(MODE_ANY);
	if (facts->mode == O_WRONLY)
		SKIP("opens only for writing");
	map = map_pages(fd, 4, PROT_READ, MAP_SHARED, 0);
	/* The last is looked at here, the first only afterwards. */
	EXPECT_TRUE(can_look(map + 3 * page));
	if (munmap(map + page, page))
		test_fail(__FILE__, __LINE__, "munmap of the second page: %s", errno_name(errno));
	else if (can_look(map + page))
		test_fail(__FILE__, __LINE__, "the unmapped page is still there");
	if (!can_look(map) || !can_look(map + 2 * page) || !can_look(map + 3 * page))
		test_fail(__FILE__, __LINE__, "the pages beside the unmapped one are gone");
}

/*
 * mremap(2) does not ask the driver: only its fault handler, or VM_DONTEXPAND, keeps a mapping from growing past the
 * end of the device.
 */
CLAIM(mmap_grow, "mmap.grow", NEED_SIZE,
      "mremap moves a mapping whole, and lets none grow past the end of the device")
{
	unsigned char first, again, *map, *moved, *to;
	const size_t page = page_size();
	size_t size;
	int fd;

	if (facts->size > 1 << 30)
		SKIP("too large to map");
	size = (facts->size + page - 1) & ~(page - 1);
	fd = dev_open(MODE_ANY);
	if (facts->mode == O_WRONLY)
		SKIP("opens only for writing");
	map = map_pages(fd, size / page, PROT_READ, MAP_SHARED, 0);
	EXPECT_TRUE(look(&first, map, 1));
	to = mmap(NULL, size + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	moved = mremap(map, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (moved != MAP_FAILED) {
		map = moved;
		if (!look(&again, map, 1) || again != first || !can_look(map + size - page))
			test_fail(__FILE__, __LINE__, "after a move the pages are not there");
	}
	moved = mremap(map, size, size + page, MREMAP_MAYMOVE);
	if (moved != MAP_FAILED && can_look(moved + size))
		test_fail(__FILE__, __LINE__, "grown by mremap, the page past the end is there");
}

/*
 * fork(2): "memory mappings ... are inherited", unless the driver says VM_DONTCOPY. The child's exit closes its copy,
 * not the parent's.
 */
CLAIM(mmap_fork, "mmap.fork", NEED_POS | NEED_DATA,
      "a child has its parent's mapping, stores are seen by the other, and the child's exit ends nothing")
{
	unsigned char ref[256];
	int fd = open_kept(ref, sizeof(ref)), status;
	unsigned char *map = map_pages(fd, 1, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(store(map + 40, 0x3c) ? 0 : 1);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	/* Not touched before, so it is asked for now. */
	if (!can_look(map + 40))
		test_fail(__FILE__, __LINE__, "after the child's exit the page is gone");
	else if (!status && map[40] != 0x3c)
		test_fail(__FILE__, __LINE__, "the child's store is not seen");
	if (status)
		test_note("the child does not have the mapping");
}

/* mmap(2): "closing the file descriptor does not unmap the region". The mapping holds the file. */
CLAIM(mmap_close, "mmap.close", NEED_NODE,
      "a mapping can be used after its descriptor is closed, also where it was not before")
{
	int fd = dev_open(MODE_ANY);
	unsigned char *map;

	if (facts->mode == O_WRONLY)
		SKIP("opens only for writing");
	map = map_pages(fd, 1, PROT_READ, MAP_SHARED, 0);
	close(fd);
	if (!can_look(map))
		test_fail(__FILE__, __LINE__, "after close the page is gone");
}

/* mprotect(2). */
CLAIM(mmap_protect, "mmap.protect", NEED_NODE,
      "mprotect takes the access to a mapping away and gives it back, with the same bytes")
{
	unsigned char before[64], after[64], *map;
	const size_t page = page_size();
	int fd = dev_open(MODE_ANY);

	if (facts->mode == O_WRONLY)
		SKIP("opens only for writing");
	map = map_pages(fd, 1, PROT_READ, MAP_SHARED, 0);
	EXPECT_TRUE(look(before, map, sizeof(before)));
	EXPECT_EQ(mprotect(map, page, PROT_NONE), 0);
	if (can_look(map))
		test_fail(__FILE__, __LINE__, "with PROT_NONE the page can be read");
	EXPECT_EQ(mprotect(map, page, PROT_READ), 0);
	if (!look(after, map, sizeof(after)))
		test_fail(__FILE__, __LINE__, "the page does not come back");
	else if (facts->positioned && memcmp(before, after, sizeof(before)))
		test_fail(__FILE__, __LINE__, "other bytes come back");
}

/*
 * Copying to a user's buffer may fault, and the fault may be the device's own: its handler must not need the lock that
 * the copy is made under, or nobody ever gets on.
 */
CLAIM(mmap_self, "mmap.self", NEED_POS | NEED_DATA,
      "a read into a mapping of the device itself, and a write from one, work as with any memory")
{
	unsigned char ref[64], got[64];
	int fd = open_kept(ref, sizeof(ref));
	unsigned char *map = map_pages(fd, 1, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	long ret;

	if (facts->size && facts->size < 1024)
		SKIP("the device has less than 1024 bytes");
	ret = dev_pread(fd, map + 512, sizeof(ref), 0);
	if (ret != sizeof(ref)) {
		test_fail(__FILE__, __LINE__, "a read into it: %s", result(ret));
		return;
	}
	expect_bytes(map + 512, ref, sizeof(ref), "what was read");
	munmap(map, page_size());
	map = map_pages(fd, 1, PROT_READ, MAP_SHARED, 0);
	ret = dev_pwrite(fd, map + 512, sizeof(ref), 256);
	if (ret != sizeof(ref))
		test_fail(__FILE__, __LINE__, "a write from it: %s", result(ret));
	EXPECT_EQ(dev_pread(fd, got, sizeof(got), 256), sizeof(got));
	if (memcmp(got, ref, sizeof(ref)))
		test_fail(__FILE__, __LINE__, "the write stored other bytes");
}
