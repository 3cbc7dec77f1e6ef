/* Instructions of something that a fixture does again and again: the slope of callgrind's count over the number of times, which repeats
 * to the instruction where nanoseconds do not. */
#ifndef PERTURB_TESTS_SHIM_COST_H
#define PERTURB_TESTS_SHIM_COST_H

#include "tests/component/shim.h"

enum { TIMES_FEW = 1000, TIMES_MANY = 21000 };

static const char valgrind_path[] = "/usr/bin/valgrind";

/* Of a fixture that does it so many times under `preload`. */
static UNUSED_OK unsigned long long cost_of_times(struct bench *bench, const char *fixture, const char *preload, const char *page, int times)
{
    char program[PATH_MAX + 64], library[PATH_MAX + 64], variable[384], number[16], text[256], out[256], count_line[256];
    char *environment[] = { library, variable, NULL };
    unsigned long long count = 0;
    struct victim victim;
    FILE *file;

    snprintf(program, sizeof(program), "%s/tests/fixtures/%s", bench->build, fixture);
    snprintf(library, sizeof(library), "LD_PRELOAD=%s", preload);
    snprintf(variable, sizeof(variable), CONTROL_ENV "=%s", page);
    snprintf(number, sizeof(number), "%d", times);
    snprintf(out, sizeof(out), "--callgrind-out-file=%s/callgrind", bench->folder);
    victim = victim_start_with(bench, (char *[]){ (char *)(uintptr_t)valgrind_path, "-q", "--tool=callgrind", out, program, number, NULL },
                               environment);
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    snprintf(out, sizeof(out), "%s/callgrind", bench->folder);
    file = fopen(out, "re");
    assert_non_null(file);
    while (fgets(count_line, sizeof(count_line), file))
        if (!strncmp(count_line, "summary:", 8) || !strncmp(count_line, "totals:", 7))
            count = strtoull(strchr(count_line, ':') + 1, NULL, 10);
    fclose(file);
    assert_true(count > 0);
    return count;
}

static UNUSED_OK double cost_per_time(struct bench *bench, const char *fixture, const char *preload, const char *page)
{
    unsigned long long few = cost_of_times(bench, fixture, preload, page, TIMES_FEW);

    return (double)(cost_of_times(bench, fixture, preload, page, TIMES_MANY) - few) / (TIMES_MANY - TIMES_FEW);
}

/* Of a malloc/free pair. */
static UNUSED_OK double cost_per_pair(struct bench *bench, const char *preload, const char *page)
{
    return cost_per_time(bench, "alloc_pairs", preload, page);
}

#endif
