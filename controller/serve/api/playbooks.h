/* Lists that have a row for every stored playbook. */
#ifndef PERTURB_SERVE_PLAYBOOKS_H
#define PERTURB_SERVE_PLAYBOOKS_H

#include "controller/serve/http/api.h"

/* Answers the call with the page that it asks for: what `row` makes of each name (new), which may set `*result` to a negative errno with an
 * error added; then that is the answer. */
int playbooks_page(struct api_call *call, cJSON *(*row)(struct api_call *call, const char *name, int *result));

#endif
