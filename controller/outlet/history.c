/* Grouping. */
#include "controller/outlet/history.h"

#include "controller/report/doc.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds_of(const char *instant)
{
    struct tm broken_down = { .tm_year = 0 };

    return instant && strptime(instant, "%Y-%m-%dT%H:%M:%SZ", &broken_down) ? (double)timegm(&broken_down) : 0;
}

static struct metrics_playbook *find(struct metrics_history *history, const char *name)
{
    struct metrics_playbook *playbook;

    for (size_t i = 0; i < history->count; i++)
        if (!strcmp(history->playbooks[i].playbook, name))
            return &history->playbooks[i];
    if (history->count == HISTORY_PLAYBOOKS_MAX)
        return NULL;
    playbook = &history->playbooks[history->count];
    *playbook = (struct metrics_playbook){ .playbook = name, .verdicts = calloc(HISTORY_VERDICTS_MAX, sizeof(struct metrics_verdict)), .last_status = -1,
                                           .convergence_s = NAN, .convergence_low_s = NAN, .convergence_high_s = NAN, .loss_s = NAN };
    history->count += playbook->verdicts != NULL;
    return playbook->verdicts ? playbook : NULL;
}

static void count_verdict(struct metrics_playbook *playbook, const char *verdict)
{
    struct metrics_verdict *verdicts = (struct metrics_verdict *)(uintptr_t)playbook->verdicts; /* ours */
    size_t at = 0;

    while (at < playbook->verdict_count && strcmp(verdicts[at].verdict, verdict) != 0)
        at++;
    if (at == HISTORY_VERDICTS_MAX)
        return;
    verdicts[at].verdict = verdict;
    verdicts[at].runs++;
    playbook->verdict_count += at == playbook->verdict_count;
}

/* The newest comes first: what is set stays. */
static void add(struct metrics_playbook *playbook, const struct store_run *run)
{
    double started_s = seconds_of(run->started);

    count_verdict(playbook, run->verdict);
    if (!playbook->service)
        playbook->service = run->service;
    if (!(playbook->last_run_s > 0)) {
        playbook->last_run_s = started_s;
        playbook->last_status = run->status;
    }
    if (run->status == 0 && !(playbook->last_success_s > 0))
        playbook->last_success_s = started_s;
    if (isnan(playbook->convergence_s) && isfinite(run->convergence_s)) {
        playbook->convergence_s = run->convergence_s;
        playbook->convergence_low_s = run->convergence_low_s;
        playbook->convergence_high_s = run->convergence_high_s;
        playbook->loss_s = run->loss_s;
    }
}

int metrics_history_take(const struct store_run *runs, size_t count, const char *(*name_of)(void *context, const struct store_run *run), void *context,
                         struct metrics_history *ret_history)
{
    struct metrics_history history = { .playbooks = calloc(HISTORY_PLAYBOOKS_MAX, sizeof(struct metrics_playbook)) };

    if (!history.playbooks)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const char *name = name_of(context, &runs[i]);
        struct metrics_playbook *playbook;

        if (!name || !runs[i].verdict || !strcmp(runs[i].verdict, "running"))
            continue;
        playbook = find(&history, name);
        if (playbook)
            add(playbook, &runs[i]);
        else
            history.left_out++;
    }
    *ret_history = history;
    return 0;
}

void metrics_history_done(struct metrics_history *history)
{
    for (size_t i = 0; i < history->count; i++)
        free((void *)(uintptr_t)history->playbooks[i].verdicts);
    free(history->playbooks);
    *history = (struct metrics_history){ .count = 0 };
}

void metrics_take_sample(const cJSON *sample, struct metrics_run *run, struct metrics_load *loads, size_t max)
{
    const cJSON *item;

    run->phase = doc_text(sample, "phase")[0] ? doc_text(sample, "phase") : run->phase;
    run->amplification = doc_number(sample, "amplification");
    run->guard_margin = NAN;
    run->loads = loads;
    run->load_count = 0;
    cJSON_ArrayForEach(item, doc_get(sample, "loads"))
    {
        double planned = doc_number(item, "planned");

        if (run->load_count < max && item->string)
            loads[run->load_count++] = (struct metrics_load){ item->string, planned > 0 ? doc_number(item, "good") / planned : (double)NAN, doc_number(item, "p99_s") };
    }
    cJSON_ArrayForEach(item, doc_list(sample, "faults"))
        run->faults_armed += doc_true(item, "armed");
    cJSON_ArrayForEach(item, doc_list(sample, "guards"))
        run->guard_margin = fmin(isnan(run->guard_margin) ? INFINITY : run->guard_margin, doc_number(item, "margin"));
    if (isinf(run->guard_margin))
        run->guard_margin = NAN;
}
