/* Slots of threads, sites and edges: open-addressed tables in the page, entries claimed by compare-and-swap, never given back but
 * slots of threads that have ended. */
#include "shims/preload/lock_tables.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PROBES_MAX = 64 };

static void count_lost(struct control_locks *locks)
{
    __atomic_fetch_add(&locks->lost, 1, __ATOMIC_RELAXED);
}

static uint64_t mix(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t key = (a * UINT64_C(0x9e3779b97f4a7c15)) ^ (b * UINT64_C(0xc2b2ae3d27d4eb4f)) ^ (c * UINT64_C(0x165667b19e3779f9));

    key = (key ^ (key >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
    key ^= key >> 32;
    return key ? key : 1;
}

static bool claim(uint64_t *slot, uint64_t old_key, uint64_t key)
{
    return __atomic_compare_exchange_n(slot, &old_key, key, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* ---- threads ---------------------------------------------------------------------------------------------------------- */

static bool has_ended(uint64_t key)
{
    return syscall(SYS_tgkill, (pid_t)(key >> 32), (pid_t)(uint32_t)key, 0) < 0 && errno == ESRCH;
}

static struct lock_thread *slot_find(struct control_locks *locks, uint64_t key)
{
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < LOCK_THREADS_MAX; i++) {
            struct lock_thread *slot = &locks->threads[((uint32_t)key + i) % LOCK_THREADS_MAX];
            uint64_t found = __atomic_load_n(&slot->key, __ATOMIC_ACQUIRE);

            if (found == key || ((!found || (round && has_ended(found))) && claim(&slot->key, found, key)))
                return slot;
        }
    return NULL;
}

struct lock_thread *lock_slot_take(struct control_locks *locks, uint32_t watch)
{
    uint64_t key = (uint64_t)shim_pid << 32 | (uint32_t)syscall(SYS_gettid);
    struct lock_thread *slot = slot_find(locks, key);

    if (!slot) {
        count_lost(locks);
        return NULL;
    }
    __atomic_store_n(&slot->change, 1, __ATOMIC_RELEASE); /* odd: not to be read yet */
    slot->held_count = slot->unlisted = 0;
    slot->give_up = slot->gave_up = 0;
    memset(&slot->wait, 0, sizeof(slot->wait));
    slot->watch = watch;
    __atomic_store_n(&slot->change, 2, __ATOMIC_RELEASE);
    return slot;
}

/* ---- sites ------------------------------------------------------------------------------------------------------------ */

/* The number of the module of that path; 0 when the table is full or the path too long. */
static uint32_t module_number(struct control_locks *locks, const char *path)
{
    size_t length = strlen(path);

    if (!length || length >= LOCK_MODULE_NAME_MAX)
        return 0;
    for (uint32_t i = 0; i < LOCK_MODULES_MAX; i++) {
        struct lock_module *module = &locks->modules[i];
        uint32_t state = 0;

        if (__atomic_compare_exchange_n(&module->state, &state, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            memcpy(module->path, path, length + 1);
            __atomic_store_n(&module->state, 2, __ATOMIC_RELEASE);
            return i + 1;
        }
        if (state == 2 && !strncmp(module->path, path, LOCK_MODULE_NAME_MAX))
            return i + 1;
    }
    return 0;
}

/* Takes no lock (glibc 2.35), unlike dladdr. */
extern int _dl_find_object(void *address, struct dl_find_object *ret_object) __attribute__((weak));

static void site_place(struct control_locks *locks, struct lock_site *site, const void *caller)
{
    struct dl_find_object object;
    char program[LOCK_MODULE_NAME_MAX];
    const char *path;

    site->offset = site->address = (uint64_t)(uintptr_t)caller;
    if (!_dl_find_object || _dl_find_object((void *)(uintptr_t)caller, &object) < 0 || !object.dlfo_link_map)
        return;
    path = object.dlfo_link_map->l_name;
    if (!path[0]) { /* the program itself */
        ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);

        program[length > 0 ? length : 0] = '\0';
        path = program;
    }
    site->module = module_number(locks, path);
    if (site->module)
        site->offset -= object.dlfo_link_map->l_addr;
}

uint32_t lock_site(struct control_locks *locks, const void *caller, enum lock_kind kind)
{
    uint64_t key = mix((uint64_t)(uintptr_t)caller, shim_pid, 0);

    for (uint32_t probe = 0; probe < PROBES_MAX; probe++) {
        uint32_t index = (uint32_t)(key + probe) % LOCK_SITES_MAX;
        struct lock_site *site = &locks->sites[index];
        uint64_t found = __atomic_load_n(&site->key, __ATOMIC_ACQUIRE);

        if (found == key)
            return index + 1;
        if (found || !claim(&site->key, 0, key))
            continue;
        site_place(locks, site, caller);
        site->pid = shim_pid;
        site->kind = kind;
        __atomic_store_n(&site->ready, 1, __ATOMIC_RELEASE);
        return index + 1;
    }
    count_lost(locks);
    return 0;
}

/* ---- edges ------------------------------------------------------------------------------------------------------------ */

void lock_edge(struct control_locks *locks, const struct lock_held *held, uint64_t guard, const struct lock_held *next)
{
    uint64_t key = mix(held->lock, next->lock, (uint64_t)shim_pid << 8 | held->kind << 4 | next->kind);

    for (uint32_t probe = 0; probe < PROBES_MAX; probe++) {
        struct lock_edge *edge = &locks->edges[(uint32_t)(key + probe) % LOCK_EDGES_MAX];
        uint64_t found = __atomic_load_n(&edge->key, __ATOMIC_ACQUIRE);

        if (found == key) {
            if (__atomic_load_n(&edge->ready, __ATOMIC_ACQUIRE) && edge->guard && edge->guard != guard)
                __atomic_store_n(&edge->guard, 0, __ATOMIC_RELAXED);
            return;
        }
        if (found || !claim(&edge->key, 0, key))
            continue;
        edge->held = held->lock;
        edge->lock = next->lock;
        edge->guard = guard;
        edge->held_site = held->site;
        edge->site = next->site;
        edge->held_kind = held->kind;
        edge->kind = next->kind;
        edge->pid = shim_pid;
        edge->tid = (uint32_t)syscall(SYS_gettid);
        __atomic_store_n(&edge->ready, 1, __ATOMIC_RELEASE);
        return;
    }
    count_lost(locks);
}
