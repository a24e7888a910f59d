/* SPDX-License-Identifier: MIT */
/* lib/bnn/explain.c: prints a model for people: what it is, its steps, and where their buffers lie in the arena. */
#include "lib/bnn/model.h"

#include <string.h>

static const char *fit_name(enum bnn_fit fit)
{
	return fit == BNN_FIT_COVER ? "cover" : fit == BNN_FIT_CONTAIN ? "contain" : "stretch";
}

static void explain_head(const struct bnn_model *model, FILE *out)
{
	const struct bnn_info *i = &model->info;
	fprintf(out, "model       %s\n", i->name);
	fprintf(out, "input       %u x %u, fit %s, picture rules %u, background %u %u %u\n", i->width, i->height,
		fit_name(i->fit), i->image_rules, i->background[0], i->background[1], i->background[2]);
	fprintf(out, "features    %u, id ", i->n_features);
	for (size_t k = 0; k < BNN_ID_BYTES; k++)
		fprintf(out, "%02x", i->feature_id[k]);
	fputs("\ngroups     ", out);
	for (size_t k = 0; k < i->n_groups; k++)
		fprintf(out, i->group_factor[k] == 1 ? " %u" : " %u (factor %.4g)", i->group_width[k],
			i->group_factor[k]);
	fprintf(out, "\nkernels     %s\n", i->kernels);
	fprintf(out, "work        %.1f M multiply-adds of floats, %.1f M of bits\n", (double)i->multiply_adds / 1e6,
		(double)i->binary_multiply_adds / 1e6);
	fprintf(out, "memory      arena %zu KiB a thread, constants %zu KiB\n", i->arena_bytes >> 10,
		model->plan.constants.bytes >> 10);
	if (i->has_answers) {
		fprintf(out,
			"answers     temperature %.4g; to refuse 1, 2, 5, 10, 20 %% of the known: deviations below a "
			"class's mean",
			i->temperature);
		for (size_t k = 0; k < BNN_REFUSE_SHARES; k++)
			fprintf(out, " %.2f", i->deviations[k]);
		fprintf(out, " (prior %.3f, worth %.3g pictures)", i->deviation, i->deviation_weight);
		fprintf(out,
			"\nknown       near-duplicates from %.3f on; two pictures of a class %.3f (worth %.3g "
			"pictures), "
			"%.3f above other classes; few are %.3g; temperature of the metric %.4g; a scene from %.3f on, "
			"%.3f of it taken off\n",
			i->known.near_duplicate, i->known.pair_cosine, i->known.pair_weight, i->known.class_share,
			i->known.few_pictures, i->known.metric_temperature, i->known.scene_cosine,
			i->known.scene_share);
	}
	if (i->blank)
		fprintf(out, "blank       from a cosine of %.3f on\n", i->blank_cosine);
}

static void explain_buffer(const struct plan *plan, const char *what, int buffer, FILE *out)
{
	if (buffer == PLAN_NO_BUFFER)
		return;
	const struct plan_buffer *b = &plan->buffers[buffer];
	fprintf(out, "  %s %zu+%zu", what, b->offset, b->bytes);
}

void bnn_model_explain(const struct bnn_model *model, FILE *out)
{
	const struct plan *plan = &model->plan;
	int width = 20; /* of the longest name */
	for (size_t i = 0; i < plan->n_steps; i++)
		if (strlen(plan->steps[i].name) > (size_t)width)
			width = (int)strlen(plan->steps[i].name);
	explain_head(model, out);
	fprintf(out, "\n%3s  %-*s %-15s %-32s %8s  %s\n", "", width, "result", "shape", "operations", "work k",
		"arena, bytes");
	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct plan_step *s = &plan->steps[i];
		char shape[40];
		snprintf(shape, sizeof shape, "%ux%ux%u", s->height, s->width, s->channels);
		fprintf(out, "%3zu  %-*s %-15s %-32s %8llu", i, width, s->name, shape, s->label,
			(unsigned long long)(s->operations / 1000));
		explain_buffer(plan, "floats", s->y, out);
		explain_buffer(plan, "bits", s->bits, out);
		explain_buffer(plan, "scratch", s->scratch, out);
		fputc('\n', out);
	}
	if (*model->info.card)
		fprintf(out, "\n%s%s", model->info.card,
			model->info.card[strlen(model->info.card) - 1] == '\n' ? "" : "\n");
}
