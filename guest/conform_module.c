// SPDX-License-Identifier: GPL-2.0
/*
 * Claims about the module: loading, unloading, what stays behind, what it says and what it
 * discloses.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CLAIM_ORDER 205

#include <dirent.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "conform.h"
#include "guest.h"
#include "protocol.h"
#include "usage.h"

/* Fewer loads do not tell a leak from what comes and goes. */
#define LEAK_MIN  60
#define SETTLE_MS 20
/* A load takes a third of a second in an emulated RISC-V guest on a busy host. */
#define LOADS_TIMEOUT 60

void module_ensure(void)
{
	int ret;

	if (module_loaded(test_module()))
		return;
	ret = module_load(test_module(), conf.params);
	if (ret)
		SKIP("the module cannot be loaded again: %s", errno_name(-ret));
}

/* Unloads for a claim that is about something else. */
static void unload_or_skip(void)
{
	int ret;

	if (module_users(test_module()) > 0)
		SKIP("the module is in use");
	ret = module_unload(test_module());
	if (ret)
		SKIP("the module cannot be unloaded: %s", errno_name(-ret));
}

/* Lines of the kernel log since the last call, but for the lab's marks. */
static unsigned int log_lines(int kmsg, char *first, size_t size)
{
	unsigned int n = 0;
	char line[2048], *text;
	ssize_t len;

	for (;;) {
		len = read(kmsg, line, sizeof(line) - 1);
		if (len < 0 && errno == EPIPE)
			continue; /* overwritten: more than enough were there */
		if (len <= 0)
			return n;
		line[len] = '\0';
		text = strchr(line, ';');
		text = text ? text + 1 : line;
		text[strcspn(text, "\n")] = '\0';
		if (!strncmp(text, MARK_BEGIN, strlen(MARK_BEGIN)) ||
		    !strncmp(text, MARK_END, strlen(MARK_END)))
			continue;
		if (!n++)
			snprintf(first, size, "%.*s", (int)size - 1, text);
	}
}

static void hot_calls(void)
{
	char buf[4096] = { 0 };
	int fd = dev_open(MODE_ANY);
	unsigned int i;

	if (facts->mode != O_WRONLY && facts->read != READ_BLOCKS)
		dev_read(fd, buf, facts->positioned ? 16 : sizeof(buf));
	if (facts->writes && facts->mode != O_RDONLY)
		dev_write(fd, buf, 16);
	lseek(fd, 0, SEEK_SET);
	ready_now(fd);
	for (i = 0; i < conf.n_ioctls; i++) {
		memset(buf, 0, sizeof(buf));
		if (_IOC_SIZE(conf.ioctls[i].cmd) <= sizeof(buf))
			dev_ioctl(fd, conf.ioctls[i].cmd, buf);
	}
	dev_ioctl(fd, _IO(0xfe, 0xfe), NULL);
	close(fd);
}

/*
 * Defects 23 and 40: a line per open made a comparison of printk. Also: any user could fill the
 * log.
 */
CLAIM(log_quiet, "log.quiet", NEED_NODE, "opening, reading, writing and ioctls log nothing")
{
	unsigned int round, i, n = 0;
	char first[256] = "";
	int kmsg;

	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0)
		SKIP("/dev/kmsg: %s", errno_name(errno));
	/* Somebody else's line, or one that is said only once, is not there the second time. */
	for (round = 0; round < 2; round++) {
		lseek(kmsg, 0, SEEK_END);
		for (i = 0; i < 10; i++)
			hot_calls();
		n = log_lines(kmsg, first, sizeof(first));
		if (!n)
			return;
	}
	test_fail(__FILE__, __LINE__, "%u lines, the first: %s", n, first);
}

/* release() frees what open() took. */
CLAIM(open_leak, "open.leak", NEED_NODE,
      "opening and closing a hundred times leaves no memory behind")
{
	static struct usage u[USAGE_PARTS + 1];
	int part, i;

	if (!usage_open())
		SKIP("/proc/slabinfo: %s", errno_name(errno));
	for (part = 0; part <= USAGE_PARTS; part++) {
		/* The first round finds what is made once. */
		for (i = 0; i < 34; i++)
			close(dev_open(MODE_ANY));
		usage_take(&u[part]);
	}
	usage_compare(u, 34, "opens");
}

/* One of each kind. Returns how many kinds there are. */
static unsigned int refused_opens(void)
{
	unsigned int n = 0;
	int mode, fd, held;

	for (mode = 0; mode < 3; mode++) {
		if (!facts->open_err[mode])
			continue;
		fd = dev_try_open(mode | O_NONBLOCK);
		if (fd >= 0)
			close(fd);
		n += fd < 0;
	}
	if (facts->exclusive) {
		held = dev_open(MODE_ANY);
		fd = dev_try_open(facts->mode | O_NONBLOCK);
		if (fd >= 0)
			close(fd);
		n += fd < 0;
		close(held);
	}
	return n;
}

/* What open() took before it found a reason to refuse, nobody else gives back: there is no release(). */
CLAIM(open_leak_refused, "open.leak-refused", NEED_NODE,
      "opens that are refused leave no memory behind")
{
	static struct usage u[USAGE_PARTS + 1];
	unsigned int part, i;

	if (!refused_opens())
		SKIP("no open is refused");
	if (!usage_open())
		SKIP("/proc/slabinfo: %s", errno_name(errno));
	for (part = 0; part <= USAGE_PARTS; part++) {
		for (i = 0; i < 34; i++)
			refused_opens();
		usage_take(&u[part]);
	}
	usage_compare(u, 34, "refused opens");
}

/* Defect 9: try_module_get(THIS_MODULE) by hand, and a put that is missed somewhere. */
CLAIM(module_refcount, "module.refcount", NEED_NODE | NEED_MODULE,
      "the module's use count after close is what it was before open")
{
	int before = module_users(test_module()), fd;

	fd = dev_open(MODE_ANY);
	still_works(fd);
	close(fd);
	EXPECT_EQ(module_users(test_module()), before);
}

/*
 * delete_module(2), EBUSY and EWOULDBLOCK. Defect 31: without an owner the code goes while it is in
 * use.
 */
CLAIM(module_busy, "module.busy", NEED_NODE | NEED_MODULE,
      "unloading while open fails with EBUSY or EAGAIN, and the device goes on working")
{
	int fd, ret;

	if (module_users(test_module()) > 0)
		SKIP("the module is in use");
	fd = dev_open(MODE_ANY);
	ret = module_unload(test_module());
	if (ret != -EBUSY && ret != -EAGAIN) {
		test_fail(__FILE__, __LINE__, "unloading: %s", result(ret));
		return;
	}
	expect_working(fd, "after the refused unload");
}

static void await_node(bool there)
{
	long long until = now_ms() + 2000;

	/*
	 * devtmpfs makes and removes nodes before the call returns; an mdev or udev may be later.
	 */
	while (!access(test_node(), F_OK) != there && now_ms() < until)
		usleep(1000);
}

/* A module that was unloaded can be loaded: its exit has undone what its init did. */
CLAIM(module_reload, "module.reload", NEED_MODULE,
      "the module can be unloaded and loaded again, and its node goes and comes")
{
	int i, ret;

	for (i = 0; i < 3; i++) {
		unload_or_skip();
		if (*test_node()) {
			await_node(false);
			if (!access(test_node(), F_OK))
				test_fail(__FILE__, __LINE__, "%s is still there", test_node());
		}
		ret = module_load(test_module(), conf.params);
		if (ret) {
			test_fail(__FILE__, __LINE__, "load %d: %s", i + 2, result(ret));
			return;
		}
		if (*test_node()) {
			await_node(true);
			if (access(test_node(), F_OK))
				test_fail(__FILE__, __LINE__, "%s does not come back", test_node());
		}
	}
}

static unsigned int names_in(const char *path, char *all, size_t size)
{
	unsigned int n = 0;
	char *at;

	if (file_read(path, all, size) < 0)
		return 0;
	for (at = all; *at; at++)
		n += *at == '\n';
	return n;
}

static unsigned int entries_of(const char *path)
{
	unsigned int n = 0;
	DIR *dir = opendir(path);

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

/* Everything that is registered by name or number and can be counted. */
struct registry {
	const char *path;
	bool dir;
	unsigned int n;
};

static void registry_take(struct registry *r)
{
	static char text[65536];

	for (; r->path; r++)
		r->n = r->dir ? entries_of(r->path) : names_in(r->path, text, sizeof(text));
}

/* Defect 3: a major that stays registered after the module, its operations dangling. */
CLAIM_WITH_TIMEOUT(module_clean, "module.clean", NEED_MODULE, LOADS_TIMEOUT,
		   "unloading leaves no number, name or node registered")
{
	static struct registry was[] = {
		{ "/proc/devices", false, 0 },
		{ "/proc/misc", false, 0 },
		{ "/dev", true, 0 },
		{ "/sys/dev/char", true, 0 },
		{ "/sys/class", true, 0 },
		{ "/proc", true, 0 },
		{ "/sys/devices/virtual/misc", true, 0 },
		{ "/proc/interrupts", false, 0 },
		{ NULL, false, 0 },
	};
	static struct registry is[sizeof(was) / sizeof(was[0])];
	unsigned int i;

	memcpy(is, was, sizeof(is));
	unload_or_skip();
	registry_take(was);
	for (i = 0; i < 3; i++) {
		module_ensure();
		if (*test_node())
			await_node(true);
		unload_or_skip();
	}
	registry_take(is);
	for (i = 0; was[i].path; i++) {
		/* Processes come and go in /proc. */
		if (is[i].n < was[i].n + (strcmp(was[i].path, "/proc") ? 1 : 3))
			continue;
		test_fail(__FILE__, __LINE__,
			  "after three loads and unloads %s has %u entries, not %u", was[i].path,
			  is[i].n, was[i].n);
		facts->unclean = true;
	}
	module_ensure();
}

#define CPUS_MAX 64

#define SYSLOG_CONSOLE_LEVEL 8
#define LEVEL_NOTICES	     6
#define LEVEL_ALL	     8

static bool cpu_was_switched_off[CPUS_MAX];

static bool cpu_switch(int cpu, bool on)
{
	char path[64];
	bool done;
	int fd;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	done = write(fd, on ? "1" : "0", 1) == 1;
	close(fd);
	return done;
}

/*
 * A load or unload interrupts all other processors several times. To wake an emulated one takes far
 * longer than all the rest: without them it is three to six times cheaper.
 */
static void cpus_alone(void)
{
	char state[8], path[64];
	int cpu;

	for (cpu = 1; cpu < CPUS_MAX; cpu++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
		if (file_read(path, state, sizeof(state)) > 0 && state[0] == '1')
			cpu_was_switched_off[cpu] = cpu_switch(cpu, false);
	}
}

static void cpus_back(void)
{
	int cpu, tries;

	for (cpu = 1; cpu < CPUS_MAX; cpu++) {
		/* riscv64 refuses while the one that goes has not quite gone */
		for (tries = 0; cpu_was_switched_off[cpu] && tries < 100; tries++) {
			cpu_was_switched_off[cpu] = !cpu_switch(cpu, true);
			if (cpu_was_switched_off[cpu])
				usleep(20000);
		}
		if (cpu_was_switched_off[cpu])
			test_note("processor %d does not come back", cpu);
	}
}

/* Takes the usage after each part; 0, or what a load or unload said. */
static int load_rounds(struct usage *u, const char **what)
{
	unsigned int i, part;
	int ret;

	for (part = 0; part <= USAGE_PARTS; part++) {
		/* The first round finds what is made once. */
		for (i = 0; i < (part ? cycles / USAGE_PARTS : 3); i++) {
			*what = "unload";
			ret = module_unload(test_module());
			if (!ret) {
				*what = "load";
				ret = module_load(test_module(), conf.params);
			}
			if (ret)
				return ret;
		}
		usage_take(&u[part]);
	}
	return 0;
}

/* Defect 36: what was allocated at load was never dropped. */
CLAIM_WITH_TIMEOUT(module_leak, "module.leak", NEED_MODULE, LOADS_TIMEOUT,
		   "loading and unloading, a hundred times or --cycles, leaves no memory behind")
{
	static struct usage u[USAGE_PARTS + 1];
	const char *what = "";
	int ret;

	if (facts->unclean)
		SKIP("what unloading leaves registered is memory, too: see module.clean");
	if (cycles < LEAK_MIN)
		SKIP("%u loads do not tell; at least %u are needed", cycles, LEAK_MIN);
	if (!usage_open())
		SKIP("/proc/slabinfo: %s", errno_name(errno));
	unload_or_skip();
	module_ensure();
	cpus_alone();
	/* Two hundred times the same lines: a fifth of the cost. Warnings and worse are still shown. */
	klogctl(SYSLOG_CONSOLE_LEVEL, NULL, LEVEL_NOTICES);
	ret = load_rounds(u, &what);
	klogctl(SYSLOG_CONSOLE_LEVEL, NULL, LEVEL_ALL);
	cpus_back();
	if (ret) {
		test_fail(__FILE__, __LINE__, "%s: %s", what, result(ret));
		return;
	}
	usage_compare(u, cycles / USAGE_PARTS, "loads");
}

#define POISON "cdevlab!"

/* The kernel says at boot whether allocations are zeroed. */
static bool kernel_zeroes(void)
{
	static char log[1 << 18];
	const char *at;
	int len;

	len = klogctl(3, log, sizeof(log) - 1); /* SYSLOG_ACTION_READ_ALL */
	if (len > 0) {
		log[len] = '\0';
		at = strstr(log, "heap alloc:");
		if (at)
			return strncmp(at + 11, "on", 2) == 0;
	}
	if (file_read("/proc/cmdline", log, sizeof(log)) <= 0)
		return true;
	return !strstr(log, "init_on_alloc=0") && !strstr(log, "init_on_alloc=off");
}

/*
 * Leaves the poison in free kernel memory: in objects of every general cache, by the names of keys,
 * which stand in them and are not wiped when they go, and in pages, by memory of this process.
 */
static void poison_heap(void)
{
	static const size_t sizes[] = { 31, 63, 95, 127, 191, 255, 511, 1023, 2047, 4095 };
	static char desc[4096];
	size_t i, len = 4 << 20;
	unsigned int s, n, count;
	char *map;
	long ring;

	ring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0);
	for (s = 0; ring >= 0 && s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		count = sizes[s] < 1024 ? 20 : 12;
		for (n = 0; n < count; n++) {
			for (i = 0; i < sizes[s]; i++)
				desc[i] = POISON[i % 8];
			/*
			 * A name of its own for each, in its middle: the allocator links there,
			 * too.
			 */
			i = sizes[s] / 2 & ~(size_t)7;
			desc[i] = 'A' + n % 26;
			desc[sizes[s]] = '\0';
			syscall(SYS_add_key, "user", desc, "x", 1, ring);
		}
	}
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map != MAP_FAILED) {
		/* Page by page, from the smallest free blocks up: what a small object gets next. */
		madvise(map, len, MADV_NOHUGEPAGE);
		for (i = 0; i < len; i += 8)
			memcpy(map + i, POISON, 8);
		munmap(map, len);
	}
	if (ring >= 0) {
		syscall(SYS_keyctl, KEYCTL_CLEAR, ring, 0, 0, 0);
		/* A work item frees them after a grace period. */
		usleep(SETTLE_MS * 1000);
	}
}

/*
 * Leaves it in the device's own memory, if that keeps what is written. The kernel may have one cache
 * for each place that allocates (CONFIG_RANDOM_KMALLOC_CACHES), and then only the driver's own
 * objects come back to it.
 */
static void poison_device(void)
{
	char page[4096];
	off_t at = 0;
	long ret;
	int fd;

	if (!facts->positioned || !facts->writes)
		return;
	for (size_t i = 0; i < sizeof(page); i++)
		page[i] = POISON[i % 8];
	fd = dev_open(MODE_WRITE);
	do {
		ret = dev_pwrite(fd, page, sizeof(page), at);
		at += ret;
	} while (ret > 0 && at < 65536);
	close(fd);
}

static bool look_for_poison(const char *what, const unsigned char *buf, size_t len)
{
	size_t i, k;

	for (i = 0; i + 16 <= len; i++) {
		/* At any place of the pattern, but as long as two of it. */
		for (k = 0; k < 8; k++)
			if (!memcmp(buf + i, POISON POISON + k, 8))
				break;
		if (k == 8)
			continue;
		test_fail(__FILE__, __LINE__,
			  "%s holds what the kernel had freed before, from byte %zu", what, i);
		return true;
	}
	return false;
}

/* True when it is there. */
static bool look_in_device(void)
{
	bool found = false;
	static unsigned char buf[65536];
	const struct uapi_ioctl *call;
	unsigned int i;
	size_t len = 0;
	long ret = 0;
	int fd;

	fd = dev_open(MODE_ANY);
	if (facts->mode != O_WRONLY && facts->read == READ_DATA) {
		while (len < sizeof(buf)) {
			ret = dev_read(fd, buf + len, sizeof(buf) - len);
			if (ret <= 0)
				break;
			len += ret;
		}
		found = look_for_poison("what read gives", buf, len);
	}
	for (i = 0; i < conf.n_ioctls && !found; i++) {
		call = &conf.ioctls[i];
		len = _IOC_SIZE(call->cmd);
		if (!(_IOC_DIR(call->cmd) & _IOC_READ) || len > sizeof(buf))
			continue;
		memset(buf, 0, len);
		if (dev_ioctl(fd, call->cmd, buf) >= 0)
			found = look_for_poison(call->name, buf, len);
	}
	close(fd);
	return found;
}

/*
 * Memory given to user space is zeroed. The originals of mymem gave their first reader a piece of
 * heap.
 */
CLAIM(heap_hidden, "heap.hidden", NEED_NODE,
      "a fresh device gives out nothing that was freed in the kernel before")
{
	bool found;
	int i;

	if (kernel_zeroes())
		SKIP("this kernel zeroes every allocation: boot it with init_on_alloc=0");
	poison_heap();
	found = look_in_device();
	if (!*test_module())
		return;
	cpus_one();
	for (i = 0; i < 3 && !found; i++) {
		poison_device();
		if (module_users(test_module()) > 0 || module_unload(test_module()))
			break;
		if (i == 0)
			poison_heap();
		module_ensure();
		await_node(true);
		found = look_in_device();
	}
	cpus_all();
}
