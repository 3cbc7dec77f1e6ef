/* Side by side with other proxies: throughput, CPU, round trips, new connections, memory; and how exact this project's faults are.
 * tests/bench/README.md says how it is done and how to read it. time-limit: 1200
 *
 *   BENCH=bulk,copy,watched,pp,one,cps,idle,latency,rate,hold   which rows (all)
 *   WHO=direct,perturb,haproxy,...                              which contenders (all)
 *   ROUNDS=5  PHASE_MS=300  SEED=N (of the order within a round)  OTHER=DIR (another build of this project, compared as well)
 *   RT=1 (all contenders and the load in a real-time class: for a machine that does other work meanwhile) */
#include "tests/bench/peers/table.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { IDLE_CONNECTIONS = 9500, OPENERS = 32, BULK_CHECKED = 64 << 20, WORD_MAX = 16 };

struct setting {
    unsigned rounds, round;
    uint64_t seed, phase_ns;
    const char *words, *who; /* NULL for all */
    struct backend_counts *counts;
};

typedef void measure_one(const struct setting *setting, enum contender_id who, enum row row);

static uint64_t number_of(const char *name, uint64_t otherwise, uint64_t most)
{
    const char *text = getenv(name);
    char *end;
    uint64_t value = text && *text ? strtoull(text, &end, 10) : otherwise;

    if ((text && *text && *end) || !value || value > most)
        fail("%s is a number from 1 to %llu", name, (unsigned long long)most);
    return value;
}

/* Is the word in the list? Everything is in an empty one. */
static bool is_listed(const char *list, const char *word)
{
    size_t size = strlen(word);

    for (const char *at = list; at && *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == size && !strncmp(at, word, size))
            return true;
    return !list || !*list;
}

static struct target target_of(const struct setting *setting, enum contender_id who)
{
    return (struct target){
        .port = contenders[who].port,
        .group = &contenders[who].group,
        .counts = setting->counts,
        .warm_ns = setting->phase_ns / 3,
        .phase_ns = setting->phase_ns,
    };
}

/* ---- one phase -------------------------------------------------------------------------------------------------------- */

static void put_spread(enum row row, enum contender_id who, const struct spread *spread)
{
    table_put(row, who, METRIC_P50, spread_quantile(spread, 0.5) / 1e3);
    table_put(row, who, METRIC_P99, spread_quantile(spread, 0.99) / 1e3);
    table_put(row, who, METRIC_P999, spread_quantile(spread, 0.999) / 1e3);
}

static void measure_bulk(const struct setting *setting, enum contender_id who, enum row row)
{
    struct target target = target_of(setting, who);
    struct outcome outcome;

    load_bulk(&target, row == ROW_BULK8 || row == ROW_BULK8Z ? 8 : 1, row == ROW_BULK1 || row == ROW_BULK8, &outcome);
    table_put(row, who, METRIC_PER_S, outcome.per_s / 1e6);
    if (who != DIRECT)
        table_put(row, who, METRIC_CPU, outcome.cpu_each_s * 1e9);
}

static void measure_watched(const struct setting *setting, enum contender_id who, enum row row)
{
    if (who != HAPROXY_128K)
        toxic_add(who, "latency", "{\"latency\":0}");
    measure_bulk(setting, who, row);
    if (who != HAPROXY_128K)
        toxic_remove_all(who);
}

static void put_rates(enum row row, enum contender_id who, const struct outcome *outcome)
{
    table_put(row, who, METRIC_PER_S, outcome->per_s);
    if (who != DIRECT)
        table_put(row, who, METRIC_CPU, outcome->cpu_each_s * 1e6);
    put_spread(row, who, &outcome->spread);
}

static void measure_exchanges(const struct setting *setting, enum contender_id who, enum row row)
{
    struct target target = target_of(setting, who);
    static struct outcome outcome;

    load_exchanges(&target, row == ROW_PP512 || row == ROW_PP512_ONE ? 512 : 64, &outcome);
    put_rates(row, who, &outcome);
}

static void measure_openers(const struct setting *setting, enum contender_id who, enum row row)
{
    struct target target = target_of(setting, who);
    static struct outcome outcome;

    load_openers(&target, OPENERS, &outcome);
    put_rates(row, who, &outcome);
}

static void measure_idle(const struct setting *setting, enum contender_id who, enum row row)
{
    struct target target = target_of(setting, who);

    table_put(row, who, METRIC_BYTES, load_idle(&target, IDLE_CONNECTIONS));
}

/* Without the fault, then with it: what it adds to each quantile, and what the proxy itself says. */
static void measure_latency(const struct setting *setting, enum contender_id who, enum row row)
{
    unsigned connections = row == ROW_LATE_1 ? 1 : 200, per_s = row == ROW_LATE_1 ? 1000 : 10000;
    enum row end = row == ROW_LATE_1 ? ROW_END_1 : ROW_END_200;
    static const enum metric metrics[] = { METRIC_P50, METRIC_P99, METRIC_P999 };
    static const double shares[] = { 0.5, 0.99, 0.999 };
    static struct outcome without, with;
    static struct spread inside;
    struct target target = target_of(setting, who);

    target.phase_ns *= 3;
    memset(&inside, 0, sizeof(inside));
    load_paced(&target, connections, per_s, &without);
    toxic_add(who, "latency", "{\"latency\":10}");
    stats_add_lateness(who, &inside, true);
    load_paced(&target, connections, per_s, &with);
    stats_add_lateness(who, &inside, false);
    toxic_remove_all(who);
    put_spread(row, who, &inside);
    for (size_t i = 0; i < ARRAY_SIZE(shares); i++)
        table_put(end, who, metrics[i], (spread_quantile(&with.spread, shares[i]) - spread_quantile(&without.spread, shares[i]) - 1e7) / 1e3);
}

static void lift(void *context)
{
    toxic_remove_all(*(enum contender_id *)context);
}

static void measure_rate(const struct setting *setting, enum contender_id who, enum row row)
{
    bool fast = row == ROW_RATE_100M_1 || row == ROW_RATE_100M_4;
    struct target target = target_of(setting, who);
    static struct outcome outcome;

    target.warm_ns = 300 * NS_PER_MS;
    target.phase_ns = NS_PER_S;
    toxic_add(who, "bandwidth", fast ? "{\"rate\":100000}" : "{\"rate\":1000}");
    load_windows(&target, row == ROW_RATE_1M_1 || row == ROW_RATE_100M_1 ? 1 : 4, fast ? 1e8 : 1e6, lift, &who, &outcome);
    table_put(row, who, METRIC_ERROR, fabs(outcome.mean_share - 1) * 100);
    table_put(row, who, METRIC_WINDOW, spread_quantile(&outcome.spread, 0.99) / 1000);
}

static void measure_hold(const struct setting *setting, enum contender_id who, enum row row)
{
    double told = stats_number(who, "hold_full");
    struct target target = target_of(setting, who);
    static struct outcome outcome;

    toxic_add(who, "latency", "{\"latency\":50}");
    load_bulk(&target, 1, false, &outcome);
    table_put(row, who, METRIC_PER_S, outcome.per_s / 1e6);
    table_put(row, who, METRIC_BYTES, stats_number(who, "held_bytes_peak"));
    table_put(row, who, METRIC_COUNT, stats_number(who, "hold_full") - told);
    toxic_remove_all(who);
}

/* ---- rounds ----------------------------------------------------------------------------------------------------------- */

struct part {
    const char *word;
    enum row rows[4];
    unsigned row_count;
    bool once; /* memory does not scatter */
    uint32_t who; /* bits of contenders */
    measure_one *measure;
};

enum {
    EVERYBODY = (1 << CONTENDERS) - 1 - (1 << PERTURB_PRECISE),
    OURS = 1 << PERTURB | 1 << PERTURB_OTHER,
    PROXIES = EVERYBODY - (1 << DIRECT) - (1 << HAPROXY_128K) - (1 << HAPROXY_SPLICE) - (1 << NGINX_128K) - (1 << SOCAT),
};

static const struct part parts[] = {
    { "bulk", { ROW_BULK1Z, ROW_BULK8Z }, 2, false, EVERYBODY, measure_bulk },
    { "copy", { ROW_BULK1, ROW_BULK8 }, 2, false, EVERYBODY, measure_bulk },
    { "watched", { ROW_WATCHED }, 1, false, OURS | 1 << HAPROXY_128K, measure_watched },
    { "pp", { ROW_PP64, ROW_PP512 }, 2, false, EVERYBODY, measure_exchanges },
    { "one", { ROW_PP64_ONE, ROW_PP512_ONE }, 2, false, EVERYBODY, measure_exchanges },
    { "cps", { ROW_CPS32 }, 1, false, EVERYBODY, measure_openers },
    { "idle", { ROW_IDLE }, 1, true, PROXIES, measure_idle },
    { "latency", { ROW_LATE_1, ROW_LATE_200 }, 2, false, OURS | 1 << PERTURB_PRECISE, measure_latency },
    { "hold", { ROW_HOLD }, 1, true, OURS, measure_hold },
    { "rate", { ROW_RATE_1M_1, ROW_RATE_1M_4, ROW_RATE_100M_1, ROW_RATE_100M_4 }, 4, false, OURS, measure_rate },
};

/* The contenders in another order each round and row: a draw decides (Fisher and Yates). */
static void shuffle(const struct setting *setting, enum row row, enum contender_id *order)
{
    for (unsigned i = 0; i < CONTENDERS; i++)
        order[i] = (enum contender_id)i;
    for (unsigned i = CONTENDERS - 1; i > 0; i--) {
        unsigned other = (unsigned)(rng_draw(setting->seed, row, setting->round, i) % (i + 1));
        enum contender_id kept = order[i];

        order[i] = order[other];
        order[other] = kept;
    }
}

static void run_part(struct setting *setting, const struct part *part)
{
    enum contender_id order[CONTENDERS];
    unsigned rounds = part->once ? 1 : setting->rounds;

    for (setting->round = 0; setting->round < rounds; setting->round++)
        for (unsigned r = 0; r < part->row_count; r++) {
            shuffle(setting, part->rows[r], order);
            for (unsigned i = 0; i < CONTENDERS; i++)
                if (contenders[order[i]].present && part->who >> order[i] & 1 && is_listed(setting->who, contenders[order[i]].name))
                    part->measure(setting, order[i], part->rows[r]);
        }
}

/* Every byte of a stream through each contender, before anything is timed. */
static void check_bytes(const struct setting *setting)
{
    for (unsigned i = 0; i < CONTENDERS; i++) {
        struct target target = target_of(setting, (enum contender_id)i);

        for (int copied = 0; copied < 2 && contenders[i].present; copied++)
            load_checked(&target, copied, BULK_CHECKED);
    }
}

static void run_parts(struct setting *setting)
{
    if (is_listed(setting->words, "bulk") || is_listed(setting->words, "copy"))
        check_bytes(setting);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        bool one = !strcmp(parts[i].word, "one");

        if (!is_listed(setting->words, parts[i].word))
            continue;
        if (one)
            contenders_move(CORE_LOAD);
        run_part(setting, &parts[i]);
        if (one)
            contenders_move(CORE_PROXY);
    }
}

static void print_head(const struct setting *setting)
{
    double load = 0;

    (void)getloadavg(&load, 1);
    printf("rounds %u, phases of %llu ms, seed %llu; load of the machine before: %.1f\n", setting->rounds,
           (unsigned long long)(setting->phase_ns / NS_PER_MS), (unsigned long long)setting->seed, load);
    for (unsigned i = 0; i < CONTENDERS; i++)
        if (!contenders[i].present && i != PERTURB_OTHER)
            printf("%s is not on this machine: skipped (tests/support/deps --bench)\n", contenders[i].name);
}

static char directory[] = "/var/tmp/perturb-bench-XXXXXX";
static pid_t own_pid;

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

/* Also when something fails; not in children. */
static void clear_away(void)
{
    if (getpid() != own_pid)
        return;
    contenders_stop();
    (void)nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const char *build = getenv("BUILD");
    uint64_t begun_ns = clock_now_ns();
    struct setting setting = {
        .rounds = (unsigned)number_of("ROUNDS", 5, ROUNDS_MAX),
        .phase_ns = number_of("PHASE_MS", 300, 60000) * NS_PER_MS,
        .seed = number_of("SEED", clock_wall_ns() % 1000000 + 1, UINT64_MAX),
        .words = getenv("BENCH"),
        .who = getenv("WHO"),
    };
    pid_t backend;

    world_enter();
    prctl(PR_SET_TIMERSLACK, 1);
    world_go_first(getenv("RT") && *getenv("RT"));
    world_run_on(CORE_LOAD);
    setting.counts = backend_start(&backend);
    if (!mkdtemp(directory))
        fail("no directory for configurations");
    own_pid = getpid();
    atexit(clear_away);
    contenders_start(directory, build ? build : "build", getenv("OTHER"));
    print_head(&setting);
    run_parts(&setting);
    contenders_stop();
    kill(backend, SIGKILL);
    table_print_rows();
    printf("\n");
    table_print_goals();
    printf("took %.0f s\n", (double)(clock_now_ns() - begun_ns) / 1e9);
    return 0;
}
