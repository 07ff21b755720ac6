// SPDX-License-Identifier: GPL-2.0
/*
 * Object files, read through libelf; source lines through libdw, which relocates the debug sections
 * of a module as the kernel's loader does with the others.
 */
#include "elf.h"

#include <archive.h>
#include <archive_entry.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* struct object - an object file in memory, unpacked */
struct object {
	struct buf image;
	Elf *elf;
};

/* Distributions compress their modules: what libarchive can unpack is unpacked. */
static int read_unpacked(const char *path, struct buf *out)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	char chunk[65536];
	int ret = 0;
	ssize_t n;

	archive_read_support_filter_all(a);
	archive_read_support_format_raw(a);
	archive_read_support_format_empty(a);
	if (access(path, R_OK)) {
		ret = -errno;
	} else if (archive_read_open_filename(a, path, sizeof(chunk)) ||
		   archive_read_next_header(a, &entry)) {
		ret = -EINVAL;
	} else {
		while ((n = archive_read_data(a, chunk, sizeof(chunk))) > 0)
			buf_add(out, chunk, n);
		if (n < 0)
			ret = -EINVAL;
	}
	archive_read_free(a);
	return ret;
}

static void object_close(struct object *o)
{
	elf_end(o->elf);
	buf_free(&o->image);
}

static int object_open(const char *path, struct object *o)
{
	int ret;

	*o = (struct object){};
	elf_version(EV_CURRENT);
	ret = read_unpacked(path, &o->image);
	if (!ret && o->image.n)
		o->elf = elf_memory(o->image.s, o->image.n);
	if (!ret && (!o->elf || elf_kind(o->elf) != ELF_K_ELF))
		ret = -EINVAL;
	if (ret)
		object_close(o);
	return ret;
}

static const char *section_name(Elf *elf, const GElf_Shdr *sh)
{
	const char *name = NULL;
	size_t strings;

	if (!elf_getshdrstrndx(elf, &strings))
		name = elf_strptr(elf, strings, sh->sh_name);
	return name ? name : "";
}

/**
 * elf_modinfo() - values of a key of a module's .modinfo section
 * @ko:		the module, compressed or not
 * @key:	"depends", "vermagic", "parm"
 * @values:	is added to, in file order
 * Return: 0, -ENOENT if the file or the key is not there, -EINVAL if it is no ELF file.
 */
int elf_modinfo(const char *ko, const char *key, struct strv *values)
{
	size_t len = strlen(key);
	struct object o;
	Elf_Scn *scn = NULL;
	int ret = object_open(ko, &o);

	if (ret)
		return ret;
	ret = -ENOENT;
	while ((scn = elf_nextscn(o.elf, scn))) {
		Elf_Data *data;
		GElf_Shdr sh;

		if (!gelf_getshdr(scn, &sh) || strcmp(section_name(o.elf, &sh), ".modinfo"))
			continue;
		data = elf_getdata(scn, NULL);
		for (size_t at = 0; data && at < data->d_size;) {
			const char *s = (const char *)data->d_buf + at;
			size_t n = strnlen(s, data->d_size - at);

			if (n > len && !memcmp(s, key, len) && s[len] == '=') {
				strv_take(values, xstrndup(s + len + 1, n - len - 1));
				ret = 0;
			}
			at += n + 1;
		}
	}
	object_close(&o);
	return ret;
}

static int compare_symbols(const void *a, const void *b)
{
	const struct elf_symbol *x = a, *y = b;
	int c = strcmp(x->section, y->section);

	if (!c && x->section_offset != y->section_offset)
		c = x->section_offset < y->section_offset ? -1 : 1;
	/* the module's own name before the alias that module_init() makes */
	if (!c)
		c = str_ends(x->name, "_module") - str_ends(y->name, "_module");
	return c ? c : strcmp(x->name, y->name);
}

static void free_symbol(struct elf_symbol *s)
{
	free(s->name);
	free(s->section);
}

/* Function symbols of one symbol table. */
static void add_functions(struct object *o, Elf_Scn *table, const GElf_Shdr *table_sh,
			  struct elf_symbol **symbols, size_t *n)
{
	Elf_Data *data = elf_getdata(table, NULL);
	size_t entries = table_sh->sh_entsize ? table_sh->sh_size / table_sh->sh_entsize : 0;
	GElf_Ehdr eh;

	if (!data || !gelf_getehdr(o->elf, &eh))
		return;
	for (size_t i = 0; i < entries; i++) {
		const char *name;
		Elf_Scn *scn;
		GElf_Shdr sh;
		GElf_Sym sym;

		if (!gelf_getsym(data, i, &sym) || GELF_ST_TYPE(sym.st_info) != STT_FUNC)
			continue;
		scn = elf_getscn(o->elf, sym.st_shndx);
		name = elf_strptr(o->elf, table_sh->sh_link, sym.st_name);
		if (sym.st_shndx == SHN_UNDEF || !scn || !name || !gelf_getshdr(scn, &sh) ||
		    !(sh.sh_flags & SHF_EXECINSTR))
			continue;
		/* the padding before a function has a symbol of its own since 6.3 */
		if (str_starts(name, "__pfx_") || str_starts(name, "__cfi_"))
			continue;
		*symbols = xrealloc(*symbols, *n + 1, sizeof(**symbols));
		(*symbols)[(*n)++] = (struct elf_symbol){
			.name = xstrdup(name),
			.section_offset =
				eh.e_type == ET_REL ? sym.st_value : sym.st_value - sh.sh_addr,
			.size = sym.st_size,
			.section = xstrdup(section_name(o->elf, &sh)),
		};
	}
}

static void object_functions(struct object *o, struct elf_symbol **symbols, size_t *n)
{
	Elf_Scn *scn = NULL;
	size_t kept = 0;

	*symbols = NULL;
	*n = 0;
	while ((scn = elf_nextscn(o->elf, scn))) {
		GElf_Shdr sh;

		if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_SYMTAB)
			add_functions(o, scn, &sh, symbols, n);
	}
	if (*n)
		qsort(*symbols, *n, sizeof(**symbols), compare_symbols);
	for (size_t i = 0; i < *n; i++) {
		struct elf_symbol *s = &(*symbols)[i], *last = kept ? &(*symbols)[kept - 1] : NULL;

		if (last && last->section_offset == s->section_offset &&
		    !strcmp(last->section, s->section))
			free_symbol(s);
		else
			(*symbols)[kept++] = *s;
	}
	*n = kept;
}

/**
 * elf_functions() - the functions of an object file
 * @ko:		the file, compressed or not
 * @symbols:	the functions, sorted by section and offset, one name each; to be freed
 * @n:		how many
 * Return: 0, -ENOENT, -EINVAL.
 */
int elf_functions(const char *ko, struct elf_symbol **symbols, size_t *n)
{
	struct object o;
	int ret = object_open(ko, &o);

	*symbols = NULL;
	*n = 0;
	if (ret)
		return ret;
	object_functions(&o, symbols, n);
	object_close(&o);
	return 0;
}

/**
 * elf_functions_free() - frees what elf_functions() returned
 * @symbols:	the functions
 * @n:		how many
 */
void elf_functions_free(struct elf_symbol *symbols, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free_symbol(&symbols[i]);
	free(symbols);
}

/**
 * elf_module_sizes() - what an object file takes in memory
 * @ko:		the file, compressed or not
 * @sizes:	bytes by kind, and the number of functions
 * Return: 0, -ENOENT, -EINVAL.
 */
int elf_module_sizes(const char *ko, struct elf_sizes *sizes)
{
	struct elf_symbol *symbols;
	struct object o;
	Elf_Scn *scn = NULL;
	int ret = object_open(ko, &o);
	size_t n;

	*sizes = (struct elf_sizes){};
	if (ret)
		return ret;
	while ((scn = elf_nextscn(o.elf, scn))) {
		GElf_Shdr sh;

		if (!gelf_getshdr(scn, &sh) || !(sh.sh_flags & SHF_ALLOC))
			continue;
		if (sh.sh_flags & SHF_EXECINSTR)
			sizes->text += sh.sh_size;
		else if (sh.sh_type == SHT_NOBITS)
			sizes->bss += sh.sh_size;
		else if (sh.sh_flags & SHF_WRITE)
			sizes->data += sh.sh_size;
		else
			sizes->rodata += sh.sh_size;
	}
	object_functions(&o, &symbols, &n);
	sizes->functions = n;
	elf_functions_free(symbols, n);
	object_close(&o);
	return 0;
}

/*
 * The module itself is all there is: nothing is looked for elsewhere, and never over the network.
 */
static int no_debuginfo(Dwfl_Module *mod, void **userdata, const char *modname, Dwarf_Addr base,
			const char *file_name, const char *debuglink_file, GElf_Word debuglink_crc,
			char **debuginfo_file_name)
{
	(void)mod;
	(void)userdata;
	(void)modname;
	(void)base;
	(void)file_name;
	(void)debuglink_file;
	(void)debuglink_crc;
	(void)debuginfo_file_name;
	return -1;
}

static const Dwfl_Callbacks offline = {
	.find_elf = dwfl_build_id_find_elf,
	.find_debuginfo = no_debuginfo,
	.section_address = dwfl_offline_section_address,
};

static int function_address(Dwfl_Module *mod, const char *function, unsigned long offset,
			    GElf_Addr *address)
{
	int n = dwfl_module_getsymtab(mod);

	for (int i = 0; i < n; i++) {
		GElf_Addr start;
		GElf_Sym sym;
		const char *name = dwfl_module_getsym_info(mod, i, &sym, &start, NULL, NULL, NULL);

		/* two static functions may have one name: the one that is long enough is meant */
		if (!name || strcmp(name, function) || sym.st_shndx == SHN_UNDEF ||
		    (GELF_ST_TYPE(sym.st_info) != STT_FUNC &&
		     GELF_ST_TYPE(sym.st_info) != STT_NOTYPE) ||
		    (sym.st_size && offset >= sym.st_size))
			continue;
		*address = start + offset;
		return 0;
	}
	return -ENOENT;
}

/* Where the functions that were inlined at the address were called from, innermost first. */
static void add_inline_calls(Dwfl_Module *mod, GElf_Addr address, struct buf *out)
{
	Dwarf_Addr bias = 0;
	Dwarf_Die *cu = dwfl_module_addrdie(mod, address, &bias);
	Dwarf_Die *scopes = NULL, *parents = NULL;
	Dwarf_Files *files = NULL;
	bool first = true;
	int n;

	if (!cu || dwarf_getsrcfiles(cu, &files, NULL) ||
	    dwarf_getscopes(cu, address - bias, &scopes) <= 0)
		goto out;
	/*
	 * of the scopes only the first is where the code is: the others tell where it was written
	 */
	n = dwarf_getscopes_die(&scopes[0], &parents);
	for (int i = 0; i < n; i++) {
		Dwarf_Word file = 0, line = 0;
		Dwarf_Attribute attr;
		const char *name;

		if (dwarf_tag(&parents[i]) != DW_TAG_inlined_subroutine)
			continue;
		if (dwarf_formudata(dwarf_attr(&parents[i], DW_AT_call_file, &attr), &file) ||
		    dwarf_formudata(dwarf_attr(&parents[i], DW_AT_call_line, &attr), &line))
			continue;
		name = dwarf_filesrc(files, file, NULL, NULL);
		if (!name)
			continue;
		buf_printf(out, "%s%s:%lu", first ? " (inlined into " : ", into ", path_base(name),
			   (unsigned long)line);
		first = false;
	}
	if (!first)
		buf_puts(out, ")");
out:
	free(scopes);
	free(parents);
}

/**
 * elf_source_line() - the source line of an address in a module
 * @ko:		the module with its debug information
 * @function:	a function's name
 * @offset:	bytes from its start
 * @where:	a new string, "vgpio.c:123", "vgpio.h:20 (inlined into vgpio.c:123)"
 *
 * The address is taken as it is. In a stack trace only the first frame (RIP, pc, epc) is the
 * instruction itself; the others are return addresses, which may already be on the next line: the
 * caller subtracts 1 from their offsets.
 *
 * Return: 0, -ENOENT if the file, the function or its line is not there, -EINVAL.
 */
int elf_source_line(const char *ko, const char *function, unsigned long offset, char **where)
{
	struct buf text = {};
	GElf_Addr address;
	const char *file;
	Dwfl_Module *mod;
	Dwfl_Line *line;
	Dwfl *dwfl;
	int ret, n;

	*where = NULL;
	if (access(ko, R_OK))
		return -errno;
	dwfl = dwfl_begin(&offline);
	if (!dwfl)
		return -ENOMEM;
	mod = dwfl_report_offline(dwfl, path_base(ko), ko, -1);
	dwfl_report_end(dwfl, NULL, NULL);
	ret = mod ? function_address(mod, function, offset, &address) : -EINVAL;
	if (!ret) {
		line = dwfl_module_getsrc(mod, address);
		file = line ? dwfl_lineinfo(line, NULL, &n, NULL, NULL, NULL) : NULL;
		if (file) {
			buf_printf(&text, "%s:%d", path_base(file), n);
			add_inline_calls(mod, address, &text);
			*where = text.s;
		} else {
			ret = -ENOENT;
		}
	}
	dwfl_end(dwfl);
	return ret;
}

/* --- all lines --- */

/* struct line_walk - what elf_lines() knows while it goes through a module */
struct line_walk {
	Dwfl_Module *mod;
	Dwarf_Addr bias;
	Dwarf_Die *cu;
	Dwarf_Files *files;
	const char *comp_dir;
	bool (*is_ours)(void *ctx, const char *file);
	void *ctx;
	struct elf_line *lines;
	size_t n, room;
};

/* A file's name without the directory where the compiler ran, if it is one of ours. */
static const char *our_name(const struct line_walk *w, const char *file)
{
	size_t n = w->comp_dir ? strlen(w->comp_dir) : 0;

	if (!file)
		return NULL;
	if (n && !strncmp(file, w->comp_dir, n) && file[n] == '/')
		file += n + 1;
	return w->is_ours(w->ctx, file) ? file : NULL;
}

static void add_line(struct line_walk *w, Dwarf_Addr address, Dwarf_Addr size, const char *name,
		     int line)
{
	/* makes an offset of the address */
	int index = name && line ? dwfl_module_relocate_address(w->mod, &address) : -1;
	const char *section = NULL;

	if (index >= 0)
		section = dwfl_module_relocation_info(w->mod, index, NULL);
	if (!section || !*section)
		return;
	if (w->n == w->room) {
		w->room = w->room ? w->room * 2 : 256;
		w->lines = xrealloc(w->lines, w->room, sizeof(*w->lines));
	}
	w->lines[w->n++] = (struct elf_line){ .file = xstrdup(name),
					      .line = line,
					      .section = xstrdup(section),
					      .offset = address,
					      .size = size };
}

/* The lines of ours that called for the code at an address, where it was inlined. */
static void add_callers(struct line_walk *w, Dwarf_Addr address, Dwarf_Addr size)
{
	Dwarf_Die *scopes = NULL, *parents = NULL;
	int n = 0;

	if (dwarf_getscopes(w->cu, address - w->bias, &scopes) > 0)
		n = dwarf_getscopes_die(&scopes[0], &parents);
	for (int i = 0; i < n; i++) {
		Dwarf_Word file = 0, line = 0;
		Dwarf_Attribute attr;

		if (dwarf_tag(&parents[i]) != DW_TAG_inlined_subroutine ||
		    dwarf_formudata(dwarf_attr(&parents[i], DW_AT_call_file, &attr), &file) ||
		    dwarf_formudata(dwarf_attr(&parents[i], DW_AT_call_line, &attr), &line))
			continue;
		add_line(w, address, size, our_name(w, dwarf_filesrc(w->files, file, NULL, NULL)),
			 line);
	}
	free(scopes);
	free(parents);
}

static void add_unit(struct line_walk *w)
{
	Dwarf_Attribute attr;
	Dwarf_Lines *rows;
	size_t n;

	w->comp_dir = dwarf_formstring(dwarf_attr(w->cu, DW_AT_comp_dir, &attr));
	if (dwarf_getsrcfiles(w->cu, &w->files, NULL) || dwarf_getsrclines(w->cu, &rows, &n))
		return;
	for (size_t i = 0; i + 1 < n; i++) {
		Dwarf_Line *row = dwarf_onesrcline(rows, i), *next = dwarf_onesrcline(rows, i + 1);
		Dwarf_Addr from, to;
		bool end = true;
		int line = 0;

		if (dwarf_lineendsequence(row, &end) || end || dwarf_lineaddr(row, &from) ||
		    dwarf_lineaddr(next, &to) || to <= from || dwarf_lineno(row, &line))
			continue;
		add_line(w, from + w->bias, to - from, our_name(w, dwarf_linesrc(row, NULL, NULL)),
			 line);
		add_callers(w, from + w->bias, to - from);
	}
}

int elf_lines(const char *ko, bool (*is_ours)(void *ctx, const char *file), void *ctx,
	      struct elf_line **lines, size_t *n)
{
	struct line_walk w = { .is_ours = is_ours, .ctx = ctx };
	Dwfl *dwfl;

	*lines = NULL;
	*n = 0;
	if (access(ko, R_OK))
		return -errno;
	dwfl = dwfl_begin(&offline);
	if (!dwfl)
		return -ENOMEM;
	w.mod = dwfl_report_offline(dwfl, path_base(ko), ko, -1);
	dwfl_report_end(dwfl, NULL, NULL);
	while (w.mod && (w.cu = dwfl_module_nextcu(w.mod, w.cu, &w.bias)))
		add_unit(&w);
	dwfl_end(dwfl);
	*lines = w.lines;
	*n = w.n;
	return w.n ? 0 : w.mod ? -ENOENT : -EINVAL;
}

void elf_lines_free(struct elf_line *lines, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(lines[i].file);
		free(lines[i].section);
	}
	free(lines);
}

/* --- where things are --- */

/* Sections that the loader reads and does not keep. */
static bool is_kept(const char *name, const GElf_Shdr *sh)
{
	return (sh->sh_flags & SHF_ALLOC) && sh->sh_size && *name == '.' &&
	       strcmp(name, ".modinfo") && !str_starts(name, ".note") &&
	       strcmp(name, ".gnu.linkonce.this_module");
}

static void add_places(Elf *elf, Elf_Scn *table, const GElf_Shdr *table_sh,
		       struct elf_place **places, size_t *n)
{
	Elf_Data *data = elf_getdata(table, NULL);
	size_t entries =
		data && table_sh->sh_entsize ? table_sh->sh_size / table_sh->sh_entsize : 0;
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		GElf_Sym sym;

		if (!gelf_getshdr(scn, &sh) || !is_kept(section_name(elf, &sh), &sh))
			continue;
		for (size_t i = 1; i < entries; i++) {
			if (!gelf_getsym(data, i, &sym) || sym.st_shndx != elf_ndxscn(scn))
				continue;
			*places = xrealloc(*places, *n + 1, sizeof(**places));
			(*places)[(*n)++] = (struct elf_place){
				.section = xstrdup(section_name(elf, &sh)),
				.symbol = i,
				.value = sym.st_value,
			};
			break;
		}
	}
}

int elf_places(const char *ko, struct elf_place **places, size_t *n)
{
	struct object o;
	Elf_Scn *scn = NULL;
	int ret = object_open(ko, &o);

	*places = NULL;
	*n = 0;
	if (ret)
		return ret;
	while ((scn = elf_nextscn(o.elf, scn))) {
		GElf_Shdr sh;

		if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_SYMTAB)
			add_places(o.elf, scn, &sh, places, n);
	}
	object_close(&o);
	return *n ? 0 : -ENOENT;
}

void elf_places_free(struct elf_place *places, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(places[i].section);
	free(places);
}

bool elf_has_section(const char *path, const char *name)
{
	struct object o;
	Elf_Scn *scn = NULL;
	bool found = false;

	if (object_open(path, &o))
		return false;
	while (!found && (scn = elf_nextscn(o.elf, scn))) {
		GElf_Shdr sh;

		found = gelf_getshdr(scn, &sh) && !strcmp(section_name(o.elf, &sh), name) &&
			is_kept(name, &sh);
	}
	object_close(&o);
	return found;
}

int elf_address(const char *path, const char *symbol, unsigned long *address)
{
	struct object o;
	Elf_Scn *scn = NULL;
	int ret = object_open(path, &o);

	if (ret)
		return ret;
	ret = -ENOENT;
	while (ret && (scn = elf_nextscn(o.elf, scn))) {
		Elf_Data *data;
		GElf_Shdr sh;
		GElf_Sym sym;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_SYMTAB)
			continue;
		data = elf_getdata(scn, NULL);
		for (size_t i = 0; ret && data && i < sh.sh_size / sh.sh_entsize; i++) {
			const char *name = gelf_getsym(data, i, &sym) ?
						   elf_strptr(o.elf, sh.sh_link, sym.st_name) :
						   NULL;

			if (!name || strcmp(name, symbol))
				continue;
			*address = sym.st_value;
			ret = 0;
		}
	}
	object_close(&o);
	return ret;
}

static const char *die_name(Dwarf_Die *die)
{
	return dwarf_diename(die) ?: "";
}

static int find_member(Dwarf_Die *type, const char *member, unsigned long *offset)
{
	Dwarf_Die m;

	if (dwarf_child(type, &m))
		return -ENOENT;
	do {
		Dwarf_Attribute attr;
		Dwarf_Word at;

		if (dwarf_tag(&m) != DW_TAG_member || strcmp(die_name(&m), member) ||
		    dwarf_formudata(dwarf_attr(&m, DW_AT_data_member_location, &attr), &at))
			continue;
		*offset = at;
		return 0;
	} while (!dwarf_siblingof(&m, &m));
	return -ENOENT;
}

int elf_member(const char *path, const char *type, const char *member, unsigned long *offset)
{
	Dwarf_Addr bias;
	Dwarf_Die *cu = NULL;
	int ret = -ENOENT;
	Dwfl_Module *mod;
	Dwfl *dwfl;

	if (access(path, R_OK))
		return -errno;
	dwfl = dwfl_begin(&offline);
	if (!dwfl)
		return -ENOMEM;
	mod = dwfl_report_offline(dwfl, path_base(path), path, -1);
	dwfl_report_end(dwfl, NULL, NULL);
	while (ret && mod && (cu = dwfl_module_nextcu(mod, cu, &bias))) {
		Dwarf_Die die;

		if (dwarf_child(cu, &die))
			continue;
		do {
			if (dwarf_tag(&die) == DW_TAG_structure_type &&
			    !strcmp(die_name(&die), type))
				ret = find_member(&die, member, offset);
		} while (ret && !dwarf_siblingof(&die, &die));
	}
	dwfl_end(dwfl);
	return mod ? ret : -EINVAL;
}

/* --- the whole object --- */

/* struct elf_object - what an image's strings and bytes lie in */
struct elf_object {
	struct object o;
};

const struct elf_section *elf_image_section(const struct elf_image *image, const char *name)
{
	for (size_t i = 0; name && i < image->n; i++)
		if (!strcmp(image->sections[i].name, name))
			return &image->sections[i];
	return NULL;
}

static void add_section(struct elf_image *image, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *data = sh->sh_type == SHT_NOBITS ? NULL : elf_getdata(scn, NULL);

	image->sections = xrealloc(image->sections, image->n + 1, sizeof(*image->sections));
	image->sections[image->n++] = (struct elf_section){
		.name = xstrdup(section_name(image->object->o.elf, sh)),
		.bytes = data ? data->d_buf : NULL,
		.n = data && data->d_buf ? data->d_size : 0,
		.code = sh->sh_flags & SHF_EXECINSTR,
		.strings = sh->sh_flags & SHF_STRINGS,
	};
}

static void read_reloc(struct elf_image *image, struct elf_section *to, const GElf_Rela *rela,
		       Elf_Data *symbols, size_t strings)
{
	Elf *elf = image->object->o.elf;
	struct elf_reloc r = { .offset = rela->r_offset,
			       .type = GELF_R_TYPE(rela->r_info),
			       .addend = rela->r_addend,
			       .symbol = "" };
	GElf_Shdr sh;
	GElf_Sym sym;
	Elf_Scn *scn;

	if (!gelf_getsym(symbols, GELF_R_SYM(rela->r_info), &sym))
		return;
	if (GELF_ST_TYPE(sym.st_info) != STT_SECTION)
		r.symbol = elf_strptr(elf, strings, sym.st_name) ?: "";
	scn = sym.st_shndx == SHN_UNDEF || sym.st_shndx >= SHN_LORESERVE ?
		      NULL :
		      elf_getscn(elf, sym.st_shndx);
	if (scn && gelf_getshdr(scn, &sh))
		r.section = section_name(elf, &sh);
	r.value = sym.st_value;
	to->relocs = xrealloc(to->relocs, to->n_relocs + 1, sizeof(*to->relocs));
	to->relocs[to->n_relocs++] = r;
}

static int by_offset(const void *a, const void *b)
{
	const struct elf_reloc *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Sections have the numbers that they have in the file, but for the first, which is none. */
static void read_relocs(struct elf_image *image, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf *elf = image->object->o.elf;
	Elf_Scn *table = elf_getscn(elf, sh->sh_link);
	Elf_Data *data = elf_getdata(scn, NULL), *symbols;
	struct elf_section *to;
	GElf_Shdr table_sh;
	GElf_Rela rela;

	if (!sh->sh_info || sh->sh_info > image->n || !sh->sh_entsize || !data || !table ||
	    !gelf_getshdr(table, &table_sh) || table_sh.sh_type != SHT_SYMTAB)
		return;
	to = &image->sections[sh->sh_info - 1];
	symbols = elf_getdata(table, NULL);
	for (size_t i = 0; symbols && i < sh->sh_size / sh->sh_entsize; i++)
		if (gelf_getrela(data, i, &rela))
			read_reloc(image, to, &rela, symbols, table_sh.sh_link);
	if (to->n_relocs)
		qsort(to->relocs, to->n_relocs, sizeof(*to->relocs), by_offset);
}

static void read_names(struct elf_image *image, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	GElf_Sym sym;

	for (size_t i = 0; data && sh->sh_entsize && i < sh->sh_size / sh->sh_entsize; i++) {
		const char *name;

		if (!gelf_getsym(data, i, &sym))
			continue;
		name = elf_strptr(image->object->o.elf, sh->sh_link, sym.st_name);
		if (name && *name)
			strv_add(&image->names, name);
	}
	strv_sort(&image->names);
}

/**
 * elf_image_open() - reads all sections of an object file, and the relocations of each
 * @ko:		the file, compressed or not
 * @image:	to be freed with elf_image_free(), also after a failure
 * Return: 0, -ENOENT, -EINVAL.
 */
int elf_image_open(const char *ko, struct elf_image *image)
{
	Elf_Scn *scn = NULL;
	GElf_Ehdr eh;
	GElf_Shdr sh;
	int ret;

	*image = (struct elf_image){ .object = xcalloc(1, sizeof(*image->object)) };
	ret = object_open(ko, &image->object->o);
	if (!ret && !gelf_getehdr(image->object->o.elf, &eh)) {
		object_close(&image->object->o);
		ret = -EINVAL;
	}
	if (ret) {
		free(image->object);
		image->object = NULL;
		return ret;
	}
	image->machine = eh.e_machine;
	while ((scn = elf_nextscn(image->object->o.elf, scn))) {
		if (!gelf_getshdr(scn, &sh))
			sh = (GElf_Shdr){ .sh_type = SHT_NOBITS };
		add_section(image, scn, &sh);
	}
	while ((scn = elf_nextscn(image->object->o.elf, scn))) {
		if (!gelf_getshdr(scn, &sh))
			continue;
		if (sh.sh_type == SHT_RELA)
			read_relocs(image, scn, &sh);
		else if (sh.sh_type == SHT_SYMTAB)
			read_names(image, scn, &sh);
	}
	return 0;
}

void elf_image_free(struct elf_image *image)
{
	for (size_t i = 0; i < image->n; i++) {
		free(image->sections[i].name);
		free(image->sections[i].relocs);
	}
	free(image->sections);
	strv_free(&image->names);
	if (image->object)
		object_close(&image->object->o);
	free(image->object);
	*image = (struct elf_image){};
}

void elf_depends(const char *ko, struct strv *names)
{
	struct strv lists = {};

	elf_modinfo(ko, "depends", &lists);
	for (size_t i = 0; i < lists.n; i++)
		strv_split(names, lists.v[i], ",");
	strv_free(&lists);
}
