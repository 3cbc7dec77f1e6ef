/* What the API's clients have set up: proxies, and the toxics of each in order of creation. Data and its rules only; nothing here
 * listens or disturbs anything (engine.h does).
 *
 * 1. Names of proxies are unique; names of toxics are unique within their proxy, across both directions.
 * 2. A proxy's `listen` is what it really listens on while `enabled`, and the last such, or what was asked for, while not. */
#ifndef PERTURB_TOXIPROXY_MODEL_H
#define PERTURB_TOXIPROXY_MODEL_H

#include "controller/toxiproxy/toxic.h"
#include "scenarios/vocab/message.h"

enum { NAME_BYTES_MAX = 4096 };

struct proxy_config {
    char *name, *listen, *upstream; /* owned */
    bool enabled; /* it listens */
    struct toxic **toxics; /* owned, in order of creation */
    size_t toxic_count;
    char scope[RULE_SCOPE_MAX]; /* its name in the executor */
    struct proxy_status counted; /* what it did before it was last opened */
};

struct model {
    struct proxy_config **proxies; /* owned, in order of creation */
    size_t count;
};

void model_done(struct model *model);

struct proxy_config *model_find(const struct model *model, const char *name);

/* Returns new, not in the model yet; texts are copied. NULL when memory is out. */
struct proxy_config *proxy_config_new(const char *name, const char *listen, const char *upstream);
void proxy_config_free(struct proxy_config *proxy); /* accepts NULL */

/* Puts it at the end (takes it), or, when `old` is given, in the place of that one, which is given back to the caller.
 * 0 or -ENOMEM: nothing has changed. */
int model_add(struct model *model, struct proxy_config *proxy);
void model_replace(struct model *model, struct proxy_config *old, struct proxy_config *proxy);
void model_take(struct model *model, struct proxy_config *proxy); /* out of the model; the caller's now */

struct toxic *model_find_toxic(const struct proxy_config *proxy, const char *name);

/* Puts a toxic at `index` of the proxy's list (takes it). 0 or -ENOMEM. */
int model_add_toxic(struct proxy_config *proxy, struct toxic *toxic, size_t index);
size_t model_take_toxic(struct proxy_config *proxy, const struct toxic *toxic); /* the caller's now; the index it had */

/* Sets a text it owns. 0 or -ENOMEM. */
int model_set_text(char **slot, const char *text);

#endif
