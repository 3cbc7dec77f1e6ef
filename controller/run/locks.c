/* Looks at a watched target, and what follows from it. The documents are built in locks_document.c. */
#include "controller/run/locks_priv.h"

#include "scenarios/base/clock.h"
#include "shims/host/process.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_MS_MIN = 10, LOOK_MS_MAX = 500 };

int lock_break_parse(const char *text, enum lock_break *ret_breaks)
{
    static const char *const names[] = { "off", "edeadlk", "crash" };

    for (int i = 0; i < (int)ARRAY_SIZE(names); i++)
        if (!strcmp(text, names[i])) {
            *ret_breaks = (enum lock_break)i;
            return 0;
        }
    return -EINVAL;
}

int locks_open(struct page *page, const struct lock_options *options, uint64_t ttl_ns, struct lock_watcher **ret_watcher)
{
    uint32_t flags = (options->waits ? WATCH_WAITS : 0u) | (options->sample ? WATCH_PROFILE : 0u);
    struct lock_watcher *watcher = calloc(1, sizeof(*watcher));
    int result;

    if (!watcher)
        return -ENOMEM;
    watcher->page = page;
    watcher->options = *options;
    result = page_watch(page, flags, options->sample, ttl_ns);
    if (result < 0) {
        free(watcher);
        return result;
    }
    *ret_watcher = watcher;
    return 0;
}

struct lock_watcher *locks_close(struct lock_watcher *watcher)
{
    free(watcher);
    return NULL;
}

int locks_renew(struct lock_watcher *watcher, uint64_t ttl_ns)
{
    return page_watch_renew(watcher->page, ttl_ns);
}

int locks_look_ms(const struct lock_watcher *watcher)
{
    uint64_t ms = watcher->options.stuck_ns / NS_PER_MS / 10;

    return ms < LOOK_MS_MIN ? LOOK_MS_MIN : ms > LOOK_MS_MAX ? LOOK_MS_MAX : (int)ms;
}

/* The one that began to wait last: the others were there first. */
static const struct lock_thread *choose_victim(const struct lock_copy *copy, const struct lock_cycle *deadlock)
{
    const struct lock_thread *victim = NULL;

    for (uint32_t i = 0; i < deadlock->count; i++) {
        const struct lock_thread *thread = &copy->threads[deadlock->index[i]];

        if (!victim || thread->wait.since_ns > victim->wait.since_ns)
            victim = thread;
    }
    return victim;
}

static void crash(pid_t pid)
{
    struct process_id id;

    if (!process_identify(pid, &id))
        (void)process_signal(&id, SIGABRT);
}

static void break_deadlock(struct lock_watcher *watcher, const struct lock_copy *copy, const struct lock_cycle *deadlock,
                           struct lock_finding *finding)
{
    const struct lock_thread *victim = choose_victim(copy, deadlock);
    size_t length = strlen(finding->text);

    if (watcher->options.breaks == LOCK_BREAK_OFF)
        return;
    finding->is_broken = true;
    if (watcher->options.breaks == LOCK_BREAK_EDEADLK) {
        lockwatch_give_up(watcher->page, victim);
        snprintf(finding->text + length, sizeof(finding->text) - length, "; thread %d is told EDEADLK", lock_thread_tid(victim));
    } else {
        crash(lock_thread_pid(victim));
        snprintf(finding->text + length, sizeof(finding->text) - length, "; process %d is sent SIGABRT", lock_thread_pid(victim));
    }
}

static void tell_deadlock(const struct lock_copy *copy, const struct lock_cycle *deadlock, struct lock_finding *finding)
{
    size_t length = 0;

    finding->is_deadlock = true;
    for (uint32_t i = 0; i < deadlock->count && length < sizeof(finding->text); i++) {
        const struct lock_thread *thread = &copy->threads[deadlock->index[i]];
        const struct lock_thread *holder = &copy->threads[deadlock->index[(i + 1) % deadlock->count]];

        length += (size_t)snprintf(finding->text + length, sizeof(finding->text) - length, "%sthread %d waits for a %s that %d holds",
                                   i ? ", " : "deadlock: ", lock_thread_tid(thread), lock_kind_name(thread->wait.kind),
                                   lock_thread_tid(holder));
    }
}

void locks_look(struct lock_watcher *watcher, struct lock_finding *ret_finding)
{
    AUTO_FREE struct lock_copy *copy = NULL, *again = NULL;
    AUTO_FREE struct lock_stacks *stacks = NULL;
    size_t kept = 0;

    memset(ret_finding, 0, sizeof(*ret_finding));
    if (!watcher->options.waits || !lockwatch_is_stuck(watcher->page, watcher->options.stuck_ns, watcher->told))
        return;
    copy = lockwatch_copy(watcher->page);
    stacks = copy ? lock_stacks_take(copy) : NULL;
    again = stacks ? lockwatch_copy(watcher->page) : NULL;
    if (!again)
        return;
    for (size_t i = 0; i < copy->deadlock_count; i++) /* a cycle that does not last was none */
        if (lockwatch_persists(copy, &copy->deadlocks[i], again))
            copy->deadlocks[kept++] = copy->deadlocks[i];
    copy->deadlock_count = kept;
    ret_finding->snapshot = lock_snapshot(watcher, copy, stacks);
    snprintf(ret_finding->text, sizeof(ret_finding->text), "a thread waits for a lock for more than %.3g s; no deadlock is seen",
             (double)watcher->options.stuck_ns / (double)NS_PER_S);
    for (size_t i = 0; i < kept; i++)
        if (!copy->deadlocks[i].timed) {
            tell_deadlock(copy, &copy->deadlocks[i], ret_finding);
            break_deadlock(watcher, copy, &copy->deadlocks[i], ret_finding);
            break;
        }
}
