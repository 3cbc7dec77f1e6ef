/* One monotonic clock, read through a small table so that tests run on virtual time.
 * CLOCK_MONOTONIC is the clock of every instant in this project (DESIGN section 8); wall time is kept only as one anchor pair a run.
 * Shim-safe: `clock_now_ns` is a vDSO read; the shims themselves read it unfaked through their own resolved pointer. */
#ifndef PERTURB_BASE_CLOCK_H
#define PERTURB_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

struct clock_source {
    uint64_t (*now_ns)(void *context);
    void *context;
};

static inline uint64_t timespec_ns(struct timespec t)
{
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static inline struct timespec ns_timespec(uint64_t ns)
{
    return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };
}

static inline uint64_t clock_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return timespec_ns(now);
}

static inline uint64_t clock_wall_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return timespec_ns(now);
}

static inline uint64_t clock_source_now_ns(const struct clock_source *source)
{
    return source && source->now_ns ? source->now_ns(source->context) : clock_now_ns();
}

#endif
