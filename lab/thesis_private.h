/* SPDX-License-Identifier: GPL-2.0 */
/* What docs/thesis.json holds, between thesis_data.c that reads it and thesis.c that computes. */
#ifndef CDEVLAB_THESIS_PRIVATE_H
#define CDEVLAB_THESIS_PRIVATE_H

#include "thesis.h"

/* struct printed - a number as it stands in print, above 0 */
struct printed {
	char *text; /* NULL: it is not there */
	double value;
	int decimals;
};

struct thesis_data_build {
	char *name, *module[THESIS_LANGUAGES];
	struct printed seconds[THESIS_LANGUAGES], percent;
	struct printed wh[THESIS_LANGUAGES], energy_percent;
	struct printed runs[THESIS_LANGUAGES], margin_s[THESIS_LANGUAGES]; /* planned */
	struct printed text_percent,
		text_wh; /* of C; what the text has in place of the table's; or not there */
};

struct thesis_data_pilot {
	char *build; /* whose, in C */
	size_t of;   /* its index */
	struct printed *runs_s;
	size_t n;
	struct printed mean_s, sd_s;
	struct printed z, margin_s, needed; /* what was computed with, and came out */
	struct printed concluded_confidence;
};

struct thesis_data {
	char *source, *note, *operation;
	struct printed operations, idle_w, planned_confidence;
	struct printed meter_permille[2]; /* of voltage, of current */
	struct thesis_data_build *builds;
	size_t n;
	struct thesis_data_pilot pilot;
	char *hello_arch, *hello_module[THESIS_LANGUAGES];
	struct printed instructions[THESIS_LANGUAGES], stack_bytes[THESIS_LANGUAGES];
	struct strv may, may_not;
};

/* Messages and codes are those of thesis_read(). */
enum lab_exit thesis_data_read(const char *path, struct thesis_data *d);
void thesis_data_free(struct thesis_data *d);

#endif
