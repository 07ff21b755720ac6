// SPDX-License-Identifier: GPL-2.0
/* The tables of a room: its figures by the wall clock, by the exact clock, and those that others published. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define LINE_WIDTH 110 /* longer tables go on below */

/* --- cells --- */

static size_t name_index(const char ***names, size_t *n, const char *name)
{
	for (size_t i = 0; i < *n; i++)
		if (!strcmp((*names)[i], name))
			return i;
	*names = xrealloc(*names, *n + 1, sizeof(**names));
	(*names)[*n] = name;
	return (*n)++;
}

/* struct place - a figure on its way to its cell */
struct place {
	const char *table, *row, *column;
	struct bench_cell cell; /* one part of it is set */
};

struct places {
	struct place *v;
	size_t n;
};

static struct bench_cell *add_place(struct places *p, const char *table, const char *row,
				    const char *column)
{
	p->v = xrealloc(p->v, p->n + 1, sizeof(*p->v));
	p->v[p->n] = (struct place){ table, row, column, {} };
	return &p->v[p->n++].cell;
}

static void collect(const struct bench *b, const struct kernel *k, const struct driver *d,
		    struct places *p)
{
	for (size_t i = 0; i < b->n_walls; i++) {
		const struct bench_wall *w = &b->walls[i];

		if (w->kernel != k || w->built->driver != d)
			continue;
		for (size_t r = 0; r < w->n; r++)
			add_place(p, w->records[r].table, w->records[r].row, w->records[r].column)
				->wall = &w->records[r];
	}
	for (size_t i = 0; i < d->published.n_exact; i++) {
		const struct placed *e = &d->published.exact[i];
		const struct bench_op *op = bench_find_op(b, k, e->module, e->op);
		struct bench_cell *cell = add_place(p, e->table, e->row, e->column);

		if (op && bench_op_above(b, op, e->above, &cell->instructions))
			cell->exact = op;
	}
	for (size_t i = 0; i < d->published.n; i++) {
		const struct record *r = &d->published.records[i];

		add_place(p, r->table, r->row, r->column)->published = r;
	}
}

/* Rows and columns first, then the cells. */
static void fill_table(struct bench_table *t, const struct places *p)
{
	for (size_t i = 0; i < p->n; i++) {
		if (strcmp(p->v[i].table, t->title))
			continue;
		name_index(&t->rows, &t->n_rows, p->v[i].row);
		name_index(&t->columns, &t->n_columns, p->v[i].column);
	}
	t->cells = xcalloc(t->n_rows * t->n_columns, sizeof(*t->cells));
	for (size_t i = 0; i < p->n; i++) {
		const struct bench_cell *from = &p->v[i].cell;
		struct bench_cell *to;

		if (strcmp(p->v[i].table, t->title))
			continue;
		to = &t->cells[name_index(&t->rows, &t->n_rows, p->v[i].row) * t->n_columns +
			       name_index(&t->columns, &t->n_columns, p->v[i].column)];
		if (from->wall && !to->wall)
			to->wall = from->wall;
		if (from->published && !to->published)
			to->published = from->published;
		if (from->exact && !to->exact) {
			to->exact = from->exact;
			to->instructions = from->instructions;
		}
		t->wall |= from->wall != NULL;
		t->exact |= from->exact != NULL;
		t->published |= from->published != NULL;
	}
}

static void free_table(struct bench_table *t)
{
	free(t->rows);
	free(t->columns);
	free(t->cells);
}

struct bench_table *bench_tables(const struct bench *b, const struct kernel *k,
				 const struct driver *d, size_t *n)
{
	struct bench_table *tables;
	const char **titles = NULL;
	struct places p = {};
	size_t n_titles = 0;

	*n = 0;
	collect(b, k, d, &p);
	for (size_t i = 0; i < p.n; i++)
		name_index(&titles, &n_titles, p.v[i].table);
	tables = xcalloc(n_titles + 1, sizeof(*tables));
	for (size_t i = 0; i < n_titles; i++) {
		struct bench_table t = { .kernel = k, .driver = d, .title = titles[i] };

		fill_table(&t, &p);
		/* others' figures with nothing of ours beside them: only where ours were asked for */
		if (!t.wall && !t.exact && !b->wall_ran) {
			free_table(&t);
			continue;
		}
		tables[(*n)++] = t;
	}
	free(titles);
	free(p.v);
	return tables;
}

void bench_tables_free(struct bench_table *tables, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free_table(&tables[i]);
	free(tables);
}

/* --- text --- */

enum part {
	PART_WALL,
	PART_EXACT,
	PART_PUBLISHED,
	N_PARTS
};

static const char *const part_names[] = { "wall", "exact", "published" };

/* struct column - of the printed table: one part of one of its columns */
struct column {
	size_t of; /* index of the table's column */
	enum part part;
	const char *unit; /* that all its figures have, or NULL */
	size_t width;
};

static const struct record *part_record(const struct bench_cell *c, enum part part)
{
	return part == PART_WALL ? c->wall : c->published;
}

/* The unit of all figures of a column; NULL when they have none in common. */
static const char *common_unit(const struct bench_table *t, size_t column, enum part part)
{
	const char *unit = NULL;

	if (part == PART_EXACT)
		return "instr.";
	for (size_t r = 0; r < t->n_rows; r++) {
		const struct record *rec = part_record(&t->cells[r * t->n_columns + column], part);

		if (!rec || !rec->unit)
			continue;
		if (unit && strcmp(unit, rec->unit))
			return NULL;
		unit = rec->unit;
	}
	return unit;
}

static char *cell_text(const struct bench_table *t, size_t row, const struct column *c)
{
	const struct bench_cell *cell = &t->cells[row * t->n_columns + c->of];
	const struct record *r = part_record(cell, c->part);

	if (c->part == PART_EXACT)
		return cell->exact ? xasprintf("%.0f", cell->instructions) : xstrdup("-");
	return r ? record_text(r, !c->unit) : xstrdup("-");
}

static char *head_text(const struct column *c)
{
	return c->unit && *c->unit ? xasprintf("%s, %s", part_names[c->part], c->unit) :
				     xstrdup(part_names[c->part]);
}

/* Places on a terminal: the bytes that begin a character. */
static size_t places_of(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static void put_padded(FILE *out, const char *s, size_t width, bool right)
{
	size_t n = places_of(s), pad = width > n ? width - n : 0;

	fprintf(out, "%*s%s%*s", (int)(right ? pad : 0), "", s, (int)(right ? 0 : pad), "");
}

static bool column_has(const struct bench_table *t, size_t column, enum part part)
{
	for (size_t r = 0; r < t->n_rows; r++) {
		const struct bench_cell *c = &t->cells[r * t->n_columns + column];

		if (part == PART_EXACT ? c->exact != NULL : part_record(c, part) != NULL)
			return true;
	}
	return false;
}

/* The printed columns, and their widths: of the name above a group its last column takes what is left. */
static struct column *layout(const struct bench_table *t, bool wall, size_t *n)
{
	struct column *list = xcalloc(t->n_columns * N_PARTS, sizeof(*list));

	*n = 0;
	for (size_t c = 0; c < t->n_columns; c++) {
		size_t group = 0;
		struct column *col = NULL;

		for (int part = 0; part < N_PARTS; part++) {
			_cleanup_free_ char *head = NULL;

			/* ours always: what is missing there must be seen */
			if (!(part == PART_WALL && wall) && !column_has(t, c, part))
				continue;
			col = &list[(*n)++];
			*col = (struct column){ c, part, common_unit(t, c, part), 0 };
			head = head_text(col);
			col->width = places_of(head);
			for (size_t r = 0; r < t->n_rows; r++) {
				_cleanup_free_ char *text = cell_text(t, r, col);

				if (places_of(text) > col->width)
					col->width = places_of(text);
			}
			group += col->width + (group ? 2 : 0);
		}
		if (col && places_of(t->columns[c]) > group)
			col->width += places_of(t->columns[c]) - group;
	}
	return list;
}

/* Between two columns: more where another of the table's begins. */
static const char *gap(const struct column *columns, size_t c, size_t from)
{
	return c > from && columns[c].of == columns[c - 1].of ? "  " : "   ";
}

/* Columns @from to @to of a table. */
static void print_block(FILE *out, const struct bench_table *t, const struct column *columns,
			size_t from, size_t to, size_t width)
{
	fprintf(out, "  %*s", (int)width, "");
	for (size_t c = from; c < to; c++) {
		size_t group = columns[c].width;

		while (c + 1 < to && columns[c + 1].of == columns[c].of)
			group += 2 + columns[++c].width;
		fputs("   ", out);
		put_padded(out, t->columns[columns[c].of], c + 1 < to ? group : 0, false);
	}
	fprintf(out, "\n  %*s", (int)width, "");
	for (size_t c = from; c < to; c++) {
		_cleanup_free_ char *head = head_text(&columns[c]);

		fputs(gap(columns, c, from), out);
		put_padded(out, head, columns[c].width, true);
	}
	for (size_t r = 0; r < t->n_rows; r++) {
		fputs("\n  ", out);
		put_padded(out, t->rows[r], width, false);
		for (size_t c = from; c < to; c++) {
			_cleanup_free_ char *text = cell_text(t, r, &columns[c]);

			fputs(gap(columns, c, from), out);
			put_padded(out, text, columns[c].width, true);
		}
	}
	fputc('\n', out);
}

/* The end of a block that fits a line: a column of the table is not torn. */
static size_t block_end(const struct column *columns, size_t from, size_t n, size_t width)
{
	size_t to = from;

	while (to < n) {
		size_t next = to, more = 1;

		do
			more += 2 + columns[next++].width;
		while (next < n && columns[next].of == columns[to].of);
		if (to > from && width + more > LINE_WIDTH)
			break;
		width += more;
		to = next;
	}
	return to;
}

static void print_table(FILE *out, const struct bench_table *t, bool wall, bool emulated)
{
	struct column *columns;
	size_t n, width = 0;

	for (size_t r = 0; r < t->n_rows; r++)
		if (places_of(t->rows[r]) > width)
			width = places_of(t->rows[r]);
	columns = layout(t, wall, &n);
	fprintf(out, "\n%s, Linux %s%s\n", t->title, t->kernel->release,
		t->wall && emulated ? "; wall clock emulated: order and large effects only" : "");
	for (size_t from = 0, to; from < n; from = to) {
		to = block_end(columns, from, n, width + 2);
		if (from)
			fputc('\n', out);
		print_block(out, t, columns, from, to, width);
	}
	free(columns);
}

/* Words in lines of a readable length, each line indented by two. */
static void print_wrapped(FILE *out, const char *text)
{
	struct strv words = {};
	size_t column = 0;

	strv_split(&words, text, " \n\t");
	for (size_t i = 0; i < words.n; i++) {
		size_t n = places_of(words.v[i]);

		if (column && column + 1 + n > LINE_WIDTH) {
			fputc('\n', out);
			column = 0;
		}
		fputs(column ? " " : "  ", out);
		fputs(words.v[i], out);
		column += (column ? 1 : 2) + n;
	}
	fputc('\n', out);
	strv_free(&words);
}

/* What must be said below the tables: what was not measured and why, where the published figures come from. */
static void print_remarks(FILE *out, const struct bench *b, const struct kernel *k,
			  const struct driver *d)
{
	for (size_t i = 0; i < b->n_walls; i++) {
		const struct bench_wall *w = &b->walls[i];

		if (w->kernel != k || w->built->driver != d)
			continue;
		if (w->failure)
			fprintf(out, "  unmeasured: %s: %s\n", w->command, w->failure);
		for (size_t r = 0; r < w->n; r++) {
			const struct record *rec = &w->records[r];

			if (rec->unmeasured)
				fprintf(out, "  unmeasured: %s, %s, %s: %s\n", rec->table, rec->row,
					rec->column, rec->unmeasured);
		}
	}
}

static bool room_emulated(const struct bench *b, const struct kernel *k, const struct driver *d)
{
	for (size_t i = 0; i < b->n_walls; i++) {
		const struct bench_wall *w = &b->walls[i];

		if (w->kernel == k && w->built->driver == d && w->accel && strcmp(w->accel, "kvm"))
			return true;
	}
	return false;
}

void bench_tables_print(FILE *out, const struct bench *b)
{
	const struct test_run *t = b->run;

	for (size_t i = 0; i < t->n_kernels * t->n_drivers; i++) {
		const struct kernel *k = &t->k[i / t->n_drivers];
		const struct driver *d = &t->d[i % t->n_drivers];
		bool wall = b->wall_ran && d->walls.n, published = false;
		struct bench_table *tables;
		size_t n;

		tables = bench_tables(b, k, d, &n);
		for (size_t m = 0; m < n; m++) {
			print_table(out, &tables[m], wall, room_emulated(b, k, d));
			published |= tables[m].published;
		}
		if (n || wall)
			fputc('\n', out);
		print_remarks(out, b, k, d);
		if (published && d->published.source) {
			_cleanup_free_ char *text = xasprintf("published: %s", d->published.source);

			print_wrapped(out, text);
		}
		if (n && d->published.note)
			print_wrapped(out, d->published.note);
		bench_tables_free(tables, n);
	}
}

/* --- JSON --- */

static json_t *record_json(const struct record *r)
{
	json_t *o;

	if (!r)
		return json_null();
	if (r->unmeasured)
		return json_pack("{s:s}", "unmeasured", r->unmeasured);
	o = json_pack("{s:f, s:s}", "value", r->value, "unit", r->unit);
	if (r->interval) {
		json_object_set_new(o, "low", json_real(r->low));
		json_object_set_new(o, "high", json_real(r->high));
	}
	return o;
}

static json_t *cells_json(const struct bench_table *t)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->n_rows * t->n_columns; i++) {
		const struct bench_cell *c = &t->cells[i];
		json_t *exact = c->exact ? json_pack("{s:f, s:s}", "value", c->instructions, "unit",
						     "instructions") :
					   json_null();

		json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o, s:o}", "row",
						      t->rows[i / t->n_columns], "column",
						      t->columns[i % t->n_columns], "wall",
						      record_json(c->wall), "exact", exact,
						      "published", record_json(c->published)));
	}
	return list;
}

void bench_tables_json(const struct bench *b, json_t *to)
{
	const struct test_run *t = b->run;
	json_t *tables = json_array(), *published = json_array(), *unmeasured = json_array();

	for (size_t i = 0; i < t->n_kernels * t->n_drivers; i++) {
		const struct kernel *k = &t->k[i / t->n_drivers];
		const struct driver *d = &t->d[i % t->n_drivers];
		size_t n;
		struct bench_table *list = bench_tables(b, k, d, &n);

		for (size_t m = 0; m < n; m++)
			json_array_append_new(tables,
					      json_pack("{s:s, s:s, s:s, s:s, s:b, s:o}", "driver",
							d->name, "kernel", k->name, "release",
							k->release, "table", list[m].title,
							"emulated", room_emulated(b, k, d), "cells",
							cells_json(&list[m])));
		bench_tables_free(list, n);
	}
	for (size_t i = 0; i < t->n_drivers; i++)
		if (t->d[i].published.source || t->d[i].published.note)
			json_array_append_new(published,
					      json_pack("{s:s, s:s?, s:s?}", "driver", t->d[i].name,
							"source", t->d[i].published.source, "note",
							t->d[i].published.note));
	for (size_t i = 0; i < b->n_walls; i++)
		if (b->walls[i].failure)
			json_array_append_new(unmeasured,
					      json_pack("{s:s, s:s, s:s, s:s}", "driver",
							b->walls[i].built->driver->name, "kernel",
							b->walls[i].kernel->name, "command",
							b->walls[i].command, "reason",
							b->walls[i].failure));
	json_object_set_new(to, "tables", tables);
	json_object_set_new(to, "published", published);
	json_object_set_new(to, "unmeasured", unmeasured);
}

/* --- what published.json names must be there --- */

/* The node of an operation that its benchmark told of, below kernel / driver / module / program. */
const struct ktap *bench_op_node(const struct bench *b, const struct kernel *k,
				 const struct driver *d, const char *module, const char *op)
{
	_cleanup_free_ char *kernel = xasprintf("%s %s", k->name, k->release);
	const struct ktap *t = ktap_child(b->run->root, kernel);

	t = t ? ktap_child(t, d->name) : NULL;
	t = t ? ktap_child(t, module) : NULL;
	for (size_t i = 0; t && i < t->n; i++)
		if (str_starts(t->children[i]->name, "bench_") && ktap_child(t->children[i], op))
			return ktap_child(t->children[i], op);
	return NULL;
}

static bool program_ran(const struct bench *b, const struct kernel *k, const struct driver *d,
			const char *module)
{
	return bench_op_node(b, k, d, module, FLOOR_EMPTY) != NULL;
}

void bench_tables_check(struct bench *b)
{
	const struct test_run *t = b->run;

	for (size_t i = 0; i < t->n_kernels * t->n_drivers; i++) {
		const struct kernel *k = &t->k[i / t->n_drivers];
		const struct driver *d = &t->d[i % t->n_drivers];

		for (size_t e = 0; e < d->published.n_exact; e++) {
			const struct placed *p = &d->published.exact[e];

			if (bench_op_node(b, k, d, p->module, p->op) ||
			    !program_ran(b, k, d, p->module))
				continue;
			ktap_set(ktap_new(t->root, "published.json"), KTAP_FAIL,
				 "%s: the benchmark of %s has no operation \"%s\"", d->name,
				 p->module, p->op);
		}
	}
}
