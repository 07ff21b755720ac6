/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The wall clock, inside the guest or on a real machine: how long the operations of a benchmark (exact.h) take. One run
 * of the program is one measurement of each; what many of them say together is the host's affair.
 *
 *	bench_x --wall [--op NAME]... [--count N] [--ms MS]
 *		each N times, or so often that it takes about MS milliseconds:
 *		{"op":"SET","count":120000,"ns":61234567}
 *	bench_x --wall --tasks T [--shared] ...
 *		T processes at once, a descriptor each or one that all share; the time from the first to the last:
 *		{"op":"SET","tasks":4,"shared":false,"count":480000,"ns":61234567}
 *	bench_x --wall --rate R ...
 *		R times a second, whether the one before has ended or not. What one took is counted from when it was due, so
 *		that one that is slow does not hide how long the next ones had to wait for it; in nanoseconds, a list of
 *		[value, how many], the value with three digits' precision:
 *		{"op":"SET","rate":1000,"count":5000,"ns":5000123456,"late":[[612,4031],[616,90]],"max":61234}
 *
 *	bench_x --wall --idle MS
 *		nothing, for so long: {"op":"idle","count":1,"ns":1000123456}
 *
 * Last, what the machine is like then (machine.h), without --idle:
 *		{"op":"machine","governor":"performance","khz":1800000,"millicelsius":44000,"throttled":0,"steal":0,
 *		 "total":123456}
 *
 * {"op":"SET","skipped":"open: EOPNOTSUPP"} and {"op":"SET","error":"check: EPROTO"} as with the exact clock.
 */
#ifndef CDEVLAB_WALL_H
#define CDEVLAB_WALL_H

#include "exact.h"

/* wall_main - what exact_main() becomes with --wall as its first argument */
int wall_main(int argc, char **argv, const struct exact_op *ops, size_t n_ops);

#endif
