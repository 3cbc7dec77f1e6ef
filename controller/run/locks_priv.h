/* What the files of controller/run/locks.h share. */
#ifndef PERTURB_RUN_LOCKS_PRIV_H
#define PERTURB_RUN_LOCKS_PRIV_H

#include "controller/run/locks.h"
#include "scenarios/base/cleanup.h"
#include "shims/host/symbols.h"

struct lock_watcher {
    struct page *page; /* borrowed */
    struct lock_options options;
    struct lock_told told[LOCK_THREADS_MAX];
};

/* The stacks of the threads of a copy that matter, as text. */
enum { LOCK_STACKS_MAX = 256 };

struct lock_stack_text {
    int tid;
    int error; /* 0, or why there is none: a positive errno */
    uint64_t stopped_ns;
    size_t count;
    char *frames[STACK_FRAMES_MAX];
};

struct lock_stacks {
    size_t count;
    uint64_t stopped_ns, longest_ns; /* all threads together; the longest of them */
    struct lock_stack_text list[LOCK_STACKS_MAX];
    size_t object_count;
    struct {
        uint64_t address;
        char name[96];
    } objects[LOCK_STACKS_MAX]; /* locks that lie in named objects */
    size_t text_used;
    char text[256 * 1024]; /* of the frames */
};

/* Stops each thread that waits or holds for as long as its registers are copied. Returns new (one block); NULL: no memory. */
struct lock_stacks *lock_stacks_take(const struct lock_copy *copy);

/* Returns new. */
struct cJSON *lock_snapshot(const struct lock_watcher *watcher, const struct lock_copy *copy, const struct lock_stacks *stacks);

#endif
