/* Starting and ending the contenders. Ground: HAProxy's configuration.txt (2.6: tune.bufsize, tune.pipesize, option splice-*), nginx's
 * ngx_stream_proxy_module, socat(1). */
#include "tests/bench/peers/contender.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "tests/support/wire_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { PATH_MAX_HERE = 256, TEXT_MAX = 2048, ARGS_MAX = 16, START_MS = 10000 };

struct contender contenders[CONTENDERS] = {
    [DIRECT] = { .name = "direct", .present = true, .port = BACKEND_PORT },
    [PERTURB] = { .name = "perturb", .port = 7101, .api_port = 7201 },
    [PERTURB_PRECISE] = { .name = "perturb-precise", .port = 7102, .api_port = 7202 },
    [PERTURB_OTHER] = { .name = "perturb-other", .port = 7109, .api_port = 7203 },
    [HAPROXY] = { .name = "haproxy", .port = 7103 },
    [HAPROXY_128K] = { .name = "haproxy-128k", .port = 7104 },
    [HAPROXY_SPLICE] = { .name = "haproxy-splice1m", .port = 7105 },
    [NGINX] = { .name = "nginx", .port = 7106 },
    [NGINX_128K] = { .name = "nginx-128k", .port = 7107 },
    [SOCAT] = { .name = "socat", .port = 7108 },
};

static const char *const nginx_modules[] = {
    "/usr/lib/nginx/modules/ngx_stream_module.so",
    "/usr/lib64/nginx/modules/ngx_stream_module.so",
    "/usr/libexec/nginx/modules/ngx_stream_module.so",
};

/* Where a program is, "" when nowhere. */
static void find_program(const char *name, char *path, size_t size)
{
    static const char *const folders[] = { "/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin" };

    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        snprintf(path, size, "%s/%s", folders[i], name);
        if (!access(path, X_OK))
            return;
    }
    path[0] = '\0';
}

static void become(const struct contender *contender, const char *const *args)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    group_join(&contender->group);
    world_run_on(CORE_PROXY);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execv(args[0], (char *const *)(uintptr_t)args);
    _exit(127);
}

static void start(enum contender_id id, const char *const *args)
{
    struct contender *contender = &contenders[id];
    uint64_t deadline_ns = clock_now_ns() + START_MS * NS_PER_MS;
    char address[32];
    int fd = -1;

    group_new(&contender->group, contender->name);
    fflush(NULL);
    contender->pid = fork();
    if (contender->pid < 0)
        fail("cannot fork: %s", strerror(errno));
    if (!contender->pid)
        become(contender, args);
    snprintf(address, sizeof(address), "127.0.0.1:%u", contender->port);
    while (fd < 0 && clock_now_ns() < deadline_ns) {
        fd = wire_connect(address);
        if (fd < 0)
            (void)poll(NULL, 0, 10);
        if (waitpid(contender->pid, NULL, WNOHANG) == contender->pid)
            fail("%s ended as it started: %s", contender->name, args[0]);
    }
    if (fd < 0)
        fail("%s does not listen", contender->name);
    close(fd);
    contender->present = true;
}

/* ---- each ------------------------------------------------------------------------------------------------------------- */

static void start_perturb(enum contender_id id, const char *directory, const char *build)
{
    const struct contender *contender = &contenders[id];
    char program[PATH_MAX_HERE], config[PATH_MAX_HERE], text[TEXT_MAX], port[16];
    const char *args[ARGS_MAX] = { program, "-port", port, "-config", config, "-loops", "1", "-seed", "1", NULL };

    snprintf(program, sizeof(program), "%s/perturb-proxy", build);
    snprintf(config, sizeof(config), "%s/%s.json", directory, contender->name);
    snprintf(port, sizeof(port), "%u", contender->api_port);
    snprintf(text, sizeof(text), "[{\"name\":\"wire\",\"listen\":\"127.0.0.1:%u\",\"upstream\":\"127.0.0.1:%u\",\"enabled\":true}]",
             contender->port, BACKEND_PORT);
    file_write(config, text);
    if (id == PERTURB_PRECISE)
        args[9] = "-precise";
    start(id, args);
}

static void start_haproxy(enum contender_id id, const char *directory, const char *tuning, const char *options)
{
    const struct contender *contender = &contenders[id];
    char program[PATH_MAX_HERE], config[PATH_MAX_HERE], text[TEXT_MAX];
    const char *const args[] = { program, "-db", "-f", config, NULL };

    find_program("haproxy", program, sizeof(program));
    if (!program[0])
        return;
    snprintf(config, sizeof(config), "%s/%s.cfg", directory, contender->name);
    snprintf(text, sizeof(text),
             "global\n nbthread 1\n%s"
             "defaults\n mode tcp\n timeout connect 10s\n timeout client 10m\n timeout server 10m\n%s"
             "listen wire\n bind 127.0.0.1:%u backlog 4096\n server one 127.0.0.1:%u\n",
             tuning, options, contender->port, BACKEND_PORT);
    file_write(config, text);
    start(id, args);
}

static void start_nginx(enum contender_id id, const char *directory, const char *tuning)
{
    const struct contender *contender = &contenders[id];
    char program[PATH_MAX_HERE], config[PATH_MAX_HERE], text[TEXT_MAX];
    const char *const args[] = { program, "-p", directory, "-c", config, "-e", "/dev/null", NULL };
    const char *module = NULL;

    find_program("nginx", program, sizeof(program));
    for (size_t i = 0; i < ARRAY_SIZE(nginx_modules); i++)
        if (!access(nginx_modules[i], R_OK))
            module = nginx_modules[i];
    if (!program[0] || !module)
        return;
    snprintf(config, sizeof(config), "%s/%s.conf", directory, contender->name);
    snprintf(text, sizeof(text),
             "load_module %s;\ndaemon off;\nuser root;\nworker_processes 1;\npid %s/%s.pid;\nerror_log /dev/null;\n"
             "worker_rlimit_nofile 20000;\nevents { worker_connections 19900; }\n"
             "stream {\n %s\n server { listen 127.0.0.1:%u backlog=4096; proxy_pass 127.0.0.1:%u; }\n}\n",
             module, directory, contender->name, tuning, contender->port, BACKEND_PORT);
    file_write(config, text);
    start(id, args);
}

static void start_socat(const char *directory)
{
    char program[PATH_MAX_HERE], listen[128], upstream[64];
    const char *const args[] = { program, "-b", "65536", listen, upstream, NULL };

    (void)directory;
    find_program("socat", program, sizeof(program));
    if (!program[0])
        return;
    snprintf(listen, sizeof(listen), "TCP-LISTEN:%u,bind=127.0.0.1,reuseaddr,fork,backlog=4096,nodelay", contenders[SOCAT].port);
    snprintf(upstream, sizeof(upstream), "TCP:127.0.0.1:%u,nodelay", BACKEND_PORT);
    start(SOCAT, args);
}

void contenders_start(const char *directory, const char *build, const char *other)
{
    if (other && *other)
        start_perturb(PERTURB_OTHER, directory, other);
    start_perturb(PERTURB, directory, build);
    start_perturb(PERTURB_PRECISE, directory, build);
    start_haproxy(HAPROXY, directory, " maxconn 9800\n", "");
    start_haproxy(HAPROXY_128K, directory, " maxconn 2000\n tune.bufsize 131072\n", "");
    start_haproxy(HAPROXY_SPLICE, directory, " maxconn 2000\n maxpipes 1000\n tune.pipesize 1048576\n",
                  " option splice-request\n option splice-response\n");
    start_nginx(NGINX, directory, "");
    start_nginx(NGINX_128K, directory, "proxy_buffer_size 128k;");
    start_socat(directory);
}

void contenders_move(unsigned core)
{
    for (int i = 0; i < CONTENDERS; i++)
        if (contenders[i].present)
            group_move(&contenders[i].group, core);
}

void contenders_stop(void)
{
    for (int i = 0; i < CONTENDERS; i++) {
        if (!contenders[i].pid)
            continue;
        group_end(&contenders[i].group);
        (void)waitpid(contenders[i].pid, NULL, 0);
        (void)rmdir(contenders[i].group.path);
        contenders[i].pid = 0;
    }
}
