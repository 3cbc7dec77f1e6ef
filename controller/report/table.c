/* Columns of every list of the result document. */
#include "controller/report/table.h"

#include "controller/report/doc.h"
#include "controller/report/format.h"

#include <math.h>
#include <string.h>

enum { LIST_ITEMS_MAX = 12 };

const struct table table_expect = {
    .title = "Expectations",
    .key = "expect",
    .note = "What the playbook asked for. An interval that straddles its bound proves nothing either way.",
    .columns = {
        { "outcome", "outcome", CELL_OUTCOME },
        { "what", "what", CELL_TEXT },
        { "asked for", "bound", CELL_TEXT },
        { "measured", "value", CELL_TEXT },
        { "margin", "margin", CELL_SHARE },
        { 0 },
    },
};

const struct table table_steady = {
    .title = "Steady state before the fault",
    .key = "steady_state",
    .note = "If it was not well before, nothing can be said about how it recovers.",
    .columns = {
        { "outcome", "outcome", CELL_OUTCOME },
        { "signal", "signal", CELL_CODE },
        { "asked for", "bound", CELL_TEXT },
        { "measured", "value", CELL_TEXT },
        { 0 },
    },
};

const struct table table_faults = {
    .title = "Faults",
    .key = "faults",
    .note = "Matched: places where the fault could act. Fired: where it did. Injected: the first time it acted.",
    .columns = {
        { "name", "name", CELL_TEXT },
        { "fault", "fault", CELL_CODE },
        { "as given", "spec", CELL_CODE },
        { "on", "scope", CELL_TEXT },
        { "injected", "injected_s", CELL_FIRST_ACT },
        { "released", "released_s", CELL_INSTANT },
        { "matched", "matched", CELL_COUNT },
        { "fired", "fired", CELL_COUNT },
        { "skipped", "skipped", CELL_COUNT },
        { "measured", "effect", CELL_TEXT },
        { 0 },
    },
};

const struct table table_loads = {
    .title = "Load",
    .key = "loads",
    .note = "Requests are sent on a fixed plan whatever the service does, and are timed from when they were due.",
    .columns = {
        { "name", "name", CELL_TEXT },
        { "url", "url", CELL_CODE },
        { "rate", "rate_per_s", CELL_RATE },
        { "planned", "planned", CELL_COUNT },
        { "ok", "ok", CELL_COUNT },
        { "failed", "failed", CELL_COUNT },
        { "outcomes", "outcomes", CELL_TALLY },
        { "late", "late", CELL_COUNT },
        { "kept its plan", "fit", CELL_YES },
        { "trouble", "trouble", CELL_TEXT },
        { 0 },
    },
};

const struct table table_proxies = {
    .title = "Proxies",
    .key = "proxies",
    .note = "Held bytes at their bound push back on the sender: latency has then turned into bandwidth.",
    .columns = {
        { "name", "name", CELL_TEXT },
        { "listens on", "listen", CELL_CODE },
        { "forwards to", "upstream", CELL_CODE },
        { "connections", "connections", CELL_COUNT },
        { "to upstream", "bytes_to_upstream", CELL_BYTES },
        { "to client", "bytes_to_client", CELL_BYTES },
        { "held at most", "held_bytes_peak", CELL_BYTES },
        { "bound", "held_bytes_max", CELL_BYTES },
        { "bound reached", "hold_full", CELL_COUNT },
        { 0 },
    },
};

const struct table table_datagrams = {
    .title = "Datagrams",
    .key = "datagrams",
    .note = "Of the UDP proxies, both directions together. Dropped and doubled by faults; all else that was lost has a column of its own.",
    .columns = {
        { "proxy", "proxy", CELL_TEXT },
        { "sessions", "sessions", CELL_COUNT },
        { "came", "came", CELL_COUNT },
        { "passed on", "passed", CELL_COUNT },
        { "dropped", "dropped", CELL_COUNT },
        { "doubled", "doubled", CELL_COUNT },
        { "found no room", "no_room", CELL_COUNT },
        { "failed", "failed", CELL_COUNT },
        { "lost before us", "overrun", CELL_COUNT },
        { 0 },
    },
};

const struct table table_targets = {
    .title = "Targets",
    .key = "targets",
    .note = "",
    .columns = {
        { "name", "name", CELL_TEXT },
        { "command", "command", CELL_CODE },
        { "starts", "starts", CELL_COUNT },
        { "ends", "exits", CELL_EXITS },
        { 0 },
    },
};

const struct table table_probes = {
    .title = "Probes",
    .key = "probes",
    .note = "What was read beside the load. A reading that failed is no data.",
    .columns = {
        { "name", "name", CELL_CODE },
        { "every", "every_s", CELL_SECONDS },
        { "readings", "samples", CELL_COUNT },
        { "failed", "failed", CELL_COUNT },
        { "skipped", "skipped", CELL_COUNT },
        { "last failure", "last_failure", CELL_TEXT },
        { 0 },
    },
};

const struct table table_health = {
    .title = "Health",
    .key = "health",
    .note = "Scores, 0 to 100 %, and below each its parts: each signal from bad to good. What is unknown is left empty.",
    .columns = {
        { "score", "name", CELL_CODE },
        { "of", "signal", CELL_CODE },
        { "good from", "good", CELL_TEXT },
        { "bad from", "bad", CELL_TEXT },
        { "weight", "weight", CELL_TIMES },
        { "before", "baseline", CELL_SHARE },
        { "under the fault", "fault", CELL_SHARE },
        { "worst", "worst", CELL_SHARE },
        { "after", "after", CELL_SHARE },
        { "known", "known", CELL_SHARE },
        { 0 },
    },
};

const struct table table_captures = {
    .title = "Captures",
    .key = "captures",
    .note = "Evidence, in the run's directory. Secrets in texts are blanked.",
    .columns = {
        { "name", "name", CELL_CODE },
        { "moment", "moment", CELL_TEXT },
        { "at", "at_s", CELL_INSTANT },
        { "took", "took_s", CELL_SECONDS },
        { "file", "file", CELL_CODE },
        { "bytes", "bytes", CELL_BYTES },
        { "blanked", "blanked", CELL_COUNT },
        { "outcome", "outcome", CELL_TEXT },
        { 0 },
    },
};

const struct table table_guards = {
    .title = "Guards",
    .key = "guards",
    .note = "What would have ended the run early, and how near it came.",
    .columns = {
        { "signal", "signal", CELL_CODE },
        { "limit", "bound", CELL_TEXT },
        { "then", "action", CELL_TEXT },
        { "worst seen", "worst", CELL_TEXT },
        { "room left", "margin", CELL_SHARE },
        { "breached", "breached", CELL_YES },
        { "at", "breached_s", CELL_INSTANT },
        { "gone after", "latency_s", CELL_SECONDS },
        { 0 },
    },
};

const struct table table_undo = {
    .title = "Undo",
    .key = "undo",
    .note = "Every change to the world, and how it was taken back.",
    .columns = {
        { "outcome", "outcome", CELL_OUTCOME },
        { "change", "entry", CELL_TEXT },
        { 0 },
    },
};

const struct table table_verify = {
    .title = "Verified afterwards",
    .key = "verify",
    .note = "Judged from outside, not by the parts that did the work.",
    .columns = {
        { "outcome", "outcome", CELL_OUTCOME },
        { "claim", "what", CELL_TEXT },
        { 0 },
    },
};

const struct table table_hops = {
    .title = "Amplification",
    .parent = "amplification",
    .key = "hops",
    .note = "Attempts per logical request. Above its own baseline after the fault, retries are keeping the trouble alive.",
    .columns = {
        { "hop", "proxy", CELL_TEXT },
        { "before", "baseline", CELL_TIMES },
        { "during the fault", "fault", CELL_TIMES },
        { "after", "after", CELL_TIMES },
        { "worst second", "peak", CELL_TIMES },
        { 0 },
    },
};

const struct table table_knees = {
    .title = "Knee",
    .parent = "ramp",
    .key = "knees",
    .note = "The most load that is served as promised. Below the first number of its interval no step failed; from the second on each did.",
    .columns = {
        { "when", "when", CELL_TEXT },
        { "knee", "rate_per_s", CELL_RATE },
        { "from", "low_per_s", CELL_RATE },
        { "to", "high_per_s", CELL_RATE },
        { "search", "end", CELL_TEXT },
        { "steps", "steps", CELL_COUNT },
        { "stuck", "stuck", CELL_YES },
        { "note", "note", CELL_TEXT },
        { 0 },
    },
};

const struct table table_ramp = {
    .title = "Water levels",
    .parent = "ramp",
    .key = "steps",
    .note = "Each step of the ramp, in order: what was offered, what was served, and how high the water stood.",
    .columns = {
        { "outcome", "outcome", CELL_OUTCOME },
        { "when", "when", CELL_TEXT },
        { "at", "at_s", CELL_INSTANT },
        { "offered", "rate_per_s", CELL_RATE },
        { "served", "served_per_s", CELL_RATE },
        { "failed", "failed_share", CELL_SHARE },
        { "latency", "latency_s", CELL_SECONDS },
        { "levels", "levels", CELL_TEXT },
        { 0 },
    },
};

const struct table table_costs = {
    .title = "Against what is promised",
    .parent = "slo",
    .key = "costs",
    .note = "From the injection to the end. Burn 1 spends the error budget in exactly its period; debt is what requests waited beyond the promise.",
    .columns = {
        { "load", "load", CELL_TEXT },
        { "requests", "requests", CELL_COUNT },
        { "failed", "bad", CELL_COUNT },
        { "slow", "slow", CELL_COUNT },
        { "debt", "latency_debt_s", CELL_SECONDS },
        { "debt a request", "debt_per_request_s", CELL_SECONDS },
        { "burn", "burn", CELL_TIMES },
        { "of the budget", "budget_share", CELL_SHARE },
        { 0 },
    },
};

const struct table table_controls = {
    .title = "Control arm",
    .key = "controls",
    .note = "The same load at the same instants on an undisturbed twin. What fails in both arms at once is excused, and not judged.",
    .columns = {
        { "load", "load", CELL_TEXT },
        { "control", "control", CELL_TEXT },
        { "requests", "planned", CELL_COUNT },
        { "failed", "bad", CELL_COUNT },
        { "failed in the control", "control_bad", CELL_COUNT },
        { "excused", "excused", CELL_COUNT },
        { 0 },
    },
};

const struct table table_backlogs = {
    .title = "Backlogs",
    .key = "backlogs",
    .note = "How long waiting work took to drain once the service was back.",
    .columns = {
        { "signal", "signal", CELL_CODE },
        { "drained after", "drain_s", CELL_SECONDS },
        { "from", "drain_low_s", CELL_SECONDS },
        { "to", "drain_high_s", CELL_SECONDS },
        { 0 },
    },
};

const cJSON *table_rows(const struct table *table, const cJSON *result)
{
    const cJSON *rows = doc_list(table->parent ? doc_get(result, table->parent) : result, table->key);

    return rows && rows->child ? rows : NULL;
}

static void put_tally(struct buf *out, const cJSON *tally)
{
    size_t items = 0;
    const cJSON *item;

    if (!cJSON_IsObject(tally))
        return;
    cJSON_ArrayForEach(item, tally) {
        if (items++ == LIST_ITEMS_MAX) {
            buf_puts(out, ", ...");
            return;
        }
        buf_printf(out, "%s%.60s %s", items > 1 ? ", " : "", item->string ? item->string : "", fmt_count(doc_value(item)).text);
    }
}

static void put_exits(struct buf *out, const cJSON *exits)
{
    size_t items = 0;
    const cJSON *item;

    cJSON_ArrayForEach(item, exits) {
        if (items++ == LIST_ITEMS_MAX) {
            buf_puts(out, ", ...");
            return;
        }
        buf_printf(out, "%s%.60s at %s", items > 1 ? ", " : "", doc_text(item, "status"),
                   fmt_instant(doc_number(item, "at_s")).text);
    }
}

static struct fmt number(enum cell cell, double value)
{
    switch (cell) {
    case CELL_BYTES:
        return fmt_bytes(value);
    case CELL_INSTANT:
    case CELL_FIRST_ACT:
        return fmt_instant(value);
    case CELL_SECONDS:
        return fmt_seconds(value);
    case CELL_SHARE:
        return fmt_share(value);
    case CELL_TIMES:
        return fmt_times(value);
    case CELL_RATE:
        return fmt_rate(value);
    default:
        return fmt_count(value);
    }
}

void table_cell(struct buf *out, const struct column *column, const cJSON *row)
{
    const cJSON *item = doc_get(row, column->key);

    switch (column->cell) {
    case CELL_TEXT:
    case CELL_CODE:
    case CELL_OUTCOME:
        buf_puts(out, doc_text(row, column->key));
        return;
    case CELL_TALLY:
        put_tally(out, item);
        return;
    case CELL_EXITS:
        put_exits(out, cJSON_IsArray(item) ? item : NULL);
        return;
    case CELL_YES:
        buf_puts(out, cJSON_IsTrue(item) ? "yes" : cJSON_IsFalse(item) ? "no" : "");
        return;
    default:
        if (!isnan(doc_value(item)))
            buf_puts(out, number(column->cell, doc_value(item)).text);
        else if (column->cell == CELL_FIRST_ACT)
            buf_puts(out, "never");
    }
}

bool table_is_number(const struct column *column)
{
    switch (column->cell) {
    case CELL_COUNT:
    case CELL_BYTES:
    case CELL_INSTANT:
    case CELL_FIRST_ACT:
    case CELL_SECONDS:
    case CELL_SHARE:
    case CELL_TIMES:
    case CELL_RATE:
        return true;
    default:
        return false;
    }
}

bool table_column_used(const struct column *column, const cJSON *rows)
{
    const cJSON *row;

    cJSON_ArrayForEach(row, rows) {
        const cJSON *item = doc_get(row, column->key);

        if (item && !cJSON_IsNull(item))
            return true;
    }
    return false;
}
