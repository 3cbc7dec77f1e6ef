/* What was measured, round by round, and the table at the end. A figure has samples of several sides (enum who, or any small number);
 * what is told of it is a median of the rounds, of differences or ratios taken within a round where it is one. */
#ifndef PERTURB_BENCH_SHIMS_BOARD_H
#define PERTURB_BENCH_SHIMS_BOARD_H

#include <stddef.h>

enum { SAMPLES_MAX = 4096 };

struct series {
    double values[SAMPLES_MAX];
    size_t count;
};

void series_add(struct series *series, double value);
double series_quantile(const struct series *series, double share); /* 0 when empty */
double series_median(const struct series *series);

/* Round by round one less the other, or over it; as many as the shorter has. */
struct series series_less(const struct series *a, const struct series *b);
struct series series_over(const struct series *a, const struct series *b);

/* A line of the table: figure | goal | reached | met | beside it. Texts are copied and cut. goal may be "-". */
enum met { MET_NONE, MET_YES, MET_NO };
void board_add(const char *figure, const char *goal, const char *reached, enum met met, const char *beside);
void board_print(void);

/* Formats with a unit that fits: "0.42 ns", "5.1 us". Into a ring of static room. */
const char *nice_ns(double ns);

#endif
