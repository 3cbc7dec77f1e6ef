/* Noise by width, thresholds, choice of the width; see band.h.
 *
 * How the family-wise rate is kept: a scan of N bins at width w takes about LOOKS * N / w independent looks (sliding windows find
 * a chance excursion more often than fixed ones). Two neighbouring windows must both be out. Were they independent, each might
 * be out with probability q = sqrt(alpha / looks); with correlation rho between neighbours the joint tail falls only as
 * q^(2 / (1 + rho)), so q = (alpha / looks)^((1 + rho) / 2). Null runs in tests/unit/test_estimate_truth.c hold it to account. */
#include "controller/estimate/band.h"

#include "controller/estimate/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOOKS 4.0
#define WINDOW_KNOWN_SHARE 0.5  /* a window with less known than this is unknown */
#define TAIL_SHARE 0.05         /* the part of a baseline taken as its tail */
#define ACF_WORK 20000000.0     /* multiplications at most */

static double clamp(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

static double plain_sigma(const double *value, size_t count)
{
    double mean = 0.0, square = 0.0;
    size_t known = 0;

    for (size_t i = 0; i < count; i++) {
        if (isnan(value[i]))
            continue;
        known++;
        square += (value[i] - mean) * (value[i] - mean) * ((double)known - 1.0) / (double)known;
        mean += (value[i] - mean) / (double)known;
    }
    return known > 1 ? sqrt(square / ((double)known - 1.0)) : 0.0;
}

/* Robust spread about zero of the known values; the plain one where more than half are equal. `work` holds `count`. */
static double spread(const double *value, size_t count, double *work)
{
    size_t known = 0;
    double sigma;

    for (size_t i = 0; i < count; i++) {
        if (!isnan(value[i]))
            work[known++] = value[i];
    }
    sigma = stats_mad_sigma(work, known, stats_median(work, known));
    return sigma > 0.0 ? sigma : plain_sigma(value, count);
}

/* Autocorrelation up to its first zero, outliers drawn in to four sigma. */
static int measure_acf(struct noise *noise)
{
    size_t most = (size_t)fmin((double)noise->count / 4.0, ACF_WORK / ((double)noise->count + 1.0)) + 1;
    double *acf = malloc((most + 1) * sizeof(*acf));
    double reach = 4.0 * noise->sigma, variance = 0.0;

    if (acf == NULL)
        return -ENOMEM;
    acf[0] = 1.0;
    noise->acf = acf;
    noise->lags = 1;
    for (size_t lag = 0; lag <= most && lag < noise->count; lag++) {
        double product = 0.0;
        size_t pairs = 0;

        for (size_t i = lag; i < noise->count; i++) {
            if (isnan(noise->value[i]) || isnan(noise->value[i - lag]))
                continue;
            product += clamp(noise->value[i], -reach, reach) * clamp(noise->value[i - lag], -reach, reach);
            pairs++;
        }
        product = pairs > 0 ? product / (double)pairs : 0.0;
        if (lag == 0) {
            noise->variance = variance = product;
            continue;
        }
        if (product <= 0.0 || variance <= 0.0)
            break;
        acf[lag] = fmin(product / variance, 1.0);
        noise->lags = lag + 1;
    }
    return 0;
}

double noise_shrink(const struct noise *noise, size_t width)
{
    double sum = 1.0, w = (double)width;

    for (size_t lag = 1; lag < noise->lags && lag < width; lag++)
        sum += 2.0 * (1.0 - (double)lag / w) * noise->acf[lag];
    return fmin(sum / w, 1.0);
}

int noise_measure(const double *deviation, size_t count, struct noise *ret_noise)
{
    struct noise noise = {.count = count, .clip = INFINITY};
    double *work = malloc((count + 1) * sizeof(*work));
    double spectrum;

    noise.value = malloc((count + 1) * sizeof(*noise.value));
    if (work == NULL || noise.value == NULL)
        goto fail;
    memcpy(noise.value, deviation, count * sizeof(*noise.value));
    for (size_t i = 0; i < count; i++) {
        if (isnan(noise.value[i]))
            continue;
        noise.known++;
        noise.mean += (noise.value[i] - noise.mean) / (double)noise.known;
    }
    noise.sigma = spread(noise.value, count, work);
    if (measure_acf(&noise) < 0)
        goto fail;
    free(work);
    spectrum = noise_shrink(&noise, count > 0 ? count : 1);
    noise.se_level = 1.25 * noise.sigma * sqrt(spectrum); /* a median is 1.25 times as noisy as a mean */
    noise.freedom = clamp(1.0 / spectrum, 4.0, 1e6);
    *ret_noise = noise;
    return 0;
fail:
    free(work);
    noise_done(&noise);
    return -ENOMEM;
}

void noise_done(struct noise *noise)
{
    free(noise->value);
    free(noise->acf);
    *noise = (struct noise){0};
}

/* Probability that a null window of this width may be out. */
static double scale_tail(const struct view *view, const struct noise *noise, size_t width, size_t observed, double share_of_alpha)
{
    double looks = fmax(LOOKS * (double)observed / (double)width, 1.0);
    double one = noise_shrink(noise, width), rho = 0.0;

    if (!view->counted && one > 0.0)
        rho = clamp(2.0 * noise_shrink(noise, 2 * width) / one - 1.0, 0.0, 1.0);
    return clamp(pow(BAND_ALPHA * share_of_alpha / looks, 0.5 * (1.0 + rho)), 1e-12, 0.3);
}

double noise_reach(const struct view *view, const struct noise *noise)
{
    double tail = scale_tail(view, noise, 1, noise->count > 0 ? noise->count : 1, 0.1);

    return noise->sigma * stats_student_upper(tail, noise->freedom);
}

/* Means of `width` neighbours, half a width apart. Returns how many. */
static size_t means_of(const struct noise *noise, size_t width, double *mean)
{
    size_t means = 0, step = width > 1 ? width / 2 : 1;

    for (size_t i = 0; i + width <= noise->count; i += step) {
        double sum = 0.0;
        size_t known = 0;

        for (size_t j = i; j < i + width; j++) {
            if (isnan(noise->value[j]))
                continue;
            sum += view_clipped(noise->value[j], noise->clip);
            known++;
        }
        if (known > 0 && (double)known >= WINDOW_KNOWN_SHARE * (double)width)
            mean[means++] = sum / (double)known;
    }
    return means;
}

/* How far the worse tail reaches at probability `tail`: its upper part taken as exponential, which is slightly wide for Gaussian
 * noise and wide enough for Student's t with three degrees of freedom. 0 when there are too few windows to tell. */
static double tail_reach(double *mean, size_t means, double tail)
{
    double edge, excess = 0.0;
    size_t first = (size_t)((1.0 - TAIL_SHARE) * (double)means);

    if (means < 160 || tail >= TAIL_SHARE)
        return 0.0;
    (void)stats_median(mean, means); /* orders them */
    edge = mean[first - 1];
    for (size_t i = first; i < means; i++)
        excess += mean[i] - edge;
    excess /= (double)(means - first);
    return edge + excess * log(TAIL_SHARE / tail);
}

static double noise_of_values(const struct noise *noise, size_t width, double tail, double *work, double *inflation)
{
    size_t means = means_of(noise, width, work);
    double sigma = noise->sigma * sqrt(noise_shrink(noise, width));
    double gauss, reach;

    if (means >= 40)
        sigma = fmax(sigma, spread(work, means, work + means));
    sigma = hypot(sigma, noise->se_level);
    gauss = stats_student_upper(tail, noise->freedom) * sigma;
    reach = tail_reach(work, means, tail);
    if (reach > 0.0 && gauss > 0.0)
        *inflation = fmax(reach / gauss, 1.0);
    else
        *inflation = 1.0 + (*inflation - 1.0) * 0.84; /* averaging twice as many halves the variance of the tail's weight */
    return gauss * *inflation;
}

/* Largest share of bad requests above the baseline's that a window of n may show by chance. */
static double noise_of_counts(const struct view *view, double n, double tail)
{
    double effective = n / view->dispersion;

    if (effective < 1.0)
        return 1.0;
    return (stats_binomial_critical(effective, view->bad_share_high, tail) - 1.0) / floor(effective) - view->bad_share;
}

/* Would the smallest visible step over the band be significant in a window of this width? */
static bool counts_resolve(const struct view *view, double n, double tail)
{
    double bad = floor((view->bad_share + view->band) * n) + 1.0;

    return n >= 2.0 && bad <= n && stats_binomial_tail(bad / view->dispersion, n / view->dispersion, view->bad_share_high) <= tail;
}

static bool scale_at(const struct view *view, const struct noise *noise, size_t width, size_t observed, double share, double *work,
                     double *inflation, struct scale *ret_scale)
{
    struct scale scale = {.width = width, .tail = scale_tail(view, noise, width, observed, share)};
    double n = floor(view->planned_per_bin * (double)width + 1e-9);
    bool resolves;

    if (view->counted) {
        scale.noise = fmax(noise_of_counts(view, n, scale.tail), 0.0);
        resolves = counts_resolve(view, n, scale.tail);
    } else {
        scale.noise = noise_of_values(noise, width, scale.tail, work, inflation) + view->quantum / (double)width;
        resolves = scale.noise <= view->band;
    }
    scale.threshold = fmax(scale.noise, view->band);
    *ret_scale = scale;
    return resolves;
}

int band_find(const struct view *view, const struct noise *noise, size_t observed, size_t limit, struct band *ret_band)
{
    double *work = malloc((2 * noise->count + 2) * sizeof(*work));
    double share = 1.0 / (floor(log2((double)limit)) + 2.0), inflation = 1.0;
    struct band band = {.resolvable = INFINITY};
    size_t low = 0;

    if (work == NULL)
        return -ENOMEM;
    while (!band.resolved && band.scales + 1 < BAND_SCALES_MAX) {
        size_t width = (size_t)1 << band.scales;
        struct scale *scale = &band.scale[band.scales];

        width = width > limit ? limit : width;
        band.resolved = scale_at(view, noise, width, observed, share, work, &inflation, scale);
        band.resolvable = fmin(band.resolvable, scale->noise);
        band.scales++;
        if (width == limit || band.resolved)
            break;
        low = width;
    }
    band.chosen = band.scale[band.scales - 1].width;
    while (band.resolved && band.chosen - low > 1) { /* the smallest width between the last two powers */
        size_t middle = low + (band.chosen - low) / 2;
        struct scale scale;
        double kept = inflation;

        if (scale_at(view, noise, middle, observed, share, work, &kept, &scale)) {
            band.scale[band.scales - 1] = scale;
            band.chosen = middle;
        } else {
            low = middle;
        }
    }
    free(work);
    *ret_band = band;
    return 0;
}

bool band_is_out(const struct view *view, const struct scale *scale, size_t from)
{
    size_t to = from + scale->width;
    double n = view->weight[to] - view->weight[from], bad = view->sum[to] - view->sum[from];

    if (!view->counted)
        return n >= WINDOW_KNOWN_SHARE * (double)scale->width &&
               view->clipped[to] - view->clipped[from] > n * (scale->threshold + 1e-12);
    if (bad <= n * (view->bad_share + view->band))
        return false;
    return stats_binomial_tail(bad / view->dispersion, n / view->dispersion, view->bad_share_high) <= scale->tail;
}
