/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private Debian roots with the compilers of a kernel, and what was built with them for it in kernel/.
 *
 * Nothing is installed on this machine, and no maintainer script is run: packages are resolved and checked by
 * apt, and unpacked. Commands run in a root with mounts that only they see, in a user namespace where we are
 * not root.
 *
 * The directory of a struct place holds:
 *
 *	lock		held while something is changed here
 *	lock.json	the packages of the root in use, with sizes and SHA-256
 *	next.json	the same of one that is being fetched
 *	partial/	downloads
 *	HASH/		a root; it is renamed into place when it is complete
 *	    toolchain.json	what it is; users hold a shared lock on it
 *	    kernel		the headers or the tree that modules are built for
 */
#ifndef CDEVLAB_ROOT_H
#define CDEVLAB_ROOT_H

#include "kernel_internal.h"

/* Where a build, and the kernel, are seen in a root. */
#define ROOT_BUILD_DIR	"/build"
#define ROOT_KERNEL_DIR "/kernel"

/* Whether this process may run commands in roots; says why not, and what can be done about it. */
enum lab_exit root_check(void);
/**
 * root_command() - adds the words that run a command in a root
 * @dir:	what is ROOT_BUILD_DIR there, or NULL; the command's words are added after these
 */
void root_command(const char *root, const char *dir, struct strv *argv);
/**
 * root_shown() - a line of a compiler in the root for the person: with the names of their own files
 * @dir:	the directory that was ROOT_BUILD_DIR, as the person knows it
 * Return: a new string.
 */
char *root_shown(const char *line, const char *dir);
/* First line of a program's --version in the root, a new string or NULL. */
char *root_version(const char *root, const char *program);

/* A path in the root, a new string. */
char *root_file(const char *root, const char *name);
/* Whether all that a build needs is still there. Says what is not. */
bool root_is_whole(const char *root);
/* Its toolchain.json, or NULL. */
json_t *root_read(const char *root);
/* Of the packages, of the kernel's own id and of how it is made. */
void root_hash(const struct deb_set *set, const char *recipe, const char *kernel_id,
	       char hex[HASH_HEX]);
/* The root of that hash, a new string. */
char *root_of(const struct place *p, const char hash[HASH_HEX]);
/* The root that lock.json names, if it is whole, a new string. *damaged: it is there, and lacks that. */
char *root_current(const struct place *p, const char *recipe, const char *kernel_id,
		   char hash[HASH_HEX], const char **damaged);
/* Modules for @k are built in that root from now on; nobody clears it meanwhile. */
enum lab_exit root_use(struct kernel *k, const char *root, const char hash[HASH_HEX]);
/* Removes a root, unless it is in use. */
void root_remove(const char *root);

/* Making one, with its lock held */

/* The lock of a place; says that it waits. Return: a file descriptor, or -errno. */
int root_lock(const struct place *p);
/* What a kernel's Makefiles call, Rust's compilers with it. */
void root_add_packages(struct strv *specs);

/* struct root_plan - the packages of a root */
struct root_plan {
	const struct place *p;
	const char *version; /* of the kernel that a list made before must be for; NULL: any */
	long long need;	     /* bytes that are needed beside the downloads */
	/* asks the archive, and writes next.json; where that is out of date a second time */
	enum lab_exit (*resolve)(void *ctx, struct apt_root *apt, struct deb_set *set);
	void *ctx;
};
/* Downloads them, by the list that is there if there is one; *set is the caller's in any case. */
enum lab_exit root_download(const struct root_plan *plan, struct deb_set *set);
/* Unpacks them into a root; nothing is run. */
enum lab_exit root_unpack(const struct place *p, const struct deb_set *set, const char *root);
/* After root_commit(): these packages are the ones in use, and no download is kept. */
enum lab_exit root_settle(const struct place *p, const struct deb_set *set);

/* struct root_job - a long shell command in a root */
struct root_job {
	const char *root;
	const char *script;
	struct strv args; /* $1, $2, ... */
	int timeout_s;
	const char *what; /* for messages: what is being made */
	void (*on_line)(void *ctx, const char *line);
	void *ctx;
};
/* Runs it; where it fails its last lines are shown. */
enum lab_exit root_run(const struct root_job *job);
/* Moves a finished root to its name; @tmp: a directory for what was there. */
enum lab_exit root_commit(const char *root, const char *final, const char *tmp);

/* Paths of packages that nobody reads in a root. */
bool root_drops(const char *path);

#endif
