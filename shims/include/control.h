/* The control page: one file that the controller writes and the shims in a target read. Fixed widths, no pointers.
 *
 *     offset 0                     struct control_rules      read-only in the target
 *     CONTROL_COUNTERS_OFFSET      struct control_counters   written by the target, on the armed path only
 *
 * 1. The first fields of both structs (up to `refused`) never change between versions. A shim that meets another magic,
 *    version, size or rule size counts itself in `refused` and passes everything through.
 * 2. The controller writes only image[(generation + 1) & 1] and counts[(generation + 1) & 1], then raises `generation`. A
 *    reader copies a rule and checks afterwards that `generation` stands where it was; if not it tries again a few times,
 *    then passes through. A controller killed in the middle of an update therefore leaves the armed image whole.
 * 3. `armed` is what an idle call reads: the union of the rules' points, CONTROL_REDIRECT and CONTROL_LOCKS. It is 0 when nothing is
 *    armed or watched.
 * 4. Nothing acts at or past `lease_ns` (CLOCK_MONOTONIC). A lease that has ended is never renewed, only armed anew.
 * 5. `generation` is a futex word: sleepers wait on it, every publication and release wakes them.
 * 6. A writer holds flock(LOCK_EX) on the file while it writes. Panic alone writes without it: 0 to `armed` and `lease_ns`.
 * 7. A reader trusts nothing: counts are clamped, texts terminated, sleeps bounded by SHIM_SLEEP_MAX_NS. */
#ifndef PERTURB_SHIMS_CONTROL_H
#define PERTURB_SHIMS_CONTROL_H

#include "scenarios/vocab/detour.h"
#include "scenarios/vocab/plan.h"
#include "shims/include/locks.h"
#include "shims/include/unsynced.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CONTROL_MAGIC = 0x50425450,
    CONTROL_VERSION = 4,
    CONTROL_NAME_MAX = 64,
    CONTROL_PROCESSES_MAX = 256,
    CONTROL_REDIRECTS_MAX = 64,
    CONTROL_CLOCKS_MAX = 8,
    CONTROL_READERS = 64,
    CONTROL_SITES_MAX = 4096,
    CONTROL_MODULE_MAX = 40,
    CONTROL_SHARES_MAX = 32, /* the first so many rules are counted by process, too */
    CONTROL_CODE_MAX = 1024,
    CONTROL_CODE_FILE_MAX = 64,
};

#define CONTROL_ENV "PERTURB_PAGE"
#define CONTROL_REDIRECT (UINT32_C(1) << 31) /* in `armed`: connects have somewhere else to go */
#define CONTROL_LOCKS (UINT32_C(1) << 30)    /* in `armed`: locks are watched or profiled (struct control_watch); not a fault */
#define CONTROL_CODE (UINT32_C(1) << 29)     /* in `armed`: a fault at `code`; PERTURB_GATE_BIT, built into programs, which never changes */
#define CONTROL_SUPERVISED (UINT32_C(1) << 30)
#define SHIM_SLEEP_MAX_NS UINT64_C(600000000000)

_Static_assert(POINT_COUNT <= 29, "a point has no bit in the armed word");

/* A connect(2) of a stream socket that matches goes to 127.0.0.1:port, or to its detour's address (an IPv6 socket: the mapped one). */
struct control_redirect {
    struct address_match match;
    uint32_t port; /* host order */
    uint32_t detours; /* 1: to the proxy's port by a detour, so that the proxy and getpeername(2) know where it was going */
};

struct control_image {
    uint64_t epoch, seed;
    uint64_t armed_ns; /* CLOCK_MONOTONIC of the publication: where `from`, `until` and `ramp` count from */
    uint32_t rule_count, redirect_count;
    uint32_t points[PLAN_RULES_MAX]; /* of each rule, apart so that a call looks only at rules that may concern it */
    struct control_redirect redirects[CONTROL_REDIRECTS_MAX];
    struct plan_rule rules[PLAN_RULES_MAX];
};

struct control_rules {
    uint32_t magic, version;
    uint64_t size; /* of the whole file */
    uint64_t counters_offset;
    uint32_t rule_size;
    uint32_t owner_pid;
    uint64_t owner_start_ticks; /* of /proc/PID/stat: a pid alone may be somebody else by now */
    char name[CONTROL_NAME_MAX];
    _Alignas(64) uint32_t armed;
    _Alignas(64) uint32_t generation;
    uint32_t supervised; /* 0: the target has the shim; else CONTROL_SUPERVISED and the points that its filter intercepts */
    uint64_t lease_ns;
    struct control_watch watch;
    _Alignas(64) struct control_image image[2];
};

/* Counts of one rule; all on a line of their own. */
struct control_count {
    _Alignas(128) uint64_t matched;
    uint64_t eligible, fired, skipped, first_ns, last_ns;
    uint64_t first_stream, first_position; /* of the firing at first_ns */
    uint64_t taken;                        /* bytes of a disk_full's quota */
    int64_t in_flight;                     /* sleepers; a process killed asleep never takes itself off */
};

/* What one process has of a rule's counts. */
struct control_share {
    uint64_t matched, fired;
};

/* A process under the shim. A slot whose process has gone is taken over, and its shares begin anew. */
struct control_process {
    _Alignas(64) uint32_t pid; /* 0: free; as the process itself knows it, in its pid namespace */
    uint32_t forks;            /* children so far; their streams derive from it */
    uint64_t start_ticks;
    uint64_t stream; /* of its main thread */
    uint64_t way_out; /* attached: the address in it to call for a detach; 0: it was started with the shim */
    uint64_t pid_namespace; /* inode of /proc/self/ns/pid; 0: unknown, taken for the controller's */
    int64_t asleep;  /* its calls that a fault holds now */
    char comm[16];
    _Alignas(64) struct control_share shares[2][CONTROL_SHARES_MAX]; /* beside counts[2], of its first rules */
};

/* Readings of a clock, of the first so many clock rules of the plan: too many to be counted in one place by all threads. Each
 * thread counts in one of these; a rule's matched, eligible and fired are what its control_count says and their sum. */
struct control_readings {
    _Alignas(128) uint64_t count[CONTROL_CLOCKS_MAX];
    uint64_t last_ns[CONTROL_CLOCKS_MAX];
};

/* A place that made a call on which an each_site rule acted, found by hash. Claimed by `key` for good within its epoch. */
struct control_site {
    _Alignas(128) uint64_t key; /* of rule, module, offset and epoch; 0: free */
    uint64_t epoch;             /* of the publication; entries of another one are free */
    uint64_t offset;            /* of the return address, from the module's load address */
    uint64_t first_ns;          /* 0: not written yet */
    uint64_t stream, position;
    uint32_t rule;
    char module[CONTROL_MODULE_MAX];
};

/* A fault point in the code of one of the processes (shims/include/perturb.h). Claimed by `key` for good. */
struct control_code {
    _Alignas(64) uint64_t key; /* of name, file and line; 0: free */
    uint64_t hits;             /* while anything was armed at points, by all processes */
    uint32_t line;             /* written last; 0: not whole yet */
    uint32_t gives_error;
    char name[RULE_LABEL_MAX];
    char file[CONTROL_CODE_FILE_MAX]; /* the end of a long one */
};

struct control_counters {
    uint32_t magic, version;
    uint64_t refused;  /* processes that could not read this page's version */
    uint64_t unlisted; /* processes that found no free slot */
    uint64_t lost;     /* calls passed through because a table of the shim was full or the page would not hold still */
    struct control_process processes[CONTROL_PROCESSES_MAX];
    struct control_count counts[2][PLAN_RULES_MAX];
    struct control_readings readings[2][CONTROL_READERS];
    struct detour detours[DETOURS_MAX];
    struct control_locks locks;
    struct control_site sites[CONTROL_SITES_MAX];
    struct unsynced_log unsynced;
    struct control_code codes[CONTROL_CODE_MAX];
};

#define CONTROL_PAGE_SIZE UINT64_C(65536) /* the largest page size of the machines we know: both parts start on one */
#define CONTROL_ROUND(size) (((size) + CONTROL_PAGE_SIZE - 1) / CONTROL_PAGE_SIZE * CONTROL_PAGE_SIZE)
#define CONTROL_COUNTERS_OFFSET CONTROL_ROUND(sizeof(struct control_rules))
#define CONTROL_DETOURS_OFFSET (CONTROL_COUNTERS_OFFSET + offsetof(struct control_counters, detours)) /* in the file */
#define CONTROL_SIZE (CONTROL_COUNTERS_OFFSET + CONTROL_ROUND(sizeof(struct control_counters)))

#endif
