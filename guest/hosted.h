/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The agent on a machine that is no guest of ours: a board, or this one. It runs the same plan with the same programs in a
 * root of its own, in memory, and in namespaces of its own; with the agent all of it ends. What is left is what modules
 * are: they are unloaded whatever happened, also when nobody is there any more who could ask for it.
 *
 *	agent hosted BYTES
 *
 * Standard input has BYTES bytes of a newc archive, the root, and then an empty line now and then from a host that lives.
 * Its end, or HOSTED_SILENCE_S seconds without one, is the end of everything. Standard output is the results port
 * (protocol.h) with two kinds of lines more:
 *
 *	K text		a line of the kernel log, as the serial port of a guest would have it
 *	GONE [why]	all is tidied up, or this is what is left
 */
#ifndef CDEVLAB_HOSTED_H
#define CDEVLAB_HOSTED_H

#define HOSTED_SILENCE_S 15
#define HOSTED_BEAT_S	 2

/* hosted_main - see above; @init runs the plan as the first process of the root, and says what it says to @port. */
int hosted_main(int argc, char **argv, void (*init)(int port));

#endif
