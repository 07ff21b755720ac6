// SPDX-License-Identifier: GPL-2.0
#include "results.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "compare.h"
#include "elf.h"
#include "proc.h"
#include "report.h"
#include "vm.h"

static enum lab_exit write_text(const char *path, const char *text, size_t n)
{
	int err;

	if (!strcmp(path, "-")) {
		fwrite(text, 1, n, stdout);
		return LAB_OK;
	}
	err = file_write(path, text, n);
	if (err)
		return lab_fail(LAB_CANNOT, "make room, or name another file",
				"cannot write %s: %s", path, strerror(-err));
	return LAB_OK;
}

enum lab_exit results_write_json(const char *path, json_t *value)
{
	_cleanup_free_ char *text = json_dumps(value, JSON_INDENT(1) | JSON_REAL_PRECISION(10));
	struct buf b = {};
	enum lab_exit ret;

	json_decref(value);
	buf_puts(&b, text ?: "null");
	buf_puts(&b, "\n");
	ret = write_text(path, b.s, b.n);
	buf_free(&b);
	return ret;
}

enum lab_exit results_write_junit(const char *path, const struct ktap *root)
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return lab_fail(LAB_CANNOT, NULL, "out of memory");
	ktap_junit(f, root);
	fclose(f);
	return write_text(path, text, n);
}

enum lab_exit results_write_asked(const char *junit, const char *json, const struct ktap *root)
{
	enum lab_exit ret = junit ? results_write_junit(junit, root) : LAB_OK;

	return !ret && json ? results_write_json(json, ktap_json(root)) : ret;
}

enum lab_exit results_begin(struct results *r, const char *out)
{
	_cleanup_free_ char *now = utc_now(), *stamp = str_replace(now, ":", "-"), *parent = NULL;
	int err;

	r->dir = out ? xstrdup(out) : xasprintf("cdevlab-results/%s", stamp);
	while (strlen(r->dir) > 1 && str_ends(r->dir, "/"))
		r->dir[strlen(r->dir) - 1] = '\0';
	if (out && file_exists(out) && rmdir(out))
		return lab_fail(
			LAB_USAGE, "name a directory that is not there yet, or an empty one",
			"-o %s: %s", out,
			errno == ENOTEMPTY ? "it has other results in it" : strerror(errno));
	parent = xstrdup(r->dir);
	if (strrchr(parent, '/'))
		*strrchr(parent, '/') = '\0';
	else
		strcpy(parent, ".");
	err = *parent ? make_dirs(parent, 0755) : 0;
	if (err)
		return lab_fail(LAB_CANNOT, "name another directory with -o", "cannot make %s: %s",
				parent, strerror(-err));
	r->tmp = temp_dir(*parent ? parent : "/");
	if (!r->tmp)
		return LAB_CANNOT;
	chmod(r->tmp, 0755);
	r->logs = xasprintf("%s/logs", r->tmp);
	r->logs_shown = xasprintf("%s/logs", r->dir);
	return LAB_OK;
}

FILE *results_open(const struct results *r, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", r->tmp, name);

	return fopen(path, "we");
}

enum lab_exit results_close(const struct results *r, const char *name, FILE *f)
{
	int err = !f ? errno : ferror(f) ? EIO : 0;

	if (f && fclose(f))
		err = errno;
	if (!err)
		return LAB_OK;
	return lab_fail(LAB_CANNOT, "make room, or name another directory with -o",
			"cannot write %s/%s: %s", r->dir, name, strerror(err));
}

/* Two runs in one second: the second gets a name of its own. */
static void choose_name(struct results *r)
{
	for (int i = 2; file_exists(r->dir) && i < 100; i++) {
		char *next = xasprintf("%s-%d", r->dir, i);

		if (!file_exists(next)) {
			free(r->dir);
			r->dir = next;
			break;
		}
		free(next);
	}
}

enum lab_exit results_commit(struct results *r, const char *name, json_t *record)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", r->tmp, name), *shown = NULL;
	enum lab_exit ret = store_write(path, json_incref(record), report_covers(record));
	struct store s = {};

	if (ret)
		return ret;
	choose_name(r);
	/* it is shown by the name that it gets with its directory */
	shown = xasprintf("%s/%s", r->dir, name);
	store_add(&s, shown, json_incref(record));
	ret = report_write(&s, r->tmp);
	store_free(&s);
	if (ret)
		return ret;
	if (rename(r->tmp, r->dir))
		ret = lab_fail(LAB_CANNOT, NULL, "cannot write %s: %s", r->dir, strerror(errno));
	temp_dir_done(r->tmp);
	r->tmp = NULL;
	return ret;
}

void results_tell(FILE *f, const struct results *r, double seconds)
{
	fprintf(f, "results: %s (%.0f s)\nreport: %s/report.html\n", r->dir, seconds, r->dir);
}

void results_abandon(struct results *r)
{
	temp_dir_done(r->tmp);
	free(r->dir);
	free(r->logs);
	free(r->logs_shown);
	*r = (struct results){};
}

#define LINES_MOST 120

/* Code side by side is kept of what is read as a whole, the way in; the counts of all others. */
static void keep_few_lines(json_t *code)
{
	json_t *f;
	size_t i;

	json_array_foreach(code, i, f) {
		const char *role = json_string_value(json_object_get(f, "role"));

		if (!role || strcmp(role, "init") ||
		    json_array_size(json_object_get(f, "lines")) > LINES_MOST)
			json_object_del(f, "lines");
	}
}

static bool is_rust(const json_t *module)
{
	const json_t *object = json_object_get(module, "object");
	const char *language = json_string_value(json_object_get(object, "language"));

	return language && !strcmp(language, "Rust");
}

/* Matching functions of each module in C and its twins in Rust. */
static json_t *twins_json(const struct built *b, const json_t *modules)
{
	json_t *list = json_array();

	for (size_t i = 0; i < b->n; i++) {
		for (size_t k = 0; k < b->n; k++) {
			json_t *code;

			if (is_rust(json_array_get(modules, i)) ||
			    !is_rust(json_array_get(modules, k)) ||
			    !report_is_twin(b->modules[i].name, b->modules[k].name))
				continue;
			code = compare_asm_json(&b->modules[i], &b->modules[k], NULL);
			keep_few_lines(code);
			json_array_append_new(list,
					      json_pack("{s:s, s:s, s:o}", "a", b->modules[i].name,
							"b", b->modules[k].name, "asm", code));
		}
	}
	return list;
}

json_t *results_tree(void)
{
	char *dir = (char *)lab_data_dir();
	_cleanup_free_ char *commit =
		proc_output((char *[]){ "git", "-C", dir, "rev-parse", "--verify", "HEAD", NULL });
	_cleanup_free_ char *changes = NULL;

	if (!commit)
		return json_null();
	changes = proc_output((char *[]){ "git", "-C", dir, "status", "--porcelain",
					  "--untracked-files=no", NULL });
	return json_pack("{s:s, s:b}", "commit", commit, "changed", changes && *changes);
}

json_t *results_inputs(const struct kernel *k, const struct built *b)
{
	_cleanup_free_ char *qemu = vm_qemu_version(k->arch);
	json_t *modules = json_array(), *twins;
	struct utsname u = {};

	uname(&u);
	for (size_t i = 0; i < b->n; i++) {
		const struct module *m = &b->modules[i];
		struct elf_sizes s = {};

		elf_module_sizes(m->ko, &s);
		json_array_append_new(modules,
				      json_pack("{s:s, s:s, s:i, s:i, s:i, s:i}", "name", m->name,
						"sha256", m->sha256, "text", (int)s.text, "data",
						(int)s.data, "bss", (int)s.bss, "functions",
						(int)s.functions));
		json_object_set_new(json_array_get(modules, i), "object",
				    compare_object_json(k, b, m));
	}
	twins = twins_json(b, modules);
	return json_pack("{s:s, s:s, s:s?, s:s, s:s, s:s, s:s, s:s?, s:s?, s:s, s:s, s:o, s:o}",
			 "driver", b->driver->name, "directory", b->driver->dir, "summary",
			 b->driver->summary, "kernel", k->name, "release", k->release,
			 "kernel_version", k->version ?: "", "config_sha256", k->config_sha256,
			 "compiler", b->compiler, "qemu", qemu, "host", u.release, "cdevlab",
			 CDEVLAB_VERSION, "modules", modules, "twins", twins);
}
