/* Faults as one line, and key by key. Loops over the descriptors; no fault is named here. */
#include "scenarios/playbook/spec.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"
#include "scenarios/playbook/spec_errors.h"
#include "scenarios/playbook/value.h"
#include "scenarios/vocab/decide.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/param.h>

static int refuse_fault(const char *name, uint64_t layers, bool ambiguous, const char *where, struct errs *errs)
{
    const char *names[FAULT_COUNT];
    int nearest;

    if (ambiguous)
        return errs_add(errs, ERR_INPUT, where, "fault '%s' stands in several layers; write stream.%s or call.%s", name, name, name);
    for (size_t i = 0; i < FAULT_COUNT; i++)
        names[i] = layers & BIT(fault_descs[i].layer) ? fault_descs[i].name : NULL;
    nearest = err_nearest(name, names, FAULT_COUNT);
    if (nearest >= 0)
        return errs_add(errs, ERR_INPUT, where, "unknown fault '%s'; did you mean %s?", name, names[nearest]);
    return errs_add(errs, ERR_INPUT, where, "unknown fault '%s'; `perturb faults` lists them", name);
}

const struct fault_desc *fault_spec_begin(struct fault_spec *spec, const char *name, uint64_t layers, const char *where,
                                          struct errs *errs)
{
    const struct fault_desc *fault;
    bool ambiguous;

    fault = fault_find(name, layers, &ambiguous);
    if (!fault) {
        refuse_fault(name, layers, ambiguous, where, errs);
        return NULL;
    }
    memset(spec, 0, sizeof(*spec));
    plan_rule_init(&spec->rule, fault, NULL);
    return fault;
}

static int copy_text(char *target, size_t size, const char *key, const char *value, const char *where, struct errs *errs)
{
    if (strlen(value) >= size)
        return errs_add(errs, ERR_INPUT, where, "%s: longer than %zu bytes", key, size - 1);
    memset(target, 0, size);
    memcpy(target, value, strlen(value));
    return 0;
}

/* Names are compared in lower case. */
static int copy_host(char target[RULE_HOST_MAX], const char *key, const char *value, const char *where, struct errs *errs)
{
    int result = copy_text(target, RULE_HOST_MAX, key, value, where, errs);

    for (size_t i = 0; !result && target[i]; i++)
        target[i] = (char)tolower((unsigned char)target[i]);
    return result;
}

static int set_address(struct address_match *match, const char *key, bool negate, const char *value, const char *where,
                       struct errs *errs)
{
    if (address_match_parse(value, match) < 0)
        return errs_add(errs, ERR_INPUT, where, "%s: '%s' is no address; expected a CIDR, ADDRESS:PORT or :PORT", key, value);
    match->negate = negate;
    return 0;
}

static int set_text_selector(struct selector *selector, enum selector_id id, bool negate, const char *value, const char *where,
                             struct errs *errs)
{
    static const char directions[] = "to_upstream to_client both";
    const char *key = selector_descs[id].name;
    int direction;

    switch (id) {
    case SELECTOR_path:
        selector->path_negate = negate;
        return copy_text(selector->path, sizeof(selector->path), key, value, where, errs);
    case SELECTOR_thread:
        selector->thread_negate = negate;
        return copy_text(selector->thread, sizeof(selector->thread), key, value, where, errs);
    case SELECTOR_caller:
        selector->caller_negate = negate;
        return copy_text(selector->caller, sizeof(selector->caller), key, value, where, errs);
    case SELECTOR_host:
        selector->host_negate = negate;
        return copy_host(selector->host, key, value, where, errs);
    case SELECTOR_label:
        selector->label_negate = negate;
        return copy_text(selector->label, sizeof(selector->label), key, value, where, errs);
    case SELECTOR_peer:
        return set_address(&selector->peer, key, negate, value, where, errs);
    case SELECTOR_client:
        return set_address(&selector->client, key, negate, value, where, errs);
    default:
        direction = words_index(directions, value);
        if (direction < 0)
            return errs_add(errs, ERR_INPUT, where, "%s: '%s' is none of: %s", key, value, directions);
        selector->direction = (uint32_t)direction + 1;
        return 0;
    }
}

static void set_number_selector(struct selector *selector, enum selector_id id, enum operator_bits op, int64_t value)
{
    uint64_t number = (uint64_t)value;

    switch (id) {
    case SELECTOR_probability:
        selector->probability_ppm = (uint32_t)value;
        break;
    case SELECTOR_nth:
        selector->nth = number;
        break;
    case SELECTOR_first:
        selector->first = number;
        break;
    case SELECTOR_last:
        selector->last = number;
        break;
    case SELECTOR_after:
        selector->first = number + 1;
        break;
    case SELECTOR_once:
        selector->budget = number;
        break;
    case SELECTOR_budget:
        selector->budget = number;
        break;
    case SELECTOR_active:
        selector->active_max = (uint32_t)number;
        break;
    case SELECTOR_size:
        selector->size_min = op == OP_LE ? selector->size_min : number;
        selector->size_max = op == OP_GE ? selector->size_max : number;
        break;
    case SELECTOR_fd:
        selector->fd = (int32_t)value;
        break;
    case SELECTOR_from:
        selector->from_ns = number;
        break;
    case SELECTOR_until:
        selector->until_ns = number;
        break;
    case SELECTOR_ramp:
        selector->ramp_ns = number;
        break;
    case SELECTOR_each_site:
        selector->each_site = (uint32_t)value;
        break;
    default:
        selector->observe = (uint32_t)value;
        break;
    }
}

static int set_selector(struct fault_spec *spec, enum selector_id id, enum operator_bits op, const char *value, const char *where,
                        struct errs *errs)
{
    const struct fault_desc *fault = &fault_descs[spec->rule.fault];
    const struct selector_desc *desc = &selector_descs[id];
    const struct selector *selector = &spec->rule.selector;
    bool other_bound = id == SELECTOR_size && ((op == OP_GE && !selector->size_min) || (op == OP_LE && selector->size_max == UINT64_MAX));
    int64_t number;

    if (!(fault->selectors & BIT(id)))
        return errs_add(errs, ERR_INPUT, where, "%s.%s takes no '%s'", layer_names[fault->layer], fault->name, desc->name);
    if (!(desc->operators & op))
        return errs_add(errs, ERR_INPUT, where, "%s: this comparison is not one it has", desc->name);
    if ((spec->given_selectors & BIT(id)) && !other_bound)
        return errs_add(errs, ERR_INPUT, where, "%s is given twice", desc->name);
    spec->given_selectors |= BIT(id);
    if (desc->unit == UNIT_TEXT)
        return set_text_selector(&spec->rule.selector, id, op == OP_NE, value, where, errs);
    if (value_parse(desc->name, desc->unit, NULL, desc->minimum, desc->maximum, value, where, errs, &number) < 0)
        return -EINVAL;
    set_number_selector(&spec->rule.selector, id, op, number);
    return 0;
}

static int set_param(struct fault_spec *spec, const struct param_desc *param, enum operator_bits op, const char *value,
                     const char *where, struct errs *errs)
{
    if (op != OP_EQ)
        return errs_add(errs, ERR_INPUT, where, "%s: only '=' sets a parameter", param->name);
    if (spec->given_params & BIT(param->slot))
        return errs_add(errs, ERR_INPUT, where, "%s is given twice", param->name);
    spec->given_params |= BIT(param->slot);
    if (param->unit == UNIT_ERRNO)
        return spec_errors_parse(&spec->rule, param, value, where, errs);
    return value_parse(param->name, param->unit, param->words, param->minimum, param->maximum, value, where, errs,
                       &spec->rule.params.slot[param->slot]);
}

static int refuse_key(const struct fault_desc *fault, const char *key, const char *where, struct errs *errs)
{
    const char *names[FAULT_PARAMS_MAX + SELECTOR_COUNT] = { NULL };
    size_t count = 0;
    int nearest;

    for (size_t i = 0; i < fault->param_count; i++)
        names[count++] = fault->params[i].name;
    for (size_t i = 0; i < SELECTOR_COUNT; i++)
        if (fault->selectors & BIT(i))
            names[count++] = selector_descs[i].name;
    nearest = err_nearest(key, names, count);
    if (nearest >= 0)
        return errs_add(errs, ERR_INPUT, where, "%s.%s has no '%s'; did you mean %s?", layer_names[fault->layer], fault->name, key,
                        names[nearest]);
    return errs_add(errs, ERR_INPUT, where, "%s.%s has no '%s'; `perturb faults %s` lists what it has", layer_names[fault->layer],
                    fault->name, key, fault->name);
}

int fault_set(struct fault_spec *spec, const char *key, enum operator_bits op, const char *value, const char *where,
              struct errs *errs)
{
    const struct fault_desc *fault = &fault_descs[spec->rule.fault];
    const struct param_desc *param = fault_param(fault, key);
    int selector = selector_find(key);

    if (param)
        return set_param(spec, param, op, value, where, errs);
    if (selector >= 0)
        return set_selector(spec, (enum selector_id)selector, op, value, where, errs);
    if (op == OP_EQ && !strcmp(key, "name")) {
        if (copy_text(spec->rule.name, RULE_NAME_MAX, key, value, where, errs) < 0)
            return -EINVAL;
        spec->rule.name_hash = rng_hash(spec->rule.name);
        return 0;
    }
    if (op == OP_EQ && (!strcmp(key, "target") || !strcmp(key, "proxy")))
        return copy_text(spec->rule.scope, RULE_SCOPE_MAX, key, value, where, errs);
    if (op == OP_EQ && !strcmp(key, "to") && fault->layer == LAYER_STREAM)
        return copy_text(spec->to, sizeof(spec->to), key, value, where, errs);
    if (op == OP_EQ && !strcmp(key, "to") && fault_places[fault->id] & ACTS_ON_OTHER)
        return copy_text(spec->rule.to, sizeof(spec->rule.to), key, value, where, errs);
    return refuse_key(fault, key, where, errs);
}

int fault_spec_finish(struct fault_spec *spec, const char *where, struct errs *errs)
{
    const struct fault_desc *fault = &fault_descs[spec->rule.fault];
    const struct selector *selector = &spec->rule.selector;
    int result = 0;

    for (size_t i = 0; i < fault->param_count; i++)
        if (!(spec->given_params & BIT(fault->params[i].slot)))
            spec->rule.params.slot[fault->params[i].slot] = param_initial(&fault->params[i], spec->rule.params.slot);
    if (spec->given_selectors & BIT(SELECTOR_label)) { /* nothing else has one */
        if (spec->rule.points != POINT_BIT(code) && spec->rule.points != fault_points_unnamed(fault->id))
            result = errs_add(errs, ERR_INPUT, where, "label names points in the program's own code; they are @code");
        spec->rule.points = POINT_BIT(code);
    }
    for (size_t i = 0; i < fault->param_count; i++)
        if (fault->params[i].required && !(spec->given_params & BIT(fault->params[i].slot)))
            result = errs_add(errs, ERR_INPUT, where, "%s.%s needs '%s', %s", layer_names[fault->layer], fault->name,
                              fault->params[i].name, unit_example(fault->params[i].unit));
    if (selector->last && selector->last < selector->first)
        result = errs_add(errs, ERR_INPUT, where, "last comes before first: the fault could never act");
    if (selector->until_ns && selector->until_ns <= selector->from_ns)
        result = errs_add(errs, ERR_INPUT, where, "until comes before from: the fault could never act");
    if (selector->size_max < selector->size_min)
        result = errs_add(errs, ERR_INPUT, where, "no size lies in that range: the fault could never act");
    if ((spec->given_selectors & BIT(SELECTOR_first)) && (spec->given_selectors & BIT(SELECTOR_after)))
        result = errs_add(errs, ERR_INPUT, where, "first and after say the same thing; give one of them");
    if ((spec->given_selectors & BIT(SELECTOR_once)) && (spec->given_selectors & BIT(SELECTOR_budget)))
        result = errs_add(errs, ERR_INPUT, where, "once is a budget of 1; give one of them");
    if (fault->id == FAULT_CALL_lost_writes && (selector->path_negate || !selector->path[strspn(selector->path, "*?/")]))
        result = errs_add(errs, ERR_INPUT, where, "call.lost_writes destroys data: it needs a path that names files, as path=/var/lib/x/*.aof");
    return result;
}

/* ---- the line ---------------------------------------------------------------------------------------------------------- */

enum { ITEM_MAX = 256 };

struct line {
    const char *text;
    size_t at;
    const char *where;
    struct errs *errs;
};

static const char *here(const struct line *line, char *place, size_t size)
{
    snprintf(place, size, "%s:%zu", line->where, line->at + 1);
    return place;
}

/* The next item, quotes taken off the value, as key, operator and value; an absent operator gives key "". */
static int next_item(struct line *line, char key[ITEM_MAX], char value[ITEM_MAX], enum operator_bits *ret_op)
{
    const char *at = line->text + line->at;
    char place[ERR_WHERE_MAX], quote = '\0';
    size_t key_length = strcspn(at, "=!<>,\"'"), length = 0;

    key[0] = '\0';
    *ret_op = OP_EQ;
    if (key_length < ITEM_MAX && (at[key_length] == '=' || (strchr("!<>", at[key_length]) && at[key_length] && at[key_length + 1] == '='))) {
        memcpy(key, at, key_length);
        key[key_length] = '\0';
        *ret_op = at[key_length] == '!' ? OP_NE : at[key_length] == '>' ? OP_GE : at[key_length] == '<' ? OP_LE : OP_EQ;
        at += key_length + (at[key_length] == '=' ? 1 : 2);
    }
    for (; *at && (quote || *at != ','); at++) {
        if (quote ? *at == quote : (*at == '"' || *at == '\'')) {
            quote = quote ? '\0' : *at;
            continue;
        }
        if (length + 1 >= ITEM_MAX)
            return errs_add(line->errs, ERR_INPUT, here(line, place, sizeof(place)), "the value is longer than %d bytes", ITEM_MAX - 1);
        value[length++] = *at;
    }
    value[length] = '\0';
    if (quote)
        return errs_add(line->errs, ERR_INPUT, here(line, place, sizeof(place)), "the quote %c is not closed", quote);
    line->at = (size_t)(at - line->text);
    return 0;
}

static int parse_items(struct line *line, struct fault_spec *spec)
{
    const struct fault_desc *fault = &fault_descs[spec->rule.fault];
    int result = 0;

    for (bool is_first = true; line->text[line->at]; is_first = false) {
        char key[ITEM_MAX], value[ITEM_MAX], place[ERR_WHERE_MAX];
        enum operator_bits op;

        here(line, place, sizeof(place));
        if (next_item(line, key, value, &op) < 0)
            return -EINVAL;
        if (!key[0] && !value[0])
            result = errs_add(line->errs, ERR_INPUT, place, "an item is empty");
        else if (!key[0] && is_first && fault->main)
            result |= fault_set(spec, fault->main, OP_EQ, value, place, line->errs);
        else if (!key[0])
            result = errs_add(line->errs, ERR_INPUT, place, "found '%s', expected KEY=VALUE", value);
        else
            result |= fault_set(spec, key, op, value, place, line->errs);
        if (line->text[line->at] == ',' && !line->text[++line->at])
            result = errs_add(line->errs, ERR_INPUT, place, "the line ends in ','");
    }
    return result ? -EINVAL : 0;
}

int fault_spec_point(struct fault_spec *spec, const char *point, const char *where, struct errs *errs)
{
    const struct fault_desc *fault = &fault_descs[spec->rule.fault];
    struct buf allowed;
    int result;

    for (size_t i = 0; i < POINT_COUNT; i++)
        if (!strcmp(point_descs[i].name, point) && fault_points[fault->id] & BIT(i)) {
            spec->rule.points = BIT(i);
            return 0;
        }
    buf_init(&allowed, 256);
    for (size_t i = 0; i < POINT_COUNT; i++)
        if (fault_points[fault->id] & BIT(i))
            buf_printf(&allowed, " %s", point_descs[i].name);
    result = errs_add(errs, ERR_INPUT, where, "%s.%s cannot be put at '%s'; %s%s", layer_names[fault->layer], fault->name, point,
                      allowed.length ? "its points are" : "it has no points", allowed.data);
    buf_done(&allowed);
    return result;
}

/* The first `length` bytes of `text`, as many as fit. */
static void copy_word(char *target, size_t size, const char *text, size_t length)
{
    length = MIN(length, size - 1);
    memcpy(target, text, length);
    target[length] = '\0';
}

/* With "to=" the fault is the wire's, without it the process's, where both are allowed. */
static uint64_t narrow_layers(const char *text, uint64_t layers)
{
    bool has_to = strstr(text, ",to=") || strstr(text, ":to=");

    if (has_to && layers & BIT(LAYER_STREAM))
        return layers & BIT(LAYER_STREAM);
    return layers & ~BIT(LAYER_STREAM) ? layers & ~BIT(LAYER_STREAM) : layers;
}

int fault_spec_parse(const char *text, uint64_t layers, const char *where, struct fault_spec *ret_spec, struct errs *errs)
{
    struct line line = { .text = text, .where = where, .errs = errs };
    char name[64], point[32], place[ERR_WHERE_MAX];
    size_t length = strcspn(text, "@:");
    struct fault_spec spec;

    copy_word(name, sizeof(name), text, length);
    here(&line, place, sizeof(place));
    if (!fault_spec_begin(&spec, name, narrow_layers(text, layers), place, errs))
        return -EINVAL;
    line.at = length;
    if (text[line.at] == '@') {
        line.at++;
        length = strcspn(text + line.at, ":");
        copy_word(point, sizeof(point), text + line.at, length);
        if (fault_spec_point(&spec, point, here(&line, place, sizeof(place)), errs) < 0)
            return -EINVAL;
        line.at += length;
    }
    if (text[line.at] == ':')
        line.at++;
    if (parse_items(&line, &spec) < 0 || fault_spec_finish(&spec, where, errs) < 0)
        return -EINVAL;
    spec_errors_warn(&spec.rule, where, errs);
    *ret_spec = spec;
    return 0;
}
