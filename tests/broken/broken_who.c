// SPDX-License-Identifier: GPL-2.0
/*
 * A source of events that is right with bug=none and has exactly one fault with any other name. The faults are
 * about who calls, how that process ends, and how long an open file lives; a driver gets them by asking "current"
 * what only the open file can tell.
 */
#include <linux/anon_inodes.h>
#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/poll.h>
#include <linux/ptrace.h>
#include <linux/restart_block.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/thread_info.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/wait.h>

#include "broken_who.h"

#define WRITE_MAX 256
#define LIMIT_MAX 4096

static char *bug = "none";
module_param(bug, charp, 0444);
MODULE_PARM_DESC(bug, "Name of the one fault to have (default: none)");

struct who_file {
	struct list_head link;
	struct file *file;
	struct mutex lock; /* one reader at a time: the record is taken when it is copied */
	u64 seen;
	struct pid *opener;
	pid_t tgid;
	u32 exec_id;
	struct mm_struct *mm; /* compared, never looked into */
	struct files_struct *owner, *reader;
	atomic_t reading;
	bool nonblock, flushed, closed, polled_away, orphan, torn, late;
};

static DECLARE_WAIT_QUEUE_HEAD(who_queue);
static DEFINE_SPINLOCK(who_lock);
static DEFINE_MUTEX(who_files_lock);
static LIST_HEAD(who_files);
static struct fasync_struct *who_async;
static u64 who_sequence;
static void *who_page;
static bool who_stuck;	    /* the next open finds the device busy */
static bool who_unmappable; /* and the next mmap */
static bool who_changing;
static struct broken_who_restart {
	struct file *file;
	void __user *buf;
	size_t len;
} who_restart;

static bool is_bug(const char *name)
{
	return !strcmp(bug, name);
}

/* --- a parameter that may be written at any time --- */

static unsigned int limit = 16;

static int limit_set(const char *val, const struct kernel_param *kp)
{
	unsigned int value;
	int ret;

	if (is_bug("param_busy")) {
		WRITE_ONCE(who_changing, true);
		usleep_range(300, 600);
		WRITE_ONCE(who_changing, false);
	}
	ret = kstrtouint(val, 0, &value);
	if (ret)
		return ret;
	if (is_bug("param_write"))
		limit = value;
	if (!value || value > LIMIT_MAX)
		return -ERANGE;
	limit = value;
	return 0;
}

static int limit_get(char *buf, const struct kernel_param *kp)
{
	return sprintf(buf, is_bug("param_read") ? "%u" : "%u\n", limit);
}

static const struct kernel_param_ops limit_ops = { .set = limit_set, .get = limit_get };
module_param_cb(limit, &limit_ops, NULL, 0644);
MODULE_PARM_DESC(limit, "A number from 1 to 4096 (default: 16)");

/* --- open and close --- */

static u64 who_latest(void)
{
	u64 sequence;

	spin_lock(&who_lock);
	sequence = who_sequence;
	spin_unlock(&who_lock);
	return sequence;
}

static int who_open_faults(struct file *file)
{
	if (xchg(&who_stuck, false))
		return -EBUSY;
	if (is_bug("nobody") && !uid_eq(current_fsuid(), GLOBAL_ROOT_UID))
		return -EINVAL;
	if (is_bug("alias") && strcmp(file->f_path.dentry->d_name.name, "broken_who"))
		return -ENODEV;
	if (is_bug("flags") && file->f_flags & (O_APPEND | O_NOATIME))
		return -EINVAL;
	if (is_bug("notify"))
		file->f_mode |= FMODE_NONOTIFY;
	return 0;
}

static int who_open(struct inode *inode, struct file *file)
{
	struct who_file *priv;
	int ret;

	ret = who_open_faults(file);
	if (ret)
		return ret;
	priv = kzalloc(sizeof(*priv), GFP_KERNEL);
	if (!priv)
		return -ENOMEM;
	mutex_init(&priv->lock);
	priv->file = file;
	priv->seen = who_latest();
	priv->opener = get_pid(task_tgid(current));
	priv->tgid = current->tgid;
	priv->exec_id = current->self_exec_id;
	priv->mm = current->mm;
	priv->owner = current->files;
	priv->nonblock = file->f_flags & O_NONBLOCK;
	mutex_lock(&who_files_lock);
	list_add(&priv->link, &who_files);
	mutex_unlock(&who_files_lock);
	file->private_data = priv;
	return stream_open(inode, file);
}

static int same_file(const void *file, struct file *other, unsigned int fd)
{
	return file == other;
}

/* The faults of closing one descriptor. */
static int who_flush(struct file *file, fl_owner_t id)
{
	struct who_file *priv = file->private_data, *other;

	priv->closed = true;
	if (is_bug("close_poll") && waitqueue_active(&who_queue)) {
		priv->polled_away = true;
		wake_up_all(&who_queue);
	}
	if (is_bug("close_reader") && atomic_read(&priv->reading) && priv->reader == id)
		priv->torn = true;
	if (is_bug("vfork") && current->mm == priv->mm && current->tgid != priv->tgid)
		priv->flushed = true;
	if (is_bug("flight") && current->files && current->tgid == priv->tgid &&
	    !iterate_fd(current->files, 0, same_file, file))
		priv->orphan = true;
	if (is_bug("close_other") && thread_group_empty(current)) {
		mutex_lock(&who_files_lock);
		list_for_each_entry(other, &who_files, link)
			if (other != priv && other->owner == id)
				other->flushed = true;
		mutex_unlock(&who_files_lock);
	}
	return 0;
}

/* Whether the one who closes last is one for whom the faulty driver does not clean up. */
static bool who_forgets(const struct who_file *priv)
{
	bool exits = current->flags & (PF_EXITING | PF_KTHREAD);

	if (is_bug("dropped_fd") && !exits && current->tgid != priv->tgid)
		return true;
	if (is_bug("cloexec") && !exits && current->tgid == priv->tgid &&
	    current->self_exec_id != priv->exec_id)
		return true;
	return priv->torn;
}

static int who_release(struct inode *inode, struct file *file)
{
	struct who_file *priv = file->private_data;

	if (who_forgets(priv))
		who_stuck = true;
	mutex_lock(&who_files_lock);
	list_del(&priv->link);
	mutex_unlock(&who_files_lock);
	put_pid(priv->opener);
	kfree(priv);
	return 0;
}

/* --- read, write, poll --- */

/* What read, write and ioctl have in common; the faults that are about who calls, and by which file. */
static int who_enter(struct file *file)
{
	struct who_file *priv = file->private_data;
	int fd;

	if (priv->flushed || (priv->orphan && current->tgid == priv->tgid))
		return -EIO;
	if (READ_ONCE(who_changing))
		return -EIO;
	if (is_bug("dropped") && !uid_eq(current_euid(), GLOBAL_ROOT_UID))
		return -EPERM;
	if (is_bug("chmod") && !(file_inode(file)->i_mode & 0666))
		return -EACCES;
	if (is_bug("unlink") && !file_inode(file)->i_nlink)
		return -ENODEV;
	if (is_bug("spaces")) {
		rcu_read_lock();
		fd = find_vpid(priv->tgid) ? 0 : -ESRCH;
		rcu_read_unlock();
		return fd;
	}
	if (is_bug("nofile")) {
		fd = get_unused_fd_flags(O_CLOEXEC);
		if (fd < 0)
			return fd;
		put_unused_fd(fd);
	}
	return 0;
}

static bool who_pending(struct who_file *priv)
{
	return READ_ONCE(priv->seen) != who_latest();
}

static bool who_nonblocking(struct file *file)
{
	struct who_file *priv = file->private_data;

	return is_bug("fcntl") ? priv->nonblock : file->f_flags & O_NONBLOCK;
}

static bool signal_waits(int sig)
{
	return sigismember(&current->pending.signal, sig) ||
	       sigismember(&current->signal->shared_pending.signal, sig);
}

/* Being stopped, and not by a debugger. */
static bool who_stops(void)
{
	return !current->ptrace && signal_waits(SIGSTOP);
}

/* A wait was interrupted: what the faulty driver makes of that. */
static int who_interrupted(struct who_file *priv)
{
	bool exec = current->signal->group_exec_task;

	if (is_bug("stop_read") && who_stops())
		return -EINTR;
	if (is_bug("stop_event") && who_stops())
		priv->late = true;
	if (is_bug("ptrace") && current->ptrace)
		return -EINTR;
	if (fatal_signal_pending(current) && !thread_group_empty(current) &&
	    is_bug(exec ? "exec_threads" : "exit_threads"))
		who_stuck = true;
	return -ERESTARTSYS;
}

static int who_wait_for(struct who_file *priv)
{
	int ret;

	if (is_bug("wake_one"))
		ret = wait_event_interruptible_exclusive(who_queue, who_pending(priv));
	else
		ret = wait_event_interruptible(who_queue, who_pending(priv));
	if (ret)
		return who_interrupted(priv);
	return is_bug("blocked") && signal_waits(SIGUSR1) ? -EINTR : 0;
}

static ssize_t who_take(struct who_file *priv, struct iov_iter *to)
{
	struct broken_who_record record;
	u64 latest = who_latest();
	ssize_t done = 0;
	size_t n;

	while (priv->seen != latest && iov_iter_count(to) >= sizeof(record)) {
		record.sequence = priv->seen + 1;
		n = copy_to_iter(&record, sizeof(record), to);
		if (n != sizeof(record)) {
			iov_iter_revert(to, n);
			return done ?: -EFAULT;
		}
		done += sizeof(record);
		priv->seen++;
	}
	return done;
}

static long who_read_again(struct restart_block *block);

/* bug=restart: the wait goes on in restart_syscall, which is a call of its own. */
static int who_set_restart(struct file *file, struct iov_iter *to)
{
	if (!iter_is_ubuf(to))
		return -ERESTARTSYS;
	who_restart.file = file;
	who_restart.buf = to->ubuf + to->iov_offset;
	who_restart.len = iov_iter_count(to);
	return set_restart_fn(&current->restart_block, who_read_again);
}

static ssize_t who_read_records(struct file *file, struct iov_iter *to)
{
	struct who_file *priv = file->private_data;
	ssize_t ret;

	for (;;) {
		if (!who_pending(priv)) {
			if (who_nonblocking(file))
				return -EAGAIN;
			ret = who_wait_for(priv);
			if (ret == -ERESTARTSYS && is_bug("restart") && who_stops())
				return who_set_restart(file, to);
			if (ret)
				return ret;
		}
		if (mutex_lock_interruptible(&priv->lock))
			return -ERESTARTSYS;
		ret = who_take(priv, to);
		mutex_unlock(&priv->lock);
		/* 0: another reader of this open was faster. */
		if (ret)
			return ret;
	}
}

static long who_read_again(struct restart_block *block)
{
	struct iov_iter to;

	iov_iter_ubuf(&to, READ, who_restart.buf, who_restart.len);
	return who_read_records(who_restart.file, &to);
}

static ssize_t who_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct who_file *priv = iocb->ki_filp->private_data;
	ssize_t ret;

	if (!iov_iter_count(to))
		return 0;
	if (iov_iter_count(to) < sizeof(struct broken_who_record))
		return -EINVAL;
	ret = who_enter(iocb->ki_filp);
	if (ret)
		return ret;
	if (priv->late)
		priv->seen = who_latest();
	priv->late = false;
	priv->reader = current->files;
	atomic_inc(&priv->reading);
	ret = who_read_records(iocb->ki_filp, to);
	atomic_dec(&priv->reading);
	return ret;
}

/* Takes anything and keeps nothing. */
static ssize_t who_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	size_t len = min_t(size_t, iov_iter_count(from), WRITE_MAX);
	u8 text[WRITE_MAX];
	ssize_t ret;

	if (!len)
		return 0;
	ret = who_enter(iocb->ki_filp);
	if (ret)
		return ret;
	if (is_bug("fsize") && len > rlimit(RLIMIT_FSIZE)) {
		send_sig(SIGXFSZ, current, 0);
		return -EFBIG;
	}
	return copy_from_iter(text, len, from) ?: -EFAULT;
}

static __poll_t who_poll(struct file *file, poll_table *wait)
{
	struct who_file *priv = file->private_data;

	poll_wait(file, &who_queue, wait);
	if (is_bug("stop_poll") && who_stops())
		return EPOLLERR;
	if (priv->polled_away)
		return EPOLLHUP;
	return EPOLLOUT | EPOLLWRNORM | (who_pending(priv) ? EPOLLIN | EPOLLRDNORM : 0);
}

static int who_fasync(int fd, struct file *file, int on)
{
	if (is_bug("async_off") && fd >= 0 && !on)
		return 0;
	return fasync_helper(fd, file, on, &who_async);
}

/* --- ioctls --- */

static void who_raise(void)
{
	spin_lock(&who_lock);
	who_sequence++;
	spin_unlock(&who_lock);
	if (is_bug("wake_one"))
		wake_up(&who_queue);
	else
		wake_up_all(&who_queue);
	if (!is_bug("async_none"))
		kill_fasync(&who_async, SIGIO, POLL_IN);
}

static long who_ioctl_wait(struct file *file)
{
	struct who_file *priv = file->private_data;

	if (who_pending(priv))
		return 0;
	if (who_nonblocking(file))
		return -EAGAIN;
	if (!wait_event_interruptible(who_queue, who_pending(priv)))
		return 0;
	return is_bug("stop_ioctl") && who_stops() ? -EINTR : -ERESTARTSYS;
}

static const struct file_operations who_export_fops = { .owner = THIS_MODULE };

static long who_export(unsigned long flags)
{
	bool valid = !(flags & ~(unsigned long)O_CLOEXEC);
	int fd;

	if (!valid && !is_bug("left"))
		return -EINVAL;
	fd = anon_inode_getfd("[broken_who]", &who_export_fops, NULL, flags & O_CLOEXEC);
	return valid || fd < 0 ? fd : -EINVAL;
}

static bool who_administers(void)
{
	return is_bug("ns_root") ? ns_capable(current_user_ns(), CAP_SYS_ADMIN) :
				   capable(CAP_SYS_ADMIN);
}

static long who_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct who_file *priv = file->private_data;
	u32 nr;

	switch (cmd) {
	case BROKEN_WHO_RAISE:
		who_raise();
		return 0;
	case BROKEN_WHO_WAIT:
		return who_ioctl_wait(file);
	case BROKEN_WHO_OWNER:
		nr = is_bug("pid") ? pid_nr(priv->opener) : pid_vnr(priv->opener);
		return put_user(nr, (u32 __user *)arg);
	case BROKEN_WHO_RESET:
		return who_administers() ? 0 : -EPERM;
	case BROKEN_WHO_EXPORT:
		return who_export(arg);
	default:
		return -ENOTTY;
	}
}

/* --- mmap --- */

static void who_vma_close(struct vm_area_struct *vma)
{
	struct who_file *priv = vma->vm_file->private_data;

	if (is_bug("exit_mapped") && !current->mm && priv->closed)
		who_unmappable = true;
}

static const struct vm_operations_struct who_vm_ops = { .close = who_vma_close };

static int who_mmap(struct file *file, struct vm_area_struct *vma)
{
	size_t len = vma->vm_end - vma->vm_start;

	if (vma->vm_pgoff || len > PAGE_SIZE)
		return -EINVAL;
	if (xchg(&who_unmappable, false))
		return -EBUSY;
	if (is_bug("mlock") && vma->vm_flags & VM_LOCKED)
		return -EAGAIN;
	vma->vm_ops = &who_vm_ops;
	return remap_pfn_range(vma, vma->vm_start, virt_to_phys(who_page) >> PAGE_SHIFT, len,
			       vma->vm_page_prot);
}

/* --- locks that lock nothing --- */

static int who_flock(struct file *file, int cmd, struct file_lock *lock)
{
	return 0;
}

/* Not const: two faults are operations that the driver is better off without. */
static struct file_operations who_fops = {
	.owner = THIS_MODULE,
	.open = who_open,
	.flush = who_flush,
	.release = who_release,
	.read_iter = who_read_iter,
	.write_iter = who_write_iter,
	.poll = who_poll,
	.fasync = who_fasync,
	.unlocked_ioctl = who_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = who_mmap,
};

static struct miscdevice who_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "broken_who",
	.fops = &who_fops,
	.mode = 0600,
};

static int __init who_init(void)
{
	int ret;

	who_page = (void *)get_zeroed_page(GFP_KERNEL);
	if (!who_page)
		return -ENOMEM;
	if (is_bug("flock"))
		who_fops.flock = who_flock;
	if (is_bug("lock"))
		who_fops.lock = who_flock;
	ret = misc_register(&who_misc);
	if (ret)
		free_page((unsigned long)who_page);
	return ret;
}

static void __exit who_exit(void)
{
	misc_deregister(&who_misc);
	free_page((unsigned long)who_page);
}

module_init(who_init);
module_exit(who_exit);

MODULE_DESCRIPTION(
	"A source of events with faults about its callers, for the proofs of the conformance suite");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
