// SPDX-License-Identifier: GPL-2.0
/*
 * What the module says, read from the kernel log.
 */
#include <stdio.h>

#include "harness.h"

/* hello, or its twin. */
static const char *module(void)
{
	return *test_module() ? test_module() : "hello";
}

/* How often it said that. */
static unsigned int said(const char *what)
{
	char line[100];

	snprintf(line, sizeof(line), "%s: %s\n", module(), what);
	return log_count(line);
}

#define HELLO	"Hello, World!"
#define GOODBYE "Goodbye, World!"

TEST(it_says_Hello_World_at_load)
{
	EXPECT_GE(said(HELLO), 1);
}

TEST(it_says_Goodbye_World_at_unload)
{
	unsigned int hello = said(HELLO), goodbye = said(GOODBYE);

	ASSERT_EQ(module_unload(module()), 0);
	EXPECT_EQ(said(GOODBYE), goodbye + 1);
	EXPECT_EQ(said(HELLO), hello);
	ASSERT_EQ(module_load(module(), ""), 0);
	EXPECT_EQ(said(HELLO), hello + 1);
}
