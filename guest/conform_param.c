// SPDX-License-Identifier: GPL-2.0
/*
 * Claims about the parameters of the module that sysfs shows, and may change while the device is in use.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CLAIM_ORDER 225

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conform_wait.h"
#include "guest.h"

#define PARAMS_MAX 32
#define BUSY_MS	   60
#define LATE_MS	   10000

/* struct param - what sysfs shows of one; @writable: and readable */
static struct param {
	char path[512];
	char value[4200];
	bool readable, writable;
} params[PARAMS_MAX];
static unsigned int n_params;

static void params_find(void)
{
	char dir[256], *at;
	struct dirent *de;
	struct stat st;
	DIR *d;

	snprintf(dir, sizeof(dir), "/sys/module/%s/parameters", test_module());
	for (at = dir; *at; at++)
		if (*at == '-')
			*at = '_';
	d = opendir(dir);
	while (d && (de = readdir(d)) && n_params < PARAMS_MAX) {
		struct param *p = &params[n_params];

		if (de->d_name[0] == '.')
			continue;
		snprintf(p->path, sizeof(p->path), "%s/%s", dir, de->d_name);
		if (stat(p->path, &st))
			continue;
		p->readable = st.st_mode & 0444;
		p->writable = p->readable && st.st_mode & 0222;
		if (p->readable && file_read(p->path, p->value, sizeof(p->value)) < 0)
			p->value[0] = '\0';
		n_params++;
	}
	if (d)
		closedir(d);
	if (!n_params)
		SKIP("sysfs shows no parameter");
}

static const char *name_of(const struct param *p)
{
	return strrchr(p->path, '/') + 1;
}

/* Documentation/filesystems/sysfs.rst: "one value per file", in text, at most a page. */
CLAIM(param_read, "param.read", NEED_MODULE,
      "every parameter that may be read reads as one line of text, again and again")
{
	static char text[4200];
	unsigned int i;
	size_t k;
	ssize_t n;

	params_find();
	for (i = 0; i < n_params; i++) {
		if (!params[i].readable)
			continue;
		n = file_read(params[i].path, text, sizeof(text));
		if (n < 0) {
			test_fail(__FILE__, __LINE__, "%s: %s", name_of(&params[i]), result(n));
			continue;
		}
		for (k = 0; (ssize_t)k < n && text[k] && text[k] != '\n'; k++)
			;
		if ((ssize_t)k + 1 != n || text[k] != '\n')
			test_fail(__FILE__, __LINE__, "%s: %zd bytes are not one line",
				  name_of(&params[i]), n);
		else if (strcmp(text, params[i].value))
			test_fail(__FILE__, __LINE__, "%s: first %.40s then %.40s",
				  name_of(&params[i]), params[i].value, text);
	}
}

/* 0 or -errno */
static int value_write(const struct param *p, const char *text)
{
	size_t len = strlen(text);
	int fd = open(p->path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, len) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static void need_writable(void)
{
	unsigned int i;

	params_find();
	for (i = 0; i < n_params; i++)
		if (params[i].writable)
			return;
	SKIP("no parameter may be written and read");
}

static const char *const odd_values[] = {
	"", "\n", "garbage", "-1", "0", "4294967296", "99999999999999999999", "0x", "1 2", "\t%s%n",
};

/* kernel_param_ops: set either takes the value or leaves it. */
CLAIM(param_write, "param.write", NEED_MODULE,
      "a value that a writable parameter refuses leaves the old one; the device bears every value that is taken")
{
	static char now[4200], huge[4096];
	unsigned int i, k, n = sizeof(odd_values) / sizeof(odd_values[0]);
	int ret;

	need_writable();
	memset(huge, '9', sizeof(huge) - 1);
	for (i = 0; i < n_params; i++) {
		struct param *p = &params[i];

		for (k = 0; p->writable && k <= n; k++) {
			ret = value_write(p, k < n ? odd_values[k] : huge);
			if (*test_node() && facts->mode >= 0)
				expect_opens(name_of(p));
			if (file_read(p->path, now, sizeof(now)) < 0)
				test_fail(__FILE__, __LINE__, "%s cannot be read after \"%.20s\"",
					  name_of(p), k < n ? odd_values[k] : huge);
			else if (ret < 0 && strcmp(now, p->value))
				test_fail(__FILE__, __LINE__,
					  "%s refuses \"%.20s\" with %s and is changed", name_of(p),
					  k < n ? odd_values[k] : huge, result(ret));
			value_write(p, p->value);
		}
	}
}

static atomic_bool busy_stop;
static atomic_ulong busy_calls;

static bool busy_plausible(long ret)
{
	return ret > -512 && ret != -EIO && ret != -EFAULT && ret != -EBADF && ret != -ENODEV;
}

static void *busy_caller(void *arg)
{
	int fd = *(int *)arg;
	char buf[64] = { 0 };
	long ret;

	while (!atomic_load(&busy_stop)) {
		ret = 0;
		if (facts->mode != O_WRONLY && facts->read != READ_NOT_OFFERED &&
		    facts->read != READ_BLOCKS)
			ret = dev_read(fd, buf, sizeof(buf));
		if (busy_plausible(ret) && facts->mode != O_RDONLY && facts->writes)
			ret = dev_write(fd, buf, 16);
		if (!busy_plausible(ret) && ret != -facts->read_err &&
		    !atomic_exchange(&busy_stop, true))
			test_fail(__FILE__, __LINE__, "a call: %s", result(ret));
		ready_now(fd);
		if (facts->positioned)
			lseek(fd, 0, SEEK_SET);
		atomic_fetch_add(&busy_calls, 1);
	}
	return NULL;
}

/* A parameter is written under the lock of all parameters, which no file operation takes. */
CLAIM(param_busy, "param.busy", NEED_NODE | NEED_MODULE,
      "calls go on while every writable parameter is written, and the device works afterwards")
{
	int fd = dev_open(MODE_ANY);
	pthread_t threads[2];
	long long until;
	unsigned int i, k = 0;
	int t;

	need_writable();
	for (t = 0; t < 2; t++)
		if (pthread_create(&threads[t], NULL, busy_caller, &fd))
			SKIP("no thread can be made");
	until = now_ms() + BUSY_MS;
	/* On a busy host the threads may start late. */
	while ((now_ms() < until || (!atomic_load(&busy_calls) && now_ms() < until + LATE_MS)) &&
	       !atomic_load(&busy_stop)) {
		for (i = 0; i < n_params; i++) {
			if (!params[i].writable)
				continue;
			value_write(&params[i],
				    odd_values[k++ % (sizeof(odd_values) / sizeof(odd_values[0]))]);
			value_write(&params[i], params[i].value);
		}
	}
	atomic_store(&busy_stop, true);
	for (t = 0; t < 2; t++)
		pthread_join(threads[t], NULL);
	expect_working(fd, "after the writes");
}
