/* The keys of what is promised, of ramps to the knee, and of the load that is shed. */
#include "scenarios/playbook/keys.h"

static const struct key_desc slo_keys[] = {
    { "latency", VALUE(UNIT_DURATION, MILLISECOND, 600 * SECOND, ABSENT), AT(service_level, latency), .required = true, .help = "An answer is promised within." },
    { "quantile", VALUE(UNIT_SHARE, 1, 999999, 990000), AT(service_level, quantile), .help = "To this share of requests: a ramp holds each step to it." },
    { "objective", VALUE(UNIT_SHARE, 1, 999999, 999000), AT(service_level, objective), .help = "Promised share of good requests; what is missing burns the budget." },
    { "period", VALUE(UNIT_DURATION, SECOND, 400 * DAY, 30 * DAY), AT(service_level, period), .help = "Over which the objective is promised." },
};
const struct section_desc slo_section = { "slo", sizeof(struct service_level), KEYS(slo_keys), NO_NODE, NO_NAME, .help = "What is promised to users." };

static const struct key_desc metastability_keys[] = {
    { "shed", VALUE(UNIT_SHARE, 0, 1000000, ABSENT), AT(metastability, shed), .help = "Share of the load that is taken away. Default: 0% (quick: nothing is tried), 50% (full)." },
    { "for", VALUE(UNIT_DURATION, SECOND, DAY, ABSENT), AT(metastability, duration), .help = "How long; default three holds." },
};
const struct section_desc metastability_section = {
    "metastability", sizeof(struct metastability), KEYS(metastability_keys), NO_NODE, NO_NAME,
    .help = "The faults are gone, the service is still down at the end: does it come back when there is less load?" };

static const struct key_desc ramp_keys[] = {
    { "load", KEY_TEXT, AT(ramp, load_name), .help = "Which load is ramped. Default: the only one." },
    { "from", VALUE(UNIT_FREQUENCY, 1000, 1000000000, ABSENT), AT(ramp, from), .required = true, .help = "Rate of the first step." },
    { "to", VALUE(UNIT_FREQUENCY, 1000, 1000000000, ABSENT), AT(ramp, to), .required = true, .help = "Rate of the last." },
    { "steps", VALUE(UNIT_COUNT, 3, 20, 6), AT(ramp, steps), .help = "Steps on the way up, evenly by ratio; the first that fails ends it." },
    { "bisect", VALUE(UNIT_COUNT, 0, 10, 3), AT(ramp, bisect), .help = "Halvings between the last good and the first bad step." },
    { "repeat", VALUE(UNIT_COUNT, 1, 9, 3), AT(ramp, repeat), .help = "Steps at each of the two rates around the knee: its interval." },
    { "hold", VALUE(UNIT_DURATION, 200 * MILLISECOND, 3600 * SECOND, 5 * SECOND), AT(ramp, hold), .help = "How long a step is measured." },
    { "settle", VALUE(UNIT_DURATION, 0, 3600 * SECOND, SECOND), AT(ramp, settle), .help = "Time before that for the system to take the step." },
    { "delta", VALUE(UNIT_SHARE, 0, 500000, 10000), AT(ramp, delta), .help = "A good step serves all but this share of what is offered, and its latency quantile keeps `slo.latency`." },
    { "when", KEY_TEXTS, AT(ramp, when), .help = "before (anything is disturbed), under-fault, after (the recovery). Default: before, and after where there is a method." },
    { "water", KEY_TEXTS, AT(ramp, water), .help = "Signals of which the water level is told at each step, at most 8: CPU, hit rate, failed share." },
};
const struct section_desc ramp_section = { "ramp", sizeof(struct ramp), KEYS(ramp_keys), NO_NODE, NO_NAME,
                                           .help = "Raise the load in steps to the knee: the most that is served as promised." };

static const struct key_desc knee_keys[] = {
    { "min", VALUE(UNIT_FREQUENCY, 0, 1000000000, ABSENT), AT(knee_expectation, min), .help = "At least this load before anything is disturbed." },
    { "under-fault", VALUE(UNIT_FREQUENCY, 0, 1000000000, ABSENT), AT(knee_expectation, under_fault), .help = "At least this load while the faults act." },
    { "hysteresis", VALUE(UNIT_SHARE, 0, 1000000, ABSENT), AT(knee_expectation, hysteresis), .help = "At most this share of the knee is missing after the recovery." },
};
const struct section_desc knee_section = { "knee", sizeof(struct knee_expectation), KEYS(knee_keys), NO_NODE, NO_NAME,
                                           .help = "What load has to be carried." };
