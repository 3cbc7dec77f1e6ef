/* Inside `perturb serve`: its errands beside the service. argv[0] is "token", "audit" or "openapi". */
#ifndef PERTURB_CMD_SERVE_H
#define PERTURB_CMD_SERVE_H

#include "controller/cmd/cmd.h"

#include "controller/serve/core/service.h"

#include <sys/types.h>

int serve_token_main(int argc, char **argv);
int serve_audit_main(int argc, char **argv);
int serve_openapi_main(int argc, char **argv);

/* serve_beside.c: Toxiproxy's API at "ADDRESS:PORT", in a process of its own. */
enum { BESIDE_ADDRESS_MAX = 300 };
struct serve_beside {
    struct service_ward ward; /* first: for the service's loop */
    char address[BESIDE_ADDRESS_MAX], *host, *port;
    pid_t pid; /* 0: none runs */
    int64_t started_s, delay_s;
};

/* 0, or negative with an error added. Before other threads start. `ret_beside` is used until serve_beside_end(). */
int serve_beside_start(struct serve_beside *ret_beside, const char *address, struct errs *errs);
void serve_beside_keep(const struct serve_beside *beside); /* it is the child of the program that this process becomes next */
void serve_beside_end(struct serve_beside *beside);        /* returns when it has gone; accepts one that was never started, all zero */

#endif
