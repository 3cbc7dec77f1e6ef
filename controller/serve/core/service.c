/* The service: opening, the loop, closing. */
#include "controller/outlet/config.h"
#include "controller/serve/timetable/timetable_priv.h"

#include "controller/store/store.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>

#define LOCK_VARIABLE "PERTURB_SERVE_LOCK"

enum { LOCK_TIMEOUT_MS = 3000, LOCK_STEP_MS = 20 };

int64_t service_now_s(void)
{
    return (int64_t)(clock_wall_ns() / NS_PER_S);
}

struct service_db *service_lock(struct service *service)
{
    pthread_mutex_lock(&service->mutex);
    return &service->db;
}

void service_unlock(struct service *service)
{
    pthread_mutex_unlock(&service->mutex);
}

const char *service_data(const struct service *service)
{
    return service->data;
}

const char *service_playbooks(const struct service *service)
{
    return service->playbooks;
}

void service_listens_at(struct service *service, const char *address)
{
    service_lock(service);
    snprintf(service->listen, sizeof(service->listen), "%s", address);
    service_unlock(service);
}

void service_observe(struct service *service, service_observer *observer, void *context)
{
    service_lock(service);
    service->observer = observer;
    service->observer_context = context;
    service_unlock(service);
}

void service_tell(struct service *service, const char *kind, cJSON *data_taken)
{
    if (service->observer && data_taken)
        service->observer(service->observer_context, kind, data_taken);
    cJSON_Delete(data_taken);
}

void service_wake(struct service *service)
{
    uint64_t one = 1;

    (void)!write(service->wake_fd, &one, sizeof(one));
}

cJSON *service_rows(struct service *service, sqlite3_stmt *row, cJSON *(*show)(const struct service *service, sqlite3_stmt *row), struct errs *errs)
{
    cJSON *items = row ? cJSON_CreateArray() : NULL;
    int result = 0;

    while (items && (result = db_step(&service->db, row, errs)) > 0)
        cJSON_AddItemToArray(items, show(service, row));
    sqlite3_finalize(row);
    if (result == 0)
        return items;
    cJSON_Delete(items);
    return NULL;
}

static void forget_problem(struct service *service, size_t at)
{
    size_t after = --service->problem_count - at;

    memmove(service->problems[at], service->problems[at + 1], after * sizeof(service->problems[0]));
    memmove(service->problem_told_s + at, service->problem_told_s + at + 1, after * sizeof(service->problem_told_s[0]));
}

void service_problem(struct service *service, const struct errs *errs)
{
    for (size_t i = 0; i < errs->count; i++) {
        char text[SERVICE_REASON_MAX];
        int64_t now_s = service_now_s();
        size_t at = 0;

        snprintf(text, sizeof(text), "%s%s%s", errs->list[i].where, errs->list[i].where[0] ? ": " : "", errs->list[i].text);
        while (at < service->problem_count && strcmp(service->problems[at], text) != 0)
            at++;
        if (at < service->problem_count && now_s - service->problem_told_s[at] < SERVICE_PROBLEM_S) {
            service->problem_told_s[at] = now_s;
            continue;
        }
        if (at < service->problem_count || service->problem_count == SERVICE_PROBLEMS_MAX)
            forget_problem(service, at < service->problem_count ? at : 0); /* over, and now again; or the oldest */
        service->problem_told_s[service->problem_count] = now_s;
        memcpy(service->problems[service->problem_count++], text, sizeof(text));
        if (service->problem)
            service->problem(text);
        service_tell(service, "problem", cJSON_CreateString(text));
    }
}

void service_tell_problem(struct service *service, const struct errs *errs)
{
    service_lock(service);
    service_problem(service, errs);
    service_unlock(service);
}

void service_attend(struct service *service, struct service_ward *ward)
{
    service->ward = ward;
}

/* ---- opening ------------------------------------------------------------------------------------------------------------------ */

static int fail_at(struct errs *errs, const char *where, const char *what, int error)
{
    errs_add(errs, ERR_WORLD, where, "%s: %s", what, strerror(error));
    return -error;
}

static int make_directory(const char *path, struct errs *errs)
{
    char partial[SERVICE_PATH_MAX + 64];

    snprintf(partial, sizeof(partial), "%s", path);
    for (char *at = partial + 1;; at++) {
        char kept = *at;

        if (kept != '/' && kept)
            continue;
        *at = '\0';
        if (mkdir(partial, 0700) < 0 && errno != EEXIST)
            return fail_at(errs, partial, "the directory cannot be made", errno);
        if (!kept)
            return 0;
        *at = kept;
    }
}

static int place_directories(struct service *service, const struct service_options *options, struct errs *errs)
{
    static const char *const parts[] = { "runs", "output" };
    AUTO_FREE char *state = NULL, *real = NULL;
    char path[SERVICE_PATH_MAX + 64];
    int result = options->data ? 0 : store_state_directory(&state, errs);

    if (result == 0)
        result = make_directory(options->data ? options->data : state, errs);
    if (result < 0)
        return result;
    real = realpath(options->data ? options->data : state, NULL);
    if (!real || strlen(real) >= sizeof(service->data))
        return fail_at(errs, options->data, "the directory cannot be used", real ? ENAMETOOLONG : errno);
    snprintf(service->data, sizeof(service->data), "%s", real);
    for (size_t i = 0; result == 0 && i < ARRAY_SIZE(parts); i++) {
        snprintf(path, sizeof(path), "%s/%s", service->data, parts[i]);
        result = make_directory(path, errs);
    }
    if (options->playbooks && strlen(options->playbooks) >= sizeof(service->playbooks))
        return fail_at(errs, options->playbooks, "the directory cannot be used", ENAMETOOLONG);
    if (options->playbooks)
        snprintf(service->playbooks, sizeof(service->playbooks), "%s", options->playbooks);
    else if (snprintf(service->playbooks, sizeof(service->playbooks), "%s/playbooks", service->data) >= (int)sizeof(service->playbooks))
        return fail_at(errs, service->data, "the directory cannot be used", ENAMETOOLONG);
    return result < 0 ? result : options->playbooks ? 0 : make_directory(service->playbooks, errs);
}

/* A service that was just killed may still be held by its children for the moment between their fork and their end. */
static int take_lock(struct service *service, struct errs *errs)
{
    const char *inherited = getenv(LOCK_VARIABLE);
    uint64_t deadline_ns = clock_now_ns() + LOCK_TIMEOUT_MS * NS_PER_MS;
    char path[SERVICE_PATH_MAX + 64];
    int result;

    snprintf(path, sizeof(path), "%s/service.lock", service->data);
    service->lock_fd = inherited ? (int)strtol(inherited, NULL, 10) : -1;
    unsetenv(LOCK_VARIABLE);
    if (service->lock_fd < 0 || fcntl(service->lock_fd, F_SETFD, FD_CLOEXEC) < 0)
        service->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (service->lock_fd < 0)
        return fail_at(errs, path, "cannot be opened", errno);
    while ((result = flock(service->lock_fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0) == -EWOULDBLOCK && clock_now_ns() < deadline_ns)
        nanosleep(&(struct timespec){ .tv_nsec = LOCK_STEP_MS * 1000000L }, NULL);
    if (result == -EWOULDBLOCK) {
        errs_add(errs, ERR_WORLD, service->data, "another `perturb serve` has this directory; end that one, or name another --data");
        return -EBUSY;
    }
    return result < 0 ? fail_at(errs, path, "cannot be locked", -result) : 0;
}

static int open_registry(struct service *service, struct errs *errs)
{
    char why[REGISTRY_FILE_MAX];
    int result = registry_open(&service->registry);

    return result < 0 ? errs_add(errs, ERR_WORLD, "registry", "%s", registry_explain(result, why, sizeof(why))) : 0;
}

static int open_descriptors(struct service *service, struct errs *errs)
{
    service->timer_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    service->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    service->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (service->timer_fd < 0 || service->wake_fd < 0 || service->watch_fd < 0)
        return fail_at(errs, NULL, "the service cannot start", errno);
    if (inotify_add_watch(service->watch_fd, service->registry.path, IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_ONLYDIR) < 0)
        return fail_at(errs, service->registry.path, "cannot be watched", errno);
    return 0;
}

static int find_program(struct service *service, const char *given, struct errs *errs)
{
    static const char gone[] = " (deleted)"; /* proc(5): it was replaced; the new one stands at its place */
    ssize_t length = given ? snprintf(service->program, sizeof(service->program), "%s", given)
                           : readlink("/proc/self/exe", service->program, sizeof(service->program) - 1);
    size_t tail = sizeof(gone) - 1;

    if (length >= (ssize_t)sizeof(service->program))
        return fail_at(errs, given, "cannot be used", ENAMETOOLONG);
    if (length < 0)
        return fail_at(errs, "/proc/self/exe", "cannot be read", errno);
    service->program[length] = '\0';
    if ((size_t)length > tail && !strcmp(service->program + length - (ssize_t)tail, gone))
        service->program[(size_t)length - tail] = '\0';
    return 0;
}

bool service_outlets_file(const struct service *service, char *path, size_t size)
{
    const struct node *root = service->settings.document.root;

    snprintf(path, size, "%s/serve.yaml", service->data);
    return node_member(root, "outlets") || node_member(root, "egress");
}

/* A run would refuse to start with it. */
static int check_outlets(const struct service *service, const char *file, struct errs *errs)
{
    struct outlet_config *config = NULL;
    char path[SERVICE_PATH_MAX + 64];
    int result = service_outlets_file(service, path, sizeof(path)) ? outlet_config_read(file, errs, &config) : 0;

    outlet_config_free(config);
    return result;
}

static int prepare(struct service *service, const struct service_options *options, struct errs *errs)
{
    const char *zone = getenv("TZ");
    char path[SERVICE_PATH_MAX + 64], settings[SERVICE_PATH_MAX + 64];
    int result = place_directories(service, options, errs);

    if (result == 0)
        result = find_program(service, options->program, errs);
    if (result == 0)
        result = take_lock(service, errs);
    if (result < 0)
        return result;
    service->user_zone = zone ? strdup(zone) : NULL;
    setenv("TZ", "UTC", 1);
    setenv("PERTURB_STATE", service->data, 1);
    snprintf(service->listen, sizeof(service->listen), "%s", options->listen ? options->listen : "");
    snprintf(path, sizeof(path), "%s/service.db", service->data);
    snprintf(settings, sizeof(settings), "%s/serve.yaml", service->data);
    result = open_registry(service, errs);
    if (result == 0)
        result = settings_read(&service->settings, settings, errs);
    if (result == 0)
        result = check_outlets(service, settings, errs);
    if (result == 0)
        result = service_db_open(path, &service->db, errs);
    if (result == 0)
        result = open_descriptors(service, errs);
    if (result == 0)
        result = lever_restore(service, errs);
    if (result == 0)
        result = scheduler_pause_restore(service, errs);
    if (result == 0)
        result = timetable_sync(service, errs);
    if (result == 0)
        result = supervisor_adopt(service, errs);
    return result;
}

int service_open(const struct service_options *options, struct service **ret_service, struct errs *errs)
{
    struct service *service = calloc(1, sizeof(*service));
    int result;

    if (!service)
        return errs_add(errs, ERR_INTERNAL, NULL, "out of memory");
    pthread_mutex_init(&service->mutex, NULL);
    service->lock_fd = service->signal_fd = service->timer_fd = service->wake_fd = service->watch_fd = -1;
    service->registry.fd = -1;
    service->problem = options->problem;
    result = prepare(service, options, errs);
    if (result < 0) {
        service_close(service);
        return result;
    }
    *ret_service = service;
    return 0;
}

void service_close(struct service *service)
{
    if (!service)
        return;
    for (size_t i = 0; i < service->child_count; i++) {
        if (service->children[i].pid_fd >= 0)
            close(service->children[i].pid_fd);
        claims_done(&service->children[i].claims);
    }
    for (size_t i = 0; i < service->zone_count; i++)
        free(service->zones[i]);
    service_db_close(&service->db);
    settings_done(&service->settings);
    registry_close(&service->registry);
    for (size_t i = 0; i < 5; i++) {
        int fd = (int[]){ service->signal_fd, service->timer_fd, service->wake_fd, service->watch_fd, service->lock_fd }[i];

        if (fd >= 0)
            close(fd);
    }
    pthread_mutex_destroy(&service->mutex);
    free(service->user_zone);
    free(service);
}

int service_restart(struct service *service, char *const argv[])
{
    char *list[64] = { (char[]){ "perturb" } };
    char number[16];

    for (size_t i = 0; argv[i]; i++) {
        if (i + 2 == ARRAY_SIZE(list))
            return -E2BIG;
        list[i + 1] = argv[i];
    }
    snprintf(number, sizeof(number), "%d", service->lock_fd);
    if (setenv(LOCK_VARIABLE, number, 1) < 0 || fcntl(service->lock_fd, F_SETFD, 0) < 0)
        return -errno;
    if (service->user_zone)
        setenv("TZ", service->user_zone, 1);
    else
        unsetenv("TZ");
    service_db_close(&service->db);
    execv(service->program, list);
    return -errno;
}
