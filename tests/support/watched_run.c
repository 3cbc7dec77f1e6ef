/* A run watched from outside. */
#include "tests/support/watched_run.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 64 << 20 };

/* ---- the place -------------------------------------------------------------------------------------------------------- */

const char *watched_build(void)
{
    static char path[WATCHED_PATH_MAX];
    ssize_t length;

    if (path[0])
        return path;
    length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[length > 0 ? length : 0] = '\0';
    for (int up = 0; up < 3 && strrchr(path, '/'); up++) /* BUILD/tests/e2e/test_x */
        *strrchr(path, '/') = '\0';
    return path;
}

int watched_scale(int ms)
{
    const char *text = getenv("PERTURB_TEST_TIMEOUT_MS");
    long scaled = text ? strtol(text, NULL, 10) : 0;

    return scaled > 0 && scaled < 10000000 ? (int)((long)ms * scaled / 10000) : ms;
}

int watched_make(struct watched_run *run, const char *name)
{
    const char *root = getenv("TMPDIR");
    static const char *const folders[] = { "registry", "state", "out" };
    char path[WATCHED_PATH_MAX];

    memset(run, 0, sizeof(*run));
    snprintf(run->base, sizeof(run->base), "%s/%s-XXXXXX", root ? root : "/tmp", name);
    if (!mkdtemp(run->base))
        return -errno;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", run->base, folders[i]);
        if (mkdir(path, 0700) < 0)
            return -errno;
    }
    snprintf(run->out, sizeof(run->out), "%s/out", run->base);
    snprintf(run->output, sizeof(run->output), "%s/output", run->base);
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    (void)remove(path);
    return 0;
}

void watched_remove(const struct watched_run *run)
{
    nftw(run->base, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- starting --------------------------------------------------------------------------------------------------------- */

static _Noreturn void become(const struct watched_run *run, const char *output, const char *const *args)
{
    char path[WATCHED_PATH_MAX + 16], *argv[WATCHED_ARGS_MAX + 2];
    size_t count = 0;
    sigset_t none;
    int out = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600), in = open("/dev/null", O_RDONLY);

    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < 32; number++)
        signal(number, SIG_DFL);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    syscall(SYS_close_range, 3U, ~0U, 0U);
    snprintf(path, sizeof(path), "%s/registry", run->base);
    setenv("PERTURB_REGISTRY", path, 1);
    snprintf(path, sizeof(path), "%s/state", run->base);
    setenv("XDG_STATE_HOME", path, 1);
    snprintf(path, sizeof(path), "%s/perturb", watched_build());
    argv[count++] = path;
    while (count <= WATCHED_ARGS_MAX && args[count - 1]) {
        argv[count] = (char *)(uintptr_t)args[count - 1];
        count++;
    }
    argv[count] = NULL;
    execv(path, argv);
    _exit(127);
}

static pid_t start(struct watched_run *run, const char *output, const char *const *args)
{
    pid_t pid = fork();

    if (pid == 0)
        become(run, output, args);
    return pid;
}

pid_t watched_start(struct watched_run *run, bool is_run, const char *const *args)
{
    pid_t pid = start(run, run->output, args);

    if (is_run) {
        run->pid = pid;
        run->started_ns = clock_now_ns();
    }
    return pid;
}

void watched_start_run(struct watched_run *run, const char *playbook, uint64_t seed, const char *const *more)
{
    const char *args[WATCHED_ARGS_MAX] = { "run", playbook, "--out", run->out, "--seed" };
    char seed_text[24], build[WATCHED_PATH_MAX + 8];
    size_t count = 5;

    snprintf(seed_text, sizeof(seed_text), "%llu", (unsigned long long)seed);
    snprintf(build, sizeof(build), "build=%s", watched_build());
    args[count++] = seed_text;
    args[count++] = "--var";
    args[count++] = build;
    for (; more && *more && count + 1 < WATCHED_ARGS_MAX; more++)
        args[count++] = *more;
    args[count] = NULL;
    watched_start(run, true, args);
}

int watched_wait(pid_t pid, int timeout_ms)
{
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0), status = 0;

    while (fd >= 0 && clock_now_ns() < deadline_ns)
        if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, (int)((deadline_ns - clock_now_ns()) / NS_PER_MS) + 1) > 0)
            break;
    if (fd >= 0)
        close(fd);
    if (waitpid(pid, &status, WNOHANG) != pid)
        return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int watched_command(struct watched_run *run, char *text, size_t size, const char *const *args)
{
    char output[WATCHED_PATH_MAX];
    pid_t pid;
    int status;

    snprintf(output, sizeof(output), "%s/command", run->base);
    unlink(output);
    pid = start(run, output, args);
    status = watched_wait(pid, watched_scale(60000));
    if (status < 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    if (text) {
        char *said = watched_read(output);

        snprintf(text, size, "%s", said);
        free(said);
    }
    return status;
}

/* ---- files ------------------------------------------------------------------------------------------------------------ */

char *watched_read(const char *path)
{
    struct buf text;
    char *taken;

    buf_init(&text, FILE_BYTES_MAX);
    buf_read_file(&text, path);
    taken = text.failed ? NULL : buf_take(&text);
    buf_done(&text);
    return taken ? taken : calloc(1, 1);
}

size_t watched_lines(const char *path)
{
    char *text = watched_read(path);
    size_t count = 0;

    for (const char *at = text; (at = strchr(at, '\n')); at++)
        count++;
    free(text);
    return count;
}

bool watched_event(const struct watched_run *run, const char *kind, const char *text, char *line, size_t size)
{
    char path[WATCHED_PATH_MAX], wanted[96], *events, *at, *rest = NULL;
    bool found = false;

    snprintf(path, sizeof(path), "%s/events.jsonl", run->out);
    snprintf(wanted, sizeof(wanted), "\"%s\"", kind);
    events = watched_read(path);
    for (at = strtok_r(events, "\n", &rest); at && !found; at = strtok_r(NULL, "\n", &rest))
        if (strstr(at, wanted) && (!text || strstr(at, text))) {
            snprintf(line, size, "%s", at);
            found = true;
        }
    free(events);
    return found;
}

cJSON *watched_result(const struct watched_run *run)
{
    char path[WATCHED_PATH_MAX], *text;
    cJSON *result;

    snprintf(path, sizeof(path), "%s/result.json", run->out);
    text = watched_read(path);
    result = cJSON_Parse(text);
    free(text);
    return result;
}

static const cJSON *find(const cJSON *object, const char *path)
{
    char part[64];

    while (object && *path) {
        size_t length = strcspn(path, "/");

        snprintf(part, sizeof(part), "%.*s", (int)length, path);
        object = cJSON_IsArray(object) ? cJSON_GetArrayItem(object, (int)strtol(part, NULL, 10))
                                       : cJSON_GetObjectItemCaseSensitive(object, part);
        path += length + (path[length] == '/');
    }
    return object;
}

double watched_number(const cJSON *object, const char *path)
{
    const cJSON *item = find(object, path);

    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

const char *watched_text(const cJSON *object, const char *path)
{
    const cJSON *item = find(object, path);

    return cJSON_IsString(item) ? item->valuestring : "";
}

void watched_id(const struct watched_run *run, char *id, size_t size)
{
    char *said = watched_read(run->output);
    const char *at = strncmp(said, "run ", 4) ? strstr(said, "\nrun ") : said - 1;

    id[0] = '\0';
    if (at)
        snprintf(id, size, "%.*s", (int)strcspn(at + 5, ", \n"), at + 5);
    free(said);
}

/* ---- processes -------------------------------------------------------------------------------------------------------- */

static bool read_stat(pid_t pid, char *comm, size_t size, char *ret_state, pid_t *ret_parent)
{
    char path[64], *text, *open, *close;
    bool ok = false;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    text = watched_read(path);
    open = strchr(text, '(');
    close = strrchr(text, ')');
    if (open && close && sscanf(close + 1, " %c %d", ret_state, ret_parent) == 2) {
        snprintf(comm, size, "%.*s", (int)(close - open - 1), open + 1);
        ok = true;
    }
    free(text);
    return ok;
}

/* Calls `each` with every process number until it returns true. */
static bool each_process(bool (*each)(pid_t pid, void *context), void *context)
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;
    bool found = false;

    while (directory && !found && (entry = readdir(directory))) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);

        found = !*end && pid > 0 && each((pid_t)pid, context);
    }
    if (directory)
        closedir(directory);
    return found;
}

struct child_search {
    pid_t parent, found;
    const char *comm;
};

static bool is_child(pid_t pid, void *context)
{
    struct child_search *search = context;
    char comm[32], state;
    pid_t parent;

    if (!read_stat(pid, comm, sizeof(comm), &state, &parent) || parent != search->parent || state == 'Z' || strcmp(comm, search->comm) != 0)
        return false;
    search->found = pid;
    return true;
}

pid_t watched_child(pid_t parent, const char *comm)
{
    struct child_search search = { .parent = parent, .comm = comm };

    each_process(is_child, &search);
    return search.found;
}

bool watched_alive(pid_t pid)
{
    char comm[32], state;
    pid_t parent;

    return pid > 0 && read_stat(pid, comm, sizeof(comm), &state, &parent) && state != 'Z' && state != 'X';
}

bool watched_gone(pid_t pid, int timeout_ms)
{
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    int left_ms = timeout_ms;

    while (fd >= 0 && watched_alive(pid) && left_ms > 0) {
        poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, left_ms);
        left_ms = clock_now_ns() >= deadline_ns ? 0 : (int)((deadline_ns - clock_now_ns()) / NS_PER_MS) + 1;
    }
    if (fd >= 0)
        close(fd);
    return !watched_alive(pid);
}

struct mark_search {
    char mark[96], *who;
    size_t size;
    int count;
};

static bool count_marked(pid_t pid, void *context)
{
    struct mark_search *search = context;
    char path[64], *environment;
    size_t length = strlen(search->mark) + 1, at = 0;
    struct buf text;

    if (!watched_alive(pid))
        return false;
    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    buf_init(&text, FILE_BYTES_MAX);
    buf_read_file(&text, path);
    environment = text.data;
    while (at < text.length && (text.length - at + 1 < length || memcmp(environment + at, search->mark, length) != 0))
        at += strlen(environment + at) + 1;
    if (at < text.length) {
        char comm[32] = "?", state;
        pid_t parent;
        size_t used = strlen(search->who);

        read_stat(pid, comm, sizeof(comm), &state, &parent);
        snprintf(search->who + used, search->size - used, " %d(%s)", (int)pid, comm);
        search->count++;
    }
    buf_done(&text);
    return false;
}

int watched_marked(const char *id, char *who, size_t size)
{
    struct mark_search search = { .who = who, .size = size };

    who[0] = '\0';
    snprintf(search.mark, sizeof(search.mark), "PERTURB_RUN=%s", id);
    each_process(count_marked, &search);
    return search.count;
}

int watched_registered(const struct watched_run *run)
{
    char path[WATCHED_PATH_MAX];
    struct dirent *entry;
    DIR *directory;
    int count = 0;

    snprintf(path, sizeof(path), "%s/registry/runs", run->base);
    directory = opendir(path);
    while (directory && (entry = readdir(directory)))
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (directory)
        closedir(directory);
    return count;
}

static const char *group_wanted;
static bool group_found;

static int look_at_group(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type;
    group_found |= !strcmp(path + walk->base, group_wanted);
    return group_found;
}

bool watched_group_exists(const char *id)
{
    char name[96];

    snprintf(name, sizeof(name), "perturb-%s", id);
    group_wanted = name;
    group_found = false;
    nftw("/sys/fs/cgroup", look_at_group, 16, FTW_PHYS);
    return group_found;
}
