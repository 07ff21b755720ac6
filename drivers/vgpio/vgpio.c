// SPDX-License-Identifier: GPL-2.0
/*
 * Virtual GPIO, the experiment: eight lines without hardware behind them, to measure what a lock
 * and a wait queue cost on the way to one. One source, four modules; each defines, then includes
 * this file:
 *
 *   VGPIO_LOCK	1: calls exclude each other by a spinlock; 0: atomics only
 *   VGPIO_QUEUE	1: changes are events that can be read and polled; 0: neither is offered
 *
 * The rest of a call is the same in all four, so that a difference is the price of the feature.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <linux/wait.h>

#include "vgpio.h"

/* No holes, on any architecture. */
static_assert(sizeof(struct vgpio_line) == 16);
static_assert(sizeof(struct vgpio_event) == 32);
/* The number of the call must not change when the structure grows. */
static_assert(_IOC_SIZE(VGPIO_INFO) == VGPIO_INFO_SIZE_VER0);

/*
 * One change in the ring; sequence s lies in slot s % ring. Without the lock the three words are
 * written by setters that may race, see vgpio_record().
 */
struct vgpio_slot {
#if VGPIO_LOCK
	u64 time_ns;
	u8 pin;
	u8 value;
#else
	atomic64_t id;	      /* sequence << 8 | value << 7 | pin */
	atomic64_t time_low;  /* low half of the sequence << 32 | low half of the time */
	atomic64_t time_high; /* the same with the high half of the time */
#endif
};

/**
 * struct vgpio - the device
 * @misc:	its registration
 * @lock:	protects @pins, @sequence, @listeners and the slots
 * @pins:	the lines, one bit each
 * @sequence:	number of the last change
 * @listeners:	descriptors open for reading; while there are none, nothing is recorded
 * @state:	@sequence and @pins in one word, so that one atomic operation changes both
 * @wait:	blocked readers and pollers
 * @slots:	the last changes
 * @ring:	number of slots, a power of two
 */
struct vgpio {
	struct miscdevice misc;
#if VGPIO_LOCK
	spinlock_t lock;
	unsigned int pins;
	unsigned int listeners;
	u64 sequence;
#else
	atomic64_t state;
	atomic_t listeners;
#endif
#if VGPIO_QUEUE
	wait_queue_head_t wait;
	struct vgpio_slot *slots;
	unsigned int ring;
#endif
};

/**
 * struct vgpio_open - one open file
 * @vg:		the device
 * @lock:	lets one thread at a time take events from this descriptor
 * @last:	sequence of the last event taken; changed under @lock, poll looks without
 */
struct vgpio_open {
	struct vgpio *vg;
	struct mutex lock;
	atomic64_t last;
};

static unsigned int mode = VGPIO_MODE_DEFAULT;
module_param(mode, uint, 0444);
MODULE_PARM_DESC(mode, "Permissions of the node, octal with a leading 0 (default 0666)");

#if VGPIO_QUEUE
static unsigned int ring = VGPIO_RING_DEFAULT;
module_param(ring, uint, 0444);
MODULE_PARM_DESC(ring, "Events kept for readers, a power of two from 16 to 4096 (default 256)");
#endif

#if VGPIO_QUEUE
static void vgpio_wake(struct vgpio *vg)
{
	/* All: those with EPOLLEXCLUSIVE have a stream of their own each. */
	wake_up_interruptible_all(&vg->wait);
}
#endif

#if VGPIO_LOCK

static unsigned int vgpio_get(struct vgpio *vg, unsigned int pin)
{
	unsigned int value;

	spin_lock(&vg->lock);
	value = (vg->pins >> pin) & 1;
	spin_unlock(&vg->lock);
	return value;
}

#if VGPIO_QUEUE

static u64 vgpio_sequence(struct vgpio *vg)
{
	u64 sequence;

	spin_lock(&vg->lock);
	sequence = vg->sequence;
	spin_unlock(&vg->lock);
	return sequence;
}

/* Counts a listener. Returns the last change that happened before it listened. */
static u64 vgpio_listen(struct vgpio *vg)
{
	u64 sequence;

	spin_lock(&vg->lock);
	vg->listeners++;
	sequence = vg->sequence;
	spin_unlock(&vg->lock);
	return sequence;
}

static void vgpio_unlisten(struct vgpio *vg)
{
	spin_lock(&vg->lock);
	vg->listeners--;
	spin_unlock(&vg->lock);
}

/* The oldest event after @last that is still there. */
static bool vgpio_next(struct vgpio *vg, u64 last, struct vgpio_event *event)
{
	const struct vgpio_slot *slot;
	u64 sequence = last + 1;
	bool found = false;

	spin_lock(&vg->lock);
	if (vg->sequence >= sequence) {
		if (vg->sequence - sequence >= vg->ring)
			sequence = vg->sequence - vg->ring + 1;
		slot = &vg->slots[sequence & (vg->ring - 1)];
		event->sequence = sequence;
		event->time_ns = slot->time_ns;
		event->pin = slot->pin;
		event->value = slot->value;
		found = true;
	}
	spin_unlock(&vg->lock);
	return found;
}

/* Called with the lock held. */
static noinline void vgpio_record(struct vgpio *vg, const struct vgpio_line *line)
{
	struct vgpio_slot *slot = &vg->slots[vg->sequence & (vg->ring - 1)];

	slot->time_ns = ktime_get_ns();
	slot->pin = line->pin;
	slot->value = line->value;
}

#endif /* VGPIO_QUEUE */

/* @line stays in memory: in registers it would have to be saved over the lock. */
static void vgpio_set(struct vgpio *vg, const struct vgpio_line *line)
{
	u32 bit;
#if VGPIO_QUEUE
	bool wake = false;
#endif

	spin_lock(&vg->lock);
	bit = BIT(line->pin);
	if ((vg->pins & bit) != line->value << line->pin) {
		vg->pins ^= bit;
#if VGPIO_QUEUE
		vg->sequence++;
		if (vg->listeners) {
			vgpio_record(vg, line);
			wake = true;
		}
#endif
	}
	spin_unlock(&vg->lock);

#if VGPIO_QUEUE
	/*
	 * The lock is the barrier. A waiter queues itself, then looks for an event under the
	 * lock. If it looked before us, its place in the queue was visible to us when we took the
	 * lock; if after us, it saw the event.
	 */
	if (wake && waitqueue_active(&vg->wait))
		vgpio_wake(vg);
#endif
}

static void vgpio_init_state(struct vgpio *vg)
{
	spin_lock_init(&vg->lock);
}

#else /* !VGPIO_LOCK */

/* vgpio.state: the lines in the low bits, the sequence above. 2^56 changes take centuries. */
#define VGPIO_SEQUENCE_SHIFT 8
static_assert(VGPIO_LINES <= VGPIO_SEQUENCE_SHIFT);
/* What a change adds to the state besides its line. */
#define VGPIO_STEP	     (VGPIO_QUEUE ? BIT_ULL(VGPIO_SEQUENCE_SHIFT) : 0)

static unsigned int vgpio_get(struct vgpio *vg, unsigned int pin)
{
	return (atomic64_read(&vg->state) >> pin) & 1;
}

#if VGPIO_QUEUE

#define VGPIO_ID_VALUE_SHIFT 7
#define VGPIO_ID_PIN_MASK    (VGPIO_LINES - 1)

static u64 vgpio_sequence(struct vgpio *vg)
{
	return (u64)atomic64_read(&vg->state) >> VGPIO_SEQUENCE_SHIFT;
}

static u64 vgpio_listen(struct vgpio *vg)
{
	atomic_inc(&vg->listeners);
	/*
	 * Pairs with the cmpxchg in vgpio_set(): either the setter sees this listener, or its
	 * change is in the sequence read here and happened before the open. So every change after
	 * the returned one is recorded.
	 */
	smp_mb__after_atomic();
	return vgpio_sequence(vg);
}

static void vgpio_unlisten(struct vgpio *vg)
{
	/* A setter that still sees us records an event for nobody; no order is needed. */
	atomic_dec(&vg->listeners);
}

/* One half of a time, marked with the change it belongs to. */
static u64 vgpio_tag(u64 sequence, u32 half)
{
	return sequence << 32 | half;
}

/*
 * Writes the change to its slot. Any number of setters may be here at once, and one that was held
 * up may find that others have gone round the whole ring meanwhile. Nobody waits for anybody:
 *
 * - Each half of the time carries the low half of its sequence, so a reader notices one that was
 *   overwritten, by whichever setter. A mistaken match would take a setter that stood still, not
 *   preempted, for an exact multiple of 2^32 changes.
 * - The id is stored last, with release, and only ever grows: who comes late by a round leaves the
 *   slot as it is, or, if that happened while it wrote, does not store it.
 *
 * So a reader that finds the id of a sequence, and then both halves of its time, has the whole
 * event, and one that finds a later id or foreign halves knows that the event is gone and counts
 * it as missed.
 */
static void vgpio_record(struct vgpio *vg, u64 sequence, const struct vgpio_line *line)
{
	struct vgpio_slot *slot = &vg->slots[sequence & (vg->ring - 1)];
	u64 id = sequence << VGPIO_SEQUENCE_SHIFT | line->value << VGPIO_ID_VALUE_SHIFT | line->pin;
	u64 now = ktime_get_ns();
	s64 old = atomic64_read(&slot->id);

	if ((u64)old > id)
		return;
	atomic64_set(&slot->time_low, vgpio_tag(sequence, lower_32_bits(now)));
	atomic64_set(&slot->time_high, vgpio_tag(sequence, upper_32_bits(now)));
	/* Pairs with the acquire in vgpio_next(): the id shows the time with it. */
	while (!atomic64_try_cmpxchg_release(&slot->id, &old, id)) {
		if ((u64)old > id)
			return;
	}
}

/* The oldest event after @last that is still there. */
static bool vgpio_next(struct vgpio *vg, u64 last, struct vgpio_event *event)
{
	u64 sequence = last + 1;

	for (;;) {
		u64 newest = vgpio_sequence(vg);
		struct vgpio_slot *slot;
		u64 id, low, high;

		if (newest < sequence)
			return false;
		if (newest - sequence >= vg->ring)
			sequence = newest - vg->ring + 1;

		slot = &vg->slots[sequence & (vg->ring - 1)];
		/* Pairs with the release in vgpio_record(). */
		id = atomic64_read_acquire(&slot->id);
		/* Its setter is between its change and its record; it wakes us up after that. */
		if (id >> VGPIO_SEQUENCE_SHIFT < sequence)
			return false;

		low = atomic64_read(&slot->time_low);
		high = atomic64_read(&slot->time_high);
		if (id >> VGPIO_SEQUENCE_SHIFT == sequence &&
		    low >> 32 == lower_32_bits(sequence) && high >> 32 == lower_32_bits(sequence)) {
			event->sequence = sequence;
			event->time_ns = high << 32 | lower_32_bits(low);
			event->pin = id & VGPIO_ID_PIN_MASK;
			event->value = (id >> VGPIO_ID_VALUE_SHIFT) & 1;
			return true;
		}
		/* Overwritten under our eyes. Its successor is the oldest that can be there now. */
		sequence++;
	}
}

/*
 * What a change costs when somebody listens; out of line, so that its registers are not saved by
 * every call of the driver. Called with preemption off, which it turns on again.
 */
static noinline void vgpio_notify(struct vgpio *vg, u64 sequence, const struct vgpio_line *line)
{
	vgpio_record(vg, sequence, line);
	preempt_enable();

	/*
	 * wq_has_sleeper() has the full barrier between the record and the look at the queue; it
	 * pairs with the one in set_current_state() (read) and with the one in vgpio_poll().
	 */
	if (wq_has_sleeper(&vg->wait))
		vgpio_wake(vg);
}

#endif /* VGPIO_QUEUE */

static void vgpio_set(struct vgpio *vg, const struct vgpio_line *line)
{
	const s64 bit = BIT_ULL(line->pin);
	const s64 wanted = (u64)line->value << line->pin;
	s64 old = atomic64_read(&vg->state);
	s64 changed;

	/*
	 * Off from the change to its record: readers take events in order, and a setter that lost
	 * the CPU in between would hold them up while others fill the ring.
	 */
	if (VGPIO_QUEUE)
		preempt_disable();
	do {
		if ((old & bit) == wanted)
			goto out;
		changed = (old + VGPIO_STEP) ^ bit;
	} while (!atomic64_try_cmpxchg(&vg->state, &old, changed));

#if VGPIO_QUEUE
	/*
	 * A cmpxchg that succeeds is a full barrier; it pairs with the one in vgpio_listen(). Who
	 * is not seen here finds this change in the sequence that it starts from.
	 */
	if (atomic_read(&vg->listeners)) {
		vgpio_notify(vg, (u64)changed >> VGPIO_SEQUENCE_SHIFT, line);
		return;
	}
#endif
out:
	if (VGPIO_QUEUE)
		preempt_enable();
}

static void vgpio_init_state(struct vgpio *vg)
{
	atomic64_set(&vg->state, 0);
	atomic_set(&vg->listeners, 0);
}

#endif /* VGPIO_LOCK */

static bool vgpio_line_valid(const struct vgpio_line *line)
{
	return line->pin < VGPIO_LINES && !line->reserved;
}

static long vgpio_ioctl_set(struct vgpio *vg, const void __user *arg)
{
	struct vgpio_line line;

	if (copy_from_user(&line, arg, sizeof(line)))
		return -EFAULT;
	if (!vgpio_line_valid(&line) || line.value > 1)
		return -EINVAL;
	vgpio_set(vg, &line);
	return 0;
}

static long vgpio_ioctl_get(struct vgpio *vg, struct vgpio_line __user *arg)
{
	struct vgpio_line line;

	if (copy_from_user(&line, arg, sizeof(line)))
		return -EFAULT;
	if (!vgpio_line_valid(&line))
		return -EINVAL;
	return put_user(vgpio_get(vg, line.pin), &arg->value);
}

static noinline long vgpio_ioctl_info(struct vgpio *vg, struct vgpio_info __user *arg)
{
	struct vgpio_info info = {
		.size = sizeof(info),
		.lines = VGPIO_LINES,
#if VGPIO_LOCK
		.features = VGPIO_FEATURE_LOCK,
#endif
	};
	u32 size;

#if VGPIO_QUEUE
	info.features |= VGPIO_FEATURE_QUEUE;
	info.ring = vg->ring;
	info.event_size = sizeof(struct vgpio_event);
#endif
	if (get_user(size, &arg->size))
		return -EFAULT;
	if (size < VGPIO_INFO_SIZE_VER0)
		return -EINVAL;
	if (size > VGPIO_INFO_SIZE_MAX)
		return -E2BIG;
	if (copy_to_user(arg, &info, min_t(size_t, size, sizeof(info))))
		return -EFAULT;
	if (size > sizeof(info) && clear_user((u8 __user *)arg + sizeof(info), size - sizeof(info)))
		return -EFAULT;
	return 0;
}

static long vgpio_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct vgpio_open *open = file->private_data;
	void __user *argp = (void __user *)arg;

	/* Before the others: the call that is made by the million. */
	if (likely(cmd == VGPIO_SET)) {
		/* What write(2) says of such a descriptor. */
		if (!(file->f_mode & FMODE_WRITE))
			return -EBADF;
		return vgpio_ioctl_set(open->vg, argp);
	}

	switch (cmd) {
	case VGPIO_NOP:
		return 0;
	case VGPIO_GET:
		return vgpio_ioctl_get(open->vg, argp);
	case VGPIO_INFO:
		return vgpio_ioctl_info(open->vg, argp);
	default:
		return -ENOTTY;
	}
}

#if VGPIO_QUEUE

static bool vgpio_readable(struct vgpio_open *open)
{
	struct vgpio_event event;

	return vgpio_next(open->vg, atomic64_read(&open->last), &event);
}

/* Moves what is there to the reader. Returns bytes moved, 0 if there was no event. */
static ssize_t vgpio_take(struct vgpio_open *open, struct iov_iter *to, bool nowait)
{
	struct vgpio_event event = {};
	ssize_t done = 0;
	u64 last, end;

	if (nowait) {
		if (!mutex_trylock(&open->lock))
			return -EAGAIN;
	} else if (mutex_lock_interruptible(&open->lock)) {
		return -ERESTARTSYS;
	}

	/* Setters may be faster than we are: what comes from now on is the next call's. */
	end = vgpio_sequence(open->vg);
	last = atomic64_read(&open->last);
	while (last < end && iov_iter_count(to) >= sizeof(event) &&
	       vgpio_next(open->vg, last, &event)) {
		event.missed = min_t(u64, event.sequence - last - 1, U32_MAX);
		/* Only a record that arrived whole is taken. */
		if (copy_to_iter(&event, sizeof(event), to) != sizeof(event)) {
			if (!done)
				done = -EFAULT;
			break;
		}
		last = event.sequence;
		atomic64_set(&open->last, last);
		done += sizeof(event);
	}

	mutex_unlock(&open->lock);
	return done;
}

static ssize_t vgpio_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *file = iocb->ki_filp;
	struct vgpio_open *open = file->private_data;
	bool nowait = (iocb->ki_flags & IOCB_NOWAIT) || (file->f_flags & O_NONBLOCK);
	ssize_t ret;

	if (!iov_iter_count(to))
		return 0;
	if (iov_iter_count(to) < sizeof(struct vgpio_event))
		return -EINVAL;

	for (;;) {
		ret = vgpio_take(open, to, nowait);
		if (ret)
			return ret;
		if (nowait)
			return -EAGAIN;
		/* Without open->lock: if another thread takes what woke us up, we wait again. */
		ret = wait_event_interruptible(open->vg->wait, vgpio_readable(open));
		if (ret)
			return ret;
	}
}

static __poll_t vgpio_poll(struct file *file, poll_table *wait)
{
	struct vgpio_open *open = file->private_data;

	/* Has no events to wait for. */
	if (!(file->f_mode & FMODE_READ))
		return 0;

	poll_wait(file, &open->vg->wait, wait);
	/* Pairs with wq_has_sleeper(); poll_wait() of older kernels has no barrier. */
	smp_mb();
	return vgpio_readable(open) ? EPOLLIN | EPOLLRDNORM : 0;
}

/* copy_splice_read() took the place of the generic one in 6.5. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#define vgpio_splice_read copy_splice_read
#else
#define vgpio_splice_read generic_file_splice_read
#endif

#endif /* VGPIO_QUEUE */

static int vgpio_open(struct inode *inode, struct file *file)
{
	struct vgpio *vg = container_of(file->private_data, struct vgpio, misc);
	struct vgpio_open *open;

	open = kzalloc(sizeof(*open), GFP_KERNEL_ACCOUNT);
	if (!open)
		return -ENOMEM;
	open->vg = vg;
	mutex_init(&open->lock);
#if VGPIO_QUEUE
	if (file->f_mode & FMODE_READ)
		atomic64_set(&open->last, vgpio_listen(vg));
	/* read_iter never sleeps for an event when it is told not to. */
	file->f_mode |= FMODE_NOWAIT;
#endif
	file->private_data = open;
	return stream_open(inode, file);
}

static int vgpio_release(struct inode *inode, struct file *file)
{
	struct vgpio_open *open = file->private_data;

#if VGPIO_QUEUE
	if (file->f_mode & FMODE_READ)
		vgpio_unlisten(open->vg);
#endif
	mutex_destroy(&open->lock);
	kfree(open);
	return 0;
}

static const struct file_operations vgpio_fops = {
	.owner = THIS_MODULE,
	.open = vgpio_open,
	.release = vgpio_release,
	.unlocked_ioctl = vgpio_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
#if VGPIO_QUEUE
	.read_iter = vgpio_read_iter,
	.splice_read = vgpio_splice_read,
	.poll = vgpio_poll,
#endif
};

static struct vgpio vgpio_device = {
	.misc.minor = MISC_DYNAMIC_MINOR,
	.misc.name = KBUILD_MODNAME,
	.misc.fops = &vgpio_fops,
};

static int __init vgpio_init(void)
{
	struct vgpio *vg = &vgpio_device;
	int ret;

	/* A misc device takes mode 0 for "not given". */
	if (!mode || mode & ~0666) {
		pr_err("mode %#o: expected read and write permissions, 02 to 0666\n", mode);
		return -EINVAL;
	}
	vgpio_init_state(vg);

#if VGPIO_QUEUE
	if (!is_power_of_2(ring) || ring < VGPIO_RING_MIN || ring > VGPIO_RING_MAX) {
		pr_err("ring %u: expected a power of two from %u to %u\n", ring, VGPIO_RING_MIN,
		       VGPIO_RING_MAX);
		return -EINVAL;
	}
	init_waitqueue_head(&vg->wait);
	vg->ring = ring;
	vg->slots = kvcalloc(ring, sizeof(*vg->slots), GFP_KERNEL);
	if (!vg->slots)
		return -ENOMEM;
#endif

	vg->misc.mode = mode;
	ret = misc_register(&vg->misc);
	if (ret) {
		pr_err("cannot register the device: %d\n", ret);
		goto err_free;
	}
	pr_info("%d lines at /dev/%s\n", VGPIO_LINES, vg->misc.name);
	return 0;

err_free:
#if VGPIO_QUEUE
	kvfree(vg->slots);
#endif
	return ret;
}

static void __exit vgpio_exit(void)
{
	struct vgpio *vg = &vgpio_device;

	misc_deregister(&vg->misc);
#if VGPIO_QUEUE
	kvfree(vg->slots);
#endif
	pr_info("removed\n");
}

module_init(vgpio_init);
module_exit(vgpio_exit);

MODULE_DESCRIPTION("Virtual GPIO lines");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
