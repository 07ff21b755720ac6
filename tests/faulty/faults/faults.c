// SPDX-License-Identifier: GPL-2.0
/*
 * A misc device with one fault. Which one, its FAULT says; a build that includes this file without
 * one has none.
 */
#include <linux/fs.h>
#include <linux/irqflags.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/reboot.h>
#include <linux/smp.h>

#include "faults.h"

#define NONE	    0
#define FAILS_LOAD  1
#define OOPS_LOAD   2
#define OOPS_IOCTL  3
#define OOPS_UNLOAD 4
#define WARNS	    5
#define HANGS	    6
#define POWERS_OFF  7
#define DIES	    8
#define SPINS	    9

/* An address that nothing is mapped at; volatile, so that the compiler cannot know. */
static int *volatile nowhere = (int *)8;

static noinline void faults_oops(void)
{
	*nowhere = 1;
}

static long faults_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	if (cmd != FAULTS_DO)
		return -ENOTTY;
	if (FAULT == OOPS_IOCTL)
		faults_oops();
	if (FAULT == WARNS)
		WARN(1, "faults: this is the warning\n");
	return 0;
}

static int faults_open(struct inode *inode, struct file *file)
{
	if (FAULT != SPINS)
		return 0;
	preempt_disable();
	for (;;)
		barrier();
}

static const struct file_operations faults_fops = {
	.owner = THIS_MODULE,
	.open = faults_open,
	.unlocked_ioctl = faults_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice faults_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &faults_fops,
};

/* The processor it is called on does nothing else any more; with interrupts off. */
static void faults_stop(void *unused)
{
	for (;;)
		cpu_relax();
}

static int __init faults_init(void)
{
	if (FAULT == FAILS_LOAD)
		return -ENODEV;
	if (FAULT == OOPS_LOAD)
		faults_oops();
	if (FAULT == POWERS_OFF)
		kernel_power_off();
	if (FAULT == HANGS) {
		local_irq_disable();
		faults_stop(NULL);
	}
	if (FAULT == DIES)
		on_each_cpu(faults_stop, NULL, 0);
	return misc_register(&faults_misc);
}

static void __exit faults_exit(void)
{
	misc_deregister(&faults_misc);
	if (FAULT == OOPS_UNLOAD)
		faults_oops();
}

module_init(faults_init);
module_exit(faults_exit);

MODULE_DESCRIPTION("A device with one fault");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
