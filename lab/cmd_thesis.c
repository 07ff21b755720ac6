// SPDX-License-Identifier: GPL-2.0
/* cdevlab thesis: the published comparison of drivers in C and Rust, recomputed. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd.h"
#include "thesis.h"

static const char help[] =
	"usage: cdevlab thesis [--json]\n"
	"Prints the figures of the published comparison of virtual GPIO drivers in C and Rust, and beside them what\n"
	"its own data give: means, numbers of runs, powers and energies net of idle. It boots nothing and measures\n"
	"nothing; docs/thesis.md explains what it prints.\n"
	"\n"
	"  ours         recomputed\n"
	"  by rounding  what the digits of the printed data leave open\n"
	"  verdict      of the printed figure: as printed; within rounding (another last digit, which the rounding of\n"
	"               the data explains); differs\n"
	"\n"
	"      --json   the same as JSON\n"
	"  -h, --help\n"
	"exit status: 0, 2 usage, or damaged data, 3 there are no data\n";

static const char see_help[] = "see `cdevlab thesis --help`";

int cmd_thesis(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
						 { "verbose", no_argument, NULL, 'v' },
						 { "yes", no_argument, NULL, 'y' },
						 { "help", no_argument, NULL, 'h' },
						 {} };
	struct thesis t;
	enum lab_exit ret;
	bool json = false;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "vh", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'v':
			lab_options.verbose++;
			break;
		case 'y':
			lab_options.yes = true;
			break;
		case 'h':
			fputs(help, stdout);
			return LAB_OK;
		default:
			return lab_fail(LAB_USAGE, see_help, "thesis has no option %s",
					argv[optind - 1]);
		}
	}
	if (optind < argc)
		return lab_fail(LAB_USAGE, see_help, "thesis takes no %s", argv[optind]);
	ret = thesis_read(NULL, &t);
	if (ret)
		return ret;
	if (json) {
		json_t *o = thesis_json(&t);

		json_dumpf(o, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
		putchar('\n');
		json_decref(o);
	} else {
		printf("%s.\n%s\n\n", t.source, t.note);
		thesis_print(stdout, &t);
	}
	thesis_free(&t);
	return LAB_OK;
}
