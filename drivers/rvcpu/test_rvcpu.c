// SPDX-License-Identifier: GPL-2.0
#include "harness.h"
TEST(x)
{
	for (int p = 0; p < 2; p++) {
		long long t = now_ms(), u = 0, l = 0;
		for (int i = 0; i < 10; i++) {
			t = now_ms();
			ASSERT_EQ(module_unload("rvcpu"), 0);
			u += now_ms() - t;
			t = now_ms();
			ASSERT_EQ(module_load("rvcpu", p ? "pmu=1" : "pmu=0"), 0);
			l += now_ms() - t;
		}
		test_note("pmu=%d: 10 cycles unload %lld load %lld ms", p, u, l);
	}
}
