// SPDX-License-Identifier: GPL-2.0
/* What a wall command may say, and what it may not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLACE(row) "{\"table\":\"Wall\",\"row\":\"" row "\",\"column\":\"here\""

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "", *node = getenv("CDEVLAB_NODE");

	if (!strcmp(what, "good")) {
		/* two processors, both modules, the first one's node */
		printf("# a remark\n" PLACE("processors") ",\"value\":%ld,\"unit\":\"\"}\n",
		       sysconf(_SC_NPROCESSORS_ONLN));
		printf(PLACE("modules") ",\"value\":%d,\"unit\":\"\"}\n",
		       !access("/sys/module/wall", F_OK) + !access("/sys/module/wall_user", F_OK));
		printf(PLACE("node") ",\"value\":%d,\"unit\":\"\"}\n",
		       node && !strcmp(node, "/dev/wall") && !access(node, F_OK));
		puts(PLACE("energy") ",\"unmeasured\":\"there is no meter\"}");
		return 0;
	}
	if (!strcmp(what, "rubbish")) {
		puts(PLACE("before") ",\"value\":1,\"unit\":\"us\"}\nabout 2 us");
		return 0;
	}
	if (!strcmp(what, "fails")) {
		puts(PLACE("failed") ",\"value\":0,\"unit\":\"us\"}");
		fprintf(stderr, "wallctl: the clock stopped\n");
		return 1;
	}
	if (!strcmp(what, "dies")) {
		fflush(stdout);
		abort();
	}
	return 0; /* says nothing */
}
