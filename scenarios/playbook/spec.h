/* A fault as one line (DESIGN section 3, normative):
 *
 *     NAME[@POINT][:ITEM,ITEM...]        ITEM: key OP value (=, !=, >=, <=), or, first, the bare main value
 *     latency@connect:200ms,peer=10.0.0.0/8    alloc_fail:1%,size>=1MiB    fail@write:ENOSPC,path="/var/lib/x",after=100
 *
 * An errno may be several with weights, "EIO:3+EINTR" (EIO three times out of four), or "any", one that the call can return by its
 * manual page; in a playbook also a list, or a map of weights. Keys are the fault's parameters, the selectors its table entry allows, and `name` (the instance's name), `to` (see below),
 * `target` and `proxy` (the rule's scope). Values with ',' are quoted with "" or ''. Playbooks use the same keys through
 * fault_set(). Every key may be given once. */
#ifndef PERTURB_PLAYBOOK_SPEC_H
#define PERTURB_PLAYBOOK_SPEC_H

#include "scenarios/base/err.h"
#include "scenarios/vocab/message.h"
#include "scenarios/vocab/plan.h"

struct fault_spec {
    struct plan_rule rule;
    char to[ADDRESS_TEXT_MAX]; /* "HOST:PORT" or ":PORT": redirect matching connects to a proxy that carries the fault; "" when none */
    uint64_t given_params;     /* BIT(slot) of the parameters that were set */
    uint64_t given_selectors;  /* BIT(selector_id) */
};

/* Parses one line. `layers` is the BIT(layer) mask allowed here; `to=` in the text confines it to the stream layer, its absence
 * to the others when both are allowed. `where` ("-f") heads the errors, which name the column in the text.
 * 0, or -EINVAL with at least one error added. */
int fault_spec_parse(const char *text, uint64_t layers, const char *where, struct fault_spec *ret_spec, struct errs *errs);

/* Sets one key from its text: parameter, selector, or name. `op` is one operator bit. 0 or -EINVAL with an error added. */
int fault_set(struct fault_spec *spec, const char *key, enum operator_bits op, const char *value, const char *where,
              struct errs *errs);

/* Puts a call fault at one point. 0 or -EINVAL with an error added that lists its points. */
int fault_spec_point(struct fault_spec *spec, const char *point, const char *where, struct errs *errs);

/* What has to be there but is not (required parameters), and what contradicts. 0 or -EINVAL with errors added. */
int fault_spec_finish(struct fault_spec *spec, const char *where, struct errs *errs);

/* Finds the fault and starts a spec with defaults. NULL with an error added that names the nearest fault. */
const struct fault_desc *fault_spec_begin(struct fault_spec *spec, const char *name, uint64_t layers, const char *where,
                                          struct errs *errs);

/* The canonical line of a rule: fault_spec_parse of it gives the same rule. Returns 0 or -E2BIG. */
int fault_spec_print(const struct fault_spec *spec, char *text, size_t size);

#endif
