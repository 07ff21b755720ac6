/* SPDX-License-Identifier: GPL-2.0 */
/* Names of Rust functions as they stand in the source (libiberty). */
#ifndef CDEVLAB_DEMANGLE_H
#define CDEVLAB_DEMANGLE_H

/* demangle() - the name as people write it, where rustc has mangled it; a new string */
char *demangle(const char *name);

#endif
