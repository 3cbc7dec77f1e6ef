/* The sample system as shipped: real processes, real sockets, faults by killing, stopping and restarting the store.
 * Waits are for events seen in /stats or in answers, each with a deadline; the programs lie in $BUILD (default "build"). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

enum { ARGUMENTS_MAX = 12, TEXT_SIZE = 2048 };

struct program {
    pid_t pid; /* 0: not running */
    unsigned port;
};

struct answer {
    long status; /* 0: none within the time limit */
    char body[TEXT_SIZE];
    char source[16];
};

extern char **environ;

static pid_t running[16]; /* of the present test; a failed one leaves some to the teardown */

static uint64_t give_up_ns(void)
{
    const char *text = getenv("PERTURB_TEST_TIMEOUT_MS");

    return clock_now_ns() + (text ? strtoull(text, NULL, 10) : 20000) * NS_PER_MS;
}

/* Reads "NAME: listening on HOST:PORT". */
static unsigned read_port(int fd)
{
    char line[256] = "";
    size_t length = 0;
    struct pollfd readable = { .fd = fd, .events = POLLIN };

    while (!strchr(line, '\n')) {
        assert_true(poll(&readable, 1, 20000) == 1);
        ssize_t got = read(fd, line + length, sizeof(line) - 1 - length);
        assert_true(got > 0);
        length += (size_t)got;
        line[length] = '\0';
    }
    return (unsigned)strtoul(strrchr(line, ':') + 1, NULL, 10);
}

/* Starts $BUILD/NAME with flags (NULL-terminated) and waits until it listens. */
static struct program start(const char *name, const char *const *flags)
{
    const char *build = getenv("BUILD");
    char path[512];
    char *argv[ARGUMENTS_MAX + 2] = { path };
    struct program program = { 0 };
    posix_spawn_file_actions_t actions;
    int out[2];

    snprintf(path, sizeof(path), "%s/%s", build ? build : "build", name);
    for (size_t i = 0; flags[i]; i++)
        argv[i + 1] = (char *)(uintptr_t)flags[i];
    assert_int_equal(pipe(out), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, out[0]);
    posix_spawn_file_actions_addclose(&actions, out[1]);
    if (posix_spawn(&program.pid, path, &actions, NULL, argv, environ) != 0)
        fail_msg("cannot start %s; build it first", path);
    for (size_t i = 0; i < ARRAY_SIZE(running); i++)
        if (running[i] == 0) {
            running[i] = program.pid;
            break;
        }
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    program.port = read_port(out[0]);
    close(out[0]);
    return program;
}

static struct program start_store(unsigned port)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", port);
    return start("sample-store", (const char *const[]){ "--port", text, NULL });
}

static struct program start_shop(const struct program *store, const char *flag)
{
    char address[64];

    snprintf(address, sizeof(address), "127.0.0.1:%u", store->port);
    return start("sample-shop", (const char *const[]){ "--port", "0", "--store", address, "--work", "0", flag, NULL });
}

static void forget(pid_t pid)
{
    for (size_t i = 0; i < ARRAY_SIZE(running); i++)
        if (running[i] == pid)
            running[i] = 0;
}

static int end_leftovers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(running); i++)
        if (running[i] > 0) {
            (void)kill(running[i], SIGKILL);
            (void)waitpid(running[i], NULL, 0);
            running[i] = 0;
        }
    return 0;
}

/* Ends it with a signal; returns the exit status, or minus the signal that ended it. */
static int end(struct program *program, int signal_number)
{
    uint64_t patience_ns = give_up_ns();
    int status = 0;
    pid_t gone = 0;

    (void)kill(program->pid, signal_number);
    while (gone == 0 && clock_now_ns() < patience_ns) {
        gone = waitpid(program->pid, &status, WNOHANG);
        if (gone == 0)
            (void)poll(NULL, 0, 1);
    }
    if (gone == 0)
        fail_msg("pid %d did not end by signal %d", (int)program->pid, signal_number);
    forget(program->pid);
    program->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static size_t take_body(char *bytes, size_t size, size_t count, void *user)
{
    struct answer *answer = user;
    size_t length = strlen(answer->body);

    if (length + size * count < sizeof(answer->body)) {
        memcpy(answer->body + length, bytes, size * count);
        answer->body[length + size * count] = '\0';
    }
    return size * count;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *user)
{
    struct answer *answer = user;

    if (size * count > 12 && strncmp(bytes, "X-Source: ", 10) == 0)
        snprintf(answer->source, sizeof(answer->source), "%.*s", (int)(size * count - 12), bytes + 10);
    return size * count;
}

static struct answer get(const struct program *program, const char *path, long timeout_ms)
{
    struct answer answer = { 0 };
    CURL *easy = curl_easy_init();
    char url[128];

    assert_non_null(easy);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", program->port, path);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &answer);
    if (curl_easy_perform(easy) == CURLE_OK)
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer.status);
    curl_easy_cleanup(easy);
    return answer;
}

static unsigned long long stat_of(const struct program *shop, const char *name)
{
    struct answer answer = get(shop, "/stats", 10000);
    char key[64];

    assert_int_equal(answer.status, 200);
    snprintf(key, sizeof(key), "\"%s\":", name);
    const char *at = strstr(answer.body, key);
    assert_non_null(at);
    return strtoull(at + strlen(key), NULL, 10);
}

static bool breaker_is(const struct program *shop, const char *state)
{
    char text[64];

    snprintf(text, sizeof(text), "\"breaker_state\":\"%s\"", state);
    return strstr(get(shop, "/stats", 10000).body, text) != NULL;
}

/* Asks for an item until its answer comes from `source`. */
static void wait_for_source(const struct program *shop, const char *source)
{
    uint64_t patience_ns = give_up_ns();

    while (strcmp(get(shop, "/item/1", 10000).source, source) != 0)
        assert_true(clock_now_ns() < patience_ns);
}

static void wait_for_stat(const struct program *shop, const char *name, unsigned long long least)
{
    uint64_t patience_ns = give_up_ns();

    while (stat_of(shop, name) < least)
        assert_true(clock_now_ns() < patience_ns);
}

/* Sends `bytes` to a port and reads until `expected` has come in full. */
static void converse(unsigned port, const char *bytes, const char *expected)
{
    const struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                         .sin_port = htons((uint16_t)port) };
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct pollfd readable = { .fd = fd, .events = POLLIN };
    char text[TEXT_SIZE] = "";
    size_t length = 0;

    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), strlen(bytes));
    while (length < strlen(expected) && poll(&readable, 1, 20000) == 1) {
        ssize_t got = recv(fd, text + length, sizeof(text) - 1 - length, 0);
        if (got <= 0)
            break;
        length += (size_t)got;
        text[length] = '\0';
    }
    assert_string_equal(text, expected);
}

static void store_speaks_resp(void **state)
{
    static const struct {
        const char *ask, *answer;
    } cases[] = {
        { "PING\r\n", "+PONG\r\n" },
        { "*1\r\n$4\r\nPING\r\n", "+PONG\r\n" },
        { "*2\r\n$4\r\nping\r\n$2\r\nhi\r\n", "$2\r\nhi\r\n" },
        { "GET none\r\n", "$-1\r\n" },
        { "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "+OK\r\n$4\r\na\r\nb\r\n" },
        { "INCR n\r\nINCR n\r\nGET n\r\n", ":1\r\n:2\r\n$1\r\n2\r\n" },
        { "SET w word\r\nINCR w\r\n", "+OK\r\n-ERR value is not an integer or out of range\r\n" },
        { "NOSUCH 1\r\n", "-ERR unknown command 'NOSUCH'\r\n" },
        { "GET\r\n", "-ERR wrong number of arguments for 'GET' command\r\n" },
        { "\r\nPING\r\n", "+PONG\r\n" },
        { "QUIT\r\n", "+OK\r\n" },
    };
    struct program store = start_store(0);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        converse(store.port, cases[i].ask, cases[i].answer);
    assert_int_equal(end(&store, SIGTERM), 0);
}

static void shop_serves_what_the_store_holds(void **state)
{
    struct program store = start_store(0);
    struct program shop = start_shop(&store, NULL);

    (void)state;
    converse(store.port, "SET item:7 12\r\n", "+OK\r\n");
    struct answer answer = get(&shop, "/item/7", 10000);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.source, "store");
    assert_string_equal(answer.body, "{\"item\":\"7\",\"stock\":\"12\",\"source\":\"store\"}\n");
    answer = get(&shop, "/item/unknown", 10000);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "{\"item\":\"unknown\",\"stock\":\"0\",\"source\":\"store\"}\n");
    assert_int_equal(get(&shop, "/item/a%20b", 10000).status, 404);
    assert_int_equal(get(&shop, "/healthz", 10000).status, 200);
    assert_int_equal(get(&shop, "/nothing", 10000).status, 404);
    assert_int_equal(stat_of(&shop, "requests"), 2);
    assert_int_equal(stat_of(&shop, "store_attempts"), 2); /* one request, one GET */
    assert_int_equal(stat_of(&shop, "pool_in_use"), 0);
    /* pipelined requests are answered in order */
    converse(shop.port, "GET /healthz HTTP/1.1\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n",
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"ok\"}\n"
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"ok\"}\n");
    assert_int_equal(end(&shop, SIGTERM), 0);
    assert_int_equal(end(&store, SIGTERM), 0);
}

/* Killed store: stale answers, the breaker opens; restarted: the breaker closes and answers are fresh again. */
static void shop_falls_back_and_comes_back(void **state)
{
    struct program store = start_store(0);
    struct program shop = start_shop(&store, NULL);
    unsigned port = store.port;

    (void)state;
    converse(port, "SET item:1 5\r\n", "+OK\r\n");
    assert_string_equal(get(&shop, "/item/1", 10000).source, "store");
    assert_int_equal(end(&store, SIGKILL), -SIGKILL);
    uint64_t patience_ns = give_up_ns();
    while (!breaker_is(&shop, "open")) {
        struct answer answer = get(&shop, "/item/1", 10000);
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.source, "cache");
        assert_string_equal(answer.body, "{\"item\":\"1\",\"stock\":\"5\",\"source\":\"cache\"}\n");
        assert_true(clock_now_ns() < patience_ns);
    }
    assert_int_equal(get(&shop, "/item/2", 10000).status, 503); /* never seen: nothing to fall back to */
    assert_int_equal(get(&shop, "/healthz", 10000).status, 200);
    assert_true(stat_of(&shop, "retries") <= 12); /* the budget of ten, and what was earned meanwhile */

    store = start_store(port);
    converse(port, "SET item:1 6\r\n", "+OK\r\n");
    wait_for_source(&shop, "store");
    patience_ns = give_up_ns();
    while (!breaker_is(&shop, "closed")) {
        (void)get(&shop, "/item/1", 10000);
        assert_true(clock_now_ns() < patience_ns);
    }
    assert_string_equal(get(&shop, "/item/1", 10000).body, "{\"item\":\"1\",\"stock\":\"6\",\"source\":\"store\"}\n");
    assert_int_equal(stat_of(&shop, "breaker_closed"), 1);
    assert_int_equal(end(&shop, SIGTERM), 0);
    assert_int_equal(end(&store, SIGTERM), 0);
}

/* A stopped store accepts and never answers. The same load that the resilient form answers leaves the naive one hanging. */
static void silent_store_hangs_only_the_naive_form(void **state)
{
    struct program store = start_store(0);
    struct program shop = start_shop(&store, NULL), naive = start_shop(&store, "--naive");

    (void)state;
    assert_string_equal(get(&shop, "/item/1", 10000).source, "store");
    assert_string_equal(get(&naive, "/item/1", 10000).source, "store");
    assert_int_equal(kill(store.pid, SIGSTOP), 0);
    for (int i = 0; i < 20; i++) {
        assert_string_equal(get(&shop, "/item/1", 10000).source, "cache");
        assert_int_equal(get(&naive, "/item/1", 20).status, 0);
    }
    assert_int_equal(stat_of(&naive, "pool_in_use"), 8);   /* every worker waits for the store ... */
    assert_int_equal(stat_of(&naive, "queue_length"), 12); /* ... and the work of clients long gone piles up */
    assert_int_equal(get(&naive, "/healthz", 10000).status, 200);
    assert_true(stat_of(&shop, "breaker_opened") >= 1);
    assert_int_equal(stat_of(&shop, "failed"), 0);

    assert_int_equal(kill(store.pid, SIGCONT), 0);
    wait_for_stat(&naive, "ok", 21); /* the naive form does all the old work before anything new */
    wait_for_source(&shop, "store");
    assert_int_equal(kill(store.pid, SIGSTOP), 0);
    assert_int_equal(get(&naive, "/item/1", 20).status, 0);
    assert_int_equal(end(&naive, SIGTERM), 0); /* with a worker waiting without limit */
    assert_int_equal(end(&shop, SIGTERM), 0);
    assert_int_equal(end(&store, SIGKILL), -SIGKILL);
}

/* Endless immediate retries against a dead store: attempts per request explode in the naive form, and only there. */
static void naive_retries_storm(void **state)
{
    struct program store = start_store(0);
    struct program shop = start_shop(&store, NULL), naive = start_shop(&store, "--naive");

    (void)state;
    wait_for_source(&shop, "store");
    assert_int_equal(end(&store, SIGKILL), -SIGKILL);
    assert_int_equal(get(&naive, "/item/1", 50).status, 0);
    wait_for_stat(&naive, "retries", 1000);
    for (int i = 0; i < 10; i++)
        assert_int_equal(get(&shop, "/item/1", 10000).status, 200);
    assert_true(stat_of(&shop, "store_attempts") < 40);
    assert_int_equal(end(&naive, SIGTERM), 0);
    assert_int_equal(end(&shop, SIGTERM), 0);
}

static void flags_are_checked(void **state)
{
    static const char *const bad[][4] = { { "--port", "70000", NULL }, { "--timeout", "50", NULL }, { "--nonsense", NULL },
                                          { "--pool", NULL }, { "--naive=1", NULL }, { "--pool", "0", NULL } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char path[512];
        char *argv[6] = { path };
        int status;
        pid_t pid;
        posix_spawn_file_actions_t actions;
        snprintf(path, sizeof(path), "%s/sample-shop", getenv("BUILD") ? getenv("BUILD") : "build");
        for (size_t k = 0; bad[i][k]; k++)
            argv[k + 1] = (char *)(uintptr_t)bad[i][k];
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 1, 0);
        assert_int_equal(posix_spawn(&pid, path, &actions, NULL, argv, environ), 0);
        posix_spawn_file_actions_destroy(&actions);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 64);
    }
}

static uint64_t field_of(const char *line, const char *name)
{
    char key[32];

    snprintf(key, sizeof(key), "\"%s\":\"", name);
    const char *at = strstr(line, key);
    assert_non_null(at);
    return strtoull(at + strlen(key), NULL, 10);
}

static bool reconnector_is(const struct program *program, const char *state)
{
    char text[64];

    snprintf(text, sizeof(text), "\"state\":\"%s\"", state);
    return strstr(get(program, "/stats", 10000).body, text) != NULL;
}

/* The log of a loss must follow the closed form to the nanosecond: lost at S + D, attempt k at S + k (D + R). */
static void check_closed_form(const char *log, uint64_t deadline_ns, uint64_t delay_ns)
{
    const char *lost = strstr(log, "{\"event\":\"lost\"");
    unsigned attempts = 0, failed = 0;

    assert_non_null(lost);
    uint64_t sent_ns = field_of(lost, "sent_ns");
    assert_int_equal(field_of(lost, "ns"), sent_ns + deadline_ns);
    const char *line = strchr(lost, '\n') + 1;
    for (; *line && strncmp(line, "{\"event\":\"up\"", 13) != 0; line = strchr(line, '\n') + 1) {
        bool is_attempt = strncmp(line, "{\"event\":\"attempt\"", 18) == 0;
        attempts += is_attempt;
        failed += !is_attempt;
        uint64_t begun_ns = sent_ns + attempts * (deadline_ns + delay_ns);
        assert_int_equal(field_of(line, "ns"), is_attempt ? begun_ns : begun_ns + deadline_ns);
    }
    assert_true(failed >= 2);
    assert_int_equal(attempts, failed + 1);
}

static void reconnector_follows_its_closed_form(void **state)
{
    char address[64], path[] = "/tmp/perturb-reconnector-XXXXXX";
    struct program store = start_store(0);
    struct buf log;
    uint64_t patience_ns = give_up_ns();

    (void)state;
    close(mkstemp(path));
    snprintf(address, sizeof(address), "127.0.0.1:%u", store.port);
    struct program client = start("sample-reconnector", (const char *const[]){ "--upstream", address, "--deadline", "50ms",
                                                                              "--reconnect-delay", "150ms", "--log", path, NULL });
    while (!reconnector_is(&client, "up"))
        assert_true(clock_now_ns() < patience_ns);
    assert_int_equal(get(&client, "/", 10000).status, 200);
    assert_int_equal(kill(store.pid, SIGSTOP), 0);
    assert_int_equal(get(&client, "/", 10000).status, 503); /* at its deadline */
    assert_int_equal(get(&client, "/", 10000).status, 503); /* at once */
    while (!strstr(get(&client, "/stats", 10000).body, "\"attempt\":3"))
        assert_true(clock_now_ns() < patience_ns);
    assert_int_equal(kill(store.pid, SIGCONT), 0);
    while (!reconnector_is(&client, "up"))
        assert_true(clock_now_ns() < patience_ns);
    assert_int_equal(get(&client, "/", 10000).status, 200);
    assert_int_equal(end(&client, SIGTERM), 0);
    buf_init(&log, 65536);
    assert_int_equal(buf_read_file(&log, path), 0);
    check_closed_form(log.data, 50 * NS_PER_MS, 150 * NS_PER_MS);
    buf_done(&log);
    unlink(path);
    assert_int_equal(end(&store, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(flags_are_checked, end_leftovers),
        cmocka_unit_test_teardown(store_speaks_resp, end_leftovers),
        cmocka_unit_test_teardown(shop_serves_what_the_store_holds, end_leftovers),
        cmocka_unit_test_teardown(shop_falls_back_and_comes_back, end_leftovers),
        cmocka_unit_test_teardown(silent_store_hangs_only_the_naive_form, end_leftovers),
        cmocka_unit_test_teardown(naive_retries_storm, end_leftovers),
        cmocka_unit_test_teardown(reconnector_follows_its_closed_form, end_leftovers),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return failed;
}
