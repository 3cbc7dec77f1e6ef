/* When each request of a load is due. */
#include "controller/load/arrival.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

enum { SUMS_EVERY = 1024, CURSORS = 2, SUMS_MAX = 4 << 20, FILE_MAX = 512 << 20, POISSON_STREAM = 5 };

struct piece {
    struct arrival_segment segment;
    double start_s, start_count; /* where it begins: seconds, and requests due by then */
};

struct cursor {
    uint64_t index;
    double sum; /* of the draws 0..index */
};

struct arrival {
    struct piece *pieces; /* NULL for a list */
    size_t piece_count;
    uint64_t *instants; /* ns; NULL for a course */
    size_t instant_count;
    double rate_max;

    bool poisson;
    uint64_t seed, name_hash;
    double *sums; /* sums[k] = of the draws 0..k * SUMS_EVERY */
    size_t sum_count;
    struct cursor cursors[CURSORS];
};

/* ---- the course --------------------------------------------------------------------------------------------------------------- */

static double segment_count(const struct arrival_segment *segment)
{
    return (segment->from_per_s + segment->to_per_s) / 2 * segment->length_s;
}

/* The last piece that begins at or below `count` and is not empty. */
static const struct piece *piece_of(const struct arrival *arrival, double count)
{
    size_t low = 0, high = arrival->piece_count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (arrival->pieces[middle].start_count <= count)
            low = middle;
        else
            high = middle;
    }
    return &arrival->pieces[low];
}

/* Seconds into the segment at which `count` requests are due: the root of from t + slope t^2 / 2 = count, in the form that does not
 * cancel. Infinite when that never comes. */
static double seconds_into(const struct arrival_segment *segment, double count, bool last)
{
    double whole = segment_count(segment), from = segment->from_per_s, slope = (segment->to_per_s - from) / segment->length_s;

    if (count <= 0 && from > 0)
        return 0;
    if (last && count >= whole)
        return segment->to_per_s > 0 ? segment->length_s + (count - whole) / segment->to_per_s : (double)INFINITY;
    double root = sqrt(fmax(from * from + 2 * slope * count, 0));
    return from + root > 0 ? 2 * count / (from + root) : 0;
}

static uint64_t due_ns(const struct arrival *arrival, double count)
{
    const struct piece *piece = piece_of(arrival, count);
    bool last = piece == &arrival->pieces[arrival->piece_count - 1];
    double s = piece->start_s + seconds_into(&piece->segment, count - piece->start_count, last);

    return s * (double)NS_PER_S < 1.8e19 ? (uint64_t)(s * (double)NS_PER_S + 0.5) : UINT64_MAX;
}

/* ---- Poisson ------------------------------------------------------------------------------------------------------------------- */

static double draw(const struct arrival *arrival, uint64_t index)
{
    return -log1p(-rng_unit(rng_draw(arrival->seed, arrival->name_hash, POISSON_STREAM, index)));
}

static void go_on(struct arrival *arrival, struct cursor *cursor, uint64_t index)
{
    while (cursor->index < index) {
        cursor->sum += draw(arrival, ++cursor->index);
        if (cursor->index == arrival->sum_count * SUMS_EVERY && arrival->sum_count < SUMS_MAX)
            arrival->sums[arrival->sum_count++] = cursor->sum;
    }
}

/* The sum of the draws 0..index, by the cursor nearest below it, or from a kept sum. The same additions in the same order each way. */
static double sum_to(struct arrival *arrival, uint64_t index)
{
    struct cursor *nearest = NULL, *lowest = &arrival->cursors[0];
    uint64_t kept = index / SUMS_EVERY < arrival->sum_count ? index / SUMS_EVERY : arrival->sum_count - 1;

    for (size_t i = 0; i < CURSORS; i++) {
        struct cursor *cursor = &arrival->cursors[i];
        if (cursor->index <= index && (!nearest || cursor->index > nearest->index))
            nearest = cursor;
        if (cursor->index < lowest->index)
            lowest = cursor;
    }
    if (!nearest || nearest->index < kept * SUMS_EVERY) {
        nearest = lowest;
        *nearest = (struct cursor){ kept * SUMS_EVERY, arrival->sums[kept] };
    }
    go_on(arrival, nearest, index);
    return nearest->sum;
}

/* ---- life ---------------------------------------------------------------------------------------------------------------------- */

uint64_t arrival_at_ns(const void *context, uint64_t index)
{
    struct arrival *arrival = (struct arrival *)(uintptr_t)context;

    if (arrival->instants)
        return index < arrival->instant_count ? arrival->instants[index] : UINT64_MAX;
    return due_ns(arrival, arrival->poisson ? sum_to(arrival, index) : (double)index);
}

double arrival_rate_max_per_s(const struct arrival *arrival)
{
    return arrival->rate_max;
}

struct arrival *arrival_free(struct arrival *arrival)
{
    if (!arrival)
        return NULL;
    free(arrival->pieces);
    free(arrival->instants);
    free(arrival->sums);
    free(arrival);
    return NULL;
}

static bool is_rate(double rate)
{
    return rate >= 0 && rate <= ARRIVAL_RATE_MAX;
}

static int add_pieces(struct arrival *arrival, const struct arrival_segment *segments, size_t count)
{
    double s = 0, requests = 0;

    arrival->pieces = calloc(count, sizeof(*arrival->pieces));
    if (!arrival->pieces)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (!(segments[i].length_s > 0) || !isfinite(segments[i].length_s) || !is_rate(segments[i].from_per_s) || !is_rate(segments[i].to_per_s))
            return -EINVAL;
        arrival->pieces[i] = (struct piece){ segments[i], s, requests };
        s += segments[i].length_s;
        requests += segment_count(&segments[i]);
        arrival->rate_max = fmax(arrival->rate_max, fmax(segments[i].from_per_s, segments[i].to_per_s));
    }
    arrival->piece_count = count;
    return arrival->rate_max > 0 ? 0 : -EINVAL;
}

int arrival_new(const struct arrival_segment *segments, size_t count, bool poisson, uint64_t seed, const char *name, struct arrival **ret_arrival)
{
    struct arrival *arrival;
    int rc = -ENOMEM;

    if (!count || count > ARRIVAL_SEGMENTS_MAX)
        return -EINVAL;
    arrival = calloc(1, sizeof(*arrival));
    if (!arrival)
        return -ENOMEM;
    arrival->poisson = poisson;
    arrival->seed = seed;
    arrival->name_hash = rng_hash(name);
    if (!poisson || (arrival->sums = calloc(SUMS_MAX, sizeof(*arrival->sums))))
        rc = add_pieces(arrival, segments, count);
    if (rc < 0) {
        arrival_free(arrival);
        return rc;
    }
    if (poisson) {
        arrival->sums[arrival->sum_count++] = draw(arrival, 0);
        for (size_t i = 0; i < CURSORS; i++)
            arrival->cursors[i] = (struct cursor){ 0, arrival->sums[0] };
    }
    *ret_arrival = arrival;
    return 0;
}

int arrival_new_constant(double rate_per_s, bool poisson, uint64_t seed, const char *name, struct arrival **ret_arrival)
{
    const struct arrival_segment only = { 1, rate_per_s, rate_per_s };

    return arrival_new(&only, 1, poisson, seed, name, ret_arrival);
}

int arrival_new_ramp(double from_per_s, double to_per_s, double at_s, double length_s, bool poisson, uint64_t seed, const char *name,
                     struct arrival **ret_arrival)
{
    struct arrival_segment segments[3];
    size_t count = 0;

    if (at_s > 0)
        segments[count++] = (struct arrival_segment){ at_s, from_per_s, from_per_s };
    if (length_s > 0)
        segments[count++] = (struct arrival_segment){ length_s, from_per_s, to_per_s };
    segments[count++] = (struct arrival_segment){ 1, to_per_s, to_per_s };
    return arrival_new(segments, count, poisson, seed, name, ret_arrival);
}

int arrival_new_spike(double rate_per_s, double spike_per_s, double at_s, double length_s, bool poisson, uint64_t seed, const char *name,
                      struct arrival **ret_arrival)
{
    struct arrival_segment segments[3];
    size_t count = 0;

    if (at_s > 0)
        segments[count++] = (struct arrival_segment){ at_s, rate_per_s, rate_per_s };
    segments[count++] = (struct arrival_segment){ length_s, spike_per_s, spike_per_s };
    segments[count++] = (struct arrival_segment){ 1, rate_per_s, rate_per_s };
    return arrival_new(segments, count, poisson, seed, name, ret_arrival);
}

/* ---- recordings ------------------------------------------------------------------------------------------------------------------ */

/* All numbers of a file, 0..most each. Returns new in *ret_numbers, also for none. */
static int read_numbers(const char *path, size_t count_max, double most, struct errs *errs, double **ret_numbers, size_t *ret_count)
{
    AUTO_FREE double *numbers = NULL;
    AUTO_FREE char *text = NULL;
    size_t count = 0, capacity = 0, line = 0;
    struct buf file;

    buf_init(&file, FILE_MAX);
    int rc = buf_read_file(&file, path);
    text = rc == 0 ? buf_take(&file) : NULL;
    buf_done(&file);
    if (!text) {
        errs_add(errs, ERR_INPUT, path, "cannot be read: %s", strerror(rc ? -rc : ENOMEM));
        return rc ? rc : -ENOMEM;
    }
    for (char *at = text, *next; at; at = next) {
        char *end, where[ERR_WHERE_MAX];
        next = strchr(at, '\n');
        if (next)
            *next++ = '\0';
        line++;
        at[strcspn(at, "#\r")] = '\0';
        at += strspn(at, " \t");
        if (!*at)
            continue;
        double number = strtod(at, &end);
        snprintf(where, sizeof(where), "%s:%zu", path, line);
        if (end == at || end[strspn(end, " \t")] || !(number >= 0 && number <= most))
            return errs_add(errs, ERR_INPUT, where, "found '%s', expected one number, 0 to %g", at, most);
        if (count == count_max)
            return errs_add(errs, ERR_INPUT, where, "more than %zu lines", count_max);
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 1024;
            double *grown = realloc(numbers, capacity * sizeof(*grown));
            if (!grown)
                return -ENOMEM;
            numbers = grown;
        }
        numbers[count++] = number;
    }
    if (!count)
        return errs_add(errs, ERR_INPUT, path, "holds no number");
    *ret_numbers = TAKE_PTR(numbers);
    *ret_count = count;
    return 0;
}

int arrival_read_rates(const char *path, bool poisson, uint64_t seed, const char *name, struct errs *errs, struct arrival **ret_arrival)
{
    AUTO_FREE double *rates = NULL;
    AUTO_FREE struct arrival_segment *segments = NULL;
    size_t count;
    int rc = read_numbers(path, ARRIVAL_SEGMENTS_MAX - 1, ARRIVAL_RATE_MAX, errs, &rates, &count);

    if (rc < 0)
        return rc;
    segments = calloc(count + 1, sizeof(*segments));
    if (!segments)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        segments[i] = (struct arrival_segment){ 1, rates[i], rates[i] };
    segments[count] = (struct arrival_segment){ 1, 0, 0 };
    rc = arrival_new(segments, count + 1, poisson, seed, name, ret_arrival);
    return rc == -EINVAL ? errs_add(errs, ERR_INPUT, path, "all rates are 0") : rc;
}

static double fullest_second(const uint64_t *instants, size_t count)
{
    size_t most = 0;

    for (size_t first = 0, last = 0; last < count; last++) {
        while (instants[last] - instants[first] >= NS_PER_S)
            first++;
        most = last - first + 1 > most ? last - first + 1 : most;
    }
    return (double)most;
}

int arrival_read_instants(const char *path, struct errs *errs, struct arrival **ret_arrival)
{
    AUTO_FREE double *seconds = NULL;
    struct arrival *arrival;
    size_t count;
    int rc = read_numbers(path, ARRIVAL_INSTANTS_MAX, 1e9, errs, &seconds, &count);

    if (rc < 0)
        return rc;
    for (size_t i = 1; i < count; i++)
        if (seconds[i] < seconds[i - 1])
            return errs_add(errs, ERR_INPUT, path, "instant %g comes after %g: they must not decrease", seconds[i], seconds[i - 1]);
    arrival = calloc(1, sizeof(*arrival));
    if (!arrival || !(arrival->instants = calloc(count, sizeof(*arrival->instants)))) {
        arrival_free(arrival);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++)
        arrival->instants[i] = (uint64_t)llround(seconds[i] * (double)NS_PER_S);
    arrival->instant_count = count;
    arrival->rate_max = fullest_second(arrival->instants, count);
    *ret_arrival = arrival;
    return 0;
}

static uint64_t hash_double(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

uint64_t arrival_hash(const struct arrival *arrival)
{
    uint64_t hash = rng_mix(arrival->piece_count, arrival->poisson);

    for (size_t i = 0; i < arrival->piece_count; i++) {
        const struct arrival_segment *segment = &arrival->pieces[i].segment;

        hash = rng_mix(hash, hash_double(segment->length_s));
        hash = rng_mix(hash, hash_double(segment->from_per_s));
        hash = rng_mix(hash, hash_double(segment->to_per_s));
    }
    for (size_t i = 0; i < arrival->instant_count; i++)
        hash = rng_mix(hash, arrival->instants[i]);
    return hash;
}
