/* JSON bodies by the rules of Go's encoding/json, which clients of the API lean on.
 *
 * 1. The first value of the text counts; what follows it is ignored.
 * 2. Field names match without regard to ASCII case; unknown fields are ignored; of duplicates the last counts.
 * 3. null is a field that is absent.
 * 4. Integers are written as integers: 1.5, 2.0, 1e3, "100" and what exceeds int64 are refused.
 * 5. Malformed UTF-8 becomes U+FFFD, as Go does; a text with NUL in it is refused, which Go does not.
 * cJSON validates and decodes; a walk over the same text adds what it is lax about and keeps how each number was written. */
#ifndef PERTURB_TOXIPROXY_JSON_H
#define PERTURB_TOXIPROXY_JSON_H

#include "scenarios/base/buf.h"

#include <cjson/cJSON.h>
#include <stdint.h>

/* Returns new (cJSON_Delete). The valuestring of a number is the number as written. 0; -EINVAL with a reason in `why`:
 * "EOF" for no value at all, "unexpected EOF" for one that is cut off. */
int json_decode(const char *text, size_t size, cJSON **ret_value, struct buf *why);

enum json_type { JSON_TEXT, JSON_BOOL, JSON_INTEGER, JSON_FLOAT, JSON_LIST, JSON_OBJECT, JSON_ANY };

/* Where a field goes. JSON_TEXT: const char *, borrowed from the tree; JSON_BOOL: bool; JSON_INTEGER: int64_t; JSON_FLOAT: float;
 * JSON_LIST, JSON_OBJECT, JSON_ANY: const cJSON *, borrowed. What is absent is left as it was. */
struct json_field {
    const char *name;
    enum json_type type;
    void *target;
};

/* Reads the fields of an object; null is one without fields. 0; -EINVAL with a reason in `why` and targets half written. */
int json_fields(const cJSON *object, const struct json_field *fields, size_t count, struct buf *why);

/* The integer a number was written as. 0 or -EINVAL. */
int json_integer(const cJSON *number, int64_t *ret_value);

const char *json_kind(const cJSON *value); /* "number", "object", ... as Go says it */

/* Writing. A float in the shortest form that reads back the same, as Go prints a float32; `size` of 64 suffices. */
char *json_print_float(float value, char *text, size_t size);
void json_add_integer(cJSON *object, const char *name, int64_t value); /* exact, also beyond 2^53 */
void json_add_float(cJSON *object, const char *name, float value);

#endif
