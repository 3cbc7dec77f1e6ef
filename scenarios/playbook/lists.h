/* What the sections of a playbook are made of. Texts and arrays live in the document's arena. */
#ifndef PERTURB_PLAYBOOK_LISTS_H
#define PERTURB_PLAYBOOK_LISTS_H

#include <stddef.h>
#include <stdint.h>

#define ABSENT INT64_MIN /* a number that was not given */

struct text_list {
    const char **items; /* NULL-terminated, so that it is an argv */
    size_t count;
};

/* A list or named map of one section. */
struct section_list {
    void *items;
    size_t count;
};

#endif
