/* The pages of vocab_gen. Each returns 0, or a negative errno after saying on stderr what is wrong in the tables. */
#ifndef PERTURB_TOOLS_VOCAB_GEN_H
#define PERTURB_TOOLS_VOCAB_GEN_H

#include "scenarios/playbook/section.h"
#include "scenarios/vocab/fault.h"

#include <stdio.h>

int print_reference(FILE *out);
int print_events(FILE *out);
int print_schema(FILE *out);
int print_keys(FILE *out);
int print_faults_manual(FILE *out);
int print_playbook_manual(FILE *out);

/* ---- what several pages say in the same words ---- */

extern const char *const vocab_layer_titles[LAYER_COUNT];

const char *vocab_unit_name(enum unit unit);

/* Into `text`: the range of a parameter ("0s to 10m", or its words), and what it is when it is not given. */
void vocab_range(const struct param_desc *param, char *text, size_t size);
void vocab_default(const struct fault_desc *fault, const struct param_desc *param, char *text, size_t size);

void vocab_backends(FILE *out, uint32_t backends);
void vocab_step(FILE *out, const struct fault_desc *fault); /* of a host fault, as a line of a playbook's method */

/* A fault as a line that parses: "latency:100ms,to=127.0.0.1:6379". 0 or -EINVAL, told. */
int vocab_example(const struct fault_desc *fault, char *line, size_t size);

/* ---- the keys of a playbook ---- */

enum { VOCAB_SECTIONS_MAX = 96, VOCAB_PARENTS_MAX = 512 };

/* The sections in the order in which the file's keys first lead to them, each once, with the places that lead to it. */
struct vocab_sections {
    size_t count;
    const struct section_desc *list[VOCAB_SECTIONS_MAX];
    char places[VOCAB_SECTIONS_MAX][VOCAB_PARENTS_MAX]; /* "playbook.load, load.http" */
};
int vocab_sections(struct vocab_sections *ret_sections);

void vocab_key_kind(const struct key_desc *key, char *text, size_t size);
void vocab_key_range(const struct key_desc *key, char *text, size_t size);   /* "" when any text will do */
void vocab_key_default(const struct key_desc *key, char *text, size_t size); /* "" when there is none */

#endif
