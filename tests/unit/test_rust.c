// SPDX-License-Identifier: GPL-2.0
/* The toolchain of a stock kernel: what is decided without a network, and without a root to run in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "kernel_internal.h"
#include "proc.h"
#include "root.h"
#include "rust.h"

static void versions_of_compilers(void **state)
{
	static const struct {
		const char *text, *version;
	} rows[] = {
		{ "rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)", "1.85.1" },
		{ "bindgen 0.71.1", "0.71.1" },
		{ "rustc", "" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *got = rust_version_of(rows[i].text);

		assert_string_equal(got, rows[i].version);
	}
}

static void a_package_fits_only_its_own_version(void **state)
{
	(void)state;
	assert_true(rust_package_fits("1.85.1+dfsg1-1+deb13u1", "1.85.1"));
	assert_true(rust_package_fits("1:1.85.1", "1.85.1"));
	assert_false(rust_package_fits("1.85.10+dfsg1-1", "1.85.1"));
	assert_false(rust_package_fits("1.85.0+dfsg3-1", "1.85.1"));
	assert_false(rust_package_fits("1.85.1.2", "1.85.1"));
	assert_false(rust_package_fits("1.97.1", "1.85.1"));
	/* a configuration that names none fits none */
	assert_false(rust_package_fits("1.85.1", ""));
}

static void messages_name_the_persons_own_files(void **state)
{
	static const struct {
		const char *line, *shown;
	} rows[] = {
		{ "/build/x.c:3:5: error: no", "/home/u/x/x.c:3:5: error: no" },
		{ "In file included from /build/x.c:1:", "In file included from /home/u/x/x.c:1:" },
		{ "  --> x_rust.rs:3:5", "  --> /home/u/x/x_rust.rs:3:5" },
		{ "  ::: x_part.rs:9:1", "  ::: /home/u/x/x_part.rs:9:1" },
		{ "  --> /build/x_rust.rs:3:5", "  --> /home/u/x/x_rust.rs:3:5" },
		{ "  --> /usr/src/linux/rust/kernel/lib.rs:1:1",
		  "  --> /usr/src/linux/rust/kernel/lib.rs:1:1" },
		{ "  --> <macro>:1:1", "  --> <macro>:1:1" },
		/* a directory of the kernel's that is called so */
		{ "/kernel/tools/build/fixdep: no", "/kernel/tools/build/fixdep: no" },
		{ "/kernel/./build/x: no", "/kernel/./build/x: no" },
		{ "error: fn f() -> u8", "error: fn f() -> u8" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *got = root_shown(rows[i].line, "/home/u/x");

		assert_string_equal(got, rows[i].shown);
	}
}

static void configurations_are_the_same_or_the_difference_is_named(void **state)
{
	static const char kernel[] =
		"# a comment\nCONFIG_RUST=y\nCONFIG_A=m\n# CONFIG_B is not set\n"
		"CONFIG_OPENSSL_SUPPORTS_ML_DSA=y\n";
	struct strv diff = {};

	(void)state;
	rust_config_diff(kernel, kernel, &diff);
	assert_int_equal(diff.n, 0);
	/* another order, and what only says which programs the machine has */
	rust_config_diff(kernel, "CONFIG_A=m\nCONFIG_RUST=y\n", &diff);
	assert_int_equal(diff.n, 0);
	rust_config_diff(kernel, "CONFIG_A=y\nCONFIG_RUST=y\nCONFIG_Z=1\n", &diff);
	assert_int_equal(diff.n, 3);
	assert_string_equal(diff.v[0], "-CONFIG_A=m");
	assert_string_equal(diff.v[1], "+CONFIG_A=y");
	assert_string_equal(diff.v[2], "+CONFIG_Z=1");
	strv_free(&diff);
}

static void a_symbol_that_the_kernel_has_not_is_found(void **state)
{
	static const char exports[] =
		"EXPORT_SYMBOL_RUST_GPL(_RNvb);\nEXPORT_SYMBOL_RUST_GPL(_RNva);\n"
		"EXPORT_SYMBOL_RUST_GPL(_RNvab);\n";
	static const char symvers[] = "0x00000000\t_RNvb\tvmlinux\tEXPORT_SYMBOL_GPL\t\n"
				      "0x00000000\t_RNvabc\tvmlinux\tEXPORT_SYMBOL_GPL\t\n"
				      "0x00000000\t_RNva\tvmlinux\tEXPORT_SYMBOL_GPL\t\n";
	struct strv missing = {};

	(void)state;
	assert_int_equal(rust_missing_symbols(exports, symvers, &missing), 3);
	assert_int_equal(missing.n, 1);
	assert_string_equal(missing.v[0], "_RNvab");
	strv_free(&missing);
	/* nothing exported is nothing proven: the caller sees the count */
	assert_int_equal(rust_missing_symbols("", symvers, &missing), 0);
	assert_int_equal(rust_missing_symbols(exports, "", &missing), 3);
	assert_int_equal(missing.n, 3);
	strv_free(&missing);
}

static void a_command_in_the_root_keeps_its_words(void **state)
{
	struct strv argv = {};

	(void)state;
	root_command("/r", "/b", &argv);
	strv_add(&argv, "make");
	assert_string_equal(argv.v[0], "unshare");
	assert_string_equal(argv.v[argv.n - 3], "/r");
	assert_string_equal(argv.v[argv.n - 2], "/b");
	assert_string_equal(argv.v[argv.n - 1], "make");
	strv_free(&argv);
	root_command("/r", NULL, &argv);
	assert_string_equal(argv.v[argv.n - 1], "");
	strv_free(&argv);
}

static char *tmp;

static struct kernel kernel_with(const char *name, const char *config)
{
	struct kernel k = { .name = xstrdup(name),
			    .release = xstrdup("7.3.4+deb13-amd64"),
			    .version = xstrdup("7.3.4-1~bpo13+1"),
			    .arch = arch_host() };
	static int count;

	/* the last one read is kept by its name */
	k.config = xasprintf("%s/config-%d", tmp, count++);
	assert_int_equal(file_write(k.config, config, strlen(config)), 0);
	return k;
}

static void is_refused(const char *name, const char *config, const char *words)
{
	struct kernel k = kernel_with(name, config);
	_cleanup_free_ char *why = NULL;

	lab_keep_failure(&why);
	assert_int_equal(rust_get(&k), LAB_CANNOT);
	lab_keep_failure(NULL);
	assert_non_null(why);
	if (!strstr(why, words))
		fail_msg("\"%s\" does not have \"%s\"", why, words);
	assert_null(k.rust);
	kernel_free(&k);
}

static void kernels_without_rust_are_refused_at_once(void **state)
{
	(void)state;
	is_refused("debian:trixie/amd64", "CONFIG_HAVE_RUST=y\n# CONFIG_RUST is not set\n",
		   "is built without Rust");
	is_refused("dir:/x", "CONFIG_RUST=y\nCONFIG_A=y\n", "kernels of the Debian archive only");
	is_refused("debian:sid/amd64", "CONFIG_RUST=y\nCONFIG_B=y\n",
		   "does not say which compilers built");
	is_refused("debian:sid/amd64",
		   "CONFIG_RUST=y\nCONFIG_RUSTC_VERSION_TEXT=\"rustc 1.85.1\"\n"
		   "CONFIG_BINDGEN_VERSION_TEXT=\"bindgen 0.71.1\"\n"
		   "CONFIG_CC_VERSION_TEXT=\"Debian clang version 19.1.7\"\n",
		   "only gcc is known");
}

/* A package whose paths and modes are those that matter: no directory for another user's rights, no way out. */
static void a_root_is_unpacked_without_rights_and_without_what_is_dropped(void **state)
{
	static const char line[] =
		"set -e; cd \"$1\"; mkdir -p p/DEBIAN p/usr/bin p/usr/share/doc/x out; "
		"printf 'Package: x\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@x>\\nDescription: x\\n' "
		">p/DEBIAN/control; echo prog >p/usr/bin/prog; chmod 4755 p/usr/bin/prog; "
		"ln p/usr/bin/prog p/usr/bin/hard; ln -s prog p/usr/bin/soft; echo doc >p/usr/share/doc/x/y; "
		"dpkg-deb -b --root-owner-group p x.deb >/dev/null";
	char *argv[] = { "sh", "-c", (char *)line, "sh", tmp, NULL };
	_cleanup_free_ char *deb = xasprintf("%s/x.deb", tmp), *out = xasprintf("%s/out", tmp);
	_cleanup_free_ char *prog = xasprintf("%s/usr/bin/prog", out);
	_cleanup_free_ char *hard = xasprintf("%s/usr/bin/hard", out);
	_cleanup_free_ char *soft = xasprintf("%s/usr/bin/soft", out);
	_cleanup_free_ char *doc = xasprintf("%s/usr/share/doc", out);
	struct proc p = { .argv = argv };
	struct stat a, b;

	(void)state;
	assert_int_equal(proc_run(&p), LAB_OK);
	assert_int_equal(p.status, 0);
	proc_free(&p);
	assert_int_equal(unpack_root(deb, out, root_drops), LAB_OK);
	assert_int_equal(stat(prog, &a), 0);
	assert_int_equal(a.st_mode & 07777, 0755);
	assert_int_equal(stat(hard, &b), 0);
	assert_true(a.st_ino == b.st_ino);
	assert_int_equal(lstat(soft, &b), 0);
	assert_true(S_ISLNK(b.st_mode));
	assert_false(file_exists(doc));
}

static int before_all(void **state)
{
	(void)state;
	if (proc_init() || arch_load("arch"))
		return -1;
	tmp = temp_dir(NULL);
	return tmp ? 0 : -1;
}

static int after_all(void **state)
{
	(void)state;
	temp_dir_done(tmp);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_of_compilers),
		cmocka_unit_test(a_package_fits_only_its_own_version),
		cmocka_unit_test(messages_name_the_persons_own_files),
		cmocka_unit_test(configurations_are_the_same_or_the_difference_is_named),
		cmocka_unit_test(a_symbol_that_the_kernel_has_not_is_found),
		cmocka_unit_test(a_command_in_the_root_keeps_its_words),
		cmocka_unit_test(kernels_without_rust_are_refused_at_once),
		cmocka_unit_test(a_root_is_unpacked_without_rights_and_without_what_is_dropped),
	};

	return cmocka_run_group_tests_name("rust", tests, before_all, after_all);
}
