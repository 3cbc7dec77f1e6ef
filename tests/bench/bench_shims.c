/* What the in-process backends cost, beside bare runs and peers: one interleaved run, medians, a table at the end.
 * tests/bench/README.md says how it is done and how to read it. time-limit: 1200
 *
 *   BENCH=idle,armed,supervised,instants,starts,programs   which rows (all)
 *   ROUNDS=7   SEED=N (of the order within a round)
 *   RT=1 (bench and contenders in a real-time class: for a machine that does other work meanwhile) */
#include "tests/bench/shims/board.h"
#include "tests/bench/shims/loops.h"
#include "tests/bench/shims/sections.h"

#include <sys/utsname.h>

bool is_wanted(const struct setting *setting, const char *group)
{
    const char *place = setting->words;
    size_t length = strlen(group);

    if (!place || !*place)
        return true;
    for (; place; place = strchr(place, ',') ? strchr(place, ',') + 1 : NULL)
        if (!strncmp(place, group, length) && (!place[length] || place[length] == ','))
            return true;
    return false;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t value = text ? strtoull(text, NULL, 10) : 0;

    return value ? value : otherwise;
}

static void tell_machine(const struct setting *setting, const char *when)
{
    double load[3] = { 0, 0, 0 };
    struct utsname name;

    uname(&name);
    (void)getloadavg(load, 3);
    printf("%s: %s, %ld cores, load average %.2f %.2f %.2f, %u rounds, SEED=%llu%s\n", when, name.release, sysconf(_SC_NPROCESSORS_ONLN),
           load[0], load[1], load[2], setting->rounds, (unsigned long long)setting->seed, sched_getscheduler(0) == SCHED_RR ? ", real-time class" : "");
}

int main(int argc, char **argv)
{
    struct setting setting = { (unsigned)number_of("ROUNDS", 7), number_of("SEED", clock_now_ns() % 1000000 + 1), getenv("BENCH") };
    void *state;

    if (argc > 2 && !strcmp(argv[1], "loop"))
        return loop_main(argv[2]);
    if (getenv("RT") && sched_setscheduler(0, SCHED_RR, &(struct sched_param){ .sched_priority = 1 }) < 0)
        perror("RT");
    (void)bench_begin(&state);
    tell_machine(&setting, "before");
    if (is_wanted(&setting, "idle"))
        measure_instructions(state);
    measure_loops(state, &setting);
    if (is_wanted(&setting, "instants"))
        measure_instants(state, &setting);
    if (is_wanted(&setting, "starts"))
        measure_starts(state, &setting);
    if (is_wanted(&setting, "programs"))
        measure_programs(state, &setting);
    board_print();
    tell_machine(&setting, "after");
    fflush(stdout);
    (void)bench_end(&state);
    return 0;
}
