// SPDX-License-Identifier: GPL-2.0
/* Has a node, and a symbol that wall_user needs. */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

int wall_answer(void);

int wall_answer(void)
{
	return 42;
}
EXPORT_SYMBOL_GPL(wall_answer);

static const struct file_operations wall_fops = {
	.owner = THIS_MODULE,
};

static struct miscdevice wall = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "wall",
	.fops = &wall_fops,
};
module_misc_device(wall);

MODULE_DESCRIPTION("A node, and a symbol for another module");
MODULE_LICENSE("GPL");
