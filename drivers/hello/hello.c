// SPDX-License-Identifier: GPL-2.0
/*
 * Says hello when it is loaded and goodbye when it is unloaded, and nothing else: whatever machine
 * code is in it is the cost of being a module.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/module.h>
#include <linux/printk.h>

static int __init hello_init(void)
{
	pr_info("Hello, World!\n");
	return 0;
}

static void __exit hello_exit(void)
{
	pr_info("Goodbye, World!\n");
}

module_init(hello_init);
module_exit(hello_exit);

MODULE_DESCRIPTION("Says hello and goodbye");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
