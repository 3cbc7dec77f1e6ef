/* What lives beside a run and is not the run's: a process under the shim that keeps its own time, an echo server behind the run's
 * proxy, and a connection through it. From these a test sees faults act and end. */
#ifndef PERTURB_TESTS_BYSTANDER_H
#define PERTURB_TESTS_BYSTANDER_H

#include "tests/support/watched_run.h"

#include <stdbool.h>
#include <stdint.h>

struct wire_server;

struct bystander {
    struct wire_server *upstream;
    pid_t exec_pid, victim_pid;
    char victim_log[WATCHED_PATH_MAX];
    int probe_fd; /* -1: none yet */
};

/* Starts server and victim. False when the victim did not start. */
bool bystander_start(struct bystander *bystander, struct watched_run *run);

/* Starts tests/e2e/playbooks/kills.yaml on them, with that lease. */
void bystander_run(const struct bystander *bystander, struct watched_run *run, uint64_t seed, const char *lease);

/* Opens the probe when the run's proxy is there and it is not open yet. NULL, or what went wrong. */
const char *bystander_probe(struct bystander *bystander, const struct watched_run *run);

/* One echo: how long it took in ns, UINT64_MAX when the connection is dead or bytes were damaged. */
uint64_t bystander_echo(const struct bystander *bystander, uint64_t seed);

/* When the victim's last slow call (more than 60 ms) ended; 0 when none did. `ret_count` may be NULL. */
uint64_t bystander_last_slow(const struct bystander *bystander, unsigned *ret_count);

void bystander_close_probe(struct bystander *bystander);

/* Ends the rest. False when the victim did not end by itself. */
bool bystander_end(struct bystander *bystander);

#endif
