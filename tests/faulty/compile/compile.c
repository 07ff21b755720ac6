// SPDX-License-Identifier: GPL-2.0
/* Does not compile. */
#include <linux/module.h>

static int __init compile_init(void)
{
	return there_is_no_such_variable;
}
module_init(compile_init);

MODULE_DESCRIPTION("Does not compile");
MODULE_AUTHOR("The cdevlab authors");
MODULE_LICENSE("GPL");
