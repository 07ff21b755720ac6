// SPDX-License-Identifier: GPL-2.0
#include "coverage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elf.h"

/* --- what was executed --- */

static int compare_pcs(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

	return (x > y) - (x < y);
}

int code_log_read(const char *path, struct code_log *log)
{
	_cleanup_file_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t room = 0, line_room = 0, kept = 0;

	*log = (struct code_log){};
	if (!f)
		return -errno;
	/* "0xffffffffc0219470:  0f 1f 44 00 00  nopl (%rax, %rax)"; long instructions go on in a line of bytes */
	while (getline(&line, &line_room, f) > 0) {
		char *end;
		unsigned long pc = strtoul(line, &end, 16);

		if (!str_starts(line, "0x") || *end != ':')
			continue;
		if (log->n == room) {
			room = room ? room * 2 : 4096;
			log->pcs = xrealloc(log->pcs, room, sizeof(*log->pcs));
		}
		log->pcs[log->n++] = pc;
	}
	if (log->n)
		qsort(log->pcs, log->n, sizeof(*log->pcs), compare_pcs);
	for (size_t i = 0; i < log->n; i++)
		if (!kept || log->pcs[kept - 1] != log->pcs[i])
			log->pcs[kept++] = log->pcs[i];
	log->n = kept;
	return 0;
}

void code_log_free(struct code_log *log)
{
	free(log->pcs);
	*log = (struct code_log){};
}

static bool ran(const struct code_log *log, unsigned long from, unsigned long size)
{
	size_t lo = 0, hi = log->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (log->pcs[mid] < from)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < log->n && log->pcs[lo] - from < size;
}

/* --- lines --- */

static struct coverage_file *file_of(struct coverage *c, const char *name)
{
	size_t at = 0;

	while (at < c->n && strcmp(c->files[at].name, name) < 0)
		at++;
	if (at < c->n && !strcmp(c->files[at].name, name))
		return &c->files[at];
	c->files = xrealloc(c->files, c->n + 1, sizeof(*c->files));
	memmove(&c->files[at + 1], &c->files[at], (c->n++ - at) * sizeof(*c->files));
	c->files[at] = (struct coverage_file){ .name = xstrdup(name) };
	return &c->files[at];
}

static void mark(struct coverage_file *f, int line, enum coverage_line what)
{
	if ((size_t)line > f->n) {
		f->line = xrealloc(f->line, line, 1);
		memset(f->line + f->n, COVERAGE_NO_CODE, line - f->n);
		f->n = line;
	}
	if (f->line[line - 1] < what)
		f->line[line - 1] = what;
}

/* Ours is what lies in the room; what Kbuild has made there is not. */
static bool is_ours(void *ctx, const char *file)
{
	const struct driver *d = ctx;
	_cleanup_free_ char *path = NULL;

	if (*file == '/' || strstr(file, "../") || str_ends(file, ".mod.c"))
		return false;
	path = xasprintf("%s/%s", d->dir, file);
	return file_exists(path);
}

/* Where a section was loaded; false: nowhere. */
static bool section_address(const char *sections, const char *name, unsigned long *address)
{
	size_t n = strlen(name);

	for (const char *s = sections; s && *s; s = strchr(s, '\n') ? strchr(s, '\n') + 1 : NULL) {
		if (strncmp(s, name, n) || s[n] != ' ')
			continue;
		*address = strtoul(s + n, NULL, 16);
		return *address;
	}
	return false;
}

int coverage_add(struct coverage *c, const char *debug_ko, const char *sections,
		 const struct code_log *log)
{
	struct elf_line *lines;
	size_t n;
	int ret = elf_lines(debug_ko, is_ours, (void *)c->driver, &lines, &n);

	for (size_t i = 0; i < n; i++) {
		const struct elf_line *l = &lines[i];
		unsigned long start;
		bool reached = section_address(sections, l->section, &start) &&
			       ran(log, start + l->offset, l->size);

		mark(file_of(c, l->file), l->line, reached ? COVERAGE_REACHED : COVERAGE_CODE);
	}
	elf_lines_free(lines, n);
	return ret;
}

void coverage_count(const struct coverage_file *f, size_t *reached, size_t *all)
{
	*reached = *all = 0;
	for (size_t i = 0; i < f->n; i++) {
		*all += f->line[i] != COVERAGE_NO_CODE;
		*reached += f->line[i] == COVERAGE_REACHED;
	}
}

char *coverage_missed(const struct coverage_file *f)
{
	struct buf b = {};

	buf_puts(&b, "");
	for (size_t i = 0; i < f->n; i++) {
		size_t last = i;

		if (f->line[i] != COVERAGE_CODE)
			continue;
		/* lines without code between two of them do not part them */
		for (size_t k = i; k < f->n && f->line[k] != COVERAGE_REACHED; k++)
			if (f->line[k] == COVERAGE_CODE)
				last = k;
		if (b.n)
			buf_puts(&b, " ");
		buf_printf(&b, "%zu", i + 1);
		if (last > i)
			buf_printf(&b, "-%zu", last + 1);
		i = last;
	}
	return b.s;
}

void coverage_print(FILE *out, const struct coverage *c, const char *prefix)
{
	size_t reached, all, sum = 0, sum_all = 0;

	for (size_t i = 0; i < c->n; i++) {
		coverage_count(&c->files[i], &reached, &all);
		sum += reached;
		sum_all += all;
	}
	fprintf(out, "%scoverage: %s on %s: %zu of %zu lines reached", prefix, c->driver->name,
		c->kernel, sum, sum_all);
	if (sum_all)
		fprintf(out, " (%.1f %%)", 100.0 * sum / sum_all);
	fputc('\n', out);
	for (size_t i = 0; i < c->n; i++) {
		_cleanup_free_ char *missed = coverage_missed(&c->files[i]);

		coverage_count(&c->files[i], &reached, &all);
		fprintf(out, "%s  %s: %zu of %zu%s%s\n", prefix, c->files[i].name, reached, all,
			*missed ? ", not reached: " : "", missed);
	}
}

/* --- files --- */

static void annotate(struct buf *to, const struct coverage_file *f, const char *source)
{
	static const char *const marks[] = { "   ", "## ", " + " };
	size_t nr = 0;

	for (const char *s = source, *end; *s; s = *end ? end + 1 : end) {
		enum coverage_line what = nr < f->n ? f->line[nr] : COVERAGE_NO_CODE;

		nr++;
		end = strchrnul(s, '\n');
		buf_printf(to, "%s%5zu  %.*s\n", marks[what], nr, (int)(end - s), s);
	}
}

static void trace_info(struct buf *to, const struct coverage *c, const struct coverage_file *f)
{
	size_t reached, all;

	coverage_count(f, &reached, &all);
	buf_printf(to, "SF:%s/%s\n", c->driver->dir, f->name);
	for (size_t i = 0; i < f->n; i++)
		if (f->line[i] != COVERAGE_NO_CODE)
			buf_printf(to, "DA:%zu,%d\n", i + 1, f->line[i] == COVERAGE_REACHED);
	buf_printf(to, "LF:%zu\nLH:%zu\nend_of_record\n", all, reached);
}

static int write_file(const char *dir, const char *name, const char *suffix, const struct buf *b)
{
	_cleanup_free_ char *flat = str_replace(name, "/", "-");
	_cleanup_free_ char *path = xasprintf("%s/%s%s", dir, flat, suffix);

	return file_write(path, b->s, b->n);
}

enum lab_exit coverage_write(const struct coverage *c, const char *dir)
{
	_cleanup_free_ char *kernel = str_replace(c->kernel, "/", "-");
	_cleanup_free_ char *colon = str_replace(kernel, ":", "-");
	_cleanup_free_ char *name = xasprintf("%s-%s", c->driver->name, colon);
	_cleanup_free_ char *room = xasprintf("%s/%s", dir, name);
	struct buf info = {};
	int err = make_dirs(room, 0755);

	buf_printf(&info, "TN:%s\n", c->driver->name);
	for (size_t i = 0; i < c->n && !err; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", c->driver->dir, c->files[i].name);
		struct buf source = {}, text = {};

		err = file_read(path, &source);
		buf_puts(&source, "");
		buf_puts(&text, "");
		annotate(&text, &c->files[i], source.s);
		if (!err)
			err = write_file(room, c->files[i].name, ".txt", &text);
		trace_info(&info, c, &c->files[i]);
		buf_free(&source);
		buf_free(&text);
	}
	if (!err)
		err = write_file(dir, name, ".info", &info);
	buf_free(&info);
	if (err)
		return lab_fail(LAB_CANNOT, "name another directory with -o", "cannot write %s: %s",
				room, strerror(-err));
	return LAB_OK;
}

void coverage_free(struct coverage *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->files[i].name);
		free(c->files[i].line);
	}
	free(c->files);
	*c = (struct coverage){};
}
