// SPDX-License-Identifier: GPL-2.0
/*
 * What can be seen of a device: whether its nodes open, what a fresh descriptor reads and polls, where it ends, what
 * its ioctls say that only look.
 *
 * Nothing is declared: an ioctl only looks when the device is the same after it, and it says the same twice. What
 * differs between two devices that were just loaded is a clock or a counter, and is not compared.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "faults.h"

#define READ_SIZE 64
#define ITEM_END  "lseek to the end"
#define ITEM_READ "read"

void item_set(struct item *it, const char *what, long ret, const void *bytes, size_t len)
{
	memset(it, 0, sizeof(*it));
	snprintf(it->what, sizeof(it->what), "%s", what);
	it->ret = ret;
	it->len = len < ITEM_BYTES ? len : ITEM_BYTES;
	if (it->len)
		memcpy(it->bytes, bytes, it->len);
}

bool item_same(const struct item *a, const struct item *b, const struct varies *v)
{
	unsigned int i;

	/* What varies may be more or less, but not an error. */
	if (v->ret ? (a->ret < 0) != (b->ret < 0) : a->ret != b->ret)
		return false;
	if (v->ret)
		return true;
	if (a->len != b->len)
		return false;
	for (i = 0; i < a->len; i++)
		if (a->bytes[i] != b->bytes[i] && !v->bytes[i])
			return false;
	return true;
}

void item_vary(struct varies *v, const struct item *a, const struct item *b)
{
	unsigned int i;

	v->ret |= a->ret != b->ret;
	for (i = 0; i < ITEM_BYTES; i++)
		v->bytes[i] |= a->bytes[i] != b->bytes[i];
}

const char *item_text(const struct item *it)
{
	static char texts[4][160];
	static unsigned int turn;
	char *text = texts[turn++ % 4];
	unsigned int i;
	size_t n;

	if (it->ret < 0) {
		snprintf(text, sizeof(texts[0]), "-%s", errno_name(-it->ret));
		return text;
	}
	n = snprintf(text, sizeof(texts[0]), "%ld", it->ret);
	for (i = 0; i < it->len && i < 16; i++)
		n += snprintf(text + n, sizeof(texts[0]) - n, "%s%02x", i ? " " : " (",
			      it->bytes[i]);
	if (i)
		snprintf(text + n, sizeof(texts[0]) - n, "%s)", i < it->len ? " ..." : "");
	return text;
}

size_t ioctl_argument(const struct uapi_ioctl *call, unsigned char *to, size_t room)
{
	const struct conf_arg *arg = conf_arg_of(call);
	size_t size = _IOC_SIZE(call->cmd);

	memset(to, 0, room);
	if (arg)
		memcpy(to, arg->bytes, arg->len < room ? arg->len : room);
	return size < room ? size : room;
}

static struct item *item_next(struct print *p)
{
	static struct item rest;

	return p->n < ITEMS_MAX ? &p->item[p->n++] : &rest;
}

static long or_errno(long ret)
{
	return ret == -1 ? -(long)errno : ret;
}

static void ask_ioctl(struct print *p, int fd, const struct uapi_ioctl *call)
{
	static unsigned char arg[1 << _IOC_SIZEBITS];
	char what[40];
	size_t size = ioctl_argument(call, arg, sizeof(arg));
	long ret = or_errno(ioctl(fd, call->cmd, size ? arg : NULL));

	snprintf(what, sizeof(what), "ioctl %s", call->name);
	item_set(item_next(p), what, ret, arg, ret < 0 ? 0 : size);
}

static bool looks(unsigned int i)
{
	if (conf_absent(&conf.ioctls[i]))
		return false;
	return shared->looks[i];
}

void state_take_fd(struct print *p, int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT | POLLPRI };
	unsigned char buf[READ_SIZE];
	unsigned int i;
	off_t end;
	long ret;

	poll(&pfd, 1, 0);
	item_set(item_next(p), "poll", pfd.revents, NULL, 0);
	end = lseek(fd, 0, SEEK_END);
	item_set(item_next(p), ITEM_END, end == -1 ? -errno : (long)end, NULL, 0);
	lseek(fd, 0, SEEK_SET);
	ret = or_errno(read(fd, buf, sizeof(buf)));
	item_set(item_next(p), ITEM_READ, ret, buf, ret > 0 ? ret : 0);
	lseek(fd, 0, SEEK_SET);
	for (i = 0; i < conf.n_ioctls; i++)
		if (looks(i))
			ask_ioctl(p, fd, &conf.ioctls[i]);
}

void state_take(struct print *p)
{
	static const int modes[] = { O_RDWR, O_RDONLY, O_WRONLY };
	static const char *const names[] = { "O_RDWR", "O_RDONLY", "O_WRONLY" };
	unsigned int n, i;
	char what[40];
	bool seen;
	int fd;

	p->n = 0;
	try_tick(true);
	for (n = 0; n < conf.n_nodes && n < NODES_SWEPT; n++) {
		seen = false;
		for (i = 0; i < 3; i++) {
			fd = open(conf.nodes[n], modes[i] | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
			snprintf(what, sizeof(what), "open %s of node %u", names[i], n + 1);
			item_set(item_next(p), what, fd < 0 ? -errno : 0, NULL, 0);
			if (fd < 0)
				continue;
			if (!seen)
				state_take_fd(p, fd);
			seen = true;
			close(fd);
		}
	}
	try_tick(false);
}

bool print_same(const struct print *a, const struct print *b, const struct varies *v, char why[200])
{
	unsigned int i;

	for (i = 0; i < a->n && i < b->n; i++) {
		/* Once something is missing, all that follows is shifted. */
		if (!strcmp(a->item[i].what, b->item[i].what) &&
		    item_same(&a->item[i], &b->item[i], &v[i]))
			continue;
		snprintf(why, 200, "%.36s: %.70s, and not %.70s", b->item[i].what,
			 item_text(&b->item[i]), item_text(&a->item[i]));
		return false;
	}
	if (a->n == b->n)
		return true;
	snprintf(why, 200, "%u answers, and not %u", b->n, a->n);
	return false;
}

/* Nothing was done since it was seen to be as loaded. */
static bool known_fresh;

bool state_is(const struct print *now, char why[200])
{
	return known_fresh = print_same(&shared->fresh, now, shared->varies, why);
}

bool state_is_fresh(char why[200])
{
	static struct print now;

	state_take(&now);
	return state_is(&now, why);
}

void state_touched(void)
{
	known_fresh = false;
}

static int reload(void)
{
	int ret = module_loaded(test_module()) ? module_unload(test_module()) : 0;

	/* One without an exit function stays. */
	return ret ? ret : module_load(test_module(), conf.params);
}

static bool bytes_vary(const struct varies *v)
{
	unsigned int i;

	for (i = 0; i < ITEM_BYTES; i++)
		if (v->bytes[i])
			return true;
	return false;
}

void print_vary(struct varies *v, const struct print *a, const struct print *b)
{
	unsigned int i;

	for (i = 0; i < a->n && i < b->n; i++) {
		item_vary(&v[i], &a->item[i], &b->item[i]);
		/* A text with a number in it is longer with a digit more. Where it ends was asked before it. */
		if (!i || strcmp(a->item[i].what, ITEM_READ))
			continue;
		if (bytes_vary(&v[i]))
			v[i].ret = shared->end_varies = true;
		v[i - 1].ret |= shared->end_varies;
	}
}

/* What differs between two that are both right. */
static void learn_varies(void)
{
	static struct print other;

	state_take(&other);
	print_vary(shared->varies, &shared->fresh, &other);
}

/* Whether an ioctl only looks: it says the same twice, and the device stays as it is. */
static bool only_looks(unsigned int nr)
{
	static struct print before, after, one, two;
	struct varies none = { 0 };
	char why[200];
	int fd, i;

	if (conf_absent(&conf.ioctls[nr]) || !conf.n_nodes)
		return false;
	state_take(&before);
	fd = open(conf.nodes[0], O_RDWR | O_NONBLOCK | O_CLOEXEC);
	for (i = O_RDONLY; fd < 0 && i <= O_WRONLY; i++)
		fd = open(conf.nodes[0], i | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	one.n = two.n = 0;
	ask_ioctl(&one, fd, &conf.ioctls[nr]);
	ask_ioctl(&two, fd, &conf.ioctls[nr]);
	close(fd);
	state_take(&after);
	return one.item[0].ret >= 0 && item_same(&one.item[0], &two.item[0], &none) &&
	       print_same(&before, &after, shared->varies, why);
}

void state_learn(void)
{
	const char *module = test_module();
	unsigned int i;
	int ret;

	if (shared->learned)
		return;
	ret = reload();
	if (ret == -EINVAL || ret == -ENOENT || ret == -ENODEV)
		SKIP("%s cannot be loaded: %s", module, errno_name(-ret));
	state_take(&shared->fresh);
	learn_varies();
	for (i = 0; i < conf.n_ioctls; i++) {
		if (looks(i) || !only_looks(i))
			continue;
		/* It is part of what can be seen from now on. */
		shared->looks[i] = true;
		memset(shared->varies, 0, sizeof(shared->varies));
		reload();
		state_take(&shared->fresh);
		learn_varies();
	}
	for (i = 0; i < 2; i++) {
		reload();
		learn_varies();
	}
	shared->learned = true;
}

static void load_again(const char *was)
{
	const char *module = test_module();
	char why[200];
	int ret = reload();

	if (ret) {
		test_fail(__FILE__, __LINE__,
			  "%s is not as it was (%s) and cannot be loaded again: %s", module, was,
			  errno_name(-ret));
		test_end();
	}
	if (state_is_fresh(why))
		return;
	test_fail(__FILE__, __LINE__, "%s is not as it was, though it was loaded again: %s", module,
		  why);
	test_end();
}

void state_restore(void)
{
	char why[200] = "not loaded";

	if (!known_fresh && !(module_loaded(test_module()) && state_is_fresh(why)))
		load_again(why);
}

void state_reload(void)
{
	load_again("whatever it is");
}
