/* Prints what is written for people and for editors from the same tables that the program reads:
 *
 *     vocab_gen reference    every fault with parameters, selectors, points, aliases and a line that works (Markdown)
 *     vocab_gen events       every event record and its fields (Markdown)
 *     vocab_gen schema       the playbook's JSON Schema (2020-12)
 *
 * `make docs` keeps the output in scenarios/reference/; tests/tidy compares. Exit 70 when a table contradicts itself. */
#include "scenarios/tools/vocab_gen.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*print)(FILE *out);
} pages[] = {
    { "reference", print_reference },
    { "events", print_events },
    { "schema", print_schema },
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof(pages) / sizeof(pages[0]); i++)
        if (!strcmp(argv[1], pages[i].name))
            return pages[i].print(stdout) < 0 || fflush(stdout) != 0 ? 70 : 0;
    fprintf(stderr, "usage: vocab_gen reference|events|schema\n");
    return 64;
}
