/* The descriptors: the .def tables as constant arrays. */
#include "scenarios/vocab/fault.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MICROSECOND INT64_C(1000)
#define MILLISECOND INT64_C(1000000)
#define SECOND INT64_C(1000000000)
#define PPM 1000000
#define REQUIRED INT64_MIN

#define SELECT_TIMES (BIT(SELECTOR_probability) | BIT(SELECTOR_nth) | BIT(SELECTOR_first) | BIT(SELECTOR_last) | \
                      BIT(SELECTOR_after) | BIT(SELECTOR_once) | BIT(SELECTOR_budget) | BIT(SELECTOR_from) | \
                      BIT(SELECTOR_until) | BIT(SELECTOR_ramp) | BIT(SELECTOR_observe))
#define SELECT_STREAM_OPEN (SELECT_TIMES | BIT(SELECTOR_active) | BIT(SELECTOR_client))
#define SELECT_STREAM (SELECT_STREAM_OPEN | BIT(SELECTOR_direction))
#define SELECT_DATAGRAM (SELECT_TIMES | BIT(SELECTOR_client) | BIT(SELECTOR_direction) | BIT(SELECTOR_size))
#define SELECT_CALL_SIZE (SELECT_TIMES | BIT(SELECTOR_size) | BIT(SELECTOR_thread) | BIT(SELECTOR_caller) | \
                          BIT(SELECTOR_each_site))
#define SELECT_CALL (SELECT_CALL_SIZE | BIT(SELECTOR_path) | BIT(SELECTOR_fd) | BIT(SELECTOR_peer))
#define SELECT_CODE (SELECT_CALL | BIT(SELECTOR_label))
#define SELECT_CLOCK (BIT(SELECTOR_from) | BIT(SELECTOR_until) | BIT(SELECTOR_observe))
#define SELECT_NAMES (SELECT_TIMES | BIT(SELECTOR_host) | BIT(SELECTOR_thread) | BIT(SELECTOR_caller))
#define SELECT_FILE (SELECT_CALL & ~BIT(SELECTOR_peer))
#define SELECT_HOST UINT64_C(0)

/* Parameter slots: the struct's member order, slot 0 being `reserved`. */
#define SLOT_OF(layer, fault, name) (offsetof(struct params_##layer##_##fault, name) / sizeof(int64_t))

/* Every default lies in its range, or is REQUIRED. */
#define PARAM(layer, fault, name, unit, minimum, maximum, initial, help)                                                     \
    _Static_assert((initial) == REQUIRED || ((initial) >= (minimum) && (initial) <= (maximum)),                              \
                   #layer "." #fault "." #name ": the default is out of range");
#define SHARE(layer, fault, name, text, initial, help)                                                                       \
    _Static_assert((initial) >= 0 && (initial) <= PPM, #layer "." #fault "." text ": the default is out of range");
#include "scenarios/vocab/faults.def"

#define FAULT(layer, name, ...) static const struct param_desc params_of_##layer##_##name[] = {
#define PARAM(layer, fault, name, unit, minimum, maximum, initial, help)                                                     \
    { #name, unit, SLOT_OF(layer, fault, name), minimum, maximum, (initial) == REQUIRED ? 0 : (initial),                     \
      (initial) == REQUIRED, 0, NULL, help },
#define CHOICE(layer, fault, name, words, initial, help)                                                                     \
    { #name, UNIT_ENUM, SLOT_OF(layer, fault, name), 0, FAULT_CHOICES_MAX, initial, false, 0, words, help },
#define SHARE(layer, fault, name, text, initial, help)                                                                       \
    { text, UNIT_SHARE, SLOT_OF(layer, fault, name), 0, PPM, initial, false, 0, NULL, help },
#define REST(layer, fault, name, text, of, help)                                                                             \
    { text, UNIT_SHARE, SLOT_OF(layer, fault, name), 0, PPM, 0, false, SLOT_OF(layer, fault, of), NULL, help },
#define FAULT_END(layer, fault) { .slot = 0 } };
#include "scenarios/vocab/faults.def"

#define FAULT(layer, name, ...) static const struct alias_desc aliases_of_##layer##_##name[] = {
#define ALIAS(layer, fault, param, alias, factor, help) { SLOT_OF(layer, fault, param), alias, factor, help },
#define FAULT_END(layer, fault) { .slot = 0 } };
#include "scenarios/vocab/faults.def"

const uint64_t fault_points[FAULT_COUNT] = {
#define POINTS(layer, fault, mask) [FAULT_##layer##_##fault] = mask,
#include "scenarios/vocab/faults.def"
};

const uint32_t fault_places[FAULT_COUNT] = {
#define ACTS_ON(layer, fault, places) [FAULT_##layer##_##fault] = places,
#include "scenarios/vocab/faults.def"
};

const char *const layer_names[LAYER_COUNT] = { "stream", "datagram", "call", "host" };

const struct point_desc point_descs[POINT_COUNT] = {
#define POINT(name, groups, help) { #name, groups, help },
#include "scenarios/vocab/points.def"
};

const struct selector_desc selector_descs[SELECTOR_COUNT] = {
#define SELECTOR(name, unit, operators, minimum, maximum, help) { #name, unit, operators, minimum, maximum, help },
#include "scenarios/vocab/selectors.def"
};

const struct fault_desc fault_descs[FAULT_COUNT] = {
#define FAULT(layer_name, short_name, backend_bits, selector_bits, undo_name, looks, main_name, acted_text, help_text)       \
    [FAULT_##layer_name##_##short_name] = {                                                                                  \
        .id = FAULT_##layer_name##_##short_name,                                                                             \
        .layer = LAYER_##layer_name,                                                                                         \
        .name = #short_name,                                                                                                 \
        .backends = backend_bits,                                                                                            \
        .selectors = selector_bits,                                                                                          \
        .undo = UNDO_##undo_name,                                                                                            \
        .looks_at = LOOKS_AT_##looks,                                                                                        \
        .main = main_name,                                                                                                   \
        .acted = acted_text,                                                                                                 \
        .help = help_text,                                                                                                   \
        .params = params_of_##layer_name##_##short_name,                                                                     \
        .param_count = ARRAY_SIZE(params_of_##layer_name##_##short_name) - 1,                                                \
        .aliases = aliases_of_##layer_name##_##short_name,                                                                   \
        .alias_count = ARRAY_SIZE(aliases_of_##layer_name##_##short_name) - 1,                                               \
    },
#include "scenarios/vocab/faults.def"
};

const struct fault_desc *fault_find(const char *name, uint64_t layers, bool *ret_ambiguous)
{
    const char *dot = strchr(name, '.');
    const struct fault_desc *found = NULL;
    bool ambiguous = false;

    for (size_t i = 0; i < FAULT_COUNT; i++) {
        const struct fault_desc *fault = &fault_descs[i];
        const char *layer = layer_names[fault->layer];

        if (!(layers & BIT(fault->layer)) || strcmp(dot ? dot + 1 : name, fault->name) != 0)
            continue;
        if (dot && (strlen(layer) != (size_t)(dot - name) || strncmp(name, layer, strlen(layer)) != 0))
            continue;
        ambiguous = found != NULL;
        found = fault;
    }
    if (ret_ambiguous)
        *ret_ambiguous = ambiguous;
    return ambiguous ? NULL : found;
}

int selector_find(const char *name)
{
#define SELECTOR_ALIAS(alias, full_name)                                                                                     \
    if (!strcmp(name, alias))                                                                                                \
        return SELECTOR_##full_name;
#include "scenarios/vocab/selectors.def"
    for (int i = 0; i < SELECTOR_COUNT; i++)
        if (!strcmp(name, selector_descs[i].name))
            return i;
    return -1;
}

const struct param_desc *fault_param(const struct fault_desc *fault, const char *name)
{
    for (size_t i = 0; i < fault->param_count; i++)
        if (!strcmp(fault->params[i].name, name))
            return &fault->params[i];
    return NULL;
}

const struct param_desc *fault_param_at(const struct fault_desc *fault, size_t slot)
{
    for (size_t i = 0; i < fault->param_count; i++)
        if (fault->params[i].slot == slot)
            return &fault->params[i];
    return NULL;
}

int words_index(const char *words, const char *word)
{
    size_t length = strlen(word);

    for (int index = 0; words && *words; index++) {
        size_t span = strcspn(words, " ");

        if (span == length && !strncmp(words, word, span))
            return index;
        words += span;
        words += *words == ' ';
    }
    return -1;
}

uint64_t fault_points_unnamed(enum fault_id fault)
{
    uint64_t points = fault_points[fault];

    for (size_t i = 0; i < POINT_COUNT && fault_points[fault] != POINTS_ALL; i++)
        if (point_descs[i].groups & GROUP_NAMED)
            points &= ~BIT(i);
    return points ? points : fault_points[fault];
}

int64_t param_initial(const struct param_desc *param, const int64_t *slot)
{
    return param->rest_of ? PPM - slot[param->rest_of] : param->initial;
}

int64_t param_maximum(const struct param_desc *param)
{
    int64_t last = 0;

    if (!param->words)
        return param->maximum;
    for (const char *at = param->words; *at; at++)
        last += *at == ' ';
    return last;
}

char *words_at(const char *words, int64_t index, char *text, size_t size)
{
    while (index-- > 0 && *words) {
        words += strcspn(words, " ");
        words += *words == ' ';
    }
    snprintf(text, size, "%.*s", (int)strcspn(words, " "), words);
    return text;
}
