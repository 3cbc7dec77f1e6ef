/* Parts of a run that captures are killed, right behind the journal's line that plans the capture, behind the one that says it is
 * in place, and while a fault acts on it. Each ordeal has a network namespace of its own, with a server, a prober that connects
 * anew every few milliseconds, and a connection from before the blow.
 *
 * Judged from outside: no connect ever fails while the wire executor lives, whoever else dies; two leases later every connect is
 * quick, whoever died; the old connection lives on; the kernel has no table once `perturb recover` went; a second one does nothing.
 * time-limit: 240 */
#include "scenarios/base/clock.h"
#include "tests/support/watched_run.h"
#include "tests/support/wire_peer.h"

#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LEASE_MS = 1000, SLACK_MS = 1000, QUICK_MS = 250, ANSWER_MS = 1500, SLOW_MS = 350, ACTING_MS = 1000, PROBES_MAX = 20000, PARALLEL = 3 };

enum blow { RUNNER, GUARDIAN, BOTH, WIRE, ALL, BLOWS };
static const char *const blow_names[BLOWS] = { "the runner", "the guardian", "runner and guardian", "the wire executor", "all three" };

enum instant { PLANNED, APPLIED, ACTING, INSTANTS };
static const char *const instant_names[INSTANTS] = { "when the capture is planned", "when it is in place", "while a fault acts on it" };

struct probe {
    uint64_t begin_ns, end_ns;
    uint64_t took_ns; /* UINT64_MAX when it failed */
};

/* Shared with the prober. */
struct probes {
    size_t count; /* (atomic) */
    bool stop;    /* (atomic) */
    struct probe list[PROBES_MAX];
};

struct ordeal {
    enum blow blow;
    enum instant instant;
    struct watched_run run;
    struct wire_server *server;
    struct probes *probes;
    pid_t prober;
    int held_fd; /* -1: the capture was not there yet */
    pid_t runner_pid, wire_pid;
    uint64_t acting_ns, struck_ns; /* acting: since when the fault is known to act */
    int found;
    FILE *log;
};

static void blame(struct ordeal *ordeal, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void blame(struct ordeal *ordeal, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(ordeal->log, "# FOUND: ");
    vfprintf(ordeal->log, format, args);
    fprintf(ordeal->log, "\n");
    va_end(args);
    ordeal->found++;
}

/* ---- the scene ------------------------------------------------------------------------------------------------------------ */

static bool own_network(void)
{
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    int fd = unshare(CLONE_NEWNET) == 0 ? socket(AF_INET, SOCK_DGRAM, 0) : -1;
    bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;

    if (fd >= 0)
        close(fd);
    return up;
}

static bool echoes(int fd)
{
    char echoed[8];

    return wire_send_all(fd, "captured", 8) >= 0 && wire_recv_some(fd, echoed, 8, watched_scale(ANSWER_MS)) == 8 &&
           !memcmp(echoed, "captured", 8);
}

static void probe_on(struct probes *probes, const char *address)
{
    signal(SIGPIPE, SIG_IGN);
    while (!__atomic_load_n(&probes->stop, __ATOMIC_ACQUIRE) && probes->count < PROBES_MAX) {
        struct probe *probe = &probes->list[probes->count];
        int fd;

        probe->begin_ns = clock_now_ns();
        fd = wire_connect(address);
        probe->took_ns = fd >= 0 && echoes(fd) ? clock_now_ns() - probe->begin_ns : UINT64_MAX;
        probe->end_ns = clock_now_ns();
        if (fd >= 0)
            close(fd);
        __atomic_store_n(&probes->count, probes->count + 1, __ATOMIC_RELEASE);
        poll(NULL, 0, 5);
    }
}

static bool set_up(struct ordeal *ordeal)
{
    ordeal->held_fd = -1;
    if (!own_network() || watched_make(&ordeal->run, "capture") < 0) {
        blame(ordeal, "no network namespace, or no place to work in");
        return false;
    }
    ordeal->server = wire_server_start(wire_echo, NULL);
    ordeal->probes = mmap(NULL, sizeof(*ordeal->probes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return true;
}

/* ---- the blow ------------------------------------------------------------------------------------------------------------- */

static bool journal_says(const struct ordeal *ordeal, const char *text)
{
    char path[WATCHED_PATH_MAX], *journal;
    bool found;

    snprintf(path, sizeof(path), "%s/journal", ordeal->run.out);
    journal = watched_read(path);
    found = strstr(journal, text);
    free(journal);
    return found;
}

static bool is_due(struct ordeal *ordeal)
{
    char line[1024];

    switch (ordeal->instant) {
    case PLANNED:
        return journal_says(ordeal, " planned capture ");
    case APPLIED:
        return journal_says(ordeal, " applied capture ");
    default:
        if (!ordeal->acting_ns && watched_event(&ordeal->run, "fault_acted", NULL, line, sizeof(line)))
            ordeal->acting_ns = clock_now_ns();
        return ordeal->acting_ns && clock_now_ns() > ordeal->acting_ns + ACTING_MS * NS_PER_MS;
    }
}

/* inotify wakes us at each line. Until the fault is to act, nobody waits for the connection from before. */
static void await_instant(struct ordeal *ordeal, const char *address)
{
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)watched_scale(30000) * NS_PER_MS;
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    char room[4096];

    inotify_add_watch(watch, ordeal->run.out, IN_MODIFY | IN_CREATE | IN_MOVED_TO);
    while (!is_due(ordeal) && clock_now_ns() < deadline_ns && watched_alive(ordeal->run.pid)) {
        if (ordeal->held_fd < 0 && ordeal->instant == ACTING && journal_says(ordeal, " applied capture ")) {
            ordeal->held_fd = wire_connect(address);
            if (!echoes(ordeal->held_fd))
                blame(ordeal, "the connection from before is not echoed");
        }
        poll(&(struct pollfd){ .fd = watch, .events = POLLIN }, 1, 20);
        while (read(watch, room, sizeof(room)) > 0)
            ;
    }
    close(watch);
    if (!is_due(ordeal))
        blame(ordeal, "the instant never came");
}

static void strike(struct ordeal *ordeal)
{
    bool runner = ordeal->blow == RUNNER || ordeal->blow == BOTH || ordeal->blow == ALL;
    bool guardian = ordeal->blow == GUARDIAN || ordeal->blow == BOTH || ordeal->blow == ALL;

    ordeal->runner_pid = watched_child(ordeal->run.pid, "perturb-runner");
    ordeal->wire_pid = watched_child(ordeal->run.pid, "perturb-wire");
    if (!ordeal->runner_pid || !ordeal->wire_pid)
        blame(ordeal, "not all of the run is there");
    ordeal->struck_ns = clock_now_ns();
    if (guardian)
        kill(ordeal->run.pid, SIGKILL);
    if (runner && ordeal->runner_pid)
        kill(ordeal->runner_pid, SIGKILL);
    if ((ordeal->blow == WIRE || ordeal->blow == ALL) && ordeal->wire_pid)
        kill(ordeal->wire_pid, SIGKILL);
}

/* ---- judging -------------------------------------------------------------------------------------------------------------- */

static uint64_t safe_ns(const struct ordeal *ordeal)
{
    return ordeal->struck_ns + (uint64_t)(2 * LEASE_MS + watched_scale(SLACK_MS)) * NS_PER_MS;
}

static void await_safety(const struct ordeal *ordeal)
{
    uint64_t until_ns = safe_ns(ordeal) + 300 * NS_PER_MS, now_ns;

    while ((now_ns = clock_now_ns()) < until_ns)
        poll(NULL, 0, (int)((until_ns - now_ns) / NS_PER_MS) + 1);
}

static void judge_probes(struct ordeal *ordeal)
{
    bool wire_lives = ordeal->blow != WIRE && ordeal->blow != ALL;
    size_t count = __atomic_load_n(&ordeal->probes->count, __ATOMIC_ACQUIRE), failed = 0, slow = 0, late = 0;
    uint64_t first_failed_ns = UINT64_MAX, last_failed_ns = 0;

    for (size_t i = 0; i < count; i++) {
        const struct probe *probe = &ordeal->probes->list[i];
        bool is_late = probe->begin_ns > safe_ns(ordeal);

        late += is_late;
        slow += probe->took_ns != UINT64_MAX && probe->took_ns > SLOW_MS * NS_PER_MS && probe->begin_ns < ordeal->struck_ns;
        if (probe->took_ns == UINT64_MAX) {
            failed++;
            first_failed_ns = first_failed_ns < probe->end_ns ? first_failed_ns : probe->end_ns;
            last_failed_ns = probe->end_ns;
        }
        if (is_late && probe->took_ns > (uint64_t)watched_scale(QUICK_MS) * NS_PER_MS)
            blame(ordeal, "a connect after two leases and slack %s", probe->took_ns == UINT64_MAX ? "failed" : "was slow");
    }
    fprintf(ordeal->log, "# %zu connects, %zu slow before the blow, %zu failed (the last %.0f ms after it), %zu judged at the end\n", count,
            slow, failed, last_failed_ns ? (double)(int64_t)(last_failed_ns - ordeal->struck_ns) / 1e6 : 0, late);
    if (!late)
        blame(ordeal, "no connect was made at the end");
    if (ordeal->instant == ACTING && !slow)
        blame(ordeal, "the fault acted on no connect: nothing was captured");
    if (failed && (wire_lives || first_failed_ns < ordeal->struck_ns))
        blame(ordeal, "%zu connects failed though the wire executor lived", failed);
}

static void judge_held(struct ordeal *ordeal)
{
    bool wire_lives = ordeal->blow != WIRE && ordeal->blow != ALL;

    if (ordeal->held_fd >= 0 && wire_lives && !echoes(ordeal->held_fd))
        blame(ordeal, "the connection from before is dead");
    if (ordeal->held_fd >= 0)
        close(ordeal->held_fd);
    if (!watched_gone(ordeal->wire_pid, watched_scale(5000)))
        blame(ordeal, "the wire executor stays without a connection");
}

static void judge_end(struct ordeal *ordeal)
{
    bool guardian_lives = ordeal->blow == RUNNER || ordeal->blow == WIRE;
    int status = watched_wait(ordeal->run.pid, watched_scale(20000));

    bool refused = ordeal->blow == WIRE && ordeal->instant != ACTING && status == 69; /* it had not begun */

    if (guardian_lives && status != 3 && !refused)
        blame(ordeal, "the run's exit status is %d, not 3", status);
    if (ordeal->blow == GUARDIAN && !watched_gone(ordeal->runner_pid, watched_scale(20000)))
        blame(ordeal, "the runner does not come to an end without its guardian");
}

static bool has_table(void)
{
    char line[256] = "";
    FILE *pipe = popen("nft list tables", "re");

    while (pipe && !strstr(line, "perturb") && fgets(line, sizeof(line), pipe))
        ;
    return !pipe || pclose(pipe) != 0 || strstr(line, "perturb");
}

static void judge_recovery(struct ordeal *ordeal)
{
    char said[8192], who[512], id[64];
    int status = watched_command(&ordeal->run, said, sizeof(said), (const char *[]){ "recover", NULL });

    if (status != 0 || (!strstr(said, "nothing to recover") && !strstr(said, "proven: nothing of it is left")))
        blame(ordeal, "recover ends with %d and says: %s", status, said);
    if (has_table())
        blame(ordeal, "the kernel still has a table of the run's");
    status = watched_command(&ordeal->run, said, sizeof(said), (const char *[]){ "recover", NULL });
    if (status != 0 || !strstr(said, "nothing to recover"))
        blame(ordeal, "a second recover is no no-op: %d, %s", status, said);
    watched_id(&ordeal->run, id, sizeof(id));
    if (id[0] && watched_marked(id, who, sizeof(who)))
        blame(ordeal, "left running:%s", who);
    if (watched_registered(&ordeal->run))
        blame(ordeal, "the registry still lists a run");
}

/* ---- one, and all ----------------------------------------------------------------------------------------------------------- */

static void conduct(struct ordeal *ordeal)
{
    char address[32], port[32];
    const char *more[] = { "--var", port, NULL };

    snprintf(address, sizeof(address), "127.0.0.1:%u", wire_server_port(ordeal->server));
    snprintf(port, sizeof(port), "port=%u", wire_server_port(ordeal->server));
    ordeal->prober = fork();
    if (ordeal->prober == 0) {
        probe_on(ordeal->probes, address);
        _exit(0);
    }
    watched_start_run(&ordeal->run, "tests/e2e/playbooks/capture-kills.yaml", 42, more);
    await_instant(ordeal, address);
    strike(ordeal);
    await_safety(ordeal);
    __atomic_store_n(&ordeal->probes->stop, true, __ATOMIC_RELEASE);
    waitpid(ordeal->prober, NULL, 0);
    judge_probes(ordeal);
    judge_held(ordeal);
    judge_end(ordeal);
    judge_recovery(ordeal);
    wire_server_stop(ordeal->server);
}

static int endure(struct ordeal *ordeal)
{
    if (set_up(ordeal))
        conduct(ordeal);
    if (ordeal->found) {
        char *said = watched_read(ordeal->run.output), *rest = NULL;

        for (char *at = strtok_r(said, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest))
            fprintf(ordeal->log, "#   | %s\n", at);
        free(said);
    } else {
        watched_remove(&ordeal->run);
    }
    return ordeal->found > 0;
}

static int tell(struct ordeal *ordeal, unsigned number, int status)
{
    char line[1024];

    printf("%sok %u - SIGKILL of %s %s\n", status ? "not " : "", number + 1, blow_names[ordeal->blow], instant_names[ordeal->instant]);
    rewind(ordeal->log);
    while (fgets(line, sizeof(line), ordeal->log))
        fputs(line, stdout);
    fclose(ordeal->log);
    return status;
}

int main(void)
{
    static struct ordeal ordeals[BLOWS * INSTANTS];
    pid_t pids[BLOWS * INSTANTS];
    unsigned started = 0;
    int failed = 0;

    if (geteuid() != 0) {
        printf("1..0 # SKIP captures by the kernel need root\n");
        return 0;
    }
    printf("1..%d\n", BLOWS * INSTANTS);
    for (unsigned told = 0; told < BLOWS * INSTANTS; told++) {
        int status = 0;

        for (; started < BLOWS * INSTANTS && started - told < PARALLEL; started++) {
            ordeals[started] = (struct ordeal){ .blow = (enum blow)(started % BLOWS), .instant = (enum instant)(started / BLOWS), .log = tmpfile() };
            fflush(NULL);
            pids[started] = fork();
            if (pids[started] == 0) {
                status = endure(&ordeals[started]);
                fflush(ordeals[started].log);
                _exit(status);
            }
        }
        waitpid(pids[told], &status, 0);
        failed += tell(&ordeals[told], told, status);
        fflush(stdout);
    }
    return failed != 0;
}
