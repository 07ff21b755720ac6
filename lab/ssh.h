/* SPDX-License-Identifier: GPL-2.0 */
/* Commands on other machines. CDEVLAB_SSH: another ssh, or one with options, as GIT_SSH_COMMAND. */
#ifndef CDEVLAB_SSH_H
#define CDEVLAB_SSH_H

#include "util.h"

/* struct ssh_host - a machine */
struct ssh_host {
	char *name; /* [USER@]HOST */
	char *port; /* or NULL */
};
/* Reads "ssh:[USER@]HOST[:PORT]", @n bytes of @spec. Return: whether it is one. */
bool ssh_parse(const char *spec, size_t n, struct ssh_host *h);
void ssh_free(struct ssh_host *h);
/* The words that come before a script for the shell there; it asks for nothing, and gives up after a while. */
void ssh_words(const struct ssh_host *h, struct strv *argv);

#endif
