/* perturb estimate: what its files share. */
#ifndef PERTURB_CMD_ESTIMATE_H
#define PERTURB_CMD_ESTIMATE_H

#include "controller/cmd/samples.h"
#include "controller/estimate/estimate.h"

enum { ESTIMATE_SIGNALS_MAX = 32 };

/* NAME:higher|lower[:share], or GOOD/ALL:higher and BAD/ALL:lower for two columns of counts. */
struct estimate_signal {
    char name[2 * SAMPLES_NAME_MAX];
    enum est_direction direction;
    bool share; /* a ratio: its band is absolute */
    struct est_result result;
    double bin_s;
};

struct estimate_options {
    const char *file;
    double inject_s, release_s, baseline_s, end_s; /* as in the file; NaN when not given */
    double bin_s, fill_s;                          /* 0: from the file; none */
    double max_s;                                  /* bound on the convergence time; NaN when there is none */
    struct est_pins pins;                          /* hold_s NaN: from the bin */
    struct estimate_signal signal[ESTIMATE_SIGNALS_MAX];
    size_t signals;
    bool unnamed; /* no signal was named: every column, set when judged */
    bool allow_new_level, json;
};

struct estimate_answer {
    struct est_result combined;
    size_t last;     /* index of the signal that decided */
    double hold_s;   /* pinned */
    int status;      /* DESIGN section 7 */
    const char *bound; /* "met", "broken", "straddles", "no_data"; NULL without --max */
};

/* Judges each signal of `options` on the columns; without any, each column is taken as higher-is-better. Instants of results are those
 * of the file. 0, or a negative errno with errors. */
int estimate_judge(struct estimate_options *options, const struct samples *samples, struct estimate_answer *ret_answer, struct errs *errs);

/* Prints to standard output. 0 or -ENOMEM. */
void estimate_show_text(const struct estimate_options *options, const struct samples *samples, const struct estimate_answer *answer);
int estimate_show_json(const struct estimate_options *options, const struct samples *samples, const struct estimate_answer *answer);

#endif
