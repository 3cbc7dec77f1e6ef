/* Search for the knee; see knee.h. */
#include "controller/estimate/knee.h"

#include <math.h>
#include <stdint.h>

/* Rates are the same when they came from the same sum: told apart by less than any ramp would. */
static bool is_rate(double a, double b)
{
    return fabs(a - b) <= 1e-9 * b;
}

static size_t tries_at(const struct knee_step *step, size_t count, double rate, size_t *ret_good)
{
    size_t tries = 0;

    *ret_good = 0;
    for (size_t i = 0; i < count; i++)
        if (is_rate(step[i].rate, rate)) {
            tries++;
            *ret_good += step[i].good;
        }
    return tries;
}

static bool is_mostly_good(const struct knee_step *step, size_t count, double rate)
{
    size_t good, tries = tries_at(step, count, rate, &good);

    return 2 * good > tries;
}

/* The lowest rate that was tried and is above `rate`; INFINITY when none is. */
static double next_above(const struct knee_step *step, size_t count, double rate)
{
    double next = INFINITY;

    for (size_t i = 0; i < count; i++)
        if (step[i].rate > rate && !is_rate(step[i].rate, rate) && step[i].rate < next)
            next = step[i].rate;
    return next;
}

/* The last rate that is mostly good, as all below it are (0: none), and the next one tried (INFINITY: none). */
static void bracket(const struct knee_step *step, size_t count, double *ret_good, double *ret_bad)
{
    double rate = 0;

    for (;;) {
        double next = next_above(step, count, rate);

        if (isinf(next) || !is_mostly_good(step, count, next)) {
            *ret_good = rate;
            *ret_bad = next;
            return;
        }
        rate = next;
    }
}

static double coarse_rate(const struct knee_plan *plan, size_t i)
{
    return i + 1 == plan->coarse ? plan->to : plan->from * pow(plan->to / plan->from, (double)i / (double)(plan->coarse - 1));
}

/* How many rates were tried that are not on the way up. */
static size_t bisections(const struct knee_plan *plan, const struct knee_step *step, size_t count)
{
    size_t found = 0;

    for (double rate = next_above(step, count, 0); !isinf(rate); rate = next_above(step, count, rate)) {
        bool on_grid = false;

        for (size_t i = 0; i < plan->coarse; i++)
            on_grid |= is_rate(rate, coarse_rate(plan, i));
        found += !on_grid;
    }
    return found;
}

double knee_next(const struct knee_plan *plan, const struct knee_step *step, size_t count)
{
    bool failed = false;
    double good, bad;
    size_t ignored;

    for (size_t i = 0; i < count; i++)
        failed |= !step[i].good;
    for (size_t i = 0; i < plan->coarse && !failed; i++)
        if (!tries_at(step, count, coarse_rate(plan, i), &ignored))
            return coarse_rate(plan, i);
    bracket(step, count, &good, &bad);
    if (good > 0 && !isinf(bad) && bisections(plan, step, count) < plan->bisect)
        return (good + bad) / 2;
    if (good > 0 && tries_at(step, count, good, &ignored) < plan->repeat)
        return good;
    if (!isinf(bad) && tries_at(step, count, bad, &ignored) < plan->repeat)
        return bad;
    return 0;
}

void knee_estimate(const struct knee_step *step, size_t count, struct knee *ret_knee)
{
    struct knee knee = { .end = KNEE_NONE, .low = 0, .high = INFINITY };
    double lowest_bad = INFINITY, highest_good = 0, bad;

    for (size_t i = 0; i < count; i++) {
        if (!step[i].good)
            lowest_bad = fmin(lowest_bad, step[i].rate);
        else
            highest_good = fmax(highest_good, step[i].rate);
    }
    for (size_t i = 0; i < count; i++) {
        if (isinf(lowest_bad) || (step[i].rate < lowest_bad && !is_rate(step[i].rate, lowest_bad)))
            knee.low = fmax(knee.low, step[i].rate);
        if (step[i].rate > highest_good && !is_rate(step[i].rate, highest_good))
            knee.high = fmin(knee.high, step[i].rate);
    }
    if (count) {
        bracket(step, count, &knee.rate, &bad);
        knee.end = knee.rate <= 0 ? KNEE_BELOW : isinf(bad) ? KNEE_ABOVE : KNEE_FOUND;
    }
    *ret_knee = knee;
}

const char *knee_end_name(enum knee_end end)
{
    static const char *const names[] = { "none", "found", "below", "above" };

    return names[end];
}
