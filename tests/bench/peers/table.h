/* What was measured, round by round, and what is to be reached. */
#ifndef PERTURB_TESTS_BENCH_TABLE_H
#define PERTURB_TESTS_BENCH_TABLE_H

#include "tests/bench/peers/contender.h"

enum row {
    ROW_BULK1Z, /* cheap load: sendfile at the sender, MSG_TRUNC at the reader */
    ROW_BULK8Z,
    ROW_BULK1, /* copying load */
    ROW_BULK8,
    ROW_WATCHED, /* cheap load through a fault that looks at bytes and alters none */
    ROW_PP64,
    ROW_PP512,
    ROW_PP64_ONE, /* all on one core: path length */
    ROW_PP512_ONE,
    ROW_CPS32,
    ROW_IDLE,
    ROW_LATE_1, /* 10 ms held, inside the proxy; its end to end below */
    ROW_LATE_200,
    ROW_END_1,
    ROW_END_200,
    ROW_RATE_1M_1, /* bandwidth: rate, connections */
    ROW_RATE_1M_4,
    ROW_RATE_100M_1,
    ROW_RATE_100M_4,
    ROW_HOLD,
    ROWS,
};

enum metric {
    METRIC_PER_S,  /* MB, requests, connections */
    METRIC_CPU,    /* s a GB, us a request */
    METRIC_P50,    /* us */
    METRIC_P99,
    METRIC_P999,
    METRIC_BYTES,  /* of user memory a connection; of the peak held */
    METRIC_ERROR,  /* % off the mean asked for, without its sign */
    METRIC_WINDOW, /* 99 of 100 windows of 10 ms are below so many times the target */
    METRIC_COUNT,  /* times the bound was told */
    METRICS,
};

enum { ROUNDS_MAX = 25 };

void table_put(enum row row, enum contender_id who, enum metric metric, double value);
void table_print_rows(void);  /* medians [min..max] of all that was measured */
void table_print_goals(void); /* figure, goal, reached, yes or no */

#endif
