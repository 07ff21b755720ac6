// SPDX-License-Identifier: GPL-2.0
/*
 * What a snapshot costs. The floor is the driver's own answer to a call that it does not know: the
 * way into the driver and back.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "exact.h"
#include "rvcpu.h"

static int fd = -1;
static char read_buffer[sizeof(struct rvcpu_counters)];
static struct rvcpu_counters counters, first;
static struct rvcpu_snapshot request;
static struct rvcpu_record records[RVCPU_RECORDS_MAX], first_record;

static int open_node(const char *node)
{
	fd = open(node, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : 0;
}

static void close_node(void)
{
	if (fd >= 0)
		close(fd);
	fd = -1;
}

static void run_unknown(void)
{
	ioctl(fd, _IOR(RVCPU_IOC_MAGIC, 0x82, struct rvcpu_counters), &counters);
}

static int check_unknown(void)
{
	return ioctl(fd, _IOR(RVCPU_IOC_MAGIC, 0x82, struct rvcpu_counters), &counters) == -1 &&
			       errno == ENOTTY ?
		       0 :
		       -EIO;
}

/* Without cycle and instret the first ABI has nothing to give: -EOPNOTSUPP, the row is skipped. */
static int open_first(const char *node)
{
	int ret = open_node(node);

	if (!ret && ioctl(fd, RVCPU_READ, &first))
		ret = -errno;
	return ret;
}

static void run_first(void)
{
	ioctl(fd, RVCPU_READ, &counters);
}

/* Time went on, and so did what was there to begin with. */
static int check_counters(void)
{
	if (counters.time <= first.time)
		return -EIO;
	if (first.cycle != RVCPU_ABSENT && counters.cycle <= first.cycle)
		return -EIO;
	if (first.instret != RVCPU_ABSENT && counters.instret <= first.instret)
		return -EIO;
	return 0;
}

static void run_read(void)
{
	pread(fd, read_buffer, sizeof(read_buffer), 0);
}

static int open_read(const char *node)
{
	int ret = open_first(node);

	memset(read_buffer, 0, sizeof(read_buffer));
	return ret;
}

/* What was there at open, before the ioctl. */
static int check_read(void)
{
	memcpy(&counters, read_buffer, sizeof(counters));
	return counters.time && counters.time < first.time ? 0 : -EIO;
}

static int open_second(const char *node, __u32 which, __u32 cpu, __u32 rounds, __u32 skip)
{
	int ret = open_node(node);

	if (ret)
		return ret;
	request = (struct rvcpu_snapshot){
		.size = sizeof(request),
		.which = which,
		.cpu = cpu,
		.rounds = rounds,
		.skip = skip,
		.record_size = sizeof(records[0]),
		.records = (unsigned long)records,
	};
	/* How many there would be. A device of the first ABI only: the row is skipped. */
	if (ioctl(fd, RVCPU_SNAPSHOT, &request))
		return errno == ENOTTY ? -EOPNOTSUPP : -errno;
	if (ioctl(fd, RVCPU_SNAPSHOT, &request))
		return -errno;
	first_record = records[0];
	return 0;
}

static int open_this(const char *node)
{
	return open_second(node, RVCPU_ONE, RVCPU_THIS_CPU, 1, 0);
}

static int open_brief(const char *node)
{
	return open_second(node, RVCPU_ONE, RVCPU_THIS_CPU, 1, RVCPU_KTIME);
}

static int open_own(const char *node)
{
	int cpu = sched_getcpu();

	return cpu < 0 ? -errno : open_second(node, RVCPU_ONE, cpu, 1, 0);
}

static int open_all(const char *node)
{
	return open_second(node, RVCPU_ALL, 0, 1, 0);
}

static int open_rounds(const char *node)
{
	return open_second(node, RVCPU_ONE, RVCPU_THIS_CPU, RVCPU_RECORDS_MAX, 0);
}

static void run_second(void)
{
	ioctl(fd, RVCPU_SNAPSHOT, &request);
}

static int check_second(void)
{
	const struct rvcpu_record *last = &records[request.count - 1];

	if (!(last->live & RVCPU_TIME) || last->time <= first_record.time ||
	    (!request.skip &&
	     (last->before_ns <= first_record.before_ns || last->after_ns < last->before_ns)))
		return -EIO;
	if (last->live & RVCPU_CYCLE && last->cycle <= first_record.cycle)
		return -EIO;
	if (last->live & RVCPU_INSTRET && last->instret <= first_record.instret)
		return -EIO;
	return 0;
}

static const struct exact_op ops[] = {
	{ .name = "unknown ioctl",
	  .open = open_node,
	  .run = run_unknown,
	  .check = check_unknown,
	  .close = close_node },
	{ .name = "READ",
	  .floor = "unknown ioctl",
	  .open = open_first,
	  .run = run_first,
	  .check = check_counters,
	  .close = close_node },
	{ .name = "SNAPSHOT, this CPU",
	  .floor = "unknown ioctl",
	  .open = open_this,
	  .run = run_second,
	  .check = check_second,
	  .close = close_node },
	{ .name = "SNAPSHOT, no ktime",
	  .floor = "unknown ioctl",
	  .open = open_brief,
	  .run = run_second,
	  .check = check_second,
	  .close = close_node },
	{ .name = "SNAPSHOT, own number",
	  .floor = "unknown ioctl",
	  .open = open_own,
	  .run = run_second,
	  .check = check_second,
	  .close = close_node },
	{ .name = "SNAPSHOT, all CPUs",
	  .floor = "unknown ioctl",
	  .open = open_all,
	  .run = run_second,
	  .check = check_second,
	  .close = close_node },
	{ .name = "SNAPSHOT, 1024 rounds",
	  .floor = "unknown ioctl",
	  .open = open_rounds,
	  .run = run_second,
	  .check = check_second,
	  .close = close_node,
	  .spread = true },
	{ .name = "pread",
	  .floor = "syscall",
	  .open = open_read,
	  .run = run_read,
	  .check = check_read,
	  .close = close_node },
};

int main(int argc, char **argv)
{
	return exact_main(argc, argv, ops, sizeof(ops) / sizeof(ops[0]));
}
