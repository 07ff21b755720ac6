// SPDX-License-Identifier: GPL-2.0
/* Each open has sixteen bytes that can be read. */
#include <linux/fs.h>
#include <linux/ioctl.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>

#define SEEDED_BYTES 16
#define SEEDED_CLEAR _IOW(0xb8, 1, __u64)

/* Constant for gcc; a checker that makes an error of it does not look at the rest. */
static_assert(_IOC_SIZE(SEEDED_CLEAR) == sizeof(__u64));

struct seeded {
	size_t n;
	char bytes[SEEDED_BYTES];
};

static int seeded_open(struct inode *inode, struct file *file)
{
	struct seeded *s = kzalloc(sizeof(*s), GFP_KERNEL);

	if (!s)
		return -ENOMEM;
	s->n = sizeof(s->bytes);
	file->private_data = s;
	return 0;
}

static int seeded_release(struct inode *inode, struct file *file)
{
	struct seeded *s = file->private_data;

	kfree(s);
	return 0;
}

static ssize_t seeded_read(struct file *file, char __user *buf, size_t count, loff_t *pos)
{
	struct seeded *s = file->private_data;

	return simple_read_from_buffer(buf, count, pos, s->bytes, s->n);
}

static const struct file_operations seeded_fops = {
	.owner = THIS_MODULE,
	.open = seeded_open,
	.release = seeded_release,
	.read = seeded_read,
	.llseek = default_llseek,
};

static struct miscdevice seeded_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &seeded_fops,
	.mode = 0666,
};
module_misc_device(seeded_misc);

MODULE_DESCRIPTION("Sixteen bytes, to seed bugs into");
MODULE_LICENSE("GPL");
