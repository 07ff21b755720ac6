// SPDX-License-Identifier: GPL-2.0
/*
 * A source of events that is right with bug=none and has exactly one fault with any other name.
 * Each open has its own place in the sequence: it reads one record for every event since then.
 */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uio.h>
#include <linux/wait.h>

#include "broken_event.h"

static char *bug = "none";
module_param(bug, charp, 0444);
MODULE_PARM_DESC(bug, "Name of the one fault to have (default: none)");

struct broken_event_file {
	struct mutex lock; /* one reader at a time: the record is taken when it is copied */
	u64 seen;
	bool again;
};

static DECLARE_WAIT_QUEUE_HEAD(broken_event_wait);
static DEFINE_SPINLOCK(broken_event_lock);
static u64 broken_event_sequence;
static u64 broken_event_taken; /* bug=stolen: one place for all opens, and one lock */
static DEFINE_MUTEX(broken_event_taking);
static atomic_t broken_event_opens;

static bool is_bug(const char *name)
{
	return !strcmp(bug, name);
}

static u64 broken_event_latest(void)
{
	u64 sequence;

	spin_lock(&broken_event_lock);
	sequence = broken_event_sequence;
	spin_unlock(&broken_event_lock);
	return sequence;
}

static u64 *broken_event_place(struct broken_event_file *priv)
{
	return is_bug("stolen") ? &broken_event_taken : &priv->seen;
}

static bool broken_event_pending(struct broken_event_file *priv)
{
	return READ_ONCE(*broken_event_place(priv)) != broken_event_latest();
}

static int broken_event_open(struct inode *inode, struct file *file)
{
	struct broken_event_file *priv = kzalloc(sizeof(*priv), GFP_KERNEL);

	if (!priv)
		return -ENOMEM;
	mutex_init(&priv->lock);
	priv->seen = broken_event_latest();
	if (is_bug("old") && priv->seen)
		priv->seen--;
	if (atomic_inc_return(&broken_event_opens) == 1)
		broken_event_taken = broken_event_latest();
	file->private_data = priv;
	return is_bug("espipe") ? 0 : stream_open(inode, file);
}

static int broken_event_release(struct inode *inode, struct file *file)
{
	atomic_dec(&broken_event_opens);
	kfree(file->private_data);
	return 0;
}

/*
 * bug=sigkill: a wait that a fatal signal does not end. It gives up in the end, or the proof could
 * not.
 */
static int broken_event_wait_stubborn(struct broken_event_file *priv)
{
	int ret = wait_event_interruptible(broken_event_wait, broken_event_pending(priv));

	if (ret && fatal_signal_pending(current))
		msleep(4000);
	return ret;
}

static int broken_event_wait_for(struct file *file)
{
	struct broken_event_file *priv = file->private_data;
	int ret;

	if (broken_event_pending(priv))
		return 0;
	if (file->f_flags & O_NONBLOCK && !is_bug("nonblock"))
		return -EAGAIN;
	if (is_bug("sigkill"))
		return broken_event_wait_stubborn(priv);
	if (is_bug("killable"))
		return wait_event_killable(broken_event_wait, broken_event_pending(priv));
	ret = wait_event_interruptible(broken_event_wait, broken_event_pending(priv));
	return ret && is_bug("eintr") ? -EINTR : ret;
}

static ssize_t broken_event_take(struct broken_event_file *priv, struct iov_iter *to)
{
	u64 *place = broken_event_place(priv), latest = broken_event_latest();
	struct broken_event_record record;
	ssize_t done = 0;
	size_t n;

	if (is_bug("merge"))
		*place = latest - 1;
	while (*place != latest && iov_iter_count(to) >= sizeof(record)) {
		record.sequence = *place + 1;
		if (is_bug("fault"))
			(*place)++;
		n = copy_to_iter(&record, sizeof(record), to);
		if (n != sizeof(record)) {
			iov_iter_revert(to, n);
			return done ?: -EFAULT;
		}
		done += sizeof(record);
		if (is_bug("twice") && !priv->again) {
			priv->again = true;
			return done;
		}
		priv->again = false;
		if (!is_bug("fault"))
			(*place)++;
	}
	return done;
}

static ssize_t broken_event_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct broken_event_file *priv = iocb->ki_filp->private_data;
	struct mutex *lock = is_bug("stolen") ? &broken_event_taking : &priv->lock;
	ssize_t ret;

	if (!iov_iter_count(to)) {
		if (is_bug("read_zero") && broken_event_pending(priv))
			priv->seen++;
		return 0;
	}
	if (iov_iter_count(to) < sizeof(struct broken_event_record))
		return -EINVAL;
	for (;;) {
		ret = broken_event_wait_for(iocb->ki_filp);
		if (ret)
			return ret;
		if (mutex_lock_interruptible(lock))
			return -ERESTARTSYS;
		ret = broken_event_pending(priv) ? broken_event_take(priv, to) : 0;
		mutex_unlock(lock);
		/* 0: another reader of this open was faster. */
		if (ret)
			return ret;
	}
}

static __poll_t broken_event_poll(struct file *file, poll_table *wait)
{
	struct broken_event_file *priv = file->private_data;

	if (!is_bug("poll_no_wait"))
		poll_wait(file, &broken_event_wait, wait);
	if (is_bug("poll_always"))
		return EPOLLIN | EPOLLRDNORM;
	if (!broken_event_pending(priv))
		return 0;
	if (is_bug("poll_consumes") && !poll_does_not_wait(wait))
		priv->seen = broken_event_latest();
	return is_bug("poll_rdnorm") ? EPOLLRDNORM : EPOLLIN | EPOLLRDNORM;
}

static long broken_event_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case BROKEN_EVENT_RAISE:
		spin_lock(&broken_event_lock);
		broken_event_sequence++;
		spin_unlock(&broken_event_lock);
		wake_up_all(&broken_event_wait);
		return 0;
	default:
		return -ENOTTY;
	}
}

static const struct file_operations broken_event_fops = {
	.owner = THIS_MODULE,
	.open = broken_event_open,
	.release = broken_event_release,
	.read_iter = broken_event_read_iter,
	.poll = broken_event_poll,
	.unlocked_ioctl = broken_event_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

/* bug=poll_none: the same without poll. */
static const struct file_operations broken_event_fops_no_poll = {
	.owner = THIS_MODULE,
	.open = broken_event_open,
	.release = broken_event_release,
	.read_iter = broken_event_read_iter,
	.unlocked_ioctl = broken_event_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice broken_event_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "broken_event",
	.fops = &broken_event_fops,
	.mode = 0600,
};

static int __init broken_event_init(void)
{
	if (is_bug("poll_none"))
		broken_event_misc.fops = &broken_event_fops_no_poll;
	return misc_register(&broken_event_misc);
}

static void __exit broken_event_exit(void)
{
	misc_deregister(&broken_event_misc);
}

module_init(broken_event_init);
module_exit(broken_event_exit);

MODULE_DESCRIPTION(
	"A source of events with faults to order, for the proofs of the conformance suite");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
