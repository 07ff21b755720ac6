// SPDX-License-Identifier: GPL-2.0
/*
 * The blocks of a long run, in a file as they come, from which it goes on where it was interrupted. A text, in the cache:
 *
 *	cdevlab-wall 1 KEY	; of what is measured, and how
 *	seed N
 *	A {"op": ...}		; what a benchmark said, after the variant
 *	block SECONDS BOOTS	; of the run until here; all above it counts
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare.h"
#include "target.h"

#define HEADING "cdevlab-wall 1 "

/* What was measured with another module, machine or plan is no part of this one; another count is. */
static char *key_of(const struct wall *w, const struct object_facts o[2])
{
	const struct target *t = target_current();
	_cleanup_free_ char *numbers = xasprintf("%d %d %d", w->ms, w->tasks, w->rate);
	struct hash *h = hash_new();
	char hex[HASH_HEX];

	hash_puts(h, numbers);
	hash_puts(h, t ? t->host.name ?: "local" : "qemu");
	for (int side = 0; side < 2; side++) {
		hash_puts(h, o[side].kernel->id);
		hash_puts(h, o[side].module->name);
		/* its name is made of all that went into it */
		hash_puts(h, path_base(o[side].built->dir));
	}
	for (size_t i = 0; i < w->only.n; i++)
		hash_puts(h, w->only.v[i]);
	hash_end(h, hex);
	return xstrndup(hex, 16);
}

static enum lab_exit cannot_write(const struct wall *w)
{
	return lab_fail(LAB_CANNOT, "make room, or name another place with CDEVLAB_CACHE",
			"cannot write %s: %s", w->save_path, strerror(errno));
}

/* Up to the last whole block: a line that is none, or none of a block that ended, is as if it had not come. */
static size_t whole_blocks(const char *text)
{
	const char *at = text, *end = text, *nl;

	for (; (nl = strchr(at, '\n')); at = nl + 1)
		if (str_starts(at, "block "))
			end = nl + 1;
	return end - text;
}

static bool replay_line(struct wall *w, const char *line)
{
	double seconds;
	size_t boots;

	if (sscanf(line, "block %lf %zu", &seconds, &boots) == 2) {
		wall_block_end(w);
		w->seconds = seconds;
		w->boots = boots;
		return true;
	}
	for (int v = 0; v < BLOCKS_VARIANTS; v++) {
		size_t n = strlen(wall_variants[v]);
		char *problem;

		if (!str_starts(line, wall_variants[v]) || line[n] != ' ')
			continue;
		/* when it came is told by a clock that may have begun anew since */
		problem = wall_parse(w, v, line + n + 1, NAN);
		free(problem);
		return !problem;
	}
	return false;
}

/* Return: the length of what counts; 0: nothing is there, or of another run. */
static size_t replay(struct wall *w, const char *key)
{
	struct strv lines = {};
	struct buf text = {};
	unsigned long long seed;
	size_t n = 0;
	_cleanup_free_ char *heading = xasprintf(HEADING "%s", key);

	if (!file_read(w->save_path, &text) && text.s)
		n = whole_blocks(text.s);
	if (n) {
		text.s[n] = '\0';
		strv_split(&lines, text.s, "\n");
	}
	if (lines.n < 3 || strcmp(lines.v[0], heading) ||
	    sscanf(lines.v[1], "seed %llu", &seed) != 1)
		n = 0;
	else
		w->seed = seed;
	for (size_t i = 2; i < lines.n && n; i++)
		if (!replay_line(w, lines.v[i]))
			n = 0;
	strv_free(&lines);
	buf_free(&text);
	return n;
}

enum lab_exit wall_save_begin(struct wall *w, const struct object_facts o[2])
{
	_cleanup_free_ char *key = key_of(w, o), *dir = NULL;
	size_t n = 0;

	if (!lab_cache_dir())
		return LAB_CANNOT;
	dir = xasprintf("%s/wall", lab_cache_dir());
	w->save_path = xasprintf("%s/%s", dir, key);
	if (make_dirs(dir, 0755))
		return cannot_write(w);
	if (w->resume) {
		n = replay(w, key);
		if (n)
			lab_progress("wall", "goes on after %zu blocks", w->blocks);
		else
			lab_progress("wall", "begins: of this run nothing is kept here");
	}
	w->save = fopen(w->save_path, n ? "r+e" : "we");
	if (!w->save || ftruncate(fileno(w->save), n) || fseek(w->save, n, SEEK_SET))
		return cannot_write(w);
	if (!n)
		fprintf(w->save, HEADING "%s\nseed %llu\n", key, w->seed);
	return LAB_OK;
}

void wall_save_line(struct wall *w, enum blocks_variant v, const char *line)
{
	if (w->save)
		fprintf(w->save, "%s %.*s\n", wall_variants[v], (int)strcspn(line, "\n"), line);
}

enum lab_exit wall_save_block(struct wall *w)
{
	if (!w->save)
		return LAB_OK;
	fprintf(w->save, "block %.3f %zu\n", w->seconds, w->boots);
	return fflush(w->save) || ferror(w->save) ? cannot_write(w) : LAB_OK;
}

void wall_save_end(struct wall *w, bool whole)
{
	if (!w->save)
		return;
	fclose(w->save);
	w->save = NULL;
	if (!whole && w->blocks)
		lab_warn("%zu blocks are kept: the same command with --resume goes on from there",
			 w->blocks);
}
