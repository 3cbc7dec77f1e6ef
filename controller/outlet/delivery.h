/* A delivery: one request that an outlet is to get, as a value and as JSON on disk.
 * It holds no secret: URL, token and signature are put to it when it is sent. */
#ifndef PERTURB_OUTLET_DELIVERY_H
#define PERTURB_OUTLET_DELIVERY_H

#include "controller/outlet/story.h"
#include "scenarios/base/buf.h"

enum { DELIVERY_BODY_MAX = 4 << 20, DELIVERY_PATH_MAX = 256, DELIVERY_KEY_MAX = 64 };

struct delivery {
    char id[128];   /* the same whenever the same run is told again: receivers may drop what they have seen */
    char event[32]; /* its moment */
    char method[8], path[DELIVERY_PATH_MAX]; /* after the outlet's URL; "{id}" stands for the id kept under `needs` */
    char save[DELIVERY_KEY_MAX];  /* the id in its answer is kept under this key; "" for none */
    char needs[DELIVERY_KEY_MAX];
    char otherwise[DELIVERY_PATH_MAX]; /* POSTed to in its place where that id was never given; "": then there is nothing to do */
    char *body; /* owned; NULL for none */
    uint64_t created_ms, not_before_ms; /* since 1970 */
    unsigned attempts;
};

/* What kinds of outlets make of a moment. */
struct telling {
    const struct outlet *outlet;
    const struct story *story;
    const struct story_moment *moment;
    /* Takes `delivery` with its body; its id is given here. */
    void (*put)(void *context, struct delivery *delivery);
    void *context;
};

void delivery_done(struct delivery *delivery); /* accepts a zeroed one */
int delivery_print(const struct delivery *delivery, struct buf *out);       /* 0; -ENOMEM */
int delivery_parse(const char *text, struct delivery *ret_delivery);       /* 0; -EINVAL */

/* One a kind; each decides itself what a moment means to it. */
void webhook_tell(const struct telling *telling);
void slack_tell(const struct telling *telling);
void grafana_tell(const struct telling *telling);
void alertmanager_tell(const struct telling *telling);
void otlp_tell(const struct telling *telling);
void outlet_tell(const struct telling *telling); /* by the outlet's kind */

/* A delivery of `body`, which is taken and printed; `path` is after the outlet's URL. */
void telling_put_json(const struct telling *telling, const char *method, const char *path, cJSON *body, struct delivery *draft);

/* Whether the outlet wants to hear of this moment; "failed" is an end with another status than 0. */
bool telling_is_wanted(const struct telling *telling);
const char *moment_name(enum outlet_moment moment);

/* alertmanager.c: a silence from `from_ns` until a while after `now_ns`, wall time, to be POSTed to /api/v2/silences; `id` extends that
 * one. NULL where none is wanted. */
char *alertmanager_silence(const struct outlet *outlet, const struct story *story, const char *id, uint64_t from_ns, uint64_t now_ns);

/* otlp.c: the run as it goes on, to be POSTed to /v1/metrics; `sample` is the last line of its live.jsonl, or NULL. */
char *otlp_live_metrics(const struct story *story, const cJSON *sample, uint64_t wall_ns);
char *otlp_final_metrics(const struct story *story);
char *otlp_trace(const struct story *story);

#endif
