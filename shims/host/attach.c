/* Late attach, from the first look to the answer. Control plane. */
#include "shims/host/attach.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "shims/host/attach_priv.h"
#include "shims/host/elf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <time.h>

#define FORSAKEN_NS NS_PER_S

enum { CAVE_MARGIN = 64, CLEAN_MS = 50, PAGE = 4096 };

/* A mapping of code. */
struct mapping {
    uint64_t first, last, offset, inode;
    unsigned major, minor;
    char path[PATH_MAX];
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static bool begins(const char *path, const char *prefix)
{
    return !strncmp(base_name(path), prefix, strlen(prefix));
}

static void add_range(struct address_range *list, size_t *count, size_t max, const struct mapping *mapping)
{
    if (*count < max)
        list[(*count)++] = (struct address_range){ mapping->first, mapping->last };
}

/* The file that is really mapped: its name may belong to a newer one by now. */
static int open_mapped(pid_t pid, const struct mapping *mapping, struct elf_file *ret_elf)
{
    char path[PATH_MAX + 64];
    struct stat status;

    snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid, mapping->first, mapping->last);
    if (!elf_open(path, ret_elf))
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/root%s", (int)pid, mapping->path);
    if (stat(path, &status) < 0 || status.st_ino != mapping->inode)
        return -ESTALE;
    return elf_open(path, ret_elf);
}

/* ---- what is mapped where ------------------------------------------------------------------------------------------------- */

static bool parse_mapping(const char *line, struct mapping *ret_mapping, char permissions[8])
{
    int path = 0;

    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %x:%x %" SCNu64 " %n", &ret_mapping->first, &ret_mapping->last, permissions,
               &ret_mapping->offset, &ret_mapping->major, &ret_mapping->minor, &ret_mapping->inode, &path) != 7 ||
        !path || line[path] != '/')
        return false;
    snprintf(ret_mapping->path, sizeof(ret_mapping->path), "%s", line + path);
    ret_mapping->path[strcspn(ret_mapping->path, "\n")] = '\0';
    return true;
}

static bool is_zero(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

/* A thread in the stub blocks every signal, those of the C library too. */
static bool blocks_all(pid_t pid, const char *thread)
{
    char path[300], line[128];
    uint64_t blocked = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, thread);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        (void)!sscanf(line, "SigBlk: %" SCNx64, &blocked);
    if (file)
        fclose(file);
    return (blocked | UINT64_C(0x40100)) == UINT64_MAX; /* SIGKILL and SIGSTOP cannot be */
}

/* Left by an attach that was killed, and nobody is in it any more? */
static bool is_forsaken(const struct attach_target *target, const unsigned char *bytes)
{
    const struct dirent *entry;
    struct attach_block block;
    bool busy = false;
    char path[64];
    DIR *folder;

    memcpy(&block, bytes, sizeof(block));
    if (memcmp(bytes + target->stub_entry, target->stub + target->stub_entry, target->stub_size - target->stub_entry) != 0 ||
        clock_now_ns() < block.begin_ns + FORSAKEN_NS)
        return false;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)target->pid);
    folder = opendir(path);
    while (folder && (entry = readdir(folder)))
        busy |= entry->d_name[0] != '.' && blocks_all(target->pid, entry->d_name);
    if (folder)
        closedir(folder);
    return folder && !busy;
}

/* The zeros that fill the last page behind a file's code, or a stub that was not cleaned away. */
static uint64_t find_cave(const struct attach_target *target, const struct mapping *mapping)
{
    unsigned char page[PAGE];
    size_t size = (target->stub_size + CAVE_MARGIN + 15) / 16 * 16;

    if (size > PAGE || pread(target->memory_fd, page, PAGE, (off_t)(mapping->last - PAGE)) != PAGE)
        return 0;
    if (!is_zero(page + PAGE - size, size) &&
        (!is_zero(page + PAGE - size, CAVE_MARGIN) || !is_forsaken(target, page + PAGE - size + CAVE_MARGIN)))
        return 0;
    return mapping->last - size + CAVE_MARGIN;
}

struct survey {
    struct mapping libc, libdl;
    uint64_t libc_base, libdl_base;
};

static void note_mapping(struct attach_target *target, struct survey *survey, const struct mapping *mapping, const char *permissions,
                         const char *allocator)
{
    bool is_libc = begins(mapping->path, "libc.so.6") || begins(mapping->path, "libc-2."), is_libdl = begins(mapping->path, "libdl");
    bool is_loader = begins(mapping->path, "ld-");

    if (!mapping->offset && is_libc)
        survey->libc_base = mapping->first;
    if (!mapping->offset && is_libdl)
        survey->libdl_base = mapping->first;
    if (permissions[2] != 'x')
        return;
    add_range(target->files, &target->file_count, ARRAY_SIZE(target->files), mapping);
    if (is_libc)
        survey->libc = *mapping;
    if (is_libdl)
        survey->libdl = *mapping;
    if (is_loader)
        target->loader = (struct address_range){ mapping->first, mapping->last };
    if (is_libc || is_libdl || is_loader || begins(mapping->path, "libpthread") || (allocator[0] && begins(mapping->path, allocator)))
        add_range(target->unsafe, &target->unsafe_count, ATTACH_RANGES_MAX, mapping);
    if (!target->cave && permissions[3] == 'p' && !is_loader)
        target->cave = find_cave(target, mapping);
}

static int survey_maps(struct attach_target *target, struct survey *survey, const char *allocator)
{
    char path[64], line[PATH_MAX + 128], permissions[8];
    struct mapping mapping;
    FILE *maps;

    snprintf(path, sizeof(path), "/proc/%d/maps", (int)target->pid);
    maps = fopen(path, "re");
    if (!maps)
        return -errno;
    while (fgets(line, sizeof(line), maps))
        if (parse_mapping(line, &mapping, permissions))
            note_mapping(target, survey, &mapping, permissions, allocator);
    fclose(maps);
    return 0;
}

/* ---- before any thread is touched ------------------------------------------------------------------------------------------ */

static int find_functions(struct attach_target *target, const struct survey *survey, char *why)
{
    static const unsigned char restorer[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 }; /* mov $rt_sigreturn, %rax; syscall */
    struct attach_block *block = (void *)target->stub;
    struct elf_file libc, libdl = { .data = NULL };
    uint64_t offset, base = survey->libc_base;

    if (!base || open_mapped(target->pid, &survey->libc, &libc) < 0) {
        snprintf(why, ATTACH_WHY_MAX, "%s", base ? "the C library that it runs on is not the one on disk any more (an upgrade); as root it works" :
                                                   "it has no glibc mapped");
        return -EOPNOTSUPP;
    }
    offset = elf_code(&libc, restorer, sizeof(restorer));
    target->restorer = offset ? base + offset : 0;
    offset = elf_function(&libc, "__errno_location");
    block->errno_location = offset ? base + offset : 0;
    offset = elf_function(&libc, "dlopen");
    if (offset || (survey->libdl_base && open_mapped(target->pid, &survey->libdl, &libdl) == 0)) {
        const struct elf_file *elf = offset ? &libc : &libdl;

        base = offset ? survey->libc_base : survey->libdl_base; /* glibc before 2.34 has them in libdl */
        block->dlopen = base + elf_function(elf, "dlopen");
        block->dlsym = base + elf_function(elf, "dlsym");
        block->dlerror = base + elf_function(elf, "dlerror");
    }
    elf_close(&libc);
    elf_close(&libdl);
    if (!block->errno_location || (!block->function && block->dlopen <= base)) {
        snprintf(why, ATTACH_WHY_MAX, "its C library offers no dlopen (glibc before 2.34 without libdl)");
        return -EOPNOTSUPP;
    }
    return 0;
}

static int prepare(const struct attach_order *order, struct attach_target *target, const char *allocator, char *why)
{
    struct attach_block *block = (void *)target->stub;
    struct survey survey = { .libc_base = 0 };
    const void *stub = attach_stub(&target->stub_size, &target->stub_entry);
    int result;

    if (!stub || target->stub_size > sizeof(target->stub)) {
        snprintf(why, ATTACH_WHY_MAX, "late attach is written for x86-64 only");
        return -EOPNOTSUPP;
    }
    memcpy(target->stub, stub, target->stub_size);
    block->function = order->way_out;
    block->begin_ns = clock_now_ns();
    block->patience_ms = ATTACH_PATIENCE_MS;
    block->state_size = attach_stub_state_size();
    snprintf(block->symbol, sizeof(block->symbol), "perturb_attach");
    snprintf(block->folder, sizeof(block->folder), "/proc/self/fd/../fd/"); /* a spelling that no program uses by chance */
    if (getrandom(&block->nonce, sizeof(block->nonce), 0) != sizeof(block->nonce))
        block->nonce = clock_now_ns() | 1;
    result = survey_maps(target, &survey, allocator);
    if (!result)
        result = find_functions(target, &survey, why);
    if (!result && !target->cave) {
        snprintf(why, ATTACH_WHY_MAX, "no library of it leaves %zu unused bytes behind its code", target->stub_size);
        return -EOPNOTSUPP;
    }
    return result;
}

/* ---- the talk with the stub ------------------------------------------------------------------------------------------------ */

static bool read_note(const struct attach_target *target, uint64_t address, struct attach_note *ret_note)
{
    struct iovec local = { ret_note, sizeof(*ret_note) }, remote = { (void *)(uintptr_t)address, sizeof(*ret_note) };
    const struct attach_block *block = (const void *)target->stub;

    return process_vm_readv(target->pid, &local, 1, &remote, 1, 0) == sizeof(*ret_note) && ret_note->nonce == block->nonce;
}

/* Is it still its end? The stub waits ATTACH_PATIENCE_MS from a later instant than `let_go_ns`, and closes it only then. */
static bool is_still_theirs(uint64_t let_go_ns, int fd)
{
    socklen_t length = sizeof(int);
    int type = 0;

    return clock_now_ns() < let_go_ns + (ATTACH_PATIENCE_MS - 50) * NS_PER_MS && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
           type == SOCK_SEQPACKET;
}

/* Takes our end of the pair. Returns the descriptor or a negative errno. */
static int take_end(const struct attach_target *target, const struct attach_started *started)
{
    AUTO_CLOSE int pid_fd = (int)syscall(SYS_pidfd_open, target->pid, 0);
    uint64_t end_ns = started->let_go_ns + ATTACH_PATIENCE_MS * NS_PER_MS;
    struct attach_note note;
    int fd;

    if (pid_fd < 0)
        return -errno;
    while (!read_note(target, started->note, &note)) {
        if (clock_now_ns() > end_ns)
            return -ETIMEDOUT;
        (void)nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
    }
    fd = (int)syscall(SYS_pidfd_getfd, pid_fd, note.ends[0], 0);
    if (fd < 0)
        return -errno;
    if (!is_still_theirs(started->let_go_ns, fd)) {
        close(fd);
        return -ETIMEDOUT;
    }
    return fd;
}

static int hand_over(const struct attach_order *order, const struct attach_target *target, int end)
{
    const struct attach_block *block = (const void *)target->stub;
    uint64_t nonce = block->nonce;
    struct iovec part = { &nonce, sizeof(nonce) };
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(2 * sizeof(int))];
    } control = { .head = { CMSG_LEN(2 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    const int fds[2] = { order->library_fd, order->page_fd };

    if (!order->way_out) {
        memcpy(CMSG_DATA(&control.head), fds, sizeof(fds));
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
    }
    return sendmsg(end, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int await_answer(const struct attach_order *order, uint64_t nonce, int end, struct attach_answer *ret_answer)
{
    struct pollfd ready = { .fd = end, .events = POLLIN };

    if (poll(&ready, 1, order->deadline_ms) != 1)
        return -ETIMEDOUT;
    if (recv(end, ret_answer, sizeof(*ret_answer), MSG_DONTWAIT) != sizeof(*ret_answer) || ret_answer->nonce != nonce)
        return -EPROTO;
    ret_answer->text[STUB_TEXT_MAX - 1] = '\0';
    return 0;
}

static int judge_answer(const struct attach_answer *answer, char *why)
{
    if (answer->step == STUB_DONE && answer->value >= 0)
        return 0;
    if (answer->step == STUB_DONE)
        snprintf(why, ATTACH_WHY_MAX, "%s", answer->value == -EPROTO ? "the library in it took no control page (another version of perturb?)" :
                                                                       "the library in it found nothing that it could patch");
    else if (answer->step == STUB_RECEIVING)
        snprintf(why, ATTACH_WHY_MAX, "it received no descriptors (its limit of open files?)");
    else
        snprintf(why, ATTACH_WHY_MAX, "its loader refused the library: %s", answer->text);
    return -EOPNOTSUPP;
}

/* The page gets its zeros back as soon as the thread is seen elsewhere. If it never is, some bytes stay where nobody runs. */
static void clean_cave(const struct attach_target *target, pid_t thread)
{
    static const unsigned char zeros[ATTACH_STUB_MAX];
    uint64_t end_ns = clock_now_ns() + CLEAN_MS * NS_PER_MS;

    while (!attach_has_left(target, thread)) {
        if (clock_now_ns() > end_ns)
            return;
        (void)nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
    }
    (void)!pwrite(target->memory_fd, zeros, target->stub_size, (off_t)target->cave);
}

static int converse(const struct attach_order *order, struct attach_target *target, const struct attach_started *started,
                    struct attach_outcome *ret_outcome, char *why)
{
    const struct attach_block *block = (const void *)target->stub;
    AUTO_CLOSE int end = take_end(target, started);
    struct attach_answer answer;
    int result = end < 0 ? end : hand_over(order, target, end);

    if (result < 0) {
        snprintf(why, ATTACH_WHY_MAX, "%s", result == -EPERM ? "not permitted to take a descriptor of it (pidfd_getfd)" :
                                           result == -ENOSYS ? "this kernel has no pidfd_getfd (Linux 5.6)" :
                                                               "its thread did not answer in time (a busy machine?); nothing has changed");
        return result;
    }
    result = await_answer(order, block->nonce, end, &answer);
    if (result < 0) {
        snprintf(why, ATTACH_WHY_MAX, "its loader has not come back within %d ms; if it still does, `perturb ps` will list the process",
                 order->deadline_ms);
        return result;
    }
    *ret_outcome = (struct attach_outcome){ started->thread, started->let_go_ns - started->stopped_ns, answer.end_ns - started->stopped_ns,
                                            answer.value };
    clean_cave(target, started->thread);
    return judge_answer(&answer, why);
}

int attach_run(const struct attach_order *order, struct attach_outcome *ret_outcome, char why[ATTACH_WHY_MAX])
{
    AUTO_FREE struct attach_target *target = calloc(1, sizeof(*target));
    struct inspection *inspection = NULL;
    struct attach_started started;
    AUTO_CLOSE int memory_fd = -1;
    char path[64];
    int result;

    why[0] = '\0';
    if (!target)
        return -ENOMEM;
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)order->pid);
    memory_fd = open(path, O_RDWR | O_CLOEXEC);
    if (memory_fd < 0) {
        result = -errno;
        snprintf(why, ATTACH_WHY_MAX, "its memory: %s", strerror(-result));
        return result;
    }
    target->pid = order->pid;
    target->memory_fd = memory_fd;
    result = inspect_process(order->pid, &inspection);
    if (!result)
        result = prepare(order, target, inspection->allocator, why);
    inspection_free(inspection);
    if (!result)
        result = attach_start(target, order->deadline_ms, &started, why);
    if (!result)
        result = converse(order, target, &started, ret_outcome, why);
    if (result < 0 && !why[0])
        snprintf(why, ATTACH_WHY_MAX, "%s", strerror(-result));
    return result;
}
