/* The shim under real programs: an allocator that is not libc's, forking and event-driven servers, an interpreter. */
#include "tests/component/shim.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static void need(const char *program)
{
    if (access(program, X_OK) == 0)
        return;
    print_message("skipped: no %s\n", program);
    skip();
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
    uint64_t end_ns = clock_now_ns() + (uint64_t)deadline_ms() * NS_PER_MS;

    while (clock_now_ns() < end_ns) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
            return fd;
        close(fd);
        poll(NULL, 0, 5);
    }
    fail_msg("nobody listens on %d", port);
    return -1;
}

/* One request, and what comes back until `mark` or the end; returns the last result of recv. */
static ssize_t converse(int fd, const char *request, const char *mark, char *answer, size_t size)
{
    size_t length = 0;
    ssize_t got = 0;

    answer[0] = '\0';
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    while (!strstr(answer, mark)) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };

        if (poll(&ready, 1, deadline_ms()) <= 0)
            fail_msg("no answer to '%s'", request);
        got = recv(fd, answer + length, size - 1 - length, 0);
        if (got <= 0)
            break;
        length += (size_t)got;
        answer[length] = '\0';
    }
    return got;
}

static struct victim start_redis(struct bench *bench, uint16_t port)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", port);
    return victim_start(bench, (char *)(uintptr_t)"/usr/bin/redis-server", "--port", text, "--save", "", "--bind", "127.0.0.1", "--dir",
                        bench->folder, "--loglevel", "warning");
}

static void stop(struct victim *victim)
{
    kill(victim->pid, SIGTERM);
    (void)victim_end(victim, NULL, 0);
}

/* Redis with its jemalloc: the family goes to jemalloc whole, big blocks fail, the server says so and lives. */
static void redis_and_its_allocator(void **state)
{
    static char answer[8192], big[8192];
    struct bench *bench = *state;
    struct victim victim;
    uint16_t port;
    int fd;

    need("/usr/bin/redis-server");
    port = free_port();
    bench_arm(bench, 1, "alloc_fail:observe=true,name=seen");
    victim = start_redis(bench, port);
    fd = connect_to(port);
    assert_true(converse(fd, "PING\r\n", "PONG", answer, sizeof(answer)) > 0);
    for (int i = 0; i < 200; i++) {
        snprintf(big, sizeof(big), "SET key%d %0*d\r\n", i, 100 + i * 30, 7);
        assert_true(converse(fd, big, "OK", answer, sizeof(answer)) > 0);
    }
    assert_true(bench_status(bench, 0).counts.fired > 200);
    stop(&victim);
    close(fd);
}

/* A slow and then failing disk-less peer: latency and short reads on the sockets of an event loop change no byte. */
static void redis_with_short_io(void **state)
{
    static char answer[8192], request[4096];
    struct bench *bench = *state;
    struct victim victim;
    uint16_t port;
    int fd;

    need("/usr/bin/redis-server");
    port = free_port();
    bench_arm(bench, 1, "short_io@recv:3,name=in", "short_io@send:5,name=out");
    victim = start_redis(bench, port);
    fd = connect_to(port);
    snprintf(request, sizeof(request), "SET key %0*d\r\n", 1000, 7);
    assert_true(converse(fd, request, "OK\r\n", answer, sizeof(answer)) > 0);
    assert_true(converse(fd, "GET key\r\n", "7\r\n", answer, sizeof(answer)) > 0);
    assert_int_equal(strlen(answer), 1000 + strlen("$1000\r\n\r\n"));
    assert_true(bench_status(bench, 0).counts.fired >= 300);
    assert_true(bench_status(bench, 1).counts.fired >= 100);
    stop(&victim);
    close(fd);
}

static void redis_loses_a_connection(void **state)
{
    char answer[256];
    struct bench *bench = *state;
    struct victim victim;
    uint16_t port;
    int fd;

    need("/usr/bin/redis-server");
    port = free_port();
    victim = start_redis(bench, port);
    fd = connect_to(port);
    assert_true(converse(fd, "PING\r\n", "PONG", answer, sizeof(answer)) > 0);
    bench_arm(bench, 1, "drop_connection@recv:once=true,peer=127.0.0.1");
    assert_true(converse(fd, "PING\r\n", "PONG", answer, sizeof(answer)) < 0);
    assert_int_equal(errno, ECONNRESET);
    close(fd);
    fd = connect_to(port); /* the server itself is well */
    assert_true(converse(fd, "PING\r\n", "PONG", answer, sizeof(answer)) > 0);
    assert_int_equal(bench_status(bench, 0).counts.fired, 1);
    stop(&victim);
    close(fd);
}

/* Master and workers by fork, answers by writev and sendfile. */
static void nginx_answers_in_crumbs(void **state)
{
    static char answer[65536];
    struct bench *bench = *state;
    char config[300], path[256];
    struct page_process list[8];
    struct victim victim;
    const char *body;
    uint64_t end_ns;
    uint16_t port;
    FILE *file;
    int fd;

    need("/usr/sbin/nginx");
    port = free_port();
    assert_int_equal(chmod(bench->folder, 0700), 0);
    snprintf(path, sizeof(path), "%s/page.txt", bench->folder);
    file = fopen(path, "we");
    for (int i = 0; i < 4000; i++)
        fprintf(file, "%07d\n", i);
    fclose(file);
    snprintf(path, sizeof(path), "%s/nginx.conf", bench->folder);
    file = fopen(path, "we");
    fprintf(file,
            "daemon off; %s worker_processes 2; pid %s/nginx.pid; error_log %s/error.log;\n"
            "events {} http { access_log off; sendfile on; client_body_temp_path %s/a; proxy_temp_path %s/b; fastcgi_temp_path %s/c;\n"
            "uwsgi_temp_path %s/d; scgi_temp_path %s/e; server { listen 127.0.0.1:%u; root %s; } }\n",
            geteuid() == 0 ? "user root;" : "", bench->folder, bench->folder, bench->folder, bench->folder, bench->folder, bench->folder,
            bench->folder, port, bench->folder);
    fclose(file);
    snprintf(config, sizeof(config), "%s", path);
    bench_arm(bench, 1, "short_io@send:1000");
    victim = victim_start(bench, (char *)(uintptr_t)"/usr/sbin/nginx", "-c", config);
    fd = connect_to(port);
    assert_int_equal(converse(fd, "GET /page.txt HTTP/1.0\r\n\r\n", "0003999\n", answer, sizeof(answer)) > 0, 1);
    body = strstr(answer, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(strlen(body + 4), 32000);
    for (int i = 0; i < 4000; i++)
        assert_int_equal(strtol(body + 4 + (ptrdiff_t)i * 8, NULL, 10), i);
    assert_true(bench_status(bench, 0).counts.fired >= 31);
    end_ns = clock_now_ns() + (uint64_t)deadline_ms() * NS_PER_MS;
    while (page_processes(bench->page, list, 8) != 3) { /* the second worker may come after the first has answered */
        assert_true(clock_now_ns() < end_ns);
        sched_yield();
    }
    stop(&victim);
    close(fd);
}

static void python_raises_memory_error(void **state)
{
    struct bench *bench = *state;
    struct victim victim;
    char text[256];
    unsigned long long hits;

    need("/usr/bin/python3");
    bench_arm(bench, 1, "alloc_fail:nth=10,size>=300KiB");
    victim = victim_start(bench, (char *)(uintptr_t)"/usr/bin/python3", "-c",
                          "n = 0\n"
                          "for i in range(500):\n"
                          "    try: bytearray(400000)\n"
                          "    except MemoryError: n += 1\n"
                          "print(n)\n");
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    hits = strtoull(text, NULL, 10);
    assert_true(hits >= 49 && hits <= 51);
    assert_in_range(bench_status(bench, 0).counts.fired, hits, hits + 1); /* one may have met the start */
}

static void curl_is_told_no(void **state)
{
    struct bench *bench = *state;
    struct victim victim;

    need("/usr/bin/curl");
    bench_arm(bench, 1, "fail@connect:ECONNREFUSED,peer=127.0.0.1");
    victim = victim_start(bench, (char *)(uintptr_t)"/usr/bin/curl", "-s", "http://127.0.0.1:9/");
    assert_int_equal(victim_end(&victim, NULL, 0), 7); /* CURLE_COULDNT_CONNECT */
    assert_int_equal(bench_status(bench, 0).counts.fired, 1);
}

/* connect() goes elsewhere: redis-cli asks a port where nobody listens, and is answered. After the lease it is not. */
static void connects_are_redirected(void **state)
{
    struct bench *bench = *state;
    struct control_redirect redirect = { .match = { .family = AF_INET, .prefix_bits = 8, .address = { 127 }, .port_first = 9, .port_last = 9, .present = 1 } };
    struct plan *plan = calloc(1, PLAN_SIZE(0));
    struct victim server, client;
    char text[256];
    uint16_t port;

    need("/usr/bin/redis-server");
    port = free_port();
    server = start_redis(bench, port);
    close(connect_to(port));
    *plan = (struct plan){ PLAN_MAGIC, PLAN_VERSION, sizeof(struct plan_rule), 0, 1, 1 };
    redirect.port = port;
    assert_int_equal(page_publish(bench->page, plan, &redirect, 1, 60 * NS_PER_S), 0);
    for (int i = 0; i < 2; i++) {
        client = victim_start(bench, (char *)(uintptr_t)"/usr/bin/redis-cli", "-h", i ? "localhost" : "127.0.0.1", "-p", "9", "ping");
        assert_int_equal(victim_end(&client, text, sizeof(text)), 0);
        assert_string_equal(text, "PONG\n");
    }
    assert_int_equal(page_release(bench->page), 0);
    client = victim_start(bench, (char *)(uintptr_t)"/usr/bin/redis-cli", "-p", "9", "ping");
    assert_int_equal(victim_end(&client, text, sizeof(text)), 1);
    free(plan);
    stop(&server);
}

/* A key that lives an hour is gone when the wall clock has jumped over it, and Redis goes on; the monotonic clock is let alone. */
static void redis_forgets_a_key_by_a_jump(void **state)
{
    char answer[256];
    struct bench *bench = *state;
    struct victim victim;
    uint16_t port;
    int fd;

    need("/usr/bin/redis-server");
    port = free_port();
    victim = start_redis(bench, port);
    fd = connect_to(port);
    assert_true(converse(fd, "SET key value EX 3600\r\n", "OK", answer, sizeof(answer)) > 0);
    assert_true(converse(fd, "TTL key\r\n", "\r\n", answer, sizeof(answer)) > 0);
    assert_in_range(strtol(answer + 1, NULL, 10), 3590, 3600);
    bench_arm(bench, 1, "clock:30m");
    assert_true(converse(fd, "TTL key\r\n", "\r\n", answer, sizeof(answer)) > 0);
    assert_in_range(strtol(answer + 1, NULL, 10), 1790, 1800);
    bench_arm(bench, 1, "clock:2h,name=farther");
    assert_true(converse(fd, "EXISTS key\r\n", "\r\n", answer, sizeof(answer)) > 0);
    assert_string_equal(answer, ":0\r\n");
    assert_true(bench_status(bench, 0).counts.fired > 0);
    assert_int_equal(page_release(bench->page), 0);
    assert_true(converse(fd, "PING\r\n", "PONG", answer, sizeof(answer)) > 0);
    stop(&victim);
    close(fd);
}

/* An interpreter and a small tool are shown another time; a sleep of 8 s at eight times the speed takes about one. */
static void python_and_date_live_in_another_time(void **state)
{
    struct bench *bench = *state;
    uint64_t begin_ns = clock_now_ns(), taken_ns;
    struct victim victim;
    char text[256];

    need("/usr/bin/python3");
    bench_arm(bench, 1, "clock:rate=8,clock=both");
    victim = victim_start(bench, (char *)(uintptr_t)"/usr/bin/python3", "-c",
                          "import time, threading\n"
                          "a = time.monotonic(); time.sleep(4); threading.Event().wait(4)\n"
                          "print(time.monotonic() - a >= 8)\n");
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    taken_ns = clock_now_ns() - begin_ns;
    assert_string_equal(text, "True\n");
    assert_true(taken_ns >= NS_PER_S - NS_PER_S / 100 && taken_ns < 7 * NS_PER_S);
    bench_arm(bench, 1, "clock:365d");
    victim = victim_start(bench, (char *)(uintptr_t)"/bin/date", "+%s");
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    assert_in_range(strtoll(text, NULL, 10), (long long)(clock_wall_ns() / NS_PER_S) + 365 * 86400 - 60,
                    (long long)(clock_wall_ns() / NS_PER_S) + 365 * 86400);
    assert_int_equal(bench_status(bench, 0).counts.fired, 1);
}

static void curl_finds_no_host(void **state)
{
    struct bench *bench = *state;
    struct victim victim;

    need("/usr/bin/curl");
    bench_arm(bench, 1, "dns_fail:nxdomain,host=db.test");
    victim = victim_start(bench, (char *)(uintptr_t)"/usr/bin/curl", "-s", "http://db.test/");
    assert_int_equal(victim_end(&victim, NULL, 0), 6); /* CURLE_COULDNT_RESOLVE_HOST */
    assert_in_range(bench_status(bench, 0).counts.fired, 1, 2);
    bench_arm(bench, 1, "dns_fail:wrong,host=db.test,address=127.0.0.1"); /* found, and nobody is there */
    victim = victim_start(bench, (char *)(uintptr_t)"/usr/bin/curl", "-s", "http://db.test:9/");
    assert_int_equal(victim_end(&victim, NULL, 0), 7); /* CURLE_COULDNT_CONNECT */
}

/* A client is led to another server by a wrong address. */
static void redis_cli_meets_a_wrong_server(void **state)
{
    struct bench *bench = *state;
    struct victim server, client;
    char number[16], text[256];
    uint16_t port;

    need("/usr/bin/redis-server");
    port = free_port();
    server = start_redis(bench, port);
    close(connect_to(port));
    snprintf(number, sizeof(number), "%u", port);
    bench_arm(bench, 1, "dns_fail:wrong,host=*.example");
    client = victim_start(bench, (char *)(uintptr_t)"/usr/bin/redis-cli", "-h", "cache.example", "-p", number, "ping");
    assert_int_equal(victim_end(&client, text, sizeof(text)), 0);
    assert_string_equal(text, "PONG\n");
    bench_arm(bench, 1, "dns_fail:servfail,host=*.example");
    client = victim_start(bench, (char *)(uintptr_t)"/usr/bin/redis-cli", "-h", "cache.example", "-p", number, "ping");
    assert_int_equal(victim_end(&client, text, sizeof(text)), 1);
    stop(&server);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(redis_and_its_allocator), CASE(redis_with_short_io),        CASE(redis_loses_a_connection), CASE(nginx_answers_in_crumbs),
        CASE(python_raises_memory_error), CASE(curl_is_told_no), CASE(connects_are_redirected),
        CASE(redis_forgets_a_key_by_a_jump), CASE(python_and_date_live_in_another_time), CASE(curl_finds_no_host),
        CASE(redis_cli_meets_a_wrong_server),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (skipped_whole())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
