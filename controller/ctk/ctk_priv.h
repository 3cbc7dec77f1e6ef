/* Inside of the adapter. An experiment is kept as JSON, as its author wrote it: the format is dynamic (a value may become another type by
 * substitution), so every step looks at what is there. */
#ifndef PERTURB_CTK_PRIV_H
#define PERTURB_CTK_PRIV_H

#include "controller/ctk/ctk.h"
#include "scenarios/base/buf.h"

#include <cjson/cJSON.h>
#include <stdatomic.h>

/* ---- value.c: JSON values ---- */
const char *ctk_text(const cJSON *object, const char *key); /* "" when absent */
double ctk_number(const cJSON *object, const char *key, double otherwise);
bool ctk_bool(const cJSON *object, const char *key);

/* A scalar as it would stand in a text: true, 5, 2.5, abc. Returns new. */
char *ctk_print(const cJSON *value);

/* ---- substitute.c ---- */
struct ctk_values {
    cJSON *configuration; /* name -> value, resolved */
    cJSON *secrets;       /* group -> name -> value, resolved */
};

/* Names in texts become values: "${name}", "$name", "$$" for a dollar. Configuration before secrets; a text that is one name and nothing else
 * becomes that value with its type; what is unknown stays as it is. Returns new. */
cJSON *ctk_substitute(const cJSON *value, const struct ctk_values *values);

/* Resolves "type": "env" entries, dynamic ones by their probe. 0; negative with `why` filled. */
int ctk_values_resolve(const cJSON *experiment, const atomic_bool *stopping, struct ctk_values *ret_values, char *why, size_t size);
void ctk_values_done(struct ctk_values *values);

/* ---- provider.c ---- */
/* Runs a substituted activity's provider. 0 with a new *ret_output; negative with `why` filled when it raised an error. */
int ctk_run_provider(const cJSON *provider, const cJSON *configuration, const atomic_bool *stopping, cJSON **ret_output, char *why, size_t size);

/* ---- jsonpath.c ---- */
/* Child, index, wildcard, recursive descent, slices of "*" and filters of equality: $.a.b[0], $..name, $.items[*].id, $.items[?(@.kind=="x")].
 * 0 with a new array of copies; -EINVAL for a path outside this subset. */
int ctk_jsonpath(const cJSON *document, const char *path, cJSON **ret_matches);

/* ---- tolerance.c ---- */
/* Refuses what the format refuses: 0, or -EINVAL with errors at the node. */
int ctk_check_tolerance(const struct document *document, const struct node *node, struct errs *errs);

/* Is `output` within? A probe tolerance is run. */
bool ctk_tolerates(const cJSON *tolerance, const cJSON *output, const struct ctk_values *values, const atomic_bool *stopping);

/* ---- activity.c ---- */
struct ctk_run {
    const cJSON *experiment;
    struct ctk_values values;
    atomic_bool stopping; /* a signal came */
    bool json;
    struct ctk_instants instants;
};

/* The activity of a {ref: name}, or itself. */
const cJSON *ctk_resolve(const cJSON *experiment, const cJSON *activity);

/* Pauses, runs, records; the record is the journal's. Returns new. */
cJSON *ctk_run_activity(struct ctk_run *run, const cJSON *activity);

/* The hypothesis's probes in turn, up to the first that is not tolerated. Returns new: {steady_state_met, probes}. `met` null when there is no
 * hypothesis. */
cJSON *ctk_run_hypothesis(struct ctk_run *run);

void ctk_say(const struct ctk_run *run, const char *what, const char *text);
void ctk_add_instant(cJSON *object, const char *key); /* now, RFC 3339 */

#endif
