/* What is noted while locks are watched or profiled: who waits for what, who holds what, in which order, and what contention costs.
 *
 * 1. Only a lock that another thread has costs more than a few writes: every acquisition is tried first, the clock is read and the
 *    site looked up only when that fails (the site also when waits are watched).
 * 2. A watched wait is cut into slices, so that it can be told from outside to give up (`give_up`), and ends being watched when the
 *    lease does: then it waits on as it would have alone.
 * 3. What the call returns is what it would have returned alone, but EDEADLK for a wait told to give up. */
#include "shims/preload/lock_tables.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLICE_NS (100 * NS_PER_MS)

enum { LOOKS_A_LEASE = 256 };

bool shim_sees_releases;

static bool lease_is_over(const struct control_watch *watch)
{
    return shim_now_ns() >= __atomic_load_n(&watch->lease_ns, __ATOMIC_ACQUIRE);
}

/* What is asked for, 0 for nothing; `number` is that of the watching. */
static uint32_t wanted(uint32_t *ret_number)
{
    const struct control_watch *watch = &shim_page.rules.watch;
    uint32_t flags = __atomic_load_n(&watch->flags, __ATOMIC_ACQUIRE);

    if (!flags || shim_self.depth || !shim_counters || (shim_self.looks++ % LOOKS_A_LEASE == 0 && lease_is_over(watch)))
        return 0;
    *ret_number = __atomic_load_n(&watch->number, __ATOMIC_ACQUIRE);
    return shim_sees_releases ? flags : flags & ~(uint32_t)WATCH_WAITS;
}

static struct lock_thread *own_slot(uint32_t number)
{
    if (shim_self.watch != number) {
        shim_self.locks = lock_slot_take(&shim_counters->locks, number);
        shim_self.watch = number;
    }
    return shim_self.locks;
}

/* The slot when waits are watched; else NULL. */
static struct lock_thread *watched_slot(void)
{
    uint32_t number;

    return wanted(&number) & WATCH_WAITS ? own_slot(number) : NULL;
}

static void change_begin(struct lock_thread *slot)
{
    __atomic_store_n(&slot->change, slot->change + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static void change_end(struct lock_thread *slot)
{
    __atomic_store_n(&slot->change, slot->change + 1, __ATOMIC_RELEASE);
}

/* ---- holding ---------------------------------------------------------------------------------------------------------- */

/* Before the wait, so that the graph has the edge that closes a deadlock. */
static void note_order(const struct lock_thread *slot, const struct lock_held *next)
{
    for (uint32_t i = 0; i < slot->held_count; i++)
        if (slot->held[i].lock == next->lock)
            return; /* recursion */
    for (uint32_t i = 0; i < slot->held_count; i++)
        lock_edge(&shim_counters->locks, &slot->held[i], i ? slot->held[0].lock : 0, next);
}

static void push(struct lock_thread *slot, const struct lock_held *held)
{
    change_begin(slot);
    if (slot->held_count < LOCK_HELD_MAX)
        slot->held[slot->held_count++] = *held;
    else
        slot->unlisted++;
    change_end(slot);
}

static void pop(struct lock_thread *slot, uint64_t lock)
{
    for (uint32_t i = slot->held_count; i-- > 0;) {
        if (slot->held[i].lock != lock)
            continue;
        change_begin(slot);
        for (slot->held_count--; i < slot->held_count; i++)
            slot->held[i] = slot->held[i + 1];
        change_end(slot);
        return;
    }
    if (slot->unlisted)
        slot->unlisted--;
}

static struct lock_held held_of(const struct lock_use *use)
{
    return (struct lock_held){ (uint64_t)(uintptr_t)use->lock, lock_site(&shim_counters->locks, use->caller, use->ops->kind),
                               use->ops->kind };
}

/* A semaphore is nobody's: who took it need not be who gives it back. */
static bool is_owned(const struct lock_use *use)
{
    return use->ops->kind != LOCK_SEMAPHORE;
}

static bool is_taken(int error)
{
    return !error || error == EOWNERDEAD;
}

void shim_lock_tried(const struct lock_use *use)
{
    int saved = errno;
    struct lock_thread *slot = SHIM_ARMED(CONTROL_LOCKS) ? watched_slot() : NULL;

    if (slot && is_owned(use)) {
        struct lock_held held = held_of(use);

        push(slot, &held);
    }
    errno = saved;
}

void shim_lock_drop(void *lock)
{
    int saved = errno;
    struct lock_thread *slot = watched_slot();

    if (slot)
        pop(slot, (uint64_t)(uintptr_t)lock);
    errno = saved;
}

/* ---- waiting ---------------------------------------------------------------------------------------------------------- */

static void wait_begin(struct lock_thread *slot, const struct lock_held *what, uint64_t now_ns, bool timed)
{
    change_begin(slot);
    slot->wait.lock = what->lock;
    slot->wait.site = what->site;
    slot->wait.kind = what->kind;
    slot->wait.timed = timed;
    slot->wait.serial++;
    slot->wait.since_ns = now_ns;
    change_end(slot);
}

static void wait_end(struct lock_thread *slot)
{
    change_begin(slot);
    slot->wait.since_ns = 0;
    change_end(slot);
}

/* No more than a slice is left of a timed wait. */
static bool is_last_slice(const struct lock_use *use)
{
    struct timespec now;

    if (!use->until)
        return false;
    if (use->until->tv_nsec < 0 || use->until->tv_nsec >= (long)NS_PER_S || use->until->tv_sec < 0 ||
        syscall(SYS_clock_gettime, use->clock, &now))
        return true; /* the call itself shall say what is wrong with it */
    return timespec_ns(*use->until) <= timespec_ns(now) + SLICE_NS;
}

static bool still_watched(uint32_t number)
{
    const struct control_watch *watch = &shim_page.rules.watch;

    return SHIM_ARMED(CONTROL_LOCKS) && __atomic_load_n(&watch->flags, __ATOMIC_RELAXED) & WATCH_WAITS &&
           __atomic_load_n(&watch->number, __ATOMIC_RELAXED) == number && !lease_is_over(watch);
}

static int wait_in_slices(const struct lock_use *use, struct lock_thread *slot, uint32_t number)
{
    while (!is_last_slice(use) && still_watched(number)) {
        struct timespec until = ns_timespec(shim_now_ns() + SLICE_NS);
        int error = use->ops->wait(use->lock, CLOCK_MONOTONIC, &until);

        if (is_taken(error) || error == EDEADLK || error == EINTR || error == ENOTRECOVERABLE)
            return error;
        if (error != ETIMEDOUT)
            break; /* this lock, or this C library, knows no such wait */
        if (__atomic_load_n(&slot->give_up, __ATOMIC_ACQUIRE) == slot->wait.serial) {
            slot->gave_up++;
            return EDEADLK;
        }
    }
    return use->ops->wait(use->lock, use->clock, use->until);
}

static void profile_add(struct lock_site *site, uint64_t took_ns)
{
    uint64_t most_ns = __atomic_load_n(&site->most_ns, __ATOMIC_RELAXED);

    __atomic_fetch_add(&site->sampled, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&site->sampled_ns, took_ns, __ATOMIC_RELAXED);
    while (took_ns > most_ns &&
           !__atomic_compare_exchange_n(&site->most_ns, &most_ns, took_ns, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

/* Counts a contended acquisition. Returns the site when this one is to be timed. */
static struct lock_site *profile_site(uint32_t number)
{
    uint32_t sample = __atomic_load_n(&shim_page.rules.watch.sample, __ATOMIC_RELAXED);
    struct lock_site *site = number ? &shim_counters->locks.sites[number - 1] : NULL;

    if (!site)
        return NULL;
    __atomic_fetch_add(&site->contended, 1, __ATOMIC_RELAXED);
    return shim_self.contended++ % (sample ? sample : 1) ? NULL : site;
}

static int take_contended(const struct lock_use *use, uint32_t flags, struct lock_thread *slot, uint32_t number)
{
    struct lock_held next = held_of(use);
    struct lock_site *site = flags & WATCH_PROFILE ? profile_site(next.site) : NULL;
    uint64_t begin_ns = slot || site ? shim_now_ns() : 0;
    int error;

    if (!slot) {
        error = use->ops->wait(use->lock, use->clock, use->until);
    } else {
        note_order(slot, &next);
        wait_begin(slot, &next, begin_ns, use->until != NULL);
        error = wait_in_slices(use, slot, number);
        wait_end(slot);
    }
    if (site)
        profile_add(site, shim_now_ns() - begin_ns);
    if (slot && is_taken(error) && is_owned(use))
        push(slot, &next);
    return error;
}

static int take(const struct lock_use *use)
{
    uint32_t number, flags = wanted(&number);
    struct lock_thread *slot = flags & WATCH_WAITS ? own_slot(number) : NULL;
    int error;

    if (!flags)
        return -1;
    error = use->ops->try_now(use->lock);
    if (is_taken(error) && slot && is_owned(use)) {
        struct lock_held held = held_of(use);

        note_order(slot, &held);
        push(slot, &held);
    }
    if (is_taken(error))
        return error;
    return error == use->ops->busy ? take_contended(use, flags, slot, number) : -1;
}

int shim_lock_take(const struct lock_use *use)
{
    int saved = errno;
    int error = take(use);

    errno = saved;
    return error;
}

/* ---- conditions ------------------------------------------------------------------------------------------------------- */

void shim_wait_begin(void *condition, void *lock, const void *caller, bool timed)
{
    struct lock_thread *slot = watched_slot();
    struct lock_held what = { (uint64_t)(uintptr_t)condition, 0, LOCK_CONDITION };

    if (!slot)
        return;
    what.site = lock_site(&shim_counters->locks, caller, LOCK_CONDITION);
    pop(slot, (uint64_t)(uintptr_t)lock);
    wait_begin(slot, &what, shim_now_ns(), timed);
}

/* It has the lock again, whatever the wait returned. */
void shim_wait_end(void *lock, const void *caller)
{
    int saved = errno;
    struct lock_thread *slot = watched_slot();
    struct lock_held held = { (uint64_t)(uintptr_t)lock, 0, LOCK_MUTEX };

    if (slot) {
        held.site = lock_site(&shim_counters->locks, caller, LOCK_MUTEX);
        wait_end(slot);
        note_order(slot, &held);
        push(slot, &held);
    }
    errno = saved;
}
