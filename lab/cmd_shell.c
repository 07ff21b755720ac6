// SPDX-License-Identifier: GPL-2.0
/* cdevlab shell: a guest with the driver loaded. */
#include "boot.h"
#include "cmd.h"
#include "test.h"

static const char help[] =
	"usage: cdevlab shell [OPTION]... DRIVER|DIR\n"
	"Boots a guest with all modules of the driver loaded and its clients in PATH, and gives a prompt.\n"
	"`exit` or `poweroff -f` ends it.\n";

#define BUSYBOX "/bin/busybox" /* in the guest, and on this machine */

/* Debian's kernels come with one; a tree that somebody built does not. */
static enum lab_exit find_busybox(const struct kernel *k, const char **busybox)
{
	*busybox = k->busybox;
	if (*busybox)
		return LAB_OK;
	if (!arch_is_host(k->arch))
		return lab_fail(LAB_CANNOT,
				"take one of the same architecture from Debian: debian:SUITE/ARCH",
				"there is no shell for %s, a kernel for %s", k->name,
				k->arch->name);
	if (!file_exists(BUSYBOX))
		return lab_fail(LAB_CANNOT, "apt install busybox-static", "%s is not there",
				BUSYBOX);
	*busybox = BUSYBOX;
	return LAB_OK;
}

int cmd_shell(int argc, char **argv)
{
	struct test_run t = {};
	struct boot b = {}, *boots[] = { &b };
	const char *busybox = NULL;
	enum lab_exit ret;
	struct args a;
	int r = args_parse(argc, argv, ARG_RUST, help, &a);

	if (r)
		return r < 0 ? LAB_OK : r;
	if (a.rest.n != 1 || a.kernels.n > 1) {
		args_free(&a);
		return lab_fail(LAB_USAGE, "see --help",
				"shell takes one driver or directory, and one kernel");
	}
	t.drivers = a.rest;
	t.kernels = a.kernels;
	a.rest = a.kernels = (struct strv){};
	ret = test_prepare_one(&t);
	if (!ret)
		ret = find_busybox(&t.k[0], &busybox);
	if (!ret)
		ret = boot_init(&b, &t.k[0]);
	if (!ret) {
		b.vm.shell = true;
		b.vm.label = t.d[0].name;
		boot_add_file(&b, BUSYBOX, busybox);
		boot_add_suite(&b, &t.built[0], "stress");
		for (size_t m = 0; m < t.built[0].n; m++) {
			boot_add_module(&b, &t.built[0], &t.built[0].modules[m]);
			boot_load_early(&b, &t.built[0].modules[m]);
		}
		ret = boot_run(boots, 1, 1);
		if (!ret && b.vm.end == VM_PANIC)
			ret = lab_fail(LAB_CRASHED, NULL, "the guest's kernel crashed");
		else if (!ret && b.vm.end == VM_QEMU_FAILED)
			ret = lab_fail(LAB_CANNOT, NULL, "QEMU ended on its own: %s",
				       b.vm.why ?: "no message");
		else if (!ret && b.vm.end == VM_HANG)
			ret = LAB_TIMEOUT;
	}
	boot_free(&b);
	test_run_free(&t);
	args_free(&a);
	return ret;
}
