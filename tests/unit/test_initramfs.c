// SPDX-License-Identifier: GPL-2.0
/* The guest's root, read back by libarchive as the kernel would. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <utime.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "../../lab/initramfs.h"
#include "dir.h"

static char *host_file(const char *name, const char *text)
{
	put(name, text);
	return at(name);
}

static struct buf bytes_of(struct initramfs *fs)
{
	struct buf b = {};
	size_t size;
	int fd;

	assert_int_equal(initramfs_finish(fs, &fd, &size), LAB_OK);
	b.s = xcalloc(size + 1, 1);
	b.n = b.room = size;
	assert_int_equal(pread(fd, b.s, size, 0), size);
	close(fd);
	return b;
}

/* One line for each entry: mode path uid:gid mtime [-> target | =content | major,minor] */
static char *listing(struct buf *bytes)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	struct buf out = {};

	buf_puts(&out, "");
	archive_read_support_format_cpio(a);
	assert_int_equal(archive_read_open_memory(a, bytes->s, bytes->n), ARCHIVE_OK);
	while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
		char text[256];
		la_ssize_t n;

		buf_printf(&out, "%o %s %d:%d %d", archive_entry_mode(e), archive_entry_pathname(e),
			   (int)archive_entry_uid(e), (int)archive_entry_gid(e),
			   (int)archive_entry_mtime(e));
		if (archive_entry_filetype(e) == S_IFLNK)
			buf_printf(&out, " -> %s", archive_entry_symlink(e));
		if (archive_entry_filetype(e) == S_IFCHR)
			buf_printf(&out, " %d,%d", (int)major(archive_entry_rdev(e)),
				   (int)minor(archive_entry_rdev(e)));
		if (archive_entry_filetype(e) == S_IFREG) {
			buf_puts(&out, " =");
			while ((n = archive_read_data(a, text, sizeof(text))) > 0)
				buf_add(&out, text, n);
		}
		buf_puts(&out, "\n");
	}
	archive_read_free(a);
	return out.s;
}

static void everything_is_in_the_archive_as_it_was_added(void **state)
{
	_cleanup_free_ char *path = host_file("program", "binary"), *list = NULL;
	struct initramfs *fs = initramfs_new();
	struct buf b;

	(void)state;
	chmod(path, 0600);
	initramfs_file(fs, "/lab/bin/program", 0755, path);
	initramfs_node(fs, "/dev/console", 0600, 5, 1);
	initramfs_symlink(fs, "/lab/bin/other", "program");
	initramfs_data(fs, "/lab/plan", 0644, "one\n", 4);
	initramfs_data(fs, "/lab/empty", 0644, NULL, 0);
	b = bytes_of(fs);
	list = listing(&b);
	assert_string_equal(list, "40755 lab 0:0 0\n"
				  "40755 lab/bin 0:0 0\n"
				  "100755 lab/bin/program 0:0 0 =binary\n"
				  "40755 dev 0:0 0\n"
				  "20600 dev/console 0:0 0 5,1\n"
				  "120777 lab/bin/other 0:0 0 -> program\n"
				  "100644 lab/plan 0:0 0 =one\n\n"
				  "100644 lab/empty 0:0 0 =\n");
	assert_memory_equal(b.s, "070701", 6); /* newc, not compressed */
	buf_free(&b);
}

static struct buf same_root(const char *path)
{
	struct initramfs *fs = initramfs_new();

	initramfs_file(fs, "/a/b/c", 0755, path);
	initramfs_data(fs, "/a/d", 0644, "text", 4);
	initramfs_symlink(fs, "/e", "/a/d");
	return bytes_of(fs);
}

static void equal_contents_give_equal_bytes(void **state)
{
	_cleanup_free_ char *one = host_file("one", "same"), *two = host_file("two", "same");
	struct utimbuf old = { 1000, 2000 };
	struct buf a, b;

	(void)state;
	assert_int_equal(utime(two, &old), 0);
	chmod(two, 0400);
	a = same_root(one);
	b = same_root(two);
	assert_int_equal(a.n, b.n);
	assert_memory_equal(a.s, b.s, a.n);
	buf_free(&a);
	buf_free(&b);
}

static void a_big_file_keeps_every_byte(void **state)
{
	_cleanup_free_ char *path = xasprintf("%s/big", dir);
	struct initramfs *fs = initramfs_new();
	size_t n = (3 << 20) + 1;
	char *data = xcalloc(n, 1);
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	struct buf b;

	(void)state;
	for (size_t i = 0; i < n; i++)
		data[i] = i * 2654435761U >> 13;
	assert_int_equal(file_write(path, data, n), 0);
	initramfs_file(fs, "/big", 0644, path);
	b = bytes_of(fs);
	archive_read_support_format_cpio(a);
	archive_read_open_memory(a, b.s, b.n);
	assert_int_equal(archive_read_next_header(a, &e), ARCHIVE_OK);
	assert_int_equal(archive_entry_size(e), n);
	{
		char *back = xcalloc(n, 1);

		assert_int_equal(archive_read_data(a, back, n), n);
		assert_memory_equal(back, data, n);
		free(back);
	}
	archive_read_free(a);
	buf_free(&b);
	free(data);
}

static void the_archive_cannot_be_changed_any_more(void **state)
{
	struct initramfs *fs = initramfs_new();
	size_t size;
	int fd;

	(void)state;
	initramfs_data(fs, "/x", 0644, "x", 1);
	assert_int_equal(initramfs_finish(fs, &fd, &size), LAB_OK);
	assert_int_equal(write(fd, "y", 1), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

/* Runs initramfs_finish() with standard error in a file and returns what it said. */
static char *refusal(struct initramfs *fs)
{
	_cleanup_free_ char *path = xasprintf("%s/stderr", dir);
	int saved = dup(2), out = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), fd = 0;
	struct buf b = {};
	enum lab_exit ret;
	size_t size = 1;

	dup2(out, 2);
	ret = initramfs_finish(fs, &fd, &size);
	fflush(stderr);
	dup2(saved, 2);
	close(saved);
	close(out);
	assert_int_equal(ret, LAB_CANNOT);
	assert_int_equal(fd, -1);
	assert_int_equal(size, 0);
	file_read(path, &b);
	return b.s;
}

static void a_path_can_be_there_only_once(void **state)
{
	struct initramfs *fs = initramfs_new();
	_cleanup_free_ char *said = NULL;

	(void)state;
	initramfs_data(fs, "/lab/plan", 0644, "1", 1);
	initramfs_data(fs, "lab/plan", 0644, "2", 1);
	said = refusal(fs);
	assert_non_null(strstr(said, "/lab/plan would be in the guest's root twice"));
}

static void a_file_is_no_directory(void **state)
{
	struct initramfs *fs = initramfs_new();
	_cleanup_free_ char *said = NULL;

	(void)state;
	initramfs_data(fs, "/lab", 0644, "1", 1);
	initramfs_data(fs, "/lab/plan", 0644, "2", 1);
	said = refusal(fs);
	assert_non_null(strstr(said, "/lab is not a directory"));
}

static void paths_that_leave_the_root_are_refused(void **state)
{
	static const char *const bad[] = { "", "/", "/../x", "/a/./b", "/a//b", "/a/" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct initramfs *fs = initramfs_new();
		_cleanup_free_ char *said = NULL;

		initramfs_data(fs, bad[i], 0644, "x", 1);
		said = refusal(fs);
		assert_non_null(strstr(said, "is no path for the guest's root"));
	}
}

static void a_missing_file_is_named(void **state)
{
	_cleanup_free_ char *path = xasprintf("%s/not-there", dir), *said = NULL;
	struct initramfs *fs = initramfs_new();

	(void)state;
	initramfs_file(fs, "/x", 0644, path);
	initramfs_data(fs, "/y", 0644, "y", 1);
	said = refusal(fs);
	assert_non_null(strstr(said, path));
	assert_non_null(strstr(said, "No such file"));
}

static void what_is_no_regular_file_is_not_read(void **state)
{
	_cleanup_free_ char *path = xasprintf("%s/fifo", dir), *said = NULL, *said_dir = NULL;
	struct initramfs *fs = initramfs_new();

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	initramfs_file(fs, "/x", 0644, path);
	said = refusal(fs);
	assert_non_null(strstr(said, "not a regular file"));
	fs = initramfs_new();
	initramfs_file(fs, "/x", 0644, dir);
	said_dir = refusal(fs);
	assert_non_null(strstr(said_dir, "not a regular file"));
}

static void an_empty_root_is_an_archive_too(void **state)
{
	struct buf b = bytes_of(initramfs_new());
	_cleanup_free_ char *list = listing(&b);

	(void)state;
	assert_string_equal(list, "");
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_in_the_archive_as_it_was_added),
		cmocka_unit_test(equal_contents_give_equal_bytes),
		cmocka_unit_test(a_big_file_keeps_every_byte),
		cmocka_unit_test(the_archive_cannot_be_changed_any_more),
		cmocka_unit_test(a_path_can_be_there_only_once),
		cmocka_unit_test(a_file_is_no_directory),
		cmocka_unit_test(paths_that_leave_the_root_are_refused),
		cmocka_unit_test(a_missing_file_is_named),
		cmocka_unit_test(what_is_no_regular_file_is_not_read),
		cmocka_unit_test(an_empty_root_is_an_archive_too),
	};

	return cmocka_run_group_tests_name("initramfs", tests, dir_setup, dir_teardown);
}
