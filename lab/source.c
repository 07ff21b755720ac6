// SPDX-License-Identifier: GPL-2.0
#include "source.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* --- lines --- */

/* struct scan - a text while its comments and literals are taken out */
struct scan {
	const char *s;
	bool rust;
	struct buf code; /* the text with blanks in their place, line by line the same */
	struct source_lines *lines;
};

static void skip_to(struct scan *sc, const char *end)
{
	for (; sc->s < end; sc->s++)
		buf_puts(&sc->code, *sc->s == '\n' ? "\n" : " ");
}

static void skip_comment(struct scan *sc)
{
	const char *end = sc->s + 2;
	int depth = 1;

	if (sc->s[1] == '/') {
		end += strcspn(end, "\n");
	} else {
		for (; *end && depth; end++) {
			if (end[0] == '*' && end[1] == '/') {
				depth--;
				end++;
			} else if (sc->rust && end[0] == '/' && end[1] == '*') {
				depth++;
				end++;
			}
		}
	}
	sc->lines->safety += memmem(sc->s, end - sc->s, "SAFETY:", 7) != NULL;
	skip_to(sc, end);
}

/* A literal becomes quotes: its line is one of code, but what is in it is none. */
static void skip_quoted(struct scan *sc, char quote)
{
	const char *end = sc->s + 1;

	while (*end && *end != quote)
		end += *end == '\\' && end[1] ? 2 : 1;
	end += *end == quote;
	for (; sc->s < end; sc->s++)
		buf_puts(&sc->code, *sc->s == '\n' ? "\"\n" : "\"");
}

/* r"..", r#".."#; false: it is none. */
static bool skip_raw(struct scan *sc)
{
	size_t hashes = strspn(sc->s + 1, "#");
	const char *end = sc->s + 1 + hashes;

	if (*end != '"')
		return false;
	for (end++; *end; end++)
		if (*end == '"' && strspn(end + 1, "#") >= hashes)
			break;
	end += *end ? 1 + hashes : 0;
	for (; sc->s < end; sc->s++)
		buf_puts(&sc->code, *sc->s == '\n' ? "\"\n" : "\"");
	return true;
}

/* 'a' and '\n' are literals, 'a is a lifetime. */
static bool is_character(const char *s)
{
	const char *end;

	if (s[1] == '\\')
		return true;
	/* one character, of up to four bytes */
	end = s[1] ? s + 2 : s + 1;
	while ((*end & 0xc0) == 0x80)
		end++;
	return *end == '\'';
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static void strip(struct scan *sc)
{
	while (*sc->s) {
		bool begins = !sc->code.n || !is_word(sc->code.s[sc->code.n - 1]);

		if (sc->s[0] == '/' && (sc->s[1] == '/' || sc->s[1] == '*'))
			skip_comment(sc);
		else if (*sc->s == '"' || (*sc->s == '\'' && (!sc->rust || is_character(sc->s))))
			skip_quoted(sc, *sc->s);
		else if (sc->rust && *sc->s == 'r' && begins && skip_raw(sc))
			continue;
		else
			buf_add(&sc->code, sc->s++, 1);
	}
}

/* Where what begins with the word unsafe at @s ends: its closing brace, or before what parts it from the next. */
static const char *unsafe_end(const char *s)
{
	int braces = 0, others = 0;

	for (; *s; s++) {
		if (*s == '{') {
			braces++;
		} else if (*s == '}') {
			if (--braces <= 0)
				return s + 1;
		} else if (!braces && strchr("([", *s)) {
			others++;
		} else if (!braces && strchr(")]", *s)) {
			if (--others < 0)
				return s;
		} else if (!braces && !others && strchr(";,=", *s)) {
			return s;
		}
	}
	return s;
}

/* Marks each line between @s and @end that has code. */
static void mark_lines(const char *text, const char *s, const char *end, bool *marks)
{
	size_t line = 0;

	for (const char *c = text; c < end; c++) {
		if (c >= s && !isspace((unsigned char)*c))
			marks[line] = true;
		line += *c == '\n';
	}
}

static void count_unsafe(const char *text, size_t n_lines, struct source_lines *lines)
{
	bool *marks = xcalloc(n_lines + 2, sizeof(*marks));
	const char *word = "unsafe";
	size_t n = strlen(word);

	for (const char *s = strstr(text, word); s; s = strstr(s + n, word)) {
		if ((s > text && is_word(s[-1])) || is_word(s[n]) || s[n] == '(')
			continue; /* a longer word, or the attribute unsafe(no_mangle) */
		lines->unsafe_blocks++;
		mark_lines(text, s, unsafe_end(s + n), marks);
	}
	for (size_t i = 0; i < n_lines + 2; i++)
		lines->unsafe += marks[i];
	free(marks);
}

void source_count(const char *text, bool rust, struct source_lines *lines)
{
	struct scan sc = { .s = text, .rust = rust, .lines = lines };
	size_t n = 0;

	*lines = (struct source_lines){};
	strip(&sc);
	buf_puts(&sc.code, "");
	for (const char *s = sc.code.s; *s; n++) {
		size_t len = strcspn(s, "\n");

		lines->code += strspn(s, " \t\r\f\v") < len;
		s += len + (s[len] == '\n');
	}
	if (rust)
		count_unsafe(sc.code.s, n, lines);
	buf_free(&sc.code);
}

/* --- Kbuild --- */

/* "a-b.o" is of module a_b; a new string */
static char *module_of(const char *object)
{
	char *name = xstrndup(object, strlen(object) - strlen(".o"));

	for (char *c = name; *c; c++)
		*c = *c == '-' ? '_' : *c;
	return name;
}

/*
 * Words that are assigned to variables whose names begin with "@name-": obj-m, obj-$(RUST), foo-y, foo-objs. Both
 * ways of writing a module's name are the same.
 */
static void assigned(const char *kbuild, const char *name, struct strv *words)
{
	_cleanup_free_ char *text = str_replace(kbuild, "\\\n", " ");
	size_t len = strlen(name);
	struct strv lines = {};

	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		char *line = str_trim(lines.v[i]), *is = strchr(line, '=');
		size_t k = 0;

		line[strcspn(line, "#")] = '\0';
		while (k < len && (line[k] == name[k] || (line[k] == '-' && name[k] == '_')))
			k++;
		if (k == len && line[k] == '-' && is && is > line + k)
			strv_split(words, is + 1, " \t");
	}
	strv_free(&lines);
}

void source_modules(const char *kbuild, struct strv *modules)
{
	struct strv words = {};

	assigned(kbuild, "obj", &words);
	for (size_t i = 0; i < words.n; i++)
		if (str_ends(words.v[i], ".o")) {
			_cleanup_free_ char *name = module_of(words.v[i]);

			if (!strv_has(modules, name))
				strv_add(modules, name);
		}
	strv_free(&words);
}

/* --- the sources of a module --- */

static void add_file(const struct driver *d, const char *name, struct source *s);

/* What a source takes in of its own room: #include "x.c" and the like; mod x; and include!("x.rs"). */
static void add_parts(const struct driver *d, const char *text, bool rust, struct source *s)
{
	struct strv lines = {};

	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		const char *line = str_trim(lines.v[i]), *quote = strchr(line, '"');
		_cleanup_free_ char *name = NULL;

		if (rust && str_starts(line, "mod ") && str_ends(line, ";"))
			name = xasprintf("%.*s.rs", (int)strcspn(line + 4, " ;"), line + 4);
		else if (quote && (rust ? str_starts(line, "include!(") :
					  *line == '#' && strstr(line, "include")))
			name = xstrndup(quote + 1, strcspn(quote + 1, "\""));
		if (name && *name && !strstr(name, "..") && !strv_has(&d->headers, name))
			add_file(d, name, s);
	}
	strv_free(&lines);
}

static void add_file(const struct driver *d, const char *name, struct source *s)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", d->dir, name);
	bool rust = str_ends(name, ".rs");
	struct source_lines lines;
	struct buf text = {};

	if (strv_has(&s->files, name))
		return;
	if (!file_read(path, &text) && text.s) {
		strv_add(&s->files, name);
		source_count(text.s, rust, &lines);
		s->rust |= rust;
		if (!rust)
			s->stub += lines.code;
		s->lines.code += lines.code;
		s->lines.unsafe += lines.unsafe;
		s->lines.unsafe_blocks += lines.unsafe_blocks;
		s->lines.safety += lines.safety;
		add_parts(d, text.s, rust, s);
	}
	buf_free(&text);
}

static bool add_object(const struct driver *d, const char *object, struct source *s)
{
	static const char *const kinds[] = { "rs", "c", "S" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_free_ char *name =
			xasprintf("%.*s.%s", (int)strlen(object) - 2, object, kinds[i]);
		_cleanup_free_ char *path = xasprintf("%s/%s", d->dir, name);

		if (file_exists(path)) {
			add_file(d, name, s);
			return true;
		}
	}
	return false;
}

static bool read_kbuild(const struct driver *d, struct buf *text)
{
	_cleanup_free_ char *kbuild = xasprintf("%s/Kbuild", d->dir);
	_cleanup_free_ char *makefile = xasprintf("%s/Makefile", d->dir);

	return !file_read(file_exists(kbuild) ? kbuild : makefile, text) && text->s;
}

bool source_read(const struct driver *d, const char *module, struct source *s)
{
	struct strv objects = {}, words = {}, parts = {};
	struct buf text = {};
	bool found = false;

	*s = (struct source){};
	if (read_kbuild(d, &text)) {
		assigned(text.s, "obj", &words);
		assigned(text.s, module, &parts);
	}
	for (size_t i = 0; i < words.n; i++) {
		_cleanup_free_ char *name = NULL;

		if (!str_ends(words.v[i], ".o"))
			continue;
		name = module_of(words.v[i]);
		if (strcmp(name, module))
			continue;
		found = true;
		strv_add(&objects, words.v[i]);
	}
	for (size_t i = 0; i < parts.n && found; i++)
		if (str_ends(parts.v[i], ".o") && !strv_has(&objects, parts.v[i]))
			strv_add(&objects, parts.v[i]);
	for (size_t i = 0; i < objects.n; i++)
		add_object(d, objects.v[i], s);
	/* a Kbuild may put its names together in ways that only make knows: the source tells as well */
	if (!found) {
		_cleanup_free_ char *object = xasprintf("%s.o", module);

		found = add_object(d, object, s);
	}
	if (!s->rust)
		s->stub = 0;
	strv_free(&objects);
	strv_free(&words);
	strv_free(&parts);
	buf_free(&text);
	return found;
}

void source_free(struct source *s)
{
	strv_free(&s->files);
	*s = (struct source){};
}
