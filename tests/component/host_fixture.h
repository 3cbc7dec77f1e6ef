/* For tests of host faults: bodies in namespaces of their own, deadlines. */
#ifndef PERTURB_TESTS_HOST_FIXTURE_H
#define PERTURB_TESTS_HOST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static inline int scaled(int ms)
{
    const char *text = getenv("PERTURB_TEST_TIMEOUT_MS");
    long whole = text ? strtol(text, NULL, 10) : 10000;

    return (int)((long)ms * (whole > 0 ? whole : 10000) / 10000);
}

static inline uint64_t deadline(int ms)
{
    return clock_now_ns() + (uint64_t)scaled(ms) * NS_PER_MS;
}

/* For bodies that run in a process of their own, where a failed cmocka assertion would not be heard. */
#define must(condition)                                                                                                                     \
    do {                                                                                                                                    \
        if (!(condition)) {                                                                                                                 \
            fprintf(stderr, "# line %d: %s does not hold (%s)\n", __LINE__, #condition, strerror(errno));                                   \
            _exit(1);                                                                                                                       \
        }                                                                                                                                   \
    } while (0)

static inline void inside(int namespaces, void (*body)(void))
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        must(unshare(namespaces) == 0);
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static inline void needs_root(void)
{
    if (geteuid() != 0)
        skip();
}

#endif
