/* Which handler a request goes to. Pure: a table, walked.
 *
 * A path is cut at its slashes and then decoded, so that a name may hold "%2F". */
#ifndef PERTURB_TOXIPROXY_ROUTER_H
#define PERTURB_TOXIPROXY_ROUTER_H

#include "scenarios/base/buf.h"

enum { ROUTE_NAMES_MAX = 2 };

enum route_id {
    ROUTE_VERSION,
    ROUTE_PROXY_LIST,
    ROUTE_PROXY_CREATE,
    ROUTE_PROXY_SHOW,
    ROUTE_PROXY_UPDATE,
    ROUTE_PROXY_DELETE,
    ROUTE_PROXY_STATS,
    ROUTE_PROXY_CONNECTIONS,
    ROUTE_TOXIC_LIST,
    ROUTE_TOXIC_CREATE,
    ROUTE_TOXIC_SHOW,
    ROUTE_TOXIC_UPDATE,
    ROUTE_TOXIC_DELETE,
    ROUTE_POPULATE,
    ROUTE_RESET,
    ROUTE_EVENTS,
    ROUTE_METRICS,
    ROUTE_COUNT
};

struct route_match {
    enum route_id id;
    char *names[ROUTE_NAMES_MAX]; /* owned: what stood where the pattern has '*', decoded; "" included */
    char *query; /* owned: behind '?', "" when there is none */
};

/* 200: found. 301: `query` is the path without its doubled slashes, to go to instead. 404, 405: no such path, or not by this method.
 * 400: a broken escape, or a NUL. Ended by route_match_done in every case. */
int route_find(const char *method, const char *target, struct route_match *ret_match);
void route_match_done(struct route_match *match);

/* The decimal value of `name` in a query "a=1&b=2"; `absent` when it is not there or no number. */
unsigned long long route_query_number(const char *query, const char *name, unsigned long long absent);

#endif
