/* Inside `perturb serve`: its errands beside the service. argv[0] is "token", "audit" or "openapi". */
#ifndef PERTURB_CMD_SERVE_H
#define PERTURB_CMD_SERVE_H

#include "controller/cmd/cmd.h"

int serve_token_main(int argc, char **argv);
int serve_audit_main(int argc, char **argv);
int serve_openapi_main(int argc, char **argv);

#endif
