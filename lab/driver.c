// SPDX-License-Identifier: GPL-2.0
#include "driver.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

bool driver_skip_name(const char *name)
{
	static const char *const ends[] = { ".o", ".ko", ".mod", ".mod.c",  ".cmd",
					    ".a", ".d",	 "~",	 "_uapi.rs" };

	if (name[0] == '.')
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (str_ends(name, ends[i]))
			return true;
	/* the seeded bugs are others' patches of the source */
	return !strcmp(name, "Module.symvers") || !strcmp(name, "modules.order") ||
	       !strcmp(name, "bugs");
}

enum lab_exit driver_names(struct strv *names)
{
	_cleanup_free_ char *dir = xasprintf("%s/drivers", lab_data_dir());
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return lab_fail(LAB_CANNOT,
				"run it from a checkout, or install it with make install",
				"cannot read %s: %s", dir, strerror(errno));
	while ((e = readdir(d))) {
		_cleanup_free_ char *kbuild = xasprintf("%s/%s/Kbuild", dir, e->d_name);

		if (e->d_name[0] != '.' && file_exists(kbuild))
			strv_add(names, e->d_name);
	}
	closedir(d);
	strv_sort(names);
	return LAB_OK;
}

/* foo_rust and foo_rust_... are foo in Rust. */
static bool is_twin(const char *module, const char *of)
{
	const char *rest = str_starts(module, of) ? module + strlen(of) : "";

	return !strcmp(rest, "_rust") || str_starts(rest, "_rust_");
}

bool driver_program_fits(const char *stem, const char *module, const struct strv *modules)
{
	size_t n = strlen(stem);
	bool family = false;

	/* foo's program is not for foo_test; where there is no foo, it is for all of foo_... */
	if (strv_has(modules, stem))
		return !strcmp(stem, module) || is_twin(module, stem);
	for (size_t i = 0; i < modules->n; i++)
		family |= str_starts(modules->v[i], stem) && modules->v[i][n] == '_';
	return !family || (str_starts(module, stem) && module[n] == '_');
}

/* NAME of "#define NAME _IOWR(...", or NULL. */
static char *ioctl_macro(const char *line)
{
	const char *name, *value;
	size_t n;

	line += strspn(line, " \t");
	if (*line++ != '#')
		return NULL;
	line += strspn(line, " \t");
	if (!str_starts(line, "define") || !isspace((unsigned char)line[6]))
		return NULL;
	name = line + 6 + strspn(line + 6, " \t");
	for (n = 0; isalnum((unsigned char)name[n]) || name[n] == '_'; n++)
		;
	value = name + n + strspn(name + n, " \t(");
	if (!n || name[n] == '(' || !str_starts(value, "_IO"))
		return NULL;
	value += strspn(value, "_IOWRC");
	return *value == '(' ? xstrndup(name, n) : NULL;
}

static bool scan_header(const char *path, struct strv *ioctls)
{
	struct buf text = {};
	struct strv lines = {};
	size_t had = ioctls->n;

	if (!file_read(path, &text))
		strv_split(&lines, text.s, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		char *name = ioctl_macro(lines.v[i]);

		if (name && !strv_has(ioctls, name))
			strv_take(ioctls, name);
		else
			free(name);
	}
	strv_free(&lines);
	buf_free(&text);
	return ioctls->n > had;
}

struct ini_state {
	struct driver *d;
	char *problem;
};

static int on_ini(void *ctx, const char *section, const char *key, const char *value)
{
	struct ini_state *st = ctx;
	struct driver *d = st->d;
	const struct {
		const char *section, *key;
		char **to;
	} keys[] = {
		{ "driver", "summary", &d->summary }, { "node", "path", &d->node },
		{ "node", "mode", &d->mode },	      { "node", "event", &d->event },
		{ "node", "events", &d->events },     { "node", "merge", &d->merge },
		{ "module", "params", &d->params },   { "module", "stock", &d->stock },
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (!strcmp(section, keys[i].section) && !strcmp(key, keys[i].key)) {
			free(*keys[i].to);
			*keys[i].to = xstrdup(value);
			return 1;
		}
	}
	if (!strcmp(section, "uapi") && !strcmp(key, "header")) {
		strv_split(&d->headers, value, " ,");
		return 1;
	}
	if (!strcmp(section, "bench") && !strcmp(key, "wall") && value[strspn(value, " \t")]) {
		strv_add(&d->walls, value);
		return 1;
	}
	if (!strcmp(section, "uapi") && str_starts(key, "arg.")) {
		size_t n = strspn(value, "0123456789abcdefABCDEF ");

		if (!value[n] && *value) {
			_cleanup_free_ char *hex = str_replace(value, " ", "");

			strv_addf(&d->args, "%s=%s", key + 4, hex);
			return 1;
		}
		st->problem =
			st->problem ?: xasprintf("%s is not a string of hexadecimal bytes", key);
		return 0;
	}
	if (!strcmp(section, "uapi") && str_starts(key, "absent.")) {
		strv_addf(&d->absents, "%s=%s", key + 7, value);
		return 1;
	}
	st->problem = st->problem ?: xasprintf("unknown key %s in section [%s]", key, section);
	return 0;
}

static enum lab_exit read_ini(struct driver *d, const char *path)
{
	struct ini_state st = { .d = d };
	int line = ini_parse(path, on_ini, &st);
	enum lab_exit ret = LAB_OK;

	if (line < 0)
		ret = lab_fail(LAB_CANNOT, NULL, "cannot read %s: %s", path, strerror(errno));
	else if (line > 0)
		ret = lab_fail(LAB_USAGE, "cdevlab(1) lists the keys of driver.ini", "%s:%d: %s",
			       path, line, st.problem ?: "not a section or key = value");
	free(st.problem);
	return ret;
}

static enum lab_exit read_figures(struct driver *d)
{
	_cleanup_free_ char *published = xasprintf("%s/published.json", d->dir);
	_cleanup_free_ char *goals = xasprintf("%s/goals.json", d->dir);
	enum lab_exit ret = published_read(published, &d->published);

	return ret ? ret : goals_read(goals, &d->goals, &d->n_goals);
}

/* The ioctls of the named headers, or, where none is named, of the headers that define any. */
static enum lab_exit find_ioctls(struct driver *d)
{
	struct dirent *e;
	DIR *dir;

	for (size_t i = 0; i < d->headers.n; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", d->dir, d->headers.v[i]);

		if (!file_exists(path))
			return lab_fail(LAB_USAGE, "correct header = in its driver.ini",
					"%s names a header that is not there: %s", d->name, path);
		scan_header(path, &d->ioctls);
	}
	for (size_t i = 0; i < d->absents.n; i++) {
		const char *macro = strchr(d->absents.v[i], '=') + 1;

		if (!strv_has(&d->ioctls, macro))
			return lab_fail(LAB_USAGE, "correct absent. in its driver.ini",
					"%s has no ioctl %s in its header", d->name, macro);
	}
	if (d->has_ini)
		return LAB_OK;
	dir = opendir(d->dir);
	while (dir && (e = readdir(dir))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", d->dir, e->d_name);

		if (str_ends(e->d_name, ".h") && scan_header(path, &d->ioctls))
			strv_add(&d->headers, e->d_name);
	}
	if (dir)
		closedir(dir);
	return LAB_OK;
}

/* The directory of a driver, or a peer of ours, by its name; or NULL. */
static char *room_of_ours(const char *name)
{
	static const char *const places[] = { "drivers", "peers" };

	for (size_t i = 0; i < ARRAY_SIZE(places) && !strchr(name, '/'); i++) {
		char *dir = xasprintf("%s/%s/%s", lab_data_dir(), places[i], name);

		if (is_dir(dir))
			return dir;
		free(dir);
	}
	return NULL;
}

enum lab_exit driver_open(const char *spec, struct driver *d)
{
	_cleanup_free_ char *ours = room_of_ours(spec);
	_cleanup_free_ char *kbuild = NULL, *makefile = NULL, *ini = NULL;
	char real[PATH_MAX];
	enum lab_exit ret;
	DIR *dir;

	*d = (struct driver){};
	if (!*spec || (!strchr(spec, '/') && !ours && !is_dir(spec))) {
		struct strv names = {};
		struct buf list = {};

		buf_puts(&list, "");
		driver_names(&names);
		for (size_t i = 0; i < names.n; i++)
			buf_printf(&list, "%s%s", i ? ", " : "drivers here: ", names.v[i]);
		buf_printf(&list, "%sname a directory with a Kbuild", names.n ? "; or " : "");
		lab_fail(LAB_USAGE, list.s, "there is no driver or directory \"%s\"", spec);
		strv_free(&names);
		buf_free(&list);
		return LAB_USAGE;
	}
	if (!realpath(ours ?: spec, real))
		return lab_fail(errno == ENOENT ? LAB_USAGE : LAB_CANNOT,
				errno == EACCES ? "it must be readable for you" :
						  "name a directory with a Kbuild",
				"%s: %s", spec, strerror(errno));
	d->dir = xstrdup(real);
	d->name = xstrdup(path_base(real));
	dir = opendir(real);
	if (!dir)
		return lab_fail(errno == ENOTDIR ? LAB_USAGE : LAB_CANNOT,
				errno == EACCES ? "it must be readable for you" : NULL,
				"cannot read the driver directory %s: %s", real, strerror(errno));
	closedir(dir);
	kbuild = xasprintf("%s/Kbuild", real);
	makefile = xasprintf("%s/Makefile", real);
	ini = xasprintf("%s/driver.ini", real);
	d->has_ini = file_exists(ini);
	ret = d->has_ini ? read_ini(d, ini) : LAB_OK;
	if (!ret && !d->stock && !file_exists(kbuild) && !file_exists(makefile))
		ret = lab_fail(LAB_USAGE, "a one-line Kbuild is enough:  obj-m := name.o",
			       "%s has no Kbuild and no Makefile", real);
	if (!ret)
		ret = read_figures(d);
	return ret ? ret : find_ioctls(d);
}

void driver_free(struct driver *d)
{
	free(d->name);
	free(d->dir);
	free(d->summary);
	free(d->node);
	free(d->mode);
	free(d->event);
	free(d->events);
	free(d->merge);
	free(d->params);
	free(d->stock);
	strv_free(&d->headers);
	strv_free(&d->ioctls);
	strv_free(&d->args);
	strv_free(&d->absents);
	strv_free(&d->walls);
	published_free(&d->published);
	goals_free(d->goals, d->n_goals);
	*d = (struct driver){};
}
