// SPDX-License-Identifier: GPL-2.0
/*
 * The lab's defences: the program is run as a user runs it, something goes wrong, and it must say
 * what and what to do next, end with the right status, and leave nothing behind: no process, no
 * temporary file.
 *
 * $CDEVLAB_SELF is the program, else build/cdevlab. Kernels are those of the user's cache; builds
 * go to a private one, where anything left over can only be ours.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "lab.h"
#include "util.h"

#define MARK	  "CDEVLAB_TEST_ID"
#define LIMIT_S	  240 /* of one run, on a machine that has other work as well */
#define QUICK_S	  5   /* from a signal to the end */
#define STOPPED_S 40
#define LEFT_S	  5	/* until the last of its processes is gone */
#define HOST_KB	  65536 /* what the host program may take */
#define NOBODY	  65534

#define OUT_CLOSED (-1)

/* struct how - what is unusual about a run */
struct how {
	const char *cache;	/* NULL: ours */
	const char *const *env; /* KEY=VALUE, up to NULL */
	const char *dir;
	int out; /* its standard output; 0: collected */
	uid_t uid;
	pid_t room; /* a process whose namespaces it runs in */
};

/* struct run - a run of the program, and what came of it */
struct run {
	struct run *next;
	char *mark, *command, *tmp, *cache;
	pid_t pid;
	int out_fd, err_fd;
	char *out, *err;
	int status; /* exit status or -signal */
	long peak_kb;
	double started, seconds;
};

static char *self, *rooms, *base, *our_cache, *user_cache;
static struct run *runs;	/* of the current test */
static struct run *endless_run; /* two minutes in the background of the others */
static pid_t holders[8];
static size_t n_holders;

/* --- processes --- */

/* Calls found() for each living process whose environment has the mark. */
static int each_marked(const char *mark, int (*found)(pid_t pid, void *ctx), void *ctx)
{
	_cleanup_free_ char *want = xasprintf(MARK "=%s", mark);
	DIR *d = opendir("/proc");
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d))) {
		_cleanup_free_ char *path = xasprintf("/proc/%s/environ", e->d_name);
		struct buf env = {};

		if (!isdigit((unsigned char)e->d_name[0]) || file_read(path, &env)) {
			buf_free(&env);
			continue;
		}
		/* a zombie's is empty */
		if (env.n && memmem(env.s, env.n, want, strlen(want) + 1))
			n += found ? found(atoi(e->d_name), ctx) : 1;
		buf_free(&env);
	}
	if (d)
		closedir(d);
	return n;
}

static int kill_it(pid_t pid, void *ctx)
{
	(void)ctx;
	kill(pid, SIGKILL);
	return 1;
}

static char *name_of(pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/comm", pid);
	struct buf b = {};

	if (file_read(path, &b) || !b.n) {
		buf_free(&b);
		return xstrdup("");
	}
	b.s[strcspn(b.s, "\n")] = '\0';
	return b.s;
}

static int kill_qemu(pid_t pid, void *ctx)
{
	_cleanup_free_ char *name = name_of(pid);

	(void)ctx;
	return str_starts(name, "qemu-system") && !kill(pid, SIGKILL);
}

static int add_name(pid_t pid, void *ctx)
{
	_cleanup_free_ char *name = name_of(pid);

	buf_printf(ctx, "%s (%d) ", name, pid);
	return 1;
}

/* --- namespaces: a small disk, no network --- */

static int write_text(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -errno;
}

static bool unshare_as_root(int flags)
{
	_cleanup_free_ char *uid = xasprintf("0 %d 1", geteuid());
	_cleanup_free_ char *gid = xasprintf("0 %d 1", getegid());

	if (!geteuid())
		return !unshare(flags);
	return !unshare(CLONE_NEWUSER | flags) && !write_text("/proc/self/setgroups", "deny") &&
	       !write_text("/proc/self/uid_map", uid) && !write_text("/proc/self/gid_map", gid);
}

/* A process that keeps new namespaces open; with @disk, a tmpfs of that size is there. -1: no. */
static pid_t holder_start(int flags, const char *disk, const char *size)
{
	int ready[2];
	char c = 0;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!unshare_as_root(flags))
			_exit(1);
		if (disk && (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
			     mount("tmpfs", disk, "tmpfs", 0, size)))
			_exit(1);
		if (write(ready[1], "y", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		c = 0;
	close(ready[0]);
	if (pid > 0 && !c) {
		waitpid(pid, NULL, 0);
		return -1;
	}
	if (pid > 0 && n_holders < ARRAY_SIZE(holders))
		holders[n_holders++] = pid;
	return pid;
}

/* A namespace with a tmpfs of that size at @disk; what cannot have one is skipped. */
static pid_t small_disk(const char *disk, const char *size)
{
	pid_t holder = holder_start(CLONE_NEWNS, disk, size);

	if (holder < 0) {
		print_message("a small disk needs root or user namespaces, and no chroot\n");
		skip();
	}
	return holder;
}

static bool holder_join(pid_t pid)
{
	static const char *const kinds[] = { "user", "mnt", "net" };

	for (size_t i = geteuid() ? 0 : 1; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_free_ char *path = xasprintf("/proc/%d/ns/%s", pid, kinds[i]);
		_cleanup_free_ char *own = xasprintf("/proc/self/ns/%s", kinds[i]);
		_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
		struct stat a, b;

		/* to join the mounts that one has already would still leave a chroot */
		if (fd >= 0 && !fstat(fd, &a) && !stat(own, &b) && a.st_ino == b.st_ino)
			continue;
		if (fd < 0 || setns(fd, 0))
			return false;
	}
	return true;
}

static bool holder_resize(pid_t holder, const char *disk, const char *size)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid)
		_exit(!holder_join(holder) || mount("tmpfs", disk, "tmpfs", MS_REMOUNT, size));
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

/* --- a run --- */

static void run_exec(const struct run *r, const struct how *h, char *const *argv)
{
	int null = open("/dev/null", O_RDONLY);

	signal(SIGPIPE, SIG_DFL);
	setpgid(0, 0);
	unsetenv("CI");
	unsetenv("CMOCKA_MESSAGE_OUTPUT");
	setenv(MARK, r->mark, 1);
	setenv("TMPDIR", r->tmp, 1);
	setenv("CDEVLAB_CACHE", r->cache, 1);
	setenv("LC_ALL", "C", 1);
	for (const char *const *kv = h->env; kv && *kv; kv++)
		putenv((char *)*kv);
	if ((h->room && !holder_join(h->room)) || chdir(h->dir ?: base) ||
	    (h->uid && (setgid(h->uid) || setuid(h->uid))))
		_exit(99);
	dup2(null, 0);
	dup2(r->err_fd, 2);
	if (h->out == OUT_CLOSED)
		close(1);
	else
		dup2(h->out ?: r->out_fd, 1);
	execv(argv[0], argv);
	_exit(98);
}

static struct run *run_argv(const struct how *how, char *const *argv)
{
	static const struct how usual;
	static int count;
	const struct how *h = how ?: &usual;
	struct run *r = xcalloc(1, sizeof(*r));

	r->next = runs;
	runs = r;
	r->mark = xasprintf("%d-%d", getpid(), ++count);
	r->tmp = xasprintf("%s/tmp-%d", base, count);
	r->cache = xstrdup(h->cache ?: our_cache);
	r->command = shell_join(argv);
	r->out_fd = memfd_create("stdout", MFD_CLOEXEC);
	r->err_fd = memfd_create("stderr", MFD_CLOEXEC);
	assert_int_equal(mkdir(r->tmp, 0755), 0);
	if (h->uid)
		assert_int_equal(chown(r->tmp, h->uid, h->uid), 0);
	r->started = now_s();
	r->pid = fork();
	if (!r->pid)
		run_exec(r, h, argv);
	assert_true(r->pid > 0);
	return r;
}

/* Words of the command line, apart by blanks: no path of ours has any. */
static __attribute__((format(printf, 2, 3))) struct run *start(const struct how *h, const char *fmt,
							       ...)
{
	struct strv argv = {};
	char *text = NULL;
	struct run *r;
	va_list ap;

	va_start(ap, fmt);
	assert_true(vasprintf(&text, fmt, ap) >= 0);
	va_end(ap);
	strv_add(&argv, self);
	strv_split(&argv, text, " ");
	r = run_argv(h, argv.v);
	strv_free(&argv);
	free(text);
	return r;
}

static char *text_of(int fd)
{
	struct buf b = {};
	char chunk[65536];
	off_t at = 0;
	ssize_t n;

	buf_puts(&b, "");
	while ((n = pread(fd, chunk, sizeof(chunk), at)) > 0) {
		buf_add(&b, chunk, n);
		at += n;
	}
	return b.s;
}

/* Fails the test, with all that the run has said. */
static void bad(const struct run *r, const char *file, int line, const char *what)
{
	_cleanup_free_ char *out = text_of(r->out_fd), *err = text_of(r->err_fd);
	size_t n = strlen(out), skip = n > 4000 ? n - 4000 : 0;

	/* cmocka cuts what is long */
	fprintf(stderr, "%s\nended with %d after %.1f s\n", r->command, r->status, r->seconds);
	fprintf(stderr, "--- its standard output\n%s--- its standard error\n%s---\n%s\n",
		out + skip, err, what);
	_fail(file, line);
}

#define CHECK(r, condition)                                                              \
	do {                                                                             \
		if (!(condition))                                                        \
			bad(r, __FILE__, __LINE__, "it does not hold that " #condition); \
	} while (0)

static void has_at(const struct run *r, const char *text, const char *part, const char *file,
		   int line)
{
	_cleanup_free_ char *what = NULL;

	if (text && strstr(text, part))
		return;
	what = xasprintf("it does not say \"%s\"", part);
	bad(r, file, line, what);
}

#define OUT_HAS(r, part) has_at(r, (r)->out, part, __FILE__, __LINE__)
#define ERR_HAS(r, part) has_at(r, (r)->err, part, __FILE__, __LINE__)

static void note_peak(struct run *r)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/status", r->pid);
	struct buf b = {};
	const char *line;

	if (!file_read(path, &b) && b.n && (line = strstr(b.s, "VmHWM:"))) {
		long kb = atol(line + strlen("VmHWM:"));

		r->peak_kb = kb > r->peak_kb ? kb : r->peak_kb;
	}
	buf_free(&b);
}

static bool has_ended(struct run *r)
{
	int status;

	if (!r->pid)
		return true;
	note_peak(r);
	if (waitpid(r->pid, &status, WNOHANG) != r->pid)
		return false;
	r->pid = 0;
	r->status = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
	r->seconds = now_s() - r->started;
	return true;
}

static void finish(struct run *r)
{
	double limit = now_s() + LIMIT_S;

	while (!has_ended(r)) {
		if (now_s() > limit)
			bad(r, __FILE__, __LINE__, "it does not end");
		usleep(20000);
	}
	r->out = text_of(r->out_fd);
	r->err = text_of(r->err_fd);
	if (r->status == 98 || r->status == 99)
		bad(r, __FILE__, __LINE__, "it could not be started");
}

/* Until its messages hold the text: that stage has begun. */
static void wait_for(struct run *r, const char *text)
{
	double limit = now_s() + LIMIT_S;
	bool found = false;

	while (!found) {
		bool ended = has_ended(r);
		_cleanup_free_ char *err = text_of(r->err_fd);

		found = strstr(err, text);
		if (!found && (ended || now_s() > limit))
			bad(r, __FILE__, __LINE__, text);
		usleep(20000);
	}
}

/* --- what is left --- */

static struct buf *remains;

static int note_remains(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *name = path + ftw->base;

	(void)st;
	(void)type;
	if (!fnmatch("cdevlab-??????", name, 0) || strstr(name, ".tmp-"))
		buf_printf(remains, "%s ", path);
	return 0;
}

/* Files that a run must not leave, and its processes. */
static char *left_by(const struct run *r)
{
	struct buf b = {};
	struct dirent *e;
	DIR *d;

	buf_puts(&b, "");
	each_marked(r->mark, add_name, &b);
	remains = &b;
	nftw(r->cache, note_remains, 16, FTW_PHYS);
	d = opendir(r->tmp);
	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			buf_printf(&b, "%s/%s ", r->tmp, e->d_name);
	if (d)
		closedir(d);
	return b.s;
}

static void leaves_nothing(const struct run *r)
{
	double limit = now_s() + LEFT_S;
	char *left = left_by(r);

	while (*left && now_s() < limit) {
		usleep(50000);
		free(left);
		left = left_by(r);
	}
	if (*left) {
		_cleanup_free_ char *what = xasprintf("it leaves %s", left);

		free(left);
		bad(r, __FILE__, __LINE__, what);
	}
	free(left);
}

/* --- messages --- */

/* Lines of an error, and whether each is followed by the next step. */
static size_t error_lines(const struct run *r, bool *next_step)
{
	struct strv lines = {};
	size_t n = 0;

	*next_step = true;
	strv_split(&lines, r->err, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		if (!str_starts(lines.v[i], "cdevlab: ") ||
		    str_starts(lines.v[i], "cdevlab: note: "))
			continue;
		n++;
		if (i + 1 == lines.n || !str_starts(lines.v[i + 1], "  "))
			*next_step = false;
	}
	strv_free(&lines);
	return n;
}

/* That status, one error line with the words in it, a next step; and nothing is left. */
static void is_error(struct run *r, int status, const char *const *words)
{
	bool next_step;
	size_t n;

	CHECK(r, r->status == status);
	n = error_lines(r, &next_step);
	CHECK(r, n == 1);
	CHECK(r, next_step);
	for (; *words; words++)
		ERR_HAS(r, *words);
	leaves_nothing(r);
}

#define IS_ERROR(r, status, ...) is_error(r, status, (const char *const[]){ __VA_ARGS__, NULL })

/* It ended with that status and without an error of the program's own; and nothing is left. */
static void is_verdict(struct run *r, int status)
{
	bool next_step;

	CHECK(r, r->status == status);
	CHECK(r, error_lines(r, &next_step) == 0);
	leaves_nothing(r);
}

/* --- set-up --- */

static void run_free(struct run *r)
{
	each_marked(r->mark, kill_it, NULL);
	if (r->pid > 0) {
		kill(r->pid, SIGKILL);
		waitpid(r->pid, NULL, 0);
	}
	close(r->out_fd);
	close(r->err_fd);
	free(r->mark);
	free(r->command);
	free(r->tmp);
	free(r->cache);
	free(r->out);
	free(r->err);
	free(r);
}

static int after_each(void **state)
{
	(void)state;
	while (runs) {
		struct run *r = runs;

		runs = r->next;
		run_free(r);
	}
	while (n_holders) {
		kill(holders[--n_holders], SIGKILL);
		waitpid(holders[n_holders], NULL, 0);
	}
	return 0;
}

static char *make_dir(const char *name)
{
	char *path = xasprintf("%s/%s", base, name);

	assert_int_equal(make_dirs(path, 0755), 0);
	return path;
}

/* A cache of its own with the user's kernels. */
static char *make_cache(const char *name)
{
	char *path = make_dir(name);
	_cleanup_free_ char *kernels = xasprintf("%s/kernels", path);
	_cleanup_free_ char *to = xasprintf("%s/kernels", user_cache);

	assert_int_equal(symlink(to, kernels), 0);
	return path;
}

static int before_all(void **state)
{
	struct how h = {};
	char real[PATH_MAX];
	struct run *r;
	const char *s;

	(void)state;
	if (!realpath(getenv("CDEVLAB_SELF") ?: "build/cdevlab", real))
		return -1;
	self = xstrdup(real);
	*strrchr(real, '/') = '\0';
	*strrchr(real, '/') = '\0';
	rooms = xasprintf("%s/tests/faulty", real);
	if ((s = getenv("CDEVLAB_CACHE")) && *s)
		user_cache = xstrdup(s);
	else if ((s = getenv("XDG_CACHE_HOME")) && *s)
		user_cache = xasprintf("%s/cdevlab", s);
	else
		user_cache = xasprintf("%s/.cache/cdevlab", getenv("HOME") ?: "/root");
	base = xasprintf("%s/defences-XXXXXX", getenv("TMPDIR") ?: "/tmp");
	if (!mkdtemp(base) || chmod(base, 0755))
		return -1;
	/* whether KVM works is probed once for a cache: not for each of ours */
	setenv("CDEVLAB_ACCEL", "tcg", 0);
	our_cache = make_cache("cache");
	h.cache = user_cache;
	r = start(&h, "kernel fetch");
	finish(r);
	if (r->status)
		print_error("no kernel to test with: %s", r->err);
	s = r->status ? NULL : "";
	after_each(NULL);
	if (!s)
		return -1;
	endless_run = start(NULL, "test %s/faults --only endless/test_endless", rooms);
	/* its build is everybody's: what it has there for now must not be taken for somebody's remains */
	wait_for(endless_run, "\nboot ");
	runs = NULL;
	return 0;
}

static int after_all(void **state)
{
	(void)state;
	if (endless_run)
		run_free(endless_run);
	if (base)
		remove_tree(base);
	return 0;
}

static void put(const char *dir, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);

	assert_int_equal(file_write(path, text, strlen(text)), 0);
}

static const char device_source[] =
	"// SPDX-License-Identifier: GPL-2.0\n"
	"#include <linux/fs.h>\n"
	"#include <linux/miscdevice.h>\n"
	"#include <linux/module.h>\n"
	"\n"
	"static ssize_t mine_read(struct file *f, char __user *to, size_t n, loff_t *pos)\n"
	"{\n"
	/* shorter than what the suite asks for, longer than half of it */
	"\treturn simple_read_from_buffer(to, n, pos, \"mine mine\\n\", 10);\n"
	"}\n"
	"\n"
	"static const struct file_operations mine_fops = {\n"
	"\t.owner = THIS_MODULE,\n"
	"\t.read = mine_read,\n"
	"\t.llseek = default_llseek,\n"
	"};\n"
	"\n"
	"static struct miscdevice mine = {\n"
	"\t.minor = MISC_DYNAMIC_MINOR,\n"
	"\t.name = \"mine\",\n"
	"\t.fops = &mine_fops,\n"
	"};\n"
	"module_misc_device(mine);\n"
	"\n"
	"MODULE_DESCRIPTION(\"Somebody's own device\");\n"
	"MODULE_AUTHOR(\"Somebody\");\n"
	"MODULE_LICENSE(\"GPL\");\n";

static const char bench_source[] =
	"// SPDX-License-Identifier: GPL-2.0\n"
	"#include <fcntl.h>\n"
	"#include <unistd.h>\n"
	"#include \"exact.h\"\n"
	"static int fd;\n"
	/* long enough to be interrupted, however fast the host is */
	"static int open_it(const char *node) { (void)node; fd = open(\"/dev/mine\", O_RDONLY);"
	" for (volatile long i = 0; i < 2000000000L; i++); return fd < 0; }\n"
	"static void read_it(void) { char c; (void)!pread(fd, &c, 1, 0); }\n"
	"static const struct exact_op ops[] = {{.name = \"READ\", .open = open_it, .run = read_it}};\n"
	"int main(int argc, char **argv) { return exact_main(argc, argv, ops, 1); }\n";

/* A room such as a user has: a module, its Kbuild, nothing else. */
static char *make_room(const char *name)
{
	char *dir = make_dir(name);

	put(dir, "mine.c", device_source);
	put(dir, "Kbuild", "obj-m := mine.o\n");
	return dir;
}

/* --- modules that fail --- */

static void a_module_that_does_not_compile_fails_with_the_compilers_own_message(void **state)
{
	_cleanup_free_ char *file = xasprintf("%s/compile/compile.c:7:", rooms);
	static const char *const how[][2] = { { "test", "" },
					      { "test", " --only compile" },
					      { "fuzz", " --only compile" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
		struct run *r = start(NULL, "%s %s/compile%s", how[i][0], rooms, how[i][1]);

		finish(r);
		is_verdict(r, LAB_FAILED);
		ERR_HAS(r, file);
		ERR_HAS(r, "there_is_no_such_variable");
		CHECK(r, !strstr(r->err, "/cdevlab-")); /* where it was really built */
		OUT_HAS(r, "not ok 1 build");
	}
}

static void a_module_that_does_not_load_fails_with_its_errno(void **state)
{
	struct run *r = start(NULL, "test %s/faults --only fails_load/none", rooms);

	(void)state;
	finish(r);
	is_verdict(r, LAB_FAILED);
	OUT_HAS(r, "not ok 1 load");
	OUT_HAS(r, "ENODEV");
}

/* The rest of the line after a label in its standard output; a new string. */
static char *after_label(const struct run *r, const char *label)
{
	const char *at = strstr(r->out, label);

	if (!at)
		bad(r, __FILE__, __LINE__, label);
	at += strlen(label);
	return xstrndup(at, strcspn(at, "\n"));
}

static void is_crash(struct run *r, const char *module)
{
	_cleanup_free_ char *frame = xasprintf(" [%s] (faults.c:", module), *path = NULL;
	struct buf log = {};

	is_verdict(r, LAB_CRASHED);
	OUT_HAS(r, "# CRASHED BUG: ");
	OUT_HAS(r, frame);
	path = after_label(r, "kernel log: ");
	CHECK(r, !file_read(path, &log) && strstr(log.s, "BUG: ") && strstr(log.s, "Call Trace:"));
	buf_free(&log);
}

/* As a person does who copies the line out of the report. */
static struct run *reproduce(const struct run *r)
{
	_cleanup_free_ char *line = after_label(r, "reproduce: ./cdevlab ");
	_cleanup_free_ char *command = xasprintf("exec %s %s", self, line);
	char *argv[] = { "/bin/sh", "-c", command, NULL };

	return run_argv(NULL, argv);
}

static void an_oops_at_load_or_unload_is_a_crash_with_source_lines(void **state)
{
	struct run *load = start(NULL, "test %s/faults --only oops_load/none", rooms);
	struct run *unload = start(NULL, "test %s/faults --only oops_unload/none", rooms);

	(void)state;
	finish(load);
	finish(unload);
	is_crash(load, "oops_load");
	OUT_HAS(load, "not ok 1 load");
	is_crash(unload, "oops_unload");
	OUT_HAS(unload, "ok 1 load");
	OUT_HAS(unload, "not ok 2 unload");
}

static void an_oops_in_a_test_is_a_crash_that_its_line_reproduces(void **state)
{
	struct run *r = start(NULL, "test %s/faults --only oops_ioctl/test_oops_ioctl", rooms);
	struct run *again;

	(void)state;
	finish(r);
	is_crash(r, "oops_ioctl");
	OUT_HAS(r, "ok 1 a case before passes");
	again = reproduce(r);
	finish(again);
	is_crash(again, "oops_ioctl");
	CHECK(again, !strstr(again->out, "a case before"));
}

/* As a line that reproduces a failure has it. */
static void a_case_with_an_underline_in_its_name_is_found_without_blanks(void **state)
{
	struct run *r = start(NULL, "test hello --only hello/conform/whose_handler_has_SA_RESTART");

	(void)state;
	finish(r);
	OUT_HAS(r, "1..1\n        ok 1 signal.restart: ");
}

/* --- looking at it --- */

static void the_memory_of_a_crash_is_kept_whole_and_gdb_reads_it(void **state)
{
	_cleanup_free_ char *dir = make_dir("dump"), *label = NULL, *command = NULL;
	struct run *r = start(NULL, "test %s/faults --only oops_ioctl/test_oops_ioctl --dump -o %s",
			      rooms, dir);
	struct run *gdb;
	struct stat st;

	(void)state;
	finish(r);
	is_crash(r, "oops_ioctl");
	label = after_label(r, "memory: ");
	label[strcspn(label, ";")] = '\0';
	CHECK(r, str_starts(label, dir));
	/* the guest has 256 MB */
	CHECK(r, !stat(label, &st) && st.st_size > 256 << 20);
	command = xasprintf("exec gdb -nx -batch -x %s.gdb -ex 'print (long)nowhere' "
			    "-ex 'info symbol machine_restart' -ex 'info line faults_oops'",
			    label);
	gdb = run_argv(NULL, (char *[]){ (char *)"/bin/sh", (char *)"-c", command, NULL });
	finish(gdb);
	OUT_HAS(gdb, "$1 = 8");
	OUT_HAS(gdb, "machine_restart in section .text");
	OUT_HAS(gdb, "\"faults.c\"");
}

static void gdb_stops_in_the_drivers_function_with_its_source(void **state)
{
	_cleanup_free_ char *dir = make_dir("gdb");
	struct run *r;

	(void)state;
	put(dir, "script",
	    "break faults_ioctl\ncontinue\nlist\nprint cmd == 0\nbacktrace 2\nkill\n");
	r = start(NULL, "gdb %s/faults --only warns --batch -x %s/script", rooms, dir);
	finish(r);
	OUT_HAS(r, "warns is loaded, its init function was not called yet");
	OUT_HAS(r, "faults_ioctl (file=");
	OUT_HAS(r, "if (cmd != FAULTS_DO)");
	OUT_HAS(r, "$1 = 0");
	OUT_HAS(r, "sys_ioctl");
	is_verdict(r, LAB_OK);
}

static int lines_reached(const struct run *r)
{
	_cleanup_free_ char *figure = after_label(r, "greeter.c: ");

	return atoi(figure);
}

static void a_test_less_is_lines_less(void **state)
{
	struct run *with = start(NULL, "test greeter --only greeter/conform --coverage");
	struct run *without = start(NULL, "test greeter --only greeter/none --coverage");

	(void)state;
	finish(with);
	finish(without);
	/* loading it alone reaches something, too */
	CHECK(without, lines_reached(without) > 0);
	CHECK(with, lines_reached(with) > lines_reached(without));
	OUT_HAS(without, "not reached: ");
}

static void a_warning_fails_the_test_that_caused_it(void **state)
{
	struct run *r = start(NULL, "test %s/faults --only warns/test_warns", rooms);

	(void)state;
	finish(r);
	is_verdict(r, LAB_FAILED);
	OUT_HAS(r, "ok 1 a case before passes");
	OUT_HAS(r, "not ok 2 the ioctl causes a warning");
	OUT_HAS(r, "WARNING");
	OUT_HAS(r, "[warns] (faults.c:");
	OUT_HAS(r, "ok 3 one after passes");
	OUT_HAS(r, "ok 3 unload");
}

/* --- guests that fail --- */

static void a_guest_that_hangs_is_ended_at_its_deadline(void **state)
{
	struct run *r = start(NULL, "test %s/faults --only hangs/none --timeout 25", rooms);

	(void)state;
	finish(r);
	is_verdict(r, LAB_TIMEOUT);
	OUT_HAS(r, "# TIMEOUT ");
	OUT_HAS(r, "reproduce: ");
	OUT_HAS(r, "kernel log: ");
	CHECK(r, r->seconds < 60);
}

/* No processor is left that could say anything: it is the silence that is noticed. */
static void a_guest_that_is_silent_is_ended_long_before_its_deadline(void **state)
{
	struct run *r = start(NULL, "test %s/faults --only dies/none", rooms);

	(void)state;
	finish(r);
	is_verdict(r, LAB_TIMEOUT);
	OUT_HAS(r, "not ok 1 load # TIMEOUT the guest hung: not a word for ");
	OUT_HAS(r, "reproduce: ");
	OUT_HAS(r, "kernel log: ");
}

/* No emulated machine starts in a second. */
static void a_guest_that_does_not_come_up_is_booted_once_more(void **state)
{
	static const char *const env[] = { "CDEVLAB_ACCEL=tcg", NULL };
	struct how h = { .env = env };
	struct run *r = start(&h, "test %s/faults --only sleeps/none --timeout 1", rooms);
	const char *again;

	(void)state;
	finish(r);
	is_verdict(r, LAB_TIMEOUT);
	again = strstr(r->err, "booting it once more");
	CHECK(r, again);
	CHECK(r, !strstr(again + 1, "booting it once more"));
	OUT_HAS(r, "not ok 1 boot # TIMEOUT hang: no end after 1 s");
}

static void a_guest_that_ends_before_its_last_word_is_a_crash(void **state)
{
	struct run *r = start(NULL, "test %s/faults --only powers_off/none", rooms);

	(void)state;
	finish(r);
	is_verdict(r, LAB_CRASHED);
	OUT_HAS(r, "# CRASHED ");
	OUT_HAS(r, "END");
}

static void a_case_that_hangs_times_out_and_the_next_ones_run(void **state)
{
	struct run *r = start(NULL, "test %s/faults --only sleeps/test_sleeps", rooms);

	(void)state;
	finish(r);
	is_verdict(r, LAB_FAILED);
	OUT_HAS(r, "not ok 1 a case sleeps for ever # TIMEOUT");
	/* what a case leaves behind is gone, and not only killed, before the next begins */
	OUT_HAS(r, "ok 2 one leaves a child that holds a lock");
	OUT_HAS(r, "ok 3 one after finds the lock free");
	OUT_HAS(r, "ok 3 unload");
}

static void a_program_that_hangs_times_out_and_the_next_ones_run(void **state)
{
	struct run *r = endless_run;

	(void)state;
	finish(r);
	is_verdict(r, LAB_FAILED);
	OUT_HAS(r, "not ok 2 test_endless # TIMEOUT");
	OUT_HAS(r, "ok 3 unload");
}

static void a_program_that_floods_its_output_does_not_take_the_hosts_memory(void **state)
{
	struct run *r = start(NULL, "test %s/faults --only floods/test_floods", rooms);

	(void)state;
	finish(r);
	CHECK(r, r->status == LAB_OK || r->status == LAB_FAILED);
	OUT_HAS(r, "ok 3 unload");
	CHECK(r, r->peak_kb > 0 && r->peak_kb < HOST_KB);
	CHECK(r, strlen(r->out) < 1 << 20);
	leaves_nothing(r);
}

static size_t initramfs_of(pid_t pid)
{
	_cleanup_free_ char *dir = xasprintf("/proc/%d/fd", pid);
	struct dirent *e;
	DIR *d = opendir(dir);
	size_t n = 0;

	while (d && (e = readdir(d))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, e->d_name);
		char to[64] = "";

		if (readlink(path, to, sizeof(to) - 1) > 0)
			n += str_starts(to, "/memfd:initramfs");
	}
	if (d)
		closedir(d);
	return n;
}

/* Two guests, one after the other. */
static void a_guest_that_has_ended_holds_no_memory_of_the_host(void **state)
{
	struct run *r = start(NULL, "fuzz minors greeter --for 3s");
	size_t n, most = 0;

	(void)state;
	for (; !has_ended(r); usleep(20000)) {
		n = initramfs_of(r->pid);
		most = n > most ? n : most;
	}
	finish(r);
	is_verdict(r, LAB_OK);
	assert_int_equal(most, 1);
}

/* --- the host fails --- */

static void without_qemu_it_names_the_package(void **state)
{
	_cleanup_free_ char *bin = make_dir("bin"), *path = xasprintf("PATH=%s", bin);
	const char *env[] = { path, NULL };
	struct how h = { .env = env };
	struct strv dirs = {};
	struct run *r;

	(void)state;
	strv_split(&dirs, getenv("PATH") ?: "/usr/bin:/bin", ":");
	for (size_t i = 0; i < dirs.n; i++) {
		DIR *d = opendir(dirs.v[i]);
		struct dirent *e;

		while (d && (e = readdir(d))) {
			_cleanup_free_ char *to = xasprintf("%s/%s", dirs.v[i], e->d_name);
			_cleanup_free_ char *from = xasprintf("%s/%s", bin, e->d_name);

			if (e->d_name[0] != '.' && !str_starts(e->d_name, "qemu") &&
			    symlink(to, from) && errno != EEXIST)
				fail();
		}
		if (d)
			closedir(d);
	}
	strv_free(&dirs);
	r = start(&h, "test %s/faults --only sleeps/none", rooms);
	finish(r);
	IS_ERROR(r, LAB_CANNOT, "qemu-system-", "is not installed", "apt install qemu-system-");
}

static void when_qemu_is_killed_it_says_so(void **state)
{
	struct run *r = start(NULL, "test %s/faults --only sleeps/test_sleeps", rooms);

	(void)state;
	wait_for(r, "\ntest ");
	CHECK(r, each_marked(r->mark, kill_qemu, NULL) == 1);
	finish(r);
	IS_ERROR(r, LAB_CANNOT, "QEMU", "killed by signal 9", "run it again");
}

static int stop_qemu(pid_t pid, void *ctx)
{
	_cleanup_free_ char *name = name_of(pid);

	return str_starts(name, "qemu-system") && !kill(pid, *(int *)ctx);
}

/* For longer than the kernel in the guest has patience: it blames whatever runs there. */
static void a_guest_that_was_not_let_run_gets_another(void **state)
{
	struct run *r = start(NULL, "test %s/faults --only sleeps/test_sleeps/lock", rooms);
	int stop = SIGSTOP, go = SIGCONT;

	(void)state;
	wait_for(r, "\ntest ");
	CHECK(r, each_marked(r->mark, stop_qemu, &stop) == 1);
	usleep(STOPPED_S * 1000000);
	CHECK(r, each_marked(r->mark, stop_qemu, &go) == 1);
	finish(r);
	ERR_HAS(r, "was not let run by this machine (");
	ERR_HAS(r, "booting it once more");
	is_verdict(r, LAB_OK);
	leaves_nothing(r);
}

static void on_a_full_disk_it_names_the_directory_and_works_when_there_is_room(void **state)
{
	_cleanup_free_ char *disk = make_dir("disk"), *in = NULL, *link = NULL;
	_cleanup_free_ char *kernels = xasprintf("%s/kernels", user_cache);
	struct how h = { .cache = disk };
	struct run *r;

	(void)state;
	h.room = small_disk(disk, "size=200k");
	in = xasprintf("/proc/%d/root%s", h.room, disk);
	r = start(&h, "kernel fetch");
	finish(r);
	free(r->cache);
	r->cache = xstrdup(in);
	IS_ERROR(r, LAB_CANNOT, "not enough space", disk, "MB needed", "CDEVLAB_CACHE");
	link = xasprintf("%s/kernels", in);
	assert_int_equal(remove_tree(link), 0);
	assert_int_equal(symlink(kernels, link), 0);
	/* what every guest has does not fit; it does, and the driver's room does not; all does */
	for (int step = 0; step < 3; step++) {
		static const char *const sizes[] = { "size=200k", "size=8m", "size=80m" };

		assert_true(holder_resize(h.room, disk, sizes[step]));
		r = start(&h, "test %s/faults --only floods/none", rooms);
		finish(r);
		free(r->cache);
		r->cache = xstrdup(in);
		if (step < 2)
			IS_ERROR(r, LAB_CANNOT, disk, "No space left on device", "make room there");
		else
			is_verdict(r, LAB_OK);
	}
}

static void without_a_network_it_says_so_soon_and_works_with_what_is_fetched(void **state)
{
	static const char *const env[] = { "http_proxy=http://127.0.0.1:9",
					   "https_proxy=http://127.0.0.1:9", NULL };
	_cleanup_free_ char *empty = make_dir("empty");
	struct how h = { .env = env, .cache = empty };
	pid_t holder = holder_start(CLONE_NEWNET, NULL, NULL);
	struct run *r;

	(void)state;
	h.room = holder > 0 ? holder : 0;
	r = start(&h, "test %s/faults --only sleeps/none", rooms);
	finish(r);
	IS_ERROR(r, LAB_CANNOT, "cannot read the package lists", "check the network");
	CHECK(r, r->seconds < 30);
	h.cache = NULL;
	r = start(&h, "test %s/faults --only sleeps/none", rooms);
	finish(r);
	is_verdict(r, LAB_OK);
}

/* --- the toolchain of Rust modules --- */

/* A cache with the user's kernels, and with a Rust toolchain if one is here; skips without such a kernel. */
static char *make_rust_cache(const char *name, bool toolchain)
{
	_cleanup_free_ char *kernel =
		xasprintf("%s/kernels/debian-trixie-backports-amd64/lock.json", user_cache);
	_cleanup_free_ char *of_user = xasprintf("%s/rust", user_cache);
	_cleanup_free_ char *pattern = xasprintf("%s/*/*/toolchain.json", of_user);
	_cleanup_free_ char *link = NULL;
	char *cache = make_cache(name);
	glob_t g = {};

	link = xasprintf("%s/rust", cache);
	if (!file_exists(kernel) || (toolchain && glob(pattern, 0, NULL, &g))) {
		print_message("needs what this fetches: cdevlab kernel fetch --rust\n");
		skip();
	}
	if (toolchain) {
		globfree(&g);
		assert_int_equal(symlink(of_user, link), 0);
	}
	return cache;
}

static void a_kernel_without_rust_is_refused_and_those_with_it_are_named(void **state)
{
	struct run *r = start(
		NULL, "test --rust -k debian:bookworm/amd64 %s/faults --only sleeps/none", rooms);

	(void)state;
	finish(r);
	IS_ERROR(r, LAB_CANNOT, "debian:bookworm/amd64", "is built without Rust",
		 "debian:trixie-backports");
}

static void
where_no_root_can_be_entered_the_remedy_is_named_before_anything_is_fetched(void **state)
{
	_cleanup_free_ char *cache = make_rust_cache("no-namespaces", false);
	_cleanup_free_ char *bin = make_dir("no-unshare"), *fake = xasprintf("%s/unshare", bin);
	_cleanup_free_ char *path = xasprintf("PATH=%s:%s", bin, getenv("PATH") ?: "/usr/bin:/bin");
	_cleanup_free_ char *made = xasprintf("%s/rust", cache);
	const char *env[] = { path, NULL };
	struct how h = { .env = env, .cache = cache };
	struct run *r;

	(void)state;
	put(bin, "unshare",
	    "#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n");
	assert_int_equal(chmod(fake, 0755), 0);
	r = start(&h, "test --rust %s/faults --only sleeps/none", rooms);
	finish(r);
	IS_ERROR(r, LAB_CANNOT, "a root of their own", "unshare failed: Operation not permitted",
		 geteuid() ? "as root" : "a container needs the right to mount");
	CHECK(r, !file_exists(made));
}

static void without_a_network_the_toolchain_cannot_be_made(void **state)
{
	static const char *const env[] = { "http_proxy=http://127.0.0.1:9",
					   "https_proxy=http://127.0.0.1:9", NULL };
	_cleanup_free_ char *cache = make_rust_cache("no-toolchain", false);
	pid_t holder = holder_start(CLONE_NEWNET, NULL, NULL);
	struct how h = { .env = env, .cache = cache, .room = holder > 0 ? holder : 0 };
	struct run *r = start(&h, "test --rust %s/faults --only sleeps/none", rooms);

	(void)state;
	finish(r);
	IS_ERROR(r, LAB_CANNOT, "cannot read the package lists", "check the network");
}

/*
 * A toolchain that removes a part of itself in the middle of a build, as somebody who clears the cache would. It
 * has the place of the real one, and a shell for a make.
 */
static void put_fake_toolchain(const char *cache)
{
	static const char line[] =
		"set -e; user=$1; cache=$2; cd \"$user\"/rust/*/; rel=${PWD##*/}; "
		"set -- */toolchain.json; to=$cache/rust/$rel; mkdir -p \"$to/${1%/*}\"; "
		"cp lock.json \"$to\"; cp \"$1\" \"$to/$1\"; cd \"$to/${1%/*}\"; "
		"mkdir -p usr/bin dev proc build kernel/scripts kernel/rust kernel/include/generated; "
		"cp \"$user\"/kernels/debian-trixie-backports-amd64/7*/busybox usr/bin/busybox; "
		"ln -s busybox usr/bin/env; ln -s busybox usr/bin/sh; ln -s usr/bin bin; "
		"touch usr/bin/rustc usr/bin/bindgen kernel/Makefile kernel/.config kernel/Module.symvers "
		"kernel/scripts/target.json kernel/rust/libkernel.rmeta kernel/rust/libcore.rmeta "
		"kernel/rust/libmacros.so kernel/include/generated/rustc_cfg; "
		"printf '#!/bin/sh\\nbusybox rm /usr/bin/rustc\\necho rustc: not found >&2\\nexit 2\\n' "
		">usr/bin/make; chmod 755 usr/bin/make";
	char *argv[] = { "sh", "-c", (char *)line, "sh", user_cache, (char *)cache, NULL };
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		execvp(argv[0], argv);
		_exit(127);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid && !status);
}

static void a_toolchain_that_is_removed_in_the_middle_is_told_and_made_anew(void **state)
{
	static const char *const env[] = { "http_proxy=http://127.0.0.1:9",
					   "https_proxy=http://127.0.0.1:9", NULL };
	_cleanup_free_ char *real = make_rust_cache("a-toolchain", true);
	_cleanup_free_ char *cache = make_rust_cache("cleared", false);
	pid_t holder;
	struct how h = { .env = env, .cache = cache };
	struct run *r;

	(void)state;
	put_fake_toolchain(cache);
	r = start(&h, "test --rust %s/faults --only sleeps/none", rooms);
	finish(r);
	IS_ERROR(r, LAB_CANNOT, "was removed or damaged meanwhile", "usr/bin/rustc", "made anew");
	/* the next run makes it anew, and so needs the network */
	holder = holder_start(CLONE_NEWNET, NULL, NULL);
	h.room = holder > 0 ? holder : 0;
	r = start(&h, "test --rust %s/faults --only sleeps/none", rooms);
	finish(r);
	IS_ERROR(r, LAB_CANNOT, "cannot fetch", "check the network");
	ERR_HAS(r, "is damaged (it has no usr/bin/rustc) and is made anew");
}

static const char rust_source[] = "// SPDX-License-Identifier: GPL-2.0\n"
				  "//! A module that does not build.\n"
				  "use kernel::prelude::*;\n"
				  "module! {\n"
				  "    type: Mine,\n"
				  "    name: \"mine_rust\",\n"
				  "    authors: [\"me\"],\n"
				  "    description: \"none\",\n"
				  "    license: \"GPL\",\n"
				  "}\n"
				  "extern \"C\" {\n"
				  "    fn not_there() -> i32;\n"
				  "}\n"
				  "struct Mine;\n"
				  "impl kernel::Module for Mine {\n"
				  "    fn init(_module: &'static ThisModule) -> Result<Self> {\n"
				  "        // SAFETY: it is never loaded.\n"
				  "        let _n: @ = unsafe { not_there() };\n"
				  "        Ok(Self)\n"
				  "    }\n"
				  "}\n";

static void
a_rust_module_that_does_not_build_fails_with_its_own_file_or_the_missing_symbol(void **state)
{
	_cleanup_free_ char *cache = make_rust_cache("does-not-build", true);
	_cleanup_free_ char *room = make_room("mine-in-rust");
	_cleanup_free_ char *wrong = str_replace(rust_source, "@", "&str");
	_cleanup_free_ char *right = str_replace(rust_source, "@", "i32");
	_cleanup_free_ char *file = xasprintf("--> %s/mine_rust.rs:18:", room);
	struct how h = { .cache = cache };
	struct run *r;

	(void)state;
	put(room, "Kbuild", "obj-m := mine.o\nobj-$(RUST) += mine_rust.o\n");
	put(room, "mine_rust.rs", wrong);
	r = start(&h, "test --rust %s", room);
	finish(r);
	is_verdict(r, LAB_FAILED);
	ERR_HAS(r, file);
	ERR_HAS(r, "mismatched types");
	put(room, "mine_rust.rs", right);
	r = start(&h, "test --rust %s", room);
	finish(r);
	is_verdict(r, LAB_FAILED);
	ERR_HAS(r, "not_there");
	ERR_HAS(r, "undefined");
	OUT_HAS(r, "--rust");
}

static void rewrite(const char *dir, const char *name, const char *from, const char *to)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name), *text = NULL;
	struct buf b = {};

	assert_int_equal(file_read(path, &b), 0);
	assert_non_null(strstr(b.s, from));
	text = str_replace(b.s, from, to);
	assert_int_equal(file_write(path, text, strlen(text)), 0);
	buf_free(&b);
}

/* A driver's header is the twin's as well. What differs nevertheless is found when it is built or when it is run. */
static void a_twin_with_another_abi_is_caught(void **state)
{
	_cleanup_free_ char *cache = make_rust_cache("another-abi", true);
	_cleanup_free_ char *dir = make_dir("another"), *room = xasprintf("%s/rvcpu", dir);
	_cleanup_free_ char *ours = xasprintf("%s/drivers/rvcpu", lab_data_dir());
	struct how h = { .cache = cache };
	struct run *r;

	(void)state;
	assert_int_equal(copy_tree(ours, room, NULL), 0);
	/* what the twin answers to: all the other tests use the header's number */
	rewrite(room, "rvcpu_rust.rs", "if cmd != RVCPU_READ {", "if cmd != RVCPU_READ + 1 {");
	r = start(&h, "test --rust %s --only rvcpu_rust/conform/ioctl", room);
	finish(r);
	is_verdict(r, LAB_FAILED);
	OUT_HAS(r, "ioctl.known");
	/* what it carries: another size of the structure is another number of the call */
	rewrite(room, "rvcpu_rust.rs", "== 24", "== 32");
	r = start(&h, "test --rust %s", room);
	finish(r);
	is_verdict(r, LAB_FAILED);
	ERR_HAS(r, "rvcpu_rust.rs:46");
}

/* --- several kernels --- */

static const char release_test[] = "#include <string.h>\n"
				   "#include <sys/utsname.h>\n"
				   "int main(void)\n"
				   "{\n"
				   "\tstruct utsname u;\n"
				   "\tuname(&u);\n"
				   "\treturn !strncmp(u.release, \"6.12.\", 5);\n"
				   "}\n";

static void what_fails_on_one_kernel_is_one_cell_of_the_table(void **state)
{
	_cleanup_free_ char *room = make_room("mixed"), *command = NULL;
	struct run *r;

	(void)state;
	put(room, "test_mine.c", release_test);
	r = start(NULL,
		  "test -k debian:bookworm/amd64 -k debian:trixie/amd64 %s %s/faults --only mine",
		  room, rooms);
	finish(r);
	is_verdict(r, LAB_FAILED);
	OUT_HAS(r, "\n# kernel  1      2\n"
		   "#         6.1    6.12\n"
		   "# module  amd64  amd64\n"
		   "# mine    PASS   FAIL 1\n");
	command = xasprintf(
		"reproduce: ./cdevlab test %s -k debian:trixie/amd64 --only mine/test_mine\n",
		room);
	OUT_HAS(r, "#   fail: mixed/mine/test_mine on 2: exit status 1\n");
	OUT_HAS(r, command);
	/* how far it is, for each guest */
	ERR_HAS(r, "test   1 of ");
	ERR_HAS(r, "test   2 of ");
}

static void a_kernel_of_all_that_cannot_be_had_is_a_skipped_column(void **state)
{
	static const char *const env[] = { "http_proxy=http://127.0.0.1:9",
					   "https_proxy=http://127.0.0.1:9", NULL };
	_cleanup_free_ char *cache = make_dir("one-kernel"), *to = NULL, *kernels = NULL,
			    *at = NULL;
	pid_t holder = holder_start(CLONE_NEWNET, NULL, NULL);
	struct how h = { .env = env, .cache = cache, .room = holder > 0 ? holder : 0 };
	struct run *r = start(&h, "test %s/faults --only sleeps/none -k all", rooms);

	(void)state;
	finish(r);
	IS_ERROR(r, LAB_CANNOT, "none of all kernels can be had", "cannot read the package lists");
	/* with one that is here */
	kernels = xasprintf("%s/kernels", cache);
	at = xasprintf("%s/debian-bookworm-amd64", kernels);
	to = xasprintf("%s/kernels/debian-bookworm-amd64", user_cache);
	remove_tree(at);
	assert_int_equal(symlink(to, at), 0);
	r = start(&h, "test %s/faults --only sleeps/none -k all", rooms);
	finish(r);
	is_verdict(r, LAB_OK);
	OUT_HAS(r, "\n# sleeps PASS  skip");
	OUT_HAS(r, "  skipped: cannot read the package lists of trixie: ");
}

/* --- interruptions --- */

/* Waits until the download of a private cache has brought something. False: it ended before. */
static bool wait_for_download(struct run *r)
{
	_cleanup_free_ char *pattern = xasprintf("%s/kernels/*/partial/*.deb", r->cache);
	double limit = now_s() + LIMIT_S;
	long long first = -1;

	while (!has_ended(r)) {
		long long size = 0;
		glob_t g = {};

		if (!glob(pattern, 0, NULL, &g)) {
			for (size_t i = 0; i < g.gl_pathc; i++) {
				struct stat st;

				size += stat(g.gl_pathv[i], &st) ? 0 : st.st_size;
			}
			globfree(&g);
		}
		/* more than what was there at first */
		first = first < 0 ? size : first;
		if (size > first)
			return true;
		if (now_s() > limit)
			bad(r, __FILE__, __LINE__, "nothing comes");
		usleep(5000);
	}
	return false;
}

static void spoil_downloads(const char *cache)
{
	_cleanup_free_ char *pattern = xasprintf("%s/kernels/*/partial/*.deb", cache);
	glob_t g = {};

	assert_int_equal(glob(pattern, 0, NULL, &g), 0);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		_cleanup_close_ int fd = open(g.gl_pathv[i], O_WRONLY | O_CLOEXEC);

		assert_true(fd >= 0);
		assert_int_equal(pwrite(fd, "spoilt", 6, 100), 6);
	}
	globfree(&g);
}

static void is_interrupted(struct run *r, double since)
{
	CHECK(r, r->status == LAB_INTERRUPTED);
	CHECK(r, now_s() - since < QUICK_S);
	ERR_HAS(r, "cdevlab: interrupted; nothing was left running\n");
	CHECK(r, !*r->out);
	leaves_nothing(r);
}

static void a_fetch_survives_interrupts_a_kill_and_spoilt_files_and_a_second_fetch(void **state)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGKILL };
	_cleanup_free_ char *fresh = make_dir("fresh"), *partial = NULL;
	struct how h = { .cache = fresh };
	struct run *both[2];
	glob_t g = {};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		struct run *r = start(&h, "kernel fetch");
		double since;

		if (!wait_for_download(r)) {
			finish(r);
			if (r->status == LAB_CANNOT && strstr(r->err, "check the network")) {
				print_message("no network\n");
				skip();
			}
			CHECK(r, !"it downloads");
		}
		since = now_s();
		kill(r->pid, signals[i]);
		finish(r);
		if (signals[i] != SIGKILL)
			is_interrupted(r, since);
		leaves_nothing(r);
	}
	spoil_downloads(fresh);
	for (size_t i = 0; i < ARRAY_SIZE(both); i++)
		both[i] = start(&h, "kernel fetch");
	for (size_t i = 0; i < ARRAY_SIZE(both); i++)
		finish(both[i]);
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		is_verdict(both[i], LAB_OK);
		OUT_HAS(both[i], fresh);
	}
	partial = xasprintf("%s/kernels/*/partial", fresh);
	assert_int_equal(glob(partial, 0, NULL, &g), GLOB_NOMATCH);
	remove_tree(fresh);
}

/* Which of the runs has said it by now; those that are dealt with are NULL. */
static size_t first_to_say(struct run *const *r, size_t n, const char *text)
{
	double limit = now_s() + LIMIT_S;

	for (;; usleep(20000)) {
		for (size_t i = 0; i < n; i++) {
			bool ended = r[i] && has_ended(r[i]);
			_cleanup_free_ char *err = r[i] ? text_of(r[i]->err_fd) : xstrdup("");

			if (strstr(err, text))
				return i;
			if (ended || (r[i] && now_s() > limit))
				bad(r[i], __FILE__, __LINE__, text);
		}
	}
}

/* One run for each signal, side by side, interrupted when @text has been said for @after_ms. */
static void interrupt_each(const char *command, char *const *where, const char *text, int after_ms,
			   const int *signals, size_t n)
{
	struct run *r[3];

	for (size_t i = 0; i < n; i++)
		r[i] = start(NULL, "%s %s", command, where[i]);
	for (size_t done = 0; done < n; done++) {
		size_t i = first_to_say(r, n, text);
		double since;

		usleep(after_ms * 1000);
		CHECK(r[i], !has_ended(r[i]));
		CHECK(r[i], each_marked(r[i]->mark, NULL, NULL) > 1);
		since = now_s();
		kill(r[i]->pid, signals[i]);
		finish(r[i]);
		if (signals[i] != SIGKILL)
			is_interrupted(r[i], since);
		leaves_nothing(r[i]);
		r[i] = NULL;
	}
}

static const int all_signals[] = { SIGINT, SIGTERM, SIGKILL };

static void signals_in_a_build_leave_nothing(void **state)
{
	char *where[ARRAY_SIZE(all_signals)];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all_signals); i++) {
		_cleanup_free_ char *name = xasprintf("build-%zu", i), *none = NULL;

		/* another source, or the second would find the first one's build */
		where[i] = make_room(name);
		none = xasprintf("// %zu\n"
				 "#define NOTHING\n",
				 i);
		put(where[i], "nothing.h", none);
		interrupt_each("test", &where[i], "build ", 500, &all_signals[i], 1);
		free(where[i]);
	}
}

static void signals_while_a_guest_boots_leave_nothing(void **state)
{
	_cleanup_free_ char *room = xasprintf("%s/faults --only sleeps/none", rooms);
	char *where[] = { room, room, room };

	(void)state;
	interrupt_each("test", where, "\nboot ", 300, all_signals, 3);
}

static void signals_in_a_test_leave_nothing(void **state)
{
	_cleanup_free_ char *room = xasprintf("%s/faults --only sleeps/test_sleeps", rooms);
	char *where[] = { room, room, room };

	(void)state;
	interrupt_each("test", where, "\ntest ", 100, all_signals, 3);
}

static void signals_in_a_benchmark_leave_nothing(void **state)
{
	_cleanup_free_ char *room = make_room("bench");
	char *where[] = { room, room, room };

	(void)state;
	put(room, "bench_mine.c", bench_source);
	interrupt_each("bench", where, "\ntest ", 300, all_signals, 3);
}

/* --- the wall clock --- */

/* One that is as fast as itself; what stops a comparison is said, and is not a figure. */
static void a_comparison_by_the_wall_clock_ends_with_figures_or_with_the_reason(void **state)
{
	static const char command[] =
		"compare vgpio_basic vgpio_basic --clock wall --no-test --json";
	struct run *r = start(NULL, "%s --op NOP --margin 50 --seed 5", command);
	json_t *o, *wall, *ops;

	(void)state;
	finish(r);
	CHECK(r, r->status == 0);
	o = json_loads(r->out, 0, NULL);
	CHECK(r, o != NULL);
	wall = json_object_get(o, "wall");
	ops = json_object_get(wall, "operations");
	CHECK(r, json_integer_value(json_object_get(wall, "seed")) == 5);
	CHECK(r, json_array_size(ops) == 1);
	CHECK(r, json_array_size(json_object_get(json_array_get(ops, 0), "blocks")) >= 12);
	json_decref(o);

	r = start(NULL, "bench greeter --clock wall --op read --margin 50 --rate 1000 --json");
	finish(r);
	CHECK(r, r->status == 0);
	o = json_loads(r->out, 0, NULL);
	wall = json_object_get(json_array_get(json_object_get(o, "times"), 0), "wall");
	ops = json_object_get(wall, "operations");
	CHECK(r, json_array_size(ops) == 1);
	CHECK(r, json_array_size(json_object_get(json_array_get(ops, 0), "blocks")) >= 12);
	CHECK(r, json_array_size(json_object_get(json_array_get(ops, 0), "late")) == 2);
	json_decref(o);

	r = start(NULL, "%s --op NIX", command);
	finish(r);
	is_verdict(r, LAB_FAILED);
	OUT_HAS(r, "no operation 'NIX'");
	r = start(NULL, "%s --meter file:/no/such/recording", command);
	finish(r);
	IS_ERROR(r, LAB_USAGE, "there is no recording /no/such/recording");
	r = start(NULL, "%s --meter nix", command);
	finish(r);
	CHECK(r, r->status == LAB_CANNOT);
	ERR_HAS(r, "there is no meter nix here");
	leaves_nothing(r);
	r = start(NULL, "compare vgpio_basic hello --clock wall --no-test");
	finish(r);
	CHECK(r, r->status == LAB_SKIPPED);
	ERR_HAS(r, "hello has no benchmark");
	leaves_nothing(r);
}

static int is_qemu_on_one_cpu(pid_t pid, void *ctx)
{
	_cleanup_free_ char *name = name_of(pid);
	cpu_set_t set;

	(void)ctx;
	return str_starts(name, "qemu-system") && !sched_getaffinity(pid, sizeof(set), &set) &&
	       CPU_COUNT(&set) == 1;
}

/*
 * Side by side, so that the machine's time is another for each. Two of three: before QEMU had one processor, one of
 * many was another. By chance no two are alike.
 */
static void a_repeatable_stress_is_the_same_each_time(void **state)
{
	struct run *r[3];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(r); i++)
		r[i] = start(NULL, "stress minors --repeatable --for 1s --seed 3");
	wait_for(r[0], "\ntest ");
	CHECK(r[0], each_marked(r[0]->mark, is_qemu_on_one_cpu, NULL) == 1);
	for (size_t i = 0; i < ARRAY_SIZE(r); i++)
		finish(r[i]);
	is_verdict(r[0], LAB_OK);
	OUT_HAS(r[0], "hammered: ");
	CHECK(r[1], !strcmp(r[0]->out, r[1]->out) || !strcmp(r[1]->out, r[2]->out) ||
			    !strcmp(r[0]->out, r[2]->out));
}

/* Long before its deadline, and it is told where. */
static void a_repeatable_guest_that_is_stuck_is_ended_by_its_kernel(void **state)
{
	struct run *r = start(
		NULL, "stress %s/faults --only spins --repeatable --for 1s --no-minimise", rooms);

	(void)state;
	finish(r);
	is_verdict(r, LAB_CRASHED);
	OUT_HAS(r, "BUG: soft lockup - CPU#0 stuck for ");
	OUT_HAS(r, "faults_open+");
}

static void a_long_run_goes_on_where_it_was_killed(void **state)
{
	static const char command[] =
		"compare vgpio_basic vgpio_basic --clock wall --op NOP --no-test --json --count 1e12";
	struct run *r = start(NULL, "%s", command);
	json_t *o;

	(void)state;
	wait_for(r, " calls, 1 blocks, about ");
	kill(r->pid, SIGKILL);
	finish(r);
	leaves_nothing(r);
	/* what it took until then is more than this budget: a block, and it ends */
	r = start(NULL, "%s --resume --budget 1s", command);
	finish(r);
	CHECK(r, r->status == 0);
	ERR_HAS(r, "goes on after 1 blocks");
	o = json_loads(r->out, 0, NULL);
	CHECK(r, json_integer_value(json_object_get(json_object_get(o, "wall"), "blocks")) == 2);
	json_decref(o);
	leaves_nothing(r);
}

static double instructions_of(const json_t *record, const char *operation, const char *side)
{
	const json_t *ops = json_object_get(record, "operations");

	for (size_t i = 0; i < json_array_size(ops); i++) {
		const json_t *op = json_array_get(ops, i);

		if (!strcmp(json_string_value(json_object_get(op, "name")), operation))
			return json_number_value(
				json_object_get(json_object_get(op, side), "instructions"));
	}
	return 0;
}

/* With what it depends on, which the kernel brings as well; and where it does not, that is said. */
static void a_module_that_comes_with_the_kernel_is_compared_with(void **state)
{
	_cleanup_free_ char *cache = make_rust_cache("peer", false);
	struct run *r = start(NULL, "compare vgpio_basic gpio-sim --no-test --no-split --json "
				    "-k debian:trixie-backports/amd64");
	json_t *o;

	(void)state;
	finish(r);
	CHECK(r, r->status == 0);
	o = json_loads(r->out, 0, NULL);
	CHECK(r, o != NULL);
	CHECK(r, json_is_true(json_object_get(o, "orders_agree")));
	/* gpiolib lies between the call and the line */
	CHECK(r, instructions_of(o, "SET", "a") > 300);
	CHECK(r, instructions_of(o, "SET", "b") > instructions_of(o, "SET", "a") + 100);
	CHECK(r, instructions_of(o, "GET", "b") > instructions_of(o, "GET", "a") + 100);
	json_decref(o);
	r = start(NULL, "bench gpio-sim -k debian:bookworm/amd64");
	finish(r);
	IS_ERROR(r, LAB_CANNOT, "debian:bookworm/amd64 has no module gpio-sim");
	leaves_nothing(r);
}

/* --- the command line --- */

static void mistakes_are_told_with_what_would_be_right(void **state)
{
	_cleanup_free_ char *bare = make_dir("bare"), *ini = make_room("ini");
	_cleanup_free_ char *line = xasprintf("%s/driver.ini:3: ", ini);
	const struct {
		const char *args, *dir, *says;
	} cases[] = {
		{ "test hello -k no-such-kernel", "", "unknown kernel 'no-such-kernel'" },
		{ "test hello -k debian:no-such-suite", "",
		  "unknown Debian suite 'no-such-suite'" },
		{ "test hello -k debian:bookworm/no-such-arch", "", "unknown architecture" },
		{ "kernel fetch debian:no-such-suite", "", "unknown Debian suite 'no-such-suite'" },
		{ "kernel fetch --no-such-option", "", "--no-such-option" },
		{ "kernel no-such-word", "", "no-such-word" },
		{ "test no-such-driver", "", "no driver or directory \"no-such-driver\"" },
		{ "test ./no-such-directory", "", "./no-such-directory" },
		{ "test --no-such-option", "", "--no-such-option" },
		{ "run --only x", "", "--only" },
		{ "no-such-subcommand", "", "no subcommand \"no-such-subcommand\"" },
		{ "test hello --timeout 0", "", "--timeout" },
		{ "test hello --timeout 5x", "", "--timeout" },
		{ "test hello --timeout", "", "--timeout needs a value" },
		{ "test hello --only no-such-module", "", "--only no-such-module" },
		{ "gdb hello", "", "gdb needs a terminal" },
		{ "stress hello --calls open,no-such-call", "", "\"no-such-call\"" },
		{ "stress hello --threads 5", "", "--threads takes a number from 1 to 4" },
		{ "fuzz hello --for 2s", "", "--for 2s" },
		{ "safety --only 02 --column kasan -k debug:kazan", "", "kazan" },
		{ "check --only no-such-group", "", "no-such-group" },
		{ "compare hello minors --margin 2", "", "are the wall clock's" },
		{ "thesis --margin 2", "", "without --on nothing is measured" },
		{ "bench hello --rate 5", "", "are the wall clock's" },
		{ "bench hello --clock wall --count 0", "", "--count cannot be" },
		{ "bench hello --clock wall --resume", "", "name the --count" },
		{ "compare hello minors --tasks 0", "", "--tasks takes a number from 1 to 64" },
		{ "test ", bare, "has no Kbuild" },
		{ "test ", ini, line },
	};

	(void)state;
	put(ini, "driver.ini", "[node]\npath = /dev/mine\nnod = 0666\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct run *r = start(NULL, "%s%s", cases[i].args, cases[i].dir);

		finish(r);
		IS_ERROR(r, LAB_USAGE, cases[i].says);
	}
}

static void a_directory_that_cannot_be_read_is_named(void **state)
{
	_cleanup_free_ char *room = make_room("closed"), *cache = make_cache("nobody");
	struct how h = { .cache = cache, .uid = geteuid() ? 0 : NOBODY };
	struct run *r;

	(void)state;
	assert_int_equal(chmod(room, 0), 0);
	if (h.uid)
		assert_int_equal(chown(cache, h.uid, h.uid), 0);
	r = start(&h, "--version");
	while (!has_ended(r))
		usleep(10000);
	if (r->status) {
		print_message("the program cannot be run by an ordinary user\n");
		skip();
	}
	r = start(&h, "test %s", room);
	finish(r);
	IS_ERROR(r, LAB_CANNOT, room, "Permission denied", "readable");
	chmod(room, 0755);
}

static void an_output_directory_that_cannot_be_used_is_named(void **state)
{
	_cleanup_free_ char *full = make_dir("full"), *room = make_room("results");
	struct run *r;

	(void)state;
	put(full, "precious", "mine");
	r = start(NULL, "run %s -o %s", room, full);
	finish(r);
	IS_ERROR(r, LAB_USAGE, full, "other results in it", "not there yet");
	r = start(NULL, "run %s -o /proc/no/such", room);
	finish(r);
	IS_ERROR(r, LAB_CANNOT, "/proc/no", "another directory");
	r = start(NULL, "test %s --only mine/none --json /proc/no/such", room);
	finish(r);
	IS_ERROR(r, LAB_CANNOT, "/proc/no/such");
}

static double time_of(const char *xml, const char *before)
{
	const char *at = strstr(xml, before);

	assert_non_null(at);
	return strtod(at + strlen(before), NULL);
}

static void each_case_has_its_time(void **state)
{
	static const char test[] = "#include <unistd.h>\n#include \"harness.h\"\n"
				   "TEST(sleeps)\n{\n\tusleep(300000);\n}\n"
				   "TEST(is_quick)\n{\n}\n";
	_cleanup_free_ char *room = make_room("times"), *xml = xasprintf("%s.xml", room);
	struct buf text = {};
	struct run *r;
	double slow;

	(void)state;
	put(room, "test_mine.c", test);
	r = start(NULL, "test %s --only mine/test_mine --junit %s", room, xml);
	finish(r);
	is_verdict(r, LAB_OK);
	assert_int_equal(file_read(xml, &text), 0);
	slow = time_of(text.s, "name=\"sleeps\" time=\"");
	assert_true(slow >= 0.3);
	assert_true(time_of(text.s, "name=\"is quick\" time=\"") < slow);
	buf_free(&text);
}

static void a_verdict_that_cannot_be_written_is_an_error(void **state)
{
	_cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct how hows[] = { { .out = full }, { .out = OUT_CLOSED } };

	(void)state;
	assert_true(full > 0);
	for (size_t i = 0; i < ARRAY_SIZE(hows); i++) {
		struct run *r = start(&hows[i], "kernel list");
		struct run *t = start(&hows[i], "test %s/faults --only sleeps/none", rooms);

		finish(r);
		IS_ERROR(r, LAB_CANNOT, "standard output");
		finish(t);
		IS_ERROR(t, LAB_CANNOT, "standard output");
	}
}

static void a_dry_run_prints_what_would_boot_and_boots_nothing(void **state)
{
	static const char *const commands[] = { "test", "bench", "run" };
	_cleanup_free_ char *room = make_room("dry");

	(void)state;
	put(room, "bench_mine.c", bench_source);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		struct run *r = start(NULL, "%s %s --dry-run", commands[i], room);

		finish(r);
		is_verdict(r, LAB_OK);
		OUT_HAS(r, "qemu-system-");
		OUT_HAS(r, "-kernel ");
		CHECK(r, !strstr(r->err, "\ntest "));
		CHECK(r, !strstr(r->out, "KTAP"));
	}
}

static void a_dry_run_of_safety_prints_each_guest_once_and_runs_nothing(void **state)
{
	static const char kernel[] = "qemu-system-";
	_cleanup_free_ char *dir = xasprintf("%s/../seeded", rooms);
	struct run *r = start(
		NULL, "safety %s --dry-run --fresh --column conformance --column faults", dir);
	size_t guests = 0;

	(void)state;
	finish(r);
	is_verdict(r, LAB_OK);
	for (const char *at = r->out; (at = strstr(at, kernel)); at += strlen(kernel))
		guests++;
	/* without a bug, and with each of three */
	assert_int_equal(guests, 4);
	CHECK(r, !strstr(r->err, "\ntest "));
	CHECK(r, !strstr(r->err, "\nfaults 1 of"));
}

/* Its module cannot be loaded, so that its guest keeps no program. */
static void what_was_learned_is_not_replaced_by_nothing(void **state)
{
	static const char learned[] = "open 0 0 0 0x100 0x0 0x1000002000 0x9 -7 0 -\n\n";
	_cleanup_free_ char *dir = make_dir("learned");
	_cleanup_free_ char *corpus = xasprintf("%s/faults-fails_load.corpus", dir);
	struct buf text = {};
	struct run *r;

	(void)state;
	put(dir, "faults-fails_load.corpus", learned);
	r = start(NULL, "fuzz %s/faults --only fails_load --for 3s -o %s", rooms, dir);
	finish(r);
	CHECK(r, r->status == LAB_FAILED);
	assert_int_equal(file_read(corpus, &text), 0);
	assert_string_equal(text.s, learned);
	buf_free(&text);
}

static void what_was_fuzzed_until_it_was_interrupted_is_told(void **state)
{
	struct run *r = start(NULL, "fuzz minors --for 600s");
	double since;

	(void)state;
	wait_for(r, " calls, ");
	since = now_s();
	kill(r->pid, SIGINT);
	finish(r);
	OUT_HAS(r, "# interrupted: ");
	OUT_HAS(r, "ok 1 minors # SKIP interrupted");
	*r->out = '\0';
	is_interrupted(r, since);
}

static void stress_of_what_has_no_node_is_all_skipped(void **state)
{
	struct run *r = start(NULL, "stress hello --for 1s");

	(void)state;
	finish(r);
	is_verdict(r, LAB_SKIPPED);
	OUT_HAS(r, "hello has no device node");
}

/* --- figures --- */

static void what_a_wall_command_says_is_believed_only_if_all_of_it_is_right(void **state)
{
	struct run *r = start(NULL, "bench --clock wall %s/wall", rooms);

	(void)state;
	finish(r);
	is_verdict(r, LAB_FAILED);
	OUT_HAS(r, "\n  processors            2        128\n");
	OUT_HAS(r, "\n  modules               2          -\n");
	OUT_HAS(r, "\n  node                  1          -\n");
	OUT_HAS(r, "\n  energy       unmeasured          -\n");
	OUT_HAS(r, "unmeasured: Wall, energy, here: there is no meter\n");
	OUT_HAS(r,
		"unmeasured: wallctl rubbish: a line that is no record, it is no JSON: about 2 us\n");
	OUT_HAS(r, "unmeasured: wallctl fails: exit status 1: wallctl: the clock stopped\n");
	OUT_HAS(r, "unmeasured: wallctl dies: killed by signal 6");
	OUT_HAS(r, "unmeasured: wallctl: it printed no record\n");
	OUT_HAS(r, "unmeasured: nowallctl: exit status 127: ");
	OUT_HAS(r, "published: Nobody\n");
	/* what a command said before it went wrong is in no table */
	CHECK(r, !strstr(r->out, "\n  before") && !strstr(r->out, "\n  failed"));
	ERR_HAS(r, "ok 1 wallctl good on ");
	ERR_HAS(r, "not ok 2 wallctl rubbish on ");
}

/* --- somebody's own directory --- */

static int make_read_only(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)type;
	(void)ftw;
	return chmod(path, st->st_mode & 0555);
}

static int make_writable(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)type;
	(void)ftw;
	return chmod(path, st->st_mode | 0200);
}

static void tree_hash(const char *dir, char hex[HASH_HEX])
{
	struct hash *h = hash_new();

	assert_int_equal(hash_add_tree(h, dir, NULL), 0);
	hash_end(h, hex);
}

static void a_directory_of_somebodys_own_passes_and_is_not_written_to(void **state)
{
	_cleanup_free_ char *room = make_room("own");
	char before[HASH_HEX], after[HASH_HEX];
	struct run *r;

	(void)state;
	tree_hash(room, before);
	nftw(room, make_read_only, 16, FTW_PHYS);
	r = start(NULL, "test %s", room);
	finish(r);
	nftw(room, make_writable, 16, FTW_PHYS);
	is_verdict(r, LAB_OK);
	OUT_HAS(r, "ok 1 load");
	OUT_HAS(r, "ok 14 node.mode");
	OUT_HAS(r, "unload\n");
	tree_hash(room, after);
	assert_string_equal(before, after);
}

/* --- rooms that are made --- */

static char *make_fresh_dir(const char *name)
{
	_cleanup_free_ char *old = xasprintf("%s/%s", base, name);

	remove_tree(old);
	return make_dir(name);
}

/* A small checkout with the program in it, drivers/ an ordinary user's. */
static char *make_checkout(const char *name)
{
	static const char *const parts[] = { "arch", "drivers/hello", "guest", "lab",
					     "templates/misc" };
	char *dir = make_fresh_dir(name);
	_cleanup_free_ char *build = xasprintf("%s/build", dir);
	_cleanup_free_ char *program = xasprintf("%s/cdevlab", build);
	_cleanup_free_ char *drivers = xasprintf("%s/drivers", dir);

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		_cleanup_free_ char *from = xasprintf("%s/../../%s", rooms, parts[i]);
		_cleanup_free_ char *to = xasprintf("%s/%s", dir, parts[i]);

		assert_int_equal(make_dirs(to, 0755), 0);
		assert_int_equal(copy_tree(from, to, NULL), 0);
	}
	assert_int_equal(make_dirs(build, 0755), 0);
	assert_int_equal(file_copy(self, program), 0);
	if (!geteuid())
		assert_int_equal(chown(drivers, NOBODY, NOBODY), 0);
	return dir;
}

/* The program of that checkout. */
static __attribute__((format(printf, 3, 4))) struct run *
start_in(const char *checkout, const struct how *h, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	struct strv argv = {};
	struct run *r;
	va_list ap;

	va_start(ap, fmt);
	assert_true(vasprintf(&text, fmt, ap) >= 0);
	va_end(ap);
	strv_addf(&argv, "%s/build/cdevlab", checkout);
	strv_split(&argv, text, " ");
	r = run_argv(h, argv.v);
	strv_free(&argv);
	return r;
}

/* A directory and a cache of an ordinary user, and how to be one. */
static struct how ordinary_user(char **home, char **cache)
{
	struct how h = { .uid = geteuid() ? 0 : NOBODY };

	*home = make_fresh_dir("home");
	free(make_fresh_dir("home-cache"));
	*cache = make_cache("home-cache");
	if (h.uid) {
		assert_int_equal(chown(*home, h.uid, h.uid), 0);
		assert_int_equal(chown(*cache, h.uid, h.uid), 0);
	}
	h.cache = *cache;
	h.dir = *home;
	return h;
}

static void new_makes_a_room_that_passes_untouched_and_appears_in_run(void **state)
{
	_cleanup_free_ char *checkout = make_checkout("checkout"), *home = NULL, *cache = NULL;
	_cleanup_free_ char *inside = xasprintf("%s/drivers/demo", checkout), *outside = NULL;
	_cleanup_free_ char *results = xasprintf("%s/new-results", base);
	struct how h = ordinary_user(&home, &cache);
	char made[HASH_HEX], hash[HASH_HEX];
	struct run *r = start_in(checkout, &h, "new demo");

	(void)state;
	finish(r);
	is_verdict(r, LAB_OK);
	OUT_HAS(r, inside);
	OUT_HAS(r, " democtl.c ");
	OUT_HAS(r, "  ./cdevlab run demo\n");
	tree_hash(inside, made);
	remove_tree(inside);

	/* the same elsewhere, named from where one is */
	r = start_in(checkout, &h, "new demo --outside .");
	finish(r);
	is_verdict(r, LAB_OK);
	outside = xasprintf("%s/demo", home);
	OUT_HAS(r, outside);
	tree_hash(outside, hash);
	assert_string_equal(made, hash);

	r = start_in(checkout, NULL, "new demo");
	finish(r);
	is_verdict(r, LAB_OK);
	r = start_in(checkout, NULL, "run -o %s", results);
	finish(r);
	is_verdict(r, LAB_OK);
	OUT_HAS(r, "\n  demo ");
	OUT_HAS(r, "\n  hello ");
	OUT_HAS(r, "\ndemo\n"); /* its benchmark */
	CHECK(r, !strstr(r->out, "FAIL") && !strstr(r->out, "SKIP"));
	tree_hash(inside, hash);
	assert_string_equal(made, hash);
}

static void new_refuses_what_cannot_be_a_name_and_what_is_there_already(void **state)
{
	_cleanup_free_ char *checkout = make_checkout("checkout"), *home = NULL, *cache = NULL;
	struct how h = ordinary_user(&home, &cache);
	static const struct {
		const char *args, *says;
	} cases[] = {
		{ "new", "new takes one NAME" },
		{ "new one two", "new takes one NAME" },
		{ "new demo --outside", "--outside needs a value" },
		{ "new demo --inside x", "new has no option --inside" },
		{ "new Demo", "cannot be called \"Demo\"" },
		{ "new 9lives", "cannot be called \"9lives\"" },
		{ "new _demo", "cannot be called \"_demo\"" },
		{ "new my-demo", "cannot be called \"my-demo\"" },
		{ "new ..", "cannot be called \"..\"" },
		{ "new a/b", "cannot be called \"a/b\"" },
		{ "new d\303\251mo", "cannot be called" },
		{ "new abcdefghijabcdefghijabcdefghijabcdefghijk", "at most 40" },
		{ "new hello", "there is a driver hello here already" },
		{ "new null", "/dev/null is a node of the kernel's own" },
		{ "new zero", "/dev/zero is a node of the kernel's own" },
		{ "new driver", "names of the kernel's own begin with driver_" },
		{ "new stdio", "stdio.h would hide the header of that name" },
		{ "new harness", "harness.h would hide the header of that name" },
		{ "new demo --outside no/such", "no/such: No such file or directory" },
		{ "new demo --outside file", "file: Not a directory" },
		{ "new taken --outside .", "/taken is there already" },
		{ "new file --outside .", "/file is there already" },
		{ "new dangling --outside .", "/dangling is there already" },
	};
	_cleanup_free_ char *taken = make_dir("home/taken");
	_cleanup_free_ char *dangling = xasprintf("%s/dangling", home);
	char before[2][HASH_HEX], after[2][HASH_HEX];

	(void)state;
	put(home, "file", "mine");
	assert_int_equal(symlink("nowhere", dangling), 0);
	tree_hash(checkout, before[0]);
	tree_hash(home, before[1]);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct run *r = start_in(checkout, &h, "%s", cases[i].args);

		finish(r);
		IS_ERROR(r, LAB_USAGE, cases[i].says);
		CHECK(r, !*r->out);
	}
	tree_hash(checkout, after[0]);
	tree_hash(home, after[1]);
	assert_string_equal(before[0], after[0]);
	assert_string_equal(before[1], after[1]);
}

static void new_says_where_it_may_not_write(void **state)
{
	_cleanup_free_ char *checkout = make_checkout("checkout"), *home = NULL, *cache = NULL;
	_cleanup_free_ char *drivers = xasprintf("%s/drivers", checkout);
	_cleanup_free_ char *sources = xasprintf("%s/lab", checkout);
	_cleanup_free_ char *theirs = make_dir("theirs");
	struct how h = ordinary_user(&home, &cache);
	struct run *r;

	(void)state;
	assert_int_equal(chmod(drivers, 0555), 0);
	assert_int_equal(chmod(theirs, 0555), 0);
	r = start_in(checkout, &h, "new demo");
	finish(r);
	IS_ERROR(r, LAB_CANNOT, drivers, "Permission denied", "--outside DIR");
	r = start_in(checkout, &h, "new demo --outside %s", theirs);
	finish(r);
	IS_ERROR(r, LAB_CANNOT, theirs, "Permission denied", "can write to");
	chmod(drivers, 0755);

	/* as installed: no sources of the program, and nobody's place to work, root's neither */
	assert_int_equal(remove_tree(sources), 0);
	r = start_in(checkout, NULL, "new demo");
	finish(r);
	IS_ERROR(r, LAB_CANNOT, "belongs to the installed cdevlab", "--outside DIR");
	r = start_in(checkout, &h, "new demo --outside .");
	finish(r);
	is_verdict(r, LAB_OK);
	OUT_HAS(r, "  cdevlab run ");
}

/* Names in a directory, but . and .. */
static size_t entries_in(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	size_t n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(d);
	return n;
}

static void new_on_a_full_disk_leaves_no_half_of_a_room(void **state)
{
	_cleanup_free_ char *disk = make_dir("new-disk"), *in = NULL;
	struct how h = {};
	struct run *r;

	(void)state;
	h.room = small_disk(disk, "size=24k");
	r = start(&h, "new demo --outside %s", disk);
	finish(r);
	IS_ERROR(r, LAB_CANNOT, disk, "No space left on device", "make room there");
	in = xasprintf("/proc/%d/root%s", h.room, disk);
	assert_int_equal(entries_in(in), 0);
}

/* What took long is not lost with its files. */
static void results_on_a_full_disk_are_shown_all_the_same(void **state)
{
	_cleanup_free_ char *disk = make_dir("results-disk"), *in = NULL;
	struct how h = {};
	struct run *r;

	(void)state;
	h.room = small_disk(disk, "size=8k");
	r = start(&h, "compare hello hello --no-test -o %s/results", disk);
	finish(r);
	IS_ERROR(r, LAB_CANNOT, disk, "No space left on device", "make room");
	OUT_HAS(r, "Tests: not run");
	CHECK(r, !strstr(r->out, "results: "));
	in = xasprintf("/proc/%d/root%s", h.room, disk);
	assert_int_equal(entries_in(in), 0);
}

/* Measuring takes longer than that, by far. */
static void safety_learns_at_once_that_its_results_cannot_be_written(void **state)
{
	double since = now_s();
	struct run *r = start(NULL, "safety --only 02 --column conformance -o /dev/null/results");

	(void)state;
	finish(r);
	IS_ERROR(r, LAB_CANNOT, "/dev/null", "name another place");
	CHECK(r, now_s() - since < 10);
}

/* A pipe among the files holds it up in the middle. */
static void signals_in_new_leave_no_half_of_a_room(void **state)
{
	_cleanup_free_ char *checkout = make_checkout("checkout");
	_cleanup_free_ char *pipe = xasprintf("%s/templates/misc/pipe", checkout);
	_cleanup_free_ char *outside = make_dir("outside");

	(void)state;
	assert_int_equal(mkfifo(pipe, 0644), 0);
	for (size_t i = 0; i < ARRAY_SIZE(all_signals); i++) {
		struct run *r = start_in(checkout, NULL, "new demo --outside %s", outside);
		double since;

		while (!entries_in(outside) && !has_ended(r))
			usleep(10000);
		since = now_s();
		kill(r->pid, all_signals[i]);
		while (!has_ended(r) && now_s() < since + QUICK_S) {
			int fd = open(pipe, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

			if (fd >= 0)
				close(fd);
			usleep(10000);
		}
		finish(r);
		if (all_signals[i] != SIGKILL)
			is_interrupted(r, since);
		while (entries_in(outside) && now_s() < since + LEFT_S)
			usleep(50000);
		CHECK(r, entries_in(outside) == 0);
		leaves_nothing(r);
	}
}

static void a_driver_copied_out_of_the_tree_passes(void **state)
{
	static const char *const drivers[] = { "hello", "vgpio --only vgpio_basic" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
		_cleanup_free_ char *name = xstrndup(drivers[i], strcspn(drivers[i], " "));
		_cleanup_free_ char *from = xasprintf("%s/../../drivers/%s", rooms, name);
		_cleanup_free_ char *to = make_dir(name);
		struct run *r;

		assert_int_equal(copy_tree(from, to, NULL), 0);
		r = start(NULL, "test %s/%s", base, drivers[i]);
		finish(r);
		is_verdict(r, LAB_OK);
		OUT_HAS(r, "unload\n");
	}
}

#define TEST(name)                                  \
	{                                           \
#name, name, NULL, after_each, NULL \
	}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_module_that_does_not_compile_fails_with_the_compilers_own_message),
		TEST(a_module_that_does_not_load_fails_with_its_errno),
		TEST(an_oops_at_load_or_unload_is_a_crash_with_source_lines),
		TEST(an_oops_in_a_test_is_a_crash_that_its_line_reproduces),
		TEST(a_case_with_an_underline_in_its_name_is_found_without_blanks),
		TEST(the_memory_of_a_crash_is_kept_whole_and_gdb_reads_it),
		TEST(gdb_stops_in_the_drivers_function_with_its_source),
		TEST(a_comparison_by_the_wall_clock_ends_with_figures_or_with_the_reason),
		TEST(a_repeatable_stress_is_the_same_each_time),
		TEST(a_repeatable_guest_that_is_stuck_is_ended_by_its_kernel),
		TEST(a_long_run_goes_on_where_it_was_killed),
		TEST(a_module_that_comes_with_the_kernel_is_compared_with),
		TEST(a_test_less_is_lines_less),
		TEST(a_warning_fails_the_test_that_caused_it),
		TEST(a_guest_that_hangs_is_ended_at_its_deadline),
		TEST(a_guest_that_is_silent_is_ended_long_before_its_deadline),
		TEST(a_guest_that_does_not_come_up_is_booted_once_more),
		TEST(a_guest_that_ends_before_its_last_word_is_a_crash),
		TEST(a_case_that_hangs_times_out_and_the_next_ones_run),
		TEST(a_program_that_floods_its_output_does_not_take_the_hosts_memory),
		TEST(a_guest_that_has_ended_holds_no_memory_of_the_host),
		TEST(without_qemu_it_names_the_package),
		TEST(when_qemu_is_killed_it_says_so),
		TEST(a_guest_that_was_not_let_run_gets_another),
		TEST(on_a_full_disk_it_names_the_directory_and_works_when_there_is_room),
		TEST(without_a_network_it_says_so_soon_and_works_with_what_is_fetched),
		TEST(a_kernel_without_rust_is_refused_and_those_with_it_are_named),
		TEST(where_no_root_can_be_entered_the_remedy_is_named_before_anything_is_fetched),
		TEST(without_a_network_the_toolchain_cannot_be_made),
		TEST(a_toolchain_that_is_removed_in_the_middle_is_told_and_made_anew),
		TEST(a_rust_module_that_does_not_build_fails_with_its_own_file_or_the_missing_symbol),
		TEST(a_twin_with_another_abi_is_caught),
		TEST(a_fetch_survives_interrupts_a_kill_and_spoilt_files_and_a_second_fetch),
		TEST(what_fails_on_one_kernel_is_one_cell_of_the_table),
		TEST(a_kernel_of_all_that_cannot_be_had_is_a_skipped_column),
		TEST(signals_in_a_build_leave_nothing),
		TEST(signals_while_a_guest_boots_leave_nothing),
		TEST(signals_in_a_test_leave_nothing),
		TEST(signals_in_a_benchmark_leave_nothing),
		TEST(mistakes_are_told_with_what_would_be_right),
		TEST(a_directory_that_cannot_be_read_is_named),
		TEST(an_output_directory_that_cannot_be_used_is_named),
		TEST(each_case_has_its_time),
		TEST(what_was_learned_is_not_replaced_by_nothing),
		TEST(what_was_fuzzed_until_it_was_interrupted_is_told),
		TEST(stress_of_what_has_no_node_is_all_skipped),
		TEST(a_verdict_that_cannot_be_written_is_an_error),
		TEST(what_a_wall_command_says_is_believed_only_if_all_of_it_is_right),
		TEST(a_dry_run_prints_what_would_boot_and_boots_nothing),
		TEST(a_dry_run_of_safety_prints_each_guest_once_and_runs_nothing),
		TEST(a_directory_of_somebodys_own_passes_and_is_not_written_to),
		TEST(a_driver_copied_out_of_the_tree_passes),
		TEST(new_makes_a_room_that_passes_untouched_and_appears_in_run),
		TEST(new_refuses_what_cannot_be_a_name_and_what_is_there_already),
		TEST(new_says_where_it_may_not_write),
		TEST(new_on_a_full_disk_leaves_no_half_of_a_room),
		TEST(results_on_a_full_disk_are_shown_all_the_same),
		TEST(safety_learns_at_once_that_its_results_cannot_be_written),
		TEST(signals_in_new_leave_no_half_of_a_room),
		/* the last: it was started first */
		TEST(a_program_that_hangs_times_out_and_the_next_ones_run),
	};

	/* a pattern with * for some of them */
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("defences", tests, before_all, after_all);
}
