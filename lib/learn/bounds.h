/* SPDX-License-Identifier: MIT */
/* lib/learn/bounds.h: the bounds that the learner's integers are proved for (hybrid.c), and those of its settings. */
#pragma once

enum {
	LEARN_FEATURES_MAX = 8192,
	LEARN_MINIBATCH_MAX = 256,
	LEARN_OTHERS_MAX = 10000,
	LEARN_CLASSES_MAX = 65535,
	LEARN_E_MAX = 40,        /* of a row: w = m 2^-e */
	LEARN_E_MIN = -64,       /* no lesson comes near; a stored row below it is damaged */
	LEARN_FEATURE_UNIT = 64, /* as a real number a feature is q / 64 */
};
#define LEARN_ETA_MAX      0.1
#define LEARN_MOMENTUM_MAX 0.9
#define LEARN_DECAY_MAX    0.01

/* The ranges of the settings, low and high: what learn_settings_check takes and what a table of settings may offer. */
#define LEARN_EPOCHS_RANGE        1, 100
#define LEARN_ETA_RANGE           1e-4, LEARN_ETA_MAX
#define LEARN_MINIBATCH_RANGE     1, LEARN_MINIBATCH_MAX
#define LEARN_MOMENTUM_RANGE      0, LEARN_MOMENTUM_MAX
#define LEARN_DECAY_RANGE         0, LEARN_DECAY_MAX
#define LEARN_OTHERS_RANGE        0, LEARN_OTHERS_MAX
#define LEARN_PAST_CAP_RANGE      0, 1000000
#define LEARN_CLASSES_TOTAL_RANGE 0, LEARN_OTHERS_MAX
