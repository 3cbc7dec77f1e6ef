/* Inside libperturb.so: what its files share. Everything here runs inside somebody else's program, on any of its threads, in
 * its signal handlers and inside its allocator: shims/README.md says what it may never do, and its numbers are cited. */
#ifndef PERTURB_SHIMS_SHIM_H
#define PERTURB_SHIMS_SHIM_H

#include "shims/include/control.h"
#include "shims/judge/judge.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

/* The page's rules lie at a fixed place of this library: until a file is mapped over it, it reads as "nothing armed". */
union shim_rules {
    struct control_rules rules;
    char room[CONTROL_COUNTERS_OFFSET];
};
extern union shim_rules shim_page __attribute__((aligned(65536), visibility("hidden"))); /* so that it is read without a detour */
extern struct control_counters *shim_counters; /* NULL: nothing mapped */
extern uint32_t shim_pid;                      /* this process, as it was entered in the page */
extern struct control_process *shim_process;   /* our slot; NULL: nothing mapped, or the table is full */

/* True when a point of `mask` may be armed. The idle cost: this load, its test, and the branch. */
#define SHIM_ARMED(mask)                                                                                                     \
    __builtin_expect((__atomic_load_n(&shim_page.rules.armed, __ATOMIC_RELAXED) & (uint32_t)(mask)) |                        \
                         ((uint32_t)(mask) & POINTS_CLOCKED ? __atomic_load_n(&shim_clock_kept, __ATOMIC_RELAXED) : 0),                \
                     0)
#define POINTS_CLOCKED ((uint32_t)(POINT_BIT(clock) | POINT_BIT(wait)))
extern uint32_t shim_clock_kept __attribute__((visibility("hidden"))); /* not 0: this process is shown another time, though nothing may be armed any more */

/* One thread's own state. Written on the armed path only (and once at the start of a thread). */
struct shim_self {
    uint32_t depth;  /* > 0: this thread is inside the shim, calls pass through */
    uint64_t stream; /* 0: not asked for yet */
    struct lock_thread *locks; /* what this thread notes of its locks; NULL: no slot */
    uint32_t watch;            /* the watching that `locks` is of; 0: none yet */
    uint32_t looks;            /* at the watching; its lease is read at some of them */
    uint32_t contended;        /* acquisitions, to time one in so many */
};
extern __thread struct shim_self shim_self __attribute__((tls_model("initial-exec")));

/* rule.c: evaluates the armed rules, counts, sleeps, resets. errno is as it was afterwards. */
bool shim_concerns(const struct glance *glance); /* false: nothing armed could be about this call */
void shim_rule(struct occasion *occasion, struct ruling *ret_ruling);
void shim_hold(const struct occasion *occasion, const struct ruling *ruling, bool succeeded); /* what it says of afterwards */
struct judge shim_judge(void);

/* sleep.c: sleeps until the time is over, the lease ends, or another plan is published. True when the call ought to return
 * EINTR: a signal came whose handler does not restart calls. */
bool shim_sleep(uint64_t ns, uint32_t generation, uint32_t points);

/* vdso.c: CLOCK_MONOTONIC from the kernel itself, whoever else fakes clocks. */
void shim_clock_find(void);
uint64_t shim_now_ns(void);
int shim_true_clock(clockid_t clock, struct timespec *ret_time); /* any clock; 0, or -1 and errno */

/* stream.c: this thread's stream, and how many matches of a rule it has seen, this one included; 0 when the table is full. */
uint64_t shim_stream(void);
uint64_t shim_ordinal(uint64_t stream, uint32_t rule, uint64_t epoch);
void shim_stream_forget(void); /* all ordinals: the page has gone */
bool shim_turn(uint64_t stream, uint32_t rule, uint64_t epoch, uint64_t turn); /* true once for each turn (from 1) of a stream */
void shim_stream_start(uint64_t base); /* the process's first stream; its main thread has it */
int shim_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *), void *argument);
extern __typeof__(shim_create) *shim_create_next; /* the library's pthread_create */

/* lookup.c */
void shim_name_program(void);
const char *shim_path_of(const struct occasion *occasion, char *room, size_t size);      /* NULL when unknown */
const char *shim_caller_of(const void *address, char *room, size_t size);                /* file name; NULL when unknown */
bool shim_site_of(const void *address, struct judge_site *ret_site);                     /* false when unknown */
const struct sockaddr *shim_peer_of(const struct occasion *occasion, struct sockaddr_storage *room); /* NULL when unknown */

/* symbol.c: "symbol:NAME" of the exported function that an address lies in; NULL when unknown */
const char *shim_symbol_of(const void *address, char *room, size_t size);

/* locks.c: what is noted while locks are watched or profiled (CONTROL_LOCKS). */
struct lock_ops {
    enum lock_kind kind;
    int busy;                     /* what try_now returns when somebody else has it */
    int (*try_now)(void *lock);   /* 0, EOWNERDEAD (taken as well) or an errno */
    int (*wait)(void *lock, clockid_t clock, const struct timespec *until); /* `until` NULL: for ever */
};

struct lock_use {
    const struct lock_ops *ops;
    void *lock;
    const void *caller;
    clockid_t clock;
    const struct timespec *until; /* NULL: for ever */
};

extern bool shim_sees_releases; /* this library wraps them: waits can be watched */
int shim_lock_take(const struct lock_use *use);  /* 0 or an errno as of the call; -1: nothing done, make the call */
void shim_lock_tried(const struct lock_use *use); /* it was got by the call itself */
void shim_lock_drop(void *lock);                  /* is about to be released */
void shim_wait_begin(void *condition, void *lock, const void *caller, bool timed);
void shim_wait_end(void *lock, const void *caller);

/* act.c */
bool shim_drop(int fd); /* resets the TCP connection; the descriptor stays open */
bool shim_redirect(int fd, const struct sockaddr *address, socklen_t length, struct sockaddr_storage *ret_address,
                   socklen_t *ret_length);
enum { CLIP_PARTS_MAX = 16 };
int shim_clip(const struct iovec *parts, size_t count, uint64_t size_max, struct iovec clipped[CLIP_PARTS_MAX]);
uint64_t vector_size(const struct iovec *parts, int count);
uint64_t message_size(const struct msghdr *message);
const struct sockaddr *message_address(const struct msghdr *message);
socklen_t message_length(const struct msghdr *message); /* of that address */

/* clock.c: what the clocks show. CLOCK_REALTIME and CLOCK_MONOTONIC stand for their families. */
bool shim_clock_is_other(void);                              /* is any clock shown otherwise, now? */
uint64_t shim_clock_shown_ns(clockid_t clock);               /* as the program sees it; not counted as a reading */
uint64_t shim_clock_left_ns(clockid_t clock, uint64_t shown_ns); /* true time until it shows that: 0 is due, UINT64_MAX never */
clockid_t shim_clock_nearest(uint64_t shown_ns);             /* of which clock a point in time is, when nothing tells */
void shim_clock_in_child(void);
/* disk.c: what the disk faults do around a call; errno is set when it fails, else as it was. */
int64_t shim_tear(const struct occasion *occasion, const struct ruling *ruling);              /* what the call returns */
void shim_after(struct occasion *occasion, const struct ruling *ruling, int64_t result); /* of the call, when it was made */
void shim_before(struct occasion *occasion, struct ruling *ruling);                           /* of a call that will be made */
void shim_stream_fails(FILE *file);   /* sets the stream's error indicator */
int stream_fd(FILE *file);            /* -1: NULL, or a stream in memory */
int mode_flags(const char *mode);     /* of fopen, as open(2) has them */

/* page.c: maps the page that PERTURB_PAGE names, enters this process. wrap.c: finds the real functions. */
void shim_page_map(void);
void shim_resolve(void);
void shim_syscall_resolve(void); /* syscall.c */

/* page.c, late attach: takes the page behind a descriptor (borrowed); false leaves nothing armed. Leaves it again. */
bool shim_page_take(int fd, uintptr_t detach);
void shim_page_leave(void);

/* code.c: fault points in the program's own code are tied to the page that was taken, of all objects there are; and untied. */
void shim_code_tie(void);
void shim_code_untie(void);

/* patch.c: the next definition of a function that we wrap, as the program would find it; NULL when there is none. */
void *shim_next(const char *name);
bool shim_is_own(const void *address); /* does it lie in this library? */
int shim_patch(void);                  /* slots changed; -1 when this machine or library cannot */
int shim_unpatch(void);
void shim_rescan(void);

#endif
