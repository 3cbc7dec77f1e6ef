/* The figures that are made of loops. In each round every side of every figure runs once, in an order that the seed gives. */
#include "tests/bench/shims/board.h"
#include "tests/bench/shims/contender.h"
#include "tests/bench/shims/loops.h"
#include "tests/bench/shims/sections.h"

#include "scenarios/base/rng.h"
#include "tests/component/shim_cost.h"

enum { SIDES_MAX = 5 };

/* `who` less `base` (NOBODY: by itself), under the armed rule if there is one; beside it the peers, less the same base. */
static const struct figure {
    const char *group, *name, *loop, *armed;
    enum who who, base;
    double goal_ns; /* 0: none */
    enum who peers[3];
} figures[] = {
    { "idle", "idle malloc+free, over bare", "pair", NULL, SHIM, BARE, 0.6, { HOP, FIU } },
    { "idle", "the same, two threads at once, over bare", "pair2", NULL, SHIM, BARE, 0.6, { HOP, FIU } },
    { "idle", "idle mutex lock+unlock, over bare", "lock", NULL, SHIM, BARE, 0.5, { FIU } },
    { "idle", "idle read, over bare", "read", NULL, SHIM, BARE, 1, { FIU } },
    { "idle", "idle clock_gettime, over bare", "clock", NULL, SHIM, BARE, 1, { FIU, FAKETIME } },
    { "armed", "armed, no match by size: malloc+free, over bare", "pair", "alloc_fail:size>=1MiB", SHIM, BARE, 15, { FIU } },
    { "armed", "armed, no match by size: read, over bare", "read", "fail@read:EIO,size>=1MiB", SHIM, BARE, 15, { FIU } },
    { "armed", "armed, no match by fd: read, over bare", "read", "fail@read:EIO,fd=77", SHIM, BARE, 15, { FIU } },
    { "armed", "armed, no match by caller: malloc+free, over bare", "pair", "alloc_fail:caller=libnowhere.so", SHIM, BARE, 15, { NOBODY } },
    { "armed", "the same, by a name that begins like the caller's", "pair", "alloc_fail:caller=bench_shelf", SHIM, BARE, 0, { NOBODY } },
    { "armed", "armed, no match by path: open, over bare", "open", "fail@open:EIO,path=/somewhere/else/*", SHIM, BARE, 15, { FIU } },
    { "armed", "armed, no match by peer: connect, over bare", "connect", "fail@connect:ECONNREFUSED,peer=10.0.0.0/8", SHIM, BARE, 15, { NOBODY } },
    { "armed", "armed, no match by peer: send (asks the kernel), over bare", "send", "fail@send:EPIPE,peer=10.0.0.0/8", SHIM, BARE, 0, { NOBODY } },
    { "armed", "armed, no match by path: read (asks the kernel), over bare", "read", "fail@read:EIO,path=/somewhere/else/*", SHIM, BARE, 0, { NOBODY } },
    { "armed", "armed, matches and is let pass (first=10^9): read, over bare", "read", "fail@read:EIO,first=1000000000", SHIM, BARE, 0, { NOBODY } },
    { "supervised", "supervised write, nothing armed", "write", NULL, SUPERVISED, NOBODY, 2500, { FLOOR, STRACE_BPF, STRACE } },
    { "supervised", "supervised write, failed with an errno", "write", "fail@write:EIO,fd=9", SUPERVISED, NOBODY, 2500, { FLOOR } },
    { "supervised", "supervised write, no match by fd", "write", "fail@write:EIO,fd=77", SUPERVISED, NOBODY, 2500, { FLOOR } },
    { "supervised", "supervised write, matches and is let pass", "write", "fail@write:EIO,first=1000000000", SUPERVISED, NOBODY, 2500, { FLOOR } },
    { "supervised", "supervised write, no match by path", "write", "fail@write:EIO,path=/somewhere/else/*", SUPERVISED, NOBODY, 0, { FLOOR } },
    { "supervised", "another call under the supervisor, over bare", "other", NULL, SUPERVISED, BARE, 10, { FILTER, STRACE_BPF, STRACE } },
};

enum { FIGURES = sizeof(figures) / sizeof(figures[0]) };

static struct series samples[FIGURES][WHO_COUNT];

static size_t sides_of(const struct figure *figure, enum who sides[SIDES_MAX])
{
    size_t count = 0;

    sides[count++] = figure->who;
    if (figure->base)
        sides[count++] = figure->base;
    for (size_t i = 0; i < sizeof(figure->peers) / sizeof(figure->peers[0]); i++)
        if (figure->peers[i] && who_is_here(figure->peers[i]))
            sides[count++] = figure->peers[i];
    return count;
}

static void take(struct bench *bench, size_t index, enum who who)
{
    const struct figure *figure = &figures[index];
    bool is_ours = who == SHIM || who == SUPERVISED;
    double ns;

    if (figure->armed && is_ours)
        bench_arm(bench, 1, figure->armed);
    else if (is_ours)
        bench_arm(bench, 1, "fail@fsync:EIO"); /* idle: something is armed, elsewhere */
    ns = run_loop(bench, who, figure->loop);
    (void)page_release(bench->page);
    if (ns < 0)
        printf("  %s: %s under %s could not be run\n", figure->name, figure->loop, who_name(who));
    else
        series_add(&samples[index][who], ns);
}

/* The value of a side: less its base, round by round. */
static struct series value_of(size_t index, enum who who)
{
    enum who base = figures[index].base;

    return base ? series_less(&samples[index][who], &samples[index][base]) : samples[index][who];
}

static void tell(size_t index)
{
    const struct figure *figure = &figures[index];
    struct series ours = value_of(index, figure->who);
    double median_ns = series_median(&ours);
    char reached[128], beside[160] = "", goal[32] = "-";
    size_t length = 0;

    snprintf(reached, sizeof(reached), "%s [%s..%s]", nice_ns(median_ns), nice_ns(series_quantile(&ours, 0)), nice_ns(series_quantile(&ours, 1)));
    if (figure->goal_ns > 0)
        snprintf(goal, sizeof(goal), "<= %s", nice_ns(figure->goal_ns));
    if (figure->base)
        length += (size_t)snprintf(beside, sizeof(beside), "%s takes %s", who_name(figure->base), nice_ns(series_median(&samples[index][figure->base])));
    for (size_t i = 0; i < sizeof(figure->peers) / sizeof(figure->peers[0]) && length < sizeof(beside); i++) {
        enum who peer = figure->peers[i];
        struct series theirs = value_of(index, peer), ratio = series_over(&samples[index][figure->who], &samples[index][peer]);

        if (!peer || !samples[index][peer].count)
            continue;
        length += (size_t)snprintf(beside + length, sizeof(beside) - length, "%s%s %s%s", length ? "; " : "", who_name(peer), figure->base ? "+" : "",
                                   nice_ns(series_median(&theirs)));
        if (!figure->base && length < sizeof(beside))
            length += (size_t)snprintf(beside + length, sizeof(beside) - length, " (x%.2f)", series_median(&ratio));
    }
    board_add(figure->name, goal, reached, figure->goal_ns <= 0 ? MET_NONE : median_ns <= figure->goal_ns ? MET_YES : MET_NO, beside);
}

void measure_loops(struct bench *bench, const struct setting *setting)
{
    for (enum who who = BARE; who < WHO_COUNT; who++)
        if (!who_is_here(who))
            printf("  %s: not here (tests/support/deps --bench)\n", who_name(who));
    for (unsigned round = 0; round < setting->rounds; round++)
        for (size_t i = 0; i < FIGURES; i++) {
            enum who sides[SIDES_MAX];
            size_t count = is_wanted(setting, figures[i].group) ? sides_of(&figures[i], sides) : 0;
            uint64_t draw = rng_draw(setting->seed, i, round, 1);

            for (size_t k = count; k > 0; k--) { /* every order is as likely */
                size_t pick = (size_t)(draw % k);
                enum who who = sides[pick];

                draw /= k;
                sides[pick] = sides[k - 1];
                take(bench, i, who);
            }
        }
    for (size_t i = 0; i < FIGURES; i++)
        if (samples[i][figures[i].who].count)
            tell(i);
}

void measure_instructions(struct bench *bench)
{
    char hop_path[PATH_MAX + 64], reached[64], beside[128];
    double bare, hop, idle, fiu = 0;

    if (access(valgrind_path, X_OK) < 0) {
        printf("  instructions: no %s\n", valgrind_path);
        return;
    }
    snprintf(hop_path, sizeof(hop_path), "%s/tests/libpassthrough.so", bench->build);
    bare = cost_per_pair(bench, "", "");
    hop = cost_per_pair(bench, hop_path, "");
    bench_arm(bench, 1, "fail@fsync:EIO");
    idle = cost_per_pair(bench, bench->library, page_path(bench->page));
    (void)page_release(bench->page);
    if (who_is_here(FIU))
        fiu = cost_per_pair(bench, "/usr/lib/fiu/fiu_run_preload.so /usr/lib/fiu/fiu_posix_preload.so", "");
    snprintf(reached, sizeof(reached), "%+.1f (%.1f in all)", idle - hop, idle);
    snprintf(beside, sizeof(beside), "bare %.1f; plain hop %.1f; libfiu %.1f", bare, hop, fiu);
    board_add("idle malloc+free, instructions over a plain hop", "<= 6", reached, idle - hop <= 6 ? MET_YES : MET_NO, beside);
}
