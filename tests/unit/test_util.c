// SPDX-License-Identifier: GPL-2.0
/* Strings, files and hashes. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../lab/lab.h"
#include "dir.h"

static void put_path(const char *path, const char *text)
{
	assert_int_equal(file_write(path, text, strlen(text)), 0);
}

static void assert_holds(const char *path, const char *text)
{
	struct buf b = {};

	assert_int_equal(file_read(path, &b), 0);
	assert_string_equal(b.s, text);
	buf_free(&b);
}

static void strings_are_compared_and_trimmed(void **state)
{
	char s[] = " \t a b \n", blank[] = " \n";
	static const char *const last[][2] = {
		{ "a\nb\n\n", "b" }, { "a", "a" }, { "", "" }, { "\n", "" }
	};

	(void)state;
	assert_true(str_starts("abc", "ab") && str_starts("abc", "") && !str_starts("a", "ab"));
	assert_true(str_ends("a.ko", ".ko") && !str_ends("ko", ".ko") && str_ends("x", ""));
	assert_string_equal(str_trim(s), "a b");
	assert_string_equal(str_trim(blank), "");
	for (size_t i = 0; i < ARRAY_SIZE(last); i++) {
		_cleanup_free_ char *line = str_last_line(last[i][0]);

		assert_string_equal(line, last[i][1]);
	}
	assert_string_equal(path_base("/a/b"), "b");
	assert_string_equal(path_base("b"), "b");
	assert_string_equal(path_base("/a/"), "");
}

static void replacing_replaces_all_and_ends(void **state)
{
	_cleanup_free_ char *a = str_replace("aXXbXX", "XX", "XXX");
	_cleanup_free_ char *b = str_replace("", "x", "y");
	_cleanup_free_ char *c = str_replace("abc", "", "y");

	(void)state;
	assert_string_equal(a, "aXXXbXXX");
	assert_string_equal(b, "");
	assert_string_equal(c, "abc");
}

static void quoted_words_come_back_from_a_shell(void **state)
{
	static char *const words[] = { "plain", "",  "two words", "it's", "$HOME `x` \\ \"",
				       "a\nb",	"*", "~",	  "-n",	  "a=b",
				       NULL };

	(void)state;
	for (char *const *w = words; *w; w++) {
		_cleanup_free_ char *q = shell_quote(*w);
		_cleanup_free_ char *command = xasprintf("printf %%s %s", q);
		char got[64] = "";
		FILE *p = popen(command, "r");
		size_t n = fread(got, 1, sizeof(got) - 1, p);

		assert_int_equal(pclose(p), 0);
		assert_int_equal(n, strlen(*w));
		assert_string_equal(got, *w);
	}
}

static void lists_are_argument_vectors(void **state)
{
	struct strv v = {};

	(void)state;
	strv_split(&v, " b  a,c ", " ,");
	strv_addf(&v, "%d", 5);
	assert_int_equal(v.n, 4);
	assert_null(v.v[4]);
	strv_sort(&v);
	assert_string_equal(v.v[0], "5");
	assert_string_equal(v.v[3], "c");
	assert_true(strv_has(&v, "a") && !strv_has(&v, "d"));
	strv_free(&v);
	assert_false(strv_has(&v, "a"));
	strv_sort(&v);
}

static void buffers_hold_any_bytes(void **state)
{
	struct buf b = {};

	(void)state;
	buf_add(&b, "a\0b", 3);
	buf_add(&b, NULL, 0);
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%d", i % 10);
	assert_int_equal(b.n, 1003);
	assert_int_equal(b.s[b.n], 0);
	buf_free(&b);
	assert_null(b.s);
}

static void a_file_is_written_whole(void **state)
{
	_cleanup_free_ char *f = at("file");
	struct buf b = {};

	(void)state;
	put_path(f, "one");
	put_path(f, "two");
	assert_holds(f, "two");
	assert_int_equal(file_write("/nonexistent/file", "x", 1), -ENOENT);
	assert_int_equal(file_read("/nonexistent", &b), -ENOENT);
	assert_int_equal(file_read(dir, &b), -EISDIR);
	buf_free(&b);
}

static void a_full_disk_leaves_the_old_file(void **state)
{
	_cleanup_free_ char *mnt = at("small"), *f = at("small/file");
	_cleanup_free_ char *alone = xasprintf("test \"$(ls -A %s)\" = file", mnt);
	static char big[1 << 20];
	int first, second, only;
	struct buf b = {};

	(void)state;
	if (geteuid()) {
		print_message("skipped: mounting a small tmpfs needs root\n");
		skip();
	}
	assert_int_equal(mkdir(mnt, 0755), 0);
	if (mount("none", mnt, "tmpfs", 0, "size=64k")) {
		print_message("skipped: cannot mount a tmpfs: %s\n", strerror(errno));
		skip();
	}
	/* nothing is asserted before the unmount: a failure must not leave the mount behind */
	first = file_write(f, "old", 3);
	second = file_write(f, big, sizeof(big));
	file_read(f, &b);
	only = system(alone);
	umount2(mnt, MNT_DETACH);
	assert_int_equal(first, 0);
	assert_int_equal(second, -ENOSPC);
	assert_string_equal(b.s, "old");
	assert_int_equal(only, 0);
	buf_free(&b);
}

static void directories_are_made_and_removed(void **state)
{
	_cleanup_free_ char *deep = at("a/b/c"), *f = at("a/b/c/file"), *a = at("a");
	_cleanup_free_ char *closed = at("a/closed"), *under = at("a/b/c/file/x");

	(void)state;
	assert_int_equal(make_dirs(deep, 0755), 0);
	assert_int_equal(make_dirs(deep, 0755), 0);
	put_path(f, "x");
	assert_int_equal(make_dirs(under, 0755), -ENOTDIR);
	assert_int_equal(mkdir(closed, 0), 0);
	assert_int_equal(remove_tree(a), 0);
	assert_false(file_exists(a));
	assert_int_equal(remove_tree(a), 0);
}

static bool skip_objects(const char *name)
{
	return str_ends(name, ".o");
}

static void a_tree_is_copied_without_what_is_left_out(void **state)
{
	_cleanup_free_ char *from = at("from"), *sub = at("from/sub"), *to = at("to");
	_cleanup_free_ char *a = at("from/a.c"), *o = at("from/sub/a.o");
	_cleanup_free_ char *outside = at("outside.h"), *link = at("from/outside.h");
	_cleanup_free_ char *inner = at("from/inner.c"), *fifo = at("from/fifo");
	_cleanup_free_ char *to_a = at("to/a.c"), *to_o = at("to/sub/a.o");
	_cleanup_free_ char *to_link = at("to/outside.h"), *to_inner = at("to/inner.c");
	_cleanup_free_ char *to_fifo = at("to/fifo");
	struct stat st;

	(void)state;
	assert_int_equal(make_dirs(sub, 0755), 0);
	put_path(a, "source");
	assert_int_equal(chmod(a, 0555), 0);
	put_path(o, "object");
	put_path(outside, "header");
	assert_int_equal(symlink("../outside.h", link), 0);
	assert_int_equal(symlink("a.c", inner), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(copy_tree(from, to, skip_objects), 0);
	assert_holds(to_a, "source");
	assert_int_equal(stat(to_a, &st), 0);
	assert_true(st.st_mode & 0100);
	assert_true(st.st_mode & 0200); /* a copy can be written to */
	assert_false(file_exists(to_o));
	assert_false(file_exists(to_fifo));
	/* a link out of the tree would dangle: its target is there instead */
	assert_holds(to_link, "header");
	assert_int_equal(lstat(to_link, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(lstat(to_inner, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(copy_tree("/nonexistent", to, NULL), -ENOENT);
}

static void a_hash_is_sha256(void **state)
{
	struct hash *h = hash_new();
	char hex[HASH_HEX];

	(void)state;
	hash_add(h, "abc", 3);
	hash_end(h, hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(hash_file("/nonexistent", hex), -ENOENT);
}

static void fields_of_a_hash_stay_apart(void **state)
{
	struct hash *a = hash_new(), *b = hash_new();
	char x[HASH_HEX], y[HASH_HEX];

	(void)state;
	hash_puts(a, "ab");
	hash_puts(a, "c");
	hash_puts(b, "a");
	hash_puts(b, "bc");
	hash_end(a, x);
	hash_end(b, y);
	assert_string_not_equal(x, y);
}

static void tree_hash(const char *path, char hex[HASH_HEX])
{
	struct hash *h = hash_new();

	assert_int_equal(hash_add_tree(h, path, skip_objects), 0);
	hash_end(h, hex);
}

static void the_hash_of_a_tree_tells_contents_and_names(void **state)
{
	_cleanup_free_ char *t = at("tree"), *sub = at("tree/sub"), *f = at("tree/f.c");
	_cleanup_free_ char *g = at("tree/sub/f.c"), *o = at("tree/f.o");
	char first[HASH_HEX], now[HASH_HEX];

	(void)state;
	assert_int_equal(make_dirs(sub, 0755), 0);
	put_path(f, "x");
	tree_hash(t, first);
	put_path(o, "left out");
	tree_hash(t, now);
	assert_string_equal(first, now);
	put_path(f, "y");
	tree_hash(t, now);
	assert_string_not_equal(first, now);
	assert_int_equal(rename(f, g), 0);
	put_path(g, "x");
	tree_hash(t, now);
	assert_string_not_equal(first, now);
}

static void a_lock_keeps_others_out(void **state)
{
	_cleanup_free_ char *f = at("lock");
	int fd = lock_file(f, NULL), status, waiting[2];
	char c = 0;
	pid_t pid;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(pipe(waiting), 0);
	pid = fork();
	if (!pid) {
		int mine;

		alarm(20);
		close(fd); /* the lock is the description's: this does not unlock it */
		if (write(waiting[1], "w", 1) != 1)
			_exit(2);
		mine = lock_file(f, NULL);
		if (write(waiting[1], "l", 1) != 1)
			_exit(2);
		_exit(mine < 0);
	}
	assert_int_equal(read(waiting[0], &c, 1), 1);
	usleep(100000);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(waiting[0]);
	close(waiting[1]);
	assert_int_equal(lock_file("/nonexistent/lock", NULL), -ENOENT);
}

static void a_table_has_rows_without_comments(void **state)
{
	_cleanup_free_ char *path = at("table");
	struct strv rows = {};

	(void)state;
	put("table", "# comment\n\na\tb\n#\n c # not one\n");
	assert_int_equal(table_read(path, &rows), 0);
	assert_int_equal(rows.n, 2);
	assert_string_equal(rows.v[0], "a\tb");
	assert_string_equal(rows.v[1], " c # not one");
	unlink(path);
	assert_int_equal(table_read(path, &rows), -ENOENT);
	strv_free(&rows);
}

static void times_have_their_form(void **state)
{
	_cleanup_free_ char *t = utc_now();
	double a = now_s();

	(void)state;
	assert_int_equal(strlen(t), strlen("2026-11-21T03:30:00Z"));
	assert_true(t[10] == 'T' && t[19] == 'Z');
	assert_true(now_s() >= a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_are_compared_and_trimmed),
		cmocka_unit_test(replacing_replaces_all_and_ends),
		cmocka_unit_test(quoted_words_come_back_from_a_shell),
		cmocka_unit_test(lists_are_argument_vectors),
		cmocka_unit_test(buffers_hold_any_bytes),
		cmocka_unit_test(a_file_is_written_whole),
		cmocka_unit_test(a_full_disk_leaves_the_old_file),
		cmocka_unit_test(directories_are_made_and_removed),
		cmocka_unit_test(a_tree_is_copied_without_what_is_left_out),
		cmocka_unit_test(a_hash_is_sha256),
		cmocka_unit_test(fields_of_a_hash_stay_apart),
		cmocka_unit_test(the_hash_of_a_tree_tells_contents_and_names),
		cmocka_unit_test(a_lock_keeps_others_out),
		cmocka_unit_test(a_table_has_rows_without_comments),
		cmocka_unit_test(times_have_their_form),
	};

	return cmocka_run_group_tests_name("util", tests, dir_setup, dir_teardown);
}
