// SPDX-License-Identifier: GPL-2.0
/* cdevlab meter: what measures energy here, and recording it. */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "meter.h"
#include "results.h"

static const char usage_text[] =
	"usage: cdevlab meter list [--json]\n"
	"       cdevlab meter record [--meter METER] [--for TIME] -o FILE\n"
	"       cdevlab meter energy FILE [FROM TO]\n"
	"\n"
	"list     shows what measures energy here, and what would if it could be read\n"
	"record   writes what a meter says to a CSV, a line a reading, until TIME is over or Ctrl-C\n"
	"energy   joules and mean power of a recording, or of a part of it, in its own seconds\n"
	"\n"
	"METER is fnb58 (FNIRSI FNB58, FNB48, C1: in the supply's cable), rapl (the processor's own\n"
	"counters), hwmon (sensors of a board), one of these with its name as list shows it, or auto;\n"
	"or ssh:[USER@]HOST[:PORT]/METER, that of another machine, where cdevlab is installed.\n"
	"\n"
	"  --meter METER  without it auto: the first that can be read\n"
	"  --for TIME     60s, 10m; without it until Ctrl-C\n"
	"  -o FILE        the CSV; - is standard output\n"
	"  --json         list as JSON\n"
	"  --help         this text\n";

static enum lab_exit list_all(bool json)
{
	struct meter *meters;
	size_t n;

	meter_list("", &meters, &n);
	if (json) {
		json_t *all = json_array();

		for (size_t i = 0; i < n; i++)
			json_array_append_new(all, json_pack("{s:s, s:s, s:s?}", "name",
							     meters[i].name, "what", meters[i].what,
							     "cannot_be_read", meters[i].why_not));
		meters_free(meters, n);
		return results_write_json("-", all);
	}
	for (size_t i = 0; i < n; i++) {
		printf("%-24s %s\n", meters[i].name, meters[i].what);
		if (meters[i].why_not)
			printf("%-24s   not now: %s\n", "", meters[i].why_not);
	}
	if (!n)
		puts("there is no meter here: energy is unmeasured");
	meters_free(meters, n);
	return LAB_OK;
}

static enum lab_exit record(const char *name, const char *path, int seconds)
{
	const struct meter *m;
	struct meter *meters;
	enum lab_exit ret;
	size_t n;

	if (!path)
		return lab_fail(LAB_USAGE, "for example: -o idle.csv", "record needs -o FILE");
	if (str_starts(name, "ssh:")) {
		meters = NULL;
		n = 0;
		ret = meter_ssh_add(name, &meters, &n);
	} else {
		meter_list("", &meters, &n);
		ret = LAB_OK;
	}
	if (!ret)
		ret = meter_find(name, meters, n, &m);
	if (!ret)
		ret = meter_record(m, path, seconds, strcmp(path, "-"));
	if (!ret)
		lab_progress("meter", "%s recorded to %s", m->name, path);
	meters_free(meters, n);
	return ret;
}

static bool read_second(const char *s, double *to)
{
	char *end;

	*to = strtod(s, &end);
	return end > s && !*end;
}

static enum lab_exit show_energy(int argc, char **argv)
{
	struct meter_energy e;
	struct meter_trace t;
	enum lab_exit ret;
	double from, to;

	if (argc != 1 && argc != 3)
		return lab_fail(LAB_USAGE, "see --help",
				"energy takes a file, or a file and two times");
	ret = meter_trace_read(argv[0], &t);
	if (ret)
		goto out;
	from = t.v[0].t;
	to = t.v[t.n - 1].t;
	if (argc == 3 && !(read_second(argv[1], &from) && read_second(argv[2], &to)))
		ret = lab_fail(LAB_USAGE, "they are seconds, as in the file", "%s, %s: no times",
			       argv[1], argv[2]);
	else if (!meter_energy(&t, from, to, &e))
		ret = lab_fail(LAB_USAGE, NULL, "%s goes from %.3f to %.3f s", argv[0], t.v[0].t,
			       t.v[t.n - 1].t);
	if (ret)
		goto out;
	printf("%.6f J in %.3f s, %.6f W; %zu readings", e.joules, to - from, e.watts, t.received);
	if (t.expected)
		printf(" of %zu", t.expected);
	printf(", %zu gaps, the longest silence %.3f s, %zu damaged%s\n", t.gaps, e.silence, t.bad,
	       t.whole ? "" : "; the recording was cut off");
out:
	meter_trace_free(&t);
	return ret;
}

int cmd_meter(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
						 { "meter", required_argument, NULL, 'm' },
						 { "for", required_argument, NULL, 'f' },
						 { "output", required_argument, NULL, 'o' },
						 { "yes", no_argument, NULL, 'y' },
						 { "help", no_argument, NULL, 'h' },
						 {} };
	const char *name = "auto", *path = NULL, *verb;
	enum lab_exit ret = LAB_OK;
	bool json = false;
	int c, seconds = 0;

	opterr = 0;
	while (!ret && (c = getopt_long(argc, argv, "ho:", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'm':
			name = optarg;
			break;
		case 'f':
			ret = args_duration("--for", optarg, &seconds);
			break;
		case 'o':
			path = optarg;
			break;
		case 'y':
			break;
		case 'h':
			fputs(usage_text, stdout);
			return LAB_OK;
		default:
			ret = lab_fail(LAB_USAGE, "see --help", "meter has no option %s",
				       argv[optind - 1]);
		}
	}
	if (ret)
		return ret;
	verb = optind < argc ? argv[optind++] : "";
	if (!strcmp(verb, "list"))
		return list_all(json);
	if (!strcmp(verb, "record"))
		return record(name, path, seconds);
	if (!strcmp(verb, "energy"))
		return show_energy(argc - optind, argv + optind);
	return lab_fail(LAB_USAGE, "it is list, record or energy", "meter cannot \"%s\"", verb);
}
