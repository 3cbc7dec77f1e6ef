/* Inside `perturb serve`: its errands beside the service. argv[0] is "token", "audit" or "openapi". */
#ifndef PERTURB_CMD_SERVE_H
#define PERTURB_CMD_SERVE_H

#include "controller/cmd/cmd.h"

#include <sys/types.h>

int serve_token_main(int argc, char **argv);
int serve_audit_main(int argc, char **argv);
int serve_openapi_main(int argc, char **argv);

/* serve_beside.c: Toxiproxy's API at "ADDRESS:PORT". A pid, or -1 with an error added. Before other threads start. */
pid_t serve_beside_start(const char *address, struct errs *errs);
void serve_beside_keep(pid_t pid); /* it is the child of the program that this process becomes next */
void serve_beside_end(pid_t pid);  /* returns when it has gone; accepts none (0, -1) */

#endif
