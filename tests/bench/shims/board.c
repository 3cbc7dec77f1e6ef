#include "tests/bench/shims/board.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 64, TEXT_MAX = 160, RING = 16 };

static struct line {
    char figure[TEXT_MAX], goal[TEXT_MAX], reached[TEXT_MAX], beside[TEXT_MAX];
    enum met met;
} lines[LINES_MAX];
static size_t line_count;

void series_add(struct series *series, double value)
{
    if (series->count < SAMPLES_MAX)
        series->values[series->count++] = value;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

double series_quantile(const struct series *series, double share)
{
    double sorted[SAMPLES_MAX];

    if (!series->count)
        return 0;
    memcpy(sorted, series->values, series->count * sizeof(sorted[0]));
    qsort(sorted, series->count, sizeof(sorted[0]), by_value);
    return sorted[(size_t)(share * (double)(series->count - 1) + 0.5)];
}

double series_median(const struct series *series)
{
    return series_quantile(series, 0.5);
}

struct series series_less(const struct series *a, const struct series *b)
{
    struct series result = { .count = a->count < b->count ? a->count : b->count };

    for (size_t i = 0; i < result.count; i++)
        result.values[i] = a->values[i] - b->values[i];
    return result;
}

struct series series_over(const struct series *a, const struct series *b)
{
    struct series result = { .count = a->count < b->count ? a->count : b->count };

    for (size_t i = 0; i < result.count; i++)
        result.values[i] = a->values[i] / b->values[i];
    return result;
}

const char *nice_ns(double ns)
{
    static char ring[RING][32];
    static unsigned next;
    char *text = ring[next++ % RING];

    if (fabs(ns) < 100)
        snprintf(text, sizeof(ring[0]), "%.2f ns", ns);
    else if (fabs(ns) < 1000)
        snprintf(text, sizeof(ring[0]), "%.0f ns", ns);
    else if (fabs(ns) < 1e6)
        snprintf(text, sizeof(ring[0]), "%.1f us", ns / 1e3);
    else
        snprintf(text, sizeof(ring[0]), "%.2f ms", ns / 1e6);
    return text;
}

void board_add(const char *figure, const char *goal, const char *reached, enum met met, const char *beside)
{
    struct line *line = &lines[line_count];

    if (line_count == LINES_MAX)
        return;
    line_count++;
    snprintf(line->figure, TEXT_MAX, "%s", figure);
    snprintf(line->goal, TEXT_MAX, "%s", goal);
    snprintf(line->reached, TEXT_MAX, "%s", reached);
    snprintf(line->beside, TEXT_MAX, "%s", beside);
    line->met = met;
    printf("  %s: %s\n", figure, reached);
    fflush(stdout);
}

void board_print(void)
{
    static const char *const words[] = { [MET_NONE] = "", [MET_YES] = "yes", [MET_NO] = "NO" };

    printf("\n%-58s | %-12s | %-34s | %-3s | %s\n", "figure", "goal", "measured", "met", "beside it");
    for (size_t i = 0; i < line_count; i++)
        printf("%-58s | %-12s | %-34s | %-3s | %s\n", lines[i].figure, lines[i].goal, lines[i].reached, words[lines[i].met],
               lines[i].beside);
}
