/* Matchers of labels, as alerts and silences are chosen by: name=value, name!=value, name=~regex, name!~regex. */
#ifndef PERTURB_BASE_MATCHER_H
#define PERTURB_BASE_MATCHER_H

#include <stdbool.h>

enum { MATCHER_NAME_MAX = 128, MATCHER_VALUE_MAX = 512 };

#define MATCHER_EXAMPLES "name=value, name!=value, name=~regex or name!~regex"

struct matcher {
    char name[MATCHER_NAME_MAX], value[MATCHER_VALUE_MAX]; /* the value may be empty: the label is not there */
    bool is_regex, is_equal;
};

/* 0; -EINVAL: no name of a label, no operator, too long. The regular expression is for whoever evaluates it to judge. */
int matcher_parse(const char *text, struct matcher *ret_matcher);

#endif
