/* ${...} in playbook texts: ${vars.NAME} (overridden by --var), ${env.NAME}, ${port.NAME} (a free port, the same for each
 * mention of the name), ${proxies.NAME.listen}. "$${" stands for a literal "${". */
#ifndef PERTURB_PLAYBOOK_VARIABLES_H
#define PERTURB_PLAYBOOK_VARIABLES_H

#include "scenarios/playbook/node.h"

#include <stdint.h>

enum { VARIABLE_PORTS_MAX = 64, VARIABLE_NAME_MAX = 64 };

struct variable_override {
    const char *name, *value; /* borrowed for as long as the variables */
};

struct named_port {
    char name[VARIABLE_NAME_MAX];
    uint16_t port;
};

struct variables {
    struct document *document; /* borrowed */
    const struct variable_override *overrides;
    size_t override_count;
    /* Gives a free port, 0 when there is none. Called once a name. */
    uint16_t (*free_port)(void *context, const char *name);
    void *context;
    struct named_port ports[VARIABLE_PORTS_MAX];
    size_t port_count;
};

/* The port of a name, allocated at its first mention; 0 when none can be had. */
uint16_t variables_port(struct variables *variables, const char *name);

/* Expands `text`, which stands at `node`. Returns the text itself when it holds no variable, else new text in the document's
 * arena; NULL with an error added that names the nearest variable. */
const char *variables_expand(struct variables *variables, const struct node *node, const char *text, struct errs *errs);

/* Every override must name a variable of the playbook. 0 or -EINVAL with errors added under "--var". */
int variables_check_overrides(struct variables *variables, struct errs *errs);

#endif
