/* For component tests of the supervisor: a static victim under it, with the page of tests/component/shim.h. */
#ifndef PERTURB_TESTS_SUPERVISED_H
#define PERTURB_TESTS_SUPERVISED_H

#include "tests/component/shim.h"

#include "shims/seccomp/supervise.h"

struct supervised {
    struct victim victim;
    struct supervise *supervise;
};

/* argv[0] is a fixture, its static build. Its stderr is the test's. */
static UNUSED_OK struct supervised supervised_start_with(struct bench *bench, const struct supervise_spec *spec, char *const *argv)
{
    struct supervised started;
    char path[PATH_MAX + 64];
    const char *step = "";
    int in[2], out[2], result;

    if (strchr(argv[0], '/'))
        snprintf(path, sizeof(path), "%s", argv[0]);
    else
        snprintf(path, sizeof(path), "%s/tests/fixtures/static/%s", bench->build, argv[0]);
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    page_supervise(bench->page, spec->points);
    assert_int_equal(supervise_prepare(spec, &started.supervise), 0);
    started.victim.pid = fork();
    if (started.victim.pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        if (supervise_install(started.supervise) < 0)
            _exit(126);
        execv(path, argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    started.victim.in = in[1];
    started.victim.out = out[0];
    result = supervise_attend(started.supervise, started.victim.pid, &step);
    if (result < 0)
        fail_msg("%s: %s", step, strerror(-result));
    return started;
}

static UNUSED_OK struct supervised supervised_start_argv(struct bench *bench, char *const *argv)
{
    const struct supervise_spec spec = { POINTS_FILE | POINTS_SOCKET, true, false, page_path(bench->page) };

    return supervised_start_with(bench, &spec, argv);
}

#define supervised_start(bench, ...) supervised_start_argv(bench, (char *[]){ __VA_ARGS__, NULL })

/* Its exit status; keeper and supervisor have left afterwards. */
static UNUSED_OK int supervised_end(struct supervised *started, char *text, size_t size)
{
    int status = victim_end(&started->victim, text, size);

    supervise_reap(started->supervise);
    started->supervise = supervise_free(started->supervise);
    return status;
}

/* The children of a process with this name; 0: none. */
static UNUSED_OK pid_t child_named(pid_t parent, const char *name)
{
    char path[64], text[4096], comm[32];
    FILE *file;
    size_t length;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
    file = fopen(path, "re");
    assert_non_null(file);
    length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = '\0';
    for (char *place = text, *end; *place; place = end + strspn(end, " ")) {
        pid_t pid = (pid_t)strtol(place, &end, 10);

        snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
        file = fopen(path, "re");
        if (!file)
            continue;
        comm[0] = '\0';
        (void)!fgets(comm, sizeof(comm), file);
        fclose(file);
        comm[strcspn(comm, "\n")] = '\0';
        if (!strcmp(comm, name))
            return pid;
    }
    return 0;
}

#endif
