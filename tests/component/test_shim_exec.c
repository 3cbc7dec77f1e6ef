/* perturb exec, ps, arm, disarm and doctor, as a user runs them.
 * beside: others */
#include "tests/component/command.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <elf.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

static size_t count_pages(struct bench *bench)
{
    char path[REGISTRY_FILE_MAX];
    size_t count = 0;
    DIR *folder;

    assert_int_equal(registry_path(&bench->registry, "pages", path, sizeof(path)), 0);
    folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && strcmp(entry->d_name, "test") != 0;
    closedir(folder);
    return count;
}

/* ---- status ----------------------------------------------------------------------------------------------------------- */

static void status_is_the_programs(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(perturb(bench, "exec", "--", "sh", "-c", "exit 7"), 7);
    expect_heard("exited with status 7");
    assert_int_equal(perturb(bench, "exec", "--", "sh", "-c", "kill -9 $$"), 128 + SIGKILL);
    expect_heard("ended by signal 9");
    assert_int_equal(perturb(bench, "exec", "--", "/nonexistent"), 127);
    assert_int_equal(perturb(bench, "exec", "--", "/etc/passwd"), 126);
    assert_int_equal(count_pages(bench), 0);
}

static void own_failures_are_125(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(perturb(bench, "exec", "-f", "faill:EIO", "--", "true"), 125);
    expect_heard("did you mean fail?");
    assert_int_equal(perturb(bench, "exec"), 125);
    assert_int_equal(perturb(bench, "exec", "--sed", "1x", "--", "true"), 125);
    assert_int_equal(perturb(bench, "exec", "-f", "blackhole", "--", "true"), 125);
    expect_heard("to=HOST:PORT");
    assert_int_equal(lever_set(&bench->registry, true), 0);
    assert_int_equal(perturb(bench, "exec", "-f", "fail@write:EIO", "--", "true"), 125);
    expect_heard("halted");
    assert_int_equal(count_pages(bench), 0);
}

static void table_tells_what_fired(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(perturb(bench, "exec", "--seed", "4711", "-f", "fail@write:EIO,probability=10%,name=x", "--",
                             fixture(bench, "victim_calls"), "fail", "seed=4711", "ppm=100000", "calls=5000", "value=5"), 0);
    expect_heard("seed 4711,");
    {
        unsigned long long calls, hits, matched, eligible, fired, skipped;
        const char *line = strstr(heard, "\n  x ");

        assert_int_equal(sscanf(heard, "calls=%llu hits=%llu", &calls, &hits), 2);
        assert_non_null(line);
        assert_int_equal(sscanf(line, " x %llu %llu %llu %llu", &matched, &eligible, &fired, &skipped), 4);
        assert_int_equal(matched, calls);
        assert_int_equal(eligible, calls);
        assert_int_equal(fired, hits);
        assert_true(hits > 300 && hits < 700);
    }
}

static void silence_is_explained(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(perturb(bench, "exec", "-f", "fail@fsync:EIO", "-f", "fail@write:EIO,path=/nowhere/*", "--", fixture(bench, "victim_calls"),
                             "fail", "ppm=0"), 0);
    expect_heard("fail never matched: neither the program nor its libraries import a call of: fsync");
    expect_heard("fail-2 never matched: no call met the selector path");
}

/* ---- signals, and the end of perturb itself --------------------------------------------------------------------------- */

static void signals_are_passed_on(void **state)
{
    struct bench *bench = *state;
    struct victim victim = perturb_start(bench, "exec", "--", fixture(bench, "victim_life"), "idle", NULL);

    victim_hear(&victim, "going", heard, sizeof(heard));
    kill(victim.pid, SIGTERM);
    victim_hear(&victim, NULL, heard, sizeof(heard)); /* to its end: closing its input would end it another way */
    assert_int_equal(perturb_end(victim), 128 + SIGTERM);
    assert_int_equal(count_pages(bench), 0);
}

static void killed_exec_leaves_no_fault(void **state)
{
    struct bench *bench = *state;
    struct victim victim = perturb_start(bench, "exec", "-f", "fail@write:EIO,path=/dev/null", "--", fixture(bench, "victim_life"), "outlast", NULL);
    int status;

    victim_hear(&victim, "hit", heard, sizeof(heard));
    kill(victim.pid, SIGKILL);
    assert_int_equal(waitpid(victim.pid, &status, 0), victim.pid);
    victim_hear(&victim, "free", heard, sizeof(heard)); /* the lease is 5 s */
    victim_hear(&victim, NULL, heard, sizeof(heard));   /* to its end */
    close(victim.in);
    close(victim.out);
    assert_int_equal(count_pages(bench), 1);
    assert_int_equal(perturb(bench, "ps"), 0);
    assert_int_equal(count_pages(bench), 0); /* whoever comes next sweeps */
}

/* The victim runs longer than a lease: it has been renewed. */
static void lease_is_renewed(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(perturb(bench, "exec", "-f", "latency@write:6s,path=/dev/null", "--", fixture(bench, "victim_life"), "sleeper"), 0);
    {
        const char *said = strstr(heard, "perturb: exec: seed");
        double seconds = 0;

        assert_non_null(said);
        assert_int_equal(sscanf(said, "perturb: exec: seed %*u, %lf s", &seconds), 1);
        assert_true(seconds >= 6.0);
    }
}

static uint64_t fastest(char *const *argv)
{
    uint64_t best_ns = UINT64_MAX;

    for (int i = 0; i < 10; i++) {
        uint64_t begin_ns = clock_now_ns();
        struct victim victim = start_loud(argv);

        assert_int_equal(perturb_end(victim), 0);
        if (clock_now_ns() - begin_ns < best_ns)
            best_ns = clock_now_ns() - begin_ns;
    }
    return best_ns;
}

/* Ahead of whoever else uses the machine, where we may. */
static void starts_quickly(void **state)
{
    struct bench *bench = *state;
    char program[PATH_MAX + 16];
    uint64_t alone_ns, under_ns;

    snprintf(program, sizeof(program), "%s/perturb", bench->build);
    (void)sched_setscheduler(0, SCHED_RR, &(struct sched_param){ .sched_priority = 1 });
    alone_ns = fastest((char *[]){ fixture(bench, "alloc_pairs"), NULL });
    under_ns = fastest((char *[]){ program, "exec", "-f", "fail@fsync:EIO", "--", fixture(bench, "alloc_pairs"), NULL });
    (void)sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){ .sched_priority = 0 });
    print_message("alone %.2f ms, under exec %.2f ms\n", (double)alone_ns / 1e6, (double)under_ns / 1e6);
    assert_true(under_ns < alone_ns + 50 * NS_PER_MS);
}

/* ---- arm, disarm, ps -------------------------------------------------------------------------------------------------- */

static void arm_and_disarm_a_running_program(void **state)
{
    struct bench *bench = *state;
    struct victim victim = perturb_start(bench, "exec", "--", fixture(bench, "victim_life"), "outlast", NULL);
    char target[32];

    snprintf(target, sizeof(target), "%d", (int)victim.pid);
    while (!count_pages(bench))
        poll(NULL, 0, 5);
    assert_int_equal(perturb(bench, "arm", target, "fail@write:EIO,path=/dev/null"), 64);
    expect_heard("--for");
    do
        assert_true(perturb(bench, "arm", target, "fail@write:EIO,path=/dev/null", "--for", "1h", "--seed", "5") != 65);
    while (strstr(heard, "no living process")); /* it may still be on its way to main() */
    expect_heard("armed exec-");
    victim_hear(&victim, "hit", heard, sizeof(heard));
    assert_int_equal(perturb(bench, "arm", target, "fail@write:EIO", "--for", "1h"), 69);
    expect_heard("armed already");
    assert_int_equal(perturb(bench, "ps"), 0);
    expect_heard("victim_life");
    expect_heard("fail@write:path=/dev/null");
    assert_int_equal(perturb(bench, "disarm", target), 0);
    victim_hear(&victim, "free", heard, sizeof(heard));
    assert_int_equal(perturb_end(victim), 0);
}

static void arm_expires_by_itself(void **state)
{
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_life", "outlast");
    char text[64];

    while (perturb(bench, "arm", "test", "fail@write:EIO,path=/dev/null", "--for", "1s"))
        expect_heard("no living process");
    victim_hear(&victim, "hit", text, sizeof(text));
    victim_hear(&victim, "free", text, sizeof(text));
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

static void arm_says_what_is_wrong(void **state)
{
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_life", "idle");
    char text[64];

    victim_hear(&victim, "going", text, sizeof(text));
    assert_int_equal(perturb(bench, "arm", "nosuch", "fail@write:EIO", "--for", "1s"), 69);
    assert_int_equal(perturb(bench, "arm", "1", "fail@write:EIO", "--for", "1s"), 69);
    assert_int_equal(perturb(bench, "arm", "test", "fail@fsync:EIO", "--for", "1s"), 69);
    expect_heard("cannot take effect");
    assert_int_equal(perturb(bench, "disarm"), 64);
    assert_int_equal(perturb(bench, "disarm", "--all"), 0);
    expect_heard("disarmed test");
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

/* ---- the wire --------------------------------------------------------------------------------------------------------- */

/* Answers PING on a port of its own until it is killed. */
static pid_t start_responder(uint16_t *ret_port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t pid;

    assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    *ret_port = ntohs(address.sin_port);
    pid = fork();
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (pid == 0) {
        int fd = accept(listener, NULL, NULL);
        char request[256];

        while (fd >= 0 && read(fd, request, sizeof(request)) > 0)
            (void)!write(fd, "+PONG\r\n", 7);
        close(fd);
    }
    close(listener);
    return pid;
}

/* The client is told its usual port; the proxy between them holds the answer back, and is gone afterwards. */
static void a_slow_peer_by_redirect(void **state)
{
    struct bench *bench = *state;
    uint64_t begin_ns = clock_now_ns();
    char fault[64], port_text[16];
    pid_t responder;
    uint16_t port;

    if (access("/usr/bin/redis-cli", X_OK) < 0) {
        print_message("skipped: no /usr/bin/redis-cli\n");
        skip();
    }
    responder = start_responder(&port);
    snprintf(port_text, sizeof(port_text), "%u", port);
    snprintf(fault, sizeof(fault), "latency:250ms,direction=to_client,name=slow,to=:%u", port);
    assert_int_equal(perturb(bench, "exec", "-f", fault, "-f", "fail@fsync:EIO", "--", "redis-cli", "-p", port_text, "PING"), 0);
    expect_heard("PONG\n");
    expect_heard("\n  slow           1          1          1          0  +0.");
    assert_true(clock_now_ns() - begin_ns >= 250 * NS_PER_MS);
    snprintf(fault, sizeof(fault), "refuse:to=127.0.0.1:%u", port);
    assert_int_equal(perturb(bench, "exec", "-f", fault, "--", "redis-cli", "-p", port_text, "PING"), 1);
    snprintf(fault, sizeof(fault), "latency:1ms,to=no-such-host.invalid:%u", port);
    assert_int_equal(perturb(bench, "exec", "-f", fault, "--", "true"), 125);
    kill(responder, SIGKILL);
    waitpid(responder, NULL, 0);
}

/* ---- what cannot be reached ------------------------------------------------------------------------------------------- */

/* A copy of a program with its loader taken out, as a static one looks; with `go` its note names Go as the linker's. */
static void copy_as_static(const char *from, const char *to, bool go)
{
    unsigned char data[1 << 18];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    ssize_t size = read(in, data, sizeof(data));
    Elf64_Ehdr *header = (void *)data;

    assert_true(size > (ssize_t)sizeof(*header));
    for (int i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr *segment = (Elf64_Phdr *)(void *)(data + header->e_phoff) + i;

        if (segment->p_type == PT_INTERP)
            segment->p_type = PT_NULL;
        if (segment->p_type == PT_NOTE && go)
            memcpy(data + segment->p_offset + sizeof(Elf64_Nhdr), "Go\0", 4);
    }
    assert_int_equal(write(out, data, (size_t)size), size);
    close(in);
    close(out);
}

static void static_programs_are_refused_and_explained(void **state)
{
    struct bench *bench = *state;
    char path[256];

    snprintf(path, sizeof(path), "%s/static", bench->folder);
    copy_as_static(fixture(bench, "alloc_pairs"), path, false);
    assert_int_equal(perturb(bench, "exec", "--backend", "preload", "-f", "fail@write:EIO", "--", path), 125);
    expect_heard("linked statically");
    assert_int_equal(perturb(bench, "doctor", path), 0);
    expect_heard("The shim cannot reach it: it is linked statically");
    expect_heard("auto       takes seccomp: a static program loads no library");
    copy_as_static(fixture(bench, "alloc_pairs"), path, true);
    assert_int_equal(perturb(bench, "doctor", path), 0);
    expect_heard("static Go program");
    assert_int_equal(unlink(path), 0);
}

static void doctor_knows_its_patients(void **state)
{
    struct bench *bench = *state;
    struct victim victim;
    char target[32], text[64];

    assert_int_equal(perturb(bench, "doctor", fixture(bench, "victim_calls")), 0);
    expect_heard("malloc     is libc.so.6's");
    expect_heard("write     ");
    expect_heard("drop_connection  yes");
    assert_int_equal(perturb(bench, "doctor", fixture(bench, "alloc_pairs")), 0);
    expect_heard("drop_connection  no       yes\n    preload: neither the program nor its libraries import");
    expect_heard("alloc_fail       yes      no\n    seccomp: it acts on library calls");
    snprintf(target, sizeof(target), "%d", (int)getpid());
    assert_int_equal(perturb(bench, "doctor", target), 0);
    expect_heard("without the shim");
    victim = victim_start(bench, "victim_life", "idle");
    victim_hear(&victim, "going", text, sizeof(text));
    snprintf(target, sizeof(target), "%d", (int)victim.pid);
    assert_int_equal(perturb(bench, "doctor", target), 0);
    expect_heard("loaded, with a control page");
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    assert_int_equal(perturb(bench, "doctor", "/etc/passwd"), 69);
    assert_int_equal(perturb(bench, "doctor"), 64);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(status_is_the_programs),
        CASE(own_failures_are_125),
        CASE(table_tells_what_fired),
        CASE(silence_is_explained),
        CASE(signals_are_passed_on),
        CASE(killed_exec_leaves_no_fault),
        CASE(lease_is_renewed),
        CASE(starts_quickly),
        CASE(arm_and_disarm_a_running_program),
        CASE(arm_expires_by_itself),
        CASE(arm_says_what_is_wrong),
        CASE(a_slow_peer_by_redirect),
        CASE(static_programs_are_refused_and_explained),
        CASE(doctor_knows_its_patients),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (skipped_whole())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
