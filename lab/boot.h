/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One boot: which modules and programs go into the guest, which jobs run there, what each one answered.
 */
#ifndef CDEVLAB_BOOT_H
#define CDEVLAB_BOOT_H

#include "build.h"
#include "vm.h"

/* struct job - a program run in the guest, and its answer */
struct job {
	char *name; /* MODULE/JOB */
	char *module;
	int timeout_s;
	struct strv env, argv;
	/* results */
	bool begun, ended;
	struct buf out, err;
	char *status; /* of EXIT: "0", "-11", "timeout" */
	char *why;    /* or NULL */
	double ms;
};

/* struct boot - see above; zero it, then boot_init() */
struct boot {
	struct vm vm;
	struct guest_tools tools;
	struct job *jobs;
	size_t n;
	struct strv modules; /* names in it already */
	struct strv built;   /* directories of rooms in it already */
	struct buf plan;
	struct job *running;
	bool end_seen;
	struct initramfs *fs;
	/* Called so often while jobs run, whatever they say; may be NULL. Needs vm.silence_s. */
	void (*on_beat)(struct boot *b);
	int beat_s; /* 0: some seconds */
	/* Called when a job has ended; ends the guest by vm->end = VM_STOPPED. May be NULL. */
	void (*on_job)(struct boot *b, struct vm *vm, struct job *j);
	/* The same of a line of its standard output as it comes, without the newline. */
	void (*on_output)(struct boot *b, struct vm *vm, struct job *j, const char *line);
	/* Called when the guest has ended, while others may still run: its results are there. May be NULL. */
	void (*on_end)(struct boot *b);
	void *ctx; /* for these */
};

enum lab_exit boot_init(struct boot *b, const struct kernel *k);
/*
 * Why what the guest says is worth nothing; a new string, or NULL. Emulated processors now and then lose each other
 * while the kernel starts them, and a host may stop for longer than the kernel in the guest has patience: whatever
 * failed then may have failed for that.
 */
char *boot_why_again(const struct boot *b);
/* Adds a module, what it needs, its room's programs; once each. */
void boot_add_module(struct boot *b, const struct built *built, const struct module *m);
/* A program that every room has with its own ioctls, "stress": as stress-ROOM; once each. */
void boot_add_suite(struct boot *b, const struct built *built, const char *name);
bool boot_has_module(const struct boot *b, const char *name);
/* A module of the kernel itself and what it needs, loaded by the agent before anything else. LAB_CANNOT: it has none. */
enum lab_exit boot_add_stock(struct boot *b, const char *name);
void boot_add_file(struct boot *b, const char *guest_path, const char *host_path);
void boot_add_data(struct boot *b, const char *guest_path, const void *data, size_t n);
/* Loaded by the agent before anything else, in that order; for a shell. */
void boot_load_early(struct boot *b, const struct module *m);
/* Several may have the same name: they run in the order that they were added in. */
struct job *boot_add_job(struct boot *b, const char *module, const char *name, int timeout_s);
/* Jobs that load a module (after what it needs) and that unload them again. */
void boot_add_load(struct boot *b, const struct built *built, const struct module *m);
void boot_add_unload(struct boot *b, const struct module *m);
struct job *boot_find_job(const struct boot *b, const char *module, const char *name);
/* The last line that it said, on standard error if there is any, or that it said nothing; a new string. */
char *job_last_words(const struct job *j);
/* Writes the initramfs of each and runs them, as vm_run() does. */
enum lab_exit boot_run(struct boot **boots, size_t n, size_t at_once);
void boot_free(struct boot *b);

#endif
