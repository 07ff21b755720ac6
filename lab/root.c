// SPDX-License-Identifier: GPL-2.0
#include "root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Running in a root */

/*
 * /proc is for rustc, which looks for itself there; the mounts end with the namespace. sbin is where Debian has
 * chroot, and is not in everybody's PATH.
 */
static const char enter[] =
	"PATH=$PATH:/usr/sbin:/sbin; root=$1 dir=$2; shift 2; "
	"mount --rbind /dev \"$root/dev\" && mount --rbind /proc \"$root/proc\" && "
	"{ test -z \"$dir\" || mount --bind \"$dir\" \"$root" ROOT_BUILD_DIR "\"; } && "
	"exec chroot \"$root\" /usr/bin/env -i HOME=/tmp PATH=/usr/bin:/usr/sbin LC_ALL=C "
	"${dir:+TMPDIR=" ROOT_BUILD_DIR "} \"$@\"";

/* unshare's own default, unless root_check() has found that it does not work here */
static const char *propagation = "private";

static void unshare_command(struct strv *argv)
{
	strv_add(argv, "unshare");
	strv_add(argv, "--mount");
	strv_add(argv, "--propagation");
	strv_add(argv, propagation);
	if (getuid())
		strv_add(argv, "--map-root-user");
	strv_add(argv, "sh");
	strv_add(argv, "-c");
}

void root_command(const char *root, const char *dir, struct strv *argv)
{
	unshare_command(argv);
	strv_add(argv, enter);
	strv_add(argv, "sh");
	strv_add(argv, root);
	strv_add(argv, dir ?: "");
}

static bool sysctl_is_zero(const char *name)
{
	_cleanup_free_ char *path = xasprintf("/proc/sys/%s", name);
	struct buf b = {};
	bool zero = !file_read(path, &b) && atoi(b.s ?: "1") == 0;

	buf_free(&b);
	return zero;
}

/* What this machine's administrator can do about it. */
static const char *enter_remedy(void)
{
	if (!getuid())
		return "a container needs the right to mount: docker run --privileged, or --cap-add SYS_ADMIN "
		       "with --security-opt seccomp=unconfined apparmor=unconfined";
	if (sysctl_is_zero("kernel/unprivileged_userns_clone"))
		return "run it as root, or let users have namespaces, as root: "
		       "sysctl -w kernel.unprivileged_userns_clone=1";
	if (sysctl_is_zero("user/max_user_namespaces"))
		return "run it as root, or let users have namespaces, as root: sysctl -w user.max_user_namespaces=10000";
	if (file_exists("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"))
		return "run it as root, or let users have namespaces, as root: "
		       "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
	return "run it as root, or where users may have namespaces (a container often forbids it)";
}

/* Mounts /proc on the directory in a namespace. *why is set, a new string, where that does not work. */
static enum lab_exit try_enter(const char *dir, char **why)
{
	static const char try[] =
		"PATH=$PATH:/usr/sbin:/sbin; mount --rbind /proc \"$1\" && chroot / true";
	struct strv argv = {};
	struct proc p = {};
	enum lab_exit ret;

	unshare_command(&argv);
	strv_add(&argv, try);
	strv_add(&argv, "sh");
	strv_add(&argv, dir);
	p.argv = argv.v;
	ret = proc_run(&p);
	*why = NULL;
	if (!ret && p.status) {
		char *text = str_trim(p.err.s ?: "");

		text[strcspn(text, "\n")] = '\0';
		*why = xstrdup(*text ? text : "unshare fails");
	}
	strv_free(&argv);
	proc_free(&p);
	return ret;
}

static bool is_mounted_on(const char *dir)
{
	_cleanup_free_ char *up = xasprintf("%s/..", dir);
	struct stat a, b;

	return !stat(dir, &a) && !stat(up, &b) && a.st_dev != b.st_dev;
}

/*
 * Before anything is fetched: whether this process may do what enter does. In a chroot, whose root is no mount,
 * nothing can be made private; there it is tried whether what is mounted in the namespace stays in it.
 */
enum lab_exit root_check(void)
{
	_cleanup_free_ char *why = NULL;
	static bool works;
	enum lab_exit ret;
	char *dir;

	if (works)
		return LAB_OK;
	if (!lab_cache_dir())
		return LAB_CANNOT;
	dir = temp_dir(lab_cache_dir());
	if (!dir)
		return LAB_CANNOT;
	ret = try_enter(dir, &why);
	if (!ret && why && !getuid()) {
		char *other = NULL;

		propagation = "unchanged";
		ret = try_enter(dir, &other);
		if (is_mounted_on(dir)) {
			umount2(dir, MNT_DETACH);
			free(other);
			other = xstrdup("what is mounted in a chroot would be seen outside of it");
		}
		free(why);
		why = other;
	}
	if (!ret && why)
		ret = lab_fail(
			LAB_CANNOT, enter_remedy(),
			"modules for this kernel are built in a root of their own, which cannot be entered here: %s",
			why);
	works = !ret;
	temp_dir_done(dir);
	return ret;
}

/* A path begins there: what stands before it is no part of one. */
static bool begins_path(const char *line, const char *at)
{
	return at == line ||
	       !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+/",
		       at[-1]);
}

char *root_shown(const char *line, const char *dir)
{
	static const char build[] = ROOT_BUILD_DIR "/", arrow[] = "--> ", more[] = "::: ";
	struct buf b = {};

	for (const char *at = line; *at;) {
		if (str_starts(at, build) && begins_path(line, at)) {
			buf_printf(&b, "%s/", dir);
			at += strlen(build);
		} else if ((str_starts(at, arrow) || str_starts(at, more)) && at[4] != '/' &&
			   at[4] != '<') {
			/* rustc names files relative to where it was started */
			buf_printf(&b, "%.4s%s/", at, dir);
			at += strlen(arrow);
		} else {
			buf_add(&b, at++, 1);
		}
	}
	return b.s ?: xstrdup("");
}

/* Complete roots */

char *root_file(const char *root, const char *name)
{
	return xasprintf("%s/%s", root, name);
}

json_t *root_read(const char *root)
{
	_cleanup_free_ char *path = root_file(root, "toolchain.json");
	json_t *j = json_load_file(path, 0, NULL);

	if (j && json_string_value(json_object_get(j, "rustc")) &&
	    json_string_value(json_object_get(j, "cc")) &&
	    json_string_value(json_object_get(j, "cc_name")))
		return j;
	json_decref(j);
	return NULL;
}

/* The first thing that is missing, or NULL. */
static const char *root_lacks(const char *root)
{
	static const char *const needed[] = { "toolchain.json",
					      "usr/bin/rustc",
					      "usr/bin/make",
					      "usr/bin/bindgen",
					      "usr/bin/env",
					      "dev",
					      "proc",
					      "build",
					      "kernel/Makefile",
					      "kernel/.config",
					      "kernel/Module.symvers",
					      "kernel/rust/libkernel.rmeta",
					      "kernel/rust/libcore.rmeta",
					      "kernel/rust/libmacros.so",
					      "kernel/include/generated/rustc_cfg" };

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		_cleanup_free_ char *path = root_file(root, needed[i]);

		if (!file_exists(path))
			return needed[i];
	}
	return NULL;
}

bool root_is_whole(const char *root)
{
	const char *lacks = root_lacks(root);

	if (lacks)
		lab_fail(LAB_CANNOT,
			 "another program may be clearing the cache; run it again: it is made anew",
			 "the toolchain %s was removed or damaged meanwhile: it has no %s", root,
			 lacks);
	return !lacks;
}

void root_hash(const struct deb_set *set, const char *recipe, const char *kernel_id,
	       char hex[HASH_HEX])
{
	struct hash *h = hash_new();
	struct strv sums = {};

	for (size_t i = 0; i < set->n; i++)
		strv_add(&sums, set->v[i].sha256);
	strv_sort(&sums);
	hash_puts(h, recipe);
	hash_puts(h, kernel_id);
	for (size_t i = 0; i < sums.n; i++)
		hash_puts(h, sums.v[i]);
	strv_free(&sums);
	hash_end(h, hex);
}

char *root_of(const struct place *p, const char hash[HASH_HEX])
{
	return xasprintf("%s/%.16s", p->dir, hash);
}

/* The toolchain that lock.json names, if it is whole. *damaged: it is there, and lacks that. */
char *root_current(const struct place *p, const char *recipe, const char *kernel_id,
		   char hash[HASH_HEX], const char **damaged)
{
	char *root = NULL;
	struct deb_set set;

	*damaged = NULL;
	if (!deb_set_read(&set, p->lock_json)) {
		const char *lacks;

		root_hash(&set, recipe, kernel_id, hash);
		root = root_of(p, hash);
		lacks = root_lacks(root);
		if (lacks) {
			*damaged = file_exists(root) ? lacks : NULL;
			free(root);
			root = NULL;
		}
	}
	deb_set_free(&set);
	return root;
}

/* As for kernels: another process' clearing leaves alone what is in use. */
static void hold(const char *root)
{
	_cleanup_free_ char *path = root_file(root, "toolchain.json");
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		flock(fd, LOCK_SH | LOCK_NB);
}

enum lab_exit root_use(struct kernel *k, const char *root, const char hash[HASH_HEX])
{
	json_t *j = root_read(root);

	if (!j)
		return lab_fail(LAB_CANNOT, NULL,
				"%s/toolchain.json is damaged: remove that directory", root);
	hold(root);
	k->rust = xstrdup(root);
	k->rust_cc = xstrdup(json_string_value(json_object_get(j, "cc_name")));
	k->rust_version = xasprintf("%s; %s", json_string_value(json_object_get(j, "cc")),
				    json_string_value(json_object_get(j, "rustc")));
	snprintf(k->rust_id, sizeof(k->rust_id), "%s", hash);
	json_decref(j);
	return LAB_OK;
}

/* Toolchains of kernels that are not here any more; those in use stay. */
void root_remove(const char *root)
{
	_cleanup_free_ char *path = root_file(root, "toolchain.json");
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *base = xstrndup(root, path_base(root) - root - 1), *old = NULL;
	char *tmp;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB))
		return;
	tmp = temp_dir(base);
	if (!tmp)
		return;
	old = xasprintf("%s/old", tmp);
	rename(root, old);
	temp_dir_done(tmp);
}

/* Making one */

/* What the kernel's Makefiles call, without what only a running system needs. */
static const char *const packages[] = {
	"base-files", "bash",	   "dash",
	"coreutils",  "sed",	   "grep",
	"mawk",	      "findutils", "diffutils",
	"tar",	      "gzip",	   "xz-utils",
	"perl-base",  "make",	   "bc",
	"bison",      "flex",	   "cpio",
	"kmod",	      "openssl",   "python3-minimal",
	"binutils",   "libc6-dev", "libelf-dev",
	"libssl-dev", "libdw-dev", "zlib1g-dev",
	"rustc",      "rust-src",  "bindgen",
};

void root_add_packages(struct strv *specs)
{
	for (size_t i = 0; i < ARRAY_SIZE(packages); i++)
		strv_add(specs, packages[i]);
}

/* What nobody reads there; half of the space. */
bool root_drops(const char *path)
{
	static const char *const prefixes[] = {
		"usr/share/doc/",
		"usr/share/man/",
		"usr/share/locale/",
		"usr/share/info/",
		"usr/share/i18n/",
		"usr/share/lintian/",
		"usr/share/zoneinfo/",
		"etc/",
		"var/",
		"usr/lib/systemd/",
		"usr/share/bug/",
		"usr/share/icons/",
		"boot/",
	};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (str_starts(path, prefixes[i]))
			return true;
	/* of Rust only its library is compiled again */
	if (str_starts(path, "usr/src/rustc-") && strchr(path + strlen("usr/src/"), '/') &&
	    !strstr(path, "/library/"))
		return true;
	/* to link programs with clang's own libraries */
	return str_starts(path, "usr/lib/llvm-") && str_ends(path, ".a");
}

/* Links that base-files or a maintainer script makes; one that is there is left. */
static int make_links(const char *root)
{
	static const char *const links[][2] = {
		{ "usr/bin", "bin" },	  { "usr/sbin", "sbin" },    { "usr/lib", "lib" },
		{ "usr/lib64", "lib64" }, { "mawk", "usr/bin/awk" }, { "dash", "usr/bin/sh" },
	};
	static const char *const dirs[] = { "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "dev",
					    "proc",    "build",	   "tmp",     "src",	   "etc" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *path = root_file(root, dirs[i]);
		int err = make_dirs(path, 0755);

		if (err)
			return err;
	}
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		_cleanup_free_ char *path = root_file(root, links[i][1]);

		if (symlink(links[i][0], path) && errno != EEXIST)
			return -errno;
	}
	return 0;
}

enum lab_exit root_unpack(const struct place *p, const struct deb_set *set, const char *root)
{
	enum lab_exit ret = LAB_OK;
	int err = make_links(root);

	if (err)
		return cannot_write(root, -err);
	for (size_t i = 0; i < set->n && !ret; i++) {
		_cleanup_free_ char *file = xasprintf("%s/%s", p->partial, set->v[i].file);

		lab_stage("fetch", "%s  unpacking %s", p->name, set->v[i].package);
		ret = unpack_root(file, root, root_drops);
	}
	return ret;
}

static const char *last_lines(const char *s, int lines)
{
	const char *at = s + strlen(s);

	while (at > s && lines >= 0)
		if (*--at == '\n')
			lines--;
	return at > s ? at + 1 : s;
}

/* First line of a program's --version in the root, or NULL. */
char *root_version(const char *root, const char *program)
{
	struct strv argv = {};
	char *out;

	root_command(root, NULL, &argv);
	strv_add(&argv, program);
	strv_add(&argv, "--version");
	out = proc_output(argv.v);
	strv_free(&argv);
	if (out)
		out[strcspn(out, "\n")] = '\0';
	return out;
}

static bool read_plan(const struct place *p, const char *version, struct deb_set *set)
{
	const char *const paths[] = { p->next_json, p->lock_json };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		int err = deb_set_read(set, paths[i]);

		if (err == -EINVAL)
			lab_warn("%s is damaged and is made anew", paths[i]);
		if (!err && (!version || !strcmp(set->version, version)))
			return true;
		deb_set_free(set);
	}
	return false;
}

enum lab_exit root_download(const struct root_plan *plan, struct deb_set *set)
{
	const struct place *p = plan->p;
	struct apt_root apt = {};
	bool planned, stale = false;
	enum lab_exit ret;
	int err;

	*set = (struct deb_set){};
	planned = read_plan(p, plan->version, set);
	ret = place_check_space(p, NULL, plan->need);
	if (!ret)
		ret = apt_root_make(&apt, p->dir, p->suite, arch_host()->name);
	if (!ret && !planned)
		ret = plan->resolve(plan->ctx, &apt, set);
	err = ret ? 0 : make_dirs(p->partial, 0755);
	if (err)
		ret = cannot_write(p->partial, -err);
	if (!ret)
		ret = place_check_space(p, set, plan->need);
	if (!ret)
		ret = place_download(p, &apt, set, planned, &stale);
	/* a list that is out of date */
	if (stale && planned && ret == LAB_CANNOT) {
		deb_set_free(set);
		ret = plan->resolve(plan->ctx, &apt, set);
		if (!ret)
			ret = place_download(p, &apt, set, false, &stale);
	}
	apt_root_free(&apt);
	return ret;
}

enum lab_exit root_settle(const struct place *p, const struct deb_set *set)
{
	int err = deb_set_write(set, p->lock_json);

	if (err)
		return cannot_write(p->lock_json, -err);
	unlink(p->next_json);
	remove_tree(p->partial);
	return LAB_OK;
}

struct progress {
	const struct root_job *job;
	struct buf last; /* what it said, for when it fails */
};

static void on_line(void *ctx, const char *line, bool is_err)
{
	struct progress *g = ctx;

	(void)is_err;
	lab_verbose("%s", line);
	if (g->job->on_line)
		g->job->on_line(g->job->ctx, line);
	buf_puts(&g->last, line);
	buf_puts(&g->last, "\n");
	if (g->last.n > 16384) {
		memmove(g->last.s, g->last.s + g->last.n - 4096, 4097);
		g->last.n = 4096;
	}
}

enum lab_exit root_run(const struct root_job *job)
{
	struct progress g = { .job = job };
	struct strv argv = {};
	struct proc run = { .on_line = on_line, .ctx = &g, .timeout_s = job->timeout_s };
	enum lab_exit ret;

	root_command(job->root, NULL, &argv);
	strv_add(&argv, "sh");
	strv_add(&argv, "-c");
	strv_add(&argv, job->script);
	strv_add(&argv, "sh");
	for (size_t i = 0; i < job->args.n; i++)
		strv_add(&argv, job->args.v[i]);
	run.argv = argv.v;
	ret = proc_run(&run);
	if (!ret && run.status) {
		const char *said = g.last.s ?: "";
		bool full = strstr(said, "No space left");

		lab_stage_done(NULL);
		fputs(last_lines(said, 20), stderr);
		ret = lab_fail(
			LAB_CANNOT,
			full ? "free some space, or set CDEVLAB_CACHE to a directory on another disk" :
			       "-v shows all of what make says",
			"%s could not be made (make's last lines are above)", job->what);
	} else if (ret == LAB_TIMEOUT) {
		ret = lab_fail(LAB_CANNOT, NULL, "making %s did not end within %d minutes",
			       job->what, job->timeout_s / 60);
	}
	buf_free(&g.last);
	strv_free(&argv);
	proc_free(&run);
	return ret;
}

enum lab_exit root_commit(const char *root, const char *final, const char *tmp)
{
	_cleanup_free_ char *old = xasprintf("%s/old", tmp);
	_cleanup_close_ int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* a crash of the machine must not leave a complete name over empty files */
	if (fd >= 0)
		syncfs(fd);
	rename(final, old);
	return rename(root, final) ? cannot_write(final, errno) : LAB_OK;
}

static const char *waiting_for;

static void say_waiting(void)
{
	lab_stage("fetch", "%s  waiting for another cdevlab that is making it", waiting_for);
}

int root_lock(const struct place *p)
{
	int err = make_dirs(p->dir, 0755);

	if (err)
		return err;
	waiting_for = p->name;
	return lock_file(p->lock, say_waiting);
}
