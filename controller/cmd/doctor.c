/* perturb doctor: what can take effect on a program, what cannot, and why. Runs nothing of it. */
#include "controller/cmd/cmd.h"
#include "controller/cmd/code_points.h"
#include "controller/base/json.h"
#include "controller/look/doctor.h"

#include "injector/injector.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/utf8.h"
#include "shims/host/attach.h"
#include "shims/include/calls.h"
#include "shims/seccomp/supervise.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>

static const char *linkage_words(const struct inspection *inspection)
{
    if (inspection->linkage == LINKAGE_FOREIGN)
        return "for another machine or 32 bits";
    if (inspection->linkage == LINKAGE_STATIC)
        return inspection->is_go ? "static, Go" : "static";
    if (inspection->is_go)
        return "dynamic, Go: only its C parts call libc";
    return inspection->is_musl ? "dynamic, musl" : "dynamic, glibc";
}

/* What /proc says of a running one, and whether `perturb attach` would work. */
static void print_process(const struct inspection *inspection)
{
    static const char *const modes[] = { "none", "strict", "a filter" };
    struct process_facts facts;
    char why[ATTACH_WHY_MAX];
    const char *refusal;

    if (process_facts_read(inspection->pid, &facts) < 0)
        return;
    refusal = attach_refusal(inspection->pid, &facts, inspection, why);
    printf("threads    %u\n", facts.threads);
    printf("sandbox    seccomp: %s%s\n", facts.seccomp >= 0 && facts.seccomp <= 2 ? modes[facts.seccomp] : "unknown",
           facts.no_new_privs ? "; no_new_privs is set" : "");
    if (facts.other_mounts || facts.other_pids || facts.other_network)
        printf("namespaces not ours:%s%s%s\n", facts.other_mounts ? " mount" : "", facts.other_pids ? " pid" : "", facts.other_network ? " network" : "");
    if (facts.tracer)
        printf("ptrace     traced by %d (%s)\n", (int)facts.tracer, facts.tracer_name);
    if (facts.rings)
        printf("io_uring   %u open: what goes through them passes no libc call\n", facts.rings);
    if (!inspection->has_shim)
        printf("attach     %s%s\n", refusal ? "no: " : "would work", refusal ? refusal : facts.seccomp == 2 ? ", if the filter lets the loader's calls pass" : "");
}

static void print_facts(const struct inspection *inspection)
{
    char room[PATH_MAX];

    if (inspection->script[0])
        printf("script     %s\n", utf8_shown(inspection->script, room, sizeof(room)));
    printf("program    %s\n", utf8_shown(inspection->path, room, sizeof(room)));
    printf("linked     %s\n", linkage_words(inspection));
    if (inspection->allocator[0])
        printf("malloc     is %s's%s\n", inspection->allocator,
               strstr(inspection->allocator, "jemalloc") || strstr(inspection->allocator, "tcmalloc") ?
                   "; its C++ operator new goes to it directly, past the shim" :
                   "");
    if (inspection->pid)
        printf("shim       %s\n",
               !inspection->has_shim ? "not loaded" : inspection->has_page ? "loaded, with a control page" : "loaded, without a page");
    if (inspection->pid)
        print_process(inspection);
    if (inspection->uses_io_uring)
        printf("io_uring   used: what goes through rings passes no libc call; a proxy still sees its connections\n");
    if (inspection->loads_more && !inspection->pid)
        printf("dlopen     used: libraries that it loads while running may import more than is listed here\n");
    if (inspection->uses_syscall)
        printf("syscall    used: a call that it makes by number (node closes so) passes the shim by\n");
    if (inspection->uses_stdio)
        printf("stdio      used: fopen is wrapped, the reads and writes behind fread and fwrite are inside libc and are not\n");
}

static void print_point(const struct inspection *inspection, enum point point)
{
    size_t column = 0;

    printf("  %-9s", point_descs[point].name);
    for (size_t i = 0; i < call_count && i < sizeof(inspection->imports); i++) {
        if (!inspection->imports[i] || !(call_descs[i].points & BIT(point)))
            continue;
        if (column > 90) {
            printf("\n  %-9s", "");
            column = 0;
        }
        column += (size_t)printf(" %s", call_descs[i].name);
    }
    if (point == POINT_code && inspection->code_count)
        printf(" %zu, listed below", inspection->code_count);
    printf("%s\n", inspection->points & BIT(point) ? "" : " -");
}

/* What the kernel can do for a supervisor, and what auto would take. */
static void print_backends(struct inspection *inspection, const struct supervise_support *support)
{
    const char *why;
    enum backend backend = inspect_backend(inspection, &why);

    printf("seccomp    %s\n",
           !support->notifies ? "this kernel or container has no user notification: --backend seccomp cannot work" :
           support->sync_wake ? "works here; an intercepted call costs some 5 us, other calls some 40 ns" :
                                "works here, slowly: without synchronous wake-up (Linux 6.6) an intercepted call costs some 25 us");
    if (backend == BACKEND_SUPERVISE)
        printf("auto       takes seccomp: %s\n", why);
    else if (!inspection->pid)
        printf("auto       takes %s\n", backend ? "preload" : "neither");
}

static void print_faults(struct inspection *inspection)
{
    const char *unreachable = inspect_unreachable(inspection);
    char room[INSPECT_REASON_MAX];

    printf("\ncall faults      preload  seccomp\n");
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        const char *shim, *supervisor;

        if (fault_descs[i].layer != LAYER_CALL)
            continue;
        shim = doctor_beyond_preload(inspection, &fault_descs[i], fault_points[i], room, sizeof(room));
        supervisor = doctor_beyond_seccomp(inspection, &fault_descs[i], fault_points[i]);
        printf("  %-16s %-8s %s\n", fault_descs[i].name, shim ? "no" : "yes", supervisor ? "no" : "yes");
        if (shim && !unreachable)
            printf("    preload: %s\n", shim);
        if (supervisor && !inspect_unsupervisable(inspection))
            printf("    seccomp: %s\n", supervisor);
    }
    if (inspect_unsupervisable(inspection))
        printf("    seccomp: %s\n", inspect_unsupervisable(inspection));
    printf("stream faults    with to=HOST:PORT on exec: %s; with a proxy of a playbook: yes\n",
           unreachable && inspect_unsupervisable(inspection) ? "no" : "yes");
    printf("host faults      yes\n");
    if (!unreachable && (inspection->points & (POINT_BIT(recv) | POINT_BIT(read))))
        printf("\nlatency sleeps inside the call: a program with non-blocking descriptors is held up as a whole, which no slow peer\n"
               "would do. For a slow peer say latency:TIME,to=HOST:PORT.\n");
}

static int inspect_argument(const char *argument, struct inspection **ret_inspection, struct errs *errs)
{
    char path[PATH_MAX];
    char *end;
    long pid = strtol(argument, &end, 10);
    int result;

    if (!*end && end != argument && pid > 0 && pid <= INT32_MAX) {
        result = inspect_process((pid_t)pid, ret_inspection);
    } else {
        result = inspect_find_program(argument, path, sizeof(path));
        if (!result)
            result = inspect_file(path, ret_inspection);
    }
    if (result < 0)
        return errs_add(errs, ERR_WORLD, argument, "%s",
                        result == -ENOEXEC ? "neither an ELF program nor a script of one" :
                        result == -ESRCH   ? "there is no such process, or it belongs to the kernel" :
                                             strerror(-result));
    return 0;
}

static int print_text(struct inspection *inspection, struct errs *errs)
{
    const char *reason = inspect_unreachable(inspection);
    struct supervise_support support;
    int result = supervise_probe(&support);

    if (result < 0)
        return errs_add(errs, ERR_WORLD, "doctor", "what seccomp can do here could not be tried: %s", strerror(-result));
    print_facts(inspection);
    print_backends(inspection, &support);
    if (reason) {
        printf("\nThe shim cannot reach it: %s.\n", reason);
    } else {
        printf("\nwrapped calls that it or its libraries import, by point\n");
        for (int point = 0; point < POINT_COUNT; point++)
            print_point(inspection, (enum point)point);
    }
    code_points_of_program(inspection);
    print_faults(inspection);
    return 0;
}

static int doctor_main(int argc, char **argv)
{
    static const struct option longs[] = { { "format", required_argument, NULL, 'f' }, { 0 } };
    struct inspection *inspection = NULL;
    static struct errs errs;
    bool json = false;
    int letter;

    opterr = 0;
    optind = 0;
    while ((letter = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        json = letter == 'f' && !strcmp(optarg, "json");
        if (letter == '?')
            errs_add(&errs, ERR_USAGE, "doctor", "unknown option, or one that wants a value");
        else if (!json && strcmp(optarg, "text") != 0)
            errs_add(&errs, ERR_USAGE, "--format", "'%s' is none of: text json", optarg);
    }
    if (!errs.count && argc - optind != 1)
        errs_add(&errs, ERR_USAGE, "doctor", "expected PID or EXE");
    if (errs.count || inspect_argument(argv[optind], &inspection, &errs) < 0)
        return command_fail(&errs);
    if (!json)
        (void)print_text(inspection, &errs);
    else if (json_print(doctor_json(inspection)) < 0)
        errs_add(&errs, ERR_INTERNAL, "doctor", "out of memory");
    inspection_free(inspection);
    return command_fail(&errs);
}

const struct command command_doctor = {
    .name = "doctor",
    .synopsis = "PID|EXE [--format text|json]",
    .summary = "tell which faults can take effect on a program, and why others cannot",
    .help = "Reads the program's file, its libraries and /proc; runs nothing of it.\n"
            "  --format FORMAT   text (default), or json: every call fault point by point, null where it can act, else the reason\n"
            "\n"
            "  perturb doctor redis-server\n",
    .run = doctor_main,
};
