/* A run as outlets tell it: what its events say so far, line by line of events.jsonl, and its result once there is one.
 *
 * 1. Pure: the same lines give the same story, so one who comes after a crash reads them again and knows what was told.
 * 2. Instants are the run's CLOCK_MONOTONIC ns; story_wall_ns() makes wall time of them with the one offset that was taken when the
 *    run began.
 * 3. Lists are bounded; what comes on top is counted in `left_out`. Texts are hostile. */
#ifndef PERTURB_OUTLET_STORY_H
#define PERTURB_OUTLET_STORY_H

#include "controller/outlet/config.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

enum { STORY_TEXT_MAX = 256, STORY_FAULTS_MAX = 64, STORY_PHASES_MAX = 64, STORY_INSTANTS_MAX = 128, STORY_TAGS_MAX = 16 };

struct story_fault {
    char name[STORY_TEXT_MAX];
    uint64_t armed_ns, acted_ns, released_ns; /* 0: not yet */
    int64_t matched, fired;
};

struct story_phase {
    char name[48];
    uint64_t from_ns, until_ns; /* until 0: it is the one that goes on */
};

struct story_instant {
    char name[48], text[STORY_TEXT_MAX];
    uint64_t ns;
};

struct story {
    char run[64], title[STORY_TEXT_MAX], service[STORY_TEXT_MAX], playbook[STORY_TEXT_MAX], directory[4096];
    char tags[STORY_TAGS_MAX][64];
    size_t tag_count;
    int64_t wall_offset_ns; /* wall = monotonic + this */
    uint64_t began_ns;      /* the run's command started it */
    struct story_fault faults[STORY_FAULTS_MAX];
    size_t fault_count;
    struct story_phase phases[STORY_PHASES_MAX];
    size_t phase_count;
    struct story_instant instants[STORY_INSTANTS_MAX];
    size_t instant_count, left_out;
    uint64_t last_ns;  /* of the latest event */
    uint64_t last_seq;
    bool ended;
    cJSON *result; /* owned; NULL where the run ended without one: it was cut off */
};

/* What an event is to those who are told. */
struct story_moment {
    enum outlet_moment moment;        /* MOMENTS: nothing to tell */
    uint64_t seq, ns;
    const struct story_fault *fault; /* injected, released */
    char what[STORY_TEXT_MAX];        /* guard's action, mark, reason of an abort; "" */
    char text[STORY_TEXT_MAX];
};

void story_init(struct story *story); /* story_done accepts a zeroed one */
void story_done(struct story *story);

/* Takes one line of events.jsonl, without its end. 0; -EINVAL for what is no event, then nothing has changed. */
int story_take(struct story *story, const char *line, struct story_moment *ret_moment);

/* The run has ended at `ns`: takes `result` (may be NULL). *ret_moment is MOMENT_ENDED. */
void story_end(struct story *story, cJSON *result, uint64_t ns, struct story_moment *ret_moment);

uint64_t story_wall_ns(const struct story *story, uint64_t ns);
char *story_time(const struct story *story, uint64_t ns, char *text, size_t size); /* RFC 3339 with ms, UTC. Returns text */

/* Of its end: 0..4; 3 for one that was cut off. The word is "interrupted" then. */
int story_status(const struct story *story);
const char *story_verdict(const struct story *story);
const char *story_why(const struct story *story);

/* Faults that are armed now. */
size_t story_faults_armed(const struct story *story);

#endif
