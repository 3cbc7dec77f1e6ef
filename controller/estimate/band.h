/* What noise allows at each bin width, and the smallest width that resolves the pinned band. Internal to this folder. */
#ifndef PERTURB_ESTIMATE_BAND_H
#define PERTURB_ESTIMATE_BAND_H

#include "controller/estimate/view.h"

enum { BAND_SCALES_MAX = 24 };

/* Family-wise rate of false excursions over the observation, all widths together. */
#define BAND_ALPHA 0.01

/* Noise of a baseline, enough to tell the threshold at any width. */
struct noise {
    double *value;   /* owned: known deviations of the baseline in order, NaN kept (values only) */
    size_t count;
    double sigma;    /* of a base bin */
    double variance; /* of a base bin, outliers drawn in to four sigma: above sigma^2 for heavy tails */
    double clip;     /* as the view's; INFINITY until set */
    double *acf;     /* owned: [lags], acf[0] = 1, up to the first zero */
    size_t lags;
    double mean;     /* deviations about the median: sizes are measured from here, or they would drift with every skewed signal */
    double se_level; /* standard error of the level */
    double freedom;  /* independent samples behind sigma */
    size_t known;
};

struct scale {
    size_t width;     /* base bins */
    double tail;      /* probability that a null window is out, so that the family-wise rate holds */
    double noise;     /* deviation that noise may reach */
    double threshold; /* max(band, noise) */
};

struct band {
    struct scale scale[BAND_SCALES_MAX]; /* 1, 2, 4 ... chosen */
    size_t scales;
    size_t chosen;     /* width in base bins */
    bool resolved;
    double resolvable; /* smallest band any width up to the limit resolves, unit of the view's deviation */
};

/* Measures spread and autocorrelation of `count` deviations (copied; NaN is unknown). Returns 0 or -ENOMEM. End with noise_done. */
int noise_measure(const double *deviation, size_t count, struct noise *ret_noise);
void noise_done(struct noise *noise);

/* How far Gaussian noise of this spread and correlation may carry two neighbouring bins. */
double noise_reach(const struct view *view, const struct noise *noise);

/* Variance of the mean of `width` neighbours over that of one. */
double noise_shrink(const struct noise *noise, size_t width);

/* Finds the width and the thresholds for an observation of `observed` bins; widths go up to `limit` >= 1.
 * Returns 0 or -ENOMEM. */
int band_find(const struct view *view, const struct noise *noise, size_t observed, size_t limit, struct band *ret_band);

/* Is this window beyond the threshold? False when too little of it is known. */
bool band_is_out(const struct view *view, const struct scale *scale, size_t from);

#endif
