/* A page as JSON. */
#include "controller/look/processes.h"

#include "scenarios/base/clock.h"
#include "scenarios/playbook/spec.h"

#include <stdlib.h>

static double seconds(uint64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

static double lease_left_s(const struct ps_page *ps)
{
    uint64_t now_ns = clock_now_ns();

    return ps->state.armed && ps->state.lease_ns > now_ns ? seconds(ps->state.lease_ns - now_ns) : 0;
}

static cJSON *process_json(const struct ps_page *ps, const struct ps_process *row)
{
    cJSON *object = cJSON_CreateObject(), *rules;
    struct control_share share;

    cJSON_AddNumberToObject(object, "pid", row->process.pid ? row->process.pid : row->process.inner);
    cJSON_AddNumberToObject(object, "inner_pid", row->process.inner);
    cJSON_AddNumberToObject(object, "parent", row->parent);
    cJSON_AddStringToObject(object, "comm", row->process.comm);
    cJSON_AddBoolToObject(object, "alive", row->process.pid != 0);
    cJSON_AddNumberToObject(object, "age_s", seconds(row->age_ns));
    cJSON_AddBoolToObject(object, "unseen", row->unseen);
    cJSON_AddBoolToObject(object, "attached", row->process.way_out != 0);
    if (row->unseen) {
        cJSON_AddStringToObject(object, "why", row->why);
        return object;
    }
    cJSON_AddNumberToObject(object, "asleep", (double)row->process.asleep);
    rules = cJSON_AddObjectToObject(object, "rules");
    for (size_t i = 0; i < ps->rule_count && i < CONTROL_SHARES_MAX; i++) {
        cJSON *one = cJSON_AddObjectToObject(rules, ps->rules[i].name);

        page_share(ps->page, row->process.slot, i, &share);
        cJSON_AddNumberToObject(one, "matched", (double)share.matched);
        cJSON_AddNumberToObject(one, "fired", (double)share.fired);
    }
    return object;
}

static cJSON *rule_json(const struct ps_page *ps, size_t index)
{
    const struct rule_status *status = &ps->rules[index];
    cJSON *object = cJSON_CreateObject();
    struct fault_spec spec = { .to = "" };
    char line[512];

    cJSON_AddStringToObject(object, "name", status->name);
    if (!page_rule(ps->page, index, &spec.rule) && !fault_spec_print(&spec, line, sizeof(line)))
        cJSON_AddStringToObject(object, "fault", line);
    cJSON_AddNumberToObject(object, "matched", (double)status->counts.matched);
    cJSON_AddNumberToObject(object, "eligible", (double)status->counts.eligible);
    cJSON_AddNumberToObject(object, "fired", (double)status->counts.fired);
    cJSON_AddNumberToObject(object, "skipped", (double)status->counts.skipped);
    cJSON_AddNumberToObject(object, "in_flight", (double)status->in_flight);
    return object;
}

static cJSON *code_json(const struct page_code *code)
{
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "name", code->name);
    cJSON_AddStringToObject(object, "file", code->file);
    cJSON_AddNumberToObject(object, "line", code->line);
    cJSON_AddBoolToObject(object, "gives_error", code->gives_error);
    cJSON_AddNumberToObject(object, "hits", (double)code->hits);
    return object;
}

cJSON *ps_json(const struct ps_page *ps)
{
    const struct page_state *state = &ps->state;
    cJSON *object = cJSON_CreateObject(), *rules, *processes, *codes;
    struct page_code *list = calloc(CONTROL_CODE_MAX, sizeof(*list)); /* too large for a stack, and static memory of a thread is taken from it */
    size_t count = list ? page_codes(ps->page, list, CONTROL_CODE_MAX) : 0;

    cJSON_AddStringToObject(object, "page", page_name(ps->page));
    cJSON_AddNumberToObject(object, "owner", state->owner_pid);
    cJSON_AddBoolToObject(object, "owner_alive", state->owner_alive);
    cJSON_AddBoolToObject(object, "armed", state->armed);
    cJSON_AddNumberToObject(object, "epoch", (double)state->epoch);
    cJSON_AddNumberToObject(object, "lease_s", lease_left_s(ps));
    cJSON_AddBoolToObject(object, "supervised", state->supervised);
    cJSON_AddNumberToObject(object, "refused", (double)state->refused);
    cJSON_AddNumberToObject(object, "unlisted", (double)state->unlisted);
    cJSON_AddNumberToObject(object, "lost", (double)state->lost);
    rules = cJSON_AddArrayToObject(object, "rules");
    for (size_t i = 0; i < ps->rule_count; i++)
        cJSON_AddItemToArray(rules, rule_json(ps, i));
    processes = cJSON_AddArrayToObject(object, "processes");
    for (size_t i = 0; i < ps->process_count; i++)
        cJSON_AddItemToArray(processes, process_json(ps, &ps->processes[i]));
    codes = cJSON_AddArrayToObject(object, "code_points");
    for (size_t i = 0; i < count; i++)
        cJSON_AddItemToArray(codes, code_json(&list[i]));
    free(list);
    return object;
}
