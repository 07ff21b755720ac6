/* SPDX-License-Identifier: GPL-2.0 */
/* What of a machine moves times without anybody's doing: its frequency, its heat, and who else runs on it. */
#ifndef CDEVLAB_MACHINE_H
#define CDEVLAB_MACHINE_H

/* struct machine - at one moment; -1: it does not tell */
struct machine {
	char governor[32]; /* of processor @cpu, "" */
	long khz;	   /* its frequency now */
	long millicelsius; /* the hottest of all zones */
	long throttled; /* not 0: it runs slower than it would, or has (Raspberry Pi: bits of get_throttled) */
	double steal,
		total; /* since boot, of all processors, in ticks: what others had of a virtual one */
};

/* @root: "" or a directory that plays the root directory. */
void machine_read(const char *root, int cpu, struct machine *m);

#endif
