/* The thread of a probe, and its samples. */
#include "controller/probe/probe_priv.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct prober {
    const struct probe *probe;
    const struct probe_world *world;
    const struct probe_reader *reader;
    void *state; /* the reader's */
    pthread_t thread;
    bool started;
    uint64_t start_ns;
    uint64_t next; /* ordinal of the sample that is planned next */
    atomic_bool stopping;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    struct probe_sample *samples;
    size_t count, capacity;
    struct prober_counts counts;
};

static const struct probe_reader told = { .read = NULL };

static const struct probe_reader *const readers[PROBE_KINDS] = {
    [PROBE_PROC] = &probe_proc,
    [PROBE_COMMAND] = &probe_command,
    [PROBE_JSON] = &probe_json,
    [PROBE_HTTP] = &probe_http,
    [PROBE_TCP] = &probe_tcp,
    [PROBE_PROCESS] = &probe_process,
    [PROBE_FILE] = &probe_file,
    [PROBE_LOG] = &probe_log,
    [PROBE_PROMETHEUS] = &probe_prometheus,
    [PROBE_ALERTMANAGER] = &probe_alertmanager,
    [PROBE_REDIS] = &probe_redis,
    [PROBE_POSTGRES] = &probe_postgres,
    [PROBE_PROXY] = &told,
    [PROBE_FAULT] = &told,
    [PROBE_HEALTH] = &told,
};

/* ---- what readers call --------------------------------------------------------------------------------------------------- */

/* Under the lock. */
static bool make_room(struct prober *prober)
{
    size_t capacity = prober->capacity ? prober->capacity * 2 : 256;
    struct probe_sample *grown;

    if (prober->count < prober->capacity)
        return true;
    if (prober->count >= PROBER_SAMPLES_MAX)
        return false;
    grown = realloc(prober->samples, capacity * sizeof(*grown));
    if (!grown)
        return false;
    prober->samples = grown;
    prober->capacity = capacity;
    return true;
}

static void keep(struct prober *prober, uint64_t ns, double value)
{
    pthread_mutex_lock(&prober->lock);
    if (make_room(prober)) {
        if (prober->count && ns < prober->samples[prober->count - 1].ns) /* a line that lay in a buffer: never back in time */
            ns = prober->samples[prober->count - 1].ns;
        prober->samples[prober->count++] = (struct probe_sample){ ns, value };
        prober->counts.samples++;
    } else {
        prober->counts.dropped++;
    }
    pthread_mutex_unlock(&prober->lock);
}

void reading_put(struct reading *reading, uint64_t ns, double value)
{
    keep(reading->prober, ns, isfinite(value) ? value : NAN);
}

bool reading_is_over(const struct reading *reading)
{
    return atomic_load(reading->stopping) || clock_now_ns() >= reading->deadline_ns;
}

int reading_fail(struct reading *reading, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(reading->why, sizeof(reading->why), format, args);
    va_end(args);
    return -EIO;
}

/* ---- what the engine tells ---------------------------------------------------------------------------------------------------- */

bool prober_is_told(const struct prober *prober)
{
    return !prober->reader->read;
}

void prober_tell(struct prober *prober, uint64_t ns, double value)
{
    keep(prober, ns, isfinite(value) ? value : NAN);
}

void prober_tell_failure(struct prober *prober, uint64_t ns, const char *why)
{
    keep(prober, ns, NAN);
    pthread_mutex_lock(&prober->lock);
    prober->counts.failed++;
    snprintf(prober->counts.why, sizeof(prober->counts.why), "%s", why);
    pthread_mutex_unlock(&prober->lock);
}

/* ---- the thread ------------------------------------------------------------------------------------------------------------ */

static void read_once(struct prober *prober)
{
    uint64_t now_ns = clock_now_ns();
    struct reading reading = { .probe = prober->probe, .world = prober->world, .prober = prober, .now_ns = now_ns,
                               .deadline_ns = now_ns + (uint64_t)prober->probe->timeout, .state = prober->state,
                               .stopping = &prober->stopping };

    if (prober->reader->read(&reading) < 0 && !atomic_load(&prober->stopping))
        prober_tell_failure(prober, now_ns, reading.why);
}

/* The instant of the sample that is planned next, those that were missed meanwhile counted. Under the lock. */
static uint64_t next_due_ns(struct prober *prober, uint64_t now_ns)
{
    uint64_t every_ns = (uint64_t)prober->probe->every, due_ns = prober->start_ns + prober->next * every_ns;

    if (now_ns > due_ns + every_ns) {
        uint64_t missed = (now_ns - due_ns) / every_ns;

        prober->counts.skipped += missed;
        prober->next += missed;
        due_ns += missed * every_ns;
    }
    return due_ns;
}

/* Waits for the first planned instant that is still to come. */
static bool wait_for_next(struct prober *prober)
{
    uint64_t due_ns;

    pthread_mutex_lock(&prober->lock);
    due_ns = next_due_ns(prober, clock_now_ns());
    while (!atomic_load(&prober->stopping) && clock_now_ns() < due_ns) {
        struct timespec until = ns_timespec(due_ns);

        pthread_cond_timedwait(&prober->wake, &prober->lock, &until);
    }
    prober->next++;
    pthread_mutex_unlock(&prober->lock);
    return !atomic_load(&prober->stopping);
}

bool prober_is_due(struct prober *prober, uint64_t now_ns)
{
    bool is_due;

    if (!prober->started)
        return false;
    pthread_mutex_lock(&prober->lock);
    is_due = now_ns >= prober->start_ns && next_due_ns(prober, now_ns) <= now_ns;
    prober->next += is_due;
    pthread_mutex_unlock(&prober->lock);
    return is_due;
}

static void *probe_thread(void *argument)
{
    struct prober *prober = argument;

    while (wait_for_next(prober))
        read_once(prober);
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

int prober_check(const struct probe *probe, const char *where, struct errs *errs)
{
    const struct probe_reader *reader = readers[probe->kind];
    void *state = NULL;
    int result = reader->open ? reader->open(probe, where, errs, &state) : 0;

    if (state && reader->close)
        reader->close(state);
    return result;
}

int prober_new(const struct probe *probe, const struct probe_world *world, struct errs *errs, struct prober **ret_prober)
{
    struct prober *prober = calloc(1, sizeof(*prober));
    pthread_condattr_t attributes;
    int result = 0;

    if (!prober)
        return errs_add(errs, ERR_WORLD, probe->name, "out of memory");
    *prober = (struct prober){ .probe = probe, .world = world, .reader = readers[probe->kind] };
    pthread_mutex_init(&prober->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&prober->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (prober->reader->open)
        result = prober->reader->open(probe, probe->name, errs, &prober->state);
    if (result < 0) {
        prober_free(prober);
        return result;
    }
    *ret_prober = prober;
    return 0;
}

int prober_start(struct prober *prober, uint64_t start_ns)
{
    prober->start_ns = start_ns;
    if (prober_is_told(prober)) {
        prober->started = true;
        return 0;
    }
    if (pthread_create(&prober->thread, NULL, probe_thread, prober) != 0)
        return -EAGAIN;
    prober->started = true;
    return 0;
}

void prober_stop(struct prober *prober)
{
    if (!prober->started)
        return;
    atomic_store(&prober->stopping, true);
    pthread_mutex_lock(&prober->lock);
    pthread_cond_signal(&prober->wake);
    pthread_mutex_unlock(&prober->lock);
    if (!prober_is_told(prober))
        pthread_join(prober->thread, NULL);
    prober->started = false;
}

struct prober *prober_free(struct prober *prober)
{
    if (!prober)
        return NULL;
    prober_stop(prober);
    if (prober->reader->close && prober->state)
        prober->reader->close(prober->state);
    pthread_cond_destroy(&prober->wake);
    pthread_mutex_destroy(&prober->lock);
    free(prober->samples);
    free(prober);
    return NULL;
}

void prober_counts(struct prober *prober, struct prober_counts *ret_counts)
{
    pthread_mutex_lock(&prober->lock);
    *ret_counts = prober->counts;
    pthread_mutex_unlock(&prober->lock);
}

/* The first sample at `ns` or later. Under the lock. */
static size_t first_at(const struct prober *prober, uint64_t ns)
{
    size_t low = 0, high = prober->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (prober->samples[middle].ns < ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int prober_window(struct prober *prober, uint64_t from_ns, uint64_t until_ns, struct probe_sample **ret_samples, size_t *ret_count)
{
    struct probe_sample *copy = NULL;
    size_t first, last;
    int result = 0;

    pthread_mutex_lock(&prober->lock);
    first = first_at(prober, from_ns);
    last = first_at(prober, until_ns);
    if (last > first) {
        copy = malloc((last - first) * sizeof(*copy));
        if (copy)
            memcpy(copy, prober->samples + first, (last - first) * sizeof(*copy));
        else
            result = -ENOMEM;
    }
    pthread_mutex_unlock(&prober->lock);
    if (result < 0)
        return result;
    *ret_samples = copy;
    *ret_count = last > first ? last - first : 0;
    return 0;
}
