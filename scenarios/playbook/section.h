/* Sections of a playbook as tables of keys: the one description that the reader, the unknown-key messages, the JSON Schema and
 * the reference walk. */
#ifndef PERTURB_PLAYBOOK_SECTION_H
#define PERTURB_PLAYBOOK_SECTION_H

#include "scenarios/base/units.h"
#include "scenarios/playbook/playbook.h"

enum key_type {
    KEY_TEXT,    /* const char * */
    KEY_VALUE,   /* int64_t of `unit` */
    KEY_TEXTS,   /* struct text_list from a list of scalars, or one scalar */
    KEY_PAIRS,   /* struct text_list of "KEY=value" (or "Key: value", by `words`) from a map */
    KEY_SECTION, /* a struct of `section`, inline */
    KEY_LIST,    /* struct section_list from a list of `section` */
    KEY_MAP,     /* struct section_list from a map of `section`; the key goes to `name` */
    KEY_ANY,     /* left alone here; checked elsewhere (vars) */
};

struct key_desc {
    const char *name;
    enum key_type type;
    size_t offset;
    enum unit unit;
    int64_t minimum, maximum, initial;
    const char *words; /* UNIT_ENUM: the choices; KEY_PAIRS: what joins key and value */
    const struct section_desc *section;
    bool required;
    const char *help;
};

struct section_desc {
    const char *name;
    size_t size;
    const struct key_desc *keys;
    size_t key_count;
    size_t node_offset, name_offset; /* where the node and the map key go; SIZE_MAX when nowhere */
    bool open;                       /* further keys are the fault's: parameters and selectors */
    const char *help;
};

extern const struct section_desc playbook_section; /* the whole file */

struct section_reader {
    struct document *document;
    struct variables *variables;
    struct errs *errs;
};

/* Reads the map `node` into the zeroed struct at `target`: initial values, types, ranges, unknown and missing keys.
 * Goes on past errors; returns 0, or -EINVAL when it added any. */
int section_read(const struct section_reader *reader, const struct section_desc *section, const struct node *node, void *target);

/* Text of a scalar with its variables expanded; NULL with an error added when it is none. */
const char *section_text(const struct section_reader *reader, const struct node *node, const char *key);

#endif
