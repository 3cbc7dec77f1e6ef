/* Reading a result document in which any key may be missing, null or of the wrong type. Nothing here allocates. */
#ifndef PERTURB_REPORT_DOC_H
#define PERTURB_REPORT_DOC_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* The member, borrowed; NULL when `object` is no object or has none. */
const cJSON *doc_get(const cJSON *object, const char *key);

/* An array member, NULL when absent or no array: cJSON_ArrayForEach over NULL is empty. */
const cJSON *doc_list(const cJSON *object, const char *key);
size_t doc_count(const cJSON *list);

/* NaN when absent, null, no number or not finite. */
double doc_number(const cJSON *object, const char *key);
double doc_value(const cJSON *item);

/* "" when absent or no text. Borrowed, unescaped, hostile. */
const char *doc_text(const cJSON *object, const char *key);

bool doc_is(const cJSON *object, const char *key, const char *text);
bool doc_true(const cJSON *object, const char *key);
bool doc_false(const cJSON *object, const char *key); /* present and false: not the complement of doc_true */

#endif
