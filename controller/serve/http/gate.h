/* Who may ask what, from where, how often. */
#ifndef PERTURB_SERVE_GATE_H
#define PERTURB_SERVE_GATE_H

#include "controller/serve/http/dispatch.h"

#define GATE_COOKIE "perturb_session"

/* Was this service meant? Without tokens only the loopback's names are answered, and pages of other sites are refused: a
 * name that is made to point here (DNS rebinding) leads nowhere. True, or the call is answered. */
bool gate_host(struct api_call *call);

/* Finds identity and role and compares the role with the route's. True, or the call is answered. */
bool gate_identity(struct api_call *call);

/* The session's secret out of the request's cookies. */
bool gate_cookie(const struct api_call *call, char *secret, size_t size);

#endif
