/* From a request to its answer; knows no HTTP library. */
#ifndef PERTURB_SERVE_DISPATCH_H
#define PERTURB_SERVE_DISPATCH_H

#include "controller/serve/http/call.h"
#include "controller/serve/http/rate.h"

#include <stdatomic.h>

struct archive;
struct audit;
struct hub;
struct tokens;

/* What all calls share. */
struct api_server {
    struct service *service;
    struct archive *archive;
    struct hub *hub;
    struct tokens *tokens;
    struct audit *audit;
    struct rate_limit reads, changes, guesses;
    cJSON *components; /* schemas.json */
    uint16_t port;
    bool tls;
    struct api_counts {
        atomic_ullong requests, ns; /* by the hundreds of the status; the time they took */
    } counts[6];
};

/* Finds the route and decides whether this one may ask that, before any body is read. True, or the call is answered.
 * Never waits. */
bool dispatch_admit(struct api_call *call);

/* Checks the body, runs the handler, keeps the audit log; afterwards the call is answered. */
void dispatch_perform(struct api_call *call);

/* Every answer passes here last: a change that was refused at the door is told to the audit log, the answer is counted. */
void dispatch_finish(struct api_call *call);

/* Tags a GET's answer; turns it into 304 when the client has it. */
void dispatch_tag(struct api_call *call);

#endif
