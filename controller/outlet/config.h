/* Outlets: where a run is told of beside its own reports. Sections `outlets` and `egress` of a YAML file, the service's or one's own.
 *
 * 1. A secret comes from a file or from the environment, never from the configuration itself. A URL may be one too (Slack's is).
 * 2. What is shown of a URL is its origin: scheme, host, port. outlet_shown() is the only way to show one.
 * 3. Other sections of the file are somebody else's and left alone. */
#ifndef PERTURB_OUTLET_CONFIG_H
#define PERTURB_OUTLET_CONFIG_H

#include "scenarios/base/egress.h"
#include "scenarios/base/err.h"
#include "scenarios/playbook/lists.h"
#include "scenarios/playbook/node.h"

enum { OUTLETS_MAX = 16, OUTLET_URL_MAX = 1024, OUTLET_SECRET_MAX = 4096, OUTLET_NAME_MAX = 48 };

#define OUTLET_KIND_WORDS "webhook slack grafana alertmanager otlp"
enum outlet_kind { OUTLET_WEBHOOK, OUTLET_SLACK, OUTLET_GRAFANA, OUTLET_ALERTMANAGER, OUTLET_OTLP, OUTLET_KINDS };

/* Moments of a run that somebody may be told of, in the order of their words. */
#define OUTLET_MOMENT_WORDS "started injected released guard mark aborted ended failed"
enum outlet_moment {
    MOMENT_STARTED,
    MOMENT_INJECTED,
    MOMENT_RELEASED,
    MOMENT_GUARD,
    MOMENT_MARK,
    MOMENT_ABORTED,
    MOMENT_ENDED,
    MOMENT_FAILED, /* ended, and not with status 0 */
    MOMENTS,
};

struct outlet {
    const char *name;
    const struct node *node;
    int64_t kind;
    const char *url_text, *url_file, *url_env;
    const char *token_file, *token_env;
    const char *secret_file, *secret_env;
    struct text_list headers; /* "Name: value" */
    struct text_list on;
    const char *dashboard;
    struct text_list tags;
    struct text_list silence; /* matchers: name=value, !=, =~, !~ */
    int64_t silence_for, alert, alert_for;
    int64_t timeout, give_up;

    /* resolved */
    uint32_t moments;                /* bits of enum outlet_moment */
    char url[OUTLET_URL_MAX];        /* without a slash at its end; may be secret */
    char token[OUTLET_SECRET_MAX];   /* "" for none */
    char secret[OUTLET_SECRET_MAX];
};

struct outlet_config {
    struct document document;
    struct section_list outlets; /* struct outlet */
    struct egress egress;        /* of outlets */
    struct egress captures_egress; /* of what a playbook asks for: probes and captures */
    int64_t drain;               /* how long the end of a run waits for what is still to be sent, ns */
    int64_t queue;               /* deliveries that may wait, an outlet and run */
};

/* Reads FILE, which must have a section `outlets` or `egress`. 0 and a new configuration (outlet_config_free); -EINVAL with errors
 * added, each located: unknown keys, no URL, a secret that cannot be read. */
int outlet_config_read(const char *file, struct errs *errs, struct outlet_config **ret_config);

/* The same of a text, for tests and for those who have the text. */
int outlet_config_parse(const char *name, const char *text, size_t length, struct errs *errs, struct outlet_config **ret_config);
struct outlet_config *outlet_config_free(struct outlet_config *config); /* forgets the secrets; accepts NULL, returns NULL */

const struct outlet *outlet_find(const struct outlet_config *config, const char *name); /* NULL: no such */
const char *outlet_kind_name(enum outlet_kind kind);

/* What may be shown of its URL: "https://hooks.example:8443". Returns `text`. */
char *outlet_shown(const struct outlet *outlet, char *text, size_t size);

/* Every occurrence of its secrets and of its URL in `text` becomes "[secret]", in place. For messages of libraries. */
void outlet_redact(const struct outlet *outlet, char *text);

#endif
