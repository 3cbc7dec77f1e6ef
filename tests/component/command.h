/* For component tests that run perturb as a user does, over tests/component/shim.h. */
#ifndef PERTURB_TESTS_COMMAND_H
#define PERTURB_TESTS_COMMAND_H

#include "tests/component/shim.h"

enum { TEXT_MAX = 16384, ARGS_MAX = 32 };

/* Starts a program with stdout and stderr in one pipe. */
static UNUSED_OK struct victim start_loud(char *const *argv)
{
    struct victim victim;
    int in[2], out[2];

    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    victim.pid = fork();
    if (victim.pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(out[1], STDERR_FILENO);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    victim.in = in[1];
    victim.out = out[0];
    return victim;
}

static UNUSED_OK struct victim perturb_start(struct bench *bench, ...)
{
    static char program[PATH_MAX + 16];
    char *argv[ARGS_MAX + 1] = { program };
    size_t count = 1;
    va_list list;

    snprintf(program, sizeof(program), "%s/perturb", bench->build);
    va_start(list, bench);
    while (count < ARGS_MAX && (argv[count] = va_arg(list, char *)))
        count++;
    va_end(list);
    return start_loud(argv);
}

/* A fixture's path, good until four calls later. */
static UNUSED_OK char *fixture(struct bench *bench, const char *name)
{
    static char paths[4][PATH_MAX + 64];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/tests/fixtures/%s", bench->build, name);
    return path;
}

static char heard[TEXT_MAX];

#define perturb(bench, ...) perturb_end(perturb_start(bench, __VA_ARGS__, NULL))

static UNUSED_OK int perturb_end(struct victim victim)
{
    return victim_end(&victim, heard, sizeof(heard));
}

static UNUSED_OK void expect_heard(const char *part)
{
    if (!strstr(heard, part))
        fail_msg("expected '%s' in:\n%s", part, heard);
}

#endif
