/* Making JSON: members of objects as all our outputs write them, so that what is not known is null everywhere. */
#ifndef PERTURB_JSON_H
#define PERTURB_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

struct node;

void json_put_text(cJSON *object, const char *key, const char *text); /* NULL: null. Malformed UTF-8 becomes '?' */
void json_put_number(cJSON *object, const char *key, double value);   /* not finite: null */
void json_put_integer(cJSON *object, const char *key, int64_t value); /* as a text: a double does not hold 64 bits */
void json_put_length(cJSON *object, const char *key, int64_t ns);     /* in seconds; ABSENT (scenarios/playbook/lists.h): null */

/* A deep copy of `from`'s member, or null when it has none. */
void json_copy(cJSON *object, const char *key, const cJSON *from, const char *from_key);

/* What stands below a node of a file, as JSON. Returns new. */
cJSON *json_of_node(const struct node *node);

/* From here on an allocation of cJSON's that fails is noticed, so that the text of what lost a member by it is refused: once a process, before any use. */
void json_guard(void);

/* The value on one line, or laid out to be read; the caller frees. NULL for NULL, and when memory ran out here or while something was made in this
 * thread since the last text. */
char *json_text(const cJSON *value);
char *json_pretty(const cJSON *value);

/* On one line of the standard output. Takes the value. 0, or -ENOMEM when it is NULL or cannot be printed. */
int json_print(cJSON *value);

#endif
