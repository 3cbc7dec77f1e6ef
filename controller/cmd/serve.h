/* Inside `perturb serve`: its two errands beside the service. argv[0] is "token" or "audit". */
#ifndef PERTURB_CMD_SERVE_H
#define PERTURB_CMD_SERVE_H

#include "controller/cmd/cmd.h"

int serve_token_main(int argc, char **argv);
int serve_audit_main(int argc, char **argv);

#endif
