// SPDX-License-Identifier: GPL-2.0
/*
 * A stream of foxes that looks endless and is not: each open, or all of them together, can read so
 * many foxes and then finds the end.
 *
 * A file knows how many bytes it may still deliver, which also tells where in a fox it is. What
 * is not in that figure, it takes from the device before it copies, and gives back what was not
 * copied. So no fox is delivered twice or lost, whatever happens to the copy.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <linux/wait.h>

#include "foxes.h"

static_assert(sizeof(FOXES_FOX) - 1 == FOXES_FOX_SIZE);
/* The page of foxes begins and ends with a whole one. */
static_assert(PAGE_SIZE % FOXES_FOX_SIZE == 0);

/**
 * struct foxes - the device
 * @misc:	its registration
 * @page:	a page full of foxes, the source of all copies
 * @per_open:	bytes that a file can deliver when it is opened; 0: they are the device's
 * @lock:	protects @left and @in_flight
 * @left:	foxes of the device that no file has begun
 * @in_flight:	foxes that were taken out of @left by a copy under way, which may bring some back
 * @wait:	reads that would find the end but for those in flight
 */
struct foxes {
	struct miscdevice misc;
	const u8 *page;
	u64 per_open;
	spinlock_t lock;
	u64 left;
	u64 in_flight;
	wait_queue_head_t wait;
};

/**
 * struct foxes_open - one open file
 * @fx:		the device
 * @lock:	one read at a time: a fox that was begun is gone on with by the next
 * @left:	bytes that are this file's; where foxes are the device's, the rest of one, between
 *		two reads
 */
struct foxes_open {
	struct foxes *fx;
	struct mutex lock;
	u64 left;
};

/* Signed, so that a negative number gets our message. */
static long foxes = FOXES_DEFAULT;
module_param(foxes, long, 0444);
MODULE_PARM_DESC(foxes, "Foxes until the end, 1 to 1073741824 (default 200)");

static char *scope = FOXES_SCOPE_DEFAULT;
module_param(scope, charp, 0444);
MODULE_PARM_DESC(scope,
		 "Whose they are: each open's own, or one supply for the device (default open)");

static unsigned int mode = FOXES_MODE_DEFAULT;
module_param(mode, uint, 0444);
MODULE_PARM_DESC(mode,
		 "Permissions of the node, octal with a leading 0, for reading (default 0444)");

/* Bytes of the fox that the next byte belongs to which were delivered: streams end with a whole one. */
static unsigned int foxes_phase(const struct foxes_open *open)
{
	return -open->left % FOXES_FOX_SIZE;
}

/*
 * Takes the foxes that the file needs to deliver @len bytes, as far as there are. Returns their
 * number, or -EAGAIN when it is not known yet whether this is the end.
 */
static long foxes_take(struct foxes_open *open, size_t len)
{
	struct foxes *fx = open->fx;
	long taken;

	if (len <= open->left)
		return 0;
	spin_lock(&fx->lock);
	taken = min_t(u64, DIV_ROUND_UP(len - open->left, FOXES_FOX_SIZE), fx->left);
	fx->left -= taken;
	fx->in_flight += taken;
	if (!taken && !open->left && fx->in_flight)
		taken = -EAGAIN;
	spin_unlock(&fx->lock);
	return taken;
}

/* The copy is over: the file keeps the fox that it has begun, the others go back. */
static void foxes_land(struct foxes_open *open, unsigned long taken)
{
	struct foxes *fx = open->fx;
	unsigned long back = open->left / FOXES_FOX_SIZE;

	open->left %= FOXES_FOX_SIZE;
	spin_lock(&fx->lock);
	fx->in_flight -= taken;
	fx->left += back;
	spin_unlock(&fx->lock);

	/*
	 * The lock is the barrier. A waiter queues itself, then looks under the lock. If it looked
	 * before us, its place in the queue was visible to us when we took the lock; if after us,
	 * it saw what we did.
	 */
	if (waitqueue_active(&fx->wait))
		wake_up_interruptible(&fx->wait);
}

static bool foxes_known(struct foxes *fx)
{
	bool known;

	spin_lock(&fx->lock);
	known = fx->left || !fx->in_flight;
	spin_unlock(&fx->lock);
	return known;
}

/*
 * Copies until the buffer is full, or the end, or a bad address, or a signal. Returns bytes, 0 at
 * the end, or -EAGAIN when others decide whether it is.
 */
static ssize_t foxes_deliver(struct foxes_open *open, struct iov_iter *to)
{
	struct foxes *fx = open->fx;
	ssize_t done = 0;

	for (;;) {
		unsigned int phase = foxes_phase(open);
		size_t len = min_t(size_t, iov_iter_count(to), PAGE_SIZE - phase), copied;
		long taken = 0;

		if (!fx->per_open) {
			taken = foxes_take(open, len);
			if (taken < 0)
				return done ?: taken;
			open->left += taken * FOXES_FOX_SIZE;
		}
		len = min_t(u64, len, open->left);
		if (!len)
			return done;

		copied = copy_to_iter(fx->page + phase, len, to);
		open->left -= copied;
		done += copied;
		if (taken)
			foxes_land(open, taken);

		if (copied != len)
			return done ?: -EFAULT;
		if (!iov_iter_count(to) || signal_pending(current))
			return done;
		cond_resched();
	}
}

static ssize_t foxes_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct foxes_open *open = iocb->ki_filp->private_data;
	bool nowait = (iocb->ki_flags & IOCB_NOWAIT) || (iocb->ki_filp->f_flags & O_NONBLOCK);
	ssize_t ret;

	if (!iov_iter_count(to))
		return 0;

	for (;;) {
		if (nowait) {
			if (!mutex_trylock(&open->lock))
				return -EAGAIN;
		} else if (mutex_lock_interruptible(&open->lock)) {
			return -ERESTARTSYS;
		}
		ret = foxes_deliver(open, to);
		mutex_unlock(&open->lock);
		if (ret != -EAGAIN || nowait)
			return ret;
		ret = wait_event_interruptible(open->fx->wait, foxes_known(open->fx));
		if (ret)
			return ret;
	}
}

static int foxes_open(struct inode *inode, struct file *file)
{
	struct foxes *fx = container_of(file->private_data, struct foxes, misc);
	struct foxes_open *open;

	/* To root the node's mode does not say it. */
	if (file->f_mode & FMODE_WRITE)
		return -EACCES;
	open = kzalloc(sizeof(*open), GFP_KERNEL_ACCOUNT);
	if (!open)
		return -ENOMEM;
	open->fx = fx;
	open->left = fx->per_open;
	mutex_init(&open->lock);
	/* read_iter never waits for other readers when it is told not to. */
	file->f_mode |= FMODE_NOWAIT;
	file->private_data = open;
	return stream_open(inode, file);
}

static int foxes_release(struct inode *inode, struct file *file)
{
	struct foxes_open *open = file->private_data;

	/* A fox counts when its last byte is delivered: one that was begun is somebody else's now. */
	if (!open->fx->per_open && open->left) {
		open->left = FOXES_FOX_SIZE;
		foxes_land(open, 0);
	}
	mutex_destroy(&open->lock);
	kfree(open);
	return 0;
}

static const struct file_operations foxes_fops = {
	.owner = THIS_MODULE,
	.open = foxes_open,
	.release = foxes_release,
	.read_iter = foxes_read_iter,
/* copy_splice_read() took the place of the generic one in 6.5. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
	.splice_read = copy_splice_read,
#else
	.splice_read = generic_file_splice_read,
#endif
};

static struct foxes foxes_device = {
	.misc.minor = MISC_DYNAMIC_MINOR,
	.misc.name = KBUILD_MODNAME,
	.misc.fops = &foxes_fops,
};

static int __init foxes_init(void)
{
	struct foxes *fx = &foxes_device;
	bool of_device;
	unsigned int i;
	u8 *page;
	int ret;

	if (foxes < FOXES_MIN || foxes > FOXES_MAX) {
		pr_err("foxes %ld: expected %d to %d\n", foxes, FOXES_MIN, FOXES_MAX);
		return -EINVAL;
	}
	of_device = !strcmp(scope, FOXES_SCOPE_DEVICE);
	if (!of_device && strcmp(scope, FOXES_SCOPE_OPEN)) {
		pr_err("scope \"%s\": expected %s or %s\n", scope, FOXES_SCOPE_OPEN,
		       FOXES_SCOPE_DEVICE);
		return -EINVAL;
	}
	/* A misc device takes mode 0 for "not given". */
	if (!mode || mode & ~FOXES_MODE_ALLOWED) {
		pr_err("mode %#o: expected read permissions, 04 to %#o\n", mode,
		       FOXES_MODE_ALLOWED);
		return -EINVAL;
	}

	spin_lock_init(&fx->lock);
	init_waitqueue_head(&fx->wait);
	if (of_device)
		fx->left = foxes;
	else
		fx->per_open = (u64)foxes * FOXES_FOX_SIZE;

	/* Not an array: of the module's own memory, the check of each copy's source is slow. */
	page = (u8 *)__get_free_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	for (i = 0; i < PAGE_SIZE; i += FOXES_FOX_SIZE)
		memcpy(page + i, FOXES_FOX, FOXES_FOX_SIZE);
	fx->page = page;

	fx->misc.mode = mode;
	ret = misc_register(&fx->misc);
	if (ret) {
		pr_err("cannot register the device: %d\n", ret);
		goto err_free;
	}
	pr_info("%ld foxes for %s at /dev/%s\n", foxes, of_device ? "all opens" : "each open",
		fx->misc.name);
	return 0;

err_free:
	free_page((unsigned long)page);
	return ret;
}

static void __exit foxes_exit(void)
{
	struct foxes *fx = &foxes_device;

	misc_deregister(&fx->misc);
	free_page((unsigned long)fx->page);
	pr_info("removed\n");
}

module_init(foxes_init);
module_exit(foxes_exit);

MODULE_DESCRIPTION("A stream of foxes that ends");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
