/* The open-loop load generator: life cycle and what its owner may read. The loop itself is loop.c. */
#include "controller/load/load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "controller/load/load_priv.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

const char *load_outcome_name(enum load_outcome outcome)
{
    static const char *const names[LOAD_OUTCOMES] = { "ok",    "http_status", "timeout",     "connect_failed",
                                                      "reset", "refused",     "wrong_reply", "dropped",
                                                      "failed" };

    return names[outcome];
}

void load_trace_id(uint64_t seed, const char *name, uint64_t index, char ret_text[LOAD_TRACE_ID_SIZE])
{
    uint64_t name_hash = rng_hash(name);

    snprintf(ret_text, LOAD_TRACE_ID_SIZE, "%016" PRIx64 "%016" PRIx64, rng_draw(seed, name_hash, 0, index),
             rng_draw(seed, name_hash, 1, index) | 1);
}

static const struct load_backend *const backends[] = {
    [LOAD_HTTP] = &load_http_backend, [LOAD_RESP] = &load_resp_backend,         [LOAD_TCP] = &load_tcp_backend,
    [LOAD_UDP] = &load_udp_backend,   [LOAD_POSTGRES] = &load_postgres_backend, [LOAD_COMMAND] = &load_command_backend,
};

static int open_mix(struct load *load)
{
    load->name_hash = rng_hash(load->spec.name);
    load->matches = calloc(load->spec.mix_count, sizeof(*load->matches));
    if (!load->matches)
        return -ENOMEM;
    for (size_t i = 0; i < load->spec.mix_count; i++) {
        int rc = match_init(&load->matches[i], load->spec.mix[i].expect_text);
        if (rc < 0)
            return rc;
        load->weights += load->spec.mix[i].weight;
    }
    return 0;
}

static int open_loop(struct load *load)
{
    struct epoll_event wake = { .events = EPOLLIN, .data.u64 = LOAD_WAKE_KEY };

    load->slots = calloc(load->spec.connections_max, sizeof(*load->slots));
    if (!load->slots || records_init(&load->records, load->spec.records_max, load->spec.spill_directory) < 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < load->spec.connections_max; i++)
        load->slots[i].next = i + 1 < load->spec.connections_max ? i + 1 : LOAD_NO_SLOT;
    load->free_first = 0;
    load->flight_first = load->flight_last = LOAD_NO_SLOT;
    atomic_init(&load->stop_ns, UINT64_MAX);
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    load->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (load->epoll_fd < 0 || load->wake_fd < 0 || epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, load->wake_fd, &wake) < 0)
        return -errno;
    return 0;
}

int load_new(const struct load_spec *spec, struct errs *errs, struct load **ret_load)
{
    struct load *load = calloc(1, sizeof(*load));

    if (!load)
        return -ENOMEM;
    load->epoll_fd = load->wake_fd = -1;
    int rc = load_spec_copy(spec, errs, &load->spec);
    if (rc < 0) {
        free(load);
        return rc;
    }
    load->backend = backends[load->spec.protocol];
    rc = open_mix(load);
    if (rc == 0)
        rc = open_loop(load);
    if (rc < 0)
        errs_add(errs, ERR_WORLD, "load", "cannot start: %s", strerror(-rc));
    else
        rc = load->backend->open(load, errs);
    if (rc < 0) {
        load_free(load);
        return rc;
    }
    *ret_load = load;
    return 0;
}

int load_start(struct load *load, uint64_t start_ns)
{
    if (load->started)
        return -EALREADY;
    load->start_ns = start_ns;
    int rc = pthread_create(&load->thread, NULL, load_loop, load);
    load->started = rc == 0;
    return -rc;
}

bool load_is_over(const struct load *load)
{
    return !load->started || atomic_load(&load->over);
}

int load_stop_at(struct load *load, uint64_t stop_ns)
{
    const uint64_t one = 1;

    if (!load->started)
        return -EINVAL;
    atomic_store(&load->stop_ns, stop_ns);
    if (write(load->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        return -errno;
    return 0;
}

int load_stop(struct load *load)
{
    if (!load->started)
        return -EINVAL;
    if (load->joined)
        return 0;
    uint64_t now_ns = clock_now_ns();
    int rc = now_ns < atomic_load(&load->stop_ns) ? load_stop_at(load, now_ns) : 0;
    if (rc < 0)
        return rc;
    rc = pthread_join(load->thread, NULL);
    load->joined = rc == 0;
    return -rc;
}

struct load *load_free(struct load *load)
{
    if (!load)
        return NULL;
    if (load->started)
        (void)load_stop(load);
    load->backend->close(load);
    records_done(&load->records);
    for (uint32_t i = 0; load->slots && i < load->spec.connections_max; i++)
        buf_done(&load->slots[i].kept);
    free(load->slots);
    free(load->matches);
    if (load->epoll_fd >= 0)
        close(load->epoll_fd);
    if (load->wake_fd >= 0)
        close(load->wake_fd);
    load_spec_done(&load->spec);
    free(load);
    return NULL;
}

/* Later stages are read first, so that waiting and in_flight never come out negative while the loop runs. */
void load_counters(const struct load *load, struct load_counters *ret_counters)
{
    struct load_counters counters = { 0 };

    for (size_t i = 0; i < LOAD_OUTCOMES; i++) {
        counters.outcomes[i] = atomic_load_explicit(&load->counts.outcomes[i], memory_order_acquire);
        counters.failed += i == LOAD_OK ? 0 : counters.outcomes[i];
    }
    counters.ok = counters.outcomes[LOAD_OK];
    counters.unrecorded = atomic_load_explicit(&load->counts.unrecorded, memory_order_acquire);
    counters.unplanned = atomic_load_explicit(&load->counts.unplanned, memory_order_acquire);
    counters.unread = atomic_load_explicit(&load->counts.unread, memory_order_acquire);
    counters.broke_off = atomic_load(&load->broke_off);
    counters.sent = atomic_load_explicit(&load->counts.sent, memory_order_acquire);
    counters.late = atomic_load_explicit(&load->counts.late, memory_order_acquire);
    counters.lateness_max_ns = atomic_load_explicit(&load->counts.lateness_max_ns, memory_order_acquire);
    counters.connects = atomic_load_explicit(&load->counts.connects, memory_order_acquire);
    counters.planned = atomic_load_explicit(&load->counts.planned, memory_order_acquire);
    counters.in_flight = counters.sent - (counters.ok + counters.failed - counters.outcomes[LOAD_DROPPED]);
    counters.waiting = counters.planned - counters.sent - counters.outcomes[LOAD_DROPPED];
    *ret_counters = counters;
}

uint64_t load_records_count(const struct load *load)
{
    return records_count(&load->records);
}

const struct load_record *load_record_at(const struct load *load, uint64_t i)
{
    return records_at(&load->records, i);
}

uint64_t load_snapshot(const struct load *load, uint64_t from, load_record_function *each, void *context)
{
    uint64_t count = records_count(&load->records);

    for (; from < count; from++)
        if (each(context, records_at(&load->records, from)) != 0)
            return from + 1;
    return from;
}

const struct load_record *load_record_in_turn(const struct load *load, uint64_t i)
{
    if (i && i % RECORDS_CHUNK == 0)
        records_rest(&load->records, i - 1);
    return records_at(&load->records, i);
}

bool load_is_fit(const struct load_counters *counters)
{
    return !counters->broke_off && (counters->late + counters->unread) * 100 <= counters->planned;
}
