/* A signal's series made small enough to draw: lowest and highest value of each stretch survive, so that no dip is smoothed away.
 */
#ifndef PERTURB_REPORT_SERIES_H
#define PERTURB_REPORT_SERIES_H

#include <cjson/cJSON.h>
#include <stddef.h>

struct drawn_series {
    double start_s, bin_s;
    size_t count;
    double *values;   /* owned; NaN is a gap */
    double low, high; /* over the known values; low > high when none is known */
};

/* Reads `signal`.series into at most `count_max` (>= 2) values. 0; -ENOENT when there is nothing to draw, -ENOMEM.
 * End with drawn_series_done(), which accepts zeroes. */
int drawn_series_read(const cJSON *signal, size_t count_max, struct drawn_series *ret_series);
void drawn_series_done(struct drawn_series *series);

#endif
