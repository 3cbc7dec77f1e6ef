/* What a command's synopsis and help say, part by part: the one table of options from which manual page, reference and completion are
 * made. The lines have these forms, which tests/component/test_manual.sh holds them to:
 *
 *   "  --seed N     draws of the run"    a definition: what is defined, two blanks or more, what it is
 *   "               more of it"          indented by four or more below one: more of the definition
 *   "  perturb ps"                       indented by two: an example; also what follows "Example: "
 *   "Exit status: 0 sound"               else text; an empty line ends a paragraph */
#ifndef PERTURB_CMD_USAGE_H
#define PERTURB_CMD_USAGE_H

#include <stdbool.h>
#include <stddef.h>

enum usage_kind { USAGE_BREAK, USAGE_DEFINITION, USAGE_MORE, USAGE_EXAMPLE, USAGE_TEXT };

struct usage_line {
    enum usage_kind kind;
    const char *head, *text; /* point into the help, end where their lengths say; head of a definition only */
    int head_length, text_length;
};

struct usage_reader {
    const char *at; /* the help */
    enum usage_kind last;
};

/* The next line; false at the end. */
bool usage_next(struct usage_reader *reader, struct usage_line *ret_line);

/* An option as it stands in a text: "-f", "--fault", with what follows it as its value. */
struct usage_option {
    char name[32];
    char value[64];  /* "N", "text|json"; "" when it takes none */
};

/* The next option in the text up to `end`; false when there is none. *at moves past it. */
bool usage_option(const char **at, const char *end, struct usage_option *ret_option);

#endif
