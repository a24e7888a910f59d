/* SPDX-License-Identifier: MIT */
/* lib/bnn/graph_unpack.c: the protobuf message of a model file -> struct graph. The only user of model.proto.
 *
 * Invariant: what comes out says everything that the message said. An unknown field at any depth, an enum value
 * without a name or a missing attribute is refused, because an old reader must never compute something else.
 * Memory is bounded by GRAPH_UNPACKED_MAX_BYTES, whatever the bytes say.
 */
#include "lib/bnn/graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/bnn/model.pb-c.h"

/* protobuf-c's allocator with a budget: an array of empty sub-messages must not eat the machine. */
struct budget {
	ProtobufCAllocator allocator;
	size_t left_bytes;
};

enum { BLOCK_HEADER_BYTES = 16 };

static void *budget_alloc(void *ctx, size_t bytes)
{
	struct budget *b = ctx;
	if (bytes > b->left_bytes || b->left_bytes - bytes < BLOCK_HEADER_BYTES)
		return NULL;
	uint8_t *p = malloc(bytes + BLOCK_HEADER_BYTES);
	if (!p)
		return NULL;
	b->left_bytes -= bytes + BLOCK_HEADER_BYTES;
	memcpy(p, &bytes, sizeof bytes);
	return p + BLOCK_HEADER_BYTES;
}

static void budget_free(void *ctx, void *pointer)
{
	struct budget *b = ctx;
	if (!pointer)
		return;
	uint8_t *p = (uint8_t *)pointer - BLOCK_HEADER_BYTES;
	size_t bytes;
	memcpy(&bytes, p, sizeof bytes);
	b->left_bytes += bytes + BLOCK_HEADER_BYTES;
	free(p);
}

static const char *const kind_names[] = {"sign", "unpack", "binary_conv2d", "binary_max_pool", "conv2d",
	"depthwise_conv2d", "dense", "add", "sub", "mul", "concat", "split", "pad", "clamp", "prelu", "sigmoid",
	"max_pool", "avg_pool", "mean", "reshape", "quantize", "dequantize", "softmax", "sqrt", "l2", "deviation"};
_Static_assert(sizeof kind_names / sizeof *kind_names == OP_END - OP_SIGN, "a name for each operation");

const char *op_kind_name(enum op_kind kind)
{
	return kind >= OP_SIGN && kind < OP_END ? kind_names[kind - OP_SIGN] : "?";
}

/* Where a message is, for sentences: "operation 7", "tensor 3", "the graph". */
struct place {
	const char *what;
	long index; /* -1: there is only one */
};

enum { PLACE_TEXT_BYTES = 64 };

static const char *place_text(const struct place *place, char text[PLACE_TEXT_BYTES])
{
	if (place->index < 0)
		snprintf(text, PLACE_TEXT_BYTES, "%s", place->what);
	else
		snprintf(text, PLACE_TEXT_BYTES, "%s %ld", place->what, place->index);
	return text;
}

static int refuse(const struct place *place, enum err_code code, const char *what, const char *field, struct err *err)
{
	char text[PLACE_TEXT_BYTES];
	return err_set(err, code, "%s: %s '%s'", place_text(place, text), what, field);
}

static int check_message(const ProtobufCMessage *m, const struct place *place, bool complete, struct err *err);

static const void *member(const ProtobufCMessage *m, unsigned offset)
{
	return (const uint8_t *)m + offset;
}

static int check_enum(const ProtobufCFieldDescriptor *f, int value, const struct place *place, struct err *err)
{
	if (protobuf_c_enum_descriptor_get_value(f->descriptor, value))
		return 0;
	char text[PLACE_TEXT_BYTES];
	return err_set(err, ERR_UNIMPLEMENTED, "%s: value %d of '%s' is not known to this version",
		place_text(place, text), value, f->name);
}

/* One value that is there: at p. */
static int check_value(
	const ProtobufCFieldDescriptor *f, const void *p, const struct place *place, bool complete, struct err *err)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_FLOAT:
		if (!isfinite(*(const float *)p))
			return refuse(place, ERR_INVALID_ARGUMENT, "not a finite number in", f->name, err);
		return 0;
	case PROTOBUF_C_TYPE_DOUBLE:
		if (!isfinite(*(const double *)p))
			return refuse(place, ERR_INVALID_ARGUMENT, "not a finite number in", f->name, err);
		return 0;
	case PROTOBUF_C_TYPE_ENUM:
		return check_enum(f, *(const int *)p, place, err);
	case PROTOBUF_C_TYPE_MESSAGE:
		return check_message(*(ProtobufCMessage *const *)p, place, complete, err);
	default:
		return 0;
	}
}

static size_t value_bytes(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_DOUBLE:
	case PROTOBUF_C_TYPE_UINT64:
		return 8;
	case PROTOBUF_C_TYPE_MESSAGE:
	case PROTOBUF_C_TYPE_STRING:
		return sizeof(void *);
	default:
		return 4;
	}
}

static int check_field(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const struct place *place,
	bool complete, struct err *err)
{
	const void *p = member(m, f->offset);
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		size_t n = *(const size_t *)member(m, f->quantifier_offset);
		const uint8_t *values = *(uint8_t *const *)p;
		for (size_t i = 0; i < n; i++) {
			struct place at = *place;
			if (f->type == PROTOBUF_C_TYPE_MESSAGE && place->index < 0)
				at = (struct place){!strcmp(f->name, "ops")       ? "operation"
						    : !strcmp(f->name, "tensors") ? "tensor"
										  : f->name,
					(long)i};
			int r = check_value(f, values + i * value_bytes(f->type), &at, complete, err);
			if (r)
				return r;
		}
		return 0;
	}
	bool there;
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		there = *(const uint32_t *)member(m, f->quantifier_offset) == f->id;
	else if (f->type == PROTOBUF_C_TYPE_MESSAGE || f->type == PROTOBUF_C_TYPE_STRING)
		there = *(void *const *)p != NULL;
	else
		there = *(const protobuf_c_boolean *)member(m, f->quantifier_offset);
	if (!there)
		return complete ? refuse(place, ERR_INVALID_ARGUMENT, "missing attribute", f->name, err) : 0;
	/* The attributes of an operation are complete, at any depth; elsewhere the readers below say what they need. */
	return check_value(f, p, place, complete || f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF, err);
}

/* Unknown fields, enum values, finite numbers; with `complete` every field must be there. */
static int check_message(const ProtobufCMessage *m, const struct place *place, bool complete, struct err *err)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	if (m->n_unknown_fields) {
		const unsigned number = m->unknown_fields[0].tag;
		if (d == &bnnmodel__op__descriptor)
			return err_set(err, ERR_UNIMPLEMENTED,
				"operation %ld: field %u (an operation of a newer version?) is not known to this "
				"version",
				place->index, number);
		char text[PLACE_TEXT_BYTES];
		return err_set(err, ERR_UNIMPLEMENTED, "%s: field %u of %s is not known to this version",
			place_text(place, text), number, d->short_name);
	}
	for (unsigned i = 0; i < d->n_fields; i++) {
		int r = check_field(m, &d->fields[i], place, complete, err);
		if (r)
			return r;
	}
	return 0;
}

static int read_tensor(const Bnnmodel__Tensor *m, size_t index, struct tensor *t, struct err *err)
{
	if (!m->has_id || !m->has_dtype)
		return err_set(
			err, ERR_INVALID_ARGUMENT, "tensor %zu: %s is missing", index, m->has_id ? "dtype" : "id");
	if (m->n_shape < 1 || m->n_shape > 4)
		return err_set(err, ERR_INVALID_ARGUMENT, "tensor %zu: rank %zu is not 1 to 4", index, m->n_shape);
	if (m->has_scale != m->has_zero_point)
		return err_set(err, ERR_INVALID_ARGUMENT, "tensor %zu: scale and zero_point go together", index);
	if (m->has_offset != m->has_length)
		return err_set(err, ERR_INVALID_ARGUMENT, "tensor %zu: offset and length go together", index);
	*t = (struct tensor){.id = m->id,
		.rank = (uint32_t)m->n_shape,
		.dtype = (enum dtype)m->dtype,
		.has_quantization = m->has_scale,
		.scale = m->scale,
		.zero_point = m->zero_point,
		.is_constant = m->has_offset,
		.offset = m->offset,
		.length = m->length,
		.name = m->name,
		.producer = -1};
	memcpy(t->shape, m->shape, m->n_shape * sizeof *t->shape);
	return 0;
}

static struct pads read_pads(const Bnnmodel__Pads *m)
{
	return (struct pads){m->top, m->left, m->bottom, m->right};
}

static struct window read_window(const Bnnmodel__Window *m)
{
	return (struct window){
		m->kernel_y, m->kernel_x, m->stride_y, m->stride_x, m->dilation_y, m->dilation_x, read_pads(m->pads)};
}

/* The attributes are complete: check_message has seen them. */
static void read_attributes(const Bnnmodel__Op *m, struct graph_op *op)
{
	switch (op->kind) {
	case OP_SIGN:
		op->n_rules = m->sign->n_rules;
		op->rules = (const int *)m->sign->rules;
		break;
	case OP_BINARY_CONV2D:
		op->window = read_window(m->binary_conv2d->window);
		op->groups = m->binary_conv2d->groups;
		op->pad_value = m->binary_conv2d->pad_value;
		op->clamp_lo = m->binary_conv2d->clamp_lo;
		op->clamp_hi = m->binary_conv2d->clamp_hi;
		break;
	case OP_BINARY_MAX_POOL:
		op->window = read_window(m->binary_max_pool->window);
		break;
	case OP_CONV2D:
		op->window = read_window(m->conv2d->window);
		op->groups = m->conv2d->groups;
		break;
	case OP_DEPTHWISE_CONV2D:
		op->window = read_window(m->depthwise_conv2d->window);
		op->multiplier = m->depthwise_conv2d->multiplier;
		break;
	case OP_SPLIT:
		op->n_sizes = m->split->n_sizes;
		op->sizes = m->split->sizes;
		break;
	case OP_PAD:
		op->pads = read_pads(m->pad->pads);
		op->value = m->pad->value;
		break;
	case OP_CLAMP:
		op->lo = m->clamp->lo;
		op->hi = m->clamp->hi;
		break;
	case OP_MAX_POOL:
		op->window = read_window(m->max_pool->window);
		break;
	case OP_AVG_POOL:
		op->window = read_window(m->avg_pool->window);
		op->count_padding = m->avg_pool->count_padding;
		break;
	case OP_RESHAPE:
		op->n_sizes = m->reshape->n_shape;
		op->sizes = m->reshape->shape;
		break;
	case OP_UNPACK:
	case OP_DENSE:
	case OP_ADD:
	case OP_SUB:
	case OP_MUL:
	case OP_CONCAT:
	case OP_PRELU:
	case OP_SIGMOID:
	case OP_MEAN:
	case OP_QUANTIZE:
	case OP_DEQUANTIZE:
	case OP_SOFTMAX:
	case OP_SQRT:
	case OP_L2:
	case OP_DEVIATION:
		break; /* no attributes */
	}
}

_Static_assert(sizeof(Bnnmodel__SignRule) == sizeof(int), "rules are read as ints");

static int read_op(const Bnnmodel__Op *m, size_t index, struct graph_op *op, struct err *err)
{
	*op = (struct graph_op){.kind = (enum op_kind)m->attributes_case,
		.name = m->name,
		.n_inputs = m->n_inputs,
		.n_outputs = m->n_outputs,
		.inputs = m->inputs,
		.outputs = m->outputs};
	if (op->kind < OP_SIGN || op->kind >= OP_END)
		return err_set(err, ERR_INVALID_ARGUMENT, "operation %zu: no attributes, so no operation", index);
	if (op->n_inputs > GRAPH_INPUTS_MAX || op->n_outputs > GRAPH_INPUTS_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "operation %zu '%s': more than %d inputs or outputs", index,
			op_kind_name(op->kind), GRAPH_INPUTS_MAX);
	read_attributes(m, op);
	return 0;
}

struct id_entry {
	uint32_t id, index;
};

static int id_compare(const void *a, const void *b)
{
	uint32_t x = ((const struct id_entry *)a)->id, y = ((const struct id_entry *)b)->id;
	return x < y ? -1 : x > y;
}

struct id_map {
	struct id_entry *entries;
	size_t n;
};

static int id_map_init(struct id_map *map, const struct graph *g, struct err *err)
{
	map->n = g->n_tensors;
	map->entries = mem_zalloc(map->n, sizeof *map->entries);
	for (size_t i = 0; i < map->n; i++)
		map->entries[i] = (struct id_entry){g->tensors[i].id, (uint32_t)i};
	qsort(map->entries, map->n, sizeof *map->entries, id_compare);
	for (size_t i = 1; i < map->n; i++)
		if (map->entries[i].id == map->entries[i - 1].id)
			return err_set(err, ERR_INVALID_ARGUMENT, "tensor id %u is there twice", map->entries[i].id);
	return 0;
}

static int id_map_find(const struct id_map *map, const char *who, uint32_t *io_id, struct err *err)
{
	struct id_entry key = {*io_id, 0};
	const struct id_entry *e = map->n ? bsearch(&key, map->entries, map->n, sizeof key, id_compare) : NULL;
	if (!e)
		return err_set(err, ERR_INVALID_ARGUMENT, "%s: tensor id %u is not there", who, *io_id);
	*io_id = e->index;
	return 0;
}

static int read_input(const Bnnmodel__Input *m, const struct id_map *map, struct graph *g, struct err *err)
{
	if (!m || !m->has_tensor || !m->has_fit || !m->has_image_rules || !m->has_background || !m->has_table)
		return err_set(err, ERR_INVALID_ARGUMENT,
			"the input is not complete: tensor, fit, image_rules, background and "
			"table must be there");
	if (m->background.len != sizeof g->background)
		return err_set(err, ERR_INVALID_ARGUMENT, "the input's background is not three bytes");
	g->input = m->tensor;
	g->table = m->table;
	g->fit = (enum bnn_fit)m->fit;
	g->image_rules = m->image_rules;
	memcpy(g->background, m->background.data, sizeof g->background);
	int r = id_map_find(map, "the input", &g->input, err);
	return r ? r : id_map_find(map, "the input's table", &g->table, err);
}

static int read_outputs(const Bnnmodel__Graph *m, const struct id_map *map, struct graph *g, struct err *err)
{
	for (size_t i = 0; i < m->n_outputs; i++) {
		const Bnnmodel__Output *o = m->outputs[i];
		if (!o->name || !o->has_tensor)
			return err_set(err, ERR_INVALID_ARGUMENT, "output %zu: name or tensor is missing", i);
		bool features = !strcmp(o->name, "features");
		if (!features && strcmp(o->name, "logits") != 0)
			return err_set(err, ERR_UNIMPLEMENTED, "output '%.40s' is not known to this version", o->name);
		if (features ? g->has_features : g->has_logits)
			return err_set(err, ERR_INVALID_ARGUMENT, "output '%s' is there twice", o->name);
		uint32_t tensor = o->tensor;
		int r = id_map_find(map, o->name, &tensor, err);
		if (r)
			return r;
		*(features ? &g->has_features : &g->has_logits) = true;
		*(features ? &g->features : &g->logits) = tensor;
		*(features ? &g->n_feature_classes : &g->n_logit_classes) = o->n_classes;
	}
	return 0;
}

/* All of them or none. */
static int read_known(const Bnnmodel__Answers *m, struct graph *g, struct err *err)
{
	const int n = (m->has_near_duplicate != 0) + (m->has_pair_cosine != 0) + (m->has_pair_weight != 0) +
		      (m->has_class_share != 0) + (m->has_few_pictures != 0) + (m->has_metric_temperature != 0) +
		      (m->has_scene_share != 0) + (m->has_scene_cosine != 0);
	const int all = sizeof g->known / sizeof(double);
	if (n != 0 && n != all)
		return err_set(err, ERR_INVALID_ARGUMENT,
			"answers: of near_duplicate to scene_cosine all must be there, or none");
	g->has_known = n == all;
	g->known = (struct bnn_known){.near_duplicate = m->near_duplicate,
		.pair_cosine = m->pair_cosine,
		.pair_weight = m->pair_weight,
		.class_share = m->class_share,
		.few_pictures = m->few_pictures,
		.metric_temperature = m->metric_temperature,
		.scene_share = m->scene_share,
		.scene_cosine = m->scene_cosine};
	if (m->has_blank != m->has_blank_cosine || (m->has_blank && !g->has_known))
		return err_set(err, ERR_INVALID_ARGUMENT,
			"answers: blank and blank_cosine must both be there, beside near_duplicate to scene_cosine");
	g->n_blank = m->has_blank ? m->blank.len : 0;
	g->blank = m->has_blank ? (const int8_t *)m->blank.data : NULL;
	g->blank_cosine = m->blank_cosine;
	return 0;
}

static int read_rest(const Bnnmodel__Graph *m, const struct id_map *map, struct graph *g, struct err *err)
{
	if (!m->card || !m->card->name)
		return err_set(err, ERR_INVALID_ARGUMENT, "the card or its name is missing");
	g->card_name = m->card->name;
	g->card_text = m->card->text ? m->card->text : "";
	if (m->answers) {
		if (!m->answers->has_temperature || !m->answers->has_deviation || !m->answers->has_deviation_weight)
			return err_set(err, ERR_INVALID_ARGUMENT,
				"answers: the temperature, the deviation or its weight is missing");
		g->has_answers = true;
		g->temperature = m->answers->temperature;
		g->deviation = m->answers->deviation;
		g->deviation_weight = m->answers->deviation_weight;
		g->n_deviations = m->answers->n_deviations;
		g->deviations = m->answers->deviations;
		g->n_unknown_cosine = m->answers->n_unknown_cosine;
		g->unknown_cosine = m->answers->unknown_cosine;
		g->n_groups = m->answers->n_groups;
		g->groups = m->answers->groups;
		g->n_group_factors = m->answers->n_group_factors;
		g->group_factors = m->answers->group_factors;
		int r = read_known(m->answers, g, err);
		if (r)
			return r;
	}
	if (m->prior) {
		if (!m->prior->has_covariance)
			return err_set(err, ERR_INVALID_ARGUMENT, "prior: the covariance is missing");
		g->has_covariance = true;
		g->covariance = m->prior->covariance;
		g->has_between = m->prior->has_between;
		g->between = m->prior->between;
		int r = id_map_find(map, "the prior", &g->covariance, err);
		if (!r && g->has_between)
			r = id_map_find(map, "the prior", &g->between, err);
		return r;
	}
	return 0;
}

static int resolve_ids(const struct id_map *map, size_t op, uint32_t *ids, size_t n, struct err *err)
{
	char who[PLACE_TEXT_BYTES];
	snprintf(who, sizeof who, "operation %zu", op);
	for (size_t i = 0; i < n; i++) {
		int r = id_map_find(map, who, &ids[i], err);
		if (r)
			return r;
	}
	return 0;
}

static int resolve(const Bnnmodel__Graph *m, struct graph *g, struct err *err)
{
	struct id_map map;
	int r = id_map_init(&map, g, err);
	for (size_t i = 0; i < g->n_ops && !r; i++) {
		r = resolve_ids(&map, i, g->ops[i].inputs, g->ops[i].n_inputs, err);
		if (!r)
			r = resolve_ids(&map, i, g->ops[i].outputs, g->ops[i].n_outputs, err);
	}
	if (!r)
		r = read_input(m->input, &map, g, err);
	if (!r)
		r = read_outputs(m, &map, g, err);
	if (!r)
		r = read_rest(m, &map, g, err);
	free(map.entries);
	return r;
}

/* A constant is a slice of the data section: aligned, inside. Whether its length fits the shape, check.c says. */
static int place_constant(struct tensor *t, size_t index, const uint8_t *data, uint64_t data_bytes, struct err *err)
{
	if (t->offset % MEM_ALIGN_BYTES)
		return err_set(err, ERR_INVALID_ARGUMENT, "tensor %zu: offset %llu is not a multiple of %d", index,
			(unsigned long long)t->offset, MEM_ALIGN_BYTES);
	if (t->offset > data_bytes || t->length > data_bytes - t->offset)
		return err_set(err, ERR_INVALID_ARGUMENT,
			"tensor %zu: %llu bytes at offset %llu lie outside the data section", index,
			(unsigned long long)t->length, (unsigned long long)t->offset);
	t->data = data + t->offset;
	return 0;
}

int graph_unpack(const uint8_t *message, size_t message_bytes, const uint8_t *data, uint64_t data_bytes,
	struct graph *ret_graph, struct err *err)
{
	struct graph *g = ret_graph;
	memset(g, 0, sizeof *g);
	struct budget *budget = mem_zalloc(1, sizeof *budget);
	*budget = (struct budget){{budget_alloc, budget_free, budget}, GRAPH_UNPACKED_MAX_BYTES};
	g->budget = budget;
	Bnnmodel__Graph *m = bnnmodel__graph__unpack(&budget->allocator, message_bytes, message);
	g->message = m;
	if (!m)
		return err_set(err, ERR_INVALID_ARGUMENT,
			"the graph is not a protobuf message, or one of more than %d MiB",
			GRAPH_UNPACKED_MAX_BYTES >> 20);
	if (m->n_tensors > GRAPH_TENSORS_MAX || m->n_ops > GRAPH_OPS_MAX)
		return err_set(err, ERR_RESOURCE_EXHAUSTED, "%zu tensors and %zu operations: more than %d and %d",
			m->n_tensors, m->n_ops, GRAPH_TENSORS_MAX, GRAPH_OPS_MAX);
	int r = check_message(&m->base, &(struct place){"the graph", -1}, false, err);
	if (r)
		return r;
	g->n_tensors = m->n_tensors;
	g->tensors = mem_zalloc(g->n_tensors, sizeof *g->tensors);
	for (size_t i = 0; i < g->n_tensors && !r; i++) {
		r = read_tensor(m->tensors[i], i, &g->tensors[i], err);
		if (!r && g->tensors[i].is_constant)
			r = place_constant(&g->tensors[i], i, data, data_bytes, err);
	}
	g->n_ops = m->n_ops;
	g->ops = mem_zalloc(g->n_ops, sizeof *g->ops);
	for (size_t i = 0; i < g->n_ops && !r; i++)
		r = read_op(m->ops[i], i, &g->ops[i], err);
	return r ? r : resolve(m, g, err);
}

void graph_deinit(struct graph *graph)
{
	struct budget *budget = graph->budget;
	if (graph->message)
		bnnmodel__graph__free_unpacked(graph->message, &budget->allocator);
	free(budget);
	free(graph->tensors);
	free(graph->ops);
	memset(graph, 0, sizeof *graph);
}
