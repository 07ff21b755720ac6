// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <sys/ioctl.h>

#include "faults.h"
#include "harness.h"

TEST(a_case_before_passes)
{
	EXPECT_TRUE(true);
}

TEST(the_ioctl_causes_an_oops)
{
	int fd = SAFE(open("/dev/oops_ioctl", O_RDWR));

	EXPECT_EQ(ioctl(fd, FAULTS_DO), 0);
}

TEST(one_after_passes)
{
	EXPECT_TRUE(true);
}
