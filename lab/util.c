// SPDX-License-Identifier: GPL-2.0
#include "util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sha256.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void *or_die(void *p)
{
	if (!p) {
		fputs("cdevlab: out of memory\n", stderr);
		exit(3);
	}
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	return or_die(calloc(n ? n : 1, size));
}

void *xrealloc(void *p, size_t n, size_t size)
{
	return or_die(reallocarray(p, n ? n : 1, size));
}

char *xstrdup(const char *s)
{
	return or_die(strdup(s));
}

char *xstrndup(const char *s, size_t n)
{
	return or_die(strndup(s, n));
}

char *xvasprintf(const char *fmt, va_list ap)
{
	char *s;

	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	return or_die(s);
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = xvasprintf(fmt, ap);
	va_end(ap);
	return s;
}

void free_ptr(void *p)
{
	free(*(void **)p);
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

void close_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

void strv_take(struct strv *sv, char *s)
{
	sv->v = xrealloc(sv->v, sv->n + 2, sizeof(*sv->v));
	sv->v[sv->n++] = s;
	sv->v[sv->n] = NULL;
}

void strv_add(struct strv *sv, const char *s)
{
	strv_take(sv, xstrdup(s));
}

void strv_addf(struct strv *sv, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	strv_take(sv, xvasprintf(fmt, ap));
	va_end(ap);
}

bool strv_has(const struct strv *sv, const char *s)
{
	for (size_t i = 0; i < sv->n; i++)
		if (!strcmp(sv->v[i], s))
			return true;
	return false;
}

void strv_split(struct strv *sv, const char *s, const char *separators)
{
	while (*(s += strspn(s, separators))) {
		size_t n = strcspn(s, separators);

		strv_take(sv, xstrndup(s, n));
		s += n;
	}
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(struct strv *sv)
{
	if (sv->n)
		qsort(sv->v, sv->n, sizeof(*sv->v), compare_strings);
}

void strv_free(struct strv *sv)
{
	for (size_t i = 0; i < sv->n; i++)
		free(sv->v[i]);
	free(sv->v);
	*sv = (struct strv){};
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	if (b->n + n + 1 > b->room) {
		b->room = b->room ? b->room : 64;
		while (b->room < b->n + n + 1)
			b->room *= 2;
		b->s = xrealloc(b->s, b->room, 1);
	}
	if (n)
		memcpy(b->s + b->n, p, n);
	b->n += n;
	b->s[b->n] = '\0';
}

void buf_puts(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	_cleanup_free_ char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	s = xvasprintf(fmt, ap);
	va_end(ap);
	buf_puts(b, s);
}

void buf_free(struct buf *b)
{
	free(b->s);
	*b = (struct buf){};
}

bool str_starts(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && !strcmp(s + n - m, suffix);
}

char *str_last_line(const char *s)
{
	_cleanup_free_ char *copy = xstrdup(s);
	char *line = str_trim(copy), *nl = strrchr(line, '\n');

	return xstrdup(nl ? nl + 1 : line);
}

char *str_trim(char *s)
{
	size_t n;

	s += strspn(s, " \t\r\n");
	n = strlen(s);
	while (n && strchr(" \t\r\n", s[n - 1]))
		s[--n] = '\0';
	return s;
}

char *str_replace(const char *s, const char *from, const char *to)
{
	struct buf b = {};
	const char *hit;

	buf_puts(&b, "");
	while (*from && (hit = strstr(s, from))) {
		buf_add(&b, s, hit - s);
		buf_puts(&b, to);
		s = hit + strlen(from);
	}
	buf_puts(&b, s);
	return b.s;
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

char *shell_quote(const char *word)
{
	struct buf b = {};

	if (*word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					"0123456789_-+=./:,@%")])
		return xstrdup(word);
	buf_puts(&b, "'");
	for (; *word; word++) {
		if (*word == '\'')
			buf_puts(&b, "'\\''");
		else
			buf_add(&b, word, 1);
	}
	buf_puts(&b, "'");
	return b.s;
}

char *shell_join(char *const *argv)
{
	struct buf b = {};

	buf_puts(&b, "");
	for (; *argv; argv++) {
		_cleanup_free_ char *q = shell_quote(*argv);

		if (b.n)
			buf_puts(&b, " ");
		buf_puts(&b, q);
	}
	return b.s;
}

bool file_exists(const char *path)
{
	return !access(path, F_OK);
}

bool is_dir(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int file_read(const char *path, struct buf *out)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char chunk[65536];
	ssize_t n;

	if (fd < 0)
		return -errno;
	buf_puts(out, "");
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		buf_add(out, chunk, n);
	return n < 0 ? -errno : 0;
}

int table_read(const char *path, struct strv *rows)
{
	struct buf text = {};
	struct strv lines = {};
	int err = file_read(path, &text);

	if (!err)
		strv_split(&lines, text.s, "\n");
	for (size_t i = 0; i < lines.n; i++)
		if (lines.v[i][0] != '#')
			strv_add(rows, lines.v[i]);
	strv_free(&lines);
	buf_free(&text);
	return err;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += done;
		n -= done;
	}
	return 0;
}

int file_write(const char *path, const void *data, size_t n)
{
	_cleanup_free_ char *tmp = xasprintf("%s.tmp-%d", path, getpid());
	int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), ret;

	if (fd < 0)
		return -errno;
	ret = write_all(fd, data, n);
	if (!ret && fsync(fd))
		ret = -errno;
	if (close(fd) && !ret)
		ret = -errno;
	if (!ret && rename(tmp, path))
		ret = -errno;
	if (ret)
		unlink(tmp);
	return ret;
}

int file_copy(const char *from, const char *to)
{
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
	char chunk[65536];
	struct stat st;
	int out, ret = 0;
	ssize_t n;

	if (in < 0 || fstat(in, &st))
		return -errno;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, (st.st_mode & 0777) | 0200);
	if (out < 0)
		return -errno;
	while (!ret && (n = read(in, chunk, sizeof(chunk))) != 0)
		ret = n < 0 ? -errno : write_all(out, chunk, n);
	if (close(out) && !ret)
		ret = -errno;
	if (ret)
		unlink(to);
	return ret;
}

int make_dirs(const char *path, mode_t mode)
{
	_cleanup_free_ char *p = xstrdup(path);

	if (!*p)
		return -ENOENT;
	for (char *s = p + 1; *s; s++) {
		if (*s != '/')
			continue;
		*s = '\0';
		if (mkdir(p, mode) && errno != EEXIST)
			return -errno;
		*s = '/';
	}
	return mkdir(p, mode) && errno != EEXIST ? -errno : 0;
}

static int open_directory(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	/* unpacked packages may hold directories that even their owner cannot write to */
	if ((type == FTW_D || type == FTW_DNR) && (st->st_mode & 0700) != 0700)
		chmod(path, 0700);
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path) && errno != ENOENT ? -1 : 0;
}

int remove_tree(const char *path)
{
	for (int tries = 0; tries < 3; tries++) {
		/* a directory that could not be read at first shows its own only the next time */
		nftw(path, open_directory, 16, FTW_PHYS);
		if (!nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) || errno == ENOENT)
			return 0;
	}
	return -errno;
}

/* Names in a directory, sorted, without . and .. and what skip() names. */
static int list_dir(const char *path, bool (*skip)(const char *name), struct strv *names)
{
	DIR *d = opendir(path);
	struct dirent *e;

	if (!d)
		return -errno;
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && !(skip && skip(e->d_name)))
			strv_add(names, e->d_name);
	closedir(d);
	strv_sort(names);
	return 0;
}

enum entry_kind {
	ENTRY_NONE,
	ENTRY_FILE,
	ENTRY_DIR,
	ENTRY_LINK
};

/*
 * What an entry of a source tree is. A link within the tree stays one (its text goes to @target); one that leads
 * out of it stands for what it points to, since that does not come along. Devices, dangling links and links
 * to a directory that holds the link itself are nothing.
 */
static enum entry_kind entry_kind(const char *path, char target[PATH_MAX])
{
	char real[PATH_MAX], self[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (lstat(path, &st))
		return ENTRY_NONE;
	if (S_ISLNK(st.st_mode)) {
		n = readlink(path, target, PATH_MAX - 1);
		if (n < 0)
			return ENTRY_NONE;
		target[n] = '\0';
		if (target[0] != '/' && !strstr(target, ".."))
			return ENTRY_LINK;
		if (stat(path, &st) || !realpath(path, real))
			return ENTRY_NONE;
		snprintf(self, sizeof(self), "%s", path);
		*strrchr(self, '/') = '\0';
		if (S_ISDIR(st.st_mode) && realpath(self, target) && str_starts(target, real))
			return ENTRY_NONE;
	}
	return S_ISDIR(st.st_mode) ? ENTRY_DIR : S_ISREG(st.st_mode) ? ENTRY_FILE : ENTRY_NONE;
}

int copy_tree(const char *from, const char *to, bool (*skip)(const char *name))
{
	struct strv names = {};
	int ret = list_dir(from, skip, &names);
	char target[PATH_MAX];

	if (!ret && mkdir(to, 0755) && errno != EEXIST)
		ret = -errno;
	for (size_t i = 0; i < names.n && !ret; i++) {
		_cleanup_free_ char *a = xasprintf("%s/%s", from, names.v[i]);
		_cleanup_free_ char *b = xasprintf("%s/%s", to, names.v[i]);

		switch (entry_kind(a, target)) {
		case ENTRY_FILE:
			ret = file_copy(a, b);
			break;
		case ENTRY_DIR:
			ret = copy_tree(a, b, skip);
			break;
		case ENTRY_LINK:
			ret = symlink(target, b) ? -errno : 0;
			break;
		case ENTRY_NONE:
			break;
		}
	}
	strv_free(&names);
	return ret;
}

int lock_file(const char *path, void (*waiting)(void))
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno == EWOULDBLOCK && waiting)
			waiting();
		if (flock(fd, LOCK_EX)) {
			int ret = -errno;

			close(fd);
			return ret;
		}
	}
	return fd;
}

struct hash {
	SHA2_CTX ctx;
};

struct hash *hash_new(void)
{
	struct hash *h = xcalloc(1, sizeof(*h));

	SHA256Init(&h->ctx);
	return h;
}

void hash_add(struct hash *h, const void *p, size_t n)
{
	SHA256Update(&h->ctx, p, n);
}

void hash_puts(struct hash *h, const char *s)
{
	hash_add(h, s, strlen(s) + 1);
}

int hash_add_file(struct hash *h, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char chunk[65536];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		hash_add(h, chunk, n);
	return n < 0 ? -errno : 0;
}

int hash_add_tree(struct hash *h, const char *path, bool (*skip)(const char *name))
{
	struct strv names = {};
	int ret = list_dir(path, skip, &names);
	char target[PATH_MAX];

	for (size_t i = 0; i < names.n && !ret; i++) {
		_cleanup_free_ char *p = xasprintf("%s/%s", path, names.v[i]);
		enum entry_kind kind = entry_kind(p, target);
		struct stat st;

		hash_add(h, &kind, sizeof(kind));
		hash_puts(h, names.v[i]);
		switch (kind) {
		case ENTRY_DIR:
			ret = hash_add_tree(h, p, skip);
			hash_puts(h, "");
			break;
		case ENTRY_FILE:
			ret = stat(p, &st) ? -errno : 0;
			hash_add(h, &st.st_size, sizeof(st.st_size));
			if (!ret)
				ret = hash_add_file(h, p);
			break;
		case ENTRY_LINK:
			hash_puts(h, target);
			break;
		case ENTRY_NONE:
			break;
		}
	}
	strv_free(&names);
	return ret;
}

void hash_end(struct hash *h, char hex[HASH_HEX])
{
	SHA256End(&h->ctx, hex);
	free(h);
}

int hash_file(const char *path, char hex[HASH_HEX])
{
	struct hash *h = hash_new();
	int ret = hash_add_file(h, path);

	hash_end(h, hex);
	return ret;
}

double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

char *utc_now(void)
{
	time_t t = time(NULL);
	struct tm tm;
	char s[32];

	gmtime_r(&t, &tm);
	strftime(s, sizeof(s), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return xstrdup(s);
}

/* Bytes of a valid UTF-8 sequence of a character that XML 1.0 allows, or 0. */
static size_t valid_char(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	unsigned int c;
	size_t n;

	if (s[0] < 0x80)
		return s[0] >= ' ' || s[0] == '\t' || s[0] == '\n' ? s[0] != 0x7f : 0;
	n = s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
	if (!n || s[0] > 0xf4)
		return 0;
	c = s[0] & (0xff >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)) ||
	    (c >= 0xd800 && c <= 0xdfff) || c == 0xfffe || c == 0xffff)
		return 0;
	return n;
}

char *str_clean(const char *s)
{
	struct buf b = {};

	buf_puts(&b, "");
	while (*s) {
		size_t n = valid_char(s);

		buf_add(&b, n ? s : "\xef\xbf\xbd", n ? n : 3);
		s += n ? n : 1;
	}
	return b.s;
}
