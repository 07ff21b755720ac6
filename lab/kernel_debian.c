// SPDX-License-Identifier: GPL-2.0
/*
 * Kernels of the Debian archive, in the cache:
 *
 *   kernels/debian-SUITE-ARCH/
 *	lock		held while something is changed here
 *	lock.json	the packages of the kernel in use, with sizes and SHA-256
 *	next.json	the same of one that is being fetched, or that the archive was only asked for
 *	absent.json	that the archive has none, since when, and why
 *	partial/	downloads
 *	VERSION/	a kernel; it is renamed into place when it is complete
 *	    kernel.json	what struct kernel says of it; users hold a shared lock on it
 *
 * Whatever moment we are stopped at, the next run finds either a complete kernel or the list of
 * what to fetch. Once complete, nothing outside the directory is asked again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "kernel_internal.h"
#include "rust.h"

#define FORMAT 3 /* of a kernel directory: raised when unpacking or the packages change */
#define KEPT \
	1 /* of what is unpacked: raised when more is; nothing that was made with a kernel becomes wrong */
#define TRIES	   3
#define USUAL_NEED (230LL << 20) /* bytes to fetch the smallest of them, package lists included */

void deb_set_free(struct deb_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		free(set->v[i].package);
		free(set->v[i].version);
		free(set->v[i].file);
		free(set->v[i].uri);
	}
	free(set->v);
	free(set->suite);
	free(set->arch);
	free(set->when);
	free(set->release);
	free(set->version);
	free(set->needs_libc);
	*set = (struct deb_set){};
}

int json_write(json_t *j, const char *path)
{
	_cleanup_free_ char *s = json_dumps(j, JSON_INDENT(1));
	_cleanup_free_ char *line = xasprintf("%s\n", s ?: "");

	return s ? file_write(path, line, strlen(line)) : -ENOMEM;
}

int deb_set_write(const struct deb_set *set, const char *path)
{
	json_t *packages = json_array(), *j;
	int err;

	for (size_t i = 0; i < set->n; i++) {
		const struct deb *d = &set->v[i];

		json_array_append_new(packages,
				      json_pack("{ss ss ss ss sI sI ss}", "package", d->package,
						"version", d->version, "file", d->file, "uri",
						d->uri, "size", (json_int_t)d->size, "installed",
						(json_int_t)d->installed, "sha256", d->sha256));
	}
	j = json_pack("{si ss ss ss ss ss ss sb so}", "format", FORMAT, "suite", set->suite, "arch",
		      set->arch, "when", set->when, "release", set->release, "version",
		      set->version, "needs_libc", set->needs_libc, "with_libs", set->with_libs,
		      "packages", packages);
	err = json_write(j, path);
	json_decref(j);
	return err;
}

/* Names from a file become paths: nothing that leads elsewhere. */
static bool is_plain_name(const char *s)
{
	return *s && *s != '.' && !strchr(s, '/');
}

static bool deb_from_json(json_t *j, struct deb *d)
{
	const char *package, *version, *file, *uri, *sha256;
	json_int_t size, installed;

	if (json_unpack(j, "{ss ss ss ss sI sI ss}", "package", &package, "version", &version,
			"file", &file, "uri", &uri, "size", &size, "installed", &installed,
			"sha256", &sha256))
		return false;
	if (!is_plain_name(file) || strlen(sha256) != HASH_HEX - 1 || size <= 0)
		return false;
	*d = (struct deb){ .package = xstrdup(package),
			   .version = xstrdup(version),
			   .file = xstrdup(file),
			   .uri = xstrdup(uri),
			   .size = size,
			   .installed = installed };
	strcpy(d->sha256, sha256);
	return true;
}

int deb_set_read(struct deb_set *set, const char *path)
{
	const char *suite, *arch, *when, *release, *version, *needs;
	json_t *j, *packages, *p;
	int with_libs;
	bool ok;
	size_t i;

	*set = (struct deb_set){};
	if (access(path, F_OK))
		return -ENOENT;
	j = json_load_file(path, 0, NULL);
	/* a list of what another version of this program needed */
	if (j && json_integer_value(json_object_get(j, "format")) != FORMAT) {
		json_decref(j);
		return -ENOENT;
	}
	ok = j &&
	     !json_unpack(j, "{ss ss ss ss ss ss sb so}", "suite", &suite, "arch", &arch, "when",
			  &when, "release", &release, "version", &version, "needs_libc", &needs,
			  "with_libs", &with_libs, "packages", &packages) &&
	     is_plain_name(release) && is_plain_name(version) && json_array_size(packages);
	if (ok) {
		*set = (struct deb_set){ .suite = xstrdup(suite),
					 .arch = xstrdup(arch),
					 .when = xstrdup(when),
					 .release = xstrdup(release),
					 .version = xstrdup(version),
					 .needs_libc = xstrdup(needs),
					 .with_libs = with_libs,
					 .v = xcalloc(json_array_size(packages), sizeof(*set->v)) };
		json_array_foreach(packages, i, p) {
			if (!deb_from_json(p, &set->v[set->n])) {
				ok = false;
				break;
			}
			set->n++;
		}
	}
	json_decref(j);
	if (!ok)
		deb_set_free(set);
	return ok ? 0 : -EINVAL;
}

int deb_check(const struct deb *deb, const char *path)
{
	char hex[HASH_HEX];
	struct stat st;
	int err;

	if (stat(path, &st))
		return -errno;
	if (st.st_size < deb->size)
		return -ENODATA;
	if (st.st_size > deb->size)
		return -EBADMSG;
	err = hash_file(path, hex);
	return err ? err : strcmp(hex, deb->sha256) ? -EBADMSG : 0;
}

void place_free(struct place *p)
{
	free(p->name);
	free(p->dir);
	free(p->lock);
	free(p->lock_json);
	free(p->next_json);
	free(p->absent_json);
	free(p->partial);
}

void place_set(struct place *p, const struct suite *suite, const struct arch *arch, char *name,
	       char *dir)
{
	*p = (struct place){ .suite = suite, .arch = arch, .name = name, .dir = dir };
	p->lock = xasprintf("%s/lock", p->dir);
	p->lock_json = xasprintf("%s/lock.json", p->dir);
	p->next_json = xasprintf("%s/next.json", p->dir);
	p->absent_json = xasprintf("%s/absent.json", p->dir);
	p->partial = xasprintf("%s/partial", p->dir);
}

static enum lab_exit place_set_kernel(struct place *p, const struct suite *suite,
				      const struct arch *arch)
{
	const char *cache = lab_cache_dir();

	if (!cache)
		return LAB_CANNOT;
	place_set(p, suite, arch, xasprintf("debian:%s/%s", suite->name, arch->name),
		  xasprintf("%s/kernels/debian-%s-%s", cache, suite->name, arch->name));
	return LAB_OK;
}

static char *place_kernel(const struct place *p, const char *version)
{
	return xasprintf("%s/%s", p->dir, version);
}

enum lab_exit cannot_write(const char *path, int err)
{
	return lab_fail(
		LAB_CANNOT,
		err == EACCES || err == EPERM || err == EROFS ?
			"see who owns it, or set CDEVLAB_CACHE to a directory that can be written to" :
			"free some space, or set CDEVLAB_CACHE to a directory on another disk",
		"cannot write %s: %s", path, strerror(err));
}

/* Complete kernels */

/* kernel.json of a complete kernel that this program can use; NULL otherwise. */
static json_t *complete_read(const struct place *p, const char *version)
{
	_cleanup_free_ char *dir = place_kernel(p, version);
	_cleanup_free_ char *path = xasprintf("%s/kernel.json", dir);
	static const char *const keys[] = { "image", "kdir", "config", "busybox" };
	json_t *j = json_load_file(path, 0, NULL);
	bool ok = j && json_integer_value(json_object_get(j, "format")) == FORMAT &&
		  json_integer_value(json_object_get(j, "kept")) == KEPT;

	/* somebody may have cleaned the cache in part */
	for (size_t i = 0; i < ARRAY_SIZE(keys) && ok; i++) {
		const char *s = json_string_value(json_object_get(j, keys[i]));
		_cleanup_free_ char *file = xasprintf("%s/%s", dir, s ?: "none");

		ok = s && !access(file, R_OK);
	}
	if (ok)
		return j;
	json_decref(j);
	return NULL;
}

/* The one that lock.json names. */
static json_t *complete_current(const struct place *p)
{
	struct deb_set set;
	json_t *j = NULL;

	if (!deb_set_read(&set, p->lock_json))
		j = complete_read(p, set.version);
	deb_set_free(&set);
	return j;
}

/*
 * The tools were proven to start on the machine that fetched them. On one with an older C library
 * (a cache on a shared disk, a container) they do not, unless they bring their own.
 */
static bool tools_fit(json_t *j)
{
	const char *needs = json_string_value(json_object_get(j, "needs_libc"));

	return json_is_true(json_object_get(j, "with_libs")) || !needs || !libc_older_than(needs);
}

/*
 * Says to others that this kernel is in use, for as long as this process lives: an update in
 * another process would remove it. Not being able to is no reason to fail.
 */
static void hold(const char *dir)
{
	_cleanup_free_ char *path = xasprintf("%s/kernel.json", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		flock(fd, LOCK_SH | LOCK_NB);
}

static char *absolute(const char *dir, json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? xasprintf("%s/%s", dir, s) : NULL;
}

static enum lab_exit complete_use(const struct place *p, json_t *j, struct kernel *k)
{
	const char *version = json_string_value(json_object_get(j, "version"));
	const char *release = json_string_value(json_object_get(j, "release"));
	const char *id = json_string_value(json_object_get(j, "id"));
	const char *sum = json_string_value(json_object_get(j, "config_sha256"));
	_cleanup_free_ char *dir = NULL, *kdir = NULL;
	struct kernel_cc cc = {};

	if (!version || !release || !id || !sum)
		return lab_fail(LAB_CANNOT, NULL,
				"%s/%s/kernel.json is damaged: remove that directory", p->dir,
				version ?: "*");
	dir = place_kernel(p, version);
	hold(dir);
	k->name = xstrdup(p->name);
	k->release = xstrdup(release);
	k->version = xstrdup(version);
	k->arch = p->arch;
	k->image = absolute(dir, j, "image");
	k->config = absolute(dir, j, "config");
	k->stock_modules = absolute(dir, j, "modules");
	k->system_map = absolute(dir, j, "system_map");
	k->busybox = absolute(dir, j, "busybox");
	snprintf(k->id, sizeof(k->id), "%s", id);
	snprintf(k->config_sha256, sizeof(k->config_sha256), "%s", sum);
	kernel_pick_cc(k, &cc);
	kdir = absolute(dir, j, "kdir");
	k->kdir = unpack_kdir_for(kdir, &cc);
	free(cc.own);
	return k->kdir ? LAB_OK : LAB_CANNOT;
}

/* Fetching */

/*
 * Directories of the reaper that it did not get to remove; nobody else makes any while the lock is
 * held.
 */
void place_sweep(const struct place *p)
{
	DIR *d = opendir(p->dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", p->dir, e->d_name);

		if (str_starts(e->d_name, "cdevlab-") || strstr(e->d_name, ".tmp-"))
			remove_tree(path);
	}
	if (d)
		closedir(d);
}

static long long bytes_missing(const struct place *p, const struct deb_set *set)
{
	long long n = 0;

	for (size_t i = 0; i < set->n; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", p->partial, set->v[i].file);
		struct stat st;

		n += set->v[i].size;
		if (!stat(path, &st))
			n -= st.st_size < set->v[i].size ? st.st_size : set->v[i].size;
	}
	return n;
}

enum lab_exit place_check_space(const struct place *p, const struct deb_set *set, long long need)
{
	long long there;
	struct statvfs v;

	if (set)
		need += bytes_missing(p, set);
	if (statvfs(p->dir, &v))
		return LAB_OK; /* writing will tell */
	there = (long long)v.f_bavail * v.f_frsize;
	if (there >= need)
		return LAB_OK;
	return lab_fail(LAB_CANNOT,
			"free some space, or set CDEVLAB_CACHE to a directory on another disk",
			"not enough space in %s for %s: %lld MB needed, %lld MB free", p->dir,
			p->name, (need + 999999) / 1000000, there / 1000000);
}

/* @set: NULL before it is known */
static enum lab_exit check_space(const struct place *p, const struct deb_set *set)
{
	return place_check_space(p, set, set ? unpack_estimate(set) : USUAL_NEED);
}

/* Shows how far a download is, from the files as they grow. */
static void show_progress(const struct place *p, const struct deb_set *set)
{
	long long have = 0, all = 0;
	const char *now = NULL;

	for (size_t i = 0; i < set->n; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", p->partial, set->v[i].file);
		struct stat st;
		long long n = stat(path, &st) ? 0 : st.st_size;

		if (n > 0 && n < set->v[i].size)
			now = set->v[i].package;
		have += n;
		all += set->v[i].size;
	}
	lab_stage("fetch", "%s  %s  %lld of %lld MB", p->name, now ?: set->release, have / 1000000,
		  all / 1000000);
}

/* Runs one download of all files that are missing; its messages are in *out. */
static enum lab_exit download_once(const struct place *p, struct apt_root *root,
				   const struct deb_set *set, struct proc *out)
{
	struct strv args = {};
	enum lab_exit ret;

	strv_add(&args, "/usr/lib/apt/apt-helper");
	strv_add(&args, "-c");
	strv_add(&args, root->conf);
	strv_add(&args, "download-file");
	for (size_t i = 0; i < set->n; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", p->partial, set->v[i].file);

		if (!deb_check(&set->v[i], path))
			continue;
		strv_add(&args, set->v[i].uri);
		strv_add(&args, path);
		strv_addf(&args, "SHA256:%s", set->v[i].sha256);
	}
	*out = (struct proc){ .argv = args.v, .env = (char *const *)root->env, .dir = root->dir };
	ret = proc_start(out);
	if (!ret) {
		/* its few lines fit into the pipes; what is slow is looked at on disk */
		while (!proc_ended(out)) {
			struct pollfd wake = { .fd = proc_signal_fd(), .events = POLLIN };

			if (lab_interrupted()) {
				ret = LAB_INTERRUPTED;
				break;
			}
			show_progress(p, set);
			poll(&wake, 1, 200);
		}
		for (int i = 0; i < 2 && !ret; i++) {
			struct buf *b = i ? &out->err : &out->out;
			char chunk[4096];
			ssize_t n;

			while ((n = read(i ? out->err_fd : out->out_fd, chunk, sizeof(chunk))) > 0)
				buf_add(b, chunk, n);
		}
		proc_end(out);
	}
	strv_free(&args);
	return ret;
}

/* Removes what is not what it should be. Returns the first package that is missing, or NULL. */
static const struct deb *download_check(const struct place *p, const struct deb_set *set)
{
	const struct deb *missing = NULL;

	for (size_t i = 0; i < set->n; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", p->partial, set->v[i].file);
		_cleanup_free_ char *failed = xasprintf("%s.FAILED", path);
		int e = deb_check(&set->v[i], path);

		unlink(failed); /* apt's name for a file with another hash */
		if (!e)
			continue;
		if (e == -EBADMSG) {
			lab_warn("%s is corrupt and is fetched again", path);
			unlink(path);
		}
		if (!missing)
			missing = &set->v[i];
	}
	return missing;
}

static bool says(const struct proc *p, const char *text)
{
	return strstr(p->err.s ?: "", text) || strstr(p->out.s ?: "", text);
}

/* The archive keeps only the newest of each: an old lock can name what is gone. */
static bool is_gone(const struct proc *p)
{
	return says(p, " 404 ") || says(p, "File not found");
}

/* What came was not what was asked for; apt has removed it. */
static bool is_wrong(const struct proc *p)
{
	return says(p, "Hash Sum mismatch") || says(p, "unexpected size");
}

/**
 * place_download() - until all files of the set are there and are what they should be
 * @planned: the set is an old one: *stale (the archive does not have its files, or has others under
 * their names) is not the end then, and it is the caller who says so
 */
enum lab_exit place_download(const struct place *p, struct apt_root *root,
			     const struct deb_set *set, bool planned, bool *stale)
{
	enum lab_exit ret = LAB_OK;
	const struct deb *missing;

	*stale = false;
	missing = download_check(p, set);
	for (int try = 1; missing && !ret; try++) {
		long long before = bytes_missing(p, set);
		_cleanup_free_ char *why = NULL;
		struct proc out = {};
		bool gone, wrong, stuck;

		ret = download_once(p, root, set, &out);
		if (ret) {
			proc_free(&out);
			break;
		}
		missing = download_check(p, set);
		gone = is_gone(&out);
		wrong = is_wrong(&out);
		/*
		 * apt itself has tried to connect several times: trying again is for files that
		 * came wrong
		 */
		stuck = !wrong && bytes_missing(p, set) == before;
		why = apt_error(&out);
		if (missing && (gone || stuck || try == TRIES)) {
			bool full = strstr(why, "No space left") || strstr(why, "Write error");

			*stale = gone || wrong;
			ret = *stale && planned ?
				      LAB_CANNOT :
				      lab_fail(
					      LAB_CANNOT,
					      full ? "free some space, or set CDEVLAB_CACHE to a directory on another disk" :
					      *stale ?
						     "the archive may be in the middle of an update" :
						     "check the network and proxy settings; what is there already is kept",
					      "cannot fetch %s to %s: %s", missing->uri, p->partial,
					      why);
		}
		proc_free(&out);
	}
	return ret;
}

static long long tree_size(const char *path)
{
	_cleanup_free_ char *copy = xstrdup(path);
	char *argv[] = { "du", "-sk", copy, NULL };
	_cleanup_free_ char *out = proc_output(argv);

	return out ? atoll(out) * 1024 : 0;
}

/* What determines a module built for this kernel: its packages, and how they were unpacked. */
static void set_id(const struct deb_set *set, char id[HASH_HEX])
{
	struct hash *h = hash_new();
	struct strv sums = {};

	for (size_t i = 0; i < set->n; i++)
		if (str_starts(set->v[i].package, "linux-"))
			strv_add(&sums, set->v[i].sha256);
	strv_sort(&sums);
	for (size_t i = 0; i < sums.n; i++)
		hash_puts(h, sums.v[i]);
	hash_add(h, &(int){ FORMAT }, sizeof(int));
	strv_free(&sums);
	hash_end(h, id);
}

static enum lab_exit write_kernel_json(const struct place *p, const struct deb_set *set,
				       const char *dir)
{
	_cleanup_free_ char *path = xasprintf("%s/kernel.json", dir);
	_cleanup_free_ char *config = xasprintf("%s/config", dir);
	_cleanup_free_ char *map = xasprintf("%s/System.map", dir);
	_cleanup_free_ char *kdir = xasprintf("usr/src/linux-headers-%s", set->release);
	_cleanup_free_ char *modules = xasprintf("lib/modules/%s", set->release);
	_cleanup_free_ char *when = utc_now();
	char id[HASH_HEX], sum[HASH_HEX];
	json_t *j;
	int err;

	err = hash_file(config, sum);
	if (err)
		return cannot_write(config, -err);
	set_id(set, id);
	j = json_pack("{si si ss ss ss ss ss ss ss ss ss ss ss sb sI}", "format", FORMAT, "kept",
		      KEPT, "name", p->name, "release", set->release, "version", set->version,
		      "arch", set->arch, "fetched", when, "image", "image", "kdir", kdir, "config",
		      "config", "id", id, "config_sha256", sum, "needs_libc", set->needs_libc,
		      "with_libs", set->with_libs, "size", (json_int_t)tree_size(dir));
	json_object_set_new(j, "modules", json_string(modules));
	json_object_set_new(j, "busybox", json_string("busybox"));
	if (file_exists(map))
		json_object_set_new(j, "system_map", json_string("System.map"));
	err = json_write(j, path);
	json_decref(j);
	return err ? cannot_write(path, -err) : LAB_OK;
}

/* Moves a kernel of that name out of the way; the reaper or temp_dir_done() removes it. */
static int move_away(const char *dir, const char *tmp)
{
	_cleanup_free_ char *old = xasprintf("%s/old", tmp);

	return rename(dir, old) && errno != ENOENT ? -errno : 0;
}

/**
 * unpack() - makes VERSION/ of the downloads
 * *libs_needed: the tools do not start here without the suite's C library
 */
static enum lab_exit unpack(const struct place *p, const struct deb_set *set, bool *libs_needed)
{
	_cleanup_free_ char *final = place_kernel(p, set->version);
	_cleanup_free_ char *dir = NULL;
	char *tmp = temp_dir(p->dir);
	enum lab_exit ret = LAB_OK;
	int err;

	*libs_needed = false;
	if (!tmp)
		return LAB_CANNOT;
	dir = xasprintf("%s/k", tmp);
	if (mkdir(dir, 0755))
		ret = cannot_write(dir, errno);
	for (size_t i = 0; i < set->n && !ret; i++) {
		_cleanup_free_ char *file = xasprintf("%s/%s", p->partial, set->v[i].file);

		lab_stage("fetch", "%s  unpacking %s", p->name, set->v[i].package);
		ret = unpack_deb(&set->v[i], file, set, p->arch, dir);
	}
	if (!ret)
		ret = unpack_finish(set, p->arch, dir);
	if (!ret && !unpack_tools_start(dir)) {
		*libs_needed = !set->with_libs;
		ret = *libs_needed ?
			      LAB_CANNOT :
			      lab_fail(
				      LAB_CANNOT,
				      "-v shows what they say; use a kernel of this machine's own suite",
				      "the build tools of %s do not start on this machine",
				      p->name);
	}
	if (!ret)
		ret = write_kernel_json(p, set, dir);
	if (!ret && !lab_interrupted()) {
		/* a crash of the machine must not leave a complete name over empty files */
		_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0)
			syncfs(fd);
		err = move_away(final, tmp);
		if (!err && rename(dir, final))
			err = -errno;
		if (err)
			ret = cannot_write(final, -err);
	}
	if (!ret && lab_interrupted())
		ret = LAB_INTERRUPTED;
	temp_dir_done(tmp);
	return ret;
}

/* After an update: kernels that nobody uses any more go. */
static void remove_others(const struct place *p, const char *version)
{
	DIR *d = opendir(p->dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		_cleanup_free_ char *path = xasprintf("%s/%s/kernel.json", p->dir, e->d_name);
		_cleanup_close_ int fd = -1;
		char *tmp;

		if (!strcmp(e->d_name, version))
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB))
			continue;
		tmp = temp_dir(p->dir);
		*strrchr(path, '/') = '\0';
		if (tmp)
			move_away(path, tmp);
		temp_dir_done(tmp);
	}
	if (d)
		closedir(d);
}

/* What is not there today may be there tomorrow; architectures come with a release of Debian. */
#define ABSENT_KERNEL_S (24 * 3600)
#define ABSENT_ARCH_S	(30 * 24 * 3600)

static void absence_write(const struct place *p, const struct apt_root *root)
{
	_cleanup_free_ char *when = utc_now();
	json_t *j;

	if (!root->absent)
		return;
	j = json_pack("{ss ss sb}", "reason", root->absent, "when", when, "no_arch", root->no_arch);
	/* not to know it the next time only costs the time to ask again */
	json_write(j, p->absent_json);
	json_decref(j);
}

/* What is remembered of a kernel that the archive does not have; NULL: nothing. */
static json_t *absence_read(const struct place *p)
{
	json_t *j = json_load_file(p->absent_json, 0, NULL);

	if (j && json_string_value(json_object_get(j, "reason")) &&
	    json_string_value(json_object_get(j, "when")))
		return j;
	json_decref(j);
	return NULL;
}

static bool absence_is_fresh(const struct place *p, json_t *j)
{
	time_t age = json_is_true(json_object_get(j, "no_arch")) ? ABSENT_ARCH_S : ABSENT_KERNEL_S;
	struct stat st;

	return !stat(p->absent_json, &st) && time(NULL) - st.st_mtime < age;
}

static enum lab_exit resolve(const struct place *p, struct apt_root *root, bool with_libs,
			     struct deb_set *set)
{
	enum lab_exit ret;
	int err;

	ret = check_space(p, NULL);
	if (ret)
		return ret;
	lab_stage("fetch", "%s  asking the archive for its newest kernel", p->name);
	ret = apt_resolve(root, p->suite, p->arch->name, with_libs, set);
	if (ret) {
		absence_write(p, root);
		return ret;
	}
	unlink(p->absent_json);
	err = deb_set_write(set, p->next_json);
	return err ? cannot_write(p->next_json, -err) : LAB_OK;
}

/*
 * The list to fetch by: what was being fetched, else what was fetched once. False: there is none.
 */
static bool read_plan(const struct place *p, struct deb_set *set)
{
	const char *const paths[] = { p->next_json, p->lock_json };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		int err = deb_set_read(set, paths[i]);

		if (err == -EINVAL)
			lab_warn("%s is damaged and is made anew", paths[i]);
		/* a list without the C library is of no use where it is needed */
		if (!err && (set->with_libs || !libc_older_than(set->needs_libc)))
			return true;
		deb_set_free(set);
	}
	return false;
}

/* With the place locked: makes the newest or the planned kernel complete and the current one. */
static enum lab_exit fetch_locked(const struct place *p, bool update)
{
	struct deb_set set = {};
	struct apt_root root = {};
	bool planned = !update && read_plan(p, &set), stale = false, libs = false;
	enum lab_exit ret = apt_root_make(&root, p->dir, p->suite, p->arch->name);
	json_t *have;
	int err;

	if (!ret && !planned)
		ret = resolve(p, &root, false, &set);
	have = !ret && update ? complete_read(p, set.version) : NULL;
	if (have && tools_fit(have)) {
		lab_stage_done("%s  %s is the newest", p->name, set.release);
		goto current;
	}
	/*
	 * at most three rounds: a list that is out of date, and tools that need their own libraries
	 */
	for (int round = 0; round < 3 && !ret; round++) {
		err = make_dirs(p->partial, 0755);
		if (err)
			ret = cannot_write(p->partial, -err);
		if (!ret)
			ret = check_space(p, &set);
		if (!ret)
			ret = place_download(p, &root, &set, planned, &stale);
		if (!ret)
			ret = unpack(p, &set, &libs);
		if (!ret || ret == LAB_INTERRUPTED || !((stale && planned) || libs))
			break;
		if (stale)
			lab_warn("the archive no longer has %s %s: taking its newest kernel",
				 p->name, set.version);
		planned = false;
		deb_set_free(&set);
		ret = resolve(p, &root, libs, &set);
	}
	if (ret) {
		lab_stage_done(NULL);
		goto out;
	}
	lab_stage_done("%s  %s", p->name, set.release);
current:
	err = deb_set_write(&set, p->lock_json);
	if (err)
		ret = cannot_write(p->lock_json, -err);
	unlink(p->next_json);
	remove_tree(p->partial);
	remove_others(p, set.version);
out:
	json_decref(have);
	apt_root_free(&root);
	deb_set_free(&set);
	return ret;
}

static const char *waiting_for;

static void say_waiting(void)
{
	lab_stage("fetch", "%s  waiting for another cdevlab that is fetching it", waiting_for);
}

static enum lab_exit fetch(const struct place *p, bool update)
{
	_cleanup_close_ int fd = -1;
	enum lab_exit ret;
	json_t *j;
	int err;

	/* make cannot build in such a directory */
	if (strpbrk(p->dir, " \t:$#'\""))
		return lab_fail(
			LAB_CANNOT, "set CDEVLAB_CACHE to a directory without them",
			"the cache directory %s has a space or a special character in its name",
			p->dir);
	err = make_dirs(p->dir, 0755);
	if (err)
		return cannot_write(p->dir, -err);
	waiting_for = p->name;
	fd = lock_file(p->lock, say_waiting);
	if (lab_interrupted())
		return LAB_INTERRUPTED;
	if (fd < 0)
		return cannot_write(p->lock, -fd);
	/* the one we waited for may have done it */
	j = update ? NULL : complete_current(p);
	if (j && tools_fit(j)) {
		json_decref(j);
		lab_stage_done(NULL);
		return LAB_OK;
	}
	json_decref(j);
	place_sweep(p);
	ret = fetch_locked(p, update);
	return ret;
}

static enum lab_exit unknown_suite(const char *name)
{
	struct buf b = {};

	buf_puts(&b, "suites with kernels are ");
	for (size_t i = 0; suite_at(i); i++)
		buf_printf(&b, "%s%s", i ? ", " : "", suite_at(i)->name);
	if (*name)
		lab_fail(LAB_USAGE, b.s, "unknown Debian suite '%s'", name);
	else
		lab_fail(LAB_USAGE, b.s, "debian: needs the name of a suite");
	buf_free(&b);
	return LAB_USAGE;
}

static enum lab_exit debian_get(const char *rest, bool update, struct kernel *k)
{
	_cleanup_free_ char *name = xstrndup(rest, strcspn(rest, "/"));
	const struct suite *suite = suite_find(name);
	const char *slash = strchr(rest, '/');
	const struct arch *arch;
	enum lab_exit ret;
	struct place p;
	json_t *j;

	if (!suite)
		return unknown_suite(name);
	arch = slash ? arch_find(slash + 1) : arch_host();
	if (!arch)
		return slash ? LAB_USAGE : LAB_CANNOT;
	ret = place_set_kernel(&p, suite, arch);
	if (ret)
		return ret;
	j = update ? NULL : complete_current(&p);
	if (!j || !tools_fit(j)) {
		json_decref(j);
		j = NULL;
		ret = fetch(&p, update);
		if (!ret)
			j = complete_current(&p);
		if (!ret && !j)
			ret = lab_fail(LAB_CANNOT, "another program may be clearing the cache",
				       "%s has vanished", p.dir);
	}
	if (!ret)
		ret = complete_use(&p, j, k);
	json_decref(j);
	place_free(&p);
	return ret;
}

/* SUITE/ARCH, known to be right. */
static enum lab_exit place_of(const char *rest, struct place *p)
{
	_cleanup_free_ char *name = xstrndup(rest, strcspn(rest, "/"));
	const struct suite *suite = suite_find(name);
	const struct arch *arch = arch_find(strchr(rest, '/') + 1);

	return suite && arch ? place_set_kernel(p, suite, arch) : LAB_CANNOT;
}

static void debian_all(struct strv *names)
{
	for (int testing = 0; testing < 2; testing++)
		for (size_t i = 0; suite_at(i); i++)
			for (size_t a = 0; arch_at(a); a++)
				if (suite_at(i)->testing == testing)
					strv_addf(names, "debian:%s/%s", suite_at(i)->name,
						  arch_at(a)->name);
}

static bool debian_absent(const char *rest, char **why, bool *no_arch)
{
	struct place p;
	json_t *j = NULL;
	bool absent = false;

	if (!place_of(rest, &p)) {
		j = absence_read(&p);
		/* one that was fetched when there was one will do */
		absent = j && !file_exists(p.lock_json) && absence_is_fresh(&p, j);
		if (absent) {
			*why = xstrdup(json_string_value(json_object_get(j, "reason")));
			*no_arch = json_is_true(json_object_get(j, "no_arch"));
		}
		json_decref(j);
		place_free(&p);
	}
	return absent;
}

static enum lab_exit debian_offer(const char *rest, char **release)
{
	_cleanup_free_ char *name = xstrndup(rest, strcspn(rest, "/"));
	_cleanup_close_ int fd = -1;
	struct apt_root root = {};
	struct deb_set set = {};
	enum lab_exit ret;
	struct place p;

	*release = NULL;
	if (!suite_find(name)->testing)
		return LAB_OK;
	ret = place_of(rest, &p);
	if (ret)
		return ret;
	if (make_dirs(p.dir, 0755) || (fd = lock_file(p.lock, NULL)) < 0)
		ret = cannot_write(p.lock, errno);
	if (!ret && !read_plan(&p, &set)) {
		ret = apt_root_make(&root, p.dir, p.suite, p.arch->name);
		if (!ret)
			ret = resolve(&p, &root, false, &set);
		lab_stage_done(NULL);
	}
	if (!ret)
		*release = xstrdup(set.release);
	deb_set_free(&set);
	apt_root_free(&root);
	place_free(&p);
	return ret;
}

static const char *rust_state_of(const struct place *p, json_t *j, const char *dir)
{
	_cleanup_free_ char *config = absolute(dir, j, "config");

	return rust_state(p->name, json_string_value(json_object_get(j, "release")) ?: "",
			  json_string_value(json_object_get(j, "id")) ?: "", config ?: "");
}

static json_t *list_row(const struct place *p)
{
	json_t *j = complete_current(p), *absent = j ? NULL : absence_read(p), *boot;
	json_t *row = json_pack("{ss ss}", "name", p->name, "state",
				j      ? "fetched" :
				absent ? "absent" :
					 "known");
	struct deb_set offer;

	if (j) {
		const char *version = json_string_value(json_object_get(j, "version"));
		_cleanup_free_ char *dir = place_kernel(p, version ?: "");

		json_object_set(row, "release", json_object_get(j, "release"));
		json_object_set(row, "version", json_object_get(j, "version"));
		json_object_set(row, "size", json_object_get(j, "size"));
		json_object_set_new(row, "path", json_string(dir));
		json_object_set_new(row, "rust", json_string(rust_state_of(p, j, dir)));
		boot = kernel_last_boot(dir);
		if (boot)
			json_object_set_new(row, "booted", boot);
	} else if (absent) {
		json_object_set(row, "reason", json_object_get(absent, "reason"));
		json_object_set(row, "asked", json_object_get(absent, "when"));
	} else if (!deb_set_read(&offer, p->next_json)) {
		/* the archive was asked, and what it offers was not fetched, or not wholly */
		json_object_set_new(row, "release", json_string(offer.release));
		json_object_set_new(row, "version", json_string(offer.version));
		json_object_set_new(row, "asked", json_string(offer.when));
		deb_set_free(&offer);
	}
	json_decref(absent);
	json_decref(j);
	return row;
}

static enum lab_exit debian_list(json_t *rows)
{
	for (size_t i = 0; suite_at(i); i++) {
		for (size_t a = 0; arch_at(a); a++) {
			enum lab_exit ret;
			struct place p;

			ret = place_set_kernel(&p, suite_at(i), arch_at(a));
			if (ret)
				return ret;
			json_array_append_new(rows, list_row(&p));
			place_free(&p);
		}
	}
	return LAB_OK;
}

const struct kernel_source kernel_source_debian = {
	.prefix = "debian:",
	.help = "debian:SUITE[/ARCH]",
	.get = debian_get,
	.list = debian_list,
	.all = debian_all,
	.absent = debian_absent,
	.offer = debian_offer,
};
