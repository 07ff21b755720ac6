/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the host program and the guest agent say to each other.
 *
 * Downwards, once: the file PLAN_PATH of the initramfs, one instruction a line, words
 * separated by one blank, bytes outside 0x21..0x7e and '%' written as %XX:
 *
 *   module PATH [PARAM...]        load before the results port is looked for; a failure is fatal
 *   beat SECONDS                  an empty line so often while a job runs: a guest that is silent is dead
 *   job NAME SECONDS ENV... -- ARGV...   run in order; ENV is KEY=VALUE
 *   shell                         a prompt on the console, then power off
 *
 * Upwards, on the virtio-serial port RESULTS_PORT, lines of at most PROTOCOL_LINE bytes:
 *
 *   READY uptime_ms cpus          the agent runs and the port works; processors that are online
 *   JOB NAME                      a job begins
 *   | text                        one line of its standard output, byte for byte
 *   ! text                        one line of its standard error
 *   EXIT NAME status ms [why]     status: exit status, or -signal, or "timeout"
 *   END jobs                      all jobs were run; only empty lines follow
 *
 * An empty line means no more than that the agent lives: it pushes its last words out of the port's
 * queue with them.
 *
 * A stream without END is a crash, a hang or a lost channel, whatever QEMU's exit status.
 *
 * The kernel log has the first serial port to itself. Marks in it (written to /dev/kmsg) tie a line
 * to the test that caused it:
 *
 *   cdevlab: begin TEST
 *   cdevlab: end TEST taint=MASK        decimal, as /proc/sys/kernel/tainted has it
 *
 * TEST is a path: job/case. Marks nest (a job around its cases).
 */
#ifndef CDEVLAB_PROTOCOL_H
#define CDEVLAB_PROTOCOL_H

#define PLAN_PATH   "/lab/plan"
#define MODULES_DIR "/lab/modules" /* the modules under test, NAME.ko */
#define BIN_DIR	    "/lab/bin"	   /* clients, tests, benchmarks; in PATH */
#define CONFORM_DIR "/lab/conform" /* MODULE.conf: what driver.ini says of the module */
#define NODES_DIR   "/run/nodes"   /* MODULE: nodes that appeared at its load, one a line */

#define RESULTS_PORT  "cdevlab.results"
#define CONTROL_PORT  "cdevlab.control" /* the exact clock's, see exact.h */
#define PROTOCOL_LINE 4096

#define MARK_BEGIN "cdevlab: begin "
#define MARK_END   "cdevlab: end "

/* Environment of every job. */
#define ENV_TEST   "CDEVLAB_TEST"   /* the job's NAME: prefix of its cases in the marks */
#define ENV_MODULE "CDEVLAB_MODULE" /* module under test */
#define ENV_NODE   "CDEVLAB_NODE"   /* its first node, e.g. /dev/hello; absent if none */

/* Exit statuses of a test program that prints no KTAP (liburing's). */
#define TEST_PASS 0
#define TEST_FAIL 1
#define TEST_SKIP 77

#endif
