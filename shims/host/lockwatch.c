/* Copies of what a watched target notes, and the cycles in them. */
#include "shims/host/lockwatch.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TRIES_MAX = 8, STEPS_MAX = 200000, WAITERS_MAX = LOCK_THREADS_MAX };

const char *lock_kind_name(uint32_t kind)
{
    static const char *const names[] = { "none", "mutex", "read lock", "write lock", "spin lock", "semaphore", "condition" };

    _Static_assert(sizeof(names) / sizeof(names[0]) == LOCK_KIND_COUNT, "a kind of lock has no name");
    return kind < LOCK_KIND_COUNT ? names[kind] : "unknown";
}

/* ---- copying ---------------------------------------------------------------------------------------------------------- */

static bool thread_lives(const struct lock_thread *thread)
{
    return syscall(SYS_tgkill, lock_thread_pid(thread), lock_thread_tid(thread), 0) == 0 || errno == EPERM;
}

static bool copy_thread(const struct lock_thread *slot, uint32_t watch, struct lock_thread *ret_thread)
{
    for (int attempt = 0; attempt < TRIES_MAX; attempt++) {
        uint32_t change = __atomic_load_n(&slot->change, __ATOMIC_ACQUIRE);

        if (change & 1)
            continue;
        *ret_thread = *slot;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&slot->change, __ATOMIC_RELAXED) != change)
            continue;
        if (ret_thread->held_count > LOCK_HELD_MAX)
            ret_thread->held_count = LOCK_HELD_MAX;
        return ret_thread->key && ret_thread->watch == watch && thread_lives(ret_thread);
    }
    return false;
}

static void copy_tables(const struct control_locks *locks, struct lock_copy *copy)
{
    for (size_t i = 0; i < LOCK_SITES_MAX; i++)
        if (__atomic_load_n(&locks->sites[i].ready, __ATOMIC_ACQUIRE)) {
            copy->sites[i] = locks->sites[i];
            copy->site_count++;
        }
    for (size_t i = 0; i < LOCK_MODULES_MAX; i++)
        if (__atomic_load_n(&locks->modules[i].state, __ATOMIC_ACQUIRE) == 2) {
            copy->modules[i] = locks->modules[i];
            copy->modules[i].path[LOCK_MODULE_NAME_MAX - 1] = '\0';
            copy->module_count = i + 1;
        }
    for (size_t i = 0; i < LOCK_EDGES_MAX; i++)
        if (__atomic_load_n(&locks->edges[i].ready, __ATOMIC_ACQUIRE))
            copy->edges[copy->edge_count++] = locks->edges[i];
    copy->lost = __atomic_load_n(&locks->lost, __ATOMIC_RELAXED);
}

/* ---- deadlocks -------------------------------------------------------------------------------------------------------- */

static bool excludes(uint32_t held_kind, uint32_t wanted_kind)
{
    return held_kind != LOCK_READING || wanted_kind != LOCK_READING;
}

static bool is_waiting(const struct lock_thread *thread)
{
    return thread->wait.since_ns && thread->wait.kind != LOCK_CONDITION && thread->wait.kind != LOCK_SEMAPHORE;
}

static bool holds_against(const struct lock_thread *holder, const struct lock_thread *waiter)
{
    if (lock_thread_pid(holder) != lock_thread_pid(waiter))
        return false;
    for (uint32_t i = 0; i < holder->held_count; i++)
        if (holder->held[i].lock == waiter->wait.lock && excludes(holder->held[i].kind, waiter->wait.kind))
            return true;
    return false;
}

size_t lockwatch_holder(const struct lock_copy *copy, const struct lock_thread *thread)
{
    for (size_t i = 0; is_waiting(thread) && i < copy->thread_count; i++)
        if (holds_against(&copy->threads[i], thread))
            return i;
    return SIZE_MAX;
}

/* A walk along the waits; `place` is the position on the path, 0 for "not on it". */
struct walk {
    struct lock_copy *copy;
    uint32_t path[WAITERS_MAX], place[WAITERS_MAX];
    bool done[WAITERS_MAX];
    uint32_t next[WAITERS_MAX]; /* the thread to look at next, for each on the path */
};

static void add_deadlock(struct lock_copy *copy, const uint32_t *path, uint32_t count)
{
    struct lock_cycle *cycle = &copy->deadlocks[copy->deadlock_count];

    if (copy->deadlock_count == LOCK_CYCLES_MAX || count > LOCK_CYCLE_LENGTH_MAX)
        return;
    *cycle = (struct lock_cycle){ .count = count };
    for (uint32_t i = 0; i < count; i++) {
        cycle->index[i] = path[i];
        cycle->timed |= copy->threads[path[i]].wait.timed;
    }
    copy->deadlock_count++;
}

static void walk_from(struct walk *walk, uint32_t start)
{
    struct lock_copy *copy = walk->copy;
    uint32_t depth = 0;

    walk->path[depth++] = start;
    walk->place[start] = depth;
    walk->next[0] = 0;
    while (depth) {
        uint32_t own = walk->path[depth - 1], *next = &walk->next[depth - 1];
        const struct lock_thread *thread = &copy->threads[own];

        while (*next < copy->thread_count && !holds_against(&copy->threads[*next], thread))
            (*next)++;
        if (!is_waiting(thread) || *next >= copy->thread_count) {
            walk->place[own] = 0;
            walk->done[own] = true;
            depth--;
            continue;
        }
        own = (*next)++;
        if (walk->place[own]) {
            add_deadlock(copy, walk->path + walk->place[own] - 1, depth - walk->place[own] + 1);
        } else if (!walk->done[own]) {
            walk->next[depth] = 0;
            walk->path[depth++] = own;
            walk->place[own] = depth;
        }
    }
}

static void find_deadlocks(struct lock_copy *copy)
{
    struct walk *walk = calloc(1, sizeof(*walk));

    if (!walk)
        return;
    walk->copy = copy;
    for (uint32_t i = 0; i < copy->thread_count; i++)
        if (!walk->done[i] && is_waiting(&copy->threads[i]))
            walk_from(walk, i);
    free(walk);
}

/* ---- orders ----------------------------------------------------------------------------------------------------------- */

/* Guarded by one lock all along, or sharing a lock in a way that excludes nobody: it cannot deadlock. */
static bool is_harmless(const struct lock_copy *copy, const struct lock_cycle *cycle)
{
    uint64_t guard = copy->edges[cycle->index[0]].guard;

    for (uint32_t i = 0; i < cycle->count; i++) {
        const struct lock_edge *edge = &copy->edges[cycle->index[i]];
        const struct lock_edge *next = &copy->edges[cycle->index[(i + 1) % cycle->count]];

        if (!excludes(next->held_kind, edge->kind))
            return true;
        if (edge->guard != guard)
            guard = 0;
    }
    return guard != 0;
}

/* Extends a path of edges; only the lock of the lowest address of a cycle begins it, so that each is found once. */
static void extend(struct lock_copy *copy, struct lock_cycle *path, uint32_t *steps)
{
    const struct lock_edge *first = &copy->edges[path->index[0]], *last = &copy->edges[path->index[path->count - 1]];

    if (last->lock == first->held) {
        if (!is_harmless(copy, path) && copy->order_count < LOCK_CYCLES_MAX)
            copy->orders[copy->order_count++] = *path;
        return;
    }
    if (last->lock < first->held || path->count == LOCK_ORDER_LENGTH_MAX)
        return;
    for (uint32_t i = 0; i < copy->edge_count && *steps < STEPS_MAX; i++) {
        (*steps)++;
        if (copy->edges[i].held != last->lock || copy->edges[i].pid != first->pid)
            continue;
        path->index[path->count++] = i;
        extend(copy, path, steps);
        path->count--;
    }
}

static void find_orders(struct lock_copy *copy)
{
    uint32_t steps = 0;

    for (uint32_t i = 0; i < copy->edge_count; i++) {
        struct lock_cycle path = { .count = 1, .index = { i } };

        if (copy->edges[i].held != copy->edges[i].lock)
            extend(copy, &path, &steps);
    }
}

struct lock_copy *lockwatch_copy(const struct page *page)
{
    const struct control_locks *locks = page_locks(page);
    struct lock_copy *copy = calloc(1, sizeof(*copy));
    uint32_t watch = page_watch_number(page);

    if (!copy)
        return NULL;
    for (size_t i = 0; i < LOCK_THREADS_MAX; i++)
        if (__atomic_load_n(&locks->threads[i].key, __ATOMIC_ACQUIRE) &&
            copy_thread(&locks->threads[i], watch, &copy->threads[copy->thread_count]))
            copy->thread_count++;
    copy->taken_ns = clock_now_ns();
    copy_tables(locks, copy);
    find_deadlocks(copy);
    find_orders(copy);
    return copy;
}

static const struct lock_thread *find_thread(const struct lock_copy *copy, uint64_t key)
{
    for (size_t i = 0; i < copy->thread_count; i++)
        if (copy->threads[i].key == key)
            return &copy->threads[i];
    return NULL;
}

bool lockwatch_persists(const struct lock_copy *before, const struct lock_cycle *deadlock, const struct lock_copy *now)
{
    for (uint32_t i = 0; i < deadlock->count; i++) {
        const struct lock_thread *was = &before->threads[deadlock->index[i]];
        const struct lock_thread *is = find_thread(now, was->key);

        if (!is || !is->wait.since_ns || is->wait.serial != was->wait.serial || is->wait.lock != was->wait.lock)
            return false;
    }
    return true;
}

bool lockwatch_is_stuck(const struct page *page, uint64_t least_ns, struct lock_told told[LOCK_THREADS_MAX])
{
    const struct control_locks *locks = page_locks(page);
    uint32_t watch = page_watch_number(page);
    uint64_t now_ns = clock_now_ns();
    bool found = false;

    for (size_t i = 0; i < LOCK_THREADS_MAX; i++) {
        uint64_t key = __atomic_load_n(&locks->threads[i].key, __ATOMIC_ACQUIRE);
        struct lock_thread thread;

        if (!key || !__atomic_load_n(&locks->threads[i].wait.since_ns, __ATOMIC_RELAXED) ||
            !copy_thread(&locks->threads[i], watch, &thread) || !thread.wait.since_ns || thread.wait.kind == LOCK_CONDITION ||
            now_ns < thread.wait.since_ns + least_ns || (told[i].key == thread.key && told[i].serial == thread.wait.serial))
            continue;
        told[i] = (struct lock_told){ thread.key, thread.wait.serial };
        found = true;
    }
    return found;
}

void lockwatch_give_up(const struct page *page, const struct lock_thread *thread)
{
    struct control_locks *locks = page_locks(page);

    for (size_t i = 0; i < LOCK_THREADS_MAX; i++)
        if (__atomic_load_n(&locks->threads[i].key, __ATOMIC_ACQUIRE) == thread->key)
            __atomic_store_n(&locks->threads[i].give_up, thread->wait.serial, __ATOMIC_RELEASE);
}

/* ---- the profile ------------------------------------------------------------------------------------------------------ */

static struct lock_profile *profile_place(struct lock_profile *list, size_t *count, size_t max, const struct lock_site *site)
{
    for (size_t i = 0; i < *count; i++)
        if (list[i].module == site->module && list[i].offset == site->offset)
            return &list[i];
    if (*count == max)
        return NULL;
    list[*count] = (struct lock_profile){ .module = site->module, .kind = site->kind, .offset = site->offset };
    return &list[(*count)++];
}

static int dearer_first(const void *left, const void *right)
{
    const struct lock_profile *a = left, *b = right;

    return a->delay_ns < b->delay_ns ? 1 : a->delay_ns > b->delay_ns ? -1 : a->contended < b->contended ? 1 : a->contended > b->contended ? -1 : 0;
}

size_t lockwatch_profile(const struct lock_copy *copy, struct lock_profile *list, size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < LOCK_SITES_MAX; i++) {
        const struct lock_site *site = &copy->sites[i];
        struct lock_profile *profile = site->ready && site->contended ? profile_place(list, &count, max, site) : NULL;

        if (!profile)
            continue;
        profile->contended += site->contended;
        profile->sampled += site->sampled;
        if (site->sampled)
            profile->delay_ns += (uint64_t)((double)site->sampled_ns / (double)site->sampled * (double)site->contended);
        if (site->most_ns > profile->most_ns)
            profile->most_ns = site->most_ns;
    }
    qsort(list, count, sizeof(*list), dearer_first);
    return count;
}
