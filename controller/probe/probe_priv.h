/* Inside of the probes: what a kind of probe is. One kind is one file: its keys lie in scenarios/playbook/keys_probe.c, its row in
 * kinds.c. */
#ifndef PERTURB_PROBE_PROBE_PRIV_H
#define PERTURB_PROBE_PROBE_PRIV_H

#include "controller/probe/json.h"
#include "controller/probe/probe.h"
#include "scenarios/base/buf.h"

#include <stdatomic.h>

struct prober;

/* One reading, of a probe or for evidence. It runs on a thread of its own. */
struct reading {
    uint64_t now_ns, deadline_ns;
    const atomic_bool *stopping; /* the run wants to end */
    const struct probe_world *world;
    char why[PROBER_WHY_MAX];

    const struct probe *probe; /* of a probe only, from here on */
    struct prober *prober;     /* for reading_put */
    void *state;               /* what `open` made */
};

struct probe_reader {
    int (*open)(const struct probe *probe, struct errs *errs, void **ret_state); /* NULL: nothing to be kept */
    void (*close)(void *state);

    /* Puts one sample or, where it follows a stream, several. 0; negative when it failed, with `why` filled. */
    int (*read)(struct reading *reading);
};

extern const struct probe_reader probe_proc, probe_command, probe_json;

void reading_put(struct reading *reading, uint64_t ns, double value);
bool reading_is_over(const struct reading *reading); /* the deadline has passed, or the run wants to end */
int reading_fail(struct reading *reading, const char *format, ...) __attribute__((format(printf, 2, 3))); /* returns -EIO */

/* GET of a URL whole, into `body`, which bounds it; 0 with *ret_status, or reading_fail's result. */
int reading_fetch(struct reading *reading, const char *url, struct buf *body, long *ret_status);

/* Runs a program to its end in a process group of its own, which is ended when the reading is over; what it prints goes to `output`,
 * which bounds it. `environment` as in execve(2). 0 when it ended with status 0, or reading_fail's result. */
int reading_run(struct reading *reading, const struct text_list *command, char *const *environment, struct buf *output);

/* What the kernel tells of a target and its children, as text. 0, or reading_fail's result. */
int evidence_proc(struct reading *reading, const char *target, struct buf *content);

#endif
