/* Medians and goals. */
#include "tests/bench/peers/table.h"

#include "scenarios/base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cell {
    double values[ROUNDS_MAX];
    unsigned count;
};

static struct cell cells[ROWS][CONTENDERS][METRICS];

static const char *const row_names[ROWS] = {
    [ROW_BULK1Z] = "bulk1z: 1 stream, cheap load",
    [ROW_BULK8Z] = "bulk8z: 8 streams, cheap load",
    [ROW_BULK1] = "bulk1: 1 stream, copying load",
    [ROW_BULK8] = "bulk8: 8 streams, copying load",
    [ROW_WATCHED] = "bulk1z through latency 0",
    [ROW_PP64] = "pp64: 64 connections, 64 B exchanges, proxy on its own core",
    [ROW_PP512] = "pp512: 512 connections, proxy on its own core",
    [ROW_PP64_ONE] = "pp64, all on one core",
    [ROW_PP512_ONE] = "pp512, all on one core",
    [ROW_CPS32] = "cps32: 32 openers, connect + 64 B + close",
    [ROW_IDLE] = "9,500 connections at rest",
    [ROW_LATE_1] = "latency 10 ms, 1 connection, 1,000 req/s: release inside the proxy",
    [ROW_LATE_200] = "latency 10 ms, 200 connections, 10,000 req/s: release inside the proxy",
    [ROW_END_1] = "the same end to end, 1 connection, less the no-fault run",
    [ROW_END_200] = "the same end to end, 200 connections, less the no-fault run",
    [ROW_RATE_1M_1] = "bandwidth 1 MB/s, 1 connection",
    [ROW_RATE_1M_4] = "bandwidth 1 MB/s, 4 connections",
    [ROW_RATE_100M_1] = "bandwidth 100 MB/s, 1 connection",
    [ROW_RATE_100M_4] = "bandwidth 100 MB/s, 4 connections",
    [ROW_HOLD] = "latency 50 ms at full speed, 1 connection",
};

static const struct {
    const char *name, *unit;
    double scale; /* of the value kept */
    int digits;
} metrics[METRICS] = {
    [METRIC_PER_S] = { "rate", "/s", 1, 0 },     [METRIC_CPU] = { "cpu", "", 1, 3 },         [METRIC_P50] = { "p50", "us", 1, 1 },
    [METRIC_P99] = { "p99", "us", 1, 1 },        [METRIC_P999] = { "p99.9", "us", 1, 1 },    [METRIC_BYTES] = { "bytes", "B", 1, 0 },
    [METRIC_ERROR] = { "mean off", "%", 1, 3 },  [METRIC_WINDOW] = { "p99 window", "x", 1, 3 }, [METRIC_COUNT] = { "told", "times", 1, 0 },
};

void table_put(enum row row, enum contender_id who, enum metric metric, double value)
{
    struct cell *cell = &cells[row][who][metric];

    if (cell->count < ROUNDS_MAX)
        cell->values[cell->count++] = value;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void sort(struct cell *cell)
{
    qsort(cell->values, cell->count, sizeof(cell->values[0]), by_value);
}

static double median(struct cell *cell)
{
    sort(cell);
    if (cell->count % 2)
        return cell->values[cell->count / 2];
    return (cell->values[cell->count / 2 - 1] + cell->values[cell->count / 2]) / 2;
}

static bool was_measured(enum row row, enum contender_id who)
{
    for (int metric = 0; metric < METRICS; metric++)
        if (cells[row][who][metric].count)
            return true;
    return false;
}

static void print_line(enum row row, enum contender_id who)
{
    printf("  %-17s", contenders[who].name);
    for (int metric = 0; metric < METRICS; metric++) {
        struct cell *cell = &cells[row][who][metric];

        if (!cell->count)
            continue;
        printf("  %s %.*f", metrics[metric].name, metrics[metric].digits, median(cell) * metrics[metric].scale);
        if ((metric == METRIC_PER_S || metric == METRIC_CPU) && cell->count > 1)
            printf(" [%.*f..%.*f]", metrics[metric].digits, cell->values[0], metrics[metric].digits, cell->values[cell->count - 1]);
    }
    printf("\n");
}

void table_print_rows(void)
{
    for (int row = 0; row < ROWS; row++) {
        bool titled = false;

        for (int who = 0; who < CONTENDERS; who++) {
            if (!was_measured((enum row)row, (enum contender_id)who))
                continue;
            if (!titled)
                printf("%s\n", row_names[row]);
            titled = true;
            print_line((enum row)row, (enum contender_id)who);
        }
    }
}

/* ---- goals ------------------------------------------------------------------------------------------------------------ */

/* What `who` is to reach: at least or at most `bound` times what `against` reached, or the bound itself with NOBODY. */
struct goal {
    const char *figure;
    enum row row;
    enum metric metric;
    enum contender_id who, against;
    bool at_least;
    double bound;
};

#define BULK_GOALS(row)                                                                                                                    \
    { "bulk, cheap load", row, METRIC_PER_S, PERTURB, DIRECT, true, 0.82 },                                                                \
        { "bulk, cheap load", row, METRIC_PER_S, PERTURB, HAPROXY_SPLICE, true, 1.0 },                                                     \
        { "bulk, cheap load", row, METRIC_PER_S, PERTURB, NGINX_128K, true, 2.5 },                                                         \
        { "proxy CPU per GB", row, METRIC_CPU, PERTURB, HAPROXY_SPLICE, false, 1.0 },                                                      \
        { "proxy CPU per GB", row, METRIC_CPU, PERTURB, HAPROXY, false, 0.25 }, { "proxy CPU per GB", row, METRIC_CPU, PERTURB, NGINX, false, 0.25 }
#define LATE_GOALS(row, who, p50, p99, p999)                                                                                               \
    { "", row, METRIC_P50, who, NOBODY, false, p50 }, { "", row, METRIC_P99, who, NOBODY, false, p99 },                                    \
        { "", row, METRIC_P999, who, NOBODY, false, p999 }
#define RATE_GOALS(row) { "", row, METRIC_ERROR, PERTURB, NOBODY, false, 0.5 }, { "", row, METRIC_WINDOW, PERTURB, NOBODY, false, 1.15 }

static const struct goal goals[] = {
    BULK_GOALS(ROW_BULK1Z),
    BULK_GOALS(ROW_BULK8Z),
    { "bulk through a fault that looks", ROW_WATCHED, METRIC_PER_S, PERTURB, HAPROXY_128K, true, 1.0 },
    { "CPU per request, 64, one core", ROW_PP64_ONE, METRIC_CPU, PERTURB, HAPROXY, false, 0.68 },
    { "CPU per request, 512, one core", ROW_PP512_ONE, METRIC_CPU, PERTURB, HAPROXY, false, 0.58 },
    { "requests/s, 64", ROW_PP64, METRIC_PER_S, PERTURB, HAPROXY, true, 1.15 },
    { "requests/s, 64", ROW_PP64, METRIC_PER_S, PERTURB, NGINX, true, 1.08 },
    { "requests/s, 512", ROW_PP512, METRIC_PER_S, PERTURB, HAPROXY, true, 1.35 },
    { "requests/s, 512", ROW_PP512, METRIC_PER_S, PERTURB, NGINX, true, 1.35 },
    { "p99, 64", ROW_PP64, METRIC_P99, PERTURB, HAPROXY, false, 0.90 },
    { "p99, 512", ROW_PP512, METRIC_P99, PERTURB, HAPROXY, false, 1.0 },
    { "new connections/s, 32", ROW_CPS32, METRIC_PER_S, PERTURB, HAPROXY, true, 1.2 },
    { "new connections/s, 32", ROW_CPS32, METRIC_PER_S, PERTURB, NGINX, true, 1.1 },
    { "user memory a connection", ROW_IDLE, METRIC_BYTES, PERTURB, NOBODY, false, 512 },
    LATE_GOALS(ROW_LATE_1, PERTURB, 60, 120, 300),
    LATE_GOALS(ROW_LATE_200, PERTURB, 60, 120, 300),
    LATE_GOALS(ROW_LATE_1, PERTURB_PRECISE, 5, 25, 100),
    LATE_GOALS(ROW_LATE_200, PERTURB_PRECISE, 5, 25, 100),
    LATE_GOALS(ROW_END_1, PERTURB, 60, 150, 400),
    LATE_GOALS(ROW_END_200, PERTURB, 60, 150, 400),
    RATE_GOALS(ROW_RATE_1M_1),
    RATE_GOALS(ROW_RATE_1M_4),
    RATE_GOALS(ROW_RATE_100M_1),
    RATE_GOALS(ROW_RATE_100M_4),
    { "peak held", ROW_HOLD, METRIC_BYTES, PERTURB, NOBODY, false, 32 << 20 },
    { "the bound was told", ROW_HOLD, METRIC_COUNT, PERTURB, NOBODY, true, 1 },
};

/* A difference of two runs that lies below zero by more than is asked for says that the run without the fault was disturbed. */
static const char *judge(const struct goal *goal, double value)
{
    if (goal->against == NOBODY && value < -goal->bound)
        return "not decided: disturbed";
    return (goal->at_least ? value >= goal->bound : value <= goal->bound) ? "yes" : "NO";
}

static void print_goal(const struct goal *goal)
{
    struct cell *ours = &cells[goal->row][goal->who][goal->metric];
    struct cell *theirs = goal->against == NOBODY ? NULL : &cells[goal->row][goal->against][goal->metric];
    const char *name = goal->figure[0] ? goal->figure : row_names[goal->row], *unit = theirs ? "x" : metrics[goal->metric].unit;
    char what[160];
    double value;

    if (!ours->count && (!theirs || !theirs->count))
        return;
    snprintf(what, sizeof(what), "%s%s%s%s", name, goal->who == PERTURB_PRECISE ? ", precise" : "", theirs ? " / " : "",
             theirs ? contenders[goal->against].name : "");
    if (!goal->figure[0] || goal->metric == METRIC_P50)
        snprintf(what + strlen(what), sizeof(what) - strlen(what), ", %s", metrics[goal->metric].name);
    if (!ours->count || (theirs && !theirs->count)) {
        printf("  %-88s %-2s %9.6g %-5s  not measured\n", what, goal->at_least ? ">=" : "<=", goal->bound, unit);
        return;
    }
    value = theirs ? median(ours) / median(theirs) : median(ours);
    printf("  %-88s %-2s %9.6g %-5s %10.4g  %s\n", what, goal->at_least ? ">=" : "<=", goal->bound, unit, value, judge(goal, value));
}

void table_print_goals(void)
{
    printf("  %-88s %-18s %10s\n", "figure", "goal", "reached");
    for (size_t i = 0; i < ARRAY_SIZE(goals); i++)
        print_goal(&goals[i]);
}
