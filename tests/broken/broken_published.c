// SPDX-License-Identifier: GPL-2.0
/*
 * The behaviour of the published virtual GPIO driver (wait queue and spinlock), in our words: what
 * a suite for character devices has to find. Every oddity below is there on purpose.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/device.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/wait.h>

#include "broken_published.h"

#define PINS 8
#define NAME "broken_published"

static DECLARE_WAIT_QUEUE_HEAD(published_wait);
static DEFINE_SPINLOCK(published_lock);
static bool published_pins[PINS];
static bool published_changed;
static struct class *published_class;

static int published_open(struct inode *inode, struct file *file)
{
	/* Unchecked, and redundant with .owner. */
	if (!try_module_get(THIS_MODULE))
		pr_warn("no module\n");
	pr_info("opened\n");
	return 0;
}

static int published_release(struct inode *inode, struct file *file)
{
	module_put(THIS_MODULE);
	pr_info("closed\n");
	return 0;
}

/* One flag for all; the length is not looked at; the event is gone before it is copied. */
static ssize_t published_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	char byte = 1;

	if (wait_event_interruptible(published_wait, published_changed))
		return -ERESTARTSYS;
	published_changed = false;
	if (copy_to_user(buf, &byte, 1))
		return -EFAULT;
	return 1;
}

static long published_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct broken_published_pin p;

	switch (cmd) {
	case BROKEN_PUBLISHED_SET:
	case BROKEN_PUBLISHED_GET:
		if (copy_from_user(&p, (void __user *)arg, sizeof(p)))
			return -EFAULT;
		if (p.pin < 0 || p.pin >= PINS)
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	spin_lock(&published_lock);
	if (cmd == BROKEN_PUBLISHED_SET)
		published_pins[p.pin] = p.value;
	p.value = published_pins[p.pin];
	spin_unlock(&published_lock);
	if (cmd == BROKEN_PUBLISHED_SET) {
		published_changed = true;
		wake_up_interruptible(&published_wait);
		return 0;
	}
	return copy_to_user((void __user *)arg, &p, sizeof(p)) ? -EFAULT : 0;
}

static const struct file_operations published_fops = {
	.owner = THIS_MODULE,
	.open = published_open,
	.release = published_release,
	.read = published_read,
	.unlocked_ioctl = published_ioctl,
};

static int __init published_init(void)
{
	struct device *dev;
	int ret;

	ret = register_chrdev(BROKEN_PUBLISHED_MAJOR, NAME, &published_fops);
	if (ret < 0)
		return ret;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
	published_class = class_create(THIS_MODULE, NAME);
#else
	published_class = class_create(NAME);
#endif
	/* Here the original did not look; a proof need not crash the kernel for that. */
	if (IS_ERR(published_class)) {
		ret = PTR_ERR(published_class);
		goto err_chrdev;
	}
	dev = device_create(published_class, NULL, MKDEV(BROKEN_PUBLISHED_MAJOR, 0), NULL, NAME);
	if (IS_ERR(dev)) {
		ret = PTR_ERR(dev);
		goto err_class;
	}
	return 0;

err_class:
	class_destroy(published_class);
err_chrdev:
	unregister_chrdev(BROKEN_PUBLISHED_MAJOR, NAME);
	return ret;
}

static void __exit published_exit(void)
{
	device_destroy(published_class, MKDEV(BROKEN_PUBLISHED_MAJOR, 0));
	class_destroy(published_class);
	unregister_chrdev(BROKEN_PUBLISHED_MAJOR, NAME);
}

module_init(published_init);
module_exit(published_exit);

MODULE_DESCRIPTION(
	"The published virtual GPIO driver's behaviour, for the proofs of the conformance suite");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
