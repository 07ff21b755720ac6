// SPDX-License-Identifier: GPL-2.0
/* Kernels: the table of sources, and what all sources share. */
#include "kernel.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_internal.h"
#include "rust.h"

/* The newest stock kernel that a released Debian's compiler has built with Rust in it. */
#define RUST_SUITE "trixie-backports"

static const struct kernel_source *const sources[] = {
	&kernel_source_debian,
	&kernel_source_debug,
	&kernel_source_dir,
	&kernel_source_host,
};

char *kernel_setting(const char *path, const char *key)
{
	struct buf b = {};
	char *line, *save = NULL, *found = NULL;
	size_t n = strlen(key);

	if (!file_read(path, &b)) {
		for (line = strtok_r(b.s, "\n", &save); line && !found;
		     line = strtok_r(NULL, "\n", &save)) {
			char *v = line + n + 1;
			size_t m;

			if (strncmp(line, key, n) || line[n] != '=')
				continue;
			m = strlen(v);
			if (m >= 2 && (v[0] == '"' || v[0] == '\'') && v[m - 1] == v[0]) {
				v++;
				m -= 2;
			}
			found = xstrndup(v, m);
		}
	}
	buf_free(&b);
	return found;
}

char *kernel_default_from(const char *os_release)
{
	_cleanup_free_ char *id = kernel_setting(os_release, "ID");
	_cleanup_free_ char *suite = kernel_setting(os_release, "VERSION_CODENAME");
	const struct arch *arch;

	if (!id || strcmp(id, "debian"))
		return NULL;
	/* unstable has had no code name of its own for most of its life */
	if (!suite_find(suite ?: "sid"))
		return NULL;
	arch = arch_host();
	return arch ? xasprintf("debian:%s/%s", suite ?: "sid", arch->name) : NULL;
}

char *kernel_default_name(void)
{
	const struct arch *arch;

	if (!lab_options.rust)
		return kernel_default_from("/etc/os-release");
	arch = arch_host();
	return arch ? xasprintf("debian:" RUST_SUITE "/%s", arch->name) : NULL;
}

static enum lab_exit unknown_source(const char *spec)
{
	struct buf b = {};

	buf_puts(&b, "known are ");
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		buf_printf(&b, "%s%s", i ? ", " : "", sources[i]->help);
	buf_puts(&b, "; all for all of Debian's");
	lab_fail(LAB_USAGE, b.s, "unknown kernel '%s'", spec);
	buf_free(&b);
	return LAB_USAGE;
}

enum lab_exit kernel_get(const char *spec, bool update, struct kernel *k)
{
	_cleanup_free_ char *name = NULL;
	enum lab_exit ret = LAB_USAGE;

	*k = (struct kernel){};
	if (!spec) {
		if (!arch_host())
			return LAB_CANNOT;
		name = kernel_default_name();
		if (!name)
			return lab_fail(
				LAB_USAGE,
				"for example -k debian:trixie; `cdevlab kernel list` names them all",
				"this machine is no Debian whose kernels are known: name a kernel with -k");
		spec = name;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		const struct kernel_source *s = sources[i];
		size_t n = strlen(s->prefix);

		/* a prefix without a colon is the whole name */
		if (strncmp(spec, s->prefix, n) || (s->prefix[n - 1] != ':' && spec[n]))
			continue;
		ret = s->get(spec + n, update, k);
		if (!ret && lab_options.rust && !k->rust)
			ret = rust_get(k);
		if (ret)
			kernel_free(k);
		return ret;
	}
	return unknown_source(spec);
}

void kernel_all(struct strv *names)
{
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (sources[i]->all)
			sources[i]->all(names);
}

/* One kernel can be written in two ways: debian:trixie is debian:trixie/amd64 on a PC. */
static char *canonical(const char *spec)
{
	const char *colon = strchr(spec, ':');
	bool named = str_starts(spec, kernel_source_debian.prefix) ||
		     str_starts(spec, kernel_source_debug.prefix);
	bool whole = !named || strchr(spec, '/') || !colon[1];

	return whole || !arch_host() ? xstrdup(spec) : xasprintf("%s/%s", spec, arch_host()->name);
}

static void expand_one(const char *spec, bool is_any, struct strv *names, bool **any)
{
	char *name = canonical(spec);

	for (size_t i = 0; i < names->n; i++) {
		if (strcmp(names->v[i], name))
			continue;
		(*any)[i] &= is_any;
		free(name);
		return;
	}
	strv_take(names, name);
	*any = xrealloc(*any, names->n, sizeof(**any));
	(*any)[names->n - 1] = is_any;
}

void kernel_expand(const struct strv *specs, const struct strv *all, struct strv *names, bool **any)
{
	*any = NULL;
	for (size_t i = 0; i < specs->n; i++) {
		if (strcmp(specs->v[i], "all")) {
			expand_one(specs->v[i], false, names, any);
			continue;
		}
		for (size_t k = 0; k < all->n; k++)
			expand_one(all->v[k], true, names, any);
	}
}

char *kernel_series(const char *release)
{
	size_t n = strspn(release, "0123456789");

	if (release[n] == '.')
		n += 1 + strspn(release + n + 1, "0123456789");
	return xstrndup(release, n);
}

bool kernel_has_series(const struct kernel *have, size_t n, const char *name, const char *release)
{
	_cleanup_free_ char *series = kernel_series(release);
	const char *arch = strrchr(name, '/');

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *other = kernel_series(have[i].release);
		const char *its = strrchr(have[i].name, '/');

		if (!strcmp(other, series) && its && arch && !strcmp(its, arch))
			return true;
	}
	return false;
}

static const struct kernel_source *source_of_all(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (sources[i]->all && str_starts(name, sources[i]->prefix))
			return sources[i];
	return NULL;
}

enum lab_exit kernel_get_any(const char *name, bool update, const struct kernel *have, size_t n,
			     struct kernel *k, char **why)
{
	const struct kernel_source *s = source_of_all(name);
	_cleanup_free_ char *release = NULL;
	bool no_arch = false, known;
	enum lab_exit ret = LAB_OK;
	const char *rest;

	*why = NULL;
	if (!s) /* a source that is not told to offer any */
		return kernel_get(name, update, k);
	rest = name + strlen(s->prefix);
	known = !update && s->absent(rest, why, &no_arch);
	if (!known) {
		lab_keep_failure(why);
		ret = s->offer(rest, &release);
		if (!ret && release && kernel_has_series(have, n, name, release))
			ret = LAB_SKIPPED;
		else if (!ret)
			ret = kernel_get(name, update, k);
		lab_keep_failure(NULL);
		if (!ret || ret == LAB_INTERRUPTED)
			return ret;
		if (ret != LAB_SKIPPED) {
			_cleanup_free_ char *again = NULL;

			/* what was found out just now */
			s->absent(rest, &again, &no_arch);
		}
	}
	if (no_arch) {
		free(*why);
		*why = NULL;
	} else if (ret != LAB_SKIPPED && !*why) {
		*why = xstrdup("it cannot be had");
	}
	return LAB_SKIPPED;
}

void kernel_free(struct kernel *k)
{
	free(k->name);
	free(k->release);
	free(k->version);
	free(k->image);
	free(k->kdir);
	free(k->config);
	free(k->stock_modules);
	free(k->cc);
	free(k->system_map);
	free(k->busybox);
	free(k->rust);
	free(k->rust_cc);
	free(k->rust_version);
	strv_free(&k->make_args);
	*k = (struct kernel){};
}

/*
 * Asked dozens of times about the same file, which does not change under us: the last one read is
 * kept.
 */
static const struct buf *config_text(const char *path)
{
	static char *last;
	static struct buf text;

	if (last && !strcmp(last, path))
		return &text;
	buf_free(&text);
	free(last);
	last = NULL;
	buf_puts(&text, "\n");
	if (!file_read(path, &text))
		last = xstrdup(path);
	return &text;
}

char *kernel_text(const struct kernel *k, const char *option)
{
	_cleanup_free_ char *key = xasprintf("CONFIG_%s", option);

	return kernel_setting(k->config, key);
}

static struct {
	const char *name;
	char *path;
} wanted;

static int match_module(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *base = path + ftw->base;

	(void)st;
	if (type != FTW_F || !str_ends(base, ".ko"))
		return 0;
	for (size_t i = 0;; i++) {
		char c = base[i] == '-' ? '_' : base[i];
		char w = wanted.name[i] == '-' ? '_' : wanted.name[i];

		if (!w && c == '.') {
			wanted.path = xstrdup(path);
			return 1;
		}
		if (c != w)
			return 0;
	}
}

char *kernel_stock_module(const struct kernel *k, const char *name)
{
	wanted.name = name;
	wanted.path = NULL;
	if (k->stock_modules)
		nftw(k->stock_modules, match_module, 16, FTW_PHYS);
	return wanted.path;
}

char kernel_config(const struct kernel *k, const char *option)
{
	const char *prefix = str_starts(option, "CONFIG_") ? "" : "CONFIG_";
	_cleanup_free_ char *key = xasprintf("\n%s%s=", prefix, option);
	const struct buf *text = config_text(k->config);
	const char *hit = strstr(text->s, key);

	if (!hit)
		return 'n';
	return hit[strlen(key)] == 'm' ? 'm' : hit[strlen(key)] == 'n' ? 'n' : 'y';
}

static int gcc_version(const char *cc)
{
	char *argv[] = { (char *)cc, "-dumpfullversion", NULL };
	_cleanup_free_ char *out = proc_have(cc) ? proc_output(argv) : NULL;
	int major = 0, minor = 0, patch = 0;

	if (!out || sscanf(out, "%d.%d.%d", &major, &minor, &patch) < 1)
		return 0;
	return major * 10000 + minor * 100 + patch;
}

void kernel_pick_cc(struct kernel *k, struct kernel_cc *cc)
{
	_cleanup_free_ char *number = kernel_setting(k->config, "CONFIG_GCC_VERSION");
	_cleanup_free_ char *cross = NULL;
	struct kernel_cc found = {};

	strv_addf(&k->make_args, "ARCH=%s", k->arch->kbuild);
	if (kernel_config(k, "CC_IS_CLANG") == 'y') {
		strv_add(&k->make_args, "LLVM=1");
		k->cc = xstrdup("clang");
		*cc = (struct kernel_cc){ .own = xstrdup("clang") };
		return;
	}
	cross = arch_is_host(k->arch) ? xstrdup("") : xasprintf("%s-", k->arch->triplet);
	if (*cross)
		strv_addf(&k->make_args, "CROSS_COMPILE=%s", cross);
	found.own_version = number ? atoi(number) : 0;
	found.own = xasprintf("%sgcc-%d", cross, found.own_version / 10000);
	if (found.own_version && proc_have(found.own)) {
		k->cc = xstrdup(found.own);
		found.version = found.own_version;
	} else {
		k->cc = xasprintf("%sgcc", cross);
		found.version = gcc_version(k->cc);
	}
	*cc = found;
}

char *kernel_cache_dir(const struct kernel *k)
{
	_cleanup_free_ char *base = xasprintf("%s/kernels/", lab_cache_dir() ?: "");

	if (!str_starts(k->image, base))
		return NULL;
	return xstrndup(k->image, path_base(k->image) - k->image - 1);
}

void kernel_note_boot(const struct kernel *k, const char *end, const char *accel, const char *qemu)
{
	_cleanup_free_ char *dir = kernel_cache_dir(k), *path = NULL, *now = utc_now(), *s = NULL;
	json_t *j;

	if (!dir)
		return;
	path = xasprintf("%s/booted.json", dir);
	j = json_pack("{s:s, s:s, s:s, s:s*, s:s*}", "release", k->release, "end", end, "when", now,
		      "accel", accel, "qemu", qemu);
	s = json_dumps(j, JSON_INDENT(1));
	/* a cache that cannot be written to only forgets it */
	if (s)
		file_write(path, s, strlen(s));
	json_decref(j);
}

json_t *kernel_last_boot(const char *dir)
{
	_cleanup_free_ char *path = xasprintf("%s/booted.json", dir);
	json_t *j = json_load_file(path, 0, NULL);

	if (j && json_string_value(json_object_get(j, "end")) &&
	    json_string_value(json_object_get(j, "when")))
		return j;
	json_decref(j);
	return NULL;
}

static const char *field(json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));

	return s && *s ? s : "-";
}

static char *human_size(json_t *row)
{
	double mb = json_integer_value(json_object_get(row, "size")) / 1e6;

	return mb > 0 ? xasprintf("%.0f MB", mb) : xstrdup("-");
}

/* "2026-11-21", or with what went wrong then. */
static char *human_boot(json_t *row)
{
	json_t *boot = json_object_get(row, "booted");
	const char *end = json_string_value(json_object_get(boot, "end"));
	const char *when = json_string_value(json_object_get(boot, "when"));

	if (!end || !when)
		return xstrdup("-");
	return xasprintf("%.10s%s%s", when, strcmp(end, BOOTED_WELL) ? " " : "",
			 strcmp(end, BOOTED_WELL) ? end : "");
}

static void print_rows(json_t *rows)
{
	static const char *const keys[] = { "name", "release", "version", "state", "rust" };
	int width[ARRAY_SIZE(keys)], booted = strlen("2026-11-21");
	json_t *row;
	size_t i;

	for (size_t c = 0; c < ARRAY_SIZE(keys); c++) {
		width[c] = strlen(keys[c]);
		json_array_foreach(rows, i, row)
			if ((int)strlen(field(row, keys[c])) > width[c])
				width[c] = strlen(field(row, keys[c]));
	}
	json_array_foreach(rows, i, row) {
		_cleanup_free_ char *boot = human_boot(row);

		booted = (int)strlen(boot) > booted ? (int)strlen(boot) : booted;
	}
	for (size_t c = 0; c < ARRAY_SIZE(keys); c++)
		printf("%-*s  ", width[c], keys[c]);
	printf("%-*s  %8s  %s\n", booted, "booted", "size", "path");
	json_array_foreach(rows, i, row) {
		_cleanup_free_ char *boot = human_boot(row), *size = human_size(row);
		const char *reason = json_string_value(json_object_get(row, "reason"));

		for (size_t c = 0; c < ARRAY_SIZE(keys); c++)
			printf("%-*s  ", width[c], field(row, keys[c]));
		printf("%-*s  %8s  %s\n", booted, boot, size, reason ?: field(row, "path"));
	}
}

static enum lab_exit read_rows(json_t *rows)
{
	enum lab_exit ret = LAB_OK;

	for (size_t i = 0; i < ARRAY_SIZE(sources) && !ret; i++)
		if (sources[i]->list)
			ret = sources[i]->list(rows);
	return ret;
}

char *kernel_of_release(const char *release, const char *arch)
{
	_cleanup_free_ char *end = xasprintf("/%s", arch);
	json_t *rows = json_array(), *row;
	char *name = NULL;
	size_t i;

	if (!read_rows(rows))
		json_array_foreach(rows, i, row)
			if (!name && !strcmp(field(row, "release"), release) &&
			    str_ends(field(row, "name"), end))
				name = xstrdup(field(row, "name"));
	json_decref(rows);
	return name;
}

enum lab_exit kernel_list(bool json)
{
	json_t *rows = json_array();
	enum lab_exit ret = read_rows(rows);

	if (!ret && json) {
		_cleanup_free_ char *s = json_dumps(rows, JSON_INDENT(1));

		puts(s);
	} else if (!ret) {
		_cleanup_free_ char *name = kernel_default_name();

		print_rows(rows);
		if (name)
			printf("default: %s; also dir:PATH for a built tree\n", name);
		puts("rust: yes: its toolchain is here; can: kernel fetch --rust makes it; no: it has no Rust");
	}
	json_decref(rows);
	return ret;
}
