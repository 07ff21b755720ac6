/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A driver room: a directory with a Kbuild (or a Makefile that names obj-m) and, optionally, a driver.ini.
 * One of ours and somebody else's are the same thing here.
 *
 *	[driver]
 *	summary = Eight virtual pins behind ioctl
 *	[node]
 *	path = /dev/%m			; %m: the module's name; left out: what appears at load
 *	mode = 0666
 *	event = vgpioctl --device %n toggle 0	; makes node %n readable once
 *	events = device			; one queue of events for all opens, not one each
 *	merge = yes			; several events may be read as one
 *	[uapi]
 *	header = vgpio.h		; its _IO* macros are the known ioctls
 *	arg.VGPIO_SET = 0000000001000000	; a valid argument where zeros are none
 *	absent.vgpio_rust = VGPIO_GET	; this module of the room is without that ioctl; may be repeated
 *	[module]
 *	params = mode=0600		; at load
 *	stock = gpio-sim		; instead of a Kbuild: a module that comes with the kernel
 *	[bench]
 *	wall = vgpioctl bench --records	; prints figures by the wall clock, record.h says how; may be repeated
 */
#ifndef CDEVLAB_DRIVER_H
#define CDEVLAB_DRIVER_H

#include "lab.h"
#include "record.h"
#include "util.h"

struct driver {
	char *name;    /* the directory's last component */
	char *dir;     /* absolute */
	char *summary; /* or NULL */
	bool has_ini;
	char *node, *mode, *event, *events, *merge; /* or NULL */
	char *params;				    /* or NULL */
	char *stock; /* of a room without a module of its own: one that comes with the kernel; or NULL */
	struct strv headers; /* UAPI headers, relative to dir */
	struct strv ioctls;  /* names of their _IO* macros */
	struct strv args;    /* NAME=hexbytes */
	struct strv absents; /* MODULE=NAME */
	struct strv walls;   /* command lines */
	struct published published;
	struct goal *goals;
	size_t n_goals;
};

/**
 * driver_open() - reads a room
 * @spec:	a driver of ours by name, a peer of ours, or a directory (anything with a '/' or that is one)
 * Return: LAB_OK; LAB_USAGE when there is no such driver (the message names those there are), no Kbuild,
 * or a mistake in driver.ini (file:line), published.json or goals.json; LAB_CANNOT when it cannot be read.
 */
enum lab_exit driver_open(const char *spec, struct driver *d);
void driver_free(struct driver *d);
/* Names of all rooms of ours, sorted. */
enum lab_exit driver_names(struct strv *names);
/* True for names that are no source: version control, objects, what Kbuild leaves behind; and for bugs/. */
bool driver_skip_name(const char *name);
/*
 * Whether program prefix_STEM (test_vgpio, bench_vgpio) is meant for a module, given all modules of the room:
 * the one of that name and its Rust twins, or, where there is none, all of the family vgpio_...
 */
bool driver_program_fits(const char *stem, const char *module, const struct strv *modules);

#endif
