// SPDX-License-Identifier: GPL-2.0
/*
 * Test results as a tree: read from KTAP as real programs print it, written as KTAP, JUnit XML,
 * JSON. The format: https://docs.kernel.org/dev-tools/ktap.html
 */
#include "ktap.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const result_names[] = {
	[KTAP_PASS] = "pass",	    [KTAP_SKIP] = "skip",	[KTAP_FAIL] = "fail",
	[KTAP_TIMEOUT] = "timeout", [KTAP_CRASHED] = "crashed",
};

/**
 * ktap_result_name() - the name of a result for people and records
 * @r:	a result
 * Return: a word, "pass".
 */
const char *ktap_result_name(enum ktap_result r)
{
	return result_names[r];
}

/**
 * ktap_new() - a new test, passed until told otherwise
 * @parent:	the suite it is added to, or NULL
 * @name:	its name
 * Return: the test; its parent owns it.
 */
struct ktap *ktap_new(struct ktap *parent, const char *name)
{
	struct ktap *t = xcalloc(1, sizeof(*t));

	t->name = xstrdup(name);
	t->parent = parent;
	if (parent) {
		parent->children =
			xrealloc(parent->children, parent->n + 1, sizeof(*parent->children));
		parent->children[parent->n++] = t;
	}
	return t;
}

/**
 * ktap_free() - frees a test and all below it
 * @t:	a test without parent, or NULL
 */
void ktap_free(struct ktap *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		ktap_free(t->children[i]);
	free(t->children);
	free(t->name);
	free(t->reason);
	strv_free(&t->notes);
	free(t);
}

/**
 * ktap_set() - sets a test's result
 * @t:		the test
 * @r:		its result
 * @fmt:	the reason, or NULL for none
 */
void ktap_set(struct ktap *t, enum ktap_result r, const char *fmt, ...)
{
	char *reason = NULL;
	va_list ap;

	if (fmt) {
		va_start(ap, fmt);
		reason = xvasprintf(fmt, ap);
		va_end(ap);
	}
	t->result = r;
	free(t->reason);
	t->reason = reason;
}

static void add_note_lines(struct strv *notes, const char *text)
{
	for (;;) {
		size_t n = strcspn(text, "\n");

		strv_take(notes, xstrndup(text, n));
		if (!text[n] || !text[n + 1])
			return;
		text += n + 1;
	}
}

/**
 * ktap_note() - adds diagnostic lines
 * @t:		the test
 * @fmt:	the text; each of its lines becomes a note
 */
void ktap_note(struct ktap *t, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	add_note_lines(&t->notes, text);
}

/* Marks cannot hold blanks, names can: both are the same here. */
static bool same_char(char a, char b)
{
	return (a == ' ' ? '_' : a) == (b == ' ' ? '_' : b);
}

/* True when the first n bytes of s are the name. */
static bool same_name(const char *name, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!name[i] || !same_char(name[i], s[i]))
			return false;
	return !name[n];
}

void ktap_move(struct ktap *to, struct ktap *from)
{
	to->children = xrealloc(to->children, to->n + from->n, sizeof(*to->children));
	for (size_t i = 0; i < from->n; i++) {
		from->children[i]->parent = to;
		to->children[to->n++] = from->children[i];
	}
	from->n = 0;
}

/**
 * ktap_child() - finds a child by name
 * @t:		a suite
 * @name:	the name; blanks and underscores are the same
 * Return: the first such child, or NULL.
 */
struct ktap *ktap_child(const struct ktap *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (same_name(t->children[i]->name, name, strlen(name)))
			return t->children[i];
	return NULL;
}

/**
 * ktap_find() - finds a test by the path of a mark in the kernel log
 * @t:		the suite the path starts below
 * @path:	"job/case"; names may hold slashes themselves
 * Return: the test, or NULL.
 */
struct ktap *ktap_find(struct ktap *t, const char *path)
{
	size_t all = strlen(path);

	for (size_t i = 0; i < t->n; i++) {
		struct ktap *child = t->children[i], *found;
		size_t n = strlen(child->name);

		if (n > all || !same_name(child->name, path, n))
			continue;
		if (n == all)
			return child;
		if (n && path[n] == '/') {
			found = ktap_find(child, path + n + 1);
			if (found)
				return found;
		}
	}
	return NULL;
}

/*
 * Own failures of a suite (a wrong plan, a crash of the program) stand beside those of its
 * children.
 */
static bool is_bad(enum ktap_result r)
{
	return r >= KTAP_FAIL;
}

/**
 * ktap_settle() - results of all suites from their children
 * @t:	the top
 *
 * The worst counts; a suite of nothing but skipped tests is skipped. What was said of the suite
 * itself stays when it is worse.
 */
void ktap_settle(struct ktap *t)
{
	enum ktap_result worst = KTAP_PASS;
	size_t skipped = 0;

	if (!t->n)
		return;
	for (size_t i = 0; i < t->n; i++) {
		enum ktap_result r;

		ktap_settle(t->children[i]);
		r = t->children[i]->result;
		skipped += r == KTAP_SKIP;
		if (is_bad(r) && r > worst)
			worst = r;
	}
	if (is_bad(t->result) && t->result > worst)
		return;
	t->result = skipped == t->n ? KTAP_SKIP : worst;
}

/* True when a suite failed by itself: no child explains its result. */
static bool failed_alone(const struct ktap *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (is_bad(t->children[i]->result))
			return false;
	return t->n && is_bad(t->result);
}

static void count(const struct ktap *t, struct ktap_counts *c)
{
	size_t *const counters[] = {
		[KTAP_PASS] = &c->passed,     [KTAP_SKIP] = &c->skipped,
		[KTAP_FAIL] = &c->failed,     [KTAP_TIMEOUT] = &c->timeout,
		[KTAP_CRASHED] = &c->crashed,
	};

	for (size_t i = 0; i < t->n; i++)
		count(t->children[i], c);
	if (!t->n || failed_alone(t))
		++*counters[t->result];
}

/**
 * ktap_count() - counts results
 * @t:	the top
 * Return: the leaves by result; a suite that failed though none of its children did counts as well.
 */
struct ktap_counts ktap_count(const struct ktap *t)
{
	struct ktap_counts c = {};

	count(t, &c);
	return c;
}

/* struct level - a suite that is being read */
struct level {
	struct ktap *suite;
	size_t indent;
	size_t before; /* children it had already */
	long plan;     /* -1: none yet */
	bool named;
	struct strv pending; /* diagnostics of the next result */
};

struct reader {
	struct level *levels;
	size_t n;
	bool ended; /* "Bail out!" */
};

static struct level *top(struct reader *r)
{
	return &r->levels[r->n - 1];
}

static void push(struct reader *r, struct ktap *suite, size_t indent)
{
	r->levels = xrealloc(r->levels, r->n + 1, sizeof(*r->levels));
	r->levels[r->n++] =
		(struct level){ .suite = suite, .indent = indent, .before = suite->n, .plan = -1 };
}

/* A failure of the suite itself; the first reason is the one that is shown. */
static void suite_fails(struct ktap *t, char *why)
{
	if (is_bad(t->result) && t->reason)
		ktap_note(t, "%s", why);
	else
		ktap_set(t, is_bad(t->result) ? t->result : KTAP_FAIL, "%s", why);
	free(why);
}

static void move_notes(struct strv *from, struct ktap *to)
{
	for (size_t i = 0; i < from->n; i++)
		strv_take(&to->notes, from->v[i]);
	free(from->v);
	*from = (struct strv){};
}

/* Ends the innermost level: what it owed is a failure of its suite. */
static struct ktap *pop(struct reader *r)
{
	struct level *l = top(r);
	struct ktap *suite = l->suite;
	size_t seen = suite->n - l->before;

	move_notes(&l->pending, suite);
	if (l->plan < 0)
		suite_fails(suite, xstrdup("no plan: it does not say how many tests there are"));
	else if (seen < (size_t)l->plan)
		suite_fails(suite, xasprintf("ended early: %ld tests planned, %zu results", l->plan,
					     seen));
	else if (seen > (size_t)l->plan)
		suite_fails(suite,
			    xasprintf("wrong plan: %ld tests planned, %zu results", l->plan, seen));
	r->n--;
	return suite;
}

/*
 * Makes the level of @indent the innermost one: deeper ones end, for a deeper line one begins.
 * Lines of a suite whose own result line never came still belong to the suite.
 */
static void enter(struct reader *r, size_t indent)
{
	while (r->n > 1 && top(r)->indent > indent)
		suite_fails(pop(r), xstrdup("ended without a result of its own"));
	if (indent > top(r)->indent) {
		struct level *outer = top(r);
		struct strv pending = outer->pending;

		/* what was said before the first line of a suite is about the suite */
		outer->pending = (struct strv){};
		push(r, ktap_new(outer->suite, ""), indent);
		move_notes(&pending, top(r)->suite);
	}
}

static bool is_version(const char *s)
{
	return str_starts(s, "KTAP version ") || str_starts(s, "TAP version ");
}

static bool is_plan(const char *s, long *plan)
{
	char *end;

	if (strncmp(s, "1..", 3) || !isdigit((unsigned char)s[3]))
		return false;
	*plan = strtol(s + 3, &end, 10);
	return !end[strspn(end, " ")] || end[strspn(end, " ")] == '#';
}

/* "ok 1 name", "not ok 2 - name # SKIP why": returns what follows the number, or NULL. */
static const char *is_result(const char *s, bool *ok, bool *numbered)
{
	*ok = str_starts(s, "ok");
	if (*ok)
		s += 2;
	else if (str_starts(s, "not ok"))
		s += 6;
	else
		return NULL;
	if (*s && *s != ' ')
		return NULL;
	s += strspn(s, " ");
	*numbered = isdigit((unsigned char)*s) != 0;
	s += strspn(s, "0123456789");
	s += strspn(s, " ");
	if (str_starts(s, "- "))
		s += 2;
	return s;
}

/* Splits "name # DIRECTIVE why" at the first '#' that stands behind a blank and is not escaped. */
static char *split_name(const char *s, const char **rest)
{
	struct buf name = {};

	buf_puts(&name, "");
	*rest = NULL;
	for (; *s; s++) {
		if (*s == '\\' && (s[1] == '#' || s[1] == '\\')) {
			buf_add(&name, ++s, 1);
			continue;
		}
		if (*s == '#' && (!name.n || name.s[name.n - 1] == ' ')) {
			*rest = s + 1;
			break;
		}
		buf_add(&name, s, 1);
	}
	while (name.n && name.s[name.n - 1] == ' ')
		name.s[--name.n] = '\0';
	return name.s;
}

static bool directive(const char **s, const char *word)
{
	size_t n = strlen(word);

	if (strncasecmp(*s, word, n) || isalnum((unsigned char)(*s)[n]))
		return false;
	*s += n;
	*s += strspn(*s, " :");
	return true;
}

static void apply_result(struct ktap *t, bool ok, const char *rest)
{
	enum ktap_result r = ok ? KTAP_PASS : KTAP_FAIL;
	_cleanup_free_ char *why = NULL;
	const char *prefix = "";

	if (rest) {
		rest += strspn(rest, " ");
		if (directive(&rest, "SKIP") || directive(&rest, "SKIPPED")) {
			r = KTAP_SKIP;
		} else if (directive(&rest, "TODO") || directive(&rest, "XFAIL")) {
			/* a failure that is known is no failure; one that is gone is a pass */
			prefix = "expected to fail: ";
			r = ok ? KTAP_PASS : KTAP_SKIP;
		} else if (directive(&rest, "TIMEOUT")) {
			r = KTAP_TIMEOUT;
		} else if (directive(&rest, "CRASHED")) {
			r = KTAP_CRASHED;
		} else if (directive(&rest, "ERROR")) {
			r = KTAP_FAIL;
		}
		if (*rest || *prefix)
			why = xasprintf("%s%s", prefix, rest);
	}
	/* a suite that failed on its own account (its plan) keeps that reason beside this one */
	if (is_bad(t->result) && t->reason) {
		if (why)
			ktap_note(t, "%s", why);
		if (r > t->result)
			t->result = r;
		return;
	}
	ktap_set(t, r, why ? "%s" : NULL, why);
}

static void read_result(struct reader *r, size_t indent, bool ok, const char *s)
{
	_cleanup_free_ char *name = NULL;
	struct ktap *t = NULL;
	const char *rest;
	bool named = false;

	while (r->n > 1 && top(r)->indent > indent) {
		if (t)
			suite_fails(t, xstrdup("ended without a result of its own"));
		named = top(r)->named;
		t = pop(r);
	}
	enter(r, indent);
	name = split_name(s, &rest);
	if (!*name) {
		free(name);
		name = xasprintf("%zu", top(r)->suite->n - top(r)->before + !t);
	}
	if (!t) {
		t = ktap_new(top(r)->suite, name);
	} else if (!named) {
		free(t->name);
		t->name = xstrdup(name);
	} else if (!same_name(t->name, name, strlen(name))) {
		ktap_note(t, "its result line calls it \"%s\"", name);
	}
	move_notes(&top(r)->pending, t);
	apply_result(t, ok, rest);
}

static void read_line(struct reader *r, const char *line)
{
	size_t indent = strspn(line, " ");
	const char *s = line + indent, *rest;
	bool ok, numbered;
	long plan;

	if (!*s)
		return;
	if (is_version(s)) {
		/* a second program in the same stream is not a deeper level */
		enter(r, indent);
	} else if (is_plan(s, &plan)) {
		enter(r, indent);
		top(r)->plan = top(r)->plan < 0 ? plan : top(r)->plan + plan;
		rest = strchr(s, '#');
		if (!plan && rest)
			apply_result(top(r)->suite, true, rest + 1);
	} else if ((rest = is_result(s, &ok, &numbered)) && (numbered || top(r)->plan >= 0)) {
		read_result(r, indent, ok, rest);
	} else if (str_starts(s, "# Subtest: ") && (indent > top(r)->indent || r->n > 1)) {
		enter(r, indent);
		if (r->n > 1) {
			free(top(r)->suite->name);
			top(r)->suite->name = xstrdup(s + strlen("# Subtest: "));
			top(r)->named = true;
		}
	} else if (str_starts(s, "Bail out!")) {
		s += strlen("Bail out!");
		s += strspn(s, " ");
		suite_fails(top(r)->suite, xasprintf("bailed out: %s", *s ? s : "no reason given"));
		r->ended = true;
	} else if (s[0] == '#' && (s[1] == ' ' || !s[1])) {
		strv_add(&top(r)->pending, s[1] ? s + 2 : "");
	} else {
		strv_add(&top(r)->pending, line);
	}
}

/* Length of a prefix like "[   12.345678] " before KTAP that went through a kernel log. */
static size_t stamp_length(const char *s)
{
	const char *p = s;

	if (*p++ != '[')
		return 0;
	p += strspn(p, " 0123456789.");
	if (*p++ != ']' || p - s < 5)
		return 0;
	return p - s + (*p == ' ');
}

static bool has_ktap(const struct strv *lines, bool *stamped)
{
	bool found = false, ok, numbered;
	long plan;

	*stamped = false;
	for (size_t i = 0; i < lines->n; i++) {
		const char *s = lines->v[i];

		if (stamp_length(s) && is_version(s + stamp_length(s))) {
			*stamped = true;
			return true;
		}
		s += strspn(s, " ");
		if (is_version(s) || is_plan(s, &plan) ||
		    (is_result(s, &ok, &numbered) && numbered))
			found = true;
	}
	return found;
}

/**
 * ktap_parse() - reads a program's standard output into a suite
 * @t:		the suite; what is read is added to what it has
 * @text:	the output
 *
 * Lines that are not KTAP become notes of the next result, so that a message stands where its cause
 * is. What is missing (a plan, results, the end of a nested suite) is a failure of the suite that
 * says so.
 *
 * Return: false if there is no KTAP at all; @t is unchanged then.
 */
bool ktap_parse(struct ktap *t, const char *text)
{
	struct reader r = {};
	struct strv lines = {};
	bool stamped;

	while (*text) {
		size_t n = strcspn(text, "\n"), keep = n;

		while (keep && (text[keep - 1] == '\r' || text[keep - 1] == ' '))
			keep--;
		strv_take(&lines, xstrndup(text, keep));
		text += n + (text[n] == '\n');
	}
	if (!has_ktap(&lines, &stamped)) {
		strv_free(&lines);
		return false;
	}
	push(&r, t, 0);
	for (size_t i = 0; i < lines.n && !r.ended; i++)
		read_line(&r, lines.v[i] + (stamped ? stamp_length(lines.v[i]) : 0));
	while (r.n > 1)
		suite_fails(pop(&r), xstrdup("ended without a result of its own"));
	pop(&r);
	free(r.levels);
	strv_free(&lines);
	ktap_settle(t);
	return true;
}

/* One line of text: names escape what would start a directive. */
static void put_text(FILE *out, const char *s, bool escape)
{
	for (; *s; s++) {
		if (escape && (*s == '#' || *s == '\\'))
			putc('\\', out);
		putc((unsigned char)*s < ' ' || *s == 0x7f ? ' ' : *s, out);
	}
}

static void put_notes(FILE *out, const struct ktap *t, int indent)
{
	for (size_t i = 0; i < t->notes.n; i++) {
		/* a note that reads like a header of KTAP must not become one */
		fprintf(out, "%*s# %s", indent, "",
			str_starts(t->notes.v[i], "Subtest: ") ? " " : "");
		put_text(out, t->notes.v[i], false);
		putc('\n', out);
	}
}

static void put_test(FILE *out, const struct ktap *t, size_t number, int indent)
{
	static const char *const directives[] = {
		[KTAP_PASS] = "",	    [KTAP_SKIP] = "SKIP",	[KTAP_FAIL] = "",
		[KTAP_TIMEOUT] = "TIMEOUT", [KTAP_CRASHED] = "CRASHED",
	};
	/* that a child ran out of time or crashed is said once, at the child */
	bool own = !t->n || t->result == KTAP_SKIP || failed_alone(t);
	const char *word = own ? directives[t->result] : "";

	if (t->n) {
		fprintf(out, "%*sKTAP version 1\n%*s# Subtest: ", indent + 2, "", indent + 2, "");
		put_text(out, t->name, false);
		fprintf(out, "\n%*s1..%zu\n", indent + 2, "", t->n);
		for (size_t i = 0; i < t->n; i++)
			put_test(out, t->children[i], i + 1, indent + 2);
	}
	put_notes(out, t, indent);
	fprintf(out, "%*s%s %zu ", indent, "", is_bad(t->result) ? "not ok" : "ok", number);
	put_text(out, t->name, true);
	if (*word || t->reason)
		fputs(" #", out);
	if (*word)
		fprintf(out, " %s", word);
	if (t->reason) {
		putc(' ', out);
		put_text(out, t->reason, false);
	}
	putc('\n', out);
}

/**
 * ktap_print() - writes KTAP
 * @out:	where to
 * @root:	its children are the top level; its own name and result are not part of the format
 *
 * No durations: two runs with the same results print the same text.
 */
void ktap_print(FILE *out, const struct ktap *root)
{
	fprintf(out, "KTAP version 1\n1..%zu\n", root->n);
	for (size_t i = 0; i < root->n; i++)
		put_test(out, root->children[i], i + 1, 0);
	put_notes(out, root, 0);
}

static void put_xml(FILE *out, const char *text, bool attribute)
{
	_cleanup_free_ char *s = str_clean(text);

	for (const char *p = s; *p; p++) {
		if (*p == '&')
			fputs("&amp;", out);
		else if (*p == '<')
			fputs("&lt;", out);
		else if (*p == '>')
			fputs("&gt;", out);
		else if (*p == '"')
			fputs("&quot;", out);
		else if (attribute && (*p == '\n' || *p == '\t'))
			fprintf(out, "&#%d;", *p); /* kept as they are, not folded to blanks */
		else
			putc(*p, out);
	}
}

static void put_xml_notes(FILE *out, const struct ktap *t)
{
	for (size_t i = 0; i < t->notes.n; i++) {
		put_xml(out, t->notes.v[i], false);
		putc('\n', out);
	}
}

static void put_case(FILE *out, const struct ktap *t, const char *class)
{
	const char *tag = t->result == KTAP_FAIL ? "failure" : "error";

	fputs("    <testcase classname=\"", out);
	put_xml(out, class, true);
	fputs("\" name=\"", out);
	put_xml(out, t->name, true);
	putc('"', out);
	if (t->ms > 0)
		fprintf(out, " time=\"%.3f\"", t->ms / 1000);
	if (t->result == KTAP_PASS && !t->notes.n) {
		fputs("/>\n", out);
		return;
	}
	fputs(">\n", out);
	if (t->result == KTAP_SKIP) {
		fputs("      <skipped message=\"", out);
		put_xml(out, t->reason ? t->reason : "", true);
		fputs("\"/>\n", out);
	} else if (is_bad(t->result)) {
		fprintf(out, "      <%s type=\"%s\" message=\"", tag, ktap_result_name(t->result));
		put_xml(out, t->reason ? t->reason : ktap_result_name(t->result), true);
		fputs("\">", out);
		put_xml_notes(out, t);
		fprintf(out, "</%s>\n", tag);
	}
	if (t->notes.n && !is_bad(t->result)) {
		fputs("      <system-out>", out);
		put_xml_notes(out, t);
		fputs("</system-out>\n", out);
	}
	fputs("    </testcase>\n", out);
}

/* Leaves, and suites that failed by themselves; readers of JUnit know no deeper nesting. */
static void put_cases(FILE *out, const struct ktap *t, const char *class)
{
	_cleanup_free_ char *inner =
		t->n ? *class ? xasprintf("%s.%s", class, t->name) : xstrdup(t->name) : NULL;

	for (size_t i = 0; i < t->n; i++)
		put_cases(out, t->children[i], inner);
	if (!t->n || failed_alone(t))
		put_case(out, t, class);
}

static double total_ms(const struct ktap *t)
{
	double ms = 0;

	if (t->ms > 0)
		return t->ms;
	for (size_t i = 0; i < t->n; i++)
		ms += total_ms(t->children[i]);
	return ms;
}

static void put_suite_head(FILE *out, const char *tag, const struct ktap *t)
{
	struct ktap_counts c = ktap_count(t);

	fprintf(out, "<%s name=\"", tag);
	put_xml(out, t->name, true);
	fprintf(out,
		"\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\" time=\"%.3f\">\n",
		c.passed + c.failed + c.skipped + c.timeout + c.crashed, c.failed,
		c.timeout + c.crashed, c.skipped, total_ms(t) / 1000);
}

/**
 * ktap_junit() - writes JUnit XML
 * @out:	where to
 * @root:	its children become the test suites
 *
 * Failed tests are failures; those that ran out of time or crashed are errors.
 */
void ktap_junit(FILE *out, const struct ktap *root)
{
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", out);
	put_suite_head(out, "testsuites", root);
	for (size_t i = 0; i < root->n; i++) {
		fputs("  ", out);
		put_suite_head(out, "testsuite", root->children[i]);
		put_cases(out, root->children[i], root->children[i]->n ? "" : root->name);
		fputs("  </testsuite>\n", out);
	}
	fputs("</testsuites>\n", out);
}

static json_t *json_text(const char *s)
{
	_cleanup_free_ char *text = str_clean(s);

	return json_string(text);
}

/**
 * ktap_json() - the tree as JSON
 * @root:	the top
 * Return: an object with name and result, and reason, notes, ms and children where there are any.
 */
json_t *ktap_json(const struct ktap *root)
{
	json_t *o = json_object();

	json_object_set_new(o, "name", json_text(root->name));
	json_object_set_new(o, "result", json_string(ktap_result_name(root->result)));
	if (root->reason)
		json_object_set_new(o, "reason", json_text(root->reason));
	if (root->notes.n) {
		json_t *notes = json_array();

		for (size_t i = 0; i < root->notes.n; i++)
			json_array_append_new(notes, json_text(root->notes.v[i]));
		json_object_set_new(o, "notes", notes);
	}
	if (root->ms > 0)
		json_object_set_new(o, "ms", json_real(root->ms));
	if (root->n) {
		json_t *children = json_array();

		for (size_t i = 0; i < root->n; i++)
			json_array_append_new(children, ktap_json(root->children[i]));
		json_object_set_new(o, "children", children);
	}
	return o;
}
