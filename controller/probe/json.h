/* What lies at a path of a JSON text, such as "pools[0].active" or "a[\"b.c\"].d". */
#ifndef PERTURB_PROBE_JSON_H
#define PERTURB_PROBE_JSON_H

#include <stdbool.h>

/* The number there; booleans are 0 and 1, texts that are numbers count.
 * 0, -EINVAL for no JSON or a bad path, -ENOENT, -EDOM for no number. */
int json_number_at(const char *text, const char *path, double *ret_value);

/* Is what lies there `expected`? A text is compared as it is; a number as a number; true, false and null by their words. False also
 * for no JSON, a bad path, nothing there. */
bool json_is_at(const char *text, const char *path, const char *expected);

#endif
