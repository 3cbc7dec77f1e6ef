/* The diagnosis of a snapshot of locks: what it names, what is only possible. */
#include "controller/diagnose/diagnose.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <string.h>

enum { STACK_SHOWN_MAX = 12 };

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static double number(const cJSON *object, const char *key)
{
    return cJSON_IsNumber(member(object, key)) ? member(object, key)->valuedouble : 0;
}

static const char *string(const cJSON *object, const char *key)
{
    return cJSON_IsString(member(object, key)) ? member(object, key)->valuestring : "";
}

int locks_check(const struct cJSON *snapshot, const char *name, struct errs *errs)
{
    static const char *const lists[] = { "deadlocks", "threads", "order_cycles" };

    if (!cJSON_IsObject(snapshot) || strcmp(string(snapshot, "kind"), "perturb-locks") != 0)
        return errs_add(errs, ERR_INPUT, name, "/kind: '%s'; expected 'perturb-locks', or a Go task dump", string(snapshot, "kind"));
    if (number(snapshot, "version") < 1 || number(snapshot, "version") > 1)
        errs_add(errs, ERR_INPUT, name, "/version: %g; expected 1", number(snapshot, "version"));
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        const cJSON *entry;

        if (!cJSON_IsArray(member(snapshot, lists[i]))) {
            errs_add(errs, ERR_INPUT, name, "/%s: %s; expected an array", lists[i], member(snapshot, lists[i]) ? "no array" : "missing");
            continue;
        }
        cJSON_ArrayForEach(entry, member(snapshot, lists[i]))
        {
            if (!cJSON_IsObject(entry) && !cJSON_IsArray(entry)) {
                errs_add(errs, ERR_INPUT, name, "/%s: an entry that is no object", lists[i]);
                break;
            }
        }
    }
    return errs->count ? -EINVAL : 0;
}

struct cJSON *locks_diagnose(const struct cJSON *snapshot)
{
    static const char *const kept[] = { "deadlocks", "threads", "order_cycles", "profile", "stopped", "lost" };
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "kind", "perturb-diagnosis");
    cJSON_AddNumberToObject(object, "version", 1);
    cJSON_AddStringToObject(object, "of", "locks");
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (member(snapshot, kept[i]))
            cJSON_AddItemToObject(object, kept[i], cJSON_Duplicate(member(snapshot, kept[i]), true));
    return object;
}

static const cJSON *thread_of(const cJSON *diagnosis, double tid)
{
    const cJSON *thread;

    cJSON_ArrayForEach(thread, member(diagnosis, "threads"))
    {
        if (number(thread, "tid") >= tid && number(thread, "tid") <= tid)
            return thread;
    }
    return NULL;
}

/* "mutex 'orders' (0x55...)" */
static void show_lock(const cJSON *object, FILE *out)
{
    if (string(object, "name")[0])
        fprintf(out, "%s '%s' (%s)", string(object, "kind"), string(object, "name"), string(object, "lock"));
    else
        fprintf(out, "%s %s", string(object, "kind"), string(object, "lock"));
}

static void show_thread(const cJSON *thread, FILE *out)
{
    const cJSON *waits = member(thread, "waits"), *held, *line;
    int shown = 0;

    fprintf(out, "  thread %.0f '%s'\n", number(thread, "tid"), string(thread, "name"));
    if (waits) {
        fprintf(out, "    waits for %s", cJSON_IsTrue(member(waits, "timed")) ? "(with a time limit) " : "");
        show_lock(waits, out);
        fprintf(out, " since %.3f s at %s", number(waits, "for_s"), string(waits, "site"));
        if (member(waits, "holder"))
            fprintf(out, "; thread %.0f holds it", number(waits, "holder"));
        fprintf(out, "\n");
    }
    cJSON_ArrayForEach(held, member(thread, "holds"))
    {
        fprintf(out, "    holds ");
        show_lock(held, out);
        fprintf(out, " taken at %s\n", string(held, "site"));
    }
    cJSON_ArrayForEach(line, member(thread, "stack"))
    {
        if (shown++ < STACK_SHOWN_MAX && cJSON_IsString(line))
            fprintf(out, "      %s\n", line->valuestring);
    }
    if (member(thread, "stack_missing"))
        fprintf(out, "      no stack: %s\n", string(thread, "stack_missing"));
}

static void show_deadlock(const cJSON *diagnosis, const cJSON *deadlock, FILE *out)
{
    const cJSON *entry;

    fprintf(out, "deadlock of %d threads%s:\n", cJSON_GetArraySize(member(deadlock, "threads")),
            cJSON_IsTrue(member(deadlock, "ends_by_itself")) ? ", until a time limit ends one of the waits" : "");
    cJSON_ArrayForEach(entry, member(deadlock, "threads"))
    {
        const cJSON *thread = thread_of(diagnosis, number(entry, "tid"));

        fprintf(out, "  thread %.0f '%s' waits for ", number(entry, "tid"), thread ? string(thread, "name") : "");
        show_lock(entry, out);
        fprintf(out, " that thread %.0f holds\n", number(entry, "holder"));
    }
}

static void show_orders(const cJSON *diagnosis, FILE *out)
{
    const cJSON *cycle, *step;

    cJSON_ArrayForEach(cycle, member(diagnosis, "order_cycles"))
    {
        fprintf(out, "\n%d locks are taken in orders that could deadlock:\n", cJSON_GetArraySize(cycle));
        cJSON_ArrayForEach(step, cycle)
        {
            fprintf(out, "  ");
            show_lock(member(step, "held"), out);
            fprintf(out, " at %s, then ", string(member(step, "held"), "site"));
            show_lock(member(step, "next"), out);
            fprintf(out, " at %s\n", string(member(step, "next"), "site"));
        }
    }
}

void locks_show(const struct cJSON *diagnosis, FILE *out)
{
    const cJSON *item;

    if (!cJSON_GetArraySize(member(diagnosis, "deadlocks")))
        fprintf(out, "no deadlock is seen: nobody waits, through others, for what it holds itself\n");
    cJSON_ArrayForEach(item, member(diagnosis, "deadlocks"))
        show_deadlock(diagnosis, item, out);
    fprintf(out, "\nthreads that hold or wait:\n");
    cJSON_ArrayForEach(item, member(diagnosis, "threads"))
        show_thread(item, out);
    show_orders(diagnosis, out);
    if (number(diagnosis, "lost") > 0)
        fprintf(out, "\n%.0f notes about locks found no room: there may be more\n", number(diagnosis, "lost"));
}
