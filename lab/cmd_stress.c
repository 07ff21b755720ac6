// SPDX-License-Identifier: GPL-2.0
/* cdevlab stress: everything at once, with kills. */
#include <time.h>

#include "cmd.h"
#include "instead.h"

#define FOR_DEFAULT_S 60

static const char help[] =
	"usage: cdevlab stress [OPTION]... [DRIVER|DIR]...\n"
	"In a guest with two processors, 32 workers in 8 processes make random calls on the driver's nodes, while\n"
	"processes are killed, the module is unloaded and loaded, and a processor goes and comes back. Then nobody\n"
	"may be left, the module must go, and the kernel log must hold nothing. KTAP on standard output.\n\n"
	"      --for TIME     60s, 10m: how long each module is hammered (default 60s)\n"
	"      --seed N       the same seed gives each worker the same sequence of calls\n"
	"      --only MODULE  one module\n"
	"      --junit FILE   the results as JUnit XML as well\n"
	"      --json FILE    the results as JSON as well\n";

int cmd_stress(int argc, char **argv)
{
	struct test_instead p;
	enum lab_exit ret;
	struct args a;
	int r = args_parse(argc, argv,
			   ARG_OUTPUT | ARG_JUNIT | ARG_JSON | ARG_ONLY | ARG_STRESS | ARG_RUST | ARG_DUMP,
			   help, &a);

	if (r)
		return r < 0 ? LAB_OK : r;
	test_instead_stress(&p, a.stress_s ?: FOR_DEFAULT_S,
			    a.has_seed ? a.seed : (unsigned long long)time(NULL));
	ret = instead_run(&p, &a);
	test_instead_free(&p);
	args_free(&a);
	return ret;
}
