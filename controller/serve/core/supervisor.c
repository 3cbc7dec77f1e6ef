/* Runs as processes: started after their row is committed, ended by themselves, adopted after we were killed.
 *
 *   queued --supervisor_launch--> running --supervisor_reap, settle--> ended
 *      ^---------- requeue (it never began) --------'
 *
 * 1. A child stays in the table until the row of its end is committed: a full disk delays that, it does not lose it.
 * 2. Where a run's guardian was killed, `perturb recover` is run: it undoes what is left and proves it. */
#include "controller/serve/core/service_priv.h"

#include "controller/base/json.h"
#include "controller/report/doc.h"
#include "controller/run/guardian.h"
#include "controller/store/store.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/param.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { RETRY_S = 5, OUTPUT_BYTES_MAX = 1 << 20, ARGUMENTS_MAX = 160, RECOVERED = 0 };

struct service_child *supervisor_find(struct service *service, const char *id)
{
    for (size_t i = 0; i < service->child_count; i++)
        if (!strcmp(service->children[i].id, id))
            return &service->children[i];
    return NULL;
}

size_t supervisor_live(const struct service *service)
{
    size_t live = 0;

    for (size_t i = 0; i < service->child_count; i++)
        live += service->children[i].id[0] && !service->children[i].gone;
    return live;
}

const struct service_child *supervisor_overlap(const struct service *service, const struct claims *claims, const char **ret_what)
{
    for (size_t i = 0; i < service->child_count; i++) {
        const struct service_child *child = &service->children[i];
        const char *what = child->id[0] && !child->gone ? claims_overlap(claims, &child->claims) : NULL;

        if (what) {
            *ret_what = what;
            return child;
        }
    }
    return NULL;
}

void supervisor_end_all(struct service *service, bool forces)
{
    for (size_t i = 0; i < service->child_count; i++) {
        struct service_child *child = &service->children[i];

        if (!child->id[0] || child->gone)
            continue;
        child->aborted = true;
        (forces ? guardian_force_end : guardian_ask_end)(&child->process);
    }
}

/* ---- starting ----------------------------------------------------------------------------------------------------------------- */

struct arguments {
    char *list[ARGUMENTS_MAX];
    size_t count;
    bool failed;
};

static void put_argument(struct arguments *arguments, const char *text)
{
    char *copy = text && arguments->count + 1 < ARGUMENTS_MAX ? strdup(text) : NULL;

    arguments->failed |= !copy;
    if (copy)
        arguments->list[arguments->count++] = copy;
}

static void put_option(struct arguments *arguments, const char *option, const char *value)
{
    if (!value)
        return;
    put_argument(arguments, option);
    put_argument(arguments, value);
}

static void arguments_done(struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->count; i++)
        free(arguments->list[i]);
}

/* Without any, the deny-list of addresses alone. */
static void put_outlets(const struct service *service, struct arguments *arguments)
{
    char file[SERVICE_PATH_MAX + 64];

    put_option(arguments, "--outlets", service_outlets_file(service, file, sizeof(file)) ? file : "-");
}

static void put_vars(struct arguments *arguments, const char *text)
{
    cJSON *vars = text ? cJSON_Parse(text) : NULL, *item;

    cJSON_ArrayForEach(item, vars)
    {
        AUTO_FREE char *value = cJSON_IsString(item) ? strdup(item->valuestring) : json_text(item);
        AUTO_FREE char *pair = NULL;

        if (!value || asprintf(&pair, "%s=%s", item->string, value) < 0)
            pair = NULL;
        put_option(arguments, "--var", pair);
        arguments->failed |= !pair;
    }
    cJSON_Delete(vars);
}

/* What stands in the file now is what runs, so that is what is judged now. */
static int examine_again(struct service *service, sqlite3_stmt *row, struct claims *ret_claims, struct errs *errs)
{
    cJSON *vars = db_text(row, 1) ? cJSON_Parse(db_text(row, 1)) : NULL;
    const struct run_order order = { .playbook = db_text(row, 0), .vars = vars };
    int result = queue_examine(service, &order, ret_claims, errs);

    cJSON_Delete(vars);
    return result;
}

/* "perturb run FILE --id ID ..." of a queued row. */
static int read_arguments(struct service *service, const char *id, struct arguments *ret_arguments, struct claims *ret_claims, struct errs *errs)
{
    sqlite3_stmt *row;
    char file[SERVICE_PATH_MAX * 2];
    int result = db_query(&service->db, errs, &row, "SELECT playbook, vars, seed, batch, directory FROM run_order WHERE id = ?1 AND state = 'queued'", "t", id);

    if (result < 0)
        return result;
    result = db_step(&service->db, row, errs);
    if (result == 0)
        result = errs_add(errs, ERR_INTERNAL, id, "is not queued any more");
    else if (result > 0)
        result = service_playbook_file(service, db_text(row, 0), file, sizeof(file), errs);
    if (result == 0)
        result = examine_again(service, row, ret_claims, errs);
    if (result == 0) {
        put_argument(ret_arguments, "perturb");
        put_argument(ret_arguments, "run");
        put_option(ret_arguments, "--id", id);
        put_option(ret_arguments, "--batch", db_text(row, 3));
        put_option(ret_arguments, "--out", db_text(row, 4));
        put_option(ret_arguments, "--seed", db_text(row, 2));
        put_outlets(service, ret_arguments);
        put_option(ret_arguments, "--format", "json");
        put_vars(ret_arguments, db_text(row, 1));
        put_argument(ret_arguments, "--");
        put_argument(ret_arguments, file);
        if (ret_arguments->failed)
            result = errs_add(errs, ERR_INTERNAL, id, "out of memory");
    }
    sqlite3_finalize(row);
    return result;
}

static int fail_to_start(int error, struct errs *errs)
{
    errs_add(errs, ERR_WORLD, NULL, "the run could not be started: %s", strerror(-error));
    return error;
}

int supervisor_launch(struct service *service, const char *id, struct errs *errs)
{
    struct service_child child = { .pid_fd = -1, .status = -1 };
    struct arguments arguments = { .count = 0 };
    char output[SERVICE_PATH_MAX + 64];
    int gate, result;

    if (service->child_count == SERVICE_CHILDREN_MAX)
        return errs_add(errs, ERR_WORLD, NULL, "%d processes are supervised already", SERVICE_CHILDREN_MAX);
    result = read_arguments(service, id, &arguments, &child.claims, errs);
    if (result == 0) {
        snprintf(output, sizeof(output), "%s/output/%s.log", service->data, id);
        result = spawn_held(service, arguments.list, output, &child.process, &child.pid_fd, &gate);
        if (result < 0)
            fail_to_start(result, errs);
    }
    arguments_done(&arguments);
    if (result < 0) {
        claims_done(&child.claims);
        return result;
    }
    result = order_mark_running(service, id, &child.process, errs);
    spawn_release(gate, result == 0);
    if (result < 0) {
        waitpid(child.process.pid, NULL, 0);
        close(child.pid_fd);
        claims_done(&child.claims);
        return result;
    }
    snprintf(child.id, sizeof(child.id), "%s", id);
    service->children[service->child_count++] = child;
    service_tell(service, "run", order_describe(service, id, errs));
    return 0;
}

static void start_recovery(struct service *service)
{
    struct service_child child = { .pid_fd = -1, .status = -1 };
    char *argv[] = { (char[]){ "perturb" }, (char[]){ "recover" }, NULL };
    char output[SERVICE_PATH_MAX + 64];
    int gate;

    bool again = service->recovery_again_s && service_now_s() >= service->recovery_again_s;

    if ((!service->recovery_wanted && !again) || service->recovery_runs || service->child_count == SERVICE_CHILDREN_MAX)
        return;
    snprintf(output, sizeof(output), "%s/output/recover.log", service->data);
    if (spawn_held(service, argv, output, &child.process, &child.pid_fd, &gate) < 0) {
        service->retry_s = service_now_s() + RETRY_S;
        return;
    }
    spawn_release(gate, true);
    service->recovery_wanted = false;
    service->recovery_again_s = 0;
    service->recovery_runs = true;
    service->children[service->child_count++] = child;
}

/* ---- the end of one ------------------------------------------------------------------------------------------------------------ */

/* The last words of a run that left no result. */
static void last_words(const char *path, char *reason, size_t size)
{
    struct buf text;
    size_t length;

    buf_init(&text, OUTPUT_BYTES_MAX);
    if (buf_read_file(&text, path) < 0)
        buf_puts(&text, "");
    while (text.length && text.data[text.length - 1] == '\n')
        text.data[--text.length] = '\0';
    length = MIN(text.length, size - 1);
    memcpy(reason, text.data + text.length - length, length);
    reason[length] = '\0';
    buf_done(&text);
}

struct ending {
    int status;
    const char *outcome;
    char reason[SERVICE_REASON_MAX];
};

static void read_ending(const struct service *service, const struct service_child *child, struct ending *ret_ending)
{
    static struct errs errs;
    char directory[SERVICE_PATH_MAX + 64], output[SERVICE_PATH_MAX + 64];
    cJSON *document = NULL;
    const cJSON *verdict;
    double told;

    *ret_ending = (struct ending){ child->status_known ? child->status : -1, "interrupted", "" };
    errs.count = 0;
    snprintf(directory, sizeof(directory), "%s/runs/%s", service->data, child->id);
    snprintf(output, sizeof(output), "%s/output/%s.log", service->data, child->id);
    if (store_read_result(directory, &document, &errs) == 0) {
        verdict = doc_get(document, "verdict");
        told = doc_number(verdict, "status");
        if ((!child->status_known || child->status >= 128) && told >= 0)
            ret_ending->status = (int)told;
        ret_ending->outcome = ret_ending->status >= 64 ? "refused" : !strcmp(doc_text(verdict, "verdict"), "aborted") ? "aborted" : "ended";
        snprintf(ret_ending->reason, sizeof(ret_ending->reason), "%s", doc_text(verdict, "why"));
        cJSON_Delete(document);
    } else if (child->status_known && child->status >= 64 && child->status < 128) {
        ret_ending->outcome = "refused";
        last_words(output, ret_ending->reason, sizeof(ret_ending->reason));
    } else if (child->status_known && child->status >= 128) {
        snprintf(ret_ending->reason, sizeof(ret_ending->reason), "the run was killed by signal %d before it could report", child->status - 128);
    } else {
        snprintf(ret_ending->reason, sizeof(ret_ending->reason), "the run's processes are gone and left no result");
    }
}

/* What recover said belongs to every run that was interrupted and has no such word yet. */
static int settle_recovery(struct service *service, const struct service_child *child, struct errs *errs)
{
    char output[SERVICE_PATH_MAX + 64], words[SERVICE_REASON_MAX];
    int result;

    snprintf(output, sizeof(output), "%s/output/recover.log", service->data);
    last_words(output, words, sizeof(words));
    result = db_run(&service->db, errs, "UPDATE run_order SET undo = ?1 WHERE outcome = 'interrupted' AND undo IS NULL", "t",
                    child->status == RECOVERED ? "proven by recover: nothing is left" : words);
    if (result < 0)
        return result;
    if (child->status != RECOVERED) {
        static struct errs problem;

        problem.count = 0;
        errs_add(&problem, ERR_WORLD, "recover", "%s", words[0] ? words : "did not end well");
        service_problem(service, &problem);
        service->recovery_again_s = service_now_s() + SERVICE_RECOVER_S;
    }
    service->recovery_runs = false;
    return 0;
}

/* The service was killed between the commit of the row and its word to the process, which then left. Or the run had not even made its
 * directory: either way it has done nothing, and comes to its turn again. */
static bool never_began(const struct service *service, const struct service_child *child)
{
    char directory[SERVICE_PATH_MAX + 64];

    snprintf(directory, sizeof(directory), "%s/runs/%s", service->data, child->id);
    return child->gone && !child->status_known && !child->aborted && access(directory, F_OK) < 0 && errno == ENOENT;
}

static int requeue(struct service *service, const struct service_child *child, struct errs *errs)
{
    int result = db_run(&service->db, errs, "UPDATE run_order SET state = 'queued', process = NULL, started_s = NULL WHERE id = ?1", "t", child->id);

    if (result == 0)
        service_tell(service, "run", order_describe(service, child->id, errs));
    return result;
}

static int settle_run(struct service *service, const struct service_child *child, struct errs *errs)
{
    struct ending ending;
    int result;

    if (never_began(service, child))
        return requeue(service, child, errs);
    read_ending(service, child, &ending);
    result = order_mark_ended(service, child->id, ending.status, ending.outcome, ending.reason, errs);
    if (result < 0)
        return result;
    if (!strcmp(ending.outcome, "interrupted") || ending.status == 4 || !child->status_known || child->status >= 128)
        service->recovery_wanted = true;
    service_tell(service, "run", order_describe(service, child->id, errs));
    return 0;
}

/* True when it is not in the table any more. */
static bool settle(struct service *service, struct service_child *child)
{
    static struct errs errs;
    int result;

    errs.count = 0;
    result = child->id[0] ? settle_run(service, child, &errs) : settle_recovery(service, child, &errs);
    if (result < 0) {
        service_problem(service, &errs);
        service->retry_s = service_now_s() + RETRY_S;
        return false;
    }
    if (child->pid_fd >= 0)
        close(child->pid_fd);
    claims_done(&child->claims);
    *child = service->children[--service->child_count];
    return true;
}

static void look_at(struct service_child *child)
{
    struct pollfd end = { .fd = child->pid_fd, .events = POLLIN };
    siginfo_t info = { .si_pid = 0 };

    if (child->gone)
        return;
    if (waitid(P_PIDFD, (id_t)child->pid_fd, &info, WEXITED | WNOHANG) == 0) {
        if (!info.si_pid)
            return;
        child->gone = child->status_known = true;
        child->status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    } else if (poll(&end, 1, 0) > 0) {
        child->gone = true; /* adopted: another process has its status */
    }
}

void supervisor_reap(struct service *service)
{
    for (size_t i = 0; i < service->child_count;) {
        look_at(&service->children[i]);
        if (!service->children[i].gone || !settle(service, &service->children[i]))
            i++;
    }
    start_recovery(service);
}

/* ---- adoption ------------------------------------------------------------------------------------------------------------------ */

static int adopt_row(struct service *service, sqlite3_stmt *row, struct errs *errs)
{
    struct service_child child = { .pid_fd = -1, .status = -1 };
    struct process_id now;

    if (service->child_count == SERVICE_CHILDREN_MAX)
        return errs_add(errs, ERR_INTERNAL, db_text(row, 0), "more runs are live than can be supervised");
    snprintf(child.id, sizeof(child.id), "%s", db_text(row, 0));
    if (claims_parse(db_text(row, 2), &child.claims) < 0)
        return errs_add(errs, ERR_INTERNAL, child.id, "its claims cannot be read");
    if (process_parse(db_text(row, 1) ? db_text(row, 1) : "", &child.process) == 0)
        child.pid_fd = (int)syscall(SYS_pidfd_open, child.process.pid, 0);
    /* The descriptor first, the identity second: then it is that process' own. */
    child.gone = child.pid_fd < 0 || process_identify(child.process.pid, &now) < 0 || now.start_ticks != child.process.start_ticks ||
                 now.boot != child.process.boot;
    service->children[service->child_count++] = child;
    return 0;
}

int supervisor_adopt(struct service *service, struct errs *errs)
{
    sqlite3_stmt *row;
    int result = db_query(&service->db, errs, &row, "SELECT id, process, claims FROM run_order WHERE state = 'running'", "");

    if (result < 0)
        return result;
    while (result >= 0 && (result = db_step(&service->db, row, errs)) > 0)
        result = adopt_row(service, row, errs);
    sqlite3_finalize(row);
    service->recovery_wanted = true;
    return result;
}
