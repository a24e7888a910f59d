/* SPDX-License-Identifier: MIT */
/* lib/learn/settings.c: the hyper-parameters: one table of name, range and default for each preset.
 *
 * Invariant: what learn_settings_check accepts keeps every integer of hybrid.c inside the bounds proved there. It
 * refuses what is out of range, NaN included, by name.
 */
#include <string.h>

#include "lib/base/require.h"
#include "lib/learn/bounds.h"
#include "lib/learn/learn.h"

enum kind { KIND_U32, KIND_F64 };

struct setting {
	const char *name;
	enum kind kind;
	size_t offset; /* in struct learn_settings */
	double min, max;
	double of_default, of_reference; /* what each preset starts with */
};

/* range is one of LEARN_..._RANGE: two numbers. */
#define SETTING(field, kind, range, of_default, of_reference)                                                          \
	{                                                                                                              \
#field, kind, offsetof(struct learn_settings, field), range, of_default, of_reference                  \
	}

static const struct setting settings_table[] = {
	SETTING(epochs, KIND_U32, LEARN_EPOCHS_RANGE, 10, 4),
	SETTING(eta, KIND_F64, LEARN_ETA_RANGE, 0.03, 1e-3),
	SETTING(minibatch, KIND_U32, LEARN_MINIBATCH_RANGE, 32, 128),
	SETTING(momentum, KIND_F64, LEARN_MOMENTUM_RANGE, 0.9, 0.9),
	SETTING(decay, KIND_F64, LEARN_DECAY_RANGE, 0, 5e-4),
	SETTING(others, KIND_U32, LEARN_OTHERS_RANGE, 20, 20),
	SETTING(past_cap, KIND_U32, LEARN_PAST_CAP_RANGE, 200, 0),
	SETTING(classes_total, KIND_U32, LEARN_CLASSES_TOTAL_RANGE, 0, 0),
};
enum { N_SETTINGS = sizeof settings_table / sizeof *settings_table };

const char *const learn_preset_names[] = {
	[LEARN_DEFAULT - 1] = "default", [LEARN_REFERENCE - 1] = "reference", [LEARN_REFERENCE] = NULL};
const char *const learn_width_names[] = {[LEARN_8_8 - 1] = "8/8",
	[LEARN_8_16 - 1] = "8/16",
	[LEARN_8_32 - 1] = "8/32",
	[LEARN_FLOAT - 1] = "float/float",
	[LEARN_FLOAT] = NULL};
const char *const learn_method_names[] = {
	[LEARN_METRIC - 1] = "metric", [LEARN_MEANS - 1] = "means", [LEARN_CWR - 1] = "cwr", [LEARN_CWR] = NULL};

void learn_settings_preset(enum learn_preset preset, struct learn_settings *ret_settings)
{
	REQUIRE(preset == LEARN_DEFAULT || preset == LEARN_REFERENCE);
	*ret_settings = (struct learn_settings){
		.preset = preset, .width = LEARN_8_16, .method = preset == LEARN_DEFAULT ? LEARN_METRIC : LEARN_CWR};
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = &settings_table[i];
		double value = preset == LEARN_DEFAULT ? s->of_default : s->of_reference;
		char *field = (char *)ret_settings + s->offset;
		if (s->kind == KIND_U32)
			memcpy(field, &(uint32_t){(uint32_t)value}, sizeof(uint32_t));
		else
			memcpy(field, &value, sizeof value);
	}
}

int learn_settings_check(const struct learn_settings *settings, struct err *err)
{
	const char *wrong = NULL;
	if (settings->preset != LEARN_DEFAULT && settings->preset != LEARN_REFERENCE)
		wrong = "preset";
	else if (settings->width < LEARN_8_8 || settings->width > LEARN_FLOAT)
		wrong = "width";
	else if (settings->method < LEARN_METRIC || settings->method > LEARN_CWR)
		wrong = "method";
	if (wrong)
		return err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = wrong},
			"%s is none of those there are", wrong);
	if (settings->preset == LEARN_REFERENCE && settings->method != LEARN_CWR)
		return err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "method"},
			"method is %s; the reference preset ranks as its authors do: cwr alone",
			learn_method_names[settings->method - 1]);
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = &settings_table[i];
		const char *field = (const char *)settings + s->offset;
		uint32_t whole;
		double value;
		if (s->kind == KIND_U32) {
			memcpy(&whole, field, sizeof whole);
			value = whole;
		} else {
			memcpy(&value, field, sizeof value);
		}
		if (value >= s->min && value <= s->max)
			continue; /* false for NaN */
		return err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = s->name},
			"%s is %g; it must be between %g and %g", s->name, value, s->min, s->max);
	}
	return 0;
}

const char *learn_width_name(enum learn_width width)
{
	REQUIRE(width >= LEARN_8_8 && width <= LEARN_FLOAT);
	return learn_width_names[width - 1];
}

int learn_width_parse(const char *name, enum learn_width *ret_width)
{
	for (enum learn_width w = LEARN_8_8; w <= LEARN_FLOAT; w++) {
		if (strcmp(name, learn_width_name(w)) == 0) {
			*ret_width = w;
			return 0;
		}
	}
	return 1;
}
