/* JSON Schema 2020-12, the part of it that schemas.json uses: $ref ("#/components/schemas/NAME"), type, properties, required,
 * additionalProperties (false), items, enum, const, minimum, maximum, minLength, maxLength, minItems, maxItems, oneOf. Pure. */
#ifndef PERTURB_SERVE_SCHEMA_H
#define PERTURB_SERVE_SCHEMA_H

#include "scenarios/base/err.h"

#include <cjson/cJSON.h>

/* Does `value` fit schema `name` of `components`? 0; -EINVAL with an error of class usage for each thing that does not fit, its JSON
 * pointer as where. An unknown name is our fault: -EPROTO. */
int schema_check(const cJSON *components, const char *name, const cJSON *value, struct errs *errs);

/* The same against a schema itself; `where` is its pointer ("" at the root) or another name of the place. */
int schema_check_value(const cJSON *components, const cJSON *schema, const cJSON *value, const char *where, struct errs *errs);

#endif
