// SPDX-License-Identifier: GPL-2.0
/* 50 MB on standard output. */
#include <string.h>
#include <unistd.h>

#define LINE  1000
#define LINES 50000

int main(void)
{
	char line[LINE];

	memset(line, 'x', sizeof(line) - 1);
	line[LINE - 1] = '\n';
	for (int i = 0; i < LINES; i++)
		for (size_t done = 0; done < LINE;) {
			ssize_t n = write(1, line + done, LINE - done);

			if (n <= 0)
				return 1;
			done += n;
		}
	return 0;
}
