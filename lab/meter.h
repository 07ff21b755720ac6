/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What measures energy: a meter in the supply's cable, counters of the processor, sensors of the board; or a file that
 * one of them was recorded to. A recording is a process of its own that writes a file, line by line: a meter that is
 * pulled out or hangs takes nothing with it. What a run of something took is read from the file afterwards, by the times
 * at which it began and ended.
 *
 *	meter.c		recording, the file, energy between two times
 *	meter_fnb58.c	FNIRSI FNB58, FNB48 and C1, over hidraw
 *	meter_sysfs.c	powercap (RAPL) and hwmon
 *	meter_ssh.c	one of these on another machine
 *
 * No meter is no measurement: never 0 joules.
 */
#ifndef CDEVLAB_METER_H
#define CDEVLAB_METER_H

#include <stdint.h>
#include <stdio.h>

#include "lab.h"
#include "util.h"

/* struct meter_reading - at one time; what a meter does not tell is NAN */
struct meter_reading {
	double t; /* s, as now_s() */
	double volts, amps, watts;
	double joules; /* a counter, since it was opened */
};

/* struct meter_session - a meter that is being read */
struct meter_session {
	const struct meter *meter;
	void *handle;		   /* the kind's own */
	double began;		   /* the first reading */
	size_t received, expected; /* readings; expected 0: whenever they are asked for */
	size_t gaps, bad;	   /* times of silence; answers that were damaged */
	double last;		   /* the last reading */
	char *why;		   /* it cannot be read any more, for that reason */
};

struct meter;

/* struct meter_kind - one way to measure */
struct meter_kind {
	const char *name;
	/* Adds those that there are; NULL: they must be named. @root: "" or a directory that plays the root directory. */
	void (*list)(const char *root, struct meter **meters, size_t *n);
	/* Return: LAB_OK, or LAB_CANNOT after a message with the remedy. */
	enum lab_exit (*open)(struct meter_session *s);
	/* Waits at most that long, seconds. Return: how many readings are in @out; -1: s->why says why there are no more. */
	int (*read)(struct meter_session *s, double wait, struct meter_reading *out, size_t most);
	void (*close)(struct meter_session *s);
};
extern const struct meter_kind meter_fnb58, meter_rapl, meter_hwmon, meter_ssh;

/* struct meter - one that is there */
struct meter {
	const struct meter_kind *kind;
	char *name;    /* "fnb58", "rapl", "hwmon:ina226/power1": as --meter takes it */
	char *what;    /* for people: "FNIRSI FNB58 (/dev/hidraw0)" */
	char *why_not; /* it cannot be read, and what to do; or NULL */
	struct strv paths;
};

/* For those that list: one more, empty but for its kind. */
struct meter *meter_add(struct meter **meters, size_t *n, const struct meter_kind *kind);
/* All that there are, and those that would be if they could be read. */
void meter_list(const char *root, struct meter **meters, size_t *n);
void meters_free(struct meter *meters, size_t n);
/**
 * meter_find() - by name: a kind, or a whole name; "auto": the first that can be read
 * Return: LAB_CANNOT after a message where there is none, or it cannot be read.
 */
enum lab_exit meter_find(const char *name, const struct meter *meters, size_t n,
			 const struct meter **found);

/* That of another machine, "ssh:[USER@]HOST[:PORT]/METER". Return: LAB_USAGE after a message when it is none. */
enum lab_exit meter_ssh_add(const char *spec, struct meter **meters, size_t *n);

/* Adds a reading to those that there are; silence of more than three times @period, seconds, is a gap. */
void meter_note(struct meter_session *s, const struct meter_reading *r, double period);

/**
 * meter_record() - writes what a meter says to a file, or to standard output, until @seconds (0: none) are over or a signal comes
 * @path: "-": standard output
 * Each line is there as soon as it was read. With @shown, a line a second on standard error.
 * Return: LAB_OK also after a signal; LAB_CANNOT after a message when the meter fails: the file has what came until then.
 */
enum lab_exit meter_record(const struct meter *m, const char *path, double seconds, bool shown);

/* A line of a file that meter_record() writes. Return: whether it is a reading. */
bool meter_reading_parse(char *line, struct meter_reading *r);

/* struct meter_trace - a recording, read */
struct meter_trace {
	char *meter;   /* its name, or the file's */
	double start;  /* now_s() of t = 0 on the machine that it was recorded on; NAN: unknown */
	char *started; /* the same in UTC, or NULL */
	struct meter_reading *v; /* t from the file's beginning */
	size_t n, received, expected, gaps, bad;
	bool whole; /* its last line is there */
};
/**
 * meter_trace_read() - reads a file of meter_record(), or a CSV of another program
 * Columns by their names: time (t_s, timestamp, time), volts (volts, voltage_V), amps (amps, current_A), watts (watts,
 * power_W), joules (joules, energy_J); separated by commas, semicolons or blanks. Without watts they are volts times
 * amps. Lines with # are skipped.
 * Return: LAB_USAGE after a message with file and line when it is none.
 */
enum lab_exit meter_trace_read(const char *path, struct meter_trace *t);
void meter_trace_free(struct meter_trace *t);

/* struct meter_energy - between two times */
struct meter_energy {
	double joules, watts; /* watts: the mean */
	double silence;	      /* the longest time without a reading in between, s */
	double share;	      /* of the time that readings cover, gaps taken off: 0..1 */
};
/**
 * meter_energy() - of a part of a recording, @from to @to in its own time
 * Of a counter the difference, else the integral by trapezoids; at both ends between the readings next to them.
 * Return: false when it does not cover that time.
 */
bool meter_energy(const struct meter_trace *t, double from, double to, struct meter_energy *out);

/* meter_fnb58.c: the protocol */
#define FNB58_REPORT  64 /* bytes */
#define FNB58_SAMPLES 4	 /* in a report of data */
/* CRC-8, polynomial 0x39, initial 0x42: of "123456789" 0x4b. */
uint8_t fnb58_crc(const uint8_t *bytes, size_t n);
/* "aa CMD 00... crc" */
void fnb58_command(uint8_t command, uint8_t report[FNB58_REPORT]);
/* Return: readings (t not set) in a report: FNB58_SAMPLES of data, 0 of another; -1: it is damaged. */
int fnb58_parse(const uint8_t report[FNB58_REPORT], struct meter_reading out[FNB58_SAMPLES]);

#endif
