// SPDX-License-Identifier: GPL-2.0
/*
 * A memory as a device. Each read and each write is atomic against the others, by one lock that is
 * chosen when the module is loaded; the choice is patched into the code (static keys), so a call
 * pays for the lock that it takes and for no other. With the mutex, a short read does not take it:
 * it looks whether somebody wrote meanwhile, and only then reads again, with the mutex.
 *
 * Lock order: the device's lock, then mmap_lock: user memory may fault while the lock is held. So
 * neither mmap() nor the fault handler of a mapping takes the device's lock, and a read into a
 * mapping of this very device cannot deadlock.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/jump_label.h>
#include <linux/kernel.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/seqlock.h>
#include <linux/splice.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#include "mymem.h"
#include "mymem_kernel.h"

/* No holes, on any architecture. */
static_assert(sizeof(struct mymem_info) == 16);
static_assert(sizeof(struct mymem_add) == 32);
/* The number of the call must not change when the structure grows. */
static_assert(_IOC_SIZE(MYMEM_INFO) == MYMEM_INFO_SIZE_VER0);
static_assert(MYMEM_ADD_ALIGN == sizeof(atomic64_t));

/* So much at once; after that the CPU is offered to others, and a kill is heard. */
#define MYMEM_CHUNK ((size_t)SZ_1M)

/* Up to here, a read may turn out to be in vain and be done a second time. */
#define MYMEM_QUICK ((size_t)SZ_4K)

/* Up to here, what is read and written goes over the stack, so that no fault happens under the lock. */
#define MYMEM_SMALL 64

#ifndef ITER_DEST /* before 6.2 */
#define ITER_DEST READ
#endif

/**
 * struct mymem - the device
 * @bytes:	the memory, whole pages
 * @size:	how much of it there is for users; does not change
 * @quick:	the longest transfer that is done the short way: @size or MYMEM_QUICK
 * @seq:	with lock=mutex, odd while somebody writes; changed with @mutex held. Its writers
 *		may sleep, which is why its readers do not wait for them
 * @mutex:	with lock=mutex, held for each access to @bytes but for short reads
 * @rwsem:	with lock=rwsem, the same; shared by those that only read
 * @misc:	its registration
 */
struct mymem {
	u8 *bytes;
	size_t size, quick;
	seqcount_t seq;
	struct mutex mutex;
	struct rw_semaphore rwsem;
	struct miscdevice misc;
};

static unsigned long size = MYMEM_SIZE_DEFAULT;
module_param(size, ulong, 0444);
MODULE_PARM_DESC(size, "Bytes of the memory, 1 to 1073741824 (default 524288)");

static unsigned int mode = MYMEM_MODE_DEFAULT;
module_param(mode, uint, 0444);
MODULE_PARM_DESC(mode, "Permissions of the node, octal with a leading 0 (default 0600)");

static char *lock = "mutex";
module_param(lock, charp, 0444);
MODULE_PARM_DESC(lock, "What makes reads and writes atomic: mutex, rwsem or none (default mutex)");

static bool strict;
module_param(strict, bool, 0444);
MODULE_PARM_DESC(strict,
		 "Refuse what passes the end instead of doing the part before it (default 0)");

enum mymem_lock {
	MYMEM_LOCK_MUTEX,
	MYMEM_LOCK_RWSEM,
	MYMEM_LOCK_NONE
};

static const char *const mymem_locks[] = {
	[MYMEM_LOCK_MUTEX] = "mutex",
	[MYMEM_LOCK_RWSEM] = "rwsem",
	[MYMEM_LOCK_NONE] = "none",
};

/* Both off: lock=mutex, the straight way through. The second is looked at with the first on only. */
static DEFINE_STATIC_KEY_FALSE(mymem_not_mutex);
static DEFINE_STATIC_KEY_FALSE(mymem_no_lock);

static struct mymem mymem;

/* Waiting ends by a kill only, as in a regular file's read and write. */
static __always_inline int mymem_lock_shared(struct mymem *mm)
{
	if (static_branch_unlikely(&mymem_not_mutex)) {
		if (static_branch_unlikely(&mymem_no_lock))
			return 0;
		return down_read_killable(&mm->rwsem);
	}
	return mutex_lock_killable(&mm->mutex);
}

static __always_inline void mymem_unlock_shared(struct mymem *mm)
{
	if (static_branch_unlikely(&mymem_not_mutex)) {
		if (!static_branch_unlikely(&mymem_no_lock))
			up_read(&mm->rwsem);
		return;
	}
	mutex_unlock(&mm->mutex);
}

static __always_inline int mymem_lock_excl(struct mymem *mm)
{
	if (static_branch_unlikely(&mymem_not_mutex)) {
		if (static_branch_unlikely(&mymem_no_lock))
			return 0;
		return down_write_killable(&mm->rwsem);
	}
	if (mutex_lock_killable(&mm->mutex))
		return -EINTR;
	raw_write_seqcount_begin(&mm->seq);
	return 0;
}

static __always_inline void mymem_unlock_excl(struct mymem *mm)
{
	if (static_branch_unlikely(&mymem_not_mutex)) {
		if (!static_branch_unlikely(&mymem_no_lock))
			up_write(&mm->rwsem);
		return;
	}
	raw_write_seqcount_end(&mm->seq);
	mutex_unlock(&mm->mutex);
}

/* For callers that may not wait: -EAGAIN. */
static int mymem_trylock(struct mymem *mm, bool excl)
{
	bool got;

	if (static_branch_unlikely(&mymem_no_lock))
		return 0;
	if (static_branch_unlikely(&mymem_not_mutex))
		got = excl ? down_write_trylock(&mm->rwsem) : down_read_trylock(&mm->rwsem);
	else
		got = mutex_trylock(&mm->mutex);
	if (!got)
		return -EAGAIN;
	if (excl && !static_branch_unlikely(&mymem_not_mutex))
		raw_write_seqcount_begin(&mm->seq);
	return 0;
}

/* A short read without the mutex. False: somebody wrote meanwhile, or there is another lock. */
static __always_inline bool mymem_read_quick(struct mymem *mm, void *to, const u8 *from, size_t len)
{
	unsigned int seq;

	if (static_branch_unlikely(&mymem_not_mutex))
		return false;
	seq = raw_seqcount_begin(&mm->seq);
	memcpy(to, from, len);
	return !read_seqcount_retry(&mm->seq, seq);
}

/* A transfer that lies inside the memory and is short. No sum that could wrap. */
static __always_inline bool mymem_is_quick(const struct mymem *mm, u64 pos, size_t len)
{
	return likely(len <= mm->quick && pos <= mm->size - len);
}

/* How much of a transfer lies inside the memory; -EINVAL when it must be all of it. */
static ssize_t mymem_span(const struct mymem *mm, u64 pos, size_t len)
{
	if (!len || (len <= mm->size && pos <= mm->size - len))
		return len;
	if (strict)
		return -EINVAL;
	return pos < mm->size ? mm->size - pos : 0;
}

/* Between two chunks of a long transfer. True: the caller is to end here. */
static bool mymem_pause(void)
{
	cond_resched();
	return fatal_signal_pending(current);
}

/* To and from memory of the kernel. Returns what was copied. */
static size_t mymem_copy(u8 *to, const u8 *from, size_t len)
{
	size_t done = 0, n;

	do {
		n = min(len - done, MYMEM_CHUNK);
		memcpy(to + done, from + done, n);
		done += n;
	} while (done < len && !mymem_pause());
	return done;
}

/**
 * mymem_size() - how large the memory is
 *
 * Return: bytes; the same as long as the module is there.
 */
size_t mymem_size(void)
{
	return mymem.size;
}
EXPORT_SYMBOL_GPL(mymem_size);

/* At the end of the memory, or long, or with the lock. */
static noinline ssize_t mymem_read_slow(struct mymem *mm, u64 pos, void *to, size_t len)
{
	ssize_t n = mymem_span(mm, pos, len);

	if (n <= 0)
		return n;
	if (mymem_lock_shared(mm))
		return -EINTR;
	n = mymem_copy(to, mm->bytes + pos, n);
	mymem_unlock_shared(mm);
	return n;
}

/**
 * mymem_read() - reads the memory
 * @pos:	from where
 * @to:		to which buffer
 * @len:	how many bytes
 *
 * Atomic against all other reads and writes (not with lock=none).
 *
 * Context: Process context. May sleep.
 * Return: bytes read: less than @len at the end of the memory, or of more than a megabyte when the
 * caller's process is being killed, 0 past the end; -EINVAL for what passes the end with strict=1;
 * -EINTR when the caller's process is being killed.
 */
ssize_t mymem_read(u64 pos, void *to, size_t len)
{
	struct mymem *mm = &mymem;

	if (mymem_is_quick(mm, pos, len) && mymem_read_quick(mm, to, mm->bytes + pos, len))
		return len;
	return mymem_read_slow(mm, pos, to, len);
}
EXPORT_SYMBOL_GPL(mymem_read);

static noinline ssize_t mymem_write_slow(struct mymem *mm, u64 pos, const void *from, size_t len)
{
	ssize_t n = mymem_span(mm, pos, len);

	if (n <= 0)
		return n || !len ? n : -ENOSPC;
	if (mymem_lock_excl(mm))
		return -EINTR;
	n = mymem_copy(mm->bytes + pos, from, n);
	mymem_unlock_excl(mm);
	return n;
}

/**
 * mymem_write() - writes the memory
 * @pos:	where to
 * @from:	what
 * @len:	how many bytes
 *
 * Atomic against all other reads and writes (not with lock=none).
 *
 * Context: Process context. May sleep.
 * Return: bytes written: less than @len at the end of the memory, or of more than a megabyte when
 * the caller's process is being killed; -ENOSPC past the end; -EINVAL for what passes the end with
 * strict=1; -EINTR when the caller's process is being killed.
 */
ssize_t mymem_write(u64 pos, const void *from, size_t len)
{
	struct mymem *mm = &mymem;
	u8 *to = mm->bytes + pos;

	if (!mymem_is_quick(mm, pos, len))
		return mymem_write_slow(mm, pos, from, len);
	if (mymem_lock_excl(mm))
		return -EINTR;
	memcpy(to, from, len);
	mymem_unlock_excl(mm);
	return len;
}
EXPORT_SYMBOL_GPL(mymem_write);

/* The number at an offset, or NULL where there is none to add to. */
static atomic64_t *mymem_number(const struct mymem *mm, u64 pos)
{
	if (pos % MYMEM_ADD_ALIGN || mm->size < sizeof(atomic64_t) ||
	    pos > mm->size - sizeof(atomic64_t))
		return NULL;
	return (atomic64_t *)(mm->bytes + pos);
}

/**
 * mymem_fetch_add() - adds to a number in the memory
 * @pos:	where it is, a multiple of MYMEM_ADD_ALIGN; eight bytes, native endian
 * @value:	what to add, modulo 2^64
 * @old:	what it was before; may be NULL
 *
 * Atomic against all other reads and writes (not with lock=none), and, whatever the lock, against
 * other additions and against atomic operations on a mapping of the device.
 *
 * Context: Process context. May sleep.
 * Return: 0; -EINVAL for an offset that is not aligned or passes the end; -EINTR when the caller's
 * process is being killed.
 */
int mymem_fetch_add(u64 pos, u64 value, u64 *old)
{
	struct mymem *mm = &mymem;
	atomic64_t *number = mymem_number(mm, pos);
	u64 before;

	if (!number)
		return -EINVAL;
	if (mymem_lock_excl(mm))
		return -EINTR;
	before = atomic64_fetch_add(value, number);
	mymem_unlock_excl(mm);
	if (old)
		*old = before;
	return 0;
}
EXPORT_SYMBOL_GPL(mymem_fetch_add);

/*
 * To and from any iterator. Returns what was copied. Without the check of hardened usercopy, as in
 * the driver for persistent memory: it would compare with the same bounds as mymem_span() has done,
 * and search all vmalloc areas of the kernel for them, in a time that depends on how many there are.
 */
static size_t mymem_copy_iter(u8 *bytes, size_t len, struct iov_iter *iter, bool write)
{
	size_t done = 0, n, copied;

	do {
		n = min(len - done, MYMEM_CHUNK);
		copied = write ? _copy_from_iter(bytes + done, n, iter) :
				 _copy_to_iter(bytes + done, n, iter);
		done += copied;
	} while (copied == n && done < len && !mymem_pause());
	return done;
}

/* Gives the lock back. What is short goes over the stack: its faults hold up nobody. */
static size_t mymem_give(struct mymem *mm, loff_t pos, size_t n, struct iov_iter *to)
{
	u8 small[MYMEM_SMALL];
	size_t done;

	if (n <= MYMEM_SMALL) {
		memcpy(small, mm->bytes + pos, n);
		mymem_unlock_shared(mm);
		return _copy_to_iter(small, n, to);
	}
	done = mymem_copy_iter(mm->bytes + pos, n, to, false);
	mymem_unlock_shared(mm);
	return done;
}

static ssize_t mymem_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct mymem *mm = &mymem;
	ssize_t n = mymem_span(mm, iocb->ki_pos, iov_iter_count(to));
	size_t done;
	int ret;

	if (n <= 0)
		return n;
	ret = iocb->ki_flags & IOCB_NOWAIT ? mymem_trylock(mm, false) : mymem_lock_shared(mm);
	if (ret)
		return ret;
	done = mymem_give(mm, iocb->ki_pos, n, to);
	iocb->ki_pos += done;
	return done ?: -EFAULT;
}

static ssize_t mymem_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct mymem *mm = &mymem;
	size_t len = iov_iter_count(from), done;
	ssize_t n = mymem_span(mm, iocb->ki_pos, len);
	u8 small[MYMEM_SMALL];
	int ret;

	if (n <= 0)
		return n || !len ? n : -ENOSPC;
	if (n <= MYMEM_SMALL) {
		n = copy_from_iter(small, n, from);
		if (!n)
			return -EFAULT;
	}
	if (unlikely(iocb->ki_flags & IOCB_NOWAIT))
		ret = mymem_trylock(mm, true);
	else
		ret = mymem_lock_excl(mm);
	if (ret) {
		if (n <= MYMEM_SMALL)
			iov_iter_revert(from, n);
		return ret;
	}
	if (n <= MYMEM_SMALL) {
		memcpy(mm->bytes + iocb->ki_pos, small, n);
		done = n;
	} else {
		done = mymem_copy_iter(mm->bytes + iocb->ki_pos, n, from, true);
	}
	mymem_unlock_excl(mm);
	iocb->ki_pos += done;
	return done ?: -EFAULT;
}

/*
 * pread(2) and read(2) come here, splice, readv and io_uring to mymem_read_iter(). Both may be there,
 * as for /dev/zero: an iterator for a single buffer is a third of what a small read costs.
 */
static noinline ssize_t mymem_fop_read_slow(struct mymem *mm, char __user *to, size_t len,
					    loff_t *ppos)
{
	ssize_t n = mymem_span(mm, *ppos, len);
	struct iov_iter iter;
	size_t done;

	if (n <= 0)
		return n;
	iov_iter_ubuf(&iter, ITER_DEST, to, n);
	if (mymem_lock_shared(mm))
		return -EINTR;
	done = mymem_give(mm, *ppos, n, &iter);
	*ppos += done;
	return done ?: -EFAULT;
}

static ssize_t mymem_fop_read(struct file *file, char __user *to, size_t len, loff_t *ppos)
{
	struct mymem *mm = &mymem;
	u8 small[MYMEM_SMALL];
	size_t left;

	if (len > MYMEM_SMALL || !mymem_is_quick(mm, *ppos, len))
		return mymem_fop_read_slow(mm, to, len, ppos);
	if (!mymem_read_quick(mm, small, mm->bytes + *ppos, len)) {
		if (mymem_lock_shared(mm))
			return -EINTR;
		memcpy(small, mm->bytes + *ppos, len);
		mymem_unlock_shared(mm);
	}
	left = copy_to_user(to, small, len);
	if (left == len && len)
		return -EFAULT;
	*ppos += len - left;
	return len - left;
}

static loff_t mymem_llseek(struct file *file, loff_t offset, int whence)
{
	/* SEEK_DATA and SEEK_HOLE, too: all of it is data. */
	return generic_file_llseek_size(file, offset, whence, mymem.size, mymem.size);
}

static noinline long mymem_ioctl_info(struct mymem *mm, struct mymem_info __user *arg)
{
	struct mymem_info info = {
		.size = sizeof(info),
		.bytes = mm->size,
	};
	u32 room;

	if (strict)
		info.flags |= MYMEM_FLAG_STRICT;
	if (!static_key_enabled(&mymem_not_mutex))
		info.flags |= MYMEM_FLAG_LOCK_MUTEX;
	else if (!static_key_enabled(&mymem_no_lock))
		info.flags |= MYMEM_FLAG_LOCK_RWSEM;

	if (get_user(room, &arg->size))
		return -EFAULT;
	if (room < MYMEM_INFO_SIZE_VER0)
		return -EINVAL;
	if (room > MYMEM_INFO_SIZE_MAX)
		return -E2BIG;
	if (copy_to_user(arg, &info, min_t(size_t, room, sizeof(info))))
		return -EFAULT;
	if (room > sizeof(info) && clear_user((u8 __user *)arg + sizeof(info), room - sizeof(info)))
		return -EFAULT;
	return 0;
}

static noinline long mymem_ioctl_clear(struct mymem *mm)
{
	size_t done, n;

	if (mymem_lock_excl(mm))
		return -EINTR;
	/* Not to be left half done, so without an ear for a kill. */
	for (done = 0; done < mm->size; done += n) {
		n = min(mm->size - done, MYMEM_CHUNK);
		memset(mm->bytes + done, 0, n);
		cond_resched();
	}
	mymem_unlock_excl(mm);
	return 0;
}

static long mymem_ioctl_add(struct mymem *mm, struct mymem_add __user *arg)
{
	struct mymem_add add;
	atomic64_t *number;
	long ret = 0;
	s64 old;

	if (copy_from_user(&add, arg, sizeof(add)))
		return -EFAULT;
	number = mymem_number(mm, add.offset);
	if (!number || add.reserved)
		return -EINVAL;
	if (mymem_lock_excl(mm))
		return -EINTR;
	/*
	 * The answer first, the addition after it: a fault leaves the number as it was. Without a
	 * lock, and against mappings, what was answered must still be true; else once more.
	 */
	old = atomic64_read(number);
	do {
		ret = put_user(old, &arg->old);
	} while (!ret && !atomic64_try_cmpxchg(number, &old, old + add.value));
	mymem_unlock_excl(mm);
	return ret;
}

static long mymem_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	const fmode_t both = FMODE_READ | FMODE_WRITE;
	struct mymem *mm = &mymem;

	switch (cmd) {
	case MYMEM_ADD:
		/* Tells what was there, and changes it. */
		if ((file->f_mode & both) != both)
			return -EBADF;
		return mymem_ioctl_add(mm, (void __user *)arg);
	case MYMEM_CLEAR:
		if (!(file->f_mode & FMODE_WRITE))
			return -EBADF;
		return mymem_ioctl_clear(mm);
	case MYMEM_INFO:
		return mymem_ioctl_info(mm, (void __user *)arg);
	default:
		return -ENOTTY;
	}
}

/* Called with mmap_lock held: must not take the device's lock. */
static vm_fault_t mymem_vm_fault(struct vm_fault *vmf)
{
	struct mymem *mm = &mymem;

	/* mremap() may have made the mapping longer than mmap() was asked for. */
	if (vmf->pgoff >= PAGE_ALIGN(mm->size) >> PAGE_SHIFT)
		return VM_FAULT_SIGBUS;
	vmf->page = vmalloc_to_page(mm->bytes + (vmf->pgoff << PAGE_SHIFT));
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct mymem_vm_ops = {
	.fault = mymem_vm_fault,
};

/* Called with mmap_lock held: must not take the device's lock. */
static int mymem_mmap(struct file *file, struct vm_area_struct *vma)
{
	const unsigned long pages = PAGE_ALIGN(mymem.size) >> PAGE_SHIFT;

	if (vma->vm_pgoff >= pages || vma_pages(vma) > pages - vma->vm_pgoff)
		return -EINVAL;
	vma->vm_ops = &mymem_vm_ops;
	return 0;
}

static int mymem_open(struct inode *inode, struct file *file)
{
	/*
	 * Reads and writes never wait when they are told not to, and threads that share a
	 * descriptor each get a piece of their own, as with a regular file.
	 */
	file->f_mode |= FMODE_NOWAIT | FMODE_ATOMIC_POS;
	return 0;
}

/* copy_splice_read() took the place of the generic one in 6.5. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#define mymem_splice_read copy_splice_read
#else
#define mymem_splice_read generic_file_splice_read
#endif

static const struct file_operations mymem_fops = {
	.owner = THIS_MODULE,
	.open = mymem_open,
	.read = mymem_fop_read,
	.read_iter = mymem_read_iter,
	.write_iter = mymem_write_iter,
	.llseek = mymem_llseek,
	.mmap = mymem_mmap,
	.splice_read = mymem_splice_read,
	.splice_write = iter_file_splice_write,
	.unlocked_ioctl = mymem_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct mymem mymem = {
	.misc.minor = MISC_DYNAMIC_MINOR,
	.misc.name = KBUILD_MODNAME,
	.misc.fops = &mymem_fops,
};

static int __init mymem_init(void)
{
	struct mymem *mm = &mymem;
	int kind, ret;

	if (size < MYMEM_SIZE_MIN || size > MYMEM_SIZE_MAX) {
		pr_err("size %lu: expected %d to %lu bytes\n", size, MYMEM_SIZE_MIN,
		       MYMEM_SIZE_MAX);
		return -EINVAL;
	}
	/* A misc device takes mode 0 for "not given". */
	if (!mode || mode & ~0666) {
		pr_err("mode %#o: expected read and write permissions, 02 to 0666\n", mode);
		return -EINVAL;
	}
	kind = match_string(mymem_locks, ARRAY_SIZE(mymem_locks), lock);
	if (kind < 0) {
		pr_err("lock \"%s\": expected mutex, rwsem or none\n", lock);
		return -EINVAL;
	}

	seqcount_init(&mm->seq);
	mutex_init(&mm->mutex);
	init_rwsem(&mm->rwsem);
	mm->size = size;
	mm->quick = min_t(size_t, size, MYMEM_QUICK);
	/* Somebody's wish for a large memory is no reason to kill other processes. */
	mm->bytes = __vmalloc(size, GFP_KERNEL | __GFP_ZERO | __GFP_NORETRY | __GFP_NOWARN);
	if (!mm->bytes) {
		pr_err("no memory for %lu bytes\n", size);
		return -ENOMEM;
	}
	if (kind != MYMEM_LOCK_MUTEX)
		static_branch_enable(&mymem_not_mutex);
	if (kind == MYMEM_LOCK_NONE)
		static_branch_enable(&mymem_no_lock);

	mm->misc.mode = mode;
	ret = misc_register(&mm->misc);
	if (ret) {
		pr_err("cannot register the device: %d\n", ret);
		vfree(mm->bytes);
		return ret;
	}
	pr_info("%lu bytes at /dev/%s, lock %s%s\n", size, mm->misc.name, lock,
		strict ? ", strict" : "");
	return 0;
}

static void __exit mymem_exit(void)
{
	struct mymem *mm = &mymem;

	misc_deregister(&mm->misc);
	vfree(mm->bytes);
	pr_info("removed\n");
}

module_init(mymem_init);
module_exit(mymem_exit);

MODULE_DESCRIPTION("A memory as a device");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
