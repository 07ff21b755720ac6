// SPDX-License-Identifier: GPL-2.0
/*
 * In the cache:
 *
 *   rust/RELEASE/
 *	lock		held while something is changed here
 *	lock.json	the packages of the toolchain in use, with sizes and SHA-256
 *	next.json	the same of one that is being fetched
 *	partial/	downloads
 *	HASH/		a toolchain; it is renamed into place when it is complete
 *	    toolchain.json	what it is; users hold a shared lock on it
 *	    kernel		the prepared headers
 *
 * HASH is of the packages, of the kernel's own id and of what this file does.
 */
#include "rust.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel_internal.h"

#define RECIPE "1" /* raised when what is made, or how, changes */
/* What is needed on disk at most while it is made, beside the downloads. */
#define NEED		  (3000LL << 20)
#define PREPARE_TIMEOUT_S 3600

/* struct recipe - what a kernel's configuration says of the tools that built it */
struct recipe {
	char *rustc, *bindgen, *cc; /* as their --version says */
	char *cc_name;		    /* x86_64-linux-gnu-gcc-14 */
	char *cc_package; /* gcc-14, or where the kernel is another machine's, gcc-14-aarch64-linux-gnu */
	char *hostcc, *hostcc_package; /* the same gcc, of this machine */
	char *series;		       /* 7.3 */
	bool pahole;
};

static void recipe_free(struct recipe *r)
{
	free(r->rustc);
	free(r->bindgen);
	free(r->cc);
	free(r->cc_name);
	free(r->cc_package);
	free(r->hostcc);
	free(r->hostcc_package);
	free(r->series);
}

char *rust_version_of(const char *text)
{
	const char *digit = text + strcspn(text, "0123456789");

	return xstrndup(digit, strspn(digit, "0123456789."));
}

bool rust_package_fits(const char *package_version, const char *version)
{
	const char *colon = strchr(package_version, ':');
	size_t n = strlen(version);

	if (colon)
		package_version = colon + 1;
	return n && !strncmp(package_version, version, n) &&
	       !(package_version[n] == '.' ||
		 (package_version[n] >= '0' && package_version[n] <= '9'));
}

static enum lab_exit no_rust(const struct kernel *k)
{
	return lab_fail(
		LAB_CANNOT,
		"kernels with Rust: debian:trixie-backports, debian:forky and debian:sid, of amd64 and arm64",
		"%s (%s) is built without Rust: CONFIG_RUST is not set in its configuration",
		k->name, k->release);
}

static enum lab_exit recipe_read(const struct kernel *k, struct recipe *r)
{
	_cleanup_free_ char *pahole = kernel_setting(k->config, "CONFIG_PAHOLE_VERSION");
	const char *gcc;

	*r = (struct recipe){ .series = kernel_series(k->release) };
	if (!str_starts(k->name, kernel_source_debian.prefix))
		return lab_fail(
			LAB_CANNOT, "for example -k debian:trixie-backports/amd64",
			"Rust modules are built for kernels of the Debian archive only, and %s is none",
			k->name);
	if (kernel_config(k, "RUST") != 'y')
		return no_rust(k);
	r->rustc = kernel_setting(k->config, "CONFIG_RUSTC_VERSION_TEXT");
	r->bindgen = kernel_setting(k->config, "CONFIG_BINDGEN_VERSION_TEXT");
	r->cc = kernel_setting(k->config, "CONFIG_CC_VERSION_TEXT");
	if (!r->rustc || !r->bindgen || !r->cc)
		return lab_fail(LAB_CANNOT, NULL, "%s does not say which compilers built %s",
				k->config, k->name);
	r->cc_name = xstrndup(r->cc, strcspn(r->cc, " "));
	gcc = strstr(r->cc_name, "gcc-");
	if (!gcc)
		return lab_fail(LAB_CANNOT, NULL, "%s was built by %s: only gcc is known here",
				k->name, r->cc_name);
	r->hostcc_package = xstrdup(gcc);
	if (arch_is_host(k->arch)) {
		r->hostcc = xstrdup(r->cc_name);
		r->cc_package = xstrdup(gcc);
	} else {
		r->hostcc = xasprintf("%s-%s", arch_host()->triplet, gcc);
		r->cc_package = xasprintf("%s-%s", gcc, k->arch->triplet);
	}
	r->pahole = pahole && strcmp(pahole, "0");
	return LAB_OK;
}

/* Running in a root */

/*
 * /proc is for rustc, which looks for itself there; the mounts end with the namespace. sbin is where Debian has
 * chroot, and is not in everybody's PATH.
 */
static const char enter[] =
	"PATH=$PATH:/usr/sbin:/sbin; root=$1 dir=$2; shift 2; "
	"mount --rbind /dev \"$root/dev\" && mount --rbind /proc \"$root/proc\" && "
	"{ test -z \"$dir\" || mount --bind \"$dir\" \"$root" RUST_BUILD_DIR "\"; } && "
	"exec chroot \"$root\" /usr/bin/env -i HOME=/tmp PATH=/usr/bin:/usr/sbin LC_ALL=C "
	"TMPDIR=${dir:+" RUST_BUILD_DIR "} \"$@\"";

/* unshare's own default, unless check_enter() has found that it does not work here */
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

void rust_command(const char *root, const char *dir, struct strv *argv)
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
static enum lab_exit check_enter(void)
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
			"Rust modules are built in a root of their own, which cannot be entered here: %s",
			why);
	works = !ret;
	temp_dir_done(dir);
	return ret;
}

/* Complete toolchains */

static char *toolchain_file(const char *root, const char *name)
{
	return xasprintf("%s/%s", root, name);
}

static json_t *toolchain_read(const char *root)
{
	_cleanup_free_ char *path = toolchain_file(root, "toolchain.json");
	json_t *j = json_load_file(path, 0, NULL);

	if (j && json_string_value(json_object_get(j, "rustc")) &&
	    json_string_value(json_object_get(j, "cc")) &&
	    json_string_value(json_object_get(j, "cc_name")))
		return j;
	json_decref(j);
	return NULL;
}

/* The first thing that is missing, or NULL. */
static const char *toolchain_lacks(const char *root)
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
		_cleanup_free_ char *path = toolchain_file(root, needed[i]);

		if (!file_exists(path))
			return needed[i];
	}
	return NULL;
}

bool rust_is_whole(const char *root)
{
	const char *lacks = toolchain_lacks(root);

	if (lacks)
		lab_fail(LAB_CANNOT,
			 "another program may be clearing the cache; run it again: it is made anew",
			 "the Rust toolchain %s was removed or damaged meanwhile: it has no %s",
			 root, lacks);
	return !lacks;
}

static void set_hash(const struct deb_set *set, const char *kernel_id, char hex[HASH_HEX])
{
	struct hash *h = hash_new();
	struct strv sums = {};

	for (size_t i = 0; i < set->n; i++)
		strv_add(&sums, set->v[i].sha256);
	strv_sort(&sums);
	hash_puts(h, RECIPE);
	hash_puts(h, kernel_id);
	for (size_t i = 0; i < sums.n; i++)
		hash_puts(h, sums.v[i]);
	strv_free(&sums);
	hash_end(h, hex);
}

static char *root_of(const struct place *p, const char hash[HASH_HEX])
{
	return xasprintf("%s/%.16s", p->dir, hash);
}

static enum lab_exit place_for(struct place *p, const char *name, const char *release)
{
	_cleanup_free_ char *rest =
		xstrdup(name + strcspn(name, ":") + (strchr(name, ':') ? 1 : 0));
	const char *cache = lab_cache_dir();
	const struct suite *suite;

	*p = (struct place){};
	rest[strcspn(rest, "/")] = '\0';
	suite = suite_find(rest);
	if (!cache || !suite)
		return LAB_CANNOT;
	place_set(p, suite, arch_host(), xasprintf("%s's Rust", name),
		  xasprintf("%s/rust/%s", cache, release));
	return LAB_OK;
}

/* The toolchain that lock.json names, if it is whole. *damaged: it is there, and lacks that. */
static char *toolchain_current(const struct place *p, const char *kernel_id, char hash[HASH_HEX],
			       const char **damaged)
{
	char *root = NULL;
	struct deb_set set;

	*damaged = NULL;
	if (!deb_set_read(&set, p->lock_json)) {
		const char *lacks;

		set_hash(&set, kernel_id, hash);
		root = root_of(p, hash);
		lacks = toolchain_lacks(root);
		if (lacks) {
			*damaged = file_exists(root) ? lacks : NULL;
			free(root);
			root = NULL;
		}
	}
	deb_set_free(&set);
	return root;
}

const char *rust_state(const char *name, const char *release, const char *id, const char *config)
{
	_cleanup_free_ char *rust = kernel_setting(config, "CONFIG_RUST"), *root = NULL;
	const char *damaged;
	char hash[HASH_HEX];
	struct place p;

	if (!rust || strcmp(rust, "y"))
		return "no";
	if (!arch_host() || place_for(&p, name, release))
		return "no";
	root = toolchain_current(&p, id, hash, &damaged);
	place_free(&p);
	return root ? "yes" : "can";
}

/* As for kernels: another process' clearing leaves alone what is in use. */
static void hold(const char *root)
{
	_cleanup_free_ char *path = toolchain_file(root, "toolchain.json");
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		flock(fd, LOCK_SH | LOCK_NB);
}

static enum lab_exit toolchain_use(struct kernel *k, const char *root, const char hash[HASH_HEX])
{
	json_t *j = toolchain_read(root);

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

/* Fetching */

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

static void package_specs(const struct kernel *k, const struct recipe *r, struct strv *specs)
{
	for (size_t i = 0; i < ARRAY_SIZE(packages); i++)
		strv_add(specs, packages[i]);
	strv_add(specs, r->hostcc_package);
	if (!arch_is_host(k->arch)) {
		strv_add(specs, r->cc_package);
		strv_split(specs, k->arch->cross_packages, " ");
	}
	strv_split(specs, k->arch->rust_packages, " ");
	if (r->pahole)
		strv_add(specs, "pahole");
	strv_addf(specs, "linux-source-%s=%s", r->series, k->version);
}

static const struct deb *find_deb(const struct deb_set *set, const char *package)
{
	for (size_t i = 0; i < set->n; i++)
		if (!strcmp(set->v[i].package, package))
			return &set->v[i];
	return NULL;
}

static enum lab_exit moved(const struct kernel *k, const char *fmt, const char *what,
			   const char *now)
{
	_cleanup_free_ char *hint = xasprintf(
		"take its newest kernel: cdevlab kernel fetch --update --rust %s", k->name);
	_cleanup_free_ char *why = NULL;

	why = str_replace(fmt, "%what", what);
	return lab_fail(LAB_CANNOT, hint, "the archive has moved: %s, for %s%s%s", why, k->name,
			*now ? "; " : "", now);
}

/* The packages as the archive has them today: whether they are the kernel's. */
static enum lab_exit check_set(const struct kernel *k, const struct recipe *r,
			       const struct deb_set *set)
{
	_cleanup_free_ char *want = rust_version_of(r->rustc), *source = NULL;
	const struct deb *rustc = find_deb(set, "rustc"), *src;

	source = xasprintf("linux-source-%s", r->series);
	src = find_deb(set, source);
	if (!rustc || !src || strcmp(src->version, k->version)) {
		_cleanup_free_ char *now = xasprintf("it has %s", src ? src->version : "none");

		return moved(k, "it does not have %what any more", source, now);
	}
	if (!rust_package_fits(rustc->version, want)) {
		_cleanup_free_ char *now = xasprintf("it has rustc %s", rustc->version);

		return moved(k, "the kernel was built by %what", r->rustc, now);
	}
	return LAB_OK;
}

static enum lab_exit resolve(const struct place *p, struct apt_root *root, const struct kernel *k,
			     const struct recipe *r, struct deb_set *set)
{
	_cleanup_free_ char *why = NULL;
	struct strv specs = {};
	enum lab_exit ret;
	int err;

	*set = (struct deb_set){ .suite = xstrdup(p->suite->name),
				 .arch = xstrdup(arch_host()->name),
				 .when = utc_now(),
				 .release = xstrdup(k->release),
				 .version = xstrdup(k->version),
				 .needs_libc = xstrdup("0") };
	package_specs(k, r, &specs);
	lab_stage("fetch", "%s  asking the archive for the kernel's compilers", p->name);
	ret = apt_resolve_install(root, p->suite, &specs, set, &why);
	if (why && strstr(why, "linux-source"))
		ret = moved(k, "it does not have %what", specs.v[specs.n - 1], why);
	else if (why)
		ret = lab_fail(LAB_CANNOT, "it may be in the middle of an update: try again later",
			       "the archive does not have all of the toolchain of %s: %s", k->name,
			       why);
	if (!ret)
		ret = check_set(k, r, set);
	strv_free(&specs);
	if (ret)
		return ret;
	err = deb_set_write(set, p->next_json);
	return err ? cannot_write(p->next_json, -err) : LAB_OK;
}

/* Making */

/* What nobody reads there; half of the space. */
bool rust_drops(const char *path)
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
		_cleanup_free_ char *path = toolchain_file(root, dirs[i]);
		int err = make_dirs(path, 0755);

		if (err)
			return err;
	}
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		_cleanup_free_ char *path = toolchain_file(root, links[i][1]);

		if (symlink(links[i][0], path) && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static enum lab_exit unpack_all(const struct place *p, const struct deb_set *set, const char *root)
{
	enum lab_exit ret = LAB_OK;
	int err = make_links(root);

	if (err)
		return cannot_write(root, -err);
	for (size_t i = 0; i < set->n && !ret; i++) {
		_cleanup_free_ char *file = xasprintf("%s/%s", p->partial, set->v[i].file);

		lab_stage("fetch", "%s  unpacking %s", p->name, set->v[i].package);
		ret = unpack_root(file, root, rust_drops);
	}
	return ret;
}

static bool is_variant(const char *name)
{
	return strstr(name, ".gcc-") != NULL;
}

/* The kernel's headers and kbuild, as the kernel's own directory has them. */
static enum lab_exit copy_headers(const struct kernel *k, const char *root)
{
	static const char *const parts[] = { "usr/src", "usr/lib", "host" };
	_cleanup_free_ char *dir = xstrndup(k->image, path_base(k->image) - k->image - 1);
	_cleanup_free_ char *link = toolchain_file(root, RUST_KERNEL_DIR + 1);
	_cleanup_free_ char *target = xasprintf("usr/src/linux-headers-%s", k->release);

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		_cleanup_free_ char *from = xasprintf("%s/%s", dir, parts[i]);
		_cleanup_free_ char *to = toolchain_file(root, parts[i]);
		int err = file_exists(from) ? copy_tree(from, to, is_variant) : 0;

		if (err)
			return cannot_write(to, -err);
	}
	return symlink(target, link) ? cannot_write(link, errno) : LAB_OK;
}

/*
 * The sources of drivers, of file systems and of the network are most of the tree, and nothing that `prepare`
 * compiles; their Kconfig files count.
 */
static const char prepare[] =
	"set -e; rel=$1 cc=$2 hostcc=$3 series=$4; shift 4; args=$*; top=linux-source-$series; cd /src; "
	"tar -xJf /usr/src/$top.tar.xz --strip-components=1 --anchored --wildcards --exclude=$top/Documentation/*.rst "
	"--exclude=$top/Documentation/*.yaml --exclude=$top/Documentation/*.txt --exclude=$top/drivers/*.c "
	"--exclude=$top/sound/*.c --exclude=$top/fs/*.c --exclude=$top/net/*.c --exclude=$top/tools/testing/*.c "
	"--exclude=$top/drivers/gpu/drm/amd/include/* --exclude=$top/arch/*/boot/dts/*; "
	"rm /usr/src/$top.tar.xz; "
	"cp " RUST_KERNEL_DIR "/.config " RUST_KERNEL_DIR "/Module.symvers .; "
	"m() { make -s KERNELRELEASE=$rel CC=$cc HOSTCC=$hostcc KBUILD_BUILD_USER=cdevlab $args \"$@\"; }; "
	"m olddefconfig; echo stage prepare; m -j$(nproc) prepare modules_prepare";

struct progress {
	const struct place *p;
	struct buf last; /* what it said, for when it fails */
};

static void on_prepare(void *ctx, const char *line, bool is_err)
{
	struct progress *g = ctx;

	(void)is_err;
	lab_verbose("%s", line);
	if (!strcmp(line, "stage prepare"))
		lab_stage("prepare", "%s  the Rust side of its headers: 2 to 4 minutes, once",
			  g->p->name);
	buf_puts(&g->last, line);
	buf_puts(&g->last, "\n");
	if (g->last.n > 16384) {
		memmove(g->last.s, g->last.s + g->last.n - 4096, 4097);
		g->last.n = 4096;
	}
}

static const char *last_lines(const char *s, int lines)
{
	const char *at = s + strlen(s);

	while (at > s && lines >= 0)
		if (*--at == '\n')
			lines--;
	return at > s ? at + 1 : s;
}

static enum lab_exit run_prepare(const struct place *p, const struct kernel *k,
				 const struct recipe *r, const char *root)
{
	struct progress g = { .p = p };
	struct strv argv = {};
	struct proc run = { .on_line = on_prepare, .ctx = &g, .timeout_s = PREPARE_TIMEOUT_S };
	enum lab_exit ret;

	rust_command(root, NULL, &argv);
	strv_add(&argv, "sh");
	strv_add(&argv, "-c");
	strv_add(&argv, prepare);
	strv_add(&argv, "sh");
	strv_add(&argv, k->release);
	strv_add(&argv, r->cc_name);
	strv_add(&argv, r->hostcc);
	strv_add(&argv, r->series);
	for (size_t i = 0; i < k->make_args.n && !arch_is_host(k->arch); i++)
		strv_add(&argv, k->make_args.v[i]);
	strv_split(&argv, k->arch->rust_make, " ");
	run.argv = argv.v;
	lab_stage("prepare", "%s  unpacking the kernel's sources", p->name);
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
			"the headers of %s could not be prepared for Rust (make's last lines are above)",
			k->name);
	} else if (ret == LAB_TIMEOUT) {
		ret = lab_fail(LAB_CANNOT, NULL,
			       "preparing the headers of %s for Rust did not end within %d minutes",
			       k->name, PREPARE_TIMEOUT_S / 60);
	}
	buf_free(&g.last);
	strv_free(&argv);
	proc_free(&run);
	return ret;
}

/* First line of a program's --version in the root, or NULL. */
static char *version_in(const char *root, const char *program)
{
	struct strv argv = {};
	char *out;

	rust_command(root, NULL, &argv);
	strv_add(&argv, program);
	strv_add(&argv, "--version");
	out = proc_output(argv.v);
	strv_free(&argv);
	if (out)
		out[strcspn(out, "\n")] = '\0';
	return out;
}

static enum lab_exit check_tools(const struct kernel *k, const struct recipe *r, const char *root)
{
	_cleanup_free_ char *rustc = version_in(root, "rustc"),
			    *bindgen = version_in(root, "bindgen");
	_cleanup_free_ char *cc = version_in(root, r->cc_name);

	if (!rustc || !bindgen || !cc)
		return lab_fail(LAB_CANNOT,
				"this is a case for a bug report: packages are built in a new way",
				"%s does not start in the toolchain made for %s",
				!rustc ? "rustc" :
				!cc    ? r->cc_name :
					 "bindgen",
				k->name);
	/* the library's layout and its symbols' names are those of one compiler */
	if (strcmp(rustc, r->rustc))
		return moved(k, "the kernel was built by %what", r->rustc, rustc);
	if (strcmp(bindgen, r->bindgen))
		lab_warn("%s was built with %s; its toolchain has %s", k->name, r->bindgen,
			 bindgen);
	if (strcmp(cc, r->cc))
		lab_warn("%s was built by %s; its toolchain has %s", k->name, r->cc, cc);
	return LAB_OK;
}

/* The lines of a configuration that set something, sorted. */
static void config_values(const char *text, struct strv *lines)
{
	struct strv all = {};

	strv_split(&all, text, "\n");
	for (size_t i = 0; i < all.n; i++)
		if (str_starts(all.v[i], "CONFIG_"))
			strv_add(lines, all.v[i]);
	strv_sort(lines);
	strv_free(&all);
}

/* What only says something of the machine it was asked on. */
static bool is_of_machine(const char *line)
{
	return str_starts(line, "CONFIG_OPENSSL_SUPPORTS_");
}

void rust_config_diff(const char *kernel, const char *prepared, struct strv *diff)
{
	struct strv a = {}, b = {};
	size_t i = 0, j = 0;

	config_values(kernel, &a);
	config_values(prepared, &b);
	while (i < a.n || j < b.n) {
		int c = i == a.n ? 1 : j == b.n ? -1 : strcmp(a.v[i], b.v[j]);
		const char *line = c <= 0 ? a.v[i] : b.v[j];

		if (c && !is_of_machine(line))
			strv_addf(diff, "%s%s", c < 0 ? "-" : "+", line);
		i += c <= 0;
		j += c >= 0;
	}
	strv_free(&a);
	strv_free(&b);
}

size_t rust_missing_symbols(const char *exports, const char *symvers, struct strv *missing)
{
	static const char mark[] = "EXPORT_SYMBOL_RUST_GPL(";
	struct strv have = {}, names = {};
	size_t j = 0;

	for (const char *line = symvers; line && *line;) {
		const char *end = strchrnul(line, '\n'), *tab = memchr(line, '\t', end - line);

		if (tab)
			strv_take(&have, xstrndup(tab + 1, strcspn(tab + 1, "\t\n")));
		line = *end ? end + 1 : end;
	}
	for (const char *at = exports; (at = strstr(at, mark));) {
		at += strlen(mark);
		strv_take(&names, xstrndup(at, strcspn(at, ")")));
	}
	strv_sort(&have);
	strv_sort(&names);
	for (size_t i = 0; i < names.n; i++) {
		while (j < have.n && strcmp(have.v[j], names.v[i]) < 0)
			j++;
		if (j == have.n || strcmp(have.v[j], names.v[i]))
			strv_add(missing, names.v[i]);
	}
	j = names.n;
	strv_free(&have);
	strv_free(&names);
	return j;
}

/* All of a directory's files with that suffix, joined. */
static void read_suffix(const char *dir, const char *suffix, struct buf *out)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, e->d_name);

		if (str_ends(e->d_name, suffix))
			file_read(path, out);
	}
	if (d)
		closedir(d);
}

/* The library that was made against the kernel that will run: its configuration, and its symbols. */
static enum lab_exit check_prepared(const struct kernel *k, const char *root, size_t *symbols)
{
	_cleanup_free_ char *stock = toolchain_file(root, "kernel/.config");
	_cleanup_free_ char *config = toolchain_file(root, "src/.config"),
			    *rust = toolchain_file(root, "src/rust");
	_cleanup_free_ char *symvers = toolchain_file(root, "kernel/Module.symvers");
	struct buf a = {}, b = {}, exports = {}, have = {};
	struct strv diff = {}, missing = {};
	enum lab_exit ret = LAB_OK;

	file_read(stock, &a);
	file_read(config, &b);
	file_read(symvers, &have);
	read_suffix(rust, "_generated.h", &exports);
	rust_config_diff(a.s ?: "", b.s ?: "", &diff);
	*symbols = rust_missing_symbols(exports.s ?: "", have.s ?: "", &missing);
	for (size_t i = 0; i < diff.n; i++)
		lab_verbose("configuration: %s", diff.v[i]);
	if (diff.n)
		ret = lab_fail(
			LAB_CANNOT,
			"-v shows all; the archive may have moved: cdevlab kernel fetch --update",
			"the headers prepared for %s have another configuration than the kernel: %zu options, %s",
			k->name, diff.n, diff.v[0]);
	else if (!*symbols || missing.n)
		ret = lab_fail(
			LAB_CANNOT, "the archive may have moved: cdevlab kernel fetch --update",
			"the Rust library prepared for %s is not the kernel's: %zu of %zu symbols are not in "
			"it, as %s",
			k->name, missing.n, *symbols, missing.n ? missing.v[0] : "all");
	strv_free(&diff);
	strv_free(&missing);
	buf_free(&a);
	buf_free(&b);
	buf_free(&have);
	buf_free(&exports);
	return ret;
}

/* rust-src is 400 MB, of which only the library was made. */
static int remove_rust_source(const char *root)
{
	_cleanup_free_ char *dir = toolchain_file(root, "usr/src");
	DIR *d = opendir(dir);
	struct dirent *e;
	int err = 0;

	while (!err && d && (e = readdir(d))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, e->d_name);

		if (str_starts(e->d_name, "rustc-"))
			err = remove_tree(path);
	}
	if (d)
		closedir(d);
	return err;
}

/* From the source tree to the headers: what a module's build reads; the tree goes. */
static enum lab_exit take_result(const char *root)
{
	_cleanup_free_ char *src = toolchain_file(root, "src"),
			    *from = toolchain_file(root, "src/rust");
	_cleanup_free_ char *to = toolchain_file(root, "kernel/rust");
	_cleanup_free_ char *target = toolchain_file(root, "src/scripts/target.json");
	_cleanup_free_ char *target_to = toolchain_file(root, "kernel/scripts/target.json");
	int err = make_dirs(to, 0755);
	struct dirent *e;
	DIR *d = opendir(from);

	while (!err && d && (e = readdir(d))) {
		_cleanup_free_ char *a = xasprintf("%s/%s", from, e->d_name);
		_cleanup_free_ char *b = xasprintf("%s/%s", to, e->d_name);

		if ((str_ends(e->d_name, ".rmeta") || str_ends(e->d_name, ".so")) && rename(a, b))
			err = -errno;
	}
	if (d)
		closedir(d);
	if (!err && file_exists(target) && rename(target, target_to))
		err = -errno;
	if (!err)
		err = remove_tree(src);
	if (!err)
		err = remove_rust_source(root);
	return err ? cannot_write(to, -err) : LAB_OK;
}

static enum lab_exit write_toolchain(const struct kernel *k, const struct recipe *r,
				     const char *root, size_t symbols, double seconds)
{
	_cleanup_free_ char *path = toolchain_file(root, "toolchain.json"), *when = utc_now();
	_cleanup_free_ char *kernel = xstrndup(k->image, path_base(k->image) - k->image - 1);
	json_t *j = json_pack("{ss ss ss ss ss ss ss ss sI sf}", "name", k->name, "release",
			      k->release, "kernel", kernel, "rustc", r->rustc, "bindgen",
			      r->bindgen, "cc", r->cc, "cc_name", r->cc_name, "made", when,
			      "symbols", (json_int_t)symbols, "seconds", seconds);
	int err = json_write(j, path);

	json_decref(j);
	return err ? cannot_write(path, -err) : LAB_OK;
}

/* Packages to a toolchain, in a directory of its own that is renamed when all is there. */
static enum lab_exit make(const struct place *p, const struct deb_set *set, const struct kernel *k,
			  const struct recipe *r, const char *final)
{
	double start = now_s();
	char *tmp = temp_dir(p->dir);
	_cleanup_free_ char *root = tmp ? xasprintf("%s/root", tmp) : NULL;
	enum lab_exit ret;
	size_t symbols = 0;

	if (!tmp)
		return LAB_CANNOT;
	ret = unpack_all(p, set, root);
	if (!ret)
		ret = copy_headers(k, root);
	if (!ret)
		ret = check_tools(k, r, root);
	if (!ret)
		ret = run_prepare(p, k, r, root);
	if (!ret)
		ret = check_prepared(k, root, &symbols);
	if (!ret)
		ret = take_result(root);
	if (!ret)
		ret = write_toolchain(k, r, root, symbols, now_s() - start);
	if (!ret && lab_interrupted())
		ret = LAB_INTERRUPTED;
	if (!ret) {
		_cleanup_free_ char *old = xasprintf("%s/old", tmp);
		_cleanup_close_ int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		/* a crash of the machine must not leave a complete name over empty files */
		if (fd >= 0)
			syncfs(fd);
		rename(final, old);
		if (rename(root, final))
			ret = cannot_write(final, errno);
	}
	temp_dir_done(tmp);
	return ret;
}

static bool read_plan(const struct place *p, const struct kernel *k, struct deb_set *set)
{
	const char *const paths[] = { p->next_json, p->lock_json };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		int err = deb_set_read(set, paths[i]);

		if (err == -EINVAL)
			lab_warn("%s is damaged and is made anew", paths[i]);
		if (!err && !strcmp(set->version, k->version))
			return true;
		deb_set_free(set);
	}
	return false;
}

/* Toolchains of kernels that are not here any more; those in use stay. */
static void remove_one(const char *root)
{
	_cleanup_free_ char *path = toolchain_file(root, "toolchain.json");
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

static void remove_others(const char *keep)
{
	_cleanup_free_ char *base = xasprintf("%s/rust", lab_cache_dir());
	struct dirent *e, *h;
	DIR *d = opendir(base);

	while (d && (e = readdir(d))) {
		_cleanup_free_ char *dir = xasprintf("%s/%s", base, e->d_name);
		DIR *sub = e->d_name[0] == '.' ? NULL : opendir(dir);

		while (sub && (h = readdir(sub))) {
			_cleanup_free_ char *root = xasprintf("%s/%s", dir, h->d_name);
			json_t *j = h->d_name[0] == '.' ? NULL : toolchain_read(root);
			const char *kernel = json_string_value(json_object_get(j, "kernel"));

			if (kernel && strcmp(root, keep) &&
			    (!file_exists(kernel) || !strncmp(root, keep, strlen(dir) + 1)))
				remove_one(root);
			json_decref(j);
		}
		if (sub)
			closedir(sub);
	}
	if (d)
		closedir(d);
}

static enum lab_exit make_locked(const struct place *p, const struct kernel *k,
				 const struct recipe *r, char **root, char hash[HASH_HEX])
{
	struct deb_set set = {};
	struct apt_root apt = {};
	bool planned = read_plan(p, k, &set), stale = false;
	enum lab_exit ret = place_check_space(p, NULL, NEED);
	int err;

	if (!ret)
		ret = apt_root_make(&apt, p->dir, p->suite, arch_host()->name);
	if (!ret && !planned)
		ret = resolve(p, &apt, k, r, &set);
	err = ret ? 0 : make_dirs(p->partial, 0755);
	if (err)
		ret = cannot_write(p->partial, -err);
	if (!ret)
		ret = place_check_space(p, &set, NEED);
	if (!ret)
		ret = place_download(p, &apt, &set, planned, &stale);
	/* a list that is out of date */
	if (stale && planned && ret == LAB_CANNOT) {
		deb_set_free(&set);
		ret = resolve(p, &apt, k, r, &set);
		if (!ret)
			ret = place_download(p, &apt, &set, false, &stale);
	}
	if (!ret) {
		set_hash(&set, k->id, hash);
		*root = root_of(p, hash);
		ret = make(p, &set, k, r, *root);
	}
	err = ret ? 0 : deb_set_write(&set, p->lock_json);
	if (err)
		ret = cannot_write(p->lock_json, -err);
	if (!ret) {
		unlink(p->next_json);
		remove_tree(p->partial);
		remove_others(*root);
		lab_stage_done("%s  toolchain of %s", p->name, k->release);
	} else {
		lab_stage_done(NULL);
	}
	apt_root_free(&apt);
	deb_set_free(&set);
	return ret;
}

static const char *waiting_for;

static void say_waiting(void)
{
	lab_stage("fetch", "%s  waiting for another cdevlab that is making it", waiting_for);
}

/* With the lock: somebody else may have made it meanwhile. */
static enum lab_exit make_toolchain(const struct place *p, const struct kernel *k,
				    const struct recipe *r, char **root, char hash[HASH_HEX])
{
	_cleanup_close_ int fd = -1;
	const char *damaged;
	enum lab_exit ret;
	int err = make_dirs(p->dir, 0755);

	if (err)
		return cannot_write(p->dir, -err);
	waiting_for = p->name;
	fd = lock_file(p->lock, say_waiting);
	if (lab_interrupted())
		return LAB_INTERRUPTED;
	if (fd < 0)
		return cannot_write(p->lock, -fd);
	*root = toolchain_current(p, k->id, hash, &damaged);
	if (*root) {
		lab_stage_done(NULL);
		return LAB_OK;
	}
	if (damaged)
		lab_warn("the Rust toolchain in %s is damaged (it has no %s) and is made anew",
			 p->dir, damaged);
	place_sweep(p);
	ret = make_locked(p, k, r, root, hash);
	return ret;
}

enum lab_exit rust_get(struct kernel *k)
{
	_cleanup_free_ char *root = NULL;
	struct recipe r = {};
	struct place p = {};
	char hash[HASH_HEX];
	const char *damaged;
	enum lab_exit ret = recipe_read(k, &r);

	if (!ret)
		ret = check_enter();
	if (!ret)
		ret = place_for(&p, k->name, k->release);
	if (!ret) {
		root = toolchain_current(&p, k->id, hash, &damaged);
		if (!root)
			ret = make_toolchain(&p, k, &r, &root, hash);
	}
	if (!ret)
		ret = toolchain_use(k, root, hash);
	place_free(&p);
	recipe_free(&r);
	return ret;
}

/* A path begins there: what stands before it is no part of one. */
static bool begins_path(const char *line, const char *at)
{
	return at == line ||
	       !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+/",
		       at[-1]);
}

char *rust_shown(const char *line, const char *dir)
{
	static const char build[] = RUST_BUILD_DIR "/", arrow[] = "--> ", more[] = "::: ";
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
