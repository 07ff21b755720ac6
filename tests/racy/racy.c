// SPDX-License-Identifier: GPL-2.0
/*
 * A text that is read and replaced. It is right with bug=none, and has exactly one race with any other name:
 * something that no single call can show, and that many at once do. expect.txt says how.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "racy.h"

static char *bug = "none";
module_param(bug, charp, 0444);
MODULE_PARM_DESC(bug, "Name of the one fault to have (default: none)");

/* The text as it is; a write puts another one in its place. */
struct racy_text {
	refcount_t refs;
	size_t len;
	char bytes[RACY_ROOM];
};

static DEFINE_MUTEX(racy_lock); /* opens, the current text, changes */
static unsigned int racy_opens;
static struct racy_text *racy_current; /* there while anybody has it open */
static u64 racy_changes;

static DEFINE_MUTEX(racy_writer);  /* one write at a time */
static DEFINE_SPINLOCK(racy_asks); /* one question at a time */

static bool is_bug(const char *name)
{
	return !strcmp(bug, name);
}

static struct racy_text *text_new(void)
{
	struct racy_text *text = kzalloc(sizeof(*text), GFP_KERNEL);

	if (text)
		refcount_set(&text->refs, 1);
	return text;
}

static void text_put(struct racy_text *text)
{
	if (text && refcount_dec_and_test(&text->refs))
		kfree(text);
}

/*
 * bug=get: the text is looked up, the caller's buffer tried, and only then is the reference taken. Meanwhile a
 * writer may have given the last one back.
 */
static struct racy_text *text_get(char __user *buf)
{
	struct racy_text *text;

	if (is_bug("get")) {
		text = READ_ONCE(racy_current);
		if (clear_user(buf, 1))
			return ERR_PTR(-EFAULT);
		refcount_inc(&text->refs);
		return text;
	}
	mutex_lock(&racy_lock);
	text = racy_current;
	refcount_inc(&text->refs);
	mutex_unlock(&racy_lock);
	return text;
}

static int racy_open(struct inode *inode, struct file *file)
{
	int ret = 0;

	mutex_lock(&racy_lock);
	if (!racy_opens)
		racy_current = text_new();
	if (!racy_opens && !racy_current)
		ret = -ENOMEM;
	else
		racy_opens++;
	mutex_unlock(&racy_lock);
	return ret;
}

static int racy_release(struct inode *inode, struct file *file)
{
	struct racy_text *last = NULL;

	mutex_lock(&racy_lock);
	if (!--racy_opens) {
		last = racy_current;
		racy_current = NULL;
	}
	mutex_unlock(&racy_lock);
	text_put(last);
	return 0;
}

static ssize_t racy_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	struct racy_text *text;
	ssize_t ret;

	if (!len)
		return 0;
	text = text_get(buf);
	if (IS_ERR(text))
		return PTR_ERR(text);
	ret = simple_read_from_buffer(buf, len, pos, text->bytes, text->len);
	text_put(text);
	return ret;
}

/*
 * bug=wakeup: a lock of one's own that is handed to the one who has waited longest. Who waits
 * counts that first, and goes to sleep without looking again whether it was given the lock in between: then nobody
 * ever wakes it.
 */
struct racy_waiter {
	struct list_head link;
	struct task_struct *task;
	bool given;
};
static DEFINE_SPINLOCK(racy_hand_lock);
static LIST_HEAD(racy_waiters);
static bool racy_held;

static u64 racy_waits;

static void hand_take(void)
{
	struct racy_waiter me = { .task = current };

	spin_lock(&racy_hand_lock);
	if (!racy_held) {
		racy_held = true;
		spin_unlock(&racy_hand_lock);
		return;
	}
	list_add_tail(&me.link, &racy_waiters);
	spin_unlock(&racy_hand_lock);
	mutex_lock(&racy_lock);
	racy_waits++;
	mutex_unlock(&racy_lock);
	/* a wake-up of the mutex above may still come, and is not the one that is waited for */
	do {
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule();
	} while (!READ_ONCE(me.given));
}

static void hand_give(void)
{
	struct racy_waiter *next;

	spin_lock(&racy_hand_lock);
	next = list_first_entry_or_null(&racy_waiters, struct racy_waiter, link);
	racy_held = next;
	if (next) {
		struct task_struct *task = next->task;

		list_del(&next->link);
		/* then it may go; its task stays for as long as this lock is held (RCU) */
		WRITE_ONCE(next->given, true);
		wake_up_process(task);
	}
	spin_unlock(&racy_hand_lock);
}

/* bug=leak: an interrupted wait keeps the reference that was taken for the time of the call. */
static int writer_lock(void)
{
	if (is_bug("wakeup")) {
		hand_take();
		return 0;
	}
	if (is_bug("leak"))
		__module_get(THIS_MODULE);
	return mutex_lock_interruptible(&racy_writer) ? -ERESTARTSYS : 0;
}

static void writer_unlock(void)
{
	if (is_bug("wakeup")) {
		hand_give();
		return;
	}
	mutex_unlock(&racy_writer);
	if (is_bug("leak"))
		module_put(THIS_MODULE);
}

/* It takes its time. */
static void device_write(void)
{
	usleep_range(50, 100);
}

/* bug=gap: the old text goes before the new one comes. */
static struct racy_text *text_take(void)
{
	struct racy_text *old;

	mutex_lock(&racy_lock);
	old = racy_current;
	racy_current = NULL;
	mutex_unlock(&racy_lock);
	return old;
}

static ssize_t racy_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	bool locked = is_bug("atomic") || is_bug("wakeup"); /* or they would be met too seldom */
	struct racy_text *text, *old = NULL;
	ssize_t ret;

	if (!len)
		return 0;
	ret = writer_lock();
	if (ret)
		return ret;
	text = text_new();
	if (!text) {
		ret = -ENOMEM;
		goto out;
	}
	/* only a writer changes it, and it stays while the device is open */
	memcpy(text->bytes, racy_current->bytes, RACY_ROOM);
	text->len = racy_current->len;
	ret = simple_write_to_buffer(text->bytes, RACY_ROOM, pos, buf, len);
	if (ret < 0) {
		kfree(text);
		goto out;
	}
	text->len = clamp_t(size_t, *pos, text->len, RACY_ROOM);
	if (is_bug("gap"))
		old = text_take();
	if (!locked)
		device_write();
	mutex_lock(&racy_lock);
	if (locked)
		device_write();
	if (!is_bug("gap"))
		old = racy_current;
	racy_current = text;
	racy_changes++;
	mutex_unlock(&racy_lock);
	text_put(old);
out:
	writer_unlock();
	return ret;
}

/*
 * bug=atomic: the number is read under a mutex, and that under a spinlock. It works while nobody has the mutex.
 */
static u64 changes_read(void)
{
	u64 changes;

	mutex_lock(&racy_lock);
	changes = racy_changes;
	mutex_unlock(&racy_lock);
	return changes;
}

static long racy_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	u64 changes;

	if (cmd != RACY_CHANGES)
		return -ENOTTY;
	if (is_bug("atomic")) {
		if (!spin_trylock(&racy_asks))
			return -EAGAIN;
		changes = changes_read();
		spin_unlock(&racy_asks);
	} else {
		changes = changes_read();
	}
	return put_user(changes, (u64 __user *)arg);
}

static const struct file_operations racy_fops = {
	.owner = THIS_MODULE,
	.open = racy_open,
	.release = racy_release,
	.read = racy_read,
	.write = racy_write,
	.llseek = default_llseek,
	.unlocked_ioctl = racy_ioctl,
};

static struct miscdevice racy_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "racy",
	.mode = 0666,
	.fops = &racy_fops,
};
module_misc_device(racy_device);

MODULE_DESCRIPTION("A driver with one race each");
MODULE_LICENSE("GPL");
