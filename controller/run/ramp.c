/* Ramps to the knee (controller/estimate/knee.h chooses the steps): with a generator of their own, before the run's load starts or after it
 * has stopped, so that the judgement of recovery never sees them.
 *
 * 1. One generator plans the highest rate and sheds down to each step's: connections stay, and every step's requests are evenly spaced.
 * 2. A step is measured over `hold`, after `settle`, by planned instants, once what was planned in it has ended or its deadline has passed.
 * 3. After a step that was too much the lowest rate is held until the service keeps its promise again: no step inherits another's queue.
 *    When that does not happen in REST_TIMES steps, the ramp ends: it is stuck.
 * 4. Guards do not judge a ramp: the first step that breaks the promise ends the climb. Leases, halt and the lever work as ever. */
#include "controller/run/run_priv.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

enum { REST_TIMES = 5, UNFIT_TIMES = 3, HEADERS_MAX = 62 };
#define LEAD_NS (20 * NS_PER_MS)
#define GRACE_NS (100 * NS_PER_MS) /* after the last deadline of a window */

struct climb {
    struct run *run;
    const struct ramp *ramp;
    struct ramp_run *result;
    struct load_run load; /* what the generator borrows */
    struct load *generator;
    uint64_t timeout_ns;
    bool unfit;
};

static size_t place_of(enum ramp_when when)
{
    return when == RAMP_BEFORE ? 0 : when == RAMP_FAULT ? 1 : 2;
}

const struct ramp_run *run_ramp_at(const struct run *run, enum ramp_when when)
{
    return run->ramps[place_of(when)];
}

bool run_is_ramp_only(const struct run *run)
{
    return run->playbook->ramp.moments && !run->playbook->method.count;
}

void run_free_ramps(struct run *run)
{
    for (size_t i = 0; i < RAMP_MOMENTS; i++)
        free(run->ramps[i]);
}

/* ---- one step ---------------------------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* How many requests of the window have ended, and how well. Returns false when memory is out. */
static bool measure(const struct climb *climb, struct ramp_step *step, size_t *ret_ended)
{
    double seconds = (double)(step->until_ns - step->from_ns) / 1e9, share = (double)climb->run->playbook->slo.quantile / PPM;
    size_t capacity = (size_t)(step->rate * seconds) + 16, ended = 0, good = 0;
    double *latency = malloc(capacity * sizeof(double));

    if (!latency)
        return false;
    for (uint64_t i = load_records_count(climb->generator); i-- > 0;) {
        const struct load_record *record = load_record_at(climb->generator, i);

        if (record->done_ns < step->from_ns)
            break;
        if (record->planned_ns < step->from_ns || record->planned_ns >= step->until_ns || ended == capacity)
            continue;
        good += record->outcome == LOAD_OK;
        latency[ended++] = record->outcome == LOAD_OK ? (double)(record->done_ns - record->planned_ns) / 1e9 : INFINITY;
    }
    qsort(latency, ended, sizeof(double), by_value);
    step->served = (double)good / seconds;
    step->failed_share = ended ? 1 - (double)good / (double)ended : NAN;
    step->latency_s = ended ? latency[(size_t)ceil(share * (double)ended) - 1] : NAN;
    free(latency);
    *ret_ended = ended;
    return true;
}

static void judge_step(const struct climb *climb, struct ramp_step *step, size_t ended)
{
    double seconds = (double)(step->until_ns - step->from_ns) / 1e9;

    /* Offered is what was planned in the window: the rate, to one request. */
    step->good = ended && step->latency_s <= (double)climb->run->playbook->slo.latency / 1e9 &&
                 step->served * seconds >= (1 - (double)climb->ramp->delta / PPM) * (step->rate * seconds - 1);
}

/* Waits until what was planned in the window has ended. False when the run was aborted. */
static bool await(const struct climb *climb, struct ramp_step *step)
{
    uint64_t deadline_ns = step->until_ns + climb->timeout_ns + GRACE_NS;
    size_t ended = 0, planned = (size_t)(step->rate * (double)(step->until_ns - step->from_ns) / 1e9);

    if (!run_wait(climb->run, step->until_ns))
        return false;
    while (measure(climb, step, &ended) && ended < planned && clock_now_ns() < deadline_ns)
        if (!run_wait(climb->run, clock_now_ns() + 20 * NS_PER_MS))
            return false;
    judge_step(climb, step, ended);
    return true;
}

static int offer(const struct climb *climb, double rate)
{
    return load_shed(climb->generator, clock_now_ns() + LEAD_NS, (uint32_t)lround(rate * 1e9 / (double)climb->ramp->to));
}

static void read_water(const struct climb *climb, struct ramp_step *step)
{
    for (size_t i = 0; i < climb->ramp->water_count; i++)
        step->water[i] = run_signal_over(climb->run, &climb->ramp->water_signals[i], WINDOW_BY_PLAN, step->from_ns, step->until_ns);
}

static bool generator_kept_up(const struct climb *climb, const struct load_counters *before)
{
    struct load_counters now;

    load_counters(climb->generator, &now);
    now.late -= before->late;
    now.planned -= before->planned;
    return load_is_fit(&now);
}

static bool try_step(struct climb *climb, double rate, struct ramp_step *ret_step)
{
    struct ramp_step step = { .rate = rate };
    struct load_counters before;

    load_counters(climb->generator, &before);
    if (offer(climb, rate) < 0)
        return false;
    step.from_ns = clock_now_ns() + LEAD_NS + (uint64_t)climb->ramp->settle;
    step.until_ns = step.from_ns + (uint64_t)climb->ramp->hold;
    if (!await(climb, &step))
        return false;
    read_water(climb, &step);
    climb->unfit = !generator_kept_up(climb, &before);
    *ret_step = step;
    return true;
}

/* A step in which the generator itself was late says nothing: it is taken again. */
static bool take_step(struct climb *climb, double rate, struct ramp_step *ret_step)
{
    bool taken = try_step(climb, rate, ret_step);

    for (int i = 1; taken && climb->unfit && i < UNFIT_TIMES; i++)
        taken = try_step(climb, rate, ret_step);
    return taken;
}

/* Rule 3. */
static bool rest(struct climb *climb)
{
    double lowest = (double)climb->ramp->from / 1000;

    for (int i = 0; i < REST_TIMES; i++) {
        struct ramp_step step;

        if (!take_step(climb, lowest, &step))
            return false;
        if (step.good)
            return true;
    }
    climb->result->stuck = true;
    snprintf(climb->result->note, sizeof(climb->result->note), "after %.4g/s it no longer served %.4g/s as promised", climb->result->step[climb->result->count - 1].rate,
             lowest);
    return false;
}

/* ---- the climb ----------------------------------------------------------------------------------------------------------------------- */

static double choose_rate(const struct climb *climb)
{
    const struct ramp *ramp = climb->ramp;
    const struct knee_plan plan = { .from = (double)ramp->from / 1000, .to = (double)ramp->to / 1000, .coarse = (size_t)ramp->steps,
                                    .bisect = (size_t)ramp->bisect, .repeat = (size_t)ramp->repeat };
    struct knee_step tried[RAMP_STEPS_MAX];

    for (size_t i = 0; i < climb->result->count; i++)
        tried[i] = (struct knee_step){ climb->result->step[i].rate, climb->result->step[i].good };
    knee_estimate(tried, climb->result->count, &climb->result->knee);
    return climb->result->count < RAMP_STEPS_MAX ? knee_next(&plan, tried, climb->result->count) : 0;
}

static void tell_step(const struct climb *climb, const struct ramp_step *step)
{
    char what[64], text[96];

    snprintf(what, sizeof(what), "ramp %.4g/s", step->rate);
    snprintf(text, sizeof(text), "%s: served %.4g/s, p%.4g %.3gms", step->good ? "held" : "missed", step->served,
             (double)climb->run->playbook->slo.quantile / 1e4, step->latency_s * 1e3);
    event_log_note(&climb->run->log, EVENT_steady, what, text, 0, 0);
}

static void climb_to_knee(struct climb *climb)
{
    struct ramp_run *result = climb->result;

    for (double rate = choose_rate(climb); rate > 0; rate = choose_rate(climb)) {
        struct ramp_step step;

        if (!take_step(climb, rate, &step))
            return;
        if (climb->unfit) {
            snprintf(result->note, sizeof(result->note), "the load generator itself was late at %.4g/s: this machine is too busy for more", rate);
            return;
        }
        tell_step(climb, &step);
        result->step[result->count++] = step;
        if (!step.good && !rest(climb)) {
            choose_rate(climb);
            return;
        }
    }
}

/* The coloured header tells its requests from the rest. */
static int open_generator(struct climb *climb, enum ramp_when when)
{
    static const char *const colours[] = { "X-Perturb-Ramp: before", "X-Perturb-Ramp: under-fault", "X-Perturb-Ramp: after" };
    struct run *run = climb->run;
    const struct workload *workload = run->loads[climb->ramp->load].workload;
    const char *headers[HEADERS_MAX + 2] = { NULL };
    struct load_spec spec;
    int result;

    climb->load.workload = workload;
    result = workload_spec(run, &climb->load, &spec);
    if (result < 0)
        return result;
    if (spec.protocol == LOAD_HTTP) {
        memcpy(headers, workload->http.headers.items ? workload->http.headers.items : headers,
               MIN(workload->http.headers.count, (size_t)HEADERS_MAX) * sizeof(headers[0]));
        headers[MIN(workload->http.headers.count, (size_t)HEADERS_MAX)] = colours[place_of(when)];
        spec.headers = headers;
    }
    spec.rate_per_s = (double)climb->ramp->to / 1000;
    result = load_new(&spec, run->errs, &climb->generator);
    if (result < 0)
        return result;
    climb->timeout_ns = (uint64_t)workload->timeout;
    result = offer(climb, (double)climb->ramp->from / 1000);
    return result < 0 ? result : load_start(climb->generator, clock_now_ns() + LEAD_NS);
}

/* ---- under the faults ------------------------------------------------------------------------------------------------------------------- */

/* The method once more, all steps at once; what is told of its own run stays as it was. */
static struct step_run *arm_again(struct run *run)
{
    size_t count = run->playbook->method.count;
    struct step_run *kept = calloc(count + 1, sizeof(*kept));

    if (!kept)
        return NULL;
    memcpy(kept, run->steps, count * sizeof(*kept));
    for (size_t i = 0; i < count && !run_is_aborted(run); i++)
        if (run->steps[i].state == STEP_DONE)
            run_arm_step(run, &run->steps[i]);
    return kept;
}

static void release_again(struct run *run, struct step_run *kept)
{
    if (!kept)
        return;
    run_release_all(run);
    memcpy(run->steps, kept, run->playbook->method.count * sizeof(*kept));
    free(kept);
}

int run_ramp(struct run *run, enum ramp_when when)
{
    const struct ramp *ramp = &run->playbook->ramp;
    struct climb climb = { .run = run, .ramp = ramp };
    struct load_run *load = &run->loads[ramp->load];
    struct load *others = load->generator;
    struct step_run *kept = NULL;
    int result;

    if (!(ramp->moments & (uint32_t)when) || run->request->guard_test)
        return 0;
    run_phase(run, when == RAMP_BEFORE ? "ramp" : when == RAMP_FAULT ? "ramp under fault" : "ramp after");
    climb.result = run->ramps[place_of(when)] = calloc(1, sizeof(struct ramp_run));
    if (!climb.result)
        return -ENOMEM;
    result = run_start_probes(run, clock_now_ns());
    if (result == 0)
        result = open_generator(&climb, when);
    if (result == 0) {
        load->generator = climb.generator;
        run_guards_anew(run, clock_now_ns());
        kept = when == RAMP_FAULT ? arm_again(run) : NULL;
        if (!run_is_aborted(run))
            climb_to_knee(&climb);
        if ((run_is_aborted(run) || run_is_cut_short(run)) && !climb.result->note[0])
            snprintf(climb.result->note, sizeof(climb.result->note), "it was ended at %.140s", run_is_aborted(run) ? run->abort_reason : run->release_reason);
        run_guards_anew(run, 0);
        release_again(run, kept);
        run_guards_released(run);
    }
    load->generator = others;
    load_free(climb.generator);
    workload_done(&climb.load);
    return result;
}

double run_knee_hysteresis(const struct run *run, struct est_interval *ret_interval)
{
    double value;
    const struct ramp_run *before = run_ramp_at(run, RAMP_BEFORE), *after = run_ramp_at(run, RAMP_AFTER);

    *ret_interval = (struct est_interval){ NAN, NAN };
    if (!before || !after || before->knee.rate <= 0 || after->knee.end == KNEE_NONE)
        return NAN;
    value = 1 - after->knee.rate / before->knee.rate;
    if (before->knee.low > 0 && !isinf(before->knee.high)) {
        ret_interval->low = fmin(value, fmax(0, 1 - after->knee.high / before->knee.low)); /* less than nothing is missing: nothing is */
        ret_interval->high = 1 - after->knee.low / before->knee.high;
    }
    return value;
}
