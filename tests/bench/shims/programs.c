/* Redis under redis-benchmark and nginx under wrk: a bare server and one under the idle shim stand side by side, one of them
 * under load, in pairs whose order changes. Beside the rate stands the server's CPU time a request, which other work on the machine
 * disturbs less. */
#include "tests/bench/shims/board.h"
#include "tests/bench/shims/sections.h"

#include "scenarios/base/rng.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>

enum { REQUESTS = 40000, PAIRS_A_ROUND = 4 };

/* A program that is loaded, and what loads it. */
struct subject {
    const char *name, *needs, *load_needs;
    void (*argv_of)(const struct bench *bench, unsigned port, char *room, char **argv);
    void (*load_of)(unsigned port, char *command, size_t size);
    bool (*read_load)(const char *text, double *ret_rate, double *ret_requests);
};

static unsigned free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0 && !bind(fd, (struct sockaddr *)&address, length) && !getsockname(fd, (struct sockaddr *)&address, &length));
    close(fd);
    return ntohs(address.sin_port);
}

/* ---- the two ---------------------------------------------------------------------------------------------------------- */

static void redis_argv(const struct bench *bench, unsigned port, char *room, char **argv)
{
    static char *words[] = { (char *)(uintptr_t)"/usr/bin/redis-server", (char *)(uintptr_t)"--port", NULL, (char *)(uintptr_t)"--save", (char *)(uintptr_t)"",
                             (char *)(uintptr_t)"--bind", (char *)(uintptr_t)"127.0.0.1", NULL };

    (void)bench;
    snprintf(room, 16, "%u", port);
    memcpy(argv, words, sizeof(words));
    argv[2] = room;
}

static void redis_load(unsigned port, char *command, size_t size)
{
    snprintf(command, size, "redis-benchmark -p %u -t get,set -n %d -c 16 --csv 2> /dev/null", port, REQUESTS / 2);
}

/* "SET","12345.67",... and the same of GET: the mean of the two. */
static bool redis_read(const char *text, double *ret_rate, double *ret_requests)
{
    const char *set = strstr(text, "\"SET\",\""), *get = strstr(text, "\"GET\",\"");
    double rates[2];

    if (!set || !get || sscanf(set + 7, "%lf", &rates[0]) != 1 || sscanf(get + 7, "%lf", &rates[1]) != 1)
        return false;
    *ret_rate = 2 / (1 / rates[0] + 1 / rates[1]);
    *ret_requests = REQUESTS;
    return true;
}

static void nginx_argv(const struct bench *bench, unsigned port, char *room, char **argv)
{
    static char *words[] = { (char *)(uintptr_t)"/usr/sbin/nginx", (char *)(uintptr_t)"-c", NULL, NULL };
    char page[PATH_MAX];
    FILE *file;

    snprintf(page, sizeof(page), "%s/index.html", bench->folder);
    file = fopen(page, "we");
    assert_non_null(file);
    for (int i = 0; i < 64; i++)
        fputs("one of many lines of a page\n", file);
    fclose(file);
    snprintf(room, PATH_MAX, "%s/nginx-%u.conf", bench->folder, port);
    file = fopen(room, "we");
    assert_non_null(file);
    fprintf(file, "daemon off; master_process off; pid %s/nginx-%u.pid; error_log /dev/null; events {} http { access_log off; "
            "sendfile on; server { listen 127.0.0.1:%u; root %s; } }\n", bench->folder, port, port, bench->folder);
    fclose(file);
    memcpy(argv, words, sizeof(words));
    argv[2] = room;
}

static void nginx_load(unsigned port, char *command, size_t size)
{
    snprintf(command, size, "wrk -t1 -c16 -d1s http://127.0.0.1:%u/ 2> /dev/null", port);
}

static bool nginx_read(const char *text, double *ret_rate, double *ret_requests)
{
    const char *rate = strstr(text, "Requests/sec:"), *count = strstr(text, " requests in");

    while (count && count > text && count[-1] >= '0' && count[-1] <= '9')
        count--;
    return rate && count && sscanf(rate + 13, "%lf", ret_rate) == 1 && sscanf(count, "%lf", ret_requests) == 1 && *ret_requests > 0;
}

static const struct subject subjects[] = {
    { "Redis under redis-benchmark", "/usr/bin/redis-server", "/usr/bin/redis-benchmark", redis_argv, redis_load, redis_read },
    { "nginx under wrk", "/usr/sbin/nginx", "/usr/bin/wrk", nginx_argv, nginx_load, nginx_read },
};

/* ---- a server --------------------------------------------------------------------------------------------------------- */

struct server {
    pid_t pid;
    unsigned port;
};

static bool answers(unsigned port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool result = fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address));

    close(fd);
    return result;
}

static struct server server_start(const struct bench *bench, const struct subject *subject, bool is_idle)
{
    char *argv[12], room[PATH_MAX], **environment = preload_environment(environ, bench->library, page_path(bench->page));
    struct server server = { .port = free_port() };
    uint64_t end_ns = clock_now_ns() + (uint64_t)deadline_ms() * NS_PER_MS;

    subject->argv_of(bench, server.port, room, argv);
    server.pid = fork();
    if (server.pid == 0) {
        int nothing = open("/dev/null", O_RDWR);

        dup2(nothing, STDIN_FILENO);
        dup2(nothing, STDOUT_FILENO);
        dup2(nothing, STDERR_FILENO);
        (void)!chdir(bench->folder);
        execve(argv[0], argv, is_idle ? environment : environ);
        _exit(127);
    }
    free(environment);
    while (!answers(server.port)) {
        assert_int_equal(waitpid(server.pid, NULL, WNOHANG), 0);
        assert_true(clock_now_ns() < end_ns);
        sched_yield();
    }
    return server;
}

static void server_end(const struct server *server)
{
    kill(server->pid, SIGKILL);
    (void)waitpid(server->pid, NULL, 0);
}

/* CPU time of all its threads, in ns. */
static double cpu_ns(const struct server *server)
{
    char path[64];
    double sum = 0, one;
    struct dirent *entry;
    DIR *folder;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)server->pid);
    folder = opendir(path);
    assert_non_null(folder);
    while ((entry = readdir(folder))) {
        FILE *file;

        snprintf(path, sizeof(path), "/proc/%d/task/%.16s/schedstat", (int)server->pid, entry->d_name);
        file = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
        if (file && fscanf(file, "%lf", &one) == 1)
            sum += one;
        if (file)
            fclose(file);
    }
    closedir(folder);
    return sum;
}

static bool load_once(const struct subject *subject, const struct server *server, double *ret_rate, double *ret_cpu_ns)
{
    char command[256], text[8192];
    double before_ns = cpu_ns(server), requests;
    size_t length;
    FILE *pipe;

    subject->load_of(server->port, command, sizeof(command));
    pipe = popen(command, "re");
    length = pipe ? fread(text, 1, sizeof(text) - 1, pipe) : 0;
    text[length] = '\0';
    if (pipe)
        (void)pclose(pipe);
    if (!subject->read_load(text, ret_rate, &requests))
        return false;
    *ret_cpu_ns = (cpu_ns(server) - before_ns) / requests;
    return true;
}

/* One round: both servers anew, so that the luck of one process's addresses is not taken for the shim. */
static void take_round(struct bench *bench, const struct setting *setting, const struct subject *subject, unsigned round,
                       struct series rates[2], struct series cpus[2])
{
    struct server servers[2] = { server_start(bench, subject, false), server_start(bench, subject, true) };

    for (unsigned i = 0; i < PAIRS_A_ROUND; i++) {
        unsigned first = (unsigned)(rng_draw(setting->seed, 3, round, i) & 1);
        double taken[2], cost_ns[2];

        if (!load_once(subject, &servers[first], &taken[first], &cost_ns[first]) ||
            !load_once(subject, &servers[!first], &taken[!first], &cost_ns[!first]))
            continue;
        for (int side = 0; side < 2; side++) {
            series_add(&rates[side], taken[side]);
            series_add(&cpus[side], cost_ns[side]);
        }
    }
    server_end(&servers[0]);
    server_end(&servers[1]);
}

static void measure_subject(struct bench *bench, const struct setting *setting, const struct subject *subject)
{
    static struct series rates[2], cpus[2];
    char figure[96], reached[128], beside[96];
    struct series rate, cpu;

    memset(rates, 0, sizeof(rates));
    memset(cpus, 0, sizeof(cpus));
    for (unsigned round = 0; round < setting->rounds; round++)
        take_round(bench, setting, subject, round, rates, cpus);
    rate = series_over(&rates[1], &rates[0]);
    cpu = series_over(&cpus[1], &cpus[0]);
    snprintf(figure, sizeof(figure), "%s, shim idle: rate over bare", subject->name);
    snprintf(reached, sizeof(reached), "x%.3f [p25 %.3f, p75 %.3f]", series_median(&rate), series_quantile(&rate, 0.25), series_quantile(&rate, 0.75));
    snprintf(beside, sizeof(beside), "bare %.0f/s; CPU a request x%.3f (bare %s)", series_median(&rates[0]), series_median(&cpu),
             nice_ns(series_median(&cpus[0])));
    board_add(figure, ">= 0.99x", reached, series_median(&rate) >= 0.99 ? MET_YES : MET_NO, beside);
}

void measure_programs(struct bench *bench, const struct setting *setting)
{
    bench_arm(bench, 1, "fail@fsync:EIO");
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        if (access(subjects[i].needs, X_OK) < 0 || access(subjects[i].load_needs, X_OK) < 0)
            printf("  %s: not here (tests/support/deps --bench)\n", subjects[i].name);
        else
            measure_subject(bench, setting, &subjects[i]);
    (void)page_release(bench->page);
}
