/* Reading matchers. */
#include "scenarios/base/matcher.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

int matcher_parse(const char *text, struct matcher *ret_matcher)
{
    struct matcher matcher = { .is_equal = true };
    size_t name = strcspn(text, "=!"), at = name;

    matcher.is_equal = text[at] == '=';
    if (!name || name >= sizeof(matcher.name) || !text[at] || isdigit((unsigned char)text[0]))
        return -EINVAL;
    for (size_t i = 0; i < name; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '_')
            return -EINVAL;
    at++;
    if (text[at] == '~')
        matcher.is_regex = true;
    else if (!matcher.is_equal && text[at] != '=')
        return -EINVAL;
    at += matcher.is_regex || !matcher.is_equal;
    if (strlen(text + at) >= sizeof(matcher.value))
        return -EINVAL;
    memcpy(matcher.name, text, name);
    memcpy(matcher.value, text + at, strlen(text + at));
    *ret_matcher = matcher;
    return 0;
}
