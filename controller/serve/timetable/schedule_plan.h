/* What is due: a pure function of rows and an instant. No clock is read, nothing is written; the scheduler acts on what it says.
 *
 * 1. Every occurrence of a schedule after `considered_s` is decided once, in order: it starts, waits, or is skipped with a reason.
 * 2. An occurrence is due at its cron instant plus a jitter that is drawn from (schedule, occurrence): the same whenever it is asked,
 *    and below the gap to the next one, so that occurrences keep their order.
 * 3. One that could not be decided within PLAN_GRACE_S of its start was missed: `catch_up` says how many of the newest missed ones
 *    are made up for, within `deadline_s`. For faults the right default is none (a backlog comes at the worst time).
 * 4. A clock that was set ahead makes occurrences missed, each of which is recorded. One that was set back brings them again, but for
 *    those that have run: whoever keeps the rows sets a `considered_s` that lies ahead back to now, and gives what has run in `done_s`. */
#ifndef PERTURB_SERVE_SCHEDULE_PLAN_H
#define PERTURB_SERVE_SCHEDULE_PLAN_H

#include "controller/serve/core/claims.h"
#include "controller/serve/timetable/cron.h"

enum { PLAN_GRACE_S = 90, PLAN_REASON_MAX = 320, PLAN_SCHEDULES_MAX = 256, PLAN_CATCH_UP_MAX = 100, PLAN_EVERY_MIN_S = 60 };

enum plan_overlap { PLAN_FORBID, PLAN_QUEUE, PLAN_REPLACE };
#define PLAN_OVERLAP_WORDS "forbid queue replace"

struct plan_window {
    const char *name;
    bool freezes;            /* else it allows */
    const struct cron *cron; /* begins at its instants, for duration_s; NULL: from_s to until_s */
    const struct zone *zone;
    int64_t duration_s, from_s, until_s;
};

struct plan_schedule {
    int64_t id;
    const struct cron *cron;
    const struct zone *zone;
    int64_t jitter_s, deadline_s; /* deadline_s 0: none */
    int64_t catch_up;             /* 0..PLAN_CATCH_UP_MAX */
    enum plan_overlap overlap;
    bool enabled;
    int64_t considered_s;
    const int64_t *done_s; /* those after considered_s that have run: a clock was set back */
    size_t done_count;
    int64_t skip_s;      /* this occurrence was asked to be skipped; 0: none */
    const char *skip_by; /* by whom */
    const size_t *windows; /* indexes of allow windows; when there are any, one of them has to be open. Freezes hold for all */
    size_t window_count;
    const struct claims *claims; /* NULL together with `broken` */
    const char *broken;          /* why it cannot run at all; NULL: it can */
};

/* What runs or waits. */
struct plan_live {
    const char *id;
    const struct claims *claims;
    bool waits;       /* in the queue */
    bool replaceable; /* a schedule started it: another may take its place */
    int64_t schedule; /* 0: none */
};

struct plan_limits {
    int64_t faults_max, runs_max; /* at a time */
};

struct plan_state {
    int64_t now_s;
    bool lever_engaged, paused;
    struct plan_limits limits;
    const struct plan_schedule *schedules; /* at most PLAN_SCHEDULES_MAX */
    size_t schedule_count;
    const struct plan_window *windows;
    size_t window_count;
    const struct plan_live *live;
    size_t live_count;
};

enum plan_action { PLAN_START, PLAN_WAIT, PLAN_REPLACES, PLAN_SKIP };

struct plan_decision {
    size_t schedule; /* index */
    int64_t due_s, start_s;
    enum plan_action action;
    char reason[PLAN_REASON_MAX]; /* of a skip, of a wait; for PLAN_REPLACES the ids of the runs to be aborted, space-separated */
};

/* The decisions that are to be made by `now_s`, ordered by their starts. Returns how many, at most `max`; `ret_next_s` is when to ask
 * again: now_s when there are more, 0 when nothing will ever be due. */
size_t schedule_plan(const struct plan_state *state, struct plan_decision *decisions, size_t max, int64_t *ret_next_s);

/* The next occurrence that has not been decided, and its start; 0: none. */
int64_t schedule_next(const struct plan_schedule *schedule, int64_t now_s, int64_t *ret_start_s);

bool plan_window_is_open(const struct plan_window *window, int64_t at_s);

/* The freeze that holds at this instant; NULL: none. */
const struct plan_window *plan_freeze(const struct plan_window *windows, size_t count, int64_t at_s);

#endif
