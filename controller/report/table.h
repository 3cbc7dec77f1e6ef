/* The lists of a result document as tables: which columns each has, said once for every report. */
#ifndef PERTURB_REPORT_TABLE_H
#define PERTURB_REPORT_TABLE_H

#include "scenarios/base/buf.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

enum cell {
    CELL_TEXT,
    CELL_CODE,    /* text in the letters of a machine */
    CELL_OUTCOME, /* a word coloured by summary_outcome_style() */
    CELL_COUNT,
    CELL_BYTES,
    CELL_INSTANT,
    CELL_FIRST_ACT, /* an instant; "never" when there is none */
    CELL_SECONDS,
    CELL_SHARE,
    CELL_TIMES,
    CELL_RATE,
    CELL_TALLY, /* object of counts: "timeout 3, reset 1" */
    CELL_EXITS, /* list of {at_s, status} */
    CELL_YES,   /* true and false as "yes" and "no" */
};

/* How a page shows, beside the number, how large it is. */
enum gauge {
    GAUGE_NONE,
    GAUGE_SHARE, /* a bar: the number is a share of 1 */
    GAUGE_MOST,  /* a bar: of the largest in the table's columns of this gauge */
    GAUGE_HEAT,  /* the cell's warmth: of the largest in its own column */
};

struct column {
    const char *head;
    const char *key;
    enum cell cell;
};

enum { TABLE_COLUMNS_MAX = 10 };

struct table {
    const char *title;
    const char *parent; /* object that holds the list, NULL for the document itself */
    const char *key;
    const char *note;                             /* one sentence for a newcomer; "" */
    struct column columns[TABLE_COLUMNS_MAX + 1]; /* ended by a NULL head */
};

extern const struct table table_history; /* controller/report/table_more.c */
extern const struct table table_timers, table_marks, table_holds; /* controller/report/table_more.c */
extern const struct table table_locks;              /* of one target: its rows lie in targets[].locks */

extern const struct table table_expect, table_steady, table_faults, table_loads, table_proxies, table_datagrams, table_targets, table_guards, table_probes,
    table_health, table_captures, table_undo, table_verify, table_hops, table_ramp, table_knees, table_costs, table_controls, table_backlogs;

/* The rows, borrowed; NULL when there are none. */
const cJSON *table_rows(const struct table *table, const cJSON *result);

/* One cell as plain text, hostile: escape it. Appends nothing when it is unknown. */
void table_cell(struct buf *out, const struct column *column, const cJSON *row);

enum gauge table_gauge(const struct table *table, const struct column *column);

/* Does any row fill it? A column that none does is not shown. */
bool table_column_used(const struct column *column, const cJSON *rows);

/* Is the column a number (to be set flush right)? */
bool table_is_number(const struct column *column);

#endif
