/* Values of every unit, those that need words or names included: the step above units.h that knows errnos and choices. */
#ifndef PERTURB_PLAYBOOK_VALUE_H
#define PERTURB_PLAYBOOK_VALUE_H

#include "scenarios/base/err.h"
#include "scenarios/vocab/fault.h"

/* Parses `text` as a value of `unit`, `words` being the choices of a UNIT_ENUM, and checks minimum..maximum.
 * 0, or -EINVAL with one error added under `where` that names `key`, what was found and what is expected. */
int value_parse(const char *key, enum unit unit, const char *words, int64_t minimum, int64_t maximum, const char *text,
                const char *where, struct errs *errs, int64_t *ret_value);

/* Prints the inverse of value_parse; returns `text`. */
char *value_print(enum unit unit, const char *words, int64_t value, char *text, size_t size);

#endif
