/* Excursions: the stretches in which a signal was out of its band. Internal to this folder. */
#ifndef PERTURB_ESTIMATE_EXCURSION_H
#define PERTURB_ESTIMATE_EXCURSION_H

#include "controller/estimate/band.h"
#include "controller/estimate/relax.h"

enum { EXCURSIONS_MAX = 4096 }; /* more than these are told as part of the last one */

struct excursion {
    size_t from, to; /* bins [from, to) */
    double from_s;   /* placed by edge_place, finer than a bin where requests are known */
    double to_s;
    struct relax relax; /* values: the law of the recovery over `fitted`; RELAX_NONE when told by the isotonic fit */
    struct span fitted;
    double to_low_s, to_high_s; /* the neighbouring requests, or the edges of the bin, between which `to_s` lies */
};

struct excursions {
    struct excursion *item; /* owned, in order of time, apart from each other */
    size_t count;
    size_t capacity;
};

/* Scans `span` at every width of `band`, narrowest first: what a narrow width found is masked for the wider ones, so that a deep
 * dip keeps its sharp edges and a shallow one is still seen. Leaves the view unmasked. Returns 0 or -ENOMEM. */
int excursions_find(struct view *view, const struct noise *noise, const struct band *band, struct span span,
                    struct excursions *ret_excursions);
void excursions_done(struct excursions *excursions);

/* Is there evidence that the view is in band over [from, to)? (Not: no evidence that it is out.) */
bool excursion_gap_is_good(const struct view *view, const struct noise *noise, size_t from, size_t to);

#endif
