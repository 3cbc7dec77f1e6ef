/* The plan of the scheduler. Pure. */
#include "controller/serve/timetable/schedule_plan.h"

#include "scenarios/base/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool plan_window_is_open(const struct plan_window *window, int64_t at_s)
{
    int64_t begun_s;

    if (!window->cron)
        return window->from_s <= at_s && at_s < window->until_s;
    begun_s = cron_next(window->cron, window->zone, at_s - window->duration_s);
    return begun_s && begun_s <= at_s;
}

const struct plan_window *plan_freeze(const struct plan_window *windows, size_t count, int64_t at_s)
{
    for (size_t i = 0; i < count; i++)
        if (windows[i].freezes && plan_window_is_open(&windows[i], at_s))
            return &windows[i];
    return NULL;
}

/* ---- when ------------------------------------------------------------------------------------------------------------------------ */

static int64_t start_of(const struct plan_schedule *schedule, int64_t due_s)
{
    int64_t room_s = schedule->jitter_s, next_s;

    if (room_s <= 0)
        return due_s;
    next_s = cron_next(schedule->cron, schedule->zone, due_s);
    if (next_s && next_s - due_s - 1 < room_s)
        room_s = next_s - due_s - 1;
    return due_s + (int64_t)rng_below(rng_draw((uint64_t)schedule->id, rng_hash("jitter"), (uint64_t)due_s, 0), (uint64_t)room_s + 1);
}

static bool is_done(const struct plan_schedule *schedule, int64_t due_s)
{
    for (size_t i = 0; i < schedule->done_count; i++)
        if (schedule->done_s[i] == due_s)
            return true;
    return false;
}

static int64_t next_due(const struct plan_schedule *schedule, int64_t after_s)
{
    int64_t due_s = after_s;

    do
        due_s = cron_next(schedule->cron, schedule->zone, due_s);
    while (due_s && is_done(schedule, due_s));
    return due_s;
}

int64_t schedule_next(const struct plan_schedule *schedule, int64_t now_s, int64_t *ret_start_s)
{
    int64_t due_s = next_due(schedule, schedule->considered_s < now_s ? schedule->considered_s : now_s); /* shown before a clock that was set back is noticed */

    *ret_start_s = due_s ? start_of(schedule, due_s) : 0;
    return due_s;
}

/* Of the missed occurrences after this one, are there `count` or more? */
static bool has_later_missed(const struct plan_schedule *schedule, int64_t due_s, int64_t now_s, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        due_s = cron_next(schedule->cron, schedule->zone, due_s);
        if (!due_s || start_of(schedule, due_s) + PLAN_GRACE_S >= now_s)
            return false;
    }
    return true;
}

/* ---- whether ---------------------------------------------------------------------------------------------------------------------- */

static void late_text(int64_t late_s, char *text, size_t size)
{
    if (late_s >= 172800)
        snprintf(text, size, "%" PRId64 " days", late_s / 86400);
    else if (late_s >= 7200)
        snprintf(text, size, "%" PRId64 " hours", late_s / 3600);
    else
        snprintf(text, size, "%" PRId64 " minutes", late_s / 60);
}

/* NULL, or why a missed one is not made up for. */
static const char *missed(const struct plan_schedule *schedule, int64_t now_s, struct plan_decision *decision)
{
    int64_t late_s = now_s - decision->start_s;
    char late[32];

    late_text(late_s, late, sizeof(late));
    if (!schedule->catch_up)
        snprintf(decision->reason, sizeof(decision->reason), "missed: noticed %s late, and missed ones are skipped", late);
    else if (schedule->deadline_s && late_s > schedule->deadline_s)
        snprintf(decision->reason, sizeof(decision->reason), "missed: noticed %s late, past its deadline", late);
    else if (has_later_missed(schedule, decision->due_s, now_s, schedule->catch_up))
        snprintf(decision->reason, sizeof(decision->reason), "missed: noticed %s late; later ones are made up for, %" PRId64 " at most", late,
                 schedule->catch_up);
    else
        return NULL;
    return decision->reason;
}

static bool is_allowed(const struct plan_state *state, const struct plan_schedule *schedule)
{
    for (size_t i = 0; i < schedule->window_count; i++)
        if (plan_window_is_open(&state->windows[schedule->windows[i]], state->now_s))
            return true;
    return !schedule->window_count;
}

/* What needs no look at what runs. NULL, or the reason to skip. */
static const char *refuse(const struct plan_state *state, const struct plan_schedule *schedule, bool late, struct plan_decision *decision)
{
    const struct plan_window *freeze = plan_freeze(state->windows, state->window_count, state->now_s);
    char *reason = decision->reason;
    size_t size = sizeof(decision->reason);

    if (!schedule->enabled)
        snprintf(reason, size, "the schedule is paused");
    else if (state->paused)
        snprintf(reason, size, "the scheduler is paused");
    else if (schedule->skip_s == decision->due_s)
        snprintf(reason, size, "skipped by %s", schedule->skip_by ? schedule->skip_by : "request");
    else if (late && missed(schedule, state->now_s, decision))
        return reason;
    else if (state->lever_engaged)
        snprintf(reason, size, "the safety lever is engaged");
    else if (freeze)
        snprintf(reason, size, "the freeze '%s' holds", freeze->name);
    else if (!is_allowed(state, schedule))
        snprintf(reason, size, "none of its allow windows is open");
    else if (schedule->broken)
        snprintf(reason, size, "%s", schedule->broken);
    else
        return NULL;
    return reason;
}

/* ---- beside what runs ---------------------------------------------------------------------------------------------------------------- */

struct beside {
    const struct plan_state *state;
    const struct plan_decision *decisions; /* made so far */
    size_t decided;
};

static bool has_one_waiting(const struct beside *beside, size_t index)
{
    for (size_t i = 0; i < beside->state->live_count; i++)
        if (beside->state->live[i].waits && beside->state->live[i].schedule == beside->state->schedules[index].id)
            return true;
    for (size_t i = 0; i < beside->decided; i++)
        if (beside->decisions[i].action != PLAN_SKIP && beside->decisions[i].action != PLAN_START && beside->decisions[i].schedule == index)
            return true;
    return false;
}

/* The first that it would meet: a run's id, or a schedule of this very round. NULL: none. `ret_replaceable`: all that it meets may be
 * taken the place of; `ids` lists them. */
static const char *meets(const struct beside *beside, const struct claims *claims, const char **ret_what, bool *ret_replaceable, char *ids, size_t size)
{
    const struct plan_state *state = beside->state;
    const char *first = NULL;

    *ret_replaceable = true;
    ids[0] = '\0';
    for (size_t i = 0; i < state->live_count; i++) {
        const char *what = claims_overlap(claims, state->live[i].claims);
        size_t used = strlen(ids);

        if (!what)
            continue;
        *ret_what = first ? *ret_what : what;
        first = first ? first : state->live[i].id;
        *ret_replaceable &= state->live[i].replaceable && used + strlen(state->live[i].id) + 2 < size;
        if (*ret_replaceable)
            snprintf(ids + used, size - used, "%s%s", used ? " " : "", state->live[i].id);
    }
    for (size_t i = 0; i < beside->decided; i++) {
        const struct plan_decision *other = &beside->decisions[i];
        const char *what = other->action == PLAN_SKIP ? NULL : claims_overlap(claims, state->schedules[other->schedule].claims);

        if (!what)
            continue;
        *ret_what = first ? *ret_what : what;
        first = first ? first : "one that starts now";
        *ret_replaceable = false;
    }
    return first;
}

static void count_acting(const struct beside *beside, int64_t *ret_runs, int64_t *ret_faults)
{
    *ret_runs = *ret_faults = 0;
    for (size_t i = 0; i < beside->state->live_count; i++)
        if (!beside->state->live[i].waits) {
            (*ret_runs)++;
            *ret_faults += beside->state->live[i].claims->faults;
        }
    for (size_t i = 0; i < beside->decided; i++)
        if (beside->decisions[i].action == PLAN_START) {
            (*ret_runs)++;
            *ret_faults += beside->state->schedules[beside->decisions[i].schedule].claims->faults;
        }
}

/* Sets action and reason of one that nothing speaks against but what runs. */
static void place(const struct beside *beside, size_t index, bool late, struct plan_decision *decision)
{
    const struct plan_schedule *schedule = &beside->state->schedules[index];
    const struct plan_limits *limits = &beside->state->limits;
    enum plan_overlap overlap = late ? PLAN_QUEUE : schedule->overlap; /* several that are made up for go one after the other */
    char ids[PLAN_REASON_MAX];
    const char *what = NULL, *met;
    bool replaceable;
    int64_t runs, faults;

    count_acting(beside, &runs, &faults);
    met = meets(beside, schedule->claims, &what, &replaceable, ids, sizeof(ids));
    decision->action = PLAN_START;
    decision->reason[0] = '\0';
    if (schedule->claims->faults > limits->faults_max) {
        decision->action = PLAN_SKIP;
        snprintf(decision->reason, sizeof(decision->reason), "it has %" PRId64 " faults at a time, %" PRId64 " are allowed", schedule->claims->faults,
                 limits->faults_max);
        return;
    }
    if (met && overlap == PLAN_REPLACE && replaceable) {
        decision->action = PLAN_REPLACES;
        snprintf(decision->reason, sizeof(decision->reason), "%s", ids);
        return;
    }
    if (met)
        snprintf(decision->reason, sizeof(decision->reason), "overlaps %.80s on %.120s", met, what);
    else if (runs >= limits->runs_max)
        snprintf(decision->reason, sizeof(decision->reason), "%" PRId64 " runs are live, %" PRId64 " are allowed", runs, limits->runs_max);
    else if (faults + schedule->claims->faults > limits->faults_max)
        snprintf(decision->reason, sizeof(decision->reason), "%" PRId64 " faults act and it has %" PRId64 ", %" PRId64 " are allowed at a time", faults,
                 schedule->claims->faults, limits->faults_max);
    else
        return;
    decision->action = overlap == PLAN_QUEUE ? PLAN_WAIT : PLAN_SKIP;
    if (decision->action == PLAN_WAIT && !late && has_one_waiting(beside, index)) {
        decision->action = PLAN_SKIP;
        snprintf(decision->reason, sizeof(decision->reason), "an earlier one of this schedule waits still");
    }
}

/* ---- the plan -------------------------------------------------------------------------------------------------------------------------- */

struct upcoming {
    int64_t due_s, start_s;
};

static size_t earliest(const struct upcoming *upcoming, size_t count)
{
    size_t best = SIZE_MAX;

    for (size_t i = 0; i < count; i++)
        if (upcoming[i].due_s && (best == SIZE_MAX || upcoming[i].start_s < upcoming[best].start_s))
            best = i;
    return best;
}

static void decide(const struct beside *beside, size_t index, struct plan_decision *decision)
{
    bool late = decision->start_s + PLAN_GRACE_S < beside->state->now_s;

    decision->schedule = index;
    decision->action = PLAN_SKIP;
    if (!refuse(beside->state, &beside->state->schedules[index], late, decision))
        place(beside, index, late, decision);
}

size_t schedule_plan(const struct plan_state *state, struct plan_decision *decisions, size_t max, int64_t *ret_next_s)
{
    struct upcoming upcoming[PLAN_SCHEDULES_MAX];
    struct beside beside = { state, decisions, 0 };
    size_t index;

    for (size_t i = 0; i < state->schedule_count; i++)
        upcoming[i].due_s = schedule_next(&state->schedules[i], state->now_s, &upcoming[i].start_s);
    *ret_next_s = 0;
    while ((index = earliest(upcoming, state->schedule_count)) != SIZE_MAX) {
        struct upcoming *next = &upcoming[index];

        *ret_next_s = next->start_s;
        if (next->start_s > state->now_s)
            break;
        *ret_next_s = state->now_s;
        if (beside.decided == max)
            break;
        decisions[beside.decided] = (struct plan_decision){ .due_s = next->due_s, .start_s = next->start_s };
        decide(&beside, index, &decisions[beside.decided]);
        beside.decided++;
        next->due_s = next_due(&state->schedules[index], next->due_s);
        next->start_s = next->due_s ? start_of(&state->schedules[index], next->due_s) : 0;
        *ret_next_s = 0;
    }
    return beside.decided;
}
