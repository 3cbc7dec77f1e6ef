/* What the proxy costs: throughput, CPU and round trips through it against none, interleaved, every byte compared; what an idle
 * connection takes; how late a held byte goes, asleep and spinning; and how far the instant of a fault's first effect lies from its victim's own. Figures belong to the machine; read the ratios.
 * Client and server run on one core, the proxy on another where there are two. */
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "tests/support/wire_peer.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 5, BLOCK = 65536, BLOCKS = 8192 /* 512 MiB */, TRIPS = 5000, FAULTS = 40, IDLE = 2000, LATE = 200 };

static char blocks[BLOCK];

/* Sends from a file, so that the sender costs little. */
static void source(int fd, void *context)
{
    int file = memfd_create("blocks", MFD_CLOEXEC);
    bool good = file >= 0 && write(file, blocks, sizeof(blocks)) == (ssize_t)sizeof(blocks);

    (void)context;
    for (uint64_t sent = 0; good && sent < (uint64_t)BLOCK * BLOCKS;) {
        off_t at = (off_t)(sent % BLOCK);
        ssize_t more = sendfile(fd, file, &at, BLOCK - sent % BLOCK);

        good = more > 0;
        sent += good ? (uint64_t)more : 0;
    }
    close(file);
    shutdown(fd, SHUT_WR);
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double quantile(double *values, size_t count, double share)
{
    qsort(values, count, sizeof(*values), by_value);
    return values[(size_t)(share * (double)(count - 1))];
}

/* MB/s of one download, of which all is compared or, by a reader that costs next to nothing, only counted (MSG_TRUNC of tcp(7)); exits
 * when a byte is wrong or missing. */
static double bulk(const char *at, bool compared)
{
    static char bytes[BLOCK];
    uint64_t begun_ns = clock_now_ns(), have = 0;
    int fd = wire_connect(at);
    ssize_t got;

    while ((got = recv(fd, bytes, sizeof(bytes), compared ? MSG_WAITALL : MSG_TRUNC)) > 0) {
        if (compared && (got != BLOCK || memcmp(bytes, blocks, BLOCK))) {
            puts("bytes differ");
            exit(1);
        }
        have += (uint64_t)got;
    }
    close(fd);
    if (have != (uint64_t)BLOCK * BLOCKS) {
        puts("bytes missing");
        exit(1);
    }
    return (double)have * 1e3 / (double)(clock_now_ns() - begun_ns);
}

/* Round trips of 64 bytes, us each, sorted. */
static void trips(const char *at, double *ret_us)
{
    int fd = wire_connect(at);
    char bytes[64];

    for (int i = 0; i < TRIPS; i++) {
        uint64_t begun_ns = clock_now_ns();

        if (wire_send_all(fd, blocks, sizeof(bytes)) < 0 || recv(fd, bytes, sizeof(bytes), MSG_WAITALL) != sizeof(bytes) ||
            memcmp(bytes, blocks, sizeof(bytes)))
            exit(1);
        ret_us[i] = (double)(clock_now_ns() - begun_ns) / 1e3;
    }
    close(fd);
}

static double cpu_s(pid_t pid)
{
    struct timespec used;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &used))
        exit(1);
    return (double)timespec_ns(used) / 1e9;
}

/* One executor against no proxy at all. */
static void print_bulk(const char *what, const char *reader, double rate[2][ROUNDS], double *cost)
{
    double direct = quantile(rate[0], ROUNDS, 0.5), proxied = quantile(rate[1], ROUNDS, 0.5);

    printf("%-10s bulk, %-8s  MB/s direct %6.0f proxied %6.0f (%.2fx), proxy CPU s/GB %.3f\n", what, reader, direct, proxied,
           proxied / direct, quantile(cost, ROUNDS, 0.5));
}

static void compare(const char *what, struct wire_executor *executor, const char *direct, const char *proxied, const char *echo,
                    const char *echo_proxied)
{
    static double us[2][TRIPS];
    double rate[2][2][ROUNDS], cost[2][2][ROUNDS], p50[2][ROUNDS], p99[2][ROUNDS];
    uint64_t bulks = wire_proxy(executor, "source").bulks;

    for (int round = 0; round < ROUNDS; round++)
        for (int side = 0; side < 2; side++) {
            for (int compared = 0; compared < 2; compared++) {
                double begun_s = cpu_s(executor->pid);

                rate[compared][side][round] = bulk(side ? proxied : direct, compared);
                cost[compared][side][round] = (cpu_s(executor->pid) - begun_s) / ((double)BLOCK * BLOCKS / 1e9);
            }
            trips(side ? echo_proxied : echo, us[side]);
            p50[side][round] = quantile(us[side], TRIPS, 0.5);
            p99[side][round] = quantile(us[side], TRIPS, 0.99);
        }
    print_bulk(what, "compared", rate[1], cost[1][1]);
    print_bulk(what, "counted", rate[0], cost[0][1]);
    printf("%-10s %u downloads spliced of %u   round trip us p50 %6.1f / %6.1f  p99 %6.1f / %6.1f\n", what,
           (unsigned)(wire_proxy(executor, "source").bulks - bulks), 2 * ROUNDS, quantile(p50[0], ROUNDS, 0.5),
           quantile(p50[1], ROUNDS, 0.5), quantile(p99[0], ROUNDS, 0.5), quantile(p99[1], ROUNDS, 0.5));
}

/* What is started from here on runs on that core. */
static void run_on(unsigned core)
{
    cpu_set_t cores;

    fflush(stdout); /* a child inherits what is not yet written */
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    (void)sched_setaffinity(0, sizeof(cores), &cores); /* on a machine with one core it stays where it is */
}

static void start_apart(struct wire_executor *executor, const struct injector_limits *limits)
{
    run_on(1);
    wire_executor_start(executor, limits);
    run_on(0);
}

/* Lateness of a held byte over the delay asked for, on top of the round trip without it. */
static void lateness(const char *what, struct wire_executor *executor, uint64_t epoch, const char *at)
{
    struct plan_rule rule = wire_rule("latency", "ten");
    double base, late[LATE], used_s;
    static double us[TRIPS];
    int fd = wire_connect(at);

    trips(at, us);
    base = quantile(us, TRIPS, 0.5);
    rule.params.STREAM_latency.latency = 10000000;
    rule.selector.direction = DIRECTION_TO_CLIENT;
    (void)wire_arm(executor, epoch, 60 * NS_PER_S, &rule, 1);
    used_s = cpu_s(executor->pid);
    for (size_t i = 0; i < ARRAY_SIZE(late); i++) {
        uint64_t begun_ns = clock_now_ns();
        char byte = 0;

        if (wire_send_all(fd, &byte, 1) < 0 || wire_recv_all(fd, &byte, 1) != 1)
            exit(1);
        late[i] = (double)(clock_now_ns() - begun_ns) / 1e3 - 10000 - base;
    }
    used_s = cpu_s(executor->pid) - used_s;
    (void)wire_release(executor, epoch);
    printf("latency 10 ms, %-8s: end to end late by us  p50 %.0f  p90 %.0f  p99 %.0f, CPU us a trip %.0f\n", what, quantile(late, LATE, 0.5),
           quantile(late, LATE, 0.9), quantile(late, LATE, 0.99), used_s * 1e6 / LATE);
    close(fd);
}

/* The same in an executor that spins. */
static void lateness_spinning(uint16_t echo_port)
{
    struct injector_limits limits;
    struct wire_executor executor;
    char at[ADDRESS_TEXT_MAX];

    injector_limits_init(&limits);
    limits.spin_ns = 100000;
    start_apart(&executor, &limits);
    wire_open(&executor, "echo", echo_port, at, sizeof(at));
    lateness("spinning", &executor, 1, at);
    (void)wire_executor_end(&executor);
}

/* Kibibytes of a process's own memory: the proportional set of all its mappings. */
static unsigned long own_kib(pid_t pid)
{
    unsigned long kib = 0;
    char path[64], line[256];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "Pss: %lu", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib;
}

/* User memory of connections that have exchanged 64 bytes and now rest. */
static void idle(struct wire_executor *executor, const char *at)
{
    static int fds[IDLE];
    unsigned long before = 0;
    char bytes[64];

    for (size_t i = 0; i < IDLE; i++) {
        if (i == IDLE / 10) /* what is touched once is no cost of a connection */
            before = own_kib(executor->pid);
        fds[i] = wire_connect(at);
        if (fds[i] < 0 || wire_send_all(fds[i], blocks, sizeof(bytes)) < 0 || wire_recv_all(fds[i], bytes, sizeof(bytes)) != sizeof(bytes))
            exit(1);
    }
    printf("idle: %.0f bytes of user memory a connection, over %u connections\n",
           (double)(own_kib(executor->pid) - before) * 1024 / (IDLE - IDLE / 10), (unsigned)(IDLE - IDLE / 10));
    for (size_t i = 0; i < IDLE; i++)
        close(fds[i]);
}

/* The event's instant less the victim's: a blackhole is felt from the first byte sent into it, a reset when it is seen. */
static void instants(struct wire_executor *executor, const char *at)
{
    double hole_us[FAULTS], reset_us[FAULTS];

    for (uint64_t i = 0; i < FAULTS; i++) {
        struct plan_rule hole = wire_rule("blackhole", "hole"), reset = wire_rule("reset_peer", "reset");
        int fd = wire_connect(at);
        struct event event;
        uint64_t victim_ns;
        char byte = 0;

        if (wire_send_all(fd, &byte, 1) < 0 || wire_recv_all(fd, &byte, 1) != 1)
            exit(1);
        (void)wire_arm(executor, 2 * i + 2, 60 * NS_PER_S, &hole, 1);
        victim_ns = clock_now_ns();
        (void)wire_send_all(fd, &byte, 1);
        (void)wire_event(executor, EVENT_fault_acted, "hole", 2 * i + 2, &event);
        hole_us[i] = ((double)event.ns - (double)victim_ns) / 1e3;
        reset.params.STREAM_reset_peer.after = 3000000;
        (void)wire_arm(executor, 2 * i + 3, 60 * NS_PER_S, &reset, 1);
        while (wire_recv_some(fd, &byte, 1, 1000) > 0)
            continue;
        victim_ns = clock_now_ns();
        (void)wire_event(executor, EVENT_fault_acted, "reset", 2 * i + 3, &event);
        reset_us[i] = ((double)victim_ns - (double)event.ns) / 1e3;
        (void)wire_release(executor, 2 * i + 3);
        close(fd);
        executor->event_count = 0;
    }
    printf("instant of the first effect against the victim's, us: blackhole p50 %.0f max %.0f, reset p50 %.0f max %.0f\n",
           quantile(hole_us, FAULTS, 0.5), quantile(hole_us, FAULTS, 1), quantile(reset_us, FAULTS, 0.5), quantile(reset_us, FAULTS, 1));
}

int main(void)
{
    char direct[2][ADDRESS_TEXT_MAX], proxied[2][ADDRESS_TEXT_MAX];
    struct wire_server *servers[2];
    struct wire_executor executor;
    struct plan_rule rule = wire_rule("latency", "none");

    wire_fill(1, 0, blocks, sizeof(blocks));
    start_apart(&executor, NULL);
    servers[0] = wire_server_start(source, NULL);
    servers[1] = wire_server_start(wire_echo, NULL);
    for (int i = 0; i < 2; i++) {
        snprintf(direct[i], sizeof(direct[i]), "127.0.0.1:%u", wire_server_port(servers[i]));
        wire_open(&executor, i ? "echo" : "source", wire_server_port(servers[i]), proxied[i], sizeof(proxied[i]));
    }
    compare("no fault", &executor, direct[0], proxied[0], direct[1], proxied[1]);
    idle(&executor, proxied[1]);
    lateness("asleep", &executor, 1, proxied[1]);
    lateness_spinning(wire_server_port(servers[1]));
    instants(&executor, proxied[1]);
    rule.params.STREAM_latency.latency = 0;
    (void)wire_arm(&executor, 1000, 60 * NS_PER_S, &rule, 1);
    compare("latency:0", &executor, direct[0], proxied[0], direct[1], proxied[1]);
    wire_server_stop(servers[0]);
    wire_server_stop(servers[1]);
    return wire_executor_end(&executor);
}
