/* Inside the load generator. The loop (loop.c) owns the plan, the queue and the deadlines; a backend (http.c, resp.c) owns the
 * sockets and turns one slot's request into an outcome. All of it runs on the loop's thread, load_new and load_free excepted.
 *
 *   planned --(a slot is free)--> sent --(backend calls load_finish, or its deadline)--> record
 *      \--(its deadline passes first)--> record, LOAD_DROPPED
 *
 * 1. Waiting requests are the indices [next_send, next_plan): they need no memory, and leave in plan order.
 * 2. Slots in flight are linked in plan order; the time limit is one for all, so the head has the earliest deadline. */
#ifndef PERTURB_CONTROLLER_LOAD_LOAD_PRIV_H
#define PERTURB_CONTROLLER_LOAD_LOAD_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "controller/load/load.h"
#include "controller/load/match.h"
#include "controller/load/records.h"
#include "scenarios/base/buf.h"

#define LOAD_WAKE_KEY UINT64_MAX /* the epoll key of load->wake_fd; other keys are the backend's */
#define LOAD_NO_SLOT UINT32_MAX

struct load_slot {
    uint64_t planned_ns, sent_ns;
    uint32_t index;
    uint32_t variant; /* of the mix */
    uint32_t previous, next; /* in flight: neighbours in plan order; free: `next` on the free list */
    size_t match_state;
    uint64_t bytes;
    struct buf kept; /* the answer so far, where it is to be checked as a whole */
};

struct load_counts { /* one writer: the loop */
    atomic_uint_least64_t planned, sent, outcomes[LOAD_OUTCOMES], connects, late, lateness_max_ns, unrecorded, unplanned, unread;
};

/* Entry i is written whole before the count that covers it is stored (release); one writer, the owner. */
struct load_shedding {
    atomic_size_t count;
    struct {
        uint64_t from_ns;
        uint32_t keep_ppm;
    } entry[LOAD_SHEDS_MAX];
};

/* bins.c; one writer: the loop. */
struct load_bins {
    atomic_uint_least64_t cells[LOAD_BINS_KEPT];
};

struct load_backend {
    int (*open)(struct load *load, struct errs *errs);
    void (*send)(struct load *load, uint32_t slot);   /* may call load_finish at once */
    void (*cancel)(struct load *load, uint32_t slot); /* give up; must not call load_finish */
    void (*on_event)(struct load *load, uint64_t key, uint32_t events);
    uint64_t (*timer_ns)(const struct load *load); /* when on_timer is due; UINT64_MAX = never */
    void (*on_timer)(struct load *load);
    void (*close)(struct load *load); /* accepts a half-opened one */
    void (*loop)(struct load *load);  /* in place of loop.c and the five before `close`; NULL: none */
};

struct load {
    struct load_spec spec; /* defaults filled in; strings owned */
    const struct load_backend *backend;
    void *backend_data;
    struct match *matches; /* of the mix: its expected texts */
    uint64_t name_hash, weights; /* of the mix, their sum */

    int epoll_fd, wake_fd;
    pthread_t thread;
    bool started, joined; /* owner thread */
    uint64_t start_ns;
    uint64_t rested_ns; /* when the loop last had nothing to do */
    atomic_uint_least64_t stop_ns; /* nothing is planned after it; UINT64_MAX while open */

    uint64_t next_plan, next_send; /* indices */
    struct load_slot *slots;       /* connections_max of them */
    uint32_t free_first;
    uint32_t flight_first, flight_last;
    struct records records;
    struct load_counts counts;
    struct load_shedding shedding;
    struct load_bins bins;
    atomic_bool over, broke_off;
};

extern const struct load_backend load_http_backend, load_resp_backend, load_tcp_backend, load_udp_backend, load_postgres_backend, load_command_backend;

/* spec.c: checks, fills in defaults and copies; every finding goes to errs. 0, -EINVAL, -ENOMEM. */
int load_spec_copy(const struct load_spec *spec, struct errs *errs, struct load_spec *ret_copy);
void load_spec_done(struct load_spec *copy);

/* shed.c */
bool load_is_shed(const struct load *load, uint64_t index, uint64_t planned_ns);

/* bins.c: a request planned so long after the start. */
void load_bins_add(struct load_bins *bins, uint64_t offset_ns);

/* loop.c */
void *load_loop(void *load);
void load_finish(struct load *load, uint32_t slot, enum load_outcome outcome, uint16_t http_code);
void load_note_lateness(struct load *load, uint64_t lateness_ns);
void load_record(struct load *load, const struct load_record *record); /* kept, or counted as unrecorded; its outcome is counted */
void load_count(atomic_uint_least64_t *counter, uint64_t more); /* single writer */

/* Which of the mix a slot's request is. */
const struct load_request *load_request_of(const struct load *load, uint32_t slot);

/* Answer bytes of a slot: counted, searched for the expected text, kept where they are to be checked. */
void load_take_bytes(struct load *load, uint32_t slot, const char *bytes, size_t length);
bool load_has_expected(const struct load *load, uint32_t slot); /* the text, so far */
bool load_reply_is_good(const struct load *load, uint32_t slot); /* once the answer is complete */

/* For backends that have no timers. */
uint64_t load_no_timer_ns(const struct load *load);
void load_no_timer(struct load *load);

#endif
