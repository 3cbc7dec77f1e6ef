/* Members of JSON objects in the API's words: what is not known is null, 64-bit integers are texts, text of the world is made UTF-8. */
#ifndef PERTURB_SERVE_JSON_H
#define PERTURB_SERVE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

void json_put_text(cJSON *object, const char *key, const char *text); /* NULL: null. Malformed UTF-8 becomes '?' */
void json_put_number(cJSON *object, const char *key, double value);   /* not finite: null */
void json_put_integer(cJSON *object, const char *key, int64_t value); /* as a text */

/* A deep copy of `from`'s member, or null when it has none. */
void json_copy(cJSON *object, const char *key, const cJSON *from, const char *from_key);

#endif
