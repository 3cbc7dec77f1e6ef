/* Synthetic recoveries with known truth for the tests of controller/estimate. Every draw is a pure function of the trace's seed. */
#ifndef PERTURB_TESTS_ESTIMATE_TRACES_H
#define PERTURB_TESTS_ESTIMATE_TRACES_H

#include "controller/estimate/estimate.h"
#include "scenarios/base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum trace_shape {
    TRACE_NONE, /* no effect of the fault */
    TRACE_STEP,
    TRACE_EXPONENTIAL, /* tau 4 s */
    TRACE_RAMP,        /* 10 s long */
    TRACE_OVERSHOOT,   /* 1.3 times the level, decaying with tau 2 s */
    TRACE_FLAP,        /* step, then out again for 2 s, 25 s after */
    TRACE_FLAPPING,    /* 2 s good, 2 s bad, to the end */
    TRACE_REDEGRADED,  /* step, then out again 30 s after, to the end */
    TRACE_NEW_LEVEL,   /* step to 85 % */
    TRACE_NEVER,
    TRACE_LOGISTIC,    /* an S, 10 s to its middle */
    TRACE_POWER,       /* falls as (1 + t / 2 s)^-1.5: fast, then ever more slowly */
    TRACE_TWO_STEPS,   /* half of the depth at once, the rest 6 s later */
    TRACE_SLOW_FLAP,   /* exponential, then out again for 2 s, 25 s after it converged to 5 % */
};

enum trace_noise { NOISE_AR1, NOISE_STUDENT3 };

struct trace {
    enum trace_shape shape;
    enum trace_noise noise;
    double baseline_s; /* from 0 */
    double fault_s;    /* from baseline_s */
    double after_s;
    double depth;      /* level under fault, fraction of the baseline's */
    double delay_s;    /* from release to the start of the recovery */
    double bin_s;
    double cv;         /* of a base bin */
    double correlation_s; /* 0: white */
    double drift;      /* relative change over the whole trace */
    double gap_from_s, gap_to_s; /* no data */
    double rate;       /* requests per second */
    double errors;     /* share of failures in the baseline */
    bool poisson;      /* planned instants; else even */
    uint64_t seed;
};

struct trace_draw {
    uint64_t seed, position;
};

static inline double draw_unit(struct trace_draw *draw)
{
    return rng_unit(rng_draw(draw->seed, 0x7261636573ULL, 0, draw->position++));
}

static inline double draw_normal(struct trace_draw *draw)
{
    double radius = sqrt(-2.0 * log(1.0 - draw_unit(draw)));

    return radius * cos(6.283185307179586 * draw_unit(draw));
}

static inline double trace_inject_s(const struct trace *trace)
{
    return trace->baseline_s;
}

static inline double trace_release_s(const struct trace *trace)
{
    return trace->baseline_s + trace->fault_s;
}

static inline double trace_end_s(const struct trace *trace)
{
    return trace->baseline_s + trace->fault_s + trace->after_s;
}

/* Level without noise, 1 in the baseline. */
static inline double trace_level(const struct trace *trace, double at_s)
{
    double since = at_s - trace_release_s(trace) - trace->delay_s, deficit = 1.0 - trace->depth;

    if (at_s < trace->baseline_s || trace->shape == TRACE_NONE)
        return 1.0;
    if (since < 0.0)
        return trace->depth;
    switch (trace->shape) {
    case TRACE_EXPONENTIAL:
        return 1.0 - deficit * exp(-since / 4.0);
    case TRACE_RAMP:
        return since < 10.0 ? trace->depth + deficit * since / 10.0 : 1.0;
    case TRACE_OVERSHOOT:
        return 1.0 + 0.3 * exp(-since / 2.0);
    case TRACE_FLAP:
        return since >= 25.0 && since < 27.0 ? trace->depth : 1.0;
    case TRACE_FLAPPING:
        return fmod(since, 4.0) < 2.0 ? 1.0 : trace->depth;
    case TRACE_REDEGRADED:
        return since < 30.0 ? 1.0 : trace->depth;
    case TRACE_NEW_LEVEL:
        return 0.85;
    case TRACE_NEVER:
        return trace->depth;
    case TRACE_LOGISTIC:
        return 1.0 - deficit / (1.0 + exp((since - 10.0) / 1.5));
    case TRACE_POWER:
        return 1.0 - deficit * pow(1.0 + since / 2.0, -1.5);
    case TRACE_TWO_STEPS:
        return since < 6.0 ? 1.0 - 0.5 * deficit : 1.0;
    case TRACE_SLOW_FLAP:
        at_s = since - 4.0 * log(deficit / 0.05) - 25.0;
        return at_s >= 0.0 && at_s < 2.0 ? trace->depth : 1.0 - deficit * exp(-since / 4.0);
    default:
        return 1.0;
    }
}

/* Mean of the level over a bin, as a counter over the bin would show it. */
static inline double trace_bin_level(const struct trace *trace, double from_s)
{
    double sum = 0.0;

    for (int i = 0; i < 16; i++)
        sum += trace_level(trace, from_s + ((double)i + 0.5) / 16.0 * trace->bin_s);
    return sum / 16.0;
}

/* Truth of the convergence instant: the last crossing of 1 - band. */
static inline double trace_truth_s(const struct trace *trace, double band)
{
    double start = trace_release_s(trace) + trace->delay_s, deficit = 1.0 - trace->depth;

    switch (trace->shape) {
    case TRACE_EXPONENTIAL:
        return start + 4.0 * log(deficit / band);
    case TRACE_RAMP:
        return start + 10.0 * (1.0 - band / deficit);
    case TRACE_FLAP:
        return start + 27.0;
    case TRACE_LOGISTIC:
        return start + 10.0 + 1.5 * log(deficit / band - 1.0);
    case TRACE_POWER:
        return start + 2.0 * (pow(deficit / band, 1.0 / 1.5) - 1.0);
    case TRACE_TWO_STEPS:
        return start + 6.0;
    case TRACE_SLOW_FLAP:
        return start + 4.0 * log(deficit / 0.05) + 27.0;
    default:
        return start;
    }
}

static inline struct est_instants trace_instants(const struct trace *trace)
{
    return (struct est_instants){.baseline_start_s = 0.0,
                                 .baseline_end_s = NAN,
                                 .inject_s = trace_inject_s(trace),
                                 .release_s = trace_release_s(trace),
                                 .end_s = trace_end_s(trace)};
}

/* A binned signal around 100. NULL when out of memory. */
static inline struct est_series *trace_values(const struct trace *trace, enum est_kind kind, enum est_direction direction)
{
    struct trace_draw draw = {.seed = trace->seed};
    size_t bins = (size_t)(trace_end_s(trace) / trace->bin_s + 0.5);
    double rho = trace->correlation_s > 0.0 ? exp(-trace->bin_s / trace->correlation_s) : 0.0, noise;
    struct est_series *series;

    if (est_series_new(kind, direction, 0.0, trace->bin_s, bins, false, &series) < 0)
        return NULL;
    noise = draw_normal(&draw);
    for (size_t i = 0; i < bins; i++) {
        double at_s = ((double)i + 0.5) * trace->bin_s, level = trace_bin_level(trace, (double)i * trace->bin_s), value;

        if (trace->noise == NOISE_STUDENT3) {
            double chi = 0.0;

            for (int j = 0; j < 3; j++)
                chi += pow(draw_normal(&draw), 2.0);
            noise = draw_normal(&draw) / sqrt(chi / 3.0);
        } else {
            noise = rho * noise + sqrt(1.0 - rho * rho) * draw_normal(&draw);
        }
        if (at_s >= trace->gap_from_s && at_s < trace->gap_to_s)
            continue;
        if (direction == EST_LOWER_BETTER)
            level = 2.0 - level;
        value = 100.0 * level * (1.0 + trace->drift * at_s / trace_end_s(trace)) * (1.0 + trace->cv * noise);
        series->value[i] = kind == EST_RATIO ? value / 100.0 : value;
    }
    return series;
}

/* Requests whose chance of being good follows the level. `latency_s` is lognormal around 10 ms, slower by 1 / level. */
static inline struct est_request *trace_requests(const struct trace *trace, size_t *ret_count)
{
    struct trace_draw draw = {.seed = trace->seed};
    size_t capacity = (size_t)(trace_end_s(trace) * trace->rate * 1.2) + 200, count = 0;
    struct est_request *request = malloc(capacity * sizeof(*request));
    double at_s = draw_unit(&draw) / trace->rate;

    while (request != NULL && at_s < trace_end_s(trace) && count < capacity) {
        double level = trace_level(trace, at_s);
        bool good = draw_unit(&draw) < level * (1.0 - trace->errors);

        if (!(at_s >= trace->gap_from_s && at_s < trace->gap_to_s))
            request[count++] = (struct est_request){
                .planned_s = at_s,
                .latency_s = good ? 0.010 * exp(0.3 * draw_normal(&draw)) / fmax(level, 0.01) : NAN,
                .good = good,
            };
        at_s += trace->poisson ? -log(1.0 - draw_unit(&draw)) / trace->rate : 1.0 / trace->rate;
    }
    *ret_count = count;
    return request;
}

static inline struct est_series *trace_series(const struct trace *trace, enum est_measure measure, double quantile)
{
    struct est_build build = {.measure = measure, .quantile = quantile, .end_s = trace_end_s(trace), .bin_s = trace->bin_s};
    struct est_series *series = NULL;
    size_t count;
    struct est_request *request = trace_requests(trace, &count);

    if (request != NULL && est_series_from_requests(request, count, &build, &series) < 0)
        series = NULL;
    free(request);
    return series;
}

#endif
