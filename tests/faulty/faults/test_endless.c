// SPDX-License-Identifier: GPL-2.0
/* A program that is not made with the harness, and that ignores what it is asked to do. */
#include <signal.h>
#include <unistd.h>

int main(void)
{
	signal(SIGTERM, SIG_IGN);
	for (;;)
		pause();
}
