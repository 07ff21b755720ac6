// SPDX-License-Identifier: GPL-2.0
/*
 * A source of events as broken_event, for callers that may not wait: it heeds IOCB_NOWAIT, can be polled by io_uring
 * and spliced. Right with bug=none, and with exactly one fault with any other name. The record and the ioctl are those
 * of broken_event.h.
 */
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/splice.h>
#include <linux/string.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <linux/wait.h>

#include "broken_event.h"

static char *bug = "none";
module_param(bug, charp, 0444);
MODULE_PARM_DESC(bug, "Name of the one fault to have (default: none)");

struct broken_async_file {
	struct mutex lock; /* one reader at a time: the record is taken when it is copied */
	u64 seen;
};

static DECLARE_WAIT_QUEUE_HEAD(broken_async_wait);
static DECLARE_WAIT_QUEUE_HEAD(broken_async_other);
static DECLARE_WAIT_QUEUE_HEAD(broken_async_third);
static DEFINE_SPINLOCK(broken_async_lock);
static u64 broken_async_sequence;

static bool is_bug(const char *name)
{
	return !strcmp(bug, name);
}

static u64 broken_async_latest(void)
{
	u64 sequence;

	spin_lock(&broken_async_lock);
	sequence = broken_async_sequence;
	spin_unlock(&broken_async_lock);
	return sequence;
}

static bool broken_async_pending(struct broken_async_file *priv)
{
	return READ_ONCE(priv->seen) != broken_async_latest();
}

static int broken_async_open(struct inode *inode, struct file *file)
{
	struct broken_async_file *priv = kzalloc(sizeof(*priv), GFP_KERNEL);

	if (!priv)
		return -ENOMEM;
	mutex_init(&priv->lock);
	priv->seen = broken_async_latest();
	file->private_data = priv;
	file->f_mode |= FMODE_NOWAIT;
	return stream_open(inode, file);
}

static int broken_async_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

/* bug=uring_cancel: a wait made by hand, which looks for signals and not for what else wants it to end. */
static int broken_async_wait_by_hand(struct broken_async_file *priv)
{
	while (!broken_async_pending(priv)) {
		if (task_sigpending(current))
			return -ERESTARTSYS;
		schedule_timeout_uninterruptible(HZ / 100);
	}
	return 0;
}

static bool broken_async_may_wait(struct kiocb *iocb, const struct iov_iter *to)
{
	if (iocb->ki_filp->f_flags & O_NONBLOCK)
		return is_bug("splice_wait") && !user_backed_iter(to);
	if (iocb->ki_flags & IOCB_NOWAIT)
		return is_bug(is_sync_kiocb(iocb) ? "rwf_nowait" : "uring_submit");
	return true;
}

static ssize_t broken_async_take(struct kiocb *iocb, struct iov_iter *to)
{
	struct broken_async_file *priv = iocb->ki_filp->private_data;
	bool half = is_bug("uring_event") && !is_sync_kiocb(iocb);
	u64 latest = broken_async_latest();
	struct broken_event_record record;
	ssize_t done = 0;
	size_t n;

	while (priv->seen != latest && iov_iter_count(to) >= sizeof(record)) {
		record.sequence = priv->seen + 1;
		n = copy_to_iter(&record, half ? sizeof(record) / 2 : sizeof(record), to);
		if (n != sizeof(record) && !half) {
			iov_iter_revert(to, n);
			return done ?: -EFAULT;
		}
		done += n;
		priv->seen++;
	}
	return done;
}

static ssize_t broken_async_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct broken_async_file *priv = iocb->ki_filp->private_data;
	bool may_wait = broken_async_may_wait(iocb, to);
	ssize_t ret;

	if (!iov_iter_count(to))
		return 0;
	if (iov_iter_count(to) < sizeof(struct broken_event_record))
		return -EINVAL;
	for (;;) {
		if (!may_wait && !mutex_trylock(&priv->lock))
			return -EAGAIN;
		if (may_wait && mutex_lock_interruptible(&priv->lock))
			return -ERESTARTSYS;
		ret = broken_async_take(iocb, to);
		mutex_unlock(&priv->lock);
		if (ret)
			return ret;
		if (!may_wait)
			return -EAGAIN;
		if (is_bug("uring_cancel"))
			ret = broken_async_wait_by_hand(priv);
		else
			ret = wait_event_interruptible(broken_async_wait,
						       broken_async_pending(priv));
		if (ret)
			return ret;
	}
}

static __poll_t broken_async_poll(struct file *file, poll_table *wait)
{
	struct broken_async_file *priv = file->private_data;

	poll_wait(file, &broken_async_wait, wait);
	if (is_bug("uring_poll")) {
		poll_wait(file, &broken_async_other, wait);
		poll_wait(file, &broken_async_third, wait);
	}
	if (is_bug("compat_poll") && in_compat_syscall())
		return EPOLLOUT;
	return broken_async_pending(priv) ? EPOLLIN | EPOLLRDNORM : 0;
}

static long broken_async_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	if (cmd != BROKEN_EVENT_RAISE)
		return -ENOTTY;
	spin_lock(&broken_async_lock);
	broken_async_sequence++;
	spin_unlock(&broken_async_lock);
	wake_up_all(&broken_async_wait);
	return 0;
}

/* copy_splice_read() took the place of the generic one in 6.5. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#define broken_async_splice_read copy_splice_read
#else
#define broken_async_splice_read generic_file_splice_read
#endif

/* Not constant: bug=uring_cancel takes poll away, or io_uring would wait by it. */
static struct file_operations broken_async_fops = {
	.owner = THIS_MODULE,
	.open = broken_async_open,
	.release = broken_async_release,
	.read_iter = broken_async_read_iter,
	.splice_read = broken_async_splice_read,
	.poll = broken_async_poll,
	.unlocked_ioctl = broken_async_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice broken_async_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "broken_async",
	.fops = &broken_async_fops,
	.mode = 0600,
};

static int __init broken_async_init(void)
{
	if (is_bug("uring_cancel"))
		broken_async_fops.poll = NULL;
	return misc_register(&broken_async_misc);
}

static void __exit broken_async_exit(void)
{
	misc_deregister(&broken_async_misc);
}

module_init(broken_async_init);
module_exit(broken_async_exit);

MODULE_DESCRIPTION(
	"Events with faults to order for callers that may not wait, for the proofs of the conformance suite");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
