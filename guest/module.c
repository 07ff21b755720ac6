// SPDX-License-Identifier: GPL-2.0
/*
 * The module under test and others of its room, from the files that the lab put into the guest; and
 * what they said in the kernel log.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"
#include "harness.h"
#include "protocol.h"

#define NAME_ROOM 64

/* Modules are named with underscores inside the kernel, whatever the file is called. */
static const char *kernel_name(const char *module, char name[NAME_ROOM])
{
	char *at;

	snprintf(name, NAME_ROOM, "%s", module);
	for (at = name; *at; at++)
		if (*at == '-')
			*at = '_';
	return name;
}

int module_load(const char *module, const char *params)
{
	char path[256];
	int fd, ret;

	snprintf(path, sizeof(path), MODULES_DIR "/%s.ko", module);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, params, 0) ? -errno : 0;
	close(fd);
	return ret;
}

int module_unload(const char *module)
{
	char name[NAME_ROOM];

	return syscall(SYS_delete_module, kernel_name(module, name), O_NONBLOCK) ? -errno : 0;
}

bool module_loaded(const char *module)
{
	char path[256], state[32], name[NAME_ROOM];

	snprintf(path, sizeof(path), "/sys/module/%s/initstate", kernel_name(module, name));
	return file_read(path, state, sizeof(state)) > 0 && !strncmp(state, "live", 4);
}

int module_users(const char *module)
{
	char path[256], text[32], name[NAME_ROOM];
	int n;

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", kernel_name(module, name));
	if (file_read(path, text, sizeof(text)) <= 0 || sscanf(text, "%d", &n) != 1)
		return -1;
	return n;
}

unsigned int log_count(const char *text)
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
		if (at && strstr(at + 1, text))
			count++;
	}
	ASSERT_EQ(errno, EAGAIN);
	close(fd);
	return count;
}
