// SPDX-License-Identifier: GPL-2.0
/*
 * The file QEMU boots. A bzImage carries a compressed ELF; taken out once, QEMU enters it through
 * its PVH note, which saves the firmware and the decompression under emulation at every boot.
 */
#include <archive.h>
#include <archive_entry.h>
#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "kernel.h"

/* Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header" */
#define BZ_SETUP_SECTS	  0x1f1
#define BZ_MAGIC	  0x202 /* "HdrS" */
#define BZ_VERSION	  0x206
#define BZ_PAYLOAD_OFFSET 0x248 /* from the start of protected-mode code, since 2.08 */
#define BZ_PAYLOAD_LENGTH 0x24c
#define BZ_HEADER_END	  0x250

#define XEN_ELFNOTE_PHYS32_ENTRY 18 /* what QEMU looks for, by name "Xen" */
#define MAX_VMLINUX		 (1UL << 30)

static uint16_t get16(const char *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static uint32_t get32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

/* Finds the compressed payload of a bzImage; NULL with *why when there is none. */
static const char *bz_payload(const struct buf *bz, size_t *n, const char **why)
{
	size_t setup, start, length;

	if (bz->n < BZ_HEADER_END || memcmp(bz->s + BZ_MAGIC, "HdrS", 4)) {
		*why = "it is no bzImage";
		return NULL;
	}
	if (get16(bz->s + BZ_VERSION) < 0x208) {
		*why = "its boot protocol is older than 2.08";
		return NULL;
	}
	setup = (unsigned char)bz->s[BZ_SETUP_SECTS];
	start = ((setup ? setup : 4) + 1) * 512 + (size_t)get32(bz->s + BZ_PAYLOAD_OFFSET);
	length = get32(bz->s + BZ_PAYLOAD_LENGTH);
	if (length < 8 || start > bz->n || length > bz->n - start) {
		*why = "its payload lies outside the file";
		return NULL;
	}
	*n = length;
	return bz->s + start;
}

/**
 * decompress() - whatever libarchive can read
 *
 * The kernel appends the unpacked size, four bytes little endian, to every stream; decompressors
 * take it for garbage. Only gzip's own trailer ends with the same four bytes.
 */
static bool decompress(const char *p, size_t n, struct buf *out, const char **why)
{
	struct archive *a = archive_read_new();
	size_t size = get32(p + n - 4);
	bool gzip = !memcmp(p, "\x1f\x8b", 2);
	struct archive_entry *entry;
	static char message[128];
	ssize_t got = -1;
	char chunk[65536];

	archive_read_support_filter_all(a);
	archive_read_support_format_raw(a);
	if (size > MAX_VMLINUX) {
		*why = "its payload is damaged";
	} else if (archive_read_open_memory(a, p, gzip ? n : n - 4) == ARCHIVE_OK &&
		   archive_read_next_header(a, &entry) == ARCHIVE_OK) {
		while (out->n < size && (got = archive_read_data(a, chunk, sizeof(chunk))) > 0)
			buf_add(out, chunk, got);
	}
	if (!*why && out->n != size) {
		const char *s = archive_error_string(a);

		snprintf(message, sizeof(message), "its payload cannot be decompressed: %s",
			 s ? s : "cut off");
		*why = message;
	}
	archive_read_free(a);
	return !*why;
}

static bool note_is_pvh(const char *p, size_t n)
{
	while (n >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr h;
		size_t name, whole;

		memcpy(&h, p, sizeof(h));
		name = ((size_t)h.n_namesz + 3) & ~3UL;
		whole = sizeof(h) + name + (((size_t)h.n_descsz + 3) & ~3UL);
		if (whole > n)
			return false;
		if (h.n_type == XEN_ELFNOTE_PHYS32_ENTRY && h.n_namesz == 4 &&
		    !memcmp(p + sizeof(h), "Xen", 4))
			return true;
		p += whole;
		n -= whole;
	}
	return false;
}

static bool has_pvh_note(const struct buf *elf, const char **why)
{
	Elf64_Ehdr eh;

	*why = "what it holds is no 64-bit ELF file";
	if (elf->n < sizeof(eh))
		return false;
	memcpy(&eh, elf->s, sizeof(eh));
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_phentsize != sizeof(Elf64_Phdr))
		return false;
	for (size_t i = 0; i < eh.e_phnum; i++) {
		size_t at = eh.e_phoff + i * sizeof(Elf64_Phdr);
		Elf64_Phdr ph;

		if (at > elf->n || elf->n - at < sizeof(ph))
			return false;
		memcpy(&ph, elf->s + at, sizeof(ph));
		if (ph.p_type != PT_NOTE || ph.p_offset > elf->n ||
		    ph.p_filesz > elf->n - ph.p_offset)
			continue;
		if (note_is_pvh(elf->s + ph.p_offset, ph.p_filesz)) {
			*why = NULL;
			return true;
		}
	}
	*why = "its kernel has no PVH entry (CONFIG_PVH)";
	return false;
}

static bool is_zero(const char *p, size_t n)
{
	return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

static int write_blocks(int fd, const struct buf *b)
{
	size_t block = 4096;

	if (ftruncate(fd, b->n))
		return -errno;
	for (size_t at = 0; at < b->n; at += block) {
		size_t n = b->n - at < block ? b->n - at : block;

		if (is_zero(b->s + at, n))
			continue;
		for (size_t done = 0; done < n;) {
			ssize_t w = pwrite(fd, b->s + at + done, n - done, at + done);

			if (w < 0 && errno != EINTR)
				return -errno;
			done += w > 0 ? w : 0;
		}
	}
	return fsync(fd) ? -errno : 0;
}

/* Like file_write(), with holes: half of an x86 kernel's ELF file is alignment. */
static int write_sparse(const char *path, const struct buf *b)
{
	_cleanup_free_ char *tmp = xasprintf("%s.tmp-%d", path, getpid());
	int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), err;

	if (fd < 0)
		return -errno;
	err = write_blocks(fd, b);
	if (close(fd) && !err)
		err = -errno;
	if (!err && rename(tmp, path))
		err = -errno;
	if (err)
		unlink(tmp);
	return err;
}

enum lab_exit image_make_bootable(const struct arch *arch, const char *vmlinuz, const char *to)
{
	struct buf in = {}, elf = {};
	const char *why = NULL, *p;
	const struct buf *out = &in;
	enum lab_exit ret = LAB_OK;
	int err = file_read(vmlinuz, &in);
	size_t n;

	if (err) {
		buf_free(&in);
		return lab_fail(LAB_CANNOT, NULL, "cannot read the kernel image %s: %s", vmlinuz,
				strerror(-err));
	}
	if (!strcmp(arch->image, "pvh-elf") &&
	    !(in.n > SELFMAG && !memcmp(in.s, ELFMAG, SELFMAG))) {
		p = bz_payload(&in, &n, &why);
		if (p && decompress(p, n, &elf, &why) && has_pvh_note(&elf, &why))
			out = &elf;
		else
			lab_verbose("%s is booted as it is, which is slower: %s", vmlinuz, why);
	}
	err = write_sparse(to, out);
	if (err)
		ret = lab_fail(LAB_CANNOT,
			       err == -ENOSPC ?
				       "free some space, or set CDEVLAB_CACHE to another disk" :
				       NULL,
			       "cannot write the kernel image %s: %s", to, strerror(-err));
	buf_free(&in);
	buf_free(&elf);
	return ret;
}
