// SPDX-License-Identifier: GPL-2.0
/*
 * A device that one at a time can have open. Who gets it is decided by one compare-and-exchange of
 * one word; what happens to the others is the policy: they are refused, they wait, or they are let
 * in when they are the same user's.
 *
 * Not a misc device: misc_open() calls the driver's open with a lock held that every other misc
 * device's open needs, so that one which waits here would stop them all.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/build_bug.h>
#include <linux/capability.h>
#include <linux/cdev.h>
#include <linux/cred.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kdev_t.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/uidgid.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <linux/wait.h>

#include "greeter.h"

/* The state of an open is one number: private_data is large enough for it. */
static_assert(sizeof(void *) >= sizeof(u64));

enum greeter_policy {
	POLICY_BUSY,
	POLICY_WAIT,
	POLICY_UID,
};

static const char *const greeter_policies[] = {
	[POLICY_BUSY] = GREETER_POLICY_BUSY,
	[POLICY_WAIT] = GREETER_POLICY_WAIT,
	[POLICY_UID] = GREETER_POLICY_UID,
};

static char *policy = GREETER_POLICY_DEFAULT;
module_param(policy, charp, 0444);
MODULE_PARM_DESC(policy, "What a second open meets: busy, wait or uid (default busy)");

static unsigned int mode = GREETER_MODE_DEFAULT;
module_param(mode, uint, 0444);
MODULE_PARM_DESC(mode, "Permissions of the node, octal with a leading 0 (default 0444)");

static enum greeter_policy greeter_policy __ro_after_init;
static dev_t greeter_number;
static struct class *greeter_class;
static struct cdev *greeter_cdev;

/*
 * Who has it: 0 for nobody, 1 for somebody. With policy uid, the number of opens in the low half
 * and in the high one the user to whom they belong, who means nothing while there are none.
 */
static atomic64_t greeter_holders;
#define GREETER_USER_SHIFT 32

/* Successful opens. */
static atomic64_t greeter_greetings;

/* Opens that wait. */
static DECLARE_WAIT_QUEUE_HEAD(greeter_queue);

static bool greeter_take(void)
{
	return atomic64_cmpxchg(&greeter_holders, 0, 1) == 0;
}

static noinline int greeter_take_waiting(struct file *file)
{
	if (greeter_take())
		return 0;
	if (file->f_flags & O_NONBLOCK)
		return -EAGAIN;
	/*
	 * Exclusive: a release wakes up one, for only one can have it. That one tries again, signal
	 * or not, before it gives up, so no wake-up is lost with it; and when somebody else was
	 * faster, that one's release is the next wake-up.
	 */
	return wait_event_interruptible_exclusive(greeter_queue, greeter_take());
}

/* As LDD3's scull: whose user it is, who acts as that user, and who may override permissions. */
static bool greeter_may_share(u32 user)
{
	return user == __kuid_val(current_uid()) || user == __kuid_val(current_euid()) ||
	       capable(CAP_DAC_OVERRIDE);
}

static noinline int greeter_take_shared(void)
{
	s64 old = atomic64_read(&greeter_holders), new;

	do {
		if (!lower_32_bits(old))
			new = (u64)__kuid_val(current_uid()) << GREETER_USER_SHIFT | 1;
		else if (!greeter_may_share((u64)old >> GREETER_USER_SHIFT))
			return -EBUSY;
		else if (lower_32_bits(old) == U32_MAX)
			return -ENFILE;
		else
			new = old + 1;
	} while (!atomic64_try_cmpxchg(&greeter_holders, &old, new));
	return 0;
}

static int greeter_open(struct inode *inode, struct file *file)
{
	int ret;

	/* The kernel would refuse it after this, and it would have been taken and counted. */
	if (file->f_flags & O_DIRECT)
		return -EINVAL;

	switch (greeter_policy) {
	case POLICY_WAIT:
		ret = greeter_take_waiting(file);
		break;
	case POLICY_UID:
		ret = greeter_take_shared();
		break;
	default:
		ret = greeter_take() ? 0 : -EBUSY;
	}
	if (ret)
		return ret;

	file->private_data = (void *)(unsigned long)atomic64_inc_return(&greeter_greetings);
	/* read_iter never sleeps. */
	file->f_mode |= FMODE_NOWAIT;
	return 0;
}

/* Called when the last descriptor of an open is closed, whichever process that one is in. */
static int greeter_release(struct inode *inode, struct file *file)
{
	/* What the holder did is done for the one who takes it next. */
	if (greeter_policy == POLICY_UID) {
		atomic64_dec_return_release(&greeter_holders);
		return 0;
	}
	atomic64_set_release(&greeter_holders, 0);
	/*
	 * Has a full barrier between giving it back and the look at the queue. It pairs with the
	 * one between queueing up and trying again in wait_event: one of the two sees the other.
	 */
	if (greeter_policy == POLICY_WAIT && wq_has_sleeper(&greeter_queue))
		wake_up_interruptible(&greeter_queue);
	return 0;
}

/* Not by printf, which would cost more than all the rest of a read. Returns the length. */
static unsigned int greeter_line(const struct file *file, char line[GREETER_LINE_MAX])
{
	u64 n = (u64)(unsigned long)file->private_data;
	char digits[20], *at = digits + sizeof(digits);
	size_t len = sizeof(GREETER_LINE_BEGIN) - 1;

	memcpy(line, GREETER_LINE_BEGIN, len);
	do {
		*--at = '0' + n % 10;
		n /= 10;
	} while (n);
	while (at < digits + sizeof(digits))
		line[len++] = *at++;
	memcpy(line + len, GREETER_LINE_END, sizeof(GREETER_LINE_END) - 1);
	return len + sizeof(GREETER_LINE_END) - 1;
}

static ssize_t greeter_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	char line[GREETER_LINE_MAX];
	unsigned int len;
	size_t done;

	if (iocb->ki_pos >= (loff_t)sizeof(line) || !iov_iter_count(to))
		return 0;
	len = greeter_line(iocb->ki_filp, line);
	if (iocb->ki_pos >= len)
		return 0;
	done = copy_to_iter(line + iocb->ki_pos, len - iocb->ki_pos, to);
	if (!done)
		return -EFAULT;
	iocb->ki_pos += done;
	return done;
}

static loff_t greeter_llseek(struct file *file, loff_t offset, int whence)
{
	char line[GREETER_LINE_MAX];

	return generic_file_llseek_size(file, offset, whence, MAX_LFS_FILESIZE,
					greeter_line(file, line));
}

/* copy_splice_read() took the place of the generic one in 6.5. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#define greeter_splice_read copy_splice_read
#else
#define greeter_splice_read generic_file_splice_read
#endif

static const struct file_operations greeter_fops = {
	.owner = THIS_MODULE,
	.open = greeter_open,
	.release = greeter_release,
	.read_iter = greeter_read_iter,
	.splice_read = greeter_splice_read,
	.llseek = greeter_llseek,
};

/* The device became const in 6.2. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
static char *greeter_devnode(const struct device *dev, umode_t *node_mode)
#else
static char *greeter_devnode(struct device *dev, umode_t *node_mode)
#endif
{
	/* NULL when only the name is asked for, which is the device's own. */
	if (node_mode)
		*node_mode = mode;
	return NULL;
}

/* class_create() lost its first argument in 6.4. */
static struct class *greeter_create_class(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	return class_create(GREETER_NAME);
#else
	return class_create(THIS_MODULE, GREETER_NAME);
#endif
}

static int __init greeter_init(void)
{
	struct device *dev;
	int ret;

	ret = match_string(greeter_policies, ARRAY_SIZE(greeter_policies), policy);
	if (ret < 0) {
		pr_err("policy \"%s\": expected busy, wait or uid\n", policy);
		return -EINVAL;
	}
	greeter_policy = ret;
	/* devtmpfs takes mode 0 for "not given". */
	if (!mode || mode & ~0666) {
		pr_err("mode %#o: expected read and write permissions, 02 to 0666\n", mode);
		return -EINVAL;
	}

	ret = alloc_chrdev_region(&greeter_number, 0, 1, GREETER_NAME);
	if (ret) {
		pr_err("cannot get a device number: %d\n", ret);
		return ret;
	}

	greeter_class = greeter_create_class();
	if (IS_ERR(greeter_class)) {
		ret = PTR_ERR(greeter_class);
		pr_err("cannot create the class: %d\n", ret);
		goto err_region;
	}
	greeter_class->devnode = greeter_devnode;

	greeter_cdev = cdev_alloc();
	if (!greeter_cdev) {
		ret = -ENOMEM;
		goto err_class;
	}
	greeter_cdev->ops = &greeter_fops;
	greeter_cdev->owner = THIS_MODULE;

	dev = device_create(greeter_class, NULL, greeter_number, NULL, GREETER_NAME);
	if (IS_ERR(dev)) {
		ret = PTR_ERR(dev);
		pr_err("cannot create the node: %d\n", ret);
		goto err_cdev;
	}
	/*
	 * Until here an open is ENXIO. From here on it succeeds, and a load that fails waits for nobody
	 * who has the device open, or waits for it: so nothing that can fail may come later.
	 */
	ret = cdev_add(greeter_cdev, greeter_number, 1);
	if (ret) {
		pr_err("cannot add the device: %d\n", ret);
		goto err_node;
	}
	pr_info("/dev/" GREETER_NAME ", policy %s\n", policy);
	return 0;

err_node:
	device_destroy(greeter_class, greeter_number);
err_cdev:
	kobject_put(&greeter_cdev->kobj);
err_class:
	class_destroy(greeter_class);
err_region:
	unregister_chrdev_region(greeter_number, 1);
	return ret;
}

static void __exit greeter_exit(void)
{
	device_destroy(greeter_class, greeter_number);
	cdev_del(greeter_cdev);
	class_destroy(greeter_class);
	unregister_chrdev_region(greeter_number, 1);
	pr_info("removed\n");
}

module_init(greeter_init);
module_exit(greeter_exit);

MODULE_DESCRIPTION("A device that one at a time can have open");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
