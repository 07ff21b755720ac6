// SPDX-License-Identifier: GPL-2.0
/*
 * A memory of one page that is right with bug=none and has exactly one fault with any other name.
 * Each fault is one that a published driver has, or a slip of the same kind; expect.txt names the
 * claim that must find it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/limits.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "broken_mem.h"

#define FILES_MAX 16

static char *bug = "none";
module_param(bug, charp, 0444);
MODULE_PARM_DESC(bug, "Name of the one fault to have (default: none)");

/* Gives back the references that bug=refcount leaks, or nobody could unload the module. */
static int leaked_refs;
static int refs_drop(const char *val, const struct kernel_param *kp)
{
	for (; leaked_refs; leaked_refs--)
		module_put(THIS_MODULE);
	return 0;
}

static const struct kernel_param_ops refs_ops = { .set = refs_drop };
module_param_cb(drop_refs, &refs_ops, NULL, 0200);
MODULE_PARM_DESC(drop_refs, "Write anything to give leaked references back");

struct broken_mem_file {
	pid_t opener;
	u32 exec_id;
	bool flushed;
	struct mutex busy;
};

static DEFINE_MUTEX(broken_mem_lock);
static u8 *broken_mem_data;
static struct file *broken_mem_files[FILES_MAX];
static atomic_t broken_mem_opens;
static atomic_long_t broken_mem_holder;
static dev_t broken_mem_region;
static struct dentry *broken_mem_dir;

static bool is_bug(const char *name)
{
	return !strcmp(bug, name);
}

static void file_remember(struct file *file, struct file *was)
{
	int i;

	mutex_lock(&broken_mem_lock);
	for (i = 0; i < FILES_MAX; i++) {
		if (broken_mem_files[i] == was) {
			broken_mem_files[i] = file;
			break;
		}
	}
	mutex_unlock(&broken_mem_lock);
}

static int broken_mem_open(struct inode *inode, struct file *file)
{
	unsigned int mode = file->f_flags & O_ACCMODE;
	struct broken_mem_file *priv;

	if (is_bug("open_mode") && mode == O_WRONLY)
		return -EIO;
	if (is_bug("leak_refused") && mode == O_WRONLY)
		return kmalloc(128, GFP_KERNEL) ? -EACCES : -ENOMEM;
	if (is_bug("open_nonblock") && file->f_flags & O_NONBLOCK)
		return -EINVAL;
	if (atomic_inc_return(&broken_mem_opens) > 1 && is_bug("open_second")) {
		atomic_dec(&broken_mem_opens);
		return -EINVAL;
	}
	priv = kzalloc(sizeof(*priv), GFP_KERNEL);
	if (!priv) {
		atomic_dec(&broken_mem_opens);
		return -ENOMEM;
	}
	priv->opener = current->tgid;
	priv->exec_id = current->self_exec_id;
	mutex_init(&priv->busy);
	file->private_data = priv;
	file_remember(file, NULL);

	if (is_bug("direction") && mode == O_WRONLY)
		file->f_mode |= FMODE_READ | FMODE_CAN_READ;
	if (is_bug("log"))
		pr_info("opened\n");
	if (is_bug("refcount")) {
		__module_get(THIS_MODULE);
		leaked_refs++;
	}
	return 0;
}

static int broken_mem_release(struct inode *inode, struct file *file)
{
	file_remember(NULL, file);
	atomic_dec(&broken_mem_opens);
	if (!is_bug("open_leak"))
		kfree(file->private_data);
	return 0;
}

static int broken_mem_flush(struct file *file, fl_owner_t id)
{
	struct broken_mem_file *priv = file->private_data;

	if (is_bug("flush"))
		priv->flushed = true;
	return is_bug("close_error") ? -EIO : 0;
}

/* What read, write and ioctl have in common; the faults that are about who calls. */
static int broken_mem_enter(struct file *file)
{
	struct broken_mem_file *priv = file->private_data;

	if (priv->flushed)
		return -EIO;
	if (is_bug("fork") && current->tgid != priv->opener &&
	    current->self_exec_id == priv->exec_id)
		return -EACCES;
	if (is_bug("exec") && current->self_exec_id != priv->exec_id)
		return -EACCES;
	mutex_lock(&broken_mem_lock);
	return 0;
}

static void broken_mem_leave(struct file *file)
{
	mutex_unlock(&broken_mem_lock);
}

/* The faults of concurrent reads: another one, of this open or of another, makes the read fail. */
static int broken_mem_collide(struct file *file)
{
	struct broken_mem_file *priv = file->private_data;
	long holder;

	if (is_bug("hammer_one")) {
		if (!mutex_trylock(&priv->busy))
			return -EIO;
		usleep_range(20, 60);
		mutex_unlock(&priv->busy);
	}
	if (is_bug("hammer_many")) {
		holder = atomic_long_cmpxchg(&broken_mem_holder, 0, (long)file);
		if (holder && holder != (long)file)
			return -EIO;
		usleep_range(20, 60);
		atomic_long_cmpxchg(&broken_mem_holder, (long)file, 0);
	}
	return 0;
}

/* How much of a call of that length at that position is inside. */
static size_t broken_mem_room(loff_t pos, size_t len)
{
	if (pos < 0 || pos >= BROKEN_MEM_SIZE)
		return 0;
	return min_t(size_t, len, BROKEN_MEM_SIZE - pos);
}

/* kmalloc(len): what a driver with a bounce buffer of the caller's size does. */
static int broken_mem_bounce(size_t len)
{
	void *bounce = kmalloc(len, GFP_KERNEL | __GFP_NOWARN);

	kfree(bounce);
	return bounce ? 0 : -ENOMEM;
}

static ssize_t broken_mem_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct broken_mem_file *priv = iocb->ki_filp->private_data;
	size_t len = iov_iter_count(to), room, n;
	loff_t pos = iocb->ki_pos;
	ssize_t ret;

	if (is_bug("read_zero") && !len)
		return -EINVAL;
	if (is_bug("read_huge") && len > SZ_1M && broken_mem_bounce(len))
		return -ENOMEM;
	ret = broken_mem_collide(iocb->ki_filp) ?: broken_mem_enter(iocb->ki_filp);
	if (ret)
		return ret;
	if (is_bug("far"))
		pos = (u32)pos;
	room = broken_mem_room(pos, len);
	if (is_bug("eof") && pos >= BROKEN_MEM_SIZE) {
		ret = -EINVAL;
		goto out;
	}
	if (is_bug("read_end") && room && room < len) {
		ret = -EINVAL;
		goto out;
	}
	if (!room)
		goto out;
	if (is_bug("read_fresh"))
		pagefault_disable(); /* as a spinlock would */
	n = copy_to_iter(broken_mem_data + pos, room, to);
	if (is_bug("read_fresh"))
		pagefault_enable();
	ret = n;
	if (!n && !is_bug("read_fault"))
		ret = -EFAULT;
	if (is_bug("read_tail") && n && n < room)
		n = room;
	if (is_bug("parts") && len < 8)
		n = min_t(size_t, 8, BROKEN_MEM_SIZE - pos);
	if (!is_bug("fork_pos") || current->tgid == priv->opener)
		iocb->ki_pos += n;
	if (is_bug("pread"))
		iocb->ki_filp->f_pos = iocb->ki_pos;
out:
	broken_mem_leave(iocb->ki_filp);
	return ret;
}

static ssize_t broken_mem_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	size_t len = iov_iter_count(from), room, n;
	ssize_t ret;

	if (!len)
		return is_bug("write_zero") ? -EIO : 0;
	if (is_bug("write_huge") && len > SZ_1M && broken_mem_bounce(len))
		return -ENOMEM;
	ret = broken_mem_enter(iocb->ki_filp);
	if (ret)
		return ret;
	room = broken_mem_room(iocb->ki_pos, len);
	if (!room) {
		ret = -ENOSPC;
		goto out;
	}
	n = copy_from_iter(broken_mem_data + iocb->ki_pos, room, from);
	ret = n;
	if (!n && !is_bug("write_fault"))
		ret = -EFAULT;
	if (is_bug("write_tail") && n && n < room)
		n = room;
	if (is_bug("write_end") && n == room && room < len && len < 64)
		ret = len;
	iocb->ki_pos += n;
out:
	broken_mem_leave(iocb->ki_filp);
	return ret;
}

static loff_t broken_mem_llseek(struct file *file, loff_t off, int whence)
{
	loff_t pos;
	int i;

	switch (whence) {
	case SEEK_SET:
		pos = off;
		break;
	case SEEK_CUR:
		if (check_add_overflow(file->f_pos, off, &pos))
			return -EOVERFLOW;
		break;
	case SEEK_END:
		pos = BROKEN_MEM_SIZE + (is_bug("seek_end") ? -off : off);
		break;
	default:
		return -EINVAL;
	}
	if (is_bug("seek_int"))
		pos = (int)pos;
	if (pos < 0 && is_bug("seek_negative"))
		pos = 0;
	if (pos < 0)
		return -EINVAL;
	file->f_pos = pos;
	if (is_bug("one_pos")) {
		mutex_lock(&broken_mem_lock);
		for (i = 0; i < FILES_MAX; i++)
			if (broken_mem_files[i])
				broken_mem_files[i]->f_pos = pos;
		mutex_unlock(&broken_mem_lock);
	}
	return pos;
}

static long broken_mem_get_size(void __user *arg)
{
	u64 size = BROKEN_MEM_SIZE, in;

	if (is_bug("ior_reads")) {
		if (copy_from_user(&in, arg, sizeof(in)))
			return -EFAULT;
		if (in > BROKEN_MEM_SIZE)
			return -EINVAL;
	}
	if (is_bug("ior_swapped"))
		return copy_from_user(&in, arg, sizeof(in)) ? -EFAULT : 0;
	return copy_to_user(arg, &size, sizeof(size)) ? -EFAULT : 0;
}

static long broken_mem_word(unsigned int cmd, void __user *arg)
{
	struct broken_mem_word word[2] = {};
	size_t size = sizeof(word[0]);
	u8 *at;

	if (is_bug("ioctl_kernel") && (unsigned long)arg > LONG_MAX) {
		if (copy_from_kernel_nofault(word, (void __force *)arg, size))
			return -EFAULT;
	} else if (copy_from_user(word, arg, size)) {
		if (!is_bug("ioctl_fault") || cmd != BROKEN_MEM_POKE)
			return -EFAULT;
		memset(word, 0, size);
	}
	if (word[0].offset > BROKEN_MEM_SIZE - sizeof(u32))
		return -EINVAL;
	at = broken_mem_data + word[0].offset;
	if (cmd == BROKEN_MEM_POKE) {
		memcpy(at, &word[0].value, sizeof(u32));
		if (is_bug("iow_writes") && copy_to_user(arg, word, size))
			return -EFAULT;
		return 0;
	}
	memcpy(&word[0].value, at, sizeof(u32));
	if (is_bug("ioctl_size"))
		size += sizeof(word[1]);
	if (copy_to_user(arg, word, size) && !is_bug("iowr_ignored"))
		return -EFAULT;
	return 0;
}

static long broken_mem_ioctl_locked(unsigned int cmd, unsigned long arg)
{
	if (is_bug("ioctl_type"))
		cmd = (cmd & ~(_IOC_TYPEMASK << _IOC_TYPESHIFT)) | 0xb5 << _IOC_TYPESHIFT;
	switch (cmd) {
	case BROKEN_MEM_GET_SIZE:
		return broken_mem_get_size((void __user *)arg);
	case BROKEN_MEM_CLEAR:
		if (is_bug("ioctl_missing"))
			return -ENOTTY;
		if (is_bug("io_touches") && put_user(1, (int __user *)arg))
			return -EFAULT;
		memset(broken_mem_data, 0, BROKEN_MEM_SIZE);
		return 0;
	case BROKEN_MEM_POKE:
	case BROKEN_MEM_PEEK:
		return broken_mem_word(cmd, (void __user *)arg);
	default:
		return is_bug("ioctl_einval") ? -EINVAL : -ENOTTY;
	}
}

static long broken_mem_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	long ret;

	if ((cmd == BROKEN_MEM_CLEAR || cmd == BROKEN_MEM_POKE) && !(file->f_mode & FMODE_WRITE) &&
	    !is_bug("readonly"))
		return -EBADF;
	ret = broken_mem_enter(file);
	if (ret)
		return ret;
	ret = broken_mem_ioctl_locked(cmd, arg);
	broken_mem_leave(file);
	return ret;
}

static int broken_mem_mmap(struct file *file, struct vm_area_struct *vma)
{
	size_t len = vma->vm_end - vma->vm_start;

	if (is_bug("mmap_errno"))
		return -EIO;
	if (is_bug("mmap_nothing"))
		return 0;
	if (!is_bug("mmap_end") && (vma->vm_pgoff || len > PAGE_ALIGN(BROKEN_MEM_SIZE)))
		return -EINVAL;
	return remap_pfn_range(vma, vma->vm_start,
			       (virt_to_phys(broken_mem_data) >> PAGE_SHIFT) + vma->vm_pgoff, len,
			       vma->vm_page_prot);
}

static int broken_mem_fsync(struct file *file, loff_t start, loff_t end, int datasync)
{
	return is_bug("fsync") ? -ENOTTY : 0;
}

static const struct file_operations broken_mem_fops = {
	.owner = THIS_MODULE,
	.open = broken_mem_open,
	.flush = broken_mem_flush,
	.release = broken_mem_release,
	.read_iter = broken_mem_read_iter,
	.write_iter = broken_mem_write_iter,
	.llseek = broken_mem_llseek,
	.unlocked_ioctl = broken_mem_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = broken_mem_mmap,
	.fsync = broken_mem_fsync,
};

/* bug=owner: the same without an owner; filled in at load because the rest must stay the same. */
static struct file_operations broken_mem_ownerless;

static struct miscdevice broken_mem_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "broken_mem",
	.fops = &broken_mem_fops,
	.mode = 0600,
};

/* A number, a name or memory that nobody gives back. */
static int broken_mem_leave_behind(void)
{
	if (is_bug("leak"))
		return kmalloc(1024, GFP_KERNEL) ? 0 : -ENOMEM;
	if (is_bug("leak_pages"))
		return __get_free_pages(GFP_KERNEL, 1) ? 0 : -ENOMEM;
	if (is_bug("clean"))
		return alloc_chrdev_region(&broken_mem_region, 0, 1, "broken_mem_left");
	if (is_bug("reload")) {
		broken_mem_dir = debugfs_create_dir("broken_mem_left", NULL);
		return PTR_ERR_OR_ZERO(broken_mem_dir);
	}
	return 0;
}

static int __init broken_mem_init(void)
{
	int ret;

	broken_mem_data =
		is_bug("heap") ? kmalloc(PAGE_SIZE, GFP_KERNEL) : kzalloc(PAGE_SIZE, GFP_KERNEL);
	if (!broken_mem_data)
		return -ENOMEM;
	ret = broken_mem_leave_behind();
	if (ret)
		goto err_free;
	if (is_bug("owner")) {
		broken_mem_ownerless = broken_mem_fops;
		broken_mem_ownerless.owner = NULL;
		broken_mem_misc.fops = &broken_mem_ownerless;
	}
	if (is_bug("mode"))
		broken_mem_misc.mode = 0666;
	ret = misc_register(&broken_mem_misc);
	if (ret)
		goto err_free;
	if (is_bug("sysfs"))
		ret = device_rename(broken_mem_misc.this_device, "broken_mem_renamed");
	if (ret)
		goto err_deregister;
	return 0;

err_deregister:
	misc_deregister(&broken_mem_misc);
err_free:
	kfree(broken_mem_data);
	return ret;
}

static void __exit broken_mem_exit(void)
{
	if (is_bug("sysfs") && device_rename(broken_mem_misc.this_device, "broken_mem"))
		pr_err("cannot take the name back\n");
	misc_deregister(&broken_mem_misc);
	kfree(broken_mem_data);
}

module_init(broken_mem_init);
module_exit(broken_mem_exit);

MODULE_DESCRIPTION("A memory with faults to order, for the proofs of the conformance suite");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
