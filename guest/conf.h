/* SPDX-License-Identifier: GPL-2.0 */
/* What is known of the module under test: driver.ini's file in the guest, and the UAPI header's ioctls. */
#ifndef CDEVLAB_CONF_H
#define CDEVLAB_CONF_H

#include <stdbool.h>
#include <stddef.h>

/* The driver's ioctls: a table that the host makes from the UAPI header and links in. */
struct uapi_ioctl {
	const char *name;
	unsigned long cmd;
};
extern const struct uapi_ioctl uapi_ioctls[];
extern const unsigned int uapi_n_ioctls;
/* How their arguments are laid out, as far as that is known, and the numbers that the header defines. */
struct uapi_field {
	unsigned long cmd;
	unsigned short offset, size;
};
extern const struct uapi_field uapi_fields[];
extern const unsigned int uapi_n_fields;
extern const unsigned long long uapi_numbers[];
extern const unsigned int uapi_n_numbers;

/* CONFORM_DIR/MODULE.conf. */
#define CONF_MAX 64
struct conf_arg {
	const char *name;
	unsigned char bytes[1024];
	size_t len;
};
struct conf {
	const char *nodes[CONF_MAX];
	unsigned int n_nodes;
	int mode; /* -1: not declared */
	const char *event;
	bool shared_events; /* events=device: one queue for all opens */
	bool merges_events; /* merge=yes: several events may be one record */
	char params[1024];
	struct conf_arg *args[CONF_MAX];
	unsigned int n_args;
	const char *absents[CONF_MAX]; /* ioctls of the header that this module is without */
	unsigned int n_absents;
	struct uapi_ioctl ioctls[256];
	unsigned int n_ioctls;
};
extern struct conf conf;

/* Reads it: from that file, or (NULL) from the one of the module under test, with the nodes noted at its load. */
void conf_find(const char *path);
/* The declared valid argument of a known ioctl, or NULL. */
const struct conf_arg *conf_arg_of(const struct uapi_ioctl *call);
/* Whether the module is declared to be without it. */
bool conf_absent(const struct uapi_ioctl *call);
#define CONF_EVENT_TEXT	 1024
#define CONF_EVENT_WORDS 32
/* The words of the event command for a node; they lie in @text. conf.event must be there. */
unsigned int conf_event(const char *node, char text[CONF_EVENT_TEXT], char *args[CONF_EVENT_WORDS]);
/* fs/ioctl.c answers these itself, before the driver. */
bool conf_vfs_ioctl(unsigned int type, unsigned int nr);

#endif
