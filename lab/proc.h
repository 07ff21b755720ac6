/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Child processes and temporary directories that never outlive us.
 *
 * Each child leads a process group of its own. A reaper process in a session of its own is told of every
 * group and every temporary directory; when we end, however we end (SIGKILL included), it kills the groups
 * and removes the directories that were not taken back.
 */
#ifndef CDEVLAB_PROC_H
#define CDEVLAB_PROC_H

#include <stdbool.h>
#include <sys/types.h>

#include "lab.h"
#include "util.h"

/**
 * struct proc - a child to run
 * @argv:	NULL-terminated; argv[0] is searched in PATH
 * @dir:	working directory, or NULL
 * @env:	NULL-terminated KEY=VALUE list added to the environment, or NULL
 * @timeout_s:	the group is killed after that many seconds; 0: no limit
 * @in_fd:	its standard input; 0: /dev/null, -1: ours
 * @keep_fds:	the first of @n_keep descriptors it inherits, at the same numbers
 * @on_line:	called for each line of standard output and standard error as it comes, without the newline;
 *		NULL: output is collected in @out and @err
 * @pass:	output goes straight to ours
 * @quiet:	no message when it cannot be run
 */
struct proc {
	char *const *argv;
	const char *dir;
	char *const *env;
	int timeout_s;
	int in_fd;
	const int *keep_fds;
	int n_keep;
	void (*on_line)(void *ctx, const char *line, bool is_err);
	void *ctx;
	bool pass, quiet;
	/* results */
	pid_t pid;
	int out_fd, err_fd; /* of proc_start(): our ends, or -1 */
	int status;	    /* exit status, or -signal */
	bool timed_out;
	double deadline; /* now_s() at which it will have; 0: none */
	struct buf out, err;
};

/* Starts the reaper and the signal handling; first thing of main(). */
enum lab_exit proc_init(void);
/* Runs to the end. Returns LAB_OK when it could be started and ended by itself, whatever its status;
 * LAB_INTERRUPTED or LAB_TIMEOUT after having killed the group; LAB_CANNOT with a message otherwise. */
enum lab_exit proc_run(struct proc *p);
/* Told of each that has ended, or was killed for its time; what is not LAB_OK ends all. */
typedef enum lab_exit proc_done_fn(struct proc *p, void *ctx);
/**
 * proc_run_all() - runs many, so many of them side by side, in order
 * @done:	or NULL
 * Return: LAB_OK when each could be started, whatever it came to; LAB_INTERRUPTED, LAB_CANNOT, or what @done said,
 * after having killed those that ran.
 */
enum lab_exit proc_run_all(struct proc *v, size_t n, size_t at_once, proc_done_fn *done, void *ctx);
/* The two halves, for event loops: start; then after the pid has been waited for, or to kill it now. */
enum lab_exit proc_start(struct proc *p);
void proc_end(struct proc *p); /* kills the group, reaps, closes, sets status */
/* Non-blocking: true when it has ended (status set, group forgotten). */
bool proc_ended(struct proc *p);
void proc_free(struct proc *p);
/* A file descriptor that becomes readable at SIGINT or SIGTERM, for poll(). */
int proc_signal_fd(void);

/* Runs argv, returns its standard output without the last newline, or NULL when it fails (silent). */
char *proc_output(char *const *argv);
/* The path of this program, to run it with other words; a new string, or NULL without /proc. */
char *proc_self(void);
/* True when the program is in PATH. */
bool proc_have(const char *program);

/* A private directory under $TMPDIR (or under base if not NULL) that the reaper removes; NULL with a message. */
char *temp_dir(const char *base);
/* Removes it, or, if it was renamed away, only takes it back from the reaper. */
void temp_dir_done(char *path);

#endif
