/* Samples of a live run: live.jsonl in the run's directory, for whoever looks on from outside (`perturb watch`, the page).
 *
 * A line tells of one bin of LOAD_BIN_NS, as it is known when the bin has just passed. Replies come late and belong to the instant
 * their request was planned at, so a later line brings bins of before once more, under `again`. docs/live-feed.md has the fields.
 *
 * 1. Every finished request is looked at once, a bounded number a tick; a line is written in one piece, at most one a tick.
 * 2. It is a view and nothing of the result depends on it: what cannot be written is left out. */
#ifndef PERTURB_RUN_SAMPLES_H
#define PERTURB_RUN_SAMPLES_H

#include "controller/load/load.h"
#include "controller/run/run_priv.h"
#include "scenarios/base/histogram.h"

enum {
    SAMPLE_BINS = 700,      /* a reply that comes later than so many bins is in the result, not in the view */
    SAMPLE_NOW_BINS = 10,   /* "now" is the last second */
    SAMPLE_AGAIN_MAX = 64,  /* bins told again in one line; further ones wait for the next */
    SAMPLE_RECORDS_MAX = 20000, /* looked at in one tick, of each load */
};

struct sample_bin {
    uint64_t bin; /* which one the place holds */
    uint32_t good, failed;
    bool is_stale; /* changed since it was told */
    struct histogram latency; /* ns, of the good ones */
};

struct sample_load {
    uint64_t next;                           /* of the records */
    struct sample_bin planned[SAMPLE_BINS];  /* by planned instant */
    struct sample_bin ended[SAMPLE_NOW_BINS + 1]; /* by the instant they ended at */
};

struct sample_counts {
    uint64_t matched, fired;
};

struct samples {
    int fd;
    bool is_torn;        /* a line was written in part: the next begins with a newline */
    uint64_t seq;        /* of the last line */
    uint64_t next_bin;   /* the first that no line told of */
    uint64_t again_from; /* no earlier bin is stale */
    uint64_t counted_ns; /* when the faults were last asked for their counts */
    struct sample_counts *counts; /* of each step */
    struct sample_load *loads;
};

/* samples_print.c: one line, without its newline; new, NULL without memory. `bin` has passed. */
char *samples_line(const struct run *run, struct samples *samples, uint64_t bin, uint64_t now_ns);

/* The place of a bin, emptied first where it held another; NULL where it holds a later one. */
struct sample_bin *samples_place(struct sample_bin *bins, size_t count, uint64_t bin);

#endif
