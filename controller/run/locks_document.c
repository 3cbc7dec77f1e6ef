/* What is noted about locks, as JSON and as text. */
#include "controller/run/locks_priv.h"

#include "scenarios/base/clock.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROFILE_ROWS_MAX = 200, ADDRESS_MAX = 24 };

static const char *hex(uint64_t value, char text[ADDRESS_MAX])
{
    snprintf(text, ADDRESS_MAX, "0x%" PRIx64, value);
    return text;
}

static double seconds(uint64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

/* ---- names ------------------------------------------------------------------------------------------------------------ */

static const char *module_path(const struct lock_copy *copy, uint32_t number)
{
    return number && number <= copy->module_count ? copy->modules[number - 1].path : NULL;
}

static const char *site_text(struct symbols *symbols, const struct lock_copy *copy, uint32_t number, char *text, size_t size)
{
    const struct lock_site *site = number && number <= LOCK_SITES_MAX ? &copy->sites[number - 1] : NULL;

    if (!site || !site->ready) {
        snprintf(text, size, "unknown");
        return text;
    }
    return symbols_site(symbols, module_path(copy, site->module), site->offset, text, size);
}

static const char *thread_name(const struct lock_thread *thread, char name[32])
{
    char path[64];
    FILE *file;

    name[0] = '\0';
    snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", lock_thread_pid(thread), lock_thread_tid(thread));
    file = fopen(path, "re");
    if (!file)
        return name;
    if (fgets(name, 32, file))
        name[strcspn(name, "\n")] = '\0';
    fclose(file);
    return name;
}

/* ---- stacks ----------------------------------------------------------------------------------------------------------- */

static bool matters(const struct lock_thread *thread)
{
    return thread->wait.since_ns || thread->held_count;
}

static char *keep(struct lock_stacks *stacks, const char *text)
{
    size_t length = strlen(text) + 1;
    char *place = stacks->text + stacks->text_used;

    if (stacks->text_used + length > sizeof(stacks->text))
        return NULL;
    stacks->text_used += length;
    return memcpy(place, text, length);
}

static void name_object(struct lock_stacks *stacks, struct stacks *process, uint64_t address)
{
    for (size_t i = 0; i < stacks->object_count; i++)
        if (stacks->objects[i].address == address)
            return;
    if (stacks->object_count == LOCK_STACKS_MAX)
        return;
    stacks->objects[stacks->object_count].address = address;
    (void)stacks_object(process, address, stacks->objects[stacks->object_count].name, sizeof(stacks->objects[0].name));
    stacks->object_count++;
}

static void take_thread(struct lock_stacks *stacks, struct stacks *process, const struct lock_thread *thread)
{
    struct lock_stack_text *into = &stacks->list[stacks->count++];
    struct stack stack;
    char text[SYMBOL_TEXT_MAX];
    int result = stacks_take(process, lock_thread_tid(thread), &stack);

    into->tid = lock_thread_tid(thread);
    into->error = -result;
    into->stopped_ns = stack.stopped_ns;
    stacks->stopped_ns += stack.stopped_ns;
    if (stack.stopped_ns > stacks->longest_ns)
        stacks->longest_ns = stack.stopped_ns;
    for (size_t i = 0; i < stack.count; i++) {
        into->frames[into->count] = keep(stacks, stacks_frame(process, stack.frames[i], i == 0, text, sizeof(text)));
        if (into->frames[into->count])
            into->count++;
    }
    if (thread->wait.since_ns)
        name_object(stacks, process, thread->wait.lock);
    for (uint32_t i = 0; i < thread->held_count; i++)
        name_object(stacks, process, thread->held[i].lock);
}

static void take_process(struct lock_stacks *stacks, const struct lock_copy *copy, int pid)
{
    struct stacks *process = NULL;
    int result = stacks_open(pid, &process);

    for (size_t i = 0; i < copy->thread_count && stacks->count < LOCK_STACKS_MAX; i++) {
        const struct lock_thread *thread = &copy->threads[i];

        if (lock_thread_pid(thread) != pid || !matters(thread))
            continue;
        if (result < 0)
            stacks->list[stacks->count++] = (struct lock_stack_text){ .tid = lock_thread_tid(thread), .error = -result };
        else
            take_thread(stacks, process, thread);
    }
    stacks_close(process);
}

struct lock_stacks *lock_stacks_take(const struct lock_copy *copy)
{
    struct lock_stacks *stacks = calloc(1, sizeof(*stacks));
    int pids[16];
    size_t count = 0;

    for (size_t i = 0; stacks && i < copy->thread_count; i++) {
        int pid = lock_thread_pid(&copy->threads[i]);
        size_t known = 0;

        while (known < count && pids[known] != pid)
            known++;
        if (known < count || count == ARRAY_SIZE(pids) || !matters(&copy->threads[i]))
            continue;
        pids[count++] = pid;
        take_process(stacks, copy, pid);
    }
    return stacks;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------------- */

static void add_lock(cJSON *object, const struct lock_stacks *stacks, uint64_t lock, uint32_t kind)
{
    char text[ADDRESS_MAX];

    cJSON_AddStringToObject(object, "lock", hex(lock, text));
    cJSON_AddStringToObject(object, "kind", lock_kind_name(kind));
    for (size_t i = 0; stacks && i < stacks->object_count; i++)
        if (stacks->objects[i].address == lock && stacks->objects[i].name[0])
            cJSON_AddStringToObject(object, "name", stacks->objects[i].name);
}

static cJSON *stack_json(const struct lock_stacks *stacks, int tid, int *ret_error)
{
    cJSON *frames = cJSON_CreateArray();

    *ret_error = 0;
    for (size_t i = 0; i < stacks->count; i++) {
        if (stacks->list[i].tid != tid)
            continue;
        *ret_error = stacks->list[i].error;
        for (size_t k = 0; k < stacks->list[i].count; k++)
            cJSON_AddItemToArray(frames, cJSON_CreateString(stacks->list[i].frames[k]));
    }
    return frames;
}

static cJSON *thread_json(const struct lock_copy *copy, const struct lock_stacks *stacks, struct symbols *symbols,
                          const struct lock_thread *thread)
{
    cJSON *object = cJSON_CreateObject(), *holds, *waits;
    char text[SYMBOL_TEXT_MAX], name[32];
    size_t holder = lockwatch_holder(copy, thread);
    int error;

    cJSON_AddNumberToObject(object, "pid", lock_thread_pid(thread));
    cJSON_AddNumberToObject(object, "tid", lock_thread_tid(thread));
    cJSON_AddStringToObject(object, "name", thread_name(thread, name));
    if (thread->wait.since_ns) {
        waits = cJSON_AddObjectToObject(object, "waits");
        add_lock(waits, stacks, thread->wait.lock, thread->wait.kind);
        cJSON_AddStringToObject(waits, "site", site_text(symbols, copy, thread->wait.site, text, sizeof(text)));
        cJSON_AddNumberToObject(waits, "for_s", seconds(copy->taken_ns > thread->wait.since_ns ? copy->taken_ns - thread->wait.since_ns : 0));
        cJSON_AddBoolToObject(waits, "timed", thread->wait.timed != 0);
        if (holder != SIZE_MAX)
            cJSON_AddNumberToObject(waits, "holder", lock_thread_tid(&copy->threads[holder]));
    }
    holds = cJSON_AddArrayToObject(object, "holds");
    for (uint32_t i = 0; i < thread->held_count; i++) {
        cJSON *held = cJSON_CreateObject();

        add_lock(held, stacks, thread->held[i].lock, thread->held[i].kind);
        cJSON_AddStringToObject(held, "site", site_text(symbols, copy, thread->held[i].site, text, sizeof(text)));
        cJSON_AddItemToArray(holds, held);
    }
    if (thread->unlisted)
        cJSON_AddNumberToObject(object, "holds_more", thread->unlisted);
    cJSON_AddItemToObject(object, "stack", stack_json(stacks, lock_thread_tid(thread), &error));
    if (error)
        cJSON_AddStringToObject(object, "stack_missing", strerror(error));
    return object;
}

/* Each thread of the cycle waits for a lock that the next one holds. */
static cJSON *deadlocks_json(const struct lock_copy *copy, const struct lock_stacks *stacks)
{
    cJSON *list = cJSON_CreateArray();

    for (size_t i = 0; i < copy->deadlock_count; i++) {
        const struct lock_cycle *cycle = &copy->deadlocks[i];
        cJSON *object = cJSON_CreateObject(), *threads = cJSON_AddArrayToObject(object, "threads");

        cJSON_AddBoolToObject(object, "ends_by_itself", cycle->timed != 0);
        for (uint32_t k = 0; k < cycle->count; k++) {
            const struct lock_thread *thread = &copy->threads[cycle->index[k]];
            cJSON *entry = cJSON_CreateObject();

            cJSON_AddNumberToObject(entry, "tid", lock_thread_tid(thread));
            add_lock(entry, stacks, thread->wait.lock, thread->wait.kind);
            cJSON_AddNumberToObject(entry, "holder", lock_thread_tid(&copy->threads[cycle->index[(k + 1) % cycle->count]]));
            cJSON_AddItemToArray(threads, entry);
        }
        cJSON_AddItemToArray(list, object);
    }
    return list;
}

static cJSON *orders_json(const struct lock_copy *copy, const struct lock_stacks *stacks, struct symbols *symbols)
{
    cJSON *list = cJSON_CreateArray();
    char text[SYMBOL_TEXT_MAX];

    for (size_t i = 0; i < copy->order_count; i++) {
        const struct lock_cycle *cycle = &copy->orders[i];
        cJSON *steps = cJSON_CreateArray();

        for (uint32_t k = 0; k < cycle->count; k++) {
            const struct lock_edge *edge = &copy->edges[cycle->index[k]];
            cJSON *step = cJSON_CreateObject(), *held = cJSON_AddObjectToObject(step, "held"), *next = cJSON_AddObjectToObject(step, "next");

            add_lock(held, stacks, edge->held, edge->held_kind);
            cJSON_AddStringToObject(held, "site", site_text(symbols, copy, edge->held_site, text, sizeof(text)));
            add_lock(next, stacks, edge->lock, edge->kind);
            cJSON_AddStringToObject(next, "site", site_text(symbols, copy, edge->site, text, sizeof(text)));
            cJSON_AddNumberToObject(step, "tid", edge->tid);
            cJSON_AddItemToArray(steps, step);
        }
        cJSON_AddItemToArray(list, steps);
    }
    return list;
}

static cJSON *profile_json(const struct lock_copy *copy, struct symbols *symbols)
{
    static struct lock_profile list[PROFILE_ROWS_MAX];
    size_t count = lockwatch_profile(copy, list, PROFILE_ROWS_MAX);
    cJSON *rows = cJSON_CreateArray();
    char text[SYMBOL_TEXT_MAX];

    for (size_t i = 0; i < count; i++) {
        const char *path = module_path(copy, list[i].module);
        cJSON *row = cJSON_CreateObject();

        cJSON_AddStringToObject(row, "site", symbols_site(symbols, path, list[i].offset, text, sizeof(text)));
        cJSON_AddStringToObject(row, "module", path ? path : "");
        cJSON_AddStringToObject(row, "offset", hex(list[i].offset, text));
        cJSON_AddStringToObject(row, "kind", lock_kind_name(list[i].kind));
        cJSON_AddNumberToObject(row, "contended", (double)list[i].contended);
        cJSON_AddNumberToObject(row, "sampled", (double)list[i].sampled);
        cJSON_AddNumberToObject(row, "delay_s", seconds(list[i].delay_ns));
        cJSON_AddNumberToObject(row, "longest_s", seconds(list[i].most_ns));
        cJSON_AddItemToArray(rows, row);
    }
    return rows;
}

struct cJSON *lock_snapshot(const struct lock_watcher *watcher, const struct lock_copy *copy, const struct lock_stacks *stacks)
{
    cJSON *object = cJSON_CreateObject(), *threads, *stopped;
    struct symbols *symbols = symbols_new();

    cJSON_AddStringToObject(object, "kind", "perturb-locks");
    cJSON_AddNumberToObject(object, "version", 1);
    cJSON_AddNumberToObject(object, "stuck_s", seconds(watcher->options.stuck_ns));
    stopped = cJSON_AddObjectToObject(object, "stopped");
    cJSON_AddNumberToObject(stopped, "threads", (double)stacks->count);
    cJSON_AddNumberToObject(stopped, "longest_s", seconds(stacks->longest_ns));
    cJSON_AddNumberToObject(stopped, "sum_s", seconds(stacks->stopped_ns));
    cJSON_AddItemToObject(object, "deadlocks", deadlocks_json(copy, stacks));
    threads = cJSON_AddArrayToObject(object, "threads");
    for (size_t i = 0; i < copy->thread_count; i++)
        if (matters(&copy->threads[i]))
            cJSON_AddItemToArray(threads, thread_json(copy, stacks, symbols, &copy->threads[i]));
    cJSON_AddItemToObject(object, "order_cycles", orders_json(copy, stacks, symbols));
    if (watcher->options.sample)
        cJSON_AddItemToObject(object, "profile", profile_json(copy, symbols));
    cJSON_AddNumberToObject(object, "lost", (double)copy->lost);
    symbols_free(symbols);
    return object;
}

struct cJSON *locks_document(const struct lock_watcher *watcher)
{
    AUTO_FREE struct lock_copy *copy = lockwatch_copy(watcher->page);
    struct symbols *symbols = copy ? symbols_new() : NULL;
    cJSON *object = symbols ? cJSON_CreateObject() : NULL;

    if (object && watcher->options.sample) {
        cJSON_AddNumberToObject(object, "sample", watcher->options.sample);
        cJSON_AddItemToObject(object, "profile", profile_json(copy, symbols));
    }
    if (object && watcher->options.waits)
        cJSON_AddItemToObject(object, "order_cycles", orders_json(copy, NULL, symbols));
    if (object)
        cJSON_AddNumberToObject(object, "lost", (double)copy->lost);
    symbols_free(symbols);
    return object;
}

/* ---- text ------------------------------------------------------------------------------------------------------------- */

static void print_profile(const struct lock_copy *copy, struct symbols *symbols, FILE *out, size_t rows)
{
    static struct lock_profile list[PROFILE_ROWS_MAX];
    size_t count = lockwatch_profile(copy, list, PROFILE_ROWS_MAX);
    char text[SYMBOL_TEXT_MAX];

    if (!count)
        return;
    fprintf(out, "  %12s %10s %12s %12s  %s\n", "lock delay", "contended", "mean", "longest", "call site");
    for (size_t i = 0; i < count && i < rows; i++)
        fprintf(out, "  %10.3f s %10" PRIu64 " %9.1f us %9.1f us  %s, %s\n", seconds(list[i].delay_ns), list[i].contended,
                (double)list[i].delay_ns / (double)list[i].contended / (double)NS_PER_US, (double)list[i].most_ns / (double)NS_PER_US,
                symbols_site(symbols, module_path(copy, list[i].module), list[i].offset, text, sizeof(text)), lock_kind_name(list[i].kind));
    if (count > rows)
        fprintf(out, "  and %zu more call sites\n", count - rows);
}

static void print_orders(const struct lock_copy *copy, struct symbols *symbols, FILE *out)
{
    char held[SYMBOL_TEXT_MAX], next[SYMBOL_TEXT_MAX];

    for (size_t i = 0; i < copy->order_count; i++) {
        const struct lock_cycle *cycle = &copy->orders[i];

        fprintf(out, "  %" PRIu32 " locks are taken in orders that could deadlock:\n", cycle->count);
        for (uint32_t k = 0; k < cycle->count; k++) {
            const struct lock_edge *edge = &copy->edges[cycle->index[k]];

            fprintf(out, "    0x%" PRIx64 " taken at %s, then 0x%" PRIx64 " at %s\n", edge->held,
                    site_text(symbols, copy, edge->held_site, held, sizeof(held)), edge->lock,
                    site_text(symbols, copy, edge->site, next, sizeof(next)));
        }
    }
}

void locks_print(const struct page *page, FILE *out, size_t rows)
{
    AUTO_FREE struct lock_copy *copy = lockwatch_copy(page);
    struct symbols *symbols = copy ? symbols_new() : NULL;

    if (symbols) {
        print_profile(copy, symbols, out, rows);
        print_orders(copy, symbols, out);
        if (copy->lost)
            fprintf(out, "  %" PRIu64 " notes about locks found no room\n", copy->lost);
    }
    symbols_free(symbols);
}
