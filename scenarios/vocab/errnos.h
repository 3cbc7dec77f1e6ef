/* Which errno the calls of a point can return: errnos.def. Constants only, shim-safe. */
#ifndef PERTURB_VOCAB_ERRNOS_H
#define PERTURB_VOCAB_ERRNOS_H

#include "scenarios/vocab/fault.h"

/* Can a call of one of these points (BIT(point)) return it? True when the table says nothing of one of them. */
bool errno_fits(uint64_t points, int error);

/* One that the world may do to a call of the lowest of these points, each alike; 0 when the table has none. */
int errno_any(uint64_t points, uint64_t draw);

/* The list that errno_any draws from, ended by 0; NULL when there is none. */
const uint16_t *errno_list(enum point point);

#endif
