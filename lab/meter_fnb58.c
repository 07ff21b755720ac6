// SPDX-License-Identifier: GPL-2.0
/*
 * FNIRSI's USB meters over hidraw: FNB58, FNB48, FNB48S, C1. Reports of 64 bytes without a number, "aa TYPE ... CRC".
 * Data are "aa 04" with four samples of 15 bytes, a hundred a second, without a time: they are given that of their
 * arrival, by this machine's clock.
 */
#include <hidapi/hidapi.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meter.h"

#define PERIOD	 0.01 /* of samples, s */
#define SAMPLE	 15
#define SILENT_S 5 /* then it is gone, or hangs */
#define DRAIN_S	 1

#define START	0x81
#define REQUEST 0x82
#define KEEP	0x83
#define DATA	0x04

static const struct model {
	unsigned short vendor, product;
	const char *name;
	double keep_s; /* between two KEEPs */
	uint8_t last;  /* of the three commands that start it */
} models[] = {
	{ 0x2e3c, 0x5558, "FNIRSI FNB58", 1, REQUEST },
	{ 0x2e3c, 0x0049, "FNIRSI FNB48S", 1, REQUEST },
	{ 0x0483, 0x003a, "FNIRSI FNB48", 0.003, KEEP },
	{ 0x0483, 0x003b, "FNIRSI C1", 0.003, KEEP },
};

/* struct fnb58 - one that is open */
struct fnb58 {
	hid_device *hid;
	const struct model *model;
	double kept; /* now_s() of the last KEEP */
};

/* --- the protocol --- */

uint8_t fnb58_crc(const uint8_t *bytes, size_t n)
{
	uint8_t crc = 0x42;

	for (size_t i = 0; i < n; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 0x80 ? crc << 1 ^ 0x39 : crc << 1;
	}
	return crc;
}

void fnb58_command(uint8_t command, uint8_t report[FNB58_REPORT])
{
	memset(report, 0, FNB58_REPORT);
	report[0] = 0xaa;
	report[1] = command;
	report[FNB58_REPORT - 1] = fnb58_crc(report + 1, FNB58_REPORT - 2);
}

static uint32_t le32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

int fnb58_parse(const uint8_t report[FNB58_REPORT], struct meter_reading out[FNB58_SAMPLES])
{
	if (report[0] != 0xaa ||
	    report[FNB58_REPORT - 1] != fnb58_crc(report + 1, FNB58_REPORT - 2))
		return -1;
	if (report[1] != DATA)
		return 0;
	for (int i = 0; i < FNB58_SAMPLES; i++) {
		const uint8_t *p = report + 2 + i * SAMPLE;
		double volts = le32(p) * 1e-5, amps = le32(p + 4) * 1e-5;

		out[i] = (struct meter_reading){
			.volts = volts, .amps = amps, .watts = volts * amps, .joules = NAN
		};
	}
	return FNB58_SAMPLES;
}

/* --- the device --- */

static const struct model *model_of(unsigned short vendor, unsigned short product)
{
	for (size_t i = 0; i < ARRAY_SIZE(models); i++)
		if (models[i].vendor == vendor && models[i].product == product)
			return &models[i];
	return NULL;
}

/* Of a composite device only one interface has data: hidraw's, the others are none of HID. */
static void list(const char *root, struct meter **meters, size_t *n)
{
	struct hid_device_info *all, *d;

	/* devices are no files that a directory could play */
	if (*root || hid_init())
		return;
	all = hid_enumerate(0, 0);
	for (d = all; d; d = d->next) {
		const struct model *model = model_of(d->vendor_id, d->product_id);
		struct meter *m;

		if (!model)
			continue;
		m = meter_add(meters, n, &meter_fnb58);
		m->name = xasprintf("fnb58:%s", path_base(d->path));
		m->what = xasprintf("%s (%s)", model->name, d->path);
		strv_add(&m->paths, d->path);
		if (access(d->path, R_OK | W_OK))
			m->why_not = xasprintf(
				"%s cannot be opened; as root: chmod a+rw %s, or for good a udev rule: "
				"SUBSYSTEM==\"hidraw\", ATTRS{idVendor}==\"%04x\", TAG+=\"uaccess\"",
				d->path, d->path, model->vendor);
	}
	hid_free_enumeration(all);
}

static bool say(struct fnb58 *f, uint8_t command)
{
	uint8_t report[1 + FNB58_REPORT] = {}; /* a leading 0: reports have no numbers */

	fnb58_command(command, report + 1);
	return hid_write(f->hid, report, sizeof(report)) == sizeof(report);
}

static enum lab_exit fnb58_open(struct meter_session *s)
{
	const char *path = s->meter->paths.v[0];
	hid_device *hid = hid_init() ? NULL : hid_open_path(path);
	struct hid_device_info *info = hid ? hid_get_device_info(hid) : NULL;
	struct fnb58 *f;

	if (!info || !model_of(info->vendor_id, info->product_id)) {
		if (hid)
			hid_close(hid);
		return lab_fail(LAB_CANNOT, "is it still plugged in, and may you write to it?",
				"%s cannot be opened", path);
	}
	f = xcalloc(1, sizeof(*f));
	f->hid = hid;
	f->model = model_of(info->vendor_id, info->product_id);
	s->handle = f;
	if (say(f, START) && say(f, REQUEST) && say(f, f->model->last)) {
		f->kept = now_s();
		return LAB_OK;
	}
	meter_fnb58.close(s);
	return lab_fail(LAB_CANNOT, "plug it in again", "%s takes no commands", path);
}

/*
 * From one sample of a report to the next. Reports that follow each other are laid end to end, so that one that was
 * late on its way, and the next that then was not, do not overlap; after one that was lost it is the meter's period.
 */
static double step_of(const struct meter_session *s, double now)
{
	double since = now - s->last;

	return s->received && since < 1.5 * FNB58_SAMPLES * PERIOD ? since / FNB58_SAMPLES : PERIOD;
}

static int fnb58_read(struct meter_session *s, double wait, struct meter_reading *out, size_t most)
{
	struct fnb58 *f = s->handle;
	uint8_t report[FNB58_REPORT];
	double now = now_s();
	int got, n;

	if (most < FNB58_SAMPLES)
		return 0;
	if (now - f->kept >= f->model->keep_s) {
		f->kept = now;
		if (!say(f, KEEP)) {
			s->why = xstrdup("it was unplugged, or takes no commands any more");
			return -1;
		}
	}
	if (f->model->keep_s < wait)
		wait = f->model->keep_s;
	got = hid_read_timeout(f->hid, report, sizeof(report), wait * 1000 + 1);
	now = now_s();
	if (got < 0) {
		s->why = xstrdup("it was unplugged");
		return -1;
	}
	if (!got && s->last && now - s->last > SILENT_S) {
		s->why = xasprintf("it has said nothing for %d s", SILENT_S);
		return -1;
	}
	if (!got)
		return 0;
	n = got == sizeof(report) ? fnb58_parse(report, out) : -1;
	s->bad += n < 0;
	for (int i = 0; i < n; i++)
		out[i].t = now - (n - 1 - i) * step_of(s, now);
	for (int i = 0; i < n; i++)
		meter_note(s, &out[i], FNB58_SAMPLES * PERIOD);
	if (n > 0)
		s->expected = 1 + (size_t)((s->last - s->began) / PERIOD + 0.5);
	return n < 0 ? 0 : n;
}

/* It goes on sending for a while, and the next program would take that for its own. */
static void fnb58_close(struct meter_session *s)
{
	struct fnb58 *f = s->handle;
	uint8_t report[FNB58_REPORT];
	double end = now_s() + DRAIN_S;

	if (!f)
		return;
	while (!s->why && now_s() < end &&
	       hid_read_timeout(f->hid, report, sizeof(report), 100) >= 0)
		;
	hid_close(f->hid);
	free(f);
	s->handle = NULL;
}

const struct meter_kind meter_fnb58 = { "fnb58", list, fnb58_open, fnb58_read, fnb58_close };
