/* Inside of the probes: what a kind of probe is. One kind is one file: its keys lie in scenarios/playbook/keys_probe.c, its row in
 * kinds.c. */
#ifndef PERTURB_PROBE_PROBE_PRIV_H
#define PERTURB_PROBE_PROBE_PRIV_H

#include "controller/probe/probe.h"

struct prober;

/* One reading. It runs on the probe's thread. */
struct reading {
    const struct probe *probe;
    const struct probe_world *world;
    struct prober *prober; /* for reading_put and reading_is_over */
    uint64_t now_ns, deadline_ns;
    void *state;           /* what `open` made */
    char why[PROBER_WHY_MAX];
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

/* GET of a URL whole, at most `most` bytes; 0 with *ret_status and a text to free, or reading_fail's result. */
int reading_fetch(struct reading *reading, const char *url, size_t most, long *ret_status, char **ret_text);

/* The number at a path such as "pools[0].active" or "a[\"b.c\"].d" of a JSON text; booleans are 0 and 1, texts that are numbers count.
 * 0, -EINVAL for no JSON or a bad path, -ENOENT, -EDOM for no number. */
int json_number_at(const char *text, const char *path, double *ret_value);

#endif
