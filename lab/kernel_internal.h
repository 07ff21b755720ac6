/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between the files of the kernel stage, and for its unit test. Nobody else includes it.
 *
 * A Debian kernel goes through three files: kernel_apt.c asks the archive (suite to list of
 * packages), kernel_debian.c keeps the cache (locks, downloads, what is complete), kernel_unpack.c
 * makes a kernel directory out of packages.
 */
#ifndef CDEVLAB_KERNEL_INTERNAL_H
#define CDEVLAB_KERNEL_INTERNAL_H

#include <stdint.h>

#include "kernel.h"
#include "proc.h"

/* arch.c: reads all files of a directory; done by itself for the project's own. */
enum lab_exit arch_load(const char *dir);
/* The i-th architecture, or NULL after the last. */
const struct arch *arch_at(size_t i);

/* kernel.c */

/*
 * Canonical name of the default kernel by that os-release file; NULL where it is no Debian we know.
 */
char *kernel_default_from(const char *os_release);
/*
 * Value of KEY=value in a shell-like file (os-release) or of CONFIG_X="value"; a new string or
 * NULL.
 */
char *kernel_setting(const char *path, const char *key);

/* What kernel_note_boot() remembered of the kernel in that directory, or NULL. */
json_t *kernel_last_boot(const char *dir);
#define BOOTED_WELL "clean"

/* Whether one of them is of that release's series, for the architecture of that name. */
bool kernel_has_series(const struct kernel *have, size_t n, const char *name, const char *release);

/* struct kernel_cc - a compiler: 120200 is gcc 12.2.0; clang has no such number */
struct kernel_cc {
	char *own; /* the kernel's own: gcc-12 */
	int own_version;
	int version; /* of the one found */
};
/**
 * kernel_pick_cc() - sets k->cc and completes k->make_args from the kernel's configuration
 * The kernel's own compiler if it is in PATH, else the host's default. Free cc->own.
 */
void kernel_pick_cc(struct kernel *k, struct kernel_cc *cc);

/* kernel_apt.c */

/* struct apt_source - one deb line of the machine */
struct apt_source {
	char *uri, *suite, *signed_by; /* signed_by: a file name, or NULL */
};
struct apt_sources {
	struct apt_source *v;
	size_t n;
};
/*
 * Adds the binary sources with component main of a sources.list (or, deb822, of a .sources file).
 */
void apt_sources_parse(struct apt_sources *s, const char *text, bool deb822);
/* Reads sources.list and sources.list.d below dir (/etc/apt). */
void apt_sources_read(struct apt_sources *s, const char *dir);
/* The most likely Debian archive (or Debian security archive) among them, or NULL. */
const struct apt_source *apt_sources_pick(const struct apt_sources *s, bool security);
void apt_sources_free(struct apt_sources *s);

/* struct suite - a suite that has kernels */
struct suite {
	const char *name;
	const char *base; /* of a backports suite, else NULL */
	bool security;
	bool updates;
	bool testing; /* what it has comes from the next suite in the table, later */
};
const struct suite *suite_at(size_t i); /* NULL after the last */
const struct suite *suite_find(const char *name);

/* struct deb - one package of a kernel */
struct deb {
	char *package, *version, *file, *uri;
	long long size, installed; /* bytes */
	char sha256[HASH_HEX];
};

/* struct deb_set - what lock.json holds */
struct deb_set {
	char *suite, *arch, *when, *release, *version;
	char *needs_libc; /* the kbuild tools': "2.38" */
	bool with_libs;	  /* the suite's C library is in the set: start the tools with it */
	struct deb *v;
	size_t n;
};
void deb_set_free(struct deb_set *set);
int deb_set_write(const struct deb_set *set, const char *path);
/* 0, -ENOENT, or -EINVAL when it is damaged. */
int deb_set_read(struct deb_set *set, const char *path);
/* 0: whole; -ENOENT; -ENODATA: shorter than it should be; -EBADMSG: other content; or -errno. */
int deb_check(const struct deb *deb, const char *path);

/*
 * struct apt_root - a private world for apt: directories, configuration, environment; one temporary
 * directory
 */
struct apt_root {
	char *dir, *conf;
	char *env[3];
	char *absent;	  /* apt_resolve() failed since the archive has no such kernel: why */
	bool no_arch;	  /* nor anything else for that architecture in that suite */
	bool out_of_step; /* lists that are not those that the signed index names were left out */
};
enum lab_exit apt_root_make(struct apt_root *root, const char *base, const struct suite *suite,
			    const char *arch);
void apt_root_free(struct apt_root *root);
/* "apt-get: E: first line that says what is wrong"; a new string. */
char *apt_error(const struct proc *p);
/**
 * apt_resolve() - finds the newest kernel of a suite and all packages that are needed for it
 * @with_libs:	take the suite's C library in any case
 */
enum lab_exit apt_resolve(struct apt_root *root, const struct suite *suite, const char *arch,
			  bool with_libs, struct deb_set *set);
/* True when this process' C library is older than "2.38". */
bool libc_older_than(const char *version);

/**
 * apt_resolve_install() - finds packages and all that they depend on, as for a machine that has none
 * @specs:	NAME or NAME=VERSION
 * @why:	where the archive does not have one of them: apt's words, a new string, and no message
 */
enum lab_exit apt_resolve_install(struct apt_root *root, const struct suite *suite,
				  const struct strv *specs, struct deb_set *set, char **why);

/* kernel_debian.c */

/* struct place - where something fetched is kept, while it is being got */
struct place {
	const struct suite *suite;
	const struct arch *arch;
	char *name; /* for people: debian:SUITE/ARCH */
	char *dir, *lock, *lock_json, *next_json, *absent_json, *partial;
};
/* Takes over name and dir. */
void place_set(struct place *p, const struct suite *suite, const struct arch *arch, char *name,
	       char *dir);
void place_free(struct place *p);
/* With its lock held: removes what a run that was killed has left. */
void place_sweep(const struct place *p);
/* Whether there is room for the files of the set that are missing (NULL: none), and need bytes more. */
enum lab_exit place_check_space(const struct place *p, const struct deb_set *set, long long need);
enum lab_exit place_download(const struct place *p, struct apt_root *root,
			     const struct deb_set *set, bool planned, bool *stale);
enum lab_exit cannot_write(const char *path, int err);
int json_write(json_t *j, const char *path);

/* kernel_debug.c */

/* Lines "CONFIG_X=y" of what was asked for that the finished configuration does not have; =n: it has the option. */
void kernel_debug_lacks(const char *asked, const char *config, struct strv *lacks);

/* kernel_unpack.c */

/* Unpacks a downloaded package into a root directory, but for paths that drop() names; nothing is run. */
enum lab_exit unpack_root(const char *file, const char *dir, bool (*drop)(const char *path));

/* What a kernel directory needs at most, in bytes, beyond the downloads. */
long long unpack_estimate(const struct deb_set *set);
/*
 * Unpacks one downloaded package of the set into the kernel directory dir, leaving out what is not
 * needed.
 */
enum lab_exit unpack_deb(const struct deb *deb, const char *file, const struct deb_set *set,
			 const struct arch *arch, const char *dir);
/*
 * After all packages: image, configuration, headers that work from where they are, tools that
 * start.
 */
enum lab_exit unpack_finish(const struct deb_set *set, const struct arch *arch, const char *dir);
/* True when the kbuild tools of a kernel directory start on this machine. */
bool unpack_tools_start(const char *dir);
/**
 * unpack_kdir_for() - the header directory for a compiler
 * An older compiler than the kernel's own lacks some of what the configuration says it has; it gets
 * a directory of its own beside the original. Returns its path or NULL with a message.
 */
char *unpack_kdir_for(const char *kdir, const struct kernel_cc *cc);
/*
 * Whether a path of a package is kept, and where to: a new string relative to the kernel directory,
 * or NULL.
 */
char *unpack_place(const char *package, const char *path, const char *release,
		   const struct arch *arch);

#endif
