// SPDX-License-Identifier: GPL-2.0
#include "machine.h"

#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CPUFREQ "/sys/devices/system/cpu/cpu%d/cpufreq/"

/* The first line of a file, or false. */
static int line_of(const char *path, char *line, int size)
{
	FILE *f = fopen(path, "re");
	int has = f && fgets(line, size, f);

	if (f)
		fclose(f);
	if (has)
		line[strcspn(line, "\n")] = '\0';
	return has;
}

static long number_of(const char *path, int base)
{
	char line[64], *end;
	long v;

	if (!line_of(path, line, sizeof(line)))
		return -1;
	v = strtol(line, &end, base);
	return end > line ? v : -1;
}

/* The largest of all files of a pattern. */
static long largest(const char *pattern, int base)
{
	long most = -1;
	glob_t all;

	if (glob(pattern, 0, NULL, &all))
		return -1;
	for (size_t i = 0; i < all.gl_pathc; i++) {
		long v = number_of(all.gl_pathv[i], base);

		most = v > most ? v : most;
	}
	globfree(&all);
	return most;
}

/* "cpu  user nice system idle iowait irq softirq steal ..." */
static void read_steal(const char *path, struct machine *m)
{
	char line[256];
	double t[8];

	if (!line_of(path, line, sizeof(line)) ||
	    sscanf(line, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &t[0], &t[1], &t[2], &t[3], &t[4],
		   &t[5], &t[6], &t[7]) != 8)
		return;
	m->steal = t[7];
	m->total = 0;
	for (int i = 0; i < 8; i++)
		m->total += t[i];
}

void machine_read(const char *root, int cpu, struct machine *m)
{
	char path[PATH_MAX];

	*m = (struct machine){ .steal = -1, .total = -1 };
	snprintf(path, sizeof(path), "%s" CPUFREQ "scaling_governor", root, cpu);
	line_of(path, m->governor, sizeof(m->governor));
	snprintf(path, sizeof(path), "%s" CPUFREQ "scaling_cur_freq", root, cpu);
	m->khz = number_of(path, 10);
	snprintf(path, sizeof(path), "%s/sys/class/thermal/thermal_zone*/temp", root);
	m->millicelsius = largest(path, 10);
	/* the Raspberry Pi's firmware, in hexadecimal; else what x86 counts */
	snprintf(path, sizeof(path), "%s/sys/devices/platform/soc/soc:firmware/get_throttled",
		 root);
	m->throttled = number_of(path, 16);
	if (m->throttled < 0) {
		snprintf(path, sizeof(path),
			 "%s/sys/devices/system/cpu/cpu*/thermal_throttle/package_throttle_count",
			 root);
		m->throttled = largest(path, 10);
	}
	snprintf(path, sizeof(path), "%s/proc/stat", root);
	read_steal(path, m);
}
