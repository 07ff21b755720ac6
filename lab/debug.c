// SPDX-License-Identifier: GPL-2.0
#include "debug.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "elf.h"

/* --- the kernel's names --- */

static char *vmlinux(const struct kernel *k)
{
	char *path = xasprintf("%s/vmlinux", k->kdir);

	if (file_exists(path))
		return path;
	free(path);
	return NULL;
}

bool debug_symbols_known(const struct kernel *k)
{
	_cleanup_free_ char *built = vmlinux(k);

	return built || bench_symbols_known(k);
}

void debug_symbols_keep(const struct kernel *k, const char *text, size_t n)
{
	bench_symbols_keep(k, text, n);
}

/* struct section - one of the file to be made */
struct section {
	const char *name;
	GElf_Word type, link, info;
	GElf_Xword flags, entry;
	GElf_Addr address;
	void *data;
	size_t size;
};

static bool add_section(Elf *elf, const struct section *s, size_t name)
{
	Elf_Scn *scn = elf_newscn(elf);
	Elf_Data *data = scn ? elf_newdata(scn) : NULL;
	GElf_Shdr sh;

	if (!data || !gelf_getshdr(scn, &sh))
		return false;
	data->d_buf = s->data;
	data->d_size = s->size;
	data->d_type = s->type == SHT_SYMTAB ? ELF_T_SYM : ELF_T_BYTE;
	data->d_align = 8;
	sh.sh_name = name;
	sh.sh_type = s->type;
	sh.sh_flags = s->flags;
	sh.sh_addr = s->address;
	sh.sh_link = s->link;
	sh.sh_info = s->info;
	sh.sh_entsize = s->entry;
	sh.sh_addralign = 8;
	return gelf_update_shdr(scn, &sh);
}

/* Sections: .text (without its bytes: the guest has them), .symtab, .strtab, .shstrtab. */
static bool write_sections(Elf *elf, const struct trace_range *r, size_t n)
{
	Elf64_Sym *symbols = xcalloc(n + 1, sizeof(*symbols));
	struct buf names = {}, section_names = {};
	bool ok = true;

	buf_add(&names, "", 1);
	buf_add(&section_names, "", 1);
	for (size_t i = 0; i < n; i++) {
		symbols[i + 1] = (Elf64_Sym){ .st_name = names.n,
					      .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
					      .st_shndx = 1,
					      .st_value = r[i].start,
					      .st_size = r[i].size };
		buf_add(&names, r[i].function, strlen(r[i].function) + 1);
	}
	struct section sections[] = {
		{ .name = ".text",
		  .type = SHT_NOBITS,
		  .flags = SHF_ALLOC | SHF_EXECINSTR,
		  .address = r[0].start,
		  .size = r[n - 1].start + 16 - r[0].start },
		{ .name = ".symtab",
		  .type = SHT_SYMTAB,
		  .link = 3,
		  .info = 1,
		  .entry = sizeof(*symbols),
		  .data = symbols,
		  .size = (n + 1) * sizeof(*symbols) },
		{ .name = ".strtab", .type = SHT_STRTAB, .data = names.s, .size = names.n },
		{ .name = ".shstrtab", .type = SHT_STRTAB },
	};
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		buf_add(&section_names, sections[i].name, strlen(sections[i].name) + 1);
	sections[3].data = section_names.s;
	sections[3].size = section_names.n;
	for (size_t i = 0, name = 1; i < ARRAY_SIZE(sections) && ok; i++) {
		ok = add_section(elf, &sections[i], name);
		name += strlen(sections[i].name) + 1;
	}
	ok = ok && elf_update(elf, ELF_C_WRITE) >= 0;
	free(symbols);
	buf_free(&names);
	buf_free(&section_names);
	return ok;
}

static unsigned int machine(const struct arch *arch)
{
	return !strcmp(arch->name, "amd64") ? EM_X86_64 :
	       !strcmp(arch->name, "arm64") ? EM_AARCH64 :
					      EM_RISCV;
}

static bool write_symbols(const char *path, const struct arch *arch, const struct trace_range *r,
			  size_t n)
{
	_cleanup_free_ char *part = xasprintf("%s.%d", path, (int)getpid());
	_cleanup_close_ int fd = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	GElf_Ehdr eh;
	bool ok;
	Elf *elf;

	if (fd < 0)
		return false;
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_WRITE, NULL);
	ok = elf && gelf_newehdr(elf, ELFCLASS64) && gelf_getehdr(elf, &eh);
	if (ok) {
		eh.e_ident[EI_DATA] = ELFDATA2LSB;
		eh.e_machine = machine(arch);
		eh.e_type = ET_EXEC;
		eh.e_version = EV_CURRENT;
		eh.e_shstrndx = 4;
		ok = gelf_update_ehdr(elf, &eh) && write_sections(elf, r, n);
	}
	elf_end(elf);
	ok = ok && !rename(part, path);
	if (!ok)
		unlink(part);
	return ok;
}

static unsigned long address_of(const struct trace_range *r, size_t n, const char *function)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(r[i].function, function))
			return r[i].start;
	return 0;
}

char *debug_symbols_file(const struct kernel *k, const char *function, unsigned long *address)
{
	_cleanup_free_ char *dir = kernel_cache_dir(k);
	char *path = vmlinux(k);
	struct trace_range *r = NULL;
	size_t n = 0;

	if (function)
		*address = 0;
	if (path) {
		if (function)
			elf_address(path, function, address);
		return path;
	}
	n = bench_symbols_read(k, &r);
	if (function)
		*address = address_of(r, n, function);
	path = n && dir ? xasprintf("%s/symbols.elf", dir) : NULL;
	if (path && !file_exists(path) && !write_symbols(path, k->arch, r, n)) {
		free(path);
		path = NULL;
	}
	for (size_t i = 0; i < n; i++)
		free((char *)r[i].function);
	free(r);
	return path;
}

/* --- scripts --- */

/* A word for gdb */
static void put_quoted(struct buf *to, const char *word)
{
	for (; *word; word++) {
		if (strchr(" \t\"'\\", *word))
			buf_puts(to, "\\");
		buf_add(to, word, 1);
	}
}

void debug_script_core(struct buf *to, const struct kernel *k, const char *core)
{
	_cleanup_free_ char *symbols = debug_symbols_file(k, NULL, NULL);

	buf_puts(to, "set pagination off\nset confirm off\nset filename-display basename\n");
	if (symbols) {
		buf_puts(to, "file ");
		put_quoted(to, symbols);
		buf_puts(to, "\n");
	}
	buf_puts(to, "core-file ");
	put_quoted(to, core);
	buf_puts(to, "\n");
}

void debug_script_module(struct buf *to, const struct driver *d, const struct module *m,
			 const char *sections)
{
	struct strv lines = {};

	buf_puts(to, "directory ");
	put_quoted(to, d->dir);
	buf_puts(to, "\nadd-symbol-file ");
	put_quoted(to, m->debug_ko);
	strv_split(&lines, sections, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		char *blank = strchr(lines.v[i], ' ');

		if (!blank)
			continue;
		*blank = '\0';
		if (elf_has_section(m->debug_ko, lines.v[i]))
			buf_printf(to, " -s %s %s", lines.v[i], blank + 1);
	}
	buf_puts(to, "\n");
	strv_free(&lines);
}

/* The module's name, compared where no types are known yet. */
static void put_condition(struct buf *to, const char *argument, unsigned long name_at,
			  const char *name)
{
	size_t n = strlen(name) + 1;

	for (size_t i = 0; i < n; i++)
		buf_printf(to, "%s*(char *)(%s + %lu) == %d", i ? " && " : "", argument,
			   name_at + i, name[i]);
}

int debug_script_load(struct buf *to, const struct driver *d, const struct module *m,
		      const struct arch *arch, unsigned long do_init_module)
{
	unsigned long name_at, kallsyms_at;
	struct elf_place *places = NULL;
	size_t n = 0;
	int ret = elf_member(m->debug_ko, "module", "name", &name_at);

	if (!ret)
		ret = elf_member(m->debug_ko, "module", "kallsyms", &kallsyms_at);
	if (!ret)
		ret = elf_places(m->ko, &places, &n);
	if (ret)
		return ret;
	buf_printf(to, "tbreak *0x%lx if ", do_init_module);
	put_condition(to, arch->gdb_argument, name_at, m->name);
	/*
	 * The kernel has relocated the module's table of symbols by now, and its order is that of the file: a symbol
	 * of a section tells where that is.
	 */
	buf_printf(to, "\ncontinue\nset $symbols = **(unsigned long **)(%s + %lu)\n",
		   arch->gdb_argument, kallsyms_at);
	buf_puts(to, "directory ");
	put_quoted(to, d->dir);
	buf_puts(to, "\neval \"add-symbol-file '");
	buf_puts(to, m->debug_ko);
	buf_puts(to, "'");
	for (size_t i = 0; i < n; i++)
		buf_printf(to, " -s %s %%#lx", places[i].section);
	buf_puts(to, "\"");
	for (size_t i = 0; i < n; i++)
		buf_printf(to, ", *(unsigned long *)($symbols + %zu) - %lu",
			   places[i].symbol * sizeof(Elf64_Sym) + offsetof(Elf64_Sym, st_value),
			   places[i].value);
	buf_printf(to, "\necho %s is loaded, its init function was not called yet\\n\n", m->name);
	elf_places_free(places, n);
	return 0;
}
