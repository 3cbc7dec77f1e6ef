/* Inside of the probes: what a kind of probe is. One kind is one file: its keys lie in scenarios/playbook/keys_probe.c, its row in
 * probe.c. */
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
    int (*open)(const struct probe *probe, const char *where, struct errs *errs, void **ret_state); /* NULL: nothing to be kept */
    void (*close)(void *state);

    /* Puts one sample or, where it follows a stream, several. 0; negative when it failed, with `why` filled. NULL: the engine tells. */
    int (*read)(struct reading *reading);
};

extern const struct probe_reader probe_proc, probe_command, probe_json, probe_http, probe_tcp, probe_process, probe_file, probe_log,
    probe_prometheus, probe_alertmanager, probe_redis, probe_postgres;

void reading_put(struct reading *reading, uint64_t ns, double value);
bool reading_is_over(const struct reading *reading); /* the deadline has passed, or the run wants to end */
int reading_fail(struct reading *reading, const char *format, ...) __attribute__((format(printf, 2, 3))); /* returns -EIO */

/* GET of a URL whole, into `body`, which bounds it; NULL drops it. `headers`: "Name: value", may be NULL. 0 with *ret_status, or
 * reading_fail's result. No capture of the run takes its connection. */
int reading_request(struct reading *reading, const char *url, const struct text_list *headers, struct buf *body, long *ret_status);
int reading_fetch(struct reading *reading, const char *url, struct buf *body, long *ret_status); /* without headers */

/* Connects to HOST:PORT; *ret_fd does not block, and no capture of the run takes it. Looking a name up may take the resolver's own
 * time limits. 0, or reading_fail's result. */
int reading_connect(struct reading *reading, const char *address, int *ret_fd);
int reading_wait(struct reading *reading, int fd, short events); /* until poll(2) says so: 0, or reading_fail's result */
int reading_send(struct reading *reading, int fd, const char *bytes, size_t length);

/* Runs a program to its end in a process group of its own, which is ended when the reading is over; what it prints goes to `output`,
 * which bounds it. `environment` as in execve(2). 0 when it ended with status 0, or reading_fail's result. */
int reading_run(struct reading *reading, const struct text_list *command, char *const *environment, struct buf *output);

/* What the kernel tells of a target and its children, as text. 0, or reading_fail's result. */
int evidence_proc(struct reading *reading, const char *target, struct buf *content);

/* Stacks of a target's and its children's threads, `samples` times; what was read by then where the reading is over. 0, or
 * reading_fail's result. */
int evidence_stacks(struct reading *reading, const char *target, int64_t samples, struct buf *content);

/* The first number of a text. 0 or -ENOENT. */
int text_first_number(const char *text, double *ret_value);

/* ---- patterns (PCRE2) -------------------------------------------------------------------------------------------------------- */

struct pattern;

/* Returns new. 0; -EINVAL with an error added under `where`; -ENOMEM. pattern_free accepts NULL. */
int pattern_new(const char *text, const char *where, struct errs *errs, struct pattern **ret_pattern);
void pattern_free(struct pattern *pattern);
bool pattern_has_group(const struct pattern *pattern);

/* Of the first match: the number that its first group is; 1 without groups. 0, -ENOENT for no match, -EDOM where the group is no number
 * whole. Bounded in its steps: what matches too dearly is -E2BIG. */
int pattern_number(const struct pattern *pattern, const char *text, size_t length, double *ret_value);

/* ---- logs -------------------------------------------------------------------------------------------------------------------- */

/* Follows a file by name. The first call that finds it begins at its end, unless it was not there at tail_new(): then at its start, as
 * after a rotation (another file has the name; what was left of the old one comes first) and a truncation. A line comes when it is
 * whole; one longer than LOG_LINE_MAX comes cut. */
enum { LOG_LINE_MAX = 16384 };
struct tail;
struct tail *tail_new(void); /* NULL: no memory */
struct tail *tail_free(struct tail *tail);
void tail_begin(struct tail *tail, const char *path); /* at its end, where it is there */

/* Hands on what has come, line by line, without the line's end but terminated; at most 64 MiB a call. 0 or -errno. */
int tail_read(struct tail *tail, const char *path, void (*take)(void *context, const char *line, size_t length), void *context);

/* What a ready-made extractor remembers from line to line; zeroed at first. */
struct extract_state {
    double count;             /* lines so far */
    bool in_block;            /* of scheddetail: from its head line on */
    double queued, tasks;
};

/* The number that a line makes known; false when it makes none known. */
bool extract_line(enum log_extract extract, struct extract_state *state, const char *line, double *ret_value);
bool extract_counts(enum log_extract extract); /* its number is a count of lines so far, 0 before the first */

/* ---- answers ----------------------------------------------------------------------------------------------------------------- */

/* The one number of an answer of /api/v1/query; `why` says what there is instead. 0 or -EIO. */
int prometheus_number(const char *answer, double *ret_value, char *why, size_t size);

/* How many alerts an answer of /api/v2/alerts holds; `why` says what there is instead. 0 or -EIO. */
int alertmanager_count(const char *answer, double *ret_value, char *why, size_t size);

/* A field of INFO, or "field.part" of a field with parts (db0:keys=1,expires=0). 0, -ENOENT, -EDOM for no number. */
int redis_info_number(const char *info, const char *field, double *ret_value);

#endif
