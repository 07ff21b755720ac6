// SPDX-License-Identifier: GPL-2.0
/* In rust/RELEASE/ of the cache, as root.h says. */
#include "rust.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "root.h"

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

/* Complete toolchains */

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
	root = root_current(&p, RECIPE, id, hash, &damaged);
	place_free(&p);
	return root ? "yes" : "can";
}

/* Fetching */

static void package_specs(const struct kernel *k, const struct recipe *r, struct strv *specs)
{
	root_add_packages(specs);
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

struct request {
	const struct place *p;
	const struct kernel *k;
	const struct recipe *r;
};

static enum lab_exit resolve(void *ctx, struct apt_root *root, struct deb_set *set)
{
	const struct request *q = ctx;
	const struct place *p = q->p;
	const struct kernel *k = q->k;
	const struct recipe *r = q->r;
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

static bool is_variant(const char *name)
{
	return strstr(name, ".gcc-") != NULL;
}

/* The kernel's headers and kbuild, as the kernel's own directory has them. */
static enum lab_exit copy_headers(const struct kernel *k, const char *root)
{
	static const char *const parts[] = { "usr/src", "usr/lib", "host" };
	_cleanup_free_ char *dir = xstrndup(k->image, path_base(k->image) - k->image - 1);
	_cleanup_free_ char *link = root_file(root, ROOT_KERNEL_DIR + 1);
	_cleanup_free_ char *target = xasprintf("usr/src/linux-headers-%s", k->release);

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		_cleanup_free_ char *from = xasprintf("%s/%s", dir, parts[i]);
		_cleanup_free_ char *to = root_file(root, parts[i]);
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
	"cp " ROOT_KERNEL_DIR "/.config " ROOT_KERNEL_DIR "/Module.symvers .; "
	"m() { make -s KERNELRELEASE=$rel CC=$cc HOSTCC=$hostcc KBUILD_BUILD_USER=cdevlab $args \"$@\"; }; "
	"m olddefconfig; echo stage prepare; m -j$(nproc) prepare modules_prepare";

static void on_prepare(void *ctx, const char *line)
{
	const struct place *p = ctx;

	if (!strcmp(line, "stage prepare"))
		lab_stage("prepare", "%s  the Rust side of its headers: 2 to 4 minutes, once",
			  p->name);
}

static enum lab_exit run_prepare(const struct place *p, const struct kernel *k,
				 const struct recipe *r, const char *root)
{
	_cleanup_free_ char *what = xasprintf("the headers of %s for Rust", k->name);
	struct root_job job = { .root = root,
				.script = prepare,
				.timeout_s = PREPARE_TIMEOUT_S,
				.what = what,
				.on_line = on_prepare,
				.ctx = (void *)p };
	enum lab_exit ret;

	strv_add(&job.args, k->release);
	strv_add(&job.args, r->cc_name);
	strv_add(&job.args, r->hostcc);
	strv_add(&job.args, r->series);
	for (size_t i = 0; i < k->make_args.n && !arch_is_host(k->arch); i++)
		strv_add(&job.args, k->make_args.v[i]);
	strv_split(&job.args, k->arch->rust_make, " ");
	lab_stage("prepare", "%s  unpacking the kernel's sources", p->name);
	ret = root_run(&job);
	strv_free(&job.args);
	return ret;
}

static enum lab_exit check_tools(const struct kernel *k, const struct recipe *r, const char *root)
{
	_cleanup_free_ char *rustc = root_version(root, "rustc"),
			    *bindgen = root_version(root, "bindgen");
	_cleanup_free_ char *cc = root_version(root, r->cc_name);

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
	_cleanup_free_ char *stock = root_file(root, "kernel/.config");
	_cleanup_free_ char *config = root_file(root, "src/.config"),
			    *rust = root_file(root, "src/rust");
	_cleanup_free_ char *symvers = root_file(root, "kernel/Module.symvers");
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

/* From the source tree to the headers: what a module's build reads; the tree goes. */
static enum lab_exit take_result(const char *root)
{
	_cleanup_free_ char *src = root_file(root, "src"), *from = root_file(root, "src/rust");
	_cleanup_free_ char *to = root_file(root, "kernel/rust");
	_cleanup_free_ char *target = root_file(root, "src/scripts/target.json");
	_cleanup_free_ char *target_to = root_file(root, "kernel/scripts/target.json");
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
	return err ? cannot_write(to, -err) : LAB_OK;
}

static enum lab_exit write_toolchain(const struct kernel *k, const struct recipe *r,
				     const char *root, size_t symbols, double seconds)
{
	_cleanup_free_ char *path = root_file(root, "toolchain.json"), *when = utc_now();
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
	ret = root_unpack(p, set, root);
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
	if (!ret)
		ret = root_commit(root, final, tmp);
	temp_dir_done(tmp);
	return ret;
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
			json_t *j = h->d_name[0] == '.' ? NULL : root_read(root);
			const char *kernel = json_string_value(json_object_get(j, "kernel"));

			if (kernel && strcmp(root, keep) &&
			    (!file_exists(kernel) || !strncmp(root, keep, strlen(dir) + 1)))
				root_remove(root);
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
	struct request request = { p, k, r };
	struct root_plan plan = { p, k->version, NEED, resolve, &request };
	struct deb_set set;
	enum lab_exit ret = root_download(&plan, &set);

	if (!ret) {
		root_hash(&set, RECIPE, k->id, hash);
		*root = root_of(p, hash);
		ret = make(p, &set, k, r, *root);
	}
	if (!ret)
		ret = root_settle(p, &set);
	if (!ret) {
		remove_others(*root);
		lab_stage_done("%s  toolchain of %s", p->name, k->release);
	} else {
		lab_stage_done(NULL);
	}
	deb_set_free(&set);
	return ret;
}

/* With the lock: somebody else may have made it meanwhile. */
static enum lab_exit make_toolchain(const struct place *p, const struct kernel *k,
				    const struct recipe *r, char **root, char hash[HASH_HEX])
{
	_cleanup_close_ int fd = root_lock(p);
	const char *damaged;

	if (lab_interrupted())
		return LAB_INTERRUPTED;
	if (fd < 0)
		return cannot_write(p->lock, -fd);
	*root = root_current(p, RECIPE, k->id, hash, &damaged);
	if (*root) {
		lab_stage_done(NULL);
		return LAB_OK;
	}
	if (damaged)
		lab_warn("the Rust toolchain in %s is damaged (it has no %s) and is made anew",
			 p->dir, damaged);
	place_sweep(p);
	return make_locked(p, k, r, root, hash);
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
		ret = root_check();
	if (!ret)
		ret = place_for(&p, k->name, k->release);
	if (!ret) {
		root = root_current(&p, RECIPE, k->id, hash, &damaged);
		if (!root)
			ret = make_toolchain(&p, k, &r, &root, hash);
	}
	if (!ret)
		ret = root_use(k, root, hash);
	place_free(&p);
	recipe_free(&r);
	return ret;
}
