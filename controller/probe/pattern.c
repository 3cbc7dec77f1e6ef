/* A number by a pattern: PCRE2. A pattern is compiled once and matched from one thread at a time. */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "controller/probe/probe_priv.h"

#include <errno.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 1000000, NUMBER_MAX = 63 };

struct pattern {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
    uint32_t groups;
};

int pattern_new(const char *text, const char *where, struct errs *errs, struct pattern **ret_pattern)
{
    struct pattern *pattern = calloc(1, sizeof(*pattern));
    char why[128];
    PCRE2_SIZE offset = 0;
    int error = 0;

    if (!pattern)
        return errs_add(errs, ERR_WORLD, where, "out of memory");
    pattern->code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_MULTILINE, &error, &offset, NULL);
    if (!pattern->code) {
        pcre2_get_error_message(error, (PCRE2_UCHAR *)why, sizeof(why));
        pattern_free(pattern);
        return errs_add(errs, ERR_INPUT, where, "pattern: '%s' is none: at character %zu: %s", text, (size_t)offset + 1, why);
    }
    pattern->match = pcre2_match_data_create_from_pattern(pattern->code, NULL);
    pattern->context = pcre2_match_context_create(NULL);
    if (!pattern->match || !pattern->context) {
        pattern_free(pattern);
        return errs_add(errs, ERR_WORLD, where, "out of memory");
    }
    pcre2_set_match_limit(pattern->context, STEPS_MAX);
    pcre2_pattern_info(pattern->code, PCRE2_INFO_CAPTURECOUNT, &pattern->groups);
    *ret_pattern = pattern;
    return 0;
}

void pattern_free(struct pattern *pattern)
{
    if (!pattern)
        return;
    pcre2_match_context_free(pattern->context);
    pcre2_match_data_free(pattern->match);
    pcre2_code_free(pattern->code);
    free(pattern);
}

bool pattern_has_group(const struct pattern *pattern)
{
    return pattern->groups > 0;
}

int pattern_number(const struct pattern *pattern, const char *text, size_t length, double *ret_value)
{
    int count = pcre2_match(pattern->code, (PCRE2_SPTR)text, length, 0, 0, pattern->match, pattern->context);
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(pattern->match);
    char number[NUMBER_MAX + 1], *end;
    double value;

    if (count == PCRE2_ERROR_NOMATCH)
        return -ENOENT;
    if (count < 0)
        return -E2BIG;
    if (!pattern->groups) {
        *ret_value = 1;
        return 0;
    }
    if (count < 2 || ends[3] <= ends[2] || ends[3] - ends[2] > NUMBER_MAX)
        return -EDOM;
    memcpy(number, text + ends[2], ends[3] - ends[2]);
    number[ends[3] - ends[2]] = '\0';
    value = strtod(number, &end);
    if (*end)
        return -EDOM;
    *ret_value = value;
    return 0;
}
