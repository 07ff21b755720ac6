// SPDX-License-Identifier: GPL-2.0
/*
 * Kernels that watch: built here once, from Debian's source, with the checks that stock kernels are built
 * without. clang builds them, in a private root, since with gcc Rust and KASAN exclude each other.
 *
 * What is configured is kernels/base.config, kernels/ARCH.config and kernels/KIND.config on top of tinyconfig.
 * In the cache: kernels/debug-KIND-ARCH/, as root.h says, with the built tree in HASH/kernel and in HASH/image
 * what QEMU boots.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "root.h"

#define RECIPE "1" /* raised when what is made, or how, changes */
/* The newest source that is built by Debian 13's compilers. */
#define SUITE  "trixie-backports"
#define SOURCE "linux-source"
/* What is needed on disk at most while it is made, beside the downloads. */
#define NEED	       (6000LL << 20)
#define MEMORY_MB      768 /* of a guest: shadows, and what was freed is kept for a while */
#define CONFIG_LIMIT_S 600
#define STEPS_EXPECTED 2600 /* lines of make, before one was counted */
#define BUILD_LIMIT_S  (4 * 3600)

static const char *const kinds[] = { "kasan", "kcsan" };

/* struct target - one debug kernel */
struct target {
	const char *kind;
	struct place place;
	struct buf config;  /* all that it asks for, a line each */
	char id[HASH_HEX];  /* of it */
	long steps, expect; /* lines that make has said, and will say */
	double start;
};

static void target_free(struct target *t)
{
	place_free(&t->place);
	buf_free(&t->config);
}

static const char *kind_find(const char *rest)
{
	size_t n = strcspn(rest, "/");

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strlen(kinds[i]) == n && !strncmp(kinds[i], rest, n))
			return kinds[i];
	return NULL;
}

static bool read_fragment(const char *name, struct buf *out)
{
	_cleanup_free_ char *path = xasprintf("%s/kernels/%s.config", lab_data_dir(), name);

	return !file_read(path, out);
}

static enum lab_exit target_set(const char *kind, const struct arch *arch, struct target *t)
{
	const char *cache = lab_cache_dir();
	struct hash *h;

	*t = (struct target){ .kind = kind };
	if (!cache)
		return LAB_CANNOT;
	place_set(&t->place, suite_find(SUITE), arch, xasprintf("debug:%s/%s", kind, arch->name),
		  xasprintf("%s/kernels/debug-%s-%s", cache, kind, arch->name));
	if (!read_fragment("base", &t->config) || !read_fragment(kind, &t->config))
		return lab_fail(LAB_CANNOT, "the installation is not complete",
				"cannot read the configurations in %s/kernels", lab_data_dir());
	if (!read_fragment(arch->name, &t->config))
		return lab_fail(LAB_CANNOT, "there are debug kernels for amd64 and arm64",
				"there is no configuration of a debug kernel for %s", arch->name);
	h = hash_new();
	hash_puts(h, t->config.s);
	hash_end(h, t->id);
	return LAB_OK;
}

/* KIND[/ARCH] */
static enum lab_exit target_parse(const char *rest, struct target *t)
{
	const char *kind = kind_find(rest), *slash = strchr(rest, '/');
	const struct arch *arch = slash ? arch_find(slash + 1) : arch_host();

	*t = (struct target){};
	if (!kind)
		return lab_fail(LAB_USAGE, "there are debug:kasan and debug:kcsan",
				"there is no debug kernel '%s'", rest);
	if (!arch)
		return slash ? LAB_USAGE : LAB_CANNOT;
	return target_set(kind, arch, t);
}

static bool config_says(const char *config, const char *line)
{
	_cleanup_free_ char *key = xstrndup(line, strcspn(line, "="));
	const char *value = line + strlen(key) + 1;
	_cleanup_free_ char *want = xasprintf("\n%s=%s\n", key, value);
	_cleanup_free_ char *any = xasprintf("\n%s=", key);

	return strcmp(value, "n") ? strstr(config, want) != NULL : !strstr(config, any);
}

/* Of several lines about one option the last counts. */
static bool asked_later(const struct strv *lines, size_t i)
{
	size_t n = strcspn(lines->v[i], "=") + 1;

	for (size_t k = i + 1; k < lines->n; k++)
		if (!strncmp(lines->v[k], lines->v[i], n))
			return true;
	return false;
}

void kernel_debug_lacks(const char *asked, const char *config, struct strv *lacks)
{
	_cleanup_free_ char *text = xasprintf("\n%s\n", config);
	struct strv lines = {};

	strv_split(&lines, asked, "\n");
	for (size_t i = 0; i < lines.n; i++)
		if (str_starts(lines.v[i], "CONFIG_") && !asked_later(&lines, i) &&
		    !config_says(text, lines.v[i]))
			strv_add(lacks, lines.v[i]);
	strv_free(&lines);
}

/* Getting */

static char *first_line(const char *root, const char *name)
{
	_cleanup_free_ char *path = root_file(root, name);
	struct buf b = {};
	char *s = NULL;

	if (!file_read(path, &b))
		s = xstrndup(b.s, strcspn(b.s, "\n"));
	buf_free(&b);
	return s;
}

static void add_make_args(const struct arch *arch, struct strv *args)
{
	strv_addf(args, "ARCH=%s", arch->kbuild);
	strv_add(args, "LLVM=1");
}

static enum lab_exit debug_get(const char *rest, bool update, struct kernel *k)
{
	_cleanup_free_ char *root = NULL;
	const char *damaged = NULL;
	char hash[HASH_HEX];
	struct target t;
	json_t *j;
	enum lab_exit ret = target_parse(rest, &t);

	(void)update;
	if (!ret)
		ret = root_check();
	if (!ret) {
		root = root_current(&t.place, RECIPE, t.id, hash, &damaged);
		if (!root) {
			_cleanup_free_ char *hint = xasprintf(
				"cdevlab kernel build %s: about a quarter of an hour, once", rest);

			if (damaged)
				ret = lab_fail(LAB_CANNOT, hint, "%s is damaged: it has no %s",
					       t.place.name, damaged);
			else
				ret = lab_fail(LAB_CANNOT, hint, "%s is not built%s", t.place.name,
					       file_exists(t.place.lock_json) ?
						       " with the configuration that it has now" :
						       "");
		}
	}
	if (!ret)
		ret = root_use(k, root, hash);
	if (!ret) {
		k->name = xstrdup(t.place.name);
		k->arch = t.place.arch;
		k->kdir = root_file(root, ROOT_KERNEL_DIR + 1);
		k->config = root_file(root, "kernel/.config");
		k->image = root_file(root, "image");
		k->system_map = root_file(root, "kernel/System.map");
		k->release = first_line(root, "kernel/include/config/kernel.release");
		j = root_read(root);
		k->version = xstrdup(json_string_value(json_object_get(j, "version")) ?: "");
		json_decref(j);
		k->cc = xstrdup(k->rust_cc);
		k->memory_mb = MEMORY_MB;
		k->slow = true;
		add_make_args(k->arch, &k->make_args);
		strv_add(&k->make_args, "KCOV_INSTRUMENT=y");
		snprintf(k->id, sizeof(k->id), "%s", hash);
		hash_file(k->config, k->config_sha256);
	}
	target_free(&t);
	return ret;
}

static enum lab_exit debug_list(json_t *rows)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (size_t a = 0; arch_at(a); a++) {
			_cleanup_free_ char *fragment =
				xasprintf("%s/kernels/%s.config", lab_data_dir(), arch_at(a)->name);
			_cleanup_free_ char *root = NULL, *release = NULL;
			const char *damaged;
			char hash[HASH_HEX];
			struct target t;
			json_t *row, *j;
			enum lab_exit ret;

			if (!file_exists(fragment))
				continue;
			ret = target_set(kinds[i], arch_at(a), &t);
			if (ret)
				return ret;
			root = root_current(&t.place, RECIPE, t.id, hash, &damaged);
			row = json_pack("{ss ss}", "name", t.place.name, "state",
					root ? "built" : "known");
			if (root) {
				release = first_line(root, "kernel/include/config/kernel.release");
				j = root_read(root);
				json_object_set_new(row, "release", json_string(release ?: ""));
				json_object_set(row, "version", json_object_get(j, "version"));
				json_object_set_new(row, "path", json_string(root));
				json_object_set_new(row, "rust", json_string("yes"));
				json_decref(j);
				j = kernel_last_boot(root);
				if (j)
					json_object_set_new(row, "booted", j);
			}
			json_array_append_new(rows, row);
			target_free(&t);
		}
	}
	return LAB_OK;
}

const struct kernel_source kernel_source_debug = {
	.prefix = "debug:",
	.help = "debug:kasan|kcsan[/ARCH]",
	.get = debug_get,
	.list = debug_list,
};

/* Building */

static const struct deb *source_of(const struct deb_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (str_starts(set->v[i].package, SOURCE "-"))
			return &set->v[i];
	return NULL;
}

static enum lab_exit resolve(void *ctx, struct apt_root *apt, struct deb_set *set)
{
	static const char *const compilers[] = { "clang", "lld", "llvm" };
	struct target *t = ctx;
	_cleanup_free_ char *why = NULL;
	struct strv specs = {};
	const struct deb *source;
	enum lab_exit ret;
	int err;

	*set = (struct deb_set){ .suite = xstrdup(t->place.suite->name),
				 .arch = xstrdup(arch_host()->name),
				 .when = utc_now(),
				 .needs_libc = xstrdup("0") };
	root_add_packages(&specs);
	for (size_t i = 0; i < ARRAY_SIZE(compilers); i++)
		strv_add(&specs, compilers[i]);
	strv_add(&specs, SOURCE "/" SUITE);
	lab_stage("fetch", "%s  asking the archive for the source and its compilers",
		  t->place.name);
	ret = apt_resolve_install(apt, t->place.suite, &specs, set, &why);
	strv_free(&specs);
	if (why)
		return lab_fail(LAB_CANNOT, "it may be in the middle of an update: try again later",
				"the archive does not have all that %s is built with: %s",
				t->place.name, why);
	source = ret ? NULL : source_of(set);
	if (!ret && !source)
		return lab_fail(LAB_CANNOT, NULL, "the archive's %s has no source in it", SOURCE);
	if (ret)
		return ret;
	set->release = xstrdup(source->package + strlen(SOURCE "-"));
	set->version = xstrdup(source->version);
	err = deb_set_write(set, t->place.next_json);
	return err ? cannot_write(t->place.next_json, -err) : LAB_OK;
}

/*
 * Nothing of these drivers is built, but their Kconfig files are read; without them unpacking takes half of the
 * time and of the space.
 */
static const char configure[] =
	"set -e; series=$1; shift; top=linux-source-$series; mkdir " ROOT_KERNEL_DIR
	"; cd " ROOT_KERNEL_DIR "; "
	"tar -xJf /usr/src/$top.tar.xz --strip-components=1 --anchored --wildcards "
	"--exclude=$top/Documentation/*.rst --exclude=$top/Documentation/*.yaml --exclude=$top/Documentation/*.txt "
	"--exclude=$top/sound/*.[ch] --exclude=$top/drivers/gpu/*.[ch] --exclude=$top/drivers/net/*/*.[ch] "
	"--exclude=$top/drivers/media/*.[ch] --exclude=$top/drivers/scsi/*.[ch] "
	"--exclude=$top/drivers/infiniband/*.[ch] --exclude=$top/drivers/staging/*.[ch] "
	"--exclude=$top/tools/testing/*.[ch] --exclude=$top/tools/perf/*.[ch] --exclude=$top/arch/*/boot/dts/*.dts*; "
	"rm /usr/src/$top.tar.xz; "
	"make -s \"$@\" tinyconfig; scripts/kconfig/merge_config.sh -m .config /tmp/asked >/tmp/merge.log; "
	"make -s \"$@\" olddefconfig";

/* make says a line for each file; what only its own build needed goes then, and the headers stay. */
static const char build[] =
	"set -e; image=$1; shift; cd " ROOT_KERNEL_DIR "; "
	"make -j$(nproc) KBUILD_BUILD_USER=cdevlab \"$@\" $image modules; "
	"find . -path ./scripts -prune -o -type f "
	"\\( -name '*.o' -o -name '*.a' -o -name '*.c' -o -name '*.S' -o -name '.*.cmd' -o -name '*.dts*' \\) "
	"-exec rm {} +; rm -rf Documentation vmlinux.unstripped .tmp_*";

static void on_build(void *ctx, const char *line)
{
	struct target *t = ctx;
	double share, left;

	if (!str_starts(line, "  "))
		return;
	t->steps++;
	share = t->expect ? (double)t->steps / t->expect : 0;
	left = share > 0.02 && share < 1 ? (now_s() - t->start) * (1 - share) / share : 0;
	if (left)
		lab_stage("build", "%s  %.0f %%, about %.0f min left", t->place.name, share * 100,
			  left / 60 + 0.5);
	else
		lab_stage("build", "%s  %ld files", t->place.name, t->steps);
}

/* Every option that was asked for must be in what came out: Kconfig drops what it cannot satisfy silently. */
static enum lab_exit check_config(const struct target *t, const char *root)
{
	_cleanup_free_ char *path = root_file(root, "kernel/.config");
	struct strv lacks = {};
	struct buf config = {};
	enum lab_exit ret = LAB_OK;

	if (file_read(path, &config))
		ret = lab_fail(LAB_CANNOT, NULL, "cannot read %s", path);
	kernel_debug_lacks(t->config.s, config.s ?: "", &lacks);
	for (size_t i = 0; i < lacks.n && !ret; i++)
		lab_verbose("not in the configuration: %s", lacks.v[i]);
	if (!ret && lacks.n)
		ret = lab_fail(
			LAB_CANNOT,
			"-v names them all; something else that they need must be asked for, too",
			"the configuration of %s came out without %s%s", t->place.name, lacks.v[0],
			lacks.n > 1 ? " and others" : "");
	strv_free(&lacks);
	buf_free(&config);
	return ret;
}

static enum lab_exit run_configure(struct target *t, const char *series, const char *root)
{
	_cleanup_free_ char *asked = root_file(root, "tmp/asked");
	_cleanup_free_ char *what = xasprintf("the configuration of %s", t->place.name);
	struct root_job job = {
		.root = root, .script = configure, .timeout_s = CONFIG_LIMIT_S, .what = what
	};
	enum lab_exit ret;
	int err = file_write(asked, t->config.s, t->config.n);

	if (err)
		return cannot_write(asked, -err);
	strv_add(&job.args, series);
	add_make_args(t->place.arch, &job.args);
	lab_stage("build", "%s  unpacking the source", t->place.name);
	ret = root_run(&job);
	strv_free(&job.args);
	return ret ? ret : check_config(t, root);
}

static enum lab_exit run_build(struct target *t, const char *root)
{
	struct root_job job = { .root = root,
				.script = build,
				.timeout_s = BUILD_LIMIT_S,
				.what = t->place.name,
				.on_line = on_build,
				.ctx = t };
	_cleanup_free_ char *vmlinuz = xasprintf("%s/kernel/%s", root, t->place.arch->built_image);
	_cleanup_free_ char *image = root_file(root, "image");
	enum lab_exit ret;

	strv_add(&job.args, path_base(t->place.arch->built_image));
	add_make_args(t->place.arch, &job.args);
	t->start = now_s();
	ret = root_run(&job);
	strv_free(&job.args);
	return ret ? ret : image_make_bootable(t->place.arch, vmlinuz, image);
}

static enum lab_exit write_toolchain(const struct target *t, const char *version, const char *root,
				     double seconds)
{
	_cleanup_free_ char *path = root_file(root, "toolchain.json"), *when = utc_now();
	_cleanup_free_ char *rustc = root_version(root, "rustc"), *cc = root_version(root, "clang");
	json_t *j;
	int err;

	if (!rustc || !cc)
		return lab_fail(LAB_CANNOT, NULL, "%s does not start in the root of %s",
				rustc ? "clang" : "rustc", t->place.name);
	j = json_pack("{ss ss ss ss ss ss sI sf}", "name", t->place.name, "version", version,
		      "rustc", rustc, "cc", cc, "cc_name", "clang", "made", when, "steps",
		      (json_int_t)t->steps, "seconds", seconds);
	err = json_write(j, path);
	json_decref(j);
	return err ? cannot_write(path, -err) : LAB_OK;
}

static enum lab_exit make(struct target *t, const struct deb_set *set, const char *final)
{
	char *tmp = temp_dir(t->place.dir);
	_cleanup_free_ char *root = tmp ? xasprintf("%s/root", tmp) : NULL;
	double start = now_s();
	enum lab_exit ret;

	if (!tmp)
		return LAB_CANNOT;
	ret = root_unpack(&t->place, set, root);
	if (!ret)
		ret = run_configure(t, set->release, root);
	if (!ret)
		ret = run_build(t, root);
	if (!ret)
		ret = write_toolchain(t, set->version, root, now_s() - start);
	if (!ret && lab_interrupted())
		ret = LAB_INTERRUPTED;
	if (!ret)
		ret = root_commit(root, final, tmp);
	temp_dir_done(tmp);
	return ret;
}

/* The roots beside it are of former configurations; how long the last build was tells how long this one is. */
static void for_others(const struct place *p, const char *keep,
		       void (*each)(const char *root, void *ctx), void *ctx)
{
	struct dirent *e;
	DIR *d = opendir(p->dir);

	while (d && (e = readdir(d))) {
		_cleanup_free_ char *root = xasprintf("%s/%s", p->dir, e->d_name);
		_cleanup_free_ char *path = root_file(root, "toolchain.json");

		if (e->d_name[0] != '.' && file_exists(path) && (!keep || strcmp(root, keep)))
			each(root, ctx);
	}
	if (d)
		closedir(d);
}

static void read_steps(const char *root, void *ctx)
{
	struct target *t = ctx;
	json_t *j = root_read(root);
	long steps = json_integer_value(json_object_get(j, "steps"));

	t->expect = steps ?: t->expect;
	json_decref(j);
}

static void remove_other(const char *root, void *ctx)
{
	(void)ctx;
	root_remove(root);
}

static enum lab_exit build_locked(struct target *t, bool update)
{
	struct root_plan plan = { &t->place, NULL, NEED, resolve, t };
	_cleanup_free_ char *root = NULL;
	char hash[HASH_HEX];
	struct deb_set set;
	const char *damaged;
	enum lab_exit ret;

	root = update ? NULL : root_current(&t->place, RECIPE, t->id, hash, &damaged);
	if (root) {
		lab_stage_done(NULL);
		return LAB_OK;
	}
	if (update)
		unlink(t->place.next_json);
	plan.version = update ? "" : NULL;
	place_sweep(&t->place);
	ret = root_download(&plan, &set);
	if (!ret) {
		root_hash(&set, RECIPE, t->id, hash);
		root = root_of(&t->place, hash);
		t->expect = STEPS_EXPECTED;
		for_others(&t->place, NULL, read_steps, t);
		if (!file_exists(root))
			ret = make(t, &set, root);
	}
	if (!ret)
		ret = root_settle(&t->place, &set);
	if (!ret) {
		for_others(&t->place, root, remove_other, NULL);
		lab_stage_done("%s  Linux %s", t->place.name, set.version);
	} else {
		lab_stage_done(NULL);
	}
	deb_set_free(&set);
	return ret;
}

enum lab_exit kernel_build(const char *name, bool update)
{
	_cleanup_close_ int fd = -1;
	struct target t;
	enum lab_exit ret = target_parse(name + strlen(kernel_source_debug.prefix), &t);

	if (!ret)
		ret = root_check();
	if (!ret) {
		fd = root_lock(&t.place);
		if (lab_interrupted())
			ret = LAB_INTERRUPTED;
		else if (fd < 0)
			ret = cannot_write(t.place.lock, -fd);
	}
	if (!ret)
		ret = build_locked(&t, update);
	target_free(&t);
	return ret;
}
