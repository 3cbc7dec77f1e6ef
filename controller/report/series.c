/* Reducing a series by keeping extremes. */
#include "controller/report/series.h"

#include "controller/report/doc.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* Two values a stretch of `width` bins: its lowest and its highest, in the order in which they came. */
static void reduce(const cJSON *values, size_t width, struct drawn_series *series)
{
    const cJSON *item;
    double low = (double)NAN, high = (double)NAN;
    size_t index = 0, low_at = 0, high_at = 0;

    cJSON_ArrayForEach(item, values) {
        double value = doc_value(item);

        if (!(low <= value) && !isnan(value)) {
            low = value;
            low_at = index;
        }
        if (!(high >= value) && !isnan(value)) {
            high = value;
            high_at = index;
        }
        if (++index % width == 0 || !item->next) {
            series->values[series->count++] = low_at <= high_at ? low : high;
            series->values[series->count++] = low_at <= high_at ? high : low;
            low = high = (double)NAN;
        }
    }
}

int drawn_series_read(const cJSON *signal, size_t count_max, struct drawn_series *ret_series)
{
    const cJSON *document = doc_get(signal, "series"), *values = doc_list(document, "values"), *item;
    struct drawn_series series = {
        .start_s = doc_number(document, "start_s"), .bin_s = doc_number(document, "bin_s"), .low = INFINITY, .high = -INFINITY
    };
    size_t count = doc_count(values), stretches = count_max / 2, width;

    if (count == 0 || isnan(series.start_s) || !(series.bin_s > 0))
        return -ENOENT;
    series.values = calloc(count_max, sizeof(*series.values));
    if (!series.values)
        return -ENOMEM;
    if (count <= count_max) {
        cJSON_ArrayForEach(item, values)
            series.values[series.count++] = doc_value(item);
    } else {
        width = (count + stretches - 1) / stretches;
        reduce(values, width, &series);
        series.bin_s *= (double)width / 2;
    }
    for (size_t i = 0; i < series.count; i++) {
        series.low = fmin(series.low, series.values[i]);
        series.high = fmax(series.high, series.values[i]);
    }
    *ret_series = series;
    return 0;
}

void drawn_series_done(struct drawn_series *series)
{
    free(series->values);
    *series = (struct drawn_series){ 0 };
}
