/* Columns of the lists that only some runs have. */
#include "controller/report/table.h"

#include "scenarios/base/cleanup.h"

#include <string.h>

const struct table table_history = {
    .title = "Earlier runs",
    .key = "history",
    .note = "Of the same playbook. Comparable: same load, band, hold and rigour.",
    .columns = {
        { "run", "id", CELL_CODE },
        { "started", "started", CELL_TEXT },
        { "verdict", "verdict", CELL_TEXT },
        { "convergence", "convergence_s", CELL_SECONDS },
        { "at least", "low_s", CELL_SECONDS },
        { "at most", "high_s", CELL_SECONDS },
        { "loss", "loss_s", CELL_SECONDS },
        { "comparable", "comparable", CELL_YES },
        { 0 },
    },
};

const struct table table_locks = {
    .title = "Locks",
    .key = "profile",
    .note = "Where threads wait for each other: the warmer, the more. The delay is estimated from the waits that were timed.",
    .columns = {
        { "site", "site", CELL_CODE },
        { "kind", "kind", CELL_TEXT },
        { "contended", "contended", CELL_COUNT },
        { "delay in all", "delay_s", CELL_SECONDS },
        { "longest", "longest_s", CELL_SECONDS },
        { "timed", "sampled", CELL_COUNT },
        { "module", "module", CELL_CODE },
        { 0 },
    },
};

const struct table table_timers = {
    .title = "People",
    .key = "timers",
    .note = "Detection counts from the deviation, the rest from the detection. What nobody pressed took longer than to the end.",
    .columns = {
        { "time", "timer", CELL_TEXT },
        { "outcome", "outcome", CELL_OUTCOME },
        { "took", "value_s", CELL_SECONDS },
        { "longer than", "at_least_s", CELL_SECONDS },
        { "goal", "target_s", CELL_SECONDS },
        { "since the injection", "from_injection_s", CELL_SECONDS },
        { 0 },
    },
};

const struct table table_marks = {
    .title = "Marks",
    .key = "marks",
    .note = "At the instant the key was pressed.",
    .columns = {
        { "mark", "mark", CELL_TEXT },
        { "at", "at_s", CELL_INSTANT },
        { "by", "by", CELL_TEXT },
        { "text", "text", CELL_TEXT },
        { 0 },
    },
};

const struct table table_holds = {
    .title = "Holds",
    .key = "holds",
    .note = "Nothing further begins until somebody says go; what acts is released in its time.",
    .columns = {
        { "hold", "hold", CELL_TEXT },
        { "outcome", "outcome", CELL_OUTCOME },
        { "at", "at_s", CELL_INSTANT },
        { "waited", "waited_s", CELL_SECONDS },
        { "at most", "bound_s", CELL_SECONDS },
        { 0 },
    },
};

enum gauge table_gauge(const struct table *table, const struct column *column)
{
    static const struct {
        const struct table *table;
        const char *keys;
        enum gauge gauge;
    } rows[] = {
        { &table_guards, " margin ", GAUGE_SHARE },
        { &table_expect, " margin ", GAUGE_SHARE },
        { &table_hops, " baseline fault after ", GAUGE_MOST },
        { &table_ramp, " failed_share latency_s ", GAUGE_HEAT },
        { &table_locks, " contended delay_s longest_s ", GAUGE_HEAT },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *found = rows[i].table == table ? strstr(rows[i].keys, column->key) : NULL;

        if (found && found[-1] == ' ' && found[strlen(column->key)] == ' ')
            return rows[i].gauge;
    }
    return GAUGE_NONE;
}
