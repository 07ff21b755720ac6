// SPDX-License-Identifier: GPL-2.0
/* Kernels without a network: names, sources, lists, packages, images and trees made up here. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "../../lab/kernel_internal.h"
#include "dir.h"

/* A cache, and an architecture of this machine, whatever it is, so that the tests run on all. */
static int group_setup(void **state)
{
	_cleanup_free_ char *ini = NULL, *arch_dir = NULL;
	struct utsname u;

	dir_setup(state);
	*state = dir;
	setenv("CDEVLAB_CACHE", dir, 1);
	uname(&u);
	ini = xasprintf(
		"[arch]\nname = amd64\nmachine = %s\nkbuild = x86\ntriplet = x86_64-linux-gnu\n"
		"cross_packages = q\n"
		"rust_packages = q\nrust_make = q\ngdb_argument = q\nmodules = 0x1..0x2\n"
		"image = pvh-elf\nbuilt_image = arch/x86/boot/bzImage\nqemu = q\nqemu_package = q\n"
		"qemu_machine = q35\ncpu = max\ncpu_exact = qemu64\nconsole = ttyS0\n"
		"append = a\nappend_exact = b\n",
		u.machine);
	put("arch/one.ini", ini);
	arch_dir = at("arch");
	return arch_load(arch_dir) ? -1 : 0;
}

static int group_teardown(void **state)
{
	temp_dir_done(*state);
	return 0;
}

static void an_architecture_without_a_value_or_with_an_unknown_key_is_refused(void **state)
{
	_cleanup_free_ char *unknown = at("unknown"), *half = at("half"), *none = at("none");

	(void)state;
	put("unknown/a.ini", "[arch]\nname = a\ncolour = red\n");
	put("half/a.ini", "[arch]\nname = a\n");
	assert_int_equal(arch_load(unknown), LAB_CANNOT);
	assert_int_equal(arch_load(half), LAB_CANNOT);
	assert_int_equal(arch_load(none), LAB_CANNOT);
	assert_null(arch_find("pdp11"));
	assert_non_null(arch_find("amd64"));
	assert_ptr_equal(arch_host(), arch_find("amd64"));
	assert_null(arch_at(1));
}

static void a_name_that_is_no_kernel_is_a_usage_error(void **state)
{
	static const char *const names[] = {
		"",
		"foo",
		"foo:bar",
		"debian",
		"debian:",
		"debian:/amd64",
		"debian:woody",
		"debian:bookworm/pdp11",
		"debian:bookworm/",
		"dir:",
		"hosts",
		"host:",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct kernel k;

		assert_int_equal(kernel_get(names[i], false, &k), LAB_USAGE);
		assert_null(k.name);
	}
}

static void the_default_is_the_hosts_own_suite(void **state)
{
	static const struct {
		const char *os_release, *name;
	} cases[] = {
		{ "ID=debian\nVERSION_CODENAME=bookworm\n", "debian:bookworm/amd64" },
		{ "NAME=\"x\"\nVERSION_CODENAME=\"trixie\"\nID=\"debian\"\n",
		  "debian:trixie/amd64" },
		{ "ID=debian\n", "debian:sid/amd64" },
		{ "ID=debian\nVERSION_CODENAME=woody\n", NULL },
		{ "ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n", NULL },
		{ "ID=fedora\n", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *path = at("os-release"), *name = NULL;

		put("os-release", cases[i].os_release);
		name = kernel_default_from(path);
		if (cases[i].name)
			assert_string_equal(name, cases[i].name);
		else
			assert_null(name);
	}
	assert_null(kernel_default_from("/nonexistent"));
}

static void sources_are_read_in_both_formats(void **state)
{
	struct apt_sources s = {};

	(void)state;
	apt_sources_parse(
		&s,
		"# deb http://no/debian bookworm main\n"
		"deb http://one/debian/ bookworm main contrib # comment\n"
		"deb-src http://no/debian bookworm main\n"
		"deb [ arch=amd64 signed-by=/k.gpg ] http://two/debian-security bookworm-security main\n"
		"deb http://no/debian bookworm contrib\n"
		"deb cdrom:\n",
		false);
	assert_int_equal(s.n, 2);
	assert_string_equal(s.v[0].uri, "http://one/debian");
	assert_string_equal(s.v[0].suite, "bookworm");
	assert_null(s.v[0].signed_by);
	assert_string_equal(s.v[1].signed_by, "/k.gpg");
	apt_sources_free(&s);

	apt_sources_parse(
		&s,
		"Types: deb deb-src\n"
		"# a comment inside\n"
		"URIs: http://one/debian/\n"
		"  http://other/debian\n"
		"Suites: trixie\n"
		" trixie-updates\n"
		"Components: main\n"
		"Signed-By:\n"
		" -----BEGIN PGP PUBLIC KEY BLOCK-----\n"
		" .\n"
		" abc\n"
		"\n"
		"Types: deb\nEnabled: no\nURIs: http://no\nSuites: trixie\nComponents: main\n"
		" \n"
		"types: deb\nURIs: http://three\nSuites: trixie-security\nComponents: main\n"
		"Signed-By: /k.pgp",
		true);
	assert_int_equal(s.n, 5);
	assert_string_equal(s.v[1].suite, "trixie-updates");
	assert_string_equal(s.v[2].uri, "http://other/debian");
	assert_null(s.v[0].signed_by);
	assert_string_equal(s.v[4].signed_by, "/k.pgp");
	apt_sources_free(&s);
}

static void the_debian_archive_is_told_from_other_vendors(void **state)
{
	static const char list[] =
		"deb [signed-by=/k/vendor.gpg] http://vendor/debian bookworm main\n"
		"deb http://apt.example.com/things bookworm main\n"
		"deb http://mirror/debian bookworm-updates main\n"
		"deb [signed-by=/k/debian-archive-keyring.gpg] http://mirror/pub/debian bookworm main\n"
		"deb http://mirror/debian-security bookworm-security main\n"
		"deb http://db/apt bookworm-pgdg main\n";
	struct apt_sources s = {};

	(void)state;
	assert_null(apt_sources_pick(&s, false));
	apt_sources_parse(&s, list, false);
	assert_string_equal(apt_sources_pick(&s, false)->uri, "http://mirror/pub/debian");
	assert_string_equal(apt_sources_pick(&s, true)->uri, "http://mirror/debian-security");
	apt_sources_free(&s);
	apt_sources_parse(&s, "deb [signed-by=/k/vendor.gpg] http://vendor/debian bookworm main\n",
			  false);
	assert_null(apt_sources_pick(&s, false));
	apt_sources_free(&s);
}

static void sources_of_a_machine_are_found_in_all_its_files(void **state)
{
	struct apt_sources s = {};

	(void)state;
	put("apt/sources.list", "deb http://a/debian bookworm main\n");
	put("apt/sources.list.d/b.list", "deb http://b/debian bookworm main\n");
	put("apt/sources.list.d/c.sources",
	    "Types: deb\nURIs: http://c\nSuites: sid\nComponents: main\n");
	put("apt/sources.list.d/d.list.disabled", "deb http://d/debian bookworm main\n");
	{
		_cleanup_free_ char *path = at("apt"), *none = at("none");

		apt_sources_read(&s, none);
		assert_int_equal(s.n, 0);
		apt_sources_read(&s, path);
	}
	assert_int_equal(s.n, 3);
	assert_string_equal(s.v[2].suite, "sid");
	apt_sources_free(&s);
}

static const char sum[] =
	"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"; /* of "test" */

static void a_list_of_packages_comes_back_as_it_was_written(void **state)
{
	struct deb v[] = {
		{ .package = "linux-image-1",
		  .version = "1-1~x",
		  .file = "a_1%7ex.deb",
		  .uri = "http://a/b?c",
		  .size = 5000000000LL,
		  .installed = 7 },
		{ .package = "libc6",
		  .version = "2",
		  .file = "c.deb",
		  .uri = "file:///c",
		  .size = 1 },
	};
	struct deb_set in = { .suite = "s",
			      .arch = "a",
			      .when = "w",
			      .release = "1",
			      .version = "1-1~x",
			      .needs_libc = "2.38",
			      .with_libs = true,
			      .v = v,
			      .n = 2 },
		       out;
	_cleanup_free_ char *path = at("lock.json");

	(void)state;
	strcpy(v[0].sha256, sum);
	strcpy(v[1].sha256, sum);
	assert_int_equal(deb_set_read(&out, path), -ENOENT);
	assert_int_equal(deb_set_write(&in, path), 0);
	assert_int_equal(deb_set_read(&out, path), 0);
	assert_int_equal(out.n, 2);
	assert_true(out.with_libs);
	assert_string_equal(out.release, "1");
	assert_string_equal(out.needs_libc, "2.38");
	assert_string_equal(out.v[0].file, "a_1%7ex.deb");
	assert_string_equal(out.v[0].uri, "http://a/b?c");
	assert_true(out.v[0].size == 5000000000LL);
	assert_string_equal(out.v[1].sha256, sum);
	deb_set_free(&out);
}

static void a_damaged_list_of_packages_is_noticed(void **state)
{
	_cleanup_free_ char *path = at("lock.json");
	struct deb v = {
		.package = "p", .version = "1", .file = "../../etc/x", .uri = "u", .size = 1
	};
	struct deb_set set = { .suite = "s",
			       .arch = "a",
			       .when = "w",
			       .release = "1",
			       .version = "1",
			       .needs_libc = "2",
			       .v = &v,
			       .n = 1 },
		       out;
	struct buf b = {};

	(void)state;
	strcpy(v.sha256, sum);
	assert_int_equal(deb_set_write(&set, path), 0);
	assert_int_equal(deb_set_read(&out, path), -EINVAL); /* a file name that leads elsewhere */
	v.file = "x.deb";
	set.version = "../..";
	assert_int_equal(deb_set_write(&set, path), 0);
	assert_int_equal(deb_set_read(&out, path), -EINVAL);
	set.version = "1";
	assert_int_equal(deb_set_write(&set, path), 0);
	assert_int_equal(file_read(path, &b), 0);
	for (size_t n = 0; n + 2 < b.n; n += 7) { /* cut off anywhere */
		put_data("lock.json", b.s, n);
		assert_int_equal(deb_set_read(&out, path), -EINVAL);
	}
	buf_free(&b);
}

static void a_corrupt_download_is_noticed(void **state)
{
	struct deb deb = { .size = 4 };
	_cleanup_free_ char *path = at("x.deb");

	(void)state;
	strcpy(deb.sha256, sum);
	assert_int_equal(deb_check(&deb, path), -ENOENT);
	put("x.deb", "tes");
	assert_int_equal(deb_check(&deb, path), -ENODATA);
	put("x.deb", "tesT");
	assert_int_equal(deb_check(&deb, path), -EBADMSG);
	put("x.deb", "testx");
	assert_int_equal(deb_check(&deb, path), -EBADMSG);
	put("x.deb", "test");
	assert_int_equal(deb_check(&deb, path), 0);
}

static void only_what_is_needed_of_a_package_is_kept(void **state)
{
#define K "lib/modules/6-x/kernel/"
	static const struct {
		const char *package, *path, *to;
	} cases[] = {
		{ "linux-image-6-x", "./boot/vmlinuz-6-x", "vmlinuz" },
		{ "linux-binary-6-x", "./usr/lib/modules/6-x/vmlinuz", "vmlinuz" },
		{ "linux-image-6-x", "./boot/config-6-x", "config" },
		{ "linux-base-6-x", "./usr/lib/modules/6-x/config", "config" },
		{ "linux-image-6-x", "./boot/vmlinuz-6-y", NULL },
		{ "linux-image-6-x", "./" K "drivers/virtio/virtio.ko",
		  K "drivers/virtio/virtio.ko" },
		{ "linux-modules-6-x", "./usr/" K "net/9p/9pnet.ko.xz", K "net/9p/9pnet.ko.xz" },
		{ "linux-image-6-x", "./" K "drivers/gpu/drm/drm.ko", NULL },
		{ "linux-image-6-x", "./usr/share/doc/x", NULL },
		{ "linux-headers-6-x", "./usr/src/linux-headers-6-x/Makefile",
		  "usr/src/linux-headers-6-x/Makefile" },
		{ "linux-headers-6-x", "./usr/src/linux-headers-6-x/vmlinux", NULL },
		{ "linux-headers-6-x", "./lib/modules/6-x/build", NULL },
		{ "linux-headers-6-common", "./usr/src/linux-headers-6-common/arch/x86/Makefile",
		  "usr/src/linux-headers-6-common/arch/x86/Makefile" },
		{ "linux-headers-6-common", "./usr/src/linux-headers-6-common/arch/mips/Makefile",
		  NULL },
		{ "linux-headers-6-common", "./usr/src/linux-headers-6-common/arch/Kconfig",
		  "usr/src/linux-headers-6-common/arch/Kconfig" },
		{ "linux-headers-6-common", "./usr/src/../../x", NULL },
		{ "linux-kbuild-6", "./usr/lib/linux-kbuild-6/scripts/x",
		  "usr/lib/linux-kbuild-6/scripts/x" },
		{ "linux-kbuild-6", "./usr/src/linux-kbuild-6", NULL },
		{ "libc6", "./usr/lib/x86_64-linux-gnu/libc.so.6", "host/lib/libc.so.6" },
		{ "libc6", "./lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
		  "host/lib/ld-linux-x86-64.so.2" },
		{ "libc6", "./usr/lib/x86_64-linux-gnu/gconv/libc.so", NULL },
		{ "libc6", "./usr/lib64/ld-linux-x86-64.so.2", NULL },
		{ "libelf1", "./usr/lib/x86_64-linux-gnu/libelf.so.1", "host/lib/libelf.so.1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *to =
			unpack_place(cases[i].package, cases[i].path, "6-x", arch_at(0));

		if (cases[i].to && to)
			assert_string_equal(to, cases[i].to);
		else
			assert_true(!cases[i].to && !to);
	}
}

/* An ELF file of n bytes with one note; without its name "Xen" it is no PVH entry. */
static struct buf make_elf(size_t n, const char *note_name)
{
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr ph;
		Elf64_Nhdr nh;
		char name[4];
		uint64_t entry;
	} e = {
		.eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			.e_phoff = sizeof(e.eh),
			.e_phnum = 1,
			.e_phentsize = sizeof(e.ph) },
		.ph = { .p_type = PT_NOTE,
			.p_offset = sizeof(e.eh) + sizeof(e.ph),
			.p_filesz = sizeof(e.nh) + 4 + 8 },
		.nh = { .n_namesz = 4, .n_descsz = 8, .n_type = 18 },
	};
	struct buf b = {};

	memcpy(e.name, note_name, 4);
	buf_add(&b, &e, sizeof(e));
	while (b.n < n)
		buf_add(&b, b.n > n / 2 ? "\0\0\0\0\0\0\0" : "abcdefg", n - b.n < 7 ? n - b.n : 7);
	return b;
}

static la_ssize_t pack_more(struct archive *a, void *ctx, const void *p, size_t n)
{
	(void)a;
	buf_add(ctx, p, n);
	return n;
}

/* A bzImage as the kernel's build makes it: the unpacked size follows the payload, but for gzip. */
static struct buf make_bzimage(const struct buf *elf, int (*add_filter)(struct archive *a),
			       bool gzip)
{
	struct archive_entry *e = archive_entry_new();
	struct archive *a = archive_write_new();
	struct buf packed = {}, bz = {};
	uint32_t size = elf->n, length;
	char head[5 * 512] = {};

	archive_entry_set_pathname(e, "x");
	archive_entry_set_filetype(e, AE_IFREG);
	assert_int_equal(add_filter(a), ARCHIVE_OK);
	archive_write_set_format_raw(a);
	archive_write_set_bytes_in_last_block(a, 1);
	assert_int_equal(archive_write_open(a, &packed, NULL, pack_more, NULL), ARCHIVE_OK);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	assert_int_equal(archive_write_data(a, elf->s, elf->n), elf->n);
	archive_write_free(a);
	archive_entry_free(e);
	if (!gzip)
		buf_add(&packed, &size, 4);
	length = packed.n;
	memcpy(head + 0x202, "HdrS", 4);
	memcpy(head + 0x206, "\x0f\x02", 2);
	head[0x1f1] = 4;
	memcpy(head + 0x24c, &length, 4); /* the offset, at 0x248, is 0 */
	buf_add(&bz, head, sizeof(head));
	buf_add(&bz, packed.s, packed.n);
	buf_puts(&bz, "what follows the payload");
	buf_free(&packed);
	return bz;
}

static void assert_boots_as(const struct buf *in, const struct buf *wanted)
{
	_cleanup_free_ char *from = at("vmlinuz"), *to = at("image");
	struct buf got = {};

	put_data("vmlinuz", in->s, in->n);
	assert_int_equal(image_make_bootable(arch_at(0), from, to), LAB_OK);
	assert_int_equal(file_read(to, &got), 0);
	assert_int_equal(got.n, wanted->n);
	assert_memory_equal(got.s, wanted->s, got.n);
	buf_free(&got);
}

static void the_elf_inside_a_bzimage_is_what_boots(void **state)
{
	struct buf elf = make_elf(300001, "Xen"), bz;

	(void)state;
	bz = make_bzimage(&elf, archive_write_add_filter_gzip, true);
	assert_boots_as(&bz, &elf);
	buf_free(&bz);
	bz = make_bzimage(&elf, archive_write_add_filter_xz, false);
	assert_boots_as(&bz, &elf);
	buf_free(&bz);
	bz = make_bzimage(&elf, archive_write_add_filter_zstd, false);
	assert_boots_as(&bz, &elf);
	buf_free(&bz);
	assert_boots_as(&elf, &elf);
	buf_free(&elf);
}

static void a_bzimage_that_cannot_be_opened_boots_as_it_is(void **state)
{
	struct buf elf = make_elf(70000, "Xen"), plain = make_elf(70000, "GNU"), bz;
	size_t whole;

	(void)state;
	bz = make_bzimage(&plain, archive_write_add_filter_xz, false); /* no PVH entry */
	assert_boots_as(&bz, &bz);
	buf_free(&bz);
	bz = make_bzimage(&elf, archive_write_add_filter_xz, false);
	whole = bz.n;
	for (bz.n = 0; bz.n < whole - 30; bz.n += 97) /* cut off anywhere */
		assert_boots_as(&bz, &bz);
	bz.n = whole;
	for (size_t i = 2600; i < 2640; i++) { /* a payload that is damaged */
		bz.s[i] ^= 0x55;
		assert_boots_as(&bz, &bz);
		bz.s[i] ^= 0x55;
	}
	buf_free(&bz);
	buf_free(&elf);
	buf_free(&plain);
}

static void a_built_tree_is_a_kernel_and_each_missing_piece_is_an_error(void **state)
{
	static const char *const files[] = {
		"Makefile",
		".config",
		"include/config/auto.conf",
		"include/config/kernel.release",
		"include/generated/autoconf.h",
		"scripts/mod/modpost",
		"Module.symvers",
		"arch/x86/boot/bzImage",
	};
	_cleanup_free_ char *spec = xasprintf("dir:%s/tree", dir);
	struct buf elf = make_elf(5000, "Xen");
	struct kernel k;
	char id[HASH_HEX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *name = xasprintf("tree/%s", files[i]);

		if (i)
			assert_int_equal(kernel_get(spec, false, &k), LAB_CANNOT);
		put(name, "x\n");
	}
	assert_int_equal(kernel_get(spec, false, &k),
			 LAB_CANNOT); /* a configuration for nothing we know */
	put("tree/.config",
	    "#\n#\n# Linux/x86 6.1.2 Kernel Configuration\n#\nCONFIG_64BIT=y\nCONFIG_A=m\n"
	    "CONFIG_GCC_VERSION=10100\n# CONFIG_B is not set\nCONFIG_S=\"text\"\n");
	put("tree/include/config/kernel.release", "6.1.2-mine\n");
	put_data("tree/arch/x86/boot/bzImage", elf.s, elf.n);
	assert_int_equal(kernel_get(spec, false, &k), LAB_OK);
	assert_string_equal(k.release, "6.1.2-mine");
	assert_string_equal(k.make_args.v[0], "ARCH=x86");
	assert_string_equal(k.cc, "gcc"); /* gcc-1 is nowhere */
	assert_int_equal(kernel_config(&k, "CONFIG_64BIT"), 'y');
	assert_int_equal(kernel_config(&k, "A"), 'm');
	assert_int_equal(kernel_config(&k, "B"), 'n');
	assert_int_equal(kernel_config(&k, "S"), 'y');
	assert_int_equal(kernel_config(&k, "64BI"), 'n');
	assert_true(file_exists(k.image));
	strcpy(id, k.id);
	kernel_free(&k);
	put("tree/Module.symvers", "another\n");
	assert_int_equal(kernel_get(spec, false, &k), LAB_OK);
	assert_string_not_equal(id, k.id);
	kernel_free(&k);
	buf_free(&elf);
}

static void an_older_compiler_gets_headers_without_what_it_lacks(void **state)
{
	_cleanup_free_ char *kdir = at("src/linux-headers-6"), *same = NULL, *older = NULL,
			    *again = NULL;
	_cleanup_free_ char *conf = NULL, *header = NULL, *makefile = NULL;
	struct kernel_cc cc = { .own_version = 140200, .version = 120200 };
	struct buf b = {};

	(void)state;
	put("src/linux-headers-6/Makefile", "all:\n");
	put("src/linux-headers-6/include/config/auto.conf",
	    "CONFIG_A=y\nCONFIG_CC_HAS_ASSUME=y\nCONFIG_CC_HAS_ASSUME_NOT=y\n");
	put("src/linux-headers-6/include/generated/autoconf.h",
	    "#define CONFIG_A 1\n#define CONFIG_CC_HAS_ASSUME 1\n");
	older = unpack_kdir_for(kdir, &cc);
	again = unpack_kdir_for(kdir, &cc);
	assert_string_not_equal(older, kdir);
	assert_string_equal(older, again);
	conf = xasprintf("%s/include/config/auto.conf", older);
	header = xasprintf("%s/include/generated/autoconf.h", older);
	makefile = xasprintf("%s/Makefile", older);
	assert_int_equal(file_read(conf, &b), 0);
	assert_string_equal(b.s, "CONFIG_A=y\nCONFIG_CC_HAS_ASSUME_NOT=y\n");
	buf_free(&b);
	assert_int_equal(file_read(header, &b), 0);
	assert_string_equal(b.s, "#define CONFIG_A 1\n");
	buf_free(&b);
	assert_true(file_exists(makefile));
	cc.version = 130200; /* has it */
	same = unpack_kdir_for(kdir, &cc);
	assert_string_equal(same, kdir);
}

static void an_option_that_a_debug_kernel_came_out_without_is_told(void **state)
{
	static const char asked[] = "# comment\n"
				    "CONFIG_A=y\n"
				    "CONFIG_B=m\n"
				    "CONFIG_C=n\n"
				    "CONFIG_D=n\n"
				    "CONFIG_E=y\n"
				    "CONFIG_LONG=y\n"
				    "CONFIG_S=\"text\"\n"
				    "CONFIG_E=n\n"; /* the last one counts */
	static const char config[] = "CONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\nCONFIG_D=y\n"
				     "CONFIG_LONGER=y\nCONFIG_S=\"text\"\n";
	struct strv lacks = {};

	(void)state;
	kernel_debug_lacks(asked, config, &lacks);
	assert_int_equal(lacks.n, 3);
	assert_string_equal(lacks.v[0], "CONFIG_B=m");
	assert_string_equal(lacks.v[1], "CONFIG_D=n");
	assert_string_equal(lacks.v[2], "CONFIG_LONG=y");
	strv_free(&lacks);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, dir_setup, dir_teardown)
	const struct CMUnitTest tests[] = {
		T(an_architecture_without_a_value_or_with_an_unknown_key_is_refused),
		T(a_name_that_is_no_kernel_is_a_usage_error),
		T(the_default_is_the_hosts_own_suite),
		T(sources_are_read_in_both_formats),
		T(the_debian_archive_is_told_from_other_vendors),
		T(sources_of_a_machine_are_found_in_all_its_files),
		T(a_list_of_packages_comes_back_as_it_was_written),
		T(a_damaged_list_of_packages_is_noticed),
		T(a_corrupt_download_is_noticed),
		T(only_what_is_needed_of_a_package_is_kept),
		T(the_elf_inside_a_bzimage_is_what_boots),
		T(a_bzimage_that_cannot_be_opened_boots_as_it_is),
		T(a_built_tree_is_a_kernel_and_each_missing_piece_is_an_error),
		T(an_older_compiler_gets_headers_without_what_it_lacks),
		T(an_option_that_a_debug_kernel_came_out_without_is_told),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
