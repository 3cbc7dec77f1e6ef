/* Targets of the guardian: spawned from a packed image, each journalled before it exists, each in its own control group. */
#include "controller/run/guardian_priv.h"
#include "controller/run/undo.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "shims/host/unsynced.h"
#include "shims/include/control.h"
#include "shims/seccomp/supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { IMAGE_TEXTS_MAX = 4096 };

/* The texts of an image: name, directory, log, then arguments, then environment. */
struct spawn_texts {
    char *text[IMAGE_TEXTS_MAX + 2];
    uint32_t argument_count, environment_count;
};

static int split_image(char *image, uint32_t size, struct spawn_texts *ret_texts)
{
    struct spawn_image_head head;
    uint32_t at = sizeof(head), count = 0, wanted;

    if (size < sizeof(head))
        return -EPROTO;
    memcpy(&head, image, sizeof(head));
    if (!head.argument_count || head.argument_count > IMAGE_TEXTS_MAX || head.environment_count > IMAGE_TEXTS_MAX)
        return -EPROTO;
    wanted = 3 + head.argument_count + head.environment_count;
    if (wanted > IMAGE_TEXTS_MAX)
        return -E2BIG;
    for (; count < wanted && at < size; count++) {
        uint32_t length = (uint32_t)strnlen(image + at, size - at);

        if (at + length >= size)
            return -EPROTO;
        /* A gap after the arguments holds their NULL. */
        ret_texts->text[count + (count >= 3 + head.argument_count)] = image + at;
        at += length + 1;
    }
    if (count < wanted)
        return -EPROTO;
    ret_texts->text[3 + head.argument_count] = NULL;
    ret_texts->text[wanted + 1] = NULL;
    ret_texts->argument_count = head.argument_count;
    ret_texts->environment_count = head.environment_count;
    return 0;
}

struct guarded_target *guarded_find(struct guardian *guardian, const char *name)
{
    for (size_t i = 0; i < guardian->target_count; i++)
        if (!strcmp(guardian->targets[i].name, name))
            return &guardian->targets[i];
    return NULL;
}

void guardian_emit(struct guardian *guardian, const struct event *event)
{
    const struct message_head head = { .verb = MESSAGE_EVENT, .size = sizeof(*event), .epoch = guardian->epoch };

    if (!guardian->runner_gone)
        message_send(guardian->runner_fd, &head, event, 100);
}

static const char *page_of(char *const *environment)
{
    for (; *environment; environment++)
        if (!strncmp(*environment, CONTROL_ENV "=", sizeof(CONTROL_ENV)))
            return *environment + sizeof(CONTROL_ENV);
    return NULL;
}

static int install_filter(void *context)
{
    return supervise_install(context);
}

static int attend_target(void *context, pid_t pid)
{
    const char *step;

    return supervise_attend(context, pid, &step);
}

/* Under a supervisor when the image says so. */
static int spawn_attended(struct spawn_spec *spec, uint64_t points, pid_t *ret_pid, const char **ret_step)
{
    const struct supervise_spec wanted = { points, true, false, points ? page_of(spec->environment) : NULL };
    struct supervise *supervise = NULL;
    int result = 0;

    if (points) {
        *ret_step = "attending";
        result = wanted.page_path ? supervise_prepare(&wanted, &supervise) : -EPROTO;
        spec->in_child = install_filter;
        spec->in_parent = attend_target;
        spec->context = supervise;
    }
    if (result == 0)
        result = spawn_start(spec, ret_pid, ret_step);
    supervise_free(supervise); /* the keeper is reaped as any child of ours */
    return result;
}

static int start_target(struct guardian *guardian, struct guarded_target *target, const char **ret_step)
{
    struct spawn_texts *texts = calloc(1, sizeof(*texts));
    char identity[PROCESS_TEXT_MAX];
    struct event event;
    uint64_t seq;
    pid_t pid = 0;
    int result;

    *ret_step = "reading its description";
    result = texts ? split_image(target->image, target->image_size, texts) : -ENOMEM;
    if (result == 0) {
        const struct spawn_image_head *head = (const void *)target->image;
        struct spawn_spec spec = {
            .argv = texts->text + 3,
            .environment = texts->text + 4 + texts->argument_count,
            .directory = texts->text[1][0] ? texts->text[1] : NULL,
            .log = texts->text[2],
            .group = target->group,
            .memory_group = target->memory.version == MEMORY_V1 ? target->memory.path : NULL,
        };

        result = spawn_attended(&spec, head->points, &pid, ret_step);
    }
    free(texts);
    if (result < 0)
        return result;
    process_identify(pid, &target->id);
    target->id.pid = pid;
    journal_plan(&guardian->journal, UNDO_PROCESS, process_print(&target->id, identity, sizeof(identity)), &seq);
    journal_mark(&guardian->journal, seq, JOURNAL_APPLIED);
    event_init(&event, EVENT_target_started, SOURCE_GUARDIAN, clock_now_ns(), target->name, NULL);
    event.number[0] = pid;
    guardian_emit(guardian, &event);
    return 0;
}

static int make_group(struct guardian *guardian, struct guarded_target *target)
{
    int result;

    target->group[0] = '\0';
    if (!guardian->group[0])
        return 0;
    result = group_create(guardian->group, target->name, target->group);
    if (result < 0)
        target->group[0] = '\0';
    return result == -ENOTSUP ? 0 : result;
}

/* Version 2 has one group for all controllers: its place is where the memory controller is handed down. Version 1 has a group of
 * its own beside. Both are journalled before they are made. Where there is none a target runs all the same: only a fault that needs
 * one is refused. */
static int make_memory_group(struct guardian *guardian, struct guarded_target *target)
{
    struct memory_group own, parent, group;
    char name[128], record[JOURNAL_ARGUMENT_MAX];
    uint64_t seq;
    int result = memory_group_of(0, &own);

    if (result == 0)
        result = memory_parent(&own, &parent);
    snprintf(name, sizeof(name), "perturb-%.60s-%.47s", guardian->spec->run_id, target->name);
    if (result == 0)
        result = memory_group_below(&parent, name, &group);
    if (result == 0 && snprintf(record, sizeof(record), group.version == MEMORY_V1 ? "%s %s" : "%s", group.path, parent.path) >= (int)sizeof(record))
        result = -ENAMETOOLONG;
    if (result == 0)
        result = journal_plan(&guardian->journal, group.version == MEMORY_V1 ? UNDO_MEMORY_GROUP : UNDO_GROUP, record, &seq);
    if (result < 0)
        return result;
    result = memory_group_make(&group);
    journal_mark(&guardian->journal, seq, result < 0 && access(group.path, F_OK) < 0 ? JOURNAL_MOOT : JOURNAL_APPLIED);
    if (result == 0)
        target->memory = group;
    if (result == 0 && group.version == MEMORY_V2)
        memcpy(target->group, group.path, sizeof(target->group));
    return result;
}

int guarded_spawn_image(struct guardian *guardian, const void *image, uint32_t size, pid_t *ret_pid, const char **ret_step)
{
    struct guarded_target *target;
    const char *name = (const char *)image + sizeof(struct spawn_image_head);
    struct spawn_image_head head;
    int result;

    *ret_step = "reading its description";
    if (guardian->target_count == GUARDIAN_TARGETS_MAX)
        return -ENOSPC;
    if (size <= sizeof(struct spawn_image_head) || strnlen(name, size - sizeof(struct spawn_image_head)) >= RULE_SCOPE_MAX)
        return -EPROTO;
    target = &guardian->targets[guardian->target_count];
    *target = (struct guarded_target){ .image_size = size, .image = malloc(size) };
    if (!target->image)
        return -ENOMEM;
    memcpy(target->image, image, size);
    snprintf(target->name, sizeof(target->name), "%s", name);
    guardian->target_count++;
    *ret_step = "making its control group";
    memcpy(&head, image, sizeof(head));
    target->memory_error = head.wants_memory ? make_memory_group(guardian, target) : 0;
    result = target->memory.version == MEMORY_V2 ? 0 : make_group(guardian, target);
    if (result == 0)
        result = start_target(guardian, target, ret_step);
    if (result == 0)
        *ret_pid = target->id.pid;
    return result;
}

int guarded_respawn(struct guardian *guardian, struct guarded_target *target)
{
    const char *step;

    if (target->id.pid || target->adopted)
        return 0;
    return start_target(guardian, target, &step);
}

struct loss_of {
    struct guardian *guardian;
    const struct guarded_target *target;
};

static void tell_loss(void *context, const struct unsynced_loss *loss)
{
    const struct loss_of *of = context;
    struct event event;

    event_init(&event, EVENT_writes_lost, SOURCE_GUARDIAN, clock_now_ns(), of->target->name, loss->path);
    event.number[0] = (int64_t)loss->writes;
    event.number[1] = (int64_t)loss->size;
    event.number[2] = (int64_t)loss->size_after;
    guardian_emit(of->guardian, &event);
}

/* A target was killed: what it had not synced goes with it, when a `lost_writes` of it is armed, and before it is started again. */
static void lose_unsynced(struct guardian *guardian, const struct guarded_target *target)
{
    struct spawn_texts *texts = calloc(1, sizeof(*texts));
    struct loss_of of = { guardian, target };
    const char *page = NULL;

    if (texts && split_image(target->image, target->image_size, texts) == 0)
        page = page_of(texts->text + 4 + texts->argument_count);
    if (page)
        (void)unsynced_lose(page, tell_loss, &of);
    free(texts);
}

void guarded_exited(struct guardian *guardian, pid_t pid, int wait_status)
{
    for (size_t i = 0; i < guardian->target_count; i++) {
        struct guarded_target *target = &guardian->targets[i];
        struct event event;

        if (target->id.pid != pid || target->adopted)
            continue;
        target->id.pid = 0;
        event_init(&event, EVENT_target_exited, SOURCE_GUARDIAN, clock_now_ns(), target->name, NULL);
        event.number[0] = pid;
        event.number[1] = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
        guardian_emit(guardian, &event);
        if (WIFSIGNALED(wait_status))
            lose_unsynced(guardian, target);
        return;
    }
}

/* ---- targets that already run ---------------------------------------------------------------------------------------------- */

size_t guarded_processes(const struct guarded_target *target, struct process_id *list, size_t max)
{
    pid_t pids[PROCESS_LIST_MAX];
    size_t found, count = 0;

    if (!target->adopted || !target->place[0]) {
        int kin = process_is_alive(&target->id) ? process_tree(target->id.pid, list, max) : 0;

        return kin > 0 ? (size_t)kin : 0;
    }
    found = group_pids(target->place, pids, ARRAY_SIZE(pids));
    for (size_t i = 0; i < found && count < max; i++)
        if (process_identify(pids[i], &list[count]) == 0)
            count++;
    return count;
}

/* The run itself, and the first process, are nobody's target. */
static bool holds_us(const struct guarded_target *target)
{
    struct process_id list[PROCESS_LIST_MAX / 4];
    size_t count = guarded_processes(target, list, ARRAY_SIZE(list));
    bool found = target->id.pid == 1;

    for (size_t i = 0; i < count; i++)
        found |= list[i].pid == getpid() || list[i].pid == 1;
    return found;
}

int guarded_adopt(struct guardian *guardian, const void *told, uint32_t size)
{
    struct adopted_target adopted;
    struct guarded_target *target;

    if (size != sizeof(adopted))
        return -EPROTO;
    memcpy(&adopted, told, sizeof(adopted));
    if (!memchr(adopted.name, '\0', sizeof(adopted.name)) || !memchr(adopted.place, '\0', sizeof(adopted.place)))
        return -EPROTO;
    if (guardian->target_count == GUARDIAN_TARGETS_MAX)
        return -ENOSPC;
    target = &guardian->targets[guardian->target_count];
    *target = (struct guarded_target){ .adopted = true };
    memcpy(target->name, adopted.name, sizeof(adopted.name));
    memcpy(target->place, adopted.place, sizeof(adopted.place));
    if (process_identify(adopted.pid, &target->id) < 0)
        return -ESRCH;
    if (holds_us(target))
        return -EPERM;
    guardian->target_count++;
    return 0;
}
