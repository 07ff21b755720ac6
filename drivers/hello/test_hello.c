// SPDX-License-Identifier: GPL-2.0
/*
 * What the module says, read from the kernel log.
 */
#include "harness.h"

#define HELLO	"hello: Hello, World!\n"
#define GOODBYE "hello: Goodbye, World!\n"

TEST(it_says_Hello_World_at_load)
{
	EXPECT_GE(log_count(HELLO), 1);
}

TEST(it_says_Goodbye_World_at_unload)
{
	unsigned int hello = log_count(HELLO), goodbye = log_count(GOODBYE);

	ASSERT_EQ(module_unload("hello"), 0);
	EXPECT_EQ(log_count(GOODBYE), goodbye + 1);
	EXPECT_EQ(log_count(HELLO), hello);
	ASSERT_EQ(module_load("hello", ""), 0);
	EXPECT_EQ(log_count(HELLO), hello + 1);
}
