/* sample-reconnector: a client whose way back to its upstream has a closed form, so that a measured convergence time can be held
 * against physical truth. Each HTTP request needs one PING over the one persistent RESP connection: no pool, no cache, no retry.
 *
 *   TRYING --(PING answered within the deadline)--> UP --(a PING unanswered at its deadline, or the connection ends)--> WAITING
 *   TRYING --(no answer by the deadline, or an error)--> WAITING --(exactly the delay later)--> TRYING
 *
 * 1. A request is answered 200 when its PING is answered, 503 at its deadline, and 503 at once when the state is not UP.
 * 2. Every instant of the machine derives from the instant before it, not from when the loop noticed: with D the deadline and R
 *    the delay, a PING sent at S and never answered means lost at S + D, attempts at S + D + R, S + 2D + 2R, ... (attempt k at
 *    S + k(D + R)), and up at the first attempt that an answer reaches within D. An error ends a state when it is noticed.
 * 3. Each change of state is one line of JSON in --log, written when it happens: {"event","ns","..."}; ns are CLOCK_MONOTONIC,
 *    as strings. `lost` tells sent_ns, the instant its first unanswered PING was sent: the first request that failed. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "playbooks/sample/http.h"
#include "playbooks/sample/net.h"
#include "playbooks/sample/options.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

enum { PINGS_MAX = 8192 };

enum state { WAITING, TRYING, UP };

struct ping {
    struct http_ticket ticket;
    uint64_t sent_ns;
};

struct reconnector {
    uint64_t deadline_ns, delay_ns; /* durations */
    struct net_address upstream;
    struct http_server *server;
    FILE *log;
    enum state state;
    int fd;               /* -1 in WAITING */
    bool connecting;      /* TRYING: the connect is still under way */
    uint64_t entered_ns;  /* TRYING: the attempt's instant; WAITING: the instant it was lost */
    unsigned attempt;     /* since the connection was lost */
    size_t pong_bytes;    /* of the present reply already read */
    struct ping pings[PINGS_MAX]; /* UP: unanswered, oldest first; a ring */
    size_t first, count;
    unsigned long long ok, failed;
    bool stopping;
};

static void log_event(struct reconnector *machine, const char *event, uint64_t ns, const char *reason, uint64_t sent_ns)
{
    fprintf(machine->log, "{\"event\":\"%s\",\"ns\":\"%" PRIu64 "\",\"attempt\":%u", event, ns, machine->attempt);
    if (reason)
        fprintf(machine->log, ",\"reason\":\"%s\"", reason);
    if (sent_ns)
        fprintf(machine->log, ",\"sent_ns\":\"%" PRIu64 "\"", sent_ns);
    fprintf(machine->log, "}\n");
}

static void answer(struct reconnector *machine, struct http_ticket ticket, bool good)
{
    good ? machine->ok++ : machine->failed++;
    http_reply(machine->server, ticket, good ? 200 : 503, "", good ? "{\"pong\":true}\n" : "{\"error\":\"upstream\"}\n");
}

/* UP or TRYING -> WAITING, at the instant `ns`. */
static void connection_lose(struct reconnector *machine, uint64_t ns, const char *reason)
{
    bool was_up = machine->state == UP;
    uint64_t sent_ns = machine->count > 0 ? machine->pings[machine->first].sent_ns : 0;

    if (machine->fd >= 0) {
        http_unwatch(machine->server, machine->fd);
        close(machine->fd);
        machine->fd = -1;
    }
    machine->state = WAITING;
    machine->entered_ns = ns;
    log_event(machine, was_up ? "lost" : "attempt_failed", ns, reason, sent_ns);
    for (; machine->count > 0; machine->count--) {
        answer(machine, machine->pings[machine->first].ticket, false);
        machine->first = (machine->first + 1) % PINGS_MAX;
    }
}

static bool ping_send(struct reconnector *machine)
{
    static const char ping[] = "*1\r\n$4\r\nPING\r\n";

    if (send(machine->fd, ping, sizeof(ping) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(ping) - 1)
        return true;
    connection_lose(machine, clock_now_ns(), "send failed");
    return false;
}

static void pong_take(struct reconnector *machine)
{
    if (machine->state == TRYING) {
        machine->state = UP;
        log_event(machine, "up", clock_now_ns(), NULL, machine->entered_ns);
        machine->attempt = 0;
    } else if (machine->count > 0) {
        answer(machine, machine->pings[machine->first].ticket, true);
        machine->first = (machine->first + 1) % PINGS_MAX;
        machine->count--;
    }
}

static void upstream_read(struct reconnector *machine)
{
    static const char pong[] = "+PONG\r\n";
    char bytes[4096];
    ssize_t got = recv(machine->fd, bytes, sizeof(bytes), 0);

    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        connection_lose(machine, clock_now_ns(), got == 0 ? "closed" : "reset");
        return;
    }
    for (ssize_t i = 0; i < got; i++) {
        if (bytes[i] != pong[machine->pong_bytes]) {
            connection_lose(machine, clock_now_ns(), "not a PONG");
            return;
        }
        if (++machine->pong_bytes == sizeof(pong) - 1) {
            machine->pong_bytes = 0;
            pong_take(machine);
        }
    }
}

static void on_upstream(void *context, uint32_t events)
{
    struct reconnector *machine = context;

    if (machine->connecting) {
        if (net_connect_result(machine->fd) < 0) {
            connection_lose(machine, clock_now_ns(), "connect failed");
            return;
        }
        machine->connecting = false;
        http_unwatch(machine->server, machine->fd);
        if (http_watch(machine->server, machine->fd, EPOLLIN, on_upstream, machine) < 0) {
            connection_lose(machine, clock_now_ns(), "no watch");
            return;
        }
        (void)ping_send(machine);
    } else if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        upstream_read(machine);
    }
}

/* WAITING -> TRYING; `ns` is the instant the rule gives for it. */
static void attempt_begin(struct reconnector *machine, uint64_t ns)
{
    machine->state = TRYING;
    machine->entered_ns = ns;
    machine->connecting = true;
    machine->pong_bytes = 0;
    machine->attempt++;
    log_event(machine, "attempt", ns, NULL, 0);
    if (net_connect_begin(&machine->upstream, &machine->fd) < 0 ||
        http_watch(machine->server, machine->fd, EPOLLOUT, on_upstream, machine) < 0)
        connection_lose(machine, clock_now_ns(), "connect failed");
}

/* When the machine next changes by the clock alone; 0 = never. */
static uint64_t next_change_ns(const struct reconnector *machine)
{
    switch (machine->state) {
    case WAITING: return machine->entered_ns + machine->delay_ns;
    case TRYING: return machine->entered_ns + machine->deadline_ns;
    case UP: break;
    }
    return machine->count > 0 ? machine->pings[machine->first].sent_ns + machine->deadline_ns : 0;
}

static void clock_changes(struct reconnector *machine)
{
    uint64_t due_ns;

    while ((due_ns = next_change_ns(machine)) != 0 && due_ns <= clock_now_ns()) {
        if (machine->state == WAITING)
            attempt_begin(machine, due_ns);
        else
            connection_lose(machine, due_ns, "deadline");
    }
}

static void handle(void *context, const struct http_request *request)
{
    struct reconnector *machine = context;
    char text[160];

    if (strcmp(request->path, "/stats") == 0) {
        static const char *const names[] = { "waiting", "trying", "up" };
        snprintf(text, sizeof(text), "{\"state\":\"%s\",\"attempt\":%u,\"ok\":%llu,\"failed\":%llu}\n", names[machine->state],
                 machine->attempt, machine->ok, machine->failed);
        http_reply(machine->server, request->ticket, 200, "", text);
        return;
    }
    if (machine->state != UP || machine->count == PINGS_MAX || !ping_send(machine)) {
        answer(machine, request->ticket, false);
        return;
    }
    machine->pings[(machine->first + machine->count++) % PINGS_MAX] = (struct ping){ request->ticket, clock_now_ns() };
}

static void on_signal(void *context, uint32_t events)
{
    (void)events;
    ((struct reconnector *)context)->stopping = true;
}

static int machine_start(struct reconnector *machine, uint16_t port, const char *upstream, int signal_fd)
{
    int listen_fd = -1;
    int rc = net_address_parse(upstream, &machine->upstream);

    if (rc == 0)
        rc = net_listen("127.0.0.1", port, &listen_fd, &port);
    if (rc == 0)
        rc = http_new(listen_fd, handle, machine, &machine->server);
    if (rc == 0)
        rc = http_watch(machine->server, signal_fd, EPOLLIN, on_signal, machine);
    if (rc < 0)
        return rc;
    printf("sample-reconnector: listening on 127.0.0.1:%u\n", (unsigned)port);
    fflush(stdout);
    attempt_begin(machine, clock_now_ns());
    return 0;
}

int main(int argc, char **argv)
{
    static struct reconnector machine = { .deadline_ns = 100 * NS_PER_MS, .delay_ns = 500 * NS_PER_MS, .fd = -1 };
    const char *upstream = getenv("STORE_ADDR") ? getenv("STORE_ADDR") : "127.0.0.1:6379";
    const char *log_path = NULL;
    int64_t port = 0;
    const struct option_spec specs[] = {
        { "--port", OPTION_COUNT, &port, 0, 65535, NULL, "HTTP port; 0 picks one (printed)" },
        { "--upstream", OPTION_TEXT, &upstream, 0, 0, NULL, "HOST:PORT (STORE_ADDR, 127.0.0.1:6379)" },
        { "--deadline", OPTION_DURATION, &machine.deadline_ns, 0, 0, NULL, "of a request and of an attempt (100ms)" },
        { "--reconnect-delay", OPTION_DURATION, &machine.delay_ns, 0, 0, NULL, "from a loss to the next attempt (500ms)" },
        { "--log", OPTION_TEXT, &log_path, 0, 0, NULL, "state changes as JSON lines (stderr)" },
        { 0 }
    };
    sigset_t signals;

    int rc = options_parse(specs, argc, argv);
    if (rc != 0)
        return rc < 0 ? 64 : 0;
    if (machine.deadline_ns == 0 || machine.delay_ns == 0) {
        fprintf(stderr, "sample-reconnector: --deadline and --reconnect-delay must be above 0\n");
        return 64;
    }
    net_raise_descriptor_limit();
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    machine.log = log_path ? fopen(log_path, "we") : stderr;
    AUTO_CLOSE int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (machine.log)
        setvbuf(machine.log, NULL, _IOLBF, 0);
    rc = !machine.log || signal_fd < 0 ? -errno : machine_start(&machine, (uint16_t)port, upstream, signal_fd);
    if (rc < 0) {
        fprintf(stderr, "sample-reconnector: cannot start: %s\n", strerror(-rc));
        return 69;
    }
    while (!machine.stopping) {
        clock_changes(&machine);
        http_step(machine.server, next_change_ns(&machine));
    }
    if (machine.fd >= 0)
        close(machine.fd);
    http_free(machine.server);
    if (log_path)
        fclose(machine.log);
    return 0;
}
