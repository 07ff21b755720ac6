// SPDX-License-Identifier: GPL-2.0
/*
 * A memory that is read through a window which an ioctl sets. It is right with bug=none. With bug=wrap the end of
 * the window is a sum that wraps, and a read through such a window follows a pointer that is NULL: on any kernel, and
 * only after the right ioctl.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/init.h>
#include <linux/minmax.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "fuzzed.h"

static char *bug = "none";
module_param(bug, charp, 0444);
MODULE_PARM_DESC(bug, "none or wrap (default: none)");

#define CHUNK	    4096u
#define CHUNKS	    (FUZZED_SIZE / CHUNK)
#define CHUNKS_MOST 16 /* entries of the table; those beyond the memory are NULL */

static char *chunks[CHUNKS_MOST];

struct fuzzed_open {
	struct mutex lock;
	struct fuzzed_window window;
};

static int fuzzed_open(struct inode *inode, struct file *file)
{
	struct fuzzed_open *open = kzalloc(sizeof(*open), GFP_KERNEL);

	if (!open)
		return -ENOMEM;
	mutex_init(&open->lock);
	file->private_data = open;
	return 0;
}

static int fuzzed_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static bool window_fits(const struct fuzzed_window *w)
{
	if (!strcmp(bug, "wrap"))
		return w->at + w->count <= FUZZED_SIZE;
	return w->count <= FUZZED_SIZE && w->at <= FUZZED_SIZE - w->count;
}

static long fuzzed_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct fuzzed_open *open = file->private_data;
	struct fuzzed_window w;

	if (cmd != FUZZED_WINDOW)
		return -ENOTTY;
	if (copy_from_user(&w, (void __user *)arg, sizeof(w)))
		return -EFAULT;
	if (w.reserved || !window_fits(&w))
		return -EINVAL;
	mutex_lock(&open->lock);
	open->window = w;
	mutex_unlock(&open->lock);
	return 0;
}

/* What is left of one chunk at a time; short reads are allowed. */
static ssize_t fuzzed_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	struct fuzzed_open *open = file->private_data;
	char copy[64];
	u32 at;

	mutex_lock(&open->lock);
	at = open->window.at;
	len = min_t(size_t, len, open->window.count);
	len = min_t(size_t, len, CHUNK - at % CHUNK);
	len = min_t(size_t, len, sizeof(copy));
	if (len) {
		memcpy(copy, chunks[at / CHUNK % CHUNKS_MOST] + at % CHUNK, len);
		open->window.at += len;
		open->window.count -= len;
	}
	mutex_unlock(&open->lock);
	return copy_to_user(buf, copy, len) ? -EFAULT : len;
}

static const struct file_operations fuzzed_fops = {
	.owner = THIS_MODULE,
	.open = fuzzed_open,
	.release = fuzzed_release,
	.read = fuzzed_read,
	.unlocked_ioctl = fuzzed_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice fuzzed_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "fuzzed",
	.mode = 0666,
	.fops = &fuzzed_fops,
};

static void chunks_free(void)
{
	unsigned int i;

	for (i = 0; i < CHUNKS; i++)
		kfree(chunks[i]);
}

static int __init fuzzed_init(void)
{
	unsigned int i;
	int ret = -ENOMEM;

	for (i = 0; i < CHUNKS; i++) {
		chunks[i] = kzalloc(CHUNK, GFP_KERNEL);
		if (!chunks[i])
			goto err;
	}
	ret = misc_register(&fuzzed_device);
	if (ret)
		goto err;
	return 0;
err:
	chunks_free();
	return ret;
}

static void __exit fuzzed_exit(void)
{
	misc_deregister(&fuzzed_device);
	chunks_free();
}

module_init(fuzzed_init);
module_exit(fuzzed_exit);

MODULE_DESCRIPTION("A driver with a mistake for made-up calls");
MODULE_LICENSE("GPL");
