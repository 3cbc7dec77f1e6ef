/* What perturb doctor tells of a program, shared by its text and its JSON. */
#ifndef PERTURB_LOOK_DOCTOR_H
#define PERTURB_LOOK_DOCTOR_H

#include "shims/host/inspect.h"

#include <cjson/cJSON.h>

/* Why a backend cannot carry out the fault at these points on it; NULL when it can. `room` holds INSPECT_REASON_MAX. */
const char *doctor_beyond_preload(struct inspection *inspection, const struct fault_desc *fault, uint64_t points, char *room, size_t size);
const char *doctor_beyond_seccomp(const struct inspection *inspection, const struct fault_desc *fault, uint64_t points);

/* All of it as one object. Returns new; NULL when memory is out. */
cJSON *doctor_json(struct inspection *inspection);

#endif
