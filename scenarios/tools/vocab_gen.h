/* The pages of vocab_gen. Each returns 0, or a negative errno after saying on stderr what is wrong in the tables. */
#ifndef PERTURB_TOOLS_VOCAB_GEN_H
#define PERTURB_TOOLS_VOCAB_GEN_H

#include <stdio.h>

int print_reference(FILE *out);
int print_events(FILE *out);
int print_schema(FILE *out);

#endif
