// SPDX-License-Identifier: GPL-2.0
/*
 * One driver, several devices: a region of character device numbers, told apart by their minor.
 * Each step of the way is its own call here; where there is one device and none of the steps
 * matters, a misc device does the same with one.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/build_bug.h>
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kdev_t.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/uio.h>
#include <linux/version.h>

#include "minors.h"

/* The state of an open is one number: private_data is large enough for it. */
static_assert(sizeof(void *) >= sizeof(u64));
/* Ten digits and twenty in the place of their conversions. */
static_assert(sizeof(MINORS_LINE) - sizeof("%u%llu") + 1 + 10 + 20 <= MINORS_LINE_MAX);

static unsigned int count = MINORS_COUNT_DEFAULT;
module_param(count, uint, 0444);
MODULE_PARM_DESC(count, "Devices, 1 to 256 (default 2)");

static unsigned int mode = MINORS_MODE_DEFAULT;
module_param(mode, uint, 0444);
MODULE_PARM_DESC(mode, "Permissions of the nodes, octal with a leading 0 (default 0444)");

static dev_t minors_first;
static struct class *minors_class;
static struct cdev *minors_cdev;

/* How often each device was opened. */
static atomic64_t minors_opens[MINORS_COUNT_MAX];

static int minors_line(const struct file *file, char line[MINORS_LINE_MAX])
{
	return scnprintf(line, MINORS_LINE_MAX, MINORS_LINE, iminor(file_inode(file)),
			 (u64)(unsigned long)file->private_data);
}

/*
 * The number of this open is the state of this descriptor: what it reads does not change in the
 * middle of a line when others open the device.
 */
static int minors_open(struct inode *inode, struct file *file)
{
	/* The kernel would refuse it after this, and it would have been counted. */
	if (file->f_flags & O_DIRECT)
		return -EINVAL;
	/* Other minors do not get here: the region ends where the devices do. */
	file->private_data =
		(void *)(unsigned long)atomic64_inc_return(&minors_opens[iminor(inode)]);
	/* read_iter never sleeps. */
	file->f_mode |= FMODE_NOWAIT;
	return 0;
}

static ssize_t minors_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	char line[MINORS_LINE_MAX];
	int len = minors_line(iocb->ki_filp, line);
	size_t done;

	if (iocb->ki_pos >= len || !iov_iter_count(to))
		return 0;
	done = copy_to_iter(line + iocb->ki_pos, len - iocb->ki_pos, to);
	if (!done)
		return -EFAULT;
	iocb->ki_pos += done;
	return done;
}

static loff_t minors_llseek(struct file *file, loff_t offset, int whence)
{
	char line[MINORS_LINE_MAX];

	return generic_file_llseek_size(file, offset, whence, MAX_LFS_FILESIZE,
					minors_line(file, line));
}

/* copy_splice_read() took the place of the generic one in 6.5. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#define minors_splice_read copy_splice_read
#else
#define minors_splice_read generic_file_splice_read
#endif

static const struct file_operations minors_fops = {
	.owner = THIS_MODULE,
	.open = minors_open,
	.read_iter = minors_read_iter,
	.splice_read = minors_splice_read,
	.llseek = minors_llseek,
};

/* The device became const in 6.2. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
static char *minors_devnode(const struct device *dev, umode_t *node_mode)
#else
static char *minors_devnode(struct device *dev, umode_t *node_mode)
#endif
{
	/* NULL when only the name is asked for, which is the device's own. */
	if (node_mode)
		*node_mode = mode;
	return NULL;
}

/* class_create() lost its first argument in 6.4. */
static struct class *minors_create_class(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	return class_create(MINORS_NAME);
#else
	return class_create(THIS_MODULE, MINORS_NAME);
#endif
}

static void minors_remove_nodes(unsigned int n)
{
	while (n--)
		device_destroy(minors_class, minors_first + n);
}

static int __init minors_create_nodes(void)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		struct device *dev = device_create(minors_class, NULL, minors_first + i, NULL,
						   MINORS_NAME "%u", i);

		if (IS_ERR(dev)) {
			minors_remove_nodes(i);
			return PTR_ERR(dev);
		}
	}
	return 0;
}

static int __init minors_init(void)
{
	int ret;

	if (count < MINORS_COUNT_MIN || count > MINORS_COUNT_MAX) {
		pr_err("count %u: expected %u to %u\n", count, MINORS_COUNT_MIN, MINORS_COUNT_MAX);
		return -EINVAL;
	}
	/* devtmpfs takes mode 0 for "not given". */
	if (!mode || mode & ~0666) {
		pr_err("mode %#o: expected read and write permissions, 02 to 0666\n", mode);
		return -EINVAL;
	}

	ret = alloc_chrdev_region(&minors_first, 0, count, MINORS_NAME);
	if (ret) {
		pr_err("cannot get device numbers: %d\n", ret);
		return ret;
	}

	minors_class = minors_create_class();
	if (IS_ERR(minors_class)) {
		ret = PTR_ERR(minors_class);
		pr_err("cannot create the class: %d\n", ret);
		goto err_region;
	}
	minors_class->devnode = minors_devnode;

	minors_cdev = cdev_alloc();
	if (!minors_cdev) {
		ret = -ENOMEM;
		goto err_class;
	}
	minors_cdev->ops = &minors_fops;
	minors_cdev->owner = THIS_MODULE;

	ret = minors_create_nodes();
	if (ret) {
		pr_err("cannot create the nodes: %d\n", ret);
		goto err_cdev;
	}
	/*
	 * Until here an open is ENXIO. From here on it succeeds, and a load that fails waits for nobody
	 * who has a device open: so nothing that can fail may come later.
	 */
	ret = cdev_add(minors_cdev, minors_first, count);
	if (ret) {
		pr_err("cannot add the device: %d\n", ret);
		goto err_nodes;
	}
	pr_info("%u devices from /dev/" MINORS_NAME "0, major %u\n", count, MAJOR(minors_first));
	return 0;

err_nodes:
	minors_remove_nodes(count);
err_cdev:
	kobject_put(&minors_cdev->kobj);
err_class:
	class_destroy(minors_class);
err_region:
	unregister_chrdev_region(minors_first, count);
	return ret;
}

static void __exit minors_exit(void)
{
	minors_remove_nodes(count);
	cdev_del(minors_cdev);
	class_destroy(minors_class);
	unregister_chrdev_region(minors_first, count);
	pr_info("removed\n");
}

module_init(minors_init);
module_exit(minors_exit);

MODULE_DESCRIPTION("Several devices told apart by their minor number");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
