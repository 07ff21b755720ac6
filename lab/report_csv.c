// SPDX-License-Identifier: GPL-2.0
/* The report's figures for programs. */
#include <string.h>

#include "html.h"
#include "report.h"

const char *report_csv_name(enum report_csv which)
{
	static const char *const names[] = {
		[REPORT_CSV_TESTS] = "report-tests.csv",
		[REPORT_CSV_FIGURES] = "report-figures.csv",
		[REPORT_CSV_TABLES] = "report-tables.csv",
		[REPORT_CSV_OBJECTS] = "report-modules.csv",
	};

	return names[which];
}

static void head(struct buf *b, const char *names)
{
	struct strv v = {};

	strv_split(&v, names, " ");
	for (size_t i = 0; i < v.n; i++)
		csv_field(b, v.v[i]);
	csv_end(b);
	strv_free(&v);
}

static void end(struct buf *b, const struct store_run *run)
{
	csv_field(b, run->ended);
	csv_field(b, run->path);
	csv_end(b);
}

static void tests(const struct report *r, struct buf *b)
{
	head(b, "kernel release driver module result passed failed skipped reason ended record");
	for (size_t i = 0; i < r->n_cells; i++) {
		const struct report_cell *c = &r->cells[i];

		csv_field(b, r->kernels[c->kernel].name);
		csv_field(b, r->kernels[c->kernel].release);
		csv_field(b, c->driver);
		csv_field(b, c->module);
		csv_field(b, report_result_name(c->result));
		csv_number(b, c->passed);
		csv_number(b, c->failed);
		csv_number(b, c->skipped);
		csv_field(b, c->reason);
		end(b, c->run);
	}
}

static void figures(const struct report *r, struct buf *b)
{
	head(b, "kernel release arch compiler driver module operation floor spread instructions "
		"above_floor share_at_mode mean user in_module in_kernel ended record");
	for (size_t i = 0; i < r->n_ops; i++) {
		const struct report_op *op = &r->ops[i];

		csv_field(b, op->at.kernel);
		csv_field(b, op->at.release);
		csv_field(b, op->arch);
		csv_field(b, op->at.compiler);
		csv_field(b, op->driver);
		csv_field(b, op->module);
		csv_field(b, op->name);
		csv_field(b, op->floor);
		csv_field(b, op->spread ? "yes" : "no");
		csv_number(b, op->instructions);
		csv_number(b, op->own);
		csv_number(b, op->share);
		csv_number(b, op->mean);
		if (op->split) {
			csv_number(b, op->user);
			csv_number(b, op->in_module);
			csv_number(b, op->rest);
		} else {
			for (int k = 0; k < 3; k++)
				csv_field(b, NULL);
		}
		end(b, op->run);
	}
}

static void number(struct buf *b, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	if (json_is_number(v))
		csv_number(b, json_number_value(v));
	else
		csv_field(b, NULL);
}

static void tables(const struct report *r, struct buf *b)
{
	static const char *const clocks[] = { "wall", "exact", "published" };
	json_t *cell;
	size_t k;

	head(b,
	     "driver kernel release emulated table row column clock value low high unit unmeasured "
	     "ended record");
	for (size_t i = 0; i < r->n_tables; i++) {
		const struct report_table *t = &r->tables[i];

		json_array_foreach(json_object_get(t->json, "cells"), k, cell) {
			for (size_t c = 0; c < ARRAY_SIZE(clocks); c++) {
				const json_t *v = json_object_get(cell, clocks[c]);

				if (!json_is_object(v))
					continue;
				csv_field(b, t->driver);
				csv_field(b, t->kernel);
				csv_field(b, t->release);
				csv_field(b, store_true(t->json, "emulated") ? "yes" : "no");
				csv_field(b, t->title);
				csv_field(b, store_text(cell, "row"));
				csv_field(b, store_text(cell, "column"));
				csv_field(b, clocks[c]);
				number(b, v, "value");
				number(b, v, "low");
				number(b, v, "high");
				csv_field(b, store_text(v, "unit"));
				csv_field(b, store_text(v, "unmeasured"));
				end(b, t->run);
			}
		}
	}
}

static void objects(const struct report *r, struct buf *b)
{
	head(b, "kernel release compiler driver module language sha256 text rodata data bss file "
		"functions stack lines unsafe_lines ended record");
	for (size_t i = 0; i < r->n_objects; i++) {
		const struct report_object *o = &r->objects[i];
		const json_t *sizes = o->full ? json_object_get(o->json, "sizes") : o->json;
		const json_t *source = json_object_get(o->json, "source");

		csv_field(b, o->at.kernel);
		csv_field(b, o->at.release);
		csv_field(b, o->at.compiler);
		csv_field(b, o->driver);
		csv_field(b, o->name);
		csv_field(b, o->language);
		csv_field(b, store_text(o->json, "sha256"));
		number(b, sizes, "text");
		number(b, sizes, "rodata");
		number(b, sizes, "data");
		number(b, sizes, "bss");
		number(b, sizes, "file");
		number(b, o->json, "functions");
		number(b, json_object_get(json_object_get(o->json, "stack"), "deepest"), "bytes");
		number(b, source, "lines");
		number(b, source, "unsafe_lines");
		end(b, o->run);
	}
}

void report_csv(const struct report *r, enum report_csv which, struct buf *out)
{
	static void (*const all[])(const struct report *r, struct buf *b) = {
		[REPORT_CSV_TESTS] = tests,
		[REPORT_CSV_FIGURES] = figures,
		[REPORT_CSV_TABLES] = tables,
		[REPORT_CSV_OBJECTS] = objects,
	};

	all[which](r, out);
}
