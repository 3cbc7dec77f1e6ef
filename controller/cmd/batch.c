/* Survival of a batch of runs as text. */
#include "controller/cmd/batch.h"

#include "controller/history/groups.h"
#include "controller/report/doc.h"
#include "controller/report/format.h"
#include "scenarios/base/cleanup.h"

#include <math.h>
#include <string.h>

enum { POINTS_MAX = 12 };

static void tell_quantile(const struct survival *survival, double share, const char *word, struct buf *out)
{
    struct est_interval interval;
    double time_s = survival_quantile(survival, share, &interval);

    if (!isfinite(time_s)) {
        buf_printf(out, "  %s of the runs: not back within what was watched (%s)\n", word, fmt_seconds(survival->last_s).text);
        return;
    }
    buf_printf(out, "  %s of the runs: back within %s", word, fmt_seconds(time_s).text);
    if (isfinite(interval.low))
        buf_printf(out, " (95 %% interval %s to ", fmt_seconds(interval.low).text);
    if (isfinite(interval.low))
        buf_printf(out, "%s)", isfinite(interval.high) ? fmt_seconds(interval.high).text : "unknown");
    buf_puts(out, "\n");
}

static void tell_survival(const struct run_group *group, const struct survival *survival, struct buf *out)
{
    buf_printf(out, "\nTogether with the other runs of its batch: %zu runs, %zu never came back while watched", survival->runs, survival->censored);
    if (group->unjudged)
        buf_printf(out, ", %zu more gave no number", group->unjudged);
    buf_puts(out, "\n");
    tell_quantile(survival, 0.5, "half", out);
    tell_quantile(survival, 0.9, "nine in ten", out);
    for (size_t i = 0; i < survival->points && i < POINTS_MAX; i++) {
        const struct survival_point *point = &survival->point[i];

        buf_printf(out, "  after %-8s %s not back", fmt_seconds(point->time_s).text, fmt_share(point->share).text);
        if (isfinite(point->low) && isfinite(point->high))
            buf_printf(out, " (%s", fmt_share(point->low).text);
        if (isfinite(point->low) && isfinite(point->high))
            buf_printf(out, " to %s)", fmt_share(point->high).text);
        buf_puts(out, "\n");
    }
}

int batch_tell(const cJSON *document, struct buf *out, struct errs *errs)
{
    const char *batch = doc_text(doc_get(document, "run"), "batch");
    struct store_history *history = NULL;
    struct store_run *runs = NULL;
    struct run_group group = { 0 };
    struct survival survival;
    size_t count = 0;
    int result;

    if (!batch[0])
        return 0;
    result = store_history_open(NULL, &history, errs);
    if (result == 0)
        result = store_history_batch(history, batch, &runs, &count, errs);
    store_history_close(history);
    if (result < 0)
        return result;
    result = run_group_take(runs, count, errs, &group);
    if (result == 0 && group.count > 1 && survival_estimate(group.outcome, group.count, &survival) == 0) {
        tell_survival(&group, &survival, out);
        survival_done(&survival);
    }
    run_group_done(&group);
    return result;
}
