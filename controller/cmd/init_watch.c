/* The program of `perturb init` under the watcher: started as a run would start it, seen, ended with all that it started. */
#include "controller/cmd/init.h"

#include "scenarios/base/cleanup.h"
#include "shims/host/process.h"
#include "shims/host/spawn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { END_MS = 5000, TREE_MAX = 512 };

extern char **environ;

/* ---- sightings ------------------------------------------------------------------------------------------------------------ */

uint16_t sighting_port(const struct sighting *sighting)
{
    switch (sighting->address.ss_family) {
    case AF_INET:
        return ntohs(((const struct sockaddr_in *)&sighting->address)->sin_port);
    case AF_INET6:
        return ntohs(((const struct sockaddr_in6 *)&sighting->address)->sin6_port);
    default:
        return 0;
    }
}

bool sighting_is(const struct sighting *sighting, enum watch_kind kind)
{
    return sighting->kind == kind && sighting->type == SOCK_STREAM && sighting_port(sighting) != 0;
}

static char *print_unix(const struct sighting *sighting, char *text)
{
    const struct sockaddr_un *address = (const struct sockaddr_un *)&sighting->address;
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t length = sighting->length > head ? sighting->length - head : 0;
    size_t at = (size_t)snprintf(text, INIT_ADDRESS_MAX, "unix:");

    for (size_t i = 0; i < length && at < INIT_ADDRESS_MAX - 1; i++) {
        char letter = address->sun_path[i];

        if (!letter && i)
            break;
        text[at++] = i == 0 && !letter ? '@' : letter > ' ' && letter < 0x7f ? letter : '?';
    }
    text[at] = '\0';
    return text;
}

char *sighting_print(const struct sighting *sighting, char *text)
{
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&sighting->address;
    const struct sockaddr_in *four = (const struct sockaddr_in *)&sighting->address;
    char address[INET6_ADDRSTRLEN];

    text[0] = '\0';
    if (sighting->address.ss_family == AF_UNIX)
        return print_unix(sighting, text);
    if (sighting->address.ss_family == AF_INET && inet_ntop(AF_INET, &four->sin_addr, address, sizeof(address)))
        snprintf(text, INIT_ADDRESS_MAX, "%s:%u", address, sighting_port(sighting));
    else if (sighting->address.ss_family == AF_INET6 && inet_ntop(AF_INET6, &six->sin6_addr, address, sizeof(address)))
        snprintf(text, INIT_ADDRESS_MAX, "[%s]:%u", address, sighting_port(sighting));
    return text;
}

/* An IPv4 address in IPv6's clothes is the former. */
static void undress(struct watch_event *event)
{
    const struct sockaddr_in6 six = *(const struct sockaddr_in6 *)&event->address;
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = six.sin6_port };

    if (event->address.ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
        return;
    memcpy(&four.sin_addr, &six.sin6_addr.s6_addr[12], sizeof(four.sin_addr));
    memset(&event->address, 0, sizeof(event->address));
    memcpy(&event->address, &four, sizeof(four));
    event->length = sizeof(four);
}

static void read_comm(pid_t tid, char comm[16])
{
    char path[40];
    AUTO_CLOSE int fd = -1;
    ssize_t got;

    snprintf(path, sizeof(path), "/proc/%d/comm", (int)tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    got = fd < 0 ? -1 : read(fd, comm, 15);
    comm[got > 0 ? got - 1 : 0] = '\0';
    for (char *letter = comm; *letter; letter++)
        if (*letter < ' ' || *letter > '~')
            *letter = '?';
}

struct sighting *sighting_of(struct init_watch *watch, const struct watch_event *given)
{
    char wanted_text[INIT_ADDRESS_MAX], known_text[INIT_ADDRESS_MAX];
    struct watch_event event = *given;
    struct sighting wanted;

    undress(&event);
    wanted = (struct sighting){ .kind = event.kind, .type = event.type, .length = event.length, .address = event.address };
    if (!sighting_print(&wanted, wanted_text)[0])
        return NULL; /* netlink, a dissolved association: no place */
    for (size_t i = 0; i < watch->count; i++)
        if (watch->list[i].kind == wanted.kind && watch->list[i].type == wanted.type &&
            !strcmp(sighting_print(&watch->list[i], known_text), wanted_text))
            return &watch->list[i];
    if (watch->count == SIGHTINGS_MAX) {
        watch->dropped++;
        return NULL;
    }
    read_comm(event.tid, wanted.comm);
    watch->list[watch->count] = wanted;
    return &watch->list[watch->count++];
}

size_t init_watch_copy(struct init_watch *watch, struct sighting *list)
{
    size_t count;

    pthread_mutex_lock(&watch->lock);
    count = watch->count;
    memcpy(list, watch->list, count * sizeof(*list));
    pthread_mutex_unlock(&watch->lock);
    return count;
}

/* ---- the thread ----------------------------------------------------------------------------------------------------------- */

static void *attend(void *context)
{
    struct init_watch *watch = context;
    struct pollfd places[] = { { .fd = watch_fd(watch->watch), .events = POLLIN }, { .fd = watch->stop_fd, .events = POLLIN } };
    struct watch_event event;
    struct sighting *place;
    int result = 0;

    while (result != -ENOENT && !places[1].revents) {
        (void)poll(places, 2, -1);
        result = places[0].revents ? watch_next(watch->watch, &event) : -EAGAIN;
        if (result < 0)
            continue;
        pthread_mutex_lock(&watch->lock);
        place = sighting_of(watch, &event);
        if (place && event.kind == WATCH_CONNECT)
            place->connects++;
        pthread_mutex_unlock(&watch->lock);
    }
    return NULL;
}

/* ---- the program ---------------------------------------------------------------------------------------------------------- */

static int in_child(void *context)
{
    return watch_install(((struct init_watch *)context)->watch);
}

static int in_parent(void *context, pid_t pid)
{
    (void)pid;
    return watch_attend(((struct init_watch *)context)->watch);
}

static int start(struct init_watch *watch, const struct init_options *options, struct errs *errs)
{
    const struct spawn_spec spec = { .argv = options->argv, .environment = environ, .log = watch->log,
                                     .in_child = in_child, .in_parent = in_parent, .context = watch };
    const char *step;
    int result = watch_prepare(&watch->watch);

    if (result < 0)
        return errs_add(errs, ERR_WORLD, "init", "%s", result == -ENOTSUP ?
                        "this kernel or container has no seccomp user notification (Linux 5.5): it cannot be watched" : strerror(-result));
    result = spawn_start(&spec, &watch->pid, &step);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, options->argv[0], "%s: %s", step, strerror(-result));
    return 0;
}

int init_watch_begin(struct init_watch *watch, const struct init_options *options, struct errs *errs)
{
    const char *folder = getenv("TMPDIR");
    int fd, result;

    *watch = (struct init_watch){ .pid = -1, .stop_fd = eventfd(0, EFD_CLOEXEC), .lock = PTHREAD_MUTEX_INITIALIZER };
    if (snprintf(watch->log, sizeof(watch->log), "%s/perturb-init-XXXXXX", folder && *folder ? folder : "/tmp") >= (int)sizeof(watch->log))
        snprintf(watch->log, sizeof(watch->log), "/tmp/perturb-init-XXXXXX");
    fd = mkstemp(watch->log);
    if (fd < 0 || watch->stop_fd < 0) {
        watch->log[0] = '\0';
        return errs_add(errs, ERR_WORLD, "init", "a file for the program's output: %s", strerror(errno));
    }
    close(fd);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* what goes to the background is ended with the rest */
    result = start(watch, options, errs);
    if (result < 0)
        return result;
    result = pthread_create(&watch->thread, NULL, attend, watch);
    if (result)
        return errs_add(errs, ERR_WORLD, "init", "a thread: %s", strerror(result));
    return 0;
}

/* Everything below us but ourselves. */
static void signal_all(int number)
{
    static struct process_id list[TREE_MAX];
    int count = process_tree(getpid(), list, TREE_MAX);

    for (int i = 1; i < count; i++)
        (void)process_signal(&list[i], number);
}

/* The watcher still answers meanwhile: a program may connect on its way out. */
static void end_program(struct init_watch *watch)
{
    struct process_id id;

    if (!process_identify(watch->pid, &id) && !process_signal(&id, SIGTERM))
        (void)process_wait_gone(&id, END_MS);
    signal_all(SIGKILL);
    (void)waitpid(watch->pid, NULL, 0);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    watch->pid = -1;
}

void init_watch_end(struct init_watch *watch)
{
    const uint64_t one = 1;

    if (watch->pid > 0)
        end_program(watch);
    if (watch->thread && write(watch->stop_fd, &one, sizeof(one)) == sizeof(one))
        (void)pthread_join(watch->thread, NULL);
    watch->thread = 0;
    if (watch->log[0])
        (void)unlink(watch->log);
    watch->watch = watch_free(watch->watch);
    if (watch->stop_fd >= 0)
        close(watch->stop_fd);
    watch->stop_fd = -1;
}
