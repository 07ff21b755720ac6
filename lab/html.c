// SPDX-License-Identifier: GPL-2.0
#include "html.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Length of the UTF-8 character at s, or 0 where there is none that XML has. */
static size_t utf8_length(const unsigned char *s)
{
	static const unsigned int least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0x80		 ? 1 :
		   (s[0] & 0xe0) == 0xc0 ? 2 :
		   (s[0] & 0xf0) == 0xe0 ? 3 :
		   (s[0] & 0xf8) == 0xf0 ? 4 :
					   0;
	unsigned int c;

	if (n == 1)
		return s[0] >= ' ' ? s[0] != 0x7f : s[0] == '\t' || s[0] == '\n' || s[0] == '\r';
	c = n ? s[0] & (0x7f >> n) : 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (!n || c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ||
	    (c & 0xfffe) == 0xfffe || (c >= 0x80 && c < 0xa0))
		return 0;
	return n;
}

void html_text(struct buf *b, const char *s)
{
	for (; s && *s; s++) {
		size_t n;

		switch (*s) {
		case '&':
			buf_puts(b, "&amp;");
			break;
		case '<':
			buf_puts(b, "&lt;");
			break;
		case '>':
			buf_puts(b, "&gt;");
			break;
		case '"':
			buf_puts(b, "&#34;");
			break;
		case '\'':
			buf_puts(b, "&#39;");
			break;
		default:
			n = utf8_length((const unsigned char *)s);
			if (n)
				buf_add(b, s, n);
			else
				buf_puts(b, REPLACEMENT);
			s += n ? n - 1 : 0;
		}
	}
}

void html_el(struct buf *b, const char *tag, const char *class, const char *text)
{
	buf_puts(b, "<");
	buf_puts(b, tag);
	if (class) {
		buf_puts(b, " class=\"");
		buf_puts(b, class);
		buf_puts(b, "\"");
	}
	buf_puts(b, ">");
	html_text(b, text);
	buf_puts(b, "</");
	buf_puts(b, tag);
	buf_puts(b, ">");
}

void html_elf(struct buf *b, const char *tag, const char *class, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	html_el(b, tag, class, text);
}

void csv_field(struct buf *b, const char *s)
{
	if (b->n && b->s[b->n - 1] != '\n')
		buf_puts(b, ",");
	/* an empty first field must not look like an empty line's beginning */
	if (!s || !*s) {
		buf_puts(b, "\"\"");
		return;
	}
	if (!strpbrk(s, ",\"\r\n") && *s != ' ' && s[strlen(s) - 1] != ' ') {
		buf_puts(b, s);
		return;
	}
	buf_puts(b, "\"");
	for (; *s; s++) {
		if (*s == '"')
			buf_puts(b, "\"");
		buf_add(b, s, 1);
	}
	buf_puts(b, "\"");
}

void csv_number(struct buf *b, double v)
{
	char s[64];

	if (fabs(v) < 1e15 && v == floor(v))
		snprintf(s, sizeof(s), "%.0f", v);
	else
		snprintf(s, sizeof(s), "%.6g", v);
	csv_field(b, s);
}

void csv_end(struct buf *b)
{
	buf_puts(b, "\r\n");
}
