/* SPDX-License-Identifier: GPL-2.0 */
/* A directory for a test's files: setup and teardown of a test or of a group, and what puts files in it. */
#ifndef CDEVLAB_TEST_DIR_H
#define CDEVLAB_TEST_DIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../lab/proc.h"
#include "../../lab/util.h"

static char *dir;

static inline int dir_setup(void **state)
{
	(void)state;
	dir = temp_dir(NULL);
	return dir ? 0 : -1;
}

static inline int dir_teardown(void **state)
{
	_cleanup_free_ char *was = xstrdup(dir);

	(void)state;
	temp_dir_done(dir);
	return file_exists(was);
}

/* A new string. */
static inline char *at(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static inline void put_data(const char *name, const void *data, size_t n)
{
	_cleanup_free_ char *path = at(name);
	_cleanup_free_ char *parent = xstrndup(path, path_base(path) - path - 1);

	assert_int_equal(make_dirs(parent, 0755), 0);
	assert_int_equal(file_write(path, data, n), 0);
}

static inline void put(const char *name, const char *text)
{
	put_data(name, text, strlen(text));
}

#endif
