/* Plans of arrival: when each request of a load is due, as a function of its index alone.
 *
 * A plan is a course of the rate, in segments that are straight lines, and a spacing. Even: the request of index i is due when i
 * requests' worth of the course has passed, which has a closed form. Poisson: when as much of it has passed as the sum of i + 1
 * draws of the exponential distribution, each a pure function of (seed, name, index). Or the plan is a list of instants.
 *
 * 1. The same segments, spacing, seed and name give the same instants, whoever asks and in whatever order. Poisson keeps sums at
 *    every 1,024th index and the last two places asked for: to go on is one draw, to go back at most 1,024.
 * 2. The last segment's rate goes on for ever; when it is 0 the plan ends there. A list ends with its last instant. */
#ifndef PERTURB_CONTROLLER_LOAD_ARRIVAL_H
#define PERTURB_CONTROLLER_LOAD_ARRIVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scenarios/base/err.h"

struct arrival_segment {
    double length_s;             /* > 0 */
    double from_per_s, to_per_s; /* >= 0 */
};

enum { ARRIVAL_SEGMENTS_MAX = 1 << 20, ARRIVAL_INSTANTS_MAX = 20 * 1000 * 1000 };
#define ARRIVAL_RATE_MAX 1e6

struct arrival;

/* Each returns new, to be freed by arrival_free. 0, -ENOMEM; -EINVAL for no or too many segments, or a rate out of range. */
int arrival_new(const struct arrival_segment *segments, size_t count, bool poisson, uint64_t seed, const char *name, struct arrival **ret_arrival);
int arrival_new_constant(double rate_per_s, bool poisson, uint64_t seed, const char *name, struct arrival **ret_arrival);
int arrival_new_ramp(double from_per_s, double to_per_s, double at_s, double length_s, bool poisson, uint64_t seed, const char *name,
                     struct arrival **ret_arrival); /* length 0: a step */
int arrival_new_spike(double rate_per_s, double spike_per_s, double at_s, double length_s, bool poisson, uint64_t seed, const char *name,
                      struct arrival **ret_arrival);

/* Reads a recording: lines of one number each, '#' begins a comment. Rates: requests of each second, one after the other; the plan
 * ends with them. Instants: seconds from the start, not decreasing. 0; -errno of the file, -EINVAL with a finding at "FILE:LINE". */
int arrival_read_rates(const char *path, bool poisson, uint64_t seed, const char *name, struct errs *errs, struct arrival **ret_arrival);
int arrival_read_instants(const char *path, struct errs *errs, struct arrival **ret_arrival);

struct arrival *arrival_free(struct arrival *arrival); /* accepts NULL, returns NULL */

/* A load_plan_function; `arrival` is a struct arrival. Not for two threads at once. */
uint64_t arrival_at_ns(const void *arrival, uint64_t index);

/* Of what the plan is made of: two that are equal plan the same instants for the same seed and name. */
uint64_t arrival_hash(const struct arrival *arrival);

double arrival_rate_max_per_s(const struct arrival *arrival); /* of a list: of the fullest second */

#endif
