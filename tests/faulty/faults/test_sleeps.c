// SPDX-License-Identifier: GPL-2.0
#include <unistd.h>

#include "harness.h"

TEST_WITH_TIMEOUT(a_case_sleeps_for_ever, 2)
{
	for (;;)
		pause();
}

TEST(one_after_passes)
{
	EXPECT_TRUE(true);
}
