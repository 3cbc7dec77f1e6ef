/* Inside `perturb init`: the parts that its files share.
 *
 *     watch: spawn under the watcher ── thread: sightings ──┐
 *     probe: which port answers what, a load on it          ├── write: the playbook, checked
 *     open:  what the open connections carry                ┘ */
#ifndef PERTURB_CMD_INIT_H
#define PERTURB_CMD_INIT_H

#include "scenarios/base/buf.h"
#include "scenarios/base/err.h"
#include "shims/seccomp/watch.h"

#include <pthread.h>
#include <stdint.h>

enum { SIGHTINGS_MAX = 64, INIT_URL_MAX = 512, INIT_ADDRESS_MAX = 160, PLAYBOOK_BYTES_MAX = 1 << 18 };

struct init_options {
    char *const *argv; /* the program's, borrowed; NULL: a starter is wanted */
    const char *out, *load, *ready; /* NULL: found out */
    int64_t for_ns;    /* 0: until it ends or Ctrl-C */
    int64_t rate_mhz;  /* of the load */
    bool force, verify;
};

/* An address that the program listened on or connected to. */
struct sighting {
    enum watch_kind kind;
    int type; /* SOCK_STREAM, ... */
    socklen_t length;
    struct sockaddr_storage address;
    char comm[16];        /* of whoever was the first */
    uint64_t connects;    /* calls of connect(2), whatever came of them */
    uint64_t connects_before;              /* of these, before the load began */
    uint64_t open, bytes, bytes_before;    /* connections open at the last look, what they had carried then and before the load */
};

struct init_watch {
    struct watch *watch;
    pthread_t thread;
    int stop_fd;
    pid_t pid;            /* of the program; -1 when there is none, or it was waited for */
    char log[64];         /* its output */
    pthread_mutex_t lock; /* over what follows */
    size_t count, dropped;
    struct sighting list[SIGHTINGS_MAX];
};

/* Starts the program and the thread that watches it. 0 or a negative errno, told. init_watch_end after either. */
int init_watch_begin(struct init_watch *watch, const struct init_options *options, struct errs *errs);
void init_watch_end(struct init_watch *watch); /* ends the program and everything that it started */

/* A copy of what was seen so far, at most SIGHTINGS_MAX; returns how many. */
size_t init_watch_copy(struct init_watch *watch, struct sighting *list);

/* Looks at the open connections of the program's processes: adds those that the watcher could not see, and what each has carried.
 * `begins`: from here on counts as under the load. */
void init_open_look(struct init_watch *watch, bool begins);

/* "127.0.0.1:80", "[::1]:80", "unix:/path", told of those that are neither: "". Returns `text` (INIT_ADDRESS_MAX). */
char *sighting_print(const struct sighting *sighting, char *text);
uint16_t sighting_port(const struct sighting *sighting); /* 0 when it has none */
bool sighting_is(const struct sighting *sighting, enum watch_kind kind); /* a TCP one of that kind */

/* Finds, or makes, the sighting of an address; the lock is held. NULL when the table is full. */
struct sighting *sighting_of(struct init_watch *watch, const struct watch_event *event);

enum endpoint_kind { ENDPOINT_NONE, ENDPOINT_TCP, ENDPOINT_RESP, ENDPOINT_HTTP };

/* Where the program can be asked something. */
struct endpoint {
    enum endpoint_kind kind;
    char address[INIT_ADDRESS_MAX]; /* to connect to: no wildcard */
    int status;                     /* HTTP: what "/" answers with */
};

/* Asks that address, for half a second at most. ENDPOINT_NONE: nobody is there. */
enum endpoint_kind init_probe(const char *address, int *ret_status);

/* The best endpoint of those listened on. */
void init_probe_all(const struct sighting *list, size_t count, struct endpoint *ret_endpoint);

/* What the load measured. */
struct measure {
    char url[INIT_URL_MAX];
    uint64_t requests, good;
    uint64_t median_ns, p99_ns; /* of the good ones */
    uint64_t seconds_ns;
};

struct findings {
    const struct init_options *options;
    struct endpoint endpoint;
    struct measure measure;
    uint64_t watched_ns;
    bool ended; /* the program did so by itself */
    size_t count, dropped;
    struct sighting list[SIGHTINGS_MAX];
};

/* The playbook. 0; -EILSEQ: a word of the command is no text; -ENOTSUP: no edge to slow, and no proxy fits before the load's https;
 * -E2BIG. */
int init_write(const struct findings *findings, struct buf *ret_text);

/* One for a directory of which nothing is known. */
int init_write_starter(struct buf *ret_text);

#endif
