// SPDX-License-Identifier: GPL-2.0
#include "svg.h"

#include <math.h>
#include <stdio.h>

#include "html.h"

/* in CSS pixels */
#define LABEL_HEIGHT 22
#define BAR_HEIGHT   15
#define BAR_STEP     20
#define GROUP_GAP    8
#define AXIS_HEIGHT  38
/* of the width; the rest is for text beside the longest bar */
#define PLOT_PERCENT 58.0

double svg_axis(double most, double *step)
{
	static const double steps[] = { 1, 2, 5, 10 };
	double rough = most > 0 ? most / 4 : 0.25, power = pow(10, floor(log10(rough)));
	size_t i = 0;

	while (i < 3 && steps[i] * power < rough * 0.999999)
		i++;
	*step = steps[i] * power;
	return ceil(most > 0 ? most / *step - 1e-9 : 1) * *step;
}

double svg_most(const struct svg_chart *c)
{
	double most = c->line;

	for (size_t g = 0; g < c->n; g++) {
		for (size_t i = 0; i < c->groups[g].n; i++) {
			const struct svg_bar *bar = &c->groups[g].bars[i];
			double sum = 0;

			for (size_t p = 0; p < bar->n_parts; p++)
				sum += bar->parts[p] > 0 ? bar->parts[p] : 0;
			most = fmax(most, bar->interval ? fmax(sum, bar->high) : sum);
		}
	}
	return isfinite(most) ? most : 0;
}

double svg_x(double value, double axis)
{
	double x = axis > 0 && isfinite(value) ? value / axis * PLOT_PERCENT : 0;

	return x < 0 ? 0 : x > PLOT_PERCENT ? PLOT_PERCENT : x;
}

void svg_number(char *to, size_t size, double v)
{
	if (v == floor(v) && fabs(v) < 1e15)
		snprintf(to, size, "%.0f", v);
	else if (fabs(v) >= 1000)
		snprintf(to, size, "%.0f", v);
	else
		snprintf(to, size, "%.3g", v);
}

static void draw_axis(struct buf *b, const struct svg_chart *c, double axis, double step,
		      int height)
{
	char text[32];

	for (size_t i = 0; i * step <= axis * 1.000001; i++) {
		double x = svg_x(i * step, axis);
		bool shown = i % 2 == 0 || axis / step < 3.5;

		buf_printf(b,
			   "<line class=\"grid\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"0\" y2=\"%d\"/>",
			   x, x, height + 4);
		svg_number(text, sizeof(text), i * step);
		if (shown)
			buf_printf(
				b,
				"<text class=\"tick\" x=\"%.2f%%\" y=\"%d\" text-anchor=\"%s\">%s</text>",
				x, height + 18, i ? "middle" : "start", text);
	}
	buf_printf(b, "<text class=\"tick\" x=\"0\" y=\"%d\">", height + 34);
	html_text(b, c->unit);
	buf_puts(b, "</text>");
}

static void draw_line(struct buf *b, const struct svg_chart *c, double axis, int height)
{
	double x = svg_x(c->line, axis);

	buf_printf(b, "<line class=\"mark\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"0\" y2=\"%d\"/>", x, x,
		   height + 4);
	buf_printf(b, "<text class=\"tick\" x=\"%.2f%%\" dx=\"4\" y=\"12\">", x);
	html_text(b, c->line_text);
	buf_puts(b, "</text>");
}

/* A line with ends, in the page's colour and one around it, so that it is seen on the bar and beside it. */
static void draw_interval(struct buf *b, const struct svg_bar *bar, double axis, int y)
{
	double from = svg_x(bar->low, axis), to = svg_x(bar->high, axis);
	static const char *const looks[] = { "halo", "whisker" };

	for (size_t i = 0; i < 2; i++) {
		buf_printf(
			b,
			"<line class=\"%s\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%.1f\" y2=\"%.1f\"/>",
			looks[i], from, to, y + BAR_HEIGHT / 2.0, y + BAR_HEIGHT / 2.0);
		for (size_t end = 0; end < 2; end++)
			buf_printf(
				b,
				"<line class=\"%s\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%d\" y2=\"%d\"/>",
				looks[i], end ? to : from, end ? to : from, y + 3,
				y + BAR_HEIGHT - 3);
	}
}

static void draw_bar(struct buf *b, const struct svg_bar *bar, double axis, int y)
{
	double sum = 0, end;

	for (size_t p = 0; p < bar->n_parts; p++) {
		double part = bar->parts[p] > 0 && isfinite(bar->parts[p]) ? bar->parts[p] : 0;
		double x = svg_x(sum, axis);

		buf_printf(b,
			   "<rect class=\"bar %s part%zu\" x=\"%.2f%%\" y=\"%d\" width=\"%.2f%%\" "
			   "height=\"%d\"/>",
			   bar->kind ?: "other", p, x, y, svg_x(sum + part, axis) - x, BAR_HEIGHT);
		sum += part;
	}
	if (bar->interval)
		draw_interval(b, bar, axis, y);
	end = svg_x(bar->interval && bar->high > sum ? bar->high : sum, axis);
	buf_printf(b, "<text x=\"%.2f%%\" dx=\"6\" y=\"%d\">", end, y + BAR_HEIGHT - 3);
	if (bar->name) {
		buf_puts(b, "<tspan class=\"name\">");
		html_text(b, bar->name);
		buf_puts(b, "</tspan> ");
	}
	html_text(b, bar->text);
	buf_puts(b, "</text>");
}

void svg_bars(struct buf *b, const struct svg_chart *c, const char *id)
{
	double step, axis = svg_axis(svg_most(c), &step);
	int height = c->line_text ? 16 : 0, y = height;

	for (size_t g = 0; g < c->n; g++)
		height += LABEL_HEIGHT + c->groups[g].n * BAR_STEP + GROUP_GAP;
	buf_printf(b,
		   "<svg role=\"img\" width=\"100%%\" height=\"%d\" aria-labelledby=\"%s-t %s-d\">"
		   "<title id=\"%s-t\">",
		   height + AXIS_HEIGHT, id, id, id);
	html_text(b, c->title);
	buf_printf(b, "</title><desc id=\"%s-d\">", id);
	html_text(b, c->description);
	buf_puts(b, "</desc>");
	draw_axis(b, c, axis, step, height);
	for (size_t g = 0; g < c->n; g++) {
		buf_printf(b, "<text class=\"label\" x=\"0\" y=\"%d\">", y + LABEL_HEIGHT - 7);
		html_text(b, c->groups[g].label);
		buf_puts(b, "</text>");
		y += LABEL_HEIGHT;
		for (size_t i = 0; i < c->groups[g].n; i++, y += BAR_STEP)
			draw_bar(b, &c->groups[g].bars[i], axis, y);
		y += GROUP_GAP;
	}
	if (c->line_text)
		draw_line(b, c, axis, height);
	buf_puts(b, "</svg>\n");
}

/* --- curves --- */

#define CURVE_HEIGHT 110
#define CURVE_TOP    20 /* for the title */
#define CURVE_WIDE   1000.0

/* Round values about all of the curve. */
static void curve_range(const struct svg_curve *c, double *low, double *high)
{
	double step;

	*low = INFINITY;
	*high = -INFINITY;
	for (size_t i = 0; i < c->n; i++) {
		if (!isfinite(c->y[i]))
			continue;
		*low = fmin(*low, c->y[i]);
		*high = fmax(*high, c->y[i]);
	}
	if (!(*high > *low)) {
		*low = isfinite(*low) ? *low - 1 : 0;
		*high = *low + 2;
	}
	svg_axis(*high - *low, &step);
	*low = floor(*low / step + 1e-9) * step;
	*high = ceil(*high / step - 1e-9) * step;
}

/* What svg positions in per cent cannot do: points of a line. They are in a picture of their own, stretched. */
static void draw_curve(struct buf *b, const struct svg_curve *c, double low, double high)
{
	double wide = c->x[c->n - 1] - c->x[0];
	bool open = false;

	buf_printf(
		b,
		"<svg x=\"0\" y=\"%d\" width=\"100%%\" height=\"%d\" viewBox=\"0 0 %.0f %d\" preserveAspectRatio=\"none\">",
		CURVE_TOP, CURVE_HEIGHT, CURVE_WIDE, CURVE_HEIGHT);
	for (size_t i = 0; i < c->n_spans; i++) {
		double from = fmax((c->spans[i].from - c->x[0]) / wide, 0);
		double to = fmin((c->spans[i].to - c->x[0]) / wide, 1);

		if (to > from)
			buf_printf(
				b,
				"<rect class=\"span %s\" x=\"%.1f\" width=\"%.1f\" y=\"0\" height=\"%d\"/>",
				c->spans[i].kind, from * CURVE_WIDE, (to - from) * CURVE_WIDE,
				CURVE_HEIGHT);
	}
	for (size_t i = 0; i < c->n; i++) {
		if (isfinite(c->y[i]))
			buf_printf(b, "%s%.1f,%.1f",
				   open ? " " : "<polyline class=\"curve\" points=\"",
				   (c->x[i] - c->x[0]) / wide * CURVE_WIDE,
				   (high - c->y[i]) / (high - low) * CURVE_HEIGHT);
		else if (open)
			buf_puts(b, "\"/>");
		open = isfinite(c->y[i]);
	}
	buf_printf(b, "%s</svg>", open ? "\"/>" : "");
}

void svg_curve(struct buf *b, const struct svg_curve *c, const char *id)
{
	char least[32], most[32], until[32];
	double low, high;

	if (c->n < 2 || !(c->x[c->n - 1] > c->x[0]))
		return;
	curve_range(c, &low, &high);
	snprintf(least, sizeof(least), "%.5g", low);
	snprintf(most, sizeof(most), "%.5g", high);
	svg_number(until, sizeof(until), c->x[c->n - 1] - c->x[0]);
	buf_printf(b,
		   "<svg role=\"img\" width=\"100%%\" height=\"%d\" aria-labelledby=\"%s-t %s-d\">"
		   "<title id=\"%s-t\">",
		   CURVE_TOP + CURVE_HEIGHT + AXIS_HEIGHT - 16, id, id, id);
	html_text(b, c->title);
	buf_printf(b, "</title><desc id=\"%s-d\">", id);
	html_text(b, c->description);
	buf_puts(b, "</desc><text class=\"label\" x=\"0\" y=\"14\">");
	html_text(b, c->title);
	buf_puts(b, "</text>");
	for (int end = 0; end < 2; end++)
		buf_printf(b, "<line class=\"grid\" x1=\"0\" x2=\"100%%\" y1=\"%d\" y2=\"%d\"/>",
			   CURVE_TOP + end * CURVE_HEIGHT, CURVE_TOP + end * CURVE_HEIGHT);
	draw_curve(b, c, low, high);
	buf_printf(
		b,
		"<text class=\"tick\" x=\"100%%\" y=\"%d\" text-anchor=\"end\">%s</text>"
		"<text class=\"tick\" x=\"100%%\" y=\"%d\" text-anchor=\"end\">%s</text>"
		"<text class=\"tick\" x=\"0\" y=\"%d\">0 s</text>"
		"<text class=\"tick\" x=\"100%%\" y=\"%d\" text-anchor=\"end\">%s s</text></svg>\n",
		CURVE_TOP + 12, most, CURVE_TOP + CURVE_HEIGHT - 4, least,
		CURVE_TOP + CURVE_HEIGHT + 15, CURVE_TOP + CURVE_HEIGHT + 15, until);
}

void svg_patterns(struct buf *b)
{
	buf_puts(
		b,
		"<svg class=\"defs\" width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>"
		"<pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
		"patternTransform=\"rotate(45)\"><rect class=\"hatch-ground\" width=\"6\" height=\"6\"/>"
		"<rect class=\"hatch-line\" width=\"3\" height=\"6\"/></pattern>"
		"<pattern id=\"hatch-light\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
		"patternTransform=\"rotate(45)\"><rect class=\"hatch-line\" width=\"1.5\" "
		"height=\"6\"/></pattern></defs></svg>\n");
}
