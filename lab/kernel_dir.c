// SPDX-License-Identifier: GPL-2.0
/* Kernels that are there already: a built tree, and the one this machine runs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kernel_internal.h"

/*
 * The architecture a configuration is for: its third line is "# Linux/x86 6.1.192 Kernel
 * Configuration", and all of ours are 64-bit.
 */
static const struct arch *arch_of_config(const char *config)
{
	const struct arch *found = NULL, *a;
	struct buf b = {};

	if (!file_read(config, &b) && strstr(b.s, "\nCONFIG_64BIT=y\n")) {
		for (size_t i = 0; (a = arch_at(i)) && !found; i++) {
			_cleanup_free_ char *mark = xasprintf("# Linux/%s ", a->kbuild);

			if (strstr(b.s, mark))
				found = a;
		}
	}
	buf_free(&b);
	return found;
}

/* The bootable form of an image, kept in the cache by the image's own hash. */
static enum lab_exit cached_image(const struct arch *arch, const char *vmlinuz, char **image)
{
	const char *cache = lab_cache_dir();
	_cleanup_free_ char *dir = NULL;
	char hex[HASH_HEX];
	int err;

	if (!cache)
		return LAB_CANNOT;
	dir = xasprintf("%s/images", cache);
	err = hash_file(vmlinuz, hex);
	if (err)
		return lab_fail(LAB_CANNOT, NULL, "cannot read %s: %s", vmlinuz, strerror(-err));
	err = make_dirs(dir, 0755);
	if (err)
		return lab_fail(LAB_CANNOT, NULL, "cannot make %s: %s", dir, strerror(-err));
	*image = xasprintf("%s/%.32s", dir, hex);
	return file_exists(*image) ? LAB_OK : image_make_bootable(arch, vmlinuz, *image);
}

/* k->id: of all files that a module build reads and that differ between two builds of a tree. */
static void identify(struct kernel *k, const char *vmlinuz)
{
	static const char *const files[] = {
		"include/generated/autoconf.h",
		"include/config/auto.conf",
		"include/generated/utsrelease.h",
		"Module.symvers",
		"scripts/module.lds",
		"Makefile",
	};
	struct hash *h = hash_new();

	hash_puts(h, k->release);
	hash_add_file(h, vmlinuz);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", k->kdir, files[i]);

		hash_puts(h, files[i]);
		hash_add_file(h, path);
	}
	hash_end(h, k->id);
	hash_file(k->config, k->config_sha256);
}

static enum lab_exit complete(struct kernel *k, const char *vmlinuz)
{
	struct kernel_cc cc = {};
	enum lab_exit ret = cached_image(k->arch, vmlinuz, &k->image);

	if (ret)
		return ret;
	kernel_pick_cc(k, &cc);
	free(cc.own);
	identify(k, vmlinuz);
	return LAB_OK;
}

static char *first_line(const char *path)
{
	struct buf b = {};
	char *s = NULL;

	if (!file_read(path, &b)) {
		b.s[strcspn(b.s, "\n")] = '\0';
		s = xstrdup(b.s);
	}
	buf_free(&b);
	return s;
}

/* A file of a built tree, or why it is not there and what to do. */
static enum lab_exit need(const char *dir, const char *file, const char *make)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, file);
	_cleanup_free_ char *hint =
		make ? xasprintf("run `make -C %s %s` first", dir, make) :
		       xstrdup("name the directory that the kernel was built in (make's O=, where that was used)");

	if (!access(path, R_OK))
		return LAB_OK;
	if (errno == EACCES)
		return lab_fail(LAB_CANNOT, "make it readable for you", "cannot read %s: %s", path,
				strerror(EACCES));
	return lab_fail(LAB_CANNOT, hint, "%s is no built kernel tree: there is no %s", dir, file);
}

static enum lab_exit dir_get(const char *rest, bool update, struct kernel *k)
{
	static const struct {
		const char *file, *make;
	} pieces[] = {
		{ "Makefile", NULL },
		{ ".config", "defconfig" },
		{ "include/config/auto.conf", "modules_prepare" },
		{ "include/config/kernel.release", "modules_prepare" },
		{ "include/generated/autoconf.h", "modules_prepare" },
		{ "scripts/mod/modpost", "modules_prepare" },
		{ "Module.symvers", "modules" },
	};
	_cleanup_free_ char *path = NULL, *map = NULL, *vmlinuz = NULL;
	char *dir = *rest ? realpath(rest, NULL) : NULL;
	enum lab_exit ret = LAB_OK;

	(void)update;
	if (!*rest)
		return lab_fail(LAB_USAGE, "for example -k dir:../linux",
				"dir: needs the path of a built kernel tree");
	if (!dir)
		return lab_fail(LAB_CANNOT, NULL, "cannot open the kernel tree %s: %s", rest,
				strerror(errno));
	k->kdir = dir;
	for (size_t i = 0; i < ARRAY_SIZE(pieces) && !ret; i++)
		ret = need(dir, pieces[i].file, pieces[i].make);
	if (ret)
		return ret;
	k->name = xasprintf("dir:%s", dir);
	k->config = xasprintf("%s/.config", dir);
	k->version = xstrdup("");
	k->arch = arch_of_config(k->config);
	if (!k->arch)
		return lab_fail(LAB_CANNOT,
				"the architectures there are: see `cdevlab kernel list`",
				"%s is configured for an architecture that there are no guests for",
				dir);
	path = xasprintf("%s/include/config/kernel.release", dir);
	k->release = first_line(path);
	if (!k->release || !*k->release)
		return lab_fail(LAB_CANNOT, "run `make modules_prepare` there", "%s is empty",
				path);
	ret = need(dir, k->arch->built_image, path_base(k->arch->built_image));
	if (ret)
		return ret;
	vmlinuz = xasprintf("%s/%s", dir, k->arch->built_image);
	map = xasprintf("%s/System.map", dir);
	if (file_exists(map))
		k->system_map = xstrdup(map);
	return complete(k, vmlinuz);
}

/* host */

/* The first of the places that is there, as a new string; else NULL. */
static char *first_there(const char *const *formats, size_t n, const char *release)
{
	for (size_t i = 0; i < n; i++) {
		char *path = str_replace(formats[i], "%s", release);

		if (file_exists(path))
			return path;
		free(path);
	}
	return NULL;
}

static enum lab_exit host_missing(const char *what, const char *package, const char *release)
{
	_cleanup_free_ char *hint =
		file_exists("/usr/bin/dpkg") ?
			xasprintf(
				"install it with `apt install %s-%s`, or leave -k out for a kernel of the archive",
				package, release) :
			xasprintf(
				"install the package with the %s of the running kernel, or name another kernel with -k",
				!strcmp(package, "linux-headers") ? "headers" : "image");

	return lab_fail(LAB_CANNOT, hint, "%s of the running kernel %s is not on this machine",
			what, release);
}

static enum lab_exit host_get(const char *rest, bool update, struct kernel *k)
{
	static const char *const images[] = {
		"/boot/vmlinuz-%s",
		"/lib/modules/%s/vmlinuz",
		"/usr/lib/modules/%s/vmlinuz",
		"/boot/vmlinux-%s",
	};
	static const char *const configs[] = {
		"/boot/config-%s",
		"/lib/modules/%s/config",
		"/lib/modules/%s/build/.config",
	};
	static const char *const maps[] = { "/boot/System.map-%s", "/lib/modules/%s/System.map" };
	_cleanup_free_ char *vmlinuz = NULL, *build = NULL, *hint = NULL;
	struct utsname u;
	struct stat st;

	(void)rest;
	(void)update;
	uname(&u);
	k->arch = arch_host();
	if (!k->arch)
		return LAB_CANNOT;
	k->name = xstrdup("host");
	k->release = xstrdup(u.release);
	k->version = xstrdup("");
	vmlinuz = first_there(images, ARRAY_SIZE(images), u.release);
	if (!vmlinuz)
		return host_missing("the image", "linux-image", u.release);
	if (access(vmlinuz, R_OK)) {
		hint = xasprintf(
			"make it readable (`sudo chmod +r %s`), or leave -k out for a kernel of the archive",
			vmlinuz);
		return lab_fail(LAB_CANNOT, hint, "cannot read %s: %s", vmlinuz, strerror(errno));
	}
	build = xasprintf("/lib/modules/%s/build", u.release);
	k->kdir = realpath(build, NULL);
	if (!k->kdir)
		return host_missing("the header directory", "linux-headers", u.release);
	k->config = first_there(configs, ARRAY_SIZE(configs), u.release);
	if (!k->config || access(k->config, R_OK))
		return host_missing("the configuration", "linux-image", u.release);
	k->system_map = first_there(maps, ARRAY_SIZE(maps), u.release);
	if (k->system_map &&
	    (stat(k->system_map, &st) || st.st_size < 4096 || access(k->system_map, R_OK))) {
		free(k->system_map);
		k->system_map = NULL;
	}
	k->stock_modules = xasprintf("/lib/modules/%s", u.release);
	return complete(k, vmlinuz);
}

static enum lab_exit host_list(json_t *rows)
{
	struct utsname u;
	json_t *row;
	_cleanup_free_ char *image = NULL, *build = NULL;

	uname(&u);
	image = xasprintf("/boot/vmlinuz-%s", u.release);
	build = xasprintf("/lib/modules/%s/build", u.release);
	row = json_pack("{ss ss ss}", "name", "host", "release", u.release, "state",
			!access(image, R_OK) && !access(build, R_OK) ? "here" : "missing");
	json_array_append_new(rows, row);
	return LAB_OK;
}

const struct kernel_source kernel_source_dir = {
	.prefix = "dir:",
	.help = "dir:PATH",
	.get = dir_get,
};

const struct kernel_source kernel_source_host = {
	.prefix = "host",
	.help = "host",
	.get = host_get,
	.list = host_list,
};
