/* The instant of injection, as the run reports it, lies within 1 ms of the victim's own timestamp of the first effect. One run of
 * five faults; the victims tell theirs in logs of their own, on CLOCK_MONOTONIC:
 *   blackhole, latency on the wire   the send instant of the first PING that was not answered in time (sample-reconnector)
 *   latency, fail in a call          read just before the first call that was slow, or failed
 *   pause                            the last reading before the gap, of a program that reads the clock every 100 us */
#include "scenarios/base/clock.h"
#include "tests/support/kill_ordeal.h"
#include "tests/support/watched_run.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_MS_MAX = 60000 };

#define AGREES_NS (1 * NS_PER_MS)

struct place {
    struct watched_run run;
    uint64_t zero_ns;
    cJSON *result;
};

/* What the run says of one fault; 0 when it never acted. */
static uint64_t run_says(const struct place *place, const char *fault, const char *instant)
{
    char path[64];

    for (int i = 0; i < 16; i++) {
        snprintf(path, sizeof(path), "faults/%d/name", i);
        if (strcmp(watched_text(place->result, path), fault) != 0)
            continue;
        snprintf(path, sizeof(path), "faults/%d/%s", i, instant);
        return isnan(watched_number(place->result, path)) ? 0 : place->zero_ns + (uint64_t)(watched_number(place->result, path) * 1e9);
    }
    return 0;
}

static char *log_of(const struct place *place, const char *name)
{
    char path[WATCHED_PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", place->run.base, name);
    return watched_read(path);
}

/* The first loss after `from_ns`: when its PING was sent. */
static uint64_t wire_felt(const struct place *place, uint64_t from_ns)
{
    char *text = log_of(place, "wire.jsonl"), *at, *rest = NULL;
    uint64_t felt_ns = 0;

    for (at = strtok_r(text, "\n", &rest); at && !felt_ns; at = strtok_r(NULL, "\n", &rest)) {
        cJSON *line = cJSON_Parse(at);

        if (!strcmp(watched_text(line, "event"), "lost") && strtoull(watched_text(line, "ns"), NULL, 10) >= from_ns)
            felt_ns = strtoull(watched_text(line, "sent_ns"), NULL, 10);
        cJSON_Delete(line);
    }
    free(text);
    return felt_ns;
}

/* The first call that failed (or, without `fails`, was slow by the fault's 50 ms) after `from_ns`. */
static uint64_t call_felt(const struct place *place, bool fails, uint64_t from_ns)
{
    char *text = log_of(place, "calls"), *at, *rest = NULL;
    uint64_t felt_ns = 0;

    for (at = strtok_r(text, "\n", &rest); at && !felt_ns; at = strtok_r(NULL, "\n", &rest)) {
        unsigned long long begin_ns, end_ns;
        int error;

        if (sscanf(at, "call %llu %llu %d", &begin_ns, &end_ns, &error) == 3 && begin_ns >= from_ns &&
            (fails ? error != 0 : !error && end_ns - begin_ns >= 50 * NS_PER_MS))
            felt_ns = begin_ns;
    }
    free(text);
    return felt_ns;
}

/* The last reading before the longest gap. */
static uint64_t pause_felt(const struct place *place, uint64_t *ret_length_ns)
{
    char *text = log_of(place, "ticks"), *at, *rest = NULL;
    uint64_t felt_ns = 0, longest_ns = 0;

    for (at = strtok_r(text, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest)) {
        unsigned long long before_ns, after_ns;

        if (sscanf(at, "gap %llu %llu", &before_ns, &after_ns) == 2 && after_ns - before_ns > longest_ns) {
            longest_ns = after_ns - before_ns;
            felt_ns = before_ns;
        }
    }
    free(text);
    *ret_length_ns = longest_ns;
    return felt_ns;
}

static bool agree(unsigned number, const char *what, uint64_t said_ns, uint64_t felt_ns)
{
    double apart_ms = (double)((int64_t)said_ns - (int64_t)felt_ns) / 1e6;
    bool good = said_ns && felt_ns && fabs(apart_ms) * 1e6 < AGREES_NS;

    printf("%sok %u - %s: the run and the victim agree within 1 ms\n", good ? "" : "not ", number, what);
    if (said_ns && felt_ns)
        printf("# %s: injected %+.3f ms from the victim's own instant\n", what, apart_ms);
    else
        printf("# %s: the run says %s, the victim %s\n", what, said_ns ? "when" : "never", felt_ns ? "when" : "never");
    return good;
}

static bool judge(const struct place *place)
{
    uint64_t gap_ns = 0, slow_ns = run_says(place, "slow-wire", "armed_s");
    bool good = true;

    printf("1..5\n");
    good &= agree(1, "blackhole on the wire", run_says(place, "hole", "injected_s"), wire_felt(place, run_says(place, "hole", "armed_s")));
    good &= agree(2, "latency on the wire", run_says(place, "slow-wire", "injected_s"), wire_felt(place, slow_ns));
    good &= agree(3, "latency in a call", run_says(place, "slow-call", "injected_s"),
                  call_felt(place, false, run_says(place, "slow-call", "requested_s")));
    good &= agree(4, "failure of a call", run_says(place, "failing-call", "injected_s"),
                  call_felt(place, true, run_says(place, "failing-call", "requested_s")));
    good &= agree(5, "pause of a process", run_says(place, "pause", "injected_s"), pause_felt(place, &gap_ns));
    printf("# the pause of 500 ms was a gap of %.1f ms\n", (double)gap_ns / 1e6);
    return good;
}

int main(void)
{
    char where[WATCHED_PATH_MAX + 8];
    const char *more[] = { "--var", where, NULL };
    struct place place;
    bool good;
    int status;

    if (watched_make(&place.run, "instants") < 0)
        return 1;
    snprintf(where, sizeof(where), "place=%s", place.run.base);
    watched_start_run(&place.run, "tests/e2e/playbooks/instants.yaml", ordeal_seed(), more);
    status = watched_wait(place.run.pid, watched_scale(RUN_MS_MAX));
    if (status < 0)
        kill(place.run.pid, SIGKILL);
    place.result = watched_result(&place.run);
    place.zero_ns = strtoull(watched_text(place.result, "run/zero_ns"), NULL, 10);
    good = judge(&place);
    cJSON_Delete(place.result);
    if (good)
        watched_remove(&place.run);
    else
        printf("# status %d; kept: %s\n", status, place.run.base);
    return !good;
}
