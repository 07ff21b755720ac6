// SPDX-License-Identifier: GPL-2.0
/*
 * Energy without a meter: in a guest an FNB58 is played whose waveform is known, to the kernel's own HID and USB drivers,
 * and this very program records it there.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../guest/protocol.h"
#include "boot.h"
#include "check.h"
#include "meter.h"

#define RECORD_S  6
#define PART	  0.001 /* of the energy, that may be missing or too much */
#define LOSSY	  0.95	/* of the readings, and fewer */
#define AFTER	  50 /* reports, that come when the recording is over: it takes a second's, and ends */
#define TIMEOUT_S 120
#define SELF	  "/host/cdevlab"
#define PLAYER	  BIN_DIR "/fnb58"

/* struct played - a recording, and what must come of it */
struct played {
	const char *name, *how, *faults;
	int status;	 /* of the recording */
	size_t gaps;	 /* at least */
	bool lossy;	 /* fewer readings than expected */
	bool exact;	 /* the energy is right all the same */
	const char *why; /* in the last line of the file, or NULL */
};

static const struct played all[] = {
	{ "uhid", "uhid", "", 0, 0, false, true, NULL },
	{ "usb", "gadget", "", 0, 0, false, true, NULL },
	{ "usb-lost", "gadget", "lose 10", 0, 0, true, true, NULL },
	{ "usb-damaged", "gadget", "damage 10", 0, 0, true, true, NULL },
	{ "usb-stall", "gadget", "stall 2 1.5", 0, 1, true, false, NULL },
	{ "usb-silent", "gadget", "stall 0.2 60", LAB_CANNOT, 0, false, false,
	  "it has said nothing for 5 s" },
	{ "usb-unplugged", "gadget", "unplug 2", LAB_CANNOT, 0, false, false, "it was unplugged" },
};

enum lab_exit check_compile_player(char **path, char **dir)
{
	_cleanup_free_ char *source = xasprintf("%s/tests/meter/fnb58.c", lab_data_dir());
	enum lab_exit ret;

	*dir = temp_dir(NULL);
	if (!*dir)
		return LAB_CANNOT;
	*path = xasprintf("%s/fnb58", *dir);
	{
		char *argv[] = { "cc", "-O2", "-static", "-o", *path, source, "-lm", NULL };
		struct proc p = { .argv = argv };

		ret = proc_run(&p);
		if (!ret && p.status)
			ret = lab_fail(LAB_FAILED, NULL, "%s does not compile:\n%s", source,
				       p.err.s ?: "");
		proc_free(&p);
	}
	return ret;
}

static enum lab_exit add_self(struct boot *b)
{
	_cleanup_free_ char *self = proc_self();

	if (!self)
		return lab_fail(LAB_CANNOT, "mount /proc", "cannot find this program");
	check_add_program(b, SELF, self);
	return LAB_OK;
}

static void add_job(struct boot *b, const struct played *p)
{
	struct job *j = boot_add_job(b, "meter", p->name, TIMEOUT_S);

	strv_add(&j->argv, PLAYER);
	strv_add(&j->argv, p->how);
	strv_split(&j->argv, p->faults, " ");
	strv_add(&j->argv, "--");
	strv_add(&j->argv, SELF);
	strv_add(&j->argv, "meter");
	strv_add(&j->argv, "record");
	strv_add(&j->argv, "--meter=fnb58");
	strv_addf(&j->argv, "--for=%d", RECORD_S);
	strv_add(&j->argv, "-o/dev/stdout");
}

/* --- what must come of it --- */

/* The integral of 5.1 V times 0.5 + 0.3 sin(w t) A, t from the player's beginning. */
static double truth(double from, double to)
{
	const double w = 2 * M_PI * 0.25;

	return 5.1 * (0.5 * (to - from) + 0.3 / w * (cos(w * from) - cos(w * to)));
}

static void judge_energy(struct ktap *t, const struct meter_trace *trace, double origin)
{
	double from = trace->v[0].t + 0.2, to = trace->v[trace->n - 1].t - 0.2;
	double shift = trace->start - origin, expected = truth(from + shift, to + shift);
	struct meter_energy e;

	if (!meter_energy(trace, from, to, &e))
		ktap_set(t, KTAP_FAIL, "it covers less than it says");
	else if (fabs(e.joules / expected - 1) > PART)
		ktap_set(t, KTAP_FAIL, "%.6f J, and %.6f J were played: %+.3f %%", e.joules,
			 expected, 100 * (e.joules / expected - 1));
	ktap_note(t, "%.6f J of %.6f J played in %.2f s, %+.4f %%", e.joules, expected, to - from,
		  100 * (e.joules / expected - 1));
}

/* struct player - what it says in the end */
struct player {
	double origin;
	size_t reports, lost, damaged, commands;
};

static bool read_player(const char *line, struct player *p)
{
	return line &&
	       sscanf(line, "played from %lf, %zu reports, %zu lost, %zu damaged, %zu commands",
		      &p->origin, &p->reports, &p->lost, &p->damaged, &p->commands) == 5;
}

static void judge_trace(struct ktap *t, const struct played *p, const struct job *j,
			const struct meter_trace *trace)
{
	const char *line = strstr(j->out.s, "played from ");
	struct player say = {};
	size_t came = trace->received + FNB58_SAMPLES * trace->bad, went;

	ktap_note(t, "%zu readings of %zu, %zu gaps, %zu damaged; %s", trace->received,
		  trace->expected, trace->gaps, trace->bad, line ?: "");
	if (!trace->whole || !read_player(line, &say)) {
		ktap_set(t, KTAP_FAIL, "its last line is missing");
		return;
	}
	went = FNB58_SAMPLES * (say.reports - say.lost);
	if (came > went || came + AFTER * FNB58_SAMPLES < went || trace->bad > say.damaged)
		ktap_set(t, KTAP_FAIL, "not all that was sent has come");
	else if (p->lossy != (trace->received < LOSSY * trace->expected) && !say.lost)
		ktap_set(t, KTAP_FAIL, "%zu readings of %zu", trace->received, trace->expected);
	else if (trace->gaps < p->gaps)
		ktap_set(t, KTAP_FAIL, "%zu gaps", trace->gaps);
	else if (!say.damaged != !trace->bad)
		ktap_set(t, KTAP_FAIL, "%zu damaged reports", trace->bad);
	else if (p->why && !strstr(j->out.s, p->why))
		ktap_set(t, KTAP_FAIL, "it does not say that %s", p->why);
	else if (p->exact)
		judge_energy(t, trace, say.origin);
}

static enum lab_exit judge_job(struct ktap *suite, const struct played *p, const struct job *j,
			       const char *dir)
{
	_cleanup_free_ char *path = xasprintf("%s/%s.csv", dir, p->name);
	struct ktap *t = ktap_new(suite, p->name);
	struct meter_trace trace = {};
	const char *line;

	if (!j->ended || atoi(j->status) != p->status || !j->out.n) {
		ktap_set(t, KTAP_FAIL, "exit status %s, not %d: %s", j->status ?: "none", p->status,
			 j->err.s ?: "it said nothing");
		return LAB_OK;
	}
	/* the player's line is the last one, and no part of the recording */
	line = strstr(j->out.s, "played from ");
	if (file_write(path, j->out.s, line ? (size_t)(line - j->out.s) : j->out.n))
		return lab_fail(LAB_CANNOT, "make room", "cannot write %s", path);
	if (meter_trace_read(path, &trace))
		ktap_set(t, KTAP_FAIL, "it is no recording");
	else
		judge_trace(t, p, j, &trace);
	meter_trace_free(&trace);
	return LAB_OK;
}

enum lab_exit check_meter(struct ktap *suite)
{
	static const char *const modules[] = { "uhid",	       "hid_generic", "usbhid",
					       "libcomposite", "usb_f_hid",   "dummy_hcd" };
	_cleanup_free_ char *player = NULL;
	struct boot b = {}, *list = &b;
	struct kernel k = {};
	char *dir = NULL;
	enum lab_exit ret = check_compile_player(&player, &dir);

	if (!ret)
		ret = kernel_get(NULL, false, &k);
	if (!ret)
		ret = boot_init(&b, &k);
	for (size_t i = 0; i < ARRAY_SIZE(modules) && !ret; i++)
		ret = boot_add_stock(&b, modules[i]);
	if (!ret)
		ret = add_self(&b);
	if (!ret) {
		boot_add_file(&b, PLAYER, player);
		for (size_t i = 0; i < ARRAY_SIZE(all); i++)
			add_job(&b, &all[i]);
		b.vm.label = "meters";
		/* its time is its own: a host that is busy makes no gaps */
		b.vm.exact = true;
		b.vm.timeout_s = TIMEOUT_S * ARRAY_SIZE(all);
		ret = boot_run(&list, 1, 1);
	}
	for (size_t i = 0; i < ARRAY_SIZE(all) && !ret; i++)
		ret = judge_job(suite, &all[i], &b.jobs[i], dir);
	if (b.tools.agent)
		boot_free(&b);
	kernel_free(&k);
	temp_dir_done(dir);
	return ret;
}
