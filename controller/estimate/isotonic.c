/* Isotonic regression by pooling adjacent violators; see isotonic.h. */
#include "controller/estimate/isotonic.h"

#include <math.h>

void isotonic_falling(const double *value, size_t count, double *work, double *ret_fit)
{
    double *mean = work, *weight = work + count;
    size_t blocks = 0, at = 0, block = 0;
    double seen = 0.0;

    for (size_t i = 0; i < count; i++) {
        double sum = value[i], known = 1.0;

        if (isnan(value[i]))
            continue;
        while (blocks > 0 && mean[blocks - 1] <= sum / known) { /* equal neighbours pool too: fewer blocks, same fit */
            blocks--;
            sum += mean[blocks] * weight[blocks];
            known += weight[blocks];
        }
        mean[blocks] = sum / known;
        weight[blocks++] = known;
    }
    for (; at < count; at++) {
        if (!isnan(value[at]) && block + 1 < blocks && seen >= weight[block]) {
            block++;
            seen = 0.0;
        }
        seen += isnan(value[at]) ? 0.0 : 1.0;
        ret_fit[at] = blocks > 0 ? mean[block] : NAN;
    }
}

size_t isotonic_crossing(const double *value, size_t count, double level)
{
    double sum = 0.0, most = 0.0;
    size_t crossing = 0;

    for (size_t i = 0; i < count; i++) {
        if (isnan(value[i]))
            continue;
        sum += value[i] - level;
        if (sum > most) {
            most = sum;
            crossing = i + 1;
        }
    }
    return crossing;
}
