/* The open-loop load generator against servers in this process whose answers follow a schedule: the server is the oracle of
 * what was asked and when it could have been answered; the generator's records are held against it.
 * Times are compared with instants that the server chose, or as ratios within one run; never with a constant of speed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controller/load/load.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "tests/support/scheduled_server.h"

enum { URL_SIZE = 64 };

static uint64_t give_up_ns(void)
{
    const char *text = getenv("PERTURB_TEST_TIMEOUT_MS");

    return clock_now_ns() + (text ? strtoull(text, NULL, 10) : 20000) * NS_PER_MS;
}

/* The server's own count of requests must become `count`, and no more. */
static void server_saw(const struct scheduled_server *server, uint64_t count)
{
    uint64_t patience_ns = give_up_ns();

    while (atomic_load(&server->requests) < count && clock_now_ns() < patience_ns)
        (void)poll(NULL, 0, 1);
    assert_int_equal(atomic_load(&server->requests), count);
}

static struct load_spec spec_for(uint16_t port, bool resp, char url[URL_SIZE])
{
    snprintf(url, URL_SIZE, "%s://127.0.0.1:%u/", resp ? "redis" : "http", (unsigned)port);
    return (struct load_spec){ .name = "main", .seed = 42, .protocol = resp ? LOAD_RESP : LOAD_HTTP, .url = url,
                               .rate_per_s = 200, .timeout_ns = 20 * NS_PER_S, .late_after_ns = 10 * NS_PER_S };
}

static struct load *must_new(const struct load_spec *spec)
{
    struct errs errs = { 0 };
    struct load *load = NULL;
    int rc = load_new(spec, &errs, &load);

    errs_print(&errs, stderr);
    assert_int_equal(rc, 0);
    return load;
}

/* Every counter, every record and the plan must tell the same story (load.h rule 5). */
static struct load_counters check_books(const struct load *load, uint64_t start_ns, double rate_per_s)
{
    struct load_counters counters;
    uint64_t outcomes[LOAD_OUTCOMES] = { 0 };

    load_counters(load, &counters);
    assert_int_equal(counters.planned, load_records_count(load));
    assert_int_equal(counters.waiting, 0);
    assert_int_equal(counters.in_flight, 0);
    assert_int_equal(counters.unrecorded, 0);
    assert_int_equal(counters.ok + counters.failed, counters.planned);
    assert_int_equal(counters.sent + counters.outcomes[LOAD_DROPPED], counters.planned);
    unsigned char *seen = calloc(counters.planned + 1, 1);
    assert_non_null(seen);
    for (uint64_t i = 0; i < counters.planned; i++) {
        const struct load_record *record = load_record_at(load, i);
        assert_true(record->index < counters.planned && !seen[record->index]);
        seen[record->index] = 1;
        assert_int_equal(record->planned_ns, start_ns + (uint64_t)((double)record->index * 1e9 / rate_per_s));
        assert_true(record->done_ns >= record->planned_ns);
        assert_true(record->outcome == LOAD_DROPPED ? record->sent_ns == 0 : record->sent_ns >= record->planned_ns);
        outcomes[record->outcome]++;
    }
    free(seen);
    assert_memory_equal(outcomes, counters.outcomes, sizeof(outcomes));
    return counters;
}

/* Plans from start to stop, then waits until the loop has ended by itself: the plan is through and everything has its record. */
static void run_to_end(struct load *load, uint64_t start_ns, uint64_t stop_ns)
{
    uint64_t patience_ns = give_up_ns();
    struct load_counters counters;

    assert_int_equal(load_start(load, start_ns), 0);
    assert_int_equal(load_stop_at(load, stop_ns), 0);
    do {
        assert_true(clock_now_ns() < patience_ns);
        (void)poll(NULL, 0, 1);
        load_counters(load, &counters);
    } while (clock_now_ns() <= stop_ns || counters.waiting + counters.in_flight > 0);
    assert_int_equal(load_stop(load), 0);
}

static struct load *run_load(const struct load_spec *spec, uint64_t duration_ns, uint64_t *ret_start_ns)
{
    struct load *load = must_new(spec);

    *ret_start_ns = clock_now_ns();
    run_to_end(load, *ret_start_ns, *ret_start_ns + duration_ns);
    return load;
}

static int compare_ns(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* A stall of 300 ms must show in *every* request planned during it, and only there. */
static void stall_shows_in_every_request(bool resp)
{
    const uint64_t stall_ns = 300 * NS_PER_MS;
    struct scheduled_server *server = scheduled_server_start(resp, ANSWER);
    char url[URL_SIZE];
    struct load_spec spec = spec_for(server->port, resp, url);
    struct load *load = must_new(&spec);
    uint64_t start_ns = clock_now_ns() + 50 * NS_PER_MS;
    uint64_t from_ns = start_ns + 400 * NS_PER_MS, until_ns = from_ns + stall_ns;
    uint64_t others_ns[512];
    size_t others = 0, during = 0, sent_during = 0;

    atomic_store(&server->stall_from_ns, from_ns);
    atomic_store(&server->stall_until_ns, until_ns);
    run_to_end(load, start_ns, start_ns + 1200 * NS_PER_MS);
    struct load_counters counters = check_books(load, start_ns, spec.rate_per_s);
    for (uint64_t i = 0; i < counters.planned; i++) {
        const struct load_record *record = load_record_at(load, i);
        if (record->planned_ns >= from_ns && record->planned_ns < until_ns) {
            during++;
            sent_during += record->sent_ns < until_ns;
            assert_true(record->done_ns >= until_ns); /* the server's own instant */
        } else if (others < ARRAY_SIZE(others_ns)) {
            others_ns[others++] = record->done_ns - record->planned_ns;
        }
    }
    assert_int_equal(during, 60); /* 200/s during 300 ms, by the plan alone */
    assert_true(sent_during > during / 2); /* and they went out while nothing was answered */
    qsort(others_ns, others, sizeof(others_ns[0]), compare_ns);
    assert_true(others_ns[others / 2] < stall_ns / 4);
    assert_int_equal(counters.ok, counters.planned);
    server_saw(server, counters.sent);
    scheduled_server_stop(server);
    load_free(load);
    free(server);
}

static void http_stall_shows_in_every_request(void **state)
{
    (void)state;
    stall_shows_in_every_request(false);
}

static void resp_stall_shows_in_every_request(void **state)
{
    (void)state;
    stall_shows_in_every_request(true);
}

static void outcomes_are_told_apart(void **state)
{
    static const struct {
        bool resp;
        enum scheduled_mode mode;
        enum load_outcome outcome;
        uint16_t http_code;
        const char *expect_text;
    } cases[] = {
        { false, ANSWER, LOAD_OK, 200, "ello" },        { false, ANSWER, LOAD_WRONG_REPLY, 200, "goodbye" },
        { false, ANSWER_500, LOAD_HTTP_STATUS, 500, NULL }, { false, RESET_THEM, LOAD_RESET, 0, NULL },
        { false, GARBAGE, LOAD_WRONG_REPLY, 0, NULL },  { false, HALF_ANSWER, LOAD_RESET, 200, NULL },
        { false, HANG, LOAD_TIMEOUT, 0, NULL },         { false, ANSWER_AND_CLOSE, LOAD_OK, 200, NULL },
        { true, ANSWER, LOAD_OK, 0, "PONG" },           { true, ANSWER, LOAD_WRONG_REPLY, 0, "goodbye" },
        { true, ANSWER_ERROR, LOAD_WRONG_REPLY, 0, NULL }, { true, RESET_THEM, LOAD_RESET, 0, NULL },
        { true, GARBAGE, LOAD_WRONG_REPLY, 0, NULL },   { true, HALF_ANSWER, LOAD_RESET, 0, NULL },
        { true, HANG, LOAD_TIMEOUT, 0, NULL },          { true, ANSWER_AND_CLOSE, LOAD_OK, 0, NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct scheduled_server *server = scheduled_server_start(cases[i].resp, cases[i].mode);
        char url[URL_SIZE];
        uint64_t start_ns;
        struct load_spec spec = spec_for(server->port, cases[i].resp, url);
        spec.expect_text = cases[i].expect_text;
        if (cases[i].mode == HANG)
            spec.timeout_ns = 200 * NS_PER_MS;
        struct load *load = run_load(&spec, 100 * NS_PER_MS, &start_ns);
        struct load_counters counters = check_books(load, start_ns, spec.rate_per_s);
        assert_int_equal(counters.planned, 21);
        if (counters.outcomes[cases[i].outcome] != counters.planned)
            fail_msg("case %zu: %s: %llu of %llu", i, load_outcome_name(cases[i].outcome),
                     (unsigned long long)counters.outcomes[cases[i].outcome], (unsigned long long)counters.planned);
        assert_int_equal(load_record_at(load, 0)->http_code, cases[i].http_code);
        server_saw(server, counters.sent); /* one request is one attempt */
        scheduled_server_stop(server);
        load_free(load);
        free(server);
    }
}

/* libcurl by itself would send again on a new connection when a kept one dies: that second attempt must not happen. */
static void a_dead_kept_connection_is_not_retried(void **state)
{
    (void)state;
    for (int resp = 0; resp <= 1; resp++) {
        struct scheduled_server *server = scheduled_server_start(resp != 0, ANSWER_THEN_RESET);
        char url[URL_SIZE];
        uint64_t start_ns;
        struct load_spec spec = spec_for(server->port, resp != 0, url);
        struct load *load = run_load(&spec, 200 * NS_PER_MS, &start_ns);
        struct load_counters counters = check_books(load, start_ns, spec.rate_per_s);
        assert_true(counters.ok > 0 && counters.outcomes[LOAD_RESET] > 0);
        assert_int_equal(counters.ok + counters.outcomes[LOAD_RESET], counters.planned);
        server_saw(server, counters.sent);
        scheduled_server_stop(server);
        load_free(load);
        free(server);
    }
}

static void refusal_and_failed_handshake(void **state)
{
    char url[URL_SIZE];
    uint16_t port;
    uint64_t start_ns;

    (void)state;
    close(scheduled_listen(&port, 1)); /* nobody listens there now */
    for (int resp = 0; resp <= 1; resp++) {
        struct load_spec spec = spec_for(port, resp != 0, url);
        struct load *load = run_load(&spec, 100 * NS_PER_MS, &start_ns);
        struct load_counters counters = check_books(load, start_ns, spec.rate_per_s);
        assert_int_equal(counters.outcomes[LOAD_REFUSED], counters.planned);
        load_free(load);
    }
    struct scheduled_server *server = scheduled_server_start(false, GARBAGE); /* speaks no TLS */
    struct load_spec spec = spec_for(server->port, false, url);
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/", (unsigned)server->port);
    struct load *load = run_load(&spec, 100 * NS_PER_MS, &start_ns);
    struct load_counters counters = check_books(load, start_ns, spec.rate_per_s);
    assert_int_equal(counters.outcomes[LOAD_CONNECT_FAILED], counters.planned);
    load_free(load);
    scheduled_server_stop(server);
    free(server);
}

/* Connects that never finish (a full accept queue drops SYNs) must not hold up the plan; with the cap reached, requests age. */
static void unreachable_server_does_not_stall_the_plan(void **state)
{
    (void)state;
    for (int resp = 0; resp <= 1; resp++) {
        char url[URL_SIZE];
        uint16_t port;
        uint64_t start_ns;
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fillers[2];
        int fd = scheduled_listen(&port, 0);
        address.sin_port = htons(port);
        for (size_t i = 0; i < ARRAY_SIZE(fillers); i++) {
            fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            (void)connect(fillers[i], (struct sockaddr *)&address, sizeof(address));
        }
        struct load_spec spec = spec_for(port, resp != 0, url);
        spec.timeout_ns = 200 * NS_PER_MS;
        spec.connections_max = 8;
        struct load *load = run_load(&spec, 600 * NS_PER_MS, &start_ns);
        struct load_counters counters = check_books(load, start_ns, spec.rate_per_s);
        assert_int_equal(counters.planned, 121);
        assert_int_equal(counters.ok, 0);
        assert_int_equal(counters.outcomes[LOAD_DROPPED] + counters.outcomes[LOAD_TIMEOUT], counters.planned);
        assert_true(load_is_fit(&counters));
        load_free(load);
        for (size_t i = 0; i < ARRAY_SIZE(fillers); i++)
            close(fillers[i]);
        close(fd);
    }
}

static uint64_t all_at_once(const void *context, uint64_t index)
{
    return index < *(const uint64_t *)context ? 0 : UINT64_MAX;
}

/* Requests that never get a connection are failures of the system, and the plan's own function decides when they are due. */
static void requests_without_a_connection_are_dropped(void **state)
{
    const uint64_t burst = 21;

    (void)state;
    for (int resp = 0; resp <= 1; resp++) {
        struct scheduled_server *server = scheduled_server_start(resp != 0, HANG);
        char url[URL_SIZE];
        struct load_counters counters;
        struct load_spec spec = spec_for(server->port, resp != 0, url);
        spec.plan = all_at_once;
        spec.plan_context = &burst;
        spec.timeout_ns = 200 * NS_PER_MS;
        spec.connections_max = 8;
        struct load *load = must_new(&spec);
        uint64_t start_ns = clock_now_ns();
        run_to_end(load, start_ns, start_ns + 50 * NS_PER_MS);
        load_counters(load, &counters);
        assert_int_equal(counters.planned, burst);
        assert_int_equal(counters.outcomes[LOAD_TIMEOUT], 8);
        assert_int_equal(counters.outcomes[LOAD_DROPPED], burst - 8);
        assert_int_equal(load_records_count(load), burst);
        assert_true(load_is_fit(&counters));
        load_free(load);
        server_saw(server, 8);
        scheduled_server_stop(server);
        free(server);
    }
}

static void stop_is_bounded_by_the_time_limit(void **state)
{
    (void)state;
    for (int resp = 0; resp <= 1; resp++) {
        struct scheduled_server *server = scheduled_server_start(resp != 0, HANG);
        char url[URL_SIZE];
        struct load_spec spec = spec_for(server->port, resp != 0, url);
        spec.timeout_ns = 300 * NS_PER_MS;
        struct load *load = must_new(&spec);
        uint64_t patience_ns = give_up_ns(), start_ns = clock_now_ns();
        assert_int_equal(load_start(load, start_ns), 0);
        assert_int_equal(load_start(load, start_ns), -EALREADY);
        while (atomic_load(&server->requests) < 10 && clock_now_ns() < patience_ns)
            (void)poll(NULL, 0, 1);
        uint64_t stop_ns = clock_now_ns();
        assert_int_equal(load_stop(load), 0);
        struct load_counters counters = check_books(load, start_ns, spec.rate_per_s);
        for (uint64_t i = 0; i < counters.planned; i++) {
            const struct load_record *record = load_record_at(load, i);
            assert_int_equal(record->outcome, LOAD_TIMEOUT);
            assert_true(record->planned_ns <= stop_ns + spec.timeout_ns); /* nothing new was planned */
            assert_true(record->done_ns > record->planned_ns + spec.timeout_ns);
        }
        assert_int_equal(load_stop(load), 0);
        scheduled_server_stop(server);
        load_free(load);
        free(server);
    }
}

/* Late planning is the generator's fault and says so; a slow server is not. */
static void only_its_own_lateness_makes_it_unfit(void **state)
{
    struct scheduled_server *server = scheduled_server_start(false, ANSWER);
    char url[URL_SIZE];
    struct load_spec spec = spec_for(server->port, false, url);
    struct load_counters counters;

    (void)state;
    spec.late_after_ns = 500 * NS_PER_MS;
    struct load *load = must_new(&spec);
    uint64_t now_ns = clock_now_ns();
    assert_int_equal(load_start(load, now_ns - NS_PER_S), 0); /* a second behind its plan from the first request on */
    assert_int_equal(load_stop_at(load, now_ns - 600 * NS_PER_MS), 0);
    load_stop(load);
    counters = check_books(load, now_ns - NS_PER_S, spec.rate_per_s);
    assert_int_equal(counters.late, counters.planned);
    assert_false(load_is_fit(&counters));
    load_free(load);

    atomic_store(&server->mode, HANG);
    spec.late_after_ns = 10 * NS_PER_S;
    spec.timeout_ns = 100 * NS_PER_MS;
    spec.connections_max = 1;
    load = run_load(&spec, 300 * NS_PER_MS, &now_ns);
    counters = check_books(load, now_ns, spec.rate_per_s);
    assert_int_equal(counters.ok, 0);
    assert_int_equal(counters.late, 0);
    assert_true(load_is_fit(&counters));
    load_free(load);
    scheduled_server_stop(server);
    free(server);
}

struct reader {
    uint64_t seen, latest_done_ns;
};

static int read_record(void *context, const struct load_record *record)
{
    struct reader *reader = context;

    reader->seen++;
    assert_true(record->outcome < LOAD_OUTCOMES);
    assert_true(record->done_ns >= record->planned_ns);
    assert_true(record->done_ns >= reader->latest_done_ns); /* in order of ending */
    reader->latest_done_ns = record->done_ns;
    return 0;
}

/* Reading while the loop writes: nothing is missed, nothing comes twice; more than one chunk of records. */
static void records_may_be_read_while_running(void **state)
{
    struct scheduled_server *server = scheduled_server_start(true, ANSWER);
    struct reader reader = { 0 };
    struct load_counters counters = { 0 };
    char url[URL_SIZE];
    uint64_t next = 0;

    (void)state;
    struct load_spec spec = spec_for(server->port, true, url);
    spec.rate_per_s = 20000;
    spec.timeout_ns = 10 * NS_PER_MS; /* answered or not, each becomes a record */
    struct load *load = must_new(&spec);
    uint64_t patience_ns = give_up_ns(), start_ns = clock_now_ns();
    assert_int_equal(load_start(load, start_ns), 0);
    while (next < 20000 && clock_now_ns() < patience_ns) {
        next = load_snapshot(load, next, read_record, &reader);
        load_counters(load, &counters);
        assert_true(counters.waiting + counters.in_flight <= counters.planned);
        assert_int_equal(reader.seen, next);
    }
    assert_true(next >= 20000);
    load_stop(load);
    next = load_snapshot(load, next, read_record, &reader);
    check_books(load, start_ns, spec.rate_per_s);
    assert_int_equal(next, load_records_count(load));
    assert_int_equal(reader.seen, next);
    load_free(load);
    scheduled_server_stop(server);
    free(server);
}

static void records_are_bounded(void **state)
{
    struct scheduled_server *server = scheduled_server_start(false, ANSWER);
    struct load_counters counters;
    char url[URL_SIZE];
    uint64_t start_ns;

    (void)state;
    struct load_spec spec = spec_for(server->port, false, url);
    spec.records_max = 5;
    struct load *load = run_load(&spec, 100 * NS_PER_MS, &start_ns);
    load_counters(load, &counters);
    assert_int_equal(load_records_count(load), 5);
    assert_int_equal(counters.planned, 21);
    assert_int_equal(counters.unrecorded, 16);
    load_free(load);
    scheduled_server_stop(server);
    free(server);
}

static void requests_carry_their_ids(void **state)
{
    static const char *const headers[] = { "X-Colour: blue", NULL };
    struct scheduled_server *server = scheduled_server_start(false, ANSWER);
    char url[URL_SIZE], trace_id[LOAD_TRACE_ID_SIZE], other[LOAD_TRACE_ID_SIZE], line[128];
    uint64_t start_ns;

    (void)state;
    struct load_spec spec = spec_for(server->port, false, url);
    spec.rate_per_s = 10;
    spec.run_id = "run-7";
    spec.headers = headers;
    spec.method = "PUT";
    spec.body = "abc";
    spec.body_bytes = 3;
    struct load *load = run_load(&spec, 50 * NS_PER_MS, &start_ns); /* one request: index 0 */
    load_free(load);
    scheduled_server_stop(server);
    load_trace_id(42, "main", 0, trace_id);
    snprintf(line, sizeof(line), "\r\ntraceparent: 00-%s-", trace_id);
    assert_non_null(strstr(server->last_request, line));
    assert_int_equal(strspn(strstr(server->last_request, line) + strlen(line), "0123456789abcdef"), 16);
    assert_non_null(strstr(server->last_request, "\r\nX-Perturb-Run: run-7\r\n"));
    assert_non_null(strstr(server->last_request, "\r\nX-Colour: blue\r\n"));
    assert_int_equal(strncmp(server->last_request, "PUT / HTTP/1.1\r\n", 16), 0);
    load_trace_id(42, "main", 1, other);
    assert_string_not_equal(trace_id, other);
    load_trace_id(43, "main", 0, other);
    assert_string_not_equal(trace_id, other);
    load_trace_id(42, "side", 0, other);
    assert_string_not_equal(trace_id, other);
    free(server);
}

static void bad_specs_are_refused(void **state)
{
    static const char *const no_words[] = { NULL };
    static const char *const words[] = { "PING", NULL };
    static const char *const folded[] = { "A: b\r\nC: d", NULL };
    const struct load_spec http = { .url = "http://127.0.0.1:1/", .rate_per_s = 1 };
    struct load_spec bad[16];
    size_t count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        bad[i] = http;
    bad[count++].url = NULL;
    bad[count++].url = "ftp://127.0.0.1/";
    bad[count++].url = "http://";
    bad[count++].rate_per_s = 0;
    bad[count++].rate_per_s = -1;
    bad[count++].rate_per_s = 1e9;
    bad[count++].timeout_ns = 3600 * NS_PER_S;
    bad[count++].connections_max = 1000000;
    bad[count++].expect_text = "";
    bad[count++].headers = folded;
    bad[count++].command = words;
    bad[count++].method = "GET /x";
    bad[count++].protocol = LOAD_RESP;
    bad[count].protocol = LOAD_RESP;
    bad[count++].url = "redis://:secret@127.0.0.1:1/";
    bad[count].protocol = LOAD_RESP;
    bad[count].url = "redis://127.0.0.1:1";
    bad[count++].command = no_words;
    bad[count++].run_id = "a\r\nb";
    for (size_t i = 0; i < count; i++) {
        struct errs errs = { 0 };
        struct load *load = NULL;
        if (load_new(&bad[i], &errs, &load) != -EINVAL || errs.count == 0 || load)
            fail_msg("bad spec %zu was not refused", i);
    }
}

static void a_load_never_started_ends_cleanly(void **state)
{
    char url[URL_SIZE];

    (void)state;
    for (int resp = 0; resp <= 1; resp++) {
        struct load_spec spec = spec_for(1, resp != 0, url);
        struct load_counters counters;
        struct load *load = must_new(&spec);
        load_counters(load, &counters);
        assert_int_equal(counters.planned, 0);
        assert_int_equal(load_stop(load), -EINVAL);
        assert_null(load_free(load));
    }
    assert_null(load_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_specs_are_refused),
        cmocka_unit_test(a_load_never_started_ends_cleanly),
        cmocka_unit_test(outcomes_are_told_apart),
        cmocka_unit_test(a_dead_kept_connection_is_not_retried),
        cmocka_unit_test(refusal_and_failed_handshake),
        cmocka_unit_test(requests_carry_their_ids),
        cmocka_unit_test(http_stall_shows_in_every_request),
        cmocka_unit_test(resp_stall_shows_in_every_request),
        cmocka_unit_test(unreachable_server_does_not_stall_the_plan),
        cmocka_unit_test(requests_without_a_connection_are_dropped),
        cmocka_unit_test(stop_is_bounded_by_the_time_limit),
        cmocka_unit_test(only_its_own_lateness_makes_it_unfit),
        cmocka_unit_test(records_may_be_read_while_running),
        cmocka_unit_test(records_are_bounded),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
