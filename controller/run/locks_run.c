/* A run watches the locks of its targets: snapshots in the run's directory, events, and what the result document says of them. */
#include "controller/run/locks.h"
#include "controller/base/json.h"
#include "controller/run/run_priv.h"

#include "scenarios/base/clock.h"
#include "shims/host/preload.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SNAPSHOTS_MAX = 20 };

bool run_watches_locks(const struct target *target)
{
    return target->locks.watch || target->locks.profile;
}

bool run_needs_releases(const struct run *run, const struct target *target)
{
    for (size_t i = 0; i < run->playbook->method.count; i++) {
        const struct plan_rule *rule = &run->steps[i].step->spec.rule;

        if (run->steps[i].step->layer == LAYER_CALL && !strcmp(rule->scope, target->name) && (rule->points & PRELOAD_WATCHING))
            return true;
    }
    return target->locks.watch;
}

int run_locks_begin(struct run *run, struct target_run *target)
{
    const struct lock_watch *wanted = &target->target->locks;
    const struct lock_options options = { .waits = wanted->watch,
                                          .sample = (uint32_t)wanted->profile,
                                          .stuck_ns = (uint64_t)wanted->snapshot_after,
                                          .breaks = (enum lock_break)wanted->breaks };

    if (!run_watches_locks(target->target))
        return 0;
    return target->points ? -EOPNOTSUPP : locks_open(target->page, &options, (uint64_t)run->playbook->lease, &target->locks);
}

void run_locks_renew(struct run *run, uint64_t lease_ns)
{
    for (size_t i = 0; i < run->playbook->targets.count; i++)
        if (run->targets[i].locks)
            (void)locks_renew(run->targets[i].locks, lease_ns);
}

static void save(struct run *run, struct target_run *target, const cJSON *snapshot, const char *what)
{
    char *text = json_pretty(snapshot), name[96], note[640];
    char *path = NULL;
    FILE *file;

    snprintf(name, sizeof(name), "locks-%.48s-%u.json", target->target->name, ++target->snapshots);
    if (asprintf(&path, "%s/%s", run->directory, name) < 0)
        path = NULL;
    file = text && path ? fopen(path, "we") : NULL;
    if (file) {
        bool written = fputs(text, file) >= 0 && fputc('\n', file) >= 0;

        if (fclose(file) || !written)
            snprintf(name, sizeof(name), "not saved: %s", strerror(errno));
    } else {
        snprintf(name, sizeof(name), "not saved: %s", strerror(errno));
    }
    snprintf(note, sizeof(note), "target '%s': %.400s (%s)", target->target->name, what, name);
    cJSON_AddItemToArray(run->notes, cJSON_CreateString(note));
    event_log_note(&run->log, EVENT_lock_stuck, target->target->name, what, 0, 0);
    free(path);
    free(text);
}

static void look(struct run *run, struct target_run *target)
{
    struct lock_finding finding;

    locks_look(target->locks, &finding);
    if (!finding.snapshot)
        return;
    if (target->snapshots < SNAPSHOTS_MAX)
        save(run, target, finding.snapshot, finding.text);
    cJSON_Delete(finding.snapshot);
}

void run_locks_look(struct run *run, uint64_t now_ns)
{
    for (size_t i = 0; i < run->playbook->targets.count; i++) {
        struct target_run *target = &run->targets[i];

        if (!target->locks || now_ns < target->locks_due_ns)
            continue;
        target->locks_due_ns = now_ns + (uint64_t)locks_look_ms(target->locks) * NS_PER_MS;
        look(run, target);
    }
}

void run_locks_end(struct target_run *target)
{
    if (!target->locks)
        return;
    target->locks_found = locks_document(target->locks);
    if (target->locks_found)
        cJSON_AddNumberToObject(target->locks_found, "snapshots", target->snapshots);
    target->locks = locks_close(target->locks);
}
