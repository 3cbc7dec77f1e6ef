/* Open connections told to the control thread: each loop fills a snapshot of its own when it is asked (LOOP_LIST), so nothing is
 * locked and nothing is counted twice. */
#ifndef PERTURB_INJECTOR_CONNECTIONS_H
#define PERTURB_INJECTOR_CONNECTIONS_H

#include "scenarios/vocab/message.h"

#include <stddef.h>

struct loop;
struct proxy;

enum { CONNECTION_PARTS_MAX = 64 }; /* as many as there can be loops */

/* One loop's part: written by the loop between the command and its acknowledgement, read by the control thread after it. */
struct connection_list {
    size_t count;
    struct connection_status list[CONNECTIONS_LISTED_MAX];
};

/* On the loop's thread: the proxy's connections, as many as there is room for. */
void connections_fill(struct loop *loop, const struct proxy *proxy, struct connection_list *list);

/* Puts the parts together, the oldest first, at most `max` of them; returns how many. Parts are sorted in place. */
size_t connections_merge(struct connection_list *const *parts, size_t part_count, struct connection_status *ret_list, size_t max);

#endif
