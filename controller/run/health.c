/* Health: one score over several signals, their weighted mean. Each signal counts 1 from `good` on, 0 from `bad` on, linear between.
 *
 * 1. A signal without data makes the score unknown, unless its part says that this is bad: what is not seen is never taken for well.
 * 2. A signal of a probe is taken over at least two of its readings, so that one which is slower than the score is seen at all. */
#include "controller/run/run_priv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

/* 0 to 1; NaN for no data. An unanswered latency is infinite and counts 0. */
static double score_of(const struct health_part *part, double value)
{
    double good = run_signal_bound(part->signal, part->good), bad = run_signal_bound(part->signal, part->bad);

    if (isnan(value))
        return part->without_data ? 0 : NAN;
    return fmax(0, fmin(1, (value - bad) / (good - bad)));
}

static double value_at(const struct run *run, const struct health_probe *health, const struct health_part *part, uint64_t now_ns)
{
    uint64_t window_ns = (uint64_t)health->window;

    if (!signal_is_of_load(part->signal))
        window_ns = MAX(window_ns, 2 * (uint64_t)run->probes[part->signal->probe].probe->every);
    return run_signal_over(run, part->signal, WINDOW_BY_END, now_ns > window_ns ? now_ns - window_ns : 0, now_ns);
}

double run_health(const struct run *run, const struct health_probe *health, uint64_t now_ns, char *why, size_t size)
{
    const struct health_part *parts = health->of.items;
    double sum = 0, weights = 0;

    for (size_t i = 0; i < health->of.count; i++) {
        double score = score_of(&parts[i], value_at(run, health, &parts[i], now_ns));

        if (isnan(score) && !isnan(sum))
            snprintf(why, size, "no data for %.100s", parts[i].signal->name);
        sum += score * (double)parts[i].weight;
        weights += (double)parts[i].weight;
    }
    return sum / weights;
}

/* ---- what the result document tells ---------------------------------------------------------------------------------------------- */

struct phase {
    const char *key;
    uint64_t from_ns, until_ns;
};
enum { PHASES = 3 };

static void list_phases(const struct run *run, struct phase phases[PHASES])
{
    uint64_t released_ns = run->released_ns ? run->released_ns : run->end_ns;

    phases[0] = (struct phase){ "baseline", run->baseline_start_ns, run->baseline_end_ns };
    phases[1] = (struct phase){ "fault", run->method_ns, released_ns };
    phases[2] = (struct phase){ "after", run->released_ns, run->end_ns };
}

static void put_score(cJSON *row, const char *key, double score)
{
    if (isnan(score))
        cJSON_AddNullToObject(row, key);
    else
        cJSON_AddNumberToObject(row, key, score);
}

static double score_over(const struct run *run, const struct signal *signal, enum probe_stat stat, uint64_t from_ns, uint64_t until_ns)
{
    struct signal of = *signal;

    of.stat = stat;
    return from_ns && until_ns > from_ns ? run_probe_over(run, &of, from_ns, until_ns) : NAN;
}

static cJSON *describe_whole(const struct run *run, size_t index, const struct phase phases[PHASES])
{
    const struct signal signal = { .kind = SIGNAL_PROBE, .probe = index };
    cJSON *row = cJSON_CreateObject();

    cJSON_AddStringToObject(row, "name", run->probes[index].probe->name);
    cJSON_AddStringToObject(row, "signal", "score");
    if (run->playbook->service)
        cJSON_AddStringToObject(row, "service", run->playbook->service);
    for (size_t i = 0; i < PHASES; i++)
        put_score(row, phases[i].key, score_over(run, &signal, PROBE_MEAN, phases[i].from_ns, phases[i].until_ns));
    put_score(row, "worst", score_over(run, &signal, PROBE_MIN, phases[1].from_ns, run->end_ns));
    put_score(row, "known", score_over(run, &signal, PROBE_UP, run->baseline_start_ns, run->end_ns));
    return row;
}

static cJSON *describe_part(const struct run *run, const struct health_part *part, const struct phase phases[PHASES])
{
    cJSON *row = cJSON_CreateObject();

    cJSON_AddStringToObject(row, "name", "");
    cJSON_AddStringToObject(row, "signal", part->signal->name);
    cJSON_AddStringToObject(row, "good", part->good_text);
    cJSON_AddStringToObject(row, "bad", part->bad_text);
    cJSON_AddNumberToObject(row, "weight", (double)part->weight / 1000);
    for (size_t i = 0; i < PHASES; i++) {
        bool is_known = phases[i].from_ns && phases[i].until_ns > phases[i].from_ns;

        put_score(row, phases[i].key,
                  is_known ? score_of(part, run_signal_over(run, part->signal, WINDOW_BY_END, phases[i].from_ns, phases[i].until_ns)) : NAN);
    }
    return row;
}

cJSON *run_describe_health(const struct run *run)
{
    cJSON *array = NULL;
    struct phase phases[PHASES];

    list_phases(run, phases);
    for (size_t i = 0; i < run->playbook->probes.count; i++) {
        const struct health_probe *health = &run->probes[i].probe->health;

        if (run->probes[i].probe->kind != PROBE_HEALTH || !run->probes[i].prober)
            continue;
        array = array ? array : cJSON_CreateArray();
        cJSON_AddItemToArray(array, describe_whole(run, i, phases));
        for (size_t j = 0; j < health->of.count; j++)
            cJSON_AddItemToArray(array, describe_part(run, (const struct health_part *)health->of.items + j, phases));
    }
    return array;
}
