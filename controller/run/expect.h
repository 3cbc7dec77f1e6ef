/* The bounds of `expect`, each met, broken, straddled by an interval, or without data. */
#ifndef PERTURB_RUN_EXPECT_H
#define PERTURB_RUN_EXPECT_H

#include "controller/run/run_priv.h"

/* Fills judgement->expect; returns 0 when every bound holds, 1 when one is broken, 2 when one is straddled or has no data. */
int expect_judge(struct run *run, struct judgement *judgement);

/* Attempts per logical request, over all hops, between two of run->hops (0 baseline start, 1 its end, 2 release, 3 end).
 * NaN when it was not counted. */
double amplification_of(const struct run *run, int from, int until);

/* The same for one proxy. */
double amplification_of_hop(const struct run *run, size_t proxy, int from, int until);

#endif
