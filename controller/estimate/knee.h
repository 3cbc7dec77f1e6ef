/* The knee of a ramp: the most load that is still served as promised. Which load to try next, and what the tries say. Pure functions.
 *
 * A step offers a rate for a while and is good or not. Coarse steps go up geometrically to the first that is not; bisections halve what lies
 * between the last good and the first bad one; both are then repeated, for near the knee a step's outcome is chance. The knee is the highest
 * rate at which most steps were good, as they were at every lower one. Its interval is what all repetitions agree on: below `low` no step
 * was bad, from `high` on none was good (bracketing in the manner of Dixon and Mood's up-and-down method, JASA 1948). */
#ifndef PERTURB_ESTIMATE_KNEE_H
#define PERTURB_ESTIMATE_KNEE_H

#include <stdbool.h>
#include <stddef.h>

struct knee_step {
    double rate;
    bool good;
};

struct knee_plan {
    double from, to;       /* 0 < from < to */
    size_t coarse;         /* >= 2: rates on the way from `from` to `to`, both included */
    size_t bisect, repeat; /* repeat >= 1: steps at each of the two rates around the knee */
};

enum knee_end {
    KNEE_NONE,  /* no step */
    KNEE_FOUND,
    KNEE_BELOW, /* not even the lowest rate was served: rate is 0 */
    KNEE_ABOVE, /* the highest rate that was tried was served: rate is that one, high is INFINITY */
};

struct knee {
    enum knee_end end;
    double rate, low, high; /* low 0 and high INFINITY where no step bounds it */
};

/* The rate of the next step; 0 when enough has been tried. Never more than coarse + bisect + repeat * (coarse + bisect) steps. */
double knee_next(const struct knee_plan *plan, const struct knee_step *step, size_t count);

void knee_estimate(const struct knee_step *step, size_t count, struct knee *ret_knee);

const char *knee_end_name(enum knee_end end); /* "none", "found", "below", "above" */

#endif
