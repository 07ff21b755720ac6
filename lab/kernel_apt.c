// SPDX-License-Identifier: GPL-2.0
/*
 * Asking a Debian archive, through apt in a root of its own: signatures are checked, the host's apt
 * is neither read (but for its proxy settings) nor written, and nobody needs to be root.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel_internal.h"

#define DEFAULT_ARCHIVE	 "http://deb.debian.org/debian"
#define DEFAULT_SECURITY "http://deb.debian.org/debian-security"

static const struct suite suites[] = {
	{ .name = "bookworm", .security = true, .updates = true },
	{ .name = "bookworm-backports", .base = "bookworm", .security = true, .updates = true },
	{ .name = "trixie", .security = true, .updates = true },
	{ .name = "trixie-backports", .base = "trixie", .security = true, .updates = true },
	{ .name = "forky", .testing = true },
	{ .name = "sid" },
};

const struct suite *suite_at(size_t i)
{
	return i < ARRAY_SIZE(suites) ? &suites[i] : NULL;
}

const struct suite *suite_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(suites); i++)
		if (!strcmp(suites[i].name, name))
			return &suites[i];
	return NULL;
}

bool libc_older_than(const char *version)
{
	return strverscmp(gnu_get_libc_version(), version) < 0;
}

/* The machine's own sources */

static void source_add(struct apt_sources *s, const char *uri, const char *suite,
		       const char *signed_by)
{
	struct apt_source *a;
	size_t n;

	s->v = xrealloc(s->v, s->n + 1, sizeof(*s->v));
	a = &s->v[s->n++];
	*a = (struct apt_source){ .uri = xstrdup(uri), .suite = xstrdup(suite) };
	n = strlen(a->uri);
	while (n && a->uri[n - 1] == '/')
		a->uri[--n] = '\0';
	/*
	 * a fingerprint or a key given in place is no file: the archive's own keyring will do then
	 */
	if (signed_by && signed_by[0] == '/')
		a->signed_by = xstrndup(signed_by, strcspn(signed_by, " ,\t\n"));
}

/* deb [arch=amd64 signed-by=/FILE] URI SUITE COMPONENT... */
static void parse_one_line(struct apt_sources *s, char *line)
{
	char *hash = strchr(line, '#'), *open, *close;
	_cleanup_free_ char *key = NULL;
	struct strv words = {};

	if (hash)
		*hash = '\0';
	open = strchr(line, '[');
	close = open ? strchr(open, ']') : NULL;
	if (close) {
		char *by = strstr(open, "signed-by=");

		if (by && by < close)
			key = xstrndup(by + 10, strcspn(by + 10, " ]"));
		memset(open, ' ', close - open + 1);
	}
	strv_split(&words, line, " \t\r");
	if (words.n >= 4 && !strcmp(words.v[0], "deb"))
		for (size_t i = 3; i < words.n; i++)
			if (!strcmp(words.v[i], "main"))
				source_add(s, words.v[1], words.v[2], key);
	strv_free(&words);
}

/* The value of a field of one RFC 822 stanza, continuation lines joined; a new string or NULL. */
static char *stanza_field(const char *stanza, const char *name)
{
	size_t n = strlen(name);
	const char *line = stanza;

	while (line && *line) {
		const char *end = strchrnul(line, '\n');

		if (!strncasecmp(line, name, n) && line[n] == ':') {
			char *v;

			while (end[0] && (end[1] == ' ' || end[1] == '\t'))
				end = strchrnul(end + 1, '\n');
			v = xstrndup(line + n + 1, end - line - n - 1);
			memmove(v, str_trim(v), strlen(str_trim(v)) + 1);
			return v;
		}
		line = *end ? end + 1 : NULL;
	}
	return NULL;
}

static bool field_has(const char *field, const char *word)
{
	struct strv words = {};
	bool has;

	strv_split(&words, field ?: "", " \t\n\r");
	has = strv_has(&words, word);
	strv_free(&words);
	return has;
}

static void parse_stanza(struct apt_sources *s, const char *stanza)
{
	_cleanup_free_ char *types = stanza_field(stanza, "Types");
	_cleanup_free_ char *uris = stanza_field(stanza, "URIs");
	_cleanup_free_ char *names = stanza_field(stanza, "Suites");
	_cleanup_free_ char *components = stanza_field(stanza, "Components");
	_cleanup_free_ char *key = stanza_field(stanza, "Signed-By");
	_cleanup_free_ char *enabled = stanza_field(stanza, "Enabled");
	struct strv u = {}, n = {};

	if (!field_has(types, "deb") || !field_has(components, "main") ||
	    (enabled && !strcasecmp(enabled, "no")))
		return;
	strv_split(&u, uris ?: "", " \t\n\r");
	strv_split(&n, names ?: "", " \t\n\r");
	for (size_t i = 0; i < u.n; i++)
		for (size_t j = 0; j < n.n; j++)
			source_add(s, u.v[i], n.v[j], key);
	strv_free(&u);
	strv_free(&n);
}

/* Calls each() for every paragraph; comment lines are left out. */
static void each_stanza(const char *text, void (*each)(void *ctx, const char *stanza), void *ctx)
{
	struct buf b = {};

	while (*text) {
		const char *end = strchrnul(text, '\n');
		size_t blank = strspn(text, " \t\r");

		if (text + blank >= end) {
			if (b.n)
				each(ctx, b.s);
			b.n = 0;
		} else if (*text != '#') {
			buf_add(&b, text, end - text);
			buf_puts(&b, "\n");
		}
		text = *end ? end + 1 : end;
	}
	if (b.n)
		each(ctx, b.s);
	buf_free(&b);
}

static void source_stanza(void *ctx, const char *stanza)
{
	parse_stanza(ctx, stanza);
}

void apt_sources_parse(struct apt_sources *s, const char *text, bool deb822)
{
	struct strv lines = {};

	if (deb822) {
		each_stanza(text, source_stanza, s);
		return;
	}
	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.n; i++)
		parse_one_line(s, lines.v[i]);
	strv_free(&lines);
}

static void sources_read_file(struct apt_sources *s, const char *path)
{
	struct buf b = {};

	if (!file_read(path, &b))
		apt_sources_parse(s, b.s, str_ends(path, ".sources"));
	buf_free(&b);
}

void apt_sources_read(struct apt_sources *s, const char *dir)
{
	_cleanup_free_ char *list = xasprintf("%s/sources.list", dir);
	_cleanup_free_ char *parts = xasprintf("%s/sources.list.d", dir);
	struct strv names = {};
	struct dirent *e;
	DIR *d = opendir(parts);

	sources_read_file(s, list);
	while (d && (e = readdir(d)))
		if (str_ends(e->d_name, ".list") || str_ends(e->d_name, ".sources"))
			strv_addf(&names, "%s/%s", parts, e->d_name);
	if (d)
		closedir(d);
	strv_sort(&names);
	for (size_t i = 0; i < names.n; i++)
		sources_read_file(s, names.v[i]);
	strv_free(&names);
}

static bool suite_is_debian(const char *name, bool security)
{
	static const char *const others[] = { "bullseye", "stable", "oldstable", "testing",
					      "unstable" };
	size_t n = strcspn(name, "-/");
	bool has_pocket = !strcmp(name + n, "-security") || !strcmp(name + n, "/updates");

	if (has_pocket != security)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(suites); i++)
		if (strlen(suites[i].name) == n && !strncmp(name, suites[i].name, n))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (strlen(others[i]) == n && !strncmp(name, others[i], n))
			return true;
	return false;
}

/*
 * Other vendors' archives use Debian's suite names too. A wrong guess does no harm: apt refuses an
 * archive that is not signed with the keys given.
 */
static int source_score(const struct apt_source *a, bool security)
{
	int score = 1;

	if (!suite_is_debian(a->suite, security))
		return 0;
	if (a->signed_by && !strstr(a->signed_by, "debian"))
		return 0;
	if (a->signed_by && strstr(a->signed_by, "debian-archive"))
		score += 4;
	if (!strcmp(path_base(a->uri), security ? "debian-security" : "debian"))
		score += 2;
	if (strstr(a->uri, "debian.org/"))
		score++;
	return score;
}

const struct apt_source *apt_sources_pick(const struct apt_sources *s, bool security)
{
	const struct apt_source *best = NULL;
	int best_score = 0;

	for (size_t i = 0; i < s->n; i++) {
		int score = source_score(&s->v[i], security);

		if (score > best_score) {
			best_score = score;
			best = &s->v[i];
		}
	}
	return best;
}

void apt_sources_free(struct apt_sources *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].uri);
		free(s->v[i].suite);
		free(s->v[i].signed_by);
	}
	free(s->v);
	*s = (struct apt_sources){};
}

static const char *keyring(const struct apt_source *a)
{
	static const char *const usual[] = {
		"/usr/share/keyrings/debian-archive-keyring.gpg",
		"/usr/share/keyrings/debian-archive-keyring.pgp", /* Debian 13 has both names */
		"/usr/share/keyrings/debian-archive-keyring.asc",
	};

	if (a && a->signed_by && !access(a->signed_by, R_OK))
		return a->signed_by;
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		if (!access(usual[i], R_OK))
			return usual[i];
	return NULL;
}

/* The private root */

static enum lab_exit sources_text(struct buf *b, const struct suite *suite)
{
	const char *base = suite->base ?: suite->name;
	const struct apt_source *main_source, *security;
	struct apt_sources own = {};
	enum lab_exit ret = LAB_OK;
	const char *key, *uri;

	apt_sources_read(&own, "/etc/apt");
	main_source = apt_sources_pick(&own, false);
	security = apt_sources_pick(&own, true);
	key = keyring(main_source);
	if (!key) {
		ret = lab_fail(LAB_CANNOT, "install the package debian-archive-keyring",
			       "the keys that sign Debian's archive are not on this machine");
		goto out;
	}
	uri = main_source ? main_source->uri : DEFAULT_ARCHIVE;
	buf_printf(b, "deb [signed-by=%s] %s %s main\n", key, uri, base);
	if (suite->updates)
		buf_printf(b, "deb [signed-by=%s] %s %s-updates main\n", key, uri, base);
	if (suite->base)
		buf_printf(b, "deb [signed-by=%s] %s %s main\n", key, uri, suite->name);
	if (suite->security)
		buf_printf(b, "deb [signed-by=%s] %s %s-security main\n", keyring(security),
			   security ? security->uri : DEFAULT_SECURITY, base);
out:
	apt_sources_free(&own);
	return ret;
}

static void conf_text(struct buf *b, const char *dir, const struct suite *suite, const char *arch,
		      const char *host)
{
	/*
	 * Read twice: first of all (APT_CONFIG), so that apt finds its directories, and last (-c),
	 * so that nothing in the host's parts overrides it. The host's parts are kept for their
	 * proxy settings; their hooks would act on the host's apt.
	 */
	buf_puts(
		b,
		"#clear APT::Architectures;\n#clear APT::Update;\n#clear DPkg;\n#clear APT::NeverAutoRemove;\n");
	buf_printf(b, "APT::Architecture \"%s\";\nAPT::Architectures { \"%s\"; ", arch, arch);
	if (strcmp(arch, host))
		buf_printf(b, "\"%s\"; ", host);
	buf_puts(b, "};\n");
	buf_printf(b, "APT::Default-Release \"%s\";\n", suite->base ? suite->name : "");
	if (!getuid())
		buf_puts(b,
			 "APT::Sandbox::User \"root\";\n"); /* _apt cannot read a private cache */
	buf_puts(b, "APT::Update::Error-Mode \"any\";\n"
		    "APT::Get::AllowUnauthenticated \"false\";\n"
		    "Acquire::AllowInsecureRepositories \"false\";\n"
		    "Acquire::Languages \"none\";\n"
		    "Acquire::GzipIndexes \"true\";\n"
		    "Acquire::Retries \"2\";\n"
		    "Acquire::ForceHash \"SHA256\";\n"
		    "Acquire::Check-Valid-Until \"false\";\n" /* a mirror may lag */
		    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n"
		    "Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled \"false\";\n"
		    "Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled \"false\";\n"
		    "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled \"false\";\n"
		    "Dir::Etc::parts \"/etc/apt/apt.conf.d\";\n"
		    "Dir::Etc::main \"/etc/apt/apt.conf\";\n");
	buf_printf(b, "Dir::Etc::sourcelist \"%s/sources.list\";\n", dir);
	buf_printf(b, "Dir::Etc::sourceparts \"%s/empty\";\n", dir);
	buf_printf(b, "Dir::Etc::preferences \"%s/empty/none\";\n", dir);
	buf_printf(b, "Dir::Etc::preferencesparts \"%s/empty\";\n", dir);
	buf_printf(b, "Dir::Etc::trusted \"%s/empty/none\";\n", dir);
	buf_printf(b, "Dir::Etc::trustedparts \"%s/empty\";\n", dir);
	buf_printf(b, "Dir::State \"%s/state\";\nDir::State::lists \"%s/state/lists\";\n", dir,
		   dir);
	buf_printf(b, "Dir::State::status \"%s/status\";\n", dir);
	buf_printf(b, "Dir::State::extended_states \"%s/state/extended_states\";\n", dir);
	buf_printf(b, "Dir::Cache \"%s/cache\";\nDir::Cache::archives \"%s/cache/archives\";\n",
		   dir, dir);
	buf_puts(b, "Dir::Cache::pkgcache \"pkgcache.bin\";\nDir::Cache::srcpkgcache \"\";\n");
	buf_printf(b, "Dir::Log \"%s/log\";\n", dir);
}

static char *host_deb_arch(void)
{
	char *argv[] = { "dpkg", "--print-architecture", NULL };

	return proc_output(argv);
}

enum lab_exit apt_root_make(struct apt_root *root, const char *base, const struct suite *suite,
			    const char *arch)
{
	static const char *const dirs[] = { "empty", "state/lists/partial",
					    "cache/archives/partial", "log" };
	static const char *const files[] = { "status", "state/extended_states" };
	_cleanup_free_ char *host = NULL, *sources_path = NULL;
	struct buf conf = {}, list = {};
	enum lab_exit ret;
	int err = 0;

	*root = (struct apt_root){};
	if (!proc_have("apt-get") || !proc_have("dpkg-deb") ||
	    access("/usr/lib/apt/apt-helper", X_OK))
		return lab_fail(
			LAB_CANNOT,
			"install apt and dpkg, or use -k dir:PATH (a built tree) or -k host",
			"Debian's kernels are fetched with apt, which is not on this machine");
	host = host_deb_arch() ?: xstrdup(arch);
	ret = sources_text(&list, suite);
	if (ret)
		return ret;
	root->dir = temp_dir(base);
	if (!root->dir) {
		buf_free(&list);
		return LAB_CANNOT;
	}
	root->conf = xasprintf("%s/apt.conf", root->dir);
	sources_path = xasprintf("%s/sources.list", root->dir);
	conf_text(&conf, root->dir, suite, arch, host);
	for (size_t i = 0; i < ARRAY_SIZE(dirs) && !err; i++) {
		_cleanup_free_ char *p = xasprintf("%s/%s", root->dir, dirs[i]);

		err = make_dirs(p, 0755);
	}
	for (size_t i = 0; i < ARRAY_SIZE(files) && !err; i++) {
		_cleanup_free_ char *p = xasprintf("%s/%s", root->dir, files[i]);

		err = file_write(p, "", 0);
	}
	if (!err)
		err = file_write(root->conf, conf.s, conf.n);
	if (!err)
		err = file_write(sources_path, list.s, list.n);
	buf_free(&conf);
	buf_free(&list);
	root->env[0] = xasprintf("APT_CONFIG=%s", root->conf);
	root->env[1] = xstrdup("LC_ALL=C"); /* messages are read */
	if (err) {
		ret = lab_fail(LAB_CANNOT, NULL, "cannot write in %s: %s", root->dir,
			       strerror(-err));
		apt_root_free(root);
	}
	return ret;
}

void apt_root_free(struct apt_root *root)
{
	temp_dir_done(root->dir);
	free(root->conf);
	free(root->absent);
	free(root->env[0]);
	free(root->env[1]);
	*root = (struct apt_root){};
}

char *apt_error(const struct proc *p)
{
	static const char *const marks[] = { "E: ", "Err:", "W: " };
	_cleanup_free_ char *all = xasprintf("%s\n%s", p->err.s ?: "", p->out.s ?: "");
	struct strv lines = {};
	char *found = NULL;

	strv_split(&lines, all, "\n");
	for (size_t m = 0; m < ARRAY_SIZE(marks) && !found; m++) {
		for (size_t i = 0; i < lines.n && !found; i++) {
			if (!str_starts(lines.v[i], marks[m]))
				continue;
			/* these only say that there was an error before */
			if (strstr(lines.v[i], "Some index files failed") ||
			    strstr(lines.v[i], "Download Failed"))
				continue;
			found = xstrdup(lines.v[i] + (marks[m][1] == ':' ? 3 : 0));
		}
	}
	strv_free(&lines);
	return found ?: xasprintf("it ended with status %d", p->status);
}

/* Runs apt-cache or apt-get with our configuration last; p->out has what it says. */
static enum lab_exit apt_run(const struct apt_root *root, struct proc *p, struct strv *args)
{
	enum lab_exit ret;

	strv_add(args, "-c");
	strv_add(args, root->conf);
	*p = (struct proc){
		.argv = args->v, .env = (char *const *)root->env, .timeout_s = 600, .dir = root->dir
	};
	ret = proc_run(p);
	if (ret == LAB_TIMEOUT)
		return lab_fail(LAB_CANNOT, NULL, "%s did not end within ten minutes", args->v[0]);
	return ret;
}

/* The line that tells of the network, or NULL. apt's last word is then only that there is no Release file. */
static char *network_error(const struct proc *p)
{
	static const char *const marks[] = { "Could not connect",
					     "Unable to connect",
					     "Could not resolve",
					     "Temporary failure resolving",
					     "Connection failed",
					     "Connection timed out",
					     "Cannot initiate the connection" };
	const char *text = p->err.s ?: "";

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		const char *at = strstr(text, marks[i]) ?: strstr(p->out.s ?: "", marks[i]);

		if (at)
			return xstrndup(at, strcspn(at, "\n"));
	}
	return NULL;
}

/*
 * Lists that are not the ones the archive's signed index names: a mirror in the middle of an update, for
 * hours at times. apt keeps the lists that were right; whether the kernel is in them will be seen. False
 * when something else is wrong as well.
 */
static bool out_of_step(const struct proc *p, struct strv *lists)
{
	static const char failed[] = "E: Failed to fetch ";
	struct strv lines = {};
	bool only = true;

	strv_split(&lines, p->err.s ?: "", "\n");
	for (size_t i = 0; i < lines.n; i++) {
		const char *url = lines.v[i] + strlen(failed);

		if (!str_starts(lines.v[i], failed))
			continue;
		only &= strstr(url, "unexpected size") || strstr(url, "Hash Sum mismatch");
		strv_take(lists, xstrndup(url, strcspn(url, " ")));
	}
	strv_free(&lines);
	return only && lists->n;
}

static enum lab_exit apt_update(struct apt_root *root, const struct suite *suite)
{
	struct strv args = {};
	struct proc p = {};
	enum lab_exit ret;

	strv_split(&args, "apt-get update", " ");
	ret = apt_run(root, &p, &args);
	if (!ret && p.status) {
		_cleanup_free_ char *network = network_error(&p), *why = apt_error(&p);
		struct strv lists = {};

		root->out_of_step = out_of_step(&p, &lists);
		if (root->out_of_step)
			for (size_t i = 0; i < lists.n; i++)
				lab_warn("the archive is out of step, going on without %s",
					 lists.v[i]);
		else if (network)
			ret = lab_fail(
				LAB_CANNOT,
				"check the network and proxy settings; kernels fetched before work without "
				"(see `cdevlab kernel list`)",
				"cannot read the package lists of %s: %s", suite->name, network);
		else if (strstr(why, "does not have a Release file") || strstr(why, " 404 "))
			ret = lab_fail(
				LAB_CANNOT,
				"see /etc/apt/sources.list and sources.list.d for the archive in use",
				"the archive has no suite %s: %s", suite->name, why);
		else if (strstr(why, "No space left"))
			ret = lab_fail(
				LAB_CANNOT,
				"free some space, or set CDEVLAB_CACHE to a directory on another disk",
				"cannot read the package lists into %s: %s", root->dir, why);
		else
			ret = lab_fail(
				LAB_CANNOT,
				"check the network and proxy settings; kernels fetched before work without "
				"(see `cdevlab kernel list`)",
				"cannot read the package lists of %s: %s", suite->name, why);
		strv_free(&lists);
	}
	proc_free(&p);
	strv_free(&args);
	return ret;
}

/* Dependencies */

/* struct want - a package of the closure while it is being resolved */
struct want {
	char *name; /* as in Depends, without :arch and version */
	char *spec; /* for apt: name[:arch][=version] */
	char *version;
	long long installed;
	bool shown;
	bool meta; /* names the real one; nothing in it */
	bool lib;
};

struct resolve {
	struct apt_root *root;
	const char *host;
	bool libs;
	char *needs_libc;
	struct want *v;
	size_t n;
};

static bool any_prefix(const char *s, const char *const *prefixes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_starts(s, prefixes[i]))
			return true;
	return false;
}

/*
 * What a kernel needs on disk; linux-base and linux-compiler-* are scripts and dependencies for
 * installed ones.
 */
static bool is_kernel_package(const char *name)
{
	static const char *const prefixes[] = {
		"linux-image-",	  "linux-headers-", "linux-binary-",
		"linux-modules-", "linux-kbuild-",
	};

	if (str_starts(name, "linux-base-"))
		return isdigit((unsigned char)name[strlen("linux-base-")]);
	return any_prefix(name, prefixes, ARRAY_SIZE(prefixes));
}

/* What the kbuild tools are linked with. libssl is for signing only, which nothing here does. */
static bool is_tool_library(const char *name)
{
	static const char *const prefixes[] = { "libc6",    "libelf1",	"zlib1g",
						"libzstd1", "liblzma5", "libbz2-1" };

	return any_prefix(name, prefixes, ARRAY_SIZE(prefixes));
}

static void want_add(struct resolve *r, const char *name, const char *version)
{
	bool lib = is_tool_library(name), tool = str_starts(name, "linux-kbuild-");
	struct want *w;

	for (size_t i = 0; i < r->n; i++)
		if (!strcmp(r->v[i].name, name))
			return;
	r->v = xrealloc(r->v, r->n + 1, sizeof(*r->v));
	w = &r->v[r->n++];
	*w = (struct want){ .name = xstrdup(name), .lib = lib };
	/* tools run here, whatever they build for */
	w->spec = xasprintf("%s%s%s%s%s", name, (lib || tool) ? ":" : "",
			    (lib || tool) ? r->host : "", version ? "=" : "", version ?: "");
}

/* One entry of Depends: the first alternative that is one of ours. "a (= 1) | b" */
static void want_entry(struct resolve *r, const char *entry, const struct want *from)
{
	struct strv alternatives = {};

	strv_split(&alternatives, entry, "|");
	for (size_t i = 0; i < alternatives.n; i++) {
		char *a = str_trim(alternatives.v[i]), *open = strchr(a, '(');
		_cleanup_free_ char *name = xstrndup(a, strcspn(a, " (:[<"));
		_cleanup_free_ char *exact = NULL;

		if (open && str_starts(open, "(= "))
			exact = xstrndup(open + 3, strcspn(open + 3, ")"));
		if (str_starts(from->name, "linux-kbuild-") && !strcmp(name, "libc6") && open) {
			const char *v = strpbrk(open, "0123456789");

			free(r->needs_libc);
			r->needs_libc = xstrndup(v ?: "0", strspn(v ?: "0", "0123456789."));
		}
		if (!(from->lib || str_starts(from->name, "linux-kbuild-")) ?
			    is_kernel_package(name) :
			    is_tool_library(name)) {
			want_add(r, name, exact);
			break;
		}
	}
	strv_free(&alternatives);
}

static void show_stanza(void *ctx, const char *stanza)
{
	_cleanup_free_ char *name = stanza_field(stanza, "Package");
	_cleanup_free_ char *version = stanza_field(stanza, "Version");
	_cleanup_free_ char *depends = stanza_field(stanza, "Depends");
	_cleanup_free_ char *pre = stanza_field(stanza, "Pre-Depends");
	_cleanup_free_ char *installed = stanza_field(stanza, "Installed-Size");
	_cleanup_free_ char *all = xasprintf("%s,%s", depends ?: "", pre ?: "");
	struct resolve *r = ctx;
	struct strv entries = {};
	struct want *w = NULL;
	size_t at;

	for (size_t i = 0; i < r->n; i++)
		if (name && !strcmp(r->v[i].name, name))
			w = &r->v[i];
	if (!w || w->shown || !version)
		return;
	w->shown = true;
	w->version = xstrdup(version);
	w->installed = 1024 * (installed ? atoll(installed) : 0);
	at = w - r->v;
	strv_split(&entries, all, ",");
	for (size_t i = 0; i < entries.n; i++) {
		/* libraries only when they are needed: that is known after the tools' own entry */
		struct want from = r->v[at];

		want_entry(r, entries.v[i], &from);
	}
	strv_free(&entries);
}

/* apt's way to say that it has no list of that suite; ours was said before. */
static bool is_about_lists(const char *why)
{
	return strstr(why, "APT::Default-Release");
}

/* Shows what was not shown yet. *more: there was something. */
static enum lab_exit resolve_round(struct resolve *r, bool *more)
{
	struct strv args = {};
	struct proc p = {};
	enum lab_exit ret;
	size_t n = r->n;

	*more = false;
	strv_split(&args, "apt-cache show --no-all-versions", " ");
	for (size_t i = 0; i < n; i++) {
		if (r->v[i].shown || (r->v[i].lib && !r->libs))
			continue;
		strv_add(&args, r->v[i].spec);
		*more = true;
	}
	if (!*more) {
		strv_free(&args);
		return LAB_OK;
	}
	ret = apt_run(r->root, &p, &args);
	if (!ret) {
		each_stanza(p.out.s ?: "", show_stanza, r);
		for (size_t i = 0; i < n && !ret; i++) {
			_cleanup_free_ char *why = NULL;

			if (r->v[i].shown || (r->v[i].lib && !r->libs))
				continue;
			why = apt_error(&p);
			free(r->root->absent);
			r->root->absent =
				xasprintf("the archive%s has no package %s now%s%s",
					  r->root->out_of_step ? " is out of step: it" : "",
					  r->v[i].spec, is_about_lists(why) ? "" : ": ",
					  is_about_lists(why) ? "" : why);
			ret = lab_fail(LAB_CANNOT,
				       "it may be in the middle of an update: try again later",
				       "%s", r->root->absent);
		}
	}
	proc_free(&p);
	strv_free(&args);
	return ret;
}

/* 'URI' FILE SIZE SHA256:HEX */
static bool parse_uri_line(char *line, struct deb *d)
{
	struct strv words = {};
	bool ok = false;

	strv_split(&words, line, " ");
	if (words.n == 4 && words.v[0][0] == '\'' && str_starts(words.v[3], "SHA256:") &&
	    strlen(words.v[3]) == 7 + HASH_HEX - 1) {
		*d = (struct deb){ .uri = xstrndup(words.v[0] + 1, strlen(words.v[0]) - 2),
				   .file = xstrdup(path_base(words.v[1])),
				   .size = atoll(words.v[2]) };
		strcpy(d->sha256, words.v[3] + 7);
		ok = true;
	}
	strv_free(&words);
	return ok;
}

static enum lab_exit resolve_uris(struct resolve *r, struct deb_set *set)
{
	struct strv args = {}, lines = {};
	struct proc p = {};
	enum lab_exit ret;

	strv_split(&args, "apt-get download --print-uris -qq", " ");
	for (size_t i = 0; i < r->n; i++)
		if (!r->v[i].meta && r->v[i].shown)
			strv_addf(&args, "%.*s=%s", (int)strcspn(r->v[i].spec, "="), r->v[i].spec,
				  r->v[i].version);
	ret = apt_run(r->root, &p, &args);
	strv_split(&lines, p.out.s ?: "", "\n");
	for (size_t i = 0; i < lines.n && !ret; i++) {
		struct deb d;

		if (!parse_uri_line(lines.v[i], &d))
			continue;
		for (size_t j = 0; j < r->n; j++) {
			size_t n = strlen(r->v[j].name);

			if (strncmp(d.file, r->v[j].name, n) || d.file[n] != '_')
				continue;
			d.package = xstrdup(r->v[j].name);
			d.version = xstrdup(r->v[j].version);
			d.installed = r->v[j].installed;
		}
		if (!d.package) {
			free(d.uri);
			free(d.file);
			continue;
		}
		set->v = xrealloc(set->v, set->n + 1, sizeof(*set->v));
		set->v[set->n++] = d;
	}
	if (!ret && (p.status || !set->n)) {
		_cleanup_free_ char *why = apt_error(&p);

		ret = lab_fail(LAB_CANNOT, "it may be in the middle of an update: try again later",
			       "cannot find all packages of the kernel: %s", why);
	}
	strv_free(&lines);
	strv_free(&args);
	proc_free(&p);
	return ret;
}

/*
 * apt takes the newest of all suites given; for backports that must be one of the backports suite.
 */
static bool is_from_suite(const struct suite *suite, const char *version)
{
	return !suite->base || strstr(version, "~bpo");
}

/* The two meta packages are built separately, and one can be ahead of the other for some hours. */
static bool has_headers(const struct resolve *r, const char *release)
{
	_cleanup_free_ char *name = xasprintf("linux-headers-%s", release);

	for (size_t i = 0; i < r->n; i++)
		if (!strcmp(r->v[i].name, name))
			return true;
	return false;
}

static int release_of_suite(const struct dirent *e)
{
	return str_ends(e->d_name, "_InRelease") || str_ends(e->d_name, "_Release");
}

/* What the signed index of the suite itself says; true where it does not say. */
static bool suite_has_arch(const struct apt_root *root, const struct suite *suite, const char *arch)
{
	_cleanup_free_ char *dir = xasprintf("%s/state/lists", root->dir);
	_cleanup_free_ char *part = xasprintf("_dists_%s_", suite->name);
	struct dirent **names = NULL;
	int n = scandir(dir, &names, release_of_suite, alphasort);
	bool has = true;

	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, names[i]->d_name);
		_cleanup_free_ char *archs = NULL;
		struct buf b = {};

		if (strstr(names[i]->d_name, part) && !file_read(path, &b)) {
			const char *stanza = strstr(b.s, "\nOrigin:");

			archs = stanza_field(stanza ? stanza + 1 : b.s, "Architectures");
			has &= !archs || field_has(archs, arch);
		}
		buf_free(&b);
		free(names[i]);
	}
	free(names);
	return has;
}

enum lab_exit apt_resolve(struct apt_root *root, const struct suite *suite, const char *arch,
			  bool with_libs, struct deb_set *set)
{
	_cleanup_free_ char *host = host_deb_arch() ?: xstrdup(arch);
	struct resolve r = { .root = root, .host = host };
	_cleanup_free_ char *image = xasprintf("linux-image-%s", arch);
	_cleanup_free_ char *headers = xasprintf("linux-headers-%s", arch);
	enum lab_exit ret = apt_update(root, suite);
	bool more = true;

	*set = (struct deb_set){};
	if (!ret && !suite_has_arch(root, suite, arch)) {
		root->no_arch = true;
		free(root->absent);
		root->absent = xasprintf("the archive has no %s in %s", arch, suite->name);
		ret = lab_fail(LAB_CANNOT, "`cdevlab kernel list` shows what there is", "%s",
			       root->absent);
	}
	want_add(&r, image, NULL);
	want_add(&r, headers, NULL);
	r.v[0].meta = r.v[1].meta = true;
	/* the shell of a guest, which may be of another architecture than this machine */
	want_add(&r, "busybox-static", NULL);
	while (!ret && more) {
		r.libs = with_libs || (r.needs_libc && libc_older_than(r.needs_libc));
		ret = resolve_round(&r, &more);
	}
	for (size_t i = 0; i < r.n && !ret && !set->release; i++) {
		const char *rel = r.v[i].name + strlen("linux-image-");

		if (!str_starts(r.v[i].name, "linux-image-") || !isdigit((unsigned char)*rel))
			continue;
		set->release = xstrdup(rel);
		set->version = xstrdup(r.v[i].version);
	}
	if (!ret && (!set->release || !is_from_suite(suite, set->version))) {
		root->absent = xasprintf("%s has no kernel for %s now", suite->name, arch);
		ret = lab_fail(LAB_CANNOT, "`cdevlab kernel list` names the suites", "%s",
			       root->absent);
	}
	if (!ret && !has_headers(&r, set->release)) {
		root->absent = xasprintf("%s has the kernel %s but not its headers", suite->name,
					 set->release);
		ret = lab_fail(LAB_CANNOT,
			       "the archive is in the middle of an update: try again later", "%s",
			       root->absent);
	}
	if (!ret)
		ret = resolve_uris(&r, set);
	if (!ret) {
		set->suite = xstrdup(suite->name);
		set->arch = xstrdup(arch);
		set->when = utc_now();
		set->needs_libc = xstrdup(r.needs_libc ?: "0");
		set->with_libs = r.libs;
	} else {
		deb_set_free(set);
	}
	for (size_t i = 0; i < r.n; i++) {
		free(r.v[i].name);
		free(r.v[i].spec);
		free(r.v[i].version);
	}
	free(r.v);
	free(r.needs_libc);
	return ret;
}

/* NAME_VERSION_ARCH.deb; apt writes a colon as %3a. */
static void name_deb(struct deb *d)
{
	size_t name = strcspn(d->file, "_");
	const char *rest = d->file[name] ? d->file + name + 1 : "";
	_cleanup_free_ char *version = xstrndup(rest, strcspn(rest, "_"));

	d->package = xstrndup(d->file, name);
	d->version = str_replace(version, "%3a", ":");
}

/* The suite's own packages come first: one of backports is only taken where its version is asked for. */
static int no_default_release(const struct apt_root *root)
{
	struct buf b = {};
	int err = file_read(root->conf, &b);

	buf_puts(&b, "APT::Default-Release \"\";\n");
	if (!err)
		err = file_write(root->conf, b.s, b.n);
	buf_free(&b);
	return err;
}

enum lab_exit apt_resolve_install(struct apt_root *root, const struct suite *suite,
				  const struct strv *specs, struct deb_set *set, char **why)
{
	struct strv args = {}, lines = {};
	enum lab_exit ret = apt_update(root, suite);
	struct proc p = {};
	int err = no_default_release(root);

	*why = NULL;
	if (!ret && err)
		ret = lab_fail(LAB_CANNOT, NULL, "cannot write %s: %s", root->conf, strerror(-err));
	if (ret)
		return ret;
	strv_split(&args, "apt-get install --no-install-recommends --print-uris -qq -y", " ");
	for (size_t i = 0; i < specs->n; i++)
		strv_add(&args, specs->v[i]);
	ret = apt_run(root, &p, &args);
	if (!ret && p.status) {
		*why = apt_error(&p);
		ret = LAB_CANNOT;
	}
	strv_split(&lines, p.out.s ?: "", "\n");
	for (size_t i = 0; i < lines.n && !ret; i++) {
		struct deb d;

		if (!parse_uri_line(lines.v[i], &d))
			continue;
		name_deb(&d);
		set->v = xrealloc(set->v, set->n + 1, sizeof(*set->v));
		set->v[set->n++] = d;
	}
	strv_free(&lines);
	strv_free(&args);
	proc_free(&p);
	return ret;
}
