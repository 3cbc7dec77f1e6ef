/* Loads over TCP and UDP, mixes, checks and spilled records, against servers in this process that say what they were asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controller/load/load.h"
#include "controller/load/records.h"
#include "scenarios/base/clock.h"

enum { URL_SIZE = 64, KINDS = 3 };

/* What a peer does with a datagram. EARLIER: the reply to the datagram before it, twice; its own comes last. */
enum manner { ECHO, EARLIER, SILENT, OTHER_TOKEN };

struct peer {
    int fd;
    uint16_t port;
    pthread_t thread;
    atomic_bool stopping;
    enum manner manner;
    atomic_uint_least64_t asked, kinds[KINDS]; /* by the first byte of the request: 'a', 'b', 'c' */
    const char *reply;   /* TCP */
    bool closes;         /* TCP: after each reply */
    atomic_uint_least64_t accepted;
};

static void bind_peer(struct peer *peer, int type)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);

    peer->fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(peer->fd, (struct sockaddr *)&address, &length), 0);
    peer->port = ntohs(address.sin_port);
}

static void note(struct peer *peer, const char *request)
{
    atomic_fetch_add(&peer->asked, 1);
    if (request[0] >= 'a' && request[0] < 'a' + KINDS)
        atomic_fetch_add(&peer->kinds[request[0] - 'a'], 1);
}

static void *serve_udp(void *argument)
{
    struct peer *peer = argument;
    char datagram[256], before[256];
    struct sockaddr_storage from;
    size_t before_length = 0;

    while (!atomic_load(&peer->stopping)) {
        struct pollfd readable = { .fd = peer->fd, .events = POLLIN };
        socklen_t size = sizeof(from);
        if (poll(&readable, 1, 10) != 1)
            continue;
        ssize_t got = recvfrom(peer->fd, datagram, sizeof(datagram), 0, (struct sockaddr *)&from, &size);
        if (got <= 0)
            continue;
        note(peer, datagram);
        if (peer->manner == SILENT)
            continue;
        for (int i = 0; i < 2 && peer->manner == EARLIER && before_length; i++)
            (void)sendto(peer->fd, before, before_length, 0, (struct sockaddr *)&from, size);
        memcpy(before, datagram, (size_t)got);
        before_length = (size_t)got;
        datagram[5] = peer->manner == OTHER_TOKEN ? (char)(datagram[5] ^ 1) : datagram[5];
        (void)sendto(peer->fd, datagram, (size_t)got, 0, (struct sockaddr *)&from, size);
    }
    return NULL;
}

/* One request a line, one connection after the other where it closes them. */
static void *serve_tcp(void *argument)
{
    struct peer *peer = argument;
    struct pollfd fds[64] = { { .fd = peer->fd, .events = POLLIN } };
    nfds_t count = 1;
    char request[256];

    while (!atomic_load(&peer->stopping)) {
        if (poll(fds, count, 10) <= 0)
            continue;
        for (nfds_t i = count; i-- > 1;) {
            if (!fds[i].revents)
                continue;
            ssize_t got = recv(fds[i].fd, request, sizeof(request) - 1, 0);
            if (got > 0) {
                note(peer, request);
                (void)send(fds[i].fd, peer->reply, strlen(peer->reply), MSG_NOSIGNAL);
            }
            if (got <= 0 || peer->closes) {
                close(fds[i].fd);
                fds[i] = fds[--count];
            }
        }
        if ((fds[0].revents & POLLIN) && count < 64) {
            fds[count++] = (struct pollfd){ .fd = accept(peer->fd, NULL, NULL), .events = POLLIN };
            atomic_fetch_add(&peer->accepted, 1);
        }
    }
    while (count > 1)
        close(fds[--count].fd);
    return NULL;
}

static struct peer *peer_start(int type, enum manner manner, const char *reply, bool closes)
{
    struct peer *peer = calloc(1, sizeof(*peer));

    assert_non_null(peer);
    peer->manner = manner;
    peer->reply = reply;
    peer->closes = closes;
    bind_peer(peer, type);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(peer->fd, 64), 0);
    assert_int_equal(pthread_create(&peer->thread, NULL, type == SOCK_STREAM ? serve_tcp : serve_udp, peer), 0);
    return peer;
}

static void peer_stop(struct peer *peer)
{
    atomic_store(&peer->stopping, true);
    pthread_join(peer->thread, NULL);
    close(peer->fd);
    free(peer);
}

/* 100 requests at once; a time limit that only what is never answered reaches. */
static uint64_t hundred(const void *context, uint64_t index)
{
    (void)context;
    return index < 100 ? index * NS_PER_MS : UINT64_MAX;
}

static struct load *run(struct load_spec *spec, struct load_counters *ret_counters)
{
    struct errs errs = { 0 };
    struct load *load = NULL;

    spec->plan = spec->plan ? spec->plan : hundred;
    spec->seed = 42;
    spec->timeout_ns = spec->timeout_ns ? spec->timeout_ns : 20 * NS_PER_S;
    spec->late_after_ns = 20 * NS_PER_S;
    if (load_new(spec, &errs, &load) < 0) {
        errs_print(&errs, stderr);
        fail();
    }
    assert_int_equal(load_start(load, clock_now_ns()), 0);
    do {
        (void)poll(NULL, 0, 5);
        load_counters(load, ret_counters);
    } while (ret_counters->ok + ret_counters->failed < 100);
    assert_int_equal(load_stop(load), 0);
    return load;
}

static void udp_replies_belong_to_their_requests(void **state)
{
    static const struct {
        enum manner manner;
        uint32_t token_bytes;
        enum load_outcome outcome;
    } cases[] = { { ECHO, 8, LOAD_OK },       { EARLIER, 8, LOAD_OK },      { SILENT, 8, LOAD_TIMEOUT },
                  { OTHER_TOKEN, 8, LOAD_TIMEOUT }, { ECHO, 0, LOAD_OK }, { SILENT, 0, LOAD_TIMEOUT } };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct peer *peer = peer_start(SOCK_DGRAM, cases[i].manner, NULL, false);
        struct load_counters counters;
        char url[URL_SIZE];

        snprintf(url, sizeof(url), "udp://127.0.0.1:%u", (unsigned)peer->port);
        struct load_spec spec = { .protocol = LOAD_UDP, .url = url, .body = "ask ........ more", .body_bytes = 17, .token_at = 4,
                                  .token_bytes = cases[i].token_bytes, .reply_token_at = 4, .token_is_text = true, .expect_text = "more" };
        if (cases[i].outcome == LOAD_TIMEOUT)
            spec.timeout_ns = 100 * NS_PER_MS;
        struct load *load = run(&spec, &counters);
        if (counters.outcomes[cases[i].outcome] != 100)
            fail_msg("case %zu: %llu %s", i, (unsigned long long)counters.outcomes[cases[i].outcome], load_outcome_name(cases[i].outcome));
        load_free(load);
        peer_stop(peer);
    }
}

static void nobody_at_a_udp_port_is_a_refusal(void **state)
{
    struct peer *peer = peer_start(SOCK_DGRAM, SILENT, NULL, false);
    struct load_counters counters;
    char url[URL_SIZE];

    (void)state;
    snprintf(url, sizeof(url), "udp://127.0.0.1:%u", (unsigned)peer->port);
    peer_stop(peer);
    struct load_spec spec = { .protocol = LOAD_UDP, .url = url, .body = "x", .body_bytes = 1 };
    struct load *load = run(&spec, &counters);
    assert_int_equal(counters.outcomes[LOAD_REFUSED], 100);
    load_free(load);
}

static void tcp_replies_end_where_they_are_said_to(void **state)
{
    static const struct {
        const char *reply, *until, *expect;
        uint32_t bytes;
        bool closes, keeps;
        enum load_outcome outcome;
    } cases[] = {
        { "pong\r\n", "\r\n", "pong", 0, false, true, LOAD_OK },   { "pong\r\n", "\r\n", "ping", 0, false, true, LOAD_WRONG_REPLY },
        { "pong\r\n", NULL, "pong", 6, false, true, LOAD_OK },     { "pong\r\n", NULL, NULL, 3, false, false, LOAD_WRONG_REPLY },
        { "pong", NULL, "pong", 0, false, false, LOAD_OK },        { "pong", NULL, "ping", 0, true, false, LOAD_WRONG_REPLY },
        { "pong", NULL, NULL, 0, true, false, LOAD_OK },           { "pon", "g", NULL, 0, true, false, LOAD_RESET },
        { "", NULL, NULL, 0, true, false, LOAD_RESET },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct peer *peer = peer_start(SOCK_STREAM, ECHO, cases[i].reply, cases[i].closes);
        struct load_counters counters;
        char url[URL_SIZE];

        snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", (unsigned)peer->port);
        struct load_spec spec = { .protocol = LOAD_TCP, .url = url, .body = "ping\n", .body_bytes = 5, .reply_until = cases[i].until,
                                  .reply_bytes = cases[i].bytes, .expect_text = cases[i].expect, .connections_max = 8 };
        struct load *load = run(&spec, &counters);
        if (counters.outcomes[cases[i].outcome] != 100 || (atomic_load(&peer->accepted) < 100) != cases[i].keeps)
            fail_msg("case %zu: %llu %s over %llu connections", i, (unsigned long long)counters.outcomes[cases[i].outcome],
                     load_outcome_name(cases[i].outcome), (unsigned long long)atomic_load(&peer->accepted));
        load_free(load);
        peer_stop(peer);
    }
}

/* Which request of a mix goes out is a function of the seed: two loads ask the same, in the proportion of the weights. */
static void a_mix_is_drawn_by_the_seed(void **state)
{
    const struct load_request mix[] = { { .weight = 6, .body = "a\n", .body_bytes = 2 }, { .weight = 3, .body = "b\n", .body_bytes = 2 },
                                        { .body = "c\n", .body_bytes = 2, .expect_text = "never" } };
    uint64_t first[KINDS];

    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        struct peer *peer = peer_start(SOCK_STREAM, ECHO, "ok\n", false);
        struct load_counters counters;
        char url[URL_SIZE];

        snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", (unsigned)peer->port);
        struct load_spec spec = { .protocol = LOAD_TCP, .url = url, .reply_until = "\n", .mix = mix, .mix_count = KINDS, .connections_max = 8 };
        struct load *load = run(&spec, &counters);
        assert_int_equal(counters.outcomes[LOAD_WRONG_REPLY], atomic_load(&peer->kinds[2]));
        assert_int_equal(atomic_load(&peer->asked), 100);
        assert_in_range(atomic_load(&peer->kinds[0]), 40, 80);
        assert_in_range(atomic_load(&peer->kinds[1]), 12, 50);
        assert_in_range(atomic_load(&peer->kinds[2]), 1, 25);
        for (int i = 0; i < KINDS; i++) {
            if (turn)
                assert_int_equal(atomic_load(&peer->kinds[i]), first[i]);
            first[i] = atomic_load(&peer->kinds[i]);
        }
        load_free(load);
        peer_stop(peer);
    }
}

static bool is_the_reply(const void *context, const char *body, size_t length)
{
    return length == strlen(context) && !strcmp(body, context);
}

static void a_check_sees_the_whole_reply(void **state)
{
    static const char *const replies[] = { "hello\n", "hallo\n" };

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct peer *peer = peer_start(SOCK_STREAM, ECHO, "hello\n", false);
        struct load_counters counters;
        char url[URL_SIZE];

        snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", (unsigned)peer->port);
        struct load_spec spec = { .protocol = LOAD_TCP, .url = url, .body = "x\n", .body_bytes = 2, .reply_until = "\n", .check = is_the_reply,
                                  .check_context = replies[i] };
        struct load *load = run(&spec, &counters);
        assert_int_equal(counters.ok, i ? 0 : 100);
        load_free(load);
        peer_stop(peer);
    }
}

/* Memory that is this process's alone, in KiB. */
static long anonymous_kib(void)
{
    char line[128];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");

    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "RssAnon: %ld", &kib) == 1)
            break;
    fclose(file);
    return kib;
}

/* 2 million records are 80 MB; spilled they take less than an eighth of it, and each can be read all the while. */
static void records_leave_memory_and_stay_readable(void **state)
{
    enum { COUNT = 2000000 };
    const char *directory = getenv("TMPDIR");
    struct records records;

    (void)state;
    assert_int_equal(records_init(&records, COUNT, directory ? directory : "/tmp"), 0);
    long before = anonymous_kib();
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_true(records_append(&records, &(struct load_record){ .planned_ns = i * UINT64_C(7), .index = i }));
        if (i % 1000 == 0)
            assert_int_equal(records_at(&records, i / 2)->index, i / 2);
        while (i % RECORDS_CHUNK == RECORDS_CHUNK - 1 && !atomic_load(&records.on_file[i / RECORDS_CHUNK]))
            (void)poll(NULL, 0, 1);
    }
    assert_true(anonymous_kib() - before < 10000);
    for (uint32_t i = 0; i < COUNT; i++) {
        if (i && i % RECORDS_CHUNK == 0)
            records_rest(&records, i - 1);
        const struct load_record *record = records_at(&records, i);
        if (record->index != i || record->planned_ns != i * UINT64_C(7))
            fail_msg("record %u is not what it was", i);
    }
    assert_false(records_append(&records, &(struct load_record){ 0 }));
    records_done(&records);
}

static void bad_specs_are_refused(void **state)
{
    const struct load_request wrong[] = { { .weight = 2000000, .url = "tcp://127.0.0.1:1" } };
    const struct load_spec tcp = { .protocol = LOAD_TCP, .url = "tcp://127.0.0.1:1", .rate_per_s = 1 };
    const struct load_spec udp = { .protocol = LOAD_UDP, .url = "udp://127.0.0.1:1", .rate_per_s = 1 };
    const struct load_spec sql = { .protocol = LOAD_POSTGRES, .url = "postgres://127.0.0.1:1/x", .rate_per_s = 1 };
    struct load_spec bad[16];
    size_t count = 0;

    (void)state;
    bad[count] = tcp, bad[count++].url = "tcp://127.0.0.1";
    bad[count] = tcp, bad[count++].method = "GET";
    bad[count] = tcp, bad[count].reply_bytes = 1, bad[count++].reply_until = "x";
    bad[count] = tcp, bad[count].mix = wrong, bad[count++].mix_count = 1;
    bad[count] = tcp, bad[count].mix = wrong, bad[count++].mix_count = LOAD_MIX_MAX + 1;
    bad[count] = udp, bad[count++].token_bytes = 17;
    bad[count] = udp, bad[count++].token_bytes = 8; /* no room */
    bad[count] = sql, bad[count++].url = "mysql://127.0.0.1/";
    bad[count] = sql, bad[count++].url = "postgres://127.0.0.1/x?nonsense=1";
    for (size_t i = 0; i < count; i++) {
        struct errs errs = { 0 };
        struct load *load = NULL;
        if (load_new(&bad[i], &errs, &load) != -EINVAL || !errs.count || load)
            fail_msg("bad spec %zu was not refused", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_specs_are_refused),
        cmocka_unit_test(tcp_replies_end_where_they_are_said_to),
        cmocka_unit_test(udp_replies_belong_to_their_requests),
        cmocka_unit_test(nobody_at_a_udp_port_is_a_refusal),
        cmocka_unit_test(a_mix_is_drawn_by_the_seed),
        cmocka_unit_test(a_check_sees_the_whole_reply),
        cmocka_unit_test(records_leave_memory_and_stay_readable),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
