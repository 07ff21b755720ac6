// SPDX-License-Identifier: GPL-2.0
#include "record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FORMATS "cdevlab(1) says what belongs there"

static char *copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

/* jansson's words for people who do not know that it is jansson. */
static char *unpack_problem(const json_error_t *error)
{
	static const char missing[] = "Object item not found: ";
	static const char unknown[] = "left unpacked: ";
	const char *key = strstr(error->text, unknown);

	if (str_starts(error->text, missing))
		return xasprintf("it has no %s", error->text + strlen(missing));
	return key ? xasprintf("unknown key %s", key + strlen(unknown)) : xstrdup(error->text);
}

char *record_read(json_t *o, struct record *r)
{
	const char *table, *row, *column, *unit = NULL, *unmeasured = NULL;
	json_t *value = NULL, *low = NULL, *high = NULL;
	json_error_t error;

	*r = (struct record){};
	if (json_unpack_ex(o, &error, JSON_STRICT, "{s:s, s:s, s:s, s?s, s?s, s?o, s?o, s?o}",
			   "table", &table, "row", &row, "column", &column, "unit", &unit,
			   "unmeasured", &unmeasured, "value", &value, "low", &low, "high", &high))
		return unpack_problem(&error);
	if (unmeasured && (value || low || high))
		return xstrdup("it has a value and is unmeasured");
	if (!unmeasured && !json_is_number(value))
		return xstrdup(value ? "its value is no number" : "it has no value");
	if (!unmeasured && !unit)
		return xstrdup("it has no unit");
	if (!low != !high)
		return xstrdup("it has one of low and high");
	if (low && (!json_is_number(low) || !json_is_number(high) ||
		    json_number_value(low) > json_number_value(high)))
		return xstrdup("its low and high are no interval");
	*r = (struct record){
		.table = xstrdup(table),
		.row = xstrdup(row),
		.column = xstrdup(column),
		.unit = copy(unit),
		.unmeasured = copy(unmeasured),
		.value = json_number_value(value),
		.low = json_number_value(low),
		.high = json_number_value(high),
		.interval = low,
	};
	return NULL;
}

bool record_same_place(const struct record *a, const struct record *b)
{
	return !strcmp(a->table, b->table) && !strcmp(a->row, b->row) &&
	       !strcmp(a->column, b->column);
}

void record_free(struct record *r)
{
	free(r->table);
	free(r->row);
	free(r->column);
	free(r->unit);
	free(r->unmeasured);
	*r = (struct record){};
}

/* Four digits tell as much as these figures hold; a large number is not shortened to an exponent. */
static void put_number(struct buf *b, double v)
{
	if (fabs(v) >= 10000 && fabs(v) < 1e15)
		buf_printf(b, "%.0f", v);
	else
		buf_printf(b, "%.4g", v);
}

char *record_text(const struct record *r, bool unit)
{
	struct buf b = {};

	if (r->unmeasured)
		return xstrdup("unmeasured");
	put_number(&b, r->value);
	if (r->interval) {
		buf_puts(&b, " [");
		put_number(&b, r->low);
		buf_puts(&b, "..");
		put_number(&b, r->high);
		buf_puts(&b, "]");
	}
	if (unit && *r->unit)
		buf_printf(&b, " %s", r->unit);
	return b.s;
}

/* *out: NULL where there is no such file. */
static enum lab_exit load(const char *path, json_t **out)
{
	json_error_t error;

	*out = NULL;
	if (!file_exists(path))
		return LAB_OK;
	*out = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!*out)
		return lab_fail(LAB_USAGE, FORMATS, "%s:%d: %s", path, error.line, error.text);
	return LAB_OK;
}

static enum lab_exit wrong(const char *path, const char *what, size_t i, const char *why)
{
	return lab_fail(LAB_USAGE, FORMATS, "%s: %s %zu: %s", path, what, i + 1, why);
}

static enum lab_exit wrong_item(const char *path, const char *what, size_t i,
				const json_error_t *error)
{
	_cleanup_free_ char *why = unpack_problem(error);

	return wrong(path, what, i, why);
}

static enum lab_exit read_records(const char *path, json_t *list, struct published *p)
{
	json_t *o;
	size_t i;

	p->records = xcalloc(json_array_size(list) + 1, sizeof(*p->records));
	json_array_foreach(list, i, o) {
		_cleanup_free_ char *problem = record_read(o, &p->records[i]);

		if (problem)
			return wrong(path, "record", i, problem);
		p->n++;
		for (size_t k = 0; k < i; k++)
			if (record_same_place(&p->records[k], &p->records[i]))
				return wrong(path, "record", i, RECORD_TWICE);
	}
	return LAB_OK;
}

static enum lab_exit read_placed(const char *path, json_t *list, struct published *p)
{
	json_error_t error;
	json_t *o;
	size_t i;

	p->exact = xcalloc(json_array_size(list) + 1, sizeof(*p->exact));
	json_array_foreach(list, i, o) {
		const char *table, *row, *column, *module, *op, *above = NULL;

		if (json_unpack_ex(o, &error, JSON_STRICT, "{s:s, s:s, s:s, s:s, s:s, s?s}",
				   "table", &table, "row", &row, "column", &column, "module",
				   &module, "op", &op, "above", &above))
			return wrong_item(path, "exact", i, &error);
		p->exact[p->n_exact++] = (struct placed){
			xstrdup(table),	 xstrdup(row), xstrdup(column),
			xstrdup(module), xstrdup(op),  copy(above),
		};
	}
	return LAB_OK;
}

enum lab_exit published_read(const char *path, struct published *p)
{
	const char *source = NULL, *note = NULL;
	json_t *root, *records = NULL, *exact = NULL;
	json_error_t error;
	enum lab_exit ret;

	*p = (struct published){};
	ret = load(path, &root);
	if (ret || !root)
		return ret;
	if (json_unpack_ex(root, &error, JSON_STRICT, "{s?s, s?s, s?o, s?o}", "source", &source,
			   "note", &note, "records", &records, "exact", &exact)) {
		_cleanup_free_ char *why = unpack_problem(&error);

		ret = lab_fail(LAB_USAGE, FORMATS, "%s: %s", path, why);
	} else if ((records && !json_is_array(records)) || (exact && !json_is_array(exact))) {
		ret = lab_fail(LAB_USAGE, FORMATS, "%s: records and exact are arrays", path);
	}
	if (!ret) {
		p->source = copy(source);
		p->note = copy(note);
		ret = read_records(path, records, p);
	}
	if (!ret)
		ret = read_placed(path, exact, p);
	json_decref(root);
	return ret;
}

void published_free(struct published *p)
{
	free(p->source);
	free(p->note);
	for (size_t i = 0; i < p->n; i++)
		record_free(&p->records[i]);
	for (size_t i = 0; i < p->n_exact; i++) {
		struct placed *e = &p->exact[i];

		free(e->table);
		free(e->row);
		free(e->column);
		free(e->module);
		free(e->op);
		free(e->above);
	}
	free(p->records);
	free(p->exact);
	*p = (struct published){};
}

enum lab_exit goals_read(const char *path, struct goal **goals, size_t *n)
{
	enum lab_exit ret;
	json_error_t error;
	json_t *root, *o;
	size_t i;

	*goals = NULL;
	*n = 0;
	ret = load(path, &root);
	if (ret || !root)
		return ret;
	if (!json_is_array(root))
		ret = lab_fail(LAB_USAGE, FORMATS, "%s: it is an array of goals", path);
	*goals = xcalloc(json_array_size(root) + 1, sizeof(**goals));
	json_array_foreach(root, i, o) {
		const char *op, *module = NULL, *arch = NULL, *of = NULL, *above = NULL;
		double at_most = 0;

		if (json_unpack_ex(o, &error, JSON_STRICT, "{s:s, s:F, s?s, s?s, s?s, s?s}", "op",
				   &op, "at_most", &at_most, "module", &module, "arch", &arch, "of",
				   &of, "above", &above))
			ret = wrong_item(path, "goal", i, &error);
		else if (of && above)
			ret = wrong(path, "goal", i,
				    "it is of an operation or above one, not both");
		if (ret)
			break;
		(*goals)[(*n)++] = (struct goal){
			.op = xstrdup(op),
			.module = copy(module),
			.arch = copy(arch),
			.of = copy(of),
			.above = copy(above),
			.at_most = at_most,
		};
	}
	json_decref(root);
	return ret;
}

void goals_free(struct goal *goals, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(goals[i].op);
		free(goals[i].module);
		free(goals[i].arch);
		free(goals[i].of);
		free(goals[i].above);
	}
	free(goals);
}
