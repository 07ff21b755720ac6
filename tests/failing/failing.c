// SPDX-License-Identifier: GPL-2.0
/*
 * A text that is kept. It is right with bug=none, and has exactly one wrong error path with any other name: something
 * that no test can show as long as there is memory. expect.txt says what gives it away.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kobject.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "failing.h"

static char *bug = "none";
module_param(bug, charp, 0444);
MODULE_PARM_DESC(bug, "Name of the one fault to have (default: none)");

struct failing {
	struct miscdevice misc;
	struct kobject *dir; /* /sys/kernel/failing, with nothing in it */
	char *text;
	u64 ticket;
};

/* Each open has a copy of the text: what it reads. */
struct failing_file {
	char *text;
};

static DEFINE_MUTEX(failing_lock); /* the text and the tickets */
static struct failing *failing;

static bool is_bug(const char *name)
{
	return !strcmp(bug, name);
}

/* bug=leak: the file stays behind. bug=users: what was taken for it. */
static int failing_open(struct inode *inode, struct file *file)
{
	struct failing_file *ff = kzalloc(sizeof(*ff), GFP_KERNEL);
	int ret = -ENOMEM;

	if (!ff)
		return ret;
	if (is_bug("users"))
		__module_get(THIS_MODULE);
	if (mutex_lock_interruptible(&failing_lock)) {
		ret = -ERESTARTSYS;
		goto out_free;
	}
	ff->text = kmemdup(failing->text, FAILING_ROOM, GFP_KERNEL);
	mutex_unlock(&failing_lock);
	if (!ff->text) {
		if (is_bug("leak"))
			return -ENOMEM;
		goto out_free;
	}
	file->private_data = ff;
	return 0;

out_free:
	kfree(ff);
	return ret;
}

static int failing_release(struct inode *inode, struct file *file)
{
	struct failing_file *ff = file->private_data;

	kfree(ff->text);
	kfree(ff);
	if (is_bug("users"))
		module_put(THIS_MODULE);
	return 0;
}

static ssize_t failing_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	const struct failing_file *ff = file->private_data;

	return simple_read_from_buffer(buf, len, pos, ff->text, FAILING_ROOM);
}

/* bug=swallowed: there is nobody to tell. bug=errno: it cannot be said. */
static ssize_t failing_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	char *text, *old;

	if (len != FAILING_ROOM)
		return -EINVAL;
	text = memdup_user(buf, len);
	if (IS_ERR(text) && is_bug("swallowed"))
		return len;
	if (IS_ERR(text))
		return is_bug("errno") ? -EIO : PTR_ERR(text);
	if (mutex_lock_interruptible(&failing_lock)) {
		kfree(text);
		return -ERESTARTSYS;
	}
	old = failing->text;
	failing->text = text;
	mutex_unlock(&failing_lock);
	kfree(old);
	return len;
}

/* bug=null: there always is some memory. bug=lock: out without the lock's being given back. */
static long failing_turned(char __user *to)
{
	char *turned;
	long ret = 0;
	int i;

	if (mutex_lock_interruptible(&failing_lock))
		return -ERESTARTSYS;
	turned = kmalloc(FAILING_ROOM, GFP_KERNEL);
	if (!turned && !is_bug("null")) {
		if (!is_bug("lock"))
			mutex_unlock(&failing_lock);
		return -ENOMEM;
	}
	for (i = 0; i < FAILING_ROOM; i++)
		turned[i] = failing->text[FAILING_ROOM - 1 - i];
	mutex_unlock(&failing_lock);
	if (copy_to_user(to, turned, FAILING_ROOM))
		ret = -EFAULT;
	kfree(turned);
	return ret;
}

/* bug=lost: a ticket that could not be handed out is gone. */
static long failing_ticket(char __user *to)
{
	long ret = 0;

	if (mutex_lock_interruptible(&failing_lock))
		return -ERESTARTSYS;
	if (copy_to_user(to, &failing->ticket, sizeof(failing->ticket)))
		ret = -EFAULT;
	if (!ret || is_bug("lost"))
		failing->ticket++;
	mutex_unlock(&failing_lock);
	return ret;
}

static long failing_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case FAILING_TURNED:
		return failing_turned((char __user *)arg);
	case FAILING_TICKET:
		return failing_ticket((char __user *)arg);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations failing_fops = {
	.owner = THIS_MODULE,
	.open = failing_open,
	.release = failing_release,
	.read = failing_read,
	.write = failing_write,
	.llseek = default_llseek,
	.unlocked_ioctl = failing_ioctl,
};

/*
 * bug=early: the device can be opened before the last thing that can fail. bug=order: the same, and it goes after the
 * memory that it lies in. bug=node: a driver without its node.
 */
static int __init failing_init(void)
{
	bool early = is_bug("early") || is_bug("order");
	int ret = -ENOMEM;

	failing = kzalloc(sizeof(*failing), GFP_KERNEL);
	if (!failing)
		return -ENOMEM;
	failing->text = kzalloc(FAILING_ROOM, GFP_KERNEL);
	if (!failing->text)
		goto out_free;
	failing->misc.minor = MISC_DYNAMIC_MINOR;
	failing->misc.name = "failing";
	failing->misc.mode = 0666;
	failing->misc.fops = &failing_fops;
	if (early) {
		ret = misc_register(&failing->misc);
		if (ret)
			goto out_free;
	}
	failing->dir = kobject_create_and_add("failing", kernel_kobj);
	if (!failing->dir) {
		ret = -ENOMEM;
		goto out_device;
	}
	if (early)
		return 0;
	ret = misc_register(&failing->misc);
	if (ret && is_bug("node"))
		failing->misc.fops = NULL;
	else if (ret)
		goto out_dir;
	return 0;

out_dir:
	kobject_put(failing->dir);
	goto out_free;
out_device:
	if (is_bug("order")) {
		kfree(failing->text);
		kfree(failing);
		misc_deregister(&failing->misc);
		return ret;
	}
	if (early)
		misc_deregister(&failing->misc);
out_free:
	kfree(failing->text);
	kfree(failing);
	return ret;
}

static void __exit failing_exit(void)
{
	kobject_put(failing->dir);
	if (failing->misc.fops)
		misc_deregister(&failing->misc);
	kfree(failing->text);
	kfree(failing);
}

module_init(failing_init);
module_exit(failing_exit);

MODULE_DESCRIPTION("A driver with one wrong error path each");
MODULE_LICENSE("GPL");
