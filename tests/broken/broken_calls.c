// SPDX-License-Identifier: GPL-2.0
/*
 * A memory that can be read, written, mapped and spliced in every way, right with bug=none and with exactly one fault
 * with any other name: in what it does for 32-bit programs, vectors, io_uring, splice, lengths and positions that few
 * think of, and mappings.
 */
#include <linux/bvec.h>
#include <linux/compat.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/limits.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#include "broken_calls.h"

#define PAGES	   (BROKEN_CALLS_SIZE >> PAGE_SHIFT)
#define PIPE_HOLDS SZ_64K

static char *bug = "none";
module_param(bug, charp, 0444);
MODULE_PARM_DESC(bug, "Name of the one fault to have (default: none)");

struct broken_calls_file {
	bool closed; /* bug=mmap_close: a descriptor was */
	pid_t opener;
};

/* What the parts of one mapping share. */
struct broken_calls_map {
	refcount_t users;
	unsigned long pages;
	bool gone;
};

static DEFINE_MUTEX(broken_calls_lock);
static u8 *broken_calls_data;

static bool is_bug(const char *name)
{
	return !strcmp(bug, name);
}

static int broken_calls_open(struct inode *inode, struct file *file)
{
	struct broken_calls_file *priv;

	if (is_bug("compat_open") && !(file->f_flags & O_LARGEFILE))
		return -EOVERFLOW;
	priv = kzalloc(sizeof(*priv), GFP_KERNEL);
	if (!priv)
		return -ENOMEM;
	priv->opener = current->tgid;
	file->private_data = priv;
	file->f_mode |= FMODE_NOWAIT;
	return 0;
}

static int broken_calls_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static int broken_calls_flush(struct file *file, fl_owner_t id)
{
	struct broken_calls_file *priv = file->private_data;

	if (is_bug("mmap_close") && !(current->flags & PF_EXITING))
		priv->closed = true;
	return 0;
}

/* How much of a call of that length at that position is inside; the position is made one that is. */
static size_t broken_calls_room(loff_t *pos, size_t len, bool wraps)
{
	if (wraps && (s64)round_up((u64)*pos + len, PAGE_SIZE) < 0)
		*pos = (u64)*pos % (BROKEN_CALLS_SIZE / 2);
	if (*pos < 0 || *pos >= BROKEN_CALLS_SIZE)
		return 0;
	return min_t(size_t, len, BROKEN_CALLS_SIZE - *pos);
}

/* Not a user's buffer: a pipe's pages, or those of a registered one. */
static bool is_pages(const struct iov_iter *iter)
{
	return !user_backed_iter(iter);
}

static bool is_vector(const struct iov_iter *iter)
{
	return iter_is_iovec(iter) && iter->nr_segs > 1;
}

/* By how much what is read or written is beside what was asked for. */
static int broken_calls_skew(struct kiocb *iocb, const struct iov_iter *iter, bool write)
{
	bool async = !is_sync_kiocb(iocb), pages = is_pages(iter);
	bool small = iov_iter_count(iter) <= PAGE_SIZE;

	if (in_compat_syscall())
		return is_bug(write ? "compat_write" : "compat_read") ? 4 : 0;
	if (async)
		return is_bug(write ? "uring_write" : pages ? "uring_fixed" : "uring_read") ? 4 : 0;
	if (pages && !write)
		return is_bug("splice") && small ? 4 : 0;
	if (pages)
		return is_bug(iter->bvec->bv_offset ? "splice_pages" : "splice_write") ? 4 : 0;
	return 0;
}

static int broken_calls_enter(const struct kiocb *iocb)
{
	if (is_bug("rwf_hints") && iocb->ki_flags & (IOCB_HIPRI | IOCB_DSYNC | IOCB_SYNC))
		return -EINVAL;
	if (!(iocb->ki_flags & IOCB_NOWAIT))
		mutex_lock(&broken_calls_lock);
	else if (!mutex_trylock(&broken_calls_lock))
		return -EAGAIN;
	return 0;
}

/* bug=vec_read: the source moves by one byte too many after the first segment. */
static size_t broken_calls_to_iter(loff_t pos, size_t len, struct iov_iter *to)
{
	size_t first = iov_iter_single_seg_count(to), n;

	if (!is_bug("vec_read") || !is_vector(to) || first >= len)
		return copy_to_iter(broken_calls_data + pos, len, to);
	n = copy_to_iter(broken_calls_data + pos, first, to);
	return n + copy_to_iter(broken_calls_data + pos + n + 1, len - n - 1, to);
}

static size_t broken_calls_from_iter(loff_t pos, size_t len, struct iov_iter *from)
{
	size_t first = iov_iter_single_seg_count(from), n;

	if (!is_bug("vec_write") || !is_vector(from) || first >= len)
		return copy_from_iter(broken_calls_data + pos, len, from);
	n = copy_from_iter(broken_calls_data + pos, first, from);
	return n + copy_from_iter(broken_calls_data + pos + n + 1, len - n - 1, from);
}

static ssize_t broken_calls_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	bool pages = is_pages(to) && is_sync_kiocb(iocb);
	size_t len = iov_iter_count(to), room, n;
	loff_t pos = iocb->ki_pos;
	ssize_t ret;

	if (is_bug("vec_empty") && !iov_iter_single_seg_count(to))
		return 0;
	if (is_bug("vec_many") && is_vector(to) && to->nr_segs > 64)
		return -EINVAL;
	if (is_bug("huge_read"))
		len = (u16)len;
	room = broken_calls_room(&pos, len, is_bug("pos_read"));
	if (!room)
		return pages && is_bug("splice_end") ? -EIO : 0;
	pos += broken_calls_skew(iocb, to, false);
	room = broken_calls_room(&pos, room, false);
	if (pages && is_bug("sendfile") && pos >= PIPE_HOLDS)
		pos -= PIPE_HOLDS;
	ret = broken_calls_enter(iocb);
	if (ret)
		return ret;
	n = broken_calls_to_iter(pos, room, to);
	mutex_unlock(&broken_calls_lock);
	if (!(pages && is_bug("splice_position") && len <= PAGE_SIZE))
		iocb->ki_pos += n;
	return n ?: -EFAULT;
}

static ssize_t broken_calls_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	size_t len = iov_iter_count(from), room, n;
	loff_t pos = iocb->ki_pos;
	ssize_t ret;

	if (!len)
		return 0;
	if (is_bug("huge_write"))
		len = (u16)len;
	room = broken_calls_room(&pos, len, is_bug("pos_write"));
	if (!room)
		return len ? -ENOSPC : 0;
	pos += broken_calls_skew(iocb, from, true);
	room = broken_calls_room(&pos, room, false);
	ret = broken_calls_enter(iocb);
	if (ret)
		return ret;
	n = broken_calls_from_iter(pos, room, from);
	mutex_unlock(&broken_calls_lock);
	iocb->ki_pos += n;
	return n ?: -EFAULT;
}

static loff_t broken_calls_llseek(struct file *file, loff_t off, int whence)
{
	loff_t pos;

	if (is_bug("pos_end") && whence == SEEK_END) {
		pos = ((u64)BROKEN_CALLS_SIZE + off) & LLONG_MAX;
		file->f_pos = pos;
		return pos;
	}
	return generic_file_llseek_size(file, off, whence, LLONG_MAX, BROKEN_CALLS_SIZE);
}

static long broken_calls_get_size(u64 __user *arg, bool compat)
{
	u64 size = BROKEN_CALLS_SIZE;

	if (compat && is_bug("compat_bytes"))
		size <<= 32;
	return copy_to_user(arg, &size, sizeof(size)) ? -EFAULT : 0;
}

static long broken_calls_peek(struct broken_calls_word __user *arg)
{
	struct broken_calls_word word;

	if (copy_from_user(&word, arg, sizeof(word)))
		return -EFAULT;
	if (word.offset > BROKEN_CALLS_SIZE - sizeof(u32))
		return -EINVAL;
	mutex_lock(&broken_calls_lock);
	memcpy(&word.value, broken_calls_data + word.offset, sizeof(u32));
	mutex_unlock(&broken_calls_lock);
	return copy_to_user(arg, &word, sizeof(word)) ? -EFAULT : 0;
}

static long broken_calls_info(struct broken_calls_info __user *arg)
{
	struct broken_calls_info info = { .bytes = BROKEN_CALLS_SIZE };

	if (get_user(info.size, &arg->size))
		return -EFAULT;
	if (info.size < sizeof(info))
		return -EINVAL;
	if (info.size > BROKEN_CALLS_INFO_MAX)
		return -E2BIG;
	if (copy_to_user(arg, &info, sizeof(info)) || clear_user(arg + 1, info.size - sizeof(info)))
		return -EFAULT;
	return 0;
}

static long broken_calls_do_ioctl(unsigned int cmd, void __user *arg, bool compat)
{
	switch (cmd) {
	case BROKEN_CALLS_GET_SIZE:
		return broken_calls_get_size(arg, compat);
	case BROKEN_CALLS_PEEK:
		return broken_calls_peek(arg);
	case BROKEN_CALLS_INFO:
		return broken_calls_info(arg);
	default:
		return compat && is_bug("compat_unknown") ? -EINVAL : -ENOTTY;
	}
}

static long broken_calls_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return broken_calls_do_ioctl(cmd, (void __user *)arg, false);
}

#ifdef CONFIG_COMPAT
static long broken_calls_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *to = compat_ptr(arg);
	long ret;

	if (is_bug("compat_high"))
		to = (void __user *)(long)(int)arg;
	ret = broken_calls_do_ioctl(cmd, to, true);
	return ret == -EFAULT && is_bug("compat_fault") ? 0 : ret;
}
#endif

static void broken_calls_vm_open(struct vm_area_struct *vma)
{
	struct broken_calls_map *map = vma->vm_private_data;

	refcount_inc(&map->users);
}

static void broken_calls_vm_close(struct vm_area_struct *vma)
{
	struct broken_calls_map *map = vma->vm_private_data;

	if (is_bug("mmap_unmap") && vma_pages(vma) < map->pages)
		map->gone = true;
	if (is_bug("mmap_fork") && current->flags & PF_EXITING)
		map->gone = true;
	if (refcount_dec_and_test(&map->users))
		kfree(map);
}

/* bug=mmap_self: a lock that a copy to or from a mapping holds already. It gives up, or the proof could not. */
static bool broken_calls_lock_in_vain(void)
{
	int i;

	for (i = 0; i < 50; i++) {
		if (mutex_trylock(&broken_calls_lock)) {
			mutex_unlock(&broken_calls_lock);
			return false;
		}
		msleep(20);
	}
	return true;
}

/* A page that has the same bytes only for now. */
static struct page *broken_calls_copy(const void *from)
{
	struct page *page = alloc_page(GFP_KERNEL);

	if (page)
		memcpy(page_address(page), from, PAGE_SIZE);
	return page;
}

static vm_fault_t broken_calls_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct broken_calls_file *priv = vma->vm_file->private_data;
	struct broken_calls_map *map = vma->vm_private_data;
	unsigned long pgoff = vmf->pgoff;
	bool copy;

	if (map->gone || priv->closed)
		return VM_FAULT_SIGBUS;
	if (is_bug("mmap_self") && broken_calls_lock_in_vain())
		return VM_FAULT_SIGBUS;
	if (is_bug("mmap_offset"))
		pgoff = (vmf->address - vma->vm_start) >> PAGE_SHIFT;
	if (is_bug("mmap_grow"))
		pgoff %= PAGES;
	if (pgoff >= PAGES)
		return VM_FAULT_SIGBUS;
	copy = is_bug(vma->vm_flags & VM_WRITE ? "mmap_write" : "mmap_same");
	if (copy && current->tgid == priv->opener) {
		vmf->page = broken_calls_copy(broken_calls_data + (pgoff << PAGE_SHIFT));
		return vmf->page ? 0 : VM_FAULT_OOM;
	}
	vmf->page = vmalloc_to_page(broken_calls_data + (pgoff << PAGE_SHIFT));
	get_page(vmf->page);
	return 0;
}

static int broken_calls_vm_protect(struct vm_area_struct *vma, unsigned long start,
				   unsigned long end, unsigned long flags)
{
	return is_bug("mmap_protect") ? -EACCES : 0;
}

static const struct vm_operations_struct broken_calls_vm_ops = {
	.open = broken_calls_vm_open,
	.close = broken_calls_vm_close,
	.fault = broken_calls_fault,
	.mprotect = broken_calls_vm_protect,
};

static void broken_calls_add_flags(struct vm_area_struct *vma, unsigned long flags)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_set(vma, flags);
#else
	vma->vm_flags |= flags;
#endif
}

/* bug=mmap_private: the pages are there at once, and writable whatever the mapping is. */
static int broken_calls_insert(struct vm_area_struct *vma)
{
	unsigned long i;
	int ret = 0;

	vma->vm_page_prot = vm_get_page_prot(vma->vm_flags | VM_SHARED);
	for (i = 0; i < vma_pages(vma) && !ret; i++)
		ret = vm_insert_page(vma, vma->vm_start + i * PAGE_SIZE,
				     vmalloc_to_page(broken_calls_data + (i << PAGE_SHIFT)));
	return ret;
}

static int broken_calls_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct broken_calls_map *map;
	int ret = 0;

	if (vma->vm_pgoff >= PAGES || vma_pages(vma) > PAGES - vma->vm_pgoff)
		return -EINVAL;
	map = kzalloc(sizeof(*map), GFP_KERNEL);
	if (!map)
		return -ENOMEM;
	refcount_set(&map->users, 1);
	map->pages = vma_pages(vma);
	if (is_bug("mmap_readonly"))
		broken_calls_add_flags(vma, VM_MAYWRITE);
	if (is_bug("mmap_private") && !(vma->vm_flags & VM_MAYSHARE) && vma->vm_flags & VM_WRITE)
		ret = broken_calls_insert(vma);
	if (ret) {
		kfree(map);
		return ret;
	}
	vma->vm_private_data = map;
	vma->vm_ops = &broken_calls_vm_ops;
	return 0;
}

/* copy_splice_read() took the place of the generic one in 6.5. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#define broken_calls_splice_read copy_splice_read
#else
#define broken_calls_splice_read generic_file_splice_read
#endif

/* Not constant: bug=compat_ioctl takes one of them away. */
static struct file_operations broken_calls_fops = {
	.owner = THIS_MODULE,
	.open = broken_calls_open,
	.flush = broken_calls_flush,
	.release = broken_calls_release,
	.read_iter = broken_calls_read_iter,
	.write_iter = broken_calls_write_iter,
	.llseek = broken_calls_llseek,
	.splice_read = broken_calls_splice_read,
	.splice_write = iter_file_splice_write,
	.mmap = broken_calls_mmap,
	.unlocked_ioctl = broken_calls_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = broken_calls_compat_ioctl,
#endif
};

static struct miscdevice broken_calls_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "broken_calls",
	.fops = &broken_calls_fops,
	.mode = 0600,
};

static int __init broken_calls_init(void)
{
	int ret;

	broken_calls_data = vzalloc(BROKEN_CALLS_SIZE);
	if (!broken_calls_data)
		return -ENOMEM;
	/* A caller that takes what it has read for an argument asks for more of it than it has. */
	memset32((u32 *)broken_calls_data, BROKEN_CALLS_INFO_MAX / 2,
		 BROKEN_CALLS_SIZE / sizeof(u32));
	if (is_bug("compat_ioctl"))
		broken_calls_fops.compat_ioctl = NULL;
	ret = misc_register(&broken_calls_misc);
	if (ret)
		vfree(broken_calls_data);
	return ret;
}

static void __exit broken_calls_exit(void)
{
	misc_deregister(&broken_calls_misc);
	vfree(broken_calls_data);
}

module_init(broken_calls_init);
module_exit(broken_calls_exit);

MODULE_DESCRIPTION(
	"A memory with faults to order in less usual calls, for the proofs of the conformance suite");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
