/* Which armed rules act on this call: the part of a backend that does not depend on where it runs. The preload shim and the
 * seccomp supervisor compile it in alike, so that a rule matches, counts, draws and rules the same under both. Shim-safe: no
 * lock, no allocation, no stdio.
 *
 * 1. What a rule needs to know beyond the occasion is asked through `struct judge_facts`, only when an armed rule needs it.
 * 2. The page is read as shims/include/control.h says: each rule is copied, then the generation is looked at again.
 * 3. judge_call() counts and rules and does nothing else: sleeping, failing, resetting is the backend's. */
#ifndef PERTURB_SHIMS_JUDGE_H
#define PERTURB_SHIMS_JUDGE_H

#include "scenarios/vocab/decide.h"
#include "shims/include/control.h"
#include "shims/judge/disk.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum fd_kind {
    KIND_UNKNOWN, /* not looked up yet */
    KIND_OTHER,   /* whatever must be read whole: eventfd, timerfd, O_DIRECT, packet sockets, no descriptor at all */
    KIND_BYTES,   /* file, pipe, terminal: may be read and written in parts */
    KIND_PACKETS, /* a socket of whole messages */
    KIND_STREAM,  /* a stream socket that is not TCP */
    KIND_TCP,
};

enum fd_kind judge_fd_kind(int fd); /* one of the caller's own; KIND_OTHER when there is none */

/* One call, as its row of calls.def tells it, and what was looked up about it so far. Pointers are the caller's: only the
 * facts of its own backend may follow them. */
struct occasion {
    uint32_t points;
    int fd, at;
    uint64_t size;
    const char *path;
    const struct sockaddr *address;
    socklen_t length;
    uint32_t waits;     /* WAITS_ bits: by which clock it waits; 0 when it has no limit */
    const char *host;   /* name that is looked up; NULL when it is not known */
    const char *label;  /* of a point in the code */
    bool resolves;      /* asks name servers: what is looked up is no address */
    bool answers;       /* gives addresses, so that they can be others */
    const void *caller; /* return address */
    enum fd_kind kind;
    int flags;         /* of open(2) */
    FILE *file;        /* the stream of a stdio call; its bytes move whole or not at all */
    bool is_space;     /* asks for space on disk: whole or not at all */
    bool is_flush;     /* of that stream: what it holds goes to the file */
    uint64_t unit;     /* bytes of one item that the call counts; 0: it counts bytes */
    uint64_t place;    /* 1 + where in the file; 0: at the descriptor's own place */
    const void *data;  /* the caller's buffer of `size` bytes, or */
    const struct iovec *parts; /* its parts */
    size_t part_count;
    uint64_t by_hand_max; /* the most that this backend can move in the program's place; 0: no limit */
    bool keeps_result; /* this backend cannot make it return an errno, or success, without doing it */
    bool keeps_size;   /* this backend cannot make it do less */
    void *context;     /* the backend's own */
};

/* What of an occasion the first look at it needs: little, for it is made at every armed call. The whole occasion is only filled in
 * for what that look lets by: the compiler leaves out what nobody reads. */
struct glance {
    uint32_t points;
    int fd;
    uint64_t size;
    const char *path;
    const struct sockaddr *address;
    socklen_t length;
    const char *label;
    const void *caller;
};

static inline __attribute__((always_inline)) struct glance glance_of(const struct occasion *occasion)
{
    return (struct glance){ occasion->points,  occasion->fd,     occasion->size,  occasion->path,
                            occasion->address, occasion->length, occasion->label, occasion->caller };
}

/* By the order of the words of clock's parameter `clock`. */
enum { WAITS_REALTIME = 1, WAITS_MONOTONIC = 2 };
/* An offset as `place`: -1 is the descriptor's own, to the calls that take it so. */
#define AT_PLACE(offset) ((uint64_t)(offset) + 1)
#define AT_PLACE_UNKNOWN (UINT64_C(1) << 63)

struct ruling {
    int error;         /* not 0: fail with it */
    int signal;        /* not 0: send it to the process first */
    bool fake;         /* do nothing, return `value` */
    bool drop;         /* reset the connection first */
    int64_t value;
    uint64_t sleep_ns; /* before anything else */
    uint64_t hold_ns;  /* after it, if it succeeded */
    uint64_t size_max; /* do at most so much */
    enum { RULING_NONE, RULING_WRONG, RULING_STALE } answer; /* of a look-up */
    uint32_t address;  /* the wrong one, host order */
    struct torn torn;  /* move these sectors only, by hand */
    struct rot rot;    /* change what was read */
    struct unsynced unsynced; /* keep what the write replaces; or a sync has made all durable */
    struct control_count *acting;      /* of the rule that drops or shortens, to take its firing back (judge_take_back) */
    struct control_share *acting_share; /* and its process's; NULL: none */
    uint32_t generation;
    uint32_t sleeping_count, holding_count;
    struct control_count *sleeping[8]; /* whose in_flight counts this call while it sleeps; last, so that no call clears it */
    struct control_count *holding[4];  /* and while it sleeps afterwards; likewise */
    struct control_share *holding_share[4]; /* beside them; NULL: none */
};

/* A call site: the return address within its module. */
struct judge_site {
    uint64_t offset;
    char module[CONTROL_MODULE_MAX];
};

/* `room` is for the answer; NULL is "unknown", which no selector matches. */
struct judge_facts {
    enum fd_kind (*kind)(struct occasion *occasion);
    const char *(*path)(const struct occasion *occasion, char *room, size_t size);
    const char *(*caller)(const void *address, char *room, size_t size); /* the file name of its module */
    const char *(*symbol)(const void *address, char *room, size_t size); /* "symbol:NAME" of its function */
    bool (*site)(const struct occasion *occasion, struct judge_site *ret_site);      /* false: unknown */
    const char *(*thread)(const struct occasion *occasion, char room[RULE_THREAD_MAX]);
    const struct sockaddr *(*peer)(const struct occasion *occasion, struct sockaddr_storage *room);
    uint64_t (*stream)(const struct occasion *occasion);
    uint64_t (*ordinal)(uint64_t stream, uint32_t rule, uint64_t epoch); /* from 1; 0 when the table is full */
    bool (*turn)(uint64_t stream, uint32_t rule, uint64_t epoch, uint64_t turn); /* true once for each turn (from 1) of a stream */
    int (*own_fd)(struct occasion *occasion); /* a descriptor of this process for the call's open file; -1 */
    uint64_t (*now_ns)(void); /* CLOCK_MONOTONIC, whoever else fakes clocks */
};

struct judge {
    const struct control_rules *rules;
    struct control_counters *counters;
    const struct judge_facts *facts;
    struct control_process *process; /* whose call it is; NULL: the table is full */
};

/* For backends inside the target, whose pointers it follows: could a rule be about this call, as far as that can be told without a
 * system call? False: judge_call would find nothing. */
bool judge_concerns(const struct judge *judge, const struct glance *glance);

void judge_call(const struct judge *judge, struct occasion *occasion, struct ruling *ret_ruling);

/* What a backend had to do by hand (`acting`, `torn`, `rot`) could not be carried out: those firings count as skipped. */
void judge_take_back(const struct ruling *ruling);
void judge_take_back_holds(const struct ruling *ruling); /* likewise of `holding`: the call did not succeed */

/* unsynced.c, for lost_writes (shims/include/unsynced.h). Before a write that will be made: keeps what it replaces, or takes the firing
 * back. Around a sync: what it is about to make durable, 0 for nothing; and that it has. */
void unsynced_write(const struct judge *judge, struct occasion *occasion, const struct ruling *ruling);
uint64_t unsynced_mark(const struct judge *judge, struct occasion *occasion);
void unsynced_sync(const struct judge *judge, struct occasion *occasion, uint64_t mark);

char *judge_number(unsigned value, char *text); /* in decimal; returns its end */

/* Where a connect of a TCP socket goes instead. `address` is a copy that nobody else can change; the socket takes mapped addresses
 * if it is an IPv6 one. False: where it asked for. */
bool judge_redirect(const struct judge *judge, const struct sockaddr_storage *address, socklen_t length,
                    struct sockaddr_storage *ret_address, socklen_t *ret_length);

/* Takes the site for a rule of that epoch. False when it is taken already, or the table is full (counted in `lost`). */
bool judge_site_take(struct control_counters *counters, const struct judge_site *site, uint32_t rule, uint64_t epoch,
                     const struct decide_event *event, uint64_t now_ns);

/* The loopback address that stands for a destination (AF_INET or AF_INET6) at a proxy's port. False when the table is full. */
bool judge_detour(struct control_counters *counters, const struct sockaddr_storage *destination, uint32_t port, uint32_t *ret_address);

#endif
