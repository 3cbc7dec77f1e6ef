/* Numbers in lines as they are written: by a pattern, or by a ready-made extractor. A line's instant is that of the reading that found
 * it, so `every` is how exactly it is known. */
#include "controller/probe/probe_priv.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct log_state {
    struct tail *tail;
    struct pattern *pattern; /* NULL: an extractor */
    struct extract_state extract;
    bool begun;
    double count; /* of lines that match */
};

struct line_taker {
    struct reading *reading;
    const struct log_probe *log;
    struct log_state *state;
    uint64_t now_ns;
};

static void log_close(void *argument)
{
    struct log_state *state = argument;

    tail_free(state->tail);
    pattern_free(state->pattern);
    free(state);
}

static int log_open(const struct probe *probe, const char *where, struct errs *errs, void **ret_state)
{
    struct log_state *state = calloc(1, sizeof(*state));
    int result = 0;

    if (!state)
        return errs_add(errs, ERR_WORLD, where, "out of memory");
    state->tail = tail_new();
    if (!state->tail)
        result = errs_add(errs, ERR_WORLD, where, "out of memory");
    else if (probe->log.pattern)
        result = pattern_new(probe->log.pattern, where, errs, &state->pattern);
    if (result < 0) {
        log_close(state);
        return result;
    }
    *ret_state = state;
    return 0;
}

static bool counts_lines(const struct log_probe *log, const struct log_state *state)
{
    return state->pattern ? !pattern_has_group(state->pattern) : extract_counts((enum log_extract)log->extract);
}

static void take_line(void *context, const char *line, size_t length)
{
    struct line_taker *taker = context;
    struct log_state *state = taker->state;
    double value = 0;
    bool found = state->pattern ? pattern_number(state->pattern, line, length, &value) == 0
                                : extract_line((enum log_extract)taker->log->extract, &state->extract, line, &value);

    if (!found)
        return;
    if (counts_lines(taker->log, state))
        state->count++;
    else
        reading_put(taker->reading, taker->now_ns, value);
}

static int log_read(struct reading *reading)
{
    const struct log_probe *log = &reading->probe->log;
    struct log_state *state = reading->state;
    struct line_taker taker = { reading, log, state, clock_now_ns() };
    char path[4096];
    int result = 0;

    if (log->target && reading->world->target_log(reading->world->context, log->target, path, sizeof(path)) < 0)
        return reading_fail(reading, "the log of target '%s' is not known", log->target);
    if (!log->target && (size_t)snprintf(path, sizeof(path), "%s", log->path) >= sizeof(path))
        return reading_fail(reading, "the path of the log is too long");
    if (!state->begun)
        tail_begin(state->tail, path);
    state->begun = true;
    result = tail_read(state->tail, path, take_line, &taker);
    if (result < 0)
        return reading_fail(reading, "%s: %s", log->path ? log->path : log->target, strerror(-result));
    if (counts_lines(log, state))
        reading_put(reading, taker.now_ns, state->count);
    return 0;
}

const struct probe_reader probe_log = { .open = log_open, .close = log_close, .read = log_read };
