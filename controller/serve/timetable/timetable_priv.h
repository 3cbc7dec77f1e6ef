/* Inside of the timetable. Everything here is called under the mutex. */
#ifndef PERTURB_SERVE_TIMETABLE_PRIV_H
#define PERTURB_SERVE_TIMETABLE_PRIV_H

#include "controller/serve/timetable/schedule_plan.h"
#include "controller/serve/core/service_priv.h"
#include "controller/serve/timetable/timetable.h"

enum { TIMETABLE_NAME_MAX = 80, TIMETABLE_ROWS_MAX = PLAN_SCHEDULES_MAX, TIMETABLE_STEPS_MAX = 64, SPACING_MAX_S = 7 * 86400 };

/* A schedule as its row has it. Texts are owned. */
struct schedule_row {
    int64_t id;
    char *name, *playbook, *suite, *cron_text, *zone_text, *vars, *windows, *source, *skip_by;
    struct cron cron;
    const struct zone *zone; /* of the service's */
    int64_t jitter_s, deadline_s, catch_up, considered_s, skip_s, revision;
    enum plan_overlap overlap;
    bool enabled;
};

struct window_row {
    char *name;
    struct cron cron;
    bool has_cron;
    struct plan_window window; /* refers to the above */
};

struct schedule_rows {
    struct schedule_row *items;
    size_t count;
};

struct window_rows {
    struct window_row *items;
    size_t count;
};

/* The zone of this name, loaded when first asked for. NULL with an error under `where`. */
const struct zone *service_zone(struct service *service, const char *name, const char *where, struct errs *errs);

/* All of them; 0 or negative with an error added. A row that cannot be understood is left out and told as a problem. */
int schedules_load(struct service *service, struct schedule_rows *ret_rows, struct errs *errs);
void schedules_done(struct schedule_rows *rows);
int windows_load(struct service *service, struct window_rows *ret_rows, struct errs *errs);
void windows_done(struct window_rows *rows);

/* As the functions of timetable.h, with where it comes from; `where` is put before the member's name in errors. */
int schedule_put(struct service *service, int64_t id, const cJSON *body, const char *source, const char *where, int64_t *ret_id, struct errs *errs);
int window_put(struct service *service, const cJSON *body, const char *source, const char *where, struct errs *errs);
int suite_put(struct service *service, const cJSON *body, const char *source, const char *where, struct errs *errs);

/* What serve.yaml says, made rows. */
int timetable_sync(struct service *service, struct errs *errs);

/* ---- members of a body ---- */
struct body_reader {
    const cJSON *body;
    const char *where;
    struct errs *errs;
};
const char *body_text(const struct body_reader *reader, const char *key, const char *absent); /* NULL with an error when it is no text */
int body_length_s(const struct body_reader *reader, const char *key, int64_t maximum_s, int64_t *ret_s); /* absent leaves it */
int body_instant(const struct body_reader *reader, const char *key, int64_t *ret_s);                     /* absent leaves it */
int body_refuse(const struct body_reader *reader, const char *key, const char *expected);
int body_check_keys(const struct body_reader *reader, const char *const *keys, size_t count);
bool name_is_sound(const char *name);

/* ---- suites.c ---- */
int suite_begin(struct service *service, const char *name, const char *by_kind, const char *by_name, int64_t schedule, int64_t due_s, char *ret_id,
                struct errs *errs);
int suite_claims(struct service *service, const char *name, struct claims *ret_claims, struct errs *errs);
int64_t suites_tick(struct service *service, int64_t now_s); /* the next instant that it wants to be called; 0: when a run ends */
int suite_end(struct service *service, const char *id, const char *outcome, struct errs *errs);

#endif
