/* What the requests of a live run came to, bin by bin, and when a line of it is due. */
#include "controller/run/samples.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#define COUNT_EVERY_NS NS_PER_S

void run_open_samples(struct run *run)
{
    struct samples *samples = calloc(1, sizeof(*samples));
    char path[4200];

    if (!samples)
        return;
    snprintf(path, sizeof(path), "%s/live.jsonl", run->directory);
    samples->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    samples->loads = calloc(run->playbook->loads.count + 1, sizeof(*samples->loads));
    samples->counts = calloc(run->playbook->method.count + 1, sizeof(*samples->counts));
    run->samples = samples;
    if (samples->fd < 0 || !samples->loads || !samples->counts)
        run_close_samples(run);
}

void run_close_samples(struct run *run)
{
    struct samples *samples = run->samples;

    if (!samples)
        return;
    if (samples->fd >= 0)
        close(samples->fd);
    free(samples->loads);
    free(samples->counts);
    free(samples);
    run->samples = NULL;
}

struct sample_bin *samples_place(struct sample_bin *bins, size_t count, uint64_t bin)
{
    struct sample_bin *place = &bins[bin % count];

    if (place->bin > bin)
        return NULL;
    if (place->bin < bin)
        *place = (struct sample_bin){ .bin = bin };
    return place;
}

static void add(struct sample_bin *bin, const struct load_record *record)
{
    if (!bin)
        return;
    bin->is_stale = true;
    if (record->outcome != LOAD_OK) {
        bin->failed++;
        return;
    }
    bin->good++;
    histogram_add(&bin->latency, record->done_ns - record->planned_ns);
}

static void take_records(struct samples *samples, struct sample_load *load, const struct load *generator, uint64_t zero_ns)
{
    uint64_t until = MIN(load_records_count(generator), load->next + SAMPLE_RECORDS_MAX);

    for (; load->next < until; load->next++) {
        const struct load_record *record = load_record_at(generator, load->next);
        uint64_t bin = (record->planned_ns - zero_ns) / LOAD_BIN_NS;

        add(samples_place(load->planned, SAMPLE_BINS, bin), record);
        add(samples_place(load->ended, SAMPLE_NOW_BINS + 1, (record->done_ns - zero_ns) / LOAD_BIN_NS), record);
        samples->again_from = MIN(samples->again_from, bin);
    }
}

/* An executor is asked once a second, and no more after it has not answered: the lease comes first. */
static void take_counts(struct run *run, struct samples *samples, uint64_t now_ns)
{
    if (run->executors_silent || now_ns < samples->counted_ns + COUNT_EVERY_NS)
        return;
    samples->counted_ns = now_ns;
    for (size_t i = 0; i < run->playbook->method.count; i++) {
        struct rule_counts counts = run->steps[i].counts;

        if (run->steps[i].state == STEP_ACTIVE && !run->executors_silent)
            run_rule_counts(run, &run->steps[i], &counts);
        samples->counts[i] = (struct sample_counts){ counts.matched, counts.fired };
    }
}

/* Whole, or the next one begins on a line of its own: a reader drops what is no line. */
static void write_line(struct samples *samples, const char *line)
{
    char *text = NULL;
    int length = asprintf(&text, "%s%s\n", samples->is_torn ? "\n" : "", line);
    ssize_t wrote;

    if (length < 0)
        return;
    wrote = write(samples->fd, text, (size_t)length);
    if (wrote > 0)
        samples->is_torn = wrote < length && text[wrote - 1] != '\n';
    free(text);
}

void run_sample(struct run *run, uint64_t now_ns)
{
    struct samples *samples = run->samples;
    uint64_t passed;
    char *line;

    if (!samples || !run->zero_ns || now_ns <= run->zero_ns)
        return;
    for (size_t i = 0; i < run->playbook->loads.count; i++)
        if (run->loads[i].generator)
            take_records(samples, &samples->loads[i], run->loads[i].generator, run->zero_ns);
    passed = (now_ns - run->zero_ns) / LOAD_BIN_NS;
    if (passed <= samples->next_bin)
        return;
    take_counts(run, samples, now_ns);
    samples->again_from = MIN(samples->again_from, samples->next_bin);
    line = samples_line(run, samples, passed - 1, now_ns);
    if (line)
        write_line(samples, line);
    free(line);
    samples->next_bin = passed;
}
