// SPDX-License-Identifier: GPL-2.0
/*
 * From packages to a kernel directory:
 *
 *   image config System.map		what is booted, and what describes it
 *   usr/src/linux-headers-*		headers; make -C gets the one of the architecture
 *   usr/lib/linux-kbuild-*		kbuild's scripts and tools
 *   lib/modules/RELEASE/kernel/...	the few stock modules that a guest may need, uncompressed
 *   busybox				a shell for guests
 *   host/lib				the suite's C library, where the tools need it
 *
 * Nothing in it has an absolute path, so that a cache can be moved.
 */
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel_internal.h"

/*
 * Stock modules worth keeping, below kernel/: the way in and out of the guest (virtio, its network, 9p), and
 * what drivers under test stand on (gpio, usb gadget, hid, input, fuse). All others would be 400
 * MB.
 */
static const char *const kept_modules[] = {
	"drivers/virtio/",
	"drivers/char/virtio_console",
	"drivers/char/hw_random/virtio-rng",
	"drivers/net/virtio_net",
	"drivers/net/net_failover",
	"net/core/failover",
	"net/9p/",
	"fs/9p/",
	"fs/netfs/",
	"fs/fscache/",
	"fs/configfs/",
	"fs/fuse/",
	"drivers/gpio/gpio-sim",
	"drivers/gpio/gpio-virtuser",
	"drivers/gpio/gpio-aggregator",
	"drivers/gpio/gpio-mockup",
	"drivers/gpio/dev-sync-probe",
	"drivers/usb/common/",
	"drivers/usb/core/",
	"drivers/usb/gadget/udc/",
	"drivers/usb/gadget/libcomposite",
	"drivers/usb/gadget/function/usb_f_hid",
	"drivers/usb/gadget/legacy/gadgetfs",
	"drivers/usb/gadget/legacy/raw_gadget",
	"drivers/hid/hid.ko",
	"drivers/hid/hid-generic",
	"drivers/hid/uhid",
	"drivers/hid/usbhid/",
	"drivers/input/evdev",
	"drivers/input/misc/uinput",
};

/*
 * Numbers of SoC blocks for device trees, a file per chip: no header includes them, no PC driver
 * either.
 */
static const char *const dropped_headers[] = {
	"clock/", "pinctrl/", "reset/", "power/", "interconnect/", "memory/",
};

static const char *const kept_libraries[] = {
	"ld-linux", "libc.so", "libelf", "libz.so", "libzstd", "liblzma", "libbz2", "libm.so",
};

/*
 * What a kernel's configuration says of its compiler, and the first gcc of which it is true. A
 * header that relies on it breaks with an older one. Where the question is about a bug (asm goto),
 * the first good one.
 */
static const struct {
	const char *option;
	int since;
} cc_options[] = {
	{ "CONFIG_CC_HAS_ASM_GOTO_OUTPUT", 130300 },
	{ "CONFIG_CC_HAS_ASM_GOTO_TIED_OUTPUT", 130300 },
	{ "CONFIG_CC_HAS_ASSUME", 130100 },
	{ "CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT", 140100 },
	{ "CONFIG_CC_HAS_SANE_FUNCTION_ALIGNMENT", 140100 },
	{ "CONFIG_CC_HAS_COUNTED_BY", 150100 },
	{ "CONFIG_CC_HAS_COUNTED_BY_PTR", 160100 },
	{ "CONFIG_CC_HAS_MULTIDIMENSIONAL_NONSTRING", 150100 },
	{ "CONFIG_TOOLCHAIN_HAS_ZABHA", 150100 },
	{ "CONFIG_TOOLCHAIN_HAS_ZACAS", 150100 },
};

static bool has_prefix(const char *s, const char *const *prefixes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_starts(s, prefixes[i]))
			return true;
	return false;
}

static char *place_headers(const char *path, const struct arch *arch)
{
	const char *in = strstr(path, "-common/arch/"), *bindings;
	size_t n;

	if (!str_starts(path, "usr/src/linux-headers-"))
		return NULL;
	/* only for BTF of modules, which is switched off: it would need pahole here */
	if (!strcmp(path_base(path), "vmlinux"))
		return NULL;
	bindings = strstr(path, "/include/dt-bindings/");
	if (bindings && has_prefix(bindings + strlen("/include/dt-bindings/"), dropped_headers,
				   ARRAY_SIZE(dropped_headers)))
		return NULL;
	if (!in)
		return xstrdup(path);
	in += strlen("-common/arch/");
	n = strcspn(in, "/");
	/* arm64's headers include some of arm's: a name's beginning counts as its own */
	return in[n] && strncmp(in, arch->kbuild, n) ? NULL : xstrdup(path);
}

static char *place_image(const char *path, const char *release)
{
	static const struct {
		const char *from, *to;
	} table[] = {
		{ "boot/vmlinuz-%s", "vmlinuz" },
		{ "boot/vmlinux-%s", "vmlinuz" },
		{ "lib/modules/%s/vmlinuz", "vmlinuz" },
		{ "lib/modules/%s/vmlinux", "vmlinuz" },
		{ "boot/config-%s", "config" },
		{ "lib/modules/%s/config", "config" },
		{ "boot/System.map-%s", "System.map" },
		{ "lib/modules/%s/System.map", "System.map" },
		{ "lib/modules/%s/modules.builtin", "lib/modules/%s/modules.builtin" },
		{ "lib/modules/%s/modules.builtin.modinfo",
		  "lib/modules/%s/modules.builtin.modinfo" },
	};
	_cleanup_free_ char *kernel = xasprintf("lib/modules/%s/kernel/", release);

	if (str_starts(path, "usr/lib/modules/"))
		path += strlen("usr/");
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		_cleanup_free_ char *from = str_replace(table[i].from, "%s", release);

		if (!strcmp(path, from))
			return str_replace(table[i].to, "%s", release);
	}
	if (!str_starts(path, kernel))
		return NULL;
	return has_prefix(path + strlen(kernel), kept_modules, ARRAY_SIZE(kept_modules)) ?
		       xstrdup(path) :
		       NULL;
}

char *unpack_place(const char *package, const char *path, const char *release,
		   const struct arch *arch)
{
	if (str_starts(path, "./"))
		path += 2;
	if (strstr(path, "../"))
		return NULL;
	if (str_starts(package, "linux-headers-"))
		return place_headers(path, arch);
	if (str_starts(package, "linux-kbuild-"))
		return str_starts(path, "usr/lib/linux-kbuild-") ? xstrdup(path) : NULL;
	if (str_starts(package, "linux-"))
		return place_image(path, release);
	if (!strcmp(package, "busybox-static"))
		return str_ends(path, "bin/busybox") ? xstrdup("busybox") : NULL;
	/* a library, in lib/TRIPLET or usr/lib/TRIPLET; not in the directories below that */
	if (fnmatch("lib/*-linux-*/*", path, FNM_PATHNAME) &&
	    fnmatch("usr/lib/*-linux-*/*", path, FNM_PATHNAME))
		return NULL;
	return has_prefix(path_base(path), kept_libraries, ARRAY_SIZE(kept_libraries)) ?
		       xasprintf("host/lib/%s", path_base(path)) :
		       NULL;
}

long long unpack_estimate(const struct deb_set *set)
{
	/*
	 * image in both forms, kept modules, libraries: some more than any kernel has needed so far
	 */
	long long need = 80 << 20;

	for (size_t i = 0; i < set->n; i++)
		if (str_starts(set->v[i].package, "linux-headers-") ||
		    str_starts(set->v[i].package, "linux-kbuild-"))
			need += set->v[i].installed;
	return need;
}

static enum lab_exit write_failed(const char *path, int err)
{
	return lab_fail(
		LAB_CANNOT,
		err == ENOSPC || err == EDQUOT ?
			"free some space, or set CDEVLAB_CACHE to a directory on another disk" :
			NULL,
		"cannot write %s: %s", path, strerror(err));
}

/* The content of a compressed file in memory, as large as it comes. */
static bool expand(const struct buf *in, struct buf *out)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	char chunk[65536];
	ssize_t n = -1;

	archive_read_support_filter_all(a);
	archive_read_support_format_raw(a);
	if (archive_read_open_memory(a, in->s, in->n) == ARCHIVE_OK &&
	    archive_read_next_header(a, &entry) == ARCHIVE_OK)
		while ((n = archive_read_data(a, chunk, sizeof(chunk))) > 0)
			buf_add(out, chunk, n);
	archive_read_free(a);
	return n == 0;
}

/* "x.ko.xz" is kept as "x.ko": what loads it need not know how the distribution packs. */
static enum lab_exit write_module(struct archive *in, const char *path)
{
	_cleanup_free_ char *to = xstrndup(path, strstr(path, ".ko.") + 3 - path);
	_cleanup_free_ char *dir = xstrndup(to, path_base(to) - to - 1);
	struct buf packed = {}, plain = {};
	enum lab_exit ret = LAB_OK;
	char chunk[65536];
	ssize_t n;
	int err;

	while ((n = archive_read_data(in, chunk, sizeof(chunk))) > 0)
		buf_add(&packed, chunk, n);
	if (n < 0 || !expand(&packed, &plain)) {
		ret = lab_fail(LAB_CANNOT, NULL, "cannot decompress the module %s",
			       path_base(path));
	} else {
		FILE *f;

		err = make_dirs(dir, 0755);
		f = err ? NULL : fopen(to, "we");
		if (!f || fwrite(plain.s, 1, plain.n, f) != plain.n)
			ret = write_failed(to, err ? -err : errno);
		if (f && fclose(f) && !ret)
			ret = write_failed(to, errno);
	}
	buf_free(&packed);
	buf_free(&plain);
	return ret;
}

/* The data that follows a header already written to disk. */
static enum lab_exit copy_data(struct archive *in, struct archive *disk, const char *path)
{
	const void *block;
	la_int64_t offset;
	size_t n;
	int r;

	while ((r = archive_read_data_block(in, &block, &n, &offset)) == ARCHIVE_OK)
		if (archive_write_data_block(disk, block, n, offset) < ARCHIVE_OK)
			return write_failed(path, archive_errno(disk));
	if (r != ARCHIVE_EOF)
		return lab_fail(LAB_CANNOT, NULL, "cannot unpack %s: %s", path,
				archive_error_string(in));
	if (archive_write_finish_entry(disk) < ARCHIVE_WARN)
		return write_failed(path, archive_errno(disk));
	return LAB_OK;
}

static enum lab_exit unpack_entry(struct archive *in, struct archive_entry *e, struct archive *disk,
				  const char *path)
{
	mode_t type = archive_entry_filetype(e);

	if (type == AE_IFDIR)
		return LAB_OK; /* made with what is in it, so that no empty ones stay */
	/* thousands of empty marks that only a kernel's own build compares times of */
	if (strstr(path, "/include/config/") && type == AE_IFREG && !archive_entry_size(e))
		return LAB_OK;
	if (strstr(path, ".ko.") && type == AE_IFREG)
		return write_module(in, path);
	archive_entry_set_pathname(e, path);
	if (archive_write_header(disk, e) < ARCHIVE_WARN)
		return write_failed(path, archive_errno(disk));
	return copy_data(in, disk, path);
}

/* Waits for a child that has closed its output and so is about to end. */
static void let_end(struct proc *p)
{
	for (int i = 0; i < 200 && !proc_ended(p); i++)
		usleep(i < 20 ? 1000 : 10000);
	proc_end(p);
}

/* Calls each() for the entries of a package. */
static enum lab_exit each_entry(const char *file, struct archive *disk,
				enum lab_exit (*each)(void *ctx, struct archive *in,
						      struct archive_entry *e,
						      struct archive *disk),
				void *ctx)
{
	char *argv[] = { "dpkg-deb", "--fsys-tarfile", (char *)file, NULL };
	struct proc p = { .argv = argv };
	struct archive_entry *e;
	struct archive *in;
	enum lab_exit ret = proc_start(&p);
	int r = ARCHIVE_EOF;

	if (ret)
		return ret;
	in = archive_read_new();
	archive_read_support_format_tar(in);
	if (archive_read_open_fd(in, p.out_fd, 65536) != ARCHIVE_OK)
		r = ARCHIVE_FATAL;
	else
		while (!ret && (r = archive_read_next_header(in, &e)) >= ARCHIVE_WARN &&
		       r != ARCHIVE_EOF)
			ret = lab_interrupted() ? LAB_INTERRUPTED : each(ctx, in, e, disk);
	if (!ret && r != ARCHIVE_EOF)
		ret = lab_fail(LAB_CANNOT, NULL, "cannot unpack %s: %s", file,
			       archive_error_string(in));
	archive_read_free(in);
	if (ret)
		proc_end(&p);
	else
		let_end(&p);
	if (!ret && p.status)
		ret = lab_fail(LAB_CANNOT, NULL, "cannot unpack %s: dpkg-deb ended with status %d",
			       file, p.status);
	proc_free(&p);
	return ret;
}

struct kernel_entries {
	const struct deb *deb;
	const struct deb_set *set;
	const struct arch *arch;
	const char *dir;
};

static enum lab_exit kernel_entry(void *arg, struct archive *in, struct archive_entry *e,
				  struct archive *disk)
{
	const struct kernel_entries *ctx = arg;
	_cleanup_free_ char *to = unpack_place(ctx->deb->package, archive_entry_pathname(e),
					       ctx->set->release, ctx->arch);
	_cleanup_free_ char *path = to ? xasprintf("%s/%s", ctx->dir, to) : NULL;

	return path ? unpack_entry(in, e, disk, path) : LAB_OK;
}

enum lab_exit unpack_deb(const struct deb *deb, const char *file, const struct deb_set *set,
			 const struct arch *arch, const char *dir)
{
	struct kernel_entries ctx = { .deb = deb, .set = set, .arch = arch, .dir = dir };
	struct archive *disk = archive_write_disk_new();
	enum lab_exit ret;

	archive_write_disk_set_options(disk, ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME);
	ret = each_entry(file, disk, kernel_entry, &ctx);
	archive_write_free(disk);
	return ret;
}

struct root_entries {
	const char *dir;
	bool (*drop)(const char *path);
};

static enum lab_exit root_entry(void *arg, struct archive *in, struct archive_entry *e,
				struct archive *disk)
{
	const struct root_entries *ctx = arg;
	const char *name = archive_entry_pathname(e), *link = archive_entry_hardlink(e);
	_cleanup_free_ char *path = NULL, *target = NULL;
	mode_t type = archive_entry_filetype(e);

	name += str_starts(name, "./") ? 2 : 0;
	/* directories are made with what is in them; devices and the like are of no use there */
	if ((!link && type != AE_IFREG && type != AE_IFLNK) || ctx->drop(name))
		return LAB_OK;
	path = xasprintf("%s/%s", ctx->dir, name);
	archive_entry_set_pathname(e, path);
	if (link) {
		link += str_starts(link, "./") ? 2 : 0;
		target = xasprintf("%s/%s", ctx->dir, link);
		archive_entry_set_hardlink(e, target);
	}
	/* nothing there acts for another user, and all of it can be removed */
	archive_entry_set_perm(e, (archive_entry_perm(e) & 0777) | 0600);
	if (archive_write_header(disk, e) < ARCHIVE_WARN)
		return write_failed(path, archive_errno(disk));
	return link ? LAB_OK : copy_data(in, disk, path);
}

enum lab_exit unpack_root(const char *file, const char *dir, bool (*drop)(const char *path))
{
	struct root_entries ctx = { .dir = dir, .drop = drop };
	struct archive *disk = archive_write_disk_new();
	enum lab_exit ret;

	archive_write_disk_set_options(disk, ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME |
						     ARCHIVE_EXTRACT_SECURE_NODOTDOT);
	ret = each_entry(file, disk, root_entry, &ctx);
	archive_write_free(disk);
	return ret;
}

/* Lines of a file that drop() wants removed are removed. */
static int drop_lines(const char *path, bool (*drop)(void *ctx, const char *line), void *ctx)
{
	struct buf in = {}, out = {};
	int err = file_read(path, &in);

	buf_puts(&out, "");
	for (char *line = in.s, *end; !err && *line; line = end) {
		end = strchrnul(line, '\n');
		if (*end)
			*end++ = '\0';
		if (!drop(ctx, line))
			buf_printf(&out, "%s\n", line);
	}
	/* a link shares its target with the original: a new file takes its place */
	if (!err && out.n != in.n)
		err = file_write(path, out.s, out.n);
	buf_free(&in);
	buf_free(&out);
	return err;
}

static bool is_btf_option(void *ctx, const char *line)
{
	(void)ctx;
	return str_starts(line, "CONFIG_DEBUG_INFO_BTF_MODULES=");
}

/* The host's own tools by their plain names; a cross compiler is given on make's command line. */
static bool is_fixed_cross(void *ctx, const char *line)
{
	(void)ctx;
	return str_starts(line, "override CROSS_COMPILE = ") && !strchr(line, '$');
}

/* Adapts .kernelvariables, which the kernel's Makefile reads. */
static int rewrite_variables(const char *path)
{
	/* no BTF, so no pahole: without this the Makefile warns that there is none, or another */
	static const char pahole[] = "override PAHOLE_VERSION = $(CONFIG_PAHOLE_VERSION)\n";
	struct buf b = {};
	int err = drop_lines(path, is_fixed_cross, NULL);

	if (!err)
		err = file_read(path, &b);
	buf_puts(&b, pahole);
	if (!err)
		err = file_write(path, b.s, b.n);
	buf_free(&b);
	return err;
}

/*
 * W=1 runs kernel-doc on every source. It wants a module of the full perl, only to print its usage;
 * a minimal system has perl-base.
 */
static int rewrite_kernel_doc(const char *path)
{
	struct buf b = {};
	int err = file_read(path, &b);

	if (err == -ENOENT)
		return 0;
	if (!err) {
		_cleanup_free_ char *new =
			str_replace(b.s, "\nuse Pod::Usage qw/pod2usage/;\n",
				    "\nsub pod2usage { die \"kernel-doc: wrong usage\\n\"; }\n");

		if (strcmp(new, b.s))
			err = file_write(path, new, strlen(new));
		if (!err && chmod(path, 0755))
			err = -errno;
	}
	buf_free(&b);
	return err;
}

/*
 * Debian's header directory has two lines with absolute paths, of which the second is not always
 * there.
 */
static int rewrite_makefile(const char *path)
{
	static const char here[] = "$(dir $(lastword $(MAKEFILE_LIST)))";
	struct buf in = {}, out = {};
	struct strv lines = {};
	int err = file_read(path, &in);

	strv_split(&lines, in.s ?: "", "\n");
	for (size_t i = 0; i < lines.n; i++) {
		const char *line = lines.v[i];

		if (str_starts(line, "KBUILD_OUTPUT="))
			buf_printf(&out, "KBUILD_OUTPUT := $(abspath %s)\n", here);
		else if (str_starts(line, "include /usr/src/"))
			buf_printf(&out, "include %s../%s\n", here,
				   line + strlen("include /usr/src/"));
		else
			buf_printf(&out, "%s\n", line);
	}
	if (!err)
		err = file_write(path, out.s ?: "", out.n);
	strv_free(&lines);
	buf_free(&in);
	buf_free(&out);
	return err;
}

/* Wrapping the tools: nftw() has no context */
static struct {
	const char *dir;    /* the kernel directory */
	const char *loader; /* file name of the suite's ld.so */
	int err;
} wrap;

static bool is_program(const char *path, const struct stat *st)
{
	_cleanup_close_ int fd = -1;
	char magic[4] = "";

	if (!S_ISREG(st->st_mode) || !(st->st_mode & 0100))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, magic, 4) == 4 && !memcmp(magic, "\177ELF", 4);
}

/*
 * TOOL becomes a script that starts .TOOL.elf with the suite's own loader and libraries. It finds
 * them relative to itself: the cache may be moved, and scripts/ is reached over symlinks, which the
 * kernel resolves before it goes up. Some of these tools start others by their own name, hence
 * --argv0.
 */
static int wrap_tool(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	_cleanup_free_ char *elf = NULL;
	struct buf script = {}, up = {};

	(void)type;
	(void)ftw;
	if (path_base(path)[0] == '.' || !is_program(path, st))
		return 0;
	elf = xasprintf("%.*s.%s.elf", (int)(path_base(path) - path), path, path_base(path));
	for (const char *s = strchr(path + strlen(wrap.dir) + 1, '/'); s; s = strchr(s + 1, '/'))
		buf_puts(&up, "../");
	buf_printf(
		&script,
		"#!/bin/sh\n"
		"# starts %s with the C library it was built for\n"
		"d=${0%%/*}\n"
		"exec \"$d/%shost/lib/%s\" --argv0 \"$0\" --library-path \"$d/%shost/lib\" \"$d/.%s.elf\" \"$@\"\n",
		path_base(path), up.s, wrap.loader, up.s, path_base(path));
	if (rename(path, elf))
		wrap.err = -errno;
	else
		wrap.err = file_write(path, script.s, script.n);
	if (!wrap.err && chmod(path, 0755))
		wrap.err = -errno;
	buf_free(&script);
	buf_free(&up);
	return wrap.err;
}

/* The first name in a directory that matches, as a new string; NULL if there is none. */
static char *find_name(const char *dir, const char *pattern)
{
	DIR *d = opendir(dir);
	char *found = NULL;
	struct dirent *e;

	while (d && !found && (e = readdir(d)))
		if (!fnmatch(pattern, e->d_name, 0))
			found = xstrdup(e->d_name);
	if (d)
		closedir(d);
	return found;
}

static char *kbuild_dir(const char *dir)
{
	_cleanup_free_ char *lib = xasprintf("%s/usr/lib", dir);
	_cleanup_free_ char *name = find_name(lib, "linux-kbuild-*");

	return name ? xasprintf("%s/%s", lib, name) : NULL;
}

static enum lab_exit wrap_tools(const char *dir)
{
	_cleanup_free_ char *libs = xasprintf("%s/host/lib", dir);
	_cleanup_free_ char *loader = find_name(libs, "ld-linux*.so.*");
	_cleanup_free_ char *kbuild = kbuild_dir(dir);

	if (!loader || !kbuild)
		return lab_fail(LAB_CANNOT, NULL, "the packages fetched hold no %s",
				loader ? "kbuild" : "C library");
	wrap.dir = dir;
	wrap.loader = loader;
	wrap.err = 0;
	if (nftw(kbuild, wrap_tool, 16, FTW_PHYS))
		return write_failed(kbuild, wrap.err ? -wrap.err : errno);
	return LAB_OK;
}

bool unpack_tools_start(const char *dir)
{
	static const char *const tools[] = { "scripts/basic/fixdep", "tools/objtool/objtool" };
	_cleanup_free_ char *kbuild = kbuild_dir(dir);
	bool ok = kbuild;

	for (size_t i = 0; i < ARRAY_SIZE(tools) && ok; i++) {
		_cleanup_free_ char *tool = xasprintf("%s/%s", kbuild, tools[i]);
		char *argv[] = { tool, NULL };
		struct proc p = { .argv = argv, .timeout_s = 20 };

		if (access(tool, X_OK))
			continue;
		/*
		 * without arguments they print how to use them; the dynamic loader speaks before
		 * they do
		 */
		ok = !proc_run(&p) &&
		     !(p.err.s && (strstr(p.err.s, "GLIBC_") ||
				   strstr(p.err.s, "error while loading shared libraries")));
		if (!ok)
			lab_verbose("%s: %s", tool, p.err.s ?: "");
		proc_free(&p);
	}
	return ok;
}

enum lab_exit unpack_finish(const struct deb_set *set, const struct arch *arch, const char *dir)
{
	_cleanup_free_ char *kdir = xasprintf("%s/usr/src/linux-headers-%s", dir, set->release);
	_cleanup_free_ char *makefile = xasprintf("%s/Makefile", kdir);
	_cleanup_free_ char *variables = xasprintf("%s/.kernelvariables", kdir);
	_cleanup_free_ char *auto_conf = xasprintf("%s/include/config/auto.conf", kdir);
	_cleanup_free_ char *kbuild = kbuild_dir(dir);
	_cleanup_free_ char *kernel_doc = xasprintf("%s/scripts/kernel-doc", kbuild ?: dir);
	_cleanup_free_ char *packed = xasprintf("%s/vmlinuz", dir);
	_cleanup_free_ char *image = xasprintf("%s/image", dir);
	_cleanup_free_ char *config = xasprintf("%s/config", dir);
	_cleanup_free_ char *map = xasprintf("%s/System.map", dir);
	const char *const needed[] = { packed, config, makefile, auto_conf };
	enum lab_exit ret = LAB_OK;
	struct stat st;
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (access(needed[i], R_OK))
			return lab_fail(
				LAB_CANNOT,
				"this is a case for a bug report: its packages are built in a new way",
				"the packages of %s %s hold no %s", set->suite, set->version,
				needed[i] + strlen(dir) + 1);
	err = rewrite_makefile(makefile);
	if (!err)
		err = drop_lines(auto_conf, is_btf_option, NULL);
	if (!err && !access(variables, R_OK))
		err = rewrite_variables(variables);
	if (!err)
		err = rewrite_kernel_doc(kernel_doc);
	if (err)
		return write_failed(kdir, -err);
	/* Debian's is one line that says where the real one is */
	if (!stat(map, &st) && st.st_size < 4096)
		unlink(map);
	ret = image_make_bootable(arch, packed, image);
	unlink(packed);
	if (!ret && set->with_libs)
		ret = wrap_tools(dir);
	return ret;
}

/* Options that the older compiler does not live up to. */
static bool is_lost_option(void *ctx, const char *line)
{
	const struct kernel_cc *cc = ctx;
	const char *name = str_starts(line, "#define ") ? line + strlen("#define ") : line;
	size_t n = strcspn(name, "= ");

	for (size_t i = 0; i < ARRAY_SIZE(cc_options); i++)
		if (strlen(cc_options[i].option) == n && !strncmp(name, cc_options[i].option, n))
			return cc->version < cc_options[i].since;
	return false;
}

static bool loses_options(const char *auto_conf, const struct kernel_cc *cc)
{
	struct strv lines = {};
	struct buf b = {};
	bool lost = false;

	if (!file_read(auto_conf, &b))
		strv_split(&lines, b.s, "\n");
	for (size_t i = 0; i < lines.n && !lost; i++)
		lost = is_lost_option((void *)cc, lines.v[i]);
	strv_free(&lines);
	buf_free(&b);
	return lost;
}

/* A directory of links to the original's entries, but for include/, which is copied and changed. */
static int make_variant(const char *kdir, const char *to, const struct kernel_cc *cc)
{
	_cleanup_free_ char *from_include = xasprintf("%s/include", kdir);
	_cleanup_free_ char *include = xasprintf("%s/include", to);
	_cleanup_free_ char *auto_conf = xasprintf("%s/include/config/auto.conf", to);
	_cleanup_free_ char *autoconf_h = xasprintf("%s/include/generated/autoconf.h", to);
	struct dirent *e;
	DIR *d = opendir(kdir);
	int err = d ? 0 : -errno;

	while (d && !err && (e = readdir(d))) {
		_cleanup_free_ char *target = xasprintf("../%s/%s", path_base(kdir), e->d_name);
		_cleanup_free_ char *link = xasprintf("%s/%s", to, e->d_name);

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    !strcmp(e->d_name, "include"))
			continue;
		if (symlink(target, link))
			err = -errno;
	}
	if (d)
		closedir(d);
	if (!err)
		err = copy_tree(from_include, include, NULL);
	if (!err)
		err = drop_lines(auto_conf, is_lost_option, (void *)cc);
	if (!err)
		err = drop_lines(autoconf_h, is_lost_option, (void *)cc);
	if (!err && chmod(to, 0755))
		err = -errno;
	return err;
}

char *unpack_kdir_for(const char *kdir, const struct kernel_cc *cc)
{
	_cleanup_free_ char *auto_conf = xasprintf("%s/include/config/auto.conf", kdir);
	char *variant, *parent, *tmp, *made;
	int err;

	if (!cc->version || cc->version >= cc->own_version || !loses_options(auto_conf, cc))
		return xstrdup(kdir);
	variant = xasprintf("%s.gcc-%d.%d", kdir, cc->version / 10000, cc->version / 100 % 100);
	if (file_exists(variant))
		return variant;
	parent = xstrndup(kdir, path_base(kdir) - kdir - 1);
	tmp = temp_dir(parent);
	free(parent);
	if (!tmp) {
		free(variant);
		return NULL;
	}
	made = xasprintf("%s/k", tmp);
	err = mkdir(made, 0755) ? -errno : make_variant(kdir, made, cc);
	/* somebody else may have made it meanwhile: it is the same */
	if (!err && rename(made, variant) && errno != EEXIST && errno != ENOTEMPTY)
		err = -errno;
	free(made);
	temp_dir_done(tmp);
	if (err) {
		write_failed(variant, -err);
		free(variant);
		return NULL;
	}
	return variant;
}
