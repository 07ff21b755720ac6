// SPDX-License-Identifier: GPL-2.0
/* The seeded bugs: patches that are found, read, and put into copies of their rooms. */
#include "safety.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proc.h"

#define FORMAT	"docs/safety.md says how a seeded bug is written"
#define PROGRAM ".trigger.c"

const char *safety_language_name(enum safety_language l)
{
	return l == SAFETY_C ? "C" : "Rust";
}

bool safety_name_read(const char *name, struct safety_bug *b)
{
	static const char *const ends[] = { [SAFETY_C] = ".c.patch", [SAFETY_RUST] = ".rs.patch" };
	size_t dash = strcspn(name, "-"), n = strlen(name);

	for (int l = 0; l < SAFETY_LANGUAGES; l++) {
		size_t end = strlen(ends[l]);

		if (!str_ends(name, ends[l]) || !dash || n <= dash + 1 + end)
			continue;
		for (size_t i = 0; i < dash; i++)
			if (!isalnum((unsigned char)name[i]))
				return false;
		b->number = xstrndup(name, dash);
		b->slug = xstrndup(name + dash + 1, n - dash - 1 - end);
		b->language = l;
		return true;
	}
	return false;
}

/* "E0382" of "E0382 (use of a moved value)"; NULL where it begins otherwise. */
static char *error_of(const char *compile)
{
	size_t n = 1 + strspn(compile[0] == 'E' ? compile + 1 : "", "0123456789");

	return n > 1 ? xstrndup(compile, n) : NULL;
}

char *safety_text_read(const char *text, struct safety_bug *b)
{
	const struct {
		const char *key;
		char **to;
		bool needed;
	} keys[] = {
		{ "Bug:", &b->bug, true },	    { "Class:", &b->class, true },
		{ "Trigger:", &b->trigger, true },  { "Expect:", &b->expect, true },
		{ "Compile:", &b->compile, false }, { "Module:", &b->module, false },
	};
	char **last = NULL;

	while (*text && !str_starts(text, "--- ")) {
		size_t n = strcspn(text, "\n");
		_cleanup_free_ char *line = xstrndup(text, n);
		bool found = false;

		text += n + (text[n] == '\n');
		if (str_starts(line, "diff ") || str_starts(line, "index ") || !*str_trim(line))
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(keys) && !found; i++) {
			if (!str_starts(line, keys[i].key))
				continue;
			if (*keys[i].to)
				return xasprintf("it has two lines %s", keys[i].key);
			last = keys[i].to;
			*last = xstrdup(str_trim(line + strlen(keys[i].key)));
			found = true;
		}
		/* a sentence may go on in the next line */
		if (!found && last) {
			char *longer = xasprintf("%s %s", *last, str_trim(line));

			free(*last);
			*last = longer;
		} else if (!found) {
			return xasprintf("before the diff, \"%s\" is no line that is known", line);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].needed && (!*keys[i].to || !**keys[i].to))
			return xasprintf("it has no line %s", keys[i].key);
	if (!*text)
		return xstrdup("it has no diff");
	b->error = b->compile ? error_of(b->compile) : NULL;
	buf_puts(&b->diff, text);
	return NULL;
}

void safety_bug_free(struct safety_bug *b)
{
	char **const strings[] = { &b->number,	&b->slug,  &b->room,	&b->path,
				   &b->bug,	&b->class, &b->trigger, &b->expect,
				   &b->compile, &b->error, &b->program, &b->module };

	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		free(*strings[i]);
	buf_free(&b->diff);
	*b = (struct safety_bug){};
}

/* The program that only this bug needs, for both languages the same. */
static char *find_program(const struct safety_bug *b, const char *dir)
{
	char *path = xasprintf("%s/%s-%s" PROGRAM, dir, b->number, b->slug);

	if (file_exists(path))
		return path;
	free(path);
	return NULL;
}

static enum lab_exit read_patch(const char *room, const char *dir, const char *name,
				struct safety_bugs *bugs)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name), *problem = NULL;
	struct safety_bug b = {};
	struct buf text = {};
	int err;

	if (!safety_name_read(name, &b))
		return lab_fail(LAB_USAGE, FORMAT,
				"%s: it is called NN-slug.c.patch or NN-slug.rs.patch", path);
	b.room = xstrdup(room);
	b.path = xstrdup(path);
	b.program = find_program(&b, dir);
	err = file_read(path, &text);
	problem = err ? xstrdup(strerror(-err)) : safety_text_read(text.s ?: "", &b);
	buf_free(&text);
	if (problem) {
		safety_bug_free(&b);
		return lab_fail(LAB_USAGE, FORMAT, "%s: %s", path, problem);
	}
	bugs->v = xrealloc(bugs->v, bugs->n + 1, sizeof(*bugs->v));
	bugs->v[bugs->n++] = b;
	return LAB_OK;
}

static enum lab_exit read_room(const char *room, struct safety_bugs *bugs)
{
	_cleanup_free_ char *dir = xasprintf("%s/bugs", room);
	enum lab_exit ret = LAB_OK;
	struct dirent *e;
	DIR *d = opendir(dir);

	while (d && !ret && (e = readdir(d)))
		if (str_ends(e->d_name, ".patch"))
			ret = read_patch(room, dir, e->d_name, bugs);
	if (d)
		closedir(d);
	return ret;
}

/* 2 before 10, the numbered before c1 and g1; C before Rust. */
static int by_number(const void *a, const void *b)
{
	const struct safety_bug *x = a, *y = b;
	bool dx = isdigit((unsigned char)*x->number), dy = isdigit((unsigned char)*y->number);
	int r = dx == dy ? 0 : dx ? -1 : 1;

	r = r || !dx ? r : atoi(x->number) - atoi(y->number);
	r = r ? r : strcmp(x->number, y->number);
	r = r ? r : strcmp(x->slug, y->slug);
	r = r ? r : strcmp(x->room, y->room);
	return r ? r : (int)x->language - (int)y->language;
}

enum lab_exit safety_bugs_read(const struct strv *rooms, struct safety_bugs *bugs)
{
	struct strv names = {};
	enum lab_exit ret = LAB_OK;

	*bugs = (struct safety_bugs){};
	for (size_t i = 0; i < rooms->n; i++)
		strv_add(&names, rooms->v[i]);
	if (!names.n)
		ret = driver_names(&names);
	for (size_t i = 0; i < names.n && !ret; i++) {
		struct driver d = {};

		ret = driver_open(names.v[i], &d);
		if (!ret)
			ret = read_room(d.dir, bugs);
		driver_free(&d);
	}
	strv_free(&names);
	if (!ret && !bugs->n)
		ret = lab_fail(LAB_USAGE, FORMAT,
			       "there is no seeded bug: no patch in the directory bugs of %s",
			       rooms->n ? rooms->v[0] : "any room");
	if (bugs->n)
		qsort(bugs->v, bugs->n, sizeof(*bugs->v), by_number);
	return ret;
}

void safety_bugs_free(struct safety_bugs *bugs)
{
	for (size_t i = 0; i < bugs->n; i++)
		safety_bug_free(&bugs->v[i]);
	free(bugs->v);
	*bugs = (struct safety_bugs){};
}

/* patch(1) reads a file, and leaves none of its own. */
static enum lab_exit apply(const struct safety_bug *bug, const char *dir)
{
	char *argv[] = {
		"patch", "-p1", "--batch", "--forward",	      "--fuzz=0", "--no-backup-if-mismatch",
		"-r",	 "-",	"-i",	   (char *)bug->path, NULL
	};
	struct proc p = { .argv = argv, .dir = dir, .timeout_s = 60 };
	enum lab_exit ret = proc_run(&p);

	if (!ret && p.status) {
		char *said = str_trim(p.out.s ?: "");

		ret = lab_fail(LAB_FAILED, "make it anew against the room's source",
			       "%s does not apply to %s any more:\n%s", bug->path, bug->room, said);
	}
	proc_free(&p);
	return ret;
}

/* As a test of the room, so that it is built and run as those are. */
static int add_program(const struct safety_bug *b, const char *dir)
{
	_cleanup_free_ char *to = xasprintf("%s/test_trigger_%s.c", dir, b->number);

	return b->program ? file_copy(b->program, to) : 0;
}

enum lab_exit safety_room(const struct safety_bug *bug, const char *room,
			  const struct safety_bugs *bugs, const char *to)
{
	int err = make_dirs(to, 0755);

	if (!err)
		err = copy_tree(room, to, driver_skip_name);
	if (!err && bug)
		err = add_program(bug, to);
	for (size_t i = 0; !bug && bugs && i < bugs->n && !err; i++)
		if (!strcmp(bugs->v[i].room, room))
			err = add_program(&bugs->v[i], to);
	if (err)
		return lab_fail(LAB_CANNOT, NULL, "cannot copy %s to %s: %s", room, to,
				strerror(-err));
	return bug ? apply(bug, to) : LAB_OK;
}
