// SPDX-License-Identifier: GPL-2.0
/* cdevlab kernel: which kernels there are, and fetching them ahead of time. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "kernel.h"

static const char usage_text[] =
	"usage: cdevlab kernel list [--json]\n"
	"       cdevlab kernel fetch [--update] [--rust] [KERNEL...]\n"
	"       cdevlab kernel build [--update] KIND[/ARCH]...\n"
	"\n"
	"list   shows the kernels that can be named with -k, which of them are here, when each one last\n"
	"       booted here, and which ones the archive does not have\n"
	"fetch  fetches kernels, so that later runs need no network; without KERNEL\n"
	"       this machine's own suite\n"
	"build  builds a debug kernel from Debian's source, about a quarter of an hour, once; then it is\n"
	"       -k debug:KIND. KIND is kasan (bad accesses, leaks, lock order, sleeping in atomic context,\n"
	"       fault injection) or kcsan (data races)\n"
	"\n"
	"KERNEL is debian:SUITE[/ARCH] (from the Debian archive), dir:PATH (a built tree),\n"
	"host (the running kernel), or all (all that Debian has).\n"
	"\n"
	"  --json     list as JSON\n"
	"  --rust     with the toolchain that each kernel was built by, for modules in Rust (about 450 MB\n"
	"             to download; 4 to 8 minutes, once); without KERNEL debian:trixie-backports\n"
	"  --update   look for a newer version even if one is here\n"
	"  -v         show the commands that are run\n"
	"  --help     this text\n";

static void print_kernel(const struct kernel *k)
{
	printf("%s: %s%s%s%s, %s\n", k->name, k->release, *k->version ? " (" : "", k->version,
	       *k->version ? ")" : "", k->kdir);
	if (k->rust)
		printf("  %s, %s\n", k->rust_version, k->rust);
}

/* One that cannot be had does not keep the others away; one of "all" need not be there. */
static enum lab_exit fetch_all(struct strv *asked, bool update)
{
	struct strv all = {}, names = {};
	enum lab_exit ret = LAB_OK;
	struct kernel *got;
	size_t n = 0;
	bool *any;

	kernel_all(&all);
	kernel_expand(asked, &all, &names, &any);
	got = xcalloc(names.n, sizeof(*got));
	for (size_t i = 0; i < names.n && ret != LAB_INTERRUPTED; i++) {
		_cleanup_free_ char *why = NULL;
		enum lab_exit one;

		if (any[i])
			one = kernel_get_any(names.v[i], update, got, n, &got[n], &why);
		else
			one = kernel_get(*names.v[i] ? names.v[i] : NULL, update, &got[n]);
		if (!one)
			print_kernel(&got[n++]);
		else if (one != LAB_SKIPPED)
			ret = one;
		else if (why)
			printf("%s: skipped: %s\n", names.v[i], why);
	}
	while (n)
		kernel_free(&got[--n]);
	free(got);
	free(any);
	strv_free(&names);
	strv_free(&all);
	return ret;
}

static enum lab_exit build_all(const struct strv *asked, bool update)
{
	enum lab_exit ret = LAB_OK;

	if (!asked->n)
		return lab_fail(LAB_USAGE, "for example: cdevlab kernel build kasan",
				"kernel build needs the kind of debug kernel");
	for (size_t i = 0; i < asked->n && !ret; i++) {
		_cleanup_free_ char *name = str_starts(asked->v[i], "debug:") ?
						    xstrdup(asked->v[i]) :
						    xasprintf("debug:%s", asked->v[i]);
		struct kernel k;

		ret = kernel_build(name, update);
		if (!ret)
			ret = kernel_get(name, false, &k);
		if (!ret) {
			print_kernel(&k);
			kernel_free(&k);
		}
	}
	return ret;
}

int cmd_kernel(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
						 { "update", no_argument, NULL, 'u' },
						 { "verbose", no_argument, NULL, 'v' },
						 { "yes", no_argument, NULL, 'y' },
						 { "help", no_argument, NULL, 'h' },
						 { "rust", no_argument, NULL, 'r' },
						 {} };
	bool json = false, update = false;
	struct strv asked = {};
	enum lab_exit ret;
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
		case 'r':
			lab_options.rust = true;
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
		if (argv[optind + 1] || update || lab_options.rust)
			return lab_fail(LAB_USAGE, "see `cdevlab kernel --help`",
					"kernel list takes only --json");
		return kernel_list(json);
	}
	if (strcmp(verb, "fetch") && strcmp(verb, "build"))
		return lab_fail(
			LAB_USAGE, "see `cdevlab kernel --help`",
			*verb ? "unknown: kernel %s" : "kernel needs list, fetch or build%s", verb);
	if (json)
		return lab_fail(LAB_USAGE, "see `cdevlab kernel --help`",
				"--json is for kernel list");
	while (argv[++optind])
		strv_add(&asked, argv[optind]);
	if (!strcmp(verb, "build")) {
		ret = build_all(&asked, update);
	} else {
		if (!asked.n)
			strv_add(&asked, "");
		ret = fetch_all(&asked, update);
	}
	strv_free(&asked);
	return ret;
}
