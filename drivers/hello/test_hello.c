// SPDX-License-Identifier: GPL-2.0
/*
 * What the module says, read from the kernel log.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "protocol.h"

#define MODULE "hello"

/* How often the log holds the line, as the module's own message. */
static unsigned int count_lines(const char *text)
{
	int fd = SAFE(open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
	unsigned int count = 0;
	char record[2048];
	ssize_t n;

	for (;;) {
		char *at;

		n = read(fd, record, sizeof(record) - 1);
		if (n < 0 && (errno == EPIPE || errno == EINVAL))
			continue; /* overrun, or a record that is too long: neither is ours */
		if (n < 0)
			break;
		record[n] = '\0';
		at = strchr(record, ';');
		if (at && !strncmp(at + 1, MODULE ": ", sizeof(MODULE ": ") - 1) &&
		    !strncmp(at + sizeof(MODULE ": "), text, strlen(text)))
			count++;
	}
	ASSERT_EQ(errno, EAGAIN);
	close(fd);
	return count;
}

TEST(it_says_Hello_World_at_load)
{
	EXPECT_GE(count_lines("Hello, World!\n"), 1);
}

TEST(it_says_Goodbye_World_at_unload)
{
	unsigned int hello = count_lines("Hello, World!\n");
	unsigned int goodbye = count_lines("Goodbye, World!\n");
	int fd = open(MODULES_DIR "/" MODULE ".ko", O_RDONLY | O_CLOEXEC);

	/* It is left as it was found: loaded. */
	if (fd < 0)
		SKIP("no file to load the module from again");
	SAFE(syscall(SYS_delete_module, MODULE, O_NONBLOCK));
	EXPECT_EQ(count_lines("Goodbye, World!\n"), goodbye + 1);
	EXPECT_EQ(count_lines("Hello, World!\n"), hello);
	SAFE(syscall(SYS_finit_module, fd, "", 0));
	EXPECT_EQ(count_lines("Hello, World!\n"), hello + 1);
	close(fd);
}
