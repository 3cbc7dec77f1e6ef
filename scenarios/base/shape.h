/* Shapes of a delay: a draw and a time become nanoseconds. Pure, shim-safe (no libm), the same on the wire and inside calls.
 *
 * The shapes of the jitter are netem's (tc-netem(8); the tables' generators in iproute2's netem/ folder): pareto has shape 3, is moved
 * to mean 0 and scaled by 4/3; paretonormal is a quarter normal, three quarters pareto; all are cut at four spreads, as the tables are.
 * Elementary functions are series and Newton steps, right to some 1e-13 (tests/unit/test_shape.c). */
#ifndef PERTURB_BASE_SHAPE_H
#define PERTURB_BASE_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

/* The words of the `distribution` and `wave` parameters, in their order. */
enum shape_kind { SHAPE_UNIFORM, SHAPE_NORMAL, SHAPE_PARETO, SHAPE_PARETONORMAL, SHAPE_TABLE };
enum shape_wave { WAVE_NONE, WAVE_SINE, WAVE_SQUARE, WAVE_TRIANGLE, WAVE_SAW };

enum { SHAPE_POINTS = 5 }; /* of a table: 50, 90, 99, 99.9, 100 % */

struct shape {
    int64_t mean_ns, spread_ns;      /* spread: half-width when uniform, else the standard deviation before the cut */
    int64_t distribution;            /* enum shape_kind; what is none is uniform */
    int64_t points_ns[SHAPE_POINTS]; /* SHAPE_TABLE: takes the place of mean and spread; 0 leaves a point out */
    int64_t wave, amplitude_ns, period_ns; /* enum shape_wave: adds between minus and plus the amplitude */
};

/* A `struct shape` from a parameter struct that has all of them, and from one without a wave. */
#define SHAPE_JITTER(params)                                                                                                 \
    .mean_ns = (params)->latency, .spread_ns = (params)->jitter, .distribution = (params)->distribution,                     \
    .points_ns = { (params)->p50, (params)->p90, (params)->p99, (params)->p999, (params)->p100 }
#define SHAPE_WAVE(params) .wave = (params)->wave, .amplitude_ns = (params)->amplitude, .period_ns = (params)->period

/* Does the delay depend on the draw? */
bool shape_varies(const struct shape *shape);

/* The delay, 0 where the sum is below; `since_ns` is the time since the wave began, 0 before that. */
uint64_t shape_delay_ns(const struct shape *shape, uint64_t draw, uint64_t since_ns);

/* -1 to 1 when uniform, else -4 to 4. Of any kind but SHAPE_TABLE. */
double shape_spreads(int64_t distribution, uint64_t draw);

/* The delay, ns, that the draw picks along straight lines from 0 at 0 %. Points left out are 0; behind the last it stays level. */
double shape_from_table(const int64_t points_ns[SHAPE_POINTS], uint64_t draw);

/* The occasion whose last run was asked about, plus 1, and where that began, plus 1; zeros at the start. */
struct shape_memory {
    uint64_t at, origin;
};

/* The occasion whose draw counts for `at`: back over those that repeat the one before, with `chance_ppm` each, down to one that does
 * not. So the distribution stays what it is, and two that lie k apart correlate by the k-th power. `memory` may be NULL. */
uint64_t shape_origin(uint64_t (*draw)(const void *context, uint64_t at), const void *context, uint32_t chance_ppm, uint64_t at,
                      struct shape_memory *memory);

#endif
