/* From a request to its answer; knows no HTTP library. */
#ifndef PERTURB_SERVE_DISPATCH_H
#define PERTURB_SERVE_DISPATCH_H

#include "controller/serve/call.h"

struct archive;
struct hub;

/* What all calls share. */
struct api_server {
    struct service *service;
    struct archive *archive;
    struct hub *hub;
    cJSON *components; /* schemas.json */
    uint16_t port;
    bool loopback; /* nobody else can reach it */
};

/* Finds the route and decides whether this one may ask that, before any body is read. True, or the call is answered. Never blocks. */
bool dispatch_admit(struct api_call *call);

/* Checks the body, runs the handler; afterwards the call is answered. */
void dispatch_perform(struct api_call *call);

/* Tags a GET's answer; turns it into 304 when the client has it. */
void dispatch_tag(struct api_call *call);

#endif
