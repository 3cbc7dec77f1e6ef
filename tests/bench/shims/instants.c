/* How soon a fault acts after it is armed and stops after it is disarmed, and how late a delay of 1 ms ends: under both backends. */
#include "tests/bench/shims/board.h"
#include "tests/bench/shims/contender.h"
#include "tests/bench/shims/loops.h"
#include "tests/bench/shims/sections.h"

#include <sys/mman.h>

static struct loop_shared *shared;
static int memory;

static struct series arm_us[WHO_COUNT], disarm_us[WHO_COUNT], late_us[WHO_COUNT];

static void await_turn(uint64_t turn)
{
    uint64_t end_ns = clock_now_ns() + (uint64_t)deadline_ms() * NS_PER_MS;

    while (__atomic_load_n(&shared->turn, __ATOMIC_ACQUIRE) != turn) {
        assert_true(clock_now_ns() < end_ns);
        sched_yield();
    }
}

static void take_instants(struct bench *bench, enum who who)
{
    struct started started;
    uint64_t begin_ns;

    shared->turn = 0;
    started = contender_start(bench, who, "instants", memory);
    await_turn(1);
    for (uint64_t i = 0; i < INSTANTS; i++) {
        begin_ns = clock_now_ns();
        bench_arm(bench, 1, "fail@write:EIO,fd=9");
        await_turn(2 * i + 2);
        series_add(&arm_us[who], (double)(shared->at_ns - begin_ns) / 1e3);
        (void)page_release(bench->page);
        await_turn(2 * i + 3);
    }
    assert_int_equal(contender_end(&started), 0);
}

static void take_wakes(struct bench *bench, enum who who)
{
    struct started started = { .pid = 0 };
    uint64_t begin_ns;

    for (int i = 0; i < INSTANTS; i++) {
        bench_arm(bench, 1, "latency@write:10m,fd=9");
        __atomic_store_n(&shared->turn, 2, __ATOMIC_RELEASE); /* even: it goes on to its next write */
        if (!i)
            started = contender_start(bench, who, "wakes", memory);
        bench_await_in_flight(bench, 1);
        begin_ns = clock_now_ns();
        (void)page_release(bench->page);
        await_turn(3);
        series_add(&disarm_us[who], (double)(shared->at_ns - begin_ns) / 1e3);
    }
    __atomic_store_n(&shared->turn, 4, __ATOMIC_RELEASE);
    assert_int_equal(contender_end(&started), 0);
}

static void take_delays(struct bench *bench, enum who who)
{
    struct started started;

    bench_arm(bench, 1, "latency@write:1ms,fd=9");
    started = contender_start(bench, who, "delays", memory);
    assert_int_equal(contender_end(&started), 0);
    (void)page_release(bench->page);
    for (size_t i = 0; i < DELAYS; i++)
        series_add(&late_us[who], shared->late_us[i]);
}

static void tell(const char *figure, const struct series *series, double share, double goal_us, const char *goal)
{
    char reached[128];
    double us = series_quantile(series, share);

    snprintf(reached, sizeof(reached), "%.1f us (p50 %.1f, p90 %.1f)", us, series_median(series), series_quantile(series, 0.9));
    board_add(figure, goal, reached, us <= goal_us ? MET_YES : MET_NO, "");
}

void measure_instants(struct bench *bench, const struct setting *setting)
{
    static const enum who both[] = { SHIM, SUPERVISED };

    memory = memfd_create("bench", 0);
    if (memory < 0 || ftruncate(memory, sizeof(*shared)) < 0)
        return;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (shared == MAP_FAILED)
        return;
    for (unsigned round = 0; round < setting->rounds; round++)
        for (size_t i = 0; i < 2; i++) {
            take_instants(bench, both[(i + round) % 2]);
            take_wakes(bench, both[(i + round) % 2]);
            take_delays(bench, both[(i + round) % 2]);
        }
    tell("arm to first effect, shim", &arm_us[SHIM], 0.99, 1000, "< 1 ms");
    tell("arm to first effect, supervisor", &arm_us[SUPERVISED], 0.99, 1000, "< 1 ms");
    tell("disarm inside a delay of 10 min to its end, shim", &disarm_us[SHIM], 0.99, 1000, "< 1 ms");
    tell("disarm inside a delay of 10 min to its end, supervisor", &disarm_us[SUPERVISED], 0.99, 1000, "< 1 ms");
    tell("a delay of 1 ms ends late by, p99, shim", &late_us[SHIM], 0.99, 100, "<= 100 us");
    tell("a delay of 1 ms ends late by, p99, supervisor", &late_us[SUPERVISED], 0.99, 100, "<= 100 us");
    munmap(shared, sizeof(*shared));
    close(memory);
}
