/* Columns of numbers over time from somebody's file: a table of text, or a Prometheus reply.
 *
 * 1. A value that is no finite number (empty, NaN, Inf, null, -) is unknown, never zero; anything else that is no number is an error
 *    with its place.
 * 2. Stamps may come in any order and more than once; both are counted, so that the reader can be told.
 * 3. What is read is bounded: SAMPLES_BYTES_MAX of text, SAMPLES_COLUMNS_MAX columns. */
#ifndef PERTURB_CMD_SAMPLES_H
#define PERTURB_CMD_SAMPLES_H

#include "scenarios/base/err.h"

#include <stdbool.h>

enum { SAMPLES_COLUMNS_MAX = 64, SAMPLES_BYTES_MAX = 1 << 30, SAMPLES_NAME_MAX = 200 };

struct sample_column {
    char name[SAMPLES_NAME_MAX];
    double *at_s; /* owned, [count] */
    double *value; /* owned, [count]; NaN is unknown */
    size_t count, capacity;
    size_t unknown;
};

struct samples {
    struct sample_column *column; /* owned, [columns] */
    size_t columns;
    size_t backwards; /* stamps before the one above them */
    size_t repeated;  /* stamps equal to it */
};

/* Reads a file ("-": standard input). Errors are added with FILE:LINE:COLUMN. 0 or the negative errno; end with samples_done. */
int samples_read(const char *file, struct samples *ret_samples, struct errs *errs);
void samples_done(struct samples *samples);

/* Seconds as a number, or a date and time as of RFC 3339 (2026-11-23T14:05:00.250Z; no zone is UTC) as seconds since 1970. */
bool samples_time(const char *text, double *ret_s);

/* For the two readers. `text` ends in a NUL. */
int samples_read_table(const char *file, const char *text, size_t length, struct samples *samples, struct errs *errs);
int samples_read_prometheus(const char *file, const char *text, size_t length, struct samples *samples, struct errs *errs);
struct sample_column *samples_new_column(struct samples *samples, const char *name); /* NULL when full or out of memory */
int samples_add(struct sample_column *column, double at_s, double value);            /* 0 or -ENOMEM */

#endif
