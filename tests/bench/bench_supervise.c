/* What the supervisor costs: an intercepted call and another one, against bare and against strace's filter; how soon a fault acts
 * after it is armed and stops after it is disarmed; how late a delay of 1 ms ends. Figures belong to the machine and what else runs
 * on it: read them beside the bare call's. */
#include "tests/component/supervised.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { CALLS = 2000, ROUNDS = 60, INSTANTS = 200, DELAYS = 1500 };

/* What victim and bench share. */
static struct results {
    double write_ns, other_ns;
    uint64_t turn; /* raised by the victim after each hit or wake */
    uint64_t at_ns;
    double late_us[DELAYS];
} *results;

static int null_fd;

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double quantile(double *values, size_t count, double share)
{
    qsort(values, count, sizeof(*values), by_value);
    return values[(size_t)(share * (double)(count - 1))];
}

/* The fastest of some rounds: what the machine does else is no cost of ours. */
static void measure_calls(int calls)
{
    results->write_ns = results->other_ns = 1e12;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begin_ns = clock_now_ns(), middle_ns;
        double write_ns, other_ns;

        for (int i = 0; i < calls; i++)
            (void)!write(null_fd, "x", 1);
        middle_ns = clock_now_ns();
        for (int i = 0; i < CALLS; i++)
            syscall(SYS_getppid);
        write_ns = (double)(middle_ns - begin_ns) / calls;
        other_ns = (double)(clock_now_ns() - middle_ns) / CALLS;
        results->write_ns = write_ns < results->write_ns ? write_ns : results->write_ns;
        results->other_ns = other_ns < results->other_ns ? other_ns : results->other_ns;
    }
}

static void take_cost(void)
{
    measure_calls(CALLS);
}

/* Writes until one fails, says when; writes until one succeeds; and so on. */
static void take_instants(void)
{
    for (int i = 0; i < INSTANTS; i++) {
        while (write(null_fd, "x", 1) == 1)
            ;
        results->at_ns = clock_now_ns();
        __atomic_add_fetch(&results->turn, 1, __ATOMIC_RELEASE);
        while (write(null_fd, "x", 1) != 1)
            ;
        __atomic_add_fetch(&results->turn, 1, __ATOMIC_RELEASE);
    }
}

static void take_wakes(void)
{
    for (int i = 0; i < INSTANTS; i++) {
        (void)!write(null_fd, "x", 1);
        results->at_ns = clock_now_ns();
        __atomic_add_fetch(&results->turn, 1, __ATOMIC_RELEASE);
        while (__atomic_load_n(&results->turn, __ATOMIC_ACQUIRE) % 2)
            sched_yield();
    }
}

static void take_delays(void)
{
    for (int i = 0; i < DELAYS; i++) {
        uint64_t begin_ns = clock_now_ns();

        (void)!write(null_fd, "x", 1);
        results->late_us[i] = (double)(clock_now_ns() - begin_ns) / 1e3 - 1000;
    }
}

struct run {
    pid_t pid;
    struct supervise *supervise;
};

static struct run start(struct bench *bench, void (*victim)(void))
{
    const struct supervise_spec spec = { POINT_BIT(write), false, false, page_path(bench->page) };
    struct run run = { .pid = 0 };
    const char *step;

    results->turn = 0;
    if (supervise_prepare(&spec, &run.supervise) < 0)
        exit(1);
    run.pid = fork();
    if (run.pid == 0) {
        if (supervise_install(run.supervise) < 0)
            _exit(1);
        victim();
        _exit(0);
    }
    if (supervise_attend(run.supervise, run.pid, &step) < 0) {
        printf("%s failed\n", step);
        exit(1);
    }
    return run;
}

static void end(struct run *run)
{
    int status;

    if (waitpid(run->pid, &status, 0) != run->pid || !WIFEXITED(status) || WEXITSTATUS(status))
        exit(1);
    supervise_reap(run->supervise);
    supervise_free(run->supervise);
}

static void tell_cost(struct bench *bench, const char *what, const char *fault)
{
    struct run run;

    if (fault)
        bench_arm(bench, 1, fault);
    run = start(bench, take_cost);
    end(&run);
    (void)page_release(bench->page);
    printf("%-44s %8.2f us  %8.1f ns\n", what, results->write_ns / 1e3, results->other_ns);
}

static void await_turn(uint64_t turn)
{
    while (__atomic_load_n(&results->turn, __ATOMIC_ACQUIRE) != turn)
        sched_yield();
}

static void tell_instants(struct bench *bench)
{
    static double arm_us[INSTANTS], disarm_us[INSTANTS];
    struct run run = start(bench, take_instants);
    uint64_t begin_ns;

    for (size_t i = 0; i < INSTANTS; i++) {
        begin_ns = clock_now_ns();
        bench_arm(bench, 1, "fail@write:EIO,fd=3");
        await_turn(2 * i + 1);
        arm_us[i] = (double)(results->at_ns - begin_ns) / 1e3;
        (void)page_release(bench->page);
        await_turn(2 * i + 2);
    }
    end(&run);
    run = start(bench, take_wakes);
    for (size_t i = 0; i < INSTANTS; i++) {
        bench_arm(bench, 1, "latency@write:10m");
        __atomic_store_n(&results->turn, 2, __ATOMIC_RELEASE);
        bench_await_in_flight(bench, 1);
        begin_ns = clock_now_ns();
        (void)page_release(bench->page);
        await_turn(3);
        disarm_us[i] = (double)(results->at_ns - begin_ns) / 1e3;
    }
    __atomic_store_n(&results->turn, 4, __ATOMIC_RELEASE);
    end(&run);
    printf("arm to first effect                          median %.1f us, p99 %.1f us\n", quantile(arm_us, INSTANTS, 0.5), quantile(arm_us, INSTANTS, 0.99));
    printf("disarm to last effect, in a delay of 10 min  median %.1f us, p99 %.1f us\n", quantile(disarm_us, INSTANTS, 0.5),
           quantile(disarm_us, INSTANTS, 0.99));
}

static void tell_delays(struct bench *bench)
{
    struct run run;

    bench_arm(bench, 1, "latency@write:1ms");
    run = start(bench, take_delays);
    end(&run);
    printf("a delay of 1 ms ends late by                 median %.1f us, p99 %.1f us\n", quantile(results->late_us, DELAYS, 0.5),
           quantile(results->late_us, DELAYS, 0.99));
}

/* The same loops under strace, which fails every write. */
static void tell_strace(const char *self, const char *what, const char *how)
{
    char *argv[] = { (char *)(uintptr_t)"strace", (char *)(uintptr_t)"-f", (char *)(uintptr_t)"-qq", (char *)(uintptr_t)"-o", (char *)(uintptr_t)"/dev/null",
                     (char *)(uintptr_t)"-e", (char *)(uintptr_t)"inject=write:error=EIO", (char *)(uintptr_t)"-e", (char *)(uintptr_t)"trace=write", (char *)(uintptr_t)how, (char *)(uintptr_t)self,
                     (char *)(uintptr_t)"loop", NULL };
    double write_us = 0, other_ns = 0;
    int ends[2], status;
    char text[128];
    ssize_t length;
    pid_t pid;

    if (pipe2(ends, 0) < 0)
        exit(1);
    pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    length = read(ends[0], text, sizeof(text) - 1);
    close(ends[0]);
    (void)waitpid(pid, &status, 0);
    text[length > 0 ? length : 0] = '\0';
    if (sscanf(text, "%lf %lf", &write_us, &other_ns) == 2)
        printf("%-44s %8.2f us  %8.1f ns\n", what, write_us, other_ns);
    else
        printf("%-44s not here\n", what);
}

/* writev says it, because write fails here. */
static int loop(void)
{
    char text[64];
    struct iovec part = { text, 0 };

    measure_calls(CALLS);
    part.iov_len = (size_t)snprintf(text, sizeof(text), "%f %f\n", results->write_ns / 1e3, results->other_ns);
    return writev(STDERR_FILENO, &part, 1) < 0;
}

int main(int argc, char **argv)
{
    char self[PATH_MAX] = "";
    struct bench *bench;
    void *state;

    (void)!readlink("/proc/self/exe", self, sizeof(self) - 1);
    results = mmap(NULL, sizeof(*results), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    null_fd = dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 3);
    if (results == MAP_FAILED || null_fd < 0)
        return 1;
    if (argc > 1 && !strcmp(argv[1], "loop"))
        return loop();
    (void)bench_begin(&state);
    bench = state;
    printf("%-44s %11s  %11s\n", "", "write", "other call");
    measure_calls(CALLS);
    printf("%-44s %8.2f us  %8.1f ns\n", "bare", results->write_ns / 1e3, results->other_ns);
    tell_cost(bench, "supervised, nothing armed", NULL);
    tell_cost(bench, "supervised, judged by one rule and let pass", "fail@write:EIO,first=1000000000");
    tell_cost(bench, "supervised, failed with an errno", "fail@write:EIO,fd=3");
    tell_cost(bench, "supervised, judged by its path", "fail@write:EIO,path=/nowhere");
    tell_strace(self, "strace", "-f");
    tell_strace(self, "strace --seccomp-bpf", "--seccomp-bpf");
    tell_instants(bench);
    tell_delays(bench);
    fflush(stdout);
    (void)bench_end(&state);
    return 0;
}
