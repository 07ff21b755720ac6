// SPDX-License-Identifier: GPL-2.0
#include "arch.h"

#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "kernel_internal.h"

/*
 * Every key is a string of struct arch, and every one must be there: a half-filled file would fail
 * at boot.
 */
#define KEY(k)                               \
	{                                    \
#k, offsetof(struct arch, k) \
	}
static const struct {
	const char *key;
	size_t offset;
} keys[] = {
	KEY(name),	    KEY(machine),      KEY(kbuild),  KEY(triplet),	KEY(cross_packages),
	KEY(rust_packages), KEY(rust_make),    KEY(image),   KEY(built_image),	KEY(qemu),
	KEY(qemu_package),  KEY(qemu_machine), KEY(cpu),     KEY(cpu_exact),	KEY(console),
	KEY(append),	    KEY(append_exact), KEY(modules), KEY(gdb_argument),
};

static struct arch *archs;
static size_t n_archs;

static char **arch_key(struct arch *a, size_t i)
{
	return (char **)((char *)a + keys[i].offset);
}

static int set_key(void *ctx, const char *section, const char *key, const char *value)
{
	(void)section;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		char **where = arch_key(ctx, i);

		if (strcmp(key, keys[i].key))
			continue;
		free(*where);
		*where = xstrdup(value);
		return 1;
	}
	return 0; /* inih reports the line */
}

static enum lab_exit load_one(const char *path)
{
	enum lab_exit ret = LAB_OK;
	struct arch a = {};
	int line = ini_parse(path, set_key, &a);

	if (line < 0)
		ret = lab_fail(LAB_CANNOT, NULL, "%s cannot be read", path);
	else if (line)
		ret = lab_fail(LAB_CANNOT, NULL,
			       "%s:%d: not a line of the form key = value, or no such key", path,
			       line);
	for (size_t i = 0; i < ARRAY_SIZE(keys) && !ret; i++)
		if (!*arch_key(&a, i))
			ret = lab_fail(LAB_CANNOT, NULL, "%s: no value for %s", path, keys[i].key);
	if (ret) {
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			free(*arch_key(&a, i));
		return ret;
	}
	archs = xrealloc(archs, n_archs + 1, sizeof(*archs));
	archs[n_archs++] = a;
	return LAB_OK;
}

enum lab_exit arch_load(const char *dir)
{
	enum lab_exit ret = LAB_OK;
	struct strv names = {};
	struct dirent *e;
	DIR *d = opendir(dir);

	if (!d)
		return lab_fail(LAB_CANNOT,
				"run cdevlab from its checkout, or install it with `make install`",
				"cannot read the architectures in %s: %s", dir, strerror(errno));
	while ((e = readdir(d)))
		if (str_ends(e->d_name, ".ini"))
			strv_addf(&names, "%s/%s", dir, e->d_name);
	closedir(d);
	strv_sort(&names);
	for (size_t i = 0; i < names.n && !ret; i++)
		ret = load_one(names.v[i]);
	if (!ret && !n_archs)
		ret = lab_fail(LAB_CANNOT, NULL, "no architectures in %s", dir);
	strv_free(&names);
	return ret;
}

/* Once: pointers to them stay good for the life of the program. */
static enum lab_exit load_all(void)
{
	_cleanup_free_ char *dir = NULL;

	if (n_archs)
		return LAB_OK;
	dir = xasprintf("%s/arch", lab_data_dir());
	return arch_load(dir);
}

static char *names_of_all(void)
{
	struct buf b = {};

	buf_puts(&b, "");
	for (size_t i = 0; i < n_archs; i++)
		buf_printf(&b, "%s%s", i ? ", " : "", archs[i].name);
	return b.s;
}

const struct arch *arch_at(size_t i)
{
	if (!n_archs && load_all())
		return NULL;
	return i < n_archs ? &archs[i] : NULL;
}

bool arch_is_host(const struct arch *a)
{
	struct utsname u;

	uname(&u);
	return !strcmp(a->machine, u.machine);
}

const struct arch *arch_of_machine(const char *machine)
{
	for (size_t i = 0; arch_at(i); i++)
		if (!strcmp(archs[i].machine, machine))
			return &archs[i];
	return NULL;
}

const struct arch *arch_find(const char *name)
{
	_cleanup_free_ char *all = NULL, *hint = NULL;

	if (load_all())
		return NULL;
	for (size_t i = 0; i < n_archs; i++)
		if (!strcmp(archs[i].name, name))
			return &archs[i];
	all = names_of_all();
	hint = xasprintf("there are guests for %s", all);
	lab_fail(LAB_USAGE, hint, "unknown architecture '%s'", name);
	return NULL;
}

const struct arch *arch_host(void)
{
	_cleanup_free_ char *all = NULL;
	struct utsname u;

	if (load_all())
		return NULL;
	for (size_t i = 0; i < n_archs; i++)
		if (arch_is_host(&archs[i]))
			return &archs[i];
	uname(&u);
	all = names_of_all();
	lab_fail(LAB_CANNOT,
		 "name a kernel and its architecture with -k, for example -k debian:trixie/amd64",
		 "this machine is %s: there are guests for %s", u.machine, all);
	return NULL;
}
