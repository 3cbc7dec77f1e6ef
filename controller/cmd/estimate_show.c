/* The answer of perturb estimate as text and as JSON; see estimate.h. Keys are those of docs/result-document.md. */
#include "controller/cmd/estimate.h"

#include "controller/base/json.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Text of a file may hold anything: control characters would reach the terminal. */
static void print_name(const char *name, int width)
{
    for (; *name; name++, width--)
        putchar((unsigned char)*name < ' ' || *name == 127 ? '?' : *name);
    for (; width > 0; width--)
        putchar(' ');
}

static void print_length(const char *label, double length_s, struct est_interval interval, const char *from)
{
    if (isnan(length_s))
        return;
    printf("  %-16s %.3f s after the %s", label, length_s, from);
    if (!isnan(interval.low))
        printf(", 95 %% interval %.3f s to %.3f s", interval.low, interval.high);
    putchar('\n');
}

static void print_instant(const char *label, double at_s)
{
    if (!isnan(at_s))
        printf("  %-16s %.3f s\n", label, at_s);
}

static void print_share(const char *label, double share)
{
    if (!isnan(share))
        printf("  %-16s %.3g %%\n", label, 100 * share);
}

static void print_baseline(const struct estimate_options *options, const struct estimate_signal *signal, double hold_s)
{
    const struct est_baseline *baseline = &signal->result.baseline;
    double length_s = baseline->end_s - baseline->start_s, needed_s = est_baseline_needed_s(options->pins.rigour, signal->bin_s, hold_s);

    if (!isnan(baseline->level))
        printf("  %-16s %.6g, noise %.2g of a bin, %zu of %zu bins known\n", "Baseline", baseline->level, baseline->sigma, baseline->known,
               baseline->bins);
    if (signal->result.verdict == EST_BASELINE_UNFIT && length_s < needed_s)
        printf("  %-16s %.3g s, and this rigour and hold ask for %.3g s\n", "Its length", length_s, needed_s);
    else if (signal->result.verdict == EST_BASELINE_UNFIT)
        printf("  %-16s a steadier stretch (--baseline T) or a wider band (--band)\n", "What may help");
}

static void print_signal(const struct estimate_options *options, const struct estimate_signal *signal, double hold_s)
{
    const struct est_result *result = &signal->result;

    putchar('\n');
    print_name(signal->name, 0);
    printf(": %s%s%s\n", est_verdict_name(result->verdict), result->reason[0] ? ": " : "", result->reason);
    print_length("Convergence", result->convergence_from_release_s, result->from_release_interval, "release");
    print_length("", result->convergence_from_inject_s, result->from_inject_interval, "injection");
    print_instant("Deviated at", result->deviated_s);
    print_instant("First return at", result->first_return_s);
    print_instant("Converged at", result->converged_s);
    if (!isnan(result->loss_to_end_s))
        printf("  %-16s %.3f s of full outage (%.3f s to %.3f s)\n", "Loss", result->loss_to_end_s, result->loss_to_end_interval.low,
               result->loss_to_end_interval.high);
    print_share("Deepest dip", result->dip_depth);
    print_share("Overshoot", result->overshoot);
    print_share("Left over", result->residual);
    if (result->flaps || result->redegradations)
        printf("  %-16s %zu before convergence, %zu after; the longest %.3f s\n", "Exits", result->flaps, result->redegradations,
               result->longest_exit_s);
    print_baseline(options, signal, hold_s);
    if (!isnan(result->bin_s))
        printf("  %-16s bins of %.4g s; the smallest band this could resolve is %.3g %%, the smallest dip %.3g %%\n", "Resolution", result->bin_s,
               100 * result->resolvable_band, 100 * result->smallest_dip);
}

void estimate_show_text(const struct estimate_options *options, const struct samples *samples, const struct estimate_answer *answer)
{
    static const char *const words[] = { "PASSED", "FAILED", "INCONCLUSIVE" };

    printf("%s  %s", words[answer->status], est_verdict_name(answer->combined.verdict));
    if (options->signals > 1) {
        printf(", decided by ");
        print_name(options->signal[answer->last].name, 0);
    }
    printf("\nJudged with band %.3g %%, hold %g s, %s rigour\n", 100 * options->pins.band, answer->hold_s,
           options->pins.rigour == EST_FULL ? "full" : "quick");
    if (options->unnamed)
        printf("No signal was named: each column decides, and higher is taken as better (--signal NAME:lower says otherwise)\n");
    if (answer->bound)
        printf("The bound of %g s on the convergence time: %s\n", options->max_s, answer->bound);
    if (samples->backwards || samples->repeated)
        printf("The file has %zu stamps out of order and %zu that repeat the one before; a bin holds their mean\n", samples->backwards,
               samples->repeated);
    for (size_t i = 0; i < options->signals; i++)
        print_signal(options, &options->signal[i], answer->hold_s);
}

/* null for NaN: JSON has none. */
static void add_result(cJSON *object, const struct est_result *result)
{
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        { "deviated_s", result->deviated_s },
        { "first_return_s", result->first_return_s },
        { "converged_s", result->converged_s },
        { "validated_s", result->validated_s },
        { "converged_low_s", result->converged_interval.low },
        { "converged_high_s", result->converged_interval.high },
        { "from_release_s", result->convergence_from_release_s },
        { "from_release_low_s", result->from_release_interval.low },
        { "from_release_high_s", result->from_release_interval.high },
        { "from_injection_s", result->convergence_from_inject_s },
        { "from_injection_low_s", result->from_inject_interval.low },
        { "from_injection_high_s", result->from_inject_interval.high },
        { "loss_to_hold_s", result->loss_to_hold_s },
        { "loss_to_hold_low_s", result->loss_to_hold_interval.low },
        { "loss_to_hold_high_s", result->loss_to_hold_interval.high },
        { "loss_to_end_s", result->loss_to_end_s },
        { "loss_to_end_low_s", result->loss_to_end_interval.low },
        { "loss_to_end_high_s", result->loss_to_end_interval.high },
        { "dip_depth", result->dip_depth },
        { "overshoot", result->overshoot },
        { "residual", result->residual },
        { "flaps", (double)result->flaps },
        { "redegradations", (double)result->redegradations },
        { "longest_exit_s", result->longest_exit_s },
        { "threshold", result->threshold },
        { "level_worst_ok", result->level_worst_ok },
        { "bin_s", result->bin_s },
        { "resolvable_band", result->resolvable_band },
        { "smallest_dip", result->smallest_dip },
        { "smallest_outage_s", result->smallest_outage_s },
        { "unknown_share", result->unknown_share },
    };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        json_put_number(object, numbers[i].key, numbers[i].value);
}

static cJSON *signal_object(const struct estimate_signal *signal)
{
    const struct est_baseline *baseline = &signal->result.baseline;
    cJSON *object = cJSON_CreateObject(), *level = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "signal", signal->name);
    cJSON_AddStringToObject(object, "better", signal->direction == EST_HIGHER_BETTER ? "higher" : "lower");
    cJSON_AddStringToObject(object, "verdict", est_verdict_name(signal->result.verdict));
    cJSON_AddStringToObject(object, "reason", signal->result.reason);
    json_put_number(object, "base_bin_s", signal->bin_s);
    add_result(object, &signal->result);
    json_put_number(level, "level", baseline->level);
    json_put_number(level, "sigma", baseline->sigma);
    json_put_number(level, "drift", baseline->drift);
    json_put_number(level, "start_s", baseline->start_s);
    json_put_number(level, "end_s", baseline->end_s);
    json_put_number(level, "bins", (double)baseline->bins);
    json_put_number(level, "known", (double)baseline->known);
    cJSON_AddItemToObject(object, "baseline", level);
    return object;
}

int estimate_show_json(const struct estimate_options *options, const struct samples *samples, const struct estimate_answer *answer)
{
    cJSON *document = cJSON_CreateObject(), *signals = cJSON_CreateArray();
    char *text;

    cJSON_AddNumberToObject(document, "schema", 1);
    cJSON_AddStringToObject(document, "file", options->file);
    cJSON_AddStringToObject(document, "verdict", est_verdict_name(answer->combined.verdict));
    cJSON_AddNumberToObject(document, "status", answer->status);
    cJSON_AddStringToObject(document, "decided_by", options->signal[answer->last].name);
    if (answer->bound)
        cJSON_AddStringToObject(document, "bound", answer->bound);
    json_put_number(document, "band", options->pins.band);
    json_put_number(document, "hold_s", answer->hold_s);
    cJSON_AddStringToObject(document, "rigour", options->pins.rigour == EST_FULL ? "full" : "quick");
    json_put_number(document, "stamps_out_of_order", (double)samples->backwards);
    json_put_number(document, "stamps_repeated", (double)samples->repeated);
    for (size_t i = 0; i < options->signals; i++)
        cJSON_AddItemToArray(signals, signal_object(&options->signal[i]));
    cJSON_AddItemToObject(document, "signals", signals);
    text = json_pretty(document);
    cJSON_Delete(document);
    if (!text)
        return -ENOMEM;
    puts(text);
    cJSON_free(text);
    return 0;
}
