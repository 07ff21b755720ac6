// SPDX-License-Identifier: GPL-2.0
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "vm_private.h"

#define KVM_PROBE_SECONDS 3

/*
 * That /dev/kvm opens says little: nested virtualisation can take a guest and never let it run. So
 * a kernel is booted once, and what counts is whether it says a word.
 */

static char *kvm_memo_path(const struct kernel *k)
{
	_cleanup_free_ char *qemu = vm_qemu_version(k->arch);
	const char *cache = lab_cache_dir();
	struct hash *h = hash_new();
	char hex[HASH_HEX];
	struct utsname u;

	uname(&u);
	hash_puts(h, u.release);
	hash_puts(h, qemu ?: "");
	hash_puts(h, k->arch->name);
	hash_end(h, hex);
	return cache ? xasprintf("%s/kvm-%s-%.12s", cache, k->arch->name, hex) : NULL;
}

static bool kvm_possible(const struct kernel *k)
{
	struct utsname u;

	return !uname(&u) && !strcmp(u.machine, k->arch->machine) &&
	       !access("/dev/kvm", R_OK | W_OK);
}

static int read_memo(const char *path)
{
	struct buf b = {};
	int answer = -1;

	if (path && !file_read(path, &b))
		answer = str_starts(b.s, "yes") ? 1 : str_starts(b.s, "no") ? 0 : -1;
	buf_free(&b);
	return answer;
}

int vm_kvm_remembered(const struct kernel *k)
{
	_cleanup_free_ char *path = NULL;

	if (!kvm_possible(k))
		return 0;
	path = kvm_memo_path(k);
	return read_memo(path);
}

static void probe_line(void *ctx, const char *line, bool is_err)
{
	if (!is_err && strstr(line, "Linux version"))
		*(bool *)ctx = true;
}

/* 1: the kernel spoke. 0: it had its time and did not. -1: nothing was learnt that holds next time
 * too. */
static int probe(const struct kernel *k)
{
	bool spoke = false;
	struct proc p = { .on_line = probe_line, .ctx = &spoke, .timeout_s = KVM_PROBE_SECONDS };
	struct strv argv = {};
	enum lab_exit ret;

	vm_machine_args(&argv, k->arch, "kvm", false, 1, 256);
	strv_add(&argv, "-kernel");
	strv_add(&argv, k->image);
	strv_add(&argv, "-append");
	/* without a root it panics and resets at once: the probe of a KVM that works takes no
	 * second */
	strv_addf(&argv, "console=%s panic=-1 %s", k->arch->console, k->arch->append ?: "");
	strv_add(&argv, "-serial");
	strv_add(&argv, "stdio");
	p.argv = argv.v;
	ret = proc_run(&p);
	strv_free(&argv);
	proc_free(&p);
	if (spoke)
		return 1;
	/* refused (permissions, busy) is quick and may change; hung, crashed or mute will be so
	 * again */
	return ret == LAB_TIMEOUT || (!ret && p.status <= 0) ? 0 : -1;
}

/**
 * vm_kvm_works() - whether KVM really runs a guest here
 * @k:	a kernel to try with, of the architecture in question
 *
 * Probed once, in at most KVM_PROBE_SECONDS; the answer is kept in the cache, for this host kernel,
 * QEMU and architecture.
 *
 * Return: true when it does.
 */
bool vm_kvm_works(const struct kernel *k)
{
	_cleanup_free_ char *path = NULL;
	struct utsname u;
	int answer;

	if (!kvm_possible(k) || !proc_have(k->arch->qemu))
		return false;
	path = kvm_memo_path(k);
	answer = read_memo(path);
	if (answer < 0) {
		lab_verbose("trying KVM, for at most %d s", KVM_PROBE_SECONDS);
		answer = probe(k);
		if (answer >= 0 && path && !lab_interrupted()) {
			_cleanup_free_ char *qemu = vm_qemu_version(k->arch);
			_cleanup_free_ char *text = NULL;

			uname(&u);
			text = xasprintf("%s\nLinux %s, %s, %s\n", answer ? "yes" : "no", u.release,
					 qemu ?: "unknown QEMU", k->arch->name);
			/* only costs another probe */
			if (file_write(path, text, strlen(text)))
				lab_verbose("could not keep the answer in %s", path);
		}
	}
	lab_verbose("KVM %s (remembered in %s)",
		    answer > 0 ? "works" :
		    answer     ? "could not be started" :
				 "does not run a guest",
		    path ?: "no file");
	return answer > 0;
}
