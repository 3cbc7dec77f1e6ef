/* `perturb` as a user starts it, watched by a test from outside: its files, its processes in /proc, its exit status.
 * Nothing here asks the program's own libraries about the program. Waits have a deadline that PERTURB_TEST_TIMEOUT_MS (10,000 by
 * default) scales. */
#ifndef PERTURB_TESTS_WATCHED_RUN_H
#define PERTURB_TESTS_WATCHED_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cjson/cJSON.h>

enum { WATCHED_PATH_MAX = 400, WATCHED_ARGS_MAX = 64 };

/* A place of its own for one test: registry, state directory, the run's directory `out`. */
struct watched_run {
    char base[WATCHED_PATH_MAX - 100];
    char out[WATCHED_PATH_MAX - 60];
    char output[WATCHED_PATH_MAX - 60]; /* file with what it said on stdout and stderr */
    pid_t pid;                          /* of the program started last: the guardian of a run */
    uint64_t started_ns;
};

/* Directory of what was built, from this test's own place in it; borrowed. */
const char *watched_build(void);

int watched_scale(int ms); /* a deadline, scaled */

/* Makes the place below TMPDIR, empty, registry included; the environment of what is started later points there. 0 or -errno. */
int watched_make(struct watched_run *run, const char *name);
void watched_remove(const struct watched_run *run); /* everything below it */

/* Starts BUILD/perturb with these arguments (NULL ends them) in a session of its own, output to `output` (appended to).
 * Returns the pid, which is also run->pid when `is_run`. */
pid_t watched_start(struct watched_run *run, bool is_run, const char *const *args);

/* Starts "run PLAYBOOK --out OUT --seed SEED" and more. */
void watched_start_run(struct watched_run *run, const char *playbook, uint64_t seed, const char *const *more);

/* Waits for a child: its exit status, 128 + signal, or -1 at the deadline. */
int watched_wait(pid_t pid, int timeout_ms);

/* Runs BUILD/perturb with these arguments to its end: its exit status (-1 at the deadline); its output into text when not NULL. */
int watched_command(struct watched_run *run, char *text, size_t size, const char *const *args);

/* Files. */
size_t watched_lines(const char *path);                       /* whole lines; 0 when there is none */
char *watched_read(const char *path);                         /* new, "" when it cannot be read */
bool watched_event(const struct watched_run *run, const char *kind, const char *text, char *line, size_t size); /* first such line */
cJSON *watched_result(const struct watched_run *run);         /* result.json; new, NULL when absent */
double watched_number(const cJSON *object, const char *path); /* "a/b/0/c"; NaN when absent or null */
const char *watched_text(const cJSON *object, const char *path); /* "" when absent; borrowed */

/* The run's name, out of its output; "" when it was not told yet. */
void watched_id(const struct watched_run *run, char *id, size_t size);

/* Processes. */
pid_t watched_child(pid_t parent, const char *comm); /* a child with that name; 0 when there is none */
bool watched_alive(pid_t pid);                       /* zombies are not */
bool watched_gone(pid_t pid, int timeout_ms);        /* waits for that */
int watched_marked(const char *id, char *who, size_t size); /* living processes with PERTURB_RUN=id */
int watched_registered(const struct watched_run *run); /* files in REGISTRY/runs */
bool watched_group_exists(const char *id);             /* a control group perturb-ID anywhere */

#endif
