/* calls.def as an array. */
#include "shims/include/calls.h"

#include "shims/include/control.h"

const struct call_desc call_descs[] = {
#define CALL(type, name, parameters, arguments, failure, style, points, roles, prepare, number)                              \
    { #name, (points) & ~(uint64_t)(CONTROL_REDIRECT | CONTROL_LOCKS), number },
#include "shims/include/calls.def"
};

const size_t call_count = sizeof(call_descs) / sizeof(call_descs[0]);
