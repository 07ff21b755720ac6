// SPDX-License-Identifier: GPL-2.0
#include "ssh.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX	  "ssh:"
#define CONNECT_S 10

bool ssh_parse(const char *spec, size_t n, struct ssh_host *h)
{
	_cleanup_free_ char *host = NULL;
	char *colon;

	*h = (struct ssh_host){};
	if (!str_starts(spec, PREFIX) || n <= strlen(PREFIX))
		return false;
	host = xstrndup(spec + strlen(PREFIX), n - strlen(PREFIX));
	colon = strrchr(host, ':');
	/* what begins with a dash would be an option of ssh's */
	if (*host == '-' || colon == host)
		return false;
	if (colon) {
		*colon = '\0';
		h->port = xstrdup(colon + 1);
	}
	h->name = xstrdup(host);
	return true;
}

void ssh_free(struct ssh_host *h)
{
	free(h->name);
	free(h->port);
	*h = (struct ssh_host){};
}

void ssh_words(const struct ssh_host *h, struct strv *argv)
{
	strv_split(argv, getenv("CDEVLAB_SSH") ?: "ssh", " ");
	strv_split(argv, "-T -o BatchMode=yes -o ServerAliveInterval=5 -o ServerAliveCountMax=3",
		   " ");
	strv_addf(argv, "-oConnectTimeout=%d", CONNECT_S);
	if (h->port) {
		strv_add(argv, "-p");
		strv_add(argv, h->port);
	}
	strv_add(argv, h->name);
}
