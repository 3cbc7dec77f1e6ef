/* The canonical line of a fault: the inverse of fault_spec_parse. */
#include "scenarios/playbook/spec.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/rng.h"
#include "scenarios/playbook/spec_errors.h"
#include "scenarios/playbook/value.h"
#include "scenarios/vocab/decide.h"

#include <errno.h>
#include <string.h>

/* In quotes of the kind it does not hold; a text with both kinds becomes several quoted pieces in a row. */
static void put_quoted(struct buf *out, const char *value)
{
    while (*value) {
        char quote = strcspn(value, "\"") >= strcspn(value, "'") ? '"' : '\'';
        size_t length = strcspn(value, (char[]){ quote, '\0' });

        buf_printf(out, "%c%.*s%c", quote, (int)length, value, quote);
        value += length;
    }
}

static void put_item(struct buf *out, const char *key, const char *op, const char *value)
{
    buf_printf(out, "%s%s%s", strchr(out->data, ':') ? "," : ":", key, op);
    if (!strpbrk(value, ",\"'"))
        buf_puts(out, value);
    else
        put_quoted(out, value);
}

static void put_number(struct buf *out, enum selector_id id, const char *op, uint64_t number)
{
    char value[32];

    put_item(out, selector_descs[id].name, op, unit_print(selector_descs[id].unit, (int64_t)number, value, sizeof(value)));
}

static void put_address(struct buf *out, const char *key, const struct address_match *match)
{
    char value[96];

    if (match->present && address_match_print(match, value, sizeof(value)) == 0)
        put_item(out, key, match->negate ? "!=" : "=", value);
}

static void put_selector(struct buf *out, const struct selector *selector)
{
    if (selector->probability_ppm != PPM)
        put_number(out, SELECTOR_probability, "=", selector->probability_ppm);
    if (selector->nth != 1)
        put_number(out, SELECTOR_nth, "=", selector->nth);
    if (selector->first != 1)
        put_number(out, SELECTOR_first, "=", selector->first);
    if (selector->last)
        put_number(out, SELECTOR_last, "=", selector->last);
    if (selector->budget)
        put_number(out, SELECTOR_budget, "=", selector->budget);
    if (selector->active_max)
        put_number(out, SELECTOR_active, "=", selector->active_max);
    if (selector->size_min)
        put_number(out, SELECTOR_size, ">=", selector->size_min);
    if (selector->size_max != UINT64_MAX)
        put_number(out, SELECTOR_size, "<=", selector->size_max);
    if (selector->path[0])
        put_item(out, "path", selector->path_negate ? "!=" : "=", selector->path);
    if (selector->fd >= 0)
        put_number(out, SELECTOR_fd, "=", (uint64_t)selector->fd);
    put_address(out, "peer", &selector->peer);
    put_address(out, "client", &selector->client);
    if (selector->direction != DIRECTION_BOTH)
        put_item(out, "direction", "=", selector->direction == DIRECTION_TO_CLIENT ? "to_client" : "to_upstream");
    if (selector->thread[0])
        put_item(out, "thread", selector->thread_negate ? "!=" : "=", selector->thread);
    if (selector->caller[0])
        put_item(out, "caller", selector->caller_negate ? "!=" : "=", selector->caller);
    if (selector->host[0])
        put_item(out, "host", selector->host_negate ? "!=" : "=", selector->host);
    if (selector->each_site)
        put_item(out, "each_site", "=", "true");
    if (selector->label[0])
        put_item(out, "label", selector->label_negate ? "!=" : "=", selector->label);
    if (selector->from_ns)
        put_number(out, SELECTOR_from, "=", selector->from_ns);
    if (selector->until_ns)
        put_number(out, SELECTOR_until, "=", selector->until_ns);
    if (selector->ramp_ns)
        put_number(out, SELECTOR_ramp, "=", selector->ramp_ns);
    if (selector->observe)
        put_item(out, "observe", "=", "true");
}

static void put_errors(struct buf *out, const char *key, const struct plan_rule *rule)
{
    struct buf text;

    buf_init(&text, 512);
    spec_errors_print(&text, rule);
    put_item(out, key, "=", text.data);
    buf_done(&text);
}

int fault_spec_print(const struct fault_spec *spec, char *text, size_t size)
{
    const struct plan_rule *rule = &spec->rule;
    const struct fault_desc *fault = &fault_descs[rule->fault];
    struct buf out;
    int result = 0;

    buf_init(&out, 2048);
    buf_puts(&out, fault->name);
    for (size_t i = 0; i < POINT_COUNT; i++)
        if (rule->points == BIT(i) && fault_points[fault->id] != rule->points)
            buf_printf(&out, "@%s", point_descs[i].name);
    for (size_t i = 0; i < fault->param_count; i++) {
        const struct param_desc *param = &fault->params[i];
        int64_t value = rule->params.slot[param->slot];
        char printed[64];

        if (param->unit == UNIT_ERRNO && (rule->error_any || rule->error_count))
            put_errors(&out, param->name, rule);
        else if (param->required || value != param_initial(param, rule->params.slot))
            put_item(&out, param->name, "=", value_print(param->unit, param->words, value, printed, sizeof(printed)));
    }
    put_selector(&out, &rule->selector);
    if (strcmp(rule->name, fault->name) != 0)
        put_item(&out, "name", "=", rule->name);
    if (rule->scope[0])
        put_item(&out, fault->layer == LAYER_STREAM || fault->layer == LAYER_DATAGRAM ? "proxy" : "target", "=", rule->scope);
    if (rule->to[0])
        put_item(&out, "to", "=", rule->to);
    if (spec->to[0])
        put_item(&out, "to", "=", spec->to);
    if (out.failed || out.length >= size)
        result = -E2BIG;
    else
        memcpy(text, out.data, out.length + 1);
    buf_done(&out);
    return result;
}
