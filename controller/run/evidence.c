/* The evidence of a run: what its playbook and its guards want kept, taken beside the run. */
#include "controller/run/run_priv.h"

#include "scenarios/base/clock.h"

#include <stdlib.h>
#include <string.h>

static struct evidence_run *add(struct run *run, const char *name, const char *moment)
{
    struct evidence_run *entry;

    if (run->evidence_count == RUN_EVIDENCE_MAX)
        return NULL;
    entry = &run->evidence[run->evidence_count++];
    *entry = (struct evidence_run){ .name = name, .moment = moment };
    return entry;
}

void run_take_evidence(struct run *run, const struct evidence *evidence, const char *moment)
{
    struct evidence_run *entry = add(run, evidence->name, moment);

    if (entry && evidence_take(evidence, moment, run->directory, &run->world, &entry->job) < 0)
        snprintf(entry->result.why, sizeof(entry->result.why), "no memory or no thread for it");
}

void run_take_evidence_at(struct run *run, enum evidence_when when)
{
    const struct evidence *list = run->playbook->evidence.items;
    const char *moment = when == EVIDENCE_BEFORE ? "before" : when == EVIDENCE_DURING ? "during" : "after";

    for (size_t i = 0; i < run->playbook->evidence.count; i++)
        if (list[i].moments & when)
            run_take_evidence(run, &list[i], moment);
}

void run_tell(struct run *run, const struct guard *guard, const char *value)
{
    struct evidence_run *entry = add(run, guard->signal.name, "notify");
    char id[RUN_ID_MAX + 16], name[160], text[80];
    const char *const variables[] = { id, name, text, NULL };

    snprintf(id, sizeof(id), "PERTURB_RUN=%s", run->id);
    snprintf(name, sizeof(name), "PERTURB_GUARD=%.128s", guard->signal.name);
    snprintf(text, sizeof(text), "PERTURB_VALUE=%.64s", value);
    if (entry && evidence_notify(&guard->notify, variables, &entry->job) < 0)
        snprintf(entry->result.why, sizeof(entry->result.why), "no memory or no thread for it");
}

static void finish(struct run *run, struct evidence_run *entry, bool now)
{
    evidence_end(entry->job, now, &entry->result);
    entry->job = NULL;
    event_log_note(&run->log, EVENT_captured, entry->name, entry->result.why[0] ? entry->result.why : entry->moment, (int64_t)entry->result.bytes, 0);
}

static bool was_taken(const struct run *run, const struct evidence *evidence, const char *moment)
{
    for (size_t i = 0; i < run->evidence_count; i++)
        if (run->evidence[i].name == evidence->name && !strcmp(run->evidence[i].moment, moment))
            return true;
    return false;
}

void run_poll_evidence(struct run *run)
{
    const struct evidence *list = run->playbook->evidence.items;
    uint64_t now_ns = clock_now_ns();

    for (size_t i = 0; run->method_ns && run->end_ns <= run->method_ns && i < run->playbook->evidence.count; i++)
        if ((list[i].moments & EVIDENCE_DURING) && now_ns >= run->method_ns + (uint64_t)list[i].at && !was_taken(run, &list[i], "during"))
            run_take_evidence(run, &list[i], "during");
    for (size_t i = 0; i < run->evidence_count; i++)
        if (run->evidence[i].job && evidence_is_done(run->evidence[i].job))
            finish(run, &run->evidence[i], false);
}

/* Each has its own timeout, so this ends; a run that is to stop does not wait. */
void run_end_evidence(struct run *run)
{
    bool busy = true;

    while (busy && !run_is_aborted(run)) {
        busy = false;
        for (size_t i = 0; i < run->evidence_count; i++)
            busy |= run->evidence[i].job && !evidence_is_done(run->evidence[i].job);
        if (busy && !run_wait(run, clock_now_ns() + 20 * NS_PER_MS))
            break;
    }
    for (size_t i = 0; i < run->evidence_count; i++)
        if (run->evidence[i].job)
            finish(run, &run->evidence[i], true);
}

cJSON *run_describe_evidence(const struct run *run)
{
    cJSON *array = cJSON_CreateArray();

    for (size_t i = 0; i < run->evidence_count; i++) {
        const struct evidence_run *entry = &run->evidence[i];
        cJSON *object = cJSON_CreateObject(), *diff = run_evidence_diff(run, entry);

        cJSON_AddItemToArray(array, object);
        cJSON_AddStringToObject(object, "name", entry->name);
        cJSON_AddStringToObject(object, "moment", entry->moment);
        if (entry->result.begun_ns)
            cJSON_AddNumberToObject(object, "at_s", run_seconds(run, entry->result.begun_ns));
        if (entry->result.done_ns)
            cJSON_AddNumberToObject(object, "took_s", (double)(entry->result.done_ns - entry->result.begun_ns) / 1e9);
        if (entry->result.file[0]) {
            cJSON_AddStringToObject(object, "file", entry->result.file);
            cJSON_AddNumberToObject(object, "bytes", (double)entry->result.bytes);
            cJSON_AddNumberToObject(object, "blanked", (double)entry->result.blanked);
        }
        if (diff)
            cJSON_AddItemToObject(object, "diff", diff);
        cJSON_AddStringToObject(object, "outcome", entry->result.why[0] ? entry->result.why : "taken");
    }
    return array;
}
