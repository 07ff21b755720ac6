// SPDX-License-Identifier: GPL-2.0
#include "initramfs.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util.h"

/*
 * The archive is not compressed: it comes out of QEMU's memory, not off a disk, so there is nothing
 * to win by reading less, and under emulation decompression is a dear way to copy. With 3.4 MB of
 * static programs and modules a 6.1 kernel's init is ready after 882 million instructions; gzip
 * makes that 941, zstd 903.
 */

struct item {
	char *path;	 /* without the leading slash */
	mode_t mode;	 /* with the type */
	char *host_path; /* of a file to copy, or NULL */
	char *target;	 /* of a symlink */
	struct buf data;
	dev_t rdev;
};

struct initramfs {
	struct item *items;
	size_t n;
	char *error; /* the first one; everything after it is void */
};

/**
 * initramfs_new() - an empty root
 * Return: to be freed by initramfs_finish().
 */
struct initramfs *initramfs_new(void)
{
	return xcalloc(1, sizeof(struct initramfs));
}

static struct item *find(struct initramfs *fs, const char *path, size_t n)
{
	for (size_t i = 0; i < fs->n; i++)
		if (!strncmp(fs->items[i].path, path, n) && !fs->items[i].path[n])
			return &fs->items[i];
	return NULL;
}

static struct item *append(struct initramfs *fs, char *path, mode_t mode)
{
	struct item *item;

	fs->items = xrealloc(fs->items, fs->n + 1, sizeof(*fs->items));
	item = &fs->items[fs->n++];
	*item = (struct item){ .path = path, .mode = mode };
	return item;
}

static bool is_plain_path(const char *path)
{
	struct strv parts = {};
	bool ok;

	strv_split(&parts, path, "/");
	ok = parts.n && !strv_has(&parts, "..") && !strv_has(&parts, ".") && !strstr(path, "//") &&
	     !str_ends(path, "/");
	strv_free(&parts);
	return ok;
}

/* The new item, its parents before it; NULL with the error kept. */
static struct item *add(struct initramfs *fs, const char *path, mode_t mode)
{
	const char *p = path + (*path == '/');

	if (fs->error)
		return NULL;
	if (!is_plain_path(p)) {
		fs->error = xasprintf("'%s' is no path for the guest's root", path);
		return NULL;
	}
	if (find(fs, p, strlen(p))) {
		fs->error = xasprintf("/%s would be in the guest's root twice", p);
		return NULL;
	}
	for (const char *slash = p; (slash = strchr(slash, '/')); slash++) {
		struct item *parent = find(fs, p, slash - p);

		if (!parent)
			parent = append(fs, xstrndup(p, slash - p), S_IFDIR | 0755);
		if (!S_ISDIR(parent->mode)) {
			fs->error = xasprintf("/%s: /%s is not a directory in the guest's root", p,
					      parent->path);
			return NULL;
		}
	}
	return append(fs, xstrdup(p), mode);
}

/**
 * initramfs_data() - adds a file with that content
 * @fs:		the root
 * @path:	absolute path in the guest; its parents are added by themselves, 0755
 * @mode:	permission bits
 * @data:	copied
 * @n:		its size
 */
void initramfs_data(struct initramfs *fs, const char *path, mode_t mode, const void *data, size_t n)
{
	struct item *item = add(fs, path, S_IFREG | (mode & 07777));

	if (item)
		buf_add(&item->data, data, n);
}

/**
 * initramfs_file() - adds a copy of a file of the host, read by initramfs_finish()
 * @fs:		the root
 * @path:	absolute path in the guest
 * @mode:	permission bits
 * @host_path:	a regular file, or a link to one
 */
void initramfs_file(struct initramfs *fs, const char *path, mode_t mode, const char *host_path)
{
	struct item *item = add(fs, path, S_IFREG | (mode & 07777));

	if (item)
		item->host_path = xstrdup(host_path);
}

/**
 * initramfs_symlink() - adds a symbolic link
 * @fs:		the root
 * @path:	absolute path in the guest
 * @target:	what it holds
 */
void initramfs_symlink(struct initramfs *fs, const char *path, const char *target)
{
	struct item *item = add(fs, path, S_IFLNK | 0777);

	if (item)
		item->target = xstrdup(target);
}

/**
 * initramfs_node() - adds a character device node
 * @fs:		the root
 * @path:	absolute path in the guest
 * @mode:	permission bits
 * @major:	device number
 * @minor:	device number
 */
void initramfs_node(struct initramfs *fs, const char *path, mode_t mode, unsigned int major_nr,
		    unsigned int minor_nr)
{
	struct item *item = add(fs, path, S_IFCHR | (mode & 07777));

	if (item)
		item->rdev = makedev(major_nr, minor_nr);
}

static char *read_host_file(struct item *item)
{
	struct stat st;
	int ret = 0;

	/* a FIFO or a device would be read for ever */
	if (stat(item->host_path, &st))
		ret = -errno;
	else if (!S_ISREG(st.st_mode))
		return xasprintf("cannot copy %s into the guest's root: it is not a regular file",
				 item->host_path);
	if (!ret)
		ret = file_read(item->host_path, &item->data);
	return ret ? xasprintf("cannot read %s: %s", item->host_path, strerror(-ret)) : NULL;
}

static char *write_item(struct archive *a, struct item *item, size_t ino)
{
	struct archive_entry *e;
	char *error = NULL;
	bool ok;

	if (item->host_path)
		error = read_host_file(item);
	if (error)
		return error;
	e = archive_entry_new();
	archive_entry_set_pathname(e, item->path);
	archive_entry_set_mode(e, item->mode);
	archive_entry_set_ino(e, ino);
	archive_entry_set_nlink(e, S_ISDIR(item->mode) ? 2 : 1);
	archive_entry_set_uid(e, 0);
	archive_entry_set_gid(e, 0);
	archive_entry_set_mtime(e, 0, 0);
	archive_entry_set_size(e, item->data.n);
	if (item->target)
		archive_entry_set_symlink(e, item->target);
	if (S_ISCHR(item->mode))
		archive_entry_set_rdev(e, item->rdev);
	ok = archive_write_header(a, e) == ARCHIVE_OK;
	if (ok && item->data.n)
		ok = archive_write_data(a, item->data.s, item->data.n) == (la_ssize_t)item->data.n;
	if (!ok)
		error = xasprintf("cannot write /%s into the guest's root: %s", item->path,
				  archive_error_string(a) ?: "libarchive does not say why");
	archive_entry_free(e);
	buf_free(&item->data);
	return error;
}

static char *write_archive(struct initramfs *fs, int fd)
{
	struct archive *a = archive_write_new();
	char *error = NULL;

	archive_write_set_format_cpio_newc(a);
	archive_write_add_filter_none(a);
	archive_write_set_bytes_in_last_block(a, 1);
	if (archive_write_open_fd(a, fd) != ARCHIVE_OK)
		error = xasprintf("cannot write the guest's root: %s", archive_error_string(a));
	for (size_t i = 0; i < fs->n && !error; i++)
		error = write_item(a, &fs->items[i], i + 1);
	if (archive_write_close(a) != ARCHIVE_OK && !error)
		error = xasprintf("cannot write the guest's root: %s", archive_error_string(a));
	archive_write_free(a);
	return error;
}

static void initramfs_free(struct initramfs *fs)
{
	for (size_t i = 0; i < fs->n; i++) {
		free(fs->items[i].path);
		free(fs->items[i].host_path);
		free(fs->items[i].target);
		buf_free(&fs->items[i].data);
	}
	free(fs->items);
	free(fs->error);
	free(fs);
}

/**
 * initramfs_finish() - makes the archive
 * @fs:		the root; freed
 * @fd:		a sealed memory file, close-on-exec; -1 on failure
 * @size:	its size in bytes
 *
 * Nothing in the archive depends on the clock, the user, or the host's file times: the same content
 * added in the same order gives the same bytes.
 *
 * Return: LAB_OK, or LAB_CANNOT with a message that names the file.
 */
enum lab_exit initramfs_finish(struct initramfs *fs, int *fd, size_t *size)
{
	enum lab_exit ret = LAB_OK;
	struct stat st;

	*fd = -1;
	*size = 0;
	if (!fs->error) {
		*fd = memfd_create("initramfs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (*fd < 0)
			fs->error = xasprintf("memfd_create: %s", strerror(errno));
		else
			fs->error = write_archive(fs, *fd);
	}
	if (!fs->error &&
	    (fcntl(*fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) ||
	     lseek(*fd, 0, SEEK_SET) || fstat(*fd, &st)))
		fs->error = xasprintf("cannot seal the guest's root: %s", strerror(errno));
	if (fs->error) {
		ret = lab_fail(LAB_CANNOT, NULL, "%s", fs->error);
		close_fd(fd);
		*fd = -1;
	} else {
		*size = st.st_size;
	}
	initramfs_free(fs);
	return ret;
}
