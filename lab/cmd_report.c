// SPDX-License-Identifier: GPL-2.0
/* cdevlab report: draws what is stored; runs nothing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "report.h"

static const char help[] =
	"usage: cdevlab report [-o DIR] [RUN]...\n"
	"Writes report.html, one file that needs nothing else, and report-*.csv from stored records. Nothing is run.\n"
	"A RUN is a results directory of run or compare, a record in it, or a directory of results directories;\n"
	"without one, all in ./" STORE_DEFAULT
	". Where several know the same thing, the newest one counts.\n"
	"Without -o it is written to the only RUN that is a directory, else to ./" STORE_DEFAULT
	".\n";

static enum lab_exit make_report(const struct args *a)
{
	bool own = a->rest.n == 1 && is_dir(a->rest.v[0]);
	_cleanup_free_ char *dir = xstrdup(a->out_dir ?: own ? a->rest.v[0] : STORE_DEFAULT);
	double start = now_s();
	struct store s;
	enum lab_exit ret = store_open(&s, &a->rest);
	int err;

	while (strlen(dir) > 1 && str_ends(dir, "/"))
		dir[strlen(dir) - 1] = '\0';
	err = ret ? 0 : make_dirs(dir, 0755);
	if (err)
		ret = lab_fail(LAB_CANNOT, "name another directory with -o", "cannot make %s: %s",
			       dir, strerror(-err));
	if (!ret)
		ret = report_write(&s, dir);
	if (!ret)
		printf("report: %s/report.html (%zu record%s, %.2f s)\n", dir, s.n,
		       s.n == 1 ? "" : "s", now_s() - start);
	store_free(&s);
	return ret;
}

int cmd_report(int argc, char **argv)
{
	enum lab_exit ret;
	struct args a;
	int parsed = args_parse(argc, argv, ARG_OUTPUT, help, &a);

	if (parsed)
		return parsed < 0 ? LAB_OK : parsed;
	if (a.kernels.n)
		ret = lab_fail(LAB_USAGE, "name the records to show", "report has no -k");
	else
		ret = make_report(&a);
	args_free(&a);
	return ret;
}
