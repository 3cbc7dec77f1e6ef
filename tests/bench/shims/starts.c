/* What the shim, and perturb itself, add to the start of a program: /bin/true from fork to its end, in an order that changes. */
#include "tests/bench/shims/board.h"
#include "tests/bench/shims/sections.h"

#include "scenarios/base/rng.h"

#include <spawn.h>

enum side { SIDE_BARE, SIDE_SHIM, SIDE_EXEC, SIDE_EXEC_SECCOMP, SIDE_FIU, SIDES };
enum { STARTS_A_ROUND = 20 };

static struct series starts[SIDES];

static double start_once(const struct bench *bench, enum side side)
{
    char program[PATH_MAX + 32], library[PATH_MAX + 64] = "X=", page[384] = "Y=", path[] = "PATH=/usr/bin:/bin", registry[256];
    char *environment[] = { library, page, path, registry, NULL };
    char *bare[] = { (char *)(uintptr_t)"/bin/true", NULL };
    char *exec[] = { program, (char *)(uintptr_t)"exec", (char *)(uintptr_t)"--", bare[0], NULL };
    char *exec_seccomp[] = { program, (char *)(uintptr_t)"exec", (char *)(uintptr_t)"--backend", (char *)(uintptr_t)"seccomp", (char *)(uintptr_t)"--", bare[0], NULL };
    char *const *argv = side == SIDE_EXEC ? exec : side == SIDE_EXEC_SECCOMP ? exec_seccomp : bare;
    posix_spawn_file_actions_t actions;
    uint64_t begin_ns;
    int status = -1, result;
    pid_t pid;

    snprintf(program, sizeof(program), "%s/perturb", bench->build);
    snprintf(registry, sizeof(registry), "PERTURB_REGISTRY=%s", bench->folder);
    if (side == SIDE_SHIM)
        snprintf(library, sizeof(library), "LD_PRELOAD=%s", bench->library);
    if (side == SIDE_SHIM)
        snprintf(page, sizeof(page), CONTROL_ENV "=%s", page_path(bench->page));
    if (side == SIDE_FIU)
        snprintf(library, sizeof(library), "LD_PRELOAD=/usr/lib/fiu/fiu_run_preload.so /usr/lib/fiu/fiu_posix_preload.so");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0); /* perturb exec tells of the run */
    begin_ns = clock_now_ns();
    result = posix_spawn(&pid, argv[0], &actions, NULL, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    if (result)
        return -1;
    (void)waitpid(pid, &status, 0);
    return status ? -1 : (double)(clock_now_ns() - begin_ns);
}

static void tell(const char *figure, enum side side, double goal_ns, const char *goal)
{
    struct series added = series_less(&starts[side], &starts[SIDE_BARE]);
    double median_ns = series_median(&added);
    char reached[128], beside[64];

    if (!starts[side].count)
        return;
    snprintf(reached, sizeof(reached), "%s [p10 %s, p90 %s]", nice_ns(median_ns), nice_ns(series_quantile(&added, 0.1)),
             nice_ns(series_quantile(&added, 0.9)));
    snprintf(beside, sizeof(beside), "bare takes %s", nice_ns(series_median(&starts[SIDE_BARE])));
    board_add(figure, goal, reached, goal_ns <= 0 ? MET_NONE : median_ns <= goal_ns ? MET_YES : MET_NO, beside);
}

void measure_starts(struct bench *bench, const struct setting *setting)
{
    bool has_fiu = access("/usr/lib/fiu/fiu_run_preload.so", R_OK) == 0;

    bench_arm(bench, 1, "fail@fsync:EIO");
    for (uint64_t i = 0; i < (uint64_t)setting->rounds * STARTS_A_ROUND; i++) {
        double taken[SIDES];
        bool went = true;

        for (unsigned k = 0; k < SIDES; k++) {
            enum side side = (enum side)((k + rng_draw(setting->seed, 1, i, 2)) % SIDES);

            if (side == SIDE_FIU && !has_fiu)
                continue;
            taken[side] = start_once(bench, side);
            went = went && taken[side] >= 0;
        }
        for (enum side side = 0; went && side < SIDES; side++)
            if (side != SIDE_FIU || has_fiu)
                series_add(&starts[side], taken[side]);
    }
    (void)page_release(bench->page);
    tell("start-up added by preload (/bin/true)", SIDE_SHIM, 2e6, "<= 2 ms");
    tell("start-up added by libfiu", SIDE_FIU, 0, "-");
    tell("start-up added by perturb exec, preload", SIDE_EXEC, 0, "-");
    tell("start-up added by perturb exec, seccomp", SIDE_EXEC_SECCOMP, 0, "-");
}
