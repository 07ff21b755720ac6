// SPDX-License-Identifier: GPL-2.0
/*
 * --on ssh: a guest with an SSH server is the machine, and this very program goes there from outside, as a person does;
 * what it does is written down in a script, and judged when the guest has ended.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../guest/protocol.h"
#include "check.h"
#include "proc.h"

#define TIMEOUT_S 900
#define MEMORY_MB 512 /* with this program and all that it is linked with */

#define ROOM "/tests/faulty/wall" /* whose module is there already */

/* Each step's output goes to NAME.out, NAME.err, its status to NAME.status. */
static const char script[] =
	"cd $DIR || exit 1\n"
	"on=ssh:root@127.0.0.1:$PORT\n"
	"there() { $CDEVLAB_SSH -p $PORT root@127.0.0.1 \"$@\"; }\n"
	"step() { name=$1; shift; \"$@\" >$name.out 2>$name.err; echo $? >$name.status; }\n"
	/* whatever is not what was there before the first run */
	"state() { there 'ls /tmp /dev; cat /proc/modules /proc/mounts | cut -d\" \" -f1-2 | sort; ps -o comm | grep -c agent'; true; }\n"
	"until there true; do sleep 1; done 2>/dev/null\n"
	"state >before\n"
	"step test $SELF test hello --on $on\n"
	"step after-test state\n"
	"step wall $SELF compare vgpio_basic vgpio_wq --on $on --clock wall --op NOP --margin 50 --budget 60s --no-test --json\n"
	"step thesis $SELF thesis --on $on --budget 3s -o thesis\n"
	"step after-thesis state\n"
	/*
	 * the meters of another machine, here of the same one: its sensor says 2.5 W whatever is done, and the server runs
	 * beside an FNB58
	 */
	"meter=ssh:root@127.0.0.1:$PORT/hwmon\n"
	"step meter $SELF meter record --meter $meter --for 8s -o there.csv\n"
	"step energy $SELF meter energy there.csv 1 6\n"
	"step no-meter $SELF meter record --meter ssh:root@127.0.0.1:$PORT/rapl -o none.csv\n"
	"step metered $SELF bench greeter --on $on --clock wall --op read --budget 30s --meter ssh:root@127.0.0.1:$PORT/fnb58 --json\n"
	"step after-meter state\n"
	"step exact $SELF bench vgpio --on $on --clock exact\n"
	"step closed $SELF test hello --on ssh:root@127.0.0.1:1\n"
	"step user $SELF test hello --on ssh:nobody@127.0.0.1:$PORT\n"
	"step headers $SELF test hello --on $on -k debian:bookworm\n"
	"step arch $SELF test hello --on $on -k debian:trixie/arm64\n"
	/* one that somebody else has loaded stays loaded */
	"there 'cat >/module.ko; insmod /module.ko' <$KO\n"
	"step loaded $SELF test $ROOM --on $on\n"
	"step stays there grep ^$MODULE /proc/modules\n"
	"there \"rmmod $MODULE; rm /module.ko\"\n"
	"step after-loaded state\n"
	/* in the middle, with a module loaded; and until all of it is undone, or half a minute */
	"middle() { $SELF thesis --on $on --margin 0.01 --budget 120s -o $1-thesis >$1.out 2>$1.err & lab=$!\n"
	"until there 'grep -q ^vgpio /proc/modules'; do sleep 0.2; done; }\n"
	"settle() { for i in $(seq 60); do state >now; cmp -s before now && break; sleep 0.5; done; }\n"
	/* the line is cut */
	"middle cut\n"
	"pkill -9 -P $lab\n"
	"wait $lab; echo $? >cut.status\n"
	"settle\n"
	"step after-cut state\n"
	/* and we ourselves are killed */
	"middle kill\n"
	"kill -9 $lab\n"
	"settle\n"
	"step after-kill state\n";

/* --- the guest --- */

static int free_port(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) ||
	    getsockname(fd, (struct sockaddr *)&at, &n))
		return 0;
	return ntohs(at.sin_port);
}

static enum lab_exit make_key(const char *path)
{
	char *argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", (char *)path, NULL };
	struct proc p = { .argv = argv, .timeout_s = 60 };
	enum lab_exit ret = proc_run(&p);

	if (!ret && p.status)
		ret = lab_fail(LAB_CANNOT, NULL, "ssh-keygen: %s", p.err.s ?: "");
	proc_free(&p);
	return ret;
}

static void add_keys(struct boot *b, const struct buf *text)
{
	boot_add_data(b, "/root/.ssh/authorized_keys", text->s, text->n);
	boot_add_data(b, "/home/.ssh/authorized_keys", text->s, text->n);
}

static enum lab_exit add_server(struct boot *b, const char *key, const char *self,
				const char *player)
{
	static const char *const applets[] = { "sh",   "dd",	   "mktemp", "rm",   "rmdir",
					       "id",   "uname",	   "chmod",  "echo", "true",
					       "ls",   "cat",	   "cut",    "sort", "ps",
					       "grep", "ifconfig", "mount",  "kill" };
	static const char passwd[] =
		"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/home:/bin/sh\n";
	static const char start[] = "ifconfig lo 127.0.0.1 up\nifconfig eth0 10.0.2.15 up\n"
				    "mount -o bind /played /sys/class/hwmon\n"
				    "exec /bin/fnb58 uhid -- /bin/dropbear -F -E -R -s -p 22\n";
	_cleanup_free_ char *public = xasprintf("%s.pub", key);
	static const char *const modules[] = { "virtio_net", "uhid", "hid_generic" };
	enum lab_exit ret = LAB_OK;
	struct buf text = {};
	struct job *j;

	for (size_t i = 0; i < ARRAY_SIZE(modules) && !ret; i++)
		ret = boot_add_stock(b, modules[i]);
	if (ret)
		return ret;
	for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
		_cleanup_free_ char *path = xasprintf("/bin/%s", applets[i]);

		boot_add_file(b, path, "/bin/busybox");
	}
	check_add_program(b, "/bin/dropbear", "/usr/sbin/dropbear");
	check_add_program(b, "/bin/cdevlab", self);
	boot_add_file(b, "/bin/fnb58", player);
	boot_add_data(b, "/played/hwmon0/name", "ina226\n", strlen("ina226\n"));
	boot_add_data(b, "/played/hwmon0/power1_input", "2500000\n", strlen("2500000\n"));
	boot_add_data(b, "/etc/passwd", passwd, strlen(passwd));
	boot_add_data(b, "/etc/shells", "/bin/sh\n", strlen("/bin/sh\n"));
	boot_add_data(b, "/etc/dropbear/none", "", 0);
	if (!file_read(public, &text))
		add_keys(b, &text);
	buf_free(&text);
	j = boot_add_job(b, "target", "server", TIMEOUT_S);
	strv_add(&j->argv, "sh");
	strv_add(&j->argv, "-c");
	strv_add(&j->argv, start);
	return LAB_OK;
}

/* --- what must come of it --- */

static char *step_file(const char *dir, const char *name, const char *end)
{
	_cleanup_free_ char *path = xasprintf("%s/%s%s", dir, name, end);
	struct buf b = {};

	return file_read(path, &b) ? xstrdup("") : (b.s ?: xstrdup(""));
}

/* struct step - what a step must have come to */
struct step {
	const char *name, *status;
	const char *out, *err; /* must be in them; NULL: whatever */
};

static const struct step steps[] = {
	{ "test", "0", "ok 1 hello", NULL },
	{ "wall", "0", "\"interval\"", NULL },
	{ "thesis", "0", "not resolved", NULL },
	{ "meter", "0", NULL, "recorded to there.csv" },
	{ "energy", "0", "12.500000 J in 5.000 s, 2.500000 W", NULL },
	{ "no-meter", "3", NULL, "there is no meter rapl here" },
	{ "metered", "0", "\"idle_watts\"", NULL },
	{ "exact", "2", NULL, "the exact clock needs QEMU" },
	{ "closed", "3", NULL, "127.0.0.1 cannot be reached" },
	{ "user", "3", NULL, "needs root rights" },
	{ "headers", "3", NULL, "and debian:bookworm/amd64 is 6.1" },
	{ "arch", "3", NULL, "(arm64)" },
	{ "loaded", "3", NULL, "is loaded on this machine already; unload it first: rmmod " },
	{ "stays", "0", NULL, NULL },
	{ "cut", "125", NULL, "did not say that all was undone" },
};
static const char *const states[] = { "after-test",   "after-thesis", "after-meter",
				      "after-loaded", "after-cut",    "after-kill" };

static void judge_step(struct ktap *suite, const struct step *s, const char *dir)
{
	_cleanup_free_ char *out = step_file(dir, s->name, ".out");
	_cleanup_free_ char *err = step_file(dir, s->name, ".err");
	_cleanup_free_ char *status = step_file(dir, s->name, ".status");
	struct ktap *t = ktap_new(suite, s->name);

	if (strcmp(str_trim(status), s->status))
		ktap_set(t, KTAP_FAIL, "exit status %s, not %s", status, s->status);
	else if (s->out && !strstr(out, s->out))
		ktap_set(t, KTAP_FAIL, "its output has no %s", s->out);
	else if (s->err && !strstr(err, s->err))
		ktap_set(t, KTAP_FAIL, "it does not say: %s", s->err);
	if (t->result != KTAP_PASS) {
		ktap_note(t, "%s", out);
		ktap_note(t, "%s", err);
	}
}

/* Nothing is there that was not there before. */
static void judge_state(struct ktap *suite, const char *name, const char *dir)
{
	_cleanup_free_ char *before = step_file(dir, "before", "");
	_cleanup_free_ char *after = step_file(dir, name, ".out");
	struct ktap *t = ktap_new(suite, name);

	if (!*before || strcmp(before, after))
		ktap_set(t, KTAP_FAIL, "something is left");
	if (t->result != KTAP_PASS)
		ktap_note(t, "before:\n%s\nafter:\n%s", before, after);
}

/* It is stopped when the script has ended, and does not end by itself. */
static void judge_guest(struct ktap *suite, const struct boot *b)
{
	_cleanup_free_ char *line = str_last_line(b->vm.log.s ?: "");
	struct ktap *t = ktap_new(suite, "guest");

	ktap_set(t, KTAP_FAIL, "it ended (%s) before the script", vm_end_name(b->vm.end));
	ktap_note(t, "%s\n%s\n%s", b->vm.why ?: "", line,
		  b->n && b->jobs[0].err.s ? b->jobs[0].err.s : "");
}

/* One with Rust, for the twins; else the default one. */
static enum lab_exit get_kernel(struct kernel *k)
{
	_cleanup_free_ char *why = NULL;
	enum lab_exit ret;

	lab_options.rust = true;
	lab_keep_failure(&why);
	ret = kernel_get(NULL, false, k);
	lab_keep_failure(NULL);
	lab_options.rust = false;
	return ret == LAB_CANNOT ? kernel_get(NULL, false, k) : ret;
}

enum lab_exit check_target(struct ktap *suite)
{
	char *argv[] = { "sh", "-c", (char *)script, NULL }, *dir = temp_dir(NULL);
	_cleanup_free_ char *key = xasprintf("%s/key", dir ?: ""), *self = proc_self();
	_cleanup_free_ char *player = NULL, *room = xasprintf("%s" ROOM, lab_data_dir());
	struct driver driver = {};
	struct built built = {};
	char *player_dir = NULL;
	struct boot b = {}, *list = &b;
	struct proc p = { .argv = argv };
	struct kernel k = {};
	struct strv env = {};
	int port = free_port();
	enum lab_exit ret = LAB_CANNOT;

	if (dir && (!port || !self))
		lab_fail(ret, NULL, "this machine has no loopback, or no /proc");
	else if (dir)
		ret = make_key(key);
	if (!ret)
		ret = check_compile_player(&player, &player_dir);
	if (!ret)
		ret = get_kernel(&k);
	if (!ret)
		ret = driver_open(room, &driver);
	if (!ret)
		ret = build_driver(&driver, &k, &built);
	if (!ret)
		ret = boot_init(&b, &k);
	if (!ret)
		ret = add_server(&b, key, self, player);
	if (!ret) {
		strv_addf(&env, "DIR=%s", dir);
		strv_addf(&env, "PORT=%d", port);
		strv_addf(&env, "SELF=%s", self);
		strv_addf(&env, "ROOM=%s", room);
		strv_addf(&env, "MODULE=%s", built.modules[0].name);
		strv_addf(&env, "KO=%s", built.modules[0].ko);
		strv_addf(&env,
			  "CDEVLAB_SSH=ssh -F none -i %s -o UserKnownHostsFile=/dev/null -o "
			  "StrictHostKeyChecking=no -o LogLevel=ERROR -o IdentitiesOnly=yes",
			  key);
		p.env = env.v;
		b.vm.label = "a machine with an SSH server";
		b.vm.ssh_port = port;
		b.vm.memory_mb = MEMORY_MB;
		b.vm.timeout_s = TIMEOUT_S;
		b.vm.beside = &p;
		ret = proc_start(&p);
	}
	if (!ret)
		ret = boot_run(&list, 1, 1);
	if (p.pid > 0)
		proc_end(&p);
	if (!ret && b.vm.end != VM_STOPPED)
		judge_guest(suite, &b);
	for (size_t i = 0; i < ARRAY_SIZE(steps) && !ret; i++)
		judge_step(suite, &steps[i], dir);
	for (size_t i = 0; i < ARRAY_SIZE(states) && !ret; i++)
		judge_state(suite, states[i], dir);
	if (b.tools.agent)
		boot_free(&b);
	built_free(&built);
	driver_free(&driver);
	kernel_free(&k);
	strv_free(&env);
	proc_free(&p);
	temp_dir_done(player_dir);
	temp_dir_done(dir);
	return ret;
}
