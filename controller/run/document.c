/* The result document (docs/result-document.md): the run as one JSON value, from which every report is rendered. */
#include "controller/run/run_priv.h"

#include "controller/base/json.h"
#include "controller/run/expect.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { FAILED_IDS_MAX = 20 };

static void put_ns(cJSON *object, const char *key, const struct run *run, uint64_t ns)
{
    json_put_number(object, key, run_seconds(run, ns));
}

static void put_text(cJSON *object, const char *key, const char *text)
{
    cJSON_AddStringToObject(object, key, text ? text : "");
}

static cJSON *describe_run(const struct run *run)
{
    const struct playbook *playbook = run->playbook;
    cJSON *object = cJSON_CreateObject(), *tags, *overrides;
    char text[64], host[128] = "";
    struct utsname name;
    time_t seconds = (time_t)(run->started_wall_ns / NS_PER_S);
    struct tm broken_down;

    gmtime_r(&seconds, &broken_down);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &broken_down);
    gethostname(host, sizeof(host) - 1);
    uname(&name);
    put_text(object, "id", run->id);
    put_text(object, "playbook", playbook->document.file);
    put_text(object, "playbook_path", run->playbook_path);
    put_text(object, "batch", run->batch);
    put_text(object, "playbook_hash", playbook->hash);
    put_text(object, "title", playbook->title);
    put_text(object, "description", playbook->description);
    put_text(object, "service", playbook->service);
    tags = cJSON_AddArrayToObject(object, "tags");
    for (size_t i = 0; i < playbook->tags.count; i++)
        cJSON_AddItemToArray(tags, cJSON_CreateString(playbook->tags.items[i]));
    put_text(object, "rigour", playbook->rigour ? "full" : "quick");
    put_text(object, "started", text);
    snprintf(text, sizeof(text), "%" PRIu64, run->seed);
    put_text(object, "seed", text);
    snprintf(text, sizeof(text), "%" PRIu64, run->zero_ns);
    put_text(object, "zero_ns", text);
    put_text(object, "version", PERTURB_VERSION);
    put_text(object, "host", host);
    put_text(object, "kernel", name.release);
    json_put_number(object, "duration_s", (double)(clock_wall_ns() - run->started_wall_ns) / 1e9);
    overrides = cJSON_AddObjectToObject(object, "overrides");
    for (size_t i = 0; i < playbook->variables.override_count; i++)
        put_text(overrides, playbook->variables.overrides[i].name, playbook->variables.overrides[i].value);
    put_text(object, "directory", run->directory);
    return object;
}

static cJSON *describe_verdict(const struct judgement *judgement)
{
    cJSON *object = cJSON_CreateObject(), *next;

    put_text(object, "verdict", judgement->verdict);
    cJSON_AddNumberToObject(object, "status", judgement->status);
    put_text(object, "why", judgement->why);
    next = cJSON_AddArrayToObject(object, "next");
    for (size_t i = 0; i < judgement->next_count; i++)
        cJSON_AddItemToArray(next, cJSON_CreateString(judgement->next[i]));
    return object;
}

static cJSON *describe_instants(const struct run *run, const struct judgement *judgement)
{
    uint64_t requested_ns = 0, armed_ns = 0, injected_ns = 0;
    const struct est_result *result = &judgement->combined;
    bool judged = judgement->signal_count && judgement->signals[judgement->last].judged;
    cJSON *object = cJSON_CreateObject();

    for (size_t i = 0; i < run->playbook->method.count; i++) {
        const struct step_run *step = &run->steps[i];

        if (step->requested_ns && (!requested_ns || step->requested_ns < requested_ns))
            requested_ns = step->requested_ns;
        if (step->armed_ns && (!armed_ns || step->armed_ns < armed_ns))
            armed_ns = step->armed_ns;
        if (step->injected_ns && (!injected_ns || step->injected_ns < injected_ns))
            injected_ns = step->injected_ns;
    }
    put_ns(object, "baseline_start", run, run->baseline_start_ns);
    put_ns(object, "baseline_end", run, run->baseline_end_ns);
    put_ns(object, "requested", run, requested_ns);
    put_ns(object, "armed", run, armed_ns);
    put_ns(object, "injected", run, injected_ns);
    put_ns(object, "released", run, run->released_ns);
    json_put_number(object, "deviated", judged ? result->deviated_s : NAN);
    json_put_number(object, "first_return", judged ? result->first_return_s : NAN);
    json_put_number(object, "converged", judged ? result->converged_s : NAN);
    json_put_number(object, "validated", judged ? result->validated_s : NAN);
    put_ns(object, "end", run, run->end_ns);
    return object;
}

static cJSON *describe_convergence(const struct run *run, const struct judgement *judgement)
{
    const struct convergence_expectation *expected = &run->playbook->expect.convergence;
    const struct est_result *result = &judgement->combined;
    const struct judged_signal *last = &judgement->signals[judgement->last];
    cJSON *object = cJSON_CreateObject();
    bool judged = judgement->signal_count && last->judged;

    put_text(object, "signal", judgement->signal_count ? last->signal.name : "");
    json_put_number(object, "from_release_s", judged ? result->convergence_from_release_s : NAN);
    json_put_number(object, "low_s", judged ? result->from_release_interval.low : NAN);
    json_put_number(object, "high_s", judged ? result->from_release_interval.high : NAN);
    json_put_number(object, "from_injection_s", judged ? result->convergence_from_inject_s : NAN);
    json_put_number(object, "from_injection_low_s", judged ? result->from_inject_interval.low : NAN);
    json_put_number(object, "from_injection_high_s", judged ? result->from_inject_interval.high : NAN);
    json_put_number(object, "bin_s", judged ? result->bin_s : NAN);
    json_put_number(object, "base_bin_s", run_base_bin_s(run));
    json_put_number(object, "band", (double)expected->band / 1e6);
    json_put_number(object, "hold_s", (double)expected->hold / 1e9);
    json_put_number(object, "resolvable_band", judged ? result->resolvable_band : NAN);
    json_put_number(object, "smallest_dip", judged ? result->smallest_dip : NAN);
    return object;
}

static void put_estimate(cJSON *object, const struct est_result *result)
{
    cJSON *baseline;

    put_text(object, "verdict", est_verdict_name(result->verdict));
    put_text(object, "reason", result->reason);
    json_put_number(object, "deviated_s", result->deviated_s);
    json_put_number(object, "first_return_s", result->first_return_s);
    json_put_number(object, "converged_s", result->converged_s);
    json_put_number(object, "converged_low_s", result->converged_interval.low);
    json_put_number(object, "converged_high_s", result->converged_interval.high);
    json_put_number(object, "validated_s", result->validated_s);
    json_put_number(object, "from_release_s", result->convergence_from_release_s);
    json_put_number(object, "from_injection_s", result->convergence_from_inject_s);
    json_put_number(object, "loss_to_hold_s", result->loss_to_hold_s);
    json_put_number(object, "loss_to_hold_low_s", result->loss_to_hold_interval.low);
    json_put_number(object, "loss_to_hold_high_s", result->loss_to_hold_interval.high);
    json_put_number(object, "loss_to_end_s", result->loss_to_end_s);
    json_put_number(object, "loss_derived_s", effects_loss_derived_s(result));
    json_put_number(object, "dip_depth", result->dip_depth);
    json_put_number(object, "overshoot", result->overshoot);
    json_put_number(object, "residual", result->residual);
    cJSON_AddNumberToObject(object, "flaps", (double)result->flaps);
    cJSON_AddNumberToObject(object, "redegradations", (double)result->redegradations);
    json_put_number(object, "longest_exit_s", result->longest_exit_s);
    baseline = cJSON_AddObjectToObject(object, "baseline");
    json_put_number(baseline, "level", result->baseline.level);
    json_put_number(baseline, "sigma", result->baseline.sigma);
    json_put_number(baseline, "drift", result->baseline.drift);
    json_put_number(baseline, "start_s", result->baseline.start_s);
    json_put_number(baseline, "end_s", result->baseline.end_s);
    json_put_number(object, "threshold", result->threshold);
    json_put_number(object, "level_worst_ok", result->level_worst_ok);
    json_put_number(object, "bin_s", result->bin_s);
    json_put_number(object, "resolvable_band", result->resolvable_band);
    json_put_number(object, "smallest_dip", result->smallest_dip);
    json_put_number(object, "unknown_share", result->unknown_share);
}

/* Words of the result document for the units a signal can have. */
static const char *unit_word(enum unit unit)
{
    switch (unit) {
    case UNIT_SHARE:
        return "share";
    case UNIT_DURATION:
        return "seconds";
    case UNIT_FREQUENCY:
        return "per_s";
    case UNIT_SIZE:
        return "bytes";
    case UNIT_RATE:
        return "bytes_per_s";
    default:
        return "count";
    }
}

static cJSON *describe_signals(const struct run *run, const struct judgement *judgement)
{
    cJSON *array = cJSON_CreateArray();

    for (size_t i = 0; i < judgement->signal_count; i++) {
        const struct judged_signal *judged = &judgement->signals[i];
        const struct signal *signal = &judged->signal;
        const struct workload *workloads = run->playbook->loads.items;
        cJSON *object = cJSON_CreateObject();

        put_text(object, "signal", signal->name);
        if (signal_is_of_load(signal))
            put_text(object, "load", workloads[signal->load].name);
        else
            put_text(object, "probe", run->probes[signal->probe].probe->name);
        put_text(object, "arm", signal_is_of_load(signal) && workloads[signal->load].control_of ? "control" : "treatment");
        if (run_control_of(run, signal))
            put_text(object, "control", run_control_of(run, signal)->name);
        put_text(object, "unit", run_control_of(run, signal) && signal->kind == SIGNAL_QUANTILE ? "count" : unit_word(signal->unit));
        put_text(object, "better", signal->higher_is_better ? "higher" : "lower");
        cJSON_AddBoolToObject(object, "deciding", judged->deciding);
        if (judged->judged)
            put_estimate(object, &judged->result);
        cJSON_AddItemToObject(object, "series", run_describe_plot(run, signal, false));
        if (run_control_of(run, signal))
            cJSON_AddItemToObject(object, "alone", run_describe_plot(run, signal, true));
        cJSON_AddItemToArray(array, object);
    }
    run_series_done(run);
    return array;
}

static void put_failed_ids(const struct run *run, const struct load_run *load, cJSON *object)
{
    cJSON *array = cJSON_AddArrayToObject(object, "failed_trace_ids");
    uint64_t count = load_records_count(load->generator);
    int kept = 0;

    for (uint64_t i = 0; i < count && kept < FAILED_IDS_MAX; i++) {
        const struct load_record *record = load_record_in_turn(load->generator, i);
        char text[LOAD_TRACE_ID_SIZE];

        if (record->outcome == LOAD_OK)
            continue;
        load_trace_id(run->seed, load->workload->name, record->index, text);
        cJSON_AddItemToArray(array, cJSON_CreateString(text));
        kept++;
    }
}

/* A URL without the password that it may hold. */
static void put_address(cJSON *object, const char *url)
{
    const char *host = strstr(url, "://"), *at = host ? strpbrk(host + 3, "@/?#") : NULL;
    const char *colon = at && *at == '@' ? memchr(host + 3, ':', (size_t)(at - host - 3)) : NULL;
    char text[1024];

    snprintf(text, sizeof(text), "%.*s%s", colon ? (int)(colon - url) : (int)strlen(url), url, colon ? at : "");
    put_text(object, "url", text);
}

/* What is pinned of the arrival plan beside its rate: "ramp to 400/s at 5s for 30s, poisson". Absent for an even, constant rate. */
static void put_arrival(cJSON *object, const struct arrival_plan *plan)
{
    static const char *const shapes[] = { "constant", "ramp", "step", "spike", "rates of", "instants of" };
    char to[32], at[32], length[32], text[512];

    if (plan->shape == ARRIVAL_CONSTANT && !plan->spacing)
        return;
    unit_print(UNIT_FREQUENCY, plan->to, to, sizeof(to));
    unit_print(UNIT_DURATION, plan->at, at, sizeof(at));
    unit_print(UNIT_DURATION, plan->length, length, sizeof(length));
    snprintf(text, sizeof(text), "%s%s%s%s%s%s%s%s%s%s", shapes[plan->shape], plan->file ? " " : "", plan->file ? plan->file : "",
             plan->to != ABSENT ? " to " : "", plan->to != ABSENT ? to : "", plan->to != ABSENT ? " at " : "",
             plan->to != ABSENT ? at : "", plan->length != ABSENT ? " for " : "", plan->length != ABSENT ? length : "",
             plan->spacing ? ", poisson" : "");
    put_text(object, "arrival", text);
}

/* What is pinned of a load and cannot be read off its description: its mix, its command, its recording. */
static void put_plan_hash(cJSON *object, const struct load_run *load)
{
    uint64_t hash = load->workload->hash;
    char text[20];

    if (load->workload->arrival.file && load->arrival)
        hash = rng_mix(hash, arrival_hash(load->arrival));
    snprintf(text, sizeof(text), "%016" PRIx64, hash);
    if (hash)
        put_text(object, "plan_hash", text);
}

static cJSON *describe_loads(const struct run *run)
{
    cJSON *array = cJSON_CreateArray();

    for (size_t i = 0; i < run->playbook->loads.count; i++) {
        const struct load_run *load = &run->loads[i];
        cJSON *object = cJSON_CreateObject(), *outcomes;
        struct load_counters counters;

        put_text(object, "name", load->workload->name);
        if (load->workload->url)
            put_address(object, load->workload->url);
        run_put_outside(load, object);
        json_put_number(object, "rate_per_s", load->workload->rate == ABSENT ? NAN : (double)load->workload->rate / 1000);
        put_arrival(object, &load->workload->arrival);
        put_plan_hash(object, load);
        cJSON_AddItemToArray(array, object);
        if (!load->generator)
            continue;
        load_counters(load->generator, &counters);
        json_put_number(object, "planned", (double)counters.planned);
        json_put_number(object, "sent", (double)counters.sent);
        json_put_number(object, "ok", (double)counters.ok);
        json_put_number(object, "failed", (double)counters.failed);
        outcomes = cJSON_AddObjectToObject(object, "outcomes");
        for (int outcome = 0; outcome < LOAD_OUTCOMES; outcome++)
            if (outcome != LOAD_OK && counters.outcomes[outcome])
                json_put_number(outcomes, load_outcome_name((enum load_outcome)outcome), (double)counters.outcomes[outcome]);
        json_put_number(object, "late", (double)counters.late);
        json_put_number(object, "lateness_max_s", (double)counters.lateness_max_ns / 1e9);
        cJSON_AddBoolToObject(object, "fit", load_is_fit(&counters));
        json_put_number(object, "connects", load->workload->kind == WORKLOAD_COMMAND ? NAN : (double)counters.connects);
        put_failed_ids(run, load, object);
    }
    return array;
}

/* As numbers, and worded: "oom_kills 1, peak_bytes 30MiB". */
static void put_effects(const struct step_run *step, cJSON *object)
{
    cJSON *measured;
    struct buf text;

    if (!step->effect_count)
        return;
    measured = cJSON_AddObjectToObject(object, "measured");
    buf_init(&text, 1024);
    for (size_t i = 0; i < step->effect_count; i++) {
        const char *what = step->effects[i].what, *unit = strrchr(what, '_');
        char value[32];

        if (unit && !strcmp(unit, "_bytes"))
            unit_print(UNIT_SIZE, step->effects[i].value, value, sizeof(value));
        else
            snprintf(value, sizeof(value), "%" PRId64, step->effects[i].value);
        buf_printf(&text, "%s%s %s", i ? ", " : "", what, value);
        json_put_number(measured, what, (double)step->effects[i].value);
    }
    put_text(object, "effect", text.data);
    buf_done(&text);
}

static cJSON *describe_faults(const struct run *run)
{
    cJSON *array = cJSON_CreateArray();

    for (size_t i = 0; i < run->playbook->method.count; i++) {
        const struct step_run *step = &run->steps[i];
        const struct plan_rule *rule = &step->step->spec.rule;
        const struct fault_desc *fault = &fault_descs[rule->fault];
        cJSON *object = cJSON_CreateObject();
        char text[512];

        put_text(object, "name", rule->name);
        snprintf(text, sizeof(text), "%s.%s", layer_names[fault->layer], fault->name);
        put_text(object, "fault", text);
        if (fault_spec_print(&step->step->spec, text, sizeof(text)) == 0)
            put_text(object, "spec", text);
        put_text(object, "scope", rule->scope);
        json_put_number(object, "at_s", (double)step->step->at / 1e9);
        json_put_number(object, "for_s", step->step->duration == ABSENT ? NAN : (double)step->step->duration / 1e9);
        put_ns(object, "requested_s", run, step->requested_ns);
        put_ns(object, "armed_s", run, step->armed_ns);
        put_ns(object, "injected_s", run, step->injected_ns);
        put_ns(object, "released_s", run, step->released_ns);
        json_put_number(object, "matched", (double)step->counts.matched);
        json_put_number(object, "eligible", (double)step->counts.eligible);
        json_put_number(object, "fired", (double)step->counts.fired);
        json_put_number(object, "skipped", (double)step->counts.skipped);
        put_effects(step, object);
        cJSON_AddItemToArray(array, object);
    }
    return array;
}

static void bound_text(const struct bound *bound, char *text, size_t size)
{
    snprintf(text, size, "%s%s%s%s%s", bound->min_text ? "at least " : "", bound->min_text ? bound->min_text : "",
             bound->min_text && bound->max_text ? ", " : "", bound->max_text ? "at most " : "", bound->max_text ? bound->max_text : "");
}

static cJSON *describe_steady(const struct run *run)
{
    cJSON *array = cJSON_CreateArray();

    for (size_t i = 0; i < run->playbook->hypothesis.count && run->baseline_end_ns; i++) {
        const struct steady_line *line = &run->steady[i];
        cJSON *object = cJSON_CreateObject();
        char text[128];

        put_text(object, "signal", line->bound->signal.name);
        bound_text(line->bound, text, sizeof(text));
        put_text(object, "bound", text);
        put_text(object, "value", run_signal_text(&line->bound->signal, line->value, text, sizeof(text)));
        put_text(object, "outcome", isnan(line->value) ? "no_data" : line->held ? "held" : "missed");
        cJSON_AddItemToArray(array, object);
    }
    return array;
}

/* What became of the datagrams of a UDP proxy, both directions together. */
static cJSON *describe_datagrams(const struct proxy_status *status)
{
    const struct datagram_counts *up = &status->datagrams[0], *down = &status->datagrams[1];
    cJSON *object = cJSON_CreateObject();

    put_text(object, "proxy", status->spec.name);
    json_put_number(object, "sessions", (double)status->connections);
    json_put_number(object, "expired", (double)status->sessions_expired);
    json_put_number(object, "evicted", (double)status->sessions_evicted);
    json_put_number(object, "came", (double)(up->came + down->came));
    json_put_number(object, "passed", (double)(up->passed + down->passed));
    json_put_number(object, "dropped", (double)(up->dropped + down->dropped));
    json_put_number(object, "doubled", (double)(up->doubled + down->doubled));
    json_put_number(object, "no_room", (double)(up->no_room + down->no_room));
    json_put_number(object, "failed", (double)(up->failed + down->failed));
    json_put_number(object, "overrun", (double)status->overrun);
    json_put_number(object, "upstream_refused", (double)status->upstream_refused);
    return object;
}

static void put_wire(const struct run *run, cJSON *document)
{
    cJSON *amplification = cJSON_AddObjectToObject(document, "amplification");
    cJSON *hops = cJSON_AddArrayToObject(amplification, "hops"), *proxies = cJSON_AddArrayToObject(document, "proxies");
    cJSON *datagrams = cJSON_AddArrayToObject(document, "datagrams");

    if (run->wire_hello.backend[0]) {
        cJSON *wire = cJSON_AddObjectToObject(document, "wire");

        put_text(wire, "backend", run->wire_hello.backend);
        put_text(wire, "refusal", run->wire_hello.refusal ? strerror(-run->wire_hello.refusal) : "");
        json_put_number(wire, "loops", run->wire_hello.loops);
        json_put_number(wire, "spin_us", (double)run->wire_hello.spin_ns / 1e3);
    }
    for (size_t i = 0; i < run->playbook->proxies.count; i++) {
        const struct proxy_status *status = &run->proxies[i];
        cJSON *hop = cJSON_CreateObject(), *object = cJSON_CreateObject();

        put_text(hop, "proxy", status->spec.name);
        json_put_number(hop, "baseline", amplification_of_hop(run, i, 0, 1));
        json_put_number(hop, "fault", amplification_of_hop(run, i, 1, 2));
        json_put_number(hop, "after", amplification_of_hop(run, i, 2, 3));
        cJSON_AddItemToArray(hops, hop);
        put_text(object, "name", status->spec.name);
        put_text(object, "listen", status->spec.listen);
        if (((const struct proxy *)run->playbook->proxies.items)[i].captures)
            run_describe_capture(run, i, object);
        else
            put_text(object, "upstream", status->spec.upstream);
        json_put_number(object, "connections", (double)status->connections);
        json_put_number(object, "connects_failed", (double)status->connects_failed);
        json_put_number(object, "bytes_to_upstream", (double)status->bytes_to_upstream);
        json_put_number(object, "bytes_to_client", (double)status->bytes_to_client);
        json_put_number(object, "held_bytes_peak", (double)status->held_bytes_peak);
        json_put_number(object, "held_bytes_max", (double)status->held_bytes_max);
        json_put_number(object, "hold_full", (double)status->hold_full);
        json_put_number(object, "late_p50_s", (double)histogram_quantile(&status->lateness, 0.5) / 1e9);
        json_put_number(object, "late_p99_s", (double)histogram_quantile(&status->lateness, 0.99) / 1e9);
        json_put_number(object, "late_most_s", (double)status->lateness.most / 1e9);
        put_text(object, "protocol", status->spec.protocol == PROTOCOL_UDP ? "udp" : "tcp");
        if (status->spec.protocol == PROTOCOL_UDP)
            cJSON_AddItemToArray(datagrams, describe_datagrams(status));
        cJSON_AddItemToArray(proxies, object);
    }
}

static cJSON *describe_targets(const struct run *run)
{
    cJSON *array = cJSON_CreateArray();

    for (size_t i = 0; i < run->playbook->targets.count; i++) {
        const struct target_run *target = &run->targets[i];
        cJSON *object = cJSON_CreateObject(), *exits;
        struct buf command;

        buf_init(&command, 4096);
        for (size_t j = 0; j < target->target->command.count; j++)
            buf_printf(&command, "%s%s", j ? " " : "", target->target->command.items[j]);
        put_text(object, "name", target->target->name);
        put_text(object, "command", command.data);
        buf_done(&command);
        json_put_number(object, "pid", target->pid);
        json_put_number(object, "starts", target->starts);
        if (target->locks_found)
            cJSON_AddItemToObject(object, "locks", cJSON_Duplicate(target->locks_found, 1));
        exits = cJSON_AddArrayToObject(object, "exits");
        for (size_t j = 0; j < target->exit_count; j++) {
            cJSON *entry = cJSON_CreateObject();
            int64_t status = target->exits[j].status;
            char text[48];

            if (status > 128 && sigabbrev_np((int)status - 128))
                snprintf(text, sizeof(text), "signal %s", sigabbrev_np((int)status - 128));
            else
                snprintf(text, sizeof(text), "exit %" PRId64, status);
            put_ns(entry, "at_s", run, target->exits[j].ns);
            put_text(entry, "status", text);
            cJSON_AddItemToArray(exits, entry);
        }
        cJSON_AddItemToArray(array, object);
    }
    return array;
}

static void put_quality(const struct run *run, const struct judgement *judgement, cJSON *document)
{
    cJSON *object = cJSON_AddObjectToObject(document, "data_quality");
    double unknown = 0, late = 0, planned = 0;
    bool fit = true;

    for (size_t i = 0; i < judgement->signal_count; i++)
        if (judgement->signals[i].judged && judgement->signals[i].result.unknown_share > unknown)
            unknown = judgement->signals[i].result.unknown_share;
    for (size_t i = 0; i < run->playbook->loads.count; i++) {
        struct load_counters counters;

        if (!run->loads[i].generator)
            continue;
        load_counters(run->loads[i].generator, &counters);
        fit &= load_is_fit(&counters);
        late += (double)counters.late;
        planned += (double)counters.planned;
    }
    cJSON_AddBoolToObject(object, "load_fit", fit);
    json_put_number(object, "late_share", planned > 0 ? late / planned : NAN);
    json_put_number(object, "unknown_share", unknown);
    cJSON_AddItemToObject(object, "notes", cJSON_Duplicate(run->notes, 1));
}

cJSON *run_document(struct run *run, struct judgement *judgement)
{
    cJSON *document = cJSON_CreateObject(), *health = run_describe_health(run);

    cJSON_AddNumberToObject(document, "schema", 1);
    cJSON_AddItemToObject(document, "run", describe_run(run));
    cJSON_AddItemToObject(document, "verdict", describe_verdict(judgement));
    cJSON_AddItemToObject(document, "instants_s", describe_instants(run, judgement));
    run_put_people(run, document);
    cJSON_AddItemToObject(document, "convergence", describe_convergence(run, judgement));
    cJSON_AddItemToObject(document, "signals", describe_signals(run, judgement));
    cJSON_AddItemToObject(document, "loads", describe_loads(run));
    if (run->playbook->probes.count)
        cJSON_AddItemToObject(document, "probes", run_describe_probes(run));
    if (health)
        cJSON_AddItemToObject(document, "health", health);
    cJSON_AddItemToObject(document, "faults", describe_faults(run));
    cJSON_AddItemToObject(document, "steady_state", describe_steady(run));
    cJSON_AddItemToObject(document, "expect", judgement->expect);
    judgement->expect = NULL;
    cJSON_AddItemToObject(document, "guards", run_describe_guards(run));
    if (run->evidence_count)
        cJSON_AddItemToObject(document, "captures", run_describe_evidence(run));
    put_wire(run, document);
    run_put_effects(run, judgement, document);
    cJSON_AddItemToObject(document, "targets", describe_targets(run));
    cJSON_AddItemToObject(document, "undo", cJSON_Duplicate(run->undo, 1));
    cJSON_AddItemToObject(document, "verify", cJSON_Duplicate(run->verify, 1));
    put_quality(run, judgement, document);
    cJSON_AddStringToObject(document, "events", "events.jsonl");
    return document;
}
