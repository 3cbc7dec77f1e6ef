/* A dump of all goroutines as the Go runtime prints it: `/debug/pprof/goroutine?debug=2`, or on stderr after SIGQUIT or a panic.
 * Parsed into tasks; nothing is concluded here. The format is that of runtime/traceback.go and runtime/proc.go, Go 1.4 to 1.24:
 *
 *     goroutine 18 [chan receive, 5 minutes, locked to thread]:
 *     main.worker(0xc00001c0a0, {0x1, 0x2}, ...)
 *             /src/main.go:12 +0x1d
 *     created by main.main in goroutine 1
 *             /src/main.go:30 +0x85
 *
 * 1. Lines outside such a block (a log around it, registers after it) are passed over.
 * 2. Arguments are words as passed in registers or on the stack; "?" marks those that may be stale. */
#ifndef PERTURB_DIAGNOSE_GO_DUMP_H
#define PERTURB_DIAGNOSE_GO_DUMP_H

#include "scenarios/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct go_frame {
    const char *function;
    const char *place; /* "/src/main.go:12"; "" when the dump ends before it */
    uint32_t word_first, word_count; /* of go_dump.words */
};

struct go_task {
    uint64_t id;
    uint64_t creator; /* 0: not told */
    uint32_t minutes; /* blocked for so long at least, by the dump; 0: less than one, or not told */
    uint32_t line;
    const char *state; /* "chan receive", without the rest in brackets */
    const char *maker; /* function after "created by"; "" when there is none */
    uint32_t frame_first, frame_count;
    uint64_t stack_hash; /* of functions and places, not of arguments */
};

struct go_dump {
    char *text; /* what the strings point into */
    struct go_task *tasks;
    struct go_frame *frames;
    uint64_t *words;
    size_t task_count, frame_count, word_count;
    bool truncated; /* it ends in the middle of a task */
};

/* True when the text looks like such a dump at all. */
bool go_dump_is(const char *text, size_t size);

/* Parses it. Takes `text` (heap, terminated at `size`), also on failure. 0; -EINVAL with located errors; -ENOMEM. */
int go_dump_parse(char *text, size_t size, const char *name, struct go_dump *ret_dump, struct errs *errs);
void go_dump_done(struct go_dump *dump);

#endif
