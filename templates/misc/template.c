// SPDX-License-Identifier: GPL-2.0
/*
 * A misc device that keeps one record of a few bytes. It is read and written at positions like a
 * file of fixed length; who has the node open can wait for the record to change.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <linux/wait.h>

#include "template.h"

/* No holes, on any architecture, and a number that does not change when the structure grows. */
static_assert(sizeof(struct template_info) == 16);
static_assert(_IOC_SIZE(TEMPLATE_INFO) == TEMPLATE_INFO_SIZE_VER0);

/**
 * struct template_dev - the device
 * @misc:	its registration
 * @lock:	makes each call one step for all others; protects @record
 * @record:	what is kept
 * @size:	bytes of @record, does not change
 * @changes:	how often @record was changed; written under @lock, poll looks without
 * @wait:	pollers
 */
struct template_dev {
	struct miscdevice misc;
	struct mutex lock;
	u8 *record;
	unsigned int size;
	u64 changes;
	wait_queue_head_t wait;
};

/**
 * struct template_user - one open file
 * @td:		the device
 * @seen:	@changes of the device when this file was opened or last read
 */
struct template_user {
	struct template_dev *td;
	u64 seen;
};

static unsigned int size = TEMPLATE_SIZE_DEFAULT;
module_param(size, uint, 0444);
MODULE_PARM_DESC(size, "Bytes of the record, 1 to 65536 (default 4096)");

static unsigned int mode = TEMPLATE_MODE_DEFAULT;
module_param(mode, uint, 0444);
MODULE_PARM_DESC(mode, "Permissions of the node, octal with a leading 0 (default 0600)");

/* Called with the lock held. */
static void template_changed(struct template_dev *td)
{
	lockdep_assert_held(&td->lock);
	WRITE_ONCE(td->changes, td->changes + 1);
}

/*
 * After the lock is given back, so that a poller that wakes up does not have to wait for it. The
 * queue's own lock is the barrier between the new count and the look at who waits.
 */
static void template_wake(struct template_dev *td)
{
	wake_up_interruptible_poll(&td->wait, EPOLLPRI);
}

static ssize_t template_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct template_user *user = iocb->ki_filp->private_data;
	struct template_dev *td = user->td;
	loff_t pos = iocb->ki_pos;
	size_t len, done;

	if (!iov_iter_count(to) || pos >= td->size)
		return 0;
	len = min_t(size_t, iov_iter_count(to), td->size - pos);

	if (mutex_lock_interruptible(&td->lock))
		return -ERESTARTSYS;
	done = copy_to_iter(td->record + pos, len, to);
	/* Who got nothing has not seen anything. */
	if (done)
		WRITE_ONCE(user->seen, td->changes);
	mutex_unlock(&td->lock);

	if (!done)
		return -EFAULT;
	iocb->ki_pos = pos + done;
	return done;
}

static ssize_t template_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct template_user *user = iocb->ki_filp->private_data;
	struct template_dev *td = user->td;
	loff_t pos = iocb->ki_pos;
	size_t len, done;

	if (!iov_iter_count(from))
		return 0;
	if (pos >= td->size)
		return -ENOSPC;
	len = min_t(size_t, iov_iter_count(from), td->size - pos);

	if (mutex_lock_interruptible(&td->lock))
		return -ERESTARTSYS;
	done = copy_from_iter(td->record + pos, len, from);
	if (done)
		template_changed(td);
	mutex_unlock(&td->lock);

	if (!done)
		return -EFAULT;
	template_wake(td);
	iocb->ki_pos = pos + done;
	return done;
}

static loff_t template_llseek(struct file *file, loff_t offset, int whence)
{
	struct template_user *user = file->private_data;

	return fixed_size_llseek(file, offset, whence, user->td->size);
}

/* Reads and writes never wait for one another's data: ready at all times. */
static __poll_t template_poll(struct file *file, poll_table *wait)
{
	__poll_t ready = EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM;
	struct template_user *user = file->private_data;
	struct template_dev *td = user->td;

	poll_wait(file, &td->wait, wait);
	if (READ_ONCE(td->changes) != READ_ONCE(user->seen))
		ready |= EPOLLPRI;
	return ready;
}

static long template_ioctl_clear(struct template_dev *td)
{
	if (mutex_lock_interruptible(&td->lock))
		return -ERESTARTSYS;
	memset(td->record, 0, td->size);
	template_changed(td);
	mutex_unlock(&td->lock);

	template_wake(td);
	return 0;
}

static long template_ioctl_info(struct template_dev *td, void __user *argp)
{
	struct template_info __user *arg = argp;
	struct template_info info = {
		.size = sizeof(info),
		.bytes = td->size,
		.changes = READ_ONCE(td->changes),
	};
	u32 room;

	if (get_user(room, &arg->size))
		return -EFAULT;
	if (room < TEMPLATE_INFO_SIZE_VER0)
		return -EINVAL;
	if (room > TEMPLATE_INFO_SIZE_LIMIT)
		return -E2BIG;
	if (copy_to_user(arg, &info, min_t(size_t, room, sizeof(info))))
		return -EFAULT;
	if (room > sizeof(info) && clear_user(argp + sizeof(info), room - sizeof(info)))
		return -EFAULT;
	return 0;
}

static long template_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct template_user *user = file->private_data;

	switch (cmd) {
	case TEMPLATE_CLEAR:
		/* What write(2) says of such a descriptor. */
		if (!(file->f_mode & FMODE_WRITE))
			return -EBADF;
		return template_ioctl_clear(user->td);
	case TEMPLATE_INFO:
		return template_ioctl_info(user->td, (void __user *)arg);
	default:
		return -ENOTTY;
	}
}

static int template_open(struct inode *inode, struct file *file)
{
	/* The misc device has left itself in private_data. */
	struct miscdevice *misc = file->private_data;
	struct template_user *user;

	user = kzalloc(sizeof(*user), GFP_KERNEL_ACCOUNT);
	if (!user)
		return -ENOMEM;
	user->td = container_of(misc, struct template_dev, misc);
	user->seen = READ_ONCE(user->td->changes);
	file->private_data = user;
	return 0;
}

static int template_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

/* copy_splice_read() took the place of the generic one in 6.5. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#define SPLICE_READ copy_splice_read
#else
#define SPLICE_READ generic_file_splice_read
#endif

static const struct file_operations template_fops = {
	.owner = THIS_MODULE,
	.open = template_open,
	.release = template_release,
	.llseek = template_llseek,
	.read_iter = template_read_iter,
	.write_iter = template_write_iter,
	.splice_read = SPLICE_READ,
	.splice_write = iter_file_splice_write,
	.poll = template_poll,
	.unlocked_ioctl = template_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct template_dev template_device = {
	.misc.minor = MISC_DYNAMIC_MINOR,
	.misc.name = KBUILD_MODNAME,
	.misc.fops = &template_fops,
};

static int __init template_init(void)
{
	struct template_dev *td = &template_device;
	int ret;

	if (!size || size > TEMPLATE_SIZE_LIMIT) {
		pr_err("size %u: expected 1 to %u bytes\n", size, TEMPLATE_SIZE_LIMIT);
		return -EINVAL;
	}
	/* A misc device takes mode 0 for "not given". */
	if (!mode || mode & ~0666) {
		pr_err("mode %#o: expected read and write permissions, 02 to 0666\n", mode);
		return -EINVAL;
	}

	/* All that a call needs is there before the node is. */
	mutex_init(&td->lock);
	init_waitqueue_head(&td->wait);
	td->size = size;
	td->record = kvzalloc(size, GFP_KERNEL);
	if (!td->record)
		return -ENOMEM;

	td->misc.mode = mode;
	ret = misc_register(&td->misc);
	if (ret) {
		pr_err("cannot register the device: %d\n", ret);
		goto err_free;
	}
	pr_info("%u bytes at /dev/%s\n", td->size, td->misc.name);
	return 0;

err_free:
	kvfree(td->record);
	return ret;
}

static void __exit template_exit(void)
{
	struct template_dev *td = &template_device;

	misc_deregister(&td->misc);
	kvfree(td->record);
	pr_info("removed\n");
}

module_init(template_init);
module_exit(template_exit);

MODULE_DESCRIPTION("Keeps one record of a few bytes");
MODULE_AUTHOR("The template authors");
MODULE_LICENSE("GPL");
