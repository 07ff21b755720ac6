// SPDX-License-Identifier: GPL-2.0
/* What is known of the module under test: driver.ini's file in the guest, and the UAPI header's ioctls. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "conf.h"
#include "harness.h"
#include "protocol.h"

struct conf conf = { .mode = -1 };

static struct conf_arg *conf_arg(const char *name, const char *hex)
{
	struct conf_arg *arg = calloc(1, sizeof(*arg));
	unsigned int byte;

	if (!arg)
		return NULL;
	arg->name = name;
	while (arg->len < sizeof(arg->bytes)) {
		while (*hex == ' ')
			hex++;
		if (!isxdigit((unsigned char)hex[0]) || sscanf(hex, "%2x", &byte) != 1)
			break;
		arg->bytes[arg->len++] = byte;
		hex += isxdigit((unsigned char)hex[1]) ? 2 : 1;
	}
	return arg;
}

static void conf_ioctl(const char *name, unsigned long cmd)
{
	if (conf.n_ioctls == sizeof(conf.ioctls) / sizeof(conf.ioctls[0]))
		return;
	conf.ioctls[conf.n_ioctls].name = name;
	conf.ioctls[conf.n_ioctls++].cmd = cmd;
}

static void conf_line(const char *key, const char *value)
{
	size_t len;

	if (!strcmp(key, "node") && conf.n_nodes < CONF_MAX)
		conf.nodes[conf.n_nodes++] = strdup(value);
	else if (!strcmp(key, "mode"))
		conf.mode = strtol(value, NULL, 8);
	else if (!strcmp(key, "event") && *value)
		conf.event = strdup(value);
	else if (!strcmp(key, "events"))
		conf.shared_events = !strcmp(value, "device");
	else if (!strcmp(key, "merge"))
		conf.merges_events = !strcmp(value, "yes");
	else if (!strncmp(key, "arg.", 4) && conf.n_args < CONF_MAX)
		conf.args[conf.n_args++] = conf_arg(strdup(key + 4), value);
	else if (!strcmp(key, "absent") && conf.n_absents < CONF_MAX)
		conf.absents[conf.n_absents++] = strdup(value);
	else if (!strncmp(key, "ioctl.", 6))
		conf_ioctl(strdup(key + 6), strtoul(value, NULL, 0));
	else if (!strcmp(key, "param")) {
		len = strlen(conf.params);
		snprintf(conf.params + len, sizeof(conf.params) - len, "%s%s", len ? " " : "",
			 value);
	}
}

/* Lines of key=value; a file of bare paths is a list of nodes. */
static bool conf_read(const char *path)
{
	char line[4096], *value, *end;
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (!line[0] || line[0] == '#')
			continue;
		if (line[0] == '/') {
			conf_line("node", line);
			continue;
		}
		value = strchr(line, '=');
		if (!value)
			continue;
		for (end = value; end > line && end[-1] == ' '; end--)
			;
		*end = '\0';
		do
			value++;
		while (*value == ' ');
		conf_line(line, value);
	}
	fclose(f);
	return true;
}

void conf_find(const char *path)
{
	const char *module = test_module(), *node = getenv(ENV_NODE);
	char file[512];
	unsigned int i;

	for (i = 0; i < uapi_n_ioctls; i++)
		conf_ioctl(uapi_ioctls[i].name, uapi_ioctls[i].cmd);
	if (path) {
		conf_read(path);
	} else if (*module) {
		snprintf(file, sizeof(file), CONFORM_DIR "/%s.conf", module);
		conf_read(file);
	}
	if (!conf.n_nodes && *module) {
		snprintf(file, sizeof(file), NODES_DIR "/%s", module);
		conf_read(file);
	}
	if (!conf.n_nodes && node && *node)
		conf.nodes[conf.n_nodes++] = node;
}

unsigned int conf_event(const char *node, char text[CONF_EVENT_TEXT], char *args[CONF_EVENT_WORDS])
{
	char *word, *save;
	unsigned int n = 0;
	size_t len = 0;
	const char *at;

	for (at = conf.event; *at && len < CONF_EVENT_TEXT - 1; at++) {
		if (at[0] == '%' && at[1] == 'n') {
			len += snprintf(text + len, CONF_EVENT_TEXT - len, "%s", node);
			if (len >= CONF_EVENT_TEXT)
				len = CONF_EVENT_TEXT - 1;
			at++;
		} else {
			text[len++] = *at;
		}
	}
	text[len] = '\0';
	for (word = strtok_r(text, " ", &save); word && n < CONF_EVENT_WORDS - 1;
	     word = strtok_r(NULL, " ", &save))
		args[n++] = word;
	args[n] = NULL;
	return n;
}

const struct conf_arg *conf_arg_of(const struct uapi_ioctl *call)
{
	unsigned int i;

	for (i = 0; i < conf.n_args; i++)
		if (conf.args[i] && !strcmp(conf.args[i]->name, call->name))
			return conf.args[i];
	return NULL;
}

bool conf_absent(const struct uapi_ioctl *call)
{
	unsigned int i;

	for (i = 0; i < conf.n_absents; i++)
		if (conf.absents[i] && !strcmp(conf.absents[i], call->name))
			return true;
	return false;
}

bool conf_vfs_ioctl(unsigned int type, unsigned int nr)
{
	switch (type) {
	case 0:
		return nr == 1 || nr == 2; /* FIBMAP, FIGETBSZ */
	case 0x12:
		return true; /* block layer's */
	case 0x15:
		return nr <= 2; /* FS_IOC_GETFSUUID and its like */
	case 'T':
		return nr == 0x21 || nr == 0x50 || nr == 0x51 || nr == 0x52 || nr == 0x60;
	case 'X':
		return nr == 31 || nr == 32 || (nr >= 119 && nr <= 121);
	case 'f':
		return nr == 1 || nr == 2 || nr == 11;
	case 0x94:
		return nr == 9 || nr == 13 || nr == 54;
	case 0xfe:
		return false;
	default:
		/* arm64 and others number FIONBIO and friends differently. */
		return type == _IOC_TYPE(FIONBIO) &&
		       (nr == _IOC_NR(FIONBIO) || nr == _IOC_NR(FIOASYNC) ||
			nr == _IOC_NR(FIOCLEX) || nr == _IOC_NR(FIONCLEX));
	}
}
