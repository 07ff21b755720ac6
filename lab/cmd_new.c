// SPDX-License-Identifier: GPL-2.0
/* cdevlab new: a room for a driver of one's own, made from templates/misc. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"
#include "driver.h"
#include "proc.h"

/* The word that stands for the name, in the files and in their names; in capitals in macros. */
#define WORD	    "template"
#define WORD_UPPER  "TEMPLATE"
#define NAME_LENGTH 40

static const char help[] =
	"usage: cdevlab new NAME [--outside DIR]\n"
	"Makes a room for a new driver, drivers/NAME: a small misc device with its UAPI header, client, tests,\n"
	"benchmark and README. It builds and passes as it is; change it to what your device does.\n"
	"\n"
	"NAME is that of the directory, the module and the node: lower-case letters, digits and _, the first one\n"
	"a letter, at most 40 in all. Nothing that is there already is written over.\n"
	"\n"
	"      --outside DIR  make DIR/NAME instead; DIR must be there\n"
	"  -h, --help\n"
	"exit status: 0 made, 2 usage, or a name that is taken, 3 cannot be made\n";

static const char see_help[] = "see `cdevlab new --help`";

static bool name_is_odd(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return name[n] || n > NAME_LENGTH || !islower((unsigned char)name[0]);
}

/* Nodes of every Linux. */
static const char nodes[] =
	" autofs btrfs console core cpu_dma_latency cuse fb fd full fuse hpet hwrng initctl input kmsg kvm log "
	"loop mapper mem mqueue net null nvram nvme port ppp ptmx pts ptp random rfkill rtc sg shm snapshot "
	"snd stderr stdin stdout tty ttyS tun udmabuf uhid uinput urandom usb vcs vfio vhci watchdog zero ";

/*
 * What names of the kernel begin with (driver_init, mutex_init, struct cred_info) that the driver's would clash
 * with: those single words with which the files do not compile on 6.1 or 6.12.
 */
static const char prefixes[] =
	" alarm apm call cmpxchg cmpxchg128 cmpxchg64 complete cpu cr4 cred default demangle "
	"dentry devres do driver edd edid efi files filp finish fork get group hrtimer "
	"hrtimers ida idr initmem inode ist kcsan kern kernfs key kill klist kmsg kobject "
	"kref kset lock lockdep lruvec mangle mas module modversion msr mt mutex no "
	"nonseekable noop oops paging pidfd poking pti put pv qc quota random rcu rcuwait "
	"rhashtable rhltable rwlock rwsem sched screen sema seqcount seqlock shm shrinker "
	"signals simple smp sparse spin srcu stream subprocess syscall sysfs thread tile time "
	"timekeeping timerqueue tsc uprobes vfs workqueue x86 xa xchg ";

static bool has_word(const char *list, const char *word)
{
	_cleanup_free_ char *spaced = xasprintf(" %s ", word);

	return strstr(list, spaced);
}

/* Whether a list of modules (modules.order, modules.builtin) has one of that name. */
static bool lists_module(const char *path, const char *name)
{
	struct buf text = {};
	struct strv lines = {};
	bool found = false;

	if (!file_read(path, &text))
		strv_split(&lines, text.s, "\n");
	for (size_t i = 0; i < lines.n && !found; i++) {
		/* kernel/drivers/char/nvram.ko, with - for _ in some */
		char *base = (char *)path_base(lines.v[i]);

		base[strcspn(base, ".")] = '\0';
		for (char *c = base; *c; c++)
			*c = *c == '-' ? '_' : *c;
		found = !strcmp(base, name);
	}
	strv_free(&lines);
	buf_free(&text);
	return found;
}

/* A list of modules that has the name, of this machine's kernels and of those that were fetched; or NULL. */
static char *find_module_list(const char *name)
{
	_cleanup_free_ char *fetched =
		xasprintf("%s/kernels/*/*/lib/modules/*/modules.builtin", lab_cache_dir());
	const char *const patterns[] = { fetched, "/lib/modules/*/modules.builtin",
					 "/lib/modules/*/modules.order" };
	char *found = NULL;
	glob_t g = {};

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		glob(patterns[i], i ? GLOB_APPEND : 0, NULL, &g);
	for (size_t i = 0; i < g.gl_pathc && !found; i++)
		if (lists_module(g.gl_pathv[i], name))
			found = xstrdup(g.gl_pathv[i]);
	globfree(&g);
	return found;
}

/* The room that is called so, or has a module that is: both could not be loaded. */
static enum lab_exit find_room_with(const char *name, char **found)
{
	struct strv names = {};
	enum lab_exit ret = driver_names(&names);

	for (size_t i = 0; i < names.n && !*found; i++) {
		_cleanup_free_ char *source =
			xasprintf("%s/drivers/%s/%s.c", lab_data_dir(), names.v[i], name);

		if (!strcmp(names.v[i], name) || file_exists(source))
			*found = xstrdup(names.v[i]);
	}
	strv_free(&names);
	return ret;
}

static enum lab_exit check_name(const char *name)
{
	_cleanup_free_ char *room = NULL, *list = NULL, *header = NULL, *guest_header = NULL;
	enum lab_exit ret;

	if (name_is_odd(name))
		return lab_fail(
			LAB_USAGE,
			"it takes lower-case letters, digits and _, the first one a letter, at most 40",
			"a driver cannot be called \"%s\"", name);
	ret = find_room_with(name, &room);
	if (ret)
		return ret;
	if (room)
		return lab_fail(LAB_USAGE, "choose another name",
				"there is a driver %s here already: drivers/%s", name, room);
	if (has_word(nodes, name))
		return lab_fail(LAB_USAGE, "choose another name",
				"/dev/%s is a node of the kernel's own", name);
	if (!lab_cache_dir())
		return LAB_CANNOT;
	list = find_module_list(name);
	if (list)
		return lab_fail(LAB_USAGE, "choose another name",
				"the kernel has a module %s: %s lists it", name, list);
	if (has_word(prefixes, name))
		return lab_fail(LAB_USAGE, "choose another name",
				"names of the kernel's own begin with %s_", name);
	/* NAME.h would be included in place of the system's, or of ours */
	header = xasprintf("/usr/include/%s.h", name);
	guest_header = xasprintf("%s/guest/%s.h", lab_data_dir(), name);
	if (file_exists(header) || file_exists(guest_header))
		return lab_fail(LAB_USAGE, "choose another name",
				"%s.h would hide the header of that name: %s", name,
				file_exists(header) ? header : guest_header);
	return LAB_OK;
}

/* With every word replaced by the name; a new string. */
static char *renamed(const char *text, const char *name)
{
	_cleanup_free_ char *upper = xstrdup(name), *half = NULL;

	for (char *c = upper; *c; c++)
		*c = toupper((unsigned char)*c);
	half = str_replace(text, WORD_UPPER, upper);
	return str_replace(half, WORD, name);
}

static enum lab_exit cannot_make(const char *what, int err)
{
	return lab_fail(LAB_CANNOT,
			err == -ENOSPC || err == -EDQUOT ?
				"make room there, or name another directory: --outside DIR" :
				"name another directory: --outside DIR",
			"cannot make %s: %s", what, strerror(-err));
}

/* Sources only: no object and no program that somebody has built there. */
static bool is_built(const char *dir, const char *file)
{
	_cleanup_free_ char *source = xasprintf("%s/%s.c", dir, file);

	return driver_skip_name(file) || file_exists(source);
}

static enum lab_exit make_files(const char *from, const char *to, const char *room)
{
	struct dirent *e;
	int err = 0;
	DIR *d;

	d = opendir(from);
	if (!d)
		return lab_fail(LAB_CANNOT, "install cdevlab again, or take a whole checkout",
				"cannot read %s: %s", from, strerror(errno));
	while (!err && !lab_interrupted() && (e = readdir(d))) {
		_cleanup_free_ char *source = xasprintf("%s/%s", from, e->d_name);
		_cleanup_free_ char *file = renamed(e->d_name, path_base(room)), *text = NULL;
		_cleanup_free_ char *target = xasprintf("%s/%s", to, file);
		struct buf b = {};

		if (is_built(from, e->d_name))
			continue;
		err = file_read(source, &b);
		if (!err) {
			text = renamed(b.s, path_base(room));
			err = file_write(target, text, strlen(text));
		}
		buf_free(&b);
	}
	closedir(d);
	if (lab_interrupted())
		return LAB_INTERRUPTED;
	return err ? cannot_make(room, err) : LAB_OK;
}

/* Never over something: rename(2) alone would take the place of an empty directory. */
static int rename_to_new(const char *from, const char *to)
{
	struct stat st;

	if (!renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* a file system that cannot */
	if (!lstat(to, &st))
		return -EEXIST;
	return rename(from, to) ? -errno : 0;
}

static enum lab_exit taken(const char *room)
{
	return lab_fail(LAB_USAGE, "choose another name, or another directory",
			"%s is there already", room);
}

/* Made whole in a directory of ours beside its place, then renamed: all of it or nothing. */
static enum lab_exit make_room(const char *parent, const char *room)
{
	_cleanup_free_ char *from = xasprintf("%s/templates/misc", lab_data_dir()), *to = NULL;
	char *tmp = temp_dir(parent);
	enum lab_exit ret;
	int err = 0;

	if (!tmp)
		return LAB_CANNOT;
	to = xasprintf("%s/%s", tmp, path_base(room));
	if (mkdir(to, 0777))
		ret = cannot_make(room, -errno);
	else
		ret = make_files(from, to, room);
	if (!ret)
		err = rename_to_new(to, room);
	temp_dir_done(tmp);
	if (err == -EEXIST)
		return taken(room);
	return err ? cannot_make(room, err) : ret;
}

/* A checkout's drivers/ is ours to write to; what was installed is not. */
static bool is_checkout(void)
{
	_cleanup_free_ char *sources = xasprintf("%s/lab", lab_data_dir());

	return file_exists(sources);
}

static void print_made(const char *room, const char *spec)
{
	_cleanup_free_ char *word = shell_quote(spec), *dir = shell_quote(room);
	struct strv names = {};
	struct dirent *e;
	DIR *d = opendir(room);

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			strv_add(&names, e->d_name);
	if (d)
		closedir(d);
	strv_sort(&names);
	printf("made %s:\n ", room);
	for (size_t i = 0; i < names.n; i++)
		printf(" %s", names.v[i]);
	printf("\n"
	       "next:\n"
	       "  %s run %s\n"
	       "  $EDITOR %s/README.md %s/%s.c\n",
	       is_checkout() ? "./cdevlab" : "cdevlab", word, dir, dir, path_base(room));
	strv_free(&names);
}

/* The directory that the room is to be in: a real path that can be written to. */
static enum lab_exit find_parent(const char *outside, char **parent)
{
	const char *hint = outside ? NULL : "make it in a directory of yours: --outside DIR";
	_cleanup_free_ char *dir =
		outside ? xstrdup(outside) : xasprintf("%s/drivers", lab_data_dir());
	/* a file is no directory, an empty name is not the root */
	_cleanup_free_ char *dot = *dir ? xasprintf("%s/.", dir) : xstrdup("");
	char real[PATH_MAX];

	if (!outside && !is_checkout())
		return lab_fail(LAB_CANNOT, hint, "%s belongs to the installed cdevlab", dir);
	if (!realpath(dot, real))
		return lab_fail(errno == ENOENT || errno == ENOTDIR ? LAB_USAGE : LAB_CANNOT,
				hint ?: "make the directory first, or name another",
				"cannot make a room in %s: %s", dir, strerror(errno));
	if (access(real, W_OK | X_OK))
		return lab_fail(LAB_CANNOT, hint ?: "name a directory that you can write to",
				"cannot make a room in %s: %s", real, strerror(errno));
	*parent = xstrdup(real);
	return LAB_OK;
}

int cmd_new(int argc, char **argv)
{
	static const struct option options[] = { { "outside", required_argument, NULL, 'o' },
						 { "verbose", no_argument, NULL, 'v' },
						 { "yes", no_argument, NULL, 'y' },
						 { "help", no_argument, NULL, 'h' },
						 {} };
	_cleanup_free_ char *parent = NULL, *room = NULL;
	const char *outside = NULL, *name;
	enum lab_exit ret;
	struct stat st;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":vh", options, NULL)) != -1) {
		switch (c) {
		case 'o':
			outside = optarg;
			break;
		case 'v':
			lab_options.verbose++;
			break;
		case 'y':
			lab_options.yes = true;
			break;
		case 'h':
			fputs(help, stdout);
			return LAB_OK;
		case ':':
			return lab_fail(LAB_USAGE, see_help, "%s needs a value", argv[optind - 1]);
		default:
			return lab_fail(LAB_USAGE, see_help, "new has no option %s",
					argv[optind - 1]);
		}
	}
	if (argc - optind != 1)
		return lab_fail(LAB_USAGE, see_help, "new takes one NAME");
	name = argv[optind];
	ret = check_name(name);
	if (!ret)
		ret = find_parent(outside, &parent);
	if (ret)
		return ret;
	room = xasprintf("%s/%s", parent, name);
	if (!lstat(room, &st))
		return taken(room);
	ret = make_room(parent, room);
	if (!ret)
		print_made(room, outside ? room : name);
	return ret;
}
