/* May we, and could it work? Asked of /proc alone. Control plane. */
#include "shims/host/attach.h"

#include "scenarios/base/cleanup.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool same_namespace(pid_t pid, const char *kind)
{
    char path[64];
    struct stat own, other;

    snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
    if (stat(path, &own) < 0)
        return true;
    snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
    return stat(path, &other) < 0 || own.st_ino == other.st_ino;
}

static void read_status(pid_t pid, struct process_facts *facts)
{
    char path[64], line[256];
    unsigned value;
    FILE *file;
    int number;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) {
        if (!strncmp(line, "State:", 6))
            facts->state = line[6 + strspn(line + 6, " \t")];
        else if (sscanf(line, "TracerPid: %d", &number) == 1)
            facts->tracer = number;
        else if (sscanf(line, "Seccomp: %d", &number) == 1)
            facts->seccomp = number;
        else if (sscanf(line, "NoNewPrivs: %d", &number) == 1)
            facts->no_new_privs = number != 0;
        else if (sscanf(line, "Threads: %u", &value) == 1)
            facts->threads = value;
        else if (sscanf(line, "Uid: %u", &value) == 1)
            facts->uid = value;
    }
    if (file)
        fclose(file);
}

static void name_tracer(struct process_facts *facts)
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/comm", (int)facts->tracer);
    file = fopen(path, "re");
    if (!file || !fgets(facts->tracer_name, sizeof(facts->tracer_name), file))
        snprintf(facts->tracer_name, sizeof(facts->tracer_name), "?");
    facts->tracer_name[strcspn(facts->tracer_name, "\n")] = '\0';
    if (file)
        fclose(file);
}

static bool gained_privilege(pid_t pid)
{
    char path[64];
    Elf64_auxv_t entry;
    bool secure = false;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/auxv", (int)pid);
    file = fopen(path, "re");
    while (file && fread(&entry, sizeof(entry), 1, file) == 1 && entry.a_type != AT_NULL)
        if (entry.a_type == AT_SECURE)
            secure = entry.a_un.a_val != 0;
    if (file)
        fclose(file);
    return secure;
}

static unsigned count_rings(pid_t pid)
{
    char path[64], link[64];
    const struct dirent *entry;
    unsigned count = 0;
    DIR *folder;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    folder = opendir(path);
    while (folder && (entry = readdir(folder))) {
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, link, sizeof(link) - 1);

        link[length > 0 ? length : 0] = '\0';
        count += !strcmp(link, "anon_inode:[io_uring]");
    }
    if (folder)
        closedir(folder);
    return count;
}

static int read_yama(void)
{
    FILE *file = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
    int scope = -1;

    if (file && fscanf(file, "%d", &scope) != 1)
        scope = -1;
    if (file)
        fclose(file);
    return scope;
}

/* Opening the memory of a process asks the kernel the very question that attaching asks (PTRACE_MODE_ATTACH). */
static bool kernel_permits(pid_t pid)
{
    char path[64];
    AUTO_CLOSE int fd = -1;

    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

int process_facts_read(pid_t pid, struct process_facts *ret_facts)
{
    struct process_facts facts = { .yama = read_yama() };
    struct stat status;
    char path[64];

    read_status(pid, &facts);
    if (!facts.state)
        return -ESRCH;
    if (facts.tracer)
        name_tracer(&facts);
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, "root/proc/self");
    facts.has_proc = lstat(path, &status) == 0;
    facts.secure = gained_privilege(pid);
    facts.other_mounts = !same_namespace(pid, "mnt");
    facts.other_pids = !same_namespace(pid, "pid");
    facts.other_network = !same_namespace(pid, "net");
    facts.may_trace = kernel_permits(pid);
    facts.rings = count_rings(pid);
    *ret_facts = facts;
    return 0;
}

static const char *not_permitted(const struct process_facts *facts, char *why)
{
    if (facts->uid != geteuid() && geteuid() != 0)
        snprintf(why, ATTACH_WHY_MAX, "not permitted: it belongs to another user (%u); attach as that user or as root", (unsigned)facts->uid);
    else if (facts->yama == 3)
        snprintf(why, ATTACH_WHY_MAX, "not permitted: kernel.yama.ptrace_scope is 3, nothing may be traced until the next boot");
    else if (facts->yama > 0)
        snprintf(why, ATTACH_WHY_MAX, "not permitted: kernel.yama.ptrace_scope is %d; with CAP_SYS_PTRACE (root), or at scope 0, it works", facts->yama);
    else
        snprintf(why, ATTACH_WHY_MAX, "not permitted: it is not dumpable, runs in a user namespace that is not ours, or CAP_SYS_PTRACE was taken from this container");
    return why;
}

static const char *kind_refusal(const struct inspection *inspection)
{
    if (inspection->linkage == LINKAGE_FOREIGN)
        return "it is built for another machine or 32 bits: the library does not fit into it";
    if (inspection->is_go)
        return "it is a Go program: it makes its system calls itself, past any library. `perturb exec --backend seccomp` starts it under a supervisor";
    if (inspection->linkage == LINKAGE_STATIC)
        return "it is linked statically: it has no loader that could take a library. `perturb exec --backend seccomp` starts it under a supervisor";
    if (inspection->is_musl)
        return "its C library is musl, whose loader cannot be entered safely from outside. `perturb exec` starts it under the shim";
    return NULL;
}

const char *attach_refusal(pid_t pid, const struct process_facts *facts, const struct inspection *inspection, char why[ATTACH_WHY_MAX])
{
    const char *text = NULL;

    if (facts->state == 'Z' || facts->state == 'X')
        text = "it is a zombie: it has ended and waits for its parent";
    else if (pid == getpid())
        text = "that is perturb itself";
#if !defined(__x86_64__)
    else if (true)
        text = "late attach is written for x86-64 only; `perturb exec` starts programs under the shim on this machine";
#endif
    else if (facts->tracer) {
        snprintf(why, ATTACH_WHY_MAX, "process %d (%s) traces it already, and a process has one tracer; end that first", (int)facts->tracer, facts->tracer_name);
        return why;
    } else if (facts->state == 'T' || facts->state == 't')
        text = "it is stopped: no thread of it can do anything until it is continued (SIGCONT)";
    else if (!facts->may_trace)
        return not_permitted(facts, why);
    else if (!inspection)
        text = "its program cannot be read; a thread of the kernel has none";
    else if (kind_refusal(inspection))
        text = kind_refusal(inspection);
    else if (facts->secure)
        text = "it is set-user-ID, set-group-ID or has file capabilities: no library is brought into a program that gained privilege";
    else if (facts->seccomp == 1)
        text = "it runs in strict seccomp mode: a call of the loader would kill it";
    else if (facts->other_pids)
        text = "it lives in another pid namespace, where it goes by another number: attach to it from inside";
    else if (!facts->has_proc)
        text = "its mount namespace has no /proc, by which the library is handed over";
    return text ? memcpy(why, text, strlen(text) + 1) : NULL;
}
