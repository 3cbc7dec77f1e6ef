/* What each stream fault rules, on virtual time, without a socket: a script of occasions and the rulings expected, in words. */
#include "injector/stream.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/vocab/plan.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Occasions, ';' between them, times in ns:
 *   open TIME | armed TIME | bytes OFFSET SIZE TIME | eof OFFSET TIME | timer TIME | end TIME
 * Rulings of each, ';' between them; within one, ',' between them:  pass SIZE | hold SIZE AT | split SIZE AT | discard SIZE |
 * replace SIZE | stall | fin | rst | end | timer AT | "-" for none. `params` are the fault's slots from 1 on. `direction` as in enum direction. */
struct fault_case {
    const char *fault;
    int64_t params[12];
    uint32_t direction;
    const char *script;
    const char *rulings;
};

static const struct fault_case cases[] = {
    /* latency, jitter, distribution */
    { "latency", { 100 }, DIRECTION_TO_CLIENT, "bytes 0 5000 7; eof 5000 9", "hold 5000 107; hold 0 109" },
    { "latency", { 0 }, DIRECTION_TO_CLIENT, "bytes 0 5 7", "hold 5 7" },
    /* ... correlation, wave, amplitude, period: saw from -100 to 100 in 1000 ns; square */
    { "latency", { 100, 0, 0, 0, 4, 100, 1000 }, DIRECTION_TO_CLIENT, "bytes 0 5 0; bytes 5 5 500; bytes 10 5 750; eof 15 999",
      "hold 5 100; hold 5 600; hold 5 900; hold 0 1198" },
    { "latency", { 100, 0, 0, 0, 2, 200, 1000 }, DIRECTION_TO_CLIENT, "bytes 0 5 10; bytes 5 5 510; bytes 10 5 1010",
      "hold 5 310; hold 5 510; hold 5 1310" },
    { "latency", { 100, 0, 0, 0, 3, 100, 1000 }, DIRECTION_TO_CLIENT, "bytes 0 5 250; bytes 5 5 500; bytes 10 5 750",
      "hold 5 450; hold 5 600; hold 5 750" },
    { "latency", { 100, 0, 0, 0, 1, 100, 1000 }, DIRECTION_TO_CLIENT, "bytes 0 5 250; bytes 5 5 750", "hold 5 450; hold 5 750" },
    /* rate, burst: 1 MB/s is 1000 ns a byte; pieces of 1000 bytes */
    { "bandwidth", { 1000000, 1 }, DIRECTION_TO_CLIENT, "bytes 0 2500 0; bytes 2500 1 10000000",
      "hold 1000 999000,hold 1000 1999000,hold 500 2499000; pass 1" },
    { "bandwidth", { 1000000, 2000 }, DIRECTION_TO_CLIENT, "bytes 0 2500 0", "pass 1000,pass 1000,hold 500 500000" },
    { "bandwidth", { 1000000, 0 }, DIRECTION_TO_CLIENT, "bytes 0 10001 0",
      "pass 1000,pass 1000,pass 1000,pass 1000,pass 1000,pass 1000,pass 1000,pass 1000,pass 1000,pass 1000,hold 1 1000" },
    { "bandwidth", { 1000000, 1, 1 }, DIRECTION_TO_CLIENT, "bytes 0 2500 0; bytes 2500 1 10000000",
      "hold 1000 999000,hold 1000 1999000,hold 500 2499000; pass 1" },
    { "bandwidth", { 3, 1 }, DIRECTION_TO_CLIENT, "bytes 0 3 0; bytes 3 1 0",
      "pass 1,hold 1 333333333,hold 1 666666667; hold 1 1000000000" },
    /* size, variation, delay */
    { "slicer", { 10, 0, 0 }, DIRECTION_TO_CLIENT, "bytes 0 25 5; bytes 25 4 6; bytes 29 2 7",
      "split 10 5,split 10 5,pass 5; pass 4; split 1 7,pass 1" },
    { "slicer", { 10, 0, 100 }, DIRECTION_TO_CLIENT, "bytes 0 25 5; bytes 25 10 150; bytes 35 1 900",
      "split 10 5,split 10 105,hold 5 205; split 5 205,hold 5 305; pass 1" },
    { "slicer", { 10, 0, 0 }, DIRECTION_TO_CLIENT, "bytes 7 10 5", "split 10 5" },
    /* bytes, close */
    { "limit_data", { 10, 0 }, DIRECTION_TO_CLIENT, "bytes 0 4 0; bytes 4 4 0; bytes 8 4 0", "pass 4; pass 4; pass 2,fin" },
    { "limit_data", { 10, 1 }, DIRECTION_TO_CLIENT, "bytes 0 10 0", "pass 10,rst" },
    { "limit_data", { 0, 0 }, DIRECTION_TO_CLIENT, "bytes 0 1 0", "fin" },
    { "limit_data", { 10, 0 }, DIRECTION_TO_CLIENT, "armed 0; bytes 500 1 0", "-; fin" },
    { "limit_data", { 10, 0, 1 }, DIRECTION_TO_CLIENT, "armed 0; bytes 500 4 0; bytes 504 9 0", "-; pass 4; pass 6,fin" },
    /* after, close */
    { "limit_time", { 100, 0 }, DIRECTION_TO_CLIENT, "open 5; bytes 0 4 50; eof 4 60; timer 105", "timer 105; -; -; fin" },
    { "limit_time", { 100, 1 }, DIRECTION_TO_CLIENT, "armed 5; timer 105", "timer 105; rst" },
    { "limit_time", { 0, 0 }, DIRECTION_TO_CLIENT, "armed 5", "fin" },
    /* delay, hold */
    { "slow_open", { 100, 0 }, DIRECTION_TO_UPSTREAM, "open 5; bytes 0 4 6", "hold 0 105; -" },
    { "slow_open", { 100, 0 }, DIRECTION_TO_CLIENT, "open 5", "-" },
    { "slow_open", { 100, 0 }, DIRECTION_TO_UPSTREAM, "armed 5", "-" },
    { "slow_open", { 100, 1 }, DIRECTION_TO_CLIENT, "open 5; bytes 0 4 50; bytes 4 4 60", "-; hold 4 150; hold 4 150" },
    { "slow_open", { 100, 1 }, DIRECTION_TO_CLIENT, "armed 5; bytes 0 4 50", "-; -" },
    { "slow_close", { 100 }, DIRECTION_TO_CLIENT, "open 0; bytes 0 4 5; eof 4 7", "-; -; hold 0 107" },
    { "half_close", { 0 }, DIRECTION_TO_CLIENT, "armed 5", "end" },
    { "half_close", { 100 }, DIRECTION_TO_CLIENT, "open 5; bytes 0 4 5; timer 105", "timer 105; -; end" },
    { "corrupt", { 0 }, DIRECTION_TO_CLIENT, "bytes 0 4096 5", "pass 4096" },
    { "corrupt", { PPM }, DIRECTION_TO_CLIENT, "bytes 0 1024 5", "pass 537,replace 1,pass 486" },
    /* after */
    { "timeout", { 100 }, DIRECTION_TO_CLIENT, "open 0; bytes 0 4 50; bytes 4 4 60; eof 8 70; timer 150; end 160",
      "timer 100; timer 150,discard 4; discard 4; discard 0; fin; fin" },
    { "timeout", { 0 }, DIRECTION_TO_CLIENT, "open 0; bytes 0 4 50; end 60", "-; discard 4; fin" },
    { "timeout", { 0 }, DIRECTION_TO_CLIENT, "open 0; end 60", "-; -" },
    { "timeout", { 100, 1 }, DIRECTION_TO_CLIENT, "open 0; bytes 0 4 50; bytes 4 4 60; eof 8 70",
      "timer 100; timer 150,discard 4; timer 160,discard 4; timer 170,discard 0" },
    { "timeout", { 100 }, DIRECTION_TO_CLIENT, "armed 5; timer 105", "timer 105; fin" },
    { "blackhole", { 0 }, DIRECTION_TO_UPSTREAM, "open 0; bytes 0 4 0; eof 4 0; end 9", "stall; stall; stall; -" },
    { "blackhole", { 0 }, DIRECTION_TO_CLIENT, "open 0; bytes 0 4 0", "-; stall" },
    { "blackhole", { 0 }, DIRECTION_TO_UPSTREAM, "armed 0", "-" },
    { "reset_peer", { 0 }, DIRECTION_TO_CLIENT, "open 3", "rst" },
    { "reset_peer", { 0 }, DIRECTION_TO_CLIENT, "armed 3", "rst" },
    { "reset_peer", { 70 }, DIRECTION_TO_CLIENT, "armed 3; bytes 0 4 5; timer 73", "timer 73; -; rst" },
    { "reset_peer", { 0, 1 }, DIRECTION_TO_CLIENT, "open 3; bytes 0 4 5", "-; rst" },
    { "reset_peer", { 0, 1 }, DIRECTION_TO_CLIENT, "open 3; eof 0 5", "-; rst" },
    { "reset_peer", { 70, 1 }, DIRECTION_TO_CLIENT, "armed 3; bytes 0 4 5; timer 75", "-; timer 75,stall; rst" },
    { "refuse", { 0 }, DIRECTION_TO_CLIENT, "open 3", "rst" },
    { "refuse", { 0 }, DIRECTION_TO_CLIENT, "armed 3; bytes 0 4 5", "-; -" },
    { "refuse", { 1 }, DIRECTION_TO_CLIENT, "armed 3", "rst" },
};

static void print_rulings(const struct rulings *rulings, struct buf *out)
{
    static const char *const names[] = { "pass", "hold", "split", "replace", "discard", "stall", "fin", "rst", "end" };
    const char *comma = "";

    if (rulings->timer_ns) {
        buf_printf(out, "timer %" PRIu64, rulings->timer_ns);
        comma = ",";
    }
    for (uint32_t i = 0; i < rulings->count; i++, comma = ",") {
        const struct ruling *ruling = &rulings->list[i];

        buf_printf(out, "%s%s", comma, names[ruling->kind]);
        if (ruling->kind <= RULING_DISCARD)
            buf_printf(out, " %" PRIu64, ruling->size);
        if (ruling->kind == RULING_HOLD || ruling->kind == RULING_SPLIT)
            buf_printf(out, " %" PRIu64, ruling->at_ns);
    }
    if (!*comma)
        buf_puts(out, "-");
}

/* Plays one occasion; its words are split by blanks. */
static void play(const struct stream_ops *ops, struct stream_view *view, const char *occasion, struct buf *out)
{
    struct rulings rulings = { .count = 0 };
    static const uint8_t bytes[8192];
    struct range range = { .bytes = bytes };
    char word[16];
    uint64_t numbers[3] = { 0 };

    assert_true(sscanf(occasion, " %15s %" SCNu64 " %" SCNu64 " %" SCNu64, word, &numbers[0], &numbers[1], &numbers[2]) >= 2);
    view->now_ns = numbers[0];
    if (!strcmp(word, "open") || !strcmp(word, "armed")) {
        view->fresh = word[0] == 'o';
        if (ops->on_open)
            ops->on_open(view, &rulings);
    } else if (!strcmp(word, "timer")) {
        if (ops->on_timer)
            ops->on_timer(view, &rulings);
    } else if (!strcmp(word, "end")) {
        if (ops->end)
            ops->end(view, &rulings);
    } else if (!strcmp(word, "eof")) {
        range.offset = numbers[0];
        view->now_ns = range.came_ns = numbers[1];
        if (ops->on_eof)
            ops->on_eof(view, &range, &rulings);
    } else {
        range.offset = numbers[0];
        range.size = numbers[1];
        view->now_ns = range.came_ns = numbers[2];
        if (ops->on_bytes)
            ops->on_bytes(view, &range, &rulings);
    }
    print_rulings(&rulings, out);
}

static void test_rulings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct fault_desc *fault = fault_find(cases[i].fault, BIT(LAYER_STREAM), NULL);
        const struct stream_ops *ops = stream_registry[fault->id];
        union fault_params params = { .slot = { 0 } };
        uint64_t states[2][16] = { { 0 } }, shared[2 * 2] = { 0 };
        struct stream_view view = {
            .params = &params,
            .state = states[0],
            .other = states[1],
            .shared = shared,
            .direction = cases[i].direction,
        };
        struct buf got;
        char script[256], *rest = script, *occasion;

        memcpy(&params.slot[1], cases[i].params, sizeof(cases[i].params));
        assert_true(ops->state_size <= sizeof(states[0]) && 2 * ops->shared_size <= sizeof(shared));
        buf_init(&got, 4096);
        snprintf(script, sizeof(script), "%s", cases[i].script);
        while ((occasion = strsep(&rest, ";"))) {
            if (got.length)
                buf_puts(&got, "; ");
            play(ops, &view, occasion, &got);
        }
        if (strcmp(got.data, cases[i].rulings))
            print_message("# case %zu, %s: %s\n", i, cases[i].fault, cases[i].script);
        assert_string_equal(got.data, cases[i].rulings);
        buf_done(&got);
    }
}

static void test_every_stream_fault_has_functions_and_a_case(void **state)
{
    (void)state;
    for (size_t id = 0; id < FAULT_COUNT; id++) {
        bool found = false;

        assert_true((fault_descs[id].layer == LAYER_STREAM) == (stream_registry[id] != NULL));
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
            found |= !strcmp(cases[i].fault, fault_descs[id].name);
        assert_true(found || fault_descs[id].layer != LAYER_STREAM);
    }
}

/* ---- jitter ----------------------------------------------------------------------------------------------------------- */

enum { DRAWS = 40000 };

struct moments {
    double mean, variance, low, high;
};

/* The delays of many cells of one stream, less the latency, in units of the jitter. */
static struct moments jitter_of(int64_t distribution)
{
    union fault_params params = { .STREAM_latency = { .latency = 10000000, .jitter = 1000000, .distribution = distribution } };
    struct stream_view view = { .params = &params, .seed = 7, .name_hash = rng_hash("slow"), .stream = 3 };
    struct moments moments = { .low = 1e9, .high = -1e9 };
    double squares = 0;

    for (uint64_t cell = 0; cell < DRAWS; cell++) {
        struct range range = { .offset = cell * GRID_CELL_BYTES, .size = 1 };
        struct rulings rulings = { .count = 0 };
        double value;

        stream_registry[FAULT_STREAM_latency]->on_bytes(&view, &range, &rulings);
        value = ((double)rulings.list[0].at_ns - 10e6) / 1e6;
        moments.mean += value / DRAWS;
        squares += value * value / DRAWS;
        moments.low = value < moments.low ? value : moments.low;
        moments.high = value > moments.high ? value : moments.high;
    }
    moments.variance = squares - moments.mean * moments.mean;
    return moments;
}

/* Variances: uniform on +-1 is 1/3; normal 1; the others from their densities, cut at +-4, by numeric integration. */
static void test_jitter_has_the_shape_of_its_distribution(void **state)
{
    static const struct moments expected[] = {
        { 0.0, 1.0 / 3, -1.0, 1.0 },
        { 0.0, 1.0, -4.0, 4.0 },
        { -0.0329, 0.6727, -0.667, 4.0 },
        { -0.0166, 0.4966, -2.0, 4.0 },
    };

    (void)state;
    for (int64_t i = 0; i < 4; i++) {
        struct moments got = jitter_of(i);

        if (getenv("V"))
            print_message("# %d: mean %f variance %f low %f high %f\n", (int)i, got.mean, got.variance, got.low, got.high);
        assert_true(got.mean > expected[i].mean - 0.02 && got.mean < expected[i].mean + 0.02);
        assert_true(got.variance > expected[i].variance * 0.95 && got.variance < expected[i].variance * 1.05);
        assert_true(got.low >= expected[i].low - 0.001 && got.high <= expected[i].high + 0.001);
    }
}

static double lag(const double *values, size_t count, size_t lag)
{
    double mean = 0, variance = 0, covariance = 0;

    for (size_t i = 0; i < count; i++)
        mean += values[i] / (double)count;
    for (size_t i = 0; i + lag < count; i++) {
        variance += (values[i] - mean) * (values[i] - mean);
        covariance += (values[i] - mean) * (values[i + lag] - mean);
    }
    return covariance / variance;
}

/* Cells k apart correlate by the k-th power, and the distribution stays uniform. */
static void test_correlation_is_geometric_and_keeps_the_distribution(void **state)
{
    union fault_params params = { .STREAM_latency = { .latency = 10000000, .jitter = 1000000, .correlation = 800000 } };
    uint64_t memory[2] = { 0 };
    struct stream_view view = { .params = &params, .state = memory, .seed = 7, .name_hash = rng_hash("slow"), .stream = 3 };
    static double values[DRAWS];
    double mean = 0, squares = 0;

    (void)state;
    for (uint64_t cell = 0; cell < DRAWS; cell++) {
        struct range range = { .offset = cell * GRID_CELL_BYTES, .size = 1 };
        struct rulings rulings = { .count = 0 };

        stream_registry[FAULT_STREAM_latency]->on_bytes(&view, &range, &rulings);
        values[cell] = ((double)rulings.list[0].at_ns - 10e6) / 1e6;
        mean += values[cell] / DRAWS;
        squares += values[cell] * values[cell] / DRAWS;
    }
    assert_true(mean > -0.03 && mean < 0.03 && squares > 0.31 && squares < 0.355);
    assert_true(lag(values, DRAWS, 1) > 0.78 && lag(values, DRAWS, 1) < 0.82);
    assert_true(lag(values, DRAWS, 3) > 0.48 && lag(values, DRAWS, 3) < 0.545); /* 0.512 */
}

/* The share of the delays below each point of the table is what the point's name says. */
static void test_the_table_has_its_percentiles(void **state)
{
    union fault_params params = { .STREAM_latency = { .latency = 7, .distribution = 4, .p50 = 1000, .p90 = 5000, .p999 = 100000 } };
    uint64_t memory[2] = { 0 }, below[3] = { 0 }, high = 0;
    struct stream_view view = { .params = &params, .state = memory, .seed = 7, .name_hash = rng_hash("slow"), .stream = 3 };

    (void)state;
    for (uint64_t cell = 0; cell < DRAWS; cell++) {
        struct range range = { .offset = cell * GRID_CELL_BYTES, .size = 1 };
        struct rulings rulings = { .count = 0 };
        uint64_t delay;

        stream_registry[FAULT_STREAM_latency]->on_bytes(&view, &range, &rulings);
        delay = rulings.list[0].at_ns;
        below[0] += delay < 1000;
        below[1] += delay < 5000;
        below[2] += delay < 52500; /* half way, by a straight line, from 90 % to 99.9 %: 94.95 % */
        high = delay > high ? delay : high;
    }
    assert_in_range(below[0], DRAWS * 0.49, DRAWS * 0.51);
    assert_in_range(below[1], DRAWS * 0.893, DRAWS * 0.907);
    assert_in_range(below[2], DRAWS * 0.945, DRAWS * 0.954);
    assert_int_equal(high, 100000);
}

/* Bits flip where seed and cell say, at any way of reading, in as many cells as the chance says, one bit each. */
static void test_flips_do_not_see_how_bytes_were_read(void **state)
{
    enum { CELLS = 2000, SIZE = CELLS * GRID_CELL_BYTES };
    static uint8_t zeros[SIZE], got[2][SIZE];
    union fault_params params = { .STREAM_corrupt = { .cells = 200000 } };
    uint64_t memory[16] = { 0 }, hit = 0;
    struct stream_view view = { .params = &params, .state = memory, .seed = 7, .name_hash = 5, .stream = 3 };

    (void)state;
    for (int pass = 0; pass < 2; pass++) {
        for (uint64_t offset = 0; offset < SIZE;) {
            uint64_t size = pass ? (offset % 1777) + 1 : SIZE;
            struct range range = { .offset = offset, .size = offset + size > SIZE ? SIZE - offset : size, .bytes = zeros + offset };
            struct rulings rulings = { .count = 0 };

            stream_registry[FAULT_STREAM_corrupt]->on_bytes(&view, &range, &rulings);
            for (uint32_t i = 0; i < rulings.count; i++) {
                if (rulings.list[i].kind == RULING_REPLACE)
                    got[pass][offset] = *(const uint8_t *)rulings.list[i].bytes;
                offset += rulings.list[i].size;
            }
        }
    }
    assert_memory_equal(got[0], got[1], SIZE);
    for (size_t cell = 0; cell < CELLS; cell++) {
        int bits = 0;

        for (size_t i = 0; i < GRID_CELL_BYTES; i++)
            bits += __builtin_popcount(got[0][cell * GRID_CELL_BYTES + i]);
        assert_in_range(bits, 0, 1);
        hit += (uint64_t)bits;
    }
    assert_in_range(hit, CELLS * 0.16, CELLS * 0.24);
}

/* The same stream cut into reads in two ways: every byte gets the same delay. */
static void test_jitter_does_not_see_how_bytes_were_read(void **state)
{
    union fault_params params = { .STREAM_latency = { .latency = 10000000, .jitter = 5000000, .correlation = 900000 } };
    uint64_t memory[2] = { 0 };
    struct stream_view view = { .params = &params, .state = memory, .seed = 7, .name_hash = rng_hash("slow"), .stream = 3 };
    uint64_t whole[8192], parts[8192];

    (void)state;
    for (int pass = 0; pass < 2; pass++) {
        for (uint64_t offset = 0; offset < 8192;) {
            uint64_t size = pass ? (offset % 700) + 1 : 8192 - offset;
            struct range range = { .offset = offset, .size = offset + size > 8192 ? 8192 - offset : size };
            struct rulings rulings = { .count = 0 };

            stream_registry[FAULT_STREAM_latency]->on_bytes(&view, &range, &rulings);
            for (uint32_t i = 0; i < rulings.count; i++)
                for (uint64_t byte = 0; byte < rulings.list[i].size; byte++)
                    (pass ? parts : whole)[offset++] = rulings.list[i].at_ns;
        }
    }
    assert_memory_equal(whole, parts, sizeof(whole));
}

/* Slices lie where seed and offset say, at any way of reading, within mean +- variation. */
static void test_slices_do_not_see_how_bytes_were_read(void **state)
{
    union fault_params params = { .STREAM_slicer = { 0, 100, 40, 0 } };
    bool cuts[2][20000] = { { false } };

    (void)state;
    for (int pass = 0; pass < 2; pass++) {
        uint64_t memory[16] = { 0 };
        struct stream_view view = { .params = &params, .state = memory, .seed = 7, .name_hash = 5, .stream = 3 };

        for (uint64_t offset = 0; offset < 20000;) {
            uint64_t size = pass ? (offset % 333) + 1 : 20000;
            struct range range = { .offset = offset, .size = offset + size > 20000 ? 20000 - offset : size };
            struct rulings rulings = { .count = 0 };

            stream_registry[FAULT_STREAM_slicer]->on_bytes(&view, &range, &rulings);
            for (uint32_t i = 0; i < rulings.count; i++) {
                offset += rulings.list[i].size;
                cuts[pass][offset - 1] = rulings.list[i].kind == RULING_SPLIT;
            }
        }
    }
    assert_memory_equal(cuts[0], cuts[1], sizeof(cuts[0]));
    for (size_t at = 0, last = 0; at < 20000; at++)
        if (cuts[0][at]) {
            assert_in_range(at + 1 - last, 60, 140);
            last = at + 1;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rulings),
        cmocka_unit_test(test_every_stream_fault_has_functions_and_a_case),
        cmocka_unit_test(test_jitter_has_the_shape_of_its_distribution),
        cmocka_unit_test(test_correlation_is_geometric_and_keeps_the_distribution),
        cmocka_unit_test(test_the_table_has_its_percentiles),
        cmocka_unit_test(test_flips_do_not_see_how_bytes_were_read),
        cmocka_unit_test(test_jitter_does_not_see_how_bytes_were_read),
        cmocka_unit_test(test_slices_do_not_see_how_bytes_were_read),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
