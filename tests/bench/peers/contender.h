/* What is compared: nothing at all, this project's proxy, and the peers as a tuned user would run them, one worker each. */
#ifndef PERTURB_TESTS_BENCH_CONTENDER_H
#define PERTURB_TESTS_BENCH_CONTENDER_H

#include "tests/bench/peers/load.h"

enum contender_id {
    DIRECT, /* client and back-end on one core, no proxy */
    PERTURB,
    PERTURB_PRECISE,
    PERTURB_OTHER, /* another build, to compare a change with */
    HAPROXY,
    HAPROXY_128K,
    HAPROXY_SPLICE,
    NGINX,
    NGINX_128K,
    SOCAT,
    CONTENDERS,
    NOBODY = CONTENDERS,
};

struct contender {
    const char *name;
    bool present;
    uint16_t port, api_port; /* of its listener; of the proxy's API, 0 for none */
    pid_t pid;
    struct group group;
};

extern struct contender contenders[CONTENDERS];

/* Starts those whose program is on this machine, on the proxies' core; the others stay absent. `directory` takes their files,
 * `build` holds this project's programs, `other` those of another build, NULL for none. */
void contenders_start(const char *directory, const char *build, const char *other);
void contenders_move(unsigned core);
void contenders_stop(void);

/* This project's API: puts a toxic on the proxy, or takes all away. `attributes` is a JSON object. */
void toxic_add(enum contender_id id, const char *type, const char *attributes);
void toxic_remove_all(enum contender_id id);

/* A number of the proxy's statistics ("held_bytes_peak"), 0 when it tells none of that name. */
double stats_number(enum contender_id id, const char *field);

/* How late held bytes were released, by the proxy's own account since it started: adds its cells, or takes them off again. */
void stats_add_lateness(enum contender_id id, struct spread *spread, bool takes_off);

#endif
