// SPDX-License-Identifier: GPL-2.0
/* cdevlab faults: every call with each of its allocations and copies failing in turn. */
#include "cmd.h"
#include "instead.h"

static const char help[] =
	"usage: cdevlab faults [OPTION]... [DRIVER|DIR]...\n"
	"Makes every call of a driver, its load and unload among them, again and again, and each time another one of\n"
	"the allocations and copies on the call's way fails: the first, the second, until none is left. Each must end\n"
	"in ENOMEM or EFAULT, or as without the fault; the device must be as it was; the call must then work; no memory\n"
	"may leak, and the kernel log must hold nothing. KTAP on standard output.\n"
	"Needs a kernel with fault injection: without -k, debug:kasan, which `cdevlab kernel build kasan` makes.\n\n"
	"      --only MODULE[/faults[/CALL]]   one module, one call\n"
	"      --quick        of loading, of opening, and of one sequence of all calls\n"
	"      --junit FILE   the results as JUnit XML as well\n"
	"      --json FILE    the results as JSON as well\n";

int cmd_faults(int argc, char **argv)
{
	struct test_instead p;
	enum lab_exit ret;
	struct args a;
	int r = args_parse(argc, argv,
			   ARG_OUTPUT | ARG_JUNIT | ARG_JSON | ARG_ONLY | ARG_RUST | ARG_FAULTS,
			   help, &a);

	if (r)
		return r < 0 ? LAB_OK : r;
	if (!a.kernels.n)
		strv_add(&a.kernels, "debug:kasan");
	test_instead_faults(&p, a.quick);
	ret = instead_run(&p, &a);
	test_instead_free(&p);
	args_free(&a);
	return ret;
}
