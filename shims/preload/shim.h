/* Inside libperturb.so: what its files share. Everything here runs inside somebody else's program, on any of its threads, in
 * its signal handlers and inside its allocator: shims/README.md says what it may never do, and its numbers are cited. */
#ifndef PERTURB_SHIMS_SHIM_H
#define PERTURB_SHIMS_SHIM_H

#include "shims/include/control.h"
#include "shims/judge/judge.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* The page's rules lie at a fixed place of this library: until a file is mapped over it, it reads as "nothing armed". */
union shim_rules {
    struct control_rules rules;
    char room[CONTROL_COUNTERS_OFFSET];
};
extern union shim_rules shim_page __attribute__((aligned(65536)));
extern struct control_counters *shim_counters; /* NULL: nothing mapped */

/* True when a point of `mask` may be armed. The idle cost: this load, its test, and the branch. */
#define SHIM_ARMED(mask) __builtin_expect(__atomic_load_n(&shim_page.rules.armed, __ATOMIC_RELAXED) & (uint32_t)(mask), 0)

/* One thread's own state. Written on the armed path only (and once at the start of a thread). */
struct shim_self {
    uint32_t depth;  /* > 0: this thread is inside the shim, calls pass through */
    uint64_t stream; /* 0: not asked for yet */
};
extern __thread struct shim_self shim_self __attribute__((tls_model("initial-exec")));

/* rule.c: evaluates the armed rules, counts, sleeps, resets. errno is as it was afterwards. */
bool shim_concerns(const struct occasion *occasion); /* false: nothing armed could be about this call */
void shim_rule(struct occasion *occasion, struct ruling *ret_ruling);
struct judge shim_judge(void);

/* sleep.c: sleeps until the time is over, the lease ends, or another plan is published. True when the call ought to return
 * EINTR: a signal came whose handler does not restart calls. */
bool shim_sleep(uint64_t ns, uint32_t generation, uint32_t points);

/* vdso.c: CLOCK_MONOTONIC from the kernel itself, whoever else fakes clocks. */
void shim_clock_find(void);
uint64_t shim_now_ns(void);

/* stream.c: this thread's stream, and how many matches of a rule it has seen, this one included; 0 when the table is full. */
uint64_t shim_stream(void);
uint64_t shim_ordinal(uint64_t stream, uint32_t rule, uint64_t epoch);
void shim_stream_start(uint64_t base); /* the process's first stream; its main thread has it */

/* lookup.c */
void shim_name_program(void);
const char *shim_path_of(const struct occasion *occasion, char *room, size_t size);      /* NULL when unknown */
const char *shim_caller_of(const void *address, char *room, size_t size);                /* file name; NULL when unknown */
const struct sockaddr *shim_peer_of(const struct occasion *occasion, struct sockaddr_storage *room); /* NULL when unknown */

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

#endif
