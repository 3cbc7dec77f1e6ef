/* Values with words: choices and errno names beside the numeric units. */
#include "scenarios/playbook/value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ERRNO_MAX = 133 };

static int errno_parse(const char *text, int64_t *ret_value)
{
    for (int number = 1; number <= ERRNO_MAX; number++) {
        const char *name = strerrorname_np(number);

        if (name && !strcmp(name, text)) {
            *ret_value = number;
            return 0;
        }
    }
    return -EINVAL;
}

static int refuse_errno(const char *key, const char *text, const char *where, struct errs *errs)
{
    const char *names[ERRNO_MAX + 1];
    int nearest;

    for (int number = 0; number <= ERRNO_MAX; number++)
        names[number] = number ? strerrorname_np(number) : NULL;
    nearest = err_nearest(text, names, ERRNO_MAX + 1);
    return errs_add(errs, ERR_INPUT, where, "%s: '%s' is no errno name%s%s%s", key, text, nearest >= 0 ? "; did you mean " : "",
                    nearest >= 0 ? names[nearest] : "", nearest >= 0 ? "?" : " such as ENOSPC");
}

static int refuse_range(const char *key, enum unit unit, const char *text, int64_t value, int64_t minimum, int64_t maximum,
                        const char *where, struct errs *errs)
{
    bool above = value > maximum;
    char bound[32];

    return errs_add(errs, ERR_INPUT, where, "%s: %s is %s the %s of %s", key, text, above ? "above" : "below",
                    above ? "maximum" : "minimum", unit_print(unit, above ? maximum : minimum, bound, sizeof(bound)));
}

int value_parse(const char *key, enum unit unit, const char *words, int64_t minimum, int64_t maximum, const char *text,
                const char *where, struct errs *errs, int64_t *ret_value)
{
    int64_t value;
    int result;

    if (unit == UNIT_ENUM) {
        value = words_index(words, text);
        if (value < 0)
            return errs_add(errs, ERR_INPUT, where, "%s: '%s' is none of: %s", key, text, words);
    } else if (unit == UNIT_ERRNO) {
        if (errno_parse(text, &value) < 0)
            return refuse_errno(key, text, where, errs);
    } else {
        result = unit_parse(unit, text, &value);
        if (result == -ERANGE)
            return errs_add(errs, ERR_INPUT, where, "%s: '%s' is too large to be represented", key, text);
        if (result < 0)
            return errs_add(errs, ERR_INPUT, where, "%s: found '%s', expected %s", key, text, unit_example(unit));
        if (value < minimum || value > maximum)
            return refuse_range(key, unit, text, value, minimum, maximum, where, errs);
    }
    *ret_value = value;
    return 0;
}

char *value_print(enum unit unit, const char *words, int64_t value, char *text, size_t size)
{
    if (unit == UNIT_ENUM)
        return words_at(words, value, text, size);
    if (unit == UNIT_ERRNO) {
        const char *name = strerrorname_np((int)value);

        if (name)
            snprintf(text, size, "%s", name);
        else
            snprintf(text, size, "%" PRId64, value);
        return text;
    }
    return unit_print(unit, value, text, size);
}
