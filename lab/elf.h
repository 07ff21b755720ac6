/* SPDX-License-Identifier: GPL-2.0 */
/* What an object file says: module information, symbols, sizes, source lines (libelf, libdw). */
#ifndef CDEVLAB_ELF_H
#define CDEVLAB_ELF_H

#include "util.h"

/* All functions return 0 or -errno (-ENOENT: not there, -EINVAL: no ELF file) and print nothing. */

/* Values of a .modinfo key ("depends", "vermagic", "parm"), in file order; .ko or .ko.xz. */
int elf_modinfo(const char *ko, const char *key, struct strv *values);
/* Names of the modules that it depends on, in the kernel or beside it. */
void elf_depends(const char *ko, struct strv *names);

struct elf_sizes {
	unsigned long text, data, bss, rodata; /* bytes in allocated sections */
	unsigned int functions;
};
int elf_module_sizes(const char *ko, struct elf_sizes *sizes);

struct elf_symbol {
	char *name;
	unsigned long section_offset; /* in its section */
	unsigned long size;
	char *section; /* ".text", ".init.text" */
};
/* Function symbols of all executable sections, sorted by section and offset. */
int elf_functions(const char *ko, struct elf_symbol **symbols, size_t *n);
void elf_functions_free(struct elf_symbol *symbols, size_t n);

/**
 * elf_source_line() - file:line of an address in a module
 * @function, @offset: as in a trace: vgpio_ioctl+0x1c
 * @where:	"vgpio.c:123" (a new string); "vgpio.h:20 (inlined into vgpio.c:123)" for inlined code
 */
int elf_source_line(const char *ko, const char *function, unsigned long offset, char **where);

/* struct elf_line - machine code that belongs to one source line; a line may have several pieces */
struct elf_line {
	char *file;
	int line;
	char *section;
	unsigned long offset, size; /* in its section */
};
/**
 * elf_lines() - which code belongs to which line of some files
 * @ko:		the module with its debug information
 * @is_ours:	of a file's name as the compiler knew it, without the directory where it ran: whether it is asked for
 * @lines:	unsorted, to be freed; inlined code belongs to the lines that called for it, too
 */
int elf_lines(const char *ko, bool (*is_ours)(void *ctx, const char *file), void *ctx,
	      struct elf_line **lines, size_t *n);
void elf_lines_free(struct elf_line *lines, size_t n);

/* struct elf_place - where a section of a module is, told by a symbol: its value less @value */
struct elf_place {
	char *section;
	size_t symbol; /* its number in the table of symbols */
	unsigned long value;
};
/* Of all sections that stay in memory and have a symbol. */
int elf_places(const char *ko, struct elf_place **places, size_t *n);
void elf_places_free(struct elf_place *places, size_t n);
bool elf_has_section(const char *path, const char *name);
/* Where a member of a struct is, by the debug information. */
int elf_member(const char *path, const char *type, const char *member, unsigned long *offset);
/* The address of a symbol of a program. */
int elf_address(const char *path, const char *symbol, unsigned long *address);

/* struct elf_reloc - a relocation: @symbol plus @addend goes to @offset */
struct elf_reloc {
	unsigned long offset; /* in its section */
	unsigned int type;
	const char *symbol;  /* the image's; "" where it is a section itself */
	const char *section; /* where the symbol is defined, or NULL */
	unsigned long value; /* of the symbol in that section */
	long addend;
};

/* struct elf_section - a section of an image with its relocations, sorted by offset */
struct elf_section {
	char *name;
	const unsigned char *bytes; /* NULL: it has none (.bss) */
	size_t n;
	bool code, strings;
	struct elf_reloc *relocs;
	size_t n_relocs;
};

/* struct elf_image - a relocatable object as a whole: what reading its machine code needs */
struct elf_image {
	unsigned int machine; /* EM_X86_64, EM_AARCH64 */
	struct elf_section *sections;
	size_t n;
	struct strv names; /* of all symbols, sorted */
	struct elf_object *object;
};
int elf_image_open(const char *ko, struct elf_image *image);
void elf_image_free(struct elf_image *image);
const struct elf_section *elf_image_section(const struct elf_image *image, const char *name);

#endif
