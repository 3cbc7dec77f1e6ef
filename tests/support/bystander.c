/* Bystanders of a run. */
#include "tests/support/bystander.h"

#include "scenarios/base/clock.h"
#include "tests/support/wire_peer.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOW_NS (60 * NS_PER_MS)

bool bystander_start(struct bystander *bystander, struct watched_run *run)
{
    char program[WATCHED_PATH_MAX + 40], file[WATCHED_PATH_MAX];
    const char *args[] = { "exec", "--", program, bystander->victim_log, "2000", file, NULL };
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)watched_scale(10000) * NS_PER_MS;

    bystander->probe_fd = -1;
    bystander->victim_pid = 0;
    bystander->upstream = wire_server_start(wire_echo, NULL);
    snprintf(program, sizeof(program), "%s/tests/fixtures/victim_clock", watched_build());
    snprintf(file, sizeof(file), "%s/written", run->base);
    snprintf(bystander->victim_log, sizeof(bystander->victim_log), "%s/victim.log", run->base);
    bystander->exec_pid = watched_start(run, false, args);
    while (!bystander->victim_pid && clock_now_ns() < deadline_ns) {
        char *said = watched_read(bystander->victim_log);

        if (sscanf(said, "pid %d\n", &bystander->victim_pid) != 1)
            poll(NULL, 0, 5);
        free(said);
    }
    return bystander->victim_pid != 0;
}

void bystander_run(const struct bystander *bystander, struct watched_run *run, uint64_t seed, const char *lease)
{
    char upstream[64], victim[32], lease_var[32];
    const char *more[] = { "--var", upstream, "--var", victim, "--var", lease_var, NULL };

    snprintf(upstream, sizeof(upstream), "upstream=127.0.0.1:%u", wire_server_port(bystander->upstream));
    snprintf(victim, sizeof(victim), "victim=%d", bystander->victim_pid);
    snprintf(lease_var, sizeof(lease_var), "lease=%s", lease);
    watched_start_run(run, "tests/e2e/playbooks/kills.yaml", seed, more);
}

const char *bystander_probe(struct bystander *bystander, const struct watched_run *run)
{
    char line[1024], listen[64] = "";
    const char *at;

    if (bystander->probe_fd >= 0 || !watched_event(run, "proxy_opened", NULL, line, sizeof(line)))
        return NULL;
    at = strstr(line, "127.0.0.1:");
    if (at)
        snprintf(listen, sizeof(listen), "%.*s", (int)strcspn(at, "\""), at);
    bystander->probe_fd = wire_connect(listen);
    if (bystander->probe_fd < 0)
        return "the proxy cannot be reached";
    return bystander_echo(bystander, 0) == UINT64_MAX ? "the probe was not echoed at first" : NULL;
}

uint64_t bystander_echo(const struct bystander *bystander, uint64_t seed)
{
    uint64_t begin_ns = clock_now_ns();
    char sent[64], echoed[64];

    wire_fill(seed, 0, sent, sizeof(sent));
    if (wire_send_all(bystander->probe_fd, sent, sizeof(sent)) < 0 ||
        wire_recv_all(bystander->probe_fd, echoed, sizeof(echoed)) != (ssize_t)sizeof(echoed) || memcmp(sent, echoed, sizeof(sent)) != 0)
        return UINT64_MAX;
    return clock_now_ns() - begin_ns;
}

uint64_t bystander_last_slow(const struct bystander *bystander, unsigned *ret_count)
{
    char *said = watched_read(bystander->victim_log), *at, *rest = NULL;
    uint64_t last_ns = 0;
    unsigned count = 0;

    for (at = strtok_r(said, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest)) {
        unsigned long long begin_ns, end_ns;

        if (sscanf(at, "call %llu %llu", &begin_ns, &end_ns) == 2 && end_ns - begin_ns > SLOW_NS) {
            count++;
            last_ns = end_ns;
        }
    }
    free(said);
    if (ret_count)
        *ret_count = count;
    return last_ns;
}

void bystander_close_probe(struct bystander *bystander)
{
    if (bystander->probe_fd >= 0)
        close(bystander->probe_fd);
    bystander->probe_fd = -1;
}

bool bystander_end(struct bystander *bystander)
{
    bool ended;

    bystander_close_probe(bystander);
    kill(bystander->exec_pid, SIGTERM);
    ended = watched_wait(bystander->exec_pid, watched_scale(10000)) >= 0;
    if (!ended) {
        kill(bystander->exec_pid, SIGKILL);
        waitpid(bystander->exec_pid, NULL, 0);
    }
    wire_server_stop(bystander->upstream);
    return ended;
}
