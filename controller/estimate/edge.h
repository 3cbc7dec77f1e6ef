/* Placing the edges of excursions finer than a bin. Internal to this folder. */
#ifndef PERTURB_ESTIMATE_EDGE_H
#define PERTURB_ESTIMATE_EDGE_H

#include "controller/estimate/excursion.h"

/* What decides where a sequence of requests, out of band first, came back. */
struct edge_model {
    double limit;           /* share of bad requests at the edge of the band */
    double share_out;       /* of bad requests while out */
    double share_in;        /* in the baseline */
    double share_in_high;
};

/* `bad` [count], 0 or 1, in order from well inside the excursion outwards. Returns how many of them belong to it: the isotonic
 * crossing of `limit` within [least, most], or, where what lies between them is no more than the baseline's own failures, the
 * likeliest instant of a sudden change from share_out to share_in. */
size_t edge_search(const unsigned char *bad, size_t count, size_t least, size_t most, const struct edge_model *model);

struct edge_model edge_model_of(const struct view *view, const struct excursion *excursion);

/* Places from_s, to_s and their brackets for each excursion of `found` inside `span`. Returns 0 or -ENOMEM. */
int edges_place(const struct view *view, const struct noise *noise, struct excursions *found, struct span span);

#endif
