/* Prints what is written for people and for editors from the same tables that the program reads:
 *
 *     vocab_gen reference    every fault with parameters, selectors, points, aliases and a line that works (Markdown)
 *     vocab_gen events       every event record and its fields (Markdown)
 *     vocab_gen schema       the playbook's JSON Schema (2020-12)
 *     vocab_gen keys         every key of a playbook, section by section (Markdown)
 *     vocab_gen perturb-faults.7, perturb-playbook.5     manual pages
 *
 * `make docs` keeps the output in scenarios/reference/ and docs/reference/ (tests/tidy compares), `make man` in BUILD/man. Exit 70 when a table contradicts itself. */
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
    { "keys", print_keys },
    { "perturb-faults.7", print_faults_manual },
    { "perturb-playbook.5", print_playbook_manual },
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof(pages) / sizeof(pages[0]); i++)
        if (!strcmp(argv[1], pages[i].name))
            return pages[i].print(stdout) < 0 || fflush(stdout) != 0 ? 70 : 0;
    fprintf(stderr, "usage: vocab_gen reference|events|schema|keys|perturb-faults.7|perturb-playbook.5\n");
    return 64;
}
