// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "proc.h"

static void add_once(struct boot *b, const char *path)
{
	if (strv_has(&b->built, path))
		return;
	strv_add(&b->built, path);
	boot_add_file(b, path, path);
}

/* Libraries lie where they lie here: the loader has that built in. */
void check_add_program(struct boot *b, const char *guest_path, const char *path)
{
	char *argv[] = { "ldd", (char *)path, NULL };
	_cleanup_free_ char *out = proc_output(argv);
	struct strv lines = {};

	boot_add_file(b, guest_path, path);
	strv_split(&lines, out ?: "", "\n");
	/* "	libm.so.6 => /lib/libm.so.6 (0x7f...)", "	/lib64/ld-linux.so.2 (0x7f...)" */
	for (size_t i = 0; i < lines.n; i++) {
		char *at = strchr(lines.v[i], '/'), *end = at ? strchr(at, ' ') : NULL;

		if (!end)
			continue;
		*end = '\0';
		add_once(b, at);
	}
	strv_free(&lines);
}
