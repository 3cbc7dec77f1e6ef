/* Streams and ordinals: who is calling, and which match of a rule this is for it.
 *
 * A stream is a thread. The process's first thread has the base (1 for the first process of a page; a child's is mixed from
 * its parent's and the fork ordinal), the others base + 1, base + 2... in the order of pthread_create, so that the ids do not
 * depend on which thread calls first. Ordinals lie in one open-addressed table of this process: an entry belongs to one
 * thread, which alone writes its count; entries are claimed by compare-and-swap. No lock, no allocation (README rule 2). */
#include "shims/preload/shim.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENTRIES = 1 << 15, PROBES_MAX = 64, STARTS_MAX = 256 };

struct entry {
    uint64_t key; /* of (stream, rule, epoch); 0: never used */
    uint64_t count;
    uint64_t epoch;
    uint64_t tid;
};

static struct entry entries[ENTRIES];
static uint64_t base = 1, threads;

__thread struct shim_self shim_self __attribute__((tls_model("initial-exec")));

void shim_stream_start(uint64_t first)
{
    base = first;
    __atomic_store_n(&threads, 0, __ATOMIC_RELAXED);
    shim_self.stream = first;
}

/* The next page's epochs begin anew. */
void shim_stream_forget(void)
{
    memset(entries, 0, sizeof(entries));
}

static uint64_t next_stream(void)
{
    return base + __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
}

uint64_t shim_stream(void)
{
    if (!shim_self.stream) /* a thread made past our pthread_create (thrd_create, clone) */
        shim_self.stream = syscall(SYS_gettid) == getpid() ? base : next_stream();
    return shim_self.stream;
}

static uint64_t key_of(uint64_t stream, uint32_t rule, uint64_t epoch)
{
    uint64_t key = (stream * UINT64_C(0x9e3779b97f4a7c15)) ^ (epoch * UINT64_C(0xc2b2ae3d27d4eb4f)) ^
                   ((uint64_t)rule + 1) * UINT64_C(0x165667b19e3779f9);

    key = (key ^ (key >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
    key ^= key >> 32;
    return key ? key : 1;
}

static bool take(struct entry *entry, uint64_t old_key, uint64_t key, uint64_t epoch)
{
    if (!__atomic_compare_exchange_n(&entry->key, &old_key, key, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return false;
    entry->count = 0;
    __atomic_store_n(&entry->epoch, epoch, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->tid, (uint64_t)syscall(SYS_gettid), __ATOMIC_RELAXED);
    return true;
}

static bool is_dead(const struct entry *entry)
{
    uint64_t tid = __atomic_load_n(&entry->tid, __ATOMIC_RELAXED);

    return tid && syscall(SYS_tgkill, getpid(), (pid_t)tid, 0) < 0 && errno == ESRCH;
}

/* Full neighbourhood: an entry of an older plan goes first, then one of a thread that has ended. */
static struct entry *evict(uint64_t key, uint64_t epoch)
{
    for (uint32_t probe = 0; probe < 2 * PROBES_MAX; probe++) {
        struct entry *entry = &entries[(key + probe % PROBES_MAX) % ENTRIES];
        uint64_t old_key = __atomic_load_n(&entry->key, __ATOMIC_ACQUIRE);
        bool stale = __atomic_load_n(&entry->epoch, __ATOMIC_RELAXED) != epoch;

        if ((probe < PROBES_MAX ? stale : is_dead(entry)) && take(entry, old_key, key, epoch))
            return entry;
    }
    return NULL;
}

static struct entry *entry_of(uint64_t key, uint64_t epoch)
{
    for (uint32_t probe = 0; probe < PROBES_MAX; probe++) {
        struct entry *entry = &entries[(key + probe) % ENTRIES];
        uint64_t found = __atomic_load_n(&entry->key, __ATOMIC_ACQUIRE);

        if (found == key || (!found && take(entry, 0, key, epoch)))
            return entry;
    }
    return evict(key, epoch);
}

uint64_t shim_ordinal(uint64_t stream, uint32_t rule, uint64_t epoch)
{
    struct entry *entry = entry_of(key_of(stream, rule, epoch), epoch);

    return entry ? ++entry->count : 0;
}

bool shim_turn(uint64_t stream, uint32_t rule, uint64_t epoch, uint64_t turn)
{
    struct entry *entry = entry_of(key_of(stream, rule + PLAN_RULES_MAX, epoch), epoch);
    bool is_first = entry && entry->count != turn;

    if (is_first)
        entry->count = turn;
    return is_first;
}

/* ---- pthread_create: the new thread's stream is fixed by its maker ---------------------------------------------------- */

typedef void *start_function(void *);

struct start {
    uint32_t busy;
    start_function *function;
    void *argument;
    uint64_t stream;
};

static struct start starts[STARTS_MAX]; /* one is in use only from pthread_create until the thread runs */

static void *start_thread(void *place)
{
    struct start start = *(struct start *)place;

    shim_self.stream = start.stream;
    __atomic_store_n(&((struct start *)place)->busy, 0, __ATOMIC_RELEASE);
    return start.function(start.argument);
}

static struct start *start_take(void)
{
    for (size_t i = 0; i < STARTS_MAX; i++)
        if (!__atomic_load_n(&starts[i].busy, __ATOMIC_RELAXED) && !__atomic_exchange_n(&starts[i].busy, 1, __ATOMIC_ACQUIRE))
            return &starts[i];
    return NULL;
}

__typeof__(shim_create) *shim_create_next;

int shim_create(pthread_t *thread, const pthread_attr_t *attributes, start_function *function, void *argument)
{
    struct start *start = shim_counters ? start_take() : NULL;
    int result;

    if (!start)
        return shim_create_next(thread, attributes, function, argument);
    start->function = function;
    start->argument = argument;
    start->stream = next_stream();
    result = shim_create_next(thread, attributes, start_thread, start);
    if (result)
        __atomic_store_n(&start->busy, 0, __ATOMIC_RELEASE);
    return result;
}
