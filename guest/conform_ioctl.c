// SPDX-License-Identifier: GPL-2.0
/*
 * Claims about ioctl: the number space, pointers, and whether the direction bits tell the truth
 * (Documentation/userspace-api/ioctl/ioctl-number.rst, Documentation/driver-api/ioctl.rst).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CLAIM_ORDER 203

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conform.h"

/* Without a known table, so many numbers that do not say ENOTTY may be the driver's own. */
#define OFFERED_MAX 32

/* A number of the table, or the same call with another size: an ABI that grows answers those. */
static bool is_known(unsigned int type, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < conf.n_ioctls; i++)
		if (_IOC_TYPE(conf.ioctls[i].cmd) == type && _IOC_NR(conf.ioctls[i].cmd) == nr)
			return true;
	return false;
}

/*
 * ioctl(2), ENOTTY: "the specified operation does not apply". Defect 8: EINVAL, which says "bad
 * argument".
 */
CLAIM(ioctl_unknown, "ioctl.unknown", NEED_NODE,
      "an ioctl that the driver does not know fails with ENOTTY, whatever its type, number, direction and size")
{
	static const unsigned int nrs[] = { 0, 1, 2, 3, 4, 7, 0x10, 0x40, 0x80, 0xff };
	static const unsigned int dirs[] = { _IOC_NONE, _IOC_READ, _IOC_WRITE,
					     _IOC_READ | _IOC_WRITE };
	static const unsigned int sizes[] = { 0, 4, 8, 24 };
	unsigned int type, n, d, other = 0, shown = 0, tried = 0;
	char *nowhere = unmapped_page();
	int fd = dev_open(MODE_ANY);
	unsigned long cmd;
	long ret;

	for (type = 0; type < 256; type++) {
		for (n = 0; n < sizeof(nrs) / sizeof(nrs[0]); n++) {
			if (conf_vfs_ioctl(type, nrs[n]) || is_known(type, nrs[n]))
				continue;
			for (d = 0; d < 4; d++) {
				cmd = _IOC(dirs[d], type, nrs[n], sizes[(d + type + n) % 4]);
				ret = dev_ioctl(fd, cmd, nowhere);
				tried++;
				if (ret == -ENOTTY)
					continue;
				other++;
				if (!conf.n_ioctls && other <= OFFERED_MAX)
					continue;
				if (shown++ < 4)
					test_fail(__FILE__, __LINE__,
						  "0x%08lx (type 0x%02x, nr %u): %s", cmd, type,
						  nrs[n], result(ret));
			}
		}
	}
	/* Old numbers have no direction, size or type. */
	for (n = 0; n < 2; n++) {
		cmd = n ? ~0U : 0xdeadU;
		ret = dev_ioctl(fd, cmd, nowhere);
		if (ret != -ENOTTY && !is_known(_IOC_TYPE(cmd), _IOC_NR(cmd)) && conf.n_ioctls)
			test_fail(__FILE__, __LINE__, "0x%08lx: %s", cmd, result(ret));
	}
	if (other)
		test_note("%u of %u numbers did not say ENOTTY", other, tried);
}

/* The declared argument, or zeros with what lies behind it. */
static void arg_fill(const struct uapi_ioctl *call, unsigned char *buf)
{
	const struct conf_arg *arg = conf_arg_of(call);
	size_t size = _IOC_SIZE(call->cmd);

	memset(buf, 0, size);
	if (arg)
		memcpy(buf, arg->bytes, arg->len < size ? arg->len : size);
}

/* The call as it is meant: in a page with room behind the argument. */
static long call_plain(int fd, const struct uapi_ioctl *call, unsigned char *page)
{
	arg_fill(call, page);
	return dev_ioctl(fd, call->cmd, page);
}

/* A refusal that comes before the argument is looked at. */
static bool refused_early(long ret)
{
	return ret == -EPERM || ret == -EACCES || ret == -EBADF || ret == -EBUSY ||
	       ret == -EOPNOTSUPP || ret == -ENODEV || ret == -ENXIO || ret == -ENOTTY ||
	       ret == -EINTR || ret == -EAGAIN;
}

#define for_each_call(call, dir)                                                   \
	for ((call) = conf.ioctls; (call) < conf.ioctls + conf.n_ioctls; (call)++) \
		if (_IOC_DIR((call)->cmd) == (unsigned int)(dir))

static bool have_dir(unsigned int dir)
{
	const struct uapi_ioctl *call;

	for_each_call(call, dir) return true;
	return false;
}

/*
 * What the header promises is there; a declared valid argument is accepted. Defect 6. What the module is declared
 * to be without is unknown to it.
 */
CLAIM(ioctl_known, "ioctl.known", NEED_IOCTL,
      "every ioctl of the header is there: none says ENOTTY, and a declared argument is accepted")
{
	unsigned char *page = page_filled(0);
	const struct uapi_ioctl *call;
	int fd = dev_open(MODE_ANY);
	long ret;

	for (call = conf.ioctls; call < conf.ioctls + conf.n_ioctls; call++) {
		ret = call_plain(fd, call, page);
		if (conf_absent(call)) {
			if (ret != -ENOTTY)
				test_fail(__FILE__, __LINE__, "%s: %s, declared to be absent",
					  call->name, result(ret));
			continue;
		}
		if (ret == -ENOTTY || (ret < 0 && conf_arg_of(call)))
			test_fail(__FILE__, __LINE__, "%s: %s", call->name, result(ret));
	}
}

/* ioctl(2), EFAULT: "argp references an inaccessible memory area". */
CLAIM(ioctl_fault, "ioctl.fault", NEED_IOCTL,
      "an ioctl with an argument fails with EFAULT when that is in unmapped or kernel memory")
{
	void *bad[] = { unmapped_page(), (void *)(uintptr_t)-4096, kernel_address() };
	unsigned char *page = page_filled(0);
	const struct uapi_ioctl *call;
	int fd = dev_open(MODE_ANY);
	unsigned int i, n = 0;
	long plain, ret;

	for (call = conf.ioctls; call < conf.ioctls + conf.n_ioctls; call++) {
		if (_IOC_DIR(call->cmd) == _IOC_NONE || !_IOC_SIZE(call->cmd))
			continue;
		n++;
		plain = call_plain(fd, call, page);
		for (i = 0; i < 3; i++) {
			/* That place is not to be written to, were it let through. */
			if (!bad[i] || (i == 2 && _IOC_DIR(call->cmd) == _IOC_READ))
				continue;
			ret = dev_ioctl(fd, call->cmd, bad[i]);
			if (ret == -EFAULT || (ret == plain && refused_early(ret)))
				continue;
			test_fail(__FILE__, __LINE__, "%s with argument at %p: %s", call->name,
				  bad[i], result(ret));
		}
	}
	if (!n)
		SKIP("no known ioctl has an argument");
}

/*
 * _IO: "an ioctl with no parameters". The number may be an argument of its own, never an address.
 */
CLAIM(ioctl_io, "ioctl.io", NEED_IOCTL, "an IO ioctl touches no memory: no EFAULT, nothing written")
{
	unsigned char *page = page_filled(0xc7);
	const struct uapi_ioctl *call;
	int fd = dev_open(MODE_ANY);
	unsigned int i;

	if (!have_dir(_IOC_NONE))
		SKIP("no known ioctl is an IO");
	for_each_call(call, _IOC_NONE)
	{
		if (dev_ioctl(fd, call->cmd, unmapped_page()) == -EFAULT)
			test_fail(__FILE__, __LINE__, "%s is an _IO and says EFAULT", call->name);
		dev_ioctl(fd, call->cmd, page);
		for (i = 0; i < 256; i++) {
			if (page[i] == 0xc7)
				continue;
			test_fail(__FILE__, __LINE__, "%s is an _IO and writes", call->name);
			memset(page, 0xc7, 256);
		}
	}
}

/* _IOW: the kernel reads. A const struct in a read-only page is a fine argument. */
CLAIM(ioctl_iow, "ioctl.iow", NEED_IOCTL,
      "an IOW ioctl does not write: its argument is unchanged and may be read-only")
{
	unsigned char *page = page_filled(0), before[16384];
	const struct uapi_ioctl *call;
	int fd = dev_open(MODE_ANY);
	size_t size;
	long plain, ret;

	if (!have_dir(_IOC_WRITE))
		SKIP("no known ioctl is an IOW");
	for_each_call(call, _IOC_WRITE)
	{
		size = _IOC_SIZE(call->cmd);
		if (size > sizeof(before) || size > page_size())
			continue;
		arg_fill(call, before);
		plain = call_plain(fd, call, page);
		if (memcmp(before, page, size))
			test_fail(__FILE__, __LINE__, "%s is an _IOW and writes", call->name);
		ret = dev_ioctl(fd, call->cmd, readonly_page(before, size));
		if (ret != plain && ret == -EFAULT)
			test_fail(__FILE__, __LINE__, "%s: %s, in a read-only page %s", call->name,
				  result(plain), result(ret));
	}
}

/* _IOR: the kernel writes, all of the argument: success never leaves bytes as they were. */
CLAIM(ioctl_ior_writes, "ioctl.ior-writes", NEED_IOCTL,
      "an IOR ioctl writes the whole of its argument and fails with EFAULT when that is read-only")
{
	static unsigned char out[2][16384], zeros[16384];
	unsigned char *page = page_filled(0);
	const struct uapi_ioctl *call;
	int fd = dev_open(MODE_ANY);
	size_t size, i;
	long ret[2];

	if (!have_dir(_IOC_READ))
		SKIP("no known ioctl is an IOR");
	for_each_call(call, _IOC_READ)
	{
		size = _IOC_SIZE(call->cmd);
		if (size > sizeof(zeros) || size > page_size())
			continue;
		for (i = 0; i < 2; i++) {
			memset(page, i ? 0xff : 0, size);
			ret[i] = dev_ioctl(fd, call->cmd, page);
			memcpy(out[i], page, size);
		}
		for (i = 0; i < size && ret[0] >= 0 && ret[1] >= 0; i++) {
			if (out[0][i] == 0 && out[1][i] == 0xff) {
				test_fail(__FILE__, __LINE__,
					  "%s succeeds and leaves byte %zu as it was", call->name,
					  i);
				break;
			}
		}
		if (ret[0] < 0)
			continue;
		ret[1] = dev_ioctl(fd, call->cmd, readonly_page(zeros, size));
		if (ret[1] != -EFAULT)
			test_fail(__FILE__, __LINE__, "%s into a read-only page: %s", call->name,
				  result(ret[1]));
	}
}

/* _IOR: the kernel does not read. Defect 7: GET was one, and read the pin from its argument. */
CLAIM(ioctl_ior_input, "ioctl.ior-input", NEED_IOCTL,
      "an IOR ioctl does not read: its result is the same whatever its argument held before")
{
	static const unsigned char fills[] = { 0x00, 0xff, 0x01, 0x5a };
	static unsigned char out[2][16384];
	unsigned char *page = page_filled(0);
	long first = 0, ret, again;
	const struct uapi_ioctl *call;
	int fd = dev_open(MODE_ANY);
	size_t size, i, n;

	if (!have_dir(_IOC_READ))
		SKIP("no known ioctl is an IOR");
	for_each_call(call, _IOC_READ)
	{
		size = _IOC_SIZE(call->cmd);
		if (size > sizeof(out[0]) || size > page_size())
			continue;
		for (n = 0; n < sizeof(fills); n++) {
			memset(page, fills[n], size);
			ret = dev_ioctl(fd, call->cmd, page);
			memcpy(out[n > 0], page, size);
			memset(page, fills[n], size);
			again = dev_ioctl(fd, call->cmd, page);
			if (!n)
				first = ret;
			if (ret != first && ret == again) {
				test_fail(__FILE__, __LINE__, "%s: %s over 0x00, %s over 0x%02x",
					  call->name, result(first), result(ret), fills[n]);
				break;
			}
			/* What changes by itself, a time for example, says nothing. */
			if (ret < 0 || memcmp(out[n > 0], page, size) || !n)
				continue;
			for (i = 0; i < size; i++)
				if (out[1][i] != out[0][i] && out[1][i] != fills[n])
					break;
			memset(page, 0, size);
			dev_ioctl(fd, call->cmd, page);
			if (i < size && !memcmp(out[0], page, size)) {
				test_fail(__FILE__, __LINE__,
					  "%s: byte %zu depends on what was there", call->name, i);
				break;
			}
		}
	}
}

/* _IOWR: reads and writes; a result that cannot be written is not a success. */
CLAIM(ioctl_iowr, "ioctl.iowr", NEED_IOCTL,
      "an IOWR ioctl fails with EFAULT when its argument is read-only")
{
	static unsigned char before[16384];
	unsigned char *page = page_filled(0);
	const struct uapi_ioctl *call;
	int fd = dev_open(MODE_ANY);
	size_t size;
	long ret;

	if (!have_dir(_IOC_READ | _IOC_WRITE))
		SKIP("no known ioctl is an IOWR");
	for_each_call(call, _IOC_READ | _IOC_WRITE)
	{
		size = _IOC_SIZE(call->cmd);
		if (size > sizeof(before) || size > page_size())
			continue;
		if (call_plain(fd, call, page) < 0)
			continue;
		arg_fill(call, before);
		ret = dev_ioctl(fd, call->cmd, readonly_page(before, size));
		if (ret != -EFAULT)
			test_fail(__FILE__, __LINE__, "%s with a read-only argument: %s",
				  call->name, result(ret));
	}
}

/* The size in the number is the size of the argument: not a byte more is read or written. */
CLAIM(ioctl_size, "ioctl.size", NEED_IOCTL,
      "an ioctl touches no byte beyond the size that its number tells")
{
	unsigned char *page = page_filled(0), *end, *nowhere;
	const struct uapi_ioctl *call;
	int fd = dev_open(MODE_ANY);
	size_t size, i;
	long plain, ret;

	nowhere = page_filled(0);
	nowhere += page_size();
	for (call = conf.ioctls; call < conf.ioctls + conf.n_ioctls; call++) {
		size = _IOC_SIZE(call->cmd);
		if (_IOC_DIR(call->cmd) == _IOC_NONE || !size || size > page_size() / 2)
			continue;
		memset(page, 0xb6, page_size());
		plain = call_plain(fd, call, page);
		for (i = size; i < page_size() && page[i] == 0xb6; i++)
			;
		if (i < page_size())
			test_fail(__FILE__, __LINE__, "%s of %zu bytes writes byte %zu", call->name,
				  size, i);
		end = nowhere - size;
		arg_fill(call, end);
		ret = dev_ioctl(fd, call->cmd, end);
		if (ret == -EFAULT && plain != ret)
			test_fail(__FILE__, __LINE__,
				  "%s: %s, and EFAULT when nothing is mapped behind its %zu bytes",
				  call->name, result(plain), size);
	}
}
