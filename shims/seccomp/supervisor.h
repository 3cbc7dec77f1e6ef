/* Inside the supervisor: what its files share.
 *
 *     receiver thread   receives, judges, answers what can be answered at once
 *     holder thread     (main) ends delays and readiness waits, notices ends of processes and of the filter
 *     watcher thread    sleeps on the page's generation, so that a disarm wakes the holder
 *     connector threads one for each redirected connect of a blocking socket
 *
 * 1. One lock guards tasks and held calls; nobody blocks while it holds it.
 * 2. A call that was received waits killably (Linux 5.19): no signal makes the kernel throw an answer away, so what was
 *    transferred or counted for a call is known to it. A held call is given back when a signal is pending for its thread
 *    (NOTIFY_RESTART); it is kept, and goes on where it was when the same thread makes the same call again from the same place
 *    within RETRY_NS: that is the kernel's restart of it (SA_RESTART), or the program's own retry after EINTR. It is not judged
 *    twice. Before 5.19 a signal in the microseconds of an answer may have a call judged, or a shortened transfer made, twice.
 * 3. `shared->held` and `shared->notification` hold the id of every call that was received and not answered, so that the keeper
 *    can answer them when this process is killed at any instruction. */
#ifndef PERTURB_SHIMS_SECCOMP_SUPERVISOR_H
#define PERTURB_SHIMS_SECCOMP_SUPERVISOR_H

#include "shims/judge/judge.h"
#include "shims/seccomp/notify.h"
#include "shims/seccomp/tasks.h"

#include <pthread.h>

enum { HELD_MAX = 4096, TRANSFER_MAX = 1 << 20 /* bytes that the supervisor moves for one call */ };

#define RETRY_NS UINT64_C(1000000000)

enum stage { STAGE_BEGIN, STAGE_INSTALLED, STAGE_FAILED, STAGE_ATTENDED, STAGE_REFUSED };

/* In memory that starter, target (until it execs), keeper and supervisor share. */
struct shared {
    uint32_t stage;    /* enum stage, a futex word */
    int32_t listener;  /* its number in the target */
    int32_t error;     /* of STAGE_FAILED */
    uint32_t dropped_privileges;
    uint32_t waits_killable;
    uint32_t serves;   /* the supervisor's pid once it serves, a futex word; UINT32_MAX: it could not */
    int32_t serve_error;
    union notification notification;
    uint64_t held[HELD_MAX];
};

/* A call on its way: in the receiver, or held. */
struct call {
    uint64_t id;
    struct seccomp_data data;
    struct thread *thread;
    struct occasion occasion;
    struct ruling ruling;
    int fd; /* duplicate of the target's descriptor, -1: none yet; whoever ends the call closes it */
};

enum held_state {
    HELD_FREE,
    HELD_SLEEPING,   /* until end_ns */
    HELD_WAITING,    /* until `call.fd` is ready */
    HELD_CONNECTING, /* until its connector is done */
    HELD_LEFT,       /* interrupted; waits for the same call to come again, until end_ns + RETRY_NS */
};

struct answer {
    bool given;     /* else: the target makes its call */
    int error;
    int64_t value;
};

struct held {
    enum held_state state, left_state; /* the state to go on in after HELD_LEFT; HELD_FREE: `answer` is ready */
    struct call call;
    uint64_t end_ns;
    uint64_t look_ns; /* when it is asked next whether somebody waits for it */
    uint64_t ticket; /* tells a connector that the place is still its own */
    struct answer answer;
};

struct supervisor {
    int listener;
    int wake_fd, epoll_fd;
    int keeper_fd; /* a pidfd */
    struct shared *shared;
    struct judge judge;
    pthread_mutex_t lock;
    struct tasks tasks;
    struct held held[HELD_MAX];
    size_t held_count, held_top; /* in use; one past the highest ever used */
    uint64_t next_wake_ns;       /* when the holder looks next */
    uint64_t lead_ns;            /* the holder's own: so long before something is due it is awake */
    uint64_t tickets;
};

/* What becomes of a call now: answer it, or keep it. */
enum outcome { OUTCOME_ANSWER, OUTCOME_WAIT, OUTCOME_CONNECT };

/* act.c: carries the rest of a ruling out (what comes after its sleep). OUTCOME_WAIT: `call->fd` has to become ready first
 * (*ret_events, as poll(2) has them). Called with the lock held; never blocks. */
enum outcome act(struct supervisor *supervisor, struct call *call, struct answer *ret_answer, uint32_t *ret_events);
int call_fd(struct call *call); /* the duplicate, made when first asked for; -1: none to be had */
void call_done(struct call *call);
bool act_elsewhere(const struct supervisor *supervisor, const struct call *call, struct sockaddr_storage *ret_address,
                   socklen_t *ret_length); /* where a connect goes instead */

/* transfer.c: moves at most ruling.size_max bytes in the target's place. The count; -EAGAIN not ready; -EOPNOTSUPP it has to be
 * left to the kernel. */
int64_t transfer(struct call *call, uint32_t *ret_events);

/* held.c */
void held_begin(struct supervisor *supervisor);
void held_sleep(struct supervisor *supervisor, struct call *call);              /* takes the call over */
void held_finish(struct supervisor *supervisor, struct call *call);             /* acts, answers or keeps; takes the call over */
bool held_resume(struct supervisor *supervisor, struct thread *thread, const struct seccomp_notif *again); /* true: taken care of */
void held_forget(struct supervisor *supervisor, struct thread *thread);
void held_serve(struct supervisor *supervisor);                                 /* the holder; returns when the filter has no user */

/* supervisor.c, keeper.c: never return. */
_Noreturn void supervisor_main(struct shared *shared, int listener, const char *page_path, pid_t target);
_Noreturn void keeper_main(struct shared *shared, int listener, const char *page_path, pid_t target);
_Noreturn void keeper_stand_by(struct shared *shared, int listener, int supervisor_pidfd);

#endif
