/* A toxic: one fault on one direction of a proxy, in the words of Toxiproxy's API.
 *
 * 1. Every stream fault of the table is a type, by its own name; `noop` is one without a fault.
 * 2. Attributes are the fault's ALIAS rows, integers, kept and shown as they were typed, zeros included; and the fault's own
 *    parameters, as text with a unit ("250ms"), shown when they were given.
 * 3. As typed is not as done: what lies outside the executor's range acts at its nearest end (a toxicity of 7 is always). */
#ifndef PERTURB_TOXIPROXY_TOXIC_H
#define PERTURB_TOXIPROXY_TOXIC_H

#include "controller/toxiproxy/json.h"
#include "scenarios/vocab/plan.h"

#include <stdbool.h>

struct attributes {
    int64_t typed[FAULT_PARAMS_MAX]; /* by slot, in the alias's unit */
    int64_t native[FAULT_PARAMS_MAX]; /* by slot, in the base of the parameter's unit */
    uint64_t native_given; /* BIT(slot) */
};

struct toxic {
    char *name; /* owned */
    const struct fault_desc *fault; /* NULL: noop */
    char stream[16]; /* as typed: "upstream", "Downstream" */
    enum direction direction;
    float toxicity;
    struct attributes attributes;
    uint64_t duration_ns; /* 0: as long as the proxy */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0 without a duration */
    uint64_t until_ns; /* of its rule: the duration left when the rule was made */
};

/* What a request says of a toxic. Texts and objects are borrowed from its tree; NULL and false where it says nothing. */
struct toxic_request {
    const char *name, *type, *stream;
    float toxicity;
    const cJSON *attributes, *duration;
};

/* Reads the fields; `toxicity` keeps its value where absent. 0 or -EINVAL with the reason in `why`. */
int toxic_request_read(const cJSON *body, struct toxic_request *request, struct buf *why);

/* Each returns 0 or -EINVAL and the error's whole text, as the API tells it, in `why`. */
int toxic_stream_parse(const char *text, enum direction *ret_direction, struct buf *why);
int toxic_type_parse(const char *type, const struct fault_desc **ret_fault, struct buf *why);

/* Merges attributes key by key into a copy and checks them. `is_new`: what the fault needs has to be there. NULL for none. */
int toxic_attributes_merge(const struct fault_desc *fault, const cJSON *given, bool is_new, struct attributes *attributes,
                           struct buf *why);

/* A duration: milliseconds as a number, or text with a unit; 0 ends it. Sets deadline and rule from now_ns. */
int toxic_duration_set(struct toxic *toxic, const cJSON *given, uint64_t now_ns, struct buf *why);

/* Returns new, of a request whose stream and type have been read; NULL when memory is out. The name is the request's, or
 * TYPE_STREAM as typed. */
struct toxic *toxic_new(const struct toxic_request *request, const struct fault_desc *fault, enum direction direction);
void toxic_free(struct toxic *toxic); /* accepts NULL */

const char *toxic_type(const struct toxic *toxic);

/* {"attributes","name","type","stream","toxicity"} and "duration" when there is one: `for_file` its rest, and no zeros among the
 * attributes. Returns new. */
cJSON *toxic_print(const struct toxic *toxic, bool for_file, uint64_t now_ns);

/* The rule that carries it out in the proxy `scope`. False: there is nothing to carry out. `proxy` is the proxy's own name. */
bool toxic_rule(const struct toxic *toxic, const char *proxy, const char *scope, struct plan_rule *ret_rule);

/* Makes the rule do as the reference does where that differs by a parameter, but for those that the toxic sets itself. */
void toxic_rule_strict(const struct toxic *toxic, struct plan_rule *rule);

#endif
