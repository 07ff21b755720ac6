// SPDX-License-Identifier: GPL-2.0
/* Alone in its file: libiberty's header and util.h both have an xrealloc(), and they are not the same. */
#include <libiberty/demangle.h>
#include <stdlib.h>
#include <string.h>

#include "demangle.h"

/* Both manglings of rustc: v0, and the older one that looks like C++. */
char *demangle(const char *name)
{
	char *shown = NULL;

	if (!strncmp(name, "_R", 2) || !strncmp(name, "_ZN", 3))
		shown = rust_demangle(name, 0);
	if (!shown)
		shown = strdup(name);
	if (!shown)
		abort();
	return shown;
}
