/* Ready-made readings of well-known logs, a function a kind of line; which there are, and their sources: extracts.def. */
#include "controller/probe/probe_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Go, GODEBUG=gctrace=1 ------------------------------------------------------------------------------------------------------ */

/* gc 18 @10.1s 2%: 0.015+0.98+0.025 ms clock, 0.12+0.21/0.85/0.32+0.2 ms cpu, 4->5->2 MB, 5 MB goal, ... */
struct go_cycle {
    double cpu_percent, sweep_ms, concurrent_ms, mark_ms, before_mb, after_mb, live_mb;
};

static bool parse_cycle(const char *line, struct go_cycle *cycle)
{
    return sscanf(line, "gc %*u @%*fs %lf%%: %lf+%lf+%lf ms clock, %*[^,], %lf->%lf->%lf MB", &cycle->cpu_percent, &cycle->sweep_ms,
                  &cycle->concurrent_ms, &cycle->mark_ms, &cycle->before_mb, &cycle->after_mb, &cycle->live_mb) == 7;
}

static bool gctrace_pause(struct extract_state *state, const char *line, double *ret_value)
{
    struct go_cycle cycle;

    (void)state;
    if (!parse_cycle(line, &cycle))
        return false;
    *ret_value = (cycle.sweep_ms + cycle.mark_ms) / 1e3;
    return true;
}

static bool gctrace_live(struct extract_state *state, const char *line, double *ret_value)
{
    struct go_cycle cycle;

    (void)state;
    if (!parse_cycle(line, &cycle))
        return false;
    *ret_value = cycle.live_mb * (1 << 20);
    return true;
}

static bool gctrace_cpu(struct extract_state *state, const char *line, double *ret_value)
{
    struct go_cycle cycle;

    (void)state;
    if (!parse_cycle(line, &cycle))
        return false;
    *ret_value = cycle.cpu_percent / 100;
    return true;
}

/* ---- Go, GODEBUG=schedtrace=MS ---------------------------------------------------------------------------------------------------- */

static bool key_number(const char *line, const char *key, double *ret_value, const char **ret_rest)
{
    const char *place = strstr(line, key);
    char *end;

    if (!place)
        return false;
    place += strlen(key);
    *ret_value = strtod(place, &end);
    *ret_rest = end;
    return end > place;
}

static bool schedtrace_threads(struct extract_state *state, const char *line, double *ret_value)
{
    const char *rest;

    (void)state;
    return !strncmp(line, "SCHED ", 6) && key_number(line, " threads=", ret_value, &rest);
}

/* "[2 1 0 0]": the queues of the processors. False where they do not follow: then it is a block of scheddetail. */
static bool add_queues(const char *rest, double *queued)
{
    char *end;

    rest += strspn(rest, " ");
    if (*rest != '[')
        return false;
    for (rest++; *rest && *rest != ']'; rest = end) {
        *queued += strtod(rest, &end);
        if (end == rest)
            end += 1;
    }
    return true;
}

/* SCHED 1004ms: gomaxprocs=2 idleprocs=0 threads=11 spinningthreads=0 ... runqueue=3 [2 1], or, of scheddetail, a block that begins
 * with such a line without the brackets and ends at the next: "  P0: ... runqsize=2 ...". */
static bool schedtrace_runqueue(struct extract_state *state, const char *line, double *ret_value)
{
    double value;
    const char *rest;
    bool ends_block = false;

    if (!strncmp(line, "SCHED ", 6) && key_number(line, " runqueue=", &value, &rest)) {
        ends_block = state->in_block;
        *ret_value = state->queued;
        state->queued = value;
        state->in_block = !add_queues(rest, &state->queued);
        if (!state->in_block) {
            *ret_value = state->queued;
            return true;
        }
    } else if (state->in_block && !strncmp(line, "  P", 3) && key_number(line, " runqsize=", &value, &rest)) {
        state->queued += value;
    }
    return ends_block;
}

/* Of a block of scheddetail: "  G1: status=4(chan receive) m=nil lockedm=nil"; status 0 is not begun, 6 has ended (runtime2.go). */
static bool schedtrace_tasks(struct extract_state *state, const char *line, double *ret_value)
{
    double status;
    const char *rest;
    bool ends_block = false;

    if (!strncmp(line, "SCHED ", 6)) {
        ends_block = state->in_block && state->tasks > 0;
        *ret_value = state->tasks;
        state->tasks = 0;
        state->in_block = true;
    } else if (!strncmp(line, "  G", 3) && key_number(line, ": status=", &status, &rest)) {
        state->tasks += (int)status != 0 && (int)status != 6;
    }
    return ends_block;
}

/* ---- JVM, -Xlog:gc ------------------------------------------------------------------------------------------------------------------ */

/* [0.123s][info][gc] GC(3) Pause Young (Normal) (G1 Evacuation Pause) 24M->4M(254M) 3.150ms */
static bool jvm_pause(struct extract_state *state, const char *line, double *ret_value)
{
    const char *pause = strstr(line, "Pause "), *last = pause ? strrchr(pause, ' ') : NULL;
    char *end;

    (void)state;
    if (!last || !strstr(line, "GC("))
        return false;
    *ret_value = strtod(last + 1, &end) / 1e3;
    return end > last + 1 && !strncmp(end, "ms", 2) && !end[2 + strspn(end + 2, " \r")];
}

/* "24M->4M(254M)", and of ZGC "104M(10%)->88M(9%)". */
static bool jvm_after(struct extract_state *state, const char *line, double *ret_value)
{
    static const char letters[] = "BKMGT";
    const char *arrow = strstr(line, "->"), *unit;
    char *end;
    double value;

    (void)state;
    if (!arrow || !strstr(line, "GC(") || (!strstr(line, "Pause ") && !strstr(line, " Collection ")))
        return false;
    value = strtod(arrow + 2, &end);
    unit = *end ? strchr(letters, *end) : NULL;
    if (end == arrow + 2 || !unit)
        return false;
    for (; unit > letters; unit--)
        value *= 1024;
    *ret_value = value;
    return true;
}

/* ---- Redis ---------------------------------------------------------------------------------------------------------------------------- */

/* "Fork CoW for RDB: current 1 MB, peak 2 MB, average 1 MB"; up to 6.2 "RDB: 2 MB of memory used by copy-on-write". */
static bool redis_cow(struct extract_state *state, const char *line, double *ret_value)
{
    const char *place = strstr(line, "Fork CoW for "), *rest;
    double value;

    (void)state;
    if (place ? !key_number(place, ", peak ", &value, &rest) : !strstr(line, "used by copy-on-write") || !key_number(line, ": ", &value, &rest) )
        return false;
    *ret_value = value * (1 << 20);
    return !strncmp(rest, " MB", 3);
}

static bool redis_aof_delays(struct extract_state *state, const char *line, double *ret_value)
{
    *ret_value = state->count += strstr(line, "Asynchronous AOF fsync is taking too long") != NULL;
    return strstr(line, "Asynchronous AOF fsync is taking too long") != NULL;
}

static bool redis_sync_losses(struct extract_state *state, const char *line, double *ret_value)
{
    const char *place = strstr(line, "Connection with ");
    bool found = place && (strstr(place, " with master lost") || (strstr(place, " with replica ") && strstr(place, " lost")));

    *ret_value = state->count += found;
    return found;
}

static bool (*const extractors[EXTRACT_COUNT])(struct extract_state *state, const char *line, double *ret_value) = {
    [EXTRACT_GCTRACE_PAUSE] = gctrace_pause,
    [EXTRACT_GCTRACE_LIVE] = gctrace_live,
    [EXTRACT_GCTRACE_CPU] = gctrace_cpu,
    [EXTRACT_SCHEDTRACE_RUNQUEUE] = schedtrace_runqueue,
    [EXTRACT_SCHEDTRACE_TASKS] = schedtrace_tasks,
    [EXTRACT_SCHEDTRACE_THREADS] = schedtrace_threads,
    [EXTRACT_JVM_PAUSE] = jvm_pause,
    [EXTRACT_JVM_AFTER] = jvm_after,
    [EXTRACT_REDIS_COW] = redis_cow,
    [EXTRACT_REDIS_AOF_DELAYS] = redis_aof_delays,
    [EXTRACT_REDIS_SYNC_LOSSES] = redis_sync_losses,
};

bool extract_line(enum log_extract extract, struct extract_state *state, const char *line, double *ret_value)
{
    double value = 0;

    if (!extractors[extract](state, line, &value))
        return false;
    *ret_value = value;
    return true;
}

bool extract_counts(enum log_extract extract)
{
    return extract == EXTRACT_REDIS_AOF_DELAYS || extract == EXTRACT_REDIS_SYNC_LOSSES;
}
