/* SPDX-License-Identifier: GPL-2.0 */
/*
 * HTML and CSV from text that others wrote: names of drivers, messages of compilers and kernels. What is written is
 * well-formed XML as well, so that any parser of that can check it.
 */
#ifndef CDEVLAB_HTML_H
#define CDEVLAB_HTML_H

#include "util.h"

/**
 * html_text() - the only way for text into a page, as content and as a quoted attribute's value
 * What markup is made of is escaped; bytes that are no UTF-8, and characters that XML does not have, become U+FFFD.
 * @s:	or NULL: nothing
 */
void html_text(struct buf *b, const char *s);

/* <tag class="class">text</tag>; @tag and @class are ours, class may be NULL. */
void html_el(struct buf *b, const char *tag, const char *class, const char *text);
void html_elf(struct buf *b, const char *tag, const char *class, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* A field of CSV (RFC 4180), after a comma where it is not the first of its line; NULL: an empty one. */
void csv_field(struct buf *b, const char *s);
/* An integer without a fraction, other numbers with up to six digits that matter. */
void csv_number(struct buf *b, double v);
void csv_end(struct buf *b); /* of a line */

#endif
