// SPDX-License-Identifier: GPL-2.0
/* Cannot be loaded before wall, and has no node. */
#include <linux/module.h>

int wall_answer(void);

static int __init wall_user_init(void)
{
	return wall_answer() == 42 ? 0 : -EINVAL;
}

static void __exit wall_user_exit(void)
{
}

module_init(wall_user_init);
module_exit(wall_user_exit);
MODULE_DESCRIPTION("A module that needs another one");
MODULE_LICENSE("GPL");
