/* Streams: as fast as they go, compared, or in windows of time. */
#include "tests/bench/peers/load_priv.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STREAMS_MAX = 64, READ_BYTES = 256 * 1024, SAMPLE_BYTES = 4096, DROP_BYTES = 1 << 30, WINDOWS_MAX = 1024 };

#define WINDOW_NS (10 * NS_PER_MS)

struct stream {
    uint64_t have; /* bytes so far */
    unsigned reads;
    bool ended;
};

struct streams {
    const struct target *target;
    unsigned count, ended;
    bool copied, compares_all;
    int fds[STREAMS_MAX];
    struct stream list[STREAMS_MAX];
    int poller;
    uint64_t sent_before; /* what the back-end had sent */
};

static void streams_open(struct streams *streams, const struct target *target, unsigned count, bool copied)
{
    *streams = (struct streams){ .target = target, .count = count, .copied = copied };
    streams->sent_before = __atomic_load_n(&target->counts->sent_bytes, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; i < count; i++) {
        streams->fds[i] = load_open(target->port);
        if (send(streams->fds[i], copied ? "W" : "Z", 1, MSG_NOSIGNAL) != 1)
            fail("a stream cannot be asked for: %s", strerror(errno));
    }
    streams->poller = load_watch_all(streams->fds, count);
}

static void compare(const unsigned char *bytes, uint64_t at, size_t size)
{
    while (size) {
        size_t place = (size_t)(at % PATTERN_BYTES), part = MIN(size, (size_t)PATTERN_BYTES - place);

        if (memcmp(bytes, pattern + place, part))
            fail("a byte between %llu and %llu of a stream is wrong", (unsigned long long)at, (unsigned long long)(at + part));
        bytes += part;
        at += part;
        size -= part;
    }
}

/* One read of one stream: bytes, 0 when there are none now or it has ended. */
static uint64_t take(struct streams *streams, unsigned index)
{
    static unsigned char bytes[READ_BYTES];
    struct stream *stream = &streams->list[index];
    bool sampled = stream->reads++ % SAMPLE_EVERY == 0, looks = sampled || streams->compares_all;
    ssize_t got;

    if (looks || streams->copied)
        got = recv(streams->fds[index], bytes, streams->copied || streams->compares_all ? READ_BYTES : SAMPLE_BYTES, 0);
    else
        got = recv(streams->fds[index], NULL, DROP_BYTES, MSG_TRUNC);
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got < 0)
        fail("a stream broke: %s", strerror(errno));
    if (!got) {
        streams->ended++;
        stream->ended = true;
        (void)epoll_ctl(streams->poller, EPOLL_CTL_DEL, streams->fds[index], NULL);
    } else if (looks) {
        compare(bytes, stream->have, sampled && !streams->compares_all ? MIN((size_t)got, (size_t)SAMPLE_BYTES) : (size_t)got);
    }
    stream->have += (uint64_t)got;
    return (uint64_t)got;
}

/* Asks for the ends, reads them out, and settles the account. */
static void streams_close(struct streams *streams)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t have = 0, sent;

    for (unsigned i = 0; i < streams->count; i++)
        if (!streams->list[i].ended && send(streams->fds[i], "S", 1, MSG_NOSIGNAL) != 1)
            fail("a stream cannot be stopped: %s", strerror(errno));
    while (streams->ended < streams->count) {
        int count = load_wait(streams->poller, events, 20 * NS_PER_S);

        for (int i = 0; i < count; i++)
            (void)take(streams, events[i].data.u32);
    }
    for (unsigned i = 0; i < streams->count; i++)
        have += streams->list[i].have;
    sent = __atomic_load_n(&streams->target->counts->sent_bytes, __ATOMIC_ACQUIRE) - streams->sent_before;
    if (have != sent)
        fail("%llu bytes were sent, %llu came", (unsigned long long)sent, (unsigned long long)have);
    close(streams->poller);
    load_close_all(streams->fds, streams->count);
}

static void must_live(const struct streams *streams)
{
    if (streams->ended)
        fail("a stream ended too early");
}

void load_bulk(const struct target *target, unsigned connections, bool copied, struct outcome *ret_outcome)
{
    struct epoll_event events[EVENTS_MAX];
    struct streams streams;
    struct meter meter;

    *ret_outcome = (struct outcome){ .per_s = 0 };
    streams_open(&streams, target, connections, copied);
    meter_start(&meter, target);
    while (meter_runs(&meter, clock_now_ns())) {
        int count = load_wait(streams.poller, events, 20 * NS_PER_S);

        for (int i = 0; i < count; i++) {
            uint64_t got = take(&streams, events[i].data.u32);

            meter.count += meter_is_open(&meter) ? got : 0;
        }
        must_live(&streams);
    }
    streams_close(&streams);
    meter_tell(&meter, ret_outcome);
}

void load_checked(const struct target *target, bool copied, uint64_t bytes)
{
    struct epoll_event events[EVENTS_MAX];
    struct streams streams;

    streams_open(&streams, target, 1, copied);
    streams.compares_all = true;
    while (streams.list[0].have < bytes) {
        int count = load_wait(streams.poller, events, 20 * NS_PER_S);

        for (int i = 0; i < count; i++)
            (void)take(&streams, events[i].data.u32);
        must_live(&streams);
    }
    streams_close(&streams);
}

void load_windows(const struct target *target, unsigned connections, double rate, load_pause *lift, void *context,
                  struct outcome *ret_outcome)
{
    static double windows[STREAMS_MAX][WINDOWS_MAX];
    struct epoll_event events[EVENTS_MAX];
    uint64_t begin_ns, now_ns, window_count = target->phase_ns / WINDOW_NS, bytes = 0;
    struct streams streams;

    *ret_outcome = (struct outcome){ .per_s = 0 };
    memset(windows, 0, sizeof(windows));
    streams_open(&streams, target, connections, false);
    begin_ns = clock_now_ns() + target->warm_ns;
    while ((now_ns = clock_now_ns()) < begin_ns + window_count * WINDOW_NS) {
        int count = load_wait(streams.poller, events, WINDOW_NS);

        now_ns = clock_now_ns();
        for (int i = 0; i < count; i++) {
            uint64_t got = take(&streams, events[i].data.u32);
            uint64_t window = now_ns < begin_ns ? WINDOWS_MAX : (now_ns - begin_ns) / WINDOW_NS;

            if (window >= MIN(window_count, (uint64_t)WINDOWS_MAX))
                continue;
            windows[events[i].data.u32][window] += (double)got;
            bytes += got;
        }
        must_live(&streams);
    }
    for (unsigned i = 0; i < connections; i++)
        for (uint64_t window = 0; window < MIN(window_count, (uint64_t)WINDOWS_MAX); window++)
            spread_add(&ret_outcome->spread, (uint64_t)(windows[i][window] / (rate * WINDOW_NS / 1e9) * 1000));
    ret_outcome->per_s = (double)bytes / ((double)(window_count * WINDOW_NS) / 1e9);
    ret_outcome->mean_share = ret_outcome->per_s / (rate * connections);
    lift(context);
    streams_close(&streams);
}
