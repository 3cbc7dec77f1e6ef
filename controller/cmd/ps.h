/* Inside `perturb ps`. */
#ifndef PERTURB_CMD_PS_H
#define PERTURB_CMD_PS_H

#include "controller/look/processes.h"

void ps_print_text(const struct ps_page *ps);

#endif
