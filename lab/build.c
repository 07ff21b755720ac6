// SPDX-License-Identifier: GPL-2.0
#include "build.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf.h"
#include "proc.h"
#include "root.h"
#include "uapi.h"

/* A change of what this file does must not find old results. */
#define BUILD_RECIPE "2"
#define GUEST_CFLAGS "-std=gnu11", "-O2", "-static", "-pthread", "-Wall", "-Wextra"

/* The tool of an architecture: its cross tool unless it is our own. */
static char *target_tool(const struct arch *arch, const char *tool)
{
	if (arch_is_host(arch))
		return xstrdup(tool);
	return xasprintf("%s-%s", arch->triplet, tool);
}

static char *first_line_of(const char *program, const char *option)
{
	char *out = proc_output((char *[]){ (char *)program, (char *)option, NULL });
	char *nl = out ? strchr(out, '\n') : NULL;

	if (nl)
		*nl = '\0';
	return out;
}

/*
 * Where a build happens and what is shown of it. Kbuild's paths are those of the copy: the person knows the
 * original's.
 */
struct build_dir {
	char *tmp, *shown_as;
	bool in_root; /* the directory is ROOT_BUILD_DIR now */
	struct buf messages;
	bool failed;
};

static void on_message(void *ctx, const char *line, bool is_err)
{
	struct build_dir *bd = ctx;
	_cleanup_free_ char *text = NULL;

	/* make's own chatter; a missing vmlinux is normal for a kernel that is not a full build */
	if (!is_err || strstr(line, "Skipping BTF generation"))
		return;
	text = bd->in_root ? root_shown(line, bd->shown_as) :
			     str_replace(line, bd->tmp, bd->shown_as);
	buf_puts(&bd->messages, text);
	buf_puts(&bd->messages, "\n");
}

static enum lab_exit run_tool(struct build_dir *bd, char *const *argv)
{
	struct proc p = { .argv = argv, .dir = bd->tmp, .on_line = on_message, .ctx = bd };
	/* a compiler that is killed leaves its temporary files: they go with the directory */
	_cleanup_free_ char *tmp = xasprintf("TMPDIR=%s", bd->tmp);
	char *const env[] = { "LC_ALL=C", "MAKEFLAGS=", tmp, NULL };
	enum lab_exit ret;

	p.env = env;
	ret = proc_run(&p);
	if (!ret && p.status)
		ret = LAB_FAILED;
	proc_free(&p);
	return ret;
}

static enum lab_exit no_space_or(int err, const char *what, const char *path)
{
	return lab_fail(
		LAB_CANNOT,
		err == -ENOSPC || err == -EDQUOT ?
			"make room there, or set CDEVLAB_CACHE to a directory that has some" :
			NULL,
		"cannot %s %s: %s", what, path, strerror(-err));
}

/* Files of a directory by prefix and suffix, without the suffix' last @cut characters. */
static void find_files(const char *dir, const char *prefix, const char *suffix, size_t cut,
		       struct strv *out)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (str_starts(e->d_name, prefix) && str_ends(e->d_name, suffix))
			strv_take(out, xstrndup(e->d_name, strlen(e->d_name) - cut));
	if (d)
		closedir(d);
	strv_sort(out);
}

static struct buf *kept;

void build_keep_messages(struct buf *messages)
{
	kept = messages;
}

/*
 * A build is made in a temporary directory beside its final place and renamed: what is there is whole.
 * make() returns LAB_FAILED for errors in the sources.
 */
static enum lab_exit build_once(const char *kind, const char *key, const char *shown_as,
				bool *cached, char **dir,
				enum lab_exit (*make)(struct build_dir *bd, void *ctx), void *ctx)
{
	_cleanup_free_ char *base = NULL, *lock_path = NULL, *messages = NULL;
	_cleanup_close_ int lock = -1;
	struct build_dir bd = { .shown_as = (char *)shown_as };
	enum lab_exit ret = LAB_OK;
	int err;

	if (!lab_cache_dir())
		return LAB_CANNOT;
	base = xasprintf("%s/%s", lab_cache_dir(), kind);
	*dir = xasprintf("%s/%.32s", base, key);
	messages = xasprintf("%s/messages.txt", *dir);
	lock_path = xasprintf("%s.lock", *dir);
	err = make_dirs(base, 0755);
	if (err)
		return no_space_or(err, "make", base);
	lock = lock_file(lock_path, NULL);
	if (lock < 0)
		return no_space_or(lock, "lock", lock_path);
	*cached = file_exists(*dir);
	if (*cached) {
		file_read(messages, &bd.messages);
		goto show;
	}
	bd.tmp = temp_dir(base);
	if (!bd.tmp)
		return LAB_CANNOT;
	ret = make(&bd, ctx);
	if (!ret) {
		_cleanup_free_ char *to = xasprintf("%s/messages.txt", bd.tmp);

		buf_puts(&bd.messages, "");
		err = file_write(to, bd.messages.s, bd.messages.n);
		if (!err && rename(bd.tmp, *dir))
			err = -errno;
		if (err)
			ret = no_space_or(err, "write", *dir);
	}
	temp_dir_done(bd.tmp);
show:
	/* also from the cache: a warning does not go away by being built twice */
	if (bd.messages.n && kept) {
		buf_add(kept, bd.messages.s, bd.messages.n);
	} else if (bd.messages.n && ret != LAB_INTERRUPTED) {
		lab_stage_done(NULL);
		fputs(bd.messages.s, stderr);
	}
	if (ret == LAB_FAILED && bd.messages.s && strstr(bd.messages.s, "No space left on device"))
		ret = no_space_or(-ENOSPC, "build in", base);
	buf_free(&bd.messages);
	return ret;
}

/* --- what every guest has --- */

struct tools_ctx {
	const char *cc, *ar, *src;
};

/* Programs that are linked for each room, with its ioctls: each of the sources NAME*.c. */
static const char *const suites[] = { "conform", "faults", "fuzz", "stress" };

static bool is_library_source(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(suites); i++)
		if (str_starts(name, suites[i]))
			return false;
	return str_ends(name, ".c") && strcmp(name, "agent.c");
}

static enum lab_exit make_tools(struct build_dir *bd, void *arg)
{
	struct tools_ctx *ctx = arg;
	struct strv objects = {};
	enum lab_exit ret = LAB_OK;
	struct dirent *e;
	DIR *d = opendir(ctx->src);

	if (!d)
		return lab_fail(LAB_CANNOT, NULL, "cannot read %s: %s", ctx->src, strerror(errno));
	strv_add(&objects, ctx->ar);
	strv_add(&objects, "rcsD");
	strv_add(&objects, "libguest.a");
	while (!ret && (e = readdir(d))) {
		_cleanup_free_ char *src = xasprintf("%s/%s", ctx->src, e->d_name);
		char *argv[] = {
			(char *)ctx->cc, GUEST_CFLAGS, "-Wshadow", "-D_GNU_SOURCE", "-c", src, NULL
		};

		if (!str_ends(e->d_name, ".c"))
			continue;
		ret = run_tool(bd, argv);
		if (is_library_source(e->d_name))
			strv_addf(&objects, "%.*s.o", (int)strlen(e->d_name) - 2, e->d_name);
	}
	closedir(d);
	if (!ret)
		ret = run_tool(bd, objects.v);
	if (!ret) {
		char *argv[] = { (char *)ctx->cc, GUEST_CFLAGS, "-s",	      "-o",
				 "agent",	  "agent.o",	"libguest.a", NULL };

		ret = run_tool(bd, argv);
	}
	strv_free(&objects);
	return ret;
}

enum lab_exit build_guest_tools(const struct arch *arch, struct guest_tools *t)
{
	_cleanup_free_ char *cc = target_tool(arch, "gcc"), *ar = target_tool(arch, "ar");
	_cleanup_free_ char *src = xasprintf("%s/guest", lab_data_dir()), *version = NULL;
	struct tools_ctx ctx = { .cc = cc, .ar = ar, .src = src };
	struct hash *h = hash_new();
	enum lab_exit ret;
	bool cached;
	int err;

	*t = (struct guest_tools){};
	if (!proc_have(cc)) {
		_cleanup_free_ char *hint = xasprintf(
			"apt install %s", arch_is_host(arch) ? "gcc" : arch->cross_packages);

		hash_end(h, t->id);
		return lab_fail(LAB_CANNOT, hint, "the compiler for %s, %s, is not installed",
				arch->name, cc);
	}
	version = first_line_of(cc, "--version");
	hash_puts(h, BUILD_RECIPE);
	hash_puts(h, arch->name);
	hash_puts(h, version ?: "");
	err = hash_add_tree(h, src, driver_skip_name);
	hash_end(h, t->id);
	if (err)
		return lab_fail(LAB_CANNOT, NULL, "cannot read %s: %s", src, strerror(-err));
	ret = build_once("guest", t->id, src, &cached, &t->dir, make_tools, &ctx);
	if (ret == LAB_FAILED)
		ret = lab_fail(LAB_CANNOT, NULL, "the programs in %s do not compile with %s", src,
			       cc);
	t->agent = xasprintf("%s/agent", t->dir);
	t->archive = xasprintf("%s/libguest.a", t->dir);
	return ret;
}

void guest_tools_free(struct guest_tools *t)
{
	free(t->dir);
	free(t->agent);
	free(t->archive);
	*t = (struct guest_tools){};
}

/* --- a room --- */

struct room_ctx {
	const struct driver *d;
	const struct kernel *k;
	const struct guest_tools *tools;
	char *cc, *strip;
};

/* With k->rust in the kernel's own toolchain, else by what this machine has. */
/* Source lines are wanted of every module; a debug kernel's own compiler leaves them out. */
static bool lacks_lines(const struct kernel *k)
{
	return kernel_config(k, "DEBUG_INFO") != 'y';
}

static void make_command(const struct build_dir *bd, const struct kernel *k, struct strv *argv)
{
	const char *dir = k->rust ? ROOT_BUILD_DIR : bd->tmp;

	if (k->rust)
		root_command(k->rust, bd->tmp, argv);
	strv_add(argv, "make");
	strv_addf(argv, "-j%ld", sysconf(_SC_NPROCESSORS_ONLN));
	strv_add(argv, "-C");
	strv_add(argv, k->rust ? ROOT_KERNEL_DIR : k->kdir);
	strv_addf(argv, "M=%s", dir);
	strv_addf(argv, "CC=%s", k->rust ? k->rust_cc : k->cc);
	for (size_t i = 0; i < k->make_args.n; i++)
		strv_add(argv, k->make_args.v[i]);
	strv_add(argv, "W=1");
	/* the same source gives the same object wherever it lies; traces name files relative to the room */
	strv_addf(argv, "KCFLAGS=-ffile-prefix-map=%s/=%s", dir, lacks_lines(k) ? " -g" : "");
	if (lab_options.rust) {
		strv_addf(argv, "KRUSTFLAGS=--remap-path-prefix=%s/=%s", dir,
			  lacks_lines(k) ? " -Cdebuginfo=2" : "");
		strv_add(argv, "RUST=m");
	}
	strv_add(argv, "modules");
}

/* A module of the kernel itself: as its distribution built it, there is nothing to strip and there are no lines. */
static enum lab_exit copy_stock(struct build_dir *bd, struct room_ctx *ctx)
{
	_cleanup_free_ char *from = kernel_stock_module(ctx->k, ctx->d->stock);
	_cleanup_free_ char *to = xasprintf("%s/%s.ko", bd->tmp, ctx->d->stock);
	_cleanup_free_ char *debug = xasprintf("%s.debug", to);
	struct buf ko = {};
	int err;

	if (!from)
		return lab_fail(LAB_CANNOT, "-k names another kernel: cdevlab kernel list",
				"the kernel %s has no module %s", ctx->k->name, ctx->d->stock);
	err = file_read(from, &ko) ?: file_write(to, ko.s, ko.n) ?: file_write(debug, ko.s, ko.n);
	buf_free(&ko);
	return err ? no_space_or(err, "copy", from) : LAB_OK;
}

static enum lab_exit make_modules(struct build_dir *bd, struct room_ctx *ctx)
{
	struct strv argv = {}, kos = {};
	enum lab_exit ret;

	if (ctx->d->stock)
		return copy_stock(bd, ctx);
	make_command(bd, ctx->k, &argv);
	bd->in_root = ctx->k->rust;
	ret = run_tool(bd, argv.v);
	bd->in_root = false;
	strv_free(&argv);
	if (ret == LAB_FAILED && ctx->k->rust && !root_is_whole(ctx->k->rust))
		ret = LAB_CANNOT;
	if (ret)
		return ret;
	find_files(bd->tmp, "", ".ko", 0, &kos);
	if (!kos.n)
		ret = lab_fail(LAB_FAILED, "its Kbuild must name the module:  obj-m := name.o",
			       "%s builds no module", ctx->d->dir);
	for (size_t i = 0; i < kos.n && !ret; i++) {
		_cleanup_free_ char *debug = xasprintf("%s.debug", kos.v[i]);
		char *strip[] = { ctx->strip, "--strip-debug", "-o", kos.v[i], debug, NULL };
		_cleanup_free_ char *from = xasprintf("%s/%s", bd->tmp, kos.v[i]);
		_cleanup_free_ char *to = xasprintf("%s/%s", bd->tmp, debug);

		if (rename(from, to))
			ret = no_space_or(-errno, "rename", from);
		else
			ret = run_tool(bd, strip);
	}
	strv_free(&kos);
	return ret;
}

static enum lab_exit link_program(struct build_dir *bd, struct room_ctx *ctx, const char *out,
				  const struct strv *sources)
{
	struct strv argv = {};
	char *const flags[] = { GUEST_CFLAGS, "-I.", NULL };
	enum lab_exit ret;

	strv_add(&argv, ctx->cc);
	for (size_t i = 0; flags[i]; i++)
		strv_add(&argv, flags[i]);
	/* the exact clock's host side looks up a symbol of the benchmarks */
	if (!str_starts(out, "bench_"))
		strv_add(&argv, "-s");
	strv_addf(&argv, "-ffile-prefix-map=%s/=", bd->tmp);
	strv_addf(&argv, "-I%s/guest", lab_data_dir());
	strv_add(&argv, "-D_GNU_SOURCE");
	strv_add(&argv, "-o");
	strv_addf(&argv, "bin/%s", out);
	for (size_t i = 0; i < sources->n; i++)
		strv_add(&argv, sources->v[i]);
	strv_add(&argv, ctx->tools->archive);
	ret = run_tool(bd, argv.v);
	strv_free(&argv);
	return ret;
}

/* Links bin/NAME of the guest's objects NAME*.o and the room's table. */
static enum lab_exit link_suite(struct build_dir *bd, struct room_ctx *ctx, const char *name)
{
	struct strv sources = {};
	enum lab_exit ret;
	struct dirent *e;
	DIR *d = opendir(ctx->tools->dir);

	strv_add(&sources, "bin/uapi_ioctls.c");
	while (d && (e = readdir(d)))
		if (str_starts(e->d_name, name) && str_ends(e->d_name, ".o"))
			strv_addf(&sources, "%s/%s", ctx->tools->dir, e->d_name);
	if (d)
		closedir(d);
	ret = link_program(bd, ctx, name, &sources);
	strv_free(&sources);
	return ret;
}

/* How the ioctls' arguments are laid out. A header that cannot be read so is no mistake: then it is not known. */
static enum lab_exit add_layout(struct build_dir *bd, struct room_ctx *ctx, struct buf *table)
{
	_cleanup_free_ char *source = xasprintf("%s/bin/uapi_types.c", bd->tmp);
	_cleanup_free_ char *object = xasprintf("%s/bin/uapi_types.o", bd->tmp);
	char *argv[] = {
		ctx->cc, "-std=gnu11", "-w", "-g", "-I.", "-c", "-o", object, source, NULL
	};
	size_t said = bd->messages.n, had;
	struct buf c = {};
	enum lab_exit ret;
	int err;

	uapi_types(ctx->d, &c);
	err = file_write(source, c.s, c.n);
	buf_free(&c);
	if (err)
		return no_space_or(err, "write", source);
	ret = run_tool(bd, argv);
	buf_puts(table, "const struct uapi_field uapi_fields[] = {\n");
	had = table->n;
	if (!ret && uapi_fields(object, ctx->d, table))
		table->n = had;
	buf_puts(table, "\t{0, 0, 0},\n};\nconst unsigned int uapi_n_fields = "
			"sizeof(uapi_fields) / sizeof(uapi_fields[0]) - 1;\n");
	if (ret == LAB_FAILED && bd->messages.s)
		bd->messages.s[bd->messages.n = said] = '\0';
	return ret == LAB_FAILED ? LAB_OK : ret;
}

static void add_numbers(const struct driver *d, struct buf *table)
{
	struct strv numbers = {};

	for (size_t i = 0; i < d->headers.n; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", d->dir, d->headers.v[i]);
		struct buf text = {};

		if (!file_read(path, &text))
			uapi_numbers(text.s, &numbers);
		buf_free(&text);
	}
	buf_puts(table, "const unsigned long long uapi_numbers[] = {\n");
	for (size_t i = 0; i < numbers.n; i++)
		buf_printf(table, "\t%s,\n", numbers.v[i]);
	buf_printf(table, "\t0,\n};\nconst unsigned int uapi_n_numbers = %zu;\n", numbers.n);
	strv_free(&numbers);
}

/*
 * The known ioctls as a table that the suites are linked with: the header says each number once.
 */
static enum lab_exit make_suites(struct build_dir *bd, struct room_ctx *ctx)
{
	_cleanup_free_ char *path = xasprintf("%s/bin/uapi_ioctls.c", bd->tmp);
	struct buf c = {};
	enum lab_exit ret;
	int err;

	buf_puts(&c, "#include <stddef.h>\n#include <linux/ioctl.h>\n#include <linux/types.h>\n");
	for (size_t i = 0; i < ctx->d->headers.n; i++)
		buf_printf(&c, "#include \"%s\"\n", ctx->d->headers.v[i]);
	buf_puts(&c, "#include \"conform.h\"\nconst struct uapi_ioctl uapi_ioctls[] = {\n");
	for (size_t i = 0; i < ctx->d->ioctls.n; i++)
		buf_printf(&c, "\t{\"%s\", %s},\n", ctx->d->ioctls.v[i], ctx->d->ioctls.v[i]);
	buf_printf(&c, "\t{NULL, 0},\n};\nconst unsigned int uapi_n_ioctls = %zu;\n",
		   ctx->d->ioctls.n);
	add_numbers(ctx->d, &c);
	ret = add_layout(bd, ctx, &c);
	err = file_write(path, c.s, c.n);
	buf_free(&c);
	if (err)
		return no_space_or(err, "write", path);
	for (size_t i = 0; i < ARRAY_SIZE(suites) && !ret; i++)
		ret = link_suite(bd, ctx, suites[i]);
	if (ret == LAB_FAILED)
		lab_fail(
			LAB_FAILED,
			"a UAPI header includes only <linux/types.h> and <linux/ioctl.h>, and compiles "
			"in user space",
			"the UAPI header of %s does not compile by itself", ctx->d->name);
	return ret;
}

/*
 * Sources of guest programs by name, without ".c". One that Kbuild has made an object of is a part of a module,
 * whatever it is called: foo_ioctl.c is no client.
 */
static void find_programs(const char *dir, const char *build_dir, const char *prefix,
			  const char *suffix, struct strv *out)
{
	struct strv all = {};

	find_files(dir, prefix, suffix, 2, &all);
	for (size_t i = 0; i < all.n; i++) {
		_cleanup_free_ char *object = xasprintf("%s/%s.o", build_dir, all.v[i]);

		/* test_foo_ioctl.c is no client either */
		if (!*prefix && (str_starts(all.v[i], "test_") || str_starts(all.v[i], "bench_")))
			continue;
		if (!file_exists(object))
			strv_add(out, all.v[i]);
	}
	strv_free(&all);
}

static enum lab_exit make_room(struct build_dir *bd, void *arg)
{
	static const struct {
		const char *prefix, *suffix;
	} kinds[] = { { "test_", ".c" }, { "bench_", ".c" }, { "", "ctl.c" } };
	struct room_ctx *ctx = arg;
	_cleanup_free_ char *bin = xasprintf("%s/bin", bd->tmp);
	enum lab_exit ret;
	int err;

	err = copy_tree(ctx->d->dir, bd->tmp, driver_skip_name);
	if (!err && mkdir(bin, 0755))
		err = -errno;
	if (err)
		return no_space_or(err, "copy", ctx->d->dir);
	ret = make_modules(bd, ctx);
	if (!ret)
		ret = make_suites(bd, ctx);
	for (size_t k = 0; k < ARRAY_SIZE(kinds) && !ret; k++) {
		struct strv names = {};

		find_programs(ctx->d->dir, bd->tmp, kinds[k].prefix, kinds[k].suffix, &names);
		for (size_t i = 0; i < names.n && !ret; i++) {
			struct strv src = {};

			/* in full, so that the compiler's messages name the person's own file */
			strv_addf(&src, "%s/%s.c", bd->tmp, names.v[i]);
			ret = link_program(bd, ctx, names.v[i], &src);
			strv_free(&src);
		}
		strv_free(&names);
	}
	return ret;
}

static struct module *find_module(struct built *b, const char *name)
{
	for (size_t i = 0; i < b->n; i++)
		if (!strcmp(b->modules[i].name, name))
			return &b->modules[i];
	return NULL;
}

/* Depth first: what a module needs stands before it. A name outside the room is the kernel's business. */
static void add_needs(struct built *b, struct module *m, struct strv *order, int depth)
{
	struct strv names = {};

	elf_depends(m->ko, &names);
	for (size_t i = 0; i < names.n && depth < 16; i++) {
		struct module *need = find_module(b, names.v[i]);

		if (!need || strv_has(order, need->name))
			continue;
		add_needs(b, need, order, depth + 1);
		strv_add(order, need->name);
	}
	strv_free(&names);
}

static void describe(struct built *b)
{
	struct strv kos = {};

	find_files(b->dir, "", ".ko", 3, &kos);
	b->modules = xcalloc(kos.n, sizeof(*b->modules));
	for (size_t i = 0; i < kos.n; i++) {
		struct module *m = &b->modules[b->n++];

		m->ko = xasprintf("%s/%s.ko", b->dir, kos.v[i]);
		m->debug_ko = xasprintf("%s.debug", m->ko);
		m->name = xstrdup(kos.v[i]);
		for (char *c = m->name; *c; c++)
			*c = *c == '-' ? '_' : *c;
		hash_file(m->ko, m->sha256);
	}
	for (size_t i = 0; i < b->n; i++)
		add_needs(b, &b->modules[i], &b->modules[i].needs, 0);
	strv_free(&kos);
	find_programs(b->driver->dir, b->dir, "test_", ".c", &b->tests);
	find_programs(b->driver->dir, b->dir, "bench_", ".c", &b->benches);
	find_programs(b->driver->dir, b->dir, "", "ctl.c", &b->clients);
}

enum lab_exit build_driver(const struct driver *d, const struct kernel *k, struct built *b)
{
	struct guest_tools tools;
	struct room_ctx ctx = { .d = d, .k = k, .tools = &tools };
	_cleanup_free_ char *guest_cc = NULL, *guest_version = NULL;
	char key[HASH_HEX];
	struct hash *h;
	enum lab_exit ret;
	int err;

	*b = (struct built){ .driver = d };
	ret = build_guest_tools(k->arch, &tools);
	if (ret)
		goto out;
	guest_cc = target_tool(k->arch, "gcc");
	ctx.cc = guest_cc;
	ctx.strip = target_tool(k->arch, "strip");
	b->compiler = d->stock ? kernel_text(k, "CC_VERSION_TEXT") :
		      k->rust  ? xstrdup(k->rust_version) :
				 first_line_of(k->cc, "--version");
	if (!b->compiler) {
		ret = lab_fail(LAB_CANNOT, "apt install gcc", "the compiler %s does not run",
			       k->cc);
		goto out;
	}
	h = hash_new();
	hash_puts(h, BUILD_RECIPE);
	hash_puts(h, k->id);
	hash_puts(h, k->rust_id);
	if (lacks_lines(k))
		hash_puts(h, "-g");
	hash_puts(h, lab_options.rust ? "rust" : "");
	hash_puts(h, b->compiler);
	hash_puts(h, tools.id);
	hash_puts(h, d->name);
	for (size_t i = 0; i < k->make_args.n; i++)
		hash_puts(h, k->make_args.v[i]);
	err = hash_add_tree(h, d->dir, driver_skip_name);
	hash_end(h, key);
	if (err) {
		ret = lab_fail(LAB_CANNOT, NULL, "cannot read %s: %s", d->dir, strerror(-err));
		goto out;
	}
	lab_stage("build", "%s for %s", d->name, k->name);
	ret = build_once("build", key, d->dir, &b->cached, &b->dir, make_room, &ctx);
	if (!ret) {
		describe(b);
		if (b->cached)
			lab_stage_done(NULL);
		else
			lab_stage_done("%s for %s: %zu module%s", d->name, k->name, b->n,
				       b->n == 1 ? "" : "s");
	} else {
		lab_stage_done(NULL);
	}
	free(ctx.strip);
out:
	guest_tools_free(&tools);
	return ret;
}

void built_free(struct built *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->modules[i].name);
		free(b->modules[i].ko);
		free(b->modules[i].debug_ko);
		strv_free(&b->modules[i].needs);
	}
	free(b->modules);
	free(b->dir);
	free(b->compiler);
	strv_free(&b->tests);
	strv_free(&b->benches);
	strv_free(&b->clients);
	*b = (struct built){};
}
