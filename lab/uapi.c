// SPDX-License-Identifier: GPL-2.0
#include "uapi.h"

#include <ctype.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VARIABLE      "uapi_arg_"
#define NOTHING	      "uapi_none"
#define ELEMENTS_MOST 4 /* of an array */
#define DEPTH_MOST    8
#define OFFSET_MOST   4096
#define NUMBERS_MOST  64

void uapi_types(const struct driver *d, struct buf *c)
{
	buf_puts(c, "#include <stddef.h>\n#include <linux/ioctl.h>\n#include <linux/types.h>\n");
	for (size_t i = 0; i < d->headers.n; i++)
		buf_printf(c, "#include \"%s\"\n", d->headers.v[i]);
	buf_puts(c, "struct " NOTHING " { char c; };\n"
		    "#undef _IO\n#undef _IOR\n#undef _IOW\n#undef _IOWR\n#undef _IOC\n"
		    "#define _IO(t, n) (*(struct " NOTHING " *)0)\n"
		    "#define _IOC(d, t, n, s) (*(struct " NOTHING " *)0)\n"
		    "#define _IOR(t, n, a) (*(__typeof__(a) *)0)\n"
		    "#define _IOW(t, n, a) (*(__typeof__(a) *)0)\n"
		    "#define _IOWR(t, n, a) (*(__typeof__(a) *)0)\n");
	for (size_t i = 0; i < d->ioctls.n; i++)
		buf_printf(c, "__typeof__(%s) *" VARIABLE "%zu;\n", d->ioctls.v[i], i);
}

/* The type of a variable, a member, an element, without typedefs and qualifiers. */
static bool type_of(Dwarf_Die *of, Dwarf_Die *type)
{
	Dwarf_Attribute attr;

	return dwarf_attr_integrate(of, DW_AT_type, &attr) && dwarf_formref_die(&attr, type) &&
	       !dwarf_peel_type(type, type);
}

static Dwarf_Word number_of(Dwarf_Die *die, unsigned int name, Dwarf_Word otherwise)
{
	Dwarf_Attribute attr;
	Dwarf_Word value;

	if (!dwarf_attr(die, name, &attr) || dwarf_formudata(&attr, &value))
		return otherwise;
	return value;
}

static void add_fields(Dwarf_Die *type, const char *name, size_t offset, int depth,
		       struct buf *rows);

static void add_members(Dwarf_Die *type, const char *name, size_t offset, int depth,
			struct buf *rows)
{
	Dwarf_Die member, inner;

	if (dwarf_child(type, &member))
		return;
	do {
		if (dwarf_tag(&member) == DW_TAG_member && type_of(&member, &inner))
			add_fields(&inner, name,
				   offset + number_of(&member, DW_AT_data_member_location, 0),
				   depth + 1, rows);
	} while (!dwarf_siblingof(&member, &member));
}

static void add_elements(Dwarf_Die *type, const char *name, size_t offset, int depth,
			 struct buf *rows)
{
	Dwarf_Word n = 1, size;
	Dwarf_Die range, inner;

	if (!type_of(type, &inner) || dwarf_aggregate_size(&inner, &size))
		return;
	if (!dwarf_child(type, &range)) {
		do {
			n *= number_of(&range, DW_AT_count,
				       number_of(&range, DW_AT_upper_bound, 0) + 1);
		} while (!dwarf_siblingof(&range, &range));
	}
	for (Dwarf_Word i = 0; i < n && i < ELEMENTS_MOST; i++)
		add_fields(&inner, name, offset + i * size, depth + 1, rows);
}

static void add_fields(Dwarf_Die *type, const char *name, size_t offset, int depth,
		       struct buf *rows)
{
	const char *type_name = dwarf_diename(type);
	int size;

	if (depth > DEPTH_MOST || offset > OFFSET_MOST ||
	    (type_name && !strcmp(type_name, NOTHING)))
		return;
	switch (dwarf_tag(type)) {
	case DW_TAG_structure_type:
	case DW_TAG_union_type:
		add_members(type, name, offset, depth, rows);
		break;
	case DW_TAG_array_type:
		add_elements(type, name, offset, depth, rows);
		break;
	default:
		size = dwarf_bytesize(type);
		if (size > 0 && size <= 8)
			buf_printf(rows, "\t{ %s, %zu, %d },\n", name, offset, size);
	}
}

/* An unrelocated object: libdwfl relocates it, also that of another architecture. */
static void read_unit(Dwarf_Die *unit, const struct driver *d, struct buf *rows)
{
	Dwarf_Die die, pointer, type;

	if (dwarf_child(unit, &die))
		return;
	do {
		const char *name = dwarf_diename(&die);
		size_t i;

		if (dwarf_tag(&die) != DW_TAG_variable || !name || !str_starts(name, VARIABLE))
			continue;
		i = strtoul(name + strlen(VARIABLE), NULL, 10);
		if (i < d->ioctls.n && type_of(&die, &pointer) && type_of(&pointer, &type))
			add_fields(&type, d->ioctls.v[i], 0, 0, rows);
	} while (!dwarf_siblingof(&die, &die));
}

static int no_debuginfo(Dwfl_Module *mod, void **data, const char *name, Dwarf_Addr base,
			const char *file, const char *link, GElf_Word crc, char **out)
{
	(void)mod, (void)data, (void)name, (void)base, (void)file, (void)link, (void)crc, (void)out;
	return -1;
}

int uapi_fields(const char *object, const struct driver *d, struct buf *rows)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_build_id_find_elf,
		.find_debuginfo = no_debuginfo,
		.section_address = dwfl_offline_section_address,
	};
	Dwfl *dwfl = dwfl_begin(&callbacks);
	Dwarf_Die *unit = NULL;
	Dwarf_Addr bias;
	Dwfl_Module *mod;

	if (!dwfl)
		return -ENOMEM;
	mod = dwfl_report_offline(dwfl, path_base(object), object, -1);
	dwfl_report_end(dwfl, NULL, NULL);
	while (mod && (unit = dwfl_module_nextcu(mod, unit, &bias)))
		read_unit(unit, d, rows);
	dwfl_end(dwfl);
	return mod ? 0 : -EINVAL;
}

/* Digits, operators and suffixes: no names, of which nobody knows what they are. */
static bool is_number(const char *s, size_t n)
{
	bool digit = false;

	for (size_t i = 0; i < n; i++) {
		bool after = i && (isxdigit((unsigned char)s[i - 1]) || s[i - 1] == 'x');

		if (isdigit((unsigned char)s[i]))
			digit = true;
		else if (isalpha((unsigned char)s[i]) && after &&
			 strchr("abcdefABCDEFxXuUlL", s[i]))
			continue;
		else if (isalpha((unsigned char)s[i]) && i && strchr("uUlL", s[i]) &&
			 strchr("uUlL", s[i - 1]))
			continue;
		else if (!strchr(" \t()<>|+*~-", s[i]))
			return false;
	}
	return digit;
}

void uapi_numbers(const char *text, struct strv *numbers)
{
	struct strv lines = {};

	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.n && numbers->n < NUMBERS_MOST; i++) {
		const char *s = lines.v[i] + strspn(lines.v[i], " \t"), *end;
		_cleanup_free_ char *value = NULL;

		if (*s++ != '#')
			continue;
		s += strspn(s, " \t");
		if (!str_starts(s, "define") || !isspace((unsigned char)s[6]))
			continue;
		s += 6 + strspn(s + 6, " \t");
		while (isalnum((unsigned char)*s) || *s == '_')
			s++;
		if (*s == '(')
			continue;
		s += strspn(s, " \t");
		end = strstr(s, "/*");
		value = end ? xstrndup(s, end - s) : xstrdup(s);
		s = str_trim(value);
		if (is_number(s, strlen(s)) && !strv_has(numbers, s))
			strv_add(numbers, s);
	}
	strv_free(&lines);
}
