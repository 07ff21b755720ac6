// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#define LOCKED "/tmp/locked"
#define MUCH_MEM \
	(64u << 20) /* which takes the kernel a while to take back, before it closes files */

TEST_WITH_TIMEOUT(a_case_sleeps_for_ever, 2)
{
	for (;;)
		pause();
}

TEST(one_leaves_a_child_that_holds_a_lock)
{
	int fd = SAFE(open(LOCKED, O_RDWR | O_CREAT, 0600)), ready[2];
	char byte, *mem;

	SAFE(pipe(ready));
	SAFE(flock(fd, LOCK_EX));
	if (!SAFE(fork())) {
		mem = mmap(NULL, MUCH_MEM, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		SAFE(write(ready[1], "", mem != MAP_FAILED));
		for (;;)
			pause();
	}
	EXPECT_EQ(read(ready[0], &byte, 1), 1);
}

TEST(one_after_finds_the_lock_free)
{
	int fd = SAFE(open(LOCKED, O_RDWR));

	EXPECT_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
}
