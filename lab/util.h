/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Strings, files and hashes. Memory functions end the program when memory is out.
 * Functions that touch files return 0 or -errno and print nothing.
 */
#ifndef CDEVLAB_UTIL_H
#define CDEVLAB_UTIL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

void free_ptr(void *p); /* for __attribute__((cleanup)): free(*(void **)p) */
void close_fd(int *fd);
void close_file(FILE **f);
#define _cleanup_free_	__attribute__((cleanup(free_ptr)))
#define _cleanup_close_ __attribute__((cleanup(close_fd)))
#define _cleanup_file_	__attribute__((cleanup(close_file)))

/* struct strv - a growing list of strings, always NULL-terminated: v is an argv. */
struct strv {
	char **v;
	size_t n;
};
void strv_add(struct strv *sv, const char *s);
void strv_addf(struct strv *sv, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strv_take(struct strv *sv, char *s); /* takes over s */
bool strv_has(const struct strv *sv, const char *s);
void strv_split(struct strv *sv, const char *s, const char *separators);
void strv_sort(struct strv *sv);
void strv_free(struct strv *sv);

/* struct buf - a growing byte string, always NUL-terminated. */
struct buf {
	char *s;
	size_t n, room;
};
void buf_add(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_free(struct buf *b);

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
char *str_last_line(const char *s); /* that is not blank; a new string, "" if there is none */
/* Without what neither XML nor JSON can hold: such bytes become the replacement character. A new string. */
char *str_clean(const char *s);
char *str_trim(char *s); /* in place; returns the first non-blank */
/* A new string with every from replaced by to. */
char *str_replace(const char *s, const char *from, const char *to);
/* Last path component, never NULL. */
const char *path_base(const char *path);
/* Quotes a word for a POSIX shell where it needs it; a new string. */
char *shell_quote(const char *word);
char *shell_join(char *const *argv);

bool file_exists(const char *path);
bool is_dir(const char *path);
int file_read(const char *path, struct buf *out);
/* Lines of a table that are neither empty nor a comment, "#" first; 0 or -errno. */
int table_read(const char *path, struct strv *rows);
/* Written to a temporary name beside it, synced, renamed: the old content or the new, never half. */
int file_write(const char *path, const void *data, size_t n);
int file_copy(const char *from, const char *to);
int make_dirs(const char *path, mode_t mode);
int remove_tree(const char *path);
/* Copies a directory tree (regular files, symlinks, directories), leaving out what skip() names. */
int copy_tree(const char *from, const char *to, bool (*skip)(const char *name));
/* Opens and flock()s path exclusively, waiting; waiting() is called once if it must wait. Returns an fd
 * (close it to unlock) or -errno. */
int lock_file(const char *path, void (*waiting)(void));

#define HASH_HEX 65 /* SHA-256 in hexadecimal, with NUL */
/* struct hash - an incremental SHA-256 (libmd behind it). */
struct hash *hash_new(void);
void hash_add(struct hash *h, const void *p, size_t n);
void hash_puts(struct hash *h, const char *s); /* with its NUL, so that fields stay apart */
int hash_add_file(struct hash *h, const char *path);
/* Names, types and contents of a tree in a stable order, leaving out what skip() names. */
int hash_add_tree(struct hash *h, const char *path, bool (*skip)(const char *name));
void hash_end(struct hash *h, char hex[HASH_HEX]); /* frees h */
int hash_file(const char *path, char hex[HASH_HEX]);

/* Monotonic seconds. */
double now_s(void);
/* UTC as 2026-11-21T03:30:00Z; a new string. */
char *utc_now(void);

#endif
