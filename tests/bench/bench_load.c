/* What the load generator keeps up: 50,000 RESP and 20,000 HTTP/1.1 requests a second on one core, for three seconds each, against
 * redis-server and nginx on the other. Prints the share of sends that were late by more than a bin (20 ms), and the generator's own
 * processor time a request, which is the figure to trust where the machine does other work: it says what a core could do at most. RT=1 takes the
 * cores for itself. Ends with 1 above 0.1 % late. A server that is not there is named and skipped. */
#include "controller/load/load.h"
#include "scenarios/base/clock.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS = 3, TRIES = 500 };

#define LATE_SHARE_MAX 0.001

static void pin(size_t core)
{
    cpu_set_t cores;

    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    (void)sched_setaffinity(0, sizeof(cores), &cores); /* on a machine of one core all share it */
}

/* RT=1: in a real-time class, generator and servers alike, where the machine does other work meanwhile. */
static void choose_class(void)
{
    const struct sched_param first = { .sched_priority = 1 };

    if (getenv("RT") && sched_setscheduler(0, SCHED_RR, &first) < 0)
        perror("bench_load: no real-time class");
}

static pid_t start(char *const *command)
{
    (void)fflush(stdout);
    pid_t pid = fork();

    if (pid == 0) {
        pin(1);
        (void)!freopen("/dev/null", "w", stdout);
        (void)!freopen("/dev/null", "w", stderr);
        execvp(command[0], command);
        _exit(127);
    }
    return pid;
}

static double used_s(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + 1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static struct load_counters run(const struct load_spec *spec, uint64_t duration_ns)
{
    struct errs errs = { 0 };
    struct load *load = NULL;
    struct load_counters counters = { 0 };
    uint64_t start_ns;

    if (load_new(spec, &errs, &load) < 0) {
        errs_print(&errs, stderr);
        return counters;
    }
    start_ns = clock_now_ns() + 20 * NS_PER_MS;
    load_start(load, start_ns);
    load_stop_at(load, start_ns + duration_ns);
    (void)poll(NULL, 0, (int)(duration_ns / NS_PER_MS) + 50);
    load_stop(load);
    load_counters(load, &counters);
    load_free(load);
    return counters;
}

/* True when it kept its plan, or the server is not there. */
static bool measure(const char *name, struct load_spec spec, double rate_per_s, char *const *server)
{
    pid_t pid = start(server);
    struct load_counters counters = { 0 };

    spec.rate_per_s = 50;
    for (int try = 0; try < TRIES && !counters.ok && waitpid(pid, NULL, WNOHANG) == 0; try++)
        counters = run(&spec, 40 * NS_PER_MS);
    if (!counters.ok) {
        printf("%s: %s does not serve, skipped\n", name, server[0]);
        (void)kill(pid, SIGKILL);
        return true;
    }
    spec.rate_per_s = rate_per_s;
    double before_s = used_s();
    counters = run(&spec, SECONDS * NS_PER_S);
    double late = (double)counters.late / (double)counters.planned, cost_us = (used_s() - before_s) * 1e6 / (double)counters.planned;
    (void)kill(pid, SIGTERM);
    (void)waitpid(pid, NULL, 0);
    printf("%s at %.0f/s: %llu planned, %llu ok, %.3f %% late by more than 20 ms (at most %.1f ms), %.1f us of processor time each: "
           "%.0f/s fill a core\n", name, rate_per_s, (unsigned long long)counters.planned, (unsigned long long)counters.ok, late * 100,
           (double)counters.lateness_max_ns / 1e6, cost_us, 1e6 / cost_us);
    return late <= LATE_SHARE_MAX;
}

static void write_conf(const char *path, const char *directory)
{
    FILE *file = fopen(path, "w");

    if (!file)
        return;
    fprintf(file, "worker_processes 1; daemon off; pid %s/pid; error_log %s/log;\nevents { worker_connections 4096; }\n"
            "http { access_log off; keepalive_requests 10000000; client_body_temp_path %s/b; proxy_temp_path %s/p; fastcgi_temp_path %s/f;"
            " uwsgi_temp_path %s/u; scgi_temp_path %s/s;\n  server { listen 127.0.0.1:8397; location / { return 200 'hello'; } } }\n",
            directory, directory, directory, directory, directory, directory, directory);
    fclose(file);
}

int main(void)
{
    char directory[] = "/tmp/bench-load-XXXXXX", path[64];
    char *const redis[] = { "redis-server", "--port", "8396", "--save", "", NULL };
    char *const nginx[] = { "nginx", "-c", path, "-p", directory, NULL };

    if (!mkdtemp(directory))
        return 1;
    snprintf(path, sizeof(path), "%s/nginx.conf", directory);
    write_conf(path, directory);
    pin(0);
    choose_class();
    bool resp = measure("RESP", (struct load_spec){ .protocol = LOAD_RESP, .url = "redis://127.0.0.1:8396" }, 50000, redis);
    bool http = measure("HTTP/1.1", (struct load_spec){ .protocol = LOAD_HTTP, .url = "http://127.0.0.1:8397/" }, 20000, nginx);
    char *const clear[] = { "rm", "-rf", directory, NULL };
    pid_t pid = start(clear);
    (void)waitpid(pid, NULL, 0);
    return resp && http ? 0 : 1;
}
