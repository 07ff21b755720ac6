// SPDX-License-Identifier: GPL-2.0
/* cdevlab kernel: which kernels there are, and fetching them ahead of time. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "kernel.h"

static const char usage_text[] =
	"usage: cdevlab kernel list [--json]\n"
	"       cdevlab kernel fetch [--update] [KERNEL...]\n"
	"\n"
	"list   shows the kernels that can be named with -k, and which of them are here\n"
	"fetch  fetches kernels, so that later runs need no network; without KERNEL\n"
	"       this machine's own suite\n"
	"\n"
	"KERNEL is debian:SUITE[/ARCH] (from the Debian archive), dir:PATH (a built tree)\n"
	"or host (the running kernel).\n"
	"\n"
	"  --json     list as JSON\n"
	"  --update   look for a newer version even if one is here\n"
	"  -v         show the commands that are run\n"
	"  --help     this text\n";

static enum lab_exit fetch_one(const char *spec, bool update)
{
	struct kernel k;
	enum lab_exit ret = kernel_get(spec, update, &k);

	if (ret)
		return ret;
	printf("%s: %s%s%s%s, %s\n", k.name, k.release, *k.version ? " (" : "", k.version,
	       *k.version ? ")" : "", k.kdir);
	kernel_free(&k);
	return LAB_OK;
}

int cmd_kernel(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },    { "update", no_argument, NULL, 'u' },
		{ "verbose", no_argument, NULL, 'v' }, { "yes", no_argument, NULL, 'y' },
		{ "help", no_argument, NULL, 'h' },    {}
	};
	bool json = false, update = false;
	enum lab_exit ret = LAB_OK;
	const char *verb;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "vh", options, NULL)) != -1) {
		switch (c) {
		case 'y':
			lab_options.yes = true;
			break;
		case 'j':
			json = true;
			break;
		case 'u':
			update = true;
			break;
		case 'v':
			lab_options.verbose++;
			break;
		case 'h':
			fputs(usage_text, stdout);
			return LAB_OK;
		default:
			return lab_fail(LAB_USAGE, "see `cdevlab kernel --help`",
					"kernel has no option %s", argv[optind - 1]);
		}
	}
	verb = argv[optind] ?: "";
	if (!strcmp(verb, "list")) {
		if (argv[optind + 1] || update)
			return lab_fail(LAB_USAGE, "see `cdevlab kernel --help`",
					"kernel list takes only --json");
		return kernel_list(json);
	}
	if (strcmp(verb, "fetch"))
		return lab_fail(LAB_USAGE, "see `cdevlab kernel --help`",
				*verb ? "unknown: kernel %s" : "kernel needs list or fetch%s",
				verb);
	if (json)
		return lab_fail(LAB_USAGE, "see `cdevlab kernel --help`",
				"--json is for kernel list");
	if (!argv[optind + 1])
		return fetch_one(NULL, update);
	/* one that cannot be had does not keep the others away */
	for (int i = optind + 1; argv[i] && ret != LAB_INTERRUPTED; i++) {
		enum lab_exit one = fetch_one(argv[i], update);

		if (one)
			ret = one;
	}
	return ret;
}
