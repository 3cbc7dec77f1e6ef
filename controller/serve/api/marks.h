/* A mark that came by the API. */
#ifndef PERTURB_SERVE_API_MARKS_H
#define PERTURB_SERVE_API_MARKS_H

#include "controller/serve/http/api.h"

/* Hands it to the run in `directory` and answers the call: 201, 400, 409 when the run has ended or has no directory. Returns 0. */
int api_put_mark(struct api_call *call, const char *directory, const char *name, const char *text, uint64_t now_ns);

#endif
